use std::{
    fmt, fs, io,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

use crate::{Batch, Entry, Key, Prefix, Store, StoreError, folder::sync_folder};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("outcry");

/// Pages of the file that redb keeps in memory, in bytes. Its default is 1 GiB, which is more
/// than a whole node may use.
const CACHE_BYTES: usize = 32 << 20;

/// A store in one redb file.
pub struct RedbStore {
    path: PathBuf,
    opener: Opener,
    /// `None` after a failed write until the file can be opened again: redb refuses every further
    /// transaction of a handle whose write has failed.
    database: RwLock<Option<Database>>,
}

/// Opens the file; tests put a failing disk below it.
type Opener = Box<dyn Fn(&Path) -> Result<Database, DatabaseError> + Send + Sync>;

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl RedbStore {
    /// Opens the file, or creates it when it does not exist.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_by(path, |path| {
            Database::builder().set_cache_size(CACHE_BYTES).open(path)
        })
    }

    fn open_by(
        path: &Path,
        opener: impl Fn(&Path) -> Result<Database, DatabaseError> + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        if !path.try_exists()? {
            create(path)?;
        }
        let database = opener(path).map_err(StoreError::from_redb)?;
        Ok(Self {
            path: path.to_owned(),
            opener: Box::new(opener),
            database: RwLock::new(Some(database)),
        })
    }

    /// Runs `work` on the open database. After an I/O error the file is opened anew, now or at the
    /// next call, so that a disk that was full for a while does not stop the node for good.
    fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let result = {
            let guard = self.database.read().unwrap_or_else(PoisonError::into_inner);
            match guard.as_ref() {
                Some(database) => work(database),
                None => {
                    drop(guard);
                    let mut guard = self
                        .database
                        .write()
                        .unwrap_or_else(PoisonError::into_inner);
                    work(self.reopen(&mut guard)?)
                }
            }
        };
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => StoreError::from_redb(error),
        };
        if matches!(error, StoreError::Io(_)) {
            let mut guard = self
                .database
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            // The old handle goes first: it holds the file's lock.
            *guard = None;
            if let Err(again) = self.reopen(&mut guard) {
                tracing::warn!(path = %self.path.display(), %again, "the store cannot be opened again yet");
            }
        }
        Err(error)
    }

    /// The database in `guard`, opened if it is not.
    fn reopen<'a>(&self, guard: &'a mut Option<Database>) -> Result<&'a Database, StoreError> {
        match guard {
            Some(database) => Ok(database),
            closed => {
                let database = (self.opener)(&self.path).map_err(StoreError::from_redb)?;
                Ok(closed.insert(database))
            }
        }
    }
}

/// Creates an empty database so that it exists whole or not at all: a file killed during its
/// first milliseconds cannot be opened again (18 of 400 runs).
fn create(path: &Path) -> Result<(), StoreError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = path.with_extension("new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    {
        let database = Database::create(&temporary).map_err(StoreError::from_redb)?;
        let transaction = database.begin_write().map_err(StoreError::from_redb)?;
        transaction
            .open_table(TABLE)
            .map_err(StoreError::from_redb)?;
        transaction.commit().map_err(StoreError::from_redb)?;
    }
    fs::File::open(&temporary)?.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_folder(folder)?;
    Ok(())
}

impl Store for RedbStore {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|database| {
            let table = database.begin_read()?.open_table(TABLE)?;
            Ok(table
                .get(key.as_bytes())?
                .map(|value| value.value().to_vec()))
        })
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
        self.with(|database| {
            let table = database.begin_read()?.open_table(TABLE)?;
            let mut page = Vec::new();
            for entry in table.range::<&[u8]>((from, Bound::Unbounded))? {
                if page.len() == limit {
                    break;
                }
                let (key, value) = entry?;
                if !key.value().starts_with(prefix.as_bytes()) {
                    break;
                }
                page.push((Key::from_bytes(key.value()), value.value().to_vec()));
            }
            Ok(page)
        })
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        batch.check_limits()?;
        let conflict = self.with(|database| {
            let mut transaction = database.begin_write()?;
            // Strangers' bytes end up in the file, and with one phase only a non-cryptographic
            // checksum tells a torn commit from a whole one.
            transaction.set_two_phase_commit(true);
            {
                let mut table = transaction.open_table(TABLE)?;
                for (key, expected) in batch.expectations() {
                    let holds = match table.get(key.as_bytes())? {
                        Some(value) => Some(value.value()) == expected,
                        None => expected.is_none(),
                    };
                    if !holds {
                        drop(table);
                        transaction.abort()?;
                        return Ok(Some(key.clone()));
                    }
                }
                for (key, value) in batch.writes() {
                    match value {
                        Some(value) => table.insert(key.as_bytes(), value)?,
                        None => table.remove(key.as_bytes())?,
                    };
                }
            }
            transaction.commit()?;
            Ok(None)
        })?;
        conflict.map_or(Ok(()), |key| Err(StoreError::Conflict(key)))
    }
}

impl StoreError {
    fn from_redb(error: impl Into<redb::Error>) -> Self {
        match error.into() {
            // So redb reports a file that is empty, cut short or of another format.
            redb::Error::Io(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                Self::Damaged(error.to_string())
            }
            redb::Error::Io(error) => Self::Io(error),
            redb::Error::DatabaseAlreadyOpen => {
                Self::Io(io::Error::other("the file is open in another process"))
            }
            error @ (redb::Error::PreviousIo
            | redb::Error::DatabaseClosed
            | redb::Error::LockPoisoned(_)) => Self::Io(io::Error::other(error)),
            error => Self::Damaged(error.to_string()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    };

    use redb::{StorageBackend, backends::FileBackend};

    use super::*;
    use crate::keys;

    /// A disk that is full after a number of operations.
    #[derive(Debug)]
    struct FullDisk {
        file: FileBackend,
        /// Operations that still work; the test refills it.
        room: Arc<AtomicI64>,
    }

    impl FullDisk {
        fn spend(&self) -> io::Result<()> {
            if self.room.fetch_sub(1, Ordering::SeqCst) > 0 {
                return Ok(());
            }
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    impl StorageBackend for FullDisk {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.file.read(offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.spend()?;
            self.file.set_len(len)
        }
        fn sync_data(&self) -> io::Result<()> {
            self.spend()?;
            self.file.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.spend()?;
            self.file.write(offset, data)
        }
        fn close(&self) -> io::Result<()> {
            self.file.close()
        }
    }

    #[test]
    fn a_disk_that_fills_up_at_any_write_loses_nothing_and_is_used_again_when_it_has_room() {
        let base = tempfile::tempdir().unwrap();
        let room = Arc::new(AtomicI64::new(i64::MAX));
        let mut refused = 0;
        let mut operations = 0;
        // Every position in the commit of the second batch, until one finds room for all of it.
        for position in 0.. {
            let path = base.path().join(format!("{position}.redb"));
            room.store(i64::MAX, Ordering::SeqCst);
            let disk = Arc::clone(&room);
            let store = RedbStore::open_by(&path, move |path| {
                let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
                let disk = FullDisk {
                    file: FileBackend::new(file)?,
                    room: Arc::clone(&disk),
                };
                Database::builder().create_with_backend(disk)
            })
            .unwrap();
            let (first, second) = (keys::deal(&[1; 32]), keys::deal(&[2; 32]));
            store
                .apply(Batch::new().put(first.clone(), *b"acknowledged"))
                .unwrap();
            let mut batch = Batch::new();
            batch
                .put(second.clone(), vec![2; 200_000])
                .delete(keys::deal(&[3; 32]));

            room.store(position, Ordering::SeqCst);
            let outcome = store.apply(&batch);
            if outcome.is_ok() {
                operations = position;
                break;
            }
            refused += 1;
            let error = outcome.unwrap_err();
            assert!(matches!(error, StoreError::Io(_)), "{error}");
            assert!(store.apply(&batch).is_err(), "still no room");

            room.store(i64::MAX, Ordering::SeqCst);
            assert_eq!(store.get(&first).unwrap().unwrap(), b"acknowledged");
            let there = store.get(&second).unwrap();
            assert!(
                there.is_none_or(|value| value == vec![2; 200_000]),
                "half a batch"
            );
            store.apply(&batch).unwrap();
            assert_eq!(store.get(&second).unwrap().unwrap().len(), 200_000);
        }
        assert!(
            refused > 2 && refused == operations,
            "{refused} of {operations}"
        );
    }
}
