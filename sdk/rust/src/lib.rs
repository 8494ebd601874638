//! The client of Outcry, for programs that buy compute.
//!
//! Stages of a job served here: the first (a program and its inputs become a signed bid) and the
//! last (a claim is checked, accepted, and its output handed over). What lies between is the market's.
//!
//! # A tour
//!
//! **1. Name the network.** A [`Network`] says which chain, which market, and which node to talk to;
//! `outcry-testnet up --dir net` starts a local one and writes `net/network.toml`.
//!
//! **2. Build a job.** [`JobBuilder`] links the program with the in-machine WASI library and packs
//! the inputs; what comes out is all that is signed. It needs nothing but the program:
//!
//! ```
//! use outcry_sdk::{Engine, JobBuilder};
//!
//! // A program that exits with 0; any WASI command will do.
//! let program = wat::parse_str(r#"(module (memory (export "memory") 1) (func (export "_start")))"#)?;
//! let job = JobBuilder::wasm("nothing.wasm", program)
//!     .args(["--fast"])
//!     .input_files([("numbers.txt".to_owned(), b"1 2 3".to_vec())].into())
//!     .tasks(10)
//!     .build(Default::default())?;
//! assert_eq!(job.spec().taskCount, 10);
//!
//! // Running a task here takes no market, and gives what every provider must claim.
//! let output = Engine::new(None)?.run(&job, 3)?;
//! assert!(output.is_success());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **3. Buy it.** [`Terms`] are what you offer; every field has a default. [`Client::run`] signs the
//! bid, stays with the job, runs every claimed task again on this machine, and releases the price of
//! those that agree:
//!
//! ```no_run
//! use std::sync::Arc;
//! use outcry_sdk::{Client, Engine, JobBuilder, Network, Patience, Terms, Trust, load_key_file, units};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let network = Network::load("net/network.toml".as_ref())?;
//! let client = Client::new(network, Some(load_key_file("buyer.key".as_ref(), None)?))?;
//! let node = client.check().await?;
//!
//! let job = JobBuilder::wasm("count.wasm", std::fs::read("count.wasm")?)
//!     .input_folder("texts")
//!     .build(node.peer_key)?;
//! let token = client.network().payment_token()?.clone();
//! let terms = Terms { max_price: Some(units::parse("1.50", &token)?), ..Terms::default() };
//! let bid = client.bid(&job, &terms, None).await?;
//!
//! // Money moves only between your wallet and your own balance on the market.
//! let missing = client.missing_deposit(&bid).await?;
//! if missing > outcry_sdk::api::Amount::ZERO {
//!     for step in client.chain().plan_deposit(&token, missing).await? {
//!         println!("{}", step.what);
//!         client.chain().execute(&step).await?;
//!     }
//! }
//!
//! let trust = Trust::Recheck(Arc::new(Engine::new(None)?));
//! let finished = client.run(&job, &bid, &trust, Patience::default(), |_| {}).await?;
//! println!("{}", units::show(finished.price, &token));
//! finished.tasks[0].write_files("results".as_ref())?;
//! # Ok(())
//! # }
//! ```
//!
//! **4. When it does not work.** Every [`Error`] has a stable code and says what to do;
//! [`Client::explain`] says why a bid finds no offer, and the cheapest change that would match.
//!
//! # The pieces
//!
//! | module or type | one idea |
//! | --- | --- |
//! | [`JobBuilder`], [`Job`], [`Manifest`] | from files to what is signed |
//! | [`Terms`], [`Salts`] | from wishes to a bid |
//! | [`Client`] | submit, wait, check, accept |
//! | [`Engine`], [`TaskOutput`] | run a task here, read what it gave |
//! | [`Chain`], [`Step`] | deposits, withdrawals, cancellations |
//! | [`AuctionRules`], [`Round`], [`SealedOrders`] | the auction of reserved capacity |
//! | [`Node`], [`api`] | a node's HTTP API, typed |
//! | [`Keystore`], [`Network`], [`units`] | keys, networks, amounts |
//!
//! Never here: matching, gossip, storage, the insides of a node; a signature over a result that was
//! not checked, unless the caller says so in words ([`Trust::Waive`]).

pub mod api;
mod bid;
mod chain;
mod client;
mod error;
mod execute;
mod job;
mod keystore;
mod manifest;
mod network;
mod node;
mod output;
mod schema;
mod sealed;
mod sse;
pub mod units;

pub use bid::{INTERPRETER_SLOWDOWN, Order, Salts, Terms};
pub use chain::auction::{AuctionRules, PostedResult, RevealedOrder, Round};
pub use chain::draw::{Draw, Sold};
pub use chain::{Chain, DepositAuthorization, Holdings, Step};
pub use client::{CheckedDeal, Client, Finished, Patience, Progress, Trust};
pub use error::Error;
pub use execute::Engine;
pub use job::{Job, JobBuilder, Limits};
pub use keystore::{KeyEntry, Keystore, load_key_file, needs_password, parse_key};
pub use manifest::{BlobRef, Manifest, TaskInput};
pub use network::Network;
pub use node::Node;
pub use output::TaskOutput;
pub use sealed::{SealedOrder, SealedOrders};
