//! What a bid would cost now, and whether cheating on it would pay.

use alloy_primitives::{Address, B256, U256};

use crate::book::Book;
use crate::fit::Demand;
use crate::limits::{BPS, MATCHES_PER_BID_MAX};
use crate::matching::{Engine, Request};
use crate::money;
use crate::types::{Bid, JobSpec};

/// What one offer would take of the bid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The offer.
    pub offer: B256,
    /// Who made it.
    pub provider: Address,
    /// Where it is.
    pub region: u8,
    /// Deals, one slot each.
    pub deals: u32,
    /// Tasks over all these deals.
    pub tasks: u32,
    /// Expected price of a task, base units.
    pub cost: u128,
    /// Price of a task at the cycle limit, base units.
    pub cost_max: u128,
    /// Expected seconds until the last of these tasks is done.
    pub seconds: u64,
}

/// The best matches for a bid as the book stands, as if no other bid were there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// By offer hash.
    pub lines: Vec<Line>,
    /// Tasks that found a slot; the rest waits.
    pub tasks: u32,
    /// Expected price of these tasks, base units.
    pub cost: u128,
    /// Their escrow, base units.
    pub escrow: u128,
    /// What the buyer's balance must hold: escrow, and two tips and the audit fee for each deal, base
    /// units.
    pub reserve: u128,
    /// Expected seconds until all of them are done, from their start.
    pub seconds: u64,
    /// Whether cheating would pay.
    pub deterrence: Deterrence,
}

/// Quotes a bid, which need not be signed nor covered. A bid with a price cap of
/// [`crate::limits::PRICE_MAX`] asks for the price whatever it is.
#[must_use]
pub fn quote(book: &Book, bid: &Bid, job: &JobSpec) -> Quote {
    let hash = book.domain().bid_hash(bid);
    let demand = Demand::of(bid, job);
    let mut engine = Engine::suiting(book, &demand);
    let request = Request {
        hash,
        demand: &demand,
        bars_anyone: book.bars_anyone(hash),
        purse: None,
    };
    let (takers, _) = engine.allot(&request, bid.tasks, MATCHES_PER_BID_MAX as u32);
    let lines: Vec<Line> = takers
        .iter()
        .filter_map(|taker| {
            let offer = engine.offer(taker);
            let fields = &book.offer(&offer)?.offer;
            Some(Line {
                offer,
                provider: fields.provider,
                region: fields.region,
                deals: taker.levels.first().copied().unwrap_or(0),
                tasks: taker.levels.iter().sum(),
                cost: taker.fit.cost,
                cost_max: taker.fit.cost_max,
                seconds: taker.fit.seconds.saturating_mul(taker.levels.len() as u64),
            })
        })
        .collect();
    let sum = |of: fn(&Line) -> u128| {
        lines
            .iter()
            .fold(0u128, |all, line| all.saturating_add(of(line)))
    };
    let (cost, escrow) = (
        sum(|line| line.cost.saturating_mul(line.tasks.into())),
        sum(|line| line.cost_max.saturating_mul(line.tasks.into())),
    );
    let per_deal = money::buyer_reserve(0, bid.tip, bid.auditFee).unwrap_or(u128::MAX);
    let beside_escrow = per_deal.saturating_mul(sum(|line| line.deals.into()));
    Quote {
        tasks: lines.iter().map(|line| line.tasks).sum(),
        cost,
        escrow,
        reserve: escrow.saturating_add(beside_escrow),
        seconds: lines.iter().map(|line| line.seconds).max().unwrap_or(0),
        deterrence: deterrence(escrow, bid.collateralBps, bid.auditRateBps),
        lines,
    }
}

/// What a provider that claims a made-up result can expect, if nobody checks but drawn auditors.
/// A buyer or verifier that re-executes unasked deters besides; no number stands for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deterrence {
    /// Expected gain: the price, times the chance of not being audited. Base units, rounded up.
    pub gain: U256,
    /// Expected loss: what burns of the collateral, times the chance of being audited; the other
    /// half may come back to a cheat that challenges himself. Base units, rounded down.
    pub loss: U256,
    /// The expected gain exceeds the expected loss.
    pub cheating_pays: bool,
    /// The expected loss exceeds the gain by at least twice the price, as the defaults should.
    pub ample: bool,
}

/// Expectation of a cheat at an audit rate and a collateral multiple, both in basis points.
#[must_use]
pub fn deterrence(price: u128, collateral_bps: u32, audit_rate_bps: u16) -> Deterrence {
    let rate = u32::from(audit_rate_bps).min(BPS);
    let burned = money::slash(money::collateral(price, collateral_bps).unwrap_or(u128::MAX)).burned;
    let whole = U256::from(BPS);
    let gain = U256::from(price) * U256::from(BPS - rate);
    let loss = U256::from(burned) * U256::from(rate);
    Deterrence {
        gain: gain.div_ceil(whole),
        loss: loss / whole,
        cheating_pays: gain > loss,
        ample: loss >= gain + U256::from(price) * U256::from(2) * whole,
    }
}
