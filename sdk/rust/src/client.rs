//! One buyer on one network: plans a bid, submits it, checks what comes back, accepts it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;
use futures::{StreamExt as _, pin_mut};
use outcry_protocol::claim::{self, TaskResult as ClaimedResult};
use outcry_protocol::hash::{self, Domain};
use outcry_protocol::money;
use outcry_protocol::status::{Outcome, Status};
use outcry_protocol::types::{Accept, Bid, Deal, Receipt};

use crate::api::{
    Amount, BidQuestion, DealView, Explanation, JobEvent, JobEventKind, NodeStatus,
    Order as BookOrder, Quote, SubmitReceipt,
};
use crate::bid::{Order, Salts, Terms};
use crate::chain::Chain;
use crate::error::Error;
use crate::execute::Engine;
use crate::job::Job;
use crate::manifest::Manifest;
use crate::network::Network;
use crate::node::Node;
use crate::output::TaskOutput;

/// Most bytes of a manifest: a task takes about 200.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// Pause before a result that could not be fetched is asked for again.
const CHECK_AGAIN: Duration = Duration::from_secs(1);
/// Most such pauses for one deal.
const CHECKS_MAX: u32 = 120;

/// Whether a claim is believed.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Every task is run again on this machine, and only what agrees is accepted.
    Recheck(Arc<Engine>),
    /// The user has waived checking: only that the output is the claimed one is checked.
    Waive,
}

/// When [`Client::run`] gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Longest wait for the first deal.
    pub match_within: Duration,
    /// Longest wait in all.
    pub finish_within: Duration,
}

impl Default for Patience {
    /// Two minutes for the first deal, an hour in all.
    fn default() -> Self {
        Self {
            match_within: Duration::from_secs(120),
            finish_within: Duration::from_secs(3_600),
        }
    }
}

/// What a running job tells its caller.
#[derive(Clone, Debug)]
pub enum Progress {
    /// The node has this many bytes of all that a provider needs.
    Uploaded {
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all.
        of: u64,
    },
    /// The bid is on the market.
    Submitted {
        /// The job's id.
        id: B256,
    },
    /// Something happened to the job.
    Event(Box<JobEvent>),
    /// The output of a task has come; it is being run again unless that is waived.
    Checking {
        /// The deal.
        deal: B256,
        /// Index of the task in the job.
        task: u32,
    },
    /// The results of a deal are right; the price is released.
    Accepted {
        /// The deal.
        deal: B256,
    },
}

/// A deal whose claim was checked; only such a deal can be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedDeal {
    /// The deal.
    pub deal: B256,
    /// Its terms, whose hash is the deal.
    pub terms: Deal,
    /// The claim's hash, which the chain holds.
    pub claim_hash: B256,
    /// Base units billed.
    pub price: u128,
    /// What its tasks gave, in order.
    pub tasks: Vec<TaskOutput>,
}

/// A job whose tasks all have a checked result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The job's id.
    pub id: B256,
    /// What the tasks gave, in order.
    pub tasks: Vec<TaskOutput>,
    /// Base units billed over all deals.
    pub price: Amount,
    /// Cycles over all tasks.
    pub cycles: Amount,
    /// Providers that ran tasks.
    pub providers: Vec<Address>,
}

/// A buyer on a network.
#[derive(Debug)]
pub struct Client {
    network: Network,
    domain: Domain,
    node: Node,
    chain: Chain,
    signer: Option<PrivateKeySigner>,
    salts: Salts,
}

impl Client {
    /// A client of the network's node and chain. Without a signer it can look, but not buy.
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::NodeUnreachable`], [`Error::Chain`] for addresses that are none.
    pub fn new(network: Network, signer: Option<PrivateKeySigner>) -> Result<Self, Error> {
        Ok(Self {
            domain: network.domain(),
            node: Node::new(&network.api)?,
            chain: Chain::new(&network, signer.clone())?,
            network,
            signer,
            salts: Salts::random(),
        })
    }

    /// Sends this bearer token to the node.
    #[must_use]
    pub fn with_api_token(mut self, token: Option<String>) -> Self {
        self.node = self.node.with_token(token);
        self
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The node's API.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The chain.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The account that signs.
    ///
    /// # Errors
    /// [`Error::NoKey`].
    pub fn account(&self) -> Result<Address, Error> {
        self.signer().map(PrivateKeySigner::address)
    }

    /// Checks that the node belongs to this network, and returns what it says of itself.
    ///
    /// # Errors
    /// [`Error::WrongNetwork`]; those of [`Node::status`].
    pub async fn check(&self) -> Result<NodeStatus, Error> {
        let status = self.node.status().await?;
        let wrong = |what, found: String, expected: String| {
            Err(Error::WrongNetwork {
                what,
                found,
                expected,
            })
        };
        if status.chain_id != self.network.chain_id {
            return wrong(
                "the node's chain id",
                status.chain_id.to_string(),
                self.network.chain_id.to_string(),
            );
        }
        if status.market != self.network.market {
            return wrong(
                "the node's market",
                status.market.to_string(),
                self.network.market.to_string(),
            );
        }
        Ok(status)
    }

    /// The bid for a job, not signed yet. The token is the network's first unless another is given.
    ///
    /// # Errors
    /// [`Error::NoPrice`], [`Error::Order`], [`Error::NoKey`], and those of node and chain.
    pub async fn bid(
        &self,
        job: &Job,
        terms: &Terms,
        token: Option<Address>,
    ) -> Result<Bid, Error> {
        let buyer = self.account()?;
        let token = match token {
            Some(token) => token,
            None => self.network.payment_token()?.address,
        };
        let offers = match terms.max_price {
            Some(_) => Vec::new(),
            None => self.node.book().await?.offers,
        };
        let price_cap =
            terms.price_cap(job.spec(), token, offers.iter().map(|entry| &entry.offer))?;
        let audit_fee = match terms.audit_fee {
            Some(fee) => fee.to_u128().ok_or(Error::TooLarge(fee.0))?,
            None if terms.audit_rate_bps == 0 => 0,
            None => terms.usual_audit_fee(job.spec(), price_cap, self.chain.auditors().await?),
        };
        let now = self.chain.now().await?;
        let counter = self.chain.counter(buyer).await?;
        terms.bid(
            job.spec(),
            Order {
                buyer,
                token,
                price_cap,
                audit_fee,
                now,
                salt: self.salts.next(),
                counter,
            },
        )
    }

    /// The job's id: what the buyer signs.
    pub fn bid_hash(&self, bid: &Bid) -> B256 {
        self.domain.bid_hash(bid)
    }

    /// Base units that must still be deposited before the bid can be served in full, beside what
    /// earlier bids of the account may still use.
    ///
    /// # Errors
    /// [`Error::TooLarge`] and those of node and chain.
    pub async fn missing_deposit(&self, bid: &Bid) -> Result<Amount, Error> {
        let exposure = money::bid_exposure(bid.priceCap, bid.tasks, bid.tip, bid.auditFee)
            .map_err(|_| Error::TooLarge(U256::from(bid.priceCap)))?;
        let account = self.node.account(bid.buyer).await?;
        let committed = account
            .balances
            .iter()
            .find(|balance| balance.token.address == bid.token)
            .map_or(U256::ZERO, |balance| balance.committed.0);
        let holdings = self
            .chain
            .holdings(bid.buyer, &self.network.token_at(bid.token))
            .await?;
        let needed = U256::from(exposure).saturating_add(committed);
        Ok(Amount(needed.saturating_sub(holdings.market.0)))
    }

    /// What the bid would get now.
    ///
    /// # Errors
    /// Those of [`Node::quote`].
    pub async fn quote(&self, job: &Job, bid: &Bid) -> Result<Quote, Error> {
        self.node
            .quote(&BidQuestion {
                bid: bid.clone(),
                job: job.spec().clone(),
            })
            .await
    }

    /// Why the bid would or would not be served.
    ///
    /// # Errors
    /// Those of [`Node::explain`].
    pub async fn explain(&self, job: &Job, bid: &Bid) -> Result<Explanation, Error> {
        self.node
            .explain(&BidQuestion {
                bid: bid.clone(),
                job: job.spec().clone(),
            })
            .await
    }

    /// Signs the bid, stores the job's blobs on the node and submits it; returns the job's id.
    /// Doing it again is no error.
    ///
    /// # Errors
    /// [`Error::NoKey`], [`Error::Signing`], and those of [`Node::submit_bid`].
    pub async fn submit(
        &self,
        job: &Job,
        bid: &Bid,
        mut on: impl FnMut(Progress),
    ) -> Result<B256, Error> {
        let id = self.bid_hash(bid);
        let signature = self.sign_bid(bid)?;
        let blobs = job.blobs();
        let of = blobs.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        let mut bytes = 0;
        for (name, blob) in blobs {
            bytes += blob.len() as u64;
            if !self.node.has_blob(name).await? {
                self.node.put_blob(blob.into()).await?;
            }
            on(Progress::Uploaded { bytes, of });
        }
        let answered = self
            .node
            .submit_bid(bid.clone(), signature, job.spec().clone())
            .await?;
        if answered != id {
            return Err(Error::NodeAnswer {
                url: self.node.origin().to_owned(),
                expected: "the bid's hash",
                reason: format!("it answered {answered}, the hash is {id}"),
            });
        }
        on(Progress::Submitted { id });
        Ok(id)
    }

    /// Submits the bid and stays until every task has a result that was checked and accepted.
    ///
    /// # Errors
    /// [`Error::NoMatch`] and [`Error::TimedOut`] when patience ends (the bid stays live);
    /// [`Error::FalseResult`] and [`Error::FalseDeal`] for a claim that must not be accepted;
    /// [`Error::JobEnded`]; and those of [`Client::submit`].
    pub async fn run(
        &self,
        job: &Job,
        bid: &Bid,
        trust: &Trust,
        patience: Patience,
        mut on: impl FnMut(Progress),
    ) -> Result<Finished, Error> {
        let id = self.submit(job, bid, &mut on).await?;
        self.finish(id, job, trust, patience, on).await
    }

    /// Waits for a submitted job as [`Client::run`] does.
    ///
    /// # Errors
    /// See [`Client::run`].
    pub async fn finish(
        &self,
        id: B256,
        job: &Job,
        trust: &Trust,
        patience: Patience,
        mut on: impl FnMut(Progress),
    ) -> Result<Finished, Error> {
        let mut deals: BTreeMap<B256, CheckedDeal> = BTreeMap::new();
        let started = tokio::time::Instant::now();
        let finish_at = started + patience.finish_within;
        let match_at = started + patience.match_within;
        let mut matched = false;
        let events = self.node.job_events(id, 0);
        pin_mut!(events);
        loop {
            let until = if matched {
                finish_at
            } else {
                match_at.min(finish_at)
            };
            let event = match tokio::time::timeout_at(until, events.next()).await {
                Ok(Some(event)) => event?,
                Ok(None) => return Err(self.ended(id).await),
                Err(_) if matched => return Err(Error::TimedOut(patience.finish_within.as_secs())),
                Err(_) => {
                    let explanation = self.node.explain_bid(id).await?;
                    return Err(Error::NoMatch(explanation.summary));
                }
            };
            on(Progress::Event(Box::new(event.clone())));
            match event.event {
                JobEventKind::DealOpened { .. } => matched = true,
                JobEventKind::DealClaimed { deal_id, .. } if !deals.contains_key(&deal_id) => {
                    let checked = self
                        .check_patiently(job, deal_id, trust, finish_at, &mut on)
                        .await?;
                    self.accept(&checked).await?;
                    on(Progress::Accepted { deal: deal_id });
                    deals.insert(deal_id, checked);
                    if let Some(finished) = finished(id, job.spec().taskCount, &deals) {
                        return Ok(finished);
                    }
                }
                _ => {}
            }
        }
    }

    /// [`Client::check_deal`], tried again while node, chain or provider can't be reached: a claim
    /// stands for its whole window, and whoever is down may come back.
    async fn check_patiently(
        &self,
        job: &Job,
        deal: B256,
        trust: &Trust,
        until: tokio::time::Instant,
        mut on: impl FnMut(Progress),
    ) -> Result<CheckedDeal, Error> {
        let mut tries = 0;
        loop {
            match self.check_deal(job, deal, trust, &mut on).await {
                Err(error)
                    if is_passing(&error)
                        && tries < CHECKS_MAX
                        && tokio::time::Instant::now() < until =>
                {
                    tracing::info!(%deal, %error, "the result can't be checked yet");
                    tries += 1;
                    tokio::time::sleep(CHECK_AGAIN).await;
                }
                other => return other,
            }
        }
    }

    /// Fetches the results of a claimed deal and checks them: terms against the deal's id, claim
    /// against the chain, outputs against the claim, and, unless waived, the claim against a run on
    /// this machine.
    ///
    /// # Errors
    /// [`Error::Unclaimed`], [`Error::FalseDeal`], [`Error::FalseResult`], [`Error::Engine`], and
    /// those of node and chain.
    pub async fn check_deal(
        &self,
        job: &Job,
        deal: B256,
        trust: &Trust,
        mut on: impl FnMut(Progress),
    ) -> Result<CheckedDeal, Error> {
        let view = self.node.deal(deal).await?;
        let (claim_hash, claim, claimed) = self.check_claim(deal, &view)?;
        let block_of = |kind: &str| {
            let mut transactions = view.transactions.iter();
            let found = transactions.find(|transaction| transaction.kind == kind);
            found.map(|transaction| transaction.block)
        };
        let on_chain = self
            .chain
            .claim_hash(deal, block_of("open").unwrap_or(0), block_of("claim"))
            .await?
            .ok_or(Error::Unclaimed(deal))?;
        if on_chain != claim_hash {
            let reason = format!("it tells of the claim {claim_hash}, the chain of {on_chain}");
            return Err(Error::FalseDeal { deal, reason });
        }
        if view.terms.jobHash != job.hash() {
            let reason = format!(
                "it belongs to the job {}, not to {}",
                view.terms.jobHash,
                job.hash()
            );
            return Err(Error::FalseDeal { deal, reason });
        }
        let results = self.node.results(deal).await?;
        if results.len() != claimed.len() {
            let reason = format!("{} results for {} tasks", results.len(), claimed.len());
            return Err(Error::FalseDeal { deal, reason });
        }
        let mut tasks = Vec::with_capacity(results.len());
        for ((offset, result), claimed) in (0u32..).zip(&results).zip(&claimed) {
            let task = view.terms.firstTask + offset;
            let outcome = Outcome {
                status: result.status,
                exit_code: result.exit_code,
                output_root: result.output_root,
                output_length: result.output_length,
            };
            if result.task != task
                || result.cycles != claimed.cycles
                || outcome.inner() != claimed.inner
            {
                let reason = format!("the result of task {task} is not the claimed one");
                return Err(Error::FalseDeal { deal, reason });
            }
            let archive = self.output(deal, &view, job, result).await?;
            on(Progress::Checking { deal, task });
            if let Trust::Recheck(engine) = trust {
                let (engine, job) = (Arc::clone(engine), job.clone());
                let run = tokio::task::spawn_blocking(move || engine.run(&job, task));
                let again = run.await.map_err(|e| Error::Engine {
                    task,
                    reason: e.to_string(),
                })??;
                if (again.cycles, again.outcome) != (result.cycles, outcome) {
                    return Err(Error::FalseResult {
                        deal,
                        task,
                        claimed: describe(result.cycles, &outcome),
                        found: describe(again.cycles, &again.outcome),
                    });
                }
            }
            tasks.push(TaskOutput::new(
                task,
                deal,
                outcome,
                result.cycles,
                archive.into(),
            )?);
        }
        Ok(CheckedDeal {
            deal,
            terms: view.terms,
            claim_hash,
            price: claim.price,
            tasks,
        })
    }

    /// Releases the price of a checked deal. The node delivers the signature.
    ///
    /// # Errors
    /// [`Error::NoKey`], [`Error::Signing`], and those of [`Node::accept`].
    pub async fn accept(&self, checked: &CheckedDeal) -> Result<(), Error> {
        let signature = self.sign_accept(checked.deal, checked.claim_hash)?;
        self.node.accept(checked.deal, signature).await.map(drop)
    }

    /// Signs that the buyer holds a task's output, so that the provider need never reveal it again.
    ///
    /// # Errors
    /// [`Error::NoKey`], [`Error::Signing`], and those of [`Node::receipt`].
    pub async fn give_receipt(&self, output: &TaskOutput) -> Result<(), Error> {
        let output_root = output.outcome.output_root;
        let signature = self.sign_receipt(output.deal, output.task, output_root)?;
        let body = SubmitReceipt {
            task: output.task,
            output_root,
            signature,
        };
        self.node.receipt(output.deal, &body).await.map(drop)
    }

    /// The bid and the job that a job's id stands for, fetched from the node and checked.
    ///
    /// # Errors
    /// [`Error::NodeAnswer`] if the node's answer does not have that hash; [`Error::Manifest`],
    /// [`Error::Input`], [`Error::Program`] for blobs that do not belong to it.
    pub async fn fetch_job(&self, id: B256) -> Result<(Bid, Job), Error> {
        let wrong = |reason: String| Error::NodeAnswer {
            url: self.node.origin().to_owned(),
            expected: "the order with this hash",
            reason,
        };
        let BookOrder::Bid { bid, job: spec } = self.node.order(id).await?.order else {
            return Err(wrong("it is an offer".to_owned()));
        };
        if self.bid_hash(&bid) != id || hash::job_hash(&spec) != bid.jobHash {
            return Err(wrong("it has another hash".to_owned()));
        }
        let source = Some(spec.source);
        let manifest = self
            .node
            .blob(spec.manifest.into(), source, MANIFEST_BYTES_MAX)
            .await?;
        let manifest = Manifest::parse(&manifest)?;
        let program = self
            .node
            .blob(manifest.program.blake3, source, manifest.program.length)
            .await?;
        let mut fetched = BTreeMap::new();
        let mut inputs = Vec::with_capacity(manifest.tasks.len());
        for entry in &manifest.tasks {
            if let Entry::Vacant(place) = fetched.entry(entry.blake3) {
                let blob = self.node.blob(entry.blake3, source, entry.length).await?;
                place.insert(bytes::Bytes::from(blob));
            }
            inputs.extend(fetched.get(&entry.blake3).cloned());
        }
        let job = tokio::task::spawn_blocking(move || {
            Job::from_blobs(spec, manifest, program.into(), inputs)
        })
        .await
        .map_err(|e| Error::Manifest(e.to_string()))??;
        Ok((bid, job))
    }

    /// The buyer's signature over a bid.
    ///
    /// # Errors
    /// [`Error::NoKey`], [`Error::Signing`].
    pub fn sign_bid(&self, bid: &Bid) -> Result<Bytes, Error> {
        self.sign(self.bid_hash(bid))
    }

    /// The buyer's signature by which a price is released. [`Client::accept`] gives it only to deals
    /// that were checked.
    ///
    /// # Errors
    /// [`Error::NoKey`], [`Error::Signing`].
    pub fn sign_accept(&self, deal: B256, claim_hash: B256) -> Result<Bytes, Error> {
        self.sign(self.domain.accept_digest(&Accept {
            dealId: deal,
            claimHash: claim_hash,
        }))
    }

    /// The buyer's signature by which it confirms that it holds a task's output.
    ///
    /// # Errors
    /// [`Error::NoKey`], [`Error::Signing`].
    pub fn sign_receipt(&self, deal: B256, task: u32, output_root: B256) -> Result<Bytes, Error> {
        self.sign(self.domain.receipt_digest(&Receipt {
            dealId: deal,
            task,
            outputRoot: output_root,
        }))
    }

    fn sign(&self, digest: B256) -> Result<Bytes, Error> {
        let signature = self
            .signer()?
            .sign_hash_sync(&digest)
            .map_err(|e| Error::Signing(e.to_string()))?;
        Ok(signature.as_bytes().to_vec().into())
    }

    fn signer(&self) -> Result<&PrivateKeySigner, Error> {
        self.signer
            .as_ref()
            .ok_or_else(|| Error::NoKey("this needs a signature".to_owned()))
    }

    /// What the node tells of a deal, checked as far as that goes without the chain.
    fn check_claim(
        &self,
        deal: B256,
        view: &DealView,
    ) -> Result<(B256, claim::Claim, Vec<ClaimedResult>), Error> {
        let wrong = |reason: String| Error::FalseDeal { deal, reason };
        let found = self.domain.deal_id(&view.terms);
        if found != deal {
            return Err(wrong(format!("its terms have the id {found}")));
        }
        let told = view.claim.as_ref().ok_or(Error::Unclaimed(deal))?;
        let tasks: Vec<ClaimedResult> = told
            .tasks
            .iter()
            .map(|task| ClaimedResult {
                cycles: task.cycles,
                inner: task.inner,
            })
            .collect();
        let claim = claim::compute(&view.terms, &tasks).map_err(|e| wrong(e.to_string()))?;
        Ok((claim.hash(deal), claim, tasks))
    }

    /// The output archive of a task, checked against its root.
    async fn output(
        &self,
        deal: B256,
        view: &DealView,
        job: &Job,
        result: &crate::api::TaskResult,
    ) -> Result<Vec<u8>, Error> {
        let archive = match result.output_length {
            0 => Vec::new(),
            length => {
                self.node
                    .blob(result.blake3, Some(view.peer_key), length)
                    .await?
            }
        };
        let root = hash::output_root(&archive, job.spec().outputLimit).ok();
        if archive.len() as u64 != result.output_length || root != Some(result.output_root) {
            let reason = format!("the output of task {} is not the claimed one", result.task);
            return Err(Error::FalseDeal { deal, reason });
        }
        Ok(archive)
    }

    async fn ended(&self, id: B256) -> Error {
        match self.node.job(id).await {
            Ok(job) => Error::JobEnded(match job.problem {
                Some(problem) => format!("{}, because {}", job.state, problem.message),
                None => format!(
                    "{}, {} of {} tasks claimed",
                    job.state, job.tasks_claimed, job.tasks
                ),
            }),
            Err(error) => error,
        }
    }
}

/// The finished job, once every task is in a checked deal.
fn finished(id: B256, task_count: u32, deals: &BTreeMap<B256, CheckedDeal>) -> Option<Finished> {
    // A task can be in two claimed deals only if the first of them failed later; either is right.
    let tasks: BTreeMap<u32, &TaskOutput> = deals
        .values()
        .flat_map(|deal| &deal.tasks)
        .map(|output| (output.task, output))
        .collect();
    if tasks.len() != task_count as usize {
        return None;
    }
    let mut providers: Vec<Address> = deals.values().map(|deal| deal.terms.provider).collect();
    providers.sort_unstable();
    providers.dedup();
    Some(Finished {
        id,
        price: Amount(deals.values().map(|deal| U256::from(deal.price)).sum()),
        cycles: Amount(tasks.values().map(|output| U256::from(output.cycles)).sum()),
        tasks: tasks.into_values().cloned().collect(),
        providers,
    })
}

/// Whether trying again may help: somebody could not be reached, or has not seen the claim yet.
fn is_passing(error: &Error) -> bool {
    use outcry_protocol::codes::{Coded as _, Exit};
    match error {
        Error::Unclaimed(_) => true,
        Error::FalseDeal { .. } | Error::WrongNetwork { .. } => false,
        other => other.code().exit == Exit::Network,
    }
}

fn describe(cycles: u64, outcome: &Outcome) -> String {
    match outcome.status {
        Status::Exited => format!(
            "exit code {}, {cycles} cycles, output {} of {} bytes",
            outcome.exit_code, outcome.output_root, outcome.output_length
        ),
        other => format!("{other}, {cycles} cycles"),
    }
}
