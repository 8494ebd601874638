//! A deal as the chain tells it: the terms and what happened to them, block by block.
//!
//! Everything else (phase, claim, payments) is computed from that list, so a reorganisation is
//! undone by dropping the tail and nothing can disagree with it.

use alloy::primitives::{Address, B256, Bytes};
use outcry_protocol::claim::{self, Claim};
use outcry_protocol::deal;
use outcry_protocol::lifecycle::{DealEvent, DealState as Stage, Standing};
use outcry_protocol::types::Deal;
use outcry_sdk::api::DealState;
use serde::{Deserialize, Serialize};

/// Where on the chain something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Block number.
    pub block: u64,
    /// Unix seconds of that block.
    pub at: u64,
    /// Position of the log in that block.
    pub log_index: u64,
    /// The transaction.
    pub transaction: B256,
}

/// Why a deal failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Failure {
    /// No claim by the deadline.
    Timeout,
    /// A demand for output was not answered.
    OutputWithheld,
    /// The game found the claim false.
    ClaimRefuted,
    /// The provider did not answer an audit.
    AuditUnanswered,
}

/// One thing that happened to a deal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Change {
    /// Escrow and collateral were locked.
    Opened,
    /// A better offer took the deal's place within the rank window. Comes after the opening of the other.
    Replaced {
        /// The deal that has the tasks now.
        by: B256,
        /// Who sent the transaction, and paid for it.
        sender: Address,
        /// Base units that this paid to the provider for the time in which its slot was held.
        idle_fee: u128,
    },
    /// Either side cancelled in the admission window.
    Cancelled {
        /// Who.
        by: Address,
        /// Burned out of the escrow, base units.
        burned_by_buyer: u128,
    },
    /// The provider claimed.
    Claimed {
        /// Hash that an `Accept` signs.
        claim_hash: B256,
        /// Merkle root over the halted-state hashes.
        result_root: B256,
        /// Sum over the tasks.
        cycles: u64,
        /// Sum over the tasks, base units.
        price: u128,
        /// Calldata: 38 bytes per task.
        tasks: Bytes,
    },
    /// The price was released.
    Paid {
        /// Base units that the buyer paid, the fee included.
        paid: u128,
        /// Base units of fee.
        fee: u128,
    },
    /// The collateral was released.
    Finalised,
    /// The deal failed.
    Failed {
        /// Why.
        failure: Failure,
        /// Base units of the escrow that went back.
        refunded: u128,
        /// Base units of the collateral that went to the buyer.
        to_buyer: u128,
        /// Base units of the collateral that burned.
        burned: u128,
    },
    /// A game about the claim opened.
    Challenged,
    /// The game ended; a claim that falls fails the deal as well.
    Resolved {
        /// Whether the claim stands.
        stands: bool,
    },
    /// The buyer demanded output on the chain.
    Demanded {
        /// Last second for the answer.
        deadline: u64,
        /// Task in the job and leaf of its output, in the order of the demand.
        leaves: Vec<(u32, u64)>,
    },
    /// The buyer's receipt for one task was shown: its leaves are no longer demanded.
    ReceiptShown {
        /// The task in the job.
        task: u32,
    },
    /// The demand was answered: the challenge window starts again.
    DemandAnswered,
    /// The claim was drawn, and an audit of it opened: the deal's audit fee has left it.
    Audited,
    /// The audit closed.
    AuditResolved {
        /// Whether the provider had answered, or nobody was there to audit; otherwise the deal failed.
        answered: bool,
    },
    /// A later deal took over the first tasks of the range that this failed deal left.
    TakenOver {
        /// The later deal.
        by: B256,
        /// Tasks taken over.
        tasks: u32,
    },
}

impl Change {
    /// The event of the deal's life cycle that this is; `None` for what does not move it.
    fn event(&self) -> Option<DealEvent> {
        Some(match self {
            Self::Opened | Self::TakenOver { .. } | Self::ReceiptShown { .. } => return None,
            Self::Replaced { .. } => DealEvent::Replace,
            Self::Cancelled { .. } => DealEvent::Cancel,
            Self::Claimed { .. } => DealEvent::Claim,
            Self::Paid { .. } => DealEvent::Accept,
            Self::Finalised => DealEvent::Finalise,
            Self::Failed {
                failure: Failure::Timeout,
                ..
            } => DealEvent::Timeout,
            Self::Failed {
                failure: Failure::OutputWithheld,
                ..
            } => DealEvent::DemandTimeout,
            Self::Failed {
                failure: Failure::ClaimRefuted,
                ..
            } => DealEvent::ClaimFalls,
            Self::Failed {
                failure: Failure::AuditUnanswered,
                ..
            } => DealEvent::AuditUnanswered,
            Self::Challenged => DealEvent::Challenge,
            // A verdict against the claim shows as the failure that the same transaction logs.
            Self::Resolved { stands } => return stands.then_some(DealEvent::ClaimStands),
            Self::Demanded { .. } => DealEvent::Demand,
            Self::DemandAnswered => DealEvent::Answer,
            Self::Audited => DealEvent::Audit,
            // The same: what is unanswered shows as a failure.
            Self::AuditResolved { answered } => {
                return answered.then_some(DealEvent::AuditAnswered);
            }
        })
    }

    /// The name of the transaction that causes it, as the API shows it.
    #[must_use]
    pub fn transaction_kind(&self) -> &'static str {
        match self {
            Self::Opened => "open",
            Self::Replaced { .. } => "replace",
            Self::Cancelled { .. } => "cancelAdmission",
            Self::Claimed { .. } => "claim",
            Self::Paid { .. } => "accept",
            Self::Finalised => "finalise",
            Self::Failed {
                failure: Failure::Timeout,
                ..
            } => "timeout",
            Self::Failed {
                failure: Failure::OutputWithheld,
                ..
            } => "demandTimeout",
            Self::Failed {
                failure: Failure::ClaimRefuted,
                ..
            }
            | Self::Resolved { .. } => "resolveChallenge",
            Self::Challenged => "markChallenged",
            Self::Demanded { .. } => "demandOutput",
            Self::ReceiptShown { .. } => "answerDemandWithReceipt",
            Self::DemandAnswered => "answerDemand",
            Self::Audited => "openAudit",
            Self::Failed {
                failure: Failure::AuditUnanswered,
                ..
            }
            | Self::AuditResolved { .. } => "closeAudit",
            Self::TakenOver { .. } => "reopen",
        }
    }
}

/// What a buyer demands of a claim's outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// Task in the job and leaf of its output, in the order of the demand: what is still to be
    /// answered.
    pub leaves: Vec<(u32, u64)>,
    /// Unix seconds.
    pub made_at: u64,
    /// Last second for the answer.
    pub deadline: u64,
    /// Whether a game is open as well: then the demand does not run out before the verdict.
    pub challenged: bool,
}

/// A deal's terms and history. The first change is always [`Change::Opened`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealRecord {
    /// Hash of the terms.
    pub id: B256,
    /// The terms.
    pub terms: Deal,
    /// Key of the provider's node, out of the offer; zero when this node never saw that.
    pub peer_key: B256,
    /// What happened, in the order of the chain.
    pub history: Vec<(Place, Change)>,
}

/// The claim that stands on a deal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingClaim<'a> {
    /// Where it was made.
    pub place: Place,
    /// Hash that an `Accept` signs.
    pub hash: B256,
    /// Root, cycles and price.
    pub claim: Claim,
    /// Calldata: 38 bytes per task.
    pub tasks: &'a Bytes,
    /// The second at which the challenge window began.
    pub window_from: u64,
}

impl StandingClaim<'_> {
    /// What the claim says of each task. The contract has checked the bytes.
    #[must_use]
    pub fn task_results(&self) -> Vec<claim::TaskResult> {
        claim::decode_tasks(self.tasks).unwrap_or_default()
    }
}

impl DealRecord {
    /// A deal that opened.
    #[must_use]
    pub fn opened(id: B256, terms: Deal, peer_key: B256, place: Place) -> Self {
        Self {
            id,
            terms,
            peer_key,
            history: vec![(place, Change::Opened)],
        }
    }

    /// Where the deal stands in its life cycle: the protocol's table applied to the history.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.history
            .iter()
            .fold(Stage::Open, |stage, (_, change)| match change.event() {
                // The contract emits nothing that the table does not name; were it otherwise, the
                // deal would stay where the table last put it.
                Some(event) => stage.next(event).unwrap_or(stage),
                None => stage,
            })
    }

    /// The same as the API shows it.
    #[must_use]
    pub fn state(&self) -> DealState {
        match self.stage() {
            Stage::Open => DealState::Open,
            Stage::Claimed(standing) if standing.demanded || standing.challenged => {
                DealState::Challenged
            }
            Stage::Claimed(standing) if standing.accepted => DealState::Accepted,
            Stage::Claimed(_) => DealState::Claimed,
            Stage::Settled => DealState::Settled,
            Stage::Replaced => DealState::Replaced,
            Stage::Cancelled => DealState::Cancelled,
            Stage::Failed => {
                let timed_out = |(_, change): &(Place, Change)| {
                    matches!(
                        change,
                        Change::Failed {
                            failure: Failure::Timeout,
                            ..
                        }
                    )
                };
                if self.history.iter().any(timed_out) {
                    DealState::TimedOut
                } else {
                    DealState::Slashed
                }
            }
        }
    }

    /// The claim, once there is one.
    #[must_use]
    pub fn claim(&self) -> Option<StandingClaim<'_>> {
        let mut window_from = 0;
        let mut found = None;
        for (place, change) in &self.history {
            match change {
                Change::Claimed {
                    claim_hash,
                    result_root,
                    cycles,
                    price,
                    tasks,
                } => {
                    window_from = place.at;
                    let claim = Claim {
                        resultRoot: *result_root,
                        cycles: *cycles,
                        price: *price,
                    };
                    found = Some((*place, *claim_hash, claim, tasks));
                }
                Change::DemandAnswered => window_from = place.at,
                _ => {}
            }
        }
        found.map(|(place, hash, claim, tasks)| StandingClaim {
            place,
            hash,
            claim,
            tasks,
            window_from,
        })
    }

    /// The open demand.
    #[must_use]
    pub fn demand(&self) -> Option<Demand> {
        let Standing { challenged, .. } = self.stage().standing().filter(|held| held.demanded)?;
        let mut demand = None;
        for (place, change) in &self.history {
            match change {
                Change::Demanded { deadline, leaves } => {
                    demand = Some(Demand {
                        leaves: leaves.clone(),
                        made_at: place.at,
                        deadline: *deadline,
                        challenged,
                    });
                }
                Change::ReceiptShown { task } => {
                    if let Some(demand) = &mut demand {
                        demand.leaves.retain(|(of, _)| of != task);
                    }
                }
                _ => {}
            }
        }
        demand
    }

    /// Whether an audit of the claim is open.
    #[must_use]
    pub fn is_audited(&self) -> bool {
        self.stage().standing().is_some_and(|held| held.audited)
    }

    /// Whether an audit of the claim was ever opened: there is at most one.
    #[must_use]
    pub fn was_audited(&self) -> bool {
        let audited = |(_, change): &(Place, Change)| matches!(change, Change::Audited);
        self.history.iter().any(audited)
    }

    /// Base units that the buyer paid, and the fee within them.
    #[must_use]
    pub fn paid(&self) -> (u128, u128) {
        self.history
            .iter()
            .fold((0, 0), |sum, (_, change)| match change {
                Change::Paid { paid, fee } => (sum.0 + paid, sum.1 + fee),
                _ => sum,
            })
    }

    /// Whether the price has been released.
    #[must_use]
    pub fn is_paid(&self) -> bool {
        self.history
            .iter()
            .any(|(_, change)| matches!(change, Change::Paid { .. }))
    }

    /// Base units that went back to the buyer, its share of the collateral included.
    #[must_use]
    pub fn refunded(&self) -> u128 {
        let paid = self.paid().0;
        self.history
            .iter()
            .map(|(_, change)| match change {
                Change::Failed {
                    refunded, to_buyer, ..
                } => refunded + to_buyer,
                Change::Cancelled {
                    burned_by_buyer, ..
                } => self.terms.escrow.saturating_sub(*burned_by_buyer),
                Change::Replaced { .. } => self.terms.escrow,
                Change::Paid { .. } => self.terms.escrow.saturating_sub(paid),
                _ => 0,
            })
            .sum()
    }

    /// Whether the deal ended without a result for its tasks.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        matches!(
            self.state(),
            DealState::TimedOut | DealState::Cancelled | DealState::Slashed
        )
    }

    /// Whether the deal's tasks are its own, done or to be done: nothing else has them, and nobody waits
    /// for them.
    #[must_use]
    pub fn has_tasks(&self) -> bool {
        !self.has_failed() && self.state() != DealState::Replaced
    }

    /// Whether a block of this number and time is one of the deal's rank window: in such a block the
    /// deal may be replaced, and a claim is refused.
    #[must_use]
    pub fn is_in_rank_window(&self, block: u64, at: u64) -> bool {
        let window = u64::from(deal::rank_window(&self.terms));
        let opened_in = self.history.first().map_or(0, |(place, _)| place.block);
        window != 0
            && block <= opened_in.saturating_add(window)
            && at <= deal::starts_by(&self.terms)
            && self.state() == DealState::Open
    }

    /// Whether a transaction behind a block of this number and time can still put a better offer in the
    /// deal's place.
    #[must_use]
    pub fn is_replaceable(&self, block: u64, at: u64) -> bool {
        self.is_in_rank_window(block.saturating_add(1), at.saturating_add(1))
    }

    /// Last second at which either side may cancel, where `admission_s` is the deployment's window.
    #[must_use]
    pub fn admission_until(&self, admission_s: u64) -> u64 {
        deal::starts_by(&self.terms).saturating_add(admission_s)
    }

    /// Tasks of a failed deal's range that no later deal took over.
    #[must_use]
    pub fn tasks_freed(&self) -> u32 {
        if !self.has_failed() {
            return 0;
        }
        let taken: u32 = self
            .history
            .iter()
            .map(|(_, change)| {
                if let Change::TakenOver { tasks, .. } = change {
                    *tasks
                } else {
                    0
                }
            })
            .sum();
        self.terms.taskCount.saturating_sub(taken)
    }

    /// The block of the last change.
    #[must_use]
    pub fn last_block(&self) -> u64 {
        self.history.last().map_or(0, |(place, _)| place.block)
    }

    /// The second of the last change.
    #[must_use]
    pub fn last_at(&self) -> u64 {
        self.history.last().map_or(0, |(place, _)| place.at)
    }

    /// Drops what happened above `block`; false when nothing is left of the deal.
    #[must_use]
    pub fn roll_back(&mut self, block: u64) -> bool {
        self.history.retain(|(place, _)| place.block <= block);
        !self.history.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::state::example;

    fn at(block: u64) -> Place {
        Place {
            block,
            at: 1000 + block,
            log_index: 0,
            transaction: B256::repeat_byte(block as u8),
        }
    }

    fn claimed() -> Change {
        Change::Claimed {
            claim_hash: B256::ZERO,
            result_root: B256::ZERO,
            cycles: 5,
            price: 7,
            tasks: Bytes::new(),
        }
    }

    #[test]
    fn a_deal_that_is_accepted_stays_open_to_challenge_until_it_is_finalised() {
        let mut deal = DealRecord::opened(B256::ZERO, example::deal(), B256::ZERO, at(1));
        assert_eq!(deal.state(), DealState::Open);
        deal.history.push((at(2), claimed()));
        assert_eq!(deal.state(), DealState::Claimed);
        deal.history.push((at(3), Change::Paid { paid: 7, fee: 0 }));
        assert_eq!(deal.state(), DealState::Accepted);
        deal.history.push((at(4), Change::Challenged));
        assert_eq!(deal.state(), DealState::Challenged);
        deal.history
            .push((at(5), Change::Resolved { stands: true }));
        assert_eq!(deal.state(), DealState::Accepted);
        deal.history.push((at(6), Change::Finalised));
        assert_eq!(deal.state(), DealState::Settled);
        assert_eq!(deal.refunded(), example::deal().escrow - 7);
    }

    #[test]
    fn a_reorganisation_takes_back_what_happened_above_the_common_block() {
        let mut deal = DealRecord::opened(B256::ZERO, example::deal(), B256::ZERO, at(1));
        deal.history.push((at(3), claimed()));
        assert!(deal.roll_back(2));
        assert_eq!(deal.state(), DealState::Open);
        assert!(deal.claim().is_none());
        assert!(!deal.roll_back(0));
    }

    #[test]
    fn a_failed_deal_frees_its_tasks_until_another_takes_them_over() {
        let mut deal = DealRecord::opened(B256::ZERO, example::deal(), B256::ZERO, at(1));
        assert_eq!(deal.tasks_freed(), 0);
        let failure = Change::Failed {
            failure: Failure::Timeout,
            refunded: 10,
            to_buyer: 2,
            burned: 3,
        };
        deal.history.push((at(2), failure));
        assert_eq!((deal.state(), deal.refunded()), (DealState::TimedOut, 12));
        assert_eq!(deal.tasks_freed(), deal.terms.taskCount);
        deal.history.push((
            at(3),
            Change::TakenOver {
                by: B256::ZERO,
                tasks: 1,
            },
        ));
        assert_eq!(deal.tasks_freed(), deal.terms.taskCount - 1);
    }

    #[test]
    fn an_answered_demand_starts_the_window_again() {
        let mut deal = DealRecord::opened(B256::ZERO, example::deal(), B256::ZERO, at(1));
        deal.history.push((at(2), claimed()));
        deal.history.push((
            at(4),
            Change::Demanded {
                deadline: 2000,
                leaves: vec![(0, 7), (1, 0), (0, 8)],
            },
        ));
        assert_eq!(deal.state(), DealState::Challenged);
        deal.history.push((at(5), Change::ReceiptShown { task: 0 }));
        assert_eq!(deal.state(), DealState::Challenged);
        let left = Demand {
            leaves: vec![(1, 0)],
            made_at: 1004,
            deadline: 2000,
            challenged: false,
        };
        assert_eq!(deal.demand(), Some(left));
        deal.history.push((at(9), Change::DemandAnswered));
        assert_eq!(deal.claim().unwrap().window_from, 1009);
    }
}
