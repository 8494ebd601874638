//! Integer prices under which a given allocation hurts nobody.

use alloc::vec::Vec;

use crate::allocate::{Allocation, Fill};
use crate::scene::Scene;

/// Bits of a price's weight in a projection.
const WEIGHT_BITS: u32 = 16;
/// What is violated in any of so many last sweeps is the conflict.
const STUBBORN_SWEEPS: u32 = 4;
/// Most bits by which prices are finer than whole ones while they are looked for.
const FINE_BITS: u32 = 10;

/// What prices must satisfy: `p · q <= limit` of each fill; at least the ask of the dearest unit of
/// supply that is used; zero where more is sold than bought; within the scene's range.
pub(crate) struct Support {
    low: Vec<i64>,
    high: Vec<i64>,
    /// How far each price moves in a projection, relative to the others.
    weights: Vec<i64>,
    start: Vec<i64>,
    fine: u32,
}

impl Support {
    /// Bounds of single prices; `None` if there is not enough supply, or a bound contradicts another.
    pub(crate) fn of(scene: &Scene, allocation: &Allocation, start: &[i64]) -> Option<Self> {
        let mut low = scene.range.low.clone();
        let mut high = scene.range.high.clone();
        for (pool, &demand) in allocation.demand.iter().enumerate() {
            let curve = &scene.curves[pool];
            if demand > curve.total() {
                return None;
            }
            if demand < 0 {
                high[pool] = 0;
            } else if let Some(ask) = curve.marginal_ask(demand) {
                low[pool] = low[pool].max(ask);
            }
            if low[pool] > high[pool] {
                return None;
            }
        }
        let start: Vec<i64> = start
            .iter()
            .zip(low.iter().zip(&high))
            .map(|(p, (low, high))| (*p).clamp(*low, *high))
            .collect();
        // A ceiling a little above what is known leaves bits for finer steps.
        let ceiling = start.iter().max().map_or(8, |top| 8 * top + 8);
        for bound in &mut high {
            *bound = (*bound).min(ceiling);
        }
        let widest: i64 = allocation
            .fills
            .iter()
            .map(|fill| {
                let bundle = scene.orders.bundle(fill.alternative as usize);
                bundle
                    .iter()
                    .map(|e| i64::from(e.quantity.abs()))
                    .sum::<i64>()
            })
            .max()
            .unwrap_or(1);
        let shift = bits(ceiling).saturating_sub(WEIGHT_BITS);
        Some(Self {
            weights: start.iter().map(|p| (p >> shift).max(1)).collect(),
            fine: 62_u32
                .saturating_sub(bits(ceiling) + bits(widest))
                .min(FINE_BITS),
            low,
            high,
            start,
        })
    }

    /// Prices near the start that satisfy all, by cyclic projection onto what is violated (Agmon;
    /// Motzkin and Schoenberg, 1954) with at most `sweeps` sweeps in finer units and as many in whole
    /// ones. If none were found, which says no more than that, the fills that were violated to the end.
    /// Counts surpluses computed in `moves`.
    pub(crate) fn prices(
        &self,
        scene: &Scene,
        fills: &[Fill],
        sweeps: u32,
        moves: &mut u64,
    ) -> Result<Vec<i64>, Vec<Fill>> {
        let mut prices = self.start.clone();
        let mut stubborn: Vec<Fill> = Vec::new();
        if self.project(scene, fills, &mut prices, 0, 1, moves, &mut stubborn) {
            return Ok(prices);
        }
        if self.fine > 0 {
            for (price, start) in prices.iter_mut().zip(&self.start) {
                *price = start << self.fine;
            }
            if !self.project(
                scene,
                fills,
                &mut prices,
                self.fine,
                sweeps,
                moves,
                &mut stubborn,
            ) {
                return Err(stubborn);
            }
            let half = (1_i64 << self.fine) >> 1;
            for (pool, price) in prices.iter_mut().enumerate() {
                *price = ((*price + half) >> self.fine).clamp(self.low[pool], self.high[pool]);
            }
        }
        if self.project(scene, fills, &mut prices, 0, sweeps, moves, &mut stubborn) {
            Ok(prices)
        } else {
            Err(stubborn)
        }
    }

    /// The least that the pool's price can be.
    pub(crate) fn floor(&self, pool: usize) -> i64 {
        self.low[pool]
    }

    /// Whether a sweep found nothing violated; prices are in units of 2^-fine.
    #[allow(clippy::too_many_arguments)]
    fn project(
        &self,
        scene: &Scene,
        fills: &[Fill],
        prices: &mut [i64],
        fine: u32,
        sweeps: u32,
        moves: &mut u64,
        stubborn: &mut Vec<Fill>,
    ) -> bool {
        for sweep in 0..sweeps {
            // What is violated in the last sweeps.
            if sweep + STUBBORN_SWEEPS < sweeps {
                stubborn.clear();
            }
            let mut satisfied = true;
            for fill in fills {
                *moves += 1;
                let bundle = scene.orders.bundle(fill.alternative as usize);
                let cost: i64 = bundle
                    .iter()
                    .map(|e| i64::from(e.quantity) * prices[e.pool as usize])
                    .sum();
                let limit = i128::from(scene.orders.limits[fill.alternative as usize]) << fine;
                let over = i128::from(cost) - limit;
                if over <= 0 {
                    continue;
                }
                satisfied = false;
                if !stubborn.contains(fill) {
                    stubborn.push(*fill);
                }
                // Nothing where a price can't move.
                let scaled = |entry: &crate::market::Entry| {
                    let pool = entry.pool as usize;
                    let stuck = if entry.quantity > 0 {
                        prices[pool] <= self.low[pool] << fine
                    } else {
                        prices[pool] >= self.high[pool] << fine
                    };
                    if stuck {
                        0
                    } else {
                        i128::from(entry.quantity) * i128::from(self.weights[pool])
                    }
                };
                let norm: i128 = bundle.iter().map(|e| scaled(e) * scaled(e)).sum();
                if norm == 0 {
                    stubborn.clear();
                    stubborn.push(*fill);
                    return false;
                }
                let mut changes = [0_i64; crate::limits::ENTRIES_MAX];
                for (change, entry) in changes.iter_mut().zip(bundle) {
                    let weight = i128::from(self.weights[entry.pool as usize]);
                    let pull = scaled(entry) * weight;
                    // Rounded away from zero, so that each projection arrives.
                    let size = (over * pull.abs() + norm - 1) / norm;
                    let size = size.min(i128::from(i64::MAX)) as i64;
                    *change = if pull > 0 { -size } else { size };
                }
                for (change, entry) in changes.iter().zip(bundle) {
                    let pool = entry.pool as usize;
                    prices[pool] = prices[pool]
                        .saturating_add(*change)
                        .clamp(self.low[pool] << fine, self.high[pool] << fine);
                }
            }
            if satisfied {
                return true;
            }
        }
        false
    }
}

/// Bits of a number that is not negative.
fn bits(n: i64) -> u32 {
    64 - n.leading_zeros()
}
