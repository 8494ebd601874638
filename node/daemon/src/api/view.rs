//! How the node's state looks through the API.

use alloy::primitives::B256;
use outcry_sdk::api::{
    Amount, BlobHash, ClaimView, ClaimedTask, DealProgress, DealState, DealTransaction, DealView,
    Job, TaskResult,
};

use crate::state::deal::DealRecord;
use crate::state::gateway::{JobRecord, Tally};
use crate::state::{State, provider};

/// A deal.
pub(super) fn deal(state: &State, deal: &DealRecord) -> DealView {
    let windows = &state.windows;
    let claim = deal.claim().map(|claim| ClaimView {
        claim_hash: claim.hash,
        result_root: claim.claim.resultRoot,
        cycles: claim.claim.cycles.into(),
        price: claim.claim.price.into(),
        claimed_at: claim.place.at,
        finalisable_at: claim.window_from + windows.challenge_s + 1,
        tasks: provider::tasks_of(deal)
            .zip(claim.task_results())
            .map(|(task, result)| ClaimedTask {
                task,
                cycles: result.cycles,
                inner: result.inner,
            })
            .collect(),
    });
    let (paid, fee) = deal.paid();
    let watch = state
        .jobs
        .get(&deal.terms.bidHash)
        .and_then(|job| job.watches.get(&deal.id));
    let report = watch.and_then(|watch| watch.report);
    let progress = report
        .filter(|_| deal.state() == DealState::Open)
        .map(|report| DealProgress {
            running: report.running,
            tasks_done: report.tasks_done,
            cycles: report.cycles.into(),
        });
    DealView {
        deal_id: deal.id,
        state: deal.state(),
        peer_key: state.peer_key_of(deal).unwrap_or_default(),
        terms: deal.terms.clone(),
        progress,
        claim,
        paid: paid.saturating_sub(fee).into(),
        refunded: deal.refunded().into(),
        transactions: deal
            .history
            .iter()
            .map(|(place, change)| DealTransaction {
                kind: change.transaction_kind().to_owned(),
                hash: place.transaction,
                block: place.block,
                gas_used: None,
            })
            .collect(),
    }
}

/// A job that was submitted here.
pub(super) fn job(state: &State, id: B256, job: &JobRecord) -> Job {
    let deals = state.deals_of(id);
    let tally = Tally::of(job.signed.bid.tasks, deals.iter().copied());
    Job {
        id,
        state: job.state,
        buyer: job.signed.bid.buyer,
        token: job.signed.bid.token,
        job_hash: job.signed.bid.jobHash,
        manifest: BlobHash::from(job.signed.job.manifest),
        tasks: job.signed.bid.tasks,
        tasks_open: tally.open,
        tasks_claimed: tally.claimed,
        tasks_settled: tally.paid,
        submitted_at: job.submitted_at,
        expiry: job.signed.bid.expiry,
        price: Amount::from(tally.price),
        deals: deals.iter().map(|record| deal(state, record)).collect(),
        problem: None,
    }
}

/// The result of one task.
pub(super) fn result(result: &provider::TaskResult) -> TaskResult {
    TaskResult {
        task: result.task,
        status: result.outcome.status,
        exit_code: result.outcome.exit_code,
        cycles: result.cycles,
        output_root: result.outcome.output_root,
        output_length: result.outcome.output_length,
        blake3: BlobHash::from(result.output),
    }
}
