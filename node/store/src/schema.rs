//! The version of everything in the store, and the way from each version to the next.

use crate::keys::{self, Prefix, Table};
use crate::{Batch, Store, StoreError, entries};

/// The version that this build reads and writes.
pub const VERSION: u32 = 3;

/// Rewrites a store of one version into the next. Returns the writes; they are applied in one
/// batch with the new version, so that a crash leaves the old or the new store.
type Migration = fn(&dyn Store) -> Result<Batch, StoreError>;

/// `MIGRATIONS[i]` leads from version `i + 1` to `i + 2`.
const MIGRATIONS: &[Migration] = &[read_chain_again, read_chain_again];
const _: () = assert!(MIGRATIONS.len() + 1 == VERSION as usize);

/// Version 2 has prices, which follow from all deals since the market's deployment, and version 3 follows
/// the auction: the node reads its blocks from the chain once more. What it did and signed itself stays.
fn read_chain_again(store: &dyn Store) -> Result<Batch, StoreError> {
    let mut batch = Batch::new();
    for table in [
        Table::Checkpoint,
        Table::Job,
        Table::Deal,
        Table::Dispute,
        Table::Audit,
        Table::Beacon,
        Table::AuditSeat,
        Table::Candle,
    ] {
        for entry in entries(store, &Prefix::table(table)) {
            batch.delete(entry?.0);
        }
    }
    batch
        .delete(keys::singleton("audits"))
        .delete(keys::singleton("prices"));
    Ok(batch)
}

/// What [`migrate`] did: the versions before and after. `from` is `None` for a new store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// Version found.
    pub from: Option<u32>,
    /// Version now.
    pub to: u32,
}

/// The version of a store; `None` when nothing was ever written to it.
pub fn version(store: &dyn Store) -> Result<Option<u32>, StoreError> {
    let Some(bytes) = store.get(&keys::schema())? else {
        return Ok(None);
    };
    match bytes.try_into() {
        Ok(bytes) => Ok(Some(u32::from_be_bytes(bytes))),
        Err(_) => Err(StoreError::Damaged(
            "the schema version is not four bytes".into(),
        )),
    }
}

/// Brings a store to [`VERSION`], one version at a time.
///
/// # Errors
/// [`StoreError::Newer`] when a newer build wrote it: nothing is changed.
pub fn migrate(store: &dyn Store) -> Result<Migrated, StoreError> {
    migrate_with(store, MIGRATIONS)
}

fn migrate_with(store: &dyn Store, migrations: &[Migration]) -> Result<Migrated, StoreError> {
    let known = migrations.len() as u32 + 1;
    let from = version(store)?;
    let Some(found) = from else {
        let mut batch = Batch::new();
        batch
            .expect(keys::schema(), None)
            .put(keys::schema(), known.to_be_bytes());
        store.apply(&batch)?;
        return Ok(Migrated { from, to: known });
    };
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    if found == 0 {
        return Err(StoreError::Damaged("the schema version is zero".into()));
    }
    for (step, migration) in migrations.iter().enumerate().skip(found as usize - 1) {
        let (before, after) = (step as u32 + 1, step as u32 + 2);
        let mut batch = migration(store)?;
        batch
            .expect(keys::schema(), Some(before.to_be_bytes().into()))
            .put(keys::schema(), after.to_be_bytes());
        store.apply(&batch)?;
        tracing::info!(before, after, "migrated the store");
    }
    Ok(Migrated { from, to: known })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Fault, MemoryStore};

    fn rename(store: &dyn Store) -> Result<Batch, StoreError> {
        let mut batch = Batch::new();
        if let Some(value) = store.get(&keys::singleton("old"))? {
            batch
                .delete(keys::singleton("old"))
                .put(keys::singleton("new"), value);
        }
        Ok(batch)
    }

    fn store_of_version_one() -> MemoryStore {
        let store = MemoryStore::new();
        migrate_with(&store, &[]).unwrap();
        store
            .apply(Batch::new().put(keys::singleton("old"), *b"kept"))
            .unwrap();
        store
    }

    #[test]
    fn a_new_store_gets_the_version_of_the_build() {
        let store = MemoryStore::new();
        assert_eq!(
            migrate(&store).unwrap(),
            Migrated {
                from: None,
                to: VERSION
            }
        );
        assert_eq!(version(&store).unwrap(), Some(VERSION));
    }

    #[test]
    fn an_older_store_is_rewritten_with_its_version_in_one_batch() {
        let store = store_of_version_one();
        assert_eq!(
            migrate_with(&store, &[rename]).unwrap(),
            Migrated {
                from: Some(1),
                to: 2
            }
        );
        assert_eq!(
            store.get(&keys::singleton("new")).unwrap().unwrap(),
            b"kept"
        );
        assert_eq!(store.get(&keys::singleton("old")).unwrap(), None);
        assert_eq!(
            migrate_with(&store, &[rename]).unwrap(),
            Migrated {
                from: Some(2),
                to: 2
            }
        );
    }

    #[test]
    fn a_store_without_prices_reads_the_chain_again_and_keeps_what_is_its_own() {
        let store = MemoryStore::new();
        migrate_with(&store, &[]).unwrap();
        let of_chain = [
            keys::checkpoint(&[1; 20], 7),
            keys::deal(&[2; 32]),
            keys::job(&[3; 32]),
            keys::dispute(&[4; 32]),
            keys::audit(&[5; 32]),
            keys::beacon(6),
            keys::audit_seat(&[7; 20]),
            keys::singleton("audits"),
        ];
        let own = [keys::bid(&[8; 32]), keys::transaction(&[9; 20], &[9; 32])];
        let mut batch = Batch::new();
        for key in of_chain.iter().chain(&own) {
            batch.put(key.clone(), *b"old");
        }
        store.apply(&batch).unwrap();
        migrate(&store).unwrap();
        for key in &of_chain {
            assert_eq!(store.get(key).unwrap(), None, "{key}");
        }
        for key in &own {
            assert!(store.get(key).unwrap().is_some(), "{key}");
        }
    }

    #[test]
    fn a_crash_in_a_migration_leaves_the_old_store() {
        let store = store_of_version_one();
        store.inject(Fault::CrashBefore(1));
        migrate_with(&store, &[rename]).unwrap_err();
        let store = store.restart();
        assert_eq!(version(&store).unwrap(), Some(1));
        assert_eq!(
            store.get(&keys::singleton("old")).unwrap().unwrap(),
            b"kept"
        );
    }

    #[test]
    fn a_newer_store_is_refused_and_left_as_it_is() {
        let store = store_of_version_one();
        migrate_with(&store, &[rename]).unwrap();
        let error = migrate_with(&store, &[]).unwrap_err();
        assert!(
            matches!(error, StoreError::Newer { found: 2, known: 1 }),
            "{error}"
        );
        assert_eq!(version(&store).unwrap(), Some(2));
    }
}
