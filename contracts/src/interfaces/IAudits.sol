// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Audit, AuditParameters, BeaconRecord, Draw, Outcome, Report, Seat} from "../types/Audits.sol";
import {ClaimedTask} from "../types/Disputes.sol";
import {Claim, Deal} from "../types/Orders.sol";

/// @title Audits: checking pays when nobody cheats
/// @notice A bid's audit rate is the chance that a claim about it is audited. After the claim a beacon
/// draws: whether, which task, which staked verifiers, and for each of them a **point**: a count of
/// cycles in the last 1/64 of those that are claimed. The state at a point is the first of the run
/// whose cycle register reaches it, or the halted state of a run that ends before; nobody knows its hash
/// who has not run the task to that point.
///
/// Auditors and provider commit to the states; once all have, or the time is over, they reveal. An
/// auditor that agrees with the claim and with the provider's state is right and is paid. One that
/// disagrees must bring a game, about the claim or about the state at its point. Then anybody closes
/// the audit, which pays, slashes, and lets the deal go on.
///
/// Each share of the fee is the fee over the number of parties, rounded down; shares that nobody earns
/// are the buyer's again.
interface IAudits {
    event BeaconAnnounced(uint256 indexed period, uint64 number, uint32 seats);
    event BeaconRecorded(uint256 indexed period, bytes32 hash);
    /// @param from first period of which claims may be drawn for it
    event Joined(address indexed account, uint8 capacity, uint32 from);
    event Retired(address indexed account, uint32 until);
    event Vacated(address indexed account);
    /// @param points as `pointOf`
    event AuditOpened(
        bytes32 indexed claimHash,
        bytes32 indexed dealId,
        address indexed provider,
        uint32 task,
        bytes32 leaf,
        uint128 fee,
        uint64 commitDeadline,
        address[] auditors,
        uint64[] points
    );
    event Committed(bytes32 indexed claimHash, address indexed account);
    event Revealed(bytes32 indexed claimHash, address indexed account, bytes32 state, bytes32 halted);
    event Answered(bytes32 indexed claimHash, bytes32[] answers);
    /// @param paid base units of `token`; @param slashed base units of the protocol's token
    event Judged(
        bytes32 indexed claimHash,
        address indexed account,
        Outcome outcome,
        address token,
        uint256 paid,
        uint256 slashed
    );
    /// @param toProvider its share, @param toBuyer what was left of the fee
    event AuditClosed(bytes32 indexed claimHash, bool answered, uint256 toProvider, uint256 toBuyer);

    error ParameterOutOfRange();
    /// The period lies ahead.
    error PeriodNotBegun();
    error BeaconKnown();
    /// The block that was named is not there yet.
    error BlockNotReached();
    /// The account has a seat, or none.
    error AlreadyJoined();
    error NotJoined();
    /// A capacity of zero.
    error CapacityZero();
    /// Less stake than one audit puts at risk.
    error StakeInsufficient();
    /// The seat was not retired, its last draws may be open, or it audits.
    error SeatInUse();
    /// The beacon has not drawn this claim, or is not known.
    error NotDrawn();
    /// Not the task that was drawn, or not as claimed.
    error TaskInvalid();
    /// No audit of this claim is open.
    error NoAudit();
    /// The sender is no party of the audit.
    error NotParty();
    error AlreadyCommitted();
    /// The time to commit, or to reveal, is over.
    error TooLate();
    /// Not all have committed, and the time to do so is not over.
    error TooEarly();
    /// What is revealed is not what was committed to, or was revealed before.
    error CommitmentMismatch();
    /// The audit is not over.
    error AuditRunning();
    /// A game that an auditor brought is still running.
    error GameRunning();

    /// @notice Brings the beacon of a period on: names a block or, once that is there, records its hash.
    /// A hash that nobody recorded within 256 blocks is lost, and another block is named.
    function beat(uint256 period) external;
    /// @notice Takes a seat: the sender will be drawn for claims from the period after the next on.
    /// @param capacity most audits at a time; each puts `stakePerAudit` at risk
    function join(uint8 capacity) external;
    /// @notice Retires: claims from the next period on are no longer drawn for the sender.
    function retire() external;
    /// @notice Removes a seat that was retired, or whose stake is too small. Anybody may call it.
    function vacate(address account) external;

    /// @notice Opens the audit of a claim that was drawn. Anybody may call it.
    /// @param task the drawn one, as claimed
    function open(Deal calldata deal, Claim calldata claim, ClaimedTask calldata task) external;
    /// @notice An auditor or the provider commits.
    function commit(bytes32 claimHash, bytes32 commitment) external;
    /// @notice An auditor shows what it committed to. One that could not fetch program or input commits to
    /// zeros and shows them: it is excused if no auditor says otherwise, and counts as silent if one does.
    function reveal(bytes32 claimHash, bytes32 state, bytes32 halted, bytes32 salt) external;
    /// @notice The provider shows what it committed to: the state at each auditor's point.
    function answer(bytes32 claimHash, bytes32[] calldata answers, bytes32 salt) external;
    /// @notice Judges, pays and slashes. Anybody may call it.
    function close(Deal calldata deal, Claim calldata claim) external;

    /// @notice Whether a claim is drawn.
    function drawOf(bytes32 claimHash, uint64 claimedAt, uint16 rateBps, uint64 cycleLimit)
        external
        view
        returns (Draw);
    /// @notice Task of a drawn deal that is audited, as an index in the job.
    function drawnTask(bytes32 claimHash, uint64 claimedAt, uint32 firstTask, uint32 taskCount)
        external
        view
        returns (uint32);
    /// @notice What an auditor contradicts, for the game: reverts with NotParty or AuditRunning unless both
    /// it and the provider have revealed.
    function contested(bytes32 claimHash, address account)
        external
        view
        returns (uint32 task, uint64 point, bytes32 asserted, bytes32 own);
    function auditOf(bytes32 claimHash) external view returns (Audit memory);
    function reportOf(bytes32 claimHash, uint256 index) external view returns (Report memory);
    /// @notice Cycles at which an auditor's point lies.
    function pointOf(bytes32 claimHash, uint256 index) external view returns (uint64);
    function beaconOf(uint256 period) external view returns (BeaconRecord memory);
    /// @notice The period whose beacon draws claims of this second.
    function periodOf(uint64 claimedAt) external view returns (uint256);
    function seatOf(address account) external view returns (Seat memory);
    function seats() external view returns (uint256);
    /// @notice Largest cycle limit of a job that is audited: its games end before stake unbonds.
    function cycleLimitMax() external view returns (uint64);
    function parameters() external view returns (AuditParameters memory);
}
