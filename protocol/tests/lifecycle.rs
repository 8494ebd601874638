//! The tables of [`outcry_protocol::lifecycle`] are total, end, and agree with each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use outcry_protocol::lifecycle::{
    DEAL_TABLE, DealEvent, DealState, JOB_TABLE, JobEvent, JobState, Refused,
};

#[test]
fn every_pair_of_state_and_event_has_one_answer() {
    let deals: BTreeSet<_> = DEAL_TABLE
        .iter()
        .map(|(from, on, _)| (from, on.name()))
        .collect();
    assert_eq!(deals.len(), DEAL_TABLE.len(), "a pair stands twice");
    let jobs: BTreeSet<_> = JOB_TABLE
        .iter()
        .map(|(from, on, _)| (from, on.name()))
        .collect();
    assert_eq!(jobs.len(), JOB_TABLE.len(), "a pair stands twice");
    for state in DealState::ALL {
        for event in DealEvent::ALL {
            let row = DEAL_TABLE
                .iter()
                .find(|(from, on, _)| from == state && on == event);
            match (state.next(*event), row) {
                (Ok(next), Some((_, _, to))) => assert_eq!(next, *to),
                (Err(Refused { .. }), None) => {}
                (answer, row) => panic!("{state} {event}: {answer:?} but {row:?}"),
            }
        }
    }
}

#[test]
fn terminal_states_have_no_way_out_and_all_others_have_one() {
    for state in DealState::ALL {
        let leaves = DEAL_TABLE
            .iter()
            .any(|(from, _, to)| from == state && to != state);
        assert_eq!(leaves, !state.is_terminal(), "{state}");
    }
    for state in JobState::ALL {
        let leaves = JOB_TABLE
            .iter()
            .any(|(from, _, to)| from == state && to != state);
        assert_eq!(leaves, !state.is_terminal(), "{state}");
    }
}

#[test]
fn every_state_is_reached_and_reaches_an_end() {
    fn reached<S: Copy + Ord>(from: S, edges: &[(S, S)]) -> BTreeSet<S> {
        let mut seen = BTreeSet::from([from]);
        loop {
            let more: Vec<S> = edges
                .iter()
                .filter(|(a, b)| seen.contains(a) && !seen.contains(b))
                .map(|(_, b)| *b)
                .collect();
            if more.is_empty() {
                return seen;
            }
            seen.extend(more);
        }
    }
    let deals: Vec<_> = DEAL_TABLE
        .iter()
        .map(|(from, _, to)| (*from, *to))
        .collect();
    assert_eq!(reached(DealState::Open, &deals).len(), DealState::ALL.len());
    for state in DealState::ALL {
        assert!(
            reached(*state, &deals).iter().any(|s| s.is_terminal()),
            "{state}"
        );
    }
    let jobs: Vec<_> = JOB_TABLE.iter().map(|(from, _, to)| (*from, *to)).collect();
    assert_eq!(reached(JobState::Open, &jobs).len(), JobState::ALL.len());
    for state in JobState::ALL {
        assert!(
            reached(*state, &jobs).iter().any(|s| s.is_terminal()),
            "{state}"
        );
    }
}

#[test]
fn a_price_is_paid_once() {
    // Whoever was paid stays so until the deal ends, and only Accept and Finalise pay.
    for (from, on, to) in DEAL_TABLE {
        if from.is_paid() && !to.is_terminal() {
            assert!(to.is_paid(), "{from} {on} {to}");
        }
        if !from.is_paid() && to.is_paid() {
            assert!(
                matches!(on, DealEvent::Accept | DealEvent::Finalise),
                "{from} {on} {to}"
            );
        }
    }
}

#[test]
fn nothing_finalises_while_a_demand_or_a_game_is_open() {
    for state in DealState::ALL {
        let open = state.is_demanded() || state.is_challenged();
        assert!(!open || state.next(DealEvent::Finalise).is_err(), "{state}");
        let lapses = state.next(DealEvent::DemandTimeout).is_ok();
        assert_eq!(
            lapses,
            state.is_demanded() && !state.is_challenged(),
            "{state}"
        );
    }
}

#[test]
fn a_job_lives_as_users_expect() {
    use JobEvent as E;
    let run = |events: &[E]| {
        events
            .iter()
            .try_fold(JobState::Open, |state, event| state.next(*event))
            .unwrap()
    };
    assert_eq!(
        run(&[
            E::Match,
            E::Open,
            E::Start,
            E::Run,
            E::AllClaimed,
            E::AllPaid
        ]),
        JobState::Settled
    );
    assert_eq!(
        run(&[
            E::Open,
            E::Run,
            E::DealFailed,
            E::Match,
            E::Open,
            E::AllClaimed,
            E::AllPaid
        ]),
        JobState::Settled
    );
    assert_eq!(run(&[E::Open, E::DealFailed, E::Expire]), JobState::Failed);
    assert_eq!(run(&[E::Cancel]), JobState::Cancelled);
    assert_eq!(run(&[E::Match, E::MatchLost, E::Expire]), JobState::Expired);
    assert!(JobState::Settled.next(E::Open).is_err());
}
