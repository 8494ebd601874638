// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Admission} from "./market/Admission.sol";
import {AuditHold} from "./market/AuditHold.sol";
import {Challenges} from "./market/Challenges.sol";
import {Demands} from "./market/Demands.sol";
import {Deployment} from "./market/Deployment.sol";
import {Replacing} from "./market/Replacing.sol";
import {Parameters} from "./types/Calls.sol";

/// @title The part of the market's code that runs when a deal does not take its usual way
/// @dev Borrowed by the market through delegatecall, because one contract may hold 24,576 bytes. It
/// has the market's storage layout (the stages declare no storage; CI compares the layouts) and is
/// created by the market's constructor. Called directly, it finds no deal and refuses everything.
contract Recourse is Replacing, Admission, Demands, Challenges, AuditHold {
    constructor(Parameters memory p) Deployment(p) {}
}
