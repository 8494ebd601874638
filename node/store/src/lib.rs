//! What a node must not forget, under every stage of a job.
//!
//! One ordered key space with typed keys ([`keys`]), one small trait ([`Store`]: get, scan, apply a
//! [`Batch`] atomically), one folder that one process may open at a time ([`DataFolder`]), and a
//! schema version that is migrated forwards and never guessed at ([`schema`]).
//!
//! Adapters: [`RedbStore`] (the default), `SledStore` (feature `sled`) and [`MemoryStore`] (tests
//! and simulation, with faults drawn by the caller). All three pass the same conformance tests.
//!
//! ```
//! use outcry_store::{Batch, MemoryStore, Store, StoreError, entries, keys};
//!
//! let store = MemoryStore::new();
//! let (deal, bid) = ([1; 32], [2; 32]);
//! let mut opened = Batch::new();
//! opened
//!     .expect(keys::deal(&deal), None)
//!     .put(keys::deal(&deal), *b"open")
//!     .put(keys::deal_of_bid(&bid, &deal), Vec::new());
//! store.apply(&opened)?;
//!
//! // Decided on the same state twice: the second one loses, whole.
//! assert!(matches!(store.apply(&opened), Err(StoreError::Conflict(_))));
//! assert_eq!(entries(&store, &keys::deals_of_bid(&bid)).count(), 1);
//! # Ok::<(), StoreError>(())
//! ```
//!
//! redb is the default because a crash while sled 0.34.7 writes a snapshot leaves a torn file that
//! it then refuses to open.
//!
//! Invariants:
//! - [`Store::apply`] returns `Ok` only when the batch is on disk; after a kill or a power cut the
//!   store opens with a prefix of the applied batches, and every acknowledged one is in it.
//! - Nothing here knows what a value means: no orders, no chain, no network, no clock.

mod batch;
mod error;
mod folder;
pub mod keys;
mod memory;
mod redb_store;
pub mod schema;
#[cfg(feature = "sled")]
mod sled_store;

use std::sync::Arc;

pub use batch::{BATCH_BYTES_MAX, Batch, KEY_BYTES_MAX, VALUE_BYTES_MAX};
pub use error::StoreError;
pub use folder::DataFolder;
pub use keys::{Key, Prefix};
pub use memory::{Fault, MemoryStore};
pub use redb_store::RedbStore;
#[cfg(feature = "sled")]
pub use sled_store::SledStore;

/// One key with its value.
pub type Entry = (Key, Vec<u8>);

/// Entries fetched at a time by [`entries`]. A page of the largest records that the node keeps
/// (a few KiB) then stays below 1 MiB.
pub const PAGE_ENTRIES: usize = 256;

/// An ordered map from keys to bytes whose changes are atomic and durable.
///
/// Every method may block on the disk for as long as an `fsync` takes; an asynchronous caller that
/// writes large batches does so from a blocking thread.
pub trait Store: Send + Sync + std::fmt::Debug + 'static {
    /// The value under `key`, or `None`.
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError>;

    /// At most `limit` entries under `prefix`, in ascending order of their keys, strictly after
    /// `after` when it is given. Fewer than `limit` entries mean that there are no more.
    ///
    /// One call sees one state; two calls may see two. A `limit` of zero returns nothing.
    fn scan(
        &self,
        prefix: &Prefix,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError>;

    /// Checks the batch's expectations and makes all its writes, or none of them, durably.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when an expectation does not hold: nothing was written.
    /// [`StoreError::TooLarge`] before anything is written. After [`StoreError::Io`] the batch is
    /// there wholly or not at all; earlier batches are untouched, and the same batch may be
    /// applied again.
    fn apply(&self, batch: &Batch) -> Result<(), StoreError>;
}

/// Which adapter keeps a data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// redb, one file.
    #[default]
    Redb,
    /// sled, one folder. Only in builds with the feature `sled`.
    #[cfg(feature = "sled")]
    Sled,
}

/// Opens the store of a data folder, creating it when it is new, and migrates it to the schema of
/// this build.
///
/// # Errors
/// [`StoreError::Newer`] when a newer build wrote it; the adapter's own errors otherwise.
pub fn open(folder: &DataFolder, engine: Engine) -> Result<Arc<dyn Store>, StoreError> {
    let store: Arc<dyn Store> = match engine {
        Engine::Redb => Arc::new(RedbStore::open(&folder.path().join("store.redb"))?),
        #[cfg(feature = "sled")]
        Engine::Sled => Arc::new(SledStore::open(&folder.path().join("store.sled"))?),
    };
    schema::migrate(store.as_ref())?;
    Ok(store)
}

/// Iterates over everything under a prefix, [`PAGE_ENTRIES`] at a time.
///
/// Each page is consistent in itself; entries written between two pages may or may not be seen.
/// The iteration ends after the first error.
pub fn entries<'a>(store: &'a dyn Store, prefix: &Prefix) -> Entries<'a> {
    Entries {
        store,
        prefix: prefix.clone(),
        page: Vec::new().into_iter(),
        after: None,
        done: false,
    }
}

/// Iterator of [`entries`].
#[derive(Debug)]
pub struct Entries<'a> {
    store: &'a dyn Store,
    prefix: Prefix,
    page: std::vec::IntoIter<Entry>,
    after: Option<Key>,
    done: bool,
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.len() == 0 && !self.done {
            match self
                .store
                .scan(&self.prefix, self.after.as_ref(), PAGE_ENTRIES)
            {
                Ok(page) => {
                    self.done = page.len() < PAGE_ENTRIES;
                    self.page = page.into_iter();
                }
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        let entry = self.page.next()?;
        self.after = Some(entry.0.clone());
        Some(Ok(entry))
    }
}
