// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDeals} from "../interfaces/IDeals.sol";
import {IOpening} from "../interfaces/IOpening.sol";
import {Deal, JobSpec} from "../types/Orders.sol";
import {AuditTerms} from "./AuditTerms.sol";
import {Money} from "./Money.sol";
import {BidWords, OfferWords} from "./OrderWords.sol";
import {Ranking} from "./Ranking.sol";
import {Refusal} from "./Refusal.sol";

/// @title Whether an offer is acceptable for a bid, by signed fields alone
/// @dev Stated in Rust in `protocol` (matching), which also gives the reasons to `explain`.
library Acceptance {
    /// Most tasks of a deal, and so of a claim.
    uint256 internal constant TASKS_MAX = 2048;
    /// Most cycles of a task.
    uint256 internal constant CYCLE_LIMIT_MAX = 1 << 44;
    /// Most 64 KiB pages: what a 32-bit address reaches.
    uint256 internal constant PAGE_LIMIT_MAX = 65_536;
    /// Most frame slots.
    uint256 internal constant SLOT_LIMIT_MAX = 1 << 20;
    /// Most bytes of one task's output: keeps the path of a demanded leaf below 30 nodes.
    uint256 internal constant OUTPUT_LIMIT_MAX = 1 << 36;

    /// @dev Refuses, or fills the deal's price terms.
    function agree(BidWords memory bid, OfferWords memory offer, JobSpec memory job, uint256 count, Deal memory deal)
        internal
        pure
        returns (bytes4 refusal)
    {
        refusal = _mechanisms(bid, offer);
        if (refusal == Refusal.NONE) refusal = _audit(bid);
        if (refusal == Refusal.NONE) refusal = _job(bid, offer, job, count);
        if (refusal == Refusal.NONE) refusal = _place(bid, offer);
        if (refusal == Refusal.NONE) refusal = _price(bid, offer, deal);
        if (refusal == Refusal.NONE) refusal = _totals(bid, offer, job, count, deal);
    }

    /// @dev Fields whose mechanism does not exist yet must say so, and a rank window has its bound.
    function _mechanisms(BidWords memory bid, OfferWords memory offer) private pure returns (bytes4) {
        if (bid.replicas != 1) return IOpening.ReplicasUnsupported.selector;
        if (bid.gpuCount | bid.gpuClass | offer.gpuCount | offer.gpuClass != 0) return IOpening.GpuUnsupported.selector;
        if (bid.roundTripMsMax != 0) return IOpening.RoundTripUnsupported.selector;
        if (bid.rankWindow > Ranking.WINDOW_MAX) return IOpening.RankWindowTooLong.selector;
        return Refusal.NONE;
    }

    /// @dev A rate without a fee pays nobody, and a fee without a rate never reaches anybody.
    function _audit(BidWords memory bid) private pure returns (bytes4) {
        uint256 rate = bid.auditRateBps;
        uint256 fee = bid.auditFee;
        bool agree_ = (rate == 0) == (fee == 0);
        return rate <= Money.BPS && fee <= AuditTerms.FEE_MAX && agree_
            ? Refusal.NONE
            : IOpening.AuditTermsInvalid.selector;
    }

    /// @dev Whether every number fits its type: the job is logged as it came.
    function _isClean(JobSpec memory job) private pure returns (bool clean) {
        assembly ("memory-safe") {
            let narrow := or(or(mload(job), mload(add(job, 0xc0))), mload(add(job, 0x120)))
            let wide := or(or(mload(add(job, 0xa0)), mload(add(job, 0xe0))), mload(add(job, 0x100)))
            clean := iszero(or(shr(32, narrow), shr(64, wide)))
        }
    }

    function _job(BidWords memory bid, OfferWords memory offer, JobSpec memory job, uint256 count)
        private
        pure
        returns (bytes4)
    {
        if (job.taskCount != bid.tasks) return IDeals.JobMismatch.selector;
        if (job.machineVersion != offer.machineVersion) return IOpening.MachineVersionMismatch.selector;
        if (count == 0 || count > TASKS_MAX) return IOpening.CountOutOfRange.selector;
        uint256 cycleLimit = job.cycleLimit;
        if (
            !_isClean(job) || cycleLimit == 0 || cycleLimit > CYCLE_LIMIT_MAX || job.pageLimit > PAGE_LIMIT_MAX
                || job.slotLimit > SLOT_LIMIT_MAX || job.outputLimit > OUTPUT_LIMIT_MAX
        ) {
            return IOpening.JobOutOfRange.selector;
        }
        unchecked {
            // count x cycleLimit / speed <= executionTimeout, without a division; factors < 2^64.
            if (count * cycleLimit > uint256(bid.executionTimeout) * offer.speed) return IOpening.TooSlow.selector;
        }
        return Refusal.NONE;
    }

    function _place(BidWords memory bid, OfferWords memory offer) private pure returns (bytes4) {
        if (bid.token != offer.token) return IOpening.TokenMismatch.selector;
        if (bid.buyer == offer.provider) return IOpening.SelfDeal.selector;
        if (bid.regions >> offer.region & 1 == 0) return IOpening.RegionRefused.selector;
        if (bid.attributes & ~offer.attributes != 0) return IOpening.AttributesMissing.selector;
        if (bid.memoryMib > offer.memoryMib) return IOpening.MemoryInsufficient.selector;
        if (bid.diskMib > offer.diskMib) return IOpening.DiskInsufficient.selector;
        if (bid.egressMib > offer.egressMib) return IOpening.EgressInsufficient.selector;
        return Refusal.NONE;
    }

    function _price(BidWords memory bid, OfferWords memory offer, Deal memory deal) private pure returns (bytes4) {
        uint256 startFee = offer.startFee;
        uint256 unitPrice = offer.cyclePrice;
        if (startFee > Money.PRICE_MAX || unitPrice > Money.PRICE_MAX) return IOpening.PriceOutOfRange.selector;
        unitPrice = _unitPrice(bid, offer, unitPrice);
        if (unitPrice > type(uint128).max) return IOpening.PriceOutOfRange.selector;
        if (Money.uncappedPrice(startFee, unitPrice, bid.cyclesExpected) > bid.priceCap) {
            return IOpening.PriceAboveCap.selector;
        }
        deal.startFee = uint128(startFee);
        deal.unitPrice = uint128(unitPrice);
        return Refusal.NONE;
    }

    /// @dev The sum of the offer's prices over what the bid reserves; 2^255 if one is out of range.
    function _unitPrice(BidWords memory bid, OfferWords memory offer, uint256 cyclePrice)
        private
        pure
        returns (uint256)
    {
        uint256 memoryPrice = offer.memoryPrice;
        uint256 diskPrice = offer.diskPrice;
        uint256 egressPrice = offer.egressPrice;
        if (
            memoryPrice > Money.PRICE_MAX || diskPrice > Money.PRICE_MAX || egressPrice > Money.PRICE_MAX
                || offer.gpuPrice > Money.PRICE_MAX
        ) return 1 << 255;
        unchecked {
            // Nobody reserves a GPU yet, so that its price is only checked.
            return cyclePrice + memoryPrice * bid.memoryMib + diskPrice * bid.diskMib
                + egressPrice * bid.egressMib;
        }
    }

    function _totals(BidWords memory bid, OfferWords memory offer, JobSpec memory job, uint256 count, Deal memory deal)
        private
        pure
        returns (bytes4)
    {
        uint256 priceCap = bid.priceCap;
        uint256 cycleLimit = job.cycleLimit;
        uint256 escrow;
        unchecked {
            // At most 2^11 tasks of 2^100 + 2^128 x 2^44 / 10^18: below 2^124.
            escrow = count * Money.taskPrice(deal.startFee, deal.unitPrice, priceCap, cycleLimit);
        }
        uint256 collateral = Money.collateral(escrow, bid.collateralBps);
        if (collateral > offer.collateralMax) return IOpening.CollateralAboveMax.selector;
        deal.taskCount = uint32(count);
        deal.cycleLimit = uint64(cycleLimit);
        deal.priceCap = uint128(priceCap);
        deal.escrow = uint128(escrow);
        deal.collateral = uint128(collateral);
        return Refusal.NONE;
    }
}
