//! Contracts and funded accounts on a fresh development chain.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy::network::EthereumWallet;
use alloy::primitives::{Address, U256};
use alloy::providers::{Provider, ProviderBuilder, WalletProvider};
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context as _, ensure};
use outcry_contracts::{
    AuctionParameters, AuditParameters, DeployParameters, GameParameters, Market, Stake, TestToken,
    TestTokenParameters, Token, deploy as deploy_contracts,
};
use outcry_protocol::auction::Pool;
use outcry_protocol::limits::MACHINE_VERSION_MAX;

use crate::network::{
    COIN_GRANT, MARKET_COIN_GRANT, STAKE_GRANT, TOKEN_DECIMALS, TOKEN_GRANT, TOKEN_SYMBOL,
};

/// Seconds by which the chain's clock starts early, so that the blocks of the set-up, each a second
/// later than the one before, do not push it past the real one.
pub const HEAD_START_S: u64 = 600;

/// What a local network's contracts use for their windows, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    /// In which either side may cancel a deal.
    pub admission_s: u32,
    /// In which a claim may be challenged.
    pub challenge_s: u32,
    /// In which a demand for output must be answered.
    pub demand_s: u32,
    /// Between asking for tokens back and having them.
    pub withdrawal_s: u32,
    /// On each party's clock in a dispute, besides the time to run the task step by step.
    pub inclusion_s: u32,
    /// Claims of so many seconds share a beacon.
    pub beacon_s: u32,
    /// A quarter of a round of the auction: one each to commit, to reveal, to post and to dispute.
    pub auction_phase_s: u32,
}

/// Long enough to fetch and re-execute small jobs, short enough to watch.
pub const LOCAL: Windows = Windows {
    admission_s: 60,
    challenge_s: 30,
    demand_s: 20,
    withdrawal_s: 30,
    inclusion_s: 60,
    beacon_s: 2,
    auction_phase_s: 15,
};

/// Part of the escrow that both sides burn when a deal is cancelled in the admission window.
const ADMISSION_FEE_BPS: u16 = 50;
/// Three games at 1.2M gas and one interpreter run, at 1 gwei, rounded up.
const COLLATERAL_FLOOR_WEI: u128 = 5_000_000_000_000_000;
/// Cycles per second that a dispute's clock allows for: what the interpreter does at least with programs
/// that are not made to be slow. A public chain needs less: `verifier/ECONOMICS.md`.
const INTERPRETER_SPEED: u64 = 250_000_000;
/// Most that a refund pays for gas.
const GAS_PRICE_CAP_WEI: u64 = 1_000_000_000;
/// What 2^30 cycles of the interpreter cost, a few seconds of a core.
const RUN_PRICE_WEI: u128 = 20_000_000_000;
/// Auditors of a drawn deal: as many as a small network has.
const AUDITORS: u8 = 2;
/// A verifier's stake is enough for 100 audits at a time.
const STAKE_PER_AUDIT: u128 = STAKE_GRANT / 100;
/// Longer than the longest audit with a game at the machine's largest cycle limits that are in use.
const UNBONDING_S: u32 = 7 * 24 * 3600;
/// Reveals of 64 leaves at about 30k gas each, at 1 gwei.
const DEMAND_BOND_WEI: u128 = 2_000_000_000_000_000;

/// Intervals of a season of the auction, ten minutes with the local rounds.
const AUCTION_INTERVALS: u16 = 10;
/// A cent of what sellers earn goes to who posted the result and burns.
const AUCTION_FEE_BPS: u16 = 100;
/// What a posted result puts at risk: ten whole tokens.
pub const RESULT_BOND: u128 = 10 * 10_u128.pow(TOKEN_DECIMALS as u32);
/// Least deposit of an order: a tenth of a token.
pub const DEPOSIT_MIN: u128 = RESULT_BOND / 100;

/// The pools of the local auction: small and large slots in the region of the local providers, and
/// large ones in another.
#[must_use]
pub fn pools() -> Vec<Pool> {
    let pool = |region, memory_mib| Pool {
        region,
        memoryMib: memory_mib,
        diskMib: 1024,
        egressMib: 1024,
        attributes: U256::ZERO,
        speed: 1_000_000,
        unitDeposit: DEPOSIT_MIN / 10,
        machineVersion: MACHINE_VERSION_MAX,
    };
    vec![pool(1, 512), pool(1, 4096), pool(2, 4096)]
}

/// Where everything lies.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// Account that deployed; holds the protocol token's supply.
    pub deployer: Address,
    /// The market.
    pub market: Address,
    /// The dispute game.
    pub game: Address,
    /// The audits.
    pub audits: Address,
    /// The stake.
    pub stake: Address,
    /// The protocol's own token.
    pub protocol_token: Address,
    /// The payment token.
    pub payment_token: Address,
    /// The auction of reserved capacity.
    pub auction: Address,
}

/// Deploys the contracts, funds every account, deposits for the buyer, the providers and the
/// verifiers, stakes for the latter, and then sets the chain's clock right. The chain must mine a block per transaction.
///
/// # Errors
/// A transaction fails, or the chain does not answer.
pub async fn deploy(
    rpc: &str,
    windows: &Windows,
    accounts: &BTreeMap<String, PrivateKeySigner>,
) -> anyhow::Result<Deployed> {
    let deployer = PrivateKeySigner::random();
    let chain = ProviderBuilder::new().connect_http(rpc.parse()?);
    for address in accounts
        .values()
        .chain([&deployer])
        .map(PrivateKeySigner::address)
    {
        let () = chain
            .raw_request("anvil_setBalance".into(), (address, U256::from(COIN_GRANT)))
            .await?;
    }
    let sender = connect(rpc, &deployer)?;
    let deployed = deploy_contracts(
        sender.clone(),
        &DeployParameters {
            game: GameParameters {
                inclusion_delay_s: windows.inclusion_s,
                interpreter_speed: INTERPRETER_SPEED,
                gas_price_cap_wei: GAS_PRICE_CAP_WEI,
                run_price_wei: RUN_PRICE_WEI,
            },
            audits: AuditParameters {
                beacon_period_s: windows.beacon_s,
                auditors: AUDITORS,
                commit_time_s: windows.challenge_s,
                stake_per_audit: STAKE_PER_AUDIT,
                silence_penalty: STAKE_PER_AUDIT / 10,
            },
            token_holder: deployer.address(),
            fee_collector: deployer.address(),
            admission_window_s: windows.admission_s,
            challenge_window_s: windows.challenge_s,
            demand_window_s: windows.demand_s,
            withdrawal_delay_s: windows.withdrawal_s,
            unbonding_delay_s: UNBONDING_S,
            collateral_floor_wei: COLLATERAL_FLOOR_WEI,
            demand_bond_wei: DEMAND_BOND_WEI,
            admission_fee_bps: ADMISSION_FEE_BPS,
            fee_bps: 0,
            test_token: Some(TestTokenParameters {
                name: "Test Dollar".to_owned(),
                symbol: TOKEN_SYMBOL.to_owned(),
                decimals: TOKEN_DECIMALS,
            }),
            auction: Some(AuctionParameters {
                token: None,
                start: unix_time()?,
                interval_s: 4 * windows.auction_phase_s,
                intervals: AUCTION_INTERVALS,
                commit_s: windows.auction_phase_s,
                reveal_s: windows.auction_phase_s,
                post_s: windows.auction_phase_s,
                fee_bps: AUCTION_FEE_BPS,
                result_bond: RESULT_BOND,
                deposit_min: DEPOSIT_MIN,
                draw_s: windows.auction_phase_s,
                draw_fee_bps: ADMISSION_FEE_BPS,
                pools: pools(),
            }),
        },
    )
    .await?;
    let payment_token = deployed
        .test_token
        .context("no payment token was deployed")?;
    let auction = deployed.auction.context("no auction was deployed")?;
    let token = TestToken::new(payment_token, &sender);
    for (name, signer) in accounts {
        mined(
            token
                .mint(signer.address(), U256::from(2 * TOKEN_GRANT))
                .send()
                .await?,
        )
        .await?;
        let own = connect(rpc, signer)?;
        let market = Market::new(deployed.market, &own);
        let is_provider = name.starts_with("provider");
        let is_verifier = name.starts_with("verifier");
        if is_provider || is_verifier {
            mined(
                market
                    .depositNative()
                    .value(U256::from(MARKET_COIN_GRANT))
                    .send()
                    .await?,
            )
            .await?;
        }
        if is_verifier {
            let amount = U256::from(STAKE_GRANT);
            let granted = Token::new(deployed.token, &sender);
            mined(granted.transfer(signer.address(), amount).send().await?).await?;
            let token = Token::new(deployed.token, &own);
            mined(token.approve(deployed.stake, amount).send().await?).await?;
            mined(
                Stake::new(deployed.stake, &own)
                    .stake(amount)
                    .send()
                    .await?,
            )
            .await?;
        }
        if is_provider || name == "buyer" {
            let amount = U256::from(TOKEN_GRANT);
            mined(
                TestToken::new(payment_token, &own)
                    .approve(deployed.market, amount)
                    .send()
                    .await?,
            )
            .await?;
            mined(market.deposit(payment_token, amount).send().await?).await?;
        }
    }
    let now = unix_time()?;
    let _: serde_json::Value = chain.raw_request("evm_setTime".into(), (now,)).await?;
    // From here on the head shows the real time.
    let _: serde_json::Value = chain.raw_request("evm_mine".into(), ()).await?;
    Ok(Deployed {
        deployer: deployer.address(),
        market: deployed.market,
        game: deployed.game,
        audits: deployed.audits,
        stake: deployed.stake,
        protocol_token: deployed.token,
        payment_token,
        auction,
    })
}

fn unix_time() -> anyhow::Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

/// Switches from a block per transaction to a block each `block_time_s` seconds.
///
/// # Errors
/// The chain does not answer.
pub async fn mine_each(rpc: &str, block_time_s: u64) -> anyhow::Result<()> {
    let chain = ProviderBuilder::new().connect_http(rpc.parse()?);
    let _: serde_json::Value = chain
        .raw_request("evm_setIntervalMining".into(), (block_time_s,))
        .await?;
    Ok(())
}

fn connect(
    rpc: &str,
    signer: &PrivateKeySigner,
) -> anyhow::Result<impl Provider + WalletProvider + Clone + use<>> {
    Ok(ProviderBuilder::new()
        .wallet(EthereumWallet::from(signer.clone()))
        .connect_http(rpc.parse()?))
}

async fn mined(
    pending: alloy::providers::PendingTransactionBuilder<alloy::network::Ethereum>,
) -> anyhow::Result<()> {
    let receipt = pending.get_receipt().await?;
    ensure!(
        receipt.status(),
        "transaction {} reverted",
        receipt.transaction_hash
    );
    Ok(())
}
