//! The contracts as this crate reads them and sends to them.

use alloy::primitives::{B256, Bytes};
use alloy::sol_types::{self, SolEventInterface};
use outcry_contracts::Auction::AuctionEvents;
use outcry_contracts::Audits::AuditsEvents;
use outcry_contracts::Game::GameEvents;
use outcry_contracts::{bindings::Market::MarketEvents, refusal};

use crate::Follower;

/// Follows the events of the market, of the dispute game, of the audits and of the auction.
pub type MarketFollower = Follower<ContractEvents>;

/// An event of one of the contracts that a node follows. No two of them have an event in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContractEvents {
    /// Of the market.
    Market(MarketEvents),
    /// Of the dispute game.
    Game(GameEvents),
    /// Of the audits.
    Audits(AuditsEvents),
    /// Of the auction.
    Auction(AuctionEvents),
}

impl SolEventInterface for ContractEvents {
    const NAME: &'static str = "ContractEvents";
    const COUNT: usize =
        MarketEvents::COUNT + GameEvents::COUNT + AuditsEvents::COUNT + AuctionEvents::COUNT;

    fn decode_raw_log(topics: &[B256], data: &[u8]) -> sol_types::Result<Self> {
        let is_one_of = |selectors: &[[u8; 32]]| {
            topics
                .first()
                .is_some_and(|topic| selectors.contains(topic))
        };
        if is_one_of(GameEvents::SELECTORS) {
            GameEvents::decode_raw_log(topics, data).map(Self::Game)
        } else if is_one_of(AuditsEvents::SELECTORS) {
            AuditsEvents::decode_raw_log(topics, data).map(Self::Audits)
        } else if is_one_of(AuctionEvents::SELECTORS) {
            AuctionEvents::decode_raw_log(topics, data).map(Self::Auction)
        } else {
            MarketEvents::decode_raw_log(topics, data).map(Self::Market)
        }
    }
}

/// An [`crate::ErrorDecoder`] for the contracts: `DealNotOpen`, say.
#[must_use]
pub fn market_refusal(data: &[u8]) -> Option<String> {
    refusal::name_of_revert(&Bytes::copy_from_slice(data)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;
    use alloy::primitives::Address;
    use alloy::sol_types::SolEvent;
    use outcry_contracts::{Audits, Game, Market};

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

    #[test]
    fn an_event_is_read_as_the_one_contract_means_it() {
        let contracts: [&[_]; 4] = [
            MarketEvents::SELECTORS,
            GameEvents::SELECTORS,
            AuditsEvents::SELECTORS,
            AuctionEvents::SELECTORS,
        ];
        let all: BTreeSet<_> = contracts.into_iter().flatten().collect();
        assert_eq!(all.len(), ContractEvents::COUNT);
        let seated = Game::Seated {
            game: B256::repeat_byte(1),
        };
        let log = seated.encode_log_data();
        assert_eq!(
            ContractEvents::decode_raw_log(log.topics(), &log.data).unwrap(),
            ContractEvents::Game(GameEvents::Seated(seated))
        );
        let vacated = Audits::Vacated {
            account: Address::repeat_byte(3),
        };
        let log = vacated.encode_log_data();
        assert_eq!(
            ContractEvents::decode_raw_log(log.topics(), &log.data).unwrap(),
            ContractEvents::Audits(AuditsEvents::Vacated(vacated))
        );
        let cancelled = Market::AllOrdersCancelled {
            account: Address::repeat_byte(2),
            counter: 3,
        };
        let log = cancelled.encode_log_data();
        assert_eq!(
            ContractEvents::decode_raw_log(log.topics(), &log.data).unwrap(),
            ContractEvents::Market(MarketEvents::AllOrdersCancelled(cancelled))
        );
        ContractEvents::decode_raw_log(&[B256::ZERO], &[]).unwrap_err();
    }
}
