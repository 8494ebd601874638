// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ClaimCall} from "../types/Calls.sol";
import {Claim, Deal} from "../types/Orders.sol";

/// @title The provider says what the tasks came to
interface IClaims {
    /// `tasks` as in the claim's calldata: 38 bytes per task.
    event DealClaimed(bytes32 indexed dealId, Claim claim, bytes tasks);
    event ClaimSkipped(uint256 indexed index, bytes32 indexed dealId, bytes4 reason);

    error NotProvider();
    error DeadlinePassed();
    /// A better offer may still take the place of the deal.
    error RankWindowOpen();
    /// Not 38 bytes for each task of the deal.
    error ClaimLengthMismatch();
    /// A task claims more cycles than the job's limit.
    error CyclesAboveLimit();
    error RelaySignatureInvalid();

    /// @notice The provider claims its deal. `tasks` holds 38 bytes per task: cycles (uint48,
    /// big-endian) and inner hash; halted-state hashes, root and bill follow from them.
    function claim(Deal calldata deal, bytes calldata tasks) external returns (Claim memory);
    /// @notice Several claims of the caller; a refused item is skipped.
    function claimMany(ClaimCall[] calldata calls) external;
    /// @notice A claim sent by anybody with the provider's signature of ClaimRelay. The offer's
    /// tip goes to the sender, out of the provider's free balance as far as that reaches.
    function claimFor(Deal calldata deal, bytes calldata tasks, bytes calldata signature)
        external
        returns (Claim memory);
}
