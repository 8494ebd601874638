//! The network's entry: start, and the handle by which the node uses it.

use std::sync::Arc;

use bytes::Bytes;
use libp2p::Multiaddr;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};

use crate::{
    BlobId, BlobStore, BookSource, BookSync, DealHandler, DealRequest, DealResponse, IncomingOrder,
    MessageId, NetError, NetworkConfig, PeerKey, Verdict,
};

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
    /// A peer joined the gossip of this market: a good moment for [`NetworkHandle::sync_book`].
    PeerJoined(PeerKey),
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
    /// Whether it gossips orders of this market.
    pub subscribed: bool,
    /// What software it says it runs.
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
    /// The receiver must be drained: what does not fit in its buffer is dropped.
    /// Metrics are registered under `outcry_net`.
    ///
    /// # Errors
    /// [`NetError::Config`], [`NetError::Listen`], [`NetError::PeerKey`].
    pub async fn start(
        _config: NetworkConfig,
        _identity: &ed25519_dalek::SigningKey,
        _blobs: BlobStore,
        _handlers: Handlers,
        _registry: &mut Registry,
    ) -> Result<(NetworkHandle, mpsc::Receiver<NetworkEvent>), NetError> {
        Err(NetError::Stopped)
    }
}

/// The node's grip on its network. Cheap to clone.
#[derive(Clone)]
pub struct NetworkHandle {
    key: PeerKey,
    blobs: BlobStore,
}

impl NetworkHandle {
    /// This node's key.
    pub fn key(&self) -> PeerKey {
        self.key
    }

    /// The store from which blobs are served.
    pub fn blobs(&self) -> &BlobStore {
        &self.blobs
    }

    /// Addresses of this node, each ending in `/p2p/PEER`: usable as bootstrap by others.
    pub fn addresses(&self) -> Vec<Multiaddr> {
        Vec::new()
    }

    /// Sends an own order to the peers of a shard. Publishing the same bytes again is harmless.
    ///
    /// # Errors
    /// [`NetError::TooLong`], [`NetError::NoPeers`], [`NetError::UnknownShard`],
    /// [`NetError::Overloaded`], [`NetError::Stopped`].
    pub async fn publish(&self, _shard: u16, _message: Bytes) -> Result<MessageId, NetError> {
        Err(NetError::Stopped)
    }

    /// The verdict on an [`IncomingOrder`]. False if it came too late or twice.
    ///
    /// # Errors
    /// [`NetError::Stopped`].
    pub async fn report(&self, _id: MessageId, _verdict: Verdict) -> Result<bool, NetError> {
        Err(NetError::Stopped)
    }

    /// The connected peers.
    ///
    /// # Errors
    /// [`NetError::Stopped`].
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, NetError> {
        Err(NetError::Stopped)
    }

    /// Connects to a peer of which only the key is known.
    ///
    /// # Errors
    /// [`NetError::Unreachable`], [`NetError::PeerKey`], [`NetError::Stopped`].
    pub async fn connect(&self, _peer: PeerKey) -> Result<(), NetError> {
        Err(NetError::Stopped)
    }

    /// Gets a blob into the store from the first of `peers` that serves it right, resuming with
    /// the next where one failed. A blob that is here already costs nothing.
    ///
    /// # Errors
    /// [`NetError::BlobNotFound`], [`NetError::BlobTooLong`], [`NetError::Unreachable`],
    /// [`NetError::Blob`], or what the last peer did.
    pub async fn fetch(
        &self,
        _hash: blake3::Hash,
        _peers: &[PeerKey],
        _length_max: u64,
        _progress: Option<watch::Sender<FetchProgress>>,
    ) -> Result<BlobId, NetError> {
        Err(NetError::Stopped)
    }

    /// Asks `peer` for the orders that the local book lacks and sends them, encoded, to `orders`.
    /// They are not validated: treat them like gossip.
    ///
    /// # Errors
    /// [`NetError::Unreachable`], [`NetError::Timeout`], [`NetError::Protocol`],
    /// [`NetError::Busy`], [`NetError::Stream`].
    pub async fn sync_book(
        &self,
        _peer: PeerKey,
        _orders: mpsc::Sender<Bytes>,
    ) -> Result<BookSync, NetError> {
        Err(NetError::Stopped)
    }

    /// Sends one deal message and waits for the answer.
    ///
    /// # Errors
    /// [`NetError::Unreachable`], [`NetError::Timeout`], [`NetError::TooLong`],
    /// [`NetError::Protocol`], [`NetError::Busy`], [`NetError::Stream`].
    pub async fn deal(
        &self,
        _peer: PeerKey,
        _request: DealRequest,
    ) -> Result<DealResponse, NetError> {
        Err(NetError::Stopped)
    }

    /// Ends the network: closes every connection and stops serving.
    pub async fn stop(&self) {}
}
