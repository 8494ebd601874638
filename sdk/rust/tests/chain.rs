//! What the client reads from a chain's endpoint that allows little.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use alloy::primitives::{Address, B256, Bytes};
use alloy::sol_types::{SolCall as _, SolEvent as _};
use outcry_contracts::{Audits, Market};
use outcry_protocol::hash::claim_hash;
use outcry_sdk::{Chain, Network};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const HEAD: u64 = 1_000_000;
const MARKET: Address = Address::repeat_byte(0xaa);
const AUDITS: Address = Address::repeat_byte(0xad);
const DEAL: B256 = B256::repeat_byte(0xdd);

type Ranges = Arc<Mutex<Vec<(u64, u64)>>>;

fn network(rpc: String) -> Network {
    Network {
        chain_id: 1,
        rpc,
        api: "http://127.0.0.1:1".into(),
        market: Address::repeat_byte(0xaa),
        stake: Address::ZERO,
        token: Address::ZERO,
        auction: None,
        shards: Default::default(),
        bootstrap: vec![],
        key_file: None,
        python: None,
        tokens: vec![],
    }
}

/// An endpoint that refuses ranges of more than `range_max` blocks and has one log, in `block`.
async fn endpoint(block: u64, range_max: u64) -> (Chain, Ranges) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rpc = format!("http://{}", listener.local_addr().unwrap());
    let asked = Ranges::default();
    let ranges = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, block, range_max, Arc::clone(&ranges)));
        }
    });
    let network = network(rpc);
    (Chain::new(&network, None).unwrap(), asked)
}

async fn serve(mut stream: TcpStream, block: u64, range_max: u64, ranges: Ranges) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else {
                return;
            };
            head.push(byte);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap();
        let length: usize = length.split_whitespace().next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let request: Value = serde_json::from_slice(&body).unwrap();
        let number = |field: &str| {
            let text = request["params"][0][field].as_str().unwrap();
            u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
        };
        let mut answer = json!({"jsonrpc": "2.0", "id": request["id"]});
        if request["method"] == "eth_blockNumber" {
            answer["result"] = json!(format!("{HEAD:#x}"));
        } else if request["method"] == "eth_call" {
            let to: Address = request["params"][0]["to"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap();
            answer["result"] = json!(Bytes::from(parameters_of(to)));
        } else {
            let (from, to) = (number("fromBlock"), number("toBlock"));
            ranges.lock().unwrap().push((from, to));
            if to - from >= range_max {
                answer["error"] = json!({"code": -32005, "message": "block range too large"});
            } else if (from..=to).contains(&block) {
                answer["result"] = json!([log(block)]);
            } else {
                answer["result"] = json!([]);
            }
        }
        let body = answer.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await.unwrap();
    }
}

/// What a market and its audits answer to `parameters()`.
fn parameters_of(contract: Address) -> Vec<u8> {
    if contract == AUDITS {
        return Audits::parametersCall::abi_encode_returns(&Audits::AuditParameters {
            market: MARKET,
            game: Address::ZERO,
            stake: Address::ZERO,
            beaconPeriod: 1,
            auditors: 5,
            commitTime: 2,
            inclusionDelay: 3,
            interpreterSpeed: 4,
            stakePerAudit: 6,
            silencePenalty: 7,
        });
    }
    assert_eq!(contract, MARKET);
    Market::parametersCall::abi_encode_returns(&Market::Parameters {
        game: Address::ZERO,
        audits: AUDITS,
        feeCollector: Address::ZERO,
        admissionWindow: 1,
        challengeWindow: 2,
        demandWindow: 3,
        withdrawalDelay: 4,
        collateralFloor: 6,
        demandBond: 7,
        admissionFeeBps: 8,
        feeBps: 9,
    })
}

#[tokio::test]
async fn the_number_of_auditors_is_that_of_the_audits_that_the_market_names() {
    let (chain, _) = endpoint(5, 10_000).await;
    assert_eq!(chain.auditors().await.unwrap(), 5);
}

fn log(block: u64) -> Value {
    let claimed = Market::DealClaimed {
        dealId: DEAL,
        claim: Market::Claim {
            resultRoot: B256::repeat_byte(1),
            cycles: 5,
            price: 7,
        },
        tasks: Bytes::from(vec![0; 38]),
    };
    let data = claimed.encode_log_data();
    json!({
        "address": MARKET, "topics": data.topics(), "data": data.data,
        "blockNumber": format!("{block:#x}"), "blockHash": B256::ZERO, "transactionHash": B256::ZERO,
        "transactionIndex": "0x0", "logIndex": "0x0", "removed": false,
    })
}

fn found() -> Option<B256> {
    Some(claim_hash(DEAL, B256::repeat_byte(1), 5, 7))
}

#[tokio::test]
async fn a_claim_is_looked_for_where_the_node_says_it_stands() {
    let (chain, asked) = endpoint(777_000, 200).await;
    let hash = chain.claim_hash(DEAL, 10, Some(777_003)).await.unwrap();
    assert_eq!(hash, found());
    assert_eq!(asked.lock().unwrap().len(), 1, "one small question");
}

#[tokio::test]
async fn a_wrong_hint_costs_time_and_nothing_else() {
    let (chain, asked) = endpoint(970_000, 10_000).await;
    let hash = chain
        .claim_hash(DEAL, 900_000, Some(905_000))
        .await
        .unwrap();
    assert_eq!(hash, found());
    let asked = asked.lock().unwrap();
    assert!(asked.iter().all(|(from, to)| to - from < 10_000));
    assert!(asked.len() <= 5, "newest blocks first: {asked:?}");
}

#[tokio::test]
async fn a_range_that_the_endpoint_finds_too_large_is_halved() {
    let (chain, asked) = endpoint(995_001, 300).await;
    assert_eq!(
        chain.claim_hash(DEAL, 990_000, None).await.unwrap(),
        found()
    );
    let (from, to) = asked.lock().unwrap().last().copied().unwrap();
    assert!((from..=to).contains(&995_001) && to - from < 300);
}

#[tokio::test]
async fn no_claim_since_the_opening_is_no_claim() {
    let (chain, asked) = endpoint(5, 10_000).await;
    assert_eq!(chain.claim_hash(DEAL, 999_000, None).await.unwrap(), None);
    assert!(
        asked
            .lock()
            .unwrap()
            .iter()
            .all(|(from, _)| *from >= 999_000)
    );
}

#[tokio::test]
async fn an_error_shows_no_more_of_an_endpoint_than_its_host() {
    for (rpc, shown) in [
        ("ws://rpc.example/v3/secret", "ws://rpc.example"),
        (
            "http://127.0.0.1:1/v3/secret?key=secret",
            "http://127.0.0.1:1",
        ),
    ] {
        let error = match Chain::new(&network(rpc.into()), None) {
            Ok(chain) => chain.check().await.unwrap_err(),
            Err(error) => error,
        };
        let text = error.to_string();
        assert!(text.contains(shown) && !text.contains("secret"), "{text}");
    }
}
