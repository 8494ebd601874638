//! A claim that was found to be false is challenged, within the limits of the configuration.

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
use crate::activities::ActivityProblem;
use crate::node::Node;
use crate::run::RunProblem;
use crate::state::deal::DealRecord;
use crate::state::dispute::{GameKey, Mismatch};
use crate::state::provider::tasks_of;

/// Challenges the claim of a deal, if that is still to be done.
pub(crate) async fn challenge(node: &Arc<Node>, id: B256) -> Result<(), ActivityProblem> {
    // One at a time, so that the limits hold for all together.
    let _turn = node
        .challenging
        .acquire()
        .await
        .map_err(|_| ActivityProblem::Stale)?;
    let (deal, job, found, me) = node
        .read(|state| {
            let deal = state.deals.get(&id)?;
            let found = state.challengeable(deal)?;
            let job = state.job_of(deal)?.clone();
            Some((deal.clone(), job, found, state.setup.account?))
        })
        .ok_or(ActivityProblem::Stale)?;
    let claim = deal.claim().ok_or(ActivityProblem::Stale)?;
    let key = GameKey {
        claim_hash: claim.hash,
        task: found.task,
        challenger: me,
    };
    let bond = bond(node, &deal, &job, key).await?;
    let subject = Subject {
        inputs: node
            .fetcher
            .inputs(&job, found.task..found.task.saturating_add(1), id)
            .await
            .map_err(RunProblem::from)?,
        task: found.task,
        job,
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
    let (start, subject) = starting.await.map_err(|_| TraceProblem::Gone)??;
    let call = call(&deal, &subject.job, &found, &manifest, start, bond)?;
    let (applied, until) = node.read(|state| {
        (
            state.head.number,
            claim.window_from + state.windows.challenge_s,
        )
    });
    let mined = node
        .chain
        .call_game(
            IntentKind::Challenge,
            key.id(),
            0,
            vec![Game::challengeCall { call }.abi_encode()],
            Some(until),
            applied,
        )
        .await?;
    tracing::info!(
        deal = %id, task = found.task, game = %key.id(), bond_wei = bond,
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
            node.read(|state| (state.disputes.contains_key(&key.id()), state.head.number));
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

/// The bond, if the configuration and the account allow it.
async fn bond(
    node: &Node,
    deal: &DealRecord,
    job: &JobSpec,
    key: GameKey,
) -> Result<u128, ActivityProblem> {
    let limits = &node.config.verifier;
    let bond = node
        .chain
        .bond_for(deal.terms.provider, job.cycleLimit)
        .await?;
    let refused = |reason: String| {
        Err(ActivityProblem::Dispute(format!(
            "the claim of deal {} is false and is not challenged: {reason}",
            deal.id
        )))
    };
    if bond > limits.bond_max.0 {
        return refused(format!(
            "its bond of {bond} wei is more than verifier.bond_max, {}",
            limits.bond_max.0
        ));
    }
    let (games, at_risk) = node.read(|state| state.at_risk());
    if games >= limits.games_max as usize {
        return refused(format!(
            "{games} games run, as many as verifier.games_max allows"
        ));
    }
    if at_risk.saturating_add(bond) > limits.value_at_risk_max.0 {
        return refused(format!(
            "{at_risk} wei are at risk, and {bond} more exceed verifier.value_at_risk_max, {}",
            limits.value_at_risk_max.0
        ));
    }
    let coins = node.chain.coins_of(key.challenger).await?;
    if coins < U256::from(bond) {
        return refused(format!(
            "its bond is {bond} wei, and {} has {coins} wei on the market; deposit coins with \
             `outcry deposit --token coin AMOUNT`",
            key.challenger
        ));
    }
    Ok(bond)
}

/// The call of `challenge`.
fn call(
    deal: &DealRecord,
    job: &JobSpec,
    found: &Mismatch,
    manifest: &Manifest,
    start: TaskStart,
    bond: u128,
) -> Result<Game::ChallengeCall, ActivityProblem> {
    let wrong = |error: merkle::MerkleError| ActivityProblem::Mismatch(error.to_string());
    let claim = deal.claim().ok_or(ActivityProblem::Stale)?;
    let claimed = claim.task_results();
    let halted: Vec<B256> = tasks_of(deal)
        .zip(&claimed)
        .map(|(task, result)| halted_hash(deal.terms.jobHash, task, result.cycles, result.inner))
        .collect();
    let position = found.task.saturating_sub(deal.terms.firstTask);
    let disputed = claimed
        .get(position as usize)
        .ok_or(ActivityProblem::Stale)?;
    let path = |leaves: &[B256], index: u32| {
        merkle::proof(leaves, merkle::ceil_log2(leaves.len() as u64), index.into()).map_err(wrong)
    };
    let inputs: Vec<B256> = (0..)
        .zip(&manifest.tasks)
        .map(|(index, task)| task_leaf(index, task.blake3.into(), task.input_root, task.length))
        .collect();
    let input = manifest
        .tasks
        .get(found.task as usize)
        .ok_or(ActivityProblem::Stale)?;
    let [shape, code, globals, tables, segments, memories] = start.image;
    Ok(Game::ChallengeCall {
        deal: deal.terms.clone().into(),
        claim: claim.claim.into(),
        job: job.clone().into(),
        claimed: Game::ClaimedTask {
            task: found.task,
            cycles: disputed.cycles,
            inner: disputed.inner,
            path: path(&halted, position)?,
        },
        input: Game::InputOpening {
            blake3: input.blake3.into(),
            length: input.length,
            archive: start.archive,
            path: path(&inputs, found.task)?,
        },
        image: Game::Image {
            shape: shape.into(),
            code,
            globals,
            tables,
            segments,
            memories,
        },
        memories: start
            .memories
            .into_iter()
            .map(|[root, shape]| Game::Memory {
                root,
                shape: shape.into(),
            })
            .collect(),
        halted: found.halted,
        bondMax: U256::from(bond),
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
