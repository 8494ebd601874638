// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Settlement} from "../types/Calls.sol";
import {Claim, Deal} from "../types/Orders.sol";

/// @title A deal ends: paid, or failed by its deadline
interface ISettling {
    /// The price was released: `paid` by the buyer; the fee is floor(paid * feeBps / 10000) of it.
    /// `resources` as in Deal. `finalised`: the collateral was released too, nothing of the deal is
    /// left.
    event DealPaid(
        bytes32 indexed dealId, address token, uint256 resources, uint64 cycles, uint128 paid, bool finalised
    );
    /// The collateral of a deal whose price had been accepted before was released; nothing of it is
    /// left.
    event DealFinalised(bytes32 indexed dealId);
    event SettlementSkipped(uint256 indexed index, bytes32 indexed dealId, bytes4 reason);

    error AcceptSignatureInvalid();
    /// The challenge window has not passed.
    error ChallengeWindowOpen();
    /// A demand for output is open.
    error DemandOpen();
    /// An audit is being held.
    error AuditOpen();
    /// The deal may be drawn for an audit: the beacon of its claim's period is not recorded, or it has
    /// drawn the deal and nobody has opened the audit.
    error DrawOpen();
    error DeadlineNotPassed();

    /// @notice Releases the price by the buyer's signature of Accept. Collateral stays locked.
    /// Anybody may send it; the offer's tip goes to a sender that is not the provider.
    function accept(Deal calldata deal, Claim calldata claim, bytes calldata signature) external;
    /// @notice Settles a claim once its challenge window has passed: the price (unless accepted
    /// before) and the collateral are released. Tip as for `accept`.
    function finalise(Deal calldata deal, Claim calldata claim) external;
    /// @notice Accepts and finalises several claims; a refused item is skipped.
    function settleMany(Settlement[] calldata settlements) external;
    /// @notice Fails a deal that was not claimed by its deadline: full refund, half of the
    /// collateral to the buyer, half burned. The bid's second tip goes to the sender.
    function timeout(Deal calldata deal) external;
}
