//! What can go wrong for a client. Codes and what to do about them stand in
//! [`outcry_protocol::codes`].

use std::path::PathBuf;

use alloy::primitives::{B256, U256};
use outcry_protocol::codes::{self, Code, Coded};
use outcry_protocol::order::OrderError;

use crate::api::{BlobHash, ErrorBody};

/// Everything that can go wrong for a client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A network file can't be used.
    #[error("the network file {} can't be used: {reason}", path.display())]
    NetworkFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The network does not name this token.
    #[error("the network names no token {0}")]
    UnknownToken(String),
    /// Text that is not an amount.
    #[error("`{text}` is not an amount: {reason}")]
    Amount {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file or folder can't be read or written.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        reason: String,
    },

    /// A secret is readable by others.
    #[error("{} can be read by others (mode {mode:04o})", path.display())]
    SecretExposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// No such key.
    #[error("there is no key named {0}")]
    NoSuchKey(String),
    /// A key of this name exists.
    #[error("there is a key named {0} already")]
    KeyExists(String),
    /// A name that is not allowed for a key.
    #[error("`{0}` can't be the name of a key")]
    KeyName(String),
    /// A key file that can't be used.
    #[error("the key file {} can't be used: {reason}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The password does not open the key.
    #[error("the password does not open {}", .0.display())]
    WrongPassword(PathBuf),
    /// No key was given and there is no single one to take.
    #[error("no key to sign with: {0}")]
    NoKey(String),

    /// The program is refused.
    #[error("the program is refused: {reason}")]
    Program {
        /// What is wrong with it.
        reason: String,
        /// Which kind of refusal.
        code: &'static Code,
    },
    /// Inputs that can't be made into an archive.
    #[error("the input is refused: {0}")]
    Input(String),
    /// A job or bid that the protocol refuses.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// Bytes that are not a manifest.
    #[error("the manifest is refused: {0}")]
    Manifest(String),
    /// The program could not be run on this machine. Says nothing about the program.
    #[error("this machine could not run task {task}: {reason}")]
    Engine {
        /// Index of the task.
        task: u32,
        /// What happened.
        reason: String,
    },

    /// No answer from the node.
    #[error("no answer from the node at {url}: {reason}")]
    NodeUnreachable {
        /// Scheme, host and port of its address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The node answered something that is not an answer to this request.
    #[error("the node at {url} answered with something else than {expected}: {reason}")]
    NodeAnswer {
        /// Scheme, host and port of its address.
        url: String,
        /// What was expected.
        expected: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The node refused the request and said why.
    #[error("{}", .body.message)]
    Refused {
        /// HTTP status.
        status: u16,
        /// What the node said.
        body: ErrorBody,
    },
    /// The node or the chain belongs to another network.
    #[error("{what} is {found}, the network file says {expected}")]
    WrongNetwork {
        /// What was compared.
        what: &'static str,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// The chain's endpoint failed.
    #[error("the chain at {url} did not answer {what}: {reason}")]
    Chain {
        /// Scheme, host and port of the endpoint.
        url: String,
        /// What was asked.
        what: &'static str,
        /// What happened.
        reason: String,
    },

    /// The wallet holds too little.
    #[error("the wallet holds {found}, {needed} are needed")]
    WalletBalance {
        /// With the symbol.
        needed: String,
        /// With the symbol.
        found: String,
    },
    /// The balance on the market is too small.
    #[error("the balance on the market is {found}, {needed} are needed")]
    MarketBalance {
        /// With the symbol.
        needed: String,
        /// With the symbol.
        found: String,
    },
    /// The chain refuses a transaction.
    #[error("the chain refuses to {what}: {reason}")]
    Reverted {
        /// What was tried.
        what: &'static str,
        /// The contract's error.
        reason: String,
        /// Which kind of refusal.
        code: &'static Code,
    },
    /// No withdrawal was asked for.
    #[error("no withdrawal was asked for")]
    NothingPending,
    /// The withdrawal delay has not passed.
    #[error("{amount} can be withdrawn at {at} (Unix seconds), the chain's clock shows {now}")]
    TooEarly {
        /// With the symbol.
        amount: String,
        /// Unix seconds.
        at: u64,
        /// Unix seconds.
        now: u64,
    },
    /// Nobody offers anything, so there is no price to start from.
    #[error("no live offer names a price in {0}")]
    NoPrice(String),
    /// Nobody took the job in time.
    #[error("no provider took the job: {0}")]
    NoMatch(String),

    /// A blob does not have the hash by which it was asked for.
    #[error("the blob {wanted} came with other content, {found}")]
    BlobMismatch {
        /// What was asked for.
        wanted: BlobHash,
        /// What came.
        found: BlobHash,
    },
    /// A blob is longer than it may be.
    #[error("the blob {blob} is longer than {limit} bytes")]
    BlobTooLong {
        /// Its name.
        blob: BlobHash,
        /// Most bytes.
        limit: u64,
    },
    /// What a node tells of a deal contradicts the chain or itself.
    #[error("what the node tells of deal {deal} is false: {reason}")]
    FalseDeal {
        /// The deal.
        deal: B256,
        /// The contradiction.
        reason: String,
    },
    /// The chain holds no claim for the deal, or its endpoint has not seen it yet.
    #[error("the chain knows no claim of deal {0}")]
    Unclaimed(B256),
    /// Running the task again gave something else than the provider claimed.
    #[error("task {task} of deal {deal} was claimed with {claimed}, running it here gives {found}")]
    FalseResult {
        /// The deal.
        deal: B256,
        /// Index of the task in the job.
        task: u32,
        /// The claim.
        claimed: String,
        /// What this machine found.
        found: String,
    },
    /// The job ended without all its results.
    #[error("the job ended: {0}")]
    JobEnded(String),
    /// The time that the caller allowed has passed.
    #[error("{0} s have passed")]
    TimedOut(u64),
    /// An amount does not fit the field that it belongs in.
    #[error("{0} base units do not fit 128 bits")]
    TooLarge(U256),
    /// The network has no auction of reserved capacity.
    #[error("the network names no auction")]
    NoAuction,
    /// An order that the auction would refuse.
    #[error("the auction takes no such order: {0}")]
    AuctionOrder(#[source] outcry_protocol::auction::order::OrderError),
    /// The signer refused.
    #[error("the key could not sign: {0}")]
    Signing(String),
}

impl Coded for Error {
    fn code(&self) -> &'static Code {
        match self {
            Self::NetworkFile { .. } | Self::File { .. } => &codes::CONFIG_FILE,
            Self::UnknownToken(_) | Self::AuctionOrder(_) => &codes::CONFIG_ARGUMENT,
            Self::NoAuction => &codes::CONFIG_VALUE,
            Self::Amount { .. } | Self::TooLarge(_) => &codes::FUNDS_AMOUNT,
            Self::SecretExposed { .. } => &codes::CONFIG_SECRET,
            Self::NoSuchKey(_)
            | Self::KeyExists(_)
            | Self::KeyName(_)
            | Self::KeyFile { .. }
            | Self::WrongPassword(_)
            | Self::NoKey(_)
            | Self::Signing(_) => &codes::CONFIG_KEYSTORE,
            Self::Program { code, .. } | Self::Reverted { code, .. } => code,
            Self::Input(_) => &codes::PROGRAM_ARCHIVE,
            Self::Order(error) => error.code(),
            Self::Manifest(_) => &codes::BLOB_MANIFEST,
            Self::Engine { .. } => &codes::PROGRAM_ENGINE,
            Self::NodeUnreachable { .. } => &codes::NET_UNREACHABLE,
            Self::NodeAnswer { .. } => &codes::NET_MESSAGE,
            Self::WrongNetwork { .. } => &codes::CHAIN_WRONG,
            Self::Chain { .. } => &codes::CHAIN_UNREACHABLE,
            Self::WalletBalance { .. } => &codes::FUNDS_WALLET,
            Self::MarketBalance { .. } => &codes::FUNDS_INSUFFICIENT,
            Self::NothingPending => &codes::FUNDS_NOTHING_PENDING,
            Self::TooEarly { .. } => &codes::FUNDS_WITHDRAWAL_EARLY,
            Self::NoPrice(_) => &codes::MATCH_EMPTY,
            Self::NoMatch(_) => &codes::MATCH_TIMEOUT,
            Self::BlobMismatch { .. } => &codes::BLOB_HASH,
            Self::BlobTooLong { .. } => &codes::BLOB_SIZE,
            Self::FalseDeal { .. } => &codes::DEAL_CLAIM,
            Self::Unclaimed(_) => &codes::DEAL_STATE,
            Self::FalseResult { .. } => &codes::DEAL_RESULT,
            Self::JobEnded(_) => &codes::DEAL_FAILED,
            Self::TimedOut(_) => &codes::NET_TIMEOUT,
            // A code that this version does not know yet still reaches the user: `body` has it.
            Self::Refused { status, body } => codes::by_id(&body.code).unwrap_or(match status {
                500.. => &codes::NET_NOT_READY,
                _ => &codes::NET_REQUEST,
            }),
        }
    }
}

impl Error {
    /// Code, message and help as the API shows them; a node's refusal stays in its own words.
    pub fn body(&self) -> ErrorBody {
        match self {
            Self::Refused { body, .. } => body.clone(),
            other => ErrorBody {
                code: other.code().id.to_owned(),
                message: other.to_string(),
                help: other.code().help.to_owned(),
            },
        }
    }
}
