//! From what a buyer wants to a [`Bid`], with defaults that work. Pure: prices, time, salt and
//! counter come in as arguments.

use std::sync::atomic::{AtomicU32, Ordering};

use alloy::primitives::{Address, B256, U256};
use outcry_protocol::hash;
use outcry_protocol::limits::{EXECUTION_TIMEOUT_S_MAX, PAGES_PER_MIB, PRICE_MAX};
use outcry_protocol::money::Tariff;
use outcry_protocol::order;
use outcry_protocol::types::{Bid, JobSpec, Offer, Resources};

use crate::api::Amount;
use crate::error::Error;

/// Cycles per second that a default execution timeout allows for. Measured on code that misses
/// the caches, a core of 2026 does 3 to 10 * 10^8.
const SLOW_SPEED: u64 = 250_000_000;
/// How many times as long a task takes step by step in the machine's interpreter as natively, which
/// its price is for: what a default audit fee counts with.
pub const INTERPRETER_SLOWDOWN: u64 = 20;
/// Shortest default execution timeout in seconds: a provider compiles a large program first.
const EXECUTION_TIMEOUT_S_MIN: u64 = 60;

/// What a buyer offers and asks for, beside the job itself.
///
/// ```
/// use outcry_sdk::Terms;
/// let terms = Terms { max_price: Some(2_000_000u64.into()), ..Terms::default() };
/// assert_eq!(terms.queue_timeout_s, 120);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Most that the whole job may cost, base units. `None`: what half of the live offers would
    /// charge at the cycle limit.
    pub max_price: Option<Amount>,
    /// Expected cycles of one task: ranks offers, never bills. `None`: a tenth of the limit.
    pub cycles_expected: Option<u64>,
    /// MiB of memory that a task reserves and pays for. `None`: what its page limit needs; the host's
    /// own share of a job is the provider's affair.
    pub memory_mib: Option<u32>,
    /// MiB of disk that a task reserves and pays for.
    pub disk_mib: u32,
    /// MiB of outgoing traffic that a task reserves and pays for.
    pub egress_mib: u32,
    /// Base units per second of expected completion.
    pub value_of_time: Amount,
    /// Acceptable regions: bit r is region r.
    pub regions: U256,
    /// Bits that an offer must have.
    pub attributes: U256,
    /// Collateral in basis points of the escrow. The default, four times, makes a caught cheat lose
    /// twice the escrow for good, since half of what is slashed burns.
    pub collateral_bps: u32,
    /// Chance that a deal is audited, basis points; 10000 audits every deal. Zero asks for none.
    pub audit_rate_bps: u16,
    /// What an audit of a deal pays to all who take part in it, base units. Each deal locks it, and a
    /// deal that is not drawn gives it back. `None`: [`Terms::usual_audit_fee`], or nothing without
    /// a rate.
    pub audit_fee: Option<Amount>,
    /// Seconds to fetch and start.
    pub queue_timeout_s: u32,
    /// Blocks after its opening in which a better offer may take a deal's place, at most 32; no deal is
    /// begun before. 0: none, so that a job can run at once.
    pub rank_window: u16,
    /// Seconds to execute a deal. `None`: the cycle limit at 250 million cycles a second.
    pub execution_timeout_s: Option<u32>,
    /// Seconds that the bid stays valid.
    pub life_s: u64,
    /// Base units for whoever opens or times out a deal.
    pub tip: Amount,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            max_price: None,
            cycles_expected: None,
            memory_mib: None,
            disk_mib: 0,
            egress_mib: 0,
            value_of_time: Amount::ZERO,
            regions: U256::MAX,
            attributes: U256::ZERO,
            collateral_bps: 40_000,
            audit_rate_bps: 0,
            audit_fee: None,
            queue_timeout_s: 120,
            rank_window: 0,
            execution_timeout_s: None,
            life_s: 3_600,
            tip: Amount::ZERO,
        }
    }
}

impl Terms {
    /// What one task reserves.
    pub fn resources(&self, job: &JobSpec) -> Resources {
        Resources {
            memoryMib: self
                .memory_mib
                .unwrap_or(job.pageLimit.div_ceil(PAGES_PER_MIB)),
            diskMib: self.disk_mib,
            gpuClass: 0,
            gpuCount: 0,
            egressMib: self.egress_mib,
        }
    }

    /// The most that one task may cost: the stated price divided by the tasks, rounded down, or
    /// what half of the `offers` in `token` would charge at the cycle limit.
    ///
    /// # Errors
    /// [`Error::NoPrice`] if neither is there; [`Error::TooLarge`] beyond the protocol's limit.
    pub fn price_cap<'a>(
        &self,
        job: &JobSpec,
        token: Address,
        offers: impl IntoIterator<Item = &'a Offer>,
    ) -> Result<u128, Error> {
        if let Some(max) = self.max_price {
            let cap = max.0 / U256::from(job.taskCount.max(1));
            return u128::try_from(cap)
                .ok()
                .filter(|cap| *cap <= PRICE_MAX)
                .ok_or(Error::TooLarge(max.0));
        }
        let resources = self.resources(job);
        let mut prices: Vec<u128> = offers
            .into_iter()
            .filter(|offer| offer.token == token)
            .filter_map(|offer| {
                let unit_price = outcry_protocol::money::unit_price(offer, &resources).ok()?;
                let tariff = Tariff {
                    start_fee: offer.startFee,
                    unit_price,
                    price_cap: PRICE_MAX,
                };
                Some(tariff.task_price(job.cycleLimit))
            })
            .collect();
        prices.sort_unstable();
        let middle = prices.len().saturating_sub(1) / 2;
        prices
            .get(middle)
            .copied()
            .ok_or_else(|| Error::NoPrice(token.to_string()))
    }

    fn expected_cycles(&self, job: &JobSpec) -> u64 {
        self.cycles_expected.unwrap_or(job.cycleLimit / 10).max(1)
    }

    /// An audit fee that pays each of `auditors` and the provider for one run of a task in the
    /// interpreter: `(auditors + 1) * ceil(20 * price_cap * expected cycles / cycle limit)`, since a run
    /// takes about 20 times as long there as natively, and the cap is what the cycle limit costs at
    /// most. Base units.
    pub fn usual_audit_fee(&self, job: &JobSpec, price_cap: u128, auditors: u8) -> u128 {
        let share = (U256::from(price_cap)
            * U256::from(self.expected_cycles(job))
            * U256::from(INTERPRETER_SLOWDOWN))
        .div_ceil(U256::from(job.cycleLimit.max(1)));
        // What does not fit is refused with the bid, as is all beyond the protocol's limit.
        u128::try_from(share * U256::from(u16::from(auditors) + 1)).unwrap_or(u128::MAX)
    }

    /// The bid.
    ///
    /// # Errors
    /// [`Error::Order`] naming the limit that a value exceeds.
    pub fn bid(&self, job: &JobSpec, place: Order) -> Result<Bid, Error> {
        let default_timeout = job
            .cycleLimit
            .div_ceil(SLOW_SPEED)
            .clamp(EXECUTION_TIMEOUT_S_MIN, EXECUTION_TIMEOUT_S_MAX.into());
        // The clamp leaves at most thirty days, which fit 32 bits.
        let default_timeout = u32::try_from(default_timeout).unwrap_or(EXECUTION_TIMEOUT_S_MAX);
        let bid = Bid {
            buyer: place.buyer,
            token: place.token,
            jobHash: hash::job_hash(job),
            tasks: job.taskCount,
            cyclesExpected: self.expected_cycles(job),
            resources: self.resources(job),
            priceCap: place.price_cap,
            valueOfTime: price(self.value_of_time)?,
            regions: self.regions,
            attributes: self.attributes,
            roundTripMsMax: 0,
            roundTripPlace: B256::ZERO,
            auditRateBps: self.audit_rate_bps,
            auditFee: place.audit_fee,
            collateralBps: self.collateral_bps,
            replicas: 1,
            queueTimeout: self.queue_timeout_s,
            executionTimeout: self.execution_timeout_s.unwrap_or(default_timeout),
            rankWindow: self.rank_window,
            tip: price(self.tip)?,
            expiry: place.now.saturating_add(self.life_s),
            salt: place.salt,
            counter: place.counter,
        };
        order::validate_bid(&bid, job, place.now)?;
        Ok(bid)
    }
}

/// What a bid holds beside terms and job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Who pays.
    pub buyer: Address,
    /// What pays.
    pub token: Address,
    /// Most that one task may cost, base units.
    pub price_cap: u128,
    /// What an audit of a deal pays, base units; zero if and only if no audits are asked for.
    pub audit_fee: u128,
    /// Unix seconds of the chain.
    pub now: u64,
    /// Place in the account's order bitmap; see [`Salts`].
    pub salt: U256,
    /// The account's cancel counter.
    pub counter: u64,
}

fn price(amount: Amount) -> Result<u128, Error> {
    amount
        .to_u128()
        .filter(|value| *value <= PRICE_MAX)
        .ok_or(Error::TooLarge(amount.0))
}

/// Gives every order of a process a salt of its own. Salts run on from a random start, so that
/// orders of one process share words of the account's bitmap, which makes opening them cheaper, and
/// those of two processes never meet.
#[derive(Debug)]
pub struct Salts {
    start: U256,
    next: AtomicU32,
}

impl Salts {
    /// Starts at a random place.
    pub fn random() -> Self {
        let start: [u8; 32] = rand::random();
        // Room for 2^32 salts that share the upper bits.
        Self {
            start: U256::from_be_bytes(start) >> 32 << 32,
            next: AtomicU32::new(0),
        }
    }

    /// A salt that was not given before.
    pub fn next(&self) -> U256 {
        self.start | U256::from(self.next.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use outcry_protocol::codes::Coded as _;

    fn job() -> JobSpec {
        JobSpec {
            machineVersion: 1,
            cycleLimit: 1_000_000_000_000,
            pageLimit: 16_384,
            slotLimit: 1 << 20,
            outputLimit: 1 << 20,
            taskCount: 3,
            ..Default::default()
        }
    }

    fn order() -> Order {
        Order {
            buyer: Address::repeat_byte(9),
            token: Address::ZERO,
            price_cap: 5,
            audit_fee: 0,
            now: 1_000,
            salt: U256::from(7),
            counter: 2,
        }
    }

    fn offer(start_fee: u128, token: Address) -> Offer {
        Offer {
            startFee: start_fee,
            token,
            ..Default::default()
        }
    }

    #[test]
    fn a_stated_price_is_shared_by_the_tasks_and_never_exceeded() {
        let terms = Terms {
            max_price: Some(100u64.into()),
            ..Terms::default()
        };
        assert_eq!(terms.price_cap(&job(), Address::ZERO, &[]).unwrap(), 33);
    }

    #[test]
    fn without_a_stated_price_half_of_the_offers_in_the_token_fit() {
        let other = Address::repeat_byte(1);
        let zero = Address::ZERO;
        let offers = [
            offer(40, zero),
            offer(10, zero),
            offer(1, other),
            offer(20, zero),
            offer(30, zero),
        ];
        assert_eq!(
            Terms::default().price_cap(&job(), zero, &offers).unwrap(),
            20
        );
        assert!(matches!(
            Terms::default().price_cap(&job(), zero, &[]),
            Err(Error::NoPrice(_))
        ));
    }

    #[test]
    fn a_bid_reserves_the_memory_that_the_job_may_use() {
        let bid = Terms::default().bid(&job(), order()).unwrap();
        assert_eq!(bid.resources.memoryMib, 1024);
        assert_eq!(
            (bid.expiry, bid.executionTimeout, bid.cyclesExpected),
            (4_600, 4_000, 100_000_000_000)
        );
        assert_eq!(bid.jobHash, hash::job_hash(&job()));
    }

    #[test]
    fn a_usual_audit_fee_pays_every_party_for_a_run_in_the_interpreter() {
        let audited = |cycles_expected| Terms {
            audit_rate_bps: 500,
            cycles_expected,
            ..Terms::default()
        };
        // A tenth of the limit, hence a tenth of the cap, twenty times; two auditors and the provider.
        assert_eq!(audited(None).usual_audit_fee(&job(), 1_000, 2), 3 * 2_000);
        // Rounded up for each of them: 20 * 1,000 * 3 / 10^12.
        assert_eq!(audited(Some(3)).usual_audit_fee(&job(), 1_000, 2), 3);
        assert_eq!(
            audited(Some(1_000_000_000_000)).usual_audit_fee(&job(), PRICE_MAX, 8),
            9 * 20 * PRICE_MAX
        );
        let fee = audited(None).usual_audit_fee(&job(), 5, 2);
        let bid = audited(None)
            .bid(
                &job(),
                Order {
                    audit_fee: fee,
                    ..order()
                },
            )
            .unwrap();
        assert_eq!((bid.auditRateBps, bid.auditFee), (500, 30));
    }

    #[test]
    fn an_audit_rate_and_a_fee_come_together_and_within_their_limits() {
        let refused = |audit_rate_bps, audit_fee| {
            let terms = Terms {
                audit_rate_bps,
                ..Terms::default()
            };
            let place = Order {
                audit_fee,
                ..order()
            };
            terms.bid(&job(), place).err().map(|error| error.code().id)
        };
        for (rate, fee) in [(1, 0), (0, 1), (10_001, 1), (1, 1 << 96)] {
            assert_eq!(refused(rate, fee), Some("O-023"), "{rate} and {fee}");
        }
        assert_eq!(refused(10_000, (1 << 96) - 1), None);
    }

    #[test]
    fn a_value_beyond_a_limit_is_refused_by_name() {
        let refused = |terms: Terms| terms.bid(&job(), order()).unwrap_err().to_string();
        assert!(
            refused(Terms {
                queue_timeout_s: 0,
                ..Terms::default()
            })
            .contains("queueTimeout")
        );
        assert!(
            refused(Terms {
                life_s: u64::MAX,
                ..Terms::default()
            })
            .contains("expires")
        );
        assert!(
            refused(Terms {
                collateral_bps: u32::MAX,
                ..Terms::default()
            })
            .contains("collateral")
        );
        assert!(
            refused(Terms {
                cycles_expected: Some(u64::MAX),
                ..Terms::default()
            })
            .contains("cycles are expected")
        );
        assert!(
            refused(Terms {
                tip: Amount(U256::MAX),
                ..Terms::default()
            })
            .contains("128 bits")
        );
    }

    #[test]
    fn no_salt_is_given_twice() {
        let (salts, others) = (Salts::random(), Salts::random());
        let given: std::collections::HashSet<U256> = (0..100)
            .flat_map(|_| [salts.next(), others.next()])
            .collect();
        assert_eq!(given.len(), 200);
    }
}
