// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @dev The machine's instructions as bytes; `verifier/MACHINE.md`, section 3.
function instruction(uint256 op, uint256 a, uint256 b, uint256 c, uint256 imm) pure returns (bytes memory) {
    return abi.encodePacked(uint16(op), uint16(a), uint16(b), uint16(c), uint64(imm));
}

/// @dev An immediate of two halves.
function halves(uint256 low, uint256 high) pure returns (uint256) {
    return high << 32 | low;
}

uint256 constant IMM = 0x100;
uint256 constant BRANCH = 0x200;
