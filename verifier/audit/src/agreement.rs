//! One run in all executions: natively in both variants, in the machine at once, in pieces, back and
//! forth and step by step, and on the chain.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use alloy_primitives::B256;
use outcry_native::{CompiledImage, Engine, EngineFailure, Halted, Task};
use outcry_protocol::types::JobSpec;
use outcry_verifier::Image;
use outcry_verifier::guest::MACHINE_VERSION;
use outcry_verifier::machine::{CommittedProgram, Machine, Program, replay};
use outcry_verifier::task::{RunLimits, TaskHeader};

use crate::AuditError;
use crate::chain::Chain;
use crate::random::mix;

/// Which steps of a run the chain executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChain {
    /// All.
    Every,
    /// One in so many, chosen by the step's number, and the first and the last.
    Sample(u64),
    /// None.
    None,
}

impl OnChain {
    fn takes(self, step: u64) -> bool {
        match self {
            Self::Every => true,
            Self::Sample(every) => step == 0 || mix(step).is_multiple_of(every.max(1)),
            Self::None => false,
        }
    }
}

impl fmt::Display for OnChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => f.write_str("every"),
            Self::Sample(every) => write!(f, "sample:{every}"),
            Self::None => f.write_str("none"),
        }
    }
}

/// Not a choice of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `every`, `sample:N` with N above 0, or `none`")]
pub struct NoChoice;

impl FromStr for OnChain {
    type Err = NoChoice;

    fn from_str(text: &str) -> Result<Self, NoChoice> {
        match text {
            "every" => Ok(Self::Every),
            "none" => Ok(Self::None),
            _ => text
                .strip_prefix("sample:")
                .and_then(|every| every.parse().ok())
                .filter(|every| *every > 0)
                .map(Self::Sample)
                .ok_or(NoChoice),
        }
    }
}

/// How often each value was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    counts: BTreeMap<u64, u64>,
}

impl Distribution {
    /// Takes a value in.
    pub fn record(&mut self, value: u64) {
        *self.counts.entry(value).or_default() += 1;
    }

    /// Takes another distribution in.
    pub fn merge(&mut self, other: &Self) {
        for (value, count) in &other.counts {
            *self.counts.entry(*value).or_default() += count;
        }
    }

    /// The value in the middle, the lower of two; 0 if there is none.
    #[must_use]
    pub fn median(&self) -> u64 {
        let half = self.counts.values().sum::<u64>().div_ceil(2);
        let mut seen = 0;
        let middle = self.counts.iter().find(|(_, count)| {
            seen += **count;
            seen >= half
        });
        middle.map_or(0, |(value, _)| *value)
    }

    /// The largest value; 0 if there is none.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.counts.last_key_value().map_or(0, |(value, _)| *value)
    }
}

/// What steps cost on the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Costs {
    /// Gas of a transaction with one step, see [`crate::ChainStep::gas`].
    pub gas: Distribution,
    /// Bytes of a proof.
    pub proof_bytes: Distribution,
}

impl Costs {
    /// Takes other costs in.
    pub fn merge(&mut self, other: &Self) {
        self.gas.merge(&other.gas);
        self.proof_bytes.merge(&other.proof_bytes);
    }
}

/// Disagreements in words; of many only the first are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mismatches {
    count: u64,
    first: Vec<String>,
}

impl Mismatches {
    /// So many are kept in words.
    pub const KEPT: usize = 20;

    /// Takes one in.
    pub fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < Self::KEPT {
            self.first.push(what());
        }
    }

    /// Takes others in.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        let room = Self::KEPT - self.first.len();
        self.first.extend(other.first.iter().take(room).cloned());
    }

    /// Takes others in, each introduced by `whose`.
    pub fn merge_of(&mut self, whose: &str, other: &Self) {
        let introduced = other.first.iter().map(|what| format!("{whose}: {what}"));
        self.merge(&Self {
            count: other.count,
            first: introduced.collect(),
        });
    }

    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.add(what);
        }
    }

    /// A native run must end as the machine did.
    pub(crate) fn expect_end(
        &mut self,
        native: &str,
        (halted, output): (Halted, &[u8]),
        machine: (Halted, &[u8]),
    ) {
        self.expect(halted == machine.0, || {
            format!(
                "{native} ends as {halted:?}, the machine as {:?}",
                machine.0
            )
        });
        self.expect(output == machine.1, || {
            format!("{native} and the machine write different outputs")
        });
    }

    /// All of them.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The first of them.
    #[must_use]
    pub fn first(&self) -> &[String] {
        &self.first
    }
}

/// One program, ready for all executions.
#[derive(Debug)]
pub struct Subject {
    compiled: CompiledImage,
    program: Arc<CommittedProgram>,
}

/// One run of a subject: the first task of a job.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'a> {
    /// The job. Only the chain asks whether it names the subject's image.
    pub job: &'a JobSpec,
    /// The task's input archive, in whatever form the program's library reads.
    pub archive: &'a [u8],
    /// Steps for the chain, if there is one.
    pub on_chain: OnChain,
    /// Places of the instructions of another run.
    pub known: &'a [u32],
    /// Whether steps go on chain also for as long as this run takes the known way.
    pub repeats: bool,
    /// Whether [`Agreement::way`] is asked for.
    pub keep_way: bool,
}

impl<'a> Trial<'a> {
    /// A run that knows no other.
    #[must_use]
    pub fn new(job: &'a JobSpec, archive: &'a [u8], on_chain: OnChain) -> Self {
        Self {
            job,
            archive,
            on_chain,
            known: &[],
            repeats: false,
            keep_way: false,
        }
    }
}

/// What the executions agree on, and where they do not.
#[derive(Debug, Clone)]
pub struct Agreement {
    /// How the machine halted.
    pub halted: Halted,
    /// The machine's output.
    pub output: Vec<u8>,
    /// Steps of the machine.
    pub steps: u64,
    /// Steps that the chain executed.
    pub steps_on_chain: u64,
    /// Steps on the known way, which for that reason did not go on chain.
    pub steps_repeated: u64,
    /// What those on chain cost.
    pub costs: Costs,
    /// Everything that any execution did otherwise.
    pub mismatches: Mismatches,
    /// Place of each step's instruction, if asked for.
    pub way: Vec<u32>,
    /// Whether the run was seen to take the known way to its end. A long one goes step by step only
    /// for the chain, and is not seen.
    pub kept_known_way: bool,
}

/// A job with one task that runs an image: names its input by nothing but the limits, because no
/// market ever sees it.
#[must_use]
pub fn job_of(image_root: B256, limits: RunLimits) -> JobSpec {
    JobSpec {
        machineVersion: MACHINE_VERSION,
        imageRoot: image_root,
        inputsRoot: B256::ZERO,
        manifest: B256::ZERO,
        source: B256::ZERO,
        cycleLimit: limits.cycles,
        pageLimit: limits.pages,
        slotLimit: limits.slots,
        outputLimit: limits.output_bytes,
        taskCount: 1,
    }
}

/// A task for the native engine.
pub(crate) fn native_task(job: &JobSpec, task: u32, archive: &[u8]) -> Task {
    let header = TaskHeader::of(job, task, archive.len() as u64);
    Task::new(header, RunLimits::of(job))
}

/// Runs with more steps do not go step by step unless the chain asks for it.
const SINGLE_STEPS: u64 = 1_000_000;
/// So many steps at the start and at the end of a run that goes step by step without a chain are
/// proven and replayed.
const REPLAYED_STEPS: u64 = 300;

impl Subject {
    /// Compiles an image for the native engine and flattens it for the machine.
    ///
    /// # Errors
    /// [`AuditError`]: it cannot be done.
    pub fn new(engine: &Engine, image: &Image) -> Result<Self, AuditError> {
        Self::of(engine.compile(image)?)
    }

    /// Flattens for the machine what is compiled for the native engine.
    ///
    /// # Errors
    /// [`AuditError::Load`].
    pub fn of(compiled: CompiledImage) -> Result<Self, AuditError> {
        let program = Program::flatten(compiled.image())?;
        Ok(Self {
            compiled,
            program: Arc::new(CommittedProgram::new(Arc::new(program))),
        })
    }

    /// What the machine runs.
    #[must_use]
    pub fn program(&self) -> &Arc<CommittedProgram> {
        &self.program
    }

    /// The native program.
    #[must_use]
    pub fn compiled(&self) -> &CompiledImage {
        &self.compiled
    }

    /// A job with one task that runs this subject, see [`job_of`].
    #[must_use]
    pub fn job(&self, limits: RunLimits) -> JobSpec {
        job_of(self.program.image_root(), limits)
    }

    /// A task's machine before its first step.
    ///
    /// # Errors
    /// [`AuditError::Limits`].
    pub fn start<'a>(
        &self,
        job: &JobSpec,
        task: u32,
        archive: &'a [u8],
    ) -> Result<Machine<&'a [u8]>, AuditError> {
        let header = TaskHeader::of(job, task, archive.len() as u64);
        let program = Arc::clone(&self.program);
        Ok(Machine::start(
            program,
            header,
            RunLimits::of(job),
            archive,
        )?)
    }

    /// Runs in all executions and compares them; without a chain, in all others.
    ///
    /// # Errors
    /// [`AuditError`]: one of them could not be made. That they differ is no error.
    pub fn compare(
        &self,
        chain: Option<&mut Chain>,
        trial: &Trial<'_>,
    ) -> Result<Agreement, AuditError> {
        let Trial { job, archive, .. } = *trial;
        let mut mismatches = Mismatches::default();

        let mut machine = self.start(job, 0, archive)?;
        machine.run()?;
        let (steps, output) = (machine.steps(), machine.output().to_vec());
        let Some(halted) = machine.halted().copied() else {
            unreachable!("`run` ends when the machine has halted");
        };
        drop(machine);

        let task = native_task(job, 0, archive);
        let fast = self.compiled.run(&task, archive.to_vec(), Vec::new());
        let exact = self.compiled.run_exact(&task, archive.to_vec(), Vec::new());
        for (variant, run) in [("native (fast)", fast), ("native (exact)", exact)] {
            match run {
                Ok((native, written)) => {
                    mismatches.expect_end(variant, (native, &written), (halted, &output));
                }
                Err(EngineFailure::Divergence(what)) => {
                    mismatches.add(|| format!("the native variants disagree: {what}"));
                }
                Err(failure) => return Err(failure.into()),
            }
        }

        let mut agreement = Agreement {
            halted,
            output,
            steps,
            steps_on_chain: 0,
            steps_repeated: 0,
            costs: Costs::default(),
            mismatches,
            way: Vec::new(),
            kept_known_way: false,
        };
        self.in_pieces(trial, &mut agreement)?;
        self.back_and_forth(trial, &mut agreement)?;
        let chain = chain.filter(|_| trial.on_chain != OnChain::None);
        if chain.is_some() || steps <= SINGLE_STEPS {
            self.step_by_step(chain, trial, &mut agreement)?;
        }
        Ok(agreement)
    }

    /// The interpreter with stops.
    fn in_pieces(&self, trial: &Trial<'_>, agreement: &mut Agreement) -> Result<(), AuditError> {
        let mut machine = self.start(trial.job, 0, trial.archive)?;
        let piece = agreement.halted.cycles / 7;
        while machine.halted().is_none() && machine.steps() <= agreement.steps {
            let cycles = machine.cycles();
            machine.run_to_cycles(cycles.saturating_add(piece))?;
            // Past the charge at which it stopped.
            machine.step()?;
        }
        agreement.expect_end_of("in pieces", &machine);
        Ok(())
    }

    /// Back to the middle from the end, and again: the same states.
    fn back_and_forth(
        &self,
        trial: &Trial<'_>,
        agreement: &mut Agreement,
    ) -> Result<(), AuditError> {
        let mut machine = self.start(trial.job, 0, trial.archive)?;
        let middle = agreement.steps / 2;
        let first = machine.snapshot();
        machine.run_to(middle)?;
        let (snapshot, state) = (machine.snapshot(), machine.commit()?);
        machine.run_to(u64::MAX)?;
        let end = machine.commit()?;
        for (snapshot, steps) in [(&snapshot, middle), (&first, 0), (&snapshot, middle)] {
            machine.restore(snapshot);
            let back = machine.steps();
            machine.run_to(middle)?;
            let found = machine.commit()?;
            agreement
                .mismatches
                .expect(back == steps && found == state, || {
                    format!(
                        "back at step {back} of {steps} the machine comes to {found} at {middle}, not to {state}"
                    )
                });
        }
        machine.run_to(u64::MAX)?;
        let found = machine.commit()?;
        agreement.mismatches.expect(found == end, || {
            format!("from the middle once more the machine ends in {found}, not in {end}")
        });
        agreement.expect_end_of("from the middle once more", &machine);
        Ok(())
    }

    fn step_by_step(
        &self,
        mut chain: Option<&mut Chain>,
        trial: &Trial<'_>,
        agreement: &mut Agreement,
    ) -> Result<(), AuditError> {
        let mut machine = self.start(trial.job, 0, trial.archive)?;
        let mut known = trial.known.iter();
        let mut is_known = !trial.known.is_empty();
        let mut expected: Option<B256> = None;
        if let Some(chain) = &mut chain {
            let mismatches = &mut agreement.mismatches;
            let state = initial_state(chain, &mut machine, trial.job, 0, trial.archive, mismatches);
            expected = Some(state?);
        }
        let steps = agreement.steps;
        while let Some(pc) = machine.pc() {
            let at = machine.steps();
            if at > steps {
                break;
            }
            if trial.keep_way {
                agreement.way.push(pc);
            }
            is_known = is_known && known.next() == Some(&pc);
            let repeated = chain.is_some() && is_known && !trial.repeats;
            agreement.steps_repeated += u64::from(repeated);
            let proven = match chain {
                _ if repeated => false,
                Some(_) => trial.on_chain.takes(at) || at + 1 == steps,
                None => at < REPLAYED_STEPS || at + REPLAYED_STEPS >= steps,
            };
            if !proven {
                if let Some(expected) = expected.take() {
                    let found = machine.commit()?;
                    agreement.mismatches.expect(found == expected, || {
                        format!("before step {at} the machine commits to {found}, not {expected}")
                    });
                }
                machine.step()?;
                continue;
            }
            let (before, proof) = machine.prove()?;
            if let Some(expected) = expected {
                agreement.mismatches.expect(before == expected, || {
                    format!("before step {at} the machine commits to {before}, not {expected}")
                });
            }
            agreement.steps_on_chain += u64::from(chain.is_some());
            expected = execute(
                chain.as_deref_mut(),
                at,
                before,
                &proof.to_bytes(),
                &mut agreement.costs,
                &mut agreement.mismatches,
            );
        }
        agreement.kept_known_way = is_known;
        let end = machine.commit()?;
        if let Some(expected) = expected {
            agreement.mismatches.expect(end == expected, || {
                format!("at the end the machine commits to {end}, not {expected}")
            });
        }
        agreement.expect_end_of("step by step", &machine);
        if machine.halted().is_some() {
            let (before, proof) = machine.prove()?;
            let after = execute(
                chain,
                steps,
                before,
                &proof.to_bytes(),
                &mut agreement.costs,
                &mut agreement.mismatches,
            );
            agreement
                .mismatches
                .expect(after == Some(end) && before == end, || {
                    format!("the halted state {end} does not repeat but becomes {after:?}")
                });
        }
        Ok(())
    }
}

impl Agreement {
    /// A machine that came to its end in another way must be where the first one was.
    fn expect_end_of(&mut self, how: &str, machine: &Machine<&[u8]>) {
        let Self { halted, steps, .. } = *self;
        let found = (machine.halted().copied(), machine.steps());
        self.mismatches.expect(found == (Some(halted), steps), || {
            format!("{how} the machine is at {found:?}, not at {halted:?} after {steps} steps")
        });
        self.mismatches.expect(machine.output() == self.output, || {
            format!("{how} the machine writes another output")
        });
    }
}

/// The first state, which must be the one that the chain computes from the job.
pub(crate) fn initial_state(
    chain: &mut Chain,
    machine: &mut Machine<&[u8]>,
    job: &JobSpec,
    task: u32,
    archive: &[u8],
    mismatches: &mut Mismatches,
) -> Result<B256, AuditError> {
    let state = machine.commit()?;
    match chain.initial_state(machine.program(), job, task, archive) {
        Ok(computed) => mismatches.expect(computed == state, || {
            format!("the machine starts in {state}, by the chain in {computed}")
        }),
        Err(error) => mismatches.add(|| format!("the chain computes no initial state: {error}")),
    }
    Ok(state)
}

/// Executes a proof on hashes alone and, if there is one, on the chain; gives the state after by the
/// former.
pub(crate) fn execute(
    chain: Option<&mut Chain>,
    step: u64,
    before: B256,
    proof: &[u8],
    costs: &mut Costs,
    mismatches: &mut Mismatches,
) -> Option<B256> {
    let replayed = replay(before, proof);
    if let Err(error) = &replayed {
        mismatches.add(|| format!("step {step} replayed: {error}"));
    }
    costs.proof_bytes.record(proof.len() as u64);
    match chain.map(|chain| chain.execute_bytes(before, proof)) {
        None => {}
        Some(Err(error)) => mismatches.add(|| format!("step {step} on chain: {error}")),
        Some(Ok(executed)) => {
            costs.gas.record(executed.gas);
            if let Ok(replayed) = replayed {
                mismatches.expect(replayed == executed.after, || {
                    format!(
                        "step {step} from {before} leads to {replayed}, on chain to {}",
                        executed.after
                    )
                });
            }
        }
    }
    replayed.ok()
}
