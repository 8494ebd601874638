//! The client of Outcry, for programs that buy compute.

pub mod api;
mod error;
mod keystore;
mod manifest;
mod network;
mod node;
mod schema;
mod sse;
pub mod units;

pub use error::{Error, Kind};
pub use keystore::{KeyEntry, Keystore, load_key_file, needs_password, parse_key};
pub use manifest::{BlobRef, Manifest, TaskInput};
pub use network::Network;
pub use node::Node;
