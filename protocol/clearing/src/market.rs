//! What is cleared: pools, divisible supply, orders; and the canonical form of a set of them.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

use crate::curve::Curve;
use crate::limits::{
    ALTERNATIVES_MAX, ENTRIES_MAX, LIMIT_MAX, LOTS_MAX, ORDERS_MAX, POOLS_MAX, PRICE_MAX,
    QUANTITY_MAX, SUPPLIES_MAX, SUPPLY_MAX,
};

/// What sorts orders and breaks ties: a hash of the order's id and the auction's beacon, which the
/// caller takes, so that nobody can choose a favourable place.
pub type Key = [u8; 32];

/// Units of one pool in one lot: bought if positive, sold if negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Index of the pool.
    pub pool: u16,
    /// Units.
    pub quantity: i32,
}

/// One of the bundles of which a lot gets at most one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alternative<'a> {
    /// The most that a lot pays; negative: the least that it wants to be paid.
    pub limit: i64,
    /// Units of each pool, in any order, no pool twice.
    pub entries: &'a [Entry],
}

/// Divisible supply of one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Sort key.
    pub key: Key,
    /// Index of the pool.
    pub pool: u16,
    /// The least that a unit is sold for.
    pub ask: i64,
    /// Units.
    pub quantity: i64,
}

/// Why an order, a supply or a market is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MarketError {
    /// More than [`POOLS_MAX`] pools.
    Pools,
    /// More than [`ORDERS_MAX`] orders or [`SUPPLIES_MAX`] steps of supply.
    Full,
    /// No lot, or more than [`LOTS_MAX`].
    Lots,
    /// No alternative, or more than [`ALTERNATIVES_MAX`].
    Alternatives,
    /// No entry, or more than [`ENTRIES_MAX`].
    Entries,
    /// A pool that the market does not have.
    UnknownPool,
    /// An alternative names a pool twice.
    PoolTwice,
    /// A quantity of zero or beyond [`QUANTITY_MAX`] ([`SUPPLY_MAX`] for supply).
    Quantity,
    /// A limit beyond [`LIMIT_MAX`].
    Limit,
    /// A negative ask, or one above [`PRICE_MAX`].
    Ask,
    /// Two different orders, or two different supplies, have the same key.
    KeyTwice,
}

impl fmt::Display for MarketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pools => write!(f, "more than {POOLS_MAX} pools"),
            Self::Full => write!(f, "more than {ORDERS_MAX} orders or {SUPPLIES_MAX} supplies"),
            Self::Lots => write!(f, "an order has 1 to {LOTS_MAX} lots"),
            Self::Alternatives => write!(f, "an order has 1 to {ALTERNATIVES_MAX} alternatives"),
            Self::Entries => write!(f, "an alternative names 1 to {ENTRIES_MAX} pools"),
            Self::UnknownPool => f.write_str("the market has no such pool"),
            Self::PoolTwice => f.write_str("an alternative names a pool twice"),
            Self::Quantity => write!(
                f,
                "a quantity is not zero, at most {QUANTITY_MAX} either way in a lot, 1 to {SUPPLY_MAX} of a supply"
            ),
            Self::Limit => write!(f, "a limit is at most {LIMIT_MAX} either way"),
            Self::Ask => write!(f, "an ask is 0 to {PRICE_MAX}"),
            Self::KeyTwice => f.write_str("two different orders have the same key"),
        }
    }
}

/// Orders with their alternatives and entries, each kind in one array.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders {
    pub(crate) lots: Vec<u32>,
    /// Of order i: `alternatives[i]..alternatives[i + 1]`.
    pub(crate) alternatives: Vec<u32>,
    pub(crate) limits: Vec<i64>,
    /// Of alternative a: `bundles[a]..bundles[a + 1]`.
    pub(crate) bundles: Vec<u32>,
    pub(crate) entries: Vec<Entry>,
}

impl Orders {
    pub(crate) fn new() -> Self {
        Self {
            alternatives: [0].into(),
            bundles: [0].into(),
            ..Self::default()
        }
    }

    pub(crate) fn with_room_of(other: &Self) -> Self {
        let mut orders = Self {
            lots: Vec::with_capacity(other.lots.len()),
            alternatives: Vec::with_capacity(other.alternatives.len()),
            limits: Vec::with_capacity(other.limits.len()),
            bundles: Vec::with_capacity(other.bundles.len()),
            entries: Vec::with_capacity(other.entries.len()),
        };
        orders.alternatives.push(0);
        orders.bundles.push(0);
        orders
    }

    pub(crate) fn len(&self) -> usize {
        self.lots.len()
    }

    /// Alternatives of an order.
    pub(crate) fn of(&self, order: usize) -> core::ops::Range<usize> {
        self.alternatives[order] as usize..self.alternatives[order + 1] as usize
    }

    pub(crate) fn bundle(&self, alternative: usize) -> &[Entry] {
        &self.entries[self.bundles[alternative] as usize..self.bundles[alternative + 1] as usize]
    }

    /// Limit less cost at these prices, of a lot.
    pub(crate) fn surplus(&self, alternative: usize, prices: &[i64]) -> i64 {
        let mut surplus = self.limits[alternative];
        for entry in self.bundle(alternative) {
            surplus -= i64::from(entry.quantity) * prices[entry.pool as usize];
        }
        surplus
    }

    /// The alternative of most surplus, if that is above zero; the first of equals.
    pub(crate) fn best(&self, order: usize, prices: &[i64]) -> Option<(usize, i64)> {
        let mut best = None;
        let mut most = 0;
        for alternative in self.of(order) {
            let surplus = self.surplus(alternative, prices);
            if surplus > most {
                most = surplus;
                best = Some((alternative, surplus));
            }
        }
        best
    }

    pub(crate) fn push_alternative(&mut self, limit: i64, entries: &[Entry]) {
        self.limits.push(limit);
        self.entries.extend_from_slice(entries);
        self.bundles.push(self.entries.len() as u32);
    }

    /// Ends the order whose alternatives were pushed.
    pub(crate) fn close(&mut self, lots: u32) {
        self.lots.push(lots);
        self.alternatives.push(self.limits.len() as u32);
    }

    fn same(&self, a: usize, b: usize) -> bool {
        let (ours, theirs) = (self.of(a), self.of(b));
        self.lots[a] == self.lots[b]
            && ours.len() == theirs.len()
            && ours
                .zip(theirs)
                .all(|(x, y)| self.limits[x] == self.limits[y] && self.bundle(x) == self.bundle(y))
    }
}

/// A set of orders and supplies within the [limits](crate::limits).
#[derive(Clone, Debug)]
pub struct Market {
    pub(crate) pools: usize,
    pub(crate) supplies: Vec<Supply>,
    pub(crate) keys: Vec<Key>,
    pub(crate) orders: Orders,
}

impl Market {
    /// A market of `pools` pools without orders.
    ///
    /// # Errors
    /// [`MarketError::Pools`].
    pub fn new(pools: usize) -> Result<Self, MarketError> {
        if pools > POOLS_MAX {
            return Err(MarketError::Pools);
        }
        Ok(Self {
            pools,
            supplies: Vec::new(),
            keys: Vec::new(),
            orders: Orders::new(),
        })
    }

    /// Adds divisible supply.
    ///
    /// # Errors
    /// What lies outside the limits; the market is as before.
    pub fn add_supply(&mut self, supply: Supply) -> Result<(), MarketError> {
        if self.supplies.len() == SUPPLIES_MAX {
            return Err(MarketError::Full);
        }
        if supply.pool as usize >= self.pools {
            return Err(MarketError::UnknownPool);
        }
        if !(0..=PRICE_MAX).contains(&supply.ask) {
            return Err(MarketError::Ask);
        }
        if !(1..=SUPPLY_MAX).contains(&supply.quantity) {
            return Err(MarketError::Quantity);
        }
        self.supplies.push(supply);
        Ok(())
    }

    /// Adds an order for `lots` identical lots, each of which gets one of the alternatives or none.
    ///
    /// # Errors
    /// What lies outside the limits; the market is as before.
    pub fn add_order(
        &mut self,
        key: Key,
        lots: u32,
        alternatives: &[Alternative<'_>],
    ) -> Result<(), MarketError> {
        if self.orders.len() == ORDERS_MAX {
            return Err(MarketError::Full);
        }
        if !(1..=LOTS_MAX).contains(&lots) {
            return Err(MarketError::Lots);
        }
        if !(1..=ALTERNATIVES_MAX).contains(&alternatives.len()) {
            return Err(MarketError::Alternatives);
        }
        for alternative in alternatives {
            if !(-LIMIT_MAX..=LIMIT_MAX).contains(&alternative.limit) {
                return Err(MarketError::Limit);
            }
            if !(1..=ENTRIES_MAX).contains(&alternative.entries.len()) {
                return Err(MarketError::Entries);
            }
            for (place, entry) in alternative.entries.iter().enumerate() {
                if entry.pool as usize >= self.pools {
                    return Err(MarketError::UnknownPool);
                }
                if entry.quantity == 0 || !(-QUANTITY_MAX..=QUANTITY_MAX).contains(&entry.quantity)
                {
                    return Err(MarketError::Quantity);
                }
                if alternative.entries[..place]
                    .iter()
                    .any(|e| e.pool == entry.pool)
                {
                    return Err(MarketError::PoolTwice);
                }
            }
        }
        for alternative in alternatives {
            let from = self.orders.entries.len();
            self.orders
                .push_alternative(alternative.limit, alternative.entries);
            self.orders.entries[from..].sort_unstable_by_key(|entry| entry.pool);
        }
        self.orders.close(lots);
        self.keys.push(key);
        Ok(())
    }

    /// Number of pools.
    #[must_use]
    pub fn pools(&self) -> usize {
        self.pools
    }

    /// Number of orders, duplicates included.
    #[must_use]
    pub fn orders(&self) -> usize {
        self.orders.len()
    }

    /// The supplies in the order in which they were added.
    #[must_use]
    pub fn supplies(&self) -> &[Supply] {
        &self.supplies
    }

    /// Key and number of lots of the order that was added as number `order`.
    #[must_use]
    pub fn order(&self, order: usize) -> Option<(Key, u32)> {
        Some((*self.keys.get(order)?, *self.orders.lots.get(order)?))
    }

    /// The alternatives of that order, entries by pool.
    pub fn alternatives(&self, order: usize) -> impl Iterator<Item = Alternative<'_>> + '_ {
        let range = if order < self.orders.len() {
            self.orders.of(order)
        } else {
            0..0
        };
        range.map(move |a| Alternative {
            limit: self.orders.limits[a],
            entries: self.orders.bundle(a),
        })
    }
}

/// The canonical form: each order once, in the order of keys; each pool's supply cheapest first.
pub(crate) struct Book {
    pub(crate) pools: usize,
    pub(crate) orders: Orders,
    /// Where each order stands in the market.
    pub(crate) sources: Vec<u32>,
    pub(crate) curves: Vec<Curve>,
    /// Where the supplies stand in the market: by pool, ask, key.
    pub(crate) supplies: Vec<u32>,
}

impl Book {
    pub(crate) fn of(market: &Market) -> Result<Self, MarketError> {
        // The first eight bytes decide almost always.
        let mut sorted: Vec<(u64, u32)> = (0..market.keys.len() as u32)
            .map(|i| (head(&market.keys[i as usize]), i))
            .collect();
        sorted.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0)
                .then_with(|| market.keys[a.1 as usize].cmp(&market.keys[b.1 as usize]))
                .then(a.1.cmp(&b.1))
        });
        let mut orders = Orders::with_room_of(&market.orders);
        let mut sources: Vec<u32> = Vec::with_capacity(sorted.len());
        for (_, source) in sorted {
            let order = source as usize;
            if let Some(&last) = sources.last() {
                if market.keys[last as usize] == market.keys[order] {
                    if market.orders.same(last as usize, order) {
                        continue;
                    }
                    return Err(MarketError::KeyTwice);
                }
            }
            for alternative in market.orders.of(order) {
                orders.push_alternative(
                    market.orders.limits[alternative],
                    market.orders.bundle(alternative),
                );
            }
            orders.close(market.orders.lots[order]);
            sources.push(source);
        }
        let (supplies, curves) = curves(market)?;
        Ok(Self {
            pools: market.pools,
            orders,
            sources,
            curves,
            supplies,
        })
    }
}

fn head(key: &Key) -> u64 {
    key[..8]
        .iter()
        .fold(0, |head, &byte| head << 8 | u64::from(byte))
}

fn curves(market: &Market) -> Result<(Vec<u32>, Vec<Curve>), MarketError> {
    let at = |i: &u32| &market.supplies[*i as usize];
    let mut sorted: Vec<u32> = (0..market.supplies.len() as u32).collect();
    sorted.sort_unstable_by(|a, b| at(a).key.cmp(&at(b).key).then(a.cmp(b)));
    let mut clash = false;
    sorted.dedup_by(|later, earlier| {
        let same_key = at(later).key == at(earlier).key;
        clash |= same_key && at(later) != at(earlier);
        same_key
    });
    if clash {
        return Err(MarketError::KeyTwice);
    }
    sorted.sort_unstable_by(|a, b| -> Ordering {
        let (a, b) = (at(a), at(b));
        (a.pool, a.ask, a.key).cmp(&(b.pool, b.ask, b.key))
    });
    let mut curves = Vec::with_capacity(market.pools);
    let mut steps = sorted.iter().map(at).peekable();
    for pool in 0..market.pools {
        let mut curve = Curve::default();
        while let Some(step) = steps.next_if(|step| step.pool as usize == pool) {
            curve.push(step.ask, step.quantity);
        }
        curves.push(curve);
    }
    Ok((sorted, curves))
}
