//! Generated programs: all executions but the chain against the reference, also just below every end.

use outcry_audit::fuzz::{generated_image, limits_around};
use outcry_native::{CompiledImage, Engine};
use outcry_verifier::Image;
use outcry_verifier::task::RunLimits;

use crate::reference::{self, Outcome, Reference};
use crate::support::{INPUT, run_with};

/// Compares all executions with the reference at limits that do not matter to the program, and at
/// limits around what it needs. Returns the outcome of the former.
pub(crate) fn compare(
    image: &Image,
    limits: RunLimits,
    native: &Engine,
    reference: &wasmtime::Engine,
) -> Outcome {
    let compiled = native.compile(image).unwrap();
    let reference = Reference::new(reference, image);
    let full = check(&compiled, &reference, limits, INPUT);
    for limits in limits_around(limits, full.cycles) {
        check(&compiled, &reference, limits, INPUT);
    }
    full
}

/// Compares one run of all executions and the reference.
pub(crate) fn check(
    compiled: &CompiledImage,
    reference: &Reference,
    limits: RunLimits,
    input: &[u8],
) -> Outcome {
    let expected = reference.run(limits, input);
    let (halted, output) = run_with(compiled, limits, input);
    let (status, exit_code) = (halted.outcome.status, halted.outcome.exit_code);
    assert_eq!(
        Outcome {
            status,
            exit_code,
            cycles: halted.cycles,
            output
        },
        expected,
        "{limits:?}"
    );
    expected
}

/// Compares so many seeds; returns how many programs ended in each status.
pub(crate) fn compare_seeds(seeds: std::ops::Range<u64>) -> [u64; 5] {
    let (native, reference) = (Engine::new().unwrap(), reference::engine());
    let mut ends = [0; 5];
    for seed in seeds {
        let generated =
            generated_image(seed).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let Some((image, limits)) = generated else {
            continue;
        };
        let compare = || compare(&image, limits, &native, &reference);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(compare));
        let outcome = outcome.unwrap_or_else(|_| panic!("seed {seed} differs"));
        ends[usize::from(outcome.status.number())] += 1;
    }
    ends
}

#[test]
fn generated_programs_end_alike_in_both_variants_and_the_reference() {
    let ends = compare_seeds(0..300);
    // The generator gives enough programs of each kind for the test to mean something.
    assert!(
        ends[..4].iter().all(|programs| *programs >= 10),
        "programs by status: {ends:?}"
    );
}

/// Values whose bits differ between processors unless NaNs are made canonical.
const NANS: &str = r#"
  (func $bad (result f64) (f64.div (f64.const 0) (f64.const 0)))
  (func $bad32 (result f32) (f32.sub (f32.const inf) (f32.const inf)))
  (func $signalling (result f64) (f64.reinterpret_i64 (i64.const 0x7ff4000000000001)))
  (func $signalling32 (result f32) (f32.reinterpret_i32 (i32.const 0xffa00001)))"#;

#[test]
fn nan_bits_are_canonical_wherever_they_can_be_observed() {
    let observers = [
        // Stores of results of every kind of arithmetic.
        "(f64.store (i32.const 0) (f64.add (call $signalling) (f64.const 1)))",
        "(f64.store (i32.const 0) (f64.sqrt (f64.const -1)))",
        "(f64.store (i32.const 0) (f64.min (call $signalling) (f64.const 1)))",
        "(f64.store (i32.const 0) (f64.ceil (call $signalling)))",
        "(f64.store (i32.const 0) (f64.promote_f32 (call $signalling32)))",
        "(f32.store (i32.const 0) (f32.demote_f64 (call $signalling)))",
        "(f32.store (i32.const 0) (f32.mul (call $signalling32) (f32.const 2)))",
        // Not arithmetic: the bits stay.
        "(f64.store (i32.const 0) (call $signalling))",
        "(f64.store (i32.const 0) (f64.neg (call $signalling)))",
        "(f32.store (i32.const 0) (f32.abs (call $signalling32)))",
        "(f64.store (i32.const 0) (f64.copysign (call $signalling) (f64.const -1)))",
        // Signs of arithmetic results.
        "(f64.store (i32.const 0) (f64.neg (f64.div (f64.const 0) (f64.const 0))))",
        "(f64.store (i32.const 0) (f64.copysign (f64.const 1) (f64.sqrt (f64.const -1))))",
        "(f64.store (i32.const 0) (f64.copysign (f64.sqrt (f64.const -1)) (f64.const -1)))",
        "(i64.store (i32.const 0) (i64.reinterpret_f64 (f64.abs (f64.sub (f64.const inf) (f64.const inf)))))",
        // Through locals, tees, selects, blocks, loops, ifs, branches, globals, calls.
        "(local.set $x (f64.sqrt (f64.const -1))) (f64.store (i32.const 0) (local.get $x))",
        "(f64.store (i32.const 0) (local.tee $x (f64.sqrt (f64.const -1)))) (f64.store (i32.const 8) (local.get $x))",
        "(local.set $x (f64.sqrt (f64.const -1))) (local.set $y (local.get $x)) (f64.store (i32.const 0) (f64.neg (local.get $y)))",
        "(f64.store (i32.const 0) (select (f64.sqrt (f64.const -1)) (f64.const 1) (i32.const 1)))",
        "(f64.store (i32.const 0) (block $b (result f64) (br $b (f64.sqrt (f64.const -1)))))",
        "(f64.store (i32.const 0) (block $b (result f64) (drop (br_if $b (f64.sqrt (f64.const -1)) (i32.const 1))) (f64.const 1)))",
        "(f64.store (i32.const 0) (if (result f64) (i32.const 1) (then (f64.sqrt (f64.const -1))) (else (f64.const 1))))",
        "(f64.sqrt (f64.const -1)) (if (param f64) (result f64) (i32.const 0) (then (drop) (f64.const 1))) (global.set $g) (f64.store (i32.const 0) (global.get $g))",
        "(f64.sqrt (f64.const -1)) (loop (param f64) (result f64)) (local.set $x) (f64.store (i32.const 0) (local.get $x))",
        "(f64.store (i32.const 0) (block $b (result f64) (br_table $b $b (f64.sqrt (f64.const -1)) (i32.const 0))))",
        "(call $observe (f64.sqrt (f64.const -1)))",
        "(f64.store (i32.const 0) (call $bad)) (f32.store (i32.const 8) (call $bad32))",
        "(call_indirect (param f64) (f64.sqrt (f64.const -1)) (i32.const 0))",
        "(local.set $x (f64.const 1)) (loop $l (local.set $x (f64.sub (f64.mul (local.get $x) (f64.const 1e200)) (f64.const inf)))
           (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $l (i32.lt_u (local.get $i) (i32.const 5))))
         (f64.store (i32.const 0) (f64.mul (local.get $x) (f64.const 0)))",
    ];
    let (native, reference) = (Engine::new().unwrap(), reference::engine());
    for observer in observers {
        let program = format!(
            r#"(module (memory 1) (global $g (mut f64) (f64.const 0)) (table 1 1 funcref) (elem (i32.const 0) $observe)
              {NANS}
              (func $observe (param f64) (f64.store (i32.const 16) (local.get 0)))
              (func (export "_start") (local $x f64) (local $y f64) (local $i i32) {observer}))"#
        );
        let outcome = compare(
            &crate::support::link(&program).unwrap(),
            outcry_audit::fuzz::generous(1 << 30),
            &native,
            &reference,
        );
        assert!(
            outcome.output.iter().any(|byte| *byte != 0),
            "{observer} observes nothing"
        );
    }
}
