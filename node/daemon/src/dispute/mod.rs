//! Playing the dispute game: for a provider whose claim is challenged, and for a verifier that found
//! a claim to be false.
//!
//! Stage of a job served here: challenge and verdict. `outcry_verifier::game` decides each move from
//! the chain and from a trace; `crate::state::dispute` says which games want something now. Here is
//! what is thin around them.
//!
//! | module | one idea |
//! | --- | --- |
//! | [`trace`] | the traces of the tasks in dispute, one each, and the interpreters that make them |
//! | `challenge` | a claim that was found to be false is challenged, within the limits of the configuration |
//! | `allowance` | how many interpreters a node needs for what its clocks allow |
//! | `play` | the next move of a game, its verdict and its payout |
//!
//! Nothing is kept that the chain's events and the task's bytes do not give again: a node that was
//! killed replays the game and makes the same move.

pub(crate) mod allowance;
mod challenge;
mod play;
pub mod trace;

pub(crate) use challenge::{challenge, claimed_task, object};
pub(crate) use play::{collect, end_overdue, play, seat, verdict};
