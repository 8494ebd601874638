//! A development chain for one test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use alloy::eips::BlockNumberOrTag;
use alloy::network::EthereumWallet;
use alloy::primitives::{Address, U256};
use alloy::providers::{Provider, ProviderBuilder, WalletProvider};
use alloy::rpc::types::TransactionReceipt;
use alloy::signers::local::PrivateKeySigner;
use outcry_contracts::{
    AuctionParameters, AuditParameters, DeployParameters, GameParameters, TestTokenParameters,
};
use outcry_protocol::auction::Pool;

/// The first accounts of every development chain: the buyer, which deploys, the provider, and others.
pub(crate) const KEYS: [&str; 4] = [
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
];
pub(crate) const FUNDS: u64 = 1_000_000_000;

/// A chain that ends with the test.
pub(crate) struct Chain {
    child: Child,
    url: String,
}

impl Drop for Chain {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Chain {
    pub(crate) fn start() -> Self {
        let pinned = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|folder| {
                folder.join("contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil")
            })
            .find(|path| path.exists());
        let anvil = pinned.unwrap_or_else(|| PathBuf::from("anvil"));
        let mut child = Command::new(&anvil)
            .args([
                "--port",
                "0",
                "--hardfork",
                "osaka",
                "--enable-tx-gas-limit",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{}: {error}; run `npm ci` in contracts/", anvil.display())
            });
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let url = lines
            .find_map(|line| Some(format!("http://{}", line.strip_prefix("Listening on ")?)))
            .expect("anvil says where it listens");
        // Read on, or it would block on a full pipe; ends with the process.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url }
    }

    /// Its JSON-RPC endpoint.
    #[allow(dead_code, reason = "not every test needs it")]
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn account(
        &self,
        key: &str,
    ) -> (
        PrivateKeySigner,
        impl Provider + WalletProvider + Clone + use<>,
    ) {
        let signer: PrivateKeySigner = key.parse().unwrap();
        let provider = ProviderBuilder::new()
            .wallet(EthereumWallet::from(signer.clone()))
            .connect_http(self.url.parse().unwrap());
        (signer, provider)
    }
}

pub(crate) fn parameters(holder: Address) -> DeployParameters {
    DeployParameters {
        game: GameParameters {
            inclusion_delay_s: 600,
            interpreter_speed: 100_000_000,
            gas_price_cap_wei: 1_000_000_000,
            run_price_wei: 1_000,
        },
        audits: AuditParameters {
            beacon_period_s: 10,
            auditors: 3,
            commit_time_s: 60,
            stake_per_audit: 1_000,
            silence_penalty: 100,
        },
        token_holder: holder,
        fee_collector: Address::ZERO,
        admission_window_s: 20,
        challenge_window_s: 60,
        demand_window_s: 60,
        withdrawal_delay_s: 60,
        unbonding_delay_s: 86_400,
        collateral_floor_wei: 1_000,
        demand_bond_wei: 10,
        admission_fee_bps: 100,
        fee_bps: 0,
        test_token: Some(TestTokenParameters {
            name: "Test Dollar".into(),
            symbol: "TUSD".into(),
            decimals: 6,
        }),
        auction: None,
    }
}

/// Two pools; rounds of 400 s from `start` on, 100 s for each phase.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) fn auction(start: u64) -> AuctionParameters {
    let pool = |region| Pool {
        region,
        memoryMib: 512,
        diskMib: 512,
        egressMib: 0,
        attributes: U256::ZERO,
        speed: 1_000,
        unitDeposit: 7,
        machineVersion: 1,
    };
    AuctionParameters {
        token: None,
        start,
        interval_s: 400,
        intervals: 5,
        commit_s: 100,
        reveal_s: 100,
        post_s: 100,
        fee_bps: 130,
        result_bond: 1_001,
        deposit_min: 50,
        draw_s: 10,
        draw_fee_bps: 50,
        pools: vec![pool(0), pool(1)],
    }
}

/// Unix seconds of the newest block.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) async fn latest(provider: &impl Provider) -> u64 {
    let block = provider.get_block_by_number(BlockNumberOrTag::Latest).await;
    block.unwrap().unwrap().header.timestamp
}

pub(crate) async fn mined<N>(
    sent: alloy::providers::PendingTransactionBuilder<N>,
) -> TransactionReceipt
where
    N: alloy::network::Network<ReceiptResponse = TransactionReceipt>,
{
    let receipt = sent.get_receipt().await.unwrap();
    assert!(receipt.status(), "the transaction was refused");
    receipt
}
