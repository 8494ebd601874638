//! The golden vectors, computed from words that mean nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub
)]

use alloy_primitives::{B256, keccak256};
use outcry_verifier::game::{Challenge, Clocks, Game, List, Part, Party, Standing, sections};
use serde_json::{Value, json};

/// Deterministic 32 bytes that mean nothing.
fn word(name: &str) -> B256 {
    keccak256(format!("outcry.vectors.game.{name}"))
}

fn part(part: &Part) -> Value {
    json!({ "index": part.index, "before": part.before, "end": part.end, "path": part.path })
}

fn list(list: &List) -> Value {
    let parts: Vec<Value> = (0..16).map(|i| part(&list.part(i).unwrap())).collect();
    json!({ "before": list.before, "ends": list.ends, "root": list.root(), "parts": parts })
}

fn lists() -> Vec<Value> {
    let ends = std::array::from_fn(|at| word(&format!("end {at}")));
    let before = word("before");
    let repeating = std::array::from_fn(|at| word(&format!("end {}", at / 5)));
    vec![
        list(&List { before, ends }),
        list(&List {
            before,
            ends: repeating,
        }),
        list(&List::claim(word("initial"), word("asserted"))),
        list(&List {
            before: B256::ZERO,
            ends: [B256::ZERO; 16],
        }),
    ]
}

fn section_rows() -> Vec<Value> {
    let limits = [
        0,
        1,
        2,
        3,
        63,
        64,
        1 << 20,
        (1 << 30) - 1,
        1 << 30,
        2_000_000_000_000,
        (1 << 44) - 1,
        1 << 44,
    ];
    limits
        .map(|limit| json!({ "cycleLimit": limit, "sections": sections(limit) }))
        .to_vec()
}

/// A game of four sections: after each move the root that the contract holds, and where it is.
fn moves() -> Value {
    let challenge = Challenge {
        initial: word("initial"),
        asserted: word("asserted"),
        halted: word("halted"),
        sections: 4,
    };
    let mut game = Game::begin(challenge).unwrap();
    let begun = game.list().root();
    let rows: Vec<Value> = [0, 7, 15, 3]
        .iter()
        .map(|index| {
            let disputed = game.list().part(*index).unwrap();
            let by = game.turn();
            let made = game.sections_made();
            let ends = std::array::from_fn(|at| word(&format!("section {made} end {at}")));
            game.section(by, &disputed, &ends).unwrap();
            json!({
                "challenger": by == Party::Challenger, "part": part(&disputed), "ends": ends,
                "root": game.list().root(), "sectionsLeft": game.sections_left(),
                "offset": game.offset(), "partSteps": game.part_steps(),
            })
        })
        .collect();
    json!({
        "initial": challenge.initial, "asserted": challenge.asserted, "halted": challenge.halted,
        "sections": challenge.sections, "root": begun, "moves": rows,
    })
}

fn clocks() -> Vec<Value> {
    let clocks = Clocks {
        since: 1_000,
        challenger_left: 50,
        provider_left: 70,
        seated: true,
    };
    let mut rows = Vec::new();
    for seated in [true, false] {
        for mover in [Party::Challenger, Party::Provider] {
            for now in [
                999,
                1_000,
                1_050,
                1_051,
                1_070,
                1_071,
                1_280,
                1_281,
                1_350,
                1_351,
                1 << 39,
            ] {
                let standing = Clocks { seated, ..clocks }.standing(mover, now);
                let (overdue, left) = match standing {
                    Standing::Running { left, .. } => (false, left),
                    Standing::Overdue { .. } => (true, 0),
                };
                rows.push(json!({
                    "since": clocks.since, "challengerLeft": clocks.challenger_left,
                    "providerLeft": clocks.provider_left, "seated": seated,
                    "challengersTurn": mover == Party::Challenger, "now": now,
                    "overdue": overdue, "left": left,
                }));
            }
        }
    }
    rows
}

/// What happens to clocks after the beginning, in a block of a timestamp.
#[derive(Clone, Copy)]
enum Happening {
    Section(u64),
    Seat(u64),
}

/// Games of 50 seconds from second 1,000 on, after each section and seat.
fn timelines() -> Vec<Value> {
    use Happening::{Seat, Section};
    let games: [&[Happening]; 6] = [
        // Each party's clock runs in its turn alone, and may run down to its last second.
        &[
            Seat(1_000),
            Section(1_020),
            Section(1_070),
            Section(1_100),
            Section(1_100),
        ],
        // The provider's stands still until it has a seat.
        &[
            Section(1_001),
            Seat(1_200),
            Section(1_249),
            Section(1_250),
            Section(1_251),
        ],
        // A seat in the challenger's turn leaves the challenger's clock alone.
        &[Seat(1_040), Section(1_050), Section(1_060)],
        // A provider may move without a seat, spends nothing, and has one then.
        &[
            Section(1_010),
            Section(1_210),
            Section(1_220),
            Section(1_230),
        ],
        // It waits for four clocks at most: then its clock runs, and a seat changes nothing about it.
        &[
            Section(1_001),
            Seat(1_211),
            Section(1_216),
            Section(1_226),
            Section(1_261),
        ],
        // Nor does it wait again once it has moved.
        &[
            Section(1_001),
            Section(1_221),
            Section(1_231),
            Section(1_261),
        ],
    ];
    let timeline = |happenings: &[Happening]| {
        let mut clocks = Clocks::begun(50, 1_000);
        let mut mover = Party::Challenger;
        let rows: Vec<Value> = happenings
            .iter()
            .map(|happening| {
                let (seat, at) = match *happening {
                    Section(at) => {
                        assert!(matches!(
                            clocks.standing(mover, at),
                            Standing::Running { .. }
                        ));
                        clocks = clocks.moved(mover, at);
                        mover = mover.other();
                        (false, at)
                    }
                    Seat(at) => {
                        clocks = clocks.takes_seat(mover, at);
                        (true, at)
                    }
                };
                json!({
                    "seat": seat, "at": at, "since": clocks.since,
                    "challengerLeft": clocks.challenger_left,
                    "providerLeft": clocks.provider_left, "seated": clocks.seated,
                    "challengersTurn": mover == Party::Challenger,
                })
            })
            .collect();
        json!({ "clock": 50, "at": 1_000, "then": rows })
    };
    games.map(timeline).to_vec()
}

/// The file's contents.
pub fn game() -> String {
    let value = json!({
        "lists": lists(), "sections": section_rows(), "game": moves(), "clocks": clocks(),
        "timelines": timelines(),
    });
    serde_json::to_string_pretty(&value).unwrap() + "\n"
}
