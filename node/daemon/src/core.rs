//! The state behind its lock, and the one way to change it: a fact is applied, what it writes is on
//! disk, and only then does anybody act on it.

use std::sync::{Arc, PoisonError, RwLock};

use alloy::primitives::B256;
use outcry_chain::{ChainError, MarketFollower};
use outcry_sdk::api::JobEvent;
use outcry_store::{Batch, Store, StoreError};
use tokio::sync::{Mutex, watch};

use crate::state::{Changes, Fact, State, journal};

/// The state, the store, and who waits for changes.
#[derive(Debug)]
pub struct Core {
    state: RwLock<State>,
    store: Arc<dyn Store>,
    /// Held while a fact is applied and written: facts are applied in the order of their writes.
    applying: Mutex<()>,
    changed: watch::Sender<u64>,
}

impl Core {
    /// A core over what the store holds.
    ///
    /// # Errors
    /// The store's.
    pub fn open(mut state: State, store: Arc<dyn Store>) -> Result<Self, StoreError> {
        state.load(store.as_ref())?;
        Ok(Self {
            state: RwLock::new(state),
            store,
            applying: Mutex::new(()),
            changed: watch::Sender::new(0),
        })
    }

    /// Looks at the state. Do not wait inside.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The store, for reading.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Counts up with every applied fact.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Applies a fact; when this returns, its writes are on disk.
    ///
    /// # Errors
    /// The store's. The state is ahead of the disk then, and the node must stop.
    pub async fn apply(&self, fact: Fact) -> Result<Changes, StoreError> {
        let _one_at_a_time = self.applying.lock().await;
        let mut changes = self.reduce(fact);
        self.write(std::mem::take(&mut changes.local)).await?;
        self.notify();
        Ok(changes)
    }

    /// Applies several facts as [`Core::apply`] does; who waits for changes looks once.
    ///
    /// # Errors
    /// As for [`Core::apply`].
    pub async fn apply_all(&self, facts: Vec<Fact>) -> Result<Vec<Changes>, StoreError> {
        if facts.is_empty() {
            return Ok(Vec::new());
        }
        let _one_at_a_time = self.applying.lock().await;
        let mut batch = Batch::new();
        let mut all = Vec::with_capacity(facts.len());
        for fact in facts {
            let mut changes = self.reduce(fact);
            batch.extend(std::mem::take(&mut changes.local));
            all.push(changes);
        }
        self.write(batch).await?;
        self.notify();
        Ok(all)
    }

    /// Applies a fact about new blocks, whose writes the follower makes together with its cursor.
    ///
    /// # Errors
    /// The store's or the follower's. The node must stop then.
    pub async fn apply_blocks(
        &self,
        fact: Fact,
        follower: &mut MarketFollower,
    ) -> Result<Changes, ChainError> {
        let _one_at_a_time = self.applying.lock().await;
        let mut changes = self.reduce(fact);
        // In one write: these blocks are not delivered again, so what they caused may not be lost
        // between two.
        follower
            .acknowledge_with(
                std::mem::take(&mut changes.chain),
                std::mem::take(&mut changes.local),
            )
            .await?;
        self.notify();
        Ok(changes)
    }

    /// Undoes the blocks of a reorganisation and reads the state again.
    ///
    /// # Errors
    /// As for [`Core::apply_blocks`].
    pub async fn roll_back(
        &self,
        block: u64,
        follower: &mut MarketFollower,
    ) -> Result<(), ChainError> {
        let _one_at_a_time = self.applying.lock().await;
        follower.acknowledge(Batch::new()).await?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.load(self.store.as_ref())?;
        state.rewind(block);
        Ok(())
    }

    fn reduce(&self, fact: Fact) -> Changes {
        self.state
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .apply(fact)
    }

    async fn write(&self, batch: Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let store = Arc::clone(&self.store);
        let written = tokio::task::spawn_blocking(move || store.apply(&batch)).await;
        written.map_err(|error| StoreError::Io(std::io::Error::other(error)))?
    }

    /// Makes those who wait look again.
    pub fn notify(&self) {
        self.changed
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Events of a job after number `after`.
    ///
    /// # Errors
    /// The store's.
    pub async fn job_events(
        &self,
        job: B256,
        after: u64,
        limit: usize,
    ) -> Result<Vec<JobEvent>, StoreError> {
        let store = Arc::clone(&self.store);
        let reading =
            tokio::task::spawn_blocking(move || journal::events(store.as_ref(), job, after, limit))
                .await;
        reading.map_err(|error| StoreError::Io(std::io::Error::other(error)))?
    }
}
