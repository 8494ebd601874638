//! How a task's execution ended, as the machine defines it. Vectors: `hashes.json`.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use crate::hash;
use crate::merkle::MerkleError;

/// Status of a halted machine. All of them are billed: the work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[repr(u8)]
pub enum Status {
    /// The program ended, with an exit code.
    Exited = 0,
    /// The program trapped (division by zero, access outside memory, `unreachable`, ...).
    Trapped = 1,
    /// The cycle limit was reached.
    OutOfCycles = 2,
    /// The sum of frame slots exceeded the limit.
    OutOfFrameSlots = 3,
    /// The output archive would have exceeded its limit.
    OutputLimitExceeded = 4,
}

impl Status {
    /// All statuses, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::Exited,
        Self::Trapped,
        Self::OutOfCycles,
        Self::OutOfFrameSlots,
        Self::OutputLimitExceeded,
    ];

    /// The number that is hashed.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The status of a number; `None` for numbers that mean nothing.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Exited => "exited",
            Self::Trapped => "trapped",
            Self::OutOfCycles => "out of cycles",
            Self::OutOfFrameSlots => "out of frame slots",
            Self::OutputLimitExceeded => "output limit exceeded",
        })
    }
}

/// What `inner` commits to. Status other than `Exited`: exit code 0, empty output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// Exit code of the program; 0 unless it exited.
    pub exit_code: u32,
    /// Root of the output archive, see [`hash::output_root`].
    pub output_root: B256,
    /// Bytes of the output archive.
    pub output_length: u64,
}

impl Outcome {
    /// A program that exited with a code and wrote an archive.
    ///
    /// # Errors
    /// If the archive is longer than the limit allows.
    pub fn exited(exit_code: u32, archive: &[u8], output_limit: u64) -> Result<Self, MerkleError> {
        let output_root = hash::output_root(archive, output_limit)?;
        Ok(Self {
            status: Status::Exited,
            exit_code,
            output_root,
            output_length: archive.len() as u64,
        })
    }

    /// A program that did not exit: exit code 0 and empty output, whatever it had written.
    #[must_use]
    pub fn stopped(status: Status, output_limit: u64) -> Self {
        assert!(
            status != Status::Exited,
            "a program that exited has an exit code and an archive"
        );
        let depth = crate::merkle::depth_for_bytes(output_limit);
        let output_root = crate::merkle::zero_subtrees()[depth as usize];
        Self {
            status,
            exit_code: 0,
            output_root,
            output_length: 0,
        }
    }

    /// `inner`, see [`hash::inner_hash`].
    #[must_use]
    pub fn inner(&self) -> B256 {
        hash::inner_hash(self)
    }
}
