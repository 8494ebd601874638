// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Claim, Deal} from "../types/Orders.sol";

/// @title Where audits enter the market
interface IAuditHold {
    event DealAudited(bytes32 indexed dealId);
    event AuditResolved(bytes32 indexed dealId, bool answered);

    error NotAudits();
    /// The deal has been audited already.
    error AlreadyAudited();
    /// No audit of the deal is being held.
    error NoAuditOpen();

    /// @notice The audits open one of a claim: nothing finalises until `closeAudit`, the claim can be
    /// challenged as long, and the deal's audit fee moves to the audits. `claimedAt` is the second at which
    /// the claim's window began.
    function openAudit(Deal calldata deal, Claim calldata claim)
        external
        returns (bytes32 dealId, bytes32 claimHash, uint64 claimedAt);
    /// @notice The audit is over. A claim that the provider did not answer for fails the deal: the buyer
    /// is refunded unless it had accepted, half of the collateral is the buyer's, half burns.
    function closeAudit(Deal calldata deal, Claim calldata claim, bool answered) external;
}
