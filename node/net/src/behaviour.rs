//! The swarm: transports and the protocols that run on them.

use std::time::Duration;

use libp2p::allow_block_list::{self, BlockedPeers};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{PeerId, StreamProtocol, kad::store::MemoryStore};
use libp2p::{
    Swarm, SwarmBuilder, autonat, dcutr, identify, identity, kad, memory_connection_limits, noise,
    ping, relay, tcp, yamux,
};
use prometheus_client::registry::Registry;

use crate::gossip::{self, Gossip, Topics};
use crate::{NetError, NetworkConfig, NetworkLimits, Reachability};

/// A connection without any stream is closed after this. Long enough for a book snapshot to be
/// followed by its deals, short enough not to hold the slots of others.
const IDLE_CONNECTION: Duration = Duration::from_secs(120);
/// A table of our own per market, so that lookups do not wander through other networks.
fn kad_protocol(config: &NetworkConfig) -> Result<StreamProtocol, NetError> {
    StreamProtocol::try_from_owned(format!(
        "/outcry/kad/1/{}/0x{}",
        config.chain_id,
        hex::encode(config.market)
    ))
    .map_err(|error| NetError::Config(error.to_string()))
}

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    // The three that refuse connections come first: nothing behind them sees a refused one.
    blocked: allow_block_list::Behaviour<BlockedPeers>,
    connection_limits: connection_limits::Behaviour,
    memory_limits: memory_connection_limits::Behaviour,
    pub(crate) gossip: Gossip,
    pub(crate) kad: kad::Behaviour<MemoryStore>,
    pub(crate) identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(crate) streams: libp2p_stream::Behaviour,
    relay_client: relay::client::Behaviour,
    relay_server: Toggle<relay::Behaviour>,
    hole_punching: dcutr::Behaviour,
    autonat_client: Toggle<autonat::v2::client::Behaviour>,
    autonat_server: autonat::v2::server::Behaviour,
}

impl Behaviour {
    fn new(
        config: &NetworkConfig,
        identity: &identity::Keypair,
        topics: &Topics,
        relay_client: relay::client::Behaviour,
        registry: &mut Registry,
    ) -> Result<Self, NetError> {
        let peer = identity.public().to_peer_id();
        let mut kad_config = kad::Config::new(kad_protocol(config)?);
        kad_config
            .set_query_timeout(config.limits.connect_timeout)
            // Only the routing table is used: strangers' records are not kept.
            .set_record_filtering(kad::StoreInserts::FilterBoth)
            .set_periodic_bootstrap_interval(Some(Duration::from_secs(300)));
        let mut kad = kad::Behaviour::with_config(peer, MemoryStore::new(peer), kad_config);
        if config.reachability == Reachability::Public {
            kad.set_mode(Some(kad::Mode::Server));
        }
        // The number tells peers that this is a new life of the node: see `Driver::on_introduced`.
        let life = rand::random::<u32>();
        let identify = identify::Config::new("/outcry/1".to_owned(), identity.public())
            .with_agent_version(format!("outcry/{} {life:08x}", env!("CARGO_PKG_VERSION")))
            .with_push_listen_addr_updates(true);
        Ok(Self {
            blocked: allow_block_list::Behaviour::default(),
            connection_limits: connection_limits::Behaviour::new(connection_limits(&config.limits)),
            memory_limits: memory_connection_limits::Behaviour::with_max_bytes(
                config.limits.memory_bytes_max,
            ),
            gossip: gossip::behaviour(topics, registry.sub_registry_with_prefix("gossip"))?,
            kad,
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::default(),
            streams: libp2p_stream::Behaviour::new(),
            relay_client,
            relay_server: config
                .relay
                .then(|| relay::Behaviour::new(peer, relay::Config::default()))
                .into(),
            hole_punching: dcutr::Behaviour::new(peer),
            autonat_client: (config.reachability == Reachability::Detect)
                .then(autonat::v2::client::Behaviour::default)
                .into(),
            autonat_server: autonat::v2::server::Behaviour::default(),
        })
    }

    /// Refuses and closes connections to a peer, or allows them again.
    pub(crate) fn set_blocked(&mut self, peer: PeerId, blocked: bool) {
        if blocked {
            self.blocked.block_peer(peer);
        } else {
            self.blocked.unblock_peer(peer);
        }
    }
}

fn connection_limits(limits: &NetworkLimits) -> ConnectionLimits {
    ConnectionLimits::default()
        .with_max_established(Some(limits.connections_max))
        .with_max_established_incoming(Some(limits.connections_incoming_max))
        .with_max_pending_incoming(Some(limits.connections_pending_max))
        .with_max_pending_outgoing(Some(limits.connections_pending_max))
        .with_max_established_per_peer(Some(limits.connections_per_peer_max))
}

/// Connections of the caller's own making, each authenticated and multiplexed.
pub type Transport = Boxed<(PeerId, StreamMuxerBox)>;

/// The swarm, not listening yet: over `links`, or over TCP and QUIC. Without a usable resolver
/// configuration of the system, addresses by name cannot be dialled; all else works.
pub(crate) fn swarm(
    config: &NetworkConfig,
    identity: &identity::Keypair,
    topics: &Topics,
    registry: &mut Registry,
    links: Option<Transport>,
) -> Result<Swarm<Behaviour>, NetError> {
    let unusable = |error: &dyn std::fmt::Display| NetError::Config(error.to_string());
    macro_rules! finish {
        ($builder:expr) => {
            $builder
                .with_relay_client(noise::Config::new, yamux::Config::default)
                .map_err(|error| unusable(&error))?
                .with_behaviour(|identity, relay_client| {
                    Behaviour::new(config, identity, topics, relay_client, registry)
                        .map_err(Into::into)
                })
                .map_err(|error| unusable(&error))?
                .with_swarm_config(|swarm| {
                    swarm
                        .with_idle_connection_timeout(IDLE_CONNECTION)
                        .with_max_negotiating_inbound_streams(128)
                })
                .build()
        };
    }
    let transport = || {
        SwarmBuilder::with_existing_identity(identity.clone())
            .with_tokio()
            .with_tcp(
                tcp::Config::default().nodelay(true),
                noise::Config::new,
                yamux::Config::default,
            )
            .map_err(|error| unusable(&error))
            .map(|builder| builder.with_quic())
    };
    if let Some(links) = links {
        let builder = SwarmBuilder::with_existing_identity(identity.clone())
            .with_tokio()
            .with_other_transport(|_| links)
            .map_err(|error| unusable(&error))?;
        return Ok(finish!(builder));
    }
    Ok(match transport()?.with_dns() {
        Ok(builder) => finish!(builder),
        Err(error) => {
            tracing::warn!(%error, "no resolver: addresses by name cannot be dialled");
            finish!(transport()?)
        }
    })
}
