//! Nodes: start them, ask them; what a verifier found.

use outcry_sdk::api::{
    AuditSeat, AuditorStatus, NodeStatus, ProviderStatus, Reward, TokenInfo, VerifierStatus,
};
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
            (
                "epoch",
                self.epoch.as_ref().map_or_else(
                    || "not in step with the chain yet".to_owned(),
                    |epoch| {
                        format!(
                            "block {}: book {}, {} matches {}",
                            epoch.block.number,
                            short(&epoch.book_digest),
                            epoch.matches,
                            short(&epoch.match_digest)
                        )
                    },
                ),
            ),
            ("shards", format!("{} of {}", self.shards, self.shard_count)),
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

/// Sums of several tokens.
fn sums(rewards: &[Reward]) -> String {
    if rewards.is_empty() {
        return "none".to_owned();
    }
    let shown = rewards
        .iter()
        .map(|reward| units::show(reward.amount, &reward.token));
    shown.collect::<Vec<_>>().join(", ")
}

fn seat(audits: &AuditorStatus) -> String {
    match &audits.seat {
        None => "none: not drawn for audits".to_owned(),
        Some(AuditSeat {
            capacity,
            open,
            since,
            until,
        }) => {
            let end = until.map_or_else(String::new, |until| {
                format!(", given up for claims from {until}")
            });
            format!("{open} of {capacity} taken, for claims from {since}{end}")
        }
    }
}

fn open_audits(audits: &AuditorStatus) -> String {
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let rows: Vec<_> = audits
        .open
        .iter()
        .map(|audit| {
            [
                short(&audit.claim_hash),
                short(&audit.deal_id),
                audit.task.to_string(),
                audit.phase.name().to_owned(),
                audit.until.to_string(),
                yes(audit.examined),
                yes(audit.committed),
                yes(audit.revealed),
                audit
                    .game
                    .map_or_else(|| "-".to_owned(), |game| short(&game)),
            ]
        })
        .collect();
    columns(
        [
            "AUDIT",
            "DEAL",
            "TASK",
            "PHASE",
            "UNTIL",
            "RUN",
            "COMMITTED",
            "REVEALED",
            "GAME",
        ],
        &rows,
    )
}

impl Show for VerifierStatus {
    fn table(&self) -> String {
        let coins = |wei| units::show(wei, &TokenInfo::coin());
        let account = self.account.map_or_else(
            || "none: false claims are only reported".to_owned(),
            |account| account.to_string(),
        );
        let mut text = pairs(&[
            ("account", account),
            ("stake", format!("{} base units", self.stake)),
            ("coins on the market", coins(self.coins)),
            ("claims seen", self.claims_seen.to_string()),
            ("waiting", self.queue.to_string()),
            (
                "tasks checked",
                format!(
                    "{}: {} right, {} wrong; {} unavailable",
                    self.tasks_checked,
                    self.tasks_agreed,
                    self.tasks_mismatched,
                    self.tasks_unavailable
                ),
            ),
            (
                "games",
                format!(
                    "{} running, {} won, {} lost",
                    self.games_running, self.games_won, self.games_lost
                ),
            ),
            (
                "bonds",
                format!(
                    "{} at risk, {} lost",
                    coins(self.bonds_at_risk),
                    coins(self.bonds_lost)
                ),
            ),
            ("rewards", sums(&self.rewards)),
            ("gas refunded", coins(self.gas_refunded)),
            ("seat", seat(&self.audits)),
            (
                "audits",
                format!(
                    "{} open, {} right, {} excused, {} silent, {} withheld, {} wrong",
                    self.audits.open.len(),
                    self.audits.right,
                    self.audits.excused,
                    self.audits.silent,
                    self.audits.withheld,
                    self.audits.wrong,
                ),
            ),
            ("earned by audits", sums(&self.audits.earned)),
            ("stake lost", format!("{} base units", self.audits.slashed)),
        ]);
        if !self.audits.open.is_empty() {
            text.push('\n');
            text.push_str(&open_audits(&self.audits));
        }
        if !self.wrong.is_empty() {
            let rows: Vec<_> = self
                .wrong
                .iter()
                .map(|claim| {
                    [
                        short(&claim.deal_id),
                        claim.task.to_string(),
                        short(&claim.provider),
                        claim.found_at.to_string(),
                        claim
                            .game
                            .map_or_else(|| "-".to_owned(), |game| short(&game)),
                    ]
                })
                .collect();
            text.push('\n');
            text.push_str(&columns(
                ["WRONG CLAIM", "TASK", "PROVIDER", "FOUND AT", "GAME"],
                &rows,
            ));
        }
        text
    }
}
