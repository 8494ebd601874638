//! A process that writes is killed at any moment; the store opens with everything acknowledged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use outcry_store::{
    Batch, DataFolder, Engine, Prefix, Store, StoreError, entries, keys, keys::Table,
};

/// Names the folder for the process that writes; it is this same test, started again.
const CHILD_FOLDER: &str = "OUTCRY_STORE_TEST_FOLDER";
/// More batches than any parent waits for.
const BATCHES_MAX: u64 = 10_000;

/// The `n`-th batch: a counter, a few records that later batches overwrite or delete, and now and
/// then a value of many pages, so that commits of different lengths are interrupted.
fn batch(n: u64) -> Batch {
    let mut batch = Batch::new();
    batch.put(keys::singleton("batches"), n.to_be_bytes());
    let length = if n.is_multiple_of(7) { 300_000 } else { 100 };
    batch.put(keys::job_event(&[1; 32], n % 40), vec![n as u8; length]);
    batch.put(keys::job_event(&[2; 32], n % 13), n.to_be_bytes());
    batch.delete(keys::job_event(&[1; 32], (n + 11) % 40));
    batch
}

fn count(store: &dyn Store) -> u64 {
    let value = store.get(&keys::singleton("batches")).unwrap();
    value.map_or(0, |bytes| u64::from_be_bytes(bytes[..].try_into().unwrap()))
}

fn write_until_killed(folder: &Path) {
    let mut out = std::io::stdout();
    writeln!(out, "\nready").unwrap();
    let folder = DataFolder::open(folder).unwrap();
    let store = outcry_store::open(&folder, Engine::Redb).unwrap();
    let done = count(store.as_ref());
    for n in done + 1..=done + BATCHES_MAX {
        store.apply(&batch(n)).unwrap();
        writeln!(out, "applied {n}").unwrap();
    }
}

/// Starts a writer, kills it after `lines` lines of its output, and returns the last batch that it
/// acknowledged.
fn kill_after(folder: &Path, test: &str, lines: usize) -> Option<u64> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD_FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    // The test harness writes a few lines of its own before "ready".
    let mut last = None;
    assert!(
        output.any(|line| line.unwrap() == "ready"),
        "the writer did not start"
    );
    let mut remember = |line: String| {
        if let Some(n) = line.strip_prefix("applied ") {
            last = Some(n.parse().unwrap());
        }
    };
    (&mut output)
        .take(lines)
        .for_each(|line| remember(line.unwrap()));
    child.kill().unwrap();
    // What it had still written before it died counts too, except for a torn last line.
    let rest: Vec<String> = output.map_while(Result::ok).collect();
    child.wait().unwrap();
    if let Some((_, whole)) = rest.split_last() {
        whole.iter().cloned().for_each(&mut remember);
    }
    last
}

fn check(folder: &Path, acknowledged: u64) -> u64 {
    let folder = DataFolder::open(folder).expect("the lock dies with its process");
    let store = outcry_store::open(&folder, Engine::Redb).unwrap();
    let applied = count(store.as_ref());
    // One more than the last line read may be acknowledged in the torn line, and one more than
    // that may be on disk when the process dies before it can say so.
    assert!(
        (acknowledged..=acknowledged + 2).contains(&applied),
        "{acknowledged} batches were acknowledged, {applied} are there"
    );
    let model = outcry_store::MemoryStore::new();
    (1..=applied).for_each(|n| model.apply(&batch(n)).unwrap());
    for table in [Table::JobEvent, Table::Singleton] {
        let prefix = Prefix::table(table);
        let found: Result<Vec<_>, StoreError> = entries(store.as_ref(), &prefix).collect();
        let wanted: Result<Vec<_>, StoreError> = entries(&model, &prefix).collect();
        assert!(
            found.unwrap() == wanted.unwrap(),
            "half a batch after {applied}"
        );
    }
    applied
}

#[test]
fn a_writer_killed_at_any_moment_leaves_every_acknowledged_batch() {
    if let Some(folder) = env::var_os(CHILD_FOLDER) {
        return write_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut applied = 0;
    for round in 0..24 {
        // 0 to 36 lines, so that young and old files, small and large commits are hit.
        let lines = (round * 17 + 5) % 37;
        let name = "a_writer_killed_at_any_moment_leaves_every_acknowledged_batch";
        let last = kill_after(folder.path(), name, lines);
        applied = check(folder.path(), last.unwrap_or(applied));
    }
    assert!(applied > 100, "the writers got on: {applied}");
}

#[test]
fn a_store_killed_while_it_is_created_opens() {
    if let Some(folder) = env::var_os(CHILD_FOLDER) {
        return write_until_killed(Path::new(&folder));
    }
    for _ in 0..12 {
        let folder = tempfile::tempdir().unwrap();
        let name = "a_store_killed_while_it_is_created_opens";
        let last = kill_after(folder.path(), name, 0);
        check(folder.path(), last.unwrap_or(0));
    }
}
