// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAccounts} from "../src/interfaces/IAccounts.sol";
import {IDeals} from "../src/interfaces/IDeals.sol";
import {IDemands} from "../src/interfaces/IDemands.sol";
import {ISettling} from "../src/interfaces/ISettling.sol";
import {Hashing} from "../src/market/Hashing.sol";
import {DealState, DealStatus, LeafAnswer, LeafIndex, TaskOpening} from "../src/types/Calls.sol";
import {Bid, Claim, Deal, JobSpec} from "../src/types/Orders.sol";
import {MarketTest} from "./base/MarketTest.sol";
import {Vm} from "./base/Vm.sol";

/// @dev "Output withheld: demand on chain; the provider reveals or is slashed." The job's outputs
/// have 1000 bytes: 8 leaves, depth 3.
contract DemandsTest is MarketTest {
    uint256 private constant LEAVES = 8;
    uint64 private constant OUTPUT_LENGTH = 1000;

    Deal private deal;
    Claim private made;

    function setUp() public override {
        super.setUp();
        deal = _open(3);
        bytes memory tasks;
        for (uint256 task = 0; task < 3; ++task) {
            tasks = bytes.concat(tasks, abi.encodePacked(uint48(5e11), _resultOf(task)));
        }
        vm.prank(provider);
        made = market.claim(deal, tasks);
    }

    function _leaf(uint256 task, uint256 leaf) private pure returns (bytes32[4] memory data) {
        for (uint256 word = 0; word < 4; ++word) {
            data[word] = keccak256(abi.encode(task, leaf, word));
        }
    }

    function _leafHashes(uint256 task) private pure returns (bytes32[] memory hashes) {
        hashes = new bytes32[](LEAVES);
        for (uint256 leaf = 0; leaf < LEAVES; ++leaf) {
            hashes[leaf] = keccak256(abi.encode(_leaf(task, leaf)));
        }
    }

    function _resultOf(uint256 task) private pure returns (bytes32) {
        (bytes32 root,) = _tree(_leafHashes(task), 0);
        return Hashing.inner(0, task, root, OUTPUT_LENGTH);
    }

    /// @dev The root over 2^n hashes, and the path of one of them.
    function _tree(bytes32[] memory hashes, uint256 index) private pure returns (bytes32, bytes32[] memory path) {
        uint256 size = hashes.length;
        uint256 depth;
        while (1 << depth < size) ++depth;
        path = new bytes32[](depth);
        for (uint256 level = 0; size > 1; ++level) {
            path[level] = hashes[index ^ 1];
            index >>= 1;
            size /= 2;
            for (uint256 i = 0; i < size; ++i) {
                hashes[i] = keccak256(abi.encode(hashes[2 * i], hashes[2 * i + 1]));
            }
        }
        return (hashes[0], path);
    }

    function _opening(uint32 task) private view returns (TaskOpening memory opening) {
        bytes32[] memory halted = new bytes32[](4);
        for (uint256 i = 0; i < 3; ++i) {
            halted[i] = Hashing.halted(deal.jobHash, i, 5e11, _resultOf(i));
        }
        halted[3] = keccak256(new bytes(128));
        (bytes32 root,) = _tree(_leafHashes(task), 0);
        (, bytes32[] memory path) = _tree(halted, task);
        return TaskOpening(task, 5e11, 0, task, root, OUTPUT_LENGTH, path);
    }

    function _answer(uint32 task, uint64 leaf) private view returns (LeafAnswer memory) {
        (, bytes32[] memory path) = _tree(_leafHashes(task), leaf);
        return LeafAnswer(_opening(task), leaf, _leaf(task, leaf), path);
    }

    function _leaves() private pure returns (LeafIndex[] memory leaves) {
        leaves = new LeafIndex[](3);
        leaves[0] = LeafIndex(2, 7);
        leaves[1] = LeafIndex(0, 1);
        leaves[2] = LeafIndex(2, 0);
    }

    function _answers() private view returns (LeafAnswer[] memory answers) {
        LeafIndex[] memory leaves = _leaves();
        answers = new LeafAnswer[](leaves.length);
        for (uint256 i = 0; i < leaves.length; ++i) {
            answers[i] = _answer(leaves[i].task, leaves[i].leaf);
        }
    }

    function _demand() private {
        vm.prank(buyer);
        market.demandOutput(deal, made, _job(3), _leaves());
    }

    function _receipt(uint32 task, bytes32 outputRoot) private view returns (bytes memory) {
        return _signature(BUYER_KEY, _digest(Hashing.receiptStruct(market.hashDeal(deal), task, outputRoot)));
    }

    // ---------------------------------------------------------------- demand

    function test_a_demand_locks_the_bond_and_stops_the_finalisation() public {
        vm.recordLogs();
        _demand();
        assertEq(_coins(buyer), COINS - BOND, "bond");
        DealState memory state = market.dealState(deal);
        assertTrue(state.demanded && state.demandUsed, "flags");
        (bytes32 commitment, uint64 deadline, uint8 depth) = market.demandOf(market.hashDeal(deal));
        assertEq(commitment, keccak256(abi.encode(_leaves())), "commitment");
        assertEq(deadline, block.timestamp + DEMAND, "deadline");
        assertEq(depth, 3, "depth");
        (LeafIndex[] memory logged,) = abi.decode(vm.getRecordedLogs()[0].data, (LeafIndex[], uint64));
        assertEq(logged.length, 3, "logged leaves");
        vm.warp(block.timestamp + WINDOW + 1);
        vm.expectRevert(ISettling.DemandOpen.selector);
        market.finalise(deal, made);
    }

    function test_only_the_buyer_demands_within_the_window_and_once() public {
        vm.prank(provider);
        vm.expectRevert(IDemands.NotBuyer.selector);
        market.demandOutput(deal, made, _job(3), _leaves());
        // Claimed in the second in which it was opened.
        uint256 claimedAt = deal.openedAt;
        vm.warp(claimedAt + WINDOW + 1);
        vm.prank(buyer);
        vm.expectRevert(IDeals.ChallengeWindowOver.selector);
        market.demandOutput(deal, made, _job(3), _leaves());
        vm.warp(claimedAt + WINDOW);
        _demand();
        vm.prank(buyer);
        vm.expectRevert(IDemands.DemandAlreadyMade.selector);
        market.demandOutput(deal, made, _job(3), _leaves());
        market.answerDemand(deal, made, _answers());
        vm.prank(buyer);
        vm.expectRevert(IDemands.DemandAlreadyMade.selector);
        market.demandOutput(deal, made, _job(3), _leaves());
    }

    function test_an_accepted_deal_has_nothing_to_demand() public {
        market.accept(deal, made, _acceptSignature(deal, made));
        vm.prank(buyer);
        vm.expectRevert(IDeals.AlreadyAccepted.selector);
        market.demandOutput(deal, made, _job(3), _leaves());
    }

    function test_between_1_and_64_leaves_that_exist_are_demanded_of_the_right_job() public {
        vm.startPrank(buyer);
        vm.expectRevert(IDemands.LeavesOutOfRange.selector);
        market.demandOutput(deal, made, _job(3), new LeafIndex[](0));
        vm.expectRevert(IDemands.LeavesOutOfRange.selector);
        market.demandOutput(deal, made, _job(3), new LeafIndex[](65));
        LeafIndex[] memory one = new LeafIndex[](1);
        one[0] = LeafIndex(3, 0);
        vm.expectRevert(IDemands.LeafOutOfRange.selector);
        market.demandOutput(deal, made, _job(3), one);
        one[0] = LeafIndex(0, 8);
        vm.expectRevert(IDemands.LeafOutOfRange.selector);
        market.demandOutput(deal, made, _job(3), one);
        JobSpec memory other = _job(3);
        other.outputLimit = 1 << 30;
        vm.expectRevert(IDeals.JobMismatch.selector);
        market.demandOutput(deal, made, other, one);
        market.demandOutput(deal, made, _job(3), new LeafIndex[](64));
    }

    function test_a_buyer_without_the_bond_demands_nothing() public {
        vm.startPrank(buyer);
        market.requestWithdrawal(NATIVE, COINS - BOND + 1);
        vm.expectRevert(IAccounts.BalanceInsufficient.selector);
        market.demandOutput(deal, made, _job(3), _leaves());
    }

    // ---------------------------------------------------------------- answer

    function test_the_revealed_leaves_are_logged_the_bond_returns_and_the_window_starts_again() public {
        _demand();
        vm.warp(block.timestamp + DEMAND);
        vm.recordLogs();
        vm.prank(ANYBODY);
        market.answerDemand(deal, made, _answers());
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(logs.length, 4, "three leaves and the end");
        assertEq(logs[0].topics[0], IDemands.LeafRevealed.selector, "LeafRevealed");
        assertEq(uint256(logs[0].topics[2]), 2, "task");
        assertEq(uint256(logs[0].topics[3]), 7, "leaf");
        assertEq(keccak256(logs[0].data), keccak256(abi.encode(_leaf(2, 7))), "data");
        assertEq(_coins(buyer), COINS, "bond");
        assertEq(market.dealState(deal).clock, block.timestamp, "the window starts again");

        vm.warp(block.timestamp + WINDOW);
        vm.expectRevert(ISettling.ChallengeWindowOpen.selector);
        market.finalise(deal, made);
        vm.warp(block.timestamp + 1);
        vm.prank(provider);
        market.finalise(deal, made);
        assertEq(_free(provider), FUNDS + made.price, "paid");
        assertNothingLocked();
    }

    function test_an_answer_after_its_deadline_comes_too_late() public {
        _demand();
        LeafAnswer[] memory answers = _answers();
        vm.warp(block.timestamp + DEMAND + 1);
        vm.expectRevert(IDemands.DemandWindowOver.selector);
        market.answerDemand(deal, made, answers);
    }

    function test_an_answer_without_a_demand_is_refused() public {
        LeafAnswer[] memory answers = _answers();
        vm.expectRevert(IDemands.NoDemandOpen.selector);
        market.answerDemand(deal, made, answers);
    }

    function test_an_answer_reveals_the_demanded_leaves_and_no_others() public {
        _demand();
        LeafAnswer[] memory answers = _answers();
        (answers[0], answers[1]) = (answers[1], answers[0]);
        vm.expectRevert(IDemands.LeavesMismatch.selector);
        market.answerDemand(deal, made, answers);
        answers = new LeafAnswer[](1);
        answers[0] = _answer(2, 7);
        vm.expectRevert(IDemands.LeavesMismatch.selector);
        market.answerDemand(deal, made, answers);
    }

    function test_false_data_false_paths_and_false_openings_are_refused() public {
        _demand();
        LeafAnswer[] memory answers = _answers();
        answers[0].data[2] = 0;
        vm.expectRevert(IDemands.LeafInvalid.selector);
        market.answerDemand(deal, made, answers);

        answers = _answers();
        answers[1].path[1] = 0;
        vm.expectRevert(IDemands.LeafInvalid.selector);
        market.answerDemand(deal, made, answers);

        answers = _answers();
        answers[0].leaf = 7 + 8;
        vm.expectRevert(IDemands.LeavesMismatch.selector);
        market.answerDemand(deal, made, answers);

        answers = _answers();
        answers[2].opening.cycles += 1;
        vm.expectRevert(IDemands.OpeningInvalid.selector);
        market.answerDemand(deal, made, answers);

        answers = _answers();
        answers[2].opening.path = new bytes32[](1);
        vm.expectRevert(IDemands.OpeningInvalid.selector);
        market.answerDemand(deal, made, answers);

        answers = _answers();
        answers[2].opening.task = 3;
        vm.expectRevert(IDemands.OpeningInvalid.selector);
        market.answerDemand(deal, made, answers);
    }

    function test_a_tree_of_another_depth_than_the_jobs_reveals_nothing() public {
        // One leaf is its own root in a tree of depth 0; the job's outputs have depth 3.
        Bid memory bid = _bid(1);
        bid.salt = 50;
        Deal memory flat = _open(_call(bid, _offer(), 1));
        bytes32 root = keccak256(abi.encode(_leaf(0, 0)));
        vm.prank(provider);
        Claim memory claimed = market.claim(flat, abi.encodePacked(uint48(5), Hashing.inner(0, 0, root, 128)));
        vm.prank(buyer);
        market.demandOutput(flat, claimed, _job(1), new LeafIndex[](1));
        LeafAnswer[] memory answers = new LeafAnswer[](1);
        bytes32[] memory none = new bytes32[](0);
        answers[0] = LeafAnswer(TaskOpening(0, 5, 0, 0, root, 128, none), 0, _leaf(0, 0), none);
        vm.expectRevert(IDemands.LeafInvalid.selector);
        market.answerDemand(flat, claimed, answers);
    }

    function test_sixty_four_leaves_are_answered_in_one_transaction() public {
        LeafIndex[] memory leaves = new LeafIndex[](64);
        LeafAnswer[] memory answers = new LeafAnswer[](64);
        for (uint32 i = 0; i < 64; ++i) {
            leaves[i] = LeafIndex(i % 3, i % 8);
            answers[i] = _answer(i % 3, i % 8);
        }
        vm.prank(buyer);
        market.demandOutput(deal, made, _job(3), leaves);
        uint256 gas_ = gasleft();
        market.answerDemand(deal, made, answers);
        assertAtMost(gas_ - gasleft(), 1 << 23, "execution gas");
    }

    // ---------------------------------------------------------------- receipts

    function test_a_receipt_answers_for_its_task_and_wins_the_bond() public {
        _demand();
        bytes memory receipt = _receipt(2, _opening(2).outputRoot);
        TaskOpening memory opening = _opening(2);
        vm.prank(ANYBODY);
        market.answerDemandWithReceipt(deal, made, _leaves(), opening, receipt);
        assertEq(_coins(provider), COINS - FLOOR + BOND, "the buyer's bond");
        assertTrue(market.dealState(deal).demanded, "task 0 is still demanded");

        LeafIndex[] memory rest = new LeafIndex[](1);
        rest[0] = LeafIndex(0, 1);
        receipt = _receipt(0, _opening(0).outputRoot);
        opening = _opening(0);
        market.answerDemandWithReceipt(deal, made, rest, opening, receipt);
        assertTrue(!market.dealState(deal).demanded, "answered");
        assertEq(_coins(provider), COINS - FLOOR + BOND, "the bond is won once");
        assertEq(_coins(buyer), COINS - BOND, "and lost");
        vm.warp(block.timestamp + WINDOW + 1);
        market.finalise(deal, made);
        assertNothingLocked();
    }

    function test_what_a_receipt_does_not_cover_is_revealed() public {
        _demand();
        market.answerDemandWithReceipt(deal, made, _leaves(), _opening(2), _receipt(2, _opening(2).outputRoot));
        LeafAnswer[] memory answers = new LeafAnswer[](1);
        answers[0] = _answer(0, 1);
        market.answerDemand(deal, made, answers);
        assertTrue(!market.dealState(deal).demanded, "answered");
        assertEq(_coins(buyer), COINS - BOND, "the bond stays lost");
    }

    function test_false_receipts_are_refused() public {
        _demand();
        TaskOpening memory opening = _opening(2);
        bytes memory forged = _signature(
            PROVIDER_KEY, _digest(Hashing.receiptStruct(market.hashDeal(deal), 2, opening.outputRoot))
        );
        vm.expectRevert(IDemands.ReceiptSignatureInvalid.selector);
        market.answerDemandWithReceipt(deal, made, _leaves(), opening, forged);
        bytes memory ofOtherOutput = _receipt(2, keccak256("another output"));
        vm.expectRevert(IDemands.ReceiptSignatureInvalid.selector);
        market.answerDemandWithReceipt(deal, made, _leaves(), opening, ofOtherOutput);
        bytes memory good = _receipt(2, opening.outputRoot);
        vm.expectRevert(IDemands.LeavesMismatch.selector);
        market.answerDemandWithReceipt(deal, made, new LeafIndex[](1), opening, good);
        bytes memory ofTask1 = _receipt(1, _opening(1).outputRoot);
        opening = _opening(1);
        vm.expectRevert(IDemands.TaskNotDemanded.selector);
        market.answerDemandWithReceipt(deal, made, _leaves(), opening, ofTask1);
    }

    // ---------------------------------------------------------------- silence

    function test_silence_refunds_the_buyer_and_slashes_the_provider() public {
        _demand();
        vm.warp(block.timestamp + DEMAND);
        vm.expectRevert(IDemands.DemandWindowOpen.selector);
        market.demandTimeout(deal, made);
        vm.warp(block.timestamp + 1);
        vm.prank(ANYBODY);
        market.demandTimeout(deal, made);
        uint256 half = deal.collateral / 2;
        assertEq(_free(buyer), FUNDS - 2 * TIP + half, "refund and half of the collateral");
        assertEq(_coins(buyer), COINS + FLOOR / 2, "bond and half of the floor");
        assertEq(_free(BURN), deal.collateral - half, "burned");
        assertEq(_free(ANYBODY), 2 * TIP, "tips");
        assertStatus(deal, DealStatus.Failed);
        assertNothingLocked();
    }

    function test_silence_after_an_acceptance_slashes_but_refunds_nothing() public {
        bytes memory signature = _acceptSignature(deal, made);
        _demand();
        vm.prank(provider);
        market.accept(deal, made, signature);
        vm.warp(block.timestamp + DEMAND + 1);
        vm.prank(ANYBODY);
        market.demandTimeout(deal, made);
        assertEq(_free(buyer), FUNDS - made.price - TIP + deal.collateral / 2, "price paid, half of the collateral");
        assertNothingLocked();
    }

    function test_without_a_demand_nothing_times_out() public {
        vm.expectRevert(IDemands.NoDemandOpen.selector);
        market.demandTimeout(deal, made);
    }
}
