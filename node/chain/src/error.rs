use alloy::primitives::Address;
use outcry_contracts::endpoint::EndpointError;
use outcry_protocol::codes::{self, Code, Coded};
use outcry_store::StoreError;

use crate::rpc::RpcError;

/// Why reading or sending stopped, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The endpoint serves another chain. Point the node at an endpoint of its own chain.
    #[error("the endpoint serves chain {actual}, this node is configured for chain {expected}")]
    WrongChain {
        /// The configured chain id.
        expected: u64,
        /// What the endpoint answered.
        actual: u64,
    },

    /// The endpoints cannot be asked as configured.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),

    /// No code lies at a configured contract. Check the address and the chain.
    #[error("there is no contract at {0}; check the address and the network")]
    NoContract(Address),

    /// The endpoint cannot be reached, refuses, or answers late. The caller tries again.
    #[error("{0}")]
    Rpc(#[from] RpcError),

    /// The chain changed between two questions. The caller asks again.
    #[error("the chain moved while it was being read")]
    Moved,

    /// The chain forked below the oldest block that the node remembers: the data folder belongs
    /// to another chain with the same id, or the chain lost its finality. Start with an empty
    /// data folder.
    #[error(
        "none of the blocks applied since block {oldest} is on the chain any more; this data folder belongs to another chain"
    )]
    ForkTooDeep {
        /// The oldest remembered block.
        oldest: u64,
    },

    /// A contract emitted an event that this build does not know. Install the build that belongs
    /// to the deployed contracts.
    #[error(
        "the contract {address} emitted an event that this build cannot decode (block {block}, log {log_index})"
    )]
    UnknownEvent {
        /// The emitting contract.
        address: Address,
        /// The block's number.
        block: u64,
        /// The log's index in the block.
        log_index: u64,
    },

    /// A journal record cannot be read. The data folder was written by another build or is
    /// damaged.
    #[error("the journal record {0} is damaged")]
    Journal(String),

    /// Too many intents wait. Take in no more work until some are mined.
    #[error("{0} intents are waiting to be sent, the limit")]
    QueueFull(usize),

    /// The store failed, or somebody else changed a record first.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Coded for ChainError {
    fn code(&self) -> &'static Code {
        match self {
            Self::WrongChain { .. } | Self::ForkTooDeep { .. } => &codes::CHAIN_WRONG,
            Self::Endpoint(_) => &codes::CONFIG_VALUE,
            Self::NoContract(_) => &codes::CHAIN_NO_CODE,
            Self::Rpc(RpcError::Refused { .. }) | Self::Moved | Self::UnknownEvent { .. } => {
                &codes::CHAIN_ANSWER
            }
            Self::Rpc(_) => &codes::CHAIN_UNREACHABLE,
            Self::Journal(_) => &codes::STORE_DAMAGED,
            Self::QueueFull(_) => &codes::NET_BUSY,
            Self::Store(error) => error.code(),
        }
    }
}

impl ChainError {
    /// Whether asking again later can help without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Rpc(_) | Self::Moved)
    }
}
