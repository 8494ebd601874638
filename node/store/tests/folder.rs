//! One process per data folder, and one version per store.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;

use outcry_store::{Batch, DataFolder, Engine, RedbStore, StoreError, keys, schema};

#[test]
fn a_second_process_is_refused_until_the_first_lets_go() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("node");
    let first = DataFolder::open(&path).unwrap();
    let error = DataFolder::open(&path).unwrap_err();
    assert!(
        matches!(&error, StoreError::Locked(locked) if *locked == path),
        "{error}"
    );
    drop(first);
    DataFolder::open(&path).unwrap();
}

#[test]
fn the_folder_is_for_its_owner_only() {
    let base = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(&base.path().join("node")).unwrap();
    let mode = folder.path().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_store_of_a_newer_build_is_refused_and_kept() {
    let base = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(base.path()).unwrap();
    let newer = schema::VERSION + 1;
    {
        let store = outcry_store::open(&folder, Engine::Redb).unwrap();
        store
            .apply(Batch::new().put(keys::schema(), newer.to_be_bytes()))
            .unwrap();
    }
    let error = outcry_store::open(&folder, Engine::Redb).unwrap_err();
    assert!(
        matches!(error, StoreError::Newer { found, .. } if found == newer),
        "{error}"
    );
    let store = RedbStore::open(&folder.path().join("store.redb")).unwrap();
    assert_eq!(schema::version(&store).unwrap(), Some(newer));
}

#[test]
fn a_file_that_is_no_store_is_named_as_damaged() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("store.redb");
    for content in [&b""[..], b"not a store", &[0; 8192]] {
        std::fs::write(&path, content).unwrap();
        let error = RedbStore::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "{error}");
        assert_eq!(
            std::fs::read(&path).unwrap(),
            content,
            "it is left as it is"
        );
    }
}
