//! A small guest library in text form, and runs in both variants.

use outcry_native::{CompiledImage, Engine, Halted, Task};
use std::sync::Arc;

use outcry_verifier::machine::{CommittedProgram, Machine, Program, replay};
use outcry_verifier::task::{RunLimits, TaskHeader};
use outcry_verifier::{Image, LoadError, link_with_library};

/// The input archive of all tests.
pub(crate) const INPUT: &[u8] = b"input archive";

/// A library whose `outcry_exit` writes the first 256 bytes of the user's memory as output. Its
/// `fd_write` writes `len` bytes from `ptr` and answers 0; `random_get` reads the archive.
pub(crate) const LIBRARY: &str = r#"(module
  (import "outcry" "read_input" (func $read (param i32 i64 i32 i32) (result i32)))
  (import "outcry" "append_output" (func $append (param i32 i32)))
  (import "outcry" "exit" (func $exit (param i32)))
  (import "outcry_user" "user_size" (func $user_size (result i32)))
  (import "outcry_user" "copy_from_user" (func $copy_from_user (param i32 i32 i32)))
  (import "outcry_user" "copy_to_user" (func $copy_to_user (param i32 i32 i32)))
  (import "outcry_user" "load64" (func $load64 (param i32) (result i64)))
  (import "outcry_user" "store64" (func $store64 (param i32 i64)))
  (memory (export "memory") 1)
  (func (export "outcry_start"))
  (func $outcry_exit (export "outcry_exit") (param i32)
    (if (call $user_size) (then
      (call $copy_from_user (i32.const 0) (i32.const 0) (i32.const 256))
      (call $append (i32.const 0) (i32.const 256))))
    (call $exit (local.get 0)))
  (func (export "proc_exit") (param i32) (call $outcry_exit (local.get 0)))
  (func (export "fd_write") (param $ptr i32) (param $len i32) (result i32)
    (call $copy_from_user (i32.const 1024) (local.get $ptr) (local.get $len))
    (call $append (i32.const 1024) (local.get $len))
    (i32.const 0))
  (func (export "random_get") (param $ptr i32) (param $len i32) (result i32)
    (local $count i32)
    (local.set $count (call $read (i32.const 1) (i64.const 0) (i32.const 1024) (local.get $len)))
    (call $copy_to_user (local.get $ptr) (i32.const 1024) (local.get $count))
    (i32.const 0)))"#;

pub(crate) fn link(program: &str) -> Result<Image, LoadError> {
    link_bytes(&wat::parse_str(program).unwrap())
}

pub(crate) fn link_bytes(program: &[u8]) -> Result<Image, LoadError> {
    link_with_library(program, &wat::parse_str(LIBRARY).unwrap())
}

pub(crate) const LIMITS: RunLimits = RunLimits {
    cycles: 100_000_000,
    pages: 64,
    slots: 1 << 18,
    output_bytes: 4096,
};

pub(crate) fn engine() -> &'static Engine {
    static ENGINE: std::sync::OnceLock<Engine> = std::sync::OnceLock::new();
    ENGINE.get_or_init(|| Engine::new().unwrap())
}

pub(crate) fn compile(program: &str) -> CompiledImage {
    engine().compile(&link(program).unwrap()).unwrap()
}

pub(crate) fn header(limits: RunLimits, input: &[u8]) -> TaskHeader {
    TaskHeader {
        machine_version: 1,
        job_hash: Default::default(),
        task: 0,
        task_count: 1,
        archive_bytes: input.len() as u64,
        output_limit_bytes: limits.output_bytes,
        page_limit: limits.pages,
    }
}

/// Runs a program in both variants, which must agree.
pub(crate) fn run_with(
    compiled: &CompiledImage,
    limits: RunLimits,
    input: &[u8],
) -> (Halted, Vec<u8>) {
    let task = Task::new(header(limits, input), limits);
    let fast = compiled.run(&task, input.to_vec(), Vec::new()).unwrap();
    let exact = compiled
        .run_exact(&task, input.to_vec(), Vec::new())
        .unwrap();
    assert_eq!(fast, exact, "the variants disagree at {limits:?}");
    let machine = run_on_machine(compiled, limits, input);
    assert_eq!(fast, machine, "the machine disagrees at {limits:?}");
    fast
}

/// So many steps at the start and at the end of a run are proven and replayed.
const PROVEN_STEPS: u64 = 300;

/// Runs a program on the machine: by the interpreter, by the interpreter with stops, and step by
/// step. All must agree on the number of steps as well.
pub(crate) fn run_on_machine(
    compiled: &CompiledImage,
    limits: RunLimits,
    input: &[u8],
) -> (Halted, Vec<u8>) {
    let program = Program::flatten(compiled.image()).unwrap();
    let program = Arc::new(CommittedProgram::new(Arc::new(program)));
    let start = || {
        Machine::start(
            Arc::clone(&program),
            header(limits, input),
            limits,
            input.to_vec(),
        )
        .unwrap()
    };
    let mut machine = start();
    machine.run().unwrap();
    let halted = *machine.halted().unwrap();
    let result = (halted, machine.output().to_vec());

    let mut stopping = start();
    while stopping.halted().is_none() {
        let cycles = stopping.cycles();
        stopping.run_to_cycles(cycles + halted.cycles / 7).unwrap();
        // Past the charge at which it stopped.
        stopping.step().unwrap();
    }
    assert_eq!(stopping.steps(), machine.steps());
    assert_eq!(
        (*stopping.halted().unwrap(), stopping.output().to_vec()),
        result
    );

    // Back to the middle from the end, and again: the same states.
    let middle = machine.steps() / 2;
    let mut returning = start();
    let first = returning.snapshot();
    returning.run_to(middle).unwrap();
    let (snapshot, state) = (returning.snapshot(), returning.commit().unwrap());
    returning.run_to(u64::MAX).unwrap();
    let end = returning.commit().unwrap();
    for (snapshot, steps) in [(&snapshot, middle), (&first, 0), (&snapshot, middle)] {
        returning.restore(snapshot);
        assert_eq!(returning.steps(), steps);
        returning.run_to(middle).unwrap();
        assert_eq!(returning.commit().unwrap(), state);
    }
    returning.run_to(u64::MAX).unwrap();
    assert_eq!(returning.commit().unwrap(), end);
    assert_eq!(
        (*returning.halted().unwrap(), returning.output().to_vec()),
        result
    );

    const SINGLE_STEPS: u64 = 1_000_000;
    if machine.steps() <= SINGLE_STEPS {
        let mut stepping = start();
        let mut expected = None;
        while stepping.halted().is_none() {
            let at = stepping.steps();
            if at >= PROVEN_STEPS && at + PROVEN_STEPS < machine.steps() {
                stepping.step().unwrap();
                expected = None;
                continue;
            }
            let (before, proof) = stepping.prove().unwrap();
            assert!(
                expected.is_none_or(|expected| expected == before),
                "step {at}"
            );
            expected = Some(replay(before, &proof.to_bytes()).unwrap());
        }
        let end = stepping.commit().unwrap();
        assert!(expected.is_none_or(|expected| expected == end));
        assert_eq!(stepping.steps(), machine.steps());
        assert_eq!(
            (*stepping.halted().unwrap(), stepping.output().to_vec()),
            result
        );
    }
    result
}

/// The same with the input archive of all tests.
pub(crate) fn run(compiled: &CompiledImage, limits: RunLimits) -> (Halted, Vec<u8>) {
    run_with(compiled, limits, INPUT)
}
