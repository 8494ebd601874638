//! A running node: what every part of it reaches.

use std::sync::Arc;

use alloy::primitives::{Address, B256, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use outcry_net::{BlobStore, PeerKey};
use outcry_protocol::book::FactKey;
use outcry_protocol::hash::Domain;
use outcry_protocol::types::{Accept, Offer};
use outcry_protocol::wire::SignedOffer;
use outcry_sdk::Network;
use outcry_sdk::api::JobEvent;
use outcry_store::{Batch, StoreError, keys};
use tokio::sync::watch;

use crate::admission::{Admission, OrderProblem};
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
use crate::state::State;
use crate::turns::Turns;

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
    /// The way into the book, and to the peers.
    pub admission: Arc<Admission>,
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
    /// How often peers may say how far they are with a deal, by peer and deal.
    pub(crate) notices: RateLimit<(PeerKey, B256)>,
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
