// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Recourse} from "../Recourse.sol";
import {IAdmission} from "../interfaces/IAdmission.sol";
import {IAuditHold} from "../interfaces/IAuditHold.sol";
import {IChallenges} from "../interfaces/IChallenges.sol";
import {IDemands} from "../interfaces/IDemands.sol";
import {IReplacing} from "../interfaces/IReplacing.sol";
import {LeafAnswer, LeafIndex, OpenCall, Parameters, Payout, TaskOpening} from "../types/Calls.sol";
import {Claim, Deal, JobSpec, Offer} from "../types/Orders.sol";
import {BorrowedCode} from "./BorrowedCode.sol";

/// @title The functions whose code lies in Recourse
abstract contract RecourseEntry is IReplacing, IAdmission, IDemands, IChallenges, IAuditHold {
    /// The code that runs on this contract's storage.
    address public immutable RECOURSE;

    constructor(Parameters memory p) {
        RECOURSE = address(new Recourse(p));
    }

    /// @inheritdoc IReplacing
    function replace(OpenCall calldata, Deal calldata, Offer calldata) external returns (bytes32) {
        _borrow();
    }

    /// @inheritdoc IAdmission
    function cancelAdmission(Deal calldata) external {
        _borrow();
    }

    /// @inheritdoc IDemands
    function demandOutput(Deal calldata, Claim calldata, JobSpec calldata, LeafIndex[] calldata) external {
        _borrow();
    }

    /// @inheritdoc IDemands
    function answerDemand(Deal calldata, Claim calldata, LeafAnswer[] calldata) external {
        _borrow();
    }

    /// @inheritdoc IDemands
    function answerDemandWithReceipt(
        Deal calldata,
        Claim calldata,
        LeafIndex[] calldata,
        TaskOpening calldata,
        bytes calldata
    ) external {
        _borrow();
    }

    /// @inheritdoc IDemands
    function demandTimeout(Deal calldata, Claim calldata) external {
        _borrow();
    }

    /// @inheritdoc IChallenges
    function openChallenge(Deal calldata, Claim calldata, address, uint256) external returns (bytes32, bytes32) {
        _borrow();
    }

    /// @inheritdoc IChallenges
    function release(address, address, uint256) external {
        _borrow();
    }

    /// @inheritdoc IChallenges
    function resolveChallenge(Deal calldata, Claim calldata, bool, Payout[] calldata) external {
        _borrow();
    }

    /// @inheritdoc IAuditHold
    function openAudit(Deal calldata, Claim calldata) external returns (bytes32, bytes32, uint64) {
        _borrow();
    }

    /// @inheritdoc IAuditHold
    function closeAudit(Deal calldata, Claim calldata, bool) external {
        _borrow();
    }

    function _borrow() private {
        BorrowedCode.run(RECOURSE);
    }
}
