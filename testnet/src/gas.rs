//! Gas of every transaction that reached the market or its game, by kind, read from the chain's
//! receipts.

use std::collections::BTreeMap;

use alloy::consensus::Transaction as _;
use alloy::eips::BlockNumberOrTag;
use alloy::network::TransactionResponse as _;
use alloy::primitives::Address;
use alloy::providers::Provider;
use alloy::sol_types::SolCall as _;
use anyhow::Context as _;
use outcry_contracts::Game::{self, GameCalls};
use outcry_contracts::Market::MarketCalls;
use serde::Serialize;

/// Gas of the transactions of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Gas {
    /// Transactions.
    pub count: u64,
    /// Gas used by all of them, refunds taken off.
    pub total: u64,
    /// Median of one.
    pub median: u64,
    /// The dearest.
    pub max: u64,
    /// How many reverted (they are counted above as well).
    pub reverted: u64,
}

/// Gas by the name of the contract's function, over all blocks after `from_block`. Calls of the game
/// that were sent in one transaction are named together.
///
/// # Errors
/// The chain does not answer.
pub async fn by_kind(
    provider: &impl Provider,
    market: Address,
    game: Address,
    from_block: u64,
) -> anyhow::Result<BTreeMap<String, Gas>> {
    let head = provider.get_block_number().await?;
    let mut used = BTreeMap::<String, Vec<u64>>::new();
    let mut reverted = BTreeMap::<String, u64>::new();
    for number in from_block + 1..=head {
        let tag = BlockNumberOrTag::Number(number);
        let block = provider
            .get_block_by_number(tag)
            .full()
            .await?
            .with_context(|| format!("block {number} is missing"))?;
        for transaction in block.transactions.txns() {
            let Some(kind) = kind(transaction.to(), transaction.input(), market, game) else {
                continue;
            };
            let hash = transaction.tx_hash();
            let receipt = provider
                .get_transaction_receipt(hash)
                .await?
                .with_context(|| format!("no receipt of {hash}"))?;
            if !receipt.status() {
                *reverted.entry(kind.clone()).or_default() += 1;
            }
            used.entry(kind).or_default().push(receipt.gas_used);
        }
    }
    Ok(used
        .into_iter()
        .map(|(kind, mut gas)| {
            gas.sort_unstable();
            let summary = Gas {
                count: gas.len() as u64,
                total: gas.iter().sum(),
                median: gas.get(gas.len() / 2).copied().unwrap_or_default(),
                max: gas.last().copied().unwrap_or_default(),
                reverted: reverted.get(&kind).copied().unwrap_or_default(),
            };
            (kind, summary)
        })
        .collect())
}

/// What a transaction calls, `section` or `prove+settle+collect`; nothing if neither the market nor its
/// game.
#[must_use]
pub fn kind(to: Option<Address>, input: &[u8], market: Address, game: Address) -> Option<String> {
    match to {
        Some(to) if to == market => Some(name(input, MarketCalls::name_by_selector)),
        Some(to) if to == game => Some(game_calls(input)),
        _ => None,
    }
}

fn name(input: &[u8], names: impl Fn([u8; 4]) -> Option<&'static str>) -> String {
    input
        .first_chunk::<4>()
        .and_then(|selector| names(*selector))
        .unwrap_or("unknown")
        .to_owned()
}

fn game_calls(input: &[u8]) -> String {
    match Game::multicallCall::abi_decode(input) {
        Ok(several) => {
            let names = several.calls.iter().map(|call| game_calls(call));
            names.collect::<Vec<_>>().join("+")
        }
        Err(_) => name(input, GameCalls::name_by_selector),
    }
}
