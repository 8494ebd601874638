//! Audits: what is drawn for a claim, by when, and what the parties commit to.
//!
//! Stage of a job served here: a task has been claimed, and a beacon draws verifiers that run it again.
//! Each of them, and the provider, commits to the state at a point of its own, which nobody knows who
//! has not run the task to that point. `verifier/MACHINE.md`, section 7, is the page;
//! `contracts/src/audit/Rules.sol` and `contracts/src/audit/Beacon.sol` state the same in Solidity, and
//! `verifier/vectors/audit.json` binds the two.
//!
//! ```text
//! claimed at ------period_of------> beacon --Seed--> is_drawn, task, point
//! task, points --PointStates--> states --report_commitment, answer_commitment--> commit
//! ```
//!
//! | module | one idea |
//! | --- | --- |
//! | [`run`] | the states of a task at several points, in one run |
//!
//! Never here: a chain client, a clock, who audits (the contract names them).

pub mod run;

use std::num::{NonZeroU32, NonZeroU64};

use alloy_primitives::{Address, B256, U256, keccak256};

use crate::machine::Point;

pub use run::PointStates;

/// Basis points of 1.
const BPS: u64 = 10_000;
/// An audit, with a game that it leads to, lasts at most as long as this many clocks of the game and the
/// time to commit: `contracts/src/audit/Rules.sol` says which.
const CLOCKS_AT_MOST: u64 = 8;
/// Blocks whose hash the chain knows: a beacon that was not recorded by then names another one.
/// `contracts/src/audit/Beacon.sol`.
pub const HASHES_KNOWN: u64 = 256;
/// Periods for which a retired seat stays, because draws of its last one may still be open.
/// `contracts/src/audit/Registry.sol`.
pub const DRAWS_OPEN: u64 = 16;
/// Points lie in the last 1/64 of the claimed cycles.
const POINT_PART: u64 = 64;

/// What is drawn from a seed, by the number that is hashed with it. 2 is the auditors, whom the contract
/// draws from its seats.
#[derive(Debug, Clone, Copy)]
enum Drawn {
    Whether = 0,
    Task = 1,
    Point = 3,
}

/// Clocks of the audits, as their contract was deployed with them. Times in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// Claims of so many seconds share a beacon.
    pub beacon_period: NonZeroU32,
    /// To fetch program and input and to run them natively, besides the machine's run.
    pub commit_time: u32,
    /// To get one's calls into blocks.
    pub inclusion_delay: u32,
    /// Cycles per second of the slowest interpreter that is waited for.
    pub interpreter_speed: NonZeroU64,
}

impl Clocks {
    /// The period whose beacon draws claims of this second.
    #[must_use]
    pub fn period_of(&self, claimed_at: u64) -> u64 {
        // Below 2^64: a period of one second is the shortest, and no block has the last second.
        (claimed_at / u64::from(self.beacon_period.get())).saturating_add(1)
    }

    /// First second of a period, from which on its beacon can be brought on.
    #[must_use]
    pub fn period_begins(&self, period: u64) -> u64 {
        period.saturating_mul(self.beacon_period.get().into())
    }

    /// Last second at which a commitment counts, of an audit that was opened in this second about a task
    /// of so many claimed cycles.
    #[must_use]
    pub fn commit_deadline(&self, opened_at: u64, cycles: u64) -> u64 {
        let run = cycles.div_ceil(self.interpreter_speed.get());
        opened_at
            .saturating_add(self.commit_time.into())
            .saturating_add(self.inclusion_delay.into())
            .saturating_add(run)
    }

    /// Last second at which what was committed to can be revealed.
    #[must_use]
    pub fn reveal_deadline(&self, commit_deadline: u64) -> u64 {
        commit_deadline.saturating_add(self.inclusion_delay.into())
    }

    /// Last second in which an audit whose parties do not agree can not be closed: until then an auditor
    /// brings its game.
    #[must_use]
    pub fn game_deadline(&self, commit_deadline: u64) -> u64 {
        commit_deadline.saturating_add(2 * u64::from(self.inclusion_delay))
    }

    /// Largest cycle limit of a job that is audited, if stake unbonds in so many seconds: its games end
    /// before that. `None`: no contract was deployed with these.
    #[must_use]
    pub fn cycle_limit_max(&self, unbonding_delay: u64) -> Option<u64> {
        let least = CLOCKS_AT_MOST * u64::from(self.inclusion_delay) + u64::from(self.commit_time);
        let left = unbonding_delay
            .checked_sub(least)
            .filter(|left| *left > 0)?;
        Some((left / CLOCKS_AT_MOST).saturating_mul(self.interpreter_speed.get()))
    }
}

/// What an audit's draws follow from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub B256);

impl Seed {
    /// Of a claim, whose period's beacon recorded this hash.
    #[must_use]
    pub fn of(beacon: B256, claim_hash: B256) -> Self {
        Self(hash_words(&[beacon, claim_hash]))
    }

    /// Whether a claim about a bid of this audit rate, in basis points, is audited, unless its cycle limit
    /// is above [`Clocks::cycle_limit_max`].
    #[must_use]
    pub fn is_drawn(&self, rate_bps: u16) -> bool {
        self.below(Drawn::Whether, 0, BPS) < u64::from(rate_bps)
    }

    /// The task that is audited, as an index in the job, of a deal over so many from the first.
    #[must_use]
    pub fn task(&self, first_task: u32, task_count: NonZeroU32) -> u32 {
        // A deal's tasks are a job's, whose number has 32 bits; and so has what is drawn below it.
        first_task.wrapping_add(self.below(Drawn::Task, 0, task_count.get().into()) as u32)
    }

    /// The point of the auditor of this index, in a task of so many claimed cycles.
    #[must_use]
    pub fn point(&self, auditor: usize, cycles: u64) -> Point {
        let back = self.below(Drawn::Point, auditor as u64, cycles / POINT_PART + 1);
        // Point 0 would name the end of a run. `back` is at most a 64th of the cycles.
        Point::new(cycles - back).unwrap_or(Point::MIN)
    }

    /// A number below `range`, which is not 0; the bias of the remainder is below 2^-190.
    fn below(&self, what: Drawn, index: u64, range: u64) -> u64 {
        let drawn = hash_words(&[self.0, word(what as u64), word(index)]);
        // Below `range`, and so in 64 bits.
        (U256::from_be_bytes(drawn.0) % U256::from(range)).to::<u64>()
    }
}

/// What an auditor commits to: the state at its point and the halted state, with a salt that nobody
/// guesses.
#[must_use]
pub fn report_commitment(state: B256, halted: B256, salt: B256, account: Address) -> B256 {
    hash_words(&[state, halted, salt, account.into_word()])
}

/// What the provider commits to: the state at each auditor's point, in the order of the auditors.
#[must_use]
pub fn answer_commitment(answers: &[B256], salt: B256, provider: Address) -> B256 {
    // An array's place among the arguments is where it begins: behind the three of them.
    let mut words = vec![
        word(3 * 32),
        salt,
        provider.into_word(),
        word(answers.len() as u64),
    ];
    words.extend_from_slice(answers);
    hash_words(&words)
}

fn word(number: u64) -> B256 {
    U256::from(number).into()
}

fn hash_words(words: &[B256]) -> B256 {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.0).collect();
    keccak256(bytes)
}
