//! Markets as text, one file a market; `#` starts a comment.
//!
//! ```text
//! R pools                      number of resource pools, first
//! S pool ask quantity id       divisible supply
//! O id lots n                  an order with n exclusive alternatives on the next n lines
//! A limit m pool:quantity ...  the most that a lot pays, and its m entries
//! ```

use alloc::vec::Vec;
use core::fmt;
use core::str::{FromStr, SplitAsciiWhitespace};

use crate::limits::{ALTERNATIVES_MAX, ENTRIES_MAX};
use crate::market::{Alternative, Entry, Key, Market, MarketError, Supply};

/// A market with the ids that its file gives.
#[derive(Clone, Debug)]
pub struct File {
    /// What is cleared.
    pub market: Market,
    /// Id of each order, in the order of the market.
    pub orders: Vec<u64>,
    /// Id of each supply, in the order of the market.
    pub supplies: Vec<u64>,
}

/// What an id names; the two have ids of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An order.
    Order,
    /// A supply.
    Supply,
}

/// Why a file can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: Reason,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It does not begin with R, S, O or A.
    Kind,
    /// A field is missing or is no integer of its range.
    Field(&'static str),
    /// There are more fields than the line's kind has.
    Rest,
    /// The number of pools is not the first line, or stands there twice.
    Pools,
    /// An alternative without an order, or an order with fewer alternatives than it says.
    Alternatives,
    /// What the line says lies outside the limits.
    Market(MarketError),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match self.reason {
            Reason::Kind => f.write_str("a line begins with R, S, O or A"),
            Reason::Field(name) => write!(f, "{name} is missing or is not such a number"),
            Reason::Rest => f.write_str("there are more fields than such a line has"),
            Reason::Pools => f.write_str("the number of pools stands on the first line, once"),
            Reason::Alternatives => {
                f.write_str("the lines after an order are its alternatives, as many as it says")
            }
            Reason::Market(error) => error.fmt(f),
        }
    }
}

/// An order whose alternatives are being read.
struct Open {
    id: u64,
    lots: u32,
    missing: usize,
    alternatives: Vec<(i64, Vec<Entry>)>,
}

/// Reads a market. `key` hashes an id.
///
/// # Errors
/// The first line that can't be read, with the reason.
pub fn parse(text: &str, key: &dyn Fn(Kind, u64) -> Key) -> Result<File, FileError> {
    let mut file: Option<File> = None;
    let mut open: Option<Open> = None;
    let mut last = 1;
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("");
        let mut fields = line.split_ascii_whitespace();
        let kind = match fields.next() {
            Some(kind) => kind,
            None => continue,
        };
        last = index + 1;
        read(kind, &mut fields, &mut file, &mut open, key)
            .and_then(|()| match fields.next() {
                Some(_) => Err(Reason::Rest),
                None => Ok(()),
            })
            .map_err(|reason| FileError { line: last, reason })?;
    }
    let failed = |reason| FileError { line: last, reason };
    if open.is_some() {
        return Err(failed(Reason::Alternatives));
    }
    file.ok_or_else(|| failed(Reason::Pools))
}

fn read(
    kind: &str,
    fields: &mut SplitAsciiWhitespace<'_>,
    file: &mut Option<File>,
    open: &mut Option<Open>,
    key: &dyn Fn(Kind, u64) -> Key,
) -> Result<(), Reason> {
    if open.is_some() && kind != "A" {
        return Err(Reason::Alternatives);
    }
    if kind == "R" {
        if file.is_some() {
            return Err(Reason::Pools);
        }
        *file = Some(File {
            market: Market::new(number(fields.next(), "the number of pools")?)
                .map_err(Reason::Market)?,
            orders: Vec::new(),
            supplies: Vec::new(),
        });
        return Ok(());
    }
    if !["S", "O", "A"].contains(&kind) {
        return Err(Reason::Kind);
    }
    let file = file.as_mut().ok_or(Reason::Pools)?;
    match kind {
        "S" => {
            let pool = number(fields.next(), "the pool")?;
            let ask = number(fields.next(), "the ask")?;
            let quantity = number(fields.next(), "the quantity")?;
            let id = number(fields.next(), "the id")?;
            let supply = Supply {
                key: key(Kind::Supply, id),
                pool,
                ask,
                quantity,
            };
            file.market.add_supply(supply).map_err(Reason::Market)?;
            file.supplies.push(id);
        }
        "O" => {
            let id = number(fields.next(), "the id")?;
            let lots = number(fields.next(), "the number of lots")?;
            let missing = number(fields.next(), "the number of alternatives")?;
            if !(1..=ALTERNATIVES_MAX).contains(&missing) {
                return Err(Reason::Market(MarketError::Alternatives));
            }
            *open = Some(Open {
                id,
                lots,
                missing,
                alternatives: Vec::new(),
            });
        }
        _ => {
            let mut order = open.take().ok_or(Reason::Alternatives)?;
            let limit = number(fields.next(), "the limit")?;
            let count: usize = number(fields.next(), "the number of entries")?;
            if !(1..=ENTRIES_MAX).contains(&count) {
                return Err(Reason::Market(MarketError::Entries));
            }
            let mut entries = Vec::with_capacity(count);
            for _ in 0..count {
                let (pool, quantity) = fields
                    .next()
                    .and_then(|entry| entry.split_once(':'))
                    .ok_or(Reason::Field("an entry pool:quantity"))?;
                entries.push(Entry {
                    pool: number(Some(pool), "an entry's pool")?,
                    quantity: number(Some(quantity), "an entry's quantity")?,
                });
            }
            order.alternatives.push((limit, entries));
            order.missing -= 1;
            if order.missing > 0 {
                *open = Some(order);
                return Ok(());
            }
            let alternatives: Vec<Alternative<'_>> = order
                .alternatives
                .iter()
                .map(|(limit, entries)| Alternative {
                    limit: *limit,
                    entries,
                })
                .collect();
            file.market
                .add_order(key(Kind::Order, order.id), order.lots, &alternatives)
                .map_err(Reason::Market)?;
            file.orders.push(order.id);
        }
    }
    Ok(())
}

fn number<T: FromStr>(field: Option<&str>, name: &'static str) -> Result<T, Reason> {
    field
        .and_then(|field| field.parse().ok())
        .ok_or(Reason::Field(name))
}
