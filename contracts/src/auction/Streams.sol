// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAuction} from "../interfaces/IAuction.sol";
import {RoundRecord, StreamRecord} from "../types/Auctions.sol";
import {Books} from "./Books.sol";

/// @title What sellers earn, interval by interval
abstract contract Streams is Books {
    /// @dev Pays out the intervals that are over; false if there is none.
    function _earn(uint64 round, uint16 index) internal returns (bool) {
        StreamRecord storage stream = _streams[round][index];
        uint256 over = _over(stream);
        uint256 paid = stream.paid;
        if (over <= paid) return false;
        uint256 amount = uint256(stream.left) * (over - paid) / (stream.intervals - paid);
        stream.paid = uint16(over);
        amount = _takeEscrow(round, stream, amount);
        uint256 fee = _payFee(round, amount);
        address account = stream.account;
        _credit(account, amount - fee);
        emit IAuction.Earned(round, index, account, uint128(amount), uint128(fee));
        return true;
    }

    /// @dev The fee on what leaves escrow: half to who posted the result, half burned.
    function _payFee(uint64 round, uint256 amount) internal returns (uint256 fee) {
        fee = amount * FEE_BPS / BPS;
        _credit(_results[round][_rounds[round].best].poster, fee / 2);
        _credit(BURN, fee - fee / 2);
    }

    /// @dev Intervals of a stream that are over.
    function _over(StreamRecord storage stream) internal view returns (uint256) {
        uint256 interval = _now();
        if (interval <= stream.from) return 0;
        uint256 over = interval - stream.from;
        return over < stream.intervals ? over : stream.intervals;
    }

    /// @dev Takes what a stream has to get out of escrow. Less than that only if there will never be more:
    /// when a false result became final, the season is over, and nobody is left to pay.
    function _takeEscrow(uint64 round, StreamRecord storage stream, uint256 amount) internal returns (uint256) {
        if (amount == 0) return 0;
        RoundRecord storage record = _rounds[round];
        stream.left -= uint128(amount);
        if (stream.left == 0) --record.streams;
        uint256 escrow = record.escrow;
        if (amount > escrow) {
            if (record.unsettled != 0 || block.timestamp < _seasonEndOf(round)) revert IAuction.EscrowInsufficient();
            amount = escrow;
        }
        record.escrow = uint128(escrow - amount);
        return amount;
    }
}
