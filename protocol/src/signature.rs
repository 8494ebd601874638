//! Signatures of orders and of the messages about deals: secp256k1 over an EIP-712 digest.
//!
//! 65 bytes `r ‖ s ‖ v` with v 27 or 28, or 64 bytes `r ‖ yParityAndS` (EIP-2098); s in the lower half
//! of the group order. Anything else, and any signature that recovers to another address, can still
//! be valid for a contract account (ERC-1271): that question needs the chain, so the answer here is
//! [`Verdict::NeedsContract`], and an account without code is then refused. Vectors: `orders.json`.

use alloy_primitives::{Address, B256, Signature, U256};

/// Half of the order of secp256k1, rounded down: the largest s that is accepted.
pub const S_MAX: U256 = U256::from_limbs([
    0xdfe9_2f46_681b_20a0,
    0x5d57_6e73_57a4_501d,
    0xffff_ffff_ffff_ffff,
    0x7fff_ffff_ffff_ffff,
]);

/// What can be said about a signature without the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The account's own key signed the digest.
    Valid,
    /// Not the account's key: valid only if the account is a contract whose ERC-1271
    /// `isValidSignature(digest, signature)` says so within 100k gas.
    NeedsContract {
        /// Whose key signed instead, if the bytes are a signature at all. For the error message.
        recovered: Option<Address>,
    },
}

/// The address whose key made the signature; `None` if the bytes are not a canonical signature.
#[must_use]
pub fn recover(digest: B256, signature: &[u8]) -> Option<Address> {
    let (r, s, odd) = match signature.len() {
        65 => {
            let odd = match signature[64] {
                27 => false,
                28 => true,
                _ => return None,
            };
            (
                U256::from_be_slice(&signature[..32]),
                U256::from_be_slice(&signature[32..64]),
                odd,
            )
        }
        64 => {
            let mut s = [0u8; 32];
            s.copy_from_slice(&signature[32..]);
            let odd = s[0] & 0x80 != 0;
            s[0] &= 0x7f;
            (
                U256::from_be_slice(&signature[..32]),
                U256::from_be_bytes(s),
                odd,
            )
        }
        _ => return None,
    };
    if r.is_zero() || s.is_zero() || s > S_MAX {
        return None;
    }
    Signature::new(r, s, odd)
        .recover_address_from_prehash(&digest)
        .ok()
}

/// Judges a signature of `signer` over a digest.
#[must_use]
pub fn check(digest: B256, signer: Address, signature: &[u8]) -> Verdict {
    match recover(digest, signature) {
        // The zero address is nobody's key.
        Some(address) if address == signer && !signer.is_zero() => Verdict::Valid,
        recovered => Verdict::NeedsContract { recovered },
    }
}

/// The 64-byte form (EIP-2098) of a canonical 65-byte signature; `None` for anything else.
#[must_use]
pub fn compact(signature: &[u8]) -> Option<[u8; 64]> {
    let (&parity, rs) = signature.split_last()?;
    let mut out: [u8; 64] = rs.try_into().ok()?;
    if out[32] & 0x80 != 0 || !(27..=28).contains(&parity) {
        return None;
    }
    out[32] |= (parity - 27) << 7;
    Some(out)
}
