//! A node of the product, with lying engines.

use std::path::Path;

use anyhow::anyhow;
use outcry_daemon::Config;
use tokio_util::sync::CancellationToken;

use super::Cheat;
use crate::network::binary;

/// Runs a node until it is told to stop. Workers are the product's own.
///
/// # Errors
/// The configuration is refused, or the node does not start or can't go on.
pub async fn run(config: &Path, cheat: Cheat) -> anyhow::Result<()> {
    let config = Config::load(Some(config), [], &[])?;
    outcry_daemon::install_log(&config.log)?;
    let stop = CancellationToken::new();
    outcry_daemon::stop::on_signals(stop.clone())?;
    let worker = binary("outcry")?;
    let running = outcry_daemon::start_with(
        config,
        worker,
        |_| None,
        |engines| cheat.around(engines),
        stop,
    )
    .await?;
    running.announce_ready();
    running.finish().await.map_err(|reason| anyhow!(reason))
}
