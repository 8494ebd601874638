//! From a program to a job's executable image, and the rules by which every execution of it counts.
//!
//! Stages of a job served here: a buyer *links* a program before it signs a job; a provider links
//! the same bytes again and compares the image's root before the admission window ends; the
//! native engine (`outcry-native`) runs what [`meter`] makes of the image.
//!
//! ```text
//! program --validate--> --link with the guest library--> Image --meter--> module with exact counts
//!                                                        |      `---> module with fast counts
//!                                                        `--flatten, commit--> CommittedProgram: the root
//! ```
//!
//! | module | one idea |
//! | --- | --- |
//! | [`limits`] | every bound on what a stranger's module may contain |
//! | [`validate`] | which WebAssembly is accepted; every refusal names the feature and the byte offset |
//! | [`link`] | user module + WASI library -> one image whose only imports are three host operations |
//! | [`cost`] | the cost table and the size of a frame: functions of the linked module alone |
//! | [`meter`] | the two native transforms and the definition of a cycle count |
//! | [`machine`] | the flattened program, its steps, commitments and proofs |
//! | [`audit`] | what is drawn for an audit, and states of a run at points |
//! | [`game`] | the dispute game: its rules, the next move, states of a long trace |
//! | [`names`] | what functions are called, for people who read traces |
//! | [`task`] | the task header that a program's library reads, and the limits of a run |
//! | [`guest`] | the WASI library inside the machine, built from `verifier/guest` |
//! | [`archive`] | input and output archives in their one canonical form |
//!
//! Unsafe code only in `machine/run.rs`, the interpreter.
//!
//! Never here: network, clocks, wasmtime. Files only in [`archive::folder`]; all else is pure functions.
//! Flattening takes threads for large programs, and gives the same whatever their number.
#![deny(unsafe_code)]

pub mod archive;
pub mod audit;
pub mod cost;
pub mod game;
pub mod guest;
pub mod limits;
pub mod link;
pub mod machine;
pub mod meter;
mod module;
pub mod names;
pub mod task;
pub mod validate;

pub use link::{Image, link, link_and_commit, link_with_library};
pub use validate::LoadError;
