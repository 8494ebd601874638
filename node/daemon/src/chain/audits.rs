//! The node's way to the audits: their events in the words of the state, and calls of them.

use std::num::{NonZeroU32, NonZeroU64};

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::sol_types::SolCall;
use outcry_chain::{Intent, IntentKind, MinedTransaction, Urgency};
use outcry_contracts::Audits::{self, AuditsEvents};
use outcry_verifier::audit::Clocks;

use super::{Chain, ChainProblem, timely};
use crate::state::audit::{AuditEvent, AuditRecord, Auditor, Outcome, Rules, Seat, Step};
use crate::state::deal::Place;

impl Chain {
    /// The same with the audits that the market names.
    #[must_use]
    pub fn with_audits(mut self, audits: Address) -> Self {
        self.audits.set_address(audits);
        self
    }

    /// What the deployment of the audits fixed, with the stake that an audit puts at risk, in base units of
    /// the protocol's token.
    ///
    /// # Errors
    /// [`ChainProblem::Call`].
    pub async fn audit_rules(&self) -> Result<(Rules, u128), ChainProblem> {
        let call = self.audits.parameters();
        let fixed = timely("parameters", call.call()).await?;
        let call = self.audits.cycleLimitMax();
        let cycle_limit_max = timely("cycleLimitMax", call.call()).await?;
        let clocks = Clocks {
            // The contract's constructor refuses zero.
            beacon_period: NonZeroU32::new(fixed.beaconPeriod).unwrap_or(NonZeroU32::MIN),
            commit_time: fixed.commitTime,
            inclusion_delay: fixed.inclusionDelay,
            interpreter_speed: NonZeroU64::new(fixed.interpreterSpeed).unwrap_or(NonZeroU64::MIN),
        };
        let rules = Rules {
            clocks,
            cycle_limit_max,
        };
        Ok((rules, fixed.stakePerAudit))
    }

    /// Calls the audits. An intent of the same kind about the same `subject` is taken up, unless it came
    /// to nothing: it was refused, or mined in a block up to `applied`, whose effects the caller knows.
    ///
    /// # Errors
    /// [`ChainProblem`].
    pub async fn call_audits(
        &self,
        kind: IntentKind,
        subject: B256,
        call: Vec<u8>,
        not_after_s: Option<u64>,
        applied: u64,
    ) -> Result<MinedTransaction, ChainProblem> {
        let mut intent = Intent::call(kind, subject, *self.audits.address(), call);
        intent.not_after_s = not_after_s;
        if not_after_s.is_some() {
            intent.urgency = Urgency::Deadline;
        }
        self.send_anew(intent, 0, applied).await
    }
}

/// The calls that give an old seat up and take one of this capacity.
pub(crate) fn join_call(account: Address, has_seat: bool, capacity: u8) -> Vec<u8> {
    let join = Audits::joinCall { capacity }.abi_encode();
    if !has_seat {
        return join;
    }
    let vacate = Audits::vacateCall { account }.abi_encode();
    let calls = [vacate, join].map(Bytes::from).into();
    Audits::multicallCall { calls }.abi_encode()
}

/// An event in the words of the state; `None` for one that no contract emits.
pub(super) fn observe(event: AuditsEvents, place: Place) -> Option<AuditEvent> {
    let narrow = |value: U256| u128::try_from(value).unwrap_or(u128::MAX);
    let went_on = |claim_hash, step| AuditEvent::WentOn { claim_hash, step };
    Some(match event {
        AuditsEvents::BeaconAnnounced(e) => AuditEvent::Announced {
            period: e.period.try_into().ok()?,
            number: e.number,
        },
        AuditsEvents::BeaconRecorded(e) => AuditEvent::Recorded {
            period: e.period.try_into().ok()?,
            hash: e.hash,
        },
        AuditsEvents::Joined(e) => AuditEvent::Joined {
            account: e.account,
            seat: Seat::taken(e.capacity, e.from),
        },
        AuditsEvents::Retired(e) => AuditEvent::Retired {
            account: e.account,
            until: e.until,
        },
        AuditsEvents::Vacated(e) => AuditEvent::Vacated { account: e.account },
        AuditsEvents::AuditOpened(e) => {
            let auditors = e.auditors.into_iter().zip(e.points);
            AuditEvent::Opened(Box::new(AuditRecord {
                claim_hash: e.claimHash,
                deal: e.dealId,
                provider: e.provider,
                task: e.task,
                leaf: e.leaf,
                fee: e.fee,
                commit_deadline: e.commitDeadline,
                auditors: auditors
                    .map(|(account, point)| Auditor { account, point })
                    .collect(),
                history: vec![(place, Step::Opened)],
            }))
        }
        AuditsEvents::Committed(e) => went_on(e.claimHash, Step::Committed { account: e.account }),
        AuditsEvents::Revealed(e) => went_on(
            e.claimHash,
            Step::Revealed {
                account: e.account,
                state: e.state,
                halted: e.halted,
            },
        ),
        AuditsEvents::Answered(e) => went_on(e.claimHash, Step::Answered { answers: e.answers }),
        AuditsEvents::Judged(e) => went_on(
            e.claimHash,
            Step::Judged {
                account: e.account,
                outcome: Outcome::from_number(e.outcome)?,
                token: e.token,
                paid: narrow(e.paid),
                slashed: narrow(e.slashed),
            },
        ),
        AuditsEvents::AuditClosed(e) => went_on(
            e.claimHash,
            Step::Closed {
                answered: e.answered,
                to_provider: narrow(e.toProvider),
                to_buyer: narrow(e.toBuyer),
            },
        ),
    })
}
