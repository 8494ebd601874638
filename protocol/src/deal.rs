//! Deals: the terms that follow from a bid, an offer and a job. Vectors: `claims.json`.

use alloy_primitives::U256;

use crate::hash::Domain;
use crate::money::{self, MoneyError, Tariff};
use crate::types::{Bid, Deal, JobSpec, Offer, Resources};

/// `Deal.resources`, low bits first: memory MiB (32), disk MiB (32), egress MiB (32), GPU class
/// (16), GPU count (16), region (8).
#[must_use]
pub fn packed_resources(reserved: &Resources, region: u8) -> U256 {
    U256::from(reserved.memoryMib)
        | U256::from(reserved.diskMib) << 32
        | U256::from(reserved.egressMib) << 64
        | U256::from(reserved.gpuClass) << 96
        | U256::from(reserved.gpuCount) << 112
        | U256::from(region) << 128
}

/// The reverse of [`packed_resources`]; `None` if bits above them are set.
#[must_use]
pub fn unpacked_resources(packed: U256) -> Option<(Resources, u8)> {
    if packed >> 136 != U256::ZERO {
        return None;
    }
    let field = |shift: usize, bits: usize| -> u64 {
        // A field has at most 32 bits.
        u64::try_from((packed >> shift) & ((U256::from(1) << bits) - U256::from(1)))
            .unwrap_or(u64::MAX)
    };
    let resources = Resources {
        memoryMib: field(0, 32) as u32,
        diskMib: field(32, 32) as u32,
        gpuClass: field(96, 16) as u16,
        gpuCount: field(112, 16) as u16,
        egressMib: field(64, 32) as u32,
    };
    Some((resources, field(128, 8) as u8))
}

/// The terms of a deal that opens at `opened_at` (Unix seconds, the block's timestamp) over `count`
/// tasks from `first_task`. `cell` and `first_task` are chosen by the market: the log of the opening
/// has them. The deal's id is [`Domain::deal_id`].
///
/// # Errors
/// [`MoneyError`] if an amount needs more than 128 bits.
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
            .saturating_add(bid.queueTimeout.into())
            .saturating_add(bid.executionTimeout.into()),
        bidSalt: bid.salt,
        resources: packed_resources(&bid.resources, offer.region),
    })
}
