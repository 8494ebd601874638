//! Merkle trees that keep their nodes, so that a new root costs what changed.

use alloy_primitives::{B256, keccak256};
use outcry_protocol::merkle::{node, zero_subtrees};

use super::transition::{LEAF_BYTES, LEAF_SLOTS};

/// Bytes of a leaf.
pub(super) const BYTES: usize = LEAF_BYTES as usize;
/// Slots of a leaf.
pub(super) const SLOTS: usize = LEAF_SLOTS as usize;

/// The smallest depth at which `leaves` leaves fit.
#[must_use]
pub const fn levels(leaves: u64) -> u8 {
    outcry_protocol::merkle::ceil_log2(leaves) as u8
}

/// A tree of fixed depth over leaves of 128 bytes; leaves behind the last that was given are zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    depth: u8,
    /// Nodes by level, leaves first. A level lacks what lies behind its last node: zero subtrees.
    nodes: Vec<Vec<B256>>,
}

impl Tree {
    /// A tree whose leaves are all zero.
    #[must_use]
    pub fn zero(depth: u8) -> Self {
        Self {
            depth,
            nodes: vec![Vec::new(); usize::from(depth) + 1],
        }
    }

    /// A tree over leaf hashes.
    #[must_use]
    pub fn over(depth: u8, leaves: Vec<B256>) -> Self {
        let mut tree = Self::zero(depth);
        for level in 0..usize::from(depth) {
            let below: &[B256] = if level == 0 {
                &leaves
            } else {
                &tree.nodes[level]
            };
            let zero = &zero_subtrees()[level];
            let above = below
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] if left == zero && right == zero => zero_subtrees()[level + 1],
                    [left, right] => node(left, right),
                    [left] if left == zero => zero_subtrees()[level + 1],
                    // Chunks of two have one or two elements.
                    [left, ..] => node(left, zero),
                    [] => *zero,
                })
                .collect();
            tree.nodes[level + 1] = above;
        }
        tree.nodes[0] = leaves;
        tree
    }

    /// A tree over bytes, the last leaf padded with zeros.
    #[must_use]
    pub fn over_bytes(depth: u8, bytes: &[u8]) -> Self {
        Self::over(depth, bytes.chunks(BYTES).map(leaf_of_bytes).collect())
    }

    /// A tree over slots, 16 in a leaf.
    #[must_use]
    pub fn over_slots(depth: u8, slots: &[u64]) -> Self {
        Self::over(depth, slots.chunks(SLOTS).map(leaf_of_slots).collect())
    }

    /// Leaves that were given.
    pub(super) fn leaves(&self) -> usize {
        self.nodes[0].len()
    }

    /// All nodes, level by level from the leaves up: what [`Tree::take`] takes.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.nodes.iter().flatten().map(|node| &node.0)
    }

    /// A tree of a depth over so many leaves from its nodes, which are cut off the front of `bytes`;
    /// `None` if there are too few.
    pub(super) fn take(depth: u8, leaves: usize, bytes: &mut &[u8]) -> Option<Self> {
        let mut tree = Self::zero(depth);
        let mut count = leaves;
        for level in &mut tree.nodes {
            let (nodes, rest) = bytes.split_at_checked(32 * count)?;
            *bytes = rest;
            *level = nodes.chunks_exact(32).map(B256::from_slice).collect();
            count = count.div_ceil(2);
        }
        Some(tree)
    }

    /// The tree's depth.
    #[must_use]
    pub fn depth(&self) -> u8 {
        self.depth
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> B256 {
        let level = usize::from(self.depth);
        self.nodes[level]
            .first()
            .copied()
            .unwrap_or(zero_subtrees()[level])
    }

    /// Siblings of a leaf's path, from the leaf up.
    pub fn path(&self, leaf: u64) -> impl Iterator<Item = B256> + '_ {
        (0..usize::from(self.depth)).map(move |level| {
            let sibling = (leaf >> level ^ 1) as usize;
            self.nodes[level]
                .get(sibling)
                .copied()
                .unwrap_or(zero_subtrees()[level])
        })
    }

    /// The same leaves in a deeper tree: zero subtrees are added on the right.
    #[must_use]
    pub fn deepened(mut self, depth: u8) -> Self {
        while self.depth < depth {
            let level = usize::from(self.depth);
            let above = self.nodes[level]
                .first()
                .map(|root| node(root, &zero_subtrees()[level]));
            self.nodes.push(above.into_iter().collect());
            self.depth += 1;
        }
        self
    }

    /// Replaces leaves, given in ascending order, and all nodes above them.
    pub fn update(&mut self, leaves: impl IntoIterator<Item = (u64, B256)>) {
        let mut changed: Vec<u64> = Vec::new();
        for (leaf, hash) in leaves {
            self.put(0, leaf as usize, hash);
            changed.push(leaf);
        }
        for level in 0..usize::from(self.depth) {
            changed.iter_mut().for_each(|at| *at /= 2);
            changed.dedup();
            let zero = zero_subtrees()[level];
            for at in &changed {
                let at = *at as usize;
                let below = &self.nodes[level];
                let child = |at: usize| below.get(at).copied().unwrap_or(zero);
                let hash = node(&child(2 * at), &child(2 * at + 1));
                self.put(level + 1, at, hash);
            }
        }
    }

    /// Forgets leaves from `leaves` on; says whether there were any. The last leaf that stays has to
    /// be updated afterwards, if there is one.
    pub(super) fn shorten(&mut self, leaves: usize) -> bool {
        let had = self.nodes[0].len() > leaves;
        if had {
            for (level, nodes) in self.nodes.iter_mut().enumerate() {
                nodes.truncate(leaves.div_ceil(1 << level));
            }
        }
        had
    }

    fn put(&mut self, level: usize, at: usize, hash: B256) {
        let nodes = &mut self.nodes[level];
        if nodes.len() <= at {
            nodes.resize(at + 1, zero_subtrees()[level]);
        }
        nodes[at] = hash;
    }
}

/// Hash of a leaf given by at most 128 bytes.
#[must_use]
pub fn leaf_of_bytes(bytes: &[u8]) -> B256 {
    if bytes.iter().all(|byte| *byte == 0) {
        return zero_subtrees()[0];
    }
    match <&[u8; BYTES]>::try_from(bytes) {
        Ok(whole) => keccak256(whole),
        Err(_) => outcry_protocol::merkle::leaf(bytes),
    }
}

/// Hash of a leaf given by at most 16 slots.
#[must_use]
pub fn leaf_of_slots(slots: &[u64]) -> B256 {
    if slots.iter().all(|slot| *slot == 0) {
        return zero_subtrees()[0];
    }
    keccak256(slot_bytes(slots))
}

/// A leaf of slots as bytes.
#[must_use]
pub fn slot_bytes(slots: &[u64]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (chunk, slot) in bytes.chunks_exact_mut(8).zip(slots) {
        chunk.copy_from_slice(&slot.to_be_bytes());
    }
    bytes
}

/// Root of a path: what a leaf's hash at `index` leads to along `siblings`.
#[must_use]
pub fn root_of(leaf: B256, index: u64, siblings: &[B256]) -> B256 {
    siblings
        .iter()
        .enumerate()
        .fold(leaf, |hash, (level, sibling)| {
            if index >> level & 1 == 0 {
                node(&hash, sibling)
            } else {
                node(sibling, &hash)
            }
        })
}

/// Root over slots at a depth, without keeping nodes.
#[must_use]
pub fn root_of_slots(depth: u8, slots: &[u64]) -> B256 {
    let mut hashes: Vec<B256> = slots.chunks(SLOTS).map(leaf_of_slots).collect();
    fold(depth, &mut hashes)
}

/// Root over leaf hashes at a depth; overwrites them.
pub(super) fn fold(depth: u8, hashes: &mut Vec<B256>) -> B256 {
    let zeros = zero_subtrees();
    for level in 0..usize::from(depth) {
        if hashes.is_empty() {
            return zeros[usize::from(depth)];
        }
        let count = hashes.len().div_ceil(2);
        for at in 0..count {
            let right = hashes.get(2 * at + 1).unwrap_or(&zeros[level]);
            hashes[at] = if hashes[2 * at] == zeros[level] && *right == zeros[level] {
                zeros[level + 1]
            } else {
                node(&hashes[2 * at], right)
            };
        }
        hashes.truncate(count);
    }
    hashes.first().copied().unwrap_or(zeros[usize::from(depth)])
}

/// Which leaves changed since the last commitment.
#[derive(Debug, Clone, Default)]
pub(super) struct Dirty {
    words: Vec<u64>,
}

impl Dirty {
    /// Room for `leaves` leaves, none of them marked anew.
    pub(super) fn resize(&mut self, leaves: usize) {
        self.words.resize(leaves.div_ceil(64), 0);
    }

    #[inline(always)]
    pub(super) fn mark(&mut self, leaf: usize) {
        if let Some(word) = self.words.get_mut(leaf / 64) {
            *word |= 1 << (leaf % 64);
        }
    }

    pub(super) fn mark_all(&mut self) {
        self.words.fill(u64::MAX);
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(super) fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    pub(super) fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Marked leaves below `leaves` in ascending order.
    pub(super) fn iter(&self, leaves: usize) -> impl Iterator<Item = usize> + '_ {
        self.words
            .iter()
            .enumerate()
            .filter(|(_, word)| **word != 0)
            .flat_map(|(at, word)| {
                let mut word = *word;
                std::iter::from_fn(move || {
                    (word != 0).then(|| {
                        let bit = word.trailing_zeros() as usize;
                        word &= word - 1;
                        64 * at + bit
                    })
                })
            })
            .take_while(move |leaf| *leaf < leaves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_updated_tree_is_the_tree_over_the_new_leaves() {
        for count in [1_u64, 2, 3, 5, 16, 33] {
            let depth = levels(count) + 2;
            let hash = |n: u64| leaf_of_slots(&[n]);
            let mut tree = Tree::over(depth, (0..count).map(hash).collect());
            let changed: Vec<(u64, B256)> = (0..count + 2)
                .step_by(3)
                .map(|n| (n, hash(n + 100)))
                .collect();
            let mut leaves: Vec<B256> = (0..count).map(hash).collect();
            leaves.resize(count as usize + 2, zero_subtrees()[0]);
            for (at, new) in &changed {
                leaves[*at as usize] = *new;
            }
            tree.update(changed);
            let whole = Tree::over(depth, leaves.clone());
            assert_eq!(tree.root(), whole.root());
            assert_eq!(tree.root(), fold(depth, &mut leaves.clone()));
            for (at, leaf) in leaves.iter().enumerate() {
                let path: Vec<B256> = tree.path(at as u64).collect();
                assert_eq!(root_of(*leaf, at as u64, &path), tree.root());
            }
        }
    }

    #[test]
    fn a_deepened_tree_has_zeros_on_the_right() {
        let leaves: Vec<B256> = (1..4).map(|n| leaf_of_slots(&[n])).collect();
        let deepened = Tree::over(2, leaves.clone()).deepened(5);
        assert_eq!(deepened.root(), Tree::over(5, leaves).root());
        assert_eq!(Tree::zero(1).deepened(4).root(), zero_subtrees()[4]);
    }

    #[test]
    fn marked_leaves_come_in_order() {
        let mut dirty = Dirty::default();
        dirty.resize(200);
        for leaf in [199, 0, 64, 63, 130] {
            dirty.mark(leaf);
        }
        assert_eq!(dirty.iter(200).collect::<Vec<_>>(), [0, 63, 64, 130, 199]);
        assert_eq!(dirty.iter(130).collect::<Vec<_>>(), [0, 63, 64]);
    }
}
