//! Files derived from content, kept by the hash of what they were derived from: linked images and
//! compiled code.
//!
//! The folder may be shared by several nodes of one user. A file appears whole or not at all
//! (temporary name, fsync, rename); of several processes that miss the same key one makes it while
//! the others wait on a lock; the folder is bounded in bytes, and the files used longest ago go
//! first.
//!
//! Compiled code is run without further checks. Whoever can write to the folder can therefore run
//! code as the node's user: it is created with mode 0700 and refused when others may write to it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use crate::engine::Failure;

/// Number of lock files; keys are spread over them by their hash, so the number of files stays fixed.
const LOCKS: usize = 16;
/// Times that a file is made again because it was dropped before it was opened.
const EVICTION_RETRIES: usize = 3;
/// A temporary file older than this belongs to a process that died.
const ABANDONED: Duration = Duration::from_secs(3600);
const TEMPORARY_PREFIX: &str = ".new-";

/// A bounded folder of derived files.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
    bytes_max: u64,
}

impl Cache {
    /// Opens the folder, creating it when it is missing.
    ///
    /// # Errors
    /// The folder can't be created, or others than its owner may write to it.
    pub fn open(folder: impl Into<PathBuf>, bytes_max: u64) -> io::Result<Self> {
        let folder = folder.into();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let mode = fs::metadata(&folder)?.permissions().mode();
        if mode & 0o022 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "others may write to {}: run `chmod go-w` on it",
                    folder.display()
                ),
            ));
        }
        Ok(Self { folder, bytes_max })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The most bytes that the folder holds between two insertions.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// The file under `key`, made by `make` when it is missing. It may be dropped as soon as this
    /// returns: who can't open it asks again. An open file stays whole.
    ///
    /// `key` is a file name: hexadecimal digits and an ending.
    ///
    /// # Errors
    /// What `make` reports, or an input/output error.
    pub fn get_or_make<E: From<io::Error>>(
        &self,
        key: &str,
        make: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<PathBuf, E> {
        assert!(
            !key.is_empty()
                && key
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
                && !key.starts_with('.'),
            "a cache key is a plain file name"
        );
        let path = self.folder.join(key);
        if touch(&path)? {
            return Ok(path);
        }
        let _lock = self.lock(key)?;
        if touch(&path)? {
            return Ok(path);
        }
        let content = make()?;
        self.write(key, &content)?;
        self.prune(key)?;
        Ok(path)
    }

    /// The file under `key`, opened by `open`; made again if it was dropped in between.
    pub(crate) fn opened<T>(
        &self,
        key: &str,
        make: impl Fn() -> Result<Vec<u8>, Failure>,
        open: impl Fn(&Path) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut last = Failure::Host(
            "the cache is too small for one artifact: raise executor.cache_mib_max".into(),
        );
        for _ in 0..EVICTION_RETRIES {
            let path = self.get_or_make(key, &make)?;
            match open(&path) {
                Ok(value) => return Ok(value),
                Err(failure) if path.exists() => return Err(failure),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    fn lock(&self, key: &str) -> io::Result<File> {
        let number = blake3::hash(key.as_bytes()).as_bytes()[0] as usize % LOCKS;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.folder.join(format!(".lock-{number}")))?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    }

    fn write(&self, key: &str, content: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .tempfile_in(&self.folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(self.folder.join(key))
            .map_err(|error| error.error)?;
        Ok(())
    }

    /// Drops the files used longest ago until the rest fits. `keep` stays.
    fn prune(&self, keep: &str) -> io::Result<()> {
        let now = SystemTime::now();
        let mut total = 0_u64;
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            let used = metadata.modified().unwrap_or(now);
            if name.starts_with(TEMPORARY_PREFIX) {
                if now.duration_since(used).is_ok_and(|age| age > ABANDONED) {
                    let _ = fs::remove_file(entry.path());
                }
            } else if !name.starts_with('.') {
                total += metadata.len();
                if name != keep {
                    files.push((used, entry.path(), metadata.len()));
                }
            }
        }
        files.sort();
        for (_, path, bytes) in files {
            if total <= self.bytes_max {
                break;
            }
            match fs::remove_file(&path) {
                Ok(()) => total -= bytes,
                // Another process dropped it first.
                Err(error) if error.kind() == io::ErrorKind::NotFound => total -= bytes,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Notes a use of a file, if it is there: the time of the last use decides what is dropped.
fn touch(path: &Path) -> io::Result<bool> {
    match OpenOptions::new().append(true).open(path) {
        Ok(file) => file.set_modified(SystemTime::now()).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn make(content: &[u8]) -> impl FnOnce() -> io::Result<Vec<u8>> + '_ {
        || Ok(content.to_vec())
    }

    fn get(cache: &Cache, key: &str, content: &[u8]) -> Vec<u8> {
        fs::read(cache.get_or_make(key, make(content)).unwrap()).unwrap()
    }

    #[test]
    fn what_was_made_once_is_read_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().join("cache"), 1000).unwrap();
        assert_eq!(get(&cache, "00.image", b"first"), b"first");
        assert_eq!(get(&cache, "00.image", b"second"), b"first");
    }

    #[test]
    fn of_many_that_miss_together_one_makes_and_the_others_wait() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 1000).unwrap();
        let made = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let content = cache.get_or_make("aa.code", || {
                        made.fetch_add(1, Ordering::SeqCst);
                        Ok::<_, io::Error>(b"code".to_vec())
                    });
                    assert_eq!(fs::read(content.unwrap()).unwrap(), b"code");
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }

    #[test]
    fn the_file_used_longest_ago_is_dropped_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 8).unwrap();
        let age = |key: &str, seconds: u64| {
            let file = OpenOptions::new()
                .append(true)
                .open(folder.path().join(key))
                .unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(seconds))
                .unwrap();
        };
        get(&cache, "01", b"old.");
        get(&cache, "02", b"new.");
        age("01", 60);
        age("02", 30);
        assert_eq!(
            get(&cache, "01", b"????"),
            b"old.",
            "a read counts as a use"
        );
        get(&cache, "03", b"last");
        assert!(folder.path().join("01").exists() && folder.path().join("03").exists());
        assert!(!folder.path().join("02").exists());
    }

    #[test]
    fn a_failed_make_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), 8).unwrap();
        cache
            .get_or_make("01", || Err(io::Error::other("compiler died")))
            .unwrap_err();
        assert_eq!(get(&cache, "01", b"good"), b"good");
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = Cache::open(folder.path(), 8).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
