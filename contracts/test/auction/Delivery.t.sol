// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAuction} from "../../src/interfaces/IAuction.sol";
import {AuctionOrder, AuctionParameters, Backing, DrawRecord, Fill, FillGroup} from "../../src/types/Auctions.sol";
import {OpenCall} from "../../src/types/Calls.sol";
import {Bid, Claim, Deal, JobSpec, Offer} from "../../src/types/Orders.sol";
import {AuctionTest} from "./AuctionTest.sol";

/// @dev The buyer holds 5 units of the provider's, at 700 each for 7 intervals, and draws jobs on them.
contract DeliveryTest is AuctionTest {
    uint64 private constant PRICE = 700;
    uint256 private constant DEPOSIT = 6 * PRICE;
    uint32 private constant EXECUTION = 5000;
    uint256 private constant FEE = 35;

    bytes32 private id;
    uint256 private nextSalt = 100;

    function setUp() public override {
        super.setUp();
        AuctionOrder memory sells = _order(provider, Backing.Capacity, 6, -int64(PRICE), 0, -1);
        AuctionOrder memory buys = _order(buyer, Backing.Holdings, 5, 800, 0, 1);
        _enter(0, _list(sells, buys));
        uint64[] memory prices = _prices(PRICE, 0, 0);
        FillGroup[] memory groups = _groups(prices, _fills(Fill(0, 0, 5), Fill(1, 0, 5)), 16);
        _post(0, prices, groups);
        _toEnd(0);
        _settleAll(0, prices, groups);
        auction.collect(0, 1);
    }

    function _bind(uint64 units) private {
        vm.prank(buyer);
        auction.bind(0, 0, 0, units);
    }

    function _drawable(uint32 tasks) private returns (Bid memory bid) {
        bid = _bid(tasks);
        (bid.priceCap, bid.tip, bid.salt) = (0, 0, nextSalt++);
        (bid.queueTimeout, bid.executionTimeout) = (DRAW_S, EXECUTION);
    }

    function _drawn(Bid memory bid) private returns (bytes32) {
        bytes memory signature = _signature(BUYER_KEY, market.hashBid(bid));
        vm.prank(buyer);
        return auction.draw(0, 0, 0, bid, signature, _job(bid.tasks));
    }

    function _unfit(Bid memory bid, JobSpec memory job) private {
        bytes memory signature = _signature(BUYER_KEY, market.hashBid(bid));
        _refuses(IAuction.BidUnfit.selector);
        vm.prank(buyer);
        auction.draw(0, 0, 0, bid, signature, job);
    }

    /// @dev What the provider signs for a drawn job: free.
    function _free(uint256 salt) private view returns (Offer memory offer) {
        offer = _offer();
        (offer.startFee, offer.cyclePrice, offer.memoryPrice, offer.diskPrice) = (0, 0, 0, 0);
        (offer.gpuPrice, offer.egressPrice, offer.salt) = (0, 0, salt);
    }

    function _opened(Bid memory bid, uint32 count) private returns (Deal memory) {
        return _open(_call(bid, _free(1000 + bid.salt), count));
    }

    function _drawnOne() private returns (Bid memory bid) {
        _bind(5);
        bid = _drawable(2);
        id = _drawn(bid);
    }

    function _passDeadline() private {
        vm.warp(uint256(auction.drawOf(id).deadline) + 1);
    }

    /// @dev The season passes; provider and all others get what is theirs.
    function _finish() private {
        vm.warp(_begin(8));
        auction.earn(0, 0);
        auction.reclaim(0, 0);
        assertNothingLockedHere();
    }

    // ---------------------------------------------------------------- binding

    function test_units_become_slots_of_a_provider_that_sold_them() public {
        _refuses(IAuction.AmountZero.selector);
        _bind(0);
        _refuses(IAuction.UnitsInsufficient.selector);
        _bind(6);
        _refuses(IAuction.HoldingsInsufficient.selector);
        vm.prank(ALICE);
        auction.bind(0, 0, 0, 1);
        _bind(2);
        _bind(3);
        (uint64 units, uint64 drawn) = auction.boundOf(0, 0, 0, buyer);
        assertEq(units, 5, "bound");
        assertEq(drawn, 0, "drawn");
        assertEq(auction.holdingOf(0, 0, buyer), 0, "held no more");
        assertEq(auction.obligationOf(0, 0, 0).bound, 5, "to this order");
        _refuses(IAuction.UnitsInsufficient.selector);
        _bind(1);
        // The buyer's own order sold nothing.
        _refuses(IAuction.UnitsInsufficient.selector);
        vm.prank(buyer);
        auction.bind(0, 1, 0, 1);
    }

    function test_units_are_bound_in_their_season() public {
        vm.warp(_begin(8));
        _refuses(IAuction.WrongSeason.selector);
        _bind(1);
        vm.warp(_begin(1) - 1);
        _refuses(IAuction.WrongSeason.selector);
        _bind(1);
    }

    function test_what_is_bound_can_not_be_sold_on() public {
        _bind(4);
        AuctionOrder memory sells = _order(buyer, Backing.Holdings, 2, -1, 0, -1);
        _toCommit(1);
        _commit(1, sells);
        _toReveal(1);
        _refuses(IAuction.HoldingsInsufficient.selector);
        auction.reveal(1, sells);
    }

    // ---------------------------------------------------------------- drawing

    function test_a_draw_sets_the_fee_aside_and_is_answered_by_the_deals_claim() public {
        uint256 before = _has(buyer);
        Bid memory bid = _drawnOne();
        assertEq(_has(buyer), before - FEE, "the fee is set aside");
        DrawRecord memory record = auction.drawOf(id);
        assertEq(record.deadline, block.timestamp + 2 * DRAW_S + EXECUTION, "deadline");
        assertEq(record.value, PRICE, "all of the price is left");
        Deal memory deal = _opened(bid, 2);
        Claim memory none;
        _refuses(IAuction.DealMismatch.selector);
        auction.answer(id, deal, none);
        Claim memory made = _claim(deal);
        none = Claim(made.resultRoot, made.cycles + 1, made.price);
        _refuses(IAuction.DealMismatch.selector);
        auction.answer(id, deal, none);
        vm.prank(ANYBODY);
        auction.answer(id, deal, made);
        assertEq(_has(buyer), before, "the fee is back");
        (uint64 units, uint64 drawn) = auction.boundOf(0, 0, 0, buyer);
        assertEq(units, 5, "the unit stays bound");
        assertEq(drawn, 0, "and can be drawn again");
        _refuses(IAuction.DrawUnknown.selector);
        auction.answer(id, deal, made);
        _finish();
    }

    function test_a_bid_taken_in_parts_is_answered_in_parts() public {
        Bid memory bid = _drawnOne();
        Deal memory first = _opened(bid, 1);
        Deal memory second = _opened(bid, 1);
        Claim memory one = _claim(first);
        Claim memory two = _claim(second);
        _refuses(IAuction.DealMismatch.selector);
        auction.answer(id, second, two);
        auction.answer(id, first, one);
        _refuses(IAuction.DealMismatch.selector);
        auction.answer(id, first, one);
        assertTrue(!auction.drawOf(id).ended, "a task is left");
        auction.answer(id, second, two);
        assertTrue(auction.drawOf(id).ended, "all are answered");
        _finish();
    }

    function test_a_bid_taken_whole_in_parts_is_refused_by_showing_the_part_that_failed() public {
        Bid memory bid = _drawnOne();
        Deal memory first = _opened(bid, 1);
        Deal memory second = _opened(bid, 1);
        auction.answer(id, first, _claim(first));
        _passDeadline();
        _refuses(IAuction.NotRefused.selector);
        auction.refuse(id, bid);
        auction.fail(id, second);
        _finish();
    }

    function test_no_more_draws_are_open_than_units_are_bound() public {
        _bind(2);
        _drawn(_drawable(1));
        Bid memory bid = _drawable(1);
        _drawn(bid);
        bytes memory signature = _signature(BUYER_KEY, market.hashBid(bid));
        _refuses(IAuction.NothingToDraw.selector);
        vm.prank(buyer);
        auction.draw(0, 0, 0, bid, signature, _job(1));
        _bind(1);
        _refuses(IAuction.DrawOpen.selector);
        vm.prank(buyer);
        auction.draw(0, 0, 0, bid, signature, _job(1));
        _drawn(_drawable(1));
        _refuses(IAuction.NothingToDraw.selector);
        vm.prank(ALICE);
        auction.draw(0, 0, 0, bid, signature, _job(1));
    }

    function test_a_bid_that_the_provider_could_not_serve_is_unfit() public {
        _bind(5);
        Bid memory bid;
        for (uint256 i = 0; i < 21; ++i) {
            bid = _drawable(2);
            if (i == 0) bid.priceCap = 1;
            else if (i == 1) bid.tip = 1;
            else if (i == 2) (bid.auditRateBps, bid.auditFee) = (1, 1);
            else if (i == 3) bid.replicas = 2;
            else if (i == 4) bid.resources.gpuCount = 1;
            else if (i == 5) bid.roundTripMsMax = 1;
            else if (i == 6) bid.rankWindow = 1;
            else if (i == 7) bid.tasks = 3;
            else if (i == 8) bid.regions = 1 << 3;
            else if (i == 9) bid.attributes = 2;
            else if (i == 10) bid.resources.memoryMib = 4097;
            else if (i == 11) bid.resources.diskMib = 101;
            else if (i == 12) bid.resources.egressMib = 51;
            else if (i == 13) bid.resources.memoryMib = 63;
            else if (i == 14) bid.executionTimeout = 3999;
            else if (i == 15) bid.executionTimeout = 7 * INTERVAL;
            else if (i == 16) bid.expiry = uint64(block.timestamp + DRAW_S - 1);
            else if (i == 17) bid.counter += 1;
            else if (i == 18) bid.jobHash = 0;
            else if (i == 19) bid.resources.gpuClass = 1;
            else if (i == 20) bid.queueTimeout = DRAW_S - 1;
            _unfit(bid, _job(2));
        }
        bid = _drawable(2);
        vm.prank(buyer);
        market.cancelOrder(bid.salt);
        _unfit(bid, _job(2));
        bid = _drawable(2);
        _opened(bid, 1);
        _unfit(bid, _job(2));
        JobSpec[5] memory jobs = [_job(2), _job(2), _job(2), _job(2), _job(2049)];
        (jobs[0].cycleLimit, jobs[1].slotLimit, jobs[2].outputLimit) = (0, (1 << 20) + 1, (1 << 36) + 1);
        // Of a version that the pool's slots do not run, and with more tasks than a deal can have.
        (jobs[3].machineVersion, jobs[4].cycleLimit) = (2, 1);
        for (uint256 i = 0; i < 5; ++i) {
            bid = _drawable(jobs[i].taskCount);
            bid.jobHash = keccak256(abi.encode(jobs[i]));
            _unfit(bid, jobs[i]);
        }
        bid = _drawable(2);
        bytes memory signature = _signature(PROVIDER_KEY, market.hashBid(bid));
        _refuses(IAuction.SignatureInvalid.selector);
        vm.prank(buyer);
        auction.draw(0, 0, 0, bid, signature, _job(2));
        // Signed by the sender, but not its bid.
        bid.buyer = ALICE;
        _unfit(bid, _job(2));
    }

    // ---------------------------------------------------------------- how else a draw ends

    function test_a_refused_draw_costs_the_remaining_price_twice() public {
        vm.warp(_begin(3) + 10);
        uint256 held = _has(buyer);
        Bid memory bid = _drawnOne();
        // Two of seven intervals are over.
        uint256 value = PRICE * 5 / 7;
        assertEq(auction.drawOf(id).value, value, "what is left of the price");
        vm.warp(auction.drawOf(id).deadline);
        _refuses(IAuction.DrawEarly.selector);
        auction.refuse(id, bid);
        _passDeadline();
        vm.prank(ANYBODY);
        auction.refuse(id, bid);
        assertEq(_has(buyer), held + 2 * value, "price and penalty go to the holder");
        (uint64 units, uint64 drawn) = auction.boundOf(0, 0, 0, buyer);
        assertEq(units, 4, "the unit is bound no more");
        assertEq(drawn, 0, "nor drawn");
        assertEq(auction.obligationOf(0, 0, 0).units, 4, "nor owed");
        (, uint128 deposit,) = auction.orderOf(0, 0);
        // Of the price 100 were earned while the draw was open; of the 400 that were not the fee is 4.
        assertEq(deposit, DEPOSIT - value - 100 - 4, "penalty, what was earned and the fee leave the deposit");
        _finish();
        assertEq(_has(buyer), MONEY - 5 * PRICE + 2 * value, "the holder got nothing else");
    }

    function test_a_deal_that_timed_out_counts_as_refused() public {
        Bid memory bid = _drawnOne();
        Deal memory deal = _opened(bid, 2);
        _refuses(IAuction.DrawEarly.selector);
        auction.fail(id, deal);
        _passDeadline();
        _refuses(IAuction.NotRefused.selector);
        auction.refuse(id, bid);
        market.timeout(deal);
        uint256 before = _has(buyer);
        auction.fail(id, deal);
        assertEq(_has(buyer), before + 2 * PRICE + FEE, "price, penalty and fee");
        _finish();
    }

    function test_a_deal_that_still_waits_for_its_claim_after_the_deadline_counts_as_refused() public {
        Bid memory bid = _drawnOne();
        Deal memory deal = _opened(bid, 2);
        _passDeadline();
        auction.fail(id, deal);
        _finish();
    }

    function test_tasks_that_nobody_opened_a_deal_of_count_as_refused() public {
        Bid memory bid = _drawnOne();
        Deal memory deal = _opened(bid, 1);
        auction.answer(id, deal, _claim(deal));
        _passDeadline();
        _refuses(IAuction.DealMismatch.selector);
        auction.fail(id, deal);
        auction.refuse(id, bid);
        _finish();
    }

    function test_a_penalty_reaches_as_far_as_the_deposit() public {
        _bind(5);
        Bid[] memory bids = new Bid[](5);
        bytes32[] memory ids = new bytes32[](5);
        for (uint256 i = 0; i < 5; ++i) {
            bids[i] = _drawable(1);
            ids[i] = _drawn(bids[i]);
        }
        // By then six of seven intervals are paid out, and most of what goes back comes out of the deposit.
        vm.warp(_begin(7));
        uint256 before = _has(buyer);
        for (uint256 i = 0; i < 5; ++i) {
            auction.refuse(ids[i], bids[i]);
        }
        // A seventh of 3,500 was still to be earned.
        // Of each hundred a fee of 1 is taken.
        assertEq(_has(buyer) - before, DEPOSIT + 500 - 5 + 5 * FEE, "all that there was");
        (, uint128 deposit,) = auction.orderOf(0, 0);
        assertEq(deposit, 0, "the deposit is used up");
        vm.warp(_begin(8));
        auction.earn(0, 0);
        assertNothingLockedHere();
    }

    function test_a_job_that_is_given_back_burns_the_fee_of_both() public {
        uint256 before = _has(buyer);
        Bid memory bid = _drawnOne();
        _refuses(IAuction.DealMismatch.selector);
        auction.giveBack(id);
        Deal memory deal = _opened(bid, 2);
        vm.prank(provider);
        market.cancelAdmission(deal);
        auction.giveBack(id);
        assertEq(_has(buyer), before - FEE, "the holder's");
        (, uint128 deposit,) = auction.orderOf(0, 0);
        assertEq(deposit, DEPOSIT - FEE, "the provider's");
        assertEq(_has(BURN), 2 * FEE, "burned");
        (uint64 units, uint64 drawn) = auction.boundOf(0, 0, 0, buyer);
        assertEq(units - drawn, 5, "the unit can be drawn again");
        _finish();
    }

    function test_what_the_holder_prevented_is_not_refused_and_lapses() public {
        uint256 before = _has(buyer);
        Bid memory bid = _drawnOne();
        vm.prank(buyer);
        market.cancelOrder(bid.salt);
        _passDeadline();
        _refuses(IAuction.NotRefused.selector);
        auction.refuse(id, bid);
        vm.warp(uint256(auction.drawOf(id).deadline) + DRAW_S);
        _refuses(IAuction.DrawEarly.selector);
        auction.lapse(id);
        vm.warp(uint256(auction.drawOf(id).deadline) + DRAW_S + 1);
        auction.lapse(id);
        assertEq(_has(buyer), before - FEE, "the holder's fee burns");
        (, uint128 deposit,) = auction.orderOf(0, 0);
        assertEq(deposit, DEPOSIT - FEE, "and the provider's");
        assertEq(_has(BURN), 2 * FEE, "burned");
        _refuses(IAuction.DrawUnknown.selector);
        auction.lapse(id);
        _finish();
    }

    function test_a_deal_that_the_holder_cancelled_is_not_refused() public {
        Bid memory bid = _drawnOne();
        Deal memory deal = _opened(bid, 2);
        vm.prank(buyer);
        market.cancelAdmission(deal);
        _refuses(IAuction.DealMismatch.selector);
        auction.giveBack(id);
        _passDeadline();
        _refuses(IAuction.NotRefused.selector);
        auction.fail(id, deal);
    }

    function test_an_accomplice_that_takes_the_bid_saves_no_more_than_giving_it_back() public {
        uint256 key = 0xacc;
        address accomplice = vm.addr(key);
        _fund(accomplice);
        uint256 before = _has(buyer);
        Bid memory bid = _drawnOne();
        Offer memory offer = _free(1000);
        (offer.provider, offer.counter) = (accomplice, 0);
        OpenCall memory call = _call(bid, offer, 2);
        call.offerSignature = _signature(key, market.hashOffer(offer));
        Deal memory deal = _open(call);
        vm.prank(accomplice);
        market.cancelAdmission(deal);
        _passDeadline();
        _refuses(IAuction.NotRefused.selector);
        auction.refuse(id, bid);
        _refuses(IAuction.DealMismatch.selector);
        auction.fail(id, deal);
        vm.warp(uint256(auction.drawOf(id).deadline) + DRAW_S + 1);
        auction.lapse(id);
        assertEq(_has(buyer), before - FEE, "the holder's fee burns, so that it gains nothing by it either");
        (, uint128 deposit,) = auction.orderOf(0, 0);
        assertEq(deposit, DEPOSIT - FEE, "as much as for giving it back");
        _finish();
    }

    function test_who_sells_to_itself_and_refuses_pays_the_fee() public {
        // Provider and buyer are one person.
        uint256 burned = _has(BURN);
        uint256 poster = _has(POSTER);
        _bind(5);
        Bid[] memory bids = new Bid[](5);
        bytes32[] memory ids = new bytes32[](5);
        for (uint256 i = 0; i < 5; ++i) {
            bids[i] = _drawable(1);
            bids[i].executionTimeout = 2000;
            ids[i] = _drawn(bids[i]);
        }
        vm.warp(uint256(auction.drawOf(ids[4]).deadline) + 1);
        for (uint256 i = 0; i < 5; ++i) {
            auction.refuse(ids[i], bids[i]);
        }
        assertEq(auction.roundOf(0).escrow, 0, "everything is out of escrow in the first interval");
        vm.warp(_begin(8));
        auction.reclaim(0, 0);
        assertEq(_has(POSTER), poster + 5 * 3, "half of the fee");
        assertEq(_has(BURN), burned + 5 * 4, "the other half");
        assertEq(_has(buyer) + _has(provider), 2 * MONEY - 5 * 7, "a hundredth of what was sold");
        assertNothingLockedHere();
    }

    function test_only_a_deal_of_the_draw_counts() public {
        Bid memory bid = _drawnOne();
        Bid memory other = _drawable(2);
        Deal memory deal = _opened(other, 2);
        _passDeadline();
        _refuses(IAuction.DealMismatch.selector);
        auction.fail(id, deal);
        _refuses(IAuction.DealMismatch.selector);
        auction.refuse(id, other);
        deal.bidHash = market.hashBid(bid);
        _refuses(IAuction.DealMismatch.selector);
        auction.fail(id, deal);
    }

    function test_a_deposit_waits_for_the_draws_that_are_open() public {
        _bind(1);
        vm.warp(_begin(6));
        Bid memory bid = _drawable(1);
        bid.executionTimeout = 2000;
        id = _drawn(bid);
        vm.warp(_begin(8));
        _refuses(IAuction.DrawOpen.selector);
        auction.reclaim(0, 0);
        // Pays out what is earned, too.
        auction.refuse(id, bid);
        auction.reclaim(0, 0);
        assertNothingLockedHere();
    }

    function test_drawn_jobs_end_with_the_season() public {
        _bind(1);
        vm.warp(_begin(8) - 2 * DRAW_S - 2001);
        Bid memory bid = _drawable(1);
        bid.executionTimeout = 2001;
        _unfit(bid, _job(1));
        bid.executionTimeout -= 1;
        _drawn(bid);
        vm.warp(_begin(8));
        bid = _drawable(1);
        bytes memory signature = _signature(BUYER_KEY, market.hashBid(bid));
        _refuses(IAuction.WrongSeason.selector);
        vm.prank(buyer);
        auction.draw(0, 0, 0, bid, signature, _job(1));
    }
}
