// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IOpening} from "../interfaces/IOpening.sol";
import {Domain} from "./Domain.sol";
import {BidWords, OfferWords} from "./OrderWords.sol";
import {Refusal} from "./Refusal.sol";
import {Signatures} from "./Signatures.sol";

/// @title What has become of signed orders
/// @dev Four bits per salt of an account; 64 neighbouring salts share a word, so an account that
/// counts its salts up pays for a fresh word once in 64 orders.
abstract contract OrderState is Domain {
    uint256 internal constant CANCELLED = 1;
    uint256 internal constant TAKEN = 2;
    uint256 internal constant BURNED = 4;
    uint256 internal constant PARTLY = 8;

    mapping(address account => mapping(uint256 word => uint256)) internal _bits;
    mapping(address account => uint64) internal _counter;
    /// Tasks handed out of bids that are filled in parts.
    mapping(bytes32 bidHash => uint256) internal _taken;
    /// Providers that cancelled a deal of a bid.
    mapping(bytes32 bidHash => mapping(address provider => bool)) internal _barred;

    /// @dev Whether a bid may still open deals: signed, not expired, not cancelled.
    function _bidLive(BidWords memory bid, bytes32 bidHash, uint256 bits, bytes calldata signature) internal returns (bytes4) {
        if (block.timestamp > bid.expiry) return IOpening.BidExpired.selector;
        if (_counter[bid.buyer] != bid.counter || bits & CANCELLED != 0) {
            return IOpening.BidCancelled.selector;
        }
        return _orderSigned(bid.buyer, bidHash, signature) ? Refusal.NONE : IOpening.BidSignatureInvalid.selector;
    }

    /// @dev Whether an offer may still open deals: signed, not expired, not cancelled.
    function _offerLive(OfferWords memory offer, bytes32 offerHash, bytes calldata signature) internal returns (bytes4) {
        if (block.timestamp > offer.expiry) return IOpening.OfferExpired.selector;
        if (_counter[offer.provider] != offer.counter || _bitsOf(offer.provider, offer.salt) & CANCELLED != 0) {
            return IOpening.OfferCancelled.selector;
        }
        return _orderSigned(offer.provider, offerHash, signature) ? Refusal.NONE : IOpening.OfferSignatureInvalid.selector;
    }

    /// @dev The first of the next `count` tasks of a bid, unless they are taken.
    function _nextTask(BidWords memory bid, bytes32 bidHash, uint256 bits, uint256 count)
        internal
        view
        returns (bytes4 refusal, uint256 first)
    {
        if (bits & TAKEN != 0) return (IOpening.BidTaken.selector, 0);
        if (bits & PARTLY != 0) {
            first = _taken[bidHash];
            if (first == 0) return (IOpening.SaltReused.selector, 0);
        }
        unchecked {
            // Both below 2^32.
            if (first + count > bid.tasks) return (IOpening.BidTaken.selector, 0);
        }
    }

    /// @dev Hands out the tasks that `_nextTask` found.
    function _takeTasks(BidWords memory bid, bytes32 bidHash, uint256 first, uint256 count) internal {
        if (first == 0) _setBits(bid.buyer, bid.salt, count == bid.tasks ? TAKEN : PARTLY);
        unchecked {
            if (count != bid.tasks) _taken[bidHash] = first + count;
        }
    }

    /// @dev Whether the provider cancelled a deal of this bid. Only a bid that has burned its fee can
    /// have barred anybody, which saves the look-up.
    function _isBarred(bytes32 bidHash, uint256 bits, address provider) internal view returns (bool) {
        return bits & BURNED != 0 && _barred[bidHash][provider];
    }

    function _bar(bytes32 bidHash, address provider) internal {
        _barred[bidHash][provider] = true;
    }

    function _bitsOf(address account, uint256 salt) internal view returns (uint256) {
        return _bits[account][salt >> 6] >> ((salt & 63) << 2) & 15;
    }

    function _setBits(address account, uint256 salt, uint256 bits) internal {
        _bits[account][salt >> 6] |= bits << ((salt & 63) << 2);
    }

    /// @dev An order's hash commits to its signer, so it is checked once in a transaction.
    function _orderSigned(address signer, bytes32 orderHash, bytes calldata signature) private returns (bool valid) {
        assembly ("memory-safe") {
            valid := tload(orderHash)
        }
        if (valid) return true;
        valid = Signatures.isValid(signer, orderHash, signature);
        if (valid) {
            assembly ("memory-safe") {
                tstore(orderHash, 1)
            }
        }
    }
}
