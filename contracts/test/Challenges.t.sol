// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAccounts} from "../src/interfaces/IAccounts.sol";
import {IChallenges} from "../src/interfaces/IChallenges.sol";
import {IDeals} from "../src/interfaces/IDeals.sol";
import {Hashing} from "../src/market/Hashing.sol";
import {DealStatus, LeafIndex, Payout} from "../src/types/Calls.sol";
import {Bid, Claim, Deal} from "../src/types/Orders.sol";
import {MarketTest} from "./base/MarketTest.sol";

/// @dev The game is an address here; its rules come with the game.
contract ChallengesTest is MarketTest {
    Deal private deal;
    Claim private made;

    function setUp() public override {
        super.setUp();
        deal = _open(2);
        made = _claim(deal);
    }

    function _mark() private {
        vm.prank(GAME);
        market.openChallenge(deal, made, ANYBODY, 0);
    }

    function _payouts(uint128 amount, uint128 native) private pure returns (Payout[] memory payouts) {
        payouts = new Payout[](1);
        payouts[0] = Payout(ANYBODY, amount, native);
    }

    function test_nothing_is_finalised_while_a_game_is_open() public {
        _mark();
        assertTrue(market.dealState(deal).challenged, "challenged");
        vm.warp(block.timestamp + WINDOW + 1);
        vm.expectRevert(IDeals.ChallengeOpen.selector);
        market.finalise(deal, made);
        vm.prank(GAME);
        market.resolveChallenge(deal, made, true, new Payout[](0));
        vm.prank(provider);
        market.finalise(deal, made);
        assertEq(_free(provider), FUNDS + made.price, "a claim that stands is paid");
        assertNothingLocked();
    }

    function test_a_claim_that_falls_refunds_the_buyer_pays_challengers_and_burns_half() public {
        _mark();
        uint128 half = deal.collateral / 2;
        vm.prank(GAME);
        market.resolveChallenge(deal, made, false, _payouts(half, FLOOR / 2));
        assertEq(_free(buyer), FUNDS - TIP, "refund and the unused tip");
        assertEq(_free(ANYBODY), TIP + half, "the challenger");
        assertEq(_coins(ANYBODY), FLOOR / 2, "its gas");
        assertEq(_free(BURN), deal.collateral - half, "burned");
        assertEq(_coins(BURN), FLOOR / 2, "burned coins");
        assertStatus(deal, DealStatus.Failed);
        assertNothingLocked();
    }

    function test_challengers_get_at_most_half() public {
        _mark();
        uint128 half = deal.collateral / 2;
        vm.startPrank(GAME);
        vm.expectRevert(IChallenges.PayoutTooLarge.selector);
        market.resolveChallenge(deal, made, false, _payouts(half + 1, 0));
        vm.expectRevert(IChallenges.PayoutTooLarge.selector);
        market.resolveChallenge(deal, made, false, _payouts(0, FLOOR / 2 + 1));
    }

    function test_an_accepted_price_is_not_refunded_but_the_collateral_burns() public {
        market.accept(deal, made, _acceptSignature(deal, made));
        _mark();
        vm.prank(GAME);
        market.resolveChallenge(deal, made, false, new Payout[](0));
        assertEq(_free(buyer), FUNDS - TIP - made.price, "the buyer gave the price away");
        assertEq(_free(BURN), deal.collateral, "all of the collateral");
        assertNothingLocked();
    }

    function test_a_claim_that_falls_returns_the_bond_of_an_open_demand() public {
        vm.prank(buyer);
        market.demandOutput(deal, made, _job(2), new LeafIndex[](1));
        _mark();
        vm.warp(block.timestamp + DEMAND + 1);
        vm.expectRevert(IDeals.ChallengeOpen.selector);
        market.demandTimeout(deal, made);
        vm.prank(GAME);
        market.resolveChallenge(deal, made, false, new Payout[](0));
        assertEq(_coins(buyer), COINS, "bond");
        assertNothingLocked();
    }

    function test_a_claim_is_challenged_within_its_window_to_the_second() public {
        // Claimed in the second in which it was opened.
        uint256 claimedAt = deal.openedAt;
        vm.warp(claimedAt + WINDOW + 1);
        vm.prank(GAME);
        vm.expectRevert(IDeals.ChallengeWindowOver.selector);
        market.openChallenge(deal, made, ANYBODY, 0);
        vm.warp(claimedAt + WINDOW);
        _mark();
    }

    function test_a_bond_moves_to_the_game_and_from_there_wherever_it_says() public {
        vm.startPrank(GAME);
        vm.expectRevert(IAccounts.BalanceInsufficient.selector);
        market.openChallenge(deal, made, buyer, COINS + 1);
        (bytes32 dealId, bytes32 claimHash) = market.openChallenge(deal, made, buyer, COINS / 2);
        assertEq(dealId, market.hashDeal(deal), "the deal's id");
        assertEq(claimHash, Hashing.claimOf(dealId, made), "the claim's hash");
        market.openChallenge(deal, made, buyer, COINS / 2);
        assertEq(_coins(buyer), 0, "two bonds");
        assertEq(_coins(GAME), COINS, "held for the game");
        vm.expectRevert(IAccounts.BalanceInsufficient.selector);
        market.release(NATIVE, ANYBODY, COINS + 1);
        market.release(NATIVE, ANYBODY, COINS);
        assertEq(_coins(ANYBODY), COINS, "released");
        vm.stopPrank();
        vm.expectRevert(IChallenges.NotGame.selector);
        market.release(NATIVE, ANYBODY, 0);
    }

    function test_only_the_game_calls_and_only_in_order() public {
        vm.prank(ANYBODY);
        vm.expectRevert(IChallenges.NotGame.selector);
        market.openChallenge(deal, made, ANYBODY, 0);
        vm.prank(ANYBODY);
        vm.expectRevert(IChallenges.NotGame.selector);
        market.resolveChallenge(deal, made, false, new Payout[](0));
        vm.startPrank(GAME);
        vm.expectRevert(IChallenges.NoChallengeOpen.selector);
        market.resolveChallenge(deal, made, false, new Payout[](0));
        market.openChallenge(deal, made, ANYBODY, 0);
        Claim memory other = Claim(made.resultRoot, made.cycles + 1, made.price);
        vm.expectRevert(IDeals.ClaimNotHeld.selector);
        market.resolveChallenge(deal, other, false, new Payout[](0));
    }

    function test_the_range_of_a_refuted_claim_reopens() public {
        _mark();
        vm.prank(GAME);
        market.resolveChallenge(deal, made, false, new Payout[](0));
        vm.warp(block.timestamp + 1);
        vm.recordLogs();
        market.reopen(_call(_bidAsOpened(), _offer(), 2), deal);
        assertEq(_openedDeal(vm.getRecordedLogs()).firstTask, 0, "the same range");
    }

    function _bidAsOpened() private view returns (Bid memory bid) {
        bid = _bid(2);
        bid.expiry = uint64(deal.openedAt + 1 days);
    }
}
