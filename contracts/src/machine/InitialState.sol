// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {IInitialState} from "../interfaces/IInitialState.sol";
import {Hashing} from "../market/Hashing.sol";
import {Merkle} from "../market/Merkle.sol";
import {Image, Memory} from "../types/Disputes.sol";
import {JobSpec} from "../types/Orders.sol";
import {Context, Rest, State, States} from "./State.sol";
import {Trees} from "./Trees.sol";

/// @title The state in which a task starts
/// @dev `verifier/MACHINE.md`, section 5.
contract InitialState is IInitialState {
    /// log2 of the leaves of a page.
    uint256 private constant PAGE_LEVELS = 9;

    /// @inheritdoc IInitialState
    function initialState(
        Image calldata image,
        Memory[] calldata memories,
        JobSpec calldata job,
        uint32 task,
        uint64 archiveLength,
        bytes32 archive
    ) external pure returns (bytes32) {
        if (imageRoot(image) != job.imageRoot) revert ImageMismatch();
        if (memories.length != _byte(image.shape, 184) || _hash(memories) != image.memories) revert MemoriesMismatch();
        if (job.slotLimit > States.U32) revert LimitTooLarge();
        if (task >= job.taskCount) revert TaskUnknown();

        bytes32 jobHash = Hashing.job(job);
        bytes32 output = Trees.zeros(Trees.levelsOfBytes(job.outputLimit));
        uint256 pages = _pages(memories);
        if (pages > job.pageLimit) {
            return Hashing.halted(jobHash, task, 0, Hashing.inner(States.TRAPPED, 0, output, 0));
        }

        Context memory context = Context({
            domain: States.CONTEXT_DOMAIN,
            jobHash: jobHash,
            task: uint256(job.machineVersion) << 224 | uint256(task) << 192 | uint256(job.taskCount) << 160
                | uint256(archiveLength) << 96 | uint256(job.outputLimit) << 32 | job.pageLimit,
            archive: archive,
            segments: image.segments
        });
        Rest memory rest = Rest({
            domain: States.REST_DOMAIN,
            context: context.hash(),
            tables: image.tables,
            results: 0,
            output: output,
            counters: pages << 160
        });
        uint256 shape = image.shape;
        uint256 frameSize = (shape >> 208) & States.U16;
        State memory state = State({
            domain: States.STATE_DOMAIN,
            registers: (shape >> 224) << 160 | frameSize << 112,
            shape: _shape(shape, memories.length, job),
            code: image.code,
            frame: Trees.zeros(Trees.levelsOfSlots(frameSize)),
            callers: 0,
            memories: _memories(memories, job.pageLimit),
            globals: image.globals,
            rest: rest.hash()
        });
        return state.hash();
    }

    /// @inheritdoc IInitialState
    function imageRoot(Image calldata image) public pure returns (bytes32) {
        return keccak256(abi.encode(States.IMAGE_DOMAIN, image));
    }

    /// @dev The machine's word of limits and depths.
    function _shape(uint256 image, uint256 memories, JobSpec calldata job) private pure returns (uint256) {
        return uint256(job.cycleLimit) << 192 | uint256(job.slotLimit) << 160 | _byte(image, 200) << 152
            | _byte(image, 192) << 144 | _levels(memories) << 136 | _byte(image, 176) << 128 | _byte(image, 168) << 120;
    }

    /// @dev The root over the descriptors, after each memory's tree got room for as many pages as it
    /// can ever have.
    function _memories(Memory[] calldata memories, uint256 pageLimit) private pure returns (bytes32) {
        uint256 count = memories.length;
        // A leaf holds two; the second of the last leaf may be missing.
        bytes32[] memory hashes = new bytes32[](count == 0 ? 1 : (count + 1) / 2);
        for (uint256 i = 0; i < hashes.length; ++i) {
            (bytes32 firstRoot, uint256 firstShape) = _memory(memories, 2 * i, pageLimit);
            (bytes32 secondRoot, uint256 secondShape) = _memory(memories, 2 * i + 1, pageLimit);
            hashes[i] = keccak256(abi.encode(firstRoot, firstShape, secondRoot, secondShape));
        }
        return Merkle.rootInPlace(hashes);
    }

    function _memory(Memory[] calldata memories, uint256 index, uint256 pageLimit)
        private
        pure
        returns (bytes32 root, uint256 shape)
    {
        if (index >= memories.length) return (0, 0);
        shape = memories[index].shape;
        uint256 most = (shape >> 192) & States.U32;
        // The limit is no less than what is there, or the task would have started halted.
        if (most > pageLimit) most = pageLimit;
        uint256 depth = Trees.levels(most << PAGE_LEVELS);
        root = Trees.extend(memories[index].root, _byte(shape, 184), depth);
        shape = (shape >> 192) << 192 | depth << 184;
    }

    function _pages(Memory[] calldata memories) private pure returns (uint256 pages) {
        for (uint256 i = 0; i < memories.length; ++i) {
            pages += memories[i].shape >> 224;
        }
    }

    /// @dev The depth of the tree over `count` descriptors.
    function _levels(uint256 count) private pure returns (uint256) {
        return Trees.levels((count + 1) / 2);
    }

    function _hash(Memory[] calldata memories) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            let length := shl(6, memories.length)
            calldatacopy(free, memories.offset, length)
            hash := keccak256(free, length)
        }
    }

    function _byte(uint256 word, uint256 bit) private pure returns (uint256) {
        return (word >> bit) & 0xff;
    }
}
