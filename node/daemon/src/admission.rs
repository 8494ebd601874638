//! How an order gets into the book: its form, its signature, its account's rate, and what the chain
//! says of it. Nothing else of a node takes part, so that a simulation can run this code alone.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256};
use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use outcry_net::{NetError, NetworkHandle};
use outcry_protocol::book::{self, Book, Effect, FactKey, facts_of_bid};
use outcry_protocol::codes::{self, Code, Coded};
use outcry_protocol::hash::Domain;
use outcry_protocol::limits::MACHINE_VERSION_MAX;
use outcry_protocol::order::{self, Checked, OrderError};
use outcry_protocol::signature::Verdict;
use outcry_protocol::types::Bid;
use outcry_protocol::wire::{Message, SignedBid};
use outcry_store::StoreError;
use prometheus_client::metrics::counter::Counter;

use crate::chain::{Chain, ChainProblem};
use crate::core::Core;
use crate::rate::RateLimit;
use crate::state::{Changes, Fact, State};

/// New orders of one account that a node takes at once, and the pause for one more. An array of many
/// tasks is one order; a provider renews its offer every few minutes.
const ORDERS_BURST: u32 = 128;
const ORDER_PAUSE: Duration = Duration::from_millis(100);
/// Accounts whose orders are counted.
const ACCOUNTS_MAX: usize = 65_536;
/// Orders that are said again when a peer joins. It fetches the book anyway, so that those beyond only
/// come later.
const UNHEARD_MAX: usize = 1024;
/// Contract accounts asked at once whether they signed.
const CONTRACTS_AT_ONCE: usize = 16;
/// How often one account's contract is asked: at once, and the pause for one more. Anybody can put its
/// name on an order, and only the chain knows better.
const QUESTIONS_BURST: u32 = 16;
const QUESTION_PAUSE: Duration = Duration::from_millis(500);

/// The first version of the machine that this code does not know.
const MACHINE_NEWER: u32 = MACHINE_VERSION_MAX + 1;

/// What admission asks of the chain.
pub trait Views: Send + Sync {
    /// Facts as of a block; see [`Chain::facts`].
    fn facts(
        &self,
        keys: Vec<FactKey>,
        block: u64,
    ) -> BoxFuture<'_, Result<Vec<book::Fact>, ChainProblem>>;

    /// What an account's contract says of a signature; see [`Chain::contract_says`].
    fn contract_says<'a>(
        &'a self,
        digest: B256,
        signer: Address,
        signature: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<bool>, ChainProblem>>;
}

impl Views for Chain {
    fn facts(
        &self,
        keys: Vec<FactKey>,
        block: u64,
    ) -> BoxFuture<'_, Result<Vec<book::Fact>, ChainProblem>> {
        Box::pin(self.facts(keys, block))
    }

    fn contract_says<'a>(
        &'a self,
        digest: B256,
        signer: Address,
        signature: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<bool>, ChainProblem>> {
        Box::pin(self.contract_says(digest, signer, signature))
    }
}

/// Why an order is not taken in.
#[derive(Debug, thiserror::Error)]
pub enum OrderProblem {
    /// Its form is wrong, or its time is over.
    #[error(transparent)]
    Invalid(#[from] OrderError),
    /// Nobody who is allowed to signed it.
    #[error("the signature is not {signer}'s")]
    Signature {
        /// Who should have signed.
        signer: Address,
    },
    /// The chain says that it is dead, or the book has no room.
    #[error("{message}")]
    Refused {
        /// Its row in the registry.
        code: &'static Code,
        /// With the figures.
        message: String,
    },
    /// The chain could not be asked.
    #[error(transparent)]
    Chain(#[from] ChainProblem),
    /// The disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OrderProblem {
    fn refused(code: &'static Code, message: impl Into<String>) -> Self {
        Self::Refused {
            code,
            message: message.into(),
        }
    }

    /// Whether whoever passed the order on should have known. Time, balances, counters and what
    /// contracts say differ between nodes for a block or two, each node counts an account's orders for
    /// itself, and a peer may know a newer machine.
    #[must_use]
    pub fn is_senders_fault(&self) -> bool {
        match self {
            Self::Invalid(
                OrderError::Expired { .. }
                | OrderError::ExpiryFar { .. }
                | OrderError::Machine(MACHINE_NEWER..),
            )
            | Self::Refused { .. }
            | Self::Chain(_)
            | Self::Store(_) => false,
            Self::Invalid(_) | Self::Signature { .. } => true,
        }
    }
}

impl Coded for OrderProblem {
    fn code(&self) -> &'static Code {
        match self {
            Self::Invalid(error) => error.code(),
            Self::Signature { .. } => &codes::ORDER_SIGNATURE,
            Self::Refused { code, .. } => code,
            Self::Chain(problem) => problem.code(),
            Self::Store(error) => error.code(),
        }
    }
}

/// Where an order came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// From a peer as it was gossiped.
    Gossip,
    /// From a peer's book, which holds many orders of an account at once: the book's limits bound
    /// them, the rate of its account does not.
    Snapshot,
}

/// The way into a node's book, and from there to its peers.
pub struct Admission {
    core: Arc<Core>,
    domain: Domain,
    views: Arc<dyn Views>,
    net: NetworkHandle,
    /// How often an account's new orders are taken.
    rates: RateLimit<Address>,
    /// How often an account's contract is asked.
    questions: RateLimit<Address>,
    /// Orders that were published here while nobody listened, by id; up to [`UNHEARD_MAX`].
    unheard: Mutex<BTreeSet<B256>>,
    /// Orders from peers that were accepted.
    pub(crate) accepted: Counter,
    /// Orders from peers that were refused.
    pub(crate) refused: Counter,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission").finish_non_exhaustive()
    }
}

impl Admission {
    /// Admission to the book of `core`, whose orders are signed under `domain`.
    #[must_use]
    pub fn new(core: Arc<Core>, domain: Domain, views: Arc<dyn Views>, net: NetworkHandle) -> Self {
        Self {
            core,
            domain,
            views,
            net,
            rates: RateLimit::new(ORDERS_BURST, ORDER_PAUSE, ACCOUNTS_MAX),
            questions: RateLimit::new(QUESTIONS_BURST, QUESTION_PAUSE, ACCOUNTS_MAX),
            unheard: Mutex::default(),
            accepted: Counter::default(),
            refused: Counter::default(),
        }
    }

    /// The network that orders come from and go to.
    pub(crate) fn net(&self) -> &NetworkHandle {
        &self.net
    }

    /// The shard of an order.
    pub(crate) fn shard_of(&self, message: &Message) -> u16 {
        self.net.sharding().of(message)
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.core.read(look)
    }

    /// Checks the form and signature of an order that is brought to this node, and that it lies in a
    /// shard of this node: of one that does not, this node could tell neither who competes for it nor
    /// whether anybody has heard of it.
    ///
    /// # Errors
    /// [`OrderProblem`].
    pub async fn check(&self, message: &Message) -> Result<Checked, OrderProblem> {
        let now = self.read(|state| state.head.at);
        let checked = order::check(&self.domain, message, now)?;
        let (shard, own) = (self.shard_of(message), self.net.shards());
        if !own.contains(shard) {
            return Err(OrderProblem::refused(
                &codes::ORDER_SHARD,
                format!("the order lies in shard {shard}, this node takes part in {own}"),
            ));
        }
        self.check_contract(&checked, message).await?;
        Ok(checked)
    }

    /// Asks the chain about a signature that is not that of the account's key.
    async fn check_contract(
        &self,
        checked: &Checked,
        message: &Message,
    ) -> Result<(), OrderProblem> {
        if checked.verdict == Verdict::Valid {
            return Ok(());
        }
        let signature = match message {
            Message::Bid(signed) => &signed.signature,
            Message::Offer(signed) => &signed.signature,
        };
        let signer = checked.signer;
        if !self.questions.take(signer, Instant::now()) {
            let message = format!("{signer} is asked about too many signatures");
            return Err(OrderProblem::refused(&codes::NET_BUSY, message));
        }
        let asked = self.views.contract_says(checked.hash, signer, signature);
        match asked.await? {
            Some(true) => Ok(()),
            Some(false) => Err(OrderProblem::refused(
                &codes::ORDER_SIGNATURE,
                format!("{signer} is a contract and says that it did not sign"),
            )),
            None => Err(OrderProblem::Signature { signer }),
        }
    }

    /// Counts a checked order that is new here against its account.
    ///
    /// # Errors
    /// [`OrderProblem::Refused`] when the account sends too many.
    pub fn count(&self, checked: &Checked) -> Result<(), OrderProblem> {
        let is_known = self.read(|state| {
            state.book.bid(&checked.hash).is_some() || state.book.offer(&checked.hash).is_some()
        });
        if is_known || self.rates.take(checked.signer, Instant::now()) {
            return Ok(());
        }
        Err(OrderProblem::refused(
            &codes::NET_BUSY,
            format!("{} sends too many orders", checked.signer),
        ))
    }

    /// Puts a checked order into the book and reads what the book asks for; what is needed to judge a
    /// stranger's order is read before.
    ///
    /// # Errors
    /// [`OrderProblem::Refused`] when the book does not keep it.
    pub async fn admit(&self, fact: Fact) -> Result<Changes, OrderProblem> {
        if let Fact::Heard(message) = &fact {
            self.learn(self.asks_of([message])).await?;
        }
        let changes = self.core.apply(fact).await?;
        is_kept(&changes)?;
        self.learn(changes.reads.clone()).await?;
        Ok(changes)
    }

    /// Facts that orders need and the book does not know.
    fn asks_of<'a>(&self, messages: impl IntoIterator<Item = &'a Message>) -> Vec<FactKey> {
        let keys: BTreeSet<FactKey> = self.read(|state| {
            let keys = messages.into_iter().flat_map(|order| state.asks_of(order));
            keys.collect()
        });
        keys.into_iter().collect()
    }

    /// Reads facts as of the head and hands them to the book.
    ///
    /// # Errors
    /// [`OrderProblem`].
    async fn learn(&self, keys: Vec<FactKey>) -> Result<(), OrderProblem> {
        if keys.is_empty() {
            return Ok(());
        }
        let block = self.read(|state| state.head.number);
        let facts = self.views.facts(keys, block).await?;
        self.core.apply(Fact::Learned { block, facts }).await?;
        Ok(())
    }

    /// Whether the book has an order with this id, whose signature may be another.
    fn has(&self, message: &Message) -> bool {
        match message {
            Message::Bid(signed) => {
                let hash = self.domain.bid_hash(&signed.bid);
                self.read(|state| state.book.bid(&hash).is_some())
            }
            Message::Offer(signed) => {
                let hash = self.domain.offer_hash(&signed.offer);
                self.read(|state| state.book.offer(&hash).is_some())
            }
        }
    }

    /// Puts peers' orders into the book. An error says why that order should not travel on; of a
    /// snapshot's orders there is none for those that are in the book already.
    ///
    /// All of them share a walk over the state's lock and one question to the chain, and their
    /// signatures are judged where they keep no other task waiting.
    pub async fn take_in(
        self: &Arc<Self>,
        messages: Vec<Message>,
        source: Source,
    ) -> Vec<Result<(), OrderProblem>> {
        let count = messages.len();
        let admission = Arc::clone(self);
        let judging = tokio::task::spawn_blocking(move || {
            let mut messages = messages;
            if source == Source::Snapshot {
                // What another peer's book brought meanwhile is not judged twice.
                messages.retain(|message| !admission.has(message));
            }
            let now = admission.read(|state| state.head.at);
            let judge = |message| order::check(&admission.domain, message, now);
            let judged: Vec<_> = messages.iter().map(judge).collect();
            (messages, judged)
        });
        let Ok((messages, judged)) = judging.await else {
            // The runtime shuts down.
            let stopped = || Err(OrderProblem::Chain(ChainProblem::Stopped));
            return std::iter::repeat_with(stopped).take(count).collect();
        };
        let mut checks = Vec::with_capacity(count);
        for (judged, message) in judged.into_iter().zip(&messages) {
            checks.push(async move {
                let checked = judged?;
                self.check_contract(&checked, message).await?;
                if source == Source::Gossip {
                    self.count(&checked)?;
                }
                Ok(())
            });
        }
        let checks = stream::iter(checks).buffered(CONTRACTS_AT_ONCE);
        let mut outcomes: Vec<Result<(), OrderProblem>> = checks.collect().await;

        let is_valid: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
        let valid = || messages.iter().zip(&is_valid).filter(|(_, valid)| **valid);
        let learned = self.learn(self.asks_of(valid().map(|(message, _)| message)));
        if let Err(problem) = learned.await {
            let reason = problem.to_string();
            for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_ok()) {
                *outcome = Err(ChainProblem::Call(reason.clone()).into());
            }
            return outcomes;
        }
        let heard = valid().map(|(message, _)| Fact::Heard(message.clone()));
        match self.core.apply_all(heard.collect()).await {
            Ok(changes) => {
                let valid = outcomes.iter_mut().filter(|outcome| outcome.is_ok());
                for (outcome, changes) in valid.zip(changes) {
                    *outcome = is_kept(&changes);
                }
            }
            Err(error) => {
                let stopped = || Err(ChainProblem::Call(error.to_string()).into());
                let valid = outcomes.iter_mut().filter(|outcome| outcome.is_ok());
                valid.for_each(|outcome| *outcome = stopped());
            }
        }
        outcomes
    }

    /// Takes a buyer's bid: checked, covered, on disk, gossiped.
    ///
    /// # Errors
    /// [`OrderProblem`]; nothing has changed then.
    pub async fn submit(&self, signed: SignedBid) -> Result<B256, OrderProblem> {
        let checked = self.check(&Message::Bid(signed.clone())).await?;
        if self.read(|state| state.jobs.contains_key(&checked.hash)) {
            return Ok(checked.hash);
        }
        self.count(&checked)?;
        self.check_funds(checked.hash, &signed.bid).await?;
        self.admit(Fact::Submitted(signed.clone())).await?;
        self.gossip(Message::Bid(signed)).await;
        Ok(checked.hash)
    }

    /// What the chain says against a bid, before anything is changed.
    async fn check_funds(&self, hash: B256, bid: &Bid) -> Result<(), OrderProblem> {
        let block = self.read(|state| state.head.number);
        let needs = Book::commitment(bid);
        let refused = |code, message: String| Err(OrderProblem::refused(code, message));
        let mut used_partly = false;
        for fact in self
            .views
            .facts(facts_of_bid(hash, bid).into(), block)
            .await?
        {
            match fact {
                book::Fact::Balance { free, .. } if free < needs => {
                    return refused(
                        &codes::FUNDS_INSUFFICIENT,
                        format!(
                            "the buyer's free balance on the market is {free} base units, this bid needs at least {needs}"
                        ),
                    );
                }
                book::Fact::Counter { counter, .. } if counter != bid.counter => {
                    return refused(
                        &codes::ORDER_COUNTER,
                        format!(
                            "the bid has the counter {}, the account's is {counter}",
                            bid.counter
                        ),
                    );
                }
                book::Fact::Salt {
                    cancelled: true, ..
                } => {
                    return refused(
                        &codes::ORDER_CANCELLED,
                        "the bid was cancelled on the chain".into(),
                    );
                }
                book::Fact::Salt { taken: true, .. } => {
                    return refused(&codes::ORDER_TAKEN, "every task of the bid is taken".into());
                }
                book::Fact::Salt { partly, .. } => used_partly = partly,
                book::Fact::Taken { tasks: 0, .. } if used_partly => {
                    return refused(
                        &codes::ORDER_TAKEN,
                        "another bid of the account has used this salt".into(),
                    );
                }
                book::Fact::Taken { tasks, .. } if tasks >= bid.tasks => {
                    return refused(&codes::ORDER_TAKEN, "every task of the bid is taken".into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Sends an order to the peers. Without peers it waits in the book for one to join.
    pub async fn gossip(&self, message: Message) {
        let id = match &message {
            Message::Bid(signed) => self.domain.bid_hash(&signed.bid),
            Message::Offer(signed) => self.domain.offer_hash(&signed.offer),
        };
        let Ok(bytes) = message.encode() else { return };
        let published = self.net.publish(self.shard_of(&message), bytes.into());
        let published = published.await;
        let mut unheard = self.unheard.lock().unwrap_or_else(PoisonError::into_inner);
        match published {
            Ok(_) => {
                unheard.remove(&id);
            }
            // Nobody hears it yet: said again when a peer joins.
            Err(NetError::NoPeers) => {
                if unheard.len() < UNHEARD_MAX {
                    unheard.insert(id);
                }
            }
            Err(error) => tracing::warn!(%error, "an order was not gossiped"),
        }
    }

    /// Gossips the orders that nobody heard when they were published, unless they are over. A peer
    /// that joins later fetches them with the rest of the book.
    pub(crate) async fn say_again(&self) {
        let unheard =
            std::mem::take(&mut *self.unheard.lock().unwrap_or_else(PoisonError::into_inner));
        for id in unheard {
            if let Some(message) = self.read(|state| live_order(&state.book, &id)) {
                self.gossip(message).await;
            }
        }
    }
}

/// Whether the book keeps the order whose changes these are.
fn is_kept(changes: &Changes) -> Result<(), OrderProblem> {
    match &changes.order {
        Some(Effect::Dropped { why, .. }) => {
            Err(OrderProblem::refused(why.code(), why.to_string()))
        }
        Some(_) => Ok(()),
        None => Err(OrderProblem::refused(
            &codes::FUNDS_INSUFFICIENT,
            "the chain does not back the order: it is over, or its account has not enough on the market",
        )),
    }
}

/// An order of the book that can still be matched.
fn live_order(book: &Book, id: &B256) -> Option<Message> {
    let bid = book.bid(id);
    let bid = bid.filter(|signed| !book.open_ranges(*id, &signed.bid).is_empty());
    let offer = book.offer(id);
    let offer = offer.filter(|signed| book.is_offer_live(&signed.offer));
    bid.cloned()
        .map(Message::Bid)
        .or_else(|| offer.cloned().map(Message::Offer))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::example;
    use crate::state::example as orders;
    use alloy::primitives::U256;
    use alloy::signers::SignerSync as _;
    use alloy::signers::local::PrivateKeySigner;
    use outcry_protocol::wire::SignedOffer;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A chain on which all accounts have the same balance and their contracts say the same.
    struct Uniform {
        free: u128,
        says: Option<bool>,
        questions: AtomicUsize,
    }

    impl Views for Uniform {
        fn facts(
            &self,
            keys: Vec<FactKey>,
            _block: u64,
        ) -> BoxFuture<'_, Result<Vec<book::Fact>, ChainProblem>> {
            self.questions.fetch_add(1, Ordering::Relaxed);
            let balances = keys.into_iter().filter_map(|key| match key {
                FactKey::Balance(account, token) => Some(book::Fact::Balance {
                    account,
                    token,
                    free: self.free,
                }),
                FactKey::Counter(account) => Some(book::Fact::Counter {
                    account,
                    counter: 0,
                }),
                _ => None,
            });
            Box::pin(std::future::ready(Ok(balances.collect())))
        }

        fn contract_says<'a>(
            &'a self,
            _digest: B256,
            _signer: Address,
            _signature: &'a [u8],
        ) -> BoxFuture<'a, Result<Option<bool>, ChainProblem>> {
            self.questions.fetch_add(1, Ordering::Relaxed);
            Box::pin(std::future::ready(Ok(self.says)))
        }
    }

    /// Admission to the book of the example's node, on another chain.
    async fn admission_on(
        free: u128,
        says: Option<bool>,
    ) -> (Arc<Admission>, Arc<Uniform>, tempfile::TempDir) {
        let (node, folder) = example::gateway().await;
        let chain = Arc::new(Uniform {
            free,
            says,
            questions: AtomicUsize::new(0),
        });
        let (core, net) = (Arc::clone(&node.core), node.admission.net.clone());
        let admission = Admission::new(core, node.domain, chain.clone(), net);
        (Arc::new(admission), chain, folder)
    }

    /// A bid of the account of a key.
    fn signed(domain: &Domain, key: &PrivateKeySigner, salt: u64) -> SignedBid {
        let job = orders::job(1);
        let bid = Bid {
            buyer: key.address(),
            ..orders::bid(&job, salt)
        };
        let signature = key.sign_hash_sync(&domain.bid_hash(&bid)).unwrap();
        let signature = signature.as_bytes().to_vec();
        SignedBid {
            bid,
            signature,
            job,
        }
    }

    #[tokio::test]
    async fn strangers_bids_enter_the_book_with_one_question_and_those_without_money_do_not() {
        for (free, kept) in [(1 << 100, 20), (0, 0)] {
            let (admission, chain, _folder) = admission_on(free, None).await;
            let bids: Vec<SignedBid> = (0..20)
                .map(|salt| signed(&admission.domain, &PrivateKeySigner::random(), salt))
                .collect();
            let messages = bids.into_iter().map(Message::Bid).collect();
            let outcomes = admission.take_in(messages, Source::Gossip).await;
            assert_eq!(
                outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
                kept
            );
            let problems = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
            assert!(!problems.into_iter().any(OrderProblem::is_senders_fault));
            assert_eq!(admission.read(|state| state.book.bids().len()), kept);
            assert_eq!(chain.questions.load(Ordering::Relaxed), 1);
        }
    }

    #[tokio::test]
    async fn a_wrong_signature_is_held_against_the_peer_unless_a_contract_may_have_judged_it() {
        for (says, is_fault) in [
            (None, Some(true)),
            (Some(false), Some(false)),
            (Some(true), None),
        ] {
            let (admission, _, _folder) = admission_on(1 << 100, says).await;
            let mut forged = signed(&admission.domain, &PrivateKeySigner::random(), 1);
            forged.bid.salt += U256::ONE;
            let messages = vec![Message::Bid(forged)];
            let outcome = admission.take_in(messages, Source::Gossip).await.remove(0);
            let found = outcome.err().map(|problem| problem.is_senders_fault());
            assert_eq!(found, is_fault, "{says:?}");
        }
    }

    #[tokio::test]
    async fn a_contract_is_asked_about_a_bounded_number_of_signatures() {
        let (admission, chain, _folder) = admission_on(1 << 100, Some(false)).await;
        let key = PrivateKeySigner::random();
        let forged = |salt| {
            let mut bid = signed(&admission.domain, &key, salt);
            bid.bid.salt += U256::ONE;
            Message::Bid(bid)
        };
        let messages: Vec<Message> = (0..10 * u64::from(QUESTIONS_BURST)).map(forged).collect();
        let started = Instant::now();
        let count = messages.len();
        let outcomes = admission.take_in(messages, Source::Snapshot).await;
        assert_eq!(
            outcomes.iter().filter(|outcome| outcome.is_err()).count(),
            count
        );
        let pauses = started.elapsed().as_nanos() / QUESTION_PAUSE.as_nanos();
        let most = u128::from(QUESTIONS_BURST) + pauses + 1;
        assert!(chain.questions.load(Ordering::Relaxed) as u128 <= most);
    }

    #[test]
    fn a_newer_machine_is_nobodys_fault_and_no_machine_is() {
        let fault = |version| OrderProblem::from(OrderError::Machine(version)).is_senders_fault();
        assert!(fault(0) && !fault(MACHINE_NEWER));
    }

    fn unheard(admission: &Admission) -> Vec<B256> {
        Vec::from_iter(admission.unheard.lock().unwrap().clone())
    }

    #[tokio::test]
    async fn an_account_that_floods_is_refused_and_others_are_not() {
        let (node, _folder) = example::gateway().await;
        let order = |number: u32, account: u8| Checked {
            hash: B256::from(alloy::primitives::U256::from(number)),
            signer: Address::repeat_byte(account),
            verdict: Verdict::Valid,
        };
        let refused = (0..2 * ORDERS_BURST)
            .find_map(|number| node.admission.count(&order(number, 1)).err())
            .unwrap();
        assert_eq!(refused.code(), &codes::NET_BUSY);
        assert!(!refused.is_senders_fault(), "each node counts for itself");
        node.admission.count(&order(0, 2)).unwrap();
    }

    #[tokio::test]
    async fn a_node_without_peers_remembers_a_bounded_number_of_orders() {
        let (node, _folder) = example::gateway().await;
        let job = orders::job(1);
        for salt in 0..=UNHEARD_MAX as u64 {
            let bid = orders::bid(&job, salt);
            let (job, signature) = (job.clone(), vec![1]);
            let signed = SignedBid {
                bid,
                signature,
                job,
            };
            node.admission.gossip(Message::Bid(signed)).await;
        }
        assert_eq!(unheard(&node.admission).len(), UNHEARD_MAX);
    }

    #[tokio::test]
    async fn an_order_that_nobody_heard_is_said_again_until_it_is_over() {
        let (node, _folder) = example::gateway().await;
        let (job, signature) = (orders::job(1), vec![1]);
        let bid = orders::bid(&job, 1);
        let offer = orders::offer(1, 1);
        let hash_of_offer = node.domain.offer_hash(&offer);
        let bid = Message::Bid(SignedBid {
            bid,
            signature: signature.clone(),
            job,
        });
        let offer = Message::Offer(SignedOffer { offer, signature });
        for message in [&bid, &offer] {
            node.admission.gossip(message.clone()).await;
        }
        assert_eq!(unheard(&node.admission).len(), 2);
        node.admission.say_again().await;
        assert!(unheard(&node.admission).is_empty(), "the book has neither");

        for message in [bid, offer] {
            node.core.apply(Fact::Order(message.clone())).await.unwrap();
            node.admission.gossip(message).await;
        }
        node.admission.say_again().await;
        assert_eq!(
            unheard(&node.admission).len(),
            2,
            "nobody has heard them yet"
        );

        let cancelled = async |account| {
            let facts = vec![book::Fact::Counter {
                account,
                counter: 1,
            }];
            let block = 2;
            node.core
                .apply(Fact::Learned { block, facts })
                .await
                .unwrap();
            node.admission.say_again().await;
        };
        cancelled(orders::BUYER).await;
        assert_eq!(unheard(&node.admission), [hash_of_offer]);
        cancelled(orders::PROVIDER).await;
        assert!(unheard(&node.admission).is_empty());
    }
}
