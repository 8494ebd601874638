use std::{
    ops::Bound,
    path::Path,
    sync::{Mutex, PoisonError},
};

use crate::{Batch, Entry, Key, Prefix, Store, StoreError};

/// Memory that sled may use for its cache, in bytes.
const CACHE_BYTES: u64 = 32 << 20;

/// A store in one sled folder.
///
/// A crash while sled writes one of its snapshots can leave a folder that it refuses to open; a
/// node that must survive `kill -9` uses [`crate::RedbStore`].
#[derive(Debug)]
pub struct SledStore {
    database: sled::Db,
    /// Expectations and writes of a batch are one step only while no other batch runs.
    writer: Mutex<()>,
}

impl SledStore {
    /// Opens the folder, or creates it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .open()?;
        Ok(Self {
            database,
            writer: Mutex::new(()),
        })
    }
}

impl Store for SledStore {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self
            .database
            .get(key.as_bytes())?
            .map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        prefix: &Prefix,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let from = match after {
            Some(key) if key.as_bytes() >= prefix.as_bytes() => Bound::Excluded(key.as_bytes()),
            _ => Bound::Included(prefix.as_bytes()),
        };
        // A writer between two steps of the iterator would show half a batch.
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = Vec::new();
        for entry in self.database.range::<&[u8], _>((from, Bound::Unbounded)) {
            if page.len() == limit {
                break;
            }
            let (key, value) = entry?;
            if !key.starts_with(prefix.as_bytes()) {
                break;
            }
            page.push((Key::from_bytes(key.as_ref()), value.to_vec()));
        }
        Ok(page)
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        batch.check_limits()?;
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        batch.check_expectations(|key| self.get(key))?;
        let mut writes = sled::Batch::default();
        for (key, value) in batch.writes() {
            match value {
                Some(value) => writes.insert(key.as_bytes(), value),
                None => writes.remove(key.as_bytes()),
            }
        }
        self.database.apply_batch(writes)?;
        self.database.flush()?;
        Ok(())
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) => Self::Io(error),
            error => Self::Damaged(error.to_string()),
        }
    }
}
