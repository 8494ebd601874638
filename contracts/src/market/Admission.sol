// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {BURN} from "./Ledger.sol";
import {IAdmission} from "../interfaces/IAdmission.sol";
import {Deal} from "../types/Orders.sol";
import {DealWord, DealWords} from "./DealWord.sol";
import {Deals} from "./Deals.sol";
import {Money} from "./Money.sol";
import {Ranking} from "./Ranking.sol";

/// @title Either side backs out while the input is being fetched
abstract contract Admission is Deals, IAdmission {
    /// @inheritdoc IAdmission
    function cancelAdmission(Deal calldata terms) external nonReentrantView {
        Deal memory deal;
        (bytes32 dealId, Cell storage cell) = _loadOpen(deal, terms);
        DealWord word = cell.word;
        bool byProvider = msg.sender == deal.provider;
        if (!byProvider && msg.sender != deal.buyer) revert NotParty();
        if (block.timestamp > Ranking.startsBy(deal) + ADMISSION_WINDOW_S) revert AdmissionOver();

        // Neither side can burn more than it has locked, and both burn alike.
        uint256 fee = Money.share(deal.escrow, ADMISSION_FEE_BPS);
        if (fee > deal.collateral) fee = deal.collateral;
        uint256 buyerFee = _bitsOf(deal.buyer, deal.bidSalt) & BURNED == 0 ? fee : 0;

        cell.word = DealWords.failed(dealId, 0);
        _leave(deal);
        _setBits(deal.buyer, deal.bidSalt, BURNED);
        if (byProvider) _bar(deal.bidHash, deal.provider);
        _credit(deal.buyer, deal.token, uint256(deal.escrow) + deal.buyerTip + _auditFeeLeft(deal, word) - buyerFee);
        _credit(deal.provider, deal.token, deal.collateral - fee);
        _credit(deal.provider, NATIVE, COLLATERAL_FLOOR_WEI);
        _credit(BURN, deal.token, buyerFee + fee);
        emit AdmissionCancelled(dealId, msg.sender, buyerFee, fee);
    }
}
