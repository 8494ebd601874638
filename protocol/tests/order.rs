//! Orders: each wrong field is refused with a code of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod market;

use alloy_primitives::{Address, B256, U256};
use market::*;
use outcry_protocol::codes::{self, Coded};
use outcry_protocol::hash::job_hash;
use outcry_protocol::limits::{AUDIT_FEE_MAX, PRICE_MAX};
use outcry_protocol::order::{check, validate_bid, validate_offer};
use outcry_protocol::signature::Verdict;
use outcry_protocol::types::{Bid, JobSpec, Offer, Resources};
use outcry_protocol::wire::{Message, SignedOffer};

fn bid_code(change: impl FnOnce(&mut Bid, &mut JobSpec)) -> Option<&'static str> {
    let (mut bid, mut job) = (bid(3), job(3));
    change(&mut bid, &mut job);
    if bid.jobHash == job_hash(&market::job(3)) {
        bid.jobHash = job_hash(&job);
    }
    validate_bid(&bid, &job, NOW)
        .err()
        .map(|error| error.code().id)
}

fn offer_code(change: impl FnOnce(&mut Offer)) -> Option<&'static str> {
    let mut offer = offer();
    change(&mut offer);
    validate_offer(&offer, NOW)
        .err()
        .map(|error| error.code().id)
}

#[test]
fn the_usual_orders_are_valid() {
    assert_eq!(bid_code(|_, _| {}), None);
    assert_eq!(offer_code(|_| {}), None);
}

#[test]
fn every_wrong_field_of_a_bid_has_its_code() {
    assert_eq!(bid_code(|b, _| b.jobHash = B256::ZERO), Some("O-002"));
    assert_eq!(bid_code(|_, j| j.cycleLimit = 0), Some("O-003"));
    assert_eq!(bid_code(|_, j| j.cycleLimit = (1 << 44) + 1), Some("O-003"));
    assert_eq!(bid_code(|_, j| j.pageLimit = 65_537), Some("O-003"));
    assert_eq!(bid_code(|_, j| j.slotLimit = (1 << 20) + 1), Some("O-003"));
    assert_eq!(
        bid_code(|_, j| j.outputLimit = (1 << 36) + 1),
        Some("O-003")
    );
    assert_eq!(bid_code(|_, j| j.outputLimit = 2_047), Some("O-003"));
    assert_eq!(bid_code(|_, j| j.outputLimit = 2_048), None);
    assert_eq!(bid_code(|b, _| b.tasks = 4), Some("O-004"));
    assert_eq!(
        bid_code(|b, j| {
            b.tasks = 0;
            j.taskCount = 0;
        }),
        Some("O-004")
    );
    assert_eq!(bid_code(|b, _| b.expiry = NOW - 1), Some("O-005"));
    assert_eq!(bid_code(|b, _| b.expiry = NOW), None);
    assert_eq!(
        bid_code(|b, _| b.expiry = NOW + 7 * 86_400 + 1),
        Some("O-006")
    );
    assert_eq!(bid_code(|b, _| b.priceCap = PRICE_MAX), None);
    assert_eq!(bid_code(|b, _| b.priceCap = PRICE_MAX + 1), Some("O-007"));
    assert_eq!(bid_code(|b, _| b.tip = PRICE_MAX + 1), Some("O-007"));
    assert_eq!(
        bid_code(|b, _| b.valueOfTime = PRICE_MAX + 1),
        Some("O-007")
    );
    assert_eq!(bid_code(|b, _| b.regions = U256::ZERO), Some("O-008"));
    assert_eq!(bid_code(|b, _| b.queueTimeout = 0), Some("O-009"));
    assert_eq!(
        bid_code(|b, _| b.executionTimeout = 30 * 86_400 + 1),
        Some("O-009")
    );
    assert_eq!(bid_code(|b, _| b.cyclesExpected = 0), Some("O-013"));
    assert_eq!(
        bid_code(|b, j| b.cyclesExpected = j.cycleLimit + 1),
        Some("O-013")
    );
    assert_eq!(bid_code(|b, _| b.resources.memoryMib = 15), Some("O-014"));
    assert_eq!(bid_code(|b, _| b.resources.memoryMib = 16), None);
    assert_eq!(bid_code(|b, _| b.collateralBps = 1_000_001), Some("O-015"));
    assert_eq!(bid_code(|b, _| b.buyer = Address::ZERO), Some("O-019"));
    assert_eq!(bid_code(|b, _| b.replicas = 0), Some("O-020"));
    assert_eq!(bid_code(|b, _| b.resources.gpuCount = 1), Some("O-021"));
    assert_eq!(bid_code(|b, _| b.resources.gpuClass = 1), Some("O-021"));
    assert_eq!(bid_code(|b, _| b.roundTripMsMax = 1), Some("O-022"));
    assert_eq!(
        bid_code(|b, _| b.roundTripPlace = B256::repeat_byte(1)),
        Some("O-022")
    );
    for (rate, fee, code) in [
        (1, 0, Some("O-023")),
        (0, 1, Some("O-023")),
        (1, 1, None),
        (10_000, AUDIT_FEE_MAX, None),
        (10_001, 1, Some("O-023")),
        (1, AUDIT_FEE_MAX + 1, Some("O-023")),
    ] {
        let found = bid_code(|b, _| (b.auditRateBps, b.auditFee) = (rate, fee));
        assert_eq!(found, code, "{rate} and {fee}");
    }
    assert_eq!(bid_code(|b, _| b.rankWindow = 32), None);
    assert_eq!(bid_code(|b, _| b.rankWindow = 33), Some("O-024"));
    assert_eq!(bid_code(|_, j| j.machineVersion = 2), Some("O-025"));
}

#[test]
fn every_wrong_field_of_an_offer_has_its_code() {
    assert_eq!(offer_code(|o| o.expiry = NOW - 1), Some("O-005"));
    assert_eq!(offer_code(|o| o.expiry = NOW + 3_601), Some("O-006"));
    let fields: [fn(&mut Offer) -> &mut u128; 7] = [
        |o| &mut o.startFee,
        |o| &mut o.cyclePrice,
        |o| &mut o.memoryPrice,
        |o| &mut o.diskPrice,
        |o| &mut o.gpuPrice,
        |o| &mut o.egressPrice,
        |o| &mut o.tip,
    ];
    for field in fields {
        assert_eq!(offer_code(|o| *field(o) = PRICE_MAX + 1), Some("O-007"));
        assert_eq!(offer_code(|o| *field(o) = PRICE_MAX), None);
    }
    assert_eq!(offer_code(|o| o.slots = 0), Some("O-016"));
    assert_eq!(offer_code(|o| o.slots = 4_097), Some("O-016"));
    assert_eq!(offer_code(|o| o.speed = 0), Some("O-017"));
    assert_eq!(offer_code(|o| o.speed = 10_000_000_000_001), Some("O-017"));
    assert_eq!(offer_code(|o| o.peerKey = B256::ZERO), Some("O-018"));
    assert_eq!(offer_code(|o| o.provider = Address::ZERO), Some("O-019"));
    assert_eq!(
        offer_code(|o| o.resources = Resources {
            gpuCount: 1,
            ..o.resources
        }),
        Some("O-021")
    );
    assert_eq!(offer_code(|o| o.machineVersion = 0), Some("O-025"));
}

#[test]
fn a_signature_by_somebody_else_needs_a_contract() {
    let message = Message::Offer(SignedOffer {
        offer: offer(),
        signature: vec![7; 65],
    });
    let checked = check(&domain(), &message, NOW).unwrap();
    assert_eq!(checked.signer, offer().provider);
    assert_eq!(checked.verdict, Verdict::NeedsContract { recovered: None });
}

#[test]
fn every_code_stands_once_and_says_what_to_do() {
    let mut ids: Vec<&str> = codes::ALL.iter().map(|code| code.id).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    for code in codes::ALL {
        let (group, number) = code.id.split_once('-').unwrap();
        assert!(
            group.len() == 1 && number.len() == 3 && number.parse::<u16>().is_ok(),
            "{}",
            code.id
        );
        assert!(
            !code.title.ends_with('.') && code.help.ends_with('.'),
            "{}",
            code.id
        );
        assert_eq!(codes::by_id(code.id), Some(*code));
    }
    let error = validate_offer(
        &Offer {
            slots: 0,
            ..offer()
        },
        NOW,
    )
    .unwrap_err();
    assert_eq!(
        error.coded_message(),
        "[O-016] the offer has 0 slots, allowed is 1 to 4096"
    );
}
