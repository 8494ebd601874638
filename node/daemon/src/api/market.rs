//! The market as this node sees it: the book, what is asked, and why a bid is or is not served.
//! All of it from memory; nothing is asked of anybody.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy::primitives::{Address, B256, U256};
use axum::Json;
use axum::extract::State;
use outcry_protocol::codes::{self, Coded};
use outcry_protocol::explain::{self, Change as Suggested};
use outcry_protocol::limits::BPS;
use outcry_protocol::money::{self, slash};
use outcry_protocol::quote;
use outcry_protocol::types::{Bid, JobSpec, Resources};
use outcry_sdk::api::{
    Amount, BidQuestion, BlockRef, Book, BookBid, BookOffer, Change, CheatingQuote,
    ConstraintFailure, ErrorBody, Explanation, PriceSummary, Quote, QuoteFill,
};

use super::error::ApiError;
use super::{Body, Segment};
use crate::node::Node;
use crate::state::State as NodeState;

/// Memory at which unit prices are compared.
const COMPARED_MEMORY_MIB: u32 = 1024;

/// The live orders.
#[utoipa::path(get, path = "/v1/book", tag = "market", responses((status = 200, body = Book)))]
pub(super) async fn book(State(node): State<Arc<Node>>) -> Json<Book> {
    Json(node.read(|state| {
        let book = &state.book;
        Book {
            block: BlockRef {
                number: state.head.number,
                hash: state.head.hash,
                timestamp: state.head.at,
            },
            bids: book
                .live_bids()
                .map(|(hash, signed, ranges)| BookBid {
                    hash: *hash,
                    bid: signed.bid.clone(),
                    job: signed.job.clone(),
                    tasks_open: ranges.iter().fold(0, |sum, range| sum + range.count),
                })
                .collect(),
            offers: book
                .live_offers()
                .map(|(hash, signed)| BookOffer {
                    hash: *hash,
                    offer: signed.offer.clone(),
                    slots_free: signed.offer.slots.saturating_sub(
                        book.slots_open(signed.offer.provider, signed.offer.capacityId),
                    ),
                })
                .collect(),
        }
    }))
}

/// What the live offers ask, per token.
#[utoipa::path(get, path = "/v1/market/prices", tag = "market", responses((status = 200, body = Vec<PriceSummary>)))]
pub(super) async fn prices(State(node): State<Arc<Node>>) -> Json<Vec<PriceSummary>> {
    let reserved = Resources {
        memoryMib: COMPARED_MEMORY_MIB,
        diskMib: 0,
        gpuClass: 0,
        gpuCount: 0,
        egressMib: 0,
    };
    Json(node.read(|state| {
        let mut tokens: BTreeMap<Address, (PriceSummary, Vec<(u128, u32)>)> = BTreeMap::new();
        for (_, signed) in state.book.live_offers() {
            let offer = &signed.offer;
            let Ok(price) = money::unit_price(offer, &reserved) else {
                continue;
            };
            let free = offer
                .slots
                .saturating_sub(state.book.slots_open(offer.provider, offer.capacityId));
            let (summary, all) = tokens.entry(offer.token).or_insert_with(|| {
                let empty = PriceSummary {
                    token: offer.token,
                    offers: 0,
                    slots_free: 0,
                    unit_price_min: price.into(),
                    unit_price_median: price.into(),
                    unit_price_max: price.into(),
                    start_fee_min: offer.startFee.into(),
                    speed_max: 0,
                };
                (empty, Vec::new())
            });
            summary.offers += 1;
            summary.slots_free = summary.slots_free.saturating_add(free);
            summary.unit_price_min = summary.unit_price_min.min(price.into());
            summary.unit_price_max = summary.unit_price_max.max(price.into());
            summary.start_fee_min = summary.start_fee_min.min(offer.startFee.into());
            summary.speed_max = summary.speed_max.max(offer.speed);
            all.push((price, free));
        }
        tokens
            .into_values()
            .map(|(mut summary, mut all)| {
                all.sort_unstable();
                let half = all
                    .iter()
                    .map(|(_, free)| u64::from(*free))
                    .sum::<u64>()
                    .div_ceil(2);
                let mut seen = 0;
                let median = all.iter().find(|(_, free)| {
                    seen += u64::from(*free);
                    seen >= half
                });
                summary.unit_price_median =
                    median.map_or(summary.unit_price_min, |(price, _)| (*price).into());
                summary
            })
            .collect()
    }))
}

/// Why a bid would or would not be served.
#[utoipa::path(post, path = "/v1/explain", tag = "market", request_body = BidQuestion, responses((status = 200, body = Explanation), (status = 400, body = ErrorBody)))]
pub(super) async fn explain(
    State(node): State<Arc<Node>>,
    Body(question): Body<BidQuestion>,
) -> Json<Explanation> {
    Json(node.read(|state| explanation(state, &question.bid, &question.job)))
}

/// Why a known bid is or is not served.
#[utoipa::path(
    get, path = "/v1/explain/{bidHash}", tag = "market", params(("bidHash" = String, Path)),
    responses((status = 200, body = Explanation), (status = 404, body = ErrorBody))
)]
pub(super) async fn explain_known(
    State(node): State<Arc<Node>>,
    Segment(hash): Segment<B256>,
) -> Result<Json<Explanation>, ApiError> {
    let found = node.read(|state| {
        state
            .bid(&hash)
            .map(|signed| explanation(state, &signed.bid, &signed.job))
    });
    found
        .map(Json)
        .ok_or_else(|| ApiError::unknown(&codes::ORDER_UNKNOWN, "bid"))
}

/// Explains a bid from the local book.
pub(super) fn explanation(state: &NodeState, bid: &Bid, job: &JobSpec) -> Explanation {
    let found = explain::explain(&state.book, bid, job);
    let count = |offers: usize| u32::try_from(offers).unwrap_or(u32::MAX);
    let summary = match found.verdict(bid) {
        Some((code, text)) => format!("[{}] {text}", code.id),
        None => format!("{} of {} live offers fit", found.fitting, found.offers),
    };
    Explanation {
        offers: count(found.offers),
        acceptable: count(found.fitting),
        summary,
        bid_problem: found.problem.as_ref().map(|problem| ErrorBody {
            code: problem.code().id.to_owned(),
            message: problem.to_string(),
            help: problem.code().help.to_owned(),
        }),
        failures: found
            .failures
            .iter()
            .map(|failure| {
                let code = failure.constraint.code();
                let nearest = failure
                    .nearest
                    .map_or_else(String::new, |value| format!("; the nearest offers {value}"));
                ConstraintFailure {
                    code: code.id.to_owned(),
                    field: field_of(failure.constraint).to_owned(),
                    offers: count(failure.offers),
                    message: format!(
                        "{} of {} live offers: {}{nearest}",
                        failure.offers, found.offers, code.title
                    ),
                }
            })
            .collect(),
        cheapest_change: found.changes.first().map(|best| {
            let (field, from, to) = change_of(&best.change, bid, job);
            Change {
                field: field.to_owned(),
                from,
                to,
                offer_hash: best.offer,
                message: best.change.to_string(),
            }
        }),
    }
}

/// The field of the bid that a constraint is about.
fn field_of(constraint: outcry_protocol::fit::Constraint) -> &'static str {
    use outcry_protocol::fit::Constraint as C;
    match constraint {
        C::SelfDeal => "buyer",
        C::Token => "token",
        C::Machine => "machineVersion",
        C::Region => "regions",
        C::Attributes => "attributes",
        C::Memory => "memoryMib",
        C::Disk => "diskMib",
        C::Egress => "egressMib",
        C::Gpu => "gpuCount",
        C::Amount | C::Price => "priceCap",
        C::Speed => "executionTimeout",
        C::Collateral | C::ProviderBalance => "collateralBps",
        C::Slots => "tasks",
        C::Barred => "salt",
    }
}

/// Field, present value and value that would match.
fn change_of(change: &Suggested, bid: &Bid, job: &JobSpec) -> (&'static str, String, String) {
    let (other, other_job) = change.applied(bid, job);
    let pair = |field, from: &dyn std::fmt::Display, to: &dyn std::fmt::Display| {
        (field, from.to_string(), to.to_string())
    };
    match change {
        Suggested::PayIn(_) => pair("token", &bid.token, &other.token),
        Suggested::UseMachine(_) => pair(
            "machineVersion",
            &job.machineVersion,
            &other_job.machineVersion,
        ),
        Suggested::AcceptRegion(_) => pair("regions", &bid.regions, &other.regions),
        Suggested::DropAttributes(_) => pair("attributes", &bid.attributes, &other.attributes),
        Suggested::LowerMemory(_) => pair(
            "memoryMib",
            &bid.resources.memoryMib,
            &other.resources.memoryMib,
        ),
        Suggested::LowerDisk(_) => {
            pair("diskMib", &bid.resources.diskMib, &other.resources.diskMib)
        }
        Suggested::LowerEgress(_) => pair(
            "egressMib",
            &bid.resources.egressMib,
            &other.resources.egressMib,
        ),
        Suggested::RaisePriceCap(_) => pair("priceCap", &bid.priceCap, &other.priceCap),
        Suggested::RaiseExecutionTimeout(_) => pair(
            "executionTimeout",
            &bid.executionTimeout,
            &other.executionTimeout,
        ),
        Suggested::LowerCollateral(_) => {
            pair("collateralBps", &bid.collateralBps, &other.collateralBps)
        }
        Suggested::WaitForSlot => pair("tasks", &bid.tasks, &bid.tasks),
        Suggested::WaitForProvider => pair("collateralBps", &bid.collateralBps, &bid.collateralBps),
        Suggested::UseOtherAccount => pair("buyer", &bid.buyer, &"another account"),
    }
}

/// What a bid would get now.
#[utoipa::path(post, path = "/v1/quote", tag = "market", request_body = BidQuestion, responses((status = 200, body = Quote), (status = 400, body = ErrorBody)))]
pub(super) async fn quote(
    State(node): State<Arc<Node>>,
    Body(question): Body<BidQuestion>,
) -> Json<Quote> {
    let BidQuestion { bid, job } = question;
    Json(node.read(|state| {
        let found = quote::quote(&state.book, &bid, &job);
        let collateral =
            |escrow: u128| money::collateral(escrow, bid.collateralBps).unwrap_or(u128::MAX);
        let fills = found.lines.iter().map(|line| {
            let escrow = line.cost_max.saturating_mul(line.tasks.into());
            QuoteFill {
                offer_hash: line.offer,
                provider: line.provider,
                peer_key: state
                    .book
                    .offer(&line.offer)
                    .map_or(B256::ZERO, |signed| signed.offer.peerKey),
                tasks: line.tasks,
                expected_cost: line.cost.saturating_mul(line.tasks.into()).into(),
                escrow: escrow.into(),
                collateral: collateral(escrow).into(),
                expected_s: line.seconds,
            }
        });
        // An uncaught cheat gains what it bills, at most the escrow, for work not done; a caught one loses
        // what burns: the share of checked deals at which the two balance is gain / (gain + loss).
        let (gain, loss) = (
            U256::from(found.escrow),
            U256::from(slash(collateral(found.escrow)).burned),
        );
        let break_even = (gain * U256::from(BPS)).div_ceil((gain + loss).max(U256::from(1)));
        Quote {
            fills: fills.collect(),
            tasks_unplaced: bid.tasks.saturating_sub(found.tasks),
            expected_cost: found.cost.into(),
            escrow: found.escrow.into(),
            balance_needed: found.reserve.into(),
            expected_s: found.seconds,
            cheating: CheatingQuote {
                pays: found.deterrence.cheating_pays,
                gain: Amount(gain),
                loss: Amount(loss),
                break_even_bps: u32::try_from(break_even).unwrap_or(BPS),
            },
        }
    }))
}
