// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAccounts} from "./IAccounts.sol";
import {IAdmission} from "./IAdmission.sol";
import {IAuditHold} from "./IAuditHold.sol";
import {IChallenges} from "./IChallenges.sol";
import {IClaims} from "./IClaims.sol";
import {IDeals} from "./IDeals.sol";
import {IDemands} from "./IDemands.sol";
import {IDeployment} from "./IDeployment.sol";
import {IOpening} from "./IOpening.sol";
import {IOrders} from "./IOrders.sol";
import {IReplacing} from "./IReplacing.sol";
import {ISettling} from "./ISettling.sol";

/// @title The market: escrow between a signed bid and a signed offer
/// @notice The life of a deal: open -> (replaced in the rank window, cancelled in the admission window)
/// -> claim -> accept, or the challenge window passes -> finalise. A deal that misses its deadline, withholds demanded output
/// or loses a game fails: the buyer is refunded, half of the collateral goes to the buyer (or to
/// the challengers) and the rest is burned.
///
/// Times are Unix seconds and limits are inclusive: a claim is valid at its deadline, a timeout one
/// second later. Amounts are base units of a token; the zero address stands for the chain's own
/// coin. All money is pulled: every call credits ledger balances, only `withdraw` pays out.
///
/// Every function that refuses does so with an error of its own and changes nothing. Batches
/// skip an item that would be refused and log the selector of its error.
interface IMarket is
    IDeployment,
    IDeals,
    IAccounts,
    IOrders,
    IOpening,
    IReplacing,
    IClaims,
    ISettling,
    IAdmission,
    IDemands,
    IChallenges,
    IAuditHold
{}
