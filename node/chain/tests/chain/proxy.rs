//! An endpoint that fails on purpose: it stands before a real one and spoils the answers.

use std::sync::{Arc, Mutex};

use alloy::providers::ProviderBuilder;
use outcry_chain::Rpc;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What becomes of a request.
pub(crate) enum Verdict {
    /// Forwarded; the true answer comes back.
    Pass,
    /// Answered with this, without asking anybody.
    Answer(Value),
    /// Refused with a JSON-RPC error.
    Refuse(&'static str),
    /// Forwarded, but answered with an error.
    Swallow(&'static str),
    /// Never answered.
    Stall,
    /// The connection is closed.
    Drop,
}

type Judge = dyn FnMut(&str, &Value) -> Verdict + Send;

/// The proxy; it ends with the test's runtime.
pub(crate) struct Proxy {
    pub(crate) url: String,
    judge: Arc<Mutex<Box<Judge>>>,
}

impl Proxy {
    /// Listens on loopback before the endpoint at `target`, passing everything.
    pub(crate) async fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let judge: Arc<Mutex<Box<Judge>>> = Arc::new(Mutex::new(Box::new(|_, _| Verdict::Pass)));
        let target = target.strip_prefix("http://").unwrap().to_owned();
        let for_task = Arc::clone(&judge);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, target.clone(), Arc::clone(&for_task)));
            }
        });
        Self { url, judge }
    }

    /// From now on `judge` decides, by method and parameters.
    pub(crate) fn judge(&self, judge: impl FnMut(&str, &Value) -> Verdict + Send + 'static) {
        *self.judge.lock().unwrap() = Box::new(judge);
    }

    pub(crate) fn pass(&self) {
        self.judge(|_, _| Verdict::Pass);
    }

    /// A connection that waits `limit` for each answer.
    pub(crate) async fn rpc(&self, limit: Duration) -> Rpc {
        Rpc::new(
            ProviderBuilder::default().connect(&self.url).await.unwrap(),
            limit,
        )
    }
}

async fn serve(mut client: TcpStream, target: String, judge: Arc<Mutex<Box<Judge>>>) {
    while let Some(request) = read_message(&mut client).await {
        let body: Value = serde_json::from_slice(&request).unwrap();
        let method = body["method"].as_str().unwrap();
        let verdict = (judge.lock().unwrap())(method, &body["params"]);
        let id = body["id"].clone();
        let error = |message: &str| json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32000, "message": message}});
        let answer = match verdict {
            Verdict::Pass => forward(&target, &request).await,
            Verdict::Answer(result) => json!({"jsonrpc": "2.0", "id": id, "result": result})
                .to_string()
                .into(),
            Verdict::Refuse(message) => error(message).to_string().into(),
            Verdict::Swallow(message) => {
                forward(&target, &request).await;
                error(message).to_string().into()
            }
            Verdict::Stall => std::future::pending().await,
            Verdict::Drop => return,
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        if client
            .write_all(&[head.as_bytes(), &answer].concat())
            .await
            .is_err()
        {
            return;
        }
    }
}

async fn forward(target: &str, body: &[u8]) -> Vec<u8> {
    let mut server = TcpStream::connect(target).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {target}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    server
        .write_all(&[head.as_bytes(), body].concat())
        .await
        .unwrap();
    read_message(&mut server).await.unwrap()
}

/// The body of one HTTP message with a length; `None` when the connection is closed.
async fn read_message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .map_or(0, |length| length.trim().parse().unwrap());
            if bytes.len() >= end + 4 + length {
                return Some(bytes[end + 4..end + 4 + length].to_vec());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
