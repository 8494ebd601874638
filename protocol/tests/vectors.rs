//! The checked-in golden vectors are what the code computes, and the code reads them back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../examples/vectors/generate.rs"]
mod generate;

use std::path::Path;

use alloy_primitives::{Address, B256, hex};
use outcry_protocol::signature::{Verdict, check};
use outcry_protocol::types::{Bid, Deal, JobSpec, Offer};
use outcry_protocol::wire::Message;
use serde_json::Value;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn read(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

fn rows<'a>(file: &'a Value, key: &str) -> &'a [Value] {
    let rows = file[key].as_array().unwrap();
    assert!(!rows.is_empty());
    rows
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn the_checked_in_vectors_are_current() {
    for (name, text) in generate::files() {
        let checked_in = std::fs::read_to_string(folder().join(name)).unwrap_or_default();
        assert!(
            checked_in == text,
            "{name} is stale: run `cargo run --release -p outcry-protocol --example vectors`",
        );
    }
}

#[test]
fn nothing_but_the_generated_files_lies_in_the_folder() {
    let generated: Vec<_> = generate::files()
        .into_iter()
        .map(|(name, _)| name.to_owned())
        .collect();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(generated.contains(&name), "{name} is not generated");
    }
}

#[test]
fn orders_survive_json_and_abi_and_keep_their_digests() {
    use alloy_sol_types::SolValue;
    let file = read("orders.json");
    let domain = generate::domain();
    for row in rows(&file, "bids") {
        let bid: Bid = serde_json::from_value(row["message"].clone()).unwrap();
        assert_eq!(bid.abi_encode(), bytes(&row["encoded"]));
        assert_eq!(Bid::abi_decode(&bytes(&row["encoded"])).unwrap(), bid);
        assert_eq!(
            domain.bid_hash(&bid),
            row["digest"].as_str().unwrap().parse::<B256>().unwrap()
        );
    }
    for row in rows(&file, "offers") {
        let offer: Offer = serde_json::from_value(row["message"].clone()).unwrap();
        assert_eq!(offer.abi_encode(), bytes(&row["encoded"]));
        assert_eq!(
            domain.offer_hash(&offer),
            row["digest"].as_str().unwrap().parse::<B256>().unwrap()
        );
    }
    for row in rows(&file, "jobs") {
        let job: JobSpec = serde_json::from_value(row["message"].clone()).unwrap();
        assert_eq!(job.abi_encode(), bytes(&row["encoded"]));
    }
    for row in rows(&read("claims.json"), "claims") {
        let deal: Deal = serde_json::from_value(row["deal"].clone()).unwrap();
        assert_eq!(deal.abi_encode(), bytes(&row["encodedDeal"]));
    }
}

#[test]
fn both_forms_of_every_signature_are_valid() {
    let file = read("orders.json");
    for kind in ["bids", "offers", "accepts", "receipts", "relays"] {
        for row in rows(&file, kind) {
            let digest: B256 = row["digest"].as_str().unwrap().parse().unwrap();
            let signer: Address = row["signer"].as_str().unwrap().parse().unwrap();
            assert_eq!(
                check(digest, signer, &bytes(&row["signature"])),
                Verdict::Valid
            );
            assert_eq!(
                check(digest, signer, &bytes(&row["compact"])),
                Verdict::Valid
            );
        }
    }
}

#[test]
fn refused_signatures_are_not_the_accounts() {
    let file = read("signatures.json");
    for (key, valid) in [("accepted", true), ("refused", false)] {
        for row in rows(&file, key) {
            let digest: B256 = row["digest"].as_str().unwrap().parse().unwrap();
            let signer: Address = row["signer"].as_str().unwrap().parse().unwrap();
            let verdict = check(digest, signer, &bytes(&row["signature"]));
            assert_eq!(verdict == Verdict::Valid, valid, "{}", row["why"]);
        }
    }
}

#[test]
fn wire_messages_have_one_encoding() {
    let file = read("wire.json");
    for row in rows(&file, "accepted") {
        let message = bytes(&row["bytes"]);
        assert_eq!(
            Message::decode(&message).unwrap().encode().unwrap(),
            message
        );
    }
    for row in rows(&file, "refused") {
        assert!(
            Message::decode(&bytes(&row["bytes"])).is_err(),
            "{}",
            row["name"]
        );
    }
}
