//! The contracts that end a dispute: the one that executes a step of the machine and the one that
//! knows the state in which a task starts. Neither has storage, an owner or a constructor's
//! arguments, so the bytes here are all there is to them, on a chain or in an EVM in process.
//!
//! What a proof consists of is `verifier/MACHINE.md`, section 4.

use alloy::primitives::{B256, Bytes};
use alloy::sol_types::SolCall;

use crate::bindings::{InitialState, StepVerifier};

/// A contract of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineContract {
    /// Its name.
    pub name: &'static str,
    /// What a transaction that creates it carries; there are no arguments to append.
    pub creation: Bytes,
    /// The code that the creation leaves behind: an EVM in process may place it as it is.
    pub runtime: Bytes,
}

/// The contract that executes one step.
#[must_use]
pub fn step_verifier() -> MachineContract {
    MachineContract {
        name: "StepVerifier",
        creation: StepVerifier::BYTECODE.clone(),
        runtime: StepVerifier::DEPLOYED_BYTECODE.clone(),
    }
}

/// The contract that knows the state in which a task starts.
#[must_use]
pub fn initial_state() -> MachineContract {
    MachineContract {
        name: "InitialState",
        creation: InitialState::BYTECODE.clone(),
        runtime: InitialState::DEPLOYED_BYTECODE.clone(),
    }
}

/// All of the machine's contracts, in an order in which they can be created.
#[must_use]
pub fn contracts() -> [MachineContract; 2] {
    [step_verifier(), initial_state()]
}

/// The calldata of `StepVerifier.transition`; its answer is the hash of the state after.
#[must_use]
pub fn transition(before: B256, proof: &[B256]) -> Bytes {
    let proof = proof.concat().into();
    StepVerifier::transitionCall { before, proof }
        .abi_encode()
        .into()
}
