// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAuction} from "../../src/interfaces/IAuction.sol";
import {
    AuctionOrder,
    AuctionParameters,
    Backing,
    Entry,
    Fill,
    FillGroup,
    GroupProof,
    Obligation,
    Phase,
    Pool,
    ResultRecord,
    RoundRecord,
    StreamRecord
} from "../../src/types/Auctions.sol";
import {AuctionTest} from "./AuctionTest.sol";

/// @dev From commitments to the last deposit; what is drawn is in Delivery.t.sol.
contract AuctionsTest is AuctionTest {
    /// @dev Provider sells 8 units by a curve from 100 up in pool 0, Alice buys 5 for up to 200 each.
    function _market(uint64 round) private {
        AuctionOrder memory sells = _order(provider, Backing.Curve, 8, -100, 0, -1);
        AuctionOrder memory buys = _order(ALICE, Backing.Holdings, 5, 200, 0, 1);
        _enter(round, _list(sells, buys));
    }

    /// @dev All 5 at the ask of the fifth.
    function _cleared(uint64 round) private returns (uint64[] memory prices, FillGroup[] memory groups) {
        _market(round);
        prices = _prices(120, 0, 0);
        groups = _groups(prices, _fills(Fill(0, 0, 5), Fill(1, 0, 5)), 16);
        _post(round, prices, groups);
        _toEnd(round);
    }

    // ---------------------------------------------------------------- orders

    function test_an_order_is_committed_to_and_revealed() public {
        AuctionOrder memory order = _order(ALICE, Backing.Holdings, 5, 200, 0, 1);
        assertEq(auction.depositFor(order), 1000, "lots x limit");
        _commit(0, order);
        assertEq(_has(ALICE), MONEY - 1000, "the deposit is locked");
        _toReveal(0);
        vm.prank(ANYBODY);
        assertEq(auction.reveal(0, order), 0, "the first order");
        (bytes32 leaf, uint128 deposit, bool settled) = auction.orderOf(0, 0);
        assertEq(leaf, keccak256(abi.encode(uint64(0), uint16(0), order)), "leaf");
        assertEq(deposit, 1000, "deposit");
        assertTrue(!settled, "not settled");
        RoundRecord memory round = auction.roundOf(0);
        assertEq(round.ordersHash, keccak256(abi.encode(bytes32(0), leaf)), "the orders and their places");
        assertEq(round.orders, 1, "orders");
    }

    function test_what_is_not_revealed_burns() public {
        AuctionOrder memory order = _order(ALICE, Backing.Holdings, 5, 200, 0, 1);
        _commit(0, order, 1500);
        bytes32 commitment = _commitment(0, order);
        _toReveal(0);
        _refuses(IAuction.WrongPhase.selector);
        auction.forfeit(0, ALICE, commitment);
        _toPost(0);
        _refuses(IAuction.WrongPhase.selector);
        auction.reveal(0, order);
        auction.forfeit(0, ALICE, commitment);
        assertEq(_has(BURN), 1500, "burned");
        _refuses(IAuction.CommitmentUnknown.selector);
        auction.forfeit(0, ALICE, commitment);
        assertNothingLockedHere();
    }

    function test_a_commitment_counts_for_its_round_and_account_once() public {
        AuctionOrder memory order = _order(ALICE, Backing.Holdings, 5, 200, 0, 1);
        bytes32 commitment = _commitment(0, order);
        _commit(0, order);
        _refuses(IAuction.AlreadyCommitted.selector);
        vm.prank(ALICE);
        auction.commit(0, commitment, 1000);
        // Bob copies what Alice committed to, and can not reveal it.
        vm.prank(BOB);
        auction.commit(0, commitment, 1000);
        _toReveal(0);
        auction.reveal(0, order);
        _refuses(IAuction.CommitmentUnknown.selector);
        auction.reveal(0, order);
        order.account = BOB;
        _refuses(IAuction.CommitmentUnknown.selector);
        auction.reveal(0, order);
        _refuses(IAuction.WrongPhase.selector);
        vm.prank(ALICE);
        auction.commit(0, bytes32(uint256(1)), 1000);
        _refuses(IAuction.WrongPhase.selector);
        vm.prank(ALICE);
        auction.commit(1, bytes32(uint256(1)), 1000);
    }

    function test_a_round_takes_512_commitments() public {
        for (uint256 i = 0; i < 512; ++i) {
            vm.prank(BOB);
            auction.commit(0, bytes32(i + 1), DEPOSIT_MIN);
        }
        _refuses(IAuction.RoundFull.selector);
        vm.prank(BOB);
        auction.commit(0, bytes32(uint256(513)), DEPOSIT_MIN);
    }

    function test_a_deposit_covers_the_most_that_an_order_can_pay_and_what_new_capacity_puts_at_risk() public {
        AuctionOrder memory order = _order(ALICE, Backing.Holdings, 3, 1, 0, 1);
        assertEq(auction.depositFor(order), DEPOSIT_MIN, "the least");
        order = _with(_order(ALICE, Backing.Holdings, 3, 100, 0, 1), _alternative(70, 1, 1));
        assertEq(auction.depositFor(order), 300, "the larger limit");
        order = _order(ALICE, Backing.Holdings, 3, -100, 0, -2);
        assertEq(auction.depositFor(order), 300, "what a seller of holdings asks for");
        order = _order(ALICE, Backing.Capacity, 3, -5000, 0, -2);
        assertEq(auction.depositFor(order), 15_000, "what it asks for");
        order = _order(ALICE, Backing.Capacity, 3, -500, 0, -2);
        assertEq(auction.depositFor(order), 3 * 2 * UNIT_DEPOSIT, "the units' deposits");
        order.alternatives[0] = _two(40, Entry(0, -2), Entry(1, 3));
        assertEq(auction.depositFor(order), 3 * (40 + 2 * UNIT_DEPOSIT), "and what it pays");
        _commit(0, order, uint128(3 * (40 + 2 * UNIT_DEPOSIT) - 1));
        _toReveal(0);
        _refuses(IAuction.DepositTooSmall.selector);
        auction.reveal(0, order);
        _toCommit(1);
        _refuses(IAuction.DepositTooSmall.selector);
        vm.prank(ALICE);
        auction.commit(1, bytes32(uint256(1)), DEPOSIT_MIN - 1);
        _refuses(IAuction.BalanceInsufficient.selector);
        vm.prank(ANYBODY);
        auction.commit(1, bytes32(uint256(1)), DEPOSIT_MIN);
    }

    function _outOfRange(AuctionOrder memory order) private {
        _refuses(IAuction.OrderOutOfRange.selector);
        auction.depositFor(order);
    }

    function test_orders_out_of_bounds_are_refused() public {
        _outOfRange(_order(ALICE, Backing.Holdings, 0, 1, 0, 1));
        _outOfRange(_order(ALICE, Backing.Holdings, (1 << 20) + 1, 1, 0, 1));
        _outOfRange(_order(ALICE, Backing.Holdings, 1, (1 << 62) + 1, 0, 1));
        _outOfRange(_order(ALICE, Backing.Holdings, 1, -(1 << 62) - 1, 0, 1));
        _outOfRange(_order(ALICE, Backing.Holdings, 1, 1, POOLS, 1));
        _outOfRange(_order(ALICE, Backing.Holdings, 1, 1, 0, 0));
        _outOfRange(_order(ALICE, Backing.Holdings, 1, 1, 0, 1 << 22));
        _outOfRange(_order(ALICE, Backing.Holdings, 1, 1, 0, -(1 << 22)));
        _outOfRange(_order(ALICE, Backing.Curve, 1, 1, 0, -1));
        _outOfRange(_order(ALICE, Backing.Curve, 1, -1, 0, -2));
        _outOfRange(_order(ALICE, Backing.Curve, 1, -1, 0, 1));
        _outOfRange(_order(ALICE, Backing.Curve, 1, -(1 << 35), 0, -1));
        _outOfRange(_with(_order(ALICE, Backing.Curve, 1, -1, 0, -1), _alternative(-1, 1, -1)));
        AuctionOrder memory order = _order(ALICE, Backing.Holdings, 1, 1, 0, 1);
        order.alternatives[0] = _two(1, Entry(1, 1), Entry(1, 1));
        _outOfRange(order);
        order.alternatives[0] = _two(1, Entry(1, 1), Entry(0, 1));
        _outOfRange(order);
        order.alternatives[0].entries = new Entry[](0);
        _outOfRange(order);
        order = _order(ALICE, Backing.Holdings, 1, 1, 0, 1);
        for (uint256 i = 0; i < 7; ++i) {
            order = _with(order, _alternative(1, 0, 1));
        }
        auction.depositFor(order);
        _outOfRange(_with(order, _alternative(1, 0, 1)));
        order = _order(ALICE, Backing.Capacity, 1 << 20, 1 << 62, 0, -(1 << 22) + 1);
        assertEq(
            auction.depositFor(order), (1 << 20) * ((1 << 62) + ((1 << 22) - 1) * uint256(UNIT_DEPOSIT)), "the largest"
        );
    }

    function test_only_what_is_held_can_be_sold_again() public {
        AuctionOrder memory order = _order(ALICE, Backing.Holdings, 3, -100, 0, -1);
        _commit(0, order);
        _toReveal(0);
        _refuses(IAuction.HoldingsInsufficient.selector);
        auction.reveal(0, order);
    }

    // ---------------------------------------------------------------- results

    function test_a_result_is_recorded_with_a_bond_and_becomes_final() public {
        _market(0);
        uint64[] memory prices = _prices(120, 0, 0);
        FillGroup[] memory groups = _groups(prices, _fills(Fill(0, 0, 5), Fill(1, 0, 5)), 16);
        assertEq(_post(0, prices, groups), 1, "the first result");
        ResultRecord memory record = auction.resultOf(0, 1);
        // Asks of 8 units at cost 100: 100, 100, 105, 110, 120, 135, 160, 200.
        assertEq(uint128(record.welfare), 1000 - 535, "welfare");
        assertEq(record.volume, 600, "volume");
        assertEq(record.pricesHash, keccak256(abi.encode(prices)), "prices");
        assertEq(record.root, keccak256(abi.encode(groups[0])), "the root over one group is its hash");
        assertEq(_has(POSTER), MONEY - RESULT_BOND, "bond");
        for (uint64 i = 0; i < 2; ++i) {
            uint256[2] memory when = [_begin(0) + COMMIT + REVEAL, _begin(0) + COMMIT + REVEAL + POST];
            vm.warp(when[i]);
            _refuses(IAuction.ResultHolds.selector);
            _disprove(0, 1, prices, groups, 0);
        }
        _refuses(IAuction.WrongPhase.selector);
        auction.collect(0, 1);
        _toEnd(0);
        _refuses(IAuction.WrongPhase.selector);
        _disprove(0, 1, prices, groups, 0);
        auction.collect(0, 1);
        assertEq(_has(POSTER), MONEY, "the bond is back");
        _refuses(IAuction.AlreadyCollected.selector);
        auction.collect(0, 1);
        _refuses(IAuction.ResultUnknown.selector);
        auction.collect(0, 2);
    }

    function test_results_are_posted_in_their_phase_alone() public {
        _market(0);
        uint64[] memory prices = _prices(120, 0, 0);
        FillGroup[] memory groups = _groups(prices, _fills(Fill(0, 0, 5), Fill(1, 0, 5)), 16);
        vm.warp(_begin(0) + COMMIT + REVEAL - 1);
        _refuses(IAuction.WrongPhase.selector);
        _post(0, prices, groups);
        _toDispute(0);
        _refuses(IAuction.WrongPhase.selector);
        _post(0, prices, groups);
    }

    function test_a_malformed_result_is_refused() public {
        _market(0);
        uint64[] memory prices = _prices(120, 0, 0);
        FillGroup[] memory good = _groups(prices, _fills(Fill(0, 0, 5), Fill(1, 0, 5)), 16);
        _refuses(IAuction.ResultMalformed.selector);
        _post(0, prices, new FillGroup[](0));
        _refuses(IAuction.ResultMalformed.selector);
        _post(0, new uint64[](POOLS + 1), good);
        _refuses(IAuction.ResultMalformed.selector);
        _post(0, _prices(1 << 36, 0, 0), good);
        Fill[] memory fills = good[0].fills;
        good[0].fills = new Fill[](0);
        _refuses(IAuction.ResultMalformed.selector);
        _post(0, prices, good);
        good[0].fills = new Fill[](17);
        _refuses(IAuction.ResultMalformed.selector);
        _post(0, prices, good);
        good[0].fills = fills;
        good[0].surplus = new int64[](POOLS - 1);
        _refuses(IAuction.ResultMalformed.selector);
        _post(0, prices, good);
        good[0].surplus = new int64[](POOLS);
        good[0].surplus[1] = -1;
        _refuses(IAuction.ResultUnbalanced.selector);
        _post(0, prices, good);
        good[0].surplus[1] = 0;
        good[0].surplus[0] = 1;
        _refuses(IAuction.ResultUnbalanced.selector);
        _post(0, prices, good);
        _refuses(IAuction.BalanceInsufficient.selector);
        vm.prank(ANYBODY);
        auction.post(0, ordersHashes[0], prices, _groups(prices, fills, 16));
    }

    function test_more_welfare_wins_and_the_same_fills_at_less_volume() public {
        _market(0);
        uint64[] memory prices = _prices(120, 0, 0);
        Fill[] memory five = _fills(Fill(0, 0, 5), Fill(1, 0, 5));
        _post(0, prices, _groups(prices, _fills(Fill(0, 0, 4), Fill(1, 0, 4)), 16));
        uint64[] memory dear = _prices(150, 0, 0);
        assertEq(_post(0, dear, _groups(dear, five, 16)), 2, "more welfare");
        _refuses(IAuction.AlreadyPosted.selector);
        _post(0, dear, _groups(dear, five, 16));
        assertEq(_post(0, prices, _groups(prices, five, 1)), 3, "the same at lower prices, however it is grouped");
        _refuses(IAuction.AlreadyPosted.selector);
        _post(0, prices, _groups(prices, _fills(Fill(0, 0, 4), Fill(1, 0, 4)), 16));
        assertEq(auction.roundOf(0).best, 3, "best");
        _toEnd(0);
        for (uint32 i = 1; i <= 3; ++i) {
            auction.collect(0, i);
        }
        assertEq(_has(POSTER), MONEY, "honest results cost nothing");
    }

    function test_a_false_result_pays_who_disproves_it_and_uncovers_the_one_below() public {
        _market(0);
        uint64[] memory prices = _prices(120, 0, 0);
        FillGroup[] memory honest = _groups(prices, _fills(Fill(0, 0, 5), Fill(1, 0, 5)), 16);
        FillGroup[] memory junk = _groups(prices, _fills(Fill(0, 0, 5), Fill(1, 0, 5)), 16);
        junk[0].welfare = type(int128).max - 1;
        _post(0, prices, junk);
        _disprove(0, 1, prices, junk, 0);
        assertEq(auction.roundOf(0).best, 0, "nothing stands");
        assertEq(_has(CAROL), MONEY + RESULT_BOND / 2, "half of the bond");
        assertEq(_has(BURN), RESULT_BOND - RESULT_BOND / 2, "the other half");
        _refuses(IAuction.ResultUnknown.selector);
        _disprove(0, 1, prices, junk, 0);
        _post(0, prices, honest);
        // Two pieces of junk on top of it, of which the lower one goes first.
        junk[0].welfare = type(int128).max - 1;
        _post(0, prices, junk);
        FillGroup[] memory more = _groups(prices, _fills(Fill(0, 0, 5), Fill(1, 0, 5)), 16);
        more[0].welfare = type(int128).max;
        _post(0, prices, more);
        _disprove(0, 3, prices, junk, 0);
        assertEq(auction.roundOf(0).best, 4, "the upper one stands");
        assertEq(auction.resultOf(0, 4).previous, 2, "on the honest one");
        _disprove(0, 4, prices, more, 0);
        assertEq(auction.roundOf(0).best, 2, "the honest one is uncovered");
        _toEnd(0);
        _refuses(IAuction.ResultUnknown.selector);
        auction.collect(0, 3);
        auction.collect(0, 2);
        _settleAll(0, prices, honest);
    }

    function test_an_honest_result_gets_in_whatever_was_posted_before_it() public {
        _market(0);
        uint64[] memory prices = _prices(120, 0, 0);
        FillGroup[] memory honest = _groups(prices, _fills(Fill(0, 0, 5), Fill(1, 0, 5)), 16);
        FillGroup[] memory junk = _groups(prices, _fills(Fill(0, 0, 5), Fill(1, 0, 5)), 16);
        FillGroup[] memory more = _groups(prices, _fills(Fill(0, 0, 5), Fill(1, 0, 5)), 16);
        FillGroup[] memory less = _groups(prices, _fills(Fill(0, 0, 4), Fill(1, 0, 4)), 16);
        (junk[0].welfare, more[0].welfare) = (type(int128).max, type(int128).max - 1);
        // In the last second, in front of the honest one, by who disproves them as soon as it is too late.
        _toDispute(0);
        vm.warp(block.timestamp - 1);
        assertEq(_post(0, prices, more), 1, "junk");
        assertEq(_post(0, prices, junk), 2, "junk on it");
        assertEq(_post(0, prices, less), 3, "below both");
        assertEq(_post(0, prices, honest), 4, "between");
        _refuses(IAuction.AlreadyPosted.selector);
        _post(0, prices, honest);
        assertEq(auction.resultOf(0, 4).previous, 3, "on what is worse");
        assertEq(auction.resultOf(0, 4).next, 1, "below what claims more");
        _toDispute(0);
        _disprove(0, 1, prices, more, 0);
        assertEq(auction.roundOf(0).best, 2, "the upper one stands");
        _disprove(0, 2, prices, junk, 0);
        assertEq(auction.roundOf(0).best, 4, "then the honest one");
        _toEnd(0);
        _settleAll(0, prices, honest);
    }

    function test_a_result_is_refused_once_the_orders_have_other_places() public {
        AuctionOrder memory sells = _order(provider, Backing.Capacity, 1, -100, 0, -1);
        AuctionOrder memory buys = _order(ALICE, Backing.Holdings, 1, 200, 0, 1);
        _enter(0, _list(sells, buys));
        bytes32 orders = keccak256(abi.encode(bytes32(0), keccak256(abi.encode(uint64(0), uint16(0), buys))));
        orders = keccak256(abi.encode(orders, keccak256(abi.encode(uint64(0), uint16(1), sells))));
        uint64[] memory prices = _prices(100, 0, 0);
        FillGroup[] memory groups = _groups(prices, _fills(Fill(0, 0, 1), Fill(1, 0, 1)), 16);
        _refuses(IAuction.OrderMismatch.selector);
        vm.prank(POSTER);
        auction.post(0, orders, prices, groups);
    }

    function test_a_result_has_no_more_groups_than_a_round_has_orders() public {
        _market(0);
        uint64[] memory prices = _prices(120, 0, 0);
        FillGroup[] memory groups = new FillGroup[](513);
        for (uint256 i = 0; i < 513; ++i) {
            groups[i].fills = new Fill[](1);
            groups[i].surplus = new int64[](POOLS);
        }
        _refuses(IAuction.ResultMalformed.selector);
        _post(0, prices, groups);
    }

    function test_a_disproof_must_show_the_result_and_the_orders_as_they_are() public {
        _market(0);
        uint64[] memory prices = _prices(120, 0, 0);
        FillGroup[] memory groups = _groups(prices, _fills(Fill(0, 0, 5), Fill(1, 0, 5)), 1);
        _post(0, prices, groups);
        GroupProof[] memory none = new GroupProof[](0);
        GroupProof[] memory first = new GroupProof[](1);
        first[0] = _proof(groups, 0);
        GroupProof memory second = _proof(groups, 1);
        AuctionOrder[] memory named = _named(groups[1].fills);
        _refuses(IAuction.ResultMismatch.selector);
        auction.disprove(0, 1, _prices(1, 0, 0), first, second, named);
        _refuses(IAuction.ResultMismatch.selector);
        auction.disprove(0, 1, prices, none, second, named);
        _refuses(IAuction.ResultMismatch.selector);
        auction.disprove(0, 1, prices, first, first[0], _named(groups[0].fills));
        second.group.welfare += 1;
        _refuses(IAuction.ResultMismatch.selector);
        auction.disprove(0, 1, prices, first, second, named);
        second.group.welfare -= 1;
        named[0].lots += 1;
        _refuses(IAuction.OrderMismatch.selector);
        auction.disprove(0, 1, prices, first, second, named);
        _refuses(IAuction.OrderMismatch.selector);
        auction.disprove(0, 1, prices, first, second, new AuctionOrder[](0));
        named[0].lots -= 1;
        _refuses(IAuction.ResultHolds.selector);
        auction.disprove(0, 1, prices, first, second, named);
    }

    /// @dev Alice pays up to 200 for one unit of pool 0 or up to 150 for one of pool 1; the provider sells both.
    function _choice(uint64 round) private returns (uint64[] memory prices) {
        AuctionOrder memory first = _order(provider, Backing.Capacity, 8, -100, 0, -1);
        AuctionOrder memory second = _order(provider, Backing.Capacity, 8, -100, 1, -1);
        AuctionOrder memory buys = _with(_order(ALICE, Backing.Holdings, 4, 200, 0, 1), _alternative(150, 1, 1));
        _enter(round, _list(first, second, buys));
        return _prices(120, 120, 0);
    }

    function _disproved(uint64 round, uint64[] memory prices, FillGroup[] memory groups, uint256 index) private {
        uint32 result = _post(round, prices, groups);
        _disprove(round, result, prices, groups, index);
        assertTrue(auction.resultOf(round, result).disproved, "disproved");
    }

    function test_fills_out_of_place_are_disproved_though_their_sums_are_true() public {
        uint64[] memory prices = _choice(0);
        Fill memory one = Fill(0, 0, 1);
        Fill memory two = Fill(0, 0, 2);
        Fill memory buysOne = Fill(2, 0, 1);
        Fill memory buysOther = Fill(2, 1, 1);
        // No lots at all.
        _disproved(0, prices, _groups(prices, _fills(one, Fill(1, 0, 0), buysOne), 16), 0);
        // The same alternative twice.
        _disproved(0, prices, _groups(prices, _fills(two, buysOne, buysOne), 16), 0);
        // Alternatives that go down.
        Fill[] memory fills = new Fill[](4);
        (fills[0], fills[1], fills[2], fills[3]) = (one, Fill(1, 0, 1), buysOther, buysOne);
        _disproved(0, prices, _groups(prices, fills, 16), 0);
        // Orders that go down, within a group and from one to the next.
        _disproved(0, prices, _groups(prices, _fills(buysOne, one), 16), 0);
        _disproved(0, prices, _groups(prices, _fills(buysOne, one), 1), 1);
        // An order in two groups.
        (fills[2], fills[3]) = (buysOne, buysOther);
        FillGroup[] memory groups = new FillGroup[](2);
        groups[0] = _groupOf(prices, fills, 0, 3, _noGroup(POOLS));
        groups[1] = _groupOf(prices, fills, 3, 4, groups[0]);
        _disproved(0, prices, groups, 1);
        // More lots than the order has, in one fill and in two.
        _disproved(0, prices, _groups(prices, _fills(Fill(0, 0, 5), Fill(2, 0, 5)), 16), 0);
        (fills[0], fills[1], fills[2], fills[3]) = (Fill(0, 0, 3), Fill(1, 0, 2), Fill(2, 0, 3), Fill(2, 1, 2));
        _disproved(0, prices, _groups(prices, fills, 16), 0);
        // A buyer above its limit, a seller below.
        _disproved(0, _prices(201, 0, 0), _groups(_prices(201, 0, 0), _fills(one, buysOne), 16), 0);
        _disproved(0, _prices(99, 0, 0), _groups(_prices(99, 0, 0), _fills(one, buysOne), 16), 0);
        assertEq(auction.roundOf(0).best, 0, "nothing stands");
    }

    function test_a_group_is_judged_by_the_group_right_before_it() public {
        uint64[] memory prices = _choice(0);
        FillGroup[] memory groups = _groups(prices, _fills(Fill(0, 0, 1), Fill(1, 0, 1), Fill(2, 0, 1)), 1);
        groups[2].surplus[1] = 0;
        _post(0, prices, groups);
        GroupProof[] memory before = new GroupProof[](1);
        before[0] = _proof(groups, 0);
        GroupProof memory last = _proof(groups, 2);
        AuctionOrder[] memory named = _named(groups[2].fills);
        _refuses(IAuction.ResultMismatch.selector);
        auction.disprove(0, 1, prices, before, last, named);
        before[0] = last;
        _refuses(IAuction.ResultMismatch.selector);
        auction.disprove(0, 1, prices, before, last, named);
        _disprove(0, 1, prices, groups, 2);
    }

    function test_a_unit_of_a_curve_is_not_sold_below_its_ask() public {
        _market(0);
        uint64[] memory prices = _prices(119, 0, 0);
        FillGroup[] memory groups = _groups(prices, _fills(Fill(0, 0, 5), Fill(1, 0, 5)), 16);
        _disproved(0, prices, groups, 0);
        prices = _prices(120, 0, 0);
        groups = _groups(prices, _fills(Fill(0, 0, 5), Fill(1, 0, 5)), 16);
        _post(0, prices, groups);
        _refuses(IAuction.ResultHolds.selector);
        _disprove(0, 2, prices, groups, 0);
    }

    function test_other_fills_of_the_same_welfare_do_not_win_by_less_volume() public {
        AuctionOrder memory first = _order(provider, Backing.Capacity, 1, -100, 0, -1);
        AuctionOrder memory second = _order(provider, Backing.Capacity, 1, -100, 0, -1);
        AuctionOrder memory buys = _order(ALICE, Backing.Holdings, 1, 200, 0, 1);
        _enter(0, _list(first, second, buys));
        uint64[] memory prices = _prices(150, 0, 0);
        _post(0, prices, _groups(prices, _fills(Fill(0, 0, 1), Fill(2, 0, 1)), 16));
        prices = _prices(100, 0, 0);
        _post(0, prices, _groups(prices, _fills(Fill(1, 0, 1), Fill(2, 0, 1)), 16));
        assertEq(auction.roundOf(0).best, 1, "the first one stays");
    }

    // ---------------------------------------------------------------- settlement

    function test_buyers_pay_the_price_and_sellers_earn_it_interval_by_interval() public {
        (uint64[] memory prices, FillGroup[] memory groups) = _cleared(0);
        _settleAll(0, prices, groups);
        assertEq(_has(ALICE), MONEY - 600, "pays the price, not its limit");
        assertEq(auction.holdingOf(0, 0, ALICE), 5, "holds what it bought");
        assertEq(auction.roundOf(0).escrow, 600, "escrow");
        Obligation memory owed = auction.obligationOf(0, 0, 0);
        assertEq(owed.units, 5, "units owed");
        assertEq(owed.price, 120, "at this price");
        StreamRecord memory stream = auction.streamOf(0, 0);
        assertEq(stream.from, 1, "from the next interval");
        assertEq(stream.intervals, 7, "to the end of the season");
        _refuses(IAuction.NothingEarned.selector);
        auction.earn(0, 0);

        uint256 provided = MONEY - 8 * UNIT_DEPOSIT;
        uint256 earned;
        for (uint64 k = 1; k <= 7; ++k) {
            vm.warp(_begin(1 + k) - 1);
            _refuses(IAuction.NothingEarned.selector);
            auction.earn(0, 0);
            vm.warp(_begin(1 + k));
            uint256 due = (600 - earned) / (8 - k);
            auction.earn(0, 0);
            earned += due;
            provided += due - due * FEE_BPS / 10_000;
            assertEq(_has(provider), provided, "an interval's part");
        }
        assertEq(earned, 600, "all of it");
        auction.reclaim(0, 0);
        _refuses(IAuction.NothingToReclaim.selector);
        auction.reclaim(0, 0);
        auction.collect(0, 1);
        assertNothingLockedHere();
    }

    function test_half_of_the_fee_goes_to_the_poster_and_half_burns() public {
        (uint64[] memory prices, FillGroup[] memory groups) = _cleared(6);
        _settleAll(6, prices, groups);
        vm.warp(_begin(8));
        auction.earn(6, 0);
        assertEq(_has(POSTER), MONEY - RESULT_BOND + 3, "half of a hundredth");
        assertEq(_has(BURN), 3, "the other half");
        assertEq(_has(provider), MONEY - 8 * UNIT_DEPOSIT + 594, "the rest");
    }

    function test_a_round_decides_about_the_rest_of_the_season_of_the_next_interval() public {
        (uint64[] memory prices, FillGroup[] memory groups) = _cleared(7);
        _settleAll(7, prices, groups);
        assertEq(auction.streamOf(7, 0).intervals, 8, "a whole season");
        assertEq(auction.holdingOf(1, 0, ALICE), 5, "the second one");
        vm.warp(_begin(16) - 1);
        _refuses(IAuction.WrongSeason.selector);
        auction.reclaim(7, 0);
        vm.warp(_begin(16));
        auction.reclaim(7, 0);
        auction.earn(7, 0);
        auction.collect(7, 1);
        assertNothingLockedHere();
    }

    function test_sellers_wait_for_the_buyers_of_their_round() public {
        (uint64[] memory prices, FillGroup[] memory groups) = _cleared(0);
        _settle(0, 0, prices, groups);
        vm.warp(_begin(2));
        _refuses(IAuction.EscrowInsufficient.selector);
        auction.earn(0, 0);
        _settle(0, 1, prices, groups);
        auction.earn(0, 0);
    }

    function test_an_order_is_settled_once_as_the_result_says() public {
        (uint64[] memory prices, FillGroup[] memory groups) = _cleared(0);
        GroupProof memory proof = _proof(groups, 0);
        GroupProof[] memory around = _around(groups, 0);
        _refuses(IAuction.OrderMismatch.selector);
        auction.settle(0, 0, _at(1), prices, proof);
        _refuses(IAuction.ResultMismatch.selector);
        auction.settle(0, 0, _at(0), _prices(1, 0, 0), proof);
        _refuses(IAuction.OrderFilled.selector);
        auction.release(0, 0, _at(0), around);
        _refuses(IAuction.ResultMismatch.selector);
        auction.release(0, 0, _at(0), new GroupProof[](0));
        _settleAll(0, prices, groups);
        _refuses(IAuction.AlreadySettled.selector);
        auction.settle(0, 0, _at(0), prices, proof);
        _refuses(IAuction.AlreadySettled.selector);
        auction.release(0, 0, _at(0), around);
    }

    function test_nothing_settles_before_the_end() public {
        _market(0);
        uint64[] memory prices = _prices(120, 0, 0);
        FillGroup[] memory groups = _groups(prices, _fills(Fill(0, 0, 5), Fill(1, 0, 5)), 16);
        _post(0, prices, groups);
        vm.warp(_begin(1) - 1);
        _refuses(IAuction.WrongPhase.selector);
        _settle(0, 0, prices, groups);
        _refuses(IAuction.WrongPhase.selector);
        auction.release(0, 0, _at(0), new GroupProof[](0));
    }

    function test_a_void_round_gives_everything_back() public {
        _market(0);
        _toEnd(0);
        auction.release(0, 0, _at(0), new GroupProof[](0));
        auction.release(0, 1, _at(1), new GroupProof[](0));
        assertEq(_has(ALICE), MONEY, "the buyer's deposit");
        assertEq(_has(provider), MONEY, "the provider's deposit");
        assertNothingLockedHere();
        _refuses(IAuction.ResultUnknown.selector);
        auction.settle(
            0,
            0,
            _at(0),
            _prices(0, 0, 0),
            GroupProof({
                group: _groups(_prices(0, 0, 0), _fills(Fill(0, 0, 1), Fill(1, 0, 1)), 16)[0],
                index: 0,
                path: new bytes32[](0)
            })
        );
    }

    function test_an_order_without_fills_is_shown_by_its_neighbours() public {
        AuctionOrder[] memory all = new AuctionOrder[](7);
        for (uint256 i = 0; i < 7; ++i) {
            all[i] = i % 2 == 0
                ? _order(ALICE, Backing.Holdings, 1, 10, 0, 1)
                : i == 3 ? _order(BOB, Backing.Holdings, 2, 200, 0, 1) : _order(provider, Backing.Curve, 1, -100, 0, -1);
        }
        _enter(0, all);
        uint64[] memory prices = _prices(200, 0, 0);
        FillGroup[] memory groups = _groups(prices, _fills(Fill(1, 0, 1), Fill(3, 0, 2), Fill(5, 0, 1)), 1);
        _post(0, prices, groups);
        _toEnd(0);
        // One group too early, or only one of two.
        GroupProof[] memory wrong = new GroupProof[](1);
        wrong[0] = _proof(groups, 1);
        _refuses(IAuction.ResultMismatch.selector);
        auction.release(0, 0, all[0], wrong);
        _refuses(IAuction.ResultMismatch.selector);
        auction.release(0, 6, all[6], wrong);
        _refuses(IAuction.ResultMismatch.selector);
        auction.release(0, 4, all[4], wrong);
        wrong = new GroupProof[](2);
        (wrong[0], wrong[1]) = (_proof(groups, 0), _proof(groups, 2));
        _refuses(IAuction.ResultMismatch.selector);
        auction.release(0, 3, all[3], wrong);
        (wrong[0], wrong[1]) = (_proof(groups, 0), _proof(groups, 1));
        _refuses(IAuction.OrderFilled.selector);
        auction.release(0, 3, all[3], wrong);
        _refuses(IAuction.OrderFilled.selector);
        auction.release(0, 1, all[1], wrong);
        _refuses(IAuction.OrderFilled.selector);
        auction.release(0, 4, all[4], wrong);
        _settleAll(0, prices, groups);
        assertEq(_has(ALICE), MONEY, "the buyer that got nothing pays nothing");
        assertEq(_has(BOB), MONEY - 400, "the other one pays");
    }

    function test_what_is_held_can_be_sold_on() public {
        (uint64[] memory prices, FillGroup[] memory groups) = _cleared(0);
        _settleAll(0, prices, groups);
        // Alice sells 2 of its 5, and offers 4.
        AuctionOrder memory sells = _order(ALICE, Backing.Holdings, 4, -110, 0, -1);
        AuctionOrder memory buys = _order(BOB, Backing.Holdings, 2, 150, 0, 1);
        _toCommit(1);
        _enter(1, _list(sells, buys));
        assertEq(auction.holdingOf(0, 0, ALICE), 1, "four are set aside");
        prices = _prices(130, 0, 0);
        groups = _groups(prices, _fills(Fill(0, 0, 2), Fill(1, 0, 2)), 16);
        _post(1, prices, groups);
        _toEnd(1);
        _settleAll(1, prices, groups);
        assertEq(auction.holdingOf(0, 0, ALICE), 3, "two are back");
        assertEq(auction.holdingOf(0, 0, BOB), 2, "two are Bob's");
        vm.warp(_begin(8));
        auction.earn(1, 0);
        auction.earn(0, 0);
        auction.reclaim(0, 0);
        auction.collect(0, 1);
        auction.collect(1, 1);
        assertEq(_has(ALICE), MONEY - 600 + 260 - 2, "earns what Bob pays, less the fee");
        assertNothingLockedHere();
    }

    function test_a_trader_buys_here_and_sells_there_in_one_bundle() public {
        // Two units of pool 0 from new capacity of its own against one of pool 1.
        AuctionOrder memory trades = _order(BOB, Backing.Capacity, 3, 0, 0, -2);
        trades.alternatives[0] = _two(-20, Entry(0, -2), Entry(1, 1));
        AuctionOrder memory sells = _order(provider, Backing.Capacity, 3, -50, 1, -1);
        AuctionOrder memory buys = _order(ALICE, Backing.Holdings, 6, 60, 0, 1);
        _enter(0, _list(trades, sells, buys));
        uint64[] memory prices = _prices(40, 50, 0);
        FillGroup[] memory groups = _groups(prices, _fills(Fill(0, 0, 3), Fill(1, 0, 3), Fill(2, 0, 6)), 2);
        _post(0, prices, groups);
        _toEnd(0);
        _settleAll(0, prices, groups);
        assertEq(auction.streamOf(0, 0).left, 90, "the trader earns the difference");
        assertEq(auction.obligationOf(0, 0, 0).units, 6, "owes what it sold");
        assertEq(auction.holdingOf(0, 1, BOB), 3, "holds what it bought");
        vm.warp(_begin(8));
        for (uint16 i = 0; i < 2; ++i) {
            auction.earn(0, i);
            auction.reclaim(0, i);
        }
        auction.collect(0, 1);
        assertNothingLockedHere();
    }

    function test_new_capacity_that_sold_nothing_leaves_no_deposit_behind() public {
        AuctionOrder memory sells = _order(provider, Backing.Capacity, 1, -100, 0, -1);
        AuctionOrder memory either = _with(_order(BOB, Backing.Capacity, 1, -1000, 1, -1), _alternative(200, 0, 1));
        _enter(0, _list(sells, either));
        uint64[] memory prices = _prices(150, 0, 0);
        FillGroup[] memory groups = _groups(prices, _fills(Fill(0, 0, 1), Fill(1, 1, 1)), 16);
        _post(0, prices, groups);
        _toEnd(0);
        _settleAll(0, prices, groups);
        assertEq(_has(BOB), MONEY - 150, "it only bought");
        assertEq(auction.holdingOf(0, 0, BOB), 1, "and holds that");
    }

    function test_where_the_price_is_zero_more_may_be_sold_than_bought() public {
        AuctionOrder memory sells = _order(provider, Backing.Capacity, 3, 0, 0, -1);
        AuctionOrder memory buys = _order(ALICE, Backing.Holdings, 2, 60, 0, 1);
        _enter(0, _list(sells, buys));
        uint64[] memory prices = _prices(0, 0, 0);
        FillGroup[] memory groups = _groups(prices, _fills(Fill(0, 0, 3), Fill(1, 0, 2)), 2);
        _post(0, prices, groups);
        _refuses(IAuction.ResultHolds.selector);
        _disprove(0, 1, prices, groups, 0);
        _toEnd(0);
        _settleAll(0, prices, groups);
        assertEq(_has(ALICE), MONEY, "free");
        assertEq(auction.holdingOf(0, 0, ALICE), 2, "and held");
    }

    function test_a_false_result_that_nobody_disproved_takes_nothing_beyond_an_order_from_anybody() public {
        (uint64[] memory prices, FillGroup[] memory groups) = _cleared(0);
        _settleAll(0, prices, groups);
        // Bob buys at twice its limit, and the provider sells units that nobody pays for.
        AuctionOrder memory sells = _order(provider, Backing.Curve, 8, -100, 0, -1);
        AuctionOrder memory buys = _order(BOB, Backing.Holdings, 2, 150, 0, 1);
        _enter(1, _list(sells, buys));
        prices = _prices(300, 0, 0);
        groups = _groups(prices, _fills(Fill(0, 0, 8), Fill(1, 0, 2)), 16);
        groups[0].surplus[0] = 0;
        _post(1, prices, groups);
        _toEnd(1);
        _settleAll(1, prices, groups);
        assertEq(_has(BOB), MONEY, "Bob said 150");
        vm.warp(_begin(8));
        // There is no money in the round, and never will be.
        auction.earn(1, 0);
        assertEq(auction.streamOf(1, 0).left, 0, "nothing to wait for");
        auction.earn(0, 0);
        auction.reclaim(0, 0);
        auction.reclaim(1, 0);
        auction.collect(0, 1);
        auction.collect(1, 1);
        assertNothingLockedHere();
    }

    /// @dev Alice and Bob pay for five and ten units of which nobody sold any; `sold` of the provider's
    /// are paid for.
    function _false(uint32 sold) private returns (uint64[] memory prices, FillGroup[] memory groups) {
        AuctionOrder memory sells = _order(provider, Backing.Capacity, 9, 0, 0, -1);
        AuctionOrder memory alice = _order(ALICE, Backing.Holdings, 5, 400, 0, 1);
        AuctionOrder memory bob = _order(BOB, Backing.Holdings, 10, 400, 0, 1);
        _enter(0, _list(sells, alice, bob));
        prices = _prices(400, 0, 0);
        groups = _groups(prices, _fills(Fill(0, 0, sold), Fill(1, 0, 5), Fill(2, 0, 10)), 16);
        groups[0].surplus[0] = 0;
        _post(0, prices, groups);
        _toEnd(0);
    }

    function test_what_a_false_result_leaves_in_escrow_goes_back_to_who_paid_it() public {
        (uint64[] memory prices, FillGroup[] memory groups) = _false(3);
        AuctionOrder memory alice = _at(1);
        GroupProof memory shown = _proof(groups, 0);
        _settle(0, 0, prices, groups);
        _settle(0, 1, prices, groups);
        _refuses(IAuction.WrongSeason.selector);
        auction.refund(0, 1, alice, prices, shown);
        vm.warp(_begin(8));
        _refuses(IAuction.RoundOpen.selector);
        auction.refund(0, 1, alice, prices, shown);
        _settle(0, 2, prices, groups);
        _refuses(IAuction.RoundOpen.selector);
        auction.refund(0, 1, alice, prices, shown);
        auction.earn(0, 0);
        assertEq(auction.roundOf(0).escrow, 15 * 400 - 3 * 400, "of what was paid the provider earned this");
        _refuses(IAuction.OrderMismatch.selector);
        auction.refund(0, 2, alice, prices, shown);
        _refuses(IAuction.NothingToReclaim.selector);
        auction.refund(0, 0, _at(0), prices, shown);
        vm.prank(ANYBODY);
        auction.refund(0, 1, alice, prices, shown);
        assertEq(_has(ALICE), MONEY - 5 * 400 + 5 * 320, "four fifths of what Alice paid");
        _refuses(IAuction.NothingToReclaim.selector);
        auction.refund(0, 1, alice, prices, shown);
        auction.refund(0, 2, _at(2), prices, shown);
        assertEq(_has(BOB), MONEY - 10 * 400 + 10 * 320, "of what Bob paid as much");
        auction.reclaim(0, 0);
        auction.collect(0, 1);
        assertNothingLockedHere();
    }

    function test_nobody_is_refunded_by_another_group_than_it_paid_by() public {
        AuctionOrder memory sells = _order(provider, Backing.Capacity, 9, 0, 0, -1);
        AuctionOrder memory alice = _order(ALICE, Backing.Holdings, 9, 400, 0, 1);
        AuctionOrder memory bob = _order(BOB, Backing.Holdings, 9, 400, 0, 1);
        _enter(0, _list(sells, alice, bob));
        uint64[] memory prices = _prices(400, 0, 0);
        // Alice is in both groups.
        Fill[] memory fills = _fills(Fill(1, 0, 1), Fill(1, 0, 8), Fill(2, 0, 9));
        FillGroup[] memory groups = new FillGroup[](2);
        groups[0] = _groupOf(prices, fills, 0, 1, _noGroup(POOLS));
        groups[1] = _groupOf(prices, fills, 1, 3, groups[0]);
        groups[1].surplus[0] = 0;
        _post(0, prices, groups);
        _toEnd(0);
        auction.settle(0, 1, alice, prices, _proof(groups, 0));
        auction.settle(0, 2, bob, prices, _proof(groups, 1));
        vm.warp(_begin(8));
        auction.release(0, 0, sells, new GroupProof[](0));
        GroupProof memory other = _proof(groups, 1);
        _refuses(IAuction.ResultMismatch.selector);
        auction.refund(0, 1, alice, prices, other);
        auction.refund(0, 1, alice, prices, _proof(groups, 0));
        auction.refund(0, 2, bob, prices, other);
        assertEq(_has(ALICE), MONEY, "all that Alice paid");
        assertEq(_has(BOB), MONEY, "all that Bob paid");
    }

    function test_an_order_that_nobody_settled_in_its_season_can_be_released() public {
        (uint64[] memory prices, FillGroup[] memory groups) = _false(3);
        _settle(0, 0, prices, groups);
        _settle(0, 1, prices, groups);
        vm.warp(_begin(8) - 1);
        _refuses(IAuction.ResultMismatch.selector);
        auction.release(0, 2, _at(2), new GroupProof[](0));
        vm.warp(_begin(8));
        auction.release(0, 2, _at(2), new GroupProof[](0));
        assertEq(_has(BOB), MONEY, "Bob paid nothing");
        auction.earn(0, 0);
        auction.refund(0, 1, _at(1), prices, _proof(groups, 0));
        _refuses(IAuction.NothingToReclaim.selector);
        auction.refund(0, 2, _at(2), prices, _proof(groups, 0));
        assertEq(_has(ALICE), MONEY - 3 * 400, "what the provider earned");
        auction.reclaim(0, 0);
        auction.collect(0, 1);
        assertNothingLockedHere();
    }

    function test_nobody_buys_more_lots_than_it_said_though_nobody_disproved_it() public {
        AuctionOrder memory sells = _order(provider, Backing.Capacity, 9, -100, 0, -1);
        AuctionOrder memory buys = _order(ALICE, Backing.Holdings, 2, 200, 0, 1);
        _enter(0, _list(sells, buys));
        uint64[] memory prices = _prices(100, 0, 0);
        FillGroup[] memory groups = _groups(prices, _fills(Fill(0, 0, 3), Fill(1, 0, 3)), 16);
        _post(0, prices, groups);
        _toEnd(0);
        _settleAll(0, prices, groups);
        assertEq(_has(ALICE), MONEY, "nothing is paid");
        assertEq(auction.holdingOf(0, 0, ALICE), 0, "nothing is held");
    }

    // ---------------------------------------------------------------- the rest

    function test_money_comes_and_goes() public {
        vm.prank(ALICE);
        auction.withdraw(MONEY);
        assertEq(token.balanceOf(ALICE), MONEY, "withdrawn");
        _refuses(IAuction.BalanceInsufficient.selector);
        vm.prank(ALICE);
        auction.withdraw(1);
        _refuses(IAuction.AmountZero.selector);
        auction.withdraw(0);
        _refuses(IAuction.AmountZero.selector);
        auction.deposit(0);
    }

    function test_several_calls_in_one_transaction() public {
        AuctionOrder memory order = _order(ALICE, Backing.Holdings, 5, 200, 0, 1);
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(IAuction.withdraw, (1));
        calls[1] = abi.encodeCall(IAuction.commit, (0, _commitment(0, order), 1000));
        vm.prank(ALICE);
        auction.multicall(calls);
        assertEq(_has(ALICE), MONEY - 1001, "both");
    }

    function test_what_a_deployment_fixes_is_checked_and_shown() public {
        AuctionParameters memory p = auction.parameters();
        assertEq(keccak256(abi.encode(p)), keccak256(abi.encode(auctionParameters())), "parameters");
        assertEq(keccak256(abi.encode(auction.pools())), keccak256(abi.encode(auctionPools())), "pools");
        Pool[] memory pools = auctionPools();
        for (uint256 i = 0; i < 15; ++i) {
            p = auctionParameters();
            pools = auctionPools();
            if (i == 0) p.market = address(1);
            else if (i == 1) p.token = address(0);
            else if (i == 2) p.intervals = 0;
            else if (i == 3) p.intervals = 1025;
            else if (i == 4) p.postS = INTERVAL - COMMIT - REVEAL;
            else if (i == 5) p.commitS = 0;
            else if (i == 6) p.feeBps = 10_001;
            else if (i == 7) p.drawFeeBps = 10_001;
            else if (i == 8) p.depositMin = 0;
            else if (i == 9) pools = new Pool[](33);
            else if (i == 10) pools[0].unitDeposit = 1 << 80;
            else if (i == 11) p.revealS = 0;
            else if (i == 12) p.resultBond = 0;
            else if (i == 13) p.drawS = 9;
            // One second less to dispute the last result than to post it.
            else if (i == 14) p.commitS += 1;
            assertEq(_created(p, pools), address(0), "refused");
        }
        assertTrue(_created(auctionParameters(), new Pool[](32)) != address(0), "32 pools");
    }

    function test_phases_follow_each_other() public {
        Phase[6] memory phases = [Phase.Ahead, Phase.Commit, Phase.Reveal, Phase.Post, Phase.Dispute, Phase.Final];
        uint256 begin = _begin(3);
        uint256[6] memory from = [
            begin - 1, begin, begin + COMMIT, begin + COMMIT + REVEAL, begin + COMMIT + REVEAL + POST, begin + INTERVAL
        ];
        for (uint256 i = 0; i < 6; ++i) {
            vm.warp(from[i]);
            assertEq(uint256(auction.phaseOf(3)), uint256(phases[i]), "phase");
            if (i < 2) continue;
            vm.warp(from[i] - 1);
            assertEq(uint256(auction.phaseOf(3)), uint256(phases[i - 1]), "phase before");
        }
        assertEq(auction.currentRound(), 3, "round");
        vm.warp(START - 1);
        assertEq(auction.currentRound(), 0, "before the start");
        assertEq(uint256(auction.phaseOf(0)), uint256(Phase.Ahead), "before the start");
    }
}
