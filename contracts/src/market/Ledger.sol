// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IAccounts} from "../interfaces/IAccounts.sol";
import {Deployment} from "./Deployment.sol";

/// @dev What is burned is credited here, because not every token can burn. Nobody has its key.
address constant BURN = 0x000000000000000000000000000000000000dEaD;

/// @title The ledger behind the accounts
/// @dev Invariant, for each token: free + pending balances of all accounts + what deals and demands
/// hold = held <= the market's own balance. Only deposits and withdrawals change `held`, and only
/// they call out; they hold the reentrancy guard, and everything else that changes state refuses to
/// run while it is held.
abstract contract Ledger is Deployment, ReentrancyGuardTransient {
    struct Account {
        uint256 free;
        /// Set aside for withdrawal.
        uint192 pending;
        /// When it may be withdrawn.
        uint64 readyAt;
    }

    address internal constant NATIVE = address(0);

    mapping(address token => mapping(address account => Account)) internal _accounts;
    mapping(address token => uint256) internal _held;

    /// @dev What an account may spend.
    function _balance(address account, address token) internal view returns (uint256) {
        return _accounts[token][account].free;
    }

    /// @dev No overflow: the sum of all balances is held < 2^128.
    function _credit(address account, address token, uint256 amount) internal {
        if (amount == 0) return;
        unchecked {
            _accounts[token][account].free += amount;
        }
    }

    /// @dev The caller has checked the balance; the subtraction checks it again.
    function _debit(address account, address token, uint256 amount) internal {
        if (amount == 0) return;
        _accounts[token][account].free -= amount;
    }

    /// @dev Reverts if the balance is too small.
    function _move(address token, address from, address to, uint256 amount) internal {
        if (_balance(from, token) < amount) revert IAccounts.BalanceInsufficient();
        _debit(from, token, amount);
        _credit(to, token, amount);
    }
}
