// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IChallenges} from "../interfaces/IChallenges.sol";
import {Failure, Payout} from "../types/Calls.sol";
import {Claim, Deal} from "../types/Orders.sol";
import {DealWord, DealWords} from "./DealWord.sol";
import {Demands} from "./Demands.sol";
import {Refusal} from "./Refusal.sol";

/// @title Where the dispute game enters
/// @dev The market knows one bit per deal, "a game is open"; how many games there are, their bonds
/// and their clocks are the game's own business.
abstract contract Challenges is Demands, IChallenges {
    /// @inheritdoc IChallenges
    function markChallenged(Deal calldata deal, Claim calldata claim_) external nonReentrantView {
        (bytes32 dealId, DealWord word) = _fromGame(deal, claim_);
        if (word.has(DealWords.CHALLENGED)) revert ChallengeAlreadyOpen();
        if (!_inChallengeWindow(word)) revert ChallengeWindowOver();
        _setWord(deal, word.with(DealWords.CHALLENGED));
        emit DealChallenged(dealId);
    }

    /// @inheritdoc IChallenges
    function resolveChallenge(Deal calldata deal, Claim calldata claim_, bool stands, Payout[] calldata payouts)
        external
        nonReentrantView
    {
        (bytes32 dealId, DealWord word) = _fromGame(deal, claim_);
        if (!word.has(DealWords.CHALLENGED)) revert NoChallengeOpen();
        emit ChallengeResolved(dealId, stands);
        if (stands) {
            _setWord(deal, word.without(DealWords.CHALLENGED));
            return;
        }
        _dropDemand(deal, dealId);
        _setWord(deal, DealWords.failed(dealId, 0));
        (uint256 paid, uint256 paidNative) = _pay(deal, payouts);
        _fail(deal, dealId, Failure.ClaimRefuted, word.has(DealWords.ACCEPTED), paid, paidNative, deal.buyer);
    }

    function _fromGame(Deal calldata deal, Claim calldata claim_) private view returns (bytes32 dealId, DealWord word) {
        if (msg.sender != GAME) revert NotGame();
        dealId = hashDeal(deal);
        bytes4 refusal;
        (refusal, word,) = _claimedDeal(deal, dealId, claim_);
        Refusal.orRevert(refusal);
    }

    /// @dev Pays out of the collateral and its floor, at most half of each: the rest will burn.
    function _pay(Deal calldata deal, Payout[] calldata payouts) private returns (uint256 paid, uint256 paidNative) {
        for (uint256 i = 0; i < payouts.length; ++i) {
            paid += payouts[i].amount;
            paidNative += payouts[i].native;
            _credit(payouts[i].account, deal.token, payouts[i].amount);
            _credit(payouts[i].account, NATIVE, payouts[i].native);
        }
        if (paid > deal.collateral / 2 || paidNative > COLLATERAL_FLOOR_WEI / 2) revert PayoutTooLarge();
    }
}
