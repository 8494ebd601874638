//! Float operations in the machine and on the chain against arithmetic on integers (LLVM's APFloat in
//! Rust; roots by integer square roots), which shares no code with the processor's.
//!
//! A vector is a state made up for it: one instruction, a frame with its operands, nothing else. Its
//! step is replayed by the machine's transition and executed on the chain like any other, from a
//! proof of some 500 bytes.

use std::cmp::Ordering;

use alloy_primitives::B256;
use outcry_protocol::status::Outcome;
use outcry_verifier::machine::commit::{Context, Registers, Rest, Shape, StateWords};
use outcry_verifier::machine::isa::{self, BRANCH, IMM, Instruction, op};
use outcry_verifier::machine::replay;
use outcry_verifier::machine::tree::{leaf_of_bytes, leaf_of_slots, slot_bytes};
use outcry_verifier::task::{Halted, TaskHeader};
use rustc_apfloat::ieee::{Double, Single};
use rustc_apfloat::{Float, FloatConvert, Round, Status};

use crate::agreement::Mismatches;
use crate::chain::Chain;
use crate::random::Random;

/// The first and the last float operation.
pub(crate) const OPERATIONS: std::ops::RangeInclusive<u16> = op::F32_EQ..=op::F64_CONVERT_I64_U;
const NAN_32: u64 = 0x7fc0_0000;
const NAN_64: u64 = 0x7ff8_0000_0000_0000;
/// Where a branch that is taken leads, in instructions.
const TARGET: u32 = 5;

/// What comparing vectors found.
#[derive(Debug, Clone, Default)]
pub struct FloatReport {
    /// Vectors that were executed.
    pub vectors: u64,
    /// Those of them that trapped.
    pub trapped: u64,
    /// Disagreements.
    pub mismatches: Mismatches,
}

/// What an operation should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Value(u64),
    Trap,
}

/// Compares so many vectors, all operations in turn, with operands that the seed chooses.
pub fn compare_floats(chain: &mut Chain, seed: u64, vectors: u64) -> FloatReport {
    let mut report = FloatReport::default();
    let mut random = Random::new(seed);
    let operations: Vec<u16> = OPERATIONS
        .filter(|operation| isa::name(*operation).is_some())
        .collect();
    for operation in operations.iter().cycle().take(vectors as usize) {
        let operation = *operation;
        let (x, y) = (
            operand(operation, &mut random),
            operand(operation, &mut random),
        );
        let flags = match random.below(3) {
            1 if isa::compares(operation) => BRANCH,
            2 if isa::compares(operation) => BRANCH | IMM,
            _ => 0,
        };
        let expected = soft(operation, x, y);
        report.vectors += 1;
        report.trapped += u64::from(expected == Expected::Trap);
        let vector = Vector {
            op: operation | flags,
            x,
            y,
        };
        vector.compare(chain, expected, &mut report.mismatches);
    }
    report
}

/// One operation with its operands.
#[derive(Debug, Clone, Copy)]
struct Vector {
    op: u16,
    x: u64,
    y: u64,
}

impl Vector {
    fn compare(&self, chain: &mut Chain, expected: Expected, mismatches: &mut Mismatches) {
        let instruction = Instruction {
            op: self.op,
            a: 0,
            b: 1,
            c: if self.op & BRANCH == 0 { 2 } else { 0 },
            imm: if self.op & BRANCH == 0 {
                0
            } else {
                TARGET.into()
            },
        };
        let mut code = [0; 128];
        code[..Instruction::BYTES].copy_from_slice(&instruction.to_bytes());
        let header = TaskHeader {
            machine_version: 1,
            job_hash: B256::repeat_byte(7),
            task: 0,
            task_count: 1,
            archive_bytes: 0,
            output_limit_bytes: 128,
            page_limit: 1,
        };
        let context = Context {
            header,
            archive: leaf_of_bytes(&[]),
            segments: leaf_of_bytes(&[]),
        };
        let rest = Rest {
            context: context.hash(),
            ..Rest::default()
        };
        let frame = [self.x, self.y, 0];
        let before = StateWords {
            registers: Registers {
                cycles: 3,
                frame_size: 3,
                ..Registers::default()
            },
            shape: Shape {
                cycle_limit: 1000,
                slot_limit: 1000,
                ..Shape::default()
            },
            code: leaf_of_bytes(&code),
            frame: leaf_of_slots(&frame),
            callers: B256::ZERO,
            memories: B256::ZERO,
            globals: B256::ZERO,
            rest: rest.hash(),
        };
        let mut proof: Vec<u8> = before.to_words().concat();
        proof.extend(code);
        proof.extend(slot_bytes(&frame));
        let mut after = before.clone();
        let after = match expected {
            Expected::Value(value) => {
                after.registers.pc = 1;
                if self.op & BRANCH == 0 {
                    after.frame = leaf_of_slots(&[self.x, self.y, value]);
                } else if (value == 1) != (self.op & IMM != 0) {
                    after.registers.pc = TARGET;
                }
                after.hash()
            }
            Expected::Trap => {
                proof.extend(rest.to_words().concat());
                proof.extend(context.to_words().concat());
                let status = outcry_protocol::status::Status::Trapped;
                let halted = Halted {
                    cycles: 3,
                    outcome: Outcome::stopped(status, header.output_limit_bytes),
                };
                halted.hash(header.job_hash, header.task)
            }
        };
        let before = before.hash();
        let replayed = replay(before, &proof);
        let executed = chain.execute_bytes(before, &proof).map(|step| step.after);
        if replayed != Ok(after) || executed != Ok(after) {
            let name = isa::name(self.op).unwrap_or_default();
            mismatches.add(|| {
                format!(
                    "{name} ({:#x}) of {:#x} and {:#x} should give {expected:x?}; the machine {}, the chain {}",
                    self.op,
                    self.x,
                    self.y,
                    if replayed == Ok(after) { "agrees" } else { "does not" },
                    if executed == Ok(after) { "agrees" } else { "does not" },
                )
            });
        }
    }
}

/// Width of an operation's operands, in bits, and whether they are floats.
pub(crate) fn operands(operation: u16) -> (u32, bool) {
    match operation {
        0x80..=0x93 | 0xa8 | 0xa9 | 0xac | 0xad | 0xb1 | 0xb4 | 0xb5 | 0xb8 | 0xb9 => (32, true),
        0xbc | 0xbd | 0xc0 | 0xc1 => (32, false),
        0xbe | 0xbf | 0xc2 | 0xc3 => (64, false),
        _ => (64, true),
    }
}

/// Where rounding, overflow and conversions change their minds.
pub(crate) const EDGES: [f64; 26] = [
    0.0,
    0.5,
    1.0,
    1.5,
    2.5,
    0.499_999_999_999_999_94,
    127.0,
    128.0,
    255.0,
    2_147_483_647.0,
    2_147_483_648.0,
    2_147_483_649.0,
    4_294_967_295.0,
    4_294_967_296.0,
    4_503_599_627_370_495.5,
    9_007_199_254_740_992.0,
    9_223_372_036_854_775_808.0,
    18_446_744_073_709_551_616.0,
    f32::MIN_POSITIVE as f64,
    f32::MAX as f64,
    3.402_823_669_209_385e38,
    f64::MIN_POSITIVE,
    5e-324,
    1.401_298_464_324_817e-45,
    f64::MAX,
    f64::INFINITY,
];

fn operand(operation: u16, random: &mut Random) -> u64 {
    let (width, is_float) = operands(operation);
    let bits = random.next();
    let shape = random.below(8);
    if !is_float {
        let value = match shape {
            0..=2 => bits >> random.below(64),
            3 => (bits >> random.below(64)).wrapping_neg(),
            // Halfway between two floats, or next to it.
            4 | 5 => (1_u64 << random.below(64))
                .wrapping_add(1 << random.below(64))
                .wrapping_add(bits % 3)
                .wrapping_sub(1),
            _ => bits,
        };
        return if width == 32 {
            value & 0xffff_ffff
        } else {
            value
        };
    }
    let near = random.below(5).wrapping_sub(2);
    let sign = bits >> 63;
    let edge = EDGES[random.below(EDGES.len() as u64) as usize];
    // Few significant bits, so that sums and products are often halfway.
    let few = (bits & 0xff) as f64 * f64::powi(2.0, random.below(40) as i32 - 20);
    if width == 32 {
        let value = match shape {
            0 | 1 => ((edge as f32).to_bits() as u64).wrapping_add(near),
            2 => (few as f32).to_bits().into(),
            3 => 0x7f80_0000 | bits & (1 << random.below(23)),
            4 => bits & 0x00ff_ffff,
            5 => (((bits >> 8) as i32) as f32 / 3.0).to_bits().into(),
            _ => bits,
        };
        (value & 0x7fff_ffff) | sign << 31
    } else {
        let value = match shape {
            0 | 1 => edge.to_bits().wrapping_add(near),
            2 => few.to_bits(),
            3 => 0x7ff0 << 48 | bits & (1 << random.below(52)),
            4 => bits & 0x001f_ffff_ffff_ffff,
            5 => (((bits >> 8) as i64) as f64 / 3.0).to_bits(),
            // Around what fits in 32 bits.
            6 => (896 + random.below(260)) << 52 | bits & 0x000f_ffff_ffff_ffff,
            _ => bits,
        };
        (value & (u64::MAX >> 1)) | sign << 63
    }
}

/// A width of float.
trait Soft: Float {
    const NAN_BITS: u64;
    /// Bits of the fraction.
    const FRACTION: u32;
    const EXPONENT_BIAS: i32;

    fn of(bits: u64) -> Self {
        Self::from_bits(bits.into())
    }
    fn bits(self) -> u64 {
        self.to_bits() as u64
    }
    fn canonical(self) -> u64 {
        if self.is_nan() {
            Self::NAN_BITS
        } else {
            self.bits()
        }
    }
}

impl Soft for Single {
    const NAN_BITS: u64 = NAN_32;
    const FRACTION: u32 = 23;
    const EXPONENT_BIAS: i32 = 127;
}

impl Soft for Double {
    const NAN_BITS: u64 = NAN_64;
    const FRACTION: u32 = 52;
    const EXPONENT_BIAS: i32 = 1023;
}

fn soft(operation: u16, x: u64, y: u64) -> Expected {
    use Expected::Value;
    match operation {
        0x80..=0x93 => Value(of_width::<Single>(operation - 0x80, x, y)),
        0x94..=0xa7 => Value(of_width::<Double>(operation - 0x94, x, y)),
        0xa8..=0xaf | 0xb4..=0xbb => {
            let saturates = operation >= 0xb4;
            let kind = (operation - if saturates { 0xb4 } else { 0xa8 }) as u8;
            let bits = if kind & 4 == 0 { 32 } else { 64 };
            let signed = kind & 1 == 0;
            if kind & 2 == 0 {
                truncated(Single::of(x), bits, signed, saturates)
            } else {
                truncated(Double::of(x), bits, signed, saturates)
            }
        }
        0xb0 => {
            let demoted: Single = Double::of(x).convert(&mut false).value;
            Value(demoted.canonical())
        }
        0xb1 => {
            let promoted: Double = Single::of(x).convert(&mut false).value;
            Value(promoted.canonical())
        }
        _ => {
            let value = match (operation - 0xbc) & 3 {
                0 => i128::from(x as u32 as i32),
                1 => i128::from(x as u32),
                2 => i128::from(x as i64),
                _ => i128::from(x),
            };
            Value(if operation < 0xc0 {
                Single::from_i128(value).value.bits()
            } else {
                Double::from_i128(value).value.bits()
            })
        }
    }
}

/// The operations that both widths have, counted from `Eq`.
fn of_width<F: Soft>(operation: u16, a: u64, b: u64) -> u64 {
    let (x, y) = (F::of(a), F::of(b));
    let order = x.partial_cmp(&y);
    let sign = 1 << (F::FRACTION + if F::FRACTION == 23 { 8 } else { 11 });
    match operation {
        0 => u64::from(order == Some(Ordering::Equal)),
        1 => u64::from(order != Some(Ordering::Equal)),
        2 => u64::from(order == Some(Ordering::Less)),
        3 => u64::from(order == Some(Ordering::Greater)),
        4 => u64::from(matches!(order, Some(Ordering::Less | Ordering::Equal))),
        5 => u64::from(matches!(order, Some(Ordering::Greater | Ordering::Equal))),
        6 => (x + y).value.canonical(),
        7 => (x - y).value.canonical(),
        8 => (x * y).value.canonical(),
        9 => (x / y).value.canonical(),
        10 | 11 if x.is_nan() || y.is_nan() => F::NAN_BITS,
        10 => match order {
            Some(Ordering::Equal) if x.is_negative() => a,
            Some(Ordering::Less) => a,
            _ => b,
        },
        11 => match order {
            Some(Ordering::Equal) if x.is_negative() => b,
            Some(Ordering::Less) => b,
            _ => a,
        },
        12 => a & !sign | b & sign,
        13 => a & !sign,
        14 => a ^ sign,
        15 => x.round_to_integral(Round::TowardPositive).value.canonical(),
        16 => x.round_to_integral(Round::TowardNegative).value.canonical(),
        17 => x.round_to_integral(Round::TowardZero).value.canonical(),
        18 => x
            .round_to_integral(Round::NearestTiesToEven)
            .value
            .canonical(),
        _ => root(x),
    }
}

/// The square root: of a significand scaled so far that its integer root has more bits than a float
/// and an even exponent, with the last bit saying whether there is more. Rounded once.
fn root<F: Soft>(x: F) -> u64 {
    if x.is_zero() {
        return x.bits();
    }
    if x.is_nan() || x.is_negative() {
        return F::NAN_BITS;
    }
    if x.is_infinite() {
        return x.bits();
    }
    let bits = x.bits();
    let (field, fraction) = (bits >> F::FRACTION, bits & ((1 << F::FRACTION) - 1));
    let (significand, exponent) = match field {
        0 => (fraction, 1),
        _ => (fraction | 1 << F::FRACTION, field as i32),
    };
    let exponent = exponent - F::EXPONENT_BIAS - F::FRACTION as i32;
    let shift = significand.leading_zeros() as i32 + 62;
    let shift = shift - ((exponent - shift) & 1);
    let scaled = u128::from(significand) << shift;
    let whole = scaled.isqrt();
    let sticky = u128::from(whole * whole != scaled);
    let value = F::from_u128(whole << 1 | sticky).value;
    value.scalbn((exponent - shift) / 2 - 1).bits()
}

fn truncated<F: Soft>(x: F, bits: usize, signed: bool, saturates: bool) -> Expected {
    let mut exact = false;
    let (status, value) = if signed {
        let converted = x.to_i128_r(bits, Round::TowardZero, &mut exact);
        (converted.status, converted.value as u64)
    } else {
        let converted = x.to_u128_r(bits, Round::TowardZero, &mut exact);
        (converted.status, converted.value as u64)
    };
    if status.contains(Status::INVALID_OP) {
        if !saturates {
            return Expected::Trap;
        }
        let high = if signed {
            u64::MAX >> (65 - bits)
        } else {
            u64::MAX >> (64 - bits)
        };
        let low = if signed { 1 << (bits - 1) } else { 0 };
        return Expected::Value(match (x.is_nan(), x.is_negative()) {
            (true, _) => 0,
            (_, true) => low,
            (_, false) => high,
        });
    }
    Expected::Value(if bits == 32 {
        value & 0xffff_ffff
    } else {
        value
    })
}
