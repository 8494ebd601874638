//! Generated programs in all executions, also just below every end, with changed proofs of some of
//! their steps.

use arbitrary::Unstructured;
use outcry_native::Engine;
use outcry_protocol::status::Status;
use outcry_verifier::task::RunLimits;
use outcry_verifier::{Image, LoadError, link_with_library};

use crate::AuditError;
use crate::agreement::{Costs, Mismatches, OnChain, Subject, Trial};
use crate::chain::Chain;
use crate::random::Random;
use crate::tampering::{TamperReport, tamper};

/// The input archive of generated programs.
const ARCHIVE: &[u8] = b"input archive of more than a leaf: 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789";

/// A library whose `outcry_exit` writes the first page of the user's memory. Its `fd_write` writes
/// `len` bytes from `ptr`; `random_get` reads the archive.
const LIBRARY: &str = r#"(module
  (import "outcry" "read_input" (func $read (param i32 i64 i32 i32) (result i32)))
  (import "outcry" "append_output" (func $append (param i32 i32)))
  (import "outcry" "exit" (func $exit (param i32)))
  (import "outcry_user" "user_size" (func $user_size (result i32)))
  (import "outcry_user" "copy_from_user" (func $copy_from_user (param i32 i32 i32)))
  (import "outcry_user" "copy_to_user" (func $copy_to_user (param i32 i32 i32)))
  (memory (export "memory") 3)
  (func (export "outcry_start"))
  (func $outcry_exit (export "outcry_exit") (param i32)
    (if (call $user_size) (then
      (call $copy_from_user (i32.const 0) (i32.const 0) (i32.const 65536))
      (call $append (i32.const 0) (i32.const 65536))))
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

/// What comparing programs found.
#[derive(Debug, Clone, Default)]
pub struct FuzzReport {
    /// Programs that ran.
    pub programs: u64,
    /// Runs of them, under different limits.
    pub runs: u64,
    /// Programs by the number of the status in which they end without limits that matter.
    pub ends: [u64; Status::ALL.len()],
    /// Steps of the machine in all runs.
    pub steps: u64,
    /// Steps that the chain executed.
    pub steps_on_chain: u64,
    /// What those cost.
    pub costs: Costs,
    /// Disagreements, with the seed.
    pub mismatches: Mismatches,
    /// Proofs that were changed.
    pub tampering: TamperReport,
}

impl FuzzReport {
    /// Takes another report in.
    pub fn merge(&mut self, other: &Self) {
        self.programs += other.programs;
        self.runs += other.runs;
        for (total, new) in self.ends.iter_mut().zip(other.ends) {
            *total += new;
        }
        self.steps += other.steps;
        self.steps_on_chain += other.steps_on_chain;
        self.costs.merge(&other.costs);
        self.mismatches.merge(&other.mismatches);
        self.tampering.tried += other.tampering.tried;
        self.tampering.mismatches.merge(&other.tampering.mismatches);
    }

    /// Disagreements of any kind.
    #[must_use]
    pub fn disagreements(&self) -> u64 {
        self.mismatches.count() + self.tampering.mismatches.count()
    }
}

/// Whether a seed's program has no control instructions: it comes to its end.
fn is_straight(seed: u64) -> bool {
    seed % 4 == 1
}

/// A program with `_start` that uses accepted features only; `None` if this seed gives none.
fn generate(seed: u64) -> Option<Vec<u8>> {
    use wasm_smith::{InstructionKind as Kind, InstructionKinds as Kinds};
    let mut random = Random::new(seed);
    let bytes: Vec<u8> = (0..512).flat_map(|_| random.next().to_le_bytes()).collect();
    let mut choices = Unstructured::new(&bytes);
    let available = r#"(module
      (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
      (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32) (result i32))))"#;
    let straight = Kinds::new(&[
        Kind::Numeric,
        Kind::Reference,
        Kind::Parametric,
        Kind::Variable,
        Kind::Table,
        Kind::Memory,
    ]);
    let imports = seed.is_multiple_of(3);
    let config = wasm_smith::Config {
        allowed_instructions: if is_straight(seed) {
            straight
        } else {
            Kinds::all()
        },
        exports: wat::parse_str(r#"(module (func (export "_start")))"#).ok(),
        available_imports: imports.then(|| wat::parse_str(available).ok()).flatten(),
        max_imports: if imports { 3 } else { 0 },
        allow_start_export: seed.is_multiple_of(2),
        disallow_traps: !seed.is_multiple_of(4),
        reference_types_enabled: seed.is_multiple_of(5),
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        relaxed_simd_enabled: false,
        simd_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        max_memories: 3,
        min_memories: 1,
        max_memory32_bytes: 20 << 16,
        max_table_elements: 100,
        max_tables: 3,
        max_tags: 0,
        min_funcs: 2,
        max_funcs: if seed % 4 == 2 { 3 } else { 12 },
        max_instructions: 10 + (seed % 11 * 20) as usize,
        max_data_segments: 4,
        max_element_segments: 6,
        ..wasm_smith::Config::default()
    };
    let mut module = wasm_smith::Module::new(config, &mut choices).ok()?;
    if seed % 7 < 3 {
        // Otherwise most programs run out of cycles or slots.
        module.ensure_termination(500).ok()?;
    }
    Some(module.to_bytes())
}

/// Links a program with the library of generated programs.
///
/// # Errors
/// As [`link_with_library`].
pub fn link_generated(program: &[u8]) -> Result<Image, LoadError> {
    // The text above is no stranger's.
    link_with_library(program, &wat::parse_str(LIBRARY).unwrap_or_default())
}

/// The image of a seed's program, and limits that do not matter to it unless it runs for ever; `None`
/// if this seed gives no program that loads.
///
/// # Errors
/// The program should load, or be refused for another reason.
pub fn generated_image(seed: u64) -> Result<Option<(Image, RunLimits)>, LoadError> {
    let Some(program) = generate(seed) else {
        return Ok(None);
    };
    match link_generated(&program) {
        // Growing memory takes many cycles, and without control instructions nothing runs for ever.
        Ok(image) => {
            let cycles = if is_straight(seed) { 1 << 40 } else { 300_000 };
            Ok(Some((image, generous(cycles))))
        }
        // `externref`, segments out of bounds and the like: refused by name, as they should be.
        Err(
            LoadError::Feature { .. }
            | LoadError::SegmentOutOfBounds { .. }
            | LoadError::NoEntry { .. },
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

/// So many cycles, and enough of everything else for a small program.
#[must_use]
pub const fn generous(cycles: u64) -> RunLimits {
    RunLimits {
        cycles,
        slots: 4096,
        pages: 40,
        output_bytes: 1 << 17,
    }
}

/// Limits around what a program needs that used so many cycles: also just below its end, and below
/// each other limit that it may reach.
#[must_use]
pub fn limits_around(limits: RunLimits, used: u64) -> Vec<RunLimits> {
    let below = [1, 0, used - used / 2, used - used / 3]
        .into_iter()
        .chain((2..10).map(|step| step * step));
    let mut around: Vec<RunLimits> = below
        .map(|less| RunLimits {
            cycles: used.saturating_sub(less),
            ..limits
        })
        .collect();
    around.extend([0, 20, 50, 100, 300].map(|slots| RunLimits { slots, ..limits }));
    around.extend([4, 2, 1].map(|pages| RunLimits { pages, ..limits }));
    around.extend([0, 1000, 65_535].map(|output_bytes| RunLimits {
        output_bytes,
        ..limits
    }));
    around
}

/// Compares the program of a seed in all executions, and adds what was found to the report.
///
/// # Errors
/// [`AuditError`]: a comparison could not be made.
pub fn fuzz_seed(
    seed: u64,
    engine: &Engine,
    chain: &mut Chain,
    report: &mut FuzzReport,
) -> Result<(), AuditError> {
    match generated_image(seed)? {
        Some((image, limits)) => compare_program(&image, limits, seed, engine, chain, report),
        None => Ok(()),
    }
}

/// Compares a program in all executions with limits that do not matter to it, and at limits around
/// what it needs. The chain executes some steps of each run, the first and the last among them, and
/// is shown changed proofs of a few.
///
/// # Errors
/// As [`fuzz_seed`].
pub fn compare_program(
    image: &Image,
    limits: RunLimits,
    seed: u64,
    engine: &Engine,
    chain: &mut Chain,
    report: &mut FuzzReport,
) -> Result<(), AuditError> {
    let subject = Subject::new(engine, image)?;
    let (status, used) = compare_run(&subject, limits, seed, 50, chain, report)?;
    report.programs += 1;
    report.ends[usize::from(status.number())] += 1;
    for limits in limits_around(limits, used) {
        compare_run(&subject, limits, seed, 1000, chain, report)?;
    }
    tamper_with(&subject, limits, seed, used, chain, report)
}

fn compare_run(
    subject: &Subject,
    limits: RunLimits,
    seed: u64,
    every: u64,
    chain: &mut Chain,
    report: &mut FuzzReport,
) -> Result<(Status, u64), AuditError> {
    let job = subject.job(limits);
    let trial = Trial::new(&job, ARCHIVE, OnChain::Sample(every));
    let agreement = subject.compare(Some(chain), &trial)?;
    report.runs += 1;
    report.steps += agreement.steps;
    report.steps_on_chain += agreement.steps_on_chain;
    report.costs.merge(&agreement.costs);
    report
        .mismatches
        .merge_of(&format!("seed {seed} at {limits:?}"), &agreement.mismatches);
    Ok((agreement.halted.outcome.status, agreement.halted.cycles))
}

/// Changes proofs of a few steps of a run.
fn tamper_with(
    subject: &Subject,
    limits: RunLimits,
    seed: u64,
    cycles: u64,
    chain: &mut Chain,
    report: &mut FuzzReport,
) -> Result<(), AuditError> {
    let mut machine = subject.start(&subject.job(limits), 0, ARCHIVE)?;
    let mut random = Random::new(seed);
    while machine.halted().is_none() {
        let (before, proof) = machine.prove()?;
        tamper(
            chain,
            before,
            &proof.to_bytes(),
            random.next(),
            20,
            &mut report.tampering,
        );
        let forward = random.below(cycles / 4 + 1);
        machine.run_to_cycles(machine.cycles().saturating_add(forward))?;
    }
    Ok(())
}
