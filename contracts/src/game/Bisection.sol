// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Part} from "../types/Disputes.sol";

/// @title Lists of 16 parts of a trace, and the root that stands for one
/// @dev Leaf i is keccak256(state before part i, state at its end), so that one path shows both ends
/// of a part. Stated in Rust in `verifier/src/game/rules.rs`; `verifier/vectors/game.json` binds the two.
library Bisection {
    uint256 internal constant PARTS = 16;
    uint256 private constant DEPTH = 4;
    /// Steps per cycle at most, as a power of two: `verifier/MACHINE.md`, section 6.
    uint256 private constant STEPS_PER_CYCLE_BITS = 10;

    /// @dev How many sections lead from the trace of a task to a step: the least n for which 16^n
    /// steps are more than a task with this limit can take, ceil((10 + bits of the limit) / 4).
    function sections(uint256 cycleLimit) internal pure returns (uint256) {
        unchecked {
            uint256 bits = STEPS_PER_CYCLE_BITS;
            for (; cycleLimit != 0; cycleLimit >>= 1) ++bits;
            return (bits + 3) / 4;
        }
    }

    /// @dev The root over the parts that begin at `before` and end at `ends`.
    function root(bytes32 before, bytes32[PARTS] calldata ends) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let leaves := mload(0x40)
            for { let i := 0 } lt(i, 0x200) { i := add(i, 0x20) } {
                mstore(0x00, before)
                before := calldataload(add(ends, i))
                mstore(0x20, before)
                mstore(add(leaves, i), keccak256(0x00, 0x40))
            }
            for { let length := 0x100 } gt(length, 0x10) { length := shr(1, length) } {
                for { let i := 0 } lt(i, length) { i := add(i, 0x20) } {
                    mstore(add(leaves, i), keccak256(add(leaves, shl(1, i)), 0x40))
                }
            }
            hash := mload(leaves)
        }
    }

    /// @dev The root over 16 parts of which the first leads from `before` to `end` and the others stay
    /// there: what the claim of a halted state asserts.
    function rootOfClaim(bytes32 before, bytes32 end) internal pure returns (bytes32 hash) {
        hash = _pair(before, end);
        bytes32 rest = _pair(end, end);
        for (uint256 level = 0; level < DEPTH; ++level) {
            hash = _pair(hash, rest);
            rest = _pair(rest, rest);
        }
    }

    /// @dev The root to which a part's path leads. Needs an index below PARTS.
    function rootOf(Part calldata part) internal pure returns (bytes32 hash) {
        hash = _pair(part.before, part.end);
        uint256 index = part.index;
        for (uint256 level = 0; level < DEPTH; ++level) {
            hash = index & 1 == 0 ? _pair(hash, part.path[level]) : _pair(part.path[level], hash);
            index >>= 1;
        }
    }

    function _pair(bytes32 left, bytes32 right) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            mstore(0x00, left)
            mstore(0x20, right)
            hash := keccak256(0x00, 0x40)
        }
    }
}
