// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAccounts} from "../../src/interfaces/IAccounts.sol";
import {IDeals} from "../../src/interfaces/IDeals.sol";
import {IDemands} from "../../src/interfaces/IDemands.sol";
import {IGame} from "../../src/interfaces/IGame.sol";
import {DealStatus} from "../../src/types/Calls.sol";
import {ChallengeCall, GameKey, GameParameters, GameStatus, Part, Standing} from "../../src/types/Disputes.sol";
import {Claim, Deal} from "../../src/types/Orders.sol";
import {GameTest} from "./GameTest.sol";

contract GameRulesTest is GameTest {
    Deal private deal;
    Claim private made;

    function setUp() public override {
        super.setUp();
        deal = _open(2);
        made = _claim(deal);
    }

    /// @dev The provider's claim is false from some step on.
    function _lie(uint256 task, uint256 until) private view returns (Belief memory) {
        return Belief(task, until, _halted(deal, task));
    }

    function _lost(GameKey memory key) private view returns (bool) {
        return game.standing(key).status == GameStatus.Refused;
    }

    function _bond() private view returns (uint256) {
        return game.bondFor(provider, CYCLE_LIMIT);
    }

    // ---------------------------------------------------------------- who wins

    function test_an_honest_challenger_wins_wherever_the_provider_leaves_the_truth(uint256 until) public {
        until = bound(until, 0, TRACE_LENGTH - 1);
        Belief memory truth = _otherwise(0);
        GameKey memory key = _challenge(deal, made, truth, CHALLENGER);
        assertTrue(_dispute(key, truth, _lie(0, until)), "the claim is refuted");
        game.settle(deal, made);
        assertStatus(deal, DealStatus.Failed);
    }

    function test_an_honest_provider_wins_wherever_the_challenger_leaves_the_truth(uint256 until) public {
        until = bound(until, 0, TRACE_LENGTH - 1);
        Belief memory truth = _true(deal, 1);
        Belief memory lie = Belief(1, until, keccak256("a lie"));
        GameKey memory key = _challenge(deal, made, lie, CHALLENGER);
        assertTrue(!_dispute(key, lie, truth), "the challenge is refused");
        assertTrue(_lost(key), "refused");
        game.settle(deal, made);
        vm.warp(block.timestamp + WINDOW + 1);
        vm.prank(provider);
        market.finalise(deal, made);
        assertEq(_free(provider), FUNDS + made.price, "paid");
    }

    function test_a_game_of_a_2_to_the_40_trace_takes_ten_sections() public view {
        assertEq(game.sectionsOf(uint64(1 << 30) - 1), 10, "2^40 steps");
        assertEq(game.sectionsOf(1 << 30), 11, "more");
        assertEq(game.sectionsOf(0), 3, "the least");
        assertEq(game.sectionsOf(1 << 44), 14, "the largest limit");
    }

    // ---------------------------------------------------------------- money

    function test_who_refutes_a_claim_gets_half_of_the_collateral_its_bond_and_its_gas() public {
        Belief memory truth = _otherwise(0);
        uint256 bond = _bond();
        GameKey memory key = _challenge(deal, made, truth, CHALLENGER);
        assertEq(_coins(CHALLENGER), COINS - bond, "bond locked");
        _dispute(key, truth, _lie(0, 12_345));
        game.settle(deal, made);
        assertEq(_free(CHALLENGER), deal.collateral / 2, "reward");
        game.collect(key);
        assertEq(_coins(CHALLENGER), COINS + FLOOR / 2, "bond, gas, and what the gas leaves of the floor");
        assertEq(_free(buyer), FUNDS - TIP, "refunded");
        assertEq(_free(BURN), deal.collateral - deal.collateral / 2, "half burns");
        assertEq(_coins(BURN), FLOOR - FLOOR / 2, "of the floor too");
        assertEq(_coins(GAME), 0, "nothing stays");
        assertNothingHeld();
    }

    function test_a_refused_challenge_pays_the_providers_gas_and_run_and_burns_at_least_half() public {
        Belief memory truth = _true(deal, 0);
        Belief memory lie = Belief(0, 777, keccak256("a lie"));
        uint256 bond = _bond();
        GameKey memory key = _challenge(deal, made, lie, CHALLENGER);
        _dispute(key, lie, truth);
        uint256 before = _coins(provider);
        game.collect(key);
        uint256 paid = _coins(provider) - before;
        uint256 run = (uint256(RUN_PRICE) * CYCLE_LIMIT + (1 << 30) - 1) >> 30;
        assertTrue(paid > run && paid <= bond / 2, "gas and run");
        assertEq(_coins(BURN), bond - paid, "the rest burns");
        assertEq(_coins(GAME), 0, "nothing stays");
        vm.expectRevert(IGame.NothingToCollect.selector);
        game.collect(key);
    }

    function test_a_challenger_that_never_moves_pays_for_no_run() public {
        _true(deal, 0);
        GameKey memory key = _challenge(deal, made, Belief(0, 0, keccak256("a lie")), CHALLENGER);
        vm.warp(block.timestamp + CLOCK + 1);
        game.timeout(key);
        uint256 before = _coins(provider);
        game.collect(key);
        assertEq(_coins(provider) - before, FINISH_GAS * 1 gwei, "the end alone");
    }

    function test_the_winners_gas_comes_first_and_the_others_share_the_rest() public {
        Belief memory truth = _otherwise(0);
        GameKey[20] memory keys;
        for (uint160 i = 0; i < 20; ++i) {
            _grant(address(0xc000 + i));
            keys[i] = _challenge(deal, made, truth, address(0xc000 + i));
        }
        // The third has made one move, the others none.
        List memory list = _claimed(_lie(0, 5), _lie(0, 5).halted);
        List memory parts = _parts(list, 0, truth);
        vm.prank(address(0xc002));
        game.section(keys[2], _part(list, 0), parts.ends);
        _dispute(keys[0], truth, _lie(0, 5));
        vm.expectRevert(IGame.NothingToCollect.selector);
        game.collect(keys[1]);
        game.settle(deal, made);
        // 13 sections, 7 of them the challenger's.
        uint256 winners = _winnersGas() * GAS_PRICE_CAP;
        assertEq(_coins(address(0xc000)), COINS - _bondOfOne() + winners, "the winner's gas, and no coin more");
        uint256 rest = FLOOR / 2 - winners;
        uint256 others = 19 * CHALLENGE_GAS + SECTION_GAS;
        assertTrue(rest < others * 1 gwei, "less than the others have used");
        uint256 sum;
        for (uint256 i = 20; i != 0; --i) {
            game.collect(keys[i - 1]);
            uint256 gained = _coins(address(uint160(0xc000 + i - 1))) - COINS;
            if (i == 1) continue;
            sum += gained;
            uint256 owed = i == 3 ? CHALLENGE_GAS + SECTION_GAS : CHALLENGE_GAS;
            uint256 share = rest * owed / others;
            assertTrue(gained >= share && gained <= share + 20, "in proportion to what it has used");
        }
        assertEq(sum, rest, "all of the rest");
        assertEq(_coins(GAME), 0, "nothing stays");
    }

    /// @dev Of a winner that made 7 of 13 sections.
    function _winnersGas() private pure returns (uint256) {
        return CHALLENGE_GAS + 7 * SECTION_GAS + FINISH_GAS;
    }

    function test_the_price_at_the_verdict_takes_nothing_from_the_winners_gas(uint256 price) public {
        Belief memory truth = _otherwise(0);
        vm.fee(GAS_PRICE_CAP);
        GameKey memory key = _challenge(deal, made, truth, CHALLENGER);
        GameKey[9] memory idle;
        for (uint160 i = 0; i < 9; ++i) {
            _grant(address(0xd000 + i));
            idle[i] = _challenge(deal, made, truth, address(0xd000 + i));
        }
        assertTrue(_dispute(key, truth, _lie(0, 5)), "won at the highest price");
        price = bound(price, 0, 2 * GAS_PRICE_CAP);
        vm.fee(price);
        game.settle(deal, made);
        game.collect(key);
        uint256 winners = _winnersGas() * GAS_PRICE_CAP;
        uint256 others = 9 * CHALLENGE_GAS * price;
        if (others > FLOOR / 2 - winners) others = FLOOR / 2 - winners;
        assertEq(_coins(CHALLENGER), COINS + FLOOR / 2 - others, "what it may have spent, and all that is left");
        for (uint256 i = 0; i < 9; ++i) {
            game.collect(idle[i]);
        }
        assertEq(_coins(GAME), 0, "nothing stays");
    }

    function test_nobody_is_paid_for_gas_above_the_cap() public {
        // A claim that falls: two games, so that the pot is priced as well.
        vm.fee(2 * GAS_PRICE_CAP);
        Belief memory truth = _otherwise(1);
        address other = address(0xacc);
        _grant(other);
        GameKey memory key = _challenge(deal, made, truth, CHALLENGER);
        GameKey memory idle = _challenge(deal, made, truth, other);
        assertTrue(_dispute(key, truth, _lie(1, 5)), "refuted");
        game.settle(deal, made);
        game.collect(key);
        game.collect(idle);
        uint256 others = CHALLENGE_GAS * GAS_PRICE_CAP;
        assertEq(_coins(other), COINS + others, "a challenge at the cap");
        assertEq(_coins(CHALLENGER), COINS + FLOOR / 2 - others, "the winner");
        assertEq(_coins(GAME), 0, "nothing stays");
    }

    function test_a_provider_is_paid_for_no_gas_above_the_cap() public {
        vm.fee(2 * GAS_PRICE_CAP);
        Belief memory truth = _true(deal, 0);
        Belief memory lie = Belief(0, 777, keccak256("a lie"));
        GameKey memory key = _challenge(deal, made, lie, CHALLENGER);
        assertTrue(!_dispute(key, lie, truth), "refused");
        uint256 before = _coins(provider);
        game.collect(key);
        // All sections made: the bond is twice what the provider is owed at the cap.
        assertEq(_coins(provider) - before, _bondOfOne() / 2, "gas at the cap, and its run");
        assertEq(_coins(BURN), _bondOfOne() / 2, "the other half burns");
        // A game that ends before its first section.
        address other = address(0xacc);
        _grant(other);
        key = _challenge(deal, made, lie, other);
        vm.warp(block.timestamp + CLOCK + 1);
        game.timeout(key);
        before = _coins(provider);
        game.collect(key);
        assertEq(_coins(provider) - before, FINISH_GAS * GAS_PRICE_CAP, "the end alone, at the cap");
        assertEq(_coins(GAME), 0, "nothing stays");
    }

    function _bondOfOne() private pure returns (uint256) {
        uint256 run = (uint256(RUN_PRICE) * CYCLE_LIMIT + (1 << 30) - 1) >> 30;
        // 13 sections, of which the provider makes 6.
        return 2 * ((6 * SECTION_GAS + FINISH_GAS) * GAS_PRICE_CAP + run);
    }

    function test_a_bond_covers_what_a_provider_is_owed_and_doubles_every_32_games() public {
        assertEq(_bond(), _bondOfOne(), "the first");
        Belief memory lie = Belief(0, 5, keccak256("a lie"));
        _true(deal, 0);
        for (uint160 i = 0; i < 64; ++i) {
            address sham = address(0xd000 + i);
            _grant(sham);
            assertEq(_bond(), _bondOfOne() << (i / 32), "doubled");
            _challenge(deal, made, lie, sham);
        }
        assertEq(_bond(), _bondOfOne() << 2, "the third time");
        ChallengeCall memory call = _challengeCall(deal, made, 0, lie.halted);
        call.bondMax = _bond() - 1;
        vm.prank(CHALLENGER);
        vm.expectRevert(IGame.BondTooLarge.selector);
        game.challenge(call);
    }

    /// @dev The provider's accomplice.
    address private constant ACCOMPLICE = address(0xacc);

    /// @dev What a provider that is its own challenger, and its accomplice, have together: coins and tokens.
    function _together() private view returns (uint256 coins, uint256 tokens) {
        return (_coins(provider) + _coins(ACCOMPLICE), _free(provider) + _free(ACCOMPLICE));
    }

    function test_who_refutes_himself_loses_half_of_collateral_and_floor() public {
        Belief memory truth = _otherwise(0);
        (uint256 coins, uint256 tokens) = _together();
        GameKey memory key = _challenge(deal, made, truth, provider);
        assertTrue(_dispute(key, truth, _lie(0, 5)), "refuted");
        game.settle(deal, made);
        game.collect(key);
        (uint256 coinsAfter, uint256 tokensAfter) = _together();
        assertEq(coinsAfter, coins + FLOOR / 2, "of the floor, which was locked before");
        assertEq(tokensAfter, tokens + deal.collateral / 2, "and of the collateral");
        assertEq(_coins(BURN), FLOOR - FLOOR / 2, "the other half burns");
        assertEq(_free(BURN), deal.collateral - deal.collateral / 2, "of both");
        assertEq(_free(buyer), FUNDS - TIP, "the buyer has all of his");
    }

    /// @dev At the highest price of gas, at which most comes back.
    function test_who_refuses_himself_loses_half_of_his_bond() public {
        vm.fee(2 * GAS_PRICE_CAP);
        Belief memory truth = _true(deal, 0);
        Belief memory lie = Belief(0, 5, keccak256("a lie"));
        (uint256 coins,) = _together();
        uint256 bond = _bond();
        GameKey memory key = _challenge(deal, made, lie, provider);
        assertTrue(!_dispute(key, lie, truth), "refused");
        game.settle(deal, made);
        game.collect(key);
        (uint256 coinsAfter,) = _together();
        assertEq(coins - coinsAfter, bond - bond / 2, "half of the bond");
        assertEq(_coins(BURN), bond - bond / 2, "burns");
    }

    function test_who_lets_his_own_challenge_run_out_loses_more_than_half_of_his_bond() public {
        vm.fee(2 * GAS_PRICE_CAP);
        _true(deal, 0);
        (uint256 coins,) = _together();
        uint256 bond = _bond();
        GameKey memory key = _challenge(deal, made, Belief(0, 5, keccak256("a lie")), provider);
        vm.warp(block.timestamp + CLOCK + 1);
        game.timeout(key);
        game.settle(deal, made);
        game.collect(key);
        (uint256 coinsAfter,) = _together();
        assertEq(coins - coinsAfter, bond - FINISH_GAS * GAS_PRICE_CAP, "all but the end of the game");
        assertTrue(coins - coinsAfter > bond / 2, "more than half");
    }

    function test_a_second_game_of_the_same_colluders_brings_nothing_back() public {
        vm.fee(2 * GAS_PRICE_CAP);
        Belief memory truth = _otherwise(0);
        _grant(ACCOMPLICE);
        (uint256 coins, uint256 tokens) = _together();
        uint256 bond = _bond();
        // One game is won, one is refused before, and one runs when the claim falls.
        GameKey memory key = _challenge(deal, made, truth, provider);
        GameKey memory idle = _challenge(deal, made, truth, ACCOMPLICE);
        Belief memory lie = Belief(1, 5, keccak256("a lie"));
        _true(deal, 1);
        GameKey memory lost = _challenge(deal, made, lie, ACCOMPLICE);
        assertTrue(!_dispute(lost, lie, Belief(1, TRUE, _halted(deal, 1))), "refused");
        assertTrue(_dispute(key, truth, _lie(0, 5)), "refuted");
        game.settle(deal, made);
        game.collect(key);
        game.collect(idle);
        game.collect(lost);
        (uint256 coinsAfter, uint256 tokensAfter) = _together();
        assertEq(coinsAfter, coins + FLOOR / 2 - (bond - bond / 2), "half of the floor, less half of the bond");
        assertEq(tokensAfter, tokens + deal.collateral / 2, "half of the collateral");
        assertEq(_coins(BURN), FLOOR - FLOOR / 2 + bond - bond / 2, "what is gone burns");
        assertEq(_coins(GAME), 0, "nothing stays");
    }

    function test_a_challenge_without_the_coins_for_its_bond_is_refused() public {
        _otherwise(0);
        ChallengeCall memory call = _challengeCall(deal, made, 0, keccak256("the truth"));
        vm.prank(address(0xb00));
        vm.expectRevert(IAccounts.BalanceInsufficient.selector);
        game.challenge(call);
    }

    // ---------------------------------------------------------------- independent games

    function test_an_accomplice_that_throws_its_game_helps_nobody() public {
        Belief memory truth = _otherwise(0);
        _grant(address(0xacc));
        GameKey memory thrown = _challenge(deal, made, Belief(0, 9, keccak256("also false")), address(0xacc));
        GameKey memory key = _challenge(deal, made, truth, CHALLENGER);
        vm.warp(block.timestamp + CLOCK / 2);
        assertTrue(_dispute(key, truth, _lie(0, 5)), "the honest one wins");
        vm.warp(block.timestamp + CLOCK);
        assertTrue(game.standing(thrown).overdue, "overdue");
        vm.expectRevert(IGame.ClaimFell.selector);
        game.timeout(thrown);
        game.settle(deal, made);
        game.collect(thrown);
        game.collect(key);
        assertNothingHeld();
    }

    function test_a_claim_stands_only_when_all_games_have_ended() public {
        Belief memory truth = _true(deal, 0);
        Belief memory lie = Belief(0, 9, keccak256("a lie"));
        GameKey memory first = _challenge(deal, made, lie, CHALLENGER);
        _grant(address(0xacc));
        GameKey memory second = _challenge(deal, made, lie, address(0xacc));
        vm.expectRevert(IGame.NothingToSettle.selector);
        game.settle(deal, made);
        _dispute(first, lie, truth);
        vm.expectRevert(IGame.GamesRunning.selector);
        game.settle(deal, made);
        vm.warp(block.timestamp + CLOCK + 1);
        vm.expectRevert(IDeals.ChallengeOpen.selector);
        market.finalise(deal, made);
        game.timeout(second);
        game.settle(deal, made);
        market.finalise(deal, made);
        vm.expectRevert(IGame.NothingToSettle.selector);
        game.settle(deal, made);
        game.collect(first);
        game.collect(second);
        assertEq(_coins(GAME), 0, "nothing stays");
    }

    function test_two_tasks_of_one_claim_are_two_games() public {
        Belief memory truth = _otherwise(1);
        _true(deal, 0);
        Belief memory lie = Belief(0, 9, keccak256("a lie"));
        GameKey memory wrong = _challenge(deal, made, lie, CHALLENGER);
        GameKey memory right = _challenge(deal, made, truth, CHALLENGER);
        assertTrue(!_dispute(wrong, lie, Belief(0, TRUE, _halted(deal, 0))), "task 0 is right");
        assertTrue(_dispute(right, truth, _lie(1, 40)), "task 1 is wrong");
        game.settle(deal, made);
        game.collect(wrong);
        game.collect(right);
        assertStatus(deal, DealStatus.Failed);
        assertNothingHeld();
    }

    // ---------------------------------------------------------------- clocks

    function test_a_move_is_valid_in_the_last_second_of_a_clock_and_a_timeout_in_the_next() public {
        Belief memory truth = _otherwise(0);
        GameKey memory key = _challenge(deal, made, truth, CHALLENGER);
        List memory list = _claimed(truth, _lie(0, 5).halted);
        List memory parts = _parts(list, 0, truth);
        uint256 start = block.timestamp;
        vm.warp(start + CLOCK + 1);
        vm.prank(CHALLENGER);
        vm.expectRevert(IGame.ClockRunOut.selector);
        game.section(key, _part(list, 0), parts.ends);
        vm.warp(start + CLOCK);
        vm.expectRevert(IGame.ClockNotRunOut.selector);
        game.timeout(key);
        vm.prank(CHALLENGER);
        game.section(key, _part(list, 0), parts.ends);
        Standing memory standing = game.standing(key);
        assertEq(standing.challengerLeft, 0, "all used");
        assertEq(standing.providerLeft, CLOCK, "untouched");
        vm.warp(start + 2 * CLOCK);
        vm.expectRevert(IGame.ClockNotRunOut.selector);
        game.timeout(key);
        vm.warp(start + 2 * CLOCK + 1);
        assertTrue(game.standing(key).overdue, "overdue");
        game.timeout(key);
        assertTrue(game.standing(key).status == GameStatus.Won, "the silent provider lost");
    }

    function test_the_33rd_game_waits_for_a_seat_with_the_providers_clock_standing_still() public {
        Belief memory truth = _true(deal, 0);
        Belief memory lie = Belief(0, 9, keccak256("a lie"));
        GameKey[35] memory keys;
        for (uint160 i = 0; i < 35; ++i) {
            _grant(address(0xd000 + i));
            keys[i] = _challenge(deal, made, lie, address(0xd000 + i));
            assertTrue(game.standing(keys[i]).seated == (i < 32), "seated");
        }
        List memory list = _claimed(truth, truth.halted);
        List memory parts = _parts(list, 0, lie);
        for (uint256 i = 31; i < 35; ++i) {
            vm.prank(keys[i].challenger);
            game.section(keys[i], _part(list, 0), parts.ends);
        }
        vm.warp(block.timestamp + CLOCK + 1);
        assertTrue(game.standing(keys[31]).overdue, "in its seat the clock runs");
        assertEq(game.standing(keys[32]).providerLeft, CLOCK, "without one it does not");
        assertTrue(!game.standing(keys[32]).overdue, "nor can it be lost");
        // Two seated challengers are late: the next two games get their seats, and their clocks start.
        game.timeout(keys[0]);
        game.timeout(keys[1]);
        assertTrue(!game.standing(keys[32]).seated, "not by themselves");
        game.seat(provider);
        vm.warp(block.timestamp + 100);
        assertEq(game.standing(keys[32]).providerLeft, CLOCK - 100, "runs since it was seated");
        assertEq(game.standing(keys[33]).providerLeft, CLOCK - 100, "the second as well");
        assertTrue(!game.standing(keys[34]).seated, "one still waits");
    }

    /// @dev Games that hold all seats, and one more in which it is the provider's turn.
    function _waiting(Belief memory belief) private returns (GameKey memory key, List memory parts) {
        Belief memory lie = Belief(0, 9, keccak256("a lie"));
        for (uint160 i = 0; i < 32; ++i) {
            _grant(address(0xd000 + i));
            _challenge(deal, made, lie, address(0xd000 + i));
        }
        key = _challenge(deal, made, belief, CHALLENGER);
        List memory list = _claimed(belief, _halted(deal, 0));
        parts = _parts(list, 0, belief);
        vm.prank(CHALLENGER);
        game.section(key, _part(list, 0), parts.ends);
    }

    function test_a_game_waits_for_four_of_its_clocks_and_then_it_can_be_lost() public {
        (GameKey memory key,) = _waiting(_otherwise(0));
        uint256 start = block.timestamp;
        vm.warp(start + 4 * CLOCK);
        assertEq(game.standing(key).providerLeft, CLOCK, "stands still");
        vm.warp(start + 4 * CLOCK + 100);
        assertEq(game.standing(key).providerLeft, CLOCK - 100, "runs");
        assertTrue(!game.standing(key).seated, "though it has no seat");
        // A seat changes nothing about a clock that runs.
        for (uint160 i = 0; i < 32; ++i) {
            game.timeout(GameKey(key.claimHash, 0, address(0xd000 + i), 0));
        }
        game.seat(provider);
        assertTrue(game.standing(key).seated, "seated");
        assertEq(game.standing(key).providerLeft, CLOCK - 100, "runs on");
        vm.warp(start + 5 * CLOCK);
        vm.expectRevert(IGame.ClockNotRunOut.selector);
        game.timeout(key);
        vm.warp(start + 5 * CLOCK + 1);
        game.timeout(key);
        assertTrue(game.standing(key).status == GameStatus.Won, "the silent provider lost");
    }

    function test_a_provider_that_moves_in_a_game_that_waits_gives_it_a_seat_beyond_the_32() public {
        (GameKey memory key, List memory list) = _waiting(Belief(0, 9, keccak256("a lie")));
        _grant(address(0xacc));
        GameKey memory next = _challenge(deal, made, Belief(1, 9, keccak256("a lie")), address(0xacc));
        Belief memory truth = _true(deal, 0);
        vm.warp(block.timestamp + 4 * CLOCK + 100);
        uint256 index = _disputed(list, truth);
        List memory parts = _parts(list, index, truth);
        vm.prank(provider);
        game.section(key, _part(list, index), parts.ends);
        assertTrue(game.standing(key).seated, "seated");
        assertEq(game.standing(key).providerLeft, CLOCK - 100, "what it waited for is not taken from its clock");
        // The seat is one more: the next game waits until two games have ended.
        game.timeout(GameKey(key.claimHash, 0, address(0xd000), 0));
        game.seat(provider);
        assertTrue(!game.standing(next).seated, "32 others still have one");
        game.timeout(GameKey(key.claimHash, 0, address(0xd001), 0));
        game.seat(provider);
        assertTrue(game.standing(next).seated, "seated");
        // And it is given back once.
        vm.warp(block.timestamp + CLOCK + 1);
        game.timeout(key);
        for (uint160 i = 2; i < 32; ++i) {
            game.timeout(GameKey(key.claimHash, 0, address(0xd000 + i), 0));
        }
        game.timeout(next);
        (Deal memory other, Claim memory claimed) = _another();
        for (uint160 i = 0; i < 33; ++i) {
            _grant(address(0xf000 + i));
            GameKey memory later = _challenge(other, claimed, Belief(1, 9, keccak256("a lie")), address(0xf000 + i));
            assertTrue(game.standing(later).seated == (i < 32), "32 seats, as before");
        }
    }

    function test_games_that_ended_while_they_waited_are_passed_over_64_at_a_time() public {
        _true(deal, 0);
        Belief memory lie = Belief(0, 9, keccak256("a lie"));
        GameKey[98] memory keys;
        for (uint160 i = 0; i < 98; ++i) {
            address sham = address(0xd000 + i);
            vm.deal(sham, 1 << 100);
            vm.prank(sham);
            market.depositNative{value: 1 << 100}();
            keys[i] = _challenge(deal, made, lie, sham);
        }
        vm.warp(block.timestamp + CLOCK + 1);
        for (uint256 i = 0; i < 97; ++i) {
            game.timeout(keys[i]);
        }
        game.seat(provider);
        assertTrue(!game.standing(keys[97]).seated, "still behind another");
        game.seat(provider);
        assertTrue(game.standing(keys[97]).seated, "seated");
    }

    // ---------------------------------------------------------------- moves that are refused

    function test_only_the_party_whose_turn_it_is_moves() public {
        Belief memory truth = _otherwise(0);
        GameKey memory key = _challenge(deal, made, truth, CHALLENGER);
        List memory list = _claimed(truth, _lie(0, 5).halted);
        Part memory part = _part(list, 0);
        bytes32[16] memory ends = _parts(list, 0, truth).ends;
        vm.prank(provider);
        vm.expectRevert(IGame.NotYourTurn.selector);
        game.section(key, part, ends);
        vm.prank(CHALLENGER);
        game.section(key, part, ends);
        vm.prank(CHALLENGER);
        vm.expectRevert(IGame.NotYourTurn.selector);
        game.section(key, part, ends);
        key.task = 1;
        vm.expectRevert(IGame.GameNotRunning.selector);
        game.section(key, part, ends);
    }

    function test_a_section_disputes_a_part_that_was_asserted_and_its_end() public {
        Belief memory truth = _otherwise(0);
        GameKey memory key = _challenge(deal, made, truth, CHALLENGER);
        List memory list = _claimed(truth, _lie(0, 5).halted);
        Part memory part = _part(list, 0);
        bytes32[16] memory ends = _parts(list, 0, truth).ends;
        vm.startPrank(CHALLENGER);
        Part memory other = _part(list, 0);
        (other.before, other.end) = (part.end, part.before);
        vm.expectRevert(IGame.PartMismatch.selector);
        game.section(key, other, ends);
        other = _part(list, 0);
        other.index = 16;
        vm.expectRevert(IGame.PartMismatch.selector);
        game.section(key, other, ends);
        other = _part(list, 0);
        other.index = 1;
        vm.expectRevert(IGame.PartMismatch.selector);
        game.section(key, other, ends);
        other = _part(list, 0);
        --other.level;
        vm.expectRevert(IGame.PartMismatch.selector);
        game.section(key, other, ends);
        other = _part(list, 0);
        other.path[3] = 0;
        vm.expectRevert(IGame.PartMismatch.selector);
        game.section(key, other, ends);
        ends[15] = part.end;
        vm.expectRevert(IGame.EndNotDisputed.selector);
        game.section(key, part, ends);
        vm.expectRevert(IGame.SectionsLeft.selector);
        game.prove(key, part, "");
    }

    function test_a_proof_wins_only_against_a_false_step() public {
        Belief memory truth = _true(deal, 0);
        Belief memory lie = Belief(0, 9, keccak256("a lie"));
        GameKey memory key = _challenge(deal, made, lie, CHALLENGER);
        List memory list = _claimed(truth, truth.halted);
        uint256 n = game.sectionsOf(CYCLE_LIMIT);
        Belief memory mover;
        for (uint256 i = 0; i < n; ++i) {
            mover = i % 2 == 0 ? lie : truth;
            uint256 index = _disputed(list, mover);
            List memory parts = _parts(list, index, mover);
            vm.prank(i % 2 == 0 ? CHALLENGER : provider);
            game.section(key, _part(list, index), parts.ends);
            list = parts;
        }
        assertEq(n % 2, 1, "the provider proves");
        uint256 last = _disputed(list, truth);
        vm.startPrank(provider);
        vm.expectRevert(IGame.SectionsDone.selector);
        game.section(key, _part(list, last), list.ends);
        bytes memory proof = _proof(list, 0, 0);
        vm.expectRevert(IGame.StepAgrees.selector);
        game.prove(key, _part(list, 0), proof);
        proof = _proof(list, last, 0);
        game.prove(key, _part(list, last), proof);
        assertTrue(_lost(key), "refused");
    }

    function test_a_challenge_names_the_deals_job_its_result_and_its_input() public {
        Belief memory truth = _otherwise(0);
        ChallengeCall memory call = _challengeCall(deal, made, 0, truth.halted);
        vm.startPrank(CHALLENGER);
        call.job.outputLimit += 1;
        _refuses(call, IGame.JobMismatch.selector);
        call = _challengeCall(deal, made, 0, truth.halted);
        call.claimed.cycles += 1;
        _refuses(call, IDemands.OpeningInvalid.selector);
        call = _challengeCall(deal, made, 0, truth.halted);
        call.claimed.task = 2;
        _refuses(call, IDemands.OpeningInvalid.selector);
        call = _challengeCall(deal, made, 0, truth.halted);
        call.claimed.path = new bytes32[](0);
        _refuses(call, IDemands.OpeningInvalid.selector);
        call = _challengeCall(deal, made, 0, truth.halted);
        call.input.archive = 0;
        _refuses(call, IGame.InputInvalid.selector);
        call = _challengeCall(deal, made, 0, truth.halted);
        call.input.path = new bytes32[](0);
        _refuses(call, IGame.InputInvalid.selector);
        _refuses(_challengeCall(deal, made, 0, _halted(deal, 0)), IGame.NothingDisputed.selector);
        call = _challengeCall(deal, made, 0, truth.halted);
        call.claim.price += 1;
        _refuses(call, IDeals.ClaimNotHeld.selector);
        call = _challengeCall(deal, made, 0, truth.halted);
        game.challenge(call);
        _refuses(call, IGame.AlreadyChallenged.selector);
        vm.warp(block.timestamp + WINDOW + 1);
        call = _challengeCall(deal, made, 1, truth.halted);
        _refuses(call, IDeals.ChallengeWindowOver.selector);
    }

    function _refuses(ChallengeCall memory call, bytes4 error_) private {
        vm.expectRevert(error_);
        game.challenge(call);
    }

    function test_parameters_that_a_clock_can_not_hold_are_refused() public {
        bytes memory code = vm.getCode(gameArtifact());
        GameParameters memory p = gameParameters();
        p.interpreterSpeed = 0;
        assertTrue(!_deploys(abi.encodePacked(code, abi.encode(p))), "a speed of zero");
        p = gameParameters();
        p.interpreterSpeed = 1e6;
        assertTrue(!_deploys(abi.encodePacked(code, abi.encode(p))), "more than 24 bits of seconds");
        p = gameParameters();
        assertTrue(_deploys(abi.encodePacked(code, abi.encode(p))), "the tests' own");
    }

    function _deploys(bytes memory creation) private returns (bool) {
        address created;
        assembly ("memory-safe") {
            created := create(0, add(creation, 0x20), mload(creation))
        }
        return created != address(0);
    }

    function test_verdict_and_payout_go_into_one_transaction() public {
        _true(deal, 0);
        GameKey memory key = _challenge(deal, made, Belief(0, 0, keccak256("a lie")), CHALLENGER);
        vm.warp(block.timestamp + CLOCK + 1);
        bytes[] memory calls = new bytes[](3);
        calls[0] = abi.encodeCall(game.timeout, (key));
        calls[1] = abi.encodeCall(game.settle, (deal, made));
        calls[2] = abi.encodeCall(game.collect, (key));
        game.multicall(calls);
        assertEq(_coins(GAME), 0, "collected");
    }

    /// @dev As `assertNothingLocked`, with the accounts of a dispute.
    function assertNothingHeld() private view {
        assertEq(
            _free(buyer) + _free(provider) + _free(ANYBODY) + _free(BURN) + _free(CHALLENGER),
            market.totalHeld(address(token)),
            "tokens in balances"
        );
        assertEq(_coins(GAME), 0, "no coin of the game's");
    }
}

/// @dev Fourteen sections: the challenger proves the last step, so that it need not wait for a clock.
contract ProvingChallengerTest is GameTest {
    function _cycleLimit() internal pure override returns (uint64) {
        return 1 << 42;
    }

    function test_a_claim_that_has_fallen_is_not_challenged_again() public {
        Deal memory deal = _open(2);
        Claim memory made = _claim(deal);
        Belief memory truth = _otherwise(0);
        GameKey memory key = _challenge(deal, made, truth, CHALLENGER);
        assertTrue(_dispute(key, truth, Belief(0, 5, _halted(deal, 0))), "refuted, and the market has not heard of it");
        address late = address(0xacc);
        _grant(late);
        ChallengeCall memory call = _challengeCall(deal, made, 0, truth.halted);
        vm.prank(late);
        vm.expectRevert(IGame.ClaimFell.selector);
        game.challenge(call);
        game.settle(deal, made);
        vm.prank(late);
        vm.expectRevert(IDeals.ClaimNotHeld.selector);
        game.challenge(call);
    }
}
