//! Linked programs in the cache: the module for the native engine, and what the machine needs beside
//! it.
//!
//! A file is `root (32 bytes) ‖ bytes of the module (u64, big-endian) ‖ module ‖ nodes of the trees`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use alloy_primitives::B256;
use outcry_verifier::guest::{LIBRARY, MACHINE_VERSION};
use outcry_verifier::machine::{CommittedProgram, Program};
use outcry_verifier::{Image, limits, link_and_commit};

use crate::cache::Cache;
use crate::engine::Failure;
use crate::{EngineFailure, Prepare};

impl Cache {
    /// A program as the machine takes it, linked and committed once and kept from then on. CPython
    /// takes about a second the first time, and a third of that afterwards.
    ///
    /// # Errors
    /// [`EngineFailure::Refused`] if the machine does not accept the program, [`EngineFailure::Engine`]
    /// if a file can't be read or written.
    pub fn machine(&self, program: &Prepare) -> Result<(Image, CommittedProgram), EngineFailure> {
        opened(self, program, committed).map_err(|failure| match failure {
            Failure::Refused(reason) => EngineFailure::Refused(reason),
            Failure::Host(reason) => EngineFailure::Engine(reason),
        })
    }
}

/// The image alone.
pub(crate) fn linked(cache: &Cache, program: &Prepare) -> Result<Image, Failure> {
    opened(cache, program, |path| {
        module(&mut File::open(path)?).map_err(|error| damaged(path, &error))
    })
}

fn opened<T>(
    cache: &Cache,
    program: &Prepare,
    open: impl Fn(&Path) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut key = blake3::Hasher::new_derive_key("outcry 2026 linked image with its trees");
    key.update(program.program_hash.as_slice());
    key.update(&MACHINE_VERSION.to_be_bytes());
    key.update(blake3::hash(LIBRARY).as_bytes());
    let key = format!("{}.image", key.finalize().to_hex());
    cache.opened(&key, || make(&program.program), open)
}

fn make(program: &Path) -> Result<Vec<u8>, Failure> {
    let length = std::fs::metadata(program)?.len();
    if length > limits::MODULE_BYTES {
        return Err(Failure::Refused(format!(
            "{length} bytes exceed the limit of {}",
            limits::MODULE_BYTES
        )));
    }
    let program = std::fs::read(program)?;
    let (image, committed) =
        link_and_commit(&program, LIBRARY).map_err(|error| Failure::Refused(error.to_string()))?;
    let module = image.module();
    let length = (module.len() as u64).to_be_bytes();
    Ok([image.root().as_slice(), &length, module, &committed.trees()].concat())
}

/// Reads root and module.
fn module(file: &mut File) -> io::Result<Image> {
    let (mut root, mut length) = ([0; 32], [0; 8]);
    file.read_exact(&mut root)?;
    file.read_exact(&mut length)?;
    let length = u64::from_be_bytes(length);
    if length > limits::MODULE_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut module = vec![0; length as usize];
    file.read_exact(&mut module)?;
    Ok(Image::from_trusted_cache(module, B256::from(root)))
}

fn committed(path: &Path) -> Result<(Image, CommittedProgram), Failure> {
    let mut file = File::open(path)?;
    let image = module(&mut file).map_err(|error| damaged(path, &error))?;
    let mut trees = Vec::new();
    file.read_to_end(&mut trees)?;
    let program = Program::flatten(&image).map_err(|error| damaged(path, &error))?;
    let committed = CommittedProgram::with_trees(Arc::new(program), &trees)
        .filter(|committed| committed.image_root() == image.root())
        .ok_or_else(|| damaged(path, &"its trees do not have its root"))?;
    Ok((image, committed))
}

fn damaged(path: &Path, reason: &dyn std::fmt::Display) -> Failure {
    Failure::Host(format!(
        "{} is damaged ({reason}): delete it",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PROGRAM: &str =
        r#"(module (memory 2) (data (i32.const 70000) "x") (func (export "_start")))"#;

    fn bench() -> (tempfile::TempDir, Cache, Prepare) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().join("cache"), 1 << 30).unwrap();
        let program = folder.path().join("program.wasm");
        std::fs::write(&program, wat::parse_str(PROGRAM).unwrap()).unwrap();
        let program_hash = B256::repeat_byte(1);
        (
            folder,
            cache,
            Prepare {
                program,
                program_hash,
            },
        )
    }

    #[test]
    fn the_cache_gives_back_what_linking_gave_without_the_program() {
        let (_folder, cache, prepare) = bench();
        let bytes = std::fs::read(&prepare.program).unwrap();
        let (image, expected) = link_and_commit(&bytes, LIBRARY).unwrap();
        for _ in 0..2 {
            let (cached, committed) = cache.machine(&prepare).unwrap();
            assert_eq!(cached.module(), image.module());
            assert_eq!(committed.image_root(), image.root());
            assert_eq!(committed.program(), expected.program());
            assert_eq!(committed.trees(), expected.trees());
            assert_eq!(linked(&cache, &prepare).unwrap().root(), image.root());
            let _ = std::fs::remove_file(&prepare.program);
        }
    }

    #[test]
    fn a_damaged_file_is_reported_with_its_name() {
        let (_folder, cache, prepare) = bench();
        cache.machine(&prepare).unwrap();
        let entries = std::fs::read_dir(cache.folder()).unwrap();
        let file = entries
            .map(|entry| entry.unwrap().path())
            .find(|path| path.extension().is_some_and(|ending| ending == "image"))
            .unwrap();
        let whole = std::fs::read(&file).unwrap();
        for damaged in [
            &whole[..20],
            &whole[..whole.len() - 1],
            &[&[1; 32], &whole[32..]].concat(),
        ] {
            std::fs::write(&file, damaged).unwrap();
            let failure = cache.machine(&prepare).unwrap_err().to_string();
            assert!(failure.contains(file.to_str().unwrap()), "{failure}");
        }
    }
}
