// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IStepVerifier} from "../../src/interfaces/IStepVerifier.sol";
import {Proof, StepTest} from "./StepTest.sol";
import {BRANCH, halves} from "./Instructions.sol";
import {Record, World, Worlds} from "./World.sol";

/// @dev One proof of every kind of opening, for fuzzers to change.
contract ProofsTest is StepTest {
    Proof[] private proofs;

    function setUp() public override {
        super.setUp();

        World memory w = _with(0x42 | BRANCH, 17, 3, 5, halves(1, 1));
        Proof memory p = _prove(w);
        _openFrame(p, w, 1);
        _openFrame(p, w, 0);
        proofs.push(p);

        w = _with(0x30, 17, 18, 19, 0x300);
        w.frame.setSlot(17, 5);
        w.frame.setSlot(18, 700);
        w.frame.setSlot(19, 200);
        p = _prove(w);
        _openFrame(p, w, 1);
        _openMemories(p, w, 0);
        _openMemories(p, w, 1);
        _openLeaf(p, w.memories[3].tree, 5);
        _openLeaf(p, w.memories[0].tree, 0);
        proofs.push(p);

        w = _with(0x0a, 3, 0, 1, 5);
        Record memory record = Record(keccak256("caller"), w.frame.root(), 77, 40, 33);
        w.callers = Worlds.hash(record);
        p = _prove(w);
        _openFrame(p, w, 0);
        _openRecord(p, record);
        _openFrame(p, w, 2);
        proofs.push(p);

        w = _with(0x32, 17, 18, 19, 3);
        w.frame.setSlot(17, 5);
        w.frame.setSlot(18, 7);
        w.frame.setSlot(19, 200);
        p = _prove(w);
        _openFrame(p, w, 1);
        _openRest(p, w);
        _openContext(p, w);
        _openMemories(p, w, 0);
        _openLeaf(p, w.segments, 3);
        _openLeaf(p, w.memories[0].tree, 0);
        proofs.push(p);

        w = _with(0x00, 0, 0, 0, 0);
        p = _prove(w);
        _openRest(p, w);
        _openContext(p, w);
        proofs.push(p);

        bytes memory halted = w.halted(0, 1);
        proofs.push(Proof(keccak256(abi.encodePacked(Worlds.domain("halted"), halted)), halted, true, true));
    }

    function testFuzz_a_proof_with_a_bit_changed_is_refused(uint256 which, uint256 bit) public view {
        Proof memory p = proofs[which % proofs.length];
        verifier.transition(p.before, p.words);
        bit %= 8 * p.words.length;
        p.words[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        _refused(p.before, p.words);
    }

    function testFuzz_a_proof_with_two_words_exchanged_is_refused(uint256 which, uint256 i, uint256 j) public view {
        Proof memory p = proofs[which % proofs.length];
        bytes memory words = p.words;
        i = 32 * (i % (words.length / 32));
        j = 32 * (j % (words.length / 32));
        bool same;
        assembly ("memory-safe") {
            let x := add(add(words, 0x20), i)
            let y := add(add(words, 0x20), j)
            let word := mload(x)
            same := eq(word, mload(y))
            mstore(x, mload(y))
            mstore(y, word)
        }
        if (!same) _refused(p.before, words);
    }

    function testFuzz_a_proof_cut_short_or_continued_is_refused(uint256 which, uint256 length) public view {
        Proof memory p = proofs[which % proofs.length];
        bytes memory words = new bytes(length % (2 * p.words.length));
        for (uint256 i = 0; i < words.length && i < p.words.length; ++i) {
            words[i] = p.words[i];
        }
        if (words.length != p.words.length) _refused(p.before, words);
    }

    function testFuzz_another_states_proof_is_refused(bytes32 before, uint256 which) public view {
        _refused(before, proofs[which % proofs.length].words);
    }

    /// @dev The words behind a proof in calldata are no part of it, even if they are the right ones.
    function test_a_proof_goes_no_further_than_its_length() public view {
        for (uint256 i = 0; i < proofs.length; ++i) {
            Proof memory p = proofs[i];
            for (uint256 missing = 1; missing <= 32; missing += 31) {
                uint256 length = p.words.length - missing;
                bytes memory call_ =
                    abi.encodePacked(IStepVerifier.transition.selector, p.before, uint256(64), length, p.words);
                (bool done,) = address(verifier).staticcall(call_);
                assertTrue(!done, "refused");
            }
        }
    }
}
