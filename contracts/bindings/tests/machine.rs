//! The step verifier's bytecode in an EVM in process: a halted state repeats, and nothing passes for
//! a proof that is none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::sol_types::SolError;
use outcry_contracts::{StepVerifier, machine, refusal};
use revm::context::TxEnv;
use revm::context::result::ExecutionResult;
use revm::database::{CacheDB, EmptyDB};
use revm::primitives::{TxKind, hardfork::SpecId};
use revm::state::{AccountInfo, Bytecode};
use revm::{Context, ExecuteEvm, MainBuilder, MainContext};

const AT: Address = Address::repeat_byte(0x57);

/// Calls the verifier as it is deployed.
fn transition(before: B256, proof: &[B256]) -> Result<B256, Bytes> {
    let code = Bytecode::new_raw(machine::step_verifier().runtime);
    let mut state = CacheDB::new(EmptyDB::default());
    state.insert_account_info(AT, AccountInfo::from_bytecode(code));
    let mut evm = Context::mainnet()
        .modify_cfg_chained(|cfg| cfg.set_spec_and_mainnet_gas_params(SpecId::OSAKA))
        .with_db(state)
        .build_mainnet();
    let call = TxEnv::builder()
        .kind(TxKind::Call(AT))
        .data(machine::transition(before, proof))
        .gas_limit(1 << 24)
        .build()
        .unwrap();
    match evm.transact(call).unwrap().result {
        ExecutionResult::Success { output, .. } => Ok(B256::from_slice(output.data())),
        ExecutionResult::Revert { output, .. } => Err(output),
        halt => panic!("{halt:?}"),
    }
}

#[test]
fn a_halted_state_follows_itself() {
    let words = [
        keccak256("job"),
        U256::from(3).into(),
        U256::from(1000).into(),
        keccak256("inner"),
    ];
    let mut preimage = keccak256("outcry.halted.v1").to_vec();
    preimage.extend(words.concat());
    let state = keccak256(preimage);
    assert_eq!(transition(state, &words), Ok(state));

    let refused = transition(keccak256("another state"), &words).unwrap_err();
    assert_eq!(refused[..], StepVerifier::ProofMismatch::SELECTOR);
    assert_eq!(refusal::name_of_revert(&refused), Some("ProofMismatch"));
}

#[test]
fn nothing_is_no_proof() {
    let refused = transition(B256::ZERO, &[]).unwrap_err();
    assert_eq!(refused[..], StepVerifier::ProofMismatch::SELECTOR);
}

#[test]
fn the_contracts_create_what_they_say() {
    for contract in machine::contracts() {
        assert!(contract.runtime.len() <= 24_576, "{}", contract.name);
        assert!(
            contract
                .creation
                .windows(contract.runtime.len())
                .any(|part| part == &contract.runtime[..]),
            "{} carries its code",
            contract.name
        );
    }
}
