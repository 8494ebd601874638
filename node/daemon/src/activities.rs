//! Carries out what the state wants: one function per activity, each ending in facts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy::primitives::B256;
use outcry_net::{DealRequest, DealResponse, PeerKey};
use outcry_protocol::claim::{ClaimError, encode_tasks};
use outcry_protocol::codes::{self, Code, Coded};
use outcry_protocol::merkle;
use outcry_protocol::status::{Outcome, Status};
use outcry_protocol::types::JobSpec;
use outcry_protocol::wire::Message;
use outcry_store::StoreError;

use crate::admission::OrderProblem;
use crate::audit;
use crate::chain::{ChainProblem, Over};
use crate::demand;
use crate::dispute;
use crate::inputs::{InputProblem, Inputs};
use crate::node::Node;
use crate::progress;
use crate::reserve;
use crate::run::RunProblem;
use crate::schedule::Schedule;
use crate::state::capacity::Reservation;
use crate::state::deal::{DealRecord, Demand};
use crate::state::gateway::Report;
use crate::state::provider::Refusal;
use crate::state::provider::{TaskResult, Work};
use crate::state::verifier::{Finding, compare};
use crate::state::{Activity, Fact, State, provider};

/// Most claims settled in one transaction: the batch size of the gas bars.
const SETTLEMENTS_MAX: usize = 32;
/// Longest that fetching a claim's inputs may take before others get their turn; what came is kept.
const FETCH_TIME_MAX: Duration = Duration::from_secs(600);
/// Part of the admission window, in thirds, within which inputs must have come; the rest is for
/// cancelling.
const FETCH_THIRDS: u64 = 2;

/// Why an activity ended without its effect. It is repeated while it is wanted.
#[derive(Debug, thiserror::Error)]
pub enum ActivityProblem {
    /// The chain.
    #[error(transparent)]
    Chain(#[from] ChainProblem),
    /// An own order.
    #[error(transparent)]
    Order(#[from] OrderProblem),
    /// The tasks.
    #[error(transparent)]
    Run(#[from] RunProblem),
    /// The disk. The node must stop: the state is ahead of it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The peer.
    #[error(transparent)]
    Peer(#[from] outcry_net::NetError),
    /// The claim.
    #[error("{0}")]
    Claim(#[from] ClaimError),
    /// What the other party sent is not what the chain says.
    #[error("{0}")]
    Mismatch(String),
    /// The other party said no.
    #[error("the peer refused: [{code}] {message}")]
    RefusedByPeer {
        /// Its code.
        code: String,
        /// Its words.
        message: String,
    },
    /// The auction.
    #[error(transparent)]
    Auction(#[from] outcry_sdk::Error),
    /// A game can't be played, or a claim not challenged.
    #[error("{0}")]
    Dispute(String),
    /// The state moved on while this was starting.
    #[error("no longer wanted")]
    Stale,
}

impl Coded for ActivityProblem {
    fn code(&self) -> &'static Code {
        match self {
            Self::Chain(problem) => problem.code(),
            Self::Order(problem) => problem.code(),
            Self::Run(problem) => problem.code(),
            Self::Store(error) => error.code(),
            Self::Peer(error) => error.code(),
            Self::Auction(error) => error.code(),
            Self::Claim(_) => &codes::DEAL_CLAIM,
            Self::Mismatch(_) => &codes::DEAL_RESULT,
            Self::RefusedByPeer { .. } => &codes::NET_PEER,
            Self::Dispute(_) => &codes::DEAL_CLAIM,
            Self::Stale => &codes::DEAL_STATE,
        }
    }
}

/// Starts what is wanted, whenever the state changes, until the node stops.
pub async fn carry_out(node: Arc<Node>) {
    let mut changed = node.changed();
    loop {
        let (wanted, block, in_dispute) = node.read(|state| {
            let in_dispute = state.is_synced.then(|| state.tasks_in_dispute());
            (state.wanted(), state.head.number, in_dispute)
        });
        if let Some(tasks) = in_dispute {
            node.traces.keep_only(&tasks);
        }
        for (activity, attempt) in lock(&node.schedule).start(wanted, block) {
            node.metrics.activities.inc();
            let node = Arc::clone(&node);
            tokio::spawn(async move {
                let result = perform(&node, activity, attempt).await;
                let block = node.read(|state| state.head.number);
                match &result {
                    Ok(()) => tracing::info!(?activity, "done"),
                    Err(ActivityProblem::Stale) => {}
                    Err(
                        ActivityProblem::Store(error)
                        | ActivityProblem::Order(OrderProblem::Store(error)),
                    ) => {
                        tracing::error!(%error, "the store failed; stopping, because nothing more would be remembered");
                        node.stop.cancel();
                    }
                    Err(problem) => {
                        node.metrics.failures.inc();
                        tracing::warn!(?activity, code = problem.code().id, %problem, "trying again later");
                    }
                }
                lock(&node.schedule).ended(activity, result.is_ok(), block);
                node.core.notify();
            });
        }
        tokio::select! {
            change = changed.changed() => if change.is_err() { return },
            () = node.stop.cancelled() => return,
        }
    }
}

fn lock(schedule: &Mutex<Schedule>) -> MutexGuard<'_, Schedule> {
    schedule.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn perform(
    node: &Arc<Node>,
    activity: Activity,
    attempt: u64,
) -> Result<(), ActivityProblem> {
    match activity {
        Activity::Offer => offer(node).await,
        Activity::Open(reservation) => open(node, reservation).await,
        Activity::Run(deal) => run(node, deal).await,
        Activity::CancelAdmission(deal) => {
            let (deal, applied) = record_and_head(node, deal)?;
            let windows = node.read(|state| state.windows);
            node.chain
                .cancel_admission(&deal, deal.admission_until(windows.admission_s), applied)
                .await?;
            Ok(())
        }
        Activity::Claim(deal) => claim(node, deal).await,
        Activity::AnswerDemand(deal) => answer_demand(node, deal).await,
        Activity::Settle => settle(node, attempt).await,
        Activity::FetchResults(deal) => fetch_results(node, deal).await,
        Activity::Deliver(deal) => deliver(node, deal).await,
        Activity::SettleForBuyer(deal) => settle_for_buyer(node, deal, attempt).await,
        Activity::Timeout(deal) => {
            let (deal, applied) = record_and_head(node, deal)?;
            node.chain.timeout(&deal, applied).await?;
            Ok(())
        }
        Activity::DemandTimeout(deal) => {
            let (deal, applied) = record_and_head(node, deal)?;
            node.chain.demand_timeout(&deal, applied).await?;
            Ok(())
        }
        Activity::Verify(deal) => verify(node, deal).await,
        Activity::Challenge(deal) => dispute::challenge(node, deal).await,
        Activity::Play(game, moves) => dispute::play(node, game, moves, attempt).await,
        Activity::EndOverdue(game) => dispute::end_overdue(node, game).await,
        Activity::Verdict(claim) => dispute::verdict(node, claim).await,
        Activity::Collect(claim) => dispute::collect(node, claim).await,
        Activity::Seat(provider) => dispute::seat(node, provider).await,
        Activity::Beat(period) => audit::beat(node, period).await,
        Activity::OpenAudit(deal) => audit::open(node, deal).await,
        Activity::Examine(claim) => audit::examine(node, claim).await,
        Activity::Commit(claim) => audit::commit(node, claim).await,
        Activity::Reveal(claim) => audit::reveal(node, claim).await,
        Activity::Object(claim) => dispute::object(node, claim).await,
        Activity::CloseAudit(claim) => audit::close(node, claim).await,
        Activity::Join => audit::join(node, attempt).await,
        Activity::Retire => audit::retire(node).await,
        Activity::OfferForDraw(draw) => reserve::offer(node, draw).await,
        Activity::EndDraw(draw) => reserve::end(node, draw).await,
        Activity::Tend(round) => reserve::tend(node, round).await,
    }
}

pub(crate) fn record(state: &State, deal: B256) -> Result<DealRecord, ActivityProblem> {
    state
        .deals
        .get(&deal)
        .cloned()
        .ok_or(ActivityProblem::Stale)
}

/// A deal, and the block up to which its history is known.
fn record_and_head(node: &Node, deal: B256) -> Result<(DealRecord, u64), ActivityProblem> {
    node.read(|state| Ok((record(state, deal)?, state.head.number)))
}

/// A deal and its job.
fn deal_and_job(node: &Node, deal: B256) -> Result<(DealRecord, JobSpec), ActivityProblem> {
    node.read(|state| {
        let deal = record(state, deal)?;
        let job = state.job_of(&deal).cloned().ok_or(ActivityProblem::Stale)?;
        Ok((deal, job))
    })
}

async fn offer(node: &Arc<Node>) -> Result<(), ActivityProblem> {
    let signed = node.sign_offer().await?;
    node.admission.admit(Fact::Offered(signed.clone())).await?;
    node.admission.gossip(Message::Offer(signed)).await;
    Ok(())
}

async fn open(node: &Arc<Node>, id: B256) -> Result<(), ActivityProblem> {
    let (reservation, over, head) = node.read(|state| {
        let reservation = state
            .reservations
            .get(&id)
            .cloned()
            .ok_or(ActivityProblem::Stale)?;
        Ok::<_, ActivityProblem>((
            reservation.clone(),
            over(state, &reservation),
            state.head.at,
        ))
    })?;
    let is_stale = over.is_err() || head > reservation.not_after;
    let fact = match over {
        _ if is_stale && !node.chain.knows_opening(&reservation)? => Fact::OpenRefused {
            reservation: id,
            reason: "the match is stale".into(),
        },
        Err(problem) => return Err(problem),
        Ok(over) => match node.chain.open(&reservation, over).await {
            Ok(mined) => Fact::OpenMined {
                reservation: id,
                block: mined.block_number,
            },
            Err(ChainProblem::Refused(reason)) => Fact::OpenRefused {
                reservation: id,
                reason,
            },
            Err(other) => return Err(other.into()),
        },
    };
    node.core.apply(fact).await?;
    Ok(())
}

/// The deal whose tasks a reservation takes over, if it takes over any.
fn over(state: &State, reservation: &Reservation) -> Result<Option<Over>, ActivityProblem> {
    let terms = |deal: B256| Ok::<_, ActivityProblem>(Box::new(record(state, deal)?.terms));
    if let Some(displaced) = reservation.displaced {
        let terms = terms(displaced)?;
        let offer = state.book.offer(&terms.offerHash);
        let offer = offer.ok_or(ActivityProblem::Stale)?.offer.clone();
        return Ok(Some(Over::Displaced(terms, Box::new(offer))));
    }
    reservation
        .failed
        .map(|failed| Ok(Over::Failed(terms(failed)?)))
        .transpose()
}

/// Runs the tasks of an own deal that have no result yet, one after another.
async fn run(node: &Arc<Node>, id: B256) -> Result<(), ActivityProblem> {
    let (deal, job) = deal_and_job(node, id)?;
    let (done, windows) = node.read(|state| {
        let done = state.works.get(&id).map(|work| work.results.clone());
        (done.unwrap_or_default(), state.windows)
    });
    let until_cancel = deal.admission_until(windows.admission_s * FETCH_THIRDS / 3);
    let can_cancel = |at: u64| at < deal.admission_until(windows.admission_s);
    let look = node.read(|state| can_cancel(state.head.at));
    match run_tasks(node, &deal, &job, &done, look).await {
        Ok(()) => Ok(()),
        Err(ActivityProblem::Run(problem)) => {
            let is_late = node.read(|state| state.head.at) >= until_cancel;
            let is_absent = matches!(
                &problem,
                RunProblem::Inputs(InputProblem::Unavailable { .. })
            );
            if problem.is_the_jobs() || (is_absent && is_late) {
                let refusal = Refusal {
                    reason: problem.to_string(),
                    runs_anyway: matches!(
                        &problem,
                        RunProblem::Inputs(InputProblem::Malformed { .. })
                    ),
                };
                node.core
                    .apply(Fact::JobRefused { deal: id, refusal })
                    .await?;
            }
            Err(problem.into())
        }
        Err(other) => Err(other),
    }
}

async fn run_tasks(
    node: &Arc<Node>,
    deal: &DealRecord,
    job: &JobSpec,
    done: &BTreeMap<u32, TaskResult>,
    look_into_inputs: bool,
) -> Result<(), ActivityProblem> {
    let report = Report {
        running: false,
        tasks_done: u32::try_from(done.len()).unwrap_or(u32::MAX),
        cycles: done
            .values()
            .fold(0, |sum, result| sum.saturating_add(result.cycles)),
    };
    let reports = progress::tell(node, deal.id, PeerKey(job.source.0), report);
    let range = provider::tasks_of(deal);
    let first = deal.terms.firstTask;
    let inputs = node
        .fetcher
        .inputs(job, first..first + deal.terms.taskCount, deal.id)
        .await
        .map_err(RunProblem::from)?;
    if look_into_inputs {
        inputs.check().await.map_err(RunProblem::from)?;
    }
    let left = |node: &Node| {
        Duration::from_secs(
            deal.terms
                .deadline
                .saturating_sub(node.read(|state| state.head.at))
                .max(1),
        )
    };
    let mut run = node.executor.start(job, &inputs, left(node)).await?;
    reports.send_modify(|report| report.running = true);
    for (task, input) in range.zip(&inputs.archives) {
        if done.contains_key(&task) {
            continue;
        }
        let (halted, output) = run
            .task(task, input, left(node))
            .await
            .map_err(RunProblem::from)?;
        keep_output(node, halted.output_hash, &output, job.outputLimit, deal.id).await?;
        node.metrics.tasks.inc();
        let result = TaskResult {
            task,
            cycles: halted.cycles,
            outcome: halted.outcome,
            output: halted.output_hash,
        };
        node.core
            .apply(Fact::TaskDone {
                deal: deal.id,
                result,
            })
            .await?;
        reports.send_modify(|report| {
            report.tasks_done = report.tasks_done.saturating_add(1);
            report.cycles = report.cycles.saturating_add(halted.cycles);
        });
        if node.stop.is_cancelled() {
            return Err(ActivityProblem::Stale);
        }
    }
    Ok(())
}

/// Moves an output archive into the blob store, where it stays for the deal.
async fn keep_output(
    node: &Node,
    hash: B256,
    path: &std::path::Path,
    limit: u64,
    deal: B256,
) -> Result<(), ActivityProblem> {
    let disk = |error| ActivityProblem::Run(RunProblem::Inputs(InputProblem::Disk(error)));
    let name = blake3::Hash::from_bytes(hash.0);
    node.blobs()
        .pin(&[name], deal)
        .await
        .map_err(outcry_net::NetError::from)?;
    let file = tokio::fs::File::open(path).await.map_err(disk)?;
    let stored = node
        .blobs()
        .put(file, limit)
        .await
        .map_err(outcry_net::NetError::from)?;
    tokio::fs::remove_file(path).await.map_err(disk)?;
    if stored.hash == name {
        Ok(())
    } else {
        Err(ActivityProblem::Mismatch(
            "an output changed on its way to the store".into(),
        ))
    }
}

async fn claim(node: &Arc<Node>, id: B256) -> Result<(), ActivityProblem> {
    let (deal, results, applied) = node.read(|state| {
        let work = state.works.get(&id).ok_or(ActivityProblem::Stale)?;
        let results: Vec<_> = work.results.values().map(TaskResult::claimed).collect();
        Ok::<_, ActivityProblem>((record(state, id)?, results, state.head.number))
    })?;
    if deal.claim().is_some() {
        return Err(ActivityProblem::Stale);
    }
    node.chain
        .claim(&deal, encode_tasks(&results)?, applied)
        .await?;
    Ok(())
}

/// Shows the buyer's receipts for what it demanded, which earns its bond, and reveals the leaves of
/// the other tasks, each with its path to the claim.
async fn answer_demand(node: &Arc<Node>, id: B256) -> Result<(), ActivityProblem> {
    let applied = node.read(|state| state.head.number);
    let (deal, job) = deal_and_job(node, id)?;
    let work = node
        .read(|state| state.works.get(&id).cloned())
        .ok_or(ActivityProblem::Stale)?;
    let demand = deal.demand().ok_or(ActivityProblem::Stale)?;
    let leaves = show_receipts(node, &deal, &work, demand, applied).await?;
    if leaves.is_empty() {
        return Ok(());
    }
    let results = work.results;
    let mut outputs = BTreeMap::new();
    for (task, _) in &leaves {
        let result = results.get(task).ok_or(ActivityProblem::Stale)?;
        let name = blake3::Hash::from_bytes(result.output.0);
        let blob = node
            .blobs()
            .get(&name)
            .map_err(outcry_net::NetError::from)?;
        let blob = blob.ok_or(outcry_net::NetError::BlobNotFound(name))?;
        outputs.insert(*task, blob);
    }
    let first = deal.terms.firstTask;
    let job_hash = deal.terms.jobHash;
    let revealing = tokio::task::spawn_blocking(move || {
        demand::reveal(
            &leaves,
            first,
            job_hash,
            job.outputLimit,
            &results,
            &outputs,
        )
    });
    let disk = |error| ActivityProblem::Run(RunProblem::Inputs(InputProblem::Disk(error)));
    let answers = revealing
        .await
        .map_err(|error| disk(std::io::Error::other(error)))?
        .map_err(disk)?;
    node.chain.answer_demand(&deal, answers, applied).await?;
    Ok(())
}

/// Answers with receipts, one transaction per task, while more than half of the time is left;
/// returns the leaves that remain.
async fn show_receipts(
    node: &Arc<Node>,
    deal: &DealRecord,
    work: &Work,
    demand: Demand,
    applied: u64,
) -> Result<Vec<(u32, u64)>, ActivityProblem> {
    let until = demand.made_at + demand.deadline.saturating_sub(demand.made_at) / 2;
    let mut leaves = demand.leaves;
    let halted = demand::halted_hashes(deal.terms.jobHash, &work.results);
    for (task, receipt) in &work.receipts {
        let is_demanded = leaves.iter().any(|(of, _)| of == task);
        let in_time = node.read(|state| state.head.at) < until;
        let result = work.results.get(task).filter(|_| is_demanded && in_time);
        let Some(result) = result else { continue };
        let opening = demand::opening(result, deal.terms.firstTask, &halted)
            .map_err(|error| ActivityProblem::Mismatch(error.to_string()))?;
        let shown = node
            .chain
            .answer_demand_with_receipt(deal, &leaves, opening, receipt.clone(), applied)
            .await;
        match shown {
            Ok(_) => leaves.retain(|(of, _)| of != task),
            // A contract account may have changed its mind about the signature: then the output
            // itself is the answer.
            Err(ChainProblem::Refused(reason)) => {
                tracing::warn!(deal = %deal.id, task, reason, "a receipt was not taken");
            }
            Err(other) => return Err(other.into()),
        }
    }
    Ok(leaves)
}

async fn settle(node: &Arc<Node>, attempt: u64) -> Result<(), ActivityProblem> {
    let (mut deals, applied) = node.read(|state| {
        let ready = state.settleable().into_iter();
        let deals: Vec<_> = ready
            .map(|(deal, accept, finalise)| (deal.clone(), accept, finalise))
            .collect();
        (deals, state.head.number)
    });
    if deals.is_empty() {
        return Err(ActivityProblem::Stale);
    }
    deals.truncate(SETTLEMENTS_MAX);
    node.chain.settle(&deals, attempt, applied).await?;
    Ok(())
}

/// Puts a buyer's acceptance on the chain, and finalises once the window has passed.
async fn settle_for_buyer(node: &Arc<Node>, id: B256, attempt: u64) -> Result<(), ActivityProblem> {
    let (settlement, applied) = node.read(|state| {
        let deal = record(state, id)?;
        let claim = deal.claim().ok_or(ActivityProblem::Stale)?;
        let is_past = state.head.at > claim.window_from + state.windows.challenge_s;
        let finalise = is_past && !state.is_held(&deal);
        let watch = state
            .jobs
            .get(&deal.terms.bidHash)
            .and_then(|job| job.watches.get(&id));
        let acceptance = watch.and_then(|watch| watch.acceptance.as_ref());
        let accept = acceptance
            .filter(|given| given.claim_hash == claim.hash && !deal.is_paid())
            .map(|given| given.signature.clone());
        if accept.is_none() && !finalise {
            return Err(ActivityProblem::Stale);
        }
        Ok(((deal, accept, finalise), state.head.number))
    })?;
    node.chain.settle(&[settlement], attempt, applied).await?;
    Ok(())
}

/// Key of the node that serves a deal. A node that was not there when the offer was gossiped reads
/// it from the transaction that opened the deal.
pub(crate) async fn peer_of(node: &Node, deal: &DealRecord) -> Result<PeerKey, ActivityProblem> {
    if let Some(key) = node.read(|state| state.peer_key_of(deal)) {
        return Ok(PeerKey(key.0));
    }
    let offer = deal.terms.offerHash;
    let opening = deal
        .history
        .first()
        .map(|(place, _)| place.transaction)
        .unwrap_or_default();
    let Some(peer_key) = node.chain.peer_key_in(opening, offer, &node.domain).await? else {
        return Err(ActivityProblem::Mismatch(
            "nothing says which node serves the deal".into(),
        ));
    };
    node.core.apply(Fact::PeerKnown { offer, peer_key }).await?;
    Ok(PeerKey(peer_key.0))
}

/// Gets the results of a claim from its provider and holds each against the claim's calldata.
async fn fetch_results(node: &Arc<Node>, id: B256) -> Result<(), ActivityProblem> {
    let (deal, job) = deal_and_job(node, id)?;
    let peer = peer_of(node, &deal).await?;
    let claimed = deal.claim().ok_or(ActivityProblem::Stale)?.task_results();
    let sent = match node
        .fetcher
        .net
        .deal(peer, DealRequest::Results { deal: id })
        .await?
    {
        DealResponse::Results(results) => results,
        DealResponse::Refused { code, message } => {
            return Err(ActivityProblem::RefusedByPeer { code, message });
        }
        DealResponse::Acknowledged => {
            return Err(ActivityProblem::Mismatch(
                "the peer answered out of turn".into(),
            ));
        }
    };
    if sent.len() != claimed.len() {
        return Err(ActivityProblem::Mismatch(format!(
            "the claim has {} tasks, the peer sent {}",
            claimed.len(),
            sent.len()
        )));
    }
    let mut results = Vec::with_capacity(sent.len());
    for ((task, claimed), sent) in provider::tasks_of(&deal).zip(claimed).zip(sent) {
        let mismatch = |what: &str| ActivityProblem::Mismatch(format!("task {task}: {what}"));
        let status = Status::from_number(sent.status).ok_or_else(|| mismatch("unknown status"))?;
        let outcome = Outcome {
            status,
            exit_code: sent.exit_code,
            output_root: sent.output_root,
            output_length: sent.output_length,
        };
        let result = TaskResult {
            task,
            cycles: sent.cycles,
            outcome,
            output: B256::from(*sent.blake3.as_bytes()),
        };
        if sent.task != task || result.claimed() != claimed {
            return Err(mismatch("the result does not lead to the claim"));
        }
        let what = format!("the output of task {task}");
        let limit = job.outputLimit.min(node.fetcher.blob_bytes_max);
        let output = node
            .fetcher
            .fetch(&what, result.output, limit, peer, id)
            .await
            .map_err(RunProblem::from)?;
        let root = output_root(output.path.clone(), job.outputLimit).await?;
        if root != sent.output_root {
            return Err(mismatch("the output does not lead to its root"));
        }
        results.push(result);
    }
    node.core
        .apply(Fact::ResultsFetched { deal: id, results })
        .await?;
    Ok(())
}

/// The keccak root of an output archive, at the depth that its limit fixes.
async fn output_root(path: std::path::PathBuf, limit: u64) -> Result<B256, ActivityProblem> {
    let hashing = tokio::task::spawn_blocking(move || {
        let mut file = std::fs::File::open(path)?;
        let wrong = |error: merkle::MerkleError| std::io::Error::other(error.to_string());
        let mut builder = merkle::Builder::new(merkle::depth_for_bytes(limit)).map_err(wrong)?;
        let mut chunk = vec![0; 1 << 20];
        loop {
            match std::io::Read::read(&mut file, &mut chunk)? {
                0 => return Ok(builder.finish()),
                count => builder.write(&chunk[..count]).map_err(wrong)?,
            }
        }
    });
    let disk = |error| ActivityProblem::Run(RunProblem::Inputs(InputProblem::Disk(error)));
    hashing
        .await
        .map_err(|error| disk(std::io::Error::other(error)))?
        .map_err(disk)
}

async fn deliver(node: &Arc<Node>, id: B256) -> Result<(), ActivityProblem> {
    let (deal, acceptance) = node.read(|state| {
        let deal = record(state, id)?;
        let watch = state
            .jobs
            .get(&deal.terms.bidHash)
            .and_then(|job| job.watches.get(&id));
        let acceptance = watch
            .and_then(|watch| watch.acceptance.clone())
            .ok_or(ActivityProblem::Stale)?;
        Ok::<_, ActivityProblem>((deal, acceptance))
    })?;
    let request = DealRequest::Accept {
        deal: id,
        claim_hash: acceptance.claim_hash,
        signature: acceptance.signature.0.clone(),
    };
    match node
        .fetcher
        .net
        .deal(peer_of(node, &deal).await?, request)
        .await?
    {
        DealResponse::Acknowledged => {
            node.core.apply(Fact::AcceptDelivered { deal: id }).await?;
            Ok(())
        }
        DealResponse::Refused { code, message } => {
            Err(ActivityProblem::RefusedByPeer { code, message })
        }
        DealResponse::Results(_) => Err(ActivityProblem::Mismatch(
            "the peer answered out of turn".into(),
        )),
    }
}

/// Re-executes a claim and notes what came out.
async fn verify(node: &Arc<Node>, id: B256) -> Result<(), ActivityProblem> {
    let (deal, job) = deal_and_job(node, id)?;
    let claim_hash = deal.claim().ok_or(ActivityProblem::Stale)?.hash;
    // Until when that is wanted. Others may have to be waited for, and much may happen meanwhile.
    let until = |node: &Node| {
        let until = node.read(|state| {
            let deal = state.deals.get(&id)?;
            let same = deal.claim()?.hash == claim_hash;
            let from = state.wants_check(deal).filter(|_| same)?;
            Some(from + state.windows.challenge_s)
        });
        until.ok_or(ActivityProblem::Stale)
    };
    let turn = node.fetching.take(until(node)?).await;
    until(node)?;
    let first = deal.terms.firstTask;
    let fetching = fetch_in_time(node, &job, first..first + deal.terms.taskCount, id);
    let inputs = match fetching.await {
        Ok(inputs) => inputs,
        Err(problem) => {
            node.core.apply(Fact::Unfetched { deal: id }).await?;
            return Err(RunProblem::from(problem).into());
        }
    };
    drop(turn);
    let _turn = node.verifying.take(until(node)?).await;
    until(node)?;
    let time_max = Duration::from_secs(
        deal.terms
            .deadline
            .saturating_sub(deal.terms.openedAt)
            .max(60),
    );
    let mut run = node.executor.start(&job, &inputs, time_max).await?;
    let mut findings = Vec::with_capacity(inputs.archives.len());
    for (task, input) in provider::tasks_of(&deal).zip(&inputs.archives) {
        let (halted, output) = run
            .task(task, input, time_max)
            .await
            .map_err(RunProblem::from)?;
        let _ = tokio::fs::remove_file(output).await;
        let found = TaskResult {
            task,
            cycles: halted.cycles,
            outcome: halted.outcome,
            output: halted.output_hash,
        };
        let finding = compare(&deal, &found);
        if let Finding::Mismatched { cycles, outcome } = finding {
            let inner = outcome.inner();
            tracing::error!(deal = %id, task, cycles, %inner, "a claim is wrong");
        }
        findings.push(finding);
    }
    // What a game is about is needed until the deal is over.
    if !findings.iter().any(Finding::is_mismatch) {
        node.blobs()
            .unpin(id)
            .await
            .map_err(outcry_net::NetError::from)?;
    }
    let fact = Fact::ClaimChecked {
        deal: id,
        claim_hash,
        findings,
    };
    node.core.apply(fact).await?;
    Ok(())
}

/// The inputs of some tasks, unless they take too long: who serves them may be slow on purpose.
pub(crate) async fn fetch_in_time(
    node: &Node,
    job: &JobSpec,
    tasks: std::ops::Range<u32>,
    holder: B256,
) -> Result<Inputs, InputProblem> {
    let fetching = node.fetcher.inputs(job, tasks, holder);
    let fetched = tokio::time::timeout(FETCH_TIME_MAX, fetching).await;
    fetched.unwrap_or_else(|_| {
        Err(InputProblem::Unavailable {
            what: "the input of a claim".into(),
            source: outcry_net::NetError::Timeout,
        })
    })
}
