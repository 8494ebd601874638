//! End to end: real processes on a real (local) chain, driven by the SDK as a buyer's program would.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod audits;
mod bad_input;
mod blocks;
mod crowd;
mod deposit;
mod disputes;
mod fixture;
mod interruptions;
mod kill;
mod prices;
mod replaced;
mod reserve;
mod who_pays;
