// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {OpenCall} from "../types/Calls.sol";
import {Deal, JobSpec} from "../types/Orders.sol";

/// @title A match becomes a deal
interface IOpening {
    /// Logged once per bid, with its first deal.
    event JobPosted(bytes32 indexed jobHash, bytes32 indexed bidHash, JobSpec job);
    event DealOpened(bytes32 indexed dealId, address indexed buyer, address indexed provider, Deal deal);
    /// A deal took over `dealId`'s first tasks of the range that `failedDealId` left.
    event DealReopened(bytes32 indexed failedDealId, bytes32 indexed dealId);
    /// `reason` is the selector of the error with which `open` would have reverted.
    event OpenSkipped(uint256 indexed index, bytes32 indexed bidHash, bytes4 reason);

    /// Neither a valid ECDSA signature by the buyer nor accepted by its ERC-1271 contract.
    error BidSignatureInvalid();
    /// Neither a valid ECDSA signature by the provider nor accepted by its ERC-1271 contract.
    error OfferSignatureInvalid();
    error BidExpired();
    error OfferExpired();
    /// By its bit or by the account's counter.
    error BidCancelled();
    /// By its bit or by the account's counter.
    error OfferCancelled();
    /// Fewer tasks are left than the deal wants.
    error BidTaken();
    /// Another bid of the account used the same salt.
    error SaltReused();
    /// A limit of the job lies outside what the machine allows.
    error JobOutOfRange();
    /// Zero tasks, more than 2048, or (reopening) more than the failed deal left.
    error CountOutOfRange();
    error SelfDeal();
    error ReplicasUnsupported();
    error GpuUnsupported();
    error RoundTripUnsupported();
    /// More than 32 blocks.
    error RankWindowTooLong();
    /// An audit rate above 10,000, a fee of 2^96 or more, or one of the two without the other.
    error AuditTermsInvalid();
    error TokenMismatch();
    error MachineVersionMismatch();
    error RegionRefused();
    error AttributesMissing();
    error MemoryInsufficient();
    error DiskInsufficient();
    error EgressInsufficient();
    /// A price above 2^100, or a unit price that does not fit 128 bits.
    error PriceOutOfRange();
    /// The expected cost of a task exceeds the bid's cap.
    error PriceAboveCap();
    /// The tasks at their cycle limit do not fit the execution timeout at the offer's speed.
    error TooSlow();
    error CollateralAboveMax();
    error NoFreeSlot();
    /// The provider cancelled a deal of this bid before.
    error ProviderBarred();
    /// The buyer's free balance does not cover the escrow and two tips.
    error BuyerBalanceInsufficient();
    /// The provider's free balance does not cover the collateral.
    error ProviderBalanceInsufficient();
    /// The provider's free coin does not cover the collateral floor.
    error ProviderFloorInsufficient();
    /// The deal whose range is wanted has not failed, or is a deal of another bid.
    error NotReopenable();
    /// A range reopens in a later block than the one in which its deal opened.
    error ReopenTooEarly();

    /// @notice Opens a deal between a bid and an offer for the next `count` tasks of the bid.
    /// Anybody may send it; the bid's tip goes to the sender.
    function open(OpenCall calldata call) external returns (bytes32 dealId);
    /// @notice Opens several deals; a refused item is skipped and its id is zero.
    function openMany(OpenCall[] calldata calls) external returns (bytes32[] memory dealIds);
    /// @notice Opens a deal for the next `count` tasks of the range of a deal that failed, while
    /// the bid is live.
    function reopen(OpenCall calldata call, Deal calldata failed) external returns (bytes32 dealId);
}
