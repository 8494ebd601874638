// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IClaims} from "../src/interfaces/IClaims.sol";
import {IDeals} from "../src/interfaces/IDeals.sol";
import {Hashing} from "../src/market/Hashing.sol";
import {Merkle} from "../src/market/Merkle.sol";
import {ClaimCall, DealState, DealStatus, OpenCall} from "../src/types/Calls.sol";
import {Bid, Claim, Deal} from "../src/types/Orders.sol";
import {MarketTest} from "./base/MarketTest.sol";
import {Vm} from "./base/Vm.sol";

contract ClaimsTest is MarketTest {
    /// @dev The definition, as slowly as it reads: a tree of 2^depth leaves.
    function _root(Deal memory deal, uint256 cycles) private pure returns (bytes32) {
        uint256 size = 1;
        while (size < deal.taskCount) size *= 2;
        bytes32[] memory nodes = new bytes32[](size);
        for (uint256 i = 0; i < size; ++i) {
            uint256 task = deal.firstTask + i;
            nodes[i] = i < deal.taskCount
                ? keccak256(abi.encode(keccak256("outcry.halted.v1"), deal.jobHash, task, cycles + task, _inner(task)))
                : keccak256(new bytes(128));
        }
        for (; size > 1; size /= 2) {
            for (uint256 i = 0; i < size / 2; ++i) {
                nodes[i] = keccak256(abi.encode(nodes[2 * i], nodes[2 * i + 1]));
            }
        }
        return nodes[0];
    }

    function test_a_claim_is_computed_from_its_calldata_and_logged() public {
        Deal memory deal = _open(5);
        bytes memory tasks = _tasks(deal, 1e12);
        vm.recordLogs();
        vm.prank(provider);
        Claim memory made = market.claim(deal, tasks);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(made.resultRoot, _root(deal, 1e12), "result root");
        assertEq(made.cycles, 5e12 + 10, "cycles");
        uint256 price;
        for (uint256 i = 0; i < 5; ++i) {
            price += 10_000 + ((1e12 + i) * 769e9 + 1e18 - 1) / 1e18;
        }
        assertEq(made.price, price, "price");

        assertEq(logs.length, 1, "one event");
        assertEq(logs[0].topics[0], IClaims.DealClaimed.selector, "DealClaimed");
        (Claim memory logged, bytes memory loggedTasks) = abi.decode(logs[0].data, (Claim, bytes));
        assertEq(keccak256(abi.encode(logged)), keccak256(abi.encode(made)), "the claim");
        assertEq(keccak256(loggedTasks), keccak256(tasks), "the tasks");

        DealState memory state = market.dealState(deal);
        assertEq(uint256(state.status), uint256(DealStatus.Claimed), "status");
        assertEq(state.clock, block.timestamp, "the window's start");
        bytes32 claimHash = Hashing.claimOf(market.hashDeal(deal), made);
        assertEq(state.binding, uint192(uint256(claimHash)), "the claim's hash");
        assertEq(market.openSlots(provider, deal.capacityId), 0, "the slot is free again");
    }

    function test_ranges_of_any_size_have_the_roots_of_their_definition() public {
        OpenCall memory call = _call(_bid(60), _offer(), 1);
        for (uint32 count = 1; count <= 9; ++count) {
            call.count = count;
            Deal memory deal = _open(call);
            assertEq(_claim(deal).resultRoot, _root(deal, 1e12), "result root");
        }
    }

    function test_the_price_cap_bounds_every_task() public {
        Bid memory bid = _bid(2);
        bid.priceCap = 800_000;
        bid.cyclesExpected = 1;
        Deal memory deal = _open(_call(bid, _offer(), 2));
        bytes memory tasks =
            abi.encodePacked(uint48(CYCLE_LIMIT), _inner(0), uint48(0), _inner(1));
        vm.prank(provider);
        assertEq(market.claim(deal, tasks).price, 800_000 + 10_000, "price");
    }

    function test_a_claim_is_valid_at_its_deadline_and_not_a_second_later() public {
        Deal memory deal = _open(1);
        bytes memory tasks = _tasks(deal, 1);
        vm.warp(deal.deadline + 1);
        vm.prank(provider);
        vm.expectRevert(IClaims.DeadlinePassed.selector);
        market.claim(deal, tasks);
        vm.warp(deal.deadline);
        vm.prank(provider);
        market.claim(deal, tasks);
    }

    function test_a_task_claims_at_most_the_jobs_cycle_limit() public {
        Deal memory deal = _open(2);
        bytes memory tasks = abi.encodePacked(uint48(1), _inner(0), uint48(CYCLE_LIMIT + 1), _inner(1));
        vm.prank(provider);
        vm.expectRevert(IClaims.CyclesAboveLimit.selector);
        market.claim(deal, tasks);
    }

    function test_a_claim_has_38_bytes_for_each_task() public {
        Deal memory deal = _open(2);
        bytes memory tasks = _tasks(deal, 1);
        bytes[3] memory wrong = [bytes(""), bytes.concat(tasks, hex"00"), bytes.concat(tasks, tasks)];
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(provider);
            vm.expectRevert(IClaims.ClaimLengthMismatch.selector);
            market.claim(deal, wrong[i]);
        }
    }

    function test_only_the_provider_claims_and_only_once() public {
        Deal memory deal = _open(1);
        bytes memory tasks = _tasks(deal, 1);
        vm.prank(buyer);
        vm.expectRevert(IClaims.NotProvider.selector);
        market.claim(deal, tasks);
        vm.startPrank(provider);
        market.claim(deal, tasks);
        vm.expectRevert(IDeals.DealNotOpen.selector);
        market.claim(deal, tasks);
    }

    function test_somebody_else_sends_a_claim_with_the_providers_signature_and_gets_its_tip() public {
        Deal memory deal = _open(2);
        bytes memory tasks = _tasks(deal, 1e12);
        Claim memory made = Claim(_root(deal, 1e12), 2e12 + 1, 0);
        made.price = uint128(10_000 * 2 + 769_000 + (uint256(1e12 + 1) * 769e9 + 1e18 - 1) / 1e18);
        bytes32 dealId = market.hashDeal(deal);
        bytes32 digest = _digest(Hashing.relayStruct(dealId, Hashing.claimOf(dealId, made)));
        uint256 before = _free(provider);

        bytes memory wrong = _signature(BUYER_KEY, digest);
        vm.expectRevert(IClaims.RelaySignatureInvalid.selector);
        market.claimFor(deal, tasks, wrong);

        bytes memory signature = _signature(PROVIDER_KEY, digest);
        vm.prank(ANYBODY);
        market.claimFor(deal, tasks, signature);
        assertStatus(deal, DealStatus.Claimed);
        assertEq(_free(ANYBODY), TIP + TIP / 2, "the opening's tip and this one");
        assertEq(_free(provider), before - TIP / 2, "out of the provider's balance");
    }

    function test_a_relayed_claims_tip_is_no_more_than_the_providers_free_balance() public {
        Deal memory deal = _open(1);
        uint256 left = _free(provider);
        vm.prank(provider);
        market.requestWithdrawal(address(token), left - 3);
        bytes memory tasks = _tasks(deal, 1);
        bytes32 dealId = market.hashDeal(deal);
        Claim memory made = Claim(_root(deal, 1), 1, 10_001);
        bytes memory signature =
            _signature(PROVIDER_KEY, _digest(Hashing.relayStruct(dealId, Hashing.claimOf(dealId, made))));
        vm.prank(ANYBODY);
        market.claimFor(deal, tasks, signature);
        assertEq(_free(provider), 0, "all there was");
        assertEq(_free(ANYBODY), TIP + 3, "tip");
    }

    function test_a_batch_claims_what_it_can() public {
        OpenCall memory call = _call(_bid(9), _offer(), 3);
        Deal memory first = _open(call);
        Deal memory second = _open(call);
        ClaimCall[] memory calls = new ClaimCall[](3);
        calls[0] = ClaimCall(first, "");
        calls[1] = ClaimCall(second, _tasks(second, 7));
        calls[2] = ClaimCall(first, _tasks(first, 7));
        vm.recordLogs();
        vm.prank(provider);
        market.claimMany(calls);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs[0].topics[0], IClaims.ClaimSkipped.selector, "the first is skipped");
        assertEq(bytes32(logs[0].data), bytes32(IClaims.ClaimLengthMismatch.selector), "with its reason");
        assertStatus(first, DealStatus.Claimed);
        assertStatus(second, DealStatus.Claimed);
        (Claim memory a,) = abi.decode(logs[1].data, (Claim, bytes));
        (Claim memory b,) = abi.decode(logs[2].data, (Claim, bytes));
        assertEq(a.resultRoot, _root(second, 7), "second deal's root");
        assertEq(b.resultRoot, _root(first, 7), "first deal's root");
    }

    function test_the_largest_claim_fits() public {
        Bid memory bid = _bid(2048);
        bid.executionTimeout = 5_000_000;
        Deal memory deal = _open(_call(bid, _offer(), 2048));
        bytes memory tasks = new bytes(2048 * 38);
        vm.prank(provider);
        Claim memory made = market.claim(deal, tasks);
        assertEq(made.price, 2048 * 10_000, "price");
        assertEq(Merkle.depth(2048), 11, "depth");
    }
}
