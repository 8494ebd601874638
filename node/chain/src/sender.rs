//! Makes things happen on the chain: each intent exactly one transaction, through crashes, forks
//! and full blocks.
//!
//! An intent is journalled (outbox), simulated, given a nonce, signed, journalled again with its
//! raw transaction, and only then sent. From there on every step looks where its hashes are, and
//! sends it again, dearer if need be, until one of them is settled.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::{BlockNumberOrTag, eip2718::Encodable2718},
    network::TxSignerSync,
    primitives::{Address, B256, Bytes, TxKind, U256},
    rpc::types::{TransactionInput, TransactionReceipt, TransactionRequest},
    signers::local::PrivateKeySigner,
};
use futures::{StreamExt, stream};
use outcry_store::{Batch, Store, keys};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::{Notify, mpsc, watch};

use crate::{
    ChainError, ErrorDecoder, Finality, GasUse, Intent, IntentId, IntentKind, IntentReport,
    IntentStatus, MinedTransaction, Outcome, Revert, Rpc, RpcError, Urgency,
    fees::Fees,
    follower::{apply, backoff},
    rpc::Header,
};

/// Gas of a transfer without data (Yellow Paper, appendix G).
const TRANSFER_GAS: u64 = 21_000;
/// Reports that may wait for their consumer before the sender waits for it.
const REPORTS_MAX: usize = 1024;

/// How to send.
#[derive(Debug, Clone)]
pub struct SenderConfig {
    /// The chain, signed into every transaction.
    pub chain_id: u64,
    /// When a mined transaction counts as settled.
    pub finality: Finality,
    /// Most transactions that are sent and not yet mined. Nodes keep 16 of an account for sure
    /// (geth `txpool.accountslots`).
    pub in_flight_max: usize,
    /// Most intents that may wait for a nonce.
    pub queue_max: usize,
    /// Blocks after which an unmined transaction is sent again with higher fees.
    pub bump_after_blocks: u64,
    /// Most that is ever offered per gas, in wei.
    pub fee_cap_wei: u128,
    /// Least tip per gas, in wei.
    pub tip_min_wei: u128,
    /// Most gas of one transaction. Chains refuse more than 2^24 (EIP-7825).
    pub gas_limit_max: u64,
    /// Blocks for which the outcome of a finished intent is remembered.
    pub keep_blocks: u64,
    /// Longest wait before the chain is looked at again.
    pub poll_interval: Duration,
    /// Puts the contracts' errors into words.
    pub decode_error: ErrorDecoder,
}

impl SenderConfig {
    /// The defaults for a chain.
    pub fn new(chain_id: u64) -> Self {
        Self {
            chain_id,
            finality: Finality::Finalised,
            in_flight_max: 16,
            queue_max: 4_096,
            bump_after_blocks: 3,
            fee_cap_wei: 500_000_000_000,
            tip_min_wei: 1,
            gas_limit_max: 1 << 24,
            keep_blocks: 100_000,
            poll_interval: Duration::from_secs(1),
            decode_error: |_| None,
        }
    }
}

/// How well the sending goes, for readiness and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SenderHealth {
    /// Intents without a nonce.
    pub queued: usize,
    /// Intents with a nonce that are not settled.
    pub in_flight: usize,
    /// Blocks since the longest waiting of them was first sent, while none of its transactions is
    /// mined.
    pub oldest_unmined_blocks: u64,
    /// What keeps new intents from being sent: no funds, or fees above the cap.
    pub blocked: Option<String>,
    /// Failures in a row.
    pub failures: u32,
    /// The last failure; `None` after a success.
    pub error: Option<String>,
}

/// Hands intents in. Clones are the same sender.
#[derive(Debug, Clone)]
pub struct Sender {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<dyn Store>,
    account: Address,
    queue_max: usize,
    queued: AtomicUsize,
    /// The outbox may hold intents that the task has not seen.
    unseen: AtomicBool,
    wake: Notify,
    health: watch::Sender<SenderHealth>,
}

/// Does the sending. One task per account, in one process.
#[derive(Debug)]
pub struct SenderTask {
    shared: Arc<Shared>,
    rpc: Rpc,
    signer: PrivateKeySigner,
    config: SenderConfig,
    reports: mpsc::Sender<IntentReport>,
    queue: BTreeSet<(Urgency, u64, IntentId)>,
    queued: HashSet<IntentId>,
    arrivals: u64,
    flights: BTreeMap<u64, Flight>,
    /// The head that was reviewed last; `None` until the first review of this process.
    reviewed: Option<B256>,
    /// Above every nonce that this process saw settled: a lagging endpoint may count less.
    nonce_floor: u64,
    /// A nonce that nobody fills, and the block at which that was first seen.
    gap: Option<(u64, u64)>,
}

/// An intent with a nonce.
#[derive(Debug)]
struct Flight {
    sent: Sent,
    mined: Option<MinedTransaction>,
    depth: u64,
    /// The block at which this process last sent it.
    published: Option<u64>,
}

/// What the journal says of an intent that has, or had, a nonce.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Record {
    Sent(Sent),
    Done(Done),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Sent {
    intent: Intent,
    nonce: u64,
    gas_limit: u64,
    /// The block at which it got its nonce.
    since_block: u64,
    /// Signed transactions, all with this nonce, cheapest first.
    attempts: Vec<Attempt>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Attempt {
    hash: B256,
    raw: Bytes,
    fees: Fees,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Done {
    kind: IntentKind,
    subject: B256,
    round: u64,
    outcome: Outcome,
    /// The head when it was over.
    block: u64,
}

/// What simulation says of an intent.
enum Simulated {
    Ready { gas_limit: u64 },
    Over(Outcome),
}

impl Sender {
    /// The sender of the signer's account, the task that does its work, and the stream of
    /// outcomes. Unfinished intents of an earlier process are taken up again.
    ///
    /// Outcomes are also in the journal: a consumer that starts asks [`Sender::status`] for what
    /// it waits for, then listens.
    pub fn open(
        rpc: Rpc,
        store: Arc<dyn Store>,
        signer: PrivateKeySigner,
        config: SenderConfig,
    ) -> Result<(Self, SenderTask, mpsc::Receiver<IntentReport>), ChainError> {
        let account = signer.address();
        let mut flights = BTreeMap::new();
        let prefix = keys::transactions(&account.into_array());
        for entry in outcry_store::entries(store.as_ref(), &prefix) {
            let (key, value) = entry?;
            if let Record::Sent(sent) = decode(&key, &value)? {
                flights.insert(sent.nonce, Flight::new(sent));
            }
        }
        let shared = Arc::new(Shared {
            store,
            account,
            queue_max: config.queue_max,
            queued: AtomicUsize::new(0),
            unseen: AtomicBool::new(true),
            wake: Notify::new(),
            health: watch::Sender::default(),
        });
        let (reports, receiver) = mpsc::channel(REPORTS_MAX);
        let task = SenderTask {
            shared: Arc::clone(&shared),
            rpc,
            signer,
            config,
            reports,
            queue: BTreeSet::new(),
            queued: HashSet::new(),
            arrivals: 0,
            flights,
            reviewed: None,
            nonce_floor: 0,
            gap: None,
        };
        Ok((Self { shared }, task, receiver))
    }

    /// The account that sends.
    pub fn account(&self) -> Address {
        self.shared.account
    }

    /// Journals an intent together with `effects` and wakes the task. An intent whose id is known
    /// is not sent again; its outcome, if it has one, is reported once more.
    ///
    /// # Errors
    /// [`ChainError::QueueFull`]; a conflict of `effects`. Nothing was written then.
    pub async fn submit(&self, intent: &Intent, effects: Batch) -> Result<IntentId, ChainError> {
        if self.shared.queued.load(Ordering::Relaxed) >= self.shared.queue_max {
            return Err(ChainError::QueueFull(self.shared.queue_max));
        }
        let mut batch = effects;
        let id = intent.journal(self.shared.account, &mut batch)?;
        apply(&self.shared.store, batch).await?;
        self.shared.queued.fetch_add(1, Ordering::Relaxed);
        self.wake();
        Ok(id)
    }

    /// Makes the task look at the outbox and the chain at once. Needed after
    /// [`Intent::journal`].
    pub fn wake(&self) {
        self.shared.unseen.store(true, Ordering::Release);
        self.shared.wake.notify_one();
    }

    /// How far an intent has come; `None` when it is unknown or long over.
    pub fn status(&self, id: &IntentId) -> Result<Option<IntentStatus>, ChainError> {
        let account = self.shared.account.into_array();
        Ok(match record(self.shared.store.as_ref(), &account, id)? {
            Some(Record::Done(done)) => Some(IntentStatus::Done(done.outcome)),
            Some(Record::Sent(sent)) => Some(IntentStatus::Sent {
                nonce: sent.nonce,
                hashes: sent.attempts.iter().map(|attempt| attempt.hash).collect(),
            }),
            None => {
                let queued = self.shared.store.get(&keys::outbox(&account, &id.0))?;
                queued.map(|_| IntentStatus::Queued)
            }
        })
    }

    /// Gas used by settled transactions since the data folder was made, per kind.
    pub fn gas_used(&self) -> Result<BTreeMap<IntentKind, GasUse>, ChainError> {
        let prefix = keys::gas_uses(&self.shared.account.into_array());
        let mut used = BTreeMap::new();
        for entry in outcry_store::entries(self.shared.store.as_ref(), &prefix) {
            let (key, value) = entry?;
            let (kind, gas): (IntentKind, GasUse) = decode(&key, &value)?;
            used.insert(kind, gas);
        }
        Ok(used)
    }

    /// How well the sending goes.
    pub fn health(&self) -> watch::Receiver<SenderHealth> {
        self.shared.health.subscribe()
    }
}

impl SenderTask {
    /// Sends until something happens that no waiting mends, and returns that.
    pub async fn run(mut self) -> ChainError {
        loop {
            let wait = match self.step().await {
                Ok(()) => self.config.poll_interval,
                Err(error @ ChainError::Journal(_)) => return error,
                Err(error) => {
                    let failures = self.shared.health.borrow().failures;
                    tracing::warn!(%error, failures, "sending failed; trying again");
                    backoff(self.config.poll_interval, failures)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.shared.wake.notified() => {}
            }
        }
    }

    /// Takes in new intents, looks where the sent ones are, and sends what may be sent. After an
    /// error the next step goes on where this one stopped.
    pub async fn step(&mut self) -> Result<(), ChainError> {
        let result = self.advance().await;
        let unmined = self
            .flights
            .values()
            .filter(|flight| flight.mined.is_none());
        let oldest = unmined.map(|flight| flight.sent.since_block).min();
        self.shared
            .queued
            .store(self.queue.len(), Ordering::Relaxed);
        self.shared.health.send_modify(|health| {
            health.queued = self.queue.len();
            health.in_flight = self.flights.len();
            match &result {
                Ok(head) => {
                    health.oldest_unmined_blocks =
                        oldest.map_or(0, |block| head.saturating_sub(block));
                    (health.failures, health.error) = (0, None);
                }
                Err(error) => {
                    health.failures = health.failures.saturating_add(1);
                    health.error = Some(error.to_string());
                }
            }
        });
        result.map(drop)
    }

    /// One step; returns the head's number.
    async fn advance(&mut self) -> Result<u64, ChainError> {
        self.take_in().await?;
        let head = self.rpc.head().await?;
        if self.reviewed.is_none() {
            self.forget_old(head.block.number).await?;
        }
        if self.reviewed != Some(head.block.hash) {
            self.review(&head).await?;
            self.reviewed = Some(head.block.hash);
        }
        self.launch(&head).await?;
        Ok(head.block.number)
    }

    /// Moves new intents from the outbox into the queue, except those that are known already.
    async fn take_in(&mut self) -> Result<(), ChainError> {
        if !self.shared.unseen.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let result = self.scan_outbox().await;
        if result.is_err() {
            self.shared.unseen.store(true, Ordering::Release);
        }
        result
    }

    async fn scan_outbox(&mut self) -> Result<(), ChainError> {
        let store = Arc::clone(&self.shared.store);
        let account = self.account();
        for entry in outcry_store::entries(store.as_ref(), &keys::outboxes(&account)) {
            let (key, value) = entry?;
            let intent: Intent = decode(&key, &value)?;
            let id = intent.id();
            if self.queued.contains(&id) {
                continue;
            }
            match record(store.as_ref(), &account, &id)? {
                None => self.enqueue(id, intent.urgency),
                Some(known) => {
                    let mut batch = Batch::new();
                    batch.delete(key);
                    apply(&store, batch).await?;
                    if let Record::Done(done) = known {
                        self.report(&intent, done.outcome).await;
                    }
                }
            }
        }
        Ok(())
    }

    fn enqueue(&mut self, id: IntentId, urgency: Urgency) {
        self.queue.insert((urgency, self.arrivals, id));
        self.queued.insert(id);
        self.arrivals += 1;
    }

    /// Deletes the outcomes of intents that were over long ago.
    async fn forget_old(&mut self, head: u64) -> Result<(), ChainError> {
        let store = Arc::clone(&self.shared.store);
        let mut batch = Batch::new();
        for entry in outcry_store::entries(store.as_ref(), &keys::transactions(&self.account())) {
            let (key, value) = entry?;
            if let Record::Done(done) = decode(&key, &value)?
                && done.block.saturating_add(self.config.keep_blocks) < head
            {
                batch.delete(key);
            }
        }
        apply(&store, batch).await
    }

    /// Looks where every sent intent is, and sends again what is nowhere.
    async fn review(&mut self, head: &Header) -> Result<(), ChainError> {
        if self.flights.is_empty() {
            self.gap = None;
            return Ok(());
        }
        let number = head.block.number;
        let account = self.shared.account;
        let settled = self.config.finality.settled(&self.rpc, number).await?;
        let chain_nonce = self.rpc.nonce(account, BlockNumberOrTag::Latest).await?;
        let mut settled_nonce = None;
        let mut canonical = HashMap::from([(number, Some(head.block.hash))]);
        let nonces: Vec<u64> = self.flights.keys().copied().collect();
        for nonce in nonces {
            // Looked up first, written down after: a failing endpoint changes nothing.
            let Some(flight) = self.flights.get(&nonce) else {
                continue;
            };
            let found = if nonce < chain_nonce || flight.mined.is_some() {
                locate(&self.rpc, flight, &mut canonical).await?
            } else {
                None
            };
            match found {
                Some(transaction) => self.mined(nonce, transaction, number, settled).await?,
                None => {
                    self.unmined(nonce).await;
                    if nonce >= chain_nonce {
                        self.send_again(nonce, head).await?;
                        continue;
                    }
                    let used = match settled_nonce {
                        Some(count) => count,
                        None => {
                            let at = BlockNumberOrTag::Number(settled);
                            *settled_nonce.insert(self.rpc.nonce(account, at).await?)
                        }
                    };
                    if nonce < used {
                        self.renounce(nonce).await?;
                    }
                }
            }
        }
        self.heal_gap(chain_nonce, head).await
    }

    /// An intent's transaction is in a block.
    async fn mined(
        &mut self,
        nonce: u64,
        transaction: MinedTransaction,
        head: u64,
        settled: u64,
    ) -> Result<(), ChainError> {
        let Some(flight) = self.flights.get_mut(&nonce) else {
            return Ok(());
        };
        let depth = head.saturating_sub(transaction.block_number) + 1;
        let is_settled = transaction.block_number <= settled;
        let news = flight.depth != depth || flight.mined.as_ref() != Some(&transaction);
        flight.mined = Some(transaction.clone());
        flight.depth = depth;
        let intent = flight.sent.intent.clone();
        if !is_settled {
            if news {
                let outcome = Outcome::Mined {
                    transaction,
                    depth,
                    settled: false,
                };
                self.report(&intent, outcome).await;
            }
            return Ok(());
        }
        let outcome = if transaction.success {
            Outcome::Mined {
                transaction: transaction.clone(),
                depth,
                settled: true,
            }
        } else {
            let revert = self
                .explain_revert(&intent, transaction.block_number)
                .await?;
            Outcome::Reverted {
                revert,
                transaction: Some(transaction.clone()),
            }
        };
        let mut batch = Batch::new();
        let gas_key = keys::gas_use(&self.account(), intent.kind as u8);
        let mut gas = match self.shared.store.get(&gas_key)? {
            Some(value) => decode::<(IntentKind, GasUse)>(&gas_key, &value)?.1,
            None => GasUse::default(),
        };
        gas.transactions += 1;
        gas.gas = gas.gas.saturating_add(transaction.gas_used);
        let fee = u128::from(transaction.gas_used).saturating_mul(transaction.gas_price_wei);
        gas.fees_wei = gas.fees_wei.saturating_add(fee);
        batch.put(gas_key, encode(&(intent.kind, gas))?);
        self.finish(&intent, outcome, head, batch).await?;
        self.flights.remove(&nonce);
        self.nonce_floor = self.nonce_floor.max(nonce + 1);
        Ok(())
    }

    /// An intent's transaction is in no block, perhaps no longer.
    async fn unmined(&mut self, nonce: u64) {
        let Some(flight) = self.flights.get_mut(&nonce) else {
            return;
        };
        if flight.mined.take().is_some() {
            (flight.depth, flight.published) = (0, None);
            let intent = flight.sent.intent.clone();
            self.report(&intent, Outcome::Unmined).await;
        }
    }

    /// Another transaction of the account has this nonce, in a settled block: none of ours can be
    /// mined any more. The intent goes back to the queue and is simulated anew.
    async fn renounce(&mut self, nonce: u64) -> Result<(), ChainError> {
        let Some(flight) = self.flights.get(&nonce) else {
            return Ok(());
        };
        let intent = flight.sent.intent.clone();
        tracing::warn!(nonce, kind = %intent.kind, "another transaction took this nonce");
        let mut batch = Batch::new();
        batch.delete(keys::transaction(&self.account(), &intent.id().0));
        if intent.kind != IntentKind::Fill {
            intent.journal(self.shared.account, &mut batch)?;
        }
        apply(&self.shared.store, batch).await?;
        self.flights.remove(&nonce);
        if intent.kind != IntentKind::Fill {
            self.enqueue(intent.id(), intent.urgency);
        }
        Ok(())
    }

    /// Sends an unmined transaction again if it is time: dearer if that is possible, else as it is.
    async fn send_again(&mut self, nonce: u64, head: &Header) -> Result<(), ChainError> {
        let number = head.block.number;
        let Some(flight) = self.flights.get(&nonce) else {
            return Ok(());
        };
        let Some(newest) = flight.sent.attempts.last() else {
            return Ok(());
        };
        let overdue = match flight.published {
            None => return self.publish(nonce, number).await,
            Some(block) => number >= block.saturating_add(self.config.bump_after_blocks),
        };
        let priced_out = head.base_fee_wei > newest.fees.max_wei;
        if !overdue && !priced_out {
            return Ok(());
        }
        let tip = self.tip_wei().await?;
        let bumped = newest
            .fees
            .bumped(head.base_fee_wei, tip, self.config.fee_cap_wei);
        if let Some(fees) = bumped {
            let mut sent = flight.sent.clone();
            sent.attempts
                .push(self.sign(&sent.intent, nonce, sent.gas_limit, fees)?);
            tracing::info!(nonce, kind = %sent.intent.kind, max_wei = fees.max_wei, "raising the fee");
            let mut batch = Batch::new();
            let key = keys::transaction(&self.account(), &sent.intent.id().0);
            batch.put(key, encode(&Record::Sent(sent.clone()))?);
            apply(&self.shared.store, batch).await?;
            if let Some(flight) = self.flights.get_mut(&nonce) {
                flight.sent = sent;
            }
        }
        self.publish(nonce, number).await
    }

    /// Sends the newest transaction of a nonce; when the endpoint does not take it, the earlier
    /// ones too, so that one of them is in its pool.
    async fn publish(&mut self, nonce: u64, block: u64) -> Result<(), ChainError> {
        let Some(flight) = self.flights.get(&nonce) else {
            return Ok(());
        };
        for attempt in flight.sent.attempts.iter().rev() {
            match self.rpc.publish(&attempt.raw).await {
                Ok(()) => break,
                Err(RpcError::Refused { message, .. }) => {
                    // Already known, nonce too low, replacement underpriced, pool full: the next
                    // review sees which. It is sent again in any case.
                    tracing::debug!(nonce, %message, "the endpoint did not take a transaction");
                }
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(flight) = self.flights.get_mut(&nonce) {
            flight.published = Some(block);
        }
        Ok(())
    }

    /// Fills a nonce that stands before ours and that nobody's transaction takes: after the time
    /// that any transaction is given, an empty transfer takes it.
    async fn heal_gap(&mut self, chain_nonce: u64, head: &Header) -> Result<(), ChainError> {
        let above = self
            .flights
            .keys()
            .next_back()
            .is_some_and(|last| *last > chain_nonce);
        let blocked = above && !self.flights.contains_key(&chain_nonce);
        // A transaction that was sent by hand may be waiting in the pool for just this nonce.
        if !blocked
            || self
                .rpc
                .nonce(self.shared.account, BlockNumberOrTag::Pending)
                .await?
                > chain_nonce
        {
            self.gap = None;
            return Ok(());
        }
        let since = match self.gap {
            Some((nonce, since)) if nonce == chain_nonce => since,
            _ => {
                self.gap = Some((chain_nonce, head.block.number));
                head.block.number
            }
        };
        if head.block.number < since.saturating_add(self.config.bump_after_blocks) {
            return Ok(());
        }
        let Some(fees) = Fees::first(
            head.base_fee_wei,
            self.tip_wei().await?,
            self.config.fee_cap_wei,
        ) else {
            return Ok(());
        };
        let mut intent = Intent::call(
            IntentKind::Fill,
            B256::from(U256::from(chain_nonce)),
            self.shared.account,
            Bytes::new(),
        );
        while record(self.shared.store.as_ref(), &self.account(), &intent.id())?.is_some() {
            intent.round += 1;
        }
        tracing::warn!(nonce = chain_nonce, "filling a gap in the nonces");
        self.assign(intent, chain_nonce, TRANSFER_GAS, fees, head.block.number)
            .await
    }

    /// Simulates waiting intents and sends those that would succeed, as many as may be in flight.
    async fn launch(&mut self, head: &Header) -> Result<(), ChainError> {
        let unmined = self
            .flights
            .values()
            .filter(|flight| flight.mined.is_none())
            .count();
        let room = self.config.in_flight_max.saturating_sub(unmined);
        let mut intents = Vec::new();
        for entry in self.queue.iter().take(room) {
            let key = keys::outbox(&self.account(), &entry.2.0);
            // Absent: a rollback took back the block that wanted it.
            let intent = match self.shared.store.get(&key)? {
                Some(value) => Some(decode::<Intent>(&key, &value)?),
                None => None,
            };
            intents.push((*entry, intent));
        }
        if intents.is_empty() {
            self.set_blocked(None);
            return Ok(());
        }
        let account = self.shared.account;
        let tip = self.tip_wei().await?;
        let Some(fees) = Fees::first(head.base_fee_wei, tip, self.config.fee_cap_wei) else {
            self.set_blocked(Some(format!(
                "the base fee of {} wei is above the cap of {} wei",
                head.base_fee_wei, self.config.fee_cap_wei
            )));
            return Ok(());
        };
        let pending = self.rpc.nonce(account, BlockNumberOrTag::Pending).await?;
        let own = self.flights.keys().next_back().map_or(0, |last| last + 1);
        let mut nonce = pending.max(own).max(self.nonce_floor);
        let committed = self
            .flights
            .values()
            .filter(|flight| flight.mined.is_none())
            .fold(U256::ZERO, |sum, flight| {
                sum.saturating_add(flight.sent.cost_wei())
            });
        let mut funds = self.rpc.balance(account).await?.saturating_sub(committed);

        let this = &*self;
        let simulated: Vec<_> = stream::iter(intents)
            .map(|(entry, intent)| async move {
                let result = match &intent {
                    Some(intent) => Some(this.simulate(intent, head).await),
                    None => None,
                };
                (entry, intent, result)
            })
            .buffered(self.config.in_flight_max.max(1))
            .collect()
            .await;
        let mut failure = None;
        for (entry, intent, result) in simulated {
            let (Some(intent), Some(result)) = (intent, result) else {
                self.dequeue(&entry);
                continue;
            };
            match result {
                Err(error) => {
                    // To the back of the queue: an intent that an endpoint chokes on must not
                    // keep the others waiting.
                    self.dequeue(&entry);
                    self.enqueue(entry.2, entry.0);
                    failure = failure.or(Some(error));
                }
                Ok(Simulated::Over(outcome)) => {
                    self.finish(&intent, outcome, head.block.number, Batch::new())
                        .await?;
                    self.dequeue(&entry);
                }
                Ok(Simulated::Ready { gas_limit }) => {
                    let cost = cost_wei(&intent, gas_limit, fees);
                    if cost > funds {
                        self.set_blocked(Some(format!(
                            "{account} has {funds} wei left, a transaction needs up to {cost}"
                        )));
                        return Ok(());
                    }
                    funds -= cost;
                    self.assign(intent, nonce, gas_limit, fees, head.block.number)
                        .await?;
                    self.dequeue(&entry);
                    nonce += 1;
                }
            }
        }
        match failure {
            Some(error) => Err(error.into()),
            None => {
                self.set_blocked(None);
                Ok(())
            }
        }
    }

    fn dequeue(&mut self, entry: &(Urgency, u64, IntentId)) {
        self.queue.remove(entry);
        self.queued.remove(&entry.2);
    }

    /// Whether an intent would succeed now, and with how much gas.
    async fn simulate(&self, intent: &Intent, head: &Header) -> Result<Simulated, RpcError> {
        if intent
            .not_after_s
            .is_some_and(|last| head.block.timestamp_s > last)
        {
            let reason = "it was not sent before its time ran out".to_owned();
            return Ok(Simulated::Over(Outcome::Failed { reason }));
        }
        let request = request(self.shared.account, intent);
        let estimated = match self
            .rpc
            .call(request.clone(), BlockNumberOrTag::Latest)
            .await
        {
            Ok(_) => self.rpc.estimate_gas(request).await,
            Err(error) => Err(error),
        };
        match estimated {
            // A quarter more: the state may change until it is mined.
            Ok(gas) if gas <= self.config.gas_limit_max => Ok(Simulated::Ready {
                gas_limit: gas.saturating_add(gas / 4).min(self.config.gas_limit_max),
            }),
            Ok(gas) => {
                let limit = self.config.gas_limit_max;
                let reason = format!("it needs {gas} gas, a transaction may use {limit}");
                Ok(Simulated::Over(Outcome::Failed { reason }))
            }
            Err(error) => match Revert::from_refusal(&error, self.config.decode_error) {
                Some(revert) => Ok(Simulated::Over(Outcome::Reverted {
                    revert,
                    transaction: None,
                })),
                None => Err(error),
            },
        }
    }

    /// Why a mined transaction reverted, as far as the state after its block still tells.
    async fn explain_revert(&self, intent: &Intent, block: u64) -> Result<Revert, ChainError> {
        let request = request(self.shared.account, intent);
        let decoder = self.config.decode_error;
        match self
            .rpc
            .call(request, BlockNumberOrTag::Number(block))
            .await
        {
            Ok(_) => {
                let reason = "it reverted in its block; the same call succeeds after it";
                Ok(Revert::new(Bytes::new(), reason, decoder))
            }
            Err(error) => match Revert::from_refusal(&error, decoder) {
                Some(revert) => Ok(revert),
                None => Err(error.into()),
            },
        }
    }

    /// Gives an intent its nonce, journals that with the signed transaction, and sends it.
    async fn assign(
        &mut self,
        intent: Intent,
        nonce: u64,
        gas_limit: u64,
        fees: Fees,
        block: u64,
    ) -> Result<(), ChainError> {
        let id = intent.id();
        let attempts = vec![self.sign(&intent, nonce, gas_limit, fees)?];
        let sent = Sent {
            intent,
            nonce,
            gas_limit,
            since_block: block,
            attempts,
        };
        let mut batch = Batch::new();
        batch
            .expect(keys::transaction(&self.account(), &id.0), None)
            .put(
                keys::transaction(&self.account(), &id.0),
                encode(&Record::Sent(sent.clone()))?,
            )
            .delete(keys::outbox(&self.account(), &id.0));
        apply(&self.shared.store, batch).await?;
        self.flights.insert(nonce, Flight::new(sent));
        self.publish(nonce, block).await
    }

    fn sign(
        &self,
        intent: &Intent,
        nonce: u64,
        gas_limit: u64,
        fees: Fees,
    ) -> Result<Attempt, ChainError> {
        let mut transaction = TxEip1559 {
            chain_id: self.config.chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: fees.max_wei,
            max_priority_fee_per_gas: fees.tip_wei,
            to: TxKind::Call(intent.to),
            value: intent.value,
            access_list: Default::default(),
            input: intent.data.clone(),
        };
        let signature = self
            .signer
            .sign_transaction_sync(&mut transaction)
            .map_err(|error| ChainError::Journal(format!("the key cannot sign: {error}")))?;
        let signed = TxEnvelope::from(transaction.into_signed(signature));
        Ok(Attempt {
            hash: *signed.tx_hash(),
            raw: signed.encoded_2718().into(),
            fees,
        })
    }

    /// Journals that an intent is over, then reports it.
    async fn finish(
        &mut self,
        intent: &Intent,
        outcome: Outcome,
        block: u64,
        mut batch: Batch,
    ) -> Result<(), ChainError> {
        let Intent {
            kind,
            subject,
            round,
            ..
        } = *intent;
        let id = intent.id();
        let done = Done {
            kind,
            subject,
            round,
            outcome: outcome.clone(),
            block,
        };
        batch
            .put(
                keys::transaction(&self.account(), &id.0),
                encode(&Record::Done(done))?,
            )
            .delete(keys::outbox(&self.account(), &id.0));
        apply(&self.shared.store, batch).await?;
        self.report(intent, outcome).await;
        Ok(())
    }

    async fn report(&self, intent: &Intent, outcome: Outcome) {
        let report = IntentReport {
            id: intent.id(),
            kind: intent.kind,
            subject: intent.subject,
            round: intent.round,
            outcome,
        };
        // Nobody listens any more: the outcome is in the journal.
        let _ = self.reports.send(report).await;
    }

    async fn tip_wei(&self) -> Result<u128, ChainError> {
        match self.rpc.suggested_tip_wei().await {
            Ok(tip) => Ok(tip.max(self.config.tip_min_wei)),
            // Not every chain knows the question.
            Err(RpcError::Refused { .. }) => Ok(self.config.tip_min_wei),
            Err(error) => Err(error.into()),
        }
    }

    fn set_blocked(&self, blocked: Option<String>) {
        self.shared
            .health
            .send_modify(|health| health.blocked = blocked);
    }

    fn account(&self) -> [u8; 20] {
        self.shared.account.into_array()
    }
}

impl Flight {
    fn new(sent: Sent) -> Self {
        Self {
            sent,
            mined: None,
            depth: 0,
            published: None,
        }
    }
}

impl Sent {
    /// The most that it can still cost, in wei.
    fn cost_wei(&self) -> U256 {
        self.attempts.last().map_or(U256::ZERO, |newest| {
            cost_wei(&self.intent, self.gas_limit, newest.fees)
        })
    }
}

fn cost_wei(intent: &Intent, gas_limit: u64, fees: Fees) -> U256 {
    intent
        .value
        .saturating_add(U256::from(gas_limit).saturating_mul(U256::from(fees.max_wei)))
}

fn request(from: Address, intent: &Intent) -> TransactionRequest {
    TransactionRequest {
        from: Some(from),
        to: Some(TxKind::Call(intent.to)),
        value: Some(intent.value),
        input: TransactionInput::new(intent.data.clone()),
        ..Default::default()
    }
}

/// Where an intent's transaction is: in the block it was last seen in, if that is still on the
/// chain, else wherever one of its hashes is.
async fn locate(
    rpc: &Rpc,
    flight: &Flight,
    canonical: &mut HashMap<u64, Option<B256>>,
) -> Result<Option<MinedTransaction>, RpcError> {
    if let Some(mined) = &flight.mined {
        let hash = match canonical.get(&mined.block_number) {
            Some(hash) => *hash,
            None => {
                let at = BlockNumberOrTag::Number(mined.block_number);
                let hash = rpc.header(at).await?.map(|header| header.block.hash);
                canonical.insert(mined.block_number, hash);
                hash
            }
        };
        if hash == Some(mined.block_hash) {
            return Ok(Some(mined.clone()));
        }
    }
    for attempt in flight.sent.attempts.iter().rev() {
        let receipt = rpc.receipt(attempt.hash).await?;
        if let Some(mined) = receipt.as_ref().and_then(mined_transaction) {
            return Ok(Some(mined));
        }
    }
    Ok(None)
}

/// A receipt without a block is of a pending transaction.
fn mined_transaction(receipt: &TransactionReceipt) -> Option<MinedTransaction> {
    Some(MinedTransaction {
        hash: receipt.transaction_hash,
        block_number: receipt.block_number?,
        block_hash: receipt.block_hash?,
        success: receipt.status(),
        gas_used: receipt.gas_used,
        gas_price_wei: receipt.effective_gas_price,
    })
}

fn record(
    store: &dyn Store,
    account: &[u8; 20],
    id: &IntentId,
) -> Result<Option<Record>, ChainError> {
    let key = keys::transaction(account, &id.0);
    store
        .get(&key)?
        .map(|value| decode(&key, &value))
        .transpose()
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, ChainError> {
    serde_json::to_vec(value).map_err(|error| ChainError::Journal(error.to_string()))
}

fn decode<T: DeserializeOwned>(key: &outcry_store::Key, value: &[u8]) -> Result<T, ChainError> {
    serde_json::from_slice(value).map_err(|_| ChainError::Journal(key.to_string()))
}
