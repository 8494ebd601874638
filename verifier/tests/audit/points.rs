//! The state at a point, whichever way a machine gets there, and games about it.

use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::{B256, keccak256};
use outcry_verifier::audit::PointStates;
use outcry_verifier::game::{
    Challenge, Decision, Fault, Game, MachineTrace, Move, Party, Refusal, Trace, View, Watch,
    next_move,
};
use outcry_verifier::machine::proof::ProofError;
use outcry_verifier::machine::{Point, replay, replay_until};

use crate::programs::{IN_TIME, Random, Task, scatter, three};

fn point(cycles: u64) -> Point {
    NonZeroU64::new(cycles).unwrap()
}

fn bytes(words: &[B256]) -> Vec<u8> {
    words.iter().flat_map(|word| word.0).collect()
}

/// A run, one step at a time.
struct Run {
    /// Hash of each state, and its cycle register; the last one has halted.
    states: Vec<(B256, u64)>,
}

impl Run {
    fn of(task: &Task) -> Self {
        let mut machine = task.machine();
        let mut states = vec![(machine.commit().unwrap(), 0)];
        while machine.halted().is_none() {
            machine.step().unwrap();
            states.push((machine.commit().unwrap(), machine.cycles()));
        }
        Self { states }
    }

    /// Step of the first state whose register reaches the point, or of the halted one.
    fn stop(&self, point: Point) -> usize {
        let reaches = |(_, cycles): &(B256, u64)| *cycles >= point.get();
        let stop = self.states.iter().position(reaches);
        stop.unwrap_or(self.states.len() - 1)
    }

    fn cycles(&self) -> u64 {
        self.states[self.states.len() - 1].1
    }

    /// The first cycle, the last, one more, far behind the end, and some in between.
    fn points(&self, seed: u64) -> Vec<Point> {
        let cycles = self.cycles();
        let mut random = Random(seed);
        let mut points: Vec<u64> = (0..40).map(|_| 1 + random.below(cycles)).collect();
        points.extend([1, 2, cycles - 1, cycles, cycles + 1, 1 << 44, u64::MAX]);
        points.into_iter().map(point).collect()
    }
}

/// Three programs, and one of them with too small a cycle limit.
fn tasks() -> Vec<Task> {
    let mut tasks = three().to_vec();
    let mut exhausted = tasks[1].clone();
    exhausted.limits.cycles = 1234;
    tasks.push(exhausted);
    tasks
}

fn go_on() -> Watch {
    Box::new(|_| ControlFlow::Continue(()))
}

fn point_states(task: &Task, points: Vec<Point>, watch: Watch) -> PointStates<Vec<u8>> {
    let (program, archive) = (task.program.clone(), task.archive.clone());
    PointStates::start(program, task.header(), task.limits, archive, points, watch).unwrap()
}

#[test]
fn the_state_at_a_point_is_the_first_whose_cycles_reach_it() {
    for (seed, task) in (0..).zip(tasks()) {
        let run = Run::of(&task);
        let points = run.points(seed);
        let expected: Vec<B256> = points
            .iter()
            .map(|at| run.states[run.stop(*at)].0)
            .collect();
        let mut asked = point_states(&task, points.clone(), go_on());
        assert_eq!(asked.states().unwrap(), expected);
        let (halted, hash) = asked.halted().unwrap();
        assert_eq!((hash, halted.cycles), run.states[run.states.len() - 1]);
        assert_eq!(asked.steps(), run.states.len() as u64 - 1);
        for (at, state) in points.into_iter().zip(expected) {
            // Marking what changes and without it, and step by step.
            let [mut unmarked, mut marked, mut stepping] = [(); 3].map(|()| task.machine());
            for machine in [&mut unmarked, &mut marked, &mut stepping] {
                machine.stop_at(Some(at));
            }
            unmarked.run().unwrap();
            marked.run_to(u64::MAX).unwrap();
            while !stepping.has_ended() {
                stepping.step().unwrap();
            }
            for machine in [&mut unmarked, &mut marked, &mut stepping] {
                assert_eq!(machine.steps(), run.stop(at) as u64, "point {at}");
                assert_eq!(machine.commit().unwrap(), state);
                assert_eq!(machine.pc(), None);
                machine.step().unwrap();
                assert_eq!(machine.commit().unwrap(), state);
                // And on from there.
                machine.stop_at(None);
                machine.run().unwrap();
                assert_eq!(machine.steps(), run.states.len() as u64 - 1);
            }
        }
    }
}

#[test]
fn states_at_points_cost_one_run_to_the_last_of_them() {
    let task = &three()[1];
    let run = Run::of(task);
    let points: Vec<Point> = [700, 300, 500, 300].map(point).to_vec();
    let mut asked = point_states(task, points, go_on());
    let states = asked.states().unwrap();
    assert_eq!(states[1], states[3]);
    assert_eq!(asked.steps(), run.stop(point(700)) as u64);
    assert!(asked.steps() < run.states.len() as u64 - 1);
    assert_eq!(asked.states().unwrap(), states, "asked again");
    assert!(
        point_states(task, Vec::new(), go_on())
            .states()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_run_to_points_that_is_interrupted_goes_on_where_it_was_on_another_thread_too() {
    let task = Task::of(&scatter(20_000_000), b"");
    let limit = Arc::new(AtomicU64::new(1));
    let watched = limit.clone();
    let watch: Watch = Box::new(
        move |steps| match steps >= watched.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        },
    );
    let points: Vec<Point> = [150_000_000, 170_000_000].map(point).to_vec();
    let mut asked = point_states(&task, points.clone(), watch);
    assert!(matches!(asked.states(), Err(Fault::Interrupted)));
    let stopped = asked.steps();
    assert!((1..150_000_000).contains(&stopped), "{stopped}");
    limit.store(u64::MAX, Ordering::Relaxed);
    let going_on = std::thread::spawn(move || (asked.states().unwrap(), asked.steps()));
    let (states, steps) = going_on.join().unwrap();
    let mut machine = task.machine();
    for (at, state) in points.into_iter().zip(states) {
        machine.stop_at(Some(at));
        machine.run().unwrap();
        assert_eq!(machine.commit().unwrap(), state);
    }
    assert_eq!(steps, machine.steps());
}

#[test]
fn a_trace_until_a_point_repeats_the_state_there_and_proves_every_step() {
    for (seed, task) in (0..).zip(tasks()) {
        let run = Run::of(&task);
        let mut random = Random(seed);
        for at in run.points(seed) {
            let stop = run.stop(at) as u64;
            let halts = stop == run.states.len() as u64 - 1;
            let snapshot_bytes = [0, 1 << 17, 1 << 30][random.below(3) as usize];
            let mut trace = task.trace_within(snapshot_bytes).until(Some(at));
            let mut steps: Vec<u64> = (0..8).map(|_| random.below(stop + 10)).collect();
            steps.extend([0, stop.saturating_sub(1), stop, stop + 1, 1 << 60]);
            for step in steps {
                let state = trace.state(step).unwrap();
                assert_eq!(state, run.states[step.min(stop) as usize].0, "step {step}");
                let proof = bytes(&trace.prove(step).unwrap());
                let after = trace.state(step.saturating_add(1)).unwrap();
                assert_eq!(
                    replay_until(state, &proof, at),
                    Ok(after),
                    "step {step} of {at}"
                );
                if step < stop || halts {
                    assert_eq!(replay(state, &proof), Ok(after));
                } else {
                    assert_eq!(proof.len(), 8 * 32);
                    assert_eq!(replay(state, &proof), Err(ProofError::TooShort));
                }
            }
            let end = trace.end().unwrap();
            assert_eq!((end.steps, end.hash), (stop, run.states[stop as usize].0));
            assert_eq!(end.halted.is_some(), halts);
        }
    }
}

#[test]
fn a_stopped_state_has_one_proof_and_a_running_one_does_not_stop() {
    let task = &three()[1];
    let at = point(500);
    let mut trace = task.trace().until(Some(at));
    let stop = trace.end().unwrap().steps;
    let state = trace.state(stop).unwrap();
    let words = trace.prove(stop).unwrap();
    for index in 0..words.len() {
        let mut other = words.clone();
        other[index].0[31] ^= 1;
        let refused = replay_until(state, &bytes(&other), at);
        assert_eq!(refused, Err(ProofError::Mismatch), "word {index}");
    }
    let proof = bytes(&words);
    // The state before, as if it had stopped.
    let before = trace.state(stop - 1).unwrap();
    let running = bytes(&trace.prove(stop - 1).unwrap());
    let cut = replay_until(before, &running[..256], at);
    assert_eq!(cut, Err(ProofError::TooShort));
    // The step that a stopped state would make.
    let going_on = bytes(&task.trace().prove(stop).unwrap());
    assert_eq!(&going_on[..256], proof);
    for longer in [&going_on[..], &going_on[..257], &going_on[..288]] {
        let refused = replay_until(state, longer, at);
        assert_eq!(refused, Err(ProofError::TooLong));
    }
    for shorter in [0, 31, 128, 255] {
        assert!(replay_until(state, &proof[..shorter], at).is_err());
    }
    let later = point(1 << 40);
    assert_eq!(
        replay_until(state, &going_on, later),
        replay(state, &going_on)
    );
    assert!(replay(state, &going_on).is_ok());
}

/// The truth up to a step, and something else from there on.
struct Liar<'t> {
    truth: &'t mut MachineTrace<Vec<u8>>,
    from: u64,
}

impl Trace for Liar<'_> {
    fn state(&mut self, step: u64) -> Result<B256, Fault> {
        let end = self.truth.end()?.steps;
        let state = self.truth.state(step)?;
        Ok(match step >= self.from {
            true => keccak256([state.as_slice(), &step.min(end).to_be_bytes()].concat()),
            false => state,
        })
    }
    fn prove(&mut self, step: u64) -> Result<Vec<B256>, Fault> {
        self.truth.prove(step)
    }
}

/// A game about a point, between the truth and somebody who leaves it at a step; gives the steps that the
/// honest side interpreted. The honest side wins, by its own proof or because the other has none.
fn play(task: &Task, at: Point, honest: Party, from: u64) -> u64 {
    let mut truth = task.trace().until(Some(at));
    let mut trace = task.trace().until(Some(at));
    let initial = trace.state(0).unwrap();
    let end = truth.end().unwrap().hash;
    let lie = Liar {
        truth: &mut truth,
        from,
    }
    .state(1 << 62)
    .unwrap();
    let (asserted, halted) = match honest {
        Party::Challenger => (lie, end),
        Party::Provider => (end, lie),
    };
    let challenge = Challenge {
        initial,
        asserted,
        halted,
        sections: task.sections(),
    };
    let mut game = Game::begin(challenge).unwrap().until(Some(at));
    loop {
        let turn = game.turn();
        let view = View {
            game: &game,
            clocks: IN_TIME,
            claim_fell: false,
            me: turn,
        };
        let decision = match turn == honest {
            true => next_move(&view, &mut trace, 1),
            false => next_move(
                &view,
                &mut Liar {
                    truth: &mut truth,
                    from,
                },
                1,
            ),
        };
        match decision.unwrap() {
            Decision::Move(Move::Section { part, ends }) => {
                game.section(turn, &part, &ends).unwrap();
            }
            Decision::Move(ref made @ Move::Prove { part, .. }) => {
                assert_eq!(game.offset() + u64::from(part.index) + 1, from);
                let proved = game.prove(turn, &part, &made.proof_bytes());
                match turn == honest {
                    true => assert_eq!(game.winner(), Some(honest), "{proved:?}"),
                    false => assert_eq!(proved, Err(Refusal::StepAgrees)),
                }
                return trace.interpreted_steps();
            }
            other => panic!("{turn:?} does {other:?}"),
        }
    }
}

#[test]
fn who_is_right_about_a_point_wins_wherever_the_other_leaves_the_truth() {
    for (seed, task) in (0..).zip(tasks()) {
        let run = Run::of(&task);
        let mut random = Random(seed);
        for at in run.points(seed).into_iter().skip(32) {
            let stop = run.stop(at) as u64;
            // Somewhere, at the very state where it stops, and after it.
            for from in [
                1 + random.below(stop),
                stop,
                stop + 1 + random.below(1 << 20),
            ] {
                for honest in [Party::Challenger, Party::Provider] {
                    play(&task, at, honest, from);
                }
            }
        }
    }
}

#[test]
fn a_dispute_about_a_point_costs_little_more_than_a_run_to_it() {
    let task = Task::of(&scatter(3_400_000), b"");
    let cycles = task.trace().end().unwrap().halted.unwrap().cycles;
    for at in [cycles - cycles / 64, cycles / 3].map(point) {
        let steps = task.trace().until(Some(at)).end().unwrap().steps;
        for from in [steps, steps / 2] {
            let interpreted = play(&task, at, Party::Challenger, from);
            let runs = interpreted as f64 / steps as f64;
            assert!(runs <= 1.15, "{runs:.3} runs");
        }
    }
}
