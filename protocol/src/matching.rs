//! Matching of one epoch (a block): which offers serve which bids.
//!
//! Bids go in the order of keccak(bid hash ‖ beacon). Each range of a bid that can be opened hands
//! out its tasks one at a time to the slot with the least marginal score, `expected cost + value of
//! time * k * expected seconds` for a slot's k-th task; ties go to smaller k, then to the smaller
//! offer hash. A slot becomes one deal. Slots, balances and collateral that a match uses are gone
//! for the bids after it. Nothing here binds: the contract's slots and balances do; but two nodes
//! with the same book compute the same matches. Vectors: `matching.json`.
//!
//! The offers stand in the trees of `tree.rs`; a search takes the least bound first and ends after
//! [`LOOKS_MAX`] looks for one range.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::ops::Range;

use alloy_primitives::{Address, B256};

use crate::book::{Book, OpenRange};
use crate::codes::{self, Code, Coded};
use crate::fit::{Demand, Fit};
use crate::hash::{Words, bid_rank};
use crate::limits::{LOOKS_MAX, MATCHES_PER_BID_MAX};
use crate::money;
use crate::tree::{Ahead, Forest, Found, Traits, TreeKey};
use crate::types::Offer;
use crate::wire::SignedBid;

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
    /// No live offer with a free slot, and collateral for it, fits.
    #[error("no offer with a free slot fits")]
    NoOffer,
    /// Every slot that fits is used, or its provider's balance is.
    #[error("every slot that fits is used")]
    NoSlot,
    /// As many deals as one epoch may open for one bid; the rest follows in the next.
    #[error("the rest follows in the next block")]
    EpochLimit,
    /// As many offers as one epoch looks at for one bid promised more than they hold.
    #[error("the search ended before it found an offer that fits")]
    SearchLimit,
}

impl Coded for Reason {
    fn code(&self) -> &'static Code {
        match self {
            Self::Uncovered => &codes::MATCH_BLOCKED,
            Self::BuyerBalance => &codes::MATCH_BUYER_BALANCE,
            Self::NoOffer | Self::SearchLimit => &codes::MATCH_TIMEOUT,
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
    Engine::new(book).run(&Queue::new(book, beacon))
}

/// Matches bids that arrived since the epoch's block with what `matches`, everything matched since
/// then, left: in the order of [`run`], and without moving anything that is matched.
///
/// A buyer who knows the beacon can choose a salt that comes first among the arrivals, but not
/// before a bid that was there at the block.
#[must_use]
pub fn arrivals(book: &Book, beacon: B256, matches: &[Match], bids: &BTreeSet<B256>) -> Epoch {
    let placed: BTreeSet<B256> = matches.iter().map(|found| found.bid).collect();
    let buyers: BTreeSet<Address> = bids
        .iter()
        .filter_map(|hash| Some(book.bid(hash)?.bid.buyer))
        .collect();
    let uncovered: BTreeSet<B256> = buyers
        .into_iter()
        .flat_map(|buyer| book.uncovered_of(buyer))
        .collect();
    let mut waiting = Vec::new();
    for hash in bids.difference(&placed) {
        let Some(signed) = book.bid(hash) else {
            continue;
        };
        let ranges = book.open_ranges(*hash, &signed.bid);
        if !ranges.is_empty() {
            waiting.push(Waiting {
                is_covered: !uncovered.contains(hash),
                ..Waiting::new(*hash, signed, ranges, book.bars_anyone(*hash))
            });
        }
    }
    if waiting.is_empty() {
        return Epoch::default();
    }
    let mut engine = Engine::new(book);
    engine.take(matches);
    engine.run(&Queue::ranked(book, waiting, beacon))
}

/// Live bids in the order of an epoch.
#[derive(Debug)]
pub struct Queue {
    bids: Vec<Waiting>,
    /// Who buys, ascending.
    accounts: Vec<Buyer>,
}

/// An account that buys.
#[derive(Debug)]
struct Buyer {
    /// Account and token.
    owner: (Address, Address),
    /// Its free balance, base units.
    free: u128,
}

/// A live bid.
#[derive(Debug)]
struct Waiting {
    hash: B256,
    ranges: Vec<OpenRange>,
    demand: Demand,
    /// Whether the account's balance reaches it.
    is_covered: bool,
    /// Whether any provider is barred from it.
    bars_anyone: bool,
    /// Which of the queue's accounts.
    account: u32,
}

impl Waiting {
    fn new(hash: B256, signed: &SignedBid, ranges: Vec<OpenRange>, bars_anyone: bool) -> Self {
        Self {
            hash,
            ranges,
            demand: Demand::of(&signed.bid, &signed.job),
            is_covered: true,
            bars_anyone,
            account: 0,
        }
    }

    fn tasks(&self) -> u32 {
        let counts = self.ranges.iter().map(|range| range.count);
        counts.fold(0, u32::saturating_add)
    }
}

impl Queue {
    /// All live bids of a book.
    #[must_use]
    pub fn new(book: &Book, beacon: B256) -> Self {
        let barred = book.bids_with_bars();
        let uncovered = book.uncovered();
        let bids = book.live_bids().map(|(hash, signed, ranges)| Waiting {
            is_covered: !uncovered.contains(hash),
            ..Waiting::new(*hash, signed, ranges, barred.contains(hash))
        });
        Self::ranked(book, bids.collect(), beacon)
    }

    fn ranked(book: &Book, mut bids: Vec<Waiting>, beacon: B256) -> Self {
        bids.sort_by_cached_key(|bid| bid_rank(bid.hash, beacon));
        let mut by_account: Vec<(Address, Address, u32)> = (0..)
            .zip(&bids)
            .map(|(index, bid)| (bid.demand.buyer, bid.demand.token, index))
            .collect();
        by_account.sort_unstable();
        let mut accounts: Vec<Buyer> = Vec::new();
        for (buyer, token, index) in by_account {
            let owner = (buyer, token);
            if accounts.last().is_none_or(|last| last.owner != owner) {
                let free = book.balance(buyer, token).unwrap_or(0);
                accounts.push(Buyer { owner, free });
            }
            bids[index as usize].account = accounts.len() as u32 - 1;
        }
        Self { bids, accounts }
    }

    /// What bids of a single task ask for.
    fn singles(&self) -> impl Iterator<Item = &Demand> {
        let singles = self.bids.iter();
        let singles = singles.filter(|bid| bid.is_covered && bid.tasks() == 1);
        singles.map(|bid| &bid.demand)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bids.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bids.is_empty()
    }
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
}

/// An offer while an epoch runs.
#[derive(Debug)]
struct Seat {
    hash: B256,
    collateral_max: u128,
    slots: u32,
    pool: u32,
    /// Purse of the provider in the offer's token.
    collateral_purse: u32,
    /// Purse of the provider in coin.
    floor_purse: u32,
}

/// A pool of slots.
#[derive(Debug)]
struct Pool {
    /// Deals that hold a slot.
    open: u32,
    /// Its offers, in `by_pool`.
    seats: Range<usize>,
}

/// Free balance of an account in a token.
#[derive(Debug)]
struct Purse {
    account: Address,
    free: u128,
    /// As long as this much is free, no offer is limited by it.
    enough: u128,
    /// Offers that may be limited by it, in `by_account`.
    seats: Range<usize>,
}

/// Free slots and balances while an epoch hands them out.
#[derive(Debug)]
pub struct Engine<'a> {
    book: &'a Book,
    /// Live offers by hash; an offer's number is its place here.
    seats: Vec<Seat>,
    forest: Forest,
    pools: Vec<Pool>,
    by_pool: Vec<u32>,
    purses: Vec<Purse>,
    by_account: Vec<u32>,
    accounts: BTreeMap<(Address, Address), u32>,
    /// Empty; kept between bids for its memory.
    steps: BinaryHeap<Reverse<Step>>,
    /// The same.
    ahead: Vec<Ahead>,
    looks: u64,
}

/// One step of the search, best first: of equal scores the smaller `nth`, then the smaller number. No
/// two steps of a search have both in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    /// Marginal score, or its bound.
    score: u128,
    /// Tasks that a slot then has.
    nth: u32,
    /// Number of the offer, or the least of several.
    number: u32,
    way: Way,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// Look at the nodes or offers of a block.
    Look(u32),
    /// Give the slots of an offer their first task.
    Open,
    /// Give the slots of a taker one more task.
    More(u32),
}

/// What a bid brings to the search.
pub(crate) struct Request<'a> {
    pub(crate) hash: B256,
    pub(crate) demand: &'a Demand,
    pub(crate) bars_anyone: bool,
    /// Without a purse the buyer's balance does not limit.
    pub(crate) purse: Option<u32>,
}

/// An offer that takes tasks, and how many of its slots have at least k tasks (`levels[k - 1]`).
pub(crate) struct Taker {
    pub(crate) number: u32,
    pub(crate) fit: Fit,
    pub(crate) levels: Vec<u32>,
}

impl<'a> Engine<'a> {
    /// All live offers of a book, with nothing handed out.
    #[must_use]
    pub fn new(book: &'a Book) -> Self {
        Self::of(book, |_| true)
    }

    /// The live offers among those that a bid might accept.
    pub(crate) fn suiting(book: &'a Book, demand: &Demand) -> Self {
        Self::of(book, |offer| TreeKey::of(offer).suits(demand))
    }

    fn of(book: &'a Book, is_wanted: impl Fn(&Offer) -> bool) -> Self {
        let unbacked = book.unbacked();
        let offers: Vec<(B256, &Offer)> = book
            .offers()
            .map(|(hash, signed)| (*hash, &signed.offer))
            .filter(|(hash, offer)| {
                is_wanted(offer) && book.is_offer_live(offer) && !unbacked.contains(hash)
            })
            .collect();
        let mut seats: Vec<Seat> = offers
            .iter()
            .map(|(hash, offer)| Seat {
                hash: *hash,
                collateral_max: offer.collateralMax,
                slots: offer.slots,
                pool: 0,
                collateral_purse: 0,
                floor_purse: 0,
            })
            .collect();
        let (pools, by_pool) = pools(book, &offers, &mut seats);
        let (purses, by_account, accounts) = purses(book, &offers, &mut seats);
        let mut engine = Self {
            book,
            seats,
            forest: Forest::default(),
            pools,
            by_pool,
            purses,
            by_account,
            accounts,
            steps: BinaryHeap::new(),
            ahead: Vec::new(),
            looks: 0,
        };
        let leaves = (0..).zip(&offers).filter_map(|(number, (_, offer))| {
            let collateral = engine.collateral_left(number)?;
            Some((TreeKey::of(offer), Traits::of(offer, number, collateral)))
        });
        engine.forest = Forest::new(leaves.collect(), offers.len());
        engine
    }

    pub(crate) fn offer(&self, taker: &Taker) -> B256 {
        self.seats[taker.number as usize].hash
    }

    /// Nodes and offers looked at so far.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// Prepares for many bids like those of a queue: searches for single tasks then look at less, and
    /// find the same. That takes about as long as half as many of them save as there are offers, and
    /// [`Engine::run`] does it where it pays.
    pub fn expect(&mut self, queue: &Queue) {
        let demands: Vec<&Demand> = queue.singles().collect();
        self.forest.expect(demands.into_iter());
    }

    /// Matches bids in their order with what is left.
    pub fn run(&mut self, queue: &Queue) -> Epoch {
        let purses = self.purses_of(queue);
        if 2 * queue.singles().count() > self.seats.len() {
            self.expect(queue);
        }
        let mut epoch = Epoch::default();
        for bid in &queue.bids {
            let from = epoch.matches.len();
            let reason = if bid.is_covered {
                self.place(bid, purses[bid.account as usize], &mut epoch.matches)
            } else {
                Some(Reason::Uncovered)
            };
            if let Some(reason) = reason {
                let served: u32 = epoch.matches[from..].iter().map(|found| found.count).sum();
                epoch.unmatched.push(Unmatched {
                    bid: bid.hash,
                    tasks: bid.tasks().saturating_sub(served),
                    reason,
                });
            }
        }
        epoch
    }

    /// Takes slots and money for matches that were made before.
    fn take(&mut self, matches: &[Match]) {
        for found in matches {
            let (Some(signed), Ok(number)) = (
                self.book.bid(&found.bid),
                self.seats
                    .binary_search_by_key(&found.offer, |seat| seat.hash),
            ) else {
                continue;
            };
            let bid = &signed.bid;
            let buyer = self.purse(bid.buyer, bid.token);
            let seat = &self.seats[number];
            let (collateral_purse, floor_purse) = (seat.collateral_purse, seat.floor_purse);
            let reserve =
                money::buyer_reserve(found.escrow, bid.tip, bid.auditFee).unwrap_or(u128::MAX);
            self.use_slots(seat.pool, 1);
            self.debit(buyer, reserve);
            self.debit(collateral_purse, found.collateral);
            self.debit(floor_purse, self.book.collateral_floor());
        }
    }

    /// Index of the free balance of an account in a token.
    fn purse(&mut self, account: Address, token: Address) -> u32 {
        let (book, purses) = (self.book, &mut self.purses);
        *self.accounts.entry((account, token)).or_insert_with(|| {
            purses.push(Purse {
                account,
                free: book.balance(account, token).unwrap_or(0),
                enough: 0,
                seats: 0..0,
            });
            purses.len() as u32 - 1
        })
    }

    /// Indices of the free balances of a queue's accounts.
    fn purses_of(&mut self, queue: &Queue) -> Vec<u32> {
        let mut known = self.accounts.iter().peekable();
        let mut added = Vec::new();
        let mut indices = Vec::with_capacity(queue.accounts.len());
        for buyer in &queue.accounts {
            // Both ascend.
            while known.next_if(|(owner, _)| **owner < buyer.owner).is_some() {}
            let index = match known.peek() {
                Some((owner, index)) if **owner == buyer.owner => **index,
                _ => {
                    self.purses.push(Purse {
                        account: buyer.owner.0,
                        free: buyer.free,
                        enough: 0,
                        seats: 0..0,
                    });
                    let index = self.purses.len() as u32 - 1;
                    added.push((buyer.owner, index));
                    index
                }
            };
            indices.push(index);
        }
        self.accounts.append(&mut added.into_iter().collect());
        indices
    }

    /// Most collateral that one more deal of an offer may lock; `None` if it can open none, for want
    /// of a slot or of the floor.
    fn collateral_left(&self, number: u32) -> Option<u128> {
        let seat = &self.seats[number as usize];
        if self.pools[seat.pool as usize].open >= seat.slots {
            return None;
        }
        let above_floor = self.purses[seat.floor_purse as usize]
            .free
            .checked_sub(self.book.collateral_floor())?;
        let free = if seat.collateral_purse == seat.floor_purse {
            above_floor
        } else {
            self.purses[seat.collateral_purse as usize].free
        };
        Some(seat.collateral_max.min(free))
    }

    fn refresh(&mut self, number: u32) {
        let left = self.collateral_left(number);
        self.forest.update(number, left);
    }

    fn use_slots(&mut self, pool: u32, slots: u32) {
        let pool = &mut self.pools[pool as usize];
        pool.open = pool.open.saturating_add(slots);
        for at in pool.seats.clone() {
            self.refresh(self.by_pool[at]);
        }
    }

    fn debit(&mut self, purse: u32, amount: u128) {
        let purse = &mut self.purses[purse as usize];
        purse.free = purse.free.saturating_sub(amount);
        if purse.free < purse.enough {
            for at in purse.seats.clone() {
                self.refresh(self.by_account[at]);
            }
        }
    }

    /// Places what it can of a bid's ranges; says why if tasks are left.
    fn place(&mut self, bid: &Waiting, purse: u32, matches: &mut Vec<Match>) -> Option<Reason> {
        let demand = &bid.demand;
        let request = Request {
            hash: bid.hash,
            demand,
            bars_anyone: bid.bars_anyone,
            purse: Some(purse),
        };
        let mut deals_left = MATCHES_PER_BID_MAX as u32;
        for range in &bid.ranges {
            let (takers, reason) = self.allot(&request, range.count, deals_left);
            let mut first = range.first;
            for taker in takers {
                let slots = taker.levels.first().copied().unwrap_or(0);
                for slot in 0..slots {
                    // Levels only shrink, so this is the number of levels that reach the slot.
                    let count = taker.levels.partition_point(|level| *level > slot) as u32;
                    let escrow = taker.fit.cost_max.saturating_mul(count.into());
                    matches.push(Match {
                        bid: bid.hash,
                        offer: self.offer(&taker),
                        failed_deal: range.failed_deal,
                        first,
                        count,
                        escrow,
                        collateral: money::collateral(escrow, demand.collateral_bps)
                            .unwrap_or(u128::MAX),
                    });
                    first = first.saturating_add(count);
                }
                deals_left -= slots;
            }
            // What did not serve this range serves none: slots and balances only fall.
            if reason.is_some() {
                return reason;
            }
        }
        None
    }

    /// Hands out `want` tasks in at most so many deals; takers come back in the order of their hashes.
    pub(crate) fn allot(
        &mut self,
        request: &Request<'_>,
        mut want: u32,
        mut deals_left: u32,
    ) -> (Vec<Taker>, Option<Reason>) {
        if want == 1
            && deals_left > 0
            && let Some(found) = self.allot_one(request)
        {
            return found;
        }
        let demand = request.demand;
        let mut frontier = Frontier {
            steps: std::mem::take(&mut self.steps),
            is_open: self.is_open(request),
        };
        let roots = self
            .forest
            .roots(demand, |found| self.note(request, &mut frontier, found));
        let mut looks_left = LOOKS_MAX.saturating_sub(roots);
        let mut takers: Vec<Taker> = Vec::new();
        let mut reason = Reason::NoOffer;
        while want > 0 {
            let Some(Reverse(step)) = frontier.steps.pop() else {
                break;
            };
            let at = match step.way {
                Way::Look(_) if deals_left == 0 => {
                    reason = Reason::EpochLimit;
                    continue;
                }
                Way::Look(block) => {
                    let count = self.forest.count(block);
                    if count <= looks_left {
                        looks_left -= count;
                        self.forest.look(block, demand, |found| {
                            self.note(request, &mut frontier, found);
                        });
                    } else {
                        looks_left = 0;
                        reason = Reason::SearchLimit;
                    }
                    continue;
                }
                Way::Open => {
                    // What took its pool's last slot may have been another offer of the pool.
                    let Some(taker) = self.taker(step.number, demand) else {
                        reason = Reason::NoSlot;
                        continue;
                    };
                    takers.push(taker);
                    takers.len() - 1
                }
                Way::More(at) => at as usize,
            };
            match self.give(request, &takers[at], step.nth, want, deals_left) {
                Ok(slots) => {
                    let Taker { fit, levels, .. } = &mut takers[at];
                    levels.push(slots);
                    want -= slots;
                    if step.nth == 1 {
                        deals_left -= slots;
                    }
                    if step.nth < fit.tasks_max {
                        frontier.steps.push(Reverse(Step {
                            score: fit.score(demand.value_of_time, step.nth + 1),
                            nth: step.nth + 1,
                            number: step.number,
                            way: Way::More(at as u32),
                        }));
                    }
                    if reason == Reason::NoOffer {
                        reason = Reason::NoSlot;
                    }
                }
                Err(why) => reason = why,
            }
        }
        self.steps = frontier.steps;
        self.steps.clear();
        self.looks += u64::from(LOOKS_MAX - looks_left);
        takers.retain(|taker| !taker.levels.is_empty());
        takers.sort_unstable_by_key(|taker| taker.number);
        (takers, (want > 0).then_some(reason))
    }

    /// Hands out a single task, where the best offer is sure to take it: whoever is looked at has the
    /// slot and the money, and the buyer can pay anything that fits. `None` if the whole search must
    /// decide.
    fn allot_one(&mut self, request: &Request<'_>) -> Option<(Vec<Taker>, Option<Reason>)> {
        let demand = request.demand;
        let needed = demand.price_cap.saturating_add(demand.besides_escrow);
        if let Some(purse) = request.purse
            && self.purses[purse as usize].free < needed
        {
            return None;
        }
        let mut ahead = std::mem::take(&mut self.ahead);
        let is_open = self.is_open(request);
        let result = self.forest.best(demand, LOOKS_MAX, &mut ahead, |number| {
            is_open || self.may_serve(request, number)
        });
        self.ahead = ahead;
        let (found, looks) = result?;
        self.looks += u64::from(looks);
        let Some(mut taker) = found.and_then(|number| self.taker(number, demand)) else {
            return Some((Vec::new(), Some(Reason::NoOffer)));
        };
        Some(match self.give(request, &taker, 1, 1, 1) {
            Ok(slots) => {
                taker.levels.push(slots);
                (vec![taker], None)
            }
            Err(why) => (Vec::new(), Some(why)),
        })
    }

    /// An offer that is to take tasks; `None` if it can open no deal any more.
    fn taker(&self, number: u32, demand: &Demand) -> Option<Taker> {
        let terms = self.forest.terms(number, demand)?;
        let collateral_max = self.seats[number as usize].collateral_max;
        Some(Taker {
            number,
            fit: demand.terms(terms.tariff, terms.speed, collateral_max),
            levels: Vec::new(),
        })
    }

    /// Whether whoever fits may serve: nobody is barred, and the buyer sells nothing in this token.
    fn is_open(&self, request: &Request<'_>) -> bool {
        !request.bars_anyone
            && request
                .purse
                .is_some_and(|purse| self.purses[purse as usize].seats.is_empty())
    }

    /// Notes what a look found as a step to take.
    fn note(&self, request: &Request<'_>, frontier: &mut Frontier, found: Found) {
        let way = match found.children {
            Some(block) => Way::Look(block),
            None if frontier.is_open || self.may_serve(request, found.number) => Way::Open,
            None => return,
        };
        frontier.steps.push(Reverse(Step {
            score: found.score,
            nth: 1,
            number: found.number,
            way,
        }));
    }

    /// Whether the provider of an offer is neither the buyer nor barred.
    fn may_serve(&self, request: &Request<'_>, number: u32) -> bool {
        let floor_purse = self.seats[number as usize].floor_purse;
        let provider = self.purses[floor_purse as usize].account;
        provider != request.demand.buyer
            && !(request.bars_anyone && self.book.is_barred(request.hash, provider))
    }

    /// Takes the money for one more task on as many slots of a taker as can have it: those with
    /// `nth - 1` tasks, as far as tasks, deals and balances reach. At least one, or the reason.
    fn give(
        &mut self,
        request: &Request<'_>,
        taker: &Taker,
        nth: u32,
        want: u32,
        deals_left: u32,
    ) -> Result<u32, Reason> {
        let demand = request.demand;
        let seat = &self.seats[taker.number as usize];
        let (pool, collateral_purse, floor_purse) =
            (seat.pool, seat.collateral_purse, seat.floor_purse);
        let opens = nth == 1;
        let mut slots = match taker.levels.last() {
            Some(level) => *level,
            None => seat.slots.saturating_sub(self.pools[pool as usize].open),
        };
        slots = slots.min(want);
        if opens {
            slots = slots.min(deals_left);
            if deals_left == 0 {
                return Err(Reason::EpochLimit);
            }
        }
        if slots == 0 {
            return Err(Reason::NoSlot);
        }
        let cost_max = taker.fit.cost_max;
        let from_buyer = if opens {
            cost_max.saturating_add(demand.besides_escrow)
        } else {
            cost_max
        };
        if let Some(purse) = request.purse {
            slots = slots.min(affordable(self.purses[purse as usize].free, from_buyer));
            if slots == 0 {
                return Err(Reason::BuyerBalance);
            }
        }
        let collateral = |tasks: u32| {
            let escrow = cost_max.saturating_mul(tasks.into());
            money::collateral(escrow, demand.collateral_bps).unwrap_or(u128::MAX)
        };
        let from_provider = if opens {
            collateral(1)
        } else {
            collateral(nth) - collateral(nth - 1)
        };
        let floor = if opens {
            self.book.collateral_floor()
        } else {
            0
        };
        let free = |purse: u32| self.purses[purse as usize].free;
        if collateral_purse == floor_purse {
            let both = from_provider.saturating_add(floor);
            slots = slots.min(affordable(free(floor_purse), both));
        } else {
            slots = slots.min(affordable(free(collateral_purse), from_provider));
            slots = slots.min(affordable(free(floor_purse), floor));
        }
        if slots == 0 {
            return Err(Reason::NoSlot);
        }
        // Each product is at most the balance that `affordable` divided.
        self.debit(collateral_purse, from_provider * u128::from(slots));
        self.debit(floor_purse, floor * u128::from(slots));
        if let Some(purse) = request.purse {
            self.debit(purse, from_buyer * u128::from(slots));
        }
        if opens {
            self.use_slots(pool, slots);
        }
        Ok(slots)
    }
}

/// The steps that a search may take next.
struct Frontier {
    steps: BinaryHeap<Reverse<Step>>,
    is_open: bool,
}

/// How many times a balance covers an amount.
fn affordable(balance: u128, each: u128) -> u32 {
    if each == 0 {
        return u32::MAX;
    }
    u32::try_from(balance / each).unwrap_or(u32::MAX)
}

/// The pools of some offers, and the offers' numbers in the order of their pools.
fn pools(book: &Book, offers: &[(B256, &Offer)], seats: &mut [Seat]) -> (Vec<Pool>, Vec<u32>) {
    let mut keys: Vec<(Address, B256, u32)> = (0..)
        .zip(offers)
        .map(|(number, (_, offer))| (offer.provider, offer.capacityId, number))
        .collect();
    keys.sort_unstable();
    let mut pools: Vec<Pool> = Vec::new();
    let mut at = 0;
    for of_pool in keys.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        for (_, _, number) in of_pool {
            seats[*number as usize].pool = pools.len() as u32;
        }
        pools.push(Pool {
            open: book.slots_open(of_pool[0].0, of_pool[0].1),
            seats: at..at + of_pool.len(),
        });
        at += of_pool.len();
    }
    (pools, keys.into_iter().map(|(.., number)| number).collect())
}

/// The purses of those who offer; the offers' numbers in the order of their purses; and which purse
/// is whose.
#[allow(clippy::type_complexity)]
fn purses(
    book: &Book,
    offers: &[(B256, &Offer)],
    seats: &mut [Seat],
) -> (Vec<Purse>, Vec<u32>, BTreeMap<(Address, Address), u32>) {
    let mut keys: Vec<(Address, Address, u32)> = (0..)
        .zip(offers)
        .map(|(number, (_, offer))| (offer.provider, offer.token, number))
        .collect();
    keys.sort_unstable();
    let floor = book.collateral_floor();
    let mut purses: Vec<Purse> = Vec::new();
    let mut owners = Vec::new();
    let mut add = |account, token, enough, seats| {
        owners.push(((account, token), purses.len() as u32));
        purses.push(Purse {
            account,
            free: book.balance(account, token).unwrap_or(0),
            enough,
            seats,
        });
        purses.len() as u32 - 1
    };
    let mut from = 0;
    for of_provider in keys.chunk_by(|a, b| a.0 == b.0) {
        let provider = of_provider[0].0;
        // Coin sorts first: the zero address.
        let in_coin = of_provider.partition_point(|(_, token, _)| token.is_zero());
        let enough = floor.saturating_add(collateral_most(&of_provider[..in_coin], seats));
        let floor_purse = add(
            provider,
            Address::ZERO,
            enough,
            from..from + of_provider.len(),
        );
        for (_, _, number) in of_provider {
            let seat = &mut seats[*number as usize];
            (seat.floor_purse, seat.collateral_purse) = (floor_purse, floor_purse);
        }
        let mut at = from + in_coin;
        for of_token in of_provider[in_coin..].chunk_by(|a, b| a.1 == b.1) {
            let purse = add(
                provider,
                of_token[0].1,
                collateral_most(of_token, seats),
                at..at + of_token.len(),
            );
            for (_, _, number) in of_token {
                seats[*number as usize].collateral_purse = purse;
            }
            at += of_token.len();
        }
        from += of_provider.len();
    }
    (
        purses,
        keys.into_iter().map(|(.., number)| number).collect(),
        owners.into_iter().collect(),
    )
}

/// Most collateral that any of some offers takes on.
fn collateral_most(offers: &[(Address, Address, u32)], seats: &[Seat]) -> u128 {
    let each = offers
        .iter()
        .map(|(_, _, number)| seats[*number as usize].collateral_max);
    each.max().unwrap_or(0)
}
