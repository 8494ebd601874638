//! Prices that anybody can recompute: what settled deals paid, per class, region and interval, and what
//! that makes a cycle and a GiB-hour worth.
//!
//! Serves whoever asks what capacity is worth. A deal counts at the moment when its price is released
//! on chain, which happens at most once; everything here follows from the logs of such deals alone, in
//! the chain's order, so that every node has the same history whenever it joined. Nothing that is
//! offered or asked enters it.
//!
//! A [`Candle`] of a set of deals is the same however the set is cut up and put together again
//! ([`Candle::merge`]): minutes merge into hours, regions and classes into the whole market.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};

use crate::class::Class;
use crate::hash::Words;
use crate::limits::{
    BPS, CANDLES_KEPT_MAX, CANDLES_SPARE, CANDLES_SPARE_S, CYCLES_PER_UNIT_PRICE, HOURS_KEPT_S,
    MINUTES_KEPT_S, PRICED_SPEED_MAX,
};
use crate::types::Resources;

/// Lengths of the intervals that can be asked for, seconds: 1, 5 and 15 minutes, 1 and 4 hours, a day.
/// An interval begins at a multiple of its length in Unix time.
pub const INTERVALS_S: [u32; 6] = [60, 300, 900, 3_600, 14_400, 86_400];

/// A deal whose price was released, as the chain tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Number of the block that released it.
    pub block: u64,
    /// Position of the log in that block.
    pub log_index: u64,
    /// Unix seconds of that block.
    pub at: u64,
    /// Hash of the terms.
    pub deal: B256,
    /// What paid.
    pub token: Address,
    /// Where the slot is.
    pub region: u8,
    /// What the deal reserved.
    pub reserved: Resources,
    /// Cycles of its claim, all tasks.
    pub cycles: u64,
    /// Base units that the buyer paid, the fee included.
    pub paid: u128,
    /// Seconds from the block of the opening to that of the claim: how long the deal held its slot.
    pub held_s: u64,
}

impl Settled {
    /// Base units per 10^18 cycles, rounded down, start fees included; `None` without cycles, beyond
    /// 128 bits, or for more cycles than [`PRICED_SPEED_MAX`] allows for the time that the deal held its
    /// slot (a second at least). That is 10^-9 base units per 10^9 cycles.
    #[must_use]
    pub fn price(&self) -> Option<u128> {
        let cycles_max = u128::from(self.held_s.max(1)) * u128::from(PRICED_SPEED_MAX);
        if u128::from(self.cycles) > cycles_max {
            return None;
        }
        per(self.paid, CYCLES_PER_UNIT_PRICE, self.cycles.into())
    }

    /// What its price is comparable with.
    #[must_use]
    pub fn series(&self) -> Series {
        Series {
            token: self.token,
            region: self.region,
            class: Class::of(&self.reserved),
        }
    }

    /// The candle of this deal alone; `None` if it has no price, or is free: what jobs that are drawn on
    /// reserved capacity cost was agreed on in the auction.
    #[must_use]
    pub fn candle(&self) -> Option<Candle> {
        let price = self.price().filter(|_| self.paid > 0)?;
        let tick = Tick {
            block: self.block,
            log_index: self.log_index,
            price,
        };
        Some(Candle {
            open: tick,
            high: price,
            low: price,
            close: tick,
            totals: Totals {
                deals: 1,
                cycles: self.cycles.into(),
                paid: self.paid,
                held_s: self.held_s.into(),
                memory_mib_s: u128::from(self.held_s) * u128::from(self.reserved.memoryMib),
            },
        })
    }
}

/// `amount * scale / by`, rounded down; `None` for `by` zero or a result beyond 128 bits.
fn per(amount: u128, scale: u128, by: u128) -> Option<u128> {
    let scaled = U256::from(amount) * U256::from(scale);
    scaled.checked_div(U256::from(by))?.try_into().ok()
}

/// Deals whose prices are comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// What pays.
    pub token: Address,
    /// Where.
    pub region: u8,
    /// What a deal reserves.
    pub class: Class,
}

/// Which series a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// What pays.
    pub token: Address,
    /// One region; `None`: all.
    pub region: Option<u8>,
    /// One class; `None`: all.
    pub class: Option<Class>,
}

impl Filter {
    fn takes(&self, series: &Series) -> bool {
        series.token == self.token
            && self.region.is_none_or(|region| region == series.region)
            && self.class.is_none_or(|class| class == series.class)
    }
}

/// A price and where on the chain it was paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// Number of the block.
    pub block: u64,
    /// Position of the log in the block.
    pub log_index: u64,
    /// Base units per 10^18 cycles.
    pub price: u128,
}

impl Tick {
    fn place(&self) -> (u64, u64) {
        (self.block, self.log_index)
    }
}

/// Sums over deals. They stop at the largest number that they can hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Number of deals.
    pub deals: u64,
    /// Cycles.
    pub cycles: u128,
    /// Base units.
    pub paid: u128,
    /// Seconds for which slots were held.
    pub held_s: u128,
    /// MiB of memory reserved times the seconds for which they were held.
    pub memory_mib_s: u128,
}

impl Totals {
    /// Adds those of other deals. Saturating sums of what is not negative commute.
    pub fn add(&mut self, other: &Self) {
        self.deals = self.deals.saturating_add(other.deals);
        self.cycles = self.cycles.saturating_add(other.cycles);
        self.paid = self.paid.saturating_add(other.paid);
        self.held_s = self.held_s.saturating_add(other.held_s);
        self.memory_mib_s = self.memory_mib_s.saturating_add(other.memory_mib_s);
    }

    /// Base units per 10^18 cycles, weighted by volume, rounded down: all that was paid over all
    /// cycles. `None` without cycles, or beyond 128 bits.
    #[must_use]
    pub fn cycle_price(&self) -> Option<u128> {
        per(self.paid, CYCLES_PER_UNIT_PRICE, self.cycles)
    }

    /// Units of 10^-9 base units per GiB of memory held for an hour, rounded down: all that was paid
    /// over all memory held. `None` if none was held, or beyond 128 bits.
    #[must_use]
    pub fn gib_hour_price(&self) -> Option<u128> {
        const MIB_S_PER_GIB_HOUR: u128 = 1_024 * 3_600;
        per(
            self.paid,
            1_000_000_000 * MIB_S_PER_GIB_HOUR,
            self.memory_mib_s,
        )
    }
}

/// Prices and volume of the deals of an interval; there is at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candle {
    /// The first deal's price, in the order of (block, log index).
    pub open: Tick,
    /// The highest price.
    pub high: u128,
    /// The lowest price.
    pub low: u128,
    /// The last deal's price.
    pub close: Tick,
    /// Volume.
    pub totals: Totals,
}

impl Candle {
    /// Adds the deals of another candle. Commutative and associative; no deal may be in both.
    pub fn merge(&mut self, other: &Self) {
        if other.open.place() < self.open.place() {
            self.open = other.open;
        }
        if other.close.place() > self.close.place() {
            self.close = other.close;
        }
        self.high = self.high.max(other.high);
        self.low = self.low.min(other.low);
        self.totals.add(&other.totals);
    }
}

/// Length of the intervals that are kept; all others are merged from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl Resolution {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Minute, Self::Hour];

    /// Seconds.
    #[must_use]
    pub fn seconds(self) -> u64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
        }
    }

    /// The resolution of a number of seconds, if it is one.
    #[must_use]
    pub fn of_seconds(seconds: u64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|resolution| resolution.seconds() == seconds)
    }

    /// Seconds for which they are kept.
    #[must_use]
    pub fn kept_s(self) -> u64 {
        match self {
            Self::Minute => MINUTES_KEPT_S,
            Self::Hour => HOURS_KEPT_S,
        }
    }
}

/// Names a kept candle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Length of its interval.
    pub resolution: Resolution,
    /// Unix seconds of its beginning, a multiple of the length.
    pub start: u64,
    /// Which deals.
    pub series: Series,
}

/// How far the chain's deals were taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Deals since the market was deployed.
    pub deals: u64,
    /// Names all of them, in order: the hash over the last deal and the digest before it.
    pub digest: B256,
    /// Block and log index of the last.
    pub last: (u64, u64),
}

impl Default for Position {
    /// Before the first deal.
    fn default() -> Self {
        Self {
            deals: 0,
            digest: B256::ZERO,
            last: (0, 0),
        }
    }
}

/// Why a question about prices has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// No such interval.
    #[error(
        "an interval of {0} seconds is not kept; ask for 60, 300, 900, 3600, 14400 or 86400 (1m, 5m, 15m, 1h, \
         4h, 1d)"
    )]
    Interval(u32),
    /// Nothing lies between the two.
    #[error(
        "the history is to begin at {since} and end at {until}, Unix seconds; the end must lie behind the beginning"
    )]
    Range {
        /// Beginning.
        since: u64,
        /// End.
        until: u64,
    },
}

/// A part of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Unix seconds from which it is complete: the beginning that was asked for, at the interval's
    /// boundary before it, or the beginning of what is kept.
    pub since: u64,
    /// Unix seconds of its end, exclusive: the interval's boundary at or after what was asked for.
    pub until: u64,
    /// Candles by their beginning, ascending. Intervals without deals are left out.
    pub candles: Vec<(u64, Candle)>,
    /// Where the next page begins, if there is one.
    pub next: Option<u64>,
}

/// What deals paid in whole hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Unix seconds of the beginning.
    pub since: u64,
    /// Unix seconds of the end, exclusive; not after now.
    pub until: u64,
    /// Sums by series, ascending.
    pub series: Vec<(Series, Totals)>,
}

impl Value {
    /// Sums over the series that are wanted.
    #[must_use]
    pub fn totals(&self, wanted: impl Fn(&Series) -> bool) -> Totals {
        let mut totals = Totals::default();
        for (_, of_series) in self.series.iter().filter(|(series, _)| wanted(series)) {
            totals.add(of_series);
        }
        totals
    }
}

/// The price history of a market. See the module's documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    position: Position,
    minutes: BTreeMap<(u64, Series), Candle>,
    hours: BTreeMap<(u64, Series), Candle>,
}

impl History {
    /// One that was kept elsewhere.
    pub fn restore(position: Position, candles: impl IntoIterator<Item = (Key, Candle)>) -> Self {
        let mut history = Self {
            position,
            ..Self::default()
        };
        for (key, candle) in candles {
            history
                .kept_mut(key.resolution)
                .insert((key.start, key.series), candle);
        }
        history
    }

    fn kept(&self, resolution: Resolution) -> &BTreeMap<(u64, Series), Candle> {
        match resolution {
            Resolution::Minute => &self.minutes,
            Resolution::Hour => &self.hours,
        }
    }

    fn kept_mut(&mut self, resolution: Resolution) -> &mut BTreeMap<(u64, Series), Candle> {
        match resolution {
            Resolution::Minute => &mut self.minutes,
            Resolution::Hour => &mut self.hours,
        }
    }

    /// How far the chain's deals were taken in, and the digest over all of them.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Takes the next deal of the chain in and says which candles that changed. A deal that does not
    /// lie behind the last one was taken in before and changes nothing: `None`.
    pub fn record(&mut self, settled: &Settled) -> Option<Vec<(Key, Candle)>> {
        let place = (settled.block, settled.log_index);
        if self.position.deals > 0 && place <= self.position.last {
            return None;
        }
        self.position = Position {
            deals: self.position.deals.saturating_add(1),
            digest: digest(self.position.digest, settled),
            last: place,
        };
        let Some(candle) = settled.candle() else {
            return Some(Vec::new());
        };
        let series = settled.series();
        let changed = Resolution::ALL.map(|resolution| {
            let start = settled.at - settled.at % resolution.seconds();
            let kept = self
                .kept_mut(resolution)
                .entry((start, series))
                .and_modify(|kept| kept.merge(&candle))
                .or_insert(candle);
            let key = Key {
                resolution,
                start,
                series,
            };
            (key, *kept)
        });
        Some(changed.into())
    }

    /// Forgets what no answer shows any more at `now`, the time of the newest block, and says what. Some
    /// more is held than shown, so that what was forgotten is not missed when a fork takes blocks back.
    pub fn forget(&mut self, now: u64) -> Vec<Key> {
        let mut forgotten = Vec::new();
        for resolution in Resolution::ALL {
            let ends_before = now.saturating_sub(resolution.kept_s() + CANDLES_SPARE_S);
            let kept = self.kept_mut(resolution);
            while let Some(oldest) = kept.keys().next().copied() {
                let (start, series) = oldest;
                let is_old = start.saturating_add(resolution.seconds()) <= ends_before;
                if !is_old && kept.len() <= CANDLES_KEPT_MAX + CANDLES_SPARE {
                    break;
                }
                kept.remove(&oldest);
                forgotten.push(Key {
                    resolution,
                    start,
                    series,
                });
            }
        }
        forgotten
    }

    /// Unix seconds from which a resolution is shown at `now`: a function of deals and time alone,
    /// whatever more is still held.
    fn shown_from(&self, resolution: Resolution, now: u64) -> u64 {
        let kept = self.kept(resolution);
        let newest_beyond = kept
            .len()
            .checked_sub(CANDLES_KEPT_MAX + 1)
            .and_then(|index| kept.keys().nth(index));
        let by_count =
            newest_beyond.map_or(0, |(start, _)| start.saturating_add(resolution.seconds()));
        by_count.max(now.saturating_sub(resolution.kept_s()))
    }

    /// Moves a beginning down to its interval's boundary and an end up, and both into what is shown
    /// whole: an interval of which a part is missing would be wrong.
    fn bounds(
        &self,
        resolution: Resolution,
        interval: u64,
        (since, until): (u64, u64),
        now: u64,
    ) -> (u64, u64) {
        let up = |time: u64| time.saturating_add(interval - 1) / interval * interval;
        let until = up(until.min(now.saturating_add(1)));
        let shown = up(self.shown_from(resolution, now));
        let since = since - since % interval;
        (since.max(shown).min(until), until)
    }

    /// At most `limit` candles, one for each interval of `interval_s` seconds in which deals were paid.
    /// Times are Unix seconds; `now` is that of the newest block. The beginning moves down to its
    /// interval's boundary and the end up; what is kept no longer is left out, which the page says.
    ///
    /// # Errors
    /// [`HistoryError`], if there are no such intervals or the end lies before the beginning.
    pub fn page(
        &self,
        filter: &Filter,
        interval_s: u32,
        (since, until): (u64, u64),
        limit: usize,
        now: u64,
    ) -> Result<Page, HistoryError> {
        if !INTERVALS_S.contains(&interval_s) {
            return Err(HistoryError::Interval(interval_s));
        }
        if until <= since {
            return Err(HistoryError::Range { since, until });
        }
        let interval = u64::from(interval_s);
        let resolution = match interval {
            0..3_600 => Resolution::Minute,
            _ => Resolution::Hour,
        };
        let (since, until) = self.bounds(resolution, interval, (since, until), now);
        let mut candles: Vec<(u64, Candle)> = Vec::new();
        let mut next = None;
        for ((start, _), candle) in self.between(resolution, filter, since, until) {
            let start = start - start % interval;
            if let Some((_, merged)) = candles.last_mut().filter(|(last, _)| *last == start) {
                merged.merge(candle);
            } else if candles.len() < limit {
                candles.push((start, *candle));
            } else {
                next = Some(start);
                break;
            }
        }
        Ok(Page {
            since,
            until,
            candles,
            next,
        })
    }

    /// Sums over the hours that overlap `since` to `until`, Unix seconds; `now` is the time of the
    /// newest block.
    ///
    /// # Errors
    /// [`HistoryError::Range`] if the end does not lie behind the beginning.
    pub fn value(
        &self,
        filter: &Filter,
        (since, until): (u64, u64),
        now: u64,
    ) -> Result<Value, HistoryError> {
        if until <= since {
            return Err(HistoryError::Range { since, until });
        }
        let hour = Resolution::Hour;
        let (since, until) = self.bounds(hour, hour.seconds(), (since, until), now);
        let mut series: BTreeMap<Series, Totals> = BTreeMap::new();
        for ((_, of), candle) in self.between(hour, filter, since, until) {
            series.entry(*of).or_default().add(&candle.totals);
        }
        Ok(Value {
            since,
            until: until.min(now).max(since),
            series: series.into_iter().collect(),
        })
    }

    fn between(
        &self,
        resolution: Resolution,
        filter: &Filter,
        since: u64,
        until: u64,
    ) -> impl Iterator<Item = (&(u64, Series), &Candle)> {
        // The least of all series, so that a range of times is a range of keys.
        let from = |start| {
            let least = Series {
                token: Address::ZERO,
                region: 0,
                class: Class::SMALLEST,
            };
            (start, least)
        };
        self.kept(resolution)
            .range(from(since)..from(until))
            .filter(move |((_, series), _)| filter.takes(series))
    }
}

/// What a machine would have earned, base units, had all its slots run deals all the time:
/// `floor(speed * slots * seconds * price / 10^18)`, `price` in base units per 10^18 cycles, `speed` in
/// cycles per second and slot. At most what 128 bits hold.
#[must_use]
pub fn earned(price: u128, speed: u64, slots: u32, seconds: u64) -> u128 {
    // Cycles have 64 + 32 + 64 bits; where a product does not fit 256, its quotient does not fit 128.
    let cycles = U256::from(speed) * U256::from(slots) * U256::from(seconds);
    let earned = cycles
        .saturating_mul(U256::from(price))
        .checked_div(U256::from(CYCLES_PER_UNIT_PRICE));
    earned
        .and_then(|earned| earned.try_into().ok())
        .unwrap_or(u128::MAX)
}

/// Share of the time of `slots` over so many seconds for which deals held slots, basis points, rounded
/// down and at most all of it; `None` without slots or time.
#[must_use]
pub fn utilisation_bps(held_s: u128, slots: u64, seconds: u64) -> Option<u32> {
    let offered = u128::from(slots) * u128::from(seconds);
    let share = U256::from(held_s) * U256::from(BPS);
    let share = share.checked_div(U256::from(offered))?;
    Some(u32::try_from(share).unwrap_or(BPS).min(BPS))
}

/// `floor(amount * bps / 10^4)`, for at most all of it.
#[must_use]
pub fn share(amount: u128, bps: u32) -> u128 {
    per(amount, bps.min(BPS).into(), BPS.into()).unwrap_or(amount)
}

fn digest(before: B256, settled: &Settled) -> B256 {
    let mut words = Words::new("outcry.history.v1");
    words.word(before);
    words.word(settled.deal);
    for number in [settled.block, settled.log_index, settled.at] {
        words.number(number.into());
    }
    words.word(settled.token.into_word());
    words.number(settled.region.into());
    words.number(settled.series().class.id().into());
    words.number(settled.reserved.memoryMib.into());
    words.number(settled.cycles.into());
    words.number(settled.paid);
    words.number(settled.held_s.into());
    words.finish()
}
