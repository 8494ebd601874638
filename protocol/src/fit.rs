//! Whether an offer can serve a bid at all, and at what terms: the one list of constraints, used
//! by matching, by `explain` and by `quote`.

use alloy_primitives::{Address, B256, U256};

use crate::codes::{self, Code, Coded};
use crate::limits::{BPS, TASKS_PER_DEAL_MAX};
use crate::money::{self, Tariff};
use crate::types::{Bid, JobSpec, Offer};

/// Why an offer does not serve a bid, with the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    /// It wants another token.
    #[error("the offer is in token {0}")]
    Token(Address),
    /// It runs another machine version.
    #[error("the offer runs machine version {0}")]
    Machine(u32),
    /// Its region is not accepted.
    #[error("the offer lies in region {0}")]
    Region(u8),
    /// It lacks attribute bits.
    #[error("the offer lacks the attributes {0:#x}")]
    Attributes(U256),
    /// It has less memory, MiB.
    #[error("the offer has {0} MiB of memory")]
    Memory(u32),
    /// It has less disk, MiB.
    #[error("the offer has {0} MiB of disk")]
    Disk(u32),
    /// It has less egress, MiB.
    #[error("the offer has {0} MiB of egress")]
    Egress(u32),
    /// It has fewer GPUs, or of another class.
    #[error("the offer has {count} GPUs of class {class}")]
    Gpu {
        /// Class of its GPUs.
        class: u16,
        /// How many.
        count: u16,
    },
    /// Buyer and provider are one account.
    #[error("the provider is the buyer")]
    SelfDeal,
    /// Its prices exceed 128 bits in sum.
    #[error("the offer's unit price needs more than 128 bits")]
    Amount,
    /// It expects more than the cap; base units per task.
    #[error("the offer expects {0} per task")]
    Price(U256),
    /// One task at the cycle limit takes longer than the execution timeout; seconds.
    #[error("the offer may need {0} s for one task")]
    Speed(u64),
    /// One task needs more collateral than it risks; the multiple that it would take, basis points.
    #[error("the offer risks a collateral multiple of at most {0} basis points")]
    Collateral(u32),
    /// Every slot of its pool is taken.
    #[error("every slot of the offer is taken")]
    Slots,
    /// The provider cancelled a deal of the bid.
    #[error("the provider cancelled this bid before")]
    Barred,
    /// The provider's balance does not cover the collateral and its floor.
    #[error("the provider's balance does not cover the collateral")]
    ProviderBalance,
}

/// The kinds of [`Rejection`], in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Constraint {
    Token,
    Machine,
    Region,
    Attributes,
    Memory,
    Disk,
    Egress,
    Gpu,
    SelfDeal,
    Amount,
    Price,
    Speed,
    Collateral,
    Slots,
    Barred,
    ProviderBalance,
}

impl Constraint {
    /// All kinds, in the order in which they are tried.
    pub const ALL: [Self; 16] = [
        Self::Token,
        Self::Machine,
        Self::Region,
        Self::Attributes,
        Self::Memory,
        Self::Disk,
        Self::Egress,
        Self::Gpu,
        Self::SelfDeal,
        Self::Amount,
        Self::Price,
        Self::Speed,
        Self::Collateral,
        Self::Slots,
        Self::Barred,
        Self::ProviderBalance,
    ];

    /// Its code: what to tell a buyer whose bid fails by it everywhere.
    #[must_use]
    pub fn code(self) -> &'static Code {
        match self {
            Self::SelfDeal => &codes::MATCH_SELF,
            Self::Token => &codes::MATCH_TOKEN,
            Self::Machine => &codes::MATCH_MACHINE,
            Self::Region => &codes::MATCH_REGION,
            Self::Attributes => &codes::MATCH_ATTRIBUTES,
            Self::Memory => &codes::MATCH_MEMORY,
            Self::Disk => &codes::MATCH_DISK,
            Self::Egress => &codes::MATCH_EGRESS,
            Self::Gpu => &codes::MATCH_GPU,
            Self::Amount => &codes::MATCH_AMOUNT,
            Self::Price => &codes::MATCH_PRICE,
            Self::Speed => &codes::MATCH_SPEED,
            Self::Collateral => &codes::MATCH_COLLATERAL,
            Self::Slots => &codes::MATCH_SLOTS,
            Self::Barred => &codes::MATCH_BARRED,
            Self::ProviderBalance => &codes::MATCH_PROVIDER_BALANCE,
        }
    }
}

impl Rejection {
    /// Its kind.
    #[must_use]
    pub fn constraint(&self) -> Constraint {
        match self {
            Self::SelfDeal => Constraint::SelfDeal,
            Self::Token(_) => Constraint::Token,
            Self::Machine(_) => Constraint::Machine,
            Self::Region(_) => Constraint::Region,
            Self::Attributes(_) => Constraint::Attributes,
            Self::Memory(_) => Constraint::Memory,
            Self::Disk(_) => Constraint::Disk,
            Self::Egress(_) => Constraint::Egress,
            Self::Gpu { .. } => Constraint::Gpu,
            Self::Amount => Constraint::Amount,
            Self::Price(_) => Constraint::Price,
            Self::Speed(_) => Constraint::Speed,
            Self::Collateral(_) => Constraint::Collateral,
            Self::Slots => Constraint::Slots,
            Self::Barred => Constraint::Barred,
            Self::ProviderBalance => Constraint::ProviderBalance,
        }
    }
}

impl Coded for Rejection {
    fn code(&self) -> &'static Code {
        self.constraint().code()
    }
}

/// The terms on which an offer serves a bid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// What a task costs.
    pub tariff: Tariff,
    /// Expected price of a task, base units.
    pub cost: u128,
    /// Price of a task at the cycle limit, base units: its part of the escrow.
    pub cost_max: u128,
    /// Expected seconds of a task, rounded up.
    pub seconds: u64,
    /// Most tasks of one deal that the timeouts, the offer's collateral and the claim's size allow.
    pub tasks_max: u32,
}

/// Most tasks of one deal within the execution timeout: `ceil(count * cycleLimit / speed) <=
/// executionTimeout`.
fn tasks_in_time(bid: &Bid, job: &JobSpec, offer: &Offer) -> u32 {
    let capacity = u128::from(bid.executionTimeout) * u128::from(offer.speed);
    let most = capacity / u128::from(job.cycleLimit.max(1));
    most.min(TASKS_PER_DEAL_MAX.into()) as u32
}

/// Most tasks of one deal whose collateral stays within the offer's maximum.
fn tasks_within_collateral(bid: &Bid, offer: &Offer, cost_max: u128) -> u32 {
    // ceil(n * cost * bps / 10000) <= max  <=>  n * cost * bps <= max * 10000
    let each = U256::from(cost_max) * U256::from(bid.collateralBps);
    if each.is_zero() {
        return TASKS_PER_DEAL_MAX;
    }
    let most = U256::from(offer.collateralMax) * U256::from(BPS) / each;
    u32::try_from(most.min(U256::from(TASKS_PER_DEAL_MAX))).unwrap_or(TASKS_PER_DEAL_MAX)
}

macro_rules! require {
    ($fits:ident, $reject:ident, $holds:expr, $rejection:expr) => {
        if !$holds {
            $fits = false;
            if !$reject($rejection) {
                return Default::default();
            }
        }
    };
}

/// Holds an offer against a bid by their signed fields alone. Calls `reject` for each constraint
/// that fails until it answers `false`; returns the terms if none failed.
pub fn judge(
    bid: &Bid,
    job: &JobSpec,
    offer: &Offer,
    mut reject: impl FnMut(Rejection) -> bool,
) -> Option<Fit> {
    let mut stopped = false;
    let mut pass_on = |rejection| {
        let goes_on = reject(rejection);
        stopped |= !goes_on;
        goes_on
    };
    let suits = judge_kind(bid, job, offer, &mut pass_on);
    if stopped {
        return None;
    }
    let fit = judge_terms(bid, job, offer, reject);
    fit.filter(|_| suits)
}

/// The part of [`judge`] that depends on what the offer is, not on its price: equal for all offers
/// of one [`Kind`].
pub(crate) fn judge_kind(
    bid: &Bid,
    job: &JobSpec,
    offer: &Offer,
    mut reject: impl FnMut(Rejection) -> bool,
) -> bool {
    let mut fits = true;
    let (wants, has) = (&bid.resources, &offer.resources);
    require!(
        fits,
        reject,
        offer.token == bid.token,
        Rejection::Token(offer.token)
    );
    let version = offer.machineVersion;
    require!(
        fits,
        reject,
        version == job.machineVersion,
        Rejection::Machine(version)
    );
    require!(
        fits,
        reject,
        bid.regions.bit(offer.region.into()),
        Rejection::Region(offer.region)
    );
    let missing = bid.attributes & !offer.attributes;
    require!(
        fits,
        reject,
        missing.is_zero(),
        Rejection::Attributes(missing)
    );
    require!(
        fits,
        reject,
        has.memoryMib >= wants.memoryMib,
        Rejection::Memory(has.memoryMib)
    );
    require!(
        fits,
        reject,
        has.diskMib >= wants.diskMib,
        Rejection::Disk(has.diskMib)
    );
    require!(
        fits,
        reject,
        has.egressMib >= wants.egressMib,
        Rejection::Egress(has.egressMib)
    );
    require!(
        fits,
        reject,
        wants.gpuCount == 0 || (has.gpuClass == wants.gpuClass && has.gpuCount >= wants.gpuCount),
        Rejection::Gpu {
            class: has.gpuClass,
            count: has.gpuCount
        }
    );
    fits
}

/// Everything that [`judge_kind`] looks at.
pub(crate) type Kind = (Address, u32, u8, U256, [u32; 5]);

/// The kind of an offer.
pub(crate) fn kind(offer: &Offer) -> Kind {
    let has = &offer.resources;
    let resources = [
        has.memoryMib,
        has.diskMib,
        has.egressMib,
        has.gpuClass.into(),
        has.gpuCount.into(),
    ];
    (
        offer.token,
        offer.machineVersion,
        offer.region,
        offer.attributes,
        resources,
    )
}

/// The rest of [`judge`]: parties, price, time and collateral.
pub(crate) fn judge_terms(
    bid: &Bid,
    job: &JobSpec,
    offer: &Offer,
    mut reject: impl FnMut(Rejection) -> bool,
) -> Option<Fit> {
    let mut fits = true;
    require!(
        fits,
        reject,
        offer.provider != bid.buyer,
        Rejection::SelfDeal
    );
    let Ok(tariff) = Tariff::of(bid, offer) else {
        reject(Rejection::Amount);
        return None;
    };
    let expected = tariff.uncapped(bid.cyclesExpected);
    require!(
        fits,
        reject,
        expected <= U256::from(bid.priceCap),
        Rejection::Price(expected)
    );
    let in_time = tasks_in_time(bid, job, offer);
    let seconds_max = money::seconds(job.cycleLimit, offer.speed).unwrap_or(u64::MAX);
    require!(fits, reject, in_time > 0, Rejection::Speed(seconds_max));
    let cost_max = tariff.task_price(job.cycleLimit);
    let risked = tasks_within_collateral(bid, offer, cost_max);
    let multiple = || multiple_within(offer.collateralMax, cost_max);
    require!(fits, reject, risked > 0, Rejection::Collateral(multiple()));
    fits.then(|| Fit {
        tariff,
        cost: tariff.task_price(bid.cyclesExpected),
        cost_max,
        seconds: money::seconds(bid.cyclesExpected, offer.speed).unwrap_or(u64::MAX),
        tasks_max: in_time.min(risked),
    })
}

/// Largest multiple, basis points, at which the collateral of `cost` stays within `most`.
fn multiple_within(most: u128, cost: u128) -> u32 {
    if cost == 0 {
        return u32::MAX;
    }
    let bps = U256::from(most) * U256::from(BPS) / U256::from(cost);
    u32::try_from(bps).unwrap_or(u32::MAX)
}

/// Score of giving a slot its `nth` task (from 1): expected cost plus value of time times expected
/// finish, since a slot runs its tasks one after another. Lower is better.
#[must_use]
pub fn marginal_score(bid: &Bid, fit: &Fit, nth: u32) -> U256 {
    // 2^128 + 2^128 * 2^32 * 2^64 fits 256 bits.
    let finish = U256::from(nth) * U256::from(fit.seconds);
    U256::from(fit.cost).saturating_add(U256::from(bid.valueOfTime).saturating_mul(finish))
}

/// The pool of slots that an offer draws from.
#[must_use]
pub fn pool(offer: &Offer) -> (Address, B256) {
    (offer.provider, offer.capacityId)
}
