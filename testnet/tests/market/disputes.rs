//! Who pays when a claim or a challenge is false: the rows that the dispute game decides. One side of
//! each game is a node that lies, the other the product.

use std::collections::BTreeMap;

use alloy::eips::BlockId;
use alloy::primitives::{Address, B256, U256};
use alloy::providers::Provider as _;
use outcry_sdk::api::{DealState, DealView, Dispute, GameParty, GameState, JobState};
use outcry_sdk::{JobBuilder, Limits, Terms};
use outcry_testnet::cheat::{Cheat, Kind};
use outcry_testnet::conservation::BURN;
use outcry_testnet::deployment::Windows;
use outcry_testnet::network::Plan;
use outcry_testnet::public_chain;

use crate::fixture::{self, Fixture, ends, quick, wait_until};

/// A party has time to start again, and one that is silent does not hold up the tests for long.
const WINDOWS: Windows = Windows {
    challenge_s: 40,
    inclusion_s: 40,
    ..fixture::WINDOWS
};
/// A game about so many cycles has eight sections: the challenger makes the last move.
const EIGHT_SECTIONS: u64 = 1_000_000;
/// A game about so many cycles has seven sections: the provider makes the last move.
pub(crate) const SEVEN_SECTIONS: u64 = 200_000;
const SEED: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_lie_costs_the_provider_its_collateral() {
    let ways = [
        (Kind::WrongOutput, EIGHT_SECTIONS, false),
        (Kind::WrongCycles, EIGHT_SECTIONS, false),
        (Kind::WrongStateAtRandomStep, EIGHT_SECTIONS, false),
        (Kind::AnswersInconsistently, EIGHT_SECTIONS, false),
        (Kind::Silent, EIGHT_SECTIONS, true),
        (Kind::StallsAtMove(3), EIGHT_SECTIONS, true),
        // No step leads where it says: it has nothing to prove.
        (Kind::WrongOutput, SEVEN_SECTIONS, true),
    ];
    let market = network(WINDOWS, ways.len(), 1, |index| {
        let (kind, ..) = ways.get(index.strip_prefix("provider-")?.parse::<usize>().ok()?)?;
        Some(*kind)
    })
    .await;
    let verifier = market.account("verifier-0");
    let buyer = market.account("buyer");
    let floor = U256::from(
        market
            .market()
            .parameters()
            .call()
            .await
            .unwrap()
            .collateralFloor,
    );
    let before = purses(&market).await;

    let mut deals = Vec::new();
    for (provider, (_, cycles, _)) in ways.iter().enumerate() {
        deals.push(claimed(&market, provider, *cycles).await);
    }
    let mut rewards = U256::ZERO;
    let mut collaterals = U256::ZERO;
    for (provider, ((job, deal), (kind, _, by_timeout))) in deals.iter().zip(&ways).enumerate() {
        let game = paid_out(&market, deal.deal_id).await;
        assert_eq!(game.state, GameState::ChallengerWon, "{kind}");
        assert_eq!(game.by_timeout, Some(*by_timeout), "{kind}");
        if let Kind::StallsAtMove(number) = kind {
            let moves = sections_by(&game, GameParty::Provider);
            assert_eq!(moves + 1, *number as usize);
        }
        let view = market
            .wait_for_job(*job, "the deal falls", |job| {
                job.deals[0].state.is_terminal()
            })
            .await;
        let deal = &view.deals[0];
        assert_eq!(deal.state, DealState::Slashed, "{kind}");
        assert_eq!(deal.paid.0, U256::ZERO, "{kind}");
        assert_eq!(deal.refunded.0, U256::from(deal.terms.escrow), "{kind}");
        let verdict = game.verdict.unwrap();
        assert!(!verdict.stands);
        assert_eq!(verdict.winner, Some(verifier));
        assert_eq!(verdict.reward.0, U256::from(deal.terms.collateral / 2));
        let liar = market.account(&format!("provider-{provider}"));
        let (had, has) = (before[&liar], purse(&market, liar).await);
        let collateral = U256::from(deal.terms.collateral);
        assert_eq!(has.token, had.token - collateral, "{kind}");
        assert_eq!(has.coin, had.coin - floor, "{kind}");
        rewards += verdict.reward.0;
        collaterals += collateral;
    }
    let fallen = U256::from(ways.len());
    let has = purse(&market, verifier).await;
    assert_eq!(has.token, before[&verifier].token + rewards);
    // Its bonds, what it is owed for its gas, and the rest of what a floor gives to challengers.
    assert_eq!(
        has.coin,
        before[&verifier].coin + fallen * (floor / U256::from(2))
    );
    let burned = purse(&market, BURN).await;
    assert_eq!(burned.token, collaterals - rewards);
    assert_eq!(burned.coin, fallen * (floor - floor / U256::from(2)));
    assert_eq!(purse(&market, buyer).await, before[&buyer]);
    market.check_conservation().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn false_challenges_of_a_true_claim_pay_the_provider_for_its_gas_and_its_run() {
    let market = network(WINDOWS, 1, 2, |node| match node {
        "verifier-0" => Some(Kind::WrongOutput),
        "verifier-1" => Some(Kind::Silent),
        _ => None,
    })
    .await;
    let provider = market.account("provider-0");
    let game_contract = outcry_contracts::Game::new(market.testnet.game, &market.chain);
    let parameters = game_contract.parameters().call().await.unwrap();
    let before = purses(&market).await;

    // Eleven sections: the provider makes the last move.
    let cycles = 2_000_000_000;
    let python = std::fs::read(market.client.network().python.clone().unwrap()).unwrap();
    let job = JobBuilder::python(python, "sum.py", "print(sum(range(100)))").limits(Limits {
        cycles,
        output_bytes: 1 << 16,
        ..Limits::default()
    });
    let terms = Terms {
        execution_timeout_s: Some(60),
        queue_timeout_s: 60,
        ..terms(0)
    };
    let (id, deal) = submit(&market, job, terms).await;
    let mut burned = U256::ZERO;
    let mut earned = U256::ZERO;
    let run = parameters.runPrice * u128::from(cycles);
    let run = run.div_ceil(1 << 30);
    for (name, sections, by_timeout) in [("verifier-0", 11, false), ("verifier-1", 0, true)] {
        let challenger = market.account(name);
        let game = game_by(
            &market,
            deal.deal_id,
            challenger,
            "it is paid out",
            |game| game.payout.is_some(),
        )
        .await;
        assert_eq!(game.state, GameState::ProviderWon, "{name}");
        assert_eq!(game.by_timeout, Some(by_timeout), "{name}");
        assert_eq!(game.sections_made, sections, "{name}");
        // What was used, at the price of the block that paid it out.
        let gas = public_chain::gas_of_provider(sections);
        let price = base_fee(&market, &game).await.min(parameters.gasPriceCap);
        let run = if sections == 0 { 0 } else { run };
        let owed = u128::from(gas) * u128::from(price) + run;
        let payout = game.payout.unwrap();
        assert_eq!(
            payout.to_provider.0,
            U256::from(owed).min(game.bond.0 / U256::from(2)),
            "{name}"
        );
        assert_eq!(
            payout.burned.0,
            game.bond.0 - payout.to_provider.0,
            "{name}"
        );
        assert_eq!(payout.to_challenger.0, U256::ZERO, "{name}");
        let has = purse(&market, challenger).await;
        assert_eq!(has.coin, before[&challenger].coin - game.bond.0, "{name}");
        burned += payout.burned.0;
        earned += payout.to_provider.0;
    }
    let view = market
        .wait_for_job(id, "the job settles", |job| {
            job.state == JobState::Settled && job.deals[0].state == DealState::Settled
        })
        .await;
    let price = view.deals[0].paid.0;
    assert!(price > U256::ZERO);
    market.check_conservation().await;
    let has = purse(&market, provider).await;
    assert_eq!(has.coin, before[&provider].coin + earned);
    assert_eq!(has.token, before[&provider].token + price);
    let burn = purse(&market, BURN).await;
    assert_eq!((burn.coin, burn.token), (burned, U256::ZERO));
}

/// A network whose nodes lie as this says.
pub(crate) async fn network(
    windows: Windows,
    providers: usize,
    verifiers: usize,
    lies: impl Fn(&str) -> Option<Kind>,
) -> Fixture {
    let nodes = (0..providers)
        .map(|index| format!("provider-{index}"))
        .chain((0..verifiers).map(|index| format!("verifier-{index}")));
    let cheats: BTreeMap<String, Cheat> = nodes
        .filter_map(|name| {
            Some((
                name.clone(),
                Cheat {
                    kind: lies(&name)?,
                    seed: SEED,
                },
            ))
        })
        .collect();
    Fixture::start(|plan| Plan {
        providers,
        verifiers,
        windows,
        cheats,
        ..plan
    })
    .await
}

/// Terms that this provider alone accepts.
pub(crate) fn terms(provider: usize) -> Terms {
    Terms {
        attributes: U256::from(1) << provider,
        // Enough for the dearest.
        max_price: Some(100_000_u64.into()),
        ..quick()
    }
}

/// A job that this provider has claimed.
pub(crate) async fn claimed(market: &Fixture, provider: usize, cycles: u64) -> (B256, DealView) {
    let job = ends(&["print", "hello"]).limits(Limits {
        cycles,
        memory_mib: 64,
        output_bytes: 1 << 16,
        ..Limits::default()
    });
    submit(market, job, terms(provider)).await
}

/// Submits a job and waits for its claim. What is left of the bid is cancelled, so that nobody runs
/// the job again when the claim falls.
pub(crate) async fn submit(market: &Fixture, job: JobBuilder, terms: Terms) -> (B256, DealView) {
    let job = market.job(job).await;
    let bid = market.client.bid(&job, &terms, None).await.unwrap();
    let id = market.client.submit(&job, &bid, |_| {}).await.unwrap();
    let view = market
        .wait_for_job(id, "the claim", |job| {
            job.deals.iter().any(|deal| deal.claim.is_some())
        })
        .await;
    let chain = market.client.chain();
    chain.execute(&chain.plan_cancel(bid.salt)).await.unwrap();
    (id, view.deals[0].clone())
}

/// Waits until the only game about a deal looks as wanted, as the gateway sees it.
pub(crate) async fn game_about(
    market: &Fixture,
    deal: B256,
    what: &str,
    wanted: impl Fn(&Dispute) -> bool,
) -> Dispute {
    wait_until(what, || async {
        let node = market.client.node();
        for game in node.disputes().await.ok()? {
            if game.deal_id == deal {
                // A list leaves moves out.
                let game = node.dispute(game.id).await.ok()?;
                if wanted(&game) {
                    return Some(game);
                }
            }
        }
        None
    })
    .await
}

pub(crate) async fn game_by(
    market: &Fixture,
    deal: B256,
    challenger: Address,
    what: &str,
    wanted: impl Fn(&Dispute) -> bool,
) -> Dispute {
    game_about(market, deal, what, |game| {
        game.challenger == challenger && wanted(game)
    })
    .await
}

async fn paid_out(market: &Fixture, deal: B256) -> Dispute {
    game_about(market, deal, "the game is paid out", |game| {
        game.payout.is_some()
    })
    .await
}

fn sections_by(game: &Dispute, side: GameParty) -> usize {
    let moves = game.moves.iter().filter(|made| made.part.is_some());
    moves.filter(|made| made.by == Some(side)).count()
}

/// Wei per gas of the block that paid a game out.
async fn base_fee(market: &Fixture, game: &Dispute) -> u64 {
    let mut moves = game.moves.iter();
    let collected = moves
        .find(|made| made.transaction.kind == "collect")
        .unwrap();
    let block = BlockId::from(collected.transaction.block);
    let block = market.chain.get_block(block).await.unwrap().unwrap();
    block.header.base_fee_per_gas.unwrap()
}

/// What an account has on the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Purse {
    /// Base units of the payment token.
    pub(crate) token: U256,
    /// Wei.
    pub(crate) coin: U256,
}

pub(crate) async fn purse(market: &Fixture, account: Address) -> Purse {
    let contract = market.market();
    let coin = contract.balanceOf(account, Address::ZERO).call().await;
    Purse {
        token: market.balance(account).await,
        coin: coin.unwrap(),
    }
}

async fn purses(market: &Fixture) -> BTreeMap<Address, Purse> {
    let mut purses = BTreeMap::new();
    for account in market.testnet.accounts.values() {
        purses.insert(*account, purse(market, *account).await);
    }
    purses
}
