//! States that lead to a false claim, or to nothing, and moves that are not made.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy::primitives::B256;
use outcry_daemon::Tracer;
use outcry_daemon::dispute::trace::{Subject, TaskTrace, TraceProblem};
use outcry_protocol::hash::job_hash;
use outcry_verifier::game::{Fault, TaskStart, Trace, Watch, sections};
use outcry_verifier::machine::Point;

use super::{Cheat, Claimed, Claims, Kind, TaskId};

/// Words of a proof that proves nothing.
const PROOF_WORDS: u64 = 16;

/// Traces tasks and forges the traces of those about which something false was claimed.
#[derive(Debug)]
pub(super) struct Forger {
    cheat: Cheat,
    truth: Arc<dyn Tracer>,
    claims: Claims,
}

impl Forger {
    pub(super) fn new(cheat: Cheat, truth: Arc<dyn Tracer>, claims: Claims) -> Self {
        Self {
            cheat,
            truth,
            claims,
        }
    }
}

impl Tracer for Forger {
    fn open(
        &self,
        subject: &Subject,
        until: Option<Point>,
        watch: Watch,
    ) -> Result<TaskTrace, TraceProblem> {
        let truth = self.truth.open(subject, until, watch)?;
        let task = (job_hash(&subject.job), subject.task);
        // What it says of an auditor's point is true: the lie is at the end.
        Ok(match self.claims.of(task).filter(|_| until.is_none()) {
            Some(claimed) => Box::new(Forged::new(
                self.cheat,
                task,
                claimed,
                sections(subject.job.cycleLimit),
                truth,
            )),
            None => truth,
        })
    }

    fn states_at(
        &self,
        subject: &Subject,
        points: Vec<Point>,
        watch: Watch,
    ) -> Result<Vec<B256>, TraceProblem> {
        self.truth.states_at(subject, points, watch)
    }

    fn start(&self, subject: &Subject) -> Result<TaskStart, TraceProblem> {
        self.truth.start(subject)
    }
}

/// A trace that ends in what was claimed.
struct Forged {
    cheat: Cheat,
    task: TaskId,
    halted: B256,
    /// From this step on the states of [`Kind::WrongStateAtRandomStep`] are false.
    false_from: u64,
    sections: u8,
    truth: TaskTrace,
    /// States that [`Kind::AnswersInconsistently`] has made up. It has to know them again, or it would
    /// have to admit that its opponent answers something that it never said.
    made_up: BTreeMap<u64, B256>,
    asked: Asked,
}

impl Forged {
    fn new(cheat: Cheat, task: TaskId, claimed: Claimed, sections: u8, truth: TaskTrace) -> Self {
        // A run makes about one step for three cycles. Were it shorter, its last state alone is false.
        let false_from = 1 + cheat.choose("step", task, claimed.cycles / 4);
        Self {
            cheat,
            task,
            halted: claimed.halted,
            false_from,
            sections,
            truth,
            made_up: BTreeMap::new(),
            asked: Asked::default(),
        }
    }

    /// Whether the move that is being prepared is to be made.
    fn moves(&mut self, step: u64) -> bool {
        let last = match self.cheat.kind {
            Kind::Silent => return false,
            Kind::StallsAtMove(number) => number - 1,
            _ => return true,
        };
        let made = self.asked.step(step, self.sections);
        made.is_none_or(|made| u32::from(made) < last)
    }
}

impl Trace for Forged {
    fn state(&mut self, step: u64) -> Result<B256, Fault> {
        if !self.moves(step) {
            self.asked = Asked::default();
            return Err(Fault::Interrupted);
        }
        let end = self.truth.state(u64::MAX)?;
        let truth = self.truth.state(step)?;
        Ok(match self.cheat.kind {
            Kind::AnswersInconsistently if step > 0 && step < u64::MAX => {
                // Depends on how often it was asked before, hence on nothing that a run could give.
                let made = self.made_up.len() as u64;
                let (cheat, task) = (self.cheat, self.task);
                *self
                    .made_up
                    .entry(step)
                    .or_insert_with(|| cheat.hash("state", task, made))
            }
            _ if truth == end => self.halted,
            Kind::WrongStateAtRandomStep if step >= self.false_from => {
                self.cheat.hash("state", self.task, step)
            }
            _ => truth,
        })
    }

    fn prove(&mut self, step: u64) -> Result<Vec<B256>, Fault> {
        match self.cheat.kind {
            Kind::AnswersInconsistently => Ok((0..PROOF_WORDS)
                .map(|word| self.cheat.hash("proof", self.task, word))
                .collect()),
            _ => self.truth.prove(step),
        }
    }
}

/// Which move is being prepared, as far as the questions tell: the player asks for the state at which
/// the opponent's list starts, then for the one at the end of its first part, whose length says how many
/// sections have been made.
#[derive(Debug, Default)]
struct Asked {
    start: Option<u64>,
    own_moves: Option<u8>,
}

impl Asked {
    /// A state is asked for; returns how many moves this party has made, once that is clear.
    fn step(&mut self, step: u64, sections: u8) -> Option<u8> {
        // The halted state ends the questions of a move.
        if step == u64::MAX {
            *self = Self::default();
            return None;
        }
        match (self.start, self.own_moves) {
            (None, _) => self.start = Some(step),
            (Some(start), None) => {
                let level = step.saturating_sub(start).max(1).ilog2() / 4;
                let made = u32::from(sections).saturating_sub(level) / 2;
                self.own_moves = Some(u8::try_from(made).unwrap_or(u8::MAX));
            }
            (Some(_), Some(_)) => {}
        }
        self.own_moves
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use outcry_verifier::game::{Challenge, Clocks, Decision, Game, Move, Party, View, next_move};

    use super::*;

    const TASK: TaskId = (B256::repeat_byte(1), 0);
    const STEPS: u64 = 40_000;
    const SECTIONS: u8 = 5;

    /// A made-up run of so many steps.
    struct Run;

    fn truth(step: u64) -> B256 {
        alloy::primitives::keccak256(step.min(STEPS).to_be_bytes())
    }

    impl Trace for Run {
        fn state(&mut self, step: u64) -> Result<B256, Fault> {
            Ok(truth(step))
        }

        fn prove(&mut self, step: u64) -> Result<Vec<B256>, Fault> {
            Ok(vec![truth(step + 1)])
        }
    }

    /// Plays a cheating provider against an honest challenger. Returns the sections that the cheat
    /// made, and the step that was left in the end, if it came so far.
    fn play(kind: Kind) -> (u32, Option<u64>) {
        let cheat = Cheat { kind, seed: 11 };
        let claimed = Claimed {
            halted: B256::repeat_byte(9),
            cycles: 3 * STEPS,
        };
        let mut forged = Forged::new(cheat, TASK, claimed, SECTIONS, Box::new(Run));
        let mut game = Game::begin(Challenge {
            initial: truth(0),
            asserted: claimed.halted,
            halted: truth(STEPS),
            sections: SECTIONS,
        })
        .unwrap();
        let clocks = Clocks {
            since: 0,
            challenger_left: 10,
            provider_left: 10,
            seated: true,
        };
        let mut made = 0;
        loop {
            let me = game.turn();
            let view = View {
                game: &game,
                clocks,
                claim_fell: false,
                me,
            };
            let decision = match me {
                Party::Challenger => next_move(&view, &mut Run, 1),
                Party::Provider => next_move(&view, &mut forged, 1).and_then(|decision| {
                    assert_eq!(forged.state(u64::MAX)?, claimed.halted);
                    Ok(decision)
                }),
            };
            match decision {
                Err(Fault::Interrupted) if me == Party::Provider => return (made, None),
                Ok(Decision::Move(Move::Section { part, ends })) => {
                    game.section(me, &part, &ends).unwrap();
                    made += u32::from(me == Party::Provider);
                }
                Ok(Decision::Move(Move::Prove { part, .. })) => {
                    return (made, Some(game.offset() + u64::from(part.index)));
                }
                other => panic!("{me:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_wrong_output_parts_from_the_truth_in_the_last_step() {
        assert_eq!(play(Kind::WrongOutput), (2, Some(STEPS - 1)));
        assert_eq!(play(Kind::WrongCycles), (2, Some(STEPS - 1)));
    }

    #[test]
    fn wrong_states_part_from_it_where_the_seed_says() {
        let (made, step) = play(Kind::WrongStateAtRandomStep);
        let cheat = Cheat {
            kind: Kind::WrongStateAtRandomStep,
            seed: 11,
        };
        assert_eq!(made, 2);
        assert_eq!(step, Some(cheat.choose("step", TASK, 3 * STEPS / 4)));
    }

    #[test]
    fn one_that_stalls_makes_just_the_moves_before() {
        assert_eq!(play(Kind::Silent), (0, None));
        assert_eq!(play(Kind::StallsAtMove(1)), (0, None));
        assert_eq!(play(Kind::StallsAtMove(2)), (1, None));
        assert_eq!(play(Kind::StallsAtMove(3)), (2, None));
    }

    #[test]
    fn one_that_answers_inconsistently_makes_moves_that_the_rules_allow() {
        let (made, step) = play(Kind::AnswersInconsistently);
        assert_eq!((made, step), (2, Some(0)));
    }
}
