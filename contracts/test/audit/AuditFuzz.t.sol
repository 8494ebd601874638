// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Outcome} from "../../src/types/Audits.sol";
import {DealStatus} from "../../src/types/Calls.sol";
import {ChallengeCall, GameKey} from "../../src/types/Disputes.sol";
import {IAudits} from "../../src/interfaces/IAudits.sol";
import {Vm} from "../base/Vm.sol";
import {AuditTest} from "./AuditTest.sol";

/// @dev Audits in which each party does what a seed says, honest or not, played to their ends.
contract AuditFuzzTest is AuditTest {
    enum Way {
        Honest,
        Silent,
        Withholds,
        LiesAboutPoint,
        LiesAboutEnd,
        LiesAndPlays,
        Accuses
    }

    struct Plan {
        bool claimIsTrue;
        /// Honest, Silent, Withholds or LiesAboutPoint.
        Way provider;
        Way[3] auditors;
    }

    Plan private plan;
    Belief private truth;
    /// What the provider defends.
    Belief private defended;
    bool private fell;

    function _plan(uint256 seed) private {
        plan.claimIsTrue = seed & 1 == 0;
        plan.provider = Way((seed >> 8) % 4);
        for (uint256 i = 0; i < 3; ++i) {
            plan.auditors[i] = Way((seed >> 16 * (i + 1)) % 7);
        }
    }

    /// @dev What an auditor commits to.
    function _said(uint256 i) private view returns (bytes32 state, bytes32 halted) {
        Way way = plan.auditors[i];
        (state, halted) = (_atPoint(i), truth.halted);
        if (way == Way.LiesAboutPoint || way == Way.LiesAndPlays) (state, halted) = (_false(i), leaf);
        if (way == Way.LiesAboutEnd) halted = keccak256("another end");
        if (way == Way.Accuses) halted = keccak256(abi.encode("accusation", i));
    }

    function _false(uint256 i) private view returns (bytes32) {
        return keccak256(abi.encode("a lie", keccak256("liar"), _stepOf(i)));
    }
    function _providers() private view returns (bytes32[] memory answers) {
        answers = new bytes32[](drawn.length);
        for (uint256 i = 0; i < answers.length; ++i) {
            answers[i] = plan.provider == Way.LiesAboutPoint || !plan.claimIsTrue
                ? keccak256(abi.encode("a lie", defended.halted, _stepOf(i)))
                : _atPoint(i);
        }
    }

    /// Whatever the others do: an honest auditor is never slashed, and paid unless the claim fell for
    /// another reason than its own; an honest provider with a true claim is paid; who lies loses
    /// a stake unless nothing was decided; no coin and no token is created or stuck, and no
    /// colluders gain together.
    function test_the_honest_lose_nothing_whatever_the_others_do(uint256 seed) public {
        _plan(seed);
        uint256 wealth = _wealth();
        uint256 providersBefore = _free(provider);
        _audited();
        truth = plan.claimIsTrue ? _true(deal, task) : _otherwise(task);
        bool honestProvider = plan.claimIsTrue && plan.provider != Way.LiesAboutPoint;
        defended = honestProvider ? truth : Belief(task, (seed >> 80) % _stepOf(0), leaf);
        bytes32[] memory answers = _providers();

        for (uint256 i = 0; i < drawn.length; ++i) {
            (bytes32 state, bytes32 halted) = _said(i);
            if (plan.auditors[i] != Way.Silent) _commit(i, state, halted);
        }
        if (plan.provider != Way.Silent) _commitAnswers(answers);
        vm.warp(deadline + 1);
        for (uint256 i = 0; i < drawn.length; ++i) {
            (bytes32 state, bytes32 halted) = _said(i);
            if (plan.auditors[i] != Way.Silent && plan.auditors[i] != Way.Withholds) _reveal(i, state, halted);
        }
        bool answered = plan.provider != Way.Silent && plan.provider != Way.Withholds;
        if (answered) _answer(answers);
        _bringGames(answers, answered);
        _pass();
        vm.recordLogs();
        _close();
        _check(vm.getRecordedLogs(), answered);

        if (_status(deal) == DealStatus.Claimed) {
            vm.warp(block.timestamp + WINDOW);
            _finalise();
        }
        if (honestProvider && answered && !fell) {
            assertEq(_free(provider), providersBefore + made.price + SHARE, "an honest provider is paid");
        }
        assertTrue(!(honestProvider && fell), "a true claim stands");
        if (!plan.claimIsTrue && _anyHonest()) assertStatus(deal, DealStatus.Failed);
        assertNothingHeld();
        assertAtMost(_wealth(), wealth, "all together gain nothing");
    }

    function _anyHonest() private view returns (bool) {
        for (uint256 i = 0; i < 3; ++i) {
            if (plan.auditors[i] == Way.Honest) return true;
        }
        return false;
    }

    /// @dev Tokens of everybody who is not the sender of transactions or the fire.
    function _wealth() private view returns (uint256 sum) {
        sum = _free(buyer) + _free(provider);
        for (uint256 i = 0; i < verifiers.length; ++i) {
            sum += _free(verifiers[i]);
        }
    }

    function _bringGames(bytes32[] memory answers, bool answered) private {
        GameKey[] memory keys = new GameKey[](drawn.length);
        uint256 count;
        for (uint256 i = 0; i < drawn.length && !fell; ++i) {
            Way way = plan.auditors[i];
            (bytes32 state, bytes32 halted) = _said(i);
            if (way != Way.Honest && way != Way.LiesAndPlays && way != Way.Accuses) continue;
            Belief memory own = way == Way.Honest ? truth : Belief(task, _stepOf(i) / 2, keccak256("liar"));
            GameKey memory key;
            bool won;
            if (halted != leaf) {
                stop = 0;
                own.halted = halted;
                key = _challenge(deal, made, own, drawn[i]);
                won = _dispute(key, own, _asserting(leaf));
            } else if (answered && state != answers[i]) {
                key = _contradict(i);
                won = _playPoint(key, answers[i], own, defended);
            } else {
                continue;
            }
            stop = 0;
            fell = won;
            keys[count++] = key;
        }
        if (count != 0) game.settle(deal, made);
        for (uint256 i = 0; i < count; ++i) {
            game.collect(keys[i]);
        }
    }

    /// @dev What the provider defends, about the end: its claim.
    function _asserting(bytes32 halted) private view returns (Belief memory belief) {
        belief = defended;
        belief.halted = halted;
    }

    function _check(Vm.Log[] memory logs, bool answered) private view {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != IAudits.Judged.selector) continue;
            address account = address(uint160(uint256(logs[i].topics[2])));
            (Outcome outcome,, uint256 paid, uint256 slashed) =
                abi.decode(logs[i].data, (Outcome, address, uint256, uint256));
            uint256 k;
            while (drawn[k] != account) ++k;
            Way way = plan.auditors[k];
            assertEq(paid, outcome == Outcome.Right ? SHARE : 0, "paid if right");
            if (way == Way.Honest) {
                assertEq(slashed, 0, "honest");
                if (!fell) assertEq(paid, SHARE, "paid");
            } else if (way == Way.Silent) {
                assertEq(slashed, fell ? 0 : PENALTY, "silent");
            } else if (way == Way.Withholds) {
                assertEq(slashed, STAKE, "withheld");
            } else if (answered && !fell) {
                assertEq(slashed, STAKE, "lied");
            }
        }
    }
}
