// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {Descriptor, Descriptors} from "./Descriptors.sol";
import {Op} from "./Opcodes.sol";
import {Context, Rest, States} from "./State.sol";
import {Step} from "./Step.sol";
import {Leaf} from "./Trees.sol";

/// @title Loads, stores, and the sizes of memories
library Access {
    // Of operations 20 to 2c, a byte each: their width, and the bits to which a load extends the sign.
    uint256 private constant WIDTHS = 0x01010102020204040801020408;
    uint256 private constant SIGNED = 0x00204000204000400000000000;

    function execute(Step memory step) internal pure {
        uint256 operation = step.operation;
        if (operation <= Op.STORE_64) {
            _access(step, operation - Op.LOAD_8U, operation >= Op.STORE_8);
        } else if (operation == Op.MEMORY_SIZE) {
            step.result(Descriptors.memory_(step, step.imm).size());
        } else if (operation == Op.MEMORY_GROW) {
            _grow(step);
        } else {
            step.trap();
        }
    }

    /// @dev An access that straddles two leaves takes two steps, of which the first leaves phase 1 and,
    /// of a load, the bytes that it read.
    function _access(Step memory step, uint256 form, bool store) private pure {
        unchecked {
            uint256 address_ = step.slot(step.a) + step.low();
            uint256 value;
            if (store) value = step.slot(step.b);
            uint256 width = _entry(WIDTHS, form);

            uint256 index;
            if (step.flags != 0) index = store ? step.c : step.b;
            Descriptor memory target = Descriptors.memory_(step, index);
            if (address_ + width > target.size() << Descriptors.PAGE_BITS) step.trap();

            // Bytes in the first leaf, bits of the value that are done, bytes to do now.
            uint256 first = 128 - (address_ & 127);
            if (first > width) first = width;
            uint256 done;
            uint256 count = first;
            if (step.phase != 0) {
                done = first << 3;
                count = width - first;
                address_ += first;
            }
            bool last = step.phase != 0 || first == width;

            Leaf leaf = target.open(step, address_ >> 7);
            if (store) {
                leaf.write(address_, count, reverse(value >> done, count));
                target.update(step, leaf);
            } else {
                value = reverse(leaf.read(address_, count), count) << done | step.progress;
            }

            step.progress = 0;
            if (!last) {
                step.phase = 1;
                if (!store) step.progress = value;
                return;
            }
            step.phase = 0;
            if (store) {
                step.advance();
                return;
            }
            uint256 bits = _entry(SIGNED, form);
            if (bits != 0) {
                assembly ("memory-safe") {
                    value := signextend(sub(width, 1), value)
                }
                value &= (1 << bits) - 1;
            }
            step.result(value);
        }
    }

    /// @dev The low `count` (at most 8) bytes of a value in the other order.
    function reverse(uint256 value, uint256 count) internal pure returns (uint256 reversed) {
        unchecked {
            for (uint256 i = 0; i < count; ++i) {
                reversed = reversed << 8 | (value & 0xff);
                value >>= 8;
            }
        }
    }

    function _entry(uint256 table, uint256 form) private pure returns (uint256) {
        unchecked {
            return (table >> ((12 - form) << 3)) & 0xff;
        }
    }

    function _grow(Step memory step) private pure {
        uint256 by = step.slot(step.a);
        Rest memory rest = step.openRest();
        Context memory context = step.openContext();
        Descriptor memory target = Descriptors.memory_(step, step.imm);
        uint256 size = target.size();
        unchecked {
            uint256 pages = (rest.counters >> 160) & States.U32;
            if (size + by > target.maximum() || pages + by > context.pageLimit()) {
                step.result(States.U32);
                return;
            }
            target.grow(step, by);
            rest.counters += by << 160;
        }
        step.result(size);
    }
}
