//! Whether money was made or lost: the sum of each token over all accounts, in wallets and in the
//! ledgers of the market and of the auction.

use alloy::primitives::{Address, U256};
use alloy::providers::Provider;
use outcry_contracts::{Auction, Market, TestToken};
use serde::Serialize;

use crate::network::Testnet;

/// The locked ledger account that stands for burned money.
pub const BURN: Address = alloy::primitives::address!("000000000000000000000000000000000000dEaD");

/// The books of one network at one block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Books {
    /// Payment token in all wallets, the market's and the auction's own included.
    pub token_in_wallets: U256,
    /// Payment token that exists.
    pub token_supply: U256,
    /// Payment token that the market holds.
    pub token_in_market: U256,
    /// What the market's ledger says it owes: free and pending balances and burned money.
    pub token_in_ledger: U256,
    /// Payment token that the auction holds.
    pub token_in_auction: U256,
    /// What the auction says that all accounts have there, free and locked.
    pub token_held_by_auction: U256,
    /// Of that, the accounts' free balances and burned money.
    pub token_free_in_auction: U256,
    /// Coin that the market holds, in wei.
    pub coin_in_market: U256,
    /// What its ledger says it owes, in wei; the game's part is among it.
    pub coin_in_ledger: U256,
    /// Bonds of games that are not paid out, and what challengers of fallen claims are still owed for
    /// their gas, in wei.
    pub coin_in_game: U256,
}

impl Books {
    /// Reads the books. Escrows and collateral of deals that have not ended are in
    /// `…_in_market` but not in `…_in_ledger`.
    ///
    /// # Errors
    /// The chain does not answer.
    pub async fn read(provider: &impl Provider, testnet: &Testnet) -> anyhow::Result<Self> {
        let token = TestToken::new(testnet.payment_token, provider);
        let market = Market::new(testnet.market, provider);
        let mut accounts: Vec<Address> = testnet.accounts.values().copied().collect();
        accounts.extend([BURN, testnet.game]);
        let token_in_market = token.balanceOf(testnet.market).call().await?;
        let auction = Auction::new(testnet.auction, provider);
        let token_in_auction = token.balanceOf(testnet.auction).call().await?;
        let mut token_free_in_auction = U256::ZERO;
        let mut token_in_wallets = token_in_market + token_in_auction;
        let mut ledger = [U256::ZERO; 2];
        for account in accounts {
            token_in_wallets += token.balanceOf(account).call().await?;
            token_free_in_auction += auction.balanceOf(account).call().await?;
            for (sum, of) in ledger
                .iter_mut()
                .zip([testnet.payment_token, Address::ZERO])
            {
                *sum += market.balanceOf(account, of).call().await?;
                *sum += market.pendingWithdrawal(account, of).call().await?.amount;
            }
        }
        let [token_in_ledger, coin_in_ledger] = ledger;
        Ok(Self {
            token_in_wallets,
            token_supply: token.totalSupply().call().await?,
            token_in_market,
            token_in_ledger,
            token_in_auction,
            token_held_by_auction: auction.totalHeld().call().await?,
            token_free_in_auction,
            coin_in_market: provider.get_balance(testnet.market).await?,
            coin_in_ledger,
            coin_in_game: market.balanceOf(testnet.game, Address::ZERO).call().await?,
        })
    }

    /// Whether every token's sum is what it was in `before`, and the auction holds what it owes.
    #[must_use]
    pub fn conserves(&self, before: &Self) -> bool {
        self.token_supply == before.token_supply
            && self.token_in_wallets == self.token_supply
            && before.token_in_wallets == before.token_supply
            && self.token_in_auction == self.token_held_by_auction
    }

    /// Whether no deal and no game holds anything: what the market has is what its ledger says. Orders of
    /// the auction and what sellers have still to earn may be open.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.token_in_market == self.token_in_ledger
            && self.coin_in_market == self.coin_in_ledger
            && self.coin_in_game.is_zero()
    }
}
