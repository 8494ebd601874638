//! A node of the simulated network: the daemon's network, admission, state and book. What it lacks is
//! a chain that moves, workers and an API.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::B256;
use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use outcry_daemon::admission::{Admission, Views};
use outcry_daemon::core::Core;
use outcry_daemon::ingest::{SharedBook, ingest};
use outcry_daemon::state::chain::Block;
use outcry_daemon::state::epochs::EpochDigest;
use outcry_daemon::state::{Fact, Setup, State, Windows};
use outcry_net::{
    BlobStore, BlobStoreConfig, DealHandler, DealRequest, DealResponse, Handlers, Multiaddr,
    Network, NetworkConfig, NetworkEvent, NetworkHandle, PeerKey, Reachability,
};
use outcry_protocol::book::Book;
use outcry_store::MemoryStore;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::links::Links;
use super::orders::{CHAIN_ID, MARKET, START_S, domain};

/// Events between a node's network and its admission.
const HEARD_WAITING: usize = 64;

/// One running node.
pub struct Member {
    /// Its network.
    pub net: NetworkHandle,
    /// Its state.
    pub core: Arc<Core>,
    /// The way into its book.
    pub admission: Arc<Admission>,
    registry: Registry,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Member({})", self.net.key())
    }
}

/// Nobody opens deals here.
struct NoDeals;

impl DealHandler for NoDeals {
    fn handle(&self, _from: PeerKey, _request: DealRequest) -> BoxFuture<'static, DealResponse> {
        let refused = DealResponse::Refused {
            code: String::new(),
            message: String::new(),
        };
        std::future::ready(refused).boxed()
    }
}

/// The key of a node's network.
#[must_use]
pub fn key(node: usize) -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(blake3::hash(&node.to_be_bytes()).as_bytes())
}

/// Address by which others join a node.
#[must_use]
pub fn bootstrap(links: &Links, node: usize) -> Multiaddr {
    let address = links.address(node);
    match PeerKey::of(&key(node)).peer_id() {
        Ok(peer) => address.clone().with_p2p(peer).unwrap_or(address),
        Err(_) => address,
    }
}

/// Network settings of a node that knows these others.
#[must_use]
pub fn settings(links: &Links, node: usize, known: &[usize]) -> NetworkConfig {
    let mut config = NetworkConfig::new(CHAIN_ID, MARKET);
    config.listen = vec![links.address(node)];
    config.bootstrap = known.iter().map(|node| bootstrap(links, *node)).collect();
    config.reachability = Reachability::Public;
    config
}

/// A block of the simulated chain.
fn empty_block(number: u64) -> Fact {
    Fact::Blocks {
        last: Block {
            number,
            hash: B256::left_padding_from(&number.to_be_bytes()),
            at: START_S + number,
        },
        is_head: true,
        events: vec![],
        facts: vec![],
    }
}

/// What a node does with the orders that its peers send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// Judges all.
    Good,
    /// Judges all but one in so many, as a busy node that drops orders.
    Lossy(u8),
    /// Judges none.
    Deaf,
}

impl Hearing {
    /// Whether node number `node` overlooks an event; the same for the same order.
    fn overlooks(self, node: usize, event: &NetworkEvent) -> bool {
        match (self, event) {
            (Self::Lossy(one_in), NetworkEvent::Order(order)) => {
                let draw = blake3::hash(&[&order.id.0[..], &node.to_be_bytes()].concat());
                draw.as_bytes()[0].is_multiple_of(one_in)
            }
            (Self::Good | Self::Lossy(_), _) => false,
            (Self::Deaf, _) => true,
        }
    }
}

impl Member {
    /// Starts node number `node` of a network.
    ///
    /// # Errors
    /// Its network does not start.
    pub async fn start(
        links: &Arc<Links>,
        node: usize,
        config: NetworkConfig,
        chain: Arc<dyn Views>,
    ) -> anyhow::Result<Self> {
        Self::start_hearing(Hearing::Good, links, node, config, chain).await
    }

    /// Starts a node that does not hear everything.
    ///
    /// # Errors
    /// Its network does not start.
    pub async fn start_hearing(
        hearing: Hearing,
        links: &Arc<Links>,
        node: usize,
        config: NetworkConfig,
        chain: Arc<dyn Views>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let setup = Setup {
            account: None,
            capacity: None,
            is_gateway: true,
            send_timeouts: false,
            sample_bps: 0,
            sample_secret: B256::ZERO,
            price_min: 0,
            checks_max: 0,
            games_max: 0,
        };
        let windows = Windows {
            admission_s: 20,
            challenge_s: 60,
        };
        let state = State::new(setup, windows, Book::new(domain(), 0));
        let core = Arc::new(Core::open(state, Arc::new(MemoryStore::new()))?);
        core.apply(empty_block(1)).await?;
        let blobs = BlobStore::open(BlobStoreConfig {
            directory: folder.path().to_owned(),
            capacity_bytes: 1 << 20,
        })
        .await?;
        let handlers = Handlers {
            book: Arc::new(SharedBook {
                core: Arc::clone(&core),
                sharding: config.sharding,
            }),
            deals: Arc::new(NoDeals),
        };
        let key = key(node);
        let pair = libp2p::identity::Keypair::ed25519_from_bytes(key.to_bytes())?;
        let transport = links.transport(node, &pair)?;
        let mut registry = Registry::default();
        let (net, mut events) =
            Network::start_over(transport, config, &key, blobs, handlers, &mut registry).await?;
        let admission = Arc::new(Admission::new(
            Arc::clone(&core),
            domain(),
            chain,
            net.clone(),
        ));
        let stop = CancellationToken::new();
        let (heard, hears) = mpsc::channel(HEARD_WAITING);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if !hearing.overlooks(node, &event) && heard.send(event).await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(ingest(Arc::clone(&admission), hears, stop.clone()));
        Ok(Self {
            net,
            core,
            admission,
            registry,
            stop,
            _folder: folder,
        })
    }

    /// Bids in its book.
    #[must_use]
    pub fn bids(&self) -> usize {
        self.core.read(|state| state.book.bids().len())
    }

    /// Lets it see a block, and tells what it makes of it.
    ///
    /// # Errors
    /// Its store's; and if it matched nothing at that block.
    pub async fn block(&self, number: u64) -> anyhow::Result<EpochDigest> {
        self.core.apply(empty_block(number)).await?;
        let digest = self.core.read(|state| state.epochs.last().copied());
        digest.context("it matched nothing")
    }

    /// Names the orders in its book that the chain backs.
    #[must_use]
    pub fn digest(&self) -> B256 {
        self.core.read(|state| state.book.digest())
    }

    /// Waits until its book is the one with this digest.
    pub async fn has_book(&self, digest: B256) {
        let mut changed = self.core.changed();
        while self.digest() != digest {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ids of the bids in its book.
    #[must_use]
    pub fn bid_ids(&self) -> Vec<B256> {
        let ids = |state: &State| state.book.bids().map(|(id, _)| *id).collect();
        self.core.read(ids)
    }

    /// Waits until its book has at least so many bids.
    pub async fn has_bids(&self, count: usize) {
        let mut changed = self.core.changed();
        while self.bids() < count {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until at least so many peers gossip with it.
    ///
    /// # Errors
    /// Its network has stopped.
    pub async fn has_peers(&self, count: usize) -> anyhow::Result<()> {
        loop {
            let peers = self.net.peers().await?;
            if peers.iter().filter(|peer| peer.subscribed).count() >= count {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The sum of a counter of its network over all labels that contain `label`.
    #[must_use]
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text.lines()
            .filter(|line| {
                line.strip_prefix("outcry_net_")
                    .and_then(|line| line.strip_prefix(name))
                    .is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Ends it.
    pub async fn stop(self) {
        self.stop.cancel();
        self.net.stop().await;
    }
}
