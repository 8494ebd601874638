//! Blobs: streamed in, streamed out, named by their BLAKE3 hash.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use outcry_net::{BlobError, NetError, PeerKey};
use outcry_protocol::codes;
use outcry_sdk::api::{BlobHash, BlobStored, ErrorBody};
use serde::Deserialize;
use tokio_util::io::StreamReader;

use super::error::ApiError;
use crate::node::Node;

/// Query of `GET /v1/blobs/{blake3}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FromPeer {
    /// Key of the peer that has the blob, in case this node does not.
    from: Option<String>,
}

/// Stores a blob.
#[utoipa::path(
    post, path = "/v1/blobs", tag = "blobs",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = BlobStored), (status = 413, body = ErrorBody), (status = 507, body = ErrorBody))
)]
pub(super) async fn put(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<BlobStored>, ApiError> {
    let limit = node.fetcher.blob_bytes_max;
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(ApiError::too_long(limit));
    }
    let reader = StreamReader::new(body.into_data_stream().map_err(std::io::Error::other));
    let stored = node
        .blobs()
        .put(reader, limit)
        .await
        .map_err(|error| refused(error, limit))?;
    Ok(Json(BlobStored {
        blake3: BlobHash(*stored.hash.as_bytes()),
        length: stored.length,
    }))
}

/// Streams a blob; with `from`, fetches it from that peer first when this node lacks it.
#[utoipa::path(
    get, path = "/v1/blobs/{blake3}", tag = "blobs",
    params(("blake3" = String, Path, description = "BLAKE3 hash, hex without 0x"),
           ("from" = Option<String>, Query, description = "key of a peer that has it, 0x hex")),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = 404, body = ErrorBody))
)]
pub(super) async fn get(
    State(node): State<Arc<Node>>,
    method: Method,
    Path(name): Path<String>,
    Query(query): Query<FromPeer>,
) -> Result<Response, ApiError> {
    let name: BlobHash = name.parse().map_err(ApiError::malformed)?;
    let hash = blake3::Hash::from_bytes(name.0);
    if let Some(from) = query.from
        && !node.blobs().contains(&hash)
    {
        let from: PeerKey = from
            .parse()
            .map_err(|error: NetError| ApiError::malformed(error.to_string()))?;
        let limit = node.fetcher.blob_bytes_max;
        node.fetcher
            .net
            .fetch(hash, &[from], limit, None)
            .await
            .map_err(|error| unfetchable(&error))?;
    }
    let blob = node
        .blobs()
        .get(&hash)
        .map_err(ApiError::internal)?
        .ok_or_else(|| ApiError::unknown(&codes::BLOB_MISSING, "blob"))?;
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(blob.id().length));
    // The name is the content: whoever has it has it for ever.
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=31536000, immutable"),
    );
    if method == Method::HEAD {
        return Ok((headers, Body::empty()).into_response());
    }
    let content = blob.stream(0);
    Ok((headers, Body::from_stream(content)).into_response())
}

fn refused(error: BlobError, limit: u64) -> ApiError {
    match error {
        BlobError::TooLong { .. } => ApiError::too_long(limit),
        other => ApiError::coded(
            axum::http::StatusCode::INSUFFICIENT_STORAGE,
            &codes::BLOB_SPACE,
            other.to_string(),
        ),
    }
}

pub(super) fn unfetchable(error: &NetError) -> ApiError {
    ApiError::coded(
        axum::http::StatusCode::BAD_GATEWAY,
        &codes::BLOB_MISSING,
        error.to_string(),
    )
}
