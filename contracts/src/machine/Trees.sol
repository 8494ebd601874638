// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {Merkle} from "../market/Merkle.sol";

/// @dev An opened leaf in memory: what is needed to change it and to find the tree's new root.
///
///     0x00 next    another leaf, for whoever keeps a list; 0 at its end
///     0x20 index   position in the tree
///     0x40 depth   of the tree
///     0x60 path    where in calldata its siblings stand
///     0x80 data    128 bytes
///     0x100        32 spare bytes, so that a word may be read and rewritten anywhere in the data
type Leaf is uint256;

using Leaves for Leaf global;

/// @title Trees over 128-byte leaves, and their opened leaves
/// @dev `verifier/MACHINE.md`, section 1.
library Trees {
    /// @dev The depth of a tree with `count` leaves.
    function levels(uint256 count) internal pure returns (uint256 depth) {
        assembly ("memory-safe") {
            depth := sub(256, clz(sub(count, gt(count, 0))))
        }
    }

    /// @dev The depth of a tree over `count` slots.
    function levelsOfSlots(uint256 count) internal pure returns (uint256) {
        unchecked {
            return levels((count + 15) >> 4);
        }
    }

    /// @dev The depth of a tree over `count` bytes.
    function levelsOfBytes(uint256 count) internal pure returns (uint256) {
        unchecked {
            return levels((count + 127) >> 7);
        }
    }

    function node(bytes32 left, bytes32 right) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            mstore(0x00, left)
            mstore(0x20, right)
            hash := keccak256(0x00, 0x40)
        }
    }

    /// @dev The root of a tree of zeros.
    function zeros(uint256 depth) internal pure returns (bytes32) {
        return extend(Merkle.ZERO_LEAF, 0, depth);
    }

    /// @dev The root of a tree that grows from depth `from` to depth `to` by zeros on its right.
    function extend(bytes32 root, uint256 from, uint256 to) internal pure returns (bytes32) {
        bytes32 zero = Merkle.ZERO_LEAF;
        unchecked {
            for (uint256 level = 0; level < to; ++level) {
                if (level >= from) root = node(root, zero);
                zero = node(zero, zero);
            }
        }
        return root;
    }

    /// @dev The root above a hash whose siblings stand at `path` in calldata, from the leaf's up.
    function climb(bytes32 hash, uint256 index, uint256 depth, uint256 path) internal pure returns (bytes32 root) {
        assembly ("memory-safe") {
            for { let end := add(path, shl(5, depth)) } lt(path, end) { path := add(path, 0x20) } {
                let side := shl(5, and(index, 1))
                mstore(side, hash)
                mstore(xor(side, 0x20), calldataload(path))
                hash := keccak256(0x00, 0x40)
                index := shr(1, index)
            }
            root := hash
        }
    }
}

library Leaves {
    uint256 internal constant DATA = 0x80;
    uint256 private constant SIZE = 0x120;

    /// @dev Takes a leaf and its path from calldata, unchecked.
    function take(uint256 cursor, uint256 depth, uint256 index) internal pure returns (Leaf leaf) {
        assembly ("memory-safe") {
            leaf := mload(0x40)
            mstore(0x40, add(leaf, SIZE))
            mstore(leaf, 0)
            mstore(add(leaf, 0x20), index)
            mstore(add(leaf, 0x40), depth)
            mstore(add(leaf, 0x60), add(cursor, 0x80))
            calldatacopy(add(leaf, DATA), cursor, 0x80)
        }
    }

    /// @dev A leaf of no tree, with four times the same word.
    function filled(uint256 word_) internal pure returns (Leaf leaf) {
        leaf = take(0, 0, 0);
        unchecked {
            for (uint256 i = 0; i < 4; ++i) {
                leaf.setWord(i, word_);
            }
        }
    }

    /// @dev The root of the leaf's tree, with the leaf's data as they are now.
    function root(Leaf leaf) internal pure returns (bytes32) {
        bytes32 hash;
        uint256 index;
        uint256 depth;
        uint256 path;
        assembly ("memory-safe") {
            index := mload(add(leaf, 0x20))
            depth := mload(add(leaf, 0x40))
            path := mload(add(leaf, 0x60))
            hash := keccak256(add(leaf, DATA), 0x80)
        }
        return Trees.climb(hash, index, depth, path);
    }

    function position(Leaf leaf) internal pure returns (uint256 index) {
        assembly ("memory-safe") {
            index := mload(add(leaf, 0x20))
        }
    }

    function next(Leaf leaf) internal pure returns (Leaf next_) {
        assembly ("memory-safe") {
            next_ := mload(leaf)
        }
    }

    function setNext(Leaf leaf, Leaf next_) internal pure {
        assembly ("memory-safe") {
            mstore(leaf, next_)
        }
    }

    /// @dev Where the byte at `address_` (of which the low 7 bits count) stands in memory.
    function pointerTo(Leaf leaf, uint256 address_) internal pure returns (uint256 pointer) {
        unchecked {
            return Leaf.unwrap(leaf) + DATA + (address_ & 127);
        }
    }

    /// @dev `width` (1 to 32) bytes at `address_`, first byte on top.
    function read(Leaf leaf, uint256 address_, uint256 width) internal pure returns (uint256 value) {
        uint256 pointer = leaf.pointerTo(address_);
        assembly ("memory-safe") {
            value := shr(sub(256, shl(3, width)), mload(pointer))
        }
    }

    /// @dev Writes what `read` reads; `value` has no more than `width` bytes.
    function write(Leaf leaf, uint256 address_, uint256 width, uint256 value) internal pure {
        uint256 pointer = leaf.pointerTo(address_);
        assembly ("memory-safe") {
            let bits := shl(3, width)
            let kept := shr(bits, shl(bits, mload(pointer)))
            mstore(pointer, or(shl(sub(256, bits), value), kept))
        }
    }

    /// @dev Slot `slot_` of the tree, if it is in this leaf.
    function slot(Leaf leaf, uint256 slot_) internal pure returns (uint256) {
        return leaf.read(slot_ << 3, 8);
    }

    function setSlot(Leaf leaf, uint256 slot_, uint256 value) internal pure {
        leaf.write(slot_ << 3, 8, value);
    }

    /// @dev One of the leaf's four words.
    function word(Leaf leaf, uint256 which) internal pure returns (uint256) {
        return leaf.read(which << 5, 32);
    }

    function setWord(Leaf leaf, uint256 which, uint256 value) internal pure {
        leaf.write(which << 5, 32, value);
    }
}
