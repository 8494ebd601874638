//! The network of a node: how orders, blobs and deal messages travel between peers.
//!
//! Stages of a job served here: `order --> gossip --> book` (gossip and the book snapshot),
//! `deal --> inputs` (blobs), `claim --> accept` (deal messages).
//!
//! - [`Network::start`] runs one task that owns the libp2p swarm and returns a [`NetworkHandle`]
//!   (cheap to clone) and the receiver of [`NetworkEvent`]s.
//! - Gossip: an order reaches the caller as an [`IncomingOrder`] and travels on only after
//!   [`NetworkHandle::report`] said [`Verdict::Accept`].
//! - Blobs: [`BlobStore`] keeps content-addressed files; [`NetworkHandle::fetch`] gets one from
//!   peers and verifies every 16 KiB as it arrives.
//! - Book: [`NetworkHandle::sync_book`] asks a peer for the orders that the local book lacks.
//! - Deals: [`NetworkHandle::deal`] sends one [`DealRequest`], [`DealHandler`] answers them.
//!
//! This crate never decides whether an order is valid, a deal right or a result true: it moves
//! bytes, checks hashes and sizes, and limits what a stranger can make a node do. It knows
//! neither the chain nor the store, and signs nothing but its own connections.

mod behaviour;
mod blob;
mod book;
mod config;
mod deal;
mod driver;
mod error;
mod frame;
mod gossip;
mod identity;
mod metrics;
mod network;
mod scoring;
mod streams;

pub use behaviour::Transport;
pub use blob::{BlobError, BlobId, BlobReader, BlobStore, BlobStoreConfig, BlobUsage};
pub use book::{BookSource, BookSync};
pub use config::{NetworkConfig, NetworkLimits, Reachability};
pub use deal::{DealHandler, DealRequest, DealResponse, TaskResult};
pub use error::NetError;
pub use gossip::{IncomingOrder, MessageId, Verdict};
pub use identity::PeerKey;
pub use network::{FetchProgress, Handlers, Network, NetworkEvent, NetworkHandle, PeerInfo};

pub use libp2p::Multiaddr;
