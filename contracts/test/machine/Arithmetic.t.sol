// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {StepTest, Proof} from "./StepTest.sol";
import {VmMachine} from "./VmMachine.sol";
import {BRANCH, IMM, halves} from "./Instructions.sol";
import {World, Worlds} from "./World.sol";

/// @dev Operations 40 to c3, executed as steps, against what a WebAssembly engine computes
/// (`scripts/arithmetic.mjs`): plain, with an immediate operand, and as branches.
///
///     ARITHMETIC=FOLDER/arithmetic- FILES=50 npm test -- --match-test vectors_of_arithmetic
///
/// runs other files of the script.
contract ArithmeticTest is StepTest {
    uint256 private constant RECORD = 25;
    uint256 private constant CYCLE_LIMIT = 1 << 40;
    uint256 private constant TRAPPED = type(uint256).max;

    function test_vectors_of_arithmetic() public view {
        string memory prefix = VmMachine(address(vm)).envOr("ARITHMETIC", string(""));
        if (bytes(prefix).length == 0) {
            assertEq(_file("test/machine/arithmetic.json"), 10_264, "vectors");
            return;
        }
        uint256 files = VmMachine(address(vm)).envOr("FILES", uint256(1));
        uint256 first = VmMachine(address(vm)).envOr("FIRST", uint256(0));
        for (uint256 i = first; i < first + files; ++i) {
            this.file(string.concat(prefix, vm.toString(i), ".json"));
        }
    }

    /// @dev A call of its own, so that its memory does not pile up.
    function file(string calldata path) external view {
        _file(path);
    }

    function _file(string memory path) private view returns (uint256 vectors) {
        string memory json = vm.readFile(path);
        for (uint256 op = 0x40; op < 0xc4; ++op) {
            string memory key = string.concat(".", _hex(op));
            if (!vm.keyExistsJson(json, key)) continue;
            vectors += this.operation(op, vm.parseJsonBytes(json, key));
        }
    }

    function operation(uint256 op, bytes calldata records) external view returns (uint256 count) {
        for (uint256 start = 0; start < records.length; start += RECORD) {
            uint256 x = uint64(bytes8(records[start:start + 8]));
            uint256 y = uint64(bytes8(records[start + 8:start + 16]));
            uint256 z = uint64(bytes8(records[start + 16:start + 24]));
            if (records[start + 24] != 0) z = TRAPPED;
            uint256 free;
            assembly ("memory-safe") {
                free := mload(0x40)
            }
            _vector(op, x, y, z);
            // Memory is used again for the next vector.
            assembly {
                mstore(0x40, free)
            }
            ++count;
        }
    }

    function _hex(uint256 value) private pure returns (string memory) {
        bytes16 digits = "0123456789abcdef";
        return string(abi.encodePacked(digits[value >> 4], digits[value & 15]));
    }

    function _vector(uint256 op, uint256 x, uint256 y, uint256 z) private view {
        _plain(op, x, y, z, 0, 1);
        bool flostart = op >= 0x80;
        bool binary = op > 0x40 && op <= 0x4b || op >= 0x50 && op <= 0x5d || op >= 0x68 && op <= 0x75;
        if (binary) _plain(op | IMM, x, y ^ type(uint64).max, z, y, 1);
        bool comparison = op <= 0x46 || op >= 0x52 && op <= 0x55 || op >= 0x6a && op <= 0x6d || op >= 0x80 && op <= 0x85
            || op >= 0x94 && op <= 0x99;
        if (!comparison) return;
        _branch(op | BRANCH, x, y, z, 1, halves(70, 30), 30);
        if (flostart) {
            _branch(op | BRANCH | IMM, x, y, 1 - z, 1, halves(70, 30), 30);
        } else if (op >= 0x52 && op <= 0x55) {
            _branch(op | BRANCH | IMM, x, y ^ type(uint64).max, z, 31, halves(70, y), 31);
        } else if (op != 0x40 && uint256(int256(int32(uint32(y)))) & type(uint64).max == y) {
            _branch(op | BRANCH | IMM, x, y ^ type(uint64).max, z, 31, halves(70, y & type(uint32).max), 31);
        }
    }

    function _plain(uint256 op, uint256 x, uint256 y, uint256 z, uint256 imm, uint256 b) private view {
        uint256 word = op << 112 | b << 80 | uint256(2) << 64 | imm;
        uint256 frame = x << 192 | y << 128 | 0xa5a5a5a5a5a5a5a5 << 64 | 0x5a5a5a5a5a5a5a5a;
        bytes32 rest = keccak256("no rest");
        if (z == TRAPPED) return _trap(op, word, frame);
        (bytes32 before, bytes memory proof) = _state(word, frame, rest);
        bytes32 got = verifier.transition(before, proof);
        frame = x << 192 | y << 128 | z << 64 | 0x5a5a5a5a5a5a5a5a;
        if (got == _hash(word, frame, rest, 10, 1)) return;
        revert Differs(string.concat("result of ", _hex(op & 0xff), " flags ", _hex(op >> 8)), x, y);
    }

    function _trap(uint256 op, uint256 word, uint256 frame) private view {
        (bytes memory rest, bytes memory context) = _opened();
        (bytes32 before, bytes memory proof) = _state(word, frame, keccak256(abi.encodePacked(REST, rest)));
        bytes32 inner = keccak256(abi.encode(RESULT, 1, 0, Z, 0));
        bytes32 expected = keccak256(abi.encode(HALTED, keccak256("job"), 5, 10, inner));
        bytes32 got = verifier.transition(before, abi.encodePacked(proof, rest, context));
        assertEq(got, expected, string.concat("trap of ", _hex(op & 0xff)));
    }

    function _branch(uint256 op, uint256 x, uint256 y, uint256 z, uint256 b, uint256 imm, uint256 taken) private view {
        uint256 word = op << 112 | b << 80 | uint256(29) << 64 | imm;
        uint256 frame = x << 192 | y << 128;
        bytes32 rest = keccak256("no rest");
        (bytes32 before, bytes memory proof) = _state(word, frame, rest);
        bytes32 expected = z != 0 ? _hash(word, frame, rest, 10 + taken, 70) : _hash(word, frame, rest, 39, 1);
        if (verifier.transition(before, proof) == expected) return;
        revert Differs(string.concat("branch of ", _hex(op & 0xff), " flags ", _hex(op >> 8)), x, y);
    }

    // A machine of one leaf of code and one of frame, hashed with little ado, for a million of them.

    bytes32 private constant Z = keccak256(new bytes(128));
    bytes32 private constant STATE = keccak256("outcry.state.v1");
    bytes32 private constant REST = keccak256("outcry.rest.v1");
    bytes32 private constant CONTEXT = keccak256("outcry.context.v1");
    bytes32 private constant RESULT = keccak256("outcry.result.v1");
    bytes32 private constant HALTED = keccak256("outcry.halted.v1");

    function _opened() private pure returns (bytes memory rest, bytes memory context) {
        context = abi.encode(keccak256("job"), uint256(5) << 192, Z, Z);
        rest = abi.encode(keccak256(abi.encodePacked(CONTEXT, context)), Z, 0, Z, 0);
    }

    function _words(uint256 word, uint256 frame, bytes32 rest, uint256 cycles, uint256 pc)
        private
        pure
        returns (bytes memory)
    {
        return abi.encode(
            cycles << 192 | pc << 160 | uint256(3) << 112,
            CYCLE_LIMIT << 192,
            keccak256(abi.encode(word << 128, 0, 0, 0)),
            keccak256(abi.encode(frame, 0, 0, 0)),
            0,
            Z,
            Z,
            rest
        );
    }

    function _hash(uint256 word, uint256 frame, bytes32 rest, uint256 cycles, uint256 pc)
        private
        pure
        returns (bytes32)
    {
        return keccak256(abi.encodePacked(STATE, _words(word, frame, rest, cycles, pc)));
    }

    function _state(uint256 word, uint256 frame, bytes32 rest)
        private
        pure
        returns (bytes32 before, bytes memory proof)
    {
        proof = _words(word, frame, rest, 10, 0);
        before = keccak256(abi.encodePacked(STATE, proof));
        proof = abi.encodePacked(
            proof, word << 128, uint256(0), uint256(0), uint256(0), frame, uint256(0), uint256(0), uint256(0)
        );
    }

    // Operands and results in other leaves, and charges.

    function test_operands_are_opened_in_order_and_the_result_last() public view {
        World memory w = _with(0x68, 20, 3, 35, 0);
        (uint64 x, uint64 y) = (uint64(w.frame.slot(20)), uint64(w.frame.slot(3)));
        Proof memory p = _prove(w);
        _openFrame(p, w, 1);
        _openFrame(p, w, 0);
        _openFrame(p, w, 2);
        unchecked {
            w.frame.setSlot(35, x + y);
        }
        _advances(p, w);
    }

    function test_an_immediate_leaves_b_closed() public view {
        World memory w = _with(0x68 | IMM, 20, 3, 17, 5);
        Proof memory p = _prove(w);
        _openFrame(p, w, 1);
        w.frame.setSlot(17, w.frame.slot(20) + 5);
        _advances(p, w);
    }

    function test_an_operation_with_one_operand_leaves_b_closed() public view {
        World memory w = _with(0x7b, 20, 3, 17, 5);
        w.frame.setSlot(20, 0x80000000);
        Proof memory p = _prove(w);
        _openFrame(p, w, 1);
        w.frame.setSlot(17, 0xffffffff80000000);
        _advances(p, w);
    }

    function test_division_by_zero_opens_no_result() public view {
        uint8[6] memory divisions = [0x4a, 0x4b, 0x57, 0x58, 0x6f, 0x70];
        for (uint256 i = 0; i < divisions.length; ++i) {
            World memory w = _with(divisions[i], 20, 3, 35, 0);
            w.frame.setSlot(3, 0);
            Proof memory p = _prove(w);
            _openFrame(p, w, 1);
            _openFrame(p, w, 0);
            _traps(p, w);
        }
    }

    function test_a_compare_and_branch_runs_out_of_cycles_on_either_side() public view {
        for (uint256 taken = 0; taken < 2; ++taken) {
            World memory w = _with(0x41 | BRANCH, 20, 3, 1001, halves(5, 1001));
            w.frame.setSlot(3, taken == 1 ? w.frame.slot(20) : 0);
            Proof memory p = _prove(w);
            _openFrame(p, w, 1);
            _openFrame(p, w, 0);
            _runsOutOfCycles(p, w);
        }
        for (uint256 taken = 0; taken < 2; ++taken) {
            World memory w = _with(0x6a | BRANCH | IMM, 20, 1001, 1001, halves(5, type(uint32).max));
            w.frame.setSlot(20, taken == 1 ? type(uint64).max - 1 : type(uint64).max);
            Proof memory p = _prove(w);
            _openFrame(p, w, 1);
            _runsOutOfCycles(p, w);
        }
    }
}
