//! Writes the tables of `verifier/ECONOMICS.md` between their marks.
//!
//! `cargo run --release -p outcry-testnet --example economics`
#![allow(clippy::expect_used)]

use std::path::Path;

const BEGIN: &str = "<!-- begin: cargo run --release -p outcry-testnet --example economics -->";
const END: &str = "<!-- end -->";

fn main() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../verifier/ECONOMICS.md");
    let note = std::fs::read_to_string(&path).expect("the note is there");
    let (before, rest) = note.split_once(BEGIN).expect("the note has its first mark");
    let (_, after) = rest.split_once(END).expect("the note has its second mark");
    let tables = outcry_testnet::economics::tables();
    let text = format!("{before}{BEGIN}\n{}\n{END}{after}", tables.trim());
    std::fs::write(&path, text).expect("the note can be written");
}
