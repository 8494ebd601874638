// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Alternative, AuctionOrder, Backing, Entry, Fill, Pool} from "../types/Auctions.sol";

/// @dev What fills come to.
struct Sums {
    /// Units sold less units bought, one word for each pool.
    int256[] surplus;
    int256 welfare;
    uint256 volume;
    /// Base units that the fills pay less what they earn.
    int256 paid;
}

/// @title What an order says: its bounds, its deposit, and what a fill of it comes to
/// @dev Stated in Rust in `protocol`. With the bounds of `isBounded`, of prices below 2^36 and of fills
/// of at most the order's lots, no product leaves 85 bits, so that no sum of what one group and
/// calldata hold leaves 256.
library OrderTerms {
    uint256 internal constant LOTS_MAX = 1 << 20;
    uint256 private constant ALTERNATIVES_MAX = 8;
    uint256 private constant ENTRIES_MAX = 8;
    int256 private constant QUANTITY_END = 1 << 22;
    int256 private constant LIMIT_MAX = 1 << 62;
    int256 private constant COST_END = 1 << 35;
    uint256 private constant STEPS = 8;
    /// What the steps of a curve ask for, in thousandths of its cost, 16 bits each, the first step in
    /// the highest.
    uint256 private constant ASK_TABLE = 0x03e8_03e8_041a_044c_04b0_0546_0640_07d0;
    uint256 private constant ASK_SCALE = 1000;

    /// @dev Whether an order keeps the bounds of `types/Auctions.sol`.
    function isBounded(AuctionOrder calldata order, uint256 pools) internal pure returns (bool) {
        uint256 alternatives = order.alternatives.length;
        if (order.lots == 0 || order.lots > LOTS_MAX || alternatives == 0 || alternatives > ALTERNATIVES_MAX) {
            return false;
        }
        for (uint256 i = 0; i < alternatives; ++i) {
            Alternative calldata alternative = order.alternatives[i];
            Entry[] calldata entries = alternative.entries;
            if (alternative.limit > LIMIT_MAX || alternative.limit < -LIMIT_MAX) return false;
            if (entries.length == 0 || entries.length > ENTRIES_MAX) return false;
            uint256 next;
            for (uint256 j = 0; j < entries.length; ++j) {
                Entry calldata entry = entries[j];
                if (entry.pool < next || entry.pool >= pools) return false;
                next = uint256(entry.pool) + 1;
                int256 quantity = entry.quantity;
                if (quantity == 0 || quantity >= QUANTITY_END || quantity <= -QUANTITY_END) return false;
            }
        }
        if (order.backing != Backing.Curve) return true;
        Alternative calldata only = order.alternatives[0];
        return alternatives == 1 && only.entries.length == 1 && only.entries[0].quantity == -1 && only.limit <= 0
            && only.limit > -COST_END;
    }

    /// @dev As `IAuction.depositFor`, but for the least deposit. Needs a bounded order.
    function depositOf(AuctionOrder calldata order, Pool[] storage pools) internal view returns (uint256) {
        uint256 pays;
        uint256 backs;
        bool isNew = order.backing != Backing.Holdings;
        for (uint256 i = 0; i < order.alternatives.length; ++i) {
            Alternative calldata alternative = order.alternatives[i];
            int256 limit = alternative.limit;
            if (limit > 0) pays = _max(pays, uint256(limit));
            else backs = _max(backs, uint256(-limit));
            if (!isNew) continue;
            uint256 units;
            for (uint256 j = 0; j < alternative.entries.length; ++j) {
                Entry calldata entry = alternative.entries[j];
                if (entry.quantity < 0) units += uint256(-int256(entry.quantity)) * pools[entry.pool].unitDeposit;
            }
            backs = _max(backs, units);
        }
        return order.lots * (pays + backs);
    }

    /// @dev The most units of each pool that an order can sell.
    function mostSold(AuctionOrder calldata order, uint256 pools) internal pure returns (uint256[] memory units) {
        units = new uint256[](pools);
        for (uint256 i = 0; i < order.alternatives.length; ++i) {
            Entry[] calldata entries = order.alternatives[i].entries;
            for (uint256 j = 0; j < entries.length; ++j) {
                Entry calldata entry = entries[j];
                if (entry.quantity >= 0) continue;
                units[entry.pool] = _max(units[entry.pool], uint256(-int256(entry.quantity)) * order.lots);
            }
        }
    }

    /// @dev Adds a fill to the sums, or says that the order did not offer it at these prices. The
    /// fill's lots are at most the order's; one price for each pool.
    function add(Sums memory sums, AuctionOrder calldata order, Fill calldata fill, uint64[] calldata prices)
        internal
        pure
        returns (bool offered)
    {
        if (fill.alternative >= order.alternatives.length) return false;
        Alternative calldata alternative = order.alternatives[fill.alternative];
        uint256 lots = fill.lots;
        int256 pays;
        for (uint256 i = 0; i < alternative.entries.length; ++i) {
            Entry calldata entry = alternative.entries[i];
            int256 quantity = entry.quantity;
            int256 price = int256(uint256(prices[entry.pool]));
            pays += quantity * price;
            sums.surplus[entry.pool] -= quantity * int256(lots);
            if (quantity < 0) sums.volume += uint256(-quantity * price) * lots;
        }
        int256 limit = alternative.limit;
        int256 worth = limit * int256(lots);
        if (order.backing == Backing.Curve) {
            (uint256 asked, uint256 dearest) = _asks(uint256(-limit), order.lots, lots);
            (limit, worth) = (-int256(dearest), -int256(asked));
        }
        sums.welfare += worth;
        sums.paid += pays * int256(lots);
        return pays <= limit;
    }

    /// @dev What the first `used` of a curve's units ask for together, and the last of them alone.
    function _asks(uint256 cost, uint256 lots, uint256 used) private pure returns (uint256 all, uint256 last) {
        uint256 from;
        for (uint256 k = 0; from < used; ++k) {
            uint256 to = lots * (k + 1) / STEPS;
            if (to > used) to = used;
            if (to == from) continue;
            last = (cost * (ASK_TABLE >> (16 * (STEPS - 1 - k)) & 0xffff) + (ASK_SCALE - 1)) / ASK_SCALE;
            all += (to - from) * last;
            from = to;
        }
    }

    function _max(uint256 a, uint256 b) private pure returns (uint256) {
        return a > b ? a : b;
    }
}
