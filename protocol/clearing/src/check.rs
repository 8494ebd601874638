//! Recomputes from a market and an emitted result whether the result is valid.
//!
//! Shares nothing with the clearing but the structures of its input and output: no prices are looked
//! for, no order is sorted, all sums are 128 bits wide and checked. What it can't add up is not valid.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use crate::market::{Alternative, Key, Market};
use crate::outcome::Clearing;

/// What holds of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Each payment is price times quantity, prices are not negative, and all payments and receipts
    /// add up to zero.
    pub balanced: bool,
    /// No pool gives more than its supply and its sellers do, no supply more than it has, no order
    /// gets more lots than it wants; each thing is named once.
    pub feasible: bool,
    /// Nobody pays more than its limit, no seller gets less than its ask.
    pub individually_rational: bool,
    /// The stated welfare is limits less asks.
    pub welfare: bool,
    /// The stated bound is the dual at the stated prices, and not below the welfare.
    pub bounded: bool,
}

impl Verdict {
    /// Whether all of it holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.balanced && self.feasible && self.individually_rational && self.welfare && self.bounded
    }

    const NOTHING: Self = Self {
        balanced: false,
        feasible: false,
        individually_rational: false,
        welfare: false,
        bounded: false,
    };
}

/// Checks a result against the market of which it is said to be the clearing.
#[must_use]
pub fn check(market: &Market, clearing: &Clearing) -> Verdict {
    verdict(market, clearing).unwrap_or(Verdict::NOTHING)
}

fn verdict(market: &Market, clearing: &Clearing) -> Option<Verdict> {
    let pools = market.pools();
    if clearing.prices.len() != pools || clearing.bound_prices.len() != pools {
        return None;
    }
    let mut balanced = clearing.prices.iter().all(|&price| price >= 0);
    let mut feasible = true;
    let mut rational = true;
    let mut payments: i128 = 0;
    let mut welfare: i128 = 0;
    // What each pool still has to give once everybody has given and taken.
    let mut left: Vec<i128> = vec![0; pools];

    let mut lots: BTreeMap<Key, u64> = BTreeMap::new();
    let mut seen: BTreeMap<(Key, u16), ()> = BTreeMap::new();
    for accepted in &clearing.accepted {
        let (key, wanted) = market.order(accepted.order as usize)?;
        let alternative = market
            .alternatives(accepted.order as usize)
            .nth(accepted.alternative as usize)?;
        let count = i128::from(accepted.lots);
        let cost = cost(&alternative, &clearing.prices)?;
        balanced &= accepted.payment == cost.checked_mul(count)?;
        rational &= cost <= i128::from(alternative.limit);
        feasible &= key == accepted.key && accepted.lots > 0;
        feasible &= seen.insert((key, accepted.alternative), ()).is_none();
        let served = lots.entry(key).or_insert(0);
        *served += u64::from(accepted.lots);
        feasible &= *served <= u64::from(wanted);
        payments = payments.checked_add(accepted.payment)?;
        welfare = welfare.checked_add(i128::from(alternative.limit).checked_mul(count)?)?;
        for entry in alternative.entries {
            left[entry.pool as usize] -= i128::from(entry.quantity) * count;
        }
    }

    let mut used: BTreeMap<Key, ()> = BTreeMap::new();
    for sale in &clearing.used {
        let supply = market.supplies().get(sale.supply as usize)?;
        let price = clearing.prices[supply.pool as usize];
        let quantity = i128::from(sale.quantity);
        balanced &= sale.receipt == i128::from(price).checked_mul(quantity)?;
        rational &= price >= supply.ask;
        feasible &= supply.key == sale.key && (1..=supply.quantity).contains(&sale.quantity);
        feasible &= used.insert(supply.key, ()).is_none();
        payments = payments.checked_sub(sale.receipt)?;
        welfare = welfare.checked_sub(i128::from(supply.ask).checked_mul(quantity)?)?;
        left[supply.pool as usize] += quantity;
    }
    feasible &= left.iter().all(|&units| units >= 0);

    Some(Verdict {
        balanced: balanced && payments == 0,
        feasible,
        individually_rational: rational,
        welfare: welfare == clearing.welfare,
        bounded: dual(market, &clearing.bound_prices)? == clearing.upper_bound
            && clearing.welfare <= clearing.upper_bound,
    })
}

/// What a lot costs at these prices.
fn cost(alternative: &Alternative<'_>, prices: &[i64]) -> Option<i128> {
    alternative.entries.iter().try_fold(0_i128, |sum, entry| {
        let price = prices.get(entry.pool as usize)?;
        sum.checked_add(i128::from(entry.quantity) * i128::from(*price))
    })
}

/// What everybody together can gain at most at these prices, no more than which is gained by any
/// allocation. An order or supply that came twice counts once.
fn dual(market: &Market, prices: &[i64]) -> Option<i128> {
    if prices.iter().any(|&price| price < 0) {
        return None;
    }
    let mut sum: i128 = 0;
    let mut orders: BTreeMap<Key, ()> = BTreeMap::new();
    for order in 0..market.orders() {
        let (key, lots) = market.order(order)?;
        if orders.insert(key, ()).is_some() {
            continue;
        }
        let mut most: i128 = 0;
        for alternative in market.alternatives(order) {
            most = most.max(i128::from(alternative.limit) - cost(&alternative, prices)?);
        }
        sum = sum.checked_add(most.checked_mul(i128::from(lots))?)?;
    }
    let mut supplies: BTreeMap<Key, ()> = BTreeMap::new();
    for supply in market.supplies() {
        if supplies.insert(supply.key, ()).is_none() {
            let rent = i128::from(prices[supply.pool as usize]) - i128::from(supply.ask);
            sum = sum.checked_add(rent.max(0) * i128::from(supply.quantity))?;
        }
    }
    Some(sum)
}
