//! What a search for the single best offer reads of most blocks: few cache lines, rounded in favour of
//! the offers, and arithmetic that a compiler does for several of them at a time.
//!
//! A price, or the time per cycle, is kept as 31 bits, scaled by a power of two so that the largest of
//! the block fills them; what the bid multiplies it by as 32 bits, scaled likewise. A term of the score
//! is then one product of 32 by 32 bits, shifted once. Everything is rounded down, so no score is below
//! its bound.

use std::array;

use super::reference::{References, Row};
use super::{Block, CYCLE, LAYER_MAX, LOW_LOOKS_MAX, MEMORY, NONE, START, WIDTH};
use crate::fit::Demand;

/// Bits of the largest score that an offer may have and fit, in the units of an [`Aim`]: three terms of
/// a cost below 2^61 and the time's below 2^62 add up within 64.
const SCORE_BITS: i32 = 58;
/// Least shift of a product, for that reason.
const SHIFT_MIN: i32 = 2;
/// Least shift of a number of seconds, which must leave 32 bits.
const SECONDS_SHIFT_MIN: i32 = 31;
/// Fractional bits of [`Demand::cycle_weight`], which multiplies a price, and of a pace.
const FRACTION_BITS: i32 = 64;

/// A pace that no bid accepts; others have 31 bits.
const NO_PACE: u32 = 1 << 31;

/// A block in four cache lines. It leaves out what few bids ask for.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(super) struct Sketch {
    /// Of the attributes the lowest 32 bits.
    attributes: [u32; WIDTH],
    memory: [u32; WIDTH],
    /// `2^64 / speed`, scaled.
    pace: [u32; WIDTH],
    /// Scaled, as the prices are.
    fee: [u32; WIDTH],
    cycle_price: [u32; WIDTH],
    memory_price: [u32; WIDTH],
    /// As in the block.
    pub(super) number: [u32; WIDTH],
    pub(super) children: u32,
    pub(super) count: u32,
    /// As in the block.
    pub(super) rows: u32,
    layer: u8,
    /// Whether its parent is in a block of the highest layer with rows, which counts what is below.
    pub(super) is_counted: bool,
    pace_scale: i8,
    fee_scale: i8,
    cycle_scale: i8,
    memory_scale: i8,
}

/// `values / 2^scale` in 31 bits, and the scale.
pub(super) fn scaled(values: [u128; WIDTH]) -> ([u32; WIDTH], i8) {
    let most = values.into_iter().max().unwrap_or(0);
    // From -31 to 97.
    let scale = bits(most) - 31;
    (
        values.map(|value| shifted(value, scale) as u32),
        scale as i8,
    )
}

fn bits(value: u128) -> i32 {
    (u128::BITS - value.leading_zeros()) as i32
}

/// `value / 2^by`, rounded down; the caller knows that it fits.
pub(super) fn shifted(value: u128, by: i32) -> u128 {
    if by < 0 {
        value.checked_shl(by.unsigned_abs()).unwrap_or(u128::MAX)
    } else {
        value.checked_shr(by.unsigned_abs()).unwrap_or(0)
    }
}

impl Sketch {
    pub(super) fn of(block: &Block) -> Self {
        let live = |lane: usize| block.speed[lane] != 0;
        let of_live = |value: &dyn Fn(usize) -> u128| {
            scaled(array::from_fn(
                |lane| {
                    if live(lane) { value(lane) } else { 0 }
                },
            ))
        };
        let (pace, pace_scale) = of_live(&|lane| (u64::MAX / block.speed[lane].max(1)).into());
        let (fee, fee_scale) = of_live(&|lane| block.prices[START][lane]);
        let (cycle_price, cycle_scale) = of_live(&|lane| block.prices[CYCLE][lane]);
        let (memory_price, memory_scale) = of_live(&|lane| block.prices[MEMORY][lane]);
        Self {
            attributes: block.attributes[0].map(|word| word as u32),
            memory: block.memory.map(|mib| mib.min(i32::MAX as u32)),
            pace: array::from_fn(|lane| if live(lane) { pace[lane] } else { NO_PACE }),
            fee,
            cycle_price,
            memory_price,
            number: block.number,
            children: block.children,
            count: block.count,
            rows: block.rows,
            layer: block.layer,
            is_counted: block.is_counted,
            pace_scale,
            fee_scale,
            cycle_scale,
            memory_scale,
        }
    }

    /// Whether these are offers, not nodes.
    pub(super) fn is_of_leaves(&self) -> bool {
        self.children == NONE
    }

    /// Whether a look at its children is counted beforehand where there are references.
    pub(super) fn is_above_low(&self) -> bool {
        self.layer == LAYER_MAX
    }

    /// Looks that count for a look at this block.
    pub(super) fn charge(&self, aim: &Aim) -> u32 {
        if aim.reference.is_none() || self.layer >= LAYER_MAX {
            self.count
        } else if self.is_counted {
            0
        } else {
            LOW_LOOKS_MAX
        }
    }

    /// Which may suit, as bits.
    #[inline]
    fn mask(&self, aim: &Aim) -> u32 {
        // Above 2^33 cycles per second the scale is negative, and what is too slow is found later.
        let pace_max = match u32::try_from(self.pace_scale) {
            Ok(scale) => (aim.pace_max >> scale.min(63)).min(i32::MAX as u64) as i32,
            Err(_) => i32::MAX,
        };
        let mut failed = [0i32; WIDTH];
        #[allow(clippy::needless_range_loop)] // Lane by lane of four arrays.
        for lane in 0..WIDTH {
            let missing = aim.attributes & !self.attributes[lane] as i32;
            // Each is negative exactly if it fails.
            failed[lane] = pace_max.wrapping_sub(self.pace[lane] as i32)
                | (self.memory[lane] as i32).wrapping_sub(aim.memory)
                | missing.wrapping_neg()
                | missing;
        }
        let mut mask = 0;
        for (lane, failed) in failed.into_iter().enumerate() {
            mask |= u32::from(failed >= 0) << lane;
        }
        mask
    }

    /// Calls with each that may suit, and a number that its score for a first task, in the aim's units,
    /// is not below: at first `most`, then what the call before returned. With the row of the aim's
    /// reference that number is as near as it can be.
    #[inline]
    pub(super) fn bounds(
        &self,
        aim: &Aim,
        row: Option<Row<'_>>,
        mut most: u64,
        mut each: impl FnMut(usize, u64) -> u64,
    ) {
        let mut mask = self.mask(aim);
        if mask == 0 {
            return;
        }
        let (works, work_scale, factors) = match (row, &aim.reference) {
            (Some(row), Some(reference)) => (row.costs, row.scale, &reference.factors),
            _ => (&self.cycle_price, self.cycle_scale, &aim.factors),
        };
        // Where a shift would have to be less than the least, more of it makes the bound too low, which it
        // may be; 63 leaves nothing of a product.
        let shift = |factor: &Factor, scale: i8, least: i32| {
            (aim.unit - factor.scale - i32::from(scale)).clamp(least, 63)
        };
        let fee_shift = shift(&factors.fee, self.fee_scale, SHIFT_MIN);
        let work_shift = shift(&factors.work, work_scale, SHIFT_MIN);
        let memory_shift = shift(&factors.memory, self.memory_scale, SHIFT_MIN);
        let seconds_shift = (FRACTION_BITS - aim.cycles.scale - i32::from(self.pace_scale))
            .clamp(SECONDS_SHIFT_MIN, 63);
        let up = (1u64 << seconds_shift) - 1;
        let product = |a: u32, b: u32| u64::from(a) * u64::from(b);
        while mask != 0 {
            let lane = mask.trailing_zeros() as usize % WIDTH;
            mask &= mask - 1;
            let cost = (product(self.fee[lane], factors.fee.digits) >> fee_shift)
                + (product(works[lane], factors.work.digits) >> work_shift)
                + (product(self.memory_price[lane], factors.memory.digits) >> memory_shift);
            // Those that are alive have no other bit in their pace.
            let seconds =
                ((product(self.pace[lane], aim.cycles.digits) + up) >> seconds_shift) as u32;
            // What does not fit is the time of one that takes longer than the bid allows.
            let time = product(seconds, aim.value_of_time.digits) >> aim.time_down << aim.time_up;
            let score = cost.wrapping_add(time);
            if (cost <= aim.cost_max) & (score <= most) {
                most = each(lane, score);
            }
        }
    }
}

/// At most `digits * 2^scale`; the digits fill 32 bits.
#[derive(Debug, Clone, Copy)]
struct Factor {
    digits: u32,
    scale: i32,
}

impl Factor {
    const ONE: Self = Self {
        digits: 1 << 31,
        scale: -31,
    };

    /// `part / whole`, at most one.
    fn ratio(part: u64, whole: u64) -> Self {
        let factor = Self::of((u128::from(part) << 63) / u128::from(whole));
        Self {
            scale: factor.scale - 63,
            ..factor
        }
    }

    fn of(value: u128) -> Self {
        let scale = bits(value) - 32;
        Self {
            digits: shifted(value, scale) as u32,
            scale,
        }
    }
}

/// What a bid asks for, in the terms of a [`Sketch`]: amounts in units of `2^unit` base units.
pub(super) struct Aim {
    attributes: i32,
    memory: i32,
    pace_max: u64,
    cycles: Factor,
    /// Of prices.
    factors: Factors,
    reference: Option<Near>,
    value_of_time: Factor,
    /// Shifts of `seconds * value_of_time.digits`, one of which is zero.
    time_down: i32,
    time_up: i32,
    cost_max: u64,
    unit: i32,
}

/// What a cost consists of.
struct Factors {
    /// Times a start fee.
    fee: Factor,
    /// Times a price of cycles, or a reference's cost.
    work: Factor,
    /// Times a price of memory.
    memory: Factor,
}

/// What a cost consists of if that of a reference is known.
struct Near {
    reference: usize,
    factors: Factors,
}

impl Aim {
    pub(super) fn of(demand: &Demand, references: &References) -> Self {
        // No score of an offer that fits exceeds this.
        let most = demand.price_cap.saturating_add(
            demand
                .value_of_time
                .saturating_mul(u128::from(demand.seconds_max())),
        );
        let unit = bits(most) - SCORE_BITS;
        let value_of_time = Factor::of(demand.value_of_time);
        let time_shift = (unit - value_of_time.scale).clamp(-63, 63);
        let weight = u128::from(demand.cycle_weight);
        let per_fraction = |value: u128| {
            let factor = Factor::of(value);
            Factor {
                scale: factor.scale - FRACTION_BITS,
                ..factor
            }
        };
        Self {
            attributes: (demand.attributes.as_limbs()[0] & i32::MAX as u64) as i32,
            memory: demand.resources.memoryMib.min(i32::MAX as u32) as i32,
            pace_max: u64::MAX / demand.speed_min,
            cycles: Factor::of(demand.cycles.into()),
            factors: Factors {
                fee: Factor::ONE,
                work: per_fraction(weight),
                memory: per_fraction(weight * u128::from(demand.resources.memoryMib)),
            },
            reference: references.nearest(demand).map(|(reference, task)| Near {
                reference,
                factors: Factors {
                    fee: Factor::ratio(task.weight - demand.cycle_weight, task.weight),
                    work: Factor::ratio(demand.cycle_weight, task.weight),
                    memory: per_fraction(
                        weight * u128::from(demand.resources.memoryMib - task.memory),
                    ),
                },
            }),
            value_of_time,
            time_down: time_shift.max(0),
            time_up: (-time_shift).max(0),
            cost_max: shifted(demand.price_cap, unit) as u64,
            unit,
        }
    }

    /// The same without a reference, if there is one.
    pub(super) fn without_reference(self) -> Option<Self> {
        self.reference.is_some().then_some(Self {
            reference: None,
            ..self
        })
    }

    /// The reference that is nearest.
    pub(super) fn reference(&self) -> Option<usize> {
        self.reference.as_ref().map(|near| near.reference)
    }

    /// An amount in its units, rounded down.
    pub(super) fn units(&self, amount: u128) -> u64 {
        u64::try_from(shifted(amount, self.unit)).unwrap_or(u64::MAX)
    }
}
