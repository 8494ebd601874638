//! The market as the node sees it: the book and what is asked. What was paid is in `prices`.

use outcry_sdk::api::{Book, PriceSummary, TokenInfo};
use outcry_sdk::units;
use serde::Serialize;

use super::prices;
use crate::args::Market;
use crate::console::{Console, Show, columns, short};
use crate::failure::Failure;
use crate::settings::Settings;

/// The unit in which prices of cycles are shown: 10^12 cycles are about half an hour of a core.
const SHOWN_CYCLES: u128 = 1_000_000_000_000;

pub(crate) async fn show(
    verb: &Market,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let client = settings.reader()?;
    let network = client.network();
    match verb {
        // Handled before a node was needed.
        Market::Clear(_) => return Err(Failure::internal("a verb without a node")),
        Market::Book => {
            let book = client.node().book().await?;
            let tokens = network.tokens.clone();
            console.result(settings.format(), &BookView { book, tokens })?;
        }
        Market::Trades { limit } => {
            return prices::trades(&client, *limit, settings, console).await;
        }
        Market::History(verb) => return prices::history(&client, verb, settings, console).await,
        Market::Value(verb) => return prices::value(&client, verb, settings, console).await,
        Market::Prices => {
            let prices = client.node().prices().await?;
            let rows = prices
                .into_iter()
                .map(|price| PriceRow {
                    token: network.token_at(price.token),
                    price,
                })
                .collect();
            console.result(settings.format(), &Prices(rows))?;
        }
    }
    Ok(0)
}

/// A price per 10^18 cycles as one per 10^12, rounded up.
fn per_shown(unit_price: u128, token: &TokenInfo) -> String {
    let scaled = unit_price.div_ceil(outcry_protocol::limits::CYCLES_PER_UNIT_PRICE / SHOWN_CYCLES);
    units::show(scaled.into(), token)
}

#[derive(Serialize)]
struct BookView {
    #[serde(flatten)]
    book: Book,
    #[serde(skip)]
    tokens: Vec<TokenInfo>,
}

impl Show for BookView {
    fn table(&self) -> String {
        let token_at = |address| {
            let unknown = || TokenInfo {
                symbol: short(&address),
                address,
                decimals: 0,
            };
            self.tokens
                .iter()
                .find(|token| token.address == address)
                .cloned()
                .unwrap_or_else(unknown)
        };
        let bids: Vec<_> = self
            .book
            .bids
            .iter()
            .map(|entry| {
                [
                    short(&entry.hash),
                    short(&entry.bid.buyer),
                    entry.tasks_open.to_string(),
                    format!("{} MiB", entry.bid.resources.memoryMib),
                    units::show(entry.bid.priceCap.into(), &token_at(entry.bid.token)),
                ]
            })
            .collect();
        let offers: Vec<_> = self
            .book
            .offers
            .iter()
            .map(|entry| {
                let (offer, token) = (&entry.offer, token_at(entry.offer.token));
                [
                    short(&entry.hash),
                    short(&offer.provider),
                    format!("{}/{}", entry.slots_free, offer.slots),
                    format!("{} MiB", offer.resources.memoryMib),
                    offer.speed.to_string(),
                    units::show(offer.startFee.into(), &token),
                    per_shown(offer.cyclePrice, &token),
                ]
            })
            .collect();
        format!(
            "{}\n{}",
            columns(["BID", "BUYER", "TASKS", "MEMORY", "CAP PER TASK"], &bids),
            columns(
                [
                    "OFFER",
                    "PROVIDER",
                    "SLOTS",
                    "MEMORY",
                    "CYCLES/S",
                    "START",
                    "PER 10^12 CYCLES"
                ],
                &offers
            )
        )
    }
}

#[derive(Serialize)]
struct PriceRow {
    #[serde(flatten)]
    price: PriceSummary,
    #[serde(skip)]
    token: TokenInfo,
}

#[derive(Serialize)]
struct Prices(Vec<PriceRow>);

impl Show for Prices {
    fn table(&self) -> String {
        let rows: Vec<_> = self
            .0
            .iter()
            .map(|PriceRow { price, token }| {
                let shown = |amount: outcry_sdk::api::Amount| {
                    per_shown(amount.to_u128().unwrap_or(u128::MAX), token)
                };
                [
                    token.symbol.clone(),
                    price.offers.to_string(),
                    price.slots_free.to_string(),
                    shown(price.unit_price_min),
                    shown(price.unit_price_median),
                    shown(price.unit_price_max),
                    units::show(price.start_fee_min, token),
                ]
            })
            .collect();
        columns(
            [
                "TOKEN",
                "OFFERS",
                "FREE SLOTS",
                "LEAST",
                "MEDIAN",
                "MOST",
                "LEAST START",
            ],
            &rows,
        )
    }
}
