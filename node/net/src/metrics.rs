//! Counters and gauges of the network, in base units. Gossipsub's own (messages sent and received
//! per topic, duplicates included) are registered beside them under `gossip`.

use libp2p::StreamProtocol;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

type Labels<const N: usize> = [(&'static str, String); N];

#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) peers: Gauge,
    pub(crate) connections: Gauge,
    shard_peers: Family<Labels<1>, Gauge>,
    orders: Family<Labels<1>, Counter>,
    pub(crate) events_dropped: Counter,
    streams: Family<Labels<2>, Counter>,
    fetches: Family<Labels<1>, Counter>,
    pub(crate) blob_bytes_received: Counter,
    pub(crate) blob_bytes_sent: Counter,
    pub(crate) snapshot_orders_received: Counter,
    pub(crate) peers_banned: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("peers", "Connected peers", metrics.peers.clone());
        registry.register(
            "connections",
            "Established connections",
            metrics.connections.clone(),
        );
        registry.register(
            "shard_peers",
            "Peers that take part in each shard of this node",
            metrics.shard_peers.clone(),
        );
        registry.register(
            "orders",
            "Gossiped orders by outcome: accepted, ignored, rejected, limited (too many of one \
             peer), dropped (node too busy), expired (no verdict in time), published",
            metrics.orders.clone(),
        );
        registry.register(
            "events_dropped",
            "Peer events that the node was too busy to take",
            metrics.events_dropped.clone(),
        );
        registry.register(
            "streams",
            "Direct streams of others by protocol and outcome: served, refused",
            metrics.streams.clone(),
        );
        registry.register(
            "blob_fetches",
            "Blobs fetched by outcome: ok, corrupt (a peer sent wrong bytes), failed",
            metrics.fetches.clone(),
        );
        registry.register_with_unit(
            "blob_received",
            "Verified content received",
            Unit::Bytes,
            metrics.blob_bytes_received.clone(),
        );
        registry.register_with_unit(
            "blob_sent",
            "Blob content and hashes sent",
            Unit::Bytes,
            metrics.blob_bytes_sent.clone(),
        );
        registry.register(
            "snapshot_orders_received",
            "Orders received by book snapshots",
            metrics.snapshot_orders_received.clone(),
        );
        registry.register(
            "peers_banned",
            "Peers disconnected for their score",
            metrics.peers_banned.clone(),
        );
        metrics
    }

    /// Peers in each of the node's shards.
    pub(crate) fn shard_peers(&self, by_shard: &[(u16, usize)]) {
        for (shard, peers) in by_shard {
            self.shard_peers
                .get_or_create(&[("shard", shard.to_string())])
                .set(i64::try_from(*peers).unwrap_or(i64::MAX));
        }
    }

    pub(crate) fn order(&self, outcome: &'static str) {
        self.orders
            .get_or_create(&[("outcome", outcome.to_owned())])
            .inc();
    }

    pub(crate) fn fetch(&self, outcome: &'static str) {
        self.fetches
            .get_or_create(&[("outcome", outcome.to_owned())])
            .inc();
    }

    pub(crate) fn stream_served(&self, protocol: &StreamProtocol) {
        self.stream(protocol, "served");
    }

    pub(crate) fn stream_refused(&self, protocol: &StreamProtocol) {
        self.stream(protocol, "refused");
    }

    fn stream(&self, protocol: &StreamProtocol, outcome: &'static str) {
        self.streams
            .get_or_create(&[
                ("protocol", protocol.to_string()),
                ("outcome", outcome.to_owned()),
            ])
            .inc();
    }
}
