//! A round of the auction on a development chain, through the client alone: orders are sealed, kept,
//! revealed; a false result is posted and disproved by who tends the round; everything is settled.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../contracts/bindings/tests/chain/mod.rs"]
mod development;

use alloy::primitives::U256;
use alloy::providers::{DynProvider, Provider};
use alloy::signers::local::PrivateKeySigner;
use development::{KEYS, latest, mined, parameters};
use outcry_contracts::{Auction, AuctionParameters, TestToken, deploy};
use outcry_protocol::auction::{Alternative, AuctionOrder, Backing, Entry, Phase};
use outcry_protocol::money::BURN;
use outcry_sdk::api::{Amount, TokenInfo};
use outcry_sdk::{AuctionRules, Chain, Network, SealedOrder, SealedOrders};

const CHAIN_ID: u64 = 31_337;
/// Base units that each account moves into the auction.
const FUNDS: u64 = development::FUNDS / 2;
const BOND: u64 = 1_000_001;

struct Account {
    chain: Chain,
    signer: PrivateKeySigner,
    provider: DynProvider,
    sealed: SealedOrders,
}

struct Market {
    accounts: Vec<Account>,
    rules: AuctionRules,
    token: TokenInfo,
    _folder: tempfile::TempDir,
    development: development::Chain,
}

impl Market {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let development = development::Chain::start();
        let (first, deployer) = development.account(KEYS[0]);
        let mut wanted = parameters(first.address());
        wanted.auction = Some(AuctionParameters {
            result_bond: BOND.into(),
            ..development::auction(latest(&deployer).await)
        });
        let deployed = deploy(deployer, &wanted).await.unwrap();
        let token = TokenInfo {
            symbol: "TUSD".into(),
            address: deployed.test_token.unwrap(),
            decimals: 6,
        };
        let network = Network {
            chain_id: CHAIN_ID,
            rpc: development.url().to_owned(),
            api: "http://127.0.0.1:1".into(),
            market: deployed.market,
            stake: deployed.stake,
            token: deployed.token,
            auction: deployed.auction,
            shards: Default::default(),
            bootstrap: vec![],
            key_file: None,
            python: None,
            tokens: vec![token.clone()],
        };
        let mut accounts = Vec::new();
        for (place, key) in KEYS[..3].iter().enumerate() {
            let (signer, provider) = development.account(key);
            let minted = TestToken::new(token.address, provider.clone());
            let call = minted.mint(signer.address(), U256::from(2 * FUNDS));
            mined(call.send().await.unwrap()).await;
            let chain = Chain::new(&network, Some(signer.clone())).unwrap();
            let rules = chain.auction().await.unwrap();
            let steps = chain.plan_auction_deposit(&rules, &token, Amount::from(FUNDS));
            for step in steps.await.unwrap() {
                chain.execute(&step).await.unwrap();
            }
            accounts.push(Account {
                chain,
                signer,
                provider: provider.erased(),
                sealed: SealedOrders::open(folder.path().join(place.to_string())),
            });
        }
        Self {
            rules: accounts[0].chain.auction().await.unwrap(),
            accounts,
            token,
            _folder: folder,
            development,
        }
    }

    /// Mines a block with this time.
    async fn go_to(&self, time: u64) {
        let _: serde_json::Value = self.accounts[0]
            .provider
            .raw_request("evm_setNextBlockTimestamp".into(), (time,))
            .await
            .unwrap();
        let _: serde_json::Value = self.accounts[0]
            .provider
            .raw_request("evm_mine".into(), ())
            .await
            .unwrap();
    }

    fn order(&self, account: usize, backing: Backing, lots: u32, limit: i64) -> AuctionOrder {
        AuctionOrder {
            account: self.accounts[account].signer.address(),
            backing,
            lots,
            alternatives: vec![Alternative {
                limit,
                entries: vec![Entry {
                    pool: 0,
                    quantity: if limit < 0 { -1 } else { 1 },
                }],
            }],
            salt: Default::default(),
        }
    }

    /// Does what the account can do for a round; what it did.
    async fn tend(&self, account: usize, round: u64) -> Vec<String> {
        let chain = &self.accounts[account].chain;
        let seen = chain.round(&self.rules, round).await.unwrap();
        let mut done = Vec::new();
        let steps = chain.plan_tending(&self.rules, &self.token, &seen);
        for step in steps.await.unwrap() {
            chain.execute(&step).await.unwrap();
            done.push(step.what);
        }
        done
    }

    async fn free(&self, account: usize) -> u64 {
        let Account { chain, signer, .. } = &self.accounts[account];
        let free = chain.auction_balance(&self.rules, signer.address()).await;
        free.unwrap().to_u128().unwrap() as u64
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_through_the_client_ends_with_units_held_and_every_base_unit_accounted_for() {
    let market = Market::new().await;
    let calendar = market.rules.calendar;
    let [buyer, provider, keeper] = [0, 1, 2];
    let now = market.accounts[0].chain.now().await.unwrap();
    let round = calendar.round_at(now).unwrap() + 1;
    market.go_to(calendar.begin(round)).await;

    // Orders are on disk before the chain has their hashes.
    let orders = [
        market.order(buyer, Backing::Holdings, 4, 3_000_000),
        market.order(provider, Backing::Curve, 8, -1_000_000),
        market.order(keeper, Backing::Holdings, 1, 500_000),
    ];
    for (account, order) in market.accounts.iter().zip(orders) {
        let sealed = SealedOrder::new(CHAIN_ID, market.rules.address, round, order);
        account.sealed.keep(&sealed).unwrap();
        let step = account
            .chain
            .plan_commit(&market.rules, round, &sealed.order)
            .unwrap();
        account.chain.execute(&step).await.unwrap();
    }
    market.go_to(calendar.reveal_from(round)).await;
    for account in &market.accounts {
        for sealed in account.sealed.all().unwrap().0 {
            let owner = sealed.order.account;
            let committed =
                account
                    .chain
                    .committed(&market.rules, round, owner, sealed.commitment());
            assert_ne!(committed.await.unwrap(), 0);
            let step = account
                .chain
                .plan_reveal(&market.rules, round, &sealed.order);
            account.chain.execute(&step).await.unwrap();
        }
    }

    // The keeper's result stands, until somebody posts a false one of more welfare above it.
    market.go_to(calendar.post_from(round)).await;
    let chain = &market.accounts[keeper].chain;
    let withdrawn = market.free(keeper).await;
    let amount = Amount::from(u128::from(withdrawn));
    let step = chain.plan_auction_withdrawal(&market.rules, &market.token, amount);
    chain.execute(&step).await.unwrap();
    let [approved, deposited, posted] = &market.tend(keeper, round).await[..] else {
        panic!("the bond comes out of the wallet");
    };
    assert!(approved.starts_with("let the auction take"), "{approved}");
    assert!(deposited.starts_with("deposit"), "{deposited}");
    assert_eq!(*posted, format!("post the result of round {round}"));
    assert!(market.tend(provider, round).await.is_empty());
    let seen = chain.round(&market.rules, round).await.unwrap();
    let mut inflated = seen.best().unwrap().outcome.clone();
    inflated.groups[0].welfare += 1;
    let groups = inflated.groups.into_iter().map(Into::into).collect();
    // A provider of its own, which asks for the account's nonce.
    let (_, liar) = market.development.account(KEYS[buyer]);
    let liar = Auction::new(market.rules.address, liar);
    let orders = liar.roundOf(round).call().await.unwrap().ordersHash;
    let lie = liar.post(round, orders, inflated.prices, groups);
    mined(lie.send().await.unwrap()).await;
    let before = market.free(provider).await;
    let done = market.tend(provider, round).await;
    assert_eq!(
        done,
        [format!(
            "disprove result 2 of round {round}: the sums do not add up"
        )]
    );
    assert_eq!(market.free(provider).await - before, BOND / 2);
    let seen = chain.round(&market.rules, round).await.unwrap();
    assert_eq!(seen.best().unwrap().id, 1);

    // Settled by anybody: four units each at least at what the fourth of eight asks for.
    market.go_to(calendar.final_from(round)).await;
    let done = market.tend(keeper, round).await;
    assert_eq!(done.len(), 2, "three orders at once, and a bond: {done:?}");
    let seen = chain.round(&market.rules, round).await.unwrap();
    assert_eq!(seen.phase, Phase::Final);
    assert!(seen.orders.iter().all(|order| order.is_settled));
    let price = seen.best().unwrap().outcome.prices[0];
    assert!((1_100_000..=3_000_000).contains(&price), "{price}");
    let term = calendar.term(round);
    let owner = market.accounts[buyer].signer.address();
    let held = chain.auction_holdings(&market.rules, term.season, owner);
    assert_eq!(held.await.unwrap(), [4, 0]);

    // After the season the provider has earned what the buyer paid, less the fee.
    market.go_to(calendar.season_end(term.season)).await;
    let [step] = &chain.plan_payouts(&market.rules, &seen).await.unwrap()[..] else {
        panic!("who posted the result has half of the fee");
    };
    chain.execute(step).await.unwrap();
    let left = chain.plan_payouts(&market.rules, &seen).await.unwrap();
    assert!(left.is_empty());
    let selling = &market.accounts[provider].chain;
    let left = selling.plan_payouts(&market.rules, &seen).await.unwrap();
    let [reclaim] = &left[..] else {
        panic!("the deposit of who sold: {left:?}");
    };
    selling.execute(reclaim).await.unwrap();
    let any = Auction::new(market.rules.address, &market.accounts[0].provider);
    let mut sum = any.balanceOf(BURN).call().await.unwrap();
    for account in 0..market.accounts.len() {
        sum += U256::from(market.free(account).await);
    }
    assert_eq!(sum, any.totalHeld().call().await.unwrap());
    let deposited = market.accounts.len() as u64 * FUNDS + BOND - withdrawn;
    assert_eq!(sum, U256::from(deposited));
}
