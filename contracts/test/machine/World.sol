// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @dev A tree over `data` (whole leaves), behind which everything is zero.
struct Tree {
    bytes data;
    uint256 depth;
}

/// @dev A memory or a table.
struct Area {
    Tree tree;
    uint256 size;
    uint256 maximum;
}

/// @dev A caller's record.
struct Record {
    bytes32 callers;
    bytes32 frame;
    uint256 returnPc;
    uint256 frameSize;
    uint256 resultSlot;
}

/// @dev A whole machine, of which a state's hash is computed the long way.
struct World {
    uint256 cycles;
    uint256 pc;
    uint256 slots;
    uint256 frameSize;
    uint256 phase;
    uint256 progress;
    uint256 cycleLimit;
    uint256 slotLimit;
    Tree code;
    Tree frame;
    bytes32 callers;
    Area[] memories;
    Area[] tables;
    Tree globals;
    Tree segments;
    Tree archive;
    Tree output;
    Tree results;
    uint256 resultsSize;
    uint256 outputLength;
    uint256 pages;
    bytes32 jobHash;
    uint256 machineVersion;
    uint256 task;
    uint256 taskCount;
    uint256 archiveLength;
    uint256 outputLimit;
    uint256 pageLimit;
}

using Worlds for World global;
using Worlds for Tree global;

/// @dev Everything that `verifier/MACHINE.md` says about hashing and packing, written down a second
/// time and without a thought for gas.
library Worlds {
    uint256 internal constant LEAF = 128;
    bytes32 internal constant ZERO_LEAF = keccak256(new bytes(LEAF));

    // Trees.

    function zeros(uint256 depth) internal pure returns (bytes32 zero) {
        zero = ZERO_LEAF;
        for (; depth != 0; --depth) {
            zero = pair(zero, zero);
        }
    }

    /// @dev A node above two others.
    function pair(bytes32 left, bytes32 right) internal pure returns (bytes32 top) {
        assembly ("memory-safe") {
            mstore(0x00, left)
            mstore(0x20, right)
            top := keccak256(0x00, 0x40)
        }
    }

    function levels(uint256 count) internal pure returns (uint256 depth) {
        while (1 << depth < count) ++depth;
    }

    function root(Tree memory tree) internal pure returns (bytes32) {
        return node(tree, tree.depth, 0);
    }

    /// @dev The hash of the subtree of height `depth` above the leaf `first`.
    function node(Tree memory tree, uint256 depth, uint256 first) internal pure returns (bytes32 top) {
        if (first * LEAF >= tree.data.length) return zeros(depth);
        if (depth != 0) {
            return pair(node(tree, depth - 1, first), node(tree, depth - 1, first + (1 << (depth - 1))));
        }
        bytes memory data = tree.data;
        assembly ("memory-safe") {
            top := keccak256(add(add(data, 0x20), mul(first, LEAF)), LEAF)
        }
    }

    /// @dev A leaf and its path.
    function opening(Tree memory tree, uint256 leaf) internal pure returns (bytes memory words) {
        words = new bytes(LEAF + 32 * tree.depth);
        bytes memory data = read(tree, leaf * LEAF, LEAF);
        assembly ("memory-safe") {
            mcopy(add(words, 0x20), add(data, 0x20), LEAF)
        }
        for (uint256 level = 0; level < tree.depth; ++level) {
            bytes32 sibling = node(tree, level, (leaf >> level ^ 1) << level);
            assembly ("memory-safe") {
                mstore(add(add(words, 0xa0), shl(5, level)), sibling)
            }
        }
    }

    function read(Tree memory tree, uint256 offset, uint256 length) internal pure returns (bytes memory words) {
        words = new bytes(length);
        bytes memory data = tree.data;
        if (offset >= data.length) return words;
        if (length > data.length - offset) length = data.length - offset;
        assembly ("memory-safe") {
            mcopy(add(words, 0x20), add(add(data, 0x20), offset), length)
        }
    }

    function write(Tree memory tree, uint256 offset, bytes memory words) internal pure {
        uint256 end = (offset + words.length + LEAF - 1) / LEAF * LEAF;
        bytes memory data = tree.data;
        if (end > data.length) {
            data = new bytes(end);
            bytes memory shorter = tree.data;
            assembly ("memory-safe") {
                mcopy(add(data, 0x20), add(shorter, 0x20), mload(shorter))
            }
            tree.data = data;
        }
        assembly ("memory-safe") {
            mcopy(add(add(data, 0x20), offset), add(words, 0x20), mload(words))
        }
    }

    function slot(Tree memory tree, uint256 index) internal pure returns (uint256) {
        return uint64(bytes8(read(tree, 8 * index, 8)));
    }

    function setSlot(Tree memory tree, uint256 index, uint256 value) internal pure {
        write(tree, 8 * index, abi.encodePacked(uint64(value)));
    }

    // The state.

    function domain(string memory what) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked("outcry.", what, ".v1"));
    }

    function descriptors(Area[] memory areas) internal pure returns (Tree memory tree) {
        tree.depth = levels((areas.length + 1) / 2);
        for (uint256 i = 0; i < areas.length; ++i) {
            Area memory area = areas[i];
            uint256 shape = area.size << 224 | area.maximum << 192 | area.tree.depth << 184;
            write(tree, 64 * i, abi.encode(root(area.tree), shape));
        }
    }

    function state(World memory w) internal pure returns (bytes memory) {
        uint256 registers =
            w.cycles << 192 | w.pc << 160 | w.slots << 128 | w.frameSize << 112 | w.phase << 96 | w.progress;
        uint256 shape = w.cycleLimit << 192 | w.slotLimit << 160 | w.code.depth << 152 | w.globals.depth << 144
            | descriptors(w.memories).depth << 136 | descriptors(w.tables).depth << 128 | w.segments.depth << 120;
        return bytes.concat(
            abi.encode(registers, shape, root(w.code), root(w.frame)),
            abi.encode(
                w.callers,
                root(descriptors(w.memories)),
                root(w.globals),
                keccak256(abi.encodePacked(domain("rest"), rest(w)))
            )
        );
    }

    function rest(World memory w) internal pure returns (bytes memory) {
        return abi.encode(
            keccak256(abi.encodePacked(domain("context"), context(w))),
            root(descriptors(w.tables)),
            w.resultsSize == 0 ? bytes32(0) : root(w.results),
            root(w.output),
            w.outputLength << 192 | w.pages << 160 | w.resultsSize << 144
        );
    }

    function context(World memory w) internal pure returns (bytes memory) {
        uint256 task = w.machineVersion << 224 | w.task << 192 | w.taskCount << 160 | w.archiveLength << 96
            | w.outputLimit << 32 | w.pageLimit;
        return abi.encode(w.jobHash, task, root(w.archive), root(w.segments));
    }

    function hash(World memory w) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(domain("state"), state(w)));
    }

    function halted(World memory w, uint256 status, uint256 exitCode) internal pure returns (bytes memory) {
        bytes32 outputRoot = status == 0 ? root(w.output) : zeros(w.output.depth);
        uint256 outputLength = status == 0 ? w.outputLength : 0;
        bytes32 inner = keccak256(abi.encode(domain("result"), status, exitCode, outputRoot, outputLength));
        return abi.encode(w.jobHash, w.task, w.cycles, inner);
    }

    function preimage(Record memory record) internal pure returns (bytes memory) {
        return abi.encode(
            record.callers, record.frame, record.returnPc << 224 | record.frameSize << 208 | record.resultSlot << 192
        );
    }

    function hash(Record memory record) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(domain("caller"), preimage(record)));
    }

    function frame(uint256 size) internal pure returns (Tree memory tree) {
        tree.depth = levels((size + 15) / 16);
    }
}
