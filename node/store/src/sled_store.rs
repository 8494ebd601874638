use std::{
    fs::File,
    io::{self, ErrorKind},
    ops::Bound,
    path::Path,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::{Batch, Entry, Key, Prefix, Store, StoreError};

/// Memory that sled may use for its cache, in bytes.
const CACHE_BYTES: u64 = 32 << 20;

/// How long [`SledStore::open`] waits until the folder's last user has closed it.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
/// How long it waits before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

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
    ///
    /// # Errors
    /// [`StoreError::Locked`] when somebody still has it open after ten seconds.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        wait_until_closed(path)?;
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

/// Waits until nobody holds the lock on sled's file: dropping a database does not wait for sled's
/// own threads, and the last of them to end lets go of the lock. sled itself refuses at once.
fn wait_until_closed(path: &Path) -> Result<(), StoreError> {
    let file = match File::open(path.join("db")) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let asked = Instant::now();
    loop {
        // Closing the file at the end of this function unlocks it for sled.
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if asked.elapsed() < CLOSED_WITHIN => thread::sleep(LOOK_AGAIN),
            Err(Errno::WOULDBLOCK) => return Err(StoreError::Locked(path.to_owned())),
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
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
