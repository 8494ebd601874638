//! A chain in process: transactions on the contracts' bytecode, by the rules of Osaka, and a clock
//! that is set by hand.

use alloy_primitives::{Address, Bytes, Log, U256};
use alloy_sol_types::SolCall;
use outcry_contracts::refusal;
use revm::context::TxEnv;
use revm::context::result::{ExecutionResult, Output};
use revm::database::{CacheDB, EmptyDB};
use revm::handler::{MainnetContext, MainnetEvm};
use revm::primitives::{TxKind, hardfork::SpecId};
use revm::state::AccountInfo;
use revm::{Context, ExecuteCommitEvm, ExecuteEvm, MainBuilder, MainContext};

/// EIP-155.
pub(crate) const CHAIN_ID: u64 = 1;
/// Wei per gas: as much as the game's refunds pay at most.
pub(crate) const BASE_FEE: u64 = 50_000_000_000;
/// Wei of each account.
const FUNDS: u128 = 1_000_000_000_000_000_000_000_000;
/// The most gas of a transaction (EIP-7825).
const GAS_LIMIT: u64 = 1 << 24;

/// A transaction that did what it says.
pub(crate) struct Receipt {
    pub(crate) gas: u64,
    pub(crate) logs: Vec<Log>,
    pub(crate) output: Bytes,
}

/// A transaction that reverted.
#[derive(Debug)]
pub(crate) struct Reverted {
    pub(crate) gas: u64,
    pub(crate) error: String,
}

pub(crate) struct Chain {
    evm: MainnetEvm<MainnetContext<CacheDB<EmptyDB>>>,
}

impl Chain {
    /// With coins for these accounts, at a second since 1970.
    pub(crate) fn new(accounts: &[Address], now: u64) -> Self {
        let mut state = CacheDB::new(EmptyDB::default());
        for account in accounts {
            state.insert_account_info(*account, AccountInfo::from_balance(U256::from(FUNDS)));
        }
        let evm = Context::mainnet()
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
                cfg.disable_nonce_check = true;
            })
            .modify_block_chained(|block| {
                block.timestamp = U256::from(now);
                block.basefee = BASE_FEE;
            })
            .with_db(state)
            .build_mainnet();
        Self { evm }
    }

    pub(crate) fn now(&self) -> u64 {
        self.evm.ctx.block.timestamp.to()
    }

    /// The next block is so many seconds later.
    pub(crate) fn wait(&mut self, seconds: u64) {
        self.evm.ctx.block.timestamp += U256::from(seconds);
        self.evm.ctx.block.number += U256::ONE;
    }

    pub(crate) fn create(&mut self, from: Address, creation: Vec<u8>) -> Address {
        let result = self
            .evm
            .transact_commit(transaction(from, TxKind::Create, 0, creation));
        match result.unwrap() {
            ExecutionResult::Success {
                output: Output::Create(_, Some(address)),
                ..
            } => address,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn send(
        &mut self,
        from: Address,
        to: Address,
        call: &impl SolCall,
    ) -> Result<Receipt, Reverted> {
        self.pay(from, to, 0, call)
    }

    /// With wei.
    pub(crate) fn pay(
        &mut self,
        from: Address,
        to: Address,
        wei: u128,
        call: &impl SolCall,
    ) -> Result<Receipt, Reverted> {
        let transaction = transaction(from, TxKind::Call(to), wei, call.abi_encode());
        receipt(self.evm.transact_commit(transaction).unwrap())
    }

    /// Answers as a node would that is asked by anybody; nothing changes.
    pub(crate) fn view<C: SolCall>(&mut self, asker: Address, to: Address, call: &C) -> C::Return {
        let answer = self.ask(asker, to, call);
        answer.unwrap_or_else(|reverted| panic!("{reverted:?}"))
    }

    /// The same, where it may revert.
    pub(crate) fn ask<C: SolCall>(
        &mut self,
        asker: Address,
        to: Address,
        call: &C,
    ) -> Result<C::Return, Reverted> {
        let transaction = transaction(asker, TxKind::Call(to), 0, call.abi_encode());
        let receipt = receipt(self.evm.transact(transaction).unwrap().result)?;
        Ok(C::abi_decode_returns(&receipt.output).unwrap())
    }
}

fn transaction(from: Address, kind: TxKind, wei: u128, data: Vec<u8>) -> TxEnv {
    TxEnv::builder()
        .caller(from)
        .kind(kind)
        .value(U256::from(wei))
        .data(data.into())
        .gas_limit(GAS_LIMIT)
        .gas_price(BASE_FEE.into())
        .build()
        .unwrap()
}

fn receipt(result: ExecutionResult) -> Result<Receipt, Reverted> {
    match result {
        ExecutionResult::Success {
            gas, logs, output, ..
        } => Ok(Receipt {
            gas: gas.tx_gas_used(),
            logs,
            output: output.into_data(),
        }),
        ExecutionResult::Revert { gas, output, .. } => Err(Reverted {
            gas: gas.tx_gas_used(),
            error: refusal::name_of_revert(&output)
                .map_or_else(|| output.to_string(), str::to_owned),
        }),
        ExecutionResult::Halt { gas, reason, .. } => Err(Reverted {
            gas: gas.tx_gas_used(),
            error: format!("{reason:?}"),
        }),
    }
}
