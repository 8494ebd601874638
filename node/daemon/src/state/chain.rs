//! What the market's events mean for the state.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, U256};
use outcry_protocol::book::{self, FactKey};
use outcry_protocol::types::{Deal, JobSpec};

use super::audit::AuditEvent;
use super::deal::{Change, DealRecord, Place};
use super::dispute::{DisputeRecord, Turn};
use super::draw::Draw;
use super::round::RoundEvent;

/// A block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Number.
    pub number: u64,
    /// Hash: the beacon of its epoch.
    pub hash: B256,
    /// Unix seconds.
    pub at: u64,
}

/// One event of the market, in the words of the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// A bid's job was logged, with its first deal.
    JobPosted {
        /// The bid.
        bid: B256,
        /// The job.
        job: JobSpec,
    },
    /// A deal opened.
    Opened {
        /// Hash of the terms.
        deal: B256,
        /// The terms.
        terms: Box<Deal>,
    },
    /// A deal took over tasks of a failed one. Comes after its [`Observed::Opened`].
    TookOver {
        /// The failed deal.
        failed: B256,
        /// The new one.
        by: B256,
    },
    /// Something happened to a deal.
    Changed {
        /// The deal.
        deal: B256,
        /// What.
        change: Change,
    },
    /// A claim was challenged.
    GameBegan(Box<DisputeRecord>),
    /// Something happened in a game.
    GameWentOn {
        /// The game.
        game: B256,
        /// What.
        turn: Turn,
    },
    /// The market has the verdict on a claim.
    ClaimDecided {
        /// The claim.
        claim_hash: B256,
        /// The verdict.
        turn: Turn,
    },
    /// Something happened about audits.
    Audit(AuditEvent),
    /// Something happened in a round of the auction.
    Round {
        /// The round.
        round: u64,
        /// What.
        event: RoundEvent,
    },
    /// A job was drawn on reserved capacity.
    Drawn {
        /// Who has to serve it.
        provider: Address,
        /// The draw.
        draw: Box<Draw>,
    },
    /// Claims of a draw's tasks were shown.
    DrawAnswered {
        /// The draw.
        draw: B256,
        /// Of how many tasks so far.
        answered: u32,
    },
    /// A draw is over otherwise.
    DrawEnded {
        /// The draw.
        draw: B256,
    },
    /// A free balance changed, and no deal did.
    Balance {
        /// Whose.
        account: Address,
        /// Of which token.
        token: Address,
    },
    /// An order was cancelled.
    Cancelled {
        /// Whose.
        account: Address,
        /// Which.
        salt: U256,
    },
    /// All orders of an account were cancelled.
    AllCancelled {
        /// Whose.
        account: Address,
        /// What orders must carry from here on.
        counter: u64,
    },
}

/// An event and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where.
    pub place: Place,
    /// What.
    pub observed: Observed,
}

/// The facts about the chain that a deal's opening or a change of it touches.
fn touched_by_deal(terms: &Deal, into: &mut BTreeSet<FactKey>) {
    into.extend([
        FactKey::Balance(terms.buyer, terms.token),
        FactKey::Balance(terms.provider, terms.token),
        FactKey::Balance(terms.provider, Address::ZERO),
        FactKey::Salt(terms.buyer, terms.bidSalt),
        FactKey::Taken(terms.bidHash),
        FactKey::Slots(terms.provider, terms.capacityId),
    ]);
}

/// The facts that events touch and that must be read again. `terms` finds the terms of known deals.
pub fn touched<'a>(
    events: &[Event],
    terms: impl Fn(&B256) -> Option<&'a Deal>,
) -> BTreeSet<FactKey> {
    let mut keys = BTreeSet::new();
    for event in events {
        match &event.observed {
            // What games and audits touch is found through the state, which knows their parties.
            Observed::JobPosted { .. }
            | Observed::TookOver { .. }
            | Observed::GameBegan(_)
            | Observed::GameWentOn { .. }
            | Observed::ClaimDecided { .. }
            | Observed::Audit(_)
            | Observed::Round { .. }
            | Observed::Drawn { .. }
            | Observed::DrawAnswered { .. }
            | Observed::DrawEnded { .. } => {}
            Observed::Opened { terms, .. } => touched_by_deal(terms, &mut keys),
            Observed::Changed { deal, change } => {
                if let Some(terms) = terms(deal) {
                    touched_by_deal(terms, &mut keys);
                    if let Change::Replaced { sender, .. } = change {
                        keys.insert(FactKey::Balance(*sender, terms.token));
                    }
                }
            }
            Observed::Balance { account, token } => {
                keys.insert(FactKey::Balance(*account, *token));
            }
            Observed::Cancelled { account, salt } => {
                keys.insert(FactKey::Salt(*account, *salt));
            }
            Observed::AllCancelled { account, .. } => {
                keys.insert(FactKey::Counter(*account));
            }
        }
    }
    keys
}

/// What a deal's history says to the book: the range that it left, and a provider that is barred.
#[must_use]
pub fn book_facts(deal: &DealRecord) -> Vec<book::Fact> {
    let mut facts = Vec::new();
    if deal.has_failed() {
        let left = deal.tasks_freed();
        facts.push(book::Fact::Freed {
            bid: deal.terms.bidHash,
            deal: deal.id,
            first: deal.terms.firstTask + (deal.terms.taskCount - left),
            count: left,
        });
    }
    for (_, change) in &deal.history {
        if matches!(change, Change::Cancelled { by, .. } if *by == deal.terms.provider) {
            facts.push(book::Fact::Barred {
                bid: deal.terms.bidHash,
                provider: deal.terms.provider,
                barred: true,
            });
        }
    }
    facts
}
