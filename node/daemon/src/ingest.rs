//! Orders from peers: checked before they travel on, and all of them fetched when a peer joins.

use std::sync::{Arc, PoisonError};

use alloy::primitives::B256;
use bytes::Bytes;
use outcry_net::{BookSource, IncomingOrder, NetworkEvent, PeerKey, Verdict};
use outcry_protocol::book::Book;
use outcry_protocol::order::{Checked, OrderError};
use outcry_protocol::wire::Message;
use tokio::sync::{Semaphore, mpsc};

use crate::core::Core;
use crate::node::{Node, OrderProblem};
use crate::state::Fact;

/// Orders that are checked at once. A signature takes about 50 microseconds; the rest is waiting for
/// the chain.
const CHECKS_AT_ONCE: usize = 64;
/// Orders of a snapshot that wait for their check.
const SNAPSHOT_WAITING_MAX: usize = 256;

/// Takes in what the network reports until the node stops.
pub async fn ingest(node: Arc<Node>, mut events: mpsc::Receiver<NetworkEvent>) {
    let checks = Arc::new(Semaphore::new(CHECKS_AT_ONCE));
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = node.stop.cancelled() => return,
        };
        match event {
            None => return,
            Some(NetworkEvent::Order(order)) => {
                let Ok(permit) = Arc::clone(&checks).acquire_owned().await else {
                    return;
                };
                let node = Arc::clone(&node);
                tokio::spawn(async move {
                    judge(&node, order).await;
                    drop(permit);
                });
            }
            Some(NetworkEvent::PeerJoined(peer)) => {
                let node = Arc::clone(&node);
                tokio::spawn(async move {
                    say_again(&node).await;
                    fetch_book(&node, peer).await;
                });
            }
            Some(NetworkEvent::BookSyncDue(peer)) => {
                let node = Arc::clone(&node);
                tokio::spawn(async move { fetch_book(&node, peer).await });
            }
            Some(NetworkEvent::PeerLeft(peer)) => tracing::debug!(%peer, "a peer left"),
            Some(_) => {}
        }
    }
}

/// Decides whether a gossiped order travels on.
async fn judge(node: &Node, order: IncomingOrder) {
    let verdict = match Message::decode(&order.bytes) {
        Err(error) => {
            tracing::debug!(%error, from = %order.from, "undecodable order");
            Verdict::Reject
        }
        Ok(message) => match take_in(node, message, Node::count).await {
            Ok(()) => Verdict::Accept,
            Err(problem) => {
                tracing::debug!(%problem, from = %order.from, "order not passed on");
                blame(&problem)
            }
        },
    };
    match verdict {
        Verdict::Accept => node.metrics.orders_accepted.inc(),
        Verdict::Ignore | Verdict::Reject => node.metrics.orders_refused.inc(),
    };
    if let Err(error) = node.fetcher.net.report(order.id, verdict).await {
        tracing::debug!(%error, "a verdict was not taken");
    }
}

/// Whether the peer that passed an order on should have known.
fn blame(problem: &OrderProblem) -> Verdict {
    match problem {
        // Time, balances and counters differ between nodes for a block or two.
        OrderProblem::Invalid(OrderError::Expired { .. } | OrderError::ExpiryFar { .. })
        | OrderProblem::Refused { .. }
        | OrderProblem::Chain(_)
        | OrderProblem::Store(_) => Verdict::Ignore,
        OrderProblem::Invalid(_) | OrderProblem::Signature { .. } => Verdict::Reject,
    }
}

/// Puts a peer's order into the book; an error says why it should not travel on. `count` is what
/// limits the rate: a snapshot holds many orders of an account at once, and the book bounds them.
async fn take_in(
    node: &Node,
    message: Message,
    count: impl FnOnce(&Node, &Checked) -> Result<(), OrderProblem>,
) -> Result<(), OrderProblem> {
    let checked = node.check(&message).await?;
    count(node, &checked)?;
    node.admit(Fact::Order(message.clone())).await?;
    let is_backed = node.read(|state| match &message {
        Message::Bid(signed) => {
            state.book.is_covered(checked.hash, &signed.bid)
                && !state.book.open_ranges(checked.hash, &signed.bid).is_empty()
        }
        Message::Offer(signed) => state.book.is_offer_live(&signed.offer),
    });
    if is_backed {
        Ok(())
    } else {
        let code = match message {
            Message::Bid(_) => &outcry_protocol::codes::MATCH_BUYER_BALANCE,
            Message::Offer(_) => &outcry_protocol::codes::ORDER_CANCELLED,
        };
        Err(OrderProblem::Refused {
            code,
            message: "the chain does not back the order".into(),
        })
    }
}

/// Gossips the orders that nobody heard when they were published, unless they are over. A peer that
/// joins later fetches them with the rest of the book.
async fn say_again(node: &Node) {
    let unheard = std::mem::take(&mut *node.unheard.lock().unwrap_or_else(PoisonError::into_inner));
    for id in unheard {
        if let Some(message) = node.read(|state| live_order(&state.book, &id)) {
            node.gossip(message).await;
        }
    }
}

/// An order of the book that can still be matched.
fn live_order(book: &Book, id: &B256) -> Option<Message> {
    let bid = book.bid(id);
    let bid = bid.filter(|signed| !book.open_ranges(*id, &signed.bid).is_empty());
    let offer = book.offer(id);
    let offer = offer.filter(|signed| book.is_offer_live(&signed.offer));
    bid.cloned()
        .map(Message::Bid)
        .or_else(|| offer.cloned().map(Message::Offer))
}

/// Fetches the orders that a peer has and this node lacks.
async fn fetch_book(node: &Arc<Node>, peer: PeerKey) {
    let (orders, mut incoming) = mpsc::channel::<Bytes>(SNAPSHOT_WAITING_MAX);
    let net = node.fetcher.net.clone();
    let sync = tokio::spawn(async move { net.sync_book(peer, orders).await });
    while let Some(bytes) = incoming.recv().await {
        let Ok(message) = Message::decode(&bytes) else {
            tracing::debug!(%peer, "a snapshot held an undecodable order");
            break;
        };
        if let Err(problem) = take_in(node, message, |_, _| Ok(())).await {
            tracing::debug!(%problem, %peer, "an order of a snapshot was not taken in");
        }
    }
    drop(incoming);
    match sync.await {
        Ok(Ok(sync)) => tracing::debug!(%peer, orders = sync.orders_received, "book fetched"),
        Ok(Err(error)) => tracing::debug!(%peer, %error, "the book could not be fetched"),
        Err(error) => tracing::debug!(%peer, %error, "the book could not be fetched"),
    }
}

/// The book as peers read it.
#[derive(Debug)]
pub struct SharedBook(pub Arc<Core>);

impl BookSource for SharedBook {
    fn order_ids(&self) -> Vec<B256> {
        self.0.read(|state| {
            let bids = state.book.live_bids().map(|(hash, _, _)| *hash);
            bids.chain(state.book.live_offers().map(|(hash, _)| *hash))
                .collect()
        })
    }

    fn order(&self, id: &B256) -> Option<Bytes> {
        let message = self.0.read(|state| {
            let bid = state.book.bid(id).cloned().map(Message::Bid);
            bid.or_else(|| state.book.offer(id).cloned().map(Message::Offer))
        });
        Some(message?.encode().ok()?.into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::example;
    use crate::state::example as orders;
    use outcry_protocol::book::Fact as BookFact;
    use outcry_protocol::wire::{SignedBid, SignedOffer};

    #[tokio::test]
    async fn an_order_that_nobody_heard_is_said_again_until_it_is_over() {
        let (node, _folder) = example::gateway().await;
        let (job, signature) = (orders::job(1), vec![1]);
        let bid = orders::bid(&job, 1);
        let offer = orders::offer(1, 1);
        let hash_of_offer = node.domain.offer_hash(&offer);
        let bid = Message::Bid(SignedBid {
            bid,
            signature: signature.clone(),
            job,
        });
        let offer = Message::Offer(SignedOffer { offer, signature });
        let unheard = || Vec::from_iter(node.unheard.lock().unwrap().clone());
        for message in [&bid, &offer] {
            node.gossip(message.clone()).await;
        }
        assert_eq!(unheard().len(), 2);
        say_again(&node).await;
        assert!(unheard().is_empty(), "the book has neither");

        for message in [bid, offer] {
            node.core.apply(Fact::Order(message.clone())).await.unwrap();
            node.gossip(message).await;
        }
        say_again(&node).await;
        assert_eq!(unheard().len(), 2, "nobody has heard them yet");

        let cancelled = async |account| {
            let facts = vec![BookFact::Counter {
                account,
                counter: 1,
            }];
            let block = 2;
            node.core
                .apply(Fact::Learned { block, facts })
                .await
                .unwrap();
            say_again(&node).await;
        };
        cancelled(orders::BUYER).await;
        assert_eq!(unheard(), [hash_of_offer]);
        cancelled(orders::PROVIDER).await;
        assert!(unheard().is_empty());
    }
}
