// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Delivery} from "../Delivery.sol";
import {IAuction} from "../interfaces/IAuction.sol";
import {BorrowedCode} from "../market/BorrowedCode.sol";
import {AuctionOrder, AuctionParameters, GroupProof, Pool} from "../types/Auctions.sol";
import {Bid, Claim, Deal, JobSpec} from "../types/Orders.sol";
import {Payouts} from "./Payouts.sol";

/// @title The functions whose code lies in Delivery
abstract contract DeliveryEntry is Payouts {
    /// The code that runs on this contract's storage.
    address public immutable DELIVERY;

    constructor(AuctionParameters memory p, Pool[] memory pools_) {
        DELIVERY = address(new Delivery(p, pools_));
    }

    /// @inheritdoc IAuction
    function bind(uint64, uint16, uint16, uint64) external {
        _borrow();
    }

    /// @inheritdoc IAuction
    function draw(uint64, uint16, uint16, Bid calldata, bytes calldata, JobSpec calldata) external returns (bytes32) {
        _borrow();
    }

    /// @inheritdoc IAuction
    function answer(bytes32, Deal calldata, Claim calldata) external {
        _borrow();
    }

    /// @inheritdoc IAuction
    function giveBack(bytes32) external {
        _borrow();
    }

    /// @inheritdoc IAuction
    function refuse(bytes32, Bid calldata) external {
        _borrow();
    }

    /// @inheritdoc IAuction
    function fail(bytes32, Deal calldata) external {
        _borrow();
    }

    /// @inheritdoc IAuction
    function lapse(bytes32) external {
        _borrow();
    }

    /// @inheritdoc IAuction
    function earn(uint64, uint16) external {
        _borrow();
    }

    /// @inheritdoc IAuction
    function reclaim(uint64, uint16) external {
        _borrow();
    }

    /// @inheritdoc IAuction
    function refund(uint64, uint16, AuctionOrder calldata, uint64[] calldata, GroupProof calldata) external {
        _borrow();
    }

    function _borrow() private {
        BorrowedCode.run(DELIVERY);
    }
}
