//! The way to a chain's JSON-RPC endpoints: one, or several of which the next takes over when one
//! does not answer.
//!
//! Only the transport fails over. What an endpoint answers, a revert as much as a value, is an
//! answer, and nobody else is asked.
//!
//! The path, the query or the user of an address is often the key to a paid service. No error and no
//! [`Switch`] holds more of an address than scheme, host and port.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task;
use std::time::Duration;

use alloy::primitives::U64;
use alloy::rpc::client::RpcClient;
use alloy::rpc::json_rpc::{Id, Request, RequestPacket, ResponsePacket};
use alloy::transports::http::Http;
use alloy::transports::{TransportError, TransportErrorKind, TransportFut, TransportResult};
use reqwest::Url;
use tower::Service;

/// Most endpoints of one client.
pub const ENDPOINTS_MAX: usize = 8;
/// Longest that a connection may take to come about.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Longest that all endpoints together may take for an answer; each has its share. Callers wait ten
/// seconds.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(9);

/// Why no client can be made.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Write it as `https://host/path`.
    #[error("`{start}` does not begin an http or https address: {reason}")]
    Address {
        /// What was given, up to the host and port.
        start: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Name at least one and at most [`ENDPOINTS_MAX`].
    #[error("{0} endpoints are not between 1 and {ENDPOINTS_MAX}")]
    Count(usize),
    /// TLS can't be set up on this system.
    #[error("the HTTP client can't be made: {0}")]
    Client(#[from] reqwest::Error),
}

/// One endpoint took over from another.
#[derive(Debug, Clone, Copy)]
pub struct Switch<'a> {
    /// Scheme, host and port of the endpoint that was to answer.
    pub from: &'a str,
    /// The same of the one that did.
    pub to: &'a str,
    /// How `from` failed.
    pub reason: &'a str,
}

/// An HTTP client for an address. Certificates are checked against the system's roots and, where a
/// system has none, such as a bare container, Mozilla's.
///
/// # Errors
/// [`EndpointError::Client`] when a built-in root can't be read, which no address changes.
pub fn http(url: &Url) -> Result<reqwest::ClientBuilder, EndpointError> {
    let builder = reqwest::Client::builder().connect_timeout(CONNECT_TIME_MAX);
    if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) && url.scheme() == "http"
    {
        // A proxy of the environment is for the world outside, and so are certificates.
        return Ok(builder.no_proxy().tls_certs_only([]));
    }
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .map(|root| reqwest::Certificate::from_der(root))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(builder.tls_certs_merge(roots))
}

/// A client of the chain `chain_id` at `addresses`, of which the first is asked as long as it answers,
/// then the next, and so on around. With several, each is asked for its chain before it is used.
///
/// # Errors
/// [`EndpointError`].
pub fn client(
    addresses: &[String],
    chain_id: u64,
    on_switch: impl Fn(Switch<'_>) + Send + Sync + 'static,
) -> Result<RpcClient, EndpointError> {
    if addresses.is_empty() || addresses.len() > ENDPOINTS_MAX {
        return Err(EndpointError::Count(addresses.len()));
    }
    let endpoints = addresses
        .iter()
        .map(|text| Endpoint::new(text))
        .collect::<Result<Vec<_>, _>>()?;
    let is_local = endpoints[0].http.guess_local();
    let transport = Failover(Arc::new(Endpoints {
        answer_time_max: ANSWER_TIME_MAX / u32::try_from(endpoints.len()).unwrap_or(u32::MAX),
        endpoints,
        current: AtomicUsize::new(0),
        chain_id,
        on_switch: Box::new(on_switch),
    }));
    Ok(RpcClient::new(transport, is_local))
}

struct Endpoint {
    /// Scheme, host and port.
    name: String,
    http: Http<reqwest::Client>,
    /// It has said that it serves the chain.
    is_checked: AtomicBool,
}

impl Endpoint {
    fn new(text: &str) -> Result<Self, EndpointError> {
        let wrong = |reason: String| EndpointError::Address {
            start: origin_of(text).to_owned(),
            reason,
        };
        let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(format!("the scheme is {}", url.scheme())));
        }
        let client = http(&url)?.build()?;
        Ok(Self {
            name: url.origin().ascii_serialization(),
            http: Http::with_client(client, url),
            is_checked: AtomicBool::new(false),
        })
    }

    async fn ask(&self, request: RequestPacket) -> TransportResult<ResponsePacket> {
        let answer = self.http.clone().call(request).await;
        answer.map_err(|error| self.without_address(error))
    }

    fn failed(&self, reason: impl fmt::Display) -> TransportError {
        TransportErrorKind::custom_str(&format!("{}: {reason}", self.name))
    }

    /// The transport's failure, without the address that it was asked at and without what came
    /// instead of an answer, which may repeat the address.
    fn without_address(&self, error: TransportError) -> TransportError {
        match error {
            TransportError::Transport(kind) => {
                if let Some(answer) = kind.as_http_error() {
                    return self.failed(format_args!("HTTP status {}", answer.status));
                }
                match kind {
                    TransportErrorKind::Custom(cause) => match cause.downcast::<reqwest::Error>() {
                        Ok(cause) => self.failed(with_causes(&cause.without_url())),
                        Err(cause) => TransportErrorKind::Custom(cause).into(),
                    },
                    kind => kind.into(),
                }
            }
            TransportError::DeserError { err, .. } => self.failed(format_args!(
                "the answer is no JSON-RPC (line {}, column {})",
                err.line(),
                err.column()
            )),
            error => error,
        }
    }
}

/// What may be shown of an address, also of one that can't be read: at most its scheme, host and port. User,
/// path and query may be keys.
#[must_use]
pub fn origin_of(text: &str) -> &str {
    let host_at = text.find("://").map_or(0, |at| at + 3);
    let host = &text[host_at..];
    let host = &host[..host.find(['/', '?', '#']).unwrap_or(host.len())];
    match host.rfind('@') {
        // The user, who may be a key, stands between the scheme and the host.
        Some(at) => &host[at + 1..],
        None => &text[..host_at + host.len()],
    }
}

/// An error and what caused it, in a line.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

struct Endpoints {
    endpoints: Vec<Endpoint>,
    current: AtomicUsize,
    chain_id: u64,
    /// Of one endpoint, where there are others.
    answer_time_max: Duration,
    on_switch: Box<dyn Fn(Switch<'_>) + Send + Sync>,
}

impl Endpoints {
    async fn ask(&self, request: RequestPacket) -> TransportResult<ResponsePacket> {
        let [only] = &self.endpoints[..] else {
            return self.ask_in_turn(request).await;
        };
        only.ask(request).await
    }

    async fn ask_in_turn(&self, request: RequestPacket) -> TransportResult<ResponsePacket> {
        let count = self.endpoints.len();
        let first = self.current.load(Ordering::Relaxed) % count;
        let mut first_failure: Option<TransportError> = None;
        for at in (first..first + count).map(|at| at % count) {
            let endpoint = &self.endpoints[at];
            let attempt = async {
                self.check_chain(endpoint).await?;
                endpoint.ask(request.clone()).await
            };
            match tokio::time::timeout(self.answer_time_max, attempt).await {
                Ok(Ok(answer)) => {
                    if let Some(failure) = first_failure {
                        self.current.store(at, Ordering::Relaxed);
                        (self.on_switch)(Switch {
                            from: &self.endpoints[first].name,
                            to: &endpoint.name,
                            reason: &failure.to_string(),
                        });
                    }
                    return Ok(answer);
                }
                // The request itself can't be sent to anybody.
                Ok(Err(error @ TransportError::SerError(_))) => return Err(error),
                Ok(Err(error)) => {
                    first_failure.get_or_insert(error);
                }
                Err(_) => {
                    let silence = format_args!("no answer within {:?}", self.answer_time_max);
                    first_failure.get_or_insert_with(|| endpoint.failed(silence));
                }
            }
        }
        Err(first_failure.unwrap_or_else(TransportErrorKind::backend_gone))
    }

    /// Asks an endpoint once which chain it serves.
    async fn check_chain(&self, endpoint: &Endpoint) -> TransportResult<()> {
        if endpoint.is_checked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let question = Request::new("eth_chainId", Id::Number(0), ())
            .serialize()
            .map_err(TransportError::ser_err)?;
        let answer = endpoint.ask(RequestPacket::Single(question)).await?;
        let found = match &answer {
            ResponsePacket::Single(answer) => answer.payload.try_success_as::<U64>(),
            ResponsePacket::Batch(_) => None,
        };
        match found {
            Some(Ok(found)) if found.to::<u64>() == self.chain_id => {
                endpoint.is_checked.store(true, Ordering::Relaxed);
                Ok(())
            }
            Some(Ok(found)) => Err(endpoint.failed(format_args!(
                "it serves chain {found}, not {}",
                self.chain_id
            ))),
            _ => Err(endpoint.failed("it does not say which chain it serves")),
        }
    }
}

/// The transport over several endpoints.
#[derive(Clone)]
struct Failover(Arc<Endpoints>);

impl fmt::Debug for Failover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.endpoints.iter().map(|endpoint| &endpoint.name);
        f.debug_list().entries(names).finish()
    }
}

impl Service<RequestPacket> for Failover {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Self::Error>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        let endpoints = Arc::clone(&self.0);
        Box::pin(async move { endpoints.ask(request).await })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    fn refusal(addresses: &[&str]) -> String {
        let addresses: Vec<String> = addresses.iter().map(|&text| text.into()).collect();
        client(&addresses, 1, |_| ()).unwrap_err().to_string()
    }

    #[test]
    fn addresses_that_cannot_be_asked_are_refused_in_words() {
        assert!(refusal(&["nonsense"]).contains("`nonsense`"));
        assert!(refusal(&["http://127.0.0.1:1", "ws://127.0.0.1:1"]).contains("scheme is ws"));
        assert!(refusal(&[]).contains("between 1 and 8"));
    }

    #[test]
    fn a_refused_address_is_shown_up_to_its_port() {
        for (address, shown) in [
            ("ws://rpc.example:8546/v3/secret", "`ws://rpc.example:8546`"),
            ("wss://rpc.example?key=secret", "`wss://rpc.example`"),
            ("ws://secret:secret@rpc.example", "`rpc.example`"),
            ("rpc.example/v3/secret", "`rpc.example`"),
            ("https//rpc.example/v3/secret", "`https`"),
            (
                "https://rpc.example:port/secret",
                "`https://rpc.example:port`",
            ),
        ] {
            let refusal = refusal(&[address]);
            assert!(refusal.contains(shown), "{address}: {refusal}");
            assert!(!refusal.contains("secret"), "{address}: {refusal}");
        }
    }

    /// Answers each request on a connection of its own.
    async fn serve(listener: TcpListener, response: impl Fn(&str) -> String) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            // The JSON ends with the one brace at the end of what came.
            while !request.ends_with(b"}") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            let response = response(&String::from_utf8_lossy(&request));
            stream.write_all(response.as_bytes()).await.unwrap();
        }
    }

    async fn listen() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let name = format!("http://{}", listener.local_addr().unwrap());
        (listener, name)
    }

    fn http_response(status: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    #[tokio::test]
    async fn a_log_line_never_shows_the_key_in_an_address() {
        let (good, good_name) = listen().await;
        let (closed, dead_name) = listen().await;
        drop(closed);
        let (refusing, refusing_name) = listen().await;
        let (rambling, rambling_name) = listen().await;
        let (breaking, breaking_name) = listen().await;
        let serving = async {
            tokio::join!(
                serve(good, |_| http_response(
                    "200 OK",
                    r#"{"jsonrpc":"2.0","id":0,"result":"0x1"}"#
                )),
                serve(refusing, |request| http_response("404 Not Found", request)),
                serve(rambling, |request| http_response("200 OK", request)),
                serve(breaking, |_| {
                    "HTTP/1.1 403 Forbidden\r\ncontent-length: 9\r\n\r\n".into()
                }),
            )
        };
        let asking = async {
            for (name, words) in [
                (dead_name, "refused"),
                (refusing_name, "HTTP status 404"),
                (rambling_name, "no JSON-RPC"),
                (breaking_name, "HTTP status 403"),
            ] {
                let address = format!("{name}/v3/secret?key=secret");
                let (switches, mut switched) = mpsc::unbounded_channel();
                let both = [address.clone(), good_name.clone()];
                let failover = client(&both, 1, move |switch| {
                    let said = (switch.from, switch.to, switch.reason);
                    switches.send(format!("{said:?}")).unwrap();
                })
                .unwrap();
                failover
                    .request_noparams::<U64>("eth_chainId")
                    .await
                    .unwrap();
                let alone = client(&[address], 1, |_| ()).unwrap();
                let error = alone
                    .request_noparams::<U64>("eth_chainId")
                    .await
                    .unwrap_err();
                for text in [
                    switched.try_recv().unwrap(),
                    error.to_string(),
                    format!("{error:?}"),
                ] {
                    assert!(text.contains(&name) && text.contains(words), "{text}");
                    assert!(!text.contains("secret"), "{text}");
                }
            }
        };
        tokio::select! {
            _ = serving => unreachable!("servers serve"),
            () = asking => {}
        }
    }

    #[tokio::test]
    async fn an_https_address_is_spoken_to_over_tls() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let asking = tokio::spawn(async move {
            let client = client(&[address], 1, |_| ()).unwrap();
            client.request_noparams::<U64>("eth_chainId").await
        });
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut record = [0; 6];
        stream.read_exact(&mut record).await.unwrap();
        // A TLS record of type handshake (RFC 8446, 5.1) that holds a ClientHello.
        assert_eq!((record[0], record[1], record[5]), (22, 3, 1));
        drop(stream);
        assert!(asking.await.unwrap().is_err());
    }
}
