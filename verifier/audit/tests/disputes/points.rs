//! Games about the state at an auditor's point: the whole audit by transactions, from the beacon to the
//! judgement, and the step verifier in a run that stops.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use alloy_primitives::{B256, keccak256};
use outcry_contracts::Audits;
use outcry_protocol::claim::TaskResult;
use outcry_verifier::audit::{Seed, answer_commitment, report_commitment};
use outcry_verifier::game::{Party, Trace};
use outcry_verifier::machine::{Point, replay, replay_until};

use crate::audits::STAKE_PER_AUDIT;
use crate::cheats::{Lie, Told};
use crate::game::{Cheat, Contest, Plan, Played, dispute_answer};
use crate::market::{self, CHALLENGER, Claimed, Exchange, find};
use crate::programs::{BULK, FLOAT, Random, TINY};
use crate::subject::{Subject, TASK, TASKS, of_python, of_text};

/// Base units that an audit pays.
const FEE: u128 = 1_000_001;
/// Basis points: every claim is drawn.
const ALWAYS: u16 = 10_000;
const SALT: B256 = B256::repeat_byte(0x5a);

/// Where a point lies in the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    First,
    Somewhere,
    /// Among the last 64th, where points of true claims are.
    Late,
    Behind,
}
const PLACES: [Place; 4] = [Place::First, Place::Somewhere, Place::Late, Place::Behind];

impl Place {
    /// Cycles such that a claim of them draws a point there.
    fn claimed(self, cycles: u64, random: &mut Random) -> u64 {
        match self {
            Self::First => 1,
            Self::Somewhere => 1 + random.below(cycles),
            Self::Late => cycles,
            Self::Behind => 2 * cycles + random.below(cycles),
        }
    }
}

/// How the other party is wrong, in a trace that ends after so many steps.
fn lie(kind: u64, steps: u64, random: &mut Random) -> Lie {
    let somewhere = 1 + random.below(steps);
    match kind % 6 {
        // True but for the very state where the machine stops.
        0 => Lie::Halted(random.hash()),
        1 => Lie::StateFrom(somewhere),
        // Stops a step too early, or one too late.
        2 => Lie::EarlyHalt(steps - 1, random.hash()),
        3 => Lie::LateHalt(steps + 1, random.hash()),
        // Stops where it has to, and does not stay there.
        4 => Lie::StateFrom(steps + somewhere),
        _ => Lie::Inconsistent,
    }
}

/// An audit of the disputed task that has been opened.
struct Opened {
    claimed: Claimed,
    claim_hash: B256,
    point: Point,
    commit_deadline: u64,
}

/// Claims such a result until the beacon draws the disputed task of it.
fn open(exchange: &mut Exchange, subject: &Subject, result: TaskResult) -> Opened {
    loop {
        let deal = exchange.open_audited(subject, ALWAYS, FEE);
        let claimed = exchange.claim(deal, result);
        let claimed_at = exchange.chain.now();
        let claim_hash = exchange.claim_hash(&claimed);
        let seed = Seed::of(exchange.beacon(claimed_at), claim_hash);
        assert!(seed.is_drawn(ALWAYS));
        if seed.task(0, NonZeroU32::new(TASKS).unwrap()) != TASK {
            continue;
        }
        let call = Audits::openCall {
            deal: claimed.deal.clone().into(),
            claim: claimed.claim.clone().into(),
            task: exchange.audited(&claimed),
        };
        let audits = exchange.audits;
        let receipt = exchange.chain.send(CHALLENGER, audits, &call).unwrap();
        let event: Audits::AuditOpened = find(&receipt).unwrap();
        let point = seed.point(0, result.cycles);
        let opened_at = exchange.chain.now();
        let commit_deadline = exchange
            .audit_clocks()
            .commit_deadline(opened_at, result.cycles);
        assert_eq!(event.points, [point.get()]);
        assert_eq!(event.auditors, [CHALLENGER]);
        assert_eq!(event.commitDeadline, commit_deadline);
        assert_eq!(event.leaf, market::halted(&claimed.deal, TASK, result));
        return Opened {
            claimed,
            claim_hash,
            point,
            commit_deadline,
        };
    }
}

/// Both parties commit to a state at the point and reveal it. The auditor endorses the claim, so that the
/// audit is about nothing else.
fn report(exchange: &mut Exchange, leaf: B256, opened: &Opened, asserted: [B256; 2]) {
    let [provider, auditor] = asserted;
    let (audits, account) = (exchange.audits, exchange.provider());
    let claim_hash = opened.claim_hash;
    let commitment = report_commitment(auditor, leaf, SALT, CHALLENGER);
    let call = Audits::commitCall {
        claimHash: claim_hash,
        commitment,
    };
    exchange.chain.send(CHALLENGER, audits, &call).unwrap();
    let commitment = answer_commitment(&[provider], SALT, account);
    let call = Audits::commitCall {
        claimHash: claim_hash,
        commitment,
    };
    exchange.chain.send(account, audits, &call).unwrap();
    let call = Audits::revealCall {
        claimHash: claim_hash,
        state: auditor,
        halted: leaf,
        salt: SALT,
    };
    exchange.chain.send(CHALLENGER, audits, &call).unwrap();
    let call = Audits::answerCall {
        claimHash: claim_hash,
        answers: vec![provider],
        salt: SALT,
    };
    exchange.chain.send(account, audits, &call).unwrap();
}

/// A whole audit in which the parties contradict each other about a point; panics unless who is right
/// wins, and the auditor gets what is due to it.
fn audit(
    exchange: &mut Exchange,
    subject: &Subject,
    place: Place,
    kind: u64,
    honest: Party,
    random: &mut Random,
) -> Played {
    let halted = subject.truth.lock().unwrap().end().unwrap().halted.unwrap();
    let result = TaskResult {
        cycles: place.claimed(halted.cycles, random),
        inner: halted.outcome.inner(),
    };
    let opened = open(exchange, subject, result);
    let truth = Arc::new(Mutex::new(subject.until(opened.point)));
    let end = truth.lock().unwrap().end().unwrap();
    assert_eq!(end.halted.is_some(), opened.point.get() > halted.cycles);
    let lie = lie(kind, end.steps, random);
    let mut told = Told {
        truth: truth.clone(),
        lie: lie.clone(),
        random: Random(random.next()),
    };
    let wrong = told.state(u64::MAX).unwrap();
    let asserted = match honest {
        Party::Challenger => [wrong, end.hash],
        Party::Provider => [end.hash, wrong],
    };
    let leaf = market::halted(&opened.claimed.deal, TASK, result);
    report(exchange, leaf, &opened, asserted);
    let plan = Plan {
        cheat: Cheat::WrongFrom(0),
        honest,
        seed: random.next(),
    };
    let contest = Contest {
        truth: &truth,
        lie,
        asserted,
    };
    let played = dispute_answer(exchange, subject, &opened.claimed, &plan, contest);

    let over = exchange
        .audit_clocks()
        .game_deadline(opened.commit_deadline);
    let now = exchange.chain.now();
    exchange.chain.wait((over + 1).saturating_sub(now));
    let staked = exchange.staked();
    let call = Audits::closeCall {
        deal: opened.claimed.deal.clone().into(),
        claim: opened.claimed.claim.clone().into(),
    };
    let audits = exchange.audits;
    let receipt = exchange.chain.send(CHALLENGER, audits, &call).unwrap();
    let event: Audits::Judged = find(&receipt).unwrap();
    let lost = staked - exchange.staked();
    // Outcome: Right, Wrong.
    let (outcome, paid, slashed) = match honest {
        Party::Challenger => (0, FEE / 2, 0),
        Party::Provider => (4, 0, STAKE_PER_AUDIT),
    };
    assert_eq!((event.account, event.outcome), (CHALLENGER, outcome));
    assert_eq!((event.paid.to::<u128>(), lost), (paid, slashed));
    played
}

#[test]
fn who_is_right_about_a_point_wins_on_the_deployed_bytecode() {
    let of = [
        (1, Some(TINY), 24),
        (2, Some(FLOAT), 24),
        (3, Some(BULK), 24),
        (4, None, 8),
    ];
    let play = |seed, text: Option<&str>, games: u64| {
        let subjects = match text {
            Some(text) => of_text(text),
            None => of_python("print('hello')"),
        };
        let mut exchange = Exchange::new();
        exchange.take_seat(u128::from(games));
        let mut random = Random(seed);
        let mut stopped = 0;
        for index in 0..games {
            // Places and parties in turn, and every lie from both sides.
            let place = PLACES[(index % 4) as usize];
            let kind = index / 2;
            let honest = match (index + index / 4) % 2 {
                0 => Party::Challenger,
                _ => Party::Provider,
            };
            let subject = &subjects[random.below(2) as usize];
            let played = audit(&mut exchange, subject, place, kind, honest, &mut random);
            let halts = place == Place::Behind;
            stopped += u64::from(!halts && played.proven == Some(None));
        }
        stopped
    };
    let stopped: u64 = std::thread::scope(|scope| {
        let threads = of.map(|(seed, text, games)| scope.spawn(move || play(seed, text, games)));
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .sum()
    });
    // Some were decided by the proof of a state that has stopped.
    assert!(stopped > 0);
}

#[test]
fn the_step_verifier_stops_where_the_machine_does() {
    let mut exchange = Exchange::new();
    for (seed, text) in [(1, TINY), (2, FLOAT), (3, BULK)] {
        let [subject, _] = of_text(text);
        let mut random = Random(seed);
        let halted = subject.truth.lock().unwrap().end().unwrap().halted.unwrap();
        let mut points: Vec<u64> = (0..4).map(|_| 1 + random.below(halted.cycles)).collect();
        points.extend([1, halted.cycles, halted.cycles + 1, u64::MAX]);
        for point in points.into_iter().filter_map(Point::new) {
            let mut trace = subject.until(point);
            let end = trace.end().unwrap();
            let mut steps: Vec<u64> = (0..6).map(|_| random.below(end.steps)).collect();
            steps.extend([end.steps - 1, end.steps, end.steps + 1, 1 << 50]);
            for step in steps {
                let before = trace.state(step).unwrap();
                let proof = bytes(&trace.prove(step).unwrap());
                let after = trace.state(step + 1).unwrap();
                let said = exchange.transition_until(before, &proof, point.get());
                assert_eq!(said.unwrap(), after, "step {step} until {point}");
                assert_eq!(replay_until(before, &proof, point), Ok(after));
                if end.halted.is_none() && step >= end.steps {
                    assert_eq!(proof.len(), 256);
                }
            }
        }
    }
}

#[test]
fn nothing_but_its_own_words_proves_that_a_state_has_stopped() {
    let mut exchange = Exchange::new();
    let [subject, _] = of_text(FLOAT);
    let halted = subject.truth.lock().unwrap().end().unwrap().halted.unwrap();
    let point = Point::new(halted.cycles / 2).unwrap();
    let mut trace = subject.until(point);
    let stop = trace.end().unwrap().steps;
    let state = trace.state(stop).unwrap();
    let proof = bytes(&trace.prove(stop).unwrap());
    let mut refused: Vec<(B256, Vec<u8>)> = Vec::new();
    for at in 0..proof.len() {
        let mut other = proof.clone();
        other[at] ^= 1;
        refused.push((state, other));
    }
    // The step that it would make, were it not stopped, whole and cut.
    let step = bytes(&subject.truth.lock().unwrap().prove(stop).unwrap());
    assert_eq!(step[..256], proof);
    for length in [0, 31, 32, 128, 255, 257, 288, step.len() - 32, step.len()] {
        refused.push((state, step[..length].to_vec()));
    }
    // Another state.
    refused.push((keccak256("another"), proof.clone()));
    // One that has not reached the point, as if it had.
    let before = trace.state(stop - 1).unwrap();
    let running = bytes(&trace.prove(stop - 1).unwrap());
    refused.push((before, running[..256].to_vec()));
    // The halted state's proof with another's hash.
    let halted = bytes(&subject.truth.lock().unwrap().prove(1 << 50).unwrap());
    refused.push((state, halted));
    for (before, other) in refused {
        let here = replay_until(before, &other, point);
        let there = exchange.transition_until(before, &other, point.get());
        let error = there.err().map(|reverted| reverted.error);
        assert!(here.is_err(), "{} bytes", other.len());
        assert!(
            matches!(error.as_deref(), Some("ProofMismatch" | "ProofLengthWrong")),
            "{error:?} for {} bytes",
            other.len()
        );
    }
    // One cycle more, and it goes on.
    let later = exchange.transition_until(state, &step, point.get() + (1 << 30));
    assert_eq!(later.unwrap(), replay(state, &step).unwrap());
}

fn bytes(words: &[B256]) -> Vec<u8> {
    words.iter().flat_map(|word| word.0).collect()
}
