//! Rounds of the auction, as far as this node has to bring them on.
//!
//! Kept of each is what tells whether there is something to do; what exactly is read from the chain when it
//! is done ([`outcry_sdk::Chain::plan_tending`]). A call that somebody else was first with is refused,
//! so that neither a kill nor a fork can do anything twice.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, I256, U256, keccak256};
use outcry_protocol::auction::Phase;
use outcry_protocol::auction::calendar::Calendar;
use outcry_store::keys::{self, Prefix, Table};
use outcry_store::{Store, StoreError, entries};
use serde::{Deserialize, Serialize};

use super::deal::Place;
use super::{Changes, State, journal};

/// Part of the post phase in which tenders wait for each other.
const TURNS: u64 = 4;
/// The mark of a round whose season is over; no block has this number.
const SEASON_OVER: u64 = u64::MAX;

/// What is known of rounds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rounds {
    /// When rounds begin and end; `None` for a node that tends none.
    pub calendar: Option<Calendar>,
    open: BTreeMap<u64, Round>,
    /// The phase in which a round was last looked at, and its [`State::round_mark`] then.
    tended: BTreeMap<u64, (Phase, u64)>,
}

/// A round in which something may still have to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Round {
    /// Commitments of this node's account that were not revealed yet.
    sealed: BTreeSet<B256>,
    /// Orders that were revealed.
    orders: u16,
    /// Of these, settled or released.
    closed: u16,
    /// Results that stand.
    results: BTreeMap<u32, Standing>,
    /// Results of this node's account whose bond it has not got back.
    bonds: BTreeSet<u32>,
    /// Own orders of new capacity: once they have sold some, their deposits stay until the season is over.
    offers: BTreeSet<u16>,
    deposits: BTreeSet<u16>,
    /// Orders that earn for this node, as sellers or through the fee, with the interval before which they are
    /// paid out.
    earning: BTreeMap<u16, u64>,
    /// Block of the last order or result.
    changed: u64,
}

/// A result that stands, by what it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Who posted it.
    pub poster: Address,
    /// Its welfare, base units.
    pub welfare: I256,
    /// What is paid under it in all, base units.
    pub volume: U256,
}

/// Something happened in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundEvent {
    /// An account committed to an order.
    Committed {
        /// Who.
        account: Address,
        /// The order's hash.
        commitment: B256,
    },
    /// An order was revealed.
    Revealed {
        /// The order.
        order: u16,
        /// Whose it is.
        account: Address,
        /// Whether it offers new capacity.
        is_new: bool,
        /// Its hash.
        commitment: B256,
    },
    /// A result was posted.
    Posted {
        /// Its number.
        result: u32,
        /// Whose it is, and what it claims.
        standing: Standing,
    },
    /// A result fell.
    Disproved {
        /// Its number.
        result: u32,
    },
    /// A bond went back.
    Collected {
        /// The result's number.
        result: u32,
    },
    /// An order was settled or released.
    Closed {
        /// The order.
        order: u16,
        /// Whose it is.
        account: Address,
        /// Whether it earns.
        earns: bool,
    },
    /// A deposit went back after the season.
    Reclaimed {
        /// The order.
        order: u16,
    },
    /// An order's intervals were paid out.
    Earned {
        /// The order.
        order: u16,
    },
}

impl Round {
    /// Whose result is the best one: as the contract ranks them, which compares volumes only where the
    /// fills are the same.
    fn best(&self) -> Option<Address> {
        let results = self.results.iter();
        let best = results.max_by_key(|(id, one)| (one.welfare, Reverse((one.volume, **id))));
        best.map(|(_, one)| one.poster)
    }

    /// Whether nothing is left to do, once it is final, but for deposits.
    fn is_over(&self) -> bool {
        self.closed >= self.orders && self.bonds.is_empty() && self.earning.is_empty()
    }
}

impl State {
    /// Rounds in which this node has something to do.
    pub(super) fn rounds_to_tend(&self) -> Vec<u64> {
        let Some(calendar) = &self.rounds.calendar else {
            return Vec::new();
        };
        let open = self.rounds.open.iter();
        let due = open.filter(|(number, round)| self.is_due(calendar, **number, round));
        due.map(|(number, _)| *number).collect()
    }

    fn is_due(&self, calendar: &Calendar, number: u64, round: &Round) -> bool {
        let now = self.head.at;
        match calendar.phase(number, now) {
            Phase::Reveal => !round.sealed.is_empty(),
            phase @ (Phase::Post | Phase::Dispute) => {
                let looked = self.rounds.tended.get(&number);
                let is_new = looked != Some(&(phase, round.changed));
                // Who is first with a result lets those who would post the same one save the gas.
                let waits = phase == Phase::Post
                    && round.results.is_empty()
                    && now < self.post_turn(calendar, number);
                round.orders > 0 && is_new && !waits
            }
            Phase::Final => {
                let interval = calendar.round_at(now).unwrap_or(0);
                let term = calendar.term(number);
                let over = interval.min(term.from + u64::from(term.intervals));
                let mut paid = round.earning.values();
                round.closed < round.orders
                    || !round.bonds.is_empty()
                    || paid.any(|paid| *paid < over)
                    || self.has_deposits(calendar, number, round)
            }
            _ => false,
        }
    }

    /// Whether deposits are to be taken back: once, for penalties may have left nothing of them.
    fn has_deposits(&self, calendar: &Calendar, number: u64, round: &Round) -> bool {
        self.is_season_over(calendar, number)
            && !round.deposits.is_empty()
            && self.rounds.tended.get(&number) != Some(&(Phase::Final, SEASON_OVER))
    }

    fn is_season_over(&self, calendar: &Calendar, number: u64) -> bool {
        self.head.at >= calendar.season_end(calendar.term(number).season)
    }

    /// When it is this node's turn to post: nodes come one after another, in another order in each round.
    fn post_turn(&self, calendar: &Calendar, number: u64) -> u64 {
        let from = calendar.post_from(number);
        let wait = calendar.dispute_from(number).saturating_sub(from) / TURNS;
        let account = self.setup.account.unwrap_or_default();
        let place = keccak256([account.as_slice(), &number.to_be_bytes()].concat());
        let place = u64::from_be_bytes(place[..8].try_into().unwrap_or_default());
        from + place % wait.max(1)
    }

    /// What a round is like now, as far as this node knows: another mark, and there may be something to do
    /// again. `None` for one that is over.
    #[must_use]
    pub fn round_mark(&self, number: u64) -> Option<u64> {
        let round = self.rounds.open.get(&number)?;
        let calendar = self.rounds.calendar.as_ref()?;
        let is_over = self.is_season_over(calendar, number);
        Some(if is_over { SEASON_OVER } else { round.changed })
    }

    /// All that could be done for a round in a phase was done, as of a mark.
    pub(super) fn round_tended(&mut self, number: u64, phase: Phase, mark: u64) {
        if self.rounds.open.contains_key(&number) {
            self.rounds.tended.insert(number, (phase, mark));
        }
    }

    pub(super) fn round_event(
        &mut self,
        number: u64,
        place: Place,
        event: RoundEvent,
        changes: &mut Changes,
    ) {
        let (Some(calendar), Some(me)) = (self.rounds.calendar, self.setup.account) else {
            return;
        };
        let round = self.rounds.open.entry(number).or_default();
        match event {
            RoundEvent::Committed {
                account,
                commitment,
            } => {
                if account == me {
                    round.sealed.insert(commitment);
                }
            }
            RoundEvent::Revealed {
                order,
                account,
                is_new,
                commitment,
            } => {
                round.sealed.remove(&commitment);
                if is_new && account == me {
                    round.offers.insert(order);
                }
                round.orders = round.orders.saturating_add(1);
                round.changed = place.block;
            }
            RoundEvent::Posted { result, standing } => {
                round.results.insert(result, standing);
                if standing.poster == me {
                    round.bonds.insert(result);
                }
                round.changed = place.block;
            }
            RoundEvent::Disproved { result } => {
                round.results.remove(&result);
                round.bonds.remove(&result);
                round.changed = place.block;
            }
            RoundEvent::Collected { result } => {
                round.bonds.remove(&result);
            }
            RoundEvent::Closed {
                order,
                account,
                earns,
            } => {
                round.closed = round.closed.saturating_add(1);
                if earns && (account == me || round.best() == Some(me)) {
                    round.earning.insert(order, calendar.term(number).from);
                }
                if earns && round.offers.contains(&order) {
                    round.deposits.insert(order);
                }
            }
            RoundEvent::Reclaimed { order } => {
                round.deposits.remove(&order);
            }
            RoundEvent::Earned { order } => {
                let term = calendar.term(number);
                let interval = calendar.round_at(place.at).unwrap_or(0);
                if interval >= term.from + u64::from(term.intervals) {
                    round.earning.remove(&order);
                } else if let Some(paid) = round.earning.get_mut(&order) {
                    *paid = interval;
                }
            }
        }
        journal::put(&mut changes.chain, keys::round(number), round);
    }

    /// Forgets rounds that are over.
    pub(super) fn forget_rounds(&mut self, changes: &mut Changes) {
        let Some(calendar) = self.rounds.calendar else {
            return;
        };
        let now = self.head.at;
        let open = self.rounds.open.iter();
        let over: Vec<u64> = open
            .filter(|(number, round)| {
                let is_settled = calendar.phase(**number, now) == Phase::Final && round.is_over();
                let has_deposits = !round.deposits.is_empty()
                    && (!self.is_season_over(&calendar, **number)
                        || self.has_deposits(&calendar, **number, round));
                is_settled && !has_deposits
            })
            .map(|(number, _)| *number)
            .collect();
        for number in over {
            changes.chain.delete(keys::round(number));
            self.rounds.open.remove(&number);
        }
        let open = &self.rounds.open;
        self.rounds
            .tended
            .retain(|number, _| open.contains_key(number));
    }

    pub(super) fn load_rounds(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        self.rounds.open.clear();
        self.rounds.tended.clear();
        let prefix = Prefix::table(Table::Round);
        for entry in entries(store, &prefix) {
            let (key, value) = entry?;
            let number = key
                .after(&prefix)
                .and_then(|field| <[u8; 8]>::try_from(field).ok())
                .ok_or_else(|| StoreError::Damaged(format!("the key {key} names no round")))?;
            let round = journal::get(&key, &value)?;
            self.rounds.open.insert(u64::from_be_bytes(number), round);
        }
        Ok(())
    }
}
