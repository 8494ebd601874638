//! The book snapshot, `/outcry/book/1`: how a joiner learns the orders it missed.

use alloy_primitives::B256;
use bytes::Bytes;

/// The local book, as the snapshot protocol reads it. Implemented by the daemon.
///
/// Both functions are called on the network's threads: they may lock briefly, not wait.
pub trait BookSource: Send + Sync + 'static {
    /// Ids (`bidHash`, `offerHash`) of all live orders, in any order.
    fn order_ids(&self) -> Vec<B256>;
    /// The order as it was gossiped; `None` if it is gone.
    fn order(&self, id: &B256) -> Option<Bytes>;
}

/// Outcome of [`crate::NetworkHandle::sync_book`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BookSync {
    /// Buckets of ids (of 256) that differed.
    pub buckets_differing: u32,
    /// Orders received.
    pub orders_received: u32,
    /// Bytes received.
    pub bytes_received: u64,
}
