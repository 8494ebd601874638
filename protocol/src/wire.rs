//! Gossip messages: `kind ‖ abi.encode(order) ‖ u16 length ‖ signature [‖ abi.encode(JobSpec)]`.
//!
//! A message has exactly one encoding: decoding refuses words with bits outside their type, trailing
//! bytes and messages beyond the limits, so the hash of the bytes can serve as the message's id.
//! Decoding checks form only; [`crate::order`] validates, [`crate::signature`] judges the signature.
//! Vectors: `wire.json`.

use alloy_sol_types::{SolType, SolValue};

use crate::limits::{MESSAGE_BYTES_MAX, ORDER_BYTES_MAX};
use crate::types::{Bid, JobSpec, Offer};

/// First byte of a bid's message.
pub const KIND_BID: u8 = 1;
/// First byte of an offer's message.
pub const KIND_OFFER: u8 = 2;

/// An order with its signature, as it is gossiped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// A buyer's order with the job that it is about.
    Bid(SignedBid),
    /// A provider's order.
    Offer(SignedOffer),
}

/// A bid, its signature, and the job whose hash it names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SignedBid {
    /// The order.
    pub bid: Bid,
    /// 65, 64 or, for contract accounts, any number of bytes that keeps the order within 1 KiB.
    pub signature: Vec<u8>,
    /// `jobHash` is its hash; [`crate::order::validate_bid`] checks that.
    pub job: JobSpec,
}

/// An offer and its signature.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SignedOffer {
    /// The order.
    pub offer: Offer,
    /// As for a bid.
    pub signature: Vec<u8>,
}

/// Why bytes are not a message, or a message can't be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum WireError {
    /// Longer than any message.
    #[error("{0} bytes exceed the limit of {MESSAGE_BYTES_MAX}")]
    TooLong(usize),
    /// The bytes end before the message does.
    #[error("the message ends after {0} bytes")]
    Truncated(usize),
    /// The first byte names no kind of message.
    #[error("unknown kind of message {0}")]
    UnknownKind(u8),
    /// A word has bits outside its type, or something of the sort.
    #[error("the ABI encoding of {0} is not canonical")]
    NotCanonical(&'static str),
    /// Order and signature exceed [`ORDER_BYTES_MAX`].
    #[error("order and signature take {0} bytes, the limit is {ORDER_BYTES_MAX}")]
    OrderTooLong(usize),
    /// Bytes follow the message.
    #[error("{0} bytes follow the message")]
    Trailing(usize),
}

struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (head, tail) = self
            .rest
            .split_at_checked(count)
            .ok_or(WireError::Truncated(self.total))?;
        self.rest = tail;
        Ok(head)
    }

    fn structure<T>(&mut self, name: &'static str) -> Result<T, WireError>
    where
        T: SolValue + SolType<RustType = T> + From<<T as SolType>::RustType>,
    {
        // All structures are static, so their size is known.
        let size = <T as SolType>::ENCODED_SIZE.ok_or(WireError::NotCanonical(name))?;
        let bytes = self.take(size)?;
        let value = <T as SolType>::abi_decode_validate(bytes)
            .map_err(|_| WireError::NotCanonical(name))?;
        // The decoder is the library's; that there is one encoding is ours to ensure.
        if value.abi_encode() != bytes {
            return Err(WireError::NotCanonical(name));
        }
        Ok(value)
    }

    fn signature(&mut self, order_bytes: usize) -> Result<Vec<u8>, WireError> {
        let length = self.take(2)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        if order_bytes + length > ORDER_BYTES_MAX {
            return Err(WireError::OrderTooLong(order_bytes + length));
        }
        Ok(self.take(length)?.to_vec())
    }
}

impl Message {
    /// Reads one message that fills all of `bytes`.
    ///
    /// # Errors
    /// [`WireError`]; never panics, whatever the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(WireError::TooLong(bytes.len()));
        }
        let mut reader = Reader {
            rest: bytes,
            total: bytes.len(),
        };
        let kind = reader.take(1)?[0];
        let message = match kind {
            KIND_BID => {
                let bid: Bid = reader.structure("Bid")?;
                let signature =
                    reader.signature(<Bid as SolType>::ENCODED_SIZE.unwrap_or(ORDER_BYTES_MAX))?;
                let job = reader.structure("JobSpec")?;
                Self::Bid(SignedBid {
                    bid,
                    signature,
                    job,
                })
            }
            KIND_OFFER => {
                let offer: Offer = reader.structure("Offer")?;
                let signature = reader
                    .signature(<Offer as SolType>::ENCODED_SIZE.unwrap_or(ORDER_BYTES_MAX))?;
                Self::Offer(SignedOffer { offer, signature })
            }
            unknown => return Err(WireError::UnknownKind(unknown)),
        };
        if !reader.rest.is_empty() {
            return Err(WireError::Trailing(reader.rest.len()));
        }
        Ok(message)
    }

    /// The one encoding of the message.
    ///
    /// # Errors
    /// [`WireError::OrderTooLong`] if the signature is too long.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        let (kind, order, signature, job) = match self {
            Self::Bid(b) => (KIND_BID, b.bid.abi_encode(), &b.signature, Some(&b.job)),
            Self::Offer(o) => (KIND_OFFER, o.offer.abi_encode(), &o.signature, None),
        };
        let too_long = WireError::OrderTooLong(order.len() + signature.len());
        if order.len() + signature.len() > ORDER_BYTES_MAX {
            return Err(too_long);
        }
        let length = u16::try_from(signature.len()).map_err(|_| too_long)?;
        let mut out = Vec::with_capacity(MESSAGE_BYTES_MAX);
        out.push(kind);
        out.extend_from_slice(&order);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(signature);
        if let Some(job) = job {
            out.extend_from_slice(&job.abi_encode());
        }
        Ok(out)
    }
}
