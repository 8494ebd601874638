//! Gossip of signed orders.

use std::fmt;

use bytes::Bytes;

use crate::PeerKey;

/// Name of a gossiped message: BLAKE3 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub [u8; 32]);

impl MessageId {
    /// The id of a message.
    pub fn of(message: &[u8]) -> Self {
        Self(*blake3::hash(message).as_bytes())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({})", hex::encode(self.0))
    }
}

/// An order that a peer sent. It is passed on to others only after a verdict.
#[derive(Clone, Debug)]
pub struct IncomingOrder {
    /// Names the message in [`crate::NetworkHandle::report`].
    pub id: MessageId,
    /// The peer that passed it on, not its author.
    pub from: PeerKey,
    /// Shard of the topic on which it came.
    pub shard: u16,
    /// The encoded order (`outcry_protocol::wire`), at most 2 KiB.
    pub bytes: Bytes,
}

/// What a validated message deserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Valid and new: pass it on.
    Accept,
    /// Not to be passed on, but not the sender's fault (expired meanwhile, balance changed,
    /// known already, node too busy).
    Ignore,
    /// Nobody who follows the rules passes this on (undecodable, bad signature): counts against
    /// the peer.
    Reject,
}
