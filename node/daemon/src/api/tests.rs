//! The API without a chain: what it refuses and how, and what it answers from memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use alloy::primitives::{Address, B256};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use outcry_protocol::wire::SignedBid;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Access, document, router};
use crate::example;
use crate::node::Node;
use crate::state::chain::{Block, Event, Observed};
use crate::state::deal::{Change, Place};
use crate::state::dispute::{DisputeRecord, GameKey, Turn};
use crate::state::{Fact, example as orders};

struct Bench {
    node: Arc<Node>,
    router: Router,
    _folder: tempfile::TempDir,
}

/// The API of a gateway whose chain does not answer.
async fn gateway(access: Access) -> Bench {
    let (node, folder) = example::gateway().await;
    Bench {
        router: router(Arc::clone(&node), access),
        node,
        _folder: folder,
    }
}

impl Bench {
    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 22)
            .await
            .unwrap();
        (
            status,
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))),
        )
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }
}

fn question() -> Value {
    let job = orders::job(2);
    json!({ "bid": orders::bid(&job, 1), "job": job })
}

#[tokio::test]
async fn the_status_says_which_chain_and_block_the_node_stands_on() {
    let bench = gateway(Access::Loopback).await;
    let (status, body) = bench.get("/v1/status").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&body["chainId"], &body["block"]["number"]),
        (&json!(31_337), &json!(1))
    );
    assert_eq!(body["roles"], json!(["gateway"]));
    assert_eq!(bench.get("/healthz").await.0, StatusCode::OK);
    assert_eq!(bench.get("/readyz").await.0, StatusCode::OK);
    assert!(
        bench
            .get("/metrics")
            .await
            .1
            .as_str()
            .unwrap()
            .contains("outcry_block_number")
    );
}

#[tokio::test]
async fn a_game_shows_what_is_in_dispute_who_moves_and_what_is_left_on_the_clocks() {
    let bench = gateway(Access::Loopback).await;
    let key = GameKey {
        claim_hash: B256::repeat_byte(0xcc),
        task: 1,
        challenger: Address::repeat_byte(0xc4),
        until: 0,
    };
    let place = |at| Place {
        block: at,
        at: orders::START + at,
        log_index: 0,
        transaction: B256::repeat_byte(at as u8),
    };
    let record = DisputeRecord {
        id: key.id(),
        deal: B256::repeat_byte(0xdd),
        key,
        provider: orders::PROVIDER,
        initial: B256::repeat_byte(1),
        asserted: B256::repeat_byte(2),
        halted: B256::repeat_byte(3),
        sections: 4,
        clock_s: 50,
        bond: 10,
        history: vec![(place(2), Turn::Challenged { seated: true })],
    };
    let turn = |part| Turn::Sectioned {
        part,
        ends: (0..16)
            .map(|end| B256::with_last_byte(32 * part + end))
            .collect(),
    };
    let went_on = |turn| Observed::GameWentOn {
        game: key.id(),
        turn,
    };
    for (at, observed) in [
        (2, Observed::GameBegan(Box::new(record))),
        (12, went_on(turn(0))),
        (20, went_on(turn(3))),
    ] {
        let place = place(at);
        let last = Block {
            number: at,
            hash: B256::repeat_byte(2),
            at: place.at,
        };
        let fact = Fact::Blocks {
            last,
            is_head: true,
            events: vec![Event { place, observed }],
            facts: vec![],
        };
        bench.node.core.apply(fact).await.unwrap();
    }
    let (status, body) = bench.get("/v1/disputes").await;
    assert_eq!(status, StatusCode::OK);
    let game = &body[0];
    assert_eq!(game["id"], json!(key.id()));
    assert_eq!(game["state"], "running");
    assert_eq!(
        (&game["sectionsMade"], &game["mover"]),
        (&json!(2), &json!("challenger"))
    );
    // Part 3 of 16 of the whole trace of 16^4 steps.
    assert_eq!(
        game["segment"],
        json!({ "offset": "12288", "level": 3, "steps": "4096" })
    );
    assert_eq!(
        game["clocks"],
        json!({ "totalS": 50, "challengerLeftS": 40, "providerLeftS": 42, "seated": true, "overdue": false })
    );
    assert_eq!(game["moves"], json!([]), "a list is short");
    let (_, mut whole) = bench.get(&format!("/v1/disputes/{}", key.id())).await;
    let moves = whole["moves"].take();
    assert_eq!(moves[1]["ends"].as_array().unwrap().len(), 16);
    let moves: Vec<_> = moves.as_array().unwrap().iter().collect();
    assert_eq!(moves.len(), 3);
    assert_eq!(
        (&moves[0]["by"], &moves[0]["transaction"]["kind"]),
        (&json!("challenger"), &json!("challenge"))
    );
    assert_eq!(
        (&moves[2]["by"], &moves[2]["part"]),
        (&json!("provider"), &json!(3))
    );
    whole["moves"] = json!([]);
    assert_eq!(whole, *game);
    let unknown = format!("/v1/disputes/{}", B256::ZERO);
    assert_eq!(bench.get(&unknown).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_refusal_has_a_code_a_message_and_a_help() {
    let bench = gateway(Access::Loopback).await;
    let unknown = format!("{:?}", B256::repeat_byte(9));
    let cases = [
        (
            bench.get("/v1/nonsense").await,
            StatusCode::NOT_FOUND,
            "N-007",
        ),
        (
            bench.get("/v1/jobs/xyz").await,
            StatusCode::BAD_REQUEST,
            "N-006",
        ),
        (
            bench.get(&format!("/v1/jobs/{unknown}")).await,
            StatusCode::NOT_FOUND,
            "O-028",
        ),
        (
            bench.get(&format!("/v1/deals/{unknown}")).await,
            StatusCode::NOT_FOUND,
            "D-001",
        ),
        (
            bench.get(&format!("/v1/orders/{unknown}")).await,
            StatusCode::NOT_FOUND,
            "O-028",
        ),
        (
            bench.get(&format!("/v1/blobs/{}", "0".repeat(64))).await,
            StatusCode::NOT_FOUND,
            "B-002",
        ),
        (
            bench.get("/v1/jobs?limit=0").await,
            StatusCode::BAD_REQUEST,
            "N-006",
        ),
        (
            bench.get("/v1/jobs?colour=red").await,
            StatusCode::BAD_REQUEST,
            "N-006",
        ),
        (
            bench.get("/v1/provider").await,
            StatusCode::NOT_FOUND,
            "N-009",
        ),
        (
            bench.post("/v1/bids", &json!({ "bid": 1 })).await,
            StatusCode::BAD_REQUEST,
            "N-006",
        ),
        (
            bench.post("/v1/bids", &json!("x".repeat(70_000))).await,
            StatusCode::PAYLOAD_TOO_LARGE,
            "B-003",
        ),
    ];
    for ((status, body), expected, code) in cases {
        assert_eq!((status, &body["code"]), (expected, &json!(code)), "{body}");
        assert!(
            !body["message"].as_str().unwrap().is_empty()
                && !body["help"].as_str().unwrap().is_empty()
        );
    }
}

#[tokio::test]
async fn an_expired_bid_is_refused_and_changes_nothing() {
    let bench = gateway(Access::Loopback).await;
    let job = orders::job(1);
    let mut bid = orders::bid(&job, 1);
    bid.expiry = orders::START - 1;
    let body = json!({ "bid": bid, "signature": "0x", "job": job });
    let (status, answer) = bench.post("/v1/bids", &body).await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("O-005")),
        "{answer}"
    );
    assert_eq!(bench.get("/v1/jobs").await.1, json!([]));
    assert_eq!(bench.get("/v1/book").await.1["bids"], json!([]));
}

#[tokio::test]
async fn an_unknown_field_of_an_order_is_refused() {
    let bench = gateway(Access::Loopback).await;
    let mut body = question();
    body["bid"]["discount"] = json!(1);
    let (status, answer) = bench.post("/v1/explain", &body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        answer["message"].as_str().unwrap().contains("discount"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_empty_book_explains_itself() {
    let bench = gateway(Access::Loopback).await;
    let (status, body) = bench.post("/v1/explain", &question()).await;
    assert_eq!(
        (status, &body["offers"], &body["acceptable"]),
        (StatusCode::OK, &json!(0), &json!(0)),
        "{body}"
    );
    let (status, body) = bench.post("/v1/quote", &question()).await;
    assert_eq!(
        (status, &body["tasksUnplaced"]),
        (StatusCode::OK, &json!(2)),
        "{body}"
    );
}

#[tokio::test]
async fn a_blob_comes_back_as_it_went_in_and_a_long_one_is_refused() {
    let bench = gateway(Access::Loopback).await;
    let (status, stored) = bench
        .send(
            Request::post("/v1/blobs")
                .body(Body::from("hello"))
                .unwrap(),
        )
        .await;
    assert_eq!((status, &stored["length"]), (StatusCode::OK, &json!(5)));
    let path = format!("/v1/blobs/{}", stored["blake3"].as_str().unwrap());
    assert_eq!(bench.get(&path).await, (StatusCode::OK, json!("hello")));
    let head = Request::head(&path).body(Body::empty()).unwrap();
    assert_eq!(bench.send(head).await.0, StatusCode::OK);
    let long = Request::post("/v1/blobs")
        .body(Body::from(vec![0; 1001]))
        .unwrap();
    let (status, body) = bench.send(long).await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!("B-003"))
    );
}

#[tokio::test]
async fn nothing_changes_without_the_token_where_one_is_set() {
    let bench = gateway(Access::Token("a-long-enough-token".into())).await;
    let put = |token: Option<&str>| {
        let request = Request::post("/v1/blobs");
        let request = match token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        };
        request.body(Body::from("x")).unwrap()
    };
    assert_eq!(bench.send(put(None)).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(
        bench.send(put(Some("wrong"))).await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        bench.send(put(Some("a-long-enough-token"))).await.0,
        StatusCode::OK
    );
    assert_eq!(
        bench.get("/v1/status").await.0,
        StatusCode::OK,
        "reading needs no token"
    );
}

#[tokio::test]
async fn a_page_in_a_browser_cannot_drive_a_node_on_loopback() {
    let bench = gateway(Access::Loopback).await;
    let request = Request::post("/v1/blobs").header(header::ORIGIN, "https://example.org");
    assert_eq!(
        bench.send(request.body(Body::from("x")).unwrap()).await.0,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn the_events_of_a_job_can_be_read_from_any_point() {
    let bench = gateway(Access::Loopback).await;
    let job = orders::job(1);
    let bid = orders::bid(&job, 1);
    let id = bench.node.domain.bid_hash(&bid);
    let salt = bid.salt;
    bench
        .node
        .core
        .apply(Fact::Submitted(SignedBid {
            bid,
            signature: vec![],
            job,
        }))
        .await
        .unwrap();
    let cancelled = crate::state::chain::Event {
        place: crate::state::deal::Place {
            block: 2,
            at: orders::START + 1,
            log_index: 0,
            transaction: B256::ZERO,
        },
        observed: crate::state::chain::Observed::Cancelled {
            account: orders::BUYER,
            salt,
        },
    };
    let last = crate::state::chain::Block {
        number: 2,
        hash: B256::repeat_byte(2),
        at: orders::START + 1,
    };
    let fact = Fact::Blocks {
        last,
        is_head: true,
        events: vec![cancelled],
        facts: vec![],
    };
    bench.node.core.apply(fact).await.unwrap();
    let path = format!("/v1/jobs/{id}/events");
    let (status, body) = bench.get(&path).await;
    let text = body.as_str().unwrap().to_owned();
    assert_eq!(status, StatusCode::OK);
    assert!(
        text.contains("id: 1")
            && text.contains("\"submitted\"")
            && text.contains("id: 2")
            && text.contains("\"ended\""),
        "{text}"
    );
    let resumed = Request::get(&path)
        .header("last-event-id", "1")
        .body(Body::empty())
        .unwrap();
    let text = bench.send(resumed).await.1.as_str().unwrap().to_owned();
    assert!(!text.contains("id: 1") && text.contains("id: 2"), "{text}");
}

/// A deal between the example's bid and offer that is opened, claimed and paid at three seconds.
async fn pay(bench: &Bench, seconds: [u64; 3], paid: u128) {
    let terms = orders::deal();
    let deal = bench.node.domain.deal_id(&terms);
    let claimed = Change::Claimed {
        claim_hash: B256::ZERO,
        result_root: B256::ZERO,
        cycles: 4_000_000_000,
        price: paid,
        tasks: Default::default(),
    };
    let changed = |change| Observed::Changed { deal, change };
    let opened = Observed::Opened {
        deal,
        terms: Box::new(terms),
    };
    let events = [
        opened,
        changed(claimed),
        changed(Change::Paid { paid, fee: 0 }),
    ];
    for (number, (at, observed)) in (2..).zip(seconds.into_iter().zip(events)) {
        let at = orders::START + at;
        let place = Place {
            block: number,
            at,
            log_index: 7,
            transaction: B256::ZERO,
        };
        let last = Block {
            number,
            hash: B256::repeat_byte(number as u8),
            at,
        };
        let fact = Fact::Blocks {
            last,
            is_head: true,
            events: vec![Event { place, observed }],
            facts: vec![],
        };
        bench.node.core.apply(fact).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_deal_paid_shows_as_a_trade_a_candle_and_a_value() {
    let bench = gateway(Access::Loopback).await;
    pay(&bench, [0, 3_600, 3_601], 20_000).await;
    let (_, trades) = bench.get("/v1/market/trades").await;
    let trade = &trades[0];
    assert_eq!(
        [
            &trade["class"],
            &trade["memoryMib"],
            &trade["heldS"],
            &trade["block"],
            &trade["logIndex"]
        ],
        [
            &json!("256m"),
            &json!(64),
            &json!(3_600),
            &json!(4),
            &json!(7)
        ]
    );
    let query = format!("token={}", orders::TOKEN);
    let (status, history) = bench
        .get(&format!("/v1/market/history?{query}&intervalS=60"))
        .await;
    assert_eq!(status, StatusCode::OK, "{history}");
    // 20,000 base units for 4 * 10^9 cycles.
    let price = json!("5000000000000");
    assert_eq!(
        history["candles"],
        json!([{
            "start": (orders::START + 3_601) / 60 * 60, "open": price, "high": price, "low": price,
            "close": price, "deals": 1, "cycles": "4000000000", "paid": "20000"
        }])
    );
    assert_eq!(
        (&history["block"]["number"], &history["next"]),
        (&json!(4), &Value::Null)
    );
    let machine = "speed=1000000000&slots=2&memoryMib=256";
    let (status, value) = bench
        .get(&format!("/v1/market/value?{query}&{machine}"))
        .await;
    assert_eq!(status, StatusCode::OK, "{value}");
    assert_eq!(
        (&value["digest"], &value["deals"]),
        (&history["digest"], &json!(1))
    );
    assert_eq!(value["total"]["cyclePrice"], price);
    // A sixteenth of a GiB for an hour, with nine further digits.
    assert_eq!(value["total"]["gibHourPrice"], json!("320000000000000"));
    assert_eq!(value["series"][0]["class"], "256m");
    let seconds = value["until"].as_u64().unwrap() - value["since"].as_u64().unwrap();
    assert_eq!(
        value["machine"]["fullyBooked"],
        json!((2 * seconds * 5_000).to_string()),
        "2 * 10^9 cycles a second"
    );
    assert_eq!(
        value["utilisationBps"],
        Value::Null,
        "nobody offers anything"
    );
    let small = bench
        .get(&format!("/v1/market/value?{query}&speed=1&memoryMib=255"))
        .await
        .1;
    assert_eq!(small["machine"], Value::Null, "no deal fits it");
    let other = bench
        .get(&format!("/v1/market/history?{query}&class=1g"))
        .await
        .1;
    assert_eq!(other["candles"], json!([]));
}

#[tokio::test]
async fn a_wrong_question_about_prices_says_what_to_ask() {
    let bench = gateway(Access::Loopback).await;
    let token = format!("token={}", orders::TOKEN);
    for (question, said) in [
        ("history?intervalS=60".to_owned(), "say which with `token`"),
        (format!("history?{token}&intervalS=61"), "1m, 5m, 15m, 1h"),
        (
            format!("history?{token}&since=7&until=7"),
            "must lie behind",
        ),
        (format!("history?{token}&limit=1001"), "between 1 and 1000"),
        (
            format!("history?{token}&class=1000m"),
            "no class of resources",
        ),
        (format!("history?{token}&region=256"), "region"),
        (format!("value?{token}&since=7&until=6"), "must lie behind"),
        (
            format!("value?{token}&slots=2"),
            "outcry provider benchmark",
        ),
        (format!("value?{token}&speed=0"), "does not lie between 1"),
        (
            format!("value?{token}&speed=1&slots=4097"),
            "do not lie between 1",
        ),
        ("epochs?since=x".to_owned(), "since"),
    ] {
        let (status, body) = bench.get(&format!("/v1/market/{question}")).await;
        let message = body["message"].as_str().unwrap_or_default();
        assert_eq!(
            (status, &body["code"]),
            (StatusCode::BAD_REQUEST, &json!("N-006")),
            "{question}"
        );
        assert!(message.contains(said), "{question}: {message}");
    }
}

#[tokio::test]
async fn the_epochs_of_the_last_blocks_have_digests() {
    let bench = gateway(Access::Loopback).await;
    let (_, epochs) = bench.get("/v1/market/epochs").await;
    let (_, status) = bench.get("/v1/status").await;
    assert_eq!(epochs.as_array().unwrap().len(), 1);
    assert_eq!(status["epoch"], epochs[0]);
    assert_eq!(epochs[0]["matches"], 0);
    assert_eq!(bench.get("/v1/market/epochs?since=2").await.1, json!([]));
}

#[test]
fn the_checked_in_document_is_the_generated_one() {
    assert_eq!(
        include_str!("../../openapi.json"),
        document().unwrap(),
        "run `cargo run --release -p outcry-daemon --example openapi > node/daemon/openapi.json`"
    );
}
