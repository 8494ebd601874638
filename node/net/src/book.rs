//! The book snapshot, `/outcry/book/3`: how a node learns the orders that a peer has and it lacks.
//!
//! Range-based set reconciliation (Meyer, "Range-Based Set Reconciliation", 2023) over ranges that
//! are fixed: a *prefix* names the ids that begin with so many hexadecimal digits. Ids are hashes, so
//! prefixes of one length hold about equally many. Who asks compares the digests of a prefix's 16
//! parts with its own and goes on with those that differ; where few ids are left, or it has few
//! itself, it asks for the ids. One stream, frames:
//!
//! ```text
//! request                          answer; before the first a status byte
//! 0 ‖ shards (8 bytes, a bit each) shards of both (8 bytes) ‖ the 16 parts of the empty prefix
//! 1 ‖ up to 256 prefixes           per prefix its 16 parts: u32 count ‖ first 16 bytes of BLAKE3 over
//!                                  the part's ids in ascending order
//! 2 ‖ up to 256 prefixes           the ids that begin with one of them, ascending, 32 bytes each
//! 3 ‖ up to 256 ids                per id: u16 length ‖ order (length 0 if it is gone)
//! ```
//!
//! The first request, and no other, names the shards that the asking node takes part in; all answers are
//! about the orders of the shards in which both do.
//!
//! A prefix is its number of digits (1 byte) and the digits (8 bytes, the rest 0); those of a request
//! ascend and do not overlap, so that no request makes a server read its ids twice. The server answers
//! all frames of a stream from one list of ids, and streams that begin shortly after each other share
//! it, so that strangers can't make it walk through its book again and again.
//!
//! A peer that lies or withholds costs a bounded number of requests, bytes and seconds: counts must
//! add up from level to level, so that no level is larger than a book, and a sync has a time limit.
//! What it brought stays; what it left out comes from another peer.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::B256;
use bytes::Bytes;
use libp2p::{PeerId, StreamProtocol};
use outcry_protocol::limits::{BIDS_MAX, MESSAGE_BYTES_MAX, OFFERS_MAX};
use outcry_protocol::shard::ShardSet;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::frame::{Status, read_frame, within, write_frame};
use crate::metrics::Metrics;
use crate::streams::{Gate, PeerStream, Streams};
use crate::{NetError, NetworkLimits};

pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/outcry/book/3");
/// Parts of a prefix: one more digit.
const PARTS: usize = 16;
const DIGEST_BYTES: usize = 16;
const PART_BYTES: usize = 4 + DIGEST_BYTES;
const PREFIX_BYTES: usize = 9;
const SHARDS_BYTES: usize = 8;
/// Prefixes of one request: an answer is at most 80 KiB.
const PREFIXES_PER_REQUEST: usize = 256;
/// Digits after which a prefix is not divided any more: by then an honest book's hold one id.
const DIGITS_MAX: u8 = 8;
/// Prefixes with at most so many ids are not divided: their ids are shorter than their parts.
const LISTED_MAX: usize = 10;
/// Ids of one answer: 128 KiB.
const IDS_PER_ANSWER: usize = 4096;
/// A full book; a peer that announces more is no book.
const IDS_MAX: usize = BIDS_MAX + OFFERS_MAX;
/// Orders asked for at once: an answer is at most half a megabyte.
const ORDERS_PER_REQUEST: usize = 256;
const REQUEST_BYTES_MAX: usize = 1 + ORDERS_PER_REQUEST * 32;
const ORDERS_BYTES_MAX: usize = ORDERS_PER_REQUEST * (2 + MESSAGE_BYTES_MAX);
/// Requests of one stream, on both sides: what fetches a full book, and as many for comparing. What
/// differs in more places waits for the next sync.
const REQUESTS_MAX: usize = 2 * IDS_MAX.div_ceil(ORDERS_PER_REQUEST);

const ASK_SHARDS: u8 = 0;
const ASK_PARTS: u8 = 1;
const ASK_IDS: u8 = 2;
const ASK_ORDERS: u8 = 3;

/// The local book, as the snapshot protocol reads it. Implemented by the daemon.
///
/// Both functions are called on the network's threads: they may lock briefly, not wait.
pub trait BookSource: Send + Sync + 'static {
    /// Ids (`bidHash`, `offerHash`) of all live orders with the shard of each, in any order.
    fn order_ids(&self) -> Vec<(B256, u16)>;
    /// The order as it was gossiped; `None` if it is gone.
    fn order(&self, id: &B256) -> Option<Bytes>;
}

/// Outcome of [`crate::NetworkHandle::sync_book`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BookSync {
    /// Shards in which both take part: only their orders were compared.
    pub shards: ShardSet,
    /// Prefixes that were divided because the books differ there.
    pub prefixes_divided: u32,
    /// Orders received.
    pub orders_received: u32,
    /// Bytes sent and received.
    pub bytes: u64,
}

/// A book's ids in ascending order, each with its shard.
struct Listed(Vec<(B256, u16)>);

impl Listed {
    fn of(book: &dyn BookSource) -> Self {
        let mut ids = book.order_ids();
        ids.sort_unstable();
        ids.dedup_by_key(|(id, _)| *id);
        ids.truncate(IDS_MAX);
        Self(ids)
    }
}

/// The ids of some shards of a book.
struct Ids {
    listed: Arc<Listed>,
    shards: ShardSet,
}

impl Ids {
    fn within(&self, prefix: Prefix) -> impl Iterator<Item = &B256> {
        let all = &self.listed.0;
        let start = all.partition_point(|(id, _)| head(id) < prefix.digits);
        let end = all.partition_point(|(id, _)| head(id) <= prefix.last());
        let ids = all[start..end].iter();
        let wanted = ids.filter(|(_, shard)| self.shards.contains(*shard));
        wanted.map(|(id, _)| id)
    }

    fn contains(&self, id: &B256) -> bool {
        let all = &self.listed.0;
        let place = all.binary_search_by_key(id, |(id, _)| *id);
        place.is_ok_and(|place| self.shards.contains(all[place].1))
    }

    fn part(&self, prefix: Prefix) -> Part {
        let mut hasher = blake3::Hasher::new();
        let mut count = 0;
        for id in self.within(prefix) {
            hasher.update(id.as_slice());
            // At most IDS_MAX.
            count += 1;
        }
        let mut digest = [0; DIGEST_BYTES];
        hasher.finalize_xof().fill(&mut digest);
        Part { count, digest }
    }

    /// The parts of a prefix, as they are sent.
    fn parts(&self, prefix: Prefix) -> impl Iterator<Item = u8> {
        prefix.parts().flat_map(|part| {
            let Part { count, digest } = self.part(part);
            count.to_be_bytes().into_iter().chain(digest)
        })
    }
}

/// First 16 digits of an id.
fn head(id: &B256) -> u64 {
    id.first_chunk().map_or(0, |head| u64::from_be_bytes(*head))
}

/// All ids that begin with the same digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Prefix {
    length: u8,
    digits: u64,
}

/// What one side has in a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    count: u32,
    digest: [u8; DIGEST_BYTES],
}

impl Prefix {
    const ALL: Self = Self {
        length: 0,
        digits: 0,
    };

    /// Largest head of an id in it.
    fn last(self) -> u64 {
        self.digits
            | u64::MAX
                .checked_shr(4 * u32::from(self.length))
                .unwrap_or(0)
    }

    fn parts(self) -> impl Iterator<Item = Self> {
        let length = self.length + 1;
        (0..PARTS as u64).map(move |digit| Self {
            length,
            // `length` is at most DIGITS_MAX + 1.
            digits: self.digits | digit << (64 - 4 * u32::from(length)),
        })
    }

    fn encode(self) -> [u8; PREFIX_BYTES] {
        let mut bytes = [0; PREFIX_BYTES];
        bytes[0] = self.length;
        bytes[1..].copy_from_slice(&self.digits.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; PREFIX_BYTES]) -> Option<Self> {
        let [length, digits @ ..] = *bytes;
        let prefix = Self {
            length,
            digits: u64::from_be_bytes(digits),
        };
        let rest = u64::MAX.checked_shr(4 * u32::from(length)).unwrap_or(0);
        (length <= DIGITS_MAX && prefix.digits & rest == 0).then_some(prefix)
    }
}

/// The prefixes of a request; `None` if there are too many or they do not ascend.
fn decode_prefixes(bytes: &[u8]) -> Option<Vec<Prefix>> {
    let (prefixes, []) = bytes.as_chunks::<PREFIX_BYTES>() else {
        return None;
    };
    if prefixes.len() > PREFIXES_PER_REQUEST {
        return None;
    }
    let prefixes: Vec<_> = prefixes.iter().map(Prefix::decode).collect::<Option<_>>()?;
    prefixes
        .is_sorted_by(|a, b| a.last() < b.digits)
        .then_some(prefixes)
}

/// The first request of a stream.
fn ask_shards(shards: ShardSet) -> Vec<u8> {
    [&[ASK_SHARDS][..], &shards.bits().to_be_bytes()].concat()
}

/// Shards as they are sent, and what comes behind them.
fn decode_shards(bytes: &[u8]) -> Option<(ShardSet, &[u8])> {
    let (shards, rest) = bytes.split_first_chunk::<SHARDS_BYTES>()?;
    Some((ShardSet::from_bits(u64::from_be_bytes(*shards)), rest))
}

fn ask(kind: u8, prefixes: &[Prefix]) -> Vec<u8> {
    let mut request = vec![kind];
    request.extend(prefixes.iter().flat_map(|prefix| prefix.encode()));
    request
}

/// The local book and the last list of its ids.
struct Shelf {
    book: Arc<dyn BookSource>,
    /// Shards that the node takes part in.
    shards: ShardSet,
    lifetime: Duration,
    last: Mutex<Option<(Instant, Arc<Listed>)>>,
}

impl Shelf {
    /// The ids of the shards that are asked for and the node's own.
    fn ids(&self, asked: ShardSet) -> Ids {
        Ids {
            listed: self.listed(),
            shards: asked.and(self.shards),
        }
    }

    /// All ids, at most `lifetime` old. Whoever comes while they are listed waits for that list.
    fn listed(&self) -> Arc<Listed> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((since, ids)) if since.elapsed() < self.lifetime => Arc::clone(ids),
            _ => {
                let ids = Arc::new(Listed::of(&*self.book));
                *last = Some((Instant::now(), Arc::clone(&ids)));
                ids
            }
        }
    }
}

/// Serves the local book.
pub(crate) fn serve(
    streams: &Streams,
    book: Arc<dyn BookSource>,
    shards: ShardSet,
    limits: &NetworkLimits,
    metrics: &Arc<Metrics>,
    stopped: &CancellationToken,
) -> Result<(), NetError> {
    let gate = Gate::new(
        limits.request_streams_max,
        limits.request_streams_per_peer_max,
    );
    let idle_timeout = limits.idle_timeout;
    let shelf = Arc::new(Shelf {
        book,
        shards,
        lifetime: limits.book_list_lifetime,
        last: Mutex::default(),
    });
    streams.serve(
        PROTOCOL,
        gate,
        metrics.clone(),
        stopped.clone(),
        move |_, stream| answer(stream, shelf.clone(), idle_timeout),
    )
}

async fn answer(
    mut stream: PeerStream,
    shelf: Arc<Shelf>,
    idle_timeout: Duration,
) -> Result<(), NetError> {
    let mut ids: Option<Ids> = None;
    for request_number in 0..REQUESTS_MAX {
        let request = match within(idle_timeout, read_frame(&mut stream, REQUEST_BYTES_MAX)).await {
            // The peer has what it wanted.
            Err(NetError::Stream(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Ok(());
            }
            request => request?,
        };
        let answer = match &ids {
            Some(ids) => answer_one(ids, &*shelf.book, &request),
            None => match shards_asked(&request) {
                Some(asked) => {
                    let shelf = Arc::clone(&shelf);
                    let listing = tokio::task::spawn_blocking(move || shelf.ids(asked));
                    let listed = listing.await.map_err(|_| NetError::Stopped)?;
                    Some(answer_first(ids.insert(listed)))
                }
                None => None,
            },
        };
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

/// The shards that the first request of a stream names.
fn shards_asked(request: &[u8]) -> Option<ShardSet> {
    match request.split_first()? {
        (&ASK_SHARDS, rest) => {
            let (shards, rest) = decode_shards(rest)?;
            rest.is_empty().then_some(shards)
        }
        _ => None,
    }
}

/// The answer to the first request.
fn answer_first(ids: &Ids) -> Vec<u8> {
    let shards = ids.shards.bits().to_be_bytes().into_iter();
    shards.chain(ids.parts(Prefix::ALL)).collect()
}

fn answer_one(ids: &Ids, book: &dyn BookSource, request: &[u8]) -> Option<Vec<u8>> {
    match request.split_first()? {
        (&ASK_PARTS, prefixes) => Some(
            decode_prefixes(prefixes)?
                .into_iter()
                .flat_map(|prefix| ids.parts(prefix))
                .collect(),
        ),
        (&ASK_IDS, prefixes) => {
            let prefixes = decode_prefixes(prefixes)?;
            let wanted = prefixes.into_iter().flat_map(|prefix| ids.within(prefix));
            Some(wanted.take(IDS_PER_ANSWER).flat_map(|id| id.0).collect())
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
                let id = B256::from(*id);
                let order = Some(&id)
                    .filter(|id| ids.contains(id))
                    .and_then(|id| book.order(id))
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

/// Ids of the orders that syncs under way have asked for, so that no other peer is asked for them.
#[derive(Default)]
pub(crate) struct Fetching(Mutex<HashSet<B256>>);

/// What one sync has asked for and not been refused; anybody may ask for it again when it ends.
struct Claims<'a> {
    fetching: &'a Fetching,
    ids: HashSet<B256>,
}

impl<'a> Claims<'a> {
    fn new(fetching: &'a Fetching) -> Self {
        Self {
            fetching,
            ids: HashSet::new(),
        }
    }

    fn all(&self) -> MutexGuard<'a, HashSet<B256>> {
        let all = self.fetching.0.lock();
        all.unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of `wanted` that nobody else asks for.
    fn take(&mut self, wanted: &[B256]) -> Vec<B256> {
        let mut all = self.all();
        let mut mine = wanted.to_vec();
        mine.retain(|id| all.insert(*id));
        self.ids.extend(&mine);
        mine
    }

    /// The peer does not have it after all.
    fn give_back(&mut self, id: &B256) {
        if self.ids.remove(id) {
            self.all().remove(id);
        }
    }
}

impl Drop for Claims<'_> {
    fn drop(&mut self) {
        let mut all = self.all();
        for id in &self.ids {
            all.remove(id);
        }
    }
}

/// Asks `peer` for the orders that `book` lacks. [`NetError::Protocol`] and [`NetError::TooLong`] in
/// the inner result say that it answered what no honest peer answers.
#[allow(clippy::too_many_arguments)] // One caller, which has them all.
pub(crate) async fn sync(
    streams: &Streams,
    peer: PeerId,
    book: &dyn BookSource,
    shards: ShardSet,
    fetching: &Fetching,
    orders: &mpsc::Sender<Bytes>,
    limits: &NetworkLimits,
    metrics: &Metrics,
) -> Result<Result<BookSync, NetError>, NetError> {
    let ours = Ids {
        listed: Arc::new(Listed::of(book)),
        shards,
    };
    let comparison = Comparison::new(ours);
    let request = ask_shards(shards);
    let mut answer = streams.ask(peer, &PROTOCOL, &request).await?;
    if answer.status != Status::Ok {
        return Err(NetError::Protocol("it refused to send its book"));
    }
    let mut outcome = BookSync {
        bytes: request.len() as u64,
        ..BookSync::default()
    };
    let exchange = Exchange {
        stream: &mut answer.stream,
        idle_timeout: limits.idle_timeout,
        outcome: &mut outcome,
    };
    let exchanged = exchange.run(comparison, book, fetching, orders);
    let exchanged = within(limits.book_sync_timeout, exchanged).await;
    metrics
        .snapshot_orders_received
        .inc_by(outcome.orders_received.into());
    // Best effort: all that was asked for is here.
    let _ = within(limits.idle_timeout, answer.stream.shutdown()).await;
    Ok(exchanged.map(|()| outcome))
}

/// A sync under way, whose first request was sent.
struct Exchange<'a, S> {
    stream: &'a mut S,
    idle_timeout: Duration,
    outcome: &'a mut BookSync,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<'_, S> {
    async fn run(
        mut self,
        comparison: Comparison,
        book: &dyn BookSource,
        fetching: &Fetching,
        orders: &mpsc::Sender<Bytes>,
    ) -> Result<(), NetError> {
        let missing = self.compare(comparison).await?;
        let mut claims = Claims::new(fetching);
        let others = self.fetch(&missing, book, &mut claims, orders).await?;
        // The peers that were asked for these may have kept them for themselves.
        self.fetch(&others, book, &mut claims, orders).await?;
        Ok(())
    }

    /// Finds out which ids the peer has and we lack.
    async fn compare(&mut self, mut comparison: Comparison) -> Result<Vec<B256>, NetError> {
        for requests in 1.. {
            let answer = self.receive(comparison.answer_bytes_max()).await?;
            comparison.on_answer(&answer)?;
            self.outcome.prefixes_divided = comparison.divided;
            self.outcome.shards = comparison.ours.shards;
            if comparison.is_done() || requests == REQUESTS_MAX / 2 {
                break;
            }
            self.send(&comparison.request()).await?;
        }
        Ok(comparison.missing)
    }

    /// Fetches orders that came in no other way meanwhile. Returns those that others are asked for.
    async fn fetch(
        &mut self,
        missing: &[B256],
        book: &dyn BookSource,
        claims: &mut Claims<'_>,
        orders: &mpsc::Sender<Bytes>,
    ) -> Result<Vec<B256>, NetError> {
        let mut others = Vec::new();
        for wanted in missing.chunks(ORDERS_PER_REQUEST) {
            let mut wanted = wanted.to_vec();
            wanted.retain(|id| book.order(id).is_none());
            let mine = claims.take(&wanted);
            wanted.retain(|id| !mine.contains(id));
            others.extend(wanted);
            if mine.is_empty() {
                continue;
            }
            let mut request = vec![ASK_ORDERS];
            request.extend(mine.iter().flat_map(|id| id.0));
            self.send(&request).await?;
            let answer = self.receive(ORDERS_BYTES_MAX).await?;
            for (id, order) in mine.iter().zip(split_orders(&answer.into(), mine.len())?) {
                if order.is_empty() {
                    claims.give_back(id);
                    continue;
                }
                self.outcome.orders_received += 1;
                orders.send(order).await.map_err(|_| NetError::Stopped)?;
            }
        }
        Ok(others)
    }

    async fn send(&mut self, request: &[u8]) -> Result<(), NetError> {
        self.outcome.bytes += request.len() as u64;
        within(self.idle_timeout, async {
            write_frame(self.stream, request).await?;
            self.stream.flush().await.map_err(NetError::from)
        })
        .await
    }

    async fn receive(&mut self, length_max: usize) -> Result<Vec<u8>, NetError> {
        let answer = within(self.idle_timeout, read_frame(self.stream, length_max)).await?;
        self.outcome.bytes += answer.len() as u64;
        Ok(answer)
    }
}

/// Finds out which ids a peer has and we lack, request by request.
struct Comparison {
    /// What we have in the shards of both: until the peer has answered, in all of ours.
    ours: Ids,
    /// Prefixes to be divided, and of how many ids the peer spoke.
    to_divide: VecDeque<(Prefix, u32)>,
    /// Prefixes whose ids are to be listed, and how many ids they have.
    to_list: VecDeque<(Prefix, u32)>,
    /// What was asked last.
    asked: Asked,
    /// Ids that we lack.
    missing: Vec<B256>,
    divided: u32,
}

enum Asked {
    Nothing,
    /// The shards, and the parts of everything.
    Shards,
    Parts(Vec<(Prefix, u32)>),
    Ids(Vec<(Prefix, u32)>),
}

impl Comparison {
    /// A comparison with a peer that was sent the first request.
    fn new(ours: Ids) -> Self {
        Self {
            ours,
            to_divide: VecDeque::new(),
            to_list: VecDeque::new(),
            asked: Asked::Shards,
            missing: Vec::new(),
            divided: 0,
        }
    }

    fn is_done(&self) -> bool {
        self.to_divide.is_empty() && self.to_list.is_empty()
    }

    /// The next request; not to be called when done.
    fn request(&mut self) -> Vec<u8> {
        let (kind, mut asked) = if self.to_divide.is_empty() {
            let mut ids = 0;
            let mut asked = Vec::new();
            while asked.len() < PREFIXES_PER_REQUEST
                && let Some(next) = self.to_list.pop_front_if(|(_, count)| {
                    ids += *count as usize;
                    ids <= IDS_PER_ANSWER
                })
            {
                asked.push(next);
            }
            (ASK_IDS, asked)
        } else {
            let count = self.to_divide.len().min(PREFIXES_PER_REQUEST);
            (ASK_PARTS, self.to_divide.drain(..count).collect::<Vec<_>>())
        };
        // Those that wait are of several lengths, and none begins with another.
        asked.sort_unstable_by_key(|(prefix, _)| prefix.digits);
        let prefixes: Vec<Prefix> = asked.iter().map(|(prefix, _)| *prefix).collect();
        self.asked = if kind == ASK_PARTS {
            Asked::Parts(asked)
        } else {
            Asked::Ids(asked)
        };
        ask(kind, &prefixes)
    }

    fn answer_bytes_max(&self) -> usize {
        match &self.asked {
            Asked::Nothing => 0,
            Asked::Shards => SHARDS_BYTES + PARTS * PART_BYTES,
            Asked::Parts(asked) => asked.len() * PARTS * PART_BYTES,
            Asked::Ids(asked) => {
                32 * asked
                    .iter()
                    .map(|(_, count)| *count as usize)
                    .sum::<usize>()
            }
        }
    }

    fn on_answer(&mut self, answer: &[u8]) -> Result<(), NetError> {
        match std::mem::replace(&mut self.asked, Asked::Nothing) {
            Asked::Nothing => Err(NetError::Protocol("it answered what was not asked")),
            Asked::Shards => {
                let (shards, parts) = decode_shards(answer)
                    .ok_or(NetError::Protocol("its book's shards are cut short"))?;
                if !shards.is_within(self.ours.shards) {
                    return Err(NetError::Protocol("it sent shards that were not asked for"));
                }
                self.ours.shards = shards;
                self.on_parts(&[(Prefix::ALL, u32::MAX)], parts)
            }
            Asked::Parts(asked) => self.on_parts(&asked, answer),
            Asked::Ids(asked) => self.on_ids(&asked, answer),
        }
    }

    fn on_parts(&mut self, asked: &[(Prefix, u32)], answer: &[u8]) -> Result<(), NetError> {
        let (parts, []) = answer.as_chunks::<PART_BYTES>() else {
            return Err(NetError::Protocol("its book's digests are cut short"));
        };
        if parts.len() != asked.len() * PARTS {
            return Err(NetError::Protocol("its book's digests are cut short"));
        }
        for ((prefix, announced), parts) in asked.iter().zip(parts.chunks(PARTS)) {
            self.divided += 1;
            let mut sum = 0_u64;
            for (prefix, part) in prefix.parts().zip(parts) {
                let [c0, c1, c2, c3, digest @ ..] = *part;
                let theirs = Part {
                    count: u32::from_be_bytes([c0, c1, c2, c3]),
                    digest,
                };
                sum += u64::from(theirs.count);
                let mine = self.ours.part(prefix);
                if theirs.count == 0 || theirs == mine {
                    continue;
                }
                let count = theirs.count as usize;
                let is_listed = count <= LISTED_MAX
                    || prefix.length == DIGITS_MAX
                    || (mine.count < theirs.count / 2 && count <= IDS_PER_ANSWER);
                if prefix.length == DIGITS_MAX && count > IDS_PER_ANSWER {
                    return Err(NetError::Protocol("its ids are no hashes"));
                }
                let list = if is_listed {
                    &mut self.to_list
                } else {
                    &mut self.to_divide
                };
                list.push_back((prefix, theirs.count));
            }
            // So no level holds more than a book, however the peer lies.
            let is_consistent = if *prefix == Prefix::ALL {
                sum <= IDS_MAX as u64
            } else {
                sum == u64::from(*announced)
            };
            if !is_consistent {
                return Err(NetError::Protocol(
                    "its book's counts contradict each other",
                ));
            }
        }
        Ok(())
    }

    /// The ids of an answer that are not ours.
    fn on_ids(&mut self, asked: &[(Prefix, u32)], answer: &[u8]) -> Result<(), NetError> {
        let (theirs, []) = answer.as_chunks::<32>() else {
            return Err(NetError::Protocol("its book's ids are cut short"));
        };
        if !theirs.is_sorted_by(|a, b| a < b) {
            return Err(NetError::Protocol("its book's ids are not ascending"));
        }
        for id in theirs.iter().map(B256::from) {
            let head = head(&id);
            let place = asked.partition_point(|(prefix, _)| prefix.last() < head);
            if asked
                .get(place)
                .is_none_or(|(prefix, _)| head < prefix.digits)
            {
                return Err(NetError::Protocol("it sent ids that were not asked for"));
            }
            if !self.ours.contains(&id) {
                self.missing.push(id);
            }
        }
        Ok(())
    }
}

/// Cuts an answer into as many orders as were asked for; those that are gone meanwhile are empty.
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
        orders.push(rest.split_to(length));
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

    /// Orders of these tests lie in four shards.
    const SHARDS: u16 = 4;

    fn shard(order: &[u8]) -> u16 {
        u16::from(order[1]) % SHARDS
    }

    fn all() -> ShardSet {
        (0..SHARDS).collect()
    }

    fn ids_of(book: &dyn BookSource, shards: ShardSet) -> Ids {
        Ids {
            listed: Arc::new(Listed::of(book)),
            shards,
        }
    }

    fn no_ids() -> Ids {
        ids_of(&Book::default(), all())
    }

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
        fn order_ids(&self) -> Vec<(B256, u16)> {
            let ids = self.0.iter().rev();
            ids.map(|(id, order)| (*id, shard(order))).collect()
        }

        fn order(&self, id: &B256) -> Option<Bytes> {
            self.0.get(id).cloned()
        }
    }

    /// The protocol without a network: what `ours` would ask and `theirs` answer. The orders that
    /// came, and the bytes that comparing took in both directions.
    fn reconcile(ours: &Book, theirs: &Book) -> (Vec<Bytes>, usize) {
        reconcile_shards(ours, all(), theirs, all())
    }

    /// The same between nodes that take part in these shards.
    fn reconcile_shards(
        ours: &Book,
        our_shards: ShardSet,
        theirs: &Book,
        their_shards: ShardSet,
    ) -> (Vec<Bytes>, usize) {
        let first = ask_shards(our_shards);
        let shards = shards_asked(&first).unwrap().and(their_shards);
        let their_ids = ids_of(theirs, shards);
        let mut comparison = Comparison::new(ids_of(ours, our_shards));
        let answer = answer_first(&their_ids);
        assert!(answer.len() <= comparison.answer_bytes_max());
        let mut bytes = first.len() + answer.len();
        comparison.on_answer(&answer).unwrap();
        while !comparison.is_done() {
            let request = comparison.request();
            assert!(request.len() <= REQUEST_BYTES_MAX);
            let answer = answer_one(&their_ids, theirs, &request).unwrap();
            assert!(answer.len() <= comparison.answer_bytes_max());
            bytes += request.len() + answer.len();
            comparison.on_answer(&answer).unwrap();
        }
        let mut orders = Vec::new();
        for wanted in comparison.missing.chunks(256) {
            let mut request = vec![ASK_ORDERS];
            request.extend(wanted.iter().flat_map(|id| id.0));
            let answer = answer_one(&their_ids, theirs, &request).unwrap();
            orders.extend(split_orders(&answer.into(), wanted.len()).unwrap());
        }
        (orders, bytes)
    }

    proptest! {
        #[test]
        fn after_a_sync_we_have_all_that_the_peer_has(
            ours: Vec<u16>,
            theirs in proptest::collection::vec(any::<u16>(), 0..600),
        ) {
            let (mut ours, theirs) = (Book::of(&ours), Book::of(&theirs));
            let expected = theirs.0.keys().filter(|id| !ours.0.contains_key(*id)).count();
            let (orders, _) = reconcile(&ours, &theirs);
            prop_assert_eq!(orders.len(), expected, "nothing is sent that we had");
            for order in orders {
                ours.0.insert(B256::from(*blake3::hash(&order).as_bytes()), order);
            }
            prop_assert!(theirs.0.keys().all(|id| ours.0.contains_key(id)));
            let (again, _) = reconcile(&ours, &theirs);
            prop_assert!(again.is_empty());
        }

        #[test]
        fn a_sync_brings_what_lies_in_the_shards_of_both_and_nothing_else(
            ours in proptest::collection::vec(any::<u16>(), 0..300),
            theirs in proptest::collection::vec(any::<u16>(), 0..300),
            our_shards in 0..16_u64,
            their_shards in 0..16_u64,
        ) {
            let (ours, theirs) = (Book::of(&ours), Book::of(&theirs));
            let (our_shards, their_shards) =
                (ShardSet::from_bits(our_shards), ShardSet::from_bits(their_shards));
            let both = our_shards.and(their_shards);
            let (mut orders, _) = reconcile_shards(&ours, our_shards, &theirs, their_shards);
            let lacking = theirs.0.iter().filter(|(id, order)| {
                both.contains(shard(order)) && !ours.0.contains_key(*id)
            });
            let mut lacking: Vec<_> = lacking.map(|(_, order)| order.clone()).collect();
            orders.sort();
            lacking.sort();
            prop_assert_eq!(orders, lacking);
        }

        #[test]
        fn any_request_is_answered_within_the_limits_or_refused(request: Vec<u8>) {
            let book = Book::of(&[1, 2, 3]);
            if let Some(answer) = answer_one(&ids_of(&book, all()), &book, &request) {
                prop_assert!(answer.len() <= ORDERS_BYTES_MAX);
            }
            let _ = shards_asked(&request);
        }

        #[test]
        fn any_answer_is_orders_within_the_limits_or_an_error(answer: Vec<u8>, asked in 0..300_usize) {
            if let Ok(orders) = split_orders(&answer.into(), asked) {
                prop_assert_eq!(orders.len(), asked);
            }
        }
    }

    #[test]
    fn equal_books_cost_one_short_answer() {
        let book = Book::of(&Vec::from_iter(0..10_000));
        let (orders, bytes) = reconcile(&book, &book);
        assert!(orders.is_empty());
        assert_eq!(bytes, 1 + 2 * SHARDS_BYTES + PARTS * PART_BYTES);
    }

    #[test]
    fn comparing_costs_in_proportion_to_what_differs_and_not_to_the_books() {
        let theirs = Book::of(&Vec::from_iter(0..20_000));
        for missing in [1, 20, 200] {
            let ours = Book::of(&Vec::from_iter(missing..20_000));
            let (orders, bytes) = reconcile(&ours, &theirs);
            assert_eq!(orders.len(), usize::from(missing));
            // Less than half of what the orders themselves take; the ids alone would be 640 kB.
            assert!(bytes / orders.len() < 1_800, "{bytes} bytes");
            if missing == 200 {
                assert!(bytes < 100_000, "{bytes} bytes");
            }
        }
    }

    #[test]
    fn an_empty_book_gets_the_ids_without_comparing_level_by_level() {
        let theirs = Book::of(&Vec::from_iter(0..10_000));
        let (orders, bytes) = reconcile(&Book::default(), &theirs);
        assert_eq!(orders.len(), 10_000);
        assert!(bytes < 10_000 * 32 + 1_000, "{bytes} bytes");
    }

    /// A comparison that has just asked for the ids of the prefix 0.
    fn asking_for_ids(count: u32) -> Comparison {
        let mut comparison = Comparison::new(no_ids());
        let first = Prefix::ALL.parts().next().unwrap();
        comparison.to_list.push_back((first, count));
        comparison.request();
        comparison
    }

    #[test]
    fn ids_out_of_order_twice_or_unasked_are_refused() {
        let (low, high) = ([0; 32], [1; 32]);
        let answer = |bytes: &[u8]| asking_for_ids(2).on_answer(bytes);
        assert!(answer(&[high, low].concat()).is_err());
        assert!(answer(&[low, low].concat()).is_err());
        assert!(answer(&low[..31]).is_err());
        assert!(answer(&[0x10; 32]).is_err());
        assert!(answer(&[low, high].concat()).is_ok());
    }

    #[test]
    fn a_peer_that_claims_ever_more_differences_is_caught_or_comes_to_an_end() {
        // All that it announces is in one part, and it never lets it be listed.
        let mut comparison = Comparison::new(no_ids());
        let mut requests = 0;
        let outcome = loop {
            requests += 1;
            let mut answer = vec![0; PARTS * PART_BYTES];
            answer[..4].copy_from_slice(&(IDS_MAX as u32).to_be_bytes());
            answer[4] = requests;
            if requests == 1 {
                answer.splice(0..0, all().bits().to_be_bytes());
            }
            match comparison.on_answer(&answer) {
                Ok(()) => {}
                error => break error,
            }
            assert_eq!(comparison.request()[0], ASK_PARTS);
        };
        assert!(outcome.is_err());
        assert_eq!(requests, DIGITS_MAX);

        // More than a book, and counts that grow from level to level.
        let parts = |count: u32| {
            [&count.to_be_bytes()[..], &[1; DIGEST_BYTES]]
                .concat()
                .repeat(PARTS)
        };
        let first = |count| [&all().bits().to_be_bytes()[..], &parts(count)].concat();
        let mut comparison = Comparison::new(no_ids());
        assert!(comparison.on_answer(&first(IDS_MAX as u32)).is_err());
        let mut comparison = Comparison::new(no_ids());
        comparison.on_answer(&first(10_000)).unwrap();
        comparison.request();
        let grown = parts(11_000).repeat(PARTS);
        assert!(comparison.on_answer(&grown).is_err());
    }

    #[test]
    fn shards_that_were_not_asked_for_are_refused() {
        let parts = vec![0; PARTS * PART_BYTES];
        for (shards, is_valid) in [("0-1", true), ("1", true), ("", true), ("0-2", false)] {
            let mut comparison = Comparison::new(ids_of(&Book::default(), (0..2).collect()));
            let shards: ShardSet = shards.parse().unwrap();
            let answer = [&shards.bits().to_be_bytes()[..], &parts].concat();
            assert_eq!(comparison.on_answer(&answer).is_ok(), is_valid);
        }
        assert!(Comparison::new(no_ids()).on_answer(&parts[..7]).is_err());
    }

    #[test]
    fn the_shards_are_named_in_the_first_request_and_in_no_other() {
        let book = Book::of(&[1, 2, 3]);
        assert_eq!(shards_asked(&ask_shards(all())), Some(all()));
        assert_eq!(shards_asked(&ask(ASK_PARTS, &[Prefix::ALL])), None);
        assert_eq!(shards_asked(&ask_shards(all())[..8]), None);
        let again = answer_one(&ids_of(&book, all()), &book, &ask_shards(all()));
        assert_eq!(again, None);
    }

    #[test]
    fn an_order_outside_the_shards_of_both_is_not_given_away() {
        let book = Book::of(&[0, 1]);
        let request = |id: &B256| [&[ASK_ORDERS][..], &id.0].concat();
        let ids = ids_of(&book, [1].into_iter().collect());
        for (id, order) in &book.0 {
            let answer = answer_one(&ids, &book, &request(id)).unwrap();
            assert_eq!(answer.len() > 2, shard(order) == 1);
        }
    }

    /// Splits `count` among the parts of a prefix, however the draws come out.
    fn lie(count: u32, draw: &mut impl FnMut() -> u64) -> Vec<u8> {
        let mut counts = [0; PARTS];
        let mut left = count;
        for part in &mut counts[1..] {
            *part = (draw() % (u64::from(left) + 1)) as u32;
            left -= *part;
        }
        counts[0] = left;
        counts
            .into_iter()
            .flat_map(|count| [count.to_be_bytes().to_vec(), [draw() as u8; 16].to_vec()].concat())
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn whatever_counts_a_peer_makes_up_it_is_asked_no_more_than_for_a_full_book(seed: [u8; 32]) {
            let mut draws = blake3::Hasher::new_keyed(&seed).finalize_xof();
            let mut draw = || {
                let mut bytes = [0; 8];
                draws.fill(&mut bytes);
                u64::from_be_bytes(bytes)
            };
            let mut comparison = Comparison::new(no_ids());
            for _ in 0..REQUESTS_MAX / 2 {
                prop_assert!(comparison.answer_bytes_max() <= 128 * 1024);
                let answer = match &comparison.asked {
                    Asked::Nothing => unreachable!(),
                    Asked::Shards => {
                        let shards = all().bits().to_be_bytes().to_vec();
                        [shards, lie(IDS_MAX as u32, &mut draw)].concat()
                    }
                    Asked::Parts(asked) => {
                        let count = |count: u32| count.min(IDS_MAX as u32);
                        asked.iter().flat_map(|(_, all)| lie(count(*all), &mut draw)).collect()
                    }
                    // It announces ids and keeps them for itself.
                    Asked::Ids(_) => Vec::new(),
                };
                if comparison.on_answer(&answer).is_err() {
                    break;
                }
                prop_assert!(comparison.to_divide.len() + comparison.to_list.len() <= IDS_MAX);
                prop_assert!(comparison.missing.len() <= IDS_MAX);
                if comparison.is_done() {
                    break;
                }
                prop_assert!(comparison.request().len() <= REQUEST_BYTES_MAX);
            }
        }
    }

    /// Lets `serve` answer an exchange on the other side of a pipe; what came of it, and what arrived.
    async fn exchange<F: Future<Output = Result<(), NetError>> + Send + 'static>(
        idle_timeout: Duration,
        sync_timeout: Duration,
        serve: impl FnOnce(tokio::io::DuplexStream) -> F,
    ) -> (Result<(), NetError>, Vec<Bytes>) {
        let (mut near, far) = tokio::io::duplex(1 << 20);
        let server = tokio::spawn(serve(far));
        let (orders, mut arrived) = mpsc::channel(100_000);
        let (book, mut outcome) = (Book::default(), BookSync::default());
        let comparison = Comparison::new(no_ids());
        let request = ask_shards(all());
        let mut exchange = Exchange {
            stream: &mut near,
            idle_timeout,
            outcome: &mut outcome,
        };
        exchange.send(&request).await.unwrap();
        let fetching = Fetching::default();
        let run = exchange.run(comparison, &book, &fetching, &orders);
        let outcome = within(sync_timeout, run).await;
        server.abort();
        drop(orders);
        assert!(
            fetching.0.lock().unwrap().is_empty(),
            "all claims are given back"
        );
        let mut orders = Vec::new();
        while let Some(order) = arrived.recv().await {
            orders.push(order);
        }
        (outcome, orders)
    }

    const PATIENT: Duration = Duration::from_secs(3600);

    /// Answers as an honest peer with 2,000 orders, after a change.
    async fn serve_changed(
        mut stream: tokio::io::DuplexStream,
        change: impl Fn(u8, Vec<u8>) -> Vec<u8>,
    ) -> Result<(), NetError> {
        let book = Book::of(&Vec::from_iter(0..2_000));
        let ids = ids_of(&book, all());
        loop {
            let request = read_frame(&mut stream, REQUEST_BYTES_MAX).await?;
            let answer = match shards_asked(&request) {
                Some(_) => answer_first(&ids),
                None => answer_one(&ids, &book, &request).unwrap(),
            };
            write_frame(&mut stream, &change(request[0], answer)).await?;
        }
    }

    #[tokio::test]
    async fn a_peer_that_falls_silent_is_left_by_the_one_limit_or_the_other() {
        let (long, short) = (Duration::from_secs(3600), Duration::from_millis(20));
        for (idle_timeout, sync_timeout) in [(long, short), (short, long)] {
            let silent = |stream| async move {
                let _open: tokio::io::DuplexStream = stream;
                std::future::pending().await
            };
            let (outcome, orders) = exchange(idle_timeout, sync_timeout, silent).await;
            assert!(matches!(outcome, Err(NetError::Timeout)), "{outcome:?}");
            assert!(orders.is_empty());
        }
    }

    #[tokio::test]
    async fn a_peer_that_withholds_orders_ends_the_sync_with_those_that_it_gives() {
        let withhold = |kind, answer| match kind {
            ASK_ORDERS => vec![0; 2 * 256],
            _ => answer,
        };
        let stingy = move |stream| serve_changed(stream, withhold);
        let (outcome, orders) = exchange(PATIENT, PATIENT, stingy).await;
        // The last request asks for fewer than 256, so that its answer does not fit it.
        assert!(matches!(outcome, Err(NetError::Protocol(_))), "{outcome:?}");
        assert!(orders.is_empty());
        let withhold = |kind, answer| match kind {
            ASK_IDS => Vec::new(),
            _ => answer,
        };
        let stingy = move |stream| serve_changed(stream, withhold);
        let (outcome, orders) = exchange(PATIENT, PATIENT, stingy).await;
        assert!(outcome.is_ok() && orders.is_empty());
    }

    #[tokio::test]
    async fn a_peer_that_sends_more_than_was_asked_for_is_refused_before_it_is_read() {
        let grow = |_, answer: Vec<u8>| [answer, vec![0; ORDERS_BYTES_MAX]].concat();
        let generous = move |stream| serve_changed(stream, grow);
        let (outcome, orders) = exchange(PATIENT, PATIENT, generous).await;
        assert!(
            matches!(outcome, Err(NetError::TooLong { .. })),
            "{outcome:?}"
        );
        assert!(orders.is_empty());
    }

    #[test]
    fn what_one_sync_asks_for_no_other_does_until_it_is_refused_or_ends() {
        let fetching = Fetching::default();
        let [a, b, c] = [1, 2, 3].map(B256::repeat_byte);
        let (mut first, mut second) = (Claims::new(&fetching), Claims::new(&fetching));
        assert_eq!(first.take(&[a, b]), [a, b]);
        assert_eq!(second.take(&[a, b, c]), [c]);
        first.give_back(&a);
        assert_eq!(second.take(&[a, b]), [a]);
        drop(first);
        assert_eq!(second.take(&[a, b]), [b]);
    }

    /// A book that counts how often its ids were listed.
    #[derive(Default)]
    struct Counting(std::sync::atomic::AtomicUsize);

    impl BookSource for Counting {
        fn order_ids(&self) -> Vec<(B256, u16)> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Vec::new()
        }

        fn order(&self, _id: &B256) -> Option<Bytes> {
            None
        }
    }

    #[test]
    fn a_book_is_listed_once_for_all_who_ask_within_its_lifetime() {
        for (lifetime, lists) in [(Duration::MAX, 1), (Duration::ZERO, 100)] {
            let book = Arc::new(Counting::default());
            let shelf = Shelf {
                book: book.clone(),
                shards: all(),
                lifetime,
                last: Mutex::default(),
            };
            for _ in 0..100 {
                shelf.ids(all());
            }
            assert_eq!(book.0.load(std::sync::atomic::Ordering::Relaxed), lists);
        }
    }

    #[test]
    fn prefixes_that_overlap_or_descend_are_refused() {
        let ids = no_ids();
        let [first, second] = [0, 1].map(|n| Prefix::ALL.parts().nth(n).unwrap());
        let asked =
            |prefixes: &[Prefix]| answer_one(&ids, &Book::default(), &ask(ASK_PARTS, prefixes));
        assert!(asked(&[first, second]).is_some());
        assert!(asked(&[second, first]).is_none());
        assert!(asked(&[first, first]).is_none());
        assert!(asked(&[Prefix::ALL, second]).is_none());
        let stray = Prefix {
            length: 1,
            digits: 1,
        };
        assert!(asked(&[stray]).is_none());
    }
}
