// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IOrders} from "../interfaces/IOrders.sol";
import {Bid, Offer} from "../types/Orders.sol";
import {Deals} from "./Deals.sol";
import {Hashing} from "./Hashing.sol";
import {BidWords, OfferWords, OrderWords} from "./OrderWords.sol";

/// @title Signed orders: identity, cancellation, how much of a bid is taken
abstract contract Orders is Deals, IOrders {
    /// @inheritdoc IOrders
    function cancelOrder(uint256 salt) external nonReentrantView {
        _setBits(msg.sender, salt, CANCELLED);
        emit OrderCancelled(msg.sender, salt);
    }

    /// @inheritdoc IOrders
    function cancelAll() external nonReentrantView {
        uint64 counter = ++_counter[msg.sender];
        emit AllOrdersCancelled(msg.sender, counter);
    }

    /// @inheritdoc IOrders
    function counterOf(address account) external view returns (uint64) {
        return _counter[account];
    }

    /// @inheritdoc IOrders
    function orderState(address account, uint256 salt)
        external
        view
        returns (bool cancelled, bool taken, bool burned, bool partly)
    {
        uint256 bits = _bitsOf(account, salt);
        return (bits & CANCELLED != 0, bits & TAKEN != 0, bits & BURNED != 0, bits & PARTLY != 0);
    }

    /// @inheritdoc IOrders
    function tasksTaken(bytes32 bidHash) external view returns (uint32) {
        return uint32(_taken[bidHash]);
    }

    /// @inheritdoc IOrders
    function isBarred(bytes32 bidHash, address provider) external view returns (bool) {
        return _barred[bidHash][provider];
    }

    /// @inheritdoc IOrders
    function domainSeparator() external view returns (bytes32) {
        return _domain();
    }

    /// @inheritdoc IOrders
    function hashBid(Bid calldata bid) external view returns (bytes32) {
        BidWords memory words;
        OrderWords.load(words, bid);
        return _digest(Hashing.bid(words));
    }

    /// @inheritdoc IOrders
    function hashOffer(Offer calldata offer) external view returns (bytes32) {
        OfferWords memory words;
        OrderWords.load(words, offer);
        return _digest(Hashing.offer(words));
    }
}
