//! The tables of [`outcry_protocol::lifecycle`] are total, end, and agree with each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use outcry_protocol::lifecycle::{DealEvent, DealState, JOB_TABLE, JobEvent, JobState, Standing};

#[test]
fn every_pair_of_job_state_and_event_has_one_answer() {
    let jobs: BTreeSet<_> = JOB_TABLE
        .iter()
        .map(|(from, on, _)| (from, on.name()))
        .collect();
    assert_eq!(jobs.len(), JOB_TABLE.len(), "a pair stands twice");
}

#[test]
fn every_state_of_a_deal_has_a_name_of_its_own() {
    let names: BTreeSet<_> = DealState::ALL.iter().map(|state| state.name()).collect();
    assert_eq!(names.len(), DealState::ALL.len());
    let everything = Standing {
        accepted: true,
        demanded: true,
        challenged: true,
        audited: true,
    };
    assert_eq!(
        DealState::Claimed(everything).name(),
        "acceptedDemandedChallengedAudited"
    );
    assert_eq!(
        DealState::Claimed(Standing {
            audited: true,
            ..Standing::default()
        })
        .name(),
        "audited"
    );
}

#[test]
fn terminal_states_have_no_way_out_and_all_others_have_one() {
    for state in DealState::ALL {
        let leaves = DealState::transitions().any(|(from, _, to)| from == state && to != state);
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
    let deals: Vec<_> = DealState::transitions()
        .map(|(from, _, to)| (from, to))
        .collect();
    assert_eq!(reached(DealState::Open, &deals).len(), DealState::ALL.len());
    for state in DealState::ALL {
        assert!(
            reached(state, &deals).iter().any(|s| s.is_terminal()),
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
    for (from, on, to) in DealState::transitions() {
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
fn nothing_finalises_while_a_demand_a_game_or_an_audit_is_open() {
    for state in DealState::ALL {
        let claim = state.standing().unwrap_or_default();
        let open = claim.demanded || claim.challenged || claim.audited;
        assert!(!open || state.next(DealEvent::Finalise).is_err(), "{state}");
    }
}

#[test]
fn a_verdict_goes_before_the_end_of_a_demand_and_of_an_audit() {
    for state in DealState::ALL {
        let claim = state.standing().unwrap_or_default();
        let ends = |event: DealEvent| state.next(event) == Ok(DealState::Failed);
        assert_eq!(
            ends(DealEvent::DemandTimeout),
            claim.demanded && !claim.challenged,
            "{state}"
        );
        assert_eq!(
            ends(DealEvent::AuditUnanswered),
            claim.audited && !claim.challenged,
            "{state}"
        );
        assert_eq!(ends(DealEvent::ClaimFalls), claim.challenged, "{state}");
    }
}

#[test]
fn an_answered_audit_leaves_the_claim_as_it_was() {
    for state in DealState::ALL {
        let audited = state.next(DealEvent::Audit);
        assert_eq!(
            audited.is_ok(),
            state.standing().is_some_and(|claim| !claim.audited),
            "{state}"
        );
        if let Ok(audited) = audited {
            assert_eq!(audited.next(DealEvent::AuditAnswered), Ok(state));
        }
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
