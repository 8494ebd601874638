//! A network for one test, and a buyer on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, U256};
use alloy::providers::{DynProvider, Provider as _, ProviderBuilder};
use alloy::signers::local::PrivateKeySigner;
use outcry_contracts::Market;
use outcry_protocol::shard::Sharding;
use outcry_sdk::api::Job as JobView;
use outcry_sdk::{
    Client, Engine, Finished, Job, JobBuilder, Limits, Network, Patience, Terms, Trust,
};
use outcry_testnet::conservation::{BURN, Books};
use outcry_testnet::deployment::Windows;
use outcry_testnet::network::{EVERY_CLAIM, Plan, Testnet};
use outcry_testnet::process::Lifetime;
use tokio::sync::{Mutex, MutexGuard};

/// Networks run one at a time: two cores serve one well, and deadlines are real seconds.
static TURN: Mutex<()> = Mutex::const_new(());

/// Windows short enough to wait for.
pub(crate) const WINDOWS: Windows = Windows {
    admission_s: 20,
    challenge_s: 10,
    demand_s: 10,
    withdrawal_s: 5,
    inclusion_s: 60,
    beacon_s: 2,
    auction_phase_s: 15,
};

/// A network with a buyer; its processes end with it.
pub(crate) struct Fixture {
    pub(crate) testnet: Testnet,
    pub(crate) client: Client,
    pub(crate) chain: DynProvider,
    pub(crate) engine: Arc<Engine>,
    before: Books,
    _dir: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Fixture {
    pub(crate) async fn new(providers: usize) -> Self {
        Self::with_slots(providers, 1).await
    }

    pub(crate) async fn with_slots(providers: usize, slots: u32) -> Self {
        Self::start(|plan| Plan {
            providers,
            slots,
            ..plan
        })
        .await
    }

    /// A network of one provider, changed as wanted.
    pub(crate) async fn start(change: impl FnOnce(Plan) -> Plan) -> Self {
        let turn = TURN.lock().await;
        let dir = tempfile::Builder::new()
            .prefix("outcry")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .unwrap();
        let plan = change(Plan {
            dir: dir.path().join("network"),
            providers: 1,
            verifiers: 0,
            slots: 1,
            reserved: 0,
            interpreters: 0,
            shards: Sharding::ONE,
            block_time_s: 1,
            windows: WINDOWS,
            cheats: BTreeMap::new(),
            sample_bps: EVERY_CLAIM,
            lifetime: Lifetime::Tied,
        });
        let testnet = Testnet::up(&plan, &|line| println!("{line}"))
            .await
            .unwrap();
        let network = Network::load(&testnet.network_toml()).unwrap();
        let client = Client::new(network, Some(testnet.signer("buyer").unwrap())).unwrap();
        let chain = ProviderBuilder::new()
            .connect_http(testnet.rpc.parse().unwrap())
            .erased();
        let before = Books::read(&chain, &testnet).await.unwrap();
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("engine");
        let engine = Arc::new(Engine::new(Some(&cache)).unwrap());
        Self {
            testnet,
            client,
            chain,
            engine,
            before,
            _dir: dir,
            _turn: turn,
        }
    }

    /// A client for the same network that signs with another key.
    pub(crate) fn client_of(&self, signer: PrivateKeySigner) -> Client {
        Client::new(
            Network::load(&self.testnet.network_toml()).unwrap(),
            Some(signer),
        )
        .unwrap()
    }

    pub(crate) fn market(&self) -> Market::MarketInstance<&DynProvider> {
        Market::new(self.testnet.market, &self.chain)
    }

    /// A market that sends with the buyer's key.
    pub(crate) fn buyers_market(&self) -> Market::MarketInstance<DynProvider> {
        let provider = ProviderBuilder::new()
            .wallet(alloy::network::EthereumWallet::from(
                self.testnet.signer("buyer").unwrap(),
            ))
            .connect_http(self.testnet.rpc.parse().unwrap())
            .erased();
        Market::new(self.testnet.market, provider)
    }

    /// Free balance on the market, in base units of the payment token.
    pub(crate) async fn balance(&self, account: Address) -> U256 {
        self.market()
            .balanceOf(account, self.testnet.payment_token)
            .call()
            .await
            .unwrap()
    }

    pub(crate) async fn burned(&self) -> U256 {
        self.balance(BURN).await
    }

    pub(crate) fn account(&self, name: &str) -> Address {
        self.testnet.accounts[name]
    }

    pub(crate) async fn job(&self, builder: JobBuilder) -> Job {
        let source = self.client.check().await.unwrap().peer_key;
        builder.build(source).unwrap()
    }

    /// Submits, waits, checks every task by running it again, accepts.
    pub(crate) async fn run(&self, builder: JobBuilder, terms: &Terms) -> Finished {
        let job = self.job(builder).await;
        let bid = self.client.bid(&job, terms, None).await.unwrap();
        self.client
            .run(
                &job,
                &bid,
                &Trust::Recheck(Arc::clone(&self.engine)),
                patience(),
                |_| {},
            )
            .await
            .unwrap()
    }

    /// Waits until a job looks as wanted.
    pub(crate) async fn wait_for_job(
        &self,
        id: B256,
        what: &str,
        wanted: impl Fn(&JobView) -> bool,
    ) -> JobView {
        // The node may be down at the moment.
        wait_until(what, || async {
            self.client.node().job(id).await.ok().filter(&wanted)
        })
        .await
    }

    /// Waits until no deal holds money any more, and checks that none was made or lost.
    pub(crate) async fn check_conservation(&self) {
        let after = wait_until("every deal is final", || async {
            Books::read(&self.chain, &self.testnet)
                .await
                .ok()
                .filter(Books::is_settled)
        })
        .await;
        assert!(
            after.conserves(&self.before),
            "before {:?}, after {after:?}",
            self.before
        );
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for process in &self.testnet.processes {
                let log = std::fs::read_to_string(&process.log).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                println!(
                    "--- {}\n{}",
                    process.name,
                    lines[lines.len().saturating_sub(40)..].join("\n")
                );
            }
        }
        self.testnet.down();
    }
}

/// Looks again and again until there is a value; panics after two minutes.
pub(crate) async fn wait_until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn patience() -> Patience {
    Patience {
        match_within: Duration::from_secs(60),
        finish_within: Duration::from_secs(180),
    }
}

pub(crate) fn program(name: &str) -> Vec<u8> {
    std::fs::read(programs().join(name)).unwrap()
}

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// A job of `ends.wasm`, whose arguments say how it ends.
pub(crate) fn ends(args: &[&str]) -> JobBuilder {
    JobBuilder::wasm("ends", program("ends.wasm"))
        .args(args.iter().copied())
        .limits(Limits {
            cycles: 100_000_000,
            memory_mib: 64,
            output_bytes: 1 << 20,
            ..Limits::default()
        })
}

/// A picture that takes seconds.
pub(crate) fn picture() -> JobBuilder {
    JobBuilder::wasm("sphereflake", program("sphereflake.wasm"))
        .args(["480", "360", "2"])
        .limits(Limits {
            cycles: 6_000_000_000,
            memory_mib: 64,
            ..Limits::default()
        })
}

/// Terms with timeouts short enough to wait for.
pub(crate) fn quick() -> Terms {
    Terms {
        queue_timeout_s: 10,
        execution_timeout_s: Some(10),
        life_s: 120,
        ..Terms::default()
    }
}
