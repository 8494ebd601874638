//! Float operations in the machine against compiled code on the processor, many millions of them.
//!
//! A generated program makes operands from the number of a round, applies every float operation and
//! conversion to them, in each way in which the machine may take its operands, and folds the bits of
//! each result into a checksum of that operation. It runs natively and in the machine.
//!
//! What this compares is the machine's float path: how it finds operands and hands results on, its
//! NaNs, minima and maxima, roundings, conversions and branches. Its sums, products, quotients and
//! roots are the processor's own, as those of the compiled code are; whether *they* are right,
//! [`floats`](crate::floats) asks of arithmetic on integers. Conversions that trap are applied to what
//! they take only; where they trap is compared there as well.

use std::fmt::Write;

use outcry_native::{CompiledImage, Engine};
use outcry_protocol::status::Status;
use outcry_protocol::types::JobSpec;
use outcry_verifier::machine::isa::{self, op};
use outcry_verifier::task::{Halted, RunLimits};

use crate::AuditError;
use crate::agreement::{Mismatches, Subject, native_task};
use crate::floats::{EDGES, OPERATIONS, operands};
use crate::fuzz::link_generated;

/// What a sweep found.
#[derive(Debug, Clone, Default)]
pub struct SweepReport {
    /// Operations that both executions applied.
    pub vectors: u64,
    /// Disagreements: for each operation, the first of each range of rounds.
    pub mismatches: Mismatches,
}

impl SweepReport {
    /// Takes another report in.
    pub fn merge(&mut self, other: &Self) {
        self.vectors += other.vectors;
        self.mismatches.merge(&other.mismatches);
    }
}

/// The program of a sweep, ready for both executions.
#[derive(Debug)]
pub struct Sweep {
    subject: Subject,
    job: JobSpec,
    lanes: Vec<Lane>,
}

const LIMITS: RunLimits = RunLimits {
    cycles: 1 << 44,
    pages: 16,
    slots: 1 << 12,
    output_bytes: 1 << 16,
};

impl Sweep {
    /// Compiles the program.
    ///
    /// # Errors
    /// [`AuditError`]: it cannot be done.
    pub fn new(engine: &Engine) -> Result<Self, AuditError> {
        Self::of(engine, &program(&lanes()))
    }

    fn of(engine: &Engine, text: &str) -> Result<Self, AuditError> {
        let program = wat::parse_str(text).map_err(|error| AuditError::Script {
            name: "the program of a float sweep".to_owned(),
            message: error.to_string(),
        })?;
        let subject = Subject::new(engine, &link_generated(&program)?)?;
        Ok(Self {
            job: subject.job(LIMITS),
            subject,
            lanes: lanes(),
        })
    }

    /// Operations that each round applies.
    #[must_use]
    pub fn vectors_per_round(&self) -> u64 {
        self.lanes.len() as u64
    }

    /// Runs a range of rounds in both executions and compares them; the number of a round decides
    /// its operands.
    ///
    /// # Errors
    /// [`AuditError`]: one of the executions could not be made. That they differ is no error.
    pub fn compare(&self, first: u64, rounds: u64) -> Result<SweepReport, AuditError> {
        self.compare_to(self.subject.compiled(), first, rounds)
    }

    fn compare_to(
        &self,
        compiled: &CompiledImage,
        first: u64,
        rounds: u64,
    ) -> Result<SweepReport, AuditError> {
        let both = |rounds| {
            Ok::<_, AuditError>((
                self.run_in_machine(first, rounds)?,
                self.run_natively(compiled, first, rounds)?,
            ))
        };
        let mut report = SweepReport {
            vectors: rounds * self.vectors_per_round(),
            ..SweepReport::default()
        };
        let (machine, native) = both(rounds)?;
        for run in [&machine, &native] {
            if run.halted.outcome.status != Status::Exited {
                report
                    .mismatches
                    .add(|| format!("rounds {first} and on end as {:?}", run.halted));
            }
        }
        for (number, lane) in self.lanes.iter().enumerate() {
            if machine.checksum(number) == native.checksum(number) {
                continue;
            }
            // The lane's first so many rounds agree, and so many differ.
            let (mut agree, mut differ) = (0, rounds);
            while differ - agree > 1 {
                let middle = agree + (differ - agree) / 2;
                let (machine, native) = both(middle)?;
                if machine.checksum(number) == native.checksum(number) {
                    agree = middle;
                } else {
                    differ = middle;
                }
            }
            let round = first + agree;
            let machine = self.run_in_machine(round, 1)?;
            let native = self.run_natively(compiled, round, 1)?;
            report.mismatches.add(|| {
                format!(
                    "round {round}: {} gives {:#x} in the machine, {:#x} natively",
                    lane.describe(&machine),
                    machine.checksum(number),
                    native.checksum(number),
                )
            });
        }
        // Operands and cycles; of operations that differ the checksums are among them.
        if report.mismatches.count() == 0 && machine != native {
            report.mismatches.add(|| {
                format!(
                    "rounds {first} and on end as {:?} in the machine, as {:?} natively",
                    machine.halted, native.halted
                )
            });
        }
        Ok(report)
    }

    fn run_in_machine(&self, first: u64, rounds: u64) -> Result<SweepRun, AuditError> {
        let archive = archive(first, rounds);
        let mut machine = self.subject.start(&self.job, 0, &archive)?;
        machine.run()?;
        let Some(halted) = machine.halted().copied() else {
            unreachable!("`run` ends when the machine has halted");
        };
        Ok(SweepRun {
            halted,
            output: machine.output().to_vec(),
        })
    }

    fn run_natively(
        &self,
        compiled: &CompiledImage,
        first: u64,
        rounds: u64,
    ) -> Result<SweepRun, AuditError> {
        let archive = archive(first, rounds);
        let task = native_task(&self.job, 0, &archive);
        let (halted, output) = compiled.run(&task, archive.to_vec(), Vec::new())?;
        Ok(SweepRun { halted, output })
    }
}

/// What the program reads.
fn archive(first: u64, rounds: u64) -> [u8; 16] {
    let mut archive = [0; 16];
    archive[..8].copy_from_slice(&first.to_le_bytes());
    archive[8..].copy_from_slice(&rounds.to_le_bytes());
    archive
}

/// How one execution ended; its output is the first page of the program's memory.
#[derive(Debug, PartialEq, Eq)]
struct SweepRun {
    halted: Halted,
    output: Vec<u8>,
}

impl SweepRun {
    /// 0 if there is no output.
    fn word(&self, address: usize) -> u64 {
        self.output
            .get(address..address + 8)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u64::from_le_bytes)
    }

    /// Of a single round it is the result itself.
    fn checksum(&self, lane: usize) -> u64 {
        self.word(CHECKSUMS + 8 * lane)
    }
}

/// How the machine comes to an operation's operands, or what becomes of its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Both from slots.
    Slots,
    /// The first is what the last instruction made.
    First,
    /// The second is.
    Second,
    /// A comparison decides an `if`.
    If,
    /// A comparison decides a `br_if`.
    BrIf,
}

/// One operation in one form, with a checksum of its own.
#[derive(Debug, Clone, Copy)]
struct Lane {
    operation: u16,
    form: Form,
}

/// All float operations in all forms that the interpreter tells apart: only floats of 64 bits are
/// handed from one instruction to the next.
fn lanes() -> Vec<Lane> {
    let operations = OPERATIONS.filter(|operation| isa::name(*operation).is_some());
    let of_operation = |operation| {
        let handed_on = (op::F64_EQ..=op::F64_SQRT).contains(&operation);
        let mut forms = vec![Form::Slots];
        if handed_on {
            forms.push(Form::First);
        }
        if handed_on && takes_two(operation) {
            forms.push(Form::Second);
        }
        if isa::compares(operation) {
            forms.extend([Form::If, Form::BrIf]);
        }
        forms.into_iter().map(move |form| Lane { operation, form })
    };
    operations.flat_map(of_operation).collect()
}

fn takes_two(operation: u16) -> bool {
    matches!(
        operation,
        op::F32_EQ..=op::F32_COPYSIGN | op::F64_EQ..=op::F64_COPYSIGN
    )
}

/// An operation as WebAssembly's text has it: `I32TruncSatF64U` is `i32.trunc_sat_f64_u`.
fn instruction(operation: u16) -> String {
    match operation {
        op::F32_DEMOTE => return "f32.demote_f64".to_owned(),
        op::F64_PROMOTE => return "f64.promote_f32".to_owned(),
        _ => {}
    }
    let name = isa::name(operation).unwrap_or_default();
    let mut text = name[..3].to_lowercase();
    for (at, character) in name[3..].char_indices() {
        if character.is_ascii_uppercase() {
            text.push(if at == 0 { '.' } else { '_' });
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

/// Multiplies the checksums: any odd number does; this is SplitMix64's.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

// Where things lie in the program's memory.
const X64: usize = 32;
const Y64: usize = 40;
const X32: usize = 48;
const Y32: usize = 56;
const INTEGER: usize = 64;
const CHECKSUMS: usize = 256;
const EDGES_64: usize = 8192;
const EDGES_32: usize = 8448;
/// Edges in memory, by five random bits.
const EDGE_COUNT: usize = 32;

impl Lane {
    /// The operation with the operands of a run's last round.
    fn describe(&self, run: &SweepRun) -> String {
        let (first, second) = match operands(self.operation) {
            (64, true) => (X64, Y64),
            (_, true) => (X32, Y32),
            _ => (INTEGER, INTEGER),
        };
        let mut text = format!(
            "{} ({:?}) of {:#x}",
            instruction(self.operation),
            self.form,
            run.word(first)
        );
        if takes_two(self.operation) {
            // Writing to a string does not fail.
            let _ = write!(text, " and {:#x}", run.word(second));
        }
        text
    }

    /// An expression that gives the result's bits as an `i64`.
    fn expression(&self) -> String {
        let instruction = instruction(self.operation);
        let (width, is_float) = operands(self.operation);
        let operand = |name, address, loaded| match (width, is_float, loaded) {
            (32, false, _) => "(i32.wrap_i64 (local.get $n))".to_owned(),
            (_, false, _) => "(local.get $n)".to_owned(),
            (_, _, true) => format!("(f64.load (i32.const {address}))"),
            _ => format!("(local.get ${name}{width})"),
        };
        let mut applied = format!(
            "({instruction} {}",
            operand("x", X64, self.form == Form::First)
        );
        if takes_two(self.operation) {
            applied += " ";
            applied += &operand("y", Y64, self.form == Form::Second);
        }
        applied += ")";
        match self.form {
            Form::If => {
                return format!(
                    "(if (result i64) {applied} (then (i64.const 3)) (else (i64.const 5)))"
                );
            }
            Form::BrIf => {
                return format!(
                    "(block (result i64) (block $taken (local.set $t (i64.const 3)) (br_if $taken {applied}) (local.set $t (i64.const 5))) (local.get $t))"
                );
            }
            _ => {}
        }
        let result = if isa::compares(self.operation) {
            "i32"
        } else {
            &instruction[..3]
        };
        if let Some((above, low, high)) = bounds(self.operation) {
            applied = format!(
                "(if (result {result}) (i32.and (f{width}.{above} (local.get $x{width}) (f{width}.const {low})) (f{width}.lt (local.get $x{width}) (f{width}.const {high}))) (then {applied}) (else ({result}.const 0x5a5a5a5a)))"
            );
        }
        match result {
            "i32" => format!("(i64.extend_i32_u {applied})"),
            "f32" => format!("(i64.extend_i32_u (i32.reinterpret_f32 {applied}))"),
            "f64" => format!("(i64.reinterpret_f64 {applied})"),
            _ => applied,
        }
    }
}

/// What a conversion that may trap takes: above (`gt`) or from (`ge`) the first number on, below the
/// second. Both are exact in the operand's width.
fn bounds(operation: u16) -> Option<(&'static str, &'static str, &'static str)> {
    Some(match operation {
        op::I32_TRUNC_F32_S => ("ge", "-2147483648", "2147483648"),
        op::I32_TRUNC_F64_S => ("gt", "-2147483649", "2147483648"),
        op::I32_TRUNC_F32_U | op::I32_TRUNC_F64_U => ("gt", "-1", "4294967296"),
        op::I64_TRUNC_F32_S | op::I64_TRUNC_F64_S => {
            ("ge", "-9223372036854775808", "9223372036854775808")
        }
        op::I64_TRUNC_F32_U | op::I64_TRUNC_F64_U => ("gt", "-1", "18446744073709551616"),
        _ => return None,
    })
}

/// How operands of one width are made.
struct Operands {
    width: u32,
    /// Bits of the fraction.
    fraction: u32,
    bias: u64,
    edges: usize,
    /// So many of the lowest bits are about half of what they are rounded to.
    tie: u32,
    /// Exponents of such numbers, as encoded: the lowest, and how many.
    tie_exponents: (u64, u64),
}

const OPERANDS: [Operands; 2] = [
    Operands {
        width: 64,
        fraction: 52,
        bias: 1023,
        edges: EDGES_64,
        // What demotion rounds off, around what fits in 32 bits.
        tie: 29,
        tie_exponents: (868, 290),
    },
    Operands {
        width: 32,
        fraction: 23,
        bias: 127,
        edges: EDGES_32,
        tie: 12,
        tie_exponents: (100, 60),
    },
];

impl Operands {
    /// Two functions: one makes an operand of two random words; the other makes one that suits a
    /// first one, so that sums cancel, tie or stay what they are.
    fn functions(&self) -> String {
        let Self {
            width,
            fraction,
            bias,
            edges,
            tie,
            tie_exponents: (tie_low, tie_count),
        } = *self;
        let sign_shift = width - 1;
        let sign = 1_u64 << sign_shift;
        let magnitude = sign - 1;
        let infinity = magnitude >> fraction << fraction;
        let fraction_bits = magnitude & !infinity;
        let high_fraction = fraction_bits >> tie << tie;
        let (tiny, few_exponent, few_shift) = (fraction_bits << 1 | 1, bias - 20, fraction - 8);
        let (exponents, below_ulp, half_tie) =
            (infinity >> fraction, fraction + 1, 1_u64 << (tie - 1));
        let near = "(i64.sub (i64.and (i64.shr_u (local.get $s) (i64.const 8)) (i64.const 7)) (i64.const 4))";
        let random_sign =
            format!("(i64.shl (i64.shr_u (local.get $s) (i64.const 63)) (i64.const {sign_shift}))");
        format!(
            r#"
  (func $operand{width} (param $r i64) (param $s i64) (result i64) (local $v i64) (local $t i64)
    (local.set $t (i64.and (i64.shr_u (local.get $s) (i64.const 16)) (i64.const 0xff)))
    (block $done
      (block $any (block $tie (block $whole (block $tiny (block $special (block $few (block $edge
        (br_table $edge $edge $few $special $tiny $whole $tie $any
          (i32.wrap_i64 (i64.and (local.get $s) (i64.const 7)))))
        ;; Where operations change their minds, and next to it.
        (local.set $v (i64.add {near}
          (i64.load offset={edges} (i32.wrap_i64 (i64.and (local.get $t) (i64.const 0xf8))))))
        (br $done))
        ;; Few significant bits, so that results are exact or halfway.
        (local.set $v (i64.or
          (i64.shl (i64.add (i64.const {few_exponent}) (i64.and (local.get $t) (i64.const 31))) (i64.const {fraction}))
          (i64.shl (i64.and (local.get $r) (i64.const 0xff)) (i64.const {few_shift}))))
        (br $done))
        ;; Zero, infinity or a NaN with any payload.
        (local.set $v (i64.or
          (select (i64.const {infinity}) (i64.const 0) (i32.wrap_i64 (i64.and (local.get $t) (i64.const 3))))
          (i64.and (i64.and (local.get $r) (i64.const {fraction_bits}))
            (i64.sub (i64.const 0) (i64.and (local.get $t) (i64.const 1))))))
        (br $done))
        ;; Subnormal or just not.
        (local.set $v (i64.and (local.get $r) (i64.const {tiny})))
        (br $done))
        ;; Multiples of a half up to 2^68, or next to one.
        (local.set $t (i64.shr_u (i64.mul (local.get $t) (i64.const 69)) (i64.const 8)))
        (local.set $v (i64.or
          (i64.shl (i64.add (local.get $t) (i64.const {bias})) (i64.const {fraction}))
          (i64.and (i64.and (local.get $r) (i64.const {fraction_bits}))
            (i64.shl (i64.const -1) (select
              (i64.sub (i64.const {fraction}) (i64.add (local.get $t) (i64.const 1)))
              (i64.const 0)
              (i64.lt_u (local.get $t) (i64.const {fraction})))))))
        (local.set $v (i64.add (local.get $v)
          (i64.and {near} (i64.sub (i64.const 0) (i64.and (i64.shr_u (local.get $s) (i64.const 32)) (i64.const 1))))))
        (br $done))
        ;; About halfway between numbers with fewer bits.
        (local.set $v (i64.add {near} (i64.or (i64.const {half_tie}) (i64.or
          (i64.and (local.get $r) (i64.const {high_fraction}))
          (i64.shl (i64.add (i64.const {tie_low}) (i64.shr_u (i64.mul (local.get $t) (i64.const {tie_count})) (i64.const 8)))
            (i64.const {fraction}))))))
        (br $done))
      (local.set $v (local.get $r)))
    (i64.or (i64.and (local.get $v) (i64.const {magnitude})) {random_sign}))
  (func $partner{width} (param $x i64) (param $r i64) (param $s i64) (result i64) (local $t i64) (local $v i64)
    (local.set $t (i64.and (i64.shr_u (local.get $s) (i64.const 33)) (i64.const 7)))
    (if (i64.ge_u (local.get $t) (i64.const 3))
      (then (return (call $operand{width} (local.get $r) (local.get $s)))))
    ;; The same, or next to it.
    (local.set $v (local.get $x))
    (if (i64.eq (local.get $t) (i64.const 2)) (then
      ;; Half of its last place, or next to that.
      (local.set $v (i64.sub
        (i64.and (i64.shr_u (local.get $x) (i64.const {fraction})) (i64.const {exponents}))
        (i64.const {below_ulp})))
      (local.set $v (select (i64.const 0) (i64.shl (local.get $v) (i64.const {fraction}))
        (i64.lt_s (local.get $v) (i64.const 0))))))
    (local.set $v (i64.add (local.get $v) (select {near} (i64.const 0) (i32.wrap_i64 (local.get $t)))))
    (i64.or (i64.and (local.get $v) (i64.const {magnitude})) {random_sign}))"#
        )
    }

    /// The edges as they lie in memory.
    fn data(&self) -> String {
        (0..EDGE_COUNT)
            .flat_map(|at| {
                let edge = EDGES[at % EDGES.len()];
                let bits = match self.width {
                    32 => u64::from((edge as f32).to_bits()),
                    _ => edge.to_bits(),
                };
                bits.to_le_bytes()
            })
            .map(|byte| format!("\\{byte:02x}"))
            .collect()
    }
}

/// The program's text.
fn program(lanes: &[Lane]) -> String {
    let [wide, narrow] = &OPERANDS;
    let (functions, data) = (
        wide.functions() + &narrow.functions(),
        [wide, narrow].map(Operands::data),
    );
    let draw = |number: u32| format!("(call $draw (i64.add (local.get $k) (i64.const {number})))");
    let mut text = format!(
        r#"(module
  (import "wasi_snapshot_preview1" "random_get" (func $read (param i32 i32) (result i32)))
  (memory 1)
  (data (i32.const {EDGES_64}) "{}")
  (data (i32.const {EDGES_32}) "{}")
  ;; SplitMix64 at a place of its sequence.
  (func $draw (param $z i64) (result i64)
    (local.set $z (i64.mul (local.get $z) (i64.const 0x9e3779b97f4a7c15)))
    (local.set $z (i64.mul (i64.xor (local.get $z) (i64.shr_u (local.get $z) (i64.const 30))) (i64.const 0xbf58476d1ce4e5b9)))
    (local.set $z (i64.mul (i64.xor (local.get $z) (i64.shr_u (local.get $z) (i64.const 27))) (i64.const 0x94d049bb133111eb)))
    (i64.xor (local.get $z) (i64.shr_u (local.get $z) (i64.const 31)))){functions}
  ;; Of all magnitudes; also halfway between floats of either width.
  (func $integer (param $r i64) (param $s i64) (result i64) (local $t i64) (local $a i64) (local $b i64)
    (local.set $t (i64.and (local.get $s) (i64.const 7)))
    (local.set $a (i64.and (i64.shr_u (local.get $s) (i64.const 8)) (i64.const 63)))
    (if (i64.lt_u (local.get $t) (i64.const 4)) (then
      (local.set $r (i64.shr_u (local.get $r) (local.get $a)))
      (return (select (i64.sub (i64.const 0) (local.get $r)) (local.get $r) (i64.eqz (local.get $t))))))
    (if (i64.eq (local.get $t) (i64.const 7)) (then (return (local.get $r))))
    (local.set $b (i64.and (i64.shr_u (local.get $s) (i64.const 16)) (i64.const 63)))
    (if (i64.eq (local.get $t) (i64.const 5)) (then (local.set $b (i64.sub (local.get $a) (i64.const 24)))))
    (if (i64.eq (local.get $t) (i64.const 6)) (then (local.set $b (i64.sub (local.get $a) (i64.const 53)))))
    (i64.add
      (i64.add (i64.shl (i64.const 1) (local.get $a)) (i64.shl (i64.const 1) (local.get $b)))
      (i64.add
        (i64.shl (i64.and (local.get $r) (i64.const 1)) (i64.add (local.get $b) (i64.const 1)))
        (i64.sub (i64.rem_u (i64.shr_u (local.get $r) (i64.const 1)) (i64.const 3)) (i64.const 1)))))
  (func (export "_start") (local $round i64) (local $end i64) (local $k i64) (local $t i64)
    (local $x64 f64) (local $y64 f64) (local $x32 f32) (local $y32 f32) (local $n i64)"#,
        data[0], data[1],
    );
    for lane in 0..lanes.len() {
        let _ = write!(text, " (local $c{lane} i64)");
    }
    let _ = write!(
        text,
        r#"
    (drop (call $read (i32.const 0) (i32.const 16)))
    (local.set $round (i64.load (i32.const 0)))
    (local.set $end (i64.add (local.get $round) (i64.load (i32.const 8))))
    (loop $next
      (local.set $k (i64.shl (local.get $round) (i64.const 4)))
      (i64.store (i32.const {X64}) (call $operand64 {} {}))
      (i64.store (i32.const {Y64}) (call $partner64 (i64.load (i32.const {X64})) {} {}))
      (i64.store (i32.const {X32}) (call $operand32 {} {}))
      (i64.store (i32.const {Y32}) (call $partner32 (i64.load (i32.const {X32})) {} {}))
      (i64.store (i32.const {INTEGER}) (call $integer {} {}))
      (local.set $x64 (f64.load (i32.const {X64}))) (local.set $y64 (f64.load (i32.const {Y64})))
      (local.set $x32 (f32.load (i32.const {X32}))) (local.set $y32 (f32.load (i32.const {Y32})))
      (local.set $n (i64.load (i32.const {INTEGER})))"#,
        draw(0),
        draw(1),
        draw(2),
        draw(3),
        draw(4),
        draw(5),
        draw(6),
        draw(7),
        draw(8),
        draw(9),
    );
    for (number, lane) in lanes.iter().enumerate() {
        // One wrong bit in any round leaves another checksum, and the rotation keeps two from
        // meeting in the highest.
        let _ = write!(
            text,
            "\n      (local.set $c{number} (i64.xor (i64.rotl (i64.mul (local.get $c{number}) (i64.const {FACTOR})) (i64.const 29)) {}))",
            lane.expression()
        );
    }
    text += r#"
      (local.set $round (i64.add (local.get $round) (i64.const 1)))
      (br_if $next (i64.lt_u (local.get $round) (local.get $end))))"#;
    for lane in 0..lanes.len() {
        let _ = write!(
            text,
            "\n    (i64.store (i32.const {}) (local.get $c{lane}))",
            CHECKSUMS + 8 * lane
        );
    }
    text + "))"
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use outcry_verifier::machine::isa::{BRANCH, IMM};

    use super::*;

    #[test]
    fn every_float_operation_is_swept_and_every_comparison_as_either_branch() {
        let sweep = Sweep::new(&Engine::new().unwrap()).unwrap();
        let code = sweep.subject.program().program().code();
        let ops: BTreeSet<u16> = code.iter().map(|instruction| instruction.op).collect();
        for operation in OPERATIONS.filter(|operation| isa::name(*operation).is_some()) {
            let flags = match isa::compares(operation) {
                true => &[0, BRANCH, BRANCH | IMM][..],
                false => &[0],
            };
            for flags in flags {
                let instruction = instruction(operation);
                assert!(
                    ops.contains(&(operation | flags)),
                    "{instruction} {flags:#x}"
                );
            }
        }
    }

    #[test]
    fn a_wrong_result_is_found_and_named_with_its_operands() {
        let engine = Engine::new().unwrap();
        let sweep = Sweep::new(&engine).unwrap();
        let right = "(f64.nearest (local.get $x64))";
        let text = program(&lanes());
        assert_eq!(text.matches(right).count(), 1);
        let wrong = Sweep::of(
            &engine,
            &text.replace(right, "(f64.trunc (local.get $x64))"),
        );
        let wrong = wrong.unwrap();
        let (first, rounds) = (1_000_000, 3000);
        let report = sweep
            .compare_to(wrong.subject.compiled(), first, rounds)
            .unwrap();
        assert_eq!(report.mismatches.count(), 1);

        // The first round whose operand is between a half and the next integer.
        let operand = |round| sweep.run_in_machine(round, 1).unwrap().word(X64);
        let differs = |x: f64| x.round_ties_even().to_bits() != x.trunc().to_bits() && !x.is_nan();
        let round = (first..first + rounds)
            .find(|round| differs(f64::from_bits(operand(*round))))
            .unwrap();
        let x = f64::from_bits(operand(round));
        assert_eq!(
            report.mismatches.first(),
            [format!(
                "round {round}: f64.nearest (Slots) of {:#x} gives {:#x} in the machine, {:#x} natively",
                x.to_bits(),
                x.round_ties_even().to_bits(),
                x.trunc().to_bits()
            )]
        );
    }

    #[test]
    fn rounds_have_all_kinds_of_operands() {
        let sweep = Sweep::new(&Engine::new().unwrap()).unwrap();
        let (mut kinds, mut equal, mut ties, mut zeros) = (BTreeSet::new(), 0, 0, 0);
        for round in 0..2000 {
            let run = sweep.run_in_machine(round, 1).unwrap();
            let [x, y] = [X64, Y64].map(|address| f64::from_bits(run.word(address)));
            let narrow = f32::from_bits(run.word(X32) as u32);
            kinds.insert((64, format!("{:?}", x.classify()), x.is_sign_negative()));
            kinds.insert((
                32,
                format!("{:?}", narrow.classify()),
                narrow.is_sign_negative(),
            ));
            equal += u64::from(x == y);
            zeros += u64::from(x == 0.0 && y == 0.0 && x.to_bits() != y.to_bits());
            ties += u64::from((x - x.floor()) == 0.5);
        }
        // Zero, infinite, NaN, subnormal and normal, of both signs and widths.
        assert_eq!(kinds.len(), 20, "{kinds:?}");
        assert!(
            equal > 50 && ties > 50 && zeros > 2,
            "{equal} {ties} {zeros}"
        );
    }
}
