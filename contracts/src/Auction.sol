// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {DeliveryEntry} from "./auction/DeliveryEntry.sol";
import {Schedule} from "./auction/Schedule.sol";
import {IAuction} from "./interfaces/IAuction.sol";
import {AuctionParameters, Pool} from "./types/Auctions.sol";

/// @title The auction of reserved capacity
/// @dev One file per stage of an order: it is sealed and revealed (`Sealed`), a result takes it up
/// (`Results`), which is paid for (`Payouts`), delivered and earned (`Delivery`, whose code this
/// contract borrows). Calls nobody but the token and, to ask it, the market.
contract Auction is DeliveryEntry {
    constructor(AuctionParameters memory p, Pool[] memory pools_) Schedule(p, pools_) DeliveryEntry(p, pools_) {}

    /// @inheritdoc IAuction
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results) {
        results = new bytes[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            results[i] = Address.functionDelegateCall(address(this), calls[i]);
        }
    }
}
