// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {Integers} from "./Integers.sol";
import {Op} from "./Opcodes.sol";

/// @title Float operations, 80 to c3
/// @dev IEEE 754 binary32 and binary64, told apart by their precision in bits, 24 or 53. An operation
/// computes an exact result, or one with a bit that stands for all that is missing, as a 256-bit
/// integer times a power of two; `_round` is the only place that rounds, for all of them.
library Floats {
    uint256 private constant SINGLE = 24;
    uint256 private constant DOUBLE = 53;

    // What both widths have, counted from F32Eq and F64Eq.
    uint256 private constant EQ = 0;
    uint256 private constant NE = 1;
    uint256 private constant LT = 2;
    uint256 private constant GT = 3;
    uint256 private constant LE = 4;
    uint256 private constant GE = 5;
    uint256 private constant ADD = 6;
    uint256 private constant SUB = 7;
    uint256 private constant MUL = 8;
    uint256 private constant DIV = 9;
    uint256 private constant MIN = 10;
    uint256 private constant MAX = 11;
    uint256 private constant COPYSIGN = 12;
    uint256 private constant ABS = 13;
    uint256 private constant NEG = 14;
    uint256 private constant CEIL = 15;
    uint256 private constant FLOOR = 16;
    uint256 private constant TRUNC = 17;
    uint256 private constant NEAREST = 18;

    /// Exponents that differ by more make no other sum: the smaller number, of at most 53 bits, lies
    /// below half a unit of the larger one's last place either way.
    uint256 private constant ALIGNMENT_MAX = 130;
    /// So many bits more than it needs has a quotient's numerator; the quotient has at least 107.
    uint256 private constant DIVISION_BITS = 160;

    /// @dev Operands and result as in slots.
    function compute(uint256 operation, uint256 x, uint256 y) internal pure returns (uint256) {
        unchecked {
            if (operation < Op.F64_EQ) return _operate(operation - Op.F32_EQ, x, y, SINGLE);
            if (operation < Op.I32_TRUNC_F32_S) return _operate(operation - Op.F64_EQ, x, y, DOUBLE);
            if (operation < Op.F32_DEMOTE) return _toInteger(operation - Op.I32_TRUNC_F32_S, x, false);
            if (operation == Op.F32_DEMOTE) return _convert(x, DOUBLE, SINGLE);
            if (operation == Op.F64_PROMOTE) return _convert(x, SINGLE, DOUBLE);
            if (operation < Op.F32_CONVERT_I32_S) return _toInteger(operation - Op.I32_TRUNC_SAT_F32_S, x, true);
            return _fromInteger(operation - Op.F32_CONVERT_I32_S, x);
        }
    }

    function _operate(uint256 operation, uint256 x, uint256 y, uint256 precision) private pure returns (uint256) {
        uint256 infinity = _infinity(precision);
        uint256 sign = _signBit(precision);
        if (operation == COPYSIGN) return (x & ~sign) | (y & sign);
        if (operation == ABS) return x & ~sign;
        if (operation == NEG) return x ^ sign;

        // Operations with one operand have y = 0.
        bool nan = x & ~sign > infinity || y & ~sign > infinity;
        if (operation <= GE) return _compare(operation, nan, _order(x, sign), _order(y, sign));
        if (nan) return _nan(precision);
        if (operation == ADD) return _add(x, y, precision);
        if (operation == SUB) return _add(x, y ^ sign, precision);
        if (operation == MUL) return _multiply(x, y, precision);
        if (operation == DIV) return _divide(x, y, precision);
        if (operation <= MAX) {
            int256 xOrder = _order(x, sign);
            int256 yOrder = _order(y, sign);
            // Of equals only zeros differ, in their signs.
            if (xOrder == yOrder) return operation == MIN ? x | y : x & y;
            return (xOrder < yOrder) == (operation == MIN) ? x : y;
        }
        if (operation <= NEAREST) return _integral(operation, x, precision);
        return _squareRoot(x, precision);
    }

    function _compare(uint256 operation, bool nan, int256 x, int256 y) private pure returns (uint256 bit) {
        bool is_;
        if (nan) is_ = operation == NE;
        else if (operation == EQ) is_ = x == y;
        else if (operation == NE) is_ = x != y;
        else if (operation == LT) is_ = x < y;
        else if (operation == GT) is_ = x > y;
        else if (operation == LE) is_ = x <= y;
        else is_ = x >= y;
        assembly ("memory-safe") {
            bit := is_
        }
    }

    function _add(uint256 x, uint256 y, uint256 precision) private pure returns (uint256) {
        uint256 infinity = _infinity(precision);
        uint256 sign = _signBit(precision);
        if (x & ~sign == infinity) return y == x ^ sign ? _nan(precision) : x;
        if (y & ~sign == infinity) return y;
        unchecked {
            (int256 xExponent, uint256 xDigits) = _open(x, precision);
            (int256 yExponent, uint256 yDigits) = _open(y, precision);
            if (xExponent < yExponent) {
                (x, xExponent, xDigits, y, yExponent, yDigits) = (y, yExponent, yDigits, x, xExponent, xDigits);
            }
            uint256 by = uint256(xExponent - yExponent);
            if (by > ALIGNMENT_MAX) by = ALIGNMENT_MAX;
            xDigits <<= by;
            xExponent -= int256(by);
            if ((x ^ y) & sign == 0) return _round(x & sign, xExponent, xDigits + yDigits, precision);
            if (xDigits > yDigits) return _round(x & sign, xExponent, xDigits - yDigits, precision);
            if (xDigits < yDigits) return _round(y & sign, xExponent, yDigits - xDigits, precision);
            return 0;
        }
    }

    function _multiply(uint256 x, uint256 y, uint256 precision) private pure returns (uint256) {
        uint256 infinity = _infinity(precision);
        uint256 sign = _signBit(precision);
        uint256 ofResult = (x ^ y) & sign;
        x &= ~sign;
        y &= ~sign;
        if (x == infinity || y == infinity) return x == 0 || y == 0 ? _nan(precision) : ofResult | infinity;
        unchecked {
            (int256 xExponent, uint256 xDigits) = _open(x, precision);
            (int256 yExponent, uint256 yDigits) = _open(y, precision);
            return _round(ofResult, xExponent + yExponent, xDigits * yDigits, precision);
        }
    }

    function _divide(uint256 x, uint256 y, uint256 precision) private pure returns (uint256) {
        uint256 infinity = _infinity(precision);
        uint256 sign = _signBit(precision);
        uint256 ofResult = (x ^ y) & sign;
        x &= ~sign;
        y &= ~sign;
        if (x == y && (x == 0 || x == infinity)) return _nan(precision);
        if (x == infinity || y == 0) return ofResult | infinity;
        if (y == infinity) return ofResult;
        unchecked {
            (int256 xExponent, uint256 xDigits) = _open(x, precision);
            (int256 yExponent, uint256 yDigits) = _open(y, precision);
            xDigits <<= DIVISION_BITS;
            uint256 quotient = _sticky(xDigits / yDigits, xDigits % yDigits != 0);
            return _round(ofResult, xExponent - yExponent - int256(DIVISION_BITS), quotient, precision);
        }
    }

    function _squareRoot(uint256 x, uint256 precision) private pure returns (uint256) {
        uint256 sign = _signBit(precision);
        if (x & ~sign == 0 || x == _infinity(precision)) return x;
        if (x & sign != 0) return _nan(precision);
        unchecked {
            (int256 exponent, uint256 digits) = _open(x, precision);
            // As many digits as a word holds, with an even exponent.
            uint256 by = 256 - _length(digits);
            if ((exponent - int256(by)) & 1 != 0) --by;
            digits <<= by;
            // Newton's method falls from above to the root's floor.
            uint256 root = 1 << 128;
            while (true) {
                uint256 better = (root + digits / root) >> 1;
                if (better >= root) break;
                root = better;
            }
            return _round(0, (exponent - int256(by)) >> 1, _sticky(root, root * root != digits), precision);
        }
    }

    /// @dev Rounds to an integer, in the same format.
    function _integral(uint256 operation, uint256 x, uint256 precision) private pure returns (uint256) {
        uint256 sign = x & _signBit(precision);
        unchecked {
            (int256 exponent, uint256 digits) = _open(x, precision);
            if (exponent >= 0) return x;
            // Nothing but a fraction remains at 64 already.
            uint256 by = exponent < -64 ? 64 : uint256(-exponent);
            if (operation == NEAREST) {
                digits = _nearest(digits, by);
            } else {
                // Away from zero, or towards it.
                if (operation == (sign == 0 ? CEIL : FLOOR)) digits += (1 << by) - 1;
                digits >>= by;
            }
            return _round(sign, 0, digits, precision);
        }
    }

    /// @dev From one format to the other.
    function _convert(uint256 x, uint256 from, uint256 to) private pure returns (uint256) {
        uint256 sign = x & _signBit(from);
        x ^= sign;
        if (x > _infinity(from)) return _nan(to);
        if (sign != 0) sign = _signBit(to);
        if (x == _infinity(from)) return sign | _infinity(to);
        (int256 exponent, uint256 digits) = _open(x, from);
        return _round(sign, exponent, digits, to);
    }

    /// @dev Bits of `form`: 0 to an unsigned integer, 1 from a double, 2 to 64 bits.
    function _toInteger(uint256 form, uint256 x, bool saturates) private pure returns (uint256) {
        uint256 precision = form & 2 != 0 ? DOUBLE : SINGLE;
        uint256 bits = form & 4 != 0 ? 64 : 32;
        uint256 sign = _signBit(precision);
        bool negative = x & sign != 0;
        if (x & ~sign > _infinity(precision)) return saturates ? 0 : Integers.TRAP;
        unchecked {
            // Infinity opens as the power of two that follows the largest number.
            (int256 exponent, uint256 digits) = _open(x, precision);
            if (exponent < 0) digits >>= uint256(-exponent);
            else digits <<= exponent > 128 ? 128 : uint256(exponent);

            uint256 most;
            if (form & 1 == 0) most = (1 << (bits - 1)) - (negative ? 0 : 1);
            else if (!negative) most = (1 << bits) - 1;
            if (digits > most) {
                if (!saturates) return Integers.TRAP;
                digits = most;
            }
            return negative ? (0 - digits) & ((1 << bits) - 1) : digits;
        }
    }

    /// @dev Bits of `form`: 0 from an unsigned integer, 1 from 64 bits, 2 to a double.
    function _fromInteger(uint256 form, uint256 x) private pure returns (uint256) {
        uint256 precision = form & 4 != 0 ? DOUBLE : SINGLE;
        uint256 bits = form & 2 != 0 ? 64 : 32;
        uint256 sign;
        unchecked {
            if (form & 1 == 0 && x >> (bits - 1) != 0) {
                sign = _signBit(precision);
                x = (1 << bits) - x;
            }
            return _round(sign, 0, x, precision);
        }
    }

    /// @dev The float nearest to digits * 2^exponent, of ties the even one. Needs digits < 2^254.
    function _round(uint256 sign, int256 exponent, uint256 digits, uint256 precision) private pure returns (uint256) {
        if (digits == 0) return sign;
        unchecked {
            int256 least = _leastExponent(precision);
            // The last place's exponent, with as many digits as the format has, or fewer if subnormal.
            int256 last = exponent + int256(_length(digits)) - int256(precision);
            if (last < least) last = least;
            if (last <= exponent) {
                digits <<= uint256(exponent - last);
            } else {
                uint256 by = uint256(last - exponent);
                // Nothing remains at 255 already.
                digits = _nearest(digits, by > 255 ? 255 : by);
            }
            // The leading digit adds one to the exponent of all but subnormals, and so does a carry.
            uint256 z = (uint256(last - least) << (precision - 1)) + digits;
            uint256 infinity = _infinity(precision);
            return sign | (z > infinity ? infinity : z);
        }
    }

    /// @dev digits / 2^by, to the nearest integer, of ties to the even one. Needs `by` > 0.
    function _nearest(uint256 digits, uint256 by) private pure returns (uint256) {
        unchecked {
            return (digits + (1 << (by - 1)) - 1 + ((digits >> by) & 1)) >> by;
        }
    }

    /// @dev The finite number x is digits * 2^exponent, but for its sign.
    function _open(uint256 x, uint256 precision) private pure returns (int256 exponent, uint256 digits) {
        unchecked {
            uint256 leading = 1 << (precision - 1);
            digits = x & (leading - 1);
            uint256 biased = (x & (_signBit(precision) - 1)) >> (precision - 1);
            if (biased == 0) biased = 1;
            else digits |= leading;
            exponent = int256(biased) - 1 + _leastExponent(precision);
        }
    }

    /// @dev A number's place in the order of all that are no NaN.
    function _order(uint256 x, uint256 sign) private pure returns (int256) {
        unchecked {
            return x & sign == 0 ? int256(x) : -int256(x ^ sign);
        }
    }

    /// @dev Says in the last digit whether there would be more; never there where rounding looks.
    function _sticky(uint256 digits, bool more) private pure returns (uint256 marked) {
        assembly ("memory-safe") {
            marked := or(digits, more)
        }
    }

    function _length(uint256 digits) private pure returns (uint256 length) {
        assembly ("memory-safe") {
            length := sub(256, clz(digits))
        }
    }

    function _infinity(uint256 precision) private pure returns (uint256) {
        return precision == SINGLE ? 0x7f800000 : 0x7ff0000000000000;
    }

    function _signBit(uint256 precision) private pure returns (uint256) {
        return precision == SINGLE ? 1 << 31 : 1 << 63;
    }

    /// @dev The canonical NaN.
    function _nan(uint256 precision) private pure returns (uint256) {
        return precision == SINGLE ? 0x7fc00000 : 0x7ff8000000000000;
    }

    /// @dev Of the last place of subnormals.
    function _leastExponent(uint256 precision) private pure returns (int256) {
        return precision == SINGLE ? int256(-149) : int256(-1074);
    }
}
