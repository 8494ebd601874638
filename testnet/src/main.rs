//! `outcry-testnet`: a local network in one command, the demo, and the market's benchmarks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};
use clap::{Parser, Subcommand};
use outcry_protocol::shard::Sharding;
use outcry_testnet::cheat::{self, Cheat, Kind};
use outcry_testnet::network::{EVERY_CLAIM, Plan, Testnet};
use outcry_testnet::process::Lifetime;
use outcry_testnet::{bench, demo, deployment, gossip};

/// A local Outcry network of real processes, on loopback.
#[derive(Debug, Parser)]
#[command(name = "outcry-testnet", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start a network; `outcry --network DIR/network.toml …` then works
    Up {
        /// Provider nodes, from cheap and slow to dear and fast
        #[arg(long, default_value_t = 3)]
        providers: usize,
        /// Verifier nodes
        #[arg(long, default_value_t = 1)]
        verifiers: usize,
        /// Slots of each provider
        #[arg(long, default_value_t = 1)]
        slots: u32,
        /// Of these, held back for jobs drawn on capacity that the provider sold in the auction
        #[arg(long, default_value_t = 0)]
        reserved: u32,
        /// Shards of gossip: 1, 2, 4, 8, 16, 32 or 64; the nodes take part in all of them
        #[arg(long, default_value = "1", value_parser = shards)]
        shards: Sharding,
        /// Seconds between blocks
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
        block_time: u64,
        /// Folder of the network
        #[arg(long)]
        dir: PathBuf,
        /// Return once it is up and leave it running until `down`
        #[arg(long)]
        detach: bool,
        /// The cheapest provider lies: wrong-output, wrong-cycles, wrong-state-at-random-step,
        /// silent, stalls-at-move-N, answers-inconsistently
        #[arg(long, value_name = "KIND")]
        cheat: Option<Kind>,
        /// Its choices follow from this; drawn and shown if it is not given
        #[arg(long, requires = "cheat")]
        seed: Option<u64>,
    },
    /// Stop the network in a folder
    Down {
        /// Folder of the network
        #[arg(long)]
        dir: PathBuf,
    },
    /// Run the demo
    Demo {
        /// Folder for the network, the results and summary.json; replaced
        #[arg(long, default_value = "target/demo")]
        dir: PathBuf,
    },
    /// Measure the market: latencies of 200 small jobs, gas, gossip
    Bench {
        /// File of the report
        #[arg(long, default_value = "target/bench/market.json")]
        out: PathBuf,
    },
    /// Measure gossip: many nodes in this process, over links with delays
    Gossip {
        /// Nodes
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(2..=1000))]
        nodes: u16,
        /// File of the report
        #[arg(long, default_value = "target/bench/gossip.json")]
        out: PathBuf,
    },
    /// Run a node that lies; part of a network that was started with `--cheat`
    #[command(hide = true)]
    CheatingNode {
        /// Configuration of the node
        #[arg(long)]
        node_config: PathBuf,
        /// How it lies
        #[arg(long)]
        cheat: Kind,
        /// Its choices follow from this
        #[arg(long)]
        seed: u64,
    },
    /// Run a command beside a network, with OUTCRY_NETWORK set
    With {
        /// The command
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

fn shards(text: &str) -> Result<Sharding, String> {
    let number: u16 = text.parse().map_err(|error| format!("{error}"))?;
    Sharding::try_from(number).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    let verb = Cli::parse().verb;
    // A node's log is as its configuration says, and a hundred nodes' is too much.
    if !matches!(verb, Verb::CheatingNode { .. } | Verb::Gossip { .. }) {
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .init();
    }
    let run =
        || -> anyhow::Result<ExitCode> { tokio::runtime::Runtime::new()?.block_on(run(verb)) };
    run().unwrap_or_else(|error| {
        eprintln!("outcry-testnet: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Up {
            providers,
            verifiers,
            slots,
            reserved,
            shards,
            block_time,
            dir,
            detach,
            cheat,
            seed,
        } => {
            let cheat = cheat.map(|kind| {
                let seed = seed.unwrap_or_else(rand::random);
                // Its terms are the first.
                ("provider-0".to_owned(), Cheat { kind, seed })
            });
            let plan = Plan {
                dir,
                providers,
                verifiers,
                slots,
                reserved,
                interpreters: 0,
                shards,
                block_time_s: block_time,
                windows: deployment::LOCAL,
                cheats: cheat.into_iter().collect(),
                sample_bps: EVERY_CLAIM,
                lifetime: if detach {
                    Lifetime::Detached
                } else {
                    Lifetime::Tied
                },
            };
            let testnet = Testnet::up(&plan, &|line| eprintln!("{line}")).await?;
            println!("{}", testnet.network_toml().display());
            eprintln!(
                "try: outcry --network {} market book",
                testnet.network_toml().display()
            );
            if !detach {
                eprintln!("running until Ctrl-C");
                tokio::signal::ctrl_c().await?;
                testnet.down();
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Down { dir } => {
            Testnet::load(&dir)?.down();
            Ok(ExitCode::SUCCESS)
        }
        Verb::Demo { dir } => Ok(if demo::run(&dir).await? {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }),
        Verb::Bench { out } => {
            bench::run(&out).await?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Gossip { nodes, out } => {
            gossip::run(usize::from(nodes), &out).await?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::CheatingNode {
            node_config,
            cheat,
            seed,
        } => {
            let cheat = Cheat { kind: cheat, seed };
            cheat::node::run(&node_config, cheat).await?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::With { command } => with(&command).await,
    }
}

async fn with(command: &[String]) -> anyhow::Result<ExitCode> {
    let dir = tempfile::tempdir()?;
    let plan = Plan {
        dir: dir.path().join("network"),
        providers: 2,
        verifiers: 0,
        slots: 1,
        reserved: 0,
        interpreters: 0,
        shards: Sharding::ONE,
        block_time_s: 1,
        windows: deployment::LOCAL,
        cheats: BTreeMap::new(),
        sample_bps: EVERY_CLAIM,
        lifetime: Lifetime::Tied,
    };
    let testnet = Testnet::up(&plan, &|line| eprintln!("{line}")).await?;
    let (program, args) = command.split_first().context("no command")?;
    let status = Command::new(program)
        .args(args)
        .env("OUTCRY_NETWORK", testnet.network_toml())
        .status();
    testnet.down();
    let status = status.with_context(|| format!("{program} can't be started"))?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(ExitCode::SUCCESS)
}
