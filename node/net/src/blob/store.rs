//! The blob store.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use alloy_primitives::B256;
use tokio::io::AsyncRead;

/// Where blobs lie and how much of them.
#[derive(Clone, Debug)]
pub struct BlobStoreConfig {
    /// Folder of the store; created if absent.
    pub directory: PathBuf,
    /// Most bytes of all blobs together.
    pub capacity_bytes: u64,
}

/// Name and length of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobId {
    /// BLAKE3 of the content.
    pub hash: blake3::Hash,
    /// Bytes.
    pub length: u64,
}

/// How full a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlobUsage {
    /// Blobs.
    pub blobs: u64,
    /// Bytes of all blobs and unfinished ones.
    pub bytes: u64,
    /// Bytes of blobs that are pinned.
    pub pinned_bytes: u64,
}

/// Error of the blob store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The disk failed or is full.
    #[error("blob store: {0}; check the disk and its free space")]
    Io(#[from] io::Error),
    /// The content is longer than allowed; nothing was kept.
    #[error("blob exceeds the limit of {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: u64,
    },
    /// Only pinned blobs are left; raise the capacity or finish jobs.
    #[error("blob store is full: {needed} bytes do not fit beside what jobs in progress hold; raise its capacity")]
    Full {
        /// Bytes that were needed.
        needed: u64,
    },
    /// The content does not have the promised hash; nothing was kept.
    #[error("blob content has hash {actual}, expected {expected}")]
    Mismatch {
        /// The promised hash.
        expected: blake3::Hash,
        /// The content's.
        actual: blake3::Hash,
    },
}

/// Content-addressed files on disk. Cheap to clone.
#[derive(Clone)]
pub struct BlobStore {}

impl BlobStore {
    /// Opens the store, removing what a crash left unfinished.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub async fn open(_config: BlobStoreConfig) -> Result<Self, BlobError> {
        Err(io::Error::from(io::ErrorKind::Unsupported).into())
    }

    /// Takes in the content of `reader`, at most `length_max` bytes.
    ///
    /// # Errors
    /// Any [`BlobError`] but a mismatch; the store is then unchanged.
    pub async fn put(
        &self,
        _reader: impl AsyncRead + Send + Unpin,
        _length_max: u64,
    ) -> Result<BlobId, BlobError> {
        Err(io::Error::from(io::ErrorKind::Unsupported).into())
    }

    /// Whether the blob is here.
    pub fn contains(&self, _hash: &blake3::Hash) -> bool {
        false
    }

    /// Opens a blob for reading; `None` if it is not here.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub fn get(&self, _hash: &blake3::Hash) -> Result<Option<BlobReader>, BlobError> {
        Ok(None)
    }

    /// Keeps a blob (also one that is yet to come) from being evicted until `holder` lets go.
    /// Durable, and idempotent per holder. Holders are job hashes or deal ids.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub fn pin(&self, _hash: &blake3::Hash, _holder: B256) -> Result<(), BlobError> {
        Ok(())
    }

    /// Lets go of everything that `holder` pinned.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub fn unpin(&self, _holder: B256) -> Result<(), BlobError> {
        Ok(())
    }

    /// How full the store is.
    pub fn usage(&self) -> BlobUsage {
        BlobUsage::default()
    }
}

/// An open blob. It stays readable even if it is evicted meanwhile.
#[derive(Clone, Debug)]
pub struct BlobReader {
    id: BlobId,
    file: Arc<File>,
    path: PathBuf,
}

impl BlobReader {
    /// Name and length.
    pub fn id(&self) -> BlobId {
        self.id
    }

    /// Where the content lies. Pin the blob before handing this to another process.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Fills `buffer` from `offset`; fewer bytes only at the end. Blocks on the disk.
    ///
    /// # Errors
    /// The disk's.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let mut filled = 0;
        while filled < buffer.len() {
            let read = self.file.read_at(&mut buffer[filled..], offset + filled as u64)?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        Ok(filled)
    }

    /// A reader from the start, for streaming.
    ///
    /// # Errors
    /// The disk's.
    pub async fn stream(&self) -> io::Result<tokio::fs::File> {
        tokio::fs::File::open(&self.path).await
    }
}
