//! Deal messages, `/outcry/deal/1`: one request and one answer per stream, a frame each.
//!
//! A frame is a kind byte followed by the ABI encoding of the kind's parameters, decoded strictly:
//!
//! ```text
//! request  1 results       (bytes32 deal)
//!          2 accept        (bytes32 deal, bytes32 claimHash, bytes signature)
//!          3 receipt       (bytes32 deal, uint32 task, bytes32 outputRoot, bytes signature)
//!          4 progress      (bytes32 deal, bool running, uint32 tasksDone, uint64 cycles)
//! answer   1 results       ((uint32 task, uint8 status, uint32 exitCode, uint64 cycles,
//!                            bytes32 outputRoot, uint64 outputLength, bytes32 blake3)[])
//!          2 acknowledged  ()
//!          3 refused       (string code, string message)
//! ```

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use alloy_sol_types::{SolType, sol_data};
use bytes::Bytes;
use futures::future::BoxFuture;
use libp2p::{PeerId, StreamProtocol};
use outcry_protocol::limits::TASKS_PER_DEAL_MAX;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use crate::frame::{Status, read_frame, within, write_frame};
use crate::metrics::Metrics;
use crate::streams::{Gate, PeerStream, Streams};
use crate::{NetError, NetworkLimits, PeerKey};

pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/outcry/deal/1");
/// Most bytes of a signature: an ERC-1271 account's may be long, an order's limit bounds it too.
const SIGNATURE_BYTES_MAX: usize = 1024;
const CODE_BYTES_MAX: usize = 64;
const MESSAGE_BYTES_MAX: usize = 1024;
/// A receipt with the longest signature: 1 + 4 head words, length, signature.
const REQUEST_BYTES_MAX: usize = 1 + 32 * 5 + SIGNATURE_BYTES_MAX;
/// Seven words a task, and the array's head.
const RESPONSE_BYTES_MAX: usize = 1 + 64 + 7 * 32 * TASKS_PER_DEAL_MAX as usize;

const RESULTS: u8 = 1;
const ACCEPT: u8 = 2;
const RECEIPT: u8 = 3;
const PROGRESS: u8 = 4;
const ACKNOWLEDGED: u8 = 2;
const REFUSED: u8 = 3;

type Word = sol_data::FixedBytes<32>;
type AcceptAbi = (Word, Word, sol_data::Bytes);
type ReceiptAbi = (Word, sol_data::Uint<32>, Word, sol_data::Bytes);
type ProgressAbi = (Word, sol_data::Bool, sol_data::Uint<32>, sol_data::Uint<64>);
type ResultAbi = (
    sol_data::Uint<32>,
    sol_data::Uint<8>,
    sol_data::Uint<32>,
    sol_data::Uint<64>,
    Word,
    sol_data::Uint<64>,
    Word,
);
type ResultsAbi = (sol_data::Array<ResultAbi>,);
type RefusedAbi = (sol_data::String, sol_data::String);

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
    /// The provider's notice to the buyer's gateway of how far it is. It binds nobody: the
    /// connection says who speaks, and the claim alone is paid.
    Progress {
        /// The deal.
        deal: B256,
        /// Whether the program runs; before, it is fetched and compiled.
        running: bool,
        /// Tasks that have a result.
        tasks_done: u32,
        /// Cycles of those tasks.
        cycles: u64,
    },
}

/// The answer to a [`DealRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DealResponse {
    /// Answer to [`DealRequest::Results`], at most 2048 tasks.
    Results(Vec<TaskResult>),
    /// The signature is right and on disk, or the notice is taken.
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
    /// The same request may come again: a peer repeats what it got no answer to.
    fn handle(&self, from: PeerKey, request: DealRequest) -> BoxFuture<'static, DealResponse>;
}

impl DealRequest {
    fn encode(&self) -> Result<Vec<u8>, NetError> {
        let (kind, encoded) = match self {
            Self::Results { deal } => (RESULTS, <(Word,)>::abi_encode_params(&(*deal,))),
            Self::Accept {
                deal,
                claim_hash,
                signature,
            } => {
                let parameters = (*deal, *claim_hash, checked(signature, SIGNATURE_BYTES_MAX)?);
                (ACCEPT, AcceptAbi::abi_encode_params(&parameters))
            }
            Self::Receipt {
                deal,
                task,
                output_root,
                signature,
            } => {
                let signature = checked(signature, SIGNATURE_BYTES_MAX)?;
                let parameters = (*deal, *task, *output_root, signature);
                (RECEIPT, ReceiptAbi::abi_encode_params(&parameters))
            }
            Self::Progress {
                deal,
                running,
                tasks_done,
                cycles,
            } => {
                let parameters = (*deal, *running, *tasks_done, *cycles);
                (PROGRESS, ProgressAbi::abi_encode_params(&parameters))
            }
        };
        Ok(with_kind(kind, encoded))
    }

    fn decode(frame: &[u8]) -> Option<Self> {
        let (kind, parameters) = frame.split_first()?;
        Some(match *kind {
            RESULTS => {
                let (deal,) = <(Word,)>::abi_decode_params_validate(parameters).ok()?;
                Self::Results { deal }
            }
            ACCEPT => {
                let (deal, claim_hash, signature) =
                    AcceptAbi::abi_decode_params_validate(parameters).ok()?;
                Self::Accept {
                    deal,
                    claim_hash,
                    signature: bounded(signature.0, SIGNATURE_BYTES_MAX)?,
                }
            }
            RECEIPT => {
                let (deal, task, output_root, signature) =
                    ReceiptAbi::abi_decode_params_validate(parameters).ok()?;
                Self::Receipt {
                    deal,
                    task,
                    output_root,
                    signature: bounded(signature.0, SIGNATURE_BYTES_MAX)?,
                }
            }
            PROGRESS => {
                let (deal, running, tasks_done, cycles) =
                    ProgressAbi::abi_decode_params_validate(parameters).ok()?;
                Self::Progress {
                    deal,
                    running,
                    tasks_done,
                    cycles,
                }
            }
            _ => return None,
        })
    }
}

impl DealResponse {
    fn encode(&self) -> Result<Vec<u8>, NetError> {
        let (kind, encoded) = match self {
            Self::Results(results) => {
                let count = results.len() as u64;
                if count > u64::from(TASKS_PER_DEAL_MAX) {
                    return Err(NetError::TooLong {
                        length: count,
                        limit: u64::from(TASKS_PER_DEAL_MAX),
                    });
                }
                let results: Vec<_> = results
                    .iter()
                    .map(|result| {
                        (
                            result.task,
                            result.status,
                            result.exit_code,
                            result.cycles,
                            result.output_root,
                            result.output_length,
                            B256::from(*result.blake3.as_bytes()),
                        )
                    })
                    .collect();
                (RESULTS, ResultsAbi::abi_encode_params(&(results,)))
            }
            Self::Acknowledged => (ACKNOWLEDGED, Vec::new()),
            Self::Refused { code, message } => {
                checked(code.as_bytes(), CODE_BYTES_MAX)?;
                checked(message.as_bytes(), MESSAGE_BYTES_MAX)?;
                let parameters = (code.as_str(), message.as_str());
                (REFUSED, RefusedAbi::abi_encode_params(&parameters))
            }
        };
        Ok(with_kind(kind, encoded))
    }

    fn decode(frame: &[u8]) -> Option<Self> {
        let (kind, parameters) = frame.split_first()?;
        Some(match *kind {
            RESULTS => {
                let (results,) = ResultsAbi::abi_decode_params_validate(parameters).ok()?;
                Self::Results(
                    results
                        .into_iter()
                        .map(
                            |(
                                task,
                                status,
                                exit_code,
                                cycles,
                                output_root,
                                output_length,
                                blake3,
                            )| {
                                TaskResult {
                                    task,
                                    status,
                                    exit_code,
                                    cycles,
                                    output_root,
                                    output_length,
                                    blake3: blake3::Hash::from_bytes(blake3.0),
                                }
                            },
                        )
                        .collect(),
                )
            }
            ACKNOWLEDGED if parameters.is_empty() => Self::Acknowledged,
            REFUSED => {
                let (code, message) = RefusedAbi::abi_decode_params_validate(parameters).ok()?;
                if code.len() > CODE_BYTES_MAX || message.len() > MESSAGE_BYTES_MAX {
                    return None;
                }
                Self::Refused { code, message }
            }
            _ => return None,
        })
    }
}

fn with_kind(kind: u8, encoded: Vec<u8>) -> Vec<u8> {
    let mut frame = Vec::with_capacity(1 + encoded.len());
    frame.push(kind);
    frame.extend(encoded);
    frame
}

fn checked(bytes: &[u8], limit: usize) -> Result<&[u8], NetError> {
    if bytes.len() > limit {
        return Err(NetError::TooLong {
            length: bytes.len() as u64,
            limit: limit as u64,
        });
    }
    Ok(bytes)
}

fn bounded(bytes: Bytes, limit: usize) -> Option<Bytes> {
    (bytes.len() <= limit).then_some(bytes)
}

/// Serves deal requests through the daemon's handler.
pub(crate) fn serve(
    streams: &Streams,
    handler: Arc<dyn DealHandler>,
    limits: &NetworkLimits,
    metrics: &Arc<Metrics>,
    stopped: &CancellationToken,
) -> Result<(), NetError> {
    let gate = Gate::new(
        limits.request_streams_max,
        limits.request_streams_per_peer_max,
    );
    let timeout = limits.deal_timeout;
    streams.serve(
        PROTOCOL,
        gate,
        metrics.clone(),
        stopped.clone(),
        move |peer, stream| {
            let handler = handler.clone();
            within(timeout, answer(peer, stream, handler))
        },
    )
}

async fn answer(
    peer: PeerId,
    mut stream: PeerStream,
    handler: Arc<dyn DealHandler>,
) -> Result<(), NetError> {
    let from = PeerKey::from_peer_id(&peer).ok_or(NetError::PeerKey)?;
    let request = read_frame(&mut stream, REQUEST_BYTES_MAX).await;
    let Some(request) = request.as_deref().ok().and_then(DealRequest::decode) else {
        stream.write_u8(Status::BadRequest as u8).await?;
        stream.shutdown().await?;
        return Err(NetError::Protocol("malformed deal request"));
    };
    // The request arrived whole: the peer need not repeat it while the handler works.
    stream.write_u8(Status::Ok as u8).await?;
    stream.flush().await?;
    let response = handler.handle(from, request).await.encode()?;
    write_frame(&mut stream, &response).await?;
    stream.shutdown().await?;
    Ok(())
}

/// Sends one request and waits for the answer.
pub(crate) async fn request(
    streams: &Streams,
    peer: PeerId,
    request: &DealRequest,
    timeout: Duration,
) -> Result<DealResponse, NetError> {
    let request = request.encode()?;
    within(timeout, async {
        let mut answer = streams.ask(peer, &PROTOCOL, &request).await?;
        if answer.status != Status::Ok {
            return Err(NetError::Protocol("it did not understand a deal request"));
        }
        let response = read_frame(&mut answer.stream, RESPONSE_BYTES_MAX).await?;
        DealResponse::decode(&response).ok_or(NetError::Protocol("malformed deal response"))
    })
    .await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn word() -> impl Strategy<Value = B256> {
        any::<[u8; 32]>().prop_map(B256::from)
    }

    fn signature() -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(any::<u8>(), 0..=SIGNATURE_BYTES_MAX).prop_map(Bytes::from)
    }

    fn any_request() -> impl Strategy<Value = DealRequest> {
        prop_oneof![
            word().prop_map(|deal| DealRequest::Results { deal }),
            (word(), word(), signature()).prop_map(|(deal, claim_hash, signature)| {
                DealRequest::Accept {
                    deal,
                    claim_hash,
                    signature,
                }
            }),
            (word(), any::<u32>(), word(), signature()).prop_map(
                |(deal, task, output_root, signature)| DealRequest::Receipt {
                    deal,
                    task,
                    output_root,
                    signature,
                }
            ),
            (word(), any::<(bool, u32, u64)>()).prop_map(
                |(deal, (running, tasks_done, cycles))| DealRequest::Progress {
                    deal,
                    running,
                    tasks_done,
                    cycles,
                }
            ),
        ]
    }

    fn any_result() -> impl Strategy<Value = TaskResult> {
        (
            any::<(u32, u8, u32, u64, u64)>(),
            word(),
            any::<[u8; 32]>().prop_map(blake3::Hash::from_bytes),
        )
            .prop_map(
                |((task, status, exit_code, cycles, output_length), output_root, blake3)| {
                    TaskResult {
                        task,
                        status,
                        exit_code,
                        cycles,
                        output_root,
                        output_length,
                        blake3,
                    }
                },
            )
    }

    fn any_response() -> impl Strategy<Value = DealResponse> {
        prop_oneof![
            proptest::collection::vec(any_result(), 0..20).prop_map(DealResponse::Results),
            Just(DealResponse::Acknowledged),
            ("[A-Z]-[0-9]{3}", ".{0,200}")
                .prop_map(|(code, message)| DealResponse::Refused { code, message }),
        ]
    }

    proptest! {
        #[test]
        fn a_request_comes_back_as_it_was_sent(request in any_request()) {
            let frame = request.encode().unwrap();
            prop_assert!(frame.len() <= REQUEST_BYTES_MAX);
            prop_assert_eq!(DealRequest::decode(&frame), Some(request));
        }

        #[test]
        fn a_response_comes_back_as_it_was_sent(response in any_response()) {
            let frame = response.encode().unwrap();
            prop_assert!(frame.len() <= RESPONSE_BYTES_MAX);
            prop_assert_eq!(DealResponse::decode(&frame), Some(response));
        }

        #[test]
        fn any_bytes_decode_or_are_refused(frame: Vec<u8>) {
            let _ = DealRequest::decode(&frame);
            let _ = DealResponse::decode(&frame);
        }
    }

    #[test]
    fn the_longest_messages_fit_their_frames() {
        let longest = DealRequest::Receipt {
            deal: B256::ZERO,
            task: u32::MAX,
            output_root: B256::ZERO,
            signature: vec![1; SIGNATURE_BYTES_MAX].into(),
        };
        assert!(longest.encode().unwrap().len() <= REQUEST_BYTES_MAX);
        let result = TaskResult {
            task: 0,
            status: 0,
            exit_code: 0,
            cycles: 0,
            output_root: B256::ZERO,
            output_length: 0,
            blake3: blake3::hash(b""),
        };
        let longest = DealResponse::Results(vec![result; TASKS_PER_DEAL_MAX as usize]);
        assert_eq!(longest.encode().unwrap().len(), RESPONSE_BYTES_MAX);
        let beyond = DealResponse::Results(vec![result; TASKS_PER_DEAL_MAX as usize + 1]);
        assert!(matches!(beyond.encode(), Err(NetError::TooLong { .. })));
    }

    #[test]
    fn a_signature_beyond_its_limit_is_not_sent() {
        let request = DealRequest::Accept {
            deal: B256::ZERO,
            claim_hash: B256::ZERO,
            signature: vec![1; SIGNATURE_BYTES_MAX + 1].into(),
        };
        assert!(matches!(request.encode(), Err(NetError::TooLong { .. })));
    }
}
