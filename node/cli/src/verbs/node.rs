//! Nodes: start them, ask them; what a verifier found.

use outcry_protocol::codes;
use outcry_sdk::api::{Dispute, NodeStatus, ProviderStatus, VerifierStatus};
use outcry_sdk::units;
use serde::Serialize;

use crate::args;
use crate::console::{Console, Show, columns, pairs, short};
use crate::failure::Failure;
use crate::host::{Host, Start};
use crate::settings::Settings;

/// Runs a node until it is told to stop. `role` is added to what the configuration says.
pub(crate) fn start(
    args: &args::Start,
    role: Option<&str>,
    settings: &Settings,
    host: &dyn Host,
) -> Result<u8, Failure> {
    let mut start = requested(args, settings)?;
    if let Some(role) = role {
        let roles = roles_of(&host.effective_config(start.clone())?);
        if !roles.iter().any(|known| known == role) {
            // A gateway is what a node is when nothing else is said; it is kept only if it was said.
            let said = args.node_config.is_some();
            let all: Vec<_> = roles
                .into_iter()
                .filter(|_| said)
                .chain([role.to_owned()])
                .collect();
            let list = toml::Value::from(all).to_string();
            start.settings.insert(0, ("roles".to_owned(), list));
        }
    }
    host.start(start)?;
    Ok(0)
}

/// The node that the flags ask for.
pub(crate) fn requested(args: &args::Start, settings: &Settings) -> Result<Start, Failure> {
    let path = |path: &std::path::Path| path.display().to_string();
    let mut own = Vec::new();
    if let Some(network) = &settings.global.network {
        own.push(("network".to_owned(), path(network)));
    }
    if let Some(rpc) = &settings.global.rpc {
        own.push(("chain.rpc".to_owned(), rpc.clone()));
    }
    if let Some(dir) = &args.data_dir {
        own.push(("data_dir".to_owned(), path(dir)));
    }
    for pair in &args.set {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Failure::usage(format!(
                "--set {pair}: give KEY=VALUE, for example provider.slots=2"
            ))
        })?;
        own.push((key.to_owned(), value.to_owned()));
    }
    Ok(Start {
        config: args.node_config.clone(),
        settings: own,
    })
}

fn roles_of(config: &str) -> Vec<String> {
    let table: toml::Table = config.parse().unwrap_or_default();
    let roles = table
        .get("roles")
        .and_then(toml::Value::as_array)
        .cloned()
        .unwrap_or_default();
    roles
        .iter()
        .filter_map(|role| role.as_str().map(str::to_owned))
        .collect()
}

pub(crate) async fn status(settings: &Settings, console: &mut Console<'_>) -> Result<u8, Failure> {
    let status = settings.reader()?.check().await?;
    console.result(settings.format(), &status)?;
    Ok(0)
}

pub(crate) async fn provider_status(
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let status = settings.reader()?.node().provider().await?;
    console.result(settings.format(), &status)?;
    Ok(0)
}

pub(crate) async fn drain(settings: &Settings, console: &mut Console<'_>) -> Result<u8, Failure> {
    settings.confirm("Stop offering?", console)?;
    if settings.global.dry_run {
        return Ok(0);
    }
    let status = settings.reader()?.node().drain().await?;
    console.result(settings.format(), &status)?;
    Ok(0)
}

pub(crate) async fn earnings(
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let status = settings.reader()?.node().provider().await?;
    console.result(settings.format(), &EarningsView(status.earnings))?;
    Ok(0)
}

pub(crate) async fn verifier_status(
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let status = settings.reader()?.node().verifier().await?;
    console.result(settings.format(), &status)?;
    Ok(0)
}

pub(crate) async fn disputes(
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let disputes = settings.reader()?.node().disputes().await?;
    console.result(settings.format(), &DisputeList(disputes))?;
    Ok(0)
}

pub(crate) async fn dispute(
    id: &str,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let disputes = settings.reader()?.node().disputes().await?;
    let wanted = id.to_lowercase();
    let mut found = disputes.into_iter().filter(|dispute| {
        dispute
            .id
            .to_string()
            .starts_with(wanted.trim_end_matches('…'))
    });
    match (found.next(), found.next()) {
        (Some(dispute), None) => console.result(settings.format(), &dispute)?,
        (None, _) => {
            return Err(Failure::new(
                &codes::DEAL_UNKNOWN,
                format!("the node knows no dispute {id}"),
            ));
        }
        (Some(_), Some(_)) => {
            return Err(Failure::usage(format!(
                "several disputes begin with {id}; give more digits"
            )));
        }
    }
    Ok(0)
}

impl Show for NodeStatus {
    fn table(&self) -> String {
        let roles: Vec<_> = self
            .roles
            .iter()
            .map(|role| format!("{role:?}").to_lowercase())
            .collect();
        pairs(&[
            ("version", self.version.clone()),
            ("chain", self.chain_id.to_string()),
            ("market", self.market.to_string()),
            (
                "block",
                format!("{} at {}", self.block.number, self.block.timestamp),
            ),
            ("machine", self.machine_version.to_string()),
            ("peer key", self.peer_key.to_string()),
            ("peers", self.peers.to_string()),
            ("roles", roles.join(", ")),
        ])
    }
}

impl Show for ProviderStatus {
    fn table(&self) -> String {
        let mut text = pairs(&[
            ("account", self.address.to_string()),
            ("state", format!("{:?}", self.state).to_lowercase()),
            (
                "slots",
                format!("{} of {} busy", self.slots_busy, self.slots),
            ),
            ("speed", format!("{} cycles/s", self.speed)),
            ("offers", self.offers.len().to_string()),
            (
                "deals",
                format!(
                    "{} open, {} settled, {} failed",
                    self.deals_open, self.deals_settled, self.deals_failed
                ),
            ),
        ]);
        if let Some(problem) = &self.problem {
            text.push_str(&format!(
                "problem  [{}] {}\n         {}\n",
                problem.code, problem.message, problem.help
            ));
        }
        text
    }
}

#[derive(Serialize)]
struct EarningsView(Vec<outcry_sdk::api::Earnings>);

impl Show for EarningsView {
    fn table(&self) -> String {
        let rows: Vec<_> = self
            .0
            .iter()
            .map(|row| {
                let plain = |amount| units::plain(amount, &row.token);
                [
                    row.token.symbol.clone(),
                    plain(row.paid),
                    plain(row.pending),
                    plain(row.locked),
                    plain(row.slashed),
                ]
            })
            .collect();
        columns(["TOKEN", "PAID", "PENDING", "LOCKED", "SLASHED"], &rows)
    }
}

impl Show for VerifierStatus {
    fn table(&self) -> String {
        pairs(&[
            ("claims seen", self.claims_seen.to_string()),
            ("tasks checked", self.tasks_checked.to_string()),
            ("right", self.tasks_agreed.to_string()),
            ("wrong", self.tasks_mismatched.to_string()),
            ("unavailable", self.tasks_unavailable.to_string()),
            ("waiting", self.queue.to_string()),
        ])
    }
}

#[derive(Serialize)]
struct DisputeList(Vec<Dispute>);

impl Show for DisputeList {
    fn table(&self) -> String {
        let rows: Vec<_> = self
            .0
            .iter()
            .map(|dispute| {
                [
                    short(&dispute.id),
                    short(&dispute.deal_id),
                    dispute.task.to_string(),
                    short(&dispute.provider),
                    dispute.found_at.to_string(),
                ]
            })
            .collect();
        columns(["DISPUTE", "DEAL", "TASK", "PROVIDER", "FOUND AT"], &rows)
    }
}

impl Show for Dispute {
    fn table(&self) -> String {
        pairs(&[
            ("dispute", self.id.to_string()),
            ("deal", self.deal_id.to_string()),
            ("task", self.task.to_string()),
            ("provider", self.provider.to_string()),
            (
                "claimed",
                format!("{} cycles, {}", self.claimed_cycles, self.claimed_inner),
            ),
            (
                "found",
                format!("{} cycles, {}", self.found_cycles, self.found_inner),
            ),
            ("found at", self.found_at.to_string()),
            ("challengeable until", self.challengeable_until.to_string()),
        ])
    }
}
