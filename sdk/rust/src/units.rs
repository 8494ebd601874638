//! Amounts for people: units of a token with its symbol, exactly.

use alloy::primitives::U256;

use crate::api::{Amount, TokenInfo};
use crate::error::Error;

/// Most decimal places that a token may have: 10^77 is the largest power of ten below 2^256.
const DECIMALS_MAX: u8 = 77;

/// `amount` base units in units of the token, without needless zeros and without the symbol.
///
/// ```
/// # use outcry_sdk::{api::TokenInfo, units};
/// let usd = TokenInfo { symbol: "tUSD".into(), address: Default::default(), decimals: 6 };
/// assert_eq!(units::plain(1_250_000u64.into(), &usd), "1.25");
/// ```
pub fn plain(amount: Amount, token: &TokenInfo) -> String {
    let digits = amount.to_string();
    let places = usize::from(token.decimals.min(DECIMALS_MAX));
    let padded = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = padded.split_at(padded.len() - places);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

/// The same followed by the symbol: `1.25 tUSD`.
pub fn show(amount: Amount, token: &TokenInfo) -> String {
    format!("{} {}", plain(amount, token), token.symbol)
}

/// Base units of an amount in units of the token: `1.25`, or `1.25 tUSD`.
///
/// # Errors
/// [`Error::Amount`] if it is not a decimal number, names another symbol, has more places than the
/// token, or does not fit 256 bits.
pub fn parse(text: &str, token: &TokenInfo) -> Result<Amount, Error> {
    let wrong = |reason: &str| Error::Amount {
        text: text.to_owned(),
        reason: reason.to_owned(),
    };
    let mut words = text.split_whitespace();
    let number = words.next().ok_or_else(|| wrong("it is empty"))?;
    match (words.next(), words.next()) {
        (None, _) => {}
        (Some(symbol), None) if symbol.eq_ignore_ascii_case(&token.symbol) => {}
        _ => return Err(wrong(&format!("the payment token is {}", token.symbol))),
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) || number.ends_with('.') {
        return Err(wrong("it is not a decimal number such as 1.25"));
    }
    let places = usize::from(token.decimals.min(DECIMALS_MAX));
    if fraction.len() > places {
        return Err(wrong(&format!(
            "{} has {places} decimal places",
            token.symbol
        )));
    }
    U256::from_str_radix(&format!("{whole}{fraction:0<places$}"), 10)
        .map(Amount)
        .map_err(|_| wrong("it does not fit 256 bits"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn token(decimals: u8) -> TokenInfo {
        TokenInfo {
            symbol: "OUT".into(),
            address: Default::default(),
            decimals,
        }
    }

    #[test]
    fn what_is_shown_reads_back_as_the_same_amount() {
        for decimals in [0, 1, 6, 18] {
            for value in [
                0u128,
                1,
                9,
                10,
                1_000_000,
                1_234_567,
                10u128.pow(18),
                u128::MAX,
            ] {
                let shown = show(value.into(), &token(decimals));
                assert_eq!(
                    parse(&shown, &token(decimals)).unwrap(),
                    value.into(),
                    "{shown}"
                );
            }
        }
    }

    #[test]
    fn needless_zeros_are_not_shown() {
        assert_eq!(show(1_500_000u64.into(), &token(6)), "1.5 OUT");
        assert_eq!(show(2_000_000u64.into(), &token(6)), "2 OUT");
        assert_eq!(show(1u64.into(), &token(6)), "0.000001 OUT");
    }

    #[test]
    fn an_amount_that_can_not_be_meant_is_refused() {
        for text in [
            "",
            "-1",
            "1,5",
            ".5",
            "1.",
            "1e3",
            "0.0000001",
            "1 DAI",
            "1 OUT x",
            "0x10",
        ] {
            assert!(parse(text, &token(6)).is_err(), "{text}");
        }
        assert!(parse(&"9".repeat(79), &token(0)).is_err());
    }
}
