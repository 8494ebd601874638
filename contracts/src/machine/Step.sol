// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {IStepVerifier} from "../interfaces/IStepVerifier.sol";
import {Hashing} from "../market/Hashing.sol";
import {Caller, Context, Rest, State, States} from "./State.sol";
import {Leaf, Leaves, Trees} from "./Trees.sol";

/// @dev The machine during one step: what of it is open, its registers and its instruction.
struct Step {
    State state;
    /// Parts of the state that few steps open; the domain is zero until then.
    Rest rest;
    Context context;
    /// Where in calldata the proof goes on, and where it ends.
    uint256 cursor;
    uint256 end;
    uint256 cycles;
    uint256 pc;
    uint256 slots;
    uint256 frameSize;
    uint256 phase;
    uint256 progress;
    uint256 operation;
    uint256 flags;
    uint256 a;
    uint256 b;
    uint256 c;
    uint256 imm;
    /// The open leaves of the frame, last opened first.
    Leaf frameLeaves;
}

using Steps for Step global;

/// @title Opening the state before, changing it, and leaving with the state after
/// @dev Every opening takes the next words of the proof, so the order in which code touches leaves
/// is the order of the proof: `verifier/MACHINE.md`, section 4. What is read is always the state
/// before, since no leaf is opened in a tree after it changed.
library Steps {
    /// @dev Opens the state `before` and its instruction.
    function begin(bytes32 before, bytes calldata proof) internal pure returns (Step memory step) {
        uint256 start;
        assembly ("memory-safe") {
            start := proof.offset
        }
        unchecked {
            step.cursor = start;
            step.end = start + proof.length;
        }
        State memory state = step.state;
        state.domain = States.STATE_DOMAIN;
        assembly ("memory-safe") {
            calldatacopy(add(state, 0x20), start, 0x100)
        }
        step.cursor += 0x100;
        _match(state.hash(), before);

        uint256 registers = state.registers;
        step.cycles = registers >> 192;
        step.pc = (registers >> 160) & States.U32;
        step.slots = (registers >> 128) & States.U32;
        step.frameSize = (registers >> 112) & States.U16;
        step.phase = (registers >> 96) & States.U16;
        step.progress = registers & States.U64;

        unchecked {
            uint256 pc = step.pc;
            Leaf code = step.open(state.code, step.depthAt(152), pc >> 3);
            uint256 instruction = code.read(pc << 4, 16);
            step.operation = (instruction >> 112) & 0xff;
            step.flags = instruction >> 120;
            step.a = (instruction >> 96) & States.U16;
            step.b = (instruction >> 80) & States.U16;
            step.c = (instruction >> 64) & States.U16;
            step.imm = instruction & States.U64;
        }
    }

    /// @dev The state after, which the whole proof must have led to.
    function finish(Step memory step) internal pure returns (bytes32) {
        State memory state = step.state;
        unchecked {
            state.registers = step.cycles << 192 | step.pc << 160 | step.slots << 128 | step.frameSize << 112
                | step.phase << 96 | step.progress;
        }
        Rest memory rest = step.rest;
        if (rest.domain != 0) state.rest = rest.hash();
        return _whole(step, state.hash());
    }

    // Halting ends the call at once: nothing else of the step counts.

    function trap(Step memory step) internal pure {
        step.halt(States.TRAPPED, 0);
    }

    function exit(Step memory step, uint256 exitCode) internal pure {
        step.halt(States.EXITED, exitCode);
    }

    /// @dev Returns the halted state from `transition` itself. The exit code is 0 but for EXITED.
    function halt(Step memory step, uint256 status, uint256 exitCode) internal pure {
        Rest memory rest = step.openRest();
        Context memory context = step.openContext();
        bytes32 outputRoot = rest.output;
        uint256 outputLength = rest.counters >> 192;
        if (status != States.EXITED) {
            outputRoot = Trees.zeros(Trees.levelsOfBytes(context.outputLimit()));
            outputLength = 0;
        }
        bytes32 inner = Hashing.inner(status, exitCode, outputRoot, outputLength);
        bytes32 after_ = _whole(step, Hashing.halted(context.jobHash, context.taskIndex(), step.cycles, inner));
        assembly ("memory-safe") {
            mstore(0x00, after_)
            return(0x00, 0x20)
        }
    }

    function charge(Step memory step, uint256 amount) internal pure {
        unchecked {
            uint256 limit = step.state.shape >> 192;
            amount += step.cycles;
            if (amount > limit) {
                step.cycles = limit;
                step.halt(States.OUT_OF_CYCLES, 0);
            }
            step.cycles = amount;
        }
    }

    function advance(Step memory step) internal pure {
        unchecked {
            ++step.pc;
        }
    }

    // Operands and results.

    function slot(Step memory step, uint256 index) internal pure returns (uint256) {
        return _frameLeaf(step, index).slot(index);
    }

    /// @dev At most one slot a step.
    function setSlot(Step memory step, uint256 index, uint256 value) internal pure {
        Leaf leaf = _frameLeaf(step, index);
        leaf.setSlot(index, value);
        step.state.frame = leaf.root();
    }

    /// @dev [c] = value, which ends most instructions.
    function result(Step memory step, uint256 value) internal pure {
        step.setSlot(step.c, value);
        step.advance();
    }

    function low(Step memory step) internal pure returns (uint256) {
        return step.imm & States.U32;
    }

    function high(Step memory step) internal pure returns (uint256) {
        return step.imm >> 32;
    }

    // Openings.

    /// @dev Opens a leaf of the tree under `root`.
    function open(Step memory step, bytes32 root, uint256 depth, uint256 index) internal pure returns (Leaf leaf) {
        uint256 cursor = step.cursor;
        leaf = Leaves.take(cursor, depth, index);
        unchecked {
            step.cursor = cursor + ((4 + depth) << 5);
        }
        _match(leaf.root(), root);
    }

    function openRest(Step memory step) internal pure returns (Rest memory rest) {
        rest = step.rest;
        if (rest.domain == 0) {
            rest.domain = States.REST_DOMAIN;
            uint256 cursor = step.cursor;
            assembly ("memory-safe") {
                calldatacopy(add(rest, 0x20), cursor, 0xa0)
            }
            unchecked {
                step.cursor = cursor + 0xa0;
            }
            _match(rest.hash(), step.state.rest);
        }
    }

    /// @dev Needs the rest to be open.
    function openContext(Step memory step) internal pure returns (Context memory context) {
        context = step.context;
        if (context.domain == 0) {
            context.domain = States.CONTEXT_DOMAIN;
            uint256 cursor = step.cursor;
            assembly ("memory-safe") {
                calldatacopy(add(context, 0x20), cursor, 0x80)
            }
            unchecked {
                step.cursor = cursor + 0x80;
            }
            _match(context.hash(), step.rest.context);
        }
    }

    function openCaller(Step memory step) internal pure returns (Caller memory record) {
        record.domain = States.CALLER_DOMAIN;
        uint256 cursor = step.cursor;
        assembly ("memory-safe") {
            calldatacopy(add(record, 0x20), cursor, 0x60)
        }
        unchecked {
            step.cursor = cursor + 0x60;
        }
        _match(record.hash(), step.state.callers);
    }

    /// @dev A depth of the state's shape, from the bit where it begins.
    function depthAt(Step memory step, uint256 bit) internal pure returns (uint256) {
        return (step.state.shape >> bit) & 0xff;
    }

    function _frameLeaf(Step memory step, uint256 slot_) private pure returns (Leaf leaf) {
        uint256 index = slot_ >> 4;
        leaf = step.frameLeaves;
        while (Leaf.unwrap(leaf) != 0) {
            if (leaf.position() == index) return leaf;
            leaf = leaf.next();
        }
        leaf = step.open(step.state.frame, Trees.levelsOfSlots(step.frameSize), index);
        leaf.setNext(step.frameLeaves);
        step.frameLeaves = leaf;
    }

    function _match(bytes32 got, bytes32 committed) private pure {
        if (got != committed) revert IStepVerifier.ProofMismatch();
    }

    function _whole(Step memory step, bytes32 after_) private pure returns (bytes32) {
        if (step.cursor != step.end) revert IStepVerifier.ProofLengthWrong();
        return after_;
    }
}
