//! Shards of gossip: which topic an order travels on, and which topics a node needs.
//!
//! A deployment has a number of shards, a power of two up to [`SHARDS_MAX`]; one unless it says
//! otherwise. An order belongs to exactly one of them, by the class of its resources and by its place:
//! the region of an offer, that of a bid that accepts a single one, or else the place that stands for
//! any region. Regions share places evenly. The classes form up to four groups, in which none serves
//! one of a later group:
//!
//! ```text
//! groups = min(shards, 4)                places = shards / groups
//! group  = the last one with GPUs, else min(floor(step / 2), groups - 1)
//! place  = 0 for any region or if there is one place, else 1 + region mod (places - 1)
//! shard  = group * places + place
//! ```
//!
//! The class of an order is here the smallest that holds its resources ([`Class::of`]), of a slot as of
//! a bid: only so does a slot that holds a bid never have the smaller class.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::class::{Class, ClassRange};
use crate::types::{Bid, Offer, Resources};
use crate::wire::Message;

/// Most shards of a deployment: as many topics keep buffers and scores in a node that takes part in all.
pub const SHARDS_MAX: u16 = 64;
/// Most groups of classes.
const GROUPS_MAX: u16 = 4;
/// Steps of classes in a group, but for the last.
const STEPS_PER_GROUP: u8 = 2;

/// Into how many shards a deployment divides its gossip. All of its nodes must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Sharding(u16);

/// A number of shards that no deployment can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no number of shards; a network has 1, 2, 4, 8, 16, 32 or 64")]
pub struct ShardingError(u16);

impl Default for Sharding {
    fn default() -> Self {
        Self::ONE
    }
}

impl TryFrom<u16> for Sharding {
    type Error = ShardingError;

    fn try_from(shards: u16) -> Result<Self, ShardingError> {
        let is_valid = shards.is_power_of_two() && shards <= SHARDS_MAX;
        is_valid
            .then_some(Self(shards))
            .ok_or(ShardingError(shards))
    }
}

impl From<Sharding> for u16 {
    fn from(sharding: Sharding) -> Self {
        sharding.0
    }
}

impl Sharding {
    /// One shard for everything.
    pub const ONE: Self = Self(1);

    /// Number of shards.
    #[must_use]
    pub fn shards(self) -> u16 {
        self.0
    }

    /// Whether everything travels on one topic.
    #[must_use]
    pub fn is_one(self) -> bool {
        self == Self::ONE
    }

    /// All shards.
    #[must_use]
    pub fn all(self) -> ShardSet {
        (0..self.0).collect()
    }

    /// The shard of an order.
    #[must_use]
    pub fn of(self, order: &Message) -> u16 {
        match order {
            Message::Bid(signed) => self.of_bid(&signed.bid),
            Message::Offer(signed) => self.of_offer(&signed.offer),
        }
    }

    /// The shard of a bid.
    #[must_use]
    pub fn of_bid(self, bid: &Bid) -> u16 {
        let is_one = bid.regions.count_ones() == 1;
        // Below 256: the one bit among 256.
        let region = is_one.then(|| bid.regions.trailing_zeros() as u8);
        self.at(self.group(Class::of(&bid.resources)), self.place(region))
    }

    /// The shard of an offer.
    #[must_use]
    pub fn of_offer(self, offer: &Offer) -> u16 {
        let group = self.group(Class::of(&offer.resources));
        self.at(group, self.place(Some(offer.region)))
    }

    /// The shards that who offers such slots in a region must take part in: that of its offers, and
    /// those of all bids that they can serve. Offers that compete for these bids may lie in others.
    #[must_use]
    pub fn served_by(self, slot: &Resources, region: u8) -> ShardSet {
        let groups = 0..=self.group(Class::of(slot));
        let places = [self.place(None), self.place(Some(region))];
        groups
            .flat_map(|group| places.map(|place| self.at(group, place)))
            .collect()
    }

    /// The shards with orders of some classes in some regions, those for any region among them. No
    /// regions stand for all.
    #[must_use]
    pub fn taking(self, classes: ClassRange, regions: &BTreeSet<u8>) -> ShardSet {
        let groups: BTreeSet<u16> = Class::all()
            .filter(|class| classes.contains(*class))
            .map(|class| self.group(class))
            .collect();
        let mut places: BTreeSet<u16> = regions
            .iter()
            .map(|region| self.place(Some(*region)))
            .collect();
        if regions.is_empty() {
            places.extend(0..self.places());
        }
        places.insert(self.place(None));
        let shards = groups
            .into_iter()
            .flat_map(|group| places.iter().map(move |place| self.at(group, *place)));
        shards.collect()
    }

    fn groups(self) -> u16 {
        self.0.min(GROUPS_MAX)
    }

    /// At least one: neither number exceeds the shards.
    fn places(self) -> u16 {
        self.0 / self.groups()
    }

    fn group(self, class: Class) -> u16 {
        let last = self.groups() - 1;
        if class.has_gpu() {
            return last;
        }
        u16::from(class.step() / STEPS_PER_GROUP).min(last)
    }

    /// The place of a region; without one, that of all orders for any.
    fn place(self, region: Option<u8>) -> u16 {
        match (self.places() - 1, region) {
            (0, _) | (_, None) => 0,
            (places, Some(region)) => 1 + u16::from(region) % places,
        }
    }

    fn at(self, group: u16, place: u16) -> u16 {
        group * self.places() + place
    }
}

/// Some of the shards of a deployment. As text, and in JSON, their numbers in runs: `0-3,8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct ShardSet(u64);

impl ShardSet {
    /// No shard.
    pub const EMPTY: Self = Self(0);

    /// The set with a shard for each bit that is set, the lowest for shard 0.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// One bit for each shard, the lowest for shard 0.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Whether a shard is among them.
    #[must_use]
    pub fn contains(self, shard: u16) -> bool {
        shard < SHARDS_MAX && self.0 & 1 << shard != 0
    }

    /// Puts a shard among them.
    pub fn insert(&mut self, shard: u16) {
        *self = Self(self.0 | Self::from_iter([shard]).0);
    }

    /// Takes a shard out of them.
    pub fn remove(&mut self, shard: u16) {
        *self = self.without(Self::from_iter([shard]));
    }

    /// Whether all of them are in `other`.
    #[must_use]
    pub fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// How many there are.
    #[must_use]
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their numbers, ascending.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        (0..SHARDS_MAX).filter(move |shard| self.contains(*shard))
    }
}

/// Numbers of shards that no deployment has are left out.
impl FromIterator<u16> for ShardSet {
    fn from_iter<I: IntoIterator<Item = u16>>(shards: I) -> Self {
        let bits = shards.into_iter().filter(|shard| *shard < SHARDS_MAX);
        Self(bits.fold(0, |bits, shard| bits | 1 << shard))
    }
}

impl fmt::Display for ShardSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shards = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = shards.next() {
            let mut last = first;
            while let Some(next) = shards.next_if_eq(&(last + 1)) {
                last = next;
            }
            write!(f, "{separator}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

/// A text that names no set of shards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no set of shards; one is written as ascending runs of numbers below 64, as 0-3,8"
)]
pub struct ShardSetError(String);

impl FromStr for ShardSet {
    type Err = ShardSetError;

    fn from_str(text: &str) -> Result<Self, ShardSetError> {
        let number = |text: &str| text.parse().ok().filter(|shard| *shard < SHARDS_MAX);
        let run = |run: &str| {
            let (first, last) = run.split_once('-').unwrap_or((run, run));
            Some(number(first)?..=number(last)?)
        };
        let runs = text.split(',').filter(|_| !text.is_empty());
        let set = runs.map(run).collect::<Option<Vec<_>>>();
        let set = set.map(|runs| runs.into_iter().flatten().collect::<Self>());
        // A set has one text.
        set.filter(|set| set.to_string() == text)
            .ok_or_else(|| ShardSetError(text.chars().take(32).collect()))
    }
}

impl Serialize for ShardSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ShardSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
