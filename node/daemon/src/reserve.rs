//! Reserved capacity: jobs that are drawn on this node, and rounds of the auction that it tends.

use std::path::PathBuf;
use std::sync::Arc;

use alloy::primitives::B256;
use alloy::sol_types::SolCall as _;
use outcry_chain::IntentKind;
use outcry_contracts::Auction as Contract;
use outcry_sdk::{AuctionRules, Chain, SealedOrders};

use crate::activities::{ActivityProblem, record};
use crate::chain::ChainProblem;
use crate::node::Node;
use crate::state::Fact;
use crate::state::draw::Step;

/// The auction, for a node that serves draws or tends rounds.
#[derive(Debug)]
pub(crate) struct Auction {
    /// Reads it, and says what to send.
    client: Chain,
    rules: AuctionRules,
    sealed: SealedOrders,
}

impl Auction {
    /// `orders` is the folder of orders that are to be revealed.
    pub(crate) fn new(client: Chain, rules: AuctionRules, orders: PathBuf) -> Self {
        Self {
            client,
            rules,
            sealed: SealedOrders::open(orders),
        }
    }
}

/// Signs an offer for a draw; the reservation that follows opens the deal.
pub(crate) async fn offer(node: &Arc<Node>, draw: B256) -> Result<(), ActivityProblem> {
    let offer = node.sign_draw_offer(draw).await?;
    node.core.apply(Fact::DrawOffered { draw, offer }).await?;
    Ok(())
}

/// Tells the auction how a draw ended.
pub(crate) async fn end(node: &Arc<Node>, id: B256) -> Result<(), ActivityProblem> {
    let (call, applied) = node.read(|state| {
        let draw = state.draws.get(&id).ok_or(ActivityProblem::Stale)?;
        let call = match state.draw_step(draw) {
            Some(Step::Answer(deal)) => {
                let deal = record(state, deal)?;
                let claim = deal.claim().ok_or(ActivityProblem::Stale)?.claim;
                Contract::answerCall {
                    _0: id,
                    _1: deal.terms.clone().into(),
                    _2: claim.into(),
                }
                .abi_encode()
            }
            Some(Step::GiveBack) => Contract::giveBackCall(id).abi_encode(),
            Some(Step::Lapse) => Contract::lapseCall(id).abi_encode(),
            Some(Step::Offer) | None => return Err(ActivityProblem::Stale),
        };
        Ok((call, state.head.number))
    })?;
    let auction = node.auction.as_ref().ok_or(ActivityProblem::Stale)?;
    node.chain
        .call_auction(
            IntentKind::EndDraw,
            auction.rules.address,
            call.into(),
            applied,
        )
        .await?;
    Ok(())
}

/// Does for a round what `outcry reserve tend` does, with transactions that are journalled: reveals the
/// account's orders, disproves false results, posts, settles, pays out.
pub(crate) async fn tend(node: &Arc<Node>, number: u64) -> Result<(), ActivityProblem> {
    let auction = node.auction.as_ref().ok_or(ActivityProblem::Stale)?;
    let Auction { client, rules, .. } = auction;
    // What is read from here on is no older than this.
    let (mark, applied) = node.read(|state| {
        let mark = state.round_mark(number).ok_or(ActivityProblem::Stale)?;
        Ok::<_, ActivityProblem>((mark, state.head.number))
    })?;
    let sealed = auction.sealed.clone();
    let (orders, unreadable) = tokio::task::spawn_blocking(move || sealed.all())
        .await
        .map_err(|error| ChainProblem::Call(error.to_string()))??;
    for error in unreadable {
        tracing::error!(%error, "a sealed order can't be read and may lose its deposit");
    }
    let mut steps = client.plan_reveals(rules, &orders).await?;
    let round = client.round(rules, number).await?;
    let token = node.network.token_at(rules.parameters.token);
    steps.extend(client.plan_tending(rules, &token, &round).await?);
    steps.extend(client.plan_payouts(rules, &round).await?);
    let mut refused = None;
    for step in steps {
        tracing::info!(what = step.what, "tending the auction");
        let call = node
            .chain
            .call_auction(IntentKind::Tend, step.to, step.data, applied);
        match call.await {
            Ok(_) => {}
            // Somebody else was first with it; what comes next may stand on its own.
            Err(ChainProblem::Refused(reason)) => refused = Some(reason),
            Err(other) => return Err(other.into()),
        }
    }
    if let Some(reason) = refused {
        return Err(ChainProblem::Refused(reason).into());
    }
    node.core
        .apply(Fact::Tended {
            round: number,
            phase: round.phase,
            mark,
        })
        .await?;
    Ok(())
}
