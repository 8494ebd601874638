//! Deals: the terms that follow from a bid, an offer and a job. Vectors: `claims.json`.

use alloy_primitives::U256;

use crate::hash::Domain;
use crate::limits::{AUDIT_FEE_MAX, RANK_BLOCK_S_MAX};
use crate::money::{self, MoneyError, Tariff};
use crate::types::{Bid, Deal, JobSpec, Offer, Resources};

const REGION_SHIFT: usize = 128;
const AUDIT_RATE_SHIFT: usize = 136;
const AUDIT_FEE_SHIFT: usize = 152;
const RANK_WINDOW_SHIFT: usize = 248;

/// `Deal.resources`, low bits first: of the bid memory MiB (32), disk MiB (32), egress MiB (32), GPU
/// class (16), GPU count (16); of the offer region (8); of the bid audit rate in basis points (16), audit
/// fee in base units (96), which must be at most [`AUDIT_FEE_MAX`], and rank window in blocks (8).
#[must_use]
pub fn packed_resources(bid: &Bid, region: u8) -> U256 {
    let reserved = &bid.resources;
    U256::from(reserved.memoryMib)
        | U256::from(reserved.diskMib) << 32
        | U256::from(reserved.egressMib) << 64
        | U256::from(reserved.gpuClass) << 96
        | U256::from(reserved.gpuCount) << 112
        | U256::from(region) << REGION_SHIFT
        | U256::from(bid.auditRateBps) << AUDIT_RATE_SHIFT
        | U256::from(bid.auditFee) << AUDIT_FEE_SHIFT
        | U256::from(bid.rankWindow) << RANK_WINDOW_SHIFT
}

/// What a deal reserves on its slot.
#[must_use]
pub fn reserved(deal: &Deal) -> Resources {
    let field = |shift: usize| deal.resources >> shift;
    Resources {
        memoryMib: (field(0) & U256::from(u32::MAX)).to(),
        diskMib: (field(32) & U256::from(u32::MAX)).to(),
        egressMib: (field(64) & U256::from(u32::MAX)).to(),
        gpuClass: (field(96) & U256::from(u16::MAX)).to(),
        gpuCount: (field(112) & U256::from(u16::MAX)).to(),
    }
}

/// Where a deal's slot is.
#[must_use]
pub fn region(deal: &Deal) -> u8 {
    (deal.resources >> REGION_SHIFT & U256::from(u8::MAX)).to()
}

/// Chance that a claim about this deal is audited, basis points.
#[must_use]
pub fn audit_rate(deal: &Deal) -> u16 {
    (deal.resources >> AUDIT_RATE_SHIFT & U256::from(u16::MAX)).to()
}

/// What an audit of this deal pays to all who take part in it, base units of its token.
#[must_use]
pub fn audit_fee(deal: &Deal) -> u128 {
    (deal.resources >> AUDIT_FEE_SHIFT & U256::from(AUDIT_FEE_MAX)).to()
}

/// Blocks after its opening in which a better offer may take this deal's place; 0 if none may.
#[must_use]
pub fn rank_window(deal: &Deal) -> u8 {
    // 256 - 248 bits are left: 8.
    (deal.resources >> RANK_WINDOW_SHIFT).to()
}

/// The second at which the deal's rank window is over at the latest, and from which its times count: that
/// of the opening if there is none.
#[must_use]
pub fn starts_by(deal: &Deal) -> u64 {
    deal.openedAt
        .saturating_add(u64::from(rank_window(deal)) * RANK_BLOCK_S_MAX)
}

/// The terms of a deal that opens at `opened_at` (Unix seconds, the block's timestamp) over `count`
/// tasks from `first_task`. `cell` and `first_task` are chosen by the market: the log of the opening
/// has them. The deal's id is [`Domain::deal_id`]. A deal that takes the place of another has the terms of
/// a bid without a rank window, under the hash of the bid that was signed.
///
/// # Errors
/// [`MoneyError`] if an amount needs more bits than the deal has for it.
#[expect(clippy::too_many_arguments, reason = "a deal is made of exactly these")]
pub fn terms(
    domain: &Domain,
    bid: &Bid,
    offer: &Offer,
    job: &JobSpec,
    cell: u32,
    first_task: u32,
    count: u32,
    opened_at: u64,
) -> Result<Deal, MoneyError> {
    if bid.auditFee > AUDIT_FEE_MAX {
        return Err(MoneyError::Amount);
    }
    let tariff = Tariff::of(bid, offer)?;
    let escrow = tariff.escrow(job.cycleLimit, count)?;
    Ok(Deal {
        bidHash: domain.bid_hash(bid),
        offerHash: domain.offer_hash(offer),
        jobHash: bid.jobHash,
        buyer: bid.buyer,
        provider: offer.provider,
        token: bid.token,
        capacityId: offer.capacityId,
        cell,
        firstTask: first_task,
        taskCount: count,
        cycleLimit: job.cycleLimit,
        startFee: tariff.start_fee,
        unitPrice: tariff.unit_price,
        priceCap: tariff.price_cap,
        escrow,
        collateral: money::collateral(escrow, bid.collateralBps)?,
        buyerTip: bid.tip,
        providerTip: offer.tip,
        openedAt: opened_at,
        deadline: opened_at
            .saturating_add(u64::from(bid.rankWindow) * RANK_BLOCK_S_MAX)
            .saturating_add(bid.queueTimeout.into())
            .saturating_add(bid.executionTimeout.into()),
        bidSalt: bid.salt,
        resources: packed_resources(bid, offer.region),
    })
}
