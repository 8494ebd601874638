//! Markets as bytes: every set of orders has one form, and what is not in it is refused.
//!
//! Integers are big-endian, those of 64 bits signed:
//!
//! ```text
//! "outcry market 1"
//! pools u16
//! supplies u32   each: key 32 bytes, pool u16, ask u64, quantity u64    ascending by (pool, ask, key)
//! orders u32     each: key 32 bytes, lots u32, alternatives u8          ascending by key
//!                      each: limit u64, entries u8
//!                            each: pool u16, quantity u32 (signed)      ascending by pool
//! ```
//!
//! Nothing follows. A result as bytes is what [`Clearing::encode`](crate::Clearing::encode) writes.

use alloc::vec::Vec;
use core::fmt;

use crate::market::{Alternative, Book, Entry, Key, Market, MarketError, Supply};

const HEADER: &[u8] = b"outcry market 1";

/// Why bytes are no market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BinaryError {
    /// They do not begin with the format's name and version.
    Header,
    /// They end before the market does.
    Truncated,
    /// They go on after the market.
    Rest,
    /// Orders, supplies or entries do not ascend: one comes twice, or too late.
    Order,
    /// What they say lies outside the limits.
    Market(MarketError),
}

impl fmt::Display for BinaryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("this does not begin as a market, version 1"),
            Self::Truncated => f.write_str("the market is cut off"),
            Self::Rest => f.write_str("there is something after the market"),
            Self::Order => {
                f.write_str("orders ascend by key, supplies by pool, ask and key, entries by pool")
            }
            Self::Market(error) => error.fmt(f),
        }
    }
}

impl From<MarketError> for BinaryError {
    fn from(error: MarketError) -> Self {
        Self::Market(error)
    }
}

/// Feeds a market's one form to `sink`, whatever order its orders were added in and how often.
///
/// # Errors
/// [`MarketError::KeyTwice`].
pub fn encode(market: &Market, sink: &mut dyn FnMut(&[u8])) -> Result<(), MarketError> {
    let book = Book::of(market)?;
    sink(HEADER);
    // The limits keep every number and every list within its field.
    sink(&(book.pools as u16).to_be_bytes());
    sink(&(book.supplies.len() as u32).to_be_bytes());
    for &index in &book.supplies {
        let supply = &market.supplies[index as usize];
        sink(&supply.key);
        sink(&supply.pool.to_be_bytes());
        sink(&supply.ask.to_be_bytes());
        sink(&supply.quantity.to_be_bytes());
    }
    sink(&(book.orders.len() as u32).to_be_bytes());
    for (order, &source) in book.sources.iter().enumerate() {
        let alternatives = book.orders.of(order);
        sink(&market.keys[source as usize]);
        sink(&book.orders.lots[order].to_be_bytes());
        sink(&[alternatives.len() as u8]);
        for alternative in alternatives {
            let bundle = book.orders.bundle(alternative);
            sink(&book.orders.limits[alternative].to_be_bytes());
            sink(&[bundle.len() as u8]);
            for entry in bundle {
                sink(&entry.pool.to_be_bytes());
                sink(&entry.quantity.to_be_bytes());
            }
        }
    }
    Ok(())
}

/// Reads what [`encode`] wrote. Takes memory in proportion to what is there, whatever lengths are
/// claimed. That no two supplies share a key is left to [`clear`](crate::clear).
///
/// # Errors
/// [`BinaryError`].
pub fn decode(bytes: &[u8]) -> Result<Market, BinaryError> {
    let mut input = Input(bytes.strip_prefix(HEADER).ok_or(BinaryError::Header)?);
    let mut market = Market::new(input.u16()?.into())?;
    for _ in 0..input.u32()? {
        let key = input.take()?;
        let supply = Supply {
            key,
            pool: input.u16()?,
            ask: input.i64()?,
            quantity: input.i64()?,
        };
        if let Some(last) = market.supplies.last() {
            ascending(
                &(last.pool, last.ask, last.key),
                &(supply.pool, supply.ask, supply.key),
            )?;
        }
        market.add_supply(supply)?;
    }
    let mut limits: Vec<(i64, usize)> = Vec::new();
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..input.u32()? {
        let key: Key = input.take()?;
        let lots = input.u32()?;
        limits.clear();
        entries.clear();
        for _ in 0..input.u8()? {
            let limit = input.i64()?;
            let first = entries.len();
            for _ in 0..input.u8()? {
                let entry = Entry {
                    pool: input.u16()?,
                    quantity: input.u32()? as i32,
                };
                if let Some(last) = entries[first..].last() {
                    ascending(&last.pool, &entry.pool)?;
                }
                entries.push(entry);
            }
            limits.push((limit, entries.len() - first));
        }
        if let Some(last) = market.keys.last() {
            ascending(last, &key)?;
        }
        let mut rest = entries.as_slice();
        let alternatives: Vec<Alternative<'_>> = limits
            .iter()
            .map(|&(limit, count)| {
                let (entries, after) = rest.split_at(count);
                rest = after;
                Alternative { limit, entries }
            })
            .collect();
        market.add_order(key, lots, &alternatives)?;
    }
    if input.0.is_empty() {
        Ok(market)
    } else {
        Err(BinaryError::Rest)
    }
}

fn ascending<T: Ord>(last: &T, next: &T) -> Result<(), BinaryError> {
    if last < next {
        Ok(())
    } else {
        Err(BinaryError::Order)
    }
}

/// What is still to be read.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], BinaryError> {
        let taken = self.0.get(..N).ok_or(BinaryError::Truncated)?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(taken);
        self.0 = &self.0[N..];
        Ok(bytes)
    }

    fn u8(&mut self) -> Result<u8, BinaryError> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, BinaryError> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, BinaryError> {
        self.take().map(u32::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64, BinaryError> {
        self.take().map(i64::from_be_bytes)
    }
}
