// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {DealState, Failure} from "../types/Calls.sol";
import {Deal} from "../types/Orders.sol";

/// @title What the market knows about a deal
interface IDeals {
    /// `toBuyer` and `burned` are parts of the collateral; the escrow went back to the buyer unless
    /// the price had been accepted.
    event DealFailed(
        bytes32 indexed dealId,
        address indexed buyer,
        address indexed provider,
        Failure failure,
        address token,
        uint256 resources,
        uint256 refunded,
        uint256 toBuyer,
        uint256 burned
    );

    /// The deal is unknown, claimed, failed or settled.
    error DealNotOpen();
    /// The deal holds no claim, or not this one: it is unknown, unclaimed, failed or settled.
    error ClaimNotHeld();
    error AlreadyAccepted();
    /// A game about the claim is open.
    error ChallengeOpen();
    error ChallengeWindowOver();
    /// The job is not the one that the bid names.
    error JobMismatch();

    /// @notice What the market stores about a deal; status None if it is settled or unknown. A claimed
    /// deal is this one if the binding is that of the claim that you know: the cells of settled
    /// deals are used again.
    function dealState(Deal calldata deal) external view returns (DealState memory);
    /// @notice Deals that hold a slot of a provider's pool.
    function openSlots(address provider, bytes32 capacityId) external view returns (uint32);
    function hashDeal(Deal calldata deal) external view returns (bytes32);
    /// @notice The open demand of a deal: a commitment to its leaves, and the last second at which
    /// an answer is valid.
    function demandOf(bytes32 dealId) external view returns (bytes32 commitment, uint64 deadline, uint8 outputDepth);
}
