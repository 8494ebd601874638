//! The whole of a clearing, from the canonical form to the result.

use alloc::vec::Vec;

use crate::allocate::{allocate, insert, Allocation};
use crate::descend::{descend, scales, Effort, Point, Polish};
use crate::market::{Book, Market, MarketError};
use crate::outcome::Clearing;
use crate::refine::refine;
use crate::scene::{Scene, View};
use crate::search::{improve, merge};
use crate::smooth::smooth;
use crate::workers::Workers;

/// Up to so many orders are cleared as one; more are sampled first.
const WHOLE_MAX: usize = 1 << 12;
/// Each sample is so many times larger than the one before.
const SAMPLE_RATIO: usize = 4;

/// A descent of the smoothed dual: the range of prices as a share 2^-shift of them, the widths of the
/// smoothing as shares of gross value, how many rounds at each width.
struct Stage {
    range: u32,
    widths: core::ops::RangeInclusive<u32>,
    rounds: u32,
}

impl Stage {
    const fn new(range: u32, first: u32, last: u32, rounds: u32) -> Self {
        Self {
            range,
            widths: first..=last,
            rounds,
        }
    }

    /// Evaluations of the dual.
    const fn rounds_max(&self) -> u32 {
        (*self.widths.end() - *self.widths.start() + 1) * self.rounds + 1
    }
}

/// All prices, for a small market or the first sample.
const OPEN: Stage = Stage::new(0, 2, 8, 12);
/// Around the prices of the sample before.
const WIDE: Stage = Stage::new(3, 4, 6, 8);
const MIDDLE: Stage = Stage::new(6, 6, 8, 10);
/// The last ones, on all orders.
const NARROW: Stage = Stage::new(9, 9, 10, 10);
/// How often a range is moved while prices run into its end.
const RECENTRE: u32 = 3;

/// The subgradient descent of small markets, and that of a round of PEEL.
const SMALL: Effort = Effort {
    epochs: 40,
    rounds: 48,
};
const PEEL: Effort = Effort {
    epochs: 8,
    rounds: 16,
};
/// Rounds of PEEL in small markets.
const PEELS: u32 = 6;
/// Sweeps of the polish after a descent.
const SWEEPS: u32 = 4;
/// Prices that ALLOCATE tries: the best point, and below it by a share 2^-shift.
const TRIES: [Option<u32>; 4] = [None, Some(12), Some(10), Some(8)];
/// How many of them are refined.
const REFINED: usize = 2;
/// Most elementary steps of each refinement.
const REFINE_MAX: u64 = 1 << 19;
/// IMPROVE is tried up to so many orders.
const IMPROVE_MAX: usize = 1 << 11;
/// ... whose lots are split into so many powers of two at most.
const BLOCKS_MAX: usize = 1 << 13;
/// ... and which have so many entries at most.
const ENTRIES_SEARCHED: usize = 1 << 15;
/// Most elementary steps of IMPROVE; above so many orders, of which the search sees only the doubtful
/// end, half.
const MOVES_MAX: u64 = 1 << 21;
const MOVES_FULL: usize = 1 << 8;
/// Most steps beyond that: the last leaf's search for prices, 81 sweeps over at most 2^11 * 16 fills.
const MOVES_SLACK: u64 = 1 << 22;
/// Rounds of SETTLE.
const SETTLES: u32 = 4;

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    pub(crate) rounds: u32,
    pub(crate) moves: u64,
}

/// How much larger than the whole market's orders the distance between sampled ones gets: the first
/// sample takes every so-manieth.
const fn first_stride(orders: usize) -> usize {
    let mut stride = 1;
    while orders / stride > WHOLE_MAX {
        stride *= SAMPLE_RATIO;
    }
    stride
}

/// The most rounds (evaluations of the dual, sweeps of the polish, allocations) that a clearing of so
/// many orders takes, whatever they are.
#[must_use]
pub fn round_bound(orders: usize) -> u32 {
    // If folded orders do not fit, all tries are made once more.
    let tries = 2 * TRIES.len() as u32;
    // A sweep of the polish evaluates the dual.
    let last = 2 * SWEEPS + tries;
    if orders <= WHOLE_MAX {
        let peel = PEEL.rounds_max() + 2 * SWEEPS + 1;
        return OPEN.rounds_max() + SMALL.rounds_max() + last + PEELS * peel;
    }
    let mut rounds = OPEN.rounds_max() + last + RECENTRE * NARROW.rounds_max();
    let mut stride = first_stride(orders);
    while stride > 1 {
        stride /= SAMPLE_RATIO;
        rounds += RECENTRE * (WIDE.rounds_max() + MIDDLE.rounds_max());
    }
    rounds
}

/// The most elementary steps (alternatives looked at, branches, surpluses computed) that the moves at
/// fixed prices and, in small markets, the search take.
#[must_use]
pub fn move_bound(orders: usize) -> u64 {
    let refine = 2 * REFINED as u64 * REFINE_MAX;
    if orders <= IMPROVE_MAX {
        refine + MOVES_MAX + MOVES_SLACK
    } else {
        refine
    }
}

/// An allocation with its prices and welfare, the folded orders left out of all three.
struct Candidate {
    welfare: i128,
    prices: Vec<i64>,
    allocation: Allocation,
}

impl Candidate {
    /// Nobody is served.
    fn nobody(scene: &Scene, point: &Point) -> Self {
        Self {
            welfare: 0,
            prices: point.prices.clone(),
            allocation: Allocation::empty(scene),
        }
    }
}

/// Clears a market. Sums over many orders are split among `workers`.
///
/// # Errors
/// [`MarketError::KeyTwice`].
pub fn clear<W: Workers>(market: &Market, workers: &W) -> Result<Clearing, MarketError> {
    let book = Book::of(market)?;
    let mut meter = Meter::default();
    let (mut scene, point) = if book.orders.len() <= WHOLE_MAX {
        whole(&book, workers, &mut meter)
    } else {
        sampled(&book, workers, &mut meter)
    };
    let mut best = match attempts(&scene, &point, &mut meter) {
        Some(best) => best,
        None => {
            // What was folded does not fit by itself, so nothing may be.
            scene = Scene::sample(&book, 1, &scales(&book));
            attempts(&scene, &point, &mut meter)
                .unwrap_or_else(|| Candidate::nobody(&scene, &point))
        }
    };
    if book.orders.len() <= WHOLE_MAX {
        peel(&mut scene, &point, &mut best, workers, &mut meter);
    }
    if book.orders.len() <= IMPROVE_MAX
        && scene.blocks() <= BLOCKS_MAX
        && scene.orders.entries.len() <= ENTRIES_SEARCHED
    {
        let loss = point.dual - best.welfare;
        let moves_max = if book.orders.len() <= MOVES_FULL {
            MOVES_MAX
        } else {
            MOVES_MAX / 2
        };
        if let Some(found) = improve(&scene, &point, loss, moves_max, &mut meter.moves) {
            let welfare = found.allocation.welfare(&scene);
            if welfare > best.welfare {
                best = Candidate {
                    welfare,
                    prices: found.prices,
                    allocation: found.allocation,
                };
            }
        }
    }
    settle(&scene, &mut best);
    merge(&mut best.allocation.fills);
    Ok(Clearing::of(
        market,
        &book,
        &scene,
        &best.allocation,
        best.prices,
        point,
        meter,
    ))
}

/// DESCEND on all orders at once.
fn whole<W: Workers>(book: &Book, workers: &W, meter: &mut Meter) -> (Scene, Point) {
    let scales = scales(book);
    let scene = Scene::sample(book, 1, &scales);
    let (point, _) = smooth(
        &scene,
        &scales,
        &scales,
        OPEN.widths,
        OPEN.rounds,
        workers,
        &mut meter.rounds,
    );
    let step: Vec<i64> = point.prices.iter().map(|p| p / 8 + 1).collect();
    let point = descend(
        &scene,
        &point.prices,
        &step,
        SMALL,
        workers,
        &mut meter.rounds,
    );
    let point = polish(&scene, point, workers, meter);
    (scene, point)
}

/// DESCEND on a sample, then on ever larger ones around the prices found before.
fn sampled<W: Workers>(book: &Book, workers: &W, meter: &mut Meter) -> (Scene, Point) {
    let scales = scales(book);
    let mut stride = first_stride(book.orders.len());
    let mut scene = Scene::sample(book, stride, &scales);
    let (mut point, mut last) = smooth(
        &scene,
        &scales,
        &scales,
        OPEN.widths,
        OPEN.rounds,
        workers,
        &mut meter.rounds,
    );
    while stride > 1 {
        stride /= SAMPLE_RATIO;
        let stages: &[Stage] = if stride == 1 {
            &[WIDE, MIDDLE, NARROW]
        } else {
            &[WIDE, MIDDLE]
        };
        for stage in stages {
            for _ in 0..RECENTRE {
                let radius: Vec<i64> = last
                    .iter()
                    .zip(&scales)
                    .map(|(price, scale)| (price.max(scale) >> stage.range).max(2))
                    .collect();
                let view = View {
                    stride,
                    centre: &last,
                    radius: &radius,
                    scales: &scales,
                    width: *stage.widths.start(),
                };
                scene = Scene::screened(book, &view, workers);
                let found = smooth(
                    &scene,
                    &last,
                    &scales,
                    stage.widths.clone(),
                    stage.rounds,
                    workers,
                    &mut meter.rounds,
                );
                point = found.0;
                last = found.1;
                let range = &scene.range;
                let inside = |(pool, &price): (usize, &i64)| {
                    (price > range.low[pool] || price == 0) && price < range.high[pool]
                };
                if last.iter().enumerate().all(inside) {
                    break;
                }
            }
        }
    }
    point = polish(&scene, point, workers, meter);
    (scene, point)
}

/// The exact minimum along single prices, as long as that lowers the dual.
fn polish<W: Workers>(scene: &Scene, point: Point, workers: &W, meter: &mut Meter) -> Point {
    let polish = Polish::of(scene);
    let mut best = point;
    let mut demand = alloc::vec![0; scene.pools()];
    for _ in 0..SWEEPS {
        let mut prices = best.prices.clone();
        polish.sweep(scene, &mut prices);
        meter.rounds += 2;
        let dual = scene.dual(&prices, &mut demand, workers);
        if dual > best.dual || prices == best.prices {
            break;
        }
        best = Point { prices, dual };
    }
    best
}

/// ALLOCATE at the best prices and a little below; the better ones are refined. `None` if the folded
/// orders alone do not fit.
fn attempts(scene: &Scene, point: &Point, meter: &mut Meter) -> Option<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for attempt in TRIES {
        let mut prices = point.prices.clone();
        if let Some(shift) = attempt {
            for price in &mut prices {
                *price -= *price >> shift;
            }
            scene.range.clamp_all(&mut prices);
        }
        meter.rounds += 1;
        if let Some(allocation) = allocate(scene, &prices) {
            candidates.push(Candidate {
                welfare: allocation.welfare(scene),
                prices,
                allocation,
            });
        }
    }
    // The first of equals stays first.
    candidates.sort_by_key(|candidate| core::cmp::Reverse(candidate.welfare));
    candidates.truncate(REFINED);
    for candidate in &mut candidates {
        refine(
            scene,
            &candidate.prices,
            &point.prices,
            &mut candidate.allocation,
            REFINE_MAX,
            &mut meter.moves,
        );
        candidate.welfare = candidate.allocation.welfare(scene);
    }
    candidates.sort_by_key(|candidate| core::cmp::Reverse(candidate.welfare));
    candidates.into_iter().next()
}

/// PEEL: orders that are in the money and rejected sit out, so that prices come down to those who are
/// served.
fn peel<W: Workers>(
    scene: &mut Scene,
    point: &Point,
    best: &mut Candidate,
    workers: &W,
    meter: &mut Meter,
) {
    let mut current = (best.prices.clone(), best.allocation.clone());
    scene.off = alloc::vec![false; scene.orders.len()];
    for _ in 0..PEELS {
        let held = current.1.held(scene);
        let mut changed = false;
        for (order, &served) in held.iter().enumerate() {
            if served == 0 && !scene.off[order] && scene.orders.best(order, &current.0).is_some() {
                scene.off[order] = true;
                changed = true;
            }
        }
        if !changed {
            break;
        }
        let step: Vec<i64> = point.prices.iter().map(|p| p / 8 + 1).collect();
        let found = descend(scene, &current.0, &step, PEEL, workers, &mut meter.rounds);
        let found = polish(scene, found, workers, meter);
        meter.rounds += 1;
        let allocation = match allocate(scene, &found.prices) {
            Some(allocation) => allocation,
            None => break,
        };
        let welfare = allocation.welfare(scene);
        if welfare > best.welfare {
            *best = Candidate {
                welfare,
                prices: found.prices.clone(),
                allocation: allocation.clone(),
            };
        }
        current = (found.prices, allocation);
    }
    scene.off = Vec::new();
}

/// SETTLE: a pool with unsold supply falls to the ask of the dearest unit used, as far as nobody who
/// is served and sells there is hurt; then whoever fits at the new prices is served.
fn settle(scene: &Scene, best: &mut Candidate) {
    for _ in 0..SETTLES {
        let mut changed = false;
        let mut sellers: Vec<Vec<(u32, i64)>> = alloc::vec![Vec::new(); scene.pools()];
        for fill in &best.allocation.fills {
            for entry in scene.orders.bundle(fill.alternative as usize) {
                if entry.quantity < 0 {
                    let sold = i64::from(-entry.quantity);
                    sellers[entry.pool as usize].push((fill.alternative, sold));
                }
            }
        }
        for (pool, sellers) in sellers.iter().enumerate() {
            let demand = best.allocation.demand[pool];
            let curve = &scene.curves[pool];
            let price = best.prices[pool];
            if demand < 0 || curve.below(price) <= demand {
                continue;
            }
            let target = match curve.marginal_ask(demand) {
                Some(ask) => ask,
                None => curve.lowest_ask().unwrap_or(price),
            };
            let mut fall = price - target.max(scene.range.low[pool]);
            for &(alternative, sold) in sellers {
                let surplus = scene.orders.surplus(alternative as usize, &best.prices);
                fall = fall.min(surplus / sold);
            }
            if fall > 0 {
                best.prices[pool] = price - fall;
                changed = true;
            }
        }
        let before = best.allocation.fills.len();
        insert(scene, &best.prices, &mut best.allocation);
        if !changed && best.allocation.fills.len() == before {
            break;
        }
    }
    best.welfare = best.allocation.welfare(scene);
}
