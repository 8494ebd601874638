// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

// The structures that are signed or hashed. Rust reads this very file (`protocol/src/types.rs`),
// so there is one definition; `protocol/vectors/*.json` binds the hashes in all languages.
// Every field is a static ABI word. Amounts are base units of `token`; `tip` too.
// No structure has more than 24 fields, the most that the Rust ABI coder takes; `Resources` is
// nested for that reason, which leaves the ABI bytes as they were (EIP-712 types name it).

/// What is to be computed. `jobHash = keccak256(abi.encode(JobSpec))`.
struct JobSpec {
    /// Version of the machine's rules (accepted instructions, cost table, guest library).
    uint32 machineVersion;
    /// Commitment to the linked program; opaque to the market.
    bytes32 imageRoot;
    /// Merkle root over the tasks' leaves: keccak256(abi.encode(index, blake3, inputRoot, length)).
    bytes32 inputsRoot;
    /// BLAKE3 of the job's manifest (program and input blobs). A hint by which blobs are fetched.
    bytes32 manifest;
    /// Ed25519 key of the node that serves the blobs. A hint as well.
    bytes32 source;
    /// Most cycles of one task, at most 2^44.
    uint64 cycleLimit;
    /// Most 64 KiB pages of all memories together, the WASI library's included; at most 65536.
    uint32 pageLimit;
    /// Most frame slots in use at once.
    uint64 slotLimit;
    /// Most bytes of one task's output archive.
    uint64 outputLimit;
    /// Number of tasks, at least 1.
    uint32 taskCount;
}

/// Resources of one slot: what a bid reserves, what an offer has.
struct Resources {
    uint32 memoryMib;
    uint32 diskMib;
    uint16 gpuClass;
    uint16 gpuCount;
    uint32 egressMib;
}

/// A buyer's order.
struct Bid {
    address buyer;
    /// ERC-20 that pays; the zero address is the chain's own coin.
    address token;
    bytes32 jobHash;
    /// Number of tasks; equals `JobSpec.taskCount`.
    uint32 tasks;
    /// Expected cycles of one task: what ranks offers. Never bills.
    uint64 cyclesExpected;
    /// What one task reserves and pays for.
    Resources resources;
    /// Most that one task may cost.
    uint128 priceCap;
    /// What a second of expected completion is worth, per deal.
    uint128 valueOfTime;
    /// Bit r set: region r is acceptable.
    uint256 regions;
    /// Bits that an offer must have.
    uint256 attributes;
    uint32 roundTripMsMax;
    bytes32 roundTripPlace;
    /// Chance that a deal is audited, in basis points.
    uint16 auditRateBps;
    /// What an audit of a deal pays to all who take part in it; below 2^96, and zero if and only if
    /// the rate is. Locked with each deal, and the buyer's again unless the deal is drawn.
    uint128 auditFee;
    /// Collateral as a multiple of the escrowed price, in basis points (10000 = once the price).
    uint32 collateralBps;
    uint8 replicas;
    /// Seconds from the opening that the provider has to fetch and start.
    uint32 queueTimeout;
    /// Seconds that the execution of a deal may take after that.
    uint32 executionTimeout;
    /// Blocks after the opening in which a better offer may replace a deal; 0: none, at most 32.
    uint16 rankWindow;
    /// Paid to whoever sends a transaction that opens or times out a deal of this bid.
    uint128 tip;
    /// Unix seconds; valid up to and including this second.
    uint64 expiry;
    /// Unique per order of an account: its place in the account's order bitmap.
    uint256 salt;
    /// Must equal the account's cancel counter.
    uint64 counter;
}

/// A provider's order.
struct Offer {
    address provider;
    address token;
    /// Names a pool of slots; the contract counts open deals per (provider, capacityId).
    bytes32 capacityId;
    uint32 slots;
    /// Ed25519 key of the provider's node.
    bytes32 peerKey;
    uint8 region;
    uint256 attributes;
    /// What one slot has.
    Resources resources;
    /// Per task.
    uint128 startFee;
    /// Base units per 10^18 cycles (10^-9 base units per 10^9 cycles).
    uint128 cyclePrice;
    /// The same per MiB of memory, MiB of disk, GPU, MiB of egress that the bid reserves.
    uint128 memoryPrice;
    uint128 diskPrice;
    uint128 gpuPrice;
    uint128 egressPrice;
    /// Cycles per second, signed: deadlines follow from it.
    uint64 speed;
    /// Most collateral that one deal may lock.
    uint128 collateralMax;
    uint32 machineVersion;
    /// Paid by the provider to whoever sends a transaction that claims or finalises for it.
    uint128 tip;
    uint64 expiry;
    uint256 salt;
    uint64 counter;
}

/// The terms of a deal, fixed when it opens. `dealId = keccak256(abi.encode(domainSeparator, Deal))`.
/// Later calls bring the terms along; the market stores one word per deal.
struct Deal {
    bytes32 bidHash;
    bytes32 offerHash;
    bytes32 jobHash;
    address buyer;
    address provider;
    address token;
    bytes32 capacityId;
    /// Which cell of the pool holds the deal's word; chosen by the market.
    uint32 cell;
    /// The range of tasks.
    uint32 firstTask;
    uint32 taskCount;
    uint64 cycleLimit;
    uint128 startFee;
    /// Sum of the offer's prices over what the bid reserves, per 10^18 cycles.
    uint128 unitPrice;
    uint128 priceCap;
    /// taskCount x the most that a task can cost at its cycle limit.
    uint128 escrow;
    uint128 collateral;
    uint128 buyerTip;
    uint128 providerTip;
    uint64 openedAt;
    /// Last second at which a claim is valid: the timeouts count from the end of the rank window.
    uint64 deadline;
    /// Salt of the bid, to find its bits again.
    uint256 bidSalt;
    /// What the deal reserves, packed, low bits first: memoryMib (32), diskMib (32), egressMib (32),
    /// gpuClass (16), gpuCount (16), region (8), auditRateBps (16), auditFee (96),
    /// rankWindow (8; 0 for a deal that replaced another one).
    uint256 resources;
}

/// What a provider claims for a deal; the market computes all three from the claim's calldata.
/// `claimHash = keccak256(abi.encode(keccak256("outcry.claim.v1"), dealId, Claim))`.
struct Claim {
    /// Merkle root over the halted-state hashes of the deal's tasks, in order.
    bytes32 resultRoot;
    /// Sum over the tasks.
    uint64 cycles;
    /// Sum over the tasks.
    uint128 price;
}

/// The buyer's word that a claim is right: releases the price, never the collateral.
struct Accept {
    bytes32 dealId;
    bytes32 claimHash;
}

/// The buyer's word that it holds the output of one task.
struct Receipt {
    bytes32 dealId;
    uint32 task;
    bytes32 outputRoot;
}

/// A provider's word by which somebody else may send its claim.
struct ClaimRelay {
    bytes32 dealId;
    bytes32 claimHash;
}
