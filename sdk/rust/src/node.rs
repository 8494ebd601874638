//! A node's HTTP API, typed. Every answer is limited in size; blobs are checked while they come.

use std::path::Path;
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use outcry_contracts::endpoint;
use outcry_protocol::types::{Bid, JobSpec, Offer};
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt as _;

use crate::api::{
    Account, BidQuestion, BidSubmitted, BlobHash, BlobStored, Book, DealView, Dispute, EpochDigest,
    EpochsQuery, ErrorBody, Explanation, HistoryQuery, Job, JobEvent, JobsQuery, MarketValue,
    NetworkInfo, NodeStatus, OfferSubmitted, OrderView, PriceHistory, PriceSummary, ProviderStatus,
    Quote, Relayed, SubmitAccept, SubmitBid, SubmitOffer, SubmitReceipt, TaskResult, Trade,
    TradesQuery, ValueQuery, VerifierStatus,
};
use crate::error::Error;
use crate::sse;

/// Most bytes of a JSON answer: the book of a busy market fits many times.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// Time for a connection and the head of an answer; bodies may take longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence within an answer. Event streams send a comment at least every 15 s.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Connections in a row that an event stream may fail before it gives up; half a minute in all.
const RECONNECTS_MAX: u32 = 10;

/// A client of one node.
///
/// ```no_run
/// # async fn example() -> Result<(), outcry_sdk::Error> {
/// let node = outcry_sdk::Node::new("http://127.0.0.1:7480")?;
/// println!("block {}", node.status().await?.block.number);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Node {
    base: String,
    token: Option<String>,
    http: reqwest::Client,
}

impl Node {
    /// A client of the node at `url`, for example `http://127.0.0.1:7480`.
    ///
    /// # Errors
    /// [`Error::NodeUnreachable`] if `url` is not an HTTP address.
    pub fn new(url: &str) -> Result<Self, Error> {
        let base = url.trim_end_matches('/').to_owned();
        let wrong = |reason: String| Error::NodeUnreachable {
            url: endpoint::origin_of(&base).to_owned(),
            reason,
        };
        let parsed = reqwest::Url::parse(&base).map_err(|e| wrong(e.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(wrong(format!("{} is not http", parsed.scheme())));
        }
        let builder = endpoint::http(&parsed).map_err(|e| wrong(e.to_string()))?;
        let http = builder
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .build()
            .map_err(|e| wrong(e.to_string()))?;
        Ok(Self {
            base,
            token: None,
            http,
        })
    }

    /// Sends this bearer token with every request; nodes that listen beyond loopback ask for one.
    #[must_use]
    pub fn with_token(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    /// What may be shown of the node's address: scheme, host and port.
    pub fn origin(&self) -> &str {
        endpoint::origin_of(&self.base)
    }

    /// `GET /v1/status`.
    ///
    /// # Errors
    /// As for every request: [`Error::NodeUnreachable`], [`Error::NodeAnswer`],
    /// [`Error::Refused`]. The methods below name only what they add.
    pub async fn status(&self) -> Result<NodeStatus, Error> {
        self.get("/v1/status").await
    }

    /// `GET /v1/network`.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn network(&self) -> Result<NetworkInfo, Error> {
        self.get("/v1/network").await
    }

    /// Stores a blob and returns its name, which is checked.
    ///
    /// # Errors
    /// [`Error::BlobMismatch`] if the node stored something else.
    pub async fn put_blob(&self, bytes: Bytes) -> Result<BlobHash, Error> {
        let wanted = BlobHash::of(&bytes);
        let request = self.request(Method::POST, "/v1/blobs").body(bytes.0);
        let stored: BlobStored = self.json(request).await?;
        if stored.blake3 != wanted {
            return Err(Error::BlobMismatch {
                wanted,
                found: stored.blake3,
            });
        }
        Ok(wanted)
    }

    /// Whether the node has a blob already, asked without its bytes. A node that does not know says
    /// no.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn has_blob(&self, blob: BlobHash) -> Result<bool, Error> {
        let request = self.request(Method::HEAD, &format!("/v1/blobs/{blob}"));
        Ok(self.send(request).await?.status().is_success())
    }

    /// Fetches a blob of at most `limit` bytes; `from` is the key of the peer that has it, in case
    /// the node does not.
    ///
    /// # Errors
    /// [`Error::BlobTooLong`], [`Error::BlobMismatch`].
    pub async fn blob(
        &self,
        blob: BlobHash,
        from: Option<B256>,
        limit: u64,
    ) -> Result<Vec<u8>, Error> {
        let mut response = self.checked(self.blob_request(blob, from)).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            if bytes.len() as u64 + chunk.len() as u64 > limit {
                return Err(Error::BlobTooLong { blob, limit });
            }
            bytes.extend_from_slice(&chunk);
        }
        let found = BlobHash::of(&bytes);
        if found != blob {
            return Err(Error::BlobMismatch {
                wanted: blob,
                found,
            });
        }
        Ok(bytes)
    }

    /// Fetches a blob of at most `limit` bytes into a new file, which appears only when it is
    /// whole and right.
    ///
    /// # Errors
    /// [`Error::BlobTooLong`], [`Error::BlobMismatch`], [`Error::File`].
    pub async fn blob_to_file(
        &self,
        blob: BlobHash,
        from: Option<B256>,
        limit: u64,
        path: &Path,
    ) -> Result<u64, Error> {
        let file_error = |e: std::io::Error| Error::File {
            path: path.to_path_buf(),
            reason: e.to_string(),
        };
        let part = path.with_extension("part");
        let mut file = tokio::fs::File::create(&part).await.map_err(file_error)?;
        let mut response = self.checked(self.blob_request(blob, from)).await?;
        let (mut hasher, mut length) = (blake3::Hasher::new(), 0u64);
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            length += chunk.len() as u64;
            if length > limit {
                return Err(Error::BlobTooLong { blob, limit });
            }
            hasher.update(&chunk);
            file.write_all(&chunk).await.map_err(file_error)?;
        }
        let found = BlobHash(*hasher.finalize().as_bytes());
        if found != blob {
            return Err(Error::BlobMismatch {
                wanted: blob,
                found,
            });
        }
        file.flush().await.map_err(file_error)?;
        tokio::fs::rename(&part, path).await.map_err(file_error)?;
        Ok(length)
    }

    /// Submits a signed bid with its job; the answer is the job's id. Submitting the same bid again
    /// is no error.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn submit_bid(
        &self,
        bid: Bid,
        signature: Bytes,
        job: JobSpec,
    ) -> Result<B256, Error> {
        let body = SubmitBid {
            bid,
            signature,
            job,
        };
        self.post::<_, BidSubmitted>("/v1/bids", &body)
            .await
            .map(|answer| answer.bid_hash)
    }

    /// Submits a signed offer.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn submit_offer(&self, offer: Offer, signature: Bytes) -> Result<B256, Error> {
        let body = SubmitOffer { offer, signature };
        self.post::<_, OfferSubmitted>("/v1/offers", &body)
            .await
            .map(|answer| answer.offer_hash)
    }

    /// `GET /v1/orders/{hash}`.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn order(&self, hash: B256) -> Result<OrderView, Error> {
        self.get(&format!("/v1/orders/{hash}")).await
    }

    /// Jobs that the node knows, newest first.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn jobs(&self, query: &JobsQuery) -> Result<Vec<Job>, Error> {
        self.json(self.request(Method::GET, "/v1/jobs").query(query))
            .await
    }

    /// One job.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn job(&self, id: B256) -> Result<Job, Error> {
        self.get(&format!("/v1/jobs/{id}")).await
    }

    /// The events of a job after number `after` (0: all), in order, none missing and none twice,
    /// also when the connection breaks. The stream ends after [`crate::api::JobEventKind::Ended`].
    pub fn job_events(
        &self,
        id: B256,
        after: u64,
    ) -> impl Stream<Item = Result<JobEvent, Error>> + Send + use<> {
        let state = EventStream {
            node: self.clone(),
            id,
            last: after,
            failures: 0,
            open: None,
            ready: Vec::new(),
            ended: false,
        };
        futures::stream::unfold(state, |mut state| async move {
            let item = state.next().await?;
            Some((item, state))
        })
    }

    /// `GET /v1/deals/{dealId}`.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn deal(&self, deal: B256) -> Result<DealView, Error> {
        self.get(&format!("/v1/deals/{deal}")).await
    }

    /// The results of a claimed deal. Not yet trusted: [`crate::Client`] checks them.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn results(&self, deal: B256) -> Result<Vec<TaskResult>, Error> {
        self.get(&format!("/v1/deals/{deal}/results")).await
    }

    /// Hands over the buyer's acceptance.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn accept(&self, deal: B256, signature: Bytes) -> Result<Relayed, Error> {
        self.post(
            &format!("/v1/deals/{deal}/accept"),
            &SubmitAccept { signature },
        )
        .await
    }

    /// Hands over the buyer's receipt for one task's output.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn receipt(&self, deal: B256, receipt: &SubmitReceipt) -> Result<Relayed, Error> {
        self.post(&format!("/v1/deals/{deal}/receipts"), receipt)
            .await
    }

    /// The live orders that the node knows.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn book(&self) -> Result<Book, Error> {
        self.get("/v1/book").await
    }

    /// What live offers ask, per token.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn prices(&self) -> Result<Vec<PriceSummary>, Error> {
        self.get("/v1/market/prices").await
    }

    /// Deals whose price was paid, newest first.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn trades(&self, query: &TradesQuery) -> Result<Vec<Trade>, Error> {
        self.json(self.request(Method::GET, "/v1/market/trades").query(query))
            .await
    }

    /// What settled deals paid for cycles and memory, and what a machine would have earned.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn value(&self, query: &ValueQuery) -> Result<MarketValue, Error> {
        self.json(self.request(Method::GET, "/v1/market/value").query(query))
            .await
    }

    /// What the node had in its book and matched at the last blocks, oldest first.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn epochs(&self, query: &EpochsQuery) -> Result<Vec<EpochDigest>, Error> {
        self.json(self.request(Method::GET, "/v1/market/epochs").query(query))
            .await
    }

    /// Prices that settled deals paid, interval by interval, oldest first.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn history(&self, query: &HistoryQuery) -> Result<PriceHistory, Error> {
        self.json(self.request(Method::GET, "/v1/market/history").query(query))
            .await
    }

    /// Why a bid that is not submitted yet would or would not be served.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn explain(&self, question: &BidQuestion) -> Result<Explanation, Error> {
        self.post("/v1/explain", question).await
    }

    /// Why a submitted bid is or is not served.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn explain_bid(&self, id: B256) -> Result<Explanation, Error> {
        self.get(&format!("/v1/explain/{id}")).await
    }

    /// What a bid would get now.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn quote(&self, question: &BidQuestion) -> Result<Quote, Error> {
        self.post("/v1/quote", question).await
    }

    /// Balances on the market, as the node knows them.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn account(&self, address: Address) -> Result<Account, Error> {
        self.get(&format!("/v1/accounts/{address}")).await
    }

    /// What the node's provider role is doing.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn provider(&self) -> Result<ProviderStatus, Error> {
        self.get("/v1/provider").await
    }

    /// Stops offering; deals that are open are finished.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn drain(&self) -> Result<ProviderStatus, Error> {
        self.json(self.request(Method::POST, "/v1/provider/drain"))
            .await
    }

    /// What the node's verifier role has found.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn verifier(&self) -> Result<VerifierStatus, Error> {
        self.get("/v1/verifier").await
    }

    /// Games about claims, the latest first.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn disputes(&self) -> Result<Vec<Dispute>, Error> {
        self.get("/v1/disputes").await
    }

    /// One game, with the gas of its moves.
    ///
    /// # Errors
    /// See [`Node::status`].
    pub async fn dispute(&self, game: B256) -> Result<Dispute, Error> {
        self.get(&format!("/v1/disputes/{game}")).await
    }

    async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, Error> {
        self.json(self.request(Method::GET, path)).await
    }

    async fn post<B: Serialize + Sync, A: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<A, Error> {
        self.json(self.request(Method::POST, path).json(body)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    fn blob_request(&self, blob: BlobHash, from: Option<B256>) -> RequestBuilder {
        let request = self.request(Method::GET, &format!("/v1/blobs/{blob}"));
        match from {
            Some(peer) => request.query(&[("from", peer)]),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        request.send().await.map_err(|e| self.unreachable(&e))
    }

    /// An answer of status 2xx; anything else becomes the error that the node states.
    async fn checked(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = self.send(request).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.limited(response).await?;
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(body) => Err(Error::Refused {
                status: status.as_u16(),
                body,
            }),
            Err(_) => Err(Error::NodeAnswer {
                url: self.origin().to_owned(),
                expected: "an Outcry API",
                reason: format!("HTTP status {status}"),
            }),
        }
    }

    async fn json<A: DeserializeOwned>(&self, request: RequestBuilder) -> Result<A, Error> {
        let response = self.checked(request).await?;
        let body = self.limited(response).await?;
        serde_json::from_slice(&body).map_err(|e| Error::NodeAnswer {
            url: self.origin().to_owned(),
            expected: short_name::<A>(),
            reason: e.to_string(),
        })
    }

    async fn limited(&self, mut response: Response) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(Error::NodeAnswer {
                    url: self.origin().to_owned(),
                    expected: "an answer of bounded size",
                    reason: format!("more than {ANSWER_BYTES_MAX} bytes"),
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        // The library's outermost message only names the address; the cause says what happened.
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Error::NodeUnreachable {
            url: self.origin().to_owned(),
            reason: cause.to_string(),
        }
    }
}

fn short_name<T>() -> &'static str {
    let full = std::any::type_name::<T>();
    full.rsplit("::")
        .next()
        .map_or(full, |name| name.trim_end_matches('>'))
}

type ByteStream = futures::stream::BoxStream<'static, Result<bytes::Bytes, reqwest::Error>>;

/// State of [`Node::job_events`].
struct EventStream {
    node: Node,
    id: B256,
    last: u64,
    failures: u32,
    open: Option<(ByteStream, sse::Parser)>,
    /// Events parsed and not handed out yet, in reverse.
    ready: Vec<JobEvent>,
    ended: bool,
}

impl EventStream {
    async fn next(&mut self) -> Option<Result<JobEvent, Error>> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(event) = self.ready.pop() {
                self.last = event.seq;
                self.ended = matches!(event.event, crate::api::JobEventKind::Ended {});
                return Some(Ok(event));
            }
            let step = match self.open.take() {
                None => self.connect().await,
                Some((bytes, parser)) => self.read(bytes, parser).await,
            };
            if let Err(error) = step {
                // A refusal will be the same the next time; a broken connection may not.
                let is_final = !matches!(error, Error::NodeUnreachable { .. });
                self.failures += 1;
                if is_final || self.failures > RECONNECTS_MAX {
                    self.ended = true;
                    return Some(Err(error));
                }
                let pause_ms = (100u64 << self.failures.min(6)).min(5_000);
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
        }
    }

    async fn connect(&mut self) -> Result<(), Error> {
        let request = self
            .node
            .request(Method::GET, &format!("/v1/jobs/{}/events", self.id))
            .header("accept", "text/event-stream")
            .header("last-event-id", self.last.to_string());
        let bytes = self.node.checked(request).await?.bytes_stream();
        self.open = Some((bytes.into_stream().boxed(), sse::Parser::default()));
        Ok(())
    }

    async fn read(&mut self, mut bytes: ByteStream, mut parser: sse::Parser) -> Result<(), Error> {
        let lost = |reason: String| Error::NodeUnreachable {
            url: self.node.origin().to_owned(),
            reason,
        };
        let wrong = |reason: String| Error::NodeAnswer {
            url: self.node.origin().to_owned(),
            expected: "JobEvent",
            reason,
        };
        let chunk = match bytes.next().await {
            Some(Ok(chunk)) => chunk,
            Some(Err(error)) => return Err(self.node.unreachable(&error)),
            None => return Err(lost("the event stream ended".to_owned())),
        };
        let events = parser
            .push(&chunk)
            .ok_or_else(|| wrong("an endless event".to_owned()))?;
        let mut ready = Vec::with_capacity(events.len());
        for event in events {
            let event: JobEvent =
                serde_json::from_str(&event.data).map_err(|e| wrong(e.to_string()))?;
            // A server that replays from an earlier point does no harm.
            if event.seq > self.last {
                ready.push(event);
            }
        }
        ready.reverse();
        if !ready.is_empty() {
            self.failures = 0;
        }
        self.ready = ready;
        self.open = Some((bytes, parser));
        Ok(())
    }
}
