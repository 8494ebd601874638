// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAudits} from "../interfaces/IAudits.sol";
import {IGame} from "../interfaces/IGame.sol";
import {IMarket} from "../interfaces/IMarket.sol";
import {IStake} from "../interfaces/IStake.sol";
import {AuditParameters} from "../types/Audits.sol";

/// @title What a deployment of the audits fixes for ever, and what is drawn by which bits of a seed
/// @dev `verifier/ECONOMICS.md` derives the numbers; `verifier/src/audit.rs` states the rules in Rust.
abstract contract Rules is IAudits {
    uint256 internal constant AUDITORS_MAX = 8;
    /// An audit, with a game that it leads to, lasts at most as long as this many clocks of the game
    /// and the time to commit: one to run the task, four in which a game waits for a seat, two
    /// in which it is played, one for calls in between.
    uint256 private constant CLOCKS_AT_MOST = 8;
    uint256 private constant BPS = 10_000;

    // What is drawn from a seed.
    uint256 private constant WHETHER = 0;
    uint256 private constant TASK = 1;
    uint256 internal constant AUDITOR = 2;
    uint256 private constant POINT = 3;

    IMarket internal immutable MARKET;
    IGame internal immutable GAME;
    IStake internal immutable STAKE;
    uint256 internal immutable PERIOD_S;
    uint256 internal immutable AUDITORS;
    uint256 private immutable COMMIT_TIME_S;
    uint256 internal immutable INCLUSION_DELAY_S;
    uint256 private immutable INTERPRETER_SPEED;
    uint256 internal immutable STAKE_PER_AUDIT;
    uint256 internal immutable SILENCE_PENALTY;
    uint256 internal immutable CYCLE_LIMIT_MAX;

    constructor(AuditParameters memory p) {
        if (
            p.beaconPeriod == 0 || p.auditors == 0 || p.auditors > AUDITORS_MAX || p.interpreterSpeed == 0
                || p.silencePenalty > p.stakePerAudit || p.stakePerAudit == 0
        ) revert ParameterOutOfRange();
        MARKET = IMarket(p.market);
        GAME = IGame(p.game);
        STAKE = IStake(p.stake);
        PERIOD_S = p.beaconPeriod;
        AUDITORS = p.auditors;
        COMMIT_TIME_S = p.commitTime;
        INCLUSION_DELAY_S = p.inclusionDelay;
        INTERPRETER_SPEED = p.interpreterSpeed;
        STAKE_PER_AUDIT = p.stakePerAudit;
        SILENCE_PENALTY = p.silencePenalty;
        uint256 unbondingDelay = STAKE.UNBONDING_DELAY_S();
        uint256 least = CLOCKS_AT_MOST * p.inclusionDelay + p.commitTime;
        if (unbondingDelay <= least) revert ParameterOutOfRange();
        uint256 cycles = (unbondingDelay - least) / CLOCKS_AT_MOST * p.interpreterSpeed;
        CYCLE_LIMIT_MAX = cycles < type(uint64).max ? cycles : type(uint64).max;
    }

    /// @inheritdoc IAudits
    function parameters() external view returns (AuditParameters memory) {
        return AuditParameters({
            market: address(MARKET),
            game: address(GAME),
            stake: address(STAKE),
            beaconPeriod: uint32(PERIOD_S),
            auditors: uint8(AUDITORS),
            commitTime: uint32(COMMIT_TIME_S),
            inclusionDelay: uint32(INCLUSION_DELAY_S),
            interpreterSpeed: uint64(INTERPRETER_SPEED),
            stakePerAudit: uint128(STAKE_PER_AUDIT),
            silencePenalty: uint128(SILENCE_PENALTY)
        });
    }

    /// @inheritdoc IAudits
    function cycleLimitMax() external view returns (uint64) {
        return uint64(CYCLE_LIMIT_MAX);
    }

    /// @dev Seconds to commit in: fetching, a native run, and the machine's run of so many cycles.
    function _commitTime(uint256 cycles) internal view returns (uint256) {
        return COMMIT_TIME_S + INCLUSION_DELAY_S + (cycles + INTERPRETER_SPEED - 1) / INTERPRETER_SPEED;
    }

    /// @dev A number below `range`, by a seed; the bias of the remainder is below 2^-200.
    function _drawn(bytes32 seed, uint256 what, uint256 index, uint256 range) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, what, index))) % range;
    }

    function _isDrawn(bytes32 seed, uint256 rateBps) internal pure returns (bool) {
        return _drawn(seed, WHETHER, 0, BPS) < rateBps;
    }

    function _task(bytes32 seed, uint256 firstTask, uint256 taskCount) internal pure returns (uint256) {
        return firstTask + _drawn(seed, TASK, 0, taskCount);
    }

    /// @dev In the last 1/64 of the claimed cycles, and never 0, which names the end of a run.
    function _point(bytes32 seed, uint256 index, uint256 cycles) internal pure returns (uint64) {
        uint256 point = cycles - _drawn(seed, POINT, index, cycles / 64 + 1);
        return uint64(point == 0 ? 1 : point);
    }
}
