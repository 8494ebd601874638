// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title A contract whose code lies in two places, because one holds 24,576 bytes
library BorrowedCode {
    /// @dev Runs the same call with other code on this contract's storage; what it returns, or its error, is
    /// this contract's. Does not come back to its caller.
    function run(address code) internal {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, 0, calldatasize())
            if iszero(delegatecall(gas(), code, free, calldatasize(), 0, 0)) {
                returndatacopy(free, 0, returndatasize())
                revert(free, returndatasize())
            }
            returndatacopy(free, 0, returndatasize())
            return(free, returndatasize())
        }
    }
}
