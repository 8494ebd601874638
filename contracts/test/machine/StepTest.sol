// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IStepVerifier} from "../../src/interfaces/IStepVerifier.sol";
import {Test} from "../base/Test.sol";
import {VmMachine} from "./VmMachine.sol";
import {instruction} from "./Instructions.sol";
import {Area, Record, Tree, World, Worlds} from "./World.sol";

/// @dev A proof under construction.
struct Proof {
    bytes32 before;
    bytes words;
    bool restOpen;
    bool contextOpen;
}

/// @dev A machine with some of everything, and a proof that is written opening by opening. A test says
/// what an instruction opens and what the machine becomes; every proof that it accepts is then
/// corrupted word by word, and must be refused each time.
abstract contract StepTest is Test {
    uint256 internal constant PAGE = 65_536;
    /// The instruction's place: not the first leaf, not the first in its leaf.
    uint256 internal constant PC = 21;

    /// More than any step here executes, and less than what is free below calldata's floor price: 24 gas
    /// for each of at least 1500 bytes.
    uint256 private constant EXECUTION_MAX = 36_000;

    IStepVerifier internal verifier;

    function setUp() public virtual {
        VmMachine env = VmMachine(address(vm));
        verifier = IStepVerifier(_deploy(env.envOr("STEP_VERIFIER", string("StepVerifier.sol:StepVerifier"))));
    }

    function _deploy(string memory artifact) internal returns (address deployed) {
        bytes memory creation = vm.getCode(artifact);
        assembly ("memory-safe") {
            deployed := create(0, add(creation, 0x20), mload(creation))
        }
        assertTrue(deployed != address(0), "deployed");
    }

    // The machine.

    function _world() internal pure returns (World memory w) {
        (w.cycles, w.pc, w.slots, w.cycleLimit, w.slotLimit) = (1000, PC, 500, 2000, 1000);
        w.code.depth = 4;
        (w.frameSize, w.frame) = (40, _tree("frame", 0, 3, 2));
        w.callers = keccak256("callers");
        w.memories = new Area[](5);
        w.tables = new Area[](3);
        for (uint256 i = 0; i < 5; ++i) {
            w.memories[i] = Area(_tree("memory", i, 10, 10), 2, 4);
            w.pages += 2;
        }
        for (uint256 i = 0; i < 3; ++i) {
            w.tables[i] = Area(_tree("table", i, 7, 3), 100, 120);
        }
        w.globals = _tree("globals", 0, 2, 1);
        w.segments = _tree("segments", 0, 8, 3);
        w.archive = _tree("archive", 0, 8, 3);
        w.output = _tree("output", 0, 2, 4);
        w.archiveLength = 1000;
        (w.outputLength, w.outputLimit) = (200, 1500);
        w.jobHash = keccak256("job");
        (w.machineVersion, w.task, w.taskCount, w.pageLimit) = (7, 3, 9, 12);
    }

    function _tree(string memory what, uint256 index, uint256 leaves, uint256 depth)
        internal
        pure
        returns (Tree memory tree)
    {
        tree.depth = depth;
        bytes memory data = new bytes(leaves * 128);
        bytes32 word = keccak256(abi.encode(what, index));
        assembly ("memory-safe") {
            mstore(0x00, word)
            for { let i := mload(data) } i { i := sub(i, 0x20) } {
                mstore(0x20, i)
                mstore(add(data, i), keccak256(0x00, 0x40))
            }
        }
        tree.data = data;
    }

    function _at(World memory w, uint256 op, uint256 a, uint256 b, uint256 c, uint256 imm) internal pure {
        w.code.write(16 * w.pc, instruction(op, a, b, c, imm));
    }

    /// @dev A machine whose next instruction is this one.
    function _with(uint256 op, uint256 a, uint256 b, uint256 c, uint256 imm) internal pure returns (World memory w) {
        w = _world();
        _at(w, op, a, b, c, imm);
    }

    // Proofs.

    function _prove(World memory w) internal pure returns (Proof memory p) {
        p.before = w.hash();
        p.words = abi.encodePacked(w.state(), w.code.opening(w.pc / 8));
    }

    function _open(Proof memory p, bytes memory words) internal pure {
        p.words = abi.encodePacked(p.words, words);
    }

    function _openLeaf(Proof memory p, Tree memory tree, uint256 leaf) internal pure {
        _open(p, tree.opening(leaf));
    }

    function _openFrame(Proof memory p, World memory w, uint256 leaf) internal pure {
        _openLeaf(p, w.frame, leaf);
    }

    function _openRest(Proof memory p, World memory w) internal pure {
        _open(p, w.rest());
        p.restOpen = true;
    }

    function _openContext(Proof memory p, World memory w) internal pure {
        _open(p, w.context());
        p.contextOpen = true;
    }

    function _openRecord(Proof memory p, Record memory record) internal pure {
        _open(p, Worlds.preimage(record));
    }

    function _openMemories(Proof memory p, World memory w, uint256 leaf) internal pure {
        _openLeaf(p, Worlds.descriptors(w.memories), leaf);
    }

    function _openTables(Proof memory p, World memory w, uint256 leaf) internal pure {
        _openLeaf(p, Worlds.descriptors(w.tables), leaf);
    }

    // Outcomes.

    function _leadsTo(Proof memory p, World memory after_) internal view {
        _leadsTo(p, after_.hash());
    }

    function _advances(Proof memory p, World memory w) internal view {
        ++w.pc;
        _leadsTo(p, w);
    }

    /// @dev Opens what halting opens, and halts.
    function _halts(Proof memory p, World memory w, uint256 status, uint256 exitCode) internal view {
        if (!p.restOpen) _openRest(p, w);
        if (!p.contextOpen) _openContext(p, w);
        _leadsTo(p, keccak256(abi.encodePacked(Worlds.domain("halted"), w.halted(status, exitCode))));
    }

    function _traps(Proof memory p, World memory w) internal view {
        _halts(p, w, 1, 0);
    }

    function _runsOutOfCycles(Proof memory p, World memory w) internal view {
        w.cycles = w.cycleLimit;
        _halts(p, w, 2, 0);
    }

    function _leadsTo(Proof memory p, bytes32 after_) internal view {
        assertEq(verifier.transition{gas: EXECUTION_MAX}(p.before, p.words), after_, "state after");
        _corrupt(p);
    }

    function _corrupt(Proof memory p) private view {
        uint256 noise = uint256(keccak256(p.words));
        bytes memory words = p.words;
        for (uint256 offset = 32; offset <= words.length; offset += 32) {
            noise = uint256(keccak256(abi.encode(noise)));
            uint256 word;
            assembly ("memory-safe") {
                word := mload(add(words, offset))
                mstore(add(words, offset), xor(word, shl(and(noise, 0xff), 1)))
            }
            _refused(p.before, words);
            assembly ("memory-safe") {
                mstore(add(words, offset), word)
            }
        }
        _refused(p.before ^ bytes32(1 << (noise & 0xff)), words);
        _refused(p.before, abi.encodePacked(words, bytes32(0)));
        _refused(p.before, abi.encodePacked(words, bytes1(0)));
        assembly ("memory-safe") {
            mstore(words, sub(mload(words), 0x20))
        }
        _refused(p.before, words);
        assembly ("memory-safe") {
            mstore(words, add(mload(words), 0x20))
        }
    }

    function _refused(bytes32 before, bytes memory words) internal view {
        try verifier.transition(before, words) returns (bytes32) {
            revert NotTrue("refused");
        } catch (bytes memory reason) {
            bytes4 selector = bytes4(reason);
            assertTrue(
                selector == IStepVerifier.ProofMismatch.selector || selector == IStepVerifier.ProofLengthWrong.selector,
                "refused for its words"
            );
        }
    }
}
