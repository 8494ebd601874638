//! The SDK gives the bytes of `protocol/vectors`: what it signs is what Solidity and TypeScript
//! compute too.
#![allow(clippy::unwrap_used)]

use alloy::primitives::{Address, B256};
use outcry_protocol::types::{Bid, JobSpec};
use outcry_sdk::{Client, Network, TaskInput, parse_key};
use serde_json::Value;

fn vectors(name: &str) -> Value {
    let path = format!(
        "{}/../../protocol/vectors/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn client(key: &str) -> Client {
    let domain = vectors("domain");
    let network = Network {
        chain_id: domain["chainId"].as_u64().unwrap(),
        rpc: "http://127.0.0.1:1".into(),
        api: "http://127.0.0.1:1".into(),
        market: domain["verifyingContract"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap(),
        stake: Address::ZERO,
        token: Address::ZERO,
        auction: None,
        shards: Default::default(),
        bootstrap: Vec::new(),
        key_file: None,
        python: None,
        tokens: Vec::new(),
    };
    Client::new(network, Some(parse_key(key).unwrap())).unwrap()
}

fn array<'a>(of: &'a Value, name: &str) -> &'a Vec<Value> {
    let list = of[name].as_array().unwrap();
    assert!(!list.is_empty(), "no vectors named {name}");
    list
}

#[test]
fn a_signed_bid_has_the_digest_and_the_signature_of_the_vectors() {
    for vector in array(&vectors("orders"), "bids") {
        let bid: Bid = serde_json::from_value(vector["message"].clone()).unwrap();
        let client = client(vector["signerKey"].as_str().unwrap());
        assert_eq!(
            client.bid_hash(&bid).to_string(),
            vector["digest"],
            "{}",
            vector["name"]
        );
        assert_eq!(
            client.sign_bid(&bid).unwrap().to_string(),
            vector["signature"],
            "{}",
            vector["name"]
        );
    }
}

#[test]
fn an_acceptance_and_a_receipt_have_the_signatures_of_the_vectors() {
    for vector in array(&vectors("orders"), "accepts") {
        let client = client(vector["signerKey"].as_str().unwrap());
        let field = |name: &str| {
            vector["message"][name]
                .as_str()
                .unwrap()
                .parse::<B256>()
                .unwrap()
        };
        let signature = client
            .sign_accept(field("dealId"), field("claimHash"))
            .unwrap();
        assert_eq!(signature.to_string(), vector["signature"]);
    }
    for vector in array(&vectors("orders"), "receipts") {
        let client = client(vector["signerKey"].as_str().unwrap());
        let message = &vector["message"];
        let field = |name: &str| message[name].as_str().unwrap().parse::<B256>().unwrap();
        let task = u32::try_from(message["task"].as_u64().unwrap()).unwrap();
        let signature = client
            .sign_receipt(field("dealId"), task, field("outputRoot"))
            .unwrap();
        assert_eq!(signature.to_string(), vector["signature"]);
    }
}

#[test]
fn a_job_and_its_inputs_have_the_roots_of_the_vectors() {
    for vector in array(&vectors("orders"), "jobs") {
        let job: JobSpec = serde_json::from_value(vector["message"].clone()).unwrap();
        assert_eq!(
            outcry_protocol::hash::job_hash(&job).to_string(),
            vector["jobHash"]
        );
    }
    for vector in array(&vectors("hashes"), "inputs") {
        let Some(text) = vector["bytes"].as_str() else {
            continue;
        };
        let bytes = hex::decode(text.trim_start_matches("0x")).unwrap();
        assert_eq!(
            TaskInput::of(&bytes).input_root.to_string(),
            vector["inputRoot"]
        );
    }
}
