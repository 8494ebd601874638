//! What the node is doing, so that it does nothing twice and repeats what failed ever more slowly.
//!
//! The state says after every fact what is wanted. Here is remembered what runs already and what
//! rests after it ended: after a success until its effect must have shown in the state, after a
//! failure for 1, 2, 4, … blocks, and where a clock runs for 1, 1, 1, 1, 2, 2, 2, 2, 4, … blocks.

use std::collections::{BTreeMap, BTreeSet};

use crate::state::Activity;

/// Blocks within which the effect of a success shows in the state: one for the transaction's own
/// and one for reading it.
const REST_AFTER_SUCCESS_BLOCKS: u64 = 2;
/// Longest rest after failures.
const REST_BLOCKS_MAX: u64 = 32;
/// Failures after which the rest doubles while a clock runs.
const FAILURES_TIMED: u32 = 4;

/// What runs and what rests.
#[derive(Debug, Default)]
pub struct Schedule {
    running: BTreeSet<Activity>,
    resting: BTreeMap<Activity, Rest>,
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    until_block: u64,
    failures: u32,
}

impl Schedule {
    /// Of what is wanted at `block`, what is to be started now, with the number of times that it
    /// failed in a row. It counts as running from here on.
    pub fn start(
        &mut self,
        wanted: impl IntoIterator<Item = Activity>,
        block: u64,
    ) -> Vec<(Activity, u64)> {
        let wanted: BTreeSet<Activity> = wanted.into_iter().collect();
        self.resting.retain(|activity, _| wanted.contains(activity));
        let mut started = Vec::new();
        for activity in wanted {
            let rest = self.resting.get(&activity);
            let failures = rest.map_or(0, |rest| rest.failures);
            if rest.is_none_or(|rest| block >= rest.until_block) && self.running.insert(activity) {
                started.push((activity, failures.into()));
            }
        }
        started
    }

    /// An activity ended at `block`.
    pub fn ended(&mut self, activity: Activity, succeeded: bool, block: u64) {
        self.running.remove(&activity);
        let failures = self.resting.get(&activity).map_or(0, |rest| rest.failures);
        let rest = if succeeded {
            Rest {
                until_block: block.saturating_add(REST_AFTER_SUCCESS_BLOCKS),
                failures: 0,
            }
        } else {
            let doubled = if activity.is_timed() {
                failures / FAILURES_TIMED
            } else {
                failures
            };
            let blocks = 1_u64.checked_shl(doubled).unwrap_or(REST_BLOCKS_MAX);
            let blocks = blocks.min(REST_BLOCKS_MAX);
            Rest {
                until_block: block.saturating_add(blocks),
                failures: failures.saturating_add(1),
            }
        };
        self.resting.insert(activity, rest);
    }

    /// How many activities run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Whether work that must not be cut off for nothing is running.
    #[must_use]
    pub fn is_running(&self, matches: impl Fn(&Activity) -> bool) -> bool {
        self.running.iter().any(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::primitives::B256;

    const CLAIM: Activity = Activity::Claim(B256::ZERO);

    #[test]
    fn what_runs_is_not_started_again() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.start([CLAIM], 1), [(CLAIM, 0)]);
        assert_eq!(
            schedule.start([CLAIM, Activity::Settle], 1),
            [(Activity::Settle, 0)]
        );
    }

    #[test]
    fn a_success_gets_two_blocks_to_show() {
        let mut schedule = Schedule::default();
        schedule.start([CLAIM], 1);
        schedule.ended(CLAIM, true, 5);
        assert!(schedule.start([CLAIM], 6).is_empty());
        assert_eq!(schedule.start([CLAIM], 7), [(CLAIM, 0)]);
    }

    /// Rests after the first failures of an activity.
    fn rests(activity: Activity, failures: u64) -> Vec<u64> {
        let mut schedule = Schedule::default();
        let mut block = 0;
        let mut waits = Vec::new();
        for attempt in 0..failures {
            assert_eq!(schedule.start([activity], block), [(activity, attempt)]);
            schedule.ended(activity, false, block);
            let from = block;
            while schedule.start([activity], block).is_empty() {
                block += 1;
            }
            schedule.running.clear();
            waits.push(block - from);
        }
        waits
    }

    #[test]
    fn failures_are_repeated_ever_more_slowly_also_while_a_clock_runs() {
        assert_eq!(rests(CLAIM, 7), [1, 2, 4, 8, 16, 32, 32]);
        let timed = rests(Activity::Play(B256::ZERO, 0), 40);
        assert_eq!(timed[..9], [1, 1, 1, 1, 2, 2, 2, 2, 4]);
        assert_eq!(timed[39], REST_BLOCKS_MAX);
    }

    #[test]
    fn failures_are_forgotten_when_nobody_wants_them() {
        let mut schedule = Schedule::default();
        let block = 9;
        schedule.start([CLAIM], block);
        schedule.ended(CLAIM, false, block);
        schedule.start([], block);
        assert_eq!(schedule.start([CLAIM], block), [(CLAIM, 0)]);
    }
}
