//! One intent is one transaction, whatever happens on the way.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256, U256},
    providers::{Provider, ext::AnvilApi},
    rpc::types::{Filter, TransactionRequest},
    sol_types::SolInterface,
};
use outcry_chain::{
    ChainError, Finality, Intent, IntentKind, IntentReport, IntentStatus, Outcome, Rpc, Sender,
    SenderConfig, SenderTask, Urgency, decode_with,
};
use outcry_store::{Batch, Fault, MemoryStore, Store, keys};
use tokio::sync::mpsc::Receiver;

use crate::{
    anvil::{
        Anvil, CHAIN_ID,
        Probe::{ProbeErrors, Taken, TooSmall},
        note, take,
    },
    proxy::{Proxy, Verdict},
};

/// Blocks within which everything that these tests send is settled.
const BLOCKS_MAX: u64 = 40;
/// Questions to the chain within which a task that is awake has done its step.
const QUESTIONS_MAX: usize = 5_000;
const NOTHING: [u64; 0] = [];

fn config() -> SenderConfig {
    SenderConfig {
        finality: Finality::Depth(3),
        decode_error: decode_with::<ProbeErrors>,
        ..SenderConfig::new(CHAIN_ID)
    }
}

/// A sender as one process has it.
struct Node {
    sender: Sender,
    task: SenderTask,
    reports: Receiver<IntentReport>,
}

impl Node {
    fn start(rpc: Rpc, store: impl Store, anvil: &Anvil) -> Self {
        Self::configured(rpc, store, anvil, config())
    }

    fn configured(rpc: Rpc, store: impl Store, anvil: &Anvil, config: SenderConfig) -> Self {
        let (sender, task, reports) =
            Sender::open(rpc, Arc::new(store), anvil.signer(), config).unwrap();
        Self {
            sender,
            task,
            reports,
        }
    }

    async fn submit(&self, intent: &Intent) -> B256 {
        self.sender.submit(intent, Batch::new()).await.unwrap()
    }

    fn reports(&mut self) -> Vec<Outcome> {
        std::iter::from_fn(|| self.reports.try_recv().ok())
            .map(|report| report.outcome)
            .collect()
    }

    fn hashes(&self, id: &B256) -> Vec<B256> {
        match self.sender.status(id).unwrap() {
            Some(IntentStatus::Sent { hashes, .. }) => hashes,
            status => panic!("not sent: {status:?}"),
        }
    }

    /// Steps and mines until the intent is over.
    async fn finish(&mut self, id: &B256, anvil: &Anvil) -> Outcome {
        for _ in 0..BLOCKS_MAX {
            self.task.step().await.unwrap();
            if let Some(IntentStatus::Done(outcome)) = self.sender.status(id).unwrap() {
                return outcome;
            }
            anvil.mine(1).await;
        }
        panic!(
            "not over after {BLOCKS_MAX} blocks: {:?}",
            self.sender.status(id)
        );
    }
}

fn intent(anvil: &Anvil, subject: u8, value: u64) -> Intent {
    Intent::call(
        IntentKind::Open,
        B256::repeat_byte(subject),
        anvil.probe,
        note(value),
    )
}

/// The values that the probe has noted, in the chain's order.
async fn noted(anvil: &Anvil) -> Vec<u64> {
    let filter = Filter::new().address(anvil.probe).from_block(0);
    let logs = anvil.provider.get_logs(&filter).await.unwrap();
    logs.iter()
        .map(|log| U256::from_be_slice(&log.data().data).to())
        .collect()
}

fn is_success(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Mined { transaction, settled: true, .. } if transaction.success)
}

#[tokio::test]
async fn an_intent_is_mined_once_however_often_it_is_submitted() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let mut node = Node::start(anvil.rpc(), store.restart(), &anvil);
    let first = node.submit(&intent(&anvil, 1, 11)).await;
    assert_eq!(
        node.sender.status(&first).unwrap(),
        Some(IntentStatus::Queued)
    );
    // Queued, sent, mined, over, and after a restart: always the same intent, whatever it carries.
    assert_eq!(node.submit(&intent(&anvil, 1, 12)).await, first);
    node.task.step().await.unwrap();
    assert_eq!(node.submit(&intent(&anvil, 1, 13)).await, first);
    node.task.step().await.unwrap();
    anvil.mine(1).await;
    node.submit(&intent(&anvil, 1, 14)).await;
    assert!(is_success(&node.finish(&first, &anvil).await));
    node.reports();
    node.submit(&intent(&anvil, 1, 15)).await;
    node.task.step().await.unwrap();
    assert!(
        matches!(&node.reports()[..], [outcome] if is_success(outcome)),
        "told once more"
    );
    let mut node = Node::start(anvil.rpc(), store.restart(), &anvil);
    node.submit(&intent(&anvil, 1, 16)).await;
    assert!(is_success(&node.finish(&first, &anvil).await));
    anvil.mine(2).await;
    assert_eq!(noted(&anvil).await, [12]);
    assert_eq!(anvil.nonce(node.sender.account()).await, 1);

    let mut again = intent(&anvil, 1, 17);
    again.round = 1;
    let id = node.submit(&again).await;
    assert_ne!(id, first, "another round is another intent");
    assert!(is_success(&node.finish(&id, &anvil).await));
    assert_eq!(noted(&anvil).await, [12, 17]);
}

#[tokio::test]
async fn a_mined_intent_is_reported_block_by_block_until_it_is_settled() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let mut node = Node::start(anvil.rpc(), store.restart(), &anvil);
    let id = node.submit(&intent(&anvil, 1, 11)).await;
    node.finish(&id, &anvil).await;
    let seen: Vec<(u64, bool)> = node
        .reports()
        .into_iter()
        .map(|outcome| match outcome {
            Outcome::Mined { depth, settled, .. } => (depth, settled),
            outcome => panic!("{outcome:?}"),
        })
        .collect();
    assert_eq!(seen, [(1, false), (2, false), (3, true)]);
}

#[tokio::test]
async fn a_revert_is_an_answer_and_nothing_is_sent() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let mut node = Node::start(anvil.rpc(), store.restart(), &anvil);
    let id = node.submit(&intent(&anvil, 1, 3)).await;
    let Outcome::Reverted {
        revert,
        transaction,
    } = node.finish(&id, &anvil).await
    else {
        panic!("it should have reverted");
    };
    assert_eq!(transaction, None);
    let least = U256::from(10);
    let wanted = ProbeErrors::TooSmall(TooSmall {
        value: U256::from(3),
        least,
    });
    assert_eq!(ProbeErrors::abi_decode(&revert.data).unwrap(), wanted);
    assert!(revert.reason.contains("TooSmall"), "{}", revert.reason);
    anvil.mine(1).await;
    assert_eq!(anvil.nonce(node.sender.account()).await, 0);
    // It stays the answer.
    node.submit(&intent(&anvil, 1, 30)).await;
    node.task.step().await.unwrap();
    assert!(
        node.reports()
            .iter()
            .all(|outcome| matches!(outcome, Outcome::Reverted { .. }))
    );
    anvil.mine(1).await;
    assert_eq!(noted(&anvil).await, NOTHING);
}

#[tokio::test]
async fn a_transaction_that_reverts_in_its_block_is_reported_with_the_reason() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let mut node = Node::start(anvil.rpc(), store.restart(), &anvil);
    // Both succeed alone, so both are sent; the second to be mined finds the slot taken.
    let calls = [1, 2].map(|subject| {
        Intent::call(
            IntentKind::Claim,
            B256::repeat_byte(subject),
            anvil.probe,
            take(5),
        )
    });
    let ids = [node.submit(&calls[0]).await, node.submit(&calls[1]).await];
    let outcomes = [
        node.finish(&ids[0], &anvil).await,
        node.finish(&ids[1], &anvil).await,
    ];
    let (good, bad): (Vec<_>, Vec<_>) = outcomes.iter().partition(|outcome| is_success(outcome));
    assert_eq!(good.len(), 1);
    let Outcome::Reverted {
        revert,
        transaction: Some(transaction),
    } = bad[0]
    else {
        panic!("{bad:?}");
    };
    assert!(!transaction.success);
    let wanted = ProbeErrors::Taken(Taken {
        slot: U256::from(5),
    });
    assert_eq!(ProbeErrors::abi_decode(&revert.data).unwrap(), wanted);
}

#[tokio::test]
async fn a_crash_at_any_write_sends_nothing_twice_and_forgets_nothing() {
    let anvil = Anvil::start().await;
    let account = anvil.signer().address();
    let snapshot = anvil.provider.anvil_snapshot().await.unwrap();
    let mut snapshot = Some(snapshot);
    let mut crashes = 0;
    for fault in (1..).flat_map(|n| [Fault::CrashBefore(n), Fault::CrashAfter(n)]) {
        if let Some(id) = snapshot.take() {
            assert!(anvil.provider.anvil_revert(id).await.unwrap());
        }
        snapshot = Some(anvil.provider.anvil_snapshot().await.unwrap());
        let disk = MemoryStore::new();
        let first = disk.restart();
        first.inject(fault);
        let mut node = Node::start(anvil.rpc(), first, &anvil);
        let wanted = [intent(&anvil, 1, 11), intent(&anvil, 2, 12)];
        let mut acknowledged = Vec::new();
        let mut crashed = false;
        for call in &wanted {
            match node.sender.submit(call, Batch::new()).await {
                Ok(id) => acknowledged.push(id),
                Err(_) => crashed = true,
            }
        }
        for _ in 0..6 {
            crashed |= node.task.step().await.is_err();
            if crashed {
                break;
            }
            anvil.mine(1).await;
        }
        // The next process wants the same things again.
        let mut node = Node::start(anvil.rpc(), disk.restart(), &anvil);
        let mut ids = Vec::new();
        for call in &wanted {
            ids.push(node.submit(call).await);
        }
        for id in &ids {
            assert!(is_success(&node.finish(id, &anvil).await), "{fault:?}");
        }
        let mut values = noted(&anvil).await;
        values.sort_unstable();
        assert_eq!(values, [11, 12], "{fault:?}");
        assert_eq!(anvil.nonce(account).await, 2, "{fault:?}");
        assert_eq!(anvil.pool().await, 0, "{fault:?}");
        let gas = node.sender.gas_used().unwrap()[&IntentKind::Open];
        assert_eq!(gas.transactions, 2, "{fault:?}: counted once");
        if !crashed {
            break;
        }
        crashes += 1;
    }
    assert!(
        crashes >= 10,
        "two submissions, two nonces, two ends: {crashes}"
    );
}

#[tokio::test]
async fn an_intent_journalled_with_other_effects_is_sent_iff_they_were_written() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let mut node = Node::start(anvil.rpc(), store.restart(), &anvil);
    let account = node.sender.account();

    let mut batch = Batch::new();
    batch.expect(keys::singleton("state"), Some(b"other".to_vec()));
    intent(&anvil, 1, 11).journal(account, &mut batch).unwrap();
    store.apply(&batch).unwrap_err();

    let mut batch = Batch::new();
    batch.put(keys::singleton("state"), *b"opened");
    let id = intent(&anvil, 2, 12).journal(account, &mut batch).unwrap();
    store.apply(&batch).unwrap();
    node.sender.wake();
    assert!(is_success(&node.finish(&id, &anvil).await));
    assert_eq!(noted(&anvil).await, [12]);
}

#[tokio::test]
async fn a_stuck_transaction_is_outbid_by_itself_and_mined_once() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let mut node = Node::start(anvil.rpc(), store.restart(), &anvil);
    let id = node.submit(&intent(&anvil, 1, 11)).await;
    node.task.step().await.unwrap();
    let original = node.hashes(&id);
    assert_eq!(original.len(), 1);

    // Far above what the first offer allows for.
    anvil
        .provider
        .anvil_set_next_block_base_fee_per_gas(90_000_000_000)
        .await
        .unwrap();
    anvil.mine(1).await;
    assert_eq!(noted(&anvil).await, NOTHING, "priced out");
    node.task.step().await.unwrap();
    let hashes = node.hashes(&id);
    assert_eq!(
        (hashes[0], hashes.len()),
        (original[0], 2),
        "the same intent, one more hash"
    );
    assert_eq!(anvil.pool().await, 1, "it replaced the first");

    let Outcome::Mined { transaction, .. } = node.finish(&id, &anvil).await else {
        panic!()
    };
    assert_eq!(transaction.hash, hashes[1]);
    assert_eq!(noted(&anvil).await, [11]);
    assert_eq!(anvil.nonce(node.sender.account()).await, 1);
}

#[tokio::test]
async fn a_refused_fee_bump_leaves_the_first_transaction_in_the_pool_and_it_counts() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let proxy = Proxy::before(&anvil.url).await;
    let mut node = Node::start(
        proxy.rpc(Duration::from_secs(10)).await,
        store.restart(),
        &anvil,
    );
    let id = node.submit(&intent(&anvil, 1, 11)).await;
    node.task.step().await.unwrap();
    let first = node.hashes(&id)[0];

    // The pool lost it, the endpoint takes no replacement, only the transaction it knew.
    let raw: String = anvil
        .provider
        .raw_request("eth_getRawTransactionByHash".into(), [first])
        .await
        .unwrap();
    anvil.provider.anvil_drop_all_transactions().await.unwrap();
    anvil.mine(3).await;
    proxy.judge(move |method, params| {
        if method == "eth_sendRawTransaction" && params[0] != raw.as_str() {
            return Verdict::Refuse("replacement transaction underpriced");
        }
        Verdict::Pass
    });
    node.task.step().await.unwrap();
    assert_eq!(node.hashes(&id).len(), 2);
    assert_eq!(anvil.pool().await, 1, "the first one is back");
    let Outcome::Mined { transaction, .. } = node.finish(&id, &anvil).await else {
        panic!()
    };
    assert_eq!(transaction.hash, first);
    assert_eq!(noted(&anvil).await, [11]);
}

#[tokio::test]
async fn a_transaction_sent_without_an_answer_is_not_sent_as_another() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let proxy = Proxy::before(&anvil.url).await;
    let mut node = Node::start(
        proxy.rpc(Duration::from_millis(200)).await,
        store.restart(),
        &anvil,
    );
    for (subject, fault) in [
        || Verdict::Swallow("internal error"),
        || Verdict::Stall,
        || Verdict::Drop,
    ]
    .into_iter()
    .enumerate()
    {
        let id = node
            .submit(&intent(&anvil, subject as u8, 20 + subject as u64))
            .await;
        proxy.judge(move |method, _| {
            if method == "eth_sendRawTransaction" {
                fault()
            } else {
                Verdict::Pass
            }
        });
        // It may fail or not; what counts is what is sent in the end.
        let _ = node.task.step().await;
        proxy.pass();
        assert!(is_success(&node.finish(&id, &anvil).await));
    }
    assert_eq!(noted(&anvil).await, [20, 21, 22]);
    assert_eq!(anvil.nonce(node.sender.account()).await, 3);
}

#[tokio::test]
async fn an_intent_that_a_fork_took_out_is_told_and_mined_again() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let mut node = Node::start(anvil.rpc(), store.restart(), &anvil);
    anvil.mine(3).await;
    let id = node.submit(&intent(&anvil, 1, 11)).await;
    node.task.step().await.unwrap();
    anvil.mine(1).await;
    node.task.step().await.unwrap();
    assert!(matches!(
        &node.reports()[..],
        [Outcome::Mined {
            depth: 1,
            settled: false,
            ..
        }]
    ));

    anvil.reorg(1).await;
    assert_eq!(noted(&anvil).await, NOTHING, "the fork left it out");
    anvil.provider.anvil_drop_all_transactions().await.unwrap();
    node.task.step().await.unwrap();
    assert_eq!(node.reports(), [Outcome::Unmined]);
    assert_eq!(anvil.pool().await, 1, "sent again at once");
    assert!(is_success(&node.finish(&id, &anvil).await));
    assert_eq!(noted(&anvil).await, [11]);
    assert_eq!(anvil.nonce(node.sender.account()).await, 1);
}

#[tokio::test]
async fn a_restarted_process_sends_the_same_transactions_to_an_endpoint_that_lost_them() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let mut node = Node::start(anvil.rpc(), store.restart(), &anvil);
    let mut ids = Vec::new();
    for subject in 1..=3 {
        ids.push(
            node.submit(&intent(&anvil, subject, 10 + u64::from(subject)))
                .await,
        );
    }
    node.task.step().await.unwrap();
    let hashes: Vec<B256> = ids.iter().flat_map(|id| node.hashes(id)).collect();
    drop(node);
    anvil.provider.anvil_drop_all_transactions().await.unwrap();
    assert_eq!(anvil.pool().await, 0);

    let mut node = Node::start(anvil.rpc(), store.restart(), &anvil);
    node.task.step().await.unwrap();
    assert_eq!(anvil.pool().await, 3);
    for (id, hash) in ids.iter().zip(&hashes) {
        let Outcome::Mined { transaction, .. } = node.finish(id, &anvil).await else {
            panic!()
        };
        assert_eq!(transaction.hash, *hash);
    }
    let mut values = noted(&anvil).await;
    values.sort_unstable();
    assert_eq!(values, [11, 12, 13]);
}

/// A transfer to itself by the sender's account, signed outside the sender.
async fn send_by_hand(anvil: &Anvil, nonce: u64) -> B256 {
    let account = anvil.signer().address();
    let request = TransactionRequest::default()
        .with_from(account)
        .with_to(account)
        .with_nonce(nonce)
        .with_gas_limit(21_000);
    anvil.send(request).await
}

#[tokio::test]
async fn a_nonce_that_a_lost_transaction_left_open_is_filled() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let mut node = Node::start(anvil.rpc(), store.restart(), &anvil);
    let foreign = send_by_hand(&anvil, 0).await;
    let id = node.submit(&intent(&anvil, 1, 11)).await;
    node.task.step().await.unwrap();
    assert!(matches!(
        node.sender.status(&id),
        Ok(Some(IntentStatus::Sent { nonce: 1, .. }))
    ));
    anvil
        .provider
        .anvil_drop_transaction(foreign)
        .await
        .unwrap();
    drop(node);

    let mut node = Node::start(anvil.rpc(), store.restart(), &anvil);
    assert!(is_success(&node.finish(&id, &anvil).await));
    assert_eq!(noted(&anvil).await, [11]);
    assert_eq!(anvil.nonce(node.sender.account()).await, 2);
    assert_eq!(
        node.sender.gas_used().unwrap()[&IntentKind::Fill].gas,
        21_000
    );
}

#[tokio::test]
async fn an_intent_whose_nonce_was_used_by_hand_gets_another_once_that_is_settled() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let mut node = Node::start(anvil.rpc(), store.restart(), &anvil);
    let id = node.submit(&intent(&anvil, 1, 11)).await;
    node.task.step().await.unwrap();
    anvil.provider.anvil_drop_all_transactions().await.unwrap();
    send_by_hand(&anvil, 0).await;
    anvil.mine(1).await;
    node.task.step().await.unwrap();
    assert!(
        matches!(
            node.sender.status(&id),
            Ok(Some(IntentStatus::Sent { nonce: 0, .. }))
        ),
        "a fork may still bring ours back"
    );
    assert!(is_success(&node.finish(&id, &anvil).await));
    assert_eq!(noted(&anvil).await, [11]);
    assert_eq!(anvil.nonce(node.sender.account()).await, 2);
}

#[tokio::test]
async fn many_intents_are_pipelined_up_to_the_limit_the_urgent_ones_first() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let config = SenderConfig {
        in_flight_max: 5,
        ..config()
    };
    let mut node = Node::configured(anvil.rpc(), store.restart(), &anvil, config);
    let mut ids = Vec::new();
    for subject in 0..23 {
        let mut call = intent(&anvil, subject, 100 + u64::from(subject));
        if subject >= 20 {
            call.urgency = Urgency::Deadline;
        }
        ids.push(node.submit(&call).await);
    }
    let mut most = 0;
    for _ in 0..BLOCKS_MAX {
        node.task.step().await.unwrap();
        most = most.max(anvil.pool().await);
        if node.sender.health().borrow().queued == 0 {
            break;
        }
        anvil.mine(1).await;
    }
    assert_eq!(most, 5);
    for id in &ids {
        assert!(is_success(&node.finish(id, &anvil).await));
    }
    let values = noted(&anvil).await;
    assert_eq!(
        values[..3].iter().copied().collect::<BTreeSet<_>>(),
        (120..123).collect()
    );
    assert_eq!(
        values.iter().copied().collect::<BTreeSet<_>>(),
        (100..123).collect()
    );
    assert_eq!(values.len(), 23);

    let used = node.sender.gas_used().unwrap()[&IntentKind::Open];
    let filter = Filter::new().address(anvil.probe).from_block(0);
    let mut gas = 0;
    for log in anvil.provider.get_logs(&filter).await.unwrap() {
        gas += anvil
            .receipt(log.transaction_hash.unwrap())
            .await
            .unwrap()
            .gas_used;
    }
    assert_eq!((used.transactions, used.gas), (23, gas));
}

#[tokio::test]
async fn a_full_queue_takes_no_more() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let config = SenderConfig {
        queue_max: 2,
        ..config()
    };
    let node = Node::configured(anvil.rpc(), store.restart(), &anvil, config);
    node.submit(&intent(&anvil, 1, 11)).await;
    node.submit(&intent(&anvil, 2, 12)).await;
    let before = store.snapshot();
    let error = node
        .sender
        .submit(&intent(&anvil, 3, 13), Batch::new())
        .await
        .unwrap_err();
    assert!(matches!(error, ChainError::QueueFull(2)), "{error}");
    assert_eq!(store.snapshot(), before);
}

#[tokio::test]
async fn an_account_without_funds_waits_for_them_and_says_so() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let mut node = Node::start(anvil.rpc(), store.restart(), &anvil);
    let account = node.sender.account();
    anvil
        .provider
        .anvil_set_balance(account, U256::from(1_000))
        .await
        .unwrap();
    let id = node.submit(&intent(&anvil, 1, 11)).await;
    node.task.step().await.unwrap();
    assert_eq!(node.sender.status(&id).unwrap(), Some(IntentStatus::Queued));
    let blocked = node.sender.health().borrow().blocked.clone();
    assert!(blocked.unwrap().contains("1000 wei"));
    anvil
        .provider
        .anvil_set_balance(account, U256::from(10).pow(U256::from(18)))
        .await
        .unwrap();
    assert!(is_success(&node.finish(&id, &anvil).await));
    assert_eq!(node.sender.health().borrow().blocked, None);
}

#[tokio::test]
async fn fees_above_the_cap_are_never_offered() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let config = SenderConfig {
        fee_cap_wei: 5_000_000_000,
        ..config()
    };
    let mut node = Node::configured(anvil.rpc(), store.restart(), &anvil, config);
    anvil
        .provider
        .anvil_set_next_block_base_fee_per_gas(90_000_000_000)
        .await
        .unwrap();
    anvil.mine(1).await;
    let id = node.submit(&intent(&anvil, 1, 11)).await;
    node.task.step().await.unwrap();
    assert_eq!(node.sender.status(&id).unwrap(), Some(IntentStatus::Queued));
    assert!(
        node.sender
            .health()
            .borrow()
            .blocked
            .as_ref()
            .unwrap()
            .contains("above the cap")
    );
    anvil
        .provider
        .anvil_set_next_block_base_fee_per_gas(1_000_000_000)
        .await
        .unwrap();
    anvil.mine(1).await;
    let Outcome::Mined { transaction, .. } = node.finish(&id, &anvil).await else {
        panic!()
    };
    assert!(transaction.gas_price_wei <= 5_000_000_000);
}

#[tokio::test]
async fn an_intent_whose_time_ran_out_before_it_was_sent_fails() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let mut node = Node::start(anvil.rpc(), store.restart(), &anvil);
    let head = anvil
        .provider
        .get_block_by_number(Default::default())
        .await
        .unwrap()
        .unwrap();
    let mut call = intent(&anvil, 1, 11);
    call.not_after_s = Some(head.header.timestamp);
    anvil.provider.anvil_increase_time(60).await.unwrap();
    anvil.mine(1).await;
    let id = node.submit(&call).await;
    assert!(matches!(
        node.finish(&id, &anvil).await,
        Outcome::Failed { .. }
    ));
    anvil.mine(1).await;
    assert_eq!(noted(&anvil).await, NOTHING);
}

#[tokio::test]
async fn an_intent_is_sent_with_its_value() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    let mut node = Node::start(anvil.rpc(), store.restart(), &anvil);
    let to = Address::repeat_byte(0x77);
    let mut call = Intent::call(IntentKind::Deposit, B256::ZERO, to, Vec::new());
    call.value = U256::from(12_345);
    let id = node.submit(&call).await;
    assert!(is_success(&node.finish(&id, &anvil).await));
    assert_eq!(
        anvil.provider.get_balance(to).await.unwrap(),
        U256::from(12_345)
    );
}

#[tokio::test]
async fn the_running_task_sends_what_is_submitted() {
    let anvil = Anvil::start().await;
    let store = MemoryStore::new();
    // Only waking explains that it looks; Anvil mines by itself here.
    anvil.provider.anvil_set_auto_mine(true).await.unwrap();
    let config = SenderConfig {
        poll_interval: Duration::from_secs(3600),
        finality: Finality::Depth(1),
        ..config()
    };
    let mut node = Node::configured(anvil.rpc(), store.restart(), &anvil, config);
    let running = tokio::spawn(node.task.run());
    let id = node
        .sender
        .submit(&intent(&anvil, 1, 11), Batch::new())
        .await
        .unwrap();
    // Each question to the chain gives the task time to run.
    let mut sent = false;
    for _ in 0..QUESTIONS_MAX {
        anvil.head().await;
        sent |= node.sender.status(&id).unwrap() != Some(IntentStatus::Queued);
        if sent {
            break;
        }
    }
    assert!(sent, "submitting wakes it");
    let mut report = None;
    for _ in 0..QUESTIONS_MAX {
        anvil.head().await;
        node.sender.wake();
        report = report.or(node.reports.try_recv().ok());
        if report.is_some() {
            break;
        }
    }
    let report = report.unwrap();
    assert_eq!((report.id, report.kind), (id, IntentKind::Open));
    assert!(is_success(&report.outcome), "{report:?}");
    running.abort();
}
