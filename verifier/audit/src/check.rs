//! One program at random steps: what an auditor runs to see for himself.

use std::collections::BTreeSet;
use std::time::Instant;

use outcry_native::Engine;
use outcry_protocol::types::JobSpec;
use outcry_verifier::Image;
use outcry_verifier::task::RunLimits;
use serde::Serialize;

use crate::AuditError;
use crate::agreement::{
    Costs, Distribution, Mismatches, Subject, execute, initial_state, job_of, native_task,
};
use crate::chain::Chain;
use crate::random::Random;

/// Which steps are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckOptions {
    /// Random steps beside the first and the last.
    pub samples: u64,
    /// The same seed gives the same steps.
    pub seed: u64,
}

/// What an audit is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Compiling and running natively; nothing is counted.
    Native,
    /// Flattening, hashing and running in the machine; nothing is counted.
    Machine,
    /// Proving steps and executing them on the chain; samples are counted.
    Chain,
    /// Running a test script; its directives are counted.
    Script,
}

/// How far an audit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it is at.
    pub stage: Stage,
    /// Done of this stage.
    pub done: u64,
    /// To do in this stage; 0 if nothing is counted.
    pub total: u64,
}

/// The middle and the largest of many values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Spread {
    /// The value in the middle.
    pub median: u64,
    /// The largest.
    pub max: u64,
}

impl From<&Distribution> for Spread {
    fn from(values: &Distribution) -> Self {
        Self {
            median: values.median(),
            max: values.max(),
        }
    }
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Steps of the whole run.
    pub steps: u64,
    /// Cycles of the whole run.
    pub cycles: u64,
    /// Steps that were proven and executed on the chain.
    pub sampled: u64,
    /// Disagreements of any kind.
    pub mismatches: u64,
    /// The first disagreements in words; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
    /// Gas of a transaction that executes one step.
    pub gas: Spread,
    /// Bytes of a step's proof.
    pub proof_bytes: Spread,
    /// Milliseconds of the native run, without compiling.
    pub native_ms: u64,
    /// Milliseconds of the machine's run, without flattening and hashing.
    pub machine_ms: u64,
}

/// [`check_task`] for a program that no job names.
///
/// # Errors
/// As [`check_task`].
pub fn check(
    image: &Image,
    archive: &[u8],
    limits: RunLimits,
    options: CheckOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<CheckReport, AuditError> {
    let job = job_of(image.root(), limits);
    check_task(image, &job, 0, archive, options, progress)
}

/// Runs a task natively and in the machine, which must agree on status, exit code, output and
/// cycles, and executes random steps, the first and the last on the chain.
///
/// A run of fewer steps than asked for is executed whole.
///
/// # Errors
/// [`AuditError`]: the audit could not be made. A disagreement is part of the report.
pub fn check_task(
    image: &Image,
    job: &JobSpec,
    task: u32,
    archive: &[u8],
    options: CheckOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<CheckReport, AuditError> {
    let mut at = |stage, done, total| progress(Progress { stage, done, total });
    at(Stage::Native, 0, 0);
    let subject = Subject::new(&Engine::new()?, image)?;
    let native_task = native_task(job, task, archive);
    let started = Instant::now();
    let (native, written) = subject
        .compiled()
        .run(&native_task, archive.to_vec(), Vec::new())?;
    let native_ms = started.elapsed().as_millis() as u64;

    at(Stage::Machine, 0, 0);
    let mut machine = subject.start(job, task, archive)?;
    let started = Instant::now();
    machine.run()?;
    let machine_ms = started.elapsed().as_millis() as u64;
    let steps = machine.steps();
    let Some(halted) = machine.halted().copied() else {
        unreachable!("`run` ends when the machine has halted");
    };
    let (mut costs, mut mismatches) = (Costs::default(), Mismatches::default());
    mismatches.expect_end("native", (native, &written), (halted, machine.output()));
    drop(machine);

    let samples = choose(steps, options);
    let sampled = samples.len() as u64;
    let mut chain = Chain::new();
    let mut machine = subject.start(job, task, archive)?;
    initial_state(
        &mut chain,
        &mut machine,
        job,
        task,
        archive,
        &mut mismatches,
    )?;
    for (done, step) in samples.into_iter().enumerate() {
        at(Stage::Chain, done as u64, sampled);
        machine.run_to(step)?;
        let (before, proof) = machine.prove()?;
        let after = execute(
            Some(&mut chain),
            step,
            before,
            &proof.to_bytes(),
            &mut costs,
            &mut mismatches,
        );
        let found = machine.commit()?;
        if let Some(after) = after
            && after != found
        {
            mismatches
                .add(|| format!("after step {step} the machine commits to {found}, not {after}"));
        }
    }
    if machine.halted() != Some(&halted) || machine.steps() != steps {
        let end = (machine.halted().copied(), machine.steps());
        mismatches.add(|| {
            format!("step by step the machine is at {end:?}, not at {halted:?} after {steps} steps")
        });
    }
    at(Stage::Chain, sampled, sampled);

    Ok(CheckReport {
        steps,
        cycles: halted.cycles,
        sampled,
        mismatches: mismatches.count(),
        differences: mismatches.first().to_vec(),
        gas: (&costs.gas).into(),
        proof_bytes: (&costs.proof_bytes).into(),
        native_ms,
        machine_ms,
    })
}

/// Different steps in ascending order: the first, the last, and so many others.
fn choose(steps: u64, options: CheckOptions) -> BTreeSet<u64> {
    if steps == 0 {
        return BTreeSet::new();
    }
    let wanted = options.samples.saturating_add(2);
    if wanted >= steps {
        return (0..steps).collect();
    }
    let mut random = Random::new(options.seed);
    let mut chosen = BTreeSet::from([0, steps - 1]);
    if wanted > steps / 2 {
        // So many are wanted that it is quicker to leave some out.
        chosen.extend(0..steps);
        while chosen.len() as u64 > wanted {
            chosen.remove(&(1 + random.below(steps - 2)));
        }
    }
    while (chosen.len() as u64) < wanted {
        chosen.insert(random.below(steps));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_step_are_always_chosen_and_none_twice() {
        for (steps, samples) in [(1, 0), (2, 0), (10, 3), (10, 7), (10, 100), (1 << 40, 50)] {
            let chosen = choose(steps, CheckOptions { samples, seed: 7 });
            assert_eq!(
                chosen.len() as u64,
                steps.min(samples + 2),
                "{steps} {samples}"
            );
            assert!(chosen.contains(&0) && chosen.last() == Some(&(steps - 1)));
        }
        let options = CheckOptions {
            samples: 50,
            seed: 7,
        };
        assert_eq!(choose(1 << 40, options), choose(1 << 40, options));
        assert_ne!(
            choose(1 << 40, options),
            choose(1 << 40, CheckOptions { seed: 8, ..options })
        );
    }
}
