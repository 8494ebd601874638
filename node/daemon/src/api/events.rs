//! A job's events as a stream that a client can resume: `id` is the event's number, and a request
//! with `Last-Event-ID` continues after it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::B256;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use outcry_protocol::codes;
use outcry_sdk::api::{ErrorBody, JobEvent, JobEventKind};

use super::error::ApiError;
use crate::node::Node;

/// Comments on a silent stream, so that both sides notice when the other is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Events read from the store at a time.
const PAGE: usize = 64;

/// Streams a job's events.
#[utoipa::path(
    get, path = "/v1/jobs/{bidHash}/events", tag = "jobs",
    params(("bidHash" = String, Path, description = "the job's id"),
           ("Last-Event-ID" = Option<u64>, Header, description = "number of the last event that the client has")),
    responses((status = 200, body = JobEvent, content_type = "text/event-stream"), (status = 404, body = ErrorBody))
)]
pub(super) async fn stream(
    State(node): State<Arc<Node>>,
    Path(job): Path<B256>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    if !node.read(|state| state.jobs.contains_key(&job)) {
        return Err(ApiError::unknown(&codes::ORDER_UNKNOWN, "job"));
    }
    let after = match headers.get("last-event-id") {
        None => 0,
        Some(value) => value
            .to_str()
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or_else(|| ApiError::malformed("Last-Event-ID is not the number of an event"))?,
    };
    let cursor = Cursor {
        node: Arc::clone(&node),
        job,
        after,
        page: Vec::new().into_iter(),
        changed: node.changed(),
        ended: false,
    };
    let events = futures::stream::unfold(cursor, |mut cursor| async move {
        let event = cursor.next().await?;
        let event = Event::default()
            .id(event.seq.to_string())
            .json_data(&event)
            .ok()?;
        Some((Ok(event), cursor))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

struct Cursor {
    node: Arc<Node>,
    job: B256,
    after: u64,
    page: std::vec::IntoIter<JobEvent>,
    changed: tokio::sync::watch::Receiver<u64>,
    ended: bool,
}

impl Cursor {
    /// The next event, waited for; `None` after the last.
    async fn next(&mut self) -> Option<JobEvent> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(event) = self.page.next() {
                self.after = event.seq;
                self.ended = matches!(event.event, JobEventKind::Ended {});
                return Some(event);
            }
            self.changed.borrow_and_update();
            let page = match self.node.job_events(self.job, self.after, PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(%error, job = %self.job, "a job's events can't be read");
                    return None;
                }
            };
            if page.is_empty() {
                self.changed.changed().await.ok()?;
            }
            self.page = page.into_iter();
        }
    }
}
