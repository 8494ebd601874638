//! Nodes on the loopback interface, as the tests of the network use them.

#![allow(dead_code)] // Each test file uses its part.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256};
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use futures::future::BoxFuture;
use outcry_net::{
    BlobStore, BlobStoreConfig, BookSource, DealHandler, DealRequest, DealResponse, Handlers,
    IncomingOrder, Multiaddr, Network, NetworkConfig, NetworkEvent, NetworkHandle, NetworkLimits,
    PeerKey, Reachability, Verdict,
};
use outcry_protocol::shard::Sharding;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;

pub(crate) const CHAIN_ID: u64 = 31337;
pub(crate) const MARKET: Address = Address::repeat_byte(0x42);

/// Waits for something that must happen; a test that waits in vain fails.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work)
        .await
        .expect("it should have happened within a minute")
}

/// A book that holds whatever it is given; the first byte of an order names its shard, modulo their number.
pub(crate) struct Book {
    orders: Mutex<BTreeMap<B256, Bytes>>,
    sharding: Sharding,
}

impl Book {
    pub(crate) fn insert(&self, order: Bytes) {
        let id = B256::from(*blake3::hash(&order).as_bytes());
        self.orders.lock().unwrap().insert(id, order);
    }

    pub(crate) fn len(&self) -> usize {
        self.orders.lock().unwrap().len()
    }
}

impl BookSource for Book {
    fn order_ids(&self) -> Vec<(B256, u16)> {
        let orders = self.orders.lock().unwrap();
        let shard = |order: &Bytes| u16::from(order[0]) % self.sharding.shards();
        let ids = orders.iter().map(|(id, order)| (*id, shard(order)));
        ids.collect()
    }

    fn order(&self, id: &B256) -> Option<Bytes> {
        self.orders.lock().unwrap().get(id).cloned()
    }
}

/// Acknowledges every request and keeps it.
#[derive(Default)]
pub(crate) struct Deals(pub(crate) Mutex<Vec<(PeerKey, DealRequest)>>);

struct Acknowledge(Arc<Deals>);

impl DealHandler for Acknowledge {
    fn handle(&self, from: PeerKey, request: DealRequest) -> BoxFuture<'static, DealResponse> {
        self.0.0.lock().unwrap().push((from, request));
        Box::pin(async { DealResponse::Acknowledged })
    }
}

pub(crate) struct Node {
    pub(crate) net: NetworkHandle,
    pub(crate) events: mpsc::Receiver<NetworkEvent>,
    pub(crate) book: Arc<Book>,
    pub(crate) deals: Arc<Deals>,
    registry: Registry,
    _directory: tempfile::TempDir,
}

pub(crate) fn identity(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// A node that listens on loopback, knows nobody, and lists its book anew for every peer.
pub(crate) fn config() -> NetworkConfig {
    NetworkConfig {
        limits: NetworkLimits {
            book_list_lifetime: Duration::ZERO,
            ..NetworkLimits::default()
        },
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        reachability: Reachability::Public,
        ..NetworkConfig::new(CHAIN_ID, MARKET)
    }
}

/// A node of a market with four shards that takes part in some of them.
pub(crate) fn sharded(shards: &str) -> NetworkConfig {
    NetworkConfig {
        sharding: Sharding::try_from(4).unwrap(),
        shards: shards.parse().unwrap(),
        ..config()
    }
}

impl Node {
    pub(crate) async fn start(seed: u8, config: NetworkConfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let blobs = BlobStore::open(BlobStoreConfig {
            directory: directory.path().to_owned(),
            capacity_bytes: 1 << 30,
        })
        .await
        .unwrap();
        let book = Arc::new(Book {
            orders: Mutex::default(),
            sharding: config.sharding,
        });
        let deals = Arc::<Deals>::default();
        let handlers = Handlers {
            book: book.clone(),
            deals: Arc::new(Acknowledge(deals.clone())),
        };
        let mut registry = Registry::default();
        let (net, events) = Network::start(config, &identity(seed), blobs, handlers, &mut registry)
            .await
            .unwrap();
        Self {
            net,
            events,
            book,
            deals,
            registry,
            _directory: directory,
        }
    }

    /// A node that joins by another.
    pub(crate) async fn join(seed: u8, bootstrap: &Node, mut config: NetworkConfig) -> Self {
        config.bootstrap = vec![bootstrap.address()];
        Self::start(seed, config).await
    }

    pub(crate) fn key(&self) -> PeerKey {
        self.net.key()
    }

    pub(crate) fn address(&self) -> Multiaddr {
        self.net.addresses()[0].clone()
    }

    /// Waits until `count` peers gossip with this node.
    pub(crate) async fn joined_by(&mut self, count: usize) {
        soon(async {
            loop {
                let peers = self.net.peers().await.unwrap();
                if peers.iter().filter(|peer| peer.subscribed).count() >= count {
                    return;
                }
                // Something must change: wait for the next event.
                self.events.recv().await.unwrap();
            }
        })
        .await;
    }

    /// The next order, without a verdict.
    pub(crate) async fn order(&mut self) -> IncomingOrder {
        soon(async {
            loop {
                if let NetworkEvent::Order(order) = self.events.recv().await.unwrap() {
                    return order;
                }
            }
        })
        .await
    }

    /// The next order, accepted.
    pub(crate) async fn accept(&mut self) -> IncomingOrder {
        let order = self.order().await;
        assert!(self.net.report(order.id, Verdict::Accept).await.unwrap());
        order
    }

    /// Publishes as soon as there is somebody to hear it.
    pub(crate) async fn publish(&self, order: &Bytes) {
        self.net.publish(0, order.clone()).await.unwrap();
    }

    pub(crate) async fn score_of(&self, peer: PeerKey) -> Option<f64> {
        let peers = self.net.peers().await.unwrap();
        peers
            .iter()
            .find(|info| info.key == peer)
            .map(|info| info.score)
    }

    /// The sum of a metric over all its labels that contain `label`.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text.lines()
            .filter(|line| {
                line.strip_prefix("outcry_net_")
                    .and_then(|line| line.strip_prefix(name))
                    .is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
            })
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }
}

/// Bytes that look random and differ by seed.
pub(crate) fn content(length: usize, seed: u64) -> Vec<u8> {
    let mut content = vec![0; length];
    blake3::Hasher::new()
        .update(&seed.to_be_bytes())
        .finalize_xof()
        .fill(&mut content);
    content
}

pub(crate) fn order(seed: u64) -> Bytes {
    content(700, seed).into()
}
