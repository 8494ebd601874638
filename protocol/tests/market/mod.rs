//! Small markets: orders over few accounts, tokens and pools, so that they meet often.
#![allow(dead_code, unreachable_pub)]

use alloy_primitives::{Address, B256, U256, keccak256};
use outcry_protocol::book::{Book, Capacity, Event, Fact};
use outcry_protocol::hash::{Domain, job_hash};
use outcry_protocol::limits::{
    COLLATERAL_BPS_MAX, CYCLE_LIMIT_MAX, EXECUTION_TIMEOUT_S_MAX, PRICE_MAX, SLOTS_MAX, SPEED_MAX,
};
use outcry_protocol::types::{Bid, JobSpec, Offer, Resources};
use outcry_protocol::wire::{SignedBid, SignedOffer};
use proptest::prelude::*;

pub const NOW: u64 = 1_900_000_000;
pub const TOKEN: Address = Address::repeat_byte(0x70);
pub const FLOOR: u128 = 50;

pub fn domain() -> Domain {
    Domain::new(31_337, Address::repeat_byte(0xca))
}

pub fn account(n: u8) -> Address {
    Address::repeat_byte(n)
}

pub fn pool(n: u8) -> B256 {
    B256::repeat_byte(n)
}

pub fn job(tasks: u32) -> JobSpec {
    JobSpec {
        machineVersion: 1,
        imageRoot: keccak256("image"),
        inputsRoot: keccak256("inputs"),
        manifest: keccak256("manifest"),
        source: keccak256("source"),
        cycleLimit: 2_000_000_000,
        pageLimit: 256,
        slotLimit: 1 << 16,
        outputLimit: 1 << 20,
        taskCount: tasks,
    }
}

/// A bid by account 1 that every default offer serves: a task costs 1,000 + 150, at most 1,200.
pub fn bid(tasks: u32) -> Bid {
    Bid {
        buyer: account(1),
        token: TOKEN,
        jobHash: job_hash(&job(tasks)),
        tasks,
        cyclesExpected: 1_500_000_000,
        resources: Resources {
            memoryMib: 64,
            diskMib: 0,
            gpuClass: 0,
            gpuCount: 0,
            egressMib: 0,
        },
        priceCap: 10_000,
        valueOfTime: 0,
        regions: U256::from(0b1111),
        attributes: U256::ZERO,
        roundTripMsMax: 0,
        roundTripPlace: B256::ZERO,
        auditRateBps: 0,
        auditFee: 0,
        collateralBps: 20_000,
        replicas: 1,
        queueTimeout: 60,
        executionTimeout: 100,
        rankWindow: 0,
        tip: 10,
        expiry: NOW + 1000,
        salt: U256::from(1),
        counter: 0,
    }
}

/// An offer by account 2 with four slots, 10^9 cycles a second.
pub fn offer() -> Offer {
    Offer {
        provider: account(2),
        token: TOKEN,
        capacityId: pool(1),
        slots: 4,
        peerKey: keccak256("peer"),
        region: 1,
        attributes: U256::ZERO,
        resources: Resources {
            memoryMib: 1024,
            diskMib: 1024,
            gpuClass: 0,
            gpuCount: 0,
            egressMib: 1024,
        },
        startFee: 1_000,
        cyclePrice: 100_000_000_000,
        memoryPrice: 0,
        diskPrice: 0,
        gpuPrice: 0,
        egressPrice: 0,
        speed: 1_000_000_000,
        collateralMax: 1_000_000_000,
        machineVersion: 1,
        tip: 5,
        expiry: NOW + 600,
        salt: U256::from(1),
        counter: 0,
    }
}

pub fn signed_bid(bid: Bid) -> Event {
    let job = job(bid.tasks);
    Event::Bid(SignedBid {
        bid,
        signature: vec![1; 65],
        job,
    })
}

pub fn signed_offer(offer: Offer) -> Event {
    Event::Offer(SignedOffer {
        offer,
        signature: vec![1; 65],
    })
}

pub fn balance(block: u64, account: Address, token: Address, free: u128) -> Event {
    Event::Fact {
        block,
        fact: Fact::Balance {
            account,
            token,
            free,
        },
    }
}

/// A book at [`NOW`] in which accounts 1 to 8 hold plenty of both the token and the coin.
pub fn funded_book() -> Book {
    let mut book = Book::new(domain(), FLOOR);
    book.apply(Event::Block { timestamp: NOW });
    for n in 1..=8 {
        for token in [TOKEN, Address::ZERO] {
            book.apply(balance(1, account(n), token, 1 << 60));
        }
    }
    book
}

pub fn small_capacity() -> Capacity {
    Capacity {
        bids: 6,
        bids_per_account: 4,
        offers: 5,
        offers_per_account: 3,
    }
}

prop_compose! {
    pub fn any_bid()(
        buyer in 1u8..4, native in prop::bool::weighted(0.2), tasks in 1u32..20, cap in 900u128..4_000,
        value in prop_oneof![Just(0u128), 1u128..400], regions in prop_oneof![Just(15u64), 1u64..16], attributes in prop_oneof![3 => Just(0u64), 1 => 0u64..4],
        memory in prop_oneof![Just(16u32), Just(64), Just(512)], collateral in prop_oneof![Just(0u32), Just(9_999), Just(20_000)],
        execution in 1u32..30, tip in 0u128..20, audit_fee in prop_oneof![3 => Just(0u128), 1 => 1u128..9_000], life in 30u64..130, salt in 0u64..6, counter in prop_oneof![5 => Just(0u64), 1 => Just(1)],
    ) -> Bid {
        Bid {
            buyer: account(buyer),
            token: if native { Address::ZERO } else { TOKEN },
            priceCap: cap,
            valueOfTime: value,
            regions: U256::from(regions),
            attributes: U256::from(attributes),
            resources: Resources { memoryMib: memory, diskMib: 0, gpuClass: 0, gpuCount: 0, egressMib: 0 },
            collateralBps: collateral,
            executionTimeout: execution,
            tip,
            auditRateBps: if audit_fee == 0 { 0 } else { 100 },
            auditFee: audit_fee,
            expiry: NOW - 50 + life,
            salt: U256::from(salt),
            counter,
            ..bid(tasks)
        }
    }
}

prop_compose! {
    pub fn any_offer()(
        provider in 3u8..7, native in prop::bool::weighted(0.2), pool_id in 1u8..3, slots in 1u32..5, region in 0u8..5,
        attributes in 0u64..4, memory in prop_oneof![Just(16u32), Just(64), Just(512)],
        fee in prop_oneof![Just(1_000u128), 500u128..1_500], price in prop_oneof![Just(100_000_000_000u128), 0u128..400_000_000_000],
        memory_price in prop_oneof![Just(0u128), 0u128..2_000_000_000],
        speed in prop_oneof![Just(1_000_000_000u64), 200_000_000u64..4_000_000_000],
        collateral in prop_oneof![Just(1_000_000u128), 0u128..20_000], life in 30u64..130, salt in 0u64..6, counter in prop_oneof![5 => Just(0u64), 1 => Just(1)],
    ) -> Offer {
        Offer {
            provider: account(provider),
            token: if native { Address::ZERO } else { TOKEN },
            capacityId: pool(pool_id),
            slots,
            region,
            attributes: U256::from(attributes),
            resources: Resources { memoryMib: memory, diskMib: 1024, gpuClass: 0, gpuCount: 0, egressMib: 1024 },
            startFee: fee,
            cyclePrice: price,
            memoryPrice: memory_price,
            speed,
            collateralMax: collateral,
            expiry: NOW - 50 + life,
            salt: U256::from(salt),
            counter,
            ..offer()
        }
    }
}

/// Facts without their blocks.
pub fn any_fact(bids: Vec<B256>) -> impl Strategy<Value = Fact> {
    let bid = proptest::sample::select(bids);
    prop_oneof![
        4 => (1u8..7, any::<bool>(), 0u128..90_000).prop_map(|(n, native, free)| Fact::Balance {
            account: account(n), token: if native { Address::ZERO } else { TOKEN }, free,
        }),
        1 => (1u8..7, 0u64..2).prop_map(|(n, counter)| Fact::Counter { account: account(n), counter }),
        1 => (1u8..7, 0u64..6, any::<[bool; 3]>()).prop_map(|(n, salt, [cancelled, taken, partly])| Fact::Salt {
            account: account(n), salt: U256::from(salt), cancelled, taken, partly,
        }),
        1 => (bid.clone(), 0u32..10).prop_map(|(bid, tasks)| Fact::Taken { bid, tasks }),
        1 => (3u8..7, 1u8..3, 0u32..4).prop_map(|(n, id, open)| Fact::Slots {
            provider: account(n), capacity_id: pool(id), open,
        }),
        1 => (bid.clone(), 3u8..7, any::<bool>()).prop_map(|(bid, n, barred)| Fact::Barred {
            bid, provider: account(n), barred,
        }),
        1 => (bid, 0u8..3, 0u32..5, 0u32..4).prop_map(|(bid, deal, first, count)| Fact::Freed {
            bid, deal: B256::repeat_byte(deal), first, count,
        }),
    ]
}

/// A market's events: orders, facts each with a block of its own, and a few blocks.
pub fn any_events() -> impl Strategy<Value = Vec<Event>> {
    events_of(12, 12)
}

/// The same with fewer than so many bids and offers.
pub fn events_of(bids: usize, offers: usize) -> impl Strategy<Value = Vec<Event>> {
    (
        proptest::collection::vec(any_bid(), 1..bids),
        proptest::collection::vec(any_offer(), 0..offers),
        proptest::collection::vec(NOW - 60..NOW + 5, 0..4),
    )
        .prop_flat_map(|(bids, offers, times)| {
            let hashes = bids.iter().map(|bid| domain().bid_hash(bid)).collect();
            (
                Just(bids),
                Just(offers),
                Just(times),
                proptest::collection::vec(any_fact(hashes), 0..30),
            )
        })
        .prop_map(|(bids, offers, times, facts)| {
            let mut events: Vec<Event> = bids.into_iter().map(signed_bid).collect();
            events.extend(offers.into_iter().map(signed_offer));
            events.extend(
                times
                    .into_iter()
                    .map(|timestamp| Event::Block { timestamp }),
            );
            events.extend(
                (2..)
                    .zip(facts)
                    .map(|(block, fact)| Event::Fact { block, fact }),
            );
            // Everybody starts with something, or little would ever match.
            for n in 1..7 {
                for token in [TOKEN, Address::ZERO] {
                    events.push(balance(1, account(n), token, 90_000));
                }
                events.push(Event::Fact {
                    block: 1,
                    fact: Fact::Counter {
                        account: account(n),
                        counter: 0,
                    },
                });
            }
            events
        })
}

pub fn book_of(events: &[Event], capacity: Capacity) -> Book {
    let mut book = Book::with_capacity(domain(), FLOOR, capacity);
    for event in events {
        book.apply(event.clone());
    }
    book
}

/// The same market in a token of which one was so many.
pub fn scaled(events: &[Event], by: u128) -> Vec<Event> {
    let mut events = events.to_vec();
    for event in &mut events {
        match event {
            Event::Bid(SignedBid { bid, .. }) => {
                for amount in [
                    &mut bid.priceCap,
                    &mut bid.valueOfTime,
                    &mut bid.tip,
                    &mut bid.auditFee,
                ] {
                    *amount *= by;
                }
            }
            Event::Offer(SignedOffer { offer, .. }) => {
                for amount in [
                    &mut offer.startFee,
                    &mut offer.cyclePrice,
                    &mut offer.memoryPrice,
                    &mut offer.collateralMax,
                ] {
                    *amount *= by;
                }
            }
            Event::Fact {
                fact: Fact::Balance { free, .. },
                ..
            } => *free *= by,
            _ => {}
        }
    }
    events
}

/// Orders whose fields are small or at the limits of the protocol.
pub fn extreme_events() -> impl Strategy<Value = Vec<Event>> {
    let price = || prop_oneof![Just(0u128), Just(1), 0u128..PRICE_MAX, Just(PRICE_MAX)];
    let memory = || prop_oneof![Just(64u32), Just(u32::MAX)];
    let bits = || prop_oneof![Just(U256::ZERO), Just(U256::MAX)];
    let cycles = prop_oneof![Just(1u64), 1u64..CYCLE_LIMIT_MAX, Just(CYCLE_LIMIT_MAX)];
    let timeout = prop_oneof![Just(1u32), Just(EXECUTION_TIMEOUT_S_MAX)];
    let multiple = prop_oneof![Just(0u32), Just(COLLATERAL_BPS_MAX)];
    let one_bid = (
        [price(), price(), price()],
        memory(),
        bits(),
        cycles,
        timeout,
        multiple,
        prop_oneof![Just(1u32), 1u32..40],
    )
        .prop_map(
            |([cap, value, tip], memory, attributes, cycles, timeout, multiple, tasks)| {
                let job = JobSpec {
                    cycleLimit: cycles,
                    ..job(tasks)
                };
                let bid = Bid {
                    jobHash: job_hash(&job),
                    priceCap: cap,
                    valueOfTime: value,
                    tip,
                    cyclesExpected: cycles.div_ceil(2),
                    executionTimeout: timeout,
                    collateralBps: multiple,
                    attributes,
                    regions: U256::MAX,
                    resources: Resources {
                        memoryMib: memory,
                        ..bid(1).resources
                    },
                    ..bid(tasks)
                };
                Event::Bid(SignedBid {
                    bid,
                    signature: vec![1; 65],
                    job,
                })
            },
        );
    let speed = prop_oneof![Just(1u64), 1u64..SPEED_MAX, Just(SPEED_MAX)];
    let slots = prop_oneof![Just(1u32), Just(SLOTS_MAX)];
    let collateral = prop_oneof![Just(0u128), Just(PRICE_MAX), Just(u128::MAX)];
    let one_offer = (
        [price(), price(), price()],
        memory(),
        bits(),
        speed,
        slots,
        collateral,
        3u8..7,
    )
        .prop_map(
            |([fee, price, memory_price], memory, attributes, speed, slots, collateral, n)| {
                signed_offer(Offer {
                    provider: account(n),
                    startFee: fee,
                    cyclePrice: price,
                    memoryPrice: memory_price,
                    attributes,
                    speed,
                    slots,
                    collateralMax: collateral,
                    region: 255,
                    resources: Resources {
                        memoryMib: memory,
                        ..offer().resources
                    },
                    ..offer()
                })
            },
        );
    (
        proptest::collection::vec(one_bid, 1..8),
        proptest::collection::vec(one_offer, 1..40),
    )
        .prop_map(|(mut events, offers)| {
            events.extend(offers);
            for n in 1..7 {
                for token in [TOKEN, Address::ZERO] {
                    events.push(balance(1, account(n), token, u128::MAX));
                }
            }
            events
        })
}
