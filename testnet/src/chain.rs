//! The development chain: Anvil from the pinned npm package, with the rules of a real chain.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};

use crate::process::{Lifetime, Process};

/// Names the path of an `anvil` to use instead of the packaged one.
pub const ANVIL_VARIABLE: &str = "OUTCRY_ANVIL";

/// Where `anvil` is: the variable, the npm package of this checkout, or the PATH.
///
/// # Errors
/// None of them has one; the message says how to get it.
pub fn anvil_path() -> anyhow::Result<PathBuf> {
    if let Some(path) = env::var_os(ANVIL_VARIABLE) {
        return Ok(path.into());
    }
    let package = Path::new("contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(package);
    let on_path = env::var_os("PATH").into_iter().flat_map(|path| {
        env::split_paths(&path)
            .map(|folder| folder.join("anvil"))
            .collect::<Vec<_>>()
    });
    std::iter::once(checkout)
        .chain(on_path)
        .find(|path| path.is_file())
        .with_context(|| {
            format!("no anvil: run `npm ci` in contracts/, or set {ANVIL_VARIABLE} to one")
        })
}

/// Starts Anvil with a block per transaction and its clock `early_s` seconds behind, and returns
/// it with its HTTP endpoint. Pins the hardfork and switches the per-transaction gas
/// cap on: Anvil's default accepts what a real chain refuses.
///
/// # Errors
/// Anvil is missing, or does not say where it listens within ten seconds.
pub fn start(
    dir: &Path,
    port: u16,
    chain_id: u64,
    early_s: u64,
    lifetime: Lifetime,
) -> anyhow::Result<(Process, String)> {
    let log = dir.join("anvil.log");
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let command = vec![
        anvil_path()?.display().to_string(),
        "--host=127.0.0.1".into(),
        format!("--port={port}"),
        format!("--chain-id={chain_id}"),
        "--hardfork=osaka".into(),
        "--enable-tx-gas-limit".into(),
        "--slots-in-an-epoch=1".into(),
        format!("--timestamp={}", now.saturating_sub(early_s)),
    ];
    let process = Process::start("anvil", &command, &log, lifetime)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let said = fs::read_to_string(&log).unwrap_or_default();
        if let Some(line) = said
            .lines()
            .find_map(|line| line.strip_prefix("Listening on "))
        {
            return Ok((process, format!("http://{}", line.trim())));
        }
        if !process.is_running() || Instant::now() >= deadline {
            process.kill();
            bail!("anvil did not start; it said:\n{said}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
