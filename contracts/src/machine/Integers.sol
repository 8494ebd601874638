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
            if (operation != DIV_S && operation != REM_S) return _long(operation, x, y, bits) & mask;
            if (y == 0) return TRAP;
            if (operation == REM_S) return uint256(_extend(x, bits) % _extend(y, bits)) & mask;
            int256 quotient = _extend(x, bits) / _extend(y, bits);
            // Only the least number divided by -1 leaves the range.
            return quotient == int256(1 << (bits - 1)) ? TRAP : uint256(quotient) & mask;
        }
    }

    /// @dev With more bits than the result has.
    function _long(uint256 operation, uint256 x, uint256 y, uint256 bits) private pure returns (uint256 z) {
        unchecked {
            if (operation == ADD) return x + y;
            if (operation == SUB) return x - y;
            if (operation == MUL) return x * y;
            if (operation == LT_S) return _bit(_extend(x, bits) < _extend(y, bits));
            if (operation == GT_S) return _bit(_extend(x, bits) > _extend(y, bits));
            if (operation == LE_S) return _bit(_extend(x, bits) <= _extend(y, bits));
            if (operation == GE_S) return _bit(_extend(x, bits) >= _extend(y, bits));
            uint256 by = y & (bits - 1);
            if (operation == SHL) return x << by;
            if (operation == SHR_S) return uint256(_extend(x, bits) >> by);
            if (operation == SHR_U) return x >> by;
            if (operation == ROTL) return x << by | x >> (bits - by);
            if (operation == ROTR) return x >> by | x << (bits - by);
            if (operation == CLZ) return _leadingZeros(x) - (256 - bits);
            // A bit behind the last ends the zeros.
            if (operation == CTZ) return 255 - _leadingZeros(_lowest(x | 1 << bits));
            if (operation != POPCNT) return uint256(_extend(x, 8 << (operation - EXTEND_8)));
            for (; x != 0; x ^= _lowest(x)) {
                ++z;
            }
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
