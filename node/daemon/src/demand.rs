//! The answer to a demand for output: each demanded leaf with its path to the output's root, and
//! that root with its path to the claim. Where the buyer gave a receipt, the root alone.

use std::collections::BTreeMap;
use std::io;

use alloy::primitives::B256;
use outcry_contracts::Market;
use outcry_net::BlobReader;
use outcry_protocol::hash::halted_hash;
use outcry_protocol::merkle::{self, LEAF_BYTES};

use crate::state::provider::TaskResult;

/// The hashes that a claim's root is made of, in the order of the tasks.
#[must_use]
pub fn halted_hashes(job_hash: B256, results: &BTreeMap<u32, TaskResult>) -> Vec<B256> {
    results
        .values()
        .map(|result| halted_hash(job_hash, result.task, result.cycles, result.outcome.inner()))
        .collect()
}

/// How one task leads to the claim.
///
/// # Errors
/// A task before `first_task` or beyond the hashes.
pub fn opening(
    result: &TaskResult,
    first_task: u32,
    halted: &[B256],
) -> io::Result<Market::TaskOpening> {
    let position = u64::from(result.task.saturating_sub(first_task));
    let path = merkle::proof(halted, merkle::ceil_log2(halted.len() as u64), position)
        .map_err(|error| io::Error::other(error.to_string()))?;
    Ok(Market::TaskOpening {
        task: result.task,
        cycles: result.cycles,
        status: result.outcome.status.number(),
        exitCode: result.outcome.exit_code,
        outputRoot: result.outcome.output_root,
        outputLength: result.outcome.output_length,
        path,
    })
}

/// Computes the answers in the order of the demand. Reads every output that the demand touches.
///
/// # Errors
/// The disk's, or a demand about a task or leaf that does not exist, which the contract refuses
/// before it logs it.
pub fn reveal(
    leaves: &[(u32, u64)],
    first_task: u32,
    job_hash: B256,
    output_limit: u64,
    results: &BTreeMap<u32, TaskResult>,
    outputs: &BTreeMap<u32, BlobReader>,
) -> io::Result<Vec<Market::LeafAnswer>> {
    let wrong = |error: merkle::MerkleError| io::Error::other(error.to_string());
    let halted = halted_hashes(job_hash, results);
    let mut trees: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for (task, blob) in outputs {
        let mut bytes = vec![0; usize::try_from(blob.id().length).map_err(io::Error::other)?];
        let count = blob.read_at(0, &mut bytes)?;
        bytes.truncate(count);
        trees.insert(*task, bytes);
    }
    let mut answers = Vec::with_capacity(leaves.len());
    for (task, leaf) in leaves {
        let (Some(result), Some(bytes)) = (results.get(task), trees.get(task)) else {
            return Err(io::Error::other(format!("task {task} is not of this deal")));
        };
        let opening = opening(result, first_task, &halted)?;
        let mut padded = [0_u8; LEAF_BYTES];
        let from = usize::try_from(*leaf)
            .map_or(usize::MAX, |leaf| leaf.saturating_mul(LEAF_BYTES))
            .min(bytes.len());
        let part = &bytes[from..bytes.len().min(from.saturating_add(LEAF_BYTES))];
        padded[..part.len()].copy_from_slice(part);
        let data = std::array::from_fn(|word| B256::from_slice(&padded[word * 32..][..32]));
        let path = merkle::proof(
            &merkle::leaves_of(bytes),
            merkle::depth_for_bytes(output_limit),
            *leaf,
        )
        .map_err(wrong)?;
        answers.push(Market::LeafAnswer {
            opening,
            leaf: *leaf,
            data,
            path,
        });
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use outcry_net::{BlobStore, BlobStoreConfig};
    use outcry_protocol::hash::result_root;
    use outcry_protocol::merkle::{leaf as leaf_hash, root_from_proof};
    use outcry_protocol::status::Outcome;

    const OUTPUT_LIMIT: u64 = 4096;
    const JOB: B256 = B256::repeat_byte(3);

    #[tokio::test]
    async fn a_revealed_leaf_leads_to_its_output_and_that_to_the_claim() {
        let folder = tempfile::tempdir().unwrap();
        let config = BlobStoreConfig {
            directory: folder.path().into(),
            capacity_bytes: 1 << 20,
        };
        let blobs = BlobStore::open(config).await.unwrap();
        let (mut results, mut outputs) = (BTreeMap::new(), BTreeMap::new());
        for task in 4..7_u32 {
            let archive: Vec<u8> = (0..300 + task).map(|byte| byte as u8).collect();
            let outcome = Outcome::exited(task, &archive, OUTPUT_LIMIT).unwrap();
            let id = blobs.put(archive.as_slice(), OUTPUT_LIMIT).await.unwrap();
            outputs.insert(task, blobs.get(&id.hash).unwrap().unwrap());
            let output = B256::from(*id.hash.as_bytes());
            results.insert(
                task,
                TaskResult {
                    task,
                    cycles: 10,
                    outcome,
                    output,
                },
            );
        }
        let halted: Vec<B256> = results
            .values()
            .map(|r| halted_hash(JOB, r.task, r.cycles, r.outcome.inner()))
            .collect();
        let root = result_root(&halted).unwrap();
        let demanded = [(5, 2), (6, 0), (5, 9)];
        let answers = reveal(&demanded, 4, JOB, OUTPUT_LIMIT, &results, &outputs).unwrap();
        assert_eq!(answers.len(), demanded.len());
        for (answer, (task, leaf)) in answers.iter().zip(demanded) {
            let result = &results[&task];
            let data: Vec<u8> = answer.data.iter().flat_map(|word| word.0).collect();
            assert_eq!(
                root_from_proof(leaf_hash(&data), leaf, &answer.path),
                Some(result.outcome.output_root)
            );
            let index = u64::from(task - 4);
            assert_eq!(
                root_from_proof(halted[index as usize], index, &answer.opening.path),
                Some(root)
            );
        }
    }
}
