//! ALLOCATE: who gets what at given prices. Whoever is served here has surplus at these prices, so
//! that nobody pays more than its limit.

use alloc::vec;
use alloc::vec::Vec;

use crate::scene::Scene;

/// Lots of an order that get one of its alternatives; indices are the scene's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) order: u32,
    pub(crate) alternative: u32,
    pub(crate) lots: u32,
}

/// Fills with the demand of all orders, the folded ones included.
#[derive(Clone, Debug)]
pub(crate) struct Allocation {
    pub(crate) fills: Vec<Fill>,
    pub(crate) demand: Vec<i64>,
}

impl Allocation {
    /// Nobody but the folded orders.
    pub(crate) fn empty(scene: &Scene) -> Self {
        Self {
            fills: Vec::new(),
            demand: scene.folded().to_vec(),
        }
    }

    /// Those fills.
    pub(crate) fn of(scene: &Scene, fills: Vec<Fill>) -> Self {
        let mut allocation = Self::empty(scene);
        for fill in &fills {
            allocation.add(scene, fill.alternative, i64::from(fill.lots));
        }
        allocation.fills = fills;
        allocation
    }

    fn add(&mut self, scene: &Scene, alternative: u32, lots: i64) {
        for entry in scene.orders.bundle(alternative as usize) {
            self.demand[entry.pool as usize] += i64::from(entry.quantity) * lots;
        }
    }

    /// Limits of all that is served less the asks of what is used, cheapest first, without the
    /// limits of the folded orders. Demand must not exceed supply.
    pub(crate) fn welfare(&self, scene: &Scene) -> i128 {
        let limits: i128 = self
            .fills
            .iter()
            .map(|f| i128::from(scene.orders.limits[f.alternative as usize]) * i128::from(f.lots))
            .sum();
        let costs: i128 = scene
            .curves
            .iter()
            .zip(&self.demand)
            .map(|(curve, &demand)| curve.cost(demand))
            .sum();
        limits - costs
    }

    /// Lots of each order of the scene that are served.
    pub(crate) fn held(&self, scene: &Scene) -> Vec<u32> {
        let mut held = vec![0; scene.orders.len()];
        for fill in &self.fills {
            held[fill.order as usize] += fill.lots;
        }
        held
    }
}

/// How far demand is from what the pool can serve at this price: above what is asked for at most the
/// price, or below zero unless the price is zero, at which what nobody takes is given away.
fn violation(scene: &Scene, pool: usize, price: i64, demand: i64) -> i64 {
    let short = demand - scene.curves[pool].within(price);
    if short > 0 {
        short
    } else if demand < 0 && price > 0 {
        demand
    } else {
        0
    }
}

/// Surplus per gross value in 2^-20, what decides who is served first.
fn ratio(scene: &Scene, alternative: usize, surplus: i64, prices: &[i64]) -> u64 {
    let gross: i128 = scene
        .orders
        .bundle(alternative)
        .iter()
        .map(|e| i128::from(e.quantity.abs()) * i128::from(prices[e.pool as usize]))
        .sum();
    let ratio = (i128::from(surplus) << 20) / gross.max(1);
    ratio.clamp(0, i128::from(u64::MAX)) as u64
}

/// Serves every order that has surplus, drops the lots of least surplus per unit while a pool is
/// violated, then inserts what fits. `None` if the folded orders alone violate a pool.
pub(crate) fn allocate(scene: &Scene, prices: &[i64]) -> Option<Allocation> {
    let mut ranked: Vec<(u64, Fill)> = Vec::new();
    for order in (0..scene.orders.len()).filter(|&o| !scene.is_off(o)) {
        if let Some((alternative, surplus)) = scene.orders.best(order, prices) {
            let fill = Fill {
                order: order as u32,
                alternative: alternative as u32,
                lots: scene.orders.lots[order],
            };
            ranked.push((ratio(scene, alternative, surplus, prices), fill));
        }
    }
    // Ties by hash: the scene's orders are in the order of keys.
    ranked.sort_unstable_by_key(|(ratio, fill)| (*ratio, fill.order));
    let fills = ranked.into_iter().map(|(_, fill)| fill).collect();
    let mut allocation = Allocation::of(scene, fills);
    repair(scene, prices, &mut allocation)?;
    allocation.fills.retain(|fill| fill.lots > 0);
    insert(scene, prices, &mut allocation);
    Some(allocation)
}

/// Drops lots, those of least surplus per unit of the violated pool first (ties in the order of the
/// fills), until no pool is violated. Each fill is looked at once for
/// each pool that it names, whatever the number of pools: what was dropped stays dropped.
pub(crate) fn repair(scene: &Scene, prices: &[i64], allocation: &mut Allocation) -> Option<()> {
    let pools = scene.pools();
    let mut violated: Vec<usize> = (0..pools)
        .rev()
        .filter(|&pool| violation(scene, pool, prices[pool], allocation.demand[pool]) != 0)
        .collect();
    if violated.is_empty() {
        return Some(());
    }
    // Per pool the fills that buy it and the fills that sell it, by surplus per unit of the pool: the
    // order in which they would leave if its price alone moved.
    type Ranked = Vec<(i128, u32)>;
    let mut sides: Vec<(Ranked, Ranked)> = vec![(Vec::new(), Vec::new()); pools];
    for (index, fill) in allocation.fills.iter().enumerate() {
        let alternative = fill.alternative as usize;
        let surplus = i128::from(scene.orders.surplus(alternative, prices)) << 20;
        for entry in scene.orders.bundle(alternative) {
            let side = &mut sides[entry.pool as usize];
            let rank = (surplus / i128::from(entry.quantity.abs()), index as u32);
            if entry.quantity > 0 {
                side.0.push(rank);
            } else {
                side.1.push(rank);
            }
        }
    }
    // Most pools are never violated.
    let mut sorted = vec![(false, false); pools];
    let mut next: Vec<(usize, usize)> = vec![(0, 0); pools];
    while let Some(pool) = violated.pop() {
        loop {
            let excess = violation(scene, pool, prices[pool], allocation.demand[pool]);
            if excess == 0 {
                break;
            }
            let (side, next, sorted) = if excess > 0 {
                (&mut sides[pool].0, &mut next[pool].0, &mut sorted[pool].0)
            } else {
                (&mut sides[pool].1, &mut next[pool].1, &mut sorted[pool].1)
            };
            if !*sorted {
                side.sort_unstable();
                *sorted = true;
            }
            let (_, index) = *side.get(*next)?;
            let fill = allocation.fills[index as usize];
            let bundle = scene.orders.bundle(fill.alternative as usize);
            let quantity = bundle
                .iter()
                .find(|e| e.pool as usize == pool)
                .map_or(1, |e| i64::from(e.quantity.abs()));
            let wanted = (excess.abs() - 1) / quantity + 1;
            let dropped = wanted.min(i64::from(fill.lots));
            // What is left of a fill may have to go later.
            if dropped == i64::from(fill.lots) {
                *next += 1;
            }
            allocation.fills[index as usize].lots -= dropped as u32;
            for entry in bundle {
                let other = entry.pool as usize;
                let before = violation(scene, other, prices[other], allocation.demand[other]);
                allocation.demand[other] -= i64::from(entry.quantity) * dropped;
                let after = violation(scene, other, prices[other], allocation.demand[other]);
                if other != pool && before == 0 && after != 0 {
                    violated.push(other);
                }
            }
        }
    }
    Some(())
}

/// What so many more lots of an alternative (fewer if negative) do to welfare.
pub(crate) fn gain(scene: &Scene, demand: &[i64], alternative: u32, lots: i64) -> i128 {
    let mut gain = i128::from(scene.orders.limits[alternative as usize]) * i128::from(lots);
    for entry in scene.orders.bundle(alternative as usize) {
        let curve = &scene.curves[entry.pool as usize];
        let before = demand[entry.pool as usize];
        let after = before + lots * i64::from(entry.quantity);
        // Beyond the supply there is no cost to speak of: such a change does not last.
        let most = curve.total();
        gain -= curve.cost(after.min(most)) - curve.cost(before.min(most));
    }
    gain
}

/// Inserts lots that have surplus and fit, most surplus per gross value first, unless they only take
/// the place of supply that asks for less.
pub(crate) fn insert(scene: &Scene, prices: &[i64], allocation: &mut Allocation) {
    let mut held = allocation.held(scene);
    let mut candidates: Vec<(u64, u32, u32)> = Vec::new();
    for (order, &served) in held.iter().enumerate() {
        if served == scene.orders.lots[order] {
            continue;
        }
        for alternative in scene.orders.of(order) {
            let surplus = scene.orders.surplus(alternative, prices);
            if surplus >= 0 {
                let ratio = ratio(scene, alternative, surplus, prices);
                candidates.push((u64::MAX - ratio, order as u32, alternative as u32));
            }
        }
    }
    candidates.sort_unstable();
    for (_, order, alternative) in candidates {
        let mut lots = i64::from(scene.orders.lots[order as usize] - held[order as usize]);
        for entry in scene.orders.bundle(alternative as usize) {
            let (pool, quantity) = (entry.pool as usize, i64::from(entry.quantity));
            let demand = allocation.demand[pool];
            if quantity > 0 {
                let room = scene.curves[pool].within(prices[pool]) - demand;
                lots = lots.min(room.max(0) / quantity);
            } else if prices[pool] > 0 {
                lots = lots.min(demand.max(0) / -quantity);
            }
            if lots == 0 {
                break;
            }
        }
        if lots > 0 && gain(scene, &allocation.demand, alternative, lots) >= 0 {
            allocation.add(scene, alternative, lots);
            held[order as usize] += lots as u32;
            allocation.fills.push(Fill {
                order,
                alternative,
                lots: lots as u32,
            });
        }
    }
}
