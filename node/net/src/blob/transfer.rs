//! Blob transfer, `/outcry/blob/1`, verified as it streams.
//!
//! Request: one frame, hash (32 bytes) ‖ offset (u64, big-endian, a multiple of 16 KiB).
//! Answer: status byte; if ok, the blob's length (u64, big-endian) and the bao encoding (BLAKE3
//! tree hashes and content interleaved, 16 KiB groups) of everything from the offset on. The
//! receiver verifies each group before it is written, so a wrong byte costs at most one group, and
//! what came before is kept: the next peer is asked for the rest only.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bao_tree::io::sync::{DecodeResponseIter, encode_ranges_validated};
use bao_tree::io::{BaoContentItem, DecodeError, EncodeError, Leaf, Parent};
use bao_tree::{BaoTree, ChunkNum, ChunkRanges};
use bytes::{Buf, Bytes};
use libp2p::{PeerId, StreamProtocol};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::PartialBlob;
use super::store::{BLOCK, GROUP_BYTES};
use crate::frame::{Status, read_frame, within};
use crate::metrics::Metrics;
use crate::streams::{Gate, PeerStream, Streams};
use crate::{BlobId, BlobStore, FetchProgress, NetError, NetworkLimits};

pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/outcry/blob/1");
const REQUEST_BYTES: usize = 40;
/// Bytes handed over at once between the network and the thread that hashes.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces waiting between the two: back-pressure begins at 256 KiB a stream.
const PIECES_WAITING: usize = 4;

/// Serves the store's blobs to peers.
pub(crate) fn serve(
    streams: &Streams,
    store: &BlobStore,
    limits: &NetworkLimits,
    metrics: &Arc<Metrics>,
    stopped: &CancellationToken,
) -> Result<(), NetError> {
    let gate = Gate::new(limits.blob_streams_max, limits.blob_streams_per_peer_max);
    let store = store.clone();
    let sent = metrics.clone();
    let idle_timeout = limits.idle_timeout;
    streams.serve(
        PROTOCOL,
        gate,
        metrics.clone(),
        stopped.clone(),
        move |_, stream| answer(stream, store.clone(), sent.clone(), idle_timeout),
    )
}

async fn answer(
    mut stream: PeerStream,
    store: BlobStore,
    metrics: Arc<Metrics>,
    idle_timeout: Duration,
) -> Result<(), NetError> {
    let request = within(idle_timeout, read_frame(&mut stream, REQUEST_BYTES)).await?;
    let found = match parse_request(&request) {
        None => Err(Status::BadRequest),
        Some((hash, offset)) => match store.get(&hash)? {
            None => Err(Status::NotFound),
            Some(blob) if offset > 0 && offset >= blob.id().length => Err(Status::BadRequest),
            Some(blob) => Ok((blob, offset)),
        },
    };
    let (blob, offset) = match found {
        Ok(found) => found,
        Err(status) => {
            return within(idle_timeout, async {
                stream.write_u8(status as u8).await?;
                stream.shutdown().await
            })
            .await;
        }
    };
    within(idle_timeout, async {
        stream.write_u8(Status::Ok as u8).await?;
        stream.write_u64(blob.id().length).await
    })
    .await?;

    let (sender, mut pieces) = mpsc::channel(PIECES_WAITING);
    let encoded = tokio::task::spawn_blocking(move || {
        if blob.id().length == 0 {
            return Ok(());
        }
        let mut writer = PieceWriter {
            sender,
            piece: Vec::with_capacity(PIECE_BYTES),
        };
        let ranges = from_offset(offset);
        let outcome =
            encode_ranges_validated(blob.content(), blob.outboard(), &ranges, &mut writer);
        match outcome {
            Ok(()) => writer.flush(),
            Err(EncodeError::LeafHashMismatch(_) | EncodeError::ParentHashMismatch(_)) => {
                let hash = blob.id().hash;
                tracing::error!(%hash, "blob is damaged on disk and was discarded");
                store.discard(&hash).map_err(io::Error::other)?;
                Err(io::ErrorKind::InvalidData.into())
            }
            Err(error) => Err(error.into()),
        }
    });
    while let Some(piece) = pieces.recv().await {
        within(idle_timeout, stream.write_all(&piece)).await?;
        metrics.blob_bytes_sent.inc_by(piece.len() as u64);
    }
    drop(pieces);
    encoded.await.map_err(io::Error::other)??;
    within(idle_timeout, stream.shutdown()).await
}

fn parse_request(request: &[u8]) -> Option<(blake3::Hash, u64)> {
    let (hash, offset) = request.split_first_chunk::<32>()?;
    let offset = u64::from_be_bytes(offset.try_into().ok()?);
    offset
        .is_multiple_of(GROUP_BYTES)
        .then(|| (blake3::Hash::from_bytes(*hash), offset))
}

fn encode_request(hash: &blake3::Hash, offset: u64) -> [u8; REQUEST_BYTES] {
    let mut request = [0; REQUEST_BYTES];
    request[..32].copy_from_slice(hash.as_bytes());
    request[32..].copy_from_slice(&offset.to_be_bytes());
    request
}

fn from_offset(offset: u64) -> ChunkRanges {
    ChunkRanges::from(ChunkNum::full_chunks(offset)..)
}

/// Fetches blobs from peers into the store.
pub(crate) struct Blobs {
    store: BlobStore,
    streams: Streams,
    metrics: Arc<Metrics>,
    fetches: Semaphore,
    /// A blob wanted twice at once is fetched once.
    underway: Mutex<HashMap<blake3::Hash, Weak<tokio::sync::Mutex<()>>>>,
    idle_timeout: Duration,
}

/// What came of asking one peer.
#[derive(Debug)]
pub(crate) enum Attempt {
    Done(BlobId),
    /// The peer sent bytes that do not belong to the blob.
    Corrupt,
    Failed(NetError),
}

impl Blobs {
    pub(crate) fn new(
        store: BlobStore,
        streams: Streams,
        metrics: Arc<Metrics>,
        limits: &NetworkLimits,
    ) -> Self {
        Self {
            store,
            streams,
            metrics,
            fetches: Semaphore::new(limits.blob_fetches_max.min(Semaphore::MAX_PERMITS)),
            underway: Mutex::default(),
            idle_timeout: limits.idle_timeout,
        }
    }

    pub(crate) fn store(&self) -> &BlobStore {
        &self.store
    }

    /// Waits for a turn to fetch `hash`; `None` if it is here already (maybe meanwhile).
    pub(crate) async fn begin(
        self: &Arc<Self>,
        hash: blake3::Hash,
    ) -> Result<Option<Fetch<'_>>, NetError> {
        let lock = {
            let mut underway = self.underway.lock().unwrap_or_else(PoisonError::into_inner);
            underway.retain(|_, lock| lock.strong_count() > 0);
            match underway.get(&hash).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::default();
                    underway.insert(hash, Arc::downgrade(&lock));
                    lock
                }
            }
        };
        let turn = lock.lock_owned().await;
        if self.store.contains(&hash) {
            return Ok(None);
        }
        let permit = self
            .fetches
            .acquire()
            .await
            .map_err(|_| NetError::Stopped)?;
        Ok(Some(Fetch {
            blobs: self.clone(),
            hash,
            partial: None,
            _turn: turn,
            _permit: permit,
        }))
    }
}

/// One blob on its way, from as many peers as it takes.
pub(crate) struct Fetch<'a> {
    blobs: Arc<Blobs>,
    hash: blake3::Hash,
    partial: Option<PartialBlob>,
    _turn: tokio::sync::OwnedMutexGuard<()>,
    _permit: tokio::sync::SemaphorePermit<'a>,
}

impl Fetch<'_> {
    /// Asks one peer for what is still missing.
    pub(crate) async fn attempt(
        &mut self,
        peer: PeerId,
        length_max: u64,
        progress: &Option<watch::Sender<FetchProgress>>,
    ) -> Attempt {
        let mut outcome = self.try_attempt(peer, length_max, progress).await;
        if let Err(AttemptError::Disagreement(_)) = outcome {
            // The partial blob is gone, so the second time there is nothing to disagree about.
            outcome = self.try_attempt(peer, length_max, progress).await;
        }
        match outcome {
            Ok(id) => {
                self.blobs.metrics.fetch("ok");
                Attempt::Done(id)
            }
            Err(AttemptError::Corrupt) => {
                self.blobs.metrics.fetch("corrupt");
                Attempt::Corrupt
            }
            Err(AttemptError::Failed(error)) => {
                self.blobs.metrics.fetch("failed");
                Attempt::Failed(error)
            }
            Err(AttemptError::Disagreement(about)) => {
                self.blobs.metrics.fetch("failed");
                Attempt::Failed(NetError::Protocol(about))
            }
        }
    }

    async fn try_attempt(
        &mut self,
        peer: PeerId,
        length_max: u64,
        progress: &Option<watch::Sender<FetchProgress>>,
    ) -> Result<BlobId, AttemptError> {
        let hash = self.hash;
        let idle_timeout = self.blobs.idle_timeout;
        let offset = self.partial.as_ref().map_or(0, PartialBlob::verified);
        let request = encode_request(&hash, offset);
        let mut answer = self.blobs.streams.ask(peer, &PROTOCOL, &request).await?;
        match answer.status {
            Status::Ok => {}
            Status::NotFound => return Err(NetError::BlobNotFound(hash).into()),
            Status::BadRequest => {
                // An honest peer refuses only a range beyond the end: an earlier peer lied about
                // the length.
                self.partial = None;
                return Err(AttemptError::Disagreement("it refused the range of a blob"));
            }
        }
        let length = within(idle_timeout, answer.stream.read_u64()).await?;
        if length > length_max {
            return Err(NetError::BlobTooLong {
                hash,
                length,
                limit: length_max,
            }
            .into());
        }
        let id = BlobId { hash, length };
        let partial = match self.partial.take() {
            Some(partial) if partial.id() == id => partial,
            // One of two peers lies about the length. The tree's shape depends on it, so begin
            // anew and let the hashes decide.
            Some(_) => {
                return Err(AttemptError::Disagreement(
                    "it is wrong about a blob's length",
                ));
            }
            None => self.blobs.store.begin(id).map_err(NetError::from)?,
        };
        if length == 0 {
            return if hash == blake3::hash(&[]) {
                Ok(partial.finish().map_err(NetError::from)?)
            } else {
                Err(AttemptError::Corrupt)
            };
        }

        let (sender, receiver) = mpsc::channel(PIECES_WAITING);
        let progress = progress.clone();
        let metrics = self.blobs.metrics.clone();
        let verifying = tokio::task::spawn_blocking(move || {
            let mut partial = partial;
            let outcome = verify(
                PieceReader {
                    receiver,
                    piece: Bytes::new(),
                },
                &mut partial,
                &progress,
                &metrics,
            );
            (partial, outcome)
        });
        let pumped = pump(&mut answer.stream, sender, idle_timeout).await;
        let (partial, verified) = verifying
            .await
            .map_err(|error| AttemptError::Failed(NetError::Stream(io::Error::other(error))))?;
        match verified {
            Ok(()) => {
                let finished = tokio::task::spawn_blocking(move || partial.finish()).await;
                Ok(finished
                    .map_err(|error| NetError::Stream(io::Error::other(error)))?
                    .map_err(NetError::from)?)
            }
            Err(error) => {
                self.partial = Some(partial);
                match error {
                    DecodeError::LeafHashMismatch(_) | DecodeError::ParentHashMismatch(_) => {
                        Err(AttemptError::Corrupt)
                    }
                    // Reading from the channel cannot fail, so this is the local disk.
                    DecodeError::Io(error) => {
                        Err(NetError::Blob(crate::BlobError::Io(error)).into())
                    }
                    // The stream ended early: what the network said about it tells more.
                    error => Err(pumped
                        .err()
                        .unwrap_or_else(|| NetError::Stream(error.into()))
                        .into()),
                }
            }
        }
    }
}

enum AttemptError {
    Corrupt,
    /// The peer contradicts an earlier one about the length; what that one sent is dropped.
    Disagreement(&'static str),
    Failed(NetError),
}

impl From<NetError> for AttemptError {
    fn from(error: NetError) -> Self {
        Self::Failed(error)
    }
}

/// Moves bytes from the network to the verifying thread until either ends.
async fn pump(
    stream: &mut (impl AsyncRead + Unpin),
    pieces: mpsc::Sender<Bytes>,
    idle_timeout: Duration,
) -> Result<(), NetError> {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let read = within(idle_timeout, stream.read(&mut buffer)).await?;
        if read == 0
            || pieces
                .send(Bytes::copy_from_slice(&buffer[..read]))
                .await
                .is_err()
        {
            return Ok(());
        }
    }
}

/// Verifies and writes what arrives. Runs on a blocking thread.
fn verify(
    encoded: PieceReader,
    partial: &mut PartialBlob,
    progress: &Option<watch::Sender<FetchProgress>>,
    metrics: &Metrics,
) -> Result<(), DecodeError> {
    let BlobId { hash, length } = partial.id();
    let ranges = from_offset(partial.verified());
    let tree = BaoTree::new(length, BLOCK);
    for item in DecodeResponseIter::new(hash, tree, encoded, &ranges) {
        match item? {
            BaoContentItem::Parent(Parent { node, pair }) => partial.write_parent(node, &pair)?,
            BaoContentItem::Leaf(Leaf { offset, data }) => {
                partial.write_group(offset, &data)?;
                metrics.blob_bytes_received.inc_by(data.len() as u64);
                if let Some(progress) = progress {
                    progress.send_replace(FetchProgress {
                        bytes: partial.verified(),
                        length,
                    });
                }
            }
        }
    }
    Ok(())
}

/// The blocking side of a channel of pieces.
struct PieceReader {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// The blocking side of a channel of pieces.
struct PieceWriter {
    sender: mpsc::Sender<Vec<u8>>,
    piece: Vec<u8>,
}

impl Write for PieceWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(data);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.sender
            .blocking_send(piece)
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
