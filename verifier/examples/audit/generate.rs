//! The golden vectors, computed from words that mean nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub
)]

use std::num::{NonZeroU32, NonZeroU64};

use alloy_primitives::{Address, B256, keccak256};
use outcry_verifier::audit::{Clocks, Seed, answer_commitment, report_commitment};
use serde_json::{Value, json};

/// Deterministic 32 bytes that mean nothing.
fn word(name: &str) -> B256 {
    keccak256(format!("outcry.vectors.audit.{name}"))
}

/// Deployments of very different kinds: a public chain's, a local network's, and extremes.
fn deployments() -> Vec<Value> {
    let deployment = |beacon_period,
                      commit_time,
                      inclusion_delay,
                      interpreter_speed,
                      unbonding: u32| {
        let clocks = Clocks {
            beacon_period: NonZeroU32::new(beacon_period).unwrap(),
            commit_time,
            inclusion_delay,
            interpreter_speed: NonZeroU64::new(interpreter_speed).unwrap(),
        };
        let period = u64::from(beacon_period);
        let periods: Vec<Value> = [0, 1, period - 1, period, period + 1, 1_900_000_000, 1 << 40]
            .iter()
            .map(|at| json!({ "claimedAt": at, "period": clocks.period_of(*at) }))
            .collect();
        let opened_at = 1_900_000_000;
        let deadlines: Vec<Value> = [
            0,
            1,
            interpreter_speed,
            interpreter_speed.saturating_add(1),
            1 << 44,
        ]
        .iter()
        .map(|cycles| {
            let deadline = clocks.commit_deadline(opened_at, *cycles);
            json!({ "openedAt": opened_at, "cycles": cycles, "commitDeadline": deadline })
        })
        .collect();
        json!({
            "beaconPeriod": beacon_period, "commitTime": commit_time, "inclusionDelay": inclusion_delay,
            "interpreterSpeed": interpreter_speed, "unbondingDelay": unbonding,
            "cycleLimitMax": clocks.cycle_limit_max(unbonding.into()).unwrap(),
            "periods": periods, "deadlines": deadlines,
        })
    };
    let months: u32 = 120 * 86_400;
    vec![
        deployment(3_600, 21_600, 86_400, 2_500_000, months),
        deployment(2, 30, 60, 250_000_000, 7 * 86_400),
        deployment(1, 0, 0, 1, 8),
        deployment(u32::MAX, 1, 0, 1 << 44, u32::MAX),
        deployment(600, 1, 2, u64::MAX, 1_000),
    ]
}

fn draws() -> Vec<Value> {
    let cycles = [
        0_u64,
        1,
        2,
        63,
        64,
        65,
        1_000_000,
        (1 << 44) - 1,
        1 << 44,
        (1 << 48) - 1,
    ];
    (0..8)
        .map(|at| {
            let (beacon, claim) = (
                word(&format!("beacon {}", at / 2)),
                word(&format!("claim {at}")),
            );
            let seed = Seed::of(beacon, claim);
            // Least rate at which it is drawn, and one less.
            let drawn_from = (1..=10_000).find(|rate| seed.is_drawn(*rate)).unwrap();
            let tasks: Vec<Value> = [
                (0, 1),
                (0, 3),
                (7, 2),
                (100, 1_000_000),
                (1 << 31, 1 << 31),
                (0, u32::MAX),
            ]
            .iter()
            .map(|(first, count)| {
                let task = seed.task(*first, NonZeroU32::new(*count).unwrap());
                json!({ "first": first, "count": count, "task": task })
            })
            .collect();
            let points: Vec<Value> = cycles
                .iter()
                .map(|cycles| {
                    let points: Vec<u64> = (0..8)
                        .map(|auditor| seed.point(auditor, *cycles).get())
                        .collect();
                    json!({ "cycles": cycles, "points": points })
                })
                .collect();
            json!({
                "beacon": beacon, "claimHash": claim, "seed": seed.0, "drawnFromBps": drawn_from,
                "tasks": tasks, "points": points,
            })
        })
        .collect()
}

fn account(name: &str) -> Address {
    Address::from_slice(&word(name)[12..])
}

fn reports() -> Vec<Value> {
    (0..3)
        .map(|at| {
            let of = |name: &str| word(&format!("{name} {at}"));
            let (state, halted, salt) = (of("state"), of("halted"), of("salt"));
            let account = account(&format!("auditor {at}"));
            let commitment = report_commitment(state, halted, salt, account);
            json!({
                "state": state, "halted": halted, "salt": salt, "account": account, "commitment": commitment,
            })
        })
        .collect()
}

fn answers() -> Vec<Value> {
    [1, 2, 8]
        .iter()
        .map(|count| {
            let answers: Vec<B256> = (0..*count).map(|at| word(&format!("answer {at} of {count}"))).collect();
            let salt = word(&format!("salt {count}"));
            let provider = account("provider");
            let commitment = answer_commitment(&answers, salt, provider);
            json!({ "answers": answers, "salt": salt, "provider": provider, "commitment": commitment })
        })
        .collect()
}

/// The file's contents.
pub fn audit() -> String {
    let value = json!({
        "deployments": deployments(), "draws": draws(), "reports": reports(), "answers": answers(),
    });
    serde_json::to_string_pretty(&value).unwrap() + "\n"
}
