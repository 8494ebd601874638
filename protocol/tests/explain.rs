//! `explain` counts what fails, and its suggestions work; `quote` prices what matching would do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod market;

use alloy_primitives::{Address, B256, U256};
use market::*;
use outcry_protocol::book::{Book, Capacity, Event, Fact};
use outcry_protocol::explain::{BidProblem, Change, explain};
use outcry_protocol::fit::{Constraint, judge};
use outcry_protocol::hash::job_hash;
use outcry_protocol::matching::run;
use outcry_protocol::order::validate_bid_form;
use outcry_protocol::quote::{deterrence, quote};
use outcry_protocol::types::{Bid, JobSpec, Offer, Resources};
use outcry_protocol::wire::SignedBid;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_bid_matches_once_a_suggested_change_is_made(events in any_events()) {
        let book = book_of(&events, Capacity::default());
        for (hash, signed) in book.bids() {
            let explanation = explain(&book, &signed.bid, &signed.job);
            for suggestion in &explanation.changes {
                let (bid, job) = suggestion.change.applied(&signed.bid, &signed.job);
                let offer = &book.offer(&suggestion.offer).unwrap().offer;
                if bid == signed.bid {
                    let waits = matches!(
                        suggestion.change,
                        Change::WaitForSlot | Change::WaitForProvider | Change::UseOtherAccount
                    );
                    prop_assert!(waits, "{} changes nothing", suggestion.change);
                    continue;
                }
                prop_assert!(judge(&bid, &job, offer, |_| false).is_some());
                if explanation.problem.is_some() {
                    continue;
                }
                // Alone with the offers, so that nobody takes the slot before; and with a salt of its own,
                // since that of the old one may be taken.
                let bid = Bid { salt: U256::MAX, ..bid };
                let alone = events
                    .iter()
                    .filter(|event| !matches!(event, Event::Bid(_)))
                    .cloned()
                    .chain([Event::Bid(SignedBid { bid, job, ..signed.clone() })])
                    .collect::<Vec<_>>();
                let alone = book_of(&alone, Capacity::default());
                let matches = run(&alone, B256::ZERO).matches;
                prop_assert!(!matches.is_empty(), "{hash}: {} does not help", suggestion.change);
            }
        }
    }

    #[test]
    fn an_offer_fits_by_explanation_exactly_when_nothing_fails(events in any_events()) {
        let book = book_of(&events, Capacity::default());
        for (hash, signed) in book.bids() {
            let explanation = explain(&book, &signed.bid, &signed.job);
            let acceptable = book
                .live_offers()
                .filter(|(_, o)| judge(&signed.bid, &signed.job, &o.offer, |_| false).is_some())
                .count();
            prop_assert_eq!(explanation.offers, book.live_offers().count());
            prop_assert!(explanation.fitting <= acceptable);
            prop_assert!(explanation.failures.iter().all(|f| f.alone <= f.offers && f.offers <= explanation.offers));
            // Whoever is matched had an offer that fits.
            if run(&book, B256::ZERO).matches.iter().any(|m| m.bid == *hash) {
                prop_assert!(explanation.fitting > 0);
            }
        }
    }

    #[test]
    fn a_lone_bid_is_matched_as_quoted(one in any_bid(), offers in proptest::collection::vec(any_offer(), 0..8)) {
        let mut book = funded_book();
        for offer in offers {
            book.apply(signed_offer(offer));
        }
        let one = Bid { expiry: NOW + 10, counter: 0, ..one };
        book.apply(signed_bid(one.clone()));
        let quoted = quote(&book, &one, &job(one.tasks));
        let epoch = run(&book, B256::ZERO);
        prop_assert_eq!(quoted.tasks, epoch.matches.iter().map(|m| m.count).sum::<u32>());
        prop_assert_eq!(quoted.escrow, epoch.matches.iter().map(|m| m.escrow).sum::<u128>());
        prop_assert!(quoted.cost <= quoted.escrow);
        let beside_escrow = (2 * one.tip + one.auditFee) * epoch.matches.len() as u128;
        prop_assert_eq!(quoted.reserve, quoted.escrow + beside_escrow);
    }
}

fn with_memory(mib: u32, bid: Bid) -> Bid {
    Bid {
        resources: Resources {
            memoryMib: mib,
            ..bid.resources
        },
        ..bid
    }
}

#[test]
fn the_verdict_names_the_constraint_that_no_offer_meets() {
    let mut book = funded_book();
    let nobody = explain(&book, &bid(1), &job(1));
    assert_eq!(nobody.verdict(&bid(1)).unwrap().0.id, "M-017");
    book.apply(signed_offer(offer()));
    book.apply(signed_offer(Offer {
        provider: account(3),
        resources: Resources {
            memoryMib: 65_536,
            ..offer().resources
        },
        region: 7,
        ..offer()
    }));
    let large = with_memory(98_304, bid(1));
    let explanation = explain(&book, &large, &job(1));
    let (code, text) = explanation.verdict(&large).unwrap();
    assert_eq!(code.id, "M-003");
    assert_eq!(
        text,
        "no offer has 98304 MiB of memory; the largest has 65536 MiB"
    );
    assert_eq!(explanation.failures.len(), 2);
    assert_eq!(
        (
            explanation.failures[0].constraint,
            explanation.failures[0].offers
        ),
        (Constraint::Region, 1)
    );
    assert_eq!(
        (
            explanation.failures[1].offers,
            explanation.failures[1].alone
        ),
        (2, 1)
    );
    // One offer lacks memory alone, and the smallest change is to what it has.
    assert_eq!(explanation.changes[0].change, Change::LowerMemory(1024));
    assert!(explain(&book, &bid(1), &job(1)).verdict(&bid(1)).is_none());
}

#[test]
fn the_cheapest_change_comes_first() {
    let mut book = funded_book();
    let away = Offer {
        region: 9,
        startFee: 1_500,
        provider: account(3),
        ..offer()
    };
    let better = Offer {
        attributes: U256::from(1),
        startFee: 6_000,
        provider: account(4),
        ..offer()
    };
    for one in [offer(), away.clone(), better] {
        book.apply(signed_offer(one));
    }
    let wants = Bid {
        attributes: U256::from(1),
        priceCap: 5_000,
        ..bid(1)
    };
    let explanation = explain(&book, &wants, &job(1));
    assert_eq!(explanation.fitting, 0);
    let changes: Vec<Change> = explanation.changes.iter().map(|s| s.change).collect();
    assert_eq!(
        changes,
        vec![
            Change::DropAttributes(U256::from(1)),
            Change::RaisePriceCap(6_150)
        ]
    );
    assert_eq!(explanation.verdict(&wants).unwrap().0.id, "M-018");
}

#[test]
fn full_slots_and_poor_providers_are_told_apart() {
    let mut book = funded_book();
    book.apply(signed_offer(offer()));
    let slots = Fact::Slots {
        provider: account(2),
        capacity_id: pool(1),
        open: 4,
    };
    book.apply(Event::Fact {
        block: 2,
        fact: slots,
    });
    assert_eq!(
        explain(&book, &bid(1), &job(1))
            .verdict(&bid(1))
            .unwrap()
            .0
            .id,
        "M-011"
    );
    let slots = Fact::Slots {
        provider: account(2),
        capacity_id: pool(1),
        open: 3,
    };
    book.apply(Event::Fact {
        block: 3,
        fact: slots,
    });
    book.apply(balance(4, account(2), TOKEN, 2_399));
    assert_eq!(
        explain(&book, &bid(1), &job(1))
            .verdict(&bid(1))
            .unwrap()
            .0
            .id,
        "M-012"
    );
    book.apply(balance(5, account(2), TOKEN, 2_400));
    assert_eq!(explain(&book, &bid(1), &job(1)).verdict(&bid(1)), None);
}

#[test]
fn the_bids_own_problem_comes_before_the_offers() {
    let mut book = funded_book();
    book.apply(signed_offer(offer()));
    book.apply(balance(2, account(1), TOKEN, 10_019));
    let poor = explain(&book, &bid(1), &job(1));
    assert_eq!(
        poor.problem,
        Some(BidProblem::Uncovered {
            has: 10_019,
            needs: 10_020
        })
    );
    assert_eq!(poor.verdict(&bid(1)).unwrap().0.id, "M-013");
    let wrong = Bid {
        regions: U256::ZERO,
        ..bid(1)
    };
    assert_eq!(
        explain(&book, &wrong, &job(1))
            .verdict(&wrong)
            .unwrap()
            .0
            .id,
        "O-008"
    );
}

#[test]
fn without_audits_only_unasked_checks_deter() {
    let none = deterrence(1_000, 20_000, 0);
    assert!(none.cheating_pays && !none.ample);
    // A tenth audited at twenty times the price: 1,000 burns in expectation, 900 are won.
    let even = deterrence(1_000, 200_000, 1_000);
    assert!(!even.cheating_pays && !even.ample);
    let strong = deterrence(1_000, 600_000, 1_000);
    assert_eq!(
        (strong.gain, strong.loss),
        (U256::from(900), U256::from(3_000))
    );
    assert!(strong.ample);
}

#[test]
fn who_reserves_less_memory_lets_the_job_use_no_more() {
    let mut book = funded_book();
    book.apply(signed_offer(offer()));
    let most = offer().resources.memoryMib;
    let large = JobSpec {
        pageLimit: (most + 1) * 16,
        ..job(1)
    };
    let wants = Bid {
        jobHash: job_hash(&large),
        ..with_memory(most * 2, bid(1))
    };
    let explanation = explain(&book, &wants, &large);
    let change = explanation.changes[0].change;
    assert_eq!(change, Change::LowerMemory(most));
    let (bid, job) = change.applied(&wants, &large);
    assert_eq!(job.pageLimit, most * 16);
    assert_eq!(validate_bid_form(&bid, &job), Ok(()));
}

#[test]
fn another_token_is_named_last_and_only_to_who_has_it() {
    let mut book = funded_book();
    let (buyer, theirs) = (bid(1).buyer, Address::repeat_byte(0x66));
    book.apply(balance(2, account(2), theirs, 1 << 60));
    book.apply(signed_offer(Offer {
        token: theirs,
        startFee: 0,
        cyclePrice: 0,
        memoryPrice: 0,
        ..offer()
    }));
    book.apply(signed_offer(Offer {
        startFee: 6_000,
        provider: account(3),
        ..offer()
    }));
    let wants = Bid {
        priceCap: 5_000,
        ..bid(1)
    };
    let changes = |book: &Book| -> Vec<Change> {
        let changes = explain(book, &wants, &job(1)).changes.into_iter();
        changes.map(|one| one.change).collect()
    };
    let raise = Change::RaisePriceCap(6_150);
    assert_eq!(changes(&book), vec![raise]);
    book.apply(balance(3, buyer, theirs, 1 << 60));
    assert_eq!(changes(&book), vec![raise, Change::PayIn(theirs)]);
}

#[test]
fn a_higher_cap_is_not_advised_beyond_what_buyer_or_provider_hold() {
    let wants = Bid {
        priceCap: 5_000,
        ..bid(1)
    };
    for (poor, needs) in [(bid(1).buyer, 6_170), (account(2), 12_300)] {
        let mut book = funded_book();
        book.apply(signed_offer(Offer {
            startFee: 6_000,
            ..offer()
        }));
        for (block, has, advised) in [(2, needs - 1, false), (3, needs, true)] {
            book.apply(balance(block, poor, TOKEN, has));
            let changes = explain(&book, &wants, &job(1)).changes;
            assert_eq!(!changes.is_empty(), advised, "{poor} has {has}");
        }
    }
}
