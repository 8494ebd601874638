//! From a job's header to its bytes on disk: manifest, program, input archives.
//!
//! The BLAKE3 hashes by which blobs are fetched are hints; only keccak roots count. So every root of
//! the header is computed again from the bytes, before the admission window ends.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use alloy::primitives::B256;
use outcry_net::{BlobReader, BlobStore, NetError, NetworkHandle, PeerKey};
use outcry_protocol::codes::{self, Code, Coded};
use outcry_protocol::hash::InputHasher;
use outcry_protocol::types::JobSpec;
use outcry_sdk::Manifest;
use outcry_verifier::archive::ArchiveError;

/// Most bytes of a manifest per task, and beside its tasks.
const MANIFEST_BYTES_PER_TASK: u64 = 256;
const MANIFEST_BYTES_BASE: u64 = 1024;
/// Bytes hashed at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Why a job's bytes are not there.
#[derive(Debug, thiserror::Error)]
pub enum InputProblem {
    /// Nobody serves a blob, or not in time. Another try may succeed.
    #[error("{what} can't be fetched: {source}")]
    Unavailable {
        /// Which blob.
        what: String,
        /// What the network says.
        source: NetError,
    },
    /// The bytes are not what the buyer signed. Every node would say so.
    #[error("{0}")]
    Mismatch(String),
    /// An input archive is the one that the buyer signed, and no program can read it. Every node
    /// would say so.
    #[error("the input of task {task}: {reason}")]
    Malformed {
        /// The task in the job.
        task: u32,
        /// The entry or offset that is wrong.
        reason: String,
    },
    /// This node's disk failed.
    #[error("{0}")]
    Disk(#[from] io::Error),
}

impl Coded for InputProblem {
    fn code(&self) -> &'static Code {
        match self {
            Self::Unavailable { .. } => &codes::BLOB_MISSING,
            Self::Mismatch(_) => &codes::BLOB_ROOT,
            Self::Malformed { .. } => &codes::PROGRAM_ARCHIVE,
            Self::Disk(_) => &codes::STORE_IO,
        }
    }
}

/// A blob on disk. It stays readable while this value lives.
#[derive(Debug)]
pub struct Input {
    /// Where it lies.
    pub path: PathBuf,
    /// BLAKE3.
    pub hash: B256,
    _open: BlobReader,
}

/// The bytes of some tasks of a job.
#[derive(Debug)]
pub struct Inputs {
    /// Index of the first task in the job.
    pub first_task: u32,
    /// The user's module, not yet linked.
    pub program: Input,
    /// Input archives, beginning with the first task of the range.
    pub archives: Vec<Input>,
}

impl Inputs {
    /// Checks that programs can read the archives: canonical, laid out as an input. A provider does
    /// that while it can still cancel, so that nobody is billed for a program that traps at once.
    ///
    /// # Errors
    /// [`InputProblem::Malformed`], [`InputProblem::Disk`].
    pub async fn check(&self) -> Result<(), InputProblem> {
        for (task, archive) in (self.first_task..).zip(&self.archives) {
            let path = archive.path.clone();
            let checking = tokio::task::spawn_blocking(move || {
                let file = std::io::BufReader::new(std::fs::File::open(path)?);
                Ok(outcry_verifier::archive::input::check(file))
            });
            match checking.await.map_err(io::Error::other)? {
                Err(error) => return Err(InputProblem::Disk(error)),
                Ok(Err(ArchiveError::Io { source, .. })) => {
                    return Err(InputProblem::Disk(source));
                }
                Ok(Err(error)) => {
                    let reason = error.to_string();
                    return Err(InputProblem::Malformed { task, reason });
                }
                Ok(Ok(_)) => {}
            }
        }
        Ok(())
    }
}

/// Where blobs come from and where they go.
#[derive(Clone)]
pub struct Fetcher {
    /// The network.
    pub net: NetworkHandle,
    /// The disk.
    pub blobs: BlobStore,
    /// Most bytes of one blob.
    pub blob_bytes_max: u64,
}

impl Fetcher {
    /// Fetches and checks what the tasks of `range` need, keeping it for `holder`.
    ///
    /// # Errors
    /// [`InputProblem`].
    pub async fn inputs(
        &self,
        job: &JobSpec,
        range: Range<u32>,
        holder: B256,
    ) -> Result<Inputs, InputProblem> {
        let manifest = self.manifest(job, holder).await?;
        let source = PeerKey(job.source.0);
        let program = self
            .blob(
                "the program",
                manifest.program.blake3.into(),
                manifest.program.length,
                source,
                holder,
            )
            .await?;
        let mut archives = Vec::with_capacity(range.len());
        let first_task = range.start;
        for task in range {
            let entry = &manifest.tasks[task as usize];
            let what = format!("the input of task {task}");
            let archive = self
                .blob(&what, entry.blake3.into(), entry.length, source, holder)
                .await?;
            let root = input_root(archive.path.clone(), entry.length).await?;
            if root != entry.input_root {
                return Err(InputProblem::Mismatch(format!(
                    "{what} has the root {root}, the manifest says {}",
                    entry.input_root
                )));
            }
            archives.push(archive);
        }
        Ok(Inputs {
            first_task,
            program,
            archives,
        })
    }

    /// The manifest, checked against the root that the buyer signed.
    ///
    /// # Errors
    /// [`InputProblem`].
    pub async fn manifest(&self, job: &JobSpec, holder: B256) -> Result<Manifest, InputProblem> {
        let length_max = MANIFEST_BYTES_BASE + MANIFEST_BYTES_PER_TASK * u64::from(job.taskCount);
        let blob = self
            .fetch(
                "the manifest",
                job.manifest,
                length_max,
                PeerKey(job.source.0),
                holder,
            )
            .await?;
        let manifest = Manifest::parse(&tokio::fs::read(&blob.path).await?).map_err(|error| {
            InputProblem::Mismatch(format!("the manifest can't be read: {error}"))
        })?;
        if manifest.tasks.len() != job.taskCount as usize {
            return Err(InputProblem::Mismatch(format!(
                "the manifest has {} tasks, the job {}",
                manifest.tasks.len(),
                job.taskCount
            )));
        }
        match manifest.inputs_root() {
            Ok(root) if root == job.inputsRoot => Ok(manifest),
            _ => Err(InputProblem::Mismatch(
                "the manifest's tasks do not lead to the job's inputs root".into(),
            )),
        }
    }

    async fn blob(
        &self,
        what: &str,
        hash: B256,
        length: u64,
        source: PeerKey,
        holder: B256,
    ) -> Result<Input, InputProblem> {
        let blob = self
            .fetch(what, hash, length.min(self.blob_bytes_max), source, holder)
            .await?;
        let found = tokio::fs::metadata(&blob.path).await?.len();
        if found != length {
            return Err(InputProblem::Mismatch(format!(
                "{what} has {found} bytes, the manifest says {length}"
            )));
        }
        Ok(blob)
    }

    /// One blob, from the disk or from its source.
    ///
    /// # Errors
    /// [`InputProblem`].
    pub async fn fetch(
        &self,
        what: &str,
        hash: B256,
        length_max: u64,
        source: PeerKey,
        holder: B256,
    ) -> Result<Input, InputProblem> {
        let name = blake3::Hash::from_bytes(hash.0);
        let unavailable = |source| InputProblem::Unavailable {
            what: what.to_owned(),
            source,
        };
        self.blobs
            .pin(&[name], holder)
            .await
            .map_err(|error| unavailable(error.into()))?;
        self.net
            .fetch(name, &[source], length_max, None)
            .await
            .map_err(unavailable)?;
        match self
            .blobs
            .get(&name)
            .map_err(|error| unavailable(error.into()))?
        {
            Some(open) => Ok(Input {
                path: open.path().to_owned(),
                hash,
                _open: open,
            }),
            None => Err(unavailable(NetError::BlobNotFound(name))),
        }
    }
}

/// The keccak root of an input archive.
async fn input_root(path: PathBuf, length: u64) -> io::Result<B256> {
    let hashing = tokio::task::spawn_blocking(move || {
        let mut file = std::fs::File::open(path)?;
        let mut hasher = InputHasher::new(length);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = io::Read::read(&mut file, &mut chunk)?;
            if count == 0 {
                break;
            }
            hasher.write(&chunk[..count]);
        }
        hasher
            .finish()
            .ok_or_else(|| io::Error::other("the archive changed while it was read"))
    });
    hashing.await.map_err(io::Error::other)?
}
