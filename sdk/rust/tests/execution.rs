//! A job built here runs here, as it would at a provider.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use alloy::primitives::B256;
use outcry_protocol::status::Status;
use outcry_sdk::{Engine, Job, JobBuilder, Limits};

fn program(name: &str) -> Vec<u8> {
    std::fs::read(format!(
        "{}/../../testnet/programs/{name}.wasm",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap()
}

fn ends(args: &[&str]) -> JobBuilder {
    // Few slots, so that recursion meets their limit before the stack in its own memory is full.
    let limits = Limits {
        cycles: 50_000_000,
        memory_mib: 64,
        slots: 2_000,
        ..Limits::default()
    };
    JobBuilder::wasm("ends", program("ends"))
        .args(args.iter().copied())
        .limits(limits)
}

fn run(job: JobBuilder) -> outcry_sdk::TaskOutput {
    Engine::new(None)
        .unwrap()
        .run(&job.build(B256::ZERO).unwrap(), 0)
        .unwrap()
}

#[test]
fn what_a_program_prints_and_its_exit_code_come_back() {
    let output = run(ends(&["print", "hello"]));
    assert_eq!(output.outcome.status, Status::Exited);
    assert_eq!(
        String::from_utf8(output.stdout()).unwrap().trim_end(),
        "hello"
    );
    assert!(output.is_success() && output.cycles > 0);
    let output = run(ends(&["exit", "9"]));
    assert_eq!((output.outcome.exit_code, output.is_success()), (9, false));
}

#[test]
fn a_program_that_does_not_exit_has_a_status_and_no_output() {
    for (how, status) in [
        ("trap", Status::Trapped),
        ("spin", Status::OutOfCycles),
        ("recurse", Status::OutOfFrameSlots),
    ] {
        let output = run(ends(&[how]));
        assert_eq!(output.outcome.status, status, "{how}");
        assert!(
            output.archive().is_empty() && output.stdout().is_empty(),
            "{how}"
        );
    }
}

#[test]
fn compiled_code_is_kept_and_gives_the_same_result() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("code");
    let job = ends(&["print", "again"]).build(B256::ZERO).unwrap();
    let first = Engine::new(Some(&cache)).unwrap().run(&job, 0).unwrap();
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 1);
    assert_eq!(
        Engine::new(Some(&cache)).unwrap().run(&job, 0).unwrap(),
        first
    );
}

#[test]
fn a_job_put_together_from_its_blobs_is_the_same_and_a_wrong_blob_is_refused() {
    let input = |text: &str| BTreeMap::from([("a.txt".to_owned(), text.as_bytes().to_vec())]);
    let job = ends(&["exit", "0"])
        .input_files(input("one"))
        .input_files(input("two"))
        .build(B256::repeat_byte(1))
        .unwrap();
    assert_eq!(job.spec().taskCount, 2);
    let blobs: BTreeMap<_, _> = job.blobs().into_iter().collect();
    assert_eq!(blobs.len(), 4, "manifest, program and two inputs");
    let archives: Vec<_> = job
        .manifest()
        .tasks
        .iter()
        .map(|task| blobs[&task.blake3].clone())
        .collect();
    let put_together = |archives: Vec<bytes::Bytes>| {
        let program = blobs[&job.manifest().program.blake3].clone();
        Job::from_blobs(
            job.spec().clone(),
            job.manifest().clone(),
            program,
            archives,
        )
    };
    assert_eq!(put_together(archives.clone()).unwrap().hash(), job.hash());
    assert!(put_together(vec![archives[1].clone(), archives[0].clone()]).is_err());
    assert!(put_together(archives[..1].to_vec()).is_err());
}

#[test]
fn the_least_output_limit_is_the_length_of_an_output_that_says_nothing() {
    use outcry_protocol::codes::Coded as _;
    use outcry_protocol::limits::OUTPUT_LIMIT_MIN;
    let silent = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;
    let silent = JobBuilder::wasm("silent", wat::parse_str(silent).unwrap());
    let with = |output_bytes| {
        silent.clone().limits(Limits {
            output_bytes,
            ..Limits::default()
        })
    };
    let output = run(with(OUTPUT_LIMIT_MIN));
    assert_eq!(output.outcome.status, Status::Exited);
    assert_eq!(output.archive().len() as u64, OUTPUT_LIMIT_MIN);
    let refusal = with(OUTPUT_LIMIT_MIN - 1).build(B256::ZERO).unwrap_err();
    assert_eq!(refusal.code().id, "O-003");
}

#[test]
fn bytes_that_are_no_program_are_refused_by_a_code() {
    use outcry_protocol::codes::Coded as _;
    let error = JobBuilder::wasm("x", &b"not wasm"[..])
        .build(B256::ZERO)
        .unwrap_err();
    assert_eq!(error.code().id, "P-001");
    let foreign =
        wat::parse_str(r#"(module (import "env" "f" (func)) (func (export "_start")))"#).unwrap();
    let error = JobBuilder::wasm("x", foreign)
        .build(B256::ZERO)
        .unwrap_err();
    assert_eq!(error.code().id, "P-003");
}
