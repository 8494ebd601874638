//! Feeds the state with blocks, one update after another.

use std::sync::Arc;

use outcry_chain::{ChainError, ChainUpdate, MarketFollower};

use crate::chain::{ChainProblem, observe};
use crate::node::Node;
use crate::state::Fact;
use crate::state::chain::{Block, Event};

/// Follows the chain until the node stops or something happens that no waiting mends.
///
/// # Errors
/// [`ChainError`].
pub async fn follow(node: Arc<Node>, mut follower: MarketFollower) -> Result<(), ChainError> {
    loop {
        let update = tokio::select! {
            update = follower.next() => update?,
            () = node.stop.cancelled() => return Ok(()),
        };
        match update {
            ChainUpdate::Rollback { to } => {
                tracing::warn!(block = to.number, "the chain was reorganised");
                node.core.roll_back(to.number, &mut follower).await?;
            }
            ChainUpdate::Blocks(blocks) => {
                let events: Vec<Event> = {
                    let fee_bps = node.parameters.feeBps;
                    blocks
                        .events
                        .into_iter()
                        .flat_map(|event| observe(event, fee_bps))
                        .collect()
                };
                let keys = node.read(|state| state.touched(&events));
                let facts = match node.chain.facts(keys, blocks.last.number).await {
                    Ok(facts) => facts,
                    Err(error @ (ChainProblem::Call(_) | ChainProblem::Chain(_))) => {
                        // The same update comes again, or a rollback if the block is gone.
                        tracing::warn!(%error, "facts could not be read; trying again");
                        tokio::time::sleep(std::time::Duration::from_millis(
                            node.config.chain.poll_ms,
                        ))
                        .await;
                        continue;
                    }
                    Err(error) => {
                        tracing::error!(%error, "facts could not be read");
                        return Ok(());
                    }
                };
                let last = Block {
                    number: blocks.last.number,
                    hash: blocks.last.hash,
                    at: blocks.last.timestamp_s,
                };
                let is_head = blocks.last.number >= blocks.head.number;
                let fact = Fact::Blocks {
                    last,
                    is_head,
                    events,
                    facts,
                };
                let changes = node.core.apply_blocks(fact, &mut follower).await?;
                for holder in changes.released {
                    // What was kept may go when room is needed; until then it is still served.
                    if let Err(error) = node.blobs().unpin(holder).await {
                        tracing::warn!(%error, %holder, "blobs of a finished deal stay on disk");
                    }
                }
                node.metrics.block.set(last.number.cast_signed());
                node.metrics.block_timestamp.set(last.at.cast_signed());
                let (bids, offers, games) = node.read(|state| {
                    let games = state.own_games().into_iter();
                    let running = games.filter(|(game, _)| game.is_running()).count();
                    (state.book.bids().len(), state.book.offers().len(), running)
                });
                node.metrics
                    .bids
                    .set(i64::try_from(bids).unwrap_or(i64::MAX));
                node.metrics
                    .offers
                    .set(i64::try_from(offers).unwrap_or(i64::MAX));
                node.metrics
                    .games
                    .set(i64::try_from(games).unwrap_or(i64::MAX));
            }
        }
    }
}
