// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAccounts} from "../src/interfaces/IAccounts.sol";
import {IAdmission} from "../src/interfaces/IAdmission.sol";
import {IClaims} from "../src/interfaces/IClaims.sol";
import {IDeals} from "../src/interfaces/IDeals.sol";
import {IOpening} from "../src/interfaces/IOpening.sol";
import {IReplacing} from "../src/interfaces/IReplacing.sol";
import {DealStatus, OpenCall} from "../src/types/Calls.sol";
import {Bid, Claim, Deal, Offer} from "../src/types/Orders.sol";
import {MarketTest} from "./base/MarketTest.sol";
import {Vm} from "./base/Vm.sol";

/// @dev A deal with a rank window, and an offer of somebody else that takes its place.
contract ReplacingTest is MarketTest {
    uint256 private constant RIVAL_KEY = 0x71fa1;
    uint256 private constant SENDER_FUNDS = 1e12;
    uint16 private constant BLOCKS = 4;
    uint64 private constant EXPIRY = 1_900_000_000 + 1 days;
    /// What a task of the displaced offer is expected to cost at 10^12 cycles: 10,000 to start, and
    /// 5 x 10^11 + 64 x 4 x 10^9 + 10 x 10^9 + 3 x 10^9 per 10^18 cycles.
    uint256 private constant COST = 10_000 + 769_000;
    /// Seconds of 10^12 cycles at the displaced offer's speed, times what one is worth.
    uint256 private constant TIME = 1000 * 10;

    address private rival;

    function setUp() public override {
        super.setUp();
        rival = vm.addr(RIVAL_KEY);
        _fund(rival);
        token.mint(ANYBODY, SENDER_FUNDS);
        vm.startPrank(ANYBODY);
        token.approve(address(market), SENDER_FUNDS);
        market.deposit(address(token), SENDER_FUNDS);
        vm.stopPrank();
    }

    // ---------------------------------------------------------------- orders

    function _windowed(uint32 tasks) private view returns (Bid memory bid) {
        bid = _bid(tasks);
        (bid.rankWindow, bid.expiry) = (BLOCKS, EXPIRY);
    }

    /// @dev The offer that is displaced.
    function _worse() private view returns (Offer memory offer) {
        offer = _offer();
        offer.expiry = EXPIRY;
    }

    /// @dev An offer of the rival that asks for so much less for a task of 10^12 cycles.
    function _better(uint128 less) private view returns (Offer memory offer) {
        offer = _worse();
        (offer.provider, offer.salt, offer.counter) = (rival, 3, market.counterOf(rival));
        uint128 ofStart = less < offer.startFee ? less : offer.startFee;
        (offer.startFee, offer.cyclePrice) = (offer.startFee - ofStart, offer.cyclePrice - (less - ofStart) * 1e6);
    }

    function _rivalCall(Bid memory bid, Offer memory offer, uint32 count) private view returns (OpenCall memory call) {
        call = _call(bid, offer, count);
        call.offerSignature = _signature(RIVAL_KEY, market.hashOffer(offer));
    }

    function _openWindowed(uint32 tasks) private returns (Deal memory) {
        return _open(_call(_windowed(tasks), _worse(), tasks));
    }

    function _replace(OpenCall memory call, Deal memory displaced) private returns (Deal memory deal) {
        Offer memory offer = _worse();
        vm.recordLogs();
        vm.prank(ANYBODY);
        bytes32 dealId = market.replace(call, displaced, offer);
        deal = _openedDeal(vm.getRecordedLogs());
        assertEq(market.hashDeal(deal), dealId, "the logged deal has the returned id");
    }

    function _refuse(OpenCall memory call, Deal memory displaced, Offer memory offer, bytes4 why) private {
        vm.prank(ANYBODY);
        vm.expectRevert(why);
        market.replace(call, displaced, offer);
    }

    /// @dev Seconds later and blocks later.
    function _pass(uint256 time, uint256 blocks) private {
        vm.warp(block.timestamp + time);
        vm.roll(block.number + blocks);
    }

    // ---------------------------------------------------------------- what it does

    function test_a_better_offer_takes_the_place_of_a_deal() public {
        Deal memory displaced = _openWindowed(3);
        _pass(2, 1);
        Deal memory deal = _replace(_rivalCall(_windowed(3), _better(20_000), 3), displaced);
        assertEq(deal.provider, rival, "provider");
        assertEq(deal.bidHash, displaced.bidHash, "of the same bid");
        assertEq(deal.firstTask, displaced.firstTask, "range");
        assertEq(deal.taskCount, 3, "range");
        assertEq(deal.openedAt, block.timestamp, "opened");
        assertEq(deal.deadline, block.timestamp + 60 + 36_000, "nothing replaces it, so its time runs from here");
        assertEq(deal.resources >> 248, 0, "no window");
        assertStatus(displaced, DealStatus.None);
        assertStatus(deal, DealStatus.Open);
        assertEq(market.openSlots(provider, keccak256("pool")), 0, "the displaced slot is free");
        assertEq(market.openSlots(rival, keccak256("pool")), 1, "the other one is taken");
        vm.prank(rival);
        market.claim(deal, _tasks(deal, 1e12));
        assertStatus(deal, DealStatus.Claimed);
    }

    function test_the_buyer_pays_one_opening_the_displaced_slot_is_paid_and_the_opener_keeps_its_tip() public {
        Bid memory bid = _windowed(3);
        (bid.auditRateBps, bid.auditFee) = (1000, 77_777);
        uint256 opener = _free(FEE_COLLECTOR);
        OpenCall memory call = _call(bid, _worse(), 3);
        vm.recordLogs();
        vm.prank(FEE_COLLECTOR);
        market.open(call);
        Deal memory displaced = _openedDeal(vm.getRecordedLogs());
        _pass(7, 3);
        Deal memory deal = _replace(_rivalCall(bid, _better(20_000), 3), displaced);

        // 769,000 per 10^12 cycles, at 10^9 a second.
        uint256 idle = 7 * 769;
        assertEq(_free(provider), FUNDS + idle, "collateral and idle fee");
        assertEq(_coins(provider), COINS, "floor");
        assertEq(_free(FEE_COLLECTOR), opener + TIP, "opener");
        assertEq(_free(ANYBODY), SENDER_FUNDS - idle, "sender");
        assertEq(_free(buyer), FUNDS - deal.escrow - 2 * TIP - 77_777, "buyer");
        assertEq(_free(rival), FUNDS - deal.collateral, "rival");
        assertEq(_coins(rival), COINS - FLOOR, "rival's floor");
    }

    function test_the_idle_fee_is_at_most_a_hundredth_of_the_expected_cost() public {
        Deal memory displaced = _openWindowed(1);
        _pass(BLOCKS * 12, BLOCKS);
        uint256 before = _free(ANYBODY);
        _replace(_rivalCall(_windowed(1), _better(20_000), 1), displaced);
        assertEq(before - _free(ANYBODY), COST / 100, "paid");
        assertEq(_free(provider), FUNDS + COST / 100, "earned");
    }

    function test_in_the_block_of_the_opening_no_time_was_lost() public {
        Deal memory displaced = _openWindowed(1);
        uint256 before = _free(ANYBODY);
        _replace(_rivalCall(_windowed(1), _better(20_000), 1), displaced);
        assertEq(_free(ANYBODY), before, "nothing paid");
    }

    function test_a_provider_without_another_slot_replaces_itself() public {
        Offer memory offer = _worse();
        offer.slots = 1;
        Deal memory displaced = _open(_call(_windowed(1), offer, 1));
        Offer memory cheaper = _worse();
        (cheaper.slots, cheaper.salt, cheaper.startFee, cheaper.cyclePrice) = (1, 3, 0, 400_000_000_000);
        OpenCall memory call = _call(_windowed(1), cheaper, 1);
        vm.prank(ANYBODY);
        market.replace(call, displaced, offer);
        assertEq(market.openSlots(provider, keccak256("pool")), 1, "slots");
    }

    function test_a_range_that_reopened_is_replaced_as_well() public {
        Deal memory failed = _openWindowed(3);
        vm.prank(buyer);
        market.cancelAdmission(failed);
        _pass(1, 1);
        OpenCall memory call = _call(_windowed(3), _worse(), 2);
        vm.recordLogs();
        market.reopen(call, failed);
        Deal memory displaced = _openedDeal(vm.getRecordedLogs());
        Deal memory deal = _replace(_rivalCall(_windowed(3), _better(20_000), 2), displaced);
        assertEq(deal.taskCount, 2, "range");
        vm.warp(deal.deadline + 1);
        market.timeout(deal);
        assertStatus(deal, DealStatus.Failed);
    }

    // ---------------------------------------------------------------- time

    function test_every_time_of_a_deal_counts_from_the_end_of_its_window() public {
        Deal memory deal = _openWindowed(1);
        uint256 end = deal.openedAt + BLOCKS * 12;
        assertEq(deal.deadline, end + 60 + 36_000, "deadline");
        assertEq(deal.resources >> 248, BLOCKS, "window");
        vm.warp(end + ADMISSION + 1);
        vm.prank(buyer);
        vm.expectRevert(IAdmission.AdmissionOver.selector);
        market.cancelAdmission(deal);
        vm.warp(end + ADMISSION);
        vm.prank(buyer);
        market.cancelAdmission(deal);
    }

    function test_nothing_is_claimed_before_the_window_is_over() public {
        Deal memory deal = _openWindowed(1);
        bytes memory tasks = _tasks(deal, 1e12);
        _pass(0, BLOCKS);
        vm.prank(provider);
        vm.expectRevert(IClaims.RankWindowOpen.selector);
        market.claim(deal, tasks);
        _pass(0, 1);
        vm.prank(provider);
        market.claim(deal, tasks);
        assertStatus(deal, DealStatus.Claimed);
    }

    function test_slow_blocks_do_not_make_the_window_longer() public {
        Deal memory deal = _openWindowed(1);
        bytes memory tasks = _tasks(deal, 1e12);
        _pass(BLOCKS * 12, 1);
        vm.prank(provider);
        vm.expectRevert(IClaims.RankWindowOpen.selector);
        market.claim(deal, tasks);
        _pass(1, 0);
        _refuse(_rivalCall(_windowed(1), _better(20_000), 1), deal, _worse(), IReplacing.RankWindowOver.selector);
        vm.prank(provider);
        market.claim(deal, tasks);
    }

    function test_a_window_has_a_longest() public {
        Bid memory bid = _bid(1);
        bid.rankWindow = 33;
        OpenCall memory call = _call(bid, _worse(), 1);
        vm.expectRevert(IOpening.RankWindowTooLong.selector);
        market.open(call);
        bid.rankWindow = 32;
        assertEq(_open(_call(bid, _worse(), 1)).resources >> 248, 32, "window");
    }

    // ---------------------------------------------------------------- refusals

    function test_the_window_is_over_after_its_last_block() public {
        Deal memory displaced = _openWindowed(1);
        OpenCall memory call = _rivalCall(_windowed(1), _better(20_000), 1);
        _pass(4, BLOCKS + 1);
        _refuse(call, displaced, _worse(), IReplacing.RankWindowOver.selector);
        vm.roll(block.number - 1);
        _replace(call, displaced);
    }

    function test_a_deal_is_replaced_once_and_only_if_its_bid_asked_for_it() public {
        Deal memory displaced = _openWindowed(1);
        OpenCall memory call = _rivalCall(_windowed(1), _better(20_000), 1);
        Deal memory deal = _replace(call, displaced);
        _refuse(call, displaced, _worse(), IDeals.DealNotOpen.selector);
        Offer memory best = _better(60_000);
        best.salt = 4;
        _refuse(_rivalCall(_windowed(1), best, 1), deal, _better(20_000), IReplacing.RankWindowOver.selector);

        Bid memory bid = _bid(1);
        bid.salt = 9;
        Deal memory plain = _open(_call(bid, _worse(), 1));
        _refuse(_rivalCall(bid, _better(20_000), 1), plain, _worse(), IReplacing.RankWindowOver.selector);
    }

    function test_it_needs_one_percent() public {
        Deal memory displaced = _openWindowed(1);
        uint128 least = uint128((COST + TIME) / 100);
        OpenCall memory call = _rivalCall(_windowed(1), _better(least - 1), 1);
        _refuse(call, displaced, _worse(), IReplacing.NotBetter.selector);
        _replace(_rivalCall(_windowed(1), _better(least), 1), displaced);
    }

    function test_time_ranks_as_the_buyer_values_it() public {
        Deal memory displaced = _openWindowed(3);
        Offer memory faster = _better(10_000);
        // Cheaper by nothing (10,000 less at the start, as much more for the work), ten times as fast.
        (faster.cyclePrice, faster.speed) = (510_000_000_000, 1e10);
        // Tasks run one after another: 3 x 779,000 + 10 x 1,000 x (1 + 2 + 3), of which 54,000 are saved.
        Deal memory deal = _replace(_rivalCall(_windowed(3), faster, 3), displaced);
        assertEq(deal.provider, rival, "provider");
    }

    function test_another_bid_another_offer_or_another_range_is_refused() public {
        Deal memory displaced = _openWindowed(2);
        Bid memory other = _windowed(2);
        other.salt = 77;
        _refuse(_rivalCall(other, _better(20_000), 2), displaced, _worse(), IReplacing.OrderMismatch.selector);
        Offer memory slower = _worse();
        slower.speed = 1;
        _refuse(_rivalCall(_windowed(2), _better(20_000), 2), displaced, slower, IReplacing.OrderMismatch.selector);
        _refuse(_rivalCall(_windowed(2), _better(20_000), 1), displaced, _worse(), IOpening.CountOutOfRange.selector);
        displaced.escrow += 1;
        _refuse(_rivalCall(_windowed(2), _better(20_000), 2), displaced, _worse(), IDeals.DealNotOpen.selector);
    }

    function test_what_opening_refuses_replacing_refuses() public {
        Deal memory displaced = _openWindowed(1);
        Offer memory offer = _better(20_000);
        offer.region = 6;
        _refuse(_rivalCall(_windowed(1), offer, 1), displaced, _worse(), IOpening.RegionRefused.selector);
        offer = _better(20_000);
        offer.expiry = uint64(block.timestamp - 1);
        _refuse(_rivalCall(_windowed(1), offer, 1), displaced, _worse(), IOpening.OfferExpired.selector);
        OpenCall memory call = _call(_windowed(1), _better(20_000), 1);
        _refuse(call, displaced, _worse(), IOpening.OfferSignatureInvalid.selector);
        call = _rivalCall(_windowed(1), _better(20_000), 1);
        call.job.cycleLimit -= 1;
        _refuse(call, displaced, _worse(), IDeals.JobMismatch.selector);
        vm.prank(buyer);
        market.cancelOrder(1);
        _refuse(_rivalCall(_windowed(1), _better(20_000), 1), displaced, _worse(), IOpening.BidCancelled.selector);
    }

    function test_full_pools_and_empty_accounts_are_refused() public {
        Offer memory offer = _better(20_000);
        offer.slots = 1;
        Bid memory other = _bid(1);
        other.salt = 5;
        _open(_rivalCall(other, offer, 1));
        Deal memory displaced = _openWindowed(1);
        _refuse(_rivalCall(_windowed(1), offer, 1), displaced, _worse(), IOpening.NoFreeSlot.selector);
        vm.startPrank(rival);
        market.requestWithdrawal(address(token), _free(rival));
        vm.stopPrank();
        offer.slots = 2;
        _refuse(
            _rivalCall(_windowed(1), offer, 1), displaced, _worse(), IOpening.ProviderBalanceInsufficient.selector
        );
    }

    function test_a_sender_without_the_idle_fee_and_the_tip_is_refused() public {
        Deal memory displaced = _openWindowed(1);
        _pass(5, 1);
        OpenCall memory call = _rivalCall(_windowed(1), _better(20_000), 1);
        Offer memory offer = _worse();
        vm.expectRevert(IAccounts.BalanceInsufficient.selector);
        market.replace(call, displaced, offer);
    }

    function test_a_provider_that_cancelled_the_bid_may_not_come_back_by_a_better_worse() public {
        Bid memory bid = _windowed(2);
        Deal memory cancelled = _open(_rivalCall(bid, _better(20_000), 1));
        vm.prank(rival);
        market.cancelAdmission(cancelled);
        Deal memory displaced = _open(_call(bid, _worse(), 1));
        _refuse(_rivalCall(bid, _better(20_000), 1), displaced, _worse(), IOpening.ProviderBarred.selector);
    }

    function test_a_cancelled_or_claimed_deal_is_not_replaced() public {
        Deal memory deal = _openWindowed(1);
        OpenCall memory call = _rivalCall(_windowed(1), _better(20_000), 1);
        vm.prank(provider);
        market.cancelAdmission(deal);
        _refuse(call, deal, _worse(), IDeals.DealNotOpen.selector);
    }

    // ---------------------------------------------------------------- money

    /// @dev Whoever they are and whatever they offer: openers, providers and senders together get one tip out
    /// of the buyer, as they had without a replacement, and no token appears or is stuck.
    function testFuzz_nobody_gains_by_replacing_himself(uint256 seed) public {
        Bid memory bid = _windowed(uint32(1 + seed % 5));
        bid.valueOfTime = uint128(seed >> 8) % 1000;
        bid.tip = uint128(seed >> 24) % 5000;
        (bid.auditRateBps, bid.auditFee) = seed >> 40 & 1 == 0 ? (uint16(0), 0) : (uint16(100), uint128(seed >> 41) % 1e6 + 1);
        Offer memory offer = _worse();
        offer.startFee = uint128(seed >> 64) % 1e6;
        offer.speed = uint64(1e9 + (seed >> 88) % 1e10);
        uint32 count = bid.tasks;
        OpenCall memory call = _call(bid, offer, count);
        vm.recordLogs();
        vm.prank(seed >> 128 & 1 == 0 ? ANYBODY : provider);
        market.open(call);
        Deal memory displaced = _openedDeal(vm.getRecordedLogs());
        _pass((seed >> 132) % (BLOCKS * 12 + 1), (seed >> 140) % (BLOCKS + 1));

        Offer memory better = _better(10_000 + uint128(seed >> 144) % 300_000);
        better.speed = uint64(1e9 + (seed >> 168) % 1e10);
        uint256 collateral = displaced.collateral;
        uint256 others = _others() + collateral;
        uint256 buyers = _free(buyer) + displaced.escrow + displaced.buyerTip + bid.auditFee;
        call = _rivalCall(bid, better, count);
        vm.recordLogs();
        vm.prank(seed >> 192 & 1 == 0 ? ANYBODY : seed >> 193 & 1 == 0 ? rival : provider);
        try market.replace(call, displaced, offer) {
            Deal memory deal = _openedDeal(vm.getRecordedLogs());
            assertEq(_others() + deal.collateral, others, "those who trade with each other");
            assertEq(_free(buyer) + deal.escrow + deal.buyerTip + bid.auditFee, buyers, "buyer");
            assertEq(_coins(provider) + _coins(rival), 2 * COINS - FLOOR, "floors");
            uint256 locked = uint256(deal.escrow) + deal.collateral + deal.buyerTip + bid.auditFee;
            assertEq(_free(buyer) + _others() + locked, market.totalHeld(address(token)), "nothing is stuck");
        } catch (bytes memory why) {
            assertEq(bytes32(bytes4(why)), bytes32(IReplacing.NotBetter.selector), "the only reason");
            assertStatus(displaced, DealStatus.Open);
            assertEq(_others() + collateral, others, "nothing has changed");
        }
    }

    function _others() private view returns (uint256) {
        return _free(provider) + _free(rival) + _free(ANYBODY);
    }
}
