// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {Control} from "./Control.sol";
import {Floats} from "./Floats.sol";
import {Integers} from "./Integers.sol";
import {Op} from "./Opcodes.sol";
import {States} from "./State.sol";
import {Step} from "./Step.sol";

/// @title Operands of arithmetic instructions, and what becomes of their results
library Arithmetic {
    using Op for uint256;

    function execute(Step memory step) internal pure {
        uint256 operation = step.operation;
        bool immediate = step.flags & Op.IMM != 0;
        bool branches = step.flags & Op.BRANCH != 0;
        bool integer = operation < Op.F32_EQ;
        if (!operation.isIn(branches ? Op.COMPARISONS : Op.ARITHMETIC)) step.trap();
        // A float comparison's IMM turns its branch around.
        bool reversed = immediate && branches && !integer;
        if (immediate && !reversed && !operation.isIn(Op.INTEGER_BINARY)) step.trap();

        uint256 x = step.slot(step.a);
        uint256 y;
        uint256 charge = step.high();
        if (immediate && integer) {
            y = step.imm;
            if (branches) {
                // Sign-extended; comparisons of 32 bits look at the low half.
                y = uint256(int256(int32(uint32(charge)))) & States.U64;
                charge = step.b;
            }
        } else if (operation.isIn(Op.BINARY)) {
            y = step.slot(step.b);
        }

        uint256 z = integer ? Integers.compute(operation, x, y) : Floats.compute(operation, x, y);
        if (z == Integers.TRAP) step.trap();
        if (branches) Control.branch(step, (z != 0) != reversed, charge);
        else step.result(z);
    }
}
