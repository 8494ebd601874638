//! A process that is killed while it writes a blob leaves none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use outcry_net::{BlobStore, BlobStoreConfig};
use tokio::io::AsyncReadExt;

const DIRECTORY: &str = "OUTCRY_TEST_BLOB_STORE";
const NAME: &str = "a_process_killed_in_the_middle_of_a_put_leaves_no_blob";

async fn open(directory: &Path) -> BlobStore {
    BlobStore::open(BlobStoreConfig {
        directory: directory.to_owned(),
        capacity_bytes: 1 << 30,
    })
    .await
    .unwrap()
}

/// The process to be killed: this test itself, started again. It puts one blob whole, then part
/// of an endless one, says so, and waits for its end.
async fn put_and_wait(directory: &Path) {
    let store = open(directory).await;
    let whole = store.put_bytes(&[7; 100_000]).await.unwrap();
    let (mut reader, writer) = tokio::io::duplex(1 << 16);
    let endless = tokio::spawn(async move {
        let mut writer = writer;
        loop {
            tokio::io::AsyncWriteExt::write_all(&mut writer, &[8; 4096])
                .await
                .unwrap();
        }
    });
    // A gate in the stream: after 10 MiB nothing more comes.
    let gated = (&mut reader)
        .take(10 << 20)
        .chain(tokio::io::BufReader::new(never()));
    let put = store.put(Box::pin(gated), u64::MAX);
    tokio::pin!(put);
    loop {
        tokio::select! {
            _ = &mut put => unreachable!("the content does not end"),
            () = tokio::task::yield_now() => {
                if store.usage().bytes >= whole.length + (10 << 20) {
                    println!("{}", whole.hash);
                    break;
                }
            }
        }
    }
    put.await.unwrap();
    endless.await.unwrap();
}

/// A reader from which nothing ever comes.
fn never() -> tokio::io::DuplexStream {
    let (reader, writer) = tokio::io::duplex(1);
    std::mem::forget(writer);
    reader
}

#[tokio::test]
async fn a_process_killed_in_the_middle_of_a_put_leaves_no_blob() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return put_and_wait(Path::new(&directory)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(DIRECTORY, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let whole = lines
        .find_map(|line| {
            let line = line.unwrap();
            let word = line.split_whitespace().last()?;
            blake3::Hash::from_hex(word).ok()
        })
        .expect("the child says when it is in the middle");
    child.kill().unwrap();
    child.wait().unwrap();
    let left = std::fs::read_dir(directory.path().join("incoming")).unwrap();
    assert!(left.count() > 0, "it was in the middle of a put");

    let store = open(directory.path()).await;
    let usage = store.usage();
    assert_eq!((usage.blobs, usage.bytes), (1, 100_000));
    let blob = store.get(&whole).unwrap().unwrap();
    assert_eq!(blob.read_all(100_000).unwrap(), vec![7; 100_000]);
    let left = std::fs::read_dir(directory.path().join("incoming")).unwrap();
    assert_eq!(left.count(), 0);
}
