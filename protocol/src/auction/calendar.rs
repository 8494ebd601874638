//! Rounds, their phases, and the seasons and intervals for which they decide. Times in seconds.

use super::{AuctionParameters, Phase};

/// The intervals about which a round decides: from the one after it to the end of that one's season.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// All capacity of a season ends with it.
    pub season: u64,
    /// First interval.
    pub from: u64,
    /// How many, at least 1.
    pub intervals: u16,
}

/// When the rounds of an auction begin and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calendar {
    start: u64,
    interval_s: u64,
    intervals: u64,
    commit_s: u64,
    reveal_s: u64,
    post_s: u64,
}

impl Calendar {
    /// The calendar of an auction; `None` if the contract would refuse its parameters.
    #[must_use]
    pub fn of(parameters: &AuctionParameters) -> Option<Self> {
        let p = parameters;
        let (commit_s, reveal_s) = (u64::from(p.commitS), u64::from(p.revealS));
        let (post_s, interval_s) = (u64::from(p.postS), u64::from(p.intervalS));
        let fits = commit_s > 0
            && reveal_s > 0
            && post_s > 0
            && commit_s + reveal_s + 2 * post_s <= interval_s
            && (1..=1024).contains(&p.intervals);
        fits.then_some(Self {
            start: p.start,
            interval_s,
            intervals: p.intervals.into(),
            commit_s,
            reveal_s,
            post_s,
        })
    }

    /// The round, and so the interval, in which a time lies; `None` before the first.
    #[must_use]
    pub fn round_at(&self, now: u64) -> Option<u64> {
        Some(now.checked_sub(self.start)? / self.interval_s)
    }

    /// First second of a round and of the interval of that number.
    #[must_use]
    pub fn begin(&self, round: u64) -> u64 {
        self.start
            .saturating_add(round.saturating_mul(self.interval_s))
    }

    /// First second of the phase in which orders are revealed.
    #[must_use]
    pub fn reveal_from(&self, round: u64) -> u64 {
        self.begin(round).saturating_add(self.commit_s)
    }

    /// First second of the phase in which results are posted.
    #[must_use]
    pub fn post_from(&self, round: u64) -> u64 {
        self.reveal_from(round).saturating_add(self.reveal_s)
    }

    /// First second in which results are disputed only.
    #[must_use]
    pub fn dispute_from(&self, round: u64) -> u64 {
        self.post_from(round).saturating_add(self.post_s)
    }

    /// First second in which the result of a round is final.
    #[must_use]
    pub fn final_from(&self, round: u64) -> u64 {
        self.begin(round.saturating_add(1))
    }

    /// Where a round stands.
    #[must_use]
    pub fn phase(&self, round: u64, now: u64) -> Phase {
        if now < self.begin(round) {
            Phase::Ahead
        } else if now < self.reveal_from(round) {
            Phase::Commit
        } else if now < self.post_from(round) {
            Phase::Reveal
        } else if now < self.dispute_from(round) {
            Phase::Post
        } else if now < self.final_from(round) {
            Phase::Dispute
        } else {
            Phase::Final
        }
    }

    /// About which intervals a round decides.
    #[must_use]
    pub fn term(&self, round: u64) -> Term {
        let from = round.saturating_add(1);
        let season = from / self.intervals;
        let left = self.intervals - from % self.intervals;
        Term {
            season,
            from,
            // At most the intervals of a season, 1024.
            intervals: left as u16,
        }
    }

    /// First second after a season.
    #[must_use]
    pub fn season_end(&self, season: u64) -> u64 {
        self.begin(season.saturating_add(1).saturating_mul(self.intervals))
    }
}
