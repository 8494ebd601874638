//! Bids that come between two blocks are matched when they come, not at the next block: on a chain
//! with slow blocks that is most of the wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::node::Node;
use crate::state::{Fact, State};

/// Least pause between two matchings, in which bids gather.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// How many times as long as it took the node rests after a matching: with a large book it takes a
/// noticeable part of a second.
const REST: u32 = 9;

/// Matches arrivals until the node stops.
pub(crate) async fn match_them(node: Arc<Node>) {
    let mut changed = node.changed();
    loop {
        let mut pause = Duration::ZERO;
        if node.read(State::has_arrivals) {
            let since = Instant::now();
            if let Err(error) = node.core.apply(Fact::Arrivals).await {
                tracing::error!(%error, "the store failed; stopping, because nothing more would be remembered");
                node.stop.cancel();
                return;
            }
            pause = PAUSE_MIN.max(since.elapsed() * REST);
        }
        let next = async {
            tokio::time::sleep(pause).await;
            changed.changed().await
        };
        tokio::select! {
            next = next => if next.is_err() { return },
            () = node.stop.cancelled() => return,
        }
    }
}
