//! Deal messages, `/outcry/deal/1`: one request and one answer per stream.

use alloy_primitives::B256;
use bytes::Bytes;
use futures::future::BoxFuture;

use crate::PeerKey;

/// What one party of a deal asks or tells the other's node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DealRequest {
    /// The results of a claimed deal, in the order of its tasks.
    Results {
        /// The deal.
        deal: B256,
    },
    /// The buyer's signed `Accept`.
    Accept {
        /// The deal.
        deal: B256,
        /// `Accept.claimHash`.
        claim_hash: B256,
        /// The buyer's signature, at most 1 KiB.
        signature: Bytes,
    },
    /// The buyer's signed `Receipt` for one task's output.
    Receipt {
        /// The deal.
        deal: B256,
        /// The task's index in the bid.
        task: u32,
        /// `Receipt.outputRoot`.
        output_root: B256,
        /// The buyer's signature, at most 1 KiB.
        signature: Bytes,
    },
}

/// The answer to a [`DealRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DealResponse {
    /// Answer to [`DealRequest::Results`], at most 2048 tasks.
    Results(Vec<TaskResult>),
    /// The signature is right and on disk.
    Acknowledged,
    /// The request is refused; nothing changed.
    Refused {
        /// Stable code, e.g. `D-002`, at most 64 bytes.
        code: String,
        /// One sentence, at most 1 KiB.
        message: String,
    },
}

/// One task's result, as the provider claims it. The receiver checks it against the claim on
/// chain; nothing here is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskResult {
    /// The task's index in the bid.
    pub task: u32,
    /// 0 exited, 1 trapped, 2 out of cycles, 3 out of frame slots, 4 output limit exceeded.
    pub status: u8,
    /// The program's exit code; 0 unless it exited.
    pub exit_code: u32,
    /// Cycles billed.
    pub cycles: u64,
    /// Keccak root of the output archive.
    pub output_root: B256,
    /// Length of the output archive in bytes.
    pub output_length: u64,
    /// Blob of the output archive.
    pub blake3: blake3::Hash,
}

/// Answers deal requests. Implemented by the daemon.
pub trait DealHandler: Send + Sync + 'static {
    /// Answers one request of `from`. The stream is dropped after `limits.deal_timeout`.
    fn handle(&self, from: PeerKey, request: DealRequest) -> BoxFuture<'static, DealResponse>;
}
