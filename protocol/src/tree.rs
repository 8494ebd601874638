//! Tournament trees over the offers of an epoch: the best offer for a bid without a look at all.
//!
//! There is one tree for each [`TreeKey`], since a bid must name these fields exactly. A node keeps of
//! the offers below it that can still open a deal the least of each price, the most of everything
//! else, all attribute bits together, and the least number: an offer that is at least as good for
//! every bid as each of them. So what that offer lacks they all lack, and its score bounds theirs. The
//! search (in [`crate::matching`]) goes on with whatever has the least bound.
//!
//! Eight children stand together, field by field, so that one look at a node's children reads few
//! cache lines.

use std::cmp::Reverse;
use std::ops::Range;

use alloy_primitives::Address;

use crate::fit::Demand;
use crate::money::{self, Tariff};
use crate::types::Offer;

mod reference;
mod sketch;

use reference::References;
use sketch::{Aim, Sketch};

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
/// The highest layer of which the references' costs are known.
const LAYER_MAX: u8 = 2;
/// Most nodes and offers below a child of a block of that layer.
const LOW_LOOKS_MAX: u32 = (WIDTH + WIDTH * WIDTH) as u32;

/// What a bid must name exactly: one tree for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TreeKey {
    pub(crate) token: Address,
    pub(crate) machine: u32,
    pub(crate) region: u8,
    pub(crate) gpu_class: u16,
}

impl TreeKey {
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

    /// A field by which a tree is ordered. Those that part offers most for the usual bid come first and
    /// more than once: the price of cycles is most of a score. Memory and collateral set none, but
    /// every bid asks for them, and a node that joins the one of some offers with the other of others
    /// promises what none of them holds.
    fn key(&self, turn: usize) -> u128 {
        match turn % KEYS {
            0 | 3 => {
                let memory = self.prices[MEMORY].saturating_mul(USUAL_MIB);
                self.prices[CYCLE].saturating_add(memory)
            }
            1 | 4 => self.prices[CYCLE],
            2 => self.speed.into(),
            5 => self.memory.into(),
            6 => self.prices[START],
            _ => self.collateral,
        }
    }
}

/// Fields of [`Traits::key`].
const KEYS: usize = 8;
/// Memory of a usual task, MiB.
const USUAL_MIB: u128 = 512;

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
    /// Blocks from here to the leaves: 0 if these are leaves.
    layer: u8,
    /// Whether its parent is in a block of [`LAYER_MAX`].
    is_counted: bool,
    /// The first of its rows of references, if it has any.
    rows: u32,
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
        layer: u8::MAX,
        is_counted: false,
        rows: NONE,
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

    /// Whether one has what a bid asks for, prices apart.
    fn suits(&self, lane: usize, demand: &Demand) -> bool {
        let wants = &demand.resources;
        let mut words = demand.attributes.as_limbs().iter().zip(&self.attributes);
        words.all(|(word, has)| word & !has[lane] == 0)
            && self.memory[lane] >= wants.memoryMib
            && self.disk[lane] >= wants.diskMib
            && self.egress[lane] >= wants.egressMib
            && self.gpus[lane] >= wants.gpuCount.into()
            && self.speed[lane] >= demand.speed_min
    }

    /// Score of a first task; `None` if anything does not fit.
    fn fits(&self, lane: usize, demand: &Demand) -> Option<u128> {
        let suits = self.suits(lane, demand);
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
    references: References,
    /// Of each tree, ascending.
    classes: Vec<TreeKey>,
    /// Place of each offer, by its number.
    leaves: Vec<u32>,
}

impl Forest {
    /// The trees of offers whose numbers are below `numbers`.
    pub(crate) fn new(mut offers: Vec<(TreeKey, Traits)>, numbers: usize) -> Self {
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
        forest.sketch();
        forest
    }

    fn sketch(&mut self) {
        self.sketches = self.blocks.iter().map(Sketch::of).collect();
    }

    /// Prepares for many demands: searches for single offers then look at less, and find the same.
    pub(crate) fn expect<'a>(&mut self, demands: impl ExactSizeIterator<Item = &'a Demand>) {
        self.references = References::like(demands);
        self.references.fill(&mut self.blocks);
        self.sketch();
    }

    /// Fills a block with the nodes above some leaves, and makes the blocks below.
    fn grow(&mut self, block: usize, leaves: &[Traits]) -> Traits {
        // Leaves below each child: the least power of the width with which the children suffice.
        let (mut share, mut layer) = (1, 0);
        while share * WIDTH < leaves.len() {
            share *= WIDTH;
            layer += 1;
        }
        self.blocks[block].layer = layer;
        let count = leaves.len().div_ceil(share);
        self.blocks[block].count = count as u32;
        if share > 1 {
            let children = self.blocks.len();
            self.blocks[block].children = children as u32;
            self.blocks.resize(self.blocks.len() + count, Block::EMPTY);
            for (lane, below) in leaves.chunks(share).enumerate() {
                self.blocks[children + lane].parent = place(block as u32, lane);
                self.blocks[children + lane].is_counted = layer == LAYER_MAX;
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

    /// The trees of a bid's token and machine, block by block.
    fn suiting(&self, demand: &Demand) -> impl Iterator<Item = Range<usize>> {
        let key = (demand.token, demand.machine);
        let of = |class: &TreeKey| (class.token, class.machine);
        let start = self.classes.partition_point(|class| of(class) < key);
        let count = self.classes[start..].partition_point(|class| of(class) == key);
        let end = start + count;
        (start / WIDTH..end.div_ceil(WIDTH))
            .map(move |block| start.max(block * WIDTH)..end.min((block + 1) * WIDTH))
    }

    /// Looks at the roots of the trees whose class suits; says how many there are.
    pub(crate) fn roots(&self, demand: &Demand, mut found: impl FnMut(Found)) -> u32 {
        let mut looks = 0;
        for trees in self.suiting(demand) {
            let block = trees.start / WIDTH;
            let suited = self.blocks[block].suited(demand);
            for tree in trees {
                if self.classes[tree].suits_place(demand) {
                    looks += 1;
                    if suited[tree % WIDTH] {
                        self.report(block as u32, tree % WIDTH, demand, &mut found);
                    }
                }
            }
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
    /// certain for a search that always goes on with the least bound; and how many this one took.
    /// Depth first and by sketches, which is several times faster.
    pub(crate) fn best(
        &self,
        demand: &Demand,
        looks_max: u32,
        stack: &mut Vec<Ahead>,
        may_serve: impl Fn(u32) -> bool,
    ) -> Option<(Option<u32>, u32)> {
        let aim = Aim::of(demand, &self.references);
        self.search(&aim, demand, looks_max, stack, &may_serve)
            .or_else(|| {
                // Without references every look counts as it is.
                let aim = aim.without_reference()?;
                self.search(&aim, demand, looks_max, stack, &may_serve)
            })
    }

    fn search(
        &self,
        aim: &Aim,
        demand: &Demand,
        looks_max: u32,
        stack: &mut Vec<Ahead>,
        may_serve: &impl Fn(u32) -> bool,
    ) -> Option<(Option<u32>, u32)> {
        stack.clear();
        let mut looks = 0;
        for trees in self.suiting(demand) {
            let suits = |tree: &usize| self.classes[*tree].suits_place(demand);
            looks += trees.clone().filter(suits).count() as u32;
            let sketch = &self.sketches[trees.start / WIDTH];
            sketch.bounds(aim, None, u64::MAX, |lane, bound| {
                let tree = trees.start / WIDTH * WIDTH + lane;
                if trees.contains(&tree) && suits(&tree) {
                    stack.push(Ahead {
                        bound,
                        number: sketch.number[lane],
                        children: sketch.children + lane as u32,
                    });
                }
                u64::MAX
            });
        }
        stack.sort_unstable_by_key(|ahead| Reverse((ahead.bound, ahead.number)));
        // What a search by the least bounds, which are lower than those of references, may look at.
        let mut looks_most = looks;
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
            looks_most += sketch.charge(aim);
            if looks_most > looks_max {
                return None;
            }
            let from = stack.len();
            let block = ahead.children as usize;
            let row = aim.reference().filter(|_| sketch.rows != NONE);
            let row = row.map(|reference| self.references.row(sketch.rows, reference));
            if row.is_some() && sketch.is_above_low() {
                sketch.bounds(aim, None, least, |_, _| {
                    looks_most += LOW_LOOKS_MAX;
                    least
                });
            }
            sketch.bounds(aim, row, least, |lane, bound| {
                let number = sketch.number[lane];
                if sketch.is_of_leaves() {
                    if let Some(score) = self.blocks[block].fits(lane, demand)
                        && (score, number) < best
                        && may_serve(number)
                    {
                        best = (score, number);
                        least = aim.units(score);
                    }
                    return least;
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
                least
            });
        }
        (looks_most <= looks_max).then_some(((best.1 != NONE).then_some(best.1), looks))
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
        if collateral.is_none() {
            self.references.drop_from(&self.blocks, block);
        }
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
