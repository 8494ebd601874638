//! Questions to JSON-RPC endpoints, each with a time limit and an error that says whether the
//! endpoint answered "no" or did not answer.

use std::{future::IntoFuture, sync::Arc, time::Duration};

use alloy::{
    consensus::BlockHeader,
    eips::BlockNumberOrTag,
    network::Ethereum,
    primitives::{Address, B256, Bloom, Bytes, U256},
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::types::{Filter, Log, TransactionReceipt, TransactionRequest},
    transports::{RpcError as TransportRpcError, TransportErrorKind, TransportResult},
};
use futures::StreamExt;
use outcry_contracts::endpoint::{self, Switch};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::ChainError;

/// Why a question has no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RpcError {
    /// The endpoint answered with an error.
    #[error("the endpoint refused {method}: {message} (code {code})")]
    Refused {
        /// The JSON-RPC method.
        method: &'static str,
        /// The JSON-RPC error code.
        code: i64,
        /// The endpoint's words.
        message: String,
        /// Data of the error: for a reverted call, what the contract returned.
        data: Option<Bytes>,
    },
    /// No usable answer came.
    #[error("the endpoint did not answer {method}: {reason}")]
    Unreachable {
        /// The JSON-RPC method.
        method: &'static str,
        /// What went wrong.
        reason: String,
    },
    /// No answer came in time.
    #[error("the endpoint did not answer {method} within {limit:?}")]
    TimedOut {
        /// The JSON-RPC method.
        method: &'static str,
        /// The time limit.
        limit: Duration,
    },
}

/// A block as the rest of the node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlockRef {
    /// Number.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Hash of its parent.
    pub parent: B256,
    /// Unix time in seconds.
    pub timestamp_s: u64,
}

/// A block's header with the fields that only this crate needs.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) block: BlockRef,
    pub(crate) bloom: Bloom,
    pub(crate) base_fee_wei: u128,
}

/// A connection to a chain. Clones share it.
#[derive(Debug, Clone)]
pub struct Rpc {
    provider: DynProvider<Ethereum>,
    limit: Duration,
}

/// Longest that one question may take. A public endpoint answers in well under a second; a range
/// of logs that takes longer than this is halved.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(10);

impl Rpc {
    /// Connects to one endpoint of the chain `chain_id`, `http://`, `https://`, `ws://` or `wss://`,
    /// or to several over HTTP, of which the next takes over when one does not answer; `on_switch` is
    /// told.
    ///
    /// # Errors
    /// [`ChainError::Endpoint`]; [`ChainError::Rpc`] when a socket can't be opened.
    pub async fn connect(
        urls: &[String],
        chain_id: u64,
        on_switch: impl Fn(Switch<'_>) + Send + Sync + 'static,
    ) -> Result<Self, ChainError> {
        if let [url] = urls
            && url.starts_with("ws")
        {
            let connecting = ProviderBuilder::default().connect(url);
            let provider = answer("connect", ANSWER_LIMIT, connecting).await?;
            return Ok(Self::new(provider, ANSWER_LIMIT));
        }
        let client = endpoint::client(urls, chain_id, on_switch)?;
        let provider = ProviderBuilder::default().connect_client(client);
        Ok(Self::new(provider, ANSWER_LIMIT))
    }

    /// Uses a provider that exists; `limit` is the longest that one question may take.
    pub fn new(provider: impl Provider<Ethereum> + 'static, limit: Duration) -> Self {
        Self {
            provider: provider.erased(),
            limit,
        }
    }

    /// The provider, for contract calls outside this crate.
    pub fn provider(&self) -> &DynProvider<Ethereum> {
        &self.provider
    }

    /// Refuses an endpoint of another chain, and a chain without these contracts.
    pub async fn check(&self, chain_id: u64, contracts: &[Address]) -> Result<(), ChainError> {
        let actual = self
            .ask("eth_chainId", self.provider.get_chain_id())
            .await?;
        if actual != chain_id {
            return Err(ChainError::WrongChain {
                expected: chain_id,
                actual,
            });
        }
        for contract in contracts {
            let code = self
                .ask("eth_getCode", self.provider.get_code_at(*contract))
                .await?;
            if code.is_empty() {
                return Err(ChainError::NoContract(*contract));
            }
        }
        Ok(())
    }

    /// Notifies `wake` of every new head that the endpoint pushes, until the connection ends; does
    /// nothing on a connection that cannot push. A pushed head is never used for anything but
    /// waking: the client library subscribes again after a reconnect without back-filling.
    pub async fn wake_on_heads(&self, wake: Arc<Notify>) {
        if let Ok(heads) = self.provider.subscribe_blocks().await {
            let mut heads = heads.into_stream();
            while heads.next().await.is_some() {
                wake.notify_one();
            }
        }
    }

    pub(crate) async fn header(&self, at: BlockNumberOrTag) -> Result<Option<Header>, RpcError> {
        let block = self
            .ask(
                "eth_getBlockByNumber",
                self.provider.get_block_by_number(at),
            )
            .await?;
        Ok(block.map(|block| Header {
            block: BlockRef {
                number: block.header.number(),
                hash: block.header.hash,
                parent: block.header.parent_hash(),
                timestamp_s: block.header.timestamp(),
            },
            bloom: block.header.logs_bloom(),
            base_fee_wei: block.header.base_fee_per_gas().map_or(0, u128::from),
        }))
    }

    /// The newest block.
    pub(crate) async fn head(&self) -> Result<Header, RpcError> {
        self.header(BlockNumberOrTag::Latest)
            .await?
            .ok_or(RpcError::Unreachable {
                method: "eth_getBlockByNumber",
                reason: "it has no latest block".into(),
            })
    }

    pub(crate) async fn logs(&self, filter: &Filter) -> Result<Vec<Log>, RpcError> {
        self.ask("eth_getLogs", self.provider.get_logs(filter))
            .await
    }

    /// Number of transactions of `account` in the chain up to `at`.
    pub(crate) async fn nonce(
        &self,
        account: Address,
        at: BlockNumberOrTag,
    ) -> Result<u64, RpcError> {
        let count = self
            .provider
            .get_transaction_count(account)
            .block_id(at.into());
        self.ask("eth_getTransactionCount", count).await
    }

    pub(crate) async fn balance(&self, account: Address) -> Result<U256, RpcError> {
        self.ask("eth_getBalance", self.provider.get_balance(account))
            .await
    }

    pub(crate) async fn call(
        &self,
        request: TransactionRequest,
        at: BlockNumberOrTag,
    ) -> Result<Bytes, RpcError> {
        self.ask("eth_call", self.provider.call(request).block(at.into()))
            .await
    }

    pub(crate) async fn estimate_gas(&self, request: TransactionRequest) -> Result<u64, RpcError> {
        self.ask("eth_estimateGas", self.provider.estimate_gas(request))
            .await
    }

    pub(crate) async fn suggested_tip_wei(&self) -> Result<u128, RpcError> {
        self.ask(
            "eth_maxPriorityFeePerGas",
            self.provider.get_max_priority_fee_per_gas(),
        )
        .await
    }

    pub(crate) async fn receipt(&self, hash: B256) -> Result<Option<TransactionReceipt>, RpcError> {
        self.ask(
            "eth_getTransactionReceipt",
            self.provider.get_transaction_receipt(hash),
        )
        .await
    }

    pub(crate) async fn publish(&self, raw: &[u8]) -> Result<(), RpcError> {
        self.ask(
            "eth_sendRawTransaction",
            self.provider.send_raw_transaction(raw),
        )
        .await
        .map(drop)
    }

    async fn ask<T>(
        &self,
        method: &'static str,
        question: impl IntoFuture<Output = TransportResult<T>>,
    ) -> Result<T, RpcError> {
        answer(method, self.limit, question).await
    }
}

async fn answer<T>(
    method: &'static str,
    limit: Duration,
    question: impl IntoFuture<Output = TransportResult<T>>,
) -> Result<T, RpcError> {
    match tokio::time::timeout(limit, question.into_future()).await {
        Err(_) => Err(RpcError::TimedOut { method, limit }),
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(RpcError::from_transport(method, error)),
    }
}

impl RpcError {
    fn from_transport(method: &'static str, error: TransportRpcError<TransportErrorKind>) -> Self {
        match error {
            TransportRpcError::ErrorResp(payload) => Self::Refused {
                method,
                code: payload.code,
                message: payload.message.to_string(),
                data: payload
                    .as_revert_data()
                    .or_else(|| payload.try_data_as::<Bytes>().and_then(Result::ok)),
            },
            error => Self::Unreachable {
                method,
                reason: error.to_string(),
            },
        }
    }
}
