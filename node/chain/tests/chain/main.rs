//! The reader and the sender against a real chain: Anvil, one process per test, mined by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod anvil;
mod failover;
mod proxy;
mod reading;
mod sending;
mod storm;
