//! Prices, escrow, collateral, fees: checked integers, rounding stated at each function.
//!
//! Amounts are base units of the payment token. Unit prices are base units per 10^18 cycles.
//! The contract computes the same; `money.json` binds both.

use alloy_primitives::U256;

use crate::limits::{BPS, CYCLES_PER_UNIT_PRICE};
use crate::types::{Bid, Deal, Offer, Resources};

/// Arithmetic that does not fit; orders within the limits never cause it, except a unit price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum MoneyError {
    /// The sum of an offer's prices over reserved resources needs more than 128 bits.
    #[error("the unit price over the reserved resources needs more than 128 bits")]
    UnitPrice,
    /// An escrow, reserve or collateral needs more than 128 bits.
    #[error("the amount needs more than 128 bits")]
    Amount,
}

fn narrow(value: U256, error: MoneyError) -> Result<u128, MoneyError> {
    u128::try_from(value).map_err(|_| error)
}

/// `cyclePrice + memoryPrice*memoryMib + diskPrice*diskMib + gpuPrice*gpuCount +
/// egressPrice*egressMib`, over what the bid reserves; base units per 10^18 cycles.
///
/// # Errors
/// [`MoneyError::UnitPrice`] if the sum needs more than 128 bits.
pub fn unit_price(offer: &Offer, reserved: &Resources) -> Result<u128, MoneyError> {
    // No term is negative, so the sum fits 128 bits only if every part of it does.
    let sum = || {
        let term = |price: u128, amount: u32| price.checked_mul(amount.into());
        offer
            .cyclePrice
            .checked_add(term(offer.memoryPrice, reserved.memoryMib)?)?
            .checked_add(term(offer.diskPrice, reserved.diskMib)?)?
            .checked_add(term(offer.gpuPrice, reserved.gpuCount.into())?)?
            .checked_add(term(offer.egressPrice, reserved.egressMib)?)
    };
    sum().ok_or(MoneyError::UnitPrice)
}

/// `ceil(cycles * unitPrice / 10^18)`, base units.
#[must_use]
pub fn work_price(cycles: u64, unit_price: u128) -> U256 {
    // The usual case, some ten times faster: the product fits 128 bits.
    match unit_price.checked_mul(cycles.into()) {
        Some(product) => U256::from(product.div_ceil(CYCLES_PER_UNIT_PRICE)),
        None => (U256::from(cycles) * U256::from(unit_price))
            .div_ceil(U256::from(CYCLES_PER_UNIT_PRICE)),
    }
}

/// [`work_price`] where it fits 128 bits, and their greatest value where it does not.
#[must_use]
pub(crate) fn work_price_saturating(cycles: u64, unit_price: u128) -> u128 {
    match unit_price.checked_mul(cycles.into()) {
        Some(product) => product.div_ceil(CYCLES_PER_UNIT_PRICE),
        None => u128::try_from(work_price(cycles, unit_price)).unwrap_or(u128::MAX),
    }
}

/// What the price of a task depends on besides its cycles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tariff {
    /// Base units per task.
    pub start_fee: u128,
    /// Base units per 10^18 cycles.
    pub unit_price: u128,
    /// Most that a task may cost, base units.
    pub price_cap: u128,
}

impl Tariff {
    /// The tariff of an offer for a bid.
    ///
    /// # Errors
    /// [`MoneyError::UnitPrice`].
    pub fn of(bid: &Bid, offer: &Offer) -> Result<Self, MoneyError> {
        Ok(Self {
            start_fee: offer.startFee,
            unit_price: unit_price(offer, &bid.resources)?,
            price_cap: bid.priceCap,
        })
    }

    /// The tariff that a deal fixed.
    #[must_use]
    pub fn of_deal(deal: &Deal) -> Self {
        Self {
            start_fee: deal.startFee,
            unit_price: deal.unitPrice,
            price_cap: deal.priceCap,
        }
    }

    /// Start fee plus work, before the cap: `startFee + ceil(cycles * unitPrice / 10^18)`. At most
    /// 2^128 + 2^132, hence 256 bits.
    #[must_use]
    pub fn uncapped(&self, cycles: u64) -> U256 {
        U256::from(self.start_fee) + work_price(cycles, self.unit_price)
    }

    /// Price of one task: [`Tariff::uncapped`], never above the cap.
    #[must_use]
    pub fn task_price(&self, cycles: u64) -> u128 {
        // A value that does not fit 128 bits lies above any cap.
        u128::try_from(self.uncapped(cycles))
            .map_or(self.price_cap, |price| price.min(self.price_cap))
    }

    /// Escrow of a deal: `count` times the price at the cycle limit.
    ///
    /// # Errors
    /// [`MoneyError::Amount`].
    pub fn escrow(&self, cycle_limit: u64, count: u32) -> Result<u128, MoneyError> {
        self.task_price(cycle_limit)
            .checked_mul(count.into())
            .ok_or(MoneyError::Amount)
    }

    /// Price of a deal: the sum of its tasks' prices.
    ///
    /// # Errors
    /// [`MoneyError::Amount`].
    pub fn deal_price(&self, cycles: impl IntoIterator<Item = u64>) -> Result<u128, MoneyError> {
        cycles
            .into_iter()
            .try_fold(0u128, |sum, cycles| {
                sum.checked_add(self.task_price(cycles))
            })
            .ok_or(MoneyError::Amount)
    }
}

/// `ceil(escrow * collateralBps / 10000)`, in the payment token.
///
/// # Errors
/// [`MoneyError::Amount`].
pub fn collateral(escrow: u128, collateral_bps: u32) -> Result<u128, MoneyError> {
    match escrow.checked_mul(collateral_bps.into()) {
        Some(product) => Ok(product.div_ceil(BPS.into())),
        None => narrow(
            (U256::from(escrow) * U256::from(collateral_bps)).div_ceil(U256::from(BPS)),
            MoneyError::Amount,
        ),
    }
}

/// Protocol fee from the provider's proceeds: `floor(price * feeBps / 10000)`.
#[must_use]
pub fn fee(price: u128, fee_bps: u16) -> u128 {
    share(price, fee_bps.into())
}

/// Burned by each side when a deal is cancelled in admission: `floor(escrow * admissionFeeBps /
/// 10000)`.
#[must_use]
pub fn admission_fee(escrow: u128, admission_fee_bps: u16) -> u128 {
    share(escrow, admission_fee_bps.into())
}

fn share(amount: u128, bps: u32) -> u128 {
    let share = U256::from(amount) * U256::from(bps.min(BPS)) / U256::from(BPS);
    // At most the whole amount, since the share is at most 10000 basis points.
    u128::try_from(share).unwrap_or(amount)
}

/// What a buyer's balance must hold when a deal opens: escrow, two tips (open, timeout), and the
/// audit fee, which comes back unless the deal is drawn.
///
/// # Errors
/// [`MoneyError::Amount`].
pub fn buyer_reserve(escrow: u128, tip: u128, audit_fee: u128) -> Result<u128, MoneyError> {
    tip.checked_mul(2)
        .and_then(|tips| tips.checked_add(audit_fee))
        .and_then(|besides| besides.checked_add(escrow))
        .ok_or(MoneyError::Amount)
}

/// The most that a bid can lock of its buyer's balance for `tasks` tasks, whatever offers serve it:
/// each task at its cap, as a deal of its own with tips and audit fee.
///
/// # Errors
/// [`MoneyError::Amount`].
pub fn bid_exposure(
    price_cap: u128,
    tasks: u32,
    tip: u128,
    audit_fee: u128,
) -> Result<u128, MoneyError> {
    buyer_reserve(price_cap, tip, audit_fee)?
        .checked_mul(tasks.into())
        .ok_or(MoneyError::Amount)
}

/// How a slashed or timed-out collateral is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slash {
    /// Half, rounded down.
    pub to_buyer: u128,
    /// The rest, credited to [`BURN`].
    pub burned: u128,
}

/// Half (rounded down) to the buyer, the rest burns: nobody profits from slashing himself.
#[must_use]
pub fn slash(amount: u128) -> Slash {
    Slash {
        to_buyer: amount / 2,
        burned: amount - amount / 2,
    }
}

/// The locked ledger account to which burned amounts are credited; some tokens can't burn.
pub const BURN: alloy_primitives::Address =
    alloy_primitives::address!("0x000000000000000000000000000000000000dEaD");

/// Seconds that `cycles` take at a signed speed, rounded up; `None` at speed 0.
#[must_use]
pub fn seconds(cycles: u64, speed_cycles_per_s: u64) -> Option<u64> {
    (speed_cycles_per_s != 0).then(|| cycles.div_ceil(speed_cycles_per_s))
}
