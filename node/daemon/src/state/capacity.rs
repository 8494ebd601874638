//! What a provider has, and which matches it can keep: free slots, bounded value at risk.
//!
//! A reservation is on disk before the transaction that opens its deal is signed, and holds its
//! slot until the chain shows the deal or the contract refuses it. Over-committing costs collateral.

use alloy::primitives::{Address, B256, U256, keccak256};
use outcry_protocol::matching::Match;
use outcry_protocol::money::{self, Tariff};
use outcry_protocol::types::{Offer, Resources};
use outcry_protocol::wire::{SignedBid, SignedOffer};
use outcry_protocol::{deal, ranking};
use outcry_sdk::api::DealState;
use outcry_store::Batch;

use super::{Changes, State, journal};

/// What a provider offers; the unsigned part of every [`Offer`] it makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// The account that offers.
    pub provider: Address,
    /// Key of the node.
    pub peer_key: B256,
    /// Names the pool of slots.
    pub capacity_id: B256,
    /// Payment token.
    pub token: Address,
    /// Jobs at once.
    pub slots: u32,
    /// Region number.
    pub region: u8,
    /// Attribute bits.
    pub attributes: U256,
    /// What a slot has.
    pub resources: Resources,
    /// Base units per task.
    pub start_fee: u128,
    /// Base units per 10^18 cycles.
    pub cycle_price: u128,
    /// The same per MiB of memory.
    pub memory_price: u128,
    /// The same per MiB of disk.
    pub disk_price: u128,
    /// The same per MiB of egress.
    pub egress_price: u128,
    /// Cycles per second.
    pub speed: u64,
    /// Largest cycle limit of a task.
    pub cycle_limit_max: u64,
    /// Most collateral of one deal.
    pub collateral_max: u128,
    /// Most collateral of all deals together.
    pub value_at_risk_max: u128,
    /// Version of the machine's rules.
    pub machine_version: u32,
    /// Tip for others who send this provider's transactions.
    pub tip: u128,
    /// Seconds that an offer lives.
    pub offer_s: u64,
}

impl Capacity {
    /// An offer of all of it.
    #[must_use]
    pub fn offer(&self, expiry: u64, salt: U256, counter: u64) -> Offer {
        Offer {
            provider: self.provider,
            token: self.token,
            capacityId: self.capacity_id,
            slots: self.slots,
            peerKey: self.peer_key,
            region: self.region,
            attributes: self.attributes,
            resources: self.resources.clone(),
            startFee: self.start_fee,
            cyclePrice: self.cycle_price,
            memoryPrice: self.memory_price,
            diskPrice: self.disk_price,
            gpuPrice: 0,
            egressPrice: self.egress_price,
            speed: self.speed,
            collateralMax: self.collateral_max,
            machineVersion: self.machine_version,
            tip: self.tip,
            expiry,
            salt,
            counter,
        }
    }

    /// Whether an offer says what this node would say now.
    #[must_use]
    pub fn is_described_by(&self, offer: &Offer) -> bool {
        self.offer(offer.expiry, offer.salt, offer.counter) == *offer
    }
}

/// A match of an own offer on its way to the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Hash of bid, offer, epoch and place in it, or of the displaced deal and the offer.
    pub id: B256,
    /// Number of the epoch's block, or of the one after which the deal was found to be replaceable.
    pub block: u64,
    /// Chain time after which the opening is no longer sent.
    pub not_after: u64,
    /// The bid.
    pub bid: SignedBid,
    /// The own offer.
    pub offer: SignedOffer,
    /// Tasks.
    pub count: u32,
    /// The failed deal whose range is taken over.
    pub failed: Option<B256>,
    /// The open deal in whose place this one is to come.
    pub displaced: Option<B256>,
    /// Block in which the deal opened, once the sender knows.
    pub mined_in: Option<u64>,
}

/// Seconds of chain time that an opening may take; later the match is stale.
pub(super) const OPENING_S_MAX: u64 = 60;
/// Deals of a block for which the book is searched for a better offer; those of the smallest ids. Each
/// search looks at every offer once, and who fills the list with deals of his own pays for opening them.
const RANKED_MAX: usize = 16;

/// Whose tasks an opening takes over.
#[derive(Debug, Clone, Copy)]
enum Takes {
    /// Nobody's, or a failed deal's.
    Freed(Option<B256>),
    /// Those of a deal that is open until then.
    Displaced(B256),
}

impl State {
    /// Slots of the own offers that no deal and no reservation holds. Draws have slots of their own.
    #[must_use]
    pub fn slots_free(&self) -> u32 {
        let Some(capacity) = &self.setup.capacity else {
            return 0;
        };
        let open = self.works.keys().filter(|id| {
            self.deals.get(*id).is_some_and(|deal| {
                deal.state() == DealState::Open && deal.terms.capacityId == capacity.capacity_id
            })
        });
        let opening = self.reservations.values();
        let opening = opening.filter(|one| one.offer.offer.capacityId == capacity.capacity_id);
        let busy = open.count() + opening.count();
        capacity
            .slots
            .saturating_sub(u32::try_from(busy).unwrap_or(u32::MAX))
    }

    /// Collateral that deals and reservations hold, base units.
    #[must_use]
    pub fn value_at_risk(&self) -> u128 {
        let deals = self.works.keys().filter_map(|id| self.deals.get(id));
        let locked = deals.map(|deal| deal.terms.collateral);
        locked
            .chain(self.reservations.values().map(Reservation::collateral))
            .fold(0, u128::saturating_add)
    }

    /// Reserves slots for the epoch's matches of the own offer, as far as they can be kept.
    pub(super) fn reserve(&mut self, matches: &[Match], batch: &mut Batch) {
        let Some(capacity) = self.setup.capacity.clone() else {
            return;
        };
        if self.is_draining {
            return;
        }
        // One opening of a bid at a time: until the chain shows it, the book still counts its tasks
        // as open and the same match would be made again.
        let pending: Vec<B256> = self
            .reservations
            .values()
            .map(|r| self.book.domain().bid_hash(&r.bid.bid))
            .collect();
        for (ordinal, found) in (0_u32..).zip(matches) {
            // A bid that came before this block may be on its way to the chain with another
            // provider: it has one block for that.
            let promised = self.promised.get(&found.bid);
            let is_promised = promised.is_some_and(|offers| !offers.contains(&found.offer));
            if pending.contains(&found.bid) || is_promised {
                continue;
            }
            let name = [
                found.bid.0,
                found.offer.0,
                self.head.hash.0,
                U256::from(ordinal).to_be_bytes(),
            ];
            let takes = Takes::Freed(found.failed_deal);
            let opening = (
                keccak256(name.concat()),
                found.bid,
                found.offer,
                found.count,
            );
            self.reserve_one(&capacity, opening, takes, batch);
        }
    }

    /// Reserves slots for the tasks of deals that can be replaced and for which an own offer is the best
    /// that is known, and better by enough.
    pub(super) fn reserve_replacements(&mut self, batch: &mut Batch) {
        let Some(capacity) = self.setup.capacity.clone() else {
            return;
        };
        if self.is_draining {
            return;
        }
        let (block, at) = (self.head.number, self.head.at);
        let pending: Vec<B256> = self
            .reservations
            .values()
            .filter_map(|reservation| reservation.displaced)
            .collect();
        let ranked: Vec<B256> = self
            .deals
            .values()
            .filter(|deal| deal.is_replaceable(block, at) && !pending.contains(&deal.id))
            .map(|deal| deal.id)
            .take(RANKED_MAX)
            .collect();
        for id in ranked {
            let terms = self.deals.get(&id).map(|deal| &deal.terms);
            let found = terms.and_then(|terms| {
                let found = ranking::replacement(&self.book, terms)?;
                Some((terms.bidHash, found.offer, terms.taskCount))
            });
            let Some((bid, offer, count)) = found else {
                continue;
            };
            let name = keccak256([id.0, offer.0].concat());
            self.reserve_one(
                &capacity,
                (name, bid, offer, count),
                Takes::Displaced(id),
                batch,
            );
        }
    }

    /// Reserves a slot for an opening (its name, the bid, the offer, the number of tasks), unless the offer
    /// is somebody else's or it can't be kept.
    fn reserve_one(
        &mut self,
        capacity: &Capacity,
        (id, bid, offer, count): (B256, B256, B256, u32),
        takes: Takes,
        batch: &mut Batch,
    ) {
        let (Some(offer), Some(bid)) = (self.book.offer(&offer), self.book.bid(&bid)) else {
            return;
        };
        let is_own = offer.offer.provider == capacity.provider
            && offer.offer.capacityId == capacity.capacity_id;
        let fits = bid.job.cycleLimit <= capacity.cycle_limit_max;
        if !is_own || !fits || self.slots_free() == 0 {
            return;
        }
        let (failed, displaced) = match takes {
            Takes::Freed(failed) => (failed, None),
            Takes::Displaced(deal) => (None, Some(deal)),
        };
        let window_end = displaced
            .and_then(|deal| self.deals.get(&deal))
            .map_or(u64::MAX, |record| deal::starts_by(&record.terms));
        let reservation = Reservation {
            id,
            block: self.head.number,
            not_after: self
                .head
                .at
                .saturating_add(OPENING_S_MAX)
                .min(bid.bid.expiry)
                .min(offer.offer.expiry)
                .min(window_end),
            bid: bid.clone(),
            offer: offer.clone(),
            count,
            failed,
            displaced,
            mined_in: None,
        };
        let at_risk = self.value_at_risk();
        if at_risk.saturating_add(reservation.collateral()) > capacity.value_at_risk_max {
            return;
        }
        journal::put_reservation(batch, &reservation);
        self.reservations.insert(reservation.id, reservation);
    }

    /// Lets go of reservations whose deals the state has by now.
    pub(super) fn release_reservations(&mut self, changes: &mut Changes) {
        let head = self.head.number;
        self.reservations.retain(|id, reservation| {
            let shown = reservation.mined_in.is_some_and(|block| block <= head);
            if shown {
                changes
                    .local
                    .delete(outcry_store::keys::reservation(&id.0, 0));
            }
            !shown
        });
    }
}

impl Reservation {
    /// Collateral that the deal will lock; the most there is when it does not fit 128 bits, which
    /// the contract refuses.
    #[must_use]
    pub fn collateral(&self) -> u128 {
        Tariff::of(&self.bid.bid, &self.offer.offer)
            .and_then(|tariff| tariff.escrow(self.bid.job.cycleLimit, self.count))
            .and_then(|escrow| money::collateral(escrow, self.bid.bid.collateralBps))
            .unwrap_or(u128::MAX)
    }
}
