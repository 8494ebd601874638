//! From the revealed orders of a round to prices and groups of fills, by way of `outcry_clearing`.

use alloy_primitives::B256;
use outcry_clearing::{Clearing, Market, MarketError, Supply, Workers};

use super::order::{self, OrderError};
use super::{AuctionOrder, Backing, Fill, FillGroup, Outcome};
use crate::limits::{AUCTION_FILLS_PER_GROUP, AUCTION_ORDERS_MAX};

/// Why the orders of a round can't be cleared. The contract lets none of it happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClearError {
    /// More orders than a round takes.
    #[error("{0} orders are more than the {AUCTION_ORDERS_MAX} of a round")]
    Orders(usize),
    /// An order that the contract would have refused.
    #[error("order {index}: {error}")]
    Order {
        /// Place among the revealed ones.
        index: usize,
        /// What is wrong with it.
        error: OrderError,
    },
    /// The clearing refused what it was given.
    #[error("{0}")]
    Market(MarketError),
}

impl From<MarketError> for ClearError {
    fn from(error: MarketError) -> Self {
        Self::Market(error)
    }
}

/// A cleared round.
#[derive(Debug, Clone)]
pub struct Cleared {
    /// The market that was cleared.
    pub market: Market,
    /// What came out, with the bound on what could have.
    pub clearing: Clearing,
    /// What to post; no group if nothing is traded, and then there is nothing to post.
    pub outcome: Outcome,
}

/// A round's orders as a market, and where in the round each order and each supply came from.
struct Round<'a> {
    market: Market,
    /// Of each order of the market its place in the round.
    orders: Vec<u16>,
    /// Of each supply of the market the same.
    supplies: Vec<u16>,
    revealed: &'a [AuctionOrder],
}

impl<'a> Round<'a> {
    fn new(revealed: &'a [AuctionOrder], pools: usize) -> Result<Self, ClearError> {
        if revealed.len() > AUCTION_ORDERS_MAX {
            return Err(ClearError::Orders(revealed.len()));
        }
        let digests: Vec<B256> = revealed.iter().map(order::digest).collect();
        let seed = order::seed(digests.iter().copied());
        let mut round = Self {
            market: Market::new(pools)?,
            orders: Vec::new(),
            supplies: Vec::new(),
            revealed,
        };
        for (index, (order, digest)) in revealed.iter().zip(&digests).enumerate() {
            order::check(order, pools).map_err(|error| ClearError::Order { index, error })?;
            let key = order::key(*digest, seed);
            // Below AUCTION_ORDERS_MAX.
            round.add(index as u16, order, key)?;
        }
        Ok(round)
    }

    fn add(&mut self, index: u16, order: &AuctionOrder, key: B256) -> Result<(), ClearError> {
        if order.backing == Backing::Curve {
            if let Some((pool, cost)) = order::cost(order) {
                for k in 0..order::ASK_TABLE.len() {
                    let quantity = order::eighth(order.lots, k + 1) - order::eighth(order.lots, k);
                    if quantity != 0 {
                        self.market.add_supply(Supply {
                            key: order::step_key(key, k).0,
                            pool,
                            ask: order::ask(cost, k),
                            quantity: quantity.into(),
                        })?;
                        self.supplies.push(index);
                    }
                }
            }
            return Ok(());
        }
        let entries: Vec<Vec<_>> = order
            .alternatives
            .iter()
            .map(|alternative| {
                let entry = |entry: &super::Entry| outcry_clearing::Entry {
                    pool: entry.pool,
                    quantity: entry.quantity,
                };
                alternative.entries.iter().map(entry).collect()
            })
            .collect();
        let alternatives: Vec<_> = order
            .alternatives
            .iter()
            .zip(&entries)
            .map(|(alternative, entries)| outcry_clearing::Alternative {
                limit: alternative.limit,
                entries,
            })
            .collect();
        self.market.add_order(key.0, order.lots, &alternatives)?;
        self.orders.push(index);
        Ok(())
    }

    /// Accepted lots and used supply as fills: ascending, one for each alternative.
    fn fills(&self, clearing: &Clearing) -> Vec<Fill> {
        let mut used = vec![0u32; self.revealed.len()];
        for sale in &clearing.used {
            // A curve has at most 2^20 lots, and no more of it is used.
            used[usize::from(self.supplies[sale.supply as usize])] += sale.quantity as u32;
        }
        let curves =
            used.iter()
                .enumerate()
                .filter(|&(_, &lots)| lots != 0)
                .map(|(order, &lots)| Fill {
                    order: order as u16,
                    alternative: 0,
                    lots,
                });
        let accepted = clearing.accepted.iter().map(|accepted| Fill {
            order: self.orders[accepted.order as usize],
            // An order has at most 8 alternatives.
            alternative: accepted.alternative as u8,
            lots: accepted.lots,
        });
        let mut fills: Vec<Fill> = curves.chain(accepted).collect();
        fills.sort_unstable_by_key(|fill| (fill.order, fill.alternative));
        fills
    }

    fn groups(&self, fills: &[Fill], prices: &[u64]) -> Vec<FillGroup> {
        let mut groups: Vec<FillGroup> = Vec::new();
        let mut sums = FillGroup {
            fills: Vec::new(),
            surplus: vec![0; self.market.pools()],
            welfare: 0,
            volume: 0,
        };
        for of_order in fills.chunk_by(|a, b| a.order == b.order) {
            if sums.fills.len() + of_order.len() > AUCTION_FILLS_PER_GROUP {
                groups.push(sums.clone());
                sums.fills.clear();
            }
            for fill in of_order {
                self.add_up(fill, prices, &mut sums);
            }
            sums.fills.extend_from_slice(of_order);
        }
        if !sums.fills.is_empty() {
            groups.push(sums);
        }
        groups
    }

    fn add_up(&self, fill: &Fill, prices: &[u64], sums: &mut FillGroup) {
        let order = &self.revealed[usize::from(fill.order)];
        let alternative = &order.alternatives[usize::from(fill.alternative)];
        for entry in &alternative.entries {
            // 512 orders of 2^20 lots of 2^22 units: below 2^51, and times a price below 2^87.
            let units = i64::from(entry.quantity) * i64::from(fill.lots);
            let pool = usize::from(entry.pool);
            sums.surplus[pool] -= units;
            if units < 0 {
                sums.volume += u128::from(prices[pool]) * u128::from(units.unsigned_abs());
            }
        }
        sums.welfare += match order::cost(order) {
            Some((_, cost)) if order.backing == Backing::Curve => {
                -order::asks(cost, order.lots, fill.lots).0
            }
            _ => i128::from(alternative.limit) * i128::from(fill.lots),
        };
    }
}

/// Clears a round: the orders that were revealed, in the order in which they were, in an auction with
/// `pools` pools.
///
/// # Errors
/// [`ClearError`] on orders that the contract does not take.
pub fn clear<W: Workers>(
    revealed: &[AuctionOrder],
    pools: usize,
    workers: &W,
) -> Result<Cleared, ClearError> {
    let round = Round::new(revealed, pools)?;
    let clearing = outcry_clearing::clear(&round.market, workers)?;
    // Prices are not negative.
    let prices: Vec<u64> = clearing.prices.iter().map(|p| p.unsigned_abs()).collect();
    let groups = round.groups(&round.fills(&clearing), &prices);
    let outcome = Outcome { prices, groups };
    Ok(Cleared {
        market: round.market,
        clearing,
        outcome,
    })
}
