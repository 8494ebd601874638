// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAudits} from "../interfaces/IAudits.sol";
import {IGame} from "../interfaces/IGame.sol";
import {IInitialState} from "../interfaces/IInitialState.sol";
import {IChallenges} from "../interfaces/IChallenges.sol";
import {IStepVerifier} from "../interfaces/IStepVerifier.sol";
import {GameParameters} from "../types/Disputes.sol";
import {Bisection} from "./Bisection.sol";
import {GameWords} from "./GameWord.sol";
import {Seats} from "./Seats.sol";

/// @title What a game costs and how long it may take
/// @dev Fixed at the deployment; `verifier/ECONOMICS.md` derives the numbers.
abstract contract Terms is Seats {
    /// Gas of the calls, as refunded: the most that they take within the limits of jobs and images, as
    /// `test/game/GameGas.t.sol` shows. A challenge of 2,048 tasks of the largest job whose image has 16
    /// memories takes half as much again as an ordinary one.
    uint256 internal constant CHALLENGE_GAS = 380_000;
    uint256 internal constant SECTION_GAS = 65_000;
    /// Of the last step, its verdict and the payouts.
    uint256 internal constant FINISH_GAS = 350_000;

    /// Cycles that `runPrice` pays for.
    uint256 private constant RUN_CYCLES = 1 << 30;
    /// Largest cycle limit of a task that a clock must hold.
    uint256 private constant CYCLE_LIMIT_MAX = 1 << 44;
    /// Doublings of a bond after which nobody can pay it anyway.
    uint256 private constant DOUBLINGS_MAX = 64;

    IChallenges internal immutable MARKET;
    IStepVerifier internal immutable STEP_VERIFIER;
    IInitialState internal immutable INITIAL_STATE;
    IAudits internal immutable AUDITS;
    uint256 private immutable INCLUSION_DELAY_S;
    uint256 private immutable INTERPRETER_SPEED;
    uint256 internal immutable GAS_PRICE_CAP;
    uint256 private immutable RUN_PRICE;

    constructor(GameParameters memory p) {
        MARKET = IChallenges(p.market);
        STEP_VERIFIER = IStepVerifier(p.stepVerifier);
        INITIAL_STATE = IInitialState(p.initialState);
        AUDITS = IAudits(p.audits);
        INCLUSION_DELAY_S = p.inclusionDelay;
        INTERPRETER_SPEED = p.interpreterSpeed;
        GAS_PRICE_CAP = p.gasPriceCap;
        RUN_PRICE = p.runPrice;
        if (p.interpreterSpeed == 0 || _clock(CYCLE_LIMIT_MAX) > GameWords.CLOCK_MAX) revert ParameterOutOfRange();
    }

    /// @inheritdoc IGame
    function parameters() external view returns (GameParameters memory) {
        return GameParameters({
            market: address(MARKET),
            stepVerifier: address(STEP_VERIFIER),
            initialState: address(INITIAL_STATE),
            audits: address(AUDITS),
            inclusionDelay: uint32(INCLUSION_DELAY_S),
            interpreterSpeed: uint64(INTERPRETER_SPEED),
            gasPriceCap: uint64(GAS_PRICE_CAP),
            runPrice: uint128(RUN_PRICE)
        });
    }

    /// @inheritdoc IGame
    function sectionsOf(uint64 cycleLimit) external pure returns (uint256) {
        return Bisection.sections(cycleLimit);
    }

    /// @inheritdoc IGame
    function clockOf(uint64 cycleLimit) external view returns (uint256) {
        return _clock(cycleLimit);
    }

    /// @inheritdoc IGame
    function bondFor(address provider, uint64 cycleLimit) external view returns (uint256) {
        return _bond(provider, cycleLimit);
    }

    function _clock(uint256 cycleLimit) internal view returns (uint256) {
        return INCLUSION_DELAY_S + _ceilDiv(cycleLimit, INTERPRETER_SPEED);
    }

    /// @dev Twice what an honest provider may be owed, because at least half of a lost bond burns;
    /// doubled with every 32 games that run against the provider.
    function _bond(address provider, uint256 cycleLimit) internal view returns (uint256 bond) {
        uint256 sections = Bisection.sections(cycleLimit);
        uint256 doublings = _queues[provider].live / SEATS;
        if (doublings > DOUBLINGS_MAX) revert BondTooLarge();
        bond = 2 * (_gasOfProvider(sections) * GAS_PRICE_CAP + _runFee(cycleLimit)) << doublings;
        if (bond > type(uint128).max) revert BondTooLarge();
    }

    /// @dev Wei of an interpreter's run to the limit, rounded up.
    function _runFee(uint256 cycleLimit) internal view returns (uint256) {
        return _ceilDiv(RUN_PRICE * cycleLimit, RUN_CYCLES);
    }

    /// @dev Wei per gas that refunds are paid at now.
    function _gasPrice() internal view returns (uint256) {
        return block.basefee < GAS_PRICE_CAP ? block.basefee : GAS_PRICE_CAP;
    }

    /// @dev Gas of a provider's moves in a game in which `made` sections were made by both sides
    /// together, its end included.
    function _gasOfProvider(uint256 made) internal pure returns (uint256) {
        return made / 2 * SECTION_GAS + FINISH_GAS;
    }

    /// @dev Gas of a challenger's moves, without the end.
    function _gasOfChallenger(uint256 made) internal pure returns (uint256) {
        return CHALLENGE_GAS + (made + 1) / 2 * SECTION_GAS;
    }

    function _ceilDiv(uint256 a, uint256 b) private pure returns (uint256) {
        return (a + b - 1) / b;
    }
}
