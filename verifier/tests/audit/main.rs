//! Audits without a chain: golden vectors of what is drawn, and states at points.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod points;
#[allow(dead_code, reason = "the games' own")]
#[path = "../game/programs.rs"]
mod programs;
mod vectors;
