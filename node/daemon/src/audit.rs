//! Taking part in audits: as the provider of an audited claim, and as an auditor that was drawn.
//!
//! Stage of a job served here: between claim and settlement. [`crate::state::audit`] says what is wanted
//! now; here is what is thin around it. What an own run gave is on disk before it is committed to, and the
//! salt follows from the account's key and the claim, so that a node that was killed reveals what it had
//! committed to.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::signers::SignerSync;
use alloy::sol_types::SolCall;
use outcry_chain::IntentKind;
use outcry_contracts::Audits;
use outcry_verifier::audit::{answer_commitment, report_commitment};
use outcry_verifier::machine::Point;

use crate::activities::{ActivityProblem, fetch_in_time};
use crate::chain::{ChainProblem, join_call};
use crate::dispute::{self, trace::Subject};
use crate::inputs::InputProblem;
use crate::node::Node;
use crate::run::RunProblem;
use crate::state::audit::{AuditFinding, AuditRecord, Draw, points_of};
use crate::state::{Fact, State};

/// What the salt of an audit's commitment is derived from, with the claim's hash.
const SALT: &[u8] = b"outcry.audit.salt.v1";
/// Least time that a native run is given, however late it begins.
const RUN_TIME_MIN: Duration = Duration::from_secs(60);

/// An audit that this node is a party of.
fn own(state: &State, claim: B256) -> Result<(AuditRecord, Address), ActivityProblem> {
    let me = state.setup.account.ok_or(ChainProblem::NoAccount)?;
    let audit = state.audits.records.get(&claim);
    let audit = audit.filter(|audit| audit.is_party(me) && !audit.is_closed());
    Ok((audit.cloned().ok_or(ActivityProblem::Stale)?, me))
}

/// Brings the beacon of a period on.
pub(crate) async fn beat(node: &Arc<Node>, period: u64) -> Result<(), ActivityProblem> {
    let applied = node.read(|state| state.head.number);
    let number = U256::from(period);
    let call = Audits::beatCall { period: number }.abi_encode();
    let subject = B256::from(number);
    let chain = &node.chain;
    chain
        .call_audits(IntentKind::Beat, subject, call, None, applied)
        .await?;
    Ok(())
}

/// Opens the audit of a deal's claim.
pub(crate) async fn open(node: &Arc<Node>, id: B256) -> Result<(), ActivityProblem> {
    let (deal, task, applied) = node
        .read(|state| {
            let deal = state.deals.get(&id)?;
            let claim = deal.claim()?;
            let Draw::Drawn { seed, .. } = state.audits.draw(deal, &claim) else {
                return None;
            };
            let tasks = NonZeroU32::new(deal.terms.taskCount)?;
            let task = seed.task(deal.terms.firstTask, tasks);
            Some((deal.clone(), task, state.head.number))
        })
        .ok_or(ActivityProblem::Stale)?;
    let claim = deal.claim().ok_or(ActivityProblem::Stale)?;
    let claimed = dispute::claimed_task(&deal, task)?;
    let call = Audits::openCall {
        deal: deal.terms.clone().into(),
        claim: claim.claim.into(),
        task: Audits::ClaimedTask {
            task: claimed.task,
            cycles: claimed.cycles,
            inner: claimed.inner,
            path: claimed.path,
        },
    };
    let chain = &node.chain;
    chain
        .call_audits(
            IntentKind::OpenAudit,
            claim.hash,
            call.abi_encode(),
            None,
            applied,
        )
        .await?;
    Ok(())
}

/// Runs the task of an audit: an auditor natively to its end and in the machine to its point, the provider
/// in the machine to all points.
pub(crate) async fn examine(node: &Arc<Node>, claim: B256) -> Result<(), ActivityProblem> {
    let (audit, me) = node.read(|state| own(state, claim))?;
    let job = node.read(|state| {
        let deal = state.deals.get(&audit.deal)?;
        state.job_of(deal).cloned()
    });
    let job = job.ok_or(ActivityProblem::Stale)?;
    let (task, due) = (audit.task, audit.commit_deadline);
    let points = points_of(&audit, me);
    let turn = node.fetching.take(due).await;
    let inputs = fetch_in_time(node, &job, task..task.saturating_add(1), audit.deal).await;
    drop(turn);
    let inputs = match inputs {
        Ok(inputs) => inputs,
        Err(problem) if is_unfetchable(node, &audit, me, &problem) => {
            tracing::warn!(%claim, %problem, "what an audit needs can't be fetched; saying so");
            let finding = AuditFinding {
                task,
                states: vec![B256::ZERO; points.len()],
                points,
                halted: Some(B256::ZERO),
            };
            node.core
                .apply(Fact::AuditExamined { claim, finding })
                .await?;
            return Ok(());
        }
        Err(problem) => return Err(RunProblem::from(problem).into()),
    };
    let mut halted = None;
    if me != audit.provider {
        let _turn = node.verifying.take(due).await;
        node.read(|state| own(state, claim))?;
        let now = node.read(|state| state.head.at);
        let time_max = Duration::from_secs(due.saturating_sub(now)).max(RUN_TIME_MIN);
        let mut run = node.executor.start(&job, &inputs, time_max).await?;
        for input in &inputs.archives {
            let (ended, output) = run
                .task(task, input, time_max)
                .await
                .map_err(RunProblem::from)?;
            let _ = tokio::fs::remove_file(output).await;
            let inner = ended.outcome.inner();
            let job_hash = outcry_protocol::hash::job_hash(&job);
            halted = Some(outcry_protocol::hash::halted_hash(
                job_hash,
                task,
                ended.cycles,
                inner,
            ));
        }
    }
    let named: Vec<Point> = points
        .iter()
        .filter_map(|point| Point::new(*point))
        .collect();
    if named.len() != points.len() {
        return Err(ActivityProblem::Mismatch("an auditor has no point".into()));
    }
    let core = Arc::clone(&node.core);
    let stop = node.stop.clone();
    let is_wanted = move || {
        !stop.is_cancelled()
            && core
                .read(|state| own(state, claim))
                .is_ok_and(|(now, _)| now.auditors == audit.auditors)
    };
    let subject = Subject { job, task, inputs };
    let states = node
        .traces
        .states_at(due, subject, named, is_wanted)
        .await?;
    let finding = AuditFinding {
        task,
        points,
        states,
        halted,
    };
    tracing::info!(%claim, task, states = finding.states.len(), "the task of an audit was run");
    node.core
        .apply(Fact::AuditExamined { claim, finding })
        .await?;
    Ok(())
}

/// Whether an auditor gives up fetching: nobody serves the bytes, or not those that were signed, and what is
/// left of the time is for its calls.
fn is_unfetchable(node: &Node, audit: &AuditRecord, me: Address, problem: &InputProblem) -> bool {
    let (now, clocks) = node.read(|state| (state.head.at, state.audits.rules.clocks));
    let is_late = now
        >= audit
            .commit_deadline
            .saturating_sub(clocks.inclusion_delay.into());
    let is_others = matches!(
        problem,
        InputProblem::Unavailable { .. } | InputProblem::Mismatch(_)
    );
    me != audit.provider && is_late && is_others
}

/// An own audit with what this node found for it, and the salt.
fn found(
    node: &Node,
    claim: B256,
) -> Result<(AuditRecord, Address, AuditFinding, B256), ActivityProblem> {
    let (audit, me, finding) = node.read(|state| {
        let (audit, me) = own(state, claim)?;
        let finding = state.audit_finding(&audit, me).cloned();
        Ok::<_, ActivityProblem>((audit, me, finding.ok_or(ActivityProblem::Stale)?))
    })?;
    let signer = node.signer.as_ref().ok_or(ChainProblem::NoAccount)?;
    // Signatures are deterministic (RFC 6979), and nobody else can make this one.
    let digest = keccak256([SALT, claim.as_slice()].concat());
    let signature = signer
        .sign_hash_sync(&digest)
        .map_err(|error| ChainProblem::Call(error.to_string()))?;
    Ok((audit, me, finding, keccak256(signature.as_bytes())))
}

/// What an auditor says: the state at its point, and the halted one.
fn report(finding: &AuditFinding) -> Result<(B256, B256), ActivityProblem> {
    let report = || Some((*finding.states.first()?, finding.halted?));
    report().ok_or(ActivityProblem::Stale)
}

/// Commits to what this node found.
pub(crate) async fn commit(node: &Arc<Node>, claim: B256) -> Result<(), ActivityProblem> {
    let (audit, me, finding, salt) = found(node, claim)?;
    let commitment = if me == audit.provider {
        answer_commitment(&finding.states, salt, me)
    } else {
        let (state, halted) = report(&finding)?;
        report_commitment(state, halted, salt, me)
    };
    let call = Audits::commitCall {
        claimHash: claim,
        commitment,
    };
    let applied = node.read(|state| state.head.number);
    let by = Some(audit.commit_deadline);
    let chain = &node.chain;
    chain
        .call_audits(IntentKind::Commit, claim, call.abi_encode(), by, applied)
        .await?;
    Ok(())
}

/// Reveals what this node committed to.
pub(crate) async fn reveal(node: &Arc<Node>, claim: B256) -> Result<(), ActivityProblem> {
    let (audit, me, finding, salt) = found(node, claim)?;
    let call = if me == audit.provider {
        let answers = finding.states;
        Audits::answerCall {
            claimHash: claim,
            answers,
            salt,
        }
        .abi_encode()
    } else {
        let (state, halted) = report(&finding)?;
        Audits::revealCall {
            claimHash: claim,
            state,
            halted,
            salt,
        }
        .abi_encode()
    };
    let (applied, clocks) = node.read(|state| (state.head.number, state.audits.rules.clocks));
    let by = Some(clocks.reveal_deadline(audit.commit_deadline));
    let chain = &node.chain;
    chain
        .call_audits(IntentKind::Reveal, claim, call, by, applied)
        .await?;
    Ok(())
}

/// Has an audit judged.
pub(crate) async fn close(node: &Arc<Node>, claim: B256) -> Result<(), ActivityProblem> {
    let (call, applied) = node.read(|state| {
        let audit = state.audits.records.get(&claim);
        let audit = audit.filter(|audit| !audit.is_closed());
        let audit = audit.ok_or(ActivityProblem::Stale)?;
        let deal = state.deals.get(&audit.deal).ok_or(ActivityProblem::Stale)?;
        let call = Audits::closeCall {
            deal: deal.terms.clone().into(),
            claim: deal.claim().ok_or(ActivityProblem::Stale)?.claim.into(),
        };
        Ok::<_, ActivityProblem>((call.abi_encode(), state.head.number))
    })?;
    let chain = &node.chain;
    chain
        .call_audits(IntentKind::CloseAudit, claim, call, None, applied)
        .await?;
    Ok(())
}

/// Takes a seat, if the stake is enough for one audit.
pub(crate) async fn join(node: &Arc<Node>, attempt: u64) -> Result<(), ActivityProblem> {
    let (me, capacity, has_seat, applied) = node.read(|state| {
        let me = state.setup.account.ok_or(ChainProblem::NoAccount)?;
        let capacity = state.audits.capacity.filter(|capacity| *capacity > 0);
        let capacity = capacity.ok_or(ActivityProblem::Stale)?;
        let has_seat = state.audits.seats.contains_key(&me);
        Ok::<_, ActivityProblem>((me, capacity, has_seat, state.head.number))
    })?;
    let stake = node.chain.stake_of(node.network.stake, me).await?;
    let least = node.stake_per_audit;
    if stake < U256::from(least) {
        if attempt == 0 {
            tracing::info!(
                %stake, least,
                "this node is not drawn for audits: it has staked too little; `outcry stake` stakes more"
            );
        }
        return Err(ActivityProblem::Stale);
    }
    let call = join_call(me, has_seat, capacity);
    let chain = &node.chain;
    chain
        .call_audits(IntentKind::Join, me.into_word(), call, None, applied)
        .await?;
    Ok(())
}

/// Gives the seat up.
pub(crate) async fn retire(node: &Arc<Node>) -> Result<(), ActivityProblem> {
    let (me, applied) = node.read(|state| (state.setup.account, state.head.number));
    let me = me.ok_or(ChainProblem::NoAccount)?;
    let call = Audits::retireCall {}.abi_encode();
    let chain = &node.chain;
    chain
        .call_audits(IntentKind::Retire, me.into_word(), call, None, applied)
        .await?;
    Ok(())
}
