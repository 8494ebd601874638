// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title One step of the machine
/// @notice What a dispute ends with. Whatever stands behind this function says which state follows a
/// state; this one executes the step itself, another could check a succinct proof.
interface IStepVerifier {
    /// A part of the proof does not hash to what the state before commits to: it belongs to another
    /// state or another instruction, or a leaf, a path or a preimage is wrong or out of order.
    error ProofMismatch();
    /// The proof has more or fewer words than the step opens.
    error ProofLengthWrong();

    /// @notice The state that follows `before`. A halted state follows itself.
    /// @dev Depends on `before` alone: a proof either opens it or reverts. Every state of every run
    /// of an accepted image has a proof.
    /// @param before hash of a state
    /// @param proof what the step reads of it, in words: `verifier/MACHINE.md`, section 4
    /// @return after_ hash of the state after one step
    function transition(bytes32 before, bytes calldata proof) external view returns (bytes32 after_);

    /// @notice The state that follows `before` in a run that stops at a point: a state whose cycle
    /// register has reached `until` follows itself.
    /// @param proof as for `transition`; of a state that has stopped, its words without the domain
    function transitionUntil(bytes32 before, bytes calldata proof, uint64 until)
        external
        view
        returns (bytes32 after_);
}
