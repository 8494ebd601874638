//! Audits: who brings them on, what each party does by when, and what a reorganisation takes back.

use std::num::{NonZeroU32, NonZeroU64};

use outcry_sdk::api::AuditPhase;
use outcry_store::{Batch, keys};
use outcry_verifier::audit::{Clocks, Seed};

use super::*;
use crate::state::audit::{
    AuditEvent, AuditFinding, AuditRecord, Auditor, Outcome as Judgement, Rules, Seat, Step,
};

const OTHER: Address = Address::repeat_byte(0xe2);
const LEAF: B256 = B256::repeat_byte(0x1e);
const STATE: B256 = B256::repeat_byte(0x57);
const BEACON: B256 = B256::repeat_byte(0xbe);
const FULL_RATE: u16 = 10_000;
/// Cycles of the points of `VERIFIER` and `OTHER`.
const POINTS: [u64; 2] = [700, 800];
/// The claim is made in the second after `START`, which begins a period.
const PERIOD_S: u64 = 10;
const INCLUSION_S: u64 = 10;
const PERIOD: u64 = START / PERIOD_S + 1;
/// Opened at 12.
const COMMIT_UNTIL: u64 = 40;

fn rules() -> Rules {
    Rules {
        clocks: Clocks {
            beacon_period: NonZeroU32::new(PERIOD_S as u32).unwrap(),
            commit_time: 18,
            inclusion_delay: INCLUSION_S as u32,
            interpreter_speed: NonZeroU64::MIN,
        },
        cycle_limit_max: u64::MAX,
    }
}

/// A node of this account and a claim of `PROVIDER` about two tasks, in a deal of this audit rate.
fn claim_of_rate(account: Address, rate: u16) -> (Bench, B256) {
    let mut node = if account == PROVIDER {
        Bench::provider(1)
    } else {
        let mut setup = Bench::gateway().state.setup;
        (setup.account, setup.is_gateway) = (Some(account), false);
        setup.games_max = 2;
        Bench::new(setup)
    };
    node.state.audits.rules = rules();
    if account == VERIFIER {
        node.state.audits.capacity = Some(4);
    }
    if account == PROVIDER {
        node.block(0, vec![]);
        node.apply(Fact::Offered(SignedOffer {
            offer: node.own_offer(),
            signature: vec![1],
        }));
    }
    let seats = [VERIFIER, OTHER].map(|account| {
        let seat = Seat::taken(4, 0);
        Observed::Audit(AuditEvent::Joined { account, seat })
    });
    node.block(0, seats.into());
    let (deal, opened) = deal_of_rate(rate);
    node.block(1, vec![opened, claimed(deal)]);
    (node, deal)
}

fn audited_bid(rate: u16) -> SignedBid {
    let (mut signed, _) = signed_bid(2);
    (signed.bid.auditRateBps, signed.bid.auditFee) = (rate, 900);
    signed
}

fn deal_of_rate(rate: u16) -> (B256, Observed) {
    let SignedBid { bid, job, .. } = audited_bid(rate);
    let opened_at = START + 1;
    let terms =
        outcry_protocol::deal::terms(&domain(), &bid, &offer(1, 1), &job, 0, 0, 2, opened_at)
            .unwrap();
    let deal = domain().deal_id(&terms);
    let terms = Box::new(terms);
    (deal, Observed::Opened { deal, terms })
}

fn wanted(node: &Bench) -> Vec<Activity> {
    let mut wanted = node.state.wanted();
    wanted.retain(|activity| !matches!(activity, Activity::Offer));
    wanted
}

fn recorded() -> Vec<Observed> {
    let period = PERIOD;
    vec![
        Observed::Audit(AuditEvent::Announced { period, number: 1 }),
        Observed::Audit(AuditEvent::Recorded {
            period,
            hash: BEACON,
        }),
    ]
}

fn record(deal: B256) -> AuditRecord {
    let place = Place {
        block: 4,
        at: START + 12,
        log_index: 0,
        transaction: B256::repeat_byte(9),
    };
    AuditRecord {
        claim_hash: CLAIM,
        deal,
        provider: PROVIDER,
        task: 1,
        leaf: LEAF,
        fee: 900,
        commit_deadline: START + COMMIT_UNTIL,
        auditors: [VERIFIER, OTHER]
            .into_iter()
            .zip(POINTS)
            .map(|(account, point)| Auditor { account, point })
            .collect(),
        history: vec![(place, Step::Opened)],
    }
}

fn opened_audit(deal: B256) -> Vec<Observed> {
    vec![
        Observed::Changed {
            deal,
            change: Change::Audited,
        },
        Observed::Audit(AuditEvent::Opened(Box::new(record(deal)))),
    ]
}

fn step(step: Step) -> Observed {
    Observed::Audit(AuditEvent::WentOn {
        claim_hash: CLAIM,
        step,
    })
}

fn committed(account: Address) -> Observed {
    step(Step::Committed { account })
}

fn revealed(account: Address, state: B256, halted: B256) -> Observed {
    step(Step::Revealed {
        account,
        state,
        halted,
    })
}

fn answered(states: [B256; 2]) -> Observed {
    step(Step::Answered {
        answers: states.into(),
    })
}

fn closed(deal: B256) -> Vec<Observed> {
    let judged = Step::Judged {
        account: VERIFIER,
        outcome: Judgement::Right,
        token: TOKEN,
        paid: 300,
        slashed: 0,
    };
    let closed = Step::Closed {
        answered: true,
        to_provider: 300,
        to_buyer: 0,
    };
    let resolved = Change::AuditResolved { answered: true };
    vec![
        step(judged),
        step(closed),
        Observed::Changed {
            deal,
            change: resolved,
        },
    ]
}

fn finding(account: Address, halted: B256) -> AuditFinding {
    let is_provider = account == PROVIDER;
    AuditFinding {
        task: 1,
        points: if is_provider {
            POINTS.into()
        } else {
            vec![POINTS[0]]
        },
        states: if is_provider {
            vec![STATE, STATE]
        } else {
            vec![STATE]
        },
        halted: (!is_provider).then_some(halted),
    }
}

/// The same with the audit open, after this node has run the task.
fn examined(account: Address, halted: B256) -> (Bench, B256) {
    let (mut node, deal) = claim_of_rate(account, FULL_RATE);
    node.block(11, recorded());
    node.block(12, opened_audit(deal));
    let finding = finding(account, halted);
    let claim = CLAIM;
    node.apply(Fact::AuditExamined { claim, finding });
    (node, deal)
}

/// All three commit.
fn all_commit() -> Vec<Observed> {
    [VERIFIER, OTHER, PROVIDER].map(committed).into()
}

#[test]
fn a_claim_without_an_audit_rate_or_of_too_long_a_task_is_finalised_as_ever() {
    for (rate, cycles) in [(0, u64::MAX), (FULL_RATE, 1)] {
        let (mut node, deal) = claim_of_rate(PROVIDER, rate);
        node.state.audits.rules.cycle_limit_max = cycles;
        node.block(50, vec![]);
        assert!(wanted(&node).is_empty());
        node.block(62, vec![]);
        assert_eq!(wanted(&node), [Activity::Settle]);
        assert!(!node.state.is_held(&node.state.deals[&deal]));
    }
}

#[test]
fn a_provider_beats_opens_and_does_not_finalise_before_the_audit_is_over() {
    let (mut node, deal) = claim_of_rate(PROVIDER, FULL_RATE);
    node.block(9, vec![]);
    assert!(wanted(&node).is_empty(), "the period has not begun");
    node.block(10, vec![]);
    assert_eq!(wanted(&node), [Activity::Beat(PERIOD)]);
    let number = node.block + 2;
    let announced = AuditEvent::Announced {
        period: PERIOD,
        number,
    };
    node.block(11, vec![Observed::Audit(announced)]);
    assert!(wanted(&node).is_empty(), "the block is not there");
    node.block(11, vec![]);
    node.block(11, vec![]);
    node.restart();
    node.block(11, vec![]);
    assert_eq!(wanted(&node), [Activity::Beat(PERIOD)]);
    let recorded = AuditEvent::Recorded {
        period: PERIOD,
        hash: BEACON,
    };
    node.block(11, vec![Observed::Audit(recorded)]);
    assert_eq!(wanted(&node), [Activity::OpenAudit(deal)]);
    node.restart();
    node.block(100, vec![]);
    assert_eq!(
        wanted(&node),
        [Activity::OpenAudit(deal)],
        "and nothing is settled, although the window is over"
    );
    node.block(100, opened_audit(deal));
    assert!(!wanted(&node).contains(&Activity::Settle));
    node.block(101, closed(deal));
    assert_eq!(wanted(&node), [Activity::Settle]);
}

#[test]
fn a_claim_that_the_beacon_passes_over_is_finalised() {
    let is_passed = |hash: &B256| !Seed::of(*hash, CLAIM).is_drawn(5_000);
    let hash = (0..=255).map(B256::repeat_byte).find(is_passed).unwrap();
    let (mut node, _) = claim_of_rate(PROVIDER, 5_000);
    node.block(10, vec![]);
    let mut events = recorded();
    events[1] = Observed::Audit(AuditEvent::Recorded {
        period: PERIOD,
        hash,
    });
    node.block(62, events);
    assert_eq!(wanted(&node), [Activity::Settle]);
}

#[test]
fn a_beacon_whose_hash_is_lost_is_announced_again() {
    let (mut node, _) = claim_of_rate(PROVIDER, FULL_RATE);
    let number = node.block + 2;
    let announced = AuditEvent::Announced {
        period: PERIOD,
        number,
    };
    node.block(11, vec![Observed::Audit(announced.clone())]);
    node.block = number + 300;
    node.block(12, vec![]);
    assert_eq!(wanted(&node), [Activity::Beat(PERIOD)]);
    let number = node.block + 2;
    let announced = AuditEvent::Announced {
        period: PERIOD,
        number,
    };
    node.block(13, vec![Observed::Audit(announced)]);
    assert!(wanted(&node).is_empty(), "its block is not there");
}

#[test]
fn those_who_have_a_seat_take_turns_behind_the_provider_and_others_do_nothing() {
    let began = |account| {
        let (mut node, _) = claim_of_rate(account, FULL_RATE);
        if account == OTHER {
            node.state.audits.capacity = Some(4);
        }
        let at = (10..60).find(|at| {
            node.block(*at, vec![]);
            wanted(&node).contains(&Activity::Beat(PERIOD))
        });
        at.map(|at| at - 10)
    };
    assert_eq!(began(PROVIDER), Some(0));
    let mut turns = [began(VERIFIER).unwrap(), began(OTHER).unwrap()];
    turns.sort_unstable();
    assert_eq!(turns, [4, 8]);
    assert_eq!(began(Address::repeat_byte(0x99)), None);
}

#[test]
fn a_gateway_does_for_its_buyer_what_all_others_leave_undone() {
    let mut node = Bench::gateway();
    node.state.audits.rules = rules();
    node.block(0, vec![]);
    node.apply(Fact::Submitted(audited_bid(FULL_RATE)));
    let (deal, opened) = deal_of_rate(FULL_RATE);
    node.block(1, vec![opened, claimed(deal)]);
    let wants = |node: &mut Bench, at: u64, activity: Activity| {
        node.block(at, vec![]);
        node.state.wanted().contains(&activity)
    };
    assert!(!wants(&mut node, 69, Activity::Beat(PERIOD)));
    assert!(wants(&mut node, 70, Activity::Beat(PERIOD)));
    node.block(80, recorded());
    assert!(!wants(&mut node, 139, Activity::OpenAudit(deal)));
    assert!(wants(&mut node, 140, Activity::OpenAudit(deal)));
    node.block(141, opened_audit(deal));
    let over = COMMIT_UNTIL + 2 * INCLUSION_S + 60;
    node.restart();
    assert!(wants(&mut node, over.max(142), Activity::CloseAudit(CLAIM)));
    assert!(
        !wants(&mut node, 142, Activity::Examine(CLAIM)),
        "it is no party"
    );
}

#[test]
fn an_auditor_runs_commits_reveals_and_closes_also_when_it_is_killed_in_between() {
    let (mut node, deal) = claim_of_rate(VERIFIER, FULL_RATE);
    node.block(11, recorded());
    node.block(12, opened_audit(deal));
    assert_eq!(wanted(&node), [Activity::Examine(CLAIM)]);
    node.restart();
    node.block(13, vec![]);
    assert_eq!(wanted(&node), [Activity::Examine(CLAIM)]);
    let examined = Fact::AuditExamined {
        claim: CLAIM,
        finding: finding(VERIFIER, LEAF),
    };
    node.apply(examined);
    node.restart();
    node.block(14, vec![]);
    assert_eq!(wanted(&node), [Activity::Commit(CLAIM)]);
    node.block(15, vec![committed(VERIFIER)]);
    node.restart();
    node.block(16, vec![]);
    assert!(wanted(&node).is_empty(), "nobody commits twice");
    node.block(17, vec![committed(OTHER), committed(PROVIDER)]);
    assert_eq!(
        wanted(&node),
        [Activity::Reveal(CLAIM)],
        "all have committed"
    );
    node.block(18, vec![revealed(VERIFIER, STATE, LEAF)]);
    node.restart();
    node.block(19, vec![revealed(OTHER, STATE, LEAF)]);
    assert!(wanted(&node).is_empty(), "the provider has not answered");
    node.block(20, vec![answered([STATE, STATE])]);
    assert_eq!(wanted(&node), [Activity::CloseAudit(CLAIM)]);
    node.block(21, closed(deal));
    assert!(wanted(&node).is_empty());
    node.restart();
    assert_eq!(node.state.audits.tally.count(Judgement::Right), 1);
    assert_eq!(node.state.audits.tally.paid[&TOKEN], U256::from(300));
    assert_eq!(node.state.audits.open_of(VERIFIER), 0);
}

#[test]
fn the_provider_answers_for_all_points_and_closes_last() {
    let (mut node, _) = examined(PROVIDER, LEAF);
    assert_eq!(wanted(&node), [Activity::Commit(CLAIM)]);
    node.block(20, all_commit());
    assert_eq!(wanted(&node), [Activity::Reveal(CLAIM)]);
    let reveals = [VERIFIER, OTHER].map(|account| revealed(account, STATE, LEAF));
    node.block(21, [&reveals[..], &[answered([STATE, STATE])]].concat());
    assert!(wanted(&node).is_empty(), "the auditors go first");
    node.block(29, vec![]);
    assert_eq!(wanted(&node), [Activity::CloseAudit(CLAIM)]);
}

#[test]
fn what_comes_late_is_not_sent() {
    let (mut node, _) = examined(VERIFIER, LEAF);
    node.block(COMMIT_UNTIL, vec![]);
    assert!(wanted(&node).is_empty(), "too late to commit");
    let (mut node, _) = examined(VERIFIER, LEAF);
    node.block(20, vec![committed(VERIFIER)]);
    node.block(COMMIT_UNTIL, vec![]);
    assert!(wanted(&node).is_empty(), "others may still commit");
    node.block(COMMIT_UNTIL + 1, vec![]);
    assert_eq!(wanted(&node), [Activity::Reveal(CLAIM)]);
    node.block(COMMIT_UNTIL + INCLUSION_S, vec![]);
    assert!(wanted(&node).is_empty(), "too late to reveal");
    node.block(COMMIT_UNTIL + 2 * INCLUSION_S, vec![]);
    assert!(wanted(&node).is_empty(), "not over yet");
    node.block(COMMIT_UNTIL + 2 * INCLUSION_S + 1, vec![]);
    assert_eq!(wanted(&node), [Activity::CloseAudit(CLAIM)]);
}

#[test]
fn an_auditor_that_could_fetch_nothing_says_so_and_brings_no_game() {
    let (mut node, _) = examined(VERIFIER, B256::ZERO);
    node.block(20, all_commit());
    node.block(21, vec![revealed(VERIFIER, B256::ZERO, B256::ZERO)]);
    node.block(
        22,
        vec![revealed(OTHER, STATE, LEAF), answered([STATE, STATE])],
    );
    assert!(wanted(&node).is_empty(), "they do not agree: time decides");
    node.block(COMMIT_UNTIL + 2 * INCLUSION_S + 1, vec![]);
    assert_eq!(wanted(&node), [Activity::CloseAudit(CLAIM)]);
}

/// A game of this verifier about the audited task.
fn brought(deal: B256, until: u64) -> Box<DisputeRecord> {
    let mut game = game(deal, 1, VERIFIER);
    game.key.until = until;
    game.id = game.key.id();
    game
}

#[test]
fn an_auditor_that_found_another_end_challenges_the_claim_and_waits_for_its_game() {
    let other_end = B256::repeat_byte(0xee);
    let (mut node, deal) = examined(VERIFIER, other_end);
    node.block(20, all_commit());
    assert_eq!(wanted(&node), [Activity::Reveal(CLAIM)]);
    node.block(21, vec![revealed(VERIFIER, STATE, other_end)]);
    assert_eq!(wanted(&node), [Activity::Object(CLAIM)]);
    node.state.setup.games_max = 0;
    assert_eq!(
        wanted(&node),
        [Activity::Object(CLAIM)],
        "what a seat owes does not depend on the policy for others' claims"
    );
    node.restart();
    let own = brought(deal, 0);
    let id = own.id;
    node.block(22, vec![Observed::GameBegan(own)]);
    assert_eq!(wanted(&node), [Activity::Play(id, 0)]);
    node.block(COMMIT_UNTIL + 2 * INCLUSION_S + 1, vec![section(id, 1)]);
    assert!(wanted(&node).is_empty(), "the game decides");
    let turn = Turn::Ended {
        challenger_won: true,
        by_timeout: true,
    };
    let settled = Turn::Settled {
        stands: false,
        winner: VERIFIER,
        reward: 7,
    };
    let collected = Turn::Collected {
        to_challenger: 10,
        to_provider: 0,
        burned: 0,
    };
    let failed = Change::Failed {
        failure: Failure::ClaimRefuted,
        refunded: 1,
        to_buyer: 0,
        burned: 1,
    };
    node.block(
        70,
        vec![
            Observed::GameWentOn { game: id, turn },
            Observed::ClaimDecided {
                claim_hash: CLAIM,
                turn: settled,
            },
            Observed::Changed {
                deal,
                change: failed,
            },
            Observed::GameWentOn {
                game: id,
                turn: collected,
            },
        ],
    );
    assert_eq!(wanted(&node), [Activity::CloseAudit(CLAIM)]);
}

#[test]
fn an_auditor_that_the_provider_contradicts_plays_about_the_state_at_its_point() {
    let (mut node, deal) = examined(VERIFIER, LEAF);
    node.block(20, all_commit());
    let reveals = [VERIFIER, OTHER].map(|account| revealed(account, STATE, LEAF));
    let wrong = B256::repeat_byte(0xab);
    node.block(21, reveals.into());
    assert!(wanted(&node).is_empty(), "there is no answer yet");
    node.block(22, vec![answered([wrong, STATE])]);
    assert_eq!(wanted(&node), [Activity::Object(CLAIM)]);
    let audit = &node.state.audits.records[&CLAIM];
    let key = node.state.objectionable(audit, VERIFIER).unwrap();
    assert_eq!((key.task, key.until), (1, POINTS[0]));
    assert_eq!(audit.objection(OTHER), None);
    let clocks = &node.state.audits.rules.clocks;
    assert_eq!(
        audit.phase(node.state.head.at, clocks),
        (
            AuditPhase::Objecting,
            START + COMMIT_UNTIL + 2 * INCLUSION_S
        )
    );
    let own = brought(deal, POINTS[0]);
    let id = own.id;
    node.block(23, vec![Observed::GameBegan(own)]);
    assert_eq!(wanted(&node), [Activity::Play(id, 0)]);
    let tasks = node.state.tasks_in_dispute();
    assert!(
        tasks
            .iter()
            .any(|(_, task, until)| (*task, *until) == (1, POINTS[0]))
    );
}

#[test]
fn nobody_objects_to_a_claim_that_fell() {
    let other_end = B256::repeat_byte(0xee);
    let (mut node, deal) = examined(VERIFIER, other_end);
    node.block(20, all_commit());
    let mut others = game(deal, 1, OTHER);
    others.history.push((
        others.history[0].0,
        Turn::Ended {
            challenger_won: true,
            by_timeout: false,
        },
    ));
    let events = vec![
        revealed(VERIFIER, STATE, other_end),
        Observed::GameBegan(others),
    ];
    node.block(21, events);
    assert!(wanted(&node).is_empty());
}

#[test]
fn a_provider_that_did_not_answer_is_failed_after_the_games_verdict_only() {
    let (mut node, deal) = examined(VERIFIER, LEAF);
    node.block(20, vec![committed(VERIFIER)]);
    node.block(COMMIT_UNTIL + 1, vec![revealed(VERIFIER, STATE, LEAF)]);
    let challenged = Observed::Changed {
        deal,
        change: Change::Challenged,
    };
    let over = COMMIT_UNTIL + 2 * INCLUSION_S + 1;
    node.block(over, vec![challenged]);
    assert!(wanted(&node).is_empty());
    let stands = Observed::Changed {
        deal,
        change: Change::Resolved { stands: true },
    };
    node.block(over + 1, vec![stands]);
    assert_eq!(wanted(&node), [Activity::CloseAudit(CLAIM)]);
    let failed = Change::Failed {
        failure: Failure::AuditUnanswered,
        refunded: 1,
        to_buyer: 0,
        burned: 1,
    };
    let resolved = Change::AuditResolved { answered: false };
    let changes = [resolved, failed].map(|change| Observed::Changed { deal, change });
    node.block(over + 2, changes.into());
    assert_eq!(node.state.deals[&deal].state(), DealState::Slashed);
}

#[test]
fn a_reorganisation_takes_an_audit_back_and_what_was_found_for_other_points_is_not_used() {
    let (mut node, deal) = claim_of_rate(PROVIDER, FULL_RATE);
    node.block(11, recorded());
    let deal_before = node.store.get(&keys::deal(&deal.0)).unwrap().unwrap();
    let began = node.block(12, opened_audit(deal));
    assert!(began.local.is_empty(), "nothing that a fork would not undo");
    node.apply(Fact::AuditExamined {
        claim: CLAIM,
        finding: finding(PROVIDER, LEAF),
    });
    assert_eq!(wanted(&node), [Activity::Commit(CLAIM)]);
    // The follower puts back what it overwrote; then the state is read again.
    let mut batch = Batch::new();
    batch
        .delete(keys::audit(&CLAIM.0))
        .put(keys::deal(&deal.0), deal_before);
    node.store.apply(&batch).unwrap();
    node.state.load(&node.store).unwrap();
    node.state.rewind(3);
    assert!(node.state.wanted().is_empty(), "the chain is read first");
    node.block(13, vec![]);
    assert_eq!(wanted(&node), [Activity::OpenAudit(deal)]);
    let mut other = record(deal);
    other.auditors[1].point = 750;
    let mut events = opened_audit(deal);
    events[1] = Observed::Audit(AuditEvent::Opened(Box::new(other)));
    node.block(14, events);
    assert_eq!(wanted(&node), [Activity::Examine(CLAIM)]);
}

#[test]
fn a_verifier_has_a_seat_of_the_configured_capacity_and_gives_it_up_when_told() {
    let (mut node, _) = claim_of_rate(VERIFIER, 0);
    assert!(wanted(&node).is_empty());
    node.state.audits.capacity = Some(5);
    assert_eq!(wanted(&node), [Activity::Retire]);
    node.state.audits.capacity = Some(0);
    assert_eq!(wanted(&node), [Activity::Retire]);
    let until = PERIOD as u32;
    let account = VERIFIER;
    let retired = AuditEvent::Retired { account, until };
    node.block(5, vec![Observed::Audit(retired)]);
    assert!(wanted(&node).is_empty());
    node.state.audits.capacity = Some(5);
    node.restart();
    node.block(10 * 17, vec![]);
    assert!(wanted(&node).is_empty(), "its last draws may be open");
    node.block(10 * 18, vec![]);
    assert_eq!(wanted(&node), [Activity::Join]);
    let vacated = AuditEvent::Vacated { account };
    node.block(10 * 18 + 1, vec![Observed::Audit(vacated)]);
    node.restart();
    node.block(10 * 18 + 2, vec![]);
    assert_eq!(wanted(&node), [Activity::Join]);
    node.state.audits.capacity = None;
    assert!(wanted(&node).is_empty(), "seats are none of its business");
}

#[test]
fn an_audit_is_forgotten_with_its_deal_and_not_before_it_is_closed() {
    let (mut node, deal) = examined(PROVIDER, LEAF);
    let refuted = Change::Failed {
        failure: Failure::ClaimRefuted,
        refunded: 1,
        to_buyer: 0,
        burned: 1,
    };
    let challenged = Change::Challenged;
    let changes = [challenged, refuted].map(|change| Observed::Changed { deal, change });
    node.block(20, changes.into());
    let late = 700_000;
    node.block(late, vec![]);
    assert!(node.state.prunable(10, 10).is_empty());
    node.block(late, vec![closed(deal).swap_remove(1)]);
    let due = node.state.prunable(10, 10);
    assert_eq!(due.deals, [deal]);
    node.apply(Fact::Pruned(due));
    assert!(node.state.audits.records.is_empty() && node.state.audits.findings.is_empty());
    for key in [keys::audit(&CLAIM.0), keys::audit_finding(&CLAIM.0)] {
        assert_eq!(node.store.get(&key).unwrap(), None);
    }
}
