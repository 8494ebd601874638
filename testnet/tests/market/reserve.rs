//! Reserved capacity through real nodes: sold and bought in a round that the gateway's node tends, drawn
//! on at no further price, and sold again by its holder.
//!
//! Phases of a round are long, and the chain's clock is set to the next one as soon as all of one is done,
//! so that nothing depends on how fast this machine is.

use std::path::PathBuf;
use std::process::{Command, Output};

use alloy::primitives::B256;
use alloy::providers::{Provider as _, ProviderBuilder};
use outcry_contracts::Auction;
use outcry_protocol::auction::Phase;
use outcry_sdk::api::{Amount, DealState, JobState};
use outcry_sdk::{AuctionRules, Chain, Draw, Round};
use outcry_testnet::deployment::{RESULT_BOND, Windows};
use outcry_testnet::network::{Plan, binary};
use serde_json::Value;

use crate::fixture::{self, Fixture, wait_until};

const WINDOWS: Windows = Windows {
    auction_phase_s: 60,
    ..fixture::WINDOWS
};
/// What a tUSD is in base units.
const UNIT: u128 = 1_000_000;
/// Seller, holder and the one who buys from the holder.
const SELLER: &str = "provider-0";
const HOLDER: &str = "buyer";
const SECOND: &str = "provider-1";

/// A network whose first provider holds a slot back, with an auction whose clock is in the test's hands.
struct Market {
    fixture: Fixture,
    rules: AuctionRules,
}

impl Market {
    async fn new() -> Self {
        let fixture = Fixture::start(|plan| Plan {
            providers: 2,
            slots: 2,
            reserved: 1,
            windows: WINDOWS,
            ..plan
        })
        .await;
        let rules = fixture.client.chain().auction().await.unwrap();
        Self { fixture, rules }
    }

    fn chain(&self) -> &Chain {
        self.fixture.client.chain()
    }

    /// Sets the chain's clock, which only goes forward.
    async fn go_to(&self, time: u64) {
        if self.chain().now().await.unwrap() >= time {
            return;
        }
        let chain = &self.fixture.chain;
        let set = chain.raw_request::<_, Value>("evm_setNextBlockTimestamp".into(), (time,));
        set.await.unwrap();
        let mined = chain.raw_request::<_, Value>("evm_mine".into(), ());
        mined.await.unwrap();
    }

    /// Runs `outcry` as somebody.
    async fn run(&self, who: &str, args: &[&str]) -> Output {
        let dir = &self.fixture.testnet.dir;
        let mut command = Command::new(binary("outcry").unwrap());
        command
            .args(["--yes", "--quiet", "--network"])
            .arg(self.fixture.testnet.network_toml())
            .arg("--home")
            .arg(dir.join("homes").join(who))
            .arg("--key-file")
            .arg(dir.join("keys").join(format!("{who}.key")))
            .args(args);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{who} {args:?}: {said}");
        output
    }

    /// The same; what it printed, as JSON.
    async fn outcry(&self, who: &str, args: &[&str]) -> Value {
        let args = [&["--output", "json"], args].concat();
        match &self.run(who, &args).await.stdout[..] {
            [] => Value::Null,
            stdout => serde_json::from_slice(stdout).unwrap(),
        }
    }

    async fn round(&self, number: u64) -> Round {
        self.chain().round(&self.rules, number).await.unwrap()
    }

    /// Free base units of an account in the auction.
    async fn free(&self, who: &str) -> u128 {
        let account = self.fixture.account(who);
        let free = self.chain().auction_balance(&self.rules, account).await;
        free.unwrap().to_u128().unwrap()
    }

    async fn units(&self, who: &str) -> u64 {
        let account = self.fixture.account(who);
        self.chain()
            .auction_holdings(&self.rules, 0, account)
            .await
            .unwrap()[0]
    }

    /// Commits to both orders and reveals them; afterwards it is the round's post phase.
    async fn trade(&self, round: u64, sale: (&str, &[&str]), bid: (&str, &[&str])) {
        let calendar = &self.rules.calendar;
        self.go_to(calendar.begin(round)).await;
        let sell = [&["reserve", "sell", "--pool", "0"][..], sale.1].concat();
        self.outcry(sale.0, &sell).await;
        let buy = [&["reserve", "bid", "--pool", "0"][..], bid.1].concat();
        self.outcry(bid.0, &buy).await;
        self.go_to(calendar.reveal_from(round)).await;
        for who in [sale.0, bid.0] {
            self.outcry(who, &["reserve", "reveal"]).await;
        }
        assert_eq!(self.round(round).await.orders.len(), 2);
        self.go_to(calendar.post_from(round)).await;
    }

    /// Waits until the gateway's node has posted how the round is cleared.
    async fn posted(&self, round: u64) -> Round {
        let tender = self.fixture.account("gateway");
        wait_until("a node posts the result", || async {
            let seen = self.round(round).await;
            let best = seen.best()?;
            (best.poster == tender).then_some(seen)
        })
        .await
    }

    /// Ends the round, and waits until every order of it is settled and its poster has the bond back.
    async fn settled(&self, round: u64) -> Round {
        self.go_to(self.rules.calendar.final_from(round)).await;
        wait_until("a node settles the round", || async {
            let seen = self.round(round).await;
            let is_over = seen.orders.iter().all(|order| order.is_settled)
                && seen.best().is_some_and(|best| best.is_collected);
            (seen.phase == Phase::Final && is_over).then_some(seen)
        })
        .await
    }

    /// One round in which the buyer gets two units of new capacity; its number, and the seller's order.
    async fn sold(&self) -> (u64, u16) {
        let round = 1;
        let sale = (SELLER, &["--new", "--ask", "1", "--lots", "3"][..]);
        let bid = (HOLDER, &["--limit", "3", "--lots", "2"][..]);
        self.trade(round, sale, bid).await;
        self.posted(round).await;
        let seen = self.settled(round).await;
        assert_eq!(self.units(HOLDER).await, 2);
        (round, self.order_of(&seen, SELLER))
    }

    fn order_of(&self, round: &Round, who: &str) -> u16 {
        let account = self.fixture.account(who);
        let orders = &mut round.orders.iter();
        orders.position(|one| one.order.account == account).unwrap() as u16
    }

    /// Binds a unit and draws a job on it; the job and the draw.
    async fn draw(&self, (round, order): (u64, u16), args: &[&str]) -> (B256, B256) {
        let (round, order) = (round.to_string(), order.to_string());
        let sold = [round.as_str(), &order, "--pool", "0"];
        let bind = [&["reserve", "bind"][..], &sold].concat();
        self.outcry(HOLDER, &bind).await;
        let program = program("ends.wasm");
        let limits = ["--limit-cycles", "100000000", "--memory", "64"];
        let draw = ["reserve", "draw"];
        let job = [
            &[program.to_str().unwrap(), "--queue-timeout", "10", "--"][..],
            args,
        ]
        .concat();
        let drew = self
            .outcry(HOLDER, &[&draw[..], &sold, &limits, &job].concat())
            .await;
        let hash = |name: &str| drew[name].as_str().unwrap().parse().unwrap();
        (hash("id"), hash("draw"))
    }

    async fn drawn(&self, draw: B256) -> Draw {
        self.chain().draw(&self.rules, draw).await.unwrap()
    }
}

fn program(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("programs")
        .join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn reserved_capacity_is_bought_drawn_on_at_no_price_paid_by_interval_and_sold_again() {
    let market = Market::new().await;
    let sold = market.sold().await;
    let price = market.round(sold.0).await.best().unwrap().outcome.prices[0];
    assert_eq!(u128::from(price), UNIT, "one unit is left over");

    let provider = market.fixture.account(SELLER);
    let before = market.fixture.balance(provider).await;
    let (job, draw) = market.draw(sold, &["print", "reserved"]).await;
    let view = market
        .fixture
        .wait_for_job(job, "the drawn job is claimed", |job| {
            job.deals.iter().any(|deal| deal.claim.is_some())
        })
        .await;
    assert_eq!(view.deals[0].terms.provider, provider);
    // It is run again here before it is accepted.
    let got = market.run(HOLDER, &["get", &job.to_string()]).await;
    assert_eq!(String::from_utf8_lossy(&got.stdout).trim(), "reserved");
    wait_until("the provider's node shows its claim", || async {
        market.drawn(draw).await.is_over.then_some(())
    })
    .await;
    let answered = market.drawn(draw).await;
    assert_eq!(answered.answered, 1);
    let view = market
        .fixture
        .wait_for_job(job, "the drawn job settles", |job| {
            job.state == JobState::Settled && job.deals[0].state == DealState::Settled
        })
        .await;
    assert_eq!(view.deals[0].paid, Amount::ZERO);
    assert_eq!(market.fixture.balance(provider).await, before);

    // After an interval its part of the price is paid out.
    let earned = market.free(SELLER).await;
    let calendar = market.rules.calendar;
    let now = calendar
        .round_at(market.chain().now().await.unwrap())
        .unwrap();
    market.go_to(calendar.begin(now + 1)).await;
    wait_until("a node pays the interval", || async {
        (market.free(SELLER).await > earned).then_some(())
    })
    .await;

    // The unit that is not bound goes on to somebody else.
    let next = now + 2;
    let sale = (HOLDER, &["--ask", "1"][..]);
    market
        .trade(next, sale, (SECOND, &["--limit", "2"][..]))
        .await;
    market.posted(next).await;
    market.settled(next).await;
    assert_eq!(market.units(HOLDER).await, 0);
    assert_eq!(market.units(SECOND).await, 1);
    market.fixture.check_conservation().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_result_is_disproved_for_half_of_the_bond_by_a_node_that_was_killed_meanwhile() {
    let mut market = Market::new().await;
    let round = 1;
    let sale = (SELLER, &["--new", "--ask", "1", "--lots", "3"][..]);
    let bid = (HOLDER, &["--limit", "3", "--lots", "2"][..]);
    market.trade(round, sale, bid).await;
    let seen = market.posted(round).await;
    let before = market.free("gateway").await;
    let spent_before = market.free(SECOND).await;

    market.fixture.testnet.kill("gateway").unwrap();
    // It claims more welfare than there is.
    let mut lie = seen.best().unwrap().outcome.clone();
    lie.groups[0].welfare += 1;
    let liar = market
        .fixture
        .client_of(market.fixture.testnet.signer(SECOND).unwrap());
    let token = liar.network().tokens[0].clone();
    let bond = Amount::from(RESULT_BOND);
    let steps = liar
        .chain()
        .plan_auction_deposit(&market.rules, &token, bond);
    for step in steps.await.unwrap() {
        liar.chain().execute(&step).await.unwrap();
    }
    let wallet =
        alloy::network::EthereumWallet::from(market.fixture.testnet.signer(SECOND).unwrap());
    let provider = ProviderBuilder::new()
        .wallet(wallet)
        .connect_http(market.fixture.testnet.rpc.parse().unwrap());
    let auction = Auction::new(market.rules.address, provider);
    let groups = lie.groups.into_iter().map(Into::into).collect();
    let orders_hash = auction.roundOf(round).call().await.unwrap().ordersHash;
    let posted = auction
        .post(round, orders_hash, lie.prices, groups)
        .send()
        .await
        .unwrap();
    assert!(posted.get_receipt().await.unwrap().status());
    market.fixture.testnet.restart("gateway").unwrap();

    wait_until("a node disproves it", || async {
        (market.free("gateway").await == before + RESULT_BOND / 2).then_some(())
    })
    .await;
    assert_eq!(market.free(SECOND).await, spent_before, "the bond is gone");
    let seen = market.settled(round).await;
    assert_eq!(
        seen.best().unwrap().poster,
        market.fixture.account("gateway")
    );
    assert_eq!(market.units(HOLDER).await, 2);
    let record = auction.roundOf(round).call().await.unwrap();
    assert_eq!(record.results, 2, "the lie, and one true result");
    market.fixture.check_conservation().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_does_not_serve_a_draw_pays_twice_the_units_remaining_price() {
    let market = Market::new().await;
    let sold = market.sold().await;
    market.fixture.testnet.kill(SELLER).unwrap();
    let (_, draw) = market.draw(sold, &["exit", "0"]).await;
    let open = market.drawn(draw).await;
    assert!(!open.is_over);
    let before = market.free(HOLDER).await;
    let deposit = deposit_of(&market, sold).await;
    market.go_to(open.deadline + 1).await;
    let draw_id = draw.to_string();
    market
        .outcry(HOLDER, &["reserve", "drawn", &draw_id, "--end"])
        .await;
    let value = open.value.to_u128().unwrap();
    assert!(value > 0);
    assert!(market.drawn(draw).await.is_over);
    let (fee, returned) = (value * 50 / 10_000, 2 * value);
    assert_eq!(market.free(HOLDER).await, before + returned + fee);
    let paid = deposit - deposit_of(&market, sold).await;
    // The rest was not earned yet, and pays the fee as if it had been.
    let fee_of_rest = value * u128::from(market.rules.parameters.feeBps) / 10_000;
    assert_eq!(paid, value + fee_of_rest);
}

/// What is left of the deposit of an order.
async fn deposit_of(market: &Market, (round, order): (u64, u16)) -> u128 {
    market.round(round).await.orders[usize::from(order)].deposit
}
