// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IChallenges} from "../interfaces/IChallenges.sol";
import {Failure, Payout} from "../types/Calls.sol";
import {Claim, Deal} from "../types/Orders.sol";
import {DealWord, DealWords} from "./DealWord.sol";
import {Demands} from "./Demands.sol";
import {Hashing} from "./Hashing.sol";

/// @title Where the dispute game enters
/// @dev The market knows one bit per deal, "a game is open"; how many games there are, their bonds
/// and their clocks are the game's own business.
abstract contract Challenges is Demands, IChallenges {
    /// @inheritdoc IChallenges
    function openChallenge(Deal calldata terms, Claim calldata claim_, address challenger, uint256 bond)
        external
        nonReentrantView
        returns (bytes32 dealId, bytes32 claimHash)
    {
        if (msg.sender != GAME) revert NotGame();
        Deal memory deal;
        Cell storage cell;
        DealWord word;
        (dealId, cell, word) = _loadClaimed(deal, terms, claim_);
        claimHash = Hashing.claim(dealId, claim_);
        // What an auditor finds after the window can still be played out.
        if (!_inChallengeWindow(word) && !word.has(DealWords.AUDITED)) revert ChallengeWindowOver();
        _move(NATIVE, challenger, GAME, bond);
        cell.word = word.with(DealWords.CHALLENGED);
        emit DealChallenged(dealId);
    }

    /// @inheritdoc IChallenges
    function release(address token, address account, uint256 amount) external nonReentrantView {
        if (msg.sender != GAME && msg.sender != AUDITS) revert NotGame();
        _move(token, msg.sender, account, amount);
    }

    /// @inheritdoc IChallenges
    function resolveChallenge(Deal calldata terms, Claim calldata claim_, bool stands, Payout[] calldata payouts)
        external
        nonReentrantView
    {
        if (msg.sender != GAME) revert NotGame();
        Deal memory deal;
        (bytes32 dealId, Cell storage cell, DealWord word) = _loadClaimed(deal, terms, claim_);
        if (!word.has(DealWords.CHALLENGED)) revert NoChallengeOpen();
        emit ChallengeResolved(dealId, stands);
        if (stands) {
            cell.word = word.without(DealWords.CHALLENGED);
            return;
        }
        _dropDemand(deal, dealId);
        cell.word = DealWords.failed(dealId, 0);
        (uint256 paid, uint256 paidNative) = _pay(deal, payouts);
        _fail(deal, dealId, Failure.ClaimRefuted, word, paid, paidNative, deal.buyer);
    }

    /// @dev Pays out of the collateral and its floor, at most half of each: the rest will burn.
    function _pay(Deal memory deal, Payout[] calldata payouts) private returns (uint256 paid, uint256 paidNative) {
        for (uint256 i = 0; i < payouts.length; ++i) {
            paid += payouts[i].amount;
            paidNative += payouts[i].native;
            _credit(payouts[i].account, deal.token, payouts[i].amount);
            _credit(payouts[i].account, NATIVE, payouts[i].native);
        }
        if (paid > deal.collateral / 2 || paidNative > COLLATERAL_FLOOR_WEI / 2) revert PayoutTooLarge();
    }
}
