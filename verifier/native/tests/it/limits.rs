//! Limits and traps end a run with a status and an exact count.

use outcry_protocol::status::Status;
use outcry_verifier::task::RunLimits;

use crate::support::{LIMITS, compile, run};

#[test]
fn a_program_without_imports_exits_with_code_0() {
    let (halted, output) = run(&compile(r#"(module (func (export "_start")))"#), LIMITS);
    assert_eq!(halted.outcome.status, Status::Exited);
    assert_eq!(halted.outcome.exit_code, 0);
    assert!(output.is_empty());
}

#[test]
fn proc_exit_sets_the_exit_code_and_the_output_is_the_users_memory() {
    let program = r#"(module
      (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
      (memory 1)
      (func (export "_start") (i32.store (i32.const 4) (i32.const 7)) (call $proc_exit (i32.const 42))))"#;
    let (halted, output) = run(&compile(program), LIMITS);
    assert_eq!(
        (halted.outcome.status, halted.outcome.exit_code),
        (Status::Exited, 42)
    );
    assert_eq!(output.len(), 256);
    assert_eq!(output[4], 7);
}

#[test]
fn every_cycle_limit_below_the_count_ends_out_of_cycles_and_the_count_itself_suffices() {
    let program = compile(
        r#"(module (memory 1)
          (func $fib (param i32) (result i32)
            (if (result i32) (i32.lt_s (local.get 0) (i32.const 2))
              (then (local.get 0))
              (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                             (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
          (func (export "_start") (i32.store (i32.const 0) (call $fib (i32.const 5)))))"#,
    );
    let (halted, output) = run(&program, LIMITS);
    assert_eq!(output[0], 5);
    for cycles in 0..halted.cycles {
        let (stopped, output) = run(&program, RunLimits { cycles, ..LIMITS });
        assert_eq!(
            (stopped.outcome.status, stopped.cycles),
            (Status::OutOfCycles, cycles)
        );
        assert!(output.is_empty());
    }
    assert_eq!(
        run(
            &program,
            RunLimits {
                cycles: halted.cycles,
                ..LIMITS
            }
        )
        .0,
        halted
    );
}

#[test]
fn an_endless_loop_ends_at_the_cycle_limit() {
    let (halted, _) = run(
        &compile(r#"(module (func (export "_start") (loop (br 0))))"#),
        LIMITS,
    );
    assert_eq!(
        (halted.outcome.status, halted.cycles),
        (Status::OutOfCycles, LIMITS.cycles)
    );
}

#[test]
fn endless_recursion_ends_at_the_slot_limit_and_never_on_the_native_stack() {
    for body in ["(call $f)", "(call_indirect (i32.const 0))"] {
        let program = format!(
            r#"(module (table 1 1 funcref) (elem (i32.const 0) $f)
              (func $f {body}) (func (export "_start") (call $f)))"#
        );
        let (halted, _) = run(
            &compile(&program),
            RunLimits {
                slots: 1 << 20,
                ..LIMITS
            },
        );
        assert_eq!(halted.outcome.status, Status::OutOfFrameSlots);
    }
}

#[test]
fn every_slot_limit_below_the_need_ends_out_of_slots() {
    let program = compile(
        r#"(module (func $h (param i32 i32)) (func $g (call $h (i32.const 1) (i32.const 2)))
          (func $r (param i32) (if (local.get 0) (then (call $g) (call $r (i32.sub (local.get 0) (i32.const 1))))))
          (func (export "_start") (call $r (i32.const 5))))"#,
    );
    let exited = (0..400).filter(|slots| {
        let (halted, _) = run(
            &program,
            RunLimits {
                slots: *slots,
                ..LIMITS
            },
        );
        assert!(matches!(
            halted.outcome.status,
            Status::Exited | Status::OutOfFrameSlots
        ));
        halted.outcome.status == Status::Exited
    });
    let exited: Vec<u64> = exited.collect();
    // From the need on, every limit suffices.
    assert_eq!(exited.last(), Some(&399));
    assert_eq!(exited.len() as u64, 400 - exited[0]);
}

#[test]
fn traps_count_the_block_of_the_trapping_instruction_whole() {
    for (name, body) in [
        ("unreachable", "(unreachable)"),
        (
            "division by zero",
            "(drop (i32.div_u (i32.const 1) (i32.const 0)))",
        ),
        (
            "overflow",
            "(drop (i32.div_s (i32.const -2147483648) (i32.const -1)))",
        ),
        ("memory", "(drop (i64.load (i32.const -8)))"),
        (
            "bulk memory",
            "(memory.fill (i32.const 65535) (i32.const 0) (i32.const 2))",
        ),
        ("conversion", "(drop (i32.trunc_f32_s (f32.const nan)))"),
        ("null", "(call_indirect (i32.const 0))"),
        (
            "type",
            "(call_indirect (param i32) (i32.const 0) (i32.const 1))",
        ),
        ("table", "(call_indirect (i32.const 9))"),
    ] {
        let program = |condition: &str| {
            format!(
                r#"(module (memory 1) (table 2 2 funcref) (elem (i32.const 1) $f) (func $f)
                  (func (export "_start") (local i32)
                    (loop $again
                      (local.set 0 (i32.add (local.get 0) (i32.const 1)))
                      (br_if $again (i32.lt_u (local.get 0) (i32.const 1000))))
                    (if (i32.const {condition}) (then {body} (drop (i32.const 1))))))"#
            )
        };
        let (trapped, output) = run(&compile(&program("1")), LIMITS);
        assert_eq!(trapped.outcome.status, Status::Trapped, "{name}");
        assert!(output.is_empty());
        // The same program without the arm: what it charges beyond belongs to the arm and to the end.
        let (exited, _) = run(&compile(&program("0")), LIMITS);
        assert_eq!(exited.outcome.status, Status::Exited, "{name}");
        // At the count itself the trap still happens, below it the limit does.
        let at = |cycles| {
            run(&compile(&program("1")), RunLimits { cycles, ..LIMITS })
                .0
                .outcome
                .status
        };
        assert_eq!(at(trapped.cycles), Status::Trapped, "{name}");
        assert_eq!(at(trapped.cycles - 1), Status::OutOfCycles, "{name}");
    }
}

#[test]
fn memory_grows_exactly_to_the_page_limit_of_all_memories_together() {
    // The library has one page, the program one.
    let program = compile(
        r#"(module (memory 1)
          (func (export "_start")
            (i32.store (i32.const 0) (memory.grow (i32.const 8)))
            (i32.store (i32.const 4) (memory.grow (i32.const 9)))
            (i32.store (i32.const 8) (memory.grow (i32.const -1)))
            (i32.store (i32.const 12) (memory.grow (i32.const 65535)))
            (i32.store (i32.const 16) (memory.size))))"#,
    );
    let words = |pages: u32| -> Vec<i32> {
        let (_, output) = run(
            &program,
            RunLimits {
                pages,
                cycles: 1 << 40,
                ..LIMITS
            },
        );
        output
            .chunks(4)
            .take(5)
            .map(|word| i32::from_le_bytes(word.try_into().unwrap()))
            .collect()
    };
    assert_eq!(words(10), [1, -1, -1, -1, 9]);
    assert_eq!(words(9), [-1, -1, -1, -1, 1]);
    assert_eq!(words(19), [1, 9, -1, -1, 18]);
    let (halted, _) = run(&program, RunLimits { pages: 1, ..LIMITS });
    assert_eq!((halted.outcome.status, halted.cycles), (Status::Trapped, 0));
}

#[test]
fn output_beyond_the_limit_ends_with_its_own_status() {
    let program = compile(
        r#"(module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32) (result i32)))
          (memory 1) (func (export "_start") (drop (call $write (i32.const 0) (i32.const 100)))))"#,
    );
    let status = |output_bytes| {
        run(
            &program,
            RunLimits {
                output_bytes,
                ..LIMITS
            },
        )
        .0
        .outcome
        .status
    };
    assert_eq!(status(356), Status::Exited);
    assert_eq!(status(355), Status::OutputLimitExceeded);
    assert_eq!(status(99), Status::OutputLimitExceeded);
}

#[test]
fn frames_full_of_values_that_the_compiler_keeps_end_at_the_slot_limit_too() {
    // Products that do not change in the loop are computed before it and stay alive across the
    // recursion: a native frame far larger than locals and operands tell.
    let stores: String = (0..4000)
        .map(|k| {
            format!(
                "(i64.store offset={} (i32.const 0) (i64.mul (local.get 0) (i64.const {})))",
                8 * k,
                2 * k + 3
            )
        })
        .collect();
    let calls = "(call $f (i64.add (local.get 0) (i64.const 1)))";
    let program = format!(
        r#"(module (memory 1)
          (func $f (param i64) (local i32)
            (loop $l {stores} {calls}
              (br_if $l (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.const 3)))))
          (func (export "_start") (call $f (i64.const 1))))"#
    );
    let (halted, _) = run(
        &compile(&program),
        RunLimits {
            slots: 1 << 20,
            cycles: 1 << 40,
            ..LIMITS
        },
    );
    assert_eq!(halted.outcome.status, Status::OutOfFrameSlots);
    let many = "i64 ".repeat(120);
    let gets: String = (0..120)
        .map(|local| format!("(local.get {local})"))
        .collect();
    let program = format!(
        r#"(module (func $f (param {many}) (result {many}) (call $f {gets}))
          (func (export "_start") {} (call $f) {}))"#,
        "(i64.const 1)".repeat(120),
        "(drop)".repeat(120)
    );
    let (halted, _) = run(
        &compile(&program),
        RunLimits {
            slots: 1 << 20,
            cycles: 1 << 40,
            ..LIMITS
        },
    );
    assert_eq!(halted.outcome.status, Status::OutOfFrameSlots);
}

#[test]
fn transformed_functions_stay_below_the_engines_size_limit() {
    // What grows most: a charge for every two instructions, a NaN check for every two, both with
    // the longest indices.
    let bodies = [
        "(br_if 0 (local.get 0))",
        "(if (local.get 0) (then))",
        "(loop (br_if 0 (local.get 0)))",
        "(local.set 1 (f64.sqrt (local.get 1)))",
        "(local.set 16001 (f64.sqrt (local.get 16001)))",
        "(local.set 16000 (call $identity (local.get 16000)))",
        "(memory.fill (local.get 0) (local.get 0) (local.get 0))",
    ];
    for (index, body) in bodies.iter().enumerate() {
        let locals = if index < 4 {
            "f64".to_owned()
        } else {
            format!("{} f64", "i32 ".repeat(16_000))
        };
        let program = |count: usize| {
            let code = body.repeat(count);
            format!(
                r#"(module (memory 1) (func $identity (param i32) (result i32) (local.get 0))
                  (func $f (param i32) (local {locals}) {code} (global.set 0 (local.get {})))
                  (global (mut f64) (f64.const 0))
                  (func (export "_start") (call $f (i32.const 0))))"#,
                if index < 4 { 1 } else { 16_001 }
            )
        };
        let bytes_of = |count| wat::parse_str(program(count)).unwrap().len();
        let each = (bytes_of(2000) - bytes_of(1000)) as f64 / 1000.0;
        let count = (outcry_verifier::limits::FUNCTION_BYTES as f64 * 0.95 / each) as usize;
        let image = crate::support::link(&program(count)).unwrap();
        for module in [
            outcry_verifier::meter::fast(&image).unwrap(),
            outcry_verifier::meter::exact(&image).unwrap(),
        ] {
            wasmparser::Validator::new()
                .validate_all(&module)
                .unwrap_or_else(|error| panic!("{body}: {error}"));
        }
    }
}
