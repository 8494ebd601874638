//! Whether an offer can serve a bid at all, and at what terms: the one list of constraints, used
//! by matching, by `explain` and by `quote`.

use alloy_primitives::{Address, U256};

use crate::codes::{self, Code, Coded};
use crate::limits::{BPS, CYCLES_PER_UNIT_PRICE, TASKS_PER_DEAL_MAX};
use crate::money::{self, Tariff};
use crate::types::{Bid, JobSpec, Offer, Resources};

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

impl Fit {
    /// Score of giving a slot its `nth` task (from 1): expected cost plus value of time (base units
    /// per second) times expected finish, since a slot runs its tasks one after another. Lower is
    /// better.
    ///
    /// 128 bits suffice for every order within the limits: the tasks of a slot fit the execution
    /// timeout, so that `nth * seconds` is below 2^22 (thirty days, and a second for each of 2,048
    /// tasks), and cost and value of time are at most 2^100. Beyond that the score stays at its greatest.
    #[must_use]
    pub fn score(&self, value_of_time: u128, nth: u32) -> u128 {
        let finish = u128::from(nth) * u128::from(self.seconds);
        self.cost
            .saturating_add(value_of_time.saturating_mul(finish))
    }
}

/// What a bid asks of offers, with what does not depend on them worked out once.
#[derive(Debug, Clone)]
pub(crate) struct Demand {
    pub(crate) buyer: Address,
    pub(crate) token: Address,
    pub(crate) machine: u32,
    pub(crate) regions: U256,
    pub(crate) attributes: U256,
    pub(crate) resources: Resources,
    /// Expected cycles of a task.
    pub(crate) cycles: u64,
    /// `floor(cycles * 2^64 / 10^18)`: a price times this, over 2^64, is the work's price or less.
    pub(crate) cycle_weight: u64,
    pub(crate) cycle_limit: u64,
    execution_timeout_s: u32,
    pub(crate) price_cap: u128,
    /// Base units per second.
    pub(crate) value_of_time: u128,
    pub(crate) collateral_bps: u32,
    /// Slowest speed at which one task at the cycle limit fits the execution timeout.
    pub(crate) speed_min: u64,
    /// Collateral of one task at the price cap: no task needs more.
    pub(crate) collateral_most: u128,
    /// What the buyer's balance must hold for a deal besides its escrow.
    pub(crate) besides_escrow: u128,
}

impl Demand {
    pub(crate) fn of(bid: &Bid, job: &JobSpec) -> Self {
        let cycle_limit = job.cycleLimit.max(1);
        Self {
            buyer: bid.buyer,
            token: bid.token,
            machine: job.machineVersion,
            regions: bid.regions,
            attributes: bid.attributes,
            resources: bid.resources.clone(),
            cycles: bid.cyclesExpected,
            // Cycles are below 2^44; more, in a bid that is only asked about, may weigh too little.
            cycle_weight: u64::try_from(
                (u128::from(bid.cyclesExpected) << 64) / CYCLES_PER_UNIT_PRICE,
            )
            .unwrap_or(u64::MAX),
            cycle_limit,
            execution_timeout_s: bid.executionTimeout,
            price_cap: bid.priceCap,
            value_of_time: bid.valueOfTime,
            collateral_bps: bid.collateralBps,
            // floor(timeout * speed / limit) >= 1  <=>  speed >= ceil(limit / timeout)
            speed_min: match bid.executionTimeout {
                0 => u64::MAX,
                timeout => cycle_limit.div_ceil(timeout.into()),
            },
            collateral_most: money::collateral(bid.priceCap, bid.collateralBps)
                .unwrap_or(u128::MAX),
            besides_escrow: money::buyer_reserve(0, bid.tip, bid.auditFee).unwrap_or(u128::MAX),
        }
    }

    /// No first task of an offer that fits takes longer.
    pub(crate) fn seconds_max(&self) -> u64 {
        self.execution_timeout_s.into()
    }

    /// Most tasks of one deal within the execution timeout: `ceil(count * cycleLimit / speed) <=
    /// executionTimeout`.
    fn tasks_in_time(&self, speed: u64) -> u32 {
        let capacity = u128::from(self.execution_timeout_s) * u128::from(speed);
        // Both are usually below 2^64, where division is several times faster.
        let most = match u64::try_from(capacity) {
            Ok(capacity) => u128::from(capacity / self.cycle_limit),
            Err(_) => capacity / u128::from(self.cycle_limit),
        };
        most.min(TASKS_PER_DEAL_MAX.into()) as u32
    }

    /// Most tasks of one deal whose collateral stays within the offer's maximum.
    fn tasks_within_collateral(&self, collateral_max: u128, cost_max: u128) -> u32 {
        // ceil(n * cost * bps / 10000) <= max  <=>  n * cost * bps <= max * 10000
        let each = U256::from(cost_max) * U256::from(self.collateral_bps);
        let all = U256::from(collateral_max) * U256::from(BPS);
        if each * U256::from(TASKS_PER_DEAL_MAX) <= all {
            return TASKS_PER_DEAL_MAX;
        }
        // Not zero, or the product would have been.
        u32::try_from(all / each).unwrap_or(TASKS_PER_DEAL_MAX)
    }

    /// The terms of an offer, whether or not they suffice.
    pub(crate) fn terms(&self, tariff: Tariff, speed: u64, collateral_max: u128) -> Fit {
        let cost_max = tariff.task_price(self.cycle_limit);
        Fit {
            tariff,
            cost: tariff.task_price(self.cycles),
            cost_max,
            seconds: money::seconds(self.cycles, speed).unwrap_or(u64::MAX),
            tasks_max: self
                .tasks_in_time(speed)
                .min(self.tasks_within_collateral(collateral_max, cost_max)),
        }
    }

    /// [`judge`].
    pub(crate) fn judge(
        &self,
        offer: &Offer,
        mut reject: impl FnMut(Rejection) -> bool,
    ) -> Option<Fit> {
        let mut fits = true;
        // Answers whether to go on.
        let mut require = |holds: bool, rejection: Rejection| {
            fits &= holds;
            holds || reject(rejection)
        };
        let (wants, has) = (&self.resources, &offer.resources);
        let missing = self.attributes & !offer.attributes;
        let goes_on = require(offer.token == self.token, Rejection::Token(offer.token))
            && require(
                offer.machineVersion == self.machine,
                Rejection::Machine(offer.machineVersion),
            )
            && require(
                self.regions.bit(offer.region.into()),
                Rejection::Region(offer.region),
            )
            && require(missing.is_zero(), Rejection::Attributes(missing))
            && require(
                has.memoryMib >= wants.memoryMib,
                Rejection::Memory(has.memoryMib),
            )
            && require(has.diskMib >= wants.diskMib, Rejection::Disk(has.diskMib))
            && require(
                has.egressMib >= wants.egressMib,
                Rejection::Egress(has.egressMib),
            )
            && require(
                wants.gpuCount == 0
                    || (has.gpuClass == wants.gpuClass && has.gpuCount >= wants.gpuCount),
                Rejection::Gpu {
                    class: has.gpuClass,
                    count: has.gpuCount,
                },
            )
            && require(offer.provider != self.buyer, Rejection::SelfDeal);
        if !goes_on {
            return None;
        }
        let Ok(unit_price) = money::unit_price(offer, wants) else {
            require(false, Rejection::Amount);
            return None;
        };
        let tariff = Tariff {
            start_fee: offer.startFee,
            unit_price,
            price_cap: self.price_cap,
        };
        let expected = tariff.uncapped(self.cycles);
        let cost_max = tariff.task_price(self.cycle_limit);
        let risked = self.tasks_within_collateral(offer.collateralMax, cost_max);
        let goes_on = require(
            expected <= U256::from(self.price_cap),
            Rejection::Price(expected),
        ) && (offer.speed >= self.speed_min || {
            let seconds = money::seconds(self.cycle_limit, offer.speed).unwrap_or(u64::MAX);
            require(false, Rejection::Speed(seconds))
        }) && (risked > 0 || {
            let bps = multiple_within(offer.collateralMax, cost_max);
            require(false, Rejection::Collateral(bps))
        });
        (goes_on && fits).then(|| self.terms(tariff, offer.speed, offer.collateralMax))
    }
}

/// Holds an offer against a bid by their signed fields alone. Calls `reject` for each constraint
/// that fails until it answers `false`; returns the terms if none failed.
pub fn judge(
    bid: &Bid,
    job: &JobSpec,
    offer: &Offer,
    reject: impl FnMut(Rejection) -> bool,
) -> Option<Fit> {
    Demand::of(bid, job).judge(offer, reject)
}

/// Largest multiple, basis points, at which the collateral of `cost` stays within `most`.
fn multiple_within(most: u128, cost: u128) -> u32 {
    if cost == 0 {
        return u32::MAX;
    }
    let bps = U256::from(most) * U256::from(BPS) / U256::from(cost);
    u32::try_from(bps).unwrap_or(u32::MAX)
}
