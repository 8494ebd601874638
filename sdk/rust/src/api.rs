//! Types of a node's HTTP API (`/v1`), shared by the node that answers and the clients that ask.
//!
//! JSON in camelCase. Amounts, and every integer that a JSON number cannot hold exactly, are
//! decimal strings ([`Amount`]); hashes and addresses are `0x` hex; BLAKE3 hashes are
//! hex without `0x` ([`BlobHash`]). Signed structures look as `outcry_protocol::types` writes them
//! (their 64-bit integers are strings too). Times are Unix seconds of the chain. A failed request answers with
//! [`ErrorBody`] and an HTTP status that is 4xx when the caller can do something about it.
//!
//! | method and path | body | answer |
//! | --- | --- | --- |
//! | `GET /v1/status` | | [`NodeStatus`] |
//! | `GET /v1/network` | | [`NetworkInfo`] |
//! | `POST /v1/blobs` | the bytes | [`BlobStored`] |
//! | `GET /v1/blobs/{blake3}?from=` | | the bytes |
//! | `POST /v1/bids` | [`SubmitBid`] | [`BidSubmitted`] |
//! | `POST /v1/offers` | [`SubmitOffer`] | [`OfferSubmitted`] |
//! | `GET /v1/orders/{hash}` | | [`OrderView`] |
//! | `GET /v1/jobs?buyer=&state=&limit=` | [`JobsQuery`] | `[`[`Job`]`]` |
//! | `GET /v1/jobs/{bidHash}` | | [`Job`] |
//! | `GET /v1/jobs/{bidHash}/events` | | server-sent [`JobEvent`]s, `id` = [`JobEvent::seq`] |
//! | `GET /v1/deals/{dealId}` | | [`DealView`] |
//! | `GET /v1/deals/{dealId}/results` | | `[`[`TaskResult`]`]` |
//! | `POST /v1/deals/{dealId}/accept` | [`SubmitAccept`] | [`Relayed`] |
//! | `POST /v1/deals/{dealId}/receipts` | [`SubmitReceipt`] | [`Relayed`] |
//! | `GET /v1/book` | | [`Book`] |
//! | `GET /v1/market/prices` | | `[`[`PriceSummary`]`]` |
//! | `GET /v1/market/trades?limit=` | [`TradesQuery`] | `[`[`Trade`]`]` |
//! | `GET /v1/market/history?since=&intervalS=…` | [`HistoryQuery`] | [`PriceHistory`] |
//! | `GET /v1/market/value?since=&speed=…` | [`ValueQuery`] | [`MarketValue`] |
//! | `GET /v1/market/epochs?since=` | [`EpochsQuery`] | `[`[`EpochDigest`]`]` |
//! | `POST /v1/explain` | [`BidQuestion`] | [`Explanation`] |
//! | `GET /v1/explain/{bidHash}` | | [`Explanation`] |
//! | `POST /v1/quote` | [`BidQuestion`] | [`Quote`] |
//! | `GET /v1/accounts/{address}` | | [`Account`] |
//! | `GET /v1/provider`, `POST /v1/provider/drain` | | [`ProviderStatus`] |
//! | `GET /v1/verifier` | | [`VerifierStatus`] |
//! | `GET /v1/disputes` | | `[`[`Dispute`]`]` |
//! | `GET /v1/disputes/{game}` | | [`Dispute`] |

use std::fmt;
use std::str::FromStr;

use alloy::primitives::{Address, B256, Bytes, U256};
use outcry_protocol::class::Class;
use outcry_protocol::shard::ShardSet;
use outcry_protocol::status::Status;
use outcry_protocol::types::{Bid, Deal, JobSpec, Offer};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;

use crate::schema::{BidSchema, DealSchema, JobSpecSchema, OfferSchema, StatusSchema};

/// A non-negative integer below 2^256 that travels as a decimal string, because JSON numbers are
/// exact only below 2^53. Money is in base units of its token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, example = "1000000000000000000")]
pub struct Amount(pub U256);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(U256::ZERO);

    /// The value as `u128`, or `None` if it does not fit.
    pub fn to_u128(self) -> Option<u128> {
        u128::try_from(self.0).ok()
    }

    /// The value as `u64`, or `None` if it does not fit.
    pub fn to_u64(self) -> Option<u64> {
        u64::try_from(self.0).ok()
    }
}

impl From<U256> for Amount {
    fn from(value: U256) -> Self {
        Self(value)
    }
}

impl From<u128> for Amount {
    fn from(value: u128) -> Self {
        Self(U256::from(value))
    }
}

impl From<u64> for Amount {
    fn from(value: u64) -> Self {
        Self(U256::from(value))
    }
}

impl From<Amount> for U256 {
    fn from(value: Amount) -> Self {
        value.0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("`{text}` is not a decimal integer"));
        }
        U256::from_str_radix(text, 10)
            .map(Self)
            .map_err(|_| format!("`{text}` is not below 2^256"))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The BLAKE3 hash by which a blob is named: 64 lower-case hex digits without `0x`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, example = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262")]
pub struct BlobHash(pub [u8; 32]);

impl BlobHash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl From<B256> for BlobHash {
    fn from(value: B256) -> Self {
        Self(value.0)
    }
}

impl From<BlobHash> for B256 {
    fn from(value: BlobHash) -> Self {
        Self(value.0)
    }
}

impl fmt::Display for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BlobHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(format!("`{text}` is not in lower case"));
        }
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| format!("`{text}` is not a BLAKE3 hash of 64 hex digits"))?;
        Ok(Self(bytes))
    }
}

impl Serialize for BlobHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlobHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// What a failed request answers with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// Stable code, for example `M-003`.
    #[schema(example = "M-003")]
    pub code: String,
    /// What is wrong, with the values concerned.
    #[schema(example = "no offer accepts 96 GiB memory; the largest is 64 GiB")]
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// A block of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlockRef {
    /// Height.
    pub number: u64,
    /// Block hash.
    #[schema(value_type = String)]
    pub hash: B256,
    /// Unix seconds.
    pub timestamp: u64,
}

/// What a node does; several at once are possible.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Serves buyers: keeps their blobs, relays their signatures, watches their deadlines.
    Gateway,
    /// Offers capacity and executes.
    Provider,
    /// Re-executes claims.
    Verifier,
}

/// Answer of `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Market contract.
    #[schema(value_type = String)]
    pub market: Address,
    /// Stake contract.
    #[schema(value_type = String)]
    pub stake: Address,
    /// The protocol's own token.
    #[schema(value_type = String)]
    pub token: Address,
    /// Machine version that the node runs.
    pub machine_version: u32,
    /// Newest block that the node has applied.
    pub block: BlockRef,
    /// What it had in its book and matched at the last block at which it was in step with the chain;
    /// nothing before that.
    pub epoch: Option<EpochDigest>,
    /// Into how many shards the network divides its gossip.
    pub shard_count: u16,
    /// The shards that the node takes part in, as `0-3,8`: what it says of book and market is about
    /// their orders.
    #[schema(value_type = String)]
    pub shards: ShardSet,
    /// Ed25519 key of the node, `0x` hex.
    #[schema(value_type = String)]
    pub peer_key: B256,
    /// Connected peers.
    pub peers: u32,
    /// What the node does.
    pub roles: Vec<Role>,
    /// Version of the software.
    pub version: String,
}

/// A payment token and how to show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenInfo {
    /// For example `USDC`.
    pub symbol: String,
    /// ERC-20 contract; the zero address is the chain's own coin.
    #[schema(value_type = String)]
    pub address: Address,
    /// Decimal places between a unit and a base unit.
    pub decimals: u8,
}

impl TokenInfo {
    /// The chain's own coin, which bonds and gas are paid with, where a network does not name it
    /// otherwise. Its base unit is the wei.
    #[must_use]
    pub fn coin() -> Self {
        Self {
            symbol: "coin".to_owned(),
            address: Address::ZERO,
            decimals: 18,
        }
    }
}

/// Answer of `GET /v1/network`: what a client must know to take part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkInfo {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Market contract; also the EIP-712 verifying contract.
    #[schema(value_type = String)]
    pub market: Address,
    /// Stake contract.
    #[schema(value_type = String)]
    pub stake: Address,
    /// The protocol's own token.
    #[schema(value_type = String)]
    pub token: Address,
    /// Machine version of orders that this network accepts.
    pub machine_version: u32,
    /// Seconds after the opening in which either side may cancel.
    pub admission_window_s: u64,
    /// Seconds between a claim and its finalisation.
    pub challenge_window_s: u64,
    /// Seconds between asking for a withdrawal and receiving it.
    pub withdrawal_delay_s: u64,
    /// Part of the escrow that a cancelled admission burns, in basis points.
    pub admission_fee_bps: u16,
    /// Part of the price that the protocol takes, in basis points.
    pub fee_bps: u16,
    /// Collateral floor in wei of the chain's coin, per deal.
    pub collateral_floor: Amount,
    /// Into how many shards the network divides its gossip.
    pub shard_count: u16,
    /// Known payment tokens.
    pub tokens: Vec<TokenInfo>,
    /// Multiaddresses of peers to start from.
    pub bootstrap: Vec<String>,
}

/// Answer of `POST /v1/blobs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlobStored {
    /// Name of the blob.
    pub blake3: BlobHash,
    /// Bytes.
    pub length: u64,
}

/// Body of `POST /v1/bids`. The node stores the bid, gossips it and answers once it is on disk.
/// Every blob of the job's manifest must have been stored with `POST /v1/blobs` before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubmitBid {
    /// The order.
    #[schema(value_type = BidSchema)]
    pub bid: Bid,
    /// The buyer's signature over it: 65 bytes, 64 bytes (EIP-2098), or what a contract account
    /// accepts.
    #[schema(value_type = String)]
    pub signature: Bytes,
    /// The job that the bid's `jobHash` names.
    #[schema(value_type = JobSpecSchema)]
    pub job: JobSpec,
}

/// Answer of `POST /v1/bids`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BidSubmitted {
    /// EIP-712 digest of the bid, which is the job's id.
    #[schema(value_type = String)]
    pub bid_hash: B256,
}

/// Body of `POST /v1/offers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubmitOffer {
    /// The order.
    #[schema(value_type = OfferSchema)]
    pub offer: Offer,
    /// The provider's signature over it.
    #[schema(value_type = String)]
    pub signature: Bytes,
}

/// Answer of `POST /v1/offers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfferSubmitted {
    /// EIP-712 digest of the offer.
    #[schema(value_type = String)]
    pub offer_hash: B256,
}

/// What became of an order, as far as the node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum OrderState {
    /// Can be matched.
    Live,
    /// All of it is in deals.
    Filled,
    /// Cancelled on the chain by bit or counter.
    Cancelled,
    /// Its expiry has passed.
    Expired,
    /// The account's balance no longer covers it.
    Unfunded,
}

/// Answer of `GET /v1/orders/{hash}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderView {
    /// EIP-712 digest.
    #[schema(value_type = String)]
    pub hash: B256,
    /// What became of it.
    pub state: OrderState,
    /// The signature that came with it.
    #[schema(value_type = String)]
    pub signature: Bytes,
    /// The order itself.
    #[serde(flatten)]
    pub order: Order,
}

/// An order of either side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Order {
    /// A buyer's order with its job.
    #[serde(rename_all = "camelCase")]
    Bid {
        /// The order.
        #[schema(value_type = BidSchema)]
        bid: Bid,
        /// Its job.
        #[schema(value_type = JobSpecSchema)]
        job: JobSpec,
    },
    /// A provider's order.
    #[serde(rename_all = "camelCase")]
    Offer {
        /// The order.
        #[schema(value_type = OfferSchema)]
        offer: Offer,
    },
}

/// How far a job is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// The bid is live and nothing serves it yet.
    Open,
    /// A provider has been chosen; the chain does not know yet.
    Matched,
    /// A deal is open on the chain; the escrow is locked.
    Funded,
    /// The provider fetches and compiles.
    Starting,
    /// The program runs.
    Running,
    /// A deal failed; its tasks are on the market again.
    Interrupted,
    /// Every task is claimed; the buyer's acceptance or the end of the window is awaited.
    Verifying,
    /// Somebody disputes a claim.
    Challenged,
    /// Every task is paid.
    Settled,
    /// A task ended without a result and the bid can no longer be matched.
    Failed,
    /// The buyer cancelled.
    Cancelled,
    /// The bid ran out before all tasks were served.
    Expired,
}

impl JobState {
    /// All states, in the order of a job's life.
    pub const ALL: [Self; 12] = [
        Self::Open,
        Self::Matched,
        Self::Funded,
        Self::Starting,
        Self::Running,
        Self::Interrupted,
        Self::Verifying,
        Self::Challenged,
        Self::Settled,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// Whether nothing can change any more.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Settled | Self::Failed | Self::Cancelled | Self::Expired => true,
            Self::Open
            | Self::Matched
            | Self::Funded
            | Self::Starting
            | Self::Running
            | Self::Interrupted
            | Self::Verifying
            | Self::Challenged => false,
        }
    }

    /// The name used in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Matched => "matched",
            Self::Funded => "funded",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Verifying => "verifying",
            Self::Challenged => "challenged",
            Self::Settled => "settled",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for JobState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.name() == text)
            .ok_or_else(|| format!("`{text}` is not a job state"))
    }
}

/// Query of `GET /v1/jobs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobsQuery {
    /// Only this buyer's jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub buyer: Option<Address>,
    /// Only jobs in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<JobState>,
    /// At most this many, newest first; 1 to 1000, 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A bid and everything that came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// The bid's hash.
    #[schema(value_type = String)]
    pub id: B256,
    /// How far the job is.
    pub state: JobState,
    /// Who pays.
    #[schema(value_type = String)]
    pub buyer: Address,
    /// What pays.
    #[schema(value_type = String)]
    pub token: Address,
    /// Hash of the [`JobSpec`].
    #[schema(value_type = String)]
    pub job_hash: B256,
    /// BLAKE3 of the manifest.
    pub manifest: BlobHash,
    /// Number of tasks.
    pub tasks: u32,
    /// Tasks that no live deal covers.
    pub tasks_open: u32,
    /// Tasks claimed (settled ones included).
    pub tasks_claimed: u32,
    /// Tasks paid.
    pub tasks_settled: u32,
    /// Unix seconds at which this node first saw the bid.
    pub submitted_at: u64,
    /// Last second at which the bid is valid.
    pub expiry: u64,
    /// Sum of the prices of claimed and settled deals.
    pub price: Amount,
    /// Deals in the order of their opening, failed ones included.
    pub deals: Vec<DealView>,
    /// Why the job is not getting on, if something is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ErrorBody>,
}

/// What the chain says of a deal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum DealState {
    /// Escrow and collateral are locked; no claim yet.
    Open,
    /// A claim stands; its window runs.
    Claimed,
    /// The claim is accepted and paid; the collateral stays locked until the window ends.
    Accepted,
    /// Somebody disputes the claim or demands its output.
    Challenged,
    /// Paid, collateral returned.
    Settled,
    /// The provider missed the deadline; the buyer is refunded.
    TimedOut,
    /// A better offer took its place within the bid's rank window; the tasks are the other deal's.
    Replaced,
    /// Cancelled within the admission window.
    Cancelled,
    /// The claim was proved false, its output withheld, or an audit of it not answered.
    Slashed,
}

impl DealState {
    /// Whether nothing can change any more.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Settled | Self::TimedOut | Self::Replaced | Self::Cancelled | Self::Slashed => {
                true
            }
            Self::Open | Self::Claimed | Self::Accepted | Self::Challenged => false,
        }
    }

    /// The name used in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Claimed => "claimed",
            Self::Accepted => "accepted",
            Self::Challenged => "challenged",
            Self::Settled => "settled",
            Self::TimedOut => "timedOut",
            Self::Replaced => "replaced",
            Self::Cancelled => "cancelled",
            Self::Slashed => "slashed",
        }
    }
}

impl fmt::Display for DealState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What the provider claimed, read from the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimView {
    /// Hash that an [`SubmitAccept`] signs.
    #[schema(value_type = String)]
    pub claim_hash: B256,
    /// Merkle root over the halted-state hashes of the deal's tasks.
    #[schema(value_type = String)]
    pub result_root: B256,
    /// Sum of the tasks' cycles.
    pub cycles: Amount,
    /// Sum of the tasks' prices, base units.
    pub price: Amount,
    /// Unix seconds.
    pub claimed_at: u64,
    /// First second at which the claim can be finalised without acceptance.
    pub finalisable_at: u64,
    /// Per task, in order, as in the calldata of the claim.
    pub tasks: Vec<ClaimedTask>,
}

/// One task of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimedTask {
    /// Index of the task in the job.
    pub task: u32,
    /// Cycles billed.
    pub cycles: u64,
    /// Hash over status, exit code, output root and output length.
    #[schema(value_type = String)]
    pub inner: B256,
}

/// A transaction that concerned a deal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DealTransaction {
    /// What it did, for example `open`, `claim`, `accept`, `finalise`, `timeout`.
    pub kind: String,
    /// Transaction hash.
    #[schema(value_type = String)]
    pub hash: B256,
    /// Block number.
    pub block: u64,
    /// Gas used by the whole transaction; shared when it settled several deals. Absent while the
    /// chain's endpoint does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gas_used: Option<u64>,
}

/// How far a provider says it is with a deal. Not verified by anybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DealProgress {
    /// Whether the program runs; before, it is fetched and compiled.
    pub running: bool,
    /// Tasks that have a result.
    pub tasks_done: u32,
    /// Cycles of those tasks.
    pub cycles: Amount,
}

/// A range of a job's tasks at one provider. Answer of `GET /v1/deals/{dealId}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DealView {
    /// Hash of the terms.
    #[schema(value_type = String)]
    pub deal_id: B256,
    /// What the chain says.
    pub state: DealState,
    /// Ed25519 key of the provider's node.
    #[schema(value_type = String)]
    pub peer_key: B256,
    /// The terms.
    #[schema(value_type = DealSchema)]
    pub terms: Deal,
    /// How far the provider says it is, while the deal is open. Known to the node to which the job
    /// was submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<DealProgress>,
    /// The claim, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimView>,
    /// Base units that the provider has received.
    pub paid: Amount,
    /// Base units that went back to the buyer.
    pub refunded: Amount,
    /// What was sent to the chain about this deal.
    pub transactions: Vec<DealTransaction>,
}

/// The result of one task: one item of `GET /v1/deals/{dealId}/results`. The node has fetched it
/// from the provider and checked it against the claim; a client checks it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskResult {
    /// Index of the task in the job.
    pub task: u32,
    /// How the program ended.
    #[schema(value_type = StatusSchema)]
    pub status: Status,
    /// The program's exit code; 0 unless it exited.
    pub exit_code: u32,
    /// Cycles used.
    pub cycles: u64,
    /// Merkle root of the output archive.
    #[schema(value_type = String)]
    pub output_root: B256,
    /// Bytes of the output archive.
    pub output_length: u64,
    /// Name of the output archive's blob.
    pub blake3: BlobHash,
}

/// Body of `POST /v1/deals/{dealId}/accept`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubmitAccept {
    /// The buyer's EIP-712 signature over `Accept{dealId, claimHash}`.
    #[schema(value_type = String)]
    pub signature: Bytes,
}

/// Body of `POST /v1/deals/{dealId}/receipts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubmitReceipt {
    /// Index of the task in the job.
    pub task: u32,
    /// Root of the output that the buyer holds.
    #[schema(value_type = String)]
    pub output_root: B256,
    /// The buyer's EIP-712 signature over `Receipt{dealId, task, outputRoot}`.
    #[schema(value_type = String)]
    pub signature: Bytes,
}

/// The node has taken a signature on and will deliver it; nothing more is asked of the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Relayed {
    /// The deal concerned.
    #[schema(value_type = String)]
    pub deal_id: B256,
}

/// One event of a job's life. In the stream its `seq` is the SSE `id`; a client that reconnects
/// with `Last-Event-ID` receives every later event, so none is lost and none comes twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobEvent {
    /// 1, 2, 3 … within the job.
    pub seq: u64,
    /// Unix seconds.
    pub time: u64,
    /// State of the job after the event.
    pub state: JobState,
    /// What happened.
    #[serde(flatten)]
    pub event: JobEventKind,
}

/// What happened to a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum JobEventKind {
    /// The node took the bid.
    Submitted {},
    /// A provider was chosen for some tasks.
    #[serde(rename_all = "camelCase")]
    Matched {
        /// The offer.
        #[schema(value_type = String)]
        offer_hash: B256,
        /// Number of tasks.
        tasks: u32,
    },
    /// A deal opened on the chain.
    #[serde(rename_all = "camelCase")]
    DealOpened {
        /// The deal.
        #[schema(value_type = String)]
        deal_id: B256,
        /// Who runs it.
        #[schema(value_type = String)]
        provider: Address,
        /// First task.
        first_task: u32,
        /// Number of tasks.
        task_count: u32,
        /// Last second for a claim.
        deadline: u64,
    },
    /// The provider says what it does. Not verified by anybody.
    #[serde(rename_all = "camelCase")]
    Progress {
        /// The deal.
        #[schema(value_type = String)]
        deal_id: B256,
        /// Tasks finished so far.
        tasks_done: u32,
        /// Cycles of those tasks.
        cycles: u64,
    },
    /// The provider claimed.
    #[serde(rename_all = "camelCase")]
    DealClaimed {
        /// The deal.
        #[schema(value_type = String)]
        deal_id: B256,
        /// Hash of the claim.
        #[schema(value_type = String)]
        claim_hash: B256,
        /// Sum of cycles.
        cycles: Amount,
        /// Sum of prices.
        price: Amount,
    },
    /// The buyer's acceptance reached the chain.
    #[serde(rename_all = "camelCase")]
    DealAccepted {
        /// The deal.
        #[schema(value_type = String)]
        deal_id: B256,
        /// Base units paid.
        paid: Amount,
    },
    /// The deal is finished and paid.
    #[serde(rename_all = "camelCase")]
    DealSettled {
        /// The deal.
        #[schema(value_type = String)]
        deal_id: B256,
        /// Base units paid.
        paid: Amount,
    },
    /// A better offer took the deal's place within the bid's rank window. The event of the other deal's
    /// opening stands beside it.
    #[serde(rename_all = "camelCase")]
    DealReplaced {
        /// The deal that is no more.
        #[schema(value_type = String)]
        deal_id: B256,
        /// The deal that has its tasks.
        #[schema(value_type = String)]
        by: B256,
    },
    /// The deal ended without payment; its tasks are on the market again while the bid is live.
    #[serde(rename_all = "camelCase")]
    DealFailed {
        /// The deal.
        #[schema(value_type = String)]
        deal_id: B256,
        /// How it ended. Named apart from the event's own `state`, which stands beside it in JSON.
        deal_state: DealState,
        /// Base units that went back to the buyer, its share of the collateral included.
        refunded: Amount,
    },
    /// Somebody disputes a claim.
    #[serde(rename_all = "camelCase")]
    Challenged {
        /// The deal.
        #[schema(value_type = String)]
        deal_id: B256,
    },
    /// The job ended; its state says how. No event follows.
    Ended {},
}

/// Answer of `GET /v1/book`: the live orders that this node knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Book {
    /// Block to which balances and fills belong.
    pub block: BlockRef,
    /// Live bids.
    pub bids: Vec<BookBid>,
    /// Live offers.
    pub offers: Vec<BookOffer>,
}

/// A live bid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BookBid {
    /// EIP-712 digest.
    #[schema(value_type = String)]
    pub hash: B256,
    /// The order.
    #[schema(value_type = BidSchema)]
    pub bid: Bid,
    /// Its job.
    #[schema(value_type = JobSpecSchema)]
    pub job: JobSpec,
    /// Tasks that no deal covers.
    pub tasks_open: u32,
}

/// A live offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BookOffer {
    /// EIP-712 digest.
    #[schema(value_type = String)]
    pub hash: B256,
    /// The order.
    #[schema(value_type = OfferSchema)]
    pub offer: Offer,
    /// Slots of its pool without a deal.
    pub slots_free: u32,
}

/// What the live offers of one token ask: one item of `GET /v1/market/prices`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PriceSummary {
    /// What pays.
    #[schema(value_type = String)]
    pub token: Address,
    /// Live offers.
    pub offers: u32,
    /// Free slots.
    pub slots_free: u32,
    /// Lowest price of 10^18 cycles with 1 GiB of memory reserved.
    pub unit_price_min: Amount,
    /// Median of the same over free slots.
    pub unit_price_median: Amount,
    /// Highest of the same.
    pub unit_price_max: Amount,
    /// Lowest start fee.
    pub start_fee_min: Amount,
    /// Highest signed speed, cycles per second.
    pub speed_max: u64,
}

/// Query of `GET /v1/market/trades`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TradesQuery {
    /// At most this many, newest first; 1 to 1000, 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A deal whose price was paid: one item of `GET /v1/market/trades`, and all that enters the price
/// history of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trade {
    /// The deal.
    #[schema(value_type = String)]
    pub deal_id: B256,
    /// Who paid.
    #[schema(value_type = String)]
    pub buyer: Address,
    /// Who was paid.
    #[schema(value_type = String)]
    pub provider: Address,
    /// What paid.
    #[schema(value_type = String)]
    pub token: Address,
    /// Where its slot is.
    pub region: u8,
    /// Class of what it reserved, for example `1g`.
    #[schema(value_type = String)]
    pub class: Class,
    /// MiB of memory that it reserved.
    pub memory_mib: u32,
    /// Number of tasks.
    pub tasks: u32,
    /// Sum of cycles.
    pub cycles: Amount,
    /// Sum of prices.
    pub price: Amount,
    /// Seconds for which it held its slot.
    pub held_s: u64,
    /// Unix seconds of the opening.
    pub opened_at: u64,
    /// Unix seconds of the payment.
    pub paid_at: u64,
    /// Number of the block of the payment.
    pub block: u64,
    /// Position of the payment's log in that block.
    pub log_index: u64,
}

/// Query of `GET /v1/market/history`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HistoryQuery {
    /// What paid; the network's first token when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub token: Option<Address>,
    /// One region; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<u8>,
    /// One class; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub class: Option<Class>,
    /// Seconds of an interval: 60, 300, 900, 3600, 14400 or 86400; 3600 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_s: Option<u32>,
    /// Unix seconds of the beginning; a day before the newest block when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Unix seconds of the end; up to the newest block when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// At most this many candles, oldest first; 1 to 1000, 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Answer of `GET /v1/market/history`: what settled deals paid, as of a block. Every node that stands
/// on this block gives the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PriceHistory {
    /// Newest block that is in it.
    pub block: BlockRef,
    /// What paid.
    #[schema(value_type = String)]
    pub token: Address,
    /// The region that was asked for.
    pub region: Option<u8>,
    /// The class that was asked for.
    #[schema(value_type = Option<String>)]
    pub class: Option<Class>,
    /// Seconds of an interval.
    pub interval_s: u32,
    /// Unix seconds of the beginning: an interval's boundary, and not before what is kept.
    pub since: u64,
    /// Unix seconds of the end, exclusive: an interval's boundary.
    pub until: u64,
    /// Intervals with deals, ascending.
    pub candles: Vec<Candle>,
    /// What `since` of the next page is, if there is one.
    pub next: Option<u64>,
    /// Deals of the market since its deployment, in all tokens.
    pub deals: u64,
    /// Names all of them: where it is equal, the whole history is (`protocol/SPEC.md`, section 12).
    #[schema(value_type = String)]
    pub digest: B256,
}

/// What the deals of an interval paid. Prices are base units per 10^18 cycles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Candle {
    /// Unix seconds of its beginning.
    pub start: u64,
    /// Price of the first deal.
    pub open: Amount,
    /// Highest price.
    pub high: Amount,
    /// Lowest price.
    pub low: Amount,
    /// Price of the last deal.
    pub close: Amount,
    /// Number of deals.
    pub deals: u64,
    /// Sum of cycles.
    pub cycles: Amount,
    /// Sum of what was paid, base units.
    pub paid: Amount,
}

/// Query of `GET /v1/market/value`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValueQuery {
    /// What paid; the network's first token when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub token: Option<Address>,
    /// One region; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<u8>,
    /// One class; all when absent. A machine earns with all that fit it all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub class: Option<Class>,
    /// Unix seconds of the beginning; a week before the newest block when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Unix seconds of the end; up to the newest block when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Measured cycles per second of a machine's slot: asks what the machine would have earned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<u64>,
    /// Its slots; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// MiB of memory of each: it earns with deals of classes that fit. All when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
}

/// Answer of `GET /v1/market/value`: what capacity was worth in settled deals, over whole hours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MarketValue {
    /// Newest block that is in it.
    pub block: BlockRef,
    /// What paid.
    #[schema(value_type = String)]
    pub token: Address,
    /// Unix seconds of the beginning.
    pub since: u64,
    /// Unix seconds of the end, exclusive.
    pub until: u64,
    /// Of all deals that were asked for.
    pub total: Worth,
    /// The same by region and class.
    pub series: Vec<Worth>,
    /// Slots of the pools whose offers are live in the book of this node now.
    pub slots_offered: u64,
    /// Share of the slots' time for which deals held slots, basis points; nothing without slots.
    pub utilisation_bps: Option<u32>,
    /// What the machine would have earned, if one was asked about and deals that fit it were settled.
    pub machine: Option<MachineEarnings>,
    /// Deals of the market since its deployment, in all tokens.
    pub deals: u64,
    /// Names all of them, as in [`PriceHistory`].
    #[schema(value_type = String)]
    pub digest: B256,
}

/// What deals paid for what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Worth {
    /// Their region; nothing for all.
    pub region: Option<u8>,
    /// Their class; nothing for all.
    #[schema(value_type = Option<String>)]
    pub class: Option<Class>,
    /// Number of deals.
    pub deals: u64,
    /// Sum of cycles.
    pub cycles: Amount,
    /// Seconds for which slots were held.
    pub held_s: Amount,
    /// Sum of what was paid, base units.
    pub paid: Amount,
    /// Base units per 10^18 cycles: all that was paid over all cycles.
    pub cycle_price: Option<Amount>,
    /// Units of 10^-9 base units per GiB-hour: all that was paid over all memory held.
    pub gib_hour_price: Option<Amount>,
}

/// What a machine would have earned in the window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MachineEarnings {
    /// What deals that fit it paid, base units per 10^18 cycles.
    pub cycle_price: Amount,
    /// Base units, had all its slots run deals all the time.
    pub fully_booked: Amount,
    /// Base units at the market's utilisation.
    pub as_used: Option<Amount>,
}

/// Query of `GET /v1/market/epochs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EpochsQuery {
    /// Number of the first block; the oldest that is remembered when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
}

/// What a node had in its book and matched at a block: one item of `GET /v1/market/epochs`. Nodes that
/// knew the same orders have the same digests, if they take part in the same shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EpochDigest {
    /// The block, whose hash is the epoch's beacon.
    pub block: BlockRef,
    /// The shards whose orders both digests are about, as `0-3,8`.
    #[schema(value_type = String)]
    pub shards: ShardSet,
    /// Names the live orders.
    #[schema(value_type = String)]
    pub book_digest: B256,
    /// Names the matches.
    #[schema(value_type = String)]
    pub match_digest: B256,
    /// Number of matches.
    pub matches: u32,
}

/// Body of `POST /v1/explain` and `POST /v1/quote`: a bid that need not be signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BidQuestion {
    /// The order.
    #[schema(value_type = BidSchema)]
    pub bid: Bid,
    /// Its job.
    #[schema(value_type = JobSpecSchema)]
    pub job: JobSpec,
}

/// Why a bid is or is not served. Answered from the local book, without a message sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Live offers looked at.
    pub offers: u32,
    /// Offers that could take at least one task now.
    pub acceptable: u32,
    /// One sentence, for people.
    pub summary: String,
    /// What is wrong with the bid itself, whatever the offers are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bid_problem: Option<ErrorBody>,
    /// Per constraint, how many live offers fail it. An offer can fail several.
    pub failures: Vec<ConstraintFailure>,
    /// The cheapest single change that would match, if one change suffices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cheapest_change: Option<Change>,
}

/// One constraint that live offers fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConstraintFailure {
    /// Stable code, for example `M-003`.
    pub code: String,
    /// Field of the bid, in camelCase.
    pub field: String,
    /// Live offers that fail it.
    pub offers: u32,
    /// One sentence, for people.
    pub message: String,
}

/// A change of one field of a bid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Field of the bid, in camelCase.
    pub field: String,
    /// Present value, decimal or hex as in the bid.
    pub from: String,
    /// Value that would match.
    pub to: String,
    /// The offer that would then take the bid.
    #[schema(value_type = String)]
    pub offer_hash: B256,
    /// One sentence, for people.
    pub message: String,
}

/// What a bid would get now. Nothing is reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quote {
    /// How the tasks would be spread.
    pub fills: Vec<QuoteFill>,
    /// Tasks that no offer could take now.
    pub tasks_unplaced: u32,
    /// Sum of the fills' expected costs, base units.
    pub expected_cost: Amount,
    /// Most that the fills can cost: what would be escrowed.
    pub escrow: Amount,
    /// Balance that the buyer must have on the market: escrow, tips and audit fees.
    pub balance_needed: Amount,
    /// Seconds until the last fill is expected to end.
    pub expected_s: u64,
    /// Whether cheating would pay.
    pub cheating: CheatingQuote,
}

/// A part of a [`Quote`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuoteFill {
    /// The offer.
    #[schema(value_type = String)]
    pub offer_hash: B256,
    /// The provider.
    #[schema(value_type = String)]
    pub provider: Address,
    /// Ed25519 key of its node.
    #[schema(value_type = String)]
    pub peer_key: B256,
    /// Number of tasks.
    pub tasks: u32,
    /// Base units expected.
    pub expected_cost: Amount,
    /// Base units escrowed.
    pub escrow: Amount,
    /// Base units that the provider puts up.
    pub collateral: Amount,
    /// Seconds expected.
    pub expected_s: u64,
}

/// What a provider that returns a false result stands to gain, if it is checked with the
/// probability that `caught_bps` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheatingQuote {
    /// Whether cheating pays in expectation if drawn audits alone catch it, at the bid's audit rate.
    pub pays: bool,
    /// What an uncaught cheat gains: the most that it can bill, the escrow. Base units.
    pub gain: Amount,
    /// What a caught cheat loses for good: the burned half of its collateral, base units.
    pub loss: Amount,
    /// Share of deals, in basis points, that must be checked for cheating to break even.
    pub break_even_bps: u32,
}

/// Answer of `GET /v1/accounts/{address}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The account.
    #[schema(value_type = String)]
    pub address: Address,
    /// Orders with another counter are dead.
    pub counter: u64,
    /// Balances on the market, one per known token that the account has ever held there.
    pub balances: Vec<Balance>,
}

/// A balance on the market.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Balance {
    /// The token.
    pub token: TokenInfo,
    /// Base units free to be used in deals.
    pub available: Amount,
    /// Base units that the account's live bids may still use.
    pub committed: Amount,
    /// Base units asked back.
    pub withdrawing: Amount,
    /// Unix seconds from which they can be taken; 0 if nothing was asked.
    pub withdrawable_at: u64,
}

/// What a provider's node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProviderState {
    /// Offers are live.
    Offering,
    /// No new offers; running deals are finished.
    Draining,
    /// Drained: nothing runs.
    Drained,
    /// Something keeps the node from offering; `problem` says what.
    Blocked,
}

/// Answer of `GET /v1/provider` and `POST /v1/provider/drain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderStatus {
    /// The provider's account.
    #[schema(value_type = String)]
    pub address: Address,
    /// What the node is doing.
    pub state: ProviderState,
    /// Why it does not offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ErrorBody>,
    /// Slots in all.
    pub slots: u32,
    /// Slots with a deal or a reservation.
    pub slots_busy: u32,
    /// Signed speed, cycles per second.
    pub speed: u64,
    /// Hashes of the live offers.
    #[schema(value_type = Vec<String>)]
    pub offers: Vec<B256>,
    /// Deals that are not over.
    pub deals_open: u32,
    /// Deals paid so far.
    pub deals_settled: u64,
    /// Deals lost to a deadline or a dispute.
    pub deals_failed: u64,
    /// Per token, what came in.
    pub earnings: Vec<Earnings>,
}

/// What a provider earned in one token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Earnings {
    /// The token.
    pub token: TokenInfo,
    /// Base units paid.
    pub paid: Amount,
    /// Base units claimed and not yet paid.
    pub pending: Amount,
    /// Base units of collateral locked.
    pub locked: Amount,
    /// Base units of collateral lost.
    pub slashed: Amount,
}

/// Answer of `GET /v1/verifier`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifierStatus {
    /// Who challenges. Absent for a node that only reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub account: Option<Address>,
    /// Base units of the protocol's token that it has staked.
    pub stake: Amount,
    /// Wei on the market that bonds can be paid with.
    pub coins: Amount,
    /// Claims seen.
    pub claims_seen: u64,
    /// Tasks re-executed.
    pub tasks_checked: u64,
    /// Tasks whose claim was right.
    pub tasks_agreed: u64,
    /// Tasks whose claim was wrong.
    pub tasks_mismatched: u64,
    /// Tasks that could not be checked, for example because their blobs were not served.
    pub tasks_unavailable: u64,
    /// Claims waiting to be re-executed.
    pub queue: u32,
    /// Own challenges that run.
    pub games_running: u32,
    /// Own challenges of claims that fell.
    pub games_won: u64,
    /// Own challenges that were lost.
    pub games_lost: u64,
    /// Wei of bonds in the challenges that run.
    pub bonds_at_risk: Amount,
    /// Wei of bonds that were lost.
    pub bonds_lost: Amount,
    /// Wei paid beside the bonds for challenges that another challenger's victory ended. The coins of an
    /// own victory come with its reward.
    pub gas_refunded: Amount,
    /// Rewards, per token.
    pub rewards: Vec<Reward>,
    /// Claims that this node found to be wrong, the latest first, at most 100.
    pub wrong: Vec<WrongClaim>,
    /// Its part in audits.
    pub audits: AuditorStatus,
}

/// What a verifier does in audits. Of those that are over only the sums are kept for good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditorStatus {
    /// Its seat among those who audit; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<AuditSeat>,
    /// Audits in which it was right, and paid.
    pub right: u64,
    /// Audits in which nothing was decided about it, or it endorsed a claim that fell.
    pub excused: u64,
    /// Audits in which it did not commit in time, or could not fetch what another could.
    pub silent: u64,
    /// Audits in which it did not reveal in time.
    pub withheld: u64,
    /// Audits in which it contradicted the provider and did not win the game about it.
    pub wrong: u64,
    /// What audits paid, per token.
    pub earned: Vec<Reward>,
    /// Base units of the protocol's token that it lost of its stake.
    pub slashed: Amount,
    /// Audits that are not over, those that are due first.
    pub open: Vec<AuditView>,
}

/// A place among those who audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditSeat {
    /// Most audits at a time.
    pub capacity: u8,
    /// Audits that it is drawn for now.
    pub open: u32,
    /// Unix seconds: claims from then on are drawn for it.
    pub since: u64,
    /// Unix seconds: claims from then on are not any more. Absent unless it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

/// How far an audit has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum AuditPhase {
    /// The parties run the task and commit.
    Committing,
    /// They reveal what they committed to.
    Revealing,
    /// Auditors that are contradicted bring games.
    Objecting,
    /// Anybody may have it judged.
    Closing,
    /// It is over.
    Closed,
}

impl AuditPhase {
    /// The name used in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Committing => "committing",
            Self::Revealing => "revealing",
            Self::Objecting => "objecting",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }
}

/// An audit that a node is a party of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditView {
    /// Hash of the claim.
    #[schema(value_type = String)]
    pub claim_hash: B256,
    /// Its deal.
    #[schema(value_type = String)]
    pub deal_id: B256,
    /// The audited task, as an index in the job.
    pub task: u32,
    /// Whose claim.
    #[schema(value_type = String)]
    pub provider: Address,
    /// Base units of the deal's token for all parties together.
    pub fee: Amount,
    /// How far it has come.
    pub phase: AuditPhase,
    /// Unix seconds at which that ends at the latest.
    pub until: u64,
    /// Whether this node has run the task.
    pub examined: bool,
    /// Whether it has committed.
    pub committed: bool,
    /// Whether it has revealed.
    pub revealed: bool,
    /// The game that it has to bring, or has brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub game: Option<B256>,
}

/// What a verifier was rewarded with in one token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reward {
    /// The token.
    pub token: TokenInfo,
    /// Base units.
    pub amount: Amount,
}

/// A task whose claim a node found to be wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WrongClaim {
    /// The deal.
    #[schema(value_type = String)]
    pub deal_id: B256,
    /// Index of the task in the job.
    pub task: u32,
    /// Whose claim.
    #[schema(value_type = String)]
    pub provider: Address,
    /// Cycles claimed.
    pub claimed_cycles: u64,
    /// Inner hash claimed.
    #[schema(value_type = String)]
    pub claimed_inner: B256,
    /// Cycles found.
    pub found_cycles: u64,
    /// Inner hash found.
    #[schema(value_type = String)]
    pub found_inner: B256,
    /// Unix seconds at which it was found.
    pub found_at: u64,
    /// Last second at which it can be challenged on the chain.
    pub challengeable_until: u64,
    /// The game in which this node challenges it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub game: Option<B256>,
}

/// A party of a game.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum GameParty {
    /// Says that the claim is false.
    Challenger,
    /// Made the claim.
    Provider,
}

impl GameParty {
    /// The name used in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Challenger => "challenger",
            Self::Provider => "provider",
        }
    }
}

/// How far a game has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum GameState {
    /// Somebody is to move.
    Running,
    /// The challenger won: the claim falls.
    ChallengerWon,
    /// The provider won.
    ProviderWon,
    /// Another game has shown that the claim is false: this one need not go on.
    ClaimFell,
}

impl GameState {
    /// The name used in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::ChallengerWon => "challengerWon",
            Self::ProviderWon => "providerWon",
            Self::ClaimFell => "claimFell",
        }
    }
}

impl fmt::Display for GameState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A game about a claim: one item of `GET /v1/disputes`, answer of `GET /v1/disputes/{game}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dispute {
    /// `keccak256(abi.encode(claimHash, task, challenger, until))`.
    #[schema(value_type = String)]
    pub id: B256,
    /// How far it has come.
    pub state: GameState,
    /// The deal whose claim is challenged.
    #[schema(value_type = String)]
    pub deal_id: B256,
    /// Hash of the claim.
    #[schema(value_type = String)]
    pub claim_hash: B256,
    /// Index of the challenged task in the job.
    pub task: u32,
    /// Whose claim.
    #[schema(value_type = String)]
    pub provider: Address,
    /// Who challenges it.
    #[schema(value_type = String)]
    pub challenger: Address,
    /// Zero: the game is about the state in which the task halts. Otherwise about the state at an auditor's
    /// point, of so many cycles; `asserted` and `halted` are states there then.
    pub until: u64,
    /// State in which the task starts.
    #[schema(value_type = String)]
    pub initial: B256,
    /// Halted state that the provider claims.
    #[schema(value_type = String)]
    pub asserted: B256,
    /// Halted state that the challenger asserts.
    #[schema(value_type = String)]
    pub halted: B256,
    /// Sections that lead from the whole trace to a step.
    pub sections: u8,
    /// Sections made.
    pub sections_made: u8,
    /// What is still in dispute of the trace.
    pub segment: Segment,
    /// Who is to move, while the game runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mover: Option<GameParty>,
    /// What is left on the clocks at the head.
    pub clocks: GameClocks,
    /// Wei that the challenger locked.
    pub bond: Amount,
    /// Everything that happened, in the order of the chain; empty in lists of games.
    pub moves: Vec<GameMove>,
    /// Whether the loser's clock ran out, once the game has ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_timeout: Option<bool>,
    /// What the market was told about the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<GameVerdict>,
    /// What was paid out of the bond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payout: Option<GamePayout>,
    /// The job, from which anybody can trace the task; left out in lists of games.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<JobSpecSchema>)]
    pub job: Option<JobSpec>,
}

/// A stretch of a trace: both parties agree on the state at its start and not on the one at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// Steps before it.
    pub offset: Amount,
    /// It has 16 to this power steps.
    pub level: u8,
    /// Its steps.
    pub steps: Amount,
}

/// The clocks of a game, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GameClocks {
    /// What each party had at the beginning.
    pub total_s: u32,
    /// Left to the challenger.
    pub challenger_left_s: u32,
    /// Left to the provider.
    pub provider_left_s: u32,
    /// Whether the game has a seat: in games without one the provider's clock stands still for four clocks.
    pub seated: bool,
    /// The mover's clock has run out: anybody may end the game.
    pub overdue: bool,
}

/// Something that happened in a game.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GameMove {
    /// The transaction; its kind is one of `challenge`, `section`, `seat`, `prove`, `timeout`, `settle`,
    /// `collect`. One transaction may stand for several of them.
    pub transaction: DealTransaction,
    /// Unix seconds of its block.
    pub at: u64,
    /// Whose move it was, of those that are a party's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<GameParty>,
    /// Which of the opponent's 16 parts the mover disputes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<u8>,
    /// State hashes at the ends of the mover's 16 parts of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub ends: Vec<B256>,
}

/// The verdict on a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GameVerdict {
    /// Whether the claim stands.
    pub stands: bool,
    /// The challenger that is rewarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub winner: Option<Address>,
    /// With so many base units of the deal's token.
    pub reward: Amount,
}

/// What became of a game's bond, in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GamePayout {
    /// To the challenger, with the gas that it is owed.
    pub to_challenger: Amount,
    /// To the provider.
    pub to_provider: Amount,
    /// Burned.
    pub burned: Amount,
}
