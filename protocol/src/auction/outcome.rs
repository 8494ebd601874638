//! What is posted as the result of a round, and the tree over it.

use alloy_primitives::{B256, Keccak256, U256, keccak256};
use alloy_sol_types::SolValue;

use super::{Fill, FillGroup, GroupProof};
use crate::merkle;

/// Prices, and the accepted lots in groups with running sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Base units for a unit of each pool.
    pub prices: Vec<u64>,
    /// All fills, ascending by (order, alternative), those of an order in one group.
    pub groups: Vec<FillGroup>,
}

/// Where an order stands in a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It has fills, in the group with this index.
    In(usize),
    /// It has none, which these groups show: one, or two neighbours.
    Outside(Vec<usize>),
}

impl Outcome {
    /// Leaf of a group: `keccak256(abi.encode(group))`.
    #[must_use]
    pub fn leaf(group: &FillGroup) -> B256 {
        keccak256(group.abi_encode())
    }

    fn leaves(&self) -> Vec<B256> {
        self.groups.iter().map(Self::leaf).collect()
    }

    fn depth(&self) -> u32 {
        merkle::ceil_log2(self.groups.len() as u64)
    }

    /// Merkle root over the groups' leaves; missing leaves are those of [`merkle`].
    #[must_use]
    pub fn root(&self) -> B256 {
        // Cannot fail: a tree of this depth has room for all groups.
        merkle::root_of_leaves(&self.leaves(), self.depth()).unwrap_or_default()
    }

    /// `keccak256(abi.encode(prices))`.
    #[must_use]
    pub fn prices_hash(&self) -> B256 {
        keccak256(self.prices.abi_encode())
    }

    /// What the last group claims: accepted limits less used asks.
    #[must_use]
    pub fn welfare(&self) -> i128 {
        self.groups.last().map_or(0, |group| group.welfare)
    }

    /// What the last group claims: price times units sold, summed over pools.
    #[must_use]
    pub fn volume(&self) -> u128 {
        self.groups.last().map_or(0, |group| group.volume)
    }

    /// Whether the contract prefers this result to another: more welfare, or the same fills at less volume.
    #[must_use]
    pub fn improves_on(&self, other: &Self) -> bool {
        self.welfare() > other.welfare()
            || (self.welfare() == other.welfare()
                && self.volume() < other.volume()
                && self.fills_hash() == other.fills_hash())
    }

    /// Hash of all fills, however they are grouped: keccak256 over one word for each, `order << 40 |
    /// alternative << 32 | lots`.
    #[must_use]
    pub fn fills_hash(&self) -> B256 {
        let mut hash = Keccak256::new();
        for fill in self.groups.iter().flat_map(|group| &group.fills) {
            let word = u64::from(fill.order) << 40
                | u64::from(fill.alternative) << 32
                | u64::from(fill.lots);
            hash.update(B256::from(U256::from(word)));
        }
        hash.finalize()
    }

    /// A group with its path to the root; `None` if there is no such group.
    #[must_use]
    pub fn prove(&self, index: usize) -> Option<GroupProof> {
        let group = self.groups.get(index)?.clone();
        let path = merkle::proof(&self.leaves(), self.depth(), index as u64).ok()?;
        Some(GroupProof {
            group,
            index: u16::try_from(index).ok()?,
            path,
        })
    }

    /// In which group an order has its fills, or which groups show that it has none: the first if it
    /// comes before all fills, the last if after all, one between whose fills it lies, or two
    /// neighbours.
    #[must_use]
    pub fn place(&self, order: u16) -> Place {
        let last_of = |group: &FillGroup| group.fills.last().map_or(0, |fill| fill.order);
        let at = self.groups.partition_point(|group| last_of(group) < order);
        let Some(group) = self.groups.get(at) else {
            return Place::Outside(at.checked_sub(1).into_iter().collect());
        };
        if group.fills.iter().any(|fill| fill.order == order) {
            return Place::In(at);
        }
        let is_between = group.fills.first().is_some_and(|first| first.order < order);
        Place::Outside(match at.checked_sub(1) {
            Some(before) if !is_between => vec![before, at],
            _ => vec![at],
        })
    }

    /// The groups that [`Outcome::place`] names, with their paths.
    #[must_use]
    pub fn prove_place(&self, order: u16) -> Vec<GroupProof> {
        let groups = match self.place(order) {
            Place::In(group) => vec![group],
            Place::Outside(groups) => groups,
        };
        groups
            .into_iter()
            .filter_map(|group| self.prove(group))
            .collect()
    }

    /// The fills of an order, ascending by alternative.
    #[must_use]
    pub fn fills_of(&self, order: u16) -> &[Fill] {
        let Place::In(group) = self.place(order) else {
            return &[];
        };
        fills_of(&self.groups[group], order)
    }
}

/// The fills of an order in a group.
#[must_use]
pub fn fills_of(group: &FillGroup, order: u16) -> &[Fill] {
    let from = group.fills.partition_point(|fill| fill.order < order);
    let to = group.fills.partition_point(|fill| fill.order <= order);
    &group.fills[from..to]
}

/// Whether a group has a proof under this root, in a tree of so many groups.
#[must_use]
pub fn is_proved(proof: &GroupProof, root: B256, groups: u16) -> bool {
    proof.index < groups
        && proof.path.len() as u32 == merkle::ceil_log2(groups.into())
        && merkle::root_from_proof(Outcome::leaf(&proof.group), proof.index.into(), &proof.path)
            == Some(root)
}
