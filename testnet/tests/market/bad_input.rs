//! Bad input gets a clear error with a stable code and changes nothing.

use std::process::Command;

use alloy::primitives::B256;
use alloy::signers::local::PrivateKeySigner;
use outcry_protocol::codes::{self, Coded as _};
use outcry_sdk::{Error, JobBuilder};
use outcry_testnet::network::binary;

use crate::fixture::{Fixture, ends, program, quick};

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_are_not_right_are_refused_with_a_code_and_change_nothing() {
    let market = Fixture::new(1).await;
    let node = market.client.node();
    let job = market.job(ends(&["print", "x"])).await;
    let bid = market.client.bid(&job, &quick(), None).await.unwrap();
    let spec = job.spec().clone();
    for (_, blob) in job.blobs() {
        node.put_blob(blob.into()).await.unwrap();
    }
    let before = market.balance(market.account("buyer")).await;

    // Signed by somebody else.
    let stranger = market.client_of(PrivateKeySigner::random());
    let signature = stranger.sign_bid(&bid).unwrap();
    let error = node
        .submit_bid(bid.clone(), signature, spec.clone())
        .await
        .unwrap_err();
    assert_eq!(error.code(), &codes::ORDER_SIGNATURE, "{error}");

    // Expired.
    let mut expired = bid.clone();
    expired.expiry = 1;
    let signature = market.client.sign_bid(&expired).unwrap();
    let error = node
        .submit_bid(expired, signature, spec.clone())
        .await
        .unwrap_err();
    assert_eq!(error.code(), &codes::ORDER_EXPIRED, "{error}");

    // Signed again with other terms under the same signature.
    let signature = market.client.sign_bid(&bid).unwrap();
    let mut changed = bid.clone();
    changed.priceCap += 1;
    let error = node
        .submit_bid(changed, signature.clone(), spec.clone())
        .await
        .unwrap_err();
    assert_eq!(error.code(), &codes::ORDER_SIGNATURE, "{error}");

    // Another job than the one that the bid names.
    let mut other = spec.clone();
    other.outputLimit += 1;
    let error = node
        .submit_bid(bid.clone(), signature.clone(), other)
        .await
        .unwrap_err();
    assert_eq!(error.code(), &codes::ORDER_JOB_MISMATCH, "{error}");

    // More than the account has.
    let poor = PrivateKeySigner::random();
    let client = market.client_of(poor);
    let bid = client.bid(&job, &quick(), None).await.unwrap();
    let signature = client.sign_bid(&bid).unwrap();
    let error = node
        .submit_bid(bid, signature, spec.clone())
        .await
        .unwrap_err();
    assert_eq!(error.code(), &codes::FUNDS_INSUFFICIENT, "{error}");

    // A field whose mechanism does not exist.
    let mut bid = market.client.bid(&job, &quick(), None).await.unwrap();
    bid.replicas = 2;
    let signature = market.client.sign_bid(&bid).unwrap();
    let error = node.submit_bid(bid, signature, spec).await.unwrap_err();
    assert_eq!(error.code(), &codes::ORDER_REPLICAS, "{error}");

    assert_eq!(market.balance(market.account("buyer")).await, before);
    assert!(market.client.node().book().await.unwrap().bids.is_empty());
    market.check_conservation().await;
}

#[test]
fn a_program_that_the_machine_does_not_know_is_refused_before_anything_is_signed() {
    let error = JobBuilder::wasm("x", &b"not wasm"[..])
        .build(B256::ZERO)
        .unwrap_err();
    assert!(matches!(error, Error::Program { .. }), "{error}");
    let import =
        wat::parse_str(r#"(module (import "env" "teleport" (func)) (func (export "_start")))"#)
            .unwrap();
    let error = JobBuilder::wasm("x", import)
        .build(B256::ZERO)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("teleport") && error.contains("0x"),
        "no name or offset in: {error}"
    );
    let mut damaged = program("ends.wasm");
    damaged.truncate(damaged.len() / 2);
    assert!(JobBuilder::wasm("x", damaged).build(B256::ZERO).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_is_known_by_its_hash_alone() {
    let market = Fixture::new(0).await;
    let node = market.client.node();
    let stored = node.put_blob(b"some bytes".to_vec().into()).await.unwrap();
    assert_eq!(stored, outcry_sdk::api::BlobHash::of(b"some bytes"));
    assert_eq!(node.blob(stored, None, 100).await.unwrap(), b"some bytes");
    let unknown = outcry_sdk::api::BlobHash::of(b"others");
    assert!(!node.has_blob(unknown).await.unwrap());
    let error = node.blob(unknown, None, 100).await.unwrap_err();
    assert_eq!(error.code(), &codes::BLOB_MISSING, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_an_unknown_key_or_on_the_wrong_chain_says_so_and_does_not_start() {
    let market = Fixture::new(0).await;
    let folder = market.testnet.dir.join("nodes/gateway");
    let config = std::fs::read_to_string(folder.join("outcry.toml")).unwrap();
    let start = |name: &str, text: String| {
        let path = market.testnet.dir.join(name);
        std::fs::write(&path, text).unwrap();
        let output = Command::new(binary("outcry").unwrap())
            .args(["node", "start", "--node-config"])
            .arg(&path)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };

    let (code, said) = start("unknown.toml", format!("colour = \"red\"\n{config}"));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("C-001") && said.contains("colour"), "{said}");

    let network = std::fs::read_to_string(market.testnet.network_toml()).unwrap();
    let other = market.testnet.dir.join("other-network.toml");
    std::fs::write(&other, network.replace("chain_id = 31337", "chain_id = 1")).unwrap();
    let text = config
        .replace(
            &market.testnet.network_toml().display().to_string(),
            &other.display().to_string(),
        )
        .replace("/data\"", "/other-data\"");
    let (code, said) = start("wrong-chain.toml", text);
    assert_ne!(code, Some(0));
    assert!(said.contains(codes::CHAIN_WRONG.id), "{said}");
}
