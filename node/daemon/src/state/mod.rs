//! The pure core of a node: facts in, state and wishes out.
//!
//! The shell gathers facts (blocks, orders, results, signatures), hands each to [`State::apply`],
//! writes what comes back to the store, and then starts what [`State::wanted`] names and what does
//! not run yet. Nothing here reads a clock, a socket or a disk. Because `wanted` is computed from
//! the whole state and not from what happened last, a killed node continues by reading its store.
//!
//! | file | holds |
//! | --- | --- |
//! | [`chain`] | what the market's events mean |
//! | [`deal`] | a deal's terms and history |
//! | [`absence`] | providers that are matched but do not show up |
//! | [`capacity`] | matches of an own offer, reservations, admission control |
//! | [`provider`], [`gateway`], [`verifier`] | each role's next step about a deal |
//! | [`dispute`] | games about claims, and what a party does next |
//! | [`audit`] | audits of claims: who brings them on, and what a party does next |
//! | [`draw`] | jobs drawn on reserved capacity |
//! | [`round`] | rounds of the auction that this node tends |
//! | [`prices`] | what settled deals paid |
//! | [`epochs`] | digests by which nodes are compared |
//! | [`journal`] | how state is written to the store and read back |

pub mod absence;
pub mod audit;
pub mod capacity;
pub mod chain;
pub mod deal;
pub mod dispute;
pub mod draw;
pub mod epochs;
#[cfg(test)]
pub(crate) mod example;
pub mod gateway;
pub mod journal;
pub mod prices;
pub mod provider;
pub mod round;
pub mod verifier;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, Bytes};
use outcry_protocol::auction::Phase;
use outcry_protocol::book::{
    Book, Effect, Event as BookEvent, Fact as BookFact, FactKey, facts_of_bid, facts_of_offer,
};
use outcry_protocol::history::History;
use outcry_protocol::matching::{self, Epoch, Match};
use outcry_protocol::types::{Bid, Deal, JobSpec};
use outcry_protocol::wire::{Message, SignedBid, SignedOffer};
use outcry_sdk::api::{DealState, JobEventKind, JobState};
use outcry_store::Batch;

use absence::Absences;
use audit::{AuditFinding, Audits};
use capacity::{Capacity, Reservation};
use chain::{Block, Event, Observed};
use deal::DealRecord;
use dispute::Games;
use draw::Draws;
use epochs::Epochs;
use gateway::{Acceptance, JobRecord, Report};
use provider::{TaskResult, Work};
use round::Rounds;
use verifier::{Checked, Verifications};

/// Deals that stay; beyond, the oldest that are over are forgotten before their time.
const DEALS_MAX: usize = 40_000;

/// Clocks that the market's deployment fixed, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// From the opening: either side may cancel.
    pub admission_s: u64,
    /// From the claim: it may be challenged.
    pub challenge_s: u64,
}

/// What does not change while a node runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// The chain account, if the node has one.
    pub account: Option<Address>,
    /// What the node offers, if it is a provider.
    pub capacity: Option<Capacity>,
    /// Whether it serves buyers.
    pub is_gateway: bool,
    /// Whether a gateway sends timeouts.
    pub send_timeouts: bool,
    /// Share of claims that a verifier checks, in basis points; 0 for a node that is none.
    pub sample_bps: u16,
    /// What makes the sample unpredictable.
    pub sample_secret: B256,
    /// Price below which a claim is not checked, base units.
    pub price_min: u128,
    /// Claims that wait to be checked; beyond, those whose window ends last are passed over.
    pub checks_max: usize,
    /// Games that a verifier starts and that run at once; 0 for a node that only reports.
    pub games_max: usize,
}

/// Everything that a node knows.
#[derive(Debug, Clone)]
pub struct State {
    /// What does not change.
    pub setup: Setup,
    /// The market's clocks.
    pub windows: Windows,
    /// The last block that was applied.
    pub head: Block,
    /// Whether that was the newest one: before, nothing is matched or sent.
    pub is_synced: bool,
    /// Live orders.
    pub book: Book,
    /// Deals by id.
    pub deals: BTreeMap<B256, DealRecord>,
    deals_of_bid: BTreeMap<B256, Vec<B256>>,
    /// Jobs by the hash of their bid, from the chain.
    pub posted: BTreeMap<B256, JobSpec>,
    /// Jobs submitted here, by the hash of their bid.
    pub jobs: BTreeMap<B256, JobRecord>,
    /// What the last epoch matched: offers and tasks by bid.
    pub matched: BTreeMap<B256, Vec<(B256, u32)>>,
    /// Everything matched since the last block.
    epoch: Vec<Match>,
    /// Bids that came since the last block and were not looked at yet.
    arrived: BTreeSet<B256>,
    /// Bids that came before the last block and were matched before it: offers by bid. Their
    /// openings may still be on their way.
    promised: BTreeMap<B256, BTreeSet<B256>>,
    /// Own deals that are not over: what the store holds about them.
    pub works: BTreeMap<B256, Work>,
    /// Own matches on their way to the chain.
    pub reservations: BTreeMap<B256, Reservation>,
    /// The newest own offer and its hash. Earlier ones may live in the book as well.
    pub offer: Option<(B256, SignedOffer)>,
    /// No new deals are wanted.
    pub is_draining: bool,
    /// What was re-executed.
    pub verifications: Verifications,
    /// Games about claims, everybody's, by id.
    pub disputes: Games,
    /// Audits, the beacons that draw them, and who holds them.
    pub audits: Audits,
    /// Jobs drawn on this node's reserved capacity.
    pub draws: Draws,
    /// Rounds of the auction.
    pub rounds: Rounds,
    /// What settled deals paid.
    pub prices: History,
    /// Digests of the last epochs.
    pub epochs: Epochs,
    /// Games in which this node has no move to make, with the transaction of the move before: its
    /// machine says something else than the game.
    without_move: BTreeSet<(B256, B256)>,
    absences: Absences,
    /// Keys of providers whose offers this node never saw, by offer, read from the opening.
    peer_keys: BTreeMap<B256, B256>,
    /// Facts that the book asked for and nobody has read yet, or not since the chain touched them;
    /// tried again with every block.
    unread: BTreeSet<FactKey>,
}

/// What the shell found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The chain grew.
    Blocks {
        /// The newest block of the update.
        last: Block,
        /// Whether it is the chain's head.
        is_head: bool,
        /// The market's events in the update.
        events: Vec<Event>,
        /// The touched facts, read at that block.
        facts: Vec<BookFact>,
    },
    /// An order that passed `order::check` and whose signature is valid: of this node or its users.
    Order(Message),
    /// The same from a stranger, after the book has learned its [`State::asks_of`]. What the chain
    /// does not back stays out, so that it costs money to fill books.
    Heard(Message),
    /// Facts that the book asked for, as of a block.
    Learned {
        /// Number of the block.
        block: u64,
        /// What holds.
        facts: Vec<BookFact>,
    },
    /// It is time to match the bids that came since the last block.
    Arrivals,
    /// A buyer submitted a bid here. It is an [`Fact::Order`] as well.
    Submitted(SignedBid),
    /// The node signed an offer of its own. It is an [`Fact::Order`] as well.
    Offered(SignedOffer),
    /// The node signed an offer for a draw, for nobody else to see.
    DrawOffered {
        /// The draw.
        draw: B256,
        /// The offer.
        offer: SignedOffer,
    },
    /// What could be done for a round of the auction was done.
    Tended {
        /// The round.
        round: u64,
        /// Its phase then.
        phase: Phase,
        /// What [`State::round_mark`] said of it before.
        mark: u64,
    },
    /// An opening is in a block.
    OpenMined {
        /// The reservation.
        reservation: B256,
        /// The block's number.
        block: u64,
    },
    /// An opening will not happen.
    OpenRefused {
        /// The reservation.
        reservation: B256,
        /// What the contract or the sender says.
        reason: String,
    },
    /// The job of an own deal can't be run as signed.
    JobRefused {
        /// The deal.
        deal: B256,
        /// Why.
        refusal: provider::Refusal,
    },
    /// A task of an own deal has a result.
    TaskDone {
        /// The deal.
        deal: B256,
        /// The result.
        result: TaskResult,
    },
    /// A buyer's signature of `Accept` for an own deal came in and is valid.
    AcceptReceived {
        /// The deal.
        deal: B256,
        /// The claim that it is about.
        claim_hash: B256,
        /// The signature.
        signature: Bytes,
    },
    /// A buyer's signature of `Receipt` for an output of an own deal came in and is valid.
    ReceiptReceived {
        /// The deal.
        deal: B256,
        /// The task in the job.
        task: u32,
        /// The signature.
        signature: Bytes,
    },
    /// A buyer handed its signature of `Accept` to this gateway; it is valid.
    AcceptSubmitted {
        /// The deal.
        deal: B256,
        /// The claim that it is about.
        claim_hash: B256,
        /// The signature.
        signature: Bytes,
    },
    /// The provider has the buyer's acceptance.
    AcceptDelivered {
        /// The deal.
        deal: B256,
    },
    /// A provider said how far it is.
    Reported {
        /// The deal.
        deal: B256,
        /// How far.
        report: Report,
    },
    /// The key of a provider, out of the transaction that opened its deal.
    PeerKnown {
        /// The offer.
        offer: B256,
        /// The key that it names.
        peer_key: B256,
    },
    /// Results came from the provider and lead to the claim.
    ResultsFetched {
        /// The deal.
        deal: B256,
        /// One per task, in order.
        results: Vec<TaskResult>,
    },
    /// A claim was re-executed.
    ClaimChecked {
        /// The deal.
        deal: B256,
        /// The claim that it had.
        claim_hash: B256,
        /// One finding per task.
        findings: Vec<verifier::Finding>,
    },
    /// The task of an audit was run for it.
    AuditExamined {
        /// The claim.
        claim: B256,
        /// What came out.
        finding: AuditFinding,
    },
    /// What a claim's re-execution needs could not be fetched.
    Unfetched {
        /// The deal.
        deal: B256,
    },
    /// The own machine has no move in a game.
    NoMove {
        /// The game.
        game: B256,
        /// Transaction of the last move.
        after: B256,
    },
    /// What hangs on these is deleted: they are forgotten.
    Pruned(Prunable),
    /// The operator wants no new deals, or wants them again.
    Drain(bool),
}

/// What is long over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prunable {
    /// Deals.
    pub deals: Vec<B256>,
    /// Jobs that were submitted here, none of whose deals is left.
    pub jobs: Vec<B256>,
    /// Games.
    pub disputes: Vec<B256>,
}

impl Prunable {
    /// Whether there is nothing to forget.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.deals.is_empty() && self.jobs.is_empty() && self.disputes.is_empty()
    }
}

/// Something for the shell to do. At most one of each runs at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Activity {
    /// Sign an offer and gossip it.
    Offer,
    /// Send `open` or `reopen` for a reservation.
    Open(B256),
    /// Fetch, check and run a deal's tasks.
    Run(B256),
    /// Send `cancelAdmission`.
    CancelAdmission(B256),
    /// Send `claim`.
    Claim(B256),
    /// Send `answerDemandWithReceipt` where there is one, and `answerDemand` for the rest.
    AnswerDemand(B256),
    /// Send `settleMany` for what [`State::settleable`] names.
    Settle,
    /// Get a claim's results.
    FetchResults(B256),
    /// Hand an acceptance to the provider.
    Deliver(B256),
    /// Send `settleMany` for a buyer whose provider does not.
    SettleForBuyer(B256),
    /// Send `timeout`.
    Timeout(B256),
    /// Send `demandTimeout`.
    DemandTimeout(B256),
    /// Re-execute a claim.
    Verify(B256),
    /// Challenge a deal's claim.
    Challenge(B256),
    /// Make the next move of a game in which so many sections were made, or end it.
    Play(B256, u8),
    /// End a game of others, whose mover's clock has run out.
    EndOverdue(B256),
    /// Give the market the verdict on a claim.
    Verdict(B256),
    /// Have games about a claim paid out: own ones, and those that keep seats for which own ones wait.
    Collect(B256),
    /// Give a provider's free seats to games that wait.
    Seat(Address),
    /// Bring the beacon of a period on.
    Beat(u64),
    /// Open the audit of a deal's claim.
    OpenAudit(B256),
    /// Run the task of a claim's audit to this node's points.
    Examine(B256),
    /// Commit to what that gave.
    Commit(B256),
    /// Reveal it.
    Reveal(B256),
    /// Bring the game about what contradicts it.
    Object(B256),
    /// Have a claim's audit judged.
    CloseAudit(B256),
    /// Take a seat among those who audit.
    Join,
    /// Give it up.
    Retire,
    /// Sign an offer for a draw.
    OfferForDraw(B256),
    /// Send `answer`, `giveBack` or `lapse` for a draw.
    EndDraw(B256),
    /// Do for a round of the auction what is to be done.
    Tend(u64),
}

impl Activity {
    /// Whether a clock runs until it is done, so that it is repeated soon.
    #[must_use]
    pub fn is_timed(&self) -> bool {
        matches!(
            self,
            Self::Challenge(_)
                | Self::Play(..)
                | Self::Commit(_)
                | Self::Reveal(_)
                | Self::Object(_)
                | Self::OfferForDraw(_)
                | Self::EndDraw(_)
                | Self::Tend(_)
        )
    }
}

/// What a fact changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Writes that belong to the chain's blocks and are undone with them.
    pub chain: Batch,
    /// All other writes.
    pub local: Batch,
    /// Facts to be read from the chain.
    pub reads: Vec<FactKey>,
    /// What the book said about the order that the fact was about; `None` when it was a
    /// [`Fact::Heard`] that the chain does not back.
    pub order: Option<Effect>,
    /// What the epoch matched.
    pub epoch: Epoch,
    /// Deals and jobs that are over: nothing has to be kept for them any more.
    pub released: Vec<B256>,
}

impl State {
    /// A node that knows nothing yet.
    #[must_use]
    pub fn new(setup: Setup, windows: Windows, book: Book) -> Self {
        Self {
            setup,
            windows,
            head: Block {
                number: 0,
                hash: B256::ZERO,
                at: 0,
            },
            is_synced: false,
            book,
            deals: BTreeMap::new(),
            deals_of_bid: BTreeMap::new(),
            posted: BTreeMap::new(),
            jobs: BTreeMap::new(),
            matched: BTreeMap::new(),
            epoch: Vec::new(),
            arrived: BTreeSet::new(),
            promised: BTreeMap::new(),
            works: BTreeMap::new(),
            reservations: BTreeMap::new(),
            offer: None,
            is_draining: false,
            verifications: Verifications::default(),
            disputes: Games::default(),
            audits: Audits::default(),
            draws: Draws::default(),
            rounds: Rounds::default(),
            prices: History::default(),
            epochs: Epochs::default(),
            without_move: BTreeSet::new(),
            absences: Absences::default(),
            peer_keys: BTreeMap::new(),
            unread: BTreeSet::new(),
        }
    }

    /// The deals of a bid, in the order of their opening.
    #[must_use]
    pub fn deals_of(&self, bid: B256) -> Vec<&DealRecord> {
        let ids = self.deals_of_bid.get(&bid).map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|id| self.deals.get(id)).collect()
    }

    /// Key of the node that serves a deal, if this node knows it.
    #[must_use]
    pub fn peer_key_of(&self, deal: &DealRecord) -> Option<B256> {
        let offer = &deal.terms.offerHash;
        let known = Some(deal.peer_key).filter(|key| !key.is_zero());
        known
            .or_else(|| self.book.offer(offer).map(|signed| signed.offer.peerKey))
            .or_else(|| self.peer_keys.get(offer).copied())
    }

    /// The job of a deal: from the chain, or from the bid where the chain's log is not read yet.
    #[must_use]
    pub fn job_of(&self, deal: &DealRecord) -> Option<&JobSpec> {
        let bid = &deal.terms.bidHash;
        self.posted
            .get(bid)
            .or_else(|| self.book.bid(bid).map(|signed| &signed.job))
    }

    /// The chain was reorganised: what the book knows from above `block` is read again.
    pub fn rewind(&mut self, block: u64) {
        self.is_synced = false;
        self.epochs.rewind(block);
        for effect in self.book.apply(BookEvent::Rewind { block }) {
            match effect {
                // Follows from the deals below.
                Effect::Read(FactKey::Freed(..)) => {}
                Effect::Read(key) => {
                    self.unread.insert(key);
                }
                Effect::Added(_) | Effect::Known(_) | Effect::Dropped { .. } => {}
            }
        }
        let left_behind = self.deals.values().filter(|deal| deal.has_failed());
        for (block, fact) in left_behind.flat_map(|deal| {
            chain::book_facts(deal)
                .into_iter()
                .map(|fact| (deal.last_block(), fact))
        }) {
            self.book.apply(BookEvent::Fact { block, fact });
        }
    }

    /// Facts to be read with an update: those that its events touch, as far as the book cares, and
    /// those that could not be read before.
    #[must_use]
    pub fn touched(&self, events: &[Event]) -> Vec<FactKey> {
        let opened: BTreeMap<B256, &Deal> = events
            .iter()
            .filter_map(|event| match &event.observed {
                Observed::Opened { deal, terms } => Some((*deal, terms.as_ref())),
                _ => None,
            })
            .collect();
        let terms = |id: &B256| {
            self.deals
                .get(id)
                .map(|deal| &deal.terms)
                .or_else(|| opened.get(id).copied())
        };
        let mut keys = chain::touched(events, terms);
        keys.extend(events.iter().flat_map(|event| match &event.observed {
            Observed::Audit(event) => self.touched_by_audit(event),
            _ => self.touched_by_game(event),
        }));
        let touched = keys.into_iter().filter(|key| self.book.knows(key));
        touched
            .chain(self.unread.iter().copied())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    /// Takes a fact in.
    pub fn apply(&mut self, fact: Fact) -> Changes {
        let mut changes = Changes::default();
        match fact {
            Fact::Blocks {
                last,
                is_head,
                events,
                facts,
            } => self.blocks(last, is_head, events, facts, &mut changes),
            Fact::Order(message) => self.order(message, &mut changes),
            Fact::Heard(message) => {
                if self.is_backed(&message) {
                    self.order(message, &mut changes);
                }
            }
            Fact::Learned { block, facts } => self.learn(block, facts),
            Fact::Arrivals => self.match_arrivals(&mut changes),
            Fact::Submitted(signed) => self.submitted(signed, &mut changes),
            Fact::Offered(signed) => {
                let hash = self.book.domain().offer_hash(&signed.offer);
                journal::put_offer(&mut changes.local, hash, &signed);
                self.offer = Some((hash, signed.clone()));
                self.order(Message::Offer(signed), &mut changes);
            }
            Fact::DrawOffered { draw, offer } => self.draw_offered(draw, offer, &mut changes),
            Fact::Tended { round, phase, mark } => self.round_tended(round, phase, mark),
            Fact::OpenMined { reservation, block } => {
                if let Some(reservation) = self.reservations.get_mut(&reservation) {
                    reservation.mined_in = Some(block);
                }
                self.release_reservations(&mut changes);
            }
            Fact::OpenRefused {
                reservation,
                reason,
            } => {
                tracing::info!(%reservation, reason, "the deal did not open");
                self.reservations.remove(&reservation);
                changes
                    .local
                    .delete(outcry_store::keys::reservation(&reservation.0, 0));
            }
            Fact::JobRefused { deal, refusal } => {
                self.works.entry(deal).or_default().refused = Some(refusal);
            }
            Fact::TaskDone { deal, result } => {
                journal::put_result(&mut changes.local, deal, &result);
                self.works
                    .entry(deal)
                    .or_default()
                    .results
                    .insert(result.task, result);
            }
            Fact::AcceptReceived {
                deal,
                claim_hash,
                signature,
            } => {
                journal::put_accept(&mut changes.local, deal, claim_hash, &signature);
                self.works.entry(deal).or_default().accept = Some((claim_hash, signature));
            }
            Fact::ReceiptReceived {
                deal,
                task,
                signature,
            } => {
                if let Some(work) = self.works.get_mut(&deal) {
                    journal::put_receipt(&mut changes.local, deal, task, &signature);
                    work.receipts.insert(task, signature);
                }
            }
            Fact::AcceptSubmitted {
                deal,
                claim_hash,
                signature,
            } => {
                let received_at = self.head.at;
                self.watch(deal, &mut changes, |watch| {
                    watch.acceptance = Some(Acceptance {
                        claim_hash,
                        signature,
                        received_at,
                        delivered: false,
                    });
                });
            }
            Fact::AcceptDelivered { deal } => self.watch(deal, &mut changes, |watch| {
                if let Some(acceptance) = &mut watch.acceptance {
                    acceptance.delivered = true;
                }
            }),
            Fact::Reported { deal, report } => self.report(deal, report),
            Fact::PeerKnown { offer, peer_key } => {
                self.peer_keys.insert(offer, peer_key);
            }
            Fact::ResultsFetched { deal, results } => {
                self.watch(deal, &mut changes, |watch| watch.results = Some(results));
            }
            Fact::ClaimChecked {
                deal,
                claim_hash,
                findings,
            } => self.claim_checked(deal, claim_hash, findings, &mut changes),
            Fact::Unfetched { deal } => {
                let tries = self.verifications.unfetched.entry(deal).or_default();
                *tries = tries.saturating_add(1);
            }
            Fact::NoMove { game, after } => {
                self.without_move.insert((game, after));
            }
            Fact::AuditExamined { claim, finding } => {
                self.audit_examined(claim, finding, &mut changes);
            }
            Fact::Pruned(due) => self.forget(&due, &mut changes),
            Fact::Drain(draining) => self.is_draining = draining,
        }
        self.announce(&mut changes);
        changes
    }

    /// Notes what a claim's re-execution found, unless the deal has another claim by now.
    fn claim_checked(
        &mut self,
        deal: B256,
        claim_hash: B256,
        findings: Vec<verifier::Finding>,
        changes: &mut Changes,
    ) {
        let now = self.deals.get(&deal).and_then(DealRecord::claim);
        if now.is_some_and(|claim| claim.hash != claim_hash) {
            return;
        }
        let checked = Checked {
            claim_hash,
            at: self.head.at,
            findings,
        };
        journal::put_checked(&mut changes.local, deal, &checked);
        self.verifications.unfetched.remove(&deal);
        self.verifications.findings.insert(deal, checked);
    }

    /// What was found about the claim that a deal has.
    #[must_use]
    pub fn checked(&self, deal: &DealRecord) -> Option<&Checked> {
        let checked = self.verifications.findings.get(&deal.id)?;
        (deal.claim()?.hash == checked.claim_hash).then_some(checked)
    }

    fn blocks(
        &mut self,
        last: Block,
        is_head: bool,
        events: Vec<Event>,
        facts: Vec<BookFact>,
        changes: &mut Changes,
    ) {
        (self.head, self.is_synced) = (last, is_head);
        // Some may have become known only after the shell had looked what to read.
        let read: BTreeSet<FactKey> = facts.iter().map(BookFact::key).collect();
        let mut missed = self.touched(&events);
        missed.retain(|key| !read.contains(key));
        for event in events {
            self.observe(event, changes);
        }
        self.forget_prices(changes);
        self.forget_rounds(changes);
        self.learn(last.number, facts);
        self.unread.extend(missed);
        self.book.apply(BookEvent::Block { timestamp: last.at });
        self.release_reservations(changes);
        for (bid, provider) in self.absences.lift(last.number) {
            // What the chain itself bars stays barred.
            let by_chain = self.deals_of(bid).iter().any(|deal| {
                let cancels = |(_, change): &(_, deal::Change)| matches!(change, deal::Change::Cancelled { by, .. } if *by == provider);
                deal.history.iter().any(cancels)
            });
            if !by_chain {
                self.set_barred(bid, provider, false);
            }
        }
        self.matched.clear();
        self.epoch.clear();
        // A bid whose facts are being read is matched as soon as they are there.
        let arrived = std::mem::take(&mut self.arrived).into_iter();
        self.arrived = arrived.filter(|bid| !self.is_read(bid)).collect();
        if is_head {
            changes.epoch = matching::run(&self.book, last.hash);
            self.epochs.note(last, &self.book, &changes.epoch);
            self.note_matches(&changes.epoch.matches);
            self.reserve(&changes.epoch.matches, &mut changes.local);
            self.reserve_replacements(&mut changes.local);
            self.watch_others(&changes.epoch);
        }
        self.promised.clear();
        let deals = &self.deals;
        self.works.retain(|id, _| {
            deals
                .get(id)
                .is_some_and(|deal| !deal.state().is_terminal())
        });
    }

    /// Bids that came since the last block, and about which the chain was asked, wait for
    /// [`Fact::Arrivals`].
    #[must_use]
    pub fn has_arrivals(&self) -> bool {
        self.is_synced && self.arrived.iter().any(|bid| self.is_read(bid))
    }

    /// Whether the book has the facts that it asked for about a bid.
    fn is_read(&self, hash: &B256) -> bool {
        self.book.bid(hash).is_none_or(|signed| {
            let keys = facts_of_bid(*hash, &signed.bid);
            keys.iter().all(|key| !self.unread.contains(key))
        })
    }

    /// Gives the bids that came since the last block what that block's matches left. The next block
    /// matches everything anew.
    fn match_arrivals(&mut self, changes: &mut Changes) {
        if !self.is_synced {
            return;
        }
        let (ready, waiting) = std::mem::take(&mut self.arrived)
            .into_iter()
            .partition(|bid| self.is_read(bid));
        self.arrived = waiting;
        changes.epoch = matching::arrivals(&self.book, self.head.hash, &self.epoch, &ready);
        self.note_matches(&changes.epoch.matches);
        for found in &changes.epoch.matches {
            self.promised
                .entry(found.bid)
                .or_default()
                .insert(found.offer);
        }
        self.reserve(&changes.epoch.matches, &mut changes.local);
    }

    fn note_matches(&mut self, matches: &[Match]) {
        for found in matches {
            self.matched
                .entry(found.bid)
                .or_default()
                .push((found.offer, found.count));
        }
        self.epoch.extend(matches);
    }

    /// Notes which other providers let their matches lapse.
    fn watch_others(&mut self, epoch: &Epoch) {
        let own = self.setup.account;
        let matches: Vec<_> = epoch
            .matches
            .iter()
            .filter_map(|found| {
                Some((
                    found.bid,
                    found.offer,
                    self.book.offer(&found.offer)?.offer.provider,
                ))
            })
            .filter(|(_, _, provider)| Some(*provider) != own)
            .collect();
        for (bid, provider) in self.absences.matched(self.head.number, &matches) {
            tracing::info!(%bid, %provider, "a matched provider does not open its deal; the next best may");
            self.set_barred(bid, provider, true);
        }
    }

    fn set_barred(&mut self, bid: B256, provider: Address, barred: bool) {
        let fact = BookFact::Barred {
            bid,
            provider,
            barred,
        };
        self.book.apply(BookEvent::Fact {
            block: self.head.number,
            fact,
        });
    }

    /// One event of the market.
    fn observe(&mut self, Event { place, observed }: Event, changes: &mut Changes) {
        match observed {
            Observed::JobPosted { bid, job } => {
                journal::put_job(&mut changes.chain, bid, &job);
                self.posted.insert(bid, job);
            }
            Observed::Opened { deal, terms } => {
                let peer_key = self
                    .book
                    .offer(&terms.offerHash)
                    .map_or(B256::ZERO, |signed| signed.offer.peerKey);
                self.absences.opened(terms.bidHash, terms.offerHash);
                let record = DealRecord::opened(deal, *terms, peer_key, place);
                journal::put_deal(&mut changes.chain, &record);
                self.insert_deal(record);
            }
            Observed::TookOver { failed, by } => {
                let tasks = self.deals.get(&by).map_or(0, |deal| deal.terms.taskCount);
                self.change(
                    failed,
                    place,
                    deal::Change::TakenOver { by, tasks },
                    changes,
                );
            }
            Observed::Changed { deal, change } => self.change(deal, place, change, changes),
            Observed::GameBegan(record) => self.game_began(*record, changes),
            Observed::GameWentOn { game, turn } => self.game_went_on(game, place, turn, changes),
            Observed::ClaimDecided { claim_hash, turn } => {
                self.claim_decided(claim_hash, place, &turn, changes);
            }
            Observed::Audit(event) => self.audit_event(place, event, changes),
            Observed::Round { round, event } => self.round_event(round, place, event, changes),
            Observed::Drawn { provider, draw } => self.drawn(provider, *draw, changes),
            Observed::DrawAnswered { draw, answered } => {
                self.draw_answered(draw, answered, changes);
            }
            Observed::DrawEnded { draw } => self.draw_ended(draw, changes),
            Observed::Balance { .. } => {}
            Observed::Cancelled { account, salt } => {
                self.cancel_jobs(changes, |bid| bid.buyer == account && bid.salt == salt);
            }
            Observed::AllCancelled { account, counter } => {
                self.cancel_jobs(changes, |bid| bid.buyer == account && bid.counter < counter);
            }
        }
    }

    fn cancel_jobs(&mut self, changes: &mut Changes, which: impl Fn(&Bid) -> bool) {
        for (bid, job) in self
            .jobs
            .iter_mut()
            .filter(|(_, job)| which(&job.signed.bid))
        {
            job.is_cancelled = true;
            journal::put_bid(&mut changes.local, *bid, job);
        }
    }

    fn change(
        &mut self,
        id: B256,
        place: deal::Place,
        change: deal::Change,
        changes: &mut Changes,
    ) {
        let Some(record) = self.deals.get_mut(&id) else {
            // The deal opened before this node's first block; the deployment's block is the first.
            tracing::warn!(%id, "an event about a deal that was never seen to open");
            return;
        };
        if matches!(change, deal::Change::Claimed { .. }) {
            self.verifications.claims_seen += 1;
        }
        let failed = matches!(change, deal::Change::Failed { .. });
        let paid = matches!(change, deal::Change::Paid { .. });
        let replaced = matches!(change, deal::Change::Replaced { .. });
        record.history.push((place, change));
        journal::put_deal(&mut changes.chain, record);
        self.audits.note(record);
        if record.state().is_terminal() {
            changes.released.push(id);
        }
        let (bid, provider) = (record.terms.bidHash, record.terms.provider);
        for fact in chain::book_facts(record) {
            self.book.apply(BookEvent::Fact {
                block: place.block,
                fact,
            });
        }
        if replaced && self.setup.account == Some(provider) {
            tracing::info!(deal = %id, %bid, "a better offer took the place of this node's");
        }
        if paid {
            self.price_paid(id, changes);
        }
        if failed {
            self.absences.bar(bid, provider, place.block);
            self.set_barred(bid, provider, true);
        }
    }

    /// Adds a deal that is not in the state yet.
    pub(crate) fn insert_deal(&mut self, record: DealRecord) {
        let of_bid = self.deals_of_bid.entry(record.terms.bidHash).or_default();
        if !of_bid.contains(&record.id) {
            of_bid.push(record.id);
        }
        if self.is_mine(&record) && !record.state().is_terminal() {
            self.works.entry(record.id).or_default();
        }
        self.audits.note(&record);
        self.deals.insert(record.id, record);
    }

    fn is_mine(&self, deal: &DealRecord) -> bool {
        self.setup.capacity.is_some() && self.setup.account == Some(deal.terms.provider)
    }

    fn order(&mut self, message: Message, changes: &mut Changes) {
        let (hash, bid, event) = match message {
            Message::Bid(signed) => {
                let hash = self.book.domain().bid_hash(&signed.bid);
                (hash, true, BookEvent::Bid(signed))
            }
            Message::Offer(signed) => (
                self.book.domain().offer_hash(&signed.offer),
                false,
                BookEvent::Offer(signed),
            ),
        };
        for effect in self.book.apply(event) {
            match effect {
                Effect::Read(key) => changes.reads.push(key),
                Effect::Added(found) | Effect::Known(found) if found == hash => {
                    if bid && matches!(effect, Effect::Added(_)) {
                        self.arrived.insert(hash);
                    }
                    changes.order = Some(effect)
                }
                Effect::Dropped { hash: found, .. } if found == hash => {
                    changes.order = Some(effect)
                }
                Effect::Added(_) | Effect::Known(_) | Effect::Dropped { .. } => {}
            }
        }
        self.unread.extend(&changes.reads);
        if bid {
            // What the bid's earlier deals left behind.
            let facts: Vec<(u64, BookFact)> = self
                .deals_of(hash)
                .into_iter()
                .flat_map(|deal| {
                    chain::book_facts(deal)
                        .into_iter()
                        .map(|fact| (deal.last_block(), fact))
                })
                .collect();
            for (block, fact) in facts {
                self.book.apply(BookEvent::Fact { block, fact });
            }
        }
    }

    /// Facts that an order needs and the book does not know.
    #[must_use]
    pub fn asks_of(&self, message: &Message) -> Vec<FactKey> {
        let mut keys = match message {
            Message::Bid(signed) => {
                let hash = self.book.domain().bid_hash(&signed.bid);
                facts_of_bid(hash, &signed.bid).to_vec()
            }
            Message::Offer(signed) => facts_of_offer(&signed.offer).to_vec(),
        };
        keys.retain(|key| !self.book.knows(key));
        keys
    }

    /// Whether the chain backs an order, in the book or not, as far as the book knows.
    #[must_use]
    pub fn is_backed(&self, message: &Message) -> bool {
        match message {
            Message::Bid(signed) => {
                let hash = self.book.domain().bid_hash(&signed.bid);
                self.book.is_bid_backed(hash, &signed.bid)
            }
            Message::Offer(signed) => {
                let hash = self.book.domain().offer_hash(&signed.offer);
                self.book.is_offer_backed(hash, &signed.offer)
            }
        }
    }

    fn learn(&mut self, block: u64, facts: Vec<BookFact>) {
        for fact in facts {
            if block < self.head.number {
                // A block that came meanwhile may have touched it while the book did not know it.
                self.unread.insert(fact.key());
            } else {
                self.unread.remove(&fact.key());
            }
            self.book.apply(BookEvent::Fact { block, fact });
        }
    }

    fn submitted(&mut self, signed: SignedBid, changes: &mut Changes) {
        let hash = self.book.domain().bid_hash(&signed.bid);
        if !self.jobs.contains_key(&hash) {
            let job = JobRecord::new(signed.clone(), self.head.at);
            self.jobs.insert(hash, job);
            self.emit(hash, JobState::Open, JobEventKind::Submitted {}, changes);
        }
        self.order(Message::Bid(signed), changes);
    }

    /// Changes what a gateway holds about a deal of a job of its own.
    fn watch(&mut self, deal: B256, changes: &mut Changes, with: impl FnOnce(&mut gateway::Watch)) {
        let Some(bid) = self.deals.get(&deal).map(|deal| deal.terms.bidHash) else {
            return;
        };
        if let Some(job) = self.jobs.get_mut(&bid) {
            with(job.watches.entry(deal).or_default());
            journal::put_bid(&mut changes.local, bid, job);
        }
    }

    /// Notes how far the provider of an own job's deal is. Not worth a disk write: it says so again.
    fn report(&mut self, deal: B256, report: Report) {
        let bid = self.deals.get(&deal).map(|deal| deal.terms.bidHash);
        if let Some(job) = bid.and_then(|bid| self.jobs.get_mut(&bid)) {
            job.watches.entry(deal).or_default().report = Some(report);
        }
    }

    /// Brings each job's events and state up to its deals. Computed from what was announced so far,
    /// so that a kill between a block and its announcement loses nothing.
    fn announce(&mut self, changes: &mut Changes) {
        let unfinished: Vec<B256> = self
            .jobs
            .iter()
            .filter(|(_, job)| !job.state.is_terminal())
            .map(|(bid, _)| *bid)
            .collect();
        for bid in unfinished {
            for (state, event) in self.news_of(bid) {
                self.emit(bid, state, event, changes);
            }
        }
    }

    /// The events of a job that were not announced yet.
    fn news_of(&mut self, bid: B256) -> Vec<(JobState, JobEventKind)> {
        let Some(job) = self.jobs.get(&bid) else {
            return Vec::new();
        };
        let deals = self.deals_of(bid);
        let around = gateway::Circumstances {
            now: self.head.at,
            matched: self.matched.contains_key(&bid),
        };
        let state = gateway::job_state(job, &deals, around);
        let mut news = Vec::new();
        let mut announced = BTreeMap::new();
        let mut told = Vec::new();
        for deal in &deals {
            let seen = job.watches.get(&deal.id).map_or(0, |watch| watch.announced);
            let fresh = deal.history.get(seen..).unwrap_or_default();
            news.extend(
                fresh
                    .iter()
                    .filter_map(|(_, change)| gateway::event_of(deal, change))
                    .map(|event| (state, event)),
            );
            announced.insert(deal.id, deal.history.len());
        }
        if state == JobState::Matched && job.state != JobState::Matched {
            let offers = self.matched.get(&bid).into_iter().flatten();
            news.extend(offers.map(|(offer_hash, tasks)| {
                (
                    state,
                    JobEventKind::Matched {
                        offer_hash: *offer_hash,
                        tasks: *tasks,
                    },
                )
            }));
        }
        for deal in deals.iter().filter(|deal| deal.state() == DealState::Open) {
            let Some(watch) = job.watches.get(&deal.id) else {
                continue;
            };
            let Some(report) = watch.report else { continue };
            let further = Some((report.running, report.tasks_done));
            if further > watch.told {
                told.push((deal.id, further));
                let event = JobEventKind::Progress {
                    deal_id: deal.id,
                    tasks_done: report.tasks_done,
                    cycles: report.cycles,
                };
                news.push((state, event));
            }
        }
        if state.is_terminal() {
            news.push((state, JobEventKind::Ended {}));
        }
        if let Some(job) = self.jobs.get_mut(&bid) {
            for (deal, count) in announced {
                job.watches.entry(deal).or_default().announced = count;
            }
            for (deal, further) in told {
                job.watches.entry(deal).or_default().told = further;
            }
            if news.is_empty() && job.state != state {
                job.state = state;
            }
        }
        news
    }

    fn emit(&mut self, bid: B256, state: JobState, event: JobEventKind, changes: &mut Changes) {
        let time = self.head.at;
        if let Some(job) = self.jobs.get_mut(&bid) {
            job.events += 1;
            job.state = state;
            if state.is_terminal() && matches!(event, JobEventKind::Ended {}) {
                changes.released.push(bid);
            }
            let event = outcry_sdk::api::JobEvent {
                seq: job.events,
                time,
                state,
                event,
            };
            journal::put_event(&mut changes.local, bid, &event);
            journal::put_bid(&mut changes.local, bid, job);
        }
    }

    /// What is to be done now.
    #[must_use]
    pub fn wanted(&self) -> Vec<Activity> {
        if !self.is_synced {
            return Vec::new();
        }
        let mut wanted = Vec::new();
        if self.wants_offer() {
            wanted.push(Activity::Offer);
        }
        wanted.extend(
            self.reservations
                .values()
                .filter(|r| r.mined_in.is_none())
                .map(|r| Activity::Open(r.id)),
        );
        for (id, work) in &self.works {
            let step = self
                .deals
                .get(id)
                .and_then(|deal| self.provider_step(deal, work));
            wanted.extend(step.map(|step| match step {
                provider::Step::Run => Activity::Run(*id),
                provider::Step::CancelAdmission => Activity::CancelAdmission(*id),
                provider::Step::Claim => Activity::Claim(*id),
                provider::Step::AnswerDemand => Activity::AnswerDemand(*id),
                provider::Step::Settle { .. } => Activity::Settle,
            }));
        }
        for (bid, job) in &self.jobs {
            for deal in self.deals_of(*bid) {
                let watch = job.watches.get(&deal.id).cloned().unwrap_or_default();
                let step = self.gateway_step(deal, &watch);
                wanted.extend(step.map(|step| match step {
                    gateway::Step::FetchResults => Activity::FetchResults(deal.id),
                    gateway::Step::Deliver => Activity::Deliver(deal.id),
                    gateway::Step::Settle => Activity::SettleForBuyer(deal.id),
                    gateway::Step::Timeout => Activity::Timeout(deal.id),
                    gateway::Step::DemandTimeout => Activity::DemandTimeout(deal.id),
                }));
            }
        }
        wanted.extend(self.unchecked().into_iter().map(Activity::Verify));
        wanted.extend(self.wanted_of_games());
        wanted.extend(self.wanted_of_audits());
        wanted.extend(self.rounds_to_tend().into_iter().map(Activity::Tend));
        wanted.extend(self.steps_of_draws().map(|(draw, step)| match step {
            draw::Step::Offer => Activity::OfferForDraw(draw),
            draw::Step::Answer(_) | draw::Step::GiveBack | draw::Step::Lapse => {
                Activity::EndDraw(draw)
            }
        }));
        wanted
    }

    /// Claims of the sample that were not re-executed yet and still can be challenged, at most
    /// [`Setup::checks_max`]: those whose inputs could not be fetched come last, so that claims that
    /// nobody can check do not keep others from being checked; those whose window ends first come before
    /// the others.
    #[must_use]
    pub fn unchecked(&self) -> Vec<B256> {
        if self.setup.sample_bps == 0 {
            return Vec::new();
        }
        let waiting = self.deals.values().filter_map(|deal| {
            let window_from = self.wants_check(deal)?;
            let tries = self.verifications.unfetched.get(&deal.id);
            Some((tries.copied().unwrap_or(0), window_from, deal.id))
        });
        let mut waiting: Vec<(u32, u64, B256)> = waiting.collect();
        waiting.sort_unstable();
        waiting.truncate(self.setup.checks_max);
        waiting.into_iter().map(|(_, _, id)| id).collect()
    }

    /// The second from which a deal's claim may be challenged, if the claim is still to be re-executed.
    #[must_use]
    pub fn wants_check(&self, deal: &DealRecord) -> Option<u64> {
        let Setup {
            sample_bps,
            sample_secret,
            price_min,
            ..
        } = self.setup;
        let claim = deal.claim()?;
        let in_time = self.head.at <= claim.window_from + self.windows.challenge_s;
        let known = self.checked(deal).is_some() || self.is_mine(deal);
        let wanted = claim.claim.price >= price_min
            && verifier::is_sampled(claim.hash, sample_secret, sample_bps);
        (in_time && !known && wanted && !deal.has_failed()).then_some(claim.window_from)
    }

    /// Own deals that can be settled now: deal, with the buyer's signature, finally.
    #[must_use]
    pub fn settleable(&self) -> Vec<(&DealRecord, Option<Bytes>, bool)> {
        let ready = self.works.iter().filter_map(|(id, work)| {
            let deal = self.deals.get(id)?;
            match self.provider_step(deal, work)? {
                provider::Step::Settle { accept, finalise } => {
                    let signature = work
                        .accept
                        .as_ref()
                        .filter(|_| accept)
                        .map(|(_, signature)| signature.clone());
                    Some((deal, signature, finalise))
                }
                _ => None,
            }
        });
        ready.collect()
    }

    /// What ended more than `keep_s` seconds ago, or is too much, at most `max` deals and jobs.
    ///
    /// A bid lives for seven days: as long as it may still come, what its failed deals left is needed.
    /// The deals of a job that was submitted here stay as long as the job.
    #[must_use]
    pub fn prunable(&self, keep_s: u64, max: usize) -> Prunable {
        let is_old = |since: u64| since.saturating_add(keep_s) < self.head.at;
        let is_over = |job: &JobRecord| job.state.is_terminal() && is_old(job.signed.bid.expiry);
        let mut owing = self.deals_owing();
        owing.extend(self.deals_audited());
        let mut over: Vec<(u64, B256)> = self
            .deals
            .values()
            .filter(|deal| deal.state().is_terminal())
            .filter(|deal| !owing.contains(&deal.id))
            .filter(|deal| match self.jobs.get(&deal.terms.bidHash) {
                Some(job) => is_over(job),
                None => self.book.bid(&deal.terms.bidHash).is_none(),
            })
            .map(|deal| (deal.last_at(), deal.id))
            .collect();
        over.sort_unstable();
        let too_many = self.deals.len().saturating_sub(DEALS_MAX);
        let due = (0..).zip(&over).take_while(|(index, (since, _))| {
            *index < max && (*index < too_many || is_old(*since))
        });
        let deals = due.map(|(_, (_, id))| *id).collect();
        let jobs = self.jobs.iter().filter(|(bid, job)| {
            is_over(job) && self.deals_of_bid.get(*bid).is_none_or(Vec::is_empty)
        });
        Prunable {
            deals,
            jobs: jobs.map(|(bid, _)| *bid).take(max).collect(),
            disputes: self.prunable_disputes(max),
        }
    }

    fn forget(&mut self, due: &Prunable, changes: &mut Changes) {
        for id in &due.deals {
            journal::delete_deal(&mut changes.local, *id);
            self.verifications.findings.remove(id);
            self.verifications.unfetched.remove(id);
            let Some(deal) = self.deals.remove(id) else {
                continue;
            };
            self.peer_keys.remove(&deal.terms.offerHash);
            self.forget_audit(&deal, changes);
            let bid = deal.terms.bidHash;
            if let Some(of_bid) = self.deals_of_bid.get_mut(&bid) {
                of_bid.retain(|other| other != id);
                if of_bid.is_empty() {
                    self.deals_of_bid.remove(&bid);
                    self.posted.remove(&bid);
                    changes.local.delete(outcry_store::keys::job(&bid.0));
                }
            }
        }
        for game in &due.disputes {
            self.disputes.remove(game);
            self.without_move.retain(|(of, _)| of != game);
            changes.local.delete(outcry_store::keys::dispute(&game.0));
        }
        for bid in &due.jobs {
            self.jobs.remove(bid);
            changes.local.delete(outcry_store::keys::bid(&bid.0));
        }
    }

    /// Whether an offer is to be signed: there is none, it runs out, or it says something else than
    /// the configuration.
    fn wants_offer(&self) -> bool {
        let Some(capacity) = &self.setup.capacity else {
            return false;
        };
        if self.is_draining || self.setup.account.is_none() || capacity.slots == 0 {
            return false;
        }
        let renew_at =
            |offer: &SignedOffer| offer.offer.expiry.saturating_sub(capacity.offer_s / 3);
        match &self.offer {
            None => true,
            Some((_, offer)) => {
                self.head.at >= renew_at(offer) || !capacity.is_described_by(&offer.offer)
            }
        }
    }

    /// A signed bid that is known here, from the book or from a submitted job.
    #[must_use]
    pub fn bid(&self, hash: &B256) -> Option<&SignedBid> {
        self.book
            .bid(hash)
            .or_else(|| self.jobs.get(hash).map(|job| &job.signed))
    }
}
