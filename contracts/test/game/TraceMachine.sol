// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IStepVerifier} from "../../src/interfaces/IStepVerifier.sol";
import {Image, Memory} from "../../src/types/Disputes.sol";
import {JobSpec} from "../../src/types/Orders.sol";

/// @dev A machine whose states are made up, so that a game costs a test nothing but the game: state i
/// of task t is a hash of both, until the task halts. A proof names the step.
/// Answers for IInitialState too, though not as a pure function.
contract TraceMachine is IStepVerifier {
    error NoSuchState();

    struct Trace {
        bytes32 seed;
        uint256 length;
        bytes32 halted;
    }

    mapping(uint256 task => Trace) private _traces;

    function set(uint256 task, uint256 length, bytes32 halted) external {
        _traces[task] = Trace(keccak256(abi.encode("trace", task)), length, halted);
    }

    function state(uint256 task, uint256 step) public view returns (bytes32) {
        Trace memory trace = _traces[task];
        return step >= trace.length ? trace.halted : keccak256(abi.encode(trace.seed, step));
    }

    function transition(bytes32 before, bytes calldata proof) external view returns (bytes32) {
        (uint256 task, uint256 step) = abi.decode(proof, (uint256, uint256));
        if (state(task, step) != before) revert NoSuchState();
        return state(task, step + 1);
    }

    /// @dev A step takes a million cycles.
    function transitionUntil(bytes32 before, bytes calldata proof, uint64 until) external view returns (bytes32) {
        (uint256 task, uint256 step) = abi.decode(proof, (uint256, uint256));
        if (state(task, step) != before) revert NoSuchState();
        return state(task, step * 1e6 >= until ? step : step + 1);
    }

    function initialState(Image calldata, Memory[] calldata, JobSpec calldata, uint32 task, uint64, bytes32)
        external
        view
        returns (bytes32)
    {
        return state(task, 0);
    }
}
