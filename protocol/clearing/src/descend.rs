//! DESCEND: prices that make the dual small.

use alloc::vec;
use alloc::vec::Vec;

use crate::market::Book;
use crate::scene::{Scene, Touching};
use crate::workers::Workers;

/// Bits of excess demand that the step uses; a sum of 2^6 squares of them fits 64 bits.
const EXCESS_BITS: u32 = 26;
/// Prices are scaled from this many orders at most.
const SCALE_SAMPLE: usize = 1 << 12;

/// Prices with the dual's value there.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) prices: Vec<i64>,
    pub(crate) dual: i128,
}

/// How long a descent lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) epochs: u32,
    /// Rounds of an epoch; at most 64, see [`EXCESS_BITS`].
    pub(crate) rounds: u32,
}

impl Effort {
    /// Most evaluations of the dual: each epoch tries the mean of its prices as well.
    pub(crate) const fn rounds_max(self) -> u32 {
        1 + self.epochs * (self.rounds + 1)
    }
}

/// What a unit of each pool is roughly worth: mean ask, or the share of limits in proportion to what
/// the other pools of a bundle are worth.
pub(crate) fn scales(book: &Book) -> Vec<i64> {
    let stride = (book.orders.len() / SCALE_SAMPLE).max(1);
    let mut scales: Vec<i64> = book
        .curves
        .iter()
        .map(|curve| curve.mean_ask().unwrap_or(0).clamp(1, 1 << 35))
        .collect();
    for _ in 0..3 {
        let mut worth: Vec<(i128, i128)> = vec![(0, 0); book.pools];
        for order in (0..book.orders.len()).step_by(stride) {
            for alternative in book.orders.of(order) {
                let bundle = book.orders.bundle(alternative);
                let gross: i128 = bundle
                    .iter()
                    .map(|e| {
                        i128::from(e.quantity.unsigned_abs()) * i128::from(scales[e.pool as usize])
                    })
                    .sum();
                // Traders' limits are differences and say little.
                if bundle.iter().any(|e| e.quantity > 0) && bundle.iter().any(|e| e.quantity < 0) {
                    continue;
                }
                let limit = i128::from(book.orders.limits[alternative].unsigned_abs());
                for entry in bundle {
                    let own = i128::from(scales[entry.pool as usize]);
                    let quantity = i128::from(entry.quantity.unsigned_abs());
                    let sums = &mut worth[entry.pool as usize];
                    sums.0 += limit * own / gross.max(1) * quantity;
                    sums.1 += quantity;
                }
            }
        }
        for (scale, (value, units)) in scales.iter_mut().zip(worth) {
            if units > 0 {
                *scale = ((value / units).min(1 << 35) as i64).max(1);
            }
        }
    }
    scales
}

/// Scaled projected subgradient with half-step momentum from `start` (AdaGrad's diagonal scaling:
/// Duchi, Hazan, Singer 2011), restarted from the best point each epoch; the step is halved unless
/// the epoch lowered the dual by 2%.
pub(crate) fn descend<W: Workers>(
    scene: &Scene,
    start: &[i64],
    step: &[i64],
    effort: Effort,
    workers: &W,
    rounds: &mut u32,
) -> Point {
    let pools = scene.pools();
    let mut prices = start.to_vec();
    scene.range.clamp_all(&mut prices);
    let mut step = step.to_vec();
    let mut demand = vec![0; pools];
    *rounds += 1;
    let mut best = Point {
        dual: scene.dual(&prices, &mut demand, workers),
        prices,
    };
    let mut best_demand = demand.clone();
    let shifts: Vec<u32> = excess_shifts(scene);
    let mut squares: Vec<u64> = vec![0; pools];
    let mut previous: Vec<i64> = vec![0; pools];
    let mut sums: Vec<i128> = vec![0; pools];
    for _ in 0..effort.epochs {
        if step.iter().all(|&s| s == 0) {
            break;
        }
        let before = best.dual;
        let mut prices = best.prices.clone();
        demand.copy_from_slice(&best_demand);
        squares.fill(0);
        previous.fill(0);
        sums.fill(0);
        let mut count = 0;
        for _ in 0..effort.rounds {
            let mut moved = false;
            for pool in 0..pools {
                let excess = scene.excess(pool, prices[pool], demand[pool]) >> shifts[pool];
                squares[pool] += excess.unsigned_abs().pow(2);
                if squares[pool] == 0 {
                    continue;
                }
                let pull = excess + previous[pool] / 2;
                previous[pool] = excess;
                let change = step[pool] * pull / isqrt(squares[pool]).max(1) as i64;
                let next = scene.range.clamp(pool, prices[pool] + change);
                moved |= next != prices[pool];
                prices[pool] = next;
            }
            if !moved {
                break;
            }
            *rounds += 1;
            count += 1;
            let dual = scene.dual(&prices, &mut demand, workers);
            for (sum, &price) in sums.iter_mut().zip(&prices) {
                *sum += i128::from(price);
            }
            if dual < best.dual {
                best.dual = dual;
                best.prices.copy_from_slice(&prices);
                best_demand.copy_from_slice(&demand);
            }
        }
        if count > 1 {
            for (price, sum) in prices.iter_mut().zip(&sums) {
                *price = (sum / count) as i64;
            }
            *rounds += 1;
            let dual = scene.dual(&prices, &mut demand, workers);
            if dual < best.dual {
                best.dual = dual;
                best.prices.copy_from_slice(&prices);
                best_demand.copy_from_slice(&demand);
            }
        }
        if (before - best.dual) * 50 < before {
            step.iter_mut().for_each(|s| *s /= 2);
        }
    }
    best
}

/// By how much excess demand is shifted so that it has at most [`EXCESS_BITS`].
fn excess_shifts(scene: &Scene) -> Vec<u32> {
    let bits = |volume: &i128| 128 - volume.leading_zeros();
    scene
        .volume()
        .iter()
        .map(|v| bits(v).saturating_sub(EXCESS_BITS))
        .collect()
}

/// Integer square root, rounded down.
pub(crate) fn isqrt(n: u64) -> u64 {
    if n == 0 {
        return 0;
    }
    // A power of two that is not below the root; Newton's iteration falls from there.
    let mut root = 1_u64 << ((64 - n.leading_zeros() + 1) / 2);
    loop {
        let next = (root + n / root) / 2;
        if next >= root {
            return root;
        }
        root = next;
    }
}

/// Lowers the dual along one pool at a time, exactly: each price becomes the least at which demand
/// for the pool fits its supply, the others as they are. Finds the asks at which the dual has kinks.
pub(crate) struct Polish(Touching);

impl Polish {
    pub(crate) fn of(scene: &Scene) -> Self {
        Self(Touching::orders(scene))
    }

    /// One sweep over all pools. A pool's demand is monotone in its own price, since the dual is
    /// convex.
    pub(crate) fn sweep(&self, scene: &Scene, prices: &mut [i64]) {
        // Of each alternative of the orders that name the pool: surplus at a price of zero there,
        // and quantity.
        let mut lines: Vec<(i64, i32)> = Vec::new();
        let mut groups: Vec<(usize, i64)> = Vec::new();
        for pool in 0..scene.pools() {
            lines.clear();
            groups.clear();
            let mut fixed = scene.folded()[pool];
            for &order in self.0.of_pool(pool) {
                let order = order as usize;
                if scene.is_off(order) {
                    continue;
                }
                let lots = i64::from(scene.orders.lots[order]);
                let from = lines.len();
                for alternative in scene.orders.of(order) {
                    let mut surplus = scene.orders.limits[alternative];
                    let mut quantity = 0;
                    for entry in scene.orders.bundle(alternative) {
                        if entry.pool as usize == pool {
                            quantity = entry.quantity;
                        } else {
                            surplus -= i64::from(entry.quantity) * prices[entry.pool as usize];
                        }
                    }
                    lines.push((surplus, quantity));
                }
                // Whoever chooses alike at both ends of the range need not be asked in between:
                // each choice is best on one interval.
                let ends = (
                    choice(&lines[from..], scene.range.low[pool]),
                    choice(&lines[from..], scene.range.high[pool]),
                );
                if ends.0 == ends.1 {
                    fixed += lots * i64::from(ends.0);
                    lines.truncate(from);
                } else {
                    groups.push((lines.len(), lots));
                }
            }
            let fits = |price: i64| {
                let mut demand = fixed;
                let mut from = 0;
                for &(to, lots) in &groups {
                    demand += lots * i64::from(choice(&lines[from..to], price));
                    from = to;
                }
                demand <= scene.curves[pool].within(price)
            };
            let (mut low, mut high) = (scene.range.low[pool], scene.range.high[pool]);
            while low < high {
                let middle = low + (high - low) / 2;
                if fits(middle) {
                    high = middle;
                } else {
                    low = middle + 1;
                }
            }
            prices[pool] = low;
        }
    }
}

/// The quantity that the best of these alternatives takes at a price.
fn choice(lines: &[(i64, i32)], price: i64) -> i32 {
    let mut most = 0;
    let mut taken = 0;
    for &(surplus, quantity) in lines {
        let surplus = surplus - i64::from(quantity) * price;
        if surplus > most {
            most = surplus;
            taken = quantity;
        }
    }
    taken
}
