//! What this node answers the other party of a deal.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use alloy::primitives::B256;
use futures::FutureExt;
use futures::future::BoxFuture;
use outcry_net::{DealHandler, DealRequest, DealResponse, PeerKey, TaskResult};
use outcry_protocol::codes::{self, Code};
use outcry_protocol::types::Receipt;
use outcry_sdk::api::DealState;

use crate::node::Node;
use crate::progress;
use crate::state::gateway::Report;
use crate::state::{Fact, journal, provider};

/// Longest that a question for results waits while the claim is on its way into a block; well below
/// the time that the network gives an answer.
const CLAIM_PATIENCE: Duration = Duration::from_secs(10);

/// Answers deal requests once the node runs.
#[derive(Debug, Default)]
pub struct Deals {
    /// Set when the node is complete; the network starts before.
    node: OnceLock<Weak<Node>>,
}

impl Deals {
    /// Begins to answer.
    pub fn serve(&self, node: &Arc<Node>) {
        let _ = self.node.set(Arc::downgrade(node));
    }
}

impl DealHandler for Deals {
    fn handle(&self, from: PeerKey, request: DealRequest) -> BoxFuture<'static, DealResponse> {
        let node = self.node.get().and_then(Weak::upgrade);
        async move {
            match node {
                None => refused(&codes::NET_NOT_READY, codes::NET_NOT_READY.title),
                Some(node) => answer(&node, from, request).await,
            }
        }
        .boxed()
    }
}

pub(crate) fn refused(code: &Code, message: impl Into<String>) -> DealResponse {
    DealResponse::Refused {
        code: code.id.to_owned(),
        message: message.into(),
    }
}

async fn answer(node: &Arc<Node>, from: PeerKey, request: DealRequest) -> DealResponse {
    match request {
        DealRequest::Results { deal } => results(node, deal).await,
        DealRequest::Accept {
            deal,
            claim_hash,
            signature,
        } => accept(node, deal, claim_hash, &signature).await,
        DealRequest::Receipt {
            deal,
            task,
            output_root,
            signature,
        } => receipt(node, deal, task, output_root, &signature).await,
        DealRequest::Progress {
            deal,
            running,
            tasks_done,
            cycles,
        } => {
            let report = Report {
                running,
                tasks_done,
                cycles,
            };
            progress::take(node, from, deal, report).await
        }
    }
}

async fn results(node: &Arc<Node>, deal: B256) -> DealResponse {
    let look = || {
        node.read(|state| {
            let record = state.deals.get(&deal)?;
            let is_mine = state.setup.account == Some(record.terms.provider);
            let is_complete = state
                .works
                .get(&deal)
                .is_some_and(|work| provider::is_complete(record, work));
            is_mine.then(|| (record.state(), record.claim().is_some(), is_complete))
        })
    };
    let mut changed = node.changed();
    let waiting = async {
        loop {
            changed.borrow_and_update();
            match look() {
                // The buyer's node may read the claim's block before this one does.
                Some((DealState::Open, false, true)) => {}
                seen => return seen,
            }
            if changed.changed().await.is_err() {
                return None;
            }
        }
    };
    let seen = tokio::time::timeout(CLAIM_PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| look());
    let Some((_, claimed, _)) = seen else {
        return refused(&codes::DEAL_UNKNOWN, codes::DEAL_UNKNOWN.title);
    };
    if !claimed {
        return refused(&codes::DEAL_STATE, "the deal has no claim");
    }
    let store = Arc::clone(node.core.store());
    match tokio::task::spawn_blocking(move || journal::results(store.as_ref(), deal)).await {
        Ok(Ok(results)) => DealResponse::Results(results.iter().map(sent).collect()),
        _ => refused(&codes::STORE_IO, codes::STORE_IO.title),
    }
}

fn sent(result: &provider::TaskResult) -> TaskResult {
    TaskResult {
        task: result.task,
        status: result.outcome.status.number(),
        exit_code: result.outcome.exit_code,
        cycles: result.cycles,
        output_root: result.outcome.output_root,
        output_length: result.outcome.output_length,
        blake3: blake3::Hash::from_bytes(result.output.0),
    }
}

async fn accept(node: &Arc<Node>, deal: B256, claim_hash: B256, signature: &[u8]) -> DealResponse {
    let Some((buyer, standing, is_open)) = node.read(|state| {
        let record = state.deals.get(&deal)?;
        let mine = state.setup.account == Some(record.terms.provider);
        mine.then(|| {
            (
                record.terms.buyer,
                record.claim().map(|claim| claim.hash),
                state.works.contains_key(&deal),
            )
        })
    }) else {
        return refused(&codes::DEAL_UNKNOWN, codes::DEAL_UNKNOWN.title);
    };
    if !is_open {
        // Settled already; nothing is left to do, so the sender may stop asking.
        return DealResponse::Acknowledged;
    }
    if standing != Some(claim_hash) {
        return refused(&codes::DEAL_CLAIM, "the signature is about another claim");
    }
    match node
        .is_accepted_by(buyer, deal, claim_hash, signature)
        .await
    {
        Ok(true) => {}
        Ok(false) => {
            return refused(
                &codes::DEAL_ACCEPT_SIGNATURE,
                codes::DEAL_ACCEPT_SIGNATURE.title,
            );
        }
        Err(error) => return refused(&codes::CHAIN_UNREACHABLE, error.to_string()),
    }
    let signature = alloy::primitives::Bytes::copy_from_slice(signature);
    match node
        .core
        .apply(Fact::AcceptReceived {
            deal,
            claim_hash,
            signature,
        })
        .await
    {
        Ok(_) => DealResponse::Acknowledged,
        Err(error) => refused(&codes::STORE_IO, error.to_string()),
    }
}

/// Keeps the buyer's word that it holds an output.
async fn receipt(
    node: &Arc<Node>,
    deal: B256,
    task: u32,
    output_root: B256,
    signature: &[u8],
) -> DealResponse {
    let Some((buyer, root)) = node.read(|state| {
        let record = state.deals.get(&deal)?;
        let result = state
            .works
            .get(&deal)
            .and_then(|work| work.results.get(&task));
        Some((
            record.terms.buyer,
            result.map(|result| result.outcome.output_root),
        ))
    }) else {
        return refused(&codes::DEAL_UNKNOWN, codes::DEAL_UNKNOWN.title);
    };
    if root != Some(output_root) {
        return refused(&codes::DEAL_RESULT, "the receipt is about another output");
    }
    let digest = node.domain.receipt_digest(&Receipt {
        dealId: deal,
        task,
        outputRoot: output_root,
    });
    match node.chain.is_signed_by(digest, buyer, signature).await {
        Ok(true) => {}
        Ok(false) => {
            return refused(
                &codes::DEAL_ACCEPT_SIGNATURE,
                "the receipt is not signed by the buyer",
            );
        }
        Err(error) => return refused(&codes::CHAIN_UNREACHABLE, error.to_string()),
    }
    let fact = Fact::ReceiptReceived {
        deal,
        task,
        signature: alloy::primitives::Bytes::copy_from_slice(signature),
    };
    match node.core.apply(fact).await {
        Ok(_) => DealResponse::Acknowledged,
        Err(error) => refused(&codes::STORE_IO, error.to_string()),
    }
}
