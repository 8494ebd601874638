//! What a clearing emits.

use alloc::vec::Vec;

use crate::allocate::Allocation;
use crate::clear::{move_bound, round_bound, Meter};
use crate::descend::Point;
use crate::market::{Book, Key, Market};
use crate::scene::Scene;

/// Lots of an order that got one of its alternatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The order's key.
    pub key: Key,
    /// Which order it is, in the order in which the market got them; of duplicates the first.
    pub order: u32,
    /// Which of its alternatives.
    pub alternative: u16,
    /// How many lots.
    pub lots: u32,
    /// What all of them pay together, `lots * p·q`; negative: what they are paid.
    pub payment: i128,
}

/// Supply that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// The supply's key.
    pub key: Key,
    /// Which supply it is, in the order in which the market got them; of duplicates the first.
    pub supply: u32,
    /// Units.
    pub quantity: i64,
    /// What they are paid, `quantity * p`.
    pub receipt: i128,
}

/// An order that has lots which would gain at the prices and were not served, because they do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// The order's key.
    pub key: Key,
    /// Which order it is, in the order in which the market got them.
    pub order: u32,
    /// How many of its lots.
    pub lots: u32,
    /// What one lot would gain.
    pub surplus: i64,
}

/// The result: uniform linear prices and who trades at them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clearing {
    /// Price of a unit of each pool.
    pub prices: Vec<i64>,
    /// By the orders' keys, then by alternative.
    pub accepted: Vec<Accepted>,
    /// By pool, ask, key.
    pub used: Vec<Used>,
    /// Limits of all accepted lots less the asks of the supply that is used.
    pub welfare: i128,
    /// No allocation is worth more, whatever its prices: the dual at `bound_prices`.
    pub upper_bound: i128,
    /// Anybody can compute the bound from these.
    pub bound_prices: Vec<i64>,
    /// Orders in the money that were not served, by key.
    pub passed_over: Vec<PassedOver>,
    /// Rounds that were taken.
    pub rounds: u32,
    /// The most that a market of so many orders takes: [`round_bound`].
    pub round_bound: u32,
    /// Elementary steps that the search took.
    pub moves: u64,
    /// The most that it takes: [`move_bound`].
    pub move_bound: u64,
}

impl Clearing {
    pub(crate) fn of(
        market: &Market,
        book: &Book,
        scene: &Scene,
        allocation: &Allocation,
        prices: Vec<i64>,
        point: Point,
        meter: Meter,
    ) -> Self {
        // Of each order of the book what the scene decided; the others take their best.
        let mut fills = allocation.fills.iter().peekable();
        let mut ids = scene.ids.iter().enumerate().peekable();
        let mut accepted = Vec::new();
        let mut passed_over = Vec::new();
        let mut demand: Vec<i64> = alloc::vec![0; book.pools];
        let mut welfare = 0;
        for order in 0..book.orders.len() {
            let first = book.orders.of(order).start;
            let lots = book.orders.lots[order];
            let mut served = 0;
            let mut serve = |alternative: usize, lots: u32| {
                served += lots;
                let limit = book.orders.limits[alternative];
                let cost = limit - book.orders.surplus(alternative, &prices);
                welfare += i128::from(limit) * i128::from(lots);
                for entry in book.orders.bundle(alternative) {
                    demand[entry.pool as usize] += i64::from(entry.quantity) * i64::from(lots);
                }
                accepted.push(Accepted {
                    key: market.keys[book.sources[order] as usize],
                    order: book.sources[order],
                    alternative: (alternative - first) as u16,
                    lots,
                    payment: i128::from(cost) * i128::from(lots),
                });
            };
            match ids.next_if(|(_, &id)| id as usize == order) {
                Some((local, _)) => {
                    while let Some(fill) = fills.next_if(|f| f.order as usize == local) {
                        serve(scene.tags[fill.alternative as usize] as usize, fill.lots);
                    }
                    if served < lots {
                        if let Some((_, surplus)) = book.orders.best(order, &prices) {
                            passed_over.push(PassedOver {
                                key: market.keys[book.sources[order] as usize],
                                order: book.sources[order],
                                lots: lots - served,
                                surplus,
                            });
                        }
                    }
                }
                None => {
                    if let Some((alternative, _)) = book.orders.best(order, &prices) {
                        serve(alternative, lots);
                    }
                }
            }
        }
        let mut used = Vec::new();
        let mut left = demand;
        for &index in &book.supplies {
            let supply = &market.supplies[index as usize];
            let pool = supply.pool as usize;
            let quantity = supply.quantity.min(left[pool]);
            if quantity > 0 {
                left[pool] -= quantity;
                welfare -= i128::from(supply.ask) * i128::from(quantity);
                used.push(Used {
                    key: supply.key,
                    supply: index,
                    quantity,
                    receipt: i128::from(quantity) * i128::from(prices[pool]),
                });
            }
        }
        Self {
            prices,
            accepted,
            used,
            welfare,
            upper_bound: point.dual,
            bound_prices: point.prices,
            passed_over,
            rounds: meter.rounds,
            round_bound: round_bound(book.orders.len()),
            moves: meter.moves,
            move_bound: move_bound(book.orders.len()),
        }
    }

    /// How far the result can be from the optimum at most, in millionths of the bound, rounded up.
    #[must_use]
    pub fn gap_ppm(&self) -> u64 {
        if self.upper_bound <= 0 {
            return 0;
        }
        let gap = (self.upper_bound - self.welfare) as u128;
        // Both are below 2^105: the product fits.
        ((gap * 1_000_000 + self.upper_bound as u128 - 1) / self.upper_bound as u128) as u64
    }

    /// Feeds what every peer must compute alike, in one fixed encoding, to a hash of the caller's: all
    /// fields in the order of the structure, integers big-endian, each list after its length (64 bits).
    pub fn encode(&self, sink: &mut dyn FnMut(&[u8])) {
        sink(b"outcry clearing 1");
        let length = |sink: &mut dyn FnMut(&[u8]), n: usize| sink(&(n as u64).to_be_bytes());
        length(sink, self.prices.len());
        for price in &self.prices {
            sink(&price.to_be_bytes());
        }
        length(sink, self.accepted.len());
        for accepted in &self.accepted {
            sink(&accepted.key);
            sink(&accepted.alternative.to_be_bytes());
            sink(&accepted.lots.to_be_bytes());
            sink(&accepted.payment.to_be_bytes());
        }
        length(sink, self.used.len());
        for used in &self.used {
            sink(&used.key);
            sink(&used.quantity.to_be_bytes());
            sink(&used.receipt.to_be_bytes());
        }
        sink(&self.welfare.to_be_bytes());
        sink(&self.upper_bound.to_be_bytes());
        length(sink, self.bound_prices.len());
        for price in &self.bound_prices {
            sink(&price.to_be_bytes());
        }
        length(sink, self.passed_over.len());
        for passed in &self.passed_over {
            sink(&passed.key);
            sink(&passed.lots.to_be_bytes());
            sink(&passed.surplus.to_be_bytes());
        }
        sink(&self.rounds.to_be_bytes());
        sink(&self.round_bound.to_be_bytes());
        sink(&self.moves.to_be_bytes());
        sink(&self.move_bound.to_be_bytes());
    }
}
