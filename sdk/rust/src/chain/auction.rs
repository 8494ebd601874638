//! The auction of reserved capacity on the chain: what an account sends, and reading a round so that its
//! orders and results are checked against what the contract holds.
//!
//! Orders are committed to before they are revealed: who commits keeps the order in
//! [`SealedOrders`](crate::SealedOrders) first, since without it the deposit is lost.

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::providers::Provider as _;
use alloy::rpc::types::{Filter, Log};
use alloy::sol_types::{SolCall, SolEvent};
use outcry_contracts::Auction;
use outcry_protocol::auction::calendar::Calendar;
use outcry_protocol::auction::verify::{Fault, disproof};
use outcry_protocol::auction::{
    AuctionOrder, AuctionParameters, Outcome, Phase, Pool, clear, order, verify,
};

use super::{Chain, Erc20, LOG_QUESTIONS_MAX, LOG_RANGE_BLOCKS, Step};
use crate::api::{Amount, TokenInfo};
use crate::error::Error;
use crate::sealed::SealedOrder;
use crate::units;

/// Most results of a round that are read, the best ones; each costs its poster a bond.
const RESULTS_MAX: usize = 256;
/// Most calls in one transaction. Settling takes 0.11M to 0.15M gas (`contracts/gas/snapshot.json`), more
/// for an order with many alternatives, and a transaction may have 16.7M.
const CALLS_MAX: usize = 16;

/// An auction, as its deployment fixed it for ever.
#[derive(Clone, Debug)]
pub struct AuctionRules {
    /// The contract.
    pub address: Address,
    /// Money and times.
    pub parameters: AuctionParameters,
    /// What is traded.
    pub pools: Vec<Pool>,
    /// When rounds begin and end.
    pub calendar: Calendar,
}

/// An order of a round that was revealed.
#[derive(Clone, Debug)]
pub struct RevealedOrder {
    /// What it says.
    pub order: AuctionOrder,
    /// The leaf under which the contract holds it.
    pub leaf: B256,
    /// Base units that it has deposited and that are not free again.
    pub deposit: u128,
    /// Whether it was settled or released.
    pub is_settled: bool,
}

/// A result that was posted and stands.
#[derive(Clone, Debug)]
pub struct PostedResult {
    /// Its number in the round, from 1.
    pub id: u32,
    /// Who gets its bond back, and half of the fees if it is the best.
    pub poster: Address,
    /// Whether the poster has its bond back.
    pub is_collected: bool,
    /// What it says.
    pub outcome: Outcome,
}

/// Which events are read.
pub(super) struct Logs {
    /// Who wrote them.
    pub(super) address: Address,
    /// The first is the event's; zero stands for any.
    pub(super) topics: Vec<B256>,
    /// The first block that may have one.
    pub(super) from_block: u64,
    /// How many there are; `None`: nobody knows.
    pub(super) count: Option<u32>,
}

/// A round at the newest block.
#[derive(Clone, Debug)]
pub struct Round {
    /// Its number.
    pub number: u64,
    /// Where it stands.
    pub phase: Phase,
    /// Orders that were committed to.
    pub commitments: u16,
    /// The revealed ones, in the order in which they were revealed.
    pub orders: Vec<RevealedOrder>,
    /// The results that stand, the best last.
    pub results: Vec<PostedResult>,
}

impl Round {
    /// The orders alone.
    pub fn revealed(&self) -> Vec<AuctionOrder> {
        self.orders.iter().map(|one| one.order.clone()).collect()
    }

    /// The result that is final, or that will be if nothing happens.
    pub fn best(&self) -> Option<&PostedResult> {
        self.results.last()
    }
}

impl Chain {
    /// The network's auction.
    ///
    /// # Errors
    /// [`Error::NoAuction`] if the network names none; [`Error::Chain`].
    pub async fn auction(&self) -> Result<AuctionRules, Error> {
        let address = self.auction.ok_or(Error::NoAuction)?;
        let auction = Auction::new(address, &self.provider);
        let failed = |e| self.failed("the auction's parameters", e);
        let parameters = auction.parameters().call().await.map_err(failed)?;
        let parameters = AuctionParameters::from(parameters);
        let pools = auction.pools().call().await.map_err(failed)?;
        let calendar = Calendar::of(&parameters)
            .ok_or_else(|| self.failed("the auction's parameters", "its rounds make no sense"))?;
        Ok(AuctionRules {
            address,
            parameters,
            pools: pools.into_iter().map(Into::into).collect(),
            calendar,
        })
    }

    /// Base units that an account has in the auction, free.
    ///
    /// # Errors
    /// [`Error::Chain`].
    pub async fn auction_balance(
        &self,
        rules: &AuctionRules,
        account: Address,
    ) -> Result<Amount, Error> {
        let auction = Auction::new(rules.address, &self.provider);
        let balance = auction.balanceOf(account).call().await;
        Ok(Amount(
            balance.map_err(|e| self.failed("a balance in the auction", e))?,
        ))
    }

    /// Units of each pool that an account holds in a season and has neither set aside nor bound.
    ///
    /// # Errors
    /// [`Error::Chain`].
    pub async fn auction_holdings(
        &self,
        rules: &AuctionRules,
        season: u64,
        account: Address,
    ) -> Result<Vec<u64>, Error> {
        let auction = Auction::new(rules.address, &self.provider);
        let mut units = Vec::new();
        for pool in (0..).take(rules.pools.len()) {
            let held = auction.holdingOf(season, pool, account).call().await;
            units.push(held.map_err(|e| self.failed("holdings in the auction", e))?);
        }
        Ok(units)
    }

    /// What was deposited for a commitment that was neither revealed nor forfeited; zero for any other.
    ///
    /// # Errors
    /// [`Error::Chain`].
    pub async fn committed(
        &self,
        rules: &AuctionRules,
        round: u64,
        account: Address,
        commitment: B256,
    ) -> Result<u128, Error> {
        let auction = Auction::new(rules.address, &self.provider);
        let deposit = auction.committedOf(round, account, commitment).call().await;
        deposit.map_err(|e| self.failed("a commitment", e))
    }

    /// The transactions that move `amount` from the wallet into the auction.
    ///
    /// # Errors
    /// [`Error::WalletBalance`], [`Error::NoKey`], [`Error::Chain`].
    pub async fn plan_auction_deposit(
        &self,
        rules: &AuctionRules,
        token: &TokenInfo,
        amount: Amount,
    ) -> Result<Vec<Step>, Error> {
        let account = self.signer()?.address();
        let wallet = self.wallet_balance(account, token.address).await?;
        if wallet < amount.0 {
            return Err(Error::WalletBalance {
                needed: units::show(amount, token),
                found: units::show(Amount(wallet), token),
            });
        }
        let erc20 = Erc20::new(token.address, &self.provider);
        let allowance = erc20.allowance(account, rules.address).call().await;
        let mut steps = Vec::new();
        if allowance.map_err(|e| self.failed("an allowance", e))? < amount.0 {
            let call = Erc20::approveCall {
                spender: rules.address,
                amount: amount.0,
            };
            let what = format!("let the auction take {}", units::show(amount, token));
            let verb = "approve the deposit";
            steps.push(self.step(verb, what, token.address, Amount::ZERO, &call));
        }
        let what = format!("deposit {} in the auction", units::show(amount, token));
        let call = Auction::depositCall { amount: amount.0 };
        steps.push(self.auction_step(rules, "deposit", what, &call));
        Ok(steps)
    }

    /// The transaction that moves `amount` from the auction to the wallet.
    pub fn plan_auction_withdrawal(
        &self,
        rules: &AuctionRules,
        token: &TokenInfo,
        amount: Amount,
    ) -> Step {
        let what = format!("withdraw {} from the auction", units::show(amount, token));
        let call = Auction::withdrawCall { amount: amount.0 };
        self.auction_step(rules, "withdraw", what, &call)
    }

    /// The transaction that commits to an order, with the deposit that the rules ask for.
    ///
    /// # Errors
    /// [`Error::AuctionOrder`], [`Error::TooLarge`].
    pub fn plan_commit(
        &self,
        rules: &AuctionRules,
        round: u64,
        order: &AuctionOrder,
    ) -> Result<Step, Error> {
        let deposit = rules.deposit(order)?;
        let call = Auction::commitCall {
            round,
            commitment: order::commitment(round, order),
            deposit_: deposit,
        };
        let what = format!("commit to an order of round {round}");
        Ok(self.auction_step(rules, "commit", what, &call))
    }

    /// The transaction that reveals an order.
    pub fn plan_reveal(&self, rules: &AuctionRules, round: u64, order: &AuctionOrder) -> Step {
        let call = Auction::revealCall {
            round,
            order: order.clone().into(),
        };
        let what = format!("reveal an order of round {round}");
        self.auction_step(rules, "reveal", what, &call)
    }

    /// The transactions that reveal those of the orders for which it is time, and that were committed to.
    ///
    /// # Errors
    /// [`Error::Chain`].
    pub async fn plan_reveals(
        &self,
        rules: &AuctionRules,
        orders: &[SealedOrder],
    ) -> Result<Vec<Step>, Error> {
        let now = self.now().await?;
        let mut steps = Vec::new();
        for sealed in orders {
            let SealedOrder { round, order, .. } = sealed;
            let is_mine = sealed.chain_id == self.chain_id && sealed.auction == rules.address;
            if !is_mine || rules.calendar.phase(*round, now) != Phase::Reveal {
                continue;
            }
            let deposit = self.committed(rules, *round, order.account, sealed.commitment());
            if deposit.await? != 0 {
                steps.push(self.plan_reveal(rules, *round, order));
            }
        }
        Ok(steps)
    }

    /// A round with its revealed orders and standing results, from the contract's events, which are checked
    /// against the hashes that the contract holds.
    ///
    /// # Errors
    /// [`Error::Chain`], also when the endpoint's events are not the contract's.
    pub async fn round(&self, rules: &AuctionRules, number: u64) -> Result<Round, Error> {
        let auction = Auction::new(rules.address, &self.provider);
        let failed = |e| self.failed("a round of the auction", e);
        let record = auction.roundOf(number).call().await.map_err(failed)?;
        let mut revealed = self
            .events::<Auction::Revealed>(rules, number, record.orders.into())
            .await?;
        revealed.sort_by_key(|event| event.index);
        let mut orders = Vec::new();
        for (index, event) in (0..).zip(revealed) {
            let stored = auction
                .orderOf(number, index)
                .call()
                .await
                .map_err(failed)?;
            let order = AuctionOrder::from(event.order);
            let leaf = order::leaf(number, index, &order);
            if leaf != stored._0 {
                return Err(
                    self.failed("a round of the auction", "an order is not the revealed one")
                );
            }
            orders.push(RevealedOrder {
                order,
                leaf,
                deposit: stored._1,
                is_settled: stored._2,
            });
        }
        // From the best one down, so that what anybody posts below it hides nothing.
        let mut standing = Vec::new();
        let mut next = record.best;
        while next != 0 && standing.len() < RESULTS_MAX {
            let stored = auction.resultOf(number, next).call().await;
            let stored = stored.map_err(failed)?;
            let logs = Logs {
                address: rules.address,
                topics: vec![
                    Auction::Posted::SIGNATURE_HASH,
                    U256::from(number).into(),
                    U256::from(next).into(),
                ],
                from_block: 0,
                count: Some(1),
            };
            let posted = self
                .logs::<Auction::Posted>(&logs)
                .await?
                .into_iter()
                .next();
            let outcome = posted.map(|(_, event)| Outcome {
                prices: event.prices,
                groups: event.groups.into_iter().map(Into::into).collect(),
            });
            let is_it = |outcome: &Outcome| {
                outcome.root() == stored.root && outcome.prices_hash() == stored.pricesHash
            };
            let Some(outcome) = outcome.filter(is_it) else {
                return Err(self.failed("a round of the auction", "a result is not the posted one"));
            };
            standing.push(PostedResult {
                id: next,
                poster: stored.poster,
                is_collected: stored.collected,
                outcome,
            });
            next = stored.previous;
        }
        standing.reverse();
        Ok(Round {
            number,
            phase: rules.calendar.phase(number, self.now().await?),
            commitments: record.commitments,
            orders,
            results: standing,
        })
    }

    /// Events of a kind of a round, from the newest back.
    async fn events<E: SolEvent>(
        &self,
        rules: &AuctionRules,
        round: u64,
        count: u32,
    ) -> Result<Vec<E>, Error> {
        let logs = Logs {
            address: rules.address,
            topics: vec![E::SIGNATURE_HASH, U256::from(round).into()],
            from_block: 0,
            count: Some(count),
        };
        let found = self.logs::<E>(&logs).await?.into_iter();
        Ok(found.map(|(_, event)| event).collect())
    }

    /// Events with their blocks, range by range from the newest block back.
    pub(super) async fn logs<E: SolEvent>(&self, wanted: &Logs) -> Result<Vec<(u64, E)>, Error> {
        let what = "a contract's log";
        let head = self.provider.get_block_number().await;
        let head = head.map_err(|e| self.failed("its newest block", e))?;
        let is_enough = |found: &[_]| {
            wanted
                .count
                .is_some_and(|count| found.len() >= count as usize)
        };
        let mut found = Vec::new();
        let mut ranges = vec![(wanted.from_block.min(head), head)];
        for _ in 0..LOG_QUESTIONS_MAX {
            let (Some((from, to)), false) = (ranges.pop(), is_enough(&found)) else {
                break;
            };
            if to - from >= LOG_RANGE_BLOCKS {
                ranges.extend([
                    (from, to - LOG_RANGE_BLOCKS),
                    (to - LOG_RANGE_BLOCKS + 1, to),
                ]);
                continue;
            }
            let mut filter = Filter::new()
                .address(wanted.address)
                .from_block(from)
                .to_block(to);
            for (place, topic) in filter.topics.iter_mut().zip(&wanted.topics) {
                if !topic.is_zero() {
                    *place = (*topic).into();
                }
            }
            let logs: Vec<Log> = match self.provider.get_logs(&filter).await {
                Ok(logs) => logs,
                Err(error) if error.is_error_resp() && from < to => {
                    let middle = from + (to - from) / 2;
                    ranges.extend([(from, middle), (middle + 1, to)]);
                    continue;
                }
                Err(error) => return Err(self.failed(what, error)),
            };
            for log in &logs {
                let event = E::decode_log_data(log.data());
                let event = event.map_err(|e| self.failed(what, e))?;
                found.push((log.block_number.unwrap_or(to), event));
            }
        }
        let is_short = wanted
            .count
            .map_or(!ranges.is_empty(), |count| found.len() != count as usize);
        if is_short {
            let reason = format!("{} events were found, there are more", found.len());
            return Err(self.failed(what, reason));
        }
        Ok(found)
    }

    /// What anybody can do for a round now, in the order in which it should be done: disprove false
    /// results; post the clearing where nothing as good stands, with a bond for which what the sender lacks in
    /// the auction is moved from its wallet;
    /// when the round is over settle every order, and collect the bonds of the sender's results. Clearing takes
    /// up to a second of a core.
    ///
    /// # Errors
    /// [`Error::NoKey`], [`Error::Chain`].
    pub async fn plan_tending(
        &self,
        rules: &AuctionRules,
        token: &TokenInfo,
        round: &Round,
    ) -> Result<Vec<Step>, Error> {
        let me = self.signer()?.address();
        let orders = round.revealed();
        let mut steps = Vec::new();
        let number = round.number;
        if matches!(round.phase, Phase::Post | Phase::Dispute) {
            let mut best = None;
            for result in &round.results {
                match verify(&orders, rules.pools.len(), &result.outcome) {
                    Ok(()) => best = Some(result),
                    Err(Fault::Group { group, wrong }) => {
                        let shown = disproof(&result.outcome, orders.len(), group);
                        if let Some(shown) = shown {
                            let call = Auction::disproveCall {
                                round: number,
                                result: result.id,
                                prices: result.outcome.prices.clone(),
                                before: shown.before.into_iter().map(Into::into).collect(),
                                group: shown.group.into(),
                                orders: shown
                                    .orders
                                    .iter()
                                    .filter_map(|&index| orders.get(usize::from(index)))
                                    .map(|order| order.clone().into())
                                    .collect(),
                            };
                            let what =
                                format!("disprove result {} of round {number}: {wrong}", result.id);
                            steps.push(self.auction_step(rules, "disprove", what, &call));
                        }
                    }
                    // The contract stores no such result.
                    Err(_) => {}
                }
            }
            if round.phase == Phase::Post && !orders.is_empty() {
                let leaves = round.orders.iter().map(|one| one.leaf);
                let orders_hash = order::orders_hash(leaves);
                let pools = rules.pools.len();
                let cleared = tokio::task::spawn_blocking(move || {
                    clear(&orders, pools, &outcry_clearing::Alone)
                })
                .await;
                let cleared = cleared
                    .map_err(|e| e.to_string())
                    .and_then(|cleared| cleared.map_err(|e| e.to_string()))
                    .map_err(|e| self.failed("a round that can be cleared", e))?;
                let outcome = cleared.outcome;
                let improves = best.is_none_or(|best| outcome.improves_on(&best.outcome));
                if !outcome.groups.is_empty() && improves {
                    let bond = Amount::from(rules.parameters.resultBond);
                    let free = self.auction_balance(rules, me).await?;
                    if free < bond {
                        let missing = Amount(bond.0 - free.0);
                        match self.plan_auction_deposit(rules, token, missing).await {
                            Ok(deposit) => steps.extend(deposit),
                            // Who has no bond to put up can still disprove.
                            Err(Error::WalletBalance { .. }) if !steps.is_empty() => {
                                return Ok(steps);
                            }
                            Err(error) => return Err(error),
                        }
                    }
                    let call = Auction::postCall {
                        round: number,
                        ordersHash: orders_hash,
                        prices: outcome.prices.clone(),
                        groups: outcome.groups.iter().cloned().map(Into::into).collect(),
                    };
                    let what = format!("post the result of round {number}");
                    steps.push(self.auction_step(rules, "post a result", what, &call));
                }
            }
        }
        if round.phase == Phase::Final {
            let open = (0..).zip(&round.orders).filter(|(_, one)| !one.is_settled);
            let calls = open.map(|(index, one)| settling(round, index, &one.order));
            let what = format!("settle orders of round {number}");
            steps.extend(self.auction_batches(rules, "settle", &what, calls.collect()));
            let mine = round.results.iter();
            let mine = mine.filter(|result| result.poster == me && !result.is_collected);
            let calls = mine.map(|result| {
                let call = Auction::collectCall {
                    round: number,
                    result: result.id,
                };
                call.abi_encode().into()
            });
            let what = format!("take back the bond of a result of round {number}");
            steps.extend(self.auction_batches(rules, "collect", &what, calls.collect()));
        }
        Ok(steps)
    }

    /// Calls of the auction, several in each transaction. If one of them is refused none takes effect.
    pub(super) fn auction_batches(
        &self,
        rules: &AuctionRules,
        verb: &'static str,
        what: &str,
        calls: Vec<Bytes>,
    ) -> Vec<Step> {
        let batches = calls.chunks(CALLS_MAX).map(|calls| match calls {
            [call] => Step {
                what: what.to_owned(),
                to: rules.address,
                value: Amount::ZERO,
                data: call.clone(),
                verb,
            },
            calls => {
                let call = Auction::multicallCall {
                    calls: calls.to_vec(),
                };
                self.auction_step(
                    rules,
                    verb,
                    format!("{what} ({} calls)", calls.len()),
                    &call,
                )
            }
        });
        batches.collect()
    }

    pub(super) fn auction_step<C: SolCall>(
        &self,
        rules: &AuctionRules,
        verb: &'static str,
        what: String,
        call: &C,
    ) -> Step {
        self.step(verb, what, rules.address, Amount::ZERO, call)
    }

    /// The transactions that pay out what orders of a round have earned in the intervals that are over:
    /// those of the account, and if the round's result is its own all of them, since it gets half of the fee.
    /// After the season also those that return deposits of the account's orders that sold new capacity.
    ///
    /// # Errors
    /// [`Error::NoKey`], [`Error::Chain`].
    pub async fn plan_payouts(
        &self,
        rules: &AuctionRules,
        round: &Round,
    ) -> Result<Vec<Step>, Error> {
        let me = self.signer()?.address();
        let number = round.number;
        let is_poster = round.best().is_some_and(|best| best.poster == me);
        let now = self.now().await?;
        let interval = rules.calendar.round_at(now).unwrap_or(0);
        let is_over = now
            >= rules
                .calendar
                .season_end(rules.calendar.term(number).season);
        let auction = Auction::new(rules.address, &self.provider);
        let (mut calls, mut deposits) = (Vec::new(), Vec::new());
        for (index, one) in (0..).zip(&round.orders) {
            if !one.is_settled || !is_poster && one.order.account != me {
                continue;
            }
            let stream = auction.streamOf(number, index).call().await;
            let stream = stream.map_err(|e| self.failed("what an order earns", e))?;
            let over = interval.saturating_sub(stream.from);
            if over.min(stream.intervals.into()) > stream.paid.into() {
                let call = Auction::earnCall {
                    _0: number,
                    _1: index,
                };
                calls.push(call.abi_encode().into());
            }
            // Of an order that is settled only new capacity that was sold keeps a deposit.
            if is_over && one.order.account == me && one.deposit > 0 {
                deposits.push(self.plan_reclaim(rules, number, index).data);
            }
        }
        let what = format!("pay out what orders of round {number} have earned");
        let mut steps = self.auction_batches(rules, "earn", &what, calls);
        let what = format!("take back deposits of orders of round {number}");
        steps.extend(self.auction_batches(rules, "reclaim", &what, deposits));
        Ok(steps)
    }
}

/// The call that settles or releases an order of a round that is final.
fn settling(round: &Round, index: u16, order: &AuctionOrder) -> Bytes {
    let order = order.clone().into();
    let release = |order, around| Auction::releaseCall {
        round: round.number,
        index,
        order,
        around,
    };
    let Some(best) = round.best() else {
        return release(order, Vec::new()).abi_encode().into();
    };
    let mut place = best.outcome.prove_place(index);
    if best.outcome.fills_of(index).is_empty() {
        let around = place.into_iter().map(Into::into).collect();
        return release(order, around).abi_encode().into();
    }
    let call = Auction::settleCall {
        round: round.number,
        index,
        order,
        prices: best.outcome.prices.clone(),
        // An order with fills has them in one group.
        group: place.swap_remove(0).into(),
    };
    call.abi_encode().into()
}

impl AuctionRules {
    /// What an order must deposit, base units.
    ///
    /// # Errors
    /// [`Error::AuctionOrder`], [`Error::TooLarge`].
    pub fn deposit(&self, order: &AuctionOrder) -> Result<u128, Error> {
        order::check(order, self.pools.len()).map_err(Error::AuctionOrder)?;
        let deposit = order::deposit(order, &self.pools, self.parameters.depositMin);
        u128::try_from(deposit).map_err(|_| Error::TooLarge(deposit))
    }
}
