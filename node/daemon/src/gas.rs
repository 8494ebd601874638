//! Gas that transactions used: read from the chain when somebody looks at a deal, and remembered.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use alloy::primitives::B256;
use futures::future;
use outcry_sdk::api::DealTransaction;
use tokio::sync::Semaphore;
use tokio::time;

use crate::chain::ChainProblem;
use crate::node::Node;

/// Transactions that are remembered, 40 bytes each.
const REMEMBERED_MAX: usize = 65_536;
/// Receipts that one look may ask for; the rest is filled in at the next.
const ASKED_MAX: usize = 64;
/// Receipts that all looks together ask for at once. Anybody may look.
const ASKED_AT_ONCE: usize = 16;
/// Longest that a look waits for receipts: a deal is worth showing without them.
const LOOK_TIME_MAX: Duration = Duration::from_secs(1);

/// Gas by transaction and block: a reorganised transaction may use another amount.
#[derive(Debug)]
pub(crate) struct GasUses {
    known: Mutex<BTreeMap<(u64, B256), u64>>,
    /// A permit for each receipt that may be asked for at once.
    asking: Semaphore,
}

impl Default for GasUses {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            asking: Semaphore::new(ASKED_AT_ONCE),
        }
    }
}

impl GasUses {
    fn get(&self, block: u64, hash: B256) -> Option<u64> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(block, hash)).copied()
    }

    fn put(&self, block: u64, hash: B256, gas: u64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((block, hash), gas);
        if known.len() > REMEMBERED_MAX {
            // The oldest block's.
            known.pop_first();
        }
    }

    /// Learns what is not known of `transactions`. `receipt` tells a transaction's block and gas.
    async fn learn<R>(&self, transactions: &[(u64, B256)], receipt: impl Fn(B256) -> R)
    where
        R: Future<Output = Result<Option<(u64, u64)>, ChainProblem>>,
    {
        let asked = transactions.iter().map(async |&(block, hash)| {
            let Ok(_permit) = self.asking.acquire().await else {
                return;
            };
            // Another look may have learnt it meanwhile.
            if self.get(block, hash).is_some() {
                return;
            }
            match receipt(hash).await {
                Ok(Some((in_block, gas))) if in_block == block => self.put(block, hash, gas),
                // Reorganised, or not indexed yet: the next look asks again.
                Ok(_) => {}
                Err(problem) => tracing::debug!(%problem, %hash, "no receipt"),
            }
        });
        future::join_all(asked).await;
    }
}

/// Fills in the gas of transactions, as far as the chain's endpoint says in time.
pub(crate) async fn fill_in(node: &Node, transactions: Vec<&mut DealTransaction>) {
    let mut missing: Vec<(u64, B256)> = transactions
        .iter()
        .map(|transaction| (transaction.block, transaction.hash))
        .filter(|&(block, hash)| node.gas.get(block, hash).is_none())
        .collect();
    missing.sort_unstable();
    missing.dedup();
    missing.truncate(ASKED_MAX);
    let learning = node.gas.learn(&missing, |hash| node.chain.gas_used(hash));
    if time::timeout(LOOK_TIME_MAX, learning).await.is_err() {
        tracing::debug!("receipts were not told in time");
    }
    for transaction in transactions {
        transaction.gas_used = node.gas.get(transaction.block, transaction.hash);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::time::Instant;

    use super::*;
    use crate::chain::Chain;
    use crate::example;
    use outcry_chain::Rpc;
    use tokio::net::TcpListener;
    use tokio::sync::broadcast;

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let uses = GasUses::default();
        for block in 0..=REMEMBERED_MAX as u64 {
            uses.put(block, B256::ZERO, block);
        }
        let of = |block| uses.get(block, B256::ZERO);
        assert_eq!((of(0), of(1)), (None, Some(1)));
    }

    #[tokio::test]
    async fn all_looks_together_ask_for_a_few_receipts_at_once() {
        let uses = GasUses::default();
        let (asked, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let receipt = async |_| {
            most.fetch_max(asked.fetch_add(1, Relaxed) + 1, Relaxed);
            tokio::task::yield_now().await;
            asked.fetch_sub(1, Relaxed);
            Ok(Some((1, 21_000)))
        };
        let looks: Vec<Vec<(u64, B256)>> = (0..10)
            .map(|look| (0..64).map(|number| (1, hash(look, number))).collect())
            .collect();
        future::join_all(looks.iter().map(|look| uses.learn(look, receipt))).await;
        assert_eq!(most.into_inner(), ASKED_AT_ONCE);
        for (block, hash) in looks.concat() {
            assert_eq!(uses.get(block, hash), Some(21_000));
        }
    }

    fn hash(look: u8, number: u8) -> B256 {
        let mut hash = B256::repeat_byte(look);
        hash[0] = number;
        hash
    }

    #[tokio::test]
    async fn a_deal_is_shown_soon_although_the_chain_does_not_answer() {
        let (mut node, _folder) = example::gateway().await;
        // The system accepts connections for it, and nobody reads.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let rpc = Rpc::connect(&[url], 31_337, |_| ()).await.unwrap();
        let market = node.network.market;
        Arc::get_mut(&mut node).unwrap().chain =
            Chain::new(&rpc, market, None, broadcast::channel(1).0);
        let mut transactions: Vec<DealTransaction> = (0..64)
            .map(|number| DealTransaction {
                kind: "open".into(),
                hash: hash(0, number),
                block: 1,
                gas_used: None,
            })
            .collect();
        let start = Instant::now();
        fill_in(&node, transactions.iter_mut().collect()).await;
        assert!(start.elapsed() < 5 * LOOK_TIME_MAX, "{:?}", start.elapsed());
    }
}
