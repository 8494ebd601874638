//! Moves that make an allocation better at given prices: kick somebody out, or force somebody in, and
//! refill what that frees.
//!
//! Everybody served has surplus at the prices before and after, so that no move hurts anybody. A move
//! stays if welfare rises, else it is taken back; what it costs is counted, never timed.

use alloc::vec;
use alloc::vec::Vec;

use crate::allocate::{gain, Allocation, Fill};
use crate::scene::{Scene, Touching};

/// Most refills of one move.
const REFILLS: u32 = 24;

struct Refine<'a> {
    scene: &'a Scene,
    prices: &'a [i64],
    guide: &'a [i64],
    /// Alternatives with surplus that name each pool.
    candidates: Touching,
    /// Order of each alternative of the scene.
    owner: Vec<u32>,
    /// Lots of each alternative.
    lots: Vec<u32>,
    /// Lots of each order.
    held: Vec<u32>,
    demand: Vec<i64>,
    /// What the current move did: alternative, lots, added or not.
    log: Vec<(u32, u32, bool)>,
    moves: u64,
    moves_max: u64,
}

/// Improves the allocation at `prices`; `guide` are the prices of the dual's minimum, which say what is
/// cheap to kick out. Counts alternatives looked at in `moves`.
pub(crate) fn refine(
    scene: &Scene,
    prices: &[i64],
    guide: &[i64],
    allocation: &mut Allocation,
    moves_max: u64,
    moves: &mut u64,
) {
    let mut owner = vec![0; scene.orders.limits.len()];
    for order in 0..scene.orders.len() {
        for alternative in scene.orders.of(order) {
            owner[alternative] = order as u32;
        }
    }
    let mut lots = vec![0; scene.orders.limits.len()];
    for fill in &allocation.fills {
        lots[fill.alternative as usize] += fill.lots;
    }
    let gains: Vec<i64> = (0..owner.len())
        .map(|a| scene.orders.surplus(a, guide))
        .collect();
    let mut refine = Refine {
        scene,
        prices,
        guide,
        candidates: Touching::alternatives(scene, |a| scene.orders.surplus(a, prices) >= 0),
        held: allocation.held(scene),
        owner,
        lots,
        demand: core::mem::take(&mut allocation.demand),
        log: Vec::new(),
        moves: 0,
        moves_max,
    };
    // Cheapest first: those served by what they lose, those passed over by what they gain.
    let mut turns: Vec<(i128, u32)> = (0..refine.owner.len() as u32)
        .filter(|&a| scene.orders.surplus(a as usize, prices) >= 0)
        .map(|a| {
            let gain = i128::from(gains[a as usize])
                * i128::from(scene.orders.lots[refine.owner[a as usize] as usize]);
            (
                if refine.lots[a as usize] > 0 {
                    gain
                } else {
                    -gain
                },
                a,
            )
        })
        .collect();
    turns.sort_unstable();
    let mut improved = true;
    while improved && refine.moves < moves_max {
        improved = false;
        for &(_, alternative) in &turns {
            if refine.moves >= moves_max {
                break;
            }
            let served = refine.lots[alternative as usize];
            if served > 0 && refine.may_gain(alternative, -i128::from(gains[alternative as usize]))
            {
                improved |= refine.kick_out(alternative, served);
                if refine.lots[alternative as usize] > 1 {
                    improved |= refine.kick_out(alternative, 1);
                }
            }
            let order = refine.owner[alternative as usize] as usize;
            let left = scene.orders.lots[order] - refine.held[order];
            if left > 0 && refine.may_gain(alternative, i128::from(gains[alternative as usize])) {
                improved |= refine.force_in(alternative, left, &gains);
                if scene.orders.lots[order] - refine.held[order] > 1 {
                    improved |= refine.force_in(alternative, 1, &gains);
                }
            }
        }
    }
    *moves += refine.moves;
    allocation.fills.clear();
    for (alternative, &lots) in refine.lots.iter().enumerate() {
        if lots > 0 {
            allocation.fills.push(Fill {
                order: refine.owner[alternative],
                alternative: alternative as u32,
                lots,
            });
        }
    }
    allocation.demand = refine.demand;
}

impl Refine<'_> {
    /// Adds or removes lots; returns what that does to welfare.
    fn change(&mut self, alternative: u32, lots: u32, add: bool) -> i128 {
        let gain = self.gain(
            alternative,
            if add {
                i64::from(lots)
            } else {
                -i64::from(lots)
            },
        );
        self.log.push((alternative, lots, add));
        self.apply(alternative, lots, add);
        gain
    }

    fn apply(&mut self, alternative: u32, lots: u32, add: bool) {
        let order = self.owner[alternative as usize] as usize;
        let sign = if add { 1 } else { -1 };
        if add {
            self.lots[alternative as usize] += lots;
            self.held[order] += lots;
        } else {
            self.lots[alternative as usize] -= lots;
            self.held[order] -= lots;
        }
        for entry in self.scene.orders.bundle(alternative as usize) {
            self.demand[entry.pool as usize] += sign * i64::from(lots) * i64::from(entry.quantity);
        }
    }

    fn gain(&self, alternative: u32, lots: i64) -> i128 {
        gain(self.scene, &self.demand, alternative, lots)
    }

    /// Most lots that fit.
    fn room(&self, alternative: u32) -> i64 {
        let order = self.owner[alternative as usize] as usize;
        let mut lots = i64::from(self.scene.orders.lots[order] - self.held[order]);
        for entry in self.scene.orders.bundle(alternative as usize) {
            let (pool, quantity) = (entry.pool as usize, i64::from(entry.quantity));
            let demand = self.demand[pool];
            if quantity > 0 {
                let room = self.scene.curves[pool].within(self.prices[pool]) - demand;
                lots = lots.min(room.max(0) / quantity);
            } else if self.prices[pool] > 0 {
                lots = lots.min(demand.max(0) / -quantity);
            }
            if lots == 0 {
                break;
            }
        }
        lots
    }

    /// Whether what a lot gains, and what its pools waste, leave room for anything.
    fn may_gain(&self, alternative: u32, gain: i128) -> bool {
        let bundle = self.scene.orders.bundle(alternative as usize);
        let waste: i128 = bundle
            .iter()
            .map(|e| {
                let pool = e.pool as usize;
                self.scene.curves[pool]
                    .loss(self.guide[pool], self.demand[pool])
                    .unwrap_or(0)
            })
            .sum();
        gain + waste > 0
    }

    fn is_violated(&self, pool: usize) -> bool {
        let demand = self.demand[pool];
        demand > self.scene.curves[pool].within(self.prices[pool])
            || (demand < 0 && self.prices[pool] > 0)
    }

    fn kick_out(&mut self, alternative: u32, lots: u32) -> bool {
        self.log.clear();
        let gain = self.change(alternative, lots, false);
        self.finish(gain, alternative, false)
    }

    /// Adds the lots, then drops the cheapest that stand in the way.
    fn force_in(&mut self, alternative: u32, lots: u32, gains: &[i64]) -> bool {
        self.log.clear();
        let mut gain = self.change(alternative, lots, true);
        let mut tries = 0;
        loop {
            let scene = self.scene;
            let mut worst: Option<(i128, u32, i64)> = None;
            let pools = self
                .log
                .iter()
                .flat_map(|l| scene.orders.bundle(l.0 as usize));
            let pool = match pools
                .map(|e| e.pool as usize)
                .find(|&pool| self.is_violated(pool))
            {
                Some(pool) => pool,
                None => break,
            };
            tries += 1;
            if tries > REFILLS {
                break;
            }
            let over = self.demand[pool] - scene.curves[pool].within(self.prices[pool]);
            for &other in self.candidates.of_pool(pool) {
                if self.moves == self.moves_max {
                    break;
                }
                self.moves += 1;
                if self.lots[other as usize] == 0 || other == alternative {
                    continue;
                }
                let quantity = scene
                    .orders
                    .bundle(other as usize)
                    .iter()
                    .find(|e| e.pool as usize == pool)
                    .map_or(0, |e| i64::from(e.quantity));
                let wanted = if over > 0 { over } else { self.demand[pool] };
                if (wanted > 0) != (quantity > 0) {
                    continue;
                }
                let drop = ((wanted.abs() - 1) / quantity.abs() + 1)
                    .min(i64::from(self.lots[other as usize]));
                // What dropping costs, spread over what it relieves.
                let relief = (drop * quantity.abs()).min(wanted.abs());
                let cost = ((i128::from(gains[other as usize]) * i128::from(drop)) << 8)
                    / i128::from(relief);
                if worst.map_or(true, |(least, _, _)| cost < least) {
                    worst = Some((cost, other, drop));
                }
            }
            match worst {
                Some((_, other, drop)) => gain += self.change(other, drop as u32, false),
                None => break,
            }
        }
        let scene = self.scene;
        let stuck = self
            .log
            .iter()
            .flat_map(|l| scene.orders.bundle(l.0 as usize))
            .any(|e| self.is_violated(e.pool as usize));
        if stuck {
            self.take_back();
            return false;
        }
        self.finish(gain, alternative, true)
    }

    /// Refills the pools that the move touched; keeps it all if welfare rose.
    fn finish(&mut self, mut gain: i128, alternative: u32, added: bool) -> bool {
        let scene = self.scene;
        for pool in self
            .log
            .iter()
            .flat_map(|l| scene.orders.bundle(l.0 as usize))
        {
            if self.is_violated(pool.pool as usize) {
                self.take_back();
                return false;
            }
        }
        let mut pools: Vec<u16> = Vec::new();
        for entry in self
            .log
            .iter()
            .flat_map(|l| scene.orders.bundle(l.0 as usize))
        {
            if !pools.contains(&entry.pool) {
                pools.push(entry.pool);
            }
        }
        for _ in 0..REFILLS {
            let mut best: Option<(i128, u32, i64)> = None;
            for &pool in &pools {
                for &other in self.candidates.of_pool(pool as usize) {
                    if self.moves == self.moves_max {
                        break;
                    }
                    self.moves += 1;
                    if other == alternative && !added {
                        continue;
                    }
                    let room = self.room(other);
                    if room > 0 {
                        let gain = self.gain(other, room);
                        if gain > 0 && best.map_or(true, |(most, b, _)| (gain, b) > (most, other)) {
                            best = Some((gain, other, room));
                        }
                    }
                }
            }
            match best {
                Some((_, other, room)) => {
                    gain += self.change(other, room as u32, true);
                    for entry in scene.orders.bundle(other as usize) {
                        if !pools.contains(&entry.pool) {
                            pools.push(entry.pool);
                        }
                    }
                }
                None => break,
            }
        }
        if gain > 0 {
            return true;
        }
        self.take_back();
        false
    }

    fn take_back(&mut self) {
        while let Some((alternative, lots, added)) = self.log.pop() {
            self.apply(alternative, lots, !added);
        }
    }
}
