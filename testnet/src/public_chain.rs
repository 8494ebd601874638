//! What disputes cost and how long they take on a public chain, by the numbers that
//! `verifier/ECONOMICS.md` derives. The tests of disputes on the contracts' bytecode read this file too,
//! and compare it with what the contract says.

use outcry_contracts::GameParameters;
use outcry_verifier::game::rules::SEATS;
use outcry_verifier::game::sections;

/// What a deployment fixes.
pub const PARAMETERS: GameParameters = GameParameters {
    inclusion_delay_s: 86_400,
    interpreter_speed: 2_500_000,
    gas_price_cap_wei: 50_000_000_000,
    run_price_wei: 4_000_000_000_000,
};
/// Wei of collateral that every claim locks besides its multiple of the price.
pub const COLLATERAL_FLOOR_WEI: u128 = 150_000_000_000_000_000;

/// Gas of a challenge, as refunded: `contracts/src/game/Terms.sol`.
pub const CHALLENGE_GAS: u64 = 380_000;
/// The same of a section.
pub const SECTION_GAS: u64 = 65_000;
/// The same of a last step with verdict and payouts.
pub const FINISH_GAS: u64 = 350_000;
/// Cycles that the run price pays for.
const RUN_CYCLES: u128 = 1 << 30;

/// Seconds on each party's clock.
#[must_use]
pub fn clock_s(cycle_limit: u64) -> u64 {
    let run_s = cycle_limit.div_ceil(PARAMETERS.interpreter_speed);
    u64::from(PARAMETERS.inclusion_delay_s) + run_s
}

/// Wei of an interpreter's run to the limit.
#[must_use]
pub fn run_wei(cycle_limit: u64) -> u128 {
    (PARAMETERS.run_price_wei * u128::from(cycle_limit)).div_ceil(RUN_CYCLES)
}

/// Gas of a challenger that won after so many sections of both sides.
#[must_use]
pub fn gas_of_challenger(made: u8) -> u64 {
    CHALLENGE_GAS + u64::from(made.div_ceil(2)) * SECTION_GAS + FINISH_GAS
}

/// Gas of a provider that won after so many sections of both sides.
#[must_use]
pub fn gas_of_provider(made: u8) -> u64 {
    u64::from(made / 2) * SECTION_GAS + FINISH_GAS
}

/// Wei that a challenge locks while so many games run against the provider: twice what it may be owed,
/// doubled with every 32 games.
#[must_use]
pub fn bond_wei(cycle_limit: u64, live: usize) -> u128 {
    let gas = gas_of_provider(sections(cycle_limit));
    let gas_wei = u128::from(gas) * u128::from(PARAMETERS.gas_price_cap_wei);
    (2 * (gas_wei + run_wei(cycle_limit))) << (live / SEATS)
}
