//! What can go wrong for a client, with stable codes and what to do about it.

use std::path::PathBuf;

use alloy::primitives::{B256, U256};

use crate::api::{BlobHash, ErrorBody};

/// What kind of failure an [`Error`] is; the command line turns it into its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request itself is wrong: a file, a value, a name.
    Usage,
    /// Nobody serves the bid.
    NoMatch,
    /// Not enough money, or a transaction that the chain refuses.
    Payment,
    /// A node, the chain or a peer could not be reached or answered wrongly.
    Network,
    /// The job was run and did not succeed, or its result is false.
    Failed,
    /// Time ran out.
    TimedOut,
}

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
    #[error("the program is refused: {0}")]
    Program(String),
    /// Inputs that can't be made into an archive.
    #[error("the input is refused: {0}")]
    Input(String),
    /// A job or bid that the protocol refuses.
    #[error("the order is refused: {0}")]
    Order(String),
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
        /// Its address.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The node answered something that is not an answer to this request.
    #[error("the node at {url} answered with something else than {expected}: {reason}")]
    NodeAnswer {
        /// What was asked.
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
        /// Endpoint.
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
    },
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
    /// The signer refused.
    #[error("the key could not sign: {0}")]
    Signing(String),
}

impl Error {
    /// Stable code: a letter for what it concerns and a number that never changes its meaning.
    pub fn code(&self) -> &str {
        match self {
            Self::NetworkFile { .. } => "F-101",
            Self::UnknownToken(_) => "F-102",
            Self::Amount { .. } => "F-103",
            Self::File { .. } => "F-104",
            Self::TooLarge(_) => "F-105",
            Self::SecretExposed { .. } => "K-101",
            Self::NoSuchKey(_) => "K-102",
            Self::KeyExists(_) => "K-103",
            Self::KeyName(_) => "K-104",
            Self::KeyFile { .. } => "K-105",
            Self::WrongPassword(_) => "K-106",
            Self::NoKey(_) => "K-107",
            Self::Signing(_) => "K-108",
            Self::Program(_) => "J-101",
            Self::Input(_) => "J-102",
            Self::Order(_) => "J-103",
            Self::Engine { .. } => "J-104",
            Self::JobEnded(_) => "J-105",
            Self::TimedOut(_) => "J-106",
            Self::NodeUnreachable { .. } => "N-101",
            Self::NodeAnswer { .. } => "N-102",
            Self::WrongNetwork { .. } => "N-103",
            Self::Chain { .. } => "N-104",
            Self::BlobMismatch { .. } => "N-105",
            Self::BlobTooLong { .. } => "N-106",
            Self::FalseDeal { .. } => "N-107",
            Self::WalletBalance { .. } => "P-101",
            Self::MarketBalance { .. } => "P-102",
            Self::Reverted { .. } => "P-103",
            Self::TooEarly { .. } => "P-104",
            Self::NoPrice(_) => "M-101",
            Self::NoMatch(_) => "M-102",
            Self::FalseResult { .. } => "R-101",
            Self::Refused { body, .. } => &body.code,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> &str {
        match self {
            Self::NetworkFile { .. } => {
                "give the network.toml of the network that you want to use; `outcry-testnet up --dir DIR` writes one for a local network"
            }
            Self::UnknownToken(_) => "name a token of the network file's [[tokens]] by symbol or address",
            Self::Amount { .. } => "amounts are in units of the token, for example 1.25",
            Self::File { .. } => "check the path and its permissions",
            Self::TooLarge(_) => "choose a smaller amount",
            Self::SecretExposed { .. } => "make it yours alone: chmod 600 FILE",
            Self::NoSuchKey(_) => "`outcry keys list` shows the keys, `outcry keys new NAME` makes one",
            Self::KeyExists(_) => "choose another name; keys are never overwritten",
            Self::KeyName(_) => "use 1 to 64 letters, digits, `-` and `_`",
            Self::KeyFile { .. } => {
                "a key file is Web3 keystore v3 JSON, or 64 hexadecimal digits in a file of mode 0600"
            }
            Self::WrongPassword(_) => "try again; OUTCRY_PASSWORD or --password-file give it without asking",
            Self::NoKey(_) => {
                "make one with `outcry keys new NAME`, or name one with --key NAME, --key-file FILE or OUTCRY_ACCOUNT_KEY"
            }
            Self::Signing(_) => "check the key; nothing was sent",
            Self::Program(_) => {
                "programs are core WebAssembly with WASI preview 1, for example from `clang --target=wasm32-wasip1`"
            }
            Self::Input(_) => "files need plain relative names of at most 251 bytes; links and devices can't be sent",
            Self::Order(_) => "change the value; protocol/SPEC.md gives the limits",
            Self::Engine { .. } => "free memory or disk and try again; the claim stays open meanwhile",
            Self::JobEnded(_) => "`outcry status ID` shows every deal, `outcry explain ID` what stood in the way",
            Self::TimedOut(_) => "the job goes on: `outcry status ID` shows it, `outcry get ID` fetches its result",
            Self::NodeUnreachable { .. } => "check that the node runs and that --api or the network file names it",
            Self::NodeAnswer { .. } => "the address may belong to something else, or the node to another version",
            Self::WrongNetwork { .. } => "use the network file of that network, or another node",
            Self::Chain { .. } => "check the endpoint (rpc in the network file, --rpc) and try again",
            Self::BlobMismatch { .. } | Self::BlobTooLong { .. } => {
                "the bytes were discarded; try again, the node will ask another peer"
            }
            Self::FalseDeal { .. } => "do not accept; ask another node with --api",
            Self::WalletBalance { .. } => "send tokens to the account, or choose a lower --max-price",
            Self::MarketBalance { .. } => "`outcry deposit AMOUNT` moves tokens from the wallet to the market",
            Self::Reverted { .. } => "nothing was changed; the reason names the rule",
            Self::TooEarly { .. } => "run the command again after that time",
            Self::NoPrice(_) => "give --max-price, or wait until somebody offers",
            Self::NoMatch(_) => "`outcry explain ID` names the cheapest change that would match",
            Self::FalseResult { .. } => {
                "nothing was accepted: the claim can be challenged until its window ends; keep the output"
            }
            Self::Refused { body, .. } => &body.help,
        }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NetworkFile { .. }
            | Self::UnknownToken(_)
            | Self::Amount { .. }
            | Self::File { .. }
            | Self::TooLarge(_)
            | Self::SecretExposed { .. }
            | Self::NoSuchKey(_)
            | Self::KeyExists(_)
            | Self::KeyName(_)
            | Self::KeyFile { .. }
            | Self::WrongPassword(_)
            | Self::NoKey(_)
            | Self::Signing(_)
            | Self::Program(_)
            | Self::Input(_)
            | Self::Order(_) => Kind::Usage,
            Self::NoPrice(_) | Self::NoMatch(_) => Kind::NoMatch,
            Self::WalletBalance { .. }
            | Self::MarketBalance { .. }
            | Self::Reverted { .. }
            | Self::TooEarly { .. } => Kind::Payment,
            Self::NodeUnreachable { .. }
            | Self::NodeAnswer { .. }
            | Self::WrongNetwork { .. }
            | Self::Chain { .. }
            | Self::BlobMismatch { .. }
            | Self::BlobTooLong { .. }
            | Self::FalseDeal { .. } => Kind::Network,
            Self::FalseResult { .. } | Self::JobEnded(_) | Self::Engine { .. } => Kind::Failed,
            Self::TimedOut(_) => Kind::TimedOut,
            Self::Refused { status, body } => match body.code.as_bytes().first() {
                Some(b'P') => Kind::Payment,
                Some(b'M') => Kind::NoMatch,
                _ if *status >= 500 => Kind::Network,
                _ => Kind::Usage,
            },
        }
    }
}
