//! Is it alive, is it ready, what does it count.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use outcry_protocol::codes;
use outcry_sdk::api::ErrorBody;

use super::error::ApiError;
use crate::node::Node;

/// Blocks that an own transaction may wait before the node counts as not ready.
const UNMINED_BLOCKS_MAX: u64 = 30;
/// Failures of the chain's endpoint in a row after which the node counts as not ready.
const CHAIN_FAILURES_MAX: u32 = 5;

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The node has read the chain up to its head, can send, and is not stopping.
#[utoipa::path(get, path = "/readyz", tag = "health", responses((status = 200, body = String), (status = 503, body = ErrorBody)))]
pub(super) async fn readyz(State(node): State<Arc<Node>>) -> Result<&'static str, ApiError> {
    match waits_for(&node) {
        None => Ok("ready\n"),
        Some(what) => Err(ApiError::coded(
            StatusCode::SERVICE_UNAVAILABLE,
            &codes::NET_NOT_READY,
            what,
        )),
    }
}

/// What keeps the node from being ready.
pub(crate) fn waits_for(node: &Node) -> Option<String> {
    if node.stop.is_cancelled() {
        return Some("the node is stopping".into());
    }
    let reader = node.reader_health.borrow().clone();
    if reader.failures >= CHAIN_FAILURES_MAX {
        return Some(format!(
            "the chain can't be read: {}",
            reader.error.unwrap_or_default()
        ));
    }
    if !node.read(|state| state.is_synced) {
        let head = reader
            .head
            .map_or_else(|| "?".to_owned(), |head| head.number.to_string());
        return Some(format!("block {} of {head} is applied", reader.read.number));
    }
    let sender = node
        .sender_health
        .as_ref()
        .map(|health| health.borrow().clone())?;
    if let Some(blocked) = sender.blocked {
        return Some(format!("transactions are held back: {blocked}"));
    }
    (sender.oldest_unmined_blocks > UNMINED_BLOCKS_MAX).then(|| {
        format!(
            "a transaction waits for {} blocks",
            sender.oldest_unmined_blocks
        )
    })
}

/// Counters in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, body = String)))]
pub(super) async fn metrics(State(node): State<Arc<Node>>) -> impl IntoResponse {
    let text = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, text)], node.metrics.text())
}

/// The document that describes the API.
pub(super) async fn openapi() -> Result<impl IntoResponse, ApiError> {
    let text = super::document().map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text))
}
