//! The states of a task at several points, in one run.
//!
//! A run to the last point costs what a run to the halt costs, less at most a 64th, and between points
//! only what was written since is hashed again. Nothing is kept but hashes.

use std::fmt;
use std::sync::Arc;

use alloy_primitives::B256;

use crate::game::{Fault, Watch};
use crate::machine::state::UnsupportedLimit;
use crate::machine::{Archive, CommittedProgram, Machine, Point};
use crate::task::{Halted, RunLimits, TaskHeader};

/// Between two looks at whether to stop the machine makes about as many steps, half a second's at most.
const SLICE_CYCLES: u64 = 1 << 26;

/// A task's run from point to point. A run that was interrupted goes on where it was, on whatever thread.
pub struct PointStates<A> {
    machine: Machine<A>,
    /// As the caller named them.
    points: Vec<Point>,
    /// Places in `points`, by point.
    order: Vec<usize>,
    /// The states at the first of them.
    found: Vec<B256>,
    watch: Watch,
}

impl<A> fmt::Debug for PointStates<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PointStates")
            .field("points", &self.points)
            .field("found", &self.found)
            .finish_non_exhaustive()
    }
}

impl<A: Archive> PointStates<A> {
    /// Of a task, before anything is run. The points may come in any order, and more than once.
    ///
    /// # Errors
    /// [`UnsupportedLimit`]: the job should have been refused.
    pub fn start(
        program: Arc<CommittedProgram>,
        header: TaskHeader,
        limits: RunLimits,
        archive: A,
        points: Vec<Point>,
        watch: Watch,
    ) -> Result<Self, UnsupportedLimit> {
        let mut order: Vec<usize> = (0..points.len()).collect();
        order.sort_by_key(|at| points[*at]);
        Ok(Self {
            machine: Machine::start(program, header, limits, archive)?,
            found: Vec::with_capacity(points.len()),
            points,
            order,
            watch,
        })
    }

    /// Hashes of the states at the points, in the order in which these were named. Runs to the last
    /// point, and no further.
    ///
    /// # Errors
    /// [`Fault`]. Ask again to go on.
    pub fn states(&mut self) -> Result<Vec<B256>, Fault> {
        while let Some(at) = self.order.get(self.found.len()) {
            self.run_to(Some(self.points[*at]))?;
            self.found.push(self.machine.commit()?);
        }
        let mut states = vec![B256::ZERO; self.points.len()];
        for (at, state) in self.order.iter().zip(&self.found) {
            states[*at] = *state;
        }
        Ok(states)
    }

    /// How the task ends, with the hash of the halted state. Runs to the halt, and through all points.
    ///
    /// # Errors
    /// As [`PointStates::states`].
    pub fn halted(&mut self) -> Result<(Halted, B256), Fault> {
        self.states()?;
        loop {
            self.run_to(None)?;
            if let Some(halted) = self.machine.halted().copied() {
                return Ok((halted, self.machine.commit()?));
            }
        }
    }

    /// Steps made so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.machine.steps()
    }

    fn run_to(&mut self, point: Option<Point>) -> Result<(), Fault> {
        self.machine.stop_at(point);
        while !self.machine.has_ended() {
            if (self.watch)(self.machine.steps()).is_break() {
                return Err(Fault::Interrupted);
            }
            let before = self.machine.steps();
            let slice = self.machine.cycles().saturating_add(SLICE_CYCLES);
            self.machine.run_to_cycles(slice)?;
            if self.machine.steps() == before {
                // A single charge is larger than the slice.
                self.machine.step()?;
            }
        }
        Ok(())
    }
}
