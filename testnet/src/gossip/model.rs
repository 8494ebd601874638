//! A model of gossip by discrete events, for networks larger than one machine can hold.
//!
//! What it knows of gossipsub: a node that gets an order first tells its mesh that it does not want
//! it again, judges it, and passes it on to those of its mesh that did not send it and have not said
//! so. The mesh is a random graph whose degrees are as equal as the average allows. How many peers a
//! mesh has, how long a node judges and what control messages cost is measured on real nodes
//! ([`super::measure`]). Whole microseconds, one seed, no clock: the same input gives the same
//! output everywhere.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::time::Duration;

use serde::Serialize;

use super::links::Delays;
use super::measure::{Healing, Propagation, Spread, known};

/// What real nodes showed, and the model takes over.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Calibration {
    /// Peers in a node's mesh.
    pub mesh_peers: f64,
    /// From a copy's arrival until it is passed on, in microseconds: what makes the model's median
    /// time that of the real nodes.
    pub judging_us: u64,
    /// Bytes per node and order beside the copies of the order itself.
    pub control_bytes: f64,
    /// Length of an order in bytes.
    pub order_bytes: usize,
}

/// What the model says of a network.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Forecast {
    /// Nodes.
    pub nodes: usize,
    /// From the submission until an order is at a node, in seconds, over all pairs.
    pub time_s: Spread,
    /// From the submission until the last node has it, in seconds.
    pub time_to_all_s: Spread,
    /// Copies of an order that a node receives.
    pub copies_per_node: f64,
    /// Bytes per node and order.
    pub bytes_per_node_and_order: f64,
    /// From the healing of a cut through the middle until all books are equal, in seconds.
    pub converged_s: f64,
}

/// The sequence of Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
#[derive(Debug, Clone)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is small: the bias is less than 2^-40.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// A random graph of degrees as equal as `mean` allows.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a degree"
)]
fn mesh(nodes: usize, mean: f64, random: &mut SplitMix) -> Vec<Vec<usize>> {
    let mut ends = Vec::new();
    for node in 0..nodes {
        // So that the sum over all nodes is the mean.
        let until = |node: usize| (node as f64 * mean) as usize;
        ends.extend(std::iter::repeat_n(node, until(node + 1) - until(node)));
    }
    for place in (1..ends.len()).rev() {
        ends.swap(place, random.below(place + 1));
    }
    let mut peers = vec![BTreeSet::new(); nodes];
    for pair in ends.chunks_exact(2) {
        if pair[0] != pair[1] {
            peers[pair[0]].insert(pair[1]);
            peers[pair[1]].insert(pair[0]);
        }
    }
    peers.into_iter().map(Vec::from_iter).collect()
}

fn micros(delay: Duration) -> u64 {
    u64::try_from(delay.as_micros()).unwrap_or(u64::MAX)
}

#[allow(clippy::cast_precision_loss, reason = "times far below 2^52 us")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// When an order reaches each node (`u64::MAX`: never), and how many copies are sent.
fn spread(mesh: &[Vec<usize>], delays: &Delays, from: usize, judging_us: u64) -> (Vec<u64>, u64) {
    enum Event {
        Copy,
        Pass,
    }
    let mut events = BinaryHeap::new();
    let mut first = vec![(u64::MAX, from); mesh.len()];
    let mut copies = 0;
    // (time, kind, node, sender); of what happens at once, copies come first.
    events.push(Reverse((0, Event::Copy as u8, from, from)));
    while let Some(Reverse((now, kind, node, sender))) = events.pop() {
        if kind == Event::Copy as u8 {
            if now < first[node].0 {
                first[node] = (now, sender);
                events.push(Reverse((now + judging_us, Event::Pass as u8, node, sender)));
            }
            continue;
        }
        for &peer in &mesh[node] {
            let delay = micros(delays.between(node, peer));
            // It got the order, and its word that it does not want it has arrived here.
            let declined = first[peer].0.saturating_add(delay) <= now;
            if peer != sender && !declined {
                copies += 1;
                events.push(Reverse((now + delay, Event::Copy as u8, peer, node)));
            }
        }
    }
    (first.into_iter().map(|(time, _)| time).collect(), copies)
}

/// Orders that a forecast follows.
const ORDERS: usize = 50;

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn propagation(
    nodes: usize,
    delays: &Delays,
    mesh_peers: f64,
    judging_us: u64,
) -> (Spread, Spread, f64) {
    let mut random = SplitMix(delays.seed);
    let mesh = mesh(nodes, mesh_peers, &mut random);
    let (mut all, mut to_all, mut copies) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ORDERS {
        let (times, sent) = spread(&mesh, delays, random.below(nodes), judging_us);
        copies += sent;
        to_all.push(times.iter().copied().max().map_or(0.0, seconds));
        all.extend(times.into_iter().map(seconds));
    }
    let copies = copies as f64 / (nodes * ORDERS) as f64;
    (Spread::of(all), Spread::of(to_all), copies)
}

impl Calibration {
    /// What a measurement showed, over links with these delays.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "bytes far below 2^52")]
    pub fn of(measured: &Propagation, delays: &Delays) -> Self {
        // The model's median grows with the time that judging takes: bisection.
        let (mut low, mut high) = (0, 200_000);
        while low < high {
            let middle = (low + high) / 2;
            let (time, ..) = propagation(measured.nodes, delays, measured.mesh_peers, middle);
            if time.p50 < measured.time_s.p50 {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Self {
            mesh_peers: measured.mesh_peers,
            judging_us: low,
            control_bytes: measured.bytes_per_node_and_order
                - measured.copies_per_node * measured.order_bytes as f64,
            order_bytes: measured.order_bytes,
        }
    }

    /// What becomes of a network of so many nodes.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "bytes far below 2^52")]
    pub fn forecast(&self, nodes: usize, delays: &Delays) -> Forecast {
        let (time_s, time_to_all_s, copies_per_node) =
            propagation(nodes, delays, self.mesh_peers, self.judging_us);
        Forecast {
            nodes,
            time_s,
            time_to_all_s,
            copies_per_node,
            bytes_per_node_and_order: copies_per_node * self.order_bytes as f64
                + self.control_bytes,
            converged_s: seconds(healing(nodes, delays)),
        }
    }
}

/// Peers of a node beside its mesh with which it compares books, at least; see [`healing`].
const CONNECTED: usize = 8;
/// A lost peer is dialled again within this, in microseconds (`node/net`, `BOOTSTRAP_EVERY`).
const DIALLED_EVERY_US: u64 = 5_000_000;
/// How often a node compares books with some peer, in microseconds (`NetworkLimits::book_sync_every`).
const SYNCED_EVERY_US: u64 = 20_000_000;
/// One-way delays of a connection with its handshakes, and of a comparison of books.
const DELAYS_TO_CONNECT: u64 = 8;
const DELAYS_TO_SYNC: u64 = 10;

/// Time until all books are equal after a cut is healed, in microseconds: those that were told of
/// somebody beyond the cut dial again, whoever is met anew is asked for its book, and every node asks
/// some peer now and then.
fn healing(nodes: usize, delays: &Delays) -> u64 {
    let mut random = SplitMix(delays.seed ^ 1);
    let peers = mesh(nodes, CONNECTED as f64, &mut random);
    let half = nodes / 2;
    let mut events = BinaryHeap::new();
    for node in 0..nodes {
        for peer in known(delays.seed, node) {
            if (node < half) != (peer < half) {
                let dialled = random.next() % DIALLED_EVERY_US
                    + DELAYS_TO_CONNECT * micros(delays.between(node, peer));
                events.push(Reverse((dialled, node, peer, false)));
                events.push(Reverse((dialled, peer, node, false)));
            }
        }
        events.push(Reverse((random.next() % SYNCED_EVERY_US, node, node, true)));
    }
    // What a node has: bit 0 the one half's orders, bit 1 the other's.
    let mut books: Vec<u8> = (0..nodes).map(|node| 1 + u8::from(node >= half)).collect();
    let mut lacking = nodes;
    while let Some(Reverse((now, node, peer, is_regular))) = events.pop() {
        let peer = if is_regular {
            events.push(Reverse((now + SYNCED_EVERY_US, node, node, true)));
            match peers[node].get(random.below(peers[node].len())) {
                Some(peer) => *peer,
                None => continue,
            }
        } else {
            peer
        };
        if books[node] != 3 && books[node] | books[peer] == 3 {
            books[node] = 3;
            lacking -= 1;
            if lacking == 0 {
                return now + DELAYS_TO_SYNC * micros(delays.between(node, peer));
            }
        }
    }
    0
}

/// How far the model is from real nodes of the same number: its value divided by theirs.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Comparison {
    /// 99 in 100 of the times.
    pub time_p99: f64,
    /// Median of the times until the last node has an order.
    pub time_to_all_p50: f64,
    /// Copies of an order per node.
    pub copies_per_node: f64,
    /// Time until books are equal after a cut.
    pub converged: f64,
}

impl Comparison {
    /// The model beside what was measured.
    #[must_use]
    pub fn of(forecast: &Forecast, measured: &Propagation, healing: &Healing) -> Self {
        Self {
            time_p99: forecast.time_s.p99 / measured.time_s.p99,
            time_to_all_p50: forecast.time_to_all_s.p50 / measured.time_to_all_s.p50,
            copies_per_node: forecast.copies_per_node / measured.copies_per_node,
            converged: forecast.converged_s / healing.converged_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAYS: Delays = Delays {
        seed: 7,
        min: Duration::from_millis(50),
        max: Duration::from_millis(150),
    };

    #[test]
    fn an_order_reaches_every_node_and_costs_at_least_one_copy_each() {
        for nodes in [2, 10, 300] {
            let mesh = mesh(nodes, 6.0, &mut SplitMix(1));
            let (times, copies) = spread(&mesh, &DELAYS, 0, 1000);
            assert!(times.iter().all(|time| *time < u64::MAX), "{nodes} nodes");
            assert_eq!(times[0], 0);
            assert!(copies >= nodes as u64 - 1);
        }
    }

    #[test]
    fn on_a_line_the_time_is_the_sum_of_delays_and_judging() {
        let line = vec![vec![1], vec![0, 2], vec![1]];
        let (times, copies) = spread(&line, &DELAYS, 0, 1000);
        let first = 1000 + micros(DELAYS.between(0, 1));
        let second = first + 1000 + micros(DELAYS.between(1, 2));
        assert_eq!(times, [0, first, second]);
        assert_eq!(copies, 2, "nobody sends back what it got");
    }

    #[test]
    fn who_has_said_in_time_that_it_does_not_want_an_order_is_not_sent_it() {
        let triangle = vec![vec![1, 2], vec![0, 2], vec![0, 1]];
        // Judging takes longer than any delay: both have heard of each other's copy by then.
        let (_, slow) = spread(&triangle, &DELAYS, 0, 1_000_000);
        assert_eq!(slow, 2);
        let (_, fast) = spread(&triangle, &DELAYS, 0, 0);
        assert_eq!(fast, 4);
    }

    #[test]
    fn the_same_seed_gives_the_same_forecast() {
        let calibration = Calibration {
            mesh_peers: 5.5,
            judging_us: 2_000,
            control_bytes: 500.0,
            order_bytes: 1_252,
        };
        let forecast = || format!("{:?}", calibration.forecast(200, &DELAYS));
        assert_eq!(forecast(), forecast());
        assert!(calibration.forecast(200, &DELAYS).converged_s > 0.0);
    }
}
