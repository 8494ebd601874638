// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {DealStatus} from "../types/Calls.sol";

/// @title All that the market stores about a deal, in one word
/// @dev Low bits first: binding (192), clock (40), flags (8), status (8). The binding is what later
/// calls must match: the low bits of the deal's id or, once claimed, of the claim hash, which commits
/// to the id. The clock of an open deal is the last block of its rank window, zero without one; that
/// of a claimed deal is the second at which its challenge window began; that of a failed deal counts
/// the tasks of its range that later deals took over.
/// A vacant cell has status None and holds the next vacant cell of its pool; its mark keeps the word
/// from being zero, because writing a fresh word costs 17,100 gas more.
type DealWord is uint256;

using DealWords for DealWord global;

library DealWords {
    uint256 private constant CLOCK_SHIFT = 192;
    uint256 private constant FLAG_SHIFT = 232;
    uint256 private constant STATUS_SHIFT = 240;
    uint256 private constant CLOCK_MASK = type(uint40).max;

    uint256 internal constant ACCEPTED = 1 << FLAG_SHIFT;
    uint256 internal constant CHALLENGED = 2 << FLAG_SHIFT;
    uint256 internal constant DEMANDED = 4 << FLAG_SHIFT;
    uint256 internal constant DEMAND_USED = 8 << FLAG_SHIFT;

    uint256 internal constant AUDITED = 32 << FLAG_SHIFT;
    uint256 internal constant AUDIT_USED = 64 << FLAG_SHIFT;

    uint256 private constant VACANT = 16 << FLAG_SHIFT;

    /// @dev `lastBlock` is that of the rank window, or zero.
    function opened(bytes32 dealId, uint256 lastBlock) internal pure returns (DealWord) {
        return _bound(DealStatus.Open, dealId, lastBlock);
    }

    function claimed(bytes32 claimHash, uint256 now_) internal pure returns (DealWord) {
        return _bound(DealStatus.Claimed, claimHash, now_);
    }

    function failed(bytes32 dealId, uint256 retaken) internal pure returns (DealWord) {
        return _bound(DealStatus.Failed, dealId, retaken);
    }

    function vacant(uint256 nextCell) internal pure returns (DealWord) {
        return DealWord.wrap(VACANT | nextCell);
    }

    /// @dev Of a vacant cell.
    function next(DealWord word) internal pure returns (uint256) {
        return uint32(DealWord.unwrap(word));
    }

    /// @dev Whether the word is that of this deal or claim, in this status.
    function isBound(DealWord word, DealStatus expected, bytes32 hash) internal pure returns (bool) {
        return word.status() == expected && word.binding() == uint192(uint256(hash));
    }

    function equals(DealWord word, DealWord other) internal pure returns (bool) {
        return DealWord.unwrap(word) == DealWord.unwrap(other);
    }

    function status(DealWord word) internal pure returns (DealStatus) {
        return DealStatus(DealWord.unwrap(word) >> STATUS_SHIFT);
    }

    function clock(DealWord word) internal pure returns (uint256) {
        return DealWord.unwrap(word) >> CLOCK_SHIFT & CLOCK_MASK;
    }

    function binding(DealWord word) internal pure returns (uint192) {
        return uint192(DealWord.unwrap(word));
    }

    function has(DealWord word, uint256 flag) internal pure returns (bool) {
        return DealWord.unwrap(word) & flag != 0;
    }

    function with(DealWord word, uint256 flag) internal pure returns (DealWord) {
        return DealWord.wrap(DealWord.unwrap(word) | flag);
    }

    function without(DealWord word, uint256 flag) internal pure returns (DealWord) {
        return DealWord.wrap(DealWord.unwrap(word) & ~flag);
    }

    function withClock(DealWord word, uint256 clock_) internal pure returns (DealWord) {
        return DealWord.wrap(
            DealWord.unwrap(word) & ~(CLOCK_MASK << CLOCK_SHIFT) | (clock_ & CLOCK_MASK) << CLOCK_SHIFT
        );
    }

    function _bound(DealStatus status_, bytes32 hash, uint256 clock_) private pure returns (DealWord) {
        return DealWord.wrap(
            uint192(uint256(hash)) | (clock_ & CLOCK_MASK) << CLOCK_SHIFT | uint256(status_) << STATUS_SHIFT
        );
    }
}
