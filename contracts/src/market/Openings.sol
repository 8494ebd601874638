// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TaskOpening} from "../types/Calls.sol";
import {Hashing} from "./Hashing.sol";
import {Merkle} from "./Merkle.sol";

/// @title One task of a claim, opened
library Openings {
    /// @dev The halted state that the opening shows, and whether it leads to the result root of a
    /// claim about the tasks from `firstTask` on, `count` of them.
    function check(
        TaskOpening calldata opening,
        bytes32 jobHash,
        uint256 firstTask,
        uint256 count,
        bytes32 resultRoot
    ) internal pure returns (bytes32 halted, bool valid) {
        bytes32 inner = Hashing.inner(opening.status, opening.exitCode, opening.outputRoot, opening.outputLength);
        halted = Hashing.halted(jobHash, opening.task, opening.cycles, inner);
        valid = holds(opening.task, firstTask, count) && opening.path.length == Merkle.depth(count)
            && Merkle.rootOf(halted, opening.task - firstTask, opening.path) == resultRoot;
    }

    /// @dev Whether the task is one of the tasks from `firstTask` on, `count` of them.
    function holds(uint256 task, uint256 firstTask, uint256 count) internal pure returns (bool) {
        return task >= firstTask && task - firstTask < count;
    }
}
