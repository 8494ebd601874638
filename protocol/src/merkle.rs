//! Binary Merkle trees over 128-byte leaves.
//!
//! `leaf = keccak256(128 bytes)` and `node = keccak256(left ‖ right)` (64 bytes): the lengths differ,
//! so a leaf is never a node. A tree of depth d has 2^d leaves; leaves that are not given are 128
//! zero bytes. 128 bytes are one keccak permutation. Vectors: `merkle.json`.

use alloy_primitives::{B256, keccak256};

use crate::limits::MERKLE_DEPTH_MAX;

/// Bytes of one leaf.
pub const LEAF_BYTES: usize = 128;

/// `keccak256(left ‖ right)`.
#[must_use]
pub fn node(left: &B256, right: &B256) -> B256 {
    let mut bytes = [0u8; 64];
    bytes[..32].copy_from_slice(left.as_slice());
    bytes[32..].copy_from_slice(right.as_slice());
    keccak256(bytes)
}

/// Hash of one leaf given by at most 128 bytes; the rest is zero.
///
/// # Panics
/// If `bytes` is longer than a leaf; callers cut their data into leaves.
#[must_use]
pub fn leaf(bytes: &[u8]) -> B256 {
    assert!(bytes.len() <= LEAF_BYTES, "a leaf has at most 128 bytes");
    let mut padded = [0u8; LEAF_BYTES];
    padded[..bytes.len()].copy_from_slice(bytes);
    keccak256(padded)
}

/// Smallest d with 2^d >= `count`; 0 for 0 and 1.
#[must_use]
pub const fn ceil_log2(count: u64) -> u32 {
    if count <= 1 {
        0
    } else {
        64 - (count - 1).leading_zeros()
    }
}

/// Depth of the tree over `length` bytes: `ceil_log2(max(1, ceil(length / 128)))`.
#[must_use]
pub const fn depth_for_bytes(length: u64) -> u32 {
    ceil_log2(length.div_ceil(LEAF_BYTES as u64))
}

/// Roots of all-zero subtrees: element d is the root of a tree of depth d whose leaves are zero.
#[must_use]
pub fn zero_subtrees() -> &'static [B256; MERKLE_DEPTH_MAX as usize + 1] {
    static ZEROS: std::sync::OnceLock<[B256; MERKLE_DEPTH_MAX as usize + 1]> =
        std::sync::OnceLock::new();
    ZEROS.get_or_init(|| {
        let mut all = [leaf(&[]); MERKLE_DEPTH_MAX as usize + 1];
        for depth in 1..all.len() {
            all[depth] = node(&all[depth - 1], &all[depth - 1]);
        }
        all
    })
}

/// Why a tree could not be built or a proof was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MerkleError {
    /// The depth exceeds [`MERKLE_DEPTH_MAX`].
    #[error("a tree of depth {0} is deeper than the limit {MERKLE_DEPTH_MAX}")]
    TooDeep(u32),
    /// More leaves than the depth allows.
    #[error("more leaves than a tree of depth {0} has")]
    TooManyLeaves(u32),
    /// The index lies outside the tree.
    #[error("leaf {index} lies outside a tree of depth {depth}")]
    OutOfRange {
        /// The leaf asked for.
        index: u64,
        /// The tree's depth.
        depth: u32,
    },
}

/// Builds a root leaf by leaf in memory proportional to the depth.
///
/// ```
/// use outcry_protocol::merkle::{Builder, root};
/// let mut builder = Builder::new(2).unwrap();
/// builder.write(b"the first bytes, ").unwrap();
/// builder.write(&[7; 300]).unwrap();
/// let mut all = b"the first bytes, ".to_vec();
/// all.extend([7; 300]);
/// assert_eq!(builder.finish(), root(&all, 2).unwrap());
/// ```
#[derive(Debug, Clone)]
pub struct Builder {
    depth: u32,
    /// `pending[d]`: root of a complete subtree of depth d that waits for its right sibling. The
    /// leaf count's bit d says whether it is there.
    pending: [B256; MERKLE_DEPTH_MAX as usize + 1],
    leaves: u64,
    buffer: [u8; LEAF_BYTES],
    buffered: usize,
}

impl Builder {
    /// An empty tree of the given depth.
    ///
    /// # Errors
    /// [`MerkleError::TooDeep`].
    pub fn new(depth: u32) -> Result<Self, MerkleError> {
        if depth > MERKLE_DEPTH_MAX {
            return Err(MerkleError::TooDeep(depth));
        }
        Ok(Self::empty(depth))
    }

    /// An empty tree for `length` bytes, of depth [`depth_for_bytes`].
    #[must_use]
    pub fn for_bytes(length: u64) -> Self {
        // 2^64 bytes are 2^57 leaves, and MERKLE_DEPTH_MAX is 57.
        Self::empty(depth_for_bytes(length))
    }

    fn empty(depth: u32) -> Self {
        assert!(depth <= MERKLE_DEPTH_MAX);
        Self {
            depth,
            pending: [B256::ZERO; MERKLE_DEPTH_MAX as usize + 1],
            leaves: 0,
            buffer: [0; LEAF_BYTES],
            buffered: 0,
        }
    }

    /// Appends bytes; full leaves are hashed at once.
    ///
    /// # Errors
    /// [`MerkleError::TooManyLeaves`] if the bytes exceed the tree.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), MerkleError> {
        while !bytes.is_empty() {
            let take = bytes.len().min(LEAF_BYTES - self.buffered);
            self.buffer[self.buffered..self.buffered + take].copy_from_slice(&bytes[..take]);
            self.buffered += take;
            bytes = &bytes[take..];
            if self.buffered == LEAF_BYTES {
                self.buffered = 0;
                self.push(keccak256(self.buffer))?;
            }
        }
        Ok(())
    }

    /// Appends a leaf that is already hashed. Not to be mixed with an unfinished [`Builder::write`].
    ///
    /// # Errors
    /// [`MerkleError::TooManyLeaves`].
    pub fn push(&mut self, leaf_hash: B256) -> Result<(), MerkleError> {
        if self.leaves >> self.depth != 0 {
            return Err(MerkleError::TooManyLeaves(self.depth));
        }
        let (mut hash, mut level) = (leaf_hash, 0);
        while self.leaves >> level & 1 == 1 {
            hash = node(&self.pending[level], &hash);
            level += 1;
        }
        self.pending[level] = hash;
        self.leaves += 1;
        Ok(())
    }

    /// The root; a last partial leaf is padded with zero bytes.
    #[must_use]
    pub fn finish(mut self) -> B256 {
        if self.buffered > 0 && self.leaves >> self.depth == 0 {
            let last = leaf(&self.buffer[..self.buffered]);
            // Cannot fail: the line above checked that there is room.
            let _ = self.push(last);
        }
        let zeros = zero_subtrees();
        if self.leaves == 0 {
            return zeros[self.depth as usize];
        }
        if self.leaves >> self.depth != 0 {
            return self.pending[self.depth as usize];
        }
        // Fold from the lowest pending subtree upwards, zero subtrees to its right.
        let lowest = self.leaves.trailing_zeros() as usize;
        let mut hash = self.pending[lowest];
        let levels = zeros.iter().enumerate().take(self.depth as usize);
        for (level, zero) in levels.skip(lowest) {
            hash = if level > lowest && self.leaves >> level & 1 == 1 {
                node(&self.pending[level], &hash)
            } else {
                node(&hash, zero)
            };
        }
        hash
    }
}

/// Root of `bytes` cut into leaves, at a given depth.
///
/// # Errors
/// [`MerkleError`] if the bytes do not fit.
pub fn root(bytes: &[u8], depth: u32) -> Result<B256, MerkleError> {
    let mut builder = Builder::new(depth)?;
    if bytes.len().div_ceil(LEAF_BYTES) as u128 > 1u128 << depth {
        return Err(MerkleError::TooManyLeaves(depth));
    }
    builder.write(bytes)?;
    Ok(builder.finish())
}

/// Root over leaves that are already hashed; missing ones are zero leaves.
///
/// # Errors
/// [`MerkleError`] if there are more leaves than the depth allows.
pub fn root_of_leaves(leaves: &[B256], depth: u32) -> Result<B256, MerkleError> {
    let mut builder = Builder::new(depth)?;
    for hash in leaves {
        builder.push(*hash)?;
    }
    Ok(builder.finish())
}

/// The siblings from leaf `index` up to below the root.
///
/// # Errors
/// [`MerkleError`] if the leaves do not fit or the index lies outside.
pub fn proof(leaves: &[B256], depth: u32, index: u64) -> Result<Vec<B256>, MerkleError> {
    if depth > MERKLE_DEPTH_MAX {
        return Err(MerkleError::TooDeep(depth));
    }
    if leaves.len() as u128 > 1u128 << depth {
        return Err(MerkleError::TooManyLeaves(depth));
    }
    if index >> depth != 0 {
        return Err(MerkleError::OutOfRange { index, depth });
    }
    let zeros = zero_subtrees();
    let mut level = leaves.to_vec();
    let mut siblings = Vec::with_capacity(depth as usize);
    for (height, zero) in zeros.iter().enumerate().take(depth as usize) {
        let at = |i: u64| level.get(i as usize).copied().unwrap_or(*zero);
        siblings.push(at((index >> height) ^ 1));
        level = (0..level.len().div_ceil(2) as u64)
            .map(|i| node(&at(2 * i), &at(2 * i + 1)))
            .collect();
    }
    Ok(siblings)
}

/// Cuts bytes into leaf hashes, for [`proof`].
#[must_use]
pub fn leaves_of(bytes: &[u8]) -> Vec<B256> {
    bytes.chunks(LEAF_BYTES).map(leaf).collect()
}

/// The root that `leaf_hash` at `index` has under these siblings; `None` if the index does not fit
/// their number. Compare it with the root that is claimed.
#[must_use]
pub fn root_from_proof(leaf_hash: B256, index: u64, siblings: &[B256]) -> Option<B256> {
    if siblings.len() > MERKLE_DEPTH_MAX as usize || index >> siblings.len() != 0 {
        return None;
    }
    let mut hash = leaf_hash;
    for (height, sibling) in siblings.iter().enumerate() {
        hash = if index >> height & 1 == 0 {
            node(&hash, sibling)
        } else {
            node(sibling, &hash)
        };
    }
    Some(hash)
}
