//! `network.toml`: the facts by which a client or a node takes part in one network.

use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use outcry_protocol::hash::Domain;
use outcry_protocol::shard::Sharding;
use serde::{Deserialize, Serialize};

use crate::api::TokenInfo;
use crate::error::Error;

/// Most bytes of a network file; a real one has less than one KiB.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// One market on one chain, and the doors to it. Relative paths are relative to the file's folder.
///
/// ```
/// let network: outcry_sdk::Network = toml::from_str(r#"
///     chain_id = 31337
///     rpc = "http://127.0.0.1:8545"
///     api = "http://127.0.0.1:7480"
///     market = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
///     stake = "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"
///     token = "0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0"
///
///     [[tokens]]
///     symbol = "tUSD"
///     address = "0xCf7Ed3AccA5a467e9e704C703E8D87F640F1fB5b"
///     decimals = 6
/// "#)?;
/// assert_eq!(network.payment_token()?.symbol, "tUSD");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// JSON-RPC endpoint of the chain, `http://` or `https://`.
    pub rpc: String,
    /// HTTP API of a node that serves buyers.
    pub api: String,
    /// Market contract.
    pub market: Address,
    /// Stake contract.
    pub stake: Address,
    /// The protocol's own token: staked and bonded, never required for payment.
    pub token: Address,
    /// Auction of reserved capacity, where the market has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auction: Option<Address>,
    /// Into how many shards the market's gossip is divided: 1, or another power of two up to 64. All nodes
    /// of a market must have the same number.
    #[serde(default, skip_serializing_if = "is_one")]
    pub shards: Sharding,
    /// Multiaddresses of peers to join through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bootstrap: Vec<String>,
    /// File of mode 0600 with a funded account's key. Only test networks name one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The CPython program that runs `.py` files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<PathBuf>,
    /// Payment tokens; the first is what orders pay in unless another is asked for.
    #[serde(default)]
    pub tokens: Vec<TokenInfo>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_one(sharding: &Sharding) -> bool {
    sharding.is_one()
}

impl Network {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::NetworkFile`] if it can't be read, is too long, or has an unknown or missing key.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let wrong = |reason: String| Error::NetworkFile {
            path: path.to_path_buf(),
            reason,
        };
        let length = std::fs::metadata(path)
            .map_err(|e| wrong(e.to_string()))?
            .len();
        if length > FILE_BYTES_MAX {
            return Err(wrong(format!(
                "{length} bytes are more than {FILE_BYTES_MAX}"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        let mut network: Self = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for file in [&mut network.key_file, &mut network.python]
            .into_iter()
            .flatten()
        {
            *file = folder.join(&*file);
        }
        Ok(network)
    }

    /// Writes a file that [`Network::load`] reads; under a temporary name first, so that a reader
    /// never sees half of it.
    ///
    /// # Errors
    /// [`Error::NetworkFile`] if it can't be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let wrong = |reason: String| Error::NetworkFile {
            path: path.to_path_buf(),
            reason,
        };
        let text = toml::to_string(self).map_err(|e| wrong(e.to_string()))?;
        let part = path.with_extension("toml.part");
        std::fs::write(&part, text).map_err(|e| wrong(e.to_string()))?;
        std::fs::rename(&part, path).map_err(|e| wrong(e.to_string()))
    }

    /// The EIP-712 domain under which orders of this network are signed.
    pub fn domain(&self) -> Domain {
        Domain::new(self.chain_id, self.market)
    }

    /// The token that orders pay in by default.
    ///
    /// # Errors
    /// [`Error::UnknownToken`] if the network names none.
    pub fn payment_token(&self) -> Result<&TokenInfo, Error> {
        self.tokens
            .first()
            .ok_or_else(|| Error::UnknownToken("(default)".to_owned()))
    }

    /// A token by its symbol or address. The chain's own coin has a name in every network.
    ///
    /// # Errors
    /// [`Error::UnknownToken`] if the network does not name it.
    pub fn token_named(&self, name: &str) -> Result<TokenInfo, Error> {
        let address = name.parse::<Address>().ok();
        self.tokens
            .iter()
            .cloned()
            .chain([TokenInfo::coin()])
            .find(|token| token.symbol.eq_ignore_ascii_case(name) || Some(token.address) == address)
            .ok_or_else(|| Error::UnknownToken(name.to_owned()))
    }

    /// A token by its address; a token that the network does not name shows as its address with no
    /// decimal places.
    pub fn token_at(&self, address: Address) -> TokenInfo {
        self.tokens
            .iter()
            .cloned()
            .chain([TokenInfo::coin()])
            .find(|token| token.address == address)
            .unwrap_or_else(|| TokenInfo {
                symbol: address.to_string(),
                address,
                decimals: 0,
            })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_chains_own_coin_has_a_name_in_a_network_that_does_not_give_it_one() {
        let mut network: Network = toml::from_str(
            r#"
            chain_id = 31337
            rpc = "http://127.0.0.1:8545"
            api = "http://127.0.0.1:7480"
            market = "0x00000000000000000000000000000000000000aa"
            stake = "0x00000000000000000000000000000000000000bb"
            token = "0x00000000000000000000000000000000000000cc"
            "#,
        )
        .unwrap();
        let zero = Address::ZERO.to_string();
        assert_eq!(network.token_named("coin").unwrap(), TokenInfo::coin());
        assert_eq!(network.token_named(&zero).unwrap(), TokenInfo::coin());
        assert!(network.token_named("ether").is_err());
        let ether = TokenInfo {
            symbol: "ether".into(),
            ..TokenInfo::coin()
        };
        network.tokens.push(ether.clone());
        assert_eq!(network.token_named(&zero).unwrap(), ether);
        assert_eq!(network.token_at(Address::ZERO), ether);
    }
}
