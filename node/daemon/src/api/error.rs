//! What a refused request answers with: a stable code, what is wrong, what to do about it.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use outcry_protocol::codes::{self, Code, Coded, Exit};
use outcry_sdk::api::ErrorBody;

use crate::admission::OrderProblem;

/// A refused or failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    body: ErrorBody,
}

impl ApiError {
    /// An error of the caller's making, or of the node's when `status` is 5xx.
    #[must_use]
    pub fn new(
        status: StatusCode,
        code: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            status,
            body: ErrorBody {
                code: code.into(),
                message: message.into(),
                help: help.into(),
            },
        }
    }

    /// An error with a row in the registry.
    #[must_use]
    pub fn coded(status: StatusCode, code: &Code, message: impl Into<String>) -> Self {
        Self::new(status, code.id, message, code.help)
    }

    /// The request can't be read.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::coded(StatusCode::BAD_REQUEST, &codes::NET_REQUEST, message)
    }

    /// A changing call from beyond loopback without the token.
    pub(crate) fn unauthorised() -> Self {
        Self::coded(
            StatusCode::UNAUTHORIZED,
            &codes::NET_UNAUTHORISED,
            "this call changes something and carries no valid bearer token",
        )
    }

    /// There is no such thing here.
    pub(crate) fn unknown(code: &Code, what: &str) -> Self {
        Self::coded(
            StatusCode::NOT_FOUND,
            code,
            format!("this node does not know the {what}"),
        )
    }

    /// The node does not have the role.
    pub(crate) fn not_my_role(role: &str) -> Self {
        Self::coded(
            StatusCode::NOT_FOUND,
            &codes::NET_ROLE,
            format!("this node is no {role}"),
        )
    }

    /// The body or a blob is too long.
    pub(crate) fn too_long(limit: u64) -> Self {
        Self::coded(
            StatusCode::PAYLOAD_TOO_LARGE,
            &codes::BLOB_SIZE,
            format!("the body exceeds {limit} bytes"),
        )
    }

    /// The node failed.
    pub(crate) fn internal(message: impl std::fmt::Display) -> Self {
        tracing::error!(%message, "request failed");
        Self::coded(
            StatusCode::INTERNAL_SERVER_ERROR,
            &codes::INTERNAL,
            message.to_string(),
        )
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.body.code
    }
}

impl From<OrderProblem> for ApiError {
    fn from(problem: OrderProblem) -> Self {
        let code = problem.code();
        let status = match (&problem, code.exit) {
            (OrderProblem::Chain(_), _) => StatusCode::BAD_GATEWAY,
            (OrderProblem::Store(_), _) => StatusCode::INTERNAL_SERVER_ERROR,
            (_, _) if code == &codes::NET_BUSY => StatusCode::TOO_MANY_REQUESTS,
            (_, Exit::Payment) => StatusCode::PAYMENT_REQUIRED,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::coded(status, code, problem.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}
