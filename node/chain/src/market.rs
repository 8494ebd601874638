//! The market as this crate reads it and sends to it.

use alloy::primitives::Bytes;
use outcry_contracts::{bindings::Market::MarketEvents, refusal};

use crate::Follower;

/// Follows the market's events.
pub type MarketFollower = Follower<MarketEvents>;

/// An [`crate::ErrorDecoder`] for the market and the stake: `DealNotOpen`, say.
#[must_use]
pub fn market_refusal(data: &[u8]) -> Option<String> {
    refusal::name_of_revert(&Bytes::copy_from_slice(data)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_the_market_has_a_name() {
        let mut names = 0;
        for selector in refusal::market_selectors() {
            assert!(market_refusal(selector.as_slice()).is_some(), "{selector}");
            names += 1;
        }
        assert!(names > 0);
        assert_eq!(market_refusal(&[]), None);
        assert_eq!(market_refusal(&[1, 2, 3]), None);
    }
}
