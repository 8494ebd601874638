//! kill -9 of any Outcry process at random moments.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use alloy::primitives::B256;
use outcry_protocol::codes::{self, Code, Coded as _};
use outcry_sdk::api::{DealState, JobState};
use outcry_sdk::{Error, Job, Terms};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::fixture::{Fixture, ends, quick};

const JOBS: usize = 50;
const KILLS_MIN: usize = 10;

/// What a buyer meets while a node restarts: it is away, not ready, or has not heard an offer yet.
const AWAY: [&Code; 3] = [
    &codes::NET_UNREACHABLE,
    &codes::NET_NOT_READY,
    &codes::MATCH_EMPTY,
];
/// Longest that it is so.
const AWAY_MAX: Duration = Duration::from_secs(60);

/// Names the seed of a run, to draw the same victims and pauses again.
const SEED_VARIABLE: &str = "OUTCRY_KILL_SEED";

#[tokio::test(flavor = "multi_thread")]
async fn fifty_jobs_end_paid_or_refunded_although_any_process_is_killed_at_any_moment() {
    let seed = std::env::var(SEED_VARIABLE)
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    println!("{SEED_VARIABLE}={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut market = Fixture::new(3).await;
    let job = market.job(ends(&["print", "alive"])).await;
    let terms = Terms {
        queue_timeout_s: 8,
        execution_timeout_s: Some(6),
        life_s: 60,
        ..quick()
    };

    let names: Vec<String> = market
        .testnet
        .processes
        .iter()
        .map(|process| process.name.clone())
        .filter(|name| name != "anvil")
        .collect();
    let mut jobs: Vec<B256> = Vec::new();
    let mut kills = 0;
    let mut next_kill = Instant::now() + pause(&mut random);
    while jobs.len() < JOBS {
        if Instant::now() >= next_kill {
            let victim = &names[random.random_range(0..names.len())];
            market.testnet.kill(victim).unwrap();
            market.testnet.restart(victim).unwrap();
            kills += 1;
            next_kill = Instant::now() + pause(&mut random);
        }
        jobs.push(submit(&market, &job, &terms).await);
        tokio::time::sleep(Duration::from_millis(random.random_range(0..600))).await;
    }
    // The last jobs are still on their way.
    while kills < KILLS_MIN {
        tokio::time::sleep(pause(&mut random)).await;
        let victim = &names[random.random_range(0..names.len())];
        market.testnet.kill(victim).unwrap();
        market.testnet.restart(victim).unwrap();
        kills += 1;
    }
    println!("{kills} kills for {JOBS} jobs");
    for name in &names {
        market.testnet.wait_until_serving(name).await.unwrap();
    }

    let mut paid = 0;
    for id in &jobs {
        let job = market
            .wait_for_job(*id, "the job ends", |job| job.state.is_terminal())
            .await;
        for deal in &job.deals {
            assert!(
                deal.state.is_terminal(),
                "a deal of the ended job {id} is {}",
                deal.state
            );
            match deal.state {
                DealState::Settled => assert!(deal.paid.0 > alloy::primitives::U256::ZERO),
                _ => assert!(deal.refunded.0 > alloy::primitives::U256::ZERO, "{deal:?}"),
            }
        }
        if job.state == JobState::Settled {
            paid += 1;
        }
    }
    println!("{paid} of {JOBS} jobs are paid, the others refunded");
    assert!(
        paid > JOBS / 2,
        "the market hardly works: {paid} of {JOBS} jobs were done"
    );
    assert_eq!(jobs.iter().collect::<BTreeSet<_>>().len(), JOBS);
    market.check_conservation().await;
    for job in &jobs {
        for deal in market.client.node().job(*job).await.unwrap().deals {
            let terms = deal.terms;
            let open = market
                .market()
                .openSlots(terms.provider, terms.capacityId)
                .call()
                .await
                .unwrap();
            assert_eq!(open, 0, "a slot of {} stays taken", terms.provider);
        }
    }
}

/// Submits a job as a buyer does whose node may be away: the same signed bid can't be taken twice.
async fn submit(market: &Fixture, job: &Job, terms: &Terms) -> B256 {
    let deadline = Instant::now() + AWAY_MAX;
    let try_again = async |error: Error| {
        assert!(
            AWAY.contains(&error.code()),
            "a job is refused: {} {error}",
            error.code().id
        );
        assert!(
            Instant::now() < deadline,
            "the buyer's node stays away: {error}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let bid = loop {
        match market.client.bid(job, terms, None).await {
            Ok(bid) => break bid,
            Err(error) => try_again(error).await,
        }
    };
    loop {
        match market.client.submit(job, &bid, |_| {}).await {
            Ok(id) => return id,
            Err(error) => try_again(error).await,
        }
    }
}

fn pause(random: &mut StdRng) -> Duration {
    Duration::from_millis(random.random_range(100..1500))
}
