//! What tasks of usual sizes cost at least below the low nodes of the trees, so that a search sees at once
//! which of them can't have the best offer.
//!
//! A node's least prices are rarely those of one offer: who has the least start fee may charge the most
//! for cycles. For a few *references*, tasks of so many cycles with so much memory, a low node also
//! knows the least cost of any offer below it. Between such costs lie those of all other tasks: the
//! least cost of a task, as a function of its cycles, is concave (each offer's is a line), and more
//! memory never costs less. So with a reference of W cycles and memory M, a task of w <= W cycles and
//! memory m >= M costs at least
//!
//! ```text
//! w/W * cost(W, M) + (1 - w/W) * least start fee + w * (m - M) * least price of memory
//! ```
//!
//! which is never less than what the least prices add up to.

use super::sketch::{scaled, shifted};
use super::{Block, CYCLE, LAYER_MAX, MEMORY, NONE, START, WIDTH};
use crate::fit::Demand;

/// Most demands that references are taken from.
const SAMPLES: usize = 1024;
/// Most amounts of memory of references.
const MEMORIES: usize = 8;
/// Most numbers of cycles for each.
const WEIGHTS: usize = 4;
/// Most references.
const REFERENCES: usize = MEMORIES * WEIGHTS;

/// A task that many bids are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reference {
    /// MiB.
    pub(super) memory: u32,
    /// As [`Demand::cycle_weight`].
    pub(super) weight: u64,
}

/// Least costs of a reference below the lanes of a block: `costs * 2^scale`, rounded down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) costs: &'a [u32; WIDTH],
    pub(super) scale: i8,
}

/// The references, and what they cost.
#[derive(Debug, Default)]
pub(super) struct References {
    /// By memory, then weight.
    all: Vec<Reference>,
    /// One row for each reference, for one block after the other that has rows.
    costs: Vec<[u32; WIDTH]>,
    scales: Vec<i8>,
}

impl References {
    /// References that many of some demands are like. Which they are changes how soon a search ends, and
    /// nothing of what it finds.
    pub(super) fn like<'a>(demands: impl ExactSizeIterator<Item = &'a Demand>) -> Self {
        let every = demands.len().div_ceil(SAMPLES).max(1);
        let mut samples: Vec<(u32, u64)> = demands
            .step_by(every)
            .map(|demand| (demand.resources.memoryMib, demand.cycle_weight))
            .filter(|(_, weight)| *weight > 0)
            .collect();
        samples.sort_unstable();
        let mut memories: Vec<u32> = (0..MEMORIES)
            .filter_map(|part| Some(samples.get(part * samples.len() / MEMORIES)?.0))
            .collect();
        memories.dedup();
        let mut all = Vec::new();
        for (at, memory) in memories.iter().enumerate() {
            let next = memories.get(at + 1).copied().unwrap_or(u32::MAX);
            let mut weights: Vec<u64> = samples
                .iter()
                .filter(|(has, _)| (*memory..next).contains(has))
                .map(|(_, weight)| *weight)
                .collect();
            weights.sort_unstable();
            let mut ends: Vec<u64> = (1..=WEIGHTS)
                .filter_map(|part| weights.get((part * weights.len() / WEIGHTS).checked_sub(1)?))
                .copied()
                .collect();
            ends.dedup();
            all.extend(ends.into_iter().map(|weight| Reference {
                memory: *memory,
                weight,
            }));
        }
        Self {
            all,
            ..Self::default()
        }
    }

    /// The reference that a demand is most like: of the largest memory that is no larger, the least
    /// weight that is no smaller.
    pub(super) fn nearest(&self, demand: &Demand) -> Option<(usize, Reference)> {
        let memory = demand.resources.memoryMib;
        let end = self.all.partition_point(|task| task.memory <= memory);
        let memory = self.all[..end].last()?.memory;
        let start = self.all[..end].partition_point(|task| task.memory < memory);
        let weights = &self.all[start..end];
        let at = start + weights.partition_point(|task| task.weight < demand.cycle_weight);
        (at < end).then(|| (at, self.all[at]))
    }

    /// The least costs of a reference below a block's lanes.
    pub(super) fn row(&self, rows: u32, reference: usize) -> Row<'_> {
        let at = rows as usize + reference;
        Row {
            costs: &self.costs[at],
            scale: self.scales[at],
        }
    }

    /// Makes the rows of the lowest two layers of nodes; `blocks` has children after their parents.
    pub(super) fn fill(&mut self, blocks: &mut [Block]) {
        self.costs.clear();
        self.scales.clear();
        if self.all.is_empty() {
            return;
        }
        for at in (0..blocks.len()).rev() {
            let layer = blocks[at].layer;
            if layer == 0 || layer > LAYER_MAX {
                continue;
            }
            let rows = self.costs.len();
            let mut least = [(); WIDTH].map(|()| [u128::MAX; REFERENCES]);
            for (lane, least) in least.iter_mut().enumerate() {
                self.least(blocks, at, lane, least);
            }
            for reference in 0..self.all.len() {
                let costs = least.map(|costs| match costs[reference] {
                    u128::MAX => 0,
                    cost => cost,
                });
                let (costs, scale) = scaled(costs);
                self.costs.push(costs);
                self.scales.push(scale);
            }
            blocks[at].rows = rows as u32;
        }
    }

    /// The least costs of all references below a lane of a block that has rows, `u128::MAX` if nothing
    /// there can open a deal.
    fn least(&self, blocks: &[Block], block: usize, lane: usize, least: &mut [u128; REFERENCES]) {
        let above = &blocks[block];
        if lane >= above.count as usize {
            return;
        }
        let below = &blocks[above.children as usize + lane];
        for lane in (0..below.count as usize).filter(|lane| below.speed[*lane] != 0) {
            if below.rows == NONE {
                self.add_offer(below, lane, least);
                continue;
            }
            for (reference, least) in (0..self.all.len()).zip(least.iter_mut()) {
                let row = self.row(below.rows, reference);
                *least = (*least).min(shifted(row.costs[lane].into(), -i32::from(row.scale)));
            }
        }
    }

    /// Lowers costs to those of an offer, rounded down.
    fn add_offer(&self, block: &Block, lane: usize, least: &mut [u128; REFERENCES]) {
        let price = |which: usize| block.prices[which][lane];
        let fee = price(START);
        let mut last = None;
        let mut unit_price = 0;
        for (task, least) in self.all.iter().zip(least) {
            if last != Some(task.memory) {
                let memory = price(MEMORY).saturating_mul(task.memory.into());
                unit_price = price(CYCLE).saturating_add(memory);
                last = Some(task.memory);
            }
            let weight = u128::from(task.weight);
            let work = match u64::try_from(unit_price) {
                Ok(price) => (u128::from(price) * weight) >> 64,
                Err(_) => (unit_price >> 64).saturating_mul(weight),
            };
            *least = (*least).min(fee.saturating_add(work));
        }
    }

    /// Notes that an offer of a block can open no deal any more. Costs only rise by that.
    pub(super) fn drop_from(&mut self, blocks: &[Block], leaves: usize) {
        let mut below = leaves;
        loop {
            let above = blocks[below].parent;
            if above == NONE {
                return;
            }
            let (block, lane) = (above as usize / WIDTH, above as usize % WIDTH);
            let rows = blocks[block].rows as usize;
            if rows == NONE as usize {
                return;
            }
            let mut least = [u128::MAX; REFERENCES];
            self.least(blocks, block, lane, &mut least);
            let rows = rows..rows + self.all.len();
            let costs = self.costs[rows.clone()].iter_mut();
            for ((costs, scale), cost) in costs.zip(&self.scales[rows]).zip(least) {
                // What outgrows its row is said to cost the most that the row can say.
                let cost = shifted(cost, (*scale).into()).min(i32::MAX as u128);
                costs[lane] = cost as u32;
            }
            below = block;
        }
    }
}
