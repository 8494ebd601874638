//! A peer's name: its ed25519 public key, the form in which offers and job specifications name it.

use std::fmt;
use std::str::FromStr;

use libp2p::PeerId;
use libp2p::identity::{self, ed25519};

use crate::NetError;

/// Ed25519 public key of a node. `Offer.peerKey` and `JobSpec.source` hold these 32 bytes.
///
/// Printed and parsed as 0x-prefixed hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerKey(pub [u8; 32]);

impl PeerKey {
    /// The public half of a node's identity.
    pub fn of(identity: &ed25519_dalek::SigningKey) -> Self {
        Self(identity.verifying_key().to_bytes())
    }

    /// The libp2p name of this peer.
    ///
    /// # Errors
    /// [`NetError::PeerKey`] if the bytes are no point of the curve.
    pub fn peer_id(&self) -> Result<PeerId, NetError> {
        let key = ed25519::PublicKey::try_from_bytes(&self.0).map_err(|_| NetError::PeerKey)?;
        Ok(identity::PublicKey::from(key).to_peer_id())
    }

    /// The key inside a libp2p peer id; `None` for a peer whose key is not ed25519.
    pub fn from_peer_id(peer: &PeerId) -> Option<Self> {
        // An ed25519 peer id is the identity multihash (code 0) of the protobuf-encoded key.
        let hash = peer.as_ref();
        if hash.code() != 0 {
            return None;
        }
        let key = identity::PublicKey::try_decode_protobuf(hash.digest()).ok()?;
        Some(Self(key.try_into_ed25519().ok()?.to_bytes()))
    }
}

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerKey({self})")
    }
}

impl FromStr for PeerKey {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)
            .map_err(|_| NetError::PeerKey)?;
        Ok(Self(bytes))
    }
}

/// The libp2p form of a node's identity.
pub(crate) fn keypair(identity: &ed25519_dalek::SigningKey) -> Result<identity::Keypair, NetError> {
    identity::Keypair::ed25519_from_bytes(identity.to_bytes()).map_err(|_| NetError::PeerKey)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_peer_key_survives_the_way_through_a_peer_id_and_through_text() {
        let identity = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let key = PeerKey::of(&identity);
        let peer = key.peer_id().unwrap();
        assert_eq!(peer, keypair(&identity).unwrap().public().to_peer_id());
        assert_eq!(PeerKey::from_peer_id(&peer), Some(key));
        assert_eq!(key.to_string().parse::<PeerKey>().unwrap(), key);
    }

    #[test]
    fn text_that_is_no_key_is_refused() {
        for text in ["", "0x", "0x00", "zz"] {
            assert!(matches!(text.parse::<PeerKey>(), Err(NetError::PeerKey)));
        }
    }
}
