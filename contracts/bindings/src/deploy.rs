//! The one deployer: token, stake, market and, on local networks, a payment token that anybody
//! mints.

use alloy::contract::Error as ContractError;
use alloy::network::Network;
use alloy::primitives::Address;
use alloy::providers::Provider;
use serde::{Deserialize, Serialize};

use crate::bindings::{Market, Stake, TestToken, Token};

/// What a deployment fixes for ever. Times in seconds, amounts in wei.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct DeployParameters {
    /// The dispute game; the zero address as long as there is none.
    pub game: Address,
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
    P: Provider<N> + Clone,
    N: Network,
{
    let failed = |contract| move |source| DeployError::Contract { contract, source };
    let p = parameters;
    let block = provider.get_block_number().await?;
    let token = *Token::deploy(provider.clone(), p.token_holder)
        .await
        .map_err(failed("Token"))?
        .address();
    let stake = *Stake::deploy(provider.clone(), token, p.game, p.unbonding_delay_s)
        .await
        .map_err(failed("Stake"))?
        .address();
    let market = Market::deploy(provider.clone(), market_parameters(p))
        .await
        .map_err(failed("Market"))?;
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
        stake,
        token,
        test_token,
        block,
    })
}

fn market_parameters(p: &DeployParameters) -> Market::Parameters {
    Market::Parameters {
        game: p.game,
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
