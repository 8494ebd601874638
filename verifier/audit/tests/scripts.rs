//! What the runner of test scripts sees and says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use outcry_audit::{OnChain, WastOptions, WastReport, wast};

fn run(script: &str) -> WastReport {
    let options = WastOptions {
        chain: OnChain::Every,
        repeats: false,
    };
    wast("script", script, options, &mut |_| {}).unwrap()
}

fn differences(script: &str) -> Vec<String> {
    run(script).differences
}

#[test]
fn an_assertion_that_does_not_hold_is_named_by_its_line() {
    let module = r#"(module (func (export "f") (param i32) (result i32) (local.get 0))
      (func (export "trap") unreachable) (func (export "endless") (call 2)))"#;
    for (assertion, expected) in [
        (
            r#"(assert_return (invoke "f" (i32.const 1)) (i32.const 1))"#,
            None,
        ),
        (
            r#"(assert_return (invoke "f" (i32.const 1)) (i32.const 2))"#,
            Some("line 3: the assertion does not hold"),
        ),
        (r#"(assert_trap (invoke "trap") "unreachable")"#, None),
        (
            r#"(assert_trap (invoke "f" (i32.const 1)) "unreachable")"#,
            Some("line 3: the assertion does not hold"),
        ),
        (r#"(assert_exhaustion (invoke "endless") "stack")"#, None),
        (
            r#"(assert_exhaustion (invoke "trap") "stack")"#,
            Some("line 3: the run ends as `trapped`, not as `out of frame slots`"),
        ),
        (
            r#"(assert_invalid (module (func (export "a") (result i32) (i32.const 1))) "type mismatch")"#,
            Some("line 3: `type mismatch` loads"),
        ),
    ] {
        let found = differences(&format!("{module}\n{assertion}"));
        assert_eq!(found, Vec::from_iter(expected), "{assertion}");
    }
}

#[test]
fn a_nan_has_the_canonical_bits_or_the_assertion_does_not_hold() {
    let module = r#"(module
      (func (export "made") (result f32) (f32.div (f32.const 0) (f32.const 0)))
      (func (export "kept") (result f32) (f32.const nan:0x200000)))"#;
    for (export, pattern, holds) in [
        ("made", "nan:canonical", true),
        ("made", "nan:arithmetic", true),
        ("made", "nan:0x200000", false),
        ("kept", "nan:0x200000", true),
        ("kept", "nan:canonical", false),
    ] {
        let assertion = format!("(assert_return (invoke \"{export}\") (f32.const {pattern}))");
        assert_eq!(
            differences(&format!("{module}\n{assertion}")).is_empty(),
            holds,
            "{assertion}"
        );
    }
}

#[test]
fn modules_that_import_from_each_other_share_what_they_import() {
    let report = run(r#"
      (module $a (memory (export "m") 1) (global (export "g") (mut i32) (i32.const 1)) (table (export "t") 2 funcref)
        (func (export "load") (result i32) (i32.load8_u (i32.const 7)))
        (func (export "call") (result i32) (call_indirect (result i32) (i32.const 1))))
      (register "a" $a)
      (assert_return (invoke $a "load") (i32.const 0))
      (assert_trap (invoke $a "call") "uninitialized element")
      (module $b (memory (import "a" "m") 1) (global (import "a" "g") (mut i32)) (table (import "a" "t") 2 funcref)
        (data (i32.const 7) "x") (elem (i32.const 1) $f)
        (func $f (result i32) (global.get 0))
        (func $start (global.set 0 (i32.const 5))) (start $start))
      (assert_return (invoke $a "load") (i32.const 120))
      (assert_return (invoke $a "call") (i32.const 5))
      (assert_return (get $a "g") (i32.const 5))
      (assert_trap (module (memory (import "a" "m") 1) (data (i32.const 7) "y") (data (i32.const 65536) "z")) "out of bounds")
      (assert_return (invoke $a "load") (i32.const 121))"#);
    assert_eq!(report.differences, [] as [String; 0]);
    assert_eq!(
        (report.modules, report.assertions, report.skipped.len()),
        (3, 7, 0)
    );
    assert!(report.steps_on_chain > report.steps / 2);
}

#[test]
fn what_is_not_accepted_is_skipped_by_name() {
    let report = run(r#"
      (module (table 1 externref) (func (export "f")))
      (assert_return (invoke "f"))
      (module (import "nobody" "f" (func)))"#);
    let skipped: Vec<(usize, &str)> = report
        .skipped
        .iter()
        .map(|skip| (skip.line, &skip.needs[..]))
        .collect();
    assert_eq!(
        skipped,
        [(2, "gc-types"), (3, "gc-types"), (4, "a module `nobody`")]
    );
}

#[test]
fn a_text_that_is_no_script_is_refused_with_the_place() {
    let options = WastOptions {
        chain: OnChain::None,
        repeats: false,
    };
    let error = wast("some.wast", "(module\n  (func", options, &mut |_| {}).unwrap_err();
    assert!(error.to_string().starts_with("some.wast: "), "{error}");
}

#[test]
fn a_trap_after_many_steps_needs_no_chain_to_be_seen() {
    let options = WastOptions {
        chain: OnChain::None,
        repeats: false,
    };
    let script = r#"(module (func (export "long") (local i32)
        (loop $next
          (local.set 0 (i32.add (local.get 0) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get 0) (i32.const 1000000))))
        unreachable))
      (assert_trap (invoke "long") "unreachable")"#;
    let report = wast("script", script, options, &mut |_| {}).unwrap();
    assert_eq!(report.differences, [] as [String; 0]);
    assert!(report.steps > 1_000_000 && report.steps_on_chain == 0);
}
