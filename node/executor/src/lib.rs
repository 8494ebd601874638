//! Runs tasks in processes of their own.
//!
//! Stage of a job served here: `execute`. The node starts a worker per deal
//! (`outcry executor-worker`), hands it one task after another and gets back how each halted.
//!
//! - [`Executor::start`] starts a confined process, [`Worker::prepare`] links and compiles a
//!   program, [`Worker::run`] executes a task.
//! - [`Cache`] keeps linked images and compiled code on disk; [`Cache::machine`] is what a dispute needs.
//! - [`worker_main`] is the other side: what `outcry executor-worker` runs.
//!
//! A worker has no environment, lowered resource limits, a process group of its own, and dies with
//! the node. This crate never decides what a result means, never claims, and never touches the
//! network or the store; wall time only ever makes it give up.

mod cache;
mod confine;
mod engine;
mod frame;
mod image;
mod message;
mod process;
mod worker;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use alloy_primitives::B256;
use outcry_protocol::codes::{self, Code, Coded};
use outcry_protocol::status::Outcome;
use serde::{Deserialize, Serialize};

pub use cache::Cache;
pub use confine::Confinement;
pub use message::CacheLimits;
pub use process::{Executor, Worker};
pub use worker::worker_main;

/// The hidden subcommand by which a binary becomes a worker.
pub const WORKER_SUBCOMMAND: &str = "executor-worker";

/// A program that is to be linked, checked and compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepare {
    /// The user's module.
    pub program: PathBuf,
    /// BLAKE3 of that file, which the caller has checked: the key of the cache.
    pub program_hash: B256,
}

/// What linking a program gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// Commitment to the linked program, to be compared with the job's.
    pub image_root: B256,
}

/// One task to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The program.
    pub program: Prepare,
    /// Hash of the job.
    pub job_hash: B256,
    /// Index of the task in the job.
    pub task: u32,
    /// Tasks of the job.
    pub tasks: u32,
    /// The input archive.
    pub input: PathBuf,
    /// Where the output archive is written; replaced when it exists.
    pub output: PathBuf,
    /// Most cycles.
    pub cycle_limit: u64,
    /// Most 64 KiB pages of the program's memory.
    pub page_limit: u32,
    /// Most frame slots at once.
    pub slot_limit: u64,
    /// Most bytes of the output archive.
    pub output_limit: u64,
}

/// How a task halted: everything that a claim needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halted {
    /// Cycles to bill.
    pub cycles: u64,
    /// Status, exit code and output root.
    pub outcome: Outcome,
    /// BLAKE3 of the output archive.
    pub output_hash: B256,
}

/// A sign of life of a running task. Nothing is derived from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Milliseconds since the task was handed to the engine.
    pub elapsed_ms: u64,
}

/// Why a task has no result on this host. Never a statement about the task, with the one exception
/// of [`EngineFailure::Refused`]; never claimed.
#[derive(Debug, thiserror::Error)]
pub enum EngineFailure {
    /// The worker could not be started; look at limits on processes and files.
    #[error("can't start a worker: {0}")]
    Start(#[source] io::Error),
    /// The worker ended; out of memory (raise `executor.overhead_mib`) or a defect of the engine.
    #[error("the worker died ({status}): {last_words}")]
    Died {
        /// Its exit status or signal.
        status: String,
        /// The end of its standard error.
        last_words: String,
    },
    /// The time that the node gives was not enough; the worker was killed.
    #[error("not done after {} s; the worker was stopped", .0.as_secs())]
    WallTime(Duration),
    /// The engine gave up, for example because the disk is full.
    #[error("{0}")]
    Engine(String),
    /// The program is not one that the machine accepts. Every node says so.
    #[error("the program is refused: {0}")]
    Refused(String),
    /// The worker ended earlier; start another.
    #[error("the worker is gone; start another")]
    Gone,
}

impl Coded for EngineFailure {
    fn code(&self) -> &'static Code {
        match self {
            Self::Refused(_) => &codes::PROGRAM_MALFORMED,
            Self::Start(_)
            | Self::Died { .. }
            | Self::WallTime(_)
            | Self::Engine(_)
            | Self::Gone => &codes::PROGRAM_ENGINE,
        }
    }
}
