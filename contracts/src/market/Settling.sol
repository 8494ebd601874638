// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAudits} from "../interfaces/IAudits.sol";
import {ISettling} from "../interfaces/ISettling.sol";
import {Draw} from "../types/Audits.sol";
import {DealStatus, Failure, Settlement} from "../types/Calls.sol";
import {Claim, Deal} from "../types/Orders.sol";
import {AuditTerms} from "./AuditTerms.sol";
import {DealWord, DealWords} from "./DealWord.sol";
import {Deals} from "./Deals.sol";
import {Hashing} from "./Hashing.sol";
import {Money} from "./Money.sol";
import {Refusal} from "./Refusal.sol";
import {Signatures} from "./Signatures.sol";

/// @title A deal ends: paid, or failed by its deadline
abstract contract Settling is Deals, ISettling {
    /// @inheritdoc ISettling
    function accept(Deal calldata terms, Claim calldata claim_, bytes calldata signature) external nonReentrantView {
        Deal memory deal;
        Refusal.orRevert(_accept(deal, _load(deal, terms), claim_, signature));
    }

    /// @inheritdoc ISettling
    function finalise(Deal calldata terms, Claim calldata claim_) external nonReentrantView {
        Deal memory deal;
        Refusal.orRevert(_finalise(deal, _load(deal, terms), claim_));
    }

    /// @inheritdoc ISettling
    function settleMany(Settlement[] calldata settlements) external nonReentrantView {
        Deal memory deal;
        for (uint256 i = 0; i < settlements.length; ++i) {
            Settlement calldata item = settlements[i];
            bytes32 dealId = _load(deal, item.deal);
            if (item.acceptSignature.length != 0) {
                bytes4 refusal = _accept(deal, dealId, item.claim, item.acceptSignature);
                if (refusal != Refusal.NONE) emit SettlementSkipped(i, dealId, refusal);
            }
            if (item.finalise) {
                bytes4 refusal = _finalise(deal, dealId, item.claim);
                if (refusal != Refusal.NONE) emit SettlementSkipped(i, dealId, refusal);
            }
        }
    }

    /// @inheritdoc ISettling
    function timeout(Deal calldata terms) external nonReentrantView {
        Deal memory deal;
        (bytes32 dealId, Cell storage cell) = _loadOpen(deal, terms);
        if (block.timestamp <= deal.deadline) revert DeadlineNotPassed();
        DealWord word = cell.word;
        cell.word = DealWords.failed(dealId, 0);
        _leave(deal);
        _fail(deal, dealId, Failure.Timeout, word, 0, 0, msg.sender);
    }

    function _accept(Deal memory deal, bytes32 dealId, Claim calldata claim_, bytes calldata signature)
        private
        returns (bytes4)
    {
        Cell storage cell = _cell(deal);
        DealWord word = cell.word;
        bytes32 claimHash = Hashing.claim(dealId, claim_);
        if (!word.isBound(DealStatus.Claimed, claimHash)) return ClaimNotHeld.selector;
        if (word.has(DealWords.ACCEPTED)) return AlreadyAccepted.selector;
        bytes32 digest = _digest(Hashing.acceptStruct(dealId, claimHash));
        if (!Signatures.isValid(deal.buyer, digest, signature)) return AcceptSignatureInvalid.selector;
        cell.word = word.with(DealWords.ACCEPTED);
        _payProvider(deal, _releasePrice(deal, claim_.price));
        emit DealPaid(dealId, deal.token, deal.resources, claim_.cycles, claim_.price, false);
        return Refusal.NONE;
    }

    function _finalise(Deal memory deal, bytes32 dealId, Claim calldata claim_) private returns (bytes4) {
        DealWord word = _cell(deal).word;
        bytes32 claimHash = Hashing.claim(dealId, claim_);
        if (!word.isBound(DealStatus.Claimed, claimHash)) return ClaimNotHeld.selector;
        if (word.has(DealWords.CHALLENGED)) return ChallengeOpen.selector;
        if (word.has(DealWords.DEMANDED)) return DemandOpen.selector;
        if (_inChallengeWindow(word)) return ChallengeWindowOpen.selector;
        if (AuditTerms.rate(deal) != 0) {
            bytes4 refusal = _endDraw(deal, word, claimHash);
            if (refusal != Refusal.NONE) return refusal;
        }
        _vacate(deal);
        _credit(deal.provider, NATIVE, COLLATERAL_FLOOR_WEI);
        if (word.has(DealWords.ACCEPTED)) {
            _payProvider(deal, deal.collateral);
            emit DealFinalised(dealId);
        } else {
            unchecked {
                // Proceeds and collateral below 2^128.
                _payProvider(deal, _releasePrice(deal, claim_.price) + deal.collateral);
            }
            emit DealPaid(dealId, deal.token, deal.resources, claim_.cycles, claim_.price, true);
        }
        return Refusal.NONE;
    }

    /// @dev Refuses while an audit is open or can still be drawn; then the buyer's fee is its own again,
    /// unless it was spent.
    function _endDraw(Deal memory deal, DealWord word, bytes32 claimHash) private returns (bytes4) {
        if (word.has(DealWords.AUDITED)) return AuditOpen.selector;
        if (word.has(DealWords.AUDIT_USED)) return Refusal.NONE;
        uint16 rate = uint16(AuditTerms.rate(deal));
        Draw draw = IAudits(AUDITS).drawOf(claimHash, uint64(word.clock()), rate, deal.cycleLimit);
        if (draw != Draw.Passed) return DrawOpen.selector;
        _credit(deal.buyer, deal.token, AuditTerms.fee(deal));
        return Refusal.NONE;
    }

    /// @dev Gives the buyer what the price leaves of its reserve, and the fee to its collector;
    /// returns the provider's proceeds. A price is at most its deal's escrow.
    function _releasePrice(Deal memory deal, uint256 price) private returns (uint256 proceeds) {
        uint256 fee = Money.share(price, FEE_BPS);
        unchecked {
            _credit(deal.buyer, deal.token, uint256(deal.escrow) - price + deal.buyerTip);
            _credit(FEE_COLLECTOR, deal.token, fee);
            return price - fee;
        }
    }

    /// @dev Credits the provider; a sender that is somebody else gets its tip out of the amount.
    function _payProvider(Deal memory deal, uint256 amount) private {
        if (msg.sender != deal.provider) {
            uint256 tip = deal.providerTip < amount ? deal.providerTip : amount;
            _credit(msg.sender, deal.token, tip);
            amount -= tip;
        }
        _credit(deal.provider, deal.token, amount);
    }
}
