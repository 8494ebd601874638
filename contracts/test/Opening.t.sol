// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDeals} from "../src/interfaces/IDeals.sol";
import {IOpening} from "../src/interfaces/IOpening.sol";
import {IOrders} from "../src/interfaces/IOrders.sol";
import {Hashing} from "../src/market/Hashing.sol";
import {DealStatus, OpenCall} from "../src/types/Calls.sol";
import {Bid, Claim, Deal, JobSpec, Offer} from "../src/types/Orders.sol";
import {MarketTest} from "./base/MarketTest.sol";
import {Vm} from "./base/Vm.sol";

contract OpeningTest is MarketTest {
    /// Per task at the cycle limit: 10,000 + 2e12 x 769e9 / 1e18.
    uint256 private constant TASK_MAX = 10_000 + 1_538_000;

    function _refused(OpenCall memory call, bytes4 reason) private {
        vm.expectRevert(reason);
        vm.prank(ANYBODY);
        market.open(call);

        // A batch skips it for the same reason.
        OpenCall[] memory calls = new OpenCall[](1);
        calls[0] = call;
        vm.recordLogs();
        bytes32[] memory dealIds = market.openMany(calls);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(dealIds[0], 0, "no deal");
        assertEq(logs.length, 1, "one event");
        assertEq(logs[0].topics[0], IOpening.OpenSkipped.selector, "OpenSkipped");
        assertEq(bytes32(logs[0].data), bytes32(reason), "reason");
    }

    function _refusedBid(Bid memory bid, bytes4 reason) private {
        _refused(_call(bid, _offer(), bid.tasks), reason);
    }

    function _refusedOffer(Offer memory offer, bytes4 reason) private {
        _refused(_call(_bid(4), offer, 4), reason);
    }

    function test_opening_locks_the_escrow_two_tips_and_the_collateral() public {
        Deal memory deal = _open(4);
        assertEq(deal.escrow, 4 * TASK_MAX, "escrow");
        assertEq(deal.collateral, 8 * TASK_MAX, "collateral is twice the escrow");
        assertEq(_free(buyer), FUNDS - 4 * TASK_MAX - 2 * TIP, "buyer");
        assertEq(_free(provider), FUNDS - 8 * TASK_MAX, "provider");
        assertEq(_coins(provider), COINS - FLOOR, "collateral floor");
        assertEq(_free(ANYBODY), TIP, "the sender's tip");
        assertEq(market.openSlots(provider, deal.capacityId), 1, "slots");
        assertStatus(deal, DealStatus.Open);
    }

    function test_the_log_of_an_opening_holds_the_whole_deal_and_the_job() public {
        OpenCall memory call = _call(_bid(4), _offer(), 4);
        vm.recordLogs();
        bytes32 dealId = market.open(call);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 2, "two events");
        assertEq(logs[0].topics[0], IOpening.JobPosted.selector, "JobPosted");
        assertEq(logs[0].topics[1], call.bid.jobHash, "job hash");
        assertEq(logs[0].topics[2], market.hashBid(call.bid), "bid hash");
        assertEq(keccak256(abi.encode(abi.decode(logs[0].data, (JobSpec)))), call.bid.jobHash, "the job itself");

        assertEq(logs[1].topics[1], dealId, "deal id");
        assertEq(logs[1].topics[2], bytes32(uint256(uint160(buyer))), "buyer");
        assertEq(logs[1].topics[3], bytes32(uint256(uint160(provider))), "provider");
        Deal memory deal = abi.decode(logs[1].data, (Deal));
        assertEq(keccak256(abi.encode(market.domainSeparator(), deal)), dealId, "the id is the hash of the log");
        assertEq(deal.bidHash, market.hashBid(call.bid), "bid");
        assertEq(deal.offerHash, market.hashOffer(call.offer), "offer");
        assertEq(deal.jobHash, call.bid.jobHash, "job");
        assertEq(deal.token, address(token), "token");
        assertEq(deal.unitPrice, 500e9 + 64 * 4e9 + 10 * 1e9 + 1 * 3e9, "unit price");
        assertEq(deal.startFee, 10_000, "start fee");
        assertEq(deal.priceCap, 5_000_000, "price cap");
        assertEq(deal.openedAt, block.timestamp, "opened");
        assertEq(deal.deadline, block.timestamp + 60 + 36_000, "deadline");
        assertEq(deal.buyerTip, TIP, "buyer's tip");
        assertEq(deal.providerTip, TIP / 2, "provider's tip");
        assertEq(deal.bidSalt, 1, "salt");
        assertEq(
            deal.resources, uint256(64) | uint256(10) << 32 | uint256(1) << 64 | uint256(7) << 128, "resources and region"
        );
    }

    function test_the_price_cap_bounds_the_escrow() public {
        Bid memory bid = _bid(2);
        bid.priceCap = 1_000_000;
        Deal memory deal = _open(_call(bid, _offer(), 2));
        assertEq(deal.escrow, 2_000_000, "escrow");
    }

    function test_a_bid_is_filled_in_parts_until_no_task_is_left() public {
        OpenCall memory call = _call(_bid(5), _offer(), 2);
        Deal memory first = _open(call);
        Deal memory second = _open(call);
        assertEq(first.firstTask, 0, "first range");
        assertEq(second.firstTask, 2, "second range");
        assertEq(market.tasksTaken(first.bidHash), 4, "taken");
        _refused(call, IOpening.BidTaken.selector);
        call.count = 1;
        assertEq(_open(call).firstTask, 4, "the rest");
        _refused(call, IOpening.BidTaken.selector);
        (,,, bool partly) = market.orderState(buyer, 1);
        assertTrue(partly, "marked as partly filled");
    }

    function test_the_job_is_logged_with_the_first_part_only() public {
        OpenCall memory call = _call(_bid(4), _offer(), 2);
        _open(call);
        vm.recordLogs();
        market.open(call);
        assertEq(vm.getRecordedLogs().length, 1, "events of the second part");
    }

    function test_a_bid_taken_whole_opens_once() public {
        OpenCall memory call = _call(_bid(3), _offer(), 3);
        _open(call);
        _refused(call, IOpening.BidTaken.selector);
        (, bool taken,,) = market.orderState(buyer, 1);
        assertTrue(taken, "marked as taken");
    }

    function test_a_salt_serves_one_bid_only() public {
        _open(_call(_bid(4), _offer(), 1));
        Bid memory other = _bid(4);
        other.valueOfTime += 1;
        _refused(_call(other, _offer(), 1), IOpening.SaltReused.selector);
    }

    function test_more_tasks_than_the_bid_has_are_refused() public {
        _refused(_call(_bid(4), _offer(), 5), IOpening.BidTaken.selector);
    }

    function test_a_batch_opens_what_it_can() public {
        Bid memory second = _bid(1);
        second.salt = 9;
        OpenCall[] memory calls = new OpenCall[](3);
        calls[0] = _call(_bid(1), _offer(), 1);
        calls[1] = _call(_bid(1), _offer(), 1);
        calls[2] = _call(second, _offer(), 1);
        vm.prank(ANYBODY);
        bytes32[] memory dealIds = market.openMany(calls);
        assertTrue(dealIds[0] != 0 && dealIds[1] == 0 && dealIds[2] != 0, "first and third");
        assertEq(market.openSlots(provider, keccak256("pool")), 2, "slots");
    }

    // ---------------------------------------------------------------- liveness

    function test_orders_are_valid_up_to_their_expiry_and_not_a_second_longer() public {
        Bid memory bid = _bid(1);
        bid.expiry = uint64(block.timestamp - 1);
        _refusedBid(bid, IOpening.BidExpired.selector);
        Offer memory offer = _offer();
        offer.expiry = uint64(block.timestamp - 1);
        _refusedOffer(offer, IOpening.OfferExpired.selector);
        bid.expiry = uint64(block.timestamp);
        offer.expiry = uint64(block.timestamp);
        _open(_call(bid, offer, 1));
    }

    function test_a_cancelled_order_dies_at_once() public {
        OpenCall memory call = _call(_bid(4), _offer(), 1);
        _open(call);
        vm.prank(provider);
        market.cancelOrder(2);
        _refused(call, IOpening.OfferCancelled.selector);
        vm.prank(buyer);
        market.cancelOrder(1);
        _refused(call, IOpening.BidCancelled.selector);
    }

    function test_raising_the_counter_cancels_every_order_of_an_account() public {
        OpenCall memory call = _call(_bid(4), _offer(), 1);
        vm.prank(provider);
        market.cancelAll();
        _refused(call, IOpening.OfferCancelled.selector);
        vm.prank(buyer);
        market.cancelAll();
        _refused(call, IOpening.BidCancelled.selector);
        assertEq(market.counterOf(buyer), 1, "counter");
        _open(_call(_bid(4), _offer(), 1));
    }

    function test_cancelling_marks_one_salt_and_no_neighbour() public {
        vm.prank(buyer);
        market.cancelOrder(64);
        (bool at63,,,) = market.orderState(buyer, 63);
        (bool at64,,,) = market.orderState(buyer, 64);
        (bool at65,,,) = market.orderState(buyer, 65);
        assertTrue(!at63 && at64 && !at65, "only 64");
    }

    function test_orders_signed_by_somebody_else_or_changed_after_signing_are_refused() public {
        OpenCall memory call = _call(_bid(1), _offer(), 1);
        call.bidSignature = _signature(PROVIDER_KEY, market.hashBid(call.bid));
        _refused(call, IOpening.BidSignatureInvalid.selector);
        call = _call(_bid(1), _offer(), 1);
        call.offerSignature = _signature(BUYER_KEY, market.hashOffer(call.offer));
        _refused(call, IOpening.OfferSignatureInvalid.selector);
        call = _call(_bid(1), _offer(), 1);
        call.bid.priceCap += 1;
        _refused(call, IOpening.BidSignatureInvalid.selector);
        call = _call(_bid(1), _offer(), 1);
        call.offer.startFee += 1;
        _refused(call, IOpening.OfferSignatureInvalid.selector);
    }

    function test_a_signature_for_another_chain_is_refused() public {
        OpenCall memory call = _call(_bid(1), _offer(), 1);
        vm.chainId(777);
        _refused(call, IOpening.BidSignatureInvalid.selector);
    }

    // ---------------------------------------------------------------- acceptance

    function test_a_job_other_than_the_bids_is_refused() public {
        OpenCall memory call = _call(_bid(4), _offer(), 4);
        call.job.imageRoot = keccak256("another image");
        _refused(call, IDeals.JobMismatch.selector);
        call = _call(_bid(4), _offer(), 4);
        call.job.taskCount = 5;
        _refused(call, IDeals.JobMismatch.selector);
    }

    function _refusedJob(JobSpec memory job) private {
        Bid memory bid = _bid(1);
        bid.jobHash = keccak256(abi.encode(job));
        OpenCall memory call = _call(bid, _offer(), 1);
        call.job = job;
        _refused(call, IOpening.JobOutOfRange.selector);
    }

    function test_limits_outside_the_machines_are_refused() public {
        JobSpec memory job = _job(1);
        job.cycleLimit = 0;
        _refusedJob(job);
        job = _job(1);
        job.cycleLimit = (1 << 44) + 1;
        _refusedJob(job);
        job = _job(1);
        job.pageLimit = 65_537;
        _refusedJob(job);
        job = _job(1);
        job.slotLimit = (1 << 20) + 1;
        _refusedJob(job);
        job = _job(1);
        job.outputLimit = (1 << 36) + 1;
        _refusedJob(job);
    }

    function test_a_job_with_dirty_bits_is_refused_before_it_reaches_a_log() public {
        OpenCall memory call = _call(_bid(1), _offer(), 1);
        bytes memory data = abi.encodeCall(market.open, (call));
        // The job's machineVersion: after the selector, one offset, the bid (27 words), an offset, the
        // offer (25) and an offset.
        uint256 position = 4 + 32 + 27 * 32 + 32 + 25 * 32 + 32;
        assertEq(uint8(data[position + 31]), 1, "machine version");
        data[position] = 0x01;
        (bool done, bytes memory answer) = address(market).call(data);
        assertTrue(!done, "refused");
        assertEq(bytes32(answer), bytes32(IOpening.JobOutOfRange.selector), "reason");
    }

    function test_dirty_bits_that_a_buyer_signed_do_not_reach_the_deal() public {
        Bid memory bid = _bid(1);
        OpenCall memory call = _call(bid, _offer(), 1);
        // Words of the bid: buyer, token, tasks, memory, price cap, execution timeout, tip, expiry.
        uint8[8] memory words = [0, 1, 3, 5, 10, 21, 23, 24];
        bytes memory encoded = abi.encode(bid);
        for (uint256 i = 0; i < words.length; ++i) {
            encoded[uint256(words[i]) * 32] = 0x01;
        }
        call.bidSignature = _signature(BUYER_KEY, _digest(_structHash(encoded)));
        bytes memory data = abi.encodeCall(market.open, (call));
        for (uint256 i = 0; i < encoded.length; ++i) {
            data[4 + 32 + i] = encoded[i];
        }
        vm.recordLogs();
        (bool done,) = address(market).call(data);
        assertTrue(done, "opened");
        // Decoding refuses words with dirty bits.
        Deal memory deal = _openedDeal(vm.getRecordedLogs());
        assertEq(deal.buyer, buyer, "buyer");
        assertEq(deal.escrow, TASK_MAX, "escrow");
        assertStatus(deal, DealStatus.Open);
    }

    /// @dev EIP-712's hash of a bid, given its words.
    function _structHash(bytes memory encoded) private pure returns (bytes32) {
        bytes memory resources = bytes.concat(Hashing.RESOURCES_TYPEHASH);
        bytes memory order = bytes.concat(Hashing.BID_TYPEHASH);
        for (uint256 word = 0; word < encoded.length / 32; ++word) {
            bytes32 value;
            assembly ("memory-safe") {
                value := mload(add(add(encoded, 0x20), shl(5, word)))
            }
            if (word < 5 || word >= 10) order = bytes.concat(order, value);
            else resources = bytes.concat(resources, value);
            if (word == 9) order = bytes.concat(order, keccak256(resources));
        }
        return keccak256(order);
    }

    function test_no_task_and_more_tasks_than_a_claim_holds_are_refused() public {
        _refused(_call(_bid(1), _offer(), 0), IOpening.CountOutOfRange.selector);
        Bid memory bid = _bid(2049);
        bid.executionTimeout = type(uint32).max;
        _refusedBid(bid, IOpening.CountOutOfRange.selector);
    }

    function test_fields_whose_mechanism_does_not_exist_yet_are_refused_by_name() public {
        Bid memory bid = _bid(1);
        bid.replicas = 2;
        _refusedBid(bid, IOpening.ReplicasUnsupported.selector);
        bid = _bid(1);
        bid.resources.gpuCount = 1;
        _refusedBid(bid, IOpening.GpuUnsupported.selector);
        bid = _bid(1);
        bid.resources.gpuClass = 1;
        _refusedBid(bid, IOpening.GpuUnsupported.selector);
        bid = _bid(1);
        bid.roundTripMsMax = 1;
        _refusedBid(bid, IOpening.RoundTripUnsupported.selector);
        Offer memory offer = _offer();
        offer.resources.gpuCount = 1;
        _refusedOffer(offer, IOpening.GpuUnsupported.selector);
    }

    function test_an_audit_needs_a_rate_and_a_fee_in_range() public {
        Bid memory bid = _bid(1);
        bid.auditRateBps = 1;
        _refusedBid(bid, IOpening.AuditTermsInvalid.selector);
        bid.auditFee = 1 << 96;
        _refusedBid(bid, IOpening.AuditTermsInvalid.selector);
        bid.auditFee = 1;
        bid.auditRateBps = 10_001;
        _refusedBid(bid, IOpening.AuditTermsInvalid.selector);
        bid.auditRateBps = 0;
        _refusedBid(bid, IOpening.AuditTermsInvalid.selector);
    }

    function test_the_audit_fee_is_locked_with_the_deal() public {
        Bid memory bid = _bid(1);
        (bid.auditRateBps, bid.auditFee) = (10_000, 777);
        uint256 free = _free(buyer);
        Deal memory deal = _open(_call(bid, _offer(), 1));
        assertEq(_free(buyer), free - deal.escrow - 2 * uint256(deal.buyerTip) - 777, "locked");
        assertEq(deal.resources >> 136 & 0xffff, 10_000, "rate in the deal");
        assertEq(deal.resources >> 152, 777, "fee in the deal");
        vm.prank(provider);
        market.cancelAdmission(deal);
        assertEq(_free(buyer) + _free(BURN) / 2, free - TIP, "back again");
    }

    function test_an_offer_that_does_not_fit_the_bid_is_refused_by_reason() public {
        Offer memory offer = _offer();
        offer.token = NATIVE;
        _refusedOffer(offer, IOpening.TokenMismatch.selector);
        offer = _offer();
        offer.machineVersion = 2;
        _refusedOffer(offer, IOpening.MachineVersionMismatch.selector);
        offer = _offer();
        offer.region = 4;
        _refusedOffer(offer, IOpening.RegionRefused.selector);
        offer = _offer();
        offer.attributes = 1;
        _refusedOffer(offer, IOpening.AttributesMissing.selector);
        offer = _offer();
        offer.resources.memoryMib = 63;
        _refusedOffer(offer, IOpening.MemoryInsufficient.selector);
        offer = _offer();
        offer.resources.diskMib = 9;
        _refusedOffer(offer, IOpening.DiskInsufficient.selector);
        offer = _offer();
        offer.resources.egressMib = 0;
        _refusedOffer(offer, IOpening.EgressInsufficient.selector);
        offer = _offer();
        offer.startFee = 5_000_000;
        _refusedOffer(offer, IOpening.PriceAboveCap.selector);
        offer = _offer();
        offer.collateralMax = uint128(8 * TASK_MAX - 1);
        _refusedOffer(offer, IOpening.CollateralAboveMax.selector);
        offer.collateralMax = uint128(8 * TASK_MAX);
        _open(_call(_bid(4), offer, 4));
    }

    function test_an_offer_too_slow_for_the_timeout_is_refused_to_the_second() public {
        // Four tasks of 2e12 cycles at 1e9 a second take 8,000 s.
        Bid memory bid = _bid(4);
        bid.executionTimeout = 7_999;
        _refusedBid(bid, IOpening.TooSlow.selector);
        Offer memory offer = _offer();
        offer.speed = 0;
        _refusedOffer(offer, IOpening.TooSlow.selector);
        bid.executionTimeout = 8_000;
        _open(_call(bid, _offer(), 4));
    }

    function test_prices_beyond_their_bound_are_refused() public {
        for (uint256 i = 0; i < 6; ++i) {
            Offer memory offer = _offer();
            uint128 tooMuch = (1 << 100) + 1;
            if (i == 0) offer.startFee = tooMuch;
            if (i == 1) offer.cyclePrice = tooMuch;
            if (i == 2) offer.memoryPrice = tooMuch;
            if (i == 3) offer.diskPrice = tooMuch;
            if (i == 4) offer.gpuPrice = tooMuch;
            if (i == 5) offer.egressPrice = tooMuch;
            _refusedOffer(offer, IOpening.PriceOutOfRange.selector);
        }
        // Each price within its bound, their sum over the resources beyond 128 bits.
        Offer memory sum = _offer();
        sum.memoryPrice = 1 << 100;
        Bid memory bid = _bid(1);
        bid.resources.memoryMib = 1 << 28;
        sum.resources.memoryMib = 1 << 28;
        _refused(_call(bid, sum, 1), IOpening.PriceOutOfRange.selector);
    }

    function test_nobody_deals_with_himself() public {
        Offer memory offer = _offer();
        offer.provider = buyer;
        OpenCall memory call = _call(_bid(1), offer, 1);
        call.offerSignature = _signature(BUYER_KEY, market.hashOffer(offer));
        _refused(call, IOpening.SelfDeal.selector);
    }

    // ---------------------------------------------------------------- slots, cells and money

    function test_a_pool_has_as_many_open_deals_as_slots_whatever_offers_name_it() public {
        OpenCall memory call = _call(_bid(9), _offer(), 1);
        for (uint256 i = 0; i < 4; ++i) {
            _open(call);
        }
        _refused(call, IOpening.NoFreeSlot.selector);
        Offer memory other = _offer();
        other.salt = 99;
        _refused(_call(_bid(9), other, 1), IOpening.NoFreeSlot.selector);
        other.capacityId = keccak256("another pool");
        _open(_call(_bid(9), other, 1));
    }

    function test_cells_of_settled_deals_are_used_again() public {
        OpenCall memory call = _call(_bid(9), _offer(), 1);
        Deal memory first = _open(call);
        Deal memory second = _open(call);
        assertEq(first.cell, 1, "first cell");
        assertEq(second.cell, 2, "second cell");
        Claim memory made = _claim(first);
        vm.warp(block.timestamp + WINDOW + 1);
        market.finalise(first, made);
        Deal memory third = _open(call);
        assertEq(third.cell, 1, "the settled deal's cell");
        assertStatus(first, DealStatus.None);
        assertStatus(second, DealStatus.Open);
        assertStatus(third, DealStatus.Open);
        vm.expectRevert(IDeals.ClaimNotHeld.selector);
        market.finalise(first, made);
    }

    function test_a_buyer_without_the_whole_reserve_is_refused() public {
        OpenCall memory call = _call(_bid(1), _offer(), 1);
        vm.startPrank(buyer);
        market.requestWithdrawal(address(token), FUNDS - TASK_MAX - 2 * TIP + 1);
        vm.stopPrank();
        _refused(call, IOpening.BuyerBalanceInsufficient.selector);
        vm.prank(buyer);
        market.requestWithdrawal(address(token), FUNDS - TASK_MAX - 2 * TIP);
        _open(call);
        assertEq(_free(buyer), 0, "to the last unit");
    }

    function test_a_provider_without_the_collateral_or_its_floor_is_refused() public {
        OpenCall memory call = _call(_bid(1), _offer(), 1);
        vm.prank(provider);
        market.requestWithdrawal(address(token), FUNDS - 2 * TASK_MAX + 1);
        _refused(call, IOpening.ProviderBalanceInsufficient.selector);
        vm.startPrank(provider);
        market.requestWithdrawal(address(token), 0);
        market.requestWithdrawal(NATIVE, COINS - FLOOR + 1);
        vm.stopPrank();
        _refused(call, IOpening.ProviderFloorInsufficient.selector);
        vm.prank(provider);
        market.requestWithdrawal(NATIVE, COINS - FLOOR);
        _open(call);
    }

    function test_coins_pay_like_any_token_and_collateral_and_floor_add_up() public {
        Bid memory bid = _bid(1);
        bid.token = NATIVE;
        Offer memory offer = _offer();
        offer.token = NATIVE;
        OpenCall memory call = _call(bid, offer, 1);
        vm.prank(provider);
        market.requestWithdrawal(NATIVE, COINS - FLOOR - 2 * TASK_MAX + 1);
        _refused(call, IOpening.ProviderFloorInsufficient.selector);
        vm.prank(provider);
        market.requestWithdrawal(NATIVE, COINS - FLOOR - 2 * TASK_MAX);
        _open(call);
        assertEq(_coins(provider), 0, "to the last wei");
        assertEq(_coins(buyer), COINS - TASK_MAX - 2 * TIP, "buyer");
    }

    // ---------------------------------------------------------------- reopening

    function _failed(OpenCall memory call) private returns (Deal memory deal) {
        deal = _open(call);
        vm.warp(deal.deadline + 1);
        market.timeout(deal);
        assertStatus(deal, DealStatus.Failed);
    }

    function test_the_range_of_a_failed_deal_is_taken_over_in_parts() public {
        Bid memory bid = _bid(8);
        bid.expiry += 10 days;
        Offer memory offer = _offer();
        offer.expiry += 10 days;
        _open(_call(bid, offer, 3));
        OpenCall memory call = _call(bid, offer, 4);
        Deal memory failed = _failed(call);
        assertEq(failed.firstTask, 3, "range");

        call.count = 1;
        vm.recordLogs();
        bytes32 dealId = market.reopen(call, failed);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        Deal memory deal = _openedDeal(logs);
        assertEq(deal.firstTask, 3, "first of the range");
        assertEq(deal.taskCount, 1, "one task");
        assertEq(logs[logs.length - 1].topics[0], IOpening.DealReopened.selector, "DealReopened");
        assertEq(logs[logs.length - 1].topics[1], market.hashDeal(failed), "the failed deal");
        assertEq(logs[logs.length - 1].topics[2], dealId, "the new deal");
        assertEq(market.dealState(failed).clock, 1, "tasks taken over");

        call.count = 4;
        vm.expectRevert(IOpening.CountOutOfRange.selector);
        market.reopen(call, failed);
        call.count = 3;
        vm.recordLogs();
        market.reopen(call, failed);
        deal = _openedDeal(vm.getRecordedLogs());
        assertEq(deal.firstTask, 4, "the rest of the range");
        assertStatus(failed, DealStatus.None);
        vm.expectRevert(IOpening.NotReopenable.selector);
        market.reopen(call, failed);
    }

    function test_a_range_reopens_only_while_the_bid_is_live() public {
        Bid memory bid = _bid(2);
        bid.expiry = uint64(block.timestamp + 10 days);
        Offer memory offer = _offer();
        offer.expiry += 100 days;
        OpenCall memory call = _call(bid, offer, 2);
        Deal memory failed = _failed(call);
        vm.warp(bid.expiry + 1);
        vm.expectRevert(IOpening.BidExpired.selector);
        market.reopen(call, failed);
        vm.warp(bid.expiry);
        vm.prank(buyer);
        market.cancelOrder(bid.salt);
        vm.expectRevert(IOpening.BidCancelled.selector);
        market.reopen(call, failed);
    }

    function test_only_a_failed_deal_of_the_same_bid_reopens_and_not_in_its_own_block() public {
        OpenCall memory call = _call(_bid(4), _offer(), 2);
        Deal memory deal = _open(call);
        vm.expectRevert(IOpening.NotReopenable.selector);
        market.reopen(call, deal);
        vm.prank(buyer);
        market.cancelAdmission(deal);
        vm.expectRevert(IOpening.ReopenTooEarly.selector);
        market.reopen(call, deal);
        Bid memory other = _bid(4);
        other.salt = 77;
        vm.warp(block.timestamp + 1);
        OpenCall memory otherCall = _call(other, _offer(), 2);
        vm.expectRevert(IOpening.NotReopenable.selector);
        market.reopen(otherCall, deal);
        market.reopen(call, deal);
    }

    function test_hashes_are_those_of_the_orders_themselves() public view {
        Bid memory bid = _bid(3);
        JobSpec memory job = _job(3);
        assertEq(bid.jobHash, keccak256(abi.encode(job)), "job");
        assertTrue(market.hashBid(bid) != market.hashOffer(_offer()), "bid and offer");
        assertTrue(IOrders(address(market)).domainSeparator() != 0, "domain");
    }
}
