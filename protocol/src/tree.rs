//! Tournament trees over the offers of an epoch: the best offer for a bid without a look at all.
//!
//! There is one tree for each [`Class`], since a bid must name these fields exactly. A node keeps of
//! the offers below it that can still open a deal the least of each price, the most of everything
//! else, all attribute bits together, and the least number: an offer that is at least as good for
//! every bid as each of them. So what that offer lacks they all lack, and its score bounds theirs. The
//! search (in [`crate::matching`]) goes on with whatever has the least bound.
//!
//! Eight children stand together, field by field, so that one look at a node's children reads few
//! cache lines.

use std::cmp::Reverse;

use alloy_primitives::Address;

use crate::fit::Demand;
use crate::money::{self, Tariff};
use crate::types::Offer;

/// Children of a node.
const WIDTH: usize = 8;
/// Prices of an offer: the start fee, then what a cycle costs for itself and with each resource.
const PRICES: usize = 6;
const START: usize = 0;
const CYCLE: usize = 1;
const MEMORY: usize = 2;
const DISK: usize = 3;
const GPU: usize = 4;
const EGRESS: usize = 5;
/// No such block, no such leaf.
const NONE: u32 = u32::MAX;

/// What a bid must name exactly: one tree for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class {
    pub(crate) token: Address,
    pub(crate) machine: u32,
    pub(crate) region: u8,
    pub(crate) gpu_class: u16,
}

impl Class {
    pub(crate) fn of(offer: &Offer) -> Self {
        Self {
            token: offer.token,
            machine: offer.machineVersion,
            region: offer.region,
            gpu_class: offer.resources.gpuClass,
        }
    }

    /// Whether a bid accepts offers of this class.
    pub(crate) fn suits(&self, demand: &Demand) -> bool {
        self.token == demand.token && self.machine == demand.machine && self.suits_place(demand)
    }

    fn suits_place(&self, demand: &Demand) -> bool {
        demand.regions.bit(self.region.into())
            && (demand.resources.gpuCount == 0 || demand.resources.gpuClass == self.gpu_class)
    }
}

/// What an offer has and asks, or the best of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Traits {
    attributes: [u64; 4],
    memory: u32,
    disk: u32,
    egress: u32,
    gpus: u32,
    /// Zero where nothing can open a deal.
    speed: u64,
    prices: [u128; PRICES],
    /// Most collateral that a deal may lock, as far as the provider's balance reaches.
    collateral: u128,
    /// Place of the offer among all by their hashes.
    number: u32,
}

impl Traits {
    /// Of no offer at all.
    const NOTHING: Self = Self {
        attributes: [0; 4],
        memory: 0,
        disk: 0,
        egress: 0,
        gpus: 0,
        speed: 0,
        prices: [u128::MAX; PRICES],
        collateral: 0,
        number: NONE,
    };

    /// Of the offer with this place among all by their hashes, while it can open a deal.
    pub(crate) fn of(offer: &Offer, number: u32, collateral: u128) -> Self {
        let has = &offer.resources;
        Self {
            attributes: offer.attributes.into_limbs(),
            memory: has.memoryMib,
            disk: has.diskMib,
            egress: has.egressMib,
            gpus: has.gpuCount.into(),
            speed: offer.speed,
            prices: [
                offer.startFee,
                offer.cyclePrice,
                offer.memoryPrice,
                offer.diskPrice,
                offer.gpuPrice,
                offer.egressPrice,
            ],
            collateral,
            number,
        }
    }

    /// The best of both.
    fn join(mut self, other: &Self) -> Self {
        for (mine, theirs) in self.attributes.iter_mut().zip(other.attributes) {
            *mine |= theirs;
        }
        for (mine, theirs) in self.prices.iter_mut().zip(other.prices) {
            *mine = (*mine).min(theirs);
        }
        self.memory = self.memory.max(other.memory);
        self.disk = self.disk.max(other.disk);
        self.egress = self.egress.max(other.egress);
        self.gpus = self.gpus.max(other.gpus);
        self.speed = self.speed.max(other.speed);
        self.collateral = self.collateral.max(other.collateral);
        self.number = self.number.min(other.number);
        self
    }

    /// A field by which a tree is ordered: those that set an offer's price, in turn.
    fn key(&self, turn: usize) -> u128 {
        match turn % KEYS {
            0 => self.prices[CYCLE],
            1 => self.prices[START],
            2 => self.speed.into(),
            _ => self.prices[MEMORY],
        }
    }
}

/// Fields of [`Traits::key`].
const KEYS: usize = 4;

/// Up to [`WIDTH`] nodes or leaves with one parent, field by field.
///
/// In the order in which a search needs them: most see only the first lines.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
struct Block {
    speed: [u64; WIDTH],
    memory: [u32; WIDTH],
    number: [u32; WIDTH],
    attributes: [[u64; WIDTH]; 4],
    prices: [[u128; WIDTH]; PRICES],
    collateral: [u128; WIDTH],
    disk: [u32; WIDTH],
    egress: [u32; WIDTH],
    gpus: [u32; WIDTH],
    /// How many there are.
    count: u32,
    /// Block of the first one's children, the next one's children in the next block; [`NONE`] for leaves.
    children: u32,
    /// Place of the parent, as [`place`] numbers it; [`NONE`] for the roots.
    parent: u32,
}

impl Block {
    const EMPTY: Self = Self {
        attributes: [[0; WIDTH]; 4],
        memory: [0; WIDTH],
        disk: [0; WIDTH],
        egress: [0; WIDTH],
        gpus: [0; WIDTH],
        speed: [0; WIDTH],
        number: [NONE; WIDTH],
        prices: [[u128::MAX; WIDTH]; PRICES],
        collateral: [0; WIDTH],
        count: 0,
        children: NONE,
        parent: NONE,
    };

    fn get(&self, lane: usize) -> Traits {
        Traits {
            attributes: self.attributes.map(|word| word[lane]),
            memory: self.memory[lane],
            disk: self.disk[lane],
            egress: self.egress[lane],
            gpus: self.gpus[lane],
            speed: self.speed[lane],
            prices: self.prices.map(|price| price[lane]),
            collateral: self.collateral[lane],
            number: self.number[lane],
        }
    }

    fn set(&mut self, lane: usize, traits: &Traits) {
        for (word, value) in self.attributes.iter_mut().zip(traits.attributes) {
            word[lane] = value;
        }
        for (price, value) in self.prices.iter_mut().zip(traits.prices) {
            price[lane] = value;
        }
        self.memory[lane] = traits.memory;
        self.disk[lane] = traits.disk;
        self.egress[lane] = traits.egress;
        self.gpus[lane] = traits.gpus;
        self.speed[lane] = traits.speed;
        self.collateral[lane] = traits.collateral;
        self.number[lane] = traits.number;
    }

    /// The best of all.
    fn joined(&self) -> Traits {
        (0..self.count as usize).fold(Traits::NOTHING, |all, lane| all.join(&self.get(lane)))
    }

    /// Which have what a bid asks for, prices apart.
    fn suited(&self, demand: &Demand) -> [bool; WIDTH] {
        let mut missing = [0u64; WIDTH];
        for (word, has) in demand.attributes.as_limbs().iter().zip(&self.attributes) {
            if *word != 0 {
                for lane in 0..WIDTH {
                    missing[lane] |= word & !has[lane];
                }
            }
        }
        let wants = &demand.resources;
        let mut suited = [false; WIDTH];
        for lane in 0..WIDTH {
            suited[lane] = (missing[lane] == 0)
                & (self.memory[lane] >= wants.memoryMib)
                & (self.disk[lane] >= wants.diskMib)
                & (self.egress[lane] >= wants.egressMib)
                & (self.gpus[lane] >= wants.gpuCount.into())
                & (self.speed[lane] >= demand.speed_min);
        }
        suited
    }

    /// Base units per 10^18 cycles with what the bid reserves; `None` beyond 128 bits.
    fn unit_price(&self, lane: usize, demand: &Demand) -> Option<u128> {
        let price = |which: usize| self.prices[which][lane];
        let wants = &demand.resources;
        let mut unit_price = price(CYCLE);
        for (which, amount) in [
            (MEMORY, wants.memoryMib),
            (DISK, wants.diskMib),
            (GPU, wants.gpuCount.into()),
            (EGRESS, wants.egressMib),
        ] {
            if amount != 0 {
                unit_price = unit_price.checked_add(price(which).checked_mul(amount.into())?)?;
            }
        }
        Some(unit_price)
    }

    /// Score of a first task; `None` if anything does not fit.
    fn fits(&self, lane: usize, demand: &Demand) -> Option<u128> {
        let suits = self.suited(demand)[lane];
        suits.then(|| self.score(lane, demand)).flatten()
    }

    /// Score of a first task; `None` if the price or the collateral does not fit.
    fn score(&self, lane: usize, demand: &Demand) -> Option<u128> {
        let unit_price = self.unit_price(lane, demand)?;
        let fee = self.prices[START][lane];
        let task = |cycles| fee.saturating_add(money::work_price_saturating(cycles, unit_price));
        let cost = task(demand.cycles);
        if cost > demand.price_cap {
            return None;
        }
        if self.collateral[lane] < demand.collateral_most {
            let cost_max = task(demand.cycle_limit).min(demand.price_cap);
            let collateral = money::collateral(cost_max, demand.collateral_bps);
            if collateral.is_ok_and(|needed| needed > self.collateral[lane]) {
                return None;
            }
        }
        // The speed is not zero: `suited` held it against one that is not.
        let seconds = demand.cycles.div_ceil(self.speed[lane]);
        Some(cost.saturating_add(demand.value_of_time.saturating_mul(seconds.into())))
    }
}

/// A block in four cache lines, rounded in favour of its offers: all that a search for the single
/// best offer reads of most blocks. It leaves out what few bids ask for.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
struct Sketch {
    /// Of the attributes the lowest 32 bits.
    attributes: [u32; WIDTH],
    memory: [u32; WIDTH],
    /// `2^64 / speed / 2^pace_shift`.
    pace: [u32; WIDTH],
    /// `startFee / 2^fee_shift`.
    fee: [u32; WIDTH],
    /// Price of cycles and of memory, `/ 2^price_shift`.
    cycle_price: [u32; WIDTH],
    memory_price: [u32; WIDTH],
    /// As in the block.
    number: [u32; WIDTH],
    children: u32,
    count: u32,
    pace_shift: u8,
    fee_shift: u8,
    price_shift: u8,
}

/// How far to shift values so that all of them fit 31 bits.
fn shift(values: impl Iterator<Item = u128>) -> u8 {
    let bits = values.map(|value| u128::BITS - value.leading_zeros()).max();
    bits.unwrap_or(0).saturating_sub(31) as u8
}

impl Sketch {
    fn of(block: &Block) -> Self {
        let is_live = |lane: &usize| block.speed[*lane] != 0;
        let live = || (0..block.count as usize).filter(is_live);
        let pace = |lane: usize| u64::MAX / block.speed[lane].max(1);
        let pace_shift = shift(live().map(|lane| pace(lane).into()));
        let fee_shift = shift(live().map(|lane| block.prices[START][lane]));
        let price_shift =
            shift(live().map(|lane| block.prices[CYCLE][lane].max(block.prices[MEMORY][lane])));
        let mut sketch = Self {
            attributes: [0; WIDTH],
            memory: [0; WIDTH],
            // A pace that no bid accepts.
            pace: [i32::MIN as u32; WIDTH],
            fee: [0; WIDTH],
            cycle_price: [0; WIDTH],
            memory_price: [0; WIDTH],
            number: block.number,
            children: block.children,
            count: block.count,
            pace_shift,
            fee_shift,
            price_shift,
        };
        for lane in live() {
            sketch.attributes[lane] = block.attributes[0][lane] as u32;
            sketch.memory[lane] = block.memory[lane].min(i32::MAX as u32);
            sketch.pace[lane] = (pace(lane) >> pace_shift) as u32;
            sketch.fee[lane] = (block.prices[START][lane] >> fee_shift) as u32;
            sketch.cycle_price[lane] = (block.prices[CYCLE][lane] >> price_shift) as u32;
            sketch.memory_price[lane] = (block.prices[MEMORY][lane] >> price_shift) as u32;
        }
        sketch
    }

    /// Which may suit, as bits.
    #[inline]
    fn mask(&self, aim: &Aim) -> u32 {
        let pace_max = (aim.pace_max >> self.pace_shift).min(i32::MAX as u64) as i32;
        let mut failed = [0i32; WIDTH];
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

    /// For each, a number that no first task's score, in the aim's units, is below.
    #[inline]
    fn bounds(&self, mut mask: u32, aim: &Aim, mut each: impl FnMut(usize, u64)) {
        // What does not fit 64 bits is taken for less, which is as good as less precise.
        let narrow = |wide: u128| u64::try_from(wide).unwrap_or(u64::MAX);
        // The weight has 49 bits for cycles within the limit, and no price is shifted by more than 69:
        // it keeps its upper 64 bits.
        let weight = (u128::from(aim.weight) << self.price_shift) >> aim.unit;
        let excess = (u128::BITS - weight.leading_zeros()).saturating_sub(64);
        let weight = weight >> excess;
        let cycles = narrow(u128::from(aim.cycles) << self.pace_shift);
        while mask != 0 {
            let lane = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            // 31 bits, and 31 times 31.
            let unit_price = u64::from(self.cycle_price[lane])
                + u64::from(self.memory_price[lane]) * aim.memory as u64;
            let fee = narrow((u128::from(self.fee[lane]) << self.fee_shift) >> aim.unit);
            let work = narrow((u128::from(unit_price) * weight) >> (64 - excess.min(64)));
            let cost = fee.saturating_add(work);
            if cost > aim.cost_max {
                continue;
            }
            let seconds = over_64_bits(self.pace[lane].into(), cycles);
            let time = narrow((u128::from(aim.value_of_time) * u128::from(seconds)) >> aim.unit);
            each(lane, cost.saturating_add(time));
        }
    }
}

/// `ceil(a * b / 2^64)`
#[inline]
fn over_64_bits(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 + u64::from(product as u64 != 0)
}

/// What a bid asks for, in the terms of a [`Sketch`]: amounts in units of 2^unit base units.
struct Aim {
    attributes: i32,
    memory: i32,
    pace_max: u64,
    cycles: u64,
    weight: u64,
    value_of_time: u64,
    cost_max: u64,
    unit: u32,
}

impl Aim {
    fn of(demand: &Demand) -> Self {
        // No score of an offer that fits exceeds this; it is to fit 62 bits.
        let most = demand.price_cap.saturating_add(
            demand
                .value_of_time
                .saturating_mul(u128::from(demand.seconds_max())),
        );
        let unit = (u128::BITS - most.leading_zeros()).saturating_sub(62);
        Self {
            attributes: (demand.attributes.as_limbs()[0] & i32::MAX as u64) as i32,
            memory: demand.resources.memoryMib.min(i32::MAX as u32) as i32,
            pace_max: u64::MAX / demand.speed_min,
            cycles: demand.cycles,
            weight: demand.cycle_weight,
            value_of_time: u64::try_from(demand.value_of_time).unwrap_or(u64::MAX),
            cost_max: (demand.price_cap >> unit) as u64,
            unit,
        }
    }
}

/// A node to look into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ahead {
    bound: u64,
    number: u32,
    children: u32,
}

/// Number of a lane among all blocks.
fn place(block: u32, lane: usize) -> u32 {
    // `Forest::new` keeps the number of blocks below 2^28.
    block * WIDTH as u32 + lane as u32
}

/// What a look at a node's children finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// No offer below has a lower score for a first task; the offer's own if it is one.
    pub(crate) score: u128,
    /// No offer below has a lower number; the offer's own if it is one.
    pub(crate) number: u32,
    /// The block of the children; `None` for an offer.
    pub(crate) children: Option<u32>,
}

/// What an offer charges a bid, and how fast it works.
pub(crate) struct Terms {
    pub(crate) tariff: Tariff,
    /// Cycles per second.
    pub(crate) speed: u64,
}

/// The trees of all classes.
#[derive(Debug, Default)]
pub(crate) struct Forest {
    /// First the roots, [`WIDTH`] a block; then their children, one block a tree; then the rest.
    blocks: Vec<Block>,
    /// Of each block.
    sketches: Vec<Sketch>,
    /// Of each tree, ascending.
    classes: Vec<Class>,
    /// Place of each offer, by its number.
    leaves: Vec<u32>,
}

impl Forest {
    /// The trees of offers whose numbers are below `numbers`.
    pub(crate) fn new(mut offers: Vec<(Class, Traits)>, numbers: usize) -> Self {
        offers.sort_unstable_by_key(|(class, traits)| (*class, traits.number));
        let mut forest = Self {
            leaves: vec![NONE; numbers],
            ..Self::default()
        };
        let mut trees: Vec<Vec<Traits>> = Vec::new();
        for of_class in offers.chunk_by(|(a, _), (b, _)| a == b) {
            forest.classes.push(of_class[0].0);
            let mut leaves: Vec<Traits> = of_class.iter().map(|(_, traits)| *traits).collect();
            arrange(&mut leaves, 0);
            trees.push(leaves);
        }
        let roots = trees.len().div_ceil(WIDTH);
        forest.blocks = vec![Block::EMPTY; roots + trees.len()];
        for (tree, leaves) in trees.iter().enumerate() {
            let (block, lane) = (tree / WIDTH, tree % WIDTH);
            let top = roots + tree;
            forest.blocks[block].count += 1;
            forest.blocks[block].children = (roots + block * WIDTH) as u32;
            forest.blocks[top].parent = place(block as u32, lane);
            let joined = forest.grow(top, leaves);
            forest.blocks[block].set(lane, &joined);
        }
        forest.sketches = forest.blocks.iter().map(Sketch::of).collect();
        forest
    }

    /// Fills a block with the nodes above some leaves, and makes the blocks below.
    fn grow(&mut self, block: usize, leaves: &[Traits]) -> Traits {
        // Leaves below each child: the least power of the width with which the children suffice.
        let mut share = 1;
        while share * WIDTH < leaves.len() {
            share *= WIDTH;
        }
        let count = leaves.len().div_ceil(share);
        self.blocks[block].count = count as u32;
        if share > 1 {
            let children = self.blocks.len();
            self.blocks[block].children = children as u32;
            self.blocks.resize(self.blocks.len() + count, Block::EMPTY);
            for (lane, below) in leaves.chunks(share).enumerate() {
                self.blocks[children + lane].parent = place(block as u32, lane);
                let joined = self.grow(children + lane, below);
                self.blocks[block].set(lane, &joined);
            }
        } else {
            for (lane, leaf) in leaves.iter().enumerate() {
                self.blocks[block].set(lane, leaf);
                self.leaves[leaf.number as usize] = place(block as u32, lane);
            }
        }
        self.blocks[block].joined()
    }

    /// Looks at the roots of the trees whose class suits; says how many there are.
    pub(crate) fn roots(&self, demand: &Demand, mut found: impl FnMut(Found)) -> u32 {
        let key = (demand.token, demand.machine);
        let from = self
            .classes
            .partition_point(|class| (class.token, class.machine) < key);
        let mut looks = 0;
        let mut at = from;
        while let Some(class) = self.classes.get(at)
            && (class.token, class.machine) == key
        {
            let block = at / WIDTH;
            let suited = self.blocks[block].suited(demand);
            let last = ((block + 1) * WIDTH).min(self.classes.len());
            for tree in at..last {
                let class = &self.classes[tree];
                if (class.token, class.machine) == key && class.suits_place(demand) {
                    looks += 1;
                    if suited[tree % WIDTH] {
                        self.report(block as u32, tree % WIDTH, demand, &mut found);
                    }
                }
            }
            at = last;
        }
        looks
    }

    /// How many nodes or offers a block holds.
    pub(crate) fn count(&self, block: u32) -> u32 {
        self.blocks[block as usize].count
    }

    /// Looks at all of a block.
    pub(crate) fn look(&self, block: u32, demand: &Demand, mut found: impl FnMut(Found)) {
        let suited = self.blocks[block as usize].suited(demand);
        for (lane, suits) in suited.into_iter().enumerate() {
            if suits {
                self.report(block, lane, demand, &mut found);
            }
        }
    }

    fn report(&self, block: u32, lane: usize, demand: &Demand, found: &mut impl FnMut(Found)) {
        let lanes = &self.blocks[block as usize];
        if let Some(score) = lanes.score(lane, demand) {
            found(Found {
                score,
                number: lanes.number[lane],
                children: (lanes.children != NONE).then_some(lanes.children + lane as u32),
            });
        }
    }

    /// The best offer for a first task by score and number, if `looks_max` looks are enough for
    /// certain; and how many it took. Depth first and by sketches, which is several times faster than
    /// a search that always goes on with the least bound, and never looks at less.
    pub(crate) fn best(
        &self,
        demand: &Demand,
        looks_max: u32,
        stack: &mut Vec<Ahead>,
        may_serve: impl Fn(u32) -> bool,
    ) -> Option<(Option<u32>, u32)> {
        let aim = Aim::of(demand);
        stack.clear();
        let mut looks = self.roots(demand, |found| {
            let bound = u64::try_from(found.score >> aim.unit).unwrap_or(u64::MAX);
            stack.push(Ahead {
                bound,
                number: found.number,
                children: found.children.unwrap_or(NONE),
            });
        });
        stack.sort_unstable_by_key(|ahead| Reverse((ahead.bound, ahead.number)));
        let mut best = (u128::MAX, NONE);
        // Of the best in the aim's units, rounded down.
        let mut least = u64::MAX;
        while let Some(ahead) = stack.pop() {
            if ahead.bound > least {
                continue;
            }
            // So near that rounding hides which is better: many offers may be alike.
            if ahead.bound.saturating_add((ahead.bound >> 24) + 2) >= least {
                let above = self.blocks[ahead.children as usize].parent as usize;
                let exact = self.blocks[above / WIDTH].fits(above % WIDTH, demand);
                if exact.is_none_or(|score| best < (score, ahead.number)) {
                    continue;
                }
            }
            let sketch = &self.sketches[ahead.children as usize];
            looks += sketch.count;
            if looks > looks_max {
                return None;
            }
            let from = stack.len();
            let block = ahead.children as usize;
            sketch.bounds(sketch.mask(&aim), &aim, |lane, bound| {
                if bound > least {
                    return;
                }
                let number = sketch.number[lane];
                if sketch.children == NONE {
                    if let Some(score) = self.blocks[block].fits(lane, demand)
                        && (score, number) < best
                        && may_serve(number)
                    {
                        best = (score, number);
                        least = u64::try_from(score >> aim.unit).unwrap_or(u64::MAX);
                    }
                    return;
                }
                // The least bound on top.
                let ahead = Ahead {
                    bound,
                    number,
                    children: sketch.children + lane as u32,
                };
                let mut at = stack.len();
                stack.push(ahead);
                while at > from && (stack[at - 1].bound, stack[at - 1].number) < (bound, number) {
                    stack[at] = stack[at - 1];
                    at -= 1;
                }
                stack[at] = ahead;
            });
        }
        Some(((best.1 != NONE).then_some(best.1), looks))
    }

    /// On what terms an offer would serve a bid that it fits; `None` if it can open no deal any more.
    pub(crate) fn terms(&self, number: u32, demand: &Demand) -> Option<Terms> {
        let at = self.leaves[number as usize] as usize;
        let (block, lane) = (self.blocks.get(at / WIDTH)?, at % WIDTH);
        let speed = block.speed[lane];
        let unit_price = (speed != 0).then(|| block.unit_price(lane, demand))??;
        Some(Terms {
            tariff: Tariff {
                start_fee: block.prices[START][lane],
                unit_price,
                price_cap: demand.price_cap,
            },
            speed,
        })
    }

    /// Notes what an offer can still put up; `None` if it can open no deal any more.
    pub(crate) fn update(&mut self, number: u32, collateral: Option<u128>) {
        let at = self.leaves[number as usize];
        if at == NONE {
            return;
        }
        let (block, lane) = (at as usize / WIDTH, at as usize % WIDTH);
        let mut traits = self.blocks[block].get(lane);
        match collateral {
            // What is gone stays gone: within an epoch slots and balances only fall.
            _ if traits.speed == 0 => return,
            Some(collateral) if collateral == traits.collateral => return,
            Some(collateral) => traits.collateral = collateral,
            None => traits = Traits::NOTHING,
        }
        self.blocks[block].set(lane, &traits);
        self.sketches[block] = Sketch::of(&self.blocks[block]);
        let mut block = block;
        loop {
            let above = self.blocks[block].parent;
            if above == NONE {
                return;
            }
            let joined = self.blocks[block].joined();
            let lane = above as usize % WIDTH;
            block = above as usize / WIDTH;
            if self.blocks[block].get(lane) == joined {
                return;
            }
            self.blocks[block].set(lane, &joined);
            self.sketches[block] = Sketch::of(&self.blocks[block]);
        }
    }
}

/// Orders leaves so that those below one node are alike: by one field after the other into halves, the
/// first of which is the largest power of two below the whole.
fn arrange(leaves: &mut [Traits], turn: usize) {
    if leaves.len() <= WIDTH {
        return;
    }
    let differs = |turn: usize| {
        leaves
            .iter()
            .any(|leaf| leaf.key(turn) != leaves[0].key(turn))
    };
    // A field in which all are equal is passed over.
    let turn = (turn..turn + KEYS)
        .find(|turn| differs(*turn))
        .unwrap_or(turn);
    let half = leaves.len().next_power_of_two() / 2;
    leaves.select_nth_unstable_by_key(half, |leaf| (leaf.key(turn), leaf.number));
    let (low, high) = leaves.split_at_mut(half);
    arrange(low, turn + 1);
    arrange(high, turn + 1);
}
