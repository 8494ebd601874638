// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @dev A refusal is the selector of the error that says why, or zero. Functions that a batch calls
/// return it instead of reverting, so that one bad item costs its sender nothing but that item.
library Refusal {
    bytes4 internal constant NONE = bytes4(0);

    /// @dev Reverts with the error unless there is none.
    function orRevert(bytes4 refusal) internal pure {
        if (refusal == NONE) return;
        assembly ("memory-safe") {
            mstore(0, refusal)
            revert(0, 4)
        }
    }
}
