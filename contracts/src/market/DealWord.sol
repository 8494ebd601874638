// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {DealStatus} from "../types/Calls.sol";

/// @title All that the market stores about a deal, in one word
/// @dev Low bits first: claim hash (192, truncated), clock (40), flags (8), status (8).
/// The clock of a claimed deal is the second at which its challenge window began; that of a failed
/// deal counts the tasks of its range that later deals took over.
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

    DealWord internal constant NONE = DealWord.wrap(0);
    DealWord internal constant OPEN = DealWord.wrap(uint256(DealStatus.Open) << STATUS_SHIFT);
    DealWord internal constant FAILED = DealWord.wrap(uint256(DealStatus.Failed) << STATUS_SHIFT);

    function claimed(bytes32 claimHash, uint256 now_) internal pure returns (DealWord) {
        return DealWord.wrap(
            uint192(uint256(claimHash)) | (now_ & CLOCK_MASK) << CLOCK_SHIFT | uint256(DealStatus.Claimed) << STATUS_SHIFT
        );
    }

    function status(DealWord word) internal pure returns (DealStatus) {
        return DealStatus(DealWord.unwrap(word) >> STATUS_SHIFT);
    }

    function clock(DealWord word) internal pure returns (uint256) {
        return DealWord.unwrap(word) >> CLOCK_SHIFT & CLOCK_MASK;
    }

    function claimBits(DealWord word) internal pure returns (uint192) {
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
}
