//! An order of a round: its bounds, what it must deposit, and the hashes under which it goes.

use alloy_primitives::{B256, U256, keccak256};
use alloy_sol_types::SolValue;

use super::{AuctionOrder, Backing, Pool};
use crate::limits::{
    AUCTION_ALTERNATIVES_MAX, AUCTION_COST_MAX, AUCTION_ENTRIES_MAX, AUCTION_LIMIT_MAX,
    AUCTION_LOTS_MAX, AUCTION_QUANTITY_MAX,
};

/// What the k-th eighth of a curve's lots asks for, in thousandths of its cost: the cost as long as
/// three quarters of it are idle, then ever more, up to twice the cost for the last eighth.
pub const ASK_TABLE: [u16; 8] = [1000, 1000, 1050, 1100, 1200, 1350, 1600, 2000];

/// Why the contract refuses an order (`OrderOutOfRange`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// No lot, or too many.
    #[error("an order has 1 to {AUCTION_LOTS_MAX} lots")]
    Lots,
    /// No alternative, or too many.
    #[error("an order has 1 to {AUCTION_ALTERNATIVES_MAX} alternatives")]
    Alternatives,
    /// No entry, or too many.
    #[error("an alternative names 1 to {AUCTION_ENTRIES_MAX} pools")]
    Entries,
    /// Pools must be the auction's, ascending, none twice.
    #[error("the pools of an alternative ascend, and the auction has {0} of them")]
    Pools(usize),
    /// Zero, or too large.
    #[error("a quantity is not zero, and at most {AUCTION_QUANTITY_MAX} either way")]
    Quantity,
    /// Too large.
    #[error("a limit is at most {AUCTION_LIMIT_MAX} either way")]
    Limit,
    /// The form of a curve is fixed.
    #[error(
        "a curve has one alternative with one entry of quantity -1 and limit 0 to -{AUCTION_COST_MAX}"
    )]
    Curve,
}

/// Whether an order is within the bounds of an auction with so many pools.
///
/// # Errors
/// [`OrderError`] names the bound.
pub fn check(order: &AuctionOrder, pools: usize) -> Result<(), OrderError> {
    if !(1..=AUCTION_LOTS_MAX).contains(&order.lots) {
        return Err(OrderError::Lots);
    }
    if !(1..=AUCTION_ALTERNATIVES_MAX).contains(&order.alternatives.len()) {
        return Err(OrderError::Alternatives);
    }
    for alternative in &order.alternatives {
        if !(-AUCTION_LIMIT_MAX..=AUCTION_LIMIT_MAX).contains(&alternative.limit) {
            return Err(OrderError::Limit);
        }
        if !(1..=AUCTION_ENTRIES_MAX).contains(&alternative.entries.len()) {
            return Err(OrderError::Entries);
        }
        let mut next = 0;
        for entry in &alternative.entries {
            if usize::from(entry.pool) >= pools || entry.pool < next {
                return Err(OrderError::Pools(pools));
            }
            next = entry.pool + 1;
            if entry.quantity == 0
                || entry.quantity.unsigned_abs() > AUCTION_QUANTITY_MAX.unsigned_abs()
            {
                return Err(OrderError::Quantity);
            }
        }
    }
    if order.backing == Backing::Curve && cost(order).is_none() {
        return Err(OrderError::Curve);
    }
    Ok(())
}

/// The pool and the cost of a unit of a curve of the right form.
#[must_use]
pub fn cost(order: &AuctionOrder) -> Option<(u16, i64)> {
    let [alternative] = order.alternatives.as_slice() else {
        return None;
    };
    let [entry] = alternative.entries.as_slice() else {
        return None;
    };
    let cost = alternative.limit.checked_neg()?;
    (entry.quantity == -1 && (0..=AUCTION_COST_MAX).contains(&cost)).then_some((entry.pool, cost))
}

/// What eighth `k` of a curve asks for a unit: `ceil(cost * ASK_TABLE[k] / 1000)`, for a cost of at most
/// [`AUCTION_COST_MAX`].
#[must_use]
pub fn ask(cost: i64, k: usize) -> i64 {
    // cost < 2^35, and no entry of the table exceeds 2^11.
    (cost * i64::from(ASK_TABLE[k]) + 999) / 1000
}

/// The first lot of eighth `k` of a curve with `lots` lots, `k` from 0 to 8: `floor(k * lots / 8)`.
#[must_use]
pub fn eighth(lots: u32, k: usize) -> u32 {
    // At most `lots`.
    (u64::from(lots) * k as u64 / 8) as u32
}

/// What the first `used` lots of a curve ask for together, and the dearest of them.
#[must_use]
pub fn asks(cost: i64, lots: u32, used: u32) -> (i128, i64) {
    let mut sum = 0;
    let mut dearest = 0;
    for k in 0..ASK_TABLE.len() {
        let units = eighth(lots, k + 1).min(used) - eighth(lots, k).min(used);
        if units != 0 {
            dearest = ask(cost, k);
            sum += i128::from(dearest) * i128::from(units);
        }
    }
    (sum, dearest)
}

/// What an order must deposit, base units, at least `deposit_min`: lots times the most that a lot can
/// pay, and besides that lots times the most that a lot asks for (of a curve its cost) or, if that is more,
/// lots times the `unitDeposit` of the new capacity that a lot sells. A pool that does not exist counts
/// nothing: [`check`] refuses it.
#[must_use]
pub fn deposit(order: &AuctionOrder, pools: &[Pool], deposit_min: u128) -> U256 {
    let lots = U256::from(order.lots);
    let (mut pays, mut asks, mut units) = (0, 0, U256::ZERO);
    for alternative in &order.alternatives {
        pays = pays.max(alternative.limit);
        asks = asks.max(alternative.limit.saturating_neg());
        let is_new = order.backing != Backing::Holdings;
        let entries = alternative.entries.iter();
        let sold = entries.filter(|entry| is_new && entry.quantity < 0);
        let secured = sold.filter_map(|entry| {
            let pool = pools.get(usize::from(entry.pool))?;
            Some(U256::from(entry.quantity.unsigned_abs()) * U256::from(pool.unitDeposit))
        });
        units = units.max(secured.fold(U256::ZERO, |sum, value| sum + value));
    }
    let backs = units.max(U256::from(asks.unsigned_abs()));
    let deposit = lots * (U256::from(pays.unsigned_abs()) + backs);
    deposit.max(U256::from(deposit_min))
}

/// Units of each pool that an order may sell, the most over its alternatives, for all of its lots:
/// what is set aside of holdings. As many words as there are pools.
#[must_use]
pub fn set_aside(order: &AuctionOrder, pools: usize) -> Vec<u64> {
    let mut units = vec![0u64; pools];
    for alternative in &order.alternatives {
        for entry in alternative
            .entries
            .iter()
            .filter(|entry| entry.quantity < 0)
        {
            if let Some(most) = units.get_mut(usize::from(entry.pool)) {
                let sold = u64::from(entry.quantity.unsigned_abs()) * u64::from(order.lots);
                *most = (*most).max(sold);
            }
        }
    }
    units
}

/// What an account commits to: `keccak256(abi.encode(round, order))`.
#[must_use]
pub fn commitment(round: u64, order: &AuctionOrder) -> B256 {
    keccak256((U256::from(round), order.clone()).abi_encode_params())
}

/// Leaf of the order that was revealed as number `index`: `keccak256(abi.encode(round, index, order))`.
#[must_use]
pub fn leaf(round: u64, index: u16, order: &AuctionOrder) -> B256 {
    keccak256((U256::from(round), U256::from(index), order.clone()).abi_encode_params())
}

/// What names the first orders of a round and their places, after one more leaf; it starts at zero:
/// `keccak256(abi.encode(orders_hash, leaf))`. A result is posted for the orders that it names.
#[must_use]
pub fn next_orders_hash(orders_hash: B256, leaf: B256) -> B256 {
    keccak256((orders_hash, leaf).abi_encode())
}

/// The same over all leaves of a round, in the order in which they were revealed.
#[must_use]
pub fn orders_hash(leaves: impl IntoIterator<Item = B256>) -> B256 {
    leaves.into_iter().fold(B256::ZERO, next_orders_hash)
}

/// Hash of an order alone: `keccak256(abi.encode(order))`. Its commitment tells nobody.
#[must_use]
pub fn digest(order: &AuctionOrder) -> B256 {
    keccak256((order.clone(),).abi_encode_params())
}

/// The seed of a round: the sum of its orders' digests modulo 2^256, so that it does not depend on the
/// order in which they were revealed.
#[must_use]
pub fn seed(digests: impl IntoIterator<Item = B256>) -> B256 {
    let sum = |sum: U256, digest: B256| sum.wrapping_add(digest.into());
    digests.into_iter().fold(U256::ZERO, sum).into()
}

/// What sorts an order and breaks its ties: `keccak256(abi.encode(digest, seed))`. Nobody knows it
/// before the last order is revealed, and who reveals last chooses among two seeds for each of its
/// orders, at the price of a deposit.
#[must_use]
pub fn key(digest: B256, seed: B256) -> B256 {
    keccak256((digest, seed).abi_encode())
}

/// The same for step `k` of a curve: `keccak256(abi.encode(key, k))`.
#[must_use]
pub fn step_key(key: B256, k: usize) -> B256 {
    keccak256((key, U256::from(k)).abi_encode())
}
