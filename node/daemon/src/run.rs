//! Running the tasks of a deal in a worker: shared by providers, who claim what comes out, and
//! verifiers, who compare it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::B256;
use futures::future::BoxFuture;
use outcry_executor::{
    CacheLimits, Confinement, EngineFailure, Executor, Halted, Prepare, Task, Worker,
};
use outcry_protocol::codes::{self, Code, Coded};
use outcry_protocol::hash::job_hash;
use outcry_protocol::types::JobSpec;

use crate::dispute::trace::Tracer;
use crate::inputs::{Input, InputProblem, Inputs};

const MIB: u64 = 1 << 20;
const PAGE_BYTES: u64 = 64 << 10;
const SLOT_BYTES: u64 = 8;
/// Compiled code of the largest program measured (CPython) is about 80 MiB.
const CACHED_FILE_BYTES: u64 = 2 << 30;
const WORKER_OPEN_FILES: u64 = 128;

/// Why tasks have no result on this node.
#[derive(Debug, thiserror::Error)]
pub enum RunProblem {
    /// The job's bytes are not there or are not what was signed.
    #[error(transparent)]
    Inputs(#[from] InputProblem),
    /// The engine gave up or refuses the program.
    #[error(transparent)]
    Engine(#[from] EngineFailure),
    /// The linked program is not the one that the buyer signed.
    #[error("the program links to the image {found}, the job says {signed}")]
    ImageMismatch {
        /// Computed here.
        found: B256,
        /// In the job's header.
        signed: B256,
    },
}

impl Coded for RunProblem {
    fn code(&self) -> &'static Code {
        match self {
            Self::Inputs(problem) => problem.code(),
            Self::Engine(failure) => failure.code(),
            Self::ImageMismatch { .. } => &codes::PROGRAM_ROOT,
        }
    }
}

impl RunProblem {
    /// Whether the job itself is at fault, so that no honest node can run it.
    #[must_use]
    pub fn is_the_jobs(&self) -> bool {
        match self {
            Self::Inputs(problem) => matches!(
                problem,
                InputProblem::Mismatch(_) | InputProblem::Malformed { .. }
            ),
            Self::Engine(failure) => matches!(failure, EngineFailure::Refused(_)),
            Self::ImageMismatch { .. } => true,
        }
    }
}

/// With what a node executes.
#[derive(Debug, Clone)]
pub struct Engines {
    /// Runs tasks, to claim what comes out or to hold a claim against it.
    pub executor: Arc<dyn Execute>,
    /// Traces tasks in dispute, to make the moves of games.
    pub tracer: Arc<dyn Tracer>,
}

/// What runs the tasks of jobs. [`Engine`] is the only one that the product has; a test network may
/// put another around it, to see what a node with false results meets.
pub trait Execute: std::fmt::Debug + Send + Sync {
    /// Links and compiles the job's program and compares the image with the job's header. `time_max`
    /// bounds the processor time of all that the execution will do, per core.
    ///
    /// # Errors
    /// [`RunProblem`].
    fn start<'a>(
        &'a self,
        job: &'a JobSpec,
        inputs: &'a Inputs,
        time_max: Duration,
    ) -> BoxFuture<'a, Result<Box<dyn Execution>, RunProblem>>;
}

/// A job's program, ready to run its tasks.
pub trait Execution: Send {
    /// Runs one task. The output archive lies at the returned path; the caller takes it away.
    ///
    /// # Errors
    /// [`EngineFailure`]; after it the execution is over.
    fn task<'a>(
        &'a mut self,
        task: u32,
        input: &'a Input,
        time_max: Duration,
    ) -> BoxFuture<'a, Result<(Halted, PathBuf), EngineFailure>>;
}

/// How this node runs workers.
#[derive(Debug, Clone)]
pub struct Engine {
    /// The program that becomes a worker: this very binary.
    pub program: PathBuf,
    /// Where images and compiled code are kept.
    pub cache: CacheLimits,
    /// Memory of a worker beyond what the job reserves, MiB.
    pub overhead_mib: u64,
    /// Longest linking and compiling.
    pub prepare_time_max: Duration,
    /// Folder for outputs on their way into the blob store.
    pub scratch: PathBuf,
}

/// A worker that holds a job's program.
#[derive(Debug)]
struct Run {
    worker: Worker,
    program: Prepare,
    job: JobSpec,
    job_hash: B256,
    scratch: PathBuf,
}

impl Execute for Engine {
    fn start<'a>(
        &'a self,
        job: &'a JobSpec,
        inputs: &'a Inputs,
        time_max: Duration,
    ) -> BoxFuture<'a, Result<Box<dyn Execution>, RunProblem>> {
        Box::pin(async move {
            let run = self.worker(job, inputs, time_max).await?;
            Ok(Box::new(run) as Box<dyn Execution>)
        })
    }
}

impl Engine {
    async fn worker(
        &self,
        job: &JobSpec,
        inputs: &Inputs,
        time_max: Duration,
    ) -> Result<Run, RunProblem> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
        let confinement = Confinement {
            data_bytes: u64::from(job.pageLimit) * PAGE_BYTES
                + job.slotLimit.saturating_mul(SLOT_BYTES)
                + job.outputLimit.saturating_mul(2)
                + self.overhead_mib * MIB,
            cpu_s: (time_max + self.prepare_time_max)
                .as_secs()
                .saturating_add(1)
                .saturating_mul(cores),
            file_bytes: CACHED_FILE_BYTES.max(job.outputLimit),
            open_files: WORKER_OPEN_FILES,
        };
        let executor = Executor {
            program: self.program.clone(),
            confinement,
            cache: self.cache.clone(),
        };
        let mut worker = executor.start().await?;
        let program = Prepare {
            program: inputs.program.path.clone(),
            program_hash: inputs.program.hash,
        };
        let prepared = worker
            .prepare(program.clone(), self.prepare_time_max)
            .await?;
        if prepared.image_root != job.imageRoot {
            return Err(RunProblem::ImageMismatch {
                found: prepared.image_root,
                signed: job.imageRoot,
            });
        }
        let job_hash = job_hash(job);
        Ok(Run {
            worker,
            program,
            job: job.clone(),
            job_hash,
            scratch: self.scratch.clone(),
        })
    }
}

impl Execution for Run {
    fn task<'a>(
        &'a mut self,
        task: u32,
        input: &'a Input,
        time_max: Duration,
    ) -> BoxFuture<'a, Result<(Halted, PathBuf), EngineFailure>> {
        let output = self
            .scratch
            .join(format!("{}-{task}.tar", self.worker.id()));
        let task = Task {
            program: self.program.clone(),
            job_hash: self.job_hash,
            task,
            tasks: self.job.taskCount,
            input: input.path.clone(),
            output: output.clone(),
            cycle_limit: self.job.cycleLimit,
            page_limit: self.job.pageLimit,
            slot_limit: self.job.slotLimit,
            output_limit: self.job.outputLimit,
        };
        Box::pin(async move {
            let halted = self.worker.run(task, time_max, |_| ()).await?;
            Ok((halted, output))
        })
    }
}
