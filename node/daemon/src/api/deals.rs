//! Deals: their state, their results, and the buyer's word on them.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::B256;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use outcry_protocol::codes;
use outcry_protocol::types::Receipt;
use outcry_sdk::api::{DealView, ErrorBody, Relayed, SubmitAccept, SubmitReceipt, TaskResult};

use super::error::ApiError;
use super::{Body, Segment, view};
use crate::gas;
use crate::node::Node;
use crate::state::Fact;
use crate::state::deal::DealRecord;

/// Longest wait for a provider to hand out the results of a claim.
const RESULTS_PATIENCE: Duration = Duration::from_secs(30);

fn unknown() -> ApiError {
    ApiError::unknown(&codes::DEAL_UNKNOWN, "deal")
}

fn find(node: &Node, id: B256) -> Result<DealRecord, ApiError> {
    node.read(|state| state.deals.get(&id).cloned())
        .ok_or_else(unknown)
}

/// A deal as the chain tells it.
#[utoipa::path(
    get, path = "/v1/deals/{dealId}", tag = "deals", params(("dealId" = String, Path)),
    responses((status = 200, body = DealView), (status = 404, body = ErrorBody))
)]
pub(super) async fn one(
    State(node): State<Arc<Node>>,
    Segment(id): Segment<B256>,
) -> Result<Json<DealView>, ApiError> {
    let mut deal = node
        .read(|state| state.deals.get(&id).map(|deal| view::deal(state, deal)))
        .ok_or_else(unknown)?;
    gas::fill_in(&node, deal.transactions.iter_mut().collect()).await;
    Ok(Json(deal))
}

/// The results of a claimed deal of a job that was submitted here: fetched from the provider and
/// checked against the claim. Their outputs are blobs of this node.
#[utoipa::path(
    get, path = "/v1/deals/{dealId}/results", tag = "deals", params(("dealId" = String, Path)),
    responses((status = 200, body = Vec<TaskResult>), (status = 404, body = ErrorBody), (status = 503, body = ErrorBody))
)]
pub(super) async fn results(
    State(node): State<Arc<Node>>,
    Segment(id): Segment<B256>,
) -> Result<Json<Vec<TaskResult>>, ApiError> {
    let deal = find(&node, id)?;
    let look = || {
        node.read(|state| {
            let job = state.jobs.get(&deal.terms.bidHash)?;
            let results = job.watches.get(&id)?.results.as_ref()?;
            Some(results.iter().map(view::result).collect::<Vec<_>>())
        })
    };
    let mut changed = node.changed();
    let found = async {
        loop {
            changed.borrow_and_update();
            if let Some(results) = look() {
                return Some(results);
            }
            changed.changed().await.ok()?;
        }
    };
    // A claim is announced before its results are here; whoever asks at once is made to wait.
    let patience = if deal.claim().is_some() {
        RESULTS_PATIENCE
    } else {
        Duration::ZERO
    };
    match tokio::time::timeout(patience, found).await {
        Ok(Some(results)) => Ok(Json(results)),
        _ => Err(ApiError::coded(
            StatusCode::SERVICE_UNAVAILABLE,
            &codes::DEAL_STATE,
            format!("the deal is {}; its results are not here yet", deal.state()),
        )),
    }
}

/// Takes the buyer's acceptance of a claim on: the provider gets it, or this node settles with it.
#[utoipa::path(
    post, path = "/v1/deals/{dealId}/accept", tag = "deals", params(("dealId" = String, Path)), request_body = SubmitAccept,
    responses((status = 200, body = Relayed), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(super) async fn accept(
    State(node): State<Arc<Node>>,
    Segment(id): Segment<B256>,
    Body(body): Body<SubmitAccept>,
) -> Result<Json<Relayed>, ApiError> {
    let deal = find(&node, id)?;
    if !node.read(|state| state.jobs.contains_key(&deal.terms.bidHash)) {
        return Err(unknown());
    }
    if deal.is_paid() {
        return Ok(Json(Relayed { deal_id: id }));
    }
    let Some(claim_hash) = deal.claim().map(|claim| claim.hash) else {
        return Err(ApiError::coded(
            StatusCode::CONFLICT,
            &codes::DEAL_STATE,
            format!("the deal is {}, not claimed", deal.state()),
        ));
    };
    let is_signed = node
        .is_accepted_by(deal.terms.buyer, id, claim_hash, &body.signature)
        .await;
    if !is_signed.map_err(crate::admission::OrderProblem::from)? {
        return Err(ApiError::coded(
            StatusCode::UNPROCESSABLE_ENTITY,
            &codes::DEAL_ACCEPT_SIGNATURE,
            format!(
                "the signature over claim {claim_hash} is not {}'s",
                deal.terms.buyer
            ),
        ));
    }
    let fact = Fact::AcceptSubmitted {
        deal: id,
        claim_hash,
        signature: body.signature,
    };
    node.core.apply(fact).await.map_err(ApiError::internal)?;
    Ok(Json(Relayed { deal_id: id }))
}

/// Takes the buyer's receipt for one task's output and hands it to the provider.
#[utoipa::path(
    post, path = "/v1/deals/{dealId}/receipts", tag = "deals", params(("dealId" = String, Path)), request_body = SubmitReceipt,
    responses((status = 200, body = Relayed), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody), (status = 502, body = ErrorBody))
)]
pub(super) async fn receipt(
    State(node): State<Arc<Node>>,
    Segment(id): Segment<B256>,
    Body(body): Body<SubmitReceipt>,
) -> Result<Json<Relayed>, ApiError> {
    let deal = find(&node, id)?;
    let receipt = Receipt {
        dealId: id,
        task: body.task,
        outputRoot: body.output_root,
    };
    let digest = node.domain.receipt_digest(&receipt);
    let is_signed = node
        .chain
        .is_signed_by(digest, deal.terms.buyer, &body.signature)
        .await;
    if !is_signed.map_err(crate::admission::OrderProblem::from)? {
        return Err(ApiError::coded(
            StatusCode::UNPROCESSABLE_ENTITY,
            &codes::DEAL_ACCEPT_SIGNATURE,
            format!("the receipt is not signed by {}", deal.terms.buyer),
        ));
    }
    let peer_key = node
        .read(|state| state.peer_key_of(&deal))
        .ok_or_else(unknown)?;
    let request = outcry_net::DealRequest::Receipt {
        deal: id,
        task: body.task,
        output_root: body.output_root,
        signature: body.signature.0,
    };
    let refused =
        |message: String| ApiError::coded(StatusCode::BAD_GATEWAY, &codes::NET_PEER, message);
    match node
        .fetcher
        .net
        .deal(outcry_net::PeerKey(peer_key.0), request)
        .await
    {
        Ok(outcry_net::DealResponse::Acknowledged) => Ok(Json(Relayed { deal_id: id })),
        Ok(outcry_net::DealResponse::Refused { message, .. }) => Err(refused(message)),
        Ok(outcry_net::DealResponse::Results(_)) => {
            Err(refused("the peer answered out of turn".into()))
        }
        Err(error) => Err(refused(error.to_string())),
    }
}
