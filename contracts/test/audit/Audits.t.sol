// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAudits} from "../../src/interfaces/IAudits.sol";
import {IAuditHold} from "../../src/interfaces/IAuditHold.sol";
import {IDeals} from "../../src/interfaces/IDeals.sol";
import {IGame} from "../../src/interfaces/IGame.sol";
import {ISettling} from "../../src/interfaces/ISettling.sol";
import {AuditParameters, Draw, Outcome} from "../../src/types/Audits.sol";
import {DealStatus} from "../../src/types/Calls.sol";
import {ClaimedTask, GameKey} from "../../src/types/Disputes.sol";
import {Bid, Claim, Deal, Offer} from "../../src/types/Orders.sol";
import {Vm} from "../base/Vm.sol";
import {AuditTest} from "./AuditTest.sol";

contract AuditsTest is AuditTest {
    // ---------------------------------------------------------------- the draw

    function test_a_deal_is_not_settled_before_the_beacon_of_its_claim_is_known() public {
        _claimed(1);
        uint256 period = audits.periodOf(uint64(block.timestamp));
        vm.warp(block.timestamp + WINDOW + 1);
        _refuses(ISettling.DrawOpen.selector);
        _finalise();
        audits.beat(period);
        _refuses(IAudits.BlockNotReached.selector);
        audits.beat(period);
        vm.roll(block.number + 1);
        _refuses(IAudits.BlockNotReached.selector);
        audits.beat(period);
        vm.roll(block.number + 1);
        audits.beat(period);
        _refuses(IAudits.BeaconKnown.selector);
        audits.beat(period);
    }

    function test_a_beacon_begins_after_the_claims_that_it_draws() public {
        uint256 period = audits.periodOf(uint64(block.timestamp));
        assertTrue(period * PERIOD > block.timestamp, "later");
        _refuses(IAudits.PeriodNotBegun.selector);
        audits.beat(period);
        vm.warp(period * PERIOD);
        audits.beat(period);
    }

    function test_a_hash_that_nobody_recorded_is_drawn_again() public {
        uint256 period = block.timestamp / PERIOD;
        audits.beat(period);
        uint256 first = audits.beaconOf(period).number;
        vm.roll(first + 257);
        audits.beat(period);
        assertEq(audits.beaconOf(period).number, block.number + 1, "another block");
        vm.roll(block.number + 257);
        audits.beat(period);
        assertTrue(audits.beaconOf(period).hash != 0, "the last block whose hash is known");
    }

    function test_parameters_by_which_nobody_could_audit_are_refused() public {
        AuditParameters memory p = auditParameters();
        assertTrue(_created(p) != address(0), "created");
        p.beaconPeriod = 0;
        _refusesParameters(p);
        p = auditParameters();
        p.auditors = 0;
        _refusesParameters(p);
        p.auditors = 8;
        assertTrue(_created(p) != address(0), "created");
        p.auditors = 9;
        _refusesParameters(p);
        p = auditParameters();
        p.interpreterSpeed = 0;
        _refusesParameters(p);
        p = auditParameters();
        p.silencePenalty = p.stakePerAudit;
        assertTrue(_created(p) != address(0), "created");
        ++p.silencePenalty;
        _refusesParameters(p);
        p = auditParameters();
        (p.stakePerAudit, p.silencePenalty) = (0, 0);
        _refusesParameters(p);
        p = auditParameters();
        p.commitTime = UNBONDING - 8 * INCLUSION - 1;
        assertTrue(_created(p) != address(0), "created");
        // The stake would be gone before anybody is judged.
        ++p.commitTime;
        _refusesParameters(p);
    }

    function _refusesParameters(AuditParameters memory p) private {
        assertTrue(_created(p) == address(0), "refused");
    }

    function test_a_deal_that_is_not_drawn_is_settled_and_its_fee_returned() public {
        uint256 before = _free(buyer);
        bool passed;
        for (uint256 salt = 1; !passed; ++salt) {
            Bid memory bid = _auditedBid(5_000);
            bid.salt = salt;
            deal = _open(_call(bid, _offer(), 2));
            made = _claim(deal);
            claimHash = _claimHash(deal, made);
            uint64 claimedAt = uint64(block.timestamp);
            assertEq(uint256(audits.drawOf(claimHash, claimedAt, 5_000, _cycleLimit())), uint256(Draw.Pending), "pending");
            _beat();
            passed = audits.drawOf(claimHash, claimedAt, 5_000, _cycleLimit()) == Draw.Passed;
            before = passed ? before : _free(buyer);
        }
        ClaimedTask memory opening = _claimedTask(deal, 0);
        _refuses(IAudits.NotDrawn.selector);
        audits.open(deal, made, opening);
        vm.warp(block.timestamp + WINDOW + 1);
        _finalise();
        assertEq(_free(buyer), before - made.price - deal.buyerTip, "all but price and tip");
        assertEq(_free(AUDITS), 0, "no audit was held");
    }

    /// Of 1,000 claims at 10%, between 60 and 140 are drawn: four deviations.
    function test_as_many_claims_are_drawn_as_the_rate_says() public {
        uint64 claimedAt = uint64(block.timestamp);
        _beat();
        uint256 count;
        for (uint256 i = 0; i < 1000; ++i) {
            if (audits.drawOf(keccak256(abi.encode(i)), claimedAt, 1_000, _cycleLimit()) == Draw.Drawn) ++count;
        }
        assertTrue(count > 60 && count < 140, "about a tenth");
    }

    function test_jobs_whose_games_would_outlast_the_stake_are_not_drawn() public {
        uint64 limit = audits.cycleLimitMax();
        uint64 claimedAt = uint64(block.timestamp);
        _beat();
        assertEq(uint256(audits.drawOf(0, claimedAt, 10_000, limit)), uint256(Draw.Drawn), "as long as stake is bound");
        assertEq(uint256(audits.drawOf(0, claimedAt, 10_000, limit + 1)), uint256(Draw.Passed), "too long");
        assertAtMost(COMMIT_TIME + 8 * (INCLUSION + uint256(limit) / INTERPRETER_SPEED), UNBONDING, "longest audit");
    }

    function test_a_drawn_deal_waits_for_its_audit() public {
        _claimed(10_000);
        uint64 claimedAt = uint64(block.timestamp);
        _beat();
        vm.warp(block.timestamp + WINDOW);
        _refuses(ISettling.DrawOpen.selector);
        _finalise();
        _openAudit(claimedAt);
        _refuses(ISettling.AuditOpen.selector);
        _finalise();
        ClaimedTask memory opening = _claimedTask(deal, task);
        _refuses(IAuditHold.AlreadyAudited.selector);
        audits.open(deal, made, opening);
    }

    function test_only_the_drawn_task_as_it_was_claimed_opens_an_audit() public {
        _claimed(10_000);
        uint64 claimedAt = uint64(block.timestamp);
        ClaimedTask memory opening = _claimedTask(deal, 0);
        _refuses(IAudits.NotDrawn.selector);
        audits.open(deal, made, opening);
        _refuses(IAudits.NotDrawn.selector);
        audits.drawnTask(claimHash, claimedAt, 0, 2);
        _beat();
        task = audits.drawnTask(claimHash, claimedAt, 0, 2);
        opening = _claimedTask(deal, 1 - task);
        _refuses(IAudits.TaskInvalid.selector);
        audits.open(deal, made, opening);
        opening = _claimedTask(deal, task);
        ++opening.cycles;
        _refuses(IAudits.TaskInvalid.selector);
        audits.open(deal, made, opening);
    }

    function test_auditors_are_others_than_the_parties_and_each_has_a_point_near_the_end() public {
        _join(buyer, STAKE, 1);
        _join(provider, STAKE, 1);
        vm.warp(block.timestamp + 2 * PERIOD);
        _audited();
        assertEq(drawn.length, AUDITORS, "auditors");
        uint256 cycles = _cycles() + task;
        for (uint256 i = 0; i < AUDITORS; ++i) {
            assertTrue(drawn[i] != buyer && drawn[i] != provider, "a third party");
            assertTrue(points[i] <= cycles && points[i] >= cycles - cycles / 64, "in the last part");
            assertEq(points[i], audits.pointOf(claimHash, i), "as the view says");
            assertEq(audits.seatOf(drawn[i]).open, 1, "one audit more");
            for (uint256 k = 0; k < i; ++k) {
                assertTrue(drawn[i] != drawn[k] && points[i] != points[k], "another one");
            }
        }
    }

    function test_without_verifiers_the_fee_is_returned_and_the_deal_goes_on() public {
        for (uint256 i = 0; i < verifiers.length; ++i) {
            vm.prank(verifiers[i]);
            audits.retire();
        }
        // Claims of this period are drawn by the next one's beacon, which none of them waits for.
        _audited();
        assertEq(drawn.length, 0, "nobody");
        vm.warp(block.timestamp + WINDOW);
        _finalise();
        assertNothingHeld();
    }

    // ---------------------------------------------------------------- who audits

    function test_a_verifier_is_drawn_only_for_claims_after_it_joined_and_before_it_retired() public {
        for (uint256 i = 0; i < verifiers.length; ++i) {
            vm.prank(verifiers[i]);
            audits.retire();
        }
        // In the next period, the beacon of which the claims of this one wait for.
        vm.warp(block.timestamp / PERIOD * PERIOD + PERIOD);
        address late = address(0xd100);
        _join(late, STAKE, 1);
        _audited();
        assertEq(drawn.length, 0, "the old ones retired, the new one came after the claim");
        vm.warp(block.timestamp + PERIOD);
        Bid memory bid = _auditedBid(10_000);
        bid.salt = 77;
        deal = _open(_call(bid, _offer(), 2));
        made = _claim(deal);
        claimHash = _claimHash(deal, made);
        uint64 claimedAt = uint64(block.timestamp);
        _beat();
        _openAudit(claimedAt);
        assertTrue(drawn.length == 1 && drawn[0] == late, "from the period after the next on");
    }

    function test_each_open_audit_needs_its_own_stake_and_capacity() public {
        for (uint256 i = 0; i < verifiers.length; ++i) {
            vm.prank(verifiers[i]);
            audits.retire();
        }
        address poor = address(0xd200);
        address busy = address(0xd201);
        _join(poor, 2 * STAKE - 1, 10);
        _join(busy, 10 * STAKE, 2);
        vm.warp(block.timestamp + 2 * PERIOD);
        uint256[3] memory expected = [uint256(2), 1, 0];
        for (uint256 i = 0; i < 3; ++i) {
            Bid memory bid = _auditedBid(10_000);
            bid.salt = 100 + i;
            deal = _open(_call(bid, _offer(), 2));
            made = _claim(deal);
            claimHash = _claimHash(deal, made);
            uint64 claimedAt = uint64(block.timestamp);
            _beat();
            delete drawn;
            _openAudit(claimedAt);
            assertEq(drawn.length, expected[i], "auditors with stake and capacity");
        }
        assertEq(audits.seatOf(poor).open, 1, "one stake");
        assertEq(audits.seatOf(busy).open, 2, "its capacity");
    }

    function test_a_seat_needs_stake_and_is_vacated_without_it_or_long_after_retiring() public {
        address account = address(0xd300);
        vm.prank(account);
        _refuses(IAudits.StakeInsufficient.selector);
        audits.join(1);
        _join(account, STAKE, 1);
        vm.prank(account);
        _refuses(IAudits.AlreadyJoined.selector);
        audits.join(1);
        _refuses(IAudits.SeatInUse.selector);
        audits.vacate(account);
        vm.prank(account);
        audits.retire();
        uint32 until = audits.seatOf(account).until;
        vm.warp((uint256(until) + 17) * PERIOD - 1);
        _refuses(IAudits.SeatInUse.selector);
        audits.vacate(account);
        vm.warp((uint256(until) + 17) * PERIOD);
        audits.vacate(account);
        _refuses(IAudits.NotJoined.selector);
        audits.vacate(account);

        uint256 before = audits.seats();
        address first = verifiers[0];
        vm.prank(first);
        stake.requestUnbonding(9 * STAKE + 1);
        audits.vacate(first);
        assertEq(audits.seats(), before - 1, "one less");
        for (uint256 i = 1; i < 5; ++i) {
            assertEq(audits.seatOf(verifiers[i]).account, verifiers[i], "the others keep theirs");
        }
    }

    function test_a_seat_that_audits_can_not_be_vacated() public {
        _audited();
        vm.prank(drawn[0]);
        stake.requestUnbonding(10 * STAKE);
        address account = drawn[0];
        _refuses(IAudits.SeatInUse.selector);
        audits.vacate(account);
    }

    // ---------------------------------------------------------------- an honest audit

    function test_auditors_and_provider_that_agree_share_the_fee() public {
        uint256[2] memory before = [_free(buyer), _free(provider)];
        _audited();
        _true(deal, task);
        _honestFrom(0);
        bytes32 state = _atPoint(0);
        vm.prank(drawn[0]);
        _refuses(IAudits.TooEarly.selector);
        audits.reveal(claimHash, state, leaf, SALT);
        _commitAnswers(_answers());
        _revealFrom(0);
        _refuses(IAudits.AuditRunning.selector);
        _close();
        _answer(_answers());
        vm.recordLogs();
        _close();
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < AUDITORS; ++i) {
            assertOutcome(logs, drawn[i], Outcome.Right, SHARE, 0);
            assertEq(_free(drawn[i]), SHARE, "earned");
            assertEq(stake.stakeOf(drawn[i]), 10 * STAKE, "nothing slashed");
        }
        _refuses(IAudits.NoAudit.selector);
        _close();
        vm.warp(block.timestamp + WINDOW + 1);
        _finalise();
        assertEq(_free(provider), before[1] + made.price + SHARE, "the price and a share");
        assertEq(_free(buyer), before[0] - made.price - deal.buyerTip - 4 * SHARE, "the rest is the buyer's");
        assertNothingHeld();
    }

    function test_commitments_are_final_and_are_of_nobody_else() public {
        _audited();
        _true(deal, task);
        vm.prank(ANYBODY);
        _refuses(IAudits.NotParty.selector);
        audits.commit(claimHash, SALT);
        bytes32 state = _atPoint(0);
        bytes32 copied = keccak256(abi.encode(state, leaf, SALT, drawn[0]));
        _commit(0, _atPoint(0), leaf);
        vm.prank(drawn[0]);
        _refuses(IAudits.AlreadyCommitted.selector);
        audits.commit(claimHash, SALT);
        vm.prank(drawn[1]);
        audits.commit(claimHash, copied);
        vm.warp(deadline + 1);
        vm.prank(drawn[2]);
        _refuses(IAudits.TooLate.selector);
        audits.commit(claimHash, SALT);
        vm.prank(drawn[1]);
        _refuses(IAudits.CommitmentMismatch.selector);
        audits.reveal(claimHash, state, leaf, SALT);
        _reveal(0, state, leaf);
        vm.prank(drawn[0]);
        _refuses(IAudits.CommitmentMismatch.selector);
        audits.reveal(claimHash, state, leaf, SALT);
        vm.warp(deadline + INCLUSION + 1);
        vm.prank(drawn[1]);
        _refuses(IAudits.TooLate.selector);
        audits.reveal(claimHash, state, leaf, SALT);
    }

    function test_the_time_to_commit_holds_fetching_running_and_calls() public {
        _audited();
        uint256 cycles = _cycles() + task;
        uint256 run = (cycles + INTERPRETER_SPEED - 1) / INTERPRETER_SPEED;
        assertEq(deadline, block.timestamp + COMMIT_TIME + INCLUSION + run, "deadline");
        _true(deal, task);
        vm.warp(deadline);
        _honestFrom(0);
        _commitAnswers(_answers());
        vm.warp(deadline + INCLUSION);
        _revealFrom(0);
        _answer(_answers());
        _close();
    }

    // ---------------------------------------------------------------- silence

    function test_silence_costs_the_penalty_and_its_share_is_the_buyers() public {
        _audited();
        _true(deal, task);
        _honestFrom(1);
        _commitAnswers(_answers());
        vm.warp(deadline + 1);
        _revealFrom(1);
        _answer(_answers());
        vm.warp(deadline + 2 * INCLUSION);
        _refuses(IAudits.AuditRunning.selector);
        _close();
        _pass();
        uint256 before = _free(buyer);
        vm.recordLogs();
        _close();
        assertOutcome(vm.getRecordedLogs(), drawn[0], Outcome.Silent, 0, PENALTY);
        assertEq(stake.stakeOf(drawn[0]), 10 * STAKE - PENALTY, "slashed");
        assertEq(_free(buyer) - before, SHARE + 3, "a share and the rest");
        _finalise();
        assertNothingHeld();
    }

    function test_who_keeps_what_it_committed_to_loses_a_stake() public {
        _audited();
        _true(deal, task);
        _honestFrom(0);
        _commitAnswers(_answers());
        _revealFrom(1);
        _answer(_answers());
        _pass();
        vm.recordLogs();
        _close();
        assertOutcome(vm.getRecordedLogs(), drawn[0], Outcome.Withheld, 0, STAKE);
    }

    function test_what_nobody_could_fetch_is_nobodys_silence() public {
        _audited();
        _true(deal, task);
        for (uint256 i = 0; i < AUDITORS; ++i) {
            _commit(i, 0, 0);
        }
        _commitAnswers(_answers());
        for (uint256 i = 0; i < AUDITORS; ++i) {
            _reveal(i, 0, 0);
        }
        _answer(_answers());
        _pass();
        assertClosesWith(Outcome.Excused, 0);
        _finalise();
        assertNothingHeld();
    }

    function test_what_another_auditor_could_fetch_is_silence() public {
        _audited();
        _true(deal, task);
        _commit(0, 0, 0);
        _honestFrom(1);
        _commitAnswers(_answers());
        _reveal(0, 0, 0);
        _revealFrom(1);
        _answer(_answers());
        _pass();
        vm.recordLogs();
        _close();
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertOutcome(logs, drawn[0], Outcome.Silent, 0, PENALTY);
        assertOutcome(logs, drawn[1], Outcome.Right, SHARE, 0);
    }

    function test_a_provider_that_does_not_answer_fails_the_deal() public {
        uint256[2] memory before = [_free(buyer), _free(provider)];
        uint256 coins = _coins(buyer);
        _audited();
        _true(deal, task);
        _honestFrom(0);
        vm.warp(deadline + 1);
        _revealFrom(0);
        _pass();
        assertClosesWith(Outcome.Right, SHARE);
        assertStatus(deal, DealStatus.Failed);
        assertEq(
            _free(buyer),
            before[0] + deal.collateral / 2 - 3 * SHARE - deal.buyerTip,
            "refunded, half of the collateral, less what the auditors earned and the first tip"
        );
        assertEq(_free(provider), before[1] - deal.collateral, "the collateral is gone");
        assertEq(_coins(buyer), coins + FLOOR / 2, "half of the floor");
        assertNothingHeld();
    }

    function test_a_claim_under_challenge_does_not_fail_by_silence_before_the_verdict() public {
        _audited();
        Belief memory truth = _true(deal, task);
        GameKey memory key = _challenge(deal, made, Belief(task, 5, keccak256("false")), CHALLENGER);
        _honestFrom(0);
        vm.warp(deadline + 1);
        _revealFrom(0);
        _pass();
        _refuses(IDeals.ChallengeOpen.selector);
        _close();
        assertTrue(!_dispute(key, Belief(task, 5, keccak256("false")), truth), "the claim is true");
        game.settle(deal, made);
        _close();
        assertStatus(deal, DealStatus.Failed);
        assertNothingHeld();
    }

    // ---------------------------------------------------------------- contradiction

    function test_an_auditor_that_proves_the_providers_state_false_makes_the_claim_fall() public {
        _audited();
        Belief memory truth = _true(deal, task);
        uint256 point = _stepOf(0);
        Belief memory lie = Belief(task, point - 7, truth.halted);
        bytes32[] memory answers = _answers();
        answers[0] = keccak256(abi.encode("a lie", lie.halted, point));
        _honestFrom(0);
        _commitAnswers(answers);
        _revealFrom(0);
        _answer(answers);
        _refuses(IAudits.AuditRunning.selector);
        _close();
        GameKey memory key = _contradict(0);
        assertTrue(_playPoint(key, answers[0], truth, lie), "the auditor wins");
        game.settle(deal, made);
        _pass();
        assertClosesWith(Outcome.Right, SHARE);
        assertStatus(deal, DealStatus.Failed);
        game.collect(key);
        assertEq(_free(drawn[0]), SHARE + deal.collateral / 2, "its share and the reward");
        assertNothingHeld();
    }

    function test_an_auditor_that_contradicts_a_true_state_loses_its_stake() public {
        _audited();
        Belief memory truth = _true(deal, task);
        uint256 point = _stepOf(0);
        Belief memory lie = Belief(task, point / 2, truth.halted);
        bytes32 false_ = keccak256(abi.encode("a lie", lie.halted, point));
        _commit(0, false_, leaf);
        _honestFrom(1);
        _commitAnswers(_answers());
        _reveal(0, false_, leaf);
        _revealFrom(1);
        _answer(_answers());
        GameKey memory key = _contradict(0);
        _pass();
        _refuses(IAudits.GameRunning.selector);
        _close();
        assertTrue(!_playPoint(key, _atPoint(0), lie, truth), "the provider wins");
        game.settle(deal, made);
        vm.recordLogs();
        _close();
        assertOutcome(vm.getRecordedLogs(), drawn[0], Outcome.Wrong, 0, STAKE);
        game.collect(key);
        vm.warp(block.timestamp + WINDOW);
        _finalise();
        assertNothingHeld();
    }

    function test_who_contradicts_and_brings_no_game_loses_its_stake() public {
        _audited();
        _true(deal, task);
        _commit(0, keccak256("state"), leaf);
        _commit(1, _atPoint(1), keccak256("halted"));
        _commit(2, _atPoint(2), leaf);
        _commitAnswers(_answers());
        _reveal(0, keccak256("state"), leaf);
        _reveal(1, _atPoint(1), keccak256("halted"));
        _reveal(2, _atPoint(2), leaf);
        _answer(_answers());
        _pass();
        vm.recordLogs();
        _close();
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertOutcome(logs, drawn[0], Outcome.Wrong, 0, STAKE);
        assertOutcome(logs, drawn[1], Outcome.Wrong, 0, STAKE);
        assertOutcome(logs, drawn[2], Outcome.Right, SHARE, 0);
    }

    function test_only_an_auditor_that_is_contradicted_brings_a_game_about_its_point() public {
        _audited();
        _true(deal, task);
        _honestFrom(0);
        _commitAnswers(_answers());
        _revealFrom(0);
        vm.prank(drawn[0]);
        _refuses(IAudits.AuditRunning.selector);
        game.challengeAnswer(_challengeCall(deal, made, task, 0));
        _answer(_answers());
        vm.prank(drawn[0]);
        _refuses(IGame.NothingDisputed.selector);
        game.challengeAnswer(_challengeCall(deal, made, task, 0));
        vm.prank(CHALLENGER);
        _refuses(IAudits.NotParty.selector);
        game.challengeAnswer(_challengeCall(deal, made, task, 0));
    }

    // ---------------------------------------------------------------- a false claim

    function test_who_endorsed_a_result_that_falls_is_not_paid() public {
        _audited();
        Belief memory truth = _otherwise(task);
        Belief memory lie = Belief(task, 3, leaf);
        // The audit keeps the claim open to a challenge when its window is over.
        _commit(0, keccak256("not run"), leaf);
        _commit(1, _atPoint(1), truth.halted);
        bytes32[] memory answers = _answers();
        answers[0] = keccak256("not run");
        _commitAnswers(answers);
        vm.warp(deadline + 1);
        _reveal(0, keccak256("not run"), leaf);
        _reveal(1, _atPoint(1), truth.halted);
        _answer(answers);
        GameKey memory key = GameKey(claimHash, task, drawn[1], 0);
        vm.prank(drawn[1]);
        game.challenge(_challengeCall(deal, made, task, truth.halted));
        assertTrue(_dispute(key, truth, lie), "the claim falls");
        game.settle(deal, made);
        _pass();
        vm.recordLogs();
        _close();
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertOutcome(logs, drawn[0], Outcome.Excused, 0, 0);
        assertOutcome(logs, drawn[1], Outcome.Right, SHARE, 0);
        // It may have stopped because the claim had fallen.
        assertOutcome(logs, drawn[2], Outcome.Excused, 0, 0);
        assertEq(_free(drawn[1]), SHARE + deal.collateral / 2, "its share and the reward");
        game.collect(key);
        assertNothingHeld();
    }

    /// Otherwise a provider could ruin its auditors, together with any challenger.
    function test_a_provider_that_loses_a_true_claim_on_purpose_costs_its_auditors_no_stake() public {
        _audited();
        Belief memory truth = _true(deal, task);
        _honestFrom(0);
        _commitAnswers(_answers());
        _revealFrom(0);
        _answer(_answers());
        Belief memory accuser = Belief(task, 5, keccak256("false"));
        GameKey memory key = _challenge(deal, made, accuser, CHALLENGER);
        // It asserts states that are false before those of the accuser are.
        assertTrue(_dispute(key, accuser, Belief(task, 2, truth.halted)), "it loses");
        game.settle(deal, made);
        assertClosesWith(Outcome.Excused, 0);
        assertStatus(deal, DealStatus.Failed);
        game.collect(key);
        assertNothingHeld();
    }

    function test_without_an_audit_nobody_challenges_after_the_window() public {
        _claimed(1);
        Belief memory truth = _otherwise(0);
        vm.warp(block.timestamp + WINDOW + 1);
        vm.prank(CHALLENGER);
        _refuses(IDeals.ChallengeWindowOver.selector);
        game.challenge(_challengeCall(deal, made, 0, truth.halted));
    }

    function test_an_audit_ends_when_another_deal_has_taken_the_place_of_one_that_fell() public {
        Bid memory first = _auditedBid(10_000);
        _audited();
        Belief memory truth = _otherwise(task);
        GameKey memory key = _challenge(deal, made, truth, CHALLENGER);
        assertTrue(_dispute(key, truth, Belief(task, 3, leaf)), "the claim falls");
        game.settle(deal, made);
        game.collect(key);
        (Deal memory fallen, Claim memory claimedThen) = (deal, made);
        // Its range goes to another deal, and its cell to the next one, which is audited too.
        Offer memory offer = _offer();
        offer.salt = 4;
        market.reopen(_call(first, offer, 2), fallen);
        Bid memory bid = _auditedBid(10_000);
        bid.salt = 88;
        bid.expiry = offer.expiry = uint64(block.timestamp + 1 days);
        deal = _open(_call(bid, offer, 2));
        assertEq(deal.cell, fallen.cell, "the same cell");
        made = _claim(deal);
        claimHash = _claimHash(deal, made);
        uint64 claimedAt = uint64(block.timestamp);
        _beat();
        _openAudit(claimedAt);
        if (block.timestamp <= deadline) vm.warp(deadline + 2 * INCLUSION + 1);
        vm.prank(ANYBODY);
        audits.close(fallen, claimedThen);
        assertTrue(market.dealState(deal).audited, "the other audit goes on");
    }

    function test_nobody_but_the_audits_holds_a_deal() public {
        _claimed(10_000);
        _refuses(IAuditHold.NotAudits.selector);
        market.openAudit(deal, made);
        _refuses(IAuditHold.NotAudits.selector);
        market.closeAudit(deal, made, true);
        vm.prank(AUDITS);
        _refuses(IAuditHold.NoAuditOpen.selector);
        market.closeAudit(deal, made, true);
    }
}
