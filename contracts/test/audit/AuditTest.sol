// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Stake} from "../../src/Stake.sol";
import {Token} from "../../src/Token.sol";
import {IAudits} from "../../src/interfaces/IAudits.sol";
import {AuditParameters, Outcome} from "../../src/types/Audits.sol";
import {ChallengeCall, ClaimedTask, GameKey} from "../../src/types/Disputes.sol";
import {Bid, Claim, Deal} from "../../src/types/Orders.sol";
import {GameTest} from "../game/GameTest.sol";
import {Vm} from "../base/Vm.sol";

/// @dev A market with its game, its audits, and verifiers that have seats; deals of two tasks that
/// are audited for certain, and the shortest way to each stage of an audit.
abstract contract AuditTest is GameTest {
    uint32 internal constant PERIOD = 60;
    uint8 internal constant AUDITORS = 3;
    uint32 internal constant COMMIT_TIME = 900;
    uint128 internal constant STAKE = 1000;
    uint128 internal constant PENALTY = 100;
    uint32 internal constant UNBONDING = 30 days;
    /// Shares of 1000, and 3 that remain.
    uint128 internal constant FEE = 4003;
    uint256 internal constant SHARE = 1000;
    /// Cycles of a step of the tests' machine.
    uint256 internal constant STEP_CYCLES = 1e6;
    bytes32 internal constant SALT = keccak256("salt");

    IAudits internal audits;
    Stake internal stake;
    Token private protocolToken;
    address[] internal verifiers;

    Deal internal deal;
    Claim internal made;
    bytes32 internal claimHash;
    uint32 internal task;
    bytes32 internal leaf;
    address[] internal drawn;
    uint64[] internal points;
    uint64 internal deadline;
    /// Step at which the machine of a game about a point stops; 0 for other games.
    uint256 internal stop;

    function setUp() public virtual override {
        super.setUp();
        protocolToken = new Token(address(this));
        stake = new Stake(protocolToken, AUDITS, UNBONDING);
        address created = _created(auditParameters());
        assertTrue(created != address(0), "deployed");
        // The market and the stake name it by the address that these tests fix.
        vm.etch(AUDITS, created.code);
        audits = IAudits(AUDITS);
        for (uint256 i = 0; i < 5; ++i) {
            _join(address(uint160(0xd000 + i)), 10 * STAKE, 10);
        }
        vm.warp(block.timestamp + 2 * PERIOD);
        vm.roll(1000);
    }

    /// @dev By its artifact, as the market; the zero address if the parameters are refused.
    function _created(AuditParameters memory p) internal returns (address created) {
        bytes memory creation = abi.encodePacked(vm.getCode(auditsArtifact()), abi.encode(p));
        assembly ("memory-safe") {
            created := create(0, add(creation, 0x20), mload(creation))
        }
    }

    function auditsArtifact() internal pure virtual returns (string memory) {
        return "Audits.sol:Audits";
    }

    function auditParameters() internal view virtual returns (AuditParameters memory) {
        return AuditParameters({
            market: address(market),
            game: GAME,
            stake: address(stake),
            beaconPeriod: PERIOD,
            auditors: AUDITORS,
            commitTime: COMMIT_TIME,
            inclusionDelay: INCLUSION,
            interpreterSpeed: INTERPRETER_SPEED,
            stakePerAudit: STAKE,
            silencePenalty: PENALTY
        });
    }

    function _stakeFor(address account, uint256 amount) internal {
        protocolToken.transfer(account, amount);
        vm.startPrank(account);
        protocolToken.approve(address(stake), amount);
        stake.stake(amount);
        vm.stopPrank();
    }

    function _join(address account, uint256 amount, uint8 capacity) internal {
        _grant(account);
        _stakeFor(account, amount);
        vm.prank(account);
        audits.join(capacity);
        verifiers.push(account);
    }

    /// @dev An even number of sections: games against a false claim end by a step.
    function _cycleLimit() internal pure override returns (uint64) {
        return 5e12;
    }

    // ---------------------------------------------------------------- stages

    function _auditedBid(uint16 rate) internal view returns (Bid memory bid) {
        bid = _bid(2);
        (bid.auditRateBps, bid.auditFee) = (rate, FEE);
    }

    /// @dev A claim that is audited with this chance.
    function _claimed(uint16 rate) internal {
        deal = _open(_call(_auditedBid(rate), _offer(), 2));
        made = _claim(deal);
        claimHash = _claimHash(deal, made);
    }

    /// @dev The beacon of the claim's period becomes known.
    function _beat() internal {
        uint256 period = audits.periodOf(uint64(block.timestamp));
        vm.warp(block.timestamp + PERIOD);
        audits.beat(period);
        vm.roll(block.number + 2);
        audits.beat(period);
    }

    /// @dev A claim whose audit is open.
    function _audited() internal {
        _claimed(10_000);
        uint64 claimedAt = uint64(block.timestamp);
        _beat();
        _openAudit(claimedAt);
    }

    function _openAudit(uint64 claimedAt) internal {
        task = audits.drawnTask(claimHash, claimedAt, deal.firstTask, deal.taskCount);
        ClaimedTask memory opening = _claimedTask(deal, task);
        vm.recordLogs();
        vm.prank(ANYBODY);
        audits.open(deal, made, opening);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != IAudits.AuditOpened.selector) continue;
            (, leaf,, deadline, drawn, points) =
                abi.decode(logs[i].data, (uint32, bytes32, uint128, uint64, address[], uint64[]));
        }
    }

    /// @dev The step of the tests' machine at which an auditor's point is reached.
    function _stepOf(uint256 index) internal view returns (uint256) {
        return (points[index] + STEP_CYCLES - 1) / STEP_CYCLES;
    }

    /// @dev The true state at an auditor's point.
    function _atPoint(uint256 index) internal view returns (bytes32) {
        return machine.state(task, _stepOf(index));
    }

    function _answers() internal view returns (bytes32[] memory answers) {
        answers = new bytes32[](drawn.length);
        for (uint256 i = 0; i < answers.length; ++i) {
            answers[i] = _atPoint(i);
        }
    }

    function _commit(uint256 index, bytes32 state, bytes32 halted) internal {
        vm.prank(drawn[index]);
        audits.commit(claimHash, keccak256(abi.encode(state, halted, SALT, drawn[index])));
    }

    function _commitAnswers(bytes32[] memory answers) internal {
        vm.prank(provider);
        audits.commit(claimHash, keccak256(abi.encode(answers, SALT, provider)));
    }

    function _reveal(uint256 index, bytes32 state, bytes32 halted) internal {
        vm.prank(drawn[index]);
        audits.reveal(claimHash, state, halted, SALT);
    }

    function _answer(bytes32[] memory answers) internal {
        vm.prank(provider);
        audits.answer(claimHash, answers, SALT);
    }

    /// @dev Auditors from `first` on say what is true of a true claim.
    function _honestFrom(uint256 first) internal {
        for (uint256 i = first; i < drawn.length; ++i) {
            _commit(i, _atPoint(i), leaf);
        }
    }

    function _revealFrom(uint256 first) internal {
        for (uint256 i = first; i < drawn.length; ++i) {
            _reveal(i, _atPoint(i), leaf);
        }
    }

    /// @dev Nobody can still reveal or bring a game.
    function _pass() internal {
        vm.warp(deadline + 2 * INCLUSION + 1);
    }

    function _close() internal {
        vm.prank(ANYBODY);
        audits.close(deal, made);
    }

    function _finalise() internal {
        vm.prank(provider);
        market.finalise(deal, made);
    }

    function _refuses(bytes4 selector) internal {
        vm.expectRevert(selector);
    }

    // ---------------------------------------------------------------- games

    /// @dev An auditor contradicts the provider's answer at its point.
    function _contradict(uint256 index) internal returns (GameKey memory key) {
        ChallengeCall memory call = _challengeCall(deal, made, task, 0);
        vm.prank(drawn[index]);
        game.challengeAnswer(call);
        stop = _stepOf(index);
        return GameKey(claimHash, task, drawn[index], points[index]);
    }

    /// @dev Plays a game about a point to its end.
    function _playPoint(GameKey memory key, bytes32 asserted, Belief memory auditor, Belief memory provider_)
        internal
        returns (bool won)
    {
        won = _play(key, _claimed(provider_, asserted), auditor, provider_);
        if (uint256(game.standing(key).status) == 1) {
            vm.warp(block.timestamp + game.clockOf(_cycleLimit()) + 1);
            game.timeout(key);
        }
    }

    function _state(Belief memory belief, uint256 step) internal view override returns (bytes32) {
        return super._state(belief, stop != 0 && step > stop ? stop : step);
    }

    function _proof(List memory list, uint256 index, uint256 task_) internal view override returns (bytes memory) {
        uint256 step = list.offset + index * list.width;
        return abi.encode(task_, stop != 0 && step > stop ? stop : step);
    }

    // ---------------------------------------------------------------- expectations

    function assertOutcome(Vm.Log[] memory logs, address account, Outcome outcome, uint256 paid, uint256 slashed)
        internal
        pure
    {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != IAudits.Judged.selector) continue;
            if (address(uint160(uint256(logs[i].topics[2]))) != account) continue;
            (Outcome got,, uint256 gotPaid, uint256 gotSlashed) =
                abi.decode(logs[i].data, (Outcome, address, uint256, uint256));
            assertEq(uint256(got), uint256(outcome), "outcome");
            assertEq(gotPaid, paid, "paid");
            assertEq(gotSlashed, slashed, "slashed");
            return;
        }
        revert NotTrue("judged");
    }

    /// @dev The audit is closed, and ends alike for all auditors, none of whom is slashed.
    function assertClosesWith(Outcome outcome, uint256 paid) internal {
        vm.recordLogs();
        _close();
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < drawn.length; ++i) {
            assertOutcome(logs, drawn[i], outcome, paid, 0);
        }
    }

    /// @dev All tokens lie in balances, and the audits hold none.
    function assertNothingHeld() internal view {
        uint256 sum = _free(buyer) + _free(provider) + _free(ANYBODY) + _free(BURN) + _free(CHALLENGER) + _free(GAME);
        for (uint256 i = 0; i < verifiers.length; ++i) {
            sum += _free(verifiers[i]);
            assertEq(audits.seatOf(verifiers[i]).open, 0, "open audits");
        }
        assertEq(sum, market.totalHeld(address(token)), "tokens in balances");
        assertEq(_free(AUDITS), 0, "held for audits");
    }
}
