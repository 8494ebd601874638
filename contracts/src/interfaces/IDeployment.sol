// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Parameters} from "../types/Calls.sol";

/// @title What a deployment fixes for ever
interface IDeployment {
    /// A parameter outside its bounds.
    error ParameterOutOfRange();

    function parameters() external view returns (Parameters memory);
}
