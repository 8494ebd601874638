//! The node's two ways to the chain: reading what happened, and making things happen.
//!
//! Serves every stage of a job after the match: [`Follower`] turns the contracts' events into an
//! ordered, gap-free, fork-aware stream whose effects are stored together with the cursor;
//! [`Sender`] turns intents (open, claim, settle, ...) into transactions, each intent exactly one.
//!
//! Reading: ranged `eth_getLogs` with parent-hash checks; polling and subscriptions only wake the
//! loop. Sending: an intent has one nonce and many transaction hashes; raw transactions are
//! journalled before they are sent; an intent is never given up while one of its hashes may still
//! be mined.
//!
//! This crate never decides anything about the market: what to want, and what an event means, is
//! the caller's. It holds no order and keeps no balance.

mod error;
mod fees;
mod follower;
mod intent;
mod market;
mod revert;
mod rpc;
mod sender;

pub use error::ChainError;
pub use follower::{
    Blocks, ChainEvent, ChainUpdate, Finality, Follower, FollowerConfig, ReaderHealth,
};
pub use intent::{
    GasUse, Intent, IntentId, IntentKind, IntentReport, IntentStatus, MinedTransaction, Outcome,
    Urgency,
};
pub use market::{ContractEvents, MarketFollower, market_refusal};
pub use revert::{ErrorDecoder, Revert, decode_with};
pub use rpc::{ANSWER_LIMIT, BlockRef, Rpc, RpcError};
pub use sender::{Sender, SenderConfig, SenderHealth, SenderTask};
