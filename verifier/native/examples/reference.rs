//! Compares generated programs in both variants with the reference, as the tests do, but many.
//!
//! `cargo run --release -p outcry-native --example reference -- [--first SEED] [--count N]`
//!
//! Exit code 1 and the seed at the first mismatch. A mismatch found becomes a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    missing_docs
)]

#[path = "../tests/it/differential.rs"]
mod differential;
#[path = "../tests/it/reference.rs"]
mod reference;
#[path = "../tests/it/support.rs"]
mod support;

fn main() {
    let (mut first, mut count) = (1_000_000, 10_000);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().and_then(|value| value.parse().ok());
        match (argument.as_str(), value) {
            ("--first", Some(value)) => first = value,
            ("--count", Some(value)) => count = value,
            _ => panic!("usage: reference [--first SEED] [--count N]"),
        }
    }
    let mut ends = [0; 5];
    for start in (first..first + count).step_by(100) {
        let found = differential::compare_seeds(start..(start + 100).min(first + count));
        for (total, new) in ends.iter_mut().zip(found) {
            *total += new;
        }
        eprint!(
            "\r{} seeds; exited, trapped, out of cycles, out of slots, output limit: {ends:?}",
            start + 100 - first
        );
    }
    let programs: u64 = ends.iter().sum();
    println!("\n{{\"seeds\": {count}, \"programs\": {programs}, \"mismatches\": 0}}");
}
