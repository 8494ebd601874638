//! The book: the same whatever the order of arrival, bounded, and live only where the chain agrees.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod market;

use alloy_primitives::{Address, B256, U256};
use market::*;
use outcry_protocol::book::{Book, Capacity, Dropped, Effect, Event, Fact, FactKey, OpenRange};
use outcry_protocol::types::{Bid, Offer};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_order_of_arrival_gives_the_same_book(
        (events, shuffled) in any_events().prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
        roomy in any::<bool>(),
    ) {
        let capacity = if roomy { Capacity::default() } else { small_capacity() };
        let (one, other) = (book_of(&events, capacity), book_of(&shuffled, capacity));
        prop_assert_eq!(&one, &other);
        // Hearing everything twice changes nothing either.
        let mut twice = one.clone();
        for event in &shuffled {
            twice.apply(event.clone());
        }
        prop_assert_eq!(one, twice);
    }

    #[test]
    fn the_book_never_exceeds_its_capacity(events in any_events()) {
        let capacity = small_capacity();
        let mut book = book_of(&[], capacity);
        for event in events {
            book.apply(event);
            prop_assert!(book.bids().len() <= capacity.bids);
            prop_assert!(book.offers().len() <= capacity.offers);
            for n in 1..8 {
                let of_account = |book: &Book| book.bids().filter(|(_, s)| s.bid.buyer == account(n)).count();
                prop_assert!(of_account(&book) <= capacity.bids_per_account);
                let offers = book.offers().filter(|(_, s)| s.offer.provider == account(n)).count();
                prop_assert!(offers <= capacity.offers_per_account);
            }
            prop_assert!(book.bids().all(|(_, s)| s.bid.expiry >= book.now()));
            prop_assert!(book.offers().all(|(_, s)| s.offer.expiry >= book.now()));
        }
    }

    #[test]
    fn covered_bids_never_commit_more_than_the_balance(events in any_events()) {
        let book = book_of(&events, Capacity::default());
        let uncovered = book.uncovered();
        for n in 1..8 {
            for token in [TOKEN, alloy_primitives::Address::ZERO] {
                let committed: u128 = book
                    .live_bids()
                    .filter(|(hash, s, _)| s.bid.buyer == account(n) && s.bid.token == token && !uncovered.contains(*hash))
                    .map(|(_, s, _)| Book::commitment(&s.bid))
                    .sum();
                prop_assert!(committed <= book.balance(account(n), token).unwrap_or(0));
            }
        }
        for (hash, signed, _) in book.live_bids() {
            prop_assert_eq!(book.is_covered(*hash, &signed.bid), !uncovered.contains(hash));
        }
    }
}

#[test]
fn a_new_order_asks_for_the_facts_that_it_needs() {
    let mut book = Book::new(domain(), FLOOR);
    let one = bid(3);
    let hash = domain().bid_hash(&one);
    let effects = book.apply(signed_bid(one.clone()));
    assert_eq!(
        effects,
        vec![
            Effect::Added(hash),
            Effect::Read(FactKey::Balance(one.buyer, TOKEN)),
            Effect::Read(FactKey::Counter(one.buyer)),
            Effect::Read(FactKey::Salt(one.buyer, one.salt)),
            Effect::Read(FactKey::Taken(hash)),
        ]
    );
    assert_eq!(book.apply(signed_bid(one)), vec![Effect::Known(hash)]);
}

#[test]
fn an_expired_order_leaves_with_the_block_after_its_last_second() {
    let mut book = funded_book();
    let hash = domain().bid_hash(&bid(1));
    book.apply(signed_bid(bid(1)));
    assert!(
        book.apply(Event::Block {
            timestamp: bid(1).expiry
        })
        .is_empty()
    );
    assert_eq!(book.live_bids().count(), 1);
    let effects = book.apply(Event::Block {
        timestamp: bid(1).expiry + 1,
    });
    assert_eq!(
        effects,
        vec![Effect::Dropped {
            hash,
            why: Dropped::Expired
        }]
    );
    let again = book.apply(signed_bid(bid(1)));
    assert_eq!(
        again,
        vec![Effect::Dropped {
            hash,
            why: Dropped::Expired
        }]
    );
}

#[test]
fn an_invalid_order_is_refused_and_changes_nothing() {
    let mut book = funded_book();
    let before = book.clone();
    let effects = book.apply(signed_bid(Bid {
        replicas: 2,
        ..bid(1)
    }));
    assert!(matches!(
        &effects[..],
        [Effect::Dropped {
            why: Dropped::Invalid(_),
            ..
        }]
    ));
    assert_eq!(book, before);
}

#[test]
fn a_bid_whose_salt_another_bid_has_used_in_part_is_dead_and_that_other_lives() {
    let mut book = funded_book();
    let (opened, reused) = (bid(5), bid(3));
    let opened_hash = domain().bid_hash(&opened);
    let reused_hash = domain().bid_hash(&reused);
    book.apply(signed_bid(opened));
    book.apply(signed_bid(reused));
    let facts = [
        Fact::Salt {
            account: account(1),
            salt: U256::from(1),
            cancelled: false,
            taken: false,
            partly: true,
        },
        Fact::Taken {
            bid: opened_hash,
            tasks: 2,
        },
        Fact::Taken {
            bid: reused_hash,
            tasks: 0,
        },
    ];
    for fact in facts {
        book.apply(Event::Fact { block: 5, fact });
    }
    let live: Vec<_> = book.live_bids().map(|(hash, ..)| *hash).collect();
    assert_eq!(live, [opened_hash]);
}

#[test]
fn orders_die_by_bit_and_by_counter() {
    let mut book = funded_book();
    book.apply(signed_bid(bid(1)));
    book.apply(signed_bid(Bid {
        salt: U256::from(2),
        ..bid(1)
    }));
    book.apply(signed_offer(offer()));
    assert_eq!(
        (book.live_bids().count(), book.live_offers().count()),
        (2, 1)
    );
    let salt = Fact::Salt {
        account: account(1),
        salt: U256::from(2),
        cancelled: true,
        taken: false,
        partly: false,
    };
    book.apply(Event::Fact {
        block: 5,
        fact: salt,
    });
    assert_eq!(
        (book.live_bids().count(), book.live_offers().count()),
        (1, 1)
    );
    for n in [1, 2] {
        book.apply(Event::Fact {
            block: 6,
            fact: Fact::Counter {
                account: account(n),
                counter: 1,
            },
        });
    }
    assert_eq!(
        (book.live_bids().count(), book.live_offers().count()),
        (0, 0)
    );
    book.apply(signed_offer(Offer {
        counter: 1,
        ..offer()
    }));
    assert_eq!(book.live_offers().count(), 1);
}

#[test]
fn an_older_fact_never_replaces_a_newer_one() {
    let mut book = funded_book();
    book.apply(balance(9, account(1), TOKEN, 7));
    book.apply(balance(8, account(1), TOKEN, 1_000_000));
    assert_eq!(book.balance(account(1), TOKEN), Some(7));
}

#[test]
fn a_reorganisation_forgets_what_came_after_it_and_asks_again() {
    let mut book = funded_book();
    book.apply(balance(9, account(1), TOKEN, 7));
    let effects = book.apply(Event::Rewind { block: 8 });
    assert_eq!(
        effects,
        vec![Effect::Read(FactKey::Balance(account(1), TOKEN))]
    );
    assert_eq!(book.balance(account(1), TOKEN), None);
    // The new branch may be shorter.
    book.apply(balance(3, account(1), TOKEN, 11));
    assert_eq!(book.balance(account(1), TOKEN), Some(11));
}

#[test]
fn tasks_of_a_failed_deal_open_again_before_fresh_ones_while_the_bid_lives() {
    let mut book = funded_book();
    let one = bid(10);
    let hash = domain().bid_hash(&one);
    book.apply(signed_bid(one.clone()));
    book.apply(Event::Fact {
        block: 2,
        fact: Fact::Taken {
            bid: hash,
            tasks: 6,
        },
    });
    let failed = B256::repeat_byte(9);
    book.apply(Event::Fact {
        block: 3,
        fact: Fact::Freed {
            bid: hash,
            deal: failed,
            first: 2,
            count: 3,
        },
    });
    assert_eq!(
        book.open_ranges(hash, &one),
        vec![
            OpenRange {
                failed_deal: Some(failed),
                first: 2,
                count: 3
            },
            OpenRange {
                failed_deal: None,
                first: 6,
                count: 4
            },
        ]
    );
    book.apply(Event::Fact {
        block: 4,
        fact: Fact::Freed {
            bid: hash,
            deal: failed,
            first: 5,
            count: 0,
        },
    });
    assert_eq!(book.open_ranges(hash, &one).len(), 1);
    book.apply(Event::Block {
        timestamp: one.expiry + 1,
    });
    assert_eq!(book.open_ranges(hash, &one), vec![]);
}

#[test]
fn facts_that_no_order_needs_can_be_forgotten() {
    let mut book = funded_book();
    book.apply(signed_bid(bid(1)));
    book.forget_unused();
    assert_eq!(book.balance(account(1), TOKEN), Some(1 << 60));
    assert_eq!(book.balance(account(5), TOKEN), None);
}

#[test]
fn an_account_has_as_many_offers_as_it_can_have_deals_the_longest_lived_first() {
    let mut book = funded_book();
    let offers: Vec<Offer> = (0..4)
        .map(|n| Offer {
            expiry: NOW + 100 + n % 3,
            salt: U256::from(n),
            capacityId: pool((n / 2) as u8),
            ..offer()
        })
        .collect();
    let hash = |offer: &Offer| domain().offer_hash(offer);
    for one in &offers {
        book.apply(signed_offer(one.clone()));
    }
    let provider = offers[0].provider;
    let mut ranked: Vec<&Offer> = offers.iter().collect();
    ranked.sort_by_key(|one| (std::cmp::Reverse(one.expiry), hash(one)));
    // Free coins, deals that hold slots of the pool 0, and offers backed.
    for (block, (coins, open, backed)) in [
        (0, 0, 0),
        (FLOOR - 1, 0, 0),
        (FLOOR, 0, 1),
        (3 * FLOOR - 1, 0, 2),
        (3 * FLOOR - 1, 1, 3),
        (0, 2, 2),
        (1 << 100, 0, 4),
    ]
    .into_iter()
    .enumerate()
    {
        let block = block as u64 + 2;
        book.apply(balance(block, provider, Address::ZERO, coins));
        let fact = Fact::Slots {
            provider,
            capacity_id: pool(0),
            open,
        };
        book.apply(Event::Fact { block, fact });
        let unbacked = book.unbacked();
        for (place, one) in ranked.iter().enumerate() {
            let hash = hash(one);
            assert_eq!(unbacked.contains(&hash), place >= backed);
            assert_eq!(book.is_offer_backed(hash, one), place < backed);
        }
        assert_eq!(book.backed().1.len(), backed);
    }
    // A renewed offer takes the place of the one before, as if it were in the book.
    book.apply(balance(20, provider, Address::ZERO, FLOOR));
    let renewed = Offer {
        expiry: NOW + 500,
        salt: U256::from(9),
        ..offers[0].clone()
    };
    assert!(book.is_offer_backed(hash(&renewed), &renewed));
}
