//! How the signed structures look in JSON, for the OpenAPI document only.
//!
//! The structures themselves are those of `outcry_protocol::types`; a test compares every field
//! name and JSON type with what they really serialise to. Their meaning stands in
//! `contracts/src/types/Orders.sol`.

#![allow(dead_code, reason = "only their schemas are used")]

use alloy::primitives::{Address, B256};
use utoipa::ToSchema;

use crate::api::Amount;

/// A job's header; see `JobSpec` in `contracts/src/types/Orders.sol` for the meaning of its fields.
#[derive(ToSchema)]
#[schema(as = JobSpec, rename_all = "camelCase")]
pub(crate) struct JobSpecSchema {
    /// Version of the machine's rules.
    machine_version: u32,
    /// Commitment to the linked program.
    #[schema(value_type = String)]
    image_root: B256,
    /// Merkle root over the tasks' inputs.
    #[schema(value_type = String)]
    inputs_root: B256,
    /// BLAKE3 of the job's manifest, `0x` hex as it stands in the signed structure.
    #[schema(value_type = String)]
    manifest: B256,
    /// Ed25519 key of the node that serves the blobs.
    #[schema(value_type = String)]
    source: B256,
    /// Most cycles of one task.
    cycle_limit: Amount,
    /// Most 64 KiB pages of memory.
    page_limit: u32,
    /// Most frame slots in use at once.
    slot_limit: Amount,
    /// Most bytes of one task's output archive.
    output_limit: Amount,
    /// Number of tasks.
    task_count: u32,
}

/// A buyer's order; see `Bid` in `contracts/src/types/Orders.sol` for the meaning of its fields.
#[derive(ToSchema)]
#[schema(as = Bid, rename_all = "camelCase")]
pub(crate) struct BidSchema {
    /// Who pays.
    #[schema(value_type = String)]
    buyer: Address,
    /// What pays; the zero address is the chain's own coin.
    #[schema(value_type = String)]
    token: Address,
    /// Hash of the job.
    #[schema(value_type = String)]
    job_hash: B256,
    /// Number of tasks.
    tasks: u32,
    /// Expected cycles of one task.
    cycles_expected: Amount,
    /// What a task reserves.
    resources: ResourcesSchema,
    /// Most that one task may cost.
    price_cap: Amount,
    /// What a second of expected completion is worth.
    value_of_time: Amount,
    /// Set of acceptable regions, as a bit set.
    regions: Amount,
    /// Attribute bits that an offer must have.
    attributes: Amount,
    /// Milliseconds; 0 until round-trip times exist.
    round_trip_ms_max: u32,
    /// Place to which the round trip is measured.
    #[schema(value_type = String)]
    round_trip_place: B256,
    /// Chance that a deal is audited, basis points.
    audit_rate_bps: u16,
    /// What an audit of a deal pays; zero if and only if the rate is.
    audit_fee: Amount,
    /// Collateral as a multiple of the escrow, in basis points.
    collateral_bps: u32,
    /// Number of independent executions; 1 until replication exists.
    replicas: u8,
    /// Seconds to fetch and start.
    queue_timeout: u32,
    /// Seconds to execute, after the queue timeout.
    execution_timeout: u32,
    /// Blocks in which a better offer may take a deal's place, at most 32; 0 for none.
    rank_window: u16,
    /// Paid to whoever opens or times out a deal of this bid.
    tip: Amount,
    /// Last valid second.
    expiry: Amount,
    /// The order's place in the account's bitmap.
    salt: Amount,
    /// The account's cancel counter.
    counter: Amount,
}

/// A provider's order; see `Offer` in `contracts/src/types/Orders.sol` for the meaning of its
/// fields.
#[derive(ToSchema)]
#[schema(as = Offer, rename_all = "camelCase")]
pub(crate) struct OfferSchema {
    /// Who is paid and puts up collateral.
    #[schema(value_type = String)]
    provider: Address,
    /// What pays.
    #[schema(value_type = String)]
    token: Address,
    /// Pool of slots that the offer draws on.
    #[schema(value_type = String)]
    capacity_id: B256,
    /// Slots in that pool.
    slots: u32,
    /// Ed25519 key of the provider's node.
    #[schema(value_type = String)]
    peer_key: B256,
    /// Region, 0 to 255.
    region: u8,
    /// Attribute bits.
    attributes: Amount,
    /// What a slot has.
    resources: ResourcesSchema,
    /// Base units per task.
    start_fee: Amount,
    /// Base units per 10^18 cycles.
    cycle_price: Amount,
    /// Base units per 10^18 cycles and MiB of memory.
    memory_price: Amount,
    /// Base units per 10^18 cycles and MiB of disk.
    disk_price: Amount,
    /// Base units per 10^18 cycles and GPU.
    gpu_price: Amount,
    /// Base units per 10^18 cycles and MiB of traffic.
    egress_price: Amount,
    /// Cycles per second.
    speed: Amount,
    /// Most collateral of one deal.
    collateral_max: Amount,
    /// Version of the machine's rules.
    machine_version: u32,
    /// Paid to whoever claims or finalises in the provider's place.
    tip: Amount,
    /// Last valid second.
    expiry: Amount,
    /// The order's place in the account's bitmap.
    salt: Amount,
    /// The account's cancel counter.
    counter: Amount,
}

/// The terms of an open deal; see `Deal` in `contracts/src/types/Orders.sol`. Its hash is the deal
/// id, so a client can check that a node told the terms truly.
#[derive(ToSchema)]
#[schema(as = Deal, rename_all = "camelCase")]
pub(crate) struct DealSchema {
    /// EIP-712 digest of the bid.
    #[schema(value_type = String)]
    bid_hash: B256,
    /// EIP-712 digest of the offer.
    #[schema(value_type = String)]
    offer_hash: B256,
    /// Hash of the job.
    #[schema(value_type = String)]
    job_hash: B256,
    /// Who pays.
    #[schema(value_type = String)]
    buyer: Address,
    /// Who is paid.
    #[schema(value_type = String)]
    provider: Address,
    /// What pays.
    #[schema(value_type = String)]
    token: Address,
    /// Pool of slots.
    #[schema(value_type = String)]
    capacity_id: B256,
    /// First task of the range.
    first_task: u32,
    /// Length of the range.
    task_count: u32,
    /// Most cycles of one task.
    cycle_limit: Amount,
    /// Base units per task.
    start_fee: Amount,
    /// Base units per 10^18 cycles, over all that the bid reserves.
    unit_price: Amount,
    /// Most that one task may cost.
    price_cap: Amount,
    /// What the buyer put up for the price.
    escrow: Amount,
    /// What the provider put up.
    collateral: Amount,
    /// The bid's tip.
    buyer_tip: Amount,
    /// The offer's tip.
    provider_tip: Amount,
    /// Unix seconds.
    opened_at: Amount,
    /// Last second at which a claim is valid.
    deadline: Amount,
    /// Which cell of the pool holds the deal's word.
    cell: u32,
    /// Salt of the bid.
    bid_salt: Amount,
    /// What the deal reserves, packed: memoryMib (32 bits, lowest), diskMib (32), egressMib (32),
    /// gpuClass (16), gpuCount (16), region (8), auditRateBps (16), auditFee (96),
    /// rankWindow (8).
    resources: Amount,
}

/// Resources of one slot: what a bid reserves, what an offer has.
#[derive(ToSchema)]
#[schema(as = Resources, rename_all = "camelCase")]
pub(crate) struct ResourcesSchema {
    /// MiB of memory.
    memory_mib: u32,
    /// MiB of disk.
    disk_mib: u32,
    /// GPU class; 0 until GPUs exist.
    gpu_class: u16,
    /// Number of GPUs; 0 until GPUs exist.
    gpu_count: u16,
    /// MiB of outgoing traffic.
    egress_mib: u32,
}

/// How a task's program ended.
#[derive(ToSchema)]
#[schema(as = Status, rename_all = "camelCase")]
pub(crate) enum StatusSchema {
    /// It ended with an exit code.
    Exited,
    /// It trapped.
    Trapped,
    /// It reached the cycle limit.
    OutOfCycles,
    /// It exceeded the limit of frame slots.
    OutOfFrameSlots,
    /// Its output would have exceeded the limit.
    OutputLimitExceeded,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use outcry_protocol::types;
    use serde_json::Value;
    use utoipa::PartialSchema;

    /// Names of fields, each with whether JSON holds it as a number, a string or an object.
    fn told(schema: &impl serde::Serialize) -> BTreeMap<String, &'static str> {
        let schema = serde_json::to_value(schema).unwrap();
        let kind = |property: &Value| match property["type"].as_str() {
            Some("integer") => "number",
            Some("string") => "string",
            _ if property["$ref"].as_str().unwrap().ends_with("/Amount") => "string",
            _ => "object",
        };
        schema["properties"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, p)| (name.clone(), kind(p)))
            .collect()
    }

    fn real(value: &impl serde::Serialize) -> BTreeMap<String, &'static str> {
        let kind = |value: &Value| match value {
            Value::Number(_) => "number",
            Value::String(_) => "string",
            _ => "object",
        };
        let value = serde_json::to_value(value).unwrap();
        value
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), kind(value)))
            .collect()
    }

    #[test]
    fn the_schemas_tell_what_the_structures_serialise_to() {
        assert_eq!(
            told(&super::JobSpecSchema::schema()),
            real(&types::JobSpec::default())
        );
        assert_eq!(
            told(&super::BidSchema::schema()),
            real(&types::Bid::default())
        );
        assert_eq!(
            told(&super::OfferSchema::schema()),
            real(&types::Offer::default())
        );
        assert_eq!(
            told(&super::DealSchema::schema()),
            real(&types::Deal::default())
        );
        assert_eq!(
            told(&super::ResourcesSchema::schema()),
            real(&types::Resources::default())
        );
        let schema = serde_json::to_value(super::StatusSchema::schema()).unwrap();
        let real = serde_json::to_value(outcry_protocol::status::Status::ALL).unwrap();
        assert_eq!(schema["enum"], real);
    }
}
