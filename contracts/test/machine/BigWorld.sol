// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Proof, StepTest} from "./StepTest.sol";
import {Area, World, Worlds} from "./World.sol";

/// @dev A machine as large as the bars of the design say: 4M instructions of code, 64 MiB of memory.
abstract contract BigWorld is StepTest {
    uint256 private constant CODE_DEPTH = 19;
    uint256 private constant MEMORY_DEPTH = 19;
    uint256 private constant PAGES = 1024;
    /// Of an archive, and of an output's limit: 1 MiB.
    uint256 private constant ARCHIVE_DEPTH = 13;
    uint256 private constant SEGMENTS_DEPTH = 13;
    uint256 private constant TABLE_DEPTH = 10;
    /// Slots of an ordinary frame, of depth 2.
    uint256 internal constant ORDINARY = 40;

    /// Slots of the running frame.
    uint256 internal size = ORDINARY;

    /// @dev The dearest step of an ordinary frame.
    function _appendOutput() internal view returns (Proof memory p, World memory w) {
        w = _big(0x3d, 1, 0, 0, 0);
        w.frame.setSlot(1, 128);
        w.frame.setSlot(2, 128);
        p = _prove(w);
        _openFrame(p, w, 0);
        _openRest(p, w);
        _openContext(p, w);
        _openMemories(p, w, 0);
        _openLeaf(p, w.memories[1].tree, 1);
        _openLeaf(p, w.output, 0);
    }

    function _big(uint256 op, uint256 a, uint256 b, uint256 c, uint256 imm) internal view returns (World memory w) {
        w = _world();
        w.code = _tree("code", 0, 4, CODE_DEPTH);
        w.frameSize = size;
        w.frame = _tree("frame", 0, 3, Worlds.levels((size + 15) / 16));
        w.memories = new Area[](2);
        for (uint256 i = 0; i < 2; ++i) {
            w.memories[i] = Area(_tree("memory", i, 3, MEMORY_DEPTH), PAGES, PAGES);
        }
        for (uint256 i = 0; i < 3; ++i) {
            w.tables[i] = Area(_tree("table", i, 2, TABLE_DEPTH), 16 << TABLE_DEPTH, 16 << TABLE_DEPTH);
        }
        w.segments = _tree("segments", 0, 2, SEGMENTS_DEPTH);
        w.archive = _tree("archive", 0, 3, ARCHIVE_DEPTH);
        w.output.depth = ARCHIVE_DEPTH;
        (w.archiveLength, w.outputLimit, w.outputLength) = (1 << 20, 1 << 20, 0);
        (w.cycleLimit, w.slotLimit) = (1 << 44, 1 << 20);
        _at(w, op, a, b, c, imm);
    }
}
