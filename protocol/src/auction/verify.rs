//! Whether a posted result is valid, and which of its groups is wrong if not.
//!
//! Shares no code with the clearing: it looks for nothing, it adds up. A group is judged by what the
//! contract is shown to disprove it: the group before it, itself, and the orders that it names.

use super::order;
use super::{AuctionOrder, Backing, Fill, FillGroup, GroupProof, Outcome};
use crate::limits::{AUCTION_FILLS_PER_GROUP, AUCTION_PRICE_MAX};

/// What is wrong with a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Wrong {
    /// Fills must ascend by (order, alternative), and a group begins with another order than the one
    /// before it ended with.
    #[error("the fills do not ascend")]
    NotAscending,
    /// No such order was revealed.
    #[error("order {0} was not revealed")]
    UnknownOrder(u16),
    /// The order has no such alternative.
    #[error("order {0} has no such alternative")]
    UnknownAlternative(u16),
    /// No lot, or together with those of its other alternatives more than the order has.
    #[error("order {0} does not have so many lots")]
    Lots(u16),
    /// It would pay more, or get less, than its limit.
    #[error("order {0} does not accept these prices")]
    Limit(u16),
    /// Units, welfare or volume are not those of the group before and of these fills.
    #[error("the sums do not add up")]
    Sums,
}

/// Why a result is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// The contract refuses to store it: prices for other pools or above the bound, no group, a group
    /// with no fill or more than 16, or with sums for other pools.
    #[error("the result is malformed")]
    Malformed,
    /// The contract refuses to store it: by the sums of the last group, a pool sells fewer units than it
    /// buys, or more at a price above 0.
    #[error("pool {0} is not balanced")]
    Unbalanced(u16),
    /// The first group that is wrong. Whoever shows it, with the one before it, disproves the result.
    #[error("group {group}: {wrong}")]
    Group {
        /// Its index.
        group: u16,
        /// What is wrong with it.
        wrong: Wrong,
    },
}

/// Whether prices and groups are a valid result for the orders of a round, in the order in which they were
/// revealed, in an auction with `pools` pools.
///
/// # Errors
/// [`Fault`]: what the contract would refuse, or the first wrong group.
pub fn verify(orders: &[AuctionOrder], pools: usize, result: &Outcome) -> Result<(), Fault> {
    let has_prices = result.prices.len() == pools
        && result
            .prices
            .iter()
            .all(|&price| price <= AUCTION_PRICE_MAX);
    let is_formed = |group: &FillGroup| {
        group.surplus.len() == pools && (1..=AUCTION_FILLS_PER_GROUP).contains(&group.fills.len())
    };
    let Some(last) = result.groups.last() else {
        return Err(Fault::Malformed);
    };
    if !has_prices || !result.groups.iter().all(is_formed) {
        return Err(Fault::Malformed);
    }
    for (pool, (price, surplus)) in result.prices.iter().zip(&last.surplus).enumerate() {
        if *surplus < 0 || (*surplus > 0 && *price != 0) {
            // An auction has at most 32 pools.
            return Err(Fault::Unbalanced(pool as u16));
        }
    }
    let mut before = None;
    for (index, group) in result.groups.iter().enumerate() {
        let group_index = u16::try_from(index).map_err(|_| Fault::Malformed)?;
        check_group(orders, &result.prices, before, group).map_err(|wrong| Fault::Group {
            group: group_index,
            wrong,
        })?;
        before = Some(group);
    }
    Ok(())
}

/// Whether a group follows from the one before it and from the orders that it names.
///
/// # Errors
/// [`Wrong`].
pub fn check_group(
    orders: &[AuctionOrder],
    prices: &[u64],
    before: Option<&FillGroup>,
    group: &FillGroup,
) -> Result<(), Wrong> {
    let mut surplus: Vec<i128> = vec![0; prices.len()];
    let (mut welfare, mut volume) = (0_i128, 0_u128);
    if let Some(before) = before {
        let ended = before.fills.last().map(|fill| fill.order);
        if ended >= group.fills.first().map(|fill| fill.order) {
            return Err(Wrong::NotAscending);
        }
        (welfare, volume) = (before.welfare, before.volume);
        for (sum, &units) in surplus.iter_mut().zip(&before.surplus) {
            *sum = units.into();
        }
    }
    let mut last: Option<&Fill> = None;
    let mut served = 0_u64;
    for fill in &group.fills {
        match last {
            Some(last) if (last.order, last.alternative) >= (fill.order, fill.alternative) => {
                return Err(Wrong::NotAscending);
            }
            Some(last) if last.order == fill.order => {}
            _ => served = 0,
        }
        last = Some(fill);
        let order = orders
            .get(usize::from(fill.order))
            .ok_or(Wrong::UnknownOrder(fill.order))?;
        let alternative = order
            .alternatives
            .get(usize::from(fill.alternative))
            .ok_or(Wrong::UnknownAlternative(fill.order))?;
        served += u64::from(fill.lots);
        if fill.lots == 0 || served > u64::from(order.lots) {
            return Err(Wrong::Lots(fill.order));
        }
        let mut cost = 0_i128;
        for entry in &alternative.entries {
            let pool = usize::from(entry.pool);
            // The contract took the order, so its pools exist.
            let price = prices.get(pool).copied().unwrap_or(0);
            cost += i128::from(entry.quantity) * i128::from(price);
            let units = i128::from(entry.quantity) * i128::from(fill.lots);
            if let Some(sum) = surplus.get_mut(pool) {
                *sum -= units;
            }
            if units < 0 {
                // A stated sum that does not fit is not what follows.
                volume = units
                    .unsigned_abs()
                    .checked_mul(price.into())
                    .and_then(|value| volume.checked_add(value))
                    .ok_or(Wrong::Sums)?;
            }
        }
        // A used curve is paid -cost a unit, and accepts no less than its dearest used ask.
        let (least, value) = match order::cost(order) {
            Some((_, cost)) if order.backing == Backing::Curve => {
                let (sum, dearest) = order::asks(cost, order.lots, fill.lots);
                (-i128::from(dearest), -sum)
            }
            _ => {
                let limit = i128::from(alternative.limit);
                (limit, limit * i128::from(fill.lots))
            }
        };
        if cost > least {
            return Err(Wrong::Limit(fill.order));
        }
        welfare = welfare.checked_add(value).ok_or(Wrong::Sums)?;
    }
    let is_surplus = surplus.len() == group.surplus.len()
        && surplus
            .iter()
            .zip(&group.surplus)
            .all(|(&sum, &stated)| sum == i128::from(stated));
    if is_surplus && welfare == group.welfare && volume == group.volume {
        Ok(())
    } else {
        Err(Wrong::Sums)
    }
}

/// What is shown to the contract to disprove a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disproof {
    /// The group before the wrong one; none if that is the first.
    pub before: Vec<GroupProof>,
    /// The wrong group.
    pub group: GroupProof,
    /// The revealed orders that it names, each once, in the order in which it names them.
    pub orders: Vec<u16>,
}

/// What disproves a result whose group `group` is wrong; `None` if it has no such group.
#[must_use]
pub fn disproof(result: &Outcome, revealed: usize, group: u16) -> Option<Disproof> {
    let index = usize::from(group);
    let before = match index.checked_sub(1) {
        Some(before) => vec![result.prove(before)?],
        None => Vec::new(),
    };
    let group = result.prove(index)?;
    let mut orders: Vec<u16> = group.group.fills.iter().map(|fill| fill.order).collect();
    orders.dedup();
    // What was not revealed can't be shown, and need not be.
    orders.retain(|&order| usize::from(order) < revealed);
    Some(Disproof {
        before,
        group,
        orders,
    })
}
