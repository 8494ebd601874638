//! The one transition function: what an instruction does to a state, whatever the state is made of.
//!
//! [`State`] is the policy. The running machine, the machine that records a proof, and a proof that
//! is replayed all execute this function, so that they cannot drift apart. `MACHINE.md` §3 says in
//! words what it does; the order in which it touches the state is the order of a proof's openings.

use alloy_primitives::B256;
use outcry_protocol::status::{Outcome, Status};

use super::float::{self, Width};
use super::isa::{self, BRANCH, IMM, Instruction, op};
use crate::limits;

/// How a halted machine came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The program left with an exit code.
    Exited(u32),
    /// The program did what WebAssembly forbids.
    Trapped,
    /// A charge exceeded the cycle limit.
    OutOfCycles,
    /// A frame exceeded the slot limit.
    OutOfSlots,
    /// The output exceeded its limit.
    OutputLimit,
}

impl End {
    /// What is claimed of a task that ended so. `output` gives root and length, and is asked only if
    /// they count.
    pub fn outcome(self, output_limit: u64, output: impl FnOnce() -> (B256, u64)) -> Outcome {
        let status = match self {
            Self::Exited(exit_code) => {
                let (output_root, output_length) = output();
                return Outcome {
                    status: Status::Exited,
                    exit_code,
                    output_root,
                    output_length,
                };
            }
            Self::Trapped => Status::Trapped,
            Self::OutOfCycles => Status::OutOfCycles,
            Self::OutOfSlots => Status::OutOfFrameSlots,
            Self::OutputLimit => Status::OutputLimitExceeded,
        };
        Outcome::stopped(status, output_limit)
    }
}

/// Where execution goes on after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At the next instruction.
    Follow,
    /// At the same instruction, which has more to do.
    Stay,
    /// At another instruction of the same frame.
    Jump(u32),
    /// In a new frame.
    Entered(u32),
    /// In the caller's frame.
    Left(u32),
}

/// Why a transition has no successor of the usual kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop<F> {
    /// The machine halts.
    Halt(End),
    /// The state could not be read: a proof lacks it. Never happens to a machine.
    Fault(F),
}

/// Size of a memory in 64 KiB pages, or of a table in entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Now.
    pub size: u32,
    /// At most.
    pub maximum: u32,
}

/// The counters in the rest of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Bytes of output so far.
    pub output_length: u64,
    /// Pages of all memories together.
    pub pages: u32,
}

/// What of a task's context a step may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextFacts {
    /// Bytes of the input archive.
    pub archive_length: u64,
    /// Most bytes of output.
    pub output_limit: u64,
    /// Most pages of all memories together.
    pub page_limit: u32,
}

/// From where a restartable instruction moves its next part. A part never leaves its leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A memory, from a byte on.
    Memory(u8, u64),
    /// A table, from an entry on.
    Table(u8, u64),
    /// The passive segments, from a byte on (entries: 8 bytes each).
    Segments(u64),
    /// The input archive, from a byte on.
    Archive(u64),
    /// The task header, from a byte on.
    Header(u64),
    /// Nowhere: the same byte or entry again and again.
    Fill(u64),
}

/// To where a restartable instruction moves its next part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A memory, from a byte on.
    Memory(u8, u64),
    /// A table, from an entry on.
    Table(u8, u64),
    /// The output, from a byte on.
    Output(u64),
}

/// A state of the machine that a step reads and changes.
///
/// Slots, memories, tables and globals that instructions name exist: the loader made the
/// instructions. Methods that may have to read a proof return [`State::Fault`] where it lacks what
/// they need.
pub trait State {
    /// Why a state cannot be read.
    type Fault;

    /// Slot of the frame.
    fn slot(&mut self, slot: u16) -> Result<u64, Self::Fault>;
    /// Writes a slot of the frame.
    fn set_slot(&mut self, slot: u16, value: u64) -> Result<(), Self::Fault>;
    /// Charges cycles; false if the limit forbids, and then the register shows the limit.
    fn charge(&mut self, cycles: u64) -> bool;
    /// Frame slots in use and their limit.
    fn slots(&self) -> (u32, u32);
    /// Sets the frame slots in use.
    fn set_slots(&mut self, slots: u32);
    /// The instruction that executes.
    fn pc(&self) -> u32;
    /// Phase and progress of an unfinished instruction.
    fn progress(&self) -> (bool, u64);
    /// Sets phase and progress.
    fn set_progress(&mut self, second: bool, progress: u64);

    /// Makes the frame a caller's record and a new one of `frame_size` slots current, whose first
    /// `count` are the caller's slots from `first` on.
    fn enter(
        &mut self,
        frame_size: u16,
        first: u16,
        count: u16,
        result: u16,
    ) -> Result<(), Self::Fault>;
    /// Whether there is a caller.
    fn has_caller(&self) -> bool;
    /// Makes the caller's frame current again and returns where it goes on. A `result` goes to its
    /// result slot; with `keep` the frame that is left becomes the results frame.
    fn leave(&mut self, result: Option<u64>, keep: bool) -> Result<u32, Self::Fault>;
    /// A slot of the results frame.
    fn result(&mut self, slot: u16) -> Result<u64, Self::Fault>;
    /// Forgets the results frame.
    fn drop_results(&mut self);

    /// A global.
    fn global(&mut self, global: u32) -> Result<u64, Self::Fault>;
    /// Writes a global.
    fn set_global(&mut self, global: u32, value: u64) -> Result<(), Self::Fault>;

    /// Opens the rest of the state.
    fn counters(&mut self) -> Result<Counters, Self::Fault>;
    /// Sets the length of the output.
    fn set_output_length(&mut self, bytes: u64);
    /// Opens the context.
    fn context(&mut self) -> Result<ContextFacts, Self::Fault>;

    /// Size of a memory in bytes.
    fn memory_bytes(&mut self, memory: u8) -> Result<u64, Self::Fault>;
    /// Size of a memory in pages.
    fn memory(&mut self, memory: u8) -> Result<Extent, Self::Fault>;
    /// Adds zero pages to a memory, which has room for them.
    fn grow_memory(&mut self, memory: u8, pages: u32);
    /// Called where something rare is to be done, an access that straddles two leaves or a NaN that is
    /// delivered, before anything has changed: a state that leaves such steps to another one refuses.
    fn unusual(&mut self) -> Result<(), Self::Fault> {
        Ok(())
    }
    /// Little-endian number of `bytes` bytes within one leaf.
    fn load(&mut self, memory: u8, address: u64, bytes: u32) -> Result<u64, Self::Fault>;
    /// Writes the low `bytes` bytes within one leaf.
    fn store(
        &mut self,
        memory: u8,
        address: u64,
        bytes: u32,
        value: u64,
    ) -> Result<(), Self::Fault>;

    /// Size of a table.
    fn table(&mut self, table: u8) -> Result<Extent, Self::Fault>;
    /// Adds null entries to a table, which has room for them.
    fn grow_table(&mut self, table: u8, entries: u32);
    /// An entry of a table.
    fn entry(&mut self, table: u8, index: u32) -> Result<u64, Self::Fault>;
    /// Writes an entry of a table.
    fn set_entry(&mut self, table: u8, index: u32, value: u64) -> Result<(), Self::Fault>;

    /// Moves `count` bytes, or entries if the target is a table, within one leaf on either side.
    fn move_part(&mut self, from: Source, to: Target, count: u64) -> Result<(), Self::Fault>;
}

/// A function reference: one slot. Null is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// Where the function starts; never 0.
    pub entry: u32,
    /// Index of its type among the image's, which has no type twice.
    pub ty: u16,
    /// Slots of its frame.
    pub frame_size: u16,
}

impl Reference {
    /// The reference as a slot.
    #[must_use]
    pub const fn to_slot(self) -> u64 {
        (self.entry as u64) << 32 | (self.ty as u64) << 16 | self.frame_size as u64
    }

    /// The reference in a slot.
    #[must_use]
    #[inline(always)]
    pub const fn of(slot: u64) -> Self {
        Self {
            entry: (slot >> 32) as u32,
            ty: (slot >> 16) as u16,
            frame_size: slot as u16,
        }
    }
}

/// Bytes of a leaf.
pub const LEAF_BYTES: u64 = 128;
/// Slots of a leaf.
pub const LEAF_SLOTS: u64 = 16;
/// Bytes of the task header.
const HEADER_BYTES: u64 = crate::task::TaskHeader::BYTES as u64;
/// What `memory.grow` and `table.grow` deliver if they fail: -1 as an i32.
const GROW_FAILED: u64 = 0xffff_ffff;

impl<F> From<F> for Stop<F> {
    #[inline(always)]
    fn from(fault: F) -> Self {
        Self::Fault(fault)
    }
}

type Step<S> = Result<Next, Stop<<S as State>::Fault>>;

#[inline(always)]
fn trap<T, F>() -> Result<T, Stop<F>> {
    Err(Stop::Halt(End::Trapped))
}

#[inline(always)]
fn charge<S: State>(state: &mut S, cycles: u64) -> Result<(), Stop<S::Fault>> {
    if state.charge(cycles) {
        Ok(())
    } else {
        Err(Stop::Halt(End::OutOfCycles))
    }
}

#[inline(always)]
fn branch<S: State>(state: &mut S, taken: bool, i: &Instruction, charge_taken: u64) -> Step<S> {
    if taken {
        charge(state, charge_taken)?;
        Ok(Next::Jump(i.low()))
    } else {
        charge(state, i.c.into())?;
        Ok(Next::Follow)
    }
}

/// Executes instruction `i`, whose `op` is `OP`, of a running state.
///
/// A step that halts has changed nothing that anybody can see but the cycle register.
///
/// # Errors
/// [`Stop::Halt`] if the machine halts in this step, [`Stop::Fault`] if the state cannot be read.
#[inline(always)]
pub fn transition<S: State, const OP: u16>(state: &mut S, i: &Instruction) -> Step<S> {
    if const { !isa::is_known(OP) } {
        return trap();
    }
    match const { OP & 0xff } {
        op::UNREACHABLE => trap(),
        op::CHARGE => {
            charge(state, i.imm)?;
            Ok(Next::Follow)
        }
        op::CHARGE_SIZE => {
            let n = (state.slot(i.a)? as u32).min(i.low());
            charge(
                state,
                u64::from(n >> (i.high() >> 16)) * u64::from(i.high() & 0xffff),
            )?;
            Ok(Next::Follow)
        }
        op::JUMP => {
            charge(state, i.high().into())?;
            Ok(Next::Jump(i.low()))
        }
        op::BRANCH_IF => {
            let taken = state.slot(i.a)? != 0;
            branch(state, taken, i, i.high().into())
        }
        op::BRANCH_IF_ZERO => {
            let taken = state.slot(i.a)? == 0;
            branch(state, taken, i, i.high().into())
        }
        op::BRANCH_TABLE => {
            let index = state.slot(i.a)?.min(i.imm) as u32;
            Ok(Next::Jump(state.pc().wrapping_add(1).wrapping_add(index)))
        }
        op::ENTER => {
            let (used, limit) = state.slots();
            let slots = used.saturating_add(i.low());
            if slots > limit {
                return Err(Stop::Halt(End::OutOfSlots));
            }
            charge(state, i.high().into())?;
            state.set_slots(slots);
            Ok(Next::Follow)
        }
        op::CALL => {
            state.enter(i.b, i.a, i.c, i.high() as u16)?;
            Ok(Next::Entered(i.low()))
        }
        op::CALL_REF => {
            let callee = Reference::of(state.slot(i.b)?);
            state.enter(callee.frame_size, i.a, i.c, i.high() as u16)?;
            Ok(Next::Entered(callee.entry))
        }
        op::RETURN => {
            let result = if i.c == 1 {
                Some(state.slot(i.a)?)
            } else {
                None
            };
            if !state.has_caller() {
                return trap();
            }
            let pc = state.leave(result, i.c > 1)?;
            let (used, _) = state.slots();
            state.set_slots(used.wrapping_sub(i.low()));
            Ok(Next::Left(pc))
        }
        op::RESULT => {
            let value = state.result(i.a)?;
            state.set_slot(i.c, value)?;
            if i.b == 1 {
                state.drop_results();
            }
            Ok(Next::Follow)
        }
        op::RESOLVE => {
            let index = state.slot(i.a)?;
            state.counters()?;
            let table = i.b as u8;
            if index >= u64::from(state.table(table)?.size) {
                return trap();
            }
            let entry = state.entry(table, index as u32)?;
            if entry == 0 || u64::from(Reference::of(entry).ty) != i.imm {
                return trap();
            }
            write(state, i, entry)
        }

        op::COPY => {
            let value = state.slot(i.a)?;
            write(state, i, value)
        }
        op::CONST => write(state, i, i.imm),
        op::SELECT => {
            let x = state.slot(i.a)?;
            let y = state.slot(i.b)?;
            let condition = state.slot(i.imm as u16)?;
            write(state, i, if condition == 0 { y } else { x })
        }
        op::GLOBAL_GET => {
            let value = state.global(i.low())?;
            write(state, i, value)
        }
        op::GLOBAL_SET => {
            let value = state.slot(i.a)?;
            state.set_global(i.low(), value)?;
            Ok(Next::Follow)
        }

        op::LOAD8_U => load::<S, OP, 1>(state, i, |v| v),
        op::LOAD8_S32 => load::<S, OP, 1>(state, i, |v| v as i8 as u32 as u64),
        op::LOAD8_S64 => load::<S, OP, 1>(state, i, |v| v as i8 as u64),
        op::LOAD16_U => load::<S, OP, 2>(state, i, |v| v),
        op::LOAD16_S32 => load::<S, OP, 2>(state, i, |v| v as i16 as u32 as u64),
        op::LOAD16_S64 => load::<S, OP, 2>(state, i, |v| v as i16 as u64),
        op::LOAD32_U => load::<S, OP, 4>(state, i, |v| v),
        op::LOAD32_S64 => load::<S, OP, 4>(state, i, |v| v as i32 as u64),
        op::LOAD64 => load::<S, OP, 8>(state, i, |v| v),
        op::STORE8 => store::<S, OP, 1>(state, i),
        op::STORE16 => store::<S, OP, 2>(state, i),
        op::STORE32 => store::<S, OP, 4>(state, i),
        op::STORE64 => store::<S, OP, 8>(state, i),
        op::MEMORY_SIZE => {
            let pages = state.memory(i.imm as u8)?.size;
            write(state, i, pages.into())
        }
        op::MEMORY_GROW => {
            let delta = state.slot(i.a)?;
            let pages = state.counters()?.pages;
            let limit = state.context()?.page_limit;
            let memory = i.imm as u8;
            let Extent { size, maximum } = state.memory(memory)?;
            if u64::from(size) + delta > maximum.into() || u64::from(pages) + delta > limit.into() {
                return write(state, i, GROW_FAILED);
            }
            // Not more than the maximum, which is 32 bits wide.
            state.grow_memory(memory, delta as u32);
            write(state, i, size.into())
        }

        op::MEMORY_COPY => {
            let (dst, src, n) = (state.slot(i.a)?, state.slot(i.b)?, state.slot(i.c)?);
            let (to, from) = (i.imm as u8, (i.imm >> 8) as u8);
            if dst + n > state.memory_bytes(to)? || src + n > state.memory_bytes(from)? {
                return trap();
            }
            let backward = to == from && dst > src;
            copy(state, LEAF_BYTES, dst, src, n, backward, |src, dst| {
                (Source::Memory(from, src), Target::Memory(to, dst))
            })
        }
        op::MEMORY_FILL => {
            let (dst, value, n) = (state.slot(i.a)?, state.slot(i.b)?, state.slot(i.c)?);
            let to = i.imm as u8;
            if dst + n > state.memory_bytes(to)? {
                return trap();
            }
            copy(state, LEAF_BYTES, dst, dst, n, false, |_, dst| {
                (Source::Fill(value & 0xff), Target::Memory(to, dst))
            })
        }
        op::MEMORY_INIT => {
            let (dst, src, n) = (state.slot(i.a)?, state.slot(i.b)?, state.slot(i.c)?);
            state.counters()?;
            state.context()?;
            let to = (i.imm >> 56) as u8;
            if dst + n > state.memory_bytes(to)? {
                return trap();
            }
            let src = u64::from(i.low()) * LEAF_BYTES + src;
            copy(state, LEAF_BYTES, dst, src, n, false, |src, dst| {
                (Source::Segments(src), Target::Memory(to, dst))
            })
        }
        op::SEGMENT_CHECK => {
            let end = state.slot(i.a)? + state.slot(i.b)?;
            if end > state.global(i.low())? {
                return trap();
            }
            Ok(Next::Follow)
        }
        op::TABLE_COPY => {
            let (dst, src, n) = (state.slot(i.a)?, state.slot(i.b)?, state.slot(i.c)?);
            state.counters()?;
            let (to, from) = (i.imm as u8, (i.imm >> 8) as u8);
            if dst + n > state.table(to)?.size.into() || src + n > state.table(from)?.size.into() {
                return trap();
            }
            let backward = to == from && dst > src;
            copy(state, LEAF_SLOTS, dst, src, n, backward, |src, dst| {
                (Source::Table(from, src), Target::Table(to, dst))
            })
        }
        op::TABLE_FILL => {
            let (dst, value, n) = (state.slot(i.a)?, state.slot(i.b)?, state.slot(i.c)?);
            state.counters()?;
            let to = i.imm as u8;
            if dst + n > state.table(to)?.size.into() {
                return trap();
            }
            copy(state, LEAF_SLOTS, dst, dst, n, false, |_, dst| {
                (Source::Fill(value), Target::Table(to, dst))
            })
        }
        op::TABLE_INIT => {
            let (dst, src, n) = (state.slot(i.a)?, state.slot(i.b)?, state.slot(i.c)?);
            state.counters()?;
            state.context()?;
            let to = (i.imm >> 56) as u8;
            if dst + n > state.table(to)?.size.into() {
                return trap();
            }
            let src = u64::from(i.low()) * LEAF_SLOTS + src;
            copy(state, LEAF_SLOTS, dst, src, n, false, |src, dst| {
                (Source::Segments(src * 8), Target::Table(to, dst))
            })
        }
        op::TABLE_GET => {
            let index = state.slot(i.a)?;
            state.counters()?;
            let table = i.imm as u8;
            if index >= state.table(table)?.size.into() {
                return trap();
            }
            let value = state.entry(table, index as u32)?;
            write(state, i, value)
        }
        op::TABLE_SET => {
            let index = state.slot(i.a)?;
            let value = state.slot(i.b)?;
            state.counters()?;
            let table = i.imm as u8;
            if index >= state.table(table)?.size.into() {
                return trap();
            }
            state.set_entry(table, index as u32, value)?;
            Ok(Next::Follow)
        }
        op::TABLE_SIZE => {
            state.counters()?;
            let size = state.table(i.imm as u8)?.size;
            write(state, i, size.into())
        }
        op::TABLE_GROW => {
            let delta = state.slot(i.a)?;
            state.counters()?;
            let table = i.imm as u8;
            let Extent { size, maximum } = state.table(table)?;
            if u64::from(size) + delta > maximum.into() {
                return write(state, i, GROW_FAILED);
            }
            state.grow_table(table, delta as u32);
            write(state, i, size.into())
        }

        op::READ_INPUT => read_input(state, i),
        op::APPEND_OUTPUT => append_output(state, i),
        op::EXIT => Err(Stop::Halt(End::Exited(state.slot(i.a)? as u32))),

        _ => arithmetic::<S, OP>(state, i),
    }
}

#[inline(always)]
fn write<S: State>(state: &mut S, i: &Instruction, value: u64) -> Step<S> {
    state.set_slot(i.c, value)?;
    Ok(Next::Follow)
}

/// Address and memory of a load or store; `None` out of bounds.
#[inline(always)]
fn address<S: State, const OP: u16>(
    state: &mut S,
    base: u64,
    i: &Instruction,
    other: u16,
    bytes: u64,
) -> Result<(u8, u64), Stop<S::Fault>> {
    let memory = if const { OP & IMM != 0 } {
        other as u8
    } else {
        0
    };
    let address = base + u64::from(i.low());
    if address + bytes > state.memory_bytes(memory)? {
        return trap();
    }
    Ok((memory, address))
}

#[inline(always)]
fn load<S: State, const OP: u16, const BYTES: u32>(
    state: &mut S,
    i: &Instruction,
    extend: impl Fn(u64) -> u64,
) -> Step<S> {
    let base = state.slot(i.a)?;
    let (memory, at) = address::<S, OP>(state, base, i, i.b, BYTES.into())?;
    let room = (LEAF_BYTES - at % LEAF_BYTES) as u32;
    if BYTES == 1 || BYTES <= room {
        let value = state.load(memory, at, BYTES)?;
        return write(state, i, extend(value));
    }
    state.unusual()?;
    let (second, low) = state.progress();
    if !second {
        let low = state.load(memory, at, room)?;
        state.set_progress(true, low);
        return Ok(Next::Stay);
    }
    let high = state.load(memory, at + u64::from(room), BYTES - room)?;
    state.set_progress(false, 0);
    write(state, i, extend(low | high << (8 * room)))
}

#[inline(always)]
fn store<S: State, const OP: u16, const BYTES: u32>(state: &mut S, i: &Instruction) -> Step<S> {
    let base = state.slot(i.a)?;
    let value = state.slot(i.b)?;
    let (memory, at) = address::<S, OP>(state, base, i, i.c, BYTES.into())?;
    let room = (LEAF_BYTES - at % LEAF_BYTES) as u32;
    if BYTES == 1 || BYTES <= room {
        state.store(memory, at, BYTES, value)?;
        return Ok(Next::Follow);
    }
    state.unusual()?;
    if !state.progress().0 {
        state.store(memory, at, room, value)?;
        state.set_progress(true, 0);
        return Ok(Next::Stay);
    }
    state.store(
        memory,
        at + u64::from(room),
        BYTES - room,
        value >> (8 * room),
    )?;
    state.set_progress(false, 0);
    Ok(Next::Follow)
}

/// The next part of a restartable instruction; leaves have `unit` bytes or entries.
#[inline(always)]
fn copy<S: State>(
    state: &mut S,
    unit: u64,
    dst: u64,
    src: u64,
    n: u64,
    backward: bool,
    ends: impl Fn(u64, u64) -> (Source, Target),
) -> Step<S> {
    let (_, done) = state.progress();
    let left = n - done;
    if left > 0 {
        let (part, at) = if backward {
            let part = left
                .min((dst + left - 1) % unit + 1)
                .min((src + left - 1) % unit + 1);
            (part, left - part)
        } else {
            let part = left
                .min(unit - (dst + done) % unit)
                .min(unit - (src + done) % unit);
            (part, done)
        };
        let (from, to) = ends(src + at, dst + at);
        state.move_part(from, to, part)?;
        if done + part < n {
            state.set_progress(false, done + part);
            return Ok(Next::Stay);
        }
    }
    state.set_progress(false, 0);
    Ok(Next::Follow)
}

#[inline(always)]
fn read_input<S: State>(state: &mut S, i: &Instruction) -> Step<S> {
    let stream = state.slot(i.a)?;
    let offset = state.slot(i.a + 1)?;
    let dst = state.slot(i.a + 2)?;
    let len = state.slot(i.a + 3)?;
    state.counters()?;
    let archive_length = state.context()?.archive_length;
    const TO: u8 = crate::link::LIBRARY_MEMORY as u8;
    if dst + len > state.memory_bytes(TO)? || stream > 1 {
        return trap();
    }
    let length = if stream == 0 {
        HEADER_BYTES
    } else {
        archive_length
    };
    let n = len.min(length.saturating_sub(offset));
    // Where nothing is read, offset may be anything, and it is not used.
    let offset = if n == 0 { 0 } else { offset };
    let next = copy(state, LEAF_BYTES, dst, offset, n, false, |src, dst| {
        let from = if stream == 0 {
            Source::Header(src)
        } else {
            Source::Archive(src)
        };
        (from, Target::Memory(TO, dst))
    })?;
    if next == Next::Follow {
        state.set_slot(i.c, n)?;
    }
    Ok(next)
}

#[inline(always)]
fn append_output<S: State>(state: &mut S, i: &Instruction) -> Step<S> {
    let src = state.slot(i.a)?;
    let len = state.slot(i.a + 1)?;
    let written = state.counters()?.output_length;
    let limit = state.context()?.output_limit;
    const FROM: u8 = crate::link::LIBRARY_MEMORY as u8;
    if src + len > state.memory_bytes(FROM)? {
        return trap();
    }
    if written + len > limit {
        return Err(Stop::Halt(End::OutputLimit));
    }
    let next = copy(state, LEAF_BYTES, written, src, len, false, |src, dst| {
        (Source::Memory(FROM, src), Target::Output(dst))
    })?;
    if next == Next::Follow {
        state.set_output_length(written + len);
    }
    Ok(next)
}

/// Operations 40-c3.
#[inline(always)]
fn arithmetic<S: State, const OP: u16>(state: &mut S, i: &Instruction) -> Step<S> {
    let x = state.slot(i.a)?;
    let branches = const { OP & BRANCH != 0 };
    let immediate = const { OP & IMM != 0 && !isa::compares_floats(OP) };
    let y = if const { !reads_two(OP) } {
        0
    } else if immediate {
        if branches {
            // Sign-extended; the 32-bit signed comparisons look at the low half only.
            i.high() as i32 as u64
        } else {
            i.imm
        }
    } else {
        state.slot(i.b)?
    };
    let Some(result) = evaluate::<OP>(x, y) else {
        return trap();
    };
    if const { delivers_f32(OP) } && f32::of(result).is_nan()
        || const { delivers_f64(OP) } && f64::of(result).is_nan()
    {
        state.unusual()?;
    }
    if !branches {
        return write(state, i, result);
    }
    let negated = const { isa::compares_floats(OP) && OP & IMM != 0 };
    let charge_taken = if immediate {
        i.b.into()
    } else {
        i.high().into()
    };
    branch(state, (result != 0) != negated, i, charge_taken)
}

const fn reads_two(op: u16) -> bool {
    matches!(op & 0xff, 0x41..=0x4b | 0x50..=0x5d | 0x68..=0x75 | 0x80..=0x8c | 0x94..=0xa0)
}

/// Whether an operation delivers a binary32 whose NaN is the canonical one.
const fn delivers_f32(op: u16) -> bool {
    matches!(op & 0xff, op::F32_ADD..=op::F32_MAX | op::F32_CEIL..=op::F32_SQRT | op::F32_DEMOTE)
}

/// Whether an operation delivers a binary64 whose NaN is the canonical one.
const fn delivers_f64(op: u16) -> bool {
    matches!(op & 0xff, op::F64_ADD..=op::F64_MAX | op::F64_CEIL..=op::F64_SQRT | op::F64_PROMOTE)
}

/// The result of an arithmetic operation as a slot; `None` traps. Unary operations ignore `y`.
#[inline(always)]
pub fn evaluate<const OP: u16>(x: u64, y: u64) -> Option<u64> {
    let (x32, y32) = (x as u32, y as u32);
    let (i32x, i32y, i64x, i64y) = (x32 as i32, y32 as i32, x as i64, y as i64);
    let (f32x, f32y, f64x, f64y) = (f32::of(x), f32::of(y), f64::of(x), f64::of(y));
    let low = |value: u32| u64::from(value);
    Some(match const { OP & 0xff } {
        op::EQZ => (x == 0).into(),
        op::EQ => (x == y).into(),
        op::NE => (x != y).into(),
        op::LT_U => (x < y).into(),
        op::GT_U => (x > y).into(),
        op::LE_U => (x <= y).into(),
        op::GE_U => (x >= y).into(),
        op::AND => x & y,
        op::OR => x | y,
        op::XOR => x ^ y,
        op::DIV_U => x.checked_div(y)?,
        op::REM_U => x.checked_rem(y)?,

        op::I32_ADD => low(x32.wrapping_add(y32)),
        op::I32_SUB => low(x32.wrapping_sub(y32)),
        op::I32_LT_S => (i32x < i32y).into(),
        op::I32_GT_S => (i32x > i32y).into(),
        op::I32_LE_S => (i32x <= i32y).into(),
        op::I32_GE_S => (i32x >= i32y).into(),
        op::I32_MUL => low(x32.wrapping_mul(y32)),
        op::I32_DIV_S => low(i32x.checked_div(i32y)? as u32),
        op::I32_REM_S => low(if i32y == 0 {
            return None;
        } else {
            i32x.wrapping_rem(i32y) as u32
        }),
        op::I32_SHL => low(x32.wrapping_shl(y32)),
        op::I32_SHR_S => low(i32x.wrapping_shr(y32) as u32),
        op::I32_SHR_U => low(x32.wrapping_shr(y32)),
        op::I32_ROTL => low(x32.rotate_left(y32 % 32)),
        op::I32_ROTR => low(x32.rotate_right(y32 % 32)),
        op::I32_CLZ => low(x32.leading_zeros()),
        op::I32_CTZ => low(x32.trailing_zeros()),
        op::I32_POPCNT => low(x32.count_ones()),
        op::I32_EXTEND8_S => low(x as i8 as u32),
        op::I32_EXTEND16_S => low(x as i16 as u32),
        op::I32_WRAP => low(x32),

        op::I64_ADD => x.wrapping_add(y),
        op::I64_SUB => x.wrapping_sub(y),
        op::I64_LT_S => (i64x < i64y).into(),
        op::I64_GT_S => (i64x > i64y).into(),
        op::I64_LE_S => (i64x <= i64y).into(),
        op::I64_GE_S => (i64x >= i64y).into(),
        op::I64_MUL => x.wrapping_mul(y),
        op::I64_DIV_S => i64x.checked_div(i64y)? as u64,
        op::I64_REM_S => {
            if i64y == 0 {
                return None;
            }
            i64x.wrapping_rem(i64y) as u64
        }
        op::I64_SHL => x.wrapping_shl(y32),
        op::I64_SHR_S => i64x.wrapping_shr(y32) as u64,
        op::I64_SHR_U => x.wrapping_shr(y32),
        op::I64_ROTL => x.rotate_left(y32 % 64),
        op::I64_ROTR => x.rotate_right(y32 % 64),
        op::I64_CLZ => x.leading_zeros().into(),
        op::I64_CTZ => x.trailing_zeros().into(),
        op::I64_POPCNT => x.count_ones().into(),
        op::I64_EXTEND8_S => x as i8 as u64,
        op::I64_EXTEND16_S => x as i16 as u64,
        op::I64_EXTEND32_S => i32x as u64,

        op::F32_EQ => (f32x == f32y).into(),
        op::F32_NE => (f32x != f32y).into(),
        op::F32_LT => (f32x < f32y).into(),
        op::F32_GT => (f32x > f32y).into(),
        op::F32_LE => (f32x <= f32y).into(),
        op::F32_GE => (f32x >= f32y).into(),
        op::F32_ADD => (f32x + f32y).canonical(),
        op::F32_SUB => (f32x - f32y).canonical(),
        op::F32_MUL => (f32x * f32y).canonical(),
        op::F32_DIV => (f32x / f32y).canonical(),
        op::F32_MIN => float::min_32(f32x, f32y).canonical(),
        op::F32_MAX => float::max_32(f32x, f32y).canonical(),
        op::F32_COPYSIGN => f32x.copysign(f32y).bits(),
        op::F32_ABS => low(x32 & 0x7fff_ffff),
        op::F32_NEG => low(x32 ^ 0x8000_0000),
        op::F32_CEIL => f32x.ceil().canonical(),
        op::F32_FLOOR => f32x.floor().canonical(),
        op::F32_TRUNC => f32x.trunc().canonical(),
        op::F32_NEAREST => f32x.round_ties_even().canonical(),
        op::F32_SQRT => f32x.sqrt().canonical(),

        op::F64_EQ => (f64x == f64y).into(),
        op::F64_NE => (f64x != f64y).into(),
        op::F64_LT => (f64x < f64y).into(),
        op::F64_GT => (f64x > f64y).into(),
        op::F64_LE => (f64x <= f64y).into(),
        op::F64_GE => (f64x >= f64y).into(),
        op::F64_ADD => (f64x + f64y).canonical(),
        op::F64_SUB => (f64x - f64y).canonical(),
        op::F64_MUL => (f64x * f64y).canonical(),
        op::F64_DIV => (f64x / f64y).canonical(),
        op::F64_MIN => float::min_64(f64x, f64y).canonical(),
        op::F64_MAX => float::max_64(f64x, f64y).canonical(),
        op::F64_COPYSIGN => f64x.copysign(f64y).bits(),
        op::F64_ABS => x & !(1 << 63),
        op::F64_NEG => x ^ 1 << 63,
        op::F64_CEIL => f64x.ceil().canonical(),
        op::F64_FLOOR => f64x.floor().canonical(),
        op::F64_TRUNC => f64x.trunc().canonical(),
        op::F64_NEAREST => f64x.round_ties_even().canonical(),
        op::F64_SQRT => f64x.sqrt().canonical(),

        op::I32_TRUNC_F32_S => float::to_i32(f32x.into())?,
        op::I32_TRUNC_F32_U => float::to_u32(f32x.into())?,
        op::I32_TRUNC_F64_S => float::to_i32(f64x)?,
        op::I32_TRUNC_F64_U => float::to_u32(f64x)?,
        op::I64_TRUNC_F32_S => float::to_i64(f32x.into())?,
        op::I64_TRUNC_F32_U => float::to_u64(f32x.into())?,
        op::I64_TRUNC_F64_S => float::to_i64(f64x)?,
        op::I64_TRUNC_F64_U => float::to_u64(f64x)?,
        op::F32_DEMOTE => (f64x as f32).canonical(),
        op::F64_PROMOTE => f64::from(f32x).canonical(),
        // Rust's `as` saturates and gives 0 for NaN, as WebAssembly asks.
        op::I32_TRUNC_SAT_F32_S => low(f32x as i32 as u32),
        op::I32_TRUNC_SAT_F32_U => low(f32x as u32),
        op::I32_TRUNC_SAT_F64_S => low(f64x as i32 as u32),
        op::I32_TRUNC_SAT_F64_U => low(f64x as u32),
        op::I64_TRUNC_SAT_F32_S => f32x as i64 as u64,
        op::I64_TRUNC_SAT_F32_U => f32x as u64,
        op::I64_TRUNC_SAT_F64_S => f64x as i64 as u64,
        op::I64_TRUNC_SAT_F64_U => f64x as u64,
        op::F32_CONVERT_I32_S => (i32x as f32).bits(),
        op::F32_CONVERT_I32_U => (x32 as f32).bits(),
        op::F32_CONVERT_I64_S => (i64x as f32).bits(),
        op::F32_CONVERT_I64_U => (x as f32).bits(),
        op::F64_CONVERT_I32_S => f64::from(i32x).bits(),
        op::F64_CONVERT_I32_U => f64::from(x32).bits(),
        op::F64_CONVERT_I64_S => (i64x as f64).bits(),
        op::F64_CONVERT_I64_U => (x as f64).bits(),
        _ => return None,
    })
}

/// Calls `$handler::<$parameters…, OP>` for every `op`: an array of [`isa::OPS`] entries.
macro_rules! per_op {
    ($handler:ident $(, $parameter:ident)*) => {
        $crate::machine::transition::per_op!(@rows $handler [$($parameter)*]
            0x00 0x01 0x02 0x03 0x04 0x05 0x06 0x07 0x08 0x09 0x0a 0x0b 0x0c 0x0d 0x0e 0x0f
            0x10 0x11 0x12 0x13 0x14 0x15 0x16 0x17 0x18 0x19 0x1a 0x1b 0x1c 0x1d 0x1e 0x1f
            0x20 0x21 0x22 0x23 0x24 0x25 0x26 0x27 0x28 0x29 0x2a 0x2b 0x2c 0x2d 0x2e 0x2f
            0x30 0x31 0x32 0x33 0x34 0x35 0x36 0x37 0x38 0x39 0x3a 0x3b 0x3c 0x3d 0x3e 0x3f)
    };
    (@rows $handler:ident $parameters:tt $($row:literal)*) => {
        $crate::machine::transition::flatten_rows([
            $($crate::machine::transition::per_op!(@row $handler $parameters $row)),*
        ])
    };
    (@row $handler:ident [$($parameter:ident)*] $row:literal) => {
        [
            $handler::<$($parameter,)* { $row * 16 }>, $handler::<$($parameter,)* { $row * 16 + 1 }>,
            $handler::<$($parameter,)* { $row * 16 + 2 }>, $handler::<$($parameter,)* { $row * 16 + 3 }>,
            $handler::<$($parameter,)* { $row * 16 + 4 }>, $handler::<$($parameter,)* { $row * 16 + 5 }>,
            $handler::<$($parameter,)* { $row * 16 + 6 }>, $handler::<$($parameter,)* { $row * 16 + 7 }>,
            $handler::<$($parameter,)* { $row * 16 + 8 }>, $handler::<$($parameter,)* { $row * 16 + 9 }>,
            $handler::<$($parameter,)* { $row * 16 + 10 }>, $handler::<$($parameter,)* { $row * 16 + 11 }>,
            $handler::<$($parameter,)* { $row * 16 + 12 }>, $handler::<$($parameter,)* { $row * 16 + 13 }>,
            $handler::<$($parameter,)* { $row * 16 + 14 }>, $handler::<$($parameter,)* { $row * 16 + 15 }>,
        ]
    };
}
pub(super) use per_op;

/// 64 rows of 16 handlers as one table.
pub(super) const fn flatten_rows<H: Copy>(rows: [[H; 16]; isa::OPS / 16]) -> [H; isa::OPS] {
    let mut table = [rows[0][0]; isa::OPS];
    let mut at = 0;
    while at < isa::OPS {
        table[at] = rows[at / 16][at % 16];
        at += 1;
    }
    table
}

/// [`transition`] for an `op` that is known only now.
///
/// # Errors
/// As [`transition`].
pub fn step<S: State>(state: &mut S, i: &Instruction) -> Step<S> {
    /// The table of one policy.
    struct Table<S>(std::marker::PhantomData<S>);
    impl<S: State> Table<S> {
        const OF: [fn(&mut S, &Instruction) -> Step<S>; isa::OPS] = {
            fn one<S: State, const OP: u16>(state: &mut S, i: &Instruction) -> Step<S> {
                transition::<S, OP>(state, i)
            }
            per_op!(one, S)
        };
    }
    match Table::<S>::OF.get(i.op as usize) {
        Some(execute) => execute(state, i),
        None => trap(),
    }
}

// A table's entries fit its tree, and a program's pages its memory, whatever the code asks for.
const _: () = assert!(limits::TABLE_ENTRIES <= u32::MAX as u64);
