//! Rounds of the auction that a node tends.

use outcry_protocol::auction::calendar::Calendar;
use outcry_protocol::auction::{AuctionParameters, Phase};

use super::*;
use crate::state::round::{RoundEvent, Standing};

/// The round of the tests, and what it consists of: rounds of 400 s, seasons of 5.
const ROUND: u64 = 6;
const INTERVAL_S: u64 = 400;
const PHASE_S: u64 = 100;
const ME: Address = Address::repeat_byte(0x6a);
const OTHER: Address = Address::repeat_byte(0x0e);
const COMMITMENT: B256 = B256::repeat_byte(0xc0);

fn calendar() -> Calendar {
    Calendar::of(&AuctionParameters {
        market: Address::ZERO,
        token: TOKEN,
        start: START,
        intervalS: INTERVAL_S as u32,
        intervals: 5,
        commitS: PHASE_S as u32,
        revealS: PHASE_S as u32,
        postS: PHASE_S as u32,
        feeBps: 100,
        resultBond: 1,
        depositMin: 1,
        drawS: 10,
        drawFeeBps: 0,
    })
    .unwrap()
}

fn tender() -> Bench {
    let mut node = Bench::gateway();
    node.state.rounds.calendar = Some(calendar());
    node
}

/// Seconds from the start of the bench to the n-th phase of the round.
fn phase(n: u64) -> u64 {
    ROUND * INTERVAL_S + n * PHASE_S
}

fn event(event: RoundEvent) -> Observed {
    let round = ROUND;
    Observed::Round { round, event }
}

fn revealed() -> Observed {
    revealed_by(OTHER, false)
}

fn revealed_by(account: Address, is_new: bool) -> Observed {
    event(RoundEvent::Revealed {
        order: 0,
        account,
        is_new,
        commitment: COMMITMENT,
    })
}

fn posted(result: u32, poster: Address) -> Observed {
    claiming(result, poster, 1)
}

fn claiming(result: u32, poster: Address, welfare: u64) -> Observed {
    let standing = Standing {
        poster,
        welfare: welfare.try_into().unwrap(),
        volume: U256::ZERO,
    };
    event(RoundEvent::Posted { result, standing })
}

fn closed(order: u16, account: Address, earns: bool) -> Observed {
    event(RoundEvent::Closed {
        order,
        account,
        earns,
    })
}

fn tends(node: &Bench) -> bool {
    node.state.wanted().contains(&Activity::Tend(ROUND))
}

/// The node did what there was to do.
fn tended(node: &mut Bench, phase: Phase) {
    let mark = node.state.round_mark(ROUND).unwrap();
    node.apply(Fact::Tended {
        round: ROUND,
        phase,
        mark,
    });
}

#[test]
fn an_own_order_is_revealed_when_it_is_time_and_a_kill_forgets_none() {
    let mut node = tender();
    let committed = |account| {
        event(RoundEvent::Committed {
            account,
            commitment: COMMITMENT,
        })
    };
    node.block(phase(0), vec![committed(OTHER)]);
    node.block(phase(1), vec![]);
    assert!(!tends(&node), "whose order it is reveals it");
    node.block(phase(1) + 1, vec![committed(ME)]);
    assert!(tends(&node));
    node.restart();
    node.state.rounds.calendar = Some(calendar());
    node.block(phase(1) + 2, vec![]);
    assert!(tends(&node));
    node.block(phase(1) + 3, vec![revealed()]);
    assert!(!tends(&node));
}

#[test]
fn a_round_is_looked_at_once_in_each_phase_and_after_each_change() {
    let mut node = tender();
    node.block(phase(1), vec![revealed()]);
    // Its turn comes within the first quarter of the phase.
    node.block(phase(2) + PHASE_S / 4, vec![]);
    assert!(tends(&node));
    tended(&mut node, Phase::Post);
    assert!(!tends(&node));
    node.block(phase(2) + 30, vec![posted(1, OTHER)]);
    assert!(tends(&node), "a result that may be false");
    tended(&mut node, Phase::Post);
    node.block(phase(3), vec![]);
    assert!(tends(&node));
    tended(&mut node, Phase::Dispute);
    assert!(!tends(&node));
    node.block(
        phase(3) + 1,
        vec![event(RoundEvent::Disproved { result: 1 })],
    );
    assert!(tends(&node), "what lay under it counts again");
}

#[test]
fn nothing_is_waited_for_once_somebody_has_posted() {
    let mut node = tender();
    node.block(phase(1), vec![revealed()]);
    node.block(phase(2), vec![posted(1, OTHER)]);
    assert!(tends(&node));
}

#[test]
fn a_round_without_orders_is_left_alone() {
    let mut node = tender();
    let commitment = event(RoundEvent::Committed {
        account: OTHER,
        commitment: COMMITMENT,
    });
    node.block(phase(0), vec![commitment]);
    for n in 1..=4 {
        node.block(phase(n) + PHASE_S / 2, vec![]);
        assert!(!tends(&node));
    }
    assert_eq!(node.state.round_mark(ROUND), None, "it is forgotten");
}

#[test]
fn a_final_round_is_tended_until_all_is_settled_and_the_bond_is_back() {
    let mut node = tender();
    node.block(phase(1), vec![revealed(), revealed()]);
    node.block(phase(2), vec![posted(1, ME)]);
    node.block(phase(4), vec![closed(0, OTHER, false)]);
    assert!(tends(&node));
    node.block(phase(4) + 1, vec![closed(1, OTHER, false)]);
    assert!(tends(&node), "the bond");
    node.block(
        phase(4) + 2,
        vec![event(RoundEvent::Collected { result: 1 })],
    );
    assert!(!tends(&node));
    node.restart();
    assert_eq!(node.state.round_mark(ROUND), None, "it is forgotten");
}

#[test]
fn the_orders_of_a_round_are_paid_out_by_who_posted_the_best_result_whenever_that_was() {
    for (mine, theirs, pays) in [(5, 3, true), (3, 5, false)] {
        let mut node = tender();
        node.block(phase(1), vec![revealed()]);
        node.block(
            phase(2),
            vec![claiming(1, ME, mine), claiming(2, OTHER, theirs)],
        );
        let collected = event(RoundEvent::Collected { result: 1 });
        node.block(phase(4), vec![closed(0, OTHER, true), collected]);
        // Round 6 sells the intervals from 7 on.
        node.block(8 * INTERVAL_S, vec![]);
        assert_eq!(tends(&node), pays, "{mine} against {theirs}");
    }
}

#[test]
fn what_an_own_order_earns_is_paid_out_after_each_interval_and_no_more_after_the_season() {
    let mut node = tender();
    node.block(phase(1), vec![revealed()]);
    node.block(phase(2), vec![posted(1, OTHER)]);
    node.block(phase(4), vec![closed(0, ME, true)]);
    let mut paid = Vec::new();
    // Round 6 sells the intervals 7, 8 and 9.
    for interval in 7..=11 {
        let at = interval * INTERVAL_S;
        node.block(at, vec![]);
        if tends(&node) {
            paid.push(interval);
            node.block(at + 1, vec![event(RoundEvent::Earned { order: 0 })]);
            assert!(!tends(&node));
        }
    }
    assert_eq!(paid, [8, 9, 10]);
    assert_eq!(node.state.round_mark(ROUND), None, "it is forgotten");
}

#[test]
fn the_deposit_of_sold_capacity_is_taken_back_after_the_season_and_asked_for_once() {
    for is_taken_back in [true, false] {
        let mut node = tender();
        node.block(phase(1), vec![revealed_by(ME, true)]);
        node.block(phase(2), vec![posted(1, OTHER)]);
        node.block(phase(4), vec![closed(0, ME, true)]);
        node.block(10 * INTERVAL_S - 1, vec![]);
        node.block(
            10 * INTERVAL_S,
            vec![event(RoundEvent::Earned { order: 0 })],
        );
        assert!(tends(&node), "season 1 ends with interval 9");
        if is_taken_back {
            node.block(
                10 * INTERVAL_S + 1,
                vec![event(RoundEvent::Reclaimed { order: 0 })],
            );
        } else {
            // Penalties left nothing of it.
            tended(&mut node, Phase::Final);
        }
        node.block(10 * INTERVAL_S + 2, vec![]);
        assert!(!tends(&node));
        assert_eq!(node.state.round_mark(ROUND), None, "it is forgotten");
    }
}

#[test]
fn a_node_that_tends_nothing_keeps_nothing_of_rounds() {
    let mut node = Bench::gateway();
    node.block(phase(1), vec![revealed()]);
    node.block(phase(4), vec![]);
    assert!(!tends(&node));
    assert_eq!(node.state.round_mark(ROUND), None);
}
