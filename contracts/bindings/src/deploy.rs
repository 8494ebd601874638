//! The one deployer: token, stake, market, the dispute game with the contracts that end a dispute,
//! and, on local networks, a payment token that anybody mints.

use alloy::contract::Error as ContractError;
use alloy::network::Network;
use alloy::primitives::Address;
use alloy::providers::{Provider, WalletProvider};
use serde::{Deserialize, Serialize};

use crate::bindings::{Game, InitialState, Market, Stake, StepVerifier, TestToken, Token};

/// What a deployment fixes for ever. Times in seconds, amounts in wei.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct DeployParameters {
    /// Clocks and bonds of the dispute game.
    pub game: GameParameters,
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
    /// The market names the game that is created after it, by its address. Another transaction of the
    /// same account came between: deploy again, from an account that does nothing else meanwhile.
    #[error(
        "the game lies at {got} and the market expects it at {expected}: another transaction of the \
         deploying account came between; deploy again"
    )]
    AccountBusy {
        /// Where the game is.
        got: Address,
        /// Where the market calls it.
        expected: Address,
    },
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
    // Market and stake name the game for ever, and the game names the market: they are created by
    // the next three transactions of the account, which gives all of their addresses.
    let deployer = provider.default_signer_address();
    let nonce = provider.get_transaction_count(deployer).await?;
    let expected = deployer.create(nonce + 2);
    let stake = *Stake::deploy(provider.clone(), token, expected, p.unbonding_delay_s)
        .await
        .map_err(failed("Stake"))?
        .address();
    let market = Market::deploy(provider.clone(), market_parameters(p, expected))
        .await
        .map_err(failed("Market"))?;
    let game = *Game::deploy(
        provider.clone(),
        game_parameters(&p.game, *market.address(), step_verifier, initial_state),
    )
    .await
    .map_err(failed("Game"))?
    .address();
    if game != expected {
        return Err(DeployError::AccountBusy {
            got: game,
            expected,
        });
    }
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
    Ok(Deployment {
        market: *market.address(),
        recourse,
        game,
        step_verifier,
        initial_state,
        stake,
        token,
        test_token,
        block,
    })
}

fn game_parameters(
    p: &GameParameters,
    market: Address,
    step_verifier: Address,
    initial_state: Address,
) -> Game::GameParameters {
    Game::GameParameters {
        market,
        stepVerifier: step_verifier,
        initialState: initial_state,
        inclusionDelay: p.inclusion_delay_s,
        interpreterSpeed: p.interpreter_speed,
        gasPriceCap: p.gas_price_cap_wei,
        runPrice: p.run_price_wei,
    }
}

fn market_parameters(p: &DeployParameters, game: Address) -> Market::Parameters {
    Market::Parameters {
        game,
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
