//! The contracts' errors by name. None has parameters, so that the four bytes of its selector are
//! all there is to know: a call reverts with them, and a batch logs them for each skipped item.

use alloy::primitives::{Bytes, FixedBytes};
use alloy::sol_types::SolInterface;

use crate::bindings::{Auction, Audits, Game, InitialState, Market, Stake, StepVerifier};

/// The name of the contracts' error with this selector: `DealNotOpen`, say.
#[must_use]
pub fn name(selector: FixedBytes<4>) -> Option<&'static str> {
    Market::MarketErrors::name_by_selector(selector.0)
        .or_else(|| Game::GameErrors::name_by_selector(selector.0))
        .or_else(|| Audits::AuditsErrors::name_by_selector(selector.0))
        .or_else(|| Auction::AuctionErrors::name_by_selector(selector.0))
        .or_else(|| Stake::StakeErrors::name_by_selector(selector.0))
        .or_else(|| StepVerifier::StepVerifierErrors::name_by_selector(selector.0))
        .or_else(|| InitialState::InitialStateErrors::name_by_selector(selector.0))
}

/// The name of the error that a call's return data carries.
#[must_use]
pub fn name_of_revert(data: &Bytes) -> Option<&'static str> {
    name(FixedBytes(data.get(..4)?.try_into().ok()?))
}

/// The selectors of all errors of the market.
pub fn market_selectors() -> impl Iterator<Item = FixedBytes<4>> {
    Market::MarketErrors::selectors().map(FixedBytes)
}
