//! The periodic auction for reserved capacity: who gets which bundle, at which uniform linear prices.
//!
//! Stage served here: orders that were committed and revealed become prices, an allocation and a
//! certificate of how far from the best it can be. Orders name exclusive (XOR) bundles over pools and
//! a limit per lot; quantities below zero sell. `protocol/SPEC.md`, section Clearing, has the rules.
//!
//! The dual of the welfare problem is convex for any mix of buyers, sellers and traders, so prices that
//! rise *and fall* always get near its minimum, and its value at any prices bounds the optimum. What
//! remains is rounding:
//!
//! | step | module |
//! | --- | --- |
//! | 0 canonical form | `market`, `curve` |
//! | 1 DESCEND; large markets first on samples, undecided orders only | `smooth`, `descend`, `scene` |
//! | 2 ALLOCATE, repair, insert, and moves that kick out or force in | `allocate`, `refine` |
//! | 3 PEEL, 5 SETTLE and the order of it all | `clear` |
//! | 4 IMPROVE: search near the dual, supporting prices | `search`, `support` |
//! | 6 emit | `outcome` |
//!
//! [`check`](mod@check) recomputes what a result claims and shares no code with all that. A market is read
//! from text by [`file`](mod@file), from and to its one form in bytes by [`binary`].
//!
//! Never here: floats, clocks, threads, hash functions, randomness, dependencies. Budgets are counted, so
//! the result is the same on every machine; keys that order the orders come in hashed. The core is
//! compiled by Rust 1.63 for the product's own machine as well: `guest/`.
//!
//! ```
//! use outcry_clearing::{check::check, clear, Alone, Alternative, Entry, Market, Supply};
//!
//! let mut market = Market::new(1)?;
//! market.add_supply(Supply { key: [9; 32], pool: 0, ask: 100, quantity: 5 })?;
//! let bundle = [Entry { pool: 0, quantity: 2 }];
//! market.add_order([1; 32], 3, &[Alternative { limit: 300, entries: &bundle }])?;
//! let clearing = clear(&market, &Alone)?;
//! assert_eq!(clearing.welfare, 2 * 300 - 4 * 100);
//! assert!(check(&market, &clearing).holds());
//! # Ok::<(), outcry_clearing::MarketError>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod allocate;
pub mod binary;
pub mod check;
mod clear;
mod curve;
mod descend;
pub mod file;
pub mod limits;
mod market;
mod outcome;
mod refine;
mod scene;
mod search;
mod smooth;
mod support;
mod workers;

pub use clear::{clear, move_bound, round_bound};
pub use market::{Alternative, Entry, Key, Market, MarketError, Supply};
pub use outcome::{Accepted, Clearing, PassedOver, Used};
pub use workers::{Alone, Workers};
