//! How the state is written to the store and read back. JSON values; a store's schema version
//! covers them.

use alloy::primitives::{B256, Bytes};
use outcry_protocol::types::JobSpec;
use outcry_protocol::wire::{Message, SignedBid, SignedOffer};
use outcry_sdk::api::{JobEvent, JobState};
use outcry_store::keys::{self, Prefix, Table};
use outcry_store::{Batch, Key, Store, StoreError, entries};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::State;
use super::capacity::Reservation;
use super::deal::DealRecord;
use super::dispute::{DisputeRecord, Games};
use super::gateway::{Acceptance, JobRecord, Watch};
use super::provider::TaskResult;
use super::verifier::Checked;

pub(super) fn put<T: Serialize>(batch: &mut Batch, key: Key, value: &T) {
    match serde_json::to_vec(value) {
        Ok(bytes) => {
            batch.put(key, bytes);
        }
        // Plain structures of numbers, strings and lists: serialising them into memory can't fail.
        Err(error) => tracing::error!(%error, "a record can't be written"),
    }
}

pub(super) fn get<T: DeserializeOwned>(key: &Key, value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value)
        .map_err(|error| StoreError::Damaged(format!("the record {key}: {error}")))
}

#[derive(Serialize, Deserialize)]
struct BidRecord {
    /// As gossiped.
    message: Bytes,
    submitted_at: u64,
    events: u64,
    state: JobState,
    is_cancelled: bool,
    watches: Vec<WatchRecord>,
}

#[derive(Serialize, Deserialize)]
struct WatchRecord {
    deal: B256,
    announced: usize,
    results: Option<Vec<TaskResult>>,
    acceptance: Option<(B256, Bytes, u64, bool)>,
}

#[derive(Serialize, Deserialize)]
struct ReservationRecord {
    block: u64,
    not_after: u64,
    bid: Bytes,
    offer: Bytes,
    count: u32,
    failed: Option<B256>,
    #[serde(default)]
    displaced: Option<B256>,
}

fn encoded(message: Message) -> Bytes {
    // It was decoded from this form or checked before it was signed, so it has it.
    message.encode().unwrap_or_default().into()
}

fn bid_message(bytes: &[u8]) -> Result<SignedBid, StoreError> {
    match Message::decode(bytes) {
        Ok(Message::Bid(signed)) => Ok(signed),
        _ => Err(StoreError::Damaged("a stored bid can't be decoded".into())),
    }
}

pub(crate) fn offer_message(bytes: &[u8]) -> Result<SignedOffer, StoreError> {
    match Message::decode(bytes) {
        Ok(Message::Offer(signed)) => Ok(signed),
        _ => Err(StoreError::Damaged(
            "a stored offer can't be decoded".into(),
        )),
    }
}

pub(super) fn put_deal(batch: &mut Batch, deal: &DealRecord) {
    put(batch, keys::deal(&deal.id.0), deal);
}

/// Deletes what [`put_deal`], [`put_accept`] and [`put_checked`] wrote.
pub(super) fn delete_deal(batch: &mut Batch, deal: B256) {
    batch.delete(keys::deal(&deal.0));
    batch.delete(keys::settlement(&deal.0));
    batch.delete(checked_key(&deal));
}

pub(super) fn put_dispute(batch: &mut Batch, game: &DisputeRecord) {
    put(batch, keys::dispute(&game.id.0), game);
}

pub(super) fn put_job(batch: &mut Batch, bid: B256, job: &JobSpec) {
    put(batch, keys::job(&bid.0), job);
}

pub(super) fn put_bid(batch: &mut Batch, bid: B256, job: &JobRecord) {
    let watch = |(deal, watch): (&B256, &Watch)| WatchRecord {
        deal: *deal,
        announced: watch.announced,
        results: watch.results.clone(),
        acceptance: watch.acceptance.as_ref().map(|a| {
            (
                a.claim_hash,
                a.signature.clone(),
                a.received_at,
                a.delivered,
            )
        }),
    };
    let record = BidRecord {
        message: encoded(Message::Bid(job.signed.clone())),
        submitted_at: job.submitted_at,
        events: job.events,
        state: job.state,
        is_cancelled: job.is_cancelled,
        watches: job.watches.iter().map(watch).collect(),
    };
    put(batch, keys::bid(&bid.0), &record);
}

pub(super) fn put_offer(batch: &mut Batch, hash: B256, signed: &SignedOffer) {
    batch.put(
        keys::offer(&hash.0),
        encoded(Message::Offer(signed.clone())).to_vec(),
    );
}

pub(super) fn put_result(batch: &mut Batch, deal: B256, result: &TaskResult) {
    put(batch, keys::task_result(&deal.0, result.task), result);
}

pub(super) fn put_accept(batch: &mut Batch, deal: B256, claim_hash: B256, signature: &Bytes) {
    put(batch, keys::settlement(&deal.0), &(claim_hash, signature));
}

pub(super) fn put_receipt(batch: &mut Batch, deal: B256, task: u32, signature: &Bytes) {
    batch.put(keys::receipt(&deal.0, task), signature.to_vec());
}

pub(super) fn put_checked(batch: &mut Batch, deal: B256, checked: &Checked) {
    put(batch, checked_key(&deal), checked);
}

fn checked_key(deal: &B256) -> Key {
    keys::trace(&deal.0, 0)
}

pub(super) fn put_reservation(batch: &mut Batch, reservation: &Reservation) {
    let record = ReservationRecord {
        block: reservation.block,
        not_after: reservation.not_after,
        bid: encoded(Message::Bid(reservation.bid.clone())),
        offer: encoded(Message::Offer(reservation.offer.clone())),
        count: reservation.count,
        failed: reservation.failed,
        displaced: reservation.displaced,
    };
    put(batch, keys::reservation(&reservation.id.0, 0), &record);
}

pub(super) fn put_event(batch: &mut Batch, bid: B256, event: &JobEvent) {
    put(batch, keys::job_event(&bid.0, event.seq), event);
}

/// Events of a job after number `after`, oldest first, at most `limit`.
///
/// # Errors
/// The store's.
pub fn events(
    store: &dyn Store,
    bid: B256,
    after: u64,
    limit: usize,
) -> Result<Vec<JobEvent>, StoreError> {
    let page = store.scan(
        &keys::job_events(&bid.0),
        Some(&keys::job_event(&bid.0, after)),
        limit,
    )?;
    page.iter().map(|(key, value)| get(key, value)).collect()
}

/// Results of an own deal, also of one that is long over.
///
/// # Errors
/// The store's.
pub fn results(store: &dyn Store, deal: B256) -> Result<Vec<TaskResult>, StoreError> {
    entries(store, &keys::task_results(&deal.0))
        .map(|entry| entry.and_then(|(key, value)| get(&key, &value)))
        .collect()
}

fn hash_of(key: &Key, table: Table) -> Result<B256, StoreError> {
    let fields = key.after(&Prefix::table(table)).unwrap_or_default();
    fields
        .get(..32)
        .map(B256::from_slice)
        .ok_or_else(|| StoreError::Damaged(format!("the key {key} is too short")))
}

impl State {
    /// Reads everything back that outlives a process. Also what follows a reorganisation, after the
    /// store has undone the blocks' writes.
    ///
    /// # Errors
    /// The store's; nothing is half read then, because the state is the caller's to drop.
    pub fn load(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        self.deals.clear();
        self.deals_of_bid.clear();
        self.posted.clear();
        self.works.clear();
        self.disputes = Games::default();
        let mut deals: Vec<DealRecord> = Vec::new();
        for entry in entries(store, &Prefix::table(Table::Deal)) {
            let (key, value) = entry?;
            deals.push(get(&key, &value)?);
        }
        deals.sort_by_key(|deal| {
            (
                deal.history.first().map(|(place, _)| place.block),
                deal.terms.firstTask,
                deal.id,
            )
        });
        self.verifications.claims_seen =
            deals.iter().filter(|deal| deal.claim().is_some()).count() as u64;
        for deal in deals {
            self.insert_deal(deal);
        }
        for entry in entries(store, &Prefix::table(Table::Job)) {
            let (key, value) = entry?;
            self.posted
                .insert(hash_of(&key, Table::Job)?, get(&key, &value)?);
        }
        for entry in entries(store, &Prefix::table(Table::Dispute)) {
            let (key, value) = entry?;
            let game: DisputeRecord = get(&key, &value)?;
            self.disputes.insert(game);
        }
        self.load_jobs(store)?;
        self.load_audits(store)?;
        self.load_draws(store)?;
        self.load_rounds(store)?;
        self.load_prices(store)?;
        self.load_work(store)
    }

    fn load_jobs(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        self.jobs.clear();
        for entry in entries(store, &Prefix::table(Table::Bid)) {
            let (key, value) = entry?;
            let record: BidRecord = get(&key, &value)?;
            let mut job = JobRecord::new(bid_message(&record.message)?, record.submitted_at);
            (job.events, job.state, job.is_cancelled) =
                (record.events, record.state, record.is_cancelled);
            for watch in record.watches {
                let acceptance =
                    watch
                        .acceptance
                        .map(
                            |(claim_hash, signature, received_at, delivered)| Acceptance {
                                claim_hash,
                                signature,
                                received_at,
                                delivered,
                            },
                        );
                // A reorganisation may have taken changes back: they are announced again.
                let changes = self
                    .deals
                    .get(&watch.deal)
                    .map_or(0, |deal| deal.history.len());
                let announced = watch.announced.min(changes);
                let watch_now = Watch {
                    report: None,
                    told: None,
                    announced,
                    results: watch.results,
                    acceptance,
                };
                job.watches.insert(watch.deal, watch_now);
            }
            self.jobs.insert(hash_of(&key, Table::Bid)?, job);
        }
        Ok(())
    }

    fn load_work(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let own: Vec<B256> = self.works.keys().copied().collect();
        for deal in own {
            let work = self.works.entry(deal).or_default();
            work.results = results(store, deal)?
                .into_iter()
                .map(|result| (result.task, result))
                .collect();
            let key = keys::settlement(&deal.0);
            work.accept = store
                .get(&key)?
                .map(|value| get(&key, &value))
                .transpose()?;
            let prefix = keys::receipts(&deal.0);
            for entry in entries(store, &prefix) {
                let (key, signature) = entry?;
                let task = key
                    .after(&prefix)
                    .and_then(|field| <[u8; 4]>::try_from(field).ok())
                    .ok_or_else(|| StoreError::Damaged(format!("the key {key} is too short")))?;
                work.receipts
                    .insert(u32::from_be_bytes(task), signature.into());
            }
        }
        self.reservations.clear();
        for entry in entries(store, &Prefix::table(Table::Reservation)) {
            let (key, value) = entry?;
            let record: ReservationRecord = get(&key, &value)?;
            let id = hash_of(&key, Table::Reservation)?;
            let reservation = Reservation {
                id,
                block: record.block,
                not_after: record.not_after,
                bid: bid_message(&record.bid)?,
                offer: offer_message(&record.offer)?,
                count: record.count,
                failed: record.failed,
                displaced: record.displaced,
                mined_in: None,
            };
            self.reservations.insert(id, reservation);
        }
        for entry in entries(store, &Prefix::table(Table::Trace)) {
            let (key, value) = entry?;
            self.verifications
                .findings
                .insert(hash_of(&key, Table::Trace)?, get(&key, &value)?);
        }
        Ok(())
    }
}

/// Own offers that were signed in earlier lives and have not expired at `now`, newest last.
///
/// # Errors
/// The store's.
pub fn offers(store: &dyn Store, now: u64) -> Result<Vec<SignedOffer>, StoreError> {
    let mut offers = Vec::new();
    for entry in entries(store, &Prefix::table(Table::Offer)) {
        let (_, value) = entry?;
        let signed = offer_message(&value)?;
        if signed.offer.expiry >= now {
            offers.push(signed);
        }
    }
    offers.sort_by_key(|signed| signed.offer.expiry);
    Ok(offers)
}
