//! Forgetting what is long over, so that disk and memory of a node that runs for years stay bounded.
//!
//! A little at a time: the records that hang on a deal or job go first, its own record last, so that
//! a node killed in between finds it again and goes on.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::B256;
use outcry_store::keys::{self, Prefix, Table};
use outcry_store::{Batch, Key, Store, StoreError};

use crate::node::Node;
use crate::state::{Fact, Prunable, journal};

/// Pause when nothing is due.
const PAUSE: Duration = Duration::from_secs(60);
/// Pause when more is due than one round takes.
const PAUSE_SHORT: Duration = Duration::from_secs(1);
/// Deals that one round forgets, and jobs.
const ROUND_MAX: usize = 256;
/// Records that one write deletes, or one look at the offers reads.
const PAGE: usize = 512;

/// Forgets what is over until the node stops.
pub(crate) async fn run(node: Arc<Node>) {
    let mut offers_after = None;
    let mut pause = PAUSE_SHORT;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = node.stop.cancelled() => return,
        }
        pause = match round(&node, &mut offers_after).await {
            Ok(true) => PAUSE_SHORT,
            Ok(false) => PAUSE,
            Err(error) => {
                tracing::error!(%error, "the store failed; stopping, because nothing more would be remembered");
                node.stop.cancel();
                return;
            }
        };
    }
}

/// One round; true when more is due. `offers_after` is how far the own offers were looked through.
pub(crate) async fn round(
    node: &Arc<Node>,
    offers_after: &mut Option<Key>,
) -> Result<bool, StoreError> {
    let keep_s = node.config.retention.finished_s;
    let (due, offer, now) = node.read(|state| {
        let offer = state.offer.as_ref().map(|(hash, _)| *hash);
        (state.prunable(keep_s, ROUND_MAX), offer, state.head.at)
    });
    let expired_before = now.saturating_sub(keep_s);
    let (store, after, hanging) = (
        Arc::clone(node.core.store()),
        offers_after.take(),
        due.clone(),
    );
    let deleting = tokio::task::spawn_blocking(move || {
        delete_hanging(store.as_ref(), &hanging)?;
        delete_offers(store.as_ref(), after.as_ref(), offer, expired_before)
    });
    *offers_after = deleting
        .await
        .map_err(|error| StoreError::Io(std::io::Error::other(error)))??;
    let is_full = [&due.deals, &due.jobs, &due.disputes]
        .iter()
        .any(|list| list.len() >= ROUND_MAX);
    if !due.is_empty() {
        tracing::debug!(
            deals = due.deals.len(),
            jobs = due.jobs.len(),
            games = due.disputes.len(),
            "forgotten"
        );
        node.core.apply(Fact::Pruned(due)).await?;
    }
    Ok(is_full || offers_after.is_some())
}

/// Deletes what hangs on deals and jobs.
fn delete_hanging(store: &dyn Store, due: &Prunable) -> Result<(), StoreError> {
    let of_deals = due
        .deals
        .iter()
        .flat_map(|deal| [keys::task_results(&deal.0), keys::receipts(&deal.0)]);
    let of_jobs = due.jobs.iter().map(|bid| keys::job_events(&bid.0));
    for prefix in of_deals.chain(of_jobs) {
        loop {
            let page = store.scan(&prefix, None, PAGE)?;
            let mut batch = Batch::new();
            let is_last = page.len() < PAGE;
            for (key, _) in page {
                batch.delete(key);
            }
            if !batch.is_empty() {
                store.apply(&batch)?;
            }
            if is_last {
                break;
            }
        }
    }
    Ok(())
}

/// Looks through a page of the own offers after a key and deletes those that expired before a second
/// and are not the newest; returns where the next look starts, if there is more.
fn delete_offers(
    store: &dyn Store,
    after: Option<&Key>,
    newest: Option<B256>,
    expired_before: u64,
) -> Result<Option<Key>, StoreError> {
    let newest = newest.map(|hash| keys::offer(&hash.0));
    let page = store.scan(&Prefix::table(Table::Offer), after, PAGE)?;
    let last = (page.len() == PAGE).then(|| page.last().map(|(key, _)| key.clone()));
    let mut batch = Batch::new();
    for (key, value) in page {
        let expiry = journal::offer_message(&value)?.offer.expiry;
        if expiry < expired_before && Some(&key) != newest.as_ref() {
            batch.delete(key);
        }
    }
    if !batch.is_empty() {
        store.apply(&batch)?;
    }
    Ok(last.flatten())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::example;
    use crate::state::chain::Block;
    use crate::state::example as orders;
    use outcry_protocol::wire::{SignedBid, SignedOffer};

    fn records(node: &Node, table: Table) -> usize {
        let store = node.core.store();
        store.scan(&Prefix::table(table), None, 1000).unwrap().len()
    }

    async fn block_at(node: &Node, number: u64, at: u64) {
        let last = Block {
            number,
            hash: B256::repeat_byte(2),
            at,
        };
        let fact = Fact::Blocks {
            last,
            is_head: true,
            events: vec![],
            facts: vec![],
        };
        node.core.apply(fact).await.unwrap();
    }

    #[tokio::test]
    async fn a_finished_job_and_its_events_go_when_its_time_is_over_and_not_before() {
        let (node, _folder) = example::gateway().await;
        let keep_s = node.config.retention.finished_s;
        let job = orders::job(1);
        let bid = orders::bid(&job, 1);
        let (expiry, id) = (bid.expiry, node.domain.bid_hash(&bid));
        let signed = SignedBid {
            bid,
            signature: vec![1],
            job,
        };
        node.core.apply(Fact::Submitted(signed)).await.unwrap();
        block_at(&node, 2, expiry + 1).await;
        assert!(node.read(|state| state.jobs[&id].state.is_terminal()));
        for (at, jobs) in [(expiry + keep_s, 1), (expiry + keep_s + 1, 0)] {
            block_at(&node, at, at).await;
            round(&node, &mut None).await.unwrap();
            assert_eq!(node.read(|state| state.jobs.len()), jobs);
            assert_eq!(records(&node, Table::Bid), jobs);
            assert_eq!(records(&node, Table::JobEvent) > 0, jobs > 0);
        }
    }

    #[tokio::test]
    async fn own_offers_that_expired_long_ago_go_except_the_newest() {
        let (node, _folder) = example::gateway().await;
        for salt in 0..600 {
            let signed = SignedOffer {
                offer: orders::offer(1, salt),
                signature: vec![1],
            };
            node.core.apply(Fact::Offered(signed)).await.unwrap();
        }
        let expiry = orders::offer(1, 0).expiry;
        let keep_s = node.config.retention.finished_s;
        block_at(&node, 2, expiry + keep_s + 1).await;
        let mut after = None;
        assert!(round(&node, &mut after).await.unwrap(), "a page at a time");
        assert!(records(&node, Table::Offer) > 1);
        assert!(!round(&node, &mut after).await.unwrap());
        assert_eq!(records(&node, Table::Offer), 1);
    }
}
