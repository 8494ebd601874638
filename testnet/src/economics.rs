//! What checking earns and what attacks cost: the numbers of `verifier/ECONOMICS.md`, from formulas
//! and, where chance plays a part, from a simulation that must agree with them.
//!
//! `cargo run --release -p outcry-testnet --example economics` writes the tables into the note.

pub mod audits;

use std::fmt::Write as _;

use outcry_verifier::game::rules::SEATS;
use outcry_verifier::game::sections;

use crate::public_chain::{
    CHALLENGE_GAS, COLLATERAL_FLOOR_WEI, PARAMETERS, bond_wei, clock_s, gas_of_challenger,
};

/// Wei that opening games costs until so many doublings of the bond.
fn crowding_wei(cycle_limit: u64, doublings: usize) -> u128 {
    let games = 0..doublings * SEATS;
    games.map(|live| bond_wei(cycle_limit, live)).sum()
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

/// The share of false claims that somebody challenges, if so many verifiers check this share of all
/// claims each, and none knows what the others check.
#[must_use]
pub fn found(verifiers: i32, checked: f64) -> f64 {
    1.0 - (1.0 - checked).powi(verifiers)
}

/// What checking one claim gains a verifier on average, in prices, if a share `false_claims` of them is
/// false, and native re-execution costs `cost` prices. All who check are equally fast, so that each has the
/// same part of the rewards.
#[must_use]
pub fn check_gains(
    false_claims: f64,
    multiple: f64,
    cost: f64,
    verifiers: i32,
    checked: f64,
) -> f64 {
    let first = found(verifiers, checked) / (f64::from(verifiers) * checked);
    false_claims * first * multiple / 2.0 - cost
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

/// Who plays in [`play`]. Amounts are in prices of a deal.
#[derive(Debug, Clone, Copy)]
pub struct Players {
    /// The share of its deals in which the provider computes nothing and claims anything.
    pub false_claims: f64,
    /// Verifiers; none knows what the others check.
    pub verifiers: i32,
    /// The share of claims that each of them checks.
    pub checked: f64,
    /// Collateral of a claim.
    pub multiple: f64,
    /// What re-executing a deal natively costs.
    pub cost: f64,
    /// How often an accomplice of the provider, who challenges whatever somebody else challenges, is the
    /// first to win; 0 if there is none.
    pub accomplice_first: f64,
}

/// Averages over many deals, in prices.
#[derive(Debug, Clone, Copy)]
pub struct Played {
    /// What provider and accomplice gain together, per false claim.
    pub per_lie: f64,
    /// What a verifier gains, per claim that it checks.
    pub per_check: f64,
    /// What is still locked in the end, over all deals.
    pub locked: f64,
}

/// Who has money.
#[derive(Debug, Clone, Copy)]
enum Purse {
    /// The provider, from deals in which it lies.
    Liar,
    /// The provider, from other deals.
    Provider,
    Accomplice,
    Verifiers,
    Buyers,
    /// Bonds and collateral, as long as a claim is disputed.
    Game,
    Burned,
    /// Whoever builds blocks and sells computing.
    Others,
}

/// What everybody has gained, in prices of a deal. Money only moves.
#[derive(Debug, Default)]
struct Books([f64; 8]);

impl Books {
    fn pay(&mut self, from: Purse, to: Purse, prices: f64) {
        self.0[from as usize] -= prices;
        self.0[to as usize] += prices;
    }

    fn of(&self, purse: Purse) -> f64 {
        self.0[purse as usize]
    }
}

/// Wei of the price of each deal that is played: disputes cost coins, whatever a deal is worth.
const PRICE_WEI: u128 = 10_000_000_000_000_000_000;
/// Cycle limit of the tasks.
const CYCLE_LIMIT: u64 = 1 << 30;

/// Plays so many deals, one after the other. The provider is paid, or loses its collateral. Who challenges
/// locks a bond and pays for gas as much as is refunded at most; the first to win gets half of the
/// collateral, half of the floor and out of that its gas, but for what is left for the gas of others.
#[must_use]
pub fn play(deals: u32, seed: u64, players: &Players) -> Played {
    let prices = |wei: u128| wei as f64 / PRICE_WEI as f64;
    let gas = u128::from(gas_of_challenger(sections(CYCLE_LIMIT)));
    let gas = prices(gas * u128::from(PARAMETERS.gas_price_cap_wei));
    let floor = prices(COLLATERAL_FLOOR_WEI);

    let mut chance = Chance(seed);
    let mut books = Books::default();
    let (mut lies, mut checks) = (0_u32, 0_u32);
    for _ in 0..deals {
        let lies_now = chance.happens(players.false_claims);
        lies += u32::from(lies_now);
        let mut checking = 0;
        for _ in 0..players.verifiers {
            checking += u32::from(chance.happens(players.checked));
        }
        checks += checking;
        let checking_costs = f64::from(checking) * players.cost;
        books.pay(Purse::Verifiers, Purse::Others, checking_costs);
        if !lies_now {
            books.pay(Purse::Provider, Purse::Others, players.cost);
            books.pay(Purse::Buyers, Purse::Provider, 1.0);
            continue;
        }
        if checking == 0 {
            books.pay(Purse::Buyers, Purse::Liar, 1.0);
            continue;
        }

        // Who found it challenges it, and so does the accomplice, which copies their moves.
        let mut challengers = vec![Purse::Verifiers; checking as usize];
        if players.accomplice_first > 0.0 {
            challengers.push(Purse::Accomplice);
        }
        let bond = |live| prices(bond_wei(CYCLE_LIMIT, live));
        for (live, challenger) in challengers.iter().enumerate() {
            books.pay(*challenger, Purse::Game, bond(live));
            books.pay(*challenger, Purse::Others, gas);
        }
        books.pay(Purse::Liar, Purse::Game, players.multiple + floor);
        // One wins first, and the claim falls.
        let half = (players.multiple + floor) / 2.0;
        books.pay(Purse::Game, Purse::Burned, half);
        let winner = match chance.happens(players.accomplice_first) {
            true => challengers.len() - 1,
            false => 0,
        };
        let others = challengers.len() as f64 - 1.0;
        let pot = (floor / 2.0 - gas).clamp(0.0, others * gas);
        books.pay(Purse::Game, challengers[winner], half - pot);
        for (index, challenger) in challengers.iter().enumerate() {
            books.pay(Purse::Game, *challenger, bond(index));
            if index != winner {
                books.pay(Purse::Game, *challenger, pot / others);
            }
        }
    }
    Played {
        per_lie: (books.of(Purse::Liar) + books.of(Purse::Accomplice)) / f64::from(lies.max(1)),
        per_check: books.of(Purse::Verifiers) / f64::from(checks.max(1)),
        locked: books.of(Purse::Game),
    }
}

/// Checked by these in the tables: four verifiers, who find this share of what is false.
const VERIFIERS: i32 = 4;
const DEALS: u32 = 200_000;
const SEED: u64 = 1;

/// The share of claims that each of [`VERIFIERS`] checks if together they find this share.
fn each(found: f64) -> f64 {
    1.0 - (1.0 - found).powf(1.0 / f64::from(VERIFIERS))
}

/// A table of Markdown.
fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    let rule = vec!["---"; heads.len()];
    for cells in [heads, &rule] {
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    for cells in rows {
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

/// In prices, without a sign where nothing is left of the number.
fn amount(prices: f64) -> String {
    format!("{:.2}", (prices * 100.0).round() / 100.0 + 0.0)
}

fn percent(share: f64) -> String {
    if share <= 1.0 {
        format!("{:.1}%", share * 100.0)
    } else {
        "never".to_owned()
    }
}

/// The tables of the note.
#[must_use]
pub fn tables() -> String {
    [lies(), checks(), attacks(), audits::tables()].join("\n")
}

/// What a lie gains.
fn lies() -> String {
    let mut rows = Vec::new();
    for multiple in [2.0, 4.0, 10.0, 20.0, 40.0, 100.0] {
        let lie = |accomplice_first| {
            let players = Players {
                false_claims: 0.5,
                verifiers: VERIFIERS,
                checked: each(0.2),
                multiple,
                cost: 0.5,
                accomplice_first,
            };
            amount(play(DEALS, SEED, &players).per_lie)
        };
        rows.push(vec![
            format!("{multiple:.0}"),
            percent(least_checked(multiple, 0.0)),
            percent(least_checked(multiple, 2.0)),
            amount(cheat_gains(0.2, multiple)),
            lie(1.0),
            lie(0.5),
            lie(0.0),
        ]);
    }
    table(
        &[
            "collateral, in prices",
            "cheating pays below",
            "cheating loses two prices from",
            "a lie at 20% checked gains",
            "the same, played with an accomplice that is always first",
            "with one that is first half of the time",
            "with none",
        ],
        &rows,
    )
}

/// What a check gains.
fn checks() -> String {
    let mut rows = Vec::new();
    for (multiple, cost) in [
        (4.0, 0.5),
        (4.0, 0.1),
        (20.0, 0.5),
        (20.0, 0.1),
        (100.0, 0.1),
    ] {
        let check = |verifiers| {
            let players = Players {
                false_claims: 0.05,
                verifiers,
                checked: 0.3,
                multiple,
                cost,
                accomplice_first: 0.0,
            };
            let gains = check_gains(0.05, multiple, cost, verifiers, 0.3);
            let played = play(DEALS, SEED, &players).per_check;
            [amount(gains), amount(played)]
        };
        let [alone, alone_played] = check(1);
        let [among, among_played] = check(VERIFIERS);
        rows.push(vec![
            format!("{multiple:.0}"),
            format!("{cost:.1}"),
            percent(cost / (multiple / 2.0)),
            alone,
            alone_played,
            among,
            among_played,
        ]);
    }
    table(
        &[
            "collateral, in prices",
            "native re-execution costs, in prices",
            "checking pays from this share of false claims on",
            "a check at 5% false gains",
            "the same, played",
            "as one of four that check 30% each",
            "the same, played",
        ],
        &rows,
    )
}

/// What attacks cost.
fn attacks() -> String {
    let ether = |wei: u128| format!("{:.4}", wei as f64 / 1e18);
    let mut rows = Vec::new();
    for bits in [30_u32, 36, 40, 44] {
        let limit = 1_u64 << bits;
        let clock = clock_s(limit);
        let bond = bond_wei(limit, 0);
        let attack = bond + u128::from(CHALLENGE_GAS) * u128::from(PARAMETERS.gas_price_cap_wei);
        let locked = crowding_wei(limit, 4);
        rows.push(vec![
            format!("2^{bits}"),
            sections(limit).to_string(),
            format!("{:.1}", clock as f64 / 3600.0),
            ether(bond),
            ether(attack * 86_400 / u128::from(clock)),
            ether(locked),
            ether(locked / 2),
        ]);
    }
    table(
        &[
            "cycle limit",
            "sections",
            "clock, hours",
            "bond, coins",
            "a day of delay costs, coins",
            "raising the bond 16 times locks, coins",
            "of which burn, if the claim is true, at least",
        ],
        &rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public_chain;

    const PLAYED: u32 = 1_000_000;

    /// What a dispute costs in coins, of the deals that are played, is not in the formulas.
    const COINS: f64 = 0.02;

    #[test]
    fn what_is_played_is_what_the_formulas_say() {
        for (false_claims, verifiers, checked, multiple, cost) in [
            (0.5, 1, 0.2, 4.0, 0.5),
            (0.5, 4, 0.05, 4.0, 0.1),
            (0.1, 3, 0.5, 20.0, 0.1),
            (0.9, 8, 0.01, 100.0, 0.3),
        ] {
            let players = Players {
                false_claims,
                verifiers,
                checked,
                multiple,
                cost,
                accomplice_first: 1.0,
            };
            let scale = 1.0 + multiple / 2.0;
            let near = |played: f64, formula: f64, what: &str| {
                let off = (played - formula).abs();
                assert!(
                    off < 0.01 * scale + COINS,
                    "{what}: {played} and {formula} with {players:?}"
                );
            };
            let raced = play(PLAYED, 1, &players);
            let alone = Players {
                accomplice_first: 0.0,
                ..players
            };
            let alone = play(PLAYED, 2, &alone);
            let found = found(verifiers, checked);
            near(raced.per_lie, cheat_gains(found, multiple), "raced");
            // Whom nobody helps loses the other half as well, and the verifiers have it.
            let whole = cheat_gains(found, 2.0 * multiple);
            near(alone.per_lie, whole, "alone");
            near(raced.per_check, -cost, "a check that is raced");
            let gains = check_gains(false_claims, multiple, cost, verifiers, checked);
            near(alone.per_check, gains, "a check");
            for played in [raced, alone] {
                assert!(played.locked.abs() < 1e-3, "{played:?}");
            }
        }
    }

    #[test]
    fn one_verifier_has_all_rewards_and_many_share_them() {
        let gains = |verifiers| check_gains(0.1, 10.0, 0.0, verifiers, 0.5);
        assert!((gains(1) - 0.5).abs() < 1e-9);
        // Of two that check half of all claims each, one is alone half of the time.
        assert!((gains(2) - 0.375).abs() < 1e-9);
        assert!(gains(8) < gains(2));
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
            ("CHALLENGE", public_chain::CHALLENGE_GAS),
            ("SECTION", public_chain::SECTION_GAS),
            ("FINISH", public_chain::FINISH_GAS),
        ] {
            let digits = format!("{}_{:03}", gas / 1000, gas % 1000);
            assert!(terms.contains(&format!("{name}_GAS = {digits};")), "{name}");
        }
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
