//! A running node: what every part of it reaches.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use outcry_net::{BlobStore, NetError, PeerKey};
use outcry_protocol::book::{Effect, FactKey};
use outcry_protocol::codes::{self, Code, Coded};
use outcry_protocol::hash::Domain;
use outcry_protocol::order;
use outcry_protocol::types::{Accept, Bid, Offer};
use outcry_protocol::wire::{Message, SignedBid, SignedOffer};
use outcry_sdk::Network;
use outcry_sdk::api::JobEvent;
use outcry_store::{Batch, StoreError, keys};
use tokio::sync::watch;

use crate::chain::{Chain, ChainProblem};
use crate::config::Config;
use crate::core::Core;
use crate::dispute::trace::{Tracer, Traces};
use crate::gas::GasUses;
use crate::inputs::Fetcher;
use crate::metrics::Metrics;
use crate::rate::RateLimit;
use crate::reserve::Auction;
use crate::run::Execute;
use crate::schedule::Schedule;
use crate::state::chain::facts_of_bid;
use crate::state::{Changes, Fact, State};
use crate::turns::Turns;

/// The one shard that exists below 200 orders a second.
pub const SHARD: u16 = 0;

/// New orders of one account that a node takes at once, and the pause for one more. An array of many
/// tasks is one order; a provider renews its offer every few minutes.
const ORDERS_BURST: u32 = 128;
const ORDER_PAUSE: Duration = Duration::from_millis(100);
/// Accounts whose orders are counted.
const ACCOUNTS_MAX: usize = 65_536;
/// Orders that are said again when a peer joins. It fetches the book anyway, so that those beyond only
/// come later.
const UNHEARD_MAX: usize = 1024;

/// A node's limit on orders, by account.
#[must_use]
pub(crate) fn order_limit() -> RateLimit<Address> {
    RateLimit::new(ORDERS_BURST, ORDER_PAUSE, ACCOUNTS_MAX)
}

/// Everything that runs in a node hangs on one of these.
pub struct Node {
    /// As it was started.
    pub config: Config,
    /// The network that it is part of.
    pub network: Network,
    /// What orders are signed under.
    pub domain: Domain,
    /// Deployment parameters of the market.
    pub parameters: outcry_contracts::Market::Parameters,
    /// Base units of the protocol's token that each audit puts at risk.
    pub stake_per_audit: u128,
    /// The node's key.
    pub peer_key: B256,
    /// The chain account.
    pub signer: Option<PrivateKeySigner>,
    /// The state.
    pub core: Arc<Core>,
    /// The market.
    pub chain: Chain,
    /// The auction, if the network has one.
    pub(crate) auction: Option<Auction>,
    /// Peers and blobs.
    pub fetcher: Fetcher,
    /// What runs tasks.
    pub executor: Arc<dyn Execute>,
    /// What traces tasks in dispute.
    pub tracer: Arc<dyn Tracer>,
    /// Traces of the tasks in dispute.
    pub(crate) traces: Traces,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Health of reading the chain.
    pub reader_health: watch::Receiver<outcry_chain::ReaderHealth>,
    /// Health of sending, for a node with an account.
    pub sender_health: Option<watch::Receiver<outcry_chain::SenderHealth>>,
    /// Activities in progress.
    pub(crate) schedule: std::sync::Mutex<Schedule>,
    /// How often an account's new orders are taken, by account.
    pub(crate) orders: RateLimit<Address>,
    /// How often peers may say how far they are with a deal, by peer and deal.
    pub(crate) notices: RateLimit<(PeerKey, B256)>,
    /// Orders that were published here while nobody listened, by id; up to [`UNHEARD_MAX`].
    pub(crate) unheard: Mutex<BTreeSet<B256>>,
    /// Gas that transactions used, as far as anybody asked.
    pub(crate) gas: GasUses,
    /// Lets few claims' inputs be fetched and read at a time, those whose window ends first.
    pub(crate) fetching: Turns,
    /// Lets few claims be re-executed at a time: checking must not crowd out what earns.
    pub(crate) verifying: Turns,
    /// Lets one claim be challenged at a time, so that the limits on games hold for all together.
    pub(crate) challenging: Turns,
    /// Cancelled when the node is to stop.
    pub stop: tokio_util::sync::CancellationToken,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("peer_key", &self.peer_key)
            .finish_non_exhaustive()
    }
}

/// Why an order is not taken in.
#[derive(Debug, thiserror::Error)]
pub enum OrderProblem {
    /// Its form is wrong, or its time is over.
    #[error(transparent)]
    Invalid(#[from] order::OrderError),
    /// Nobody who is allowed to signed it.
    #[error("the signature is not {signer}'s")]
    Signature {
        /// Who should have signed.
        signer: Address,
    },
    /// The chain says that it is dead, or the book has no room.
    #[error("{message}")]
    Refused {
        /// Its row in the registry.
        code: &'static Code,
        /// With the figures.
        message: String,
    },
    /// The chain could not be asked.
    #[error(transparent)]
    Chain(#[from] ChainProblem),
    /// The disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Coded for OrderProblem {
    fn code(&self) -> &'static Code {
        match self {
            Self::Invalid(error) => error.code(),
            Self::Signature { .. } => &codes::ORDER_SIGNATURE,
            Self::Refused { code, .. } => code,
            Self::Chain(problem) => problem.code(),
            Self::Store(error) => error.code(),
        }
    }
}

impl Node {
    /// Looks at the state. Do not wait inside.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.core.read(look)
    }

    /// How many activities are in progress.
    pub fn activities_running(&self) -> usize {
        self.schedule
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .running()
    }

    /// Counts up with every change of the state.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.core.changed()
    }

    /// The blob store.
    pub fn blobs(&self) -> &BlobStore {
        &self.fetcher.blobs
    }

    /// Events of a job after number `after`.
    ///
    /// # Errors
    /// The store's.
    pub async fn job_events(
        &self,
        job: B256,
        after: u64,
        limit: usize,
    ) -> Result<Vec<JobEvent>, StoreError> {
        self.core.job_events(job, after, limit).await
    }

    /// Checks a message's form and signature.
    ///
    /// # Errors
    /// [`OrderProblem`].
    pub async fn check(&self, message: &Message) -> Result<order::Checked, OrderProblem> {
        let now = self.read(|state| state.head.at);
        let checked = order::check(&self.domain, message, now)?;
        let signature = match message {
            Message::Bid(signed) => &signed.signature,
            Message::Offer(signed) => &signed.signature,
        };
        if self
            .chain
            .is_signed_by(checked.hash, checked.signer, signature)
            .await?
        {
            Ok(checked)
        } else {
            Err(OrderProblem::Signature {
                signer: checked.signer,
            })
        }
    }

    /// Counts a checked order that is new here against its account.
    ///
    /// # Errors
    /// [`OrderProblem::Refused`] when the account sends too many.
    pub(crate) fn count(&self, checked: &order::Checked) -> Result<(), OrderProblem> {
        let is_known = self.read(|state| {
            state.book.bid(&checked.hash).is_some() || state.book.offer(&checked.hash).is_some()
        });
        if is_known || self.orders.take(checked.signer, Instant::now()) {
            return Ok(());
        }
        Err(OrderProblem::Refused {
            code: &codes::NET_BUSY,
            message: format!("{} sends too many orders", checked.signer),
        })
    }

    /// Puts a checked order into the book and reads what the book asks for.
    ///
    /// # Errors
    /// [`OrderProblem::Refused`] when the book does not keep it.
    pub async fn admit(&self, fact: Fact) -> Result<Changes, OrderProblem> {
        let changes = self.core.apply(fact).await?;
        if let Some(Effect::Dropped { why, .. }) = &changes.order {
            return Err(OrderProblem::Refused {
                code: why.code(),
                message: why.to_string(),
            });
        }
        self.learn(changes.reads.clone()).await?;
        Ok(changes)
    }

    /// Reads facts as of the head and hands them to the book.
    ///
    /// # Errors
    /// [`OrderProblem`].
    pub async fn learn(&self, keys: Vec<FactKey>) -> Result<(), OrderProblem> {
        if keys.is_empty() {
            return Ok(());
        }
        let block = self.read(|state| state.head.number);
        let facts = self.chain.facts(keys, block).await?;
        self.core.apply(Fact::Learned { block, facts }).await?;
        Ok(())
    }

    /// Takes a buyer's bid: checked, covered, on disk, gossiped.
    ///
    /// # Errors
    /// [`OrderProblem`]; nothing has changed then.
    pub async fn submit(&self, signed: SignedBid) -> Result<B256, OrderProblem> {
        let checked = self.check(&Message::Bid(signed.clone())).await?;
        if self.read(|state| state.jobs.contains_key(&checked.hash)) {
            return Ok(checked.hash);
        }
        self.count(&checked)?;
        self.check_funds(checked.hash, &signed.bid).await?;
        self.admit(Fact::Submitted(signed.clone())).await?;
        self.gossip(Message::Bid(signed)).await;
        Ok(checked.hash)
    }

    /// What the chain says against a bid, before anything is changed.
    async fn check_funds(&self, hash: B256, bid: &Bid) -> Result<(), OrderProblem> {
        use outcry_protocol::book::{Book, Fact};
        let block = self.read(|state| state.head.number);
        let needs = Book::commitment(bid);
        let refused = |code, message| Err(OrderProblem::Refused { code, message });
        let mut used_partly = false;
        for fact in self
            .chain
            .facts(facts_of_bid(hash, bid).into(), block)
            .await?
        {
            match fact {
                Fact::Balance { free, .. } if free < needs => {
                    return refused(
                        &codes::FUNDS_INSUFFICIENT,
                        format!(
                            "the buyer's free balance on the market is {free} base units, this bid needs at least {needs}"
                        ),
                    );
                }
                Fact::Counter { counter, .. } if counter != bid.counter => {
                    return refused(
                        &codes::ORDER_COUNTER,
                        format!(
                            "the bid has the counter {}, the account's is {counter}",
                            bid.counter
                        ),
                    );
                }
                Fact::Salt {
                    cancelled: true, ..
                } => {
                    return refused(
                        &codes::ORDER_CANCELLED,
                        "the bid was cancelled on the chain".into(),
                    );
                }
                Fact::Salt { taken: true, .. } => {
                    return refused(&codes::ORDER_TAKEN, "every task of the bid is taken".into());
                }
                Fact::Salt { partly, .. } => used_partly = partly,
                Fact::Taken { tasks: 0, .. } if used_partly => {
                    return refused(
                        &codes::ORDER_TAKEN,
                        "another bid of the account has used this salt".into(),
                    );
                }
                Fact::Taken { tasks, .. } if tasks >= bid.tasks => {
                    return refused(&codes::ORDER_TAKEN, "every task of the bid is taken".into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Sends an order to the peers. Without peers it waits in the book for one to join.
    pub async fn gossip(&self, message: Message) {
        let id = match &message {
            Message::Bid(signed) => self.domain.bid_hash(&signed.bid),
            Message::Offer(signed) => self.domain.offer_hash(&signed.offer),
        };
        let Ok(bytes) = message.encode() else { return };
        let published = self.fetcher.net.publish(SHARD, bytes.into()).await;
        let mut unheard = self.unheard.lock().unwrap_or_else(PoisonError::into_inner);
        match published {
            Ok(_) => {
                unheard.remove(&id);
            }
            // Nobody hears it yet: said again when a peer joins.
            Err(NetError::NoPeers) => {
                if unheard.len() < UNHEARD_MAX {
                    unheard.insert(id);
                }
            }
            Err(error) => tracing::warn!(%error, "an order was not gossiped"),
        }
    }

    /// Signs an offer of the node's capacity. Its number is on disk before it is signed, so that no
    /// two offers ever share one.
    ///
    /// # Errors
    /// [`OrderProblem`].
    pub async fn sign_offer(&self) -> Result<SignedOffer, OrderProblem> {
        let (capacity, now) = self.read(|state| (state.setup.capacity.clone(), state.head.at));
        let Some(capacity) = capacity else {
            return Err(ChainProblem::NoAccount.into());
        };
        let expiry = now + capacity.offer_s;
        self.sign(|salt, counter| Some(capacity.offer(expiry, salt, counter)))
            .await
    }

    /// Signs an offer for a draw. It is not gossiped: who has it can open a deal with it.
    ///
    /// # Errors
    /// [`OrderProblem`].
    pub async fn sign_draw_offer(&self, draw: B256) -> Result<SignedOffer, OrderProblem> {
        self.sign(|salt, counter| {
            self.read(|state| state.draw_offer(state.draws.get(&draw)?, salt, counter))
        })
        .await
    }

    /// Signs the offer that is made of a salt and the account's counter.
    async fn sign(
        &self,
        offer: impl FnOnce(U256, u64) -> Option<Offer>,
    ) -> Result<SignedOffer, OrderProblem> {
        let Some(signer) = &self.signer else {
            return Err(ChainProblem::NoAccount.into());
        };
        let account = signer.address();
        let block = self.read(|state| state.head.number);
        let facts = self
            .chain
            .facts(vec![FactKey::Counter(account)], block)
            .await?;
        let counter = facts.first().map_or(0, |fact| match fact {
            outcry_protocol::book::Fact::Counter { counter, .. } => *counter,
            _ => 0,
        });
        let salt = self.next_order_number(account).await?;
        let offer = offer(U256::from(salt), counter)
            .ok_or_else(|| ChainProblem::Refused("the draw is over".into()))?;
        let signature = signer
            .sign_hash_sync(&self.domain.offer_hash(&offer))
            .map_err(|error| ChainProblem::Call(error.to_string()))?;
        Ok(SignedOffer {
            offer,
            signature: signature.as_bytes().to_vec(),
        })
    }

    async fn next_order_number(&self, account: Address) -> Result<u64, StoreError> {
        let store = Arc::clone(self.core.store());
        let taking = tokio::task::spawn_blocking(move || {
            let key = keys::order_sequence(&account.into_array());
            let before = store.get(&key)?;
            let number = match before.as_deref().map(<[u8; 8]>::try_from) {
                None => 0,
                Some(Ok(bytes)) => u64::from_be_bytes(bytes),
                Some(Err(_)) => {
                    return Err(StoreError::Damaged(
                        "the order sequence is not eight bytes".into(),
                    ));
                }
            };
            let mut batch = Batch::new();
            batch
                .expect(key.clone(), before)
                .put(key, (number + 1).to_be_bytes());
            store.apply(&batch)?;
            Ok(number)
        });
        taking
            .await
            .map_err(|error| StoreError::Io(std::io::Error::other(error)))?
    }

    /// Whether a signature of `Accept` is the buyer's.
    ///
    /// # Errors
    /// [`ChainProblem`] when the chain had to be asked and did not answer.
    pub async fn is_accepted_by(
        &self,
        buyer: Address,
        deal: B256,
        claim: B256,
        signature: &[u8],
    ) -> Result<bool, ChainProblem> {
        let digest = self.domain.accept_digest(&Accept {
            dealId: deal,
            claimHash: claim,
        });
        self.chain.is_signed_by(digest, buyer, signature).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::example;
    use crate::state::example as orders;
    use outcry_protocol::signature::Verdict;

    #[tokio::test]
    async fn an_account_that_floods_is_refused_and_others_are_not() {
        let (node, _folder) = example::gateway().await;
        let order = |number: u32, account: u8| order::Checked {
            hash: B256::from(alloy::primitives::U256::from(number)),
            signer: Address::repeat_byte(account),
            verdict: Verdict::Valid,
        };
        let refused = (0..2 * ORDERS_BURST)
            .find_map(|number| node.count(&order(number, 1)).err())
            .unwrap();
        assert_eq!(refused.code(), &codes::NET_BUSY);
        node.count(&order(0, 2)).unwrap();
    }

    #[tokio::test]
    async fn a_node_without_peers_remembers_a_bounded_number_of_orders() {
        let (node, _folder) = example::gateway().await;
        let job = orders::job(1);
        for salt in 0..=UNHEARD_MAX as u64 {
            let bid = orders::bid(&job, salt);
            let (job, signature) = (job.clone(), vec![1]);
            let signed = SignedBid {
                bid,
                signature,
                job,
            };
            node.gossip(Message::Bid(signed)).await;
        }
        assert_eq!(node.unheard.lock().unwrap().len(), UNHEARD_MAX);
    }
}
