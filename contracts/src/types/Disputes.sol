// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Claim, Deal, JobSpec} from "./Orders.sol";

// What the contracts of a dispute take and show. Nothing here is signed.

/// The words of an image in the order of `verifier/MACHINE.md`, section 5.
struct Image {
    /// Entry point and shape, packed.
    uint256 shape;
    bytes32 code;
    bytes32 globals;
    bytes32 tables;
    bytes32 segments;
    /// keccak of the memories' initial descriptors.
    bytes32 memories;
}

/// A memory before a job's page limit gives its tree the final depth.
struct Memory {
    bytes32 root;
    /// Pages now, most pages, and depth, packed as in the machine's state.
    uint256 shape;
}

/// Names a game; its id is keccak256(abi.encode(GameKey)).
struct GameKey {
    bytes32 claimHash;
    /// Index of the challenged task in the job.
    uint32 task;
    address challenger;
    /// Zero: the game is about the state in which the task halts. Otherwise about that of an auditor's
    /// point, the first whose cycle register reaches this number.
    uint64 until;
}

/// One part of the opponent's list, with its path of four siblings to the list's root. Its
/// leaf is keccak256(before, end).
struct Part {
    /// From 0.
    uint8 index;
    /// Sections still to be made when the mover looked: lists of a trace that has halted are the same
    /// on several levels, and a move that a fork takes back must not come in on another one.
    uint8 level;
    /// State hash at its start: that of the opponent's part before.
    bytes32 before;
    /// State hash at its end, as the opponent asserts it.
    bytes32 end;
    bytes32[4] path;
}

/// Opens a task's input in the job.
struct InputOpening {
    /// BLAKE3 of the archive, as in the task's leaf.
    bytes32 blake3;
    /// Bytes of the archive.
    uint64 length;
    /// Merkle root of the archive.
    bytes32 archive;
    /// Siblings from the task's leaf up to `JobSpec.inputsRoot`.
    bytes32[] path;
}

/// Opens one task of a claim, with what the claim's calldata says of it: whoever challenges need not
/// know what the inner hash was made of, and a false one may have been made of nothing.
struct ClaimedTask {
    /// Index in the job.
    uint32 task;
    uint64 cycles;
    bytes32 inner;
    /// Siblings from the task's leaf up to the claim's result root.
    bytes32[] path;
}

/// All that a challenge names. The challenger is the sender.
struct ChallengeCall {
    Deal deal;
    Claim claim;
    JobSpec job;
    ClaimedTask claimed;
    InputOpening input;
    Image image;
    Memory[] memories;
    /// The halted state that the challenger asserts.
    bytes32 halted;
    /// Most wei that the challenger is willing to bond.
    uint256 bondMax;
}

/// What a deployment fixes for ever.
struct GameParameters {
    address market;
    address stepVerifier;
    address initialState;
    address audits;
    /// Seconds that a party may need to get all of its moves into blocks, censorship included.
    uint32 inclusionDelay;
    /// Cycles per second of the slowest interpreter that is protected while it plays 32 games.
    uint64 interpreterSpeed;
    /// Most wei per gas that bonds cover and refunds pay.
    uint64 gasPriceCap;
    /// Wei per 2^30 cycles of an interpreter's run.
    uint128 runPrice;
}

/// How far a game has come.
enum GameStatus {
    None,
    Running,
    /// The provider won.
    Refused,
    /// The challenger won.
    Won
}

/// A game as it stands now.
struct Standing {
    GameStatus status;
    address provider;
    /// Root over the 16 parts that the party that does not move has asserted.
    bytes32 root;
    /// Whether the challenger moves.
    bool challengersTurn;
    /// Whether the game has a seat. Without one the provider's clock stands still for four clocks.
    bool seated;
    /// Sections still to be made; at 0 the mover proves.
    uint8 sectionsLeft;
    /// Seconds that are left on each clock, now.
    uint32 challengerLeft;
    uint32 providerLeft;
    /// The mover's clock has run out: anybody may call `timeout`.
    bool overdue;
    /// Another game has shown that the claim is false: this one need not go on.
    bool claimFell;
    /// Wei; zero once the game is collected.
    uint128 bond;
}
