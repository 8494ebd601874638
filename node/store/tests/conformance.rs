//! What every adapter must do, run against each of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeMap, path::Path};

use outcry_store::{
    BATCH_BYTES_MAX, Batch, KEY_BYTES_MAX, Key, MemoryStore, Prefix, RedbStore, Store, StoreError,
    VALUE_BYTES_MAX, entries, keys, keys::Table,
};
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};

/// Opens the store of a folder; called again, opens the same content again.
trait Adapter {
    fn open(&self, folder: &Path) -> Box<dyn Store>;
}

struct Redb;
impl Adapter for Redb {
    fn open(&self, folder: &Path) -> Box<dyn Store> {
        Box::new(RedbStore::open(&folder.join("store.redb")).unwrap())
    }
}

#[cfg(feature = "sled")]
struct Sled;
#[cfg(feature = "sled")]
impl Adapter for Sled {
    fn open(&self, folder: &Path) -> Box<dyn Store> {
        Box::new(outcry_store::SledStore::open(&folder.join("store.sled")).unwrap())
    }
}

struct Memory(MemoryStore);
impl Adapter for Memory {
    fn open(&self, _: &Path) -> Box<dyn Store> {
        Box::new(self.0.restart())
    }
}

macro_rules! conformance {
    ($($test:ident)*) => {
        mod redb { $( #[test] fn $test() { super::$test(&super::Redb) } )* }
        #[cfg(feature = "sled")]
        mod sled { $( #[test] fn $test() { super::$test(&super::Sled) } )* }
        mod memory {
            $( #[test] fn $test() { super::$test(&super::Memory(Default::default())) } )*
        }
    };
}

conformance! {
    what_is_put_is_got_and_what_is_deleted_is_gone
    a_batch_whose_expectation_fails_changes_nothing
    expectations_are_about_the_state_before_the_batch
    a_scan_is_ordered_bounded_and_continues_after_a_key
    iterating_crosses_pages
    limits_are_refused_before_anything_is_written
    racing_writers_with_expectations_lose_no_update
    any_sequence_of_batches_leaves_what_the_model_says
}

fn hash(byte: u8) -> [u8; 32] {
    [byte; 32]
}

fn what_is_put_is_got_and_what_is_deleted_is_gone(adapter: &dyn Adapter) {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = adapter.open(folder.path());
        assert_eq!(store.get(&keys::deal(&hash(1))).unwrap(), None);
        let mut batch = Batch::new();
        batch
            .put(keys::deal(&hash(1)), *b"one")
            .put(keys::deal(&hash(2)), Vec::new());
        store.apply(&batch).unwrap();
        store
            .apply(Batch::new().delete(keys::deal(&hash(3))))
            .unwrap();
    }
    let store = adapter.open(folder.path());
    assert_eq!(store.get(&keys::deal(&hash(1))).unwrap().unwrap(), b"one");
    assert_eq!(
        store.get(&keys::deal(&hash(2))).unwrap().unwrap(),
        b"",
        "empty is not absent"
    );
    store
        .apply(Batch::new().delete(keys::deal(&hash(1))))
        .unwrap();
    assert_eq!(store.get(&keys::deal(&hash(1))).unwrap(), None);
    assert_eq!(store.get(&keys::deal(&hash(2))).unwrap().unwrap(), b"");
}

fn a_batch_whose_expectation_fails_changes_nothing(adapter: &dyn Adapter) {
    let folder = tempfile::tempdir().unwrap();
    let store = adapter.open(folder.path());
    let (seen, other) = (keys::deal(&hash(1)), keys::deal(&hash(2)));
    store
        .apply(Batch::new().put(seen.clone(), *b"new"))
        .unwrap();
    for expected in [None, Some(b"old".to_vec()), Some(Vec::new())] {
        let mut batch = Batch::new();
        batch
            .expect(seen.clone(), expected)
            .put(other.clone(), *b"x")
            .delete(seen.clone());
        let error = store.apply(&batch).unwrap_err();
        assert!(
            matches!(&error, StoreError::Conflict(key) if *key == seen),
            "{error}"
        );
        assert_eq!(store.get(&seen).unwrap().unwrap(), b"new");
        assert_eq!(store.get(&other).unwrap(), None);
    }
    let mut batch = Batch::new();
    batch
        .expect(seen.clone(), Some(b"new".to_vec()))
        .put(other.clone(), *b"x");
    store.apply(&batch).unwrap();
    assert_eq!(store.get(&other).unwrap().unwrap(), b"x");
}

fn expectations_are_about_the_state_before_the_batch(adapter: &dyn Adapter) {
    let folder = tempfile::tempdir().unwrap();
    let store = adapter.open(folder.path());
    let key = keys::singleton("counter");
    let mut batch = Batch::new();
    batch.put(key.clone(), *b"1").expect(key.clone(), None);
    store.apply(&batch).unwrap();
    assert!(store.apply(&batch).is_err());
}

fn a_scan_is_ordered_bounded_and_continues_after_a_key(adapter: &dyn Adapter) {
    let folder = tempfile::tempdir().unwrap();
    let store = adapter.open(folder.path());
    let mut batch = Batch::new();
    for sequence in [300, 2, 1, 255, 256] {
        batch.put(keys::job_event(&hash(7), sequence), sequence.to_be_bytes());
    }
    // Neighbours of the prefix on both sides.
    batch.put(keys::job_event(&hash(6), u64::MAX), *b"before");
    batch.put(keys::job_event(&hash(8), 0), *b"behind");
    store.apply(&batch).unwrap();

    let prefix = keys::job_events(&hash(7));
    let numbers = |after: Option<&Key>, limit| -> Vec<u64> {
        let page = store.scan(&prefix, after, limit).unwrap();
        page.iter()
            .map(|(_, value)| u64::from_be_bytes(value[..].try_into().unwrap()))
            .collect()
    };
    assert_eq!(numbers(None, 100), [1, 2, 255, 256, 300]);
    assert_eq!(numbers(None, 2), [1, 2]);
    assert_eq!(numbers(Some(&keys::job_event(&hash(7), 2)), 2), [255, 256]);
    assert_eq!(
        numbers(Some(&keys::job_event(&hash(7), 3)), 1),
        [255],
        "after an absent key"
    );
    assert_eq!(numbers(Some(&keys::job_event(&hash(7), 300)), 10), []);
    assert_eq!(
        numbers(Some(&keys::job_event(&hash(6), 9)), 1),
        [1],
        "after a key before it"
    );
    assert_eq!(
        numbers(Some(&keys::job_event(&hash(8), 0)), 10),
        [],
        "after a key behind it"
    );
    assert_eq!(numbers(None, 0), []);
    assert_eq!(
        store.scan(&Prefix::table(Table::Deal), None, 9).unwrap(),
        []
    );
}

fn iterating_crosses_pages(adapter: &dyn Adapter) {
    let folder = tempfile::tempdir().unwrap();
    let store = adapter.open(folder.path());
    // Whole pages, so that the last one is full and an empty one follows.
    let count = 2 * outcry_store::PAGE_ENTRIES as u64;
    let mut batch = Batch::new();
    for sequence in 0..count {
        batch.put(keys::job_event(&hash(1), sequence), *b"x");
    }
    store.apply(&batch).unwrap();
    let found: Vec<Key> = entries(store.as_ref(), &keys::job_events(&hash(1)))
        .map(|entry| entry.unwrap().0)
        .collect();
    let wanted: Vec<Key> = (0..count).map(|n| keys::job_event(&hash(1), n)).collect();
    assert_eq!(found, wanted);
}

fn limits_are_refused_before_anything_is_written(adapter: &dyn Adapter) {
    let folder = tempfile::tempdir().unwrap();
    let store = adapter.open(folder.path());
    let good = keys::deal(&hash(1));
    let refused = |batch: &mut Batch, what: &str| {
        batch.put(good.clone(), *b"x");
        match store.apply(batch).unwrap_err() {
            StoreError::TooLarge { what: found, .. } => assert_eq!(found, what),
            error => panic!("{error}"),
        }
        assert_eq!(store.get(&good).unwrap(), None);
    };
    let long = "n".repeat(KEY_BYTES_MAX);
    refused(Batch::new().put(keys::singleton(&long), *b""), "key");
    refused(
        Batch::new().put(keys::deal(&hash(2)), vec![0; VALUE_BYTES_MAX + 1]),
        "value",
    );
    let mut batch = Batch::new();
    for n in 0..BATCH_BYTES_MAX / VALUE_BYTES_MAX {
        batch.put(keys::deal(&hash(10 + n as u8)), vec![0; VALUE_BYTES_MAX]);
    }
    refused(&mut batch, "batch");
    let longest = "n".repeat(KEY_BYTES_MAX - 1);
    store
        .apply(Batch::new().put(keys::singleton(&longest), vec![7; VALUE_BYTES_MAX]))
        .unwrap();
    assert_eq!(
        store
            .get(&keys::singleton(&longest))
            .unwrap()
            .unwrap()
            .len(),
        VALUE_BYTES_MAX
    );
}

fn racing_writers_with_expectations_lose_no_update(adapter: &dyn Adapter) {
    const WRITERS: u64 = 4;
    const UPDATES: u64 = 25;
    let folder = tempfile::tempdir().unwrap();
    let store = adapter.open(folder.path());
    let key = keys::order_sequence(&[1; 20]);
    store
        .apply(Batch::new().put(key.clone(), 0u64.to_be_bytes()))
        .unwrap();
    let add_one = || {
        // Each conflict means that another writer got on, so all get through.
        for _ in 0..WRITERS * UPDATES {
            let before = store.get(&key).unwrap().unwrap();
            let next = u64::from_be_bytes(before[..].try_into().unwrap()) + 1;
            let mut batch = Batch::new();
            batch
                .expect(key.clone(), Some(before))
                .put(key.clone(), next.to_be_bytes());
            match store.apply(&batch) {
                Ok(()) => return,
                Err(StoreError::Conflict(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        panic!("more conflicts than updates");
    };
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| (0..UPDATES).for_each(|_| add_one()));
        }
    });
    let last = store.get(&key).unwrap().unwrap();
    assert_eq!(
        u64::from_be_bytes(last[..].try_into().unwrap()),
        WRITERS * UPDATES
    );
}

fn any_sequence_of_batches_leaves_what_the_model_says(adapter: &dyn Adapter) {
    let write = (0u8..3, 0u8..6, prop::option::of(vec(any::<u8>(), 0..40)));
    let sequence = vec((vec(write, 0..8), any::<bool>()), 1..12);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 24,
        ..ProptestConfig::default()
    });
    runner
        .run(&sequence, |batches| {
            let folder = tempfile::tempdir().unwrap();
            let mut model: BTreeMap<Key, Vec<u8>> = BTreeMap::new();
            let mut store = adapter.open(folder.path());
            // The memory adapter keeps its content between cases.
            let left: Vec<_> = entries(store.as_ref(), &Prefix::table(Table::DealOfBid))
                .map(|entry| entry.unwrap().0)
                .collect();
            let mut clear = Batch::new();
            left.into_iter().for_each(|key| {
                clear.delete(key);
            });
            store.apply(&clear).unwrap();
            for (writes, reopen) in batches {
                let mut batch = Batch::new();
                for (bid, deal, value) in writes {
                    let key = keys::deal_of_bid(&hash(bid), &hash(deal));
                    match value {
                        Some(value) => {
                            batch.put(key.clone(), value.clone());
                            model.insert(key, value);
                        }
                        None => {
                            batch.delete(key.clone());
                            model.remove(&key);
                        }
                    }
                }
                store.apply(&batch).unwrap();
                if reopen {
                    drop(store);
                    store = adapter.open(folder.path());
                }
                for bid in 0..3 {
                    let prefix = keys::deals_of_bid(&hash(bid));
                    let found = store.scan(&prefix, None, 100).unwrap();
                    let wanted: Vec<_> = model
                        .iter()
                        .filter(|(key, _)| key.after(&prefix).is_some())
                        .map(|(key, value)| (key.clone(), value.clone()))
                        .collect();
                    prop_assert_eq!(found, wanted);
                }
            }
            Ok(())
        })
        .unwrap();
}
