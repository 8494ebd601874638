//! The client against nodes that break off, refuse, and lie.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use alloy::primitives::B256;
use futures::StreamExt as _;
use outcry_protocol::codes::Coded as _;
use outcry_sdk::api::{BlobHash, JobState};
use outcry_sdk::{Error, Node};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Answers the n-th connection with the n-th of these, and remembers what was asked.
async fn serve(answers: Vec<String>) -> (Node, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = Node::new(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let remembered = Arc::clone(&asked);
    tokio::spawn(async move {
        for answer in answers {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(connection.read_u8().await.unwrap());
            }
            remembered
                .lock()
                .unwrap()
                .push(String::from_utf8(request).unwrap().to_lowercase());
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (node, asked)
}

/// An answer that ends with the connection.
fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n{body}")
}

fn event(seq: u64, state: &str, kind: &str) -> String {
    format!(
        "id: {seq}\ndata: {{\"seq\":{seq},\"time\":5,\"state\":\"{state}\",\"kind\":\"{kind}\"}}\n\n"
    )
}

#[tokio::test]
async fn events_go_on_where_the_connection_broke_without_a_gap_or_a_repetition() {
    let first = answer(
        "200 OK",
        &(event(1, "open", "submitted") + "id: 2\ndata: {\"seq\":2,"),
    );
    let repeated =
        event(1, "open", "submitted") + &event(2, "open", "ended").replace("ended", "submitted");
    let second = answer("200 OK", &(repeated + &event(3, "settled", "ended")));
    let (node, asked) = serve(vec![first, second]).await;
    let events: Vec<_> = node
        .job_events(B256::ZERO, 0)
        .map(Result::unwrap)
        .collect()
        .await;
    assert_eq!(
        events.iter().map(|event| event.seq).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert_eq!(events[2].state, JobState::Settled);
    let asked = asked.lock().unwrap();
    assert!(
        asked[0].contains("last-event-id: 0") && asked[1].contains("last-event-id: 1"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_refusal_keeps_the_nodes_code_message_and_help() {
    let body = r#"{"code":"O-005","message":"the order expired at 7","help":"sign a new one"}"#;
    let (node, _) = serve(vec![answer("422 Unprocessable Content", body)]).await;
    let error = node.status().await.unwrap_err();
    assert_eq!(error.code().id, "O-005");
    assert_eq!(
        (error.to_string().as_str(), error.body().help.as_str()),
        ("the order expired at 7", "sign a new one")
    );
}

#[tokio::test]
async fn something_that_is_no_outcry_node_is_told() {
    let (node, _) = serve(vec![
        answer("404 Not Found", "<html>"),
        answer("200 OK", "{}"),
    ])
    .await;
    assert!(matches!(node.status().await, Err(Error::NodeAnswer { .. })));
    assert!(matches!(
        node.status().await,
        Err(Error::NodeAnswer {
            expected: "NodeStatus",
            ..
        })
    ));
}

#[tokio::test]
async fn a_blob_with_other_content_or_more_of_it_is_refused() {
    let content = answer("200 OK", "content");
    let (node, _) = serve(vec![content.clone(), content.clone(), content]).await;
    assert_eq!(
        node.blob(BlobHash::of(b"content"), None, 100)
            .await
            .unwrap(),
        b"content"
    );
    assert!(matches!(
        node.blob(BlobHash::of(b"other"), None, 100).await,
        Err(Error::BlobMismatch { .. })
    ));
    assert!(matches!(
        node.blob(BlobHash::of(b"content"), None, 3).await,
        Err(Error::BlobTooLong { .. })
    ));
}

#[tokio::test]
async fn a_bearer_token_goes_along() {
    let (node, asked) = serve(vec![answer("200 OK", "[]")]).await;
    let node = node.with_token(Some("secret".to_owned()));
    assert!(node.disputes().await.unwrap().is_empty());
    assert!(asked.lock().unwrap()[0].contains("authorization: bearer secret"));
}

#[tokio::test]
async fn an_error_shows_no_more_of_an_address_than_its_host() {
    let refused = Node::new("ftp://user:secret@node.example/secret").unwrap_err();
    // Nobody listens there.
    let node = Node::new("http://127.0.0.1:1/secret").unwrap();
    let silent = node.status().await.unwrap_err();
    let (wrong, _) = serve(vec![answer("200 OK", "nonsense")]).await;
    let nonsense = wrong.status().await.unwrap_err();
    assert!(silent.to_string().contains("http://127.0.0.1:1:"));
    assert!(nonsense.to_string().contains("http://127.0.0.1:"));
    for error in [refused, silent, nonsense] {
        let text = error.to_string();
        assert!(!text.contains("secret") && !text.contains("/v1"), "{text}");
    }
}
