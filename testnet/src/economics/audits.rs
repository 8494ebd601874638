//! What audits are worth: at which rate a lie does not pay, what that costs a buyer, and why an auditor
//! that is drawn runs the task.

use outcry_sdk::INTERPRETER_SLOWDOWN;

use super::{Chance, DEALS, SEED, amount, percent, table};

/// Auditors of a drawn deal on a public chain.
pub const AUDITORS: i32 = 3;
/// Native runs that a fee pays for, as the SDKs propose it: to each auditor, and for the provider's answer.
const INTERPRETER_RUNS: f64 = INTERPRETER_SLOWDOWN as f64;

/// The chance that a deal that is drawn meets an auditor that runs it, if a share `honest` of all seats
/// does and the provider hands the others its trace.
#[must_use]
pub fn met(honest: f64) -> f64 {
    1.0 - (1.0 - honest).powi(AUDITORS)
}

/// What a false claim gains on average, in prices of its deal, if nobody checks but drawn auditors.
#[must_use]
pub fn lie_gains(rate: f64, honest: f64, multiple: f64) -> f64 {
    super::cheat_gains(rate * met(honest), multiple)
}

/// The audit rate at which a lie loses so many prices.
#[must_use]
pub fn least_rate(honest: f64, multiple: f64, loss: f64) -> f64 {
    super::least_checked(multiple, loss) / met(honest)
}

/// What audits cost a buyer on average, in prices, with the fee that the SDKs propose.
#[must_use]
pub fn buyer_pays(rate: f64) -> f64 {
    rate * f64::from(AUDITORS + 1) * INTERPRETER_RUNS
}

/// What a drawn auditor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Auditor {
    /// Runs the task, and says what it finds.
    Runs,
    /// Copies the claim, and makes up the state at its point.
    Guesses,
    /// Does not commit.
    IsSilent,
    /// Endorses whatever the provider claims, with the provider's states.
    Colludes,
}

/// Averages over many deals, in prices; `stake` is what a whole stake is worth.
#[derive(Debug, Clone, Copy)]
pub struct Played {
    /// What the provider gains, per false claim.
    pub per_lie: f64,
    /// What an auditor gains per audit that runs, guesses, is silent.
    pub runs: f64,
    /// See `runs`.
    pub guesses: f64,
    /// See `runs`.
    pub silent: f64,
    /// What buyers pay for audits, per deal.
    pub per_deal: f64,
}

/// Who plays.
#[derive(Debug, Clone, Copy)]
pub struct Players {
    /// The share of its deals in which the provider computes nothing and claims anything.
    pub false_claims: f64,
    /// Chance that a deal is drawn.
    pub rate: f64,
    /// Collateral of a claim.
    pub multiple: f64,
    /// What a native run costs.
    pub cost: f64,
    /// Native runs that the interpreter takes for a task.
    pub slowdown: f64,
    /// What an audit puts at risk.
    pub stake: f64,
    /// What silence costs.
    pub penalty: f64,
    /// The seats whose owners run, guess and are silent; the others collude with the provider.
    pub seats: [f64; 3],
}

/// Plays so many deals by the rules of `contracts/src/Audits.sol`. Nobody checks unasked.
#[must_use]
pub fn play(deals: u32, seed: u64, players: &Players) -> Played {
    let mut chance = Chance(seed);
    // The proposed fee counts runs at the price of a native one, which is more than it costs.
    let share = INTERPRETER_RUNS;
    let mut gains = [(0.0, 0_u32); 3];
    let (mut provider, mut lies, mut buyers) = (0.0, 0_u32, 0.0);
    for _ in 0..deals {
        let lie = chance.happens(players.false_claims);
        lies += u32::from(lie);
        let mut fell = false;
        if chance.happens(players.rate) {
            let drawn: Vec<Auditor> = (0..AUDITORS)
                .map(|_| {
                    let seat = chance.next();
                    let [runs, guesses, silent] = players.seats;
                    match seat {
                        _ if seat < runs => Auditor::Runs,
                        _ if seat < runs + guesses => Auditor::Guesses,
                        _ if seat < runs + guesses + silent => Auditor::IsSilent,
                        _ => Auditor::Colludes,
                    }
                })
                .collect();
            fell = lie && drawn.contains(&Auditor::Runs);
            for auditor in drawn {
                // A claim that fell pays those who contradicted it; of those who endorsed it nothing is
                // decided any more, and a silent one has nothing to answer for.
                let (kind, gain) = match auditor {
                    Auditor::Runs => (0, share - players.cost * (1.0 + players.slowdown)),
                    Auditor::Guesses => (1, if fell { 0.0 } else { -players.stake }),
                    Auditor::IsSilent => (2, if fell { 0.0 } else { -players.penalty }),
                    Auditor::Colludes => {
                        buyers += if fell { 0.0 } else { share };
                        continue;
                    }
                };
                gains[kind].0 += gain;
                gains[kind].1 += 1;
                buyers += if auditor == Auditor::Runs { share } else { 0.0 };
            }
            buyers += if fell { 0.0 } else { share };
        }
        if lie {
            provider += if fell { -players.multiple / 2.0 } else { 1.0 };
        }
    }
    let mean = |(sum, count): (f64, u32)| sum / f64::from(count.max(1));
    Played {
        per_lie: provider / f64::from(lies.max(1)),
        runs: mean(gains[0]),
        guesses: mean(gains[1]),
        silent: mean(gains[2]),
        per_deal: buyers / f64::from(deals),
    }
}

/// Whom the tables draw: the deals of one provider, at the rate at which a lie loses two prices.
fn drawn(multiple: f64, honest: f64) -> Players {
    Players {
        false_claims: 0.5,
        rate: least_rate(honest, multiple, 2.0),
        multiple,
        cost: 0.5,
        slowdown: INTERPRETER_RUNS,
        stake: 1000.0,
        penalty: 100.0,
        seats: [honest, 0.0, 0.0],
    }
}

/// The tables of the note about audits.
#[must_use]
pub fn tables() -> String {
    let rates = [20.0, 100.0, 400.0, 1000.0].map(|multiple| {
        let half = drawn(multiple, 0.5);
        let all = drawn(multiple, 1.0);
        vec![
            format!("{multiple:.0}"),
            percent(all.rate),
            amount(buyer_pays(all.rate)),
            amount(play(DEALS, SEED, &all).per_lie),
            percent(half.rate),
            amount(buyer_pays(half.rate)),
            amount(play(DEALS, SEED, &half).per_lie),
        ]
    });
    let rates = table(
        &[
            "collateral, in prices",
            "a lie loses two prices from this audit rate on",
            "audits cost the buyer, in prices",
            "a lie then gains, played",
            "if half of all seats collude, from",
            "audits cost",
            "a lie then gains, played",
        ],
        &rates,
    );
    let honest = Players {
        false_claims: 0.0,
        rate: 1.0,
        seats: [0.4, 0.3, 0.3],
        ..drawn(100.0, 1.0)
    };
    let played = play(DEALS, SEED, &honest);
    let ways = [
        ("runs it", played.runs),
        ("does not commit", played.silent),
        ("copies the claim and makes up its state", played.guesses),
    ]
    .map(|(way, gain)| vec![way.to_owned(), format!("{gain:.1}")]);
    let ways = table(
        &[
            "of a true claim, an auditor that",
            "gains, in prices (native run 0.5, stake 1,000, penalty 100)",
        ],
        &ways,
    );
    format!("{rates}\n{ways}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lies_lose_what_the_rate_was_chosen_for() {
        for (multiple, honest) in [(20.0, 1.0), (20.0, 0.5), (100.0, 0.5), (400.0, 1.0)] {
            let players = drawn(multiple, honest);
            let formula = lie_gains(players.rate, honest, multiple);
            assert!((formula + 2.0).abs() < 1e-9);
            let played = play(1_000_000, 3, &players);
            let scale = 1.0 + multiple / 2.0;
            assert!(
                (played.per_lie - formula).abs() < 0.01 * scale,
                "{played:?} {players:?}"
            );
        }
    }

    #[test]
    fn running_the_task_is_the_best_answer_however_few_claims_are_false() {
        for false_claims in [0.0, 0.01, 0.3] {
            let players = Players {
                false_claims,
                rate: 1.0,
                seats: [0.4, 0.3, 0.3],
                ..drawn(100.0, 1.0)
            };
            let played = play(200_000, 4, &players);
            assert!(
                played.runs > 0.0 && played.runs > played.silent,
                "{played:?}"
            );
            assert!(played.silent > played.guesses, "{played:?}");
        }
    }

    #[test]
    fn buyers_pay_the_fee_of_the_drawn_share() {
        let players = Players {
            false_claims: 0.0,
            ..drawn(100.0, 1.0)
        };
        let played = play(1_000_000, 5, &players);
        assert!(
            (played.per_deal - buyer_pays(players.rate)).abs() < 0.05,
            "{played:?}"
        );
    }
}
