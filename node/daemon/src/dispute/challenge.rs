//! A claim that was found to be false is challenged, and so is a provider's answer that contradicts an
//! auditor, within the limits of the configuration.

use std::sync::Arc;

use alloy::primitives::{B256, U256};
use alloy::sol_types::SolCall;
use outcry_chain::IntentKind;
use outcry_contracts::Game;
use outcry_protocol::hash::{halted_hash, task_leaf};
use outcry_protocol::merkle;
use outcry_protocol::types::JobSpec;
use outcry_sdk::Manifest;
use outcry_verifier::game::TaskStart;

use super::trace::{Subject, TraceProblem};
use crate::activities::{ActivityProblem, fetch_in_time};
use crate::node::Node;
use crate::run::RunProblem;
use crate::state::State;
use crate::state::deal::DealRecord;
use crate::state::dispute::{GameKey, Mismatch};
use crate::state::provider::tasks_of;

/// A claim, or an answer about it, that is false and still to be challenged.
struct Due {
    deal: DealRecord,
    job: JobSpec,
    found: Mismatch,
    key: GameKey,
    /// Last second at which that is possible.
    until: u64,
    /// An auditor that does not challenge what contradicts it loses its stake, however many games run.
    is_auditors: bool,
}

impl Due {
    fn of(state: &State, id: B256) -> Result<Self, ActivityProblem> {
        let due = || {
            let deal = state.deals.get(&id)?;
            let found = state.challengeable(deal)?;
            let claim = deal.claim()?;
            Some(Self {
                job: state.job_of(deal)?.clone(),
                key: GameKey {
                    claim_hash: claim.hash,
                    task: found.task,
                    challenger: state.setup.account?,
                    until: 0,
                },
                until: claim.window_from + state.windows.challenge_s,
                found,
                deal: deal.clone(),
                is_auditors: false,
            })
        };
        due().ok_or(ActivityProblem::Stale)
    }

    /// What an auditor has to play for.
    fn of_audit(state: &State, claim: B256) -> Result<Self, ActivityProblem> {
        let due = || {
            let me = state.setup.account?;
            let audit = state.audits.records.get(&claim)?;
            let key = state.objectionable(audit, me)?;
            let (_, halted) = audit.report(me)?;
            let deal = state.deals.get(&audit.deal)?;
            let clocks = &state.audits.rules.clocks;
            Some(Self {
                job: state.job_of(deal)?.clone(),
                key,
                until: clocks.game_deadline(audit.commit_deadline),
                found: Mismatch {
                    task: audit.task,
                    halted,
                },
                deal: deal.clone(),
                is_auditors: true,
            })
        };
        due().ok_or(ActivityProblem::Stale)
    }
}

/// Challenges the claim of a deal, if that is still to be done.
pub(crate) async fn challenge(node: &Arc<Node>, deal: B256) -> Result<(), ActivityProblem> {
    begin(node, |state| Due::of(state, deal)).await
}

/// Brings the game about what contradicts this node in the audit of a claim.
pub(crate) async fn object(node: &Arc<Node>, claim: B256) -> Result<(), ActivityProblem> {
    begin(node, |state| Due::of_audit(state, claim)).await
}

async fn begin(
    node: &Arc<Node>,
    look: impl Fn(&State) -> Result<Due, ActivityProblem>,
) -> Result<(), ActivityProblem> {
    let due = node.read(&look)?;
    let id = due.deal.id;
    let turn = node.fetching.take(due.until).await;
    let task = due.found.task;
    let inputs = fetch_in_time(node, &due.job, task..task.saturating_add(1), id);
    let subject = Subject {
        inputs: inputs.await.map_err(RunProblem::from)?,
        task,
        job: due.job,
    };
    let manifest = node
        .fetcher
        .manifest(&subject.job, id)
        .await
        .map_err(RunProblem::from)?;
    let tracer = Arc::clone(&node.tracer);
    let starting = tokio::task::spawn_blocking(move || {
        let start = tracer.start(&subject)?;
        Ok::<_, TraceProblem>((start, subject))
    });
    // The subject keeps its bytes on disk until the challenge is made.
    let (start, _subject) = starting.await.map_err(|_| TraceProblem::Gone)??;
    drop(turn);
    // One at a time, so that the limits hold for all together.
    let _turn = node.challenging.take(due.until).await;
    let key = due.key;
    let due = node.read(&look)?;
    if due.key != key {
        return Err(ActivityProblem::Stale);
    }
    let (bond, bond_max) = bond(node, &due).await?;
    let call = call(&due, &manifest, start, bond_max)?;
    let call = match key.until {
        0 => Game::challengeCall { call }.abi_encode(),
        _ => Game::challengeAnswerCall { call }.abi_encode(),
    };
    let applied = node.read(|state| state.head.number);
    let mined = node
        .chain
        .call_game(
            IntentKind::Challenge,
            key.id(),
            0,
            vec![call],
            Some(due.until),
            applied,
        )
        .await?;
    tracing::info!(
        deal = %id, task, until = key.until, game = %key.id(), bond_wei = bond,
        transaction = %mined.hash, gas = mined.gas_used, "a false claim was challenged"
    );
    seen(node, key).await
}

/// Waits until the state knows the game, so that its bond counts before the next challenge.
async fn seen(node: &Node, key: GameKey) -> Result<(), ActivityProblem> {
    let mut changed = node.changed();
    let head = node.read(|state| state.head.number);
    loop {
        let (known, block) =
            node.read(|state| (state.disputes.get(&key.id()).is_some(), state.head.number));
        // A fork may have taken it back: it is wanted again then.
        if known || block > head + SEEN_WITHIN_BLOCKS {
            return Ok(());
        }
        if changed.changed().await.is_err() {
            return Err(ActivityProblem::Stale);
        }
    }
}

/// Blocks within which a mined challenge is read.
const SEEN_WITHIN_BLOCKS: u64 = 3;

/// The bond as it is now and the most that it may be when the challenge is mined, if the configuration
/// and the account allow it. Others' challenges raise it.
async fn bond(node: &Node, due: &Due) -> Result<(u128, u128), ActivityProblem> {
    let limits = &node.config.verifier;
    let bond = node
        .chain
        .bond_for(due.deal.terms.provider, due.job.cycleLimit)
        .await?;
    let refused = |reason: String| {
        Err(ActivityProblem::Dispute(format!(
            "the claim of deal {} is false and is not challenged: {reason}",
            due.deal.id
        )))
    };
    if bond > limits.bond_max.0 {
        return refused(format!(
            "its bond of {bond} wei is more than verifier.bond_max, {}",
            limits.bond_max.0
        ));
    }
    let (games, at_risk) = node.read(|state| state.at_risk());
    if !due.is_auditors && games >= limits.games_max as usize {
        return refused(format!(
            "{games} games run, as many as verifier.games_max allows"
        ));
    }
    let left = limits.value_at_risk_max.0.saturating_sub(at_risk);
    if bond > left {
        return refused(format!(
            "{at_risk} wei are at risk, and {bond} more exceed verifier.value_at_risk_max, {}",
            limits.value_at_risk_max.0
        ));
    }
    let challenger = due.key.challenger;
    let coins = node.chain.coins_of(challenger).await?;
    if coins < U256::from(bond) {
        return refused(format!(
            "its bond is {bond} wei, and {challenger} has {coins} wei on the market; deposit coins with \
             `outcry deposit --token coin AMOUNT`"
        ));
    }
    Ok((bond, limits.bond_max.0.min(left)))
}

fn path(leaves: &[B256], index: u32) -> Result<Vec<B256>, ActivityProblem> {
    let depth = merkle::ceil_log2(leaves.len() as u64);
    merkle::proof(leaves, depth, index.into())
        .map_err(|error| ActivityProblem::Mismatch(error.to_string()))
}

/// What a claim's calldata says of a task of its job, with the path to the claim.
pub(crate) fn claimed_task(
    deal: &DealRecord,
    task: u32,
) -> Result<Game::ClaimedTask, ActivityProblem> {
    let claimed = deal.claim().ok_or(ActivityProblem::Stale)?.task_results();
    let halted: Vec<B256> = tasks_of(deal)
        .zip(&claimed)
        .map(|(task, result)| halted_hash(deal.terms.jobHash, task, result.cycles, result.inner))
        .collect();
    let position = task.saturating_sub(deal.terms.firstTask);
    let of_task = claimed
        .get(position as usize)
        .ok_or(ActivityProblem::Stale)?;
    Ok(Game::ClaimedTask {
        task,
        cycles: of_task.cycles,
        inner: of_task.inner,
        path: path(&halted, position)?,
    })
}

/// The call of `challenge`.
fn call(
    due: &Due,
    manifest: &Manifest,
    start: TaskStart,
    bond_max: u128,
) -> Result<Game::ChallengeCall, ActivityProblem> {
    let Due {
        deal, job, found, ..
    } = due;
    let claim = deal.claim().ok_or(ActivityProblem::Stale)?;
    let inputs: Vec<B256> = (0..)
        .zip(&manifest.tasks)
        .map(|(index, task)| task_leaf(index, task.blake3.into(), task.input_root, task.length))
        .collect();
    let input = manifest
        .tasks
        .get(found.task as usize)
        .ok_or(ActivityProblem::Stale)?;
    Ok(Game::ChallengeCall {
        deal: deal.terms.clone().into(),
        claim: claim.claim.into(),
        job: job.clone().into(),
        claimed: claimed_task(deal, found.task)?,
        input: Game::InputOpening {
            blake3: input.blake3.into(),
            length: input.length,
            archive: start.archive,
            path: path(&inputs, found.task)?,
        },
        image: start.image.into(),
        memories: start.memories.into_iter().map(Into::into).collect(),
        halted: found.halted,
        bondMax: U256::from(bond_max),
    })
}

impl From<TraceProblem> for ActivityProblem {
    fn from(problem: TraceProblem) -> Self {
        match problem {
            TraceProblem::Engine(failure) => Self::Run(RunProblem::Engine(failure)),
            other => Self::Dispute(other.to_string()),
        }
    }
}
