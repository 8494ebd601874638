//! The task that owns the swarm: commands in, events out.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use libp2p::core::ConnectedPoint;
use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, dcutr, identify, kad, relay};
use libp2p_gossipsub::{self as gossipsub, PublishError, TopicHash};
use outcry_protocol::shard::ShardSet;
use rand::seq::IteratorRandom;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::behaviour::{Behaviour, BehaviourEvent};
use crate::gossip::Topics;
use crate::metrics::Metrics;
use crate::scoring::{BAN_THRESHOLD, blame};
use crate::{
    IncomingOrder, MessageId, NetError, NetworkConfig, NetworkEvent, NetworkLimits, PeerInfo,
    PeerKey, Reachability, Verdict,
};

/// How often the task looks after what has no event of its own.
const TICK: Duration = Duration::from_secs(1);
/// A bootstrap node that is not connected is dialled again after this.
const BOOTSTRAP_EVERY: Duration = Duration::from_secs(5);
/// With fewer peers than this, the table is asked for more.
const PEERS_WANTED: usize = 8;
const LOOKUP_EVERY: Duration = Duration::from_secs(30);
/// Lookups for one peer before it counts as unreachable.
const LOOKUPS_MAX: u32 = 3;
/// The second book sync with a peer comes this long after it joined: by then both have introduced
/// themselves.
const SYNC_AFTER_JOIN: Duration = Duration::from_secs(3);
/// A peer that gossips but has not said what it subscribes to after this holds a connection to our
/// former life (or we to its), and is dialled anew.
const DEAF_AFTER: Duration = Duration::from_secs(5);
/// So often, each time after a pause of twice the length: it may just be of another market.
const REJOINS_MAX: u32 = 6;
/// With fewer peers in a shard of its own than this, a node looks for more: what a mesh needs.
const SHARD_PEERS_WANTED: usize = 3;
/// Peers with which books are compared at once, now and then. One suffices where all take part in all.
const SYNCS_PER_ROUND: usize = 3;
/// Between a deliberate disconnection and the new dial, so that both sides have seen the first.
const REJOIN_PAUSE: Duration = Duration::from_secs(1);
/// Peers searched for at once, and callers waiting for one of them.
const CONNECTING_MAX: usize = 256;
const WAITERS_MAX: usize = 256;
/// A message without verdict for this long is forgotten (gossipsub did so before).
const VERDICT_WITHIN: Duration = Duration::from_secs(30);
const BANNED_FOR: Duration = Duration::from_secs(600);
const BANNED_MAX: usize = 1024;
/// What is remembered of peers that left.
const STANDINGS_MAX: usize = 4096;
/// Addresses taken over from one peer's introduction.
const ADDRESSES_PER_PEER_MAX: usize = 16;
const AGENT_CHARS_MAX: usize = 64;
/// Relays asked for a reservation at once.
const RELAYS_MAX: usize = 2;

pub(crate) enum Command {
    Publish {
        shard: u16,
        message: Bytes,
        reply: oneshot::Sender<Result<MessageId, NetError>>,
    },
    Report {
        id: MessageId,
        verdict: Verdict,
        reply: oneshot::Sender<bool>,
    },
    Peers {
        reply: oneshot::Sender<Vec<PeerInfo>>,
    },
    Connect {
        peer: PeerId,
        reply: oneshot::Sender<Result<(), String>>,
    },
    Blame {
        peer: PeerId,
        points: f64,
    },
}

pub(crate) struct Driver {
    swarm: Swarm<Behaviour>,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<NetworkEvent>,
    addresses: watch::Sender<Vec<Multiaddr>>,
    stopped: CancellationToken,
    metrics: Arc<Metrics>,
    limits: NetworkLimits,
    reachability: Reachability,
    kad_protocols: Vec<libp2p::StreamProtocol>,
    /// Shards that this node takes part in.
    shards: ShardSet,
    /// The shard of each of the market's topics, and the other way round.
    topics: HashMap<TopicHash, u16>,
    names: Vec<TopicHash>,
    bootstrap: Vec<(PeerId, Multiaddr)>,
    peers: HashMap<PeerId, Peer>,
    standings: HashMap<PeerId, Standing>,
    pending: Pending,
    connecting: HashMap<PeerId, Connecting>,
    lookups: HashMap<kad::QueryId, PeerId>,
    relays: HashMap<ListenerId, PeerId>,
    banned: VecDeque<(Instant, PeerId)>,
    /// Peers that were disconnected only to be dialled again.
    rejoining: HashMap<PeerId, (Instant, Vec<Multiaddr>)>,
    syncs_due: VecDeque<(Instant, PeerId)>,
    synced_at: Instant,
    /// The own shards; the one whose orders were compared longest ago comes first.
    sync_turns: VecDeque<u16>,
    bootstrapped_at: Option<Instant>,
    looked_up_at: Option<Instant>,
}

/// A connected peer.
struct Peer {
    connections: HashMap<ConnectionId, ConnectedPoint>,
    agent: String,
    /// Shards of the market that it takes part in.
    shards: ShardSet,
    /// Where it can be dialled, and since when it is known to gossip.
    addresses: Vec<Multiaddr>,
    gossips_since: Option<Instant>,
}

/// What is remembered of a peer's conduct, also for a while after it left.
struct Standing {
    allowance: Allowance,
    blame: f64,
    /// How often it was dialled anew because it seemed deaf.
    rejoins: u32,
}

/// Orders a peer may send: a token bucket.
struct Allowance {
    orders: f64,
    refilled: Instant,
}

impl Allowance {
    fn full(limits: &NetworkLimits, now: Instant) -> Self {
        Self {
            orders: f64::from(limits.orders_per_peer_burst),
            refilled: now,
        }
    }

    fn take(&mut self, limits: &NetworkLimits, now: Instant) -> bool {
        let passed = now.duration_since(self.refilled).as_secs_f64();
        self.refilled = now;
        self.orders = (self.orders + passed * f64::from(limits.orders_per_peer_per_s))
            .min(f64::from(limits.orders_per_peer_burst));
        if self.orders < 1.0 {
            return false;
        }
        self.orders -= 1.0;
        true
    }
}

/// Orders that wait for a verdict.
#[derive(Default)]
struct Pending {
    sources: HashMap<MessageId, PeerId>,
    queue: VecDeque<(Instant, MessageId)>,
}

/// A peer that somebody wants to be connected to.
struct Connecting {
    waiters: Vec<oneshot::Sender<Result<(), String>>>,
    deadline: Instant,
    lookups: u32,
    /// Whether a dial or lookup is under way; otherwise the next tick tries again.
    busy: bool,
    reason: String,
}

impl Driver {
    #[allow(clippy::too_many_arguments)] // One caller, which makes them all.
    pub(crate) fn new(
        swarm: Swarm<Behaviour>,
        config: &NetworkConfig,
        topics: &Topics,
        bootstrap: Vec<(PeerId, Multiaddr)>,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<NetworkEvent>,
        addresses: watch::Sender<Vec<Multiaddr>>,
        stopped: CancellationToken,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            kad_protocols: swarm.behaviour().kad.protocol_names().to_vec(),
            swarm,
            commands,
            events,
            addresses,
            stopped,
            metrics,
            limits: config.limits.clone(),
            reachability: config.reachability,
            shards: config.shards,
            topics: topics
                .all()
                .map(|(shard, topic)| (topic.hash(), shard))
                .collect(),
            names: topics.all().map(|(_, topic)| topic.hash()).collect(),
            bootstrap,
            peers: HashMap::new(),
            standings: HashMap::new(),
            pending: Pending::default(),
            connecting: HashMap::new(),
            lookups: HashMap::new(),
            relays: HashMap::new(),
            banned: VecDeque::new(),
            rejoining: HashMap::new(),
            syncs_due: VecDeque::new(),
            synced_at: Instant::now(),
            sync_turns: config.shards.iter().collect(),
            bootstrapped_at: None,
            looked_up_at: None,
        }
    }

    pub(crate) fn streams(&self) -> libp2p_stream::Control {
        self.swarm.behaviour().streams.new_control()
    }

    /// Opens the listening sockets and waits until each has its address.
    pub(crate) async fn listen(
        &mut self,
        listen: &[Multiaddr],
        external: &[Multiaddr],
    ) -> Result<(), NetError> {
        let failed = |address: &Multiaddr, reason: String| NetError::Listen {
            address: address.to_string(),
            reason,
        };
        let mut opening = HashMap::new();
        for address in listen {
            let listener = self
                .swarm
                .listen_on(address.clone())
                .map_err(|error| failed(address, error.to_string()))?;
            opening.insert(listener, address);
        }
        for address in external {
            self.swarm.add_external_address(address.clone());
        }
        while !opening.is_empty() {
            let event = self.swarm.select_next_some().await;
            match &event {
                SwarmEvent::NewListenAddr { listener_id, .. } => {
                    opening.remove(listener_id);
                }
                SwarmEvent::ListenerClosed {
                    listener_id,
                    reason,
                    ..
                } => {
                    if let Some(address) = opening.get(listener_id) {
                        let reason = match reason {
                            Ok(()) => "closed".to_owned(),
                            Err(error) => error.to_string(),
                        };
                        return Err(failed(address, reason));
                    }
                }
                _ => {}
            }
            self.on_event(event);
        }
        Ok(())
    }

    /// Runs until told to stop.
    pub(crate) async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stopped.cancelled() => return,
                event = self.swarm.select_next_some() => self.on_event(event),
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => return,
                },
                _ = tick.tick() => self.on_tick(),
            }
        }
    }

    fn emit(&self, event: NetworkEvent) -> bool {
        self.events.try_send(event).is_ok()
    }

    // Commands.

    fn on_command(&mut self, command: Command) {
        // Whoever gave a command may have given up waiting: a failed reply is no error.
        match command {
            Command::Publish {
                shard,
                message,
                reply,
            } => {
                let _ = reply.send(self.publish(shard, &message));
            }
            Command::Report { id, verdict, reply } => {
                let _ = reply.send(self.report(id, verdict));
            }
            Command::Peers { reply } => {
                let _ = reply.send(self.peer_infos());
            }
            Command::Connect { peer, reply } => self.connect(peer, reply),
            Command::Blame { peer, points } => self.blame(peer, points),
        }
    }

    fn publish(&mut self, shard: u16, message: &[u8]) -> Result<MessageId, NetError> {
        let topic = self
            .names
            .get(usize::from(shard))
            .filter(|_| self.shards.contains(shard))
            .ok_or(NetError::UnknownShard(shard))?;
        let published = self
            .swarm
            .behaviour_mut()
            .gossip
            .publish(topic.clone(), message);
        match published {
            Ok(_) => self.metrics.order("published"),
            Err(PublishError::Duplicate) => {}
            Err(PublishError::NoPeersSubscribedToTopic) => return Err(NetError::NoPeers),
            Err(PublishError::AllQueuesFull(_)) => return Err(NetError::Overloaded),
            Err(error) => return Err(NetError::Config(error.to_string())),
        }
        Ok(MessageId::of(topic, message))
    }

    fn report(&mut self, id: MessageId, verdict: Verdict) -> bool {
        let Some(source) = self.pending.sources.remove(&id) else {
            return false;
        };
        self.metrics.order(verdict.outcome());
        self.swarm
            .behaviour_mut()
            .gossip
            .report_message_validation_result(&id.on_wire(), &source, verdict.acceptance())
    }

    fn peer_infos(&self) -> Vec<PeerInfo> {
        self.peers
            .iter()
            .filter_map(|(id, peer)| {
                let endpoint = peer.connections.values().next()?;
                Some(PeerInfo {
                    key: PeerKey::from_peer_id(id)?,
                    address: endpoint.get_remote_address().clone(),
                    score: self.swarm.behaviour().gossip.peer_score(id).unwrap_or(0.0),
                    subscribed: self.shares(peer),
                    shards: peer.shards,
                    agent: peer.agent.clone(),
                })
            })
            .collect()
    }

    // Connections by key.

    fn connect(&mut self, peer: PeerId, reply: oneshot::Sender<Result<(), String>>) {
        let refuse = |reply: oneshot::Sender<_>, reason: &str| {
            let _ = reply.send(Err(reason.to_owned()));
        };
        if peer == *self.swarm.local_peer_id() {
            return refuse(reply, "it is this node itself");
        }
        if self.peers.contains_key(&peer) {
            let _ = reply.send(Ok(()));
            return;
        }
        if let Some(connecting) = self.connecting.get_mut(&peer) {
            if connecting.waiters.len() >= WAITERS_MAX {
                return refuse(reply, "too many wait for it");
            }
            connecting.waiters.push(reply);
            return;
        }
        if self.connecting.len() >= CONNECTING_MAX {
            return refuse(reply, "too many peers are searched for");
        }
        self.connecting.insert(
            peer,
            Connecting {
                waiters: vec![reply],
                deadline: Instant::now() + self.limits.connect_timeout,
                lookups: 0,
                busy: true,
                reason: "not found".to_owned(),
            },
        );
        // First where it is known to be, then where the table says.
        if !self.dial(peer, Vec::new()) {
            self.look_up(peer);
        }
    }

    /// Dials a peer; false if no address is known.
    fn dial(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) -> bool {
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(addresses)
            .extend_addresses_through_behaviour()
            .build();
        match self.swarm.dial(options) {
            // Somebody dials it already: an event will tell.
            Ok(()) | Err(DialError::DialPeerConditionFalse(_)) => true,
            Err(_) => false,
        }
    }

    fn look_up(&mut self, peer: PeerId) {
        let alone = self.peers.is_empty();
        let Some(connecting) = self.connecting.get_mut(&peer) else {
            return;
        };
        if alone {
            // There is nobody to ask yet: wait for a bootstrap node.
            connecting.busy = false;
            connecting.reason = "not connected to the network".to_owned();
            return;
        }
        connecting.lookups += 1;
        connecting.busy = true;
        let query = self.swarm.behaviour_mut().kad.get_closest_peers(peer);
        self.lookups.insert(query, peer);
    }

    fn on_looked_up(&mut self, peer: PeerId, found: Vec<kad::PeerInfo>) {
        if self.peers.contains_key(&peer) {
            return;
        }
        let addresses: Vec<_> = found
            .into_iter()
            .filter(|found| found.peer_id == peer)
            .flat_map(|found| found.addrs)
            .take(ADDRESSES_PER_PEER_MAX)
            .collect();
        if self.connecting.contains_key(&peer)
            && (addresses.is_empty() || !self.dial(peer, addresses))
        {
            self.on_unreachable(peer, "not found");
        }
    }

    /// A dial or lookup failed: look the peer up, wait for the next tick, or give up.
    fn on_unreachable(&mut self, peer: PeerId, reason: &str) {
        let Some(connecting) = self.connecting.get_mut(&peer) else {
            return;
        };
        connecting.busy = false;
        connecting.reason = reason.to_owned();
        if connecting.lookups == 0 {
            self.look_up(peer);
        } else if connecting.lookups >= LOOKUPS_MAX {
            self.give_up(peer);
        }
    }

    fn give_up(&mut self, peer: PeerId) {
        if let Some(connecting) = self.connecting.remove(&peer) {
            for waiter in connecting.waiters {
                let _ = waiter.send(Err(connecting.reason.clone()));
            }
        }
    }

    // Conduct.

    fn standing(&mut self, peer: PeerId) -> &mut Standing {
        if self.standings.len() >= STANDINGS_MAX && !self.standings.contains_key(&peer) {
            let connected = &self.peers;
            self.standings
                .retain(|peer, _| connected.contains_key(peer));
        }
        let limits = &self.limits;
        self.standings.entry(peer).or_insert_with(|| Standing {
            allowance: Allowance::full(limits, Instant::now()),
            blame: 0.0,
            rejoins: 0,
        })
    }

    fn blame(&mut self, peer: PeerId, points: f64) {
        let standing = self.standing(peer);
        standing.blame = (standing.blame + points).min(blame::MAX);
        let score = -standing.blame;
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        gossip.set_application_score(&peer, score);
        // At once: gossipsub no longer listens to it, so waiting would only let it recover.
        if gossip
            .peer_score(&peer)
            .is_some_and(|score| score < BAN_THRESHOLD)
        {
            self.ban(peer);
        }
    }

    /// Cuts off peers whose score is beyond repair, and lets those back whose time has come.
    fn ban_the_worst(&mut self, now: Instant) {
        let gossip = &self.swarm.behaviour().gossip;
        let worst: Vec<_> = self
            .peers
            .keys()
            .filter(|peer| {
                gossip
                    .peer_score(peer)
                    .is_some_and(|score| score < BAN_THRESHOLD)
            })
            .copied()
            .collect();
        for peer in worst {
            self.ban(peer);
        }
        while self.banned.front().is_some_and(|(until, _)| *until <= now) {
            self.pardon_first();
        }
    }

    fn ban(&mut self, peer: PeerId) {
        if self.banned.iter().any(|(_, banned)| *banned == peer) {
            return;
        }
        tracing::info!(%peer, "peer banned for its score");
        self.metrics.peers_banned.inc();
        if self.banned.len() >= BANNED_MAX {
            self.pardon_first();
        }
        self.banned.push_back((Instant::now() + BANNED_FOR, peer));
        self.swarm.behaviour_mut().set_blocked(peer, true);
    }

    fn pardon_first(&mut self) {
        if let Some((_, peer)) = self.banned.pop_front() {
            self.swarm.behaviour_mut().set_blocked(peer, false);
        }
    }

    // Restarts.

    /// Disconnects a peer in order to meet it again as if for the first time.
    fn rejoin(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        tracing::debug!(%peer, "meeting a peer anew");
        let again = Instant::now() + REJOIN_PAUSE;
        self.rejoining.insert(peer, (again, addresses));
        // Fails only if it is gone already, which is what was wanted.
        let _ = self.swarm.disconnect_peer_id(peer);
    }

    fn meet_again(&mut self, now: Instant) {
        let due: Vec<_> = self
            .rejoining
            .extract_if(|_, (again, _)| *again <= now)
            .collect();
        for (peer, (_, addresses)) in due {
            self.dial(peer, addresses);
        }
        let deaf: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.shards.is_empty())
            .filter_map(|(id, peer)| {
                let waited = now.duration_since(peer.gossips_since?);
                let rejoins = self
                    .standings
                    .get(id)
                    .map_or(0, |standing| standing.rejoins);
                let patience = DEAF_AFTER * 2_u32.pow(rejoins);
                (rejoins < REJOINS_MAX && waited >= patience).then(|| (*id, peer.addresses.clone()))
            })
            .collect();
        for (peer, addresses) in deaf {
            self.standing(peer).rejoins += 1;
            self.rejoin(peer, addresses);
        }
    }

    // Time.

    fn on_tick(&mut self) {
        let now = Instant::now();
        self.forget_unjudged(now);
        self.ban_the_worst(now);
        self.announce_syncs(now);
        self.meet_again(now);

        let gossip = &mut self.swarm.behaviour_mut().gossip;
        for (peer, standing) in &mut self.standings {
            if standing.blame > 0.0 {
                standing.blame *= blame::DECAY_PER_S;
                if standing.blame < 0.1 {
                    standing.blame = 0.0;
                }
                gossip.set_application_score(peer, -standing.blame);
            }
        }

        let overdue: Vec<_> = self
            .connecting
            .iter()
            .filter(|(_, connecting)| connecting.deadline <= now)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in overdue {
            self.give_up(peer);
        }
        let waiting: Vec<_> = self
            .connecting
            .iter()
            .filter(|(_, connecting)| !connecting.busy)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in waiting {
            self.look_up(peer);
        }

        let due = |last: Option<Instant>, every| last.is_none_or(|last| now - last >= every);
        if due(self.bootstrapped_at, BOOTSTRAP_EVERY) {
            self.bootstrapped_at = Some(now);
            for (peer, address) in self.bootstrap.clone() {
                if !self.peers.contains_key(&peer) {
                    self.dial(peer, vec![address]);
                }
            }
        }
        let peers_by_shard = self.peers_by_shard();
        let is_lonely = |(_, peers): &(u16, usize)| *peers < SHARD_PEERS_WANTED;
        let is_short_of_peers =
            self.peers.len() < PEERS_WANTED || peers_by_shard.iter().any(is_lonely);
        self.metrics.shard_peers(&peers_by_shard);
        if is_short_of_peers && !self.peers.is_empty() && due(self.looked_up_at, LOOKUP_EVERY) {
            self.looked_up_at = Some(now);
            // Fails only if the table is empty; the next peer's introduction fills it.
            let _ = self.swarm.behaviour_mut().kad.bootstrap();
        }
    }

    /// Tells the node with whom to compare books now.
    fn announce_syncs(&mut self, now: Instant) {
        let mut due = Vec::new();
        while let Some((_, peer)) = self.syncs_due.pop_front_if(|(at, _)| *at <= now) {
            due.push(peer);
        }
        if now - self.synced_at >= self.limits.book_sync_every {
            self.synced_at = now;
            due.extend(self.next_syncs());
        }
        for peer in due {
            if self.peers.get(&peer).is_some_and(|peer| self.shares(peer))
                && let Some(key) = PeerKey::from_peer_id(&peer)
                && !self.emit(NetworkEvent::BookSyncDue(key))
            {
                self.metrics.events_dropped.inc();
            }
        }
    }

    /// Whom to compare books with now: a random peer of the shard whose turn it is, and if that does not
    /// take part in all that this node does, one or two more for the next shards in turn.
    fn next_syncs(&mut self) -> Vec<PeerId> {
        let mut chosen = Vec::new();
        let mut left = self.shards;
        for shard in self.sync_turns.clone() {
            if chosen.len() == SYNCS_PER_ROUND {
                break;
            }
            let of_shard = |(_, peer): &(&PeerId, &Peer)| peer.shards.contains(shard);
            let peers = self.peers.iter().filter(of_shard);
            if left.contains(shard)
                && let Some((id, peer)) = peers.choose(&mut rand::rng())
            {
                left = left.without(peer.shards);
                chosen.push(*id);
            }
        }
        // Those that were chosen for come last; the others keep their order.
        self.sync_turns
            .make_contiguous()
            .sort_by_key(|shard| !left.contains(*shard));
        chosen
    }

    /// Whether a peer takes part in a shard of ours.
    fn shares(&self, peer: &Peer) -> bool {
        !peer.shards.and(self.shards).is_empty()
    }

    /// How many peers take part in each of the own shards.
    fn peers_by_shard(&self) -> Vec<(u16, usize)> {
        let count = |shard| {
            let peers = self.peers.values();
            peers.filter(|peer| peer.shards.contains(shard)).count()
        };
        self.shards
            .iter()
            .map(|shard| (shard, count(shard)))
            .collect()
    }

    fn forget_unjudged(&mut self, now: Instant) {
        while let Some((since, id)) = self.pending.queue.front().copied() {
            let judged = !self.pending.sources.contains_key(&id);
            if !judged && now - since < VERDICT_WITHIN {
                return;
            }
            self.pending.queue.pop_front();
            if self.pending.sources.remove(&id).is_some() {
                self.metrics.order("expired");
            }
        }
    }

    // Events.

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(event)) => self.on_gossip(event),
            SwarmEvent::Behaviour(BehaviourEvent::Kad(kad::Event::OutboundQueryProgressed {
                id,
                result: kad::QueryResult::GetClosestPeers(result),
                step,
                ..
            })) => {
                let found = match result {
                    Ok(found) => found.peers,
                    Err(kad::GetClosestPeersError::Timeout { peers, .. }) => peers,
                };
                if step.last
                    && let Some(peer) = self.lookups.remove(&id)
                {
                    self.on_looked_up(peer, found);
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                connection_id,
                info,
            })) => self.on_introduced(peer_id, connection_id, info),
            SwarmEvent::Behaviour(BehaviourEvent::RelayClient(
                relay::client::Event::ReservationReqAccepted { relay_peer_id, .. },
            )) => tracing::info!(relay = %relay_peer_id, "reachable through a relay"),
            SwarmEvent::Behaviour(BehaviourEvent::HolePunching(dcutr::Event {
                remote_peer_id,
                result: Ok(_),
            })) => self.leave_relay(remote_peer_id),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => self.on_connected(peer_id, connection_id, endpoint),
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                ..
            } => self.on_disconnected(peer_id, connection_id),
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(peer),
                error,
                ..
            } => self.on_unreachable(peer, &error.to_string()),
            SwarmEvent::NewListenAddr { address, .. } => {
                if self.reachability == Reachability::Public && !is_relayed(&address) {
                    self.swarm.add_external_address(address);
                }
                self.update_addresses();
            }
            SwarmEvent::ExternalAddrConfirmed { address } => {
                tracing::info!(%address, "reachable");
                self.update_addresses();
                // The address makes this node a server of the table: tell the peers.
                let peers: Vec<_> = self.peers.keys().copied().collect();
                self.swarm.behaviour_mut().identify.push(peers);
            }
            SwarmEvent::ExpiredListenAddr { address, .. }
            | SwarmEvent::ExternalAddrExpired { address } => {
                self.swarm.remove_external_address(&address);
                self.update_addresses();
            }
            SwarmEvent::ListenerClosed {
                listener_id,
                reason,
                ..
            } => {
                if self.relays.remove(&listener_id).is_none() {
                    tracing::warn!(?reason, "a listening socket closed");
                }
                self.update_addresses();
            }
            _ => {}
        }
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            } => self.on_message(propagation_source, message_id, message),
            gossipsub::Event::Subscribed { peer_id, topic } => {
                let shard = self.topics.get(&topic).copied();
                if let (Some(shard), Some(peer)) = (shard, self.peers.get_mut(&peer_id)) {
                    let before = peer.shards;
                    peer.shards.insert(shard);
                    if before.is_empty()
                        && let Some(standing) = self.standings.get_mut(&peer_id)
                    {
                        standing.rejoins = 0;
                    }
                    if before.and(self.shards).is_empty() && self.shards.contains(shard) {
                        self.on_joined(peer_id);
                    }
                }
            }
            gossipsub::Event::Unsubscribed { peer_id, topic } => {
                let shard = self.topics.get(&topic).copied();
                if let (Some(shard), Some(peer)) = (shard, self.peers.get_mut(&peer_id)) {
                    peer.shards.remove(shard);
                }
            }
            _ => {}
        }
    }

    /// A peer takes part in a shard of ours, the first one.
    fn on_joined(&mut self, peer: PeerId) {
        if self.syncs_due.len() < self.limits.connections_max as usize {
            let due = Instant::now() + SYNC_AFTER_JOIN;
            self.syncs_due.push_back((due, peer));
        }
        if let Some(key) = PeerKey::from_peer_id(&peer)
            && !self.emit(NetworkEvent::PeerJoined(key))
        {
            self.metrics.events_dropped.inc();
        }
    }

    fn on_message(
        &mut self,
        source: PeerId,
        message_id: gossipsub::MessageId,
        message: gossipsub::Message,
    ) {
        let Some(shard) = self.topics.get(&message.topic).copied() else {
            return;
        };
        let now = Instant::now();
        let limits = self.limits.clone();
        let refused = if !self.standing(source).allowance.take(&limits, now) {
            self.blame(source, blame::FLOOD);
            Some("limited")
        } else if self.pending.sources.len() >= limits.orders_pending_max {
            Some("dropped")
        } else {
            let id = MessageId::of(&message.topic, &message.data);
            let order = PeerKey::from_peer_id(&source).map(|from| IncomingOrder {
                id,
                from,
                shard,
                bytes: message.data.into(),
            });
            if order.is_some_and(|order| self.emit(NetworkEvent::Order(order))) {
                self.pending.sources.insert(id, source);
                self.pending.queue.push_back((now, id));
                None
            } else {
                Some("dropped")
            }
        };
        if let Some(outcome) = refused {
            self.metrics.order(outcome);
            self.swarm
                .behaviour_mut()
                .gossip
                .report_message_validation_result(
                    &message_id,
                    &source,
                    Verdict::Ignore.acceptance(),
                );
        }
    }

    fn on_connected(&mut self, peer: PeerId, connection: ConnectionId, endpoint: ConnectedPoint) {
        self.metrics.connections.inc();
        let entry = self.peers.entry(peer).or_insert_with(|| {
            self.metrics.peers.inc();
            Peer {
                connections: HashMap::new(),
                agent: String::new(),
                shards: ShardSet::EMPTY,
                addresses: Vec::new(),
                gossips_since: None,
            }
        });
        entry.connections.insert(connection, endpoint);
        if let Some(connecting) = self.connecting.remove(&peer) {
            for waiter in connecting.waiters {
                let _ = waiter.send(Ok(()));
            }
        }
        if let Some(standing) = self.standings.get(&peer) {
            let score = -standing.blame;
            self.swarm
                .behaviour_mut()
                .gossip
                .set_application_score(&peer, score);
        }
    }

    fn on_disconnected(&mut self, peer: PeerId, connection: ConnectionId) {
        self.metrics.connections.dec();
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        entry.connections.remove(&connection);
        if entry.connections.is_empty() {
            self.peers.remove(&peer);
            self.metrics.peers.dec();
            if let Some(key) = PeerKey::from_peer_id(&peer)
                && !self.emit(NetworkEvent::PeerLeft(key))
            {
                self.metrics.events_dropped.inc();
            }
        }
    }

    /// A peer told who it is and where it listens.
    fn on_introduced(&mut self, peer: PeerId, connection: ConnectionId, info: identify::Info) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let agent: String = info
            .agent_version
            .chars()
            .filter(|c| !c.is_control())
            .take(AGENT_CHARS_MAX)
            .collect();
        let restarted = !entry.agent.is_empty() && entry.agent != agent;
        entry.agent = agent;
        let from_this_host = entry
            .connections
            .get(&connection)
            .is_some_and(|endpoint| is_loopback(endpoint.get_remote_address()));
        let addresses: Vec<_> = info
            .listen_addrs
            .into_iter()
            .filter(|address| from_this_host || !is_loopback(address))
            .take(ADDRESSES_PER_PEER_MAX)
            .collect();
        if restarted {
            // It was killed, and the connections to its former life are not closed yet. Gossipsub
            // introduces itself once per peer, not per connection, so the new life would never
            // learn what we subscribe to: begin anew.
            self.rejoin(peer, addresses);
            return;
        }
        entry.addresses.clone_from(&addresses);
        if entry.gossips_since.is_none() && info.protocols.iter().any(is_gossip) {
            entry.gossips_since = Some(Instant::now());
        }
        if info
            .protocols
            .iter()
            .any(|protocol| self.kad_protocols.contains(protocol))
        {
            for address in &addresses {
                self.swarm
                    .behaviour_mut()
                    .kad
                    .add_address(&peer, address.clone());
            }
        }
        if info.protocols.contains(&relay::HOP_PROTOCOL_NAME) {
            self.ask_for_reservation(peer, addresses);
        }
    }

    /// Listens through a relay while no direct address is known to be reachable.
    fn ask_for_reservation(&mut self, relay: PeerId, addresses: Vec<Multiaddr>) {
        let reachable = self
            .swarm
            .external_addresses()
            .any(|address| !is_relayed(address));
        if self.reachability == Reachability::Public
            || reachable
            || self.relays.len() >= RELAYS_MAX
            || self.relays.values().any(|known| *known == relay)
        {
            return;
        }
        let Some(address) = addresses.into_iter().find(|address| !is_relayed(address)) else {
            return;
        };
        let address = with_peer(address, relay).with(Protocol::P2pCircuit);
        match self.swarm.listen_on(address) {
            Ok(listener) => {
                self.relays.insert(listener, relay);
            }
            Err(error) => tracing::debug!(%relay, %error, "no reservation"),
        }
    }

    /// A hole was punched: the relay carries little, so the direct connection takes over.
    fn leave_relay(&mut self, peer: PeerId) {
        let Some(entry) = self.peers.get(&peer) else {
            return;
        };
        if entry.connections.values().all(ConnectedPoint::is_relayed) {
            return;
        }
        for (connection, endpoint) in &entry.connections {
            if endpoint.is_relayed() {
                self.swarm.close_connection(*connection);
            }
        }
    }

    fn update_addresses(&mut self) {
        let local = *self.swarm.local_peer_id();
        let mut addresses: Vec<_> = self
            .swarm
            .external_addresses()
            .chain(self.swarm.listeners())
            .map(|address| with_peer(address.clone(), local))
            .collect();
        let mut seen = std::collections::HashSet::new();
        addresses.retain(|address| seen.insert(address.clone()));
        self.addresses.send_replace(addresses);
    }
}

/// The address with `/p2p/PEER` at its end.
fn with_peer(address: Multiaddr, peer: PeerId) -> Multiaddr {
    address.clone().with_p2p(peer).unwrap_or(address)
}

fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

fn is_gossip(protocol: &libp2p::StreamProtocol) -> bool {
    protocol.as_ref().starts_with("/meshsub/")
}

fn is_loopback(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_peer_gets_its_burst_and_its_rate_and_no_more(
            rate in 1..100_u32,
            burst in 1..100_u32,
            pauses_ms in proptest::collection::vec(0..50_u64, 1..500),
        ) {
            let limits = NetworkLimits {
                orders_per_peer_per_s: rate,
                orders_per_peer_burst: burst,
                ..NetworkLimits::default()
            };
            let start = Instant::now();
            let mut now = start;
            let mut allowance = Allowance::full(&limits, now);
            let mut taken = 0_u32;
            for pause in pauses_ms {
                now += Duration::from_millis(pause);
                taken += u32::from(allowance.take(&limits, now));
            }
            let passed = now.duration_since(start).as_secs_f64();
            prop_assert!(f64::from(taken) <= f64::from(burst) + passed * f64::from(rate) + 1e-6);
        }
    }
}
