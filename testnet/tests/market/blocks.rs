//! A chain whose blocks come by hand: what waits to be in one, when it comes, and what a fork takes
//! back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use alloy::consensus::Transaction as _;
use alloy::network::TransactionResponse as _;
use alloy::primitives::{Address, B256};
use alloy::providers::ext::AnvilApi as _;
use alloy::providers::{DynProvider, Provider as _};
use alloy::rpc::types::anvil::ReorgOptions;
use alloy::rpc::types::{Filter, Transaction};
use outcry_testnet::gas;
use serde::Deserialize;

use crate::fixture::{Fixture, wait_until};

/// How often the pool is looked at before a block without transactions comes.
const LOOKS: u32 = 8;

/// The pool, as far as it is looked at.
#[derive(Debug, Deserialize)]
struct Pool {
    pending: BTreeMap<Address, BTreeMap<String, Transaction>>,
}

/// A transaction to the market or its game that is in no block.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    hash: B256,
    pub(crate) from: Address,
    /// What it calls: `challenge`, or `prove+settle+collect`.
    pub(crate) kind: String,
}

/// The chain of a network, without blocks of its own accord.
pub(crate) struct Blocks {
    chain: DynProvider,
    market: Address,
    game: Address,
}

impl Blocks {
    /// From now on blocks come by hand.
    pub(crate) async fn hold(market: &Fixture) -> Self {
        let chain = market.chain.clone();
        chain.anvil_set_interval_mining(0).await.unwrap();
        Self {
            chain,
            market: market.testnet.market,
            game: market.testnet.game,
        }
    }

    /// From now on a block comes each second again.
    pub(crate) async fn release(self) {
        self.chain.anvil_set_interval_mining(1).await.unwrap();
    }

    /// All transactions that could be in the next block.
    async fn sent(&self) -> Vec<Sent> {
        let asked = self.chain.client().request_noparams("txpool_content");
        let pool: Pool = asked.await.unwrap();
        let pending = pool.pending.into_values();
        let transactions = pending.flat_map(BTreeMap::into_values);
        transactions
            .filter_map(|sent| {
                let kind = gas::kind(sent.to(), sent.input(), self.market, self.game)?;
                Some(Sent {
                    hash: sent.tx_hash(),
                    from: sent.from(),
                    kind,
                })
            })
            .collect()
    }

    /// A transaction that waits for its block and is as wanted, if there is one.
    pub(crate) async fn find(&self, wanted: impl Fn(&Sent) -> bool) -> Option<Sent> {
        self.sent().await.into_iter().find(|sent| wanted(sent))
    }

    /// Waits for such a transaction.
    pub(crate) async fn wait_for(&self, what: &str, wanted: impl Fn(&Sent) -> bool) -> Sent {
        wait_until(what, || self.find(&wanted)).await
    }

    /// Waits for the next transaction, while blocks come without any: a node looks again at what a fork
    /// took from it when blocks come.
    pub(crate) async fn next(&self) -> Sent {
        let looks = AtomicU32::new(0);
        wait_until("the next move", || async {
            let found = self.find(|_| true).await;
            if found.is_none() && looks.fetch_add(1, Ordering::Relaxed) % LOOKS == LOOKS - 1 {
                self.mine().await;
            }
            found
        })
        .await
    }

    /// The next block, with all that waits for it.
    pub(crate) async fn mine(&self) {
        self.chain.evm_mine(None).await.unwrap();
    }

    /// The pool forgets a transaction.
    pub(crate) async fn lose(&self, sent: &Sent) {
        let lost = self.chain.anvil_drop_transaction(sent.hash).await.unwrap();
        assert_eq!(lost, Some(sent.hash));
    }

    /// The next block comes so many seconds later than it would.
    pub(crate) async fn wait(&self, seconds: u64) {
        self.chain.anvil_increase_time(seconds).await.unwrap();
    }

    pub(crate) async fn head(&self) -> u64 {
        self.chain.get_block_number().await.unwrap()
    }

    /// A longer chain takes the place of the last blocks, with nothing in it.
    pub(crate) async fn take_back(&self, depth: u64) {
        let fork = ReorgOptions {
            depth,
            tx_block_pairs: Vec::new(),
        };
        self.chain.anvil_reorg(fork).await.unwrap();
        self.mine().await;
    }

    /// Events of these kinds that games have emitted since a block.
    pub(crate) async fn events_since(&self, block: u64, kinds: &[B256]) -> usize {
        let events = Filter::new()
            .address(self.game)
            .from_block(block)
            .event_signature(kinds.to_vec());
        self.chain.get_logs(&events).await.unwrap().len()
    }
}
