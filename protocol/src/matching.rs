//! Matching of one epoch (a block): which offers serve which bids.
//!
//! Bids go in the order of keccak(bid hash ‖ beacon). Each range of a bid that can be opened hands
//! out its tasks one at a time to the slot with the least marginal score, `expected cost + value of
//! time * k * expected seconds` for a slot's k-th task; ties go to smaller k, then to the smaller
//! offer hash. A slot becomes one deal. Slots, balances and collateral that a match uses are gone
//! for the bids after it. Nothing here binds: the contract's slots and balances do; but two nodes
//! with the same book compute the same matches. Vectors: `matching.json`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use alloy_primitives::{Address, B256, U256};

use crate::book::{Book, OpenRange};
use crate::codes::{self, Code, Coded};
use crate::fit::{Fit, Kind, judge_kind, judge_terms, kind, marginal_score, pool};
use crate::hash::{Words, bid_rank};
use crate::limits::MATCHES_PER_BID_MAX;
use crate::money;
use crate::types::{Bid, JobSpec, Offer};

/// One deal to open: `count` tasks of a range of a bid on one slot of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Match {
    /// The bid.
    pub bid: B256,
    /// The offer.
    pub offer: B256,
    /// `None`: call `open`. Otherwise `reopen` with this failed deal.
    pub failed_deal: Option<B256>,
    /// First task, if the matches of the range open in the order given here; the contract assigns
    /// the range in the order of arrival.
    pub first: u32,
    /// Tasks.
    pub count: u32,
    /// Escrow, base units.
    pub escrow: u128,
    /// Collateral, base units.
    pub collateral: u128,
}

/// A live bid with tasks that this epoch did not place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Unmatched {
    /// The bid.
    pub bid: B256,
    /// Tasks left over.
    pub tasks: u32,
    /// Why.
    pub reason: Reason,
}

/// Why tasks of a bid were left over. What each offer lacks is [`crate::explain`]'s to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// Earlier bids of the account use up its balance.
    #[error("the balance does not cover this bid besides the account's earlier ones")]
    Uncovered,
    /// Offers fit, but the buyer's free balance does not reach what the next deal locks.
    #[error("the buyer's balance does not cover the escrow of the next deal")]
    BuyerBalance,
    /// No live offer with a free slot fits.
    #[error("no offer with a free slot fits")]
    NoOffer,
    /// Every slot that fits is used, or its provider's balance is.
    #[error("every slot that fits is used")]
    NoSlot,
    /// As many deals as one epoch may open for one bid; the rest follows in the next.
    #[error("the rest follows in the next block")]
    EpochLimit,
}

impl Coded for Reason {
    fn code(&self) -> &'static Code {
        match self {
            Self::Uncovered => &codes::MATCH_BLOCKED,
            Self::BuyerBalance => &codes::MATCH_BUYER_BALANCE,
            Self::NoOffer => &codes::MATCH_TIMEOUT,
            Self::NoSlot | Self::EpochLimit => &codes::MATCH_SLOTS,
        }
    }
}

/// What an epoch gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Epoch {
    /// In the order in which they should open.
    pub matches: Vec<Match>,
    /// In the order of the epoch.
    pub unmatched: Vec<Unmatched>,
}

/// Matches everything that the book holds. `beacon` is the hash of the epoch's block.
#[must_use]
pub fn run(book: &Book, beacon: B256) -> Epoch {
    let uncovered = book.uncovered();
    let mut bids: Vec<_> = book.live_bids().collect();
    bids.sort_by_cached_key(|(hash, _, _)| bid_rank(**hash, beacon));
    let mut engine = Engine::new(book);
    let mut epoch = Epoch::default();
    for (hash, signed, ranges) in bids {
        let found = if uncovered.contains(hash) {
            (Vec::new(), Some(Reason::Uncovered))
        } else {
            engine.place(*hash, &signed.bid, &signed.job, &ranges)
        };
        epoch.add(*hash, &ranges, found);
    }
    epoch
}

/// Matches bids that arrived since the epoch's block with what `matches`, everything matched since
/// then, left: in the order of [`run`], and without moving anything that is matched.
///
/// A buyer who knows the beacon can choose a salt that comes first among the arrivals, but not
/// before a bid that was there at the block.
#[must_use]
pub fn arrivals(book: &Book, beacon: B256, matches: &[Match], bids: &BTreeSet<B256>) -> Epoch {
    let mut bids: Vec<_> = bids
        .iter()
        .filter_map(|hash| {
            let signed = book.bid(hash)?;
            let ranges = book.open_ranges(*hash, &signed.bid);
            let is_new = matches.iter().all(|found| found.bid != *hash);
            (is_new && !ranges.is_empty()).then_some((*hash, signed, ranges))
        })
        .collect();
    bids.sort_by_cached_key(|(hash, _, _)| bid_rank(*hash, beacon));
    let mut epoch = Epoch::default();
    if bids.is_empty() {
        return epoch;
    }
    let mut engine = Engine::new(book);
    engine.take(matches);
    for (hash, signed, ranges) in bids {
        let found = if book.is_covered(hash, &signed.bid) {
            engine.place(hash, &signed.bid, &signed.job, &ranges)
        } else {
            (Vec::new(), Some(Reason::Uncovered))
        };
        epoch.add(hash, &ranges, found);
    }
    epoch
}

impl Epoch {
    /// Names the matches: two nodes with the same digest matched alike. For each match, in order, the
    /// words bid, offer, failed deal (0 if none), first task, tasks, escrow and collateral, all after
    /// their number and `keccak256("outcry.epoch.v1")`. Vectors: `matching.json`.
    #[must_use]
    pub fn digest(&self) -> B256 {
        let mut words = Words::new("outcry.epoch.v1");
        words.number(self.matches.len() as u128);
        for found in &self.matches {
            words.word(found.bid);
            words.word(found.offer);
            words.word(found.failed_deal.unwrap_or_default());
            words.number(found.first.into());
            words.number(found.count.into());
            words.number(found.escrow);
            words.number(found.collateral);
        }
        words.finish()
    }

    /// Notes what was found for a bid.
    fn add(
        &mut self,
        bid: B256,
        ranges: &[OpenRange],
        (placed, reason): (Vec<Match>, Option<Reason>),
    ) {
        let wanted = ranges
            .iter()
            .fold(0u32, |sum, range| sum.saturating_add(range.count));
        let served = placed
            .iter()
            .fold(0u32, |sum, m| sum.saturating_add(m.count));
        if let Some(reason) = reason.filter(|_| served < wanted) {
            self.unmatched.push(Unmatched {
                bid,
                tasks: wanted - served,
                reason,
            });
        }
        self.matches.extend(placed);
    }
}

/// An offer while an epoch runs.
struct Seat<'a> {
    hash: B256,
    offer: &'a Offer,
    pool: usize,
    collateral_purse: usize,
    floor_purse: usize,
}

/// Offers of one kind, cheapest cycle first. `fee_min[i]` and `speed_max[i]` bound all offers from i
/// on, so that a search can stop.
#[derive(Default)]
struct Shelf {
    seats: Vec<usize>,
    fee_min: Vec<u128>,
    speed_max: Vec<u64>,
    /// Seats met without a free slot since the last compaction.
    full: usize,
}

/// Free slots and balances while an epoch hands them out.
pub(crate) struct Engine<'a> {
    book: &'a Book,
    seats: Vec<Seat<'a>>,
    shelves: Vec<Shelf>,
    slots_open: Vec<u32>,
    purses: BTreeMap<(Address, Address), usize>,
    free: Vec<u128>,
}

/// Offers of a shelf that are let in at a time: more than needed changes nothing but the time.
const STRIDE: usize = 8;

/// One step of the search: give the slots of a seat that have `nth - 1` tasks one more.
type Step = Reverse<(U256, u32, B256, usize)>;

/// A seat that fits, and how many of its slots have at least k tasks (`levels[k - 1]`).
pub(crate) struct Taker {
    pub(crate) seat: usize,
    pub(crate) fit: Fit,
    pub(crate) levels: Vec<u32>,
}

impl<'a> Engine<'a> {
    pub(crate) fn new(book: &'a Book) -> Self {
        let mut engine = Self {
            book,
            seats: Vec::new(),
            shelves: Vec::new(),
            slots_open: Vec::new(),
            purses: BTreeMap::new(),
            free: Vec::new(),
        };
        let mut pools: BTreeMap<(Address, B256), usize> = BTreeMap::new();
        let mut shelves: BTreeMap<Kind, Shelf> = BTreeMap::new();
        for (hash, signed) in book.live_offers() {
            let offer = &signed.offer;
            let pool = *pools.entry(pool(offer)).or_insert_with(|| {
                engine
                    .slots_open
                    .push(book.slots_open(offer.provider, offer.capacityId));
                engine.slots_open.len() - 1
            });
            let collateral_purse = engine.purse(offer.provider, offer.token);
            let floor_purse = engine.purse(offer.provider, Address::ZERO);
            let seat = engine.seats.len();
            engine.seats.push(Seat {
                hash: *hash,
                offer,
                pool,
                collateral_purse,
                floor_purse,
            });
            shelves.entry(kind(offer)).or_default().seats.push(seat);
        }
        engine.shelves = shelves.into_values().collect();
        let seats = &engine.seats;
        for shelf in &mut engine.shelves {
            shelf
                .seats
                .sort_unstable_by_key(|seat| (seats[*seat].offer.cyclePrice, seats[*seat].hash));
            shelf.bound(seats);
        }
        engine
    }

    pub(crate) fn offer(&self, taker: &Taker) -> (B256, &'a Offer) {
        let seat = &self.seats[taker.seat];
        (seat.hash, seat.offer)
    }

    /// Takes slots and money for matches that were made before.
    fn take(&mut self, matches: &[Match]) {
        let seats: BTreeMap<B256, usize> = (0..)
            .zip(&self.seats)
            .map(|(index, seat)| (seat.hash, index))
            .collect();
        for found in matches {
            let (Some(signed), Some(seat)) = (self.book.bid(&found.bid), seats.get(&found.offer))
            else {
                continue;
            };
            let bid = &signed.bid;
            let buyer = self.purse(bid.buyer, bid.token);
            let seat = &self.seats[*seat];
            self.slots_open[seat.pool] = self.slots_open[seat.pool].saturating_add(1);
            let reserve =
                money::buyer_reserve(found.escrow, bid.tip, bid.auditFee).unwrap_or(u128::MAX);
            for (purse, amount) in [
                (buyer, reserve),
                (seat.collateral_purse, found.collateral),
                (seat.floor_purse, self.book.collateral_floor()),
            ] {
                self.free[purse] = self.free[purse].saturating_sub(amount);
            }
        }
    }

    /// Index of the free balance of an account in a token.
    fn purse(&mut self, account: Address, token: Address) -> usize {
        let (book, free) = (self.book, &mut self.free);
        *self.purses.entry((account, token)).or_insert_with(|| {
            free.push(book.balance(account, token).unwrap_or(0));
            free.len() - 1
        })
    }

    fn slots_free(&self, seat: usize) -> u32 {
        let seat = &self.seats[seat];
        seat.offer.slots.saturating_sub(self.slots_open[seat.pool])
    }

    /// Places what it can of a bid's ranges; says why if tasks are left.
    fn place(
        &mut self,
        hash: B256,
        bid: &Bid,
        job: &JobSpec,
        ranges: &[OpenRange],
    ) -> (Vec<Match>, Option<Reason>) {
        let buyer = self.purse(bid.buyer, bid.token);
        let mut matches = Vec::new();
        let mut reason = None;
        for range in ranges {
            let deals_left = MATCHES_PER_BID_MAX - matches.len();
            let (takers, why) = self.allot(hash, bid, job, range.count, Some(buyer), deals_left);
            reason = reason.or(why);
            let mut first = range.first;
            for taker in takers {
                let slots = taker.levels.first().copied().unwrap_or(0);
                for slot in 0..slots {
                    // Levels only shrink, so this is the number of levels that reach the slot.
                    let count = taker.levels.partition_point(|level| *level > slot) as u32;
                    let escrow = taker.fit.cost_max.saturating_mul(count.into());
                    matches.push(Match {
                        bid: hash,
                        offer: self.seats[taker.seat].hash,
                        failed_deal: range.failed_deal,
                        first,
                        count,
                        escrow,
                        collateral: money::collateral(escrow, bid.collateralBps)
                            .unwrap_or(u128::MAX),
                    });
                    first = first.saturating_add(count);
                }
            }
        }
        (matches, reason)
    }

    /// Hands out `want` tasks; takers come back in the order of their hashes. Without a buyer's
    /// purse the buyer's balance does not limit.
    pub(crate) fn allot(
        &mut self,
        hash: B256,
        bid: &Bid,
        job: &JobSpec,
        mut want: u32,
        buyer: Option<usize>,
        mut deals_left: usize,
    ) -> (Vec<Taker>, Option<Reason>) {
        let mut takers: Vec<Taker> = Vec::new();
        let mut steps: BinaryHeap<Step> = BinaryHeap::new();
        let mut reason = Reason::NoOffer;
        // Shelves whose kind suits the bid, by the best first score that is still to come.
        let mut shelves = std::mem::take(&mut self.shelves);
        let mut frontier: BinaryHeap<Reverse<(U256, usize, usize)>> = BinaryHeap::new();
        for (index, shelf) in shelves.iter_mut().enumerate() {
            let suits = shelf
                .seats
                .first()
                .is_some_and(|seat| judge_kind(bid, job, self.seats[*seat].offer, |_| false));
            if suits {
                shelf.compact(self);
                if !shelf.seats.is_empty() {
                    frontier.push(Reverse((shelf.score_min(self, bid, 0), index, 0)));
                }
            }
        }
        while want > 0 {
            // Let in every offer that could still beat the best step.
            while let Some(&Reverse((bound, index, at))) = frontier.peek()
                && steps
                    .peek()
                    .is_none_or(|Reverse((score, ..))| bound <= *score)
            {
                frontier.pop();
                let shelf = &mut shelves[index];
                let next = (at + STRIDE).min(shelf.seats.len());
                if next < shelf.seats.len() {
                    frontier.push(Reverse((shelf.score_min(self, bid, next), index, next)));
                }
                for seat in shelf.seats[at..next].iter().copied() {
                    if self.slots_free(seat) == 0 {
                        shelf.full += 1;
                        continue;
                    }
                    let offer = self.seats[seat].offer;
                    if let Some(fit) = judge_terms(bid, job, offer, |_| false)
                        && !self.book.is_barred(hash, offer.provider)
                    {
                        let score = marginal_score(bid, &fit, 1);
                        steps.push(Reverse((score, 1, self.seats[seat].hash, takers.len())));
                        takers.push(Taker {
                            seat,
                            fit,
                            levels: Vec::new(),
                        });
                    }
                }
            }
            let Some(Reverse((_, nth, offer_hash, taker))) = steps.pop() else {
                break;
            };
            let given = self.give(bid, &takers[taker], nth, want, buyer, deals_left);
            match given {
                Ok(slots) => {
                    let Taker { seat, fit, levels } = &mut takers[taker];
                    levels.push(slots);
                    want -= slots;
                    if nth == 1 {
                        deals_left -= slots as usize;
                        self.slots_open[self.seats[*seat].pool] += slots;
                    }
                    if nth < fit.tasks_max {
                        let score = marginal_score(bid, fit, nth + 1);
                        steps.push(Reverse((score, nth + 1, offer_hash, taker)));
                    }
                    if reason == Reason::NoOffer {
                        reason = Reason::NoSlot;
                    }
                }
                Err(why) => reason = why,
            }
        }
        self.shelves = shelves;
        takers.retain(|taker| !taker.levels.is_empty());
        takers.sort_unstable_by_key(|taker| self.seats[taker.seat].hash);
        (takers, (want > 0).then_some(reason))
    }

    /// Takes the money for one more task on as many slots of a taker as can have it: those with
    /// `nth - 1` tasks, as far as tasks, deals and balances reach. At least one, or the reason.
    fn give(
        &mut self,
        bid: &Bid,
        taker: &Taker,
        nth: u32,
        want: u32,
        buyer: Option<usize>,
        deals_left: usize,
    ) -> Result<u32, Reason> {
        let seat = &self.seats[taker.seat];
        let opens = nth == 1;
        let mut slots = match taker.levels.last() {
            Some(level) => *level,
            None => seat.offer.slots.saturating_sub(self.slots_open[seat.pool]),
        };
        slots = slots.min(want);
        if opens {
            slots = slots.min(u32::try_from(deals_left).unwrap_or(u32::MAX));
            if deals_left == 0 {
                return Err(Reason::EpochLimit);
            }
        }
        if slots == 0 {
            return Err(Reason::NoSlot);
        }
        let from_buyer = if opens {
            money::buyer_reserve(taker.fit.cost_max, bid.tip, bid.auditFee).unwrap_or(u128::MAX)
        } else {
            taker.fit.cost_max
        };
        if let Some(purse) = buyer {
            slots = slots.min(affordable(self.free[purse], from_buyer));
            if slots == 0 {
                return Err(Reason::BuyerBalance);
            }
        }
        let collateral = |tasks: u32| {
            let escrow = taker.fit.cost_max.saturating_mul(tasks.into());
            money::collateral(escrow, bid.collateralBps).unwrap_or(u128::MAX)
        };
        let from_provider = collateral(nth) - collateral(nth - 1);
        let floor = if opens {
            self.book.collateral_floor()
        } else {
            0
        };
        if seat.collateral_purse == seat.floor_purse {
            let both = from_provider.saturating_add(floor);
            slots = slots.min(affordable(self.free[seat.floor_purse], both));
        } else {
            slots = slots.min(affordable(self.free[seat.collateral_purse], from_provider));
            slots = slots.min(affordable(self.free[seat.floor_purse], floor));
        }
        if slots == 0 {
            return Err(Reason::NoSlot);
        }
        // Each product is at most the balance that `affordable` divided.
        self.free[seat.collateral_purse] -= from_provider * u128::from(slots);
        self.free[seat.floor_purse] -= floor * u128::from(slots);
        if let Some(purse) = buyer {
            self.free[purse] -= from_buyer * u128::from(slots);
        }
        Ok(slots)
    }
}

/// How many times a balance covers an amount.
fn affordable(balance: u128, each: u128) -> u32 {
    if each == 0 {
        return u32::MAX;
    }
    u32::try_from(balance / each).unwrap_or(u32::MAX)
}

impl Shelf {
    /// Recomputes the suffix bounds.
    fn bound(&mut self, seats: &[Seat<'_>]) {
        let count = self.seats.len();
        self.fee_min = vec![u128::MAX; count];
        self.speed_max = vec![0; count];
        let (mut fee, mut speed) = (u128::MAX, 0);
        for i in (0..count).rev() {
            let offer = seats[self.seats[i]].offer;
            fee = fee.min(offer.startFee);
            speed = speed.max(offer.speed);
            self.fee_min[i] = fee;
            self.speed_max[i] = speed;
        }
        self.full = 0;
    }

    /// Drops offers whose slots are gone once they are half of what a search meets.
    fn compact(&mut self, engine: &Engine<'_>) {
        if self.full > 4 && self.full * 2 > self.seats.len() {
            self.seats.retain(|seat| engine.slots_free(*seat) > 0);
            self.bound(&engine.seats);
        }
    }

    /// No offer from position `from` on has a better first score.
    fn score_min(&self, engine: &Engine<'_>, bid: &Bid, from: usize) -> U256 {
        let price = engine.seats[self.seats[from]].offer.cyclePrice;
        let work = money::work_price(bid.cyclesExpected, price);
        let cost = U256::from(self.fee_min[from]).saturating_add(work);
        let seconds = money::seconds(bid.cyclesExpected, self.speed_max[from]).unwrap_or(u64::MAX);
        cost.saturating_add(U256::from(bid.valueOfTime).saturating_mul(U256::from(seconds)))
    }
}
