//! Outcry's contracts as Rust types, the way to the chain that they lie on, and the one deployer.
//!
//! Serves every stage of a job that touches the chain, from the deposit to the settlement. The ABIs
//! and bytecode come from `contracts/artifacts/`, which is checked in, so that building this crate
//! needs no Solidity compiler.
//!
//! This crate never holds a key, watches a chain or decides anything: callers bring an alloy
//! provider that signs.
//!
//! - [`bindings`]: the contracts (`Market`, `Game`, `Audits`, `StepVerifier`, `InitialState`,
//!   `Stake`, `Token`, `Auction`, `TestToken`) as alloy generates them.
//! - [`deploy()`]: puts a market with its game, audits, stake and token on a chain, and an auction beside it.
//! - [`endpoint`]: clients of JSON-RPC endpoints, with TLS and failover.
//! - [`machine`]: the contracts that end a dispute, as bytecode and as words.
//! - [`refusal`]: names of the errors that the contracts revert with or log.

#![forbid(unsafe_code)]

pub mod bindings;
mod convert;
mod deploy;
pub mod endpoint;
pub mod machine;
pub mod refusal;

pub use bindings::{
    Auction, Audits, Game, InitialState, Market, Stake, StepVerifier, TestToken, Token,
};
pub use deploy::{
    AuctionParameters, AuditParameters, DeployError, DeployParameters, Deployment, GameParameters,
    TestTokenParameters, deploy,
};
