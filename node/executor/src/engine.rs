//! Linking, compiling and running inside the worker, with both derived artifacts from the cache.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use alloy_primitives::B256;
use outcry_native::{Archive, CompiledImage, InputFile, Output};
use outcry_verifier::Image;
use outcry_verifier::guest::MACHINE_VERSION;
use outcry_verifier::task::{RunLimits, TaskHeader};

use crate::cache::Cache;
use crate::image;
use crate::{Halted, Prepare, Prepared, Task};

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The program is at fault; every node says the same.
    Refused(String),
    /// This host is at fault.
    Host(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Host(error.to_string())
    }
}

impl From<outcry_native::EngineFailure> for Failure {
    fn from(failure: outcry_native::EngineFailure) -> Self {
        match failure {
            outcry_native::EngineFailure::UnsupportedLimit { .. } => {
                Self::Refused(failure.to_string())
            }
            other => Self::Host(other.to_string()),
        }
    }
}

/// The engine with the program that was prepared last.
pub(crate) struct Engine {
    native: outcry_native::Engine,
    cache: Cache,
    loaded: Option<(B256, CompiledImage)>,
}

impl Engine {
    pub(crate) fn new(cache: Cache) -> Result<Self, outcry_native::EngineFailure> {
        Ok(Self {
            native: outcry_native::Engine::new()?,
            cache,
            loaded: None,
        })
    }

    pub(crate) fn prepare(&mut self, prepare: &Prepare) -> Result<Prepared, Failure> {
        let image_root = self.load(prepare)?.image().root();
        Ok(Prepared { image_root })
    }

    pub(crate) fn run(&mut self, task: &Task) -> Result<Halted, Failure> {
        let image = self.load(&task.program)?;
        let input = File::open(&task.input)?;
        let header = TaskHeader {
            machine_version: MACHINE_VERSION,
            job_hash: task.job_hash,
            task: task.task,
            task_count: task.tasks,
            archive_bytes: input.metadata()?.len(),
            output_limit_bytes: task.output_limit,
            page_limit: task.page_limit,
        };
        let limits = RunLimits {
            cycles: task.cycle_limit,
            pages: task.page_limit,
            slots: task.slot_limit,
            output_bytes: task.output_limit,
        };
        let output = OutputFile::create(&task.output)?;
        let run = outcry_native::Task::new(header, limits);
        let (halted, output) = image.run(&run, Archive::File(InputFile::new(input)), output)?;
        let output_hash = output.finish()?;
        Ok(Halted {
            cycles: halted.cycles,
            outcome: halted.outcome,
            output_hash,
        })
    }

    /// The compiled program: from memory, from the cache, or made and put there.
    fn load(&mut self, prepare: &Prepare) -> Result<CompiledImage, Failure> {
        if let Some((hash, image)) = &self.loaded
            && *hash == prepare.program_hash
        {
            return Ok(image.clone());
        }
        let image = image::linked(&self.cache, prepare)?;
        let compiled = self.code(&image)?;
        self.loaded = Some((prepare.program_hash, compiled.clone()));
        Ok(compiled)
    }

    #[allow(unsafe_code)]
    fn code(&self, image: &Image) -> Result<CompiledImage, Failure> {
        let key = format!(
            "{}.code",
            blake3::Hash::from_bytes(self.native.artifact_key(image.root())).to_hex()
        );
        self.cache.opened(
            &key,
            || Ok(self.native.compile(image)?.artifact()?),
            // SAFETY: the cache's folder is writable by this user alone (`Cache::open` refuses
            // others), this key is only ever written from `CompiledImage::artifact` above, and files
            // of the cache are replaced or unlinked whole, never changed in place.
            |path| Ok(unsafe { self.native.load(image, path) }?),
        )
    }
}

/// The output archive in a file; its BLAKE3 is computed at the end.
struct OutputFile(BufWriter<File>);

impl OutputFile {
    fn create(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(path)?;
        Ok(Self(BufWriter::with_capacity(1 << 16, file)))
    }

    fn finish(self) -> io::Result<B256> {
        let mut file = self
            .0
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        let mut hasher = blake3::Hasher::new();
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut chunk = vec![0; 1 << 16];
        loop {
            match reader.read(&mut chunk)? {
                0 => break,
                count => hasher.update(&chunk[..count]),
            };
        }
        Ok(B256::from(*hasher.finalize().as_bytes()))
    }
}

impl Output for OutputFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.0.flush()?;
        self.0.get_ref().set_len(0)?;
        self.0.get_mut().rewind()
    }
}
