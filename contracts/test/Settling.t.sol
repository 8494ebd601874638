// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDeals} from "../src/interfaces/IDeals.sol";
import {IDeployment} from "../src/interfaces/IDeployment.sol";
import {ISettling} from "../src/interfaces/ISettling.sol";
import {DealStatus, Failure, OpenCall, Parameters, Settlement} from "../src/types/Calls.sol";
import {Bid, Claim, Deal} from "../src/types/Orders.sol";
import {MarketTest} from "./base/MarketTest.sol";
import {Vm} from "./base/Vm.sol";

contract SettlingTest is MarketTest {
    function _claimed(uint32 tasks) private returns (Deal memory deal, Claim memory made) {
        deal = _open(tasks);
        made = _claim(deal);
    }

    function _pass() private {
        vm.warp(block.timestamp + WINDOW + 1);
    }

    function test_after_the_window_the_provider_is_paid_and_gets_its_collateral_back() public {
        (Deal memory deal, Claim memory made) = _claimed(3);
        _pass();
        vm.recordLogs();
        vm.prank(provider);
        market.finalise(deal, made);
        assertEq(_free(provider), FUNDS + made.price, "provider");
        assertEq(_coins(provider), COINS, "floor");
        assertEq(_free(buyer), FUNDS - made.price - TIP, "buyer");
        assertStatus(deal, DealStatus.None);
        assertNothingLocked();

        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 1, "one event");
        assertEq(logs[0].topics[0], ISettling.DealPaid.selector, "DealPaid");
        assertEq(logs[0].topics[1], market.hashDeal(deal), "deal");
        (address paidIn, uint256 resources, uint64 cycles, uint128 paid, bool finalised) =
            abi.decode(logs[0].data, (address, uint256, uint64, uint128, bool));
        assertEq(paidIn, address(token), "token");
        assertEq(resources, deal.resources, "resources");
        assertEq(cycles, made.cycles, "cycles");
        assertEq(paid, made.price, "paid");
        assertTrue(finalised, "finalised");
    }

    /// "Program traps, exits non-zero, runs out of cycles or memory: the buyer pays for the work done."
    /// The market bills cycles whatever the status is; the inner hash carries it.
    function test_a_task_that_ran_out_of_cycles_is_paid_like_any_other() public {
        Deal memory deal = _open(1);
        bytes32 inner = keccak256(abi.encode(keccak256("outcry.result.v1"), 2, 0, keccak256(new bytes(128)), 0));
        vm.prank(provider);
        Claim memory made = market.claim(deal, abi.encodePacked(uint48(CYCLE_LIMIT), inner));
        _pass();
        vm.prank(provider);
        market.finalise(deal, made);
        assertEq(_free(provider), FUNDS + deal.escrow, "the whole escrow");
    }

    function test_a_claim_is_finalised_when_its_window_has_passed_and_not_a_second_earlier() public {
        (Deal memory deal, Claim memory made) = _claimed(1);
        vm.warp(block.timestamp + WINDOW);
        vm.expectRevert(ISettling.ChallengeWindowOpen.selector);
        market.finalise(deal, made);
        vm.warp(block.timestamp + 1);
        market.finalise(deal, made);
    }

    function test_somebody_else_finalises_for_the_offers_tip() public {
        (Deal memory deal, Claim memory made) = _claimed(1);
        _pass();
        vm.prank(ANYBODY);
        market.finalise(deal, made);
        assertEq(_free(ANYBODY), TIP + TIP / 2, "tips");
        assertEq(_free(provider), FUNDS + made.price - TIP / 2, "out of the proceeds");
        assertNothingLocked();
    }

    function test_nothing_is_finalised_twice_or_with_another_claim() public {
        (Deal memory deal, Claim memory made) = _claimed(1);
        _pass();
        Claim memory other = Claim(made.resultRoot, made.cycles, made.price + 1);
        vm.expectRevert(IDeals.ClaimNotHeld.selector);
        market.finalise(deal, other);
        market.finalise(deal, made);
        vm.expectRevert(IDeals.ClaimNotHeld.selector);
        market.finalise(deal, made);
    }

    function test_an_open_deal_is_not_finalised() public {
        Deal memory deal = _open(1);
        _pass();
        vm.expectRevert(IDeals.ClaimNotHeld.selector);
        market.finalise(deal, Claim(0, 0, 0));
    }

    // ---------------------------------------------------------------- accept

    function test_the_buyers_signature_releases_the_price_and_never_the_collateral() public {
        (Deal memory deal, Claim memory made) = _claimed(2);
        bytes memory signature = _acceptSignature(deal, made);
        vm.recordLogs();
        vm.prank(provider);
        market.accept(deal, made, signature);
        (,,,, bool finalised) =
            abi.decode(vm.getRecordedLogs()[0].data, (address, uint256, uint64, uint128, bool));
        assertTrue(!finalised, "not finalised");
        assertEq(_free(provider), FUNDS + made.price - deal.collateral, "price, no collateral");
        assertEq(_free(buyer), FUNDS - made.price - TIP, "buyer");
        assertTrue(market.dealState(deal).accepted, "accepted");
        vm.expectRevert(ISettling.ChallengeWindowOpen.selector);
        market.finalise(deal, made);

        _pass();
        vm.recordLogs();
        vm.prank(provider);
        market.finalise(deal, made);
        assertEq(vm.getRecordedLogs()[0].topics[0], ISettling.DealFinalised.selector, "DealFinalised");
        assertEq(_free(provider), FUNDS + made.price, "collateral back, the price once");
        assertNothingLocked();
    }

    function test_a_claim_is_accepted_once_by_its_buyer_and_as_it_stands() public {
        (Deal memory deal, Claim memory made) = _claimed(2);
        bytes memory signature = _acceptSignature(deal, made);
        bytes memory byProvider = _signature(PROVIDER_KEY, keccak256("anything"));
        vm.expectRevert(ISettling.AcceptSignatureInvalid.selector);
        market.accept(deal, made, byProvider);
        Claim memory dearer = Claim(made.resultRoot, made.cycles, made.price + 1);
        vm.expectRevert(IDeals.ClaimNotHeld.selector);
        market.accept(deal, dearer, signature);
        vm.prank(ANYBODY);
        market.accept(deal, made, signature);
        assertEq(_free(ANYBODY), TIP + TIP / 2, "the sender's tips");
        vm.expectRevert(IDeals.AlreadyAccepted.selector);
        market.accept(deal, made, signature);
    }

    function test_an_acceptance_of_one_deal_is_none_of_another() public {
        OpenCall memory call = _call(_bid(2), _offer(), 1);
        Deal memory first = _open(call);
        Deal memory second = _open(call);
        Claim memory made = _claim(first);
        Claim memory other = _claim(second);
        bytes memory signature = _acceptSignature(first, made);
        vm.expectRevert(ISettling.AcceptSignatureInvalid.selector);
        market.accept(second, other, signature);
    }

    function test_a_batch_settles_what_it_can() public {
        OpenCall memory call = _call(_bid(3), _offer(), 1);
        Deal memory a = _open(call);
        Deal memory b = _open(call);
        Deal memory c = _open(call);
        Claim memory madeA = _claim(a);
        Claim memory madeB = _claim(b);
        _pass();
        Claim memory madeC = _claim(c);
        Settlement[] memory items = new Settlement[](4);
        items[0] = Settlement(a, madeA, "", true);
        items[1] = Settlement(a, madeA, "", true);
        items[2] = Settlement(b, madeB, _acceptSignature(b, madeB), true);
        items[3] = Settlement(c, madeC, _acceptSignature(c, madeC), true);
        vm.recordLogs();
        vm.prank(provider);
        market.settleMany(items);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 6, "events");
        assertEq(logs[1].topics[0], ISettling.SettlementSkipped.selector, "the repeated item");
        assertEq(bytes32(logs[1].data), bytes32(IDeals.ClaimNotHeld.selector), "its reason");
        assertEq(logs[3].topics[0], ISettling.DealFinalised.selector, "b is accepted, then finalised");
        assertEq(bytes32(logs[5].data), bytes32(ISettling.ChallengeWindowOpen.selector), "c is accepted only");
        assertStatus(a, DealStatus.None);
        assertStatus(b, DealStatus.None);
        assertTrue(market.dealState(c).accepted, "c");
        assertEq(
            _free(provider), FUNDS + madeA.price + madeB.price + madeC.price - c.collateral, "the provider's balance"
        );
    }

    // ---------------------------------------------------------------- timeout

    /// "Provider misses the deadline: full refund; collateral: half to the buyer, half burned."
    function test_after_the_deadline_anyone_refunds_the_buyer_and_half_the_collateral_burns() public {
        Deal memory deal = _open(3);
        vm.warp(deal.deadline + 1);
        vm.recordLogs();
        vm.prank(ANYBODY);
        market.timeout(deal);
        uint256 half = deal.collateral / 2;
        assertEq(_free(buyer), FUNDS - 2 * TIP + half, "buyer");
        assertEq(_free(BURN), deal.collateral - half, "burned");
        assertEq(_coins(buyer), COINS + FLOOR / 2, "half of the floor");
        assertEq(_coins(BURN), FLOOR - FLOOR / 2, "the other half");
        assertEq(_free(ANYBODY), 2 * TIP, "tips of opening and timeout");
        assertEq(_free(provider), FUNDS - deal.collateral, "provider");
        assertNothingLocked();
        (Failure failure,,, uint256 refunded, uint256 toBuyer, uint256 burned) = abi.decode(
            vm.getRecordedLogs()[0].data, (Failure, address, uint256, uint256, uint256, uint256)
        );
        assertEq(uint256(failure), uint256(Failure.Timeout), "failure");
        assertEq(refunded, deal.escrow, "refunded");
        assertEq(toBuyer + burned, deal.collateral, "slashed");
    }

    function test_a_deal_times_out_after_its_deadline_and_not_at_it() public {
        Deal memory deal = _open(1);
        vm.warp(deal.deadline);
        vm.expectRevert(ISettling.DeadlineNotPassed.selector);
        market.timeout(deal);
        vm.warp(deal.deadline + 1);
        market.timeout(deal);
        vm.expectRevert(IDeals.DealNotOpen.selector);
        market.timeout(deal);
    }

    function test_a_claimed_deal_does_not_time_out() public {
        (Deal memory deal,) = _claimed(1);
        vm.warp(deal.deadline + 1);
        vm.expectRevert(IDeals.DealNotOpen.selector);
        market.timeout(deal);
    }

    function test_odd_collateral_burns_the_odd_unit() public {
        Bid memory bid = _bid(1);
        bid.collateralBps = 1;
        Deal memory deal = _open(_call(bid, _offer(), 1));
        assertEq(deal.collateral, 155, "an odd collateral");
        vm.warp(deal.deadline + 1);
        market.timeout(deal);
        assertEq(_free(BURN), 78, "burned");
    }
}

contract FeeTest is MarketTest {
    function parameters() internal pure override returns (Parameters memory p) {
        p = super.parameters();
        p.feeBps = 250;
    }

    function test_the_fee_comes_out_of_the_proceeds_rounded_down() public {
        Deal memory deal = _open(1);
        Claim memory made = _claim(deal);
        vm.warp(block.timestamp + WINDOW + 1);
        vm.prank(provider);
        market.finalise(deal, made);
        uint256 fee = uint256(made.price) * 250 / 10_000;
        assertEq(_free(FEE_COLLECTOR), fee, "fee");
        assertEq(_free(provider), FUNDS + made.price - fee, "provider");
        assertNothingLocked();
    }

    function test_the_fee_has_an_immutable_cap() public {
        Parameters memory p = parameters();
        p.feeBps = 501;
        vm.expectRevert(IDeployment.ParameterOutOfRange.selector);
        _deploy(p);
        p.feeBps = 1;
        p.feeCollector = address(0);
        vm.expectRevert(IDeployment.ParameterOutOfRange.selector);
        _deploy(p);
        p = parameters();
        p.admissionFeeBps = 10_001;
        vm.expectRevert(IDeployment.ParameterOutOfRange.selector);
        _deploy(p);
    }

    function test_a_deployment_says_what_it_fixed() public view {
        assertEq(keccak256(abi.encode(market.parameters())), keccak256(abi.encode(parameters())), "parameters");
    }
}
