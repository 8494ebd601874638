//! The next move. Pure, total and idempotent: the same view and the same trace give the same move.

use alloy_primitives::B256;

use super::rules::{Clocks, Ends, Game, PARTS, Part, Party, Standing};
use super::trace::Fault;

/// What a party holds for true: the trace of the task, by step.
pub trait Trace {
    /// Hash of the state before this step; from the halt on the halted state's, and in a game about a
    /// point from there on the state's at the point.
    ///
    /// # Errors
    /// [`Fault`], which says nothing about the trace.
    fn state(&mut self, step: u64) -> Result<B256, Fault>;

    /// Words of the proof of this step.
    ///
    /// # Errors
    /// As [`Trace::state`].
    fn prove(&mut self, step: u64) -> Result<Vec<B256>, Fault>;
}

/// A game as the chain shows it to one of its parties.
#[derive(Debug, Clone, Copy)]
pub struct View<'g> {
    /// Replayed from its events.
    pub game: &'g Game,
    /// Read from the chain at the same block.
    pub clocks: Clocks,
    /// Another game has shown that the claim is false: the contract takes no moves any more, and the
    /// game is collected when the claim is settled.
    pub claim_fell: bool,
    /// Who asks.
    pub me: Party,
}

/// A transaction to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// `section`.
    Section {
        /// The first of the opponent's parts with whose end the mover disagrees.
        part: Part,
        /// What the mover asserts instead.
        ends: Box<Ends>,
    },
    /// `prove`.
    Prove {
        /// The first of the opponent's parts, each one step, with whose end the mover disagrees.
        part: Part,
        /// Words of the step's proof.
        proof: Vec<B256>,
    },
    /// `timeout`: the opponent's clock has run out.
    Timeout,
}

impl Move {
    /// The proof as the bytes that `prove` takes; empty for other moves.
    #[must_use]
    pub fn proof_bytes(&self) -> Vec<u8> {
        match self {
            Self::Prove { proof, .. } => proof.iter().flat_map(|word| word.0).collect(),
            Self::Section { .. } | Self::Timeout => Vec::new(),
        }
    }
}

/// What a party does now.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Send this move.
    Move(Move),
    /// There is nothing to do: it is the opponent's turn and he has time, the own clock has run out,
    /// or the game is over.
    Wait,
    /// There is nothing to dispute: every state of the opponent's list is the own trace's. Whoever is
    /// in this position asserted something false himself, or has another input or program than the
    /// game is about. Stop and report it.
    Agrees,
    /// The opponent's list starts in another state than the own trace has there, so that no move can
    /// win. The reasons are those of [`Decision::Agrees`]. Stop and report it.
    StartsElsewhere,
}

/// What `view.me` does in a block of timestamp `now` (seconds).
///
/// States are asked for in ascending order, at most 33 of them: those of the opponent's list up to
/// the first that differs, then those of the own.
///
/// # Errors
/// [`Fault`]: the trace could not answer. Nothing is known; ask again.
pub fn next_move(
    view: &View<'_>,
    trace: &mut (impl Trace + ?Sized),
    now: u64,
) -> Result<Decision, Fault> {
    let game = view.game;
    if game.winner().is_some() || view.claim_fell {
        return Ok(Decision::Wait);
    }
    match view.clocks.standing(game.turn(), now) {
        Standing::Overdue { mover } if mover != view.me => {
            return Ok(Decision::Move(Move::Timeout));
        }
        Standing::Running { mover, .. } if mover == view.me => {}
        Standing::Overdue { .. } | Standing::Running { .. } => return Ok(Decision::Wait),
    }
    if trace.state(game.offset())? != game.list().before {
        return Ok(Decision::StartsElsewhere);
    }
    let Some(part) = first_disputed(game, trace)? else {
        return Ok(Decision::Agrees);
    };
    let start = game.offset() + u64::from(part.index) * game.part_steps();
    if game.sections_left() == 0 {
        let proof = trace.prove(start)?;
        return Ok(Decision::Move(Move::Prove { part, proof }));
    }
    let mut ends = Box::new([B256::ZERO; PARTS]);
    let mut step = start;
    for end in &mut *ends {
        step = step.saturating_add(game.part_steps() / PARTS as u64);
        *end = trace.state(step)?;
    }
    Ok(Decision::Move(Move::Section { part, ends }))
}

/// The first part of the last list whose end is not the trace's state there; `None` if all are.
///
/// # Errors
/// [`Fault`]: the trace could not answer.
pub fn first_disputed(
    game: &Game,
    trace: &mut (impl Trace + ?Sized),
) -> Result<Option<Part>, Fault> {
    for (index, end) in (0..).zip(&game.list().ends) {
        if trace.state(game.end_of(index))? != *end {
            return Ok(game.list().part(index));
        }
    }
    Ok(None)
}
