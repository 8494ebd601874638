// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {IAccounts} from "./interfaces/IAccounts.sol";
import {IMarket} from "./interfaces/IMarket.sol";
import {Accounts} from "./market/Accounts.sol";
import {Claims} from "./market/Claims.sol";
import {Deployment} from "./market/Deployment.sol";
import {Opening} from "./market/Opening.sol";
import {Orders} from "./market/Orders.sol";
import {RecourseEntry} from "./market/RecourseEntry.sol";
import {Settling} from "./market/Settling.sol";
import {Parameters} from "./types/Calls.sol";

/// @title Outcry's market: accounts, orders, and the life of a deal, one file per stage
/// @dev Nobody owns it, nothing upgrades it, and only `withdraw` pays out.
contract Market is Accounts, Orders, Opening, Claims, Settling, RecourseEntry, IMarket {
    constructor(Parameters memory p) Deployment(p) RecourseEntry(p) {}

    /// @inheritdoc IAccounts
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results) {
        results = new bytes[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            results[i] = Address.functionDelegateCall(address(this), calls[i]);
        }
    }
}
