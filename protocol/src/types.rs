//! The signed and hashed structures, read from `contracts/src/types/Orders.sol`.
//!
//! There is one definition, the Solidity file; field documentation stands there. Field names keep
//! Solidity's spelling, because it is part of the EIP-712 type string.
//!
//! In JSON (HTTP API, golden vectors) a structure is an object with the same field names: integers
//! of up to 32 bits are numbers, wider ones decimal strings, byte strings and addresses `0x` hex.
//! Reading accepts a number or a decimal string for any integer and refuses unknown fields.
//! [`auction`] has the structures of the auction of reserved capacity, from `Auctions.sol`.

use alloy_primitives::U256;
use serde::de::{self, Deserializer};
use serde::ser::{SerializeStruct, Serializer};
use serde::{Deserialize, Serialize};

#[allow(missing_docs, clippy::too_many_arguments)]
mod generated {
    alloy_sol_types::sol!(
        #![sol(all_derives)]
        "../contracts/src/types/Orders.sol"
    );
}
pub use generated::{Accept, Bid, Claim, ClaimRelay, Deal, JobSpec, Offer, Receipt, Resources};

/// How one field looks in JSON.
trait Field: Sized {
    type Json: Serialize + for<'de> Deserialize<'de>;
    fn to_json(&self) -> Self::Json;
    fn from_json(json: Self::Json) -> Result<Self, String>;
}

/// An integer in JSON: written as chosen by the field's width, read as a number or a decimal string.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Integer {
    Number(u64),
    Decimal(String),
}

fn decimal(text: &str) -> Result<U256, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("`{text}` is not a decimal integer"));
    }
    U256::from_str_radix(text, 10).map_err(|_| format!("{text} needs more than 256 bits"))
}

macro_rules! integer_field {
    ($($ty:ty => $make:expr),+ $(,)?) => {$(
        impl Field for $ty {
            type Json = Integer;
            fn to_json(&self) -> Integer {
                let make: fn(&$ty) -> Integer = $make;
                make(self)
            }
            fn from_json(json: Integer) -> Result<Self, String> {
                let value = match json {
                    Integer::Number(n) => U256::from(n),
                    Integer::Decimal(text) => decimal(&text)?,
                };
                <$ty>::try_from(value).map_err(|_| format!("{value} does not fit {}", stringify!($ty)))
            }
        }
    )+};
}
integer_field!(
    u8 => |v| Integer::Number((*v).into()),
    u16 => |v| Integer::Number((*v).into()),
    u32 => |v| Integer::Number((*v).into()),
    u64 => |v| Integer::Decimal(v.to_string()),
    u128 => |v| Integer::Decimal(v.to_string()),
    U256 => |v| Integer::Decimal(v.to_string()),
);

/// An integer of either sign in JSON, in the same way.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Signed {
    Number(i64),
    Decimal(String),
}

macro_rules! signed_field {
    ($($ty:ty => $make:expr),+ $(,)?) => {$(
        impl Field for $ty {
            type Json = Signed;
            fn to_json(&self) -> Signed {
                let make: fn(&$ty) -> Signed = $make;
                make(self)
            }
            fn from_json(json: Signed) -> Result<Self, String> {
                match json {
                    Signed::Number(n) => <$ty>::try_from(n).map_err(|e| format!("{n}: {e}")),
                    Signed::Decimal(text) => text.parse().map_err(|e| format!("{text}: {e}")),
                }
            }
        }
    )+};
}
signed_field!(
    i32 => |v| Signed::Number((*v).into()),
    i64 => |v| Signed::Decimal(v.to_string()),
    i128 => |v| Signed::Decimal(v.to_string()),
);

impl<T: Field> Field for Vec<T> {
    type Json = Vec<T::Json>;
    fn to_json(&self) -> Self::Json {
        self.iter().map(T::to_json).collect()
    }
    fn from_json(json: Self::Json) -> Result<Self, String> {
        json.into_iter().map(T::from_json).collect()
    }
}

macro_rules! plain_field {
    ($($ty:ty),+) => {$(
        impl Field for $ty {
            type Json = $ty;
            fn to_json(&self) -> $ty { self.clone() }
            fn from_json(json: $ty) -> Result<Self, String> { Ok(json) }
        }
    )+};
}
plain_field!(alloy_primitives::Address, alloy_primitives::B256, Resources);

/// JSON form of a structure; the exhaustive pattern makes a forgotten field a compile error.
macro_rules! json {
    ($name:ident { $($field:ident : $ty:ty),+ $(,)? }) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $name { $($field),+ } = self;
                let count = [$(stringify!($field)),+].len();
                let mut out = serializer.serialize_struct(stringify!($name), count)?;
                $(out.serialize_field(stringify!($field), &Field::to_json($field))?;)+
                out.end()
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                #[allow(non_snake_case)]
                struct Json { $($field: <$ty as Field>::Json),+ }
                let json = Json::deserialize(deserializer)?;
                Ok($name {
                    $($field: <$ty as Field>::from_json(json.$field)
                        .map_err(|e| de::Error::custom(format!(concat!(stringify!($field), ": {}"), e)))?,)+
                })
            }
        }
    };
}

use alloy_primitives::{Address, B256};

json!(JobSpec {
    machineVersion: u32,
    imageRoot: B256,
    inputsRoot: B256,
    manifest: B256,
    source: B256,
    cycleLimit: u64,
    pageLimit: u32,
    slotLimit: u64,
    outputLimit: u64,
    taskCount: u32,
});
json!(Resources {
    memoryMib: u32,
    diskMib: u32,
    gpuClass: u16,
    gpuCount: u16,
    egressMib: u32
});
json!(Bid {
    buyer: Address,
    token: Address,
    jobHash: B256,
    tasks: u32,
    cyclesExpected: u64,
    resources: Resources,
    priceCap: u128,
    valueOfTime: u128,
    regions: U256,
    attributes: U256,
    roundTripMsMax: u32,
    roundTripPlace: B256,
    auditRateBps: u16,
    auditFee: u128,
    collateralBps: u32,
    replicas: u8,
    queueTimeout: u32,
    executionTimeout: u32,
    rankWindow: u16,
    tip: u128,
    expiry: u64,
    salt: U256,
    counter: u64,
});
json!(Offer {
    provider: Address,
    token: Address,
    capacityId: B256,
    slots: u32,
    peerKey: B256,
    region: u8,
    attributes: U256,
    resources: Resources,
    startFee: u128,
    cyclePrice: u128,
    memoryPrice: u128,
    diskPrice: u128,
    gpuPrice: u128,
    egressPrice: u128,
    speed: u64,
    collateralMax: u128,
    machineVersion: u32,
    tip: u128,
    expiry: u64,
    salt: U256,
    counter: u64,
});
json!(Deal {
    bidHash: B256,
    offerHash: B256,
    jobHash: B256,
    buyer: Address,
    provider: Address,
    token: Address,
    capacityId: B256,
    cell: u32,
    firstTask: u32,
    taskCount: u32,
    cycleLimit: u64,
    startFee: u128,
    unitPrice: u128,
    priceCap: u128,
    escrow: u128,
    collateral: u128,
    buyerTip: u128,
    providerTip: u128,
    openedAt: u64,
    deadline: u64,
    bidSalt: U256,
    resources: U256,
});
json!(Claim {
    resultRoot: B256,
    cycles: u64,
    price: u128
});
json!(Accept {
    dealId: B256,
    claimHash: B256
});
json!(Receipt {
    dealId: B256,
    task: u32,
    outputRoot: B256
});
json!(ClaimRelay {
    dealId: B256,
    claimHash: B256
});

pub mod auction;
