//! Who may change something: anybody on loopback, elsewhere who holds the token.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;

/// What the API demands of a changing call.
#[derive(Debug, Clone)]
pub enum Access {
    /// The API listens on loopback only.
    Loopback,
    /// The token, behind a pointer because every request carries a copy.
    Token(Arc<str>),
    /// The API listens beyond loopback and no token is configured: nothing can be changed.
    ReadOnly,
}

impl Access {
    /// What follows from where the API listens and the token.
    #[must_use]
    pub fn of(listen: SocketAddr, token: Option<String>) -> Self {
        match token {
            Some(token) => Self::Token(token.into()),
            None if listen.ip().is_loopback() => Self::Loopback,
            None => Self::ReadOnly,
        }
    }

    fn permits(&self, authorization: Option<&str>) -> bool {
        match self {
            Self::Loopback => true,
            Self::ReadOnly => false,
            Self::Token(token) => authorization
                .and_then(|value| value.strip_prefix("Bearer "))
                // Hashes, so that the comparison's time says nothing about the token.
                .is_some_and(|given| {
                    blake3::hash(given.as_bytes()) == blake3::hash(token.as_bytes())
                }),
        }
    }
}

/// Refuses changing calls that the access rule does not permit.
///
/// A browser's page must not be able to drive a node on its user's loopback: a changing call that
/// names an `Origin` is refused.
pub(super) async fn guard(access: Access, request: Request, next: Next) -> Response {
    if is_permitted(&access, &request) {
        next.run(request).await
    } else {
        ApiError::unauthorised().into_response()
    }
}

fn is_permitted(access: &Access, request: &Request) -> bool {
    if matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    ) || matches!(request.uri().path(), "/v1/explain" | "/v1/quote")
    {
        return true;
    }
    let header = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let is_from_a_page = header(header::ORIGIN).is_some() && matches!(access, Access::Loopback);
    !is_from_a_page && access.permits(header(header::AUTHORIZATION))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn beyond_loopback_nothing_changes_without_the_token() {
        let outside: SocketAddr = "0.0.0.0:80".parse().unwrap();
        assert!(!Access::of(outside, None).permits(None));
        let access = Access::of(outside, Some("sixteen-characters".into()));
        assert!(!access.permits(None));
        assert!(!access.permits(Some("Bearer wrong")));
        assert!(access.permits(Some("Bearer sixteen-characters")));
        assert!(Access::of("127.0.0.1:80".parse().unwrap(), None).permits(None));
    }
}
