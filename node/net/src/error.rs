//! What can go wrong between peers, and what to do about it.

use outcry_protocol::codes::{self, Code, Coded};

use crate::BlobError;

/// Error of the network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// The configuration is contradictory or an address is unusable.
    #[error("network configuration: {0}")]
    Config(String),
    /// No socket could be opened; choose another `listen` address or port.
    #[error("cannot listen on {address}: {reason}; choose another address or port")]
    Listen {
        /// The address as configured.
        address: String,
        /// The system's reason.
        reason: String,
    },
    /// 32 bytes that are no ed25519 public key.
    #[error("not an ed25519 public key; expected 32 bytes in hex")]
    PeerKey,
    /// The network task has ended; the node is shutting down.
    #[error("the network has stopped")]
    Stopped,
    /// A message is longer than the protocol allows; nothing was sent.
    #[error("message of {length} bytes exceeds the limit of {limit}")]
    TooLong {
        /// Bytes that were to be sent or had been announced.
        length: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// No peer takes part in this topic yet; publish again when a peer has connected.
    #[error("no peer to send the order to yet; publish it again later")]
    NoPeers,
    /// The node does not take part in the shard.
    #[error("this node does not take part in shard {0}")]
    UnknownShard(u16),
    /// The send queues are full; try again later.
    #[error("the network is overloaded; try again later")]
    Overloaded,
    /// The peer cannot be found or dialled; try again later or ask another.
    #[error("peer {peer} cannot be reached: {reason}")]
    Unreachable {
        /// The peer's key.
        peer: crate::PeerKey,
        /// Why.
        reason: String,
    },
    /// The peer did not answer in time; ask another.
    #[error("the peer did not answer in time")]
    Timeout,
    /// The peer closed or reset the stream; try again.
    #[error("stream: {0}")]
    Stream(#[from] std::io::Error),
    /// The peer violated the protocol; it is not asked again.
    #[error("the peer violated the protocol: {0}")]
    Protocol(&'static str),
    /// The peer serves too many others; try again later.
    #[error("the peer is busy; try again later")]
    Busy,
    /// None of the peers had the blob.
    #[error("no peer has blob {0}; try again, or ask other peers")]
    BlobNotFound(blake3::Hash),
    /// The blob is longer than the caller accepts.
    #[error("blob {hash} has {length} bytes, more than the {limit} accepted")]
    BlobTooLong {
        /// The blob.
        hash: blake3::Hash,
        /// Its length as the peer says.
        length: u64,
        /// The caller's limit.
        limit: u64,
    },
    /// The local blob store failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl Coded for NetError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Config(_) | Self::Listen { .. } | Self::PeerKey | Self::UnknownShard(_) => {
                &codes::CONFIG_VALUE
            }
            Self::Stopped => &codes::NET_NOT_READY,
            Self::TooLong { .. } | Self::Protocol(_) => &codes::NET_MESSAGE,
            Self::NoPeers | Self::Unreachable { .. } => &codes::NET_PEER,
            Self::Overloaded | Self::Busy => &codes::NET_BUSY,
            Self::Timeout => &codes::NET_TIMEOUT,
            Self::Stream(_) => &codes::NET_UNREACHABLE,
            Self::BlobNotFound(_) => &codes::BLOB_MISSING,
            Self::BlobTooLong { .. } => &codes::BLOB_SIZE,
            Self::Blob(error) => error.code(),
        }
    }
}

impl Coded for BlobError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Io(_) => &codes::STORE_IO,
            Self::TooLong { .. } | Self::TooManyPins => &codes::BLOB_SIZE,
            Self::Full { .. } => &codes::BLOB_SPACE,
        }
    }
}
