// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {DealWord, DealWords} from "../src/market/DealWord.sol";
import {Merkle} from "../src/market/Merkle.sol";
import {Money} from "../src/market/Money.sol";
import {PoolWord} from "../src/market/PoolWord.sol";
import {DealStatus} from "../src/types/Calls.sol";
import {Test} from "./base/Test.sol";

/// @dev Arithmetic and packing against slower statements of the same.
contract MoneyTest is Test {
    function testFuzz_a_task_costs_its_start_fee_and_its_cycles_rounded_up_and_capped(
        uint128 startFee,
        uint128 unitPrice,
        uint128 priceCap,
        uint64 cycles
    ) public pure {
        // Checked arithmetic, and the ceiling by its definition.
        uint256 product = uint256(cycles) * uint256(unitPrice);
        uint256 units = product / 1e18;
        if (units * 1e18 < product) units += 1;
        uint256 expected = uint256(startFee) + units;
        if (expected > priceCap) expected = priceCap;
        assertEq(Money.taskPrice(startFee, unitPrice, priceCap, cycles), expected, "price");
    }

    function testFuzz_collateral_is_the_least_amount_that_covers_its_share(uint128 escrow, uint32 bps) public pure {
        uint256 collateral = Money.collateral(escrow, bps);
        assertTrue(collateral * 10_000 >= uint256(escrow) * bps, "covers");
        assertTrue(collateral == 0 || (collateral - 1) * 10_000 < uint256(escrow) * bps, "and no more");
    }

    function testFuzz_a_fee_never_exceeds_its_share(uint128 amount, uint16 bps) public pure {
        uint256 fee = Money.share(amount, bps);
        assertTrue(fee * 10_000 <= uint256(amount) * bps, "not above");
        assertTrue((fee + 1) * 10_000 > uint256(amount) * bps, "and no less");
    }

    function testFuzz_more_cycles_never_cost_less(uint128 fee, uint128 unit, uint128 cap, uint64 a, uint64 b) public pure {
        (uint64 less, uint64 more) = a < b ? (a, b) : (b, a);
        assertAtMost(Money.taskPrice(fee, unit, cap, less), Money.taskPrice(fee, unit, cap, more), "price");
    }

    function testFuzz_the_depth_of_a_tree_is_the_least_that_holds_its_leaves(uint32 count) public pure {
        vm.assume(count != 0);
        uint256 depth = Merkle.depth(count);
        assertTrue(1 << depth >= count, "holds them");
        assertTrue(depth == 0 || 1 << (depth - 1) < count, "and is the least");
    }

    function testFuzz_a_deals_word_keeps_its_parts_apart(bytes32 hash, uint40 clock, uint40 later) public pure {
        DealWord word = DealWords.claimed(hash, clock);
        assertTrue(word.isBound(DealStatus.Claimed, hash), "bound");
        assertTrue(!word.isBound(DealStatus.Open, hash), "to its status");
        assertTrue(!word.isBound(DealStatus.Claimed, bytes32(uint256(hash) ^ 1)), "and to its hash");
        word = word.with(DealWords.ACCEPTED).with(DealWords.CHALLENGED).withClock(later).without(DealWords.CHALLENGED);
        assertTrue(word.has(DealWords.ACCEPTED) && !word.has(DealWords.CHALLENGED), "flags");
        assertTrue(!word.has(DealWords.DEMANDED) && !word.has(DealWords.DEMAND_USED), "no other flag");
        assertEq(word.clock(), later, "clock");
        assertTrue(word.isBound(DealStatus.Claimed, hash), "still bound");
    }

    function testFuzz_a_vacant_cell_is_no_deal_and_not_zero(uint32 next) public pure {
        DealWord word = DealWords.vacant(next);
        assertTrue(DealWord.unwrap(word) != 0, "not zero");
        assertEq(uint256(word.status()), uint256(DealStatus.None), "no deal");
        assertEq(word.next(), next, "next");
    }

    function testFuzz_a_pools_word_keeps_its_parts_apart(uint16 open, uint16 cells, uint32 vacant) public pure {
        PoolWord word = PoolWord.wrap(0);
        for (uint256 i = 0; i < open % 50; ++i) {
            word = word.entered();
        }
        for (uint256 i = 0; i < cells % 50; ++i) {
            word = word.grown();
        }
        word = word.withVacant(vacant).withVacant(vacant);
        assertEq(word.open(), open % 50, "open");
        assertEq(word.cells(), cells % 50, "cells");
        assertEq(word.vacant(), vacant, "vacant");
        if (open % 50 != 0) assertEq(word.left().open(), open % 50 - 1, "left");
    }
}
