//! The dual with its kinks rounded off, which a large market descends first.
//!
//! Prices that move one at a time, or along subgradients, stall where many orders are just indifferent.
//! So each order's choice is made gradual (Nesterov 2005, smooth minimization of non-smooth functions):
//! the lots x_k that maximise `sum x_k (s_k + w/2) - w/2 sum x_k^2` with `sum x_k <= 1`, where s_k is
//! the surplus of alternative k and w a share of the order's gross value. What is left is smooth but
//! for the supply, which is separable, and an accelerated proximal gradient with a diagonal metric
//! (Beck and Teboulle 2009) converges in some dozens of rounds. The true dual is computed alongside.

use alloc::vec;
use alloc::vec::Vec;

use crate::descend::Point;
use crate::limits::ALTERNATIVES_MAX;
use crate::scene::{spans, Scene, PART_MIN};
use crate::workers::Workers;

/// Bits of a part of a lot, if the market's demand leaves so many.
const FINE_BITS: u32 = 12;
/// How much steeper than the diagonal the curvature along a bundle may be.
const COUPLING: i128 = 2;

/// Bits of a slope's fraction.
const STEEP_BITS: u32 = 5;

/// One part of the sums.
struct Part {
    from: usize,
    to: usize,
    sums: Sums,
}

struct Sums {
    /// Of the true dual.
    value: i128,
    /// Gradual demand, in units of 2^-fine.
    demand: Vec<i64>,
    /// Fall of demand when the price rises by the scale, in units of 2^-STEEP_BITS.
    slope: Vec<i128>,
}

impl Sums {
    fn new(pools: usize) -> Self {
        Self {
            value: 0,
            demand: vec![0; pools],
            slope: vec![0; pools],
        }
    }
}

/// Descends from `start` with `rounds` rounds at each of the widths, which are shares 2^-shift of gross
/// value at the scales, and returns the best point of the true dual that was seen and the last.
pub(crate) fn smooth<W: Workers>(
    scene: &Scene,
    start: &[i64],
    scales: &[i64],
    shifts: core::ops::RangeInclusive<u32>,
    rounds_each: u32,
    workers: &W,
    rounds: &mut u32,
) -> (Point, Vec<i64>) {
    let pools = scene.pools();
    let volume = scene.volume();
    let most = volume.iter().copied().max().unwrap_or(0);
    let fine = (most.leading_zeros().saturating_sub(128 - 62)).min(FINE_BITS);
    let mut prices = start.to_vec();
    scene.range.clamp_all(&mut prices);
    let mut best: Option<Point> = None;
    let mut sums = Sums::new(pools);
    for shift in shifts {
        let mut previous = prices.clone();
        let mut probe = prices.clone();
        for round in 0..i64::from(rounds_each) {
            *rounds += 1;
            scene.gradual(&probe, scales, shift, fine, workers, &mut sums);
            if best.as_ref().map_or(true, |best| sums.value < best.dual) {
                best = Some(Point {
                    prices: probe.clone(),
                    dual: sums.value,
                });
            }
            for pool in 0..pools {
                // Where few orders are undecided the slope says little: a little of the volume for
                // the whole price at least.
                let slope = ((sums.slope[pool] * COUPLING) >> STEEP_BITS)
                    .max(volume[pool] / 256)
                    .max(1);
                prices[pool] = step(
                    scene,
                    pool,
                    probe[pool],
                    sums.demand[pool],
                    slope,
                    scales[pool],
                    fine,
                );
                let momentum = (prices[pool] - previous[pool]) * round / (round + 3);
                previous[pool] = prices[pool];
                probe[pool] = scene.range.clamp(pool, prices[pool] + momentum);
            }
        }
    }
    *rounds += 1;
    scene.gradual(&prices, scales, 0, fine, workers, &mut sums);
    let last = Point {
        prices: prices.clone(),
        dual: sums.value,
    };
    let best = match best {
        Some(best) if best.dual < last.dual => best,
        _ => last,
    };
    (best, prices)
}

/// The price, at most an eighth away, at which demand falling with this slope meets supply.
fn step(
    scene: &Scene,
    pool: usize,
    price: i64,
    demand: i64,
    slope: i128,
    scale: i64,
    fine: u32,
) -> i64 {
    let reach = price.max(scale) / 8 + 1;
    let mut low = scene.range.clamp(pool, price - reach);
    let mut high = scene.range.clamp(pool, price + reach);
    let curve = &scene.curves[pool];
    let (scale, slope) = (i128::from(scale), slope << fine);
    let at_price = i128::from(demand) * scale;
    let fits = |p: i64| {
        at_price - slope * i128::from(p - price) <= (i128::from(curve.within(p)) * scale) << fine
    };
    while low < high {
        let middle = low + (high - low) / 2;
        if fits(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

impl Scene {
    fn gradual<W: Workers>(
        &self,
        prices: &[i64],
        scales: &[i64],
        shift: u32,
        fine: u32,
        workers: &W,
        sums: &mut Sums,
    ) {
        let count = self.orders.len();
        let width = workers.width().min(count / PART_MIN);
        *sums = Sums::new(self.pools());
        if width <= 1 {
            self.add_gradual(0, count, prices, scales, shift, fine, sums);
        } else {
            let mut parts: Vec<Part> = spans(count, width)
                .map(|(from, to)| Part {
                    from,
                    to,
                    sums: Sums::new(self.pools()),
                })
                .collect();
            workers.each(&mut parts, &|part: &mut Part| {
                self.add_gradual(
                    part.from,
                    part.to,
                    prices,
                    scales,
                    shift,
                    fine,
                    &mut part.sums,
                );
            });
            for part in parts {
                sums.value += part.sums.value;
                for pool in 0..self.pools() {
                    sums.demand[pool] += part.sums.demand[pool];
                    sums.slope[pool] += part.sums.slope[pool];
                }
            }
        }
        sums.value += self.constant(prices);
        for (sum, folded) in sums.demand.iter_mut().zip(self.folded()) {
            *sum += folded << fine;
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn add_gradual(
        &self,
        from: usize,
        to: usize,
        prices: &[i64],
        scales: &[i64],
        shift: u32,
        fine: u32,
        sums: &mut Sums,
    ) {
        let mut surpluses = [0_i64; ALTERNATIVES_MAX];
        let mut sorted = [0_i64; ALTERNATIVES_MAX];
        for order in from..to {
            let range = self.orders.of(order);
            let first = range.start;
            let count = range.len();
            let mut most = i64::MIN;
            for (surplus, alternative) in surpluses.iter_mut().zip(range) {
                *surplus = self.orders.surplus(alternative, prices);
                most = most.max(*surplus);
            }
            let lots = i64::from(self.orders.lots[order]);
            if most > 0 {
                sums.value += i128::from(most) * i128::from(lots);
            }
            let width = (self.gross[order] >> shift).max(2);
            if most <= -width / 2 {
                continue;
            }
            // Water level: what is above it, together, is the width, or the level is zero.
            let mut level = 0;
            if count == 1 {
                level = level.max(most.saturating_add(width / 2) - width);
            } else {
                let mut taken = 0;
                for &surplus in &surpluses[..count] {
                    if surplus > most.saturating_sub(width) && surplus > -width / 2 {
                        let mut at = taken;
                        while at > 0 && sorted[at - 1] < surplus {
                            sorted[at] = sorted[at - 1];
                            at -= 1;
                        }
                        sorted[at] = surplus;
                        taken += 1;
                    }
                }
                let mut sum: i128 = 0;
                for (n, &surplus) in sorted[..taken].iter().enumerate() {
                    sum += i128::from(surplus) + i128::from(width / 2);
                    let here = (sum - i128::from(width)).div_euclid(n as i128 + 1);
                    if i128::from(surplus) + i128::from(width / 2) <= here {
                        break;
                    }
                    level = level.max(here as i64);
                }
            }
            let coarse = (64 - width.leading_zeros()).saturating_sub(62 - FINE_BITS);
            for (place, &surplus) in surpluses[..count].iter().enumerate() {
                let above = surplus
                    .saturating_add(width / 2)
                    .saturating_sub(level)
                    .min(width);
                if above <= 0 {
                    continue;
                }
                let bundle = self.orders.bundle(first + place);
                if above == width {
                    for entry in bundle {
                        sums.demand[entry.pool as usize] +=
                            (i64::from(entry.quantity) * lots) << fine;
                    }
                    continue;
                }
                let part = ((above >> coarse) << fine) / (width >> coarse);
                for entry in bundle {
                    let pool = entry.pool as usize;
                    let quantity = i64::from(entry.quantity);
                    sums.demand[pool] += quantity * lots * part;
                    let steep = ((quantity.abs() * scales[pool]) << STEEP_BITS) / width;
                    sums.slope[pool] += i128::from(quantity.abs() * lots) * i128::from(steep);
                }
            }
        }
    }
}
