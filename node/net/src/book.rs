//! The book snapshot, `/outcry/book/1`: how a joiner learns the orders it missed.
//!
//! The ids of live orders are sorted into 256 buckets by their first byte. One stream, frames:
//!
//! ```text
//! request                        answer
//! 1                              status byte, then 256 digests of 32 bytes, one per bucket
//! 2 ‖ bitmap (256 bits)          the ids in those buckets, ascending, 32 bytes each
//! 3 ‖ up to 256 ids              per id: u16 length ‖ order (length 0 if it is gone)
//! ```
//!
//! A digest is the BLAKE3 hash of the bucket's ids in ascending order, so buckets that are equal on
//! both sides cost 32 bytes. The server answers all frames of a stream from one list of ids.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use bytes::Bytes;
use libp2p::{PeerId, StreamProtocol};
use outcry_protocol::limits::{BIDS_MAX, MESSAGE_BYTES_MAX, OFFERS_MAX};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::frame::{Status, read_frame, within, write_frame};
use crate::metrics::Metrics;
use crate::streams::{Gate, PeerStream, Streams};
use crate::{NetError, NetworkLimits};

pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/outcry/book/1");
const BUCKETS: usize = 256;
const DIGESTS_BYTES: usize = BUCKETS * 32;
/// A full book; a peer that announces more is no book.
const IDS_MAX: usize = BIDS_MAX + OFFERS_MAX;
/// Orders asked for at once: an answer is at most half a megabyte.
const ORDERS_PER_REQUEST: usize = 256;
const REQUEST_BYTES_MAX: usize = 1 + ORDERS_PER_REQUEST * 32;
const ORDERS_BYTES_MAX: usize = ORDERS_PER_REQUEST * (2 + MESSAGE_BYTES_MAX);
/// Requests of one stream: digests, ids, and as many as fetch a full book.
const REQUESTS_MAX: usize = 2 + IDS_MAX.div_ceil(ORDERS_PER_REQUEST);

const ASK_DIGESTS: u8 = 1;
const ASK_IDS: u8 = 2;
const ASK_ORDERS: u8 = 3;

/// The local book, as the snapshot protocol reads it. Implemented by the daemon.
///
/// Both functions are called on the network's threads: they may lock briefly, not wait.
pub trait BookSource: Send + Sync + 'static {
    /// Ids (`bidHash`, `offerHash`) of all live orders, in any order.
    fn order_ids(&self) -> Vec<B256>;
    /// The order as it was gossiped; `None` if it is gone.
    fn order(&self, id: &B256) -> Option<Bytes>;
}

/// Outcome of [`crate::NetworkHandle::sync_book`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BookSync {
    /// Buckets of ids (of 256) that differed.
    pub buckets_differing: u32,
    /// Orders received.
    pub orders_received: u32,
    /// Bytes received.
    pub bytes_received: u64,
}

/// A book's ids in ascending order.
struct Ids(Vec<B256>);

impl Ids {
    fn of(book: &dyn BookSource) -> Self {
        let mut ids = book.order_ids();
        ids.sort_unstable();
        ids.dedup();
        ids.truncate(IDS_MAX);
        Self(ids)
    }

    fn bucket(&self, bucket: usize) -> &[B256] {
        let start = self.0.partition_point(|id| usize::from(id[0]) < bucket);
        let end = self.0.partition_point(|id| usize::from(id[0]) <= bucket);
        &self.0[start..end]
    }

    fn digests(&self) -> Vec<u8> {
        (0..BUCKETS)
            .flat_map(|bucket| {
                let mut hasher = blake3::Hasher::new();
                for id in self.bucket(bucket) {
                    hasher.update(id.as_slice());
                }
                *hasher.finalize().as_bytes()
            })
            .collect()
    }
}

/// Serves the local book.
pub(crate) fn serve(
    streams: &Streams,
    book: Arc<dyn BookSource>,
    limits: &NetworkLimits,
    metrics: &Arc<Metrics>,
    stopped: &CancellationToken,
) -> Result<(), NetError> {
    let gate = Gate::new(
        limits.request_streams_max,
        limits.request_streams_per_peer_max,
    );
    let idle_timeout = limits.idle_timeout;
    streams.serve(
        PROTOCOL,
        gate,
        metrics.clone(),
        stopped.clone(),
        move |_, stream| answer(stream, book.clone(), idle_timeout),
    )
}

async fn answer(
    mut stream: PeerStream,
    book: Arc<dyn BookSource>,
    idle_timeout: Duration,
) -> Result<(), NetError> {
    let mut ids = None;
    for request_number in 0..REQUESTS_MAX {
        let request = match within(idle_timeout, read_frame(&mut stream, REQUEST_BYTES_MAX)).await {
            // The peer has what it wanted.
            Err(NetError::Stream(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Ok(());
            }
            request => request?,
        };
        let ids = ids.get_or_insert_with(|| Ids::of(&*book));
        let answer = answer_one(ids, &*book, &request);
        within(idle_timeout, async {
            if request_number == 0 {
                let status = if answer.is_some() {
                    Status::Ok
                } else {
                    Status::BadRequest
                };
                stream.write_u8(status as u8).await?;
            }
            if let Some(answer) = &answer {
                write_frame(&mut stream, answer).await?;
            }
            stream.flush().await.map_err(NetError::from)
        })
        .await?;
        if answer.is_none() {
            return Err(NetError::Protocol("malformed book request"));
        }
    }
    Ok(())
}

fn answer_one(ids: &Ids, book: &dyn BookSource, request: &[u8]) -> Option<Vec<u8>> {
    match request.split_first()? {
        (&ASK_DIGESTS, []) => Some(ids.digests()),
        (&ASK_IDS, bitmap) => {
            let bitmap: &[u8; BUCKETS / 8] = bitmap.try_into().ok()?;
            Some(
                (0..BUCKETS)
                    .filter(|bucket| is_set(bitmap, *bucket))
                    .flat_map(|bucket| ids.bucket(bucket))
                    .flat_map(|id| id.0)
                    .collect(),
            )
        }
        (&ASK_ORDERS, wanted) => {
            let (wanted, []) = wanted.as_chunks::<32>() else {
                return None;
            };
            if wanted.len() > ORDERS_PER_REQUEST {
                return None;
            }
            let mut answer = Vec::new();
            for id in wanted {
                let order = book
                    .order(&B256::from(*id))
                    .filter(|order| order.len() <= MESSAGE_BYTES_MAX)
                    .unwrap_or_default();
                // At most MESSAGE_BYTES_MAX, which is below 2^16.
                answer.extend_from_slice(&(order.len() as u16).to_be_bytes());
                answer.extend_from_slice(&order);
            }
            Some(answer)
        }
        _ => None,
    }
}

fn is_set(bitmap: &[u8; BUCKETS / 8], bucket: usize) -> bool {
    bitmap[bucket / 8] & (1 << (bucket % 8)) != 0
}

/// Asks `peer` for the orders that `book` lacks.
pub(crate) async fn sync(
    streams: &Streams,
    peer: PeerId,
    book: &dyn BookSource,
    orders: &mpsc::Sender<Bytes>,
    idle_timeout: Duration,
    metrics: &Metrics,
) -> Result<BookSync, NetError> {
    let mut answer = streams.ask(peer, &PROTOCOL, &[ASK_DIGESTS]).await?;
    if answer.status != Status::Ok {
        return Err(NetError::Protocol("it refused to send its book"));
    }
    let stream = &mut answer.stream;
    let mut outcome = BookSync::default();
    let mut read = async |stream: &mut PeerStream, length_max| {
        let frame = within(idle_timeout, read_frame(stream, length_max)).await?;
        outcome.bytes_received += frame.len() as u64;
        Ok::<_, NetError>(frame)
    };

    let theirs = read(stream, DIGESTS_BYTES).await?;
    if theirs.len() != DIGESTS_BYTES {
        return Err(NetError::Protocol("its book's digests are cut short"));
    }
    let ours = Ids::of(book);
    let mut bitmap = [0; BUCKETS / 8];
    let mut differing = 0;
    for (bucket, (theirs, ours)) in theirs.chunks(32).zip(ours.digests().chunks(32)).enumerate() {
        if theirs != ours {
            bitmap[bucket / 8] |= 1 << (bucket % 8);
            differing += 1;
        }
    }
    let mut received = 0;
    if differing > 0 {
        let mut request = vec![ASK_IDS];
        request.extend_from_slice(&bitmap);
        send(stream, &request, idle_timeout).await?;
        let theirs = read(stream, IDS_MAX * 32).await?;
        let missing = missing(&theirs, &bitmap, &ours)?;
        for wanted in missing.chunks(ORDERS_PER_REQUEST) {
            let mut request = vec![ASK_ORDERS];
            request.extend(wanted.iter().flat_map(|id| id.0));
            send(stream, &request, idle_timeout).await?;
            let answer = Bytes::from(read(stream, ORDERS_BYTES_MAX).await?);
            for order in split_orders(&answer, wanted.len())? {
                received += 1;
                metrics.snapshot_orders_received.inc();
                orders.send(order).await.map_err(|_| NetError::Stopped)?;
            }
        }
    }
    // Best effort: all that was asked for is here.
    let _ = within(idle_timeout, stream.shutdown()).await;
    outcome.buckets_differing = differing;
    outcome.orders_received = received;
    Ok(outcome)
}

async fn send(
    stream: &mut PeerStream,
    request: &[u8],
    idle_timeout: Duration,
) -> Result<(), NetError> {
    within(idle_timeout, async {
        write_frame(stream, request).await?;
        stream.flush().await.map_err(NetError::from)
    })
    .await
}

/// The ids of `theirs` that are not ours.
fn missing(theirs: &[u8], bitmap: &[u8; BUCKETS / 8], ours: &Ids) -> Result<Vec<B256>, NetError> {
    let (theirs, []) = theirs.as_chunks::<32>() else {
        return Err(NetError::Protocol("its book's ids are cut short"));
    };
    if !theirs.is_sorted_by(|a, b| a < b) {
        return Err(NetError::Protocol("its book's ids are not ascending"));
    }
    if !theirs.iter().all(|id| is_set(bitmap, usize::from(id[0]))) {
        return Err(NetError::Protocol("it sent ids that were not asked for"));
    }
    let ours: HashSet<&B256> = ours.0.iter().collect();
    Ok(theirs
        .iter()
        .map(B256::from)
        .filter(|id| !ours.contains(id))
        .collect())
}

/// Cuts an answer into the orders that it holds; those that are gone meanwhile are left out.
fn split_orders(answer: &Bytes, asked: usize) -> Result<Vec<Bytes>, NetError> {
    const CUT: NetError = NetError::Protocol("its orders are cut short");
    let mut orders = Vec::new();
    let mut rest = answer.clone();
    for _ in 0..asked {
        let (length, _) = rest.split_first_chunk::<2>().ok_or(CUT)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let _ = rest.split_to(2);
        if length > MESSAGE_BYTES_MAX || length > rest.len() {
            return Err(CUT);
        }
        let order = rest.split_to(length);
        if !order.is_empty() {
            orders.push(order);
        }
    }
    if rest.is_empty() {
        Ok(orders)
    } else {
        Err(CUT)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Book(BTreeMap<B256, Bytes>);

    impl Book {
        fn of(seeds: &[u16]) -> Self {
            Self(
                seeds
                    .iter()
                    .map(|seed| {
                        let order = Bytes::copy_from_slice(&seed.to_be_bytes());
                        (B256::from(*blake3::hash(&order).as_bytes()), order)
                    })
                    .collect(),
            )
        }
    }

    impl BookSource for Book {
        fn order_ids(&self) -> Vec<B256> {
            self.0.keys().rev().copied().collect()
        }

        fn order(&self, id: &B256) -> Option<Bytes> {
            self.0.get(id).cloned()
        }
    }

    /// The protocol without a network: what `ours` would ask and `theirs` answer.
    fn reconcile(ours: &Book, theirs: &Book) -> (u32, Vec<Bytes>) {
        let (our_ids, their_ids) = (Ids::of(ours), Ids::of(theirs));
        let digests = answer_one(&their_ids, theirs, &[ASK_DIGESTS]).unwrap();
        let mut bitmap = [0; 32];
        let mut differing = 0;
        for (bucket, (a, b)) in digests
            .chunks(32)
            .zip(our_ids.digests().chunks(32))
            .enumerate()
        {
            if a != b {
                bitmap[bucket / 8] |= 1 << (bucket % 8);
                differing += 1;
            }
        }
        let request = [&[ASK_IDS][..], &bitmap].concat();
        let ids = answer_one(&their_ids, theirs, &request).unwrap();
        let mut orders = Vec::new();
        for wanted in missing(&ids, &bitmap, &our_ids).unwrap().chunks(256) {
            let mut request = vec![ASK_ORDERS];
            request.extend(wanted.iter().flat_map(|id| id.0));
            let answer = answer_one(&their_ids, theirs, &request).unwrap();
            orders.extend(split_orders(&answer.into(), wanted.len()).unwrap());
        }
        (differing, orders)
    }

    proptest! {
        #[test]
        fn after_a_sync_we_have_all_that_the_peer_has(
            ours: Vec<u16>,
            theirs in proptest::collection::vec(any::<u16>(), 0..600),
        ) {
            let (mut ours, theirs) = (Book::of(&ours), Book::of(&theirs));
            let expected = theirs.0.keys().filter(|id| !ours.0.contains_key(*id)).count();
            let (_, orders) = reconcile(&ours, &theirs);
            prop_assert_eq!(orders.len(), expected, "nothing is sent that we had");
            for order in orders {
                ours.0.insert(B256::from(*blake3::hash(&order).as_bytes()), order);
            }
            prop_assert!(theirs.0.keys().all(|id| ours.0.contains_key(id)));
            let (_, again) = reconcile(&ours, &theirs);
            prop_assert!(again.is_empty());
        }

        #[test]
        fn any_request_is_answered_within_the_limits_or_refused(request: Vec<u8>) {
            let book = Book::of(&[1, 2, 3]);
            if let Some(answer) = answer_one(&Ids::of(&book), &book, &request) {
                prop_assert!(answer.len() <= DIGESTS_BYTES.max(ORDERS_BYTES_MAX));
            }
        }

        #[test]
        fn any_answer_is_orders_within_the_limits_or_an_error(answer: Vec<u8>, asked in 0..300_usize) {
            if let Ok(orders) = split_orders(&answer.into(), asked) {
                prop_assert!(orders.len() <= asked);
            }
        }
    }

    #[test]
    fn equal_books_have_no_differing_bucket() {
        let book = Book::of(&[1, 2, 3, 4, 5]);
        assert_eq!(reconcile(&book, &book), (0, Vec::new()));
    }

    #[test]
    fn ids_out_of_order_twice_or_unasked_are_refused() {
        let ours = Ids(Vec::new());
        let (low, high) = ([0; 32], [1; 32]);
        let all = [0xff; 32];
        assert!(missing(&[high, low].concat(), &all, &ours).is_err());
        assert!(missing(&[low, low].concat(), &all, &ours).is_err());
        assert!(missing(&low[..31], &all, &ours).is_err());
        assert!(missing(&low, &[0; 32], &ours).is_err());
        assert_eq!(
            missing(&[low, high].concat(), &all, &ours).unwrap().len(),
            2
        );
    }
}
