// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Merkle trees over keccak leaves
/// @dev leaf = keccak256(128 bytes), node = keccak256(left, right): the lengths differ, so that a
/// leaf can never pass for a node. Missing leaves are 128 zero bytes.
/// Stated in Rust in `protocol`; `protocol/vectors/*.json` binds the two.
library Merkle {
    /// keccak256 of 128 zero bytes.
    bytes32 internal constant ZERO_LEAF = 0x012893657d8eb2efad4de0a91bcd0e39ad9837745dec3ea923737ea803fc8e3d;

    /// @dev The depth of a tree with `count` leaves: ceil(log2(count)). Needs `count` > 0.
    function depth(uint256 count) internal pure returns (uint256 levels) {
        unchecked {
            --count;
            while (count != 0) {
                ++levels;
                count >>= 1;
            }
        }
    }

    /// @dev The root over `hashes`, which it overwrites, together with the word behind them. Needs
    /// at least one hash.
    function rootInPlace(bytes32[] memory hashes) internal pure returns (bytes32 root) {
        assembly ("memory-safe") {
            let base := add(hashes, 0x20)
            let zero := ZERO_LEAF
            for { let n := mload(hashes) } gt(n, 1) { n := shr(1, add(n, 1)) } {
                if and(n, 1) { mstore(add(base, shl(5, n)), zero) }
                for { let i := 0 } lt(i, n) { i := add(i, 2) } {
                    mstore(add(base, shl(4, i)), keccak256(add(base, shl(5, i)), 0x40))
                }
                mstore(0x00, zero)
                mstore(0x20, zero)
                zero := keccak256(0x00, 0x40)
            }
            root := mload(base)
        }
    }

    /// @dev The root to which a hash at `position` leads along its siblings, from the leaf up.
    function rootOf(bytes32 hash, uint256 position, bytes32[] calldata path) internal pure returns (bytes32) {
        for (uint256 level = 0; level < path.length; ++level) {
            bytes32 sibling = path[level];
            hash = position & 1 == 0 ? _node(hash, sibling) : _node(sibling, hash);
            position >>= 1;
        }
        return hash;
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            mstore(0x00, left)
            mstore(0x20, right)
            hash := keccak256(0x00, 0x40)
        }
    }
}
