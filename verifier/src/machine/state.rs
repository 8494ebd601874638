//! The running machine: memory as memory, frames on one stack, and trees that follow on demand.

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;

use alloy_primitives::B256;
use outcry_protocol::status::Status;

use super::commit::{
    CallerWords, Commitment, CommittedProgram, Context, Descriptor, PAGE_LEAVES, Registers, Rest,
    Shape, StateWords, descriptor_tree, frame_depth, memory_depth, output_depth,
};
use super::snapshot::Base;
use super::transition::{
    self, ContextFacts, Counters, End, Extent, LEAF_SLOTS, Next, Source, State, Stop, Target,
};
use super::tree::{self, Dirty, Tree, leaf_of_bytes, leaf_of_slots, levels, root_of_slots};
use crate::limits;
use crate::task::{Halted, RunLimits, TaskHeader};

/// Bytes of a page.
pub(super) const PAGE_BYTES: usize = 1 << 16;

/// Where a run can be stopped: a count of cycles. The state at a point is the first of the run whose
/// cycle register reaches it, or the halted state of a run that ends before.
pub type Point = NonZeroU64;

/// The input archive of a task.
pub trait Archive {
    /// Fills `into` with the bytes from `offset` on, which all lie within the archive's length.
    ///
    /// # Errors
    /// The bytes cannot be read.
    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()>;
}

impl<T: AsRef<[u8]>> Archive for T {
    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        usize::try_from(offset)
            .ok()
            .and_then(|offset| self.as_ref().get(offset..)?.get(..into.len()))
            .map(|bytes| into.copy_from_slice(bytes))
            .ok_or(io::ErrorKind::UnexpectedEof.into())
    }
}

/// The machine could not go on, for a reason that says nothing about the program.
#[derive(Debug, thiserror::Error)]
pub enum MachineFault {
    /// The input archive could not be read. Fetch it again.
    #[error("reading the input archive failed: {0}; fetch it again")]
    Archive(#[from] io::Error),
}

/// A task's limits are beyond what the machine supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the task's limit of {value} {what} is above {max}, the most that a machine supports")]
pub struct UnsupportedLimit {
    /// Which limit.
    pub what: &'static str,
    /// The task's.
    pub value: u64,
    /// The most.
    pub max: u64,
}

/// A suspended caller. Its frame lies below the next one's on the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) return_pc: u32,
    pub(super) frame_size: u16,
    pub(super) result_slot: u16,
}

/// A memory and what changed in it.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) bytes: Vec<u8>,
    pub(super) maximum: u32,
    pub(super) depth: u8,
    pub(super) dirty: Dirty,
    pub(super) base: Base,
}

impl Memory {
    pub(super) fn pages(&self) -> u32 {
        (self.bytes.len() / PAGE_BYTES) as u32
    }

    pub(super) fn grow(&mut self, pages: u32) {
        let bytes = self.bytes.len() + pages as usize * PAGE_BYTES;
        self.bytes.resize(bytes, 0);
        self.dirty.resize(bytes / tree::BYTES);
    }
}

/// A table and what changed in it.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) entries: Vec<u64>,
    pub(super) maximum: u32,
    pub(super) dirty: Dirty,
}

/// Trees of what can change.
#[derive(Debug, Clone)]
pub(super) struct Trees {
    pub(super) memories: Vec<Tree>,
    pub(super) tables: Vec<Tree>,
    pub(super) globals: Tree,
    pub(super) output: Tree,
}

/// A task in the machine, at some step.
#[derive(Debug)]
pub struct Machine<A> {
    pub(super) program: Arc<CommittedProgram>,
    pub(super) header: TaskHeader,
    pub(super) limits: RunLimits,
    pub(super) archive: A,
    /// The archive's tree, once somebody asked for it.
    pub(super) archive_tree: Option<Arc<Tree>>,
    pub(super) registers: Registers,
    /// Steps made.
    pub(super) steps: u64,
    pub(super) stack: Vec<u64>,
    /// Where the current frame starts.
    pub(super) frame: usize,
    pub(super) callers: Vec<Caller>,
    /// Hashes of the callers' records from the outermost on, as far as they are up to date.
    pub(super) chain: Vec<B256>,
    /// Slots of the results frame, which lies behind the current one; 0 if there is none.
    pub(super) results_size: u16,
    pub(super) memories: Vec<Memory>,
    pub(super) tables: Vec<Table>,
    pub(super) globals: Vec<u64>,
    pub(super) globals_dirty: Dirty,
    pub(super) counters: Counters,
    pub(super) output: Vec<u8>,
    pub(super) output_dirty: Dirty,
    pub(super) output_base: Base,
    pub(super) halted: Option<Halted>,
    /// The point at which it stops; the largest number, which no cycle limit allows, for none.
    pub(super) until: u64,
    pub(super) trees: Option<Trees>,
    /// Something ran without marking what it changed.
    pub(super) untracked: bool,
}

impl<A: Archive> Machine<A> {
    /// A task's machine before its first step.
    ///
    /// # Errors
    /// [`UnsupportedLimit`]: the job should have been refused.
    pub fn start(
        program: Arc<CommittedProgram>,
        header: TaskHeader,
        limits: RunLimits,
        archive: A,
    ) -> Result<Self, UnsupportedLimit> {
        for (what, value, max) in [
            ("cycles", limits.cycles, limits::CYCLE_LIMIT),
            ("pages", limits.pages.into(), limits::PAGE_LIMIT),
            ("frame slots", limits.slots, limits::SLOT_LIMIT),
            (
                "output bytes",
                limits.output_bytes,
                outcry_protocol::limits::OUTPUT_LIMIT_MAX,
            ),
        ] {
            if value > max {
                return Err(UnsupportedLimit { what, value, max });
            }
        }
        let declared = program.program();
        let pages: u64 = declared.memories.iter().map(|m| u64::from(m.pages)).sum();
        let fits = pages <= limits.pages.into();
        let memories = declared.memories.iter().map(|memory| {
            let mut bytes = Vec::new();
            if fits {
                bytes = vec![0; memory.pages as usize * PAGE_BYTES];
                bytes[..memory.bytes.len()].copy_from_slice(&memory.bytes);
            }
            let mut dirty = Dirty::default();
            dirty.resize(bytes.len() / tree::BYTES);
            Memory {
                bytes,
                maximum: memory.maximum,
                depth: memory_depth(memory.pages, memory.maximum, limits.pages),
                dirty,
                base: Base::default(),
            }
        });
        let memories = memories.collect();
        let tables = declared
            .tables
            .iter()
            .map(|table| {
                let mut dirty = Dirty::default();
                dirty.resize(table.entries.len().div_ceil(tree::SLOTS));
                Table {
                    entries: table.entries.clone(),
                    maximum: table.maximum,
                    dirty,
                }
            })
            .collect();
        let globals = declared.globals.clone();
        let mut globals_dirty = Dirty::default();
        globals_dirty.resize(globals.len().div_ceil(tree::SLOTS));
        let entry = declared.entry();
        let mut machine = Self {
            header,
            limits,
            archive,
            archive_tree: None,
            registers: Registers {
                pc: entry.entry,
                frame_size: entry.frame_size,
                ..Registers::default()
            },
            steps: 0,
            stack: vec![0; stack_slots(limits.slots)],
            frame: 0,
            callers: Vec::with_capacity(most_callers(limits.slots)),
            chain: Vec::new(),
            results_size: 0,
            memories,
            tables,
            globals,
            globals_dirty,
            counters: Counters {
                output_length: 0,
                // At most the limit, if the task can run at all.
                pages: pages.min(limits.pages.into()) as u32,
            },
            output: Vec::new(),
            output_dirty: Dirty::default(),
            output_base: Base::default(),
            halted: None,
            until: u64::MAX,
            trees: None,
            untracked: false,
            program,
        };
        if !fits {
            machine.halt(End::Trapped);
        }
        Ok(machine)
    }

    /// From now on the machine stops at the state at this point, which follows itself then like a
    /// halted state; `None`: nowhere but at the halt. A machine that has stopped goes on if the point
    /// moves further. At a point that it has passed it stops where it is.
    pub fn stop_at(&mut self, point: Option<Point>) {
        self.until = point.map_or(u64::MAX, Point::get);
    }

    /// Whether the state follows itself: the machine has halted, or has stopped at its point.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.halted.is_some() || self.registers.cycles >= self.until
    }

    /// Steps made so far. A machine that has ended makes no more.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Cycles used so far.
    #[must_use]
    pub fn cycles(&self) -> u64 {
        match &self.halted {
            Some(halted) => halted.cycles,
            None => self.registers.cycles,
        }
    }

    /// The next instruction's place; `None` if the machine has ended.
    #[must_use]
    pub fn pc(&self) -> Option<u32> {
        (!self.has_ended()).then_some(self.registers.pc)
    }

    /// How the task ended, if it has.
    #[must_use]
    pub fn halted(&self) -> Option<&Halted> {
        self.halted.as_ref()
    }

    /// The output archive of a task that exited; what was appended so far otherwise.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// What the machine runs.
    #[must_use]
    pub fn program(&self) -> &Arc<CommittedProgram> {
        &self.program
    }

    /// A slot of the current frame, for people who read a trace; `None` outside the frame.
    #[must_use]
    pub fn peek(&self, slot: u16) -> Option<u64> {
        (slot < self.registers.frame_size)
            .then(|| self.stack.get(self.frame + usize::from(slot)).copied())?
    }

    /// Calls that are suspended.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.callers.len()
    }

    /// Makes one step. A machine that has ended stays as it is.
    ///
    /// # Errors
    /// [`MachineFault`]; the machine is as before.
    pub fn step(&mut self) -> Result<(), MachineFault> {
        if self.has_ended() {
            return Ok(());
        }
        let instruction = self.program.program().instruction(self.registers.pc);
        match transition::step(self, &instruction) {
            Ok(next) => self.follow(next),
            Err(Stop::Halt(end)) => self.halt(end),
            Err(Stop::Fault(fault)) => return Err(fault),
        }
        self.steps += 1;
        Ok(())
    }

    /// Moves on after a step that did not halt.
    pub(super) fn follow(&mut self, next: Next) {
        let pc = &mut self.registers.pc;
        match next {
            Next::Follow => *pc += 1,
            Next::Stay => {}
            Next::Jump(target) | Next::Entered(target) | Next::Left(target) => *pc = target,
        }
    }

    /// Halts.
    pub(super) fn halt(&mut self, end: End) {
        let outcome = end.outcome(self.limits.output_bytes, || {
            (self.output_root(), self.counters.output_length)
        });
        if outcome.status != Status::Exited {
            self.output.clear();
        }
        self.halted = Some(Halted {
            cycles: self.registers.cycles,
            outcome,
        });
    }

    fn output_root(&mut self) -> B256 {
        match &mut self.trees {
            Some(trees) if !self.untracked => {
                self.output_base.note(&self.output_dirty);
                update_bytes(&mut trees.output, &self.output, &mut self.output_dirty);
                trees.output.root()
            }
            _ => Tree::over_bytes(output_depth(self.limits.output_bytes), &self.output).root(),
        }
    }

    /// Hash of the state: what a dispute is about. Costs what changed since the last time.
    ///
    /// # Errors
    /// [`MachineFault`] if the archive cannot be read, which happens once at most.
    pub fn commit(&mut self) -> Result<B256, MachineFault> {
        if let Some(halted) = &self.halted {
            return Ok(halted.hash(self.header.job_hash, self.header.task));
        }
        Ok(self.commitment()?.state.hash())
    }

    /// The state's commitment taken apart. Meaningless once halted.
    ///
    /// # Errors
    /// As [`Machine::commit`].
    pub fn commitment(&mut self) -> Result<Commitment, MachineFault> {
        let context = Context {
            header: self.header,
            archive: self.archive_tree()?.root(),
            segments: self.program.segments.root(),
        };
        self.update_trees();
        let callers = self.update_chain();
        let frame = self.frame_root();
        let results = self.results_root();
        let memories = descriptor_tree(&self.memory_descriptors()).root();
        let tables = descriptor_tree(&self.table_descriptors()).root();
        let trees = self.trees();
        let (output, globals) = (trees.output.root(), trees.globals.root());
        let rest = Rest {
            context: context.hash(),
            tables,
            results,
            output,
            output_length: self.counters.output_length,
            pages: self.counters.pages,
            results_size: self.results_size,
        };
        let state = StateWords {
            registers: self.registers,
            shape: self.shape(),
            code: self.program.code.root(),
            frame,
            callers,
            memories,
            globals,
            rest: rest.hash(),
        };
        Ok(Commitment {
            state,
            rest,
            context,
        })
    }

    pub(super) fn shape(&self) -> Shape {
        self.program.shape(&self.limits)
    }

    /// The trees; [`Machine::update_trees`] made them.
    pub(super) fn trees(&mut self) -> &Trees {
        let Self {
            trees,
            program,
            memories,
            limits,
            ..
        } = self;
        trees.get_or_insert_with(|| Trees {
            memories: program
                .memories
                .iter()
                .zip(memories)
                .map(|(tree, memory)| tree.clone().deepened(memory.depth))
                .collect(),
            tables: program.tables.clone(),
            globals: program.globals.clone(),
            output: Tree::zero(output_depth(limits.output_bytes)),
        })
    }

    fn update_trees(&mut self) {
        self.trees();
        if std::mem::take(&mut self.untracked) {
            for memory in &mut self.memories {
                memory.dirty.mark_all();
            }
            for table in &mut self.tables {
                table.dirty.mark_all();
            }
            self.globals_dirty.mark_all();
            self.output_dirty
                .resize(self.output.len().div_ceil(tree::BYTES));
            self.output_dirty.mark_all();
        }
        let Some(trees) = &mut self.trees else {
            return;
        };
        self.output_base.note(&self.output_dirty);
        for (tree, memory) in trees.memories.iter_mut().zip(&mut self.memories) {
            memory.base.note(&memory.dirty);
            update_bytes(tree, &memory.bytes, &mut memory.dirty);
        }
        for (tree, table) in trees.tables.iter_mut().zip(&mut self.tables) {
            update_slots(tree, &table.entries, &mut table.dirty);
        }
        update_slots(&mut trees.globals, &self.globals, &mut self.globals_dirty);
        update_bytes(&mut trees.output, &self.output, &mut self.output_dirty);
    }

    pub(super) fn frame_slots(&self) -> &[u64] {
        &self.stack[self.frame..self.frame + usize::from(self.registers.frame_size)]
    }

    pub(super) fn frame_root(&self) -> B256 {
        root_of_slots(frame_depth(self.registers.frame_size), self.frame_slots())
    }

    /// The results frame's slots.
    pub(super) fn results_slots(&self) -> &[u64] {
        let start = self.frame + usize::from(self.registers.frame_size);
        &self.stack[start..start + usize::from(self.results_size)]
    }

    fn results_root(&self) -> B256 {
        match self.results_size {
            0 => B256::ZERO,
            size => root_of_slots(frame_depth(size), self.results_slots()),
        }
    }

    /// The innermost caller's slots.
    pub(super) fn caller_slots(&self) -> &[u64] {
        match self.callers.last() {
            Some(caller) => &self.stack[self.frame - usize::from(caller.frame_size)..self.frame],
            None => &[],
        }
    }

    /// Brings the chain of callers up to date and gives S5.
    fn update_chain(&mut self) -> B256 {
        self.chain.truncate(self.callers.len());
        let known = self.chain.len();
        let mut start = self.frame
            - self.callers[known..]
                .iter()
                .map(|caller| usize::from(caller.frame_size))
                .sum::<usize>();
        for caller in &self.callers[known..] {
            let end = start + usize::from(caller.frame_size);
            let record = CallerWords {
                callers: self.chain.last().copied().unwrap_or_default(),
                frame: root_of_slots(frame_depth(caller.frame_size), &self.stack[start..end]),
                return_pc: caller.return_pc,
                frame_size: caller.frame_size,
                result_slot: caller.result_slot,
            };
            self.chain.push(record.hash());
            start = end;
        }
        self.chain.last().copied().unwrap_or_default()
    }

    /// The innermost caller's record; the chain is up to date.
    pub(super) fn caller_words(&self) -> Option<CallerWords> {
        let caller = self.callers.last()?;
        Some(CallerWords {
            callers: match self.callers.len() {
                1 => B256::ZERO,
                depth => self.chain[depth - 2],
            },
            frame: root_of_slots(frame_depth(caller.frame_size), self.caller_slots()),
            return_pc: caller.return_pc,
            frame_size: caller.frame_size,
            result_slot: caller.result_slot,
        })
    }

    pub(super) fn memory_descriptors(&mut self) -> Vec<Descriptor> {
        self.trees();
        let Some(trees) = &self.trees else {
            return Vec::new();
        };
        trees
            .memories
            .iter()
            .zip(&self.memories)
            .map(|(tree, memory)| Descriptor {
                root: tree.root(),
                size: memory.pages(),
                maximum: memory.maximum,
                depth: memory.depth,
            })
            .collect()
    }

    pub(super) fn table_descriptors(&mut self) -> Vec<Descriptor> {
        self.trees();
        let Some(trees) = &self.trees else {
            return Vec::new();
        };
        trees
            .tables
            .iter()
            .zip(&self.tables)
            .map(|(tree, table)| Descriptor {
                root: tree.root(),
                size: table.entries.len() as u32,
                maximum: table.maximum,
                depth: tree.depth(),
            })
            .collect()
    }

    /// The archive's tree; reads the whole archive the first time.
    pub(super) fn archive_tree(&mut self) -> Result<Arc<Tree>, MachineFault> {
        if let Some(tree) = &self.archive_tree {
            return Ok(Arc::clone(tree));
        }
        let length = self.header.archive_bytes;
        let mut hashes = Vec::new();
        let mut buffer = vec![0; PAGE_BYTES];
        let mut offset = 0;
        while offset < length {
            let count = (length - offset).min(PAGE_BYTES as u64) as usize;
            self.archive.read(offset, &mut buffer[..count])?;
            hashes.extend(buffer[..count].chunks(tree::BYTES).map(leaf_of_bytes));
            offset += count as u64;
        }
        let depth = levels(length.div_ceil(tree::BYTES as u64));
        let tree = Arc::new(Tree::over(depth, hashes));
        self.archive_tree = Some(Arc::clone(&tree));
        Ok(tree)
    }
}

/// Callers that a slot limit allows, and the one whose call exceeds it: a frame has at least eight
/// slots in the cost model.
fn most_callers(limit: u64) -> usize {
    // At most 2^20.
    (limit / crate::cost::FRAME_SLOTS_FIXED) as usize + 2
}

/// Slots that the stack needs for a limit of cost-model slots: a frame has at most 32 more slots
/// than the cost model's (constants, and neighbours for bulk operations), and that has at least 8, so
/// that five times the limit suffice; one frame more is entered before the limit is noticed.
pub(super) fn stack_slots(limit: u64) -> usize {
    // At most 2^20.
    5 * limit as usize + 2 * (1 << 16)
}

/// Leaves a page has.
const _: () = assert!(PAGE_LEAVES as usize * tree::BYTES == PAGE_BYTES);

fn update_bytes(tree: &mut Tree, bytes: &[u8], dirty: &mut Dirty) {
    let leaves = bytes.len().div_ceil(tree::BYTES);
    tree.update(dirty.iter(leaves).map(|leaf| {
        let start = leaf * tree::BYTES;
        let end = (start + tree::BYTES).min(bytes.len());
        (leaf as u64, leaf_of_bytes(&bytes[start..end]))
    }));
    dirty.clear();
}

fn update_slots(tree: &mut Tree, slots: &[u64], dirty: &mut Dirty) {
    let leaves = slots.len().div_ceil(tree::SLOTS);
    tree.update(dirty.iter(leaves).map(|leaf| {
        let start = leaf * tree::SLOTS;
        let end = (start + tree::SLOTS).min(slots.len());
        (leaf as u64, leaf_of_slots(&slots[start..end]))
    }));
    dirty.clear();
}

impl<A: Archive> State for Machine<A> {
    type Fault = MachineFault;

    #[inline(always)]
    fn slot(&mut self, slot: u16) -> Result<u64, MachineFault> {
        Ok(self.stack[self.frame + usize::from(slot)])
    }

    #[inline(always)]
    fn set_slot(&mut self, slot: u16, value: u64) -> Result<(), MachineFault> {
        self.stack[self.frame + usize::from(slot)] = value;
        Ok(())
    }

    #[inline(always)]
    fn charge(&mut self, cycles: u64) -> bool {
        let used = self.registers.cycles.saturating_add(cycles);
        self.registers.cycles = used.min(self.limits.cycles);
        used <= self.limits.cycles
    }

    fn slots(&self) -> (u32, u32) {
        (self.registers.slots, self.limits.slots as u32)
    }

    fn set_slots(&mut self, slots: u32) {
        self.registers.slots = slots;
    }

    fn pc(&self) -> u32 {
        self.registers.pc
    }

    fn progress(&self) -> (bool, u64) {
        (self.registers.second, self.registers.progress)
    }

    fn set_progress(&mut self, second: bool, progress: u64) {
        self.registers.second = second;
        self.registers.progress = progress;
    }

    fn enter(
        &mut self,
        frame_size: u16,
        first: u16,
        count: u16,
        result: u16,
    ) -> Result<(), MachineFault> {
        self.callers.push(Caller {
            return_pc: self.registers.pc + 1,
            frame_size: self.registers.frame_size,
            result_slot: result,
        });
        let caller = self.frame + usize::from(first);
        let callee = self.frame + usize::from(self.registers.frame_size);
        let (below, above) = self.stack.split_at_mut(callee);
        let frame = &mut above[..usize::from(frame_size)];
        let count = usize::from(count);
        frame[..count].copy_from_slice(&below[caller..caller + count]);
        frame[count..].fill(0);
        self.frame = callee;
        self.registers.frame_size = frame_size;
        Ok(())
    }

    fn has_caller(&self) -> bool {
        !self.callers.is_empty()
    }

    fn leave(&mut self, result: Option<u64>, keep: bool) -> Result<u32, MachineFault> {
        // The transition asked `has_caller` first.
        let Some(caller) = self.callers.pop() else {
            return Ok(0);
        };
        self.chain.truncate(self.callers.len());
        if keep {
            self.results_size = self.registers.frame_size;
        }
        self.frame -= usize::from(caller.frame_size);
        self.registers.frame_size = caller.frame_size;
        if let Some(result) = result {
            self.stack[self.frame + usize::from(caller.result_slot)] = result;
        }
        Ok(caller.return_pc)
    }

    fn result(&mut self, slot: u16) -> Result<u64, MachineFault> {
        Ok(self.results_slots()[usize::from(slot)])
    }

    fn drop_results(&mut self) {
        self.results_size = 0;
    }

    fn global(&mut self, global: u32) -> Result<u64, MachineFault> {
        Ok(self.globals[global as usize])
    }

    fn set_global(&mut self, global: u32, value: u64) -> Result<(), MachineFault> {
        self.globals[global as usize] = value;
        self.globals_dirty
            .mark(global as usize / LEAF_SLOTS as usize);
        Ok(())
    }

    fn counters(&mut self) -> Result<Counters, MachineFault> {
        Ok(self.counters)
    }

    fn set_output_length(&mut self, bytes: u64) {
        self.counters.output_length = bytes;
    }

    fn context(&mut self) -> Result<ContextFacts, MachineFault> {
        Ok(ContextFacts {
            archive_length: self.header.archive_bytes,
            output_limit: self.limits.output_bytes,
            page_limit: self.limits.pages,
        })
    }

    #[inline(always)]
    fn memory_bytes(&mut self, memory: u8) -> Result<u64, MachineFault> {
        Ok(self.memories[usize::from(memory)].bytes.len() as u64)
    }

    fn memory(&mut self, memory: u8) -> Result<Extent, MachineFault> {
        let memory = &self.memories[usize::from(memory)];
        Ok(Extent {
            size: memory.pages(),
            maximum: memory.maximum,
        })
    }

    fn grow_memory(&mut self, memory: u8, pages: u32) {
        self.memories[usize::from(memory)].grow(pages);
        self.counters.pages += pages;
    }

    #[inline(always)]
    fn load(&mut self, memory: u8, address: u64, bytes: u32) -> Result<u64, MachineFault> {
        let start = address as usize;
        let memory = &self.memories[usize::from(memory)].bytes;
        let mut value = [0; 8];
        value[..bytes as usize].copy_from_slice(&memory[start..start + bytes as usize]);
        Ok(u64::from_le_bytes(value))
    }

    #[inline(always)]
    fn store(
        &mut self,
        memory: u8,
        address: u64,
        bytes: u32,
        value: u64,
    ) -> Result<(), MachineFault> {
        let start = address as usize;
        let memory = &mut self.memories[usize::from(memory)];
        memory.bytes[start..start + bytes as usize]
            .copy_from_slice(&value.to_le_bytes()[..bytes as usize]);
        memory.dirty.mark(start / tree::BYTES);
        Ok(())
    }

    fn table(&mut self, table: u8) -> Result<Extent, MachineFault> {
        let table = &self.tables[usize::from(table)];
        Ok(Extent {
            size: table.entries.len() as u32,
            maximum: table.maximum,
        })
    }

    fn grow_table(&mut self, table: u8, entries: u32) {
        let table = &mut self.tables[usize::from(table)];
        table
            .entries
            .resize(table.entries.len() + entries as usize, 0);
        table
            .dirty
            .resize(table.entries.len().div_ceil(tree::SLOTS));
    }

    fn entry(&mut self, table: u8, index: u32) -> Result<u64, MachineFault> {
        Ok(self.tables[usize::from(table)].entries[index as usize])
    }

    fn set_entry(&mut self, table: u8, index: u32, value: u64) -> Result<(), MachineFault> {
        let table = &mut self.tables[usize::from(table)];
        table.entries[index as usize] = value;
        table.dirty.mark(index as usize / tree::SLOTS);
        Ok(())
    }

    fn move_part(&mut self, from: Source, to: Target, count: u64) -> Result<(), MachineFault> {
        match to {
            Target::Table(table, at) => {
                let mut part = [0; tree::SLOTS];
                let part = &mut part[..count as usize];
                self.read_entries(from, part);
                let table = &mut self.tables[usize::from(table)];
                let at = at as usize;
                table.entries[at..at + part.len()].copy_from_slice(part);
                table.dirty.mark(at / tree::SLOTS);
            }
            Target::Memory(memory, at) => {
                let mut part = [0; tree::BYTES];
                let part = &mut part[..count as usize];
                self.read_bytes(from, part)?;
                let memory = &mut self.memories[usize::from(memory)];
                let at = at as usize;
                memory.bytes[at..at + part.len()].copy_from_slice(part);
                memory.dirty.mark(at / tree::BYTES);
            }
            Target::Output(at) => {
                let mut part = [0; tree::BYTES];
                let part = &mut part[..count as usize];
                self.read_bytes(from, part)?;
                // Output is written once, from front to back.
                self.output.truncate(at as usize);
                self.output.extend_from_slice(part);
                self.output_dirty
                    .resize(self.output.len().div_ceil(tree::BYTES));
                self.output_dirty.mark(at as usize / tree::BYTES);
            }
        }
        Ok(())
    }
}

impl<A: Archive> Machine<A> {
    fn read_entries(&self, from: Source, part: &mut [u64]) {
        match from {
            Source::Table(table, at) => {
                let entries = &self.tables[usize::from(table)].entries;
                part.copy_from_slice(&entries[at as usize..][..part.len()]);
            }
            Source::Segments(at) => {
                let bytes = &self.program.program().segments[at as usize..];
                for (entry, bytes) in part.iter_mut().zip(bytes.chunks_exact(8)) {
                    *entry = bytes.iter().fold(0, |value, b| value << 8 | u64::from(*b));
                }
            }
            Source::Fill(value) => part.fill(value),
            // Entries come from nowhere else.
            Source::Memory(..) | Source::Archive(_) | Source::Header(_) => {}
        }
    }

    fn read_bytes(&mut self, from: Source, part: &mut [u8]) -> Result<(), MachineFault> {
        match from {
            Source::Memory(memory, at) => {
                let bytes = &self.memories[usize::from(memory)].bytes;
                part.copy_from_slice(&bytes[at as usize..][..part.len()]);
            }
            Source::Segments(at) => {
                let bytes = &self.program.program().segments;
                part.copy_from_slice(&bytes[at as usize..][..part.len()]);
            }
            Source::Archive(at) => self.archive.read(at, part)?,
            Source::Header(at) => {
                part.copy_from_slice(&self.header.to_bytes()[at as usize..][..part.len()]);
            }
            Source::Fill(value) => part.fill(value as u8),
            // Bytes do not come from tables.
            Source::Table(..) => {}
        }
        Ok(())
    }
}
