//! Deals with a rank window: who waits, who takes whose place, and what a fork makes of it.

use super::*;
use crate::state::provider::Work;

const RIVAL: Address = Address::repeat_byte(0xe1);
/// Blocks of the window. The deal opens in block 3.
const WINDOW: u16 = 4;

fn windowed() -> (SignedBid, B256) {
    let (mut signed, _) = signed_bid(2);
    signed.bid.rankWindow = WINDOW;
    let hash = domain().bid_hash(&signed.bid);
    (signed, hash)
}

/// Another provider's offer, at so much for each task.
fn rivals(start_fee: u128) -> outcry_protocol::types::Offer {
    outcry_protocol::types::Offer {
        provider: RIVAL,
        startFee: start_fee,
        ..offer(1, 3)
    }
}

/// A deal of the whole bid; one that took another's place has no window.
fn opened_at(
    offer: &outcry_protocol::types::Offer,
    window: u16,
    opened_at: u64,
) -> (B256, Observed) {
    let (signed, hash) = windowed();
    let bid = outcry_protocol::types::Bid {
        rankWindow: window,
        ..signed.bid
    };
    let terms =
        outcry_protocol::deal::terms(&domain(), &bid, offer, &signed.job, 1, 0, 2, opened_at);
    let terms = outcry_protocol::types::Deal {
        bidHash: hash,
        ..terms.unwrap()
    };
    let deal = domain().deal_id(&terms);
    let terms = Box::new(terms);
    (deal, Observed::Opened { deal, terms })
}

fn replaced(deal: B256, by: B256, sender: Address) -> Observed {
    let change = Change::Replaced {
        by,
        sender,
        idle_fee: 3,
    };
    Observed::Changed { deal, change }
}

/// A node that knows the bid, its own offer and a rival's, and sees the rival's opened in block 3.
fn after_a_rivals_opening(start_fee: u128) -> (Bench, B256) {
    let mut node = Bench::provider(1);
    node.block(0, vec![]);
    node.apply(Fact::Offered(SignedOffer {
        offer: node.own_offer(),
        signature: vec![1],
    }));
    node.block(1, vec![]);
    node.apply(Fact::Order(Message::Offer(SignedOffer {
        offer: rivals(start_fee),
        signature: vec![1],
    })));
    let (signed, _) = windowed();
    let salt = signed.bid.salt;
    node.apply(Fact::Order(Message::Bid(signed)));
    let taken = BookFact::Salt {
        account: BUYER,
        salt,
        cancelled: false,
        taken: true,
        partly: false,
    };
    let (deal, event) = opened_at(&rivals(start_fee), WINDOW, START + 2);
    node.block_with(2, vec![event], vec![taken]);
    (node, deal)
}

#[test]
fn the_best_provider_takes_the_place_of_a_worse_deal_and_begins_at_once() {
    let (mut node, deal) = after_a_rivals_opening(1_000);
    let reservation = node.state.reservations.values().next().cloned().unwrap();
    assert_eq!(reservation.displaced, Some(deal));
    assert_eq!(node.state.wanted(), [Activity::Open(reservation.id)]);
    assert_eq!(node.state.slots_free(), 0);
    node.restart();
    assert_eq!(node.state.reservations[&reservation.id], reservation);

    let id = reservation.id;
    node.apply(Fact::OpenMined {
        reservation: id,
        block: 4,
    });
    let (own, event) = opened_at(&node.own_offer(), 0, START + 3);
    node.block(3, vec![event, replaced(deal, own, PROVIDER)]);
    assert_eq!(node.state.deals[&deal].state(), DealState::Replaced);
    assert!(node.state.reservations.is_empty());
    assert!(node.state.wanted().contains(&Activity::Run(own)));
    // It is not the rival's any more, so that it does not come again.
    node.block(4, vec![]);
    assert!(node.state.reservations.is_empty());
}

#[test]
fn nobody_takes_the_place_of_a_deal_that_is_about_as_good_or_when_it_is_too_late() {
    let (node, _) = after_a_rivals_opening(10);
    assert!(node.state.reservations.is_empty(), "the same price");
    // A hundredth of 200,000 is more than the 1,020 that the job is expected to bring.
    let (node, _) = after_a_rivals_opening(99_500);
    assert!(node.state.reservations.is_empty(), "the idle fee");

    let (mut node, _) = after_a_rivals_opening(1_000);
    let (id, _) = node.state.reservations.pop_first().unwrap();
    node.apply(Fact::OpenRefused {
        reservation: id,
        reason: "the market refused".into(),
    });
    for second in 3..=5 {
        node.block(second, vec![]);
        let tries = node.state.reservations.len();
        node.state.reservations.clear();
        assert_eq!(tries, 1, "as long as the next block is one of the window");
    }
    node.block(6, vec![]);
    assert!(node.state.reservations.is_empty(), "block 7 was the last");
}

#[test]
fn a_draining_provider_takes_nobodys_place() {
    let (mut node, _) = after_a_rivals_opening(1_000);
    node.state.reservations.clear();
    node.apply(Fact::Drain(true));
    node.block(3, vec![]);
    assert!(node.state.reservations.is_empty());
}

#[test]
fn a_displaced_provider_waits_forgets_the_deal_and_has_its_slot_again() {
    let mut node = Bench::provider(1);
    node.block(0, vec![]);
    let (deal, event) = opened_at(&node.own_offer(), WINDOW, START + 2);
    node.block(2, vec![event]);
    node.state.offer = Some((
        B256::ZERO,
        SignedOffer {
            offer: node.own_offer(),
            signature: vec![1],
        },
    ));
    assert!(node.state.wanted().is_empty(), "it does not begin");
    assert_eq!(node.state.slots_free(), 0);
    let (other, event) = opened_at(&rivals(1), 0, START + 3);
    let changes = node.block(3, vec![event, replaced(deal, other, RIVAL)]);
    assert!(changes.released.contains(&deal));
    assert!(!node.state.works.contains_key(&deal));
    assert_eq!(node.state.slots_free(), 1);
    assert!(node.state.wanted().is_empty());

    // A fork takes the replacement back: the deal is its own again, and begins behind the window.
    let record = node.state.deals.get_mut(&deal).unwrap();
    assert!(record.roll_back(2));
    let record = record.clone();
    node.state.deals.remove(&other);
    node.state.insert_deal(record);
    assert_eq!(node.state.works[&deal], Work::default());
    for second in 4..=5 {
        node.block(second, vec![]);
    }
    assert!(node.state.wanted().is_empty());
    node.block(6, vec![]);
    assert_eq!(node.state.wanted(), [Activity::Run(deal)]);
}

#[test]
fn a_buyers_job_follows_to_the_deal_that_took_the_place() {
    let mut node = Bench::gateway();
    node.block(0, vec![]);
    let (signed, id) = windowed();
    node.apply(Fact::Submitted(signed));
    let (deal, event) = opened_at(&rivals(1_000), WINDOW, START + 2);
    node.block(2, vec![event]);
    let (other, event) = opened_at(&offer(1, 1), 0, START + 3);
    node.block(3, vec![event, replaced(deal, other, PROVIDER)]);
    assert_eq!(node.state.jobs[&id].state, JobState::Funded);
    let bid = node.state.jobs[&id].signed.bid.clone();
    let ranges = node.state.book.open_ranges(id, &bid);
    let freed = ranges.iter().find(|range| range.failed_deal.is_some());
    assert_eq!(freed, None, "its tasks are the other deal's");
    let events = super::super::journal::events(&node.store, id, 0, 100).unwrap();
    let told = |event: &JobEventKind| matches!(event, JobEventKind::DealReplaced { deal_id, by } if (*deal_id, *by) == (deal, other));
    assert_eq!(events.iter().filter(|event| told(&event.event)).count(), 1);

    node.block(4, vec![claimed(other)]);
    assert_eq!(node.state.jobs[&id].state, JobState::Verifying);
    let paid = Change::Paid { paid: 30, fee: 0 };
    node.block(
        5,
        vec![Observed::Changed {
            deal: other,
            change: paid,
        }],
    );
    assert_eq!(node.state.jobs[&id].state, JobState::Settled);
}
