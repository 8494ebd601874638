// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {StepTest, Proof} from "./StepTest.sol";
import {Tree, World, Worlds} from "./World.sol";

/// @dev Restartable operations, run step by step from the first to the last; at the end memory must be
/// what the operation says, whatever the parts were.
contract BulkTest is StepTest {
    // Slots of the operands, in one leaf.
    uint256 private constant A = 17;
    uint256 private constant B = 18;
    uint256 private constant C = 19;

    /// @dev A move of `length` units, of which a leaf has `unit`.
    struct Move {
        uint256 to;
        uint256 from;
        uint256 length;
        uint256 unit;
        bool backward;
    }

    function _moves(uint256 op, uint256 to, uint256 from, uint256 length, uint256 imm)
        private
        pure
        returns (World memory w)
    {
        w = _with(op, A, B, C, imm);
        w.frame.setSlot(A, to);
        w.frame.setSlot(B, from);
        w.frame.setSlot(C, length);
    }

    /// @dev Where the next part begins, and how long it is: `verifier/MACHINE.md`, Bulk.
    function _part(Move memory m, uint256 done) private pure returns (uint256 first, uint256 count) {
        while (count < m.length - done) {
            uint256 i = m.backward ? m.length - done - 1 - count : done + count;
            // A part ends where source or destination cross into another leaf.
            if (count != 0) {
                uint256 to = m.to + i + (m.backward ? 1 : 0);
                uint256 from = m.from + i + (m.backward ? 1 : 0);
                if (to % m.unit == 0 || from % m.unit == 0) break;
            }
            ++count;
        }
        first = m.backward ? m.length - done - count : done;
    }

    function _openOperands(World memory w) private pure returns (Proof memory p) {
        p = _prove(w);
        _openFrame(p, w, 1);
    }

    /// @dev What is finished or not after a part.
    function _progress(World memory w, Move memory m, uint256 count) private pure {
        w.progress += count;
        if (w.progress != m.length) return;
        w.progress = 0;
        ++w.pc;
    }

    // Memories.

    function _copyMemory(World memory w, uint256 target, uint256 source, Move memory m) private view {
        Tree memory expected = Tree(w.memories[target].tree.data, w.memories[target].tree.depth);
        expected.data = abi.encodePacked(expected.data);
        bytes memory moved = w.memories[source].tree.read(m.from, m.length);
        expected.write(m.to, moved);

        while (w.pc == PC) {
            (uint256 first, uint256 count) = _part(m, w.progress);
            Proof memory p = _openOperands(w);
            _openMemories(p, w, target / 2);
            if (source / 2 != target / 2) _openMemories(p, w, source / 2);
            if (count != 0) {
                uint256 from = (m.from + first) / 128;
                uint256 to = (m.to + first) / 128;
                _openLeaf(p, w.memories[source].tree, from);
                if (source != target || from != to) _openLeaf(p, w.memories[target].tree, to);
                w.memories[target].tree.write(m.to + first, w.memories[source].tree.read(m.from + first, count));
            }
            _progress(w, m, count);
            _leadsTo(p, w);
        }
        assertEq(w.memories[target].tree.root(), expected.root(), "memory in the end");
    }

    function _testCopy(uint256 target, uint256 source, uint256 to, uint256 from, uint256 length) private view {
        World memory w = _moves(0x30, to, from, length, 0xffff_0000 | source << 8 | target);
        _copyMemory(w, target, source, Move(to, from, length, 128, target == source && to > from));
    }

    function test_memory_is_copied_between_memories() public view {
        // Both aligned; each alone; the same within their leaves; neither.
        _testCopy(0, 1, 0, 128, 256);
        _testCopy(0, 1, 128, 5, 200);
        _testCopy(1, 0, 77, 256, 300);
        _testCopy(3, 0, 33, 161, 250);
        _testCopy(0, 4, 700, 90, 311);
        _testCopy(4, 2, 1, 3, 1);
    }

    function test_memory_is_copied_to_lower_addresses_forwards() public view {
        _testCopy(2, 2, 100, 356, 300);
        _testCopy(2, 2, 100, 101, 500);
        _testCopy(2, 2, 0, 127, 300);
        _testCopy(2, 2, 5, 9, 40);
    }

    function test_memory_is_copied_to_higher_addresses_backwards() public view {
        _testCopy(2, 2, 356, 100, 300);
        _testCopy(2, 2, 101, 100, 500);
        _testCopy(2, 2, 127, 0, 300);
        _testCopy(2, 2, 128, 0, 128);
        _testCopy(2, 2, 9, 5, 40);
        _testCopy(2, 2, 255, 129, 2);
    }

    function test_memory_is_copied_onto_itself() public view {
        _testCopy(2, 2, 77, 77, 300);
    }

    function test_copies_of_nothing_open_nothing() public view {
        _testCopy(0, 3, 2 * PAGE, 2 * PAGE, 0);
        _testCopy(3, 3, 2 * PAGE, 0, 0);
        _testCopy(3, 3, 0, 2 * PAGE, 0);
    }

    function test_copies_out_of_bounds_trap_before_anything_moves() public view {
        for (uint256 i = 0; i < 6; ++i) {
            uint256 length = i < 4 ? 100 : 0;
            uint256 beyond = 2 * PAGE - length + 1;
            bool ofTarget = i % 2 == 0;
            // The source's descriptor in the same leaf, and in another one.
            uint256 source = i < 2 ? 1 : 3;
            World memory w = _moves(0x30, ofTarget ? beyond : 0, ofTarget ? 0 : beyond, length, source << 8);
            Proof memory p = _openOperands(w);
            _openMemories(p, w, 0);
            if (!ofTarget && source == 3) _openMemories(p, w, 1);
            _traps(p, w);
        }
    }

    function test_a_length_beyond_all_bounds_traps() public view {
        World memory w = _moves(0x30, type(uint32).max, type(uint32).max, type(uint32).max, 0x100);
        Proof memory p = _openOperands(w);
        _openMemories(p, w, 0);
        _traps(p, w);
    }

    function _testFill(uint256 to, uint256 length) private view {
        World memory w = _moves(0x31, to, 0xabcdef5a, length, 3);
        Move memory m = Move(to, to, length, 128, false);
        Tree memory expected = Tree(abi.encodePacked(w.memories[3].tree.data), 10);
        bytes memory filled = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            filled[i] = 0x5a;
        }
        expected.write(to, filled);
        while (w.pc == PC) {
            (uint256 first, uint256 count) = _part(m, w.progress);
            Proof memory p = _openOperands(w);
            _openMemories(p, w, 1);
            if (count != 0) {
                _openLeaf(p, w.memories[3].tree, (to + first) / 128);
                w.memories[3].tree.write(to + first, expected.read(to + first, count));
            }
            _progress(w, m, count);
            _leadsTo(p, w);
        }
        assertEq(w.memories[3].tree.root(), expected.root(), "memory in the end");
    }

    function test_memory_is_filled() public view {
        _testFill(0, 128);
        _testFill(100, 300);
        _testFill(130, 3);
        _testFill(2 * PAGE, 0);
        _testFill(2 * PAGE - 1, 1);
    }

    function test_fills_out_of_bounds_trap() public view {
        World memory w = _moves(0x31, 2 * PAGE, 0, 1, 3);
        Proof memory p = _openOperands(w);
        _openMemories(p, w, 1);
        _traps(p, w);
    }

    function _testInit(uint256 to, uint256 from, uint256 length) private view {
        World memory w = _moves(0x32, to, from, length, uint256(4) << 56 | 3);
        Move memory m = Move(to, 3 * 128 + from, length, 128, false);
        Tree memory expected = Tree(abi.encodePacked(w.memories[4].tree.data), 10);
        expected.write(to, w.segments.read(m.from, length));
        while (w.pc == PC) {
            (uint256 first, uint256 count) = _part(m, w.progress);
            Proof memory p = _openOperands(w);
            _openRest(p, w);
            _openContext(p, w);
            _openMemories(p, w, 2);
            if (count != 0) {
                _openLeaf(p, w.segments, (m.from + first) / 128);
                _openLeaf(p, w.memories[4].tree, (to + first) / 128);
                w.memories[4].tree.write(to + first, expected.read(to + first, count));
            }
            _progress(w, m, count);
            _leadsTo(p, w);
        }
        assertEq(w.memories[4].tree.root(), expected.root(), "memory in the end");
    }

    function test_memory_is_initialised_from_segments() public view {
        _testInit(0, 0, 256);
        _testInit(200, 17, 300);
        _testInit(2 * PAGE, 40, 0);
    }

    function test_initialising_out_of_bounds_traps() public view {
        World memory w = _moves(0x32, 2 * PAGE - 3, 0, 4, uint256(4) << 56 | 3);
        Proof memory p = _openOperands(w);
        _openRest(p, w);
        _openContext(p, w);
        _openMemories(p, w, 2);
        _traps(p, w);
    }

    function test_segment_check_compares_with_the_segments_length() public view {
        for (uint256 beyond = 0; beyond < 2; ++beyond) {
            World memory w = _with(0x33, 17, 3, 0, 18);
            w.frame.setSlot(17, 0xffffffff);
            w.frame.setSlot(3, 0xfffffff0 + beyond);
            w.globals.setSlot(18, 0x1ffffffef);
            Proof memory p = _openOperands(w);
            _openFrame(p, w, 0);
            _openLeaf(p, w.globals, 1);
            if (beyond == 1) _traps(p, w);
            else _advances(p, w);
        }
    }

    // Tables.

    function _testTableCopy(uint256 target, uint256 source, uint256 to, uint256 from, uint256 length) private view {
        World memory w = _moves(0x34, to, from, length, source << 8 | target);
        Move memory m = Move(to, from, length, 16, target == source && to > from);
        Tree memory expected = Tree(abi.encodePacked(w.tables[target].tree.data), 3);
        bytes memory moved = w.tables[source].tree.read(8 * from, 8 * length);
        expected.write(8 * to, moved);
        while (w.pc == PC) {
            (uint256 first, uint256 count) = _part(m, w.progress);
            Proof memory p = _openOperands(w);
            _openRest(p, w);
            _openTables(p, w, target / 2);
            if (source / 2 != target / 2) _openTables(p, w, source / 2);
            _moveEntries(p, w, target, source, to + first, from + first, count);
            _progress(w, m, count);
            _leadsTo(p, w);
        }
        assertEq(w.tables[target].tree.root(), expected.root(), "table in the end");
    }

    function _moveEntries(
        Proof memory p,
        World memory w,
        uint256 target,
        uint256 source,
        uint256 to,
        uint256 from,
        uint256 count
    ) private pure {
        if (count == 0) return;
        _openLeaf(p, w.tables[source].tree, from / 16);
        if (source != target || from / 16 != to / 16) _openLeaf(p, w.tables[target].tree, to / 16);
        w.tables[target].tree.write(8 * to, w.tables[source].tree.read(8 * from, 8 * count));
    }

    function test_tables_are_copied_between_tables_and_within_both_ways() public view {
        _testTableCopy(0, 1, 0, 16, 32);
        _testTableCopy(0, 2, 3, 9, 40);
        _testTableCopy(2, 1, 80, 80, 20);
        _testTableCopy(1, 1, 20, 30, 40);
        _testTableCopy(1, 1, 30, 20, 40);
        _testTableCopy(1, 1, 1, 0, 10);
        _testTableCopy(1, 1, 100, 100, 0);
    }

    function test_table_copies_out_of_bounds_trap() public view {
        for (uint256 i = 0; i < 3; ++i) {
            World memory w = _moves(0x34, i == 0 ? 91 : 0, i == 0 ? 0 : 91, 10, i == 1 ? 0x100 : 0x200);
            Proof memory p = _openOperands(w);
            _openRest(p, w);
            _openTables(p, w, 0);
            if (i == 2) _openTables(p, w, 1);
            _traps(p, w);
        }
    }

    function test_tables_are_filled() public view {
        uint256 entry = 0x0003d090_1234_0064;
        World memory w = _moves(0x35, 10, entry, 30, 2);
        Move memory m = Move(10, 10, 30, 16, false);
        while (w.pc == PC) {
            (uint256 first, uint256 count) = _part(m, w.progress);
            Proof memory p = _openOperands(w);
            _openRest(p, w);
            _openTables(p, w, 1);
            _openLeaf(p, w.tables[2].tree, (10 + first) / 16);
            for (uint256 i = 0; i < count; ++i) {
                w.tables[2].tree.setSlot(10 + first + i, entry);
            }
            _progress(w, m, count);
            _leadsTo(p, w);
        }
        for (uint256 i = 10; i < 40; ++i) {
            assertEq(w.tables[2].tree.slot(i), entry, "entry in the end");
        }
    }

    function test_table_fills_out_of_bounds_trap() public view {
        World memory w = _moves(0x35, 100, 0, 1, 2);
        Proof memory p = _openOperands(w);
        _openRest(p, w);
        _openTables(p, w, 1);
        _traps(p, w);
    }

    function test_tables_are_initialised_from_segments() public view {
        World memory w = _moves(0x36, 20, 5, 40, uint256(1) << 56 | 2);
        Move memory m = Move(20, 2 * 16 + 5, 40, 16, false);
        Tree memory expected = Tree(abi.encodePacked(w.tables[1].tree.data), 3);
        expected.write(8 * 20, w.segments.read(8 * m.from, 8 * 40));
        while (w.pc == PC) {
            (uint256 first, uint256 count) = _part(m, w.progress);
            Proof memory p = _openOperands(w);
            _openRest(p, w);
            _openContext(p, w);
            _openTables(p, w, 0);
            _openLeaf(p, w.segments, (m.from + first) / 16);
            _openLeaf(p, w.tables[1].tree, (20 + first) / 16);
            w.tables[1].tree.write(8 * (20 + first), expected.read(8 * (20 + first), 8 * count));
            _progress(w, m, count);
            _leadsTo(p, w);
        }
        assertEq(w.tables[1].tree.root(), expected.root(), "table in the end");
    }

    function test_initialising_a_table_out_of_bounds_traps() public view {
        World memory w = _moves(0x36, 61, 5, 40, uint256(1) << 56 | 2);
        Proof memory p = _openOperands(w);
        _openRest(p, w);
        _openContext(p, w);
        _openTables(p, w, 0);
        _traps(p, w);
    }

    // Single entries, and sizes.

    function test_entries_are_read_and_written() public view {
        World memory w = _with(0x37, A, 0, 3, 2);
        w.frame.setSlot(A, 99);
        Proof memory p = _openOperands(w);
        _openRest(p, w);
        _openTables(p, w, 1);
        _openLeaf(p, w.tables[2].tree, 6);
        _openFrame(p, w, 0);
        w.frame.setSlot(3, w.tables[2].tree.slot(99));
        _advances(p, w);

        w = _with(0x38, A, 3, 0, 1);
        w.frame.setSlot(A, 99);
        p = _openOperands(w);
        _openFrame(p, w, 0);
        _openRest(p, w);
        _openTables(p, w, 0);
        _openLeaf(p, w.tables[1].tree, 6);
        w.tables[1].tree.setSlot(99, w.frame.slot(3));
        _advances(p, w);
    }

    function test_entries_beyond_the_table_trap() public view {
        for (uint256 op = 0x37; op < 0x39; ++op) {
            World memory w = _with(op, A, 3, 3, 2);
            w.frame.setSlot(A, 100);
            Proof memory p = _openOperands(w);
            if (op == 0x38) _openFrame(p, w, 0);
            _openRest(p, w);
            _openTables(p, w, 1);
            _traps(p, w);
        }
    }

    function test_table_size_counts_entries() public view {
        World memory w = _with(0x39, A, 0, 3, 2);
        Proof memory p = _prove(w);
        _openRest(p, w);
        _openTables(p, w, 1);
        _openFrame(p, w, 0);
        w.frame.setSlot(3, 100);
        _advances(p, w);
    }

    function test_tables_grow_up_to_their_maximum() public view {
        uint64[4] memory by = [uint64(0), 20, 21, type(uint32).max];
        for (uint256 i = 0; i < 4; ++i) {
            World memory w = _with(0x3a, A, 0, 3, 1);
            w.frame.setSlot(A, by[i]);
            Proof memory p = _openOperands(w);
            _openRest(p, w);
            _openTables(p, w, 0);
            _openFrame(p, w, 0);
            w.frame.setSlot(3, i < 2 ? 100 : type(uint32).max);
            if (i < 2) w.tables[1].size += by[i];
            _advances(p, w);
        }
    }

    // Host.

    function test_output_is_appended() public view {
        uint16[4] memory lengths = [uint16(300), 1300, 1, 0];
        uint16[4] memory froms = [uint16(200), 77, 130, 5];
        for (uint256 i = 0; i < 4; ++i) {
            _testAppend(froms[i], lengths[i]);
        }
    }

    function _testAppend(uint256 from, uint256 length) private view {
        World memory w = _with(0x3d, 15, 0, 0, 0);
        w.frame.setSlot(15, from);
        w.frame.setSlot(16, length);
        Move memory m = Move(200, from, length, 128, false);
        Tree memory expected = Tree(abi.encodePacked(w.output.data), 4);
        expected.write(200, w.memories[1].tree.read(from, length));
        while (w.pc == PC) {
            (uint256 first, uint256 count) = _part(m, w.progress);
            Proof memory p = _prove(w);
            _openFrame(p, w, 0);
            _openFrame(p, w, 1);
            _openRest(p, w);
            _openContext(p, w);
            _openMemories(p, w, 0);
            if (count != 0) {
                _openLeaf(p, w.memories[1].tree, (from + first) / 128);
                _openLeaf(p, w.output, (200 + first) / 128);
                w.output.write(200 + first, expected.read(200 + first, count));
            }
            _progress(w, m, count);
            if (w.pc != PC) w.outputLength += length;
            _leadsTo(p, w);
        }
        assertEq(w.output.root(), expected.root(), "output in the end");
    }

    function _openAppend(World memory w, uint256 from, uint256 length) private pure returns (Proof memory p) {
        w.frame.setSlot(3, from);
        w.frame.setSlot(4, length);
        p = _prove(w);
        _openFrame(p, w, 0);
        _openRest(p, w);
        _openContext(p, w);
        _openMemories(p, w, 0);
    }

    function test_output_beyond_its_limit_halts() public view {
        World memory w = _with(0x3d, 3, 0, 0, 0);
        _halts(_openAppend(w, 0, 1301), w, 4, 0);
    }

    function test_output_from_out_of_bounds_traps() public view {
        World memory w = _with(0x3d, 3, 0, 0, 0);
        _traps(_openAppend(w, 2 * PAGE - 1999, 2000), w);
    }

    function _header(World memory w) private pure returns (Tree memory tree) {
        tree.write(
            0, abi.encode(w.machineVersion, w.jobHash, w.task, w.taskCount, w.archiveLength, w.outputLimit, w.pageLimit)
        );
    }

    function _testRead(uint256 stream, uint256 offset, uint256 to, uint256 length, uint256 there) private view {
        World memory w = _with(0x3c, 14, 0, 3, 0);
        w.frame.setSlot(14, stream);
        w.frame.setSlot(15, offset);
        w.frame.setSlot(16, to);
        w.frame.setSlot(17, length);
        Move memory m = Move(to, offset, there, 128, false);
        Tree memory source = stream == 0 ? _header(w) : w.archive;
        Tree memory expected = Tree(abi.encodePacked(w.memories[1].tree.data), 10);
        expected.write(to, source.read(offset, there));
        while (w.pc == PC) {
            (uint256 first, uint256 count) = _part(m, w.progress);
            Proof memory p = _prove(w);
            _openFrame(p, w, 0);
            _openFrame(p, w, 1);
            _openRest(p, w);
            _openContext(p, w);
            _openMemories(p, w, 0);
            if (count != 0) {
                if (stream == 1) _openLeaf(p, source, (offset + first) / 128);
                _openLeaf(p, w.memories[1].tree, (to + first) / 128);
                w.memories[1].tree.write(to + first, expected.read(to + first, count));
            }
            _progress(w, m, count);
            if (w.pc != PC) w.frame.setSlot(3, there);
            _leadsTo(p, w);
        }
        assertEq(w.memories[1].tree.root(), expected.root(), "memory in the end");
    }

    function test_the_archive_is_read() public view {
        _testRead(1, 0, 0, 128, 128);
        _testRead(1, 50, 300, 400, 400);
        // Not beyond its end.
        _testRead(1, 900, 10, 500, 100);
        _testRead(1, 999, 10, 500, 1);
        _testRead(1, 1000, 10, 500, 0);
        _testRead(1, type(uint64).max, 10, 500, 0);
        _testRead(1, 10, 2 * PAGE, 0, 0);
    }

    function test_the_tasks_header_is_read() public view {
        _testRead(0, 0, 0, 224, 224);
        _testRead(0, 0, 100, 1000, 224);
        _testRead(0, 96, 100, 64, 64);
        _testRead(0, 223, 5, 2, 1);
        _testRead(0, 224, 5, 2, 0);
    }

    function test_reads_out_of_bounds_or_of_unknown_streams_trap() public view {
        for (uint256 i = 0; i < 3; ++i) {
            World memory w = _with(0x3c, 3, 0, 9, 0);
            w.frame.setSlot(3, i == 0 ? 1 : i == 1 ? 2 : type(uint32).max);
            w.frame.setSlot(4, 0);
            w.frame.setSlot(5, 2 * PAGE - 10);
            w.frame.setSlot(6, i == 0 ? 11 : 10);
            Proof memory p = _prove(w);
            _openFrame(p, w, 0);
            _openRest(p, w);
            _openContext(p, w);
            _openMemories(p, w, 0);
            _traps(p, w);
        }
    }

    function test_exit_halts_with_its_code_and_the_output() public view {
        World memory w = _with(0x3e, 3, 0, 0, 0);
        w.frame.setSlot(3, 137);
        Proof memory p = _prove(w);
        _openFrame(p, w, 0);
        _halts(p, w, 0, 137);
    }

    function test_a_halted_state_repeats() public view {
        World memory w = _world();
        bytes memory proof = w.halted(2, 0);
        bytes32 hash = keccak256(abi.encodePacked(Worlds.domain("halted"), proof));
        _leadsTo(Proof(hash, proof, true, true), hash);
    }
}
