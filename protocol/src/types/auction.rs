//! The structures of the auction of reserved capacity, read from `contracts/src/types/Auctions.sol`.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use super::*;

#[allow(missing_docs, clippy::too_many_arguments)]
mod generated {
    alloy_sol_types::sol!(
        #![sol(all_derives)]
        "../contracts/src/types/Auctions.sol"
    );
}
pub use generated::{
    Alternative, AuctionOrder, AuctionParameters, Backing, DrawRecord, Entry, Fill, FillGroup,
    GroupProof, Obligation, Phase, Pool, ResultRecord, RoundRecord, StreamRecord,
};

/// A backing by its name.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BackingName {
    Holdings,
    Capacity,
    Curve,
}

impl Field for Backing {
    type Json = BackingName;
    fn to_json(&self) -> BackingName {
        match self {
            Self::Capacity => BackingName::Capacity,
            Self::Curve => BackingName::Curve,
            // Nothing else is read: the decoder refuses other numbers.
            _ => BackingName::Holdings,
        }
    }
    fn from_json(json: BackingName) -> Result<Self, String> {
        Ok(match json {
            BackingName::Holdings => Self::Holdings,
            BackingName::Capacity => Self::Capacity,
            BackingName::Curve => Self::Curve,
        })
    }
}

plain_field!(Entry, Alternative, Fill);

json!(Entry {
    pool: u16,
    quantity: i32
});
json!(Alternative {
    limit: i64,
    entries: Vec<Entry>
});
json!(AuctionOrder {
    account: Address,
    backing: Backing,
    lots: u32,
    alternatives: Vec<Alternative>,
    salt: B256,
});
json!(Fill {
    order: u16,
    alternative: u8,
    lots: u32
});
json!(FillGroup {
    fills: Vec<Fill>,
    surplus: Vec<i64>,
    welfare: i128,
    volume: u128,
});
json!(Pool {
    region: u8,
    memoryMib: u32,
    diskMib: u32,
    egressMib: u32,
    attributes: U256,
    speed: u64,
    unitDeposit: u128,
    machineVersion: u32,
});
json!(AuctionParameters {
    market: Address,
    token: Address,
    start: u64,
    intervalS: u32,
    intervals: u16,
    commitS: u32,
    revealS: u32,
    postS: u32,
    feeBps: u16,
    resultBond: u128,
    depositMin: u128,
    drawS: u32,
    drawFeeBps: u16,
});
