//! How long a small job takes on a one-second chain, what a deal costs in gas, and how many gossip
//! messages an order causes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::providers::{Provider as _, ProviderBuilder};
use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, pin_mut};
use outcry_protocol::shard::Sharding;
use outcry_sdk::api::JobState;
use outcry_sdk::{Client, JobBuilder, Limits, Network, Terms, Trust};
use serde::Serialize;

use crate::deployment::LOCAL;
use crate::gas::{self, Gas};
use crate::network::{EVERY_CLAIM, Plan, Testnet, get};
use crate::process::Lifetime;

/// Jobs measured.
const JOBS: usize = 200;
/// A new job each half second: about half of what six slots can take.
const SPACING: Duration = Duration::from_millis(500);
/// Longest wait for one job.
const PATIENCE: Duration = Duration::from_secs(120);
const BLOCK_TIME_S: u64 = 1;

/// Median and 99th percentile.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    /// Half of the jobs took at most this.
    pub median: f64,
    /// All but one in a hundred took at most this.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

/// What `target/bench/market.json` holds.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Jobs measured, each of one task.
    pub jobs: usize,
    /// Seconds between blocks.
    pub block_time_s: u64,
    /// From the submission to the event that the deal has opened on the chain, in seconds.
    pub submit_to_open_s: Spread,
    /// From the submission to the first event by which the program runs or has run, in seconds.
    pub submit_to_running_s: Spread,
    /// The same in blocks.
    pub submit_to_running_blocks: Spread,
    /// From the submission to the payment on the chain, re-execution by the buyer included.
    pub submit_to_paid_s: Spread,
    /// Gas by kind of transaction.
    pub gas: BTreeMap<String, Gas>,
    /// Gas of all transactions divided by the deals.
    pub gas_per_deal: f64,
    /// Gossip messages sent by all nodes together, divided by the orders gossiped.
    pub gossip_messages_per_order: f64,
    /// Nodes of the network.
    pub nodes: usize,
}

struct Times {
    open: Duration,
    running: Duration,
    paid: Duration,
}

/// Runs the benchmark on a network of its own and writes the report.
///
/// # Errors
/// The network does not come up, or a job does not end.
pub async fn run(out: &Path) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let plan = Plan {
        dir: dir.path().join("network"),
        providers: 3,
        verifiers: 1,
        slots: 2,
        reserved: 0,
        interpreters: 0,
        shards: Sharding::ONE,
        block_time_s: BLOCK_TIME_S,
        windows: LOCAL,
        cheats: BTreeMap::new(),
        sample_bps: EVERY_CLAIM,
        lifetime: Lifetime::Tied,
    };
    let testnet = Testnet::up(&plan, &|line| eprintln!("{line}")).await?;
    let report = measure(&testnet).await;
    testnet.down();
    let report = report?;
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(out, serde_json::to_vec_pretty(&report)?)?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}

async fn measure(testnet: &Testnet) -> anyhow::Result<Report> {
    let chain = ProviderBuilder::new().connect_http(testnet.rpc.parse()?);
    let network = Network::load(&testnet.network_toml())?;
    let client = Arc::new(Client::new(network, Some(testnet.signer("buyer")?))?);
    let wasm = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/ends.wasm"))?;
    let source = client.check().await?.peer_key;
    let job = Arc::new(
        JobBuilder::wasm("ends", wasm)
            .args(["print", "hello"])
            .limits(Limits {
                cycles: 100_000_000,
                memory_mib: 64,
                output_bytes: 1 << 16,
                ..Limits::default()
            })
            .build(source)?,
    );
    // Compiled once beforehand, by the provider and here: what is measured is the market.
    let engine = Arc::new(outcry_sdk::Engine::new(None)?);
    engine.prepare(&job)?;
    one(&client, &job, &engine).await.context("the first job")?;

    let first_block = chain.get_block_number().await?;
    let sent_before = gossip_sent(testnet).await?;
    let orders_before = orders(testnet).await?;
    let mut running = Vec::new();
    for index in 0..JOBS {
        let (client, job, engine) = (Arc::clone(&client), Arc::clone(&job), Arc::clone(&engine));
        running.push(tokio::spawn(
            async move { one(&client, &job, &engine).await },
        ));
        if (index + 1) % 20 == 0 {
            eprintln!("{} of {JOBS} jobs submitted", index + 1);
        }
        tokio::time::sleep(SPACING).await;
    }
    let mut times = Vec::new();
    for job in running {
        times.push(job.await??);
    }
    let orders = orders(testnet).await? - orders_before;
    let sent = gossip_sent(testnet).await? - sent_before;
    let gas = gas::by_kind(&chain, testnet.market, testnet.game, first_block).await?;
    let all: u64 = gas.values().map(|gas| gas.total).sum();
    let seconds = |pick: fn(&Times) -> Duration| {
        spread(times.iter().map(|t| pick(t).as_secs_f64()).collect())
    };
    let running_s = seconds(|t| t.running);
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    Ok(Report {
        jobs: JOBS,
        block_time_s: BLOCK_TIME_S,
        submit_to_open_s: seconds(|t| t.open),
        submit_to_running_blocks: Spread {
            median: running_s.median / BLOCK_TIME_S as f64,
            p99: running_s.p99 / BLOCK_TIME_S as f64,
            max: running_s.max / BLOCK_TIME_S as f64,
        },
        submit_to_running_s: running_s,
        submit_to_paid_s: seconds(|t| t.paid),
        gas,
        gas_per_deal: all as f64 / JOBS as f64,
        gossip_messages_per_order: sent / orders.max(1.0),
        nodes: testnet.apis.len(),
    })
}

/// One job from its submission to its payment.
async fn one(
    client: &Client,
    job: &outcry_sdk::Job,
    engine: &Arc<outcry_sdk::Engine>,
) -> anyhow::Result<Times> {
    let terms = Terms {
        queue_timeout_s: 30,
        execution_timeout_s: Some(30),
        ..Terms::default()
    };
    let bid = client.bid(job, &terms, None).await?;
    let id = client.submit(job, &bid, |_| {}).await?;
    let submitted = Instant::now();
    let trust = Trust::Recheck(Arc::clone(engine));
    let (mut open, mut running, mut paid) = (None, None, None);
    let watch = async {
        let events = client.node().job_events(id, 0);
        pin_mut!(events);
        while let Some(event) = events.try_next().await? {
            let elapsed = submitted.elapsed();
            match event.state {
                JobState::Open
                | JobState::Matched
                | JobState::Cancelled
                | JobState::Expired
                | JobState::Failed => {}
                JobState::Funded | JobState::Starting => _ = open.get_or_insert(elapsed),
                JobState::Running
                | JobState::Interrupted
                | JobState::Verifying
                | JobState::Challenged => {
                    open.get_or_insert(elapsed);
                    running.get_or_insert(elapsed);
                }
                JobState::Settled => {
                    open.get_or_insert(elapsed);
                    running.get_or_insert(elapsed);
                    paid.get_or_insert(elapsed);
                }
            }
            if matches!(
                event.event,
                outcry_sdk::api::JobEventKind::DealAccepted { .. }
            ) {
                paid.get_or_insert(elapsed);
            }
            if paid.is_some() {
                break;
            }
        }
        anyhow::Ok(())
    };
    let patience = outcry_sdk::Patience {
        match_within: PATIENCE,
        finish_within: PATIENCE,
    };
    let buy = client.finish(id, job, &trust, patience, |_| {});
    let (watched, bought) =
        tokio::time::timeout(PATIENCE, futures::future::join(watch, buy)).await?;
    watched?;
    bought?;
    Ok(Times {
        open: open.context("no deal opened")?,
        running: running.context("the program never ran")?,
        paid: paid.context("nothing was paid")?,
    })
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank in a short list"
)]
fn spread(mut values: Vec<f64>) -> Spread {
    values.sort_by(f64::total_cmp);
    // Nearest rank.
    let at = |share: f64| {
        let rank = (share * values.len() as f64).ceil().max(1.0) as usize;
        values.get(rank - 1).copied().unwrap_or_default()
    };
    Spread {
        median: at(0.5),
        p99: at(0.99),
        max: at(1.0),
    }
}

/// Gossip messages that all nodes have sent.
async fn gossip_sent(testnet: &Testnet) -> anyhow::Result<f64> {
    sum(testnet, "outcry_net_gossip_topic_msg_sent_counts_total").await
}

/// Orders that nodes themselves brought into the network, bids and offers.
async fn orders(testnet: &Testnet) -> anyhow::Result<f64> {
    sum(testnet, "outcry_net_gossip_topic_msg_published_total").await
}

/// A counter summed over its labels and all nodes.
async fn sum(testnet: &Testnet, name: &str) -> anyhow::Result<f64> {
    let fetched: Vec<String> = futures::stream::iter(testnet.apis.values())
        .then(|api| async move {
            anyhow::Ok(
                get(&format!("{api}/metrics"))
                    .await?
                    .error_for_status()?
                    .text()
                    .await?,
            )
        })
        .try_collect()
        .await?;
    let mut total = 0.0;
    let mut found = false;
    for line in fetched
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| line.starts_with(name))
    {
        found = true;
        total += line.rsplit(' ').next().unwrap_or_default().parse::<f64>()?;
    }
    ensure!(found, "no node has a metric {name}");
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let spread = spread((1..=200).rev().map(f64::from).collect());
        assert_eq!(
            (spread.median, spread.p99, spread.max),
            (100.0, 198.0, 200.0)
        );
    }
}
