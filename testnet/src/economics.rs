//! What checking earns and what attacks cost: the numbers of `verifier/ECONOMICS.md`, from formulas
//! and, where chance plays a part, from a simulation that must agree with them.
//!
//! `cargo run --release -p outcry-testnet --example economics` writes the tables into the note.

use std::fmt::Write as _;

/// Gas that the contract refunds: `contracts/src/game/Terms.sol`.
const SECTION_GAS: u64 = 65_000;
/// The same for a last step with verdict and payouts.
const FINISH_GAS: u64 = 350_000;
/// The same for a challenge.
const CHALLENGE_GAS: u64 = 240_000;
/// Games that a provider plays at a time.
const SEATS: u64 = 32;

/// What a deployment fixes for a public chain: `verifier/ECONOMICS.md` says why.
struct Terms {
    inclusion_delay_s: u64,
    interpreter_speed: u64,
    gas_price_cap_wei: u128,
    run_price_wei: u128,
}

const TERMS: Terms = Terms {
    inclusion_delay_s: 86_400,
    interpreter_speed: 2_500_000,
    gas_price_cap_wei: 50_000_000_000,
    run_price_wei: 4_000_000_000_000,
};

impl Terms {
    /// Seconds on each party's clock.
    fn clock_s(&self, cycle_limit: u64) -> u64 {
        self.inclusion_delay_s + cycle_limit.div_ceil(self.interpreter_speed)
    }

    /// Wei that a challenge locks while `live` games run against the provider.
    fn bond_wei(&self, cycle_limit: u64, live: u64) -> u128 {
        let sections = outcry_verifier::game::sections(cycle_limit);
        let gas = u64::from(sections / 2) * SECTION_GAS + FINISH_GAS;
        let run = (self.run_price_wei * u128::from(cycle_limit)).div_ceil(1 << 30);
        (2 * (u128::from(gas) * self.gas_price_cap_wei + run)) << (live / SEATS)
    }

    /// Wei that opening games costs until `doublings` doublings of the bond: (locked, burned at least).
    fn crowding_wei(&self, cycle_limit: u64, doublings: u64) -> (u128, u128) {
        let bonds: u128 = (0..doublings * SEATS)
            .map(|live| self.bond_wei(cycle_limit, live))
            .sum();
        (bonds, bonds / 2)
    }
}

/// What a false claim gains on average, in prices of its deal, for a provider that computes nothing.
///
/// A false claim is challenged with probability `checked`. If it stands, the price is gained; if not,
/// the collateral of `multiple` prices is lost, half of which an accomplice of the provider may win
/// back by challenging first.
#[must_use]
pub fn cheat_gains(checked: f64, multiple: f64) -> f64 {
    (1.0 - checked) - checked * multiple / 2.0
}

/// The least share of false claims that must be challenged for cheating to lose `loss` prices.
#[must_use]
pub fn least_checked(multiple: f64, loss: f64) -> f64 {
    (1.0 + loss) / (1.0 + multiple / 2.0)
}

/// What checking one claim gains on average, in prices, if a share `false_claims` of them is false, and
/// native re-execution costs `cost` prices.
#[must_use]
pub fn check_gains(false_claims: f64, multiple: f64, cost: f64) -> f64 {
    false_claims * multiple / 2.0 - cost
}

/// SplitMix64, as a number in [0, 1).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn happens(&mut self, probability: f64) -> bool {
        self.next() < probability
    }
}

/// Averages over many deals: what a provider that lies in a share of its deals gains with each lie, and
/// what a verifier gains with each claim that it checks.
#[derive(Debug, Clone, Copy)]
pub struct Played {
    /// In prices, per false claim.
    pub per_lie: f64,
    /// In prices, per checked claim.
    pub per_check: f64,
}

/// Plays `deals` deals: the provider lies with probability `false_claims`, one verifier checks with
/// probability `checked`. A lie that is found costs the collateral; the verifier gets half.
#[must_use]
pub fn play(deals: u32, false_claims: f64, checked: f64, multiple: f64, cost: f64) -> Played {
    let mut chance = Chance(u64::from(deals));
    let (mut provider, mut lies, mut verifier, mut checks) = (0.0, 0_u32, 0.0, 0_u32);
    for _ in 0..deals {
        let (lie, check) = (chance.happens(false_claims), chance.happens(checked));
        let mut reward = 0.0;
        if lie {
            lies += 1;
            // Half of the collateral comes back through an accomplice in the worst case, so that the
            // verifier's reward is counted apart from what the provider loses.
            provider += if check { -multiple / 2.0 } else { 1.0 };
            reward = multiple / 2.0;
        }
        if check {
            checks += 1;
            verifier += reward - cost;
        }
    }
    Played {
        per_lie: provider / f64::from(lies.max(1)),
        per_check: verifier / f64::from(checks.max(1)),
    }
}

/// The tables of the note.
#[must_use]
pub fn tables() -> String {
    let mut text = String::new();
    let mut row = |cells: &[String]| {
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    };
    let heads = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let rule = vec!["---".to_owned(); names.len()];
        [names, rule]
    };
    let percent = |share: f64| {
        if share <= 1.0 {
            format!("{:.1}%", share * 100.0)
        } else {
            "never".to_owned()
        }
    };
    let ether = |wei: u128| format!("{:.4}", wei as f64 / 1e18);

    for line in heads(&[
        "collateral, in prices",
        "cheating pays below",
        "cheating loses two prices from",
        "a lie at 20% checked gains",
        "the same, 200,000 deals played",
    ]) {
        row(&line);
    }
    for multiple in [2.0, 4.0, 10.0, 20.0, 40.0, 100.0] {
        row(&[
            format!("{multiple:.0}"),
            percent(least_checked(multiple, 0.0)),
            percent(least_checked(multiple, 2.0)),
            format!("{:.2}", cheat_gains(0.2, multiple)),
            format!("{:.2}", play(200_000, 0.5, 0.2, multiple, 0.0).per_lie),
        ]);
    }
    row(&[]);

    for line in heads(&[
        "collateral, in prices",
        "native re-execution costs, in prices",
        "checking pays from this share of false claims on",
        "a check at 5% false gains",
        "the same, 200,000 deals played",
    ]) {
        row(&line);
    }
    for (multiple, cost) in [
        (4.0, 0.5),
        (4.0, 0.1),
        (20.0, 0.5),
        (20.0, 0.1),
        (100.0, 0.1),
    ] {
        row(&[
            format!("{multiple:.0}"),
            format!("{cost:.1}"),
            percent(cost / (multiple / 2.0)),
            format!("{:.2}", check_gains(0.05, multiple, cost)),
            format!("{:.2}", play(200_000, 0.05, 0.5, multiple, cost).per_check),
        ]);
    }
    row(&[]);

    for line in heads(&[
        "cycle limit",
        "sections",
        "clock, hours",
        "bond, coins",
        "a day of delay costs, coins",
        "raising the bond 16 times locks, coins",
        "and burns at least",
    ]) {
        row(&line);
    }
    for bits in [30_u32, 36, 40, 44] {
        let limit = 1_u64 << bits;
        let clock = TERMS.clock_s(limit);
        let bond = TERMS.bond_wei(limit, 0);
        let attack = bond + u128::from(CHALLENGE_GAS) * TERMS.gas_price_cap_wei;
        let (locked, burned) = TERMS.crowding_wei(limit, 4);
        row(&[
            format!("2^{bits}"),
            outcry_verifier::game::sections(limit).to_string(),
            format!("{:.1}", clock as f64 / 3600.0),
            ether(bond),
            ether(attack * 86_400 / u128::from(clock)),
            ether(locked),
            ether(burned),
        ]);
    }
    text.replace("|  |\n", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_played_is_what_the_formulas_say() {
        for (false_claims, checked, multiple, cost) in [
            (0.5, 0.2, 4.0, 0.5),
            (0.1, 0.5, 20.0, 0.1),
            (0.9, 0.05, 100.0, 0.3),
        ] {
            let played = play(1_000_000, false_claims, checked, multiple, cost);
            let scale = 1.0 + multiple / 2.0;
            let gains = cheat_gains(checked, multiple);
            assert!(
                (played.per_lie - gains).abs() < 0.005 * scale,
                "{played:?} {gains}"
            );
            let gains = check_gains(false_claims, multiple, cost);
            assert!(
                (played.per_check - gains).abs() < 0.01 * scale,
                "{played:?} {gains}"
            );
        }
    }

    #[test]
    fn cheating_breaks_even_at_the_least_share_and_loses_what_it_says() {
        for multiple in [2.0, 4.0, 40.0] {
            for loss in [0.0, 2.0] {
                let gains = cheat_gains(least_checked(multiple, loss), multiple);
                assert!((gains + loss).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn the_gas_schedule_is_the_contracts() {
        let terms = include_str!("../../contracts/src/game/Terms.sol");
        for (name, gas) in [
            ("CHALLENGE", CHALLENGE_GAS),
            ("SECTION", SECTION_GAS),
            ("FINISH", FINISH_GAS),
        ] {
            let digits = format!("{}_{:03}", gas / 1000, gas % 1000);
            assert!(terms.contains(&format!("{name}_GAS = {digits};")), "{name}");
        }
        assert!(include_str!("../../contracts/src/game/Seats.sol").contains("SEATS = 32;"));
    }

    #[test]
    fn the_note_shows_these_tables() {
        let note = include_str!("../../verifier/ECONOMICS.md");
        assert!(
            note.contains(tables().trim()),
            "run `cargo run --release -p outcry-testnet --example economics`"
        );
    }
}
