// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDeals} from "../interfaces/IDeals.sol";
import {IOpening} from "../interfaces/IOpening.sol";
import {OpenCall} from "../types/Calls.sol";
import {Deal, JobSpec} from "../types/Orders.sol";
import {Acceptance} from "./Acceptance.sol";
import {AuditTerms} from "./AuditTerms.sol";
import {DealWords} from "./DealWord.sol";
import {Deals} from "./Deals.sol";
import {Hashing} from "./Hashing.sol";
import {BidWords, OfferWords, OrderWords} from "./OrderWords.sol";
import {Ranking} from "./Ranking.sol";
import {Refusal} from "./Refusal.sol";

/// @title What every match must pass before it is a deal, however it comes about
abstract contract Agreement is Deals {
    /// @dev A match, and the deal that it becomes.
    struct Match {
        BidWords bid;
        OfferWords offer;
        JobSpec job;
        Deal deal;
    }

    /// @dev Copies the bid, and returns its hash.
    function _loadBid(OpenCall calldata call, Match memory m) internal view returns (bytes32 bidHash) {
        OrderWords.load(m.bid, call.bid);
        bidHash = _digest(Hashing.bid(m.bid));
        m.deal.bidHash = bidHash;
    }

    /// @dev Refuses a match, or completes the deal's terms, takes a slot and locks the money.
    function _agree(OpenCall calldata call, Match memory m, uint256 first, uint256 count, uint256 bits)
        internal
        returns (bytes4 refusal)
    {
        (BidWords memory bid, OfferWords memory offer, JobSpec memory job, Deal memory deal) =
            (m.bid, m.offer, m.job, m.deal);
        OrderWords.load(offer, call.offer);
        OrderWords.load(job, call.job);
        refusal = Acceptance.agree(bid, offer, job, count, deal);
        if (refusal != Refusal.NONE) return refusal;
        if (Hashing.job(job) != bid.jobHash) return IDeals.JobMismatch.selector;
        bytes32 offerHash = _digest(Hashing.offer(offer));
        deal.offerHash = offerHash;
        deal.firstTask = uint32(first);
        _fill(bid, offer, deal);
        if (_isBarred(deal.bidHash, bits, offer.provider)) return IOpening.ProviderBarred.selector;
        refusal = _bidLive(bid, deal.bidHash, bits, call.bidSignature);
        if (refusal != Refusal.NONE) return refusal;
        refusal = _offerLive(offer, offerHash, call.offerSignature);
        if (refusal != Refusal.NONE) return refusal;
        return _lock(deal, offer.slots);
    }

    /// @dev The terms that are copied from the orders.
    function _fill(BidWords memory bid, OfferWords memory offer, Deal memory deal) private view {
        deal.jobHash = bid.jobHash;
        deal.buyer = bid.buyer;
        deal.provider = offer.provider;
        deal.token = bid.token;
        deal.capacityId = offer.capacityId;
        deal.buyerTip = bid.tip;
        deal.providerTip = offer.tip;
        uint256 window = bid.rankWindow;
        unchecked {
            // Sums of numbers below 2^64.
            deal.openedAt = uint64(block.timestamp);
            deal.deadline =
                uint64(block.timestamp + window * Ranking.BLOCK_S + bid.queueTimeout + bid.executionTimeout);
        }
        deal.bidSalt = bid.salt;
        deal.resources = uint256(bid.memoryMib) | uint256(bid.diskMib) << 32 | uint256(bid.egressMib) << 64
            | uint256(offer.region) << 128 | AuditTerms.pack(bid.auditRateBps, bid.auditFee)
            | Ranking.pack(window);
    }

    /// @dev Refuses, changing nothing, or takes a slot and what both sides lock.
    function _lock(Deal memory deal, uint256 slots) private returns (bytes4) {
        unchecked {
            Account storage buyer = _accounts[deal.token][deal.buyer];
            Account storage provider = _accounts[deal.token][deal.provider];
            Account storage floor = _accounts[NATIVE][deal.provider];
            // Sums of numbers below 2^130.
            uint256 reserve = uint256(deal.escrow) + 2 * uint256(deal.buyerTip) + AuditTerms.fee(deal);
            uint256 buyerFree = buyer.free;
            if (buyerFree < reserve) return IOpening.BuyerBalanceInsufficient.selector;
            uint256 collateral = deal.collateral;
            uint256 providerFree = provider.free;
            if (deal.token == NATIVE) {
                if (providerFree < collateral + COLLATERAL_FLOOR_WEI) return IOpening.ProviderFloorInsufficient.selector;
            } else if (providerFree < collateral) {
                return IOpening.ProviderBalanceInsufficient.selector;
            }
            uint256 floorFree = floor.free;
            if (floorFree < COLLATERAL_FLOOR_WEI) return IOpening.ProviderFloorInsufficient.selector;
            if (!_enter(deal, slots)) return IOpening.NoFreeSlot.selector;
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
    function _start(Deal memory deal) internal returns (bytes32 dealId) {
        dealId = Hashing.dealId(_domain(), deal);
        uint256 window = Ranking.window(deal);
        _cell(deal).word = DealWords.opened(dealId, window == 0 ? 0 : block.number + window);
        _credit(msg.sender, deal.token, deal.buyerTip);
        // emit DealOpened(dealId, deal.buyer, deal.provider, deal): the structure lies in memory as
        // its ABI encoding.
        bytes32 topic = IOpening.DealOpened.selector;
        uint256 length = Hashing.DEAL_BYTES;
        (address buyer, address provider) = (deal.buyer, deal.provider);
        assembly ("memory-safe") {
            log4(deal, length, topic, dealId, buyer, provider)
        }
    }
}
