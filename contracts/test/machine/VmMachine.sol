// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @dev The cheat codes that the machine's tests use besides those of `Vm`.
interface VmMachine {
    function getCode(string calldata artifact) external view returns (bytes memory creation);
    function envOr(string calldata name, string calldata otherwise) external view returns (string memory);
    function envOr(string calldata name, uint256 otherwise) external view returns (uint256);
}
