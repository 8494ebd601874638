//! Audits: who is paid for one, and what becomes of a false claim that nobody else would have checked.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, U256};
use alloy::providers::Provider as _;
use outcry_sdk::api::{AuditorStatus, DealState, DealView, GameState, JobState};
use outcry_sdk::{Limits, Node, Terms};
use outcry_testnet::cheat::{Cheat, Kind};
use outcry_testnet::conservation::BURN;
use outcry_testnet::deployment::Windows;
use outcry_testnet::network::Plan;

use crate::disputes::submit;
use crate::fixture::{self, Fixture, ends, quick, wait_until};

/// An audit of which some party is silent, or that a game decides, closes when the time for calls is over
/// three times.
const WINDOWS: Windows = Windows {
    inclusion_s: 25,
    ..fixture::WINDOWS
};
/// For two auditors and the provider, with one base unit that can't be shared.
const FEE: u64 = 3_001;
const SHARE: u64 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_of_a_true_claim_pays_every_party_and_the_buyer_gets_the_rest() {
    let market = network(None).await;
    let before = balances(&market).await;
    let (job, _) = audited(&market).await;
    let view = market
        .wait_for_job(job, "the job settles", |job| {
            job.state == JobState::Settled && job.deals[0].state == DealState::Settled
        })
        .await;
    let price = view.deals[0].paid.0;
    assert!(price > U256::ZERO);
    market.check_conservation().await;

    let share = U256::from(SHARE);
    let after = balances(&market).await;
    let gained = |name: &str| {
        let account = market.account(name);
        after[&account] - before[&account]
    };
    for name in ["verifier-0", "verifier-1"] {
        assert_eq!(gained(name), share, "{name}");
        let status = auditor(&market, name).await;
        assert_eq!((status.right, status.silent, status.wrong), (1, 0, 0));
        assert_eq!(status.earned[0].amount.0, share);
        assert_eq!(status.slashed.0, U256::ZERO);
        assert!(status.open.is_empty());
        let seat = status.seat.unwrap();
        assert_eq!((seat.capacity, seat.open), (4, 0));
    }
    assert_eq!(gained("provider-0"), price + share);
    let buyer = market.account("buyer");
    assert_eq!(
        before[&buyer] - after[&buyer],
        price + U256::from(3) * share
    );
    assert_eq!(after[&BURN], before[&BURN]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_claim_that_only_its_auditors_check_falls() {
    let market = network(Some(Kind::WrongOutput)).await;
    let before = balances(&market).await;
    let (job, deal) = audited(&market).await;
    let view = market
        .wait_for_job(job, "the claim falls", |job| {
            job.deals[0].state.is_terminal()
        })
        .await;
    assert_eq!(view.deals[0].state, DealState::Slashed);
    assert_eq!(view.deals[0].paid.0, U256::ZERO);
    // Nobody else looked: each game is an auditor's.
    let games = market.client.node().disputes().await.unwrap();
    assert!(games.iter().any(|game| {
        game.deal_id == deal.deal_id && game.state == GameState::ChallengerWon && game.until == 0
    }));
    for name in ["verifier-0", "verifier-1"] {
        let status = verifier(&market, name).await;
        assert_eq!(status.tasks_checked, 0, "{name}");
        let status = wait_until("the audit is judged", || async {
            let status = auditor(&market, name).await;
            (status.right == 1).then_some(status)
        })
        .await;
        assert_eq!(status.earned[0].amount.0, U256::from(SHARE));
    }
    market.check_conservation().await;
    let after = balances(&market).await;
    let collateral = U256::from(deal.terms.collateral);
    let lost = |name: &str| {
        let account = market.account(name);
        before[&account] - after[&account]
    };
    assert_eq!(lost("provider-0"), collateral);
    assert_eq!(lost("buyer"), U256::from(2 * SHARE), "only its auditors");
    let earned: U256 = ["verifier-0", "verifier-1"]
        .map(|name| {
            let account = market.account(name);
            after[&account] - before[&account]
        })
        .into_iter()
        .sum();
    assert_eq!(
        earned,
        U256::from(2 * SHARE) + U256::from(deal.terms.collateral / 2)
    );
}

/// A network of a provider and two verifiers that check nothing but what they are drawn for, once claims
/// are drawn for them.
async fn network(lie: Option<Kind>) -> Fixture {
    let cheats = lie
        .map(|kind| ("provider-0".to_owned(), Cheat { kind, seed: 5 }))
        .into_iter();
    let market = Fixture::start(|plan| Plan {
        verifiers: 2,
        windows: WINDOWS,
        sample_bps: 0,
        cheats: cheats.collect(),
        ..plan
    })
    .await;
    for name in ["verifier-0", "verifier-1"] {
        wait_until("claims are drawn for it", || async {
            let seat = auditor(&market, name).await.seat?;
            let head = market.chain.get_block(Default::default()).await.ok()??;
            (head.header.timestamp >= seat.since).then_some(())
        })
        .await;
    }
    market
}

/// A claim that is surely audited.
async fn audited(market: &Fixture) -> (B256, DealView) {
    let job = ends(&["print", "hello"]).limits(Limits {
        cycles: 1_000_000,
        memory_mib: 64,
        output_bytes: 1 << 16,
        ..Limits::default()
    });
    let terms = Terms {
        max_price: Some(100_000_u64.into()),
        audit_rate_bps: 10_000,
        audit_fee: Some(FEE.into()),
        ..quick()
    };
    submit(market, job, terms).await
}

async fn verifier(market: &Fixture, name: &str) -> outcry_sdk::api::VerifierStatus {
    let node = Node::new(market.testnet.api(name).unwrap()).unwrap();
    node.verifier().await.unwrap()
}

async fn auditor(market: &Fixture, name: &str) -> AuditorStatus {
    verifier(market, name).await.audits
}

/// Free balances on the market, in base units of the payment token.
async fn balances(market: &Fixture) -> BTreeMap<Address, U256> {
    let mut balances = BTreeMap::new();
    let accounts = market.testnet.accounts.values().copied();
    for account in accounts.chain([BURN]) {
        balances.insert(account, market.balance(account).await);
    }
    balances
}
