// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Alternative, AuctionOrder, Backing, Entry, Fill} from "../../src/types/Auctions.sol";

/// @dev Random orders, and a valid result for them: at random prices buyers are served in turn from
/// what sellers of single units offer.
abstract contract Clearer {
    struct Clearing {
        uint64[] prices;
        /// Units of each pool that sellers still offer, and that were bought.
        uint256[] left;
        uint256[] bought;
        uint32[8][] lots;
    }

    function _roll(uint256 seed, uint256 i, uint256 what, uint256 range) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, i, what))) % range;
    }

    function _sellerAccount(uint256 i) internal view virtual returns (address) {
        return address(uint160(0x5e11e40 + i));
    }

    function _buyerAccount(uint256 i) internal view virtual returns (address) {
        return address(uint160(0xb14e40 + i));
    }

    /// @dev 3 to 10 orders: curves, new capacity, buyers of one or two pools with one or two
    /// alternatives.
    function _randomOrders(uint256 seed, uint16 pools) internal view returns (AuctionOrder[] memory all) {
        all = new AuctionOrder[](3 + seed % 8);
        for (uint256 i = 0; i < all.length; ++i) {
            all[i] = _randomOrder(seed, i, pools);
        }
    }

    function _randomOrder(uint256 seed, uint256 i, uint16 pools) private view returns (AuctionOrder memory order) {
        order.salt = bytes32(uint256(keccak256(abi.encode(seed, i))));
        order.lots = uint32(1 + _roll(seed, i, 0, 20));
        uint256 kind = _roll(seed, i, 1, 5);
        uint16 pool = uint16(_roll(seed, i, 2, pools));
        if (kind < 2) {
            order.account = _sellerAccount(i);
            order.backing = kind == 0 ? Backing.Curve : Backing.Capacity;
            order.alternatives = new Alternative[](1);
            order.alternatives[0].limit = -int64(uint64(_roll(seed, i, 3, 60)));
            order.alternatives[0].entries = new Entry[](1);
            order.alternatives[0].entries[0] = Entry(pool, -1);
            return order;
        }
        order.account = _buyerAccount(i);
        order.alternatives = new Alternative[](kind == 2 ? 2 : 1);
        for (uint256 a = 0; a < order.alternatives.length; ++a) {
            bool both = kind == 4 && pool + 1 < pools;
            order.alternatives[a].limit = int64(uint64(_roll(seed, i, 4 + a, 300)));
            order.alternatives[a].entries = new Entry[](both ? 2 : 1);
            order.alternatives[a].entries[0] =
                Entry(uint16((pool + a) % pools), int32(uint32(1 + _roll(seed, i, 6 + a, 3))));
            if (both) order.alternatives[a].entries[1] = Entry(pool + 1, int32(uint32(1 + _roll(seed, i, 8 + a, 3))));
        }
    }

    function _clear(uint256 seed, AuctionOrder[] memory all, uint16 pools)
        internal
        pure
        returns (uint64[] memory, Fill[] memory)
    {
        Clearing memory c;
        c.prices = new uint64[](pools);
        (c.left, c.bought, c.lots) = (new uint256[](pools), new uint256[](pools), new uint32[8][](all.length));
        for (uint256 p = 0; p < pools; ++p) {
            c.prices[p] = uint64(_roll(seed, p, 20, 4) == 0 ? 0 : _roll(seed, p, 21, 90));
        }
        for (uint256 i = 0; i < all.length; ++i) {
            if (_sells(all[i])) c.left[all[i].alternatives[0].entries[0].pool] += _offered(all[i], c.prices);
        }
        for (uint256 i = 0; i < all.length; ++i) {
            if (!_sells(all[i])) _serve(c, all[i], i);
        }
        for (uint256 i = 0; i < all.length; ++i) {
            if (!_sells(all[i])) continue;
            uint256 pool = all[i].alternatives[0].entries[0].pool;
            uint256 units = _offered(all[i], c.prices);
            // What is given away may be more than what is taken.
            if (units > c.bought[pool] && (c.prices[pool] != 0 || seed & 1 == 0)) units = c.bought[pool];
            c.bought[pool] -= units < c.bought[pool] ? units : c.bought[pool];
            c.lots[i][0] = uint32(units);
        }
        return (c.prices, _fillsOf(c.lots));
    }

    function _fillsOf(uint32[8][] memory lots) private pure returns (Fill[] memory fills) {
        fills = new Fill[](lots.length * 8);
        uint256 count;
        for (uint256 i = 0; i < lots.length; ++i) {
            for (uint256 a = 0; a < 8; ++a) {
                if (lots[i][a] != 0) fills[count++] = Fill(uint16(i), uint8(a), lots[i][a]);
            }
        }
        assembly ("memory-safe") {
            mstore(fills, count)
        }
    }

    /// @dev As many lots as there are units for.
    function _serve(Clearing memory c, AuctionOrder memory order, uint256 i) private pure {
        uint256 lots = order.lots;
        for (uint256 a = 0; a < order.alternatives.length && lots != 0; ++a) {
            if (!_agrees(order, Fill(uint16(i), uint8(a), 1), c.prices)) continue;
            Entry[] memory entries = order.alternatives[a].entries;
            // The first of two alternatives gets half.
            uint256 most = a + 1 < order.alternatives.length ? (lots + 1) / 2 : lots;
            for (uint256 j = 0; j < entries.length; ++j) {
                uint256 reach = c.left[entries[j].pool] / uint32(entries[j].quantity);
                if (reach < most) most = reach;
            }
            for (uint256 j = 0; j < entries.length; ++j) {
                uint256 units = most * uint32(entries[j].quantity);
                c.left[entries[j].pool] -= units;
                c.bought[entries[j].pool] += units;
            }
            c.lots[i][a] = uint32(most);
            lots -= most;
        }
    }

    function _sells(AuctionOrder memory order) private pure returns (bool) {
        return order.alternatives[0].entries[0].quantity < 0;
    }

    /// @dev Units that a seller of single units gives at these prices.
    function _offered(AuctionOrder memory order, uint64[] memory prices) private pure returns (uint256 lots) {
        for (uint256 n = order.lots; n != 0; --n) {
            if (_agrees(order, Fill(0, 0, uint32(n)), prices)) return n;
        }
    }

    /// @dev Whether a fill keeps the limit of its alternative, or the asks of its units.
    function _agrees(AuctionOrder memory order, Fill memory fill, uint64[] memory prices) internal pure returns (bool) {
        Alternative memory alternative = order.alternatives[fill.alternative];
        int256 pays;
        for (uint256 j = 0; j < alternative.entries.length; ++j) {
            pays += int256(alternative.entries[j].quantity) * int256(uint256(prices[alternative.entries[j].pool]));
        }
        if (order.backing != Backing.Curve) return pays <= alternative.limit;
        for (uint256 unit = 0; unit < fill.lots; ++unit) {
            if (_askOf(order, unit) > prices[alternative.entries[0].pool]) return false;
        }
        return true;
    }

    /// @dev What a unit of a curve asks for.
    function _askOf(AuctionOrder memory order, uint256 unit) internal pure returns (uint256) {
        uint256 eighth = 7;
        while (uint256(order.lots) * eighth / 8 > unit) --eighth;
        uint256[8] memory table = [uint256(1000), 1000, 1050, 1100, 1200, 1350, 1600, 2000];
        uint256 cost = uint256(int256(-order.alternatives[0].limit));
        return (cost * table[eighth] + 999) / 1000;
    }
}
