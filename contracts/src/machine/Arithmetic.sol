// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {Control} from "./Control.sol";
import {Floats} from "./Floats.sol";
import {Integers} from "./Integers.sol";
import {Op} from "./Opcodes.sol";
import {Step} from "./Step.sol";

/// @title Operands of arithmetic instructions, and what becomes of their results
library Arithmetic {
    using Op for uint256;

    function execute(Step memory step) internal pure {
        uint256 operation = step.operation;
        bool immediate = step.flags & Op.IMM != 0;
        bool branches = step.flags & Op.BRANCH != 0;
        bool integer = operation < Op.F32_EQ;
        if (
            !operation.isIn(Op.ARITHMETIC) || branches && !operation.isIn(Op.COMPARISONS)
                || immediate && !operation.isIn(branches ? Op.FLOAT_COMPARISONS | Op.INTEGER_BINARY : Op.INTEGER_BINARY)
        ) step.trap();

        uint256 x = step.slot(step.a);
        uint256 y;
        uint256 charge = step.high();
        if (immediate && integer) {
            y = step.imm;
            if (branches) {
                y = _high(operation, charge);
                charge = step.b;
            }
        } else if (operation.isIn(Op.BINARY)) {
            y = step.slot(step.b);
        }

        uint256 z = integer ? Integers.compute(operation, x, y) : Floats.compute(operation, x, y);
        if (z == Integers.TRAP) step.trap();
        // A float comparison's IMM turns its branch around.
        if (branches) Control.branch(step, (z != 0) != (immediate && !integer), charge);
        else step.result(z);
    }

    /// @dev The immediate operand of a comparison that branches.
    function _high(uint256 operation, uint256 value) private pure returns (uint256) {
        if (operation >= Op.I32_LT_S && operation <= Op.I32_GE_S) return value;
        return uint256(int256(int32(uint32(value)))) & type(uint64).max;
    }
}
