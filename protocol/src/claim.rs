//! Claims: what a provider asserts about a deal, in a form that chain data alone can check.
//!
//! Calldata is 38 bytes a task: cycles (48 bits, big-endian) and `inner`. From it and the deal's
//! terms follow the result root, the cycles and the price. Vectors: `claims.json`.

use alloy_primitives::{B256, hex};

use crate::hash;
use crate::limits::{CYCLE_LIMIT_MAX, TASKS_PER_DEAL_MAX};
use crate::money::Tariff;
pub use crate::types::Claim;
use crate::types::Deal;

/// Bytes of one task in a claim's calldata.
pub const TASK_BYTES: usize = 38;

/// What a claim says about one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskResult {
    /// Billed cycles, at most the deal's cycle limit.
    pub cycles: u64,
    /// See [`hash::inner_hash`].
    pub inner: B256,
}

/// Why a claim was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// The bytes are not a whole number of tasks.
    #[error("{0} bytes are not a multiple of {TASK_BYTES}")]
    Length(usize),
    /// More tasks than a claim may have.
    #[error("{0} tasks exceed the limit of {TASKS_PER_DEAL_MAX}")]
    TooManyTasks(usize),
    /// The number of tasks differs from the deal's.
    #[error("the claim has {claimed} tasks, the deal {expected}")]
    Count {
        /// Tasks in the claim.
        claimed: usize,
        /// Tasks of the deal.
        expected: u32,
    },
    /// A task claims more cycles than the deal allows.
    #[error("task {task} claims {cycles} cycles, the limit is {limit}")]
    Cycles {
        /// Index within the job.
        task: u32,
        /// What it claims.
        cycles: u64,
        /// The deal's cycle limit.
        limit: u64,
    },
    /// The price needs more than 128 bits; impossible for a deal that opened.
    #[error("the price needs more than 128 bits")]
    Price,
}

/// Calldata of a claim.
///
/// # Errors
/// [`ClaimError::TooManyTasks`]; [`ClaimError::Cycles`] beyond [`CYCLE_LIMIT_MAX`].
pub fn encode_tasks(tasks: &[TaskResult]) -> Result<Vec<u8>, ClaimError> {
    if tasks.len() > TASKS_PER_DEAL_MAX as usize {
        return Err(ClaimError::TooManyTasks(tasks.len()));
    }
    let mut out = Vec::with_capacity(tasks.len() * TASK_BYTES);
    for (task, result) in (0u32..).zip(tasks) {
        if result.cycles > CYCLE_LIMIT_MAX {
            return Err(ClaimError::Cycles {
                task,
                cycles: result.cycles,
                limit: CYCLE_LIMIT_MAX,
            });
        }
        out.extend_from_slice(&result.cycles.to_be_bytes()[2..]);
        out.extend_from_slice(result.inner.as_slice());
    }
    Ok(out)
}

/// Reads a claim's calldata; the encoding is unique.
///
/// # Errors
/// [`ClaimError::Length`] and [`ClaimError::TooManyTasks`].
pub fn decode_tasks(bytes: &[u8]) -> Result<Vec<TaskResult>, ClaimError> {
    let (records, rest) = bytes.as_chunks::<TASK_BYTES>();
    if !rest.is_empty() {
        return Err(ClaimError::Length(bytes.len()));
    }
    if records.len() > TASKS_PER_DEAL_MAX as usize {
        return Err(ClaimError::TooManyTasks(records.len()));
    }
    Ok(records
        .iter()
        .map(|record| {
            let mut cycles = [0u8; 8];
            cycles[2..].copy_from_slice(&record[..6]);
            TaskResult {
                cycles: u64::from_be_bytes(cycles),
                inner: B256::from_slice(&record[6..]),
            }
        })
        .collect())
}

/// The claim that follows from a deal and what its tasks gave.
///
/// # Errors
/// [`ClaimError`] if the number of tasks differs or a task exceeds the cycle limit.
pub fn compute(deal: &Deal, tasks: &[TaskResult]) -> Result<Claim, ClaimError> {
    if tasks.len() != deal.taskCount as usize {
        return Err(ClaimError::Count {
            claimed: tasks.len(),
            expected: deal.taskCount,
        });
    }
    if tasks.len() > TASKS_PER_DEAL_MAX as usize {
        return Err(ClaimError::TooManyTasks(tasks.len()));
    }
    let mut halted = Vec::with_capacity(tasks.len());
    for (offset, result) in (0u32..).zip(tasks) {
        let task = deal.firstTask.wrapping_add(offset);
        if result.cycles > deal.cycleLimit {
            return Err(ClaimError::Cycles {
                task,
                cycles: result.cycles,
                limit: deal.cycleLimit,
            });
        }
        halted.push(hash::halted_hash(
            deal.jobHash,
            task,
            result.cycles,
            result.inner,
        ));
    }
    let price = Tariff::of_deal(deal)
        .deal_price(tasks.iter().map(|t| t.cycles))
        .map_err(|_| ClaimError::Price)?;
    // 2048 tasks are the most that `result_root` takes, and were checked above; cycles of 2^44 each
    // sum to at most 2^55.
    let result_root =
        hash::result_root(&halted).map_err(|_| ClaimError::TooManyTasks(tasks.len()))?;
    let cycles = tasks
        .iter()
        .fold(0u64, |sum, t| sum.saturating_add(t.cycles));
    Ok(Claim {
        resultRoot: result_root,
        cycles,
        price,
    })
}

impl Claim {
    /// What the buyer's `Accept` and the provider's `ClaimRelay` sign.
    #[must_use]
    pub fn hash(&self, deal_id: B256) -> B256 {
        hash::claim_hash(deal_id, self.resultRoot, self.cycles, self.price)
    }
}

impl std::fmt::Display for TaskResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} cycles, inner 0x{}",
            self.cycles,
            hex::encode(self.inner)
        )
    }
}
