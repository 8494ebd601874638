//! For those who offer capacity: setup, benchmark, doctor.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256};
use alloy::signers::local::PrivateKeySigner;
use outcry_protocol::codes;
use outcry_sdk::api::{Amount, ProviderState};
use outcry_sdk::{Engine, JobBuilder, Limits, load_key_file, units};
use serde::Serialize;

use crate::adversary;
use crate::args::{Setup, Start as StartArgs};
use crate::console::{Console, Show, columns, pairs};
use crate::failure::Failure;
use crate::host::{Host, Start};
use crate::settings::{Settings, ask};
use crate::verbs::node::requested;

/// Prices are asked for per 10^12 cycles and signed per 10^18.
const ASKED_CYCLES: u128 = 1_000_000_000_000;
/// Share of the measured speed that is recommended, in percent: a machine is never quite idle.
const RECOMMENDED_PERCENT: u64 = 80;
/// Cycles of a first run, from which the length of the others follows.
const FIRST_RUN_CYCLES: u64 = 20_000_000;
/// Oldest head, in seconds, that does not alarm.
const HEAD_AGE_S_MAX: u64 = 120;

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Speed {
    /// Cycles per second of one of the programs that ran at once, in the slowest round.
    slowest: u64,
    /// The same in the fastest round.
    fastest: u64,
    /// What to sign.
    recommended: u64,
    /// Programs that ran at once.
    slots: u32,
    /// Rounds measured.
    rounds: u32,
}

impl Show for Speed {
    fn table(&self) -> String {
        pairs(&[
            ("slowest", format!("{} cycles/s", self.slowest)),
            ("fastest", format!("{} cycles/s", self.fastest)),
            ("recommended", format!("{} cycles/s", self.recommended)),
            ("slots", self.slots.to_string()),
            ("rounds", self.rounds.to_string()),
        ])
    }
}

pub(crate) async fn benchmark(
    seconds: u64,
    slots: u32,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    if !settings.global.quiet {
        console.note(&format!("measuring for {seconds} s with {slots} at once"));
    }
    let speed = tokio::task::spawn_blocking(move || measure(Duration::from_secs(seconds), slots))
        .await
        .map_err(Failure::internal)??;
    console.result(settings.format(), &speed)?;
    Ok(0)
}

/// Measures the speed of code that misses the caches, `slots` programs at once, as a provider with
/// that many slots runs them.
fn measure(time: Duration, slots: u32) -> Result<Speed, Failure> {
    let program = adversary::program();
    let job = |cycles: u64| {
        let limits = Limits {
            cycles,
            memory_mib: 256,
            ..Limits::default()
        };
        JobBuilder::wasm("adversary", program.clone())
            .limits(limits)
            .build(B256::ZERO)
    };
    let engine = Engine::new(None)?;
    engine.prepare(&job(1)?)?;
    let run = |cycles: u64| -> Result<u64, Failure> {
        let job = job(cycles)?;
        let started = Instant::now();
        let output = engine.run(&job, 0)?;
        let elapsed = started.elapsed().as_secs_f64().max(1e-6);
        if output.cycles != cycles {
            return Err(Failure::internal(format!(
                "the benchmark ended after {} of {cycles} cycles",
                output.cycles
            )));
        }
        Ok((cycles as f64 / elapsed) as u64)
    };
    let first = run(FIRST_RUN_CYCLES)?.max(1);
    // Rounds of about a second.
    let (mut speeds, started) = (Vec::new(), Instant::now());
    while speeds.is_empty() || started.elapsed() < time {
        let round = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..slots.max(1))
                .map(|_| scope.spawn(|| run(first)))
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Result<u64, Failure>>| {
                thread
                    .join()
                    .map_err(|_| Failure::internal("a benchmark thread panicked"))?
            };
            threads
                .into_iter()
                .map(join)
                .collect::<Result<Vec<_>, Failure>>()
        })?;
        speeds.push(round.into_iter().min().unwrap_or(1));
    }
    let slowest = speeds.iter().copied().min().unwrap_or(1);
    Ok(Speed {
        slowest,
        fastest: speeds.iter().copied().max().unwrap_or(1),
        recommended: (slowest / 100).saturating_mul(RECOMMENDED_PERCENT).max(1),
        slots,
        rounds: u32::try_from(speeds.len()).unwrap_or(u32::MAX),
    })
}

pub(crate) async fn setup(
    args: &Setup,
    settings: &Settings,
    host: &dyn Host,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    if args.file.exists() {
        return Err(Failure::new(
            &codes::CONFIG_FILE,
            format!("{} exists already", args.file.display()),
        )
        .with_help("choose another file with --file, or move this one away"));
    }
    let network_file = settings
        .network_file()
        .ok_or_else(|| Failure::usage("no network is named; give --network FILE"))?;
    let network = settings.network()?;
    let token = settings.token(&network)?;
    let asked = |given: &Option<String>, question: &str, usual: &str, console: &mut Console<'_>| {
        match given {
            Some(text) => Ok::<_, Failure>(text.clone()),
            None if console.interactive && !settings.global.yes => {
                let answer = ask(&format!("{question} [{usual}] "), console)?;
                Ok(if answer.is_empty() {
                    usual.to_owned()
                } else {
                    answer
                })
            }
            None => Ok(usual.to_owned()),
        }
    };
    let number = |text: String| {
        text.parse::<u32>()
            .map_err(|_| Failure::usage(format!("`{text}` is not a number")))
    };
    let cores = std::thread::available_parallelism()
        .map_or(1, std::num::NonZero::get)
        .to_string();
    let slots = number(asked(
        &args.slots.map(|n| n.to_string()),
        "Jobs that run at once",
        &cores,
        console,
    )?)?;
    let memory = number(asked(
        &args.memory.map(|n| n.to_string()),
        "MiB of memory for each",
        "1024",
        console,
    )?)?;
    let start_fee = asked(
        &args.start_fee,
        &format!("Price of a task in {}", token.symbol),
        "0",
        console,
    )?;
    let cycle_price = asked(
        &args.cycle_price,
        &format!("Price of 10^12 cycles in {}", token.symbol),
        "1",
        console,
    )?;
    let data_dir = match &args.data_dir {
        Some(path) => path.clone(),
        None => PathBuf::from(asked(
            &None,
            "Folder for the node's data",
            &settings.home().join("node").display().to_string(),
            console,
        )?),
    };
    let start_fee = units::parse(&start_fee, &token)?;
    let cycle_price = units::parse(&cycle_price, &token)?;
    let scale = alloy::primitives::U256::from(
        outcry_protocol::limits::CYCLES_PER_UNIT_PRICE / ASKED_CYCLES,
    );
    let cycle_price = Amount(
        cycle_price
            .0
            .checked_mul(scale)
            .ok_or(outcry_sdk::Error::TooLarge(cycle_price.0))?,
    );
    let speed = match args.speed {
        Some(speed) => speed,
        None => {
            if !settings.global.quiet {
                console.note("measuring the speed for 5 s");
            }
            let measured =
                tokio::task::spawn_blocking(move || measure(Duration::from_secs(5), slots));
            measured.await.map_err(Failure::internal)??.recommended
        }
    };
    let key_file = args
        .account_key_file
        .clone()
        .unwrap_or_else(|| data_dir.join("account.key"));
    let node = NodeFile {
        roles: vec!["provider".to_owned()],
        data_dir: absolute(&data_dir)?,
        network: absolute(&network_file)?,
        account_key_file: absolute(&key_file)?,
        api: ApiSection {
            listen: args
                .listen
                .unwrap_or_else(|| std::net::SocketAddr::from(([127, 0, 0, 1], 7480))),
        },
        provider: ProviderSection {
            slots,
            token: token.address,
            region: args.region.unwrap_or(0),
            memory_mib: memory,
            start_fee,
            cycle_price,
            speed,
        },
    };
    let text = toml::to_string(&node).map_err(Failure::internal)?;
    if settings.global.dry_run {
        console.raw(text.as_bytes())?;
        return Ok(0);
    }
    let account = key_in(&node.account_key_file)?;
    write_new(&args.file, &text, 0o644)?;
    if let Err(error) = host.effective_config(Start {
        config: Some(args.file.clone()),
        settings: Vec::new(),
    }) {
        // A file that the node refuses is of no use to anybody.
        let _ = fs::remove_file(&args.file);
        return Err(error.into());
    }
    console.result(
        settings.format(),
        &SetUp {
            file: args.file.clone(),
            account,
            speed,
        },
    )?;
    Ok(0)
}

/// The account of a key file, which is made if it does not exist.
fn key_in(path: &Path) -> Result<Address, Failure> {
    if path.exists() {
        return Ok(load_key_file(path, None)?.address());
    }
    let signer = PrivateKeySigner::random();
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|e| file_failure(folder, &e))?;
    }
    let digits = zeroize::Zeroizing::new(format!("{}\n", hex::encode(signer.to_bytes())));
    write_new(path, &digits, 0o600)?;
    Ok(signer.address())
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(|e| file_failure(path, &e))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|e| file_failure(path, &e))
}

fn file_failure(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(&codes::CONFIG_FILE, format!("{}: {error}", path.display()))
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|e| file_failure(path, &e))
}

/// What setup writes; the node's example configuration explains every key.
#[derive(Serialize)]
struct NodeFile {
    roles: Vec<String>,
    data_dir: PathBuf,
    network: PathBuf,
    account_key_file: PathBuf,
    api: ApiSection,
    provider: ProviderSection,
}

#[derive(Serialize)]
struct ApiSection {
    listen: std::net::SocketAddr,
}

#[derive(Serialize)]
struct ProviderSection {
    slots: u32,
    token: Address,
    region: u8,
    memory_mib: u32,
    start_fee: Amount,
    cycle_price: Amount,
    speed: u64,
}

#[derive(Serialize)]
struct SetUp {
    file: PathBuf,
    account: Address,
    speed: u64,
}

impl Show for SetUp {
    fn table(&self) -> String {
        format!(
            "wrote {}\n\nThe provider's account is {}. Send it some of the chain's coin for gas and the\ncollateral floor, \
             and deposit the payment token for collateral; then\n\n  outcry provider doctor --node-config {0}\n  outcry provider start --node-config {0}\n",
            self.file.display(),
            self.account
        )
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Failed,
}

#[derive(Serialize)]
struct Check {
    check: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do, if something is to be done.
    help: String,
}

#[derive(Serialize)]
struct Diagnosis {
    healthy: bool,
    checks: Vec<Check>,
}

impl Show for Diagnosis {
    fn table(&self) -> String {
        let mut text = String::new();
        let rows: Vec<_> = self
            .checks
            .iter()
            .map(|check| {
                [
                    format!("{:?}", check.verdict).to_lowercase(),
                    check.check.to_owned(),
                    check.found.clone(),
                ]
            })
            .collect();
        text.push_str(&columns(["RESULT", "CHECK", "FOUND"], &rows));
        for check in self
            .checks
            .iter()
            .filter(|check| check.verdict != Verdict::Ok)
        {
            text.push_str(&format!("\n{}: {}\n", check.check, check.help));
        }
        text
    }
}

/// Collects checks; a check that can't be made is a failed one.
#[derive(Default)]
struct Doctor {
    checks: Vec<Check>,
}

impl Doctor {
    fn add(
        &mut self,
        check: &'static str,
        good: bool,
        otherwise: Verdict,
        found: impl Into<String>,
        help: &str,
    ) {
        let verdict = if good { Verdict::Ok } else { otherwise };
        let help = if good { String::new() } else { help.to_owned() };
        self.checks.push(Check {
            check,
            verdict,
            found: found.into(),
            help,
        });
    }

    fn failed(&mut self, check: &'static str, failure: &Failure) {
        let found = format!("[{}] {}", failure.code, failure.message);
        self.checks.push(Check {
            check,
            verdict: Verdict::Failed,
            found,
            help: failure.help.clone(),
        });
    }
}

pub(crate) async fn doctor(
    config: Option<&Path>,
    settings: &Settings,
    host: &dyn Host,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let mut doctor = Doctor::default();
    let node = node_config(config, settings, host, &mut doctor)?;
    if let Some(node) = &node {
        check_machine(node, &mut doctor);
    }
    match settings.network() {
        Ok(network) => check_network(network, node.as_ref(), settings, &mut doctor).await,
        Err(failure) => doctor.failed("network file", &failure),
    }
    let healthy = doctor
        .checks
        .iter()
        .all(|check| check.verdict != Verdict::Failed);
    console.result(
        settings.format(),
        &Diagnosis {
            healthy,
            checks: doctor.checks,
        },
    )?;
    Ok(if healthy {
        0
    } else {
        codes::Exit::Failed as u8
    })
}

/// The node's configuration as a table, if one was named.
fn node_config(
    config: Option<&Path>,
    settings: &Settings,
    host: &dyn Host,
    doctor: &mut Doctor,
) -> Result<Option<toml::Table>, Failure> {
    let Some(path) = config else { return Ok(None) };
    let start = StartArgs {
        node_config: Some(path.to_path_buf()),
        data_dir: None,
        set: Vec::new(),
    };
    match host.effective_config(requested(&start, settings)?) {
        Ok(text) => {
            doctor.add(
                "configuration",
                true,
                Verdict::Ok,
                path.display().to_string(),
                "",
            );
            text.parse().map(Some).map_err(Failure::internal)
        }
        Err(error) => {
            doctor.failed("configuration", &error.into());
            Ok(None)
        }
    }
}

fn check_machine(node: &toml::Table, doctor: &mut Doctor) {
    let section = node
        .get("provider")
        .and_then(toml::Value::as_table)
        .cloned()
        .unwrap_or_default();
    let number = |key: &str| {
        section
            .get(key)
            .and_then(toml::Value::as_integer)
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(0)
    };
    let (slots, memory) = (number("slots"), number("memory_mib"));
    if let Some(available) = memory_mib() {
        let needed = slots.saturating_mul(memory);
        let help = "lower provider.slots or provider.memory_mib: a job that finds no memory misses its deadline";
        doctor.add(
            "memory",
            needed <= available,
            Verdict::Failed,
            format!("{needed} of {available} MiB are offered"),
            help,
        );
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let help = "lower provider.slots: two jobs on one core run at half the signed speed each";
    doctor.add(
        "cores",
        slots <= cores,
        Verdict::Warning,
        format!("{slots} slots on {cores} cores"),
        help,
    );
    match measure(
        Duration::from_secs(2),
        u32::try_from(slots).unwrap_or(1).max(1),
    ) {
        Ok(speed) => {
            let found = format!(
                "{} cycles/s signed, {} measured",
                number("speed"),
                speed.slowest
            );
            let help = format!(
                "set provider.speed = {}: deadlines follow from it, and a missed one costs collateral",
                speed.recommended
            );
            doctor.add(
                "speed",
                number("speed") <= speed.slowest,
                Verdict::Failed,
                found,
                &help,
            );
        }
        Err(failure) => doctor.failed("speed", &failure),
    }
    match node.get("account_key_file").and_then(toml::Value::as_str) {
        Some(path) => match load_key_file(Path::new(path), None) {
            Ok(key) => doctor.add(
                "account key",
                true,
                Verdict::Ok,
                key.address().to_string(),
                "",
            ),
            Err(error) => doctor.failed("account key", &error.into()),
        },
        None => doctor.add(
            "account key",
            std::env::var_os("OUTCRY_ACCOUNT_KEY").is_some(),
            Verdict::Failed,
            "no file is named",
            "set account_key_file, or OUTCRY_ACCOUNT_KEY",
        ),
    }
}

async fn check_network(
    network: outcry_sdk::Network,
    node: Option<&toml::Table>,
    settings: &Settings,
    doctor: &mut Doctor,
) {
    let client = match outcry_sdk::Client::new(network, None) {
        Ok(client) => client,
        Err(error) => return doctor.failed("network file", &error.into()),
    };
    match client.chain().check().await {
        Ok(()) => doctor.add(
            "chain",
            true,
            Verdict::Ok,
            format!(
                "chain {} at {}",
                client.network().chain_id,
                client.network().rpc
            ),
            "",
        ),
        Err(error) => return doctor.failed("chain", &error.into()),
    }
    let key = node
        .and_then(|node| node.get("account_key_file"))
        .and_then(toml::Value::as_str);
    let account = key
        .and_then(|path| load_key_file(Path::new(path), None).ok())
        .map(|key| key.address());
    let api = settings.global.api.clone().or_else(|| {
        let listen = node?.get("api")?.as_table()?.get("listen")?.as_str()?;
        Some(format!("http://{listen}"))
    });
    check_running(api.as_deref(), &client, doctor).await;
    let Some(account) = account else { return };
    let coin = outcry_sdk::api::TokenInfo {
        symbol: "coin".to_owned(),
        address: Address::ZERO,
        decimals: 18,
    };
    match client.chain().holdings(account, &coin).await {
        Ok(held) => {
            let help =
                format!("send some of the chain's coin to {account}: claims are transactions");
            doctor.add(
                "coin for gas",
                held.wallet > Amount::ZERO,
                Verdict::Failed,
                units::show(held.wallet, &coin),
                &help,
            );
        }
        Err(error) => doctor.failed("coin for gas", &error.into()),
    }
    match settings.token(client.network()) {
        Ok(token) => match client.chain().holdings(account, &token).await {
            Ok(held) => {
                let help = "deposit the token with the provider's key: `outcry deposit AMOUNT --key-file FILE`; collateral comes from it";
                doctor.add(
                    "collateral",
                    held.market > Amount::ZERO,
                    Verdict::Failed,
                    units::show(held.market, &token),
                    help,
                );
            }
            Err(error) => doctor.failed("collateral", &error.into()),
        },
        Err(failure) => doctor.failed("payment token", &failure),
    }
}

async fn check_running(api: Option<&str>, client: &outcry_sdk::Client, doctor: &mut Doctor) {
    let node = match api.map(outcry_sdk::Node::new) {
        Some(Ok(node)) => node,
        _ => client.node().clone(),
    };
    let status = match node.status().await {
        Ok(status) => status,
        Err(error) => {
            let help = "start it with `outcry provider start`; the other checks do not need it";
            return doctor.add("node", false, Verdict::Warning, error.to_string(), help);
        }
    };
    let same =
        status.chain_id == client.network().chain_id && status.market == client.network().market;
    doctor.add(
        "node",
        same,
        Verdict::Failed,
        format!("{} at {}", status.version, node.origin()),
        "it belongs to another network; check --network and --api",
    );
    doctor.add(
        "peers",
        status.peers > 0,
        Verdict::Warning,
        status.peers.to_string(),
        "nobody hears the offers: check net.listen, net.bootstrap and the firewall",
    );
    if let Ok(now) = client.chain().now().await {
        let age = now.saturating_sub(status.block.timestamp);
        doctor.add(
            "head",
            age <= HEAD_AGE_S_MAX,
            Verdict::Failed,
            format!("block {}, {age} s behind", status.block.number),
            "the node's chain endpoint lags: check chain.rpc",
        );
    }
    match node.provider().await {
        Ok(provider) => {
            let found =
                format!("{:?}, {} offers", provider.state, provider.offers.len()).to_lowercase();
            let help = provider.problem.as_ref().map_or(
                "it is draining; restart it to offer again".to_owned(),
                |problem| format!("{}: {}", problem.message, problem.help),
            );
            doctor.add(
                "offers",
                provider.state == ProviderState::Offering,
                Verdict::Failed,
                found,
                &help,
            );
        }
        Err(error) => doctor.failed("offers", &error.into()),
    }
}

/// Memory of this machine in MiB, as Linux tells it.
fn memory_mib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace()
        .next()?
        .parse::<u64>()
        .ok()
        .map(|kib| kib / 1024)
}
