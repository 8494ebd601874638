//! Gossip of signed orders: names of topics and messages, and gossipsub's configuration.
//!
//! Orders are self-contained and signed by their authors, so messages carry neither author nor
//! sequence number of gossipsub's own; a message is named by the hash of its content, and who
//! passed it on is known only to the next hop.

use std::fmt;
use std::time::Duration;

use alloy_primitives::Address;
use bytes::Bytes;
use libp2p_gossipsub::{
    Behaviour, Config, ConfigBuilder, IdentTopic, IdentityTransform, MaxCountSubscriptionFilter,
    MessageAcceptance, MessageAuthenticity, MetricsConfig, TopicHash, ValidationMode,
    WhitelistSubscriptionFilter,
};
use outcry_protocol::limits::MESSAGE_BYTES_MAX;
use outcry_protocol::shard::{SHARDS_MAX, ShardSet, Sharding};
use prometheus_client::registry::Registry;

use crate::{NetError, NetworkConfig, PeerKey, scoring};

/// What a message's encoding has beyond the order: the topic (about 70 bytes) and field headers.
const ENVELOPE_BYTES: usize = 256;
/// Control messages of one frame.
const CONTROL_BYTES_MAX: usize = 16 * 1024;
/// Ids in one control message: 800 x 18 bytes stay below `CONTROL_BYTES_MAX`.
const CONTROL_IDS_MAX: usize = 800;
/// A frame holds control messages or one order. Gossipsub compares this with what is buffered,
/// and a read adds up to 8 KiB to a frame that is not complete, hence twice the largest frame.
const FRAME_BYTES_MAX: usize = 2 * CONTROL_BYTES_MAX;
/// How long a message is remembered as seen. After that a copy is validated again, and ignored
/// because the book has it.
const SEEN_FOR: Duration = Duration::from_secs(120);
/// Heartbeats (of 1 s) for which a message waits for its verdict. A verdict may need the chain, and
/// a node may share two cores with the programs that it runs.
const JUDGED_WITHIN_HEARTBEATS: usize = 20;
/// How long an order may wait to be sent on to a peer that reads slowly.
const QUEUED_FOR: Duration = Duration::from_secs(5);
/// Orders of more bytes make a node tell its peers not to send them again. An order with its job
/// has 700 to 1,500 bytes; the message that saves a copy has 24.
const IDONTWANT_BYTES: usize = 256;

pub(crate) type Gossip =
    Behaviour<IdentityTransform, MaxCountSubscriptionFilter<WhitelistSubscriptionFilter>>;

/// Peers that an order is pushed to, wanted, at least and at most. Where links are slow compared with
/// judging, both ends of a link send before they hear from each other, so that a node receives one copy
/// less than it has peers in its mesh, and IDONTWANT saves little; three or four peers are what keeps
/// an order's cost below three times its length. With two of them nodes stand in rows, and the last
/// ones wait long.
const MESH: usize = 3;
const MESH_MIN: usize = 3;
const MESH_MAX: usize = 4;
/// Peers outside the mesh that are told each heartbeat what came, and for how many heartbeats: they
/// mend what so thin a mesh leaves out.
const TOLD: usize = 3;
const TOLD_FOR_HEARTBEATS: usize = 2;
/// Bytes of a message's id on the wire. Who finds two orders of one id, with 2^64 hashes, keeps one of
/// these two from some nodes until they compare books.
const ID_BYTES: usize = 16;

/// Name of a gossiped message: BLAKE3 of its topic's hash and its bytes. An order has one topic. What a
/// peer sends on another one has another name, so that it neither passes for the order nor keeps it out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub [u8; 32]);

impl MessageId {
    /// The id of a message on a topic.
    pub(crate) fn of(topic: &TopicHash, message: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        // Of a fixed length, so that no other topic and message make the same bytes.
        hasher.update(blake3::hash(topic.as_str().as_bytes()).as_bytes());
        hasher.update(message);
        Self(*hasher.finalize().as_bytes())
    }

    /// The id by which peers name the message to each other.
    pub(crate) fn on_wire(&self) -> libp2p_gossipsub::MessageId {
        libp2p_gossipsub::MessageId::new(&self.0[..ID_BYTES])
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

/// An order that a peer sent. It is passed on to others only after a verdict.
#[derive(Clone, Debug)]
pub struct IncomingOrder {
    /// Names the message in [`crate::NetworkHandle::report`].
    pub id: MessageId,
    /// The peer that passed it on, not its author.
    pub from: PeerKey,
    /// Shard of the topic on which it came.
    pub shard: u16,
    /// The encoded order (`outcry_protocol::wire`), at most 2 KiB.
    pub bytes: Bytes,
}

/// What a validated message deserves. To be given within 20 s: then the message is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Valid and new: pass it on.
    Accept,
    /// Not to be passed on, but not the sender's fault: it depends on something that two honest
    /// nodes can see differently (expiry, balance, a contract's signature, a full book), or is
    /// known already.
    Ignore,
    /// Nobody who follows the rules passes this on (undecodable, bad signature): counts against
    /// the peer.
    Reject,
}

impl Verdict {
    pub(crate) fn acceptance(self) -> MessageAcceptance {
        match self {
            Self::Accept => MessageAcceptance::Accept,
            Self::Ignore => MessageAcceptance::Ignore,
            Self::Reject => MessageAcceptance::Reject,
        }
    }

    pub(crate) fn outcome(self) -> &'static str {
        match self {
            Self::Accept => "accepted",
            Self::Ignore => "ignored",
            Self::Reject => "rejected",
        }
    }
}

/// The topic of one shard of one market. Nodes that disagree about the number of shards have no topic in
/// common: they would hold it against each other that orders come on the wrong one.
pub(crate) fn topic(chain_id: u64, market: &Address, sharding: Sharding, shard: u16) -> IdentTopic {
    let market = hex::encode(market);
    IdentTopic::new(if sharding.is_one() {
        format!("/outcry/1/{chain_id}/0x{market}/{shard}")
    } else {
        let shards = sharding.shards();
        format!("/outcry/1/{chain_id}/0x{market}/{shards}/{shard}")
    })
}

fn config(topics: &[IdentTopic]) -> Result<Config, NetError> {
    let mut builder = ConfigBuilder::default();
    builder
        .validate_messages()
        .validation_mode(ValidationMode::Anonymous)
        .message_id_fn(|message| MessageId::of(&message.topic, &message.data).on_wire())
        .flood_publish(false)
        .idontwant_message_size_threshold(IDONTWANT_BYTES)
        .idontwant_on_publish(true)
        .max_transmit_size(FRAME_BYTES_MAX)
        .max_control_message_size(CONTROL_BYTES_MAX)
        .max_control_messages_sent(CONTROL_IDS_MAX)
        .max_publish_messages(64)
        .connection_handler_queue_len(1_000)
        .forward_queue_duration(QUEUED_FOR)
        .history_length(JUDGED_WITHIN_HEARTBEATS)
        .history_gossip(TOLD_FOR_HEARTBEATS)
        .gossip_lazy(TOLD)
        .gossip_factor(0.0)
        .mesh_n(MESH)
        .mesh_n_low(MESH_MIN)
        .mesh_n_high(MESH_MAX)
        .mesh_outbound_min(1)
        .retain_scores(2)
        .opportunistic_graft_peers(1)
        .duplicate_cache_time(SEEN_FOR);
    for topic in topics {
        builder.max_transmit_size_for_topic(MESSAGE_BYTES_MAX + ENVELOPE_BYTES, topic.hash());
    }
    builder
        .build()
        .map_err(|error| NetError::Config(error.to_string()))
}

/// The topics of a market, and the shards that a node takes part in.
pub(crate) struct Topics {
    all: Vec<IdentTopic>,
    own: ShardSet,
}

impl Topics {
    pub(crate) fn of(config: &NetworkConfig) -> Self {
        let topic = |shard| topic(config.chain_id, &config.market, config.sharding, shard);
        Self {
            all: (0..config.sharding.shards()).map(topic).collect(),
            own: config.shards,
        }
    }

    /// All of them with their shards, ascending.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u16, &IdentTopic)> {
        (0..).zip(&self.all)
    }

    /// Those of the node's own shards.
    fn own(&self) -> Vec<IdentTopic> {
        let own = self.all().filter(|(shard, _)| self.own.contains(*shard));
        own.map(|(_, topic)| topic.clone()).collect()
    }
}

/// Gossipsub, subscribed to a node's own topics. Of peers it remembers which of the market's topics they
/// subscribe to: one that shares none has at least said so.
pub(crate) fn behaviour(topics: &Topics, registry: &mut Registry) -> Result<Gossip, NetError> {
    let known = topics.all.iter().map(IdentTopic::hash).collect();
    let topics = &topics.own()[..];
    let filter = MaxCountSubscriptionFilter {
        filter: WhitelistSubscriptionFilter(known),
        max_subscribed_topics: SHARDS_MAX.into(),
        max_subscriptions_per_request: SHARDS_MAX.into(),
    };
    let config_error = |error: String| NetError::Config(error);
    let mut gossip = Gossip::new_with_subscription_filter(
        MessageAuthenticity::Anonymous,
        config(topics)?,
        filter,
    )
    .map_err(|error| config_error(error.to_owned()))?
    .with_metrics(registry, MetricsConfig::default());
    gossip
        .with_peer_score(scoring::parameters(topics), scoring::thresholds())
        .map_err(config_error)?;
    for topic in topics {
        gossip
            .subscribe(topic)
            .map_err(|error| config_error(error.to_string()))?;
    }
    Ok(gossip)
}
