//! How far a provider is with a deal: it tells the buyer's gateway, which shows it.
//!
//! The gateway is the node that the signed job names as its source; the provider's node is the one
//! that the signed offer names. A notice changes no money and no rule.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::primitives::B256;
use outcry_net::{DealRequest, DealResponse, PeerKey};
use outcry_protocol::codes;
use outcry_sdk::api::DealState;
use tokio::sync::watch;
use tokio::time;

use crate::activities::peer_of;
use crate::deals::refused;
use crate::node::Node;
use crate::rate::RateLimit;
use crate::state::Fact;
use crate::state::deal::DealRecord;
use crate::state::gateway::Report;

/// Least time between two notices about one deal, except that a program's start is told at once.
const PAUSE: Duration = Duration::from_secs(1);
/// A notice is repeated after this long without news: the gateway may have been restarted.
const REPEAT_AFTER: Duration = Duration::from_secs(10);
/// Notices of one peer about one deal that a gateway takes at once; one more after each half of
/// [`PAUSE`].
const BURST: u32 = 4;
/// Peers and deals whose notices are counted.
const PAIRS_MAX: usize = 16_384;
/// What a stranger is told.
const ANOTHER_SERVES: &str = "another node serves the deal";
/// Longest that a notice waits for the block with its deal, which the provider reads earlier. Well
/// below the time that the network gives an answer.
const BLOCK_PATIENCE: Duration = Duration::from_secs(5);

/// A gateway's limit on notices, by sender and deal: a deal's id is public, and a stranger who names
/// it must not use up what its provider may say.
#[must_use]
pub fn limit() -> RateLimit<(PeerKey, B256)> {
    RateLimit::new(BURST, PAUSE / 2, PAIRS_MAX)
}

/// Begins to tell `gateway` how far this node is with a deal: first what `from` says, and then
/// whatever is sent on the returned channel. Ends with the channel, or when the gateway does not
/// want to know.
pub fn tell(node: &Arc<Node>, deal: B256, gateway: PeerKey, from: Report) -> watch::Sender<Report> {
    let (reports, receiver) = watch::channel(from);
    let node = Arc::clone(node);
    tokio::spawn(async move {
        tokio::select! {
            () = tell_all(&node, deal, gateway, receiver) => {}
            () = node.stop.cancelled() => {}
        }
    });
    reports
}

async fn tell_all(
    node: &Arc<Node>,
    deal: B256,
    gateway: PeerKey,
    mut reports: watch::Receiver<Report>,
) {
    let mut report = *reports.borrow();
    loop {
        match send(node, deal, gateway, report).await {
            Ok(DealResponse::Refused { code, message }) if code != codes::NET_BUSY.id => {
                tracing::debug!(%deal, code, message, "the gateway wants no notices");
                return;
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%deal, %error, "a notice did not arrive"),
        }
        let mut stages = reports.clone();
        let next = tokio::select! {
            next = stages.wait_for(|next| next.running != report.running) => next.ok().map(|next| *next),
            next = news(&mut reports, report) => next,
        };
        match next {
            Some(next) => report = next,
            None => return,
        }
    }
}

/// What to say after `said`, and not too soon; `None` when there is nothing more to say.
async fn news(reports: &mut watch::Receiver<Report>, said: Report) -> Option<Report> {
    time::sleep(PAUSE).await;
    match time::timeout(REPEAT_AFTER, reports.wait_for(|next| *next != said)).await {
        Ok(next) => next.ok().map(|next| *next),
        Err(_) => Some(said),
    }
}

async fn send(
    node: &Arc<Node>,
    deal: B256,
    gateway: PeerKey,
    report: Report,
) -> Result<DealResponse, outcry_net::NetError> {
    let net = &node.fetcher.net;
    if gateway == net.key() {
        return Ok(take(node, gateway, deal, report).await);
    }
    let notice = DealRequest::Progress {
        deal,
        running: report.running,
        tasks_done: report.tasks_done,
        cycles: report.cycles,
    };
    net.deal(gateway, notice).await
}

/// Takes a notice from a peer: about an own job's deal, from the node that serves it, within the
/// deal's bounds, and not too often.
pub async fn take(node: &Arc<Node>, from: PeerKey, deal: B256, report: Report) -> DealResponse {
    let Some(record) = awaited(node, from, deal).await else {
        return refused(&codes::DEAL_UNKNOWN, codes::DEAL_UNKNOWN.title);
    };
    let Some(cycle_limit) = node.read(|state| {
        let job = state.jobs.get(&record.terms.bidHash)?;
        Some(job.signed.job.cycleLimit)
    }) else {
        return refused(&codes::DEAL_UNKNOWN, "the job was not submitted here");
    };
    let known = node.read(|state| state.peer_key_of(&record));
    if known.is_some_and(|serving| serving.0 != from.0) {
        return refused(&codes::DEAL_PARTY, ANOTHER_SERVES);
    }
    // Before the chain is asked who serves the deal, which is what a stranger could make a node do.
    if !node.notices.take((from, deal), Instant::now()) {
        return refused(&codes::NET_BUSY, "too many notices about the deal");
    }
    match peer_of(node, &record).await {
        Ok(serving) if serving == from => {}
        Ok(_) => return refused(&codes::DEAL_PARTY, ANOTHER_SERVES),
        Err(problem) => return refused(&codes::CHAIN_UNREACHABLE, problem.to_string()),
    }
    if report.tasks_done > record.terms.taskCount
        || report.cycles > cycle_limit.saturating_mul(report.tasks_done.into())
    {
        return refused(&codes::NET_MESSAGE, "more than the deal has");
    }
    if record.state() == DealState::Open {
        let fact = Fact::Reported { deal, report };
        if let Err(error) = node.core.apply(fact).await {
            return refused(&codes::STORE_IO, error.to_string());
        }
    }
    DealResponse::Acknowledged
}

/// A deal, or, if a provider of the book asks, the deal once its block is here.
async fn awaited(node: &Arc<Node>, from: PeerKey, deal: B256) -> Option<DealRecord> {
    let look = || node.read(|state| state.deals.get(&deal).cloned());
    if let Some(record) = look() {
        return Some(record);
    }
    let is_provider = node.read(|state| {
        let mut offers = state.book.live_offers();
        offers.any(|(_, signed)| signed.offer.peerKey.0 == from.0)
    });
    if !is_provider {
        return None;
    }
    let mut changed = node.changed();
    let found = async {
        loop {
            changed.borrow_and_update();
            if let Some(record) = look() {
                return Some(record);
            }
            changed.changed().await.ok()?;
        }
    };
    time::timeout(BLOCK_PATIENCE, found).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::example;
    use crate::state::chain::{Block, Event, Observed};
    use crate::state::deal::Place;
    use crate::state::example as orders;
    use outcry_protocol::wire::{Message, SignedBid, SignedOffer};
    use outcry_sdk::api::JobState;

    const RUNNING: Report = Report {
        running: true,
        tasks_done: 1,
        cycles: 5,
    };

    fn code(response: &DealResponse) -> &str {
        match response {
            DealResponse::Refused { code, .. } => code,
            DealResponse::Acknowledged => "taken",
            DealResponse::Results(_) => "results",
        }
    }

    struct Bench {
        node: Arc<Node>,
        provider: PeerKey,
        job: B256,
        deal: B256,
        offering: Fact,
        opening: Fact,
        _folder: tempfile::TempDir,
    }

    /// A gateway with a submitted job and a provider's offer; `opening` is the block with the deal.
    async fn gateway() -> Bench {
        let bench = without_offer().await;
        bench.node.core.apply(bench.offering.clone()).await.unwrap();
        bench
    }

    /// The same before the offer, which is `offering`, has come.
    async fn without_offer() -> Bench {
        let (node, folder) = example::gateway().await;
        let job = orders::job(4);
        let (bid, offer) = (orders::bid(&job, 1), orders::offer(1, 1));
        let provider = PeerKey(offer.peerKey.0);
        let terms =
            outcry_protocol::deal::terms(&node.domain, &bid, &offer, &job, 0, 0, 4, orders::START)
                .unwrap();
        let deal = node.domain.deal_id(&terms);
        let id = node.domain.bid_hash(&bid);
        let signature = vec![1];
        let signed = SignedOffer {
            offer,
            signature: signature.clone(),
        };
        node.core
            .apply(Fact::Submitted(SignedBid {
                bid,
                signature,
                job,
            }))
            .await
            .unwrap();
        let last = Block {
            number: 2,
            hash: B256::repeat_byte(2),
            at: orders::START + 1,
        };
        let place = Place {
            block: 2,
            at: last.at,
            log_index: 0,
            transaction: B256::ZERO,
        };
        let observed = Observed::Opened {
            deal,
            terms: Box::new(terms),
        };
        let opening = Fact::Blocks {
            last,
            is_head: true,
            events: vec![Event { place, observed }],
            facts: vec![],
        };
        Bench {
            node,
            provider,
            job: id,
            deal,
            offering: Fact::Order(Message::Offer(signed)),
            opening,
            _folder: folder,
        }
    }

    #[tokio::test]
    async fn a_gateway_takes_the_serving_nodes_word_and_nobody_elses() {
        let bench = gateway().await;
        bench.node.core.apply(bench.opening).await.unwrap();
        let stranger = PeerKey([9; 32]);
        let node = &bench.node;
        assert_eq!(
            code(&take(node, stranger, bench.deal, RUNNING).await),
            codes::DEAL_PARTY.id
        );
        assert_eq!(
            code(&take(node, bench.provider, B256::ZERO, RUNNING).await),
            codes::DEAL_UNKNOWN.id
        );
        let state = || node.read(|state| state.jobs[&bench.job].state);
        assert_eq!(state(), JobState::Funded);
        let too_much = Report {
            tasks_done: 5,
            ..RUNNING
        };
        assert_eq!(
            code(&take(node, bench.provider, bench.deal, too_much).await),
            codes::NET_MESSAGE.id
        );
        assert_eq!(
            code(&take(node, bench.provider, bench.deal, RUNNING).await),
            "taken"
        );
        assert_eq!(state(), JobState::Running);
    }

    #[tokio::test]
    async fn a_stranger_does_not_use_up_what_the_provider_may_say() {
        let bench = gateway().await;
        let node = &bench.node;
        node.core.apply(bench.opening).await.unwrap();
        for _ in 0..2 * BURST {
            let answer = take(node, PeerKey([9; 32]), bench.deal, RUNNING).await;
            assert_eq!(code(&answer), codes::DEAL_PARTY.id);
        }
        let answer = take(node, bench.provider, bench.deal, RUNNING).await;
        assert_eq!(code(&answer), "taken");
    }

    #[tokio::test]
    async fn a_sender_has_the_chain_asked_so_often_who_serves_a_deal_and_each_for_itself() {
        let bench = without_offer().await;
        let node = &bench.node;
        node.core.apply(bench.opening).await.unwrap();
        let mut answers = Vec::new();
        for _ in 0..2 * BURST {
            let answer = take(node, PeerKey([9; 32]), bench.deal, RUNNING).await;
            answers.push(code(&answer).to_owned());
        }
        assert!(
            answers.contains(&codes::NET_BUSY.id.to_owned()),
            "{answers:?}"
        );
        // The chain of this test does not answer, but it was asked.
        let answer = take(node, bench.provider, bench.deal, RUNNING).await;
        assert_eq!(code(&answer), codes::CHAIN_UNREACHABLE.id);
    }

    #[tokio::test]
    async fn a_notice_that_is_faster_than_the_block_waits_for_it() {
        let bench = gateway().await;
        let notice = take(&bench.node, bench.provider, bench.deal, RUNNING);
        let block = async {
            tokio::task::yield_now().await;
            bench.node.core.apply(bench.opening.clone()).await.unwrap();
        };
        let (response, ()) = tokio::join!(notice, block);
        assert_eq!(code(&response), "taken");
    }

    #[tokio::test]
    async fn a_provider_that_will_not_stop_talking_is_not_listened_to() {
        let bench = gateway().await;
        bench.node.core.apply(bench.opening).await.unwrap();
        let mut answers = Vec::new();
        for _ in 0..2 * BURST {
            let answer = take(&bench.node, bench.provider, bench.deal, RUNNING).await;
            answers.push(code(&answer).to_owned());
        }
        assert!(answers.contains(&codes::NET_BUSY.id.to_owned()));
    }
}
