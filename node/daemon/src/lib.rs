//! The node's daemon: where orders, chain, peers and workers meet.
//!
//! Stages of a job served here: all of them, by connecting the parts that do the work.
//!
//! ```text
//! config, secret ──> start ──┬── follow   blocks ──────────┐
//!                            ├── ingest   orders of peers ─┤ facts
//!                            ├── deals    peers' messages ─┼──────> core: state::State::apply
//!                            ├── api      HTTP ────────────┘              │ what is wanted
//!                            └── activities <─────────────────────────────┘
//!                                  ├─ chain     open, claim, settle, time out
//!                                  ├─ inputs    manifest, program, archives
//!                                  ├─ run       workers
//!                                  └─ dispute   challenges, moves, verdicts
//! ```
//!
//! The rules are elsewhere: a decision that two nodes must make alike lives in `outcry_protocol` or
//! `outcry_verifier`. This crate decides only what concerns one node: which matches of its own it
//! keeps, when it sends, whom it answers. [`state`] is pure; everything else is thin around it.

pub mod activities;
pub mod admission;
pub mod api;
mod arrivals;
pub mod audit;
pub mod chain;
pub mod config;
pub mod core;
pub mod deals;
pub mod demand;
pub mod dispute;
#[cfg(test)]
mod example;
pub mod follow;
mod gas;
pub mod ingest;
pub mod inputs;
mod log;
pub mod metrics;
pub mod node;
pub mod progress;
mod prune;
pub mod rate;
mod reserve;
pub mod run;
pub mod schedule;
pub mod secret;
pub mod start;
pub mod state;
pub mod stop;
mod turns;

pub use config::{Config, ConfigError};
pub use dispute::trace::Tracer;
pub use log::install as install_log;
/// The registry of error codes.
pub use outcry_protocol::codes;
pub use run::{Engines, Execute, Execution};
pub use start::{Running, StartError, check, start, start_with};
