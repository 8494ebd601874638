// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {Control} from "./Control.sol";
import {Descriptor, Descriptors} from "./Descriptors.sol";
import {Op} from "./Opcodes.sol";
import {Context, Rest, States} from "./State.sol";
import {Step} from "./Step.sol";
import {Leaf, Leaves, Trees} from "./Trees.sol";

/// @dev What one step of a restartable operation moves, in bytes.
struct Part {
    uint256 to;
    uint256 from;
    uint256 count;
    /// Nothing remains to be done after it.
    bool last;
}

/// @title Operations that touch many leaves, a step a leaf, and those on tables
/// @dev Tables are moved like memories: an entry has 8 bytes, so both have 128 bytes a leaf.
library Bulk {
    uint256 private constant ENTRY_BITS = 3;
    uint256 private constant HEADER_BYTES = 7 * 32;
    /// Repeat a byte, or a slot, throughout a word.
    uint256 private constant EVERY_BYTE = type(uint256).max / type(uint8).max;
    uint256 private constant EVERY_ENTRY = type(uint256).max / type(uint64).max;
    /// The library's memory.
    uint256 private constant HOST_MEMORY = 1;

    // How the operations 30 to 32 and 34 to 36 follow each other.
    uint256 private constant COPY = 0;
    uint256 private constant FILL = 1;

    function execute(Step memory step) internal pure {
        uint256 operation = step.operation;
        if (operation == Op.SEGMENT_CHECK) _segmentCheck(step);
        else if (operation <= Op.TABLE_INIT) _move(step);
        else if (operation <= Op.TABLE_GROW) _table(step);
        else if (operation == Op.READ_INPUT) _readInput(step);
        else if (operation == Op.APPEND_OUTPUT) _appendOutput(step);
        else if (operation == Op.EXIT) step.exit(step.slot(step.a));
        else step.trap();
    }

    function _segmentCheck(Step memory step) private pure {
        unchecked {
            uint256 end = step.slot(step.a) + step.slot(step.b);
            if (end > Control.global_(step, step.imm).slot(step.imm)) step.trap();
            step.advance();
        }
    }

    /// @dev Copy, fill and init of memories and tables.
    function _move(Step memory step) private pure {
        unchecked {
            bool ofTable = step.operation > Op.SEGMENT_CHECK;
            uint256 kind = step.operation & 3;
            uint256 unit = ofTable ? ENTRY_BITS : 0;
            uint256 imm = step.imm;
            uint256 to = step.slot(step.a) << unit;
            uint256 from = step.slot(step.b);
            uint256 length = step.slot(step.c) << unit;

            uint256 index = imm;
            Leaf source;
            if (kind == COPY) {
                index = imm & 0xff;
                from <<= unit;
            } else if (kind == FILL) {
                source = Leaves.filled(ofTable ? from * EVERY_ENTRY : (from & 0xff) * EVERY_BYTE);
                from = to;
            } else {
                index = imm >> 56;
                from = (from << unit) + (step.low() << 7);
                step.openRest();
                step.openContext();
            }

            Descriptor memory target = ofTable ? Descriptors.table(step, index) : Descriptors.memory_(step, index);
            if (to + length > _bytes(target)) step.trap();
            Descriptor memory origin;
            bool same;
            if (kind == COPY) {
                uint256 originIndex = (imm >> 8) & 0xff;
                same = originIndex == index;
                origin = target.sibling(step, originIndex);
                if (from + length > _bytes(origin)) step.trap();
            }

            Part memory part = _next(step, unit, to, from, length, same && to > from);
            if (part.count != 0) {
                if (kind == COPY) source = origin.open(step, part.from >> 7);
                else if (kind != FILL) source = step.open(step.context.segments, step.depthAt(120), part.from >> 7);
                bool sameLeaf = same && part.from >> 7 == part.to >> 7;
                Leaf changed = sameLeaf ? source : target.open(step, part.to >> 7);
                _transfer(part, source, changed);
                target.update(step, changed);
            }
            if (part.last) step.advance();
        }
    }

    function _table(Step memory step) private pure {
        uint256 operation = step.operation;
        uint256 x;
        uint256 value;
        if (operation != Op.TABLE_SIZE) x = step.slot(step.a);
        if (operation == Op.TABLE_SET) value = step.slot(step.b);
        Descriptor memory table = Descriptors.table(step, step.imm);
        uint256 size = table.size();
        unchecked {
            if (operation <= Op.TABLE_SET) {
                if (x >= size) step.trap();
                Leaf leaf = table.open(step, x >> 4);
                if (operation == Op.TABLE_GET) {
                    step.result(leaf.slot(x));
                } else {
                    leaf.setSlot(x, value);
                    table.update(step, leaf);
                    step.advance();
                }
            } else {
                if (size + x > table.maximum()) size = States.U32;
                else table.grow(step, x);
                step.result(size);
            }
        }
    }

    function _readInput(Step memory step) private pure {
        unchecked {
            uint256 stream = step.slot(step.a);
            uint256 offset = step.slot(step.a + 1);
            uint256 to = step.slot(step.a + 2);
            uint256 length = step.slot(step.a + 3);
            step.openRest();
            Context memory context = step.openContext();
            Descriptor memory target = Descriptors.memory_(step, HOST_MEMORY);
            if (to + length > _bytes(target) || stream > 1) step.trap();

            uint256 there = stream == 0 ? HEADER_BYTES : context.archiveLength();
            there = offset < there ? there - offset : 0;
            if (length > there) length = there;
            Part memory part = _next(step, 0, to, offset, length, false);
            if (part.count != 0) {
                uint256 index = part.from >> 7;
                Leaf source = stream == 0
                    ? _header(context, index)
                    : step.open(context.archive, Trees.levelsOfBytes(context.archiveLength()), index);
                Leaf changed = target.open(step, part.to >> 7);
                _transfer(part, source, changed);
                target.update(step, changed);
            }
            if (part.last) step.result(length);
        }
    }

    /// @dev A leaf of the task's header.
    function _header(Context memory context, uint256 index) private pure returns (Leaf leaf) {
        uint256 task = context.task;
        if (index == 0) {
            leaf = Leaves.filled(uint256(context.jobHash));
            leaf.setWord(0, task >> 224);
            leaf.setWord(2, context.taskIndex());
            leaf.setWord(3, (task >> 160) & States.U32);
        } else {
            leaf = Leaves.filled(0);
            leaf.setWord(0, context.archiveLength());
            leaf.setWord(1, context.outputLimit());
            leaf.setWord(2, context.pageLimit());
        }
    }

    function _appendOutput(Step memory step) private pure {
        unchecked {
            uint256 from = step.slot(step.a);
            uint256 length = step.slot(step.a + 1);
            Rest memory rest = step.openRest();
            Context memory context = step.openContext();
            Descriptor memory origin = Descriptors.memory_(step, HOST_MEMORY);
            if (from + length > _bytes(origin)) step.trap();
            uint256 to = rest.counters >> 192;
            if (to + length > context.outputLimit()) step.halt(States.OUTPUT_LIMIT_EXCEEDED, 0);

            Part memory part = _next(step, 0, to, from, length, false);
            if (part.count != 0) {
                Leaf source = origin.open(step, part.from >> 7);
                Leaf changed = step.open(rest.output, Trees.levelsOfBytes(context.outputLimit()), part.to >> 7);
                _transfer(part, source, changed);
                rest.output = changed.root();
            }
            if (part.last) {
                rest.counters += length << 192;
                step.advance();
            }
        }
    }

    /// @dev The part that is next, whose bytes are counted as done. Units have 2^`unit` bytes.
    function _next(Step memory step, uint256 unit, uint256 to, uint256 from, uint256 length, bool backward)
        private
        pure
        returns (Part memory part)
    {
        unchecked {
            uint256 done = step.progress << unit;
            uint256 remaining = length - done;
            uint256 count = remaining;
            if (backward) {
                // Up to the leaves' beginnings. With nothing to do the count stays 0.
                count = _least(count, ((to + remaining - 1) & 127) + 1);
                count = _least(count, ((from + remaining - 1) & 127) + 1);
                done = remaining - count;
            } else {
                // Up to the leaves' ends.
                count = _least(count, 128 - ((to + done) & 127));
                count = _least(count, 128 - ((from + done) & 127));
            }
            part.to = to + done;
            part.from = from + done;
            part.count = count;
            part.last = count == remaining;
            step.progress = part.last ? 0 : step.progress + (count >> unit);
        }
    }

    function _transfer(Part memory part, Leaf source, Leaf target) private pure {
        uint256 from = source.pointerTo(part.from);
        uint256 to = target.pointerTo(part.to);
        uint256 count = part.count;
        assembly ("memory-safe") {
            mcopy(to, from, count)
        }
    }

    /// @dev The bytes of a memory or table.
    function _bytes(Descriptor memory descriptor) private pure returns (uint256) {
        unchecked {
            return descriptor.size() << (descriptor.ofTable ? ENTRY_BITS : Descriptors.PAGE_BITS);
        }
    }

    function _least(uint256 x, uint256 y) private pure returns (uint256) {
        return x < y ? x : y;
    }
}
