//! Several endpoints of one chain: who is asked, and what passes a question on.

use std::sync::{Arc, Mutex};

use alloy::providers::Provider;
use outcry_chain::Rpc;
use serde_json::json;
use tokio::net::TcpListener;

use crate::anvil::{Anvil, CHAIN_ID};
use crate::proxy::{Proxy, Verdict};

/// An address at which nobody listens.
async fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// One endpoint took over.
struct Switched {
    from: String,
    to: String,
    reason: String,
}

/// A connection, and who took over so far.
async fn connect(urls: &[&str]) -> (Rpc, Arc<Mutex<Vec<Switched>>>) {
    let switches = Arc::new(Mutex::new(Vec::new()));
    let remembered = Arc::clone(&switches);
    let urls: Vec<String> = urls.iter().map(|&url| url.to_owned()).collect();
    let rpc = Rpc::connect(&urls, CHAIN_ID, move |switch| {
        remembered.lock().unwrap().push(Switched {
            from: switch.from.to_owned(),
            to: switch.to.to_owned(),
            reason: switch.reason.to_owned(),
        });
    })
    .await
    .unwrap();
    (rpc, switches)
}

fn taken(switches: &Mutex<Vec<Switched>>) -> Vec<String> {
    let switches = switches.lock().unwrap();
    switches.iter().map(|switch| switch.to.clone()).collect()
}

#[tokio::test]
async fn the_next_endpoint_takes_over_from_a_dead_one_and_keeps_the_work() {
    let anvil = Anvil::start().await;
    let (rpc, switches) = connect(&[&dead().await, &anvil.url]).await;
    rpc.check(CHAIN_ID, &[anvil.probe]).await.unwrap();
    for _ in 0..3 {
        rpc.provider().get_block_number().await.unwrap();
    }
    assert_eq!(taken(&switches), [anvil.url.as_str()]);
}

#[tokio::test]
async fn an_endpoint_that_breaks_off_later_is_replaced_and_the_first_takes_over_again() {
    let anvil = Anvil::start().await;
    let first = Proxy::before(&anvil.url).await;
    let second = Proxy::before(&anvil.url).await;
    let (rpc, switches) = connect(&[&first.url, &second.url]).await;
    rpc.provider().get_block_number().await.unwrap();
    assert!(taken(&switches).is_empty());
    first.judge(|_, _| Verdict::Drop);
    rpc.provider().get_block_number().await.unwrap();
    first.pass();
    second.judge(|_, _| Verdict::Drop);
    rpc.provider().get_block_number().await.unwrap();
    assert_eq!(taken(&switches), [second.url.as_str(), first.url.as_str()]);
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_nobody_else_is_asked() {
    let anvil = Anvil::start().await;
    let first = Proxy::before(&anvil.url).await;
    let second = Proxy::before(&anvil.url).await;
    let (rpc, switches) = connect(&[&first.url, &second.url]).await;
    first.judge(|method, _| match method {
        "eth_chainId" => Verdict::Pass,
        _ => Verdict::Refuse("execution reverted"),
    });
    second.judge(|_, _| panic!("the second endpoint was asked"));
    let error = rpc.provider().get_block_number().await.unwrap_err();
    assert!(error.is_error_resp(), "{error}");
    assert!(taken(&switches).is_empty());
}

#[tokio::test]
async fn an_endpoint_that_never_answers_is_left_before_the_caller_gives_up() {
    let anvil = Anvil::start().await;
    let first = Proxy::before(&anvil.url).await;
    first.judge(|_, _| Verdict::Stall);
    let (rpc, switches) = connect(&[&first.url, &anvil.url]).await;
    rpc.check(CHAIN_ID, &[anvil.probe]).await.unwrap();
    assert_eq!(taken(&switches), [anvil.url.as_str()]);
}

#[tokio::test]
async fn an_endpoint_of_another_chain_is_passed_over() {
    let anvil = Anvil::start().await;
    let other = Proxy::before(&anvil.url).await;
    other.judge(|method, _| match method {
        "eth_chainId" => Verdict::Answer(json!("0x1")),
        _ => panic!("{method} was asked of another chain"),
    });
    for (urls, reason) in [
        ([&dead().await, &other.url, &anvil.url], "refused"),
        (
            [&other.url, &dead().await, &anvil.url],
            "serves chain 1, not",
        ),
    ] {
        let (rpc, switches) = connect(&urls.map(String::as_str)).await;
        rpc.check(CHAIN_ID, &[anvil.probe]).await.unwrap();
        assert_eq!(taken(&switches), [anvil.url.as_str()]);
        let switch = &switches.lock().unwrap()[0];
        assert_eq!(&switch.from, urls[0]);
        assert!(switch.reason.contains(reason), "{}", switch.reason);
    }
}
