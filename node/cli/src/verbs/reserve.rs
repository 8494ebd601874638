//! Reserved capacity by auction: orders, rounds, holdings.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy::primitives::{Address, B256};
use outcry_protocol::auction::settle;
use outcry_protocol::auction::{Alternative, AuctionOrder, Backing, Entry, Phase, Pool};
use outcry_protocol::codes;
use outcry_sdk::api::{Amount, TokenInfo};
use outcry_sdk::{AuctionRules, Client, Round, SealedOrder, SealedOrders, Sold, Step, units};
use serde::{Deserialize, Serialize};

use super::account;
use super::job::build;
use crate::args::{Reserve, ReserveBid, ReserveDraw, ReserveSell, Sealing, SoldBy};
use crate::console::{Console, Show, columns, pairs, short};
use crate::failure::Failure;
use crate::jobfile::JobFile;
use crate::settings::Settings;

/// Most bytes of an order's file.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Pause between two looks at the chain's clock.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

pub(crate) async fn reserve(
    verb: &Reserve,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let client = match verb {
        Reserve::Pools
        | Reserve::Rounds
        | Reserve::Show { .. }
        | Reserve::Drawn { end: false, .. } => settings.reader()?,
        _ => settings.buyer(console)?,
    };
    client.chain().check().await?;
    let rules = client.chain().auction().await?;
    let token = client.network().token_at(rules.parameters.token);
    let auction = Auction {
        client,
        rules,
        token,
        sealed: SealedOrders::open(settings.home().join("reserve")),
    };
    match verb {
        Reserve::Pools => auction.pools(settings, console),
        Reserve::Rounds => auction.rounds(settings, console).await,
        Reserve::Deposit(args) => {
            let amount = units::parse(&args.amount, &auction.token)?;
            let chain = auction.client.chain();
            let steps = chain
                .plan_auction_deposit(&auction.rules, &auction.token, amount)
                .await?;
            auction.send(&steps, settings, console).await
        }
        Reserve::Withdraw(args) => {
            let amount = units::parse(&args.amount, &auction.token)?;
            let chain = auction.client.chain();
            let step = chain.plan_auction_withdrawal(&auction.rules, &auction.token, amount);
            auction.send(&[step], settings, console).await
        }
        Reserve::Bid(args) => {
            let order = auction.bid(args)?;
            auction
                .seal(order, args.sealing.wait, settings, console)
                .await
        }
        Reserve::Sell(args) => {
            let order = auction.sale(args)?;
            auction
                .seal(order, args.sealing.wait, settings, console)
                .await
        }
        Reserve::Reveal => auction.reveal(settings, console).await,
        Reserve::Ls => auction.ls(settings, console).await,
        Reserve::Show { round } => auction.show(*round, settings, console).await,
        Reserve::Holdings => auction.holdings(settings, console).await,
        Reserve::Bind { sold, units } => {
            let step = auction
                .client
                .chain()
                .plan_bind(&auction.rules, (*sold).into(), *units);
            auction.send(&[step], settings, console).await
        }
        Reserve::Draw(args) => auction.draw(args, settings, console).await,
        Reserve::Drawn { draw, end } => auction.drawn(*draw, *end, settings, console).await,
        Reserve::Reclaim { round, order } => {
            let chain = auction.client.chain();
            let step = chain.plan_reclaim(&auction.rules, *round, *order);
            auction.send(&[step], settings, console).await
        }
        Reserve::Forfeit { round } => {
            let chain = auction.client.chain();
            let steps = chain.plan_forfeits(&auction.rules, *round).await?;
            auction.send(&steps, settings, console).await
        }
        Reserve::Tend { round, every: None } => auction.tend(*round, settings, console).await,
        Reserve::Tend {
            every: Some(seconds),
            ..
        } => loop {
            // What failed is tried again: a chain that does not answer, a bond that is missing, a
            // transaction that somebody else was first with.
            if let Err(failure) = auction.tend(None, settings, console).await {
                console.note(&failure.message);
            }
            tokio::time::sleep(Duration::from_secs((*seconds).max(1))).await;
        },
    }
}

/// An order as people write it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderFile {
    #[serde(default)]
    backing: BackingName,
    #[serde(default = "one")]
    lots: u32,
    alternatives: Vec<AlternativeFile>,
}

fn one() -> u32 {
    1
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BackingName {
    #[default]
    Holdings,
    Capacity,
    Curve,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AlternativeFile {
    /// In units of the token; negative: the least that a lot is paid.
    limit: String,
    /// Units by pool, negative: sold.
    units: BTreeMap<u16, i32>,
}

struct Auction {
    client: Client,
    rules: AuctionRules,
    token: TokenInfo,
    sealed: SealedOrders,
}

impl Auction {
    fn pools(&self, settings: &Settings, console: &mut Console<'_>) -> Result<u8, Failure> {
        let pools = Pools {
            auction: self.rules.address,
            token: self.token.clone(),
            pools: self.rules.pools.clone(),
        };
        console.result(settings.format(), &pools)?;
        Ok(0)
    }

    async fn rounds(&self, settings: &Settings, console: &mut Console<'_>) -> Result<u8, Failure> {
        let now = self.client.chain().now().await?;
        let calendar = &self.rules.calendar;
        let round = calendar.round_at(now).unwrap_or(0);
        let term = calendar.term(round);
        let running = Running {
            round,
            phase: phase_name(calendar.phase(round, now)),
            now,
            reveal_from: calendar.reveal_from(round),
            post_from: calendar.post_from(round),
            dispute_from: calendar.dispute_from(round),
            final_from: calendar.final_from(round),
            season: term.season,
            intervals: term.intervals,
            season_end: calendar.season_end(term.season),
        };
        console.result(settings.format(), &running)?;
        Ok(0)
    }

    /// Sends transactions once they are confirmed, or shows them.
    async fn send(
        &self,
        steps: &[Step],
        settings: &Settings,
        console: &mut Console<'_>,
    ) -> Result<u8, Failure> {
        if !settings.global.dry_run && !steps.is_empty() {
            self.confirm(steps, settings, console)?;
        }
        account::execute(&self.client, steps, settings, console).await
    }

    /// Asks whether to send transactions.
    fn confirm(
        &self,
        steps: &[Step],
        settings: &Settings,
        console: &mut Console<'_>,
    ) -> Result<(), Failure> {
        let what: Vec<&str> = steps.iter().map(|step| step.what.as_str()).collect();
        settings.confirm(&format!("{}?", what.join(", ")), console)
    }

    /// Base units of an amount that may be negative.
    fn limit(&self, text: &str) -> Result<i64, Failure> {
        let (is_negative, size) = match text.trim().strip_prefix('-') {
            Some(size) => (true, size),
            None => (false, text),
        };
        let amount = units::parse(size, &self.token)?;
        let size = amount
            .to_u128()
            .and_then(|amount| i64::try_from(amount).ok())
            .ok_or_else(|| Failure::usage(format!("{text} is too much for one lot")))?;
        Ok(if is_negative { -size } else { size })
    }

    fn order(
        &self,
        backing: Backing,
        lots: u32,
        alternatives: Vec<Alternative>,
    ) -> Result<AuctionOrder, Failure> {
        Ok(AuctionOrder {
            account: self.client.account()?,
            backing,
            lots,
            alternatives,
            // Drawn when it is sealed.
            salt: B256::ZERO,
        })
    }

    fn bid(&self, args: &ReserveBid) -> Result<AuctionOrder, Failure> {
        if let Some(path) = &args.file {
            return self.order_of_file(path);
        }
        let (Some(pool), Some(limit)) = (args.pool, &args.limit) else {
            return Err(Failure::usage("give a file, or --pool and --limit"));
        };
        let entries = vec![entry(pool, args.units, 1)?];
        let limit = self.limit(limit)?;
        let Sealing { lots, .. } = args.sealing;
        self.order(
            Backing::Holdings,
            lots,
            vec![Alternative { limit, entries }],
        )
    }

    fn sale(&self, args: &ReserveSell) -> Result<AuctionOrder, Failure> {
        let backing = match (args.new, args.curve) {
            (_, true) => Backing::Curve,
            (true, false) => Backing::Capacity,
            (false, false) => Backing::Holdings,
        };
        let limit = -self.limit(&args.ask)?;
        let entries = vec![entry(args.pool, args.units, -1)?];
        let Sealing { lots, .. } = args.sealing;
        self.order(backing, lots, vec![Alternative { limit, entries }])
    }

    fn order_of_file(&self, path: &std::path::Path) -> Result<AuctionOrder, Failure> {
        let failed =
            |e: String| Failure::new(&codes::CONFIG_FILE, format!("{}: {e}", path.display()));
        let length = std::fs::metadata(path)
            .map_err(|e| failed(e.to_string()))?
            .len();
        if length > FILE_BYTES_MAX {
            return Err(failed(format!("more than {FILE_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
        // JSON is YAML.
        let file: OrderFile = serde_yaml_ng::from_str(&text).map_err(|e| failed(e.to_string()))?;
        let backing = match file.backing {
            BackingName::Holdings => Backing::Holdings,
            BackingName::Capacity => Backing::Capacity,
            BackingName::Curve => Backing::Curve,
        };
        let mut alternatives = Vec::new();
        for alternative in file.alternatives {
            let units = alternative.units.into_iter();
            alternatives.push(Alternative {
                limit: self.limit(&alternative.limit)?,
                entries: units
                    .map(|(pool, quantity)| Entry { pool, quantity })
                    .collect(),
            });
        }
        self.order(backing, file.lots, alternatives)
    }

    /// Stores an order, then commits to it; reveals it if it is to wait.
    async fn seal(
        &self,
        order: AuctionOrder,
        wait: bool,
        settings: &Settings,
        console: &mut Console<'_>,
    ) -> Result<u8, Failure> {
        let chain = self.client.chain();
        let calendar = &self.rules.calendar;
        let now = chain.now().await?;
        let round = calendar.round_at(now).unwrap_or(0);
        if calendar.phase(round, now) != Phase::Commit {
            let next = calendar.begin(round + u64::from(now >= calendar.begin(0)));
            return Err(
                Failure::usage(format!("round {round} takes no orders now")).with_help(format!(
                    "The next round begins in {} s.",
                    next.saturating_sub(now)
                )),
            );
        }
        let network = self.client.network();
        let sealed = SealedOrder::new(network.chain_id, self.rules.address, round, order);
        let deposit = Amount::from(self.rules.deposit(&sealed.order)?);
        let free = chain
            .auction_balance(&self.rules, sealed.order.account)
            .await?;
        let mut steps = Vec::new();
        if free < deposit {
            let missing = Amount(deposit.0 - free.0);
            steps = chain
                .plan_auction_deposit(&self.rules, &self.token, missing)
                .await?;
        }
        let mut commit = chain.plan_commit(&self.rules, round, &sealed.order)?;
        commit.what = format!(
            "{} with a deposit of {}",
            commit.what,
            units::show(deposit, &self.token)
        );
        steps.push(commit);
        if settings.global.dry_run {
            return self.send(&steps, settings, console).await;
        }
        self.confirm(&steps, settings, console)?;
        let path = self.sealed.keep(&sealed)?;
        console.note(&format!(
            "the order lies in {} until it is revealed",
            path.display()
        ));
        // The file stays whatever comes of this: a transaction may be mined though sending it failed.
        // `outcry reserve reveal` removes what was never committed to once the round is past.
        account::execute(&self.client, &steps, settings, console).await?;
        if !wait {
            let seconds = calendar.reveal_from(round).saturating_sub(now);
            console.note(&format!(
                "`outcry reserve reveal` reveals it, from {seconds} s on"
            ));
            return Ok(0);
        }
        // A deposit depends on it: an endpoint that fails is asked again.
        loop {
            match chain.now().await {
                Ok(now) if now >= calendar.reveal_from(round) => break,
                Ok(_) => {}
                Err(error) => console.note(&error.to_string()),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.reveal(settings, console).await
    }

    /// Sealed orders for this auction; says which files can't be read.
    fn mine(&self, console: &mut Console<'_>) -> Result<Vec<SealedOrder>, Failure> {
        let chain_id = self.client.network().chain_id;
        let (all, unreadable) = self.sealed.all()?;
        for error in unreadable {
            console.note(&format!("{error}: it may be worth a deposit"));
        }
        Ok(all
            .into_iter()
            .filter(|one| one.chain_id == chain_id && one.auction == self.rules.address)
            .collect())
    }

    async fn reveal(&self, settings: &Settings, console: &mut Console<'_>) -> Result<u8, Failure> {
        let chain = self.client.chain();
        let mine = self.mine(console)?;
        let steps = chain.plan_reveals(&self.rules, &mine).await?;
        for sealed in mine {
            let committed = chain
                .committed(
                    &self.rules,
                    sealed.round,
                    sealed.order.account,
                    sealed.commitment(),
                )
                .await?;
            let phase = self.rules.calendar.phase(sealed.round, chain.now().await?);
            match phase {
                Phase::Post | Phase::Dispute | Phase::Final => {
                    if committed != 0 {
                        console.note(&format!(
                            "order {} of round {} was not revealed in time: its deposit is lost",
                            short(&sealed.commitment()),
                            sealed.round
                        ));
                    } else if !settings.global.dry_run {
                        self.sealed.forget(&sealed)?;
                    }
                }
                _ => {}
            }
        }
        // Files stay until the round is past its reveal phase: a fork could undo what is sent now.
        account::execute_each(&self.client, &steps, settings, console).await
    }

    async fn ls(&self, settings: &Settings, console: &mut Console<'_>) -> Result<u8, Failure> {
        let chain = self.client.chain();
        let now = chain.now().await?;
        let mut rows = Vec::new();
        for sealed in self.mine(console)? {
            let commitment = sealed.commitment();
            let account = sealed.order.account;
            let deposit = chain
                .committed(&self.rules, sealed.round, account, commitment)
                .await?;
            rows.push(SealedRow {
                round: sealed.round,
                phase: phase_name(self.rules.calendar.phase(sealed.round, now)),
                commitment,
                deposit: deposit.into(),
                order: sealed.order,
            });
        }
        let list = SealedList {
            token: self.token.clone(),
            orders: rows,
        };
        console.result(settings.format(), &list)?;
        Ok(0)
    }

    async fn show(
        &self,
        round: u64,
        settings: &Settings,
        console: &mut Console<'_>,
    ) -> Result<u8, Failure> {
        let round = self.client.chain().round(&self.rules, round).await?;
        console.result(settings.format(), &RoundView::of(&round, &self.token))?;
        Ok(0)
    }

    async fn holdings(
        &self,
        settings: &Settings,
        console: &mut Console<'_>,
    ) -> Result<u8, Failure> {
        let chain = self.client.chain();
        let account = self.client.account()?;
        let interval = self
            .rules
            .calendar
            .round_at(chain.now().await?)
            .unwrap_or(0);
        // What the running round trades: the season of the next interval.
        let season = self.rules.calendar.term(interval).season;
        let held = HoldingsView {
            account,
            token: self.token.clone(),
            free: chain.auction_balance(&self.rules, account).await?,
            season,
            units: chain.auction_holdings(&self.rules, season, account).await?,
        };
        console.result(settings.format(), &held)?;
        Ok(0)
    }

    /// Submits a job that is free, and draws it.
    async fn draw(
        &self,
        args: &ReserveDraw,
        settings: &Settings,
        console: &mut Console<'_>,
    ) -> Result<u8, Failure> {
        let sold = Sold::from(args.sold);
        let pool = self.rules.pools.get(usize::from(sold.pool));
        let pool = pool.ok_or_else(|| Failure::usage(format!("there is no pool {}", sold.pool)))?;
        let file = JobFile::from_source(&args.job)?;
        let terms = &file.terms;
        let priced = [
            ("--max-price", terms.max_price.is_some()),
            ("--tip", terms.tip.is_some()),
            ("--audit-rate", terms.audit_rate.is_some()),
            ("--audit-fee", terms.audit_fee.is_some()),
            ("--collateral", terms.collateral.is_some()),
        ];
        if let Some((flag, _)) = priced.iter().find(|(_, is_given)| *is_given) {
            return Err(Failure::usage(format!(
                "a drawn job is free and locks nothing: leave {flag} out"
            )));
        }
        let client = &self.client;
        let node = client.check().await?;
        let job = build(&file, node.peer_key, client, settings).await?;
        let terms = file.terms.terms(&self.token)?;
        let terms = self.rules.draw_terms(pool, job.spec(), terms);
        let bid = client.bid(&job, &terms, Some(self.token.address)).await?;
        let chain = client.chain();
        let step = chain.plan_draw(&self.rules, sold, &bid, client.sign_bid(&bid)?, job.spec());
        if settings.global.dry_run {
            return self.send(&[step], settings, console).await;
        }
        settings.confirm(&format!("{}?", step.what), console)?;
        // The provider fetches the program from the node as soon as it sees the draw.
        let id = client.submit(&job, &bid, |_| {}).await?;
        if let Err(error) = chain.execute(&step).await {
            let failure = Failure::from(error);
            return Err(match failure.code == codes::CHAIN_REVERTED.id {
                true => failure.with_help(
                    "The pool's slots have to fit what the job reserves, and its deadline has to lie in the \
                     season: see `outcry reserve pools`, --memory, --limit-cycles, --queue-timeout and \
                     --execution-timeout. Units have to be bound first: `outcry reserve bind`.",
                ),
                false => failure,
            });
        }
        let draw = sold.draw(id);
        console.result(settings.format(), &Drew { id, draw })?;
        Ok(0)
    }

    async fn drawn(
        &self,
        id: B256,
        end: bool,
        settings: &Settings,
        console: &mut Console<'_>,
    ) -> Result<u8, Failure> {
        let chain = self.client.chain();
        let draw = chain.draw(&self.rules, id).await?;
        if end {
            return match chain.plan_draw_end(&self.rules, &draw).await? {
                Some(step) => self.send(&[step], settings, console).await,
                None => Err(Failure::new(
                    &codes::DEAL_STATE,
                    "the draw is over, or its provider still has time".to_owned(),
                )),
            };
        }
        let left = draw.deadline.saturating_sub(chain.now().await?);
        let view = DrawView {
            draw: id,
            job: draw.job,
            holder: draw.holder,
            provider: draw.provider,
            sold: draw.sold,
            tasks: draw.bid.tasks,
            answered: draw.answered,
            over: draw.is_over,
            deadline: draw.deadline,
            left,
            value: draw.value,
            token: self.token.clone(),
        };
        console.result(settings.format(), &view)?;
        Ok(0)
    }

    async fn tend(
        &self,
        round: Option<u64>,
        settings: &Settings,
        console: &mut Console<'_>,
    ) -> Result<u8, Failure> {
        let chain = self.client.chain();
        let running = self
            .rules
            .calendar
            .round_at(chain.now().await?)
            .unwrap_or(0);
        let rounds = match round {
            Some(round) => vec![round],
            // The one that runs first: what it needs can be too late, settling can't.
            None => (running.saturating_sub(1)..=running).rev().collect(),
        };
        let mut steps = Vec::new();
        let mut failed = None;
        for number in rounds {
            match self.plan_round(number).await {
                Ok(plan) => steps.extend(plan),
                Err(failure) => {
                    console.note(&format!("round {number}: {}", failure.message));
                    failed.get_or_insert(failure);
                }
            }
        }
        if !settings.global.dry_run && !steps.is_empty() {
            self.confirm(&steps, settings, console)?;
        }
        let sent = account::execute_each(&self.client, &steps, settings, console).await?;
        failed.map_or(Ok(sent), Err)
    }

    /// What can be done for a round now.
    async fn plan_round(&self, number: u64) -> Result<Vec<Step>, Failure> {
        let chain = self.client.chain();
        let round = chain.round(&self.rules, number).await?;
        let mut steps = chain.plan_tending(&self.rules, &self.token, &round).await?;
        steps.extend(chain.plan_payouts(&self.rules, &round).await?);
        Ok(steps)
    }
}

impl From<SoldBy> for Sold {
    fn from(args: SoldBy) -> Self {
        Self {
            round: args.round,
            order: args.order,
            pool: args.pool,
        }
    }
}

fn entry(pool: u16, units: u32, sign: i32) -> Result<Entry, Failure> {
    let quantity = i32::try_from(units)
        .map_err(|_| Failure::usage(format!("{units} units are too many for one lot")))?;
    Ok(Entry {
        pool,
        quantity: sign * quantity,
    })
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Commit => "commit",
        Phase::Reveal => "reveal",
        Phase::Post => "post",
        Phase::Dispute => "dispute",
        Phase::Final => "final",
        _ => "ahead",
    }
}

/// `2 of pool 0, -1 of pool 3 for 12.5`, and so on.
fn wishes(order: &AuctionOrder, token: &TokenInfo) -> String {
    let alternatives = order.alternatives.iter().map(|alternative| {
        let units: Vec<String> = alternative
            .entries
            .iter()
            .map(|entry| format!("{} of pool {}", entry.quantity, entry.pool))
            .collect();
        format!(
            "{} for {}",
            units.join(", "),
            signed(alternative.limit.into(), token)
        )
    });
    alternatives.collect::<Vec<_>>().join(" or ")
}

fn signed(amount: i128, token: &TokenInfo) -> String {
    let size = units::plain(amount.unsigned_abs().into(), token);
    if amount < 0 { format!("-{size}") } else { size }
}

#[derive(Serialize)]
struct Pools {
    auction: Address,
    token: TokenInfo,
    pools: Vec<Pool>,
}

impl Show for Pools {
    fn table(&self) -> String {
        let rows: Vec<_> = self
            .pools
            .iter()
            .enumerate()
            .map(|(number, pool)| {
                [
                    number.to_string(),
                    pool.region.to_string(),
                    format!("{} MiB", pool.memoryMib),
                    format!("{} MiB", pool.diskMib),
                    pool.speed.to_string(),
                    units::show(pool.unitDeposit.into(), &self.token),
                ]
            })
            .collect();
        columns(
            [
                "POOL",
                "REGION",
                "MEMORY",
                "DISK",
                "CYCLES/S",
                "DEPOSIT/UNIT",
            ],
            &rows,
        )
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Running {
    round: u64,
    phase: &'static str,
    /// Unix seconds, as all times here.
    now: u64,
    reveal_from: u64,
    post_from: u64,
    dispute_from: u64,
    final_from: u64,
    /// For which the round decides, and for how many of its intervals.
    season: u64,
    intervals: u16,
    season_end: u64,
}

impl Show for Running {
    fn table(&self) -> String {
        let until = |at: u64| format!("in {} s", at.saturating_sub(self.now));
        pairs(&[
            ("round", self.round.to_string()),
            ("phase", self.phase.to_owned()),
            ("reveal", until(self.reveal_from)),
            ("post", until(self.post_from)),
            ("dispute", until(self.dispute_from)),
            ("final", until(self.final_from)),
            (
                "decides about",
                format!(
                    "{} intervals, to the end of season {} {}",
                    self.intervals,
                    self.season,
                    until(self.season_end)
                ),
            ),
        ])
    }
}

#[derive(Serialize)]
struct SealedRow {
    round: u64,
    phase: &'static str,
    commitment: B256,
    /// 0 once it is revealed.
    deposit: Amount,
    order: AuctionOrder,
}

#[derive(Serialize)]
struct SealedList {
    token: TokenInfo,
    orders: Vec<SealedRow>,
}

impl Show for SealedList {
    fn table(&self) -> String {
        let rows: Vec<_> = self
            .orders
            .iter()
            .map(|row| {
                [
                    row.round.to_string(),
                    row.phase.to_owned(),
                    short(&row.commitment),
                    units::show(row.deposit, &self.token),
                    row.order.lots.to_string(),
                    wishes(&row.order, &self.token),
                ]
            })
            .collect();
        columns(
            [
                "ROUND",
                "PHASE",
                "COMMITMENT",
                "DEPOSIT",
                "LOTS",
                "EACH LOT",
            ],
            &rows,
        )
    }
}

#[derive(Serialize)]
struct OrderRow {
    index: u16,
    order: AuctionOrder,
    /// Lots that the best result serves.
    lots: u32,
    /// Base units that it pays; negative: earns.
    pays: String,
    settled: bool,
}

#[derive(Serialize)]
struct RoundView {
    round: u64,
    phase: &'static str,
    commitments: u16,
    /// The best result that stands.
    result: Option<u32>,
    poster: Option<Address>,
    /// Base units for a unit of each pool.
    prices: Vec<Amount>,
    welfare: String,
    volume: Amount,
    orders: Vec<OrderRow>,
    #[serde(skip)]
    token: TokenInfo,
}

impl RoundView {
    fn of(round: &Round, token: &TokenInfo) -> Self {
        let best = round.best();
        let orders = (0..).zip(&round.orders).map(|(index, one)| {
            let (lots, pays) = best.map_or((0, 0), |best| {
                let fills = best.outcome.fills_of(index);
                let pays = settle::payment(&one.order, fills, &best.outcome.prices);
                (fills.iter().map(|fill| fill.lots).sum(), pays)
            });
            OrderRow {
                index,
                order: one.order.clone(),
                lots,
                pays: pays.to_string(),
                settled: one.is_settled,
            }
        });
        Self {
            round: round.number,
            phase: phase_name(round.phase),
            commitments: round.commitments,
            result: best.map(|best| best.id),
            poster: best.map(|best| best.poster),
            prices: best.map_or(Vec::new(), |best| {
                best.outcome.prices.iter().map(|&p| p.into()).collect()
            }),
            welfare: best.map_or(0, |best| best.outcome.welfare()).to_string(),
            volume: best.map_or(0, |best| best.outcome.volume()).into(),
            orders: orders.collect(),
            token: token.clone(),
        }
    }
}

impl Show for RoundView {
    fn table(&self) -> String {
        let prices: Vec<String> = self
            .prices
            .iter()
            .map(|price| units::plain(*price, &self.token))
            .collect();
        let result = match (self.result, self.poster) {
            (Some(result), Some(poster)) => format!("{result}, posted by {poster}"),
            _ => "none".to_owned(),
        };
        let rows: Vec<_> = self
            .orders
            .iter()
            .map(|row| {
                [
                    row.index.to_string(),
                    short(&row.order.account),
                    format!("{}/{}", row.lots, row.order.lots),
                    wishes(&row.order, &self.token),
                    signed(row.pays.parse().unwrap_or(0), &self.token),
                    if row.settled { "yes" } else { "no" }.to_owned(),
                ]
            })
            .collect();
        format!(
            "{}\n{}",
            pairs(&[
                ("round", self.round.to_string()),
                ("phase", self.phase.to_owned()),
                ("commitments", self.commitments.to_string()),
                ("result", result),
                ("prices", prices.join(", ")),
                ("volume", units::show(self.volume, &self.token)),
            ]),
            columns(
                ["ORDER", "ACCOUNT", "LOTS", "EACH LOT", "PAYS", "SETTLED"],
                &rows
            )
        )
    }
}

#[derive(Serialize)]
struct Drew {
    /// The job's.
    id: B256,
    draw: B256,
}

impl Show for Drew {
    fn table(&self) -> String {
        pairs(&[
            ("job", self.id.to_string()),
            ("draw", self.draw.to_string()),
        ])
    }
}

#[derive(Serialize)]
struct DrawView {
    draw: B256,
    job: B256,
    holder: Address,
    provider: Address,
    #[serde(flatten)]
    sold: Sold,
    tasks: u32,
    answered: u32,
    over: bool,
    /// Unix seconds.
    deadline: u64,
    /// Seconds.
    #[serde(skip)]
    left: u64,
    /// Base units that come back if the provider does not serve it; the penalty is as much.
    value: Amount,
    token: TokenInfo,
}

impl Show for DrawView {
    fn table(&self) -> String {
        let Sold { round, order, pool } = self.sold;
        pairs(&[
            ("draw", self.draw.to_string()),
            ("job", self.job.to_string()),
            ("holder", self.holder.to_string()),
            ("provider", self.provider.to_string()),
            (
                "unit",
                format!("of pool {pool}, order {order} of round {round}"),
            ),
            (
                "answered",
                format!("{} of {} tasks", self.answered, self.tasks),
            ),
            ("over", if self.over { "yes" } else { "no" }.to_owned()),
            ("time left", format!("{} s", self.left)),
            ("worth", units::show(self.value, &self.token)),
        ])
    }
}

#[derive(Serialize)]
struct HoldingsView {
    account: Address,
    token: TokenInfo,
    /// Base units that the account may withdraw.
    free: Amount,
    season: u64,
    /// Of each pool, neither set aside for sale nor bound.
    units: Vec<u64>,
}

impl Show for HoldingsView {
    fn table(&self) -> String {
        let rows: Vec<_> = self
            .units
            .iter()
            .enumerate()
            .map(|(pool, units)| [pool.to_string(), units.to_string()])
            .collect();
        format!(
            "{}\nfree: {}\nseason {}:\n{}",
            self.account,
            units::show(self.free, &self.token),
            self.season,
            columns(["POOL", "UNITS"], &rows)
        )
    }
}
