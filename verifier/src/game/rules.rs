//! Lists of 16 parts, whose turn it is, and how long he has. Stated in Solidity in
//! `contracts/src/game/Bisection.sol`, `contracts/src/game/GameWord.sol` and `contracts/src/Game.sol`.

use alloy_primitives::B256;
use outcry_protocol::merkle::{node, root_from_proof};

use crate::machine::proof::{ProofError, replay, replay_until};
use crate::machine::{Point, STEPS_PER_CYCLE};

/// Parts of a list.
pub const PARTS: usize = 16;
/// Siblings from a part's leaf to its list's root: log2 of [`PARTS`].
pub const PATH: usize = 4;
/// Most sections of a game that a contract's word can hold. A task at the largest cycle limit,
/// 2^44, needs 14.
pub const SECTIONS_MAX: u8 = 15;

/// Games of a provider in which its clock may run at a time: the oldest that it still plays. In the
/// others it stands still until one of these gives its seat back.
pub const SEATS: usize = 32;

/// Clocks of a game for which the provider's stands still at most: from then on it runs without a seat.
pub const WAIT_CLOCKS: u64 = 4;

/// State hashes at the ends of 16 parts that follow one another.
pub type Ends = [B256; PARTS];

/// Sections that lead from the whole trace of a task to one step: the least n with
/// 16^n >= 1024 (cycles + 1) for every possible run, ceil((10 + bits of the limit) / 4).
#[must_use]
pub const fn sections(cycle_limit: u64) -> u8 {
    let bits = STEPS_PER_CYCLE.ilog2() + (u64::BITS - cycle_limit.leading_zeros());
    // At most 19.
    bits.div_ceil(4) as u8
}

/// One of the two parties of a game.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    /// Says that the claim is false. Moves first.
    Challenger,
    /// Made the claim.
    Provider,
}

impl Party {
    /// The opponent.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Challenger => Self::Provider,
            Self::Provider => Self::Challenger,
        }
    }
}

/// 16 parts of a trace that follow one another, as one party asserts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List {
    /// Hash of the state in which the first part starts.
    pub before: B256,
    /// Hashes of the states in which the parts end, and all but the first start.
    pub ends: Ends,
}

impl List {
    /// What the claim of a halted state asserts: it is reached in the first of 16 parts and stays.
    #[must_use]
    pub fn claim(initial: B256, halted: B256) -> Self {
        Self {
            before: initial,
            ends: [halted; PARTS],
        }
    }

    fn leaves(&self) -> [B256; PARTS] {
        let mut before = self.before;
        self.ends
            .map(|end| node(&std::mem::replace(&mut before, end), &end))
    }

    /// The root that stands for the list on chain: a binary tree over keccak(before ‖ end).
    #[must_use]
    pub fn root(&self) -> B256 {
        let mut nodes = self.leaves();
        for level in 1..=PATH {
            for at in 0..PARTS >> level {
                nodes[at] = node(&nodes[2 * at], &nodes[2 * at + 1]);
            }
        }
        nodes[0]
    }

    /// A part with its path; `None` from index 16 on.
    #[must_use]
    pub fn part(&self, index: u8) -> Option<Part> {
        let mut at = usize::from(index);
        let end = *self.ends.get(at)?;
        let before = match at {
            0 => self.before,
            _ => self.ends[at - 1],
        };
        let mut nodes = self.leaves();
        let path = std::array::from_fn(|level| {
            let sibling = nodes[at ^ 1];
            at /= 2;
            for above in 0..PARTS >> (level + 1) {
                nodes[above] = node(&nodes[2 * above], &nodes[2 * above + 1]);
            }
            sibling
        });
        Some(Part {
            index,
            before,
            end,
            path,
        })
    }
}

/// A part of a list with the path that opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// From 0.
    pub index: u8,
    /// Hash of the state at its start.
    pub before: B256,
    /// Hash of the state at its end.
    pub end: B256,
    /// Siblings from its leaf upwards.
    pub path: [B256; PATH],
}

impl Part {
    /// The root to which the path leads; `None` from index 16 on.
    #[must_use]
    pub fn root(&self) -> Option<B256> {
        root_from_proof(node(&self.before, &self.end), self.index.into(), &self.path)
    }
}

/// The event with which a game begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge {
    /// The state in which the task starts, as the contract computed it.
    pub initial: B256,
    /// The halted state that the provider claims.
    pub asserted: B256,
    /// The halted state that the challenger asserts.
    pub halted: B256,
    /// Sections of the whole game.
    pub sections: u8,
}

/// The game has more sections than [`SECTIONS_MAX`]: no contract begins such a one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a game of {0} sections is longer than the longest, {SECTIONS_MAX}")]
pub struct TooLong(pub u8);

/// Why events are not those of one game.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// It is too long.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// A section does not have 16 parts.
    #[error("a section of {0} parts")]
    Parts(usize),
    /// A section that the rules do not allow there.
    #[error(transparent)]
    Refusal(#[from] Refusal),
}

/// Why a move is not one. Named as the contract's errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Somebody has won already.
    #[error("the game has ended")]
    GameNotRunning,
    /// The opponent moves.
    #[error("it is the other party's turn")]
    NotYourTurn,
    /// The part is not one of the opponent's list.
    #[error("the opponent did not assert this part")]
    PartMismatch,
    /// The parts are single steps: prove one.
    #[error("all sections are made")]
    SectionsDone,
    /// The parts are longer than a step: section on.
    #[error("sections are left")]
    SectionsLeft,
    /// The mover asserts what the opponent asserts at the part's end.
    #[error("the part's end is not disputed")]
    EndNotDisputed,
    /// The proof opens something else than the state before.
    #[error("the step's proof is none: {0}")]
    Proof(ProofError),
    /// The step leads where the opponent says.
    #[error("the step leads to what the opponent asserts")]
    StepAgrees,
}

/// A game as far as its events tell: a value that anybody who replays them has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Game {
    challenge: Challenge,
    made: u8,
    list: List,
    offset: u64,
    winner: Option<Party>,
    until: Option<Point>,
}

impl Game {
    /// The game that a challenge begins.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn begin(challenge: Challenge) -> Result<Self, TooLong> {
        if challenge.sections > SECTIONS_MAX {
            return Err(TooLong(challenge.sections));
        }
        Ok(Self {
            challenge,
            made: 0,
            list: List::claim(challenge.initial, challenge.asserted),
            offset: 0,
            winner: None,
            until: None,
        })
    }

    /// The same game about the state at a point, as the key's `until` says: both halted states of its
    /// challenge are states at that point, where the machine stops. `None` is the state that halts.
    #[must_use]
    pub fn until(self, point: Option<Point>) -> Self {
        Self {
            until: point,
            ..self
        }
    }

    /// What it began with.
    #[must_use]
    pub fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// Who moves next. Meaningless once the game has ended.
    #[must_use]
    pub fn turn(&self) -> Party {
        match self.made % 2 {
            0 => Party::Challenger,
            _ => Party::Provider,
        }
    }

    /// What the party that does not move asserted last.
    #[must_use]
    pub fn list(&self) -> &List {
        &self.list
    }

    /// Step of the trace at which the list starts.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Sections made.
    #[must_use]
    pub fn sections_made(&self) -> u8 {
        self.made
    }

    /// Sections still to be made; a part of the list has 16 to this power steps.
    #[must_use]
    pub fn sections_left(&self) -> u8 {
        self.challenge.sections - self.made
    }

    /// Steps of a part of the list.
    #[must_use]
    pub fn part_steps(&self) -> u64 {
        // At most 2^60.
        1 << (4 * self.sections_left())
    }

    /// Step of the trace at which part `index` of the list ends. Only the end of the last part of a
    /// game of 15 sections is one step further than this says.
    #[must_use]
    pub fn end_of(&self, index: u8) -> u64 {
        self.part_steps()
            .saturating_mul(u64::from(index) + 1)
            .saturating_add(self.offset)
    }

    /// Who has won; `None` as long as the game runs.
    #[must_use]
    pub fn winner(&self) -> Option<Party> {
        self.winner
    }

    /// Checks and makes a section.
    ///
    /// # Errors
    /// [`Refusal`]: the contract refuses it too, and the game is as before.
    pub fn section(&mut self, by: Party, part: &Part, ends: &Ends) -> Result<(), Refusal> {
        self.to_move(by, part)?;
        if self.sections_left() == 0 {
            return Err(Refusal::SectionsDone);
        }
        if ends[PARTS - 1] == part.end {
            return Err(Refusal::EndNotDisputed);
        }
        // Below 16^16: parts of parts lie within them.
        self.offset += u64::from(part.index) * self.part_steps();
        self.list = List {
            before: part.before,
            ends: *ends,
        };
        self.made += 1;
        Ok(())
    }

    /// The game that a challenge begins and `Sectioned` events continue: the part that each disputes and
    /// the ends that it asserts.
    ///
    /// # Errors
    /// [`ReplayError`]: these are not the events of one game.
    pub fn replayed<'e>(
        challenge: Challenge,
        sections: impl IntoIterator<Item = (u8, &'e [B256])>,
    ) -> Result<Self, ReplayError> {
        let mut game = Self::begin(challenge)?;
        for (index, ends) in sections {
            let ends = ends
                .try_into()
                .map_err(|_| ReplayError::Parts(ends.len()))?;
            game.replay_section(index, ends)?;
        }
        Ok(game)
    }

    /// Makes the section of a `Sectioned` event, which names neither mover nor path.
    ///
    /// # Errors
    /// [`Refusal`]: the events are not all of this game's, or not in order.
    pub fn replay_section(&mut self, index: u8, ends: &Ends) -> Result<(), Refusal> {
        let part = self.list.part(index).ok_or(Refusal::PartMismatch)?;
        self.section(self.turn(), &part, ends)
    }

    /// Checks a proof of a step, given as bytes, which wins the game.
    ///
    /// # Errors
    /// [`Refusal`]: the contract refuses it too, and the game is as before.
    pub fn prove(&mut self, by: Party, part: &Part, proof: &[u8]) -> Result<(), Refusal> {
        self.to_move(by, part)?;
        if self.sections_left() != 0 {
            return Err(Refusal::SectionsLeft);
        }
        let after = match self.until {
            None => replay(part.before, proof),
            Some(point) => replay_until(part.before, proof, point),
        };
        if after.map_err(Refusal::Proof)? == part.end {
            return Err(Refusal::StepAgrees);
        }
        self.winner = Some(by);
        Ok(())
    }

    /// The game has ended, by an `Ended` event.
    pub fn end(&mut self, winner: Party) {
        self.winner = Some(winner);
    }

    fn to_move(&self, by: Party, part: &Part) -> Result<(), Refusal> {
        if self.winner.is_some() {
            return Err(Refusal::GameNotRunning);
        }
        if by != self.turn() {
            return Err(Refusal::NotYourTurn);
        }
        if part.root() != Some(self.list.root()) {
            return Err(Refusal::PartMismatch);
        }
        Ok(())
    }
}

/// What the contract knows of a running game's time, all in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// When the mover's clock began to run, or a provider's wait for a seat.
    pub since: u64,
    /// What the challenger had left then.
    pub challenger_left: u32,
    /// What the provider had left then.
    pub provider_left: u32,
    /// Whether the game has a seat. Without one the provider has not moved yet, and its clock stands
    /// still for [`WAIT_CLOCKS`].
    pub seated: bool,
}

/// How the mover stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A move is valid now, and for so many seconds more.
    Running {
        /// Who moves.
        mover: Party,
        /// Seconds left on the clock; while a provider waits for a seat they do not become fewer.
        left: u32,
    },
    /// The mover's clock has run out: anybody may end the game.
    Overdue {
        /// Who did not move.
        mover: Party,
    },
}

impl Clocks {
    /// Of a game that begins in a block of this timestamp, with so many seconds for each party. It has
    /// no seat yet.
    #[must_use]
    pub fn begun(seconds: u32, timestamp: u64) -> Self {
        Self {
            since: timestamp,
            challenger_left: seconds,
            provider_left: seconds,
            seated: false,
        }
    }

    /// After a section of the mover in a block of this timestamp: its clock stops and the opponent's
    /// starts. A game in which the provider moves has a seat. The contract takes no section of a party whose clock has run out.
    #[must_use]
    pub fn moved(self, mover: Party, timestamp: u64) -> Self {
        let left = match self.standing(mover, timestamp) {
            Standing::Running { left, .. } => left,
            Standing::Overdue { .. } => 0,
        };
        let since = timestamp;
        match mover {
            Party::Challenger => Self {
                since,
                challenger_left: left,
                ..self
            },
            Party::Provider => Self {
                since,
                provider_left: left,
                seated: true,
                ..self
            },
        }
    }

    /// With a seat, from a block of this timestamp on: if the provider is to move, its clock starts,
    /// unless it runs.
    #[must_use]
    pub fn takes_seat(self, mover: Party, timestamp: u64) -> Self {
        let since = match mover {
            Party::Challenger => self.since,
            Party::Provider => timestamp - self.elapsed(mover, timestamp),
        };
        Self {
            since,
            seated: true,
            ..self
        }
    }

    /// From the contract's `standing` at a block of this timestamp, which gives what is left *then*, and
    /// not for how long a provider has waited for a seat: its clock is taken to run, so that nobody who
    /// goes by it is late.
    #[must_use]
    pub fn seen(timestamp: u64, challenger_left: u32, provider_left: u32, overdue: bool) -> Self {
        Self {
            // Nothing is left of an overdue clock, and more than nothing has passed.
            since: timestamp.saturating_sub(overdue.into()),
            challenger_left,
            provider_left,
            seated: true,
        }
    }

    /// Whether the clock of the party whose turn it is runs in a block of this timestamp.
    #[must_use]
    pub fn runs(&self, mover: Party, now: u64) -> bool {
        mover == Party::Challenger || self.seated || now >= self.starts(mover)
    }

    /// When the clock of the party whose turn it is starts, or did.
    fn starts(&self, mover: Party) -> u64 {
        match mover {
            Party::Provider if !self.seated => self
                .since
                .saturating_add(WAIT_CLOCKS * u64::from(self.provider_left)),
            _ => self.since,
        }
    }

    /// Seconds for which it has run.
    fn elapsed(&self, mover: Party, now: u64) -> u64 {
        now.saturating_sub(self.starts(mover))
    }

    /// How the party whose turn it is stands in a block of this timestamp. Total: every game is in
    /// exactly one of the two.
    #[must_use]
    pub fn standing(&self, mover: Party, now: u64) -> Standing {
        let clock = match mover {
            Party::Challenger => self.challenger_left,
            Party::Provider => self.provider_left,
        };
        match u64::from(clock).checked_sub(self.elapsed(mover, now)) {
            // At most `clock`.
            Some(left) => Standing::Running {
                mover,
                left: left as u32,
            },
            None => Standing::Overdue { mover },
        }
    }
}
