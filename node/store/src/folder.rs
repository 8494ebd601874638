use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::error::StoreError;

/// A data folder that this process alone has open, until it is dropped or the process dies.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// Held for its lock; the kernel releases it when the process dies, however that happens.
    _lock: File,
}

impl DataFolder {
    /// Creates the folder when it is new (mode 0700: it holds keys) and locks it.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it open.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(Errno::WOULDBLOCK) => Err(StoreError::Locked(path.to_owned())),
            Err(errno) => Err(io::Error::from(errno).into()),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes the names in a folder durable; writing a file durably does not do that.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
