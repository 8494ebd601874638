//! Which offer may take the place of a deal within its rank window.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod market;

use alloy_primitives::{Address, B256, U256};
use market::{
    FLOOR, NOW, TOKEN, account, balance, bid, domain, funded_book as book, job, offer, pool,
    signed_bid, signed_offer,
};
use outcry_protocol::book::{Book, Event, Fact};
use outcry_protocol::deal;
use outcry_protocol::fit;
use outcry_protocol::money::Tariff;
use outcry_protocol::ranking::{Replacement, expected_cost, is_better, replacement, score};
use outcry_protocol::types::{Bid, Deal, Offer};
use proptest::prelude::*;

/// A bid with a window of four blocks, a deal of all of its tasks with the default offer, and the book
/// that knows both.
fn opened(tasks: u32) -> (Bid, Deal, Book) {
    let bid = Bid {
        rankWindow: 4,
        valueOfTime: 10,
        ..bid(tasks)
    };
    let mut book = book();
    book.apply(signed_bid(bid.clone()));
    book.apply(signed_offer(offer()));
    let deal = deal::terms(&domain(), &bid, &offer(), &job(tasks), 1, 0, tasks, NOW).unwrap();
    (bid, deal, book)
}

/// An offer of account `n` at so much for each task.
fn at(n: u8, start_fee: u128) -> Offer {
    Offer {
        provider: account(n),
        startFee: start_fee,
        salt: U256::from(n),
        ..offer()
    }
}

fn found(book: &Book, deal: &Deal) -> Option<B256> {
    replacement(book, deal).map(|found| found.offer)
}

#[test]
fn times_of_a_deal_count_from_the_end_of_its_window() {
    let (bid, deal, _) = opened(1);
    assert_eq!(deal::rank_window(&deal), 4);
    assert_eq!(deal::starts_by(&deal), NOW + 4 * 12);
    assert_eq!(
        deal.deadline,
        NOW + 4 * 12 + u64::from(bid.queueTimeout + bid.executionTimeout)
    );
    assert_eq!((deal::audit_rate(&deal), deal::audit_fee(&deal)), (0, 0));
}

#[test]
fn an_offer_that_is_one_percent_better_replaces_and_one_that_is_less_does_not() {
    let (_, deal, mut book) = opened(1);
    // 1,150 and two seconds at 10: 1,170, of which 1% is 11.7.
    book.apply(signed_offer(at(3, 1_000 - 11)));
    assert_eq!(found(&book, &deal), None);
    book.apply(signed_offer(at(4, 1_000 - 12)));
    assert_eq!(found(&book, &deal), Some(domain().offer_hash(&at(4, 988))));
}

#[test]
fn the_best_offer_is_found_and_money_is_what_the_contract_locks() {
    let (_, deal, mut book) = opened(3);
    for (n, start_fee) in [(3, 700), (4, 500), (5, 600)] {
        book.apply(signed_offer(at(n, start_fee)));
    }
    // Three tasks of 500 and 200 for the cycle limit.
    let expected = Replacement {
        offer: domain().offer_hash(&at(4, 500)),
        escrow: 2_100,
        collateral: 4_200,
    };
    assert_eq!(replacement(&book, &deal), Some(expected));
}

#[test]
fn whoever_cannot_open_a_deal_is_passed_over() {
    type Change = fn(&mut Book, &Deal);
    let changes: [(&str, Change); 6] = [
        ("no slot", |book, _| {
            let (provider, capacity_id) = (account(3), pool(1));
            book.apply(Event::Fact {
                block: 100,
                fact: Fact::Slots {
                    provider,
                    capacity_id,
                    open: 4,
                },
            });
        }),
        ("barred", |book, deal| {
            let bid = deal.bidHash;
            book.apply(Event::Fact {
                block: 100,
                fact: Fact::Barred {
                    bid,
                    provider: account(3),
                    barred: true,
                },
            });
        }),
        ("no collateral", |book, _| {
            book.apply(balance(100, account(3), TOKEN, 2));
        }),
        ("no floor", |book, _| {
            book.apply(balance(100, account(3), Address::ZERO, FLOOR - 1));
        }),
        ("the bid is cancelled", |book, _| {
            book.apply(Event::Fact {
                block: 100,
                fact: Fact::Counter {
                    account: account(1),
                    counter: 1,
                },
            });
        }),
        ("expired", |book, _| {
            book.apply(Event::Block {
                timestamp: NOW + 601,
            });
        }),
    ];
    for (what, change) in changes {
        let (_, deal, mut book) = opened(1);
        book.apply(signed_offer(at(3, 500)));
        assert!(found(&book, &deal).is_some(), "{what}");
        change(&mut book, &deal);
        assert_eq!(found(&book, &deal), None, "{what}");
    }
    // A dearer replacement needs what the buyer has left besides the deal's own escrow.
    let (_, deal, mut book) = opened(1);
    let dearer = Offer {
        cyclePrice: 120_000_000_000,
        ..at(3, 950)
    };
    book.apply(signed_offer(dearer.clone()));
    // 950 + 180 where 1,000 + 150 is expected, 950 + 240 where 1,000 + 200 is the most.
    book.apply(balance(100, account(1), TOKEN, 0));
    assert_eq!(found(&book, &deal), Some(domain().offer_hash(&dearer)));
    let (_, deal, mut book) = opened(1);
    let steeper = Offer {
        startFee: 0,
        cyclePrice: 740_000_000_000,
        ..dearer
    };
    book.apply(signed_offer(steeper));
    // 1,110 expected, 1,480 at the most: 280 more than the deal has.
    book.apply(balance(100, account(1), TOKEN, 279));
    assert_eq!(found(&book, &deal), None);
    book.apply(balance(101, account(1), TOKEN, 280));
    assert!(found(&book, &deal).is_some());
}

#[test]
fn a_provider_does_not_displace_itself() {
    let (_, deal, mut book) = opened(1);
    book.apply(signed_offer(at(2, 500)));
    assert_eq!(found(&book, &deal), None);
}

proptest! {
    #[test]
    fn the_score_of_a_deal_is_the_sum_of_its_tasks_marginal_scores(
        start_fee in 0u128..1_000_000, speed in 1u64..10_000_000_000, value in 0u128..1_000_000, count in 1u32..40,
    ) {
        let bid = Bid { valueOfTime: value, priceCap: 1 << 90, executionTimeout: 2_592_000, ..bid(40) };
        let offer = Offer { speed: speed.max(1_000_000), ..at(3, start_fee) };
        let fit = fit::judge(&bid, &job(40), &offer, |_| true).unwrap();
        let cost = expected_cost(&bid, &Tariff::of(&bid, &offer).unwrap(), count);
        let sum: u128 = (1..=count).map(|nth| fit.score(value, nth)).sum();
        prop_assert_eq!(score(&bid, cost, offer.speed, count), Some(U256::from(sum)));
    }

    #[test]
    fn of_two_scores_at_most_one_is_better(a in any::<u128>(), b in any::<u128>()) {
        let (a, b) = (U256::from(a), U256::from(b));
        prop_assert!(!(is_better(a, b) && is_better(b, a)));
        prop_assert!(!is_better(a, a));
    }
}
