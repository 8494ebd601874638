//! Running a job's tasks on this machine, as a provider does: to check a claim before it is
//! accepted, or without any market.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use alloy::primitives::B256;
use bytes::Bytes;
use outcry_native::{CompiledImage, Engine as Native};
use outcry_verifier::Image;
use outcry_verifier::machine::{CommittedProgram, Machine, Program};
use outcry_verifier::task::{RunLimits, TaskHeader};

use crate::error::Error;
use crate::job::Job;
use crate::output::TaskOutput;

/// Most bytes of compiled code that are kept; CPython's is about 80 MB.
const CACHE_BYTES_MAX: u64 = 1 << 30;

/// Compiles and runs programs in this process. Programs see nothing of the machine.
///
/// ```no_run
/// use outcry_sdk::{Engine, JobBuilder};
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let job = JobBuilder::wasm("hello.wasm", std::fs::read("hello.wasm")?).build(Default::default())?;
/// let output = Engine::new(None)?.run(&job, 0)?;
/// println!("{} cycles: {}", output.cycles, String::from_utf8_lossy(&output.stdout()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Engine {
    native: Native,
    cache: Option<PathBuf>,
    /// The program that was last used; the tasks of a job share it.
    compiled: Mutex<Option<CompiledImage>>,
}

impl Engine {
    /// An engine that keeps compiled code in `cache`, a folder that is this user's alone (it is made
    /// if it is missing), or nowhere.
    ///
    /// # Errors
    /// [`Error::Engine`] on a processor that is not supported; [`Error::File`] if the folder can't
    /// be made or is open to others, because what lies in it is executed.
    pub fn new(cache: Option<&Path>) -> Result<Self, Error> {
        if let Some(folder) = cache {
            require_own_folder(folder)?;
        }
        let native = Native::new().map_err(|e| Error::Engine {
            task: 0,
            reason: e.to_string(),
        })?;
        Ok(Self {
            native,
            cache: cache.map(Path::to_path_buf),
            compiled: Mutex::default(),
        })
    }

    /// Compiles the job's program, so that [`Engine::run`] starts at once.
    ///
    /// # Errors
    /// [`Error::Engine`].
    pub fn prepare(&self, job: &Job) -> Result<(), Error> {
        self.compiled(job.image())
            .map(drop)
            .map_err(|reason| Error::Engine { task: 0, reason })
    }

    /// Runs one task to its end. Blocks, for as long as the program takes.
    ///
    /// # Errors
    /// [`Error::Engine`] if this machine could not run it, which says nothing about the program.
    pub fn run(&self, job: &Job, task: u32) -> Result<TaskOutput, Error> {
        let failed = |reason: String| Error::Engine { task, reason };
        let (header, input) = given(job, task)?;
        let compiled = self.compiled(job.image()).map_err(failed)?;
        let (halted, archive) = compiled
            .run(
                &outcry_native::Task::new(header, RunLimits::of(job.spec())),
                input,
                Vec::new(),
            )
            .map_err(|e| failed(e.to_string()))?;
        TaskOutput::new(
            task,
            B256::ZERO,
            halted.outcome,
            halted.cycles,
            archive.into(),
        )
    }

    /// A task in the step-by-step machine, before its first step: what a dispute is about. Flattens
    /// and hashes the program, which takes a second for CPython.
    ///
    /// # Errors
    /// [`Error::Engine`] if the job has no such task, or limits that the machine does not take.
    pub fn machine(job: &Job, task: u32) -> Result<Machine<Bytes>, Error> {
        let failed = |reason: String| Error::Engine { task, reason };
        let (header, input) = given(job, task)?;
        let program = Program::flatten(job.image()).map_err(|e| failed(e.to_string()))?;
        let program = CommittedProgram::new(Arc::new(program));
        Machine::start(Arc::new(program), header, RunLimits::of(job.spec()), input)
            .map_err(|e| failed(e.to_string()))
    }

    fn compiled(&self, image: &Image) -> Result<CompiledImage, String> {
        // A panic while the lock was held left either the old or the new program there.
        let mut last = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = last
            .as_ref()
            .filter(|compiled| compiled.image().root() == image.root())
        {
            return Ok(compiled.clone());
        }
        let compiled = match &self.cache {
            Some(folder) => self.cached(image, folder)?,
            None => self.native.compile(image).map_err(|e| e.to_string())?,
        };
        *last = Some(compiled.clone());
        Ok(compiled)
    }

    fn cached(&self, image: &Image, folder: &Path) -> Result<CompiledImage, String> {
        let path = folder.join(hex::encode(self.native.artifact_key(image.root())));
        if path.is_file() {
            // SAFETY: `new` has checked that the folder is this user's and that nobody else can
            // write to it; files appear in it whole, by the renaming below, and are never changed.
            #[allow(unsafe_code)]
            let loaded = unsafe { self.native.load(image, &path) };
            if let Ok(compiled) = loaded {
                return Ok(compiled);
            }
        }
        let compiled = self.native.compile(image).map_err(|e| e.to_string())?;
        // A cache that can't be written costs time, and nothing else.
        if let Err(reason) = keep(folder, &path, &compiled) {
            tracing::warn!(path = %path.display(), %reason, "compiled code is not kept");
        }
        Ok(compiled)
    }
}

/// What a task is given.
fn given(job: &Job, task: u32) -> Result<(TaskHeader, Bytes), Error> {
    let input = job.input(task).ok_or_else(|| Error::Engine {
        task,
        reason: "the job has no such task".to_owned(),
    })?;
    let header = TaskHeader::of(job.spec(), task, input.len() as u64);
    Ok((header, input.clone()))
}

fn keep(folder: &Path, path: &Path, compiled: &CompiledImage) -> Result<(), String> {
    let artifact = compiled.artifact().map_err(|e| e.to_string())?;
    let part = path.with_extension(format!("part-{}", std::process::id()));
    fs::write(&part, &artifact)
        .and_then(|()| fs::rename(&part, path))
        .map_err(|e| e.to_string())?;
    let mut files: Vec<(SystemTime, u64, PathBuf)> = fs::read_dir(folder)
        .map_err(|e| e.to_string())?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let metadata = entry.metadata().ok()?;
            Some((metadata.modified().ok()?, metadata.len(), entry.path()))
        })
        .collect();
    files.sort_unstable();
    let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, bytes, oldest) in files {
        if total <= CACHE_BYTES_MAX || oldest == path {
            break;
        }
        fs::remove_file(&oldest).map_err(|e| e.to_string())?;
        total -= bytes;
    }
    Ok(())
}

fn require_own_folder(folder: &Path) -> Result<(), Error> {
    let failed = |reason: String| Error::File {
        path: folder.to_path_buf(),
        reason,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| failed(e.to_string()))?;
    let metadata = fs::metadata(folder).map_err(|e| failed(e.to_string()))?;
    if metadata.mode() & 0o022 != 0 || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(failed(
            "others can write to it, and what lies in it is executed; chmod 700 it".to_owned(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_cache_that_others_can_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(
            Engine::new(Some(folder.path())),
            Err(Error::File { .. })
        ));
    }
}
