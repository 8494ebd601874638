use std::path::PathBuf;

use outcry_protocol::codes::{self, Code, Coded};

use crate::keys::Key;

/// Why the store refused, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the data folder open. Stop it, or name another folder.
    #[error("the data folder {} is in use by another process; stop it or choose another folder", .0.display())]
    Locked(PathBuf),

    /// A newer build wrote the store. Install that build again; the store is left as it is.
    #[error("the store has schema {found}, this build knows up to {known}; use the newer build")]
    Newer {
        /// Version found in the store.
        found: u32,
        /// Newest version this build knows.
        known: u32,
    },

    /// The disk failed or is full. Free space or replace it, then try again: acknowledged batches
    /// are kept, and the failed one is there wholly or not at all.
    #[error("the store cannot read or write: {0}")]
    Io(#[source] std::io::Error),

    /// The file is not a store, or its content is damaged. Restore the folder from a backup, or
    /// start with an empty one and let the node catch up from the chain.
    #[error("the store is damaged: {0}")]
    Damaged(String),

    /// A value is not what the batch expected, because somebody else wrote it first. Read again
    /// and decide anew; nothing was written.
    #[error("the value under {0} has changed since it was read")]
    Conflict(Key),

    /// A key, value or batch exceeds its limit. Nothing was written.
    #[error("{what} of {length} bytes exceeds the limit of {limit} bytes")]
    TooLarge {
        /// "key", "value" or "batch".
        what: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

impl Coded for StoreError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Locked(_) => &codes::STORE_LOCKED,
            Self::Newer { .. } => &codes::STORE_NEWER,
            Self::Damaged(_) => &codes::STORE_DAMAGED,
            Self::Io(_) => &codes::STORE_IO,
            // Bugs of the caller, never the user's.
            Self::Conflict(_) | Self::TooLarge { .. } => &codes::INTERNAL,
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
