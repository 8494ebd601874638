//! What was paid on the market: deals, candles, and what capacity was worth.

use std::fmt;
use std::str::FromStr;

use outcry_sdk::api::{
    Amount, HistoryQuery, MarketValue, PriceHistory, TokenInfo, Trade, TradesQuery, ValueQuery,
    Worth,
};
use outcry_sdk::{Client, units};
use serde::Serialize;

use crate::args::{History, Value};
use crate::console::{Console, Show, columns, pairs, short, utc};
use crate::failure::Failure;
use crate::settings::Settings;

/// A price per 10^18 cycles is one per 10^9 cycles with so many more decimal places.
const PRICE_DECIMALS: u8 = 9;
/// Digits of a price that a table shows, from the first that is not 0.
const DIGITS_SHOWN: usize = 6;

/// A point in time: so long before the newest block, or a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Seconds before the newest block.
    Ago(u64),
    /// Unix seconds.
    At(u64),
}

impl Moment {
    fn seconds(self, now: u64) -> u64 {
        match self {
            Self::Ago(seconds) => now.saturating_sub(seconds),
            Self::At(second) => second,
        }
    }
}

/// Seconds of a length of time such as `90s`, `15m`, `24h`, `7d`, `2w`.
fn duration(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let scale = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        duration(text)
            .map(Self::Ago)
            .or_else(|| text.parse().ok().map(Self::At))
            .ok_or_else(|| {
                "give how long ago as 90m, 24h, 7d or 2w, or a second of Unix time".to_owned()
            })
    }
}

/// Length of the intervals of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interval(u32);

/// The lengths that there are, as they are written.
const INTERVALS: [&str; 6] = ["1m", "5m", "15m", "1h", "4h", "1d"];

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = INTERVALS
            .contains(&text)
            .then(|| duration(text).and_then(|seconds| u32::try_from(seconds).ok()));
        seconds
            .flatten()
            .map(Self)
            .ok_or_else(|| format!("prices are kept by {}", INTERVALS.join(", ")))
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = INTERVALS
            .iter()
            .find(|name| duration(name) == Some(self.0.into()));
        f.write_str(named.unwrap_or(&"other"))
    }
}

/// Cycles per second: `1200000000`, `1.2G`, `800M`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Speed(u64);

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, places) = match text.chars().last() {
            Some('k') => (&text[..text.len() - 1], 3),
            Some('M') => (&text[..text.len() - 1], 6),
            Some('G') => (&text[..text.len() - 1], 9),
            Some('T') => (&text[..text.len() - 1], 12),
            _ => (text, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction:0<places$}");
        let is_number = !number.ends_with('.')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !whole.is_empty();
        (is_number && fraction.len() <= places)
            .then(|| digits.parse().ok())
            .flatten()
            .filter(|speed| *speed > 0)
            .map(Self)
            .ok_or_else(|| {
                "give the cycles per second that `outcry provider benchmark` measured, as 1.2G or 800M"
                    .to_owned()
            })
    }
}

/// `outcry market trades`.
pub(crate) async fn trades(
    client: &Client,
    limit: u32,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let query = TradesQuery { limit: Some(limit) };
    let trades = client.node().trades(&query).await?;
    let rows = trades
        .into_iter()
        .map(|trade| TradeRow {
            token: client.network().token_at(trade.token),
            trade,
        })
        .collect();
    console.result(settings.format(), &Trades(rows))?;
    Ok(0)
}

/// `outcry market history`.
pub(crate) async fn history(
    client: &Client,
    verb: &History,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let token = settings.token(client.network())?;
    let now = client.node().status().await?.block.timestamp;
    let query = HistoryQuery {
        token: Some(token.address),
        region: verb.series.region,
        class: verb.series.class,
        interval_s: Some(verb.interval.0),
        since: Some(verb.since.seconds(now)),
        until: verb.until.map(|until| until.seconds(now)),
        limit: Some(verb.limit),
    };
    let history = client.node().history(&query).await?;
    let next = history.next;
    let interval = verb.interval;
    console.result(
        settings.format(),
        &HistoryView {
            history,
            interval,
            token,
        },
    )?;
    if let Some(next) = next {
        console.note(&format!("there is more: go on with --since {next}"));
    }
    Ok(0)
}

/// `outcry market value`.
pub(crate) async fn value(
    client: &Client,
    verb: &Value,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let token = settings.token(client.network())?;
    let now = client.node().status().await?.block.timestamp;
    let query = ValueQuery {
        token: Some(token.address),
        region: verb.series.region,
        class: verb.series.class,
        since: Some(verb.since.seconds(now)),
        until: verb.until.map(|until| until.seconds(now)),
        speed: verb.speed.map(|speed| speed.0),
        slots: verb.slots,
        memory_mib: verb.memory,
    };
    let value = client.node().value(&query).await?;
    console.result(settings.format(), &ValueView { value, token })?;
    Ok(0)
}

/// A price with nine further digits, in units of the token and without its symbol, rounded down to what
/// a table shows.
fn price(price: Amount, token: &TokenInfo) -> String {
    let finer = TokenInfo {
        decimals: token.decimals.saturating_add(PRICE_DECIMALS),
        ..token.clone()
    };
    let exact = units::plain(price, &finer);
    let Some((whole, fraction)) = exact.split_once('.') else {
        return exact;
    };
    let zeros = fraction.len() - fraction.trim_start_matches('0').len();
    let digits = match whole {
        "0" => zeros + DIGITS_SHOWN,
        _ => DIGITS_SHOWN.saturating_sub(whole.len()),
    };
    let shown = fraction.get(..digits).unwrap_or(fraction);
    match shown.trim_end_matches('0') {
        "" => whole.to_owned(),
        shown => format!("{whole}.{shown}"),
    }
}

fn optional_price(amount: Option<Amount>, token: &TokenInfo) -> String {
    amount.map_or_else(|| "-".to_owned(), |amount| price(amount, token))
}

#[derive(Serialize)]
struct TradeRow {
    #[serde(flatten)]
    trade: Trade,
    #[serde(skip)]
    token: TokenInfo,
}

#[derive(Serialize)]
struct Trades(Vec<TradeRow>);

impl Show for Trades {
    fn table(&self) -> String {
        let rows: Vec<_> = self
            .0
            .iter()
            .map(|TradeRow { trade, token }| {
                [
                    utc(trade.paid_at),
                    short(&trade.deal_id),
                    short(&trade.provider),
                    trade.region.to_string(),
                    trade.class.to_string(),
                    trade.tasks.to_string(),
                    trade.cycles.to_string(),
                    units::show(trade.price, token),
                ]
            })
            .collect();
        columns(
            [
                "PAID AT", "DEAL", "PROVIDER", "REGION", "CLASS", "TASKS", "CYCLES", "PRICE",
            ],
            &rows,
        )
    }
}

#[derive(Serialize)]
struct HistoryView {
    #[serde(flatten)]
    history: PriceHistory,
    #[serde(skip)]
    interval: Interval,
    #[serde(skip)]
    token: TokenInfo,
}

impl Show for HistoryView {
    fn table(&self) -> String {
        let (history, token) = (&self.history, &self.token);
        let rows: Vec<_> = history
            .candles
            .iter()
            .map(|candle| {
                [
                    utc(candle.start),
                    price(candle.open, token),
                    price(candle.high, token),
                    price(candle.low, token),
                    price(candle.close, token),
                    candle.deals.to_string(),
                    candle.cycles.to_string(),
                    units::plain(candle.paid, token),
                ]
            })
            .collect();
        let headers = [
            "FROM", "OPEN", "HIGH", "LOW", "CLOSE", "DEALS", "CYCLES", "PAID",
        ];
        format!(
            "{} per 10^9 cycles by {}, {} to {}, as of block {}\n{}",
            token.symbol,
            self.interval,
            utc(history.since),
            utc(history.until),
            history.block.number,
            columns(headers, &rows)
        )
    }
}

#[derive(Serialize)]
struct ValueView {
    #[serde(flatten)]
    value: MarketValue,
    #[serde(skip)]
    token: TokenInfo,
}

impl Show for ValueView {
    fn table(&self) -> String {
        let (value, token) = (&self.value, &self.token);
        let all = || "all".to_owned();
        let row = |worth: &Worth| {
            [
                worth.region.map_or_else(all, |region| region.to_string()),
                worth.class.map_or_else(all, |class| class.to_string()),
                worth.deals.to_string(),
                worth.cycles.to_string(),
                units::plain(worth.paid, token),
                optional_price(worth.cycle_price, token),
                optional_price(worth.gib_hour_price, token),
            ]
        };
        let rows: Vec<_> = value.series.iter().chain([&value.total]).map(row).collect();
        let headers = [
            "REGION",
            "CLASS",
            "DEALS",
            "CYCLES",
            "PAID",
            "PER 10^9 CYCLES",
            "PER GIB-HOUR",
        ];
        let percent = |bps: u32| format!("{}.{:02}%", bps / 100, bps % 100);
        let used = value.utilisation_bps.map_or_else(
            || "unknown, nobody offers slots now".to_owned(),
            |bps| {
                format!(
                    "{} of the time of {} slots",
                    percent(bps),
                    value.slots_offered
                )
            },
        );
        let mut about = vec![("used", used)];
        if let Some(machine) = &value.machine {
            let at = price(machine.cycle_price, token);
            about.push(("price", format!("{at} {} per 10^9 cycles", token.symbol)));
            about.push(("fully booked", units::show(machine.fully_booked, token)));
            let used = machine.as_used.map(|earned| units::show(earned, token));
            about.push(("as used", used.unwrap_or_else(|| "-".to_owned())));
        }
        format!(
            "{}, {} to {}, as of block {}\n{}\n{}",
            token.symbol,
            utc(value.since),
            utc(value.until),
            value.block.number,
            columns(headers, &rows),
            pairs(&about)
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_are_ago_or_seconds_and_intervals_are_those_that_are_kept() {
        assert_eq!("24h".parse(), Ok(Moment::Ago(86_400)));
        assert_eq!("2w".parse(), Ok(Moment::Ago(14 * 86_400)));
        assert_eq!("1700000000".parse(), Ok(Moment::At(1_700_000_000)));
        assert_eq!(Moment::Ago(10).seconds(7), 0);
        for wrong in ["", "h", "-1h", "1y", "1.5h", "99999999999999999999w", "ü"] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
        for name in INTERVALS {
            assert_eq!(name.parse::<Interval>().unwrap().to_string(), name);
        }
        assert!("2h".parse::<Interval>().unwrap_err().contains("1h, 4h"));
    }

    #[test]
    fn a_speed_is_written_as_the_benchmark_shows_it() {
        assert_eq!("1.2G".parse(), Ok(Speed(1_200_000_000)));
        assert_eq!("800M".parse(), Ok(Speed(800_000_000)));
        assert_eq!("7".parse(), Ok(Speed(7)));
        for wrong in [
            "",
            "G",
            ".5G",
            "1.5",
            "1.0000000001G",
            "0",
            "-1",
            "1,2G",
            "1.2.3G",
            "9é",
            "1.",
        ] {
            assert!(wrong.parse::<Speed>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_price_shows_six_digits() {
        let token = TokenInfo {
            symbol: "tUSD".into(),
            address: Default::default(),
            decimals: 6,
        };
        // Base units per 10^18 cycles.
        let shown = |amount: u128| price(amount.into(), &token);
        assert_eq!(shown(1_234_567_890_123), "0.00123456");
        assert_eq!(shown(1_000_000_000_000), "0.001");
        assert_eq!(shown(12_345_678_901_234_567), "12.3456");
        assert_eq!(shown(12_345_678 * 1_000_000_000_000_000), "12345678");
        assert_eq!(shown(0), "0");
    }
}
