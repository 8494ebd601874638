//! Money that comes in by a signature.

use alloy::primitives::{B256, U256};
use alloy::signers::local::PrivateKeySigner;
use outcry_contracts::TestToken;
use outcry_protocol::codes::{self, Coded as _};

use crate::fixture::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_coin_deposits_by_a_signature_that_somebody_else_sends() {
    let market = Fixture::new(1).await;
    let owner = PrivateKeySigner::random();
    let account = owner.address();
    let provider = market.buyers_market().provider().clone();
    let minted = TestToken::new(market.testnet.payment_token, provider)
        .mint(account, U256::from(9))
        .send()
        .await
        .unwrap();
    minted.get_receipt().await.unwrap();

    let client = market.client_of(owner);
    let token = client.network().tokens[0].clone();
    let amount = 9_u64.into();
    let bid = B256::repeat_byte(3);
    let authorisation = client
        .chain()
        .authorise_deposit(&token, amount, bid, 600)
        .await
        .unwrap();
    let sender = market.client.chain();
    let step = sender.plan_authorised_deposit(&authorisation);
    sender.execute(&step).await.unwrap();
    assert_eq!(market.balance(account).await, U256::from(9));

    let again = sender.execute(&step).await.unwrap_err();
    assert_eq!(again.code(), &codes::CHAIN_REVERTED);
    let more = client.chain().authorise_deposit(&token, amount, bid, 600);
    assert_eq!(more.await.unwrap_err().code(), &codes::FUNDS_WALLET);
}
