// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Stake: what verifiers put at risk
/// @notice The protocol's token is staked, and can be withdrawn after a delay that is longer than
/// the longest window in which its owner can be slashed. Unbonding stake can still be slashed.
/// At least half of every slash burns, so that nobody profits from slashing himself.
interface IStake {
    event Staked(address indexed account, uint256 amount);
    event UnbondingRequested(address indexed account, uint256 amount, uint64 readyAt);
    event Withdrawn(address indexed account, uint256 amount);
    event Slashed(address indexed account, uint256 amount, address indexed rewarded, uint256 reward);

    /// An amount of zero.
    error AmountZero();
    /// More than what the account has staked.
    error StakeInsufficient();
    /// Nothing is unbonding.
    error NothingUnbonding();
    /// The unbonding delay has not passed.
    error UnbondingTooEarly();
    error NotAudits();
    /// More than half of the slash.
    error RewardTooLarge();

    /// @notice Stakes `amount` of the caller's tokens.
    function stake(uint256 amount) external;
    /// @notice `stake` after an ERC-2612 permit; a permit that somebody already used is no error as
    /// long as the allowance is there.
    function stakeWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
    /// @notice Starts to unbond `amount`; starts the delay again for what is unbonding already.
    function requestUnbonding(uint256 amount) external;
    /// @notice Pays out what has unbonded.
    function withdraw() external;
    /// @notice The audits take up to `amount` of an account's stake (what unbonds last), credit
    /// `reward` of it, at most half, to `rewarded` as stake, and burn the rest.
    /// @return taken what was there to take
    function slash(address account, uint256 amount, address rewarded, uint256 reward)
        external
        returns (uint256 taken);

    /// @notice Stake that counts: neither unbonding nor slashed.
    function stakeOf(address account) external view returns (uint256);
    function unbondingOf(address account) external view returns (uint256 amount, uint64 readyAt);
    /// @notice Seconds between the request to unbond and the withdrawal.
    function UNBONDING_DELAY_S() external view returns (uint256);
    /// @notice Tokens that were slashed and lie here for ever.
    function burned() external view returns (uint256);
}
