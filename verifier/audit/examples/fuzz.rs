//! Compares many generated programs, changed proofs and floats in all executions.
//!
//! `cargo run --release -p outcry-audit --example fuzz -- [--first SEED] [--count PROGRAMS]
//! [--floats VECTORS] [--out FILE]`
//!
//! Prints a report in JSON. Exit code 1 if anything disagrees; a program that does becomes a file of
//! `verifier/audit/corpus`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use outcry_audit::Chain;
use outcry_audit::check::Spread;
use outcry_audit::floats::{FloatReport, compare_floats};
use outcry_audit::fuzz::{FuzzReport, fuzz_seed};
use outcry_native::Engine;
use serde_json::json;

/// Vectors that a thread takes at once.
const BATCH: u64 = 10_000;

fn main() -> std::process::ExitCode {
    let (mut first, mut count, mut floats, mut out) = (1_000_000_u64, 10_000_u64, 1_000_000_u64, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        let number = value.parse();
        match (argument.as_str(), number) {
            ("--first", Ok(value)) => first = value,
            ("--count", Ok(value)) => count = value,
            ("--floats", Ok(value)) => floats = value,
            ("--out", _) => out = Some(value),
            _ => panic!("usage: fuzz [--first SEED] [--count PROGRAMS] [--floats VECTORS] [--out FILE]"),
        }
    }

    let started = Instant::now();
    let vectors = in_parallel(floats.div_ceil(BATCH), "batches of floats", |batch, total: &Mutex<FloatReport>, chain| {
        let found = compare_floats(chain, batch, BATCH.min(floats - batch * BATCH));
        let mut total = total.lock().unwrap();
        total.vectors += found.vectors;
        total.trapped += found.trapped;
        total.mismatches.merge("", &found.mismatches);
    });
    let floats_s = started.elapsed().as_secs_f64();

    let started = Instant::now();
    let engine = Engine::new().unwrap();
    let fuzzed = in_parallel(count, "programs", |at, total: &Mutex<FuzzReport>, chain| {
        let mut found = FuzzReport::default();
        let seed = first + at;
        if let Err(error) = fuzz_seed(seed, &engine, chain, &mut found) {
            found.mismatches.add(|| format!("seed {seed}: {error}"));
        }
        total.lock().unwrap().merge(&found);
    });
    let programs_s = started.elapsed().as_secs_f64();

    let differences: Vec<&String> = [&fuzzed.mismatches, &fuzzed.tampering.mismatches, &vectors.mismatches]
        .into_iter()
        .flat_map(|mismatches| mismatches.first())
        .collect();
    let disagreements = fuzzed.disagreements() + vectors.mismatches.count();
    let [exited, trapped, out_of_cycles, out_of_slots, output_limit] = fuzzed.ends;
    let report = json!({
        "mismatches": disagreements,
        "differences": differences,
        "first_seed": first,
        "seeds": count,
        "programs": fuzzed.programs,
        "runs": fuzzed.runs,
        "ends": {
            "exited": exited, "trapped": trapped, "out_of_cycles": out_of_cycles,
            "out_of_slots": out_of_slots, "output_limit": output_limit,
        },
        "steps": fuzzed.steps,
        "steps_on_chain": fuzzed.steps_on_chain,
        "gas": Spread::from(&fuzzed.costs.gas),
        "proof_bytes": Spread::from(&fuzzed.costs.proof_bytes),
        "changed_proofs": fuzzed.tampering.tried,
        "float_vectors": vectors.vectors,
        "float_vectors_that_trap": vectors.trapped,
        "floats_s": floats_s,
        "programs_s": programs_s,
    });
    let text = serde_json::to_string_pretty(&report).unwrap();
    println!("{text}");
    if let Some(out) = out {
        std::fs::write(out, text + "\n").unwrap();
    }
    u8::from(disagreements > 0).into()
}

/// Does `count` pieces of work on all processors, each with a chain of its own thread.
fn in_parallel<T: Default + Send>(
    count: u64,
    what: &str,
    work: impl Fn(u64, &Mutex<T>, &mut Chain) + Sync,
) -> T {
    let total = Mutex::new(T::default());
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut chain = Chain::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    if at.is_multiple_of(100) {
                        eprint!("\r{at} of {count} {what}");
                    }
                    work(at, &total, &mut chain);
                }
            });
        }
    });
    eprintln!("\r{count} {what}     ");
    total.into_inner().unwrap()
}
