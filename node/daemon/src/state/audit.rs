//! Audits: what the chain tells of them, and what this node does next about them.
//!
//! A claim of a deal with an audit rate is drawn by the beacon of its period. Whoever has a stake in
//! that brings the beacon on and opens the audit: the providers of such claims first, then those who
//! have a seat, one after another, so that they do not all pay for the same call, and last the gateways
//! of their buyers, whose escrow is locked until then. In an audit each party
//! commits, reveals, objects where it was contradicted, and closes. All of that is computed from the
//! chain's events, from what this node found in its own run, and from the time.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU32, NonZeroU64};

use alloy::primitives::{Address, B256, U256, keccak256};
use outcry_protocol::book::FactKey;
use outcry_protocol::deal::audit_rate;
use outcry_sdk::api::AuditPhase;
use outcry_store::keys::{self, Prefix, Table};
use outcry_store::{Store, StoreError, entries};
use outcry_verifier::audit::{Clocks, DRAWS_OPEN, HASHES_KNOWN, Seed};
use serde::{Deserialize, Serialize};

use super::deal::{DealRecord, Place, StandingClaim};
use super::dispute::GameKey;
use super::provider::Work;
use super::{Activity, Changes, State, gateway, journal, provider};

/// Beacons that stay; beyond, the oldest periods' are forgotten.
const BEACONS_MAX: usize = 1 << 16;
/// `until` of a seat that was not retired.
const FOR_EVER: u32 = u32::MAX;
/// Seconds that each gives those before it to do what one of them must.
const PATIENCE_S: u64 = 4;
/// Turns after which all others send at once.
const TURNS_MAX: u64 = 15;
/// Audits that are prepared at once, those that are due first; interpreters and workers are shared with
/// games and checks.
const EXAMINED_AT_ONCE: usize = 8;

/// What the deployment of the audits fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Periods and deadlines.
    pub clocks: Clocks,
    /// Largest cycle limit of a deal that is audited.
    pub cycle_limit_max: u64,
}

impl Default for Rules {
    /// Nothing is ever drawn.
    fn default() -> Self {
        Self {
            clocks: Clocks {
                beacon_period: NonZeroU32::MIN,
                commit_time: 0,
                inclusion_delay: 0,
                interpreter_speed: NonZeroU64::MIN,
            },
            cycle_limit_max: 0,
        }
    }
}

/// The beacon of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Beacon {
    /// The block named.
    pub number: u64,
    /// Unix seconds at which it was named.
    pub announced_at: u64,
    /// Its hash, and the second at which that was recorded.
    pub recorded: Option<(B256, u64)>,
}

/// A seat among those who audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seat {
    /// Most audits at a time.
    pub capacity: u8,
    /// First period of which claims are drawn for it.
    pub from: u32,
    /// The first one of which they are not any more.
    pub until: u32,
}

impl Seat {
    /// One that was just taken.
    #[must_use]
    pub fn taken(capacity: u8, from: u32) -> Self {
        Self {
            capacity,
            from,
            until: FOR_EVER,
        }
    }

    /// Whether it was given up.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.until != FOR_EVER
    }
}

/// How an audit ended for one of its auditors, as in `contracts/src/types/Audits.sol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Paid: nothing contradicts it.
    Right,
    /// Nothing was decided, or expected any more, or it endorsed a result that fell.
    Excused,
    /// Did not commit, or could not fetch what another could.
    Silent,
    /// Kept what it had committed to for itself.
    Withheld,
    /// Contradicted the provider, and did not win the game about it.
    Wrong,
}

impl Outcome {
    /// By its number in the contract.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [
            Self::Right,
            Self::Excused,
            Self::Silent,
            Self::Withheld,
            Self::Wrong,
        ]
        .get(usize::from(number))
        .copied()
    }
}

/// One thing that happened in an audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Step {
    /// It opened.
    Opened,
    /// A party committed.
    Committed {
        /// Who.
        account: Address,
    },
    /// An auditor showed what it had committed to.
    Revealed {
        /// Who.
        account: Address,
        /// Hash of the state at its point.
        state: B256,
        /// Hash of the state in which the task halts.
        halted: B256,
    },
    /// The provider showed what it had committed to.
    Answered {
        /// Hashes of the states at the auditors' points, in their order.
        answers: Vec<B256>,
    },
    /// It ended for one of its auditors.
    Judged {
        /// Who.
        account: Address,
        /// How.
        outcome: Outcome,
        /// The deal's token.
        token: Address,
        /// Base units of it.
        paid: u128,
        /// Base units of the protocol's token.
        slashed: u128,
    },
    /// It is over.
    Closed {
        /// Whether the provider had answered.
        answered: bool,
        /// Base units of the deal's token that it got for that.
        to_provider: u128,
        /// Base units of the fee that nobody earned.
        to_buyer: u128,
    },
}

/// An auditor and its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Auditor {
    /// Who.
    pub account: Address,
    /// Cycles at which its state is taken.
    pub point: u64,
}

/// An audit as the chain tells it. The first step is always [`Step::Opened`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditRecord {
    /// The claim.
    pub claim_hash: B256,
    /// Its deal.
    pub deal: B256,
    /// Whose claim it is.
    pub provider: Address,
    /// The audited task, as an index in the job.
    pub task: u32,
    /// Its claimed halted state.
    pub leaf: B256,
    /// Base units of the deal's token for all parties together.
    pub fee: u128,
    /// Last second at which a commitment counts.
    pub commit_deadline: u64,
    /// Who audits.
    pub auditors: Vec<Auditor>,
    /// What happened, in the order of the chain.
    pub history: Vec<(Place, Step)>,
}

impl AuditRecord {
    /// An auditor's place among them, and its point.
    #[must_use]
    pub fn auditor(&self, account: Address) -> Option<(usize, u64)> {
        let mut auditors = self.auditors.iter().enumerate();
        auditors.find_map(|(index, auditor)| {
            (auditor.account == account).then_some((index, auditor.point))
        })
    }

    /// Whether an account is a party.
    #[must_use]
    pub fn is_party(&self, account: Address) -> bool {
        account == self.provider || self.auditor(account).is_some()
    }

    /// Whether a party has committed.
    #[must_use]
    pub fn has_committed(&self, party: Address) -> bool {
        let by_it = |(_, step): &(Place, Step)| matches!(step, Step::Committed { account } if *account == party);
        self.history.iter().any(by_it)
    }

    /// State and halted state that an auditor has revealed.
    #[must_use]
    pub fn report(&self, auditor: Address) -> Option<(B256, B256)> {
        self.history.iter().find_map(|(_, step)| match step {
            Step::Revealed {
                account,
                state,
                halted,
            } if *account == auditor => Some((*state, *halted)),
            _ => None,
        })
    }

    /// The provider's states, once it has revealed them.
    #[must_use]
    pub fn answers(&self) -> Option<&[B256]> {
        self.history.iter().find_map(|(_, step)| match step {
            Step::Answered { answers } => Some(answers.as_slice()),
            _ => None,
        })
    }

    /// How it ended for an auditor.
    #[must_use]
    pub fn outcome(&self, auditor: Address) -> Option<Outcome> {
        self.history.iter().find_map(|(_, step)| match step {
            Step::Judged {
                account, outcome, ..
            } if *account == auditor => Some(*outcome),
            _ => None,
        })
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let closed = |(_, step): &(Place, Step)| matches!(step, Step::Closed { .. });
        self.history.iter().any(closed)
    }

    fn count(&self, which: fn(&Step) -> bool) -> usize {
        self.history.iter().filter(|(_, step)| which(step)).count()
    }

    /// Whether all parties have committed.
    fn all_committed(&self) -> bool {
        self.count(|step| matches!(step, Step::Committed { .. })) > self.auditors.len()
    }

    /// Whether all parties have revealed.
    fn all_revealed(&self) -> bool {
        let revealed = |step: &Step| matches!(step, Step::Revealed { .. } | Step::Answered { .. });
        self.count(revealed) > self.auditors.len()
    }

    /// Whether commitments can be revealed in a block after this second.
    fn can_reveal(&self, now: u64, clocks: &Clocks) -> bool {
        (self.all_committed() || now > self.commit_deadline)
            && now < clocks.reveal_deadline(self.commit_deadline)
    }

    /// What an auditor has to play for, as the key of its game says it: 0 for the halted state, or its
    /// point. `None`: nothing contradicts it, or it has not revealed, or could not fetch what to run.
    #[must_use]
    pub fn contradicts(&self, auditor: Address) -> Option<u64> {
        let (index, point) = self.auditor(auditor)?;
        let (state, halted) = self.report(auditor)?;
        if halted.is_zero() {
            return None;
        }
        if halted != self.leaf {
            return Some(0);
        }
        let answer = self.answers()?.get(index)?;
        (state != *answer).then_some(point)
    }

    /// The key of the game that an auditor brings, if it has to.
    #[must_use]
    pub fn objection(&self, auditor: Address) -> Option<GameKey> {
        Some(GameKey {
            claim_hash: self.claim_hash,
            task: self.task,
            challenger: auditor,
            until: self.contradicts(auditor)?,
        })
    }

    /// How far it has come, and until when that lasts at most.
    #[must_use]
    pub fn phase(&self, now: u64, clocks: &Clocks) -> (AuditPhase, u64) {
        let revealing = clocks.reveal_deadline(self.commit_deadline);
        let objecting = clocks.game_deadline(self.commit_deadline);
        if self.is_closed() {
            (AuditPhase::Closed, self.last_at())
        } else if !self.all_committed() && now <= self.commit_deadline {
            (AuditPhase::Committing, self.commit_deadline)
        } else if !self.all_revealed() && now <= revealing {
            (AuditPhase::Revealing, revealing)
        } else if self.over_since(clocks, now).is_none() {
            (AuditPhase::Objecting, objecting)
        } else {
            (AuditPhase::Closing, objecting)
        }
    }

    fn last_at(&self) -> u64 {
        self.history.last().map_or(0, |(place, _)| place.at)
    }

    /// Since when all have had their time, or have agreed.
    fn over_since(&self, clocks: &Clocks, now: u64) -> Option<u64> {
        let deadline = clocks.game_deadline(self.commit_deadline);
        if now > deadline {
            return Some(deadline);
        }
        let mut answers = self.answers().unwrap_or_default().iter();
        let agreed = self.all_revealed()
            && self.auditors.iter().all(|auditor| {
                let claimed = answers.next().map(|answer| (*answer, self.leaf));
                self.report(auditor.account) == claimed
            });
        agreed.then(|| self.last_at())
    }
}

/// What this node's own run gave. Belongs to the points that it was made for: a reorganisation may draw
/// others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditFinding {
    /// The task.
    pub task: u32,
    /// Cycles.
    pub points: Vec<u64>,
    /// The states there.
    pub states: Vec<B256>,
    /// The state in which the task halts; only an auditor says it. One that could not fetch program or
    /// input says that all of them are zero.
    pub halted: Option<B256>,
}

/// How own audits ended, over all times.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Audits by how they ended.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Base units paid, by token.
    pub paid: BTreeMap<Address, U256>,
    /// Base units of the protocol's token.
    pub slashed: U256,
}

impl Tally {
    /// Audits that ended like this.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or_default()
    }
}

/// One event of the audits, in the words of the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditEvent {
    /// A beacon's block was named.
    Announced {
        /// The period.
        period: u64,
        /// The block.
        number: u64,
    },
    /// Its hash was recorded.
    Recorded {
        /// The period.
        period: u64,
        /// The hash.
        hash: B256,
    },
    /// A seat was taken.
    Joined {
        /// By whom.
        account: Address,
        /// The seat.
        seat: Seat,
    },
    /// A seat was given up.
    Retired {
        /// Whose.
        account: Address,
        /// First period of which nothing is drawn for it.
        until: u32,
    },
    /// A seat is gone.
    Vacated {
        /// Whose.
        account: Address,
    },
    /// An audit opened.
    Opened(Box<AuditRecord>),
    /// It went on.
    WentOn {
        /// The claim.
        claim_hash: B256,
        /// What happened.
        step: Step,
    },
}

/// Whether a claim is audited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw {
    /// Nothing draws it.
    Passed,
    /// The beacon of this period will tell.
    Pending {
        /// The period.
        period: u64,
    },
    /// It is.
    Drawn {
        /// What its draws follow from.
        seed: Seed,
        /// Unix seconds at which the beacon was recorded.
        since: u64,
    },
}

/// All that a node knows about audits.
#[derive(Debug, Clone, Default)]
pub struct Audits {
    /// What does not change.
    pub rules: Rules,
    /// Audits at a time that this node wants to be drawn for; `None` if seats are none of its business.
    pub capacity: Option<u8>,
    /// By claim.
    pub records: BTreeMap<B256, AuditRecord>,
    /// Who audits.
    pub seats: BTreeMap<Address, Seat>,
    /// What became of the own audits.
    pub tally: Tally,
    /// What own runs gave, by claim.
    pub findings: BTreeMap<B256, AuditFinding>,
    beacons: BTreeMap<u64, Beacon>,
    /// Claimed deals with an audit rate that were not audited yet.
    drawable: BTreeSet<B256>,
    /// Claims whose audits concern this node, and which are not closed.
    open: BTreeSet<B256>,
}

impl Audits {
    /// Whether and by what a claim is drawn.
    #[must_use]
    pub fn draw(&self, deal: &DealRecord, claim: &StandingClaim<'_>) -> Draw {
        let rate = audit_rate(&deal.terms);
        if rate == 0 || deal.terms.cycleLimit > self.rules.cycle_limit_max {
            return Draw::Passed;
        }
        let period = self.rules.clocks.period_of(claim.window_from);
        let recorded = self.beacons.get(&period).and_then(|beacon| beacon.recorded);
        match recorded {
            None => Draw::Pending { period },
            Some((hash, since)) => {
                let seed = Seed::of(hash, claim.hash);
                if seed.is_drawn(rate) {
                    Draw::Drawn { seed, since }
                } else {
                    Draw::Passed
                }
            }
        }
    }

    /// Since when a beacon waits for somebody: to name its block, or to record its hash.
    fn beat_due_since(&self, period: u64, head: super::chain::Block) -> Option<u64> {
        let begins = self.rules.clocks.period_begins(period);
        if head.at < begins {
            return None;
        }
        match self.beacons.get(&period) {
            None => Some(begins),
            Some(beacon) if beacon.recorded.is_some() => None,
            // Lost: another block is named.
            Some(beacon) if head.number > beacon.number + HASHES_KNOWN => Some(beacon.announced_at),
            Some(beacon) => (head.number > beacon.number).then_some(beacon.announced_at),
        }
    }

    /// Looks at a deal after each change of it.
    pub(super) fn note(&mut self, deal: &DealRecord) {
        let drawable = audit_rate(&deal.terms) != 0
            && deal.stage().standing().is_some()
            && !deal.was_audited();
        if drawable {
            self.drawable.insert(deal.id);
        } else {
            self.drawable.remove(&deal.id);
        }
    }

    /// Audits that are not over and of which this node is a party, or serves the buyer.
    pub fn open(&self) -> impl Iterator<Item = &AuditRecord> {
        self.open.iter().filter_map(|claim| self.records.get(claim))
    }

    /// Audits that an account is drawn for and that are not over.
    #[must_use]
    pub fn open_of(&self, account: Address) -> usize {
        let audits = |audit: &&AuditRecord| audit.auditor(account).is_some();
        self.open().filter(audits).count()
    }
}

/// How many of these come before an account: their order is another one each time.
fn turn(me: Address, others: impl IntoIterator<Item = Address>, salt: B256) -> u64 {
    let place = |account: Address| {
        let (account, _) = account.0.split_at(size_of::<u64>());
        let salted = account.iter().zip(salt.0).map(|(byte, salt)| byte ^ salt);
        salted.fold(0_u64, |number, byte| number << 8 | u64::from(byte))
    };
    let mine = place(me);
    let before = others.into_iter().filter(|other| place(*other) < mine);
    before.take(TURNS_MAX as usize).count() as u64
}

/// Whether it is the turn of who lets so many others go first.
fn is_turn(now: u64, since: u64, turn: u64) -> bool {
    now >= since.saturating_add(turn.min(TURNS_MAX) * PATIENCE_S)
}

impl State {
    /// Whether the buyer of a deal has submitted its job here, and counts on this node where others are
    /// late.
    fn serves_buyer(&self, deal: &DealRecord) -> bool {
        self.setup.send_timeouts && self.jobs.contains_key(&deal.terms.bidHash)
    }

    fn concerns(&self, audit: &AuditRecord) -> bool {
        let is_party = self.setup.account.is_some_and(|me| audit.is_party(me));
        let deal = self.deals.get(&audit.deal);
        is_party || deal.is_some_and(|deal| self.serves_buyer(deal))
    }

    /// Whether an audit of a deal is open or can still be drawn, so that nothing finalises it.
    #[must_use]
    pub fn is_held(&self, deal: &DealRecord) -> bool {
        deal.is_audited()
            || !deal.was_audited()
                && deal
                    .claim()
                    .is_some_and(|claim| self.audits.draw(deal, &claim) != Draw::Passed)
    }

    /// [`provider::next`] of an own deal.
    pub(super) fn provider_step(&self, deal: &DealRecord, work: &Work) -> Option<provider::Step> {
        let until = deal.terms.openedAt + self.windows.admission_s;
        if deal.state() == outcry_sdk::api::DealState::Open
            && self.is_stray(deal)
            && self.head.at < until
        {
            return Some(provider::Step::CancelAdmission);
        }
        let held = self.is_held(deal) || self.awaits_answer(deal);
        let head = (self.head.number, self.head.at);
        provider::next(deal, work, &self.windows, head, held)
    }

    /// [`gateway::next`] of a deal of a job that was submitted here.
    pub(super) fn gateway_step(
        &self,
        deal: &DealRecord,
        watch: &gateway::Watch,
    ) -> Option<gateway::Step> {
        let held = self.is_held(deal);
        let timeouts = self.setup.send_timeouts;
        gateway::next(deal, watch, &self.windows, self.head.at, timeouts, held)
    }

    /// What this node wants to happen about audits.
    pub(super) fn wanted_of_audits(&self) -> Vec<Activity> {
        let Some(me) = self.setup.account else {
            return Vec::new();
        };
        let mut wanted: Vec<Activity> = self.wanted_of_seat(me).into_iter().collect();
        self.want_draws(me, &mut wanted);
        let mut open: Vec<&AuditRecord> = self.audits.open().collect();
        open.sort_by_key(|audit| (audit.commit_deadline, audit.claim_hash));
        let mut examined = 0;
        for audit in open {
            let next = self.next_of_audit(audit, me);
            if matches!(next, Some(Activity::Examine(_))) {
                examined += 1;
                if examined > EXAMINED_AT_ONCE {
                    continue;
                }
            }
            wanted.extend(next);
            wanted.extend(
                self.closes(audit, me)
                    .then_some(Activity::CloseAudit(audit.claim_hash)),
            );
        }
        wanted
    }

    /// A verifier takes a seat of its capacity, and gives up one of another.
    fn wanted_of_seat(&self, me: Address) -> Option<Activity> {
        let capacity = self.audits.capacity?;
        let period = self.audits.rules.clocks.period_of(self.head.at) - 1;
        match self.audits.seats.get(&me) {
            None => (capacity > 0).then_some(Activity::Join),
            Some(seat) if !seat.is_retired() => {
                (seat.capacity != capacity).then_some(Activity::Retire)
            }
            Some(seat) => {
                let is_over = period > u64::from(seat.until) + DRAWS_OPEN;
                (capacity > 0 && is_over && self.audits.open_of(me) == 0).then_some(Activity::Join)
            }
        }
    }

    /// Beacons that claims wait for, and audits that they have drawn.
    fn want_draws(&self, me: Address, wanted: &mut Vec<Activity>) {
        let mut waiting: BTreeMap<u64, (BTreeSet<Address>, bool)> = BTreeMap::new();
        for deal in self
            .audits
            .drawable
            .iter()
            .filter_map(|id| self.deals.get(id))
        {
            let provider = deal.terms.provider;
            let Some(claim) = deal.claim().filter(|claim| !self.claim_fell(claim.hash)) else {
                continue;
            };
            match self.audits.draw(deal, &claim) {
                Draw::Passed => {}
                Draw::Pending { period } => {
                    let (providers, serves_buyer) = waiting.entry(period).or_default();
                    providers.insert(provider);
                    *serves_buyer |= self.serves_buyer(deal);
                }
                Draw::Drawn { since, .. } => {
                    let providers = BTreeSet::from([provider]);
                    let serves_buyer = self.serves_buyer(deal);
                    let turn = self.turn_after(me, &providers, serves_buyer, claim.hash);
                    if turn.is_some_and(|turn| is_turn(self.head.at, since, turn)) {
                        wanted.push(Activity::OpenAudit(deal.id));
                    }
                }
            }
        }
        for (period, (providers, serves_buyer)) in waiting {
            let Some(since) = self.audits.beat_due_since(period, self.head) else {
                continue;
            };
            let salt = keccak256(period.to_be_bytes());
            let turn = self.turn_after(me, &providers, serves_buyer, salt);
            if turn.is_some_and(|turn| is_turn(self.head.at, since, turn)) {
                wanted.push(Activity::Beat(period));
            }
        }
    }

    /// This node's turn where providers come first, those who have a seat after them, and who serves a
    /// buyer last; `None` for one that has no stake in it.
    fn turn_after(
        &self,
        me: Address,
        providers: &BTreeSet<Address>,
        serves_buyer: bool,
        salt: B256,
    ) -> Option<u64> {
        if providers.contains(&me) {
            return Some(turn(me, providers.iter().copied(), salt));
        }
        if self.audits.capacity.is_some() && self.audits.seats.contains_key(&me) {
            let seats = self.audits.seats.keys().copied();
            let seats = seats.filter(|account| !providers.contains(account));
            return Some(providers.len() as u64 + turn(me, seats, salt));
        }
        serves_buyer.then_some(TURNS_MAX)
    }

    /// What this node found for an audit, if it was for these points.
    #[must_use]
    pub fn audit_finding(&self, audit: &AuditRecord, me: Address) -> Option<&AuditFinding> {
        let finding = self.audits.findings.get(&audit.claim_hash)?;
        let is_current = finding.task == audit.task && finding.points == points_of(audit, me);
        is_current.then_some(finding)
    }

    /// The next thing that this node does in an audit, but for closing it.
    fn next_of_audit(&self, audit: &AuditRecord, me: Address) -> Option<Activity> {
        if !audit.is_party(me) {
            return None;
        }
        let clocks = &self.audits.rules.clocks;
        let (now, claim) = (self.head.at, audit.claim_hash);
        let has_found = self.audit_finding(audit, me).is_some();
        let with_finding = |then: Activity| {
            if has_found {
                then
            } else {
                Activity::Examine(claim)
            }
        };
        if !audit.has_committed(me) {
            let in_time = now < audit.commit_deadline;
            return in_time.then(|| with_finding(Activity::Commit(claim)));
        }
        let has_revealed = if me == audit.provider {
            audit.answers().is_some()
        } else {
            audit.report(me).is_some()
        };
        if !has_revealed {
            let can_reveal = audit.can_reveal(now, clocks);
            return can_reveal.then(|| with_finding(Activity::Reveal(claim)));
        }
        let key = self.objectionable(audit, me)?;
        // Who is contradicted by a claim that fell has nothing to prove any more.
        (now < clocks.game_deadline(audit.commit_deadline) && !self.claim_fell(key.claim_hash))
            .then_some(Activity::Object(claim))
    }

    /// The game that this node has to bring as an auditor and has not.
    #[must_use]
    pub fn objectionable(&self, audit: &AuditRecord, me: Address) -> Option<GameKey> {
        let key = audit.objection(me)?;
        let deal = self.deals.get(&audit.deal)?;
        (deal.is_audited() && self.disputes.get(&key.id()).is_none()).then_some(key)
    }

    /// Whether this node closes an audit now: it is over, nothing refuses that, and those before have had
    /// their time.
    fn closes(&self, audit: &AuditRecord, me: Address) -> bool {
        let now = self.head.at;
        let Some(since) = audit.over_since(&self.audits.rules.clocks, now) else {
            return false;
        };
        let fell = self.claim_fell(audit.claim_hash);
        let runs = |key: GameKey| {
            let game = self.disputes.get(&key.id());
            game.is_some_and(|game| game.is_running())
        };
        let mut objections = audit
            .auditors
            .iter()
            .filter_map(|auditor| audit.objection(auditor.account));
        let deal = self.deals.get(&audit.deal);
        let held = deal.filter(|deal| deal.is_audited());
        if held.is_some() && !fell && objections.any(runs) {
            return false;
        }
        // The game's verdict comes first: it may slash more.
        let challenged = held
            .and_then(|deal| deal.stage().standing())
            .is_some_and(|standing| standing.challenged);
        if challenged && (fell || audit.answers().is_none()) {
            return false;
        }
        let turn = match audit.auditor(me) {
            Some((index, _)) => index as u64,
            None if me == audit.provider => audit.auditors.len() as u64,
            None => TURNS_MAX,
        };
        is_turn(now, since, turn)
    }

    /// Deals of own audits that are not over: what they name is needed until then.
    pub(super) fn deals_audited(&self) -> impl Iterator<Item = B256> {
        self.audits.open().map(|audit| audit.deal)
    }

    /// Balances that an event of an audit touches.
    pub(super) fn touched_by_audit(&self, event: &AuditEvent) -> Vec<FactKey> {
        match event {
            AuditEvent::WentOn {
                step: Step::Judged { account, token, .. },
                ..
            } => vec![FactKey::Balance(*account, *token)],
            AuditEvent::WentOn {
                claim_hash,
                step: Step::Closed { .. },
            } => {
                let audit = self.audits.records.get(claim_hash);
                let deal = audit.and_then(|audit| self.deals.get(&audit.deal));
                let parties = deal.map(|deal| {
                    let parties = [deal.terms.provider, deal.terms.buyer];
                    parties.map(|party| FactKey::Balance(party, deal.terms.token))
                });
                parties.into_iter().flatten().collect()
            }
            _ => Vec::new(),
        }
    }

    /// One event of the audits.
    pub(super) fn audit_event(&mut self, place: Place, event: AuditEvent, changes: &mut Changes) {
        let batch = &mut changes.chain;
        match event {
            AuditEvent::Announced { period, number } => {
                let beacon = Beacon {
                    number,
                    announced_at: place.at,
                    recorded: None,
                };
                journal::put(batch, keys::beacon(period), &beacon);
                self.audits.beacons.insert(period, beacon);
                if self.audits.beacons.len() > BEACONS_MAX
                    && let Some((oldest, _)) = self.audits.beacons.pop_first()
                {
                    batch.delete(keys::beacon(oldest));
                }
            }
            AuditEvent::Recorded { period, hash } => {
                if let Some(beacon) = self.audits.beacons.get_mut(&period) {
                    beacon.recorded = Some((hash, place.at));
                    journal::put(batch, keys::beacon(period), beacon);
                }
            }
            AuditEvent::Joined { account, seat } => {
                journal::put(batch, keys::audit_seat(&account.into_array()), &seat);
                self.audits.seats.insert(account, seat);
            }
            AuditEvent::Retired { account, until } => {
                if let Some(seat) = self.audits.seats.get_mut(&account) {
                    seat.until = until;
                    journal::put(batch, keys::audit_seat(&account.into_array()), seat);
                }
            }
            AuditEvent::Vacated { account } => {
                batch.delete(keys::audit_seat(&account.into_array()));
                self.audits.seats.remove(&account);
            }
            AuditEvent::Opened(audit) => {
                if self.setup.account.is_some_and(|me| audit.is_party(me)) {
                    tracing::info!(
                        claim = %audit.claim_hash, deal = %audit.deal, task = audit.task,
                        auditors = audit.auditors.len(), commit_until = audit.commit_deadline,
                        "an audit has opened"
                    );
                }
                if self.concerns(&audit) {
                    self.audits.open.insert(audit.claim_hash);
                }
                journal::put(batch, keys::audit(&audit.claim_hash.0), &audit);
                self.audits.records.insert(audit.claim_hash, *audit);
            }
            AuditEvent::WentOn { claim_hash, step } => {
                self.audit_went_on(claim_hash, place, step, changes);
            }
        }
    }

    fn audit_went_on(&mut self, claim: B256, place: Place, step: Step, changes: &mut Changes) {
        // An audit that nobody was there for closes when it opens; its deal tells the rest.
        let Some(audit) = self.audits.records.get_mut(&claim) else {
            return;
        };
        match &step {
            Step::Judged {
                account,
                outcome,
                token,
                paid,
                slashed,
            } if Some(*account) == self.setup.account => {
                tracing::info!(%claim, ?outcome, paid, slashed, "an audit has ended for this node");
                let tally = &mut self.audits.tally;
                *tally.outcomes.entry(*outcome).or_default() += 1;
                tally.slashed = tally.slashed.saturating_add(U256::from(*slashed));
                if *paid > 0 {
                    let sum = tally.paid.entry(*token).or_default();
                    *sum = sum.saturating_add(U256::from(*paid));
                }
                journal::put(&mut changes.chain, tally_key(), tally);
            }
            Step::Closed { .. } => {
                self.audits.open.remove(&claim);
            }
            _ => {}
        }
        audit.history.push((place, step));
        journal::put(&mut changes.chain, keys::audit(&claim.0), audit);
    }

    /// Notes what an own run gave.
    pub(super) fn audit_examined(
        &mut self,
        claim: B256,
        finding: AuditFinding,
        changes: &mut Changes,
    ) {
        journal::put(&mut changes.local, keys::audit_finding(&claim.0), &finding);
        self.audits.findings.insert(claim, finding);
    }

    /// Forgets what hangs on a deal that is forgotten.
    pub(super) fn forget_audit(&mut self, deal: &DealRecord, changes: &mut Changes) {
        self.audits.drawable.remove(&deal.id);
        let Some(claim) = deal.claim().map(|claim| claim.hash) else {
            return;
        };
        if self.audits.records.remove(&claim).is_some() {
            changes.local.delete(keys::audit(&claim.0));
        }
        if self.audits.findings.remove(&claim).is_some() {
            changes.local.delete(keys::audit_finding(&claim.0));
        }
        self.audits.open.remove(&claim);
    }

    /// Reads everything about audits back, after the deals and the jobs.
    pub(super) fn load_audits(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let mut audits = Audits {
            rules: self.audits.rules,
            capacity: self.audits.capacity,
            ..Audits::default()
        };
        for entry in entries(store, &Prefix::table(Table::Audit)) {
            let (key, value) = entry?;
            let audit: AuditRecord = journal::get(&key, &value)?;
            if self.concerns(&audit) && !audit.is_closed() {
                audits.open.insert(audit.claim_hash);
            }
            audits.records.insert(audit.claim_hash, audit);
        }
        for entry in entries(store, &Prefix::table(Table::Beacon)) {
            let (key, value) = entry?;
            let period = fixed(&key, Table::Beacon).map(u64::from_be_bytes)?;
            audits.beacons.insert(period, journal::get(&key, &value)?);
        }
        for entry in entries(store, &Prefix::table(Table::AuditSeat)) {
            let (key, value) = entry?;
            let account = fixed(&key, Table::AuditSeat).map(Address::new)?;
            audits.seats.insert(account, journal::get(&key, &value)?);
        }
        for entry in entries(store, &Prefix::table(Table::AuditFinding)) {
            let (key, value) = entry?;
            let claim = fixed(&key, Table::AuditFinding).map(B256::new)?;
            audits.findings.insert(claim, journal::get(&key, &value)?);
        }
        if let Some(value) = store.get(&tally_key())? {
            audits.tally = journal::get(&tally_key(), &value)?;
        }
        for deal in self.deals.values() {
            audits.note(deal);
        }
        self.audits = audits;
        Ok(())
    }
}

/// Points at which a party computes states: an auditor at its own, the provider at all.
#[must_use]
pub fn points_of(audit: &AuditRecord, party: Address) -> Vec<u64> {
    match audit.auditor(party) {
        Some((_, point)) => vec![point],
        None => audit.auditors.iter().map(|auditor| auditor.point).collect(),
    }
}

fn tally_key() -> outcry_store::Key {
    keys::singleton("audits")
}

/// The only field of a key, of so many bytes.
fn fixed<const N: usize>(key: &outcry_store::Key, table: Table) -> Result<[u8; N], StoreError> {
    key.after(&Prefix::table(table))
        .and_then(|field| field.try_into().ok())
        .ok_or_else(|| StoreError::Damaged(format!("the key {key} has another length")))
}
