//! More false challenges of one true claim than there are seats, against a provider that interprets one
//! task at a time.

use std::collections::BTreeMap;

use alloy::consensus::Transaction as _;
use alloy::network::EthereumWallet;
use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::providers::ext::AnvilApi as _;
use alloy::providers::{DynProvider, Provider as _, ProviderBuilder};
use alloy::rpc::types::Filter;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{SolCall as _, SolEvent as _};
use outcry_contracts::Game::{self, GameKey};
use outcry_contracts::Market;
use outcry_sdk::api::{DealState, GameState};
use outcry_testnet::cheat::{Cheat, Kind};
use outcry_testnet::deployment::Windows;
use outcry_testnet::network::{COIN_GRANT, Plan};
use outcry_verifier::game::rules::SEATS;
use outcry_verifier::game::{self, Challenge, Party};

use crate::disputes::{SEVEN_SECTIONS, claimed, game_about, purse};
use crate::fixture::{self, Fixture, wait_until};

/// Challengers that are no nodes, but send transactions alone. With the first challenger there are two
/// games more than seats.
const SHAMS: usize = SEATS + 1;
/// The provider has time to play them all, and the shams to come.
const WINDOWS: Windows = Windows {
    challenge_s: 60,
    inclusion_s: 120,
    ..fixture::WINDOWS
};
/// More than any challenge takes.
const CHALLENGE_GAS: u64 = 700_000;
/// More than any section takes.
const SECTION_GAS: u64 = 150_000;

/// Blocks within which all games are over.
const BLOCKS_MAX: u64 = 120;

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_with_one_interpreter_defends_a_claim_against_more_challengers_than_seats() {
    let liar = Cheat {
        kind: Kind::WrongStateAtRandomStep,
        seed: 4,
    };
    let mut market = Fixture::start(|plan| Plan {
        verifiers: 1,
        interpreters: 1,
        windows: WINDOWS,
        cheats: BTreeMap::from([("verifier-0".to_owned(), liar)]),
        ..plan
    })
    .await;
    let mut shams = shams(&mut market).await;
    let provider = market.account("provider-0");
    let had = purse(&market, provider).await;

    let (job, deal) = claimed(&market, 0, SEVEN_SECTIONS).await;
    let first = game_about(&market, deal.deal_id, "it is challenged", |_| true).await;
    let began = &first.moves[0].transaction;
    // They say what the first challenger says.
    let transaction = market.chain.get_transaction_by_hash(began.hash).await;
    let transaction = transaction.unwrap().unwrap();
    let mut call = Game::challengeCall::abi_decode(transaction.input())
        .unwrap()
        .call;
    call.bondMax = U256::MAX;
    for sham in &shams {
        let contract = Game::new(market.testnet.game, &sham.chain);
        let challenge = contract.challenge(call.clone()).gas(CHALLENGE_GAS);
        let _ = challenge.send().await.unwrap();
    }

    let mut table = Table {
        chain: market.chain.clone(),
        contract: market.testnet.game,
        next: began.block,
        games: BTreeMap::new(),
    };
    while table.games.len() <= SHAMS
        || table
            .games
            .values()
            .any(|(_, game)| game.winner().is_none())
    {
        let seen = table.next;
        assert!(seen < began.block + BLOCKS_MAX, "the games do not end");
        wait_until("a block comes", || async {
            let head = market.chain.get_block_number().await.unwrap();
            (head >= seen).then_some(())
        })
        .await;
        table.look().await;
        for sham in &mut shams {
            sham.play(&table).await;
        }
    }
    let games = wait_until("all games are paid out", || async {
        let games = market.client.node().disputes().await.ok()?;
        let over = games.iter().all(|game| game.payout.is_some());
        over.then_some(games)
    })
    .await;
    assert_eq!(games.len(), SHAMS + 1);
    let bond = games.iter().map(|game| game.bond.0).min().unwrap();
    let mut earned = U256::ZERO;
    for game in &games {
        assert_eq!(game.state, GameState::ProviderWon);
        assert_eq!(game.by_timeout, Some(false), "the last step is proved");
        assert_eq!(game.sections_made, 7);
        let payout = game.payout.unwrap();
        assert_eq!(payout.to_provider.0 + payout.burned.0, game.bond.0);
        assert!(payout.to_provider.0 > U256::ZERO);
        earned += payout.to_provider.0;
    }
    let doubled = games.iter().filter(|game| game.bond.0 == bond + bond);
    assert_eq!(doubled.count(), SHAMS + 1 - SEATS, "beyond the seats");

    let view = market
        .wait_for_job(job, "the deal settles", |job| {
            job.deals[0].state == DealState::Settled
        })
        .await;
    let price = view.deals[0].paid.0;
    assert!(price > U256::ZERO);
    market.check_conservation().await;
    let has = purse(&market, provider).await;
    assert_eq!(has.coin, had.coin + earned);
    assert_eq!(has.token, had.token + price);
}

/// A challenger that asserts anything.
struct Sham {
    account: Address,
    /// Sends with its key.
    chain: DynProvider,
    /// Which of them it is.
    index: usize,
    /// Sections that it has made.
    made: u8,
}

/// Accounts with enough coins on the market for their bonds.
async fn shams(market: &mut Fixture) -> Vec<Sham> {
    let mut shams = Vec::new();
    let mut deposits = Vec::new();
    for index in 0..SHAMS {
        let signer = PrivateKeySigner::random();
        let account = signer.address();
        let coins = U256::from(COIN_GRANT);
        let funded = market.chain.anvil_set_balance(account, coins).await;
        funded.unwrap();
        let chain = ProviderBuilder::new()
            .wallet(EthereumWallet::from(signer))
            .connect_http(market.testnet.rpc.parse().unwrap())
            .erased();
        let contract = Market::new(market.testnet.market, &chain);
        let deposit = contract.depositNative().value(coins / U256::from(2));
        deposits.push(deposit.send().await.unwrap());
        // Its coins are counted with everybody's.
        market
            .testnet
            .accounts
            .insert(format!("sham-{index}"), account);
        shams.push(Sham {
            account,
            chain,
            index,
            made: 0,
        });
    }
    for deposit in deposits {
        assert!(deposit.get_receipt().await.unwrap().status());
    }
    shams
}

impl Sham {
    /// Disputes a part of the provider's list and asserts anything, if it is its turn. The provider
    /// disputes the first part of that, so that these parts alone say which step decides: each sham leads
    /// to another one.
    async fn play(&mut self, table: &Table) {
        let mut games = table.games.values();
        let Some((key, game)) = games.find(|(key, _)| key.challenger == self.account) else {
            return;
        };
        let its_turn = game.winner().is_none() && game.sections_made() == 2 * self.made;
        if !its_turn || game.sections_left() == 0 {
            return;
        }
        self.made += 1;
        let digit = match game.sections_left() {
            3 => self.index % 8,
            1 => self.index / 8,
            _ => 0,
        };
        let part = game.list().part(digit as u8).unwrap();
        let anything = |at: u8| keccak256([self.account.as_slice(), &[self.made, at]].concat());
        let contract = Game::new(table.contract, &self.chain);
        let section = contract
            .section(
                key.clone(),
                Game::Part {
                    index: part.index,
                    level: game.sections_left(),
                    before: part.before,
                    end: part.end,
                    path: part.path,
                },
                std::array::from_fn(|at| anything(at as u8)),
            )
            .gas(SECTION_GAS);
        let _ = section.send().await.unwrap();
    }
}

/// All games, as the chain tells them.
struct Table {
    chain: DynProvider,
    contract: Address,
    /// The first block that was not looked at.
    next: u64,
    games: BTreeMap<B256, (GameKey, game::Game)>,
}

impl Table {
    async fn look(&mut self) {
        let head = self.chain.get_block_number().await.unwrap();
        let news = Filter::new()
            .address(self.contract)
            .from_block(self.next)
            .to_block(head);
        for log in self.chain.get_logs(&news).await.unwrap() {
            if let Ok(began) = Game::Challenged::decode_log_data(log.data()) {
                let challenge = Challenge {
                    initial: began.initial,
                    asserted: began.asserted,
                    halted: began.halted,
                    sections: began.sections,
                };
                let game = game::Game::begin(challenge).unwrap();
                self.games.insert(began.game, (began.key, game));
            } else if let Ok(made) = Game::Sectioned::decode_log_data(log.data()) {
                let (_, game) = self.games.get_mut(&made.game).unwrap();
                game.replay_section(made.part, &made.ends).unwrap();
            } else if let Ok(ended) = Game::Ended::decode_log_data(log.data()) {
                assert!(!ended.challengerWon, "a false challenge was won");
                let (_, game) = self.games.get_mut(&ended.game).unwrap();
                game.end(Party::Provider);
            }
        }
        self.next = head + 1;
    }
}
