//! Orders in, jobs out.

use std::sync::Arc;

use alloy::primitives::B256;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use outcry_protocol::codes;
use outcry_protocol::explain::explain;
use outcry_protocol::types::JobSpec;
use outcry_protocol::wire::{Message, SignedBid, SignedOffer};
use outcry_sdk::Manifest;
use outcry_sdk::api::{
    BidSubmitted, BlobHash, ErrorBody, Job, JobState, JobsQuery, OfferSubmitted, Order, OrderState,
    OrderView, SubmitBid, SubmitOffer,
};

use super::error::ApiError;
use super::{Asked, Body, Segment, view};
use crate::config::Role;
use crate::gas;
use crate::node::Node;
use crate::state::{Fact, State as NodeState};

/// Takes a signed bid: on disk and gossiped when the answer comes.
#[utoipa::path(
    post, path = "/v1/bids", tag = "orders", request_body = SubmitBid,
    responses((status = 200, body = BidSubmitted), (status = 402, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(super) async fn submit(
    State(node): State<Arc<Node>>,
    Body(bid): Body<SubmitBid>,
) -> Result<Json<BidSubmitted>, ApiError> {
    if !node.config.is(Role::Gateway) {
        return Err(ApiError::not_my_role("gateway"));
    }
    let signed = SignedBid {
        bid: bid.bid,
        signature: bid.signature.to_vec(),
        job: bid.job,
    };
    node.admission.check(&Message::Bid(signed.clone())).await?;
    let hash = node.domain.bid_hash(&signed.bid);
    keep_blobs(&node, hash, &signed.job).await?;
    Ok(Json(BidSubmitted {
        bid_hash: node.admission.submit(signed).await?,
    }))
}

/// Makes sure that this node can serve a job's blobs, and keeps them for it.
async fn keep_blobs(node: &Node, bid: B256, job: &JobSpec) -> Result<(), ApiError> {
    let missing = |what: &str, name: BlobHash| {
        ApiError::coded(
            StatusCode::UNPROCESSABLE_ENTITY,
            &codes::BLOB_MISSING,
            format!("{what} {name} is not on this node; send it to /v1/blobs first"),
        )
    };
    if job.source != node.peer_key {
        // Somebody else serves them.
        return Ok(());
    }
    let name = BlobHash::from(job.manifest);
    let blob = node
        .blobs()
        .get(&blake3::Hash::from_bytes(name.0))
        .map_err(ApiError::internal)?
        .ok_or_else(|| missing("the manifest", name))?;
    let bytes = tokio::fs::read(blob.path())
        .await
        .map_err(ApiError::internal)?;
    let malformed = |message: String| {
        ApiError::coded(
            StatusCode::UNPROCESSABLE_ENTITY,
            &codes::BLOB_MANIFEST,
            message,
        )
    };
    let manifest = Manifest::parse(&bytes).map_err(|error| malformed(error.to_string()))?;
    if manifest.tasks.len() != job.taskCount as usize
        || manifest.inputs_root().ok() != Some(job.inputsRoot)
    {
        return Err(malformed(
            "the manifest is not the one that the job commits to".into(),
        ));
    }
    let names = manifest.tasks.iter().map(|task| ("the input", task.blake3));
    let names = names.chain([
        ("the program", manifest.program.blake3),
        ("the manifest", name),
    ]);
    for (what, name) in names {
        let hash = blake3::Hash::from_bytes(name.0);
        if !node.blobs().contains(&hash) {
            return Err(missing(what, name));
        }
        node.blobs()
            .pin(&[hash], bid)
            .await
            .map_err(ApiError::internal)?;
    }
    Ok(())
}

/// Takes a signed offer of any provider.
#[utoipa::path(
    post, path = "/v1/offers", tag = "orders", request_body = SubmitOffer,
    responses((status = 200, body = OfferSubmitted), (status = 422, body = ErrorBody))
)]
pub(super) async fn offer(
    State(node): State<Arc<Node>>,
    Body(offer): Body<SubmitOffer>,
) -> Result<Json<OfferSubmitted>, ApiError> {
    let message = Message::Offer(SignedOffer {
        offer: offer.offer,
        signature: offer.signature.to_vec(),
    });
    let checked = node.admission.check(&message).await?;
    node.admission.count(&checked)?;
    node.admission.admit(Fact::Heard(message.clone())).await?;
    node.admission.gossip(message).await;
    Ok(Json(OfferSubmitted {
        offer_hash: checked.hash,
    }))
}

/// An order that is in the book.
#[utoipa::path(
    get, path = "/v1/orders/{hash}", tag = "orders", params(("hash" = String, Path)),
    responses((status = 200, body = OrderView), (status = 404, body = ErrorBody))
)]
pub(super) async fn order(
    State(node): State<Arc<Node>>,
    Segment(hash): Segment<B256>,
) -> Result<Json<OrderView>, ApiError> {
    let found = node.read(|state| bid_view(state, hash).or_else(|| offer_view(state, hash)));
    found
        .map(Json)
        .ok_or_else(|| ApiError::unknown(&codes::ORDER_UNKNOWN, "order"))
}

fn bid_view(state: &NodeState, hash: B256) -> Option<OrderView> {
    let signed = state.bid(&hash)?;
    let bid = &signed.bid;
    let in_deals: u32 = state
        .deals_of(hash)
        .iter()
        .filter(|deal| deal.has_tasks())
        .map(|deal| deal.terms.taskCount)
        .sum();
    let order_state = if in_deals >= bid.tasks {
        OrderState::Filled
    } else if bid.expiry < state.head.at {
        OrderState::Expired
    } else if state.book.open_ranges(hash, bid).is_empty() {
        OrderState::Cancelled
    } else if !state.book.is_covered(hash, bid) {
        OrderState::Unfunded
    } else {
        OrderState::Live
    };
    let order = Order::Bid {
        bid: bid.clone(),
        job: signed.job.clone(),
    };
    Some(OrderView {
        hash,
        state: order_state,
        signature: signed.signature.clone().into(),
        order,
    })
}

fn offer_view(state: &NodeState, hash: B256) -> Option<OrderView> {
    let signed = state.book.offer(&hash)?;
    let order_state = if signed.offer.expiry < state.head.at {
        OrderState::Expired
    } else if state.book.is_offer_live(&signed.offer) {
        OrderState::Live
    } else {
        OrderState::Cancelled
    };
    let order = Order::Offer {
        offer: signed.offer.clone(),
    };
    Some(OrderView {
        hash,
        state: order_state,
        signature: signed.signature.clone().into(),
        order,
    })
}

/// Jobs that were submitted here, newest first.
#[utoipa::path(
    get, path = "/v1/jobs", tag = "jobs",
    params(("buyer" = Option<String>, Query), ("state" = Option<String>, Query), ("limit" = Option<u32>, Query)),
    responses((status = 200, body = Vec<Job>), (status = 400, body = ErrorBody))
)]
pub(super) async fn list(
    State(node): State<Arc<Node>>,
    Asked(query): Asked<JobsQuery>,
) -> Result<Json<Vec<Job>>, ApiError> {
    let limit = super::limit(query.limit)?;
    Ok(Json(node.read(|state| {
        let mut jobs: Vec<_> = state
            .jobs
            .iter()
            .filter(|(_, job)| {
                query
                    .buyer
                    .is_none_or(|buyer| job.signed.bid.buyer == buyer)
            })
            .filter(|(_, job)| query.state.is_none_or(|wanted| job.state == wanted))
            .collect();
        jobs.sort_by_key(|(id, job)| (std::cmp::Reverse(job.submitted_at), **id));
        jobs.into_iter()
            .take(limit)
            .map(|(id, job)| view::job(state, *id, job))
            .collect()
    })))
}

/// A job that was submitted here.
#[utoipa::path(
    get, path = "/v1/jobs/{bidHash}", tag = "jobs", params(("bidHash" = String, Path)),
    responses((status = 200, body = Job), (status = 404, body = ErrorBody))
)]
pub(super) async fn one(
    State(node): State<Arc<Node>>,
    Segment(id): Segment<B256>,
) -> Result<Json<Job>, ApiError> {
    let found = node.read(|state| {
        let record = state.jobs.get(&id)?;
        let mut job = view::job(state, id, record);
        if matches!(job.state, JobState::Open | JobState::Interrupted) {
            let signed = &record.signed;
            let verdict = explain(&state.book, &signed.bid, &signed.job).verdict(&signed.bid);
            job.problem = verdict.map(|(code, message)| ErrorBody {
                code: code.id.to_owned(),
                message,
                help: code.help.to_owned(),
            });
        }
        Some(job)
    });
    let mut job = found.ok_or_else(|| ApiError::unknown(&codes::ORDER_UNKNOWN, "job"))?;
    let transactions = job.deals.iter_mut().flat_map(|deal| &mut deal.transactions);
    gas::fill_in(&node, transactions.collect()).await;
    Ok(Json(job))
}
