//! Merkle trees: streaming, whole and proven roots agree.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloy_primitives::{B256, keccak256};
use outcry_protocol::merkle::{
    Builder, MerkleError, ceil_log2, depth_for_bytes, leaf, leaves_of, node, proof, root,
    root_from_proof, zero_subtrees,
};
use proptest::prelude::*;

/// The definition: all 2^depth leaves, hashed level by level.
fn by_hand(bytes: &[u8], depth: u32) -> B256 {
    let mut padded = bytes.to_vec();
    padded.resize(128 << depth, 0);
    let mut level: Vec<B256> = padded.chunks(128).map(keccak256).collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| node(&pair[0], &pair[1]))
            .collect();
    }
    level[0]
}

proptest! {
    #[test]
    fn roots_are_those_of_the_full_tree(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000), more in 0u32..3, cuts in proptest::collection::vec(1usize..400, 0..8),
    ) {
        let depth = depth_for_bytes(bytes.len() as u64) + more;
        let expected = by_hand(&bytes, depth);
        prop_assert_eq!(root(&bytes, depth).unwrap(), expected);
        let mut builder = Builder::new(depth).unwrap();
        let mut rest = &bytes[..];
        for cut in cuts {
            let (head, tail) = rest.split_at(cut.min(rest.len()));
            builder.write(head).unwrap();
            rest = tail;
        }
        builder.write(rest).unwrap();
        prop_assert_eq!(builder.finish(), expected);
    }

    #[test]
    fn every_leaf_proves_itself_and_nothing_else(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000), more in 0u32..3, at in any::<prop::sample::Index>(),
        flip in any::<prop::sample::Index>(),
    ) {
        let depth = depth_for_bytes(bytes.len() as u64) + more;
        let expected = root(&bytes, depth).unwrap();
        let leaves = leaves_of(&bytes);
        let index = at.index(1 << depth) as u64;
        let mut siblings = proof(&leaves, depth, index).unwrap();
        let hash = leaves.get(index as usize).copied().unwrap_or(leaf(&[]));
        prop_assert_eq!(root_from_proof(hash, index, &siblings), Some(expected));
        prop_assert_ne!(root_from_proof(keccak256(hash), index, &siblings), Some(expected));
        if !siblings.is_empty() {
            let which = flip.index(siblings.len());
            siblings[which].0[0] ^= 1;
            prop_assert_ne!(root_from_proof(hash, index, &siblings), Some(expected));
        }
    }
}

#[test]
fn trees_have_bounds() {
    assert_eq!(root(&[0; 129], 0), Err(MerkleError::TooManyLeaves(0)));
    assert_eq!(root(&[], 58), Err(MerkleError::TooDeep(58)));
    assert_eq!(
        proof(&[], 2, 4),
        Err(MerkleError::OutOfRange { index: 4, depth: 2 })
    );
    assert_eq!(root_from_proof(B256::ZERO, 2, &[B256::ZERO]), None);
    assert_eq!(depth_for_bytes(u64::MAX), 57);
    assert_eq!(
        (
            ceil_log2(0),
            ceil_log2(1),
            ceil_log2(2),
            ceil_log2(3),
            ceil_log2(u64::MAX)
        ),
        (0, 0, 1, 2, 64)
    );
    assert_eq!(zero_subtrees()[3], root(&[], 3).unwrap());
}
