//! How offers rank over the tasks of a deal, and which one may take a deal's place within the rank
//! window of its bid. Vectors: `ranking.json`.

use alloy_primitives::{B256, U256};

use crate::book::Book;
use crate::deal;
use crate::fit;
use crate::ledger::NATIVE;
use crate::limits::CYCLES_PER_UNIT_PRICE;
use crate::money::{self, Tariff};
use crate::types::{Bid, Deal};

/// A better offer's score is at least one part of so many below.
const PARTS: u32 = 100;

/// What the tasks of a deal are expected to cost, base units.
#[must_use]
pub fn expected_cost(bid: &Bid, tariff: &Tariff, count: u32) -> U256 {
    U256::from(tariff.task_price(bid.cyclesExpected)) * U256::from(count)
}

/// Score of a deal of `count` tasks whose expected cost is `cost`: the sum of the marginal scores of
/// its tasks ([`fit::Fit::score`]), which run one after another at `speed` cycles per second. Lower is
/// better; `None` at speed 0.
#[must_use]
pub fn score(bid: &Bid, cost: U256, speed: u64, count: u32) -> Option<U256> {
    let seconds = money::seconds(bid.cyclesExpected, speed)?;
    let finishes = u64::from(count) * (u64::from(count) + 1) / 2;
    // 2^160, and 2^128 * 2^64 * 2^63: the greatest there is instead of more than 256 bits, which no
    // order within the limits needs.
    let time = U256::from(bid.valueOfTime).saturating_mul(U256::from(seconds));
    Some(cost.saturating_add(time.saturating_mul(U256::from(finishes))))
}

/// Whether a score is at least 1% better than another. Nothing is better than zero.
#[must_use]
pub fn is_better(score: U256, than: U256) -> bool {
    let parts = |score: U256, parts: u32| score.saturating_mul(U256::from(parts));
    !than.is_zero() && parts(score, PARTS) <= parts(than, PARTS - 1)
}

/// What a displaced deal's slot would have earned in the `held_s` seconds since its opening, at most
/// one percent of what the deal was expected to cost: `min(floor(unitPrice * speed * held_s / 10^18),
/// floor(cost / 100))`, base units. `speed` is that of the displaced offer.
#[must_use]
pub fn idle_fee(deal: &Deal, cost: U256, speed: u64, held_s: u64) -> U256 {
    let earned = U256::from(deal.unitPrice) * U256::from(speed) * U256::from(held_s)
        / U256::from(CYCLES_PER_UNIT_PRICE);
    earned.min(cost / U256::from(PARTS))
}

/// The best offer of a book for the tasks of a deal that can be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replacement {
    /// The offer.
    pub offer: B256,
    /// Escrow that the deal will lock, base units.
    pub escrow: u128,
    /// Collateral that it will lock, base units.
    pub collateral: u128,
}

/// The best offer of a book for the tasks of an open deal, by score and then by hash, if it is at least
/// 1% better than the deal's. Counted are live offers of other providers that fit, have a slot and the
/// money, and are expected to earn more than the idle fee, which their provider pays as the sender.
///
/// `None` as well where the book has the bid or the displaced offer no more. Whether the window is
/// open, and whether the deal still is, is for the caller to know.
#[must_use]
pub fn replacement(book: &Book, deal: &Deal) -> Option<Replacement> {
    let signed = book.bid(&deal.bidHash)?;
    let displaced = &book.offer(&deal.offerHash)?.offer;
    let (bid, count) = (&signed.bid, deal.taskCount);
    if !book.is_bid_valid(bid) {
        return None;
    }
    let displaced_cost = expected_cost(bid, &Tariff::of_deal(deal), count);
    let displaced_score = score(bid, displaced_cost, displaced.speed, count)?;
    let window_s = deal::starts_by(deal).saturating_sub(deal.openedAt);
    let fee = idle_fee(deal, displaced_cost, displaced.speed, window_s);
    // The sender pays both before it gets its own tip.
    let at_hand = u128::try_from(fee).ok()?.checked_add(deal.buyerTip)?;
    // A range of the bid can be held by a deal only if the buyer could pay for it; what the deal gives
    // back pays for the replacement.
    let escrow_most = book
        .balance(bid.buyer, bid.token)?
        .checked_add(deal.escrow)?;

    let mut best: Option<(U256, Replacement)> = None;
    // In the order of their hashes: of equal ones the first stays.
    for (hash, signed_offer) in book.live_offers() {
        let offer = &signed_offer.offer;
        let Some(fit) = fit::judge(bid, &signed.job, offer, |_| false) else {
            continue;
        };
        let cost = expected_cost(bid, &fit.tariff, count);
        let Some(found) = score(bid, cost, offer.speed, count) else {
            continue;
        };
        if !is_better(found, displaced_score) || best.is_some_and(|(score, _)| score <= found) {
            continue;
        }
        let terms = fit
            .tariff
            .escrow(signed.job.cycleLimit, count)
            .and_then(|escrow| Ok((escrow, money::collateral(escrow, bid.collateralBps)?)));
        let Ok((escrow, collateral)) = terms else {
            continue;
        };
        let floor = book.collateral_floor();
        let of_token = collateral.saturating_add(at_hand);
        let needed = if bid.token == NATIVE {
            [of_token.saturating_add(floor); 2]
        } else {
            [of_token, floor]
        };
        let has = |token, amount| book.balance(offer.provider, token).unwrap_or(0) >= amount;
        let can_serve = count <= fit.tasks_max
            && offer.provider != deal.provider
            && cost > fee
            && escrow <= escrow_most
            && book.slots_open(offer.provider, offer.capacityId) < offer.slots
            && !book.is_barred(deal.bidHash, offer.provider)
            && has(bid.token, needed[0])
            && has(NATIVE, needed[1]);
        if can_serve {
            let found_offer = Replacement {
                offer: *hash,
                escrow,
                collateral,
            };
            best = Some((found, found_offer));
        }
    }
    best.map(|(_, found)| found)
}
