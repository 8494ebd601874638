// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Bid, Claim, Deal, JobSpec, Offer} from "./Orders.sol";

// What the market's functions take. Nothing here is signed or hashed.

/// What a deployment fixes for ever.
struct Parameters {
    /// The only caller of the challenge entry; the zero address until a game exists.
    address game;
    /// Draws, holds and judges audits; the only caller of their entry.
    address audits;
    /// Credited with the fee.
    address feeCollector;
    /// Seconds from the opening in which either side may cancel.
    uint32 admissionWindow;
    /// Seconds from the claim in which it may be challenged or its output demanded.
    uint32 challengeWindow;
    /// Seconds that the provider has to answer a demand for output.
    uint32 demandWindow;
    /// Seconds between the request of a withdrawal and the withdrawal.
    uint32 withdrawalDelay;
    /// Wei that a provider locks for each deal besides its collateral.
    uint128 collateralFloor;
    /// Wei that a buyer locks for a demand.
    uint128 demandBond;
    /// Part of the escrow that each side burns when a deal is cancelled in the admission window.
    uint16 admissionFeeBps;
    /// Part of the price that goes to the fee collector; at most MAX_FEE_BPS.
    uint16 feeBps;
}

/// Both orders of a match with their signatures, and how many tasks of the bid the deal takes.
struct OpenCall {
    Bid bid;
    bytes bidSignature;
    Offer offer;
    bytes offerSignature;
    JobSpec job;
    uint32 count;
}

/// One claim of a batch.
struct ClaimCall {
    Deal deal;
    /// 38 bytes per task: cycles (uint48, big-endian), inner hash.
    bytes tasks;
}

/// One item of a settlement batch.
struct Settlement {
    Deal deal;
    Claim claim;
    /// The buyer's signature of Accept; empty: do not accept.
    bytes acceptSignature;
    /// Finalise after that.
    bool finalise;
}

/// Opens one task of a claim: everything its halted-state hash consists of, and its Merkle path.
struct TaskOpening {
    /// Index in the job.
    uint32 task;
    uint64 cycles;
    uint8 status;
    uint32 exitCode;
    bytes32 outputRoot;
    uint64 outputLength;
    /// Siblings from the task's leaf up to the claim's result root.
    bytes32[] path;
}

/// One demanded leaf of an output archive, revealed.
struct LeafAnswer {
    TaskOpening opening;
    /// Index of the leaf in the task's output.
    uint64 leaf;
    /// The leaf itself: 128 bytes, zero padded.
    bytes32[4] data;
    /// Siblings from the leaf up to the output root.
    bytes32[] path;
}

/// One demanded leaf.
struct LeafIndex {
    /// Index in the job.
    uint32 task;
    uint64 leaf;
}

/// What a won game pays to one account out of the slashed collateral.
struct Payout {
    address account;
    /// Base units of the deal's token.
    uint128 amount;
    /// Wei out of the collateral floor.
    uint128 native;
}

/// Where a deal stands. A settled deal reads None; its events remain.
enum DealStatus {
    None,
    Open,
    Claimed,
    Failed
}

/// Why a deal failed.
enum Failure {
    /// No claim by the deadline.
    Timeout,
    /// A demand for output was not answered in time.
    OutputWithheld,
    /// The game found the claim false.
    ClaimRefuted,
    /// The provider did not answer an audit.
    AuditUnanswered
}

/// What the market stores about a deal.
struct DealState {
    DealStatus status;
    /// The buyer has accepted: the price is released.
    bool accepted;
    /// A game is open.
    bool challenged;
    /// A demand for output is open.
    bool demanded;
    /// A demand has been made; there is at most one per deal.
    bool demandUsed;
    /// An audit is being held.
    bool audited;
    /// An audit has been drawn; there is at most one per deal, and its fee has left the deal.
    bool auditUsed;
    /// Open: the last block in which it can be replaced, 0 without a rank window.
    /// Claimed: the second at which the challenge window began.
    /// Failed: how many tasks of the range have been taken over by later deals.
    uint64 clock;
    /// The low 192 bits of the deal's id or, once claimed, of the claim hash.
    uint192 binding;
}
