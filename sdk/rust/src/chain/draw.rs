//! Reserved capacity in use: units bound to a provider, jobs drawn on them, and how a draw ends that its
//! provider does not serve.

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::providers::Provider as _;
use alloy::sol_types::{SolCall as _, SolEvent as _, SolValue as _};
use outcry_contracts::{Auction, Market};
use outcry_protocol::auction::Pool;
use outcry_protocol::types::{Bid, Deal, JobSpec};
use serde::Serialize;

use super::auction::{AuctionRules, Logs};
use super::{Chain, Step};
use crate::api::Amount;
use crate::bid::Terms;
use crate::error::Error;

/// Shortest default execution timeout of a drawn job, seconds: a provider compiles a large program first.
const EXECUTION_TIMEOUT_S_MIN: u64 = 60;

/// What a provider sold: an order of a round, and a pool in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sold {
    /// The round.
    pub round: u64,
    /// The order's place among those that were revealed.
    pub order: u16,
    /// The pool.
    pub pool: u16,
}

/// A job that a holder drew on a bound unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Its name.
    pub id: B256,
    /// Who drew it.
    pub holder: Address,
    /// Who has to serve it.
    pub provider: Address,
    /// On what.
    pub sold: Sold,
    /// Last second at which the provider may open a deal and claim, Unix seconds.
    pub deadline: u64,
    /// Tasks whose claims were shown.
    pub answered: u32,
    /// Whether it was answered, given back, refused, or has lapsed.
    pub is_over: bool,
    /// What a refusal gives back, base units; the penalty is as much again.
    pub value: Amount,
    /// The bid.
    pub bid: Bid,
    /// Hash of the bid: the job's id.
    pub job: B256,
    /// The block that it is in.
    block: u64,
}

impl Sold {
    /// The name of the draw of a bid on this.
    pub fn draw(&self, bid_hash: B256) -> B256 {
        keccak256((self.round, self.order, self.pool, bid_hash).abi_encode())
    }
}

impl AuctionRules {
    /// Terms under which a job can be drawn on a unit of a pool: free, without an audit or a tip, and in as
    /// much time as the pool's speed needs, unless the terms name a time. It may wait for as long as the
    /// provider may take to open the deal, at least.
    pub fn draw_terms(&self, pool: &Pool, job: &JobSpec, terms: Terms) -> Terms {
        let cycles = u128::from(job.cycleLimit) * u128::from(job.taskCount);
        let seconds = cycles.div_ceil(u128::from(pool.speed.max(1)));
        let seconds = seconds.max(EXECUTION_TIMEOUT_S_MIN.into());
        // The provider must still be able to open the deal when the time to open it ends.
        let queue_timeout_s = terms.queue_timeout_s.max(self.parameters.drawS);
        let life_s = u64::from(self.parameters.drawS)
            .saturating_mul(2)
            .saturating_add(queue_timeout_s.into());
        Terms {
            queue_timeout_s,
            max_price: Some(Amount::ZERO),
            collateral_bps: 0,
            audit_rate_bps: 0,
            audit_fee: None,
            tip: Amount::ZERO,
            execution_timeout_s: terms
                .execution_timeout_s
                .or(Some(u32::try_from(seconds).unwrap_or(u32::MAX))),
            life_s: terms.life_s.max(life_s),
            ..terms
        }
    }
}

impl Chain {
    /// The transaction that binds units of the running season, which the account holds, to a provider.
    pub fn plan_bind(&self, rules: &AuctionRules, sold: Sold, units: u64) -> Step {
        let Sold { round, order, pool } = sold;
        let call = Auction::bindCall {
            _0: round,
            _1: order,
            _2: pool,
            _3: units,
        };
        let what = format!("bind {units} units of pool {pool} to order {order} of round {round}");
        self.auction_step(rules, "bind", what, &call)
    }

    /// The transaction that draws a job on a bound unit. `signature` is the account's, of the bid.
    pub fn plan_draw(
        &self,
        rules: &AuctionRules,
        sold: Sold,
        bid: &Bid,
        signature: Bytes,
        job: &JobSpec,
    ) -> Step {
        let Sold { round, order, pool } = sold;
        let call = Auction::drawCall {
            _0: round,
            _1: order,
            _2: pool,
            _3: bid.clone().into(),
            _4: signature,
            _5: job.clone().into(),
        };
        let what = format!("draw a job on a unit of pool {pool} of order {order} of round {round}");
        self.auction_step(rules, "draw", what, &call)
    }

    /// Units that a holder has bound to what a provider sold, and how many of them draws are open on.
    ///
    /// # Errors
    /// [`Error::Chain`].
    pub async fn bound(
        &self,
        rules: &AuctionRules,
        sold: Sold,
        holder: Address,
    ) -> Result<(u64, u64), Error> {
        let auction = Auction::new(rules.address, &self.provider);
        let bound = auction.boundOf(sold.round, sold.order, sold.pool, holder);
        let bound = bound.call().await;
        let bound = bound.map_err(|e| self.failed("bound units", e))?;
        Ok((bound.units, bound.drawn))
    }

    /// A draw, by its name.
    ///
    /// # Errors
    /// [`Error::Chain`], also when there is none.
    pub async fn draw(&self, rules: &AuctionRules, id: B256) -> Result<Draw, Error> {
        let what = "a draw";
        let auction = Auction::new(rules.address, &self.provider);
        let record = auction.drawOf(id).call().await;
        let record = record.map_err(|e| self.failed(what, e))?;
        if record.holder.is_zero() {
            return Err(self.failed(what, format!("there is none of the name {id}")));
        }
        let logs = Logs {
            address: rules.address,
            topics: vec![Auction::Drawn::SIGNATURE_HASH, id],
            from_block: 0,
            count: Some(1),
        };
        let found = self.logs::<Auction::Drawn>(&logs).await?;
        let Some((block, event)) = found.into_iter().next() else {
            return Err(self.failed(what, "its event was not found"));
        };
        Ok(Draw {
            id,
            holder: record.holder,
            provider: record.provider,
            sold: Sold {
                round: record.round,
                order: record.index,
                pool: record.pool,
            },
            deadline: record.deadline,
            answered: record.answered,
            is_over: record.ended,
            value: record.value.into(),
            bid: event.bid.into(),
            job: record.bidHash,
            block,
        })
    }

    /// The transaction that ends a draw that its provider did not serve in time: because tasks of its bid
    /// were never taken, because the provider's deal was not claimed or failed, or because nobody can say
    /// so any more. `None` while the provider still has time, or once it is over.
    ///
    /// # Errors
    /// [`Error::Chain`].
    pub async fn plan_draw_end(
        &self,
        rules: &AuctionRules,
        draw: &Draw,
    ) -> Result<Option<Step>, Error> {
        if draw.is_over || self.now().await? <= draw.deadline {
            return Ok(None);
        }
        let id = draw.id;
        let refuse = Auction::refuseCall {
            _0: id,
            _1: draw.bid.clone().into(),
        };
        let mut ways = vec![("report that nobody opened a deal", refuse.abi_encode())];
        for deal in self.deals_of(draw).await? {
            let fail = Auction::failCall {
                _0: id,
                _1: deal.into(),
            };
            ways.push(("report that the deal was not claimed", fail.abi_encode()));
        }
        let lapse = Auction::lapseCall(id).abi_encode();
        ways.push(("end the draw, with nobody to blame,", lapse));
        // Which of them holds is the contract's to say.
        for (way, data) in ways {
            let request = alloy::rpc::types::TransactionRequest::default()
                .to(rules.address)
                .input(Bytes::from(data.clone()).into());
            match self.provider.call(request).await {
                Ok(_) => {
                    return Ok(Some(Step {
                        what: format!("{way} of draw {id}"),
                        to: rules.address,
                        value: Amount::ZERO,
                        data: data.into(),
                        verb: "end a draw",
                    }));
                }
                Err(error) if error.is_error_resp() => {}
                Err(error) => return Err(self.failed("a draw", error)),
            }
        }
        Ok(None)
    }

    /// Deals that the provider of a draw opened of its bid.
    async fn deals_of(&self, draw: &Draw) -> Result<Vec<Deal>, Error> {
        let logs = Logs {
            address: self.market,
            topics: vec![
                Market::DealOpened::SIGNATURE_HASH,
                B256::ZERO,
                draw.holder.into_word(),
                draw.provider.into_word(),
            ],
            from_block: draw.block,
            count: None,
        };
        let opened = self.logs::<Market::DealOpened>(&logs).await?;
        let deals = opened.into_iter().map(|(_, event)| Deal::from(event.deal));
        Ok(deals.filter(|deal| deal.bidHash == draw.job).collect())
    }

    /// The transaction that returns what is left of the deposit of an order that sold new capacity, once
    /// its season is over.
    pub fn plan_reclaim(&self, rules: &AuctionRules, round: u64, order: u16) -> Step {
        let call = Auction::reclaimCall {
            _0: round,
            _1: order,
        };
        let what = format!("take back the deposit of order {order} of round {round}");
        self.auction_step(rules, "reclaim", what, &call)
    }

    /// The transactions that burn the deposits of a round's orders that were not revealed in time.
    ///
    /// # Errors
    /// [`Error::Chain`].
    pub async fn plan_forfeits(
        &self,
        rules: &AuctionRules,
        round: u64,
    ) -> Result<Vec<Step>, Error> {
        let auction = Auction::new(rules.address, &self.provider);
        let record = auction.roundOf(round).call().await;
        let record = record.map_err(|e| self.failed("a round of the auction", e))?;
        let logs = Logs {
            address: rules.address,
            topics: vec![Auction::Committed::SIGNATURE_HASH, U256::from(round).into()],
            from_block: 0,
            count: Some(record.commitments.into()),
        };
        let mut calls = Vec::new();
        for (_, event) in self.logs::<Auction::Committed>(&logs).await? {
            let left = self.committed(rules, round, event.account, event.commitment);
            if left.await? == 0 {
                continue;
            }
            let call = Auction::forfeitCall {
                round,
                account: event.account,
                commitment: event.commitment,
            };
            calls.push(call.abi_encode().into());
        }
        let what = format!("burn deposits of round {round} whose orders were not revealed");
        Ok(self.auction_batches(rules, "forfeit", &what, calls))
    }
}
