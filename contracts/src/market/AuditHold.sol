// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAuditHold} from "../interfaces/IAuditHold.sol";
import {Failure} from "../types/Calls.sol";
import {Claim, Deal} from "../types/Orders.sol";
import {AuditTerms} from "./AuditTerms.sol";
import {DealWord, DealWords} from "./DealWord.sol";
import {Demands} from "./Demands.sol";
import {Hashing} from "./Hashing.sol";

/// @title Where audits enter
/// @dev The market knows two bits per deal, "an audit is open" and "its fee is gone"; who audits what
/// by when is the business of the audits.
abstract contract AuditHold is Demands, IAuditHold {
    /// @inheritdoc IAuditHold
    function openAudit(Deal calldata terms, Claim calldata claim_)
        external
        nonReentrantView
        returns (bytes32 dealId, bytes32 claimHash, uint64 claimedAt)
    {
        if (msg.sender != AUDITS) revert NotAudits();
        Deal memory deal;
        Cell storage cell;
        DealWord word;
        (dealId, cell, word) = _loadClaimed(deal, terms, claim_);
        if (word.has(DealWords.AUDIT_USED)) revert AlreadyAudited();
        claimHash = Hashing.claim(dealId, claim_);
        claimedAt = uint64(word.clock());
        cell.word = word.with(DealWords.AUDITED).with(DealWords.AUDIT_USED);
        _credit(AUDITS, deal.token, AuditTerms.fee(deal));
        emit DealAudited(dealId);
    }

    /// @inheritdoc IAuditHold
    function closeAudit(Deal calldata terms, Claim calldata claim_, bool answered) external nonReentrantView {
        if (msg.sender != AUDITS) revert NotAudits();
        Deal memory deal;
        (bytes32 dealId, Cell storage cell, DealWord word) = _loadClaimed(deal, terms, claim_);
        if (!word.has(DealWords.AUDITED)) revert NoAuditOpen();
        emit AuditResolved(dealId, answered);
        if (answered) {
            cell.word = word.without(DealWords.AUDITED);
            return;
        }
        // The game's verdict comes first: it may slash more, and its challengers wait for it.
        if (word.has(DealWords.CHALLENGED)) revert ChallengeOpen();
        _dropDemand(deal, dealId);
        cell.word = DealWords.failed(dealId, 0);
        _fail(deal, dealId, Failure.AuditUnanswered, word, 0, 0, deal.buyer);
    }
}
