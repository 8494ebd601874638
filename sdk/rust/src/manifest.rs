//! The manifest: which blobs make up a job. `JobSpec.manifest` is the BLAKE3 hash of its bytes.

use alloy::primitives::B256;
use outcry_protocol::hash;
use outcry_protocol::limits::TASKS_PER_JOB_MAX;
use serde::{Deserialize, Serialize};

use crate::api::BlobHash;
use crate::error::Error;

/// The only version there is.
const VERSION: u32 = 1;

/// A job's blobs: the program, and one input archive per task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    version: u32,
    /// The user's module, not yet linked.
    pub program: BlobRef,
    /// In the order of the tasks.
    pub tasks: Vec<TaskInput>,
}

/// A blob and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlobRef {
    /// Name.
    pub blake3: BlobHash,
    /// Bytes.
    pub length: u64,
}

/// The input archive of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskInput {
    /// Name of the blob.
    pub blake3: BlobHash,
    /// Its root: what the job commits to.
    pub input_root: B256,
    /// Bytes.
    pub length: u64,
}

impl TaskInput {
    /// Describes an archive.
    pub fn of(archive: &[u8]) -> Self {
        Self {
            blake3: BlobHash::of(archive),
            input_root: hash::input_root(archive),
            length: archive.len() as u64,
        }
    }
}

impl Manifest {
    /// A manifest of these blobs.
    pub fn new(program: BlobRef, tasks: Vec<TaskInput>) -> Self {
        Self {
            version: VERSION,
            program,
            tasks,
        }
    }

    /// The bytes: compact JSON with the fields in the order of the structure, so that there is one
    /// form.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Numbers, strings and lists only; writing them into memory can't fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads [`Manifest::to_bytes`] back and refuses every other form.
    ///
    /// # Errors
    /// [`Error::Manifest`] if the bytes are not a manifest in its one form, or name no task or too
    /// many.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let wrong = Error::Manifest;
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| wrong(e.to_string()))?;
        if manifest.version != VERSION {
            return Err(wrong(format!("version {} is unknown", manifest.version)));
        }
        if manifest.tasks.is_empty() || manifest.tasks.len() > TASKS_PER_JOB_MAX as usize {
            return Err(wrong(format!("{} tasks", manifest.tasks.len())));
        }
        if manifest.to_bytes() != bytes {
            return Err(wrong("not in canonical form".to_owned()));
        }
        Ok(manifest)
    }

    /// The blob's name, as [`outcry_protocol::types::JobSpec`] holds it.
    pub fn hash(&self) -> B256 {
        BlobHash::of(&self.to_bytes()).into()
    }

    /// `JobSpec.inputsRoot` over the tasks.
    ///
    /// # Errors
    /// [`Error::Manifest`] if there are more tasks than a tree can hold.
    pub fn inputs_root(&self) -> Result<B256, Error> {
        let leaves: Vec<B256> = (0u32..)
            .zip(&self.tasks)
            .map(|(index, task)| {
                hash::task_leaf(index, task.blake3.into(), task.input_root, task.length)
            })
            .collect();
        hash::inputs_root(&leaves).map_err(|e| Error::Manifest(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn manifest() -> Manifest {
        let program = BlobRef {
            blake3: BlobHash::of(b"program"),
            length: 7,
        };
        Manifest::new(
            program,
            vec![TaskInput::of(b"first"), TaskInput::of(b"second")],
        )
    }

    #[test]
    fn a_manifest_reads_back_from_its_bytes() {
        assert_eq!(Manifest::parse(&manifest().to_bytes()).unwrap(), manifest());
    }

    #[test]
    fn a_manifest_has_one_form() {
        let bytes = manifest().to_bytes();
        let spaced = String::from_utf8(bytes.clone())
            .unwrap()
            .replacen(',', ", ", 1);
        assert!(Manifest::parse(spaced.as_bytes()).is_err());
        let upper = String::from_utf8(bytes)
            .unwrap()
            .replace("\"length\":7", "\"length\":7,\"x\":1");
        assert!(Manifest::parse(upper.as_bytes()).is_err());
        let empty = Manifest::new(manifest().program, Vec::new());
        assert!(Manifest::parse(&empty.to_bytes()).is_err());
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let manifest = Manifest::new(
            BlobRef {
                blake3: BlobHash([1; 32]),
                length: 2,
            },
            vec![TaskInput {
                blake3: BlobHash([3; 32]),
                input_root: B256::repeat_byte(4),
                length: 5,
            }],
        );
        let expected = format!(
            r#"{{"version":1,"program":{{"blake3":"{}","length":2}},"tasks":[{{"blake3":"{}","inputRoot":"0x{}","length":5}}]}}"#,
            "01".repeat(32),
            "03".repeat(32),
            "04".repeat(32),
        );
        assert_eq!(String::from_utf8(manifest.to_bytes()).unwrap(), expected);
    }
}
