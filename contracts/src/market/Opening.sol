// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IOpening} from "../interfaces/IOpening.sol";
import {DealStatus, OpenCall} from "../types/Calls.sol";
import {Bid, Deal, JobSpec, Offer, Resources} from "../types/Orders.sol";
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
        DealWord word = _wordOf(failed);
        bytes32 bidHash = _bidHash(call.bid);
        if (!word.isBound(DealStatus.Failed, failedId) || failed.bidHash != bidHash) revert NotReopenable();
        if (block.timestamp <= failed.openedAt) revert ReopenTooEarly();
        uint256 retaken = word.clock();
        uint256 left = failed.taskCount - retaken;
        if (call.count > left) revert CountOutOfRange();

        Deal memory deal;
        deal.firstTask = uint32(failed.firstTask + retaken);
        Refusal.orRevert(_agree(call, bidHash, _bitsOf(call.bid.buyer, call.bid.salt), deal));
        if (call.count == left) _vacate(failed);
        else _setWord(failed, DealWords.failed(failedId, retaken + call.count));
        dealId = _start(deal);
        emit DealReopened(failedId, dealId);
    }

    function _open(OpenCall calldata call) private returns (bytes4 refusal, bytes32 dealId, bytes32 bidHash) {
        Bid calldata bid = call.bid;
        bidHash = _bidHash(bid);
        uint256 bits = _bitsOf(bid.buyer, bid.salt);
        uint256 first;
        (refusal, first) = _nextTask(bid, bidHash, bits, call.count);
        if (refusal != Refusal.NONE) return (refusal, 0, bidHash);
        Deal memory deal;
        deal.firstTask = uint32(first);
        refusal = _agree(call, bidHash, bits, deal);
        if (refusal != Refusal.NONE) return (refusal, 0, bidHash);
        _takeTasks(bid, bidHash, first, call.count);
        if (first == 0) _post(call.job, deal.jobHash, bidHash);
        dealId = _start(deal);
    }

    /// @dev Refuses a match, or completes the deal's terms, takes a slot and locks the money.
    function _agree(OpenCall calldata call, bytes32 bidHash, uint256 bits, Deal memory deal)
        private
        returns (bytes4 refusal)
    {
        Bid calldata bid = call.bid;
        Offer calldata offer = call.offer;
        refusal = Acceptance.agree(bid, offer, call.job, call.count, deal);
        if (refusal != Refusal.NONE) return refusal;
        if (Hashing.job(call.job) != bid.jobHash) return JobMismatch.selector;
        _fill(bid, offer, bidHash, deal);
        if (_isBarred(bidHash, bits, deal.provider)) return ProviderBarred.selector;
        refusal = _bidLive(bid, bidHash, bits, call.bidSignature);
        if (refusal != Refusal.NONE) return refusal;
        refusal = _offerLive(offer, deal.offerHash, call.offerSignature);
        if (refusal != Refusal.NONE) return refusal;
        return _lock(deal, offer.slots);
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

    /// @dev Refuses, changing nothing, or takes a slot and what both sides lock.
    function _lock(Deal memory deal, uint256 slots) private returns (bytes4) {
        unchecked {
            Account storage buyer = _accounts[deal.token][deal.buyer];
            Account storage provider = _accounts[deal.token][deal.provider];
            Account storage floor = _accounts[NATIVE][deal.provider];
            // Sums of numbers below 2^130.
            uint256 reserve = uint256(deal.escrow) + 2 * uint256(deal.buyerTip);
            uint256 buyerFree = buyer.free;
            if (buyerFree < reserve) return BuyerBalanceInsufficient.selector;
            uint256 collateral = deal.collateral;
            uint256 providerFree = provider.free;
            if (deal.token == NATIVE) {
                if (providerFree < collateral + COLLATERAL_FLOOR_WEI) return ProviderFloorInsufficient.selector;
            } else if (providerFree < collateral) {
                return ProviderBalanceInsufficient.selector;
            }
            uint256 floorFree = floor.free;
            if (floorFree < COLLATERAL_FLOOR_WEI) return ProviderFloorInsufficient.selector;
            if (!_enter(deal, slots)) return NoFreeSlot.selector;
            buyer.free = buyerFree - reserve;
            if (deal.token == NATIVE) {
                provider.free = providerFree - collateral - COLLATERAL_FLOOR_WEI;
            } else {
                if (collateral != 0) provider.free = providerFree - collateral;
                if (COLLATERAL_FLOOR_WEI != 0) floor.free = floorFree - COLLATERAL_FLOOR_WEI;
            }
        }
        return Refusal.NONE;
    }

    /// @dev Stores and logs the deal, and pays the sender its tip.
    function _start(Deal memory deal) private returns (bytes32 dealId) {
        dealId = Hashing.dealIdOf(_domain(), deal);
        _store(deal, DealWords.opened(dealId));
        _credit(msg.sender, deal.token, deal.buyerTip);
        // emit DealOpened(dealId, deal.buyer, deal.provider, deal): the structure lies in memory as
        // its ABI encoding.
        bytes32 topic = DealOpened.selector;
        uint256 length = Hashing.DEAL_BYTES;
        (address buyer, address provider) = (deal.buyer, deal.provider);
        assembly ("memory-safe") {
            log4(deal, length, topic, dealId, buyer, provider)
        }
    }

    /// @dev emit JobPosted(jobHash, bidHash, job): the structure lies in calldata as its ABI encoding.
    function _post(JobSpec calldata job, bytes32 jobHash, bytes32 bidHash) private {
        bytes32 topic = JobPosted.selector;
        uint256 length = Hashing.JOB_BYTES;
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, job, length)
            log3(free, length, topic, jobHash, bidHash)
        }
    }
}
