//! What a commitment costs: a machine with 64 MiB of memory, at random steps, with one leaf in a
//! hundred written since the last time; and what a snapshot and a proof cost there.
//!
//! `cargo run --release -p outcry-native --example commit -- [--out FILE] [--rounds N]`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Instant;

use outcry_verifier::link_with_library;
use outcry_verifier::machine::{CommittedProgram, Machine, Program};
use outcry_verifier::task::RunLimits;
use programs::Options;

#[allow(dead_code)]
mod programs;

/// Fills 64 MiB, then writes to pseudo-random places for ever.
const PROGRAM: &str = r#"(module (memory 1024)
  (func (export "_start") (local $at i32) (local $seed i64)
    (loop $fill
      (i64.store (local.get $at) (i64.extend_i32_u (local.get $at)))
      (br_if $fill (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 64))) (i32.const 0x4000000))))
    (local.set $seed (i64.const 88172645463325252))
    (loop $scatter
      (local.set $seed (i64.xor (local.get $seed) (i64.shl (local.get $seed) (i64.const 13))))
      (local.set $seed (i64.xor (local.get $seed) (i64.shr_u (local.get $seed) (i64.const 7))))
      (local.set $seed (i64.xor (local.get $seed) (i64.shl (local.get $seed) (i64.const 17))))
      (i64.store (i32.and (i32.wrap_i64 (local.get $seed)) (i32.const 0x3fffff8)) (local.get $seed))
      (br $scatter))))"#;
const LIBRARY: &str = r#"(module (import "outcry" "exit" (func $exit (param i32))) (memory 1)
  (func (export "outcry_start")) (func (export "outcry_exit") (param i32) (call $exit (local.get 0))))"#;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let options = Options::from_arguments(21);
    let rounds = options.rounds as u64;
    let image = link_with_library(
        &wat::parse_str(PROGRAM).unwrap(),
        &wat::parse_str(LIBRARY).unwrap(),
    )
    .unwrap();
    let program = Arc::new(Program::flatten(&image).unwrap());
    let program = Arc::new(CommittedProgram::new(program));
    let limits = RunLimits {
        cycles: 1 << 44,
        pages: 1025,
        slots: 1 << 16,
        output_bytes: 1 << 20,
    };
    let header = programs::header(limits, &[]);
    let mut machine = Machine::start(program, header, limits, Vec::new()).unwrap();
    machine.run_to(10_000_000).unwrap();
    let started = Instant::now();
    machine.commit().unwrap();
    let first_ms = started.elapsed().as_secs_f64() * 1e3;
    machine.snapshot();
    // Nine steps a write, and 1% of the 2^19 leaves; the last few steps make the places random.
    let (mut commit_ms, mut snapshot_ms, mut prove_ms) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let steps = machine.steps() + 9 * 5243 + round % 9;
        machine.run_to(steps).unwrap();
        let started = Instant::now();
        let snapshot = machine.snapshot();
        snapshot_ms.push(started.elapsed().as_secs_f64() * 1e3);
        drop(snapshot);
        let started = Instant::now();
        machine.commit().unwrap();
        commit_ms.push(started.elapsed().as_secs_f64() * 1e3);
        let started = Instant::now();
        machine.prove().unwrap();
        prove_ms.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let figures = serde_json::json!({
        "memory_mib": 64, "dirty_leaves": 5243, "rounds": rounds,
        "first_commit_ms": first_ms, "commit_ms": median(commit_ms),
        "snapshot_ms": median(snapshot_ms), "prove_ms": median(prove_ms),
        "bar_commit_ms": 50,
    });
    options.deliver(&figures);
}
