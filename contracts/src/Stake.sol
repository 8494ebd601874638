// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IStake} from "./interfaces/IStake.sol";

/// @title Stake
/// @dev Invariant: staked + unbonding of all accounts + burned = the contract's balance, less what
/// was sent here by mistake. The token is the protocol's own: it takes no fee, calls nobody back and
/// its supply fits 128 bits.
contract Stake is IStake {
    using SafeERC20 for IERC20;

    struct Unbonding {
        uint192 amount;
        uint64 readyAt;
    }

    IERC20 public immutable TOKEN;
    /// The only account that may slash: the audits.
    address public immutable AUDITS;
    uint256 public immutable UNBONDING_DELAY_S;

    mapping(address account => uint256) private _staked;
    mapping(address account => Unbonding) private _unbonding;

    /// @inheritdoc IStake
    uint256 public burned;

    constructor(IERC20 token, address audits, uint32 unbondingDelay) {
        TOKEN = token;
        AUDITS = audits;
        UNBONDING_DELAY_S = unbondingDelay;
    }

    /// @inheritdoc IStake
    function stake(uint256 amount) external {
        _stake(amount);
    }

    /// @inheritdoc IStake
    function stakeWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external {
        // Whoever saw the permit may have used it already; what counts is the allowance.
        try IERC20Permit(address(TOKEN)).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        _stake(amount);
    }

    /// @inheritdoc IStake
    function requestUnbonding(uint256 amount) external {
        if (amount == 0) revert AmountZero();
        if (amount > _staked[msg.sender]) revert StakeInsufficient();
        Unbonding storage unbonding = _unbonding[msg.sender];
        uint64 readyAt = uint64(block.timestamp + UNBONDING_DELAY_S);
        _staked[msg.sender] -= amount;
        unbonding.amount += uint192(amount);
        unbonding.readyAt = readyAt;
        emit UnbondingRequested(msg.sender, unbonding.amount, readyAt);
    }

    /// @inheritdoc IStake
    function withdraw() external {
        Unbonding memory unbonding = _unbonding[msg.sender];
        if (unbonding.amount == 0) revert NothingUnbonding();
        if (block.timestamp < unbonding.readyAt) revert UnbondingTooEarly();
        delete _unbonding[msg.sender];
        emit Withdrawn(msg.sender, unbonding.amount);
        TOKEN.safeTransfer(msg.sender, unbonding.amount);
    }

    /// @inheritdoc IStake
    function slash(address account, uint256 amount, address rewarded, uint256 reward)
        external
        returns (uint256 taken)
    {
        if (msg.sender != AUDITS) revert NotAudits();
        uint256 fromStake = _min(amount, _staked[account]);
        uint256 fromUnbonding = _min(amount - fromStake, _unbonding[account].amount);
        taken = fromStake + fromUnbonding;
        if (reward > taken / 2) revert RewardTooLarge();
        _staked[account] -= fromStake;
        _unbonding[account].amount -= uint192(fromUnbonding);
        _staked[rewarded] += reward;
        burned += taken - reward;
        emit Slashed(account, taken, rewarded, reward);
    }

    /// @inheritdoc IStake
    function stakeOf(address account) external view returns (uint256) {
        return _staked[account];
    }

    /// @inheritdoc IStake
    function unbondingOf(address account) external view returns (uint256 amount, uint64 readyAt) {
        return (_unbonding[account].amount, _unbonding[account].readyAt);
    }

    function _stake(uint256 amount) private {
        if (amount == 0) revert AmountZero();
        _staked[msg.sender] += amount;
        emit Staked(msg.sender, amount);
        TOKEN.safeTransferFrom(msg.sender, address(this), amount);
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
