// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

// What the audits take and show. Nothing here is signed.

/// What a deployment fixes for ever. Times in seconds.
struct AuditParameters {
    address market;
    address game;
    address stake;
    /// Claims of one period share a beacon.
    uint32 beaconPeriod;
    /// Auditors that are drawn for a deal, 1 to 8.
    uint8 auditors;
    /// To fetch program and input and to run them natively, besides the machine's run.
    uint32 commitTime;
    /// As in the game's parameters: to get one's calls into blocks.
    uint32 inclusionDelay;
    /// As in the game's parameters: cycles per second of the slowest interpreter.
    uint64 interpreterSpeed;
    /// Stake that each open audit of a verifier puts at risk, and that a wrong auditor loses.
    uint128 stakePerAudit;
    /// What an auditor loses that does not commit in time; at most `stakePerAudit`.
    uint128 silencePenalty;
}

/// Whether a claim is audited.
enum Draw {
    /// The beacon of its period is not known.
    Pending,
    Passed,
    Drawn
}

/// A verifier that audits.
struct Seat {
    address account;
    /// First and, exclusively, last period of which claims may be drawn for it.
    uint32 from;
    uint32 until;
    /// Most audits that it takes on at a time.
    uint8 capacity;
    /// Audits that it is drawn for now.
    uint8 open;
}

/// The beacon of a period.
struct BeaconRecord {
    /// Of the block named, whose hash it is; zero until it is known.
    bytes32 hash;
    /// The block named; zero: none yet.
    uint64 number;
    /// Seats at that time, the only ones that its draws can reach.
    uint32 seats;
}

/// How an audit ended for one of its auditors.
enum Outcome {
    /// Paid: nothing contradicts it.
    Right,
    /// Nothing decided whether it was right, nothing was expected of it any more, or it endorsed a result
    /// that fell: neither paid nor slashed.
    Excused,
    /// Did not commit, or could not fetch what another could: loses the penalty of silence.
    Silent,
    /// Committed, and kept what it had committed to for itself: loses a whole stake.
    Withheld,
    /// Contradicted the provider, and did not win the game about it: loses a whole stake.
    Wrong
}

/// One auditor's part of an audit.
struct Report {
    address account;
    bool revealed;
    /// keccak256(abi.encode(state, halted, salt, account)); zero until it commits.
    bytes32 commitment;
    /// Hash of the state at its point.
    bytes32 state;
    /// Hash of the state in which the task halts; zero if it could not be fetched.
    bytes32 halted;
    /// Hash of the state at its point, as the provider says.
    bytes32 answer;
}

/// One audit: of one task of a claim, by several auditors.
struct Audit {
    address provider;
    /// Last second at which a commitment counts.
    uint64 commitDeadline;
    uint8 auditors;
    /// Parties, the provider among them, that have committed, and that have revealed.
    uint8 committed;
    uint8 revealed;
    bool answered;
    bool closed;
    /// From which task, auditors and points follow.
    bytes32 seed;
    /// The claimed halted state of the task.
    bytes32 leaf;
    /// keccak256(abi.encode(answers, salt, provider)); zero until the provider commits.
    bytes32 commitment;
    uint64 cycles;
    uint32 task;
    /// Base units of the deal's token.
    uint128 fee;
}
