//! The one deployer: token, stake, market, audits, the dispute game with the contracts that end a dispute,
//! an auction of reserved capacity where one is asked for, and, on local networks, a payment token that
//! anybody mints.

use alloy::contract::Error as ContractError;
use alloy::network::Network;
use alloy::primitives::Address;
use alloy::providers::{Provider, WalletProvider};
use outcry_protocol::auction::Pool;
use serde::{Deserialize, Serialize};

use crate::bindings::{
    Auction, Audits, Game, InitialState, Market, Stake, StepVerifier, TestToken, Token,
};

/// What a deployment fixes for ever. Times in seconds, amounts in wei.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct DeployParameters {
    /// Clocks and bonds of the dispute game.
    pub game: GameParameters,
    /// Who audits what, and what it risks.
    pub audits: AuditParameters,
    /// Receives the protocol token's whole supply.
    pub token_holder: Address,
    /// Credited with the market's fee; may be zero when `fee_bps` is.
    pub fee_collector: Address,
    /// In which either side may cancel after the opening.
    pub admission_window_s: u32,
    /// In which a claim may be challenged or its output demanded.
    pub challenge_window_s: u32,
    /// In which a demand for output must be answered.
    pub demand_window_s: u32,
    /// Between the request of a withdrawal and the withdrawal.
    pub withdrawal_delay_s: u32,
    /// Between the request to unbond stake and its withdrawal.
    pub unbonding_delay_s: u32,
    /// What a provider locks for each deal besides its collateral: three games' gas and one
    /// interpreter run.
    pub collateral_floor_wei: u128,
    /// What a buyer locks for a demand.
    pub demand_bond_wei: u128,
    /// Part of the escrow that each side burns for a deal cancelled in the admission window.
    pub admission_fee_bps: u16,
    /// Part of each price that goes to the fee collector; at most 500.
    pub fee_bps: u16,
    /// Also deploys a payment token; for local networks only.
    pub test_token: Option<TestTokenParameters>,
    /// Also deploys an auction of reserved capacity.
    #[serde(default)]
    pub auction: Option<AuctionParameters>,
}

/// Clocks and bonds of the dispute game: `verifier/ECONOMICS.md` derives values for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct GameParameters {
    /// Seconds that a party may need to get all of its moves into blocks, censorship included.
    pub inclusion_delay_s: u32,
    /// Cycles per second of the slowest interpreter that is protected while it plays 32 games.
    pub interpreter_speed: u64,
    /// Most wei per gas that bonds cover and refunds pay.
    pub gas_price_cap_wei: u64,
    /// Wei per 2^30 cycles of an interpreter's run.
    pub run_price_wei: u128,
}

/// What audits take and risk: `verifier/ECONOMICS.md` derives values for them. Clocks are the game's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct AuditParameters {
    /// Claims of so many seconds share a beacon.
    pub beacon_period_s: u32,
    /// Auditors that are drawn for a deal, 1 to 8.
    pub auditors: u8,
    /// Seconds to fetch program and input and to run them natively, besides the machine's run.
    pub commit_time_s: u32,
    /// Base units of the protocol's token that each open audit puts at risk.
    pub stake_per_audit: u128,
    /// What an auditor loses that does not commit in time.
    pub silence_penalty: u128,
}

/// Rounds, money and pools of an auction of reserved capacity. A deployment can have several; this one is
/// where clients look first. Defaults are for a public chain with a token of six decimals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct AuctionParameters {
    /// What it pays in; the payment token that is deployed with it if none is named.
    #[serde(default)]
    pub token: Option<Address>,
    /// When round 0 begins, Unix time.
    pub start: u64,
    /// Length of a round, and of an interval of delivery.
    #[serde(default = "defaults::interval_s")]
    pub interval_s: u32,
    /// Intervals of a season, at the end of which all capacity that it sold ends.
    #[serde(default = "defaults::intervals")]
    pub intervals: u16,
    /// In which orders are committed to.
    #[serde(default = "defaults::commit_s")]
    pub commit_s: u32,
    /// In which they are revealed.
    #[serde(default = "defaults::reveal_s")]
    pub reveal_s: u32,
    /// In which results are posted; what is left of the round is for disputes.
    #[serde(default = "defaults::post_s")]
    pub post_s: u32,
    /// Part of what sellers earn that is taken as a fee.
    #[serde(default = "defaults::fee_bps")]
    pub fee_bps: u16,
    /// What a posted result puts at risk, base units.
    #[serde(default = "defaults::result_bond")]
    pub result_bond: u128,
    /// Least deposit of an order, base units.
    #[serde(default = "defaults::deposit_min")]
    pub deposit_min: u128,
    /// What a provider has to open a deal for a draw, and least queue timeout of a drawn bid.
    #[serde(default = "defaults::draw_s")]
    pub draw_s: u32,
    /// Part of what a unit is still worth that both sides burn for a draw that is given back or lapses.
    #[serde(default = "defaults::draw_fee_bps")]
    pub draw_fee_bps: u16,
    /// What is traded, 1 to 32.
    pub pools: Vec<Pool>,
}

mod defaults {
    /// A round a day.
    pub(super) fn interval_s() -> u32 {
        86_400
    }
    /// Four weeks.
    pub(super) fn intervals() -> u16 {
        28
    }
    /// Half of the round.
    pub(super) fn commit_s() -> u32 {
        43_200
    }
    /// Long enough that no order is kept out by a few full or censored blocks.
    pub(super) fn reveal_s() -> u32 {
        14_400
    }
    /// The rest, as long, is for disputes.
    pub(super) fn post_s() -> u32 {
        14_400
    }
    /// A wash sale costs as much.
    pub(super) fn fee_bps() -> u16 {
        50
    }
    /// Many times the gas of a disproof.
    pub(super) fn result_bond() -> u128 {
        100_000_000
    }
    /// What it costs at least to choose a seed.
    pub(super) fn deposit_min() -> u128 {
        10_000_000
    }
    /// Several blocks, and the way to the provider's node.
    pub(super) fn draw_s() -> u32 {
        600
    }
    /// A provider that gives back two draws of a unit has lost all that it is still to earn with it.
    pub(super) fn draw_fee_bps() -> u16 {
        5_000
    }
}

/// A payment token that anybody mints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct TestTokenParameters {
    /// ERC-20 name.
    pub name: String,
    /// ERC-20 symbol.
    pub symbol: String,
    /// ERC-20 decimals.
    pub decimals: u8,
}

/// Where the contracts lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Deployment {
    /// The market.
    pub market: Address,
    /// The code that the market borrows for demands and challenges; never called directly.
    pub recourse: Address,
    /// The dispute game.
    pub game: Address,
    /// The audits.
    pub audits: Address,
    /// Executes the step on which a dispute ends.
    pub step_verifier: Address,
    /// Knows the state in which a task starts.
    pub initial_state: Address,
    /// The stake.
    pub stake: Address,
    /// The protocol's own token.
    pub token: Address,
    /// The payment token, where one was asked for.
    pub test_token: Option<Address>,
    /// The auction of reserved capacity, where one was asked for.
    #[serde(default)]
    pub auction: Option<Address>,
    /// The block before which no event of these contracts can lie.
    pub block: u64,
}

/// A deployment that did not come about. What was deployed before stays on the chain, unused.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The transaction of a contract was refused or reverted: check the account's coin and the
    /// parameters' bounds (`fee_bps` <= 500, `admission_fee_bps` <= 10000).
    #[error("cannot deploy {contract}: {source}")]
    Contract {
        /// Its name.
        contract: &'static str,
        /// The chain's answer.
        source: ContractError,
    },
    /// The market names contracts that are created after it, by their addresses. Another transaction of
    /// the same account came between: deploy again, from an account that does nothing else meanwhile.
    #[error(
        "{contract} lies at {got} and the market expects it at {expected}: another transaction of \
         the deploying account came between; deploy again"
    )]
    AccountBusy {
        /// Its name.
        contract: &'static str,
        /// Where it is.
        got: Address,
        /// Where the market calls it.
        expected: Address,
    },
    /// An auction needs a token to pay in: name one, or ask for a test token.
    #[error("the auction has no token to pay in: name one, or ask for a test token")]
    NoToken,
    /// The chain did not answer: check the RPC URL.
    #[error("the chain does not answer: {0}")]
    Chain(#[from] alloy::transports::TransportError),
}

/// Deploys the contracts with the provider's default signer, one after another, and waits for each.
///
/// # Errors
/// [`DeployError`] names the contract that failed.
pub async fn deploy<P, N>(
    provider: P,
    parameters: &DeployParameters,
) -> Result<Deployment, DeployError>
where
    P: Provider<N> + WalletProvider<N> + Clone,
    N: Network,
{
    let failed = |contract| move |source| DeployError::Contract { contract, source };
    let p = parameters;
    let block = provider.get_block_number().await?;
    let token = *Token::deploy(provider.clone(), p.token_holder)
        .await
        .map_err(failed("Token"))?
        .address();
    let step_verifier = *StepVerifier::deploy(provider.clone())
        .await
        .map_err(failed("StepVerifier"))?
        .address();
    let initial_state = *InitialState::deploy(provider.clone())
        .await
        .map_err(failed("InitialState"))?
        .address();
    // Market, game, audits and stake name each other for ever: they are created by the next four
    // transactions of the account, which gives all of their addresses.
    let deployer = provider.default_signer_address();
    let nonce = provider.get_transaction_count(deployer).await?;
    let [game, audits] = [nonce + 2, nonce + 3].map(|nonce| deployer.create(nonce));
    let stake = *Stake::deploy(provider.clone(), token, audits, p.unbonding_delay_s)
        .await
        .map_err(failed("Stake"))?
        .address();
    let market = Market::deploy(provider.clone(), market_parameters(p, game, audits))
        .await
        .map_err(failed("Market"))?;
    let at = |contract, got, expected| {
        if got == expected {
            return Ok(());
        }
        Err(DeployError::AccountBusy {
            contract,
            got,
            expected,
        })
    };
    let created = *Game::deploy(
        provider.clone(),
        Game::GameParameters {
            market: *market.address(),
            stepVerifier: step_verifier,
            initialState: initial_state,
            audits,
            inclusionDelay: p.game.inclusion_delay_s,
            interpreterSpeed: p.game.interpreter_speed,
            gasPriceCap: p.game.gas_price_cap_wei,
            runPrice: p.game.run_price_wei,
        },
    )
    .await
    .map_err(failed("Game"))?
    .address();
    at("Game", created, game)?;
    let created = *Audits::deploy(
        provider.clone(),
        audit_parameters(p, *market.address(), game, stake),
    )
    .await
    .map_err(failed("Audits"))?
    .address();
    at("Audits", created, audits)?;
    let recourse = market.RECOURSE().call().await.map_err(failed("Market"))?;
    let test_token = match &p.test_token {
        None => None,
        Some(t) => Some(
            *TestToken::deploy(
                provider.clone(),
                t.name.clone(),
                t.symbol.clone(),
                t.decimals,
            )
            .await
            .map_err(failed("TestToken"))?
            .address(),
        ),
    };
    let auction = match &p.auction {
        None => None,
        Some(a) => {
            let pays = a.token.or(test_token).ok_or(DeployError::NoToken)?;
            let pools = a.pools.iter().cloned().map(Into::into).collect();
            Some(
                *Auction::deploy(
                    provider.clone(),
                    auction_parameters(a, *market.address(), pays),
                    pools,
                )
                .await
                .map_err(failed("Auction"))?
                .address(),
            )
        }
    };
    Ok(Deployment {
        market: *market.address(),
        recourse,
        game,
        audits,
        step_verifier,
        initial_state,
        stake,
        token,
        test_token,
        auction,
        block,
    })
}

fn auction_parameters(
    a: &AuctionParameters,
    market: Address,
    token: Address,
) -> Auction::AuctionParameters {
    Auction::AuctionParameters {
        market,
        token,
        start: a.start,
        intervalS: a.interval_s,
        intervals: a.intervals,
        commitS: a.commit_s,
        revealS: a.reveal_s,
        postS: a.post_s,
        feeBps: a.fee_bps,
        resultBond: a.result_bond,
        depositMin: a.deposit_min,
        drawS: a.draw_s,
        drawFeeBps: a.draw_fee_bps,
    }
}

fn audit_parameters(
    p: &DeployParameters,
    market: Address,
    game: Address,
    stake: Address,
) -> Audits::AuditParameters {
    Audits::AuditParameters {
        market,
        game,
        stake,
        beaconPeriod: p.audits.beacon_period_s,
        auditors: p.audits.auditors,
        commitTime: p.audits.commit_time_s,
        inclusionDelay: p.game.inclusion_delay_s,
        interpreterSpeed: p.game.interpreter_speed,
        stakePerAudit: p.audits.stake_per_audit,
        silencePenalty: p.audits.silence_penalty,
    }
}

fn market_parameters(p: &DeployParameters, game: Address, audits: Address) -> Market::Parameters {
    Market::Parameters {
        game,
        audits,
        feeCollector: p.fee_collector,
        admissionWindow: p.admission_window_s,
        challengeWindow: p.challenge_window_s,
        demandWindow: p.demand_window_s,
        withdrawalDelay: p.withdrawal_delay_s,
        collateralFloor: p.collateral_floor_wei,
        demandBond: p.demand_bond_wei,
        admissionFeeBps: p.admission_fee_bps,
        feeBps: p.fee_bps,
    }
}
