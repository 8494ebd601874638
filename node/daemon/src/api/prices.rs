//! What was paid: deals, candles, what capacity was worth; and the digests by which nodes compare what
//! they matched. All of it from memory.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use alloy::primitives::{Address, B256};
use axum::Json;
use axum::extract::State;
use outcry_protocol::class::Class;
use outcry_protocol::history::{self, Filter, HistoryError, Totals};
use outcry_protocol::limits::{SLOTS_MAX, SPEED_MAX};
use outcry_protocol::shard::ShardSet;
use outcry_sdk::api::{
    BlockRef, Candle, EpochDigest, EpochsQuery, ErrorBody, HistoryQuery, MachineEarnings,
    MarketValue, PriceHistory, Trade, TradesQuery, ValueQuery, Worth,
};

use super::Asked;
use super::error::ApiError;
use crate::node::Node;
use crate::state::chain::Block;
use crate::state::{State as NodeState, deal, epochs, prices};

/// Seconds of an interval when none is asked for.
const INTERVAL_S: u32 = 3_600;
/// Seconds before the newest block at which a history begins when nothing is said.
const HISTORY_S: u64 = 86_400;
/// The same of the value of capacity.
const VALUE_S: u64 = 7 * 86_400;

impl From<HistoryError> for ApiError {
    fn from(error: HistoryError) -> Self {
        Self::malformed(error.to_string())
    }
}

pub(super) fn block_ref(block: Block) -> BlockRef {
    BlockRef {
        number: block.number,
        hash: block.hash,
        timestamp: block.at,
    }
}

/// The token that was asked for, or the network's first.
fn token(node: &Node, asked: Option<Address>) -> Result<Address, ApiError> {
    let first = || node.network.tokens.first().map(|token| token.address);
    asked.or_else(first).ok_or_else(|| {
        ApiError::malformed("the network names no token: say which with `token`, an address")
    })
}

/// Deals whose price was paid, newest first.
#[utoipa::path(
    get, path = "/v1/market/trades", tag = "market", params(("limit" = Option<u32>, Query)),
    responses((status = 200, body = Vec<Trade>), (status = 400, body = ErrorBody))
)]
pub(super) async fn trades(
    State(node): State<Arc<Node>>,
    Asked(query): Asked<TradesQuery>,
) -> Result<Json<Vec<Trade>>, ApiError> {
    let limit = super::limit(query.limit)?;
    Ok(Json(node.read(|state| {
        let mut trades: Vec<Trade> = state.deals.values().filter_map(trade).collect();
        trades.sort_by_key(|trade| Reverse((trade.block, trade.log_index)));
        trades.truncate(limit);
        trades
    })))
}

fn trade(deal: &deal::DealRecord) -> Option<Trade> {
    let settled = prices::settled(deal)?;
    Some(Trade {
        deal_id: deal.id,
        buyer: deal.terms.buyer,
        provider: deal.terms.provider,
        token: settled.token,
        region: settled.region,
        class: Class::of(&settled.reserved),
        memory_mib: settled.reserved.memoryMib,
        tasks: deal.terms.taskCount,
        cycles: settled.cycles.into(),
        price: settled.paid.into(),
        held_s: settled.held_s,
        opened_at: deal.terms.openedAt,
        paid_at: settled.at,
        block: settled.block,
        log_index: settled.log_index,
    })
}

/// Prices that settled deals paid, interval by interval, oldest first.
#[utoipa::path(
    get, path = "/v1/market/history", tag = "market",
    params(
        ("token" = Option<String>, Query), ("region" = Option<u8>, Query), ("class" = Option<String>, Query),
        ("intervalS" = Option<u32>, Query), ("since" = Option<u64>, Query), ("until" = Option<u64>, Query),
        ("limit" = Option<u32>, Query)
    ),
    responses((status = 200, body = PriceHistory), (status = 400, body = ErrorBody))
)]
pub(super) async fn history(
    State(node): State<Arc<Node>>,
    Asked(query): Asked<HistoryQuery>,
) -> Result<Json<PriceHistory>, ApiError> {
    let limit = super::limit(query.limit)?;
    let filter = Filter {
        token: token(&node, query.token)?,
        region: query.region,
        class: query.class,
    };
    let interval_s = query.interval_s.unwrap_or(INTERVAL_S);
    let answer = node.read(|state| {
        let now = state.head.at;
        let since = query.since.unwrap_or(now.saturating_sub(HISTORY_S));
        let until = query.until.unwrap_or(u64::MAX);
        let page = state
            .prices
            .page(&filter, interval_s, (since, until), limit, now)?;
        let position = state.prices.position();
        Ok::<_, HistoryError>(PriceHistory {
            block: block_ref(state.head),
            token: filter.token,
            region: filter.region,
            class: filter.class,
            interval_s,
            since: page.since,
            until: page.until,
            candles: page.candles.iter().map(candle).collect(),
            next: page.next,
            deals: position.deals,
            digest: position.digest,
        })
    });
    Ok(Json(answer?))
}

fn candle((start, candle): &(u64, history::Candle)) -> Candle {
    Candle {
        start: *start,
        open: candle.open.price.into(),
        high: candle.high.into(),
        low: candle.low.into(),
        close: candle.close.price.into(),
        deals: candle.totals.deals,
        cycles: candle.totals.cycles.into(),
        paid: candle.totals.paid.into(),
    }
}

/// What settled deals paid for cycles and memory, and what a machine would have earned.
#[utoipa::path(
    get, path = "/v1/market/value", tag = "market",
    params(
        ("token" = Option<String>, Query), ("region" = Option<u8>, Query), ("class" = Option<String>, Query),
        ("since" = Option<u64>, Query), ("until" = Option<u64>, Query), ("speed" = Option<u64>, Query),
        ("slots" = Option<u32>, Query), ("memoryMib" = Option<u32>, Query)
    ),
    responses((status = 200, body = MarketValue), (status = 400, body = ErrorBody))
)]
pub(super) async fn value(
    State(node): State<Arc<Node>>,
    Asked(query): Asked<ValueQuery>,
) -> Result<Json<MarketValue>, ApiError> {
    // Of all classes: a machine takes whatever fits it.
    let filter = Filter {
        token: token(&node, query.token)?,
        region: query.region,
        class: None,
    };
    let machine = machine(&query)?;
    let answer = node.read(|state| {
        let now = state.head.at;
        let since = query.since.unwrap_or(now.saturating_sub(VALUE_S));
        let until = query.until.unwrap_or(u64::MAX);
        let value = state.prices.value(&filter, (since, until), now)?;
        let is_asked = |class: Class| query.class.is_none_or(|asked| asked == class);
        let asked = value
            .series
            .iter()
            .filter(|(series, _)| is_asked(series.class));
        let seconds = value.until - value.since;
        let slots_offered = slots_offered(state, &filter);
        let held_s = value.totals(|_| true).held_s;
        let utilisation_bps = history::utilisation_bps(held_s, slots_offered, seconds);
        let position = state.prices.position();
        Ok::<_, HistoryError>(MarketValue {
            block: block_ref(state.head),
            token: filter.token,
            since: value.since,
            until: value.until,
            total: worth(
                query.region,
                query.class,
                &value.totals(|series| is_asked(series.class)),
            ),
            series: asked
                .map(|(series, totals)| worth(Some(series.region), Some(series.class), totals))
                .collect(),
            slots_offered,
            utilisation_bps,
            machine: machine.and_then(|(speed, slots)| {
                let fits = |class: Class| {
                    let memory = query.memory_mib.map(u64::from);
                    !class.has_gpu() && memory.is_none_or(|mib| class.memory_mib() <= mib)
                };
                let price = value.totals(|series| fits(series.class)).cycle_price()?;
                let fully_booked = history::earned(price, speed, slots, seconds);
                Some(MachineEarnings {
                    cycle_price: price.into(),
                    fully_booked: fully_booked.into(),
                    as_used: utilisation_bps.map(|bps| history::share(fully_booked, bps).into()),
                })
            }),
            deals: position.deals,
            digest: position.digest,
        })
    });
    Ok(Json(answer?))
}

/// Speed and slots of the machine that is asked about.
fn machine(query: &ValueQuery) -> Result<Option<(u64, u32)>, ApiError> {
    let slots = query.slots.unwrap_or(1);
    match query.speed {
        None if query.slots.is_none() && query.memory_mib.is_none() => Ok(None),
        None => Err(ApiError::malformed(
            "a machine has a speed: give the cycles per second that `outcry provider benchmark` measured as `speed`",
        )),
        Some(speed) if !(1..=SPEED_MAX).contains(&speed) => Err(ApiError::malformed(format!(
            "speed {speed} does not lie between 1 and {SPEED_MAX} cycles per second"
        ))),
        Some(_) if !(1..=SLOTS_MAX).contains(&slots) => Err(ApiError::malformed(format!(
            "slots {slots} do not lie between 1 and {SLOTS_MAX}"
        ))),
        Some(speed) => Ok(Some((speed, slots))),
    }
}

fn worth(region: Option<u8>, class: Option<Class>, totals: &Totals) -> Worth {
    Worth {
        region,
        class,
        deals: totals.deals,
        cycles: totals.cycles.into(),
        held_s: totals.held_s.into(),
        paid: totals.paid.into(),
        cycle_price: totals.cycle_price().map(Into::into),
        gib_hour_price: totals.gib_hour_price().map(Into::into),
    }
}

/// Slots of the pools whose offers are live, as far as their providers have coins for the floor of each
/// deal. A pool's offers overlap while they are renewed.
fn slots_offered(state: &NodeState, filter: &Filter) -> u64 {
    let mut pools: BTreeMap<(Address, B256), u32> = BTreeMap::new();
    for (_, signed) in state.book.live_offers() {
        let offer = &signed.offer;
        if offer.token == filter.token && filter.region.is_none_or(|region| region == offer.region)
        {
            let slots = pools.entry((offer.provider, offer.capacityId)).or_insert(0);
            *slots = offer.slots.max(*slots);
        }
    }
    let mut providers: BTreeMap<Address, (u64, u64)> = BTreeMap::new();
    for ((provider, pool), slots) in pools {
        let open = state.book.slots_open(provider, pool).min(slots);
        let (taken, free) = providers.entry(provider).or_default();
        *taken += u64::from(open);
        *free += u64::from(slots - open);
    }
    let slots = providers
        .into_iter()
        .map(|(provider, (taken, free))| taken + free.min(state.book.floors(provider) as u64));
    slots.sum()
}

/// What this node had in its book and matched at the last blocks, oldest first.
#[utoipa::path(
    get, path = "/v1/market/epochs", tag = "market", params(("since" = Option<u64>, Query)),
    responses((status = 200, body = Vec<EpochDigest>), (status = 400, body = ErrorBody))
)]
pub(super) async fn epochs(
    State(node): State<Arc<Node>>,
    Asked(query): Asked<EpochsQuery>,
) -> Json<Vec<EpochDigest>> {
    let since = query.since.unwrap_or(0);
    let shards = node.fetcher.net.shards();
    Json(node.read(|state| {
        let epochs = state.epochs.since(since);
        epochs.map(|digest| epoch(digest, shards)).collect()
    }))
}

/// `shards` are those that the node takes part in, as long as it runs.
pub(super) fn epoch(epoch: &epochs::EpochDigest, shards: ShardSet) -> EpochDigest {
    EpochDigest {
        block: block_ref(epoch.block),
        shards,
        book_digest: epoch.book,
        match_digest: epoch.matches,
        matches: u32::try_from(epoch.matched).unwrap_or(u32::MAX),
    }
}
