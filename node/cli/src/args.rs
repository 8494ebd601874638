//! Every verb and flag, defined once: parser, help, man pages, completions and the reference in
//! `node/cli/docs` all come from here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::verbs::prices::{Interval, Moment, Speed};

/// A marketplace for verifiable compute.
#[derive(Debug, Parser)]
#[command(
    name = "outcry",
    version,
    about = "Buy and sell verifiable compute",
    long_about = "Buy and sell verifiable compute.\n\nA buyer signs a bid, a provider signs an offer; the match opens an escrow on an EVM chain, the \
                  program runs, and the result is paid unless somebody proves it wrong.\n\nThe result of a command goes to stdout and nothing else does; progress \
                  and questions go to stderr.\nExit codes: 0 done, 1 the job failed, 2 usage, 3 no match in time, 4 payment, 5 network, 124 timed out.\n\
                  What wins: flags, then OUTCRY_* variables, then the configuration file, then the network file.",
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Flags that every verb takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The network.toml of the network to use
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "OUTCRY_NETWORK",
        hide_env_values = true
    )]
    pub(crate) network: Option<PathBuf>,
    /// Folder of keys, configuration and compiled code [default: ~/.outcry]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "OUTCRY_HOME",
        hide_env_values = true
    )]
    pub(crate) home: Option<PathBuf>,
    /// Configuration file of the client [default: config.toml in the home folder]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "OUTCRY_CONFIG",
        hide_env_values = true
    )]
    pub(crate) config: Option<PathBuf>,
    /// HTTP API of the node to talk to
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "OUTCRY_API",
        hide_env_values = true
    )]
    pub(crate) api: Option<String>,
    /// JSON-RPC endpoint of the chain
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "OUTCRY_RPC",
        hide_env_values = true
    )]
    pub(crate) rpc: Option<String>,
    /// Name of the key that signs, from the keystore
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "OUTCRY_KEY",
        hide_env_values = true,
        conflicts_with = "key_file"
    )]
    pub(crate) key: Option<String>,
    /// File of the key that signs: keystore v3, or 64 hexadecimal digits, of mode 0600
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "OUTCRY_KEY_FILE",
        hide_env_values = true
    )]
    pub(crate) key_file: Option<PathBuf>,
    /// File of mode 0600 with the key's password [else: OUTCRY_PASSWORD, else it is asked for]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "OUTCRY_PASSWORD_FILE",
        hide_env_values = true
    )]
    pub(crate) password_file: Option<PathBuf>,
    /// Token, by symbol or address; `coin` is the chain's own [default: the network's first]
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "OUTCRY_TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,
    /// Form of the result
    #[arg(
        long,
        short,
        global = true,
        value_name = "FORMAT",
        env = "OUTCRY_OUTPUT",
        hide_env_values = true
    )]
    pub(crate) output: Option<Format>,
    /// Show what would be signed and sent, and stop there
    #[arg(long, global = true)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long, short, global = true)]
    pub(crate) yes: bool,
    /// No progress on stderr
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// Form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs: one document, or one line per event
    Json,
    /// The same as YAML
    Yaml,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a program on the market and wait for its checked result
    ///
    /// PROGRAM is core WebAssembly with WASI preview 1, or a .py script, which the published CPython
    /// program runs. Without --out the program's stdout is the result; with it, all that it wrote
    /// lies in that folder. The exit code is 0 if every task exited with 0, and 1 if not.
    Run(Run),
    /// Submit a job described in a file, and print its id
    Submit(Submit),
    /// List jobs
    Ls(Ls),
    /// Show a job and its deals
    Status(JobId),
    /// Show the events of a job
    Logs(Logs),
    /// Fetch the result of a job, check it and accept it
    Get(Get),
    /// Cancel a job's bid, or all orders of the account: nothing more is matched
    Cancel(Cancel),
    /// Say why a job is or is not served, and the cheapest change that would help
    Explain(JobId),
    /// Say what a job would cost now, and who would run it
    Quote(JobSource),
    /// Run one task here, count its cycles, and say what the job would cost
    Estimate(JobSource),
    /// The market: live orders, settled deals, prices
    #[command(subcommand)]
    Market(Market),
    /// Move tokens from the wallet to the market
    Deposit(Deposit),
    /// Ask for tokens back, or take what was asked for once the delay has passed
    Withdraw(Withdraw),
    /// Show balances in the wallet and on the market
    Balance(Balance),
    /// Reserved capacity: buy and sell units of pools by auction
    ///
    /// Rounds follow each other. In the first part of a round accounts commit to orders with a deposit, in
    /// the second they reveal them, in the third somebody posts how the round is cleared, at uniform prices.
    /// What was bought is held to the end of the season.
    #[command(subcommand)]
    Reserve(Reserve),
    /// Keys that sign, in the keystore
    #[command(subcommand)]
    Keys(Keys),
    /// Offer capacity
    #[command(subcommand)]
    Provider(Provider),
    /// Re-execute other people's claims, and challenge those that are false
    #[command(subcommand)]
    Verifier(Verifier),
    /// Games about claims
    #[command(subcommand)]
    Dispute(Dispute),
    /// Run a node
    #[command(subcommand)]
    Node(Node),
    /// The execution engine, without any market
    #[command(subcommand)]
    Machine(Machine),
    /// The configuration
    #[command(subcommand)]
    Config(Config),
    /// Print a shell's completion script
    Completions(Completions),
    /// Write the manual pages
    Man(Man),
}

/// What to pay and what is needed. Everything has a default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Terms of the bid")]
pub(crate) struct Terms {
    /// Most that the whole job may cost, in units of the token [default: what half of the live offers would charge at the cycle limit]
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) max_price: Option<String>,
    /// Most cycles of one task [default: 1000000000000]
    #[arg(long, value_name = "N")]
    pub(crate) limit_cycles: Option<u64>,
    /// Expected cycles of one task: ranks offers, never bills [default: a tenth of the limit]
    #[arg(long, value_name = "N")]
    pub(crate) expected_cycles: Option<u64>,
    /// Memory that a task reserves, and uses at most [default: 1024]
    #[arg(long, value_name = "MIB")]
    pub(crate) memory: Option<u32>,
    /// Disk that a task reserves [default: 0]
    #[arg(long, value_name = "MIB")]
    pub(crate) disk: Option<u32>,
    /// Outgoing traffic that a task reserves [default: 0]
    #[arg(long, value_name = "MIB")]
    pub(crate) egress: Option<u32>,
    /// Most bytes of one task's output archive [default: 67108864]
    #[arg(long, value_name = "BYTES")]
    pub(crate) limit_output: Option<u64>,
    /// What an earlier result is worth, in units of the token per second [default: 0]
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) value_of_time: Option<String>,
    /// Acceptable regions, 0 to 255 [default: all]
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub(crate) region: Vec<u8>,
    /// Attribute bits that an offer must have, 0 to 255
    #[arg(long, value_name = "BIT", value_delimiter = ',')]
    pub(crate) attribute: Vec<u8>,
    /// The provider's collateral in basis points of the escrow [default: 40000]
    #[arg(long, value_name = "BPS")]
    pub(crate) collateral: Option<u32>,
    /// Chance that a deal is audited, in basis points: 10000 audits every deal [default: 0]
    #[arg(long, value_name = "BPS")]
    pub(crate) audit_rate: Option<u16>,
    /// What an audit of a deal pays to auditors and provider, in units of the token; each deal locks it, and gives it back if it is not drawn [default: with a rate, what running a task in the interpreter costs, for each of them]
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) audit_fee: Option<String>,
    /// Blocks after a deal's opening in which an offer at least 1% better may take its place, at most 32; nothing is run before [default: 0, which runs at once]
    #[arg(long, value_name = "BLOCKS")]
    pub(crate) rank_window: Option<u16>,
    /// Seconds that the provider has to fetch and start [default: 120]
    #[arg(long, value_name = "S")]
    pub(crate) queue_timeout: Option<u32>,
    /// Seconds that the execution of a deal may take [default: the cycle limit at 250 million cycles a second, at least 60]
    #[arg(long, value_name = "S")]
    pub(crate) execution_timeout: Option<u32>,
    /// Seconds that the bid stays valid [default: 3600]
    #[arg(long, value_name = "S")]
    pub(crate) expires_in: Option<u64>,
    /// Paid to whoever opens or times out a deal of the bid, in units of the token [default: 0]
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) tip: Option<String>,
}

/// A program with its input.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ProgramArgs {
    /// Folder of input files, mounted at /in; given N times, task i gets the i-th folder
    #[arg(long, value_name = "DIR")]
    pub(crate) input: Vec<PathBuf>,
    /// Number of tasks; each sees its index as OUTCRY_TASK and their number as OUTCRY_TASKS [default: the number of input folders, or 1]
    #[arg(long, value_name = "N")]
    pub(crate) tasks: Option<u32>,
    /// Variable of the program's environment
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// The CPython program that runs a .py script
    #[arg(
        long,
        value_name = "FILE",
        env = "OUTCRY_PYTHON",
        hide_env_values = true
    )]
    pub(crate) python: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Program: .wasm or .py
    #[arg(value_name = "PROGRAM")]
    pub(crate) program: PathBuf,
    #[command(flatten)]
    pub(crate) input: ProgramArgs,
    /// Folder for all that the program wrote; must not exist or be empty
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Accept the results without running the tasks again on this machine
    #[arg(long)]
    pub(crate) no_recheck: bool,
    /// Give up waiting after so many seconds; the job goes on
    #[arg(long, value_name = "S", default_value_t = 3600)]
    pub(crate) wait: u64,
    /// Give up if no provider has taken the job after so many seconds, and cancel it
    #[arg(long, value_name = "S", default_value_t = 120)]
    pub(crate) match_within: u64,
    #[command(flatten)]
    pub(crate) terms: Terms,
    /// Arguments of the program
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Submit {
    /// Job description in YAML; - reads it from stdin
    #[arg(long, short, value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// A job that is not submitted: a file, or a program with flags.
#[derive(Debug, Args)]
pub(crate) struct JobSource {
    /// Program: .wasm or .py
    #[arg(value_name = "PROGRAM", required_unless_present = "file")]
    pub(crate) program: Option<PathBuf>,
    /// Job description in YAML, in place of a program and flags; - reads it from stdin
    #[arg(long, short, value_name = "FILE", conflicts_with = "program")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) input: ProgramArgs,
    #[command(flatten)]
    pub(crate) terms: Terms,
    /// Arguments of the program
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Jobs of every buyer, not of this account alone
    #[arg(long)]
    pub(crate) all: bool,
    /// Only jobs in this state
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<outcry_sdk::api::JobState>,
    /// At most so many, newest first
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct JobId {
    /// The job: the hash of its bid, or the first digits of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    pub(crate) job: JobId,
    /// Go on until the job ends
    #[arg(long, short)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) job: JobId,
    /// Folder for all that the program wrote; must not exist or be empty
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Accept the results without running the tasks again on this machine
    #[arg(long)]
    pub(crate) no_recheck: bool,
    /// Do not accept: the provider is paid when the challenge window has passed
    #[arg(long)]
    pub(crate) no_accept: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The job: the hash of its bid, or the first digits of it
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub(crate) id: Option<String>,
    /// Every order that the account has signed so far
    #[arg(long, conflicts_with = "id")]
    pub(crate) all: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Market {
    /// Live bids and offers
    Book,
    /// Deals whose price was paid, newest first
    Trades {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Prices that settled deals paid, by interval
    ///
    /// First, highest, lowest and last price per 10^9 cycles, start fees included, and the volume, in
    /// intervals of Unix time that have deals. They follow from the chain alone and are the same on every
    /// node. In JSON, prices are base units per 10^18 cycles.
    History(History),
    /// What settled deals paid per 10^9 cycles and per GiB-hour, and what a machine would have earned
    ///
    /// Both prices divide all that was paid. With --speed: what a machine earns whose slots run deals all
    /// the time, and what it earns if they are used as the slots on the market were.
    Value(Value),
    /// What live offers ask
    Prices,
    /// Clear an auction of reserved capacity from a file, without any node
    ///
    /// Prints uniform prices, who gets what, the welfare and how far from the best it can be at most.
    /// What the result claims is recomputed by code that the clearing does not share.
    Clear(Clear),
}

/// Which deals.
#[derive(Debug, Args)]
pub(crate) struct Series {
    /// Only deals in this region, 0 to 255
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<u8>,
    /// Only deals of this class of resources: the least power of two of memory that holds what they reserve, from 256m to 4p
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Option<outcry_protocol::class::Class>,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// How long ago it begins, as 90m, 24h, 7d, or the Unix second
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub(crate) since: Moment,
    /// Where it ends [default: at the newest block]
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Moment>,
    /// Length of an interval: 1m, 5m or 15m of the last two days; 1h, 4h or 1d of two years
    #[arg(long, value_name = "LENGTH", default_value = "1h")]
    pub(crate) interval: Interval,
    #[command(flatten)]
    pub(crate) series: Series,
    /// At most so many intervals, oldest first
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Value {
    /// How long ago it begins, as 24h, 7d, or the Unix second; whole hours count
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub(crate) since: Moment,
    /// Where it ends [default: at the newest block]
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Moment>,
    #[command(flatten)]
    pub(crate) series: Series,
    /// Cycles per second of each slot of a machine, as `outcry provider benchmark` measured: 1.2G, 800M
    #[arg(long, value_name = "CYCLES")]
    pub(crate) speed: Option<Speed>,
    /// Slots of the machine [default: 1]
    #[arg(long, value_name = "N", requires = "speed", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) slots: Option<u32>,
    /// Memory of each of its slots: it earns with deals that fit [default: any]
    #[arg(long, value_name = "MIB", requires = "speed")]
    pub(crate) memory: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Clear {
    /// Pools, supply and orders as text, one line each; `-` is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Random word of the auction, which decides between equals: 64 hexadecimal digits [default: zero]
    #[arg(long, value_name = "HEX")]
    pub(crate) beacon: Option<String>,
    /// Clear it once more as a program of Outcry's machine, compare the results, and say how many cycles it took
    #[arg(long)]
    pub(crate) in_machine: bool,
}

/// Verbs of the auction of reserved capacity.
#[derive(Debug, Subcommand)]
pub(crate) enum Reserve {
    /// Show what is traded
    Pools,
    /// Show the running round and when its phases end
    Rounds,
    /// Move tokens from the wallet into the auction
    Deposit(Deposit),
    /// Move free tokens from the auction to the wallet
    Withdraw(Deposit),
    /// Commit to an order that buys, or to the one of a file
    ///
    /// The order is stored in the data folder first, readable by its owner alone: until it is revealed the
    /// chain has only its hash, and who loses it loses the deposit. What the deposit lacks is
    /// moved from the wallet.
    Bid(ReserveBid),
    /// Commit to an order that sells
    Sell(ReserveSell),
    /// Reveal the stored orders of rounds in which it is time to
    Reveal,
    /// List the stored orders that are not revealed
    Ls,
    /// Show the orders of a round, its prices, and what each order pays
    Show {
        /// Number of the round
        #[arg(value_name = "ROUND")]
        round: u64,
    },
    /// Show tokens and units that the account has in the auction
    Holdings,
    /// Bind held units of the running season to a provider that sold them; jobs can be drawn on them then
    ///
    /// Bound units can no longer be sold. `outcry reserve show ROUND` lists who sold what.
    Bind {
        #[command(flatten)]
        sold: SoldBy,
        /// How many
        #[arg(long, value_name = "N", default_value_t = 1)]
        units: u64,
    },
    /// Draw a job on a bound unit, at no price, and print its id
    ///
    /// The provider has to run it in time, or pays twice what is left of the unit's price. `outcry logs`,
    /// `outcry get` and so on take the id as that of any job.
    Draw(Box<ReserveDraw>),
    /// Show a draw
    Drawn {
        /// Name of the draw
        #[arg(value_name = "DRAW")]
        draw: alloy::primitives::B256,
        /// If its provider did not serve it in time, have it end: the unit's price comes back, with the penalty
        #[arg(long)]
        end: bool,
    },
    /// Take back the deposit of an order that sold new capacity, once its season is over
    Reclaim {
        /// Number of the round
        #[arg(value_name = "ROUND")]
        round: u64,
        /// Number of the order in the round
        #[arg(value_name = "ORDER")]
        order: u16,
    },
    /// Burn deposits of a round whose orders were not revealed in time, whoever made them
    Forfeit {
        /// Number of the round
        #[arg(value_name = "ROUND")]
        round: u64,
    },
    /// Do what anybody may do for a round: post its result, disprove false ones, settle it
    Tend {
        /// Number of the round [default: the running one and the one before]
        #[arg(value_name = "ROUND")]
        round: Option<u64>,
        /// Go on without an end, and look again after so many seconds
        #[arg(long, value_name = "S", conflicts_with = "round")]
        every: Option<u64>,
    },
}

/// When an order is committed to.
#[derive(Debug, Args)]
pub(crate) struct Sealing {
    /// Identical lots, each of which is served or not
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) lots: u32,
    /// Wait until orders are revealed, and reveal this one
    #[arg(long)]
    pub(crate) wait: bool,
}

/// What a provider sold.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct SoldBy {
    /// Number of the round in which it was sold
    #[arg(value_name = "ROUND")]
    pub(crate) round: u64,
    /// Number of the provider's order in the round
    #[arg(value_name = "ORDER")]
    pub(crate) order: u16,
    /// Number of the pool
    #[arg(long, value_name = "N")]
    pub(crate) pool: u16,
}

#[derive(Debug, Args)]
pub(crate) struct ReserveDraw {
    #[command(flatten)]
    pub(crate) sold: SoldBy,
    #[command(flatten)]
    pub(crate) job: JobSource,
}

#[derive(Debug, Args)]
pub(crate) struct ReserveBid {
    /// Order in YAML or JSON, in place of --pool, --units and --limit
    #[arg(value_name = "FILE", required_unless_present = "pool", conflicts_with_all = ["pool", "units", "limit", "lots"])]
    pub(crate) file: Option<PathBuf>,
    /// Number of the pool
    #[arg(long, value_name = "N", requires = "limit")]
    pub(crate) pool: Option<u16>,
    /// Units of the pool in a lot
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) units: u32,
    /// Most that a lot pays for all intervals together, in units of the token
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) limit: Option<String>,
    #[command(flatten)]
    pub(crate) sealing: Sealing,
}

#[derive(Debug, Args)]
pub(crate) struct ReserveSell {
    /// Number of the pool
    #[arg(long, value_name = "N")]
    pub(crate) pool: u16,
    /// Units of the pool in a lot
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) units: u32,
    /// Least that a lot is paid for all intervals together, in units of the token
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) ask: String,
    /// New capacity of a provider, not units that the account holds
    #[arg(long)]
    pub(crate) new: bool,
    /// New capacity at asks that rise from --ask to twice as much, the more of the lots is used
    #[arg(long, conflicts_with_all = ["new", "units"])]
    pub(crate) curve: bool,
    #[command(flatten)]
    pub(crate) sealing: Sealing,
}

#[derive(Debug, Args)]
pub(crate) struct Deposit {
    /// Amount in units of the token
    #[arg(value_name = "AMOUNT")]
    pub(crate) amount: String,
}

#[derive(Debug, Args)]
pub(crate) struct Withdraw {
    /// Amount in units of the token to ask for; without it, what was asked for is taken
    #[arg(value_name = "AMOUNT")]
    pub(crate) amount: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Balance {
    /// Account [default: that of the key]
    #[arg(value_name = "ADDRESS")]
    pub(crate) address: Option<alloy::primitives::Address>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make a key
    New {
        /// Name of the key
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Store an existing key
    Import {
        /// Name of the key
        #[arg(value_name = "NAME")]
        name: String,
        /// File of mode 0600 with the key: keystore v3, or 64 hexadecimal digits [default: it is asked for]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// List the keys
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Provider {
    /// Write a node configuration, by questions or by flags
    Setup(Setup),
    /// Run a node that offers capacity
    Start(Start),
    /// What the node's provider is doing
    Status,
    /// Stop offering; open deals are finished
    Drain,
    /// Measure the speed to sign, on code that misses the caches
    Benchmark {
        /// Seconds to measure for
        #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
        seconds: u64,
        /// Jobs that run at once, as provider.slots
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
        slots: u32,
    },
    /// Check everything that a provider needs, and say what to do
    Doctor {
        /// The node's configuration file
        #[arg(long, value_name = "FILE")]
        node_config: Option<PathBuf>,
    },
    /// What came in, per token
    Earnings,
}

#[derive(Debug, Args)]
pub(crate) struct Setup {
    /// File to write; must not exist
    #[arg(long, value_name = "FILE", default_value = "outcry.toml")]
    pub(crate) file: PathBuf,
    /// Folder for all that the node must not lose
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// File of mode 0600 with the account's key; made if it does not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) account_key_file: Option<PathBuf>,
    /// Jobs that run at once
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<u32>,
    /// Memory of a slot
    #[arg(long, value_name = "MIB")]
    pub(crate) memory: Option<u32>,
    /// Region number
    #[arg(long, value_name = "N")]
    pub(crate) region: Option<u8>,
    /// Price of a task, in units of the token
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) start_fee: Option<String>,
    /// Price of 10^12 cycles, in units of the token
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) cycle_price: Option<String>,
    /// Cycles per second to sign [default: measured now]
    #[arg(long, value_name = "N")]
    pub(crate) speed: Option<u64>,
    /// Address and port of the node's HTTP API
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<std::net::SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// The node's configuration file
    #[arg(
        long,
        value_name = "FILE",
        env = "OUTCRY_NODE_CONFIG",
        hide_env_values = true
    )]
    pub(crate) node_config: Option<PathBuf>,
    /// Folder for all that the node must not lose
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Set one key of the configuration, for example provider.slots=2
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verifier {
    /// Run a node that re-executes claims, and challenges those that are false
    Start(Start),
    /// What the node's verifier has found, risks and has won
    Status,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Dispute {
    /// List the games about claims, the latest first
    Ls,
    /// Show one: what is still in dispute, the clocks, who moves, and each move's transaction
    Show {
        /// The game, or the first digits of its id
        #[arg(value_name = "ID")]
        id: String,
        /// Run the task here, say who is right, and name the function and the instruction on which the
        /// parties part, as far as they have narrowed it down
        #[arg(long)]
        steps: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// Run a node with the roles of its configuration
    Start(Start),
    /// What the node says of itself
    Status,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Machine {
    /// Run a program here, as a provider would
    ///
    /// Prints status, exit_code, cycles, output_root, result_hash and wall_ms. result_hash is the
    /// hash over status, exit code, output root and output length that a claim holds. The exit code
    /// is 0 if the program exited with 0, and 1 if not.
    ///
    /// The step-by-step machine, which disputes are about, is slower, gives the same, and says how many
    /// steps it took.
    Run(MachineRun),
    /// Show steps of a run, one a line
    ///
    /// A line shows the instruction with the values that it reads, and the state's hash before it.
    /// Functions have the names of the program's name section, if it has one.
    Steps(MachineSteps),
    /// Prove one step of a run
    ///
    /// Prints the hashes of the states before and after, the proof, and the calldata with which any
    /// deployed StepVerifier gives the second hash from the first.
    Prove(MachineProve),
    /// Check a program's run: natively, in the machine, and by random steps on the contract's bytecode
    ///
    /// The contract runs in an EVM inside this process. The exit code is 0 if there is no mismatch, and
    /// 1 if there is one. The same seed gives the same steps.
    Check(MachineCheck),
    /// Run WebAssembly test scripts natively, in the machine and on the contract's bytecode
    ///
    /// Prints a report for each script. The exit code is 0 if everything agrees and every assertion
    /// holds, and 1 if not.
    Wast(MachineWast),
    /// Link a program, and print what a job commits to
    ///
    /// Dapps pin these values: image_root is signed with every job, blake3 names the program's blob.
    Link {
        /// Program: .wasm
        #[arg(value_name = "PROG")]
        program: PathBuf,
    },
}

/// A task that runs here.
#[derive(Debug, Args)]
pub(crate) struct LocalTask {
    /// Program: .wasm or .py
    #[arg(value_name = "PROG")]
    pub(crate) program: PathBuf,
    /// Folder of input files, mounted at /in
    #[arg(long, value_name = "DIR")]
    pub(crate) input: Option<PathBuf>,
    /// Index of the task, which the program sees as OUTCRY_TASK; OUTCRY_TASKS is one more
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..1 << 20))]
    pub(crate) task: u32,
    /// Most cycles
    #[arg(long, value_name = "N", default_value_t = 1_000_000_000_000)]
    pub(crate) limit_cycles: u64,
    /// Memory
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    pub(crate) memory: u32,
    /// Most frame slots of 8 bytes in use at once
    #[arg(long, value_name = "N", default_value_t = outcry_sdk::Limits::default().slots)]
    pub(crate) slots: u64,
    /// Most bytes of the output archive
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    pub(crate) limit_output: u64,
    /// Variable of the program's environment
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// The CPython program that runs a .py script
    #[arg(
        long,
        value_name = "FILE",
        env = "OUTCRY_PYTHON",
        hide_env_values = true
    )]
    pub(crate) python: Option<PathBuf>,
    /// Arguments of the program
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct MachineRun {
    #[command(flatten)]
    pub(crate) task: LocalTask,
    /// Folder for all that the program wrote; must not exist or be empty
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// How to execute
    #[arg(long, value_name = "ENGINE", default_value = "native")]
    pub(crate) engine: Engine,
    /// Give up after so many seconds; says nothing about the program
    #[arg(long, value_name = "S", default_value_t = 3600)]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct MachineSteps {
    #[command(flatten)]
    pub(crate) task: LocalTask,
    /// The first step to show
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) from: u64,
    /// How many steps to show
    #[arg(long, value_name = "K", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) count: u64,
}

#[derive(Debug, Args)]
pub(crate) struct MachineProve {
    #[command(flatten)]
    pub(crate) task: LocalTask,
    /// The step
    #[arg(long, value_name = "N")]
    pub(crate) step: u64,
}

#[derive(Debug, Args)]
pub(crate) struct MachineCheck {
    #[command(flatten)]
    pub(crate) task: LocalTask,
    /// Random steps to execute on the contract, beside the first and the last
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=10_000_000))]
    pub(crate) samples: u64,
    /// Which random steps
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct MachineWast {
    /// Test scripts
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Which steps the contract executes: every, sample:N (one in N), or none
    #[arg(long, value_name = "STEPS", default_value = "every")]
    pub(crate) chain: outcry_audit::OnChain,
}

/// How to execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// Compiled to machine code
    Native,
    /// Step by step, as the chain would
    Machine,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Print the effective configuration, of the client or of a node
    Print(ConfigArgs),
    /// Check a configuration, of the client or of a node
    Check(ConfigArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// A node's configuration file, in place of the client's
    #[arg(long, value_name = "FILE")]
    pub(crate) node_config: Option<PathBuf>,
    /// Print a node configuration that shows every key
    #[arg(long, conflicts_with = "node_config")]
    pub(crate) example: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Folder to write to, one page per verb
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}
