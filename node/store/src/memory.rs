use std::{
    collections::BTreeMap,
    io,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{Batch, Entry, Key, Prefix, Store, StoreError};

/// A store in memory, for tests and simulation. It behaves as a disk does: what is written
/// survives [`MemoryStore::restart`], and faults are injected by the count of writes.
#[derive(Debug, Default)]
pub struct MemoryStore {
    disk: Arc<Mutex<BTreeMap<Key, Vec<u8>>>>,
    faults: Mutex<Faults>,
}

/// What goes wrong. Writes are counted from the moment of injection, the next one is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The n-th write fails and changes nothing, as on a full disk; later writes work.
    Refuse(u64),
    /// The process dies before the n-th write reaches the disk.
    CrashBefore(u64),
    /// The process dies after the n-th write reached the disk, before its caller knew.
    CrashAfter(u64),
}

#[derive(Debug, Default)]
struct Faults {
    writes: u64,
    pending: Vec<(u64, Fault)>,
    crashed: bool,
}

impl MemoryStore {
    /// An empty store without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Arms a fault. Several may be armed.
    pub fn inject(&self, fault: Fault) {
        let mut faults = lock(&self.faults);
        let (Fault::Refuse(n) | Fault::CrashBefore(n) | Fault::CrashAfter(n)) = fault;
        let at = faults.writes.saturating_add(n);
        faults.pending.push((at, fault));
    }

    /// The store as the next process finds it: the same content, no faults.
    pub fn restart(&self) -> Self {
        Self {
            disk: Arc::clone(&self.disk),
            faults: Mutex::default(),
        }
    }

    /// Writes so far, failed ones included.
    pub fn writes(&self) -> u64 {
        lock(&self.faults).writes
    }

    /// Every entry, for comparing two states.
    pub fn snapshot(&self) -> BTreeMap<Key, Vec<u8>> {
        lock(&self.disk).clone()
    }

    fn check_alive(&self) -> Result<(), StoreError> {
        if lock(&self.faults).crashed {
            return Err(io::Error::other("injected: the process has crashed").into());
        }
        Ok(())
    }

    /// Counts a write and returns the fault that strikes it.
    fn next_fault(&self) -> Option<Fault> {
        let mut faults = lock(&self.faults);
        faults.writes += 1;
        let now = faults.writes;
        let index = faults.pending.iter().position(|(at, _)| *at == now)?;
        let (_, fault) = faults.pending.swap_remove(index);
        faults.crashed = !matches!(fault, Fault::Refuse(_));
        Some(fault)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that holds these locks can leave the data half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store for MemoryStore {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.check_alive()?;
        Ok(lock(&self.disk).get(key).cloned())
    }

    fn scan(
        &self,
        prefix: &Prefix,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.check_alive()?;
        let from = match after {
            Some(key) if key.as_bytes() >= prefix.as_bytes() => Bound::Excluded(key.clone()),
            _ => Bound::Included(Key::from_bytes(prefix.as_bytes())),
        };
        Ok(lock(&self.disk)
            .range((from, Bound::Unbounded))
            .take_while(|(key, _)| key.after(prefix).is_some())
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        self.check_alive()?;
        batch.check_limits()?;
        let mut disk = lock(&self.disk);
        batch.check_expectations(|key| Ok(disk.get(key).cloned()))?;
        let fault = self.next_fault();
        if matches!(fault, Some(Fault::Refuse(_) | Fault::CrashBefore(_))) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "injected").into());
        }
        for (key, value) in batch.writes() {
            match value {
                Some(value) => disk.insert(key.clone(), value.to_vec()),
                None => disk.remove(key),
            };
        }
        match fault {
            Some(_) => Err(io::Error::other("injected: the process has crashed").into()),
            None => Ok(()),
        }
    }
}
