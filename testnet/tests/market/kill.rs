//! kill -9 of any Outcry process at random moments.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use alloy::primitives::B256;
use outcry_protocol::codes::{Coded as _, Exit};
use outcry_sdk::Terms;
use outcry_sdk::api::{DealState, JobState};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::fixture::{Fixture, ends, quick};

const JOBS: usize = 50;
const KILLS_MIN: usize = 10;

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
        // A buyer whose node is away tries again; the same signed bid can't be taken twice.
        let Ok(bid) = market.client.bid(&job, &terms, None).await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        loop {
            match market.client.submit(&job, &bid, |_| {}).await {
                Ok(id) => {
                    jobs.push(id);
                    break;
                }
                // Away, or back but not ready yet.
                Err(error) if error.code().exit == Exit::Network => {
                    tokio::time::sleep(Duration::from_millis(50)).await
                }
                Err(error) => panic!("job {} is refused: {error}", jobs.len()),
            }
        }
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

fn pause(random: &mut StdRng) -> Duration {
    Duration::from_millis(random.random_range(100..1500))
}
