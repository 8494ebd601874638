use alloy::{
    primitives::Bytes,
    sol_types::{GenericContractError, SolInterface},
};
use serde::{Deserialize, Serialize};

use crate::rpc::RpcError;

/// Turns the data of a custom error into words; `None` when it does not know the error.
pub type ErrorDecoder = fn(&[u8]) -> Option<String>;

/// A decoder for the errors of one contract, as its bindings declare them.
pub fn decode_with<E: SolInterface + std::fmt::Debug>(data: &[u8]) -> Option<String> {
    E::abi_decode(data).ok().map(|error| format!("{error:?}"))
}

/// A contract's "no".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revert {
    /// The returned bytes: selector and arguments of an error, or nothing.
    pub data: Bytes,
    /// The error in words, as far as it could be decoded.
    pub reason: String,
}

impl Revert {
    pub(crate) fn new(data: Bytes, message: &str, decoder: ErrorDecoder) -> Self {
        let reason = decoder(&data)
            .or_else(|| {
                GenericContractError::abi_decode(&data)
                    .ok()
                    .map(|error| error.to_string())
            })
            .unwrap_or_else(|| message.to_owned());
        Self { data, reason }
    }

    /// The revert in an endpoint's refusal of a call; `None` when it refused for another reason.
    pub(crate) fn from_refusal(error: &RpcError, decoder: ErrorDecoder) -> Option<Self> {
        let RpcError::Refused {
            code,
            message,
            data,
            ..
        } = error
        else {
            return None;
        };
        // Geth and those who follow it answer a revert with code 3; others only say so. Every other
        // halt of the EVM is an answer too; all else, rate limits above all, is not.
        let said = message.to_lowercase();
        let halted = [
            "revert",
            "invalid opcode",
            "out of gas",
            "outofgas",
            "evm error",
        ];
        (*code == 3 || halted.iter().any(|word| said.contains(word)))
            .then(|| Self::new(data.clone().unwrap_or_default(), message, decoder))
    }
}
