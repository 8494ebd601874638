//! Jobs: run, submit, ls, status, logs, get, cancel, explain, quote, estimate.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256};
use futures::{StreamExt as _, pin_mut};
use outcry_protocol::codes;
use outcry_protocol::status::Status;
use outcry_protocol::types::{Bid, JobSpec};
use outcry_sdk::api::{Amount, Explanation, JobEvent, JobEventKind, JobsQuery, Quote, TokenInfo};
use outcry_sdk::{Client, Finished, Job, Patience, Progress, Step, TaskOutput, Trust, units};
use serde::Serialize;

use crate::args::{self, Format};
use crate::console::{Console, Show, columns, pairs, short};
use crate::failure::Failure;
use crate::jobfile::JobFile;
use crate::progress::{Watch, describe};
use crate::settings::Settings;
use crate::verbs::account::{execute, planned};

/// Exit code of a job that ran and did not succeed.
const JOB_FAILED: u8 = codes::Exit::Failed as u8;

pub(crate) async fn run(
    args: &args::Run,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    if let Some(out) = &args.out {
        require_empty(out)?;
    }
    let file = JobFile::from_flags(&args.program, &args.input, &args.args, &args.terms)?;
    let client = settings.buyer(console)?;
    let (job, bid, token) = prepare(&file, &client, settings).await?;
    if !place(&client, &bid, &job, &token, settings, console).await? {
        return Ok(0);
    }
    let trust = trust(args.no_recheck, settings)?;
    let patience = Patience {
        match_within: Duration::from_secs(args.match_within),
        finish_within: Duration::from_secs(args.wait),
    };
    let outcome = {
        let mut watch = Watch::new(console, token.clone(), settings.global.quiet);
        client
            .run(&job, &bid, &trust, patience, |progress| {
                watch.progress(&progress)
            })
            .await
    };
    let finished = match outcome {
        Err(outcry_sdk::Error::NoMatch(summary)) => {
            // Without this the bid could still be taken after its buyer has gone.
            let cancelled = client
                .chain()
                .execute(&client.chain().plan_cancel(bid.salt))
                .await?;
            console.note(&format!("cancelled the bid: {cancelled}"));
            return Err(unserved(&summary));
        }
        other => other?,
    };
    deliver(
        &finished,
        args.out.as_deref(),
        &token,
        settings.format(),
        console,
    )
}

pub(crate) async fn submit(
    args: &args::Submit,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let file = JobFile::load(&args.file)?;
    let client = settings.buyer(console)?;
    let (job, bid, token) = prepare(&file, &client, settings).await?;
    if !place(&client, &bid, &job, &token, settings, console).await? {
        return Ok(0);
    }
    let id = {
        let mut watch = Watch::new(console, token, settings.global.quiet);
        client
            .submit(&job, &bid, |progress| {
                if matches!(progress, Progress::Uploaded { .. }) {
                    watch.progress(&progress);
                }
            })
            .await?
    };
    console.result(settings.format(), &Submitted { id })?;
    Ok(0)
}

pub(crate) async fn ls(
    args: &args::Ls,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let client = settings.reader()?;
    let buyer = if args.all {
        None
    } else {
        Some(settings.account(console)?)
    };
    let query = JobsQuery {
        buyer,
        state: args.state,
        limit: Some(args.limit),
    };
    let jobs = client.node().jobs(&query).await?;
    let tokens = client.network().clone();
    let rows = jobs
        .into_iter()
        .map(|job| JobRow {
            token: tokens.token_at(job.token),
            job,
        })
        .collect();
    console.result(settings.format(), &JobList(rows))?;
    Ok(0)
}

pub(crate) async fn status(
    args: &args::JobId,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let client = settings.reader()?;
    let id = resolve(&client, &args.id).await?;
    let job = client.node().job(id).await?;
    let token = client.network().token_at(job.token);
    console.result(settings.format(), &JobRow { token, job })?;
    Ok(0)
}

pub(crate) async fn logs(
    args: &args::Logs,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let client = settings.reader()?;
    let id = resolve(&client, &args.job.id).await?;
    let job = client.node().job(id).await?;
    let token = client.network().token_at(job.token);
    let events = client.node().job_events(id, 0);
    pin_mut!(events);
    loop {
        // Without --follow: what has happened so far arrives at once, then nothing for a while.
        let event = match args.follow {
            true => events.next().await,
            false => match tokio::time::timeout(Duration::from_secs(1), events.next()).await {
                Ok(event) => event,
                Err(_) => return Ok(0),
            },
        };
        let Some(event) = event else { return Ok(0) };
        let line = EventLine {
            event: event?,
            token: &token,
        };
        console.item(settings.format(), &line)?;
        if matches!(line.event.event, JobEventKind::Ended {}) {
            return Ok(0);
        }
    }
}

pub(crate) async fn get(
    args: &args::Get,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    if let Some(out) = &args.out {
        require_empty(out)?;
    }
    let client = if args.no_accept {
        settings.reader()?
    } else {
        settings.buyer(console)?
    };
    let id = resolve(&client, &args.job.id).await?;
    let state = client.node().job(id).await?;
    let token = client.network().token_at(state.token);
    let claimed: Vec<_> = state
        .deals
        .iter()
        .filter(|deal| deal.claim.is_some() && is_sound(deal.state))
        .collect();
    if state.tasks_claimed < state.tasks {
        let message = format!(
            "the job is {}: {} of {} tasks have a result",
            state.state, state.tasks_claimed, state.tasks
        );
        return Err(Failure::new(&codes::DEAL_STATE, message)
            .with_help("wait for it with `outcry logs -f ID`"));
    }
    let (_, job) = client.fetch_job(id).await?;
    let trust = trust(args.no_recheck, settings)?;
    let mut finished = Finished {
        id,
        tasks: Vec::new(),
        price: Amount::ZERO,
        cycles: Amount::ZERO,
        providers: Vec::new(),
    };
    for deal in claimed {
        let mut watch = Watch::new(console, token.clone(), settings.global.quiet);
        let checked = client
            .check_deal(&job, deal.deal_id, &trust, |progress| {
                watch.progress(&progress)
            })
            .await?;
        if !args.no_accept && deal.state == outcry_sdk::api::DealState::Claimed {
            client.accept(&checked).await?;
            watch.progress(&Progress::Accepted { deal: deal.deal_id });
        }
        finished.price.0 += alloy::primitives::U256::from(checked.price);
        finished.providers.push(checked.terms.provider);
        finished.tasks.extend(checked.tasks);
    }
    finished.tasks.sort_by_key(|output| output.task);
    finished.tasks.dedup_by_key(|output| output.task);
    finished.cycles = finished
        .tasks
        .iter()
        .map(|output| output.cycles)
        .sum::<u64>()
        .into();
    finished.providers.sort_unstable();
    finished.providers.dedup();
    deliver(
        &finished,
        args.out.as_deref(),
        &token,
        settings.format(),
        console,
    )
}

pub(crate) async fn cancel(
    args: &args::Cancel,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let client = settings.buyer(console)?;
    let step = match &args.id {
        None => client.chain().plan_cancel_all(),
        Some(id) => {
            let id = resolve(&client, id).await?;
            let outcry_sdk::api::Order::Bid { bid, .. } = client.node().order(id).await?.order
            else {
                return Err(Failure::usage(format!("{id} is an offer")));
            };
            if client.bid_hash(&bid) != id {
                return Err(Failure::new(
                    &codes::NET_MESSAGE,
                    format!("the node answered another bid for {id}"),
                ));
            }
            client.chain().plan_cancel(bid.salt)
        }
    };
    settings.confirm(&step.what, console)?;
    execute(&client, &[step], settings, console).await
}

pub(crate) async fn explain(
    args: &args::JobId,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let client = settings.reader()?;
    let id = resolve(&client, &args.id).await?;
    let explanation = client.node().explain_bid(id).await?;
    console.result(settings.format(), &explanation)?;
    Ok(0)
}

pub(crate) async fn quote(
    args: &args::JobSource,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let file = JobFile::from_source(args)?;
    let client = settings.buyer(console)?;
    let (job, bid, token) = prepare(&file, &client, settings).await?;
    let quote = client.quote(&job, &bid).await?;
    let unserved = quote.fills.is_empty();
    let view = QuoteView {
        quote,
        token,
        audit_rate_bps: bid.auditRateBps,
        audit_fee: bid.auditFee.into(),
    };
    console.result(settings.format(), &view)?;
    if unserved {
        let explanation = client.explain(&job, &bid).await?;
        return Err(no_match(&explanation));
    }
    Ok(0)
}

pub(crate) async fn estimate(
    args: &args::JobSource,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let file = JobFile::from_source(args)?;
    let client = settings.reader()?;
    let token = settings.token(client.network())?;
    let node = client.check().await?;
    let job = build(&file, node.peer_key, &client, settings).await?;
    let engine = settings.engine()?;
    let output = {
        let job = job.clone();
        tokio::task::spawn_blocking(move || engine.run(&job, 0))
            .await
            .map_err(Failure::internal)??
    };
    let terms = file.terms.terms(&token)?;
    let offers = client.node().book().await?.offers;
    let measured = JobSpec {
        cycleLimit: output.cycles.max(1),
        ..job.spec().clone()
    };
    let without_cap = outcry_sdk::Terms {
        max_price: None,
        ..terms
    };
    let per_task = without_cap.price_cap(
        &measured,
        token.address,
        offers.iter().map(|entry| &entry.offer),
    )?;
    let cost = alloy::primitives::U256::from(per_task)
        * alloy::primitives::U256::from(job.spec().taskCount);
    let estimate = Estimate {
        status: output.outcome.status,
        exit_code: output.outcome.exit_code,
        cycles_per_task: output.cycles,
        tasks: job.spec().taskCount,
        expected_cost: Amount(cost),
        token,
    };
    console.result(settings.format(), &estimate)?;
    Ok(if output.is_success() { 0 } else { JOB_FAILED })
}

/// The job and its bid, not signed yet.
async fn prepare(
    file: &JobFile,
    client: &Client,
    settings: &Settings,
) -> Result<(Job, Bid, TokenInfo), Failure> {
    let token = settings.token(client.network())?;
    let terms = file.terms.terms(&token)?;
    let node = client.check().await?;
    client.chain().check().await?;
    let job = build(file, node.peer_key, client, settings).await?;
    let bid = client.bid(&job, &terms, Some(token.address)).await?;
    Ok((job, bid, token))
}

pub(crate) async fn build(
    file: &JobFile,
    source: B256,
    client: &Client,
    settings: &Settings,
) -> Result<Job, Failure> {
    let builder = file.builder(settings, Some(client.node())).await?;
    Ok(tokio::task::spawn_blocking(move || builder.build(source))
        .await
        .map_err(Failure::internal)??)
}

/// Shows the bid, asks, and deposits what is missing. `false`: it was a dry run.
async fn place(
    client: &Client,
    bid: &Bid,
    job: &Job,
    token: &TokenInfo,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<bool, Failure> {
    let missing = client.missing_deposit(bid).await?;
    let steps = match missing {
        Amount::ZERO => Vec::new(),
        missing => client.chain().plan_deposit(token, missing).await?,
    };
    if settings.global.dry_run {
        let plan = Plan {
            id: client.bid_hash(bid),
            bid: bid.clone(),
            job: job.spec().clone(),
            transactions: steps,
        };
        console.result(settings.format(), &plan)?;
        return Ok(false);
    }
    let most = Amount(
        alloy::primitives::U256::from(bid.priceCap) * alloy::primitives::U256::from(bid.tasks),
    );
    let deposit = match missing {
        Amount::ZERO => String::new(),
        missing => format!(" and deposit {}", units::show(missing, token)),
    };
    let audits = match bid.auditFee {
        0 => String::new(),
        fee => format!(
            ", lock {} for the audit of each deal",
            units::show(fee.into(), token)
        ),
    };
    settings.confirm(
        &format!(
            "Bid at most {} for {} tasks{audits}{deposit}?",
            units::show(most, token),
            bid.tasks
        ),
        console,
    )?;
    for step in &steps {
        if !settings.global.quiet {
            console.note(&step.what);
        }
        client.chain().execute(step).await?;
    }
    Ok(true)
}

/// Hands the results over and says whether the job succeeded.
fn deliver(
    finished: &Finished,
    out: Option<&Path>,
    token: &TokenInfo,
    format: Format,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    if let Some(out) = out {
        for output in &finished.tasks {
            // One task's files lie in the folder itself, those of several in a folder each.
            let folder = if finished.tasks.len() == 1 {
                out.to_path_buf()
            } else {
                out.join(output.task.to_string())
            };
            output.write_files(&folder)?;
        }
    }
    match format {
        Format::Table => {
            for output in &finished.tasks {
                console.raw(&output.stdout())?;
                // The program's own words, not ours: as they are.
                let _ = console.stderr.write_all(&output.stderr());
                if !output.is_success() {
                    console.note(&format!("task {}: {}", output.task, ending(output)));
                }
            }
        }
        Format::Json | Format::Yaml => {
            console.result(format, &FinishedView::new(finished, token))?
        }
    }
    let failed = finished.tasks.iter().any(|output| !output.is_success());
    Ok(if failed { JOB_FAILED } else { 0 })
}

fn trust(waived: bool, settings: &Settings) -> Result<Trust, Failure> {
    Ok(if waived {
        Trust::Waive
    } else {
        Trust::Recheck(Arc::clone(&settings.engine()?))
    })
}

fn is_sound(state: outcry_sdk::api::DealState) -> bool {
    use outcry_sdk::api::DealState;
    matches!(
        state,
        DealState::Claimed | DealState::Accepted | DealState::Settled
    )
}

fn no_match(explanation: &Explanation) -> Failure {
    let failure = unserved(&explanation.summary);
    match &explanation.cheapest_change {
        Some(change) => failure.with_help(change.message.clone()),
        None => failure,
    }
}

/// Nobody serves the bid. A summary opens with the code of what stands in the way, where that is one
/// thing.
fn unserved(summary: &str) -> Failure {
    let coded = summary
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
        .and_then(|(id, rest)| Some((codes::by_id(id)?, rest)));
    match coded {
        Some((code, rest)) => Failure::new(code, rest),
        None => Failure::new(&codes::MATCH_TIMEOUT, summary),
    }
}

fn ending(output: &TaskOutput) -> String {
    match output.outcome.status {
        Status::Exited => format!("exited with {}", output.outcome.exit_code),
        other => other.to_string(),
    }
}

/// Refuses a place for results that holds something already, before anything is paid for.
pub(crate) fn require_empty(folder: &Path) -> Result<(), Failure> {
    let failed = |reason: &str| {
        Err(Failure::new(
            &codes::CONFIG_FILE,
            format!("{}: {reason}", folder.display()),
        ))
    };
    match std::fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => failed("the folder is not empty"),
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => failed(&e.to_string()),
    }
}

/// A job's id from the hash or its first digits.
async fn resolve(client: &Client, text: &str) -> Result<B256, Failure> {
    if let Ok(id) = text.parse::<B256>() {
        return Ok(id);
    }
    let digits = text
        .strip_prefix("0x")
        .unwrap_or(text)
        .trim_end_matches('…')
        .to_lowercase();
    if digits.len() < 4 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Failure::usage(format!(
            "`{text}` is neither a job's id nor the first four or more digits of one"
        )));
    }
    let jobs = client
        .node()
        .jobs(&JobsQuery {
            limit: Some(1000),
            ..JobsQuery::default()
        })
        .await?;
    let mut found = jobs
        .iter()
        .map(|job| job.id)
        .filter(|id| alloy::primitives::hex::encode(id).starts_with(&digits));
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Err(Failure::new(
            &codes::ORDER_UNKNOWN,
            format!("the node knows no job {text}"),
        )),
        (Some(_), Some(_)) => Err(Failure::usage(format!(
            "several jobs begin with {text}; give more digits"
        ))),
    }
}

#[derive(Serialize)]
struct Submitted {
    id: B256,
}

impl Show for Submitted {
    fn table(&self) -> String {
        self.id.to_string()
    }
}

/// What a dry run shows.
#[derive(Serialize)]
struct Plan {
    /// What would be signed: the EIP-712 digest of the bid.
    id: B256,
    bid: Bid,
    job: JobSpec,
    transactions: Vec<Step>,
}

impl Show for Plan {
    fn table(&self) -> String {
        let mut text = format!("would sign the bid {}\n", self.id);
        // Structures of plain values; there is nothing in them that YAML can't hold.
        text.push_str(&serde_yaml_ng::to_string(&self.bid).unwrap_or_default());
        text.push_str(&planned(&self.transactions));
        text
    }
}

#[derive(Serialize)]
struct JobRow {
    #[serde(skip)]
    token: TokenInfo,
    #[serde(flatten)]
    job: outcry_sdk::api::Job,
}

#[derive(Serialize)]
struct JobList(Vec<JobRow>);

impl Show for JobList {
    fn table(&self) -> String {
        let rows: Vec<_> = self
            .0
            .iter()
            .map(|JobRow { token, job }| {
                [
                    short(&job.id),
                    job.state.to_string(),
                    format!("{}/{}", job.tasks_claimed, job.tasks),
                    job.deals.len().to_string(),
                    units::show(job.price, token),
                ]
            })
            .collect();
        columns(["JOB", "STATE", "TASKS", "DEALS", "PRICE"], &rows)
    }
}

impl Show for JobRow {
    fn table(&self) -> String {
        let Self { token, job } = self;
        let mut text = pairs(&[
            ("job", job.id.to_string()),
            ("state", job.state.to_string()),
            ("buyer", job.buyer.to_string()),
            (
                "tasks",
                format!(
                    "{} of {} claimed, {} settled",
                    job.tasks_claimed, job.tasks, job.tasks_settled
                ),
            ),
            ("price", units::show(job.price, token)),
        ]);
        if let Some(problem) = &job.problem {
            text.push_str(&format!(
                "problem  [{}] {}\n         {}\n",
                problem.code, problem.message, problem.help
            ));
        }
        if !job.deals.is_empty() {
            let rows: Vec<_> = job
                .deals
                .iter()
                .map(|deal| {
                    [
                        short(&deal.deal_id),
                        deal.state.to_string(),
                        short(&deal.terms.provider),
                        format!("{}+{}", deal.terms.firstTask, deal.terms.taskCount),
                        deal.claim
                            .as_ref()
                            .map_or(String::new(), |claim| claim.cycles.to_string()),
                        deal.claim
                            .as_ref()
                            .map_or(String::new(), |claim| units::show(claim.price, token)),
                    ]
                })
                .collect();
            text.push('\n');
            text.push_str(&columns(
                ["DEAL", "STATE", "PROVIDER", "TASKS", "CYCLES", "PRICE"],
                &rows,
            ));
        }
        text
    }
}

#[derive(Serialize)]
struct EventLine<'a> {
    #[serde(flatten)]
    event: JobEvent,
    #[serde(skip)]
    token: &'a TokenInfo,
}

impl Show for EventLine<'_> {
    fn table(&self) -> String {
        format!("{} {}", self.event.time, describe(&self.event, self.token))
    }
}

/// A finished job for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FinishedView {
    id: B256,
    price: Amount,
    token: TokenInfo,
    cycles: Amount,
    providers: Vec<Address>,
    tasks: Vec<TaskView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaskView {
    task: u32,
    deal: B256,
    status: Status,
    exit_code: u32,
    cycles: u64,
    output_root: B256,
    result_hash: B256,
    stdout: String,
    stderr: String,
    files: Vec<String>,
}

impl FinishedView {
    fn new(finished: &Finished, token: &TokenInfo) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self {
            id: finished.id,
            price: finished.price,
            token: token.clone(),
            cycles: finished.cycles,
            providers: finished.providers.clone(),
            tasks: finished
                .tasks
                .iter()
                .map(|output| TaskView {
                    task: output.task,
                    deal: output.deal,
                    status: output.outcome.status,
                    exit_code: output.outcome.exit_code,
                    cycles: output.cycles,
                    output_root: output.outcome.output_root,
                    result_hash: output.outcome.inner(),
                    stdout: text(output.stdout()),
                    stderr: text(output.stderr()),
                    files: output.files().into_keys().collect(),
                })
                .collect(),
        }
    }
}

impl Show for FinishedView {
    fn table(&self) -> String {
        String::new()
    }
}

impl Show for Explanation {
    fn table(&self) -> String {
        let mut text = format!("{}\n", self.summary);
        if let Some(problem) = &self.bid_problem {
            text.push_str(&format!(
                "the bid: [{}] {}\n",
                problem.code, problem.message
            ));
        }
        if !self.failures.is_empty() {
            let rows: Vec<_> = self
                .failures
                .iter()
                .map(|failure| {
                    [
                        failure.code.clone(),
                        format!("{}/{}", failure.offers, self.offers),
                        failure.message.clone(),
                    ]
                })
                .collect();
            text.push_str(&columns(["CODE", "OFFERS", "WHY"], &rows));
        }
        if let Some(change) = &self.cheapest_change {
            text.push_str(&format!("cheapest change: {}\n", change.message));
        }
        text
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QuoteView {
    #[serde(flatten)]
    quote: Quote,
    token: TokenInfo,
    audit_rate_bps: u16,
    /// Base units that a deal locks for its audit.
    audit_fee: Amount,
}

impl Show for QuoteView {
    fn table(&self) -> String {
        let Self {
            quote,
            token,
            audit_rate_bps,
            audit_fee,
        } = self;
        let percent = |bps: u32| f64::from(bps) / 100.0;
        let audit_rate = percent((*audit_rate_bps).into());
        let rows: Vec<_> = quote
            .fills
            .iter()
            .map(|fill| {
                [
                    short(&fill.provider),
                    fill.tasks.to_string(),
                    units::show(fill.expected_cost, token),
                    units::show(fill.escrow, token),
                    format!("{} s", fill.expected_s),
                ]
            })
            .collect();
        let mut text = columns(["PROVIDER", "TASKS", "EXPECTED", "AT MOST", "TIME"], &rows);
        text.push('\n');
        text.push_str(&pairs(&[
            ("expected cost", units::show(quote.expected_cost, token)),
            ("escrow", units::show(quote.escrow, token)),
            ("balance needed", units::show(quote.balance_needed, token)),
            ("expected time", format!("{} s", quote.expected_s)),
            ("tasks unplaced", quote.tasks_unplaced.to_string()),
        ]));
        if *audit_rate_bps != 0 {
            text.push_str(&format!(
                "audits          {audit_rate:.2}% of deals, {} each, back from deals that are not drawn\n",
                units::show(*audit_fee, token)
            ));
        }
        if !quote.fills.is_empty() {
            text.push_str(&format!(
                "cheating        {} if {audit_rate:.2}% of deals are checked; it breaks even at {:.2}%\n",
                if quote.cheating.pays {
                    "pays"
                } else {
                    "does not pay"
                },
                percent(quote.cheating.break_even_bps)
            ));
        }
        text
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Estimate {
    status: Status,
    exit_code: u32,
    cycles_per_task: u64,
    tasks: u32,
    expected_cost: Amount,
    token: TokenInfo,
}

impl Show for Estimate {
    fn table(&self) -> String {
        pairs(&[
            (
                "status",
                format!("{}, exit code {}", self.status, self.exit_code),
            ),
            ("cycles per task", self.cycles_per_task.to_string()),
            ("tasks", self.tasks.to_string()),
            (
                "expected cost",
                units::show(self.expected_cost, &self.token),
            ),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unserved_bid_fails_with_the_code_of_what_stands_in_the_way() {
        let failure = unserved("[M-003] no offer has 98304 MiB of memory");
        assert_eq!((failure.code.as_str(), failure.exit), ("M-003", 3));
        assert_eq!(failure.message, "no offer has 98304 MiB of memory");
        let failure = unserved("several things");
        assert_eq!((failure.code.as_str(), failure.exit), ("M-018", 3));
    }
}
