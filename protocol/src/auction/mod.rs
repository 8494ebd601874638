//! The auction of reserved capacity, as the contract runs it: orders, results, disputes, settlement.
//!
//! Stage of a job served here: before it. Buyers hold units of a pool for a season, and draw jobs on
//! them at no further price. `SPEC.md`, section 13, states the rules; `auction.json` binds them to the
//! contract.
//!
//! | step | module |
//! | --- | --- |
//! | an order is committed to, revealed, deposited for | [`order`] |
//! | the revealed orders are cleared | [`clear`](mod@clear) |
//! | a result is posted: prices, groups of fills, a tree over them | [`outcome`] |
//! | anybody checks it | [`verify`](mod@verify) |
//! | it is settled, and paid interval by interval | [`settle`] |
//! | when all that happens | [`calendar`] |
//!
//! [`verify`](mod@verify) shares no code with [`clear`](mod@clear): who checks what somebody else cleared
//! does not trust the same arithmetic twice.

pub mod calendar;
pub mod clear;
pub mod order;
pub mod outcome;
pub mod settle;
pub mod verify;

pub use crate::types::auction::{
    Alternative, AuctionOrder, AuctionParameters, Backing, Entry, Fill, FillGroup, GroupProof,
    Phase, Pool,
};
pub use clear::clear;
pub use outcome::Outcome;
pub use verify::verify;

/// The clearing of [`clear`](mod@clear) as a program of the machine, built from `protocol/clearing` by
/// `protocol/clearing/guest/build.mjs`: from a market as bytes (`outcry_clearing::binary`) in `in/market` to
/// the encoded result in `out/result`. `SPEC.md`, section 11, has the exit codes.
pub const CLEARING_PROGRAM: &[u8] = include_bytes!("../../clearing/guest/clear.wasm");
