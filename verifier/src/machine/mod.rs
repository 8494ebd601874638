//! The machine: any program steps, commits to its state, and proves any single step.
//!
//! ```text
//! Image --flatten--> Program --commit--> CommittedProgram --start--> Machine --step, run--> halted
//!                                                                       `--prove--> StepProof --check--> state after
//! ```
//!
//! `verifier/MACHINE.md` says what a step is; the chain executes the same page.
//!
//! | module | one idea |
//! | --- | --- |
//! | [`isa`] | the instructions and their encoding |
//! | `flatten` | one function: structured WebAssembly -> instructions over slots |
//! | [`program`] | a flattened image |
//! | [`transition`] | the one transition function, over any [`transition::State`] |
//! | [`float`] | float arithmetic with one NaN |
//! | [`tree`] | Merkle trees whose new root costs what changed |
//! | [`commit`] | the words that states, images and tasks are hashed from |
//! | [`state`] | the running machine |
//! | [`proof`] | recording a step's proof, and replaying it |
//! | `run` | the interpreter: many steps at once |
//! | [`trace`] | a step in words |
//! | `snapshot` | copies that share what did not change |
pub mod commit;
mod flatten;
pub mod float;
pub mod isa;
pub mod program;
pub mod proof;
mod run;
mod snapshot;
pub mod state;
pub mod trace;
pub mod transition;
pub mod tree;

pub use commit::CommittedProgram;
pub use program::Program;
pub use proof::{StepProof, replay, replay_until};
pub use run::STEPS_PER_CYCLE;
pub use snapshot::Snapshot;
pub use state::{Archive, Machine, MachineFault, Point};
