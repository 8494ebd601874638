//! IMPROVE: bounded exact search near the dual.
//!
//! An allocation's welfare is L(p) less what it loses against the dual at p: each order the surplus of
//! its best alternative over that of what it gets, each pool the rent of what is not sold and the ask's
//! excess over the price of what is. The search walks all allocations that lose less than a budget,
//! which grows until one is found that has supporting prices, or until the moves are used up. When a
//! budget is exhausted and nothing cheaper was found, what was found is the best there is.

use alloc::vec;
use alloc::vec::Vec;

use crate::allocate::{Allocation, Fill};
use crate::curve::Curve;
use crate::descend::Point;
use crate::scene::Scene;
use crate::support::Support;

/// No alternative.
const NONE: u32 = u32::MAX;
/// In the trail: an alternative, not a pool.
const NO_POOL: usize = usize::MAX;
/// Sweeps of the search for supporting prices.
const SWEEPS: u32 = 40;
/// Conflicts that are remembered, and how many alternatives they name at most.
const CONFLICTS_MAX: usize = 1 << 8;
const CONFLICT_MAX: usize = 8;
/// Budgets are the known loss times 2^-5, ..., 1.
const LEVELS: u32 = 6;

/// What was found.
pub(crate) struct Found {
    pub(crate) allocation: Allocation,
    pub(crate) prices: Vec<i64>,
}

/// Lots of one order that are decided together. An order's lots are split into powers of two, so that
/// every number of lots, over any alternatives, is a choice.
struct Item {
    order: u32,
    lots: u32,
    choices: Vec<Choice>,
    /// Pool, least and most units that any choice takes.
    reach: Vec<(usize, i64, i64)>,
}

struct Choice {
    alternative: u32,
    loss: i128,
}

/// Looks for an allocation that loses less than `loss` at the point. Uses at most `moves_max` moves,
/// about as many elementary steps.
pub(crate) fn improve(
    scene: &Scene,
    point: &Point,
    loss: i128,
    moves_max: u64,
    moves: &mut u64,
) -> Option<Found> {
    let mut best: Option<Found> = None;
    let mut known = loss;
    let spent_before = *moves;
    for level in (0..LEVELS).rev() {
        let budget = (loss >> level).min(known);
        if budget <= 0 {
            continue;
        }
        let share = moves_max * u64::from(LEVELS - level) / u64::from(LEVELS);
        let mut search = Search::new(scene, point, budget);
        let done = search.run(spent_before + share, moves);
        if let Some(found) = search.found.take() {
            known = search.budget;
            best = Some(found);
        }
        if done && known <= budget {
            break;
        }
    }
    best
}

struct Search<'a> {
    scene: &'a Scene,
    prices: &'a [i64],
    items: Vec<Item>,
    /// What is still to be undercut.
    budget: i128,
    demand: Vec<i64>,
    /// Least and most that the undecided items can add to each pool.
    low: Vec<i64>,
    high: Vec<i64>,
    /// The least that each pool loses with what is decided; `None`: it can't be served.
    pool_losses: Vec<i128>,
    /// Between these demands nothing is lost.
    free: Vec<(i64, i64)>,
    /// Sum of all losses so far.
    loss: i128,
    trail: Vec<(usize, i64, i64, i64, i128)>,
    picked: Vec<u32>,
    found: Option<Found>,
    conflicts: Vec<Conflict>,
    /// Of each pool the conflicts that name it.
    watched: Vec<Vec<u32>>,
    /// How many items are decided for each alternative.
    served: Vec<u32>,
}

/// Alternatives that found no common prices while the pools' prices could not be below these floors.
struct Conflict {
    alternatives: Vec<u32>,
    floors: Vec<(usize, i64)>,
}

/// More than any loss (2^104), and 2^12 of them fit.
const NEVER: i128 = 1 << 112;

impl<'a> Search<'a> {
    fn new(scene: &'a Scene, point: &'a Point, budget: i128) -> Self {
        let prices = &point.prices;
        let pools = scene.pools();
        let mut items = Vec::new();
        for order in 0..scene.orders.len() {
            let best = scene.orders.best(order, prices).map_or(0, |(_, s)| s);
            let mut left = scene.orders.lots[order];
            let mut size = 1;
            while left > 0 {
                let lots = size.min(left);
                left -= lots;
                size *= 2;
                items.push(Item::new(scene, prices, order, lots, best, budget));
            }
        }
        // What is surest first: the base of the tree is walked once, its leaves are the doubtful.
        items.sort_by_key(|item| (core::cmp::Reverse(item.doubt()), item.order, item.lots));
        let items = by_pool(pools, items);
        let mut low = vec![0; pools];
        let mut high = vec![0; pools];
        for item in &items {
            for &(pool, least, most) in &item.reach {
                low[pool] += least;
                high[pool] += most;
            }
        }
        let free = (0..pools)
            .map(|pool| {
                let curve = &scene.curves[pool];
                (curve.below(prices[pool]), curve.within(prices[pool]))
            })
            .collect();
        let mut search = Self {
            scene,
            prices,
            picked: vec![NONE; items.len()],
            items,
            budget,
            demand: scene.folded().to_vec(),
            low,
            high,
            pool_losses: vec![0; pools],
            free,
            loss: 0,
            trail: Vec::new(),
            found: None,
            conflicts: Vec::new(),
            watched: vec![Vec::new(); pools],
            served: vec![0; scene.orders.limits.len()],
        };
        for pool in 0..pools {
            search.pool_losses[pool] = search.pool_loss(pool);
            search.loss += search.pool_losses[pool];
        }
        search
    }

    /// The least that a pool can lose.
    fn pool_loss(&self, pool: usize) -> i128 {
        let curve: &Curve = &self.scene.curves[pool];
        let price = self.prices[pool];
        let demand = self.demand[pool];
        let (least, most) = (demand + self.low[pool], demand + self.high[pool]);
        let (below, within) = self.free[pool];
        if most < 0 && price > 0 {
            // More is sold than bought only if the price is zero, at which hardly anybody sells.
            NEVER
        } else if most < below {
            // Convex in demand: the nearest end loses least.
            curve.loss(price, most).unwrap_or(NEVER)
        } else if least > within {
            curve.loss(price, least).unwrap_or(NEVER)
        } else {
            0
        }
    }

    /// Whether the whole tree was walked within the moves.
    fn run(&mut self, moves_max: u64, moves: &mut u64) -> bool {
        // Per item: the next choice to try, where the trail stood, the loss before.
        let mut stack: Vec<(usize, usize, i128)> = Vec::with_capacity(self.items.len() + 1);
        if self.loss >= self.budget {
            return true;
        }
        stack.push((0, 0, self.loss));
        while let Some(&(choice, mark, before)) = stack.last() {
            let depth = stack.len() - 1;
            self.undo(mark);
            self.loss = before;
            if depth == self.items.len() {
                stack.pop();
                if let Some(pools) = self.leaf(moves) {
                    // Whatever else is decided, these pools stay as they are until somebody that names
                    // one of them is decided otherwise.
                    while let Some(last) = stack.len().checked_sub(1) {
                        let item = &self.items[last];
                        if item.reach.iter().any(|reach| pools.contains(&reach.0)) {
                            break;
                        }
                        stack.pop();
                    }
                }
                continue;
            }
            let next = self.items[depth]
                .choices
                .get(choice)
                .map(|c| (c.alternative, c.loss));
            let (alternative, loss) = match next {
                // Choices are sorted by loss.
                Some(next) if before + next.1 < self.budget => next,
                _ => {
                    stack.pop();
                    continue;
                }
            };
            if *moves >= moves_max {
                return false;
            }
            *moves += 1;
            if let Some(top) = stack.last_mut() {
                top.0 += 1;
            }
            self.decide(depth, alternative);
            self.loss += loss;
            if self.loss < self.budget && !self.conflicts(depth) {
                stack.push((0, self.trail.len(), self.loss));
            }
        }
        true
    }

    fn decide(&mut self, depth: usize, alternative: u32) {
        self.picked[depth] = alternative;
        let lots = i64::from(self.items[depth].lots);
        for index in 0..self.items[depth].reach.len() {
            let (pool, least, most) = self.items[depth].reach[index];
            self.trail.push((
                pool,
                self.demand[pool],
                self.low[pool],
                self.high[pool],
                self.pool_losses[pool],
            ));
            self.low[pool] -= least;
            self.high[pool] -= most;
        }
        if alternative != NONE {
            self.served[alternative as usize] += 1;
            self.trail.push((NO_POOL, i64::from(alternative), 0, 0, 0));
            for entry in self.scene.orders.bundle(alternative as usize) {
                self.demand[entry.pool as usize] += i64::from(entry.quantity) * lots;
            }
        }
        for index in 0..self.items[depth].reach.len() {
            let pool = self.items[depth].reach[index].0;
            let loss = self.pool_loss(pool);
            self.loss += loss - self.pool_losses[pool];
            self.pool_losses[pool] = loss;
        }
    }

    fn undo(&mut self, mark: usize) {
        while self.trail.len() > mark {
            if let Some((pool, demand, low, high, loss)) = self.trail.pop() {
                if pool == NO_POOL {
                    self.served[demand as usize] -= 1;
                    continue;
                }
                self.demand[pool] = demand;
                self.low[pool] = low;
                self.high[pool] = high;
                self.pool_losses[pool] = loss;
            }
        }
    }

    /// Takes the leaf if it has supporting prices; else the pools on which those who have none agree.
    fn leaf(&mut self, moves: &mut u64) -> Option<Vec<usize>> {
        let mut fills: Vec<Fill> = Vec::new();
        for (item, &alternative) in self.items.iter().zip(&self.picked) {
            if alternative != NONE {
                fills.push(Fill {
                    order: item.order,
                    alternative,
                    lots: item.lots,
                });
            }
        }
        merge(&mut fills);
        let allocation = Allocation::of(self.scene, fills);
        let support = Support::of(self.scene, &allocation, self.prices)?;
        match support.prices(self.scene, &allocation.fills, SWEEPS, moves) {
            Ok(prices) => {
                self.budget = self.loss;
                self.found = Some(Found { allocation, prices });
                None
            }
            Err(conflict) => Some(self.learn(&support, &conflict)),
        }
    }

    /// Remembers who found no common prices, given the asks that were reached. The projection proves
    /// nothing, so this only steers.
    fn learn(&mut self, support: &Support, conflict: &[Fill]) -> Vec<usize> {
        let mut pools: Vec<usize> = Vec::new();
        for fill in conflict {
            for entry in self.scene.orders.bundle(fill.alternative as usize) {
                if !pools.contains(&(entry.pool as usize)) {
                    pools.push(entry.pool as usize);
                }
            }
        }
        if conflict.len() <= CONFLICT_MAX && self.conflicts.len() < CONFLICTS_MAX {
            for &pool in &pools {
                self.watched[pool].push(self.conflicts.len() as u32);
            }
            self.conflicts.push(Conflict {
                alternatives: conflict.iter().map(|fill| fill.alternative).collect(),
                floors: pools
                    .iter()
                    .map(|&pool| (pool, support.floor(pool)))
                    .collect(),
            });
        }
        pools
    }

    /// Whether what is decided, now with item `depth`, completes a known conflict.
    fn conflicts(&self, depth: usize) -> bool {
        self.items[depth].reach.iter().any(|reach| {
            self.watched[reach.0].iter().any(|&index| {
                let conflict = &self.conflicts[index as usize];
                conflict
                    .alternatives
                    .iter()
                    .all(|&a| self.served[a as usize] > 0)
                    && conflict.floors.iter().all(|&(pool, floor)| {
                        let least = self.demand[pool] + self.low[pool];
                        self.scene.curves[pool].marginal_ask(least).unwrap_or(0) >= floor
                    })
            })
        })
    }
}

/// What has one choice first; then pool after pool, those that the fewest undecided items name first, so
/// that what a pool loses is known as soon as may be.
fn by_pool(pools: usize, items: Vec<Item>) -> Vec<Item> {
    let (mut sorted, mut rest): (Vec<Item>, Vec<Item>) =
        items.into_iter().partition(|item| item.choices.len() < 2);
    let mut named: Vec<usize> = vec![0; pools];
    while !rest.is_empty() {
        named.fill(0);
        for (pool, _, _) in rest.iter().flat_map(|item| &item.reach) {
            named[*pool] += 1;
        }
        let next = (0..pools)
            .filter(|&pool| named[pool] > 0)
            .min_by_key(|&pool| named[pool]);
        let (now, later) = rest
            .into_iter()
            .partition(|item| item.reach.iter().any(|reach| Some(reach.0) == next));
        let now: Vec<Item> = now;
        sorted.extend(now);
        rest = later;
        if next.is_none() {
            sorted.append(&mut rest);
        }
    }
    sorted
}

/// One fill for each alternative, in the order of the scene.
pub(crate) fn merge(fills: &mut Vec<Fill>) {
    fills.sort_unstable_by_key(|fill| fill.alternative);
    fills.dedup_by(|later, earlier| {
        let same = later.alternative == earlier.alternative;
        if same {
            earlier.lots += later.lots;
        }
        same
    });
}

impl Item {
    fn new(
        scene: &Scene,
        prices: &[i64],
        order: usize,
        lots: u32,
        best: i64,
        budget: i128,
    ) -> Self {
        let mut choices = Vec::new();
        let mut offer = |alternative: u32, surplus: i64| {
            let loss = (i128::from(best) - i128::from(surplus)) * i128::from(lots);
            if loss < budget {
                choices.push(Choice { alternative, loss });
            }
        };
        for alternative in scene.orders.of(order) {
            offer(
                alternative as u32,
                scene.orders.surplus(alternative, prices),
            );
        }
        offer(NONE, 0);
        choices.sort_by_key(|choice| (choice.loss, choice.alternative));
        // A choice that does not name a pool takes nothing of it.
        let mut reach: Vec<(usize, i64, i64)> = Vec::new();
        for choice in choices.iter().filter(|c| c.alternative != NONE) {
            for entry in scene.orders.bundle(choice.alternative as usize) {
                let pool = entry.pool as usize;
                if !reach.iter().any(|r| r.0 == pool) {
                    reach.push((pool, i64::MAX, i64::MIN));
                }
            }
        }
        for (pool, least, most) in &mut reach {
            for choice in &choices {
                let bundle: &[_] = match choice.alternative {
                    NONE => &[],
                    alternative => scene.orders.bundle(alternative as usize),
                };
                let units = bundle
                    .iter()
                    .find(|e| e.pool as usize == *pool)
                    .map_or(0, |e| i64::from(e.quantity) * i64::from(lots));
                *least = (*least).min(units);
                *most = (*most).max(units);
            }
        }
        Self {
            order: order as u32,
            lots,
            choices,
            reach,
        }
    }

    /// What the second choice costs; more than anything if there is none.
    fn doubt(&self) -> i128 {
        self.choices.get(1).map_or(NEVER, |choice| choice.loss)
    }
}
