//! Life cycles of deals and jobs.
//!
//! A deal's state is a function of the chain's events; a job's is a function of its bid, its deals
//! and, for the states between two chain events, of what its provider reports. What no rule or row
//! names is refused with [`Refused`]; `lifecycle.json` binds both as tables for other languages.

use serde::{Deserialize, Serialize};

use crate::codes::{self, Code, Coded};

/// A transition that no rule of the life cycle names.
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

/// Where a deal stands. The contract stores open, claimed or failed, and what is going on about a
/// claim. A settled deal leaves only events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DealState {
    /// Escrow and collateral are locked; the provider fetches and runs.
    Open,
    /// The provider has claimed; the challenge window runs, or something else keeps the deal from
    /// being settled.
    Claimed(Standing),
    /// Paid, collateral returned.
    Settled,
    /// A better offer took its place within the rank window; its tasks are the other deal's.
    Replaced,
    /// Cancelled in the admission window; the tasks can be opened again.
    Cancelled,
    /// Refunded (unless accepted before), collateral slashed; the tasks can be opened again.
    Failed,
}

/// What is going on about a claim: each holds or not, whatever the others do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Standing {
    /// The buyer has accepted: the price is paid, the collateral still locked.
    pub accepted: bool,
    /// Output is demanded.
    pub demanded: bool,
    /// A game is open.
    pub challenged: bool,
    /// An audit is open.
    pub audited: bool,
}

states! {
    /// What the chain reports about a deal.
    DealEvent {
        /// A better offer took the deal's place, within the rank window.
        Replace = "replace",
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
        /// The claim was drawn, and an audit of it opened.
        Audit = "audit",
        /// The audit closed, and the provider had answered, or nobody was there to audit.
        AuditAnswered = "auditAnswered",
        /// The audit closed, and the provider had not answered.
        AuditUnanswered = "auditUnanswered",
    }
}

impl Standing {
    /// Names of the sixteen, by [`Standing::bits`].
    const NAMES: [&'static str; 16] = [
        "claimed",
        "accepted",
        "demanded",
        "acceptedDemanded",
        "challenged",
        "acceptedChallenged",
        "demandedChallenged",
        "acceptedDemandedChallenged",
        "audited",
        "acceptedAudited",
        "demandedAudited",
        "acceptedDemandedAudited",
        "challengedAudited",
        "acceptedChallengedAudited",
        "demandedChallengedAudited",
        "acceptedDemandedChallengedAudited",
    ];

    /// Accepted 1, demanded 2, challenged 4, audited 8.
    const fn bits(self) -> usize {
        self.accepted as usize
            | (self.demanded as usize) << 1
            | (self.challenged as usize) << 2
            | (self.audited as usize) << 3
    }

    const fn of_bits(bits: usize) -> Self {
        Self {
            accepted: bits & 1 != 0,
            demanded: bits & 2 != 0,
            challenged: bits & 4 != 0,
            audited: bits & 8 != 0,
        }
    }

    /// Where an event leads; `None` if it is refused.
    fn next(self, event: DealEvent) -> Option<DealState> {
        use DealEvent as E;
        let Self {
            accepted,
            demanded,
            challenged,
            audited,
        } = self;
        let stands = |standing| Some(DealState::Claimed(standing));
        match event {
            E::Accept if !accepted => stands(Self {
                accepted: true,
                ..self
            }),
            E::Demand if !accepted && !demanded => stands(Self {
                demanded: true,
                ..self
            }),
            E::Answer if demanded => stands(Self {
                demanded: false,
                ..self
            }),
            E::Challenge if !challenged => stands(Self {
                challenged: true,
                ..self
            }),
            E::ClaimStands if challenged => stands(Self {
                challenged: false,
                ..self
            }),
            E::Audit if !audited => stands(Self {
                audited: true,
                ..self
            }),
            E::AuditAnswered if audited => stands(Self {
                audited: false,
                ..self
            }),
            E::ClaimFalls if challenged => Some(DealState::Failed),
            E::DemandTimeout if demanded && !challenged => Some(DealState::Failed),
            E::AuditUnanswered if audited && !challenged => Some(DealState::Failed),
            E::Finalise if !demanded && !challenged && !audited => Some(DealState::Settled),
            _ => None,
        }
    }
}

impl DealState {
    /// All values, in the order of the life cycle.
    pub const ALL: [Self; 21] = {
        let mut all = [Self::Open; 21];
        let mut bits = 0;
        while bits < Standing::NAMES.len() {
            all[1 + bits] = Self::Claimed(Standing::of_bits(bits));
            bits += 1;
        }
        all[17] = Self::Settled;
        all[18] = Self::Replaced;
        all[19] = Self::Cancelled;
        all[20] = Self::Failed;
        all
    };

    /// Its name in the vectors and in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            // Four bits: below 16.
            Self::Claimed(standing) => Standing::NAMES[standing.bits()],
            Self::Settled => "settled",
            Self::Replaced => "replaced",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing more can happen to the deal.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Settled | Self::Replaced | Self::Cancelled | Self::Failed
        )
    }

    /// Whether the provider has the price.
    #[must_use]
    pub const fn is_paid(self) -> bool {
        match self {
            Self::Claimed(standing) => standing.accepted,
            Self::Settled => true,
            Self::Open | Self::Replaced | Self::Cancelled | Self::Failed => false,
        }
    }

    /// What is going on about the claim; `None` without one, and once the deal has ended.
    #[must_use]
    pub const fn standing(self) -> Option<Standing> {
        match self {
            Self::Claimed(standing) => Some(standing),
            _ => None,
        }
    }

    /// The state after an event. Acceptance releases the price once while a claim stands; nothing
    /// finalises while a demand, a game or an audit is open; a game's verdict goes before a demand's
    /// timeout and before the end of an audit that the provider did not answer. Not stated here:
    /// clocks, rank windows, whether an audit can still be drawn, and that a deal has at most one demand
    /// and at most one audit.
    ///
    /// # Errors
    /// [`Refused`] if the event does not apply.
    pub fn next(self, event: DealEvent) -> Result<Self, Refused> {
        use DealEvent as E;
        match (self, event) {
            (Self::Open, E::Replace) => Some(Self::Replaced),
            (Self::Open, E::Cancel) => Some(Self::Cancelled),
            (Self::Open, E::Claim) => Some(Self::Claimed(Standing::default())),
            (Self::Open, E::Timeout) => Some(Self::Failed),
            (Self::Claimed(standing), _) => standing.next(event),
            _ => None,
        }
        .ok_or(Refused {
            state: self.name(),
            event: event.name(),
        })
    }

    /// The life of a deal as a table: every state, event and next state that [`DealState::next`]
    /// allows.
    pub fn transitions() -> impl Iterator<Item = (Self, DealEvent, Self)> {
        Self::ALL.into_iter().flat_map(|from| {
            DealEvent::ALL
                .iter()
                .filter_map(move |on| Some((from, *on, from.next(*on).ok()?)))
        })
    }
}

impl std::fmt::Display for DealState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
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
