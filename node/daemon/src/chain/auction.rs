//! The node's way to the auction: its events in the words of the state, and calls of it.

use alloy::primitives::{Address, Bytes, U256, keccak256};
use outcry_chain::{Intent, IntentKind, MinedTransaction, Urgency};
use outcry_contracts::Auction::AuctionEvents;
use outcry_protocol::auction::{AuctionOrder, Backing, order};

use super::{Chain, ChainProblem};
use crate::state::chain::Observed;
use crate::state::draw::Draw;
use crate::state::round::{RoundEvent, Standing};

impl Chain {
    /// Calls the auction. A call with the same bytes is taken up, unless it came to nothing: it was refused,
    /// or mined in a block up to `applied`, whose effects the caller knows.
    ///
    /// # Errors
    /// [`ChainProblem`].
    pub async fn call_auction(
        &self,
        kind: IntentKind,
        to: Address,
        call: Bytes,
        applied: u64,
    ) -> Result<MinedTransaction, ChainProblem> {
        let subject = keccak256([to.as_slice(), &call].concat());
        let mut intent = Intent::call(kind, subject, to, call);
        intent.urgency = Urgency::Deadline;
        self.send_anew(intent, 0, applied).await
    }
}

/// An event in the words of the state; `None` for what it does not follow.
pub(super) fn observe(event: AuctionEvents) -> Option<Observed> {
    let ended = |draw| Some(Observed::DrawEnded { draw });
    let round = |round, event| Some(Observed::Round { round, event });
    match event {
        AuctionEvents::Committed(e) => round(
            e.round,
            RoundEvent::Committed {
                account: e.account,
                commitment: e.commitment,
            },
        ),
        AuctionEvents::Revealed(e) => {
            let order = AuctionOrder::from(e.order);
            let revealed = RoundEvent::Revealed {
                order: e.index,
                account: order.account,
                is_new: order.backing != Backing::Holdings,
                commitment: order::commitment(e.round, &order),
            };
            round(e.round, revealed)
        }
        AuctionEvents::Posted(e) => {
            // Sums run from group to group; the contract takes no result without one.
            let last = e.groups.last()?;
            let standing = Standing {
                poster: e.poster,
                welfare: last.welfare.try_into().ok()?,
                volume: U256::from(last.volume),
            };
            let result = e.result;
            round(e.round, RoundEvent::Posted { result, standing })
        }
        AuctionEvents::Disproved(e) => round(e.round, RoundEvent::Disproved { result: e.result }),
        AuctionEvents::Collected(e) => round(e.round, RoundEvent::Collected { result: e.result }),
        AuctionEvents::Settled(e) => round(
            e.round,
            RoundEvent::Closed {
                order: e.index,
                account: e.account,
                earns: e.paid.is_negative(),
            },
        ),
        AuctionEvents::Released(e) => round(
            e.round,
            RoundEvent::Closed {
                order: e.index,
                account: e.account,
                earns: false,
            },
        ),
        AuctionEvents::Reclaimed(e) => round(e.round, RoundEvent::Reclaimed { order: e.index }),
        AuctionEvents::Earned(e) => round(e.round, RoundEvent::Earned { order: e.index }),
        AuctionEvents::Drawn(e) => Some(Observed::Drawn {
            provider: e.provider,
            draw: Box::new(Draw {
                id: e.draw,
                pool: e.record.pool,
                deadline: e.record.deadline,
                answered: 0,
                bid_hash: e.record.bidHash,
                bid: e.bid.into(),
                signature: e.signature,
                job: e.job.into(),
            }),
        }),
        AuctionEvents::Answered(e) => Some(Observed::DrawAnswered {
            draw: e.draw,
            answered: e.answered,
        }),
        AuctionEvents::GivenBack(e) => ended(e.draw),
        AuctionEvents::Refused(e) => ended(e.draw),
        AuctionEvents::Lapsed(e) => ended(e.draw),
        _ => None,
    }
}
