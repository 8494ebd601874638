// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IAuction} from "../interfaces/IAuction.sol";
import {
    AuctionParameters,
    DrawRecord,
    Obligation,
    Phase,
    Pool,
    ResultRecord,
    RoundRecord,
    StreamRecord
} from "../types/Auctions.sol";
import {Evidence} from "./Evidence.sol";

/// @title Money in and out, and what is stored for all to see
abstract contract Funds is Evidence, IAuction {
    using SafeERC20 for IERC20;

    /// @inheritdoc IAuction
    function deposit(uint256 amount) external nonReentrant {
        if (amount == 0) revert AmountZero();
        uint256 before = TOKEN.balanceOf(address(this));
        TOKEN.safeTransferFrom(msg.sender, address(this), amount);
        if (TOKEN.balanceOf(address(this)) != before + amount) revert TokenTakesFee();
        // Whatever is taken out of it then fits 128 bits.
        if (_held + amount > type(uint128).max) revert AmountTooLarge();
        _held += amount;
        _balances[msg.sender] += amount;
        emit Deposited(msg.sender, amount);
    }

    /// @inheritdoc IAuction
    function withdraw(uint256 amount) external nonReentrant {
        if (amount == 0) revert AmountZero();
        _debit(msg.sender, amount);
        _held -= amount;
        emit Withdrawn(msg.sender, amount);
        uint256 before = TOKEN.balanceOf(address(this));
        TOKEN.safeTransfer(msg.sender, amount);
        if (TOKEN.balanceOf(address(this)) + amount != before) revert TokenTakesFee();
    }

    /// @inheritdoc IAuction
    function balanceOf(address account) external view returns (uint256) {
        return _balances[account];
    }

    /// @inheritdoc IAuction
    function totalHeld() external view returns (uint256) {
        return _held;
    }

    /// @inheritdoc IAuction
    function parameters() external view returns (AuctionParameters memory) {
        return _parameters();
    }

    /// @inheritdoc IAuction
    function pools() external view returns (Pool[] memory) {
        return _pools;
    }

    /// @inheritdoc IAuction
    function phaseOf(uint64 round) external view returns (Phase) {
        return _phaseOf(round);
    }

    /// @inheritdoc IAuction
    function currentRound() external view returns (uint64) {
        return _now();
    }

    /// @inheritdoc IAuction
    function roundOf(uint64 round) external view returns (RoundRecord memory) {
        return _rounds[round];
    }

    /// @inheritdoc IAuction
    function committedOf(uint64 round, address account, bytes32 commitment) external view returns (uint128) {
        return _committed[round][account][commitment];
    }

    /// @inheritdoc IAuction
    function orderOf(uint64 round, uint16 index) external view returns (bytes32, uint128, bool) {
        OrderRecord storage stored = _orders[round][index];
        return (stored.leaf, stored.deposit, stored.settled);
    }

    /// @inheritdoc IAuction
    function resultOf(uint64 round, uint32 result) external view returns (ResultRecord memory) {
        return _results[round][result];
    }

    /// @inheritdoc IAuction
    function streamOf(uint64 round, uint16 index) external view returns (StreamRecord memory) {
        return _streams[round][index];
    }

    /// @inheritdoc IAuction
    function holdingOf(uint64 season, uint16 pool, address account) external view returns (uint64) {
        return _holdings[season][pool][account];
    }

    /// @inheritdoc IAuction
    function obligationOf(uint64 round, uint16 index, uint16 pool) external view returns (Obligation memory) {
        return _obligations[round][index][pool];
    }

    /// @inheritdoc IAuction
    function boundOf(uint64 round, uint16 index, uint16 pool, address holder)
        external
        view
        returns (uint64 units, uint64 drawn)
    {
        BoundRecord storage bound = _bound[round][index][pool][holder];
        return (bound.units, bound.drawn);
    }

    /// @inheritdoc IAuction
    function drawOf(bytes32 id) external view returns (DrawRecord memory) {
        return _draws[id];
    }
}
