// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {StepTest, Proof} from "./StepTest.sol";
import {halves, BRANCH, IMM} from "./Instructions.sol";
import {Record, World, Worlds} from "./World.sol";

contract ControlTest is StepTest {
    // Charges.

    function test_unreachable_traps() public view {
        World memory w = _with(0x00, 0, 0, 0, 0);
        _traps(_prove(w), w);
    }

    function test_what_is_not_listed_traps() public view {
        uint256[19] memory unlisted = [
            uint256(0x0d),
            0x0f,
            0x15,
            0x1f,
            0x2f,
            0x3b,
            0x3f,
            0x4c,
            0x4f,
            0x64,
            0x67,
            0x7c,
            0x7f,
            0xb2,
            0xb3,
            0xc4,
            0xff,
            0x400,
            0x8050
        ];
        for (uint256 i = 0; i < unlisted.length; ++i) {
            World memory w = _with(unlisted[i], 1, 2, 3, 4);
            _traps(_prove(w), w);
        }
    }

    function test_flags_where_none_are_allowed_trap() public view {
        uint256[20] memory unlisted = [
            IMM | 0x01,
            BRANCH | 0x03,
            IMM | 0x10,
            BRANCH | 0x10,
            BRANCH | 0x20,
            BRANCH | IMM | 0x2c,
            IMM | 0x2d,
            IMM | 0x2e,
            IMM | 0x30,
            BRANCH | 0x3e,
            BRANCH | 0x47,
            BRANCH | 0x50,
            BRANCH | IMM | 0x5d,
            IMM | 0x5e,
            IMM | 0x40,
            IMM | BRANCH | 0x40,
            IMM | 0x76,
            IMM | 0x80,
            BRANCH | 0x86,
            IMM | 0xa8
        ];
        for (uint256 i = 0; i < unlisted.length; ++i) {
            World memory w = _with(unlisted[i], 1, 2, 3, 4);
            _traps(_prove(w), w);
        }
    }

    function test_charge_adds_its_cycles() public view {
        World memory w = _with(0x01, 0, 0, 0, 1000);
        Proof memory p = _prove(w);
        w.cycles = 2000;
        _advances(p, w);
    }

    function test_charge_beyond_the_limit_halts_at_the_limit() public view {
        World memory w = _with(0x01, 0, 0, 0, 1001);
        _runsOutOfCycles(_prove(w), w);
        w = _with(0x01, 0, 0, 0, type(uint64).max);
        _runsOutOfCycles(_prove(w), w);
    }

    function test_charge_size_counts_pieces() public view {
        // 1000 of at most 5000 in pieces of 16, 3 cycles each.
        World memory w = _with(0x02, 17, 0, 0, halves(5000, 4 << 16 | 3));
        w.frame.setSlot(17, 0xffffffff_000003ef);
        Proof memory p = _prove(w);
        _openFrame(p, w, 1);
        w.cycles += 62 * 3;
        _advances(p, w);
    }

    function test_charge_size_counts_no_more_than_its_most() public view {
        World memory w = _with(0x02, 17, 0, 0, halves(100, 3));
        w.frame.setSlot(17, 0xffffffff);
        Proof memory p = _prove(w);
        _openFrame(p, w, 1);
        w.cycles += 300;
        _advances(p, w);
    }

    function test_charge_size_runs_out_of_cycles() public view {
        World memory w = _with(0x02, 17, 0, 0, halves(1000, 3));
        w.frame.setSlot(17, 334);
        Proof memory p = _prove(w);
        _openFrame(p, w, 1);
        _runsOutOfCycles(p, w);
    }

    // Jumps.

    function test_jump_goes_and_charges() public view {
        World memory w = _with(0x03, 0, 0, 0, halves(77, 5));
        Proof memory p = _prove(w);
        (w.pc, w.cycles) = (77, 1005);
        _leadsTo(p, w);
    }

    function test_jump_runs_out_of_cycles() public view {
        World memory w = _with(0x03, 0, 0, 0, halves(77, 1001));
        _runsOutOfCycles(_prove(w), w);
    }

    function test_branches_charge_for_the_side_that_they_take() public view {
        for (uint256 i = 0; i < 4; ++i) {
            bool zero = i & 1 != 0;
            bool ifZero = i & 2 != 0;
            World memory w = _with(ifZero ? 0x05 : 0x04, 33, 9, 11, halves(77, 5));
            w.frame.setSlot(33, zero ? 0 : 1 << 63);
            Proof memory p = _prove(w);
            _openFrame(p, w, 2);
            if (zero == ifZero) (w.pc, w.cycles) = (77, 1005);
            else (w.pc, w.cycles) = (PC + 1, 1011);
            _leadsTo(p, w);
        }
    }

    function test_branches_run_out_of_cycles_on_either_side() public view {
        for (uint256 i = 0; i < 2; ++i) {
            World memory w = _with(0x04, 33, 0, 1001, halves(77, 1001));
            w.frame.setSlot(33, i);
            Proof memory p = _prove(w);
            _openFrame(p, w, 2);
            _runsOutOfCycles(p, w);
        }
    }

    function test_branch_table_stops_at_its_default() public view {
        uint64[4] memory entries = [uint64(0), 4, 5, type(uint64).max];
        uint64[4] memory taken = [uint64(0), 4, 4, 4];
        for (uint256 i = 0; i < 4; ++i) {
            World memory w = _with(0x06, 2, 0, 0, 4);
            w.frame.setSlot(2, entries[i]);
            Proof memory p = _prove(w);
            _openFrame(p, w, 0);
            w.pc = PC + 1 + taken[i];
            _leadsTo(p, w);
        }
    }

    // Calls.

    function test_enter_takes_slots_and_charges() public view {
        World memory w = _with(0x07, 0, 0, 0, halves(500, 7));
        Proof memory p = _prove(w);
        (w.slots, w.cycles) = (1000, 1007);
        _advances(p, w);
    }

    function test_enter_beyond_the_slot_limit_halts() public view {
        World memory w = _with(0x07, 0, 0, 0, halves(501, 7));
        _halts(_prove(w), w, 3, 0);
        w = _with(0x07, 0, 0, 0, halves(type(uint32).max, type(uint32).max));
        _halts(_prove(w), w, 3, 0);
    }

    function test_enter_runs_out_of_cycles_after_it_took_slots() public view {
        World memory w = _with(0x07, 0, 0, 0, halves(500, 1001));
        _runsOutOfCycles(_prove(w), w);
    }

    /// @dev The machine after a call of a function with a frame of `size`.
    function _enter(World memory w, uint256 target, uint256 size, uint256 resultSlot, uint256 a, uint256 count)
        private
        pure
    {
        w.callers = Worlds.hash(Record(w.callers, w.frame.root(), w.pc + 1, w.frameSize, resultSlot));
        uint64[] memory arguments = new uint64[](count);
        for (uint256 i = 0; i < count; ++i) {
            arguments[i] = uint64(w.frame.slot(a + i));
        }
        (w.frame, w.frameSize, w.pc) = (Worlds.frame(size), size, target);
        for (uint256 i = 0; i < count; ++i) {
            w.frame.setSlot(i, arguments[i]);
        }
    }

    function test_call_without_arguments_opens_no_frame() public view {
        uint16[6] memory sizes = [uint16(0), 1, 16, 17, 33, 32768];
        for (uint256 i = 0; i < sizes.length; ++i) {
            World memory w = _with(0x08, 3, sizes[i], 0, halves(4_000_000, 65_535));
            Proof memory p = _prove(w);
            _enter(w, 4_000_000, sizes[i], 65_535, 3, 0);
            _leadsTo(p, w);
        }
    }

    function test_call_hands_over_its_arguments() public view {
        uint256[5] memory counts = [uint256(1), 5, 16, 17, 32];
        for (uint256 i = 0; i < counts.length; ++i) {
            World memory w = _with(0x08, 7, 300, counts[i], halves(99, 12));
            Proof memory p = _prove(w);
            for (uint256 leaf = 0; leaf <= (7 + counts[i] - 1) / 16; ++leaf) {
                _openFrame(p, w, leaf);
            }
            _enter(w, 99, 300, 12, 7, counts[i]);
            _leadsTo(p, w);
        }
    }

    function test_call_fills_the_smallest_frames() public view {
        uint16[4] memory sizes = [uint16(16), 17, 32, 33];
        for (uint256 i = 0; i < sizes.length; ++i) {
            World memory w = _with(0x08, 0, sizes[i], 16, halves(99, 12));
            Proof memory p = _prove(w);
            _openFrame(p, w, 0);
            _enter(w, 99, sizes[i], 12, 0, 16);
            _leadsTo(p, w);
        }
    }

    function test_call_with_too_many_arguments_traps() public view {
        World memory w = _with(0x08, 0, 300, 33, halves(99, 12));
        _traps(_prove(w), w);
    }

    function test_call_ref_takes_target_and_frame_from_the_reference() public view {
        World memory w = _with(0x09, 20, 2, 3, halves(0, 12));
        w.frame.setSlot(2, 0x0003d090_1234_0064);
        Proof memory p = _prove(w);
        _openFrame(p, w, 0);
        _openFrame(p, w, 1);
        _enter(w, 0x3d090, 100, 12, 20, 3);
        _leadsTo(p, w);
    }

    function test_call_ref_opens_a_leaf_once() public view {
        World memory w = _with(0x09, 3, 2, 3, halves(0, 12));
        w.frame.setSlot(2, 0x0003d090_1234_0064);
        Proof memory p = _prove(w);
        _openFrame(p, w, 0);
        _enter(w, 0x3d090, 100, 12, 3, 3);
        _leadsTo(p, w);
    }

    /// @dev A machine that was called by one with another frame.
    function _called(uint256 resultSlot) private pure returns (World memory caller, Record memory record) {
        caller = _world();
        (caller.frameSize, caller.frame) = (70, Worlds.frame(70));
        for (uint256 i = 0; i < 70; ++i) {
            caller.frame.setSlot(i, uint256(keccak256(abi.encode("caller", i))));
        }
        record = Record(keccak256("its caller"), caller.frame.root(), 1234, 70, resultSlot);
    }

    function test_return_without_result_restores_the_caller() public view {
        (World memory caller, Record memory record) = _called(50);
        World memory w = _with(0x0a, 3, 0, 0, 100);
        w.callers = Worlds.hash(record);
        Proof memory p = _prove(w);
        _openRecord(p, record);
        (w.slots, w.pc, w.frameSize, w.frame, w.callers) = (400, 1234, 70, caller.frame, record.callers);
        _leadsTo(p, w);
    }

    function test_slots_wrap_and_touch_no_other_register() public view {
        (World memory caller, Record memory record) = _called(50);
        World memory w = _with(0x0a, 3, 0, 0, 501);
        w.callers = Worlds.hash(record);
        Proof memory p = _prove(w);
        _openRecord(p, record);
        (w.slots, w.pc, w.frameSize, w.frame, w.callers) = (type(uint32).max, 1234, 70, caller.frame, record.callers);
        _leadsTo(p, w);
    }

    function test_return_of_one_result_writes_the_callers_slot() public view {
        (World memory caller, Record memory record) = _called(50);
        World memory w = _with(0x0a, 3, 0, 1, 500);
        w.callers = Worlds.hash(record);
        Proof memory p = _prove(w);
        _openFrame(p, w, 0);
        _openRecord(p, record);
        _openFrame(p, caller, 3);
        caller.frame.setSlot(50, w.frame.slot(3));
        (w.slots, w.pc, w.frameSize, w.frame, w.callers) = (0, 1234, 70, caller.frame, record.callers);
        _leadsTo(p, w);
    }

    function test_recursion_opens_the_callers_frame_though_it_looks_the_same() public view {
        World memory w = _with(0x0a, 3, 0, 1, 500);
        Record memory record = Record(0, w.frame.root(), 1234, 40, 4);
        w.callers = Worlds.hash(record);
        Proof memory p = _prove(w);
        _openFrame(p, w, 0);
        _openRecord(p, record);
        _openFrame(p, w, 0);
        w.frame.setSlot(4, w.frame.slot(3));
        (w.slots, w.pc, w.callers) = (0, 1234, 0);
        _leadsTo(p, w);
    }

    function test_return_of_many_results_keeps_the_frame_for_them() public view {
        (World memory caller, Record memory record) = _called(50);
        World memory w = _with(0x0a, 3, 0, 2, 100);
        w.callers = Worlds.hash(record);
        Proof memory p = _prove(w);
        _openRest(p, w);
        _openRecord(p, record);
        (w.results, w.resultsSize) = (w.frame, w.frameSize);
        (w.slots, w.pc, w.frameSize, w.frame, w.callers) = (400, 1234, 70, caller.frame, record.callers);
        _leadsTo(p, w);
    }

    function test_results_are_fetched_until_the_last() public view {
        for (uint256 last = 0; last < 2; ++last) {
            World memory w = _with(0x0b, 35, last, 9, 0);
            (w.results, w.resultsSize) = (Worlds.frame(50), 50);
            w.results.setSlot(35, 0x123456789abcdef0);
            Proof memory p = _prove(w);
            _openRest(p, w);
            _openLeaf(p, w.results, 2);
            _openFrame(p, w, 0);
            w.frame.setSlot(9, 0x123456789abcdef0);
            if (last == 1) w.resultsSize = 0;
            _advances(p, w);
        }
    }

    function test_return_of_the_first_function_traps() public view {
        for (uint256 results = 0; results < 3; ++results) {
            World memory w = _with(0x0a, 3, 0, results, 100);
            w.callers = 0;
            Proof memory p = _prove(w);
            if (results == 1) _openFrame(p, w, 0);
            _traps(p, w);
        }
    }

    // Tables of functions.

    function test_resolve_finds_a_function_of_the_type() public view {
        World memory w = _with(0x0c, 20, 2, 35, 0x1234);
        w.frame.setSlot(20, 99);
        w.tables[2].tree.setSlot(99, 0x0003d090_1234_0064);
        Proof memory p = _prove(w);
        _openFrame(p, w, 1);
        _openRest(p, w);
        _openTables(p, w, 1);
        _openLeaf(p, w.tables[2].tree, 6);
        _openFrame(p, w, 2);
        w.frame.setSlot(35, 0x0003d090_1234_0064);
        _advances(p, w);
    }

    function test_resolve_beyond_the_table_traps() public view {
        uint64[2] memory entries = [uint64(100), 1 << 63];
        for (uint256 i = 0; i < 2; ++i) {
            World memory w = _with(0x0c, 20, 2, 35, 0x1234);
            w.frame.setSlot(20, entries[i]);
            Proof memory p = _prove(w);
            _openFrame(p, w, 1);
            _openRest(p, w);
            _openTables(p, w, 1);
            _traps(p, w);
        }
    }

    function test_resolve_of_null_or_another_type_traps() public view {
        uint64[3] memory entries = [uint64(0), 0x0003d090_1235_0064, 0x0003d090_0234_1234];
        for (uint256 i = 0; i < 3; ++i) {
            World memory w = _with(0x0c, 20, 1, 35, i == 0 ? 0 : 0x1234);
            w.frame.setSlot(20, 3);
            w.tables[1].tree.setSlot(3, entries[i]);
            Proof memory p = _prove(w);
            _openFrame(p, w, 1);
            _openRest(p, w);
            _openTables(p, w, 0);
            _openLeaf(p, w.tables[1].tree, 0);
            _traps(p, w);
        }
    }

    // Moves.

    function test_copy_within_a_leaf_opens_it_once() public view {
        World memory w = _with(0x10, 3, 0, 4, 0);
        Proof memory p = _prove(w);
        _openFrame(p, w, 0);
        w.frame.setSlot(4, w.frame.slot(3));
        _advances(p, w);
    }

    function test_copy_between_leaves_opens_both() public view {
        World memory w = _with(0x10, 39, 0, 15, 0);
        Proof memory p = _prove(w);
        _openFrame(p, w, 2);
        _openFrame(p, w, 0);
        w.frame.setSlot(15, w.frame.slot(39));
        _advances(p, w);
    }

    function test_const_writes_its_immediate() public view {
        World memory w = _with(0x11, 0, 0, 16, type(uint64).max - 5);
        Proof memory p = _prove(w);
        _openFrame(p, w, 1);
        w.frame.setSlot(16, type(uint64).max - 5);
        _advances(p, w);
    }

    function test_select_takes_either_and_reads_all_three() public view {
        for (uint256 condition = 0; condition < 2; ++condition) {
            World memory w = _with(0x12, 17, 1, 2, 0xffff_0000_0000_0000 | 33);
            w.frame.setSlot(33, condition << 40);
            Proof memory p = _prove(w);
            _openFrame(p, w, 1);
            _openFrame(p, w, 0);
            _openFrame(p, w, 2);
            w.frame.setSlot(2, w.frame.slot(condition == 1 ? 17 : 1));
            _advances(p, w);
        }
    }

    function test_globals_are_read_and_written() public view {
        World memory w = _with(0x13, 0, 0, 5, 17);
        Proof memory p = _prove(w);
        _openLeaf(p, w.globals, 1);
        _openFrame(p, w, 0);
        w.frame.setSlot(5, w.globals.slot(17));
        _advances(p, w);

        w = _with(0x14, 20, 0, 0, 3);
        p = _prove(w);
        _openFrame(p, w, 1);
        _openLeaf(p, w.globals, 0);
        w.globals.setSlot(3, w.frame.slot(20));
        _advances(p, w);
    }
}
