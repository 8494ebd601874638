// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IAccounts} from "../interfaces/IAccounts.sol";
import {IERC3009} from "../interfaces/IERC3009.sol";
import {Ledger} from "./Ledger.sol";

/// @title Deposits, balances, delayed withdrawals
abstract contract Accounts is Ledger, IAccounts {
    using SafeERC20 for IERC20;

    /// @inheritdoc IAccounts
    function deposit(address token, uint256 amount) external nonReentrant {
        uint256 before = _beforeDeposit(token, amount);
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        _afterDeposit(msg.sender, token, amount, before);
    }

    /// @inheritdoc IAccounts
    function depositNative() external payable nonReentrant {
        if (msg.value == 0) revert AmountZero();
        _creditDeposit(msg.sender, NATIVE, msg.value);
    }

    /// @inheritdoc IAccounts
    function depositWithPermit(address token, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        nonReentrant
    {
        uint256 before = _beforeDeposit(token, amount);
        // Whoever saw the permit may have used it already; what counts is the allowance.
        try IERC20Permit(token).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        _afterDeposit(msg.sender, token, amount, before);
    }

    /// @inheritdoc IAccounts
    function depositWithAuthorization(
        address token,
        address from,
        uint256 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 bidHash,
        bytes calldata signature
    ) external nonReentrant {
        uint256 before = _beforeDeposit(token, amount);
        if (signature.length == 65) {
            IERC3009(token).receiveWithAuthorization(
                from,
                address(this),
                amount,
                validAfter,
                validBefore,
                bidHash,
                uint8(signature[64]),
                bytes32(signature[0:32]),
                bytes32(signature[32:64])
            );
        } else {
            IERC3009(token).receiveWithAuthorization(
                from, address(this), amount, validAfter, validBefore, bidHash, signature
            );
        }
        _afterDeposit(from, token, amount, before);
    }

    /// @inheritdoc IAccounts
    function requestWithdrawal(address token, uint256 amount) external nonReentrantView {
        Account storage account = _accounts[token][msg.sender];
        uint256 available = account.free + account.pending;
        if (amount > available) revert BalanceInsufficient();
        uint64 readyAt = amount == 0 ? 0 : uint64(block.timestamp + WITHDRAWAL_DELAY_S);
        account.free = available - amount;
        // amount <= held < 2^128
        account.pending = uint192(amount);
        account.readyAt = readyAt;
        emit WithdrawalRequested(msg.sender, token, amount, readyAt);
    }

    /// @inheritdoc IAccounts
    function withdraw(address token) external nonReentrant {
        Account storage account = _accounts[token][msg.sender];
        uint256 amount = account.pending;
        if (amount == 0) revert NothingPending();
        if (block.timestamp < account.readyAt) revert WithdrawalTooEarly();
        account.pending = 0;
        account.readyAt = 0;
        _held[token] -= amount;
        emit Withdrawn(msg.sender, token, amount);
        if (token == NATIVE) {
            (bool sent,) = msg.sender.call{value: amount}("");
            if (!sent) revert NativeTransferFailed();
        } else {
            uint256 before = IERC20(token).balanceOf(address(this));
            IERC20(token).safeTransfer(msg.sender, amount);
            if (IERC20(token).balanceOf(address(this)) + amount != before) revert TokenTakesFee();
        }
    }

    /// @inheritdoc IAccounts
    function balanceOf(address account, address token) external view returns (uint256) {
        return _balance(account, token);
    }

    /// @inheritdoc IAccounts
    function pendingWithdrawal(address account, address token)
        external
        view
        returns (uint256 amount, uint64 readyAt)
    {
        Account storage entry = _accounts[token][account];
        return (entry.pending, entry.readyAt);
    }

    /// @inheritdoc IAccounts
    function totalHeld(address token) external view returns (uint256) {
        return _held[token];
    }

    function _beforeDeposit(address token, uint256 amount) private view returns (uint256 before) {
        if (amount == 0) revert AmountZero();
        if (token == NATIVE) revert TokenIsNative();
        if (token.code.length == 0) revert TokenNotContract();
        before = IERC20(token).balanceOf(address(this));
        if (before < _held[token]) revert TokenRebased();
    }

    function _afterDeposit(address account, address token, uint256 amount, uint256 before) private {
        if (IERC20(token).balanceOf(address(this)) != before + amount) revert TokenTakesFee();
        _creditDeposit(account, token, amount);
    }

    function _creditDeposit(address account, address token, uint256 amount) private {
        if (amount > type(uint128).max || _held[token] + amount > type(uint128).max) revert AmountTooLarge();
        _held[token] += amount;
        _credit(account, token, amount);
        emit Deposited(account, token, amount);
    }
}
