//! Two rounds of the auction on a chain of its own, as the protocol computes them: what the rules clear the
//! contract takes, what the rules find false it disproves, what they say is paid is paid.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chain;

use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::providers::ext::AnvilApi;
use alloy::providers::{DynProvider, Provider};
use chain::{Chain, FUNDS, KEYS, latest, mined, parameters};
use outcry_clearing::Alone;
use outcry_contracts::{Auction, AuctionParameters, TestToken, deploy, refusal};
use outcry_protocol::auction::calendar::Calendar;
use outcry_protocol::auction::settle::{self, Stream};
use outcry_protocol::auction::verify::{Fault, Wrong, disproof};
use outcry_protocol::auction::{
    Alternative, AuctionOrder, Backing, Entry, Outcome, Phase, Pool, clear, order, verify,
};
use outcry_protocol::money::BURN;

type Contract = Auction::AuctionInstance<DynProvider>;

const BOND: u64 = 1_001;

struct Market {
    chain: Chain,
    /// The contract as each account calls it.
    accounts: Vec<(Address, Contract)>,
    provider: DynProvider,
    calendar: Calendar,
    pools: Vec<Pool>,
    deposit_min: u128,
    fee_bps: u16,
}

impl Market {
    async fn new() -> Self {
        let chain = Chain::start();
        let mut at = None;
        let mut accounts = Vec::new();
        for key in KEYS {
            let (signer, provider) = chain.account(key);
            if at.is_none() {
                let mut parameters = parameters(signer.address());
                let start = latest(&provider).await;
                parameters.auction = Some(AuctionParameters {
                    intervals: 3,
                    result_bond: BOND.into(),
                    ..chain::auction(start)
                });
                at = Some(deploy(provider.clone(), &parameters).await.unwrap());
            }
            let at = at.as_ref().unwrap();
            let auction = at.auction.unwrap();
            let token = TestToken::new(at.test_token.unwrap(), provider.clone());
            let funds = U256::from(FUNDS);
            mined(token.mint(signer.address(), funds).send().await.unwrap()).await;
            mined(token.approve(auction, funds).send().await.unwrap()).await;
            let contract = Auction::new(auction, provider.erased());
            mined(contract.deposit(funds).send().await.unwrap()).await;
            accounts.push((signer.address(), contract));
        }
        let contract = &accounts[0].1;
        let parameters = contract.parameters().call().await.unwrap();
        let read = contract.pools().call().await.unwrap();
        let pools: Vec<Pool> = read.into_iter().map(Into::into).collect();
        assert_eq!(pools, chain::auction(0).pools);
        Self {
            chain,
            provider: contract.provider().clone(),
            calendar: Calendar::of(&parameters.clone().into()).unwrap(),
            pools,
            deposit_min: parameters.depositMin,
            fee_bps: parameters.feeBps,
            accounts,
        }
    }

    fn address(&self, account: usize) -> Address {
        self.accounts[account].0
    }

    fn order(
        &self,
        account: usize,
        backing: Backing,
        lots: u32,
        alternatives: &[(i64, &[(u16, i32)])],
    ) -> (usize, AuctionOrder) {
        let alternatives = alternatives.iter().map(|(limit, entries)| Alternative {
            limit: *limit,
            entries: entries
                .iter()
                .map(|&(pool, quantity)| Entry { pool, quantity })
                .collect(),
        });
        let order = AuctionOrder {
            account: self.address(account),
            backing,
            lots,
            alternatives: alternatives.collect(),
            salt: keccak256([account as u8, lots as u8]),
        };
        (account, order)
    }

    /// The next block has this time or a later one.
    async fn go_to(&self, time: u64) {
        if latest(&self.provider).await < time {
            self.provider
                .anvil_set_next_block_timestamp(time)
                .await
                .unwrap();
        }
        self.provider.anvil_mine(Some(1), None).await.unwrap();
    }

    /// Commits to orders and reveals them.
    async fn sealed(&self, round: u64, orders: &[(usize, AuctionOrder)]) -> Revealed {
        let any = &self.accounts[0].1;
        self.go_to(self.calendar.begin(round)).await;
        for (account, order) in orders {
            let contract = &self.accounts[*account].1;
            let deposit = order::deposit(order, &self.pools, self.deposit_min);
            let asked = any.depositFor(order.clone().into()).call().await.unwrap();
            assert_eq!(asked, deposit);
            let commitment = order::commitment(round, order);
            let call = contract.commit(round, commitment, deposit.to::<u128>());
            mined(call.send().await.unwrap()).await;
        }
        self.go_to(self.calendar.reveal_from(round)).await;
        let mut revealed = Revealed {
            round,
            orders: Vec::new(),
            leaves: Vec::new(),
        };
        for (_, order) in orders {
            let call = any.reveal(round, order.clone().into());
            let receipt = mined(call.send().await.unwrap()).await;
            let event = receipt.decoded_log::<Auction::Revealed>().unwrap();
            let index = revealed.orders.len() as u16;
            assert_eq!(event.index, index);
            assert_eq!(event.leaf, order::leaf(round, index, order));
            assert_eq!(AuctionOrder::from(event.order.clone()), *order);
            revealed.orders.push(order.clone());
            revealed.leaves.push(event.leaf);
        }
        let record = any.roundOf(round).call().await.unwrap();
        assert_eq!(
            record.ordersHash,
            order::orders_hash(revealed.leaves.clone())
        );
        self.go_to(self.calendar.post_from(round)).await;
        revealed
    }

    async fn post(&self, account: usize, revealed: &Revealed, result: &Outcome) -> u32 {
        let contract = &self.accounts[account].1;
        let groups = result.groups.iter().cloned().map(Into::into).collect();
        let orders = order::orders_hash(revealed.leaves.clone());
        let call = contract.post(revealed.round, orders, result.prices.clone(), groups);
        let receipt = mined(call.send().await.unwrap()).await;
        let id = receipt.decoded_log::<Auction::Posted>().unwrap().result;
        let record = contract.resultOf(revealed.round, id).call().await.unwrap();
        assert_eq!(record.root, result.root());
        assert_eq!(record.pricesHash, result.prices_hash());
        assert_eq!(record.fillsHash, result.fills_hash());
        assert_eq!(record.welfare, result.welfare());
        assert_eq!(record.volume, result.volume());
        id
    }

    /// Sends the disproof of a group; the name of the refusal if there is one.
    async fn disprove(
        &self,
        account: usize,
        revealed: &Revealed,
        id: u32,
        result: &Outcome,
        group: u16,
    ) -> Result<(), String> {
        let shown = disproof(result, revealed.orders.len(), group).unwrap();
        let orders = shown.orders.iter();
        let call = self.accounts[account].1.disprove(
            revealed.round,
            id,
            result.prices.clone(),
            shown.before.into_iter().map(Into::into).collect(),
            shown.group.into(),
            orders
                .map(|&index| revealed.orders[usize::from(index)].clone().into())
                .collect(),
        );
        if let Err(error) = call.call().await {
            let data = error.as_revert_data().unwrap();
            return Err(refusal::name_of_revert(&data).unwrap().to_owned());
        }
        mined(call.send().await.unwrap()).await;
        Ok(())
    }

    /// Settles or releases every order; what each of them pays.
    async fn settle(&self, revealed: &Revealed, result: &Outcome) -> Vec<i128> {
        self.go_to(self.calendar.final_from(revealed.round)).await;
        let any = &self.accounts[0].1;
        let mut payments = Vec::new();
        for (index, order) in (0..).zip(&revealed.orders) {
            let fills = result.fills_of(index);
            let place: Vec<Auction::GroupProof> = result
                .prove_place(index)
                .into_iter()
                .map(Into::into)
                .collect();
            let payment = settle::payment(order, fills, &result.prices);
            payments.push(payment);
            if fills.is_empty() {
                let call = any.release(revealed.round, index, order.clone().into(), place);
                mined(call.send().await.unwrap()).await;
                continue;
            }
            let call = any.settle(
                revealed.round,
                index,
                order.clone().into(),
                result.prices.clone(),
                place[0].clone(),
            );
            let receipt = mined(call.send().await.unwrap()).await;
            let settled = receipt.decoded_log::<Auction::Settled>().unwrap();
            assert_eq!(i128::try_from(settled.paid).unwrap(), payment);
        }
        payments
    }

    /// Pays out a stream as the rules say; the stream after it.
    async fn earn(&self, round: u64, index: u16, stream: Stream) -> Stream {
        let any = &self.accounts[0].1;
        let receipt = mined(any.earn(round, index).send().await.unwrap()).await;
        let now = latest(&self.provider).await;
        let (payout, after) = stream.earn(self.calendar.round_at(now).unwrap(), self.fee_bps);
        let earned = receipt.decoded_log::<Auction::Earned>().unwrap();
        assert_eq!(earned.amount, payout.amount + payout.fee);
        assert_eq!(earned.fee, payout.fee);
        let record = any.streamOf(round, index).call().await.unwrap();
        assert_eq!((record.paid, record.left), (after.paid, after.left));
        after
    }

    async fn balance(&self, account: Address) -> u64 {
        let balance = self.accounts[0].1.balanceOf(account).call().await.unwrap();
        balance.to::<u64>()
    }

    async fn held(&self, season: u64, pool: u16, account: usize) -> u64 {
        let any = &self.accounts[0].1;
        let held = any.holdingOf(season, pool, self.address(account));
        held.call().await.unwrap()
    }
}

/// The orders of a round with the leaves that the contract gave them.
struct Revealed {
    round: u64,
    orders: Vec<AuctionOrder>,
    leaves: Vec<B256>,
}

impl Revealed {
    fn cleared(&self) -> Outcome {
        let pools = chain::auction(0).pools.len();
        clear(&self.orders, pools, &Alone).unwrap().outcome
    }
}

#[tokio::test]
async fn two_rounds_are_cleared_disputed_and_settled_to_the_unit() {
    let market = Market::new().await;
    let [buyer, provider, poster, watcher] = [0, 1, 2, 3];
    let phase = market.accounts[0].1.phaseOf(0).call().await.unwrap();
    assert_eq!(phase, Phase::Commit as u8);

    // Round 0: a curve, buyers of more than one group's fills, one who gets nothing.
    let mut orders = vec![
        market.order(provider, Backing::Curve, 600, &[(-100, &[(0, -1)])]),
        market.order(provider, Backing::Capacity, 3, &[(-900, &[(1, -4)])]),
        market.order(buyer, Backing::Holdings, 5, &[(20, &[(0, 1)])]),
    ];
    for i in 0..18_u32 {
        let limit = 130 + 10 * i64::from(i);
        let xor: &[(i64, &[(u16, i32)])] = &[(limit, &[(0, 1)]), (3 * limit, &[(0, 1), (1, 1)])];
        orders.push(market.order(
            [buyer, watcher][i as usize % 2],
            Backing::Holdings,
            10 + i,
            xor,
        ));
    }
    let revealed = market.sealed(0, &orders).await;
    let result = revealed.cleared();
    assert_eq!(verify(&revealed.orders, 2, &result), Ok(()));
    assert!(
        result.groups.len() > 1,
        "a dispute has a group before another"
    );

    // A result that claims too much falls to the group that the rules name, and to no other.
    let mut inflated = result.clone();
    inflated.groups.last_mut().unwrap().welfare += 1;
    let last = inflated.groups.len() as u16 - 1;
    let fault = Fault::Group {
        group: last,
        wrong: Wrong::Sums,
    };
    assert_eq!(verify(&revealed.orders, 2, &inflated), Err(fault));
    let id = market.post(poster, &revealed, &inflated).await;
    let refused = market.disprove(watcher, &revealed, id, &inflated, 0).await;
    assert_eq!(refused, Err("ResultHolds".to_owned()));
    let before = market.balance(market.address(watcher)).await;
    market
        .disprove(watcher, &revealed, id, &inflated, last)
        .await
        .unwrap();
    let reward = market.balance(market.address(watcher)).await - before;
    assert_eq!(reward, BOND / 2);
    assert_eq!(market.balance(BURN).await, BOND - BOND / 2);

    // The true result can't be disproved by any group.
    let id = market.post(poster, &revealed, &result).await;
    for group in 0..=last {
        let refused = market
            .disprove(watcher, &revealed, id, &result, group)
            .await;
        assert_eq!(refused, Err("ResultHolds".to_owned()));
    }

    let payments = market.settle(&revealed, &result).await;
    assert_eq!(payments.iter().sum::<i128>(), 0);
    assert_eq!(payments[2], 0);
    let term = market.calendar.term(0);
    assert_eq!((term.season, term.from, term.intervals), (0, 1, 2));
    let bought: i64 = (0..)
        .zip(&revealed.orders)
        .filter(|(_, order)| order.account == market.address(buyer))
        .flat_map(|(index, order)| settle::traded(order, result.fills_of(index)))
        .filter(|(pool, _)| *pool == 0)
        .map(|(_, units)| units)
        .sum();
    assert_eq!(market.held(0, 0, buyer).await, bought.unsigned_abs());

    // Round 1: the buyer trades a unit of pool 0 that it holds for one of pool 1.
    let orders = [
        market.order(buyer, Backing::Holdings, 2, &[(30, &[(0, -1), (1, 1)])]),
        market.order(watcher, Backing::Holdings, 2, &[(200, &[(0, 1)])]),
        market.order(provider, Backing::Curve, 2, &[(-100, &[(1, -1)])]),
    ];
    let revealed1 = market.sealed(1, &orders).await;
    let result1 = revealed1.cleared();
    let traded = settle::traded(&revealed1.orders[0], result1.fills_of(0));
    assert_eq!(traded.collect::<Vec<_>>(), [(0, -2), (1, 2)]);
    let id1 = market.post(provider, &revealed1, &result1).await;
    let payments1 = market.settle(&revealed1, &result1).await;
    assert_eq!(payments1.iter().sum::<i128>(), 0);
    assert_eq!(market.held(0, 0, buyer).await, bought.unsigned_abs() - 2);

    // Interval 1 is over: the curve has earned half of what it is paid.
    let stream = |payment: i128, term| Stream {
        term,
        paid: 0,
        left: (-payment).unsigned_abs(),
    };
    let curve = market.earn(0, 0, stream(payments[0], term)).await;
    assert_eq!(curve.paid, 1);

    // The season is over: everything is paid out, every deposit and bond is back.
    market.go_to(market.calendar.season_end(0)).await;
    let any = &market.accounts[0].1;
    market.earn(0, 0, curve).await;
    if payments[1] != 0 {
        market.earn(0, 1, stream(payments[1], term)).await;
        mined(any.reclaim(0, 1).send().await.unwrap()).await;
    }
    for (index, payment) in (0..).zip(&payments1) {
        if *payment < 0 {
            market
                .earn(1, index, stream(*payment, market.calendar.term(1)))
                .await;
        }
    }
    mined(any.reclaim(0, 0).send().await.unwrap()).await;
    mined(any.reclaim(1, 2).send().await.unwrap()).await;
    mined(any.collect(0, id).send().await.unwrap()).await;
    mined(any.collect(1, id1).send().await.unwrap()).await;
    let mut sum = market.balance(BURN).await;
    for (account, _) in &market.accounts {
        sum += market.balance(*account).await;
    }
    assert_eq!(U256::from(sum), any.totalHeld().call().await.unwrap());
    assert_eq!(sum, KEYS.len() as u64 * FUNDS);
    drop(market.chain);
}
