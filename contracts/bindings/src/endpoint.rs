//! The way to a chain's JSON-RPC endpoints: one, or several of which the next takes over when one
//! does not answer.
//!
//! Only the transport fails over. What an endpoint answers, a revert as much as a value, is an
//! answer, and nobody else is asked.

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
    #[error("`{text}` is no http or https address: {reason}")]
    Address {
        /// As it was given.
        text: String,
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
    /// Scheme, host and port of the endpoint that failed. Paths may hold secrets.
    pub from: &'a str,
    /// The same of the one that answered.
    pub to: &'a str,
    /// How it failed.
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
            text: text.to_owned(),
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
        self.http.clone().call(request).await
    }
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
        let mut failure: Option<TransportError> = None;
        for at in (first..first + count).map(|at| at % count) {
            let endpoint = &self.endpoints[at];
            let attempt = async {
                self.check_chain(endpoint).await?;
                endpoint.ask(request.clone()).await
            };
            match tokio::time::timeout(self.answer_time_max, attempt).await {
                Ok(Ok(answer)) => {
                    if let Some(failure) = failure {
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
                Ok(Err(error)) => failure = Some(error),
                Err(_) => {
                    let reason = format!("no answer within {:?}", self.answer_time_max);
                    failure = Some(TransportErrorKind::custom_str(&reason));
                }
            }
        }
        Err(failure.unwrap_or_else(TransportErrorKind::backend_gone))
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
            Some(Ok(found)) => Err(TransportErrorKind::custom_str(&format!(
                "it serves chain {found}, not {}",
                self.chain_id
            ))),
            _ => Err(TransportErrorKind::custom_str(
                "it does not say which chain it serves",
            )),
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
    fn a_log_line_never_shows_the_key_in_an_address() {
        let endpoint = Endpoint::new("https://rpc.example/v3/secret").unwrap();
        assert_eq!(endpoint.name, "https://rpc.example");
    }

    #[tokio::test]
    async fn an_https_address_is_spoken_to_over_tls() {
        use tokio::io::AsyncReadExt as _;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
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
