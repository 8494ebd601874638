//! Every hash of the market, from a job to a claim. Vectors: `hashes.json`, `orders.json`.
//!
//! All are keccak256 over ABI-encoded words, so that the contract computes the same with
//! `abi.encode`. Roots and hashes of different meaning open with a domain word of their own.

use std::borrow::Cow;

use alloy_primitives::{Address, B256, Keccak256, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct, SolValue};

use crate::limits::TASKS_PER_DEAL_MAX;
use crate::merkle::{self, MerkleError};
use crate::status::Outcome;
use crate::types::{Accept, Bid, ClaimRelay, Deal, JobSpec, Offer, Receipt};

/// One market on one chain: the EIP-712 domain under which everything is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Domain {
    /// Chain id (EIP-155).
    pub chain_id: u64,
    /// Address of the market contract.
    pub market: Address,
    separator: B256,
}

impl Domain {
    /// The domain {name "Outcry", version "1", chain id, market}.
    #[must_use]
    pub fn new(chain_id: u64, market: Address) -> Self {
        Self {
            chain_id,
            market,
            separator: Self::eip712_of(chain_id, market).separator(),
        }
    }

    fn eip712_of(chain_id: u64, market: Address) -> Eip712Domain {
        Eip712Domain::new(
            Some(Cow::Borrowed("Outcry")),
            Some(Cow::Borrowed("1")),
            Some(U256::from(chain_id)),
            Some(market),
            None,
        )
    }

    /// The same domain for wallets that sign typed data themselves.
    #[must_use]
    pub fn eip712(&self) -> Eip712Domain {
        Self::eip712_of(self.chain_id, self.market)
    }

    /// EIP-712 domain separator.
    #[must_use]
    pub fn separator(&self) -> B256 {
        self.separator
    }

    /// EIP-712 digest of a structure: `keccak256(0x1901 ‖ separator ‖ hashStruct)`.
    #[must_use]
    pub fn digest<T: SolStruct>(&self, message: &T) -> B256 {
        let mut bytes = [0u8; 66];
        bytes[..2].copy_from_slice(&[0x19, 0x01]);
        bytes[2..34].copy_from_slice(self.separator.as_slice());
        bytes[34..].copy_from_slice(message.eip712_hash_struct().as_slice());
        keccak256(bytes)
    }

    /// Id of a bid: the digest that the buyer signs.
    #[must_use]
    pub fn bid_hash(&self, bid: &Bid) -> B256 {
        self.digest(bid)
    }

    /// Id of an offer: the digest that the provider signs.
    #[must_use]
    pub fn offer_hash(&self, offer: &Offer) -> B256 {
        self.digest(offer)
    }

    /// Digest of the buyer's acceptance of a claim.
    #[must_use]
    pub fn accept_digest(&self, accept: &Accept) -> B256 {
        self.digest(accept)
    }

    /// Digest of the buyer's receipt for one task's output.
    #[must_use]
    pub fn receipt_digest(&self, receipt: &Receipt) -> B256 {
        self.digest(receipt)
    }

    /// Digest by which a provider lets somebody else send its claim.
    #[must_use]
    pub fn claim_relay_digest(&self, relay: &ClaimRelay) -> B256 {
        self.digest(relay)
    }

    /// `keccak256(abi.encode(separator, Deal))`: commits to every term of the deal.
    #[must_use]
    pub fn deal_id(&self, deal: &Deal) -> B256 {
        keccak256((self.separator, deal.clone()).abi_encode())
    }
}

/// `keccak256(abi.encode(JobSpec))`.
#[must_use]
pub fn job_hash(job: &JobSpec) -> B256 {
    keccak256(job.abi_encode())
}

/// `keccak256(abi.encode(jobHash, uint256 index))`.
#[must_use]
pub fn task_id(job_hash: B256, index: u32) -> B256 {
    keccak256((job_hash, U256::from(index)).abi_encode())
}

fn tag(text: &str) -> B256 {
    keccak256(text)
}

/// Root of an input archive of known length, from the Merkle root of its bytes at
/// [`merkle::depth_for_bytes`].
#[must_use]
pub fn input_root_from_merkle(length: u64, merkle_root: B256) -> B256 {
    keccak256((tag("outcry.input.v1"), U256::from(length), merkle_root).abi_encode())
}

/// Root of an input archive. For archives that do not fit memory use [`InputHasher`].
#[must_use]
pub fn input_root(archive: &[u8]) -> B256 {
    let mut hasher = InputHasher::new(archive.len() as u64);
    hasher.write(archive);
    // Exactly `length` bytes were written, so there is a root.
    hasher.finish().unwrap_or_default()
}

/// Computes an input archive's root while its bytes stream by; the length is known beforehand.
#[derive(Debug, Clone)]
pub struct InputHasher {
    builder: merkle::Builder,
    length: u64,
    written: u64,
}

impl InputHasher {
    /// A hasher for an archive of `length` bytes.
    #[must_use]
    pub fn new(length: u64) -> Self {
        Self {
            builder: merkle::Builder::for_bytes(length),
            length,
            written: 0,
        }
    }

    /// Appends bytes; what exceeds the length makes [`InputHasher::finish`] answer `None`.
    pub fn write(&mut self, bytes: &[u8]) {
        self.written = self.written.saturating_add(bytes.len() as u64);
        if self.written <= self.length {
            // Cannot fail: a tree of this depth holds `length` bytes.
            let _ = self.builder.write(bytes);
        }
    }

    /// The root; `None` if other than `length` bytes were written.
    #[must_use]
    pub fn finish(self) -> Option<B256> {
        (self.written == self.length)
            .then(|| input_root_from_merkle(self.length, self.builder.finish()))
    }
}

/// Leaf of the tree over a job's tasks: index, BLAKE3 of the input archive (by which it is fetched),
/// its root and its length in bytes.
#[must_use]
pub fn task_leaf(index: u32, blake3: B256, input_root: B256, length: u64) -> B256 {
    keccak256((U256::from(index), blake3, input_root, U256::from(length)).abi_encode())
}

/// `JobSpec.inputsRoot` over the leaves of [`task_leaf`], in order.
///
/// # Errors
/// [`MerkleError`] never occurs for fewer than 2^32 leaves.
pub fn inputs_root(leaves: &[B256]) -> Result<B256, MerkleError> {
    merkle::root_of_leaves(leaves, merkle::ceil_log2(leaves.len() as u64))
}

/// Root of an output archive at the fixed depth that the job's output limit gives, so that the
/// commitment of a running machine and of a finished one have one shape.
///
/// # Errors
/// [`MerkleError::TooManyLeaves`] if the archive exceeds the limit's tree.
pub fn output_root(archive: &[u8], output_limit: u64) -> Result<B256, MerkleError> {
    merkle::root(archive, merkle::depth_for_bytes(output_limit))
}

/// `inner`: how a task ended and what it wrote.
#[must_use]
pub fn inner_hash(outcome: &Outcome) -> B256 {
    keccak256(
        (
            tag("outcry.result.v1"),
            U256::from(outcome.status.number()),
            U256::from(outcome.exit_code),
            outcome.output_root,
            U256::from(outcome.output_length),
        )
            .abi_encode(),
    )
}

/// Hash of the halted machine; it can be computed from a native run alone.
#[must_use]
pub fn halted_hash(job_hash: B256, task: u32, cycles: u64, inner: B256) -> B256 {
    keccak256(
        (
            tag("outcry.halted.v1"),
            job_hash,
            U256::from(task),
            U256::from(cycles),
            inner,
        )
            .abi_encode(),
    )
}

/// Root over the halted-state hashes of a deal's tasks, in order.
///
/// # Errors
/// [`MerkleError::TooManyLeaves`] for more than [`TASKS_PER_DEAL_MAX`] tasks.
pub fn result_root(halted: &[B256]) -> Result<B256, MerkleError> {
    if halted.len() > TASKS_PER_DEAL_MAX as usize {
        return Err(MerkleError::TooManyLeaves(merkle::ceil_log2(
            TASKS_PER_DEAL_MAX.into(),
        )));
    }
    merkle::root_of_leaves(halted, merkle::ceil_log2(halted.len() as u64))
}

/// Hash of a claim: what the buyer accepts and the market stores (truncated to 160 bits).
#[must_use]
pub fn claim_hash(deal_id: B256, result_root: B256, cycles: u64, price: u128) -> B256 {
    keccak256(
        (
            tag("outcry.claim.v1"),
            deal_id,
            result_root,
            U256::from(cycles),
            U256::from(price),
        )
            .abi_encode(),
    )
}

/// A hash over a list of words of 32 bytes, fed one at a time: what comes before the words of each
/// list says what and how many they are, so that no two lists run together.
pub(crate) struct Words(Keccak256);

impl Words {
    /// Opens with a domain word.
    pub(crate) fn new(domain: &str) -> Self {
        let mut words = Self(Keccak256::new());
        words.word(tag(domain));
        words
    }

    pub(crate) fn word(&mut self, word: B256) {
        self.0.update(word);
    }

    /// An unsigned integer, as `abi.encode` writes it.
    pub(crate) fn number(&mut self, number: u128) {
        self.word(U256::from(number).into());
    }

    pub(crate) fn finish(self) -> B256 {
        self.0.finalize()
    }
}

/// Rank of a bid within an epoch: `keccak256(bidHash ‖ beacon)`; lower goes first.
#[must_use]
pub fn bid_rank(bid_hash: B256, beacon: B256) -> B256 {
    merkle::node(&bid_hash, &beacon)
}
