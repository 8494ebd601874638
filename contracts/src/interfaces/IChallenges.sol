// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Payout} from "../types/Calls.sol";
import {Claim, Deal} from "../types/Orders.sol";

/// @title Where the dispute game enters
interface IChallenges {
    event DealChallenged(bytes32 indexed dealId);
    event ChallengeResolved(bytes32 indexed dealId, bool stands);

    error NotGame();
    error NoChallengeOpen();
    /// The payouts exceed half of the slashed collateral.
    error PayoutTooLarge();

    /// @notice The game opens a challenge of a claim, within the claim's window: nothing finalises
    /// until `resolveChallenge`. There may be several. The bond moves from the challenger's coins to
    /// the game's.
    function openChallenge(Deal calldata deal, Claim calldata claim, address challenger, uint256 bond)
        external
        returns (bytes32 dealId, bytes32 claimHash);
    /// @notice The game's verdict. A claim that stands goes on as if never challenged. One that
    /// falls fails the deal: the buyer is refunded unless it had accepted, `payouts` (at most half)
    /// come out of the collateral and its floor, and the rest is burned.
    function resolveChallenge(Deal calldata deal, Claim calldata claim, bool stands, Payout[] calldata payouts)
        external;
    /// @notice The game or the audits give what they hold, of bonds, payouts and fees, to an account.
    function release(address token, address account, uint256 amount) external;
}
