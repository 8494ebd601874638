//! What the node wants to happen on the chain, named so that wanting it twice is wanting it once.

use std::fmt;

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    sol_types::SolValue,
};
use outcry_store::{Batch, keys};
use serde::{Deserialize, Serialize};

use crate::{ChainError, revert::Revert};

/// What a transaction is for. The set is closed, so that it can label metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
#[non_exhaustive]
pub enum IntentKind {
    /// Take the place of a nonce that nothing else will use.
    Fill = 0,
    /// Open one deal.
    Open = 1,
    /// Open several deals.
    OpenMany = 2,
    /// Take over the range of a failed deal.
    Reopen = 3,
    /// Cancel in the admission window.
    CancelAdmission = 4,
    /// Claim payment.
    Claim = 5,
    /// Accept and finalise several claims.
    Settle = 6,
    /// Finalise one claim.
    Finalise = 7,
    /// Report a missed deadline.
    Timeout = 8,
    /// Demand output leaves.
    DemandOutput = 9,
    /// Answer such a demand.
    AnswerDemand = 10,
    /// Report an unanswered demand.
    DemandTimeout = 11,
    /// Cancel orders.
    CancelOrders = 12,
    /// Move tokens into the market.
    Deposit = 13,
    /// Move tokens out of it.
    Withdraw = 14,
    /// Allow a token transfer.
    Approve = 15,
    /// Stake.
    Stake = 16,
    /// Challenge a claim.
    Challenge = 17,
    /// Name a part of the opponent's list and assert one of it.
    Section = 18,
    /// Prove a step, which wins a game.
    Prove = 19,
    /// End a game whose mover's clock has run out.
    GameTimeout = 20,
    /// Give the market the verdict on a claim.
    Verdict = 21,
    /// Pay out games.
    Collect = 22,
    /// Give free seats to games that wait for one.
    Seat = 23,
    /// Name the block of a beacon, or record its hash.
    Beat = 24,
    /// Open the audit of a claim that was drawn.
    OpenAudit = 25,
    /// Commit to what an audit found.
    Commit = 26,
    /// Show what was committed to.
    Reveal = 27,
    /// Judge an audit, which pays and slashes.
    CloseAudit = 28,
    /// Take a seat among those who audit.
    Join = 29,
    /// Give it up.
    Retire = 30,
    /// Take the place of a deal with a better offer.
    Replace = 31,
    /// End a draw on reserved capacity.
    EndDraw = 32,
    /// Bring a round of the auction on.
    Tend = 33,
}

impl IntentKind {
    /// Its name, as in metrics and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fill => "fill",
            Self::Open => "open",
            Self::OpenMany => "open_many",
            Self::Reopen => "reopen",
            Self::CancelAdmission => "cancel_admission",
            Self::Claim => "claim",
            Self::Settle => "settle",
            Self::Finalise => "finalise",
            Self::Timeout => "timeout",
            Self::DemandOutput => "demand_output",
            Self::AnswerDemand => "answer_demand",
            Self::DemandTimeout => "demand_timeout",
            Self::CancelOrders => "cancel_orders",
            Self::Deposit => "deposit",
            Self::Withdraw => "withdraw",
            Self::Approve => "approve",
            Self::Stake => "stake",
            Self::Challenge => "challenge",
            Self::Section => "section",
            Self::Prove => "prove",
            Self::GameTimeout => "game_timeout",
            Self::Verdict => "verdict",
            Self::Collect => "collect",
            Self::Seat => "seat",
            Self::Beat => "beat",
            Self::OpenAudit => "open_audit",
            Self::Commit => "commit",
            Self::Reveal => "reveal",
            Self::CloseAudit => "close_audit",
            Self::Join => "join",
            Self::Retire => "retire",
            Self::Replace => "replace",
            Self::EndDraw => "end_draw",
            Self::Tend => "tend",
        }
    }
}

impl fmt::Display for IntentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which intents go first while there are more than may be in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// Something is lost if it comes late: claims, answers.
    Deadline,
    /// Somebody waits.
    #[default]
    Normal,
    /// Any time will do: settlements, withdrawals.
    Idle,
}

/// Identity of an intent: keccak of its kind, subject and round.
pub type IntentId = B256;

/// One thing to be done on the chain, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// What for.
    pub kind: IntentKind,
    /// About what: a deal id, an order hash.
    pub subject: B256,
    /// Which attempt; the next one after an answer that was "no".
    pub round: u64,
    /// The contract.
    pub to: Address,
    /// The call.
    pub data: Bytes,
    /// Native coin sent along, in wei.
    pub value: U256,
    /// How much it hurries.
    pub urgency: Urgency,
    /// Chain time, in seconds, after which it is no longer sent; what is already sent stays sent.
    pub not_after_s: Option<u64>,
}

impl Intent {
    /// A call without value, of normal urgency, in round 0.
    pub fn call(kind: IntentKind, subject: B256, to: Address, data: impl Into<Bytes>) -> Self {
        Self {
            kind,
            subject,
            round: 0,
            to,
            data: data.into(),
            value: U256::ZERO,
            urgency: Urgency::Normal,
            not_after_s: None,
        }
    }

    /// Its identity.
    pub fn id(&self) -> IntentId {
        Self::id_of(self.kind, self.subject, self.round)
    }

    /// The identity of an intent with this kind, subject and round.
    pub fn id_of(kind: IntentKind, subject: B256, round: u64) -> IntentId {
        keccak256((kind.as_str().to_string(), subject, round).abi_encode())
    }

    /// Adds the intent of `account` to a batch, so that it is journalled together with the effects
    /// that it follows from. Wake the sender after the batch is applied.
    pub fn journal(&self, account: Address, batch: &mut Batch) -> Result<IntentId, ChainError> {
        let id = self.id();
        let value =
            serde_json::to_vec(self).map_err(|error| ChainError::Journal(error.to_string()))?;
        batch.put(keys::outbox(&account.into_array(), &id.0), value);
        Ok(id)
    }
}

/// A mined transaction of an intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinedTransaction {
    /// Its hash.
    pub hash: B256,
    /// The block's number.
    pub block_number: u64,
    /// The block's hash.
    pub block_hash: B256,
    /// Whether it took effect; `false`: it reverted.
    pub success: bool,
    /// Gas charged.
    pub gas_used: u64,
    /// Price paid per gas, in wei.
    pub gas_price_wei: u128,
}

/// What became of an intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is in a block. Reported again whenever the depth changes, until it is settled.
    Mined {
        /// The transaction.
        transaction: MinedTransaction,
        /// Blocks from its own to the head, both counted.
        depth: u64,
        /// Whether the block is settled; nothing more is reported after that.
        settled: bool,
    },
    /// A fork took it out of its block. It is sent again.
    Unmined,
    /// The contract said no: in simulation, so that nothing was sent, or in a settled block.
    Reverted {
        /// What it said.
        revert: Revert,
        /// The reverted transaction, when one was mined.
        transaction: Option<MinedTransaction>,
    },
    /// It was never sent and never will be.
    Failed {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// Whether nothing more will happen to the intent.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Mined { settled, .. } => *settled,
            Self::Unmined => false,
            Self::Reverted { .. } | Self::Failed { .. } => true,
        }
    }
}

/// An outcome and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentReport {
    /// The intent.
    pub id: IntentId,
    /// Its kind.
    pub kind: IntentKind,
    /// Its subject.
    pub subject: B256,
    /// Its round.
    pub round: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// How far an intent has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntentStatus {
    /// Journalled, without a nonce.
    Queued,
    /// Journalled with a nonce and these transaction hashes, newest last.
    Sent {
        /// The nonce.
        nonce: u64,
        /// The hashes.
        hashes: Vec<B256>,
    },
    /// Over.
    Done(Outcome),
}

/// Gas used by the settled transactions of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GasUse {
    /// Transactions.
    pub transactions: u64,
    /// Gas charged.
    pub gas: u64,
    /// Fees paid, in wei.
    pub fees_wei: u128,
}
