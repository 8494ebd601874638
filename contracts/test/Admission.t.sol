// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAdmission} from "../src/interfaces/IAdmission.sol";
import {IDeals} from "../src/interfaces/IDeals.sol";
import {IOpening} from "../src/interfaces/IOpening.sol";
import {DealStatus, OpenCall} from "../src/types/Calls.sol";
import {Bid, Deal} from "../src/types/Orders.sol";
import {MarketTest} from "./base/MarketTest.sol";

/// @dev "Input can't be fetched in the admission window: either side cancels, both burn the same
/// small fee."
contract AdmissionTest is MarketTest {
    function test_the_provider_cancels_and_both_burn_one_percent() public {
        Deal memory deal = _open(4);
        uint256 fee = deal.escrow / 100;
        vm.prank(provider);
        market.cancelAdmission(deal);
        assertEq(_free(BURN), 2 * fee, "burned");
        assertEq(_free(buyer), FUNDS - fee - TIP, "the buyer paid the fee and the opening's tip");
        assertEq(_free(provider), FUNDS - fee, "provider");
        assertEq(_coins(provider), COINS, "floor");
        assertStatus(deal, DealStatus.Failed);
        assertNothingLocked();
    }

    function test_the_buyer_cancels_and_both_burn_the_same() public {
        Deal memory deal = _open(4);
        vm.prank(buyer);
        market.cancelAdmission(deal);
        assertEq(FUNDS - TIP - _free(buyer), FUNDS - _free(provider), "equal fees");
        assertTrue(!market.isBarred(deal.bidHash, provider), "only its own cancellation bars a provider");
        assertNothingLocked();
    }

    function test_a_bid_burns_at_most_one_fee() public {
        OpenCall memory call = _call(_bid(8), _offer(), 4);
        Deal memory first = _open(call);
        Deal memory second = _open(call);
        vm.prank(buyer);
        market.cancelAdmission(first);
        uint256 before = _free(buyer);
        vm.prank(buyer);
        market.cancelAdmission(second);
        assertEq(_free(buyer), before + second.escrow + TIP, "the second is free for the buyer");
        assertEq(_free(BURN), 3 * (first.escrow / 100), "once the buyer, twice the provider");
        (,, bool burned,) = market.orderState(buyer, 1);
        assertTrue(burned, "marked as burned");
    }

    function test_a_provider_that_cancelled_is_barred_from_the_bid() public {
        OpenCall memory call = _call(_bid(8), _offer(), 4);
        Deal memory deal = _open(call);
        vm.prank(provider);
        market.cancelAdmission(deal);
        assertTrue(market.isBarred(deal.bidHash, provider), "barred");
        vm.expectRevert(IOpening.ProviderBarred.selector);
        market.open(call);
        vm.warp(block.timestamp + 1);
        vm.expectRevert(IOpening.ProviderBarred.selector);
        market.reopen(call, deal);
        Bid memory other = _bid(8);
        other.salt = 3;
        _open(_call(other, _offer(), 4));
    }

    function test_neither_side_burns_more_than_the_collateral() public {
        Bid memory bid = _bid(1);
        bid.collateralBps = 50;
        Deal memory deal = _open(_call(bid, _offer(), 1));
        vm.prank(provider);
        market.cancelAdmission(deal);
        assertEq(_free(BURN), 2 * uint256(deal.collateral), "burned");
        assertNothingLocked();
    }

    function test_the_window_ends_to_the_second_and_not_cancelling_concedes_receipt() public {
        Deal memory deal = _open(1);
        vm.warp(deal.openedAt + ADMISSION + 1);
        vm.prank(buyer);
        vm.expectRevert(IAdmission.AdmissionOver.selector);
        market.cancelAdmission(deal);
        vm.warp(deal.openedAt + ADMISSION);
        vm.prank(buyer);
        market.cancelAdmission(deal);
    }

    function test_others_cannot_cancel_and_a_deal_is_cancelled_once() public {
        Deal memory deal = _open(1);
        vm.prank(ANYBODY);
        vm.expectRevert(IAdmission.NotParty.selector);
        market.cancelAdmission(deal);
        vm.startPrank(buyer);
        market.cancelAdmission(deal);
        vm.expectRevert(IDeals.DealNotOpen.selector);
        market.cancelAdmission(deal);
    }

    function test_a_claimed_deal_is_not_cancelled_any_more() public {
        Deal memory deal = _open(1);
        _claim(deal);
        vm.prank(buyer);
        vm.expectRevert(IDeals.DealNotOpen.selector);
        market.cancelAdmission(deal);
    }

    function test_changed_terms_are_no_deal() public {
        Deal memory deal = _open(1);
        deal.escrow += 1;
        vm.prank(buyer);
        vm.expectRevert(IDeals.DealNotOpen.selector);
        market.cancelAdmission(deal);
    }
}
