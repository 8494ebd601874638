//! The player against cheats, as challenger and as provider, before a referee that is the contract's
//! rules.

use std::sync::{Arc, Mutex};

use alloy_primitives::{B256, keccak256};
use outcry_verifier::game::{
    Challenge, Clocks, Decision, Game, List, Move, Party, Standing, Trace, View, next_move,
};

use crate::cheats::{Lie, Player, Shared, Told};
use crate::programs::{BULK, IN_TIME, Random, Task, three};

/// Seconds on each clock; a move takes one.
const CLOCK_SECONDS: u32 = 100;

/// How a game ended.
#[derive(Debug)]
struct Ended {
    game: Game,
    by_timeout: bool,
    /// Moves of the honest party.
    sections: u8,
    proofs: u8,
}

/// Plays to the end. `honest` moves are never refused; a party whose move is refused, or that makes
/// none, runs out of time.
fn play(
    mut challenger: Player,
    mut provider: Player,
    challenge: Challenge,
    honest: Party,
) -> Ended {
    let mut ended = Ended {
        game: Game::begin(challenge).unwrap(),
        by_timeout: false,
        sections: 0,
        proofs: 0,
    };
    let mut now = 1_000;
    let mut clocks = Clocks {
        since: now,
        challenger_left: CLOCK_SECONDS,
        provider_left: CLOCK_SECONDS,
        seated: true,
    };
    while ended.game.winner().is_none() {
        let turn = ended.game.turn();
        let (mover, other) = match turn {
            Party::Challenger => (&mut challenger, &mut provider),
            Party::Provider => (&mut provider, &mut challenger),
        };
        let game = ended.game.clone();
        let view = |me| View {
            game: &game,
            clocks,
            claim_fell: false,
            me,
        };
        now += 1;
        let decision = mover.decide(&view(turn), now);
        if turn == honest {
            let again = mover.decide(&view(turn), now);
            assert_eq!(decision, again, "the same view, the same move");
        }
        let taken = match &decision {
            Decision::Move(Move::Section { part, ends }) => {
                ended.game.section(turn, part, ends).map(|()| 1)
            }
            Decision::Move(made @ Move::Prove { part, .. }) => ended
                .game
                .prove(turn, part, &made.proof_bytes())
                .map(|()| 0),
            other => {
                assert_ne!(turn, honest, "the honest party does {other:?}");
                Ok(2)
            }
        };
        if turn == honest {
            match taken.expect("the honest party's move is one") {
                0 => ended.proofs += 1,
                _ => ended.sections += 1,
            }
        }
        if taken == Ok(0) {
            break;
        }
        if taken == Ok(1) {
            let Standing::Running { left, .. } = clocks.standing(turn, now) else {
                panic!("a second per move is in time");
            };
            match turn {
                Party::Challenger => clocks.challenger_left = left,
                Party::Provider => clocks.provider_left = left,
            }
            clocks.since = now;
            continue;
        }
        // Nothing that counts: wait until the clock has run out, and not a second longer.
        let Standing::Running { left, .. } = clocks.standing(turn, now) else {
            panic!("the mover had time");
        };
        now += u64::from(left);
        let opponent = turn.other();
        assert_eq!(
            other.decide(&view(opponent), now),
            Decision::Wait,
            "the last second of a clock is in time"
        );
        now += 1;
        let decision = other.decide(&view(opponent), now);
        assert_eq!(decision, Decision::Move(Move::Timeout));
        ended.by_timeout = true;
        ended.game.end(opponent);
    }
    ended
}

fn shared(task: &Task) -> Shared {
    Arc::new(Mutex::new(task.trace()))
}

/// One of all ways to cheat about a run of so many steps.
fn cheat(truth: &Shared, random: &mut Random, asserted: B256) -> (Player, B256) {
    let end = truth.lock().unwrap().end().unwrap();
    let seed = random.next();
    let lie = match random.below(8) {
        0 => Lie::Halted(random.hash()),
        1 => Lie::EarlyHalt(1 + random.below(end.steps), random.hash()),
        2 => Lie::LateHalt(end.steps + 1 + random.below(1 << 30), random.hash()),
        3..=5 => Lie::StateFrom(1 + random.below(end.steps)),
        _ => Lie::Inconsistent,
    };
    let mut trace = Told::told(truth, lie);
    trace.random = Random(seed);
    let mut halted = trace.state(1 << 60).unwrap();
    if halted == asserted {
        halted = random.hash();
    }
    let (moves_left, gambles) = match random.below(4) {
        0 => (u64::MAX, Some(Random(seed))),
        1 => (random.below(6), None),
        _ => (u64::MAX, None),
    };
    let player = Player {
        trace,
        moves_left,
        gambles,
    };
    (player, halted)
}

/// Games that `honest` plays against cheats; how many of them ended with a proof.
fn games(task: &Task, honest: Party, seeds: std::ops::Range<u64>) -> u64 {
    let truth = shared(task);
    let initial = truth.lock().unwrap().state(0).unwrap();
    let end = truth.lock().unwrap().end().unwrap();
    let mut proofs = 0;
    for seed in seeds {
        let mut random = Random(seed);
        let (cheat, halted) = cheat(&truth, &mut random, end.hash);
        let upright = Player::honest(&truth);
        let challenge = Challenge {
            initial,
            asserted: match honest {
                Party::Challenger => halted,
                Party::Provider => end.hash,
            },
            halted: match honest {
                Party::Challenger => end.hash,
                Party::Provider => halted,
            },
            // Whose turn the last move is depends on the number's parity.
            sections: task.sections() - (seed % 2) as u8,
        };
        let ended = match honest {
            Party::Challenger => play(upright, cheat, challenge, honest),
            Party::Provider => play(cheat, upright, challenge, honest),
        };
        assert_eq!(ended.game.winner(), Some(honest), "seed {seed}: {ended:?}");
        assert!(ended.sections <= task.sections().div_ceil(2) && ended.proofs <= 1);
        assert_eq!(ended.proofs == 0, ended.by_timeout, "seed {seed}");
        proofs += u64::from(ended.proofs);
    }
    proofs
}

#[test]
fn an_honest_challenger_wins_against_every_cheat() {
    for task in three() {
        let proofs = games(task, Party::Challenger, 0..100);
        assert!(
            (10..=90).contains(&proofs),
            "{proofs} games ended with a proof"
        );
    }
}

#[test]
fn an_honest_provider_wins_against_every_cheat() {
    for task in three() {
        let proofs = games(task, Party::Provider, 1_000..1_100);
        assert!(
            (10..=90).contains(&proofs),
            "{proofs} games ended with a proof"
        );
    }
}

#[test]
fn the_honest_side_wins_about_cpython_too() {
    let task = Task::python("print('hello')");
    games(&task, Party::Challenger, 0..8);
    games(&task, Party::Provider, 8..16);
}

#[test]
fn who_lied_himself_or_holds_other_data_stops() {
    let task = &three()[0];
    let truth = shared(task);
    let (initial, end) = {
        let mut trace = truth.lock().unwrap();
        (trace.state(0).unwrap(), trace.end().unwrap())
    };
    let challenge = Challenge {
        initial,
        asserted: end.hash,
        halted: B256::repeat_byte(1),
        sections: task.sections(),
    };
    let game = Game::begin(challenge).unwrap();
    let view = View {
        game: &game,
        clocks: IN_TIME,
        claim_fell: false,
        me: Party::Challenger,
    };
    let mut honest = Told::truly(&truth);
    assert_eq!(next_move(&view, &mut honest, 5).unwrap(), Decision::Agrees);
    let other_input = Task {
        archive: b"other archive".to_vec(),
        ..task.clone()
    };
    let mut elsewhere = Told::truly(&shared(&other_input));
    assert_eq!(
        next_move(&view, &mut elsewhere, 5).unwrap(),
        Decision::StartsElsewhere
    );
}

#[test]
fn a_player_waits_when_nothing_can_be_won_by_moving() {
    let task = &three()[0];
    let truth = shared(task);
    let initial = truth.lock().unwrap().state(0).unwrap();
    let challenge = Challenge {
        initial,
        asserted: B256::repeat_byte(1),
        halted: truth.lock().unwrap().end().unwrap().hash,
        sections: task.sections(),
    };
    let mut game = Game::begin(challenge).unwrap();
    let mut trace = Told::truly(&truth);
    let clocks = Clocks {
        since: 100,
        challenger_left: 10,
        provider_left: 10,
        seated: false,
    };
    let mut decide = |game: &Game, me, now, claim_fell| {
        let view = View {
            game,
            clocks,
            claim_fell,
            me,
        };
        next_move(&view, &mut trace, now).unwrap()
    };
    // In time, out of time, seen by the other, and when another game was won already.
    let moved = decide(&game, Party::Challenger, 110, false);
    assert!(matches!(moved, Decision::Move(Move::Section { .. })));
    assert_eq!(decide(&game, Party::Challenger, 111, false), Decision::Wait);
    assert_eq!(decide(&game, Party::Provider, 110, false), Decision::Wait);
    assert_eq!(
        decide(&game, Party::Provider, 111, false),
        Decision::Move(Move::Timeout)
    );
    assert_eq!(decide(&game, Party::Challenger, 105, true), Decision::Wait);
    assert_eq!(decide(&game, Party::Provider, 111, true), Decision::Wait);
    // A provider without a seat has four clocks more.
    let Decision::Move(Move::Section { part, ends }) = moved else {
        panic!("a section");
    };
    game.section(Party::Challenger, &part, &ends).unwrap();
    assert_eq!(decide(&game, Party::Challenger, 150, false), Decision::Wait);
    assert_eq!(
        decide(&game, Party::Challenger, 151, false),
        Decision::Move(Move::Timeout)
    );
    game.end(Party::Challenger);
    assert_eq!(decide(&game, Party::Challenger, 105, false), Decision::Wait);
}

#[test]
fn one_trace_serves_games_that_are_played_at_the_same_time() {
    // Two cheats part from the truth at different steps; each move of one game comes between two of
    // the other.
    let task = Task::of(BULK, b"");
    let truth = shared(&task);
    let (initial, end) = {
        let mut trace = truth.lock().unwrap();
        (trace.state(0).unwrap(), trace.end().unwrap())
    };
    let mut sides: Vec<(Game, Told)> = [end.steps / 3, end.steps - 2]
        .into_iter()
        .map(|from| {
            let mut cheat = Told::told(&truth, Lie::StateFrom(from));
            let challenge = Challenge {
                initial,
                asserted: cheat.state(1 << 60).unwrap(),
                halted: end.hash,
                sections: task.sections(),
            };
            (Game::begin(challenge).unwrap(), cheat)
        })
        .collect();
    let mut honest = Told::truly(&truth);
    for _ in 0..=task.sections() {
        for (game, cheat) in &mut sides {
            let turn = game.turn();
            let view = View {
                game,
                clocks: IN_TIME,
                claim_fell: false,
                me: turn,
            };
            let decision = match turn {
                Party::Challenger => next_move(&view, &mut honest, 1).unwrap(),
                Party::Provider => next_move(&view, cheat, 1).unwrap(),
            };
            match decision {
                Decision::Move(Move::Section { part, ends }) => {
                    game.section(turn, &part, &ends).unwrap();
                }
                Decision::Move(ref made @ Move::Prove { part, .. }) => {
                    let refused = game.prove(turn, &part, &made.proof_bytes()).is_err();
                    assert_eq!(refused, turn == Party::Provider);
                }
                Decision::Wait => assert_eq!(game.winner(), Some(Party::Challenger)),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn the_first_list_is_the_claim_sixteen_times() {
    let (initial, halted) = (keccak256("initial"), keccak256("halted"));
    let game = Game::begin(Challenge {
        initial,
        asserted: halted,
        halted: initial,
        sections: 10,
    })
    .unwrap();
    let expected = List {
        before: initial,
        ends: [halted; 16],
    };
    assert_eq!(*game.list(), expected);
    assert_eq!(game.turn(), Party::Challenger);
    assert_eq!(game.end_of(0), 1 << 40);
}
