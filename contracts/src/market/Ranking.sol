// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Deal} from "../types/Orders.sol";
import {DealWord} from "./DealWord.sol";
import {Money} from "./Money.sol";
import {BidWords} from "./OrderWords.sol";

/// @title How offers rank, and how long a deal can be replaced by a better one
/// @dev Stated in Rust in `protocol/src/ranking.rs`; `protocol/vectors/ranking.json` binds the two.
library Ranking {
    /// Longest rank window, blocks.
    uint256 internal constant WINDOW_MAX = 32;
    /// Most seconds that a block of a window counts, so that deadlines can start behind the window.
    uint256 internal constant BLOCK_S = 12;
    /// A better offer's score is at least a hundredth below.
    uint256 private constant PARTS = 100;
    uint256 private constant WINDOW_SHIFT = 248;

    /// @dev As it stands in a deal's packed resources. Needs a window below 2^8.
    function pack(uint256 window_) internal pure returns (uint256) {
        return window_ << WINDOW_SHIFT;
    }

    /// @dev Blocks; 0 for a deal that can not be replaced.
    function window(Deal memory deal) internal pure returns (uint256) {
        return deal.resources >> WINDOW_SHIFT;
    }

    /// @dev The second at which the window is over at the latest, and from which the deal's times count.
    function startsBy(Deal memory deal) internal pure returns (uint256) {
        unchecked {
            return deal.openedAt + window(deal) * BLOCK_S;
        }
    }

    /// @dev Whether an open deal can still be replaced. `word` is its own: its clock is the window's last
    /// block.
    function isOpen(Deal memory deal, DealWord word) internal view returns (bool) {
        return block.number <= word.clock() && block.timestamp <= startsBy(deal);
    }

    /// @dev Expected cost, and value of time times the expected finish of each task, over the tasks of a
    /// deal: they run one after another. Needs a speed above zero, and at most 2^11 tasks.
    function score(BidWords memory bid, uint256 cost, uint256 speed, uint256 count) internal pure returns (uint256) {
        unchecked {
            // 2^139, and 2^128 x 2^64 x 2^22: below 2^215.
            uint256 taskSeconds = (uint256(bid.cyclesExpected) + speed - 1) / speed;
            return cost + bid.valueOfTime * taskSeconds * (count * (count + 1) / 2);
        }
    }

    /// @dev Whether a score below 2^215 is at least 1% better than another. Nothing is better than zero.
    function isBetter(uint256 score_, uint256 than) internal pure returns (bool) {
        unchecked {
            return than != 0 && score_ * PARTS <= than * (PARTS - 1);
        }
    }

    /// @dev What the slot of a displaced deal would have earned meanwhile, at most 1% of what the deal was
    /// expected to cost. Needs an open window.
    function idleFee(Deal memory deal, uint256 cost, uint256 speed) internal view returns (uint256 fee) {
        unchecked {
            // 2^128 x 2^64 x 2^9
            fee = deal.unitPrice * speed * (block.timestamp - deal.openedAt) / Money.CYCLES_PER_UNIT;
            uint256 most = cost / PARTS;
            if (fee > most) fee = most;
        }
    }

    /// @dev What the tasks of a deal are expected to cost.
    function expectedCost(BidWords memory bid, Deal memory deal) internal pure returns (uint256) {
        unchecked {
            return deal.taskCount * Money.taskPrice(deal.startFee, deal.unitPrice, bid.priceCap, bid.cyclesExpected);
        }
    }
}
