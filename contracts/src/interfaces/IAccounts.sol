// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Balances: deposits and delayed withdrawals
interface IAccounts {
    event Deposited(address indexed account, address indexed token, uint256 amount);
    event WithdrawalRequested(address indexed account, address indexed token, uint256 amount, uint64 readyAt);
    event Withdrawn(address indexed account, address indexed token, uint256 amount);

    /// An amount of zero.
    error AmountZero();
    /// The market would hold more than 2^128 - 1 of the token.
    error AmountTooLarge();
    /// The zero address is not an ERC-20; use depositNative.
    error TokenIsNative();
    /// The address holds no code.
    error TokenNotContract();
    /// The market received another amount than was sent: fee-on-transfer tokens are refused.
    error TokenTakesFee();
    /// The market's balance of the token fell without a withdrawal: rebasing tokens are refused.
    error TokenRebased();
    /// The account's free balance is too small.
    error BalanceInsufficient();
    /// No withdrawal was requested.
    error NothingPending();
    /// The withdrawal delay has not passed.
    error WithdrawalTooEarly();
    /// The account refused the coin.
    error NativeTransferFailed();

    /// @notice Moves `amount` of an ERC-20 from the caller into its market balance.
    function deposit(address token, uint256 amount) external;
    /// @notice Credits the coin sent along to the caller.
    function depositNative() external payable;
    /// @notice `deposit` after an ERC-2612 permit. A permit that somebody already used is no error
    /// as long as the allowance is there.
    function depositWithPermit(address token, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external;
    /// @notice Deposits for `from` by an ERC-3009 authorisation whose nonce is the hash of the bid
    /// that it funds. Anybody may send it; the credit goes to `from`.
    function depositWithAuthorization(
        address token,
        address from,
        uint256 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 bidHash,
        bytes calldata signature
    ) external;
    /// @notice Sets aside `amount` of the caller's free balance for withdrawal after the delay.
    /// Replaces an earlier request; zero cancels it.
    function requestWithdrawal(address token, uint256 amount) external;
    /// @notice Pays out what was requested once the delay has passed.
    function withdraw(address token) external;
    /// @notice Runs several of the market's functions in one transaction (deposit and open, say);
    /// all or nothing.
    function multicall(bytes[] calldata calls) external returns (bytes[] memory results);

    /// @notice The free balance of an account.
    function balanceOf(address account, address token) external view returns (uint256);
    /// @notice What an account has set aside, and when it may be withdrawn.
    function pendingWithdrawal(address account, address token) external view returns (uint256 amount, uint64 readyAt);
    /// @notice Everything the market holds of a token: free, pending, escrowed, locked and burned.
    function totalHeld(address token) external view returns (uint256);
}
