//! Who pays what once a result is final. Amounts are base units.

use super::calendar::Term;
use super::{AuctionOrder, Fill};
use crate::money;

/// What an order pays for all intervals together, `sum of lots * p·q` over its fills; negative: what it
/// is paid. Over all orders of a valid result it adds up to zero, since prices are linear and of every pool
/// that has a price as many units are bought as sold.
#[must_use]
pub fn payment(order: &AuctionOrder, fills: &[Fill], prices: &[u64]) -> i128 {
    traded(order, fills)
        .map(|(pool, units)| {
            i128::from(units) * i128::from(prices.get(usize::from(pool)).copied().unwrap_or(0))
        })
        .sum()
}

/// Units of each pool that an order bought (positive) and sold (negative), pool by pool for each
/// fill; a pool may come several times.
pub fn traded(order: &AuctionOrder, fills: &[Fill]) -> impl Iterator<Item = (u16, i64)> {
    fills.iter().flat_map(|fill| {
        let alternative = order.alternatives.get(usize::from(fill.alternative));
        let entries = alternative.map_or(&[][..], |alternative| &alternative.entries);
        // Below 2^22 * 2^20.
        let units = |quantity: i32| i64::from(quantity) * i64::from(fill.lots);
        entries
            .iter()
            .map(move |entry| (entry.pool, units(entry.quantity)))
    })
}

/// What an order sold: it is paid out interval by interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// The intervals in which it is earned.
    pub term: Term,
    /// Intervals that have been paid out.
    pub paid: u16,
    /// Base units still to be paid out.
    pub left: u128,
}

/// One payout of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payout {
    /// What the seller gets.
    pub amount: u128,
    /// What is taken of it before: half to who posted the result, half burned.
    pub fee: u128,
}

impl Stream {
    /// What has been earned when interval `now` has begun, and the stream after it is paid out: of `left`
    /// the part of the intervals that are over among those not paid yet, rounded down; all of it after
    /// the last.
    #[must_use]
    pub fn earn(&self, now: u64, fee_bps: u16) -> (Payout, Self) {
        let over = now
            .saturating_sub(self.term.from)
            .min(self.term.intervals.into()) as u16;
        let (due, open) = (
            over.saturating_sub(self.paid),
            self.term.intervals.saturating_sub(self.paid),
        );
        // `left` is below 2^118: 512 orders of 2^20 lots at 2^62 and 2^26 more are far from it, and
        // `due` is below 2^11.
        let gross = match open {
            0 => 0,
            open => {
                self.left / u128::from(open) * u128::from(due)
                    + self.left % u128::from(open) * u128::from(due) / u128::from(open)
            }
        };
        let fee = money::fee(gross, fee_bps);
        let after = Self {
            paid: self.paid.max(over),
            left: self.left - gross,
            ..*self
        };
        let payout = Payout {
            amount: gross - fee,
            fee,
        };
        (payout, after)
    }
}
