//! Which claims a verifier re-executes, and what it found.

use std::collections::BTreeMap;

use alloy::primitives::{B256, keccak256};
use outcry_protocol::status::Outcome;
use serde::{Deserialize, Serialize};

use super::deal::DealRecord;
use super::provider::TaskResult;

/// Basis points of one whole.
const BPS: u16 = 10_000;

/// What a re-execution says about one task of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Finding {
    /// Cycles and inner hash are right.
    Agreed,
    /// They differ.
    Mismatched {
        /// Cycles found.
        cycles: u64,
        /// Status, exit code and output found.
        outcome: Outcome,
    },
    /// The task could not be run here.
    Unavailable,
}

impl Finding {
    /// Whether the claim is false.
    #[must_use]
    pub fn is_mismatch(&self) -> bool {
        matches!(self, Self::Mismatched { .. })
    }
}

/// What is known about the claims that were chosen for checking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verifications {
    /// Claims seen on the chain.
    pub claims_seen: u64,
    /// Findings by deal: one per task, in order. Absent: not looked at yet.
    pub findings: BTreeMap<B256, Checked>,
    /// How often the inputs of a deal's tasks could not be fetched.
    pub unfetched: BTreeMap<B256, u32>,
}

/// The findings about one claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// The claim: after a reorganisation the deal may have another.
    pub claim_hash: B256,
    /// Unix seconds of the chain.
    pub at: u64,
    /// One per task of the deal, in order.
    pub findings: Vec<Finding>,
}

/// Whether a claim belongs to the sample: a share of all claims that the provider cannot predict
/// without knowing the verifier's secret.
#[must_use]
pub fn is_sampled(claim_hash: B256, secret: B256, sample_bps: u16) -> bool {
    let draw = keccak256([secret.0, claim_hash.0].concat());
    u16::from_be_bytes([draw[0], draw[1]]) % BPS < sample_bps
}

/// Compares what a task gave here with what the claim says.
#[must_use]
pub fn compare(deal: &DealRecord, found: &TaskResult) -> Finding {
    let claimed = deal.claim().and_then(|claim| {
        let offset = found.task.checked_sub(deal.terms.firstTask)?;
        claim.task_results().get(offset as usize).copied()
    });
    match claimed {
        None => Finding::Unavailable,
        Some(claimed) if claimed == found.claimed() => Finding::Agreed,
        Some(_) => Finding::Mismatched {
            cycles: found.cycles,
            outcome: found.outcome,
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::state::deal::{Change, Place};
    use crate::state::example;
    use alloy::primitives::Bytes;
    use outcry_protocol::claim::encode_tasks;
    use outcry_protocol::status::Status;

    fn result(task: u32, cycles: u64) -> TaskResult {
        TaskResult {
            task,
            cycles,
            outcome: Outcome::stopped(Status::Trapped, 1),
            output: B256::ZERO,
        }
    }

    #[test]
    fn a_claim_that_bills_one_cycle_too_many_is_a_mismatch() {
        let place = Place {
            block: 1,
            at: 1,
            log_index: 0,
            transaction: B256::ZERO,
        };
        let mut deal = DealRecord::opened(B256::ZERO, example::deal(), B256::ZERO, place);
        let tasks: Vec<_> = (0..4).map(|task| result(task, 100).claimed()).collect();
        let tasks = Bytes::from(encode_tasks(&tasks).unwrap());
        let claim = Change::Claimed {
            claim_hash: B256::ZERO,
            result_root: B256::ZERO,
            cycles: 400,
            price: 1,
            tasks,
        };
        deal.history.push((place, claim));
        assert_eq!(compare(&deal, &result(2, 100)), Finding::Agreed);
        assert!(matches!(
            compare(&deal, &result(2, 99)),
            Finding::Mismatched { cycles: 99, .. }
        ));
        assert_eq!(compare(&deal, &result(4, 100)), Finding::Unavailable);
    }

    #[test]
    fn a_sample_of_everything_takes_every_claim_and_one_of_nothing_none() {
        for byte in 0..=255 {
            let claim = B256::repeat_byte(byte);
            assert!(is_sampled(claim, B256::ZERO, 10_000));
            assert!(!is_sampled(claim, B256::ZERO, 0));
        }
    }
}
