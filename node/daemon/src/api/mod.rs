//! The HTTP API, `/v1`. Types live in `outcry_sdk::api`; the document that describes it is
//! generated from the handlers, checked in as `node/daemon/openapi.json` and compared by a test.

mod audit;
mod auth;
mod blobs;
mod deals;
mod dispute;
pub mod error;
mod events;
mod health;
mod jobs;
mod market;
mod prices;
mod status;
#[cfg(test)]
mod tests;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::routing::{get, post};
use outcry_protocol::limits::CANDLES_PER_PAGE_MAX;
use utoipa::OpenApi;

pub use auth::Access;
use error::ApiError;

use crate::node::Node;

/// Most bytes of a JSON body: an order with its job takes about 4 KiB.
const JSON_BYTES_MAX: usize = 64 << 10;
/// Requests served at once.
const REQUESTS_AT_ONCE: usize = 256;

/// The document that describes the API.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Outcry node",
        description = "What a node answers to buyers, operators and tools.",
        license(name = "Apache-2.0")
    ),
    paths(
        status::status,
        status::network,
        status::account,
        status::provider,
        status::drain,
        dispute::verifier,
        dispute::list,
        dispute::one,
        blobs::put,
        blobs::get,
        jobs::submit,
        jobs::offer,
        jobs::order,
        jobs::list,
        jobs::one,
        events::stream,
        deals::one,
        deals::results,
        deals::accept,
        deals::receipt,
        market::book,
        market::prices,
        prices::trades,
        prices::history,
        prices::value,
        prices::epochs,
        market::explain,
        market::explain_known,
        market::quote,
        health::healthz,
        health::readyz,
        health::metrics,
    )
)]
pub struct Document;

/// The document as it is checked in.
///
/// # Errors
/// None that can occur; serialising into memory is infallible for it.
pub fn document() -> Result<String, serde_json::Error> {
    Document::openapi().to_pretty_json().map(|text| text + "\n")
}

/// Every route, behind the access rule.
pub fn router(node: Arc<Node>, access: Access) -> Router {
    let json = Router::new()
        .route("/v1/status", get(status::status))
        .route("/v1/network", get(status::network))
        .route("/v1/accounts/{address}", get(status::account))
        .route("/v1/provider", get(status::provider))
        .route("/v1/provider/drain", post(status::drain))
        .route("/v1/verifier", get(dispute::verifier))
        .route("/v1/disputes", get(dispute::list))
        .route("/v1/disputes/{game}", get(dispute::one))
        .route("/v1/bids", post(jobs::submit))
        .route("/v1/offers", post(jobs::offer))
        .route("/v1/orders/{hash}", get(jobs::order))
        .route("/v1/jobs", get(jobs::list))
        .route("/v1/jobs/{bidHash}", get(jobs::one))
        .route("/v1/jobs/{bidHash}/events", get(events::stream))
        .route("/v1/deals/{dealId}", get(deals::one))
        .route("/v1/deals/{dealId}/results", get(deals::results))
        .route("/v1/deals/{dealId}/accept", post(deals::accept))
        .route("/v1/deals/{dealId}/receipts", post(deals::receipt))
        .route("/v1/book", get(market::book))
        .route("/v1/market/prices", get(market::prices))
        .route("/v1/market/trades", get(prices::trades))
        .route("/v1/market/history", get(prices::history))
        .route("/v1/market/value", get(prices::value))
        .route("/v1/market/epochs", get(prices::epochs))
        .route("/v1/explain", post(market::explain))
        .route("/v1/explain/{bidHash}", get(market::explain_known))
        .route("/v1/quote", post(market::quote))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(health::openapi))
        .layer(DefaultBodyLimit::max(JSON_BYTES_MAX));
    // A blob's own limit is checked while it streams.
    let blobs = Router::new()
        .route("/v1/blobs", post(blobs::put))
        .route("/v1/blobs/{blake3}", get(blobs::get))
        .layer(DefaultBodyLimit::disable());
    json.merge(blobs)
        .fallback(|| async { ApiError::unknown(&outcry_protocol::codes::NET_NOT_FOUND, "address") })
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            auth::guard(access.clone(), request, next)
        }))
        .layer(tower::limit::GlobalConcurrencyLimitLayer::new(
            REQUESTS_AT_ONCE,
        ))
        .with_state(node)
}

/// A JSON body, refused in the words of the API.
struct Body<T>(T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> axum::extract::FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(ApiError::too_long(JSON_BYTES_MAX as u64))
            }
            Err(JsonRejection::MissingJsonContentType(_)) => Err(ApiError::malformed(
                "the body's content type is not application/json",
            )),
            Err(rejection) => Err(ApiError::malformed(rejection.body_text())),
        }
    }
}

/// A path parameter, refused in the words of the API.
struct Segment<T>(T);

impl<S: Send + Sync, T: std::str::FromStr> axum::extract::FromRequestParts<S> for Segment<T>
where
    T::Err: std::fmt::Display,
{
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        state: &S,
    ) -> Result<Self, ApiError> {
        let text = axum::extract::Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| ApiError::malformed(rejection.body_text()))?;
        text.parse()
            .map(Self)
            .map_err(|error: T::Err| ApiError::malformed(format!("`{}`: {error}", *text)))
    }
}

/// A query, refused in the words of the API.
struct Asked<T>(T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> axum::extract::FromRequestParts<S>
    for Asked<T>
{
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        _: &S,
    ) -> Result<Self, ApiError> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|query| Self(query.0))
            .map_err(|rejection| ApiError::malformed(rejection.body_text()))
    }
}

/// Most items of one answer.
const PAGE_MAX: u32 = CANDLES_PER_PAGE_MAX;

/// The number of items to answer with: what was asked, within bounds.
fn limit(asked: Option<u32>) -> Result<usize, ApiError> {
    match asked {
        None => Ok(100),
        Some(limit @ 1..=PAGE_MAX) => Ok(limit as usize),
        Some(limit) => Err(ApiError::malformed(format!(
            "limit {limit} does not lie between 1 and {PAGE_MAX}"
        ))),
    }
}
