//! The rules of Outcry: what every node, the contracts and the SDKs must compute alike.
//!
//! Stage of a job served here: all of them, as pure functions.
//!
//! | stage | modules |
//! | --- | --- |
//! | an order is written, signed, sent | [`types`], [`hash`], [`signature`], [`order`], [`wire`], [`shard`] |
//! | it enters the book and is matched, or takes the place of a deal | [`book`], [`fit`], [`matching`], [`ranking`]; asked about: [`explain`], [`quote`] |
//! | a deal opens, is claimed and settled | [`deal`], [`money`], [`lifecycle`], [`ledger`] |
//! | what deals reserved and paid is compared | [`class`], [`history`] |
//! | capacity is reserved by auction | [`auction`] |
//! | a task has run | [`status`], [`merkle`], [`claim`] |
//! | everywhere | [`limits`], [`codes`] |
//!
//! This crate never touches a file, a socket, a clock, a source of randomness or a float: facts come
//! in as arguments, decisions go out as values. `SPEC.md` states the same in prose, and
//! `vectors/*.json` binds it to Solidity and TypeScript.

#![forbid(unsafe_code)]

pub mod auction;
pub mod book;
pub mod claim;
pub mod class;
pub mod codes;
pub mod deal;
pub mod explain;
pub mod fit;
pub mod hash;
pub mod history;
pub mod ledger;
pub mod lifecycle;
pub mod limits;
pub mod matching;
pub mod merkle;
pub mod money;
pub mod order;
pub mod quote;
pub mod ranking;
pub mod shard;
pub mod signature;
pub mod status;
mod tree;
pub mod types;
pub mod wire;
