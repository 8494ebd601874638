//! Everything at once, drawn from a seed: forks, faults of the endpoint, crashes, lost pools. In the
//! end the store mirrors the chain and every intent took effect exactly once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy::{
    primitives::{B256, U256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::Filter,
};
use outcry_chain::{
    ChainError, Finality, Follower, FollowerConfig, Intent, IntentKind, IntentStatus, Outcome,
    Sender, SenderConfig, SenderTask,
};
use outcry_store::{Batch, Fault, MemoryStore};

use crate::{
    anvil::{Anvil, CHAIN_ID, Probe::ProbeEvents, take},
    proxy::{Proxy, Verdict},
    reading::{assert_mirrors, catch_up, effects},
};

const STEPS: usize = 120;
/// Deepest fork; one less than what settles a block.
const FORK_MAX: u64 = 3;
const FINALITY: Finality = Finality::Depth(FORK_MAX + 1);
/// Rounds of step and block within which calm returns.
const CALM_MAX: usize = 60;

/// splitmix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// The node of this moment; a crash replaces it.
struct Node {
    disk: Arc<MemoryStore>,
    follower: Follower<ProbeEvents>,
    sender: Sender,
    task: SenderTask,
}

impl Node {
    async fn start(disk: &MemoryStore, proxy: &Proxy, anvil: &Anvil) -> Result<Self, ChainError> {
        let rpc = proxy.rpc(Duration::from_millis(300)).await;
        let disk = Arc::new(disk.restart());
        let config = FollowerConfig {
            finality: FINALITY,
            ..FollowerConfig::new(vec![anvil.probe], anvil.start_block)
        };
        let follower = Follower::open(rpc.clone(), disk.clone(), config).await?;
        let config = SenderConfig {
            finality: FINALITY,
            ..SenderConfig::new(CHAIN_ID)
        };
        let (sender, task, _) = Sender::open(rpc, disk.clone(), anvil.signer(), config)?;
        Ok(Self {
            disk,
            follower,
            sender,
            task,
        })
    }
}

/// Spoils about one answer in eight.
fn spoil(proxy: &Proxy, seed: u64) {
    let count = Arc::new(AtomicU64::new(seed));
    proxy.judge(move |_, _| {
        let mut dice = Dice(count.fetch_add(1, Ordering::Relaxed));
        match dice.roll(32) {
            0 => Verdict::Drop,
            1 | 2 => Verdict::Refuse("busy"),
            3 => Verdict::Swallow("busy"),
            _ => Verdict::Pass,
        }
    });
}

fn call(anvil: &Anvil, slot: u64) -> Intent {
    let subject = B256::from(U256::from(slot));
    // A second transaction for the same slot would revert; each intent must succeed once.
    Intent::call(IntentKind::Claim, subject, anvil.probe, take(slot))
}

async fn storm(seed: u64) {
    let anvil = Anvil::start().await;
    anvil.mine(FORK_MAX + 1).await;
    let proxy = Proxy::before(&anvil.url).await;
    let store = MemoryStore::new();
    let mut dice = Dice(seed);
    let mut node = Node::start(&store, &proxy, &anvil).await.unwrap();
    let mut wanted = BTreeMap::new();
    for step in 0..STEPS {
        match dice.roll(14) {
            0..=2 => anvil.mine(1 + dice.roll(2)).await,
            3 => drop(anvil.note(10 + dice.roll(90)).await),
            4 => {
                anvil.reorg(1 + dice.roll(FORK_MAX)).await;
                if dice.roll(2) == 0 {
                    anvil.provider.anvil_drop_all_transactions().await.unwrap();
                }
            }
            5 => spoil(&proxy, dice.roll(u64::MAX)),
            6 => proxy.pass(),
            7 => {
                let n = 1 + dice.roll(3);
                node.disk.inject(match dice.roll(3) {
                    0 => Fault::Refuse(n),
                    1 => Fault::CrashBefore(n),
                    _ => Fault::CrashAfter(n),
                });
            }
            8 => {
                proxy.pass();
                node = Node::start(&store, &proxy, &anvil).await.unwrap();
            }
            9 | 10 => {
                let slot = 1_000 + step as u64;
                if let Ok(id) = node.sender.submit(&call(&anvil, slot), Batch::new()).await {
                    wanted.insert(slot, id);
                }
            }
            11 => {
                // Whatever fails goes on where it stopped.
                let _ = node.task.step().await;
            }
            _ => {
                if let Ok(Some(update)) = node.follower.poll().await {
                    let effects = effects(&store, &update);
                    let _ = node.follower.acknowledge(effects).await;
                }
            }
        }
    }

    proxy.pass();
    let mut node = Node::start(&store, &proxy, &anvil).await.unwrap();
    let mut open = wanted.clone();
    for _ in 0..CALM_MAX {
        node.task.step().await.unwrap();
        anvil.mine(1).await;
        open.retain(|_, id| match node.sender.status(id).unwrap() {
            Some(IntentStatus::Done(Outcome::Mined { transaction, .. })) => {
                assert!(transaction.success, "seed {seed}");
                false
            }
            Some(IntentStatus::Done(outcome)) => panic!("seed {seed}: {outcome:?}"),
            Some(_) => true,
            None => panic!("seed {seed}: an acknowledged intent is forgotten"),
        });
        if open.is_empty() {
            break;
        }
    }
    assert!(open.is_empty(), "seed {seed}: {open:?}");
    catch_up(&mut node.follower, &store).await;
    assert_mirrors(&store, &anvil).await;
    let filter = Filter::new().address(anvil.probe).from_block(0);
    let logs = anvil.provider.get_logs(&filter).await.unwrap();
    for slot in wanted.keys() {
        let taken = logs
            .iter()
            .filter(|log| log.topics()[1] == anvil.signer().address().into_word())
            .filter(|log| U256::from_be_slice(&log.data().data) == U256::from(*slot));
        assert_eq!(taken.count(), 1, "seed {seed}, slot {slot}");
    }
}

#[tokio::test]
async fn after_any_storm_the_store_mirrors_the_chain_and_each_intent_took_effect_once() {
    for seed in 1..=6 {
        storm(seed).await;
    }
}
