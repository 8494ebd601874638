//! The contracts' bytecode, as it is deployed, in an EVM in process.

use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::SolCall;
use outcry_contracts::{InitialState, StepVerifier, machine, refusal};
use outcry_protocol::types::JobSpec;
use outcry_verifier::game::TaskStart;
use outcry_verifier::machine::{CommittedProgram, StepProof};
use revm::context::TxEnv;
use revm::context::result::ExecutionResult;
use revm::database::{CacheDB, EmptyDB};
use revm::handler::{MainnetContext, MainnetEvm};
use revm::primitives::{TxKind, hardfork::SpecId};
use revm::state::{AccountInfo, Bytecode};
use revm::{Context, ExecuteEvm, MainBuilder, MainContext};

/// Where the step verifier lies.
const STEP_VERIFIER: Address = Address::repeat_byte(0x57);
/// Where the contract of initial states lies.
const INITIAL_STATE: Address = Address::repeat_byte(0x15);
/// The most gas of a transaction since Osaka (EIP-7825).
const GAS_LIMIT: u64 = 1 << 24;
/// Gas of any transaction.
const TRANSACTION_GAS: u64 = 21_000;

/// What the chain made of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainStep {
    /// Hash of the state after.
    pub after: B256,
    /// Gas of a transaction that does nothing but this step: 21,000, calldata at 4 or 16 a byte and
    /// execution, or the floor of 10 or 40 a byte (EIP-7623) if that is more.
    pub gas: u64,
    /// Gas of the execution alone.
    pub execution_gas: u64,
}

/// The chain did not make a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The contract reverted: the proof does not open the state, or the arguments are no task's.
    #[error("the contract refuses: {0}")]
    Refused(String),
    /// The execution ran out of gas or into an invalid instruction.
    #[error("the execution stopped: {0}")]
    Stopped(String),
    /// The EVM could not be asked. A defect of this crate.
    #[error("the EVM failed: {0}; report this as a defect")]
    Evm(String),
}

/// A chain that knows the machine's contracts and nothing else.
pub struct Chain {
    evm: MainnetEvm<MainnetContext<CacheDB<EmptyDB>>>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").finish_non_exhaustive()
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl Chain {
    /// A chain with the contracts, by the rules of Osaka.
    #[must_use]
    pub fn new() -> Self {
        Self::with_step_verifier(machine::step_verifier().runtime)
    }

    /// The same with other bytecode in the step verifier's place.
    #[must_use]
    pub fn with_step_verifier(runtime: Bytes) -> Self {
        let mut state = CacheDB::new(EmptyDB::default());
        for (address, contract) in [
            (STEP_VERIFIER, runtime),
            (INITIAL_STATE, machine::initial_state().runtime),
        ] {
            let code = Bytecode::new_raw(contract);
            state.insert_account_info(address, AccountInfo::from_bytecode(code));
        }
        let evm = Context::mainnet()
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
                cfg.disable_nonce_check = true;
            })
            .with_db(state)
            .build_mainnet();
        Self { evm }
    }

    /// Executes a step from its proof.
    ///
    /// # Errors
    /// [`ChainError`]: the proof does not prove a step from this state.
    pub fn execute(&mut self, before: B256, proof: &StepProof) -> Result<ChainStep, ChainError> {
        self.execute_bytes(before, &proof.to_bytes())
    }

    /// The same from bytes that need not be a proof.
    ///
    /// # Errors
    /// As [`Chain::execute`].
    pub fn execute_bytes(&mut self, before: B256, proof: &[u8]) -> Result<ChainStep, ChainError> {
        let proof = Bytes::copy_from_slice(proof);
        let call = StepVerifier::transitionCall { before, proof }.abi_encode();
        self.call(STEP_VERIFIER, call)
    }

    /// The state in which a task starts, as the chain computes it from the job and the image.
    ///
    /// # Errors
    /// [`ChainError::Refused`] if the job does not name this image or has no such task.
    pub fn initial_state(
        &mut self,
        program: &CommittedProgram,
        job: &JobSpec,
        task: u32,
        archive: &[u8],
    ) -> Result<B256, ChainError> {
        let bytes = archive.len() as u64;
        // Bytes in memory are there.
        let start = TaskStart::of(program, &mut { archive }, bytes)
            .map_err(|error| ChainError::Evm(error.to_string()))?;
        let call = InitialState::initialStateCall {
            image: start.image.into(),
            memories: start.memories.into_iter().map(Into::into).collect(),
            job: job.clone().into(),
            task,
            archiveLength: start.archive_bytes,
            archive: start.archive,
        };
        Ok(self.call(INITIAL_STATE, call.abi_encode())?.after)
    }

    /// Calls a contract that answers one word.
    fn call(&mut self, contract: Address, calldata: Vec<u8>) -> Result<ChainStep, ChainError> {
        let zeros = calldata.iter().filter(|byte| **byte == 0).count() as u64;
        let others = calldata.len() as u64 - zeros;
        let calldata_gas = 4 * zeros + 16 * others;
        let transaction = TxEnv::builder()
            .kind(TxKind::Call(contract))
            .data(calldata.into())
            .gas_limit(GAS_LIMIT)
            .build()
            .map_err(|error| ChainError::Evm(format!("{error:?}")))?;
        let answer = self
            .evm
            .transact(transaction)
            .map_err(|error| ChainError::Evm(error.to_string()))?;
        match answer.result {
            ExecutionResult::Success { gas, output, .. } => {
                let after = <[u8; 32]>::try_from(&output.data()[..]).map_err(|_| {
                    ChainError::Evm(format!("an answer of {} bytes", output.data().len()))
                })?;
                Ok(ChainStep {
                    after: after.into(),
                    gas: gas.tx_gas_used(),
                    execution_gas: gas.total_gas_spent() - TRANSACTION_GAS - calldata_gas,
                })
            }
            ExecutionResult::Revert { output, .. } => Err(ChainError::Refused(
                refusal::name_of_revert(&output).map_or_else(|| output.to_string(), str::to_owned),
            )),
            ExecutionResult::Halt { reason, .. } => Err(ChainError::Stopped(format!("{reason:?}"))),
        }
    }
}
