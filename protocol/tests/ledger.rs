//! The ledger: whatever happens, no money appears or disappears, and everybody gets what the rules
//! promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod market;

use alloy_primitives::{Address, B256};
use market::{NOW, TOKEN, account, bid, domain, job, offer};
use outcry_protocol::deal;
use outcry_protocol::ledger::{Ledger, LedgerError, NATIVE, Parameters};
use outcry_protocol::lifecycle::{DealEvent, DealState};
use outcry_protocol::money::BURN;
use outcry_protocol::types::{Bid, Claim, Deal, Offer};
use proptest::prelude::*;

const PARAMETERS: Parameters = Parameters {
    collateral_floor: 51,
    admission_fee_bps: 100,
    fee_bps: 250,
    demand_bond: 30,
    fee_collector: Address::repeat_byte(0xfe),
    audits: Address::repeat_byte(0xad),
};
const BUYER: Address = Address::repeat_byte(1);
const PROVIDER: Address = Address::repeat_byte(2);
const STRANGER: Address = Address::repeat_byte(9);
const AUDIT_FEE: u128 = 700;

fn terms(native: bool, first: u32, count: u32) -> Deal {
    terms_of(native, first, count, &bid(20))
}

/// The same, one in ten deals audited for 700.
fn audited_terms(native: bool, first: u32, count: u32) -> Deal {
    let bid = Bid {
        auditRateBps: 1_000,
        auditFee: AUDIT_FEE,
        ..bid(20)
    };
    terms_of(native, first, count, &bid)
}

fn terms_of(native: bool, first: u32, count: u32, bid: &Bid) -> Deal {
    let token = if native { NATIVE } else { TOKEN };
    let bid = Bid {
        token,
        ..bid.clone()
    };
    let offer = Offer { token, ..offer() };
    deal::terms(&domain(), &bid, &offer, &job(20), 1, first, count, NOW).unwrap()
}

fn funded() -> Ledger {
    let mut ledger = Ledger::new(PARAMETERS);
    for n in [1, 2, 9] {
        for token in [TOKEN, NATIVE] {
            ledger.credit(account(n), token, 100_000);
        }
    }
    ledger
}

fn claim_of(deal: &Deal, per_mille: u128) -> Claim {
    Claim {
        resultRoot: B256::ZERO,
        cycles: 1,
        price: deal.escrow * per_mille / 1000,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_sequence_of_steps_makes_or_loses_money(
        steps in proptest::collection::vec((0usize..6, 0usize..17, 0u128..=1000, 0usize..3), 0..90),
    ) {
        let deals = [
            terms(false, 0, 3), terms(false, 3, 1), terms(true, 4, 5), terms(true, 9, 2),
            audited_terms(false, 11, 2), audited_terms(true, 13, 1),
        ];
        let ids: Vec<B256> = deals.iter().map(|deal| domain().deal_id(deal)).collect();
        let mut ledger = funded();
        let totals = [TOKEN, NATIVE].map(|token| ledger.total(token));
        for (which, event, per_mille, sender) in steps {
            let (deal, id) = (&deals[which], ids[which]);
            let sender = [BUYER, PROVIDER, STRANGER][sender];
            let before = ledger.clone();
            let done = match DealEvent::ALL.get(event) {
                Some(DealEvent::Replace) => {
                    let other = (which + 1) % deals.len();
                    ledger.replace(id, per_mille, ids[other], deals[other].clone(), sender)
                }
                None => ledger.open(id, deal.clone(), sender),
                Some(DealEvent::Claim) => ledger.claim(id, &claim_of(deal, per_mille), sender).map(drop),
                Some(other) => ledger.apply(id, *other, sender).map(drop),
            };
            prop_assert_eq!([TOKEN, NATIVE].map(|token| ledger.total(token)), totals);
            if done.is_err() {
                prop_assert_eq!(&ledger, &before, "a refused step changed something");
            }
            // A fee is the deal's, the audits' or the buyer's.
            let drawn: u128 = [TOKEN, NATIVE].map(|token| ledger.free(PARAMETERS.audits, token)).iter().sum();
            prop_assert!(drawn <= 2 * AUDIT_FEE && drawn.is_multiple_of(AUDIT_FEE));
            if ledger.state(&id).is_some_and(DealState::is_terminal) {
                prop_assert_eq!(ledger.held(&id, TOKEN) + ledger.held(&id, NATIVE), 0);
            }
        }
    }
}

#[test]
fn a_replacement_frees_the_deal_pays_its_provider_and_costs_the_buyer_one_opening() {
    let mut ledger = funded();
    let displaced = audited_terms(false, 0, 3);
    let deal = Deal {
        provider: account(3),
        escrow: 3_000,
        collateral: 6_000,
        ..audited_terms(false, 0, 3)
    };
    ledger.credit(account(3), TOKEN, 100_000);
    ledger.credit(account(3), NATIVE, 100_000);
    let (id, other) = (domain().deal_id(&displaced), domain().deal_id(&deal));
    ledger.open(id, displaced, PROVIDER).unwrap();
    ledger
        .replace(id, 30, other, deal.clone(), account(3))
        .unwrap();
    assert_eq!(ledger.state(&id), Some(DealState::Replaced));
    assert_eq!(ledger.held(&id, TOKEN) + ledger.held(&id, NATIVE), 0);
    // One tip for the displaced opener, one that the deal holds.
    assert_eq!(
        ledger.free(BUYER, TOKEN),
        100_000 - 3_000 - AUDIT_FEE - 2 * 10
    );
    assert_eq!(ledger.free(PROVIDER, TOKEN), 100_000 + 10 + 30);
    assert_eq!(ledger.free(PROVIDER, NATIVE), 100_000);
    assert_eq!(ledger.free(account(3), TOKEN), 100_000 - 6_000 - 30);
    // It is replaced once, and only while it is open.
    let before = ledger.clone();
    assert!(
        ledger
            .replace(
                id,
                0,
                domain().deal_id(&terms(false, 9, 1)),
                terms(false, 9, 1),
                STRANGER
            )
            .is_err()
    );
    assert_eq!(ledger, before);
}

#[test]
fn an_accepted_claim_pays_the_price_less_the_fee_and_returns_the_rest() {
    let (mut ledger, deal) = (funded(), terms(false, 0, 3));
    let id = domain().deal_id(&deal);
    ledger.open(id, deal.clone(), PROVIDER).unwrap();
    let made = claim_of(&deal, 500);
    ledger.claim(id, &made, PROVIDER).unwrap();
    ledger.apply(id, DealEvent::Accept, PROVIDER).unwrap();
    // 1,800 of 3,600: the fee of 2.5% is 45. The opener's tip of 10 went to the provider.
    assert_eq!(ledger.free(BUYER, TOKEN), 100_000 - 1_800 - 10);
    assert_eq!(
        ledger.free(PROVIDER, TOKEN),
        100_000 - deal.collateral + 10 + 1_800 - 45
    );
    assert_eq!(ledger.free(PARAMETERS.fee_collector, TOKEN), 45);
    // Acceptance releases the price only.
    assert_eq!(ledger.held(&id, TOKEN), deal.collateral);
    ledger.apply(id, DealEvent::Finalise, STRANGER).unwrap();
    assert_eq!(ledger.free(PROVIDER, TOKEN), 100_000 + 10 + 1_800 - 45 - 5);
    assert_eq!(ledger.free(STRANGER, TOKEN), 100_000 + 5);
    assert_eq!(ledger.free(PROVIDER, NATIVE), 100_000);
    assert_eq!(ledger.free(BURN, TOKEN), 0);
}

#[test]
fn a_missed_deadline_refunds_in_full_and_burns_at_least_half_of_the_collateral() {
    let (mut ledger, deal) = (funded(), terms(false, 0, 3));
    let id = domain().deal_id(&deal);
    ledger.open(id, deal.clone(), STRANGER).unwrap();
    ledger.apply(id, DealEvent::Timeout, STRANGER).unwrap();
    assert_eq!(deal.collateral, 7_200);
    assert_eq!(ledger.free(BUYER, TOKEN), 100_000 - 20 + 3_600);
    assert_eq!(ledger.free(PROVIDER, TOKEN), 100_000 - 7_200);
    assert_eq!(ledger.free(STRANGER, TOKEN), 100_000 + 20);
    assert_eq!(ledger.free(BURN, TOKEN), 3_600);
    // The floor of 51 wei: the odd one burns.
    assert_eq!(
        (ledger.free(BUYER, NATIVE), ledger.free(BURN, NATIVE)),
        (100_025, 26)
    );
}

#[test]
fn cancelling_in_admission_burns_alike_and_a_bid_burns_once() {
    let (mut ledger, one, two) = (funded(), terms(false, 0, 3), terms(false, 3, 3));
    for deal in [&one, &two] {
        let id = domain().deal_id(deal);
        ledger.open(id, deal.clone(), BUYER).unwrap();
        ledger.apply(id, DealEvent::Cancel, PROVIDER).unwrap();
    }
    // 1% of 3,600 is 36: once from the bid, twice from the provider.
    assert_eq!(ledger.free(BUYER, TOKEN), 100_000 - 36);
    assert_eq!(ledger.free(PROVIDER, TOKEN), 100_000 - 72);
    assert_eq!(ledger.free(BURN, TOKEN), 108);
}

#[test]
fn a_refuted_claim_refunds_the_buyer_unless_it_had_accepted() {
    for accepted in [false, true] {
        let (mut ledger, deal) = (funded(), terms(false, 0, 3));
        let id = domain().deal_id(&deal);
        ledger.open(id, deal.clone(), BUYER).unwrap();
        ledger.claim(id, &claim_of(&deal, 1000), PROVIDER).unwrap();
        if accepted {
            ledger.apply(id, DealEvent::Accept, PROVIDER).unwrap();
        }
        ledger.apply(id, DealEvent::Challenge, STRANGER).unwrap();
        assert!(matches!(
            ledger.apply(id, DealEvent::Finalise, PROVIDER),
            Err(LedgerError::Refused(_))
        ));
        ledger.apply(id, DealEvent::ClaimFalls, STRANGER).unwrap();
        let paid = if accepted { deal.escrow } else { 0 };
        assert_eq!(ledger.free(BUYER, TOKEN), 100_000 - paid);
        assert_eq!(ledger.free(BURN, TOKEN), deal.collateral);
    }
}

#[test]
fn withheld_output_costs_the_provider_its_collateral() {
    let (mut ledger, deal) = (funded(), terms(false, 0, 3));
    let id = domain().deal_id(&deal);
    ledger.open(id, deal.clone(), BUYER).unwrap();
    ledger.claim(id, &claim_of(&deal, 1000), PROVIDER).unwrap();
    ledger.apply(id, DealEvent::Demand, BUYER).unwrap();
    assert_eq!(ledger.free(BUYER, NATIVE), 100_000 - 30);
    ledger.apply(id, DealEvent::DemandTimeout, BUYER).unwrap();
    assert_eq!(ledger.free(BUYER, NATIVE), 100_000 + 25);
    assert_eq!(ledger.free(BUYER, TOKEN), 100_000 + deal.collateral / 2);
}

#[test]
fn a_deal_opens_only_if_both_sides_can_lock_what_it_needs() {
    let deal = audited_terms(false, 0, 3);
    let id = domain().deal_id(&deal);
    for (account, token, needs) in [
        (BUYER, TOKEN, deal.escrow + 2 * deal.buyerTip + AUDIT_FEE),
        (PROVIDER, TOKEN, deal.collateral),
        (PROVIDER, NATIVE, PARAMETERS.collateral_floor),
    ] {
        let mut ledger = funded();
        ledger.debit(account, token, 100_000 - needs + 1).unwrap();
        let before = ledger.clone();
        let refused = ledger.open(id, deal.clone(), STRANGER);
        assert_eq!(
            refused,
            Err(LedgerError::Balance {
                account,
                token,
                missing: 1
            })
        );
        assert_eq!(ledger, before);
        ledger.credit(account, token, 1);
        ledger.open(id, deal.clone(), STRANGER).unwrap();
    }
}

/// A claimed deal whose bid asks for audits, opened by its buyer.
fn claimed_with_audits() -> (Ledger, Deal, B256) {
    let (mut ledger, deal) = (funded(), audited_terms(false, 0, 3));
    let id = domain().deal_id(&deal);
    ledger.open(id, deal.clone(), BUYER).unwrap();
    assert_eq!(
        ledger.held(&id, TOKEN),
        deal.escrow + deal.buyerTip + deal.collateral + AUDIT_FEE
    );
    ledger.claim(id, &claim_of(&deal, 1000), PROVIDER).unwrap();
    (ledger, deal, id)
}

#[test]
fn an_audit_fee_comes_back_however_a_deal_ends_that_was_not_drawn() {
    use DealEvent as E;
    let ends: [(&[E], bool); 6] = [
        (&[E::Cancel], false),
        (&[E::Timeout], false),
        (&[E::Finalise], true),
        (&[E::Accept, E::Finalise], true),
        (&[E::Challenge, E::ClaimFalls], true),
        (&[E::Demand, E::DemandTimeout], true),
    ];
    for (events, claimed) in ends {
        let free = |deal: Deal| {
            let (mut ledger, id) = (funded(), domain().deal_id(&deal));
            ledger.open(id, deal.clone(), BUYER).unwrap();
            if claimed {
                ledger.claim(id, &claim_of(&deal, 1000), PROVIDER).unwrap();
            }
            for event in events {
                ledger.apply(id, *event, PROVIDER).unwrap();
            }
            [BUYER, PROVIDER, PARAMETERS.audits].map(|account| ledger.free(account, TOKEN))
        };
        assert_eq!(
            free(audited_terms(false, 0, 3)),
            free(terms(false, 0, 3)),
            "{events:?}"
        );
    }
}

#[test]
fn a_drawn_deal_goes_on_after_its_audit_and_its_fee_is_gone() {
    let (mut ledger, deal, id) = claimed_with_audits();
    ledger.apply(id, DealEvent::Audit, STRANGER).unwrap();
    assert_eq!(ledger.free(PARAMETERS.audits, TOKEN), AUDIT_FEE);
    assert!(matches!(
        ledger.apply(id, DealEvent::Finalise, PROVIDER),
        Err(LedgerError::Refused(_))
    ));
    ledger
        .apply(id, DealEvent::AuditAnswered, STRANGER)
        .unwrap();
    // It is drawn once.
    assert!(matches!(
        ledger.apply(id, DealEvent::Audit, STRANGER),
        Err(LedgerError::Refused(_))
    ));
    ledger.apply(id, DealEvent::Finalise, PROVIDER).unwrap();
    assert_eq!(ledger.free(BUYER, TOKEN), 100_000 - deal.escrow - AUDIT_FEE);
    assert_eq!(ledger.free(PARAMETERS.audits, TOKEN), AUDIT_FEE);
}

#[test]
fn a_provider_that_does_not_answer_an_audit_loses_its_collateral_half_of_it_to_the_buyer() {
    for accepted in [false, true] {
        let (mut ledger, deal, id) = claimed_with_audits();
        if accepted {
            ledger.apply(id, DealEvent::Accept, PROVIDER).unwrap();
        }
        ledger.apply(id, DealEvent::Audit, STRANGER).unwrap();
        ledger
            .apply(id, DealEvent::AuditUnanswered, STRANGER)
            .unwrap();
        let paid = if accepted { deal.escrow } else { 0 };
        assert_eq!(
            ledger.free(BUYER, TOKEN),
            100_000 - paid - AUDIT_FEE + deal.collateral / 2
        );
        assert_eq!(ledger.free(BUYER, NATIVE), 100_000 + 25);
        assert_eq!(ledger.free(BURN, TOKEN), deal.collateral / 2);
        assert_eq!(ledger.free(STRANGER, TOKEN), 100_000);
    }
}

#[test]
fn a_deal_without_audits_is_never_drawn() {
    let (mut ledger, deal) = (funded(), terms(false, 0, 3));
    let id = domain().deal_id(&deal);
    ledger.open(id, deal.clone(), BUYER).unwrap();
    ledger.claim(id, &claim_of(&deal, 1000), PROVIDER).unwrap();
    let before = ledger.clone();
    assert!(matches!(
        ledger.apply(id, DealEvent::Audit, STRANGER),
        Err(LedgerError::Refused(_))
    ));
    assert_eq!(ledger, before);
}
