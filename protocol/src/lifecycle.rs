//! Life cycles of deals and jobs as transition tables.
//!
//! A deal's state is a function of the chain's events; a job's is a function of its bid, its deals
//! and, for the states between two chain events, of what its provider reports. What no row names
//! is refused with [`Refused`]; `lifecycle.json` binds the tables for other languages.

use serde::{Deserialize, Serialize};

use crate::codes::{self, Code, Coded};

/// A transition that no row of the table names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{event} does not apply in state {state}")]
pub struct Refused {
    /// Name of the state.
    pub state: &'static str,
    /// Name of the event.
    pub event: &'static str,
}

impl Coded for Refused {
    fn code(&self) -> &'static Code {
        &codes::DEAL_STATE
    }
}

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }
        impl $name {
            /// All values, in the order of the life cycle.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
            /// Its name in the API.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

states! {
    /// Where a deal stands. The contract stores open, claimed or failed, and three flags of a claim:
    /// accepted, output demanded, game open. A settled deal leaves only events.
    DealState {
        /// Escrow and collateral are locked; the provider fetches and runs.
        Open = "open",
        /// The provider has claimed; the challenge window runs.
        Claimed = "claimed",
        /// The buyer has accepted: the price is paid, the collateral still locked.
        Accepted = "accepted",
        /// Output is demanded.
        Demanded = "demanded",
        /// Output is demanded, and the buyer accepted meanwhile.
        AcceptedDemanded = "acceptedDemanded",
        /// A game is open.
        Challenged = "challenged",
        /// A game is open, and the price is paid.
        AcceptedChallenged = "acceptedChallenged",
        /// A game is open and output is demanded.
        DemandedChallenged = "demandedChallenged",
        /// A game is open, output is demanded, and the price is paid.
        AcceptedDemandedChallenged = "acceptedDemandedChallenged",
        /// Paid, collateral returned.
        Settled = "settled",
        /// Cancelled in the admission window; the tasks can be opened again.
        Cancelled = "cancelled",
        /// Refunded (unless accepted before), collateral slashed; the tasks can be opened again.
        Failed = "failed",
    }
}

states! {
    /// What the chain reports about a deal.
    DealEvent {
        /// Either side cancelled in the admission window.
        Cancel = "cancel",
        /// The provider claimed, at or before the deadline.
        Claim = "claim",
        /// Somebody called timeout after the deadline.
        Timeout = "timeout",
        /// The buyer's acceptance was delivered.
        Accept = "accept",
        /// The challenge window passed and somebody finalised.
        Finalise = "finalise",
        /// The buyer demanded output.
        Demand = "demand",
        /// The demand was answered.
        Answer = "answer",
        /// The demand was not answered in time.
        DemandTimeout = "demandTimeout",
        /// A game was opened.
        Challenge = "challenge",
        /// The game found the claim right.
        ClaimStands = "claimStands",
        /// The game found the claim wrong.
        ClaimFalls = "claimFalls",
    }
}

/// The life of a deal. `Accept` releases the price once while a claim stands; nothing finalises
/// while a demand or a game is open; a game's verdict goes before a demand's timeout. Not in the
/// table: clocks, and that a deal has at most one demand.
pub const DEAL_TABLE: &[(DealState, DealEvent, DealState)] = {
    use DealEvent as E;
    use DealState as S;
    &[
        (S::Open, E::Cancel, S::Cancelled),
        (S::Open, E::Claim, S::Claimed),
        (S::Open, E::Timeout, S::Failed),
        (S::Claimed, E::Accept, S::Accepted),
        (S::Claimed, E::Finalise, S::Settled),
        (S::Claimed, E::Demand, S::Demanded),
        (S::Claimed, E::Challenge, S::Challenged),
        (S::Accepted, E::Finalise, S::Settled),
        (S::Accepted, E::Challenge, S::AcceptedChallenged),
        (S::Demanded, E::Accept, S::AcceptedDemanded),
        (S::Demanded, E::Answer, S::Claimed),
        (S::Demanded, E::DemandTimeout, S::Failed),
        (S::Demanded, E::Challenge, S::DemandedChallenged),
        (S::AcceptedDemanded, E::Answer, S::Accepted),
        (S::AcceptedDemanded, E::DemandTimeout, S::Failed),
        (
            S::AcceptedDemanded,
            E::Challenge,
            S::AcceptedDemandedChallenged,
        ),
        (S::Challenged, E::Accept, S::AcceptedChallenged),
        (S::Challenged, E::Demand, S::DemandedChallenged),
        (S::Challenged, E::ClaimStands, S::Claimed),
        (S::Challenged, E::ClaimFalls, S::Failed),
        (S::AcceptedChallenged, E::ClaimStands, S::Accepted),
        (S::AcceptedChallenged, E::ClaimFalls, S::Failed),
        (
            S::DemandedChallenged,
            E::Accept,
            S::AcceptedDemandedChallenged,
        ),
        (S::DemandedChallenged, E::Answer, S::Challenged),
        (S::DemandedChallenged, E::ClaimStands, S::Demanded),
        (S::DemandedChallenged, E::ClaimFalls, S::Failed),
        (
            S::AcceptedDemandedChallenged,
            E::Answer,
            S::AcceptedChallenged,
        ),
        (
            S::AcceptedDemandedChallenged,
            E::ClaimStands,
            S::AcceptedDemanded,
        ),
        (S::AcceptedDemandedChallenged, E::ClaimFalls, S::Failed),
    ]
};

impl DealState {
    /// Whether nothing more can happen to the deal.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Settled | Self::Cancelled | Self::Failed)
    }

    /// Whether the provider has the price.
    #[must_use]
    pub const fn is_paid(self) -> bool {
        matches!(
            self,
            Self::Accepted
                | Self::AcceptedDemanded
                | Self::AcceptedChallenged
                | Self::AcceptedDemandedChallenged
                | Self::Settled
        )
    }

    /// Whether a demand for output is open.
    #[must_use]
    pub const fn is_demanded(self) -> bool {
        matches!(
            self,
            Self::Demanded
                | Self::AcceptedDemanded
                | Self::DemandedChallenged
                | Self::AcceptedDemandedChallenged
        )
    }

    /// Whether a game is open.
    #[must_use]
    pub const fn is_challenged(self) -> bool {
        matches!(
            self,
            Self::Challenged
                | Self::AcceptedChallenged
                | Self::DemandedChallenged
                | Self::AcceptedDemandedChallenged
        )
    }

    /// The state after an event.
    ///
    /// # Errors
    /// [`Refused`] if no row of [`DEAL_TABLE`] names the pair.
    pub fn next(self, event: DealEvent) -> Result<Self, Refused> {
        DEAL_TABLE
            .iter()
            .find(|(from, on, _)| *from == self && *on == event)
            .map(|(_, _, to)| *to)
            .ok_or(Refused {
                state: self.name(),
                event: event.name(),
            })
    }
}

states! {
    /// Where a job (a bid with its deals) stands, as users see it.
    JobState {
        /// The bid is live and nothing serves it yet.
        Open = "open",
        /// A provider has been chosen; the chain does not know yet.
        Matched = "matched",
        /// Deals are open on the chain; the escrow is locked.
        Funded = "funded",
        /// A provider fetches and compiles.
        Starting = "starting",
        /// The program runs.
        Running = "running",
        /// A deal failed or was cancelled; its tasks are on the market again.
        Interrupted = "interrupted",
        /// Every task is claimed; acceptance or the end of the window is awaited.
        Verifying = "verifying",
        /// Somebody disputes a claim, or its output is demanded.
        Challenged = "challenged",
        /// Every task is paid.
        Settled = "settled",
        /// A task has no result and the bid can no longer be matched.
        Failed = "failed",
        /// The buyer cancelled before anything was served.
        Cancelled = "cancelled",
        /// The bid ran out before anything was served.
        Expired = "expired",
    }
}

states! {
    /// What moves a job on.
    JobEvent {
        /// The local book chose offers.
        Match = "match",
        /// The match did not reach the chain: another node's did, or an order lapsed.
        MatchLost = "matchLost",
        /// A deal of the bid opened.
        Open = "open",
        /// A provider reports that it fetches or compiles.
        Start = "start",
        /// A provider reports that the program runs.
        Run = "run",
        /// A deal ended without a result and the bid is live.
        DealFailed = "dealFailed",
        /// No deal is open any more, a task has no result, and the bid is no longer live.
        DealLost = "dealLost",
        /// The last outstanding task was claimed.
        AllClaimed = "allClaimed",
        /// A game or a demand opened on a claim.
        Challenge = "challenge",
        /// The last open game or demand ended with the claim standing.
        ChallengeOver = "challengeOver",
        /// The last outstanding task was paid.
        AllPaid = "allPaid",
        /// The buyer cancelled the bid.
        Cancel = "cancel",
        /// The bid expired.
        Expire = "expire",
    }
}

/// The life of a job.
pub const JOB_TABLE: &[(JobState, JobEvent, JobState)] = {
    use JobEvent as E;
    use JobState as S;
    &[
        (S::Open, E::Match, S::Matched),
        (S::Open, E::Open, S::Funded),
        (S::Open, E::Cancel, S::Cancelled),
        (S::Open, E::Expire, S::Expired),
        (S::Matched, E::MatchLost, S::Open),
        (S::Matched, E::Open, S::Funded),
        (S::Matched, E::Cancel, S::Cancelled),
        (S::Matched, E::Expire, S::Expired),
        (S::Funded, E::Open, S::Funded),
        (S::Funded, E::Start, S::Starting),
        (S::Funded, E::Run, S::Running),
        (S::Funded, E::DealFailed, S::Interrupted),
        (S::Funded, E::DealLost, S::Failed),
        (S::Funded, E::AllClaimed, S::Verifying),
        (S::Funded, E::AllPaid, S::Settled),
        (S::Funded, E::Challenge, S::Challenged),
        (S::Starting, E::Open, S::Starting),
        (S::Starting, E::Start, S::Starting),
        (S::Starting, E::Run, S::Running),
        (S::Starting, E::DealFailed, S::Interrupted),
        (S::Starting, E::DealLost, S::Failed),
        (S::Starting, E::AllClaimed, S::Verifying),
        (S::Starting, E::AllPaid, S::Settled),
        (S::Starting, E::Challenge, S::Challenged),
        (S::Running, E::Open, S::Running),
        (S::Running, E::Start, S::Running),
        (S::Running, E::Run, S::Running),
        (S::Running, E::DealFailed, S::Interrupted),
        (S::Running, E::DealLost, S::Failed),
        (S::Running, E::AllClaimed, S::Verifying),
        (S::Running, E::AllPaid, S::Settled),
        (S::Running, E::Challenge, S::Challenged),
        (S::Interrupted, E::Match, S::Matched),
        (S::Interrupted, E::Open, S::Funded),
        (S::Interrupted, E::DealFailed, S::Interrupted),
        (S::Interrupted, E::DealLost, S::Failed),
        (S::Interrupted, E::Cancel, S::Failed),
        (S::Interrupted, E::Expire, S::Failed),
        (S::Interrupted, E::Challenge, S::Challenged),
        (S::Verifying, E::DealFailed, S::Interrupted),
        (S::Verifying, E::DealLost, S::Failed),
        (S::Verifying, E::Challenge, S::Challenged),
        (S::Verifying, E::AllPaid, S::Settled),
        (S::Challenged, E::ChallengeOver, S::Verifying),
        (S::Challenged, E::DealFailed, S::Interrupted),
        (S::Challenged, E::DealLost, S::Failed),
        (S::Challenged, E::AllPaid, S::Settled),
    ]
};

impl JobState {
    /// Whether nothing more can happen to the job.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Settled | Self::Failed | Self::Cancelled | Self::Expired
        )
    }

    /// The state after an event.
    ///
    /// # Errors
    /// [`Refused`] if no row of [`JOB_TABLE`] names the pair.
    pub fn next(self, event: JobEvent) -> Result<Self, Refused> {
        JOB_TABLE
            .iter()
            .find(|(from, on, _)| *from == self && *on == event)
            .map(|(_, _, to)| *to)
            .ok_or(Refused {
                state: self.name(),
                event: event.name(),
            })
    }
}
