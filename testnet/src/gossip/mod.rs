//! Gossip at scale: many real nodes in one process over links with delays, and what is measured
//! there.
//!
//! A node here is the daemon's network stack, admission, state and book ([`member::Member`]); the
//! chain stands still and answers at once. Programs, deals and the API take no part.

pub mod links;
pub mod measure;
pub mod member;
pub mod model;
pub mod orders;

use std::path::Path;
use std::time::Duration;

use outcry_protocol::shard::Sharding;
use serde::Serialize;

use links::Delays;
use measure::{Crowd, Healing, Intake, Joining, Propagation, Sharded, intake, joining, sharded};
use model::{Calibration, Comparison, Forecast};

/// Delays of the simulated network, one way: 100 ms on average.
pub const DELAYS: Delays = Delays {
    seed: 1,
    min: Duration::from_millis(50),
    max: Duration::from_millis(150),
};

/// Shards of the network with more than one, and most of its nodes.
const SHARDS: u16 = 16;
const SHARDED: usize = 40;
/// Nodes of the larger network.
const MODELLED: usize = 10_000;

/// What `target/bench/gossip.json` holds.
#[derive(Debug, Serialize)]
pub struct Report {
    /// One node's admission.
    pub intake: Intake,
    /// One joiner.
    pub joining: Joining,
    /// Orders through the network.
    pub propagation: Propagation,
    /// The network cut and healed.
    pub healing: Healing,
    /// A network with shards.
    pub sharded: Sharded,
    /// What the model takes over from these.
    pub calibration: Calibration,
    /// The model of as many nodes.
    pub model: Forecast,
    /// The model's figures divided by the real nodes'.
    pub model_to_measured: Comparison,
    /// The model of a larger network.
    pub forecast: Forecast,
}

/// Runs everything and writes the report.
///
/// # Errors
/// Orders do not arrive.
pub async fn run(nodes: usize, out: &Path) -> anyhow::Result<()> {
    let intake = intake(10_000, 4).await?;
    eprintln!("{intake:?}");
    let joining = joining(10_000).await?;
    eprintln!("{joining:?}");
    let mut crowd = Crowd::start(nodes, DELAYS).await?;
    eprintln!("{nodes} nodes are up");
    let link_delay_s = (DELAYS.min + DELAYS.max).as_secs_f64() / 2.0;
    let propagation = crowd.propagation(300, 10.0, link_delay_s).await?;
    eprintln!("{propagation:?}");
    let healing = crowd.healing(50).await?;
    eprintln!("{healing:?}");
    crowd.stop().await;
    let sharding = Sharding::try_from(SHARDS)?;
    let sharded = sharded(nodes.min(SHARDED), DELAYS, sharding, 320, 10.0).await?;
    eprintln!("{sharded:?}");
    let calibration = Calibration::of(&propagation, &DELAYS);
    let model = calibration.forecast(nodes, &DELAYS);
    let report = Report {
        model_to_measured: Comparison::of(&model, &propagation, &healing),
        forecast: calibration.forecast(MODELLED, &DELAYS),
        calibration,
        model,
        intake,
        joining,
        propagation,
        healing,
        sharded,
    };
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(out, serde_json::to_vec_pretty(&report)?)?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}
