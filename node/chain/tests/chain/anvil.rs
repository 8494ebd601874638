//! A chain of one's own.

use std::{
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use alloy::{
    network::TransactionBuilder,
    primitives::{Address, B256, Bytes, U256, address, b256},
    providers::{DynProvider, Provider, ProviderBuilder, ext::AnvilApi},
    rpc::types::{TransactionReceipt, TransactionRequest, anvil::ReorgOptions},
    signers::local::PrivateKeySigner,
    sol,
    sol_types::SolCall,
};
use outcry_chain::{ANSWER_LIMIT, Rpc};

sol! {
    #![sol(all_derives)]
    "tests/probe/Probe.sol"
}

pub(crate) const CHAIN_ID: u64 = 31_337;

/// The second of Anvil's accounts, which anybody knows. The first deploys and makes noise.
const KEY: B256 = b256!("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d");
const NOISE: Address = address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");

pub(crate) struct Anvil {
    child: Child,
    pub(crate) url: String,
    pub(crate) provider: DynProvider,
    pub(crate) probe: Address,
    /// The block in which the probe was deployed.
    pub(crate) start_block: u64,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program: `OUTCRY_ANVIL`, the one that `npm ci` installs, or the one on the PATH.
fn program() -> PathBuf {
    if let Some(path) = env::var_os("OUTCRY_ANVIL") {
        return path.into();
    }
    let installed = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
    if installed.exists() {
        installed
    } else {
        "anvil".into()
    }
}

impl Anvil {
    /// Starts a chain that mines only when it is told to, and deploys the probe.
    pub(crate) async fn start() -> Self {
        let program = program();
        let mut child = Command::new(&program)
            .args([
                "--port",
                "0",
                "--no-mining",
                "--hardfork",
                "osaka",
                "--accounts",
                "2",
            ])
            .args(["--enable-tx-gas-limit", "--order", "fees"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "cannot start {}: {error}; run `npm ci` in contracts/, or set OUTCRY_ANVIL",
                    program.display()
                )
            });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines
            .find_map(|line| {
                Some(format!(
                    "http://{}",
                    line.ok()?.strip_prefix("Listening on ")?
                ))
            })
            .expect("anvil says where it listens");
        // Read on, or it would block on a full pipe; ends with the process.
        std::thread::spawn(move || lines.for_each(drop));
        let provider = ProviderBuilder::default()
            .connect(&url)
            .await
            .unwrap()
            .erased();
        let mut anvil = Self {
            child,
            url,
            provider,
            probe: Address::ZERO,
            start_block: 0,
        };
        let code: Bytes = include_str!("../probe/Probe.hex").trim().parse().unwrap();
        let deploy = TransactionRequest::default()
            .with_from(NOISE)
            .with_deploy_code(code);
        let hash = anvil.send(deploy).await;
        anvil.mine(1).await;
        let receipt = anvil.receipt(hash).await.unwrap();
        anvil.probe = receipt.contract_address.unwrap();
        anvil.start_block = receipt.block_number.unwrap();
        anvil
    }

    pub(crate) fn rpc(&self) -> Rpc {
        Rpc::new(self.provider.clone(), ANSWER_LIMIT)
    }

    pub(crate) fn signer(&self) -> PrivateKeySigner {
        PrivateKeySigner::from_bytes(&KEY).unwrap()
    }

    pub(crate) async fn mine(&self, blocks: u64) {
        for _ in 0..blocks {
            self.provider.evm_mine(None).await.unwrap();
        }
    }

    /// Replaces the last `depth` blocks by empty ones.
    pub(crate) async fn reorg(&self, depth: u64) {
        let options = ReorgOptions {
            depth,
            tx_block_pairs: Vec::new(),
        };
        self.provider.anvil_reorg(options).await.unwrap();
    }

    pub(crate) async fn head(&self) -> u64 {
        self.provider.get_block_number().await.unwrap()
    }

    pub(crate) async fn receipt(&self, hash: B256) -> Option<TransactionReceipt> {
        self.provider.get_transaction_receipt(hash).await.unwrap()
    }

    /// Sends from one of Anvil's own accounts, which it signs for.
    pub(crate) async fn send(&self, mut request: TransactionRequest) -> B256 {
        if request.gas.is_none() {
            request = request.with_gas_limit(2_000_000);
        }
        self.provider
            .raw_request("eth_sendTransaction".into(), [request])
            .await
            .unwrap()
    }

    /// Makes somebody call `note`.
    pub(crate) async fn note(&self, value: u64) -> B256 {
        let request = TransactionRequest::default()
            .with_from(NOISE)
            .with_to(self.probe)
            .with_input(note(value))
            .with_gas_limit(200_000);
        self.send(request).await
    }

    /// Transactions of `account` in the chain.
    pub(crate) async fn nonce(&self, account: Address) -> u64 {
        self.provider.get_transaction_count(account).await.unwrap()
    }

    /// How many transactions wait in the pool.
    pub(crate) async fn pool(&self) -> usize {
        let status: serde_json::Value = self
            .provider
            .raw_request("txpool_status".into(), ())
            .await
            .unwrap();
        ["pending", "queued"]
            .iter()
            .map(|kind| {
                status[kind]
                    .as_str()
                    .unwrap()
                    .trim_start_matches("0x")
                    .to_owned()
            })
            .map(|count| usize::from_str_radix(&count, 16).unwrap())
            .sum()
    }
}

/// The call `note(value)`.
pub(crate) fn note(value: u64) -> Bytes {
    Probe::noteCall {
        value: U256::from(value),
    }
    .abi_encode()
    .into()
}

/// The call `take(slot)`.
pub(crate) fn take(slot: u64) -> Bytes {
    Probe::takeCall {
        slot: U256::from(slot),
    }
    .abi_encode()
    .into()
}
