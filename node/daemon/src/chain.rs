//! The node's way to the market contract: events into observations, views into facts, steps into
//! intents. What to do is decided elsewhere.

use std::time::Duration;

use alloy::eips::BlockId;
use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::providers::{DynProvider, Provider};
use alloy::rpc::client::BatchRequest;
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::SolCall;
use alloy::transports::TransportError;
use futures::{StreamExt, TryStreamExt, stream};
use outcry_chain::{
    ChainError, ChainEvent, ContractEvents, Intent, IntentKind, IntentReport, IntentStatus,
    MinedTransaction, Outcome, Rpc, Sender, Urgency,
};
use outcry_contracts::Audits::{self, AuditsInstance};
use outcry_contracts::Game::{self, GameEvents, GameInstance};
use outcry_contracts::Market::{self, MarketEvents, MarketInstance};
use outcry_contracts::Stake;
use outcry_protocol::book::{Fact, FactKey};
use outcry_protocol::codes::{self, Code, Coded};
use outcry_protocol::hash::Domain;
use outcry_protocol::signature::{self, Verdict};
use outcry_protocol::types::{Deal, Offer};
use outcry_protocol::{hash, money};
use outcry_store::Batch;
use tokio::sync::broadcast;

use crate::state::capacity::Reservation;
use crate::state::chain::{Event, Observed};
use crate::state::deal::{Change, DealRecord, Failure, Place};
use crate::state::dispute::{DisputeRecord, GameKey, Turn};

/// Longest that one view call may take.
const CALL_TIME_MAX: Duration = Duration::from_secs(10);
/// View calls of one request, and requests at once.
const CALLS_PER_REQUEST: usize = 100;
const REQUESTS_AT_ONCE: usize = 4;
/// Gas that a contract account may use to judge a signature, as in the market.
const ERC1271_GAS: u64 = 100_000;
/// What `isValidSignature` answers for a valid one (ERC-1271).
const ERC1271_MAGIC: [u8; 4] = [0x16, 0x26, 0xba, 0x7e];

/// Bits of an intent's round that count how often it was sent anew because the one before came to
/// nothing: more than there are blocks.
const ATTEMPT_BITS: u32 = 32;

/// Why the chain did not do or say something.
#[derive(Debug, thiserror::Error)]
pub enum ChainProblem {
    /// The endpoint does not answer, or not with what was asked.
    #[error("{0}")]
    Call(String),
    /// The sender or the reader refused.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The contract said no. Asking again changes nothing until the state does.
    #[error("the contract refused: {0}")]
    Refused(String),
    /// The node has no account to send from.
    #[error("this node has no account: set `account_key_file`")]
    NoAccount,
    /// The sender has ended.
    #[error("the sender has stopped")]
    Stopped,
}

impl Coded for ChainProblem {
    fn code(&self) -> &'static Code {
        match self {
            Self::Call(_) | Self::Stopped => &codes::CHAIN_UNREACHABLE,
            Self::Chain(error) => error.code(),
            Self::Refused(_) => &codes::CHAIN_REVERTED,
            Self::NoAccount => &codes::CONFIG_VALUE,
        }
    }
}

mod auction;
mod audits;

pub(crate) use audits::join_call;

/// The market on its chain.
#[derive(Debug, Clone)]
pub struct Chain {
    market: MarketInstance<DynProvider>,
    game: GameInstance<DynProvider>,
    audits: AuditsInstance<DynProvider>,
    sender: Option<Sender>,
    reports: broadcast::Sender<IntentReport>,
}

impl Chain {
    /// The market at an address; `sender` for a node with an account.
    #[must_use]
    pub fn new(
        rpc: &Rpc,
        market: Address,
        sender: Option<Sender>,
        reports: broadcast::Sender<IntentReport>,
    ) -> Self {
        Self {
            market: Market::new(market, rpc.provider().clone()),
            game: Game::new(Address::ZERO, rpc.provider().clone()),
            audits: Audits::new(Address::ZERO, rpc.provider().clone()),
            sender,
            reports,
        }
    }

    /// The same with the dispute game that the market names.
    #[must_use]
    pub fn with_game(mut self, game: Address) -> Self {
        self.game.set_address(game);
        self
    }

    /// What the deployment fixed.
    ///
    /// # Errors
    /// [`ChainProblem::Call`].
    pub async fn parameters(&self) -> Result<Market::Parameters, ChainProblem> {
        let call = self.market.parameters();
        timely("parameters", call.call()).await
    }

    /// What the deployment fixed about games.
    ///
    /// # Errors
    /// [`ChainProblem::Call`].
    pub async fn game_parameters(&self) -> Result<Game::GameParameters, ChainProblem> {
        let call = self.game.parameters();
        timely("parameters of the game", call.call()).await
    }

    /// Reads facts as of a block.
    ///
    /// # Errors
    /// [`ChainProblem::Call`], for example because the block is no longer on the chain.
    pub async fn facts(&self, keys: Vec<FactKey>, block: u64) -> Result<Vec<Fact>, ChainProblem> {
        let views: Vec<(FactKey, Vec<u8>)> = keys
            .into_iter()
            .filter_map(|key| Some((key, view_of(key)?)))
            .collect();
        let requests: Vec<_> = views.chunks(CALLS_PER_REQUEST).map(<[_]>::to_vec).collect();
        let requests = requests
            .into_iter()
            .map(|views| self.view_all(views, block));
        let facts: Vec<Vec<Fact>> = stream::iter(requests)
            .buffered(REQUESTS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(facts.concat())
    }

    /// Calls views of the market in one request to the endpoint.
    async fn view_all(
        &self,
        views: Vec<(FactKey, Vec<u8>)>,
        block: u64,
    ) -> Result<Vec<Fact>, ChainProblem> {
        let unsendable = |error: TransportError| ChainProblem::Call(error.to_string());
        let mut answers = Vec::with_capacity(views.len());
        let sending = {
            let mut batch = BatchRequest::new(Provider::client(self.market.provider()));
            for (key, data) in views {
                let call = TransactionRequest::default()
                    .to(*self.market.address())
                    .input(data.into());
                let params = (call, BlockId::number(block));
                let answer = batch.add_call::<_, Bytes>("eth_call", &params);
                answers.push((key, answer.map_err(unsendable)?));
            }
            batch.send()
        };
        timely("eth_call", sending).await?;
        let mut facts = Vec::with_capacity(answers.len());
        for (key, answer) in answers {
            let answer = timely("eth_call", answer).await?;
            let fact = fact_of(key, &answer);
            facts.extend(fact.map_err(|error| ChainProblem::Call(error.to_string()))?);
        }
        Ok(facts)
    }

    /// What an account has asked back, base units, and from when it may be taken, Unix seconds.
    ///
    /// # Errors
    /// [`ChainProblem::Call`].
    pub async fn pending_withdrawal(
        &self,
        account: Address,
        token: Address,
    ) -> Result<(U256, u64), ChainProblem> {
        let call = self.market.pendingWithdrawal(account, token);
        let pending = timely("pendingWithdrawal", call.call()).await?;
        Ok((pending.amount, pending.readyAt))
    }

    /// Wei that a challenge of a claim of this provider locks now.
    ///
    /// # Errors
    /// [`ChainProblem::Call`].
    pub async fn bond_for(
        &self,
        provider: Address,
        cycle_limit: u64,
    ) -> Result<u128, ChainProblem> {
        let call = self.game.bondFor(provider, cycle_limit);
        let bond = timely("bondFor", call.call()).await?;
        Ok(u128::try_from(bond).unwrap_or(u128::MAX))
    }

    /// Coins of an account on the market, wei.
    ///
    /// # Errors
    /// [`ChainProblem::Call`].
    pub async fn coins_of(&self, account: Address) -> Result<U256, ChainProblem> {
        let call = self.market.balanceOf(account, Address::ZERO);
        timely("balanceOf", call.call()).await
    }

    /// What an account has staked, base units of the protocol's token.
    ///
    /// # Errors
    /// [`ChainProblem::Call`].
    pub async fn stake_of(&self, stake: Address, account: Address) -> Result<U256, ChainProblem> {
        let stake = Stake::new(stake, self.market.provider().clone());
        let call = stake.stakeOf(account);
        timely("stakeOf", call.call()).await
    }

    /// Key of the provider's node, out of the call that opened its deal; `None` when the transaction
    /// is not a plain call of the market.
    ///
    /// # Errors
    /// [`ChainProblem::Call`].
    pub async fn peer_key_in(
        &self,
        opening: B256,
        offer: B256,
        domain: &Domain,
    ) -> Result<Option<B256>, ChainProblem> {
        let question =
            alloy::providers::Provider::get_transaction_by_hash(self.market.provider(), opening);
        let Some(found) = timely("eth_getTransactionByHash", question).await? else {
            return Ok(None);
        };
        let input = alloy::consensus::Transaction::input(&found);
        let calls = if let Ok(open) = Market::openCall::abi_decode(input) {
            vec![open.call]
        } else if let Ok(reopen) = Market::reopenCall::abi_decode(input) {
            vec![reopen.call]
        } else if let Ok(replace) = Market::replaceCall::abi_decode(input) {
            vec![replace._0]
        } else if let Ok(many) = Market::openManyCall::abi_decode(input) {
            many.calls
        } else {
            Vec::new()
        };
        let offers = calls.into_iter().map(|call| Offer::from(call.offer));
        Ok(offers
            .filter(|found| domain.offer_hash(found) == offer)
            .map(|found| found.peerKey)
            .next())
    }

    /// Block of a transaction and the gas that it used; `None` when it is in no block.
    ///
    /// # Errors
    /// [`ChainProblem::Call`].
    pub async fn gas_used(&self, transaction: B256) -> Result<Option<(u64, u64)>, ChainProblem> {
        let question = alloy::providers::Provider::get_transaction_receipt(
            self.market.provider(),
            transaction,
        );
        let receipt = timely("eth_getTransactionReceipt", question).await?;
        Ok(receipt.and_then(|receipt| Some((receipt.block_number?, receipt.gas_used))))
    }

    /// Whether `signature` is `signer`'s over `digest`: its key's, or by its contract's word.
    ///
    /// # Errors
    /// [`ChainProblem::Call`] when the contract had to be asked and the endpoint did not answer.
    pub async fn is_signed_by(
        &self,
        digest: B256,
        signer: Address,
        signature: &[u8],
    ) -> Result<bool, ChainProblem> {
        let is_valid = signature::check(digest, signer, signature) == Verdict::Valid;
        Ok(is_valid || self.contract_says(digest, signer, signature).await? == Some(true))
    }

    /// What the contract at `signer` says of a signature (ERC-1271); `None` if there is none, or none
    /// that answers at all.
    ///
    /// # Errors
    /// [`ChainProblem::Call`] when the endpoint did not answer.
    pub async fn contract_says(
        &self,
        digest: B256,
        signer: Address,
        signature: &[u8],
    ) -> Result<Option<bool>, ChainProblem> {
        let call = isValidSignatureCall {
            hash: digest,
            signature: signature.to_vec().into(),
        };
        let request = TransactionRequest::default()
            .to(signer)
            .gas_limit(ERC1271_GAS)
            .input(call.abi_encode().into());
        let answer = alloy::providers::Provider::call(self.market.provider(), request);
        match tokio::time::timeout(CALL_TIME_MAX, answer).await {
            Err(_) => Err(ChainProblem::Call(
                "isValidSignature was not answered in time".into(),
            )),
            Ok(Ok(answer)) if answer.is_empty() => Ok(None),
            Ok(Ok(answer)) => Ok(Some(answer.get(..4) == Some(&ERC1271_MAGIC[..]))),
            // A contract that reverts says no.
            Ok(Err(error)) if error.is_error_resp() => Ok(Some(false)),
            Ok(Err(error)) => Err(ChainProblem::Call(error.to_string())),
        }
    }

    /// Opens the deal of a reservation, anew, for what a failed deal left, or in the place of another: once.
    /// Unlike other calls about deals it could be made twice, and would open two; what a fork takes back is
    /// matched anew, as another reservation.
    ///
    /// # Errors
    /// [`ChainProblem`].
    pub async fn open(
        &self,
        reservation: &Reservation,
        over: Option<Over>,
    ) -> Result<MinedTransaction, ChainProblem> {
        let call = Market::OpenCall {
            bid: reservation.bid.bid.clone().into(),
            bidSignature: reservation.bid.signature.clone().into(),
            offer: reservation.offer.offer.clone().into(),
            offerSignature: reservation.offer.signature.clone().into(),
            job: reservation.bid.job.clone().into(),
            count: reservation.count,
        };
        let data = match over {
            None => Market::openCall { call }.abi_encode(),
            Some(Over::Failed(terms)) => Market::reopenCall {
                call,
                failedTerms: (*terms).into(),
            }
            .abi_encode(),
            Some(Over::Displaced(terms, offer)) => Market::replaceCall {
                _0: call,
                _1: (*terms).into(),
                _2: (*offer).into(),
            }
            .abi_encode(),
        };
        let (kind, subject) = opening(reservation);
        let mut intent = self.intent(kind, subject, data);
        intent.not_after_s = Some(reservation.not_after);
        self.send(intent).await
    }

    /// Whether the sender knows a reservation's opening, in whatever state.
    ///
    /// # Errors
    /// [`ChainProblem`].
    pub fn knows_opening(&self, reservation: &Reservation) -> Result<bool, ChainProblem> {
        let (kind, subject) = opening(reservation);
        let sender = self.sender.as_ref().ok_or(ChainProblem::NoAccount)?;
        let status = sender.status(&Intent::id_of(kind, subject, 0))?;
        Ok(status.is_some())
    }

    /// Cancels a deal in its admission window.
    ///
    /// # Errors
    /// [`ChainProblem`].
    pub async fn cancel_admission(
        &self,
        deal: &DealRecord,
        until: u64,
        applied: u64,
    ) -> Result<MinedTransaction, ChainProblem> {
        let data = Market::cancelAdmissionCall(deal.terms.clone().into()).abi_encode();
        let mut intent = self.intent(IntentKind::CancelAdmission, deal.id, data);
        (intent.urgency, intent.not_after_s) = (Urgency::Deadline, Some(until));
        self.send_anew(intent, 0, applied).await
    }

    /// Claims a deal. `tasks` as in the claim's calldata.
    ///
    /// # Errors
    /// [`ChainProblem`].
    pub async fn claim(
        &self,
        deal: &DealRecord,
        tasks: Vec<u8>,
        applied: u64,
    ) -> Result<MinedTransaction, ChainProblem> {
        let data = Market::claimCall {
            terms: deal.terms.clone().into(),
            tasks: tasks.into(),
        }
        .abi_encode();
        let mut intent = self.intent(IntentKind::Claim, deal.id, data);
        (intent.urgency, intent.not_after_s) = (Urgency::Deadline, Some(deal.terms.deadline));
        self.send_anew(intent, 0, applied).await
    }

    /// Accepts and finalises several claims in one transaction. What the contract skips leaves the
    /// transaction mined: if all of it is on the chain still, it counts as refused, and `round` makes the next
    /// try another one.
    ///
    /// # Errors
    /// [`ChainProblem`].
    pub async fn settle(
        &self,
        deals: &[(DealRecord, Option<Bytes>, bool)],
        round: u64,
        applied: u64,
    ) -> Result<MinedTransaction, ChainProblem> {
        let mut subject = Vec::with_capacity(deals.len() * 34);
        let mut settlements = Vec::with_capacity(deals.len());
        for (deal, accept, finalise) in deals {
            let Some(claim) = deal.claim() else { continue };
            subject.extend_from_slice(deal.id.as_slice());
            subject.extend_from_slice(&[u8::from(accept.is_some()), u8::from(*finalise)]);
            settlements.push(Market::Settlement {
                deal: deal.terms.clone().into(),
                claim: Market::Claim {
                    resultRoot: claim.claim.resultRoot,
                    cycles: claim.claim.cycles,
                    price: claim.claim.price,
                },
                acceptSignature: accept.clone().unwrap_or_default(),
                finalise: *finalise,
            });
        }
        let data = Market::settleManyCall { settlements }.abi_encode();
        let intent = self.intent(IntentKind::Settle, keccak256(subject), data);
        let sender = self.sender.as_ref().ok_or(ChainProblem::NoAccount)?;
        let status = |round| sender.status(&Intent::id_of(intent.kind, intent.subject, round));
        let next = next_round(round, applied, status)?;
        if next > round << ATTEMPT_BITS
            && let Some(IntentStatus::Done(Outcome::Mined { transaction, .. })) = status(next - 1)?
            && let Some((block, _)) = self.gas_used(transaction.hash).await?
            && block <= applied
        {
            let hash = transaction.hash;
            let reason = format!("the contract skipped every item of transaction {hash}");
            return Err(ChainProblem::Refused(reason));
        }
        self.send_anew(intent, round, applied).await
    }

    /// Reveals the demanded leaves of a deal's outputs.
    ///
    /// # Errors
    /// [`ChainProblem`].
    pub async fn answer_demand(
        &self,
        deal: &DealRecord,
        answers: Vec<Market::LeafAnswer>,
        applied: u64,
    ) -> Result<MinedTransaction, ChainProblem> {
        let Some(claim) = deal.claim() else {
            return Err(ChainProblem::Refused("the deal has no claim".into()));
        };
        let (terms, claim) = (deal.terms.clone().into(), claim.claim.into());
        let data = Market::answerDemandCall {
            _0: terms,
            _1: claim,
            _2: answers,
        }
        .abi_encode();
        let mut intent = self.intent(IntentKind::AnswerDemand, deal.id, data);
        intent.urgency = Urgency::Deadline;
        self.send_anew(intent, 0, applied).await
    }

    /// Answers for every demanded leaf of one task by the buyer's receipt. `leaves` is what is still
    /// demanded.
    ///
    /// # Errors
    /// [`ChainProblem`].
    pub async fn answer_demand_with_receipt(
        &self,
        deal: &DealRecord,
        leaves: &[(u32, u64)],
        opening: Market::TaskOpening,
        receipt: Bytes,
        applied: u64,
    ) -> Result<MinedTransaction, ChainProblem> {
        let Some(claim) = deal.claim() else {
            return Err(ChainProblem::Refused("the deal has no claim".into()));
        };
        let subject = keccak256([deal.id.0, B256::from(U256::from(opening.task)).0].concat());
        let leaves = leaves
            .iter()
            .map(|(task, leaf)| Market::LeafIndex {
                task: *task,
                leaf: *leaf,
            })
            .collect();
        let data = Market::answerDemandWithReceiptCall {
            _0: deal.terms.clone().into(),
            _1: claim.claim.into(),
            _2: leaves,
            _3: opening,
            _4: receipt,
        }
        .abi_encode();
        let mut intent = self.intent(IntentKind::AnswerDemand, subject, data);
        intent.urgency = Urgency::Deadline;
        self.send_anew(intent, 0, applied).await
    }

    /// Fails a deal whose demanded output was not revealed in time.
    ///
    /// # Errors
    /// [`ChainProblem`].
    pub async fn demand_timeout(
        &self,
        deal: &DealRecord,
        applied: u64,
    ) -> Result<MinedTransaction, ChainProblem> {
        let Some(claim) = deal.claim() else {
            return Err(ChainProblem::Refused("the deal has no claim".into()));
        };
        let data = Market::demandTimeoutCall {
            _0: deal.terms.clone().into(),
            _1: claim.claim.into(),
        }
        .abi_encode();
        let intent = self.intent(IntentKind::DemandTimeout, deal.id, data);
        self.send_anew(intent, 0, applied).await
    }

    /// Fails a deal that was not claimed by its deadline.
    ///
    /// # Errors
    /// [`ChainProblem`].
    pub async fn timeout(
        &self,
        deal: &DealRecord,
        applied: u64,
    ) -> Result<MinedTransaction, ChainProblem> {
        let data = Market::timeoutCall {
            terms: deal.terms.clone().into(),
        }
        .abi_encode();
        let intent = self.intent(IntentKind::Timeout, deal.id, data);
        self.send_anew(intent, 0, applied).await
    }

    /// Calls the game, as one transaction. `subject` and `round` name what it is about: the game and
    /// the sections made in it, say. As [`Chain::send_anew`].
    ///
    /// # Errors
    /// [`ChainProblem`].
    pub async fn call_game(
        &self,
        kind: IntentKind,
        subject: B256,
        round: u64,
        mut calls: Vec<Vec<u8>>,
        not_after_s: Option<u64>,
        applied: u64,
    ) -> Result<MinedTransaction, ChainProblem> {
        let data = match (calls.pop(), calls.is_empty()) {
            (Some(call), true) => call,
            (last, _) => {
                calls.extend(last);
                let calls = calls.into_iter().map(Bytes::from).collect();
                Game::multicallCall { calls }.abi_encode()
            }
        };
        let mut intent = Intent::call(kind, subject, *self.game.address(), data);
        intent.not_after_s = not_after_s;
        intent.urgency = match kind {
            IntentKind::Verdict | IntentKind::Collect | IntentKind::Seat => Urgency::Normal,
            // A clock runs.
            _ => Urgency::Deadline,
        };
        self.send_anew(intent, round, applied).await
    }

    /// Sends an intent. One of the same name is taken up, unless it came to nothing: it was refused, or
    /// it was mined in a block up to `applied`, whose effects the caller knows, and a fork took it back.
    async fn send_anew(
        &self,
        mut intent: Intent,
        round: u64,
        applied: u64,
    ) -> Result<MinedTransaction, ChainProblem> {
        let sender = self.sender.as_ref().ok_or(ChainProblem::NoAccount)?;
        intent.round = next_round(round, applied, |round| {
            sender.status(&Intent::id_of(intent.kind, intent.subject, round))
        })?;
        self.send(intent).await
    }

    fn intent(&self, kind: IntentKind, subject: B256, data: Vec<u8>) -> Intent {
        Intent::call(kind, subject, *self.market.address(), data)
    }

    /// Hands an intent in and waits until it is in a block or never will be.
    async fn send(&self, intent: Intent) -> Result<MinedTransaction, ChainProblem> {
        let sender = self.sender.as_ref().ok_or(ChainProblem::NoAccount)?;
        let mut reports = self.reports.subscribe();
        let id = sender.submit(&intent, Batch::new()).await?;
        loop {
            let outcome = match reports.recv().await {
                Ok(report) if report.id == id => report.outcome,
                Ok(_) => continue,
                Err(broadcast::error::RecvError::Closed) => return Err(ChainProblem::Stopped),
                Err(broadcast::error::RecvError::Lagged(_)) => match sender.status(&id)? {
                    Some(IntentStatus::Done(outcome)) => outcome,
                    _ => continue,
                },
            };
            match outcome {
                Outcome::Mined { transaction, .. } if transaction.success => {
                    return Ok(transaction);
                }
                Outcome::Mined { transaction, .. } => {
                    return Err(ChainProblem::Refused(format!(
                        "transaction {} reverted",
                        transaction.hash
                    )));
                }
                Outcome::Unmined => {}
                Outcome::Reverted { revert, .. } => {
                    return Err(ChainProblem::Refused(revert.reason));
                }
                Outcome::Failed { reason } => return Err(ChainProblem::Refused(reason)),
            }
        }
    }
}

/// The deal whose tasks an opening takes over.
#[derive(Debug, Clone)]
pub enum Over {
    /// It failed, or was cancelled.
    Failed(Box<Deal>),
    /// It is open, and this was its offer: a better one takes its place.
    Displaced(Box<Deal>, Box<Offer>),
}

/// What names a reservation's opening: the match, and the offer, since each attempt to serve a draw has an
/// offer of its own.
fn opening(reservation: &Reservation) -> (IntentKind, B256) {
    let kind = if reservation.displaced.is_some() {
        IntentKind::Replace
    } else if reservation.failed.is_some() {
        IntentKind::Reopen
    } else {
        IntentKind::Open
    };
    let salt = B256::from(reservation.offer.offer.salt);
    (kind, keccak256([reservation.id.0, salt.0].concat()))
}

/// The first attempt that has not come to nothing: it is to be sent, or on its way, or in a block beyond
/// `applied`. How often that may be is not bounded, because a game that nobody goes on with is lost; whoever
/// repeats what is refused does so ever more slowly.
fn next_round(
    round: u64,
    applied: u64,
    status: impl Fn(u64) -> Result<Option<IntentStatus>, ChainError>,
) -> Result<u64, ChainError> {
    let mut attempt = round << ATTEMPT_BITS;
    loop {
        let came_to_nothing = match status(attempt)? {
            Some(IntentStatus::Done(Outcome::Mined { transaction, .. })) => {
                !transaction.success || transaction.block_number <= applied
            }
            Some(IntentStatus::Done(_)) => true,
            Some(IntentStatus::Queued | IntentStatus::Sent { .. }) | None => false,
        };
        if !came_to_nothing {
            return Ok(attempt);
        }
        attempt += 1;
    }
}

alloy::sol! {
    /// ERC-1271.
    function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4);
}

async fn timely<T, E: std::fmt::Display>(
    what: &str,
    call: impl std::future::IntoFuture<Output = Result<T, E>>,
) -> Result<T, ChainProblem> {
    match tokio::time::timeout(CALL_TIME_MAX, call.into_future()).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(ChainProblem::Call(format!("{what}: {error}"))),
        Err(_) => Err(ChainProblem::Call(format!(
            "{what} was not answered in time"
        ))),
    }
}

/// The call of the market that says a fact; `None` for those that follow from a deal's history instead.
fn view_of(key: FactKey) -> Option<Vec<u8>> {
    Some(match key {
        FactKey::Balance(account, token) => Market::balanceOfCall { account, token }.abi_encode(),
        FactKey::Counter(account) => Market::counterOfCall { account }.abi_encode(),
        FactKey::Salt(account, salt) => Market::orderStateCall { account, salt }.abi_encode(),
        FactKey::Taken(bid) => Market::tasksTakenCall { bidHash: bid }.abi_encode(),
        FactKey::Slots(provider, capacity_id) => Market::openSlotsCall {
            provider,
            capacityId: capacity_id,
        }
        .abi_encode(),
        FactKey::Barred(bid, provider) => Market::isBarredCall {
            bidHash: bid,
            provider,
        }
        .abi_encode(),
        FactKey::Freed(..) => return None,
    })
}

/// What the answer to [`view_of`] says.
fn fact_of(key: FactKey, answer: &[u8]) -> Result<Option<Fact>, alloy::sol_types::Error> {
    Ok(Some(match key {
        FactKey::Balance(account, token) => {
            let free = Market::balanceOfCall::abi_decode_returns(answer)?;
            Fact::Balance {
                account,
                token,
                free: u128::try_from(free).unwrap_or(u128::MAX),
            }
        }
        FactKey::Counter(account) => Fact::Counter {
            account,
            counter: Market::counterOfCall::abi_decode_returns(answer)?,
        },
        FactKey::Salt(account, salt) => {
            let bits = Market::orderStateCall::abi_decode_returns(answer)?;
            Fact::Salt {
                account,
                salt,
                cancelled: bits.cancelled,
                taken: bits.taken,
                partly: bits.partly,
            }
        }
        FactKey::Taken(bid) => Fact::Taken {
            bid,
            tasks: Market::tasksTakenCall::abi_decode_returns(answer)?,
        },
        FactKey::Slots(provider, capacity_id) => Fact::Slots {
            provider,
            capacity_id,
            open: Market::openSlotsCall::abi_decode_returns(answer)?,
        },
        FactKey::Barred(bid, provider) => Fact::Barred {
            bid,
            provider,
            barred: Market::isBarredCall::abi_decode_returns(answer)?,
        },
        FactKey::Freed(..) => return Ok(None),
    }))
}

/// Names of the market's errors, for the sender.
#[must_use]
pub fn decode_refusal(data: &[u8]) -> Option<String> {
    outcry_chain::market_refusal(data)
}

/// The contracts' events in the words of the state. Skipped items of batches change nothing.
#[must_use]
pub fn observe(event: ChainEvent<ContractEvents>, fee_bps: u16) -> Vec<Event> {
    let place = Place {
        block: event.block.number,
        at: event.block.timestamp_s,
        log_index: event.log_index,
        transaction: event.transaction,
    };
    let changed = |deal, change| Observed::Changed { deal, change };
    let event = match event.event {
        ContractEvents::Market(event) => event,
        ContractEvents::Game(event) => {
            let observed = observe_game(event, place);
            return vec![Event { place, observed }];
        }
        ContractEvents::Audits(event) => {
            let observed = audits::observe(event, place).map(Observed::Audit);
            return observed
                .map(|observed| Event { place, observed })
                .into_iter()
                .collect();
        }
        ContractEvents::Auction(event) => {
            let observed = auction::observe(event);
            return observed
                .map(|observed| Event { place, observed })
                .into_iter()
                .collect();
        }
    };
    let observed = match event {
        MarketEvents::JobPosted(e) => Observed::JobPosted {
            bid: e.bidHash,
            job: e.job.into(),
        },
        MarketEvents::DealOpened(e) => Observed::Opened {
            deal: e.dealId,
            terms: Box::new(Deal::from(e.deal)),
        },
        MarketEvents::DealReopened(e) => Observed::TookOver {
            failed: e.failedDealId,
            by: e.dealId,
        },
        MarketEvents::DealReplaced(e) => changed(
            e.displacedId,
            Change::Replaced {
                by: e.dealId,
                sender: e.sender,
                idle_fee: u128::try_from(e.idleFee).unwrap_or(u128::MAX),
            },
        ),
        MarketEvents::AdmissionCancelled(e) => {
            let burned_by_buyer = u128::try_from(e.burnedByBuyer).unwrap_or(u128::MAX);
            changed(
                e.dealId,
                Change::Cancelled {
                    by: e.by,
                    burned_by_buyer,
                },
            )
        }
        MarketEvents::DealClaimed(e) => changed(
            e.dealId,
            Change::Claimed {
                claim_hash: hash::claim_hash(
                    e.dealId,
                    e.claim.resultRoot,
                    e.claim.cycles,
                    e.claim.price,
                ),
                result_root: e.claim.resultRoot,
                cycles: e.claim.cycles,
                price: e.claim.price,
                tasks: e.tasks,
            },
        ),
        MarketEvents::DealPaid(e) => {
            let fee = money::fee(e.paid, fee_bps);
            let paid = Event {
                place,
                observed: changed(e.dealId, Change::Paid { paid: e.paid, fee }),
            };
            let finalised = Event {
                place,
                observed: changed(e.dealId, Change::Finalised),
            };
            return if e.finalised {
                vec![paid, finalised]
            } else {
                vec![paid]
            };
        }
        MarketEvents::DealFinalised(e) => changed(e.dealId, Change::Finalised),
        MarketEvents::DealFailed(e) => {
            let narrow = |value: U256| u128::try_from(value).unwrap_or(u128::MAX);
            let failure = match e.failure {
                0 => Failure::Timeout,
                1 => Failure::OutputWithheld,
                2 => Failure::ClaimRefuted,
                _ => Failure::AuditUnanswered,
            };
            let (refunded, to_buyer, burned) =
                (narrow(e.refunded), narrow(e.toBuyer), narrow(e.burned));
            changed(
                e.dealId,
                Change::Failed {
                    failure,
                    refunded,
                    to_buyer,
                    burned,
                },
            )
        }
        MarketEvents::DealChallenged(e) => changed(e.dealId, Change::Challenged),
        MarketEvents::ChallengeResolved(e) => {
            changed(e.dealId, Change::Resolved { stands: e.stands })
        }
        MarketEvents::OutputDemanded(e) => {
            let leaves = e.leaves.iter().map(|leaf| (leaf.task, leaf.leaf)).collect();
            changed(
                e.dealId,
                Change::Demanded {
                    deadline: e.deadline,
                    leaves,
                },
            )
        }
        MarketEvents::ReceiptShown(e) => changed(e.dealId, Change::ReceiptShown { task: e.task }),
        MarketEvents::DemandAnswered(e) => changed(e.dealId, Change::DemandAnswered),
        MarketEvents::DealAudited(e) => changed(e.dealId, Change::Audited),
        MarketEvents::AuditResolved(e) => changed(
            e.dealId,
            Change::AuditResolved {
                answered: e.answered,
            },
        ),
        MarketEvents::OrderCancelled(e) => Observed::Cancelled {
            account: e.account,
            salt: e.salt,
        },
        MarketEvents::AllOrdersCancelled(e) => Observed::AllCancelled {
            account: e.account,
            counter: e.counter,
        },
        MarketEvents::Deposited(e) => Observed::Balance {
            account: e.account,
            token: e.token,
        },
        MarketEvents::WithdrawalRequested(e) => Observed::Balance {
            account: e.account,
            token: e.token,
        },
        MarketEvents::Withdrawn(e) => Observed::Balance {
            account: e.account,
            token: e.token,
        },
        _ => return Vec::new(),
    };
    vec![Event { place, observed }]
}

fn observe_game(event: GameEvents, place: Place) -> Observed {
    let narrow = |value: U256| u128::try_from(value).unwrap_or(u128::MAX);
    let went_on = |game, turn| Observed::GameWentOn { game, turn };
    match event {
        GameEvents::Challenged(e) => Observed::GameBegan(Box::new(DisputeRecord {
            id: e.game,
            deal: e.dealId,
            key: GameKey {
                claim_hash: e.key.claimHash,
                task: e.key.task,
                challenger: e.key.challenger,
                until: e.key.until,
            },
            provider: e.provider,
            initial: e.initial,
            asserted: e.asserted,
            halted: e.halted,
            sections: e.sections,
            clock_s: e.clock,
            bond: e.bond,
            history: vec![(place, Turn::Challenged { seated: e.seated })],
        })),
        GameEvents::Sectioned(e) => went_on(
            e.game,
            Turn::Sectioned {
                part: e.part,
                ends: e.ends.into(),
            },
        ),
        GameEvents::Seated(e) => went_on(e.game, Turn::Seated),
        GameEvents::Ended(e) => went_on(
            e.game,
            Turn::Ended {
                challenger_won: e.challengerWon,
                by_timeout: e.byTimeout,
            },
        ),
        GameEvents::Settled(e) => Observed::ClaimDecided {
            claim_hash: e.claimHash,
            turn: Turn::Settled {
                stands: e.stands,
                winner: e.winner,
                reward: e.reward,
            },
        },
        GameEvents::Collected(e) => went_on(
            e.game,
            Turn::Collected {
                to_challenger: narrow(e.toChallenger),
                to_provider: narrow(e.toProvider),
                burned: narrow(e.burned),
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// Answers JSON-RPC requests of many calls, the last call first: each call of a view of one account
    /// with that account's last bytes. Ends with the numbers of calls of so many requests.
    async fn answer_backwards(listener: TcpListener, requests: usize) -> Vec<usize> {
        let mut counts = Vec::new();
        while counts.len() < requests {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let body = loop {
                let mut part = [0; 4096];
                let count = stream.read(&mut part).await.unwrap();
                request.extend_from_slice(&part[..count]);
                let text = String::from_utf8_lossy(&request).to_lowercase();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length = head.split_once("content-length: ").unwrap().1;
                    let length = length.split("\r\n").next().unwrap();
                    if body.len() >= length.parse::<usize>().unwrap() {
                        break body.to_owned();
                    }
                }
            };
            let calls: Vec<serde_json::Value> = serde_json::from_str(&body).unwrap();
            counts.push(calls.len());
            let answers = calls.iter().rev().map(|call| {
                let data = call["params"][0]["input"].as_str().unwrap();
                let word = format!("0x{:0>64}", &data[data.len() - 8..]);
                serde_json::json!({"jsonrpc": "2.0", "id": call["id"], "result": word})
            });
            let answer = serde_json::to_string(&answers.collect::<Vec<_>>()).unwrap();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
            let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        counts.sort_unstable();
        counts
    }

    #[tokio::test]
    async fn many_facts_are_read_in_few_requests_whatever_the_order_of_the_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answering = tokio::spawn(answer_backwards(listener, 3));
        let rpc = Rpc::connect(&[url], 1, |_| ()).await.unwrap();
        let chain = Chain::new(&rpc, Address::ZERO, None, broadcast::channel(1).0);
        let account = |number: u64| Address::left_padding_from(&number.to_be_bytes());
        let keys = (0..250).map(|number| FactKey::Counter(account(number)));
        let facts = chain.facts(keys.collect(), 1).await.unwrap();
        let expected = (0..250).map(|counter| Fact::Counter {
            account: account(counter),
            counter,
        });
        assert_eq!(facts, Vec::from_iter(expected));
        assert_eq!(answering.await.unwrap(), [50, 100, 100]);
    }

    fn mined_in(block_number: u64) -> IntentStatus {
        IntentStatus::Done(Outcome::Mined {
            transaction: MinedTransaction {
                hash: B256::ZERO,
                block_number,
                block_hash: B256::ZERO,
                success: true,
                gas_used: 1,
                gas_price_wei: 1,
            },
            depth: 1,
            settled: false,
        })
    }

    #[test]
    fn what_was_refused_a_thousand_times_is_sent_again_under_a_name_of_its_own() {
        let refused = |tries: u64, then: Option<IntentStatus>| {
            move |round: u64| {
                Ok(match (round >> 32, round & 0xffff_ffff) {
                    (3, attempt) if attempt < tries => Some(IntentStatus::Done(Outcome::Failed {
                        reason: "refused".into(),
                    })),
                    (3, attempt) if attempt == tries => then.clone(),
                    (3, _) => None,
                    // Another move of the same game.
                    _ => Some(IntentStatus::Queued),
                })
            }
        };
        let first = 3 << 32;
        assert_eq!(next_round(3, 9, refused(0, None)).unwrap(), first);
        assert_eq!(next_round(3, 9, refused(1000, None)).unwrap(), first + 1000);
        // What may still count is waited for; what a fork took back is sent again.
        for (then, next) in [
            (IntentStatus::Queued, 1000),
            (mined_in(10), 1000),
            (mined_in(9), 1001),
        ] {
            let found = next_round(3, 9, refused(1000, Some(then)));
            assert_eq!(found.unwrap(), first + next);
        }
    }
}
