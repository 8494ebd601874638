// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {LeafAnswer, LeafIndex, TaskOpening} from "../types/Calls.sol";
import {Claim, Deal, JobSpec} from "../types/Orders.sol";

/// @title Silence pays only for available data
interface IDemands {
    event OutputDemanded(bytes32 indexed dealId, LeafIndex[] leaves, uint64 deadline);
    event LeafRevealed(bytes32 indexed dealId, uint32 indexed task, uint64 indexed leaf, bytes32[4] data);
    /// The buyer had signed for this task's output: its leaves need not be revealed.
    event ReceiptShown(bytes32 indexed dealId, uint32 indexed task);
    event DemandAnswered(bytes32 indexed dealId);

    error NotBuyer();
    /// No leaf, or more than 64.
    error LeavesOutOfRange();
    /// A task outside the deal, or a leaf beyond the job's output limit.
    error LeafOutOfRange();
    /// There is at most one demand per deal.
    error DemandAlreadyMade();
    error NoDemandOpen();
    error DemandWindowOver();
    error DemandWindowOpen();
    /// The answer is about other leaves than the demand.
    error LeavesMismatch();
    /// A task's opening does not lead to the claim.
    error OpeningInvalid();
    /// A leaf's path does not lead to the output root.
    error LeafInvalid();
    error ReceiptSignatureInvalid();
    /// The demand is about no leaf of this task.
    error TaskNotDemanded();

    /// @notice The buyer demands up to 64 leaves of the deal's outputs, once, within the challenge
    /// window, against a bond in coin. Nothing finalises until the answer; the answer starts the
    /// challenge window again.
    function demandOutput(Deal calldata deal, Claim calldata claim, JobSpec calldata job, LeafIndex[] calldata leaves)
        external;
    /// @notice Reveals the demanded leaves, in the order of the demand. The bond goes back to the
    /// buyer. Anybody may send it.
    function answerDemand(Deal calldata deal, Claim calldata claim, LeafAnswer[] calldata answers) external;
    /// @notice Answers for every demanded leaf of one task by the buyer's signature of Receipt; the
    /// buyer's bond goes to the provider. `leaves` is what is still demanded.
    function answerDemandWithReceipt(
        Deal calldata deal,
        Claim calldata claim,
        LeafIndex[] calldata leaves,
        TaskOpening calldata opening,
        bytes calldata signature
    ) external;
    /// @notice Fails a deal whose demanded output was not revealed in time. Refund and slash as for
    /// `timeout`.
    function demandTimeout(Deal calldata deal, Claim calldata claim) external;
}
