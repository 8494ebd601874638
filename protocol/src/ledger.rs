//! A model of the market's ledger: what each step of a deal does with money.
//!
//! The contract holds the money; this is the same rule in a form that can be tested for
//! conservation and read in one page, and by which a client can predict a balance. Not modelled:
//! deposits' tokens, withdrawal delays, clocks (the caller names events that are due), payouts of a
//! game (its whole slash burns here), how the audits divide a fee (it stays under their name here),
//! and a receipt's claim on the demand bond.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, U256};

use crate::codes::{self, Code, Coded};
use crate::deal;
use crate::lifecycle::{DealEvent, DealState, Refused};
use crate::money::{self, BURN};
use crate::types::{Claim, Deal};

/// The chain's own coin, as a token.
pub const NATIVE: Address = Address::ZERO;

/// The deployment parameters that move money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Wei that a provider locks for each deal besides its collateral.
    pub collateral_floor: u128,
    /// Part of the escrow that each side burns on a cancellation in admission, basis points.
    pub admission_fee_bps: u16,
    /// Part of the price that goes to the collector, basis points.
    pub fee_bps: u16,
    /// Wei that a buyer locks while its demand for output is open.
    pub demand_bond: u128,
    /// Who gets the fee.
    pub fee_collector: Address,
    /// Whose balance an audit's fee joins until the audit is closed.
    pub audits: Address,
}

/// Why a step is refused; nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// A free balance is too small.
    #[error("account {account} lacks {missing} of token {token}")]
    Balance {
        /// Whose.
        account: Address,
        /// Of which token.
        token: Address,
        /// Base units.
        missing: u128,
    },
    /// The life cycle has no such step.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No deal has this id, or one has it already.
    #[error("deal {0} is unknown, or opened before")]
    Unknown(B256),
    /// A claim's price exceeds the escrow.
    #[error("the price exceeds the escrow")]
    Price,
}

impl Coded for LedgerError {
    fn code(&self) -> &'static Code {
        match self {
            Self::Balance { .. } => &codes::FUNDS_INSUFFICIENT,
            Self::Refused(refused) => refused.code(),
            Self::Unknown(_) => &codes::DEAL_UNKNOWN,
            Self::Price => &codes::DEAL_CLAIM,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    deal: Deal,
    state: DealState,
    price: u128,
    /// What the deal still holds for an audit; base units.
    audit_fee: u128,
}

/// Free balances, and the deals that hold the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    parameters: Parameters,
    free: BTreeMap<(Address, Address), u128>,
    deals: BTreeMap<B256, Entry>,
    /// Bids (buyer, salt) that have burned their admission fee.
    burned: BTreeSet<(Address, U256)>,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            free: BTreeMap::new(),
            deals: BTreeMap::new(),
            burned: BTreeSet::new(),
        }
    }

    /// Free balance of an account.
    #[must_use]
    pub fn free(&self, account: Address, token: Address) -> u128 {
        self.free.get(&(account, token)).copied().unwrap_or(0)
    }

    /// State of a deal.
    #[must_use]
    pub fn state(&self, deal: &B256) -> Option<DealState> {
        self.deals.get(deal).map(|entry| entry.state)
    }

    /// What a deal holds of a token: a function of its terms, its state, and whether it was drawn
    /// for an audit.
    #[must_use]
    pub fn held(&self, deal: &B256, token: Address) -> u128 {
        let Some(Entry {
            deal,
            state,
            audit_fee,
            ..
        }) = self.deals.get(deal)
        else {
            return 0;
        };
        let mut held = 0;
        if !state.is_terminal() {
            if token == deal.token {
                held += deal.collateral + audit_fee;
                if !state.is_paid() {
                    held += deal.escrow + deal.buyerTip;
                }
            }
            if token == NATIVE {
                held += self.parameters.collateral_floor;
                if state.standing().is_some_and(|claim| claim.demanded) {
                    held += self.parameters.demand_bond;
                }
            }
        }
        held
    }

    /// Everything there is of a token, free and held: only deposits and withdrawals change it.
    #[must_use]
    pub fn total(&self, token: Address) -> u128 {
        let free: u128 = self
            .free
            .iter()
            .filter(|((_, t), _)| *t == token)
            .map(|(_, amount)| amount)
            .sum();
        self.deals
            .keys()
            .fold(free, |sum, deal| sum + self.held(deal, token))
    }

    /// Adds to a free balance.
    pub fn credit(&mut self, account: Address, token: Address, amount: u128) {
        *self.free.entry((account, token)).or_default() += amount;
    }

    /// Takes from a free balance.
    ///
    /// # Errors
    /// [`LedgerError::Balance`].
    pub fn debit(
        &mut self,
        account: Address,
        token: Address,
        amount: u128,
    ) -> Result<(), LedgerError> {
        let free = self.free(account, token);
        let left = free.checked_sub(amount).ok_or(LedgerError::Balance {
            account,
            token,
            missing: amount - free,
        })?;
        self.free.insert((account, token), left);
        Ok(())
    }

    /// Opens a deal: the buyer's escrow, two tips and audit fee, the provider's collateral and floor
    /// are locked; the sender gets the first tip.
    ///
    /// # Errors
    /// [`LedgerError::Balance`], [`LedgerError::Unknown`] for a deal that was opened before.
    pub fn open(&mut self, id: B256, deal: Deal, sender: Address) -> Result<(), LedgerError> {
        if self.deals.contains_key(&id) {
            return Err(LedgerError::Unknown(id));
        }
        let before = self.free.clone();
        let audit_fee = deal::audit_fee(&deal);
        let locked = money::buyer_reserve(deal.escrow, deal.buyerTip, audit_fee)
            .map_err(|_| LedgerError::Balance {
                account: deal.buyer,
                token: deal.token,
                missing: u128::MAX,
            })
            .and_then(|reserve| self.debit(deal.buyer, deal.token, reserve))
            .and_then(|()| self.debit(deal.provider, deal.token, deal.collateral))
            .and_then(|()| self.debit(deal.provider, NATIVE, self.parameters.collateral_floor));
        if let Err(error) = locked {
            self.free = before;
            return Err(error);
        }
        self.credit(sender, deal.token, deal.buyerTip);
        self.deals.insert(
            id,
            Entry {
                deal,
                state: DealState::Open,
                price: 0,
                audit_fee,
            },
        );
        Ok(())
    }

    /// A better offer takes the place of an open deal: what that held is free again; the sender pays its
    /// provider the idle fee ([`crate::ranking::idle_fee`]) and its buyer the tip of its opening; then the
    /// new deal opens, as [`Ledger::open`].
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn replace(
        &mut self,
        displaced: B256,
        idle_fee: u128,
        id: B256,
        deal: Deal,
        sender: Address,
    ) -> Result<(), LedgerError> {
        let before = self.clone();
        let replaced = self
            .displace(displaced, idle_fee, sender)
            .and_then(|()| self.open(id, deal, sender));
        if replaced.is_err() {
            *self = before;
        }
        replaced
    }

    fn displace(&mut self, id: B256, idle_fee: u128, sender: Address) -> Result<(), LedgerError> {
        let entry = self.deals.get_mut(&id).ok_or(LedgerError::Unknown(id))?;
        entry.state = entry.state.next(DealEvent::Replace)?;
        let audit_fee = std::mem::take(&mut entry.audit_fee);
        let deal = entry.deal.clone();
        self.credit(
            deal.buyer,
            deal.token,
            deal.escrow + deal.buyerTip + audit_fee,
        );
        self.credit(deal.provider, deal.token, deal.collateral);
        self.credit(deal.provider, NATIVE, self.parameters.collateral_floor);
        for (to, amount) in [(deal.provider, idle_fee), (deal.buyer, deal.buyerTip)] {
            self.debit(sender, deal.token, amount)?;
            self.credit(to, deal.token, amount);
        }
        Ok(())
    }

    /// The provider claims. A sender that is not the provider gets the provider's tip, as far as
    /// the provider's free balance reaches.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn claim(
        &mut self,
        id: B256,
        claim: &Claim,
        sender: Address,
    ) -> Result<DealState, LedgerError> {
        let entry = self.deals.get_mut(&id).ok_or(LedgerError::Unknown(id))?;
        if claim.price > entry.deal.escrow {
            return Err(LedgerError::Price);
        }
        entry.state = entry.state.next(DealEvent::Claim)?;
        entry.price = claim.price;
        let (state, deal) = (entry.state, entry.deal.clone());
        if sender != deal.provider {
            let tip = deal.providerTip.min(self.free(deal.provider, deal.token));
            self.debit(deal.provider, deal.token, tip)?;
            self.credit(sender, deal.token, tip);
        }
        Ok(state)
    }

    /// Any other step of a deal. `sender` is who sends the transaction.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn apply(
        &mut self,
        id: B256,
        event: DealEvent,
        sender: Address,
    ) -> Result<DealState, LedgerError> {
        let entry = self.deals.get(&id).ok_or(LedgerError::Unknown(id))?;
        let (deal, price, from) = (entry.deal.clone(), entry.price, entry.state);
        let audit_fee = entry.audit_fee;
        let to = from.next(event)?;
        let refused = Refused {
            state: from.name(),
            event: event.name(),
        };
        let is_demanded = from.standing().is_some_and(|claim| claim.demanded);
        let p = self.parameters;
        match event {
            // A claim brings its price along, what replaces a deal its terms: see `claim`, `replace`.
            DealEvent::Claim | DealEvent::Replace => return Err(refused.into()),
            // The bid asked for none, or there was one.
            DealEvent::Audit if audit_fee == 0 => return Err(refused.into()),
            DealEvent::Audit => self.credit(p.audits, deal.token, audit_fee),
            DealEvent::Cancel => {
                let fee =
                    money::admission_fee(deal.escrow, p.admission_fee_bps).min(deal.collateral);
                let first = self.burned.insert((deal.buyer, deal.bidSalt));
                let from_buyer = if first { fee } else { 0 };
                self.credit(
                    deal.buyer,
                    deal.token,
                    deal.escrow + deal.buyerTip - from_buyer,
                );
                self.credit(deal.provider, deal.token, deal.collateral - fee);
                self.credit(deal.provider, NATIVE, p.collateral_floor);
                self.credit(BURN, deal.token, from_buyer + fee);
            }
            DealEvent::Accept => {
                let proceeds = self.release(&deal, price);
                self.pay(&deal, proceeds, sender);
            }
            DealEvent::Finalise => {
                self.credit(deal.provider, NATIVE, p.collateral_floor);
                let proceeds = if from.is_paid() {
                    0
                } else {
                    self.release(&deal, price)
                };
                self.pay(&deal, proceeds + deal.collateral, sender);
            }
            DealEvent::Timeout => self.fail(&deal, false, true, sender),
            DealEvent::DemandTimeout => {
                self.credit(deal.buyer, NATIVE, p.demand_bond);
                self.fail(&deal, from.is_paid(), true, sender);
            }
            DealEvent::ClaimFalls => {
                if is_demanded {
                    self.credit(deal.buyer, NATIVE, p.demand_bond);
                }
                self.fail(&deal, from.is_paid(), false, deal.buyer);
            }
            DealEvent::AuditUnanswered => {
                if is_demanded {
                    self.credit(deal.buyer, NATIVE, p.demand_bond);
                }
                self.fail(&deal, from.is_paid(), true, deal.buyer);
            }
            DealEvent::Demand => self.debit(deal.buyer, NATIVE, p.demand_bond)?,
            DealEvent::Answer => self.credit(deal.buyer, NATIVE, p.demand_bond),
            DealEvent::Challenge | DealEvent::ClaimStands | DealEvent::AuditAnswered => {}
        }
        // What was not drawn is the buyer's again.
        if to.is_terminal() {
            self.credit(deal.buyer, deal.token, audit_fee);
        }
        if let Some(entry) = self.deals.get_mut(&id) {
            entry.state = to;
            if to.is_terminal() || event == DealEvent::Audit {
                entry.audit_fee = 0;
            }
        }
        Ok(to)
    }

    /// Returns what the price leaves to the buyer, pays the fee, and hands over the proceeds.
    fn release(&mut self, deal: &Deal, price: u128) -> u128 {
        let fee = money::fee(price, self.parameters.fee_bps);
        self.credit(deal.buyer, deal.token, deal.escrow - price + deal.buyerTip);
        self.credit(self.parameters.fee_collector, deal.token, fee);
        price - fee
    }

    /// Pays the provider; a sender that is somebody else gets its tip out of the amount.
    fn pay(&mut self, deal: &Deal, amount: u128, sender: Address) {
        let tip = if sender == deal.provider {
            0
        } else {
            deal.providerTip.min(amount)
        };
        self.credit(sender, deal.token, tip);
        self.credit(deal.provider, deal.token, amount - tip);
    }

    /// Refund (unless paid before) and slash: half to the buyer, or all burned after a game.
    fn fail(&mut self, deal: &Deal, paid: bool, half_to_buyer: bool, tip_to: Address) {
        let divided = |amount| {
            let slash = money::slash(amount);
            if half_to_buyer {
                (slash.to_buyer, slash.burned)
            } else {
                (0, amount)
            }
        };
        let (to_buyer, burned) = divided(deal.collateral);
        let (floor_to_buyer, floor_burned) = divided(self.parameters.collateral_floor);
        if !paid {
            self.credit(deal.buyer, deal.token, deal.escrow);
            self.credit(tip_to, deal.token, deal.buyerTip);
        }
        self.credit(deal.buyer, deal.token, to_buyer);
        self.credit(BURN, deal.token, burned);
        self.credit(deal.buyer, NATIVE, floor_to_buyer);
        self.credit(BURN, NATIVE, floor_burned);
    }
}
