//! Every kind of cheat loses a dispute on the contracts' bytecode: market, dispute game, step
//! verifier, initial states and token as they are deployed, in an EVM in process.
//!
//! Who is right is the product's player on the machine's trace. It lies about nothing and is refused
//! nothing; the other one cheats as provider, by a false claim, or as challenger of a true one. After
//! each game everybody holds exactly what the rules say.
//!
//! 200 games run; ten times as many with `OUTCRY_SOAK=1`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod audits;
mod chain;
#[path = "../../../tests/game/cheats.rs"]
mod cheats;
mod game;
mod market;
mod points;
#[allow(dead_code, reason = "only the programs' text and the random numbers")]
#[path = "../../../tests/game/programs.rs"]
mod programs;
#[allow(unreachable_pub, reason = "a module of outcry-testnet")]
#[path = "../../../../testnet/src/public_chain.rs"]
mod public_chain;
mod subject;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use outcry_audit::agreement::Distribution;
use outcry_verifier::game::{Party, sections};
use outcry_verifier::limits::CYCLE_LIMIT;

use game::{Cheat, Plan, Played, dispute};
use market::Exchange;
use programs::{BULK, FLOAT, Random, TINY};
use subject::{FAMILIES, Subject, of_clearing, of_python, of_text};

/// Kinds of cheats in the order in which they come; the steps are chosen for each game.
const CHEATS: [Cheat; 12] = [
    Cheat::WrongFrom(0),
    Cheat::WrongOutput,
    Cheat::WrongFrom(0),
    Cheat::Silent,
    Cheat::WrongFrom(0),
    Cheat::WrongCycles,
    Cheat::Stalls(0),
    Cheat::WrongFrom(0),
    Cheat::Inconsistent,
    Cheat::HaltsEarly,
    Cheat::Gambles,
    Cheat::HaltsLate,
];
/// A program's name, the two tasks of it, and how many games are played about them.
type Program = (&'static str, fn() -> [Subject; 2], u64);
const PROGRAMS: [Program; 5] = [
    ("tiny", || of_text(TINY), 48),
    ("floats", || of_text(FLOAT), 56),
    ("bulk", || of_text(BULK), 44),
    ("CPython", || of_python("print('hello')"), 40),
    ("clearing", of_clearing, 12),
];

/// What many games came to.
#[derive(Default)]
struct Figures {
    games: u64,
    proofs: u64,
    /// By the cheat's name and whether the provider cheated.
    cheats: BTreeMap<(&'static str, bool), u64>,
    /// Steps that were proven, by the family of their instruction.
    families: BTreeMap<&'static str, u64>,
    refused: BTreeMap<String, u64>,
    sections: Distribution,
    /// Challengers', providers'.
    gas: [Distribution; 2],
    challenge: Distribution,
    section: Distribution,
    finish: Distribution,
    seconds: f64,
}

impl Figures {
    fn record(&mut self, plan: &Plan, played: Played) {
        self.games += 1;
        self.proofs += u64::from(!played.by_timeout);
        let kind = (plan.cheat.name(), plan.honest == Party::Challenger);
        *self.cheats.entry(kind).or_default() += 1;
        if let Some(family) = played.proven {
            *self.families.entry(family.unwrap_or("halted")).or_default() += 1;
        }
        if let Some(error) = played.refused {
            *self.refused.entry(error).or_default() += 1;
        }
        self.sections.record(played.sections.into());
        for (all, spent) in self.gas.iter_mut().zip(played.gas.spent) {
            all.record(spent);
        }
        self.challenge.record(played.gas.challenge);
        self.finish.record(played.gas.finish);
        for gas in played.gas.sections {
            self.section.record(gas);
        }
        self.seconds += played.seconds;
    }

    fn merge(&mut self, other: &Self) {
        self.games += other.games;
        self.proofs += other.proofs;
        for (kind, count) in &other.cheats {
            *self.cheats.entry(*kind).or_default() += count;
        }
        for (family, count) in &other.families {
            *self.families.entry(family).or_default() += count;
        }
        for (error, count) in &other.refused {
            *self.refused.entry(error.clone()).or_default() += count;
        }
        self.sections.merge(&other.sections);
        for (all, gas) in self.gas.iter_mut().zip(&other.gas) {
            all.merge(gas);
        }
        self.challenge.merge(&other.challenge);
        self.section.merge(&other.section);
        self.finish.merge(&other.finish);
        self.seconds += other.seconds;
    }

    fn print(&self, name: &str) {
        let [challenger, provider] = &self.gas;
        println!(
            "{name}: {} games, {} ended by a proof, sections median {} max {}, {:.1} s of games; gas (median, max): \
             challenger ({}, {}), provider ({}, {}), challenge ({}, {}), section ({}, {}), last move with verdict and payout ({}, {})",
            self.games,
            self.proofs,
            self.sections.median(),
            self.sections.max(),
            self.seconds,
            challenger.median(),
            challenger.max(),
            provider.median(),
            provider.max(),
            self.challenge.median(),
            self.challenge.max(),
            self.section.median(),
            self.section.max(),
            self.finish.median(),
            self.finish.max(),
        );
        println!("  proven: {:?}", self.families);
        println!("  refused: {:?}", self.refused);
    }
}

/// The `index`th game about a program, and about which of its two tasks.
fn plan<'s>(
    subjects: &'s [Subject; 2],
    index: u64,
    random: &mut Random,
    wrong: &mut usize,
) -> (&'s Subject, Plan) {
    let kinds = CHEATS.len() as u64;
    let kind = CHEATS[(index % kinds) as usize];
    // Each kind from both sides in turn.
    let honest = match (index + index / kinds) % 2 {
        0 => Party::Challenger,
        _ => Party::Provider,
    };
    let mut subject = &subjects[random.below(2) as usize];
    if kind == Cheat::WrongFrom(0) {
        // Such that who is right makes the last move.
        let even = honest == Party::Challenger;
        let proves =
            |subject: &&Subject| sections(subject.job.cycleLimit).is_multiple_of(2) == even;
        subject = subjects.iter().find(proves).unwrap();
    }
    let cheat = match kind {
        Cheat::WrongFrom(_) => Cheat::WrongFrom(1 + wrong_step(subject, wrong, random)),
        Cheat::Stalls(_) => Cheat::Stalls(1 + random.below(6)),
        other => other,
    };
    let seed = random.next();
    let plan = Plan {
        cheat,
        honest,
        seed,
    };
    (subject, plan)
}

/// A step after which to be wrong: of one family of instructions after the other, so that also the
/// rare ones are proven; anywhere in a long run.
fn wrong_step(subject: &Subject, wrong: &mut usize, random: &mut Random) -> u64 {
    let families = subject.steps_of.len();
    match subject.steps_of.values().nth(*wrong % families.max(1)) {
        Some(steps) => {
            *wrong += 1;
            steps[random.below(steps.len() as u64) as usize]
        }
        None => {
            let steps = subject.truth.lock().unwrap().end().unwrap().steps;
            random.below(steps)
        }
    }
}

fn games(
    seed: u64,
    name: &str,
    subjects: fn() -> [Subject; 2],
    count: u64,
) -> (Figures, BTreeSet<&'static str>) {
    let started = Instant::now();
    let subjects = subjects();
    let mut exchange = Exchange::new();
    let prepared = started.elapsed().as_secs_f64();
    let (mut figures, mut random, mut wrong) = (Figures::default(), Random(seed), 0);
    for index in 0..count {
        let (subject, plan) = plan(&subjects, index, &mut random, &mut wrong);
        let played = dispute(&mut exchange, subject, &plan);
        figures.record(&plan, played);
    }
    let steps = subjects[0].truth.lock().unwrap().end().unwrap().steps;
    figures.print(&format!(
        "{name} ({steps} steps, prepared in {prepared:.1} s)"
    ));
    let reached = subjects.iter().flat_map(|subject| subject.steps_of.keys());
    (figures, reached.copied().collect())
}

#[test]
fn every_kind_of_cheat_loses_on_the_deployed_bytecode() {
    let times = match std::env::var_os("OUTCRY_SOAK") {
        Some(_) => 10,
        None => 1,
    };
    let mut all = Figures::default();
    let mut reached = BTreeSet::new();
    std::thread::scope(|scope| {
        let mut seed = 0;
        let threads = PROGRAMS.map(|(name, subjects, count)| {
            seed += 1;
            scope.spawn(move || games(seed, name, subjects, times * count))
        });
        for thread in threads {
            let joined = thread.join();
            let (figures, families) =
                joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.merge(&figures);
            reached.extend(families);
        }
    });
    all.print("all");
    println!(
        "  cheats, and whether the provider cheated: {:?}",
        all.cheats
    );

    assert_eq!(all.games, times * 200);
    let kinds: BTreeSet<&str> = CHEATS.iter().map(|cheat| cheat.name()).collect();
    for kind in kinds {
        for of_provider in [true, false] {
            assert!(all.cheats.contains_key(&(kind, of_provider)), "{kind}");
        }
    }
    // A step of every family of instructions decided a game.
    assert_eq!(reached, BTreeSet::from(FAMILIES));
    for family in FAMILIES {
        assert!(all.families.contains_key(family), "{family}");
    }
}

#[test]
fn the_contract_asks_the_bonds_and_gives_the_clocks_of_the_formulas() {
    let mut exchange = Exchange::new();
    let [subject, _] = of_text(TINY);
    let mut live = 0;
    for reached in [0, 31, 32, 64] {
        while live < reached {
            exchange.begin_game(&subject);
            live += 1;
        }
        for limit in [0, 1, 1 << 30, (1 << 30) + 1, 1 << 36, CYCLE_LIMIT] {
            let expected = public_chain::bond_wei(limit, live);
            assert_eq!(
                exchange.bond_for(limit),
                expected,
                "{live} games, limit {limit}"
            );
            assert_eq!(exchange.clock_of(limit), public_chain::clock_s(limit));
        }
    }
}
