//! Native execution of an image: the stage between a deal's admission and its claim.
//!
//! A provider runs a task here and claims what came out; a verifier runs it again and compares.
//! The run is as fast as the machine's JIT makes it and hashes nothing but the output.
//!
//! ```
//! use outcry_native::{Engine, Task};
//! use outcry_verifier::task::{RunLimits, TaskHeader};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let program = wat::parse_str(r#"(module (func (export "_start")))"#)?;
//! # let library = wat::parse_str(r#"(module
//! #   (import "outcry" "exit" (func $exit (param i32))) (memory 1)
//! #   (func (export "outcry_start")) (func (export "outcry_exit") (param i32) (call $exit (local.get 0))))"#)?;
//! let image = outcry_verifier::link_with_library(&program, &library)?;
//! let compiled = Engine::new()?.compile(&image)?;
//! let archive: &[u8] = b"";
//! let limits = RunLimits { cycles: 1_000_000, pages: 1024, slots: 1 << 20, output_bytes: 1 << 20 };
//! let header = TaskHeader {
//!     machine_version: 1, job_hash: Default::default(), task: 0, task_count: 1,
//!     archive_bytes: 0, output_limit_bytes: limits.output_bytes, page_limit: limits.pages,
//! };
//! let (halted, output) = compiled.run(&Task::new(header, limits), archive, Vec::new())?;
//! assert_eq!(halted.outcome.exit_code, 0);
//! assert!(output.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! Never here: network, wall clock, files other than an artifact that the caller names. A run that
//! cannot be finished is an [`EngineFailure`] and never a claim.

mod engine;
mod host;
mod run;
mod streams;

pub use engine::{CompiledImage, Engine};
pub use outcry_verifier::task::Halted;
pub use run::Task;
pub use streams::{Archive, Input, InputFile, Output};

/// Why an image could not be compiled or a run could not be finished. Says nothing about the
/// program; nothing may be claimed from it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineFailure {
    /// The host refused memory. Free some, or raise the worker's limit, and run again.
    #[error("the host refused memory for the program: {0}; run again with more")]
    HostMemory(String),
    /// Reading the input or writing the output failed. Check the disk and run again.
    #[error("{what} failed: {source}")]
    Io {
        /// `reading the input` or `writing the output`.
        what: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The caller asked the run to stop.
    #[error("the run was interrupted")]
    Interrupted,
    /// A limit of the task is larger than this engine supports. Refuse the job.
    #[error("the task's limit of {value} {what} exceeds the {max} that this engine supports")]
    UnsupportedLimit {
        /// What is limited.
        what: &'static str,
        /// What the task asks for.
        value: u64,
        /// What the engine supports.
        max: u64,
    },
    /// The native stack overflowed before the slot limit: a defect of the engine. Report it.
    #[error("the native stack overflowed before the slot limit; report this as a defect")]
    NativeStack,
    /// The two native variants disagree: a defect of the engine. Report it.
    #[error("the fast and the exact run disagree ({0}); report this as a defect")]
    Divergence(String),
    /// The engine failed to compile or run. Report it, unless an artifact was tampered with.
    #[error("the WebAssembly engine failed: {0}")]
    Engine(String),
}
