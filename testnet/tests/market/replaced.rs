//! A better offer takes the place of a deal within the rank window of its bid.

use alloy::network::EthereumWallet;
use alloy::primitives::{Address, U256};
use alloy::providers::{Provider as _, ProviderBuilder};
use alloy::signers::SignerSync as _;
use futures::StreamExt as _;
use outcry_contracts::Market;
use outcry_sdk::api::{DealState, DealView, JobEventKind};
use outcry_sdk::{Job, Terms, Trust};

use crate::blocks::Blocks;
use crate::fixture::{Fixture, ends, patience, quick};

const TIP: u64 = 5_000;
/// Fees by which a transaction comes before all others of its block, wei.
const FIRST_WEI: u128 = 500_000_000_000;

/// The call that opens a bid's deal with the live offer of a provider, signed by both.
async fn opening(
    market: &Fixture,
    job: &Job,
    bid: &outcry_protocol::types::Bid,
    provider: &str,
) -> Market::OpenCall {
    let book = market.client.node().book().await.unwrap();
    let account = market.account(provider);
    let offers = book.offers.into_iter();
    let found = offers
        .filter(|found| found.offer.provider == account)
        .max_by_key(|found| found.offer.expiry)
        .unwrap();
    let key = market.testnet.signer(provider).unwrap();
    let signature = key.sign_hash_sync(&found.hash).unwrap();
    Market::OpenCall {
        bid: bid.clone().into(),
        bidSignature: market.client.sign_bid(bid).unwrap(),
        offer: found.offer.into(),
        offerSignature: signature.as_bytes().to_vec().into(),
        job: job.spec().clone().into(),
        count: 1,
    }
}

fn deal_of(deals: &[DealView], provider: Address) -> DealView {
    let mut found = deals.iter().filter(|deal| deal.terms.provider == provider);
    found.next().cloned().unwrap()
}

fn block_of(deal: &DealView, kind: &str) -> u64 {
    let mut sent = deal.transactions.iter();
    sent.find(|sent| sent.kind == kind).unwrap().block
}

/// Whether a node has run the task of any deal.
fn has_run(market: &Fixture, name: &str) -> bool {
    let log = &market.testnet.process(name).unwrap().log;
    std::fs::read_to_string(log).unwrap().contains("Run(")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_best_offer_does_the_job_though_a_worse_one_was_opened_first() {
    let market = Fixture::new(2).await;
    let [best, worse, opener, buyer] =
        ["provider-0", "provider-1", "gateway", "buyer"].map(|name| market.account(name));
    let mut before = Vec::new();
    for account in [best, worse, opener, buyer] {
        before.push(market.balance(account).await);
    }
    let job = market.job(ends(&["print", "hello"])).await;
    let terms = Terms {
        rank_window: 30,
        tip: TIP.into(),
        ..quick()
    };
    let bid = market.client.bid(&job, &terms, None).await.unwrap();

    // Somebody opens the deal with the worse offer, before the best provider's own opening is in a block.
    let blocks = Blocks::hold(&market).await;
    let id = market.client.submit(&job, &bid, |_| {}).await.unwrap();
    let own = blocks
        .wait_for("the best offer is opened", |sent| sent.kind == "open")
        .await;
    assert_eq!(own.from, best);
    let call = opening(&market, &job, &bid, "provider-1").await;
    let wallet = EthereumWallet::from(market.testnet.signer("gateway").unwrap());
    let chain = ProviderBuilder::new()
        .wallet(wallet)
        .connect_http(market.testnet.rpc.parse().unwrap())
        .erased();
    let opening = Market::new(market.testnet.market, &chain)
        .open(call)
        .max_fee_per_gas(FIRST_WEI)
        .max_priority_fee_per_gas(FIRST_WEI)
        .gas(1_000_000)
        .send()
        .await
        .unwrap();
    blocks.mine().await;
    assert!(opening.get_receipt().await.unwrap().status());
    let view = market
        .wait_for_job(id, "the deal opens", |job| !job.deals.is_empty())
        .await;
    assert_eq!(view.deals[0].terms.provider, worse);

    // The best provider sees it and takes its place. A fork takes that back, and it happens again.
    let is_replaced = |job: &outcry_sdk::api::Job| job.deals[0].state == DealState::Replaced;
    let sent = blocks.next().await;
    assert_eq!((sent.from, sent.kind.as_str()), (best, "replace"));
    blocks.mine().await;
    market.wait_for_job(id, "it is replaced", is_replaced).await;
    blocks.take_back(1).await;
    market
        .wait_for_job(id, "the fork takes it back", |job| {
            job.deals.len() == 1 && job.deals[0].state == DealState::Open
        })
        .await;
    blocks.release().await;
    market
        .wait_for_job(id, "it is replaced again", is_replaced)
        .await;

    let trust = Trust::Recheck(market.engine.clone());
    let finished = market
        .client
        .finish(id, &job, &trust, patience(), |_| {})
        .await
        .unwrap();
    assert!(finished.tasks[0].is_success());
    market.check_conservation().await;
    let view = market.client.node().job(id).await.unwrap();
    let displaced = deal_of(&view.deals, worse);
    assert_eq!(displaced.state, DealState::Replaced);
    assert!(displaced.claim.is_none());
    assert!(has_run(&market, "provider-0") && !has_run(&market, "provider-1"));

    let events: Vec<_> = market.client.node().job_events(id, 0).collect().await;
    let told = |event: &JobEventKind| matches!(event, JobEventKind::DealReplaced { deal_id, .. } if *deal_id == displaced.deal_id);
    assert!(events.iter().flatten().any(|event| told(&event.event)));

    let contract = market.market();
    let replaced = contract.DealReplaced_filter().from_block(0);
    let replaced = replaced.query().await.unwrap();
    let [(event, _)] = &replaced[..] else {
        panic!("one replacement");
    };
    assert_eq!((event.displacedId, event.sender), (displaced.deal_id, best));
    assert!(event.idleFee > U256::ZERO);
    let paid = deal_of(&view.deals, best).paid.0;
    assert!(paid > event.idleFee);
    let tip = U256::from(TIP);
    let expected = [
        before[0] + paid - event.idleFee,
        before[1] + event.idleFee,
        before[2] + tip,
        before[3] - finished.price.0 - tip,
    ];
    for (account, expected) in [best, worse, opener, buyer].into_iter().zip(expected) {
        assert_eq!(market.balance(account).await, expected, "{account}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deal_that_nobody_replaces_begins_when_its_window_is_over() {
    let market = Fixture::new(2).await;
    let terms = Terms {
        rank_window: 4,
        ..quick()
    };
    let finished = market.run(ends(&["print", "hello"]), &terms).await;
    assert!(finished.tasks[0].is_success());
    let view = market.client.node().job(finished.id).await.unwrap();
    let deal = deal_of(&view.deals, market.account("provider-0"));
    assert_eq!(view.deals.len(), 1);
    assert!(block_of(&deal, "claim") > block_of(&deal, "open") + 4);
    assert_eq!(
        deal.terms.deadline,
        deal.terms.openedAt + 4 * 12 + 10 + 10,
        "its times count from the end of the window"
    );
    market.check_conservation().await;
}
