//! The dispute game without a chain: its rules, the player against every kind of cheat, and what a
//! dispute costs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod cheats;
mod play;
mod programs;
mod rules;
mod trace;
mod vectors;
