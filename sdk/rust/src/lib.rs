//! The client of Outcry, for programs that buy compute.

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
mod sse;
pub mod units;

pub use bid::{Order, Salts, Terms};
pub use chain::{Chain, Holdings, Step};
pub use client::{CheckedDeal, Client, Finished, Patience, Progress, Trust};
pub use error::Error;
pub use execute::Engine;
pub use job::{Job, JobBuilder, Limits};
pub use keystore::{KeyEntry, Keystore, load_key_file, needs_password, parse_key};
pub use manifest::{BlobRef, Manifest, TaskInput};
pub use network::Network;
pub use node::Node;
pub use output::TaskOutput;
