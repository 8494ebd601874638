//! A node for tests of what is thin around the state.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use alloy::primitives::{Address, B256};
use outcry_chain::{BlockRef, ReaderHealth, Rpc};
use outcry_net::{BlobStore, BlobStoreConfig, Handlers, Network as Peers, NetworkConfig, PeerKey};
use outcry_protocol::book::Book;
use outcry_protocol::hash::Domain;
use outcry_protocol::shard::Sharding;
use outcry_sdk::Network;
use outcry_store::MemoryStore;
use tokio::sync::{broadcast, watch};

use crate::admission::Admission;
use crate::chain::Chain;
use crate::config::Config;
use crate::core::Core;
use crate::deals::Deals;
use crate::dispute::trace::{Interpreter, Traces};
use crate::gas::GasUses;
use crate::ingest::SharedBook;
use crate::inputs::Fetcher;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::progress;
use crate::run::Engine;
use crate::state::chain::Block;
use crate::state::{Fact, Setup, State, Windows, example as orders};
use crate::turns::Turns;

/// A gateway that has seen one block of a chain that does not answer.
pub(crate) async fn gateway() -> (Arc<Node>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let identity = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let market = Address::repeat_byte(0xaa);
    let domain = Domain::new(31_337, market);
    let windows = Windows {
        admission_s: 20,
        challenge_s: 60,
    };
    let setup = Setup {
        account: None,
        capacity: None,
        is_gateway: true,
        send_timeouts: true,
        sample_bps: 0,
        sample_secret: B256::ZERO,
        price_min: 0,
        checks_max: 0,
        games_max: 0,
    };
    let state = State::new(setup, windows, Book::new(domain, 0));
    let core = Arc::new(Core::open(state, Arc::new(MemoryStore::new())).unwrap());
    let last = Block {
        number: 1,
        hash: B256::repeat_byte(1),
        at: orders::START,
    };
    core.apply(Fact::Blocks {
        last,
        is_head: true,
        events: vec![],
        facts: vec![],
    })
    .await
    .unwrap();
    let directory = folder.path().join("blobs");
    let blobs = BlobStore::open(BlobStoreConfig {
        directory,
        capacity_bytes: 1 << 20,
    })
    .await
    .unwrap();
    let handlers = Handlers {
        book: Arc::new(SharedBook {
            core: Arc::clone(&core),
            sharding: Sharding::ONE,
        }),
        deals: Arc::new(Deals::default()),
    };
    let mut peers = NetworkConfig::new(31_337, market);
    peers.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    let mut registry = prometheus_client::registry::Registry::default();
    let (net, _events) = Peers::start(peers, &identity, blobs.clone(), handlers, &mut registry)
        .await
        .unwrap();
    // Nothing listens on port 1; connections are made when they are needed.
    let rpc = Rpc::connect(&["http://127.0.0.1:1".into()], 31_337, |_| ())
        .await
        .unwrap();
    let read = BlockRef {
        number: 1,
        hash: last.hash,
        parent: B256::ZERO,
        timestamp_s: last.at,
    };
    let health = ReaderHealth {
        head: Some(read),
        read,
        settled: 1,
        failures: 0,
        error: None,
    };
    let cache = outcry_executor::CacheLimits {
        folder: folder.path().join("cache"),
        bytes_max: 0,
    };
    let tracer = Arc::new(Interpreter {
        cache: cache.clone(),
        snapshot_bytes: 0,
    });
    let chain = Chain::new(&rpc, market, None, broadcast::channel(1).0);
    let views = Arc::new(chain.clone());
    let admission = Arc::new(Admission::new(
        Arc::clone(&core),
        domain,
        views,
        net.clone(),
    ));
    let node = Arc::new(Node {
        admission: Arc::clone(&admission),
        config: Config::default(),
        network: Network {
            chain_id: 31_337,
            rpc: "http://127.0.0.1:1".into(),
            api: "http://127.0.0.1:1".into(),
            market,
            stake: Address::ZERO,
            token: Address::ZERO,
            auction: None,
            shards: Sharding::ONE,
            bootstrap: vec![],
            key_file: None,
            python: None,
            tokens: vec![],
        },
        domain,
        parameters: Default::default(),
        stake_per_audit: 0,
        peer_key: B256::from(PeerKey::of(&identity).0),
        signer: None,
        core,
        chain,
        auction: None,
        fetcher: Fetcher {
            net,
            blobs,
            blob_bytes_max: 1000,
        },
        traces: Traces::new(Arc::clone(&tracer) as _, 1, 1),
        tracer,
        executor: Arc::new(Engine {
            program: "/nonexistent".into(),
            cache,
            overhead_mib: 0,
            prepare_time_max: std::time::Duration::ZERO,
            scratch: folder.path().into(),
        }),
        metrics: Arc::new(Metrics::new(registry, Default::default(), &admission)),
        reader_health: watch::channel(health).1,
        sender_health: None,
        schedule: std::sync::Mutex::default(),
        notices: progress::limit(),
        gas: GasUses::default(),
        fetching: Turns::new(1),
        verifying: Turns::new(1),
        challenging: Turns::new(1),
        stop: tokio_util::sync::CancellationToken::new(),
    });
    (node, folder)
}
