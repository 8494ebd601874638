//! The network's entry: start, and the handle by which the node uses it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use outcry_protocol::limits::MESSAGE_BYTES_MAX;
use outcry_protocol::shard::{ShardSet, Sharding};
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::behaviour::Transport;
use crate::blob::{self, Attempt, Blobs};
use crate::book::Fetching;
use crate::driver::{Command, Driver};
use crate::gossip::Topics;
use crate::metrics::Metrics;
use crate::scoring::blame;
use crate::streams::Streams;
use crate::{
    BlobId, BlobStore, BookSource, BookSync, DealHandler, DealRequest, DealResponse, IncomingOrder,
    MessageId, NetError, NetworkConfig, NetworkLimits, PeerKey, Verdict, behaviour, book, deal,
    identity,
};

/// Commands waiting for the network's task; callers wait when there are more.
const COMMANDS_WAITING: usize = 256;
/// Room for events other than orders in the events' buffer.
const PEER_EVENTS_WAITING: usize = 256;
/// Opening a socket takes no time; what takes longer will never come.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a fetch goes through its peers before it gives up.
const FETCH_ROUNDS: usize = 2;

/// The network of one node.
#[derive(Debug)]
pub struct Network;

/// What the node supplies to answer peers.
#[derive(Clone)]
pub struct Handlers {
    /// The local book.
    pub book: Arc<dyn BookSource>,
    /// Answers deal messages.
    pub deals: Arc<dyn DealHandler>,
}

/// What happens on the network.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NetworkEvent {
    /// An order arrived; [`NetworkHandle::report`] decides whether it travels on.
    Order(IncomingOrder),
    /// A peer joined the gossip of a shard of this node: a good moment for [`NetworkHandle::sync_book`].
    PeerJoined(PeerKey),
    /// Time for a [`NetworkHandle::sync_book`] with this peer: shortly after it joined, because an
    /// order gossiped while two nodes introduce themselves reaches neither, and now and then with
    /// some peer, because a busy node drops orders. Equal books cost a third of a kilobyte.
    BookSyncDue(PeerKey),
    /// The last connection to a peer closed.
    PeerLeft(PeerKey),
}

/// A connected peer.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Its key.
    pub key: PeerKey,
    /// Where it is connected from or to.
    pub address: Multiaddr,
    /// Gossip score; negative is bad.
    pub score: f64,
    /// Whether it gossips orders that this node wants.
    pub subscribed: bool,
    /// Shards of the market that it takes part in.
    pub shards: ShardSet,
    /// What software it says it runs, and a number that changes with each start; at most 64
    /// characters.
    pub agent: String,
}

/// How far a fetch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchProgress {
    /// Verified bytes on disk.
    pub bytes: u64,
    /// Length of the blob, 0 until a peer told.
    pub length: u64,
}

impl Network {
    /// Starts the network: opens the sockets, joins the topics and dials the bootstrap nodes.
    ///
    /// The receiver must be drained: orders that do not fit in its buffer are dropped (and found
    /// again by [`NetworkHandle::sync_book`]). Metrics are registered under `outcry_net`.
    /// The network ends with [`NetworkHandle::stop`] or when every handle is dropped.
    ///
    /// # Errors
    /// [`NetError::Config`], [`NetError::Listen`], [`NetError::PeerKey`].
    pub async fn start(
        config: NetworkConfig,
        identity: &ed25519_dalek::SigningKey,
        blobs: BlobStore,
        handlers: Handlers,
        registry: &mut Registry,
    ) -> Result<(NetworkHandle, mpsc::Receiver<NetworkEvent>), NetError> {
        Self::begin(config, identity, blobs, handlers, registry, None).await
    }

    /// The same over other links than the internet's, for simulations: listen, external and
    /// bootstrap addresses are those of `links`.
    ///
    /// # Errors
    /// As for [`Network::start`].
    pub async fn start_over(
        links: Transport,
        config: NetworkConfig,
        identity: &ed25519_dalek::SigningKey,
        blobs: BlobStore,
        handlers: Handlers,
        registry: &mut Registry,
    ) -> Result<(NetworkHandle, mpsc::Receiver<NetworkEvent>), NetError> {
        Self::begin(config, identity, blobs, handlers, registry, Some(links)).await
    }

    async fn begin(
        config: NetworkConfig,
        identity: &ed25519_dalek::SigningKey,
        blobs: BlobStore,
        handlers: Handlers,
        registry: &mut Registry,
        links: Option<Transport>,
    ) -> Result<(NetworkHandle, mpsc::Receiver<NetworkEvent>), NetError> {
        check_shards(&config)?;
        let key = PeerKey::of(identity);
        let bootstrap = config
            .bootstrap
            .iter()
            .map(bootstrap_peer)
            .collect::<Result<Vec<_>, _>>()?;
        let topics = Topics::of(&config);
        let registry = registry.sub_registry_with_prefix("outcry_net");
        let metrics = Arc::new(Metrics::register(registry));
        let identity = identity::keypair(identity)?;
        let swarm = behaviour::swarm(&config, &identity, &topics, registry, links)?;

        let limits = config.limits.clone();
        let (commands, command_receiver) = mpsc::channel(COMMANDS_WAITING);
        let (events, event_receiver) =
            mpsc::channel(limits.orders_pending_max + PEER_EVENTS_WAITING);
        let (address_sender, addresses) = watch::channel(Vec::new());
        let stopped = CancellationToken::new();
        // From here on a failure must end the tasks that serve streams.
        let stop_when_dropped = stopped.clone().drop_guard();
        let mut driver = Driver::new(
            swarm,
            &config,
            &topics,
            bootstrap,
            command_receiver,
            events,
            address_sender,
            stopped.clone(),
            metrics.clone(),
        );
        let streams = Streams::new(driver.streams(), limits.idle_timeout);
        blob::serve(&streams, &blobs, &limits, &metrics, &stopped)?;
        book::serve(
            &streams,
            handlers.book.clone(),
            config.shards,
            &limits,
            &metrics,
            &stopped,
        )?;
        deal::serve(&streams, handlers.deals, &limits, &metrics, &stopped)?;
        let listening = tokio::time::timeout(
            LISTEN_TIMEOUT,
            driver.listen(&config.listen, &config.external),
        )
        .await;
        match listening {
            Ok(listening) => listening?,
            Err(_) => {
                return Err(NetError::Listen {
                    address: format!("{:?}", config.listen),
                    reason: "the system does not open the socket".to_owned(),
                });
            }
        }
        tokio::spawn(driver.run());

        let handle = NetworkHandle {
            shared: Arc::new(Shared {
                key,
                sharding: config.sharding,
                shards: config.shards,
                commands,
                addresses,
                blobs: Arc::new(Blobs::new(blobs, streams.clone(), metrics.clone(), &limits)),
                book: handlers.book,
                fetching: Fetching::default(),
                streams,
                metrics,
                limits,
                _stop_when_dropped: stop_when_dropped,
                stopped,
            }),
        };
        Ok((handle, event_receiver))
    }
}

fn check_shards(config: &NetworkConfig) -> Result<(), NetError> {
    let refuse = |reason: String| Err(NetError::Config(reason));
    if config.shards.is_empty() {
        return refuse("the node takes part in no shard".to_owned());
    }
    if !config.shards.is_within(config.sharding.all()) {
        return refuse(format!(
            "of the shards {} the market has only {}",
            config.shards,
            config.sharding.all()
        ));
    }
    Ok(())
}

/// The peer at the end of a bootstrap address.
fn bootstrap_peer(address: &Multiaddr) -> Result<(PeerId, Multiaddr), NetError> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Ok((peer, address.clone())),
        _ => Err(NetError::Config(format!(
            "bootstrap address {address} does not end in /p2p/PEER"
        ))),
    }
}

/// The node's grip on its network. Cheap to clone.
#[derive(Clone)]
pub struct NetworkHandle {
    shared: Arc<Shared>,
}

struct Shared {
    key: PeerKey,
    sharding: Sharding,
    shards: ShardSet,
    commands: mpsc::Sender<Command>,
    addresses: watch::Receiver<Vec<Multiaddr>>,
    blobs: Arc<Blobs>,
    book: Arc<dyn BookSource>,
    fetching: Fetching,
    streams: Streams,
    metrics: Arc<Metrics>,
    limits: NetworkLimits,
    stopped: CancellationToken,
    _stop_when_dropped: tokio_util::sync::DropGuard,
}

impl NetworkHandle {
    /// This node's key.
    pub fn key(&self) -> PeerKey {
        self.shared.key
    }

    /// Into how many shards the market divides its gossip.
    pub fn sharding(&self) -> Sharding {
        self.shared.sharding
    }

    /// The shards that this node takes part in.
    pub fn shards(&self) -> ShardSet {
        self.shared.shards
    }

    /// The store from which blobs are served.
    pub fn blobs(&self) -> &BlobStore {
        self.shared.blobs.store()
    }

    /// Addresses of this node, each ending in `/p2p/PEER`: usable as bootstrap by others. Those
    /// known to be reachable come first.
    pub fn addresses(&self) -> Vec<Multiaddr> {
        self.shared.addresses.borrow().clone()
    }

    /// Waits until an address of this node fulfils `condition`, e.g. one through a relay.
    ///
    /// # Errors
    /// [`NetError::Stopped`].
    pub async fn address_where(
        &self,
        mut condition: impl FnMut(&Multiaddr) -> bool,
    ) -> Result<Multiaddr, NetError> {
        let mut addresses = self.shared.addresses.clone();
        let addresses = addresses
            .wait_for(|addresses| addresses.iter().any(&mut condition))
            .await
            .map_err(|_| NetError::Stopped)?
            .clone();
        addresses
            .into_iter()
            .find(condition)
            .ok_or(NetError::Stopped)
    }

    /// Sends an own order to the peers of a shard. Publishing the same bytes again is harmless.
    ///
    /// # Errors
    /// [`NetError::TooLong`], [`NetError::NoPeers`], [`NetError::UnknownShard`],
    /// [`NetError::Overloaded`], [`NetError::Stopped`].
    pub async fn publish(&self, shard: u16, message: Bytes) -> Result<MessageId, NetError> {
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(NetError::TooLong {
                length: message.len() as u64,
                limit: MESSAGE_BYTES_MAX as u64,
            });
        }
        self.command(|reply| Command::Publish {
            shard,
            message,
            reply,
        })
        .await?
    }

    /// The verdict on an [`IncomingOrder`]. False if it came too late or twice.
    ///
    /// # Errors
    /// [`NetError::Stopped`].
    pub async fn report(&self, id: MessageId, verdict: Verdict) -> Result<bool, NetError> {
        self.command(|reply| Command::Report { id, verdict, reply })
            .await
    }

    /// The connected peers.
    ///
    /// # Errors
    /// [`NetError::Stopped`].
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, NetError> {
        self.command(|reply| Command::Peers { reply }).await
    }

    /// Connects to a peer of which only the key is known.
    ///
    /// # Errors
    /// [`NetError::Unreachable`], [`NetError::PeerKey`], [`NetError::Stopped`].
    pub async fn connect(&self, peer: PeerKey) -> Result<(), NetError> {
        let id = peer.peer_id()?;
        self.command(|reply| Command::Connect { peer: id, reply })
            .await?
            .map_err(|reason| NetError::Unreachable { peer, reason })
    }

    /// Gets a blob into the store from the first of `peers` that serves it right, resuming with
    /// the next where one failed. A blob that is here already costs nothing.
    ///
    /// Dropping the future gives up; what arrived is forgotten.
    ///
    /// # Errors
    /// [`NetError::BlobNotFound`] if no peer has it, otherwise what the last peer did:
    /// [`NetError::BlobTooLong`], [`NetError::Unreachable`], [`NetError::Timeout`],
    /// [`NetError::Busy`], [`NetError::Protocol`]; [`NetError::Blob`] if the disk fails.
    pub async fn fetch(
        &self,
        hash: blake3::Hash,
        peers: &[PeerKey],
        length_max: u64,
        progress: Option<watch::Sender<FetchProgress>>,
    ) -> Result<BlobId, NetError> {
        let Some(mut fetch) = self.shared.blobs.begin(hash).await? else {
            let blob = self.blobs().get(&hash)?;
            return Ok(blob.ok_or(NetError::BlobNotFound(hash))?.id());
        };
        let mut candidates: Vec<PeerKey> = Vec::new();
        for peer in peers {
            if *peer != self.key() && !candidates.contains(peer) {
                candidates.push(*peer);
            }
        }
        let mut last = NetError::BlobNotFound(hash);
        for _ in 0..FETCH_ROUNDS {
            let mut again = Vec::new();
            for peer in candidates {
                if let Err(error) = self.connect(peer).await {
                    last = error;
                    continue;
                }
                let id = peer.peer_id()?;
                match fetch.attempt(id, length_max, &progress).await {
                    Attempt::Done(blob) => return Ok(blob),
                    Attempt::Corrupt => {
                        tracing::warn!(%peer, %hash, "peer sent content with a wrong hash");
                        self.blame(id, blame::CORRUPT_BLOB).await;
                        last = NetError::Protocol("it sent content with a wrong hash");
                    }
                    Attempt::Failed(error @ NetError::Blob(_)) => return Err(error),
                    Attempt::Failed(error) => {
                        if matches!(
                            error,
                            NetError::Stream(_) | NetError::Timeout | NetError::Busy
                        ) {
                            again.push(peer);
                        }
                        last = error;
                    }
                }
            }
            candidates = again;
        }
        Err(last)
    }

    /// Asks `peer` for the orders that the local book lacks and sends them, encoded, to `orders`.
    /// They are not validated: treat them like gossip. Ask several peers: each may leave out what
    /// it likes. When the receiver is dropped, the sync ends. It ends after
    /// [`NetworkLimits::book_sync_timeout`] as well; a peer whose answers contradict each other is blamed.
    ///
    /// # Errors
    /// [`NetError::Unreachable`], [`NetError::Timeout`], [`NetError::Protocol`],
    /// [`NetError::Busy`], [`NetError::Stream`]; [`NetError::Stopped`] if the receiver is gone.
    pub async fn sync_book(
        &self,
        peer: PeerKey,
        orders: mpsc::Sender<Bytes>,
    ) -> Result<BookSync, NetError> {
        self.connect(peer).await?;
        let id = peer.peer_id()?;
        let shared = &self.shared;
        let sync = book::sync(
            &shared.streams,
            id,
            &*shared.book,
            shared.shards,
            &shared.fetching,
            &orders,
            &shared.limits,
            &shared.metrics,
        );
        let outcome = sync.await?;
        if let Err(NetError::Protocol(_) | NetError::TooLong { .. }) = outcome {
            self.blame(id, blame::FALSE_BOOK).await;
        }
        outcome
    }

    /// Says that a peer's book held what nobody honest holds: an order that is malformed or that its
    /// account did not sign. Counts against the peer.
    pub async fn report_false_book(&self, peer: PeerKey) {
        if let Ok(peer) = peer.peer_id() {
            self.blame(peer, blame::FALSE_BOOK).await;
        }
    }

    /// Sends one deal message and waits for the answer.
    ///
    /// # Errors
    /// [`NetError::Unreachable`], [`NetError::Timeout`], [`NetError::TooLong`],
    /// [`NetError::Protocol`], [`NetError::Busy`], [`NetError::Stream`].
    pub async fn deal(
        &self,
        peer: PeerKey,
        request: DealRequest,
    ) -> Result<DealResponse, NetError> {
        self.connect(peer).await?;
        deal::request(
            &self.shared.streams,
            peer.peer_id()?,
            &request,
            self.shared.limits.deal_timeout,
        )
        .await
    }

    /// Ends the network: closes every connection and stops serving.
    pub async fn stop(&self) {
        self.shared.stopped.cancel();
        self.shared.commands.closed().await;
    }

    async fn blame(&self, peer: PeerId, points: f64) {
        // A stopped network has nobody to blame.
        let _ = self
            .shared
            .commands
            .send(Command::Blame { peer, points })
            .await;
    }

    async fn command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, NetError> {
        let (reply, answer) = oneshot::channel();
        self.shared
            .commands
            .send(command(reply))
            .await
            .map_err(|_| NetError::Stopped)?;
        answer.await.map_err(|_| NetError::Stopped)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_bootstrap_address_without_a_peer_is_refused() {
        let address = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        assert!(matches!(bootstrap_peer(&address), Err(NetError::Config(_))));
    }

    #[test]
    fn shards_that_the_market_does_not_have_are_refused() {
        let mut config = NetworkConfig::new(1, Default::default());
        config.sharding = Sharding::try_from(4).unwrap();
        for (shards, is_valid) in [("0,3", true), ("", false), ("3-4", false)] {
            config.shards = shards.parse().unwrap();
            assert_eq!(check_shards(&config).is_ok(), is_valid, "{shards}");
        }
    }
}
