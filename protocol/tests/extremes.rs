//! Single tasks get the best offer of all, whatever the scale of prices, speeds and amounts: the search
//! reads rounded figures, and rounds them per block of a tree of several levels.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod market;

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use market::*;
use outcry_protocol::book::{Book, Event};
use outcry_protocol::fit::judge;
use outcry_protocol::hash::{bid_rank, job_hash};
use outcry_protocol::limits::SPEED_MAX;
use outcry_protocol::matching::{Engine, Queue, run};
use outcry_protocol::money;
use outcry_protocol::types::{Bid, JobSpec, Offer, Resources};
use outcry_protocol::wire::SignedBid;

/// Numbers that mean nothing (xorshift).
struct Draw(u64);

impl Draw {
    fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.word() % limit
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// Of at most so many bits, all lengths alike, and at most the largest price.
    fn wide(&mut self, bits: u32) -> u128 {
        let bits = self.below(u64::from(bits) + 1) as u32;
        let value = (u128::from(self.word()) << 64) | u128::from(self.word());
        value.checked_shr(128 - bits).unwrap_or(0).min(1 << 100)
    }

    fn attributes(&mut self, of: &[u64]) -> U256 {
        U256::from(self.pick(of)) << self.pick(&[0usize, 0, 0, 70])
    }

    fn offer(&mut self, n: u64, bits: u32, has_few_prices: bool) -> Offer {
        let mut price = || match has_few_prices {
            true => self.pick(&[0u128, 1, 1 << (bits / 2), 1 << bits]),
            false => self.wide(bits),
        };
        let prices: [u128; 5] = std::array::from_fn(|_| price());
        Offer {
            provider: account(2 + self.below(7) as u8),
            salt: U256::from(n),
            capacityId: B256::from(U256::from(n)),
            region: self.below(6) as u8,
            attributes: self.attributes(&[0, 1, 2, 3, 1 << 31, 1 << 40, u64::MAX]),
            resources: Resources {
                memoryMib: self.pick(&[16, 64, 1024, u32::MAX]),
                diskMib: self.pick(&[0, 1024, u32::MAX]),
                egressMib: self.pick(&[0, 1024]),
                gpuClass: 0,
                gpuCount: 0,
            },
            startFee: prices[0],
            cyclePrice: prices[1],
            memoryPrice: prices[2],
            diskPrice: prices[3],
            egressPrice: prices[4],
            speed: (self.wide(43) as u64).clamp(1, SPEED_MAX),
            collateralMax: self.pick(&[u128::MAX, 1 << 100, 1 << 40, 1000, 0]),
            ..offer()
        }
    }

    fn bid(&mut self, bits: u32) -> SignedBid {
        let cycles = (self.wide(44) as u64).clamp(1, 1 << 44);
        let job = JobSpec {
            cycleLimit: cycles,
            pageLimit: 16,
            ..job(1)
        };
        let bid = Bid {
            jobHash: job_hash(&job),
            cyclesExpected: 1 + self.below(cycles),
            tip: 0,
            resources: Resources {
                memoryMib: self.pick(&[1, 16, 64, 1024, 1 << 30, u32::MAX]),
                diskMib: self.pick(&[0, 0, 7, 1024]),
                egressMib: self.pick(&[0, 0, 3]),
                gpuClass: 0,
                gpuCount: 0,
            },
            priceCap: self.pick(&[1 << 100, u128::from(self.0), 0, 1 << (bits / 2)]),
            valueOfTime: self.wide(bits),
            regions: U256::from(1 + self.below(63)),
            attributes: self.attributes(&[0, 0, 1, 3, 1 << 31, 1 << 40]),
            collateralBps: self.pick(&[0, 1, 10_000, 1_000_000]),
            executionTimeout: (self.wide(22) as u32).clamp(1, 2_592_000),
            ..bid(1)
        };
        SignedBid {
            bid,
            signature: vec![1; 65],
            job,
        }
    }
}

/// The best offer for a bid by a look at each.
fn best(book: &Book, signed: &SignedBid) -> Option<B256> {
    let unbacked = book.unbacked();
    let fitting = book.live_offers().filter_map(|(hash, of)| {
        let fit = judge(&signed.bid, &signed.job, &of.offer, |_| false)?;
        let collateral = money::collateral(fit.cost_max, signed.bid.collateralBps).unwrap();
        let free = |token| book.balance(of.offer.provider, token).unwrap();
        let can_open =
            !unbacked.contains(hash) && free(Address::ZERO) >= FLOOR && free(TOKEN) >= collateral;
        let time = U256::from(signed.bid.valueOfTime) * U256::from(fit.seconds);
        can_open.then_some((U256::from(fit.cost) + time, *hash))
    });
    fitting.min().map(|(_, hash)| hash)
}

#[test]
fn at_every_scale_the_search_finds_the_best_offer() {
    let mut matched = 0;
    for seed in 1..=30u64 {
        let mut draw = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let bits = draw.pick(&[10u32, 30, 60, 100]);
        let has_few_prices = draw.pick(&[true, false]);
        let mut book = funded_book();
        for n in 2..=8 {
            for token in [TOKEN, Address::ZERO] {
                let free = draw.pick(&[u128::MAX, 1 << 100, 1 << 60, 5_000]);
                book.apply(balance(2, account(n), token, free));
            }
        }
        book.apply(balance(2, account(1), TOKEN, u128::MAX));
        for n in 0..draw.pick(&[50u64, 700, 3_000]) {
            book.apply(signed_offer(draw.offer(n, bits, has_few_prices)));
        }
        let bids: Vec<SignedBid> = (0..40).map(|_| draw.bid(bits)).collect();
        let mut crowd = book.clone();
        for signed in &bids {
            crowd.apply(Event::Bid(signed.clone()));
        }
        let crowd = Queue::new(&crowd, B256::ZERO);
        for signed in bids {
            let mut with = book.clone();
            with.apply(Event::Bid(signed.clone()));
            assert_eq!(with.bids().len(), 1, "the bid is well formed");
            if !with.uncovered().is_empty() {
                continue;
            }
            let found = run(&with, B256::ZERO).matches.first().map(|one| one.offer);
            assert_eq!(found, best(&with, &signed), "seed {seed}");
            let mut engine = Engine::new(&with);
            engine.expect(&crowd);
            let epoch = engine.run(&Queue::new(&with, B256::ZERO));
            let expected = epoch.matches.first().map(|one| one.offer);
            assert_eq!(expected, found, "seed {seed}, prepared for others");
            matched += usize::from(found.is_some());
        }
    }
    assert!(matched > 500, "{matched} bids found an offer");
}

#[test]
fn in_an_epoch_of_many_bids_each_gets_the_best_offer_that_is_left() {
    let mut left_over = 0;
    for seed in 1..=4u64 {
        let mut draw = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let bits = draw.pick(&[10u32, 30, 60]);
        let mut book = funded_book();
        for n in 1..=8 {
            for token in [TOKEN, Address::ZERO] {
                book.apply(balance(2, account(n), token, u128::MAX));
            }
        }
        for n in 0..draw.pick(&[60u64, 700]) {
            book.apply(signed_offer(Offer {
                slots: 1 + draw.below(2) as u32,
                ..draw.offer(n, bits, seed % 2 == 0)
            }));
        }
        for n in 0..900u64 {
            let mut signed = draw.bid(bits);
            signed.bid.salt = U256::from(n);
            // All of them are covered.
            signed.bid.priceCap = signed.bid.priceCap.min(1 << 90);
            book.apply(Event::Bid(signed));
        }
        assert_eq!(book.uncovered().len(), 0);
        let mut engine = Engine::new(&book);
        let queue = Queue::new(&book, B256::ZERO);
        engine.expect(&queue);
        let epoch = engine.run(&queue);
        assert_eq!(epoch, run(&book, B256::ZERO));

        let mut bids: Vec<_> = book.bids().collect();
        bids.sort_by_key(|(hash, _)| bid_rank(**hash, B256::ZERO));
        let mut taken: BTreeMap<B256, u32> = BTreeMap::new();
        let mut matched = Vec::new();
        for (hash, signed) in bids {
            let fitting = book.live_offers().filter_map(|(offer, of)| {
                let fit = judge(&signed.bid, &signed.job, &of.offer, |_| false)?;
                let used = taken.get(offer).copied().unwrap_or(0);
                let time = U256::from(signed.bid.valueOfTime) * U256::from(fit.seconds);
                (used < of.offer.slots).then_some((U256::from(fit.cost) + time, *offer))
            });
            if let Some((_, offer)) = fitting.min() {
                *taken.entry(offer).or_default() += 1;
                matched.push((*hash, offer));
            }
        }
        let found: Vec<_> = epoch
            .matches
            .iter()
            .map(|one| (one.bid, one.offer))
            .collect();
        assert_eq!(found, matched, "seed {seed}");
        left_over += epoch.unmatched.len();
    }
    assert!(left_over > 100, "{left_over} bids came too late");
}
