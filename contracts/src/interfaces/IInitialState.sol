// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Image, Memory} from "../types/Disputes.sol";
import {JobSpec} from "../types/Orders.sol";

/// @title The state in which a task starts
/// @notice What a dispute begins with: it follows from the job and the task's input alone.
interface IInitialState {
    /// The image is not the job's.
    error ImageMismatch();
    /// The memories are not the image's.
    error MemoriesMismatch();
    /// A limit of the job is larger than the machine can count: slots 2^32 - 1.
    error LimitTooLarge();
    /// The job has no such task.
    error TaskUnknown();

    /// @notice The hash of the state in which a task starts; a halted state if the image's memories
    /// exceed the job's page limit.
    /// @param archiveLength bytes of the task's input archive
    /// @param archive its Merkle root; the caller checks both against the job's inputs
    function initialState(
        Image calldata image,
        Memory[] calldata memories,
        JobSpec calldata job,
        uint32 task,
        uint64 archiveLength,
        bytes32 archive
    ) external pure returns (bytes32);

    /// @notice keccak256("outcry.image.v1", image): `JobSpec.imageRoot`.
    function imageRoot(Image calldata image) external pure returns (bytes32);
}
