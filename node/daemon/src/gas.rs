//! Gas that transactions used: read from the chain when somebody looks at a deal, and remembered.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use alloy::primitives::B256;
use futures::{StreamExt, stream};
use outcry_sdk::api::DealTransaction;

use crate::node::Node;

/// Transactions that are remembered, 40 bytes each.
const REMEMBERED_MAX: usize = 65_536;
/// Receipts that one look may ask for; the rest is filled in at the next.
const ASKED_MAX: usize = 64;
/// Receipts that are asked for at once.
const ASKED_AT_ONCE: usize = 16;

/// Gas by transaction and block: a reorganised transaction may use another amount.
#[derive(Debug, Default)]
pub(crate) struct GasUses(Mutex<BTreeMap<(u64, B256), u64>>);

impl GasUses {
    fn get(&self, transaction: &DealTransaction) -> Option<u64> {
        let uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uses.get(&(transaction.block, transaction.hash)).copied()
    }

    fn put(&self, block: u64, hash: B256, gas: u64) {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uses.insert((block, hash), gas);
        if uses.len() > REMEMBERED_MAX {
            // The oldest block's.
            uses.pop_first();
        }
    }
}

/// Fills in the gas of transactions, as far as the chain's endpoint says.
pub(crate) async fn fill_in(node: &Node, transactions: Vec<&mut DealTransaction>) {
    let mut missing: Vec<(u64, B256)> = transactions
        .iter()
        .filter(|transaction| node.gas.get(transaction).is_none())
        .map(|transaction| (transaction.block, transaction.hash))
        .collect();
    missing.sort_unstable();
    missing.dedup();
    missing.truncate(ASKED_MAX);
    let asked = missing.into_iter().map(|(block, hash)| async move {
        match node.chain.gas_used(hash).await {
            Ok(Some((in_block, gas))) if in_block == block => node.gas.put(block, hash, gas),
            // Reorganised, or not indexed yet: the next look asks again.
            Ok(_) => {}
            Err(problem) => tracing::debug!(%problem, %hash, "no receipt"),
        }
    });
    stream::iter(asked)
        .buffer_unordered(ASKED_AT_ONCE)
        .collect::<()>()
        .await;
    for transaction in transactions {
        transaction.gas_used = node.gas.get(transaction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let uses = GasUses::default();
        for block in 0..=REMEMBERED_MAX as u64 {
            uses.put(block, B256::ZERO, block);
        }
        let of = |block| {
            uses.get(&DealTransaction {
                kind: "open".into(),
                hash: B256::ZERO,
                block,
                gas_used: None,
            })
        };
        assert_eq!((of(0), of(1)), (None, Some(1)));
    }
}
