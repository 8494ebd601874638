// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

/// @title The machine's operations
/// @dev `verifier/MACHINE.md`, section 3.
library Op {
    // 00, Unreachable, traps as what is not listed does.
    uint256 internal constant CHARGE = 0x01;
    uint256 internal constant CHARGE_SIZE = 0x02;
    uint256 internal constant JUMP = 0x03;
    uint256 internal constant BRANCH_IF = 0x04;
    uint256 internal constant BRANCH_IF_ZERO = 0x05;
    uint256 internal constant BRANCH_TABLE = 0x06;
    uint256 internal constant ENTER = 0x07;
    uint256 internal constant CALL = 0x08;
    uint256 internal constant CALL_REF = 0x09;
    uint256 internal constant RETURN = 0x0a;
    uint256 internal constant RESULT = 0x0b;
    uint256 internal constant RESOLVE = 0x0c;
    uint256 internal constant COPY = 0x10;
    uint256 internal constant CONST = 0x11;
    uint256 internal constant SELECT = 0x12;
    uint256 internal constant GLOBAL_GET = 0x13;
    uint256 internal constant GLOBAL_SET = 0x14;

    uint256 internal constant LOAD_8U = 0x20;
    uint256 internal constant STORE_8 = 0x29;
    uint256 internal constant STORE_64 = 0x2c;
    uint256 internal constant MEMORY_SIZE = 0x2d;
    uint256 internal constant MEMORY_GROW = 0x2e;

    // Copy, fill and init of memories, and of tables.
    uint256 internal constant MEMORY_COPY = 0x30;
    uint256 internal constant SEGMENT_CHECK = 0x33;
    uint256 internal constant TABLE_INIT = 0x36;
    uint256 internal constant TABLE_GET = 0x37;
    uint256 internal constant TABLE_SET = 0x38;
    uint256 internal constant TABLE_SIZE = 0x39;
    uint256 internal constant TABLE_GROW = 0x3a;

    uint256 internal constant READ_INPUT = 0x3c;
    uint256 internal constant APPEND_OUTPUT = 0x3d;
    uint256 internal constant EXIT = 0x3e;

    uint256 internal constant EQZ = 0x40;
    uint256 internal constant I32_ADD = 0x50;
    uint256 internal constant I32_LT_S = 0x52;
    uint256 internal constant I64_ADD = 0x68;
    uint256 internal constant F32_EQ = 0x80;
    uint256 internal constant F64_EQ = 0x94;
    uint256 internal constant I32_TRUNC_F32_S = 0xa8;
    uint256 internal constant F32_DEMOTE = 0xb0;
    uint256 internal constant F64_PROMOTE = 0xb1;
    uint256 internal constant I32_TRUNC_SAT_F32_S = 0xb4;
    uint256 internal constant F32_CONVERT_I32_S = 0xbc;

    /// Bits of an operation's high byte.
    uint256 internal constant IMM = 1;
    uint256 internal constant BRANCH = 2;

    // Sets of operations 40 and above; bit i stands for operation i.
    uint256 internal constant ARITHMETIC = uint256(0xfff) << 0x40 | uint256(0xfffff) << 0x50 | uint256(0xfffff) << 0x68
        | ((1 << 0x32) - 1) << 0x80 | uint256(0xffff) << 0xb4;
    /// Integer operations with two operands, of which the second may be immediate.
    uint256 internal constant INTEGER_BINARY =
        uint256(0x7ff) << 0x41 | uint256(0x3fff) << 0x50 | uint256(0x3fff) << 0x68;
    uint256 internal constant BINARY = INTEGER_BINARY | uint256(0x1fff) << F32_EQ | uint256(0x1fff) << F64_EQ;
    uint256 internal constant FLOAT_COMPARISONS = uint256(0x3f) << F32_EQ | uint256(0x3f) << F64_EQ;
    uint256 internal constant COMPARISONS =
        uint256(0x7f) << EQZ | uint256(0xf) << I32_LT_S | uint256(0xf) << 0x6a | FLOAT_COMPARISONS;

    function isIn(uint256 operation, uint256 set) internal pure returns (bool) {
        return (set >> operation) & 1 != 0;
    }
}
