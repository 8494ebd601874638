//! What a provider does next about a deal of its own: a function of the chain, of what the store
//! holds about the deal, and of the time. It is asked again after every fact, also after a restart,
//! so nothing that a killed node had in mind is ever missed.

use std::collections::BTreeMap;

use alloy::primitives::{B256, Bytes};
use outcry_protocol::claim;
use outcry_protocol::status::Outcome;
use outcry_sdk::api::DealState;
use serde::{Deserialize, Serialize};

use super::Windows;
use super::deal::DealRecord;

/// The result of one task, as it is kept and sent to the buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskResult {
    /// Index of the task in the job.
    pub task: u32,
    /// Cycles to bill.
    pub cycles: u64,
    /// Status, exit code and output root.
    pub outcome: Outcome,
    /// BLAKE3 of the output archive.
    pub output: B256,
}

impl TaskResult {
    /// What a claim says of the task.
    #[must_use]
    pub fn claimed(&self) -> claim::TaskResult {
        claim::TaskResult {
            cycles: self.cycles,
            inner: self.outcome.inner(),
        }
    }
}

/// What a provider's store holds about a deal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Work {
    /// Why the job should not be run as signed: blobs that nobody serves, roots that differ, input
    /// that no program can read. Every honest node would say the same, and the admission window is
    /// there for it.
    pub refused: Option<Refusal>,
    /// Results by task.
    pub results: BTreeMap<u32, TaskResult>,
    /// The buyer's signature of `Accept` and the claim hash that it is about.
    pub accept: Option<(B256, Bytes)>,
    /// The buyer's signatures of `Receipt` by task: it holds these outputs.
    pub receipts: BTreeMap<u32, Bytes>,
}

/// Why a provider does not want to run a deal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// In words.
    pub reason: String,
    /// Whether it is run nevertheless once it is too late to cancel: a malformed input makes the
    /// program trap, and who did not cancel in time has conceded receipt.
    pub runs_anyway: bool,
}

/// What to do about a deal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Fetch, check, and run the tasks that have no result.
    Run,
    /// The job can't be run: cancel while that is possible.
    CancelAdmission,
    /// Every task has a result: claim.
    Claim,
    /// The buyer demanded output on the chain: reveal it.
    AnswerDemand,
    /// Release money: by the buyer's signature, because the window is over, or both.
    Settle {
        /// With the buyer's signature.
        accept: bool,
        /// Because the challenge window has passed.
        finalise: bool,
    },
}

/// The next step, if there is one at chain time `now`, after block `block`. Nothing is begun that costs
/// anything before it is certain that no better offer takes the deal's place. Nothing finalises a deal that is `held` by an
/// audit.
#[must_use]
pub fn next(
    deal: &DealRecord,
    work: &Work,
    windows: &Windows,
    (block, now): (u64, u64),
    held: bool,
) -> Option<Step> {
    match deal.state() {
        // A claim is valid at its deadline; a block later than the head's has a later time.
        DealState::Open if now >= deal.terms.deadline => None,
        DealState::Open if deal.is_replaceable(block, now) => None,
        // In the window's last block nothing can replace the deal any more, but whoever asks what a claim
        // would do hears that it is too early.
        DealState::Open if is_complete(deal, work) => {
            (!deal.is_in_rank_window(block, now)).then_some(Step::Claim)
        }
        DealState::Open => match &work.refused {
            Some(_) if now < deal.admission_until(windows.admission_s) => {
                Some(Step::CancelAdmission)
            }
            Some(refusal) if !refusal.runs_anyway => None,
            _ => Some(Step::Run),
        },
        state @ (DealState::Claimed | DealState::Accepted) => {
            let claim = deal.claim()?;
            let finalise = !held && now > claim.window_from + windows.challenge_s;
            let accept = state == DealState::Claimed
                && work
                    .accept
                    .as_ref()
                    .is_some_and(|(hash, _)| *hash == claim.hash);
            (accept || finalise).then_some(Step::Settle { accept, finalise })
        }
        DealState::Challenged => {
            let demand = deal.demand()?;
            (now < demand.deadline).then_some(Step::AnswerDemand)
        }
        DealState::Settled
        | DealState::TimedOut
        | DealState::Replaced
        | DealState::Cancelled
        | DealState::Slashed => None,
    }
}

/// Whether every task of the deal has a result.
#[must_use]
pub fn is_complete(deal: &DealRecord, work: &Work) -> bool {
    tasks_of(deal).all(|task| work.results.contains_key(&task))
}

/// The deal's tasks, as indices in the job.
pub fn tasks_of(deal: &DealRecord) -> impl Iterator<Item = u32> + use<> {
    deal.terms.firstTask..deal.terms.firstTask.saturating_add(deal.terms.taskCount)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::state::deal::{Change, Place};
    use crate::state::example::{START, deal as terms};
    use alloy::primitives::{Address, U256};
    use outcry_protocol::status::Status;

    const WINDOWS: Windows = Windows {
        admission_s: 20,
        challenge_s: 60,
    };
    const CLAIM: B256 = B256::repeat_byte(0xcc);

    /// The blocks of these tests have the numbers of their seconds.
    fn at(second: u64) -> (u64, u64) {
        (second, second)
    }

    fn place(at: u64) -> Place {
        Place {
            block: at,
            at,
            log_index: 0,
            transaction: B256::ZERO,
        }
    }

    fn open() -> DealRecord {
        DealRecord::opened(B256::repeat_byte(0xdd), terms(), B256::ZERO, place(START))
    }

    fn claimed(at: u64) -> DealRecord {
        let mut deal = open();
        let claim = Change::Claimed {
            claim_hash: CLAIM,
            result_root: B256::ZERO,
            cycles: 1,
            price: 1,
            tasks: Bytes::new(),
        };
        deal.history.push((place(at), claim));
        deal
    }

    fn all_done(deal: &DealRecord) -> Work {
        let outcome = Outcome::stopped(Status::Trapped, 1 << 20);
        let result = |task| TaskResult {
            task,
            cycles: 1,
            outcome,
            output: B256::ZERO,
        };
        Work {
            results: tasks_of(deal).map(|task| (task, result(task))).collect(),
            ..Work::default()
        }
    }

    #[test]
    fn an_open_deal_is_run_until_every_task_has_a_result_and_claimed_then() {
        let deal = open();
        let mut work = all_done(&deal);
        assert_eq!(
            next(&deal, &work, &WINDOWS, at(START + 1), false),
            Some(Step::Claim)
        );
        work.results.remove(&2);
        assert_eq!(
            next(&deal, &work, &WINDOWS, at(START + 1), false),
            Some(Step::Run)
        );
    }

    #[test]
    fn nothing_is_begun_while_a_better_offer_may_take_the_place_of_the_deal() {
        let windowed = |blocks: u64| {
            let mut deal = open();
            deal.terms.resources |= U256::from(blocks) << 248;
            deal
        };
        let begins = |deal: &DealRecord, block: u64, now: u64| {
            next(deal, &Work::default(), &WINDOWS, (block, now), false).is_some()
        };
        // Opened in block START: the last block in which it can be replaced is START + 4.
        let deal = windowed(4);
        assert!(!begins(&deal, START + 3, START + 3));
        assert!(begins(&deal, START + 4, START + 4));
        // Slow blocks end the window by the time, 12 seconds for each.
        assert!(!begins(&deal, START + 1, START + 47));
        assert!(begins(&deal, START + 1, START + 48));
        assert!(begins(&windowed(0), START, START));
        let done = all_done(&deal);
        let claims = |second| next(&deal, &done, &WINDOWS, at(second), false);
        assert_eq!(claims(START + 4), None);
        assert_eq!(claims(START + 5), Some(Step::Claim));

        // The admission window begins behind it.
        let refused = Work {
            refused: Some(Refusal {
                reason: "the image root differs".into(),
                runs_anyway: false,
            }),
            ..Work::default()
        };
        let step = |second: u64| next(&deal, &refused, &WINDOWS, at(second), false);
        assert_eq!(step(START + 67), Some(Step::CancelAdmission));
        assert_eq!(step(START + 68), None);
    }

    #[test]
    fn a_displaced_provider_has_nothing_to_do() {
        let mut deal = open();
        let replaced = Change::Replaced {
            by: B256::ZERO,
            sender: Address::ZERO,
            idle_fee: 1,
        };
        deal.history.push((place(START + 1), replaced));
        assert_eq!(deal.state(), DealState::Replaced);
        assert_eq!(
            next(&deal, &all_done(&deal), &WINDOWS, at(START + 9), false),
            None
        );
        assert_eq!(deal.refunded(), deal.terms.escrow);
    }

    #[test]
    fn a_job_that_cannot_be_run_is_cancelled_inside_the_admission_window_only() {
        let refusal = Refusal {
            reason: "the image root differs".into(),
            runs_anyway: false,
        };
        let mut work = Work {
            refused: Some(refusal.clone()),
            ..Work::default()
        };
        assert_eq!(
            next(&open(), &work, &WINDOWS, at(START + 19), false),
            Some(Step::CancelAdmission)
        );
        assert_eq!(next(&open(), &work, &WINDOWS, at(START + 20), false), None);
        work.refused = Some(Refusal {
            runs_anyway: true,
            ..refusal
        });
        assert_eq!(
            next(&open(), &work, &WINDOWS, at(START + 19), false),
            Some(Step::CancelAdmission)
        );
        assert_eq!(
            next(&open(), &work, &WINDOWS, at(START + 20), false),
            Some(Step::Run),
            "running it costs less than the deadline"
        );
    }

    #[test]
    fn nothing_is_done_about_a_deal_whose_deadline_has_passed() {
        let deal = open();
        let deadline = deal.terms.deadline;
        assert_eq!(
            next(&deal, &all_done(&deal), &WINDOWS, at(deadline - 1), false),
            Some(Step::Claim)
        );
        assert_eq!(
            next(&deal, &all_done(&deal), &WINDOWS, at(deadline), false),
            None
        );
    }

    #[test]
    fn the_buyers_signature_settles_at_once_and_the_end_of_the_window_releases_the_collateral() {
        let mut deal = claimed(START + 10);
        let mut work = all_done(&deal);
        assert_eq!(
            next(&deal, &work, &WINDOWS, at(START + 70), false),
            None,
            "the window is inclusive"
        );
        work.accept = Some((CLAIM, Bytes::from_static(b"signature")));
        assert_eq!(
            next(&deal, &work, &WINDOWS, at(START + 11), false),
            Some(Step::Settle {
                accept: true,
                finalise: false
            })
        );
        assert_eq!(
            next(&deal, &work, &WINDOWS, at(START + 71), false),
            Some(Step::Settle {
                accept: true,
                finalise: true
            })
        );
        deal.history
            .push((place(START + 12), Change::Paid { paid: 1, fee: 0 }));
        assert_eq!(next(&deal, &work, &WINDOWS, at(START + 13), false), None);
        assert_eq!(
            next(&deal, &work, &WINDOWS, at(START + 71), false),
            Some(Step::Settle {
                accept: false,
                finalise: true
            })
        );
        deal.history.push((place(START + 72), Change::Finalised));
        assert_eq!(next(&deal, &work, &WINDOWS, at(START + 73), false), None);
    }

    #[test]
    fn a_demand_is_answered_in_time_and_nothing_is_finalised_meanwhile() {
        let mut deal = claimed(START + 10);
        deal.history.push((
            place(START + 20),
            Change::Demanded {
                deadline: START + 40,
                leaves: vec![(1, 0)],
            },
        ));
        let work = all_done(&deal);
        assert_eq!(
            next(&deal, &work, &WINDOWS, at(START + 21), false),
            Some(Step::AnswerDemand)
        );
        assert_eq!(next(&deal, &work, &WINDOWS, at(START + 80), false), None);
        deal.history
            .push((place(START + 30), Change::DemandAnswered));
        assert_eq!(
            next(&deal, &work, &WINDOWS, at(START + 90), false),
            None,
            "the window starts again"
        );
        assert_eq!(
            next(&deal, &work, &WINDOWS, at(START + 91), false),
            Some(Step::Settle {
                accept: false,
                finalise: true
            })
        );
    }

    #[test]
    fn a_signature_over_another_claim_settles_nothing() {
        let deal = claimed(START + 10);
        let work = Work {
            accept: Some((B256::ZERO, Bytes::new())),
            ..all_done(&deal)
        };
        assert_eq!(next(&deal, &work, &WINDOWS, at(START + 11), false), None);
    }
}
