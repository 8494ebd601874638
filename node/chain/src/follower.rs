//! Reads the chain: one block after another, every event once, and back again when the chain
//! changes its mind.

use std::{collections::VecDeque, marker::PhantomData, sync::Arc, time::Duration};

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Address, B256, BloomInput, Bytes},
    rpc::types::{Filter, Log},
    sol_types::SolEventInterface,
};
use futures::{StreamExt, TryStreamExt, stream};
use outcry_store::{Batch, Key, Store, keys};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::{
    BlockRef, ChainError, Rpc,
    rpc::{Header, RpcError},
};

/// Blocks below the head that are read with every header, so that each parent hash is checked.
/// Further back, only the ends of a range and the blocks that have events are.
const NEAR_BLOCKS: u64 = 64;
/// Most blocks in one update near the head.
const NEAR_UPDATE_BLOCKS: u64 = 32;
/// Headers asked for at once.
const HEADERS_AT_ONCE: usize = 8;
/// Longest wait between two tries while the endpoint fails.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// When a block counts as settled, so that money may move on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finality {
    /// The chain's own `finalized` tag.
    Finalised,
    /// This many blocks, its own included, lie on it. 1 settles every block at once.
    Depth(u64),
}

impl Finality {
    /// The newest settled block's number, given the head.
    pub(crate) async fn settled(self, rpc: &Rpc, head: u64) -> Result<u64, RpcError> {
        match self {
            Self::Depth(depth) => Ok((head + 1).saturating_sub(depth.max(1))),
            Self::Finalised => {
                let block = rpc.header(BlockNumberOrTag::Finalized).await?;
                Ok(block.map_or(0, |block| block.block.number))
            }
        }
    }
}

/// What to read, and how.
#[derive(Debug, Clone)]
pub struct FollowerConfig {
    /// The contracts whose events are read. The first names the cursor in the store.
    pub contracts: Vec<Address>,
    /// The block in which the oldest of them was created.
    pub start_block: u64,
    /// When a block counts as settled.
    pub finality: Finality,
    /// Longest wait before the head is asked for again.
    pub poll_interval: Duration,
    /// Most blocks in one `eth_getLogs`.
    pub range_blocks_max: u64,
    /// Updates that can be undone; deeper forks stop the follower.
    pub checkpoints_max: usize,
}

impl FollowerConfig {
    /// The defaults for these contracts: settled at the finalised tag, asked for each second.
    pub fn new(contracts: Vec<Address>, start_block: u64) -> Self {
        Self {
            contracts,
            start_block,
            finality: Finality::Finalised,
            poll_interval: Duration::from_secs(1),
            range_blocks_max: 2_000,
            checkpoints_max: 256,
        }
    }
}

/// One decoded event and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainEvent<E> {
    /// The block.
    pub block: BlockRef,
    /// Position in the block.
    pub log_index: u64,
    /// The transaction.
    pub transaction: B256,
    /// The contract that emitted it.
    pub address: Address,
    /// The event.
    pub event: E,
}

/// What happened on the chain since the last acknowledged update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainUpdate<E> {
    /// The chain grew.
    Blocks(Blocks<E>),
    /// The blocks above `to` are no longer on the chain. Acknowledging it undoes every write that
    /// was acknowledged with them.
    Rollback {
        /// The last block that still holds.
        to: BlockRef,
    },
}

/// New blocks, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks<E> {
    /// The last block of this update; everything up to it is in here.
    pub last: BlockRef,
    /// The blocks. Near the head all of them; further back those that have events, and the last.
    pub headers: Vec<BlockRef>,
    /// Their events, in the chain's order.
    pub events: Vec<ChainEvent<E>>,
    /// The head when this was read.
    pub head: BlockRef,
    /// The newest settled block's number: money moves only on events up to it.
    pub settled: u64,
}

/// How well the reading goes, for readiness and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderHealth {
    /// The newest head seen.
    pub head: Option<BlockRef>,
    /// The last acknowledged block.
    pub read: BlockRef,
    /// The newest settled block's number.
    pub settled: u64,
    /// Failures in a row.
    pub failures: u32,
    /// The last failure; `None` after a success.
    pub error: Option<String>,
}

/// Reads a chain's events into a store.
///
/// Each update is acknowledged with the batch of its effects; both become durable together, so
/// that after a crash reading goes on exactly where the effects end. The keys that such a batch
/// writes belong to the follower's rollback: nothing else may write them, or a rollback would
/// undo that too.
#[derive(Debug)]
pub struct Follower<E> {
    rpc: Rpc,
    store: Arc<dyn Store>,
    config: FollowerConfig,
    market: [u8; 20],
    cursor: BlockRef,
    /// Numbers of the remembered blocks, ascending; the last is the cursor's.
    checkpoints: VecDeque<u64>,
    /// Delivered and not yet acknowledged.
    pending: Option<ChainUpdate<E>>,
    /// Blocks asked for at once; halves when the endpoint refuses.
    range_blocks: u64,
    wake: Arc<Notify>,
    health: watch::Sender<ReaderHealth>,
    events: PhantomData<fn() -> E>,
}

/// A block up to which effects are applied, and the values that its update overwrote.
#[derive(Debug, Serialize, Deserialize)]
struct Checkpoint {
    block: BlockRef,
    undo: Vec<(Bytes, Option<Bytes>)>,
}

impl<E: SolEventInterface + Clone> Follower<E> {
    /// Continues from the store, or starts at the configured block.
    pub async fn open(
        rpc: Rpc,
        store: Arc<dyn Store>,
        config: FollowerConfig,
    ) -> Result<Self, ChainError> {
        let market = config
            .contracts
            .first()
            .copied()
            .unwrap_or_default()
            .into_array();
        let mut checkpoints = VecDeque::new();
        for entry in outcry_store::entries(store.as_ref(), &keys::checkpoints(&market)) {
            checkpoints.push_back(decode(&entry?)?.block.number);
        }
        let cursor = match checkpoints.back() {
            Some(number) => read(store.as_ref(), &market, *number)?.block,
            None => {
                let number = config.start_block.saturating_sub(1);
                let header = rpc.header(BlockNumberOrTag::Number(number)).await?;
                let block = header.ok_or(ChainError::Moved)?.block;
                let mut batch = Batch::new();
                let checkpoint = Checkpoint {
                    block,
                    undo: Vec::new(),
                };
                batch.put(keys::checkpoint(&market, number), encode(&checkpoint)?);
                apply(&store, batch).await?;
                checkpoints.push_back(number);
                block
            }
        };
        let health = ReaderHealth {
            head: None,
            read: cursor,
            settled: 0,
            failures: 0,
            error: None,
        };
        Ok(Self {
            range_blocks: config.range_blocks_max.max(1),
            rpc,
            store,
            config,
            market,
            cursor,
            checkpoints,
            pending: None,
            wake: Arc::default(),
            health: watch::Sender::new(health),
            events: PhantomData,
        })
    }

    /// The last acknowledged block.
    pub fn read(&self) -> BlockRef {
        self.cursor
    }

    /// Notifying this makes [`Follower::next`] look at the chain at once.
    pub fn waker(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// How well the reading goes.
    pub fn health(&self) -> watch::Receiver<ReaderHealth> {
        self.health.subscribe()
    }

    /// Waits for the next update. Until it is acknowledged, the same one is returned again.
    ///
    /// Failures of the endpoint are retried, ever more slowly, and shown in
    /// [`Follower::health`].
    ///
    /// # Errors
    /// Only those that no waiting mends, see [`ChainError::is_transient`].
    pub async fn next(&mut self) -> Result<ChainUpdate<E>, ChainError> {
        loop {
            let wait = match self.poll().await {
                Ok(Some(update)) => return Ok(update),
                Ok(None) => self.config.poll_interval,
                Err(error) if error.is_transient() => {
                    let failures = self.health.borrow().failures;
                    tracing::warn!(%error, failures, "reading the chain failed; trying again");
                    backoff(self.config.poll_interval, failures)
                }
                Err(error) => return Err(error),
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.wake.notified() => {}
            }
        }
    }

    /// Looks at the chain once: the next update, or `None` at the head.
    pub async fn poll(&mut self) -> Result<Option<ChainUpdate<E>>, ChainError> {
        if let Some(update) = &self.pending {
            return Ok(Some(update.clone()));
        }
        let result = self.look().await;
        self.health.send_modify(|health| match &result {
            Ok(_) => (health.failures, health.error) = (0, None),
            Err(error) => {
                health.failures = health.failures.saturating_add(1);
                health.error = Some(error.to_string());
            }
        });
        let update = result?;
        self.pending.clone_from(&update);
        Ok(update)
    }

    /// Writes the effects of the delivered update, together with the fact that it was applied.
    /// A rollback's undoing comes first, so that `effects` sees and may change its outcome.
    ///
    /// # Errors
    /// [`outcry_store::StoreError::Conflict`] when somebody else wrote one of the keys meanwhile:
    /// compute the effects again. The update stays unacknowledged after any error.
    pub async fn acknowledge(&mut self, effects: Batch) -> Result<(), ChainError> {
        self.acknowledge_with(effects, Batch::new()).await
    }

    /// As [`Follower::acknowledge`], with `lasting` writes in the same step that stay when a fork
    /// takes the blocks back: a log of what was seen, an intent to act on it. Their keys may be
    /// written by others.
    ///
    /// # Errors
    /// As [`Follower::acknowledge`].
    pub async fn acknowledge_with(
        &mut self,
        effects: Batch,
        lasting: Batch,
    ) -> Result<(), ChainError> {
        let Some(update) = &self.pending else {
            return Ok(());
        };
        let (block, mut batch, kept) = match update {
            ChainUpdate::Blocks(blocks) => self.advance(blocks.last, effects)?,
            ChainUpdate::Rollback { to } => self.undo(*to, effects)?,
        };
        batch.extend(lasting);
        apply(&self.store, batch).await?;
        self.cursor = block;
        self.checkpoints = kept;
        self.pending = None;
        self.health.send_modify(|health| health.read = block);
        Ok(())
    }

    /// The batch that moves the cursor forward, with the values it overwrites.
    fn advance(
        &self,
        last: BlockRef,
        effects: Batch,
    ) -> Result<(BlockRef, Batch, VecDeque<u64>), ChainError> {
        let mut undo = Vec::new();
        let mut batch = Batch::new();
        for (key, _) in effects.writes() {
            let before = self.store.get(key)?;
            undo.push((
                Bytes::copy_from_slice(key.as_bytes()),
                before.as_deref().map(Bytes::copy_from_slice),
            ));
            batch.expect(key.clone(), before);
        }
        batch.extend(effects);
        let checkpoint = Checkpoint { block: last, undo };
        batch.put(
            keys::checkpoint(&self.market, last.number),
            encode(&checkpoint)?,
        );
        let mut kept = self.checkpoints.clone();
        kept.push_back(last.number);
        while kept.len() > self.config.checkpoints_max.max(2) {
            if let Some(oldest) = kept.pop_front() {
                batch.delete(keys::checkpoint(&self.market, oldest));
            }
        }
        Ok((last, batch, kept))
    }

    /// The batch that takes the store back to the state it had at `to`.
    fn undo(
        &self,
        to: BlockRef,
        effects: Batch,
    ) -> Result<(BlockRef, Batch, VecDeque<u64>), ChainError> {
        let mut batch = Batch::new();
        let mut kept = self.checkpoints.clone();
        while let Some(number) = kept.pop_back_if(|number| *number > to.number) {
            for (key, before) in read(self.store.as_ref(), &self.market, number)?.undo {
                let key = Key::from_bytes(key);
                match before {
                    Some(value) => batch.put(key, value),
                    None => batch.delete(key),
                };
            }
            batch.delete(keys::checkpoint(&self.market, number));
        }
        batch.extend(effects);
        Ok((to, batch, kept))
    }

    async fn look(&mut self) -> Result<Option<ChainUpdate<E>>, ChainError> {
        let head = self.rpc.head().await?;
        let settled = self
            .config
            .finality
            .settled(&self.rpc, head.block.number)
            .await?;
        self.health.send_modify(|health| {
            health.head = Some(head.block);
            health.settled = settled;
        });
        if head.block.number <= self.cursor.number {
            return self.behind(head.block).await;
        }
        let next = self.cursor.number + 1;
        let first = if next == head.block.number {
            head.clone()
        } else if let Some(first) = self.rpc.header(BlockNumberOrTag::Number(next)).await? {
            first
        } else {
            // The endpoint's head ran ahead of its blocks.
            return Ok(None);
        };
        if first.block.parent != self.cursor.hash {
            return self.fork(head.block.number).await.map(Some);
        }
        let near = head.block.number - self.cursor.number <= NEAR_BLOCKS;
        let (headers, logs) = if near {
            let to = head
                .block
                .number
                .min(self.cursor.number + NEAR_UPDATE_BLOCKS);
            self.read_near(first, to).await?
        } else {
            self.read_far(first, head.block.number - NEAR_BLOCKS)
                .await?
        };
        let last = headers.last().ok_or(ChainError::Moved)?.block;
        let events = self.decode(&headers, logs)?;
        let headers = headers.into_iter().map(|header| header.block).collect();
        Ok(Some(ChainUpdate::Blocks(Blocks {
            last,
            headers,
            events,
            head: head.block,
            settled,
        })))
    }

    /// The endpoint's head is not above the cursor: it lags, or the chain forked.
    async fn behind(&self, head: BlockRef) -> Result<Option<ChainUpdate<E>>, ChainError> {
        let Some(number) = self
            .checkpoints
            .iter()
            .rev()
            .find(|number| **number <= head.number)
        else {
            // Below everything remembered: an endpoint that is still syncing says nothing about
            // what is above it.
            return Ok(None);
        };
        let ours = read(self.store.as_ref(), &self.market, *number)?.block;
        match self.rpc.header(BlockNumberOrTag::Number(*number)).await? {
            Some(theirs) if theirs.block.hash == ours.hash => Ok(None),
            Some(_) => self.fork(head.number).await.map(Some),
            None => Err(ChainError::Moved),
        }
    }

    /// Walks back to the newest remembered block that is still on the chain.
    async fn fork(&self, head: u64) -> Result<ChainUpdate<E>, ChainError> {
        for number in self
            .checkpoints
            .iter()
            .rev()
            .filter(|number| **number <= head)
        {
            let ours = read(self.store.as_ref(), &self.market, *number)?.block;
            let theirs = self.rpc.header(BlockNumberOrTag::Number(*number)).await?;
            if theirs.is_some_and(|theirs| theirs.block.hash == ours.hash) {
                if ours.hash == self.cursor.hash {
                    // The cursor holds after all; the question before was answered elsewhere.
                    return Err(ChainError::Moved);
                }
                tracing::warn!(from = self.cursor.number, to = number, "the chain forked");
                return Ok(ChainUpdate::Rollback { to: ours });
            }
        }
        Err(ChainError::ForkTooDeep {
            oldest: self.checkpoints.front().copied().unwrap_or(0),
        })
    }

    /// Every block from `first` to `to`, each checked to be the child of the one before.
    async fn read_near(
        &mut self,
        first: Header,
        to: u64,
    ) -> Result<(Vec<Header>, Vec<Log>), ChainError> {
        let mut headers = vec![first];
        let rest = headers[0].block.number + 1..=to;
        let fetched: Vec<_> = stream::iter(rest)
            .map(|number| self.rpc.header(BlockNumberOrTag::Number(number)))
            .buffered(HEADERS_AT_ONCE)
            .try_collect()
            .await?;
        for header in fetched {
            // Missing: the endpoint's head ran ahead of its blocks.
            let (Some(header), Some(parent)) = (header, headers.last()) else {
                break;
            };
            if header.block.parent != parent.block.hash {
                break;
            }
            headers.push(header);
        }
        let (from, to) = (
            headers[0].block.number,
            headers[headers.len() - 1].block.number,
        );
        let (to, mut logs) = self.logs(from, to).await?;
        headers.retain(|header| header.block.number <= to);
        // An endpoint may answer a range from a replica that lacks the newest blocks. The bloom
        // filter in the header says when a block ought to have had logs of ours.
        for header in &headers {
            let block = header.block;
            let silent = !logs
                .iter()
                .any(|log| log.block_number == Some(block.number));
            let expected = self.config.contracts.iter().any(|address| {
                header
                    .bloom
                    .contains_input(BloomInput::Raw(address.as_slice()))
            });
            if silent && expected {
                let filter = self.filter().at_block_hash(block.hash);
                logs.extend(self.rpc.logs(&filter).await?);
            }
        }
        Ok((headers, logs))
    }

    /// A range that ends at or below `to`: the header of its end and of each block with logs.
    async fn read_far(
        &mut self,
        first: Header,
        to: u64,
    ) -> Result<(Vec<Header>, Vec<Log>), ChainError> {
        let from = first.block.number;
        let (to, logs) = self.logs(from, to).await?;
        let mut numbers: Vec<u64> = logs.iter().filter_map(|log| log.block_number).collect();
        numbers.push(to);
        numbers.sort_unstable();
        numbers.dedup();
        let headers: Vec<Header> = stream::iter(numbers)
            .map(|number| self.rpc.header(BlockNumberOrTag::Number(number)))
            .buffered(HEADERS_AT_ONCE)
            .try_filter_map(|header| async move { Ok(header) })
            .try_collect()
            .await?;
        Ok((headers, logs))
    }

    fn filter(&self) -> Filter {
        Filter::new().address(self.config.contracts.clone())
    }

    /// The logs from `from` to the returned block, at most to `to`. Halves the range while the
    /// endpoint refuses it, and doubles it again when it answers.
    async fn logs(&mut self, from: u64, to: u64) -> Result<(u64, Vec<Log>), ChainError> {
        loop {
            let end = to.min(from.saturating_add(self.range_blocks - 1));
            let filter = self.filter().from_block(from).to_block(end);
            match self.rpc.logs(&filter).await {
                Ok(logs) => {
                    let max = self.config.range_blocks_max.max(1);
                    self.range_blocks = self.range_blocks.saturating_mul(2).min(max);
                    return Ok((end, logs));
                }
                Err(error) if end > from => {
                    tracing::debug!(%error, from, end, "the endpoint refused a range; halving it");
                    self.range_blocks = (end - from).div_ceil(2).max(1);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Decodes logs, each checked to lie in the block that was read.
    fn decode(
        &self,
        headers: &[Header],
        mut logs: Vec<Log>,
    ) -> Result<Vec<ChainEvent<E>>, ChainError> {
        logs.sort_by_key(|log| (log.block_number, log.log_index));
        let mut events = Vec::with_capacity(logs.len());
        for log in logs {
            let (Some(number), Some(log_index), Some(transaction)) =
                (log.block_number, log.log_index, log.transaction_hash)
            else {
                return Err(ChainError::Moved);
            };
            let header = headers.binary_search_by_key(&number, |header| header.block.number);
            let Some(block) = header.ok().map(|index| headers[index].block) else {
                return Err(ChainError::Moved);
            };
            if log.removed || log.block_hash != Some(block.hash) {
                return Err(ChainError::Moved);
            }
            if !self.config.contracts.contains(&log.address()) {
                continue;
            }
            let address = log.address();
            let event = E::decode_raw_log(log.topics(), &log.data().data).map_err(|_| {
                ChainError::UnknownEvent {
                    address,
                    block: number,
                    log_index,
                }
            })?;
            events.push(ChainEvent {
                block,
                log_index,
                transaction,
                address,
                event,
            });
        }
        Ok(events)
    }
}

/// The wait after `failures` failures in a row.
pub(crate) fn backoff(base: Duration, failures: u32) -> Duration {
    base.saturating_mul(2u32.saturating_pow(failures.min(16)))
        .min(BACKOFF_MAX.max(base))
}

/// Applies a batch without blocking the runtime while the disk syncs.
pub(crate) async fn apply(store: &Arc<dyn Store>, batch: Batch) -> Result<(), ChainError> {
    let store = Arc::clone(store);
    match tokio::task::spawn_blocking(move || store.apply(&batch)).await {
        Ok(result) => Ok(result?),
        // The runtime is shutting down, or the store panicked: nothing is known to be written.
        Err(error) => Err(outcry_store::StoreError::Io(std::io::Error::other(error)).into()),
    }
}

fn encode(checkpoint: &Checkpoint) -> Result<Vec<u8>, ChainError> {
    serde_json::to_vec(checkpoint).map_err(|error| ChainError::Journal(error.to_string()))
}

fn decode((key, value): &outcry_store::Entry) -> Result<Checkpoint, ChainError> {
    serde_json::from_slice(value).map_err(|_| ChainError::Journal(key.to_string()))
}

fn read(store: &dyn Store, market: &[u8; 20], number: u64) -> Result<Checkpoint, ChainError> {
    let key = keys::checkpoint(market, number);
    match store.get(&key)? {
        Some(value) => decode(&(key, value)),
        None => Err(ChainError::Journal(key.to_string())),
    }
}
