//! Nodes that lie: to see what becomes of a provider whose claims are false, and of a verifier that
//! challenges true ones.
//!
//! A cheat is a node of the product with other engines put around its own: one that falsifies what a
//! run gave, and one whose trace leads to what was falsified. Everything else is the product's code, so
//! that a cheat plays as well as the product does. The product itself starts with its own engines and
//! contains none of this.
//!
//! | module | one idea |
//! | --- | --- |
//! | [`claim`] | what is claimed instead of a task's result |
//! | [`trace`] | states that lead there, or nowhere, and moves that are not made |
//! | [`node`] | a node of the product, with these engines |
//!
//! All choices follow from a seed, the job and the task, so that a run can be repeated.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy::primitives::{B256, keccak256};
use outcry_daemon::Engines;
use serde::{Deserialize, Serialize};

pub mod claim;
pub mod node;
pub mod trace;

/// How a node lies. All but [`Kind::WrongCycles`] claim a false output, and differ in how they defend
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The run is true up to its last step.
    WrongOutput,
    /// The output is true and the bill is not.
    WrongCycles,
    /// All states from a random step on are false.
    WrongStateAtRandomStep,
    /// Never moves.
    Silent,
    /// Makes the moves before this one, counted from 1, and none after.
    StallsAtMove(u32),
    /// Makes up every state when it is asked for it, and proofs as well.
    AnswersInconsistently,
}

const STALLS_AT_MOVE: &str = "stalls-at-move-";

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongOutput => f.write_str("wrong-output"),
            Self::WrongCycles => f.write_str("wrong-cycles"),
            Self::WrongStateAtRandomStep => f.write_str("wrong-state-at-random-step"),
            Self::Silent => f.write_str("silent"),
            Self::StallsAtMove(number) => write!(f, "{STALLS_AT_MOVE}{number}"),
            Self::AnswersInconsistently => f.write_str("answers-inconsistently"),
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = [
            Self::WrongOutput,
            Self::WrongCycles,
            Self::WrongStateAtRandomStep,
            Self::Silent,
            Self::AnswersInconsistently,
        ];
        let stalls = || {
            let number = text.strip_prefix(STALLS_AT_MOVE)?.parse().ok()?;
            (number > 0).then_some(Self::StallsAtMove(number))
        };
        plain
            .into_iter()
            .find(|kind| kind.to_string() == text)
            .or_else(stalls)
            .ok_or_else(|| {
                format!(
                    "`{text}` is none of {}, {STALLS_AT_MOVE}N with N from 1",
                    plain.map(|kind| kind.to_string()).join(", ")
                )
            })
    }
}

/// A way to lie, and the seed of its choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cheat {
    /// The way.
    pub kind: Kind,
    /// All choices follow from it.
    pub seed: u64,
}

/// A task, by the hash of its job and its index there.
type TaskId = (B256, u32);

impl Cheat {
    /// The product's engines with lies put around them.
    #[must_use]
    pub fn around(self, engines: Engines) -> Engines {
        let claims = Claims::default();
        Engines {
            executor: Arc::new(claim::Falsifier::new(
                self,
                engines.executor,
                claims.clone(),
            )),
            tracer: Arc::new(trace::Forger::new(self, engines.tracer, claims)),
        }
    }

    /// The choice of this name about a task, below `bound`; 0 if that is 0.
    fn choose(self, what: &str, task: TaskId, bound: u64) -> u64 {
        let drawn = self.hash(what, task, 0);
        let (high, _) = drawn.split_at(size_of::<u64>());
        let drawn = high
            .iter()
            .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        // Bounds are far below 2^64: the bias does not matter here.
        drawn.checked_rem(bound).unwrap_or_default()
    }

    /// A word that means nothing.
    fn hash(self, what: &str, (job, task): TaskId, step: u64) -> B256 {
        let mut bytes = what.as_bytes().to_vec();
        bytes.extend(self.seed.to_be_bytes());
        bytes.extend(job);
        bytes.extend(task.to_be_bytes());
        bytes.extend(step.to_be_bytes());
        keccak256(bytes)
    }
}

/// What a cheat has claimed of each task. In memory alone: a cheat that is killed has lost its games.
#[derive(Debug, Clone, Default)]
struct Claims(Arc<Mutex<BTreeMap<TaskId, Claimed>>>);

/// What was claimed of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claimed {
    /// The halted state.
    halted: B256,
    /// Cycles that the run really took.
    cycles: u64,
}

impl Claims {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<TaskId, Claimed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, task: TaskId, claimed: Claimed) {
        self.lock().insert(task, claimed);
    }

    fn of(&self, task: TaskId) -> Option<Claimed> {
        self.lock().get(&task).copied()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for text in [
            "wrong-output",
            "wrong-cycles",
            "wrong-state-at-random-step",
            "silent",
            "stalls-at-move-3",
            "answers-inconsistently",
        ] {
            assert_eq!(text.parse::<Kind>().unwrap().to_string(), text);
        }
        for text in ["", "stalls-at-move-", "stalls-at-move-0", "honest"] {
            assert!(text.parse::<Kind>().is_err(), "{text}");
        }
    }

    #[test]
    fn choices_repeat_with_the_seed() {
        let cheat = |seed| Cheat {
            kind: Kind::WrongOutput,
            seed,
        };
        let task = (B256::repeat_byte(1), 2);
        let choice = |seed| cheat(seed).choose("step", task, 1_000_000);
        assert_eq!(choice(1), choice(1));
        assert_ne!(choice(1), choice(2));
        assert_eq!(cheat(1).choose("step", task, 0), 0);
    }
}
