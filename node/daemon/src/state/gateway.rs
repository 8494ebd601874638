//! What a gateway knows and does about the jobs that buyers submitted through it.
//!
//! A job's state is a function of its bid, of its deals on the chain and of the time. The gateway
//! never holds a buyer's key: it forwards signatures that clients made.

use std::collections::BTreeMap;

use alloy::primitives::{B256, Bytes};
use outcry_protocol::wire::SignedBid;
use outcry_sdk::api::{DealState, JobEventKind, JobState};

use super::Windows;
use super::deal::{Change, DealRecord};
use super::provider::TaskResult;

/// How far a provider says it is with a deal. Nobody verifies it. Greater is further.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Report {
    /// The program runs; before, it is fetched and compiled.
    pub running: bool,
    /// Tasks that have a result.
    pub tasks_done: u32,
    /// Cycles of those tasks.
    pub cycles: u64,
}

/// A buyer's signature of `Accept` on its way to the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// The claim that it is about.
    pub claim_hash: B256,
    /// The signature.
    pub signature: Bytes,
    /// Unix seconds of the chain at which it came.
    pub received_at: u64,
    /// Whether the provider has acknowledged it.
    pub delivered: bool,
}

/// What a gateway holds about one deal of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch {
    /// What the provider says.
    pub report: Option<Report>,
    /// The furthest report that was announced as an event of the job: stage and tasks done. It only
    /// grows, so that a provider can't fill the disk with events.
    pub told: Option<(bool, u32)>,
    /// Changes of the deal that were announced as events of the job.
    pub announced: usize,
    /// Results, fetched from the provider and checked against the claim.
    pub results: Option<Vec<TaskResult>>,
    /// The buyer's acceptance.
    pub acceptance: Option<Acceptance>,
}

/// A job that was submitted here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRecord {
    /// The bid, its signature and the job.
    pub signed: SignedBid,
    /// Unix seconds of the chain.
    pub submitted_at: u64,
    /// Number of the last event.
    pub events: u64,
    /// State after the last event.
    pub state: JobState,
    /// The bid was cancelled on the chain.
    pub is_cancelled: bool,
    /// Per deal.
    pub watches: BTreeMap<B256, Watch>,
}

/// How the tasks of a job stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tasks that no live deal covers.
    pub open: u32,
    /// Tasks claimed, paid ones included.
    pub claimed: u32,
    /// Tasks paid.
    pub paid: u32,
    /// Sum of the prices of claimed deals, base units.
    pub price: u128,
}

impl Tally {
    /// Counts the tasks of a job over its deals.
    #[must_use]
    pub fn of<'a>(tasks: u32, deals: impl Iterator<Item = &'a DealRecord>) -> Self {
        let mut tally = Self {
            open: tasks,
            ..Self::default()
        };
        for deal in deals.filter(|deal| deal.has_tasks()) {
            let count = deal.terms.taskCount;
            tally.open = tally.open.saturating_sub(count);
            if let Some(claim) = deal.claim() {
                tally.claimed += count;
                tally.price = tally.price.saturating_add(claim.claim.price);
            }
            if deal.is_paid() {
                tally.paid += count;
            }
        }
        tally
    }
}

/// What decides a job's state beside its deals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// Chain time.
    pub now: u64,
    /// The last matching gave some of its tasks to an offer.
    pub matched: bool,
}

/// A job's state.
#[must_use]
pub fn job_state(job: &JobRecord, deals: &[&DealRecord], around: Circumstances) -> JobState {
    let tasks = job.signed.bid.tasks;
    let tally = Tally::of(tasks, deals.iter().copied());
    if tally.paid == tasks {
        return JobState::Settled;
    }
    if deals
        .iter()
        .any(|deal| deal.state() == DealState::Challenged)
    {
        return JobState::Challenged;
    }
    let live = |deal: &&&DealRecord| deal.state() == DealState::Open;
    if let Some(deal) = deals
        .iter()
        .filter(live)
        .max_by_key(|deal| job.report(deal.id))
    {
        return match job.report(deal.id) {
            Some(report) if report.running => JobState::Running,
            Some(_) => JobState::Starting,
            None => JobState::Funded,
        };
    }
    if tally.open == 0 || tally.claimed > tally.paid {
        return JobState::Verifying;
    }
    let any_failed = deals.iter().any(|deal| deal.has_failed());
    let is_over = job.is_cancelled || around.now > job.signed.bid.expiry;
    match (is_over, deals.is_empty()) {
        (true, true) if job.is_cancelled => JobState::Cancelled,
        (true, true) => JobState::Expired,
        (true, false) => JobState::Failed,
        (false, _) if around.matched => JobState::Matched,
        (false, true) => JobState::Open,
        (false, false) if any_failed => JobState::Interrupted,
        // Some tasks are paid, the others wait for a slot.
        (false, false) => JobState::Running,
    }
}

impl JobRecord {
    /// A job that was just submitted.
    #[must_use]
    pub fn new(signed: SignedBid, submitted_at: u64) -> Self {
        Self {
            signed,
            submitted_at,
            events: 0,
            state: JobState::Open,
            is_cancelled: false,
            watches: BTreeMap::new(),
        }
    }

    fn report(&self, deal: B256) -> Option<Report> {
        self.watches.get(&deal).and_then(|watch| watch.report)
    }
}

/// The event of a job's life that a change of one of its deals is; `None` for what buyers need not
/// be told.
#[must_use]
pub fn event_of(deal: &DealRecord, change: &Change) -> Option<JobEventKind> {
    let deal_id = deal.id;
    Some(match change {
        Change::Opened => JobEventKind::DealOpened {
            deal_id,
            provider: deal.terms.provider,
            first_task: deal.terms.firstTask,
            task_count: deal.terms.taskCount,
            deadline: deal.terms.deadline,
        },
        Change::Claimed {
            claim_hash,
            cycles,
            price,
            ..
        } => JobEventKind::DealClaimed {
            deal_id,
            claim_hash: *claim_hash,
            cycles: (*cycles).into(),
            price: (*price).into(),
        },
        Change::Paid { paid, .. } => JobEventKind::DealAccepted {
            deal_id,
            paid: (*paid).into(),
        },
        Change::Finalised => JobEventKind::DealSettled {
            deal_id,
            paid: deal.paid().0.into(),
        },
        Change::Replaced { by, .. } => JobEventKind::DealReplaced { deal_id, by: *by },
        Change::Failed { .. } | Change::Cancelled { .. } => JobEventKind::DealFailed {
            deal_id,
            deal_state: deal.state(),
            refunded: deal.refunded().into(),
        },
        Change::Challenged | Change::Demanded { .. } => JobEventKind::Challenged { deal_id },
        Change::Resolved { .. }
        | Change::ReceiptShown { .. }
        | Change::DemandAnswered
        | Change::Audited
        | Change::AuditResolved { .. }
        | Change::TakenOver { .. } => return None,
    })
}

/// What to do about a deal of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Get the results of the claim and check them.
    FetchResults,
    /// Send the buyer's acceptance to the provider.
    Deliver,
    /// The provider does not put the acceptance on the chain, or does not finalise: do it.
    Settle,
    /// The deadline passed without a claim: fail the deal.
    Timeout,
    /// The demanded output was not revealed in time: fail the deal.
    DemandTimeout,
}

/// Seconds that a provider has to put a delivered or undeliverable acceptance on the chain before
/// the gateway does it. The price is the provider's, so it has every reason to be faster.
pub const ACCEPTANCE_PATIENCE_S: u64 = 60;

/// Seconds that a provider has to finalise a claim after its window: until then the rest of the
/// escrow is locked, which is the buyer's.
pub const FINALISING_PATIENCE_S: u64 = 120;

/// The next step about a deal, if there is one at chain time `now`. Nothing finalises a deal that is
/// `held` by an audit.
#[must_use]
pub fn next(
    deal: &DealRecord,
    watch: &Watch,
    windows: &Windows,
    now: u64,
    send_timeouts: bool,
    held: bool,
) -> Option<Step> {
    let fetch = || watch.results.is_none().then_some(Step::FetchResults);
    match deal.state() {
        DealState::Open if now > deal.terms.deadline => send_timeouts.then_some(Step::Timeout),
        DealState::Open => None,
        state @ (DealState::Claimed | DealState::Accepted) => {
            let claim = deal.claim()?;
            let patience = windows.challenge_s + FINALISING_PATIENCE_S;
            if !held && now > claim.window_from + patience {
                return send_timeouts.then_some(Step::Settle);
            }
            match &watch.acceptance {
                Some(given) if state == DealState::Claimed && given.claim_hash == claim.hash => {
                    if now > given.received_at + ACCEPTANCE_PATIENCE_S {
                        Some(Step::Settle)
                    } else {
                        (!given.delivered).then_some(Step::Deliver)
                    }
                }
                _ => fetch(),
            }
        }
        DealState::Challenged
            if deal
                .demand()
                .is_some_and(|demand| now > demand.deadline && !demand.challenged) =>
        {
            send_timeouts.then_some(Step::DemandTimeout)
        }
        // Outputs stay useful after payment.
        DealState::Challenged | DealState::Settled => deal.claim().and_then(|_| fetch()),
        DealState::TimedOut | DealState::Replaced | DealState::Cancelled | DealState::Slashed => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::state::deal::{Failure, Place};
    use crate::state::example::{START, bid, deal as terms, job};

    const WINDOWS: Windows = Windows {
        admission_s: 20,
        challenge_s: 60,
    };

    fn record() -> JobRecord {
        let job = job(4);
        JobRecord::new(
            SignedBid {
                bid: bid(&job, 1),
                signature: Vec::new(),
                job,
            },
            START,
        )
    }

    fn around(now: u64) -> Circumstances {
        Circumstances {
            now,
            matched: false,
        }
    }

    fn with(changes: Vec<Change>) -> DealRecord {
        let place = Place {
            block: 1,
            at: START,
            log_index: 0,
            transaction: B256::ZERO,
        };
        let mut deal = DealRecord::opened(B256::repeat_byte(1), terms(), B256::ZERO, place);
        deal.history
            .extend(changes.into_iter().map(|change| (place, change)));
        deal
    }

    fn claimed() -> Change {
        Change::Claimed {
            claim_hash: B256::ZERO,
            result_root: B256::ZERO,
            cycles: 1,
            price: 7,
            tasks: Bytes::new(),
        }
    }

    fn timed_out() -> Change {
        Change::Failed {
            failure: Failure::Timeout,
            refunded: 1,
            to_buyer: 1,
            burned: 1,
        }
    }

    #[test]
    fn a_job_goes_from_open_to_settled() {
        let mut job = record();
        assert_eq!(job_state(&job, &[], around(START)), JobState::Open);
        assert_eq!(
            job_state(
                &job,
                &[],
                Circumstances {
                    matched: true,
                    ..around(START)
                }
            ),
            JobState::Matched
        );
        let open = with(vec![]);
        assert_eq!(job_state(&job, &[&open], around(START)), JobState::Funded);
        let mut report = Report::default();
        job.watches.entry(open.id).or_default().report = Some(report);
        assert_eq!(job_state(&job, &[&open], around(START)), JobState::Starting);
        report.running = true;
        job.watches.entry(open.id).or_default().report = Some(report);
        assert_eq!(job_state(&job, &[&open], around(START)), JobState::Running);
        assert_eq!(
            job_state(&job, &[&with(vec![claimed()])], around(START)),
            JobState::Verifying
        );
        let paid = with(vec![claimed(), Change::Paid { paid: 7, fee: 0 }]);
        assert_eq!(job_state(&job, &[&paid], around(START)), JobState::Settled);
    }

    #[test]
    fn a_failed_deal_interrupts_a_live_job_and_fails_an_expired_one() {
        let (mut job, failed) = (record(), with(vec![timed_out()]));
        assert_eq!(
            job_state(&job, &[&failed], around(START)),
            JobState::Interrupted
        );
        assert_eq!(
            job_state(&job, &[&failed], around(job.signed.bid.expiry + 1)),
            JobState::Failed
        );
        assert_eq!(
            job_state(&job, &[], around(job.signed.bid.expiry + 1)),
            JobState::Expired
        );
        job.is_cancelled = true;
        assert_eq!(job_state(&job, &[&failed], around(START)), JobState::Failed);
        assert_eq!(job_state(&job, &[], around(START)), JobState::Cancelled);
    }

    #[test]
    fn a_deal_is_timed_out_one_second_after_its_deadline() {
        let deal = with(vec![]);
        let running = Watch::default();
        assert_eq!(
            next(&deal, &running, &WINDOWS, deal.terms.deadline, true, false),
            None
        );
        assert_eq!(
            next(
                &deal,
                &running,
                &WINDOWS,
                deal.terms.deadline + 1,
                true,
                false
            ),
            Some(Step::Timeout)
        );
        assert_eq!(
            next(
                &deal,
                &running,
                &WINDOWS,
                deal.terms.deadline + 1,
                false,
                false
            ),
            None
        );
    }

    #[test]
    fn a_demand_is_timed_out_one_second_after_its_deadline_unless_a_game_is_open() {
        let demanded = Change::Demanded {
            deadline: START + 30,
            leaves: vec![(0, 0)],
        };
        let mut deal = with(vec![claimed(), demanded]);
        let watch = Watch {
            results: Some(Vec::new()),
            ..Watch::default()
        };
        let step = |deal: &DealRecord, now, send| next(deal, &watch, &WINDOWS, now, send, false);
        assert_eq!(step(&deal, START + 30, true), None);
        assert_eq!(step(&deal, START + 31, true), Some(Step::DemandTimeout));
        assert_eq!(step(&deal, START + 31, false), None);
        let place = deal.history[0].0;
        deal.history.push((place, Change::Challenged));
        assert_eq!(step(&deal, START + 31, true), None);
    }

    #[test]
    fn a_claim_that_its_provider_does_not_finalise_is_finalised_for_the_buyer() {
        let deal = with(vec![claimed(), Change::Paid { paid: 7, fee: 0 }]);
        let watch = Watch {
            results: Some(Vec::new()),
            ..Watch::default()
        };
        let patience = START + WINDOWS.challenge_s + FINALISING_PATIENCE_S;
        assert_eq!(next(&deal, &watch, &WINDOWS, patience, true, false), None);
        assert_eq!(
            next(&deal, &watch, &WINDOWS, patience + 1, true, false),
            Some(Step::Settle)
        );
    }

    #[test]
    fn an_acceptance_is_delivered_and_settled_here_when_the_provider_does_not() {
        let deal = with(vec![claimed()]);
        let acceptance = Acceptance {
            claim_hash: B256::ZERO,
            signature: Bytes::new(),
            received_at: START,
            delivered: false,
        };
        let mut watch = Watch {
            acceptance: Some(acceptance),
            ..Watch::default()
        };
        assert_eq!(
            next(&deal, &watch, &WINDOWS, START + 1, true, false),
            Some(Step::Deliver)
        );
        watch.acceptance.as_mut().unwrap().delivered = true;
        assert_eq!(next(&deal, &watch, &WINDOWS, START + 2, true, false), None);
        assert_eq!(
            next(
                &deal,
                &watch,
                &WINDOWS,
                START + 1 + ACCEPTANCE_PATIENCE_S,
                true,
                false
            ),
            Some(Step::Settle)
        );
    }
}
