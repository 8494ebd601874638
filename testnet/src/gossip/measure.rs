//! What is measured on the simulated network.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use alloy::primitives::B256;
use anyhow::{Context as _, bail, ensure};
use outcry_daemon::admission::Source;
use outcry_net::NetworkLimits;
use outcry_protocol::shard::{ShardSet, Sharding};
use outcry_protocol::types::Resources;
use outcry_protocol::wire::{Message, SignedBid};
use serde::Serialize;
use tokio::time::Instant;

use super::links::{Delays, Links};
use super::member::{Hearing, Member, settings};
use super::orders::{Buyer, StillChain};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(240);
/// Gossipsub's meshes are formed by heartbeats of a second, the first after five.
const SETTLING: Duration = Duration::from_secs(15);
/// Between two orders of one of the peers that offer one node more than it is to take in.
const OFFERED_EVERY: Duration = Duration::from_micros(2_600);
/// Nodes that a node is told to join by.
const KNOWN: usize = 4;
/// Bytes per node and second below which nodes count as having met.
const MEETING: f64 = 4_000.0;

/// A network of real nodes over links with delays.
#[derive(Debug)]
pub struct Crowd {
    /// Its links.
    pub links: Arc<Links>,
    /// Its nodes.
    pub members: Vec<Member>,
    buyers: Vec<Buyer>,
    next: usize,
}

/// How long orders took, in seconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Spread {
    /// Half took at most this.
    pub p50: f64,
    /// 99 in 100 took at most this.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Spread {
    /// Nearest ranks of some times; zero if there is none.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank in a list"
    )]
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let rank = (share * values.len() as f64).ceil().max(1.0) as usize;
            values.get(rank - 1).copied().unwrap_or_default()
        };
        Self {
            p50: at(0.5),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

/// How orders travelled through the network.
#[derive(Debug, Clone, Serialize)]
pub struct Propagation {
    /// Nodes.
    pub nodes: usize,
    /// Orders.
    pub orders: usize,
    /// Orders submitted a second, each to another node.
    pub orders_per_s: f64,
    /// Mean delay of a link, one way, in seconds.
    pub link_delay_s: f64,
    /// Share of all (order, node) pairs in which the order came within a second.
    pub within_a_second: f64,
    /// From the submission until the order is in a node's book, in seconds, over all pairs.
    pub time_s: Spread,
    /// From the submission until the last node has it, in seconds, over all orders.
    pub time_to_all_s: Spread,
    /// Length of an order's message in bytes.
    pub order_bytes: usize,
    /// Bytes on the links per node and order, encryption and control messages included, less what
    /// as many idle seconds cost, before and after on average.
    pub bytes_per_node_and_order: f64,
    /// The same as a multiple of the order's length.
    pub times_order_bytes: f64,
    /// Bytes on the links per node and second while there are no orders.
    pub idle_bytes_per_node_and_s: f64,
    /// Copies of an order that a node receives.
    pub copies_per_node: f64,
    /// Peers in a node's mesh, on average.
    pub mesh_peers: f64,
}

impl Crowd {
    /// Starts so many nodes of a market with one shard, each of which knows a few of those before it, and
    /// waits until all are connected.
    ///
    /// # Errors
    /// A node does not start.
    pub async fn start(nodes: usize, delays: Delays) -> anyhow::Result<Self> {
        Self::start_in(nodes, delays, Sharding::ONE, |_| Sharding::ONE.all()).await
    }

    /// The same in a market with some shards, of which each node takes part in those that it is given.
    ///
    /// # Errors
    /// A node does not start.
    pub async fn start_in(
        nodes: usize,
        delays: Delays,
        sharding: Sharding,
        shards_of: impl Fn(usize) -> ShardSet,
    ) -> anyhow::Result<Self> {
        let buyers: Vec<Buyer> = (0..nodes as u64)
            .map(Buyer::new)
            .collect::<Result<_, _>>()?;
        let chain = StillChain::funding(buyers.iter().map(Buyer::account));
        let chain = Arc::new(chain);
        let links = Links::new(nodes, delays);
        let mut members = Vec::new();
        for node in 0..nodes {
            let mut config = settings(&links, node, &known(delays.seed, node));
            (config.sharding, config.shards) = (sharding, shards_of(node));
            members.push(Member::start(&links, node, config, chain.clone()).await?);
        }
        let crowd = Self {
            links,
            members,
            buyers,
            next: 0,
        };
        for member in &crowd.members {
            let shares = |other: &&Member| !other.net.shards().and(member.net.shards()).is_empty();
            let others = crowd.members.iter().filter(shares).count() - 1;
            within(member.has_peers(KNOWN.min(others))).await??;
        }
        Ok(crowd)
    }

    /// Submits a new bid, for so many MiB of memory in a region or in any, at the next node in turn that
    /// takes part in its shard, and returns that.
    ///
    /// # Errors
    /// No node does, or it refuses the bid.
    pub async fn submit_for(&mut self, memory_mib: u32, region: Option<u8>) -> anyhow::Result<u16> {
        for _ in 0..self.members.len() {
            let node = self.next % self.members.len();
            self.next += 1;
            let bid = self.buyers[node].bid_for(memory_mib, region)?;
            let net = &self.members[node].net;
            let shard = net.sharding().of_bid(&bid.bid);
            if net.shards().contains(shard) {
                self.members[node].admission.submit(bid).await?;
                return Ok(shard);
            }
        }
        bail!("nobody takes part in the shard of the bid")
    }

    /// Submits a new bid at the next node in turn, or at the one that is named; returns its id and
    /// the length of its message.
    ///
    /// # Errors
    /// The node refuses it.
    pub async fn submit(&mut self, at: Option<usize>) -> anyhow::Result<(B256, usize)> {
        let node = at.unwrap_or(self.next % self.members.len());
        self.next = node + 1;
        let bid = self.buyers[node].bid()?;
        let length = Message::Bid(bid.clone()).encode()?.len();
        Ok((self.members[node].admission.submit(bid).await?, length))
    }

    /// Sends orders at a steady rate and watches them arrive.
    ///
    /// # Errors
    /// Some node does not get all of them.
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub async fn propagation(
        &mut self,
        orders: usize,
        orders_per_s: f64,
        link_delay_s: f64,
    ) -> anyhow::Result<Propagation> {
        let nodes = self.members.len();
        let idle_before = self.settle().await;
        let copies = |crowd: &Self| -> f64 {
            let metric = |member: &Member| {
                member.metric("gossip_topic_msg_recv_counts_unfiltered_total", "")
            };
            crowd.members.iter().map(metric).sum()
        };
        let copies_before = copies(self);

        let published = Arc::new(RwLock::new(Vec::<(B256, Instant)>::new()));
        let mut watching = Vec::new();
        for member in &self.members {
            let core = Arc::clone(&member.core);
            let published = Arc::clone(&published);
            watching.push(tokio::spawn(async move {
                let mut changed = core.changed();
                let mut waiting: Vec<usize> = (0..orders).collect();
                let mut times = vec![f64::NAN; orders];
                while !waiting.is_empty() && changed.changed().await.is_ok() {
                    let published = published.read().unwrap_or_else(PoisonError::into_inner);
                    core.read(|state| {
                        waiting.retain(|order| match published.get(*order) {
                            Some((id, at)) if state.book.bid(id).is_some() => {
                                times[*order] = at.elapsed().as_secs_f64();
                                false
                            }
                            _ => true,
                        });
                    });
                }
                times
            }));
        }
        let sent_before = self.links.bytes_sent();
        let started = Instant::now();
        let mut order_bytes = 0;
        let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / orders_per_s));
        for _ in 0..orders {
            pace.tick().await;
            let node = self.next % nodes;
            self.next += 1;
            let bid = self.buyers[node].bid()?;
            order_bytes = Message::Bid(bid.clone()).encode()?.len();
            let id = super::orders::domain().bid_hash(&bid.bid);
            published
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .push((id, Instant::now()));
            self.members[node].admission.submit(bid).await?;
        }
        let mut times = Vec::new();
        for watch in watching {
            times.push(within(watch).await.context("an order does not arrive")??);
        }
        // Three heartbeats after the last order nobody tells of it any more.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let (bytes, seconds) = (
            self.links.bytes_sent() - sent_before,
            started.elapsed().as_secs_f64(),
        );
        let idle_bytes_per_s = f64::midpoint(idle_before, self.idle_bytes_per_s().await);
        let bytes = bytes as f64 - idle_bytes_per_s * seconds;
        let pairs = (nodes * orders) as f64;
        let copies = copies(self) - copies_before;
        let mut mesh = 0.0;
        for member in &self.members {
            mesh += member.metric("gossip_mesh_peer_counts", "");
        }
        let all: Vec<f64> = times.concat();
        let to_all = (0..orders)
            .map(|order| times.iter().map(|times| times[order]).fold(0.0, f64::max))
            .collect();
        let bytes_per_node_and_order = bytes / pairs;
        Ok(Propagation {
            nodes,
            orders,
            orders_per_s,
            link_delay_s,
            within_a_second: all.iter().filter(|time| **time <= 1.0).count() as f64 / pairs,
            time_s: Spread::of(all),
            time_to_all_s: Spread::of(to_all),
            order_bytes,
            bytes_per_node_and_order,
            times_order_bytes: bytes_per_node_and_order / order_bytes as f64,
            idle_bytes_per_node_and_s: idle_bytes_per_s / nodes as f64,
            copies_per_node: copies / pairs,
            mesh_peers: mesh / nodes as f64,
        })
    }

    /// Waits until the nodes have met whom they want to meet and formed their meshes; returns the bytes
    /// that all of them send a second from then on, while there are no orders.
    #[allow(clippy::cast_precision_loss, reason = "bytes far below 2^52")]
    async fn settle(&self) -> f64 {
        tokio::time::sleep(SETTLING).await;
        let started = Instant::now();
        loop {
            let rate = self.idle_bytes_per_s().await;
            if rate < MEETING * self.members.len() as f64 || started.elapsed() > PATIENCE {
                return rate;
            }
        }
    }

    /// Bytes that all nodes send a second now.
    #[allow(clippy::cast_precision_loss, reason = "bytes far below 2^52")]
    async fn idle_bytes_per_s(&self) -> f64 {
        let (from, sent) = (Instant::now(), self.links.bytes_sent());
        tokio::time::sleep(SETTLING).await;
        (self.links.bytes_sent() - sent) as f64 / from.elapsed().as_secs_f64()
    }

    /// Waits until all books hold the same bids, so many.
    ///
    /// # Errors
    /// They do not within a few minutes.
    pub async fn agree(&self, bids: usize) -> anyhow::Result<()> {
        for member in &self.members {
            within(member.has_bids(bids))
                .await
                .with_context(|| format!("a book has {} bids instead of {bids}", member.bids()))?;
        }
        let first = self.members.first().map(Member::bid_ids);
        for member in &self.members {
            ensure!(Some(member.bid_ids()) == first, "two books differ");
        }
        Ok(())
    }

    /// Ends all nodes.
    pub async fn stop(self) {
        for member in self.members {
            member.stop().await;
        }
    }
}

/// A few nodes that were started before `node`, the same for the same seed: the last one, so that the
/// network is one, and others.
pub(super) fn known(seed: u64, node: usize) -> Vec<usize> {
    let mut known = std::collections::BTreeSet::new();
    if node > 0 {
        known.insert(node - 1);
    }
    for draw in 0..KNOWN {
        if node > 0 {
            let mut input = [0; 24];
            for (part, value) in input
                .chunks_exact_mut(8)
                .zip([seed, node as u64, draw as u64])
            {
                part.copy_from_slice(&value.to_be_bytes());
            }
            let drawn = blake3::hash(&input);
            let drawn = drawn
                .as_bytes()
                .first_chunk::<8>()
                .map_or(0, |bytes| u64::from_be_bytes(*bytes) % node as u64);
            known.insert(usize::try_from(drawn).unwrap_or_default());
        }
    }
    known.into_iter().collect()
}

async fn within<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .context("waited in vain")
}

/// Memory of the bids of [`sharded`], one size for each group of classes.
pub const SIZES_MIB: [u32; 4] = [64, 1024, 4096, 65_536];
/// Their regions.
pub const REGIONS: [Option<u8>; 4] = [None, Some(0), Some(1), Some(2)];

/// The shards of a small provider in the region with a number, modulo three: slots of 512 MiB.
#[must_use]
pub fn few_shards(sharding: Sharding, number: usize) -> ShardSet {
    let slot = Resources {
        memoryMib: 512,
        diskMib: 1024,
        gpuClass: 0,
        gpuCount: 0,
        egressMib: 64,
    };
    // Below three.
    sharding.served_by(&slot, (number % 3) as u8)
}

/// What it costs to take part in few shards, and in all.
#[derive(Debug, Clone, Serialize)]
pub struct Sharded {
    /// Nodes; every second one takes part in few shards.
    pub nodes: usize,
    /// Shards of the market.
    pub shards: u16,
    /// Shards of the nodes that take part in few: those of a provider of 512 MiB.
    pub few: usize,
    /// Orders submitted a second, as many of each of four sizes, for any region or one of three.
    pub orders_per_s: f64,
    /// Bytes sent and received per second by a node that takes part in few shards.
    pub few_bytes_per_s: f64,
    /// The same of a node that takes part in all.
    pub all_bytes_per_s: f64,
    /// The same in a market with one shard.
    pub one_bytes_per_s: f64,
}

/// Sends the same orders through a market with one shard and one with more.
///
/// # Errors
/// A node does not start, or refuses an order.
pub async fn sharded(
    nodes: usize,
    delays: Delays,
    sharding: Sharding,
    orders: usize,
    orders_per_s: f64,
) -> anyhow::Result<Sharded> {
    let one = Crowd::start(nodes, delays).await?;
    let [even, odd] = one.load(orders, orders_per_s).await?;
    let of_node = |node: usize| match node % 2 {
        0 => sharding.all(),
        _ => few_shards(sharding, node / 2),
    };
    let more = Crowd::start_in(nodes, delays, sharding, of_node).await?;
    let [all, few] = more.load(orders, orders_per_s).await?;
    Ok(Sharded {
        nodes,
        shards: sharding.shards(),
        few: few_shards(sharding, 0).len(),
        orders_per_s,
        few_bytes_per_s: few,
        all_bytes_per_s: all,
        one_bytes_per_s: f64::midpoint(even, odd),
    })
}

impl Crowd {
    /// Sends orders of all sizes and regions at a steady rate and ends. Bytes that a node sends and
    /// receives per second meanwhile, on average over those with an even and with an odd number.
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    async fn load(mut self, orders: usize, orders_per_s: f64) -> anyhow::Result<[f64; 2]> {
        self.settle().await;
        let bytes = |crowd: &Self, parity: usize| -> f64 {
            let nodes = (parity..crowd.members.len()).step_by(2);
            let all: Vec<u64> = nodes.map(|node| crowd.links.bytes_of(node)).collect();
            all.iter().sum::<u64>() as f64 / all.len() as f64
        };
        let before = [0, 1].map(|parity| bytes(&self, parity));
        let started = Instant::now();
        let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / orders_per_s));
        for order in 0..orders {
            pace.tick().await;
            let size = SIZES_MIB[order % SIZES_MIB.len()];
            let region = REGIONS[order / SIZES_MIB.len() % REGIONS.len()];
            self.submit_for(size, region).await?;
        }
        let seconds = started.elapsed().as_secs_f64();
        let rates = [0, 1].map(|parity| (bytes(&self, parity) - before[parity]) / seconds);
        self.stop().await;
        Ok(rates)
    }
}

/// How fast a node takes orders in.
#[derive(Debug, Clone, Serialize)]
pub struct Intake {
    /// Orders.
    pub orders: usize,
    /// Peers that send them.
    pub senders: usize,
    /// Orders that they send a second.
    pub offered_per_s: f64,
    /// Orders in the node's book per second, from the first one sent to the last one there.
    pub orders_per_s: f64,
}

/// Sends signed orders of many accounts to one node by gossip, as fast as it takes them.
///
/// # Errors
/// It does not get all of them.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub async fn intake(orders: usize, senders: usize) -> anyhow::Result<Intake> {
    let bids = signed(orders)?;
    let chain = Arc::new(StillChain::funding(bids.iter().map(|bid| bid.bid.buyer)));
    let links = Links::new(senders + 1, at_once());
    let node = Member::start(&links, 0, settings(&links, 0, &[]), chain.clone()).await?;
    let mut others = Vec::new();
    for sender in 1..=senders {
        let mut config = settings(&links, sender, &[0]);
        // They know only the node that is measured, and do not judge what it passes on.
        config.limits = NetworkLimits {
            connections_max: 1,
            ..NetworkLimits::default()
        };
        let sender = Member::start_hearing(Hearing::Deaf, &links, sender, config, chain.clone());
        others.push(sender.await?);
    }
    within(node.has_peers(senders)).await??;
    tokio::time::sleep(SETTLING).await;
    let started = Instant::now();
    let mut sending = Vec::new();
    let share = orders.div_ceil(senders);
    for (sender, bids) in others.iter().zip(bids.chunks(share)) {
        let net = sender.net.clone();
        let messages: Vec<_> = bids
            .iter()
            .map(|bid| Message::Bid(bid.clone()).encode())
            .collect::<Result<_, _>>()?;
        sending.push(tokio::spawn(async move {
            let mut pace = tokio::time::interval(OFFERED_EVERY);
            for message in messages {
                pace.tick().await;
                net.publish(0, message.into()).await?;
            }
            anyhow::Ok(())
        }));
    }
    for sender in sending {
        sender.await??;
    }
    within(node.has_bids(orders))
        .await
        .with_context(|| format!("{} of {orders} orders arrived", node.bids()))?;
    let elapsed = started.elapsed();
    for member in others.into_iter().chain([node]) {
        member.stop().await;
    }
    Ok(Intake {
        orders,
        senders,
        offered_per_s: senders as f64 / OFFERED_EVERY.as_secs_f64(),
        orders_per_s: orders as f64 / elapsed.as_secs_f64(),
    })
}

/// How a node that joins gets the book.
#[derive(Debug, Clone, Serialize)]
pub struct Joining {
    /// Orders in the others' books.
    pub orders: usize,
    /// From the start of its network until it has all of them, in seconds.
    pub complete_s: f64,
    /// Bytes on the links, both directions, per order.
    pub bytes_per_order: f64,
}

/// Lets a node join two others that have a full book; links without delay.
///
/// # Errors
/// It does not get all orders.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub async fn joining(orders: usize) -> anyhow::Result<Joining> {
    let bids = signed(orders)?;
    let chain = Arc::new(StillChain::funding(bids.iter().map(|bid| bid.bid.buyer)));
    let links = Links::new(3, at_once());
    let mut old = Vec::new();
    for node in 0..2 {
        let member =
            Member::start(&links, node, settings(&links, node, &[]), chain.clone()).await?;
        let messages = bids.iter().cloned().map(Message::Bid).collect();
        let outcomes = member.admission.take_in(messages, Source::Snapshot).await;
        ensure!(outcomes.iter().all(Result::is_ok), "an order is refused");
        old.push(member);
    }
    let sent_before = links.bytes_sent();
    let started = Instant::now();
    let joiner = Member::start(&links, 2, settings(&links, 2, &[0, 1]), chain).await?;
    within(joiner.has_bids(orders))
        .await
        .with_context(|| format!("{} of {orders} orders arrived", joiner.bids()))?;
    let complete_s = started.elapsed().as_secs_f64();
    let bytes = links.bytes_sent() - sent_before;
    for member in old.into_iter().chain([joiner]) {
        member.stop().await;
    }
    Ok(Joining {
        orders,
        complete_s,
        bytes_per_order: bytes as f64 / orders as f64,
    })
}

/// Links without delay.
#[must_use]
pub fn at_once() -> Delays {
    Delays {
        seed: 0,
        min: Duration::ZERO,
        max: Duration::ZERO,
    }
}

/// Signed bids, ten of each account.
fn signed(count: usize) -> anyhow::Result<Vec<SignedBid>> {
    let mut bids = Vec::with_capacity(count);
    for number in 0..count.div_ceil(10) as u64 {
        let mut buyer = Buyer::new(1_000_000 + number)?;
        for _ in 0..10 {
            bids.push(buyer.bid()?);
        }
    }
    bids.truncate(count);
    Ok(bids)
}

/// How books come together after the network was one of two halves.
#[derive(Debug, Clone, Serialize)]
pub struct Healing {
    /// Nodes.
    pub nodes: usize,
    /// Orders that each half got alone.
    pub orders_per_half: usize,
    /// From the healing until all books are equal, in seconds.
    pub converged_s: f64,
}

impl Crowd {
    /// Cuts the network in two, sends orders on both sides, heals it, and waits until all books are
    /// equal.
    ///
    /// # Errors
    /// They never are.
    pub async fn healing(&mut self, orders_per_half: usize) -> anyhow::Result<Healing> {
        let nodes = self.members.len();
        let before = self.members.first().map_or(0, Member::bids);
        self.links.cut();
        for order in 0..orders_per_half {
            for side in [0, nodes / 2] {
                let at = side + order % (nodes / 2);
                self.submit(Some(at)).await?;
            }
        }
        for member in &self.members {
            within(member.has_bids(before + orders_per_half)).await?;
        }
        for member in &self.members {
            ensure!(
                member.bids() == before + orders_per_half,
                "an order crossed the cut"
            );
        }
        self.links.heal();
        let started = Instant::now();
        self.agree(before + 2 * orders_per_half).await?;
        Ok(Healing {
            nodes,
            orders_per_half,
            converged_s: started.elapsed().as_secs_f64(),
        })
    }
}
