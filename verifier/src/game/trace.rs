//! States and proofs of a machine anywhere in a run that is too long to be made again.
//!
//! The first question is answered by running to the halt once, which leaves snapshots at multiples of
//! a power of two: the length of the run is not known beforehand, so that the stride doubles, and
//! every second snapshot goes, whenever there are too many. What a dispute asks for after that lies in
//! ever smaller parts of the run, each a sixteenth of the one before and starting at a step that was
//! asked for before.
//!
//! **What a dispute costs.** Let S be the stride in the end, so that the run has between 32 S and
//! 64 S steps; the points of a list are multiples of a power of 16, like S of a power of 2. Points at
//! multiples of S are there. Of a list whose parts are S/2, S/4 or S/8 long, and which spans 8, 4 or 2
//! strides, what lies before the last point in each stride is run again: at most 4 S. What follows
//! lies within half a stride, and its sixteenths cost 0.54 S together. So a dispute costs at most
//! 1 + 4.54 / 32 < 1.15 runs; with half as many snapshots it would be 1.28. Games about the same task
//! share snapshots and hashes: 32 of them cost less than two runs.
//!
//! A trace may stop at a point, where the state repeats as the halted state of another does: the first
//! run goes no further, and everything above holds of the run so far.
//!
//! **Memory.** The machine's own, a snapshot in the making, and kept ones of at most a number of bytes
//! that the caller gives (or the first, if that is more). A snapshot takes what was written since the
//! one before. With fewer than 64 of them a dispute costs more.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use alloy_primitives::B256;

use super::player::Trace;
use crate::machine::state::UnsupportedLimit;
use crate::machine::{
    Archive, CommittedProgram, Machine, MachineFault, Point, STEPS_PER_CYCLE, Snapshot,
};
use crate::task::{Halted, RunLimits, TaskHeader};

/// Snapshots that the first run leaves at most. See above why not fewer.
const RUN_SNAPSHOTS: usize = 64;
/// Snapshots at most: those of the first run and those of the states that were asked for last.
const SNAPSHOTS: usize = 128;
/// Steps between snapshots in the beginning. Shorter runs cost more than 1.15 of their length, which
/// is a few milliseconds.
const FIRST_STRIDE: u64 = 1 << 16;
/// State hashes that are remembered: a game asks for at most 33 a move, 32 games have a seat.
const HASHES: usize = 1 << 14;

/// The interpreter runs this many steps, or half a second at most, between two looks at whether to
/// stop.
const SLICE_STEPS: u64 = 1 << 26;
/// Called before each slice with the steps interpreted so far, and not where an answer is known already.
/// It may block, to let other runs go first; `Break` stops the run, which a later question takes up where
/// it was.
pub type Watch = Box<dyn FnMut(u64) -> ControlFlow<()> + Send>;

/// A question about a trace was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The machine could not go on.
    #[error(transparent)]
    Machine(#[from] MachineFault),
    /// The caller's [`Watch`] stopped the run. Ask again to go on.
    #[error("the run was interrupted; ask again to go on")]
    Interrupted,
}

/// Where a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Steps until the halt, or until the point.
    pub steps: u64,
    /// How the task ended; `None` if the machine stopped at its point.
    pub halted: Option<Halted>,
    /// Hash of the state that repeats from there on.
    pub hash: B256,
}

/// A snapshot and the bytes that it has and the one before it has not.
#[derive(Debug)]
struct Kept {
    snapshot: Snapshot,
    bytes: u64,
}

/// The true trace of a task, by its machine. One serves all games about the task.
pub struct MachineTrace<A> {
    machine: Machine<A>,
    /// By step. The first, at step 0, always stays.
    kept: BTreeMap<u64, Kept>,
    kept_bytes: u64,
    kept_bytes_max: u64,
    stride: u64,
    end: Option<End>,
    hashes: BTreeMap<u64, B256>,
    /// Steps of `hashes`, the oldest first.
    known: VecDeque<u64>,
    interpreted: u64,
    watch: Watch,
}

impl<A> fmt::Debug for MachineTrace<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineTrace")
            .field("end", &self.end)
            .field("snapshots", &self.kept.len())
            .field("snapshot_bytes", &self.kept_bytes)
            .field("interpreted_steps", &self.interpreted)
            .finish_non_exhaustive()
    }
}

impl<A: Archive> MachineTrace<A> {
    /// Of a task, before anything is run. Snapshots take at most `snapshot_bytes`.
    ///
    /// # Errors
    /// [`UnsupportedLimit`]: the job should have been refused.
    pub fn start(
        program: Arc<CommittedProgram>,
        header: TaskHeader,
        limits: RunLimits,
        archive: A,
        snapshot_bytes: u64,
        watch: Watch,
    ) -> Result<Self, UnsupportedLimit> {
        let machine = Machine::start(program, header, limits, archive)?;
        let mut trace = Self {
            machine,
            kept: BTreeMap::new(),
            kept_bytes: 0,
            kept_bytes_max: snapshot_bytes,
            stride: FIRST_STRIDE,
            end: None,
            hashes: BTreeMap::new(),
            known: VecDeque::new(),
            interpreted: 0,
            watch,
        };
        trace.keep();
        Ok(trace)
    }

    /// The same trace up to the state at this point, which repeats from there on. Said before the first
    /// question; `None` is the trace up to the halt.
    #[must_use]
    pub fn until(mut self, point: Option<Point>) -> Self {
        self.machine.stop_at(point);
        self
    }

    /// Steps that the interpreter has made for this trace, those made again included.
    #[must_use]
    pub fn interpreted_steps(&self) -> u64 {
        self.interpreted
    }

    /// Bytes that the snapshots take.
    #[must_use]
    pub fn snapshot_bytes(&self) -> u64 {
        self.kept_bytes
    }

    /// Runs to the halt or the point, once.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn end(&mut self) -> Result<End, Fault> {
        loop {
            if let Some(end) = self.end {
                return Ok(end);
            }
            // Snapshots go up to where the run was left, and are multiples of the stride.
            let last = self.kept.keys().next_back().copied().unwrap_or(0);
            let next = last.saturating_add(self.stride);
            self.reach(next)?;
            if self.machine.has_ended() {
                self.end = Some(End {
                    steps: self.machine.steps(),
                    halted: self.machine.halted().copied(),
                    hash: self.machine.commit()?,
                });
            }
            self.keep();
            while self.kept.len() > 1
                && (self.kept.len() > RUN_SNAPSHOTS || self.kept_bytes > self.kept_bytes_max)
            {
                self.stride = self.stride.saturating_mul(2);
                self.thin();
            }
        }
    }

    /// The machine at this step, or ended before it.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn machine_at(&mut self, step: u64) -> Result<&mut Machine<A>, Fault> {
        self.end()?;
        self.reach(step)?;
        Ok(&mut self.machine)
    }

    /// Goes to a step, or to the end if that comes first, from the nearest state before that is known.
    fn reach(&mut self, step: u64) -> Result<(), Fault> {
        let here = self.machine.steps();
        if let Some((at, kept)) = self.kept.range(..=step).next_back()
            && (here > step || *at > here)
        {
            self.machine.restore(&kept.snapshot);
        }
        while self.machine.steps() < step && !self.machine.has_ended() {
            if (self.watch)(self.interpreted).is_break() {
                return Err(Fault::Interrupted);
            }
            let before = self.machine.steps();
            let ran = self.run(step);
            self.interpreted += self.machine.steps() - before;
            ran?;
        }
        Ok(())
    }

    /// Runs at most to a step, and at most about a slice.
    fn run(&mut self, step: u64) -> Result<(), MachineFault> {
        let left = step - self.machine.steps();
        let straight = u64::from(self.machine.program().program().longest_function());
        // Stopping at an exact step costs some milliseconds, stopping at a number of cycles nothing;
        // and so many cycles cannot lead past the step.
        let cycles = left.saturating_sub(straight) / STEPS_PER_CYCLE;
        let before = self.machine.steps();
        if left > SLICE_STEPS {
            let stop = self.machine.cycles() + cycles.min(SLICE_STEPS);
            self.machine.run_to_cycles(stop)?;
        }
        if self.machine.steps() == before {
            self.machine.run_to(step.min(before + SLICE_STEPS))?;
        }
        Ok(())
    }

    /// Keeps a snapshot of the machine as it is.
    fn keep(&mut self) {
        let step = self.machine.steps();
        if self.kept.contains_key(&step) {
            return;
        }
        let snapshot = self.machine.snapshot();
        self.kept.insert(step, Kept { snapshot, bytes: 0 });
        self.measure(step);
        self.measure_after(step);
    }

    /// Drops a snapshot.
    fn drop_kept(&mut self, step: u64) {
        if let Some(kept) = self.kept.remove(&step) {
            self.kept_bytes -= kept.bytes;
            self.measure_after(step);
        }
    }

    fn measure_after(&mut self, step: u64) {
        if let Some(next) = self.kept.range(step + 1..).next().map(|(next, _)| *next) {
            self.measure(next);
        }
    }

    /// Measures anew what the snapshot at this step has and the one before it has not.
    fn measure(&mut self, step: u64) {
        let mut upto = self.kept.range_mut(..=step).rev();
        if let Some((_, kept)) = upto.next() {
            let before = upto.next().map(|(_, before)| &before.snapshot);
            let bytes = kept.snapshot.bytes_beyond(before);
            self.kept_bytes = self.kept_bytes - kept.bytes + bytes;
            kept.bytes = bytes;
        }
    }

    /// Drops the first run's snapshots that are no multiples of the stride.
    fn thin(&mut self) {
        let stride = self.stride;
        let dropped: Vec<u64> = self
            .kept
            .keys()
            .copied()
            .filter(|step| !step.is_multiple_of(stride))
            .collect();
        for step in dropped {
            self.drop_kept(step);
        }
    }

    /// Drops those snapshots whose states are the least way behind the snapshot before.
    fn limit(&mut self) {
        while self.kept.len() > 1
            && (self.kept.len() > SNAPSHOTS || self.kept_bytes > self.kept_bytes_max)
        {
            let steps = self.kept.keys();
            let nearest = steps
                .clone()
                .zip(steps.skip(1))
                .min_by_key(|(before, step)| *step - *before)
                .map(|(_, step)| *step);
            match nearest {
                Some(step) => self.drop_kept(step),
                None => return,
            }
        }
    }

    fn remember(&mut self, step: u64, hash: B256) {
        if self.known.len() >= HASHES
            && let Some(oldest) = self.known.pop_front()
        {
            self.hashes.remove(&oldest);
        }
        self.hashes.insert(step, hash);
        self.known.push_back(step);
    }
}

impl<A: Archive> Trace for MachineTrace<A> {
    fn state(&mut self, step: u64) -> Result<B256, Fault> {
        if let Some(hash) = self.hashes.get(&step) {
            return Ok(*hash);
        }
        // Where a trace starts is known without running it.
        if step > 0 {
            let end = self.end()?;
            if step >= end.steps {
                return Ok(end.hash);
            }
        }
        self.reach(step)?;
        let hash = self.machine.commit()?;
        self.remember(step, hash);
        if self.end.is_some() {
            self.keep();
            self.limit();
        }
        Ok(hash)
    }

    fn prove(&mut self, step: u64) -> Result<Vec<B256>, Fault> {
        let machine = self.machine_at(step)?;
        let before = machine.steps();
        let (_, proof) = machine.prove()?;
        let made = machine.steps() - before;
        self.interpreted += made;
        Ok(proof.words().to_vec())
    }
}
