// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Payout} from "../types/Calls.sol";
import {Claim, Deal} from "../types/Orders.sol";

/// @title Where the dispute game enters
interface IChallenges {
    event DealChallenged(bytes32 indexed dealId);
    event ChallengeResolved(bytes32 indexed dealId, bool stands);

    error NotGame();
    error ChallengeAlreadyOpen();
    error NoChallengeOpen();
    /// The payouts exceed half of the slashed collateral.
    error PayoutTooLarge();

    /// @notice The game marks a claim as challenged, within its window: nothing finalises until
    /// `resolveChallenge`.
    function markChallenged(Deal calldata deal, Claim calldata claim) external;
    /// @notice The game's verdict. A claim that stands goes on as if never challenged. One that
    /// falls fails the deal: the buyer is refunded unless it had accepted, `payouts` (at most half)
    /// come out of the collateral and its floor, and the rest is burned.
    function resolveChallenge(Deal calldata deal, Claim calldata claim, bool stands, Payout[] calldata payouts)
        external;
}
