//! Deploys the contracts on a chain of its own and takes a deal from the opening to the last event,
//! with hashes, terms and claim computed by `outcry-protocol`: what the nodes sign is what the
//! contracts read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chain;

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::providers::Provider;
use alloy::providers::ext::AnvilApi;
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use chain::{Chain, FUNDS, KEYS, mined, parameters};
use outcry_contracts::{Deployment, Market, TestToken, deploy, refusal};
use outcry_protocol::claim::{self, TaskResult};
use outcry_protocol::hash::{Domain, job_hash};
use outcry_protocol::types::{Accept, Bid, Deal, JobSpec, Offer, Resources};

fn job() -> JobSpec {
    JobSpec {
        machineVersion: 1,
        imageRoot: keccak256("image"),
        inputsRoot: keccak256("inputs"),
        manifest: keccak256("manifest"),
        source: keccak256("source"),
        cycleLimit: 2_000_000_000_000,
        pageLimit: 1024,
        slotLimit: 1 << 20,
        outputLimit: 1 << 20,
        taskCount: 3,
    }
}

fn bid(buyer: Address, token: Address) -> Bid {
    Bid {
        buyer,
        token,
        jobHash: job_hash(&job()),
        tasks: 3,
        cyclesExpected: 1_000_000_000_000,
        resources: Resources {
            memoryMib: 64,
            diskMib: 1,
            gpuClass: 0,
            gpuCount: 0,
            egressMib: 1,
        },
        priceCap: 5_000_000,
        valueOfTime: 0,
        regions: U256::from(2),
        attributes: U256::ZERO,
        roundTripMsMax: 0,
        roundTripPlace: B256::ZERO,
        auditRateBps: 0,
        auditFee: 0,
        collateralBps: 10_000,
        replicas: 1,
        queueTimeout: 60,
        executionTimeout: 36_000,
        rankWindow: 2,
        tip: 100,
        expiry: u64::MAX,
        salt: U256::from(1),
        counter: 0,
    }
}

fn offer(provider: Address, token: Address) -> Offer {
    Offer {
        provider,
        token,
        capacityId: keccak256("pool"),
        slots: 1,
        peerKey: keccak256("peer"),
        region: 1,
        attributes: U256::ZERO,
        resources: Resources {
            memoryMib: 4096,
            diskMib: 10,
            gpuClass: 0,
            gpuCount: 0,
            egressMib: 10,
        },
        startFee: 1_000,
        cyclePrice: 500_000_000_000,
        memoryPrice: 1_000_000_000,
        diskPrice: 0,
        gpuPrice: 0,
        egressPrice: 0,
        speed: 1_000_000_000,
        collateralMax: u128::MAX,
        machineVersion: 1,
        tip: 50,
        expiry: u64::MAX,
        salt: U256::from(1),
        counter: 0,
    }
}

async fn fund(provider: impl Provider + Clone, account: Address, at: &Deployment) {
    let token = TestToken::new(at.test_token.unwrap(), provider.clone());
    let market = Market::new(at.market, provider);
    mined(token.mint(account, U256::from(FUNDS)).send().await.unwrap()).await;
    mined(
        token
            .approve(at.market, U256::from(FUNDS))
            .send()
            .await
            .unwrap(),
    )
    .await;
    mined(
        market
            .deposit(at.test_token.unwrap(), U256::from(FUNDS))
            .send()
            .await
            .unwrap(),
    )
    .await;
    mined(
        market
            .depositNative()
            .value(U256::from(1_000_000))
            .send()
            .await
            .unwrap(),
    )
    .await;
}

fn signed(signer: &PrivateKeySigner, digest: B256) -> Bytes {
    signer.sign_hash_sync(&digest).unwrap().as_bytes().into()
}

#[tokio::test]
async fn a_deal_runs_from_its_opening_to_its_payment_as_the_protocol_computes_it() {
    let chain = Chain::start();
    let (buyer, buyers) = chain.account(KEYS[0]);
    let (provider, providers) = chain.account(KEYS[1]);

    let at = deploy(buyers.clone(), &parameters(buyer.address()))
        .await
        .unwrap();
    let token = at.test_token.unwrap();
    fund(buyers.clone(), buyer.address(), &at).await;
    fund(providers.clone(), provider.address(), &at).await;
    let market = Market::new(at.market, providers.clone());
    let domain = Domain::new(providers.get_chain_id().await.unwrap(), at.market);
    assert_eq!(
        market.domainSeparator().call().await.unwrap(),
        domain.separator()
    );
    assert_eq!(market.RECOURSE().call().await.unwrap(), at.recourse);
    assert_eq!(
        market.parameters().call().await.unwrap().challengeWindow,
        60
    );

    // Open: the orders' hashes, and the terms in the log.
    let (bid, offer) = (
        bid(buyer.address(), token),
        offer(provider.address(), token),
    );
    assert_eq!(
        market.hashBid(bid.clone().into()).call().await.unwrap(),
        domain.bid_hash(&bid)
    );
    assert_eq!(
        market.hashOffer(offer.clone().into()).call().await.unwrap(),
        domain.offer_hash(&offer)
    );
    let call = Market::OpenCall {
        bid: bid.clone().into(),
        bidSignature: signed(&buyer, domain.bid_hash(&bid)),
        offer: offer.clone().into(),
        offerSignature: signed(&provider, domain.offer_hash(&offer)),
        job: job().into(),
        count: 3,
    };
    let receipt = mined(market.open(call.clone()).send().await.unwrap()).await;
    let opened = receipt.decoded_log::<Market::DealOpened>().unwrap();
    let deal: Deal = opened.deal.clone().into();
    // A pool's first deal lies in its first cell.
    let expected =
        outcry_protocol::deal::terms(&domain, &bid, &offer, &job(), 1, 0, 3, deal.openedAt)
            .unwrap();
    assert_eq!(deal, expected);
    assert_eq!(opened.dealId, domain.deal_id(&deal));
    assert_eq!(
        market
            .openSlots(provider.address(), deal.capacityId)
            .call()
            .await
            .unwrap(),
        1
    );

    // A refusal has a name.
    let error = market.open(call).call().await.unwrap_err();
    let data = error.as_revert_data().unwrap();
    assert_eq!(refusal::name_of_revert(&data), Some("BidTaken"));

    // Claim: root and bill.
    let tasks: Vec<TaskResult> = (0..3)
        .map(|n| TaskResult {
            cycles: 1_000_000_000_000 + n,
            inner: keccak256([n as u8]),
        })
        .collect();
    let bytes: Bytes = claim::encode_tasks(&tasks).unwrap().into();
    let early = market.claim(deal.clone().into(), bytes.clone());
    let error = early.call().await.unwrap_err();
    let data = error.as_revert_data().unwrap();
    assert_eq!(refusal::name_of_revert(&data), Some("RankWindowOpen"));
    providers.anvil_mine(Some(2), None).await.unwrap();
    let receipt = mined(
        market
            .claim(deal.clone().into(), bytes)
            .send()
            .await
            .unwrap(),
    )
    .await;
    let claimed = receipt.decoded_log::<Market::DealClaimed>().unwrap();
    let made = claim::compute(&deal, &tasks).unwrap();
    assert_eq!(
        outcry_protocol::types::Claim::from(claimed.claim.clone()),
        made
    );
    assert_eq!(claim::decode_tasks(&claimed.tasks).unwrap(), tasks);

    // Accept, and finalise after the window.
    let id = domain.deal_id(&deal);
    let accept = Accept {
        dealId: id,
        claimHash: made.hash(id),
    };
    let signature = signed(&buyer, domain.accept_digest(&accept));
    let (terms, claim_): (Market::Deal, Market::Claim) = (deal.clone().into(), made.clone().into());
    mined(
        market
            .accept(terms.clone(), claim_.clone(), signature)
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert!(
        market
            .dealState(terms.clone())
            .call()
            .await
            .unwrap()
            .accepted
    );
    providers.anvil_increase_time(61).await.unwrap();
    let receipt = mined(market.finalise(terms.clone(), claim_).send().await.unwrap()).await;
    assert!(receipt.decoded_log::<Market::DealFinalised>().is_some());
    assert_eq!(market.dealState(terms).call().await.unwrap().status, 0);
    assert_eq!(
        market
            .balanceOf(provider.address(), token)
            .call()
            .await
            .unwrap(),
        // It also sent the opening, which pays the bid's tip.
        U256::from(u128::from(FUNDS) + made.price + bid.tip)
    );
    assert_eq!(
        market
            .balanceOf(buyer.address(), token)
            .call()
            .await
            .unwrap(),
        U256::from(u128::from(FUNDS) - made.price - bid.tip)
    );
}

#[tokio::test]
async fn a_deployment_outside_the_parameters_bounds_is_refused_by_name() {
    let chain = Chain::start();
    let (buyer, buyers) = chain.account(KEYS[0]);
    let mut wrong = parameters(buyer.address());
    wrong.fee_bps = 501;
    let error = deploy(buyers, &wrong).await.unwrap_err();
    assert!(
        error.to_string().starts_with("cannot deploy Market"),
        "{error}"
    );
}

#[test]
fn every_error_of_the_market_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = refusal::market_selectors()
        .filter_map(refusal::name)
        .collect();
    assert_eq!(names.len(), refusal::market_selectors().count());
    assert!(names.contains("DealNotOpen"));
}
