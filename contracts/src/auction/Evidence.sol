// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAuction} from "../interfaces/IAuction.sol";
import {Merkle} from "../market/Merkle.sol";
import {AuctionOrder, Fill, GroupProof, ResultRecord} from "../types/Auctions.sol";
import {OrderTerms, Sums} from "./OrderTerms.sol";
import {Streams} from "./Streams.sol";

/// @title Orders and results are shown again, and are what they were
abstract contract Evidence is Streams {
    /// @dev Whether this is the order that was revealed under the index.
    function _isRevealed(uint64 round, uint16 index, AuctionOrder calldata order) internal view returns (bool) {
        return _orders[round][index].leaf == keccak256(abi.encode(round, index, order));
    }

    function _requirePrices(ResultRecord storage record, uint64[] calldata prices) internal view {
        if (record.pricesHash != keccak256(abi.encode(prices))) revert IAuction.ResultMismatch();
    }

    function _requireGroup(ResultRecord storage record, GroupProof calldata proof) internal view {
        if (
            proof.index >= record.groups || proof.path.length != Merkle.depth(record.groups)
                || Merkle.rootOf(keccak256(abi.encode(proof.group)), proof.index, proof.path) != record.root
        ) revert IAuction.ResultMismatch();
    }

    /// @dev What the fills of one order come to. Not offered, if they are not what the order offers.
    function _fillsOf(uint16 index, AuctionOrder calldata order, uint64[] calldata prices, Fill[] calldata fills)
        internal
        view
        returns (Sums memory sums, bool offered)
    {
        sums.surplus = new int256[](_pools.length);
        uint256 lots;
        offered = true;
        for (uint256 i = 0; i < fills.length; ++i) {
            Fill calldata fill = fills[i];
            if (fill.order != index) continue;
            lots += fill.lots;
            if (lots > order.lots || !OrderTerms.add(sums, order, fill, prices)) return (sums, false);
        }
        if (lots == 0) revert IAuction.OrderNotFilled();
    }
}
