//! The follower sees every event of the chain as it finally is, once, whatever happens on the way.

use std::{sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, B256, U256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::Filter,
};
use outcry_chain::{ChainError, ChainUpdate, Finality, Follower, FollowerConfig, Rpc};
use outcry_store::{
    Batch, Fault, MemoryStore, Prefix, Store, StoreError, entries,
    keys::{self, Table},
};
use serde_json::{Value, json};

use crate::{
    anvil::{Anvil, CHAIN_ID, Probe::ProbeEvents},
    proxy::{Proxy, Verdict},
};

type Update = ChainUpdate<ProbeEvents>;

/// More updates than any test produces.
const UPDATES_MAX: usize = 200;
/// Blocks within which a subscription over loopback stands.
const BLOCKS_MAX: usize = 500;

fn config(anvil: &Anvil) -> FollowerConfig {
    FollowerConfig {
        finality: Finality::Depth(3),
        poll_interval: Duration::from_millis(1),
        ..FollowerConfig::new(vec![anvil.probe], anvil.start_block)
    }
}

async fn open(rpc: Rpc, store: &MemoryStore, anvil: &Anvil) -> Follower<ProbeEvents> {
    Follower::open(rpc, Arc::new(store.restart()), config(anvil))
        .await
        .unwrap()
}

fn sum(store: &dyn Store) -> U256 {
    let value = store.get(&keys::singleton("sum")).unwrap();
    value.map_or(U256::ZERO, |bytes| U256::from_be_slice(&bytes))
}

/// One record per event, and a sum that each event changes.
pub(crate) fn effects(store: &dyn Store, update: &Update) -> Batch {
    let mut batch = Batch::new();
    let ChainUpdate::Blocks(blocks) = update else {
        return batch;
    };
    let mut total = sum(store);
    for event in &blocks.events {
        let ProbeEvents::Noted(noted) = &event.event;
        total += noted.value;
        let key = keys::trade(event.block.number, event.log_index as u32);
        batch.put(key, noted.value.to_be_bytes::<32>());
        batch.put(keys::singleton("sum"), total.to_be_bytes::<32>());
    }
    batch
}

/// Takes every update up to the head; returns the rollbacks' targets.
pub(crate) async fn catch_up(
    follower: &mut Follower<ProbeEvents>,
    store: &MemoryStore,
) -> Vec<u64> {
    let mut rollbacks = Vec::new();
    for _ in 0..UPDATES_MAX {
        let Some(update) = follower.poll().await.unwrap() else {
            return rollbacks;
        };
        if let ChainUpdate::Rollback { to } = &update {
            rollbacks.push(to.number);
        }
        follower.acknowledge(effects(store, &update)).await.unwrap();
    }
    panic!("more updates than the chain has blocks");
}

/// The store holds exactly the events that the chain has now.
pub(crate) async fn assert_mirrors(store: &MemoryStore, anvil: &Anvil) {
    let filter = Filter::new().address(anvil.probe).from_block(0);
    let logs = anvil.provider.get_logs(&filter).await.unwrap();
    let wanted: Vec<_> = logs
        .iter()
        .map(|log| {
            let key = keys::trade(log.block_number.unwrap(), log.log_index.unwrap() as u32);
            (key, log.data().data.to_vec())
        })
        .collect();
    let found: Result<Vec<_>, _> = entries(store, &Prefix::table(Table::Trade)).collect();
    assert_eq!(found.unwrap(), wanted);
    let total = wanted.iter().fold(U256::ZERO, |sum, (_, value)| {
        sum + U256::from_be_slice(value)
    });
    assert_eq!(sum(store), total);
}

#[tokio::test]
async fn events_arrive_in_order_with_their_place_and_a_restart_goes_on_where_they_end() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let mut follower = open(anvil.rpc(), &store, &anvil).await;
    let first = anvil.note(11).await;
    let second = anvil.note(12).await;
    anvil.mine(1).await;

    let mut seen = Vec::new();
    for _ in 0..UPDATES_MAX {
        let Some(update) = follower.poll().await.unwrap() else {
            break;
        };
        if let ChainUpdate::Blocks(blocks) = &update {
            assert!(
                blocks
                    .headers
                    .windows(2)
                    .all(|pair| pair[1].parent == pair[0].hash)
            );
            assert_eq!(blocks.headers.last(), Some(&blocks.last));
            assert_eq!(
                blocks.settled,
                blocks.head.number - 2,
                "three blocks settle one"
            );
            seen.extend(blocks.events.clone());
        }
        follower
            .acknowledge(effects(&store, &update))
            .await
            .unwrap();
    }
    let place: Vec<(B256, u64)> = seen.iter().map(|e| (e.transaction, e.log_index)).collect();
    assert_eq!(place, [(first, 0), (second, 1)]);
    let header = anvil
        .provider
        .get_block_by_number(seen[0].block.number.into())
        .await
        .unwrap();
    let header = header.unwrap().header;
    assert_eq!(seen[0].block.hash, header.hash);
    assert_eq!(seen[0].block.timestamp_s, header.timestamp);
    assert_eq!(seen[0].address, anvil.probe);
    drop(follower);

    anvil.note(13).await;
    anvil.mine(1).await;
    let mut follower = open(anvil.rpc(), &store, &anvil).await;
    catch_up(&mut follower, &store).await;
    assert_mirrors(&store, &anvil).await;
    assert_eq!(follower.read().number, anvil.head().await);
}

#[tokio::test]
async fn an_update_comes_again_until_its_effects_are_on_disk() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    anvil.note(11).await;
    anvil.mine(1).await;
    for fault in [Fault::Refuse(1), Fault::CrashBefore(1)] {
        let disk = Arc::new(store.restart());
        let mut follower: Follower<ProbeEvents> =
            Follower::open(anvil.rpc(), disk.clone(), config(&anvil))
                .await
                .unwrap();
        disk.inject(fault);
        let update = follower.poll().await.unwrap().unwrap();
        let result = follower.acknowledge(effects(&store, &update)).await;
        assert!(matches!(result, Err(ChainError::Store(_))), "{result:?}");
        assert_eq!(follower.poll().await.unwrap(), Some(update));
        assert_eq!(sum(&store), U256::ZERO);
    }
    // Written, though the process died before it knew: it must not be applied twice.
    let disk = Arc::new(store.restart());
    let mut follower: Follower<ProbeEvents> =
        Follower::open(anvil.rpc(), disk.clone(), config(&anvil))
            .await
            .unwrap();
    disk.inject(Fault::CrashAfter(1));
    let update = follower.poll().await.unwrap().unwrap();
    follower
        .acknowledge(effects(&store, &update))
        .await
        .unwrap_err();
    let mut follower = open(anvil.rpc(), &store, &anvil).await;
    catch_up(&mut follower, &store).await;
    assert_mirrors(&store, &anvil).await;
}

#[tokio::test]
async fn a_key_that_somebody_else_changed_meanwhile_is_not_overwritten() {
    /// Changes a key between the follower's reading and its writing.
    #[derive(Debug)]
    struct Racing(MemoryStore);
    impl Store for Racing {
        fn get(&self, key: &outcry_store::Key) -> Result<Option<Vec<u8>>, StoreError> {
            let value = self.0.get(key);
            if *key == keys::singleton("sum") {
                self.0.apply(Batch::new().put(key.clone(), *b"theirs"))?;
            }
            value
        }
        fn scan(
            &self,
            prefix: &Prefix,
            after: Option<&outcry_store::Key>,
            limit: usize,
        ) -> Result<Vec<outcry_store::Entry>, StoreError> {
            self.0.scan(prefix, after, limit)
        }
        fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
            self.0.apply(batch)
        }
    }
    let anvil = Anvil::start().await;
    anvil.note(11).await;
    anvil.mine(1).await;
    let store = MemoryStore::new();
    let racing = Arc::new(Racing(store.restart()));
    let mut follower: Follower<ProbeEvents> = Follower::open(anvil.rpc(), racing, config(&anvil))
        .await
        .unwrap();
    let update = follower.poll().await.unwrap().unwrap();
    let error = follower
        .acknowledge(effects(&store, &update))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ChainError::Store(StoreError::Conflict(_))),
        "{error}"
    );
    assert_eq!(
        store.get(&keys::singleton("sum")).unwrap().unwrap(),
        b"theirs"
    );
}

#[tokio::test]
async fn a_fork_takes_back_what_it_took_back_and_nothing_else() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let mut follower = open(anvil.rpc(), &store, &anvil).await;
    for value in [11, 12, 13, 14] {
        anvil.note(value).await;
        anvil.mine(1).await;
        // One update a block, as at the head of a live chain.
        catch_up(&mut follower, &store).await;
    }
    let head = anvil.head().await;
    anvil.reorg(2).await;
    assert_eq!(catch_up(&mut follower, &store).await, [head - 2]);
    assert_mirrors(&store, &anvil).await;
    assert_eq!(sum(&store), U256::from(11 + 12));

    // The same again across a restart, with the fork growing past the old head.
    anvil.note(15).await;
    anvil.mine(1).await;
    catch_up(&mut follower, &store).await;
    drop(follower);
    anvil.reorg(1).await;
    anvil.note(16).await;
    anvil.mine(3).await;
    let mut follower = open(anvil.rpc(), &store, &anvil).await;
    assert_eq!(catch_up(&mut follower, &store).await.len(), 1);
    assert_mirrors(&store, &anvil).await;
}

#[tokio::test]
async fn lasting_writes_come_with_their_block_and_stay_when_it_goes() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let mut follower = open(anvil.rpc(), &store, &anvil).await;
    anvil.note(11).await;
    anvil.mine(1).await;
    let update = follower.poll().await.unwrap().unwrap();
    let seen = keys::singleton("seen");
    let mut lasting = Batch::new();
    lasting.put(seen.clone(), *b"11");
    follower
        .acknowledge_with(effects(&store, &update), lasting)
        .await
        .unwrap();
    anvil.reorg(1).await;
    assert_eq!(catch_up(&mut follower, &store).await.len(), 1);
    assert_eq!(sum(&store), U256::ZERO);
    assert_eq!(store.get(&seen).unwrap().unwrap(), b"11");
}

#[tokio::test]
async fn a_fork_inside_a_longer_update_goes_back_to_its_beginning() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let mut follower = open(anvil.rpc(), &store, &anvil).await;
    catch_up(&mut follower, &store).await;
    let before = follower.read().number;
    for value in 11..=18 {
        anvil.note(value).await;
        anvil.mine(1).await;
    }
    catch_up(&mut follower, &store).await;
    anvil.reorg(3).await;
    anvil.mine(1).await;
    assert_eq!(catch_up(&mut follower, &store).await, [before]);
    assert_mirrors(&store, &anvil).await;
}

#[tokio::test]
async fn a_chain_that_only_became_shorter_waits_until_it_is_another() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let mut follower = open(anvil.rpc(), &store, &anvil).await;
    anvil.mine(3).await;
    anvil.note(11).await;
    anvil.mine(1).await;
    catch_up(&mut follower, &store).await;
    let read = follower.read();

    anvil.provider.anvil_rollback(Some(1)).await.unwrap();
    assert_eq!(
        follower.poll().await.unwrap(),
        None,
        "a lagging endpoint looks just like this"
    );
    assert_eq!(follower.read(), read);

    anvil.provider.anvil_drop_all_transactions().await.unwrap();
    anvil.mine(2).await;
    assert_eq!(catch_up(&mut follower, &store).await.len(), 1);
    assert_mirrors(&store, &anvil).await;
    assert_eq!(sum(&store), U256::ZERO);
}

#[tokio::test]
async fn a_fork_below_everything_remembered_stops_the_follower() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let config = FollowerConfig {
        checkpoints_max: 3,
        ..config(&anvil)
    };
    let mut follower: Follower<ProbeEvents> =
        Follower::open(anvil.rpc(), Arc::new(store.restart()), config)
            .await
            .unwrap();
    for _ in 0..6 {
        anvil.mine(1).await;
        catch_up(&mut follower, &store).await;
    }
    anvil.note(11).await;
    anvil.reorg(5).await;
    let error = follower.next().await.unwrap_err();
    assert!(matches!(error, ChainError::ForkTooDeep { .. }), "{error}");
}

#[tokio::test]
async fn hundreds_of_missed_blocks_are_read_in_ranges_without_losing_an_event() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let mut follower = open(anvil.rpc(), &store, &anvil).await;
    for block in 0..300 {
        if block % 37 == 0 || block > 290 {
            anvil.note(10 + block).await;
        }
        anvil.mine(1).await;
    }
    let before = store.writes();
    catch_up(&mut follower, &store).await;
    assert_mirrors(&store, &anvil).await;
    assert!(store.writes() - before < 20, "many blocks an update");
}

#[tokio::test]
async fn a_refused_range_is_halved_until_it_is_taken() {
    let anvil = Anvil::start().await;
    for block in 0..150 {
        if block % 11 == 0 {
            anvil.note(10 + block).await;
        }
        anvil.mine(1).await;
    }
    let proxy = Proxy::before(&anvil.url).await;
    let (asked, widest) = (Arc::<std::sync::Mutex<Vec<u64>>>::default(), 7);
    let log = Arc::clone(&asked);
    proxy.judge(move |method, params| {
        if method != "eth_getLogs" || params[0]["fromBlock"].is_null() {
            return Verdict::Pass;
        }
        let blocks = number(&params[0]["toBlock"]) - number(&params[0]["fromBlock"]) + 1;
        log.lock().unwrap().push(blocks);
        if blocks > widest {
            Verdict::Refuse("query exceeds max block range")
        } else {
            Verdict::Pass
        }
    });
    let store = MemoryStore::new();
    let mut follower = open(proxy.rpc(Duration::from_secs(10)).await, &store, &anvil).await;
    catch_up(&mut follower, &store).await;
    assert_mirrors(&store, &anvil).await;
    assert!(
        asked.lock().unwrap().iter().any(|blocks| *blocks > widest),
        "it tried more"
    );
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

#[tokio::test]
async fn an_endpoint_that_stalls_refuses_or_hangs_up_is_asked_again() {
    let anvil = Anvil::start().await;
    anvil.note(11).await;
    anvil.mine(1).await;
    let proxy = Proxy::before(&anvil.url).await;
    let store = MemoryStore::new();
    let rpc = proxy.rpc(Duration::from_millis(200)).await;
    let mut follower = open(rpc, &store, &anvil).await;
    for method in ["eth_getBlockByNumber", "eth_getLogs"] {
        for fault in [
            || Verdict::Stall,
            || Verdict::Refuse("busy"),
            || Verdict::Drop,
        ] {
            proxy.judge(move |asked, _| {
                if asked == method {
                    fault()
                } else {
                    Verdict::Pass
                }
            });
            let error = follower.poll().await.unwrap_err();
            assert!(error.is_transient(), "{error}");
            assert!(follower.health().borrow().error.is_some());
        }
    }
    // `next` waits through failures by itself.
    let mut failures = 3;
    proxy.judge(move |_, _| {
        failures -= 1;
        if failures >= 0 {
            Verdict::Drop
        } else {
            Verdict::Pass
        }
    });
    let update = follower.next().await.unwrap();
    assert_eq!(follower.health().borrow().failures, 0);
    follower
        .acknowledge(effects(&store, &update))
        .await
        .unwrap();
    catch_up(&mut follower, &store).await;
    assert_mirrors(&store, &anvil).await;
}

#[tokio::test]
async fn an_endpoint_that_lies_about_its_head_changes_nothing() {
    let anvil = Anvil::start().await;
    anvil.mine(5).await;
    let store = MemoryStore::new();
    let proxy = Proxy::before(&anvil.url).await;
    let mut follower = open(proxy.rpc(Duration::from_secs(10)).await, &store, &anvil).await;
    catch_up(&mut follower, &store).await;
    let before = store.snapshot();

    let provider = anvil.provider.clone();
    let block = async |number: u64| -> Value {
        let params = (format!("0x{number:x}"), false);
        provider
            .raw_request("eth_getBlockByNumber".into(), params)
            .await
            .unwrap()
    };
    let head = anvil.head().await;
    let mut above = block(head).await;
    above["number"] = json!(format!("0x{:x}", head + 40));
    above["hash"] = json!(B256::repeat_byte(9));
    let below = block(head - 3).await;
    for lie in [above, below] {
        proxy.judge(move |method, params| {
            if method == "eth_getBlockByNumber" && params[0] == "latest" {
                return Verdict::Answer(lie.clone());
            }
            Verdict::Pass
        });
        assert_eq!(follower.poll().await.unwrap(), None);
        assert_eq!(store.snapshot(), before);
    }
}

#[tokio::test]
async fn a_replica_that_lacks_the_logs_of_a_block_is_caught_by_the_header() {
    let anvil = Anvil::start().await;
    anvil.note(11).await;
    anvil.mine(2).await;
    let proxy = Proxy::before(&anvil.url).await;
    proxy.judge(|method, params| {
        let ranged = !params[0]["fromBlock"].is_null();
        if method == "eth_getLogs" && ranged {
            Verdict::Answer(json!([]))
        } else {
            Verdict::Pass
        }
    });
    let store = MemoryStore::new();
    let mut follower = open(proxy.rpc(Duration::from_secs(10)).await, &store, &anvil).await;
    catch_up(&mut follower, &store).await;
    assert_mirrors(&store, &anvil).await;
    assert_eq!(sum(&store), U256::from(11));
}

#[tokio::test]
async fn logs_of_another_fork_than_the_headers_are_not_believed() {
    let anvil = Anvil::start().await;
    anvil.note(11).await;
    anvil.mine(1).await;
    let filter = json!({"address": anvil.probe, "fromBlock": "0x0"});
    let mut logs: Value = anvil
        .provider
        .raw_request("eth_getLogs".into(), [filter])
        .await
        .unwrap();
    logs[0]["blockHash"] = json!(B256::repeat_byte(9));
    let proxy = Proxy::before(&anvil.url).await;
    proxy.judge(move |method, _| match method {
        "eth_getLogs" => Verdict::Answer(logs.clone()),
        _ => Verdict::Pass,
    });
    let store = MemoryStore::new();
    let mut follower = open(proxy.rpc(Duration::from_secs(10)).await, &store, &anvil).await;
    let error = follower.poll().await.unwrap_err();
    assert!(matches!(error, ChainError::Moved), "{error}");
    proxy.pass();
    catch_up(&mut follower, &store).await;
    assert_mirrors(&store, &anvil).await;
}

#[tokio::test]
async fn a_node_on_the_wrong_chain_or_without_its_contract_is_told_so() {
    let anvil = Anvil::start().await;
    let rpc = anvil.rpc();
    rpc.check(CHAIN_ID, &[anvil.probe]).await.unwrap();
    let error = rpc.check(1, &[anvil.probe]).await.unwrap_err();
    assert!(
        matches!(
            error,
            ChainError::WrongChain {
                expected: 1,
                actual: CHAIN_ID
            }
        ),
        "{error}"
    );
    let nowhere = Address::repeat_byte(7);
    let error = rpc
        .check(CHAIN_ID, &[anvil.probe, nowhere])
        .await
        .unwrap_err();
    assert!(
        matches!(error, ChainError::NoContract(address) if address == nowhere),
        "{error}"
    );
}

#[tokio::test]
async fn next_returns_when_it_is_woken_or_a_block_comes() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    // So seldom that only waking can explain an answer.
    let config = FollowerConfig {
        poll_interval: Duration::from_secs(3600),
        ..config(&anvil)
    };
    let mut follower: Follower<ProbeEvents> =
        Follower::open(anvil.rpc(), Arc::new(store.restart()), config)
            .await
            .unwrap();
    catch_up(&mut follower, &store).await;
    let waker = follower.waker();
    let waiting = tokio::spawn(async move { follower.next().await.unwrap() });
    anvil.mine(1).await;
    waker.notify_one();
    // One permit may be used up before the block was there.
    tokio::task::yield_now().await;
    waker.notify_one();
    let ChainUpdate::Blocks(blocks) = waiting.await.unwrap() else {
        panic!("no fork happened")
    };
    assert_eq!(blocks.last.number, anvil.head().await);
}

#[tokio::test]
async fn a_pushed_head_wakes_the_reader() {
    let anvil = Anvil::start().await;
    let rpc = Rpc::connect(&[anvil.url.replace("http://", "ws://")], CHAIN_ID, |_| ())
        .await
        .unwrap();
    let wake = Arc::new(tokio::sync::Notify::new());
    let subscription = tokio::spawn({
        let wake = Arc::clone(&wake);
        async move { rpc.wake_on_heads(wake).await }
    });
    // Blocks that come before the subscription stands wake nobody.
    let woken = async {
        for _ in 0..BLOCKS_MAX {
            anvil.mine(1).await;
            if tokio::time::timeout(Duration::from_millis(20), wake.notified())
                .await
                .is_ok()
            {
                return true;
            }
        }
        false
    };
    assert!(woken.await);
    subscription.abort();
}

#[tokio::test]
async fn a_connection_that_cannot_push_is_no_error() {
    let anvil = Anvil::start().await;
    anvil.rpc().wake_on_heads(Arc::default()).await;
}
