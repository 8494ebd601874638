//! The dispute game as a player sees it: its rules, the next move, and states of a long trace.
//!
//! Stage of a job served here: a claim has been challenged, and provider and challenger look for the
//! step at which they part. `verifier/MACHINE.md`, section 6, is the page; `contracts/src/Game.sol` is
//! the referee, and `verifier/vectors/game.json` binds the two.
//!
//! ```text
//! Challenged, Sectioned, ... --replay--> Game --\
//! standing at a block                -> Clocks ---> View --next_move--> Decision
//! image, input --start--> MachineTrace (states, proofs) --/     about a point: both `until` it
//! ```
//!
//! | module | one idea |
//! | --- | --- |
//! | [`rules`] | lists, parts, whose turn it is, how long he has; refuses what the contract refuses |
//! | [`player`] | one pure function from a view of the chain and a trace to the next move |
//! | [`trace`] | states and proofs of a machine anywhere in a run, in about 1.1 runs |
//! | [`start`] | what the state in which a task starts follows from, for the challenge |
//!
//! Never here: a chain client, a clock, a thread. The player keeps nothing: a process that was killed
//! replays the chain's events and decides the same.

pub mod player;
pub mod rules;
pub mod start;
pub mod trace;

pub use player::{Decision, Move, Trace, View, first_disputed, next_move};
pub use rules::{
    Challenge, Clocks, Ends, Game, List, Part, Party, Refusal, ReplayError, SEATS, Standing,
    TooLong, sections,
};
pub use start::TaskStart;
pub use trace::{Fault, MachineTrace, Watch};
