//! Traces that are not true, and who plays otherwise than the product.

use std::sync::{Arc, Mutex};

use alloy_primitives::{B256, keccak256};
use outcry_verifier::game::{Decision, Fault, Game, MachineTrace, Move, Trace, View, next_move};

use crate::programs::Random;

/// The true trace, which both parties of a test share: a machine is slow to start.
pub(crate) type Shared = Arc<Mutex<MachineTrace<Vec<u8>>>>;

/// How a party lies.
#[derive(Debug, Clone)]
pub(crate) enum Lie {
    /// Another halted state, everything before it true: another output, or another bill.
    Halted(B256),
    /// Halts earlier than the program does, at this step.
    EarlyHalt(u64, B256),
    /// Goes on after the halt up to this step, through states of its own, and halts otherwise.
    LateHalt(u64, B256),
    /// From this step on every state is another one.
    StateFrom(u64),
    /// Another state at every question, and proofs of nothing.
    Inconsistent,
    /// No lie.
    None,
}

/// A trace with a lie in it.
pub(crate) struct Told {
    pub(crate) truth: Shared,
    pub(crate) lie: Lie,
    pub(crate) random: Random,
}

impl Told {
    /// What it is that who is right says.
    pub(crate) fn truly(truth: &Shared) -> Self {
        Self::told(truth, Lie::None)
    }

    /// With this lie in it; [`Lie::Inconsistent`] answers the same way every time.
    pub(crate) fn told(truth: &Shared, lie: Lie) -> Self {
        Self {
            truth: truth.clone(),
            lie,
            random: Random(0),
        }
    }
}

fn wrong(state: B256, step: u64) -> B256 {
    keccak256([state.as_slice(), &step.to_be_bytes()].concat())
}

impl Trace for Told {
    fn state(&mut self, step: u64) -> Result<B256, Fault> {
        let mut truth = self.truth.lock().unwrap();
        let state = truth.state(step)?;
        let end = truth.end()?;
        Ok(match self.lie {
            Lie::Halted(halted) if step >= end.steps => halted,
            Lie::EarlyHalt(from, halted) if step >= from => halted,
            Lie::LateHalt(at, halted) if step >= at => halted,
            Lie::LateHalt(..) if step >= end.steps => wrong(state, step),
            Lie::StateFrom(from) if step >= from => wrong(state, step.min(end.steps)),
            Lie::Inconsistent if step > 0 => self.random.hash(),
            _ => state,
        })
    }

    fn prove(&mut self, step: u64) -> Result<Vec<B256>, Fault> {
        match self.lie {
            Lie::Inconsistent => Ok((0..self.random.below(40))
                .map(|_| self.random.hash())
                .collect()),
            _ => self.truth.lock().unwrap().prove(step),
        }
    }
}

/// A party of a game.
pub(crate) struct Player {
    pub(crate) trace: Told,
    /// It makes so many moves, and then no more.
    pub(crate) moves_left: u64,
    /// Instead of what the product does it names parts at random and asserts anything.
    pub(crate) gambles: Option<Random>,
}

impl Player {
    /// Who plays as the product does, on what is true.
    pub(crate) fn honest(truth: &Shared) -> Self {
        Self {
            trace: Told::truly(truth),
            moves_left: u64::MAX,
            gambles: None,
        }
    }

    pub(crate) fn decide(&mut self, view: &View<'_>, now: u64) -> Decision {
        if self.moves_left == 0 {
            return Decision::Wait;
        }
        self.moves_left -= 1;
        match &mut self.gambles {
            Some(random) => gamble(view.game, &self.trace.truth, random),
            None => next_move(view, &mut self.trace, now).unwrap(),
        }
    }
}

/// A move that the rules allow, now and then with what is true in it.
fn gamble(game: &Game, truth: &Shared, random: &mut Random) -> Decision {
    let mut truth = truth.lock().unwrap();
    let part = game.list().part(random.below(16) as u8).unwrap();
    let start = game.offset() + u64::from(part.index) * game.part_steps();
    if game.sections_left() == 0 {
        let proof = truth.prove(start).unwrap();
        return Decision::Move(Move::Prove { part, proof });
    }
    let mut ends = Box::new([B256::ZERO; 16]);
    for (at, end) in (1..).zip(&mut *ends) {
        *end = match random.below(3) {
            0 => random.hash(),
            _ => truth.state(start + at * game.part_steps() / 16).unwrap(),
        };
    }
    // The contract takes no section that ends as the opponent's part does.
    if ends[15] == part.end {
        ends[15] = random.hash();
    }
    Decision::Move(Move::Section { part, ends })
}
