//! Jobs drawn on what the account has sold.

use outcry_protocol::auction::Pool;
use outcry_protocol::types::{Bid, Offer};

use super::*;
use crate::state::draw::{Draw, Step, Terms};

const DRAW: B256 = B256::repeat_byte(0xd7);
const DRAW_S: u64 = 40;
const DEADLINE: u64 = START + 300;

fn provider() -> Bench {
    let mut node = Bench::provider(1);
    node.state.draws.terms = terms();
    node
}

fn terms() -> Terms {
    Terms {
        pools: vec![Pool {
            region: 3,
            memoryMib: 512,
            diskMib: 256,
            egressMib: 8,
            attributes: U256::from(5),
            speed: 77_000_000,
            unitDeposit: 1,
            machineVersion: 1,
        }],
        draw_s: DRAW_S,
    }
}

/// A bid that costs nothing.
fn free_bid(tasks: u32) -> Bid {
    Bid {
        priceCap: 0,
        tip: 0,
        ..bid(&job(tasks), 9)
    }
}

fn draw(tasks: u32) -> Draw {
    let bid = free_bid(tasks);
    Draw {
        id: DRAW,
        pool: 0,
        deadline: DEADLINE,
        answered: 0,
        bid_hash: domain().bid_hash(&bid),
        bid,
        signature: Bytes::from_static(&[1]),
        job: job(tasks),
    }
}

fn drawn(provider: Address, tasks: u32) -> Observed {
    let draw = Box::new(draw(tasks));
    Observed::Drawn { provider, draw }
}

/// The offer that the node signs for the draw.
fn offer_of(node: &Bench) -> Offer {
    let draw = node.state.draws.get(&DRAW).unwrap();
    node.state.draw_offer(draw, U256::from(4), 0).unwrap()
}

fn offered(node: &mut Bench) -> Offer {
    let offer = offer_of(node);
    node.apply(Fact::DrawOffered {
        draw: DRAW,
        offer: SignedOffer {
            offer: offer.clone(),
            signature: vec![2],
        },
    });
    offer
}

/// A deal of `tasks` tasks from `first` on.
fn opens(bid: &Bid, offer: &Offer, first: u32, tasks: u32) -> (B256, Observed) {
    let terms = outcry_protocol::deal::terms(
        &domain(),
        bid,
        offer,
        &job(bid.tasks),
        0,
        first,
        tasks,
        START + 1,
    )
    .unwrap();
    let deal = domain().deal_id(&terms);
    let terms = Box::new(terms);
    (deal, Observed::Opened { deal, terms })
}

fn wants(node: &Bench, activity: Activity) -> bool {
    node.state.wanted().contains(&activity)
}

#[test]
fn a_draw_becomes_a_reserved_opening_at_no_price_that_survives_a_kill() {
    let mut node = provider();
    node.block(1, vec![drawn(PROVIDER, 2)]);
    assert!(wants(&node, Activity::OfferForDraw(DRAW)));
    node.restart();
    node.state.draws.terms = terms();
    node.block(2, vec![]);
    assert!(wants(&node, Activity::OfferForDraw(DRAW)));

    let offer = offered(&mut node);
    assert_eq!((offer.startFee, offer.cyclePrice, offer.slots), (0, 0, 1));
    assert_eq!((offer.region, offer.speed), (3, 77_000_000));
    assert!(offer.expiry <= START + 2 + 60, "it is of no use for long");
    assert!(!wants(&node, Activity::OfferForDraw(DRAW)));
    assert!(wants(&node, Activity::Open(DRAW)));
    assert_eq!(node.state.reservations[&DRAW].count, 2);
    assert_eq!(node.state.slots_free(), 1, "the slots on offer stay free");
    let kept = node.state.reservations.clone();
    node.restart();
    assert_eq!(node.state.reservations, kept);
}

#[test]
fn a_draw_on_somebody_else_is_nothing_to_this_node() {
    let mut node = provider();
    node.block(1, vec![drawn(Address::repeat_byte(0x0e), 1)]);
    assert!(node.state.draws.get(&DRAW).is_none());
}

#[test]
fn an_opening_that_was_refused_is_tried_again_until_the_draws_deadline() {
    let mut node = provider();
    node.block(1, vec![drawn(PROVIDER, 1)]);
    offered(&mut node);
    node.apply(Fact::OpenRefused {
        reservation: DRAW,
        reason: "NoFreeSlot".into(),
    });
    assert!(wants(&node, Activity::OfferForDraw(DRAW)));
    node.block(DEADLINE - START + 1, vec![]);
    assert!(!wants(&node, Activity::OfferForDraw(DRAW)));
    node.block(DEADLINE - START + DRAW_S + 1, vec![]);
    assert!(wants(&node, Activity::EndDraw(DRAW)));
    let draw = node.state.draws.get(&DRAW).unwrap();
    assert_eq!(node.state.draw_step(draw), Some(Step::Lapse));
    node.block(400, vec![Observed::DrawEnded { draw: DRAW }]);
    assert!(node.state.draws.get(&DRAW).is_none());
}

#[test]
fn a_claim_is_shown_before_its_deal_is_finalised() {
    let mut node = provider();
    node.block(1, vec![drawn(PROVIDER, 1)]);
    let offer = offered(&mut node);
    let (deal, event) = opens(&free_bid(1), &offer, 0, 1);
    node.block(2, vec![event]);
    node.apply(Fact::OpenMined {
        reservation: DRAW,
        block: node.block,
    });
    assert!(wants(&node, Activity::Run(deal)));
    assert!(!wants(&node, Activity::EndDraw(DRAW)));
    node.apply(Fact::TaskDone {
        deal,
        result: done(0),
    });
    assert!(wants(&node, Activity::Claim(deal)));
    node.block(3, vec![claimed(deal)]);
    node.block(200, vec![]);
    let draw = node.state.draws.get(&DRAW).unwrap();
    assert_eq!(node.state.draw_step(draw), Some(Step::Answer(deal)));
    assert_eq!(
        node.state.wanted(),
        [Activity::Offer, Activity::EndDraw(DRAW)]
    );
    let answered = Observed::DrawAnswered {
        draw: DRAW,
        answered: 1,
    };
    node.block(201, vec![answered]);
    assert!(node.state.draws.get(&DRAW).is_none());
    assert!(wants(&node, Activity::Settle));
    node.restart();
    assert!(node.state.draws.get(&DRAW).is_none());
}

#[test]
fn tasks_that_somebody_else_took_are_left_out() {
    let mut node = provider();
    let theirs = offer(1, 3);
    let theirs = Offer {
        provider: Address::repeat_byte(0x0e),
        startFee: 0,
        cyclePrice: 0,
        ..theirs
    };
    let (_, event) = opens(&free_bid(3), &theirs, 0, 1);
    node.block(1, vec![drawn(PROVIDER, 3), event]);
    offered(&mut node);
    assert_eq!(node.state.reservations[&DRAW].count, 2);
}

#[test]
fn a_job_that_cannot_be_run_is_cancelled_and_given_back() {
    let mut node = provider();
    node.block(1, vec![drawn(PROVIDER, 1)]);
    let offer = offered(&mut node);
    let (deal, event) = opens(&free_bid(1), &offer, 0, 1);
    node.block(2, vec![event]);
    let refusal = crate::state::provider::Refusal {
        reason: "the image root differs".into(),
        runs_anyway: false,
    };
    node.apply(Fact::JobRefused { deal, refusal });
    assert!(wants(&node, Activity::CancelAdmission(deal)));
    let cancelled = Change::Cancelled {
        by: PROVIDER,
        burned_by_buyer: 0,
    };
    let change = Observed::Changed {
        deal,
        change: cancelled,
    };
    node.block(3, vec![change]);
    let draw = node.state.draws.get(&DRAW).unwrap();
    assert_eq!(node.state.draw_step(draw), Some(Step::GiveBack));
    assert!(!wants(&node, Activity::OfferForDraw(DRAW)));
}

#[test]
fn whoever_uses_a_draws_offer_for_another_bid_is_cancelled_in_the_admission_window() {
    let mut node = provider();
    node.block(1, vec![drawn(PROVIDER, 1)]);
    let offer = offered(&mut node);
    let (other, _) = signed_bid(1);
    let thief = Bid {
        priceCap: 0,
        ..other.bid
    };
    let (deal, event) = opens(&thief, &offer, 0, 1);
    node.block(2, vec![event]);
    assert!(wants(&node, Activity::CancelAdmission(deal)));
    assert!(!wants(&node, Activity::Run(deal)));
    node.block(21, vec![]);
    assert!(
        wants(&node, Activity::Run(deal)),
        "it is too late to cancel"
    );
}
