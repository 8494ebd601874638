//! Compares many generated programs, changed proofs and floats in all executions.
//!
//! `cargo run --release -p outcry-audit --example fuzz -- [--first SEED] [--count PROGRAMS]
//! [--floats VECTORS] [--sweep VECTORS] [--out FILE]`
//!
//! `--floats`: float operations in the machine and on the chain against arithmetic on integers;
//! `--sweep`: in the machine against compiled code. Some 10,000 programs by default: not every seed
//! gives one. Prints a report in JSON. Exit code 1 if anything disagrees; a program that does becomes
//! a file of `verifier/audit/corpus`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use outcry_audit::Chain;
use outcry_audit::agreement::Subject;
use outcry_audit::check::Spread;
use outcry_audit::floats::{FloatReport, compare_floats};
use outcry_audit::fuzz::{FuzzReport, fuzz_seed, link_generated};
use outcry_audit::sweep::{Sweep, SweepReport};
use outcry_native::Engine;
use outcry_verifier::machine::replay;
use outcry_verifier::task::RunLimits;
use serde_json::json;

/// Vectors that a thread takes at once.
const BATCH: u64 = 10_000;
/// Rounds of a sweep that a thread takes at once.
const ROUNDS: u64 = 5_000;

/// Microseconds that proving, replaying and executing a step take, of a loop over memory.
fn microseconds() -> [f64; 3] {
    const STEPS: u64 = 20_000;
    let program = r#"(module (memory 16) (func (export "_start") (local $i i32)
      (loop $next
        (f64.store (local.get $i) (f64.add (f64.load (i32.add (local.get $i) (i32.const 40))) (f64.const 0.1)))
        (local.set $i (i32.add (local.get $i) (i32.const 999)))
        (br_if $next (i32.lt_u (local.get $i) (i32.const 1000000))))
    ))"#;
    let image = link_generated(&wat::parse_str(program).unwrap()).unwrap();
    let subject = Subject::new(&Engine::new().unwrap(), &image).unwrap();
    let limits = RunLimits {
        cycles: 1 << 30,
        pages: 64,
        slots: 1 << 16,
        output_bytes: 1 << 17,
    };
    let mut machine = subject.start(&subject.job(limits), 0, b"").unwrap();
    machine.commit().unwrap();
    let per_step =
        |started: Instant, steps: usize| started.elapsed().as_secs_f64() * 1e6 / steps as f64;
    let started = Instant::now();
    let mut proofs = Vec::new();
    while machine.halted().is_none() && machine.steps() < STEPS {
        let (before, proof) = machine.prove().unwrap();
        proofs.push((before, proof.to_bytes()));
    }
    let proving = per_step(started, proofs.len());
    let started = Instant::now();
    for (before, proof) in &proofs {
        replay(*before, proof).unwrap();
    }
    let replaying = per_step(started, proofs.len());
    let mut chain = Chain::new();
    let started = Instant::now();
    for (before, proof) in &proofs {
        chain.execute_bytes(*before, proof).unwrap();
    }
    [proving, replaying, per_step(started, proofs.len())]
}

fn main() -> std::process::ExitCode {
    let (mut first, mut count, mut out) = (1_000_000_u64, 13_000_u64, None);
    let (mut floats, mut swept) = (1_000_000_u64, 1_000_000_000_u64);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        let number = value.parse();
        match (argument.as_str(), number) {
            ("--first", Ok(value)) => first = value,
            ("--count", Ok(value)) => count = value,
            ("--floats", Ok(value)) => floats = value,
            ("--sweep", Ok(value)) => swept = value,
            ("--out", _) => out = Some(value),
            _ => panic!(
                "usage: fuzz [--first SEED] [--count PROGRAMS] [--floats VECTORS] [--sweep VECTORS] [--out FILE]"
            ),
        }
    }

    let engine = Engine::new().unwrap();
    let sweep = Sweep::new(&engine).unwrap();
    let started = Instant::now();
    let rounds = swept.div_ceil(sweep.vectors_per_round());
    let swept = in_parallel(
        rounds.div_ceil(ROUNDS),
        "batches of floats against compiled code",
        |batch, total: &Mutex<SweepReport>, _| {
            let first = batch * ROUNDS;
            let mut found = SweepReport::default();
            match sweep.compare(first, ROUNDS.min(rounds - first)) {
                Ok(report) => found = report,
                Err(error) => found
                    .mismatches
                    .add(|| format!("rounds {first} and on: {error}")),
            }
            total.lock().unwrap().merge(&found);
        },
    );
    let sweep_s = started.elapsed().as_secs_f64();

    let started = Instant::now();
    let vectors = in_parallel(
        floats.div_ceil(BATCH),
        "batches of floats against arithmetic on integers",
        |batch, total: &Mutex<FloatReport>, chain| {
            let found = compare_floats(chain, batch, BATCH.min(floats - batch * BATCH));
            let mut total = total.lock().unwrap();
            total.vectors += found.vectors;
            total.trapped += found.trapped;
            total.mismatches.merge(&found.mismatches);
        },
    );
    let floats_s = started.elapsed().as_secs_f64();

    let started = Instant::now();
    let fuzzed = in_parallel(count, "programs", |at, total: &Mutex<FuzzReport>, chain| {
        let mut found = FuzzReport::default();
        let seed = first + at;
        if let Err(error) = fuzz_seed(seed, &engine, chain, &mut found) {
            found.mismatches.add(|| format!("seed {seed}: {error}"));
        }
        total.lock().unwrap().merge(&found);
    });
    let programs_s = started.elapsed().as_secs_f64();

    let differences: Vec<&String> = [
        &fuzzed.mismatches,
        &fuzzed.tampering.mismatches,
        &vectors.mismatches,
        &swept.mismatches,
    ]
    .into_iter()
    .flat_map(|mismatches| mismatches.first())
    .collect();
    let disagreements =
        fuzzed.disagreements() + vectors.mismatches.count() + swept.mismatches.count();
    let [exited, trapped, out_of_cycles, out_of_slots, output_limit] = fuzzed.ends;
    let [proving, replaying, executing] = microseconds();
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
        "float_vectors_against_compiled_code": swept.vectors,
        "sweep_s": sweep_s,
        "programs_s": programs_s,
        "proving_a_step_us": proving,
        "replaying_a_step_us": replaying,
        "executing_a_step_on_chain_us": executing,
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
