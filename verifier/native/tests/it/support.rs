//! A small guest library in text form, and runs in all executions but the chain.

use alloy_primitives::B256;
use outcry_audit::OnChain;
use outcry_audit::agreement::{Subject, Trial, job_of};
use outcry_native::{CompiledImage, Engine, Halted};
use outcry_protocol::types::JobSpec;
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

/// A job that any image may run: the chain, which would ask, has no part in these tests.
fn job(limits: RunLimits) -> JobSpec {
    job_of(B256::ZERO, limits)
}

pub(crate) fn header(limits: RunLimits, input: &[u8]) -> TaskHeader {
    TaskHeader::of(&job(limits), 0, input.len() as u64)
}

/// Runs a program in both variants and in every way in the machine, which must all agree.
pub(crate) fn run_with(
    compiled: &CompiledImage,
    limits: RunLimits,
    input: &[u8],
) -> (Halted, Vec<u8>) {
    let (subject, job) = (Subject::of(compiled.clone()).unwrap(), job(limits));
    let trial = Trial::new(&job, input, OnChain::None);
    let agreement = subject.compare(None, &trial).unwrap();
    let mismatches = agreement.mismatches.first();
    assert!(mismatches.is_empty(), "at {limits:?}: {mismatches:#?}");
    (agreement.halted, agreement.output)
}

/// The same with the input archive of all tests.
pub(crate) fn run(compiled: &CompiledImage, limits: RunLimits) -> (Halted, Vec<u8>) {
    run_with(compiled, limits, INPUT)
}
