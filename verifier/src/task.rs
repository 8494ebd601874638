//! What a run is given beside the image: the task header and the job's limits.

use alloy_primitives::{B256, U256};
use outcry_protocol::hash::job_hash;
use outcry_protocol::status::Outcome;
use outcry_protocol::types::JobSpec;

/// Stream 0 of the host operation `read_input`: seven 32-byte big-endian words.
///
/// The words are those of the job's fields, so that the contract can check them against the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskHeader {
    /// Version of the machine's rules.
    pub machine_version: u32,
    /// keccak256 of the ABI-encoded job.
    pub job_hash: B256,
    /// Index of this task in the job.
    pub task: u32,
    /// Number of tasks in the job.
    pub task_count: u32,
    /// Bytes of the task's input archive (stream 1).
    pub archive_bytes: u64,
    /// Most bytes of the output archive.
    pub output_limit_bytes: u64,
    /// Most 64 KiB pages, all memories of the image together.
    pub page_limit: u32,
}

impl TaskHeader {
    /// Bytes of the encoded header.
    pub const BYTES: usize = 7 * 32;

    /// The header of a task of a job, whose input archive has so many bytes.
    #[must_use]
    pub fn of(job: &JobSpec, task: u32, archive_bytes: u64) -> Self {
        Self {
            machine_version: job.machineVersion,
            job_hash: job_hash(job),
            task,
            task_count: job.taskCount,
            archive_bytes,
            output_limit_bytes: job.outputLimit,
            page_limit: job.pageLimit,
        }
    }

    /// The bytes that the program's library reads.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let words = [
            U256::from(self.machine_version).into(),
            self.job_hash,
            U256::from(self.task).into(),
            U256::from(self.task_count).into(),
            U256::from(self.archive_bytes).into(),
            U256::from(self.output_limit_bytes).into(),
            U256::from(self.page_limit).into(),
        ];
        let mut bytes = [0; Self::BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(32).zip(words) {
            let word: B256 = word;
            chunk.copy_from_slice(word.as_slice());
        }
        bytes
    }
}

/// The limits of a job that end a run with a status of its own. They are part of the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLimits {
    /// Most cycles, at most [`crate::limits::CYCLE_LIMIT`].
    pub cycles: u64,
    /// Most 64 KiB pages of all memories together, at most [`crate::limits::PAGE_LIMIT`].
    pub pages: u32,
    /// Most frame slots in use at once, at most [`crate::limits::SLOT_LIMIT`].
    pub slots: u64,
    /// Most bytes of the output archive.
    pub output_bytes: u64,
}

impl RunLimits {
    /// The limits of each task of a job.
    #[must_use]
    pub fn of(job: &JobSpec) -> Self {
        Self {
            cycles: job.cycleLimit,
            pages: job.pageLimit,
            slots: job.slotLimit,
            output_bytes: job.outputLimit,
        }
    }
}

/// A halted machine: what is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Halted {
    /// Cycles that are billed.
    pub cycles: u64,
    /// Status, exit code and output.
    pub outcome: Outcome,
}

impl Halted {
    /// The halted state's hash, see [`outcry_protocol::hash::halted_hash`].
    #[must_use]
    pub fn hash(&self, job_hash: B256, task: u32) -> B256 {
        outcry_protocol::hash::halted_hash(job_hash, task, self.cycles, self.outcome.inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_seven_big_endian_words() {
        let header = TaskHeader {
            machine_version: 1,
            job_hash: B256::repeat_byte(2),
            task: 3,
            task_count: 4,
            archive_bytes: 5 << 40,
            output_limit_bytes: 6,
            page_limit: 0x0102_0304,
        };
        let bytes = header.to_bytes();
        let word = |index: usize| U256::from_be_slice(&bytes[32 * index..32 * index + 32]);
        let expected = [1_u64, 0, 3, 4, 5 << 40, 6, 0x0102_0304].map(U256::from);
        for index in [0, 2, 3, 4, 5, 6] {
            assert_eq!(word(index), expected[index], "word {index}");
        }
        assert_eq!(bytes[32..64], [2; 32]);
    }
}
