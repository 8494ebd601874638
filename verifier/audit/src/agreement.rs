//! One run in all executions: natively in both variants, in the machine at once, in pieces and step
//! by step, and on the chain.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use alloy_primitives::B256;
use outcry_native::{CompiledImage, Engine, EngineFailure, Halted, Task};
use outcry_protocol::hash::job_hash;
use outcry_protocol::types::JobSpec;
use outcry_verifier::Image;
use outcry_verifier::guest::MACHINE_VERSION;
use outcry_verifier::machine::tree::{Tree, levels};
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

    /// Takes others in, each introduced by `whose`.
    pub fn merge(&mut self, whose: &str, other: &Self) {
        self.count += other.count;
        let room = Self::KEPT - self.first.len();
        self.first.extend(
            other
                .first
                .iter()
                .take(room)
                .map(|what| format!("{whose}: {what}")),
        );
    }

    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.add(what);
        }
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

/// One run of a subject.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'a> {
    /// The job's limits.
    pub limits: RunLimits,
    /// The task's input archive, in whatever form the program's library reads.
    pub archive: &'a [u8],
    /// Steps for the chain.
    pub on_chain: OnChain,
    /// Places of the instructions of another run: for as long as this run takes the same way, its
    /// steps do not go on chain again.
    pub known: &'a [u32],
    /// Whether [`Agreement::way`] is asked for.
    pub keep_way: bool,
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
    /// What those cost.
    pub costs: Costs,
    /// Everything that any execution did otherwise.
    pub mismatches: Mismatches,
    /// Place of each step's instruction, if asked for.
    pub way: Vec<u32>,
    /// Whether the run took another way than [`Trial::known`] in the end.
    pub left_known_way: bool,
}

/// A job with one task that runs this image: names its input by nothing but the limits, because no
/// market ever sees it.
#[must_use]
pub fn job_of(program: &CommittedProgram, limits: RunLimits) -> JobSpec {
    JobSpec {
        machineVersion: MACHINE_VERSION,
        imageRoot: program.image_root(),
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

/// The header of the only task of a job.
#[must_use]
pub fn header_of(job: &JobSpec, archive_bytes: u64) -> TaskHeader {
    TaskHeader {
        machine_version: job.machineVersion,
        job_hash: job_hash(job),
        task: 0,
        task_count: job.taskCount,
        archive_bytes,
        output_limit_bytes: job.outputLimit,
        page_limit: job.pageLimit,
    }
}

/// Bytes of a leaf of an archive.
const LEAF_BYTES: usize = 128;
/// Runs with more steps do not go step by step unless the chain asks for it.
const SINGLE_STEPS: u64 = 1_000_000;

impl Subject {
    /// Compiles an image for the native engine and flattens it for the machine.
    ///
    /// # Errors
    /// [`AuditError`]: it cannot be done.
    pub fn new(engine: &Engine, image: &Image) -> Result<Self, AuditError> {
        let program = Program::flatten(image)?;
        Ok(Self {
            compiled: engine.compile(image)?,
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

    /// A machine before its first step.
    ///
    /// # Errors
    /// [`AuditError::Limits`].
    pub fn start<'a>(
        &self,
        job: &JobSpec,
        limits: RunLimits,
        archive: &'a [u8],
    ) -> Result<Machine<&'a [u8]>, AuditError> {
        let header = header_of(job, archive.len() as u64);
        Ok(Machine::start(
            Arc::clone(&self.program),
            header,
            limits,
            archive,
        )?)
    }

    /// Runs in all executions and compares them.
    ///
    /// # Errors
    /// [`AuditError`]: one of them could not be made. That they differ is no error.
    pub fn compare(&self, chain: &mut Chain, trial: &Trial<'_>) -> Result<Agreement, AuditError> {
        let Trial {
            limits, archive, ..
        } = *trial;
        let job = job_of(&self.program, limits);
        let mut mismatches = Mismatches::default();

        let mut machine = self.start(&job, limits, archive)?;
        machine.run()?;
        let (steps, output) = (machine.steps(), machine.output().to_vec());
        let Some(halted) = machine.halted().copied() else {
            unreachable!("`run` ends when the machine has halted");
        };
        drop(machine);

        let header = header_of(&job, archive.len() as u64);
        let task = Task::new(header, limits);
        let fast = self.compiled.run(&task, archive.to_vec(), Vec::new());
        let exact = self.compiled.run_exact(&task, archive.to_vec(), Vec::new());
        for (variant, run) in [("fast", fast), ("exact", exact)] {
            match run {
                Ok((native, written)) => {
                    mismatches.expect(native == halted, || {
                        format!("native ({variant}) ends as {native:?}, the machine as {halted:?}")
                    });
                    mismatches.expect(written == output, || {
                        format!("native ({variant}) and the machine write different outputs")
                    });
                }
                Err(EngineFailure::Divergence(what)) => {
                    mismatches.add(|| format!("the native variants disagree: {what}"));
                }
                Err(failure) => return Err(failure.into()),
            }
        }

        let mut pieces = self.start(&job, limits, archive)?;
        while pieces.halted().is_none() && pieces.steps() <= steps {
            let cycles = pieces.cycles();
            pieces.run_to_cycles(cycles.saturating_add(halted.cycles / 7))?;
            // Past the charge at which it stopped.
            pieces.step()?;
        }
        let end = (pieces.halted(), pieces.steps(), pieces.output());
        mismatches.expect(end == (Some(&halted), steps, &output[..]), || {
            format!("in pieces the machine ends as {end:?}, not as {halted:?} after {steps} steps")
        });
        drop(pieces);

        let mut agreement = Agreement {
            halted,
            output,
            steps,
            steps_on_chain: 0,
            costs: Costs::default(),
            mismatches,
            way: Vec::new(),
            left_known_way: false,
        };
        if trial.on_chain != OnChain::None || steps <= SINGLE_STEPS {
            self.step_by_step(chain, trial, &job, &mut agreement)?;
        }
        Ok(agreement)
    }

    fn step_by_step(
        &self,
        chain: &mut Chain,
        trial: &Trial<'_>,
        job: &JobSpec,
        agreement: &mut Agreement,
    ) -> Result<(), AuditError> {
        let mut machine = self.start(job, trial.limits, trial.archive)?;
        let mut known = trial.known.iter();
        let mut is_known = !trial.known.is_empty();
        let mut expected: Option<B256> = None;
        if trial.on_chain != OnChain::None {
            expected = Some(initial_state(
                chain,
                &mut machine,
                job,
                0,
                trial.archive,
                &mut agreement.mismatches,
            )?);
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
            let last = at + 1 == steps && trial.on_chain != OnChain::None;
            if is_known || !(trial.on_chain.takes(at) || last) {
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
            expected = execute(chain, at, before, &proof.to_bytes(), agreement);
            agreement.steps_on_chain += 1;
        }
        agreement.left_known_way = !is_known;
        let end = machine.commit()?;
        if let Some(expected) = expected {
            agreement.mismatches.expect(end == expected, || {
                format!("at the end the machine commits to {end}, not {expected}")
            });
        }
        let found = (machine.halted(), machine.steps(), machine.output());
        let Agreement {
            halted,
            output,
            mismatches,
            ..
        } = agreement;
        mismatches.expect(found == (Some(&*halted), steps, &output[..]), || {
            format!(
                "step by step the machine ends as {found:?}, not as {halted:?} after {steps} steps"
            )
        });
        if trial.on_chain != OnChain::None && machine.halted().is_some() {
            let (before, proof) = machine.prove()?;
            let after = execute(chain, steps, before, &proof.to_bytes(), agreement);
            agreement
                .mismatches
                .expect(after == Some(end) && before == end, || {
                    format!("the halted state {end} does not repeat but becomes {after:?}")
                });
        }
        Ok(())
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
    let depth = levels(archive.len().div_ceil(LEAF_BYTES) as u64);
    let root = Tree::over_bytes(depth, archive).root();
    let program = Arc::clone(machine.program());
    match chain.initial_state(&program, job, task, archive.len() as u64, root) {
        Ok(computed) => mismatches.expect(computed == state, || {
            format!("the machine starts in {state}, by the chain in {computed}")
        }),
        Err(error) => mismatches.add(|| format!("the chain computes no initial state: {error}")),
    }
    Ok(state)
}

/// Executes a proof on hashes alone and on the chain, and gives the state after by the former.
pub(crate) fn execute(
    chain: &mut Chain,
    step: u64,
    before: B256,
    proof: &[u8],
    agreement: &mut Agreement,
) -> Option<B256> {
    let replayed = replay(before, proof);
    let executed = chain.execute_bytes(before, proof);
    agreement.costs.proof_bytes.record(proof.len() as u64);
    match &executed {
        Ok(executed) => agreement.costs.gas.record(executed.gas),
        Err(error) => agreement
            .mismatches
            .add(|| format!("step {step} on chain: {error}")),
    }
    match (&replayed, &executed) {
        (Err(error), _) => agreement
            .mismatches
            .add(|| format!("step {step} replayed: {error}")),
        (Ok(replayed), Ok(executed)) => {
            agreement
                .mismatches
                .expect(*replayed == executed.after, || {
                    format!(
                        "step {step} from {before} leads to {replayed}, on chain to {}",
                        executed.after
                    )
                })
        }
        _ => {}
    }
    replayed.ok()
}
