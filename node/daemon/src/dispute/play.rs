//! The next move of a game, the verdict on its claim, and its payout.

use std::sync::Arc;

use alloy::primitives::{Address, B256};
use alloy::sol_types::SolCall;
use outcry_chain::IntentKind;
use outcry_contracts::Game;
use outcry_verifier::game::{Decision, Move, Part, Party, Standing, Trace, View, next_move};

use super::trace::Subject;
use crate::activities::ActivityProblem;
use crate::chain::ChainProblem;
use crate::node::Node;
use crate::run::RunProblem;
use crate::state::deal::DealRecord;
use crate::state::dispute::{DisputeRecord, GameKey};
use crate::state::{Fact, State};

/// Most games that one transaction pays out.
const COLLECTED_AT_ONCE: usize = 32;

impl From<GameKey> for Game::GameKey {
    fn from(key: GameKey) -> Self {
        Self {
            claimHash: key.claim_hash,
            task: key.task,
            challenger: key.challenger,
            until: key.until,
        }
    }
}

fn on_chain(part: &Part, level: u8) -> Game::Part {
    Game::Part {
        index: part.index,
        level,
        before: part.before,
        end: part.end,
        path: part.path,
    }
}

/// A game in which it is this node's turn, as it stands after so many sections.
fn in_play(state: &State, id: B256, moves: u8) -> Result<(DisputeRecord, Party), ActivityProblem> {
    let me = state.setup.account.ok_or(ChainProblem::NoAccount)?;
    let game = state.disputes.get(&id).ok_or(ActivityProblem::Stale)?;
    let side = game.side(me).ok_or(ActivityProblem::Stale)?;
    let goes_on =
        game.is_running() && game.moves() == moves && !state.claim_fell(game.key.claim_hash);
    if goes_on {
        Ok((game.clone(), side))
    } else {
        Err(ActivityProblem::Stale)
    }
}

/// The task that a game is about, with its bytes.
async fn subject(node: &Node, game: &DisputeRecord) -> Result<Subject, ActivityProblem> {
    let job = node.read(|state| {
        let deal = state.deals.get(&game.deal)?;
        state.job_of(deal).cloned()
    });
    let job = job.ok_or(ActivityProblem::Stale)?;
    let task = game.key.task;
    let inputs = node
        .fetcher
        .inputs(&job, task..task.saturating_add(1), game.deal)
        .await
        .map_err(RunProblem::from)?;
    Ok(Subject { job, task, inputs })
}

/// Makes the next move of a game, or ends it if the opponent let its clock run out.
pub(crate) async fn play(
    node: &Arc<Node>,
    id: B256,
    moves: u8,
    attempt: u64,
) -> Result<(), ActivityProblem> {
    let (record, me) = node.read(|state| in_play(state, id, moves))?;
    let game = record.game();
    let game = game.map_err(|error| ActivityProblem::Mismatch(error.to_string()))?;
    let (now, job_hash) = node.read(|state| {
        let deal = state.deals.get(&record.deal);
        (state.head.at, deal.map(|deal| deal.terms.jobHash))
    });
    let job_hash = job_hash.ok_or(ActivityProblem::Stale)?;
    let clocks = record.clocks();
    let decision = match record.standing(now) {
        Standing::Overdue { mover } if mover == me => return Err(ActivityProblem::Stale),
        // No trace is needed for that.
        Standing::Overdue { .. } => Decision::Move(Move::Timeout),
        Standing::Running { left, .. } => {
            let due = now.saturating_add(left.into());
            let own_end = match me {
                Party::Challenger => record.halted,
                Party::Provider => record.asserted,
            };
            let task = (job_hash, record.key.task, record.key.until);
            let asked = node
                .traces
                .ask(task, due, subject(node, &record), move |trace| {
                    let view = View {
                        game: &game,
                        clocks,
                        claim_fell: false,
                        me,
                    };
                    let decision = next_move(&view, trace, now)?;
                    // From the halt on every state is the halted one.
                    let end = trace.state(u64::MAX)?;
                    Ok((decision, end))
                });
            let asked = asked.await;
            // The trace may have taken long, or was stopped because the game is over.
            node.read(|state| in_play(state, id, moves))?;
            let (decision, end) = asked?;
            if end != own_end {
                tracing::error!(game = %id, %end, %own_end, "the machine disagrees with what this node asserted");
                return without_move(
                    node,
                    &record,
                    "native run and machine differ, which is a defect",
                )
                .await;
            }
            decision
        }
    };
    match decision {
        Decision::Wait => Err(ActivityProblem::Stale),
        Decision::Agrees => {
            let why = "the opponent's states are those of this node's machine: nothing is disputed";
            without_move(node, &record, why).await
        }
        Decision::StartsElsewhere => {
            let why = "the task starts in another state than the game says: the program or the input \
                       differs";
            without_move(node, &record, why).await
        }
        Decision::Move(found) => make(node, &record, me, found, attempt).await,
    }
}

/// Asking again gives the same answer: the game is left alone until it goes on.
async fn without_move(
    node: &Node,
    record: &DisputeRecord,
    why: &str,
) -> Result<(), ActivityProblem> {
    tracing::error!(game = %record.id, why, "a game can't be played");
    let fact = Fact::NoMove {
        game: record.id,
        after: record.last_move(),
    };
    node.core.apply(fact).await?;
    Err(ActivityProblem::Stale)
}

/// Ends a game of others whose mover's clock has run out.
pub(crate) async fn end_overdue(node: &Arc<Node>, id: B256) -> Result<(), ActivityProblem> {
    let (applied, key, moves) = node
        .read(|state| {
            let game = state.disputes.get(&id)?;
            let overdue = matches!(game.standing(state.head.at), Standing::Overdue { .. });
            (game.is_running() && overdue).then(|| (state.head.number, game.key, game.moves()))
        })
        .ok_or(ActivityProblem::Stale)?;
    let call = Game::timeoutCall { key: key.into() }.abi_encode();
    node.chain
        .call_game(
            IntentKind::GameTimeout,
            id,
            moves.into(),
            vec![call],
            None,
            applied,
        )
        .await?;
    Ok(())
}

async fn make(
    node: &Node,
    record: &DisputeRecord,
    me: Party,
    found: Move,
    attempt: u64,
) -> Result<(), ActivityProblem> {
    let key = Game::GameKey::from(record.key);
    let proof = found.proof_bytes();
    let (kind, call) = match &found {
        Move::Section { part, ends } => (
            IntentKind::Section,
            Game::sectionCall {
                key: key.clone(),
                part: on_chain(part, record.sections.saturating_sub(record.moves())),
                ends: **ends,
            }
            .abi_encode(),
        ),
        Move::Prove { part, .. } => (
            IntentKind::Prove,
            Game::proveCall {
                key: key.clone(),
                part: on_chain(part, 0),
                proof: proof.into(),
            }
            .abi_encode(),
        ),
        Move::Timeout => (
            IntentKind::GameTimeout,
            Game::timeoutCall { key: key.clone() }.abi_encode(),
        ),
    };
    let mut calls = vec![call];
    let (head, claim) = node.read(|state| (state.head, closing(state, record, me)));
    // What follows an end is done in the same transaction, unless that was refused: somebody else may
    // have done a part of it.
    if kind != IntentKind::Section && attempt == 0 {
        if let Some((deal, claim)) = claim {
            calls.push(Game::settleCall { deal, claim }.abi_encode());
            calls.push(Game::collectCall { key }.abi_encode());
        } else if me == Party::Provider {
            calls.push(Game::collectCall { key }.abi_encode());
        }
    }
    let moves = u64::from(record.moves());
    let not_after = match record.standing(head.at) {
        Standing::Running { left, .. } if record.clocks().runs(me, head.at) => {
            Some(head.at + u64::from(left))
        }
        _ => None,
    };
    let mined = node
        .chain
        .call_game(kind, record.id, moves, calls, not_after, head.number)
        .await?;
    tracing::info!(
        game = %record.id, %kind, after_sections = moves, transaction = %mined.hash,
        gas = mined.gas_used, "a move was made"
    );
    Ok(())
}

/// The deal and the claim, if this node's winning of the game decides about the claim.
fn closing(state: &State, record: &DisputeRecord, me: Party) -> Option<(Game::Deal, Game::Claim)> {
    let others = state.games_about(record.key.claim_hash);
    let decides = match me {
        Party::Challenger => true,
        Party::Provider => others
            .iter()
            .all(|game| game.id == record.id || game.won().is_some()),
    };
    decides
        .then(|| state.deals.get(&record.deal).and_then(terms_and_claim))
        .flatten()
}

fn terms_and_claim(deal: &DealRecord) -> Option<(Game::Deal, Game::Claim)> {
    let claim = deal.claim()?;
    Some((deal.terms.clone().into(), claim.claim.into()))
}

/// Tells the market the verdict on a claim.
pub(crate) async fn verdict(node: &Arc<Node>, claim_hash: B256) -> Result<(), ActivityProblem> {
    let (applied, round, found) = node.read(|state| {
        let games = state.games_about(claim_hash);
        let ended = games.iter().filter(|game| game.won().is_some()).count();
        let deal = games.first().and_then(|game| state.deals.get(&game.deal));
        (
            state.head.number,
            ended as u64,
            deal.and_then(terms_and_claim),
        )
    });
    let (deal, claim) = found.ok_or(ActivityProblem::Stale)?;
    let call = Game::settleCall { deal, claim }.abi_encode();
    node.chain
        .call_game(
            IntentKind::Verdict,
            claim_hash,
            round,
            vec![call],
            None,
            applied,
        )
        .await?;
    Ok(())
}

/// Has games about a claim paid out: own ones, and those of others that keep seats for which own ones wait.
pub(crate) async fn collect(node: &Arc<Node>, claim_hash: B256) -> Result<(), ActivityProblem> {
    let (applied, mut keys) = node.read(|state| (state.head.number, state.collectable(claim_hash)));
    keys.truncate(COLLECTED_AT_ONCE);
    let first = keys.first().ok_or(ActivityProblem::Stale)?.id();
    let calls = keys.iter().map(|key| {
        let key = Game::GameKey::from(*key);
        Game::collectCall { key }.abi_encode()
    });
    let round = keys.len() as u64;
    node.chain
        .call_game(
            IntentKind::Collect,
            first,
            round,
            calls.collect(),
            None,
            applied,
        )
        .await?;
    Ok(())
}

/// Gives a provider's free seats to games that wait for one.
pub(crate) async fn seat(node: &Arc<Node>, provider: Address) -> Result<(), ActivityProblem> {
    let (applied, round) = node.read(|state| {
        // Changes with every seat that is taken or given back.
        let of_provider = state
            .disputes
            .iter()
            .filter(|game| game.provider == provider);
        let others = of_provider.filter(|game| !game.holds_seat());
        (state.head.number, others.count() as u64)
    });
    let call = Game::seatCall { provider }.abi_encode();
    node.chain
        .call_game(
            IntentKind::Seat,
            provider.into_word(),
            round,
            vec![call],
            None,
            applied,
        )
        .await?;
    Ok(())
}
