//! Starting and stopping: lock, open, migrate, check the chain, catch up, and only then offer.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256, U256, keccak256};
use outcry_chain::{ChainError, Finality, Follower, FollowerConfig, Rpc, Sender, SenderConfig};
use outcry_executor::CacheLimits;
use outcry_net::{
    BlobStore, BlobStoreConfig, Handlers, NetError, Network as Peers, NetworkConfig, PeerKey,
    Reachability,
};
use outcry_protocol::book::Book;
use outcry_protocol::codes::{self, Code, Coded};
use outcry_protocol::limits::MACHINE_VERSION_MAX;
use outcry_protocol::shard::ShardSet;
use outcry_protocol::wire::Message;
use outcry_sdk::Network;
use outcry_store::{DataFolder, Engine as StoreEngine, StoreError};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::api::{self, Access};
use crate::chain::{Chain, ChainProblem, decode_refusal};
use crate::config::{Config, ConfigError, Role};
use crate::core::Core;
use crate::deals::Deals;
use crate::dispute::allowance::Allowance;
use crate::dispute::trace::{self, Interpreter, Traces};
use crate::gas::GasUses;
use crate::ingest::{SharedBook, ingest};
use crate::inputs::Fetcher;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::reserve::Auction;
use crate::run::{Engine, Engines};
use crate::state::capacity::Capacity;
use crate::state::{Fact, Setup, State, Windows, draw, journal};
use crate::turns::Turns;
use crate::{activities, arrivals, follow, progress, prune, secret};

const MIB: u64 = 1 << 20;
/// Outcomes of transactions that wait for a slow listener.
const REPORTS_WAITING_MAX: usize = 4096;
/// Claims whose inputs are fetched at once. More than are re-executed at once: a source may be slow.
const FETCHED_AT_ONCE: usize = 16;
/// Longest that running work may take to end after the first signal.
const STOP_TIME_MAX: Duration = Duration::from_secs(20);

/// Why a node does not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The network's file.
    #[error("{0}")]
    Network(#[source] outcry_sdk::Error),
    /// The data folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The market.
    #[error(transparent)]
    Market(#[from] ChainProblem),
    /// The peers.
    #[error("{0}")]
    Peers(#[from] NetError),
    /// Blobs on disk.
    #[error("{0}")]
    Blobs(#[from] outcry_net::BlobError),
    /// The API's address.
    #[error("can't listen on {address}: {source}; choose another `api.listen`")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system refused something.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl Coded for StartError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Config(error) => error.code(),
            Self::Network(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Chain(error) => error.code(),
            Self::Market(problem) => problem.code(),
            Self::Peers(error) => error.code(),
            Self::Blobs(error) => error.code(),
            Self::Listen { .. } => &codes::CONFIG_VALUE,
            Self::System(_) => &codes::CONFIG_FILE,
        }
    }
}

/// A node that runs.
#[derive(Debug)]
pub struct Running {
    /// Where the API listens.
    pub api: SocketAddr,
    /// The node.
    pub node: Arc<Node>,
    tasks: Vec<JoinHandle<()>>,
    failure: tokio::sync::watch::Receiver<Option<String>>,
    _folder: DataFolder,
}

/// Refuses a configuration that does not go with the network that it names, as [`start`] does. Without a
/// network file that can be read there is nothing to compare.
///
/// # Errors
/// [`StartError::Config`].
pub fn check(config: &Config) -> Result<(), StartError> {
    if let Some(Ok(network)) = config.network.as_deref().map(Network::load) {
        config.shards(network.shards)?;
    }
    Ok(())
}

/// Starts a node that executes as the product does. `worker` is the program that becomes a worker with the argument
/// [`outcry_executor::WORKER_SUBCOMMAND`]; `environment` holds the secrets' variables.
///
/// # Errors
/// [`StartError`]. A node that could not start holds nothing and leaves nothing running.
pub async fn start(
    config: Config,
    worker: PathBuf,
    environment: impl Fn(&str) -> Option<String>,
    stop: CancellationToken,
) -> Result<Running, StartError> {
    start_with(config, worker, environment, |engines| engines, stop).await
}

/// As [`start`], with the engines that `engines` makes of the product's own: a test network puts
/// others around them to see what a node that lies meets.
///
/// # Errors
/// As [`start`].
pub async fn start_with(
    config: Config,
    worker: PathBuf,
    environment: impl Fn(&str) -> Option<String>,
    engines: impl FnOnce(Engines) -> Engines,
    stop: CancellationToken,
) -> Result<Running, StartError> {
    let network_file = config.network.clone().ok_or(ConfigError::Missing {
        key: "network",
        help: "name the file of the network to join (--network)",
    })?;
    let mut network = Network::load(&network_file).map_err(StartError::Network)?;
    let shards = config.shards(network.shards)?;
    if let Some(rpc) = &config.chain.rpc {
        network.rpc.clone_from(rpc);
    }
    let signer = secret::account(
        environment(secret::ACCOUNT_KEY_VARIABLE),
        config.account_key_file.as_deref(),
        config.account_password_file.as_deref(),
        || environment(secret::PASSWORD_VARIABLE),
    )?;
    if signer.is_none() && (config.is(Role::Provider) || config.is(Role::Gateway)) {
        return Err(ConfigError::Missing {
            key: "account_key_file",
            help: "a provider and a gateway send transactions; name a file of mode 0600 with the account's key, or set OUTCRY_ACCOUNT_KEY",
        }
        .into());
    }
    let token = secret::api_token(
        environment(secret::API_TOKEN_VARIABLE),
        config.api.token_file.as_deref(),
    )?;
    let access = Access::of(config.api.listen, token);

    let folder = DataFolder::open(config.data_dir()?)?;
    let identity = outcry_net_identity(&secret::identity(&folder.path().join("node.key"))?);
    let peer_key = B256::from(PeerKey::of(&identity).0);
    let store = outcry_store::open(&folder, StoreEngine::default())?;

    let mut registry = Registry::default();
    let rpc_switches = Counter::default();
    let endpoints: Vec<String> = std::iter::once(&network.rpc)
        .chain(&config.chain.rpc_fallbacks)
        .cloned()
        .collect();
    let count = rpc_switches.clone();
    let rpc = Rpc::connect(&endpoints, network.chain_id, move |switch| {
        count.inc();
        tracing::warn!(
            from = switch.from,
            to = switch.to,
            reason = switch.reason,
            "another RPC endpoint takes over"
        );
    })
    .await?;
    rpc.check(network.chain_id, &[network.market]).await?;
    let domain = network.domain();
    let finality = Finality::Depth(config.chain.confirmations + 1);
    let poll_interval = Duration::from_millis(config.chain.poll_ms);
    let (reports, _) = broadcast::channel(REPORTS_WAITING_MAX);
    let mut tasks = Vec::new();
    let (failed, failure) = tokio::sync::watch::channel(None);
    let (mut sender, mut sender_health) = (None, None);
    if let Some(signer) = &signer {
        let mut settings = SenderConfig::new(network.chain_id);
        (
            settings.finality,
            settings.poll_interval,
            settings.decode_error,
        ) = (finality, poll_interval, decode_refusal);
        let (handle, task, mut outcomes) =
            Sender::open(rpc.clone(), Arc::clone(&store), signer.clone(), settings)?;
        sender_health = Some(handle.health());
        sender = Some(handle);
        let to = reports.clone();
        tasks.push(tokio::spawn(async move {
            while let Some(report) = outcomes.recv().await {
                // Nobody may be listening; whoever waits later asks the journal.
                let _ = to.send(report);
            }
        }));
        tasks.push(until(&stop, &failed, async move {
            Err(task.run().await.to_string())
        }));
    }
    let chain = Chain::new(&rpc, network.market, sender, reports);
    let parameters = chain.parameters().await?;
    let chain = chain
        .with_game(parameters.game)
        .with_audits(parameters.audits);
    let (audit_rules, stake_per_audit) = chain.audit_rules().await?;
    let interpreters = interpreters(&config, &chain.game_parameters().await?);

    let auction = match network.auction {
        None => None,
        Some(_) => {
            let client = outcry_sdk::Chain::over(&network, rpc.provider().clone(), signer.clone());
            let rules = client.auction().await.map_err(StartError::Network)?;
            let orders = config.reserve.orders_dir.clone();
            let orders = orders.unwrap_or_else(|| folder.path().join("reserve"));
            Some((client, rules, orders))
        }
    };
    // The market stays first: it names the cursor.
    let mut contracts = vec![network.market, parameters.game, parameters.audits];
    contracts.extend(network.auction);
    let mut reading = FollowerConfig::new(contracts, config.chain.start_block);
    (reading.finality, reading.poll_interval) = (finality, poll_interval);
    let follower = Follower::open(rpc.clone(), Arc::clone(&store), reading).await?;

    let account = signer
        .as_ref()
        .map(alloy::signers::local::PrivateKeySigner::address);
    let setup = Setup {
        account,
        capacity: account
            .filter(|_| config.is(Role::Provider))
            .map(|account| capacity(&config, &network, account, peer_key)),
        is_gateway: config.is(Role::Gateway),
        send_timeouts: config.gateway.send_timeouts,
        sample_bps: if config.is(Role::Verifier) {
            config.verifier.sample_bps
        } else {
            0
        },
        sample_secret: keccak256(identity.to_bytes()),
        price_min: config.verifier.price_min.0,
        checks_max: config.verifier.checks_waiting_max as usize,
        games_max: if config.is(Role::Verifier) && config.verifier.challenge {
            config.verifier.games_max as usize
        } else {
            0
        },
    };
    if setup.games_max > 0 && account.is_none() {
        tracing::warn!(
            "false claims are only reported: a challenge needs `account_key_file` or OUTCRY_ACCOUNT_KEY"
        );
    }
    let windows = Windows {
        admission_s: parameters.admissionWindow.into(),
        challenge_s: parameters.challengeWindow.into(),
    };
    let mut state = State::new(
        setup,
        windows,
        Book::new(domain, parameters.collateralFloor),
    );
    state.audits.rules = audit_rules;
    // A verifier that has no account, or does not challenge, could not bring the games that it would owe.
    state.audits.capacity =
        (account.is_some() && config.is(Role::Verifier)).then_some(if config.verifier.challenge {
            config.verifier.audits
        } else {
            0
        });
    if let Some((_, rules, _)) = &auction {
        state.draws.terms = draw::Terms {
            pools: rules.pools.clone(),
            draw_s: rules.parameters.drawS.into(),
        };
        let tends = config.reserve.tend && account.is_some();
        state.rounds.calendar = tends.then_some(rules.calendar);
    }
    if config.reserve.tend && state.rounds.calendar.is_none() {
        tracing::warn!(
            "no rounds are tended: that needs a network with an auction, and `account_key_file` or \
             OUTCRY_ACCOUNT_KEY"
        );
    }
    // The own offer of an earlier life; `readmit` puts it into the book.
    state.offer = journal::offers(store.as_ref(), 0)?
        .pop()
        .map(|signed| (domain.offer_hash(&signed.offer), signed));
    let core = Arc::new(Core::open(state, store)?);

    let blobs = BlobStore::open(BlobStoreConfig {
        directory: folder.path().join("blobs"),
        capacity_bytes: config.blobs.mib_max * MIB,
    })
    .await?;
    let deals = Arc::new(Deals::default());
    let handlers = Handlers {
        book: Arc::new(SharedBook {
            core: Arc::clone(&core),
            sharding: network.shards,
        }),
        deals: Arc::clone(&deals) as _,
    };
    let peers = peer_settings(&config, &network, shards)?;
    let (net, events) =
        Peers::start(peers, &identity, blobs.clone(), handlers, &mut registry).await?;

    let scratch = folder.path().join("scratch");
    // What a killed node left there belongs to runs that start again.
    let _ = std::fs::remove_dir_all(&scratch);
    std::fs::create_dir_all(&scratch)?;
    let cache = config
        .executor
        .cache_dir
        .clone()
        .unwrap_or_else(|| folder.path().join("cache"));
    let api_address = config.api.listen;
    let listener = TcpListener::bind(api_address)
        .await
        .map_err(|source| StartError::Listen {
            address: api_address,
            source,
        })?;
    let api = listener.local_addr()?;
    let cache = CacheLimits {
        folder: cache,
        bytes_max: config.executor.cache_mib_max * MIB,
    };
    let (traces_max, snapshot_bytes) = trace::shares(config.dispute.memory_mib_max);
    let engines = engines(Engines {
        tracer: Arc::new(Interpreter {
            cache: cache.clone(),
            snapshot_bytes,
        }),
        executor: Arc::new(Engine {
            program: worker,
            cache,
            overhead_mib: config.executor.overhead_mib,
            prepare_time_max: Duration::from_secs(config.executor.prepare_s_max),
            scratch,
        }),
    });
    let views = Arc::new(chain.clone());
    let admission = Arc::new(Admission::new(
        Arc::clone(&core),
        domain,
        views,
        net.clone(),
    ));
    let node = Arc::new(Node {
        admission: Arc::clone(&admission),
        domain,
        parameters,
        stake_per_audit,
        peer_key,
        signer,
        core,
        chain,
        auction: auction.map(|(client, rules, orders)| Auction::new(client, rules, orders)),
        fetcher: Fetcher {
            net,
            blobs,
            blob_bytes_max: config.blobs.blob_mib_max * MIB,
        },
        executor: engines.executor,
        traces: Traces::new(Arc::clone(&engines.tracer), interpreters, traces_max),
        tracer: engines.tracer,
        metrics: Arc::new(Metrics::new(registry, rpc_switches, &admission)),
        reader_health: follower.health(),
        sender_health,
        schedule: std::sync::Mutex::default(),
        notices: progress::limit(),
        gas: GasUses::default(),
        fetching: Turns::new(FETCHED_AT_ONCE),
        verifying: Turns::new(config.verifier.checks_at_once as usize),
        challenging: Turns::new(1),
        stop: stop.clone(),
        config,
        network,
    });
    deals.serve(&node);
    tasks.push(tokio::spawn(readmit(Arc::clone(&node))));
    let following = follow::follow(Arc::clone(&node), follower);
    tasks.push(until(&stop, &failed, async move {
        following.await.map_err(|error| error.to_string())
    }));
    tasks.push(tokio::spawn(ingest(admission, events, stop.clone())));
    tasks.push(tokio::spawn(activities::carry_out(Arc::clone(&node))));
    tasks.push(tokio::spawn(arrivals::match_them(Arc::clone(&node))));
    tasks.push(tokio::spawn(prune::run(Arc::clone(&node))));
    let router = api::router(Arc::clone(&node), access);
    let stopping = stop.clone();
    let serving = axum::serve(listener, router)
        .with_graceful_shutdown(async move { stopping.cancelled().await });
    tasks.push(until(&stop, &failed, async move {
        serving.await.map_err(|error| error.to_string())
    }));
    Ok(Running {
        api,
        node,
        tasks,
        failure,
        _folder: folder,
    })
}

/// Runs a part of the node; when it fails, the node stops and says why.
fn until(
    stop: &CancellationToken,
    failed: &tokio::sync::watch::Sender<Option<String>>,
    part: impl Future<Output = Result<(), String>> + Send + 'static,
) -> JoinHandle<()> {
    let (stop, failed) = (stop.clone(), failed.clone());
    tokio::spawn(async move {
        let result = tokio::select! {
            result = part => result,
            () = async { stop.cancelled().await; tokio::time::sleep(STOP_TIME_MAX).await } => Ok(()),
        };
        if let Err(error) = result {
            tracing::error!(error, "the node has to stop");
            failed.send_replace(Some(error));
            stop.cancel();
        }
    })
}

impl Running {
    /// Tells the service manager, if there is one, that the node is up.
    pub fn announce_ready(&self) {
        // Fails where no service manager listens, which is most of the time.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        let shards = self.node.fetcher.net.shards();
        tracing::info!(api = %self.api, peer = %self.node.peer_key, roles = ?self.node.config.roles, %shards, "the node is up");
    }

    /// Waits until the node is told to stop or has to; returns why it had to.
    ///
    /// # Errors
    /// The reason in words, for the operator.
    pub async fn finish(self) -> Result<(), String> {
        self.node.stop.cancelled().await;
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        // Work in hand may end; what does not is taken up again at the next start.
        let deadline = tokio::time::Instant::now() + STOP_TIME_MAX;
        self.node.fetcher.net.stop().await;
        let idle = async {
            while self.node.activities_running() > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let _ = tokio::time::timeout_at(deadline, idle).await;
        for task in &self.tasks {
            task.abort();
        }
        let failure = self.failure.borrow().clone();
        failure.map_or(Ok(()), Err)
    }
}

fn outcry_net_identity(seed: &[u8; 32]) -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(seed)
}

/// Interpreters that run at once. Warns a provider that may be late when it is challenged.
fn interpreters(config: &Config, game: &outcry_contracts::Game::GameParameters) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let allowance = Allowance {
        inclusion_delay_s: game.inclusionDelay,
        interpreter_speed: game.interpreterSpeed,
    };
    let interpreters = allowance.interpreters(config.dispute.interpreters, cores);
    let covered = allowance.cycle_limit_covered(interpreters, cores);
    if config.is(Role::Provider) && config.provider.cycle_limit_max > covered {
        tracing::warn!(
            interpreters,
            cores,
            needed = allowance.interpreters_needed(),
            covered,
            "who challenges many claims at once about the slowest programs can make this provider late, \
             which costs its collateral, unless it takes no tasks of larger cycle limits than `covered`: set \
             `provider.cycle_limit_max`, or run on more cores"
        );
    }
    interpreters
}

/// What a provider's configuration says, as the unsigned part of its offers.
fn capacity(config: &Config, network: &Network, provider: Address, peer_key: B256) -> Capacity {
    let wanted = &config.provider;
    let default_token = network
        .tokens
        .first()
        .map_or(Address::ZERO, |token| token.address);
    Capacity {
        provider,
        peer_key,
        capacity_id: peer_key,
        token: wanted.token.unwrap_or(default_token),
        slots: wanted.slots.saturating_sub(config.reserve.slots),
        region: wanted.region,
        attributes: wanted
            .attributes
            .iter()
            .fold(U256::ZERO, |bits, bit| bits | (U256::from(1) << *bit)),
        resources: wanted.slot(),
        start_fee: wanted.start_fee.0,
        cycle_price: wanted.cycle_price.0,
        memory_price: wanted.memory_price.0,
        disk_price: wanted.disk_price.0,
        egress_price: wanted.egress_price.0,
        speed: wanted.speed,
        cycle_limit_max: wanted.cycle_limit_max,
        collateral_max: wanted.collateral_max.0,
        value_at_risk_max: wanted.value_at_risk_max.0,
        machine_version: MACHINE_VERSION_MAX,
        tip: wanted.tip.0,
        offer_s: wanted.offer_s,
    }
}

fn peer_settings(
    config: &Config,
    network: &Network,
    shards: ShardSet,
) -> Result<NetworkConfig, ConfigError> {
    let parse = |key: &str, addresses: &[String]| {
        let parsed = addresses.iter().map(|text| {
            text.parse().map_err(|error| ConfigError::BadValue {
                origin: "configuration".into(),
                message: format!("`{key}`: `{text}` is not a multiaddress: {error}"),
            })
        });
        parsed.collect::<Result<Vec<outcry_net::Multiaddr>, ConfigError>>()
    };
    let mut settings = NetworkConfig::new(network.chain_id, network.market);
    (settings.sharding, settings.shards) = (network.shards, shards);
    settings.listen = parse("net.listen", &config.net.listen)?;
    settings.bootstrap = parse("net.bootstrap", &config.net.bootstrap)?;
    settings
        .bootstrap
        .extend(parse("network.bootstrap", &network.bootstrap)?);
    let is_local = config
        .net
        .listen
        .iter()
        .all(|address| address.starts_with("/ip4/127.") || address.starts_with("/ip6/::1"));
    if is_local {
        settings.reachability = Reachability::Public;
    }
    Ok(settings)
}

/// Puts the jobs and offers of an earlier life into the book again, once the chain is read: before,
/// nothing could be said about their accounts.
async fn readmit(node: Arc<Node>) {
    let mut changed = node.changed();
    while !node.read(|state| state.is_synced) {
        if changed.changed().await.is_err() {
            return;
        }
    }
    let own = node.read(|state| {
        let bids = state.jobs.values().filter(|job| !job.state.is_terminal());
        let bids = bids.map(|job| Message::Bid(job.signed.clone()));
        bids.chain(
            state
                .offer
                .iter()
                .map(|(_, offer)| Message::Offer(offer.clone())),
        )
        .collect::<Vec<_>>()
    });
    let shards = node.fetcher.net.shards();
    for message in own {
        let shard = node.admission.shard_of(&message);
        if !shards.contains(shard) {
            tracing::warn!(
                shard,
                %shards,
                "an own order of an earlier life lies outside `gossip`: it is left to the nodes that know it"
            );
            continue;
        }
        if let Err(problem) = node.admission.admit(Fact::Order(message)).await {
            tracing::debug!(%problem, code = problem.code().id, "an own order is over");
        }
    }
}
