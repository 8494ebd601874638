//! The fifth scene: a provider that lies is challenged and loses.

use std::time::{Duration, Instant};

use alloy::primitives::{Address, U256};
use alloy::providers::{DynProvider, Provider as _, ProviderBuilder};
use anyhow::{Context as _, bail, ensure};
use outcry_contracts::Market;
use outcry_sdk::Node;
use outcry_sdk::api::{DealState, Dispute, GameState, Job};
use serde_json::Value;

use super::{Demo, program, token_info};
use crate::cheat::{Cheat, Kind};
use crate::conservation::BURN;
use crate::summary::{DisputeSummary, Instruction, MoveSummary};

/// Asks the least of the three, so that the job is its own.
const LIAR: &str = "provider-0";
const CHEAT: Cheat = Cheat {
    kind: Kind::WrongOutput,
    seed: 1,
};
/// CPython starts up and counts in 0.4 * 10^9 cycles. A game about it has ten sections, so that the
/// challenger makes the last move.
const CYCLES_MAX: &str = "1000000000";
/// From the claim to the payouts.
const PATIENCE: Duration = Duration::from_secs(120);

impl Demo {
    /// Lets the cheapest provider lie about a job on CPython.
    pub(super) async fn dispute(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        let token = self.testnet.payment_token;
        let chain = ProviderBuilder::new()
            .connect_http(self.testnet.rpc.parse()?)
            .erased();
        self.testnet.kill(LIAR)?;
        self.testnet.corrupt(LIAR, CHEAT)?;
        self.testnet.wait_until_serving(LIAR).await?;
        self.say(&format!("{LIAR} claims false outputs from here on"));
        let market = Market::new(self.testnet.market, &chain);
        let verifier = self.testnet.accounts["verifier-0"];
        let burned = self.balance(&chain, BURN, token).await?;
        let coins = self.balance(&chain, verifier, Address::ZERO).await?;

        let script = program("count.py");
        let input = program("logs");
        let out = self.dir.join("dispute");
        let said = self
            .spawn_with(
                super::os![
                    "run",
                    script,
                    "--input",
                    input,
                    "--out",
                    out,
                    "--limit-cycles",
                    CYCLES_MAX,
                ],
                "dispute",
            )?
            .wait()?;
        ensure!(
            said.status.code() == Some(1),
            "`outcry run` ended with {} although the result is false",
            said.status
        );
        let job = self.newest_job().await?;
        ensure!(
            self.name_of(&job, 0) == LIAR,
            "the liar did not get the job"
        );
        // Or its tasks would be matched again.
        let id = job.id.to_string();
        let said = self.outcry("dispute", super::os!["cancel", id, "--yes"])?;
        ensure!(
            said.status.success(),
            "`outcry cancel` ended with {}",
            said.status
        );

        let game = self.follow_game(&job).await?;
        let instruction = self.parting(&game)?;
        let job = self.node.job(job.id).await?;
        let burned = self.balance(&chain, BURN, token).await? - burned;
        let coins = self.balance(&chain, verifier, Address::ZERO).await? - coins;
        let floor = U256::from(market.parameters().call().await?.collateralFloor);
        ensure!(
            coins == floor / U256::from(2),
            "the challenger has {coins} wei more, half of the floor of {floor} is its own"
        );
        let summary = self.check(&job, &game, burned, coins, instruction)?;
        self.record("dispute", &job, started).await?;
        for line in summary.outcome(&token_info(&self.testnet)) {
            self.say(&line);
        }
        self.dispute = Some(summary);
        Ok(())
    }

    async fn balance(
        &self,
        chain: &DynProvider,
        account: Address,
        token: Address,
    ) -> anyhow::Result<U256> {
        let market = Market::new(self.testnet.market, chain);
        Ok(market.balanceOf(account, token).call().await?)
    }

    /// Tells the moves of the game about a job as they are made, until it is paid out.
    async fn follow_game(&self, job: &Job) -> anyhow::Result<Dispute> {
        let deal = job.deals.first().context("the job has no deal")?.deal_id;
        let verifier = Node::new(self.testnet.api("verifier-0")?)?;
        let deadline = Instant::now() + PATIENCE;
        let mut told = 0;
        loop {
            let games = verifier.disputes().await?;
            if let Some(game) = games.into_iter().find(|game| game.deal_id == deal) {
                let game = verifier.dispute(game.id).await?;
                let moves = MoveSummary::of(&game);
                for made in moves.iter().skip(told) {
                    self.say(&format!("   {}: {}", made.by.name(), made.what));
                }
                told = moves.len();
                if game.payout.is_some() {
                    return Ok(game);
                }
            }
            if Instant::now() >= deadline {
                bail!(
                    "no game about the false claim ended within {} s",
                    PATIENCE.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Where the parties parted, as the command line tells it to anybody.
    fn parting(&self, game: &Dispute) -> anyhow::Result<Instruction> {
        let id = game.id.to_string();
        let said = self.outcry("dispute", super::os!["dispute", "show", id, "--steps"])?;
        ensure!(
            said.status.success(),
            "`outcry dispute show` ended with {}",
            said.status
        );
        let shown: Value = serde_json::from_str(&said.stdout)
            .with_context(|| format!("not a game: {}", said.stdout))?;
        let parting = &shown["parting"];
        ensure!(
            parting["right"] == "challenger",
            "running it here does not show the challenger to be right: {parting}"
        );
        Ok(Instruction {
            step: parting["fromStep"].as_u64().context("no step")?,
            steps: parting["traceSteps"].as_u64().context("no length")?,
            function: text(&parting["step"]["function"])?,
            instruction: text(&parting["step"]["instruction"])?,
        })
    }

    /// Who got what, and whether that is what the rules say.
    fn check(
        &self,
        job: &Job,
        game: &Dispute,
        burned: U256,
        coins: U256,
        instruction: Instruction,
    ) -> anyhow::Result<DisputeSummary> {
        let deal = job.deals.first().context("the job has no deal")?;
        let terms = &deal.terms;
        ensure!(
            game.state == GameState::ChallengerWon && game.by_timeout == Some(false),
            "the game is {} (by timeout: {:?})",
            game.state,
            game.by_timeout
        );
        ensure!(
            deal.state == DealState::Slashed,
            "the deal is {}",
            deal.state
        );
        ensure!(deal.paid.0.is_zero(), "the liar was paid {}", deal.paid);
        ensure!(
            deal.refunded.0 == U256::from(terms.escrow),
            "the buyer got back {} of {}",
            deal.refunded,
            terms.escrow
        );
        let verdict = game.verdict.context("there is no verdict")?;
        let payout = game.payout.context("nothing was paid out")?;
        ensure!(!verdict.stands, "the claim stands");
        ensure!(
            verdict.winner == Some(self.testnet.accounts["verifier-0"])
                && verdict.reward.0 == U256::from(terms.collateral / 2),
            "the reward of {} went to {:?}",
            verdict.reward,
            verdict.winner
        );
        ensure!(
            burned == U256::from(terms.collateral - terms.collateral / 2),
            "{burned} of the collateral of {} burned",
            terms.collateral
        );
        ensure!(
            payout.to_challenger.0 == game.bond.0,
            "the challenger got back {} of its bond of {}",
            payout.to_challenger,
            game.bond
        );
        Ok(DisputeSummary {
            game: game.id,
            provider: LIAR.to_owned(),
            challenger: "verifier-0".to_owned(),
            sections: game.sections,
            moves: MoveSummary::of(game),
            refunded: deal.refunded,
            collateral: terms.collateral.into(),
            reward: verdict.reward,
            burned: burned.into(),
            bond_wei: game.bond,
            coins_wei: coins.into(),
            instruction,
        })
    }
}

fn text(value: &Value) -> anyhow::Result<String> {
    Ok(value.as_str().context("no text")?.to_owned())
}
