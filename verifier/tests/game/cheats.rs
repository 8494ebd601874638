//! Traces that are not true.

use std::sync::{Arc, Mutex};

use alloy_primitives::{B256, keccak256};
use outcry_verifier::game::{Fault, MachineTrace, Trace};

use crate::programs::Random;

/// The true trace, which both parties of a test share: a machine is slow to start.
pub(crate) type Shared = Arc<Mutex<MachineTrace<Vec<u8>>>>;

/// How a party lies.
#[derive(Debug, Clone)]
pub(crate) enum Lie {
    /// Another halted state, everything before it true: another output, or another bill.
    Halted(B256),
    /// Halts earlier than the program does, at this step.
    EarlyHalt(u64, B256),
    /// Goes on after the halt up to this step, through states of its own, and halts otherwise.
    LateHalt(u64, B256),
    /// From this step on every state is another one.
    StateFrom(u64),
    /// Another state at every question, and proofs of nothing.
    Inconsistent,
    /// No lie.
    None,
}

/// A trace with a lie in it.
pub(crate) struct Told {
    pub(crate) truth: Shared,
    pub(crate) lie: Lie,
    pub(crate) random: Random,
}

fn wrong(state: B256, step: u64) -> B256 {
    keccak256([state.as_slice(), &step.to_be_bytes()].concat())
}

impl Trace for Told {
    fn state(&mut self, step: u64) -> Result<B256, Fault> {
        let mut truth = self.truth.lock().unwrap();
        let state = truth.state(step)?;
        let end = truth.end()?;
        Ok(match self.lie {
            Lie::Halted(halted) if step >= end.steps => halted,
            Lie::EarlyHalt(from, halted) if step >= from => halted,
            Lie::LateHalt(at, halted) if step >= at => halted,
            Lie::LateHalt(..) if step >= end.steps => wrong(state, step),
            Lie::StateFrom(from) if step >= from => wrong(state, step.min(end.steps)),
            Lie::Inconsistent if step > 0 => self.random.hash(),
            _ => state,
        })
    }

    fn prove(&mut self, step: u64) -> Result<Vec<B256>, Fault> {
        match self.lie {
            Lie::Inconsistent => Ok((0..self.random.below(40))
                .map(|_| self.random.hash())
                .collect()),
            _ => self.truth.lock().unwrap().prove(step),
        }
    }
}
