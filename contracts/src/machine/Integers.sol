// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {Op} from "./Opcodes.sol";

/// @title Integer operations, 40 to 7b
library Integers {
    /// What no result of 64 bits can be.
    uint256 internal constant TRAP = type(uint256).max;

    uint256 private constant EQZ = 0x40;
    uint256 private constant EQ = 0x41;
    uint256 private constant NE = 0x42;
    uint256 private constant LT_U = 0x43;
    uint256 private constant GT_U = 0x44;
    uint256 private constant LE_U = 0x45;
    uint256 private constant GE_U = 0x46;
    uint256 private constant AND = 0x47;
    uint256 private constant OR = 0x48;
    uint256 private constant XOR = 0x49;
    uint256 private constant DIV_U = 0x4a;
    uint256 private constant REM_U = 0x4b;

    // What both widths have, counted from I32Add and I64Add.
    uint256 private constant ADD = 0;
    uint256 private constant SUB = 1;
    uint256 private constant LT_S = 2;
    uint256 private constant GT_S = 3;
    uint256 private constant LE_S = 4;
    uint256 private constant GE_S = 5;
    uint256 private constant MUL = 6;
    uint256 private constant DIV_S = 7;
    uint256 private constant REM_S = 8;
    uint256 private constant SHL = 9;
    uint256 private constant SHR_S = 10;
    uint256 private constant SHR_U = 11;
    uint256 private constant ROTL = 12;
    uint256 private constant ROTR = 13;
    uint256 private constant CLZ = 14;
    uint256 private constant CTZ = 15;
    uint256 private constant POPCNT = 16;
    // EXTEND_8, EXTEND_16, and the last: of 64 bits EXTEND_32; of 32 bits WRAP, which is the same, as
    // every result is cut to its width.
    uint256 private constant EXTEND_8 = 17;

    /// @dev Operands and result as in slots.
    function compute(uint256 operation, uint256 x, uint256 y) internal pure returns (uint256) {
        unchecked {
            if (operation <= REM_U) return _shared(operation, x, y);
            if (operation < Op.I64_ADD) return _sized(operation - Op.I32_ADD, x, y, 32);
            return _sized(operation - Op.I64_ADD, x, y, 64);
        }
    }

    /// @dev Operations that are the same for 64 bits and for zero-extended 32.
    function _shared(uint256 operation, uint256 x, uint256 y) private pure returns (uint256) {
        unchecked {
            if (operation == EQZ) return _bit(x == 0);
            if (operation == EQ) return _bit(x == y);
            if (operation == NE) return _bit(x != y);
            if (operation == LT_U) return _bit(x < y);
            if (operation == GT_U) return _bit(x > y);
            if (operation == LE_U) return _bit(x <= y);
            if (operation == GE_U) return _bit(x >= y);
            if (operation == AND) return x & y;
            if (operation == OR) return x | y;
            if (operation == XOR) return x ^ y;
            if (y == 0) return TRAP;
            return operation == DIV_U ? x / y : x % y;
        }
    }

    function _sized(uint256 operation, uint256 x, uint256 y, uint256 bits) private pure returns (uint256) {
        unchecked {
            uint256 mask = (1 << bits) - 1;
            x &= mask;
            y &= mask;
            uint256 by = y & (bits - 1);
            int256 signedX = _extend(x, bits);
            int256 signedY = _extend(y, bits);
            uint256 z;
            if (operation == ADD) z = x + y;
            else if (operation == SUB) z = x - y;
            else if (operation == LT_S) z = _bit(signedX < signedY);
            else if (operation == GT_S) z = _bit(signedX > signedY);
            else if (operation == LE_S) z = _bit(signedX <= signedY);
            else if (operation == GE_S) z = _bit(signedX >= signedY);
            else if (operation == MUL) z = x * y;
            else if (operation == DIV_S) {
                if (y == 0) return TRAP;
                int256 quotient = signedX / signedY;
                // Only the least number divided by -1 leaves the range.
                if (quotient == int256(1 << (bits - 1))) return TRAP;
                z = uint256(quotient);
            } else if (operation == REM_S) {
                if (y == 0) return TRAP;
                z = uint256(signedX % signedY);
            } else if (operation == SHL) z = x << by;
            else if (operation == SHR_S) z = uint256(signedX >> by);
            else if (operation == SHR_U) z = x >> by;
            else if (operation == ROTL) z = x << by | x >> (bits - by);
            else if (operation == ROTR) z = x >> by | x << (bits - by);
            else if (operation == CLZ) z = _leadingZeros(x) - (256 - bits);
            // A bit behind the last ends the zeros.
            else if (operation == CTZ) z = 255 - _leadingZeros(_lowest(x | 1 << bits));
            else if (operation == POPCNT) for (; x != 0; x ^= _lowest(x)) ++z;
            else z = uint256(_extend(x, 8 << (operation - EXTEND_8)));
            return z & mask;
        }
    }

    function _bit(bool is_) private pure returns (uint256 bit) {
        assembly ("memory-safe") {
            bit := is_
        }
    }

    /// @dev The lowest bit that is set.
    function _lowest(uint256 x) private pure returns (uint256) {
        unchecked {
            return x & (0 - x);
        }
    }

    function _leadingZeros(uint256 x) private pure returns (uint256 count) {
        assembly ("memory-safe") {
            count := clz(x)
        }
    }

    /// @dev The low `bits` bits as a signed number.
    function _extend(uint256 x, uint256 bits) private pure returns (int256 extended) {
        assembly ("memory-safe") {
            extended := signextend(sub(shr(3, bits), 1), x)
        }
    }
}
