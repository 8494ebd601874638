//! What a task gave: its outcome and its output archive.

use std::collections::BTreeMap;
use std::path::Path;

use alloy::primitives::B256;
use bytes::Bytes;
use outcry_protocol::status::{Outcome, Status};
use outcry_verifier::archive::output::{Part, check, part};
use outcry_verifier::archive::{ArchiveError, Kind, Reader, folder};

use crate::error::Error;

/// The result of one task. Whether anybody checked it, the place says from which it comes:
/// [`crate::CheckedDeal`] holds checked ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskOutput {
    /// Index of the task in the job.
    pub task: u32,
    /// The deal under which it ran; zero for a run without a market.
    pub deal: B256,
    /// How it ended.
    pub outcome: Outcome,
    /// Cycles billed.
    pub cycles: u64,
    archive: Bytes,
}

impl TaskOutput {
    /// Puts a result together.
    ///
    /// # Errors
    /// [`Error::Input`] if the archive is not an output archive in canonical form. A program that
    /// did not exit has none: zero bytes.
    pub fn new(
        task: u32,
        deal: B256,
        outcome: Outcome,
        cycles: u64,
        archive: Bytes,
    ) -> Result<Self, Error> {
        if outcome.status == Status::Exited {
            check(&archive[..]).map_err(|e| Error::Input(e.to_string()))?;
        } else if !archive.is_empty() {
            return Err(Error::Input(format!(
                "a program that ended as \"{}\" has no output",
                outcome.status
            )));
        }
        Ok(Self {
            task,
            deal,
            outcome,
            cycles,
            archive,
        })
    }

    /// Whether the program exited with 0.
    pub fn is_success(&self) -> bool {
        self.outcome.status == Status::Exited && self.outcome.exit_code == 0
    }

    /// The archive itself: what the output root commits to.
    pub fn archive(&self) -> &Bytes {
        &self.archive
    }

    /// What the program wrote to stdout.
    pub fn stdout(&self) -> Vec<u8> {
        self.unpack().stdout
    }

    /// What the program wrote to stderr.
    pub fn stderr(&self) -> Vec<u8> {
        self.unpack().stderr
    }

    /// The files below `/out` with their content.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.unpack().files
    }

    /// Writes the files below `/out` to a folder, which is made if it is missing. Nothing is written
    /// through a link or outside of the folder.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write_files(&self, path: &Path) -> Result<(), Error> {
        let failed = |reason: String| Error::File {
            path: path.to_path_buf(),
            reason,
        };
        if self.archive.is_empty() {
            return std::fs::create_dir_all(path).map_err(|e| failed(e.to_string()));
        }
        folder::unpack_output(
            &self.archive[..],
            path,
            &mut std::io::sink(),
            &mut std::io::sink(),
        )
        .map_err(|e| failed(e.to_string()))
    }

    fn unpack(&self) -> Unpacked {
        if self.archive.is_empty() {
            return Unpacked::default();
        }
        // `new` has read the whole archive without an error, so there is none now.
        unpack(&self.archive).unwrap_or_default()
    }
}

#[derive(Default)]
struct Unpacked {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    files: BTreeMap<String, Vec<u8>>,
}

fn unpack(archive: &[u8]) -> Result<Unpacked, ArchiveError> {
    let mut reader = Reader::new(archive);
    let mut unpacked = Unpacked::default();
    while let Some(entry) = reader.next_entry()? {
        let part = part(entry)?;
        let content = reader.read_content()?;
        match part {
            Part::Stdout(_) => unpacked.stdout = content,
            Part::Stderr(_) => unpacked.stderr = content,
            Part::Out(entry) if matches!(entry.kind, Kind::File { .. }) => {
                unpacked.files.insert(entry.path, content);
            }
            Part::Out(_) => {}
        }
    }
    Ok(unpacked)
}
