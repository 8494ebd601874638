//! Configuration: flags over environment over file over what the network's file says.
//!
//! `outcry.example.toml` shows every key with its meaning; it is also the list of names from which
//! the environment variables are derived, and a test holds it against the structures below.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use outcry_protocol::class::{Class, ClassRange};
use outcry_protocol::codes::{self, Code, Coded};
use outcry_protocol::limits::{BID_LIFE_S_MAX, CYCLE_LIMIT_MAX, OFFER_LIFE_S_MAX};
use outcry_protocol::shard::{ShardSet, Sharding};
use outcry_protocol::types::Resources;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// The documented file that shows every key.
pub const EXAMPLE: &str = include_str!("../outcry.example.toml");

/// Why a configuration is refused. Nothing has been started or written when it is.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key that the node does not know.
    #[error("{origin}: {message}")]
    UnknownKey {
        /// The file, variable or flag.
        origin: String,
        /// Names the key and its place.
        message: String,
    },
    /// A value of the wrong kind or out of range.
    #[error("{origin}: {message}")]
    BadValue {
        /// The file, variable or flag.
        origin: String,
        /// Names the key and what it may be.
        message: String,
    },
    /// A value that the chosen roles need is missing.
    #[error("`{key}` is missing: {help}")]
    Missing {
        /// The key's path.
        key: &'static str,
        /// How to provide it.
        help: &'static str,
    },
    /// A file that can't be read.
    #[error("can't read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A secret that others can read.
    #[error("{path} holds a secret but has mode {mode:03o}: run `chmod 600` on it")]
    ExposedSecret {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key's file can't be opened.
    #[error(transparent)]
    Key(#[from] outcry_sdk::Error),
    /// A secret that is not what it should be. The content is never quoted.
    #[error("{origin} does not hold {expected}")]
    BadSecret {
        /// The file or variable.
        origin: String,
        /// What was expected there.
        expected: &'static str,
    },
}

impl Coded for ConfigError {
    fn code(&self) -> &'static Code {
        match self {
            Self::UnknownKey { .. } => &codes::CONFIG_KEY,
            Self::BadValue { .. } | Self::Missing { .. } => &codes::CONFIG_VALUE,
            Self::Unreadable { .. } => &codes::CONFIG_FILE,
            Self::ExposedSecret { .. } => &codes::CONFIG_SECRET,
            Self::Key(error) => error.code(),
            Self::BadSecret { .. } => &codes::CONFIG_KEYSTORE,
        }
    }
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Offers capacity, runs tasks, claims.
    Provider,
    /// Re-executes claims.
    Verifier,
    /// Serves buyers: holds their blobs, gossips their bids, watches their deals.
    Gateway,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Provider => "provider",
            Self::Verifier => "verifier",
            Self::Gateway => "gateway",
        })
    }
}

/// An amount in base units: a decimal string, or a number where TOML's 63 bits suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(pub u128);

impl Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "an amount in base units, as a decimal string")]
        enum Form {
            Number(u64),
            Decimal(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(value) => Ok(Self(value.into())),
            Form::Decimal(text) => text.parse().map(Self).map_err(|_| {
                serde::de::Error::custom(format!(
                    "`{text}` is not an amount in base units, a decimal string below 2^128"
                ))
            }),
        }
    }
}

/// Everything that can be set. Optional values are resolved against the network's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What the node does.
    #[serde(deserialize_with = "one_or_many_roles")]
    pub roles: BTreeSet<Role>,
    /// Everything the node must not lose.
    pub data_dir: Option<PathBuf>,
    /// The network's file.
    pub network: Option<PathBuf>,
    /// File with the chain account's key.
    pub account_key_file: Option<PathBuf>,
    /// File with the password of that key, if it is encrypted.
    pub account_password_file: Option<PathBuf>,
    /// The chain.
    pub chain: Chain,
    /// Peers.
    pub net: Net,
    /// Which orders the node hears.
    pub gossip: Gossip,
    /// The HTTP API.
    pub api: Api,
    /// Worker processes.
    pub executor: Executor,
    /// Programs, inputs, outputs.
    pub blobs: Blobs,
    /// What a provider offers.
    pub provider: Provider,
    /// Reserved capacity that the account has sold.
    pub reserve: Reserve,
    /// What a gateway does.
    pub gateway: Gateway,
    /// What a verifier checks.
    pub verifier: Verifier,
    /// How games are played.
    pub dispute: Dispute,
    /// How long the node remembers.
    pub retention: Retention,
    /// Log lines.
    pub log: Log,
}

/// A list of roles, or one name, which is what a flag or a variable holds.
fn one_or_many_roles<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeSet<Role>, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "roles among \"provider\", \"verifier\", \"gateway\""
    )]
    enum Form {
        One(Role),
        Many(BTreeSet<Role>),
    }
    Ok(match Form::deserialize(deserializer)? {
        Form::One(role) => [role].into(),
        Form::Many(roles) => roles,
    })
}

impl Default for Config {
    fn default() -> Self {
        Self {
            roles: [Role::Gateway].into(),
            data_dir: None,
            network: None,
            account_key_file: None,
            account_password_file: None,
            chain: Chain::default(),
            net: Net::default(),
            gossip: Gossip::default(),
            api: Api::default(),
            executor: Executor::default(),
            blobs: Blobs::default(),
            provider: Provider::default(),
            reserve: Reserve::default(),
            gateway: Gateway::default(),
            verifier: Verifier::default(),
            dispute: Dispute::default(),
            retention: Retention::default(),
            log: Log::default(),
        }
    }
}

/// The chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Chain {
    /// JSON-RPC endpoint.
    pub rpc: Option<String>,
    /// Further endpoints over HTTP, asked in this order when one does not answer.
    pub rpc_fallbacks: Vec<String>,
    /// Block in which the market was deployed: reading starts there.
    pub start_block: u64,
    /// Blocks above an event before money is spent on it.
    pub confirmations: u64,
    /// Milliseconds between looks at the head.
    pub poll_ms: u64,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            rpc: None,
            rpc_fallbacks: Vec::new(),
            start_block: 0,
            confirmations: 0,
            poll_ms: 250,
        }
    }
}

/// Peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Net {
    /// Multiaddresses to listen on.
    pub listen: Vec<String>,
    /// Multiaddresses to join through.
    pub bootstrap: Vec<String>,
}

impl Default for Net {
    fn default() -> Self {
        Self {
            listen: vec!["/ip4/127.0.0.1/tcp/0".into()],
            bootstrap: Vec::new(),
        }
    }
}

/// Which orders the node hears, where the network's gossip has more than one shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gossip {
    /// Of orders for one region, those for these; for all if there is none.
    pub regions: BTreeSet<u8>,
    /// Orders of these classes.
    pub classes: ClassRange,
}

impl Default for Gossip {
    fn default() -> Self {
        Self {
            regions: BTreeSet::new(),
            classes: ClassRange::ALL,
        }
    }
}

/// The HTTP API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    /// Address and port; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// File with the bearer token.
    pub token_file: Option<PathBuf>,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7480)),
            token_file: None,
        }
    }
}

/// Worker processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Executor {
    /// Folder of linked images and compiled code.
    pub cache_dir: Option<PathBuf>,
    /// Its bound.
    pub cache_mib_max: u64,
    /// Memory of a worker beyond what the job reserves.
    pub overhead_mib: u64,
    /// Seconds that linking and compiling may take.
    pub prepare_s_max: u64,
}

impl Default for Executor {
    fn default() -> Self {
        Self {
            cache_dir: None,
            cache_mib_max: 4096,
            overhead_mib: 3072,
            prepare_s_max: 300,
        }
    }
}

/// Programs, inputs and outputs on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Blobs {
    /// Most MiB kept.
    pub mib_max: u64,
    /// Most MiB of one blob.
    pub blob_mib_max: u64,
}

impl Default for Blobs {
    fn default() -> Self {
        Self {
            mib_max: 16_384,
            blob_mib_max: 1024,
        }
    }
}

/// What a provider offers. Prices as in `Offer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Provider {
    /// Jobs that run at once.
    pub slots: u32,
    /// Payment token.
    pub token: Option<Address>,
    /// Region number.
    pub region: u8,
    /// Attribute bits.
    pub attributes: BTreeSet<u8>,
    /// Memory of a slot.
    pub memory_mib: u32,
    /// Disk of a slot.
    pub disk_mib: u32,
    /// Egress of a slot.
    pub egress_mib: u32,
    /// Base units per task.
    pub start_fee: Amount,
    /// Base units per 10^18 cycles.
    pub cycle_price: Amount,
    /// The same per MiB of memory reserved.
    pub memory_price: Amount,
    /// The same per MiB of disk reserved.
    pub disk_price: Amount,
    /// The same per MiB of egress reserved.
    pub egress_price: Amount,
    /// Cycles per second.
    pub speed: u64,
    /// Largest cycle limit of a task.
    pub cycle_limit_max: u64,
    /// Most collateral of one deal, base units.
    pub collateral_max: Amount,
    /// Most collateral of all open deals, base units.
    pub value_at_risk_max: Amount,
    /// Tip for who sends this provider's transactions, base units.
    pub tip: Amount,
    /// Seconds that an offer lives.
    pub offer_s: u64,
}

impl Provider {
    /// What a slot has.
    #[must_use]
    pub fn slot(&self) -> Resources {
        Resources {
            memoryMib: self.memory_mib,
            diskMib: self.disk_mib,
            gpuClass: 0,
            gpuCount: 0,
            egressMib: self.egress_mib,
        }
    }
}

impl Default for Provider {
    fn default() -> Self {
        Self {
            slots: 1,
            token: None,
            region: 0,
            attributes: BTreeSet::new(),
            memory_mib: 1024,
            disk_mib: 4096,
            egress_mib: 1024,
            start_fee: Amount(0),
            cycle_price: Amount(1_000_000_000_000_000_000),
            memory_price: Amount(0),
            disk_price: Amount(0),
            egress_price: Amount(0),
            speed: 300_000_000,
            cycle_limit_max: CYCLE_LIMIT_MAX,
            collateral_max: Amount(1_000_000_000_000_000_000_000_000),
            value_at_risk_max: Amount(1_000_000_000_000_000_000_000_000),
            tip: Amount(0),
            offer_s: 600,
        }
    }
}

/// Reserved capacity, which the account sells in the auction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reserve {
    /// Of a provider's slots, those that are held back for jobs drawn on capacity that was sold.
    pub slots: u32,
    /// Whether the node tends rounds of the auction.
    pub tend: bool,
    /// Folder of the account's orders that are to be revealed.
    pub orders_dir: Option<PathBuf>,
}

/// What a gateway does for buyers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gateway {
    /// Whether it sends the timeout of overdue deals.
    pub send_timeouts: bool,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            send_timeouts: true,
        }
    }
}

/// Which claims a verifier re-executes, and what it stakes on what it finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Verifier {
    /// Share of claims, in basis points.
    pub sample_bps: u16,
    /// Claims of a lower price are passed over, base units of the deal's token.
    pub price_min: Amount,
    /// Claims re-executed at once.
    pub checks_at_once: u32,
    /// Claims that wait for that.
    pub checks_waiting_max: u32,
    /// Whether false claims are challenged, and not only reported.
    pub challenge: bool,
    /// Challenges that run at once.
    pub games_max: u32,
    /// Most wei of one challenge's bond.
    pub bond_max: Amount,
    /// Most wei of all running challenges' bonds.
    pub value_at_risk_max: Amount,
    /// Audits that it is drawn for at a time, as far as its stake suffices; 0: none. Needs `challenge`.
    pub audits: u8,
}

impl Default for Verifier {
    fn default() -> Self {
        Self {
            sample_bps: 10_000,
            price_min: Amount(0),
            checks_at_once: 1,
            checks_waiting_max: 1024,
            challenge: true,
            games_max: 32,
            bond_max: Amount(1_000_000_000_000_000_000),
            value_at_risk_max: Amount(10_000_000_000_000_000_000),
            audits: 4,
        }
    }
}

/// How games are played, by verifiers and by providers whose claims are challenged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dispute {
    /// Interpreters that run at once; 0 stands for as many as the network's clocks are made for, as far
    /// as there are cores.
    pub interpreters: u32,
    /// Most MiB of memory that all tasks in dispute keep for their traces.
    pub memory_mib_max: u64,
}

impl Default for Dispute {
    fn default() -> Self {
        Self {
            interpreters: 0,
            memory_mib_max: 4096,
        }
    }
}

/// How long the node remembers what is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Seconds after the end of a deal, or the expiry of a job's bid.
    pub finished_s: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            finished_s: 30 * 86_400,
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Log lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Text or JSON.
    pub format: LogFormat,
    /// Which lines, in the syntax of the tracing crates.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: "info".into(),
        }
    }
}

impl Config {
    /// Reads the file, then lays the environment and the flags over it.
    ///
    /// `environment` are variables as the process sees them; those that name no key are left alone
    /// (the command line has variables of its own). `flags` are (key path, value) pairs such as
    /// `("api.listen", "127.0.0.1:0")`.
    ///
    /// # Errors
    /// [`ConfigError`], naming the origin and the key.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let mut table = match file {
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
                        path: path.to_owned(),
                        source,
                    })?;
                read_file(&path.display().to_string(), &text)?
            }
            None => Table::new(),
        };
        let keys = known_keys();
        for (variable, text) in environment {
            let key = keys.iter().find(|key| variable_of(key) == variable);
            if let Some(key) = key {
                lay_over(&mut table, key, &text, &variable)?;
            }
        }
        for (key, text) in flags {
            if !keys.contains(key) {
                return Err(ConfigError::UnknownKey {
                    origin: "--set".into(),
                    message: format!("unknown key `{key}`; outcry.example.toml shows every key"),
                });
            }
            lay_over(&mut table, key, text, &format!("--set {key}"))?;
        }
        let config: Self = table
            .try_into()
            .map_err(|error| refused("configuration", &error))?;
        config.check()
    }

    fn check(self) -> Result<Self, ConfigError> {
        let bad = |key: &str, what: &str| {
            Err(ConfigError::BadValue {
                origin: "configuration".into(),
                message: format!("`{key}` {what}"),
            })
        };
        if self.roles.is_empty() {
            return bad(
                "roles",
                "names no role; choose among \"provider\", \"verifier\", \"gateway\"",
            );
        }
        if !(20..=60_000).contains(&self.chain.poll_ms) {
            return bad("chain.poll_ms", "must lie between 20 and 60000");
        }
        if self.retention.finished_s < BID_LIFE_S_MAX {
            return bad(
                "retention.finished_s",
                "must be at least 604800, the longest life of a bid",
            );
        }
        if self.roles.contains(&Role::Provider) {
            if self.provider.slots == 0 {
                return bad("provider.slots", "must be at least 1");
            }
            if self.reserve.slots > self.provider.slots {
                return bad("reserve.slots", "is a part of provider.slots");
            }
            if self.provider.speed == 0 {
                return bad(
                    "provider.speed",
                    "must be at least 1; `outcry provider benchmark` measures it",
                );
            }
            if !(30..=OFFER_LIFE_S_MAX).contains(&self.provider.offer_s) {
                return bad("provider.offer_s", "must lie between 30 and 3600");
            }
        }
        if self.verifier.sample_bps > 10_000 {
            return bad(
                "verifier.sample_bps",
                "is a share in basis points, at most 10000",
            );
        }
        if !(1..=256).contains(&self.verifier.checks_at_once) {
            return bad("verifier.checks_at_once", "must lie between 1 and 256");
        }
        if self.dispute.interpreters > 1024 {
            return bad("dispute.interpreters", "must be at most 1024");
        }
        if self.blobs.blob_mib_max > self.blobs.mib_max {
            return bad("blobs.blob_mib_max", "exceeds blobs.mib_max");
        }
        Ok(self)
    }

    /// The shards that the node takes part in, in a network that divides its gossip so. A provider needs
    /// those of its offers and of all bids that they serve: others match it with any of these, and wait
    /// for it in vain if it has not heard of the bid.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] for a provider that leaves out one of these.
    pub fn shards(&self, sharding: Sharding) -> Result<ShardSet, ConfigError> {
        let taken = sharding.taking(self.gossip.classes, &self.gossip.regions);
        if !self.is(Role::Provider) {
            return Ok(taken);
        }
        let (slot, region) = (self.provider.slot(), self.provider.region);
        let missing = sharding.served_by(&slot, region).without(taken);
        if missing.is_empty() {
            return Ok(taken);
        }
        let class = Class::of(&slot);
        Err(ConfigError::BadValue {
            origin: "configuration".into(),
            message: format!(
                "`gossip.classes` and `gossip.regions` leave out the shards {missing}, in which the \
                 provider's offers or bids that they serve lie; take in at least the classes `..{class}` \
                 and region {region}"
            ),
        })
    }

    /// Whether the node has a role.
    #[must_use]
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// The data folder.
    ///
    /// # Errors
    /// [`ConfigError::Missing`].
    pub fn data_dir(&self) -> Result<&Path, ConfigError> {
        self.data_dir.as_deref().ok_or(ConfigError::Missing {
            key: "data_dir",
            help: "name the folder in which the node keeps what it must not lose (--data-dir)",
        })
    }
}

fn read_file(origin: &str, text: &str) -> Result<Table, ConfigError> {
    // Read as a whole first: this error quotes the line.
    toml::from_str::<Config>(text).map_err(|error| refused(origin, &error))?;
    text.parse().map_err(|error| refused(origin, &error))
}

fn refused(origin: &str, error: &toml::de::Error) -> ConfigError {
    let (origin, message) = (origin.to_owned(), error.to_string().trim_end().to_owned());
    if error.message().starts_with("unknown field") {
        ConfigError::UnknownKey { origin, message }
    } else {
        ConfigError::BadValue { origin, message }
    }
}

/// Every key as a path, from the documented example.
fn known_keys() -> Vec<String> {
    let example: Table = EXAMPLE.parse().unwrap_or_default();
    let mut keys = Vec::new();
    for (name, value) in example {
        match value {
            Value::Table(section) => keys.extend(section.keys().map(|key| format!("{name}.{key}"))),
            _ => keys.push(name),
        }
    }
    keys
}

fn variable_of(key: &str) -> String {
    format!("OUTCRY_{}", key.replace('.', "_").to_uppercase())
}

/// Sets one key from text: a TOML value where it reads as one, else a string.
fn lay_over(table: &mut Table, key: &str, text: &str, origin: &str) -> Result<(), ConfigError> {
    let value = format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut parsed| {
            (parsed.len() == 1)
                .then(|| parsed.remove("value"))
                .flatten()
        })
        .unwrap_or_else(|| Value::String(text.to_owned()));
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, name)) => {
            let section = table
                .entry(section)
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(section) = section {
                section.insert(name.to_owned(), value);
            }
        }
    }
    // Checked at once, so that the error names the variable or flag.
    table
        .clone()
        .try_into::<Config>()
        .map(drop)
        .map_err(|error| {
            let message = format!("`{key}`: {}", error.message());
            ConfigError::BadValue {
                origin: origin.to_owned(),
                message,
            }
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn load(
        text: &str,
        environment: &[(&str, &str)],
        flags: &[(&str, &str)],
    ) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outcry.toml");
        std::fs::write(&path, text).unwrap();
        let own = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                .collect::<Vec<_>>()
        };
        Config::load(Some(&path), own(environment), &own(flags))
    }

    #[test]
    fn an_unknown_key_is_refused_by_its_name_and_line() {
        let error = load(
            "roles = [\"gateway\"]\n[api]\nlisten_on = \"127.0.0.1:1\"\n",
            &[],
            &[],
        )
        .unwrap_err();
        assert_eq!(error.code().id, "C-001");
        let text = error.to_string();
        assert!(
            text.contains("listen_on") && text.contains("line 3"),
            "{text}"
        );
    }

    #[test]
    fn an_unknown_section_is_refused() {
        assert_eq!(
            load("[provder]\nslots = 2\n", &[], &[])
                .unwrap_err()
                .code()
                .id,
            "C-001"
        );
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_file() {
        let file = "[provider]\nslots = 1\nregion = 1\nspeed = 1\n";
        let environment = [
            ("OUTCRY_PROVIDER_SLOTS", "2"),
            ("OUTCRY_PROVIDER_REGION", "2"),
            ("OUTCRY_OUTPUT", "json"),
        ];
        let config = load(file, &environment, &[("provider.slots", "3")]).unwrap();
        assert_eq!(
            (
                config.provider.slots,
                config.provider.region,
                config.provider.speed
            ),
            (3, 2, 1)
        );
    }

    #[test]
    fn a_bad_value_names_where_it_came_from() {
        let error = load("", &[("OUTCRY_PROVIDER_SLOTS", "many")], &[]).unwrap_err();
        assert_eq!(error.code().id, "C-002");
        assert!(
            error.to_string().contains("OUTCRY_PROVIDER_SLOTS"),
            "{error}"
        );
        assert_eq!(
            load("", &[], &[("provider.slotz", "1")])
                .unwrap_err()
                .code()
                .id,
            "C-001"
        );
        assert_eq!(load("roles = []", &[], &[]).unwrap_err().code().id, "C-002");
        assert_eq!(
            load("[provider]\nstart_fee = \"1.5\"", &[], &[])
                .unwrap_err()
                .code()
                .id,
            "C-002"
        );
    }

    #[test]
    fn no_more_slots_are_held_back_than_there_are() {
        let with = |held: u32| {
            let text =
                format!("roles = \"provider\"\n[provider]\nslots = 2\n[reserve]\nslots = {held}");
            load(&text, &[], &[])
        };
        assert_eq!(with(2).unwrap().reserve.slots, 2);
        let error = with(3).unwrap_err().to_string();
        assert!(error.contains("reserve.slots"), "{error}");
    }

    #[test]
    fn an_amount_may_exceed_what_a_toml_integer_holds() {
        let config = load(
            "[provider]\nstart_fee = \"340282366920938463463374607431768211455\"",
            &[],
            &[],
        )
        .unwrap();
        assert_eq!(config.provider.start_fee, Amount(u128::MAX));
    }

    #[test]
    fn a_verifier_challenges_within_what_it_may_lose() {
        let config = load(
            "roles = \"verifier\"\n[verifier]\nbond_max = \"7\"\ngames_max = 3\n[dispute]\ninterpreters = 2\n",
            &[("OUTCRY_VERIFIER_CHALLENGE", "false")],
            &[("verifier.price_min", "1000000000000000000000")],
        )
        .unwrap();
        assert_eq!(config.verifier.bond_max, Amount(7));
        assert_eq!(config.verifier.games_max, 3);
        assert!(!config.verifier.challenge);
        assert_eq!(
            config.verifier.price_min,
            Amount(1_000_000_000_000_000_000_000)
        );
        assert_eq!(config.dispute.interpreters, 2);
        let error = load("[verifier]\nchecks_at_once = 0\n", &[], &[]).unwrap_err();
        assert!(
            error.to_string().contains("verifier.checks_at_once"),
            "{error}"
        );
    }

    #[test]
    fn the_orders_to_hear_are_named_by_regions_and_classes() {
        let file = "[gossip]\nregions = [1, 7]\nclasses = \"512m..4g\"\n";
        let config = load(file, &[("OUTCRY_GOSSIP_REGIONS", "[2]")], &[]).unwrap();
        assert_eq!(config.gossip.regions, [2].into());
        assert_eq!(config.gossip.classes.to_string(), "512m..4g");
        for classes in ["4g..512m", "1g", "1x.."] {
            let error = load("", &[], &[("gossip.classes", classes)]).unwrap_err();
            assert!(error.to_string().contains("gossip.classes"), "{error}");
        }
    }

    #[test]
    fn a_node_takes_part_in_everything_unless_it_says_otherwise() {
        let eight = Sharding::try_from(8).unwrap();
        for roles in ["provider", "verifier", "gateway"] {
            let config = read(&format!("roles = \"{roles}\""));
            assert_eq!(config.shards(eight).unwrap(), eight.all());
        }
        let some = read("[gossip]\nclasses = \"..512m\"");
        assert_eq!(some.shards(eight).unwrap().to_string(), "0-1");
        let all = Sharding::ONE;
        assert_eq!(some.shards(all).unwrap(), all.all());
    }

    #[test]
    fn a_provider_that_would_not_hear_the_bids_for_its_offers_does_not_start() {
        let sixteen = Sharding::try_from(16).unwrap();
        // Slots of 1 GiB in region 2: the class 1g, in the second group; region 2 has the last place.
        let provider = "roles = \"provider\"\n[provider]\nregion = 2\n[gossip]\n";
        for (setting, missing) in [
            ("classes = \"..1g\"\nregions = [2]", None),
            ("classes = \"..\"\nregions = [5]", None),
            ("classes = \"..512m\"", Some("4,7")),
            ("classes = \"1g..\"\nregions = [2]", Some("0,3")),
            ("regions = [1]", Some("3,7")),
        ] {
            let outcome = read(&format!("{provider}{setting}")).shards(sixteen);
            match (outcome, missing) {
                (Ok(taken), None) => assert!(taken.contains(7), "{setting}"),
                (Err(error), Some(missing)) => {
                    let message = error.to_string();
                    assert!(
                        message.contains(&format!("the shards {missing},")),
                        "{message}"
                    );
                    assert!(message.contains("`..1g` and region 2"), "{message}");
                }
                (outcome, _) => panic!("{setting}: {outcome:?}"),
            }
        }
    }

    fn read(text: &str) -> Config {
        load(text, &[], &[]).unwrap()
    }

    /// A key that exists but is not documented, or is documented but does not exist, fails here.
    #[test]
    fn the_example_shows_every_key() {
        let read: Config = toml::from_str(EXAMPLE).unwrap();
        let written = Table::try_from(&read).unwrap();
        let mut keys = Vec::new();
        for (name, value) in &written {
            match value {
                Value::Table(section) => {
                    keys.extend(section.keys().map(|key| format!("{name}.{key}")))
                }
                _ => keys.push(name.clone()),
            }
        }
        let mut known = known_keys();
        keys.sort();
        known.sort();
        assert_eq!(keys, known);
    }
}
