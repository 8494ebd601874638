//! One job from submission to payment: a gateway and two providers inside this process, a real
//! chain beside it, workers as processes of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::hex;
use alloy::signers::local::PrivateKeySigner;
use outcry_daemon::config::{Amount, Config, Role};
use outcry_daemon::{Running, start};
use outcry_net::PeerKey;
use outcry_protocol::status::Status;
use outcry_sdk::api::{JobEventKind, JobState, TokenInfo};
use outcry_sdk::{Client, Engine, JobBuilder, Limits, Network, Patience, Terms, Trust};
use outcry_testnet::deployment::{self, LOCAL};
use outcry_testnet::process::Lifetime;
use tokio_util::sync::CancellationToken;

const CHAIN_ID: u64 = 31_337;

/// Prints its task's number, which it finds in the environment as `OUTCRY_TASK=…`, by printing the
/// whole environment.
const PROGRAM: &str = r#"(module
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (drop (call $environ (i32.const 4096) (i32.const 8192)))
    (i32.store (i32.const 16) (i32.const 8192))
    (i32.store (i32.const 20) (i32.load (i32.const 4)))
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)))))"#;

async fn node(
    folder: &Path,
    name: &str,
    role: Role,
    network: &Path,
    signer: &PrivateKeySigner,
    price: u128,
) -> Running {
    let key = folder.join(format!("{name}.key"));
    std::fs::write(&key, hex::encode(signer.to_bytes())).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut config = Config {
        roles: [role].into(),
        data_dir: Some(folder.join(name)),
        network: Some(network.to_owned()),
        account_key_file: Some(key),
        ..Config::default()
    };
    config.api.listen = "127.0.0.1:0".parse().unwrap();
    config.chain.poll_ms = 100;
    config.executor.cache_dir = Some(folder.join("cache"));
    config.provider.start_fee = Amount(price);
    config.provider.speed = 100_000_000;
    let worker = env!("CARGO_BIN_EXE_outcry").into();
    start(config, worker, |_| None, CancellationToken::new())
        .await
        .expect("the node starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_of_four_tasks_is_run_by_two_providers_accepted_and_paid() {
    let _ = outcry_daemon::install_log(&outcry_daemon::config::Log {
        filter: "info".into(),
        ..Default::default()
    });
    let folder = tempfile::tempdir().unwrap();
    let names = ["gateway", "provider-1", "provider-2", "buyer"];
    let accounts: BTreeMap<String, PrivateKeySigner> = names
        .iter()
        .map(|name| ((*name).to_owned(), PrivateKeySigner::random()))
        .collect();
    let (chain, rpc) = outcry_testnet::chain::start(
        folder.path(),
        0,
        CHAIN_ID,
        deployment::HEAD_START_S,
        Lifetime::Tied,
    )
    .unwrap();
    let deployed = deployment::deploy(&rpc, &LOCAL, &accounts)
        .await
        .expect("the contracts are deployed");
    deployment::mine_each(&rpc, 1).await.unwrap();

    let mut network = Network {
        chain_id: CHAIN_ID,
        rpc,
        api: "http://127.0.0.1:1".into(),
        market: deployed.market,
        stake: deployed.stake,
        token: deployed.protocol_token,
        auction: Some(deployed.auction),
        shards: Default::default(),
        bootstrap: vec![],
        key_file: None,
        python: None,
        tokens: vec![TokenInfo {
            symbol: "tUSD".into(),
            address: deployed.payment_token,
            decimals: 6,
        }],
    };
    let file = folder.path().join("network.toml");
    network.save(&file).unwrap();
    let gateway = node(
        folder.path(),
        "gateway",
        Role::Gateway,
        &file,
        &accounts["gateway"],
        0,
    )
    .await;
    network.api = format!("http://{}", gateway.api);
    network.bootstrap = gateway
        .node
        .fetcher
        .net
        .addresses()
        .iter()
        .map(ToString::to_string)
        .collect();
    network.save(&file).unwrap();
    let first = node(
        folder.path(),
        "provider-1",
        Role::Provider,
        &file,
        &accounts["provider-1"],
        1_000,
    )
    .await;
    let second = node(
        folder.path(),
        "provider-2",
        Role::Provider,
        &file,
        &accounts["provider-2"],
        1_001,
    )
    .await;

    // Every node matches by its own book: one that lacked an offer would give all tasks to the other.
    for running in [&gateway, &first, &second] {
        let mut changed = running.node.changed();
        let offers = async {
            while running.node.read(|state| state.book.live_offers().count()) < 2 {
                changed.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(60), offers)
            .await
            .expect("both offers reach every node");
    }

    let client = Client::new(network, Some(accounts["buyer"].clone())).unwrap();
    let job = JobBuilder::wasm("tasks.wasm", wat::parse_str(PROGRAM).unwrap())
        .tasks(4)
        .limits(Limits {
            cycles: 1_000_000_000,
            memory_mib: 64,
            ..Limits::default()
        })
        .build(gateway.node.peer_key)
        .expect("the job is built");
    // Time is worth more than the difference in price, so the tasks go to both slots.
    let terms = Terms {
        value_of_time: 1_000_000_u64.into(),
        ..Terms::default()
    };
    let bid = client.bid(&job, &terms, None).await.expect("a bid");
    let trust = Trust::Recheck(Arc::new(Engine::new(None).unwrap()));
    let patience = Patience {
        match_within: Duration::from_secs(60),
        finish_within: Duration::from_secs(120),
    };
    let finished = client
        .run(&job, &bid, &trust, patience, |_| ())
        .await
        .expect("the job finishes");

    assert_eq!(finished.tasks.len(), 4);
    for (index, task) in finished.tasks.iter().enumerate() {
        assert_eq!(task.outcome.status, Status::Exited);
        let stdout = String::from_utf8(task.stdout()).unwrap();
        assert!(
            stdout.contains(&format!("OUTCRY_TASK={index}\0"))
                && stdout.contains("OUTCRY_TASKS=4\0"),
            "{stdout:?}"
        );
    }
    assert_eq!(
        finished.providers.iter().collect::<BTreeSet<_>>().len(),
        2,
        "both providers ran tasks"
    );

    let mut changed = gateway.node.changed();
    let settled = async {
        while gateway.node.read(|state| state.jobs[&finished.id].state) != JobState::Settled {
            changed.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), settled)
        .await
        .expect("every task is paid");
    let events = gateway.node.job_events(finished.id, 0, 100).await.unwrap();
    assert!(matches!(
        events.last().unwrap().event,
        JobEventKind::Ended {}
    ));
    let view = client.node().job(finished.id).await.unwrap();
    assert_eq!((view.tasks_settled, view.tasks_open), (4, 0));
    assert!(
        view.deals
            .iter()
            .all(|deal| deal.peer_key != PeerKey([0; 32]).0)
    );

    for running in [gateway, first, second] {
        running.node.stop.cancel();
        running.finish().await.expect("an orderly end");
    }
    chain.kill();
}
