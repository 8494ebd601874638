//! Orders from peers: checked before they travel on, and all of them fetched when a peer joins.

use std::sync::Arc;

use alloy::primitives::B256;
use bytes::Bytes;
use outcry_net::{BookSource, IncomingOrder, NetworkEvent, PeerKey, Verdict};
use outcry_protocol::shard::Sharding;
use outcry_protocol::wire::Message;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, OrderProblem, Source};
use crate::core::Core;

/// Orders that are checked together: those that wait when a check begins, up to this number. A
/// signature takes about 0.1 ms.
const BATCH_MAX: usize = 64;
/// Batches that are checked at once; most of their time they wait for the chain.
const BATCHES_AT_ONCE: usize = 8;
/// Books that are fetched at once, each with a list of its ids; who joins meanwhile is asked at one of
/// the later times.
const SYNCS_AT_ONCE: usize = 3;
/// Orders of a snapshot that wait for their check.
const SNAPSHOT_WAITING_MAX: usize = 1024;

/// Takes in what the network reports until the node stops.
pub async fn ingest(
    admission: Arc<Admission>,
    mut events: mpsc::Receiver<NetworkEvent>,
    stop: CancellationToken,
) {
    let checks = Arc::new(Semaphore::new(BATCHES_AT_ONCE));
    let syncs = Arc::new(Semaphore::new(SYNCS_AT_ONCE));
    loop {
        let mut batch = Vec::new();
        let received = tokio::select! {
            received = events.recv_many(&mut batch, BATCH_MAX) => received,
            () = stop.cancelled() => return,
        };
        if received == 0 {
            return;
        }
        let mut orders = Vec::new();
        for event in batch {
            match event {
                NetworkEvent::Order(order) => orders.push(order),
                NetworkEvent::PeerJoined(peer) => {
                    let admission = Arc::clone(&admission);
                    let sync = Arc::clone(&syncs).try_acquire_owned();
                    tokio::spawn(async move {
                        admission.say_again().await;
                        if let Ok(_one_of_few) = sync {
                            fetch_book(&admission, peer).await;
                        }
                    });
                }
                NetworkEvent::BookSyncDue(peer) => {
                    if let Ok(one_of_few) = Arc::clone(&syncs).try_acquire_owned() {
                        let admission = Arc::clone(&admission);
                        tokio::spawn(async move {
                            fetch_book(&admission, peer).await;
                            drop(one_of_few);
                        });
                    }
                }
                NetworkEvent::PeerLeft(peer) => tracing::debug!(%peer, "a peer left"),
                _ => {}
            }
        }
        if orders.is_empty() {
            continue;
        }
        // Meanwhile the next batch gathers in the network's bounded buffer.
        let Ok(permit) = Arc::clone(&checks).acquire_owned().await else {
            return;
        };
        let admission = Arc::clone(&admission);
        tokio::spawn(async move {
            judge(&admission, orders).await;
            drop(permit);
        });
    }
}

/// Decides which gossiped orders travel on.
async fn judge(admission: &Arc<Admission>, orders: Vec<IncomingOrder>) {
    let mut messages = Vec::new();
    let mut senders = Vec::new();
    for order in orders {
        match Message::decode(&order.bytes) {
            // Everybody can tell where an order belongs: who passes it on elsewhere is to blame.
            Ok(message) if admission.shard_of(&message) != order.shard => {
                tracing::debug!(shard = order.shard, from = %order.from, "order on a wrong shard");
                report(admission, &order, Verdict::Reject).await;
            }
            Ok(message) => {
                messages.push(message);
                senders.push(order);
            }
            Err(error) => {
                tracing::debug!(%error, from = %order.from, "undecodable order");
                report(admission, &order, Verdict::Reject).await;
            }
        }
    }
    let outcomes = admission.take_in(messages, Source::Gossip).await;
    for (order, outcome) in senders.iter().zip(outcomes) {
        let verdict = match outcome {
            Ok(()) => Verdict::Accept,
            Err(problem) => {
                tracing::debug!(%problem, from = %order.from, "order not passed on");
                if problem.is_senders_fault() {
                    Verdict::Reject
                } else {
                    Verdict::Ignore
                }
            }
        };
        report(admission, order, verdict).await;
    }
}

async fn report(admission: &Admission, order: &IncomingOrder, verdict: Verdict) {
    match verdict {
        Verdict::Accept => admission.accepted.inc(),
        Verdict::Ignore | Verdict::Reject => admission.refused.inc(),
    };
    if let Err(error) = admission.net().report(order.id, verdict).await {
        tracing::debug!(%error, "a verdict was not taken");
    }
}

/// Fetches the orders that a peer has and this node lacks. What nobody honest holds ends it: other
/// peers fill in.
async fn fetch_book(admission: &Arc<Admission>, peer: PeerKey) {
    let (orders, mut incoming) = mpsc::channel::<Bytes>(SNAPSHOT_WAITING_MAX);
    let net = admission.net().clone();
    let own = net.shards();
    let sync = tokio::spawn(async move { net.sync_book(peer, orders).await });
    let mut batch = Vec::new();
    while incoming.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let messages: Result<Vec<_>, _> = batch.drain(..).map(|b| Message::decode(&b)).collect();
        let is_wanted = |message: &Message| own.contains(admission.shard_of(message));
        let Some(messages) = messages.ok().filter(|all| all.iter().all(is_wanted)) else {
            tracing::debug!(%peer, "a snapshot held an order that is undecodable or of another shard");
            admission.net().report_false_book(peer).await;
            break;
        };
        let outcomes = admission.take_in(messages, Source::Snapshot).await;
        let problems: Vec<OrderProblem> = outcomes.into_iter().filter_map(Result::err).collect();
        for problem in &problems {
            tracing::debug!(%problem, %peer, "an order of a snapshot was not taken in");
        }
        if problems.iter().any(OrderProblem::is_senders_fault) {
            admission.net().report_false_book(peer).await;
            break;
        }
    }
    drop(incoming);
    match sync.await {
        Ok(Ok(sync)) => {
            tracing::debug!(%peer, shards = %sync.shards, orders = sync.orders_received, "book fetched");
        }
        Ok(Err(error)) => tracing::debug!(%peer, %error, "the book could not be fetched"),
        Err(error) => tracing::debug!(%peer, %error, "the book could not be fetched"),
    }
}

/// The book as peers read it.
#[derive(Debug)]
pub struct SharedBook {
    /// The node's state.
    pub core: Arc<Core>,
    /// Into how many shards the market divides its gossip.
    pub sharding: Sharding,
}

impl BookSource for SharedBook {
    fn order_ids(&self) -> Vec<(B256, u16)> {
        self.core.read(|state| {
            // What does not travel by gossip does not travel by snapshot either.
            let (bids, offers) = state.book.backed();
            if self.sharding.is_one() {
                return bids.into_iter().chain(offers).map(|id| (id, 0)).collect();
            }
            let bids = bids.into_iter().filter_map(|id| {
                let bid = &state.book.bid(&id)?.bid;
                Some((id, self.sharding.of_bid(bid)))
            });
            let offers = offers.into_iter().filter_map(|id| {
                let offer = &state.book.offer(&id)?.offer;
                Some((id, self.sharding.of_offer(offer)))
            });
            bids.chain(offers).collect()
        })
    }

    fn order(&self, id: &B256) -> Option<Bytes> {
        let message = self.core.read(|state| {
            let bid = state.book.bid(id).cloned().map(Message::Bid);
            bid.or_else(|| state.book.offer(id).cloned().map(Message::Offer))
        });
        Some(message?.encode().ok()?.into())
    }
}
