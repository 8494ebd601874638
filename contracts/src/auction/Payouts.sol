// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAuction} from "../interfaces/IAuction.sol";
import {
    AuctionOrder,
    Backing,
    Fill,
    GroupProof,
    Obligation,
    Phase,
    ResultRecord,
    RoundRecord,
    StreamRecord
} from "../types/Auctions.sol";
import {OrderTerms, Sums} from "./OrderTerms.sol";
import {Results} from "./Results.sol";

/// @title What a final result does to each order
/// @dev Even a false result that nobody disproved in time takes from no order more than it offered, and
/// pays sellers out of nothing but what the buyers of its own round paid.
abstract contract Payouts is Results {
    /// @inheritdoc IAuction
    function settle(
        uint64 round,
        uint16 index,
        AuctionOrder calldata order,
        uint64[] calldata prices,
        GroupProof calldata group
    ) external nonReentrantView {
        ResultRecord storage record = _final(round);
        _requirePrices(record, prices);
        _requireGroup(record, group);
        _close(round, index, order);
        (Sums memory sums, bool offered) = _fillsOf(index, order, prices, group.group.fills);
        if (!offered) {
            _giveBack(round, index, order);
            return;
        }
        bool sold = order.backing != Backing.Holdings && _owe(round, index, prices, sums.surplus);
        _hold(round, order, sums.surplus);
        _pay(round, index, order.account, sums.paid, sold);
        // Of the groups of a false result several can name the order.
        if (sums.paid > 0) _orders[round][index].paidIn = group.index + 1;
    }

    /// @inheritdoc IAuction
    function release(uint64 round, uint16 index, AuctionOrder calldata order, GroupProof[] calldata around)
        external
        nonReentrantView
    {
        _require(round, Phase.Final);
        _close(round, index, order);
        uint32 best = _rounds[round].best;
        if (best == 0) {
            if (around.length != 0) revert ResultMismatch();
        } else if (block.timestamp < _seasonEndOf(round)) {
            _requireBetween(_results[round][best], index, around);
        }
        _giveBack(round, index, order);
    }

    /// @dev Marks a revealed order as settled.
    function _close(uint64 round, uint16 index, AuctionOrder calldata order) private {
        if (!_isRevealed(round, index, order)) revert OrderMismatch();
        OrderRecord storage stored = _orders[round][index];
        if (stored.settled) revert AlreadySettled();
        stored.settled = true;
        --_rounds[round].unsettled;
    }

    /// @dev The deposit is free again, and what was set aside for sale.
    function _giveBack(uint64 round, uint16 index, AuctionOrder calldata order) private {
        OrderRecord storage stored = _orders[round][index];
        uint128 deposit_ = stored.deposit;
        stored.deposit = 0;
        _credit(order.account, deposit_);
        _hold(round, order, new int256[](_pools.length));
        emit Released(round, index, order.account, deposit_);
    }

    /// @dev What an order pays goes from its deposit into escrow, what it earns is streamed. `sold`:
    /// new capacity, which keeps the deposit.
    function _pay(uint64 round, uint16 index, address account, int256 paid, bool sold) private {
        OrderRecord storage stored = _orders[round][index];
        uint128 deposit_ = stored.deposit;
        if (paid > 0) {
            // At most what its limits come to, which the deposit covers.
            deposit_ -= uint128(uint256(paid));
            RoundRecord storage record = _rounds[round];
            record.escrow += uint128(uint256(paid));
            record.paid += uint128(uint256(paid));
        }
        if (paid < 0) ++_rounds[round].streams;
        if (sold || paid < 0) {
            _streams[round][index] = StreamRecord({
                account: account,
                from: round + 1,
                intervals: uint16(_endOf(round) - (round + 1)),
                paid: 0,
                left: paid < 0 ? uint128(uint256(-paid)) : 0
            });
        }
        stored.deposit = sold ? deposit_ : 0;
        if (!sold) _credit(account, deposit_);
        emit Settled(round, index, account, paid);
    }

    /// @dev New capacity that was sold is owed.
    function _owe(uint64 round, uint16 index, uint64[] calldata prices, int256[] memory surplus)
        private
        returns (bool sold)
    {
        mapping(uint256 pool => Obligation) storage owed = _obligations[round][index];
        uint256 secured;
        for (uint256 pool = 0; pool < surplus.length; ++pool) {
            if (surplus[pool] <= 0) continue;
            sold = true;
            uint256 units = uint256(surplus[pool]);
            owed[pool] = Obligation(uint64(units), 0, prices[pool]);
            secured += units * _pools[pool].unitDeposit;
        }
        // At most what its deposit has to be.
        if (sold) _orders[round][index].secured = uint128(secured);
    }

    /// @dev What was bought is held, and so is what was set aside and not sold.
    function _hold(uint64 round, AuctionOrder calldata order, int256[] memory surplus) private {
        uint64 season = _seasonOf(round);
        address account = order.account;
        uint256[] memory aside = order.backing == Backing.Holdings
            ? OrderTerms.mostSold(order, surplus.length)
            : new uint256[](surplus.length);
        for (uint256 pool = 0; pool < surplus.length; ++pool) {
            int256 units = int256(aside[pool]) - surplus[pool];
            // Below 0 where new capacity is sold, which is owed instead.
            if (units > 0) _holdings[season][pool][account] += uint64(uint256(units));
        }
    }

    /// @dev Reverts unless no fill of the final result is of this order: it lies between two
    /// neighbouring fills, or before the first, or behind the last.
    function _requireBetween(ResultRecord storage record, uint16 index, GroupProof[] calldata around) private view {
        if (around.length == 0 || around.length > 2) revert ResultMismatch();
        for (uint256 i = 0; i < around.length; ++i) {
            _requireGroup(record, around[i]);
        }
        Fill[] calldata fills = around[0].group.fills;
        uint256 last = fills[fills.length - 1].order;
        if (around.length == 2) {
            if (uint256(around[0].index) + 1 != around[1].index) revert ResultMismatch();
            if (last >= index || around[1].group.fills[0].order <= index) revert OrderFilled();
            return;
        }
        if (index < fills[0].order) {
            if (around[0].index != 0) revert ResultMismatch();
        } else if (index > last) {
            if (uint256(around[0].index) + 1 != record.groups) revert ResultMismatch();
        }
        for (uint256 i = 0; i < fills.length; ++i) {
            if (fills[i].order == index) revert OrderFilled();
        }
    }
}
