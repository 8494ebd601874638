// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IOpening} from "../interfaces/IOpening.sol";
import {IReplacing} from "../interfaces/IReplacing.sol";
import {OpenCall} from "../types/Calls.sol";
import {Deal, Offer} from "../types/Orders.sol";
import {Agreement} from "./Agreement.sol";
import {AuditTerms} from "./AuditTerms.sol";
import {Hashing} from "./Hashing.sol";
import {OfferWords, OrderWords} from "./OrderWords.sol";
import {Ranking} from "./Ranking.sol";
import {Refusal} from "./Refusal.sol";

/// @title A better offer takes the place of a deal within its rank window
abstract contract Replacing is Agreement, IReplacing {
    /// @inheritdoc IReplacing
    function replace(OpenCall calldata call, Deal calldata displacedTerms, Offer calldata displacedOffer)
        external
        nonReentrantView
        returns (bytes32 dealId)
    {
        Deal memory displaced;
        (bytes32 displacedId, Cell storage cell) = _loadOpen(displaced, displacedTerms);
        if (!Ranking.isOpen(displaced, cell.word)) revert RankWindowOver();
        Match memory m;
        if (_loadBid(call, m) != displaced.bidHash) revert OrderMismatch();
        if (call.count != displaced.taskCount) revert IOpening.CountOutOfRange();
        OfferWords memory offer;
        OrderWords.load(offer, displacedOffer);
        if (_digest(Hashing.offer(offer)) != displaced.offerHash) revert OrderMismatch();

        uint256 cost = Ranking.expectedCost(m.bid, displaced);
        uint256 score = Ranking.score(m.bid, cost, offer.speed, call.count);
        uint256 idleFee = Ranking.idleFee(displaced, cost, offer.speed);
        _displace(displaced, idleFee);

        // The hash of the bid is taken: from here on it is one without a window, so that nothing
        // replaces the replacement.
        m.bid.rankWindow = 0;
        uint256 bits = _bitsOf(m.bid.buyer, m.bid.salt);
        Refusal.orRevert(_agree(call, m, displaced.firstTask, call.count, bits));
        cost = Ranking.expectedCost(m.bid, m.deal);
        if (!Ranking.isBetter(Ranking.score(m.bid, cost, m.offer.speed, call.count), score)) revert NotBetter();
        dealId = _start(m.deal);
        emit DealReplaced(displacedId, dealId, msg.sender, idleFee);
    }

    /// @dev Gives back all that the deal holds, and lets the sender pay for it.
    function _displace(Deal memory deal, uint256 idleFee) private {
        _leave(deal);
        _vacate(deal);
        unchecked {
            // Parts of what was held.
            _credit(deal.buyer, deal.token, uint256(deal.escrow) + deal.buyerTip + AuditTerms.fee(deal));
        }
        _credit(deal.provider, deal.token, deal.collateral);
        _credit(deal.provider, NATIVE, COLLATERAL_FLOOR_WEI);
        _move(deal.token, msg.sender, deal.provider, idleFee);
        _move(deal.token, msg.sender, deal.buyer, deal.buyerTip);
    }
}
