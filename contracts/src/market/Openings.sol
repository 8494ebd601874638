// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Merkle} from "./Merkle.sol";

/// @title The tasks of a deal and their places in a claim
library Openings {
    /// @dev Whether a task's halted state is part of a claim about the tasks from `firstTask` on, `count`
    /// of them, with this result root.
    function leads(
        bytes32 halted,
        uint256 task,
        bytes32[] calldata path,
        uint256 firstTask,
        uint256 count,
        bytes32 resultRoot
    ) internal pure returns (bool) {
        return holds(task, firstTask, count) && path.length == Merkle.depth(count)
            && Merkle.rootOf(halted, task - firstTask, path) == resultRoot;
    }

    /// @dev Whether the task is one of the tasks from `firstTask` on, `count` of them.
    function holds(uint256 task, uint256 firstTask, uint256 count) internal pure returns (bool) {
        return task >= firstTask && task - firstTask < count;
    }
}
