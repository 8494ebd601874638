//! Validation of orders: what can be judged from the order alone, the job it names and the time.
//!
//! A node validates before it forwards; the contract enforces the same where money depends on it.

use alloy_primitives::{Address, B256};

use crate::codes::{self, Code, Coded};
use crate::hash::{Domain, job_hash};
use crate::limits::{
    AUDIT_FEE_MAX, BID_LIFE_S_MAX, BPS, COLLATERAL_BPS_MAX, CYCLE_LIMIT_MAX,
    EXECUTION_TIMEOUT_S_MAX, MACHINE_VERSION_MAX, OFFER_LIFE_S_MAX, OUTPUT_LIMIT_MAX,
    OUTPUT_LIMIT_MIN, PAGE_LIMIT_MAX, PAGES_PER_MIB, PRICE_MAX, QUEUE_TIMEOUT_S_MAX,
    RANK_WINDOW_BLOCKS_MAX, SLOT_LIMIT_MAX, SLOTS_MAX, SPEED_MAX, TASKS_PER_JOB_MAX,
};
use crate::signature::{self, Verdict};
use crate::types::{Bid, JobSpec, Offer};
use crate::wire::Message;

/// Why an order is refused, whoever else might take it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OrderError {
    /// `jobHash` is not the hash of the job beside the bid.
    #[error("the bid names job {named}, the job beside it is {found}")]
    JobMismatch {
        /// In the bid.
        named: B256,
        /// Hash of the job.
        found: B256,
    },
    /// A limit of the job is zero or above the machine's bound.
    #[error("the job's {field} is {value}, allowed is {min} to {max}")]
    JobLimit {
        /// Field of `JobSpec`.
        field: &'static str,
        /// Its value.
        value: u64,
        /// Least that is allowed.
        min: u64,
        /// Most that is allowed.
        max: u64,
    },
    /// Zero, too many, or not the job's number.
    #[error("the bid is for {bid} tasks, its job has {job} (1 to {TASKS_PER_JOB_MAX} are allowed)")]
    Tasks {
        /// In the bid.
        bid: u32,
        /// In the job.
        job: u32,
    },
    /// The last second of validity has passed.
    #[error("the order expired at {expiry}, it is {now}")]
    Expired {
        /// Unix seconds.
        expiry: u64,
        /// Unix seconds, of the latest block.
        now: u64,
    },
    /// Valid for longer than the book keeps orders.
    #[error("the order expires at {expiry}, at most {most} is allowed now")]
    ExpiryFar {
        /// Unix seconds.
        expiry: u64,
        /// Unix seconds.
        most: u64,
    },
    /// Above [`PRICE_MAX`].
    #[error("{field} is {value}, above 2^100")]
    Price {
        /// Field of the order.
        field: &'static str,
        /// Its value.
        value: u128,
    },
    /// `regions` is zero.
    #[error("the bid accepts no region")]
    Regions,
    /// Zero or too long.
    #[error("{field} is {value} s, allowed is 1 to {max} s")]
    Timeout {
        /// Field of the bid.
        field: &'static str,
        /// Seconds.
        value: u32,
        /// Seconds.
        max: u32,
    },
    /// Zero, or above the job's cycle limit.
    #[error("{value} cycles are expected, allowed is 1 to the cycle limit {limit}")]
    CyclesExpected {
        /// In the bid.
        value: u64,
        /// In the job.
        limit: u64,
    },
    /// The program's memory alone may need more than the bid reserves and pays for.
    #[error("the bid reserves {reserved} MiB, its page limit needs {needed} MiB")]
    Memory {
        /// MiB in the bid.
        reserved: u32,
        /// MiB of the job's pages.
        needed: u32,
    },
    /// Above [`COLLATERAL_BPS_MAX`].
    #[error("the collateral multiple is {0} basis points, the most is {COLLATERAL_BPS_MAX}")]
    Collateral(u32),
    /// Zero or above [`SLOTS_MAX`].
    #[error("the offer has {0} slots, allowed is 1 to {SLOTS_MAX}")]
    Slots(u32),
    /// Zero or above [`SPEED_MAX`].
    #[error("the speed is {0} cycles per second, allowed is 1 to {SPEED_MAX}")]
    Speed(u64),
    /// `peerKey` is zero.
    #[error("the offer names no peer")]
    PeerKey,
    /// Buyer or provider is the zero address.
    #[error("the order names no account")]
    Account,
    /// Replicas other than 1.
    #[error("{0} replicas are asked for, only 1 is supported yet")]
    Replicas(u8),
    /// Any GPU.
    #[error("GPUs are not supported yet")]
    Gpu,
    /// Any limit on round-trip time.
    #[error("limits on round-trip time are not supported yet")]
    RoundTrip,
    /// A rate without a fee, a fee without a rate, or one of them beyond its bound.
    #[error(
        "an audit rate of {rate_bps} basis points with a fee of {fee}; both are zero, or the rate is 1 to {BPS} and the fee 1 to {AUDIT_FEE_MAX}"
    )]
    Audit {
        /// In the bid, basis points.
        rate_bps: u16,
        /// In the bid, base units.
        fee: u128,
    },
    /// Above [`RANK_WINDOW_BLOCKS_MAX`].
    #[error("the rank window is {0} blocks, the most is {RANK_WINDOW_BLOCKS_MAX}")]
    RankWindow(u16),
    /// Zero, or newer than this code.
    #[error("machine version {0} is unknown here, the latest is {MACHINE_VERSION_MAX}")]
    Machine(u32),
}

impl Coded for OrderError {
    fn code(&self) -> &'static Code {
        match self {
            Self::JobMismatch { .. } => &codes::ORDER_JOB_MISMATCH,
            Self::JobLimit { .. } => &codes::ORDER_JOB_LIMIT,
            Self::Tasks { .. } => &codes::ORDER_TASKS,
            Self::Expired { .. } => &codes::ORDER_EXPIRED,
            Self::ExpiryFar { .. } => &codes::ORDER_EXPIRY_FAR,
            Self::Price { .. } => &codes::ORDER_PRICE,
            Self::Regions => &codes::ORDER_REGIONS,
            Self::Timeout { .. } => &codes::ORDER_TIMEOUT,
            Self::CyclesExpected { .. } => &codes::ORDER_CYCLES_EXPECTED,
            Self::Memory { .. } => &codes::ORDER_MEMORY,
            Self::Collateral(_) => &codes::ORDER_COLLATERAL,
            Self::Slots(_) => &codes::ORDER_SLOTS,
            Self::Speed(_) => &codes::ORDER_SPEED,
            Self::PeerKey => &codes::ORDER_PEER_KEY,
            Self::Account => &codes::ORDER_ACCOUNT,
            Self::Replicas(_) => &codes::ORDER_REPLICAS,
            Self::Gpu => &codes::ORDER_GPU,
            Self::RoundTrip => &codes::ORDER_ROUND_TRIP,
            Self::Audit { .. } => &codes::ORDER_AUDIT,
            Self::RankWindow(_) => &codes::ORDER_RANK_WINDOW,
            Self::Machine(_) => &codes::ORDER_MACHINE,
        }
    }
}

fn require(holds: bool, error: OrderError) -> Result<(), OrderError> {
    if holds { Ok(()) } else { Err(error) }
}

fn priced(fields: &[(&'static str, u128)]) -> Result<(), OrderError> {
    fields.iter().try_for_each(|&(field, value)| {
        require(value <= PRICE_MAX, OrderError::Price { field, value })
    })
}

fn live(expiry: u64, now: u64, life_s_max: u64) -> Result<(), OrderError> {
    require(now <= expiry, OrderError::Expired { expiry, now })?;
    let most = now.saturating_add(life_s_max);
    require(expiry <= most, OrderError::ExpiryFar { expiry, most })
}

/// A job's limits against the machine's bounds.
///
/// # Errors
/// [`OrderError::JobLimit`], [`OrderError::Tasks`], [`OrderError::Machine`].
pub fn validate_job(job: &JobSpec) -> Result<(), OrderError> {
    require(
        (1..=MACHINE_VERSION_MAX).contains(&job.machineVersion),
        OrderError::Machine(job.machineVersion),
    )?;
    let limits = [
        ("cycleLimit", job.cycleLimit, 1, CYCLE_LIMIT_MAX),
        ("pageLimit", job.pageLimit.into(), 0, PAGE_LIMIT_MAX.into()),
        ("slotLimit", job.slotLimit, 1, SLOT_LIMIT_MAX),
        (
            "outputLimit",
            job.outputLimit,
            OUTPUT_LIMIT_MIN,
            OUTPUT_LIMIT_MAX,
        ),
    ];
    for (field, value, min, max) in limits {
        require(
            (min..=max).contains(&value),
            OrderError::JobLimit {
                field,
                value,
                min,
                max,
            },
        )?;
    }
    require(
        (1..=TASKS_PER_JOB_MAX).contains(&job.taskCount),
        OrderError::Tasks {
            bid: job.taskCount,
            job: job.taskCount,
        },
    )
}

/// Everything about a bid that needs no chain. `now` is the latest block's time, Unix seconds.
///
/// # Errors
/// The first [`OrderError`] in the order of the fields.
pub fn validate_bid(bid: &Bid, job: &JobSpec, now: u64) -> Result<(), OrderError> {
    validate_bid_form(bid, job)?;
    live(bid.expiry, now, BID_LIFE_S_MAX)
}

/// [`validate_bid`] without the expiry.
///
/// # Errors
/// The first [`OrderError`] in the order of the fields.
pub fn validate_bid_form(bid: &Bid, job: &JobSpec) -> Result<(), OrderError> {
    let found = job_hash(job);
    require(
        bid.jobHash == found,
        OrderError::JobMismatch {
            named: bid.jobHash,
            found,
        },
    )?;
    validate_job(job)?;
    require(bid.buyer != Address::ZERO, OrderError::Account)?;
    require(
        bid.tasks == job.taskCount,
        OrderError::Tasks {
            bid: bid.tasks,
            job: job.taskCount,
        },
    )?;
    require(
        (1..=job.cycleLimit).contains(&bid.cyclesExpected),
        OrderError::CyclesExpected {
            value: bid.cyclesExpected,
            limit: job.cycleLimit,
        },
    )?;
    let needed = job.pageLimit.div_ceil(PAGES_PER_MIB);
    let reserved = bid.resources.memoryMib;
    require(reserved >= needed, OrderError::Memory { reserved, needed })?;
    require(
        bid.resources.gpuClass == 0 && bid.resources.gpuCount == 0,
        OrderError::Gpu,
    )?;
    priced(&[
        ("priceCap", bid.priceCap),
        ("valueOfTime", bid.valueOfTime),
        ("tip", bid.tip),
    ])?;
    require(!bid.regions.is_zero(), OrderError::Regions)?;
    require(
        bid.roundTripMsMax == 0 && bid.roundTripPlace.is_zero(),
        OrderError::RoundTrip,
    )?;
    let (rate_bps, fee) = (bid.auditRateBps, bid.auditFee);
    // A rate without a fee pays nobody, and a fee without a rate never reaches anybody.
    require(
        u32::from(rate_bps) <= BPS && fee <= AUDIT_FEE_MAX && (rate_bps == 0) == (fee == 0),
        OrderError::Audit { rate_bps, fee },
    )?;
    require(
        bid.collateralBps <= COLLATERAL_BPS_MAX,
        OrderError::Collateral(bid.collateralBps),
    )?;
    require(bid.replicas == 1, OrderError::Replicas(bid.replicas))?;
    let timeouts = [
        ("queueTimeout", bid.queueTimeout, QUEUE_TIMEOUT_S_MAX),
        (
            "executionTimeout",
            bid.executionTimeout,
            EXECUTION_TIMEOUT_S_MAX,
        ),
    ];
    for (field, value, max) in timeouts {
        require(
            (1..=max).contains(&value),
            OrderError::Timeout { field, value, max },
        )?;
    }
    require(
        bid.rankWindow <= RANK_WINDOW_BLOCKS_MAX,
        OrderError::RankWindow(bid.rankWindow),
    )
}

/// Everything about an offer that needs no chain. `now` is the latest block's time, Unix seconds.
///
/// # Errors
/// The first [`OrderError`] in the order of the fields.
pub fn validate_offer(offer: &Offer, now: u64) -> Result<(), OrderError> {
    validate_offer_form(offer)?;
    live(offer.expiry, now, OFFER_LIFE_S_MAX)
}

/// [`validate_offer`] without the expiry.
///
/// # Errors
/// The first [`OrderError`] in the order of the fields.
pub fn validate_offer_form(offer: &Offer) -> Result<(), OrderError> {
    require(offer.provider != Address::ZERO, OrderError::Account)?;
    require(
        (1..=SLOTS_MAX).contains(&offer.slots),
        OrderError::Slots(offer.slots),
    )?;
    require(!offer.peerKey.is_zero(), OrderError::PeerKey)?;
    require(
        offer.resources.gpuClass == 0 && offer.resources.gpuCount == 0,
        OrderError::Gpu,
    )?;
    priced(&[
        ("startFee", offer.startFee),
        ("cyclePrice", offer.cyclePrice),
        ("memoryPrice", offer.memoryPrice),
        ("diskPrice", offer.diskPrice),
        ("gpuPrice", offer.gpuPrice),
        ("egressPrice", offer.egressPrice),
        ("tip", offer.tip),
    ])?;
    require(
        (1..=SPEED_MAX).contains(&offer.speed),
        OrderError::Speed(offer.speed),
    )?;
    require(
        (1..=MACHINE_VERSION_MAX).contains(&offer.machineVersion),
        OrderError::Machine(offer.machineVersion),
    )
}

/// What is known about a message that passed [`check`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checked {
    /// Id of the order: the digest that was signed.
    pub hash: B256,
    /// The account that the order names.
    pub signer: Address,
    /// Whether its key signed, or the chain must be asked.
    pub verdict: Verdict,
}

/// Validates a gossip message and judges its signature: all that precedes the questions to the
/// chain (balance, counter, cancelled bits, ERC-1271).
///
/// # Errors
/// [`OrderError`]. A signature that is not the account's key's is no error here but
/// [`Verdict::NeedsContract`].
pub fn check(domain: &Domain, message: &Message, now: u64) -> Result<Checked, OrderError> {
    let (hash, signer, bytes) = match message {
        Message::Bid(signed) => {
            validate_bid(&signed.bid, &signed.job, now)?;
            (
                domain.bid_hash(&signed.bid),
                signed.bid.buyer,
                &signed.signature,
            )
        }
        Message::Offer(signed) => {
            validate_offer(&signed.offer, now)?;
            (
                domain.offer_hash(&signed.offer),
                signed.offer.provider,
                &signed.signature,
            )
        }
    };
    Ok(Checked {
        hash,
        signer,
        verdict: signature::check(hash, signer, bytes),
    })
}

impl Coded for crate::wire::WireError {
    fn code(&self) -> &'static Code {
        &codes::ORDER_MALFORMED
    }
}

impl Coded for crate::money::MoneyError {
    fn code(&self) -> &'static Code {
        &codes::MATCH_AMOUNT
    }
}

impl Coded for crate::claim::ClaimError {
    fn code(&self) -> &'static Code {
        &codes::DEAL_CLAIM
    }
}
