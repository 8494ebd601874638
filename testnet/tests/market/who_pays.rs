//! Who pays when it goes wrong: a test for each row that needs neither the dispute game nor
//! checkpoints.

use alloy::primitives::{Address, B256, U256};
use outcry_contracts::Market::LeafIndex;
use outcry_protocol::status::Status;
use outcry_protocol::types::{Claim, Deal, JobSpec};
use outcry_sdk::api::{DealState, Job as JobView, JobState};
use outcry_sdk::{Limits, Manifest, TaskInput, Terms, Trust};

use crate::fixture::{Fixture, WINDOWS, ends, patience, picture, quick, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_fails_is_paid_for_the_work_done() {
    let market = Fixture::new(1).await;
    let limits = Limits {
        cycles: 50_000_000,
        memory_mib: 64,
        output_bytes: 1 << 16,
        ..Limits::default()
    };
    let cases: [(&[&str], Status, u32); 7] = [
        (&["print", "hello"], Status::Exited, 0),
        (&["exit", "7"], Status::Exited, 7),
        (&["trap"], Status::Trapped, 0),
        (&["divide"], Status::Trapped, 0),
        (&["spin"], Status::OutOfCycles, 0),
        (&["flood"], Status::OutputLimitExceeded, 0),
        (&["hog"], Status::Exited, 3),
    ];
    for (args, status, exit_code) in cases {
        let finished = market.run(ends(args).limits(limits), &quick()).await;
        let task = &finished.tasks[0];
        assert_eq!(
            (task.outcome.status, task.outcome.exit_code),
            (status, exit_code),
            "{args:?}"
        );
        assert!(finished.price.0 > U256::ZERO, "{args:?} cost nothing");
        assert!(task.cycles > 0 && task.cycles <= limits.cycles, "{args:?}");
        if status == Status::OutOfCycles {
            assert_eq!(task.cycles, limits.cycles);
        }
        wait_until("the provider is paid", || async {
            let job = market.client.node().job(finished.id).await.ok()?;
            (job.deals[0].paid.0 == finished.price.0).then_some(())
        })
        .await;
    }
    market.check_conservation().await;
    let earned = market.balance(market.account("provider-0")).await;
    assert!(
        earned > U256::from(outcry_testnet::network::TOKEN_GRANT),
        "the provider has {earned}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missed_deadline_refunds_the_buyer_and_takes_the_collateral() {
    let mut market = Fixture::new(2).await;
    let buyer = market.account("buyer");
    let before = market.balance(buyer).await;
    // Seconds of work, so that there is a middle in which to kill.
    let job = market.job(picture()).await;
    let bid = market
        .client
        .bid(
            &job,
            &Terms {
                execution_timeout_s: Some(20),
                ..quick()
            },
            None,
        )
        .await
        .unwrap();
    let id = market.client.submit(&job, &bid, |_| {}).await.unwrap();
    let view = market
        .wait_for_job(id, "a deal opens", |job| !job.deals.is_empty())
        .await;
    let victim = market
        .testnet
        .accounts
        .iter()
        .find(|(_, account)| **account == view.deals[0].terms.provider)
        .map(|(name, _)| name.clone())
        .unwrap();
    market.testnet.kill(&victim).unwrap();
    let view = market.client.node().job(id).await.unwrap();
    if view.deals[0].claim.is_some() {
        panic!("the provider was quicker than the test: give the program more to do");
    }
    let trust = Trust::Recheck(market.engine.clone());
    let finished = market
        .client
        .finish(id, &job, &trust, patience(), |_| {})
        .await
        .unwrap();
    assert!(finished.tasks[0].is_success());
    let view = market.client.node().job(id).await.unwrap();
    let failed = &view.deals[0];
    assert_eq!(failed.state, DealState::TimedOut);
    let terms = &failed.terms;
    assert_eq!(
        market.burned().await,
        U256::from(terms.collateral - terms.collateral / 2)
    );
    assert_ne!(view.deals[1].terms.provider, terms.provider);
    market.testnet.restart(&victim).unwrap();
    market.testnet.wait_until_serving(&victim).await.unwrap();
    market.check_conservation().await;
    let after = market.balance(buyer).await;
    assert_eq!(
        after + finished.price.0,
        before + U256::from(terms.collateral / 2),
        "the buyer pays the second deal alone, and gets half of the collateral"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_nobody_serves_costs_both_the_same_small_fee_once() {
    let market = Fixture::new(1).await;
    // A source that does not exist, so that no blob can be fetched.
    let job = ends(&["print", "never"])
        .build(B256::repeat_byte(7))
        .unwrap();
    let bid = market.client.bid(&job, &quick(), None).await.unwrap();
    let signature = market.client.sign_bid(&bid).unwrap();
    let id = market
        .client
        .node()
        .submit_bid(bid.clone(), signature, job.spec().clone())
        .await
        .unwrap();
    let view = market
        .wait_for_job(id, "the provider cancels", |job| {
            job.deals
                .iter()
                .any(|deal| deal.state == DealState::Cancelled)
        })
        .await;
    let each = admission_fee(&market, &view).await;
    assert!(each > 0);
    assert_eq!(market.burned().await, U256::from(2 * each));
    market.check_conservation().await;
    let view = market.client.node().job(id).await.unwrap();
    assert_eq!(
        view.deals.len(),
        1,
        "a provider that cancelled is barred from the bid"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_buyer_pays_when_the_window_has_passed() {
    let market = Fixture::new(1).await;
    let job = market.job(ends(&["print", "hello"])).await;
    let bid = market.client.bid(&job, &quick(), None).await.unwrap();
    let id = market.client.submit(&job, &bid, |_| {}).await.unwrap();
    let view = market
        .wait_for_job(id, "the job settles", |job| job.state == JobState::Settled)
        .await;
    let deal = &view.deals[0];
    assert_eq!(deal.state, DealState::Settled);
    assert!(deal.paid.0 > U256::ZERO);
    let claim = deal.claim.as_ref().unwrap();
    assert_eq!(
        claim.finalisable_at,
        claim.claimed_at + u64::from(WINDOWS.challenge_s) + 1
    );
    market.check_conservation().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn demanded_output_is_revealed_or_costs_the_collateral() {
    let mut market = Fixture::new(1).await;
    let buyer = market.account("buyer");
    let chain = market.buyers_market();
    let bond = market
        .market()
        .parameters()
        .call()
        .await
        .unwrap()
        .demandBond;
    mined(chain.depositNative().value(U256::from(2 * bond))).await;

    // A provider that is there reveals what is demanded, by itself.
    let (id, deal, claim, job) = claimed(&market).await;
    let leaf = LeafIndex { task: 0, leaf: 0 };
    mined(chain.demandOutput(
        deal.clone().into(),
        claim.clone().into(),
        job.clone(),
        vec![leaf.clone()],
    ))
    .await;
    wait_until("the leaf is revealed", || async {
        let state = market
            .market()
            .dealState(deal.clone().into())
            .call()
            .await
            .ok()?;
        (state.demandUsed && !state.demanded).then_some(())
    })
    .await;
    let view = market
        .wait_for_job(id, "the job settles", |job| job.state == JobState::Settled)
        .await;
    assert!(view.deals[0].paid.0 > U256::ZERO);
    assert_eq!(
        coin(&market, buyer).await,
        U256::from(2 * bond),
        "the bond returns"
    );

    // One that is gone loses the price and the collateral.
    let burned = market.burned().await;
    let before = market.balance(buyer).await;
    let (id, deal, claim, job) = claimed(&market).await;
    market.testnet.kill("provider-0").unwrap();
    mined(chain.demandOutput(deal.clone().into(), claim.into(), job, vec![leaf])).await;
    market
        .wait_for_job(id, "the gateway times the demand out", |job| {
            job.deals[0].state == DealState::Slashed
        })
        .await;
    assert_eq!(
        market.balance(buyer).await,
        before + U256::from(deal.collateral / 2),
        "all is refunded"
    );
    assert_eq!(
        market.burned().await - burned,
        U256::from(deal.collateral - deal.collateral / 2)
    );
    market.testnet.restart("provider-0").unwrap();
    market
        .testnet
        .wait_until_serving("provider-0")
        .await
        .unwrap();
    market.check_conservation().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gave_a_receipt_and_demands_the_output_nevertheless_loses_the_bond() {
    let market = Fixture::new(1).await;
    let chain = market.buyers_market();
    let parameters = market.market().parameters().call().await.unwrap();
    let bond = U256::from(parameters.demandBond);
    mined(chain.depositNative().value(bond)).await;
    let (id, deal, claim, job) = claimed(&market).await;
    let deal_id = market.client.node().job(id).await.unwrap().deals[0].deal_id;
    let results = market.client.node().results(deal_id).await.unwrap();
    let receipt = outcry_sdk::api::SubmitReceipt {
        task: 0,
        output_root: results[0].output_root,
        signature: market
            .client
            .sign_receipt(deal_id, 0, results[0].output_root)
            .unwrap(),
    };
    market
        .client
        .node()
        .receipt(deal_id, &receipt)
        .await
        .unwrap();
    let leaves = vec![
        LeafIndex { task: 0, leaf: 0 },
        LeafIndex { task: 0, leaf: 1 },
    ];
    mined(chain.demandOutput(deal.into(), claim.into(), job, leaves)).await;
    let view = market
        .wait_for_job(id, "the job settles", |job| job.state == JobState::Settled)
        .await;
    let kinds: Vec<&str> = view.deals[0]
        .transactions
        .iter()
        .map(|transaction| transaction.kind.as_str())
        .collect();
    assert!(kinds.contains(&"answerDemandWithReceipt"), "{kinds:?}");
    assert!(
        view.deals[0]
            .transactions
            .iter()
            .all(|transaction| transaction.gas_used.is_some_and(|gas| gas > 21_000)),
        "the node says what each transaction cost"
    );
    assert_eq!(coin(&market, market.account("buyer")).await, U256::ZERO);
    market.check_conservation().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_no_program_can_read_is_cancelled_and_not_billed() {
    let market = Fixture::new(1).await;
    let job = market.job(ends(&["print", "never"])).await;
    let program = job.blobs()[1].1.clone();
    let garbage = alloy::primitives::Bytes::from_static(b"not an archive").0;
    let manifest = Manifest::new(job.manifest().program, vec![TaskInput::of(&garbage)]);
    let spec = JobSpec {
        manifest: manifest.hash(),
        inputsRoot: manifest.inputs_root().unwrap(),
        ..job.spec().clone()
    };
    let job = outcry_sdk::Job::from_blobs(spec, manifest, program, vec![garbage]).unwrap();
    let before = market.balance(market.account("buyer")).await;
    let bid = market.client.bid(&job, &quick(), None).await.unwrap();
    let id = market.client.submit(&job, &bid, |_| {}).await.unwrap();
    let view = market
        .wait_for_job(id, "the provider cancels", |job| {
            job.deals
                .iter()
                .any(|deal| deal.state == DealState::Cancelled)
        })
        .await;
    market.check_conservation().await;
    let fee = admission_fee(&market, &view).await;
    assert!(fee > 0);
    let after = market.balance(market.account("buyer")).await;
    assert_eq!(before - after, U256::from(fee));
    assert_eq!(market.burned().await, U256::from(2 * fee));
}

/// Free coin on the market, in wei.
/// What each side burns when the job's first deal is cancelled in its admission window.
async fn admission_fee(market: &Fixture, job: &JobView) -> u128 {
    let parameters = market.market().parameters().call().await.unwrap();
    job.deals[0].terms.escrow * u128::from(parameters.admissionFeeBps) / 10_000
}

async fn coin(market: &Fixture, account: Address) -> U256 {
    market
        .market()
        .balanceOf(account, Address::ZERO)
        .call()
        .await
        .unwrap()
}

/// A job that was claimed a moment ago and is not accepted.
async fn claimed(market: &Fixture) -> (B256, Deal, Claim, outcry_contracts::Market::JobSpec) {
    let job = market.job(ends(&["print", "on record"])).await;
    let bid = market.client.bid(&job, &quick(), None).await.unwrap();
    let id = market.client.submit(&job, &bid, |_| {}).await.unwrap();
    let view = market
        .wait_for_job(id, "the claim", |job| {
            job.deals.iter().any(|deal| deal.claim.is_some())
        })
        .await;
    let deal = &view.deals[0];
    let claim = deal.claim.as_ref().unwrap();
    let claim = Claim {
        resultRoot: claim.result_root,
        cycles: claim.cycles.to_u64().unwrap(),
        price: claim.price.to_u128().unwrap(),
    };
    (id, deal.terms.clone(), claim, job.spec().clone().into())
}

async fn mined<C: alloy::contract::CallDecoder>(
    call: alloy::contract::CallBuilder<&alloy::providers::DynProvider, C, alloy::network::Ethereum>,
) {
    let receipt = call.send().await.unwrap().get_receipt().await.unwrap();
    assert!(receipt.status(), "{} reverted", receipt.transaction_hash);
}
