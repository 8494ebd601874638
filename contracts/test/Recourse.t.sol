// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IChallenges} from "../src/interfaces/IChallenges.sol";
import {IDeals} from "../src/interfaces/IDeals.sol";
import {IDemands} from "../src/interfaces/IDemands.sol";
import {IAdmission} from "../src/interfaces/IAdmission.sol";
import {DealStatus} from "../src/types/Calls.sol";
import {Claim, Deal} from "../src/types/Orders.sol";
import {MarketTest} from "./base/MarketTest.sol";

interface WithRecourse {
    function RECOURSE() external view returns (address);
}

/// @dev The borrowed code has no deals, no money and no say of its own.
contract RecourseTest is MarketTest {
    address private recourse;

    function setUp() public override {
        super.setUp();
        recourse = WithRecourse(address(market)).RECOURSE();
    }

    function test_called_directly_it_knows_no_deal() public {
        Deal memory deal = _open(1);
        vm.prank(buyer);
        vm.expectRevert(IDeals.DealNotOpen.selector);
        IAdmission(recourse).cancelAdmission(deal);
        Claim memory made = _claim(deal);
        vm.expectRevert(IDeals.ClaimNotHeld.selector);
        IDemands(recourse).demandTimeout(deal, made);
        vm.prank(GAME);
        vm.expectRevert(IDeals.ClaimNotHeld.selector);
        IChallenges(recourse).openChallenge(deal, made, ANYBODY, 0);
        assertStatus(deal, DealStatus.Claimed);
    }

    function test_neither_it_nor_the_market_takes_coins_but_by_a_deposit() public {
        vm.deal(ANYBODY, 2);
        vm.startPrank(ANYBODY);
        (bool sent,) = recourse.call{value: 1}("");
        assertTrue(!sent, "recourse");
        (sent,) = address(market).call{value: 1}("");
        assertTrue(!sent, "market");
    }

    function test_a_batch_of_calls_keeps_the_callers_identity_and_fails_as_a_whole() public {
        Deal memory deal = _open(1);
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(market.cancelOrder, (55));
        calls[1] = abi.encodeCall(market.cancelAdmission, (deal));
        vm.prank(ANYBODY);
        vm.expectRevert(IAdmission.NotParty.selector);
        market.multicall(calls);
        (bool cancelled,,,) = market.orderState(ANYBODY, 55);
        assertTrue(!cancelled, "nothing happened");
        vm.prank(buyer);
        market.multicall(calls);
        (cancelled,,,) = market.orderState(buyer, 55);
        assertTrue(cancelled, "the buyer's order");
        assertStatus(deal, DealStatus.Failed);
    }
}
