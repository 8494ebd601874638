//! What a node's network is told at start, and every limit of it.

use std::time::Duration;

use alloy_primitives::Address;
use libp2p::Multiaddr;
use outcry_protocol::shard::{ShardSet, Sharding};

/// Configuration of [`crate::Network::start`].
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Chain of the market: part of the gossip topic.
    pub chain_id: u64,
    /// Market contract: part of the gossip topic.
    pub market: Address,
    /// Into how many shards the market divides its gossip: part of the topics. One suffices below
    /// 200 orders/s.
    pub sharding: Sharding,
    /// Shards that this node takes part in.
    pub shards: ShardSet,
    /// Addresses to listen on, e.g. `/ip4/0.0.0.0/tcp/4600`, `/ip4/0.0.0.0/udp/4600/quic-v1`.
    /// Port 0 lets the system choose; [`crate::NetworkHandle::addresses`] tells what it chose.
    pub listen: Vec<Multiaddr>,
    /// Addresses under which others reach this node, if the operator knows them.
    pub external: Vec<Multiaddr>,
    /// Nodes to join by, each address ending in `/p2p/PEER`.
    pub bootstrap: Vec<Multiaddr>,
    /// Whether strangers can dial this node.
    pub reachability: Reachability,
    /// Whether to relay connections for nodes behind NAT, within libp2p's default limits
    /// (2 minutes, 128 KiB per circuit: enough to punch a hole, not to move blobs).
    pub relay: bool,
    /// Limits on what strangers can use up.
    pub limits: NetworkLimits,
}

impl NetworkConfig {
    /// A node of a market with one shard, on OS-assigned ports of all interfaces, without bootstrap.
    pub fn new(chain_id: u64, market: Address) -> Self {
        Self {
            chain_id,
            market,
            sharding: Sharding::ONE,
            shards: Sharding::ONE.all(),
            listen: ["/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"]
                .iter()
                .filter_map(|address| address.parse().ok())
                .collect(),
            external: Vec::new(),
            bootstrap: Vec::new(),
            reachability: Reachability::Detect,
            relay: false,
            limits: NetworkLimits::default(),
        }
    }
}

/// Whether strangers can dial a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reachability {
    /// Every listen address can be dialled (a server, or a network on one host): the node
    /// serves the discovery table at once.
    Public,
    /// Other nodes test the addresses (AutoNAT v2). Until one is confirmed, the node asks for
    /// relay reservations and is found through them.
    Detect,
}

/// Limits on what strangers can make a node spend. All of them hold per node.
#[derive(Clone, Debug)]
pub struct NetworkLimits {
    /// Most established connections.
    pub connections_max: u32,
    /// Most established connections that others opened.
    pub connections_incoming_max: u32,
    /// Most connections being set up.
    pub connections_pending_max: u32,
    /// Most connections to one peer (two: TCP and QUIC may race; a relayed one is upgraded).
    pub connections_per_peer_max: u32,
    /// No further connection is accepted while the process has more than this resident, bytes.
    pub memory_bytes_max: usize,
    /// Gossiped orders of one peer that reach the validator, per second, sustained.
    pub orders_per_peer_per_s: u32,
    /// Gossiped orders of one peer that reach the validator at once.
    pub orders_per_peer_burst: u32,
    /// Orders waiting for a verdict. More are ignored (and found again by [`crate::NetworkHandle::sync_book`]).
    pub orders_pending_max: usize,
    /// Blob streams served at once, in total and to one peer.
    pub blob_streams_max: usize,
    /// See `blob_streams_max`.
    pub blob_streams_per_peer_max: usize,
    /// Blobs fetched at once.
    pub blob_fetches_max: usize,
    /// Book and deal streams served at once, in total and to one peer.
    pub request_streams_max: usize,
    /// See `request_streams_max`.
    pub request_streams_per_peer_max: usize,
    /// Longest wait for a connection by key, discovery included.
    pub connect_timeout: Duration,
    /// Longest silence inside a transfer: the next 16 KiB or the next frame must come within it.
    pub idle_timeout: Duration,
    /// How often books are compared with some peer.
    pub book_sync_every: Duration,
    /// Longest sync of the book with one peer. What came until then stays, and the next one goes on
    /// from there.
    pub book_sync_timeout: Duration,
    /// How long the list of this node's orders is shown to peers before it is made anew.
    pub book_list_lifetime: Duration,
    /// Longest deal request, answer included.
    pub deal_timeout: Duration,
}

impl Default for NetworkLimits {
    fn default() -> Self {
        Self {
            connections_max: 256,
            connections_incoming_max: 192,
            connections_pending_max: 64,
            connections_per_peer_max: 4,
            memory_bytes_max: 4 << 30,
            // Twice what a node on two cores takes in: an honest peer forwards each order at most
            // once, and must not be blamed when the whole network is busy.
            orders_per_peer_per_s: 2_000,
            orders_per_peer_burst: 4_000,
            orders_pending_max: 4_096,
            blob_streams_max: 64,
            blob_streams_per_peer_max: 8,
            blob_fetches_max: 32,
            request_streams_max: 64,
            request_streams_per_peer_max: 8,
            connect_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(15),
            book_sync_every: Duration::from_secs(20),
            book_sync_timeout: Duration::from_secs(120),
            book_list_lifetime: Duration::from_secs(1),
            deal_timeout: Duration::from_secs(20),
        }
    }
}
