// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IStepVerifier} from "../../src/interfaces/IStepVerifier.sol";
import {BigWorld} from "./BigWorld.sol";
import {Proof} from "./StepTest.sol";
import {BRANCH, IMM, halves} from "./Instructions.sol";
import {Record, World, Worlds} from "./World.sol";

/// @dev What a step costs as a transaction, at 4M instructions of code and 64 MiB of memory: 21,000,
/// calldata and execution, or the calldata's floor where that is more. Every leaf and digest is
/// random, so that hardly a byte is the cheaper zero. `npm run gas` keeps the figures in
/// gas/snapshot.json.
contract StepGasTest is BigWorld {
    /// Slots of the largest frame there is, of depth 11.
    uint256 private constant LARGEST = 1 << 15;

    uint256 private constant STEP_MEDIAN_MAX = 100_000;
    uint256 private constant STEP_MAX = 145_000;
    uint256 private constant TRANSACTION = 21_000;

    string private figures;
    uint256[] private costs;
    uint256 private executionMost;

    function setUp() public override {
        verifier = IStepVerifier(_deploy("artifacts/StepVerifier.json"));
    }

    function test_gas_of_steps() public {
        size = ORDINARY;
        _family("step: ");
        uint256 median = _median();
        _figure("step: median of these", median);
        assertAtMost(median, STEP_MEDIAN_MAX, "gas of the median step");
        assertAtMost(_most(), STEP_MAX, "gas of a step");

        size = LARGEST;
        delete costs;
        _family("step in the largest frame: ");
        assertAtMost(_most(), STEP_MAX, "gas of a step in the largest frame");
        _figure("step: most execution", executionMost);
        vm.writeFile("gas/measured-steps.json", string.concat("{", figures, "\n}\n"));
    }

    function _family(string memory prefix) private {
        _control(prefix);
        _arithmetic(prefix);
        _access(prefix);
        _bulk(prefix);
        _host(prefix);
    }

    function _control(string memory prefix) private {
        World memory w = _big(0x01, 0, 0, 0, 10);
        _cost(prefix, "charge", _prove(w));

        w = _big(0x05, 1, 0, 3, halves(5, 5));
        Proof memory p = _prove(w);
        _openFrame(p, w, 0);
        _cost(prefix, "branch", p);

        w = _big(0x01, 0, 0, 0, type(uint64).max);
        _halt(prefix, "out of cycles", _prove(w), w);

        w = _big(0x08, 1, 40, 3, halves(5, 7));
        p = _prove(w);
        _openFrame(p, w, 0);
        _cost(prefix, "call with 3 arguments", p);

        w = _big(0x08, 7, 40, 32, halves(5, 7));
        p = _prove(w);
        _openFrame(p, w, 0);
        _openFrame(p, w, 1);
        _openFrame(p, w, 2);
        _cost(prefix, "call with 32 arguments", p);

        w = _big(0x0a, 1, 0, 1, 1);
        Record memory record = Record(keccak256("caller's caller"), w.frame.root(), 1 << 20, size, 33);
        w.callers = Worlds.hash(record);
        p = _prove(w);
        _openFrame(p, w, 0);
        _openRecord(p, record);
        _openFrame(p, w, 2);
        _cost(prefix, "return with a result", p);

        w = _big(0x0c, 1, 0, 33, 0x1234);
        w.frame.setSlot(1, 3);
        w.tables[0].tree.setSlot(3, 0x0003d090_1234_0064);
        p = _prove(w);
        _openFrame(p, w, 0);
        _openRest(p, w);
        _openTables(p, w, 0);
        _openLeaf(p, w.tables[0].tree, 0);
        _openFrame(p, w, 2);
        _cost(prefix, "resolve", p);

        w = _big(0x12, 1, 17, 33, 18);
        p = _prove(w);
        _openFrame(p, w, 0);
        _openFrame(p, w, 1);
        _openFrame(p, w, 2);
        _cost(prefix, "select of three leaves", p);

        w = _big(0x13, 0, 0, 33, 3);
        p = _prove(w);
        _openLeaf(p, w.globals, 0);
        _openFrame(p, w, 2);
        _cost(prefix, "global get", p);
    }

    function _arithmetic(string memory prefix) private {
        World memory w = _big(0x68, 1, 2, 3, 0);
        Proof memory p = _prove(w);
        _openFrame(p, w, 0);
        _cost(prefix, "add within a leaf", p);

        w = _big(0x68, 1, 17, 33, 0);
        p = _prove(w);
        _openFrame(p, w, 0);
        _openFrame(p, w, 1);
        _openFrame(p, w, 2);
        _cost(prefix, "add of three leaves", p);

        w = _big(0x43 | BRANCH, 1, 2, 3, halves(5, 5));
        p = _prove(w);
        _openFrame(p, w, 0);
        _cost(prefix, "compare and branch", p);

        w = _big(0x78, 1, 0, 3, 0);
        w.frame.setSlot(1, type(uint64).max);
        p = _prove(w);
        _openFrame(p, w, 0);
        _cost(prefix, "popcnt", p);

        uint256 pi = 0x400921fb54442d18;
        uint256[5] memory ops = [uint256(0x9a), 0x9c, 0x9d, 0xa7, 0xb0];
        string[5] memory names = ["f64 add", "f64 mul", "f64 div", "f64 sqrt", "f32 demote"];
        for (uint256 i = 0; i < 5; ++i) {
            w = _big(ops[i], 1, 2, 3, 0);
            w.frame.setSlot(1, pi);
            w.frame.setSlot(2, pi + 12345);
            p = _prove(w);
            _openFrame(p, w, 0);
            _cost(prefix, names[i], p);
        }
    }

    function _access(string memory prefix) private {
        for (uint256 far = 0; far < 2; ++far) {
            string memory where = far == 0 ? "" : ", slots in two leaves";
            World memory w = _big(0x28, 1, 0, far == 0 ? 2 : 33, 0);
            w.frame.setSlot(1, 160);
            Proof memory p = _prove(w);
            _openFrame(p, w, 0);
            _openMemories(p, w, 0);
            _openLeaf(p, w.memories[0].tree, 1);
            if (far == 1) _openFrame(p, w, 2);
            _cost(prefix, string.concat("load", where), p);

            w = _big(0x2c, 1, far == 0 ? 2 : 33, 0, 0);
            w.frame.setSlot(1, 160);
            p = _prove(w);
            _openFrame(p, w, 0);
            if (far == 1) _openFrame(p, w, 2);
            _openMemories(p, w, 0);
            _openLeaf(p, w.memories[0].tree, 1);
            _cost(prefix, string.concat("store", where), p);
        }

        World memory g = _big(0x2e, 1, 0, 33, 0);
        g.memories[0].size = 5;
        g.frame.setSlot(1, 3);
        Proof memory q = _prove(g);
        _openFrame(q, g, 0);
        _openRest(q, g);
        _openContext(q, g);
        _openMemories(q, g, 0);
        _openFrame(q, g, 2);
        _cost(prefix, "memory grow", q);
    }

    function _move(uint256 op, uint256 to, uint256 from, uint256 length, uint256 imm)
        private
        view
        returns (World memory w)
    {
        w = _big(op, 1, 2, 3, imm);
        w.frame.setSlot(1, to);
        w.frame.setSlot(2, from);
        w.frame.setSlot(3, length);
    }

    function _bulk(string memory prefix) private {
        World memory w = _move(0x30, 0, 128, 128, 0);
        Proof memory p = _prove(w);
        _openFrame(p, w, 0);
        _openMemories(p, w, 0);
        _openLeaf(p, w.memories[0].tree, 1);
        _openLeaf(p, w.memories[0].tree, 0);
        _cost(prefix, "memory copy", p);

        w = _move(0x31, 0, 5, 128, 0);
        p = _prove(w);
        _openFrame(p, w, 0);
        _openMemories(p, w, 0);
        _openLeaf(p, w.memories[0].tree, 0);
        _cost(prefix, "memory fill", p);

        w = _move(0x32, 0, 128, 128, 0);
        p = _prove(w);
        _openFrame(p, w, 0);
        _openRest(p, w);
        _openContext(p, w);
        _openMemories(p, w, 0);
        _openLeaf(p, w.segments, 1);
        _openLeaf(p, w.memories[0].tree, 0);
        _cost(prefix, "memory init", p);

        w = _move(0x34, 0, 16, 16, 0);
        p = _prove(w);
        _openFrame(p, w, 0);
        _openRest(p, w);
        _openTables(p, w, 0);
        _openLeaf(p, w.tables[0].tree, 1);
        _openLeaf(p, w.tables[0].tree, 0);
        _cost(prefix, "table copy", p);
    }

    function _host(string memory prefix) private {
        // The library's frames are ordinary ones.
        if (size != ORDINARY) return;
        World memory w = _big(0x3c, 1, 0, 5, 0);
        w.frame.setSlot(1, 1);
        w.frame.setSlot(2, 128);
        w.frame.setSlot(3, 256);
        w.frame.setSlot(4, 128);
        Proof memory p = _prove(w);
        _openFrame(p, w, 0);
        _openRest(p, w);
        _openContext(p, w);
        _openMemories(p, w, 0);
        _openLeaf(p, w.archive, 1);
        _openLeaf(p, w.memories[1].tree, 2);
        _cost(prefix, "read input", p);

        (p,) = _appendOutput();
        _cost(prefix, "append output", p);

        w = _big(0x3e, 1, 0, 0, 0);
        p = _prove(w);
        _openFrame(p, w, 0);
        _halt(prefix, "exit", p, w);
    }

    function _halt(string memory prefix, string memory what, Proof memory p, World memory w) private {
        _openRest(p, w);
        _openContext(p, w);
        _cost(prefix, what, p);
    }

    function _cost(string memory prefix, string memory what, Proof memory p) private {
        bytes memory data = abi.encodeCall(IStepVerifier.transition, (p.before, p.words));
        address target = address(verifier);
        bool done;
        uint256 execution = gasleft();
        assembly ("memory-safe") {
            done := staticcall(gas(), target, add(data, 0x20), mload(data), 0, 0x20)
        }
        execution -= gasleft();
        assertTrue(done, what);
        if (execution > executionMost) executionMost = execution;

        uint256 tokens;
        for (uint256 i = 0; i < data.length; ++i) {
            tokens += data[i] == 0 ? 1 : 4;
        }
        // EIP-7623.
        uint256 floor = TRANSACTION + 10 * tokens;
        uint256 cost = TRANSACTION + 4 * tokens + execution;
        if (cost < floor) cost = floor;
        costs.push(cost);
        _figure(string.concat(prefix, what), cost);
    }

    function _median() private view returns (uint256) {
        for (uint256 i = 0; i < costs.length; ++i) {
            uint256 less;
            uint256 same;
            for (uint256 j = 0; j < costs.length; ++j) {
                if (costs[j] < costs[i]) ++less;
                if (costs[j] == costs[i]) ++same;
            }
            if (less <= costs.length / 2 && costs.length / 2 < less + same) return costs[i];
        }
        revert();
    }

    function _most() private view returns (uint256 most) {
        for (uint256 i = 0; i < costs.length; ++i) {
            if (costs[i] > most) most = costs[i];
        }
    }

    function _figure(string memory what, uint256 gas_) private {
        figures =
            string.concat(figures, bytes(figures).length == 0 ? "" : ",", "\n  \"", what, "\": ", vm.toString(gas_));
    }
}
