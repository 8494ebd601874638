//! Programs in all executions: starts, ends, floats, changed proofs, and the corpus of programs that
//! once disagreed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use outcry_audit::agreement::{Subject, Trial};
use outcry_audit::floats::compare_floats;
use outcry_audit::fuzz::{FuzzReport, compare_program, fuzz_seed, generous, link_generated};
use outcry_audit::sweep::Sweep;
use outcry_audit::tampering::{TamperReport, flip_every_bit};
use outcry_audit::{Chain, ChainError, CheckOptions, OnChain, check};
use outcry_native::Engine;
use outcry_protocol::status::Status;
use outcry_verifier::archive::input::Invocation;
use outcry_verifier::task::RunLimits;

const LIMITS: RunLimits = RunLimits {
    cycles: 1 << 30,
    pages: 64,
    slots: 1 << 16,
    output_bytes: 1 << 17,
};

fn subject(program: &str) -> Subject {
    let image = link_generated(&wat::parse_str(program).unwrap()).unwrap();
    Subject::new(&Engine::new().unwrap(), &image).unwrap()
}

#[test]
fn the_chain_computes_the_state_in_which_a_task_starts() {
    let images = [
        r#"(module (func (export "_start")))"#,
        r#"(module (memory 1 7) (data (i32.const 65000) "abc") (func (export "_start")))"#,
        r#"(module (memory 0) (memory 5 5) (memory 3 900) (memory 1) (func (export "_start")))"#,
        r#"(module (memory 2) (global (mut i64) (i64.const 7)) (global f64 (f64.const 1.5))
          (table 40 200 funcref) (table 3 funcref) (elem (i32.const 39) $f) (elem funcref (ref.func $f)) (data "passive")
          (func $f (export "_start") (drop (i32.const 1))))"#,
    ];
    let mut chain = Chain::new();
    for image in images {
        let subject = subject(image);
        for pages in [13, 14, 15, 16, 17, 64, 1000, 65_536] {
            for archive in [&b""[..], &[7; 128], &[9; 1000]] {
                let limits = RunLimits { pages, ..LIMITS };
                let job = subject.job(limits);
                let mut machine = subject.start(&job, 0, archive).unwrap();
                let computed = chain.initial_state(subject.program(), &job, 0, archive);
                assert_eq!(computed, Ok(machine.commit().unwrap()), "{image} {pages}");
            }
        }
    }
}

#[test]
fn a_task_whose_memories_exceed_the_page_limit_starts_halted_everywhere() {
    let subject = subject(r#"(module (memory 9) (func (export "_start")))"#);
    // The library has 3 pages.
    for (pages, status) in [(11, Status::Trapped), (12, Status::Exited)] {
        let job = subject.job(RunLimits { pages, ..LIMITS });
        let trial = Trial::new(&job, b"", OnChain::Every);
        let agreement = subject.compare(Some(&mut Chain::new()), &trial).unwrap();
        assert_eq!(agreement.mismatches.first(), &[] as &[String]);
        assert_eq!(agreement.halted.outcome.status, status);
        assert_eq!(agreement.steps == 0, status == Status::Trapped);
    }
}

#[test]
fn the_chain_refuses_jobs_that_are_not_the_images() {
    let subject = subject(r#"(module (func (export "_start")))"#);
    let mut chain = Chain::new();
    let job = subject.job(LIMITS);
    let (mut other_image, mut endless) = (job.clone(), job.clone());
    other_image.imageRoot = job.inputsRoot;
    endless.slotLimit = 1 << 32;
    for (job, task, reason) in [
        (&job, 1, "TaskUnknown"),
        (&other_image, 0, "ImageMismatch"),
        (&endless, 0, "LimitTooLarge"),
    ] {
        assert_eq!(
            chain.initial_state(subject.program(), job, task, b""),
            Err(ChainError::Refused(reason.to_owned()))
        );
    }
}

#[test]
fn a_step_pays_for_its_calldata_at_least() {
    let subject = subject(r#"(module (func (export "_start")))"#);
    let mut machine = subject.start(&subject.job(LIMITS), 0, b"").unwrap();
    let (before, proof) = machine.prove().unwrap();
    let step = Chain::new().execute(before, &proof).unwrap();
    let bytes = proof.to_bytes();
    let zeros = bytes.iter().filter(|byte| **byte == 0).count() as u64;
    let floor = 21_000 + 10 * zeros + 40 * (bytes.len() as u64 - zeros);
    assert!(step.gas >= floor && step.gas >= 21_000 + step.execution_gas);
    assert_eq!(step.after, machine.commit().unwrap());
}

#[test]
fn a_real_program_agrees_at_random_steps() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testnet/programs/libc.wasm");
    let image = outcry_verifier::link(&std::fs::read(path).unwrap()).unwrap();
    let archive = Invocation::default().archive(&Default::default()).unwrap();
    let limits = RunLimits {
        cycles: 20_000_000_000,
        pages: 1024,
        slots: 1 << 20,
        output_bytes: 1 << 22,
    };
    let options = CheckOptions {
        samples: 300,
        seed: 1,
    };
    let mut seen = 0;
    let report = check(&image, &archive, limits, options, &mut |_| seen += 1).unwrap();
    println!("{}", serde_json::to_string(&report).unwrap());
    assert_eq!(
        (report.sampled, report.mismatches),
        (302, 0),
        "{:?}",
        report.differences
    );
    assert!(seen > 302 && report.gas.max < 145_000 && report.proof_bytes.max < 4096);
}

#[test]
fn floats_in_the_machine_and_on_the_chain_are_those_of_integer_arithmetic() {
    let report = compare_floats(&mut Chain::new(), 1, 60_000);
    assert_eq!(report.mismatches.first(), &[] as &[String]);
    assert!(report.trapped > 500, "{report:?}");
}

#[test]
fn floats_in_the_machine_are_those_of_compiled_code() {
    let sweep = Sweep::new(&Engine::new().unwrap()).unwrap();
    let report = sweep.compare(0, 20_000).unwrap();
    assert_eq!(report.mismatches.first(), &[] as &[String]);
    assert!(report.vectors > 2_000_000, "{report:?}");
}

#[test]
fn generated_programs_agree_in_every_execution_and_no_changed_proof_is_accepted() {
    let (engine, mut chain) = (Engine::new().unwrap(), Chain::new());
    let mut report = FuzzReport::default();
    for seed in 0..120 {
        fuzz_seed(seed, &engine, &mut chain, &mut report).unwrap();
    }
    assert_eq!(report.mismatches.first(), &[] as &[String]);
    assert_eq!(report.tampering.mismatches.first(), &[] as &[String]);
    // The generator gives enough programs of each kind for the test to mean something.
    assert!(
        report.ends[..4].iter().all(|programs| *programs >= 3),
        "{:?}",
        report.ends
    );
    assert!(
        report.steps_on_chain > 5_000 && report.tampering.tried > 2000,
        "{report:?}"
    );
}

#[test]
fn all_programs_of_the_corpus_agree_in_every_execution() {
    let (engine, mut chain) = (Engine::new().unwrap(), Chain::new());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut ends = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "README.md" {
            continue;
        }
        assert!(
            name.ends_with(".wat") || name.ends_with(".wasm"),
            "{name} is no program, and nothing would run it"
        );
        let program = wat::parse_file(&path).unwrap();
        let image = link_generated(&program).unwrap();
        let mut report = FuzzReport::default();
        compare_program(
            &image,
            generous(1 << 20),
            0,
            &engine,
            &mut chain,
            &mut report,
        )
        .unwrap();
        assert_eq!(report.mismatches.first(), &[] as &[String], "{name}");
        let tampering = &report.tampering;
        assert_eq!(tampering.mismatches.first(), &[] as &[String], "{name}");
        assert!(tampering.tried > 0, "{name}");
        let end = report.ends.iter().position(|programs| *programs == 1);
        ends.insert(name, Status::ALL[end.unwrap()]);
    }
    // One that ends before it gets to what it is about compares nothing.
    let expected = [
        ("bulk.wat", Status::Trapped),
        ("calls.wat", Status::Exited),
        ("limits.wat", Status::OutOfFrameSlots),
        ("straddling.wat", Status::Trapped),
        ("streams.wat", Status::Exited),
    ];
    let expected = expected.map(|(name, status)| (name.to_owned(), status));
    assert_eq!(ends, BTreeMap::from(expected));
}

#[test]
fn other_bytecode_in_the_step_verifiers_place_is_found_out() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/bulk.wat");
    let image = link_generated(&wat::parse_file(path).unwrap()).unwrap();
    let subject = Subject::new(&Engine::new().unwrap(), &image).unwrap();
    let job = subject.job(LIMITS);
    let trial = Trial::new(&job, b"", OnChain::Every);
    let runtime = outcry_contracts::machine::step_verifier().runtime;
    let mismatches = |runtime| {
        let mut chain = Chain::with_step_verifier(runtime);
        let agreement = subject.compare(Some(&mut chain), &trial).unwrap();
        (agreement.mismatches.count(), agreement.steps_on_chain)
    };
    let (unchanged, steps) = mismatches(runtime.clone());
    assert!(
        unchanged == 0 && steps > 100,
        "{unchanged} in {steps} steps"
    );
    let found = (0..100).filter(|change| {
        let mut changed = runtime.to_vec();
        // One byte in a hundred places of the first half; the second is mostly floats.
        let at = change * runtime.len() / 200;
        changed[at] ^= 0x01;
        mismatches(changed.into()).0 > 0
    });
    let found = found.count();
    println!("{found} of 100 changes found");
    assert!(found > 30, "{found}");
}

#[test]
fn every_bit_of_a_proof_counts() {
    let subject = subject(
        r#"(module (memory 1)
          (func $pair (param i32) (result i32 i32) (local.get 0) (i32.const 7))
          (func (export "_start") (local i32)
            (i32.store (i32.const 126) (i32.add (call $pair (i32.const 3))))
            (drop (memory.grow (i32.const 1)))))"#,
    );
    let mut machine = subject.start(&subject.job(LIMITS), 0, b"").unwrap();
    let (mut chain, mut report) = (Chain::new(), TamperReport::default());
    let mut seen = BTreeSet::new();
    while let Some(pc) = machine.pc() {
        let (before, proof) = machine.prove().unwrap();
        if seen.insert(pc) {
            flip_every_bit(&mut chain, before, &proof.to_bytes(), &mut report);
        }
    }
    assert_eq!(report.mismatches.first(), &[] as &[String]);
    assert!(report.tried > 100_000, "{}", report.tried);
}

#[test]
fn a_machine_that_halts_stays_so_on_chain() {
    let subject = subject(r#"(module (func (export "_start") unreachable))"#);
    let mut machine = subject.start(&subject.job(LIMITS), 0, b"").unwrap();
    machine.run().unwrap();
    let (before, proof) = machine.prove().unwrap();
    assert_eq!(Chain::new().execute(before, &proof).unwrap().after, before);
}
