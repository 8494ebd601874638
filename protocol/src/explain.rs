//! Why a bid finds no offer, from the local book alone: for each constraint how many live offers
//! fail it, and the single changes to the bid that would match, cheapest first.

use alloy_primitives::{Address, B256, U256};

use crate::book::Book;
use crate::codes::{self, Code, Coded};
use crate::fit::{Constraint, Demand, Rejection, judge};
use crate::hash::job_hash;
use crate::limits::{EXECUTION_TIMEOUT_S_MAX, PAGES_PER_MIB, PRICE_MAX};
use crate::money::{self, Tariff};
use crate::order::{self, OrderError};
use crate::types::{Bid, JobSpec, Offer};

/// What is wrong with the bid itself, before any offer is looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BidProblem {
    /// Its form is wrong.
    #[error(transparent)]
    Invalid(#[from] OrderError),
    /// Cancelled, or every task is taken.
    #[error("the bid is cancelled, or every task of it is taken")]
    NotLive,
    /// The account's balance does not reach it; base units.
    #[error(
        "the buyer's free balance is {has}, this bid needs at least {needs} besides the account's other bids"
    )]
    Uncovered {
        /// Free balance.
        has: u128,
        /// [`Book::commitment`].
        needs: u128,
    },
}

impl Coded for BidProblem {
    fn code(&self) -> &'static Code {
        match self {
            Self::Invalid(error) => error.code(),
            Self::NotLive => &codes::ORDER_TAKEN,
            Self::Uncovered { .. } => &codes::MATCH_BUYER_BALANCE,
        }
    }
}

/// How the live offers fare with one constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub constraint: Constraint,
    /// Live offers that fail it.
    pub offers: usize,
    /// Live offers that fail it and nothing else.
    pub alone: usize,
    /// The failing value nearest to what the bid asks: the largest memory, disk, egress or
    /// collateral multiple, the lowest price, the shortest time. `None` where values do not compare.
    pub nearest: Option<U256>,
}

/// One change to the bid (or, for the last three, to the world) that makes an offer fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// Pay in this token.
    PayIn(Address),
    /// Link the program for this machine version.
    UseMachine(u32),
    /// Accept this region too.
    AcceptRegion(u8),
    /// Do without these attributes.
    DropAttributes(U256),
    /// Reserve this many MiB of memory, and let the job use no more.
    LowerMemory(u32),
    /// Reserve this many MiB of disk.
    LowerDisk(u32),
    /// Reserve this many MiB of egress.
    LowerEgress(u32),
    /// Raise the cap to this, base units per task.
    RaisePriceCap(u128),
    /// Allow this many seconds.
    RaiseExecutionTimeout(u32),
    /// Ask for this multiple, basis points.
    LowerCollateral(u32),
    /// Wait until a slot is free.
    WaitForSlot,
    /// Wait until the provider has deposited more.
    WaitForProvider,
    /// Bid from another account.
    UseOtherAccount,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PayIn(token) => write!(f, "pay in token {token}"),
            Self::UseMachine(version) => {
                write!(f, "link the program for machine version {version}")
            }
            Self::AcceptRegion(region) => write!(f, "accept region {region}"),
            Self::DropAttributes(bits) => write!(f, "do without the attributes {bits:#x}"),
            Self::LowerMemory(mib) => write!(f, "reserve {mib} MiB of memory"),
            Self::LowerDisk(mib) => write!(f, "reserve {mib} MiB of disk"),
            Self::LowerEgress(mib) => write!(f, "reserve {mib} MiB of egress"),
            Self::RaisePriceCap(cap) => write!(f, "raise the price cap to {cap} per task"),
            Self::RaiseExecutionTimeout(s) => write!(f, "raise the execution timeout to {s} s"),
            Self::LowerCollateral(bps) => {
                write!(f, "ask for a collateral multiple of {bps} basis points")
            }
            Self::WaitForSlot => f.write_str("wait until a slot is free"),
            Self::WaitForProvider => f.write_str("wait until the provider has deposited more"),
            Self::UseOtherAccount => f.write_str("bid from another account"),
        }
    }
}

impl Change {
    /// The change that lifts a rejection; `None` where no single change of the bid does.
    fn lifting(rejection: &Rejection) -> Option<Self> {
        Some(match *rejection {
            Rejection::SelfDeal => Self::UseOtherAccount,
            Rejection::Token(token) => Self::PayIn(token),
            Rejection::Machine(version) => Self::UseMachine(version),
            Rejection::Region(region) => Self::AcceptRegion(region),
            Rejection::Attributes(missing) => Self::DropAttributes(missing),
            Rejection::Memory(mib) => Self::LowerMemory(mib),
            Rejection::Disk(mib) => Self::LowerDisk(mib),
            Rejection::Egress(mib) => Self::LowerEgress(mib),
            Rejection::Price(expected) => Self::RaisePriceCap(
                u128::try_from(expected)
                    .ok()
                    .filter(|cap| *cap <= PRICE_MAX)?,
            ),
            Rejection::Speed(seconds) => Self::RaiseExecutionTimeout(
                u32::try_from(seconds)
                    .ok()
                    .filter(|s| *s <= EXECUTION_TIMEOUT_S_MAX)?,
            ),
            Rejection::Collateral(bps) => Self::LowerCollateral(bps),
            Rejection::Slots => Self::WaitForSlot,
            Rejection::ProviderBalance => Self::WaitForProvider,
            Rejection::Gpu { .. } | Rejection::Amount | Rejection::Barred => return None,
        })
    }

    /// How far the change goes, so that the smallest can be kept; 0 where changes do not compare.
    fn extent(&self) -> U256 {
        match *self {
            Self::LowerMemory(v)
            | Self::LowerDisk(v)
            | Self::LowerEgress(v)
            | Self::LowerCollateral(v) => U256::from(u32::MAX - v),
            Self::RaisePriceCap(cap) => U256::from(cap),
            Self::RaiseExecutionTimeout(seconds) => U256::from(seconds),
            Self::DropAttributes(bits) => U256::from(bits.count_ones()),
            _ => U256::ZERO,
        }
    }

    /// Whether the bid itself changes, not the world.
    fn is_of_bid(&self) -> bool {
        !matches!(
            self,
            Self::WaitForSlot | Self::WaitForProvider | Self::UseOtherAccount
        )
    }

    /// Whether the offer fits the bid once it is changed, the changed bid's form and money included.
    /// Raising the cap, for one, also raises the collateral and what the buyer must hold.
    fn suffices(&self, wanted: &Wanted<'_>, offer: &Offer) -> bool {
        // The world changes by what the one rejection named.
        if !self.is_of_bid() {
            return true;
        }
        let Wanted { book, bid, job, .. } = wanted;
        let (bid, job) = self.applied(bid, job);
        if order::validate_bid_form(&bid, &job).is_err() {
            return false;
        }
        let mut fits = true;
        let mut reject = |_| {
            fits = false;
            true
        };
        judge(&bid, &job, offer, &mut reject);
        circumstances(book, &bid, &job, offer, &mut reject);
        // Who does not pay yet is told so before, and may ask what it would take. But a token is only
        // worth naming to somebody who has it: anybody can make one.
        let is_paid = || book.is_covered_instead(book.domain().bid_hash(&bid), &bid, wanted.hash);
        let must_pay = wanted.is_covered || matches!(self, Self::PayIn(_));
        fits && (!must_pay || is_paid())
    }

    /// The bid and job after the change. A real one must be signed anew.
    #[must_use]
    pub fn applied(&self, bid: &Bid, job: &JobSpec) -> (Bid, JobSpec) {
        let (mut bid, mut job) = (bid.clone(), job.clone());
        match *self {
            Self::PayIn(token) => bid.token = token,
            Self::UseMachine(version) => {
                job.machineVersion = version;
                bid.jobHash = job_hash(&job);
            }
            Self::AcceptRegion(region) => bid.regions |= U256::from(1) << usize::from(region),
            Self::DropAttributes(bits) => bid.attributes &= !bits,
            // What is reserved bounds what the job may use.
            Self::LowerMemory(mib) => {
                bid.resources.memoryMib = mib;
                job.pageLimit = job.pageLimit.min(mib.saturating_mul(PAGES_PER_MIB));
                bid.jobHash = job_hash(&job);
            }
            Self::LowerDisk(mib) => bid.resources.diskMib = mib,
            Self::LowerEgress(mib) => bid.resources.egressMib = mib,
            Self::RaisePriceCap(cap) => bid.priceCap = cap,
            Self::RaiseExecutionTimeout(seconds) => bid.executionTimeout = seconds,
            Self::LowerCollateral(bps) => bid.collateralBps = bps,
            Self::WaitForSlot | Self::WaitForProvider | Self::UseOtherAccount => {}
        }
        (bid, job)
    }
}

/// A change and what it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suggestion {
    /// The change.
    pub change: Change,
    /// An offer that then fits.
    pub offer: B256,
    /// Its expected price of a task, base units.
    pub cost: U256,
}

/// What [`explain`] finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Live offers.
    pub offers: usize,
    /// Live offers that fit now, a free slot included.
    pub fitting: usize,
    /// What is wrong with the bid itself.
    pub problem: Option<BidProblem>,
    /// Constraints that at least one live offer fails, in the order in which they are tried.
    pub failures: Vec<Failure>,
    /// At most one per constraint, cheapest first (by expected price of a task); another token last.
    pub changes: Vec<Suggestion>,
}

/// The bid that is explained.
struct Wanted<'a> {
    book: &'a Book,
    hash: B256,
    bid: &'a Bid,
    job: &'a JobSpec,
    /// Whether the buyer's balance reaches it.
    is_covered: bool,
}

#[derive(Clone, Copy)]
struct Tally {
    offers: usize,
    alone: usize,
    nearest: Option<U256>,
    change: Option<(U256, B256, Change)>,
}

/// Explains a bid, which need not be in the book nor signed. One pass over the live offers.
#[must_use]
pub fn explain(book: &Book, bid: &Bid, job: &JobSpec) -> Explanation {
    let hash = book.domain().bid_hash(bid);
    let none = Tally {
        offers: 0,
        alone: 0,
        nearest: None,
        change: None,
    };
    let mut tallies = [none; Constraint::ALL.len()];
    let (mut offers, mut fitting) = (0, 0);
    let bars_anyone = book.bars_anyone(hash);
    let demand = Demand::of(bid, job);
    let wanted = Wanted {
        book,
        hash,
        bid,
        job,
        is_covered: book.is_covered(hash, bid),
    };
    let unbacked = book.unbacked();
    for (offer_hash, signed) in book.live_offers() {
        offers += 1;
        let mut failed = 0u32;
        let mut only = None;
        let mut count = |rejection: Rejection| {
            failed += 1;
            only = Some(rejection);
            let tally = &mut tallies[rejection.constraint() as usize];
            tally.offers += 1;
            if let Some((value, larger)) = measure(&rejection) {
                tally.nearest = Some(tally.nearest.map_or(value, |best| {
                    if larger {
                        best.max(value)
                    } else {
                        best.min(value)
                    }
                }));
            }
            true
        };
        demand.judge(&signed.offer, &mut count);
        if bars_anyone && book.is_barred(hash, signed.offer.provider) {
            count(Rejection::Barred);
        }
        if unbacked.contains(offer_hash) {
            count(Rejection::ProviderBalance);
        } else {
            circumstances(book, bid, job, &signed.offer, &mut count);
        }
        match (failed, only) {
            (0, _) => fitting += 1,
            (1, Some(rejection)) => {
                let tally = &mut tallies[rejection.constraint() as usize];
                tally.alone += 1;
                if let Some(change) = Change::lifting(&rejection) {
                    let (extent, best) = (change.extent(), tally.change);
                    if best.is_none_or(|best| (extent, *offer_hash) < (best.0, best.1))
                        && change.suffices(&wanted, &signed.offer)
                    {
                        tally.change = Some((extent, *offer_hash, change));
                    }
                }
            }
            _ => {}
        }
    }
    let failures = Constraint::ALL
        .into_iter()
        .zip(&tallies)
        .filter(|(_, tally)| tally.offers > 0)
        .map(|(constraint, tally)| Failure {
            constraint,
            offers: tally.offers,
            alone: tally.alone,
            nearest: tally.nearest,
        })
        .collect();
    let mut changes: Vec<Suggestion> = tallies
        .iter()
        .filter_map(|tally| tally.change)
        .filter_map(|(_, offer, change)| {
            let signed = book.offer(&offer)?;
            let (changed, _) = change.applied(bid, job);
            let tariff = Tariff::of(&changed, &signed.offer).ok()?;
            Some(Suggestion {
                change,
                offer,
                cost: tariff.uncapped(bid.cyclesExpected),
            })
        })
        .collect();
    // Stable: equal costs stay in the order of the constraints. Costs in another token do not compare.
    changes.sort_by_key(|suggestion| {
        let is_elsewhere = matches!(suggestion.change, Change::PayIn(_));
        (is_elsewhere, suggestion.cost)
    });
    Explanation {
        offers,
        fitting,
        problem: problem(book, hash, bid, job),
        failures,
        changes,
    }
}

fn problem(book: &Book, hash: B256, bid: &Bid, job: &JobSpec) -> Option<BidProblem> {
    if let Err(error) = order::validate_bid(bid, job, book.now()) {
        return Some(error.into());
    }
    if book.open_ranges(hash, bid).is_empty() {
        return Some(BidProblem::NotLive);
    }
    if !book.is_covered(hash, bid) {
        let has = book.balance(bid.buyer, bid.token).unwrap_or(0);
        return Some(BidProblem::Uncovered {
            has,
            needs: Book::commitment(bid),
        });
    }
    None
}

/// The constraints that depend on more than the signed fields.
fn circumstances(
    book: &Book,
    bid: &Bid,
    job: &JobSpec,
    offer: &Offer,
    reject: &mut impl FnMut(Rejection) -> bool,
) {
    if book.slots_open(offer.provider, offer.capacityId) >= offer.slots {
        reject(Rejection::Slots);
    }
    let Ok(tariff) = Tariff::of(bid, offer) else {
        return;
    };
    let collateral = money::collateral(tariff.task_price(job.cycleLimit), bid.collateralBps)
        .unwrap_or(u128::MAX);
    let floor = book.collateral_floor();
    let native = book.balance(offer.provider, Address::ZERO).unwrap_or(0);
    let covered = if offer.token.is_zero() {
        native >= collateral.saturating_add(floor)
    } else {
        native >= floor && book.balance(offer.provider, offer.token).unwrap_or(0) >= collateral
    };
    if !covered {
        reject(Rejection::ProviderBalance);
    }
}

/// The value of a rejection that compares, and whether larger ones are nearer to the bid.
fn measure(rejection: &Rejection) -> Option<(U256, bool)> {
    Some(match *rejection {
        Rejection::Memory(mib) | Rejection::Disk(mib) | Rejection::Egress(mib) => {
            (U256::from(mib), true)
        }
        Rejection::Collateral(bps) => (U256::from(bps), true),
        Rejection::Price(expected) => (expected, false),
        Rejection::Speed(seconds) => (U256::from(seconds), false),
        _ => return None,
    })
}

impl Explanation {
    /// The one sentence to show first, with its code; `None` if an offer fits and the bid is fine.
    /// `[M-003] no offer has 98304 MiB of memory; the largest has 65536 MiB`.
    #[must_use]
    pub fn verdict(&self, bid: &Bid) -> Option<(&'static Code, String)> {
        if let Some(problem) = &self.problem {
            return Some((problem.code(), problem.to_string()));
        }
        if self.fitting > 0 {
            return None;
        }
        if self.offers == 0 {
            return Some((&codes::MATCH_EMPTY, codes::MATCH_EMPTY.title.to_owned()));
        }
        if let Some(failure) = self
            .failures
            .iter()
            .find(|failure| failure.offers == self.offers)
        {
            return Some((failure.constraint.code(), failure.sentence(bid)));
        }
        let mut text = format!("each of {} live offers fails some constraint", self.offers);
        if let Some(best) = self.changes.first() {
            text += &format!("; the cheapest change is to {}", best.change);
        }
        Some((&codes::MATCH_TIMEOUT, text))
    }
}

impl Failure {
    /// What to say if every live offer fails the constraint.
    fn sentence(&self, bid: &Bid) -> String {
        let nearest = self.nearest.unwrap_or_default();
        let wants = &bid.resources;
        match self.constraint {
            Constraint::Memory => {
                format!(
                    "no offer has {} MiB of memory; the largest has {nearest} MiB",
                    wants.memoryMib
                )
            }
            Constraint::Disk => format!(
                "no offer has {} MiB of disk; the largest has {nearest} MiB",
                wants.diskMib
            ),
            Constraint::Egress => {
                format!(
                    "no offer has {} MiB of egress; the largest has {nearest} MiB",
                    wants.egressMib
                )
            }
            Constraint::Price => {
                format!(
                    "every offer expects more than {} per task; the cheapest expects {nearest}",
                    bid.priceCap
                )
            }
            Constraint::Speed => {
                format!(
                    "no offer runs a task within {} s at its cycle limit; the fastest needs {nearest} s",
                    bid.executionTimeout
                )
            }
            Constraint::Collateral => {
                format!(
                    "no offer risks {} basis points of collateral; the most is {nearest}",
                    bid.collateralBps
                )
            }
            other => other.code().title.to_owned(),
        }
    }
}
