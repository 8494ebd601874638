// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

import {IStepVerifier} from "../interfaces/IStepVerifier.sol";
import {Hashing} from "../market/Hashing.sol";
import {Access} from "./Access.sol";
import {Arithmetic} from "./Arithmetic.sol";
import {Bulk} from "./Bulk.sol";
import {Control} from "./Control.sol";
import {Op} from "./Opcodes.sol";
import {States} from "./State.sol";
import {Step, Steps} from "./Step.sol";

/// @title Executes one step of the machine
/// @notice Stateless, ownerless, for ever the same. The rules are `verifier/MACHINE.md`.
contract StepVerifier is IStepVerifier {
    uint256 private constant HALTED_BYTES = 4 * 32;
    /// A state, but for its domain.
    uint256 private constant STOPPED_BYTES = 8 * 32;

    /// @inheritdoc IStepVerifier
    function transition(bytes32 before, bytes calldata proof) external pure returns (bytes32 after_) {
        return _transition(before, proof);
    }

    /// @inheritdoc IStepVerifier
    function transitionUntil(bytes32 before, bytes calldata proof, uint64 until)
        external
        pure
        returns (bytes32 after_)
    {
        // Whether it stopped is in the state's first word; nothing else of it needs to be opened.
        bool running = proof.length != HALTED_BYTES;
        bool stopped = running && proof.length >= STOPPED_BYTES && uint256(bytes32(proof[:32])) >> 192 >= until;
        if (stopped != (proof.length == STOPPED_BYTES)) revert ProofLengthWrong();
        if (!stopped) return _transition(before, proof);
        if (keccak256(abi.encodePacked(States.STATE_DOMAIN, proof)) != before) revert ProofMismatch();
        return before;
    }

    /// @dev A step that halts ends the call with the halted state.
    function _transition(bytes32 before, bytes calldata proof) private pure returns (bytes32 after_) {
        if (proof.length == HALTED_BYTES) {
            _matchHalted(before, proof);
            return before;
        }
        Step memory step = Steps.begin(before, proof);
        uint256 operation = step.operation;
        uint256 flags = step.flags;
        if (flags > (Op.IMM | Op.BRANCH)) step.trap();
        if (operation >= Op.EQZ) {
            Arithmetic.execute(step);
        } else {
            // Accesses alone know IMM, and nothing here BRANCH.
            bool access = operation >= Op.LOAD_8U && operation <= Op.STORE_64;
            if (flags > (access ? Op.IMM : 0)) step.trap();
            if (operation >= Op.MEMORY_COPY) Bulk.execute(step);
            else if (operation >= Op.LOAD_8U) Access.execute(step);
            else Control.execute(step);
        }
        return step.finish();
    }

    function _matchHalted(bytes32 before, bytes calldata proof) private pure {
        (bytes32 jobHash, uint256 task, uint256 cycles, bytes32 inner) =
            abi.decode(proof, (bytes32, uint256, uint256, bytes32));
        if (Hashing.halted(jobHash, task, cycles, inner) != before) revert ProofMismatch();
    }
}
