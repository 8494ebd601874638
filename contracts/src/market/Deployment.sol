// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IDeployment} from "../interfaces/IDeployment.sol";
import {Parameters} from "../types/Calls.sol";
import {Money} from "./Money.sol";

/// @title What a deployment fixes for ever
/// @dev No owner, no setter: other rules are another deployment.
abstract contract Deployment is IDeployment {
    /// Bound of the fee, whatever the deployer chooses: 5%.
    uint256 public constant MAX_FEE_BPS = 500;

    address internal immutable GAME;
    address internal immutable AUDITS;
    address internal immutable FEE_COLLECTOR;
    uint256 internal immutable ADMISSION_WINDOW_S;
    uint256 internal immutable CHALLENGE_WINDOW_S;
    uint256 internal immutable DEMAND_WINDOW_S;
    uint256 internal immutable WITHDRAWAL_DELAY_S;
    uint256 internal immutable COLLATERAL_FLOOR_WEI;
    uint256 internal immutable DEMAND_BOND_WEI;
    uint256 internal immutable ADMISSION_FEE_BPS;
    uint256 internal immutable FEE_BPS;

    constructor(Parameters memory p) {
        if (p.feeBps > MAX_FEE_BPS || p.admissionFeeBps > Money.BPS) revert ParameterOutOfRange();
        if (p.feeBps != 0 && p.feeCollector == address(0)) revert ParameterOutOfRange();
        GAME = p.game;
        AUDITS = p.audits;
        FEE_COLLECTOR = p.feeCollector;
        ADMISSION_WINDOW_S = p.admissionWindow;
        CHALLENGE_WINDOW_S = p.challengeWindow;
        DEMAND_WINDOW_S = p.demandWindow;
        WITHDRAWAL_DELAY_S = p.withdrawalDelay;
        COLLATERAL_FLOOR_WEI = p.collateralFloor;
        DEMAND_BOND_WEI = p.demandBond;
        ADMISSION_FEE_BPS = p.admissionFeeBps;
        FEE_BPS = p.feeBps;
    }

    /// @inheritdoc IDeployment
    function parameters() external view returns (Parameters memory) {
        return Parameters({
            game: GAME,
            audits: AUDITS,
            feeCollector: FEE_COLLECTOR,
            admissionWindow: uint32(ADMISSION_WINDOW_S),
            challengeWindow: uint32(CHALLENGE_WINDOW_S),
            demandWindow: uint32(DEMAND_WINDOW_S),
            withdrawalDelay: uint32(WITHDRAWAL_DELAY_S),
            collateralFloor: uint128(COLLATERAL_FLOOR_WEI),
            demandBond: uint128(DEMAND_BOND_WEI),
            admissionFeeBps: uint16(ADMISSION_FEE_BPS),
            feeBps: uint16(FEE_BPS)
        });
    }
}
