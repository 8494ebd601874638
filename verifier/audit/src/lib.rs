//! Auditing the three executions: native, machine and chain must agree, bit for bit and step for step.
//!
//! Serves nobody's job, but everybody's trust: before a machine version is used, and whenever
//! somebody doubts it. A program runs natively and in the machine; steps of the machine are proven
//! and executed by the contracts' bytecode in an EVM in process.
//!
//! ```
//! use outcry_audit::{CheckOptions, check};
//! use outcry_verifier::task::RunLimits;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let program = wat::parse_str(r#"(module (func (export "_start")))"#)?;
//! let image = outcry_verifier::link(&program)?;
//! let archive = outcry_verifier::archive::input::Invocation::default().archive(&Default::default())?;
//! let limits = RunLimits { cycles: 1 << 30, pages: 1024, slots: 1 << 20, output_bytes: 1 << 20 };
//! let report = check(&image, &archive, limits, CheckOptions { samples: 10, seed: 1 }, &mut |_| {})?;
//! assert_eq!((report.sampled, report.mismatches), (12, 0));
//! # Ok(())
//! # }
//! ```
//!
//! | module | one idea |
//! | --- | --- |
//! | [`chain`] | the contracts' bytecode in an EVM in process |
//! | [`agreement`] | one run in all executions, compared |
//! | [`check`](mod@check) | one program at random steps: what an auditor runs |
//! | [`wast`](mod@wast) | test scripts of WebAssembly in all executions |
//! | [`fuzz`] | generated programs in all executions |
//! | [`tampering`] | changed proofs, which nobody may accept |
//! | [`floats`] | float operations against arithmetic on integers |
//! | [`sweep`] | float operations against compiled code on the processor |
//!
//! Never here: a network, a key, a clock that decides anything. What disagrees is reported, and
//! never corrected.
#![forbid(unsafe_code)]

pub mod agreement;
pub mod chain;
pub mod check;
pub mod floats;
pub mod fuzz;
mod random;
pub mod sweep;
pub mod tampering;
pub mod wast;

pub use agreement::OnChain;
pub use chain::{Chain, ChainError, ChainStep};
pub use check::{CheckOptions, CheckReport, Progress, Stage, check, check_task};
pub use wast::{Skipped, WastOptions, WastReport, wast};

/// Why an audit could not be made. A disagreement is no error but a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The program does not load. Audit one that does.
    #[error(transparent)]
    Load(#[from] outcry_verifier::LoadError),
    /// The native engine could not finish. Its message says what to do.
    #[error("the native run failed: {0}")]
    Native(#[from] outcry_native::EngineFailure),
    /// The machine could not go on. Its message says what to do.
    #[error("the machine failed: {0}")]
    Machine(#[from] outcry_verifier::machine::MachineFault),
    /// The machine does not take such limits. Lower them.
    #[error(transparent)]
    Limits(#[from] outcry_verifier::machine::state::UnsupportedLimit),
    /// A script is not what it should be. Correct it.
    #[error("{name}: {message}")]
    Script {
        /// The script.
        name: String,
        /// What is wrong, with the place.
        message: String,
    },
}
