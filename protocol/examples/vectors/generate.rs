//! The golden vectors, computed from fixed keys and fixed orders.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub
)]

#[path = "auction.rs"]
mod auction;

use alloy_primitives::{Address, B256, U256, hex, keccak256};
use alloy_sol_types::{SolStruct, SolValue};
use k256::ecdsa::SigningKey;
use outcry_protocol::claim::{self, TaskResult};
use outcry_protocol::deal;
use outcry_protocol::hash::{self, Domain};
use outcry_protocol::limits::{
    AUDIT_FEE_MAX, CYCLE_LIMIT_MAX, OUTPUT_LIMIT_MIN, PRICE_MAX, RANK_WINDOW_BLOCKS_MAX,
    TASKS_PER_DEAL_MAX, TASKS_PER_JOB_MAX,
};
use outcry_protocol::merkle;
use outcry_protocol::money::{self, Tariff};
use outcry_protocol::ranking;
use outcry_protocol::shard::{SHARDS_MAX, Sharding};
use outcry_protocol::signature;
use outcry_protocol::status::{Outcome, Status};
use outcry_protocol::types::{Accept, Bid, ClaimRelay, Deal, JobSpec, Offer, Receipt, Resources};
use outcry_protocol::wire::{Message, SignedBid, SignedOffer};
use serde_json::{Value, json};

/// File names and contents.
pub fn files() -> Vec<(&'static str, String)> {
    let pretty = |value: Value| serde_json::to_string_pretty(&value).unwrap() + "\n";
    vec![
        ("domain.json", pretty(domain_file())),
        ("orders.json", pretty(orders_file())),
        ("signatures.json", pretty(signatures_file())),
        ("hashes.json", pretty(hashes_file())),
        ("merkle.json", pretty(merkle_file())),
        ("money.json", pretty(money_file())),
        ("ranking.json", pretty(ranking_file())),
        ("claims.json", pretty(claims_file())),
        ("wire.json", pretty(wire_file())),
        ("shards.json", pretty(shards_file())),
        ("lifecycle.json", pretty(lifecycle_file())),
        ("matching.json", pretty(matching_file())),
        ("codes.json", pretty(codes_file())),
        ("auction.json", pretty(auction::file())),
    ]
}

pub fn domain() -> Domain {
    Domain::new(
        31_337,
        alloy_primitives::address!("0x0cC17A5aC0DE00000000000000000000000Ca11e"),
    )
}

/// Deterministic 32 bytes that mean nothing.
fn word(name: &str) -> B256 {
    keccak256(format!("outcry.vectors.{name}"))
}

struct Key {
    secret: B256,
    signing: SigningKey,
    address: Address,
}

fn key(name: &str) -> Key {
    let secret = word(name);
    let signing = SigningKey::from_slice(secret.as_slice()).unwrap();
    let address = Address::from_public_key(signing.verifying_key());
    Key {
        secret,
        signing,
        address,
    }
}

impl Key {
    fn sign(&self, digest: B256) -> Vec<u8> {
        let (signature, recovery) = self
            .signing
            .sign_prehash_recoverable(digest.as_slice())
            .unwrap();
        let mut bytes = signature.to_bytes().to_vec();
        bytes.push(27 + recovery.to_byte());
        bytes
    }
}

fn hexed(bytes: impl AsRef<[u8]>) -> String {
    hex::encode_prefixed(bytes)
}

pub fn job() -> JobSpec {
    JobSpec {
        machineVersion: 1,
        imageRoot: word("image"),
        inputsRoot: word("inputs"),
        manifest: word("manifest"),
        source: word("source"),
        cycleLimit: 2_000_000_000_000,
        pageLimit: 4096,
        slotLimit: 1 << 20,
        outputLimit: 1 << 24,
        taskCount: 100,
    }
}

pub fn bid() -> Bid {
    Bid {
        buyer: key("buyer").address,
        token: Address::repeat_byte(0x70),
        jobHash: hash::job_hash(&job()),
        tasks: 100,
        cyclesExpected: 1_500_000_000_000,
        resources: Resources {
            memoryMib: 512,
            diskMib: 1024,
            gpuClass: 0,
            gpuCount: 0,
            egressMib: 64,
        },
        priceCap: 2_000_000,
        valueOfTime: 300,
        regions: U256::from(0b1011),
        attributes: U256::from(0b101),
        roundTripMsMax: 0,
        roundTripPlace: B256::ZERO,
        auditRateBps: 0,
        auditFee: 0,
        collateralBps: 20_000,
        replicas: 1,
        queueTimeout: 60,
        executionTimeout: 3600,
        rankWindow: 0,
        tip: 1_000,
        expiry: 1_900_000_000,
        salt: U256::from(7),
        counter: 3,
    }
}

/// A bid whose deals are audited: one in eight, for the largest fee that is below 2^90.
fn audited(bid: Bid) -> Bid {
    Bid {
        auditRateBps: 1_250,
        auditFee: (1 << 90) - 1,
        ..bid
    }
}

pub fn offer() -> Offer {
    Offer {
        provider: key("provider").address,
        token: Address::repeat_byte(0x70),
        capacityId: word("capacity"),
        slots: 8,
        peerKey: word("peer"),
        region: 1,
        attributes: U256::from(0b1101),
        resources: Resources {
            memoryMib: 2048,
            diskMib: 8192,
            gpuClass: 0,
            gpuCount: 0,
            egressMib: 1024,
        },
        startFee: 10_000,
        cyclePrice: 400_000_000_000,
        memoryPrice: 500_000_000,
        diskPrice: 1_000_000,
        gpuPrice: 0,
        egressPrice: 2_000_000_000,
        speed: 1_000_000_000,
        collateralMax: 100_000_000_000,
        machineVersion: 1,
        tip: 500,
        expiry: 1_900_000_300,
        salt: U256::from(11),
        counter: 0,
    }
}

pub fn deal(count: u32) -> Deal {
    deal_of(&bid(), count)
}

fn deal_of(bid: &Bid, count: u32) -> Deal {
    deal::terms(
        &domain(),
        bid,
        &offer(),
        &job(),
        3,
        40,
        count,
        1_899_990_000,
    )
    .unwrap()
}

fn largest_job() -> JobSpec {
    JobSpec {
        machineVersion: u32::MAX,
        imageRoot: B256::repeat_byte(0xff),
        inputsRoot: B256::repeat_byte(0xff),
        manifest: B256::repeat_byte(0xff),
        source: B256::repeat_byte(0xff),
        cycleLimit: u64::MAX,
        pageLimit: u32::MAX,
        slotLimit: u64::MAX,
        outputLimit: u64::MAX,
        taskCount: u32::MAX,
    }
}

const LARGEST_RESOURCES: Resources = Resources {
    memoryMib: u32::MAX,
    diskMib: u32::MAX,
    gpuClass: u16::MAX,
    gpuCount: u16::MAX,
    egressMib: u32::MAX,
};

fn largest_bid() -> Bid {
    Bid {
        buyer: Address::repeat_byte(0xff),
        token: Address::repeat_byte(0xff),
        jobHash: B256::repeat_byte(0xff),
        tasks: u32::MAX,
        cyclesExpected: u64::MAX,
        resources: LARGEST_RESOURCES,
        priceCap: u128::MAX,
        valueOfTime: u128::MAX,
        regions: U256::MAX,
        attributes: U256::MAX,
        roundTripMsMax: u32::MAX,
        roundTripPlace: B256::repeat_byte(0xff),
        auditRateBps: u16::MAX,
        auditFee: u128::MAX,
        collateralBps: u32::MAX,
        replicas: u8::MAX,
        queueTimeout: u32::MAX,
        executionTimeout: u32::MAX,
        rankWindow: u16::MAX,
        tip: u128::MAX,
        expiry: u64::MAX,
        salt: U256::MAX,
        counter: u64::MAX,
    }
}

fn largest_offer() -> Offer {
    Offer {
        provider: Address::repeat_byte(0xff),
        token: Address::repeat_byte(0xff),
        capacityId: B256::repeat_byte(0xff),
        slots: u32::MAX,
        peerKey: B256::repeat_byte(0xff),
        region: u8::MAX,
        attributes: U256::MAX,
        resources: LARGEST_RESOURCES,
        startFee: u128::MAX,
        cyclePrice: u128::MAX,
        memoryPrice: u128::MAX,
        diskPrice: u128::MAX,
        gpuPrice: u128::MAX,
        egressPrice: u128::MAX,
        speed: u64::MAX,
        collateralMax: u128::MAX,
        machineVersion: u32::MAX,
        tip: u128::MAX,
        expiry: u64::MAX,
        salt: U256::MAX,
        counter: u64::MAX,
    }
}

fn type_entry<T: SolStruct>(sample: &T) -> Value {
    json!({
        "name": T::NAME,
        "encodeType": T::eip712_encode_type(),
        "typeHash": sample.eip712_type_hash(),
    })
}

fn domain_file() -> Value {
    let d = domain();
    let (bid, offer) = (bid(), offer());
    json!({
        "name": "Outcry",
        "version": "1",
        "chainId": d.chain_id,
        "verifyingContract": d.market.to_checksum(None),
        "separator": d.separator(),
        "types": [
            type_entry(&bid),
            type_entry(&offer),
            type_entry(&Accept { dealId: B256::ZERO, claimHash: B256::ZERO }),
            type_entry(&Receipt { dealId: B256::ZERO, task: 0, outputRoot: B256::ZERO }),
            type_entry(&ClaimRelay { dealId: B256::ZERO, claimHash: B256::ZERO }),
        ],
    })
}

/// One signed structure: the object, its ABI encoding, digest, key and both forms of signature.
fn signed<T: SolStruct + SolValue + serde::Serialize>(
    name: &str,
    value: &T,
    signer: &Key,
) -> Value {
    let digest = domain().digest(value);
    let bytes = signer.sign(digest);
    let compact = signature::compact(&bytes).unwrap();
    json!({
        "name": name,
        "message": value,
        "encoded": hexed(value.abi_encode()),
        "structHash": value.eip712_hash_struct(),
        "digest": digest,
        "signerKey": signer.secret,
        "signer": signer.address.to_checksum(None),
        "signature": hexed(&bytes),
        "compact": hexed(compact),
    })
}

fn orders_file() -> Value {
    let (buyer, provider) = (key("buyer"), key("provider"));
    let one = deal(3);
    let deal_id = domain().deal_id(&one);
    let made = claim::compute(&one, &task_results(3)).unwrap();
    let claim_hash = made.hash(deal_id);
    let minimal_bid = Bid {
        salt: U256::from(8),
        regions: U256::MAX,
        attributes: U256::ZERO,
        ..bid()
    };
    let audited_bid = Bid {
        salt: U256::from(9),
        ..audited(bid())
    };
    let minimal_offer = Offer {
        salt: U256::from(12),
        attributes: U256::ZERO,
        ..offer()
    };
    let jobs: Vec<Value> = [("usual", job()), ("largest", largest_job())]
        .into_iter()
        .map(|(name, job)| {
            json!({
                "name": name,
                "message": job,
                "encoded": hexed(job.abi_encode()),
                "jobHash": hash::job_hash(&job),
            })
        })
        .collect();
    json!({
        "jobs": jobs,
        "bids": [
            signed("usual", &bid(), &buyer),
            signed("anywhere", &minimal_bid, &buyer),
            signed("audited", &audited_bid, &buyer),
            signed("largest", &largest_bid(), &buyer),
        ],
        "offers": [
            signed("usual", &offer(), &provider),
            signed("no attributes", &minimal_offer, &provider),
            signed("largest", &largest_offer(), &provider),
        ],
        "accepts": [signed("usual", &Accept { dealId: deal_id, claimHash: claim_hash }, &buyer)],
        "receipts": [signed(
            "usual",
            &Receipt { dealId: deal_id, task: 41, outputRoot: word("output") },
            &buyer,
        )],
        "relays": [signed("usual", &ClaimRelay { dealId: deal_id, claimHash: claim_hash }, &provider)],
    })
}

/// Signatures that are not the account's: each is refused for an account without code.
fn signatures_file() -> Value {
    let digest = domain().bid_hash(&bid());
    let (buyer, provider) = (key("buyer"), key("provider"));
    let good = buyer.sign(digest);
    let order = U256::from_str_radix(
        "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
        16,
    )
    .unwrap();
    let s = U256::from_be_slice(&good[32..64]);
    let mut high_s = good.clone();
    high_s[32..64].copy_from_slice(&(order - s).to_be_bytes::<32>());
    high_s[64] = 27 + 28 - good[64];
    let mut raw_parity = good.clone();
    raw_parity[64] -= 27;
    let mut other_parity = good.clone();
    other_parity[64] = 27 + 28 - good[64];
    let mut zero_r = good.clone();
    zero_r[..32].fill(0);
    let entry = |why: &str, bytes: &[u8]| {
        json!({
            "why": why,
            "digest": digest,
            "signer": buyer.address.to_checksum(None),
            "signature": hexed(bytes),
        })
    };
    json!({
        "accepted": [
            entry("65 bytes", &good),
            entry("64 bytes, EIP-2098", &signature::compact(&good).unwrap()),
        ],
        "refused": [
            entry("s in the upper half of the group order", &high_s),
            entry("v is 0 or 1 in place of 27 or 28", &raw_parity),
            entry("the other parity recovers another address", &other_parity),
            entry("r is zero", &zero_r),
            entry("signed by somebody else", &provider.sign(digest)),
            entry("66 bytes", &[good.clone(), vec![0]].concat()),
            entry("63 bytes", &good[..63]),
            entry("empty", &[]),
        ],
    })
}

fn hashes_file() -> Value {
    let job_hash = hash::job_hash(&job());
    let tasks: Vec<Value> = [0, 1, 99, u32::MAX]
        .into_iter()
        .map(|index| json!({"jobHash": job_hash, "index": index, "taskId": hash::task_id(job_hash, index)}))
        .collect();
    let archive = |length: usize| (0..length).map(|i| (i * 31 + 7) as u8).collect::<Vec<u8>>();
    let inputs: Vec<Value> = [0usize, 1, 127, 128, 129, 256, 257, 1000]
        .into_iter()
        .map(|length| {
            let bytes = archive(length);
            json!({
                "bytes": hexed(&bytes),
                "length": length,
                "depth": merkle::depth_for_bytes(length as u64),
                "inputRoot": hash::input_root(&bytes),
            })
        })
        .collect();
    let task_trees: Vec<Value> = [1u32, 2, 3, 5]
        .into_iter()
        .map(|count| {
            let leaves: Vec<B256> = (0..count)
                .map(|i| {
                    let bytes = archive(200 + i as usize);
                    hash::task_leaf(i, word(&format!("blob {i}")), hash::input_root(&bytes), bytes.len() as u64)
                })
                .collect();
            json!({"taskCount": count, "leaves": leaves, "inputsRoot": hash::inputs_root(&leaves).unwrap()})
        })
        .collect();
    let outputs: Vec<Value> = [
        (0usize, 1u64),
        (0, 1 << 24),
        (300, 300),
        (300, 1024),
        (1024, 1024),
    ]
    .into_iter()
    .map(|(length, limit)| {
        let bytes = archive(length);
        json!({
            "bytes": hexed(&bytes),
            "outputLimit": limit.to_string(),
            "depth": merkle::depth_for_bytes(limit),
            "outputRoot": hash::output_root(&bytes, limit).unwrap(),
        })
    })
    .collect();
    let mut outcomes = vec![
        (
            "exited with 0",
            Outcome::exited(0, &archive(300), 1 << 24).unwrap(),
        ),
        (
            "exited with 255",
            Outcome::exited(255, &[], 1 << 24).unwrap(),
        ),
        (
            "exited with the largest code",
            Outcome::exited(u32::MAX, &archive(1), 1 << 24).unwrap(),
        ),
    ];
    outcomes.push(("trapped", Outcome::stopped(Status::Trapped, 1 << 24)));
    outcomes.push((
        "out of cycles",
        Outcome::stopped(Status::OutOfCycles, 1 << 24),
    ));
    outcomes.push((
        "out of frame slots",
        Outcome::stopped(Status::OutOfFrameSlots, 1 << 24),
    ));
    outcomes.push((
        "output limit exceeded",
        Outcome::stopped(Status::OutputLimitExceeded, 1 << 24),
    ));
    let halted: Vec<Value> = outcomes
        .iter()
        .enumerate()
        .map(|(i, (name, outcome))| {
            let cycles = if *name == "out of cycles" {
                CYCLE_LIMIT_MAX
            } else {
                12_345_678_901 + i as u64
            };
            let inner = outcome.inner();
            json!({
                "name": name,
                "jobHash": job_hash,
                "task": i,
                "cycles": cycles.to_string(),
                "status": outcome.status.number(),
                "exitCode": outcome.exit_code,
                "outputRoot": outcome.output_root,
                "outputLength": outcome.output_length.to_string(),
                "inner": inner,
                "haltedHash": hash::halted_hash(job_hash, i as u32, cycles, inner),
            })
        })
        .collect();
    json!({
        "statuses": Status::ALL.map(|s| json!({"number": s.number(), "name": s.to_string()})),
        "tasks": tasks,
        "inputs": inputs,
        "taskTrees": task_trees,
        "outputs": outputs,
        "outputLimitMin": OUTPUT_LIMIT_MIN.to_string(),
        "halted": halted,
        "ranks": [json!({
            "bidHash": word("bid"), "beacon": word("beacon"),
            "rank": hash::bid_rank(word("bid"), word("beacon")),
        })],
    })
}

fn merkle_file() -> Value {
    let data: Vec<u8> = (0..1000u32).map(|i| (i * i) as u8).collect();
    let roots: Vec<Value> = [
        (0usize, 0u32),
        (0, 3),
        (1, 0),
        (128, 0),
        (129, 1),
        (128 * 3, 2),
        (1000, 3),
        (1000, 10),
    ]
    .into_iter()
    .map(|(length, depth)| {
        json!({
            "data": hexed(&data[..length]),
            "depth": depth,
            "root": merkle::root(&data[..length], depth).unwrap(),
        })
    })
    .collect();
    let leaves = merkle::leaves_of(&data);
    let proofs: Vec<Value> = [(3u32, 0u64), (3, 5), (3, 7), (5, 7), (5, 8), (5, 31)]
        .into_iter()
        .map(|(depth, index)| {
            let leaf = leaves
                .get(index as usize)
                .copied()
                .unwrap_or(merkle::leaf(&[]));
            json!({
                "depth": depth,
                "index": index,
                "leaf": leaf,
                "siblings": merkle::proof(&leaves, depth, index).unwrap(),
                "root": merkle::root(&data, depth).unwrap(),
            })
        })
        .collect();
    let depths: Vec<Value> = [
        0u64,
        1,
        128,
        129,
        256,
        257,
        1 << 24,
        (1 << 24) + 1,
        u64::MAX,
    ]
    .into_iter()
    .map(|n| json!({"length": n.to_string(), "depth": merkle::depth_for_bytes(n)}))
    .collect();
    json!({
        "leafBytes": merkle::LEAF_BYTES,
        "zeroSubtrees": merkle::zero_subtrees().to_vec(),
        "depths": depths,
        "roots": roots,
        "proofs": proofs,
    })
}

fn money_file() -> Value {
    let unit = |resources: Resources, offer: &Offer| {
        json!({
            "resources": resources,
            "cyclePrice": offer.cyclePrice.to_string(),
            "memoryPrice": offer.memoryPrice.to_string(),
            "diskPrice": offer.diskPrice.to_string(),
            "gpuPrice": offer.gpuPrice.to_string(),
            "egressPrice": offer.egressPrice.to_string(),
            // Empty: the sum needs more than 128 bits and is refused.
            "unitPrice": money::unit_price(offer, &resources).map(|p| p.to_string()).unwrap_or_default(),
        })
    };
    let steep = Offer {
        cyclePrice: PRICE_MAX,
        memoryPrice: PRICE_MAX,
        diskPrice: PRICE_MAX,
        gpuPrice: PRICE_MAX,
        egressPrice: PRICE_MAX,
        ..offer()
    };
    let none = Resources {
        memoryMib: 0,
        diskMib: 0,
        gpuClass: 0,
        gpuCount: 0,
        egressMib: 0,
    };
    let one = Resources {
        memoryMib: 1,
        diskMib: 1,
        gpuClass: 0,
        gpuCount: 1,
        egressMib: 1,
    };
    let fits = Resources {
        memoryMib: (1 << 28) - 2,
        ..none
    };
    let exceeds = Resources {
        memoryMib: (1 << 28) - 1,
        ..none
    };
    let price = |name: &str,
                 start_fee: u128,
                 unit_price: u128,
                 price_cap: u128,
                 cycles: u64,
                 count: u32| {
        let tariff = Tariff {
            start_fee,
            unit_price,
            price_cap,
        };
        json!({
            "name": name,
            "startFee": start_fee.to_string(),
            "unitPrice": unit_price.to_string(),
            "priceCap": price_cap.to_string(),
            "cycles": cycles.to_string(),
            "taskPrice": tariff.task_price(cycles).to_string(),
            "count": count,
            "escrow": tariff.escrow(cycles, count).map(|p| p.to_string()).unwrap_or_default(),
        })
    };
    let e18 = 1_000_000_000_000_000_000u128;
    let collaterals: Vec<Value> = [
        (0u128, 20_000u32),
        (1, 1),
        (1, 10_000),
        (1, 10_001),
        (9_999, 1),
        (10_000, 1),
        (10_001, 1),
        (1_000_000_007, 15_000),
        (PRICE_MAX * 2048, 1_000_000),
        (u128::MAX, 10_000),
        (u128::MAX, 10_001),
    ]
    .into_iter()
    .map(|(escrow, bps)| {
        json!({
            "escrow": escrow.to_string(), "bps": bps,
            "collateral": money::collateral(escrow, bps).map(|c| c.to_string()).unwrap_or_default(),
        })
    })
    .collect();
    let shares: Vec<Value> = [
        (0u128, 25u16),
        (399, 25),
        (400, 25),
        (799, 25),
        (1_000_000_007, 500),
        (u128::MAX, 500),
        (u128::MAX, 10_000),
    ]
    .into_iter()
    .map(|(amount, bps)| {
        json!({
            "amount": amount.to_string(), "bps": bps,
            "fee": money::fee(amount, bps).to_string(),
            "admissionFee": money::admission_fee(amount, bps).to_string(),
        })
    })
    .collect();
    let slashes: Vec<Value> = [0u128, 1, 2, 3, 1_000_001, u128::MAX]
        .into_iter()
        .map(|amount| {
            let s = money::slash(amount);
            json!({"amount": amount.to_string(), "toBuyer": s.to_buyer.to_string(), "burned": s.burned.to_string()})
        })
        .collect();
    let reserves: Vec<Value> = [
        (0u128, 0u128, 0u128),
        (1_000, 7, 0),
        (1_000, 7, 60_000),
        (1_000, 0, AUDIT_FEE_MAX),
        (u128::MAX - 2, 1, 0),
        (u128::MAX - 1, 1, 0),
        (u128::MAX - 5, 1, 3),
        (u128::MAX - 4, 1, 3),
    ]
    .into_iter()
    .map(|(escrow, tip, audit_fee)| {
        json!({
            "escrow": escrow.to_string(), "tip": tip.to_string(), "auditFee": audit_fee.to_string(),
            "reserve": money::buyer_reserve(escrow, tip, audit_fee).map(|r| r.to_string()).unwrap_or_default(),
        })
    })
    .collect();
    let exposures: Vec<Value> = [
        (1_000u128, 1u32, 7u128, 0u128),
        (1_000, 3, 7, 60_000),
        (PRICE_MAX, TASKS_PER_JOB_MAX, PRICE_MAX, AUDIT_FEE_MAX),
        (u128::MAX / 3, 3, 0, 0),
        (u128::MAX / 3, 3, 0, 1),
    ]
    .into_iter()
    .map(|(price_cap, tasks, tip, audit_fee)| {
        let exposure = money::bid_exposure(price_cap, tasks, tip, audit_fee);
        json!({
            "priceCap": price_cap.to_string(), "tasks": tasks, "tip": tip.to_string(),
            "auditFee": audit_fee.to_string(),
            "exposure": exposure.map(|e| e.to_string()).unwrap_or_default(),
        })
    })
    .collect();
    json!({
        "note": "An empty string means: needs more than 128 bits and is refused.",
        "unitPrices": [
            unit(bid().resources, &offer()),
            unit(none, &steep),
            unit(one, &steep),
            unit(fits, &steep),
            unit(exceeds, &steep),
            unit(LARGEST_RESOURCES, &steep),
        ],
        "prices": [
            price("no cycles: the start fee alone", 10, 5, 1_000, 0, 1),
            price("one cycle rounds up", 10, 1, 1_000, 1, 3),
            price("exactly one unit", 10, e18, 1_000, 1, 3),
            price("one above a whole unit rounds up", 0, e18 + 1, 1_000, 1, 3),
            price("just below the cap", 10, e18, 1_000, 989, 2),
            price("exactly the cap", 10, e18, 1_000, 990, 2),
            price("above the cap is capped", 10, e18, 1_000, 991, 2),
            price("a start fee above the cap is capped", 2_000, 0, 1_000, 0, 7),
            price("cap zero", 10, e18, 0, 5, 7),
            price("usual", 10_000, 786_000_000_000, 2_000_000, 2_000_000_000_000, 100),
            price("largest prices", PRICE_MAX, u128::MAX, PRICE_MAX, CYCLE_LIMIT_MAX, 2048),
            price("uncapped at the bounds", 0, u128::MAX, u128::MAX, 1, 1),
            price("price beyond 128 bits is capped", u128::MAX, u128::MAX, u128::MAX, u64::MAX, 1),
            price("escrow beyond 128 bits", u128::MAX, u128::MAX, u128::MAX, u64::MAX, 2),
        ],
        "collaterals": collaterals,
        "shares": shares,
        "slashes": slashes,
        "reserves": reserves,
        "exposures": exposures,
    })
}

/// Task results of every status, with cycles from nothing to the limit.
fn task_results(count: u32) -> Vec<TaskResult> {
    let limit = job().cycleLimit;
    (0..count)
        .map(|i| {
            let outcome = match i % 5 {
                0 => Outcome::exited(i, &[i as u8; 77], job().outputLimit).unwrap(),
                1 => Outcome::stopped(Status::OutOfCycles, job().outputLimit),
                2 => Outcome::stopped(Status::Trapped, job().outputLimit),
                3 => Outcome::stopped(Status::OutOfFrameSlots, job().outputLimit),
                _ => Outcome::stopped(Status::OutputLimitExceeded, job().outputLimit),
            };
            let cycles = match i % 5 {
                0 => 1_500_000_000_000 + u64::from(i),
                1 => limit,
                2 => 0,
                _ => u64::from(i) * 1_000_003,
            };
            TaskResult {
                cycles,
                inner: outcome.inner(),
            }
        })
        .collect()
}

fn claims_file() -> Value {
    let entry = |name: &str, deal: Deal, tasks: &[TaskResult]| {
        let deal_id = domain().deal_id(&deal);
        let made = claim::compute(&deal, tasks).unwrap();
        let halted: Vec<B256> = (deal.firstTask..)
            .zip(tasks)
            .map(|(i, t)| hash::halted_hash(deal.jobHash, i, t.cycles, t.inner))
            .collect();
        json!({
            "name": name,
            "deal": deal,
            "auditRateBps": deal::audit_rate(&deal),
            "auditFee": deal::audit_fee(&deal).to_string(),
            "rankWindow": deal::rank_window(&deal),
            "startsBy": deal::starts_by(&deal).to_string(),
            "encodedDeal": hexed(deal.abi_encode()),
            "dealId": deal_id,
            "tasks": hexed(claim::encode_tasks(tasks).unwrap()),
            "halted": halted,
            "resultRoot": made.resultRoot,
            "cycles": made.cycles.to_string(),
            "price": made.price.to_string(),
            "claimHash": made.hash(deal_id),
        })
    };
    let capped = Deal {
        priceCap: 500_000,
        ..deal(5)
    };
    let dearest = Deal {
        cycleLimit: CYCLE_LIMIT_MAX,
        startFee: PRICE_MAX,
        unitPrice: u128::MAX,
        priceCap: PRICE_MAX,
        firstTask: u32::MAX - 1,
        ..deal(2)
    };
    let all: Vec<Value> = [1u32, 2, 3, 5, 33]
        .into_iter()
        .map(|count| entry(&format!("{count} tasks"), deal(count), &task_results(count)))
        .chain([
            entry("capped", capped, &task_results(5)),
            entry("audited", deal_of(&audited(bid()), 2), &task_results(2)),
            entry(
                "audited always, for the largest fee",
                deal_of(
                    &Bid {
                        auditRateBps: 10_000,
                        auditFee: AUDIT_FEE_MAX,
                        ..bid()
                    },
                    1,
                ),
                &task_results(1),
            ),
            entry(
                "audited, with the longest rank window",
                deal_of(
                    &Bid {
                        rankWindow: RANK_WINDOW_BLOCKS_MAX,
                        ..audited(bid())
                    },
                    2,
                ),
                &task_results(2),
            ),
            entry(
                "dearest",
                dearest,
                &[
                    TaskResult {
                        cycles: CYCLE_LIMIT_MAX,
                        inner: word("inner"),
                    },
                    TaskResult {
                        cycles: 0,
                        inner: B256::ZERO,
                    },
                ],
            ),
        ])
        .collect();
    json!({ "separator": domain().separator(), "claims": all })
}

/// Shards of orders in deployments of 1, 2, 4 and so on to 64 shards.
fn shards_file() -> Value {
    let numbers = (0..=SHARDS_MAX.ilog2()).map(|log| 1 << log);
    let all: Vec<Sharding> = numbers.map(|n| Sharding::try_from(n).unwrap()).collect();
    let sizes = [
        (64, 64, 0),
        (512, 8192, 0),
        (513, 0, 0),
        (1024, 65_536, 0),
        (65_536, 0, 0),
        (256, 0, 1),
    ];
    let resources = |(memory, disk, gpus): (u32, u32, u16)| Resources {
        memoryMib: memory,
        diskMib: disk,
        gpuClass: 0,
        gpuCount: gpus,
        egressMib: 0,
    };
    let bit = |region: u32| U256::from(1) << region;
    let mut bids = Vec::new();
    let mut offers = Vec::new();
    for size in sizes {
        for regions in [bit(0), bit(7), bit(255), bit(0) | bit(7), U256::MAX] {
            let bid = Bid {
                resources: resources(size),
                regions,
                ..bid()
            };
            let shards: Vec<u16> = all.iter().map(|sharding| sharding.of_bid(&bid)).collect();
            bids.push(json!({
                "resources": bid.resources,
                "regions": regions.to_string(),
                "shards": shards,
            }));
        }
        for region in [0, 7, 255] {
            let offer = Offer {
                resources: resources(size),
                region,
                ..offer()
            };
            let shards: Vec<u16> = all
                .iter()
                .map(|sharding| sharding.of_offer(&offer))
                .collect();
            offers.push(json!({
                "resources": offer.resources,
                "region": region,
                "shards": shards,
            }));
        }
    }
    json!({ "bids": bids, "offers": offers })
}

fn wire_file() -> Value {
    let (buyer, provider) = (key("buyer"), key("provider"));
    let bid_signature = buyer.sign(domain().bid_hash(&bid()));
    let offer_signature = provider.sign(domain().offer_hash(&offer()));
    let bid_message = |signature: Vec<u8>| {
        Message::Bid(SignedBid {
            bid: bid(),
            signature,
            job: job(),
        })
        .encode()
        .unwrap()
    };
    let offer_message = |signature: Vec<u8>| {
        Message::Offer(SignedOffer {
            offer: offer(),
            signature,
        })
        .encode()
        .unwrap()
    };
    let accepted = [
        ("bid", bid_message(bid_signature.clone())),
        (
            "bid, compact signature",
            bid_message(signature::compact(&bid_signature).unwrap().to_vec()),
        ),
        ("bid, no signature", bid_message(vec![])),
        (
            "bid, longest signature",
            bid_message(vec![0xab; 1024 - bid().abi_encode().len()]),
        ),
        ("offer", offer_message(offer_signature.clone())),
        (
            "offer, compact signature",
            offer_message(signature::compact(&offer_signature).unwrap().to_vec()),
        ),
    ];
    let good_bid = bid_message(bid_signature);
    let good_offer = offer_message(offer_signature);
    let changed = |bytes: &[u8], at: usize, to: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = to;
        bytes
    };
    let offer_words = offer().abi_encode().len();
    let refused = [
        ("empty", vec![]),
        ("unknown kind", changed(&good_bid, 0, 3)),
        ("bits above the buyer's address", changed(&good_bid, 1, 1)),
        (
            "an offer's region above 255",
            changed(&good_offer, 1 + 32 * 5 + 30, 1),
        ),
        ("a trailing byte", [good_offer.clone(), vec![0]].concat()),
        ("ends within the order", good_offer[..offer_words].to_vec()),
        (
            "ends within the signature",
            good_offer[..good_offer.len() - 1].to_vec(),
        ),
        (
            "bid without its job",
            good_bid[..good_bid.len() - 320].to_vec(),
        ),
        (
            "signature beyond 1 KiB",
            changed(&good_offer, 1 + offer_words, 1),
        ),
        ("beyond 2 KiB", [good_bid.clone(), vec![0; 2048]].concat()),
    ];
    let row = |(name, bytes): &(&str, Vec<u8>)| json!({"name": name, "bytes": hexed(bytes)});
    json!({
        "accepted": accepted.iter().map(row).collect::<Vec<_>>(),
        "refused": refused.iter().map(row).collect::<Vec<_>>(),
    })
}

/// Scores of deals, which of two is better by enough, and what a displaced provider gets.
fn ranking_file() -> Value {
    let scored =
        |name: &str, bid: &Bid, start_fee: u128, unit_price: u128, speed: u64, count: u32| {
            let tariff = Tariff {
                start_fee,
                unit_price,
                price_cap: bid.priceCap,
            };
            let cost = ranking::expected_cost(bid, &tariff, count);
            json!({
                "name": name, "cyclesExpected": bid.cyclesExpected.to_string(),
                "priceCap": bid.priceCap.to_string(), "valueOfTime": bid.valueOfTime.to_string(),
                "startFee": start_fee.to_string(), "unitPrice": unit_price.to_string(),
                "speed": speed.to_string(), "count": count, "cost": cost.to_string(),
                "score": ranking::score(bid, cost, speed, count).unwrap().to_string(),
            })
        };
    let largest = Bid {
        cyclesExpected: CYCLE_LIMIT_MAX,
        priceCap: PRICE_MAX,
        valueOfTime: PRICE_MAX,
        ..bid()
    };
    let timeless = Bid {
        valueOfTime: 0,
        ..bid()
    };
    let compared = |score: U256, than: U256| {
        json!({
            "score": score.to_string(), "than": than.to_string(),
            "better": ranking::is_better(score, than),
        })
    };
    let of = |number: u64| U256::from(number);
    let most = ranking::score(&largest, U256::from(PRICE_MAX), 1, TASKS_PER_DEAL_MAX).unwrap();
    let idle = |unit_price: u128, speed: u64, held_s: u64, cost: u128| {
        let deal = Deal {
            unitPrice: unit_price,
            ..deal(1)
        };
        json!({
            "unitPrice": unit_price.to_string(), "speed": speed.to_string(), "heldS": held_s,
            "cost": cost.to_string(),
            "idleFee": ranking::idle_fee(&deal, U256::from(cost), speed, held_s).to_string(),
        })
    };
    json!({
        "scores": [
            scored("one task", &bid(), 10_000, 786_000_000_000, 1_000_000_000, 1),
            scored("seconds are rounded up", &bid(), 10_000, 786_000_000_000, 999_999_999, 1),
            scored("tasks run one after another", &bid(), 10_000, 786_000_000_000, 1_000_000_000, 5),
            scored("time is worth nothing", &timeless, 0, 1, 1, 2048),
            scored("the cap", &bid(), 3_000_000, 0, 2_000_000_000, 3),
            scored("the largest", &largest, PRICE_MAX, u128::MAX, 1, TASKS_PER_DEAL_MAX),
        ],
        "comparisons": [
            compared(of(0), of(0)),
            compared(of(0), of(1)),
            compared(of(1), of(1)),
            compared(of(99), of(100)),
            compared(of(100), of(101)),
            compared(of(198), of(200)),
            compared(of(199), of(200)),
            compared(of(200), of(199)),
            compared(most, most),
            compared(most - most / of(100) - of(1), most),
            compared(most - most / of(100) + of(1), most),
        ],
        "idleFees": [
            idle(786_000_000_000, 1_000_000_000, 0, 1_000_000),
            idle(786_000_000_000, 1_000_000_000, 12, 1_000_000),
            idle(786_000_000_000, 1_000_000_000, 13, 1_000_000),
            idle(786_000_000_000, 999_999_999, 7, 1_000_000),
            idle(786_000_000_000, 1_000_000_000, 12, 99),
            idle(u128::MAX, u64::MAX, 384, PRICE_MAX),
        ],
    })
}

fn lifecycle_file() -> Value {
    use outcry_protocol::lifecycle::{DealState, JOB_TABLE, JobState};
    let deals: Vec<Value> = DealState::transitions()
        .map(|(from, on, to)| json!({"from": from.name(), "event": on.name(), "to": to.name()}))
        .collect();
    let jobs: Vec<Value> = JOB_TABLE
        .iter()
        .map(|(from, on, to)| json!({"from": from.name(), "event": on.name(), "to": to.name()}))
        .collect();
    let deal_states: Vec<Value> = DealState::ALL
        .iter()
        .map(|s| json!({"name": s.name(), "terminal": s.is_terminal(), "paid": s.is_paid()}))
        .collect();
    let job_states: Vec<Value> = JobState::ALL
        .iter()
        .map(|s| json!({"name": s.name(), "terminal": s.is_terminal()}))
        .collect();
    json!({"dealStates": deal_states, "deals": deals, "jobStates": job_states, "jobs": jobs})
}

fn codes_file() -> Value {
    let rows: Vec<Value> = outcry_protocol::codes::ALL
        .iter()
        .map(|c| json!({"id": c.id, "title": c.title, "help": c.help, "exit": c.exit as u8}))
        .collect();
    json!({ "codes": rows })
}

/// A book of six offers and seven bids, and what one epoch makes of it.
fn matching_file() -> Value {
    use outcry_protocol::book::{Book, Event, Fact};
    let now = 1_899_999_000;
    let (native, token) = (Address::ZERO, Address::repeat_byte(0x70));
    let mut book = Book::new(domain(), 1_000_000);
    book.apply(Event::Block { timestamp: now });
    let bidder = |n: u8| Address::repeat_byte(0xb0 + n);
    let seller = |n: u8| Address::repeat_byte(0xa0 + n);
    let tasks = |count: u32| JobSpec {
        taskCount: count,
        ..job()
    };
    let a_bid = |n: u8, count: u32| Bid {
        buyer: bidder(n),
        tasks: count,
        jobHash: hash::job_hash(&tasks(count)),
        attributes: U256::ZERO,
        salt: U256::from(n),
        counter: 0,
        expiry: now + 1_000,
        executionTimeout: 20_000,
        ..bid()
    };
    let an_offer = |n: u8| Offer {
        provider: seller(n),
        capacityId: B256::repeat_byte(n),
        slots: 3,
        salt: U256::from(n),
        expiry: now + 300,
        ..offer()
    };
    let offers = [
        (
            "cheap and slow",
            Offer {
                cyclePrice: 200_000_000_000,
                speed: 500_000_000,
                slots: 6,
                ..an_offer(1)
            },
        ),
        ("usual", an_offer(2)),
        (
            "dear and fast",
            Offer {
                cyclePrice: 900_000_000_000,
                speed: 4_000_000_000,
                slots: 6,
                ..an_offer(3)
            },
        ),
        (
            "far away",
            Offer {
                region: 9,
                ..an_offer(4)
            },
        ),
        (
            "the usual one's pool under another price",
            Offer {
                cyclePrice: 500_000_000_000,
                capacityId: B256::repeat_byte(2),
                salt: U256::from(20),
                ..an_offer(2)
            },
        ),
        (
            "little collateral",
            Offer {
                cyclePrice: 100_000_000_000,
                collateralMax: 4_000_000,
                ..an_offer(5)
            },
        ),
    ];
    let bids = [
        (
            "one task, price alone counts",
            Bid {
                valueOfTime: 0,
                ..a_bid(1, 1)
            },
        ),
        (
            "twelve tasks, time is dear",
            Bid {
                valueOfTime: 2_000,
                ..a_bid(2, 12)
            },
        ),
        (
            "ten tasks, price alone counts, an audit fee that the balance reaches for six deals",
            Bid {
                valueOfTime: 0,
                auditRateBps: 500,
                auditFee: 15_000_000,
                ..a_bid(3, 10)
            },
        ),
        (
            "nobody has the memory",
            Bid {
                resources: Resources {
                    memoryMib: 4_096,
                    ..bid().resources
                },
                ..a_bid(4, 2)
            },
        ),
        ("not covered", a_bid(5, 2)),
        (
            "a failed deal's range and fresh tasks",
            Bid {
                valueOfTime: 100,
                ..a_bid(6, 8)
            },
        ),
        ("cancelled", a_bid(7, 1)),
    ];
    let sixth = domain().bid_hash(&bids[5].1);
    let mut facts = vec![
        Fact::Balance {
            account: bidder(5),
            token,
            free: 1_999,
        },
        Fact::Slots {
            provider: seller(1),
            capacity_id: B256::repeat_byte(1),
            open: 1,
        },
        Fact::Taken {
            bid: sixth,
            tasks: 5,
        },
        Fact::Freed {
            bid: sixth,
            deal: B256::repeat_byte(0xdd),
            first: 1,
            count: 2,
        },
        Fact::Barred {
            bid: sixth,
            provider: seller(2),
            barred: true,
        },
        Fact::Salt {
            account: bidder(7),
            salt: U256::from(7),
            cancelled: true,
            taken: false,
            partly: false,
        },
    ];
    for n in [1, 2, 3, 4, 6, 7] {
        facts.push(Fact::Balance {
            account: bidder(n),
            token,
            free: 100_000_000,
        });
    }
    for n in 1..=5 {
        facts.push(Fact::Balance {
            account: seller(n),
            token,
            free: 100_000_000,
        });
        facts.push(Fact::Balance {
            account: seller(n),
            token: native,
            free: 100_000_000,
        });
    }
    for (_, bid) in &bids {
        let job = tasks(bid.tasks);
        book.apply(Event::Bid(SignedBid {
            bid: bid.clone(),
            signature: vec![],
            job,
        }));
    }
    for (_, offer) in &offers {
        book.apply(Event::Offer(SignedOffer {
            offer: offer.clone(),
            signature: vec![],
        }));
    }
    for fact in &facts {
        book.apply(Event::Fact {
            block: 1,
            fact: *fact,
        });
    }
    let beacon = word("beacon");
    let epoch = outcry_protocol::matching::run(&book, beacon);
    let fact_row = |fact: &Fact| match *fact {
        Fact::Balance {
            account,
            token,
            free,
        } => {
            json!({"fact": "balance", "account": account, "token": token, "free": free.to_string()})
        }
        Fact::Counter { account, counter } => {
            json!({"fact": "counter", "account": account, "counter": counter.to_string()})
        }
        Fact::Salt {
            account,
            salt,
            cancelled,
            taken,
            partly,
        } => json!({
            "fact": "salt", "account": account, "salt": salt.to_string(), "cancelled": cancelled, "taken": taken,
            "partly": partly,
        }),
        Fact::Taken { bid, tasks } => json!({"fact": "taken", "bid": bid, "tasks": tasks}),
        Fact::Slots {
            provider,
            capacity_id,
            open,
        } => {
            json!({"fact": "slots", "provider": provider, "capacityId": capacity_id, "open": open})
        }
        Fact::Barred {
            bid,
            provider,
            barred,
        } => {
            json!({"fact": "barred", "bid": bid, "provider": provider, "barred": barred})
        }
        Fact::Freed {
            bid,
            deal,
            first,
            count,
        } => {
            json!({"fact": "freed", "bid": bid, "deal": deal, "first": first, "count": count})
        }
    };
    json!({
        "now": now,
        "collateralFloor": book.collateral_floor().to_string(),
        "beacon": beacon,
        "bids": bids.iter().map(|(name, bid)| json!({
            "name": name, "bidHash": domain().bid_hash(bid), "bid": bid, "job": tasks(bid.tasks),
        })).collect::<Vec<_>>(),
        "offers": offers.iter().map(|(name, offer)| json!({
            "name": name, "offerHash": domain().offer_hash(offer), "offer": offer,
        })).collect::<Vec<_>>(),
        "facts": facts.iter().map(fact_row).collect::<Vec<_>>(),
        "matches": epoch.matches.iter().map(|m| json!({
            "bid": m.bid, "offer": m.offer, "failedDeal": m.failed_deal.unwrap_or_default(),
            "first": m.first, "count": m.count, "escrow": m.escrow.to_string(),
            "collateral": m.collateral.to_string(),
        })).collect::<Vec<_>>(),
        "unmatched": epoch.unmatched.iter().map(|u| json!({
            "bid": u.bid, "tasks": u.tasks, "reason": u.reason.to_string(),
        })).collect::<Vec<_>>(),
        "bookDigest": book.digest(),
        "epochDigest": epoch.digest(),
    })
}
