//! The book: which live orders a node knows, and what the chain says about their accounts.
//!
//! Serves the stage between gossip and match. [`Book::apply`] commutes: the book is a function of
//! the set of events, whatever their order of arrival. That holds because
//! - orders are kept by a total order of their own, later expiry first and then smaller hash, so
//!   that dropping the excess, dropping what has expired and adding more can be exchanged;
//! - a fact about the chain carries its block, and the latest block wins (within one block, where
//!   facts should agree, the one applied last);
//! - whether an order is live is derived when asked, never stored.
//!
//! Orders come here after [`crate::order::check`] and, where that asks for it, the ERC-1271 call:
//! the book does not look at signatures again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, U256};

use crate::codes::{self, Code, Coded};
use crate::hash::{Domain, Words};
use crate::limits::{
    BARRED_PER_BID_MAX, BIDS_MAX, BIDS_PER_ACCOUNT_MAX, FACTS_MAX, OFFERS_MAX,
    OFFERS_PER_ACCOUNT_MAX, RANGES_PER_BID_MAX,
};
use crate::money;
use crate::order::{self, OrderError};
use crate::types::{Bid, Offer};
use crate::wire::{SignedBid, SignedOffer};

/// What the chain must say about a bid before it counts.
#[must_use]
pub fn facts_of_bid(hash: B256, bid: &Bid) -> [FactKey; 4] {
    [
        FactKey::Balance(bid.buyer, bid.token),
        FactKey::Counter(bid.buyer),
        FactKey::Salt(bid.buyer, bid.salt),
        FactKey::Taken(hash),
    ]
}

/// What the chain must say about an offer before it counts.
#[must_use]
pub fn facts_of_offer(offer: &Offer) -> [FactKey; 5] {
    [
        FactKey::Balance(offer.provider, offer.token),
        FactKey::Balance(offer.provider, Address::ZERO),
        FactKey::Counter(offer.provider),
        FactKey::Salt(offer.provider, offer.salt),
        FactKey::Slots(offer.provider, offer.capacityId),
    ]
}

/// What changes the book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A bid whose signature was judged valid.
    Bid(SignedBid),
    /// An offer whose signature was judged valid.
    Offer(SignedOffer),
    /// A new block: its time, Unix seconds. Time never runs backwards here.
    Block {
        /// Unix seconds.
        timestamp: u64,
    },
    /// Something the chain says, as of a block.
    Fact {
        /// Number of the block after which it holds.
        block: u64,
        /// What holds.
        fact: Fact,
    },
    /// The chain was reorganised: facts from blocks above this one are forgotten and asked for again.
    Rewind {
        /// Number of the last common block.
        block: u64,
    },
}

/// What the chain says; each is a view of the market contract or follows from its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// `balanceOf(account, token)`: free balance in base units.
    Balance {
        /// Whose.
        account: Address,
        /// Of which token; zero is the chain's coin.
        token: Address,
        /// Base units.
        free: u128,
    },
    /// `counterOf(account)`.
    Counter {
        /// Whose.
        account: Address,
        /// Its orders must carry this.
        counter: u64,
    },
    /// `orderState(account, salt)`.
    Salt {
        /// Whose.
        account: Address,
        /// Of which order.
        salt: U256,
        /// Cancelled by its bit.
        cancelled: bool,
        /// Taken whole by one deal (bids only).
        taken: bool,
        /// Taken in parts, by the tasks that [`Fact::Taken`] counts: where it counts none, by another
        /// bid of the account with this salt (bids only).
        partly: bool,
    },
    /// `tasksTaken(bidHash)`: tasks handed out in order so far.
    Taken {
        /// The bid.
        bid: B256,
        /// Tasks.
        tasks: u32,
    },
    /// `openSlots(provider, capacityId)`.
    Slots {
        /// Whose.
        provider: Address,
        /// Which pool.
        capacity_id: B256,
        /// Deals that hold a slot.
        open: u32,
    },
    /// The provider cancelled a deal of the bid (or no longer counts as barred, after a reorg).
    Barred {
        /// The bid.
        bid: B256,
        /// Who.
        provider: Address,
        /// Whether.
        barred: bool,
    },
    /// What is left of the range of a failed deal; count 0 when all of it has been opened again.
    Freed {
        /// The bid.
        bid: B256,
        /// The failed deal's id.
        deal: B256,
        /// First task that is left.
        first: u32,
        /// Tasks that are left.
        count: u32,
    },
}

/// Which fact: what a shell must read when the book asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FactKey {
    /// `balanceOf(account, token)`.
    Balance(Address, Address),
    /// `counterOf(account)`.
    Counter(Address),
    /// `orderState(account, salt)`.
    Salt(Address, U256),
    /// `tasksTaken(bid)`.
    Taken(B256),
    /// `openSlots(provider, capacityId)`.
    Slots(Address, B256),
    /// `isBarred(bid, provider)`.
    Barred(B256, Address),
    /// State of a failed deal (bid, deal).
    Freed(B256, B256),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Amount(u128),
    Counter(u64),
    Salt {
        cancelled: bool,
        taken: bool,
        partly: bool,
    },
    Count(u32),
    Flag(bool),
    Range {
        first: u32,
        count: u32,
    },
}

impl Fact {
    /// What the fact is about.
    #[must_use]
    pub fn key(&self) -> FactKey {
        match *self {
            Self::Balance { account, token, .. } => FactKey::Balance(account, token),
            Self::Counter { account, .. } => FactKey::Counter(account),
            Self::Salt { account, salt, .. } => FactKey::Salt(account, salt),
            Self::Taken { bid, .. } => FactKey::Taken(bid),
            Self::Slots {
                provider,
                capacity_id,
                ..
            } => FactKey::Slots(provider, capacity_id),
            Self::Barred { bid, provider, .. } => FactKey::Barred(bid, provider),
            Self::Freed { bid, deal, .. } => FactKey::Freed(bid, deal),
        }
    }

    fn value(&self) -> Value {
        match *self {
            Self::Balance { free, .. } => Value::Amount(free),
            Self::Counter { counter, .. } => Value::Counter(counter),
            Self::Salt {
                cancelled,
                taken,
                partly,
                ..
            } => Value::Salt {
                cancelled,
                taken,
                partly,
            },
            Self::Taken { tasks, .. } => Value::Count(tasks),
            Self::Slots { open, .. } => Value::Count(open),
            Self::Barred { barred, .. } => Value::Flag(barred),
            Self::Freed { first, count, .. } => Value::Range { first, count },
        }
    }
}

/// What a change did, and what the shell should do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The order is in the book.
    Added(B256),
    /// The order was there already.
    Known(B256),
    /// The order is not, or no longer, in the book.
    Dropped {
        /// Its id.
        hash: B256,
        /// Why.
        why: Dropped,
    },
    /// Read this from the chain and apply it; an order counts only once its facts are there.
    Read(FactKey),
}

/// Why an order is not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// Its form is wrong.
    #[error(transparent)]
    Invalid(#[from] OrderError),
    /// Its last second has passed.
    #[error("the order has expired")]
    Expired,
    /// The account has as many orders that live longer.
    #[error("the account has too many orders that live longer")]
    AccountQuota,
    /// The book is full of orders that live longer.
    #[error("the book is full of orders that live longer")]
    BookFull,
}

impl Coded for Dropped {
    fn code(&self) -> &'static Code {
        match self {
            Self::Invalid(error) => error.code(),
            Self::Expired => &codes::ORDER_EXPIRED,
            Self::AccountQuota | Self::BookFull => &codes::ORDER_QUOTA,
        }
    }
}

/// Capacity of a book; the default is the protocol's, tests use smaller ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Most bids.
    pub bids: usize,
    /// Most bids of one account.
    pub bids_per_account: usize,
    /// Most offers.
    pub offers: usize,
    /// Most offers of one account.
    pub offers_per_account: usize,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            bids: BIDS_MAX,
            bids_per_account: BIDS_PER_ACCOUNT_MAX,
            offers: OFFERS_MAX,
            offers_per_account: OFFERS_PER_ACCOUNT_MAX,
        }
    }
}

/// Place of an order among those that are kept: smaller stays.
type Rank = (Reverse<u64>, B256);

/// One side of the book: at most `total` orders and `per_account` of each account, by [`Rank`].
#[derive(Debug, Clone, PartialEq, Eq)]
struct Side<T> {
    orders: BTreeMap<B256, T>,
    ranks: BTreeSet<Rank>,
    accounts: BTreeMap<Address, BTreeSet<Rank>>,
    total: usize,
    per_account: usize,
}

/// What a side needs to know of an order.
trait Kept {
    fn account(&self) -> Address;
    fn expiry(&self) -> u64;
}

impl Kept for SignedBid {
    fn account(&self) -> Address {
        self.bid.buyer
    }
    fn expiry(&self) -> u64 {
        self.bid.expiry
    }
}

impl Kept for SignedOffer {
    fn account(&self) -> Address {
        self.offer.provider
    }
    fn expiry(&self) -> u64 {
        self.offer.expiry
    }
}

impl<T: Kept> Side<T> {
    fn new(total: usize, per_account: usize) -> Self {
        Self {
            orders: BTreeMap::new(),
            ranks: BTreeSet::new(),
            accounts: BTreeMap::new(),
            total,
            per_account,
        }
    }

    fn remove(&mut self, rank: Rank) {
        self.ranks.remove(&rank);
        if let Some(order) = self.orders.remove(&rank.1)
            && let Some(of_account) = self.accounts.get_mut(&order.account())
        {
            of_account.remove(&rank);
            if of_account.is_empty() {
                self.accounts.remove(&order.account());
            }
        }
    }

    fn insert(&mut self, hash: B256, order: T, effects: &mut Vec<Effect>) {
        let rank = (Reverse(order.expiry()), hash);
        let account = order.account();
        self.orders.insert(hash, order);
        self.ranks.insert(rank);
        let of_account = self.accounts.entry(account).or_default();
        of_account.insert(rank);
        effects.push(Effect::Added(hash));
        let excess = (of_account.len() > self.per_account)
            .then(|| of_account.last().copied())
            .flatten();
        if let Some(last) = excess {
            self.remove(last);
            effects.push(Effect::Dropped {
                hash: last.1,
                why: Dropped::AccountQuota,
            });
        }
        if self.ranks.len() > self.total
            && let Some(last) = self.ranks.last().copied()
        {
            self.remove(last);
            effects.push(Effect::Dropped {
                hash: last.1,
                why: Dropped::BookFull,
            });
        }
    }

    fn expire(&mut self, now: u64, effects: &mut Vec<Effect>) {
        while let Some(last) = self
            .ranks
            .last()
            .copied()
            .filter(|(Reverse(expiry), _)| *expiry < now)
        {
            self.remove(last);
            effects.push(Effect::Dropped {
                hash: last.1,
                why: Dropped::Expired,
            });
        }
    }
}

/// A range of tasks of a bid that can be opened now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpenRange {
    /// `None`: the tasks that no deal has had yet (`open`). Otherwise the failed deal whose range
    /// it is (`reopen`).
    pub failed_deal: Option<B256>,
    /// First task.
    pub first: u32,
    /// Tasks, at least one.
    pub count: u32,
}

/// Live orders and the chain's facts about them. See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    domain: Domain,
    collateral_floor: u128,
    now: u64,
    bids: Side<SignedBid>,
    offers: Side<SignedOffer>,
    facts: BTreeMap<FactKey, (u64, Value)>,
    /// More facts than this make the book forget those that no order needs.
    facts_max: usize,
}

impl Book {
    /// An empty book. `collateral_floor` (wei) is the market's deployment parameter.
    #[must_use]
    pub fn new(domain: Domain, collateral_floor: u128) -> Self {
        Self::with_capacity(domain, collateral_floor, Capacity::default())
    }

    /// An empty book of another capacity.
    #[must_use]
    pub fn with_capacity(domain: Domain, collateral_floor: u128, capacity: Capacity) -> Self {
        Self {
            domain,
            collateral_floor,
            now: 0,
            bids: Side::new(capacity.bids, capacity.bids_per_account),
            offers: Side::new(capacity.offers, capacity.offers_per_account),
            facts: BTreeMap::new(),
            facts_max: FACTS_MAX,
        }
    }

    /// Applies one event. Commutes with every other, up to [`FACTS_MAX`] facts and between two
    /// [`Event::Rewind`]s; the effects are what this very call did.
    pub fn apply(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Bid(signed) => self.add_bid(signed, &mut effects),
            Event::Offer(signed) => self.add_offer(signed, &mut effects),
            Event::Block { timestamp } => {
                self.now = self.now.max(timestamp);
                self.bids.expire(self.now, &mut effects);
                self.offers.expire(self.now, &mut effects);
            }
            Event::Fact { block, fact } => self.learn(block, fact),
            Event::Rewind { block } => {
                self.facts.retain(|key, (since, _)| {
                    let keep = *since <= block;
                    if !keep {
                        effects.push(Effect::Read(*key));
                    }
                    keep
                });
            }
        }
        effects
    }

    fn add_bid(&mut self, signed: SignedBid, effects: &mut Vec<Effect>) {
        let hash = self.domain.bid_hash(&signed.bid);
        let valid = order::validate_bid_form(&signed.bid, &signed.job);
        if self.admit(
            hash,
            valid,
            signed.bid.expiry,
            self.bids.orders.contains_key(&hash),
            effects,
        ) {
            let wanted = facts_of_bid(hash, &signed.bid);
            self.bids.insert(hash, signed, effects);
            self.ask(self.bids.orders.contains_key(&hash), &wanted, effects);
        }
    }

    fn add_offer(&mut self, signed: SignedOffer, effects: &mut Vec<Effect>) {
        let hash = self.domain.offer_hash(&signed.offer);
        let valid = order::validate_offer_form(&signed.offer);
        if self.admit(
            hash,
            valid,
            signed.offer.expiry,
            self.offers.orders.contains_key(&hash),
            effects,
        ) {
            let wanted = facts_of_offer(&signed.offer);
            self.offers.insert(hash, signed, effects);
            self.ask(self.offers.orders.contains_key(&hash), &wanted, effects);
        }
    }

    /// Whether an order is to be inserted; says why not otherwise.
    fn admit(
        &self,
        hash: B256,
        valid: Result<(), OrderError>,
        expiry: u64,
        known: bool,
        effects: &mut Vec<Effect>,
    ) -> bool {
        if known {
            effects.push(Effect::Known(hash));
            return false;
        }
        let why = match valid {
            Err(error) => Dropped::Invalid(error),
            Ok(()) if expiry < self.now => Dropped::Expired,
            Ok(()) => return true,
        };
        effects.push(Effect::Dropped { hash, why });
        false
    }

    /// Asks for the facts that an order needs and that are not known yet.
    fn ask(&self, kept: bool, wanted: &[FactKey], effects: &mut Vec<Effect>) {
        if kept {
            let missing = wanted.iter().filter(|key| !self.facts.contains_key(key));
            effects.extend(missing.map(|key| Effect::Read(*key)));
        }
    }

    fn learn(&mut self, block: u64, fact: Fact) {
        let key = fact.key();
        if self
            .facts
            .get(&key)
            .is_some_and(|(known, _)| *known > block)
        {
            return;
        }
        self.facts.insert(key, (block, fact.value()));
        if self.facts.len() > self.facts_max {
            self.forget_unused();
            // Facts that orders need are bounded by the orders; to go through all of them again for
            // every further one would not be.
            self.facts_max = FACTS_MAX.max(self.facts.len().saturating_mul(2));
        }
    }

    /// Forgets facts that no order here needs. Happens by itself at [`FACTS_MAX`]; an order that needs
    /// them later asks for them.
    pub fn forget_unused(&mut self) {
        let bids = self.bids.orders.values();
        let offers = self.offers.orders.values();
        let salts: BTreeSet<(Address, U256)> = bids
            .map(|signed| (signed.bid.buyer, signed.bid.salt))
            .chain(
                offers
                    .clone()
                    .map(|signed| (signed.offer.provider, signed.offer.salt)),
            )
            .collect();
        let pools: BTreeSet<(Address, B256)> = offers
            .map(|signed| (signed.offer.provider, signed.offer.capacityId))
            .collect();
        let mut facts = std::mem::take(&mut self.facts);
        let mut barred: BTreeMap<B256, usize> = BTreeMap::new();
        facts.retain(|key, _| match *key {
            FactKey::Balance(account, _) | FactKey::Counter(account) => {
                self.bids.accounts.contains_key(&account)
                    || self.offers.accounts.contains_key(&account)
            }
            FactKey::Salt(account, salt) => salts.contains(&(account, salt)),
            FactKey::Taken(bid) | FactKey::Freed(bid, _) => self.bids.orders.contains_key(&bid),
            FactKey::Barred(bid, _) => {
                let count = barred.entry(bid).or_default();
                *count += 1;
                *count <= BARRED_PER_BID_MAX && self.bids.orders.contains_key(&bid)
            }
            FactKey::Slots(provider, pool) => pools.contains(&(provider, pool)),
        });
        self.facts = facts;
    }

    /// The domain under which its orders are signed.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Time of the latest block, Unix seconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Wei that a provider locks for each deal besides the collateral.
    #[must_use]
    pub fn collateral_floor(&self) -> u128 {
        self.collateral_floor
    }

    /// A bid by its id, live or not.
    #[must_use]
    pub fn bid(&self, hash: &B256) -> Option<&SignedBid> {
        self.bids.orders.get(hash)
    }

    /// An offer by its id, live or not.
    #[must_use]
    pub fn offer(&self, hash: &B256) -> Option<&SignedOffer> {
        self.offers.orders.get(hash)
    }

    /// All bids that are kept, by id; also those that are cancelled, taken or not covered.
    pub fn bids(&self) -> impl ExactSizeIterator<Item = (&B256, &SignedBid)> {
        self.bids.orders.iter()
    }

    /// All offers that are kept, by id; also cancelled ones.
    pub fn offers(&self) -> impl ExactSizeIterator<Item = (&B256, &SignedOffer)> {
        self.offers.orders.iter()
    }

    /// Whether the chain has said this, as far as it is remembered.
    #[must_use]
    pub fn knows(&self, key: &FactKey) -> bool {
        self.facts.contains_key(key)
    }

    /// Free balance; `None` if the chain was not asked yet.
    #[must_use]
    pub fn balance(&self, account: Address, token: Address) -> Option<u128> {
        match self.facts.get(&FactKey::Balance(account, token)) {
            Some((_, Value::Amount(free))) => Some(*free),
            _ => None,
        }
    }

    /// Deals that hold a slot of a pool; 0 if the chain was not asked yet.
    #[must_use]
    pub fn slots_open(&self, provider: Address, capacity_id: B256) -> u32 {
        match self.facts.get(&FactKey::Slots(provider, capacity_id)) {
            Some((_, Value::Count(open))) => *open,
            _ => 0,
        }
    }

    /// Whether the provider cancelled a deal of the bid.
    #[must_use]
    pub fn is_barred(&self, bid: B256, provider: Address) -> bool {
        matches!(
            self.facts.get(&FactKey::Barred(bid, provider)),
            Some((_, Value::Flag(true)))
        )
    }

    /// Whether any provider is barred from the bid.
    pub(crate) fn bars_anyone(&self, bid: B256) -> bool {
        let of_bid =
            FactKey::Barred(bid, Address::ZERO)..=FactKey::Barred(bid, Address::repeat_byte(0xff));
        self.facts.range(of_bid).next().is_some()
    }

    /// Bids from which any provider is barred.
    pub(crate) fn bids_with_bars(&self) -> BTreeSet<B256> {
        let all = FactKey::Barred(B256::ZERO, Address::ZERO)
            ..=FactKey::Barred(B256::repeat_byte(0xff), Address::repeat_byte(0xff));
        self.facts
            .range(all)
            .filter_map(|(key, _)| match key {
                FactKey::Barred(bid, _) => Some(*bid),
                _ => None,
            })
            .collect()
    }

    /// Whether an order with this salt is cancelled, taken whole, taken in parts.
    fn salt(&self, account: Address, salt: U256) -> (bool, bool, bool) {
        match self.facts.get(&FactKey::Salt(account, salt)) {
            Some((
                _,
                Value::Salt {
                    cancelled,
                    taken,
                    partly,
                },
            )) => (*cancelled, *taken, *partly),
            _ => (false, false, false),
        }
    }

    fn counter(&self, account: Address) -> u64 {
        match self.facts.get(&FactKey::Counter(account)) {
            Some((_, Value::Counter(counter))) => *counter,
            _ => 0,
        }
    }

    /// The ranges of a bid that can be opened: those of failed deals by their first task, then the
    /// tasks that no deal has had. Empty if it is cancelled, expired or served.
    #[must_use]
    pub fn open_ranges(&self, hash: B256, bid: &Bid) -> Vec<OpenRange> {
        let (_, taken_whole, partly) = self.salt(bid.buyer, bid.salt);
        if !self.is_bid_valid(bid) {
            return Vec::new();
        }
        let of_bid =
            FactKey::Freed(hash, B256::ZERO)..=FactKey::Freed(hash, B256::repeat_byte(0xff));
        let mut ranges: Vec<OpenRange> = self
            .facts
            .range(of_bid)
            .filter_map(|(key, (_, value))| match (key, value) {
                (FactKey::Freed(_, deal), Value::Range { first, count }) if *count > 0 => {
                    Some(OpenRange {
                        failed_deal: Some(*deal),
                        first: *first,
                        count: *count,
                    })
                }
                _ => None,
            })
            .take(RANGES_PER_BID_MAX)
            .collect();
        ranges.sort_unstable_by_key(|range| (range.first, range.failed_deal));
        let taken = match self.facts.get(&FactKey::Taken(hash)) {
            _ if taken_whole => bid.tasks,
            // By another bid of the account with this salt.
            Some((_, Value::Count(0))) if partly => bid.tasks,
            Some((_, Value::Count(tasks))) => *tasks,
            _ => 0,
        };
        if taken < bid.tasks {
            ranges.push(OpenRange {
                failed_deal: None,
                first: taken,
                count: bid.tasks - taken,
            });
        }
        ranges
    }

    /// Whether a bid is neither cancelled nor expired. Its tasks may all be taken.
    #[must_use]
    pub fn is_bid_valid(&self, bid: &Bid) -> bool {
        let (cancelled, ..) = self.salt(bid.buyer, bid.salt);
        !cancelled && self.counter(bid.buyer) == bid.counter && bid.expiry >= self.now
    }

    /// Whether an offer is neither cancelled nor expired. Its slots may all be taken.
    #[must_use]
    pub fn is_offer_live(&self, offer: &Offer) -> bool {
        let (cancelled, ..) = self.salt(offer.provider, offer.salt);
        !cancelled && self.counter(offer.provider) == offer.counter && offer.expiry >= self.now
    }

    /// Live offers by id.
    pub fn live_offers(&self) -> impl Iterator<Item = (&B256, &SignedOffer)> {
        self.offers
            .orders
            .iter()
            .filter(|(_, signed)| self.is_offer_live(&signed.offer))
    }

    /// Live bids by id, with the ranges that can be opened.
    pub fn live_bids(&self) -> impl Iterator<Item = (&B256, &SignedBid, Vec<OpenRange>)> {
        self.bids.orders.iter().filter_map(|(hash, signed)| {
            let ranges = self.open_ranges(*hash, &signed.bid);
            (!ranges.is_empty()).then_some((hash, signed, ranges))
        })
    }

    /// Names the set of backed orders: two nodes with the same digest hold the same ones. The ids of
    /// the bids, then those of the offers, each list ascending and after its length, as words behind
    /// `keccak256("outcry.book.v1")`. What the chain says enters only by which orders it backs.
    /// Vectors: `matching.json`.
    #[must_use]
    pub fn digest(&self) -> B256 {
        let (bids, offers) = self.backed();
        let mut words = Words::new("outcry.book.v1");
        for ids in [bids, offers] {
            words.number(ids.len() as u128);
            ids.into_iter().for_each(|id| words.word(id));
        }
        words.finish()
    }

    /// Ids of the bids and of the offers that the chain backs, ascending: what a node shows to its
    /// peers. See [`Book::is_bid_backed`] and [`Book::is_offer_backed`].
    #[must_use]
    pub fn backed(&self) -> (Vec<B256>, Vec<B256>) {
        let uncovered = self.uncovered();
        let bids = self.live_bids().map(|(hash, ..)| *hash);
        let bids = bids.filter(|hash| !uncovered.contains(hash)).collect();
        let unbacked = self.unbacked();
        let offers = self.live_offers().map(|(hash, _)| *hash);
        (
            bids,
            offers.filter(|hash| !unbacked.contains(hash)).collect(),
        )
    }

    /// Whether a bid is live and covered. It need not be in the book, but its [`facts_of_bid`] must.
    #[must_use]
    pub fn is_bid_backed(&self, hash: B256, bid: &Bid) -> bool {
        !self.open_ranges(hash, bid).is_empty() && self.is_covered(hash, bid)
    }

    /// Whether an offer is live and backed: an account's live offers are as far as it can have as many
    /// deals, one for each collateral floor among its free coins besides those that hold slots of the
    /// pools that these offers name. Later expiry first, then smaller id: a renewed offer takes the
    /// place of the one before. The offer need not be in the book, but its [`facts_of_offer`] must.
    #[must_use]
    pub fn is_offer_backed(&self, hash: B256, offer: &Offer) -> bool {
        let rank = (Reverse(offer.expiry), hash);
        let others = self.live_offers_of(offer.provider);
        let others: Vec<_> = others.filter(|(other, _)| *other != rank).collect();
        let before = others.iter().filter(|(other, _)| *other < rank).count();
        let all = others.into_iter().map(|(_, other)| other).chain([offer]);
        self.is_offer_live(offer) && before < self.deals_max(offer.provider, all)
    }

    /// Live offers that are not backed.
    #[must_use]
    pub fn unbacked(&self) -> BTreeSet<B256> {
        let accounts = self.offers.accounts.keys();
        let unbacked = accounts.flat_map(|account| {
            let live: Vec<_> = self.live_offers_of(*account).collect();
            let most = self.deals_max(*account, live.iter().map(|(_, offer)| *offer));
            live.into_iter().skip(most).map(|((_, hash), _)| hash)
        });
        unbacked.collect()
    }

    /// An account's live offers; those that the book would rather keep come first.
    fn live_offers_of(&self, account: Address) -> impl Iterator<Item = (Rank, &Offer)> {
        let ranks = self.offers.accounts.get(&account).into_iter().flatten();
        ranks.filter_map(|rank| {
            let offer = &self.offers.orders.get(&rank.1)?.offer;
            self.is_offer_live(offer).then_some((*rank, offer))
        })
    }

    /// Deals that an account can have at a time with some offers of its own.
    fn deals_max<'a>(&self, account: Address, offers: impl Iterator<Item = &'a Offer>) -> usize {
        let pools: BTreeSet<B256> = offers.map(|offer| offer.capacityId).collect();
        let open = pools
            .into_iter()
            .map(|pool| self.slots_open(account, pool) as usize);
        open.fold(self.floors(account), usize::saturating_add)
    }

    /// What a live bid holds of its account's balance: what one task as a deal of its own locks at
    /// most (price cap, two tips, audit fee). The whole depends on the offers and is checked when it is
    /// matched.
    #[must_use]
    pub fn commitment(bid: &Bid) -> u128 {
        money::bid_exposure(bid.priceCap, 1, bid.tip, bid.auditFee).unwrap_or(u128::MAX)
    }

    /// Live bids that their account's balance does not cover: per account and token, bids count in
    /// the order of their salts; one whose [`Book::commitment`] exceeds what is left is passed over.
    #[must_use]
    pub fn uncovered(&self) -> BTreeSet<B256> {
        let all = self.bids.accounts.keys();
        all.flat_map(|account| self.uncovered_of(*account))
            .collect()
    }

    /// Of [`Book::uncovered`] those of one account.
    #[must_use]
    pub fn uncovered_of(&self, account: Address) -> Vec<B256> {
        let mut by_token: BTreeMap<Address, Vec<Held>> = BTreeMap::new();
        for (_, hash) in self.bids.accounts.get(&account).into_iter().flatten() {
            if let Some(signed) = self.bids.orders.get(hash)
                && !self.open_ranges(*hash, &signed.bid).is_empty()
            {
                let held = (signed.bid.salt, *hash, Self::commitment(&signed.bid));
                by_token.entry(signed.bid.token).or_default().push(held);
            }
        }
        let uncovered = by_token
            .into_iter()
            .map(|(token, bids)| beyond(self.balance(account, token).unwrap_or(0), bids));
        uncovered.flatten().collect()
    }

    /// Whether the account's balance covers this bid besides the account's live ones. The bid itself
    /// need not be in the book.
    #[must_use]
    pub fn is_covered(&self, hash: B256, bid: &Bid) -> bool {
        self.is_covered_instead(hash, bid, hash)
    }

    /// The same, if it takes the place of another bid of the account.
    pub(crate) fn is_covered_instead(&self, hash: B256, bid: &Bid, replaced: B256) -> bool {
        let others = self
            .bids
            .accounts
            .get(&bid.buyer)
            .into_iter()
            .flatten()
            .filter_map(|(_, other)| {
                let signed = self.bids.orders.get(other).filter(|signed| {
                    ![hash, replaced].contains(other)
                        && signed.bid.token == bid.token
                        && !self.open_ranges(*other, &signed.bid).is_empty()
                })?;
                Some((signed.bid.salt, *other, Self::commitment(&signed.bid)))
            });
        let bids = others
            .chain([(bid.salt, hash, Self::commitment(bid))])
            .collect();
        !beyond(self.balance(bid.buyer, bid.token).unwrap_or(0), bids).contains(&hash)
    }

    /// Collateral floors that an account's free coins hold: deals that it can open.
    #[must_use]
    pub fn floors(&self, account: Address) -> usize {
        let coins = self.balance(account, Address::ZERO).unwrap_or(0);
        coins
            .checked_div(self.collateral_floor)
            .map_or(usize::MAX, |floors| {
                usize::try_from(floors).unwrap_or(usize::MAX)
            })
    }
}

/// Salt, id and commitment of a live bid.
type Held = (U256, B256, u128);

/// Which of one account's bids its balance does not reach.
fn beyond(balance: u128, mut bids: Vec<Held>) -> Vec<B256> {
    bids.sort_unstable();
    let mut left = balance;
    bids.retain(|(_, _, commitment)| match left.checked_sub(*commitment) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    });
    bids.into_iter().map(|(_, hash, _)| hash).collect()
}
