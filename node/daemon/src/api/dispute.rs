//! Games about claims, and what a verifier found and won.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy::primitives::{Address, B256, U256};
use axum::Json;
use axum::extract::State;
use outcry_protocol::codes;
use outcry_sdk::api::{
    Amount, AuditorStatus, DealTransaction, Dispute, ErrorBody, GameClocks, GameMove, GameParty,
    GamePayout, GameState, GameVerdict, Reward, Segment as Stretch, VerifierStatus, WrongClaim,
};
use outcry_verifier::game::{Party, Standing};

use super::Segment;
use super::error::ApiError;
use crate::admission::OrderProblem;
use crate::config::Role;
use crate::gas;
use crate::node::Node;
use crate::state::State as NodeState;
use crate::state::dispute::{DisputeRecord, GameKey, Turn};
use crate::state::provider::tasks_of;
use crate::state::verifier::Finding;

/// Games in one answer, the latest.
const DISPUTES_SHOWN_MAX: usize = 1000;
/// Wrong claims in one answer, the latest.
const WRONG_SHOWN_MAX: usize = 100;

/// Games about claims that this node has seen, the latest first, without their jobs and moves.
#[utoipa::path(get, path = "/v1/disputes", tag = "disputes", responses((status = 200, body = Vec<Dispute>)))]
pub(super) async fn list(State(node): State<Arc<Node>>) -> Json<Vec<Dispute>> {
    Json(node.read(|state| {
        let mut games: Vec<&DisputeRecord> = state.disputes.iter().collect();
        games.sort_by_key(|game| std::cmp::Reverse((game.began().block, game.id)));
        let shown = games.into_iter().take(DISPUTES_SHOWN_MAX);
        shown.map(|game| summary(state, game)).collect()
    }))
}

/// One game, with the gas of its moves.
#[utoipa::path(
    get, path = "/v1/disputes/{game}", tag = "disputes", params(("game" = String, Path)),
    responses((status = 200, body = Dispute), (status = 404, body = ErrorBody))
)]
pub(super) async fn one(
    State(node): State<Arc<Node>>,
    Segment(id): Segment<B256>,
) -> Result<Json<Dispute>, ApiError> {
    let found = node.read(|state| {
        let game = state.disputes.get(&id)?;
        let deal = state.deals.get(&game.deal);
        Some(Dispute {
            moves: moves(game),
            job: deal.and_then(|deal| state.job_of(deal)).cloned(),
            ..summary(state, game)
        })
    });
    let mut game = found.ok_or_else(|| ApiError::unknown(&codes::DEAL_UNKNOWN, "game"))?;
    let transactions = game.moves.iter_mut().map(|made| &mut made.transaction);
    gas::fill_in(&node, transactions.collect()).await;
    Ok(Json(game))
}

fn party(party: Party) -> GameParty {
    match party {
        Party::Challenger => GameParty::Challenger,
        Party::Provider => GameParty::Provider,
    }
}

/// A game as the API shows it, without its moves and its job.
fn summary(state: &NodeState, record: &DisputeRecord) -> Dispute {
    let standing = record.standing(state.head.at);
    let clocks = record.clocks();
    let left = |of: Party, at_last_move: u32| match standing {
        Standing::Running { mover, left } if mover == of && record.is_running() => left,
        Standing::Overdue { mover } if mover == of && record.is_running() => 0,
        _ => at_last_move,
    };
    let (mut by_timeout, mut verdict, mut payout) = (None, None, None);
    for (_, turn) in &record.history {
        match turn {
            Turn::Ended {
                by_timeout: late, ..
            } => by_timeout = Some(*late),
            Turn::Settled {
                stands,
                winner,
                reward,
            } => {
                verdict = Some(GameVerdict {
                    stands: *stands,
                    winner: Some(*winner).filter(|winner| !winner.is_zero()),
                    reward: (*reward).into(),
                });
            }
            Turn::Collected {
                to_challenger,
                to_provider,
                burned,
            } => {
                payout = Some(GamePayout {
                    to_challenger: (*to_challenger).into(),
                    to_provider: (*to_provider).into(),
                    burned: (*burned).into(),
                });
            }
            Turn::Challenged { .. } | Turn::Sectioned { .. } | Turn::Seated => {}
        }
    }
    let fell = state.claim_fell(record.key.claim_hash);
    Dispute {
        id: record.id,
        state: match record.won() {
            Some(true) => GameState::ChallengerWon,
            Some(false) => GameState::ProviderWon,
            None if fell => GameState::ClaimFell,
            None => GameState::Running,
        },
        deal_id: record.deal,
        claim_hash: record.key.claim_hash,
        task: record.key.task,
        provider: record.provider,
        challenger: record.key.challenger,
        until: record.key.until,
        initial: record.initial,
        asserted: record.asserted,
        halted: record.halted,
        sections: record.sections,
        sections_made: record.moves(),
        segment: segment(record),
        mover: (record.is_running() && !fell).then(|| party(record.mover())),
        clocks: GameClocks {
            total_s: record.clock_s,
            challenger_left_s: left(Party::Challenger, clocks.challenger_left),
            provider_left_s: left(Party::Provider, clocks.provider_left),
            seated: clocks.seated,
            overdue: record.is_running() && matches!(standing, Standing::Overdue { .. }),
        },
        bond: record.bond.into(),
        moves: Vec::new(),
        by_timeout,
        verdict,
        payout,
        job: None,
    }
}

/// Everything that happened in a game.
fn moves(record: &DisputeRecord) -> Vec<GameMove> {
    let mut mover = Party::Challenger;
    let mut made = |turn: &Turn| match turn {
        Turn::Challenged { .. } => ("challenge", Some(Party::Challenger), None, Vec::new()),
        Turn::Sectioned { part, ends } => {
            let by = mover;
            mover = mover.other();
            ("section", Some(by), Some(*part), ends.clone())
        }
        Turn::Seated => ("seat", None, None, Vec::new()),
        Turn::Ended {
            by_timeout: true, ..
        } => ("timeout", None, None, Vec::new()),
        Turn::Ended {
            challenger_won: true,
            ..
        } => ("prove", Some(Party::Challenger), None, Vec::new()),
        Turn::Ended { .. } => ("prove", Some(Party::Provider), None, Vec::new()),
        Turn::Settled { .. } => ("settle", None, None, Vec::new()),
        Turn::Collected { .. } => ("collect", None, None, Vec::new()),
    };
    let moves = record.history.iter().map(|(place, turn)| {
        let (kind, by, part, ends) = made(turn);
        GameMove {
            transaction: DealTransaction {
                kind: kind.to_owned(),
                hash: place.transaction,
                block: place.block,
                gas_used: None,
            },
            at: place.at,
            by: by.map(party),
            part,
            ends,
        }
    });
    moves.collect()
}

/// What the last section, or at first the challenge, disputes: the part of the opponent's list whose
/// own 16 parts the mover asserts.
fn segment(record: &DisputeRecord) -> Stretch {
    let made = record.moves();
    let level = match made {
        0 => record.sections,
        made => record.sections.saturating_sub(made - 1),
    };
    // The parts of which each lies in the one before.
    let (mut offset, mut steps_level) = (U256::ZERO, usize::from(record.sections));
    for (_, turn) in &record.history {
        if let Turn::Sectioned { part, .. } = turn {
            offset += U256::from(*part) << (4 * steps_level);
            steps_level = steps_level.saturating_sub(1);
        }
    }
    Stretch {
        offset: Amount(offset),
        level,
        steps: Amount(U256::from(1) << (4 * usize::from(level))),
    }
}

/// What the node has re-executed, found and won.
#[utoipa::path(get, path = "/v1/verifier", tag = "disputes", responses((status = 200, body = VerifierStatus), (status = 404, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn verifier(
    State(node): State<Arc<Node>>,
) -> Result<Json<VerifierStatus>, ApiError> {
    if !node.config.is(Role::Verifier) {
        return Err(ApiError::not_my_role("verifier"));
    }
    let account = node.read(|state| state.setup.account.filter(|_| state.setup.games_max > 0));
    let auditor = node.read(|state| state.setup.account);
    let (mut stake, mut coins) = (U256::ZERO, U256::ZERO);
    if let Some(account) = account {
        let reading = futures::future::try_join(
            node.chain.stake_of(node.network.stake, account),
            node.chain.coins_of(account),
        );
        (stake, coins) = reading.await.map_err(OrderProblem::from)?;
    }
    Ok(Json(node.read(|state| {
        let status = found(state, account);
        VerifierStatus {
            stake: stake.into(),
            coins: coins.into(),
            rewards: rewards(&node, state),
            audits: auditor
                .map(|account| super::audit::status(&node, state, account))
                .unwrap_or_default(),
            ..status
        }
    })))
}

/// The status, as far as the state tells it.
fn found(state: &NodeState, account: Option<Address>) -> VerifierStatus {
    let findings = || {
        state
            .verifications
            .findings
            .values()
            .flat_map(|checked| &checked.findings)
    };
    let count =
        |wanted: fn(&Finding) -> bool| findings().filter(|finding| wanted(finding)).count() as u64;
    let unavailable = count(|finding| matches!(finding, Finding::Unavailable));
    let own: Vec<&DisputeRecord> = state
        .own_games()
        .into_iter()
        .filter(|(_, side)| *side == Party::Challenger)
        .map(|(game, _)| game)
        .collect();
    let (mut won, mut lost) = (0, 0);
    let (mut bonds_lost, mut refunded) = (U256::ZERO, U256::ZERO);
    for game in &own {
        if game.won() == Some(false) {
            lost += 1;
            bonds_lost += U256::from(game.bond);
        } else if !game.is_running() {
            won += 1;
        }
        let paid = game.history.iter().find_map(|(_, turn)| match turn {
            Turn::Collected { to_challenger, .. } => Some(*to_challenger),
            _ => None,
        });
        if let Some(paid) = paid {
            refunded += U256::from(paid.saturating_sub(game.bond));
        }
    }
    let (running, at_risk) = state.at_risk();
    VerifierStatus {
        account,
        stake: Amount::ZERO,
        coins: Amount::ZERO,
        claims_seen: state.verifications.claims_seen,
        tasks_checked: findings().count() as u64 - unavailable,
        tasks_agreed: count(|finding| matches!(finding, Finding::Agreed)),
        tasks_mismatched: count(Finding::is_mismatch),
        tasks_unavailable: unavailable,
        queue: u32::try_from(state.unchecked().len()).unwrap_or(u32::MAX),
        games_running: u32::try_from(running).unwrap_or(u32::MAX),
        games_won: won,
        games_lost: lost,
        bonds_at_risk: at_risk.into(),
        bonds_lost: bonds_lost.into(),
        gas_refunded: refunded.into(),
        rewards: Vec::new(),
        wrong: wrong(state),
        audits: AuditorStatus::default(),
    }
}

/// Rewards of this node's account, per token.
fn rewards(node: &Node, state: &NodeState) -> Vec<Reward> {
    let mut rewards: BTreeMap<Address, U256> = BTreeMap::new();
    for (game, _) in state.own_games() {
        let Some(deal) = state.deals.get(&game.deal) else {
            continue;
        };
        for (_, turn) in &game.history {
            if let Turn::Settled { winner, reward, .. } = turn
                && Some(*winner) == state.setup.account
                && *winner == game.key.challenger
                && game.won() == Some(true)
            {
                *rewards.entry(deal.terms.token).or_default() += U256::from(*reward);
            }
        }
    }
    let shown = rewards.into_iter();
    shown
        .map(|(token, amount)| Reward {
            token: node.network.token_at(token),
            amount: amount.into(),
        })
        .collect()
}

/// Claims that this node found to be wrong, the latest first.
fn wrong(state: &NodeState) -> Vec<WrongClaim> {
    let mut wrong = Vec::new();
    for (id, checked) in &state.verifications.findings {
        if !checked.findings.iter().any(Finding::is_mismatch) {
            continue;
        }
        let Some((deal, claim)) = state
            .deals
            .get(id)
            .and_then(|deal| Some((deal, deal.claim()?)))
        else {
            continue;
        };
        if checked.claim_hash != claim.hash {
            continue;
        }
        for ((task, finding), claimed) in tasks_of(deal)
            .zip(&checked.findings)
            .zip(claim.task_results())
        {
            let Finding::Mismatched { cycles, outcome } = finding else {
                continue;
            };
            let key = state.setup.account.map(|challenger| GameKey {
                claim_hash: claim.hash,
                task,
                challenger,
                until: 0,
            });
            wrong.push(WrongClaim {
                deal_id: *id,
                task,
                provider: deal.terms.provider,
                claimed_cycles: claimed.cycles,
                claimed_inner: claimed.inner,
                found_cycles: *cycles,
                found_inner: outcome.inner(),
                found_at: checked.at,
                challengeable_until: claim.window_from + state.windows.challenge_s,
                game: key
                    .map(|key| key.id())
                    .filter(|game| state.disputes.get(game).is_some()),
            });
        }
    }
    wrong.sort_by_key(|claim| std::cmp::Reverse((claim.found_at, claim.deal_id, claim.task)));
    wrong.truncate(WRONG_SHOWN_MAX);
    wrong
}
