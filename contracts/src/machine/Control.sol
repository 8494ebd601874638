// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {Descriptor, Descriptors} from "./Descriptors.sol";
import {Op} from "./Opcodes.sol";
import {Caller, Rest, State, States} from "./State.sol";
import {Step} from "./Step.sol";
import {Leaf, Trees} from "./Trees.sol";

/// @title Charges, jumps, calls, and moves between slots and globals
library Control {
    uint256 private constant ARGUMENTS_MAX = 32;

    function execute(Step memory step) internal pure {
        uint256 operation = step.operation;
        unchecked {
            if (operation == Op.CHARGE) {
                step.charge(step.imm);
                step.advance();
            } else if (operation == Op.CHARGE_SIZE) {
                _chargeSize(step);
            } else if (operation == Op.JUMP) {
                step.pc = step.low();
                step.charge(step.high());
            } else if (operation == Op.BRANCH_IF) {
                branch(step, step.slot(step.a) != 0, step.high());
            } else if (operation == Op.BRANCH_IF_ZERO) {
                branch(step, step.slot(step.a) == 0, step.high());
            } else if (operation == Op.BRANCH_TABLE) {
                uint256 entry = step.slot(step.a);
                step.pc += 1 + (entry < step.imm ? entry : step.imm);
            } else if (operation == Op.ENTER) {
                _enter(step);
            } else if (operation == Op.CALL) {
                _call(step, step.low(), step.b);
            } else if (operation == Op.CALL_REF) {
                uint256 ref = step.slot(step.b);
                _call(step, ref >> 32, ref & States.U16);
            } else if (operation == Op.RETURN) {
                _return(step);
            } else if (operation == Op.RESULT) {
                _result(step);
            } else if (operation == Op.RESOLVE) {
                _resolve(step);
            } else if (operation == Op.COPY) {
                step.result(step.slot(step.a));
            } else if (operation == Op.CONST) {
                step.result(step.imm);
            } else if (operation == Op.SELECT) {
                uint256 x = step.slot(step.a);
                uint256 y = step.slot(step.b);
                step.result(step.slot(step.imm & States.U16) != 0 ? x : y);
            } else if (operation == Op.GLOBAL_GET) {
                step.result(global_(step, step.imm).slot(step.imm));
            } else if (operation == Op.GLOBAL_SET) {
                uint256 value = step.slot(step.a);
                Leaf leaf = global_(step, step.imm);
                leaf.setSlot(step.imm, value);
                step.state.globals = leaf.root();
                step.advance();
            } else {
                // Unreachable, and what is not listed.
                step.trap();
            }
        }
    }

    /// @dev Ends a branch: `charge_` cycles if it is taken, c if not.
    function branch(Step memory step, bool taken, uint256 charge_) internal pure {
        if (taken) {
            step.pc = step.low();
        } else {
            step.advance();
            charge_ = step.c;
        }
        step.charge(charge_);
    }

    /// @dev The leaf with a global.
    function global_(Step memory step, uint256 index) internal pure returns (Leaf) {
        return step.open(step.state.globals, step.depthAt(144), index >> 4);
    }

    function _chargeSize(Step memory step) private pure {
        unchecked {
            uint256 size = step.slot(step.a) & States.U32;
            uint256 most = step.low();
            uint256 rate = step.high();
            if (size > most) size = most;
            step.charge((size >> (rate >> 16)) * (rate & States.U16));
            step.advance();
        }
    }

    function _enter(Step memory step) private pure {
        unchecked {
            step.slots += step.low();
            if (step.slots > (step.state.shape >> 160) & States.U32) step.halt(States.OUT_OF_SLOTS, 0);
            step.charge(step.high());
            step.advance();
        }
    }

    function _call(Step memory step, uint256 target, uint256 frameSize) private pure {
        uint256 count = step.c;
        if (count > ARGUMENTS_MAX) step.trap();
        State memory state = step.state;
        unchecked {
            bytes32 frame = _newFrame(step, count, Trees.levelsOfSlots(frameSize));
            Caller memory record;
            record.domain = States.CALLER_DOMAIN;
            record.callers = state.callers;
            record.frame = state.frame;
            record.registers = (step.pc + 1) << 224 | step.frameSize << 208 | ((step.imm >> 32) & States.U16) << 192;
            state.callers = record.hash();
            state.frame = frame;
            step.frameSize = frameSize;
            step.pc = target;
        }
    }

    /// @dev The root of a frame of zeros but for its first slots, which are the arguments.
    function _newFrame(Step memory step, uint256 count, uint256 depth) private pure returns (bytes32 frame) {
        uint256 arguments;
        // Two leaves, and spare bytes behind them.
        assembly ("memory-safe") {
            arguments := mload(0x40)
            mstore(0x40, add(arguments, 0x120))
            calldatacopy(arguments, calldatasize(), 0x100)
        }
        unchecked {
            for (uint256 i = 0; i < count; ++i) {
                uint256 value = step.slot(step.a + i);
                assembly ("memory-safe") {
                    mstore(add(arguments, shl(3, i)), shl(192, value))
                }
            }
        }
        bytes32 second;
        assembly ("memory-safe") {
            frame := keccak256(arguments, 0x80)
            second := keccak256(add(arguments, 0x80), 0x80)
        }
        if (depth != 0) frame = Trees.extend(Trees.node(frame, second), 1, depth);
    }

    function _return(Step memory step) private pure {
        State memory state = step.state;
        unchecked {
            uint256 count = step.c;
            uint256 value;
            if (count == 1) value = step.slot(step.a);
            if (state.callers == 0) step.trap();
            if (count > 1) {
                Rest memory rest = step.openRest();
                rest.results = state.frame;
                rest.counters = (rest.counters & ~(States.U16 << 144)) | step.frameSize << 144;
            }
            Caller memory record = step.openCaller();
            step.slots = (step.slots - step.low()) & States.U32;
            step.pc = record.registers >> 224;
            step.frameSize = (record.registers >> 208) & States.U16;
            state.frame = record.frame;
            state.callers = record.callers;
            // The open leaves are those of the frame that is left.
            step.frameLeaves = Leaf.wrap(0);
            if (count == 1) step.setSlot((record.registers >> 192) & States.U16, value);
        }
    }

    function _result(Step memory step) private pure {
        Rest memory rest = step.openRest();
        uint256 size = (rest.counters >> 144) & States.U16;
        Leaf leaf = step.open(rest.results, Trees.levelsOfSlots(size), step.a >> 4);
        if (step.b == 1) {
            rest.results = 0;
            rest.counters &= ~(States.U16 << 144);
        }
        step.result(leaf.slot(step.a));
    }

    function _resolve(Step memory step) private pure {
        uint256 entry = step.slot(step.a);
        Descriptor memory table = Descriptors.table(step, step.b);
        if (entry >= table.size()) step.trap();
        uint256 ref = table.open(step, entry >> 4).slot(entry);
        if (ref == 0 || (ref >> 16) & States.U16 != step.imm) step.trap();
        step.result(ref);
    }
}
