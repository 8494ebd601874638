//! Digests of the last epochs, by which nodes are compared: whoever knew the same orders at a block
//! has the same book and the same matches there.

use std::collections::VecDeque;

use alloy::primitives::B256;
use outcry_protocol::book::Book;
use outcry_protocol::matching::Epoch;

use super::chain::Block;

/// Epochs that are remembered: about an hour on a chain with a block in twelve seconds.
pub const EPOCHS_MAX: usize = 300;

/// What a node matched at a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochDigest {
    /// The block.
    pub block: Block,
    /// Names the live orders, see [`Book::digest`].
    pub book: B256,
    /// Names the matches, see [`Epoch::digest`].
    pub matches: B256,
    /// Number of matches.
    pub matched: usize,
}

/// The last epochs, in memory only: what was matched before a restart concerns nobody.
#[derive(Debug, Clone, Default)]
pub struct Epochs(VecDeque<EpochDigest>);

impl Epochs {
    /// Notes the epoch of the newest block.
    pub fn note(&mut self, block: Block, book: &Book, epoch: &Epoch) {
        if self.0.len() >= EPOCHS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(EpochDigest {
            block,
            book: book.digest(),
            matches: epoch.digest(),
            matched: epoch.matches.len(),
        });
    }

    /// Forgets those of blocks above one.
    pub fn rewind(&mut self, block: u64) {
        self.0.retain(|epoch| epoch.block.number <= block);
    }

    /// The newest.
    #[must_use]
    pub fn last(&self) -> Option<&EpochDigest> {
        self.0.back()
    }

    /// Those from a block on, oldest first.
    pub fn since(&self, block: u64) -> impl Iterator<Item = &EpochDigest> {
        self.0
            .iter()
            .filter(move |epoch| epoch.block.number >= block)
    }
}
