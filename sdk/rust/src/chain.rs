//! What the client does on the chain itself: deposits, withdrawals, cancellations, and reading what
//! a node's answers are checked against. Everything else is sent by nodes.

pub(crate) mod auction;
pub(crate) mod draw;

use alloy::eips::BlockNumberOrTag;
use alloy::network::EthereumWallet;
use alloy::primitives::{Address, B256, Bytes, TxHash, U256};
use alloy::providers::{DynProvider, Provider as _, ProviderBuilder};
use alloy::rpc::types::Filter;
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol;
use alloy::sol_types::{Eip712Domain, SolCall, SolEvent as _};
use outcry_contracts::{Audits, Market, endpoint, refusal};
use outcry_protocol::codes::{self, Code};
use outcry_protocol::hash;
use serde::Serialize;

use crate::api::{Amount, TokenInfo};
use crate::error::Error;
use crate::network::Network;
use crate::units;

sol! {
    /// ERC-20 with what EIP-2612 and EIP-5267 add, as far as a deposit needs it.
    #[allow(missing_docs)]
    #[sol(rpc)]
    interface Erc20 {
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function approve(address spender, uint256 amount) external returns (bool);
        function name() external view returns (string);
        function nonces(address owner) external view returns (uint256);
        function DOMAIN_SEPARATOR() external view returns (bytes32);
    }

    /// ERC-3009, as the payee uses it.
    #[allow(missing_docs)]
    struct ReceiveWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    /// EIP-2612.
    #[allow(missing_docs)]
    struct Permit {
        address owner;
        address spender;
        uint256 value;
        uint256 nonce;
        uint256 deadline;
    }
}

/// Blocks of one question for logs: what public endpoints allow at least.
const LOG_RANGE_BLOCKS: u64 = 10_000;
/// Most questions for one log.
const LOG_QUESTIONS_MAX: u32 = 2_000;
/// Blocks by which a transaction may have moved since somebody saw it.
const REORG_BLOCKS: u64 = 64;
/// Seconds that a permit stays valid: some blocks, and no more.
const PERMIT_LIFE_S: u64 = 600;

/// One transaction, shown before it is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What it does, for people.
    pub what: String,
    /// The contract called.
    pub to: Address,
    /// Coin sent along, in wei.
    pub value: Amount,
    /// Calldata.
    pub data: Bytes,
    #[serde(skip)]
    verb: &'static str,
}

/// An owner's word that the market may take an amount of a token from its wallet, once, and credit it
/// to the owner (ERC-3009). Whoever holds it can send it; nobody can turn it to anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DepositAuthorization {
    /// The token.
    pub token: TokenInfo,
    /// Whose wallet pays and whose market balance grows.
    pub from: Address,
    /// Base units.
    pub amount: Amount,
    /// Unix seconds; valid before.
    pub valid_before: u64,
    /// The bid that it funds: the nonce, so that one bid is funded once.
    pub bid: B256,
    /// The owner's signature, 65 bytes.
    pub signature: Bytes,
}

/// What an account holds of one token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Holdings {
    /// The token.
    pub token: TokenInfo,
    /// Base units in the wallet.
    pub wallet: Amount,
    /// Base units on the market that no deal holds.
    pub market: Amount,
    /// Base units asked back from the market.
    pub withdrawing: Amount,
    /// Unix seconds from which they can be taken; 0 if none were asked.
    pub withdrawable_at: u64,
}

/// The chain's endpoint and the market on it.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Scheme, host and port of the endpoint.
    origin: String,
    chain_id: u64,
    market: Address,
    auction: Option<Address>,
    provider: DynProvider,
    signer: Option<PrivateKeySigner>,
}

impl Chain {
    /// The chain of a network; `signer` is needed for whatever sends a transaction.
    ///
    /// # Errors
    /// [`Error::Chain`] if the address is not one.
    pub fn new(network: &Network, signer: Option<PrivateKeySigner>) -> Result<Self, Error> {
        let client = endpoint::client(std::slice::from_ref(&network.rpc), network.chain_id, |_| ())
            .map_err(|e| Error::Chain {
                url: endpoint::origin_of(&network.rpc).to_owned(),
                what: "anything",
                reason: e.to_string(),
            })?;
        let provider = match &signer {
            Some(signer) => ProviderBuilder::new()
                .wallet(EthereumWallet::from(signer.clone()))
                .connect_client(client)
                .erased(),
            None => ProviderBuilder::new().connect_client(client).erased(),
        };
        Ok(Self::over(network, provider, signer))
    }

    /// The same over a connection that is there already, and that signs if transactions are to be sent.
    pub fn over(
        network: &Network,
        provider: DynProvider,
        signer: Option<PrivateKeySigner>,
    ) -> Self {
        Self {
            origin: endpoint::origin_of(&network.rpc).to_owned(),
            chain_id: network.chain_id,
            market: network.market,
            auction: network.auction,
            provider,
            signer,
        }
    }

    /// Checks that this is the network's chain and that the market is there.
    ///
    /// # Errors
    /// [`Error::WrongNetwork`], [`Error::Chain`].
    pub async fn check(&self) -> Result<(), Error> {
        let found = self
            .provider
            .get_chain_id()
            .await
            .map_err(|e| self.failed("its id", e))?;
        if found != self.chain_id {
            return Err(Error::WrongNetwork {
                what: "the chain's id",
                found: found.to_string(),
                expected: self.chain_id.to_string(),
            });
        }
        let code = self
            .provider
            .get_code_at(self.market)
            .await
            .map_err(|e| self.failed("the market's code", e))?;
        if code.is_empty() {
            return Err(Error::WrongNetwork {
                what: "the code at the market's address",
                found: "empty".to_owned(),
                expected: format!("a contract at {}", self.market),
            });
        }
        Ok(())
    }

    /// Unix seconds of the newest block.
    ///
    /// # Errors
    /// [`Error::Chain`].
    pub async fn now(&self) -> Result<u64, Error> {
        let block = self
            .provider
            .get_block_by_number(BlockNumberOrTag::Latest)
            .await
            .map_err(|e| self.failed("its newest block", e))?;
        block
            .map(|block| block.header.timestamp)
            .ok_or_else(|| self.failed("its newest block", "there is none"))
    }

    /// What an account holds.
    ///
    /// # Errors
    /// [`Error::Chain`].
    pub async fn holdings(&self, account: Address, token: &TokenInfo) -> Result<Holdings, Error> {
        let market = Market::new(self.market, &self.provider);
        let failed = |e| self.failed("a balance", e);
        let free = market
            .balanceOf(account, token.address)
            .call()
            .await
            .map_err(failed)?;
        let pending = market
            .pendingWithdrawal(account, token.address)
            .call()
            .await
            .map_err(failed)?;
        Ok(Holdings {
            token: token.clone(),
            wallet: Amount(self.wallet_balance(account, token.address).await?),
            market: Amount(free),
            withdrawing: Amount(pending.amount),
            withdrawable_at: pending.readyAt,
        })
    }

    /// The counter that the account's orders must carry.
    ///
    /// # Errors
    /// [`Error::Chain`].
    pub async fn counter(&self, account: Address) -> Result<u64, Error> {
        let market = Market::new(self.market, &self.provider);
        market
            .counterOf(account)
            .call()
            .await
            .map_err(|e| self.failed("an order counter", e))
    }

    /// Auditors of a deal that is drawn, fixed by the deployment.
    ///
    /// # Errors
    /// [`Error::Chain`].
    pub async fn auditors(&self) -> Result<u8, Error> {
        let failed = |e| self.failed("the number of auditors", e);
        let market = Market::new(self.market, &self.provider);
        let audits = market.parameters().call().await.map_err(failed)?.audits;
        let audits = Audits::new(audits, &self.provider);
        Ok(audits.parameters().call().await.map_err(failed)?.auditors)
    }

    /// The hash of the claim that was made for a deal, from the log that the market wrote with it;
    /// `None` if there was no claim since block `opened_in`. `claimed_in`, where somebody says the log
    /// stands, is looked at first and need not be right; then everything from the newest block back.
    ///
    /// # Errors
    /// [`Error::Chain`], also when the endpoint refuses even single blocks, or after
    /// very many questions.
    pub async fn claim_hash(
        &self,
        deal: B256,
        opened_in: u64,
        claimed_in: Option<u64>,
    ) -> Result<Option<B256>, Error> {
        let head = self
            .provider
            .get_block_number()
            .await
            .map_err(|e| self.failed("its newest block", e))?;
        // Taken from the end. A range that the endpoint finds too large is halved.
        let mut ranges = vec![(opened_in.min(head), head)];
        ranges.extend(claimed_in.map(|block| {
            let from = block.saturating_sub(REORG_BLOCKS);
            (from.min(head), block.saturating_add(REORG_BLOCKS).min(head))
        }));
        for _ in 0..LOG_QUESTIONS_MAX {
            let Some((from, to)) = ranges.pop() else {
                return Ok(None);
            };
            if to - from >= LOG_RANGE_BLOCKS {
                ranges.extend([
                    (from, to - LOG_RANGE_BLOCKS),
                    (to - LOG_RANGE_BLOCKS + 1, to),
                ]);
                continue;
            }
            let filter = Filter::new()
                .address(self.market)
                .event_signature(Market::DealClaimed::SIGNATURE_HASH)
                .topic1(deal)
                .from_block(from)
                .to_block(to);
            let logs = match self.provider.get_logs(&filter).await {
                Ok(logs) => logs,
                Err(error) if error.is_error_resp() && from < to => {
                    let middle = from + (to - from) / 2;
                    ranges.extend([(from, middle), (middle + 1, to)]);
                    continue;
                }
                Err(error) => return Err(self.failed("a claim's log", error)),
            };
            // A deal is claimed at most once.
            if let Some(log) = logs.last() {
                let claimed = Market::DealClaimed::decode_log_data(log.data())
                    .map_err(|e| self.failed("a claim's log", e))?;
                let claim = claimed.claim;
                return Ok(Some(hash::claim_hash(
                    deal,
                    claim.resultRoot,
                    claim.cycles,
                    claim.price,
                )));
            }
        }
        let reason = format!("not found with {LOG_QUESTIONS_MAX} questions");
        Err(self.failed("a claim's log", reason))
    }

    /// The transactions that move `amount` from the wallet to the market: one with a permit where
    /// the token has them, else an approval first.
    ///
    /// # Errors
    /// [`Error::WalletBalance`], [`Error::NoKey`], [`Error::Chain`].
    pub async fn plan_deposit(
        &self,
        token: &TokenInfo,
        amount: Amount,
    ) -> Result<Vec<Step>, Error> {
        let signer = self.signer()?;
        let account = signer.address();
        let wallet = self.wallet_balance(account, token.address).await?;
        if wallet < amount.0 {
            return Err(Error::WalletBalance {
                needed: units::show(amount, token),
                found: units::show(Amount(wallet), token),
            });
        }
        let what = format!("deposit {}", units::show(amount, token));
        if token.address.is_zero() {
            let call = Market::depositNativeCall {};
            return Ok(vec![self.step("deposit", what, self.market, amount, &call)]);
        }
        if let Some(call) = self.permit(signer, token.address, amount.0).await? {
            return Ok(vec![self.step(
                "deposit",
                what,
                self.market,
                Amount::ZERO,
                &call,
            )]);
        }
        let erc20 = Erc20::new(token.address, &self.provider);
        let allowance = erc20
            .allowance(account, self.market)
            .call()
            .await
            .map_err(|e| self.failed("an allowance", e))?;
        let mut steps = Vec::new();
        if allowance < amount.0 {
            let call = Erc20::approveCall {
                spender: self.market,
                amount: amount.0,
            };
            let what = format!("let the market take {}", units::show(amount, token));
            steps.push(self.step(
                "approve the deposit",
                what,
                token.address,
                Amount::ZERO,
                &call,
            ));
        }
        let call = Market::depositCall {
            token: token.address,
            amount: amount.0,
        };
        steps.push(self.step("deposit", what, self.market, Amount::ZERO, &call));
        Ok(steps)
    }

    /// Signs that the market may take `amount` for a bid within `life_s` seconds. Sends nothing: the
    /// account needs no coin for gas, because anybody can send [`Chain::plan_authorised_deposit`].
    ///
    /// # Errors
    /// [`Error::WalletBalance`], [`Error::NoKey`], [`Error::Signing`], [`Error::Chain`];
    /// [`Error::UnknownToken`] for a token whose signing domain is not the usual one.
    pub async fn authorise_deposit(
        &self,
        token: &TokenInfo,
        amount: Amount,
        bid: B256,
        life_s: u64,
    ) -> Result<DepositAuthorization, Error> {
        let signer = self.signer()?;
        let from = signer.address();
        let wallet = self.wallet_balance(from, token.address).await?;
        if wallet < amount.0 {
            return Err(Error::WalletBalance {
                needed: units::show(amount, token),
                found: units::show(Amount(wallet), token),
            });
        }
        let domain = self
            .token_domain(token.address)
            .await
            .ok_or_else(|| Error::UnknownToken(token.symbol.clone()))?;
        let valid_before = self.now().await?.saturating_add(life_s);
        let authorization = ReceiveWithAuthorization {
            from,
            to: self.market,
            value: amount.0,
            validAfter: U256::ZERO,
            validBefore: U256::from(valid_before),
            nonce: bid,
        };
        let signature = signer
            .sign_typed_data_sync(&authorization, &domain)
            .map_err(|e| Error::Signing(e.to_string()))?;
        Ok(DepositAuthorization {
            token: token.clone(),
            from,
            amount,
            valid_before,
            bid,
            signature: signature.as_bytes().into(),
        })
    }

    /// The transaction that makes an authorised deposit; its sender need not be its owner.
    pub fn plan_authorised_deposit(&self, authorisation: &DepositAuthorization) -> Step {
        let call = Market::depositWithAuthorizationCall {
            token: authorisation.token.address,
            from: authorisation.from,
            amount: authorisation.amount.0,
            validAfter: U256::ZERO,
            validBefore: U256::from(authorisation.valid_before),
            bidHash: authorisation.bid,
            signature: authorisation.signature.clone(),
        };
        let what = format!(
            "deposit {} of {}",
            units::show(authorisation.amount, &authorisation.token),
            authorisation.from
        );
        self.step("deposit", what, self.market, Amount::ZERO, &call)
    }

    /// The transaction that asks `amount` back from the market.
    ///
    /// # Errors
    /// [`Error::MarketBalance`], [`Error::NoKey`], [`Error::Chain`].
    pub async fn plan_withdrawal_request(
        &self,
        token: &TokenInfo,
        amount: Amount,
    ) -> Result<Step, Error> {
        let holdings = self.holdings(self.signer()?.address(), token).await?;
        if holdings.market < amount {
            return Err(Error::MarketBalance {
                needed: units::show(amount, token),
                found: units::show(holdings.market, token),
            });
        }
        let call = Market::requestWithdrawalCall {
            token: token.address,
            amount: amount.0,
        };
        let what = format!("ask {} back from the market", units::show(amount, token));
        Ok(self.step(
            "ask for a withdrawal",
            what,
            self.market,
            Amount::ZERO,
            &call,
        ))
    }

    /// The transaction that takes what was asked for, and how much that is.
    ///
    /// # Errors
    /// [`Error::NothingPending`], [`Error::TooEarly`], [`Error::NoKey`],
    /// [`Error::Chain`].
    pub async fn plan_withdrawal(&self, token: &TokenInfo) -> Result<(Step, Amount), Error> {
        let holdings = self.holdings(self.signer()?.address(), token).await?;
        let amount = holdings.withdrawing;
        if amount == Amount::ZERO {
            return Err(Error::NothingPending);
        }
        let now = self.now().await?;
        if now < holdings.withdrawable_at {
            let amount = units::show(amount, token);
            return Err(Error::TooEarly {
                amount,
                at: holdings.withdrawable_at,
                now,
            });
        }
        let call = Market::withdrawCall {
            token: token.address,
        };
        let what = format!("withdraw {}", units::show(amount, token));
        Ok((
            self.step("withdraw", what, self.market, Amount::ZERO, &call),
            amount,
        ))
    }

    /// The transaction that cancels one order by its salt.
    pub fn plan_cancel(&self, salt: U256) -> Step {
        let what = format!("cancel the order with salt {salt}");
        self.step(
            "cancel the order",
            what,
            self.market,
            Amount::ZERO,
            &Market::cancelOrderCall { salt },
        )
    }

    /// The transaction that cancels every order that the account has signed so far.
    pub fn plan_cancel_all(&self) -> Step {
        let what = "cancel every order signed so far".to_owned();
        self.step(
            "cancel all orders",
            what,
            self.market,
            Amount::ZERO,
            &Market::cancelAllCall {},
        )
    }

    /// Sends a transaction and waits until it is mined.
    ///
    /// # Errors
    /// [`Error::Reverted`] with the contract's reason, before anything is sent where that is
    /// possible; [`Error::NoKey`]; [`Error::Chain`].
    pub async fn execute(&self, step: &Step) -> Result<TxHash, Error> {
        let from = self.signer()?.address();
        let request = alloy::rpc::types::TransactionRequest::default()
            .from(from)
            .to(step.to)
            .value(step.value.0)
            .input(step.data.clone().into());
        let what = step.verb;
        self.provider
            .call(request.clone())
            .await
            .map_err(|e| self.refused(what, &e))?;
        let pending = self
            .provider
            .send_transaction(request)
            .await
            .map_err(|e| self.refused(what, &e))?;
        let receipt = pending
            .get_receipt()
            .await
            .map_err(|e| self.failed("a receipt", e))?;
        if !receipt.status() {
            let reason = format!("transaction {} reverted", receipt.transaction_hash);
            return Err(Error::Reverted {
                what,
                reason,
                code: &codes::CHAIN_REVERTED,
            });
        }
        Ok(receipt.transaction_hash)
    }

    async fn wallet_balance(&self, account: Address, token: Address) -> Result<U256, Error> {
        if token.is_zero() {
            return self
                .provider
                .get_balance(account)
                .await
                .map_err(|e| self.failed("a balance", e));
        }
        Erc20::new(token, &self.provider)
            .balanceOf(account)
            .call()
            .await
            .map_err(|e| self.failed("a token balance", e))
    }

    /// The domain under which a token's own messages are signed, if it is the usual one: its name and
    /// version "1", or "2" as of the stablecoins that were upgraded.
    async fn token_domain(&self, token: Address) -> Option<Eip712Domain> {
        let erc20 = Erc20::new(token, &self.provider);
        let name = erc20.name().call().await.ok()?;
        let separator = erc20.DOMAIN_SEPARATOR().call().await.ok()?;
        let domain = |version: &'static str| {
            alloy::sol_types::eip712_domain! {
                name: name.clone(),
                version: version,
                chain_id: self.chain_id,
                verifying_contract: token,
            }
        };
        ["1", "2"]
            .into_iter()
            .map(domain)
            .find(|domain| domain.separator() == separator)
    }

    /// A deposit with a permit, if the token has them under a domain that is known here: otherwise
    /// the signature would not be valid, and an approval does the same.
    async fn permit(
        &self,
        signer: &PrivateKeySigner,
        token: Address,
        amount: U256,
    ) -> Result<Option<Market::depositWithPermitCall>, Error> {
        let erc20 = Erc20::new(token, &self.provider);
        let Ok(nonce) = erc20.nonces(signer.address()).call().await else {
            return Ok(None);
        };
        let Some(domain) = self.token_domain(token).await else {
            return Ok(None);
        };
        let deadline = U256::from(self.now().await? + PERMIT_LIFE_S);
        let permit = Permit {
            owner: signer.address(),
            spender: self.market,
            value: amount,
            nonce,
            deadline,
        };
        let signature = signer
            .sign_typed_data_sync(&permit, &domain)
            .map_err(|e| Error::Signing(e.to_string()))?;
        Ok(Some(Market::depositWithPermitCall {
            token,
            amount,
            deadline,
            v: 27 + u8::from(signature.v()),
            r: signature.r().into(),
            s: signature.s().into(),
        }))
    }

    fn step<C: SolCall>(
        &self,
        verb: &'static str,
        what: String,
        to: Address,
        value: Amount,
        call: &C,
    ) -> Step {
        Step {
            what,
            to,
            value,
            data: call.abi_encode().into(),
            verb,
        }
    }

    fn signer(&self) -> Result<&PrivateKeySigner, Error> {
        self.signer
            .as_ref()
            .ok_or_else(|| Error::NoKey("this needs a transaction".to_owned()))
    }

    fn failed(&self, what: &'static str, reason: impl std::fmt::Display) -> Error {
        Error::Chain {
            url: self.origin.clone(),
            what,
            reason: reason.to_string(),
        }
    }

    /// A revert is an answer; everything else is the endpoint's failure.
    fn refused(&self, what: &'static str, error: &alloy::transports::TransportError) -> Error {
        let Some(response) = error.as_error_resp() else {
            return self.failed(what, error);
        };
        let named = response
            .as_revert_data()
            .and_then(|data| refusal::name_of_revert(&data))
            .map(str::to_owned);
        let reason = named.unwrap_or_else(|| response.message.to_string());
        let code = code_of(&reason);
        Error::Reverted { what, reason, code }
    }
}

/// The code of a contract's error that has a meaning of its own for a client.
fn code_of(error: &str) -> &'static Code {
    match error {
        "TokenTakesFee" => &codes::FUNDS_TOKEN_FEE,
        "TokenRebased" => &codes::FUNDS_TOKEN_REBASED,
        "BalanceInsufficient" => &codes::FUNDS_INSUFFICIENT,
        "NothingPending" => &codes::FUNDS_NOTHING_PENDING,
        "WithdrawalTooEarly" => &codes::FUNDS_WITHDRAWAL_EARLY,
        "AmountZero" | "AmountTooLarge" => &codes::FUNDS_AMOUNT,
        text if text.contains("insufficient funds") => &codes::FUNDS_GAS,
        _ => &codes::CHAIN_REVERTED,
    }
}
