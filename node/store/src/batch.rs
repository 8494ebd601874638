use std::collections::BTreeMap;

use crate::{error::StoreError, keys::Key};

/// Longest key in bytes. The longest key of [`crate::keys`] has 85.
pub const KEY_BYTES_MAX: usize = 128;
/// Longest value in bytes. Larger things are blobs, which are files.
pub const VALUE_BYTES_MAX: usize = 16 << 20;
/// Most bytes of keys and values in one batch. Keeps the memory of one write transaction bounded.
pub const BATCH_BYTES_MAX: usize = 64 << 20;

/// Writes that happen together or not at all, and the values they were decided on.
///
/// The last write to a key wins. Expectations are compared with the state before the batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    expected: BTreeMap<Key, Option<Vec<u8>>>,
    writes: BTreeMap<Key, Option<Vec<u8>>>,
}

impl Batch {
    /// A batch that does nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes `value` under `key`.
    pub fn put(&mut self, key: Key, value: impl Into<Vec<u8>>) -> &mut Self {
        self.writes.insert(key, Some(value.into()));
        self
    }

    /// Removes `key`; it need not exist.
    pub fn delete(&mut self, key: Key) -> &mut Self {
        self.writes.insert(key, None);
        self
    }

    /// Makes the whole batch depend on `key` holding exactly `value` (`None`: being absent).
    pub fn expect(&mut self, key: Key, value: Option<Vec<u8>>) -> &mut Self {
        self.expected.insert(key, value);
        self
    }

    /// Adds everything of `later`; where both write a key, `later` wins.
    pub fn extend(&mut self, later: Batch) -> &mut Self {
        self.expected.extend(later.expected);
        self.writes.extend(later.writes);
        self
    }

    /// The writes in ascending order of their keys; `None` removes.
    pub fn writes(&self) -> impl Iterator<Item = (&Key, Option<&[u8]>)> {
        self.writes
            .iter()
            .map(|(key, value)| (key, value.as_deref()))
    }

    /// The expectations in ascending order of their keys; `None` is absence.
    pub fn expectations(&self) -> impl Iterator<Item = (&Key, Option<&[u8]>)> {
        self.expected
            .iter()
            .map(|(key, value)| (key, value.as_deref()))
    }

    /// Whether it neither writes nor expects anything.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.expected.is_empty()
    }

    /// Checks the limits; every adapter calls it before it writes anything.
    pub(crate) fn check_limits(&self) -> Result<(), StoreError> {
        let mut total = 0usize;
        for (key, value) in self.writes() {
            let value = value.map_or(0, <[u8]>::len);
            for (what, length, limit) in [
                ("key", key.as_bytes().len(), KEY_BYTES_MAX),
                ("value", value, VALUE_BYTES_MAX),
            ] {
                if length > limit {
                    return Err(StoreError::TooLarge {
                        what,
                        length,
                        limit,
                    });
                }
            }
            total = total
                .saturating_add(key.as_bytes().len())
                .saturating_add(value);
        }
        if total > BATCH_BYTES_MAX {
            return Err(StoreError::TooLarge {
                what: "batch",
                length: total,
                limit: BATCH_BYTES_MAX,
            });
        }
        Ok(())
    }

    /// The first expectation that `current` contradicts, as the error that reports it.
    pub(crate) fn check_expectations(
        &self,
        mut current: impl FnMut(&Key) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<(), StoreError> {
        for (key, expected) in self.expectations() {
            if current(key)?.as_deref() != expected {
                return Err(StoreError::Conflict(key.clone()));
            }
        }
        Ok(())
    }
}
