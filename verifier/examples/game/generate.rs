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
            for now in [999, 1_000, 1_050, 1_051, 1_070, 1_071, 1 << 39] {
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

/// The file's contents.
pub fn game() -> String {
    let value = json!({
        "lists": lists(), "sections": section_rows(), "game": moves(), "clocks": clocks(),
    });
    serde_json::to_string_pretty(&value).unwrap() + "\n"
}
