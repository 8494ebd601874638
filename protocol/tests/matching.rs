//! Matching: equal to the rule done by hand, feasible, and the same for every order of arrival.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod market;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, U256, keccak256};
use market::*;
use outcry_protocol::book::{Book, Capacity, Event, Fact};
use outcry_protocol::fit::{Fit, judge};
use outcry_protocol::hash::{bid_rank, job_hash};
use outcry_protocol::limits::MATCHES_PER_BID_MAX;
use outcry_protocol::matching::{Engine, Match, Queue, Reason, arrivals, run};
use outcry_protocol::money;
use outcry_protocol::types::{Bid, Offer, Resources};
use proptest::prelude::*;

const BEACON: B256 = B256::repeat_byte(0xbe);

/// Expected cost, and the value of the time until a slot's `nth` task is done.
fn score(bid: &Bid, fit: &Fit, nth: u32) -> U256 {
    let finish = U256::from(nth) * U256::from(fit.seconds);
    U256::from(fit.cost) + U256::from(bid.valueOfTime) * finish
}

/// The rule of the module's documentation, literally: one task at a time, every offer's every slot
/// looked at for each.
fn by_hand(book: &Book) -> Vec<Match> {
    let (uncovered, unbacked) = (book.uncovered(), book.unbacked());
    let mut bids: Vec<_> = book
        .live_bids()
        .filter(|(hash, ..)| !uncovered.contains(*hash))
        .collect();
    bids.sort_by_key(|(hash, ..)| bid_rank(**hash, BEACON));
    let mut free: BTreeMap<(Address, Address), u128> = BTreeMap::new();
    for n in 0..=255 {
        for token in [TOKEN, Address::ZERO] {
            free.insert(
                (account(n), token),
                book.balance(account(n), token).unwrap_or(0),
            );
        }
    }
    let mut open: BTreeMap<(Address, B256), u32> = BTreeMap::new();
    let mut matches = Vec::new();
    for (bid_hash, signed, ranges) in bids {
        let (bid, job) = (&signed.bid, &signed.job);
        let mut deals = 0;
        for range in ranges {
            struct Slot<'a> {
                fit: Fit,
                hash: B256,
                offer: &'a Offer,
                number: u32,
                tasks: u32,
                closed: bool,
            }
            let mut slots: Vec<Slot<'_>> = Vec::new();
            for (hash, signed) in book.live_offers() {
                let offer = &signed.offer;
                if unbacked.contains(hash) || book.is_barred(*bid_hash, offer.provider) {
                    continue;
                }
                if let Some(fit) = judge(bid, job, offer, |_| false) {
                    for number in 0..offer.slots {
                        slots.push(Slot {
                            fit,
                            hash: *hash,
                            offer,
                            number,
                            tasks: 0,
                            closed: false,
                        });
                    }
                }
            }
            let mut want = range.count;
            while want > 0 {
                let best = slots
                    .iter_mut()
                    .filter(|slot| !slot.closed && slot.tasks < slot.fit.tasks_max)
                    .min_by_key(|slot| {
                        (
                            score(bid, &slot.fit, slot.tasks + 1),
                            slot.tasks + 1,
                            slot.hash,
                            slot.number,
                        )
                    });
                let Some(slot) = best else { break };
                let pool = (slot.offer.provider, slot.offer.capacityId);
                let opens = slot.tasks == 0;
                let used = open
                    .entry(pool)
                    .or_insert_with(|| book.slots_open(pool.0, pool.1));
                if opens && (*used >= slot.offer.slots || deals == MATCHES_PER_BID_MAX) {
                    slot.closed = true;
                    continue;
                }
                let collateral = |tasks: u32| {
                    money::collateral(slot.fit.cost_max * u128::from(tasks), bid.collateralBps)
                        .unwrap()
                };
                let mut needs: BTreeMap<(Address, Address), u128> = BTreeMap::new();
                *needs.entry((bid.buyer, bid.token)).or_default() +=
                    slot.fit.cost_max + if opens { 2 * bid.tip + bid.auditFee } else { 0 };
                *needs.entry((pool.0, bid.token)).or_default() +=
                    collateral(slot.tasks + 1) - collateral(slot.tasks);
                *needs.entry((pool.0, Address::ZERO)).or_default() += if opens { FLOOR } else { 0 };
                if needs.iter().any(|(purse, amount)| free[purse] < *amount) {
                    slot.closed = true;
                    continue;
                }
                for (purse, amount) in needs {
                    *free.get_mut(&purse).unwrap() -= amount;
                }
                if opens {
                    *used += 1;
                    deals += 1;
                }
                slot.tasks += 1;
                want -= 1;
            }
            slots.retain(|slot| slot.tasks > 0);
            slots.sort_by_key(|slot| (slot.hash, slot.number));
            let mut first = range.first;
            for slot in slots {
                let escrow = slot.fit.cost_max * u128::from(slot.tasks);
                matches.push(Match {
                    bid: *bid_hash,
                    offer: slot.hash,
                    failed_deal: range.failed_deal,
                    first,
                    count: slot.tasks,
                    escrow,
                    collateral: money::collateral(escrow, bid.collateralBps).unwrap(),
                });
                first += slot.tasks;
            }
        }
    }
    matches
}

/// Makes every second bid one of a single task, which is searched for in another way.
fn with_single_tasks(events: &[Event]) -> Vec<Event> {
    let mut events = events.to_vec();
    for event in events.iter_mut().step_by(2) {
        if let Event::Bid(signed) = event {
            signed.job = job(1);
            signed.bid.tasks = 1;
            signed.bid.jobHash = job_hash(&signed.job);
        }
    }
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn large_books_are_matched_by_the_rule_in_any_token(
        events in events_of(40, 150),
        scale in prop_oneof![Just(1u128), Just(1_000_000_007), Just(10u128.pow(18))],
    ) {
        let book = book_of(&with_single_tasks(&scaled(&events, scale)), Capacity::default());
        prop_assert_eq!(run(&book, BEACON).matches, by_hand(&book));
    }

    #[test]
    fn orders_at_the_limits_are_matched_by_the_rule(events in extreme_events()) {
        let book = book_of(&events, Capacity::default());
        prop_assert_eq!(run(&book, BEACON).matches, by_hand(&book));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn matching_is_what_the_rule_says_task_by_task(events in any_events()) {
        let book = book_of(&events, Capacity::default());
        prop_assert_eq!(run(&book, BEACON).matches, by_hand(&book));
    }

    #[test]
    fn any_order_of_arrival_gives_the_same_matches(
        (events, shuffled) in any_events().prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
    ) {
        let capacity = small_capacity();
        let (book, other) = (book_of(&events, capacity), book_of(&shuffled, capacity));
        let (epoch, again) = (run(&book, BEACON), run(&other, BEACON));
        prop_assert_eq!(&epoch, &again);
        prop_assert_eq!((book.digest(), epoch.digest()), (other.digest(), again.digest()));
    }

    #[test]
    fn nobody_gives_more_than_they_have_and_no_task_is_given_twice(events in any_events()) {
        let book = book_of(&events, Capacity::default());
        assert_feasible(&book, &run(&book, BEACON).matches);
    }

    #[test]
    fn arrivals_get_what_the_epoch_left_and_move_nothing(
        (events, cut) in any_events().prop_flat_map(|events| {
            let count = events.len();
            (Just(events), 0..=count)
        }),
    ) {
        let is_late = |index: usize, event: &Event| index >= cut && matches!(event, Event::Bid(_));
        let of = |late: bool| -> Vec<Event> {
            let picked = events.iter().enumerate().filter(|(index, event)| is_late(*index, event) == late);
            picked.map(|(_, event)| event.clone()).collect()
        };
        let mut book = book_of(&of(false), Capacity::default());
        let mut matches = run(&book, BEACON).matches;
        let known: BTreeSet<B256> = book.bids().map(|(hash, _)| *hash).collect();
        for event in of(true) {
            book.apply(event);
        }
        let late: BTreeSet<B256> =
            book.bids().map(|(hash, _)| *hash).filter(|hash| !known.contains(hash)).collect();
        let found = arrivals(&book, BEACON, &matches, &late);
        prop_assert!(found.matches.iter().all(|found| late.contains(&found.bid)));
        matches.extend(found.matches);
        assert_feasible(&book, &matches);
        prop_assert_eq!(arrivals(&book, BEACON, &matches, &late).matches.iter()
            .filter(|again| matches.iter().any(|found| found.bid == again.bid)).count(), 0);
    }

    #[test]
    fn arrivals_alone_are_matched_as_an_epoch_would(events in any_events()) {
        let book = book_of(&events, Capacity::default());
        let all: BTreeSet<B256> = book.bids().map(|(hash, _)| *hash).collect();
        prop_assert_eq!(arrivals(&book, BEACON, &[], &all), run(&book, BEACON));
    }
}

/// Slots, balances and ranges suffice for all matches together.
fn assert_feasible(book: &Book, matches: &[Match]) {
    let mut spent: BTreeMap<(Address, Address), u128> = BTreeMap::new();
    let mut slots: BTreeMap<(Address, B256), (u32, u32)> = BTreeMap::new();
    let mut tasks: BTreeMap<(B256, Option<B256>, u32), B256> = BTreeMap::new();
    for m in matches {
        let (bid, offer) = (
            book.bid(&m.bid).unwrap(),
            &book.offer(&m.offer).unwrap().offer,
        );
        let fit = judge(&bid.bid, &bid.job, offer, |_| false);
        assert!(fit.is_some_and(|fit| m.count >= 1 && m.count <= fit.tasks_max));
        assert!(m.collateral <= offer.collateralMax);
        *spent.entry((bid.bid.buyer, bid.bid.token)).or_default() +=
            m.escrow + 2 * bid.bid.tip + bid.bid.auditFee;
        *spent.entry((offer.provider, bid.bid.token)).or_default() += m.collateral;
        *spent.entry((offer.provider, Address::ZERO)).or_default() += FLOOR;
        let slot = slots.entry((offer.provider, offer.capacityId)).or_default();
        slot.0 += 1;
        slot.1 = slot.1.max(offer.slots);
        let ranges = book.open_ranges(m.bid, &bid.bid);
        let range = ranges.iter().find(|r| r.failed_deal == m.failed_deal);
        let range = range.unwrap();
        assert!(m.first >= range.first && m.first + m.count <= range.first + range.count);
        for task in m.first..m.first + m.count {
            // Ranges of failed deals may overlap in made-up facts; within one range never.
            assert!(
                tasks
                    .insert((m.bid, m.failed_deal, task), m.offer)
                    .is_none()
            );
        }
    }
    for ((account, token), amount) in spent {
        assert!(amount <= book.balance(account, token).unwrap_or(0));
    }
    for ((provider, pool), (used, most)) in slots {
        assert!(used + book.slots_open(provider, pool) <= most);
    }
}

fn matched(book: &Book) -> Vec<(B256, u32)> {
    run(book, BEACON)
        .matches
        .iter()
        .map(|m| (m.offer, m.count))
        .collect()
}

#[test]
fn without_value_of_time_the_cheapest_offer_takes_as_much_as_its_slots_hold() {
    let mut book = funded_book();
    let cheap = Offer {
        startFee: 900,
        provider: account(3),
        slots: 1,
        ..offer()
    };
    book.apply(signed_offer(offer()));
    book.apply(signed_offer(cheap.clone()));
    book.apply(signed_bid(bid(10)));
    // 100 s of execution at 2 s a task's limit: 50 tasks fit one slot.
    assert_eq!(matched(&book), vec![(domain().offer_hash(&cheap), 10)]);
}

#[test]
fn value_of_time_spreads_tasks_over_slots_and_offers() {
    let mut book = funded_book();
    let dear = Offer {
        startFee: 1_100,
        provider: account(3),
        ..offer()
    };
    book.apply(signed_offer(offer()));
    book.apply(signed_offer(dear.clone()));
    // A second is worth 60 and a task takes two: waiting for a second place costs 120, the dearer
    // offer 100 more.
    book.apply(signed_bid(Bid {
        valueOfTime: 60,
        ..bid(8)
    }));
    let mut counts: Vec<_> = matched(&book);
    counts.sort();
    let mut expected = vec![(domain().offer_hash(&offer()), 1); 4];
    expected.extend(vec![(domain().offer_hash(&dear), 1); 4]);
    expected.sort();
    assert_eq!(counts, expected);
}

#[test]
fn a_deal_holds_no_more_tasks_than_the_execution_timeout_allows() {
    let mut book = funded_book();
    book.apply(signed_offer(offer()));
    // 2 s a task at the limit, 7 s: three tasks a slot.
    book.apply(signed_bid(Bid {
        executionTimeout: 7,
        ..bid(20)
    }));
    assert_eq!(
        matched(&book)
            .iter()
            .map(|(_, count)| *count)
            .collect::<Vec<_>>(),
        vec![3, 3, 3, 3]
    );
    let epoch = run(&book, BEACON);
    assert_eq!(
        (epoch.unmatched[0].tasks, epoch.unmatched[0].reason),
        (8, Reason::NoSlot)
    );
}

#[test]
fn the_reason_says_who_lacks_what() {
    let reason = |book: &Book| run(book, BEACON).unmatched.first().map(|u| u.reason);
    let mut book = funded_book();
    book.apply(signed_bid(bid(10)));
    assert_eq!(reason(&book), Some(Reason::NoOffer));
    book.apply(signed_offer(offer()));
    assert_eq!(reason(&book), None);
    // Enough for the price cap of one task and its tips, but not for ten tasks at 1,200.
    book.apply(balance(2, account(1), TOKEN, 10_020));
    assert_eq!(reason(&book), Some(Reason::BuyerBalance));
    assert_eq!(
        matched(&book).iter().map(|(_, count)| count).sum::<u32>(),
        8
    );
    book.apply(balance(3, account(1), TOKEN, 10_019));
    assert_eq!(reason(&book), Some(Reason::Uncovered));
    book.apply(balance(4, account(1), TOKEN, 1 << 60));
    let slots = Fact::Slots {
        provider: account(2),
        capacity_id: pool(1),
        open: 4,
    };
    book.apply(Event::Fact {
        block: 5,
        fact: slots,
    });
    assert_eq!(reason(&book), Some(Reason::NoOffer));
}

#[test]
fn a_barred_provider_is_passed_over() {
    let mut book = funded_book();
    let other = Offer {
        startFee: 2_000,
        provider: account(3),
        ..offer()
    };
    book.apply(signed_offer(offer()));
    book.apply(signed_offer(other.clone()));
    book.apply(signed_bid(bid(1)));
    assert_eq!(matched(&book)[0].0, domain().offer_hash(&offer()));
    let barred = Fact::Barred {
        bid: domain().bid_hash(&bid(1)),
        provider: account(2),
        barred: true,
    };
    book.apply(Event::Fact {
        block: 2,
        fact: barred,
    });
    assert_eq!(matched(&book)[0].0, domain().offer_hash(&other));
}

#[test]
fn a_huge_bid_opens_a_bounded_number_of_deals_in_one_epoch() {
    let mut book = funded_book();
    for n in 0..3 {
        let wide = Offer {
            slots: 200,
            capacityId: pool(n),
            salt: U256::from(n),
            ..offer()
        };
        book.apply(signed_offer(wide));
    }
    book.apply(signed_bid(Bid {
        valueOfTime: 1_000,
        ..bid(500)
    }));
    let epoch = run(&book, BEACON);
    assert_eq!(epoch.matches.len(), MATCHES_PER_BID_MAX);
    assert_eq!(epoch.matches.iter().map(|m| m.count).sum::<u32>(), 500);
}

#[test]
fn a_digest_tells_books_and_epochs_apart() {
    let mut book = funded_book();
    let mut seen = BTreeSet::from([book.digest(), run(&book, BEACON).digest()]);
    let mut is_new = |digest: B256| seen.insert(digest);
    book.apply(signed_offer(offer()));
    assert!(is_new(book.digest()));
    assert!(
        !is_new(run(&book, BEACON).digest()),
        "nothing is matched yet"
    );
    book.apply(signed_bid(bid(10)));
    assert!(is_new(book.digest()) && is_new(run(&book, BEACON).digest()));
    let orders = book.digest();
    // A slot that is taken on chain moves tasks, but no order.
    book.apply(Event::Fact {
        block: 2,
        fact: Fact::Slots {
            provider: account(2),
            capacity_id: pool(1),
            open: 4,
        },
    });
    assert_eq!(
        run(&book, BEACON).digest(),
        run(&funded_book(), BEACON).digest()
    );
    assert_eq!(book.digest(), orders);
    // An order that is cancelled is out of the book.
    book.apply(Event::Fact {
        block: 3,
        fact: Fact::Counter {
            account: account(1),
            counter: 1,
        },
    });
    assert!(book.digest() != orders && !is_new(book.digest()));
    let mut epoch = run(&Book::new(domain(), FLOOR), BEACON);
    let found = Match {
        bid: BEACON,
        offer: BEACON,
        failed_deal: None,
        first: 0,
        count: 1,
        escrow: 1,
        collateral: 1,
    };
    for other in [
        found,
        Match {
            bid: B256::ZERO,
            ..found
        },
        Match {
            offer: B256::ZERO,
            ..found
        },
        Match {
            failed_deal: Some(BEACON),
            ..found
        },
        Match { first: 1, ..found },
        Match { count: 2, ..found },
        Match { escrow: 2, ..found },
        Match {
            collateral: 2,
            ..found
        },
    ] {
        epoch.matches = vec![other];
        assert!(is_new(epoch.digest()), "{other:?}");
    }
}

/// Offers that cost nothing and of which every second has one of two attributes, and one dear offer
/// that has both.
fn decoys(count: u32) -> Vec<Event> {
    let mut events: Vec<Event> = (0..count)
        .map(|n| {
            signed_offer(Offer {
                provider: account(2 + (n / 1024) as u8),
                attributes: U256::from(1 + n % 2),
                startFee: 0,
                cyclePrice: 0,
                salt: U256::from(n),
                ..offer()
            })
        })
        .collect();
    events.push(signed_offer(Offer {
        provider: account(8),
        attributes: U256::from(3),
        ..offer()
    }));
    events
}

#[test]
fn a_search_ends_after_the_most_looks_and_ends_alike_everywhere() {
    let wanted = |attributes: u64, tasks: u32| Bid {
        attributes: U256::from(attributes),
        salt: U256::from(10 * attributes + u64::from(tasks)),
        ..bid(tasks)
    };
    let bids = [wanted(1, 1), wanted(3, 1), wanted(3, 2)];
    let found = |events: &[Event]| {
        let mut book = funded_book();
        for event in events {
            book.apply(event.clone());
        }
        for bid in bids.clone() {
            book.apply(signed_bid(bid));
        }
        run(&book, BEACON)
    };
    let few = found(&decoys(2_000));
    // Two tasks that are in no hurry still go to two free slots.
    assert_eq!(few.matches.len(), 4);
    let mut many = decoys(6_000);
    let epoch = found(&many);
    assert_eq!(epoch.matches.len(), 1);
    assert_eq!(epoch.matches[0].bid, domain().bid_hash(&bids[0]));
    assert!(
        epoch
            .unmatched
            .iter()
            .all(|left| left.reason == Reason::SearchLimit)
    );
    assert_eq!(
        epoch.unmatched.iter().map(|left| left.tasks).sum::<u32>(),
        3
    );
    many.reverse();
    assert_eq!(found(&many).digest(), epoch.digest());
}

/// Honest offers of as many accounts, and bids of one and of three tasks.
fn honest(count: u32) -> Vec<Event> {
    let mut events = Vec::new();
    for n in 0..count {
        let provider = Address::from_slice(&keccak256(n.to_be_bytes())[12..]);
        for token in [TOKEN, Address::ZERO] {
            events.push(balance(1, provider, token, 1 << 60));
        }
        events.push(signed_offer(Offer {
            provider,
            ..offer()
        }));
        events.push(signed_bid(Bid {
            salt: U256::from(n),
            ..bid(1 + n % 2 * 2)
        }));
    }
    events
}

fn bids_matched(events: &[Event]) -> usize {
    let mut book = funded_book();
    for event in events {
        book.apply(event.clone());
    }
    let matches = run(&book, BEACON).matches;
    let bids: BTreeSet<B256> = matches.iter().map(|found| found.bid).collect();
    bids.len()
}

#[test]
fn offers_that_promise_memory_and_collateral_only_apart_hide_nobody() {
    let mut events = honest(100);
    assert_eq!(bids_matched(&events), 100);
    events.extend((0..6_000).map(|n| {
        let rich = n % 2 == 0;
        signed_offer(Offer {
            provider: account(3 + (n / 1_024) as u8),
            salt: U256::from(n),
            startFee: 1,
            cyclePrice: 0,
            collateralMax: if rich { 1 << 60 } else { 0 },
            resources: Resources {
                memoryMib: if rich { 0 } else { u32::MAX },
                ..offer().resources
            },
            ..offer()
        })
    }));
    assert_eq!(bids_matched(&events), 100);
}

#[test]
fn an_account_offers_no_more_than_its_coins_hold_floors() {
    let honest = honest(2);
    for (floors, reached) in [(4_000, false), (3, true)] {
        let mut events = honest.clone();
        for decoy in decoys(6_000) {
            let Event::Offer(signed) = &decoy else {
                continue;
            };
            let coins = FLOOR * floors;
            events.push(balance(2, signed.offer.provider, Address::ZERO, coins));
            events.push(decoy);
        }
        let wanted = Bid {
            attributes: U256::from(3),
            salt: U256::from(99),
            ..bid(1)
        };
        events.push(signed_bid(wanted.clone()));
        let mut book = funded_book();
        for event in &events {
            book.apply(event.clone());
        }
        let hash = domain().bid_hash(&wanted);
        let matches = run(&book, BEACON).matches;
        assert_eq!(matches.iter().any(|found| found.bid == hash), reached);
        let unbacked = book.unbacked();
        for (hash, signed) in book.offers() {
            let is_backed = book.is_offer_backed(*hash, &signed.offer);
            assert_eq!(is_backed, !unbacked.contains(hash));
        }
    }
}

#[test]
fn offers_that_are_all_alike_are_taken_in_the_order_of_their_hashes() {
    for scale in [1, 10u128.pow(18)] {
        let mut events: Vec<Event> = (0..1_000)
            .map(|n| {
                signed_offer(Offer {
                    salt: U256::from(n),
                    slots: 1,
                    capacityId: B256::from(U256::from(n)),
                    ..offer()
                })
            })
            .collect();
        events.extend((0..20).map(|n| {
            signed_bid(Bid {
                salt: U256::from(n),
                valueOfTime: 7,
                ..bid(1)
            })
        }));
        let mut book = funded_book();
        for account in [account(1), account(2)] {
            for token in [TOKEN, Address::ZERO] {
                book.apply(balance(2, account, token, 1 << 100));
            }
        }
        for event in scaled(&events, scale) {
            book.apply(event);
        }
        let mut engine = Engine::new(&book);
        let epoch = engine.run(&Queue::new(&book, BEACON));
        let hashes: Vec<B256> = book.offers().map(|(hash, _)| *hash).take(20).collect();
        let taken: Vec<B256> = epoch.matches.iter().map(|found| found.offer).collect();
        assert_eq!(taken, hashes);
        assert!(engine.looks() < 20 * 100, "{} looks", engine.looks());
    }
}

#[test]
fn who_would_pay_more_hardly_ever_gets_less() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut all_before, mut all_after, mut losers) = (0, 0, 0);
    for _ in 0..200 {
        let events = events_of(20, 20).new_tree(&mut runner).unwrap().current();
        // Another cap is another hash, and another place in the order: it takes many beacons to compare.
        let served = |cap_percent: u128| -> u32 {
            let mut book = book_of(&[], Capacity::default());
            let mut own = B256::ZERO;
            for (index, mut event) in events.clone().into_iter().enumerate() {
                if let (0, Event::Bid(signed)) = (index, &mut event) {
                    signed.bid.priceCap = signed.bid.priceCap * cap_percent / 100;
                    own = domain().bid_hash(&signed.bid);
                }
                book.apply(event);
            }
            let epochs = (0..64).map(|beacon| run(&book, B256::repeat_byte(beacon)).matches);
            let matches = epochs.flatten().filter(|found| found.bid == own);
            matches.map(|found| found.count).sum()
        };
        let (before, after) = (served(100), served(130));
        all_before += before;
        all_after += after;
        losers += u32::from(after * 5 < before * 4);
    }
    assert!(
        all_after > all_before,
        "{all_before} before, {all_after} after"
    );
    // A higher cap also holds more of the balance, and asks for more collateral.
    assert!(losers <= 10, "{losers} of 200 lost a fifth or more");
}

#[test]
fn the_beacon_decides_who_goes_first() {
    let mut book = funded_book();
    book.apply(signed_offer(Offer {
        slots: 1,
        ..offer()
    }));
    for n in 0..16 {
        book.apply(signed_bid(Bid {
            salt: U256::from(n),
            ..bid(1)
        }));
    }
    let winner = |beacon: u8| run(&book, B256::repeat_byte(beacon)).matches[0].bid;
    let winners: BTreeSet<B256> = (0..32).map(winner).collect();
    assert!(winners.len() > 4, "{} different winners", winners.len());
    let all: Vec<B256> = book.live_bids().map(|(hash, ..)| *hash).collect();
    let first = all
        .iter()
        .min_by_key(|hash| bid_rank(**hash, BEACON))
        .unwrap();
    assert_eq!(run(&book, BEACON).matches[0].bid, *first);
}

#[test]
fn the_made_up_markets_of_these_tests_do_match() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut matches, mut spread) = (0, 0);
    for _ in 0..200 {
        let events = any_events().new_tree(&mut runner).unwrap().current();
        let found = run(&book_of(&events, Capacity::default()), BEACON).matches;
        matches += found.len();
        spread += usize::from(found.iter().any(|m| m.count > 1 && m.failed_deal.is_none()));
    }
    assert!(
        matches > 200 && spread > 40,
        "{matches} matches, {spread} of several tasks"
    );
}
