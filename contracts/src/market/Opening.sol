// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IOpening} from "../interfaces/IOpening.sol";
import {DealStatus, OpenCall} from "../types/Calls.sol";
import {Bid, Deal, Offer, Resources} from "../types/Orders.sol";
import {Acceptance} from "./Acceptance.sol";
import {DealWord, DealWords} from "./DealWord.sol";
import {Deals} from "./Deals.sol";
import {Hashing} from "./Hashing.sol";
import {Refusal} from "./Refusal.sol";

/// @title A match becomes a deal
abstract contract Opening is Deals, IOpening {
    /// @inheritdoc IOpening
    function open(OpenCall calldata call) external nonReentrantView returns (bytes32 dealId) {
        bytes4 refusal;
        (refusal, dealId,) = _open(call);
        Refusal.orRevert(refusal);
    }

    /// @inheritdoc IOpening
    function openMany(OpenCall[] calldata calls) external nonReentrantView returns (bytes32[] memory dealIds) {
        dealIds = new bytes32[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            (bytes4 refusal, bytes32 dealId, bytes32 bidHash) = _open(calls[i]);
            if (refusal != Refusal.NONE) emit OpenSkipped(i, bidHash, refusal);
            dealIds[i] = dealId;
        }
    }

    /// @inheritdoc IOpening
    function reopen(OpenCall calldata call, Deal calldata failed) external nonReentrantView returns (bytes32 dealId) {
        bytes32 failedId = hashDeal(failed);
        DealWord word = _deals[failedId];
        bytes32 bidHash = _bidHash(call.bid);
        if (word.status() != DealStatus.Failed || failed.bidHash != bidHash) revert NotReopenable();
        if (block.timestamp <= failed.openedAt) revert ReopenTooEarly();
        uint256 retaken = word.clock();
        uint256 left = failed.taskCount - retaken;
        if (call.count > left) revert CountOutOfRange();

        Deal memory deal;
        deal.firstTask = uint32(failed.firstTask + retaken);
        Refusal.orRevert(_agree(call, bidHash, deal));
        _deals[failedId] = call.count == left ? DealWords.NONE : word.withClock(retaken + call.count);
        dealId = _start(deal);
        emit DealReopened(failedId, dealId);
    }

    function _open(OpenCall calldata call) private returns (bytes4 refusal, bytes32 dealId, bytes32 bidHash) {
        bidHash = _bidHash(call.bid);
        uint256 first;
        (refusal, first) = _nextTask(call.bid, bidHash, call.count);
        if (refusal != Refusal.NONE) return (refusal, 0, bidHash);
        Deal memory deal;
        deal.firstTask = uint32(first);
        refusal = _agree(call, bidHash, deal);
        if (refusal != Refusal.NONE) return (refusal, 0, bidHash);
        _takeTasks(call.bid, bidHash, first, call.count);
        if (first == 0) emit JobPosted(deal.jobHash, bidHash, call.job);
        dealId = _start(deal);
    }

    /// @dev Refuses a match, or completes the deal's terms. Changes nothing but the transaction's
    /// memory of checked signatures.
    function _agree(OpenCall calldata call, bytes32 bidHash, Deal memory deal) private returns (bytes4 refusal) {
        Bid calldata bid = call.bid;
        Offer calldata offer = call.offer;
        refusal = Acceptance.agree(bid, offer, call.job, call.count, deal);
        if (refusal != Refusal.NONE) return refusal;
        if (Hashing.job(call.job) != bid.jobHash) return JobMismatch.selector;
        _fill(bid, offer, bidHash, deal);
        refusal = _affordable(deal, offer.slots);
        if (refusal != Refusal.NONE) return refusal;
        if (_isBarred(bid, bidHash, deal.provider)) return ProviderBarred.selector;
        refusal = _bidLive(bid, bidHash, call.bidSignature);
        if (refusal == Refusal.NONE) refusal = _offerLive(offer, deal.offerHash, call.offerSignature);
    }

    /// @dev The terms that are copied from the orders.
    function _fill(Bid calldata bid, Offer calldata offer, bytes32 bidHash, Deal memory deal) private view {
        deal.bidHash = bidHash;
        deal.offerHash = _offerHash(offer);
        deal.jobHash = bid.jobHash;
        deal.buyer = bid.buyer;
        deal.provider = offer.provider;
        deal.token = bid.token;
        deal.capacityId = offer.capacityId;
        deal.buyerTip = bid.tip;
        deal.providerTip = offer.tip;
        deal.openedAt = uint64(block.timestamp);
        unchecked {
            deal.deadline = uint64(block.timestamp + bid.queueTimeout + bid.executionTimeout);
        }
        deal.bidSalt = bid.salt;
        Resources calldata reserved = bid.resources;
        deal.resources = uint256(reserved.memoryMib) | uint256(reserved.diskMib) << 32
            | uint256(reserved.egressMib) << 64 | uint256(offer.region) << 128;
    }

    /// @dev Whether a slot is free and both sides can lock what the deal locks.
    function _affordable(Deal memory deal, uint256 slots) private view returns (bytes4) {
        if (!_slotFree(deal.provider, deal.capacityId, slots)) return NoFreeSlot.selector;
        unchecked {
            // Three addends below 2^129.
            if (_balance(deal.buyer, deal.token) < uint256(deal.escrow) + 2 * uint256(deal.buyerTip)) {
                return BuyerBalanceInsufficient.selector;
            }
            uint256 locked = deal.token == NATIVE ? COLLATERAL_FLOOR_WEI : 0;
            if (_balance(deal.provider, deal.token) < deal.collateral + locked) {
                return ProviderBalanceInsufficient.selector;
            }
        }
        if (COLLATERAL_FLOOR_WEI != 0 && _balance(deal.provider, NATIVE) < COLLATERAL_FLOOR_WEI) {
            return ProviderFloorInsufficient.selector;
        }
        return Refusal.NONE;
    }

    /// @dev Takes the slot, locks the money, pays the sender its tip, and stores the deal.
    function _start(Deal memory deal) private returns (bytes32 dealId) {
        dealId = Hashing.dealIdOf(_domain(), deal);
        _deals[dealId] = DealWords.OPEN;
        _takeSlot(deal.provider, deal.capacityId);
        unchecked {
            _debit(deal.buyer, deal.token, uint256(deal.escrow) + 2 * uint256(deal.buyerTip));
        }
        _debit(deal.provider, deal.token, deal.collateral);
        _debit(deal.provider, NATIVE, COLLATERAL_FLOOR_WEI);
        _credit(msg.sender, deal.token, deal.buyerTip);
        emit DealOpened(dealId, deal.buyer, deal.provider, deal);
    }
}
