// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {IAudits} from "./interfaces/IAudits.sol";
import {Registry} from "./audit/Registry.sol";
import {Rules} from "./audit/Rules.sol";
import {AuditTerms} from "./market/AuditTerms.sol";
import {Hashing} from "./market/Hashing.sol";
import {Openings} from "./market/Openings.sol";
import {Audit, AuditParameters, Draw, Outcome, Report} from "./types/Audits.sol";
import {DealState} from "./types/Calls.sol";
import {ClaimedTask, GameKey, GameStatus} from "./types/Disputes.sol";
import {Claim, Deal} from "./types/Orders.sol";

/// @title The audits
/// @dev Calls nobody but the market, the game and the stake, all fixed at the deployment. Holds no
/// money: fees are the market's balances under this contract's name. Invariant: these are the fees of
/// the audits that are not closed.
contract Audits is Registry {
    /// @dev By which game a claim fell; as `IGame.verdictOf`.
    struct Verdict {
        address winner;
        uint32 task;
        uint64 until;
    }

    mapping(bytes32 claimHash => Audit) private _audits;
    mapping(bytes32 claimHash => mapping(uint256 index => Report)) private _reports;

    constructor(AuditParameters memory p) Rules(p) {}

    // ---------------------------------------------------------------- stages

    /// @inheritdoc IAudits
    function open(Deal calldata deal, Claim calldata claim, ClaimedTask calldata task) external {
        (bytes32 dealId, bytes32 claimHash, uint64 claimedAt) = MARKET.openAudit(deal, claim);
        (uint256 rate, uint256 fee) = _terms(deal);
        if (drawOf(claimHash, claimedAt, uint16(rate), deal.cycleLimit) != Draw.Drawn) revert NotDrawn();
        uint256 period = periodOf(claimedAt);
        bytes32 seed = _seed(_beacons[period].hash, claimHash);
        bytes32 leaf = _leaf(deal, claim, task, seed);
        address[] memory chosen = _choose(seed, period, deal.provider, deal.buyer);
        uint256 count = chosen.length;
        if (count == 0) {
            // Nobody is there to audit: the fee is the buyer's again, and the deal goes on.
            MARKET.release(deal.token, deal.buyer, fee);
            MARKET.closeAudit(deal, claim, true);
            _audits[claimHash].closed = true;
            emit AuditClosed(claimHash, true, 0, fee);
            return;
        }
        uint64 deadline = uint64(block.timestamp + _commitTime(task.cycles));
        uint64[] memory points = new uint64[](count);
        for (uint256 i = 0; i < count; ++i) {
            _reports[claimHash][i].account = chosen[i];
            points[i] = _point(seed, i, task.cycles);
        }
        _audits[claimHash] = Audit({
            provider: deal.provider,
            commitDeadline: deadline,
            auditors: uint8(count),
            committed: 0,
            revealed: 0,
            answered: false,
            closed: false,
            seed: seed,
            leaf: leaf,
            commitment: 0,
            cycles: task.cycles,
            task: task.task,
            fee: uint128(fee)
        });
        emit AuditOpened(claimHash, dealId, deal.provider, task.task, leaf, uint128(fee), deadline, chosen, points);
    }

    /// @inheritdoc IAudits
    function commit(bytes32 claimHash, bytes32 commitment) external {
        Audit storage audit = _open(claimHash);
        if (block.timestamp > audit.commitDeadline) revert TooLate();
        if (commitment == 0) revert CommitmentMismatch();
        if (msg.sender == audit.provider) {
            if (audit.commitment != 0) revert AlreadyCommitted();
            audit.commitment = commitment;
        } else {
            (, Report storage report) = _report(claimHash, audit, msg.sender);
            if (report.commitment != 0) revert AlreadyCommitted();
            report.commitment = commitment;
        }
        ++audit.committed;
        emit Committed(claimHash, msg.sender);
    }

    /// @inheritdoc IAudits
    function reveal(bytes32 claimHash, bytes32 state, bytes32 halted, bytes32 salt) external {
        Audit storage audit = _revealing(claimHash);
        (, Report storage report) = _report(claimHash, audit, msg.sender);
        bytes32 shown = keccak256(abi.encode(state, halted, salt, msg.sender));
        if (report.revealed || report.commitment != shown) revert CommitmentMismatch();
        report.revealed = true;
        report.state = state;
        report.halted = halted;
        ++audit.revealed;
        emit Revealed(claimHash, msg.sender, state, halted);
    }

    /// @inheritdoc IAudits
    function answer(bytes32 claimHash, bytes32[] calldata answers, bytes32 salt) external {
        Audit storage audit = _revealing(claimHash);
        if (msg.sender != audit.provider) revert NotParty();
        bytes32 shown = keccak256(abi.encode(answers, salt, msg.sender));
        if (audit.answered || audit.commitment != shown || answers.length != audit.auditors) {
            revert CommitmentMismatch();
        }
        audit.answered = true;
        ++audit.revealed;
        for (uint256 i = 0; i < answers.length; ++i) {
            _reports[claimHash][i].answer = answers[i];
        }
        emit Answered(claimHash, answers);
    }

    /// @inheritdoc IAudits
    function close(Deal calldata deal, Claim calldata claim) external {
        bytes32 claimHash = Hashing.claim(MARKET.hashDeal(deal), claim);
        Audit memory audit = _open(claimHash);
        if (!_isOver(claimHash, audit)) revert AuditRunning();
        _audits[claimHash].closed = true;

        DealState memory state = MARKET.dealState(deal);
        bool held = state.audited && state.binding == uint192(uint256(claimHash));
        Verdict memory verdict = _verdict(claimHash);
        bool fetched = _fetched(claimHash, audit.auditors);
        uint256 share = audit.fee / (uint256(audit.auditors) + 1);
        uint256 left = audit.fee;
        for (uint256 i = 0; i < audit.auditors; ++i) {
            Report memory report = _reports[claimHash][i];
            uint64 point = _point(audit.seed, i, audit.cycles);
            Outcome outcome = _judge(claimHash, audit, report, point, held, fetched, verdict);
            uint256 paid = outcome == Outcome.Right ? share : 0;
            left -= paid;
            _settle(claimHash, deal.token, report.account, outcome, paid);
        }
        uint256 toProvider = audit.answered && held ? share : 0;
        left -= toProvider;
        _pay(deal.token, audit.provider, toProvider);
        _pay(deal.token, deal.buyer, left);
        if (held) MARKET.closeAudit(deal, claim, audit.answered);
        emit AuditClosed(claimHash, audit.answered, toProvider, left);
    }

    /// @notice Several calls in one transaction.
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results) {
        results = new bytes[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            results[i] = Address.functionDelegateCall(address(this), calls[i]);
        }
    }

    // ---------------------------------------------------------------- views

    /// @inheritdoc IAudits
    function contested(bytes32 claimHash, address account)
        external
        view
        returns (uint32 task, uint64 point, bytes32 asserted, bytes32 own)
    {
        Audit storage audit = _open(claimHash);
        (uint256 index, Report storage report) = _report(claimHash, audit, account);
        if (!audit.answered || !report.revealed) revert AuditRunning();
        return (audit.task, _point(audit.seed, index, audit.cycles), report.answer, report.state);
    }

    /// @inheritdoc IAudits
    function auditOf(bytes32 claimHash) external view returns (Audit memory) {
        return _audits[claimHash];
    }

    /// @inheritdoc IAudits
    function reportOf(bytes32 claimHash, uint256 index) external view returns (Report memory) {
        return _reports[claimHash][index];
    }

    /// @inheritdoc IAudits
    function pointOf(bytes32 claimHash, uint256 index) external view returns (uint64) {
        Audit storage audit = _audits[claimHash];
        return _point(audit.seed, index, audit.cycles);
    }

    // ---------------------------------------------------------------- inside

    /// @dev An audit that is neither over nor unknown.
    function _open(bytes32 claimHash) private view returns (Audit storage audit) {
        audit = _audits[claimHash];
        if (audit.auditors == 0 || audit.closed) revert NoAudit();
    }

    /// @dev An audit whose commitments are final, while what they hide can be shown.
    function _revealing(bytes32 claimHash) private view returns (Audit storage audit) {
        audit = _open(claimHash);
        if (block.timestamp <= audit.commitDeadline && audit.committed <= audit.auditors) revert TooEarly();
        if (block.timestamp > audit.commitDeadline + INCLUSION_DELAY_S) revert TooLate();
    }

    function _report(bytes32 claimHash, Audit storage audit, address account)
        private
        view
        returns (uint256 index, Report storage report)
    {
        for (index = 0; index < audit.auditors; ++index) {
            report = _reports[claimHash][index];
            if (report.account == account) return (index, report);
        }
        revert NotParty();
    }

    /// @dev Whether all have had their time, or have agreed before.
    function _isOver(bytes32 claimHash, Audit memory audit) private view returns (bool) {
        // To reveal, and after that to bring a game.
        if (block.timestamp > audit.commitDeadline + 2 * INCLUSION_DELAY_S) return true;
        if (audit.revealed <= audit.auditors) return false;
        for (uint256 i = 0; i < audit.auditors; ++i) {
            Report storage report = _reports[claimHash][i];
            if (report.halted != audit.leaf || report.state != report.answer) return false;
        }
        return true;
    }

    /// @dev Whether any auditor says what the task came to.
    function _fetched(bytes32 claimHash, uint256 auditors) private view returns (bool) {
        for (uint256 i = 0; i < auditors; ++i) {
            if (_reports[claimHash][i].halted != 0) return true;
        }
        return false;
    }

    /// @param held the market still holds the claim
    /// @param fetched an auditor has run the task
    function _judge(
        bytes32 claimHash,
        Audit memory audit,
        Report memory report,
        uint64 point,
        bool held,
        bool fetched,
        Verdict memory verdict
    ) private view returns (Outcome) {
        if (report.commitment == 0) return held ? Outcome.Silent : Outcome.Excused;
        if (!report.revealed) return Outcome.Withheld;
        if (report.halted == 0) return fetched ? Outcome.Silent : Outcome.Excused;
        bool endorsed = report.halted == audit.leaf;
        if (verdict.winner != address(0) && verdict.task == audit.task && verdict.until == 0) {
            // A provider can lose a game about a true result, by silence or by asserting false states
            // in it, and so ruin its auditors together with any challenger, were they slashed for it.
            return endorsed ? Outcome.Excused : Outcome.Right;
        }
        if (endorsed && (!audit.answered || report.state == report.answer)) return Outcome.Right;
        // It contradicts the provider: by a game of its own, about the end or about its point.
        uint64 until = endorsed ? point : 0;
        if (verdict.winner == report.account && verdict.task == audit.task && verdict.until == until) {
            return Outcome.Right;
        }
        GameStatus status = GAME.standing(GameKey(claimHash, audit.task, report.account, until)).status;
        if (status == GameStatus.Refused) return Outcome.Wrong;
        // Of a claim that fell, or a deal that failed, nothing is decided any more.
        if (verdict.winner != address(0) || !held) return Outcome.Excused;
        if (status == GameStatus.Running) revert GameRunning();
        return Outcome.Wrong;
    }

    function _settle(bytes32 claimHash, address token, address account, Outcome outcome, uint256 paid) private {
        uint256 slashed;
        if (outcome > Outcome.Excused) {
            uint256 amount = outcome == Outcome.Silent ? SILENCE_PENALTY : STAKE_PER_AUDIT;
            slashed = STAKE.slash(account, amount, address(0), 0);
        }
        _release(account);
        _pay(token, account, paid);
        emit Judged(claimHash, account, outcome, token, paid, slashed);
    }

    function _pay(address token, address account, uint256 amount) private {
        if (amount != 0) MARKET.release(token, account, amount);
    }

    function _verdict(bytes32 claimHash) private view returns (Verdict memory verdict) {
        (verdict.winner, verdict.task, verdict.until) = GAME.verdictOf(claimHash);
    }

    function _terms(Deal memory deal) private pure returns (uint256 rate, uint256 fee) {
        return (AuditTerms.rate(deal), AuditTerms.fee(deal));
    }

    /// @dev The drawn task's claimed halted state; reverts unless it is that of the claim.
    function _leaf(Deal calldata deal, Claim calldata claim, ClaimedTask calldata task, bytes32 seed)
        private
        pure
        returns (bytes32 leaf)
    {
        leaf = Hashing.halted(deal.jobHash, task.task, task.cycles, task.inner);
        if (
            task.task != _task(seed, deal.firstTask, deal.taskCount)
                || !Openings.leads(leaf, task.task, task.path, deal.firstTask, deal.taskCount, claim.resultRoot)
        ) revert TaskInvalid();
    }
}
