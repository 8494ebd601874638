//! Jobs that holders of reserved capacity draw on this node: each becomes a deal at no price.
//!
//! A draw names a bid and this node's account as its provider. The node signs an offer for that bid
//! alone, opens the deal, runs it like any other, and shows the claim to the auction. What it can't run
//! it cancels in the admission window, and gives the draw back.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use outcry_protocol::auction::Pool;
use outcry_protocol::types::{Bid, JobSpec, Offer, Resources};
use outcry_protocol::wire::{SignedBid, SignedOffer};
use outcry_sdk::api::DealState;
use outcry_store::keys::{self, Prefix, Table};
use outcry_store::{Batch, Store, StoreError, entries};
use serde::{Deserialize, Serialize};

use super::capacity::{OPENING_S_MAX, Reservation};
use super::deal::{Change, DealRecord};
use super::{Changes, State, journal};

/// What the auction's deployment fixed about draws.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// What a unit of each pool is.
    pub pools: Vec<Pool>,
    /// Seconds after a draw's deadline in which its holder may still say that it was refused.
    pub draw_s: u64,
}

/// Open draws on this node's account. There are never more than units that it has sold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draws {
    /// What is fixed about them.
    pub terms: Terms,
    open: BTreeMap<B256, Draw>,
}

/// An open draw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Draw {
    /// Its name in the auction.
    pub id: B256,
    /// The pool of the unit that it is drawn on.
    pub pool: u16,
    /// Last second at which a deal may be opened and claimed, Unix seconds.
    pub deadline: u64,
    /// Tasks, from the first on, of which claims were shown.
    pub answered: u32,
    /// Hash of the bid.
    pub bid_hash: B256,
    /// The bid.
    pub bid: Bid,
    /// The holder's signature of it.
    pub signature: Bytes,
    /// Its job.
    pub job: JobSpec,
}

/// What to do about a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Sign an offer for it; the reservation that follows opens the deal.
    Offer,
    /// Show the claim of this deal to the auction.
    Answer(B256),
    /// The deal was cancelled in the admission window: say so.
    GiveBack,
    /// Nobody can say any more that it was refused: have it ended.
    Lapse,
}

/// Names the one slot on which a draw's deal opens. The first half is the node's, the same for all its
/// draws, so that it knows such deals by it; the second is the draw's.
#[must_use]
pub fn capacity_id(peer_key: B256, draw: B256) -> B256 {
    let mut id = draw;
    id[..16].copy_from_slice(&mark(peer_key)[..16]);
    id
}

fn mark(peer_key: B256) -> B256 {
    keccak256([&b"outcry.draw.v1"[..], peer_key.as_slice()].concat())
}

impl Draws {
    /// A draw by its name.
    #[must_use]
    pub fn get(&self, id: &B256) -> Option<&Draw> {
        self.open.get(id)
    }

    fn of_bid(&self, bid: B256) -> Option<&Draw> {
        self.open.values().find(|draw| draw.bid_hash == bid)
    }
}

impl State {
    /// What is to be done about draws.
    pub(super) fn steps_of_draws(&self) -> impl Iterator<Item = (B256, Step)> {
        let draws = self.draws.open.values();
        draws.filter_map(|draw| Some((draw.id, self.draw_step(draw)?)))
    }

    /// The next step about a draw, if there is one.
    #[must_use]
    pub fn draw_step(&self, draw: &Draw) -> Option<Step> {
        let deals = self.deals_of(draw.bid_hash);
        let own: Vec<_> = deals.iter().filter(|deal| self.is_mine(deal)).collect();
        if own.iter().any(|deal| self.was_given_back(deal)) {
            return Some(Step::GiveBack);
        }
        if let Some(deal) = own.iter().find(|deal| answers(draw, deal)) {
            return Some(Step::Answer(deal.id));
        }
        if self.head.at > draw.deadline.saturating_add(self.draws.terms.draw_s) {
            return Some(Step::Lapse);
        }
        let may_open = self.head.at <= draw.deadline
            && !self.reservations.contains_key(&draw.id)
            && tasks_taken(&deals) < draw.bid.tasks;
        may_open.then_some(Step::Offer)
    }

    fn was_given_back(&self, deal: &DealRecord) -> bool {
        let by_me = |(_, change): &(_, Change)| matches!(change, Change::Cancelled { by, .. } if Some(*by) == self.setup.account);
        deal.history.iter().any(by_me)
    }

    /// Whether a deal's claim has to be shown to the auction before the deal is over.
    pub(super) fn awaits_answer(&self, deal: &DealRecord) -> bool {
        let draw = self.draws.of_bid(deal.terms.bidHash);
        draw.is_some_and(|draw| answers(draw, deal))
    }

    /// Whether a deal was opened on an offer that was meant for a draw, and no draw asks for it. Whoever
    /// sees the transaction that opens a draw's deal can use its offer, until that expires, for a bid of its own.
    pub(super) fn is_stray(&self, deal: &DealRecord) -> bool {
        let Some(capacity) = &self.setup.capacity else {
            return false;
        };
        deal.terms.capacityId[..16] == mark(capacity.peer_key)[..16]
            && self.draws.of_bid(deal.terms.bidHash).is_none()
    }

    /// The unsigned offer for a draw: what the pool promises, at no price, one slot, for as long as an
    /// opening may take. `None` for a node that is no provider, or a pool that the auction does not have.
    #[must_use]
    pub fn draw_offer(&self, draw: &Draw, salt: U256, counter: u64) -> Option<Offer> {
        let capacity = self.setup.capacity.as_ref()?;
        let pool = self.draws.terms.pools.get(usize::from(draw.pool))?;
        Some(Offer {
            provider: capacity.provider,
            token: draw.bid.token,
            capacityId: capacity_id(capacity.peer_key, draw.id),
            slots: 1,
            peerKey: capacity.peer_key,
            region: pool.region,
            attributes: pool.attributes,
            resources: Resources {
                memoryMib: pool.memoryMib,
                diskMib: pool.diskMib,
                gpuClass: 0,
                gpuCount: 0,
                egressMib: pool.egressMib,
            },
            startFee: 0,
            cyclePrice: 0,
            memoryPrice: 0,
            diskPrice: 0,
            gpuPrice: 0,
            egressPrice: 0,
            speed: pool.speed,
            collateralMax: 0,
            machineVersion: draw.job.machineVersion,
            tip: 0,
            expiry: self
                .head
                .at
                .saturating_add(OPENING_S_MAX)
                .min(draw.deadline),
            salt,
            counter,
        })
    }

    /// Reserves the opening of a draw's deal.
    pub(super) fn draw_offered(&mut self, id: B256, offer: SignedOffer, changes: &mut Changes) {
        let Some(draw) = self.draws.get(&id) else {
            return;
        };
        if self.draw_step(draw) != Some(Step::Offer) {
            return;
        }
        let taken = tasks_taken(&self.deals_of(draw.bid_hash));
        let reservation = Reservation {
            id,
            block: self.head.number,
            not_after: offer.offer.expiry,
            bid: SignedBid {
                bid: draw.bid.clone(),
                signature: draw.signature.to_vec(),
                job: draw.job.clone(),
            },
            offer,
            count: draw.bid.tasks - taken,
            failed: None,
            displaced: None,
            mined_in: None,
        };
        journal::put_reservation(&mut changes.local, &reservation);
        self.reservations.insert(id, reservation);
    }

    /// Somebody drew a job on `provider`.
    pub(super) fn drawn(&mut self, provider: Address, draw: Draw, changes: &mut Changes) {
        if self.setup.capacity.is_some() && self.setup.account == Some(provider) {
            put(&mut changes.chain, &draw);
            self.draws.open.insert(draw.id, draw);
        }
    }

    /// Claims of so many tasks of a draw were shown: with all, it is over.
    pub(super) fn draw_answered(&mut self, id: B256, answered: u32, changes: &mut Changes) {
        let Some(draw) = self.draws.open.get_mut(&id) else {
            return;
        };
        draw.answered = answered;
        if answered < draw.bid.tasks {
            put(&mut changes.chain, draw);
        } else {
            self.draw_ended(id, changes);
        }
    }

    /// A draw is over.
    pub(super) fn draw_ended(&mut self, id: B256, changes: &mut Changes) {
        if self.draws.open.remove(&id).is_some() {
            changes.chain.delete(keys::draw(&id.0));
        }
    }

    pub(super) fn load_draws(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        self.draws.open.clear();
        for entry in entries(store, &Prefix::table(Table::Draw)) {
            let (key, value) = entry?;
            let draw: Draw = journal::get(&key, &value)?;
            self.draws.open.insert(draw.id, draw);
        }
        Ok(())
    }
}

fn put(batch: &mut Batch, draw: &Draw) {
    journal::put(batch, keys::draw(&draw.id.0), draw);
}

/// Whether the auction would take this deal's claim as the draw's next answer.
fn answers(draw: &Draw, deal: &DealRecord) -> bool {
    let is_claimed = matches!(
        deal.state(),
        DealState::Claimed | DealState::Accepted | DealState::Challenged
    );
    is_claimed && deal.terms.bidHash == draw.bid_hash && deal.terms.firstTask == draw.answered
}

/// Tasks of a bid that deals have taken: they are taken in order.
fn tasks_taken(deals: &[&DealRecord]) -> u32 {
    let ends = deals
        .iter()
        .map(|deal| deal.terms.firstTask.saturating_add(deal.terms.taskCount));
    ends.max().unwrap_or(0)
}
