//! States anywhere in a run, and what they cost.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use alloy_primitives::B256;
use outcry_verifier::game::{
    Challenge, Decision, Fault, Game, MachineTrace, Move, Party, TaskStart, Trace, View, next_move,
};
use outcry_verifier::machine::replay;

use crate::cheats::{Lie, Shared, Told};
use crate::programs::{IN_TIME, Random, Task, scatter, three};

/// All states of a short run, one step at a time.
fn states(task: &Task) -> Vec<B256> {
    let mut machine = task.machine();
    let mut states = vec![machine.commit().unwrap()];
    while machine.halted().is_none() {
        machine.step().unwrap();
        states.push(machine.commit().unwrap());
    }
    states
}

#[test]
fn states_are_those_of_a_machine_that_steps_whatever_the_order_and_the_memory() {
    for task in three() {
        let states = states(task);
        for snapshot_bytes in [0, 1 << 17, 1 << 30] {
            let mut trace = task.trace_within(snapshot_bytes);
            let mut random = Random(snapshot_bytes);
            for _ in 0..300 {
                let step = random.below(states.len() as u64 + 20);
                let expected = states[(step as usize).min(states.len() - 1)];
                assert_eq!(trace.state(step).unwrap(), expected, "step {step}");
            }
            // The first one always stays.
            let least = task.trace_within(0).snapshot_bytes();
            assert!(trace.snapshot_bytes() <= snapshot_bytes.max(least));
            assert_eq!(trace.end().unwrap().steps, states.len() as u64 - 1);
        }
    }
}

#[test]
fn a_proof_leads_from_a_state_to_the_next_also_behind_the_halt() {
    for task in three() {
        let mut trace = task.trace();
        let steps = trace.end().unwrap().steps;
        let mut random = Random(7);
        let mut asked: Vec<u64> = (0..100).map(|_| random.below(steps)).collect();
        asked.extend([0, steps - 1, steps, steps + 1, 1 << 60]);
        for step in asked {
            let proof: Vec<u8> = trace
                .prove(step)
                .unwrap()
                .iter()
                .flat_map(|w| w.0)
                .collect();
            let before = trace.state(step).unwrap();
            let after = trace.state(step + 1).unwrap();
            assert_eq!(replay(before, &proof).unwrap(), after, "step {step}");
        }
    }
}

#[test]
fn long_runs_are_answered_from_snapshots_and_correctly() {
    let task = Task::of(&scatter(600_000), b"");
    let mut trace = task.trace();
    let end = trace.end().unwrap();
    assert!(end.steps > 5_000_000);
    let mut machine = task.machine();
    let mut random = Random(3);
    let mut asked: Vec<u64> = (0..40).map(|_| random.below(end.steps)).collect();
    let answers: Vec<B256> = asked
        .iter()
        .map(|step| trace.state(*step).unwrap())
        .collect();
    let mut expected: Vec<(u64, B256)> = asked.drain(..).zip(answers).collect();
    expected.sort_unstable();
    for (step, answer) in expected {
        machine.run_to(step).unwrap();
        assert_eq!(machine.commit().unwrap(), answer, "step {step}");
    }
}

/// Interpreted steps of one party in whole disputes about a task, which are played at the same time
/// and in which the traces part at these steps.
fn cost(task: &Task, truth: &Shared, me: Party, partings: impl IntoIterator<Item = u64>) -> u64 {
    let end = truth.lock().unwrap().end().unwrap().hash;
    let mut trace = task.trace();
    let initial = trace.state(0).unwrap();
    // Wherever the lie begins, it ends in this.
    let mut lie = Told::told(truth, Lie::StateFrom(1));
    let false_end = lie.state(u64::MAX).unwrap();
    let (asserted, halted) = match me {
        Party::Challenger => (false_end, end),
        Party::Provider => (end, false_end),
    };
    let challenge = Challenge {
        initial,
        asserted,
        halted,
        sections: task.sections(),
    };
    let game = Game::begin(challenge).unwrap();
    let mut games: Vec<(u64, Told, Game)> = partings
        .into_iter()
        .map(|from| {
            let liar = Told::told(truth, Lie::StateFrom(from));
            (from, liar, game.clone())
        })
        .collect();
    for _ in 0..=task.sections() {
        for (from, liar, game) in &mut games {
            let turn = game.turn();
            let view = View {
                game,
                clocks: IN_TIME,
                claim_fell: false,
                me: turn,
            };
            let decision = match turn == me {
                true => next_move(&view, &mut trace, 1),
                false => next_move(&view, liar, 1),
            };
            match decision.unwrap() {
                Decision::Move(Move::Section { part, ends }) => {
                    game.section(turn, &part, &ends).unwrap();
                }
                Decision::Move(ref made @ Move::Prove { part, .. }) => {
                    assert_eq!(game.offset() + u64::from(part.index) + 1, *from);
                    let proved = game.prove(turn, &part, &made.proof_bytes());
                    assert_eq!(proved.is_ok(), turn == me);
                }
                other => panic!("{turn:?} does {other:?}"),
            }
        }
    }
    trace.interpreted_steps()
}

/// Most runs of the interpreter that one dispute may cost its player.
const RUNS_MAX: f64 = 1.15;

/// The true trace of a task, and the steps of its run.
fn truth_of(task: &Task) -> (Shared, u64) {
    let mut truth = task.trace();
    let steps = truth.end().unwrap().steps;
    (Arc::new(Mutex::new(truth)), steps)
}

#[test]
fn a_dispute_costs_little_more_than_one_run() {
    // Lengths on both sides of where the stride doubles, in all its relations to powers of 16; of the
    // last one lists have parts of half a stride, which is dearest.
    let mut all = Vec::new();
    for rounds in [1_000_000, 1_700_000, 3_400_000, 6_150_000] {
        let task = Task::of(&scatter(rounds), b"");
        let (truth, steps) = truth_of(&task);
        let mut random = Random(rounds);
        for me in [Party::Challenger, Party::Provider] {
            for from in [steps, 1 + random.below(steps)] {
                let runs = cost(&task, &truth, me, [from]) as f64 / steps as f64;
                println!("{steps} steps, {me:?}, false from step {from} on: {runs:.3} runs");
                all.push(runs);
            }
        }
    }
    // One of a program that nobody wrote for this.
    let task = Task::python("print(sum(x * x % 7 for x in range(20000)))");
    let (truth, steps) = truth_of(&task);
    assert!(steps >= 10_000_000, "{steps} steps");
    let runs = cost(&task, &truth, Party::Provider, [steps / 3]) as f64 / steps as f64;
    println!("{steps} steps of CPython: {runs:.3} runs");
    all.push(runs);

    let least = all.iter().copied().fold(f64::INFINITY, f64::min);
    let most = all.iter().copied().fold(0.0, f64::max);
    println!("a dispute costs {least:.2} to {most:.2} runs of the interpreter");
    assert!(1.0 <= least && most <= RUNS_MAX, "{all:?}");
}

#[test]
fn thirty_two_games_about_one_task_cost_less_than_two_runs() {
    let task = Task::of(&scatter(3_400_000), b"");
    let (truth, steps) = truth_of(&task);
    let mut random = Random(32);
    let partings: Vec<u64> = (0..32).map(|_| 1 + random.below(steps)).collect();
    let runs = cost(&task, &truth, Party::Provider, partings) as f64 / steps as f64;
    println!("32 disputes about one task cost {runs:.2} runs of the interpreter");
    assert!(runs <= 2.0, "{runs:.3} runs");
}

#[test]
fn a_run_that_is_interrupted_goes_on_where_it_was_on_another_thread_too() {
    let task = Task::of(&scatter(1_000_000), b"");
    let limit = Arc::new(AtomicU64::new(3_000_000));
    let watched = limit.clone();
    let watch = Box::new(
        move |steps| match steps >= watched.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        },
    );
    let mut trace = MachineTrace::start(
        task.program.clone(),
        task.header(),
        task.limits,
        Vec::new(),
        1 << 30,
        watch,
    )
    .unwrap();
    assert!(matches!(trace.state(9_000_000), Err(Fault::Interrupted)));
    let stopped = trace.interpreted_steps();
    assert!((3_000_000..4_000_000).contains(&stopped), "{stopped}");
    // A state that is known, or where it stands, needs no run: nobody is asked.
    trace.state(0).unwrap();
    limit.store(u64::MAX, Ordering::Relaxed);
    let going_on = std::thread::spawn(move || (trace.state(9_000_000).unwrap(), trace));
    let (state, mut trace) = going_on.join().unwrap();
    assert_eq!(state, task.trace().state(9_000_000).unwrap());
    let end = trace.end().unwrap();
    assert!(trace.interpreted_steps() < end.steps + 1_000_000);
}

#[test]
fn a_challenge_names_what_the_first_state_follows_from() {
    for task in three() {
        let mut archive = task.archive.clone();
        let bytes = archive.len() as u64;
        let start = TaskStart::of(&task.program, &mut archive, bytes).unwrap();
        assert_eq!(start.image, task.program.image_words());
        assert_eq!(start.archive_bytes, bytes);
        let context = task.machine().commitment().unwrap().context;
        assert_eq!(start.archive, context.archive);
        let memories: Vec<u8> = start.memories.iter().flatten().flat_map(|w| w.0).collect();
        assert_eq!(alloy_primitives::keccak256(memories), start.image[5]);
    }
    // An archive that is shorter than it says.
    let task = &three()[0];
    assert!(TaskStart::of(&task.program, &mut task.archive.clone(), 1 << 20).is_err());
}
