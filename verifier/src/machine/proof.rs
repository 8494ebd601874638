//! Proofs of single steps: recorded on a machine, replayed on hashes alone. `MACHINE.md` §4.
//!
//! Both sides execute [`transition::step`]; the order in which it touches the state is the order of
//! the openings, so that recorder and replay need not agree on anything else.

use alloy_primitives::{B256, keccak256};

use super::commit::{
    CallerWords, Commitment, Context, Descriptor, LEAF_INSTRUCTIONS, Rest, StateWords, code_leaf,
    descriptor_tree, frame_depth, output_depth,
};
use super::isa::Instruction;
use super::state::{Archive, Machine, MachineFault, Point};
use super::transition::{
    self, ContextFacts, Counters, End, Extent, Next, Source, State, Stop, Target,
};
use super::tree::{self, Tree, levels, root_of, root_of_slots, slot_bytes};
use crate::task::{Halted, TaskHeader};

/// A tree of a state in which leaves are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Frame,
    CallerFrame,
    ResultsFrame,
    Globals,
    MemoryDescriptors,
    TableDescriptors,
    Memory(u8),
    Table(u8),
    Segments,
    Archive,
    Output,
}

/// Bytes of a leaf.
type Leaf = [u8; tree::BYTES];

/// The proof of one step: words as the chain reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepProof {
    words: Vec<B256>,
}

impl StepProof {
    /// The words.
    #[must_use]
    pub fn words(&self) -> &[B256] {
        &self.words
    }

    /// The words as bytes: what `transition(before, proof)` of the contract takes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.0).collect()
    }
}

/// Why a proof proves nothing. Says nothing about the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The proof ends before the step does, or is not a whole number of words.
    #[error("the proof is too short")]
    TooShort,
    /// The proof goes on behind the step's last opening.
    #[error("the proof is too long")]
    TooLong,
    /// A leaf or preimage does not lead to the hash that the state before has.
    #[error("the proof opens something else than the state before")]
    Mismatch,
    /// No state of a machine has such a word.
    #[error("a word of the proof cannot be part of a state")]
    Malformed,
}

/// Records what a step of the machine touches.
struct Recorder<'m, A> {
    machine: &'m mut Machine<A>,
    commitment: &'m Commitment,
    frame: Tree,
    words: Vec<B256>,
    opened: Vec<(Place, u64)>,
    rest: bool,
    context: bool,
}

impl<A: Archive> Machine<A> {
    /// Makes one step and gives the state before it and its proof.
    ///
    /// # Errors
    /// [`MachineFault`]; the machine is as before.
    pub fn prove(&mut self) -> Result<(B256, StepProof), MachineFault> {
        if let Some(halted) = &self.halted {
            let header = &self.header;
            let words = vec![
                header.job_hash,
                word(header.task.into()),
                word(halted.cycles),
                halted.outcome.inner(),
            ];
            return Ok((
                halted.hash(header.job_hash, header.task),
                StepProof { words },
            ));
        }
        let commitment = self.commitment()?;
        let before = commitment.state.hash();
        if self.has_ended() {
            let words = commitment.state.to_words().to_vec();
            return Ok((before, StepProof { words }));
        }
        let pc = self.registers.pc;
        let program = self.program.clone();
        let leaf = pc as usize / LEAF_INSTRUCTIONS;
        let code = program.program().code();
        let first = (leaf * LEAF_INSTRUCTIONS).min(code.len());
        let last = (first + LEAF_INSTRUCTIONS).min(code.len());
        let mut words = commitment.state.to_words().to_vec();
        words.extend(leaf_words(&code_leaf(&code[first..last])));
        words.extend(program.code.path(leaf as u64));
        let frame = Tree::over_slots(frame_depth(self.registers.frame_size), self.frame_slots());
        let mut recorder = Recorder {
            machine: self,
            commitment: &commitment,
            frame,
            words,
            opened: Vec::new(),
            rest: false,
            context: false,
        };
        let step = transition::step(&mut recorder, &program.program().instruction(pc));
        if matches!(step, Err(Stop::Halt(_))) {
            recorder.counters()?;
            recorder.context()?;
        }
        let words = recorder.words;
        match step {
            Ok(next) => self.follow(next),
            Err(Stop::Halt(end)) => self.halt(end),
            Err(Stop::Fault(fault)) => return Err(fault),
        }
        self.steps += 1;
        Ok((before, StepProof { words }))
    }
}

fn word(value: u64) -> B256 {
    B256::left_padding_from(&value.to_be_bytes())
}

fn leaf_words(leaf: &Leaf) -> impl Iterator<Item = B256> + '_ {
    leaf.chunks_exact(32).map(B256::from_slice)
}

/// At most 128 bytes as a leaf.
fn padded(bytes: &[u8]) -> Leaf {
    let mut leaf = [0; tree::BYTES];
    leaf[..bytes.len()].copy_from_slice(bytes);
    leaf
}

fn bytes_at(bytes: &[u8], leaf: u64) -> Leaf {
    let start = (leaf as usize * tree::BYTES).min(bytes.len());
    padded(&bytes[start..(start + tree::BYTES).min(bytes.len())])
}

fn slots_at(slots: &[u64], leaf: u64) -> Leaf {
    let start = (leaf as usize * tree::SLOTS).min(slots.len());
    slot_bytes(&slots[start..(start + tree::SLOTS).min(slots.len())])
}

impl<A: Archive> Recorder<'_, A> {
    fn open(&mut self, place: Place, leaf: u64) -> Result<(), MachineFault> {
        if self.opened.contains(&(place, leaf)) {
            return Ok(());
        }
        self.opened.push((place, leaf));
        let machine = &mut *self.machine;
        let over = |slots: &[u64]| {
            let depth = levels(slots.len().div_ceil(tree::SLOTS) as u64);
            (slots_at(slots, leaf), Tree::over_slots(depth, slots))
        };
        let descriptors = |descriptors: Vec<Descriptor>| {
            let bytes: Vec<u8> = descriptors.iter().flat_map(Descriptor::to_bytes).collect();
            (bytes_at(&bytes, leaf), descriptor_tree(&descriptors))
        };
        let program = machine.program.clone();
        let archive_bytes = machine.header.archive_bytes;
        let (bytes, path): (Leaf, Vec<B256>) = match place {
            Place::Frame => (
                slots_at(machine.frame_slots(), leaf),
                self.frame.path(leaf).collect(),
            ),
            Place::CallerFrame => {
                let (bytes, tree) = over(machine.caller_slots());
                (bytes, tree.path(leaf).collect())
            }
            Place::ResultsFrame => {
                let (bytes, tree) = over(machine.results_slots());
                (bytes, tree.path(leaf).collect())
            }
            Place::MemoryDescriptors => {
                let (bytes, tree) = descriptors(machine.memory_descriptors());
                (bytes, tree.path(leaf).collect())
            }
            Place::TableDescriptors => {
                let (bytes, tree) = descriptors(machine.table_descriptors());
                (bytes, tree.path(leaf).collect())
            }
            Place::Globals => (
                slots_at(&machine.globals, leaf),
                machine.trees().globals.path(leaf).collect(),
            ),
            Place::Memory(index) => (
                bytes_at(&machine.memories[usize::from(index)].bytes, leaf),
                machine.trees().memories[usize::from(index)]
                    .path(leaf)
                    .collect(),
            ),
            Place::Table(index) => (
                slots_at(&machine.tables[usize::from(index)].entries, leaf),
                machine.trees().tables[usize::from(index)]
                    .path(leaf)
                    .collect(),
            ),
            Place::Segments => (
                bytes_at(&program.program().segments, leaf),
                program.segments.path(leaf).collect(),
            ),
            Place::Archive => {
                let start = leaf * tree::BYTES as u64;
                let count = (archive_bytes - start).min(tree::BYTES as u64) as usize;
                let mut bytes = [0; tree::BYTES];
                machine.archive.read(start, &mut bytes[..count])?;
                let tree = machine.archive_tree()?;
                (bytes, tree.path(leaf).collect())
            }
            Place::Output => (
                bytes_at(&machine.output, leaf),
                machine.trees().output.path(leaf).collect(),
            ),
        };
        self.words.extend(leaf_words(&bytes));
        self.words.extend(path);
        Ok(())
    }

    fn open_source(&mut self, from: Source) -> Result<(), MachineFault> {
        match from {
            Source::Memory(memory, at) => self.open(Place::Memory(memory), byte_leaf(at)),
            Source::Table(table, at) => self.open(Place::Table(table), slot_leaf(at)),
            Source::Segments(at) => self.open(Place::Segments, byte_leaf(at)),
            Source::Archive(at) => self.open(Place::Archive, byte_leaf(at)),
            Source::Header(_) | Source::Fill(_) => Ok(()),
        }
    }

    fn open_target(&mut self, to: Target) -> Result<(), MachineFault> {
        match to {
            Target::Memory(memory, at) => self.open(Place::Memory(memory), byte_leaf(at)),
            Target::Table(table, at) => self.open(Place::Table(table), slot_leaf(at)),
            Target::Output(at) => self.open(Place::Output, byte_leaf(at)),
        }
    }

    fn open_memory(&mut self, memory: u8) -> Result<(), MachineFault> {
        self.open(Place::MemoryDescriptors, descriptor_leaf(memory))
    }

    fn open_table(&mut self, table: u8) -> Result<(), MachineFault> {
        self.open(Place::TableDescriptors, descriptor_leaf(table))
    }
}

fn byte_leaf(at: u64) -> u64 {
    at / tree::BYTES as u64
}

fn slot_leaf(at: u64) -> u64 {
    at / tree::SLOTS as u64
}

fn descriptor_leaf(index: u8) -> u64 {
    u64::from(index) / Descriptor::PER_LEAF as u64
}

impl<A: Archive> State for Recorder<'_, A> {
    type Fault = MachineFault;

    fn slot(&mut self, slot: u16) -> Result<u64, MachineFault> {
        self.open(Place::Frame, slot_leaf(slot.into()))?;
        State::slot(self.machine, slot)
    }
    fn set_slot(&mut self, slot: u16, value: u64) -> Result<(), MachineFault> {
        self.open(Place::Frame, slot_leaf(slot.into()))?;
        State::set_slot(self.machine, slot, value)
    }
    fn charge(&mut self, cycles: u64) -> bool {
        State::charge(self.machine, cycles)
    }
    fn slots(&self) -> (u32, u32) {
        State::slots(self.machine)
    }
    fn set_slots(&mut self, slots: u32) {
        State::set_slots(self.machine, slots);
    }
    fn pc(&self) -> u32 {
        State::pc(self.machine)
    }
    fn progress(&self) -> (bool, u64) {
        State::progress(self.machine)
    }
    fn set_progress(&mut self, second: bool, progress: u64) {
        State::set_progress(self.machine, second, progress);
    }
    fn enter(
        &mut self,
        frame_size: u16,
        first: u16,
        count: u16,
        result: u16,
    ) -> Result<(), MachineFault> {
        for argument in first..first + count {
            self.slot(argument)?;
        }
        State::enter(self.machine, frame_size, first, count, result)
    }
    fn has_caller(&self) -> bool {
        State::has_caller(self.machine)
    }
    fn leave(&mut self, result: Option<u64>, keep: bool) -> Result<u32, MachineFault> {
        if keep {
            self.counters()?;
        }
        if let Some(record) = self.machine.caller_words() {
            self.words.extend(record.to_words());
            if result.is_some() {
                self.open(Place::CallerFrame, slot_leaf(record.result_slot.into()))?;
            }
        }
        State::leave(self.machine, result, keep)
    }
    fn result(&mut self, slot: u16) -> Result<u64, MachineFault> {
        self.counters()?;
        self.open(Place::ResultsFrame, slot_leaf(slot.into()))?;
        State::result(self.machine, slot)
    }
    fn drop_results(&mut self) {
        State::drop_results(self.machine);
    }
    fn global(&mut self, global: u32) -> Result<u64, MachineFault> {
        self.open(Place::Globals, slot_leaf(global.into()))?;
        State::global(self.machine, global)
    }
    fn set_global(&mut self, global: u32, value: u64) -> Result<(), MachineFault> {
        self.open(Place::Globals, slot_leaf(global.into()))?;
        State::set_global(self.machine, global, value)
    }
    fn counters(&mut self) -> Result<Counters, MachineFault> {
        if !std::mem::replace(&mut self.rest, true) {
            self.words.extend(self.commitment.rest.to_words());
        }
        State::counters(self.machine)
    }
    fn set_output_length(&mut self, bytes: u64) {
        State::set_output_length(self.machine, bytes);
    }
    fn context(&mut self) -> Result<ContextFacts, MachineFault> {
        if !std::mem::replace(&mut self.context, true) {
            self.words.extend(self.commitment.context.to_words());
        }
        State::context(self.machine)
    }
    fn memory_bytes(&mut self, memory: u8) -> Result<u64, MachineFault> {
        self.open_memory(memory)?;
        State::memory_bytes(self.machine, memory)
    }
    fn memory(&mut self, memory: u8) -> Result<Extent, MachineFault> {
        self.open_memory(memory)?;
        State::memory(self.machine, memory)
    }
    fn grow_memory(&mut self, memory: u8, pages: u32) {
        State::grow_memory(self.machine, memory, pages);
    }
    fn load(&mut self, memory: u8, address: u64, bytes: u32) -> Result<u64, MachineFault> {
        self.open(Place::Memory(memory), byte_leaf(address))?;
        State::load(self.machine, memory, address, bytes)
    }
    fn store(
        &mut self,
        memory: u8,
        address: u64,
        bytes: u32,
        value: u64,
    ) -> Result<(), MachineFault> {
        self.open(Place::Memory(memory), byte_leaf(address))?;
        State::store(self.machine, memory, address, bytes, value)
    }
    fn table(&mut self, table: u8) -> Result<Extent, MachineFault> {
        self.open_table(table)?;
        State::table(self.machine, table)
    }
    fn grow_table(&mut self, table: u8, entries: u32) {
        State::grow_table(self.machine, table, entries);
    }
    fn entry(&mut self, table: u8, index: u32) -> Result<u64, MachineFault> {
        self.open(Place::Table(table), slot_leaf(index.into()))?;
        State::entry(self.machine, table, index)
    }
    fn set_entry(&mut self, table: u8, index: u32, value: u64) -> Result<(), MachineFault> {
        self.open(Place::Table(table), slot_leaf(index.into()))?;
        State::set_entry(self.machine, table, index, value)
    }
    fn move_part(&mut self, from: Source, to: Target, count: u64) -> Result<(), MachineFault> {
        self.open_source(from)?;
        self.open_target(to)?;
        State::move_part(self.machine, from, to, count)
    }
}

/// A leaf that a proof opened.
struct Opened {
    place: Place,
    index: u64,
    bytes: Leaf,
    path: Vec<B256>,
    changed: bool,
}

impl Opened {
    fn root(&self) -> B256 {
        root_of(keccak256(self.bytes), self.index, &self.path)
    }

    fn slot(&self, slot: u64) -> u64 {
        let start = 8 * (slot as usize % tree::SLOTS);
        self.bytes[start..start + 8]
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    fn set_slot(&mut self, slot: u64, value: u64) {
        let start = 8 * (slot as usize % tree::SLOTS);
        self.bytes[start..start + 8].copy_from_slice(&value.to_be_bytes());
        self.changed = true;
    }
}

/// A state of which nothing is known but what a proof opens.
struct Replay<'p> {
    words: std::slice::Iter<'p, B256>,
    state: StateWords,
    rest: Option<Rest>,
    context: Option<Context>,
    opened: Vec<Opened>,
    /// The frame to which a `Return` goes back.
    caller: Option<(B256, u16)>,
}

/// Executes one step on a proof alone, as the chain does: the hash of the state after it.
///
/// # Errors
/// [`ProofError`]: the proof is not one of a step from `before`.
pub fn replay(before: B256, proof: &[u8]) -> Result<B256, ProofError> {
    let (chunks, rest) = proof.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(ProofError::TooShort);
    }
    let words: Vec<B256> = chunks.iter().map(|chunk| B256::from(*chunk)).collect();
    if let [_, _, _, _] = words[..] {
        let domain = keccak256("outcry.halted.v1");
        let preimage: Vec<u8> = std::iter::once(&domain)
            .chain(&words)
            .flat_map(|word| word.0)
            .collect();
        return if keccak256(preimage) == before {
            Ok(before)
        } else {
            Err(ProofError::Mismatch)
        };
    }
    let mut words = words.iter();
    let taken = take::<{ StateWords::COUNT }>(&mut words)?;
    let state = StateWords::of(&taken);
    // Here and below: a part that is taken apart must be all of its words, unused bits included.
    if state.to_words() != taken || state.hash() != before {
        return Err(ProofError::Mismatch);
    }
    let pc = state.registers.pc;
    let index = u64::from(pc) / LEAF_INSTRUCTIONS as u64;
    let (leaf, path) = take_leaf(&mut words, state.shape.code_depth)?;
    if root_of(keccak256(leaf), index, &path) != state.code {
        return Err(ProofError::Mismatch);
    }
    let start = pc as usize % LEAF_INSTRUCTIONS * Instruction::BYTES;
    let mut bytes = [0; Instruction::BYTES];
    bytes.copy_from_slice(&leaf[start..start + Instruction::BYTES]);
    let mut replay = Replay {
        words,
        state,
        rest: None,
        context: None,
        opened: Vec::new(),
        caller: None,
    };
    let step = transition::step(&mut replay, &Instruction::from_bytes(bytes));
    let after = match step {
        Ok(next) => replay.after(next)?,
        Err(Stop::Halt(end)) => replay.halted(end)?,
        Err(Stop::Fault(error)) => return Err(error),
    };
    match replay.words.next() {
        None => Ok(after),
        Some(_) => Err(ProofError::TooLong),
    }
}

/// The same in a run that stops at a point: a state whose cycle register has reached it follows itself,
/// and its proof is the state's words without the domain.
///
/// # Errors
/// As [`replay`].
pub fn replay_until(before: B256, proof: &[u8], point: Point) -> Result<B256, ProofError> {
    let (chunks, rest) = proof.as_chunks::<32>();
    let Some((state, more)) = chunks.split_first_chunk::<{ StateWords::COUNT }>() else {
        return replay(before, proof);
    };
    let words = state.map(B256::from);
    if StateWords::of(&words).registers.cycles < point.get() {
        return replay(before, proof);
    }
    if !more.is_empty() || !rest.is_empty() {
        return Err(ProofError::TooLong);
    }
    if StateWords::hash_of(&words) == before {
        Ok(before)
    } else {
        Err(ProofError::Mismatch)
    }
}

fn take<const N: usize>(words: &mut std::slice::Iter<'_, B256>) -> Result<[B256; N], ProofError> {
    let mut taken = [B256::ZERO; N];
    for word in &mut taken {
        *word = *words.next().ok_or(ProofError::TooShort)?;
    }
    Ok(taken)
}

fn take_leaf(
    words: &mut std::slice::Iter<'_, B256>,
    depth: u8,
) -> Result<(Leaf, Vec<B256>), ProofError> {
    let mut leaf = [0; tree::BYTES];
    for (chunk, word) in leaf.chunks_exact_mut(32).zip(take::<4>(words)?) {
        chunk.copy_from_slice(word.as_slice());
    }
    let path: Vec<B256> = words.by_ref().take(depth.into()).copied().collect();
    if path.len() < depth.into() {
        return Err(ProofError::TooShort);
    }
    Ok((leaf, path))
}

impl Replay<'_> {
    fn root(&mut self, place: Place) -> Result<(B256, u8), ProofError> {
        let shape = self.state.shape;
        Ok(match place {
            Place::Frame => (
                self.state.frame,
                frame_depth(self.state.registers.frame_size),
            ),
            Place::CallerFrame => {
                let (frame, size) = self.caller.ok_or(ProofError::Malformed)?;
                (frame, frame_depth(size))
            }
            Place::ResultsFrame => {
                let rest = self.rest()?;
                (rest.results, frame_depth(rest.results_size))
            }
            Place::Globals => (self.state.globals, shape.globals_depth),
            Place::MemoryDescriptors => (self.state.memories, shape.memories_depth),
            Place::TableDescriptors => (self.rest()?.tables, shape.tables_depth),
            Place::Memory(memory) => {
                let descriptor = self.descriptor(Place::MemoryDescriptors, memory)?;
                (descriptor.root, descriptor.depth)
            }
            Place::Table(table) => {
                let descriptor = self.descriptor(Place::TableDescriptors, table)?;
                (descriptor.root, descriptor.depth)
            }
            Place::Segments => (self.context_words()?.segments, shape.segments_depth),
            Place::Archive => {
                let context = self.context_words()?;
                let leaves = context.header.archive_bytes.div_ceil(tree::BYTES as u64);
                (context.archive, levels(leaves))
            }
            Place::Output => {
                let limit = self.context_words()?.header.output_limit_bytes;
                (self.rest()?.output, output_depth(limit))
            }
        })
    }

    fn open(&mut self, place: Place, index: u64) -> Result<&mut Opened, ProofError> {
        let known = self
            .opened
            .iter()
            .position(|opened| opened.place == place && opened.index == index);
        let at = match known {
            Some(at) => at,
            None => {
                let (root, depth) = self.root(place)?;
                let (bytes, path) = take_leaf(&mut self.words, depth)?;
                let opened = Opened {
                    place,
                    index,
                    bytes,
                    path,
                    changed: false,
                };
                if index.checked_shr(depth.into()).unwrap_or(0) != 0 || opened.root() != root {
                    return Err(ProofError::Mismatch);
                }
                self.opened.push(opened);
                self.opened.len() - 1
            }
        };
        Ok(&mut self.opened[at])
    }

    fn rest(&mut self) -> Result<&mut Rest, ProofError> {
        if self.rest.is_none() {
            let taken = take(&mut self.words)?;
            let rest = Rest::of(&taken);
            if rest.to_words() != taken || rest.hash() != self.state.rest {
                return Err(ProofError::Mismatch);
            }
            self.rest = Some(rest);
        }
        self.rest.as_mut().ok_or(ProofError::Malformed)
    }

    fn context_words(&mut self) -> Result<&Context, ProofError> {
        if self.context.is_none() {
            let expected = self.rest()?.context;
            let taken = take(&mut self.words)?;
            let context = Context::of(&taken);
            if context.to_words() != taken || context.hash() != expected {
                return Err(ProofError::Mismatch);
            }
            self.context = Some(context);
        }
        self.context.as_ref().ok_or(ProofError::Malformed)
    }

    fn descriptor(&mut self, place: Place, index: u8) -> Result<Descriptor, ProofError> {
        let opened = self.open(place, descriptor_leaf(index))?;
        let start = usize::from(index) % Descriptor::PER_LEAF * 64;
        Ok(Descriptor::of([
            B256::from_slice(&opened.bytes[start..start + 32]),
            B256::from_slice(&opened.bytes[start + 32..start + 64]),
        ]))
    }

    fn set_descriptor(
        &mut self,
        place: Place,
        index: u8,
        change: impl FnOnce(&mut Descriptor),
    ) -> Result<(), ProofError> {
        let mut descriptor = self.descriptor(place, index)?;
        change(&mut descriptor);
        let opened = self.open(place, descriptor_leaf(index))?;
        let start = usize::from(index) % Descriptor::PER_LEAF * 64;
        opened.bytes[start..start + 64].copy_from_slice(&descriptor.to_bytes());
        opened.changed = true;
        Ok(())
    }

    /// The hash of the state after a step that did not halt.
    fn after(&mut self, next: Next) -> Result<B256, ProofError> {
        let pc = &mut self.state.registers.pc;
        match next {
            Next::Follow => *pc = pc.wrapping_add(1),
            Next::Stay => {}
            Next::Jump(target) | Next::Entered(target) | Next::Left(target) => *pc = target,
        }
        // Memories and tables first: their roots are in descriptors, which are leaves themselves.
        let changed: Vec<(Place, B256)> = self
            .opened
            .iter()
            .filter(|opened| opened.changed)
            .map(|opened| (opened.place, opened.root()))
            .collect();
        for (place, root) in changed {
            match place {
                Place::Memory(memory) => {
                    self.set_descriptor(Place::MemoryDescriptors, memory, |d| d.root = root)?;
                }
                Place::Table(table) => {
                    self.set_descriptor(Place::TableDescriptors, table, |d| d.root = root)?;
                }
                _ => {}
            }
        }
        for at in 0..self.opened.len() {
            let opened = &self.opened[at];
            if !opened.changed {
                continue;
            }
            let root = opened.root();
            match opened.place {
                Place::Frame | Place::CallerFrame => self.state.frame = root,
                Place::Globals => self.state.globals = root,
                Place::MemoryDescriptors => self.state.memories = root,
                Place::TableDescriptors => self.rest()?.tables = root,
                Place::Output => self.rest()?.output = root,
                // Into descriptors, above; the others never change.
                Place::Memory(_)
                | Place::Table(_)
                | Place::ResultsFrame
                | Place::Segments
                | Place::Archive => {}
            }
        }
        if let Some(rest) = &self.rest {
            self.state.rest = rest.hash();
        }
        Ok(self.state.hash())
    }

    /// The halted state.
    fn halted(&mut self, end: End) -> Result<B256, ProofError> {
        let rest = self.rest()?.clone();
        let header = self.context_words()?.header;
        let outcome = end.outcome(header.output_limit_bytes, || {
            (rest.output, rest.output_length)
        });
        let halted = Halted {
            cycles: self.state.registers.cycles,
            outcome,
        };
        Ok(halted.hash(header.job_hash, header.task))
    }

    fn header_bytes(&mut self) -> Result<[u8; TaskHeader::BYTES], ProofError> {
        Ok(self.context_words()?.header.to_bytes())
    }
}

/// `count` items from `at`, where a part never leaves its leaf.
fn within(at: u64, count: u64, unit: u64, bytes: usize) -> std::ops::Range<usize> {
    let start = (at % unit) as usize * bytes;
    start..start + count as usize * bytes
}

impl State for Replay<'_> {
    type Fault = ProofError;

    fn slot(&mut self, slot: u16) -> Result<u64, ProofError> {
        let leaf = self.open(Place::Frame, slot_leaf(slot.into()))?;
        Ok(leaf.slot(slot.into()))
    }
    fn set_slot(&mut self, slot: u16, value: u64) -> Result<(), ProofError> {
        let leaf = self.open(Place::Frame, slot_leaf(slot.into()))?;
        leaf.set_slot(slot.into(), value);
        Ok(())
    }
    fn charge(&mut self, cycles: u64) -> bool {
        let limit = self.state.shape.cycle_limit;
        let used = self.state.registers.cycles.saturating_add(cycles);
        self.state.registers.cycles = used.min(limit);
        used <= limit
    }
    fn slots(&self) -> (u32, u32) {
        (self.state.registers.slots, self.state.shape.slot_limit)
    }
    fn set_slots(&mut self, slots: u32) {
        self.state.registers.slots = slots;
    }
    fn pc(&self) -> u32 {
        self.state.registers.pc
    }
    fn progress(&self) -> (bool, u64) {
        let registers = &self.state.registers;
        (registers.second, registers.progress)
    }
    fn set_progress(&mut self, second: bool, progress: u64) {
        self.state.registers.second = second;
        self.state.registers.progress = progress;
    }
    fn enter(
        &mut self,
        frame_size: u16,
        first: u16,
        count: u16,
        result: u16,
    ) -> Result<(), ProofError> {
        let mut arguments = Vec::with_capacity(count.into());
        for argument in first..first.saturating_add(count) {
            arguments.push(self.slot(argument)?);
        }
        let registers = &mut self.state.registers;
        self.state.callers = CallerWords {
            callers: self.state.callers,
            frame: self.state.frame,
            return_pc: registers.pc.wrapping_add(1),
            frame_size: registers.frame_size,
            result_slot: result,
        }
        .hash();
        registers.frame_size = frame_size;
        self.state.frame = root_of_slots(frame_depth(frame_size), &arguments);
        Ok(())
    }
    fn has_caller(&self) -> bool {
        self.state.callers != B256::ZERO
    }
    fn leave(&mut self, result: Option<u64>, keep: bool) -> Result<u32, ProofError> {
        if keep {
            let (frame, size) = (self.state.frame, self.state.registers.frame_size);
            let rest = self.rest()?;
            rest.results = frame;
            rest.results_size = size;
        }
        let taken = take(&mut self.words)?;
        let record = CallerWords::of(taken);
        if record.to_words() != taken || record.hash() != self.state.callers {
            return Err(ProofError::Mismatch);
        }
        self.caller = Some((record.frame, record.frame_size));
        self.state.callers = record.callers;
        if let Some(value) = result {
            let slot = record.result_slot.into();
            let leaf = self.open(Place::CallerFrame, slot_leaf(slot))?;
            leaf.set_slot(slot, value);
        }
        self.state.frame = record.frame;
        self.state.registers.frame_size = record.frame_size;
        Ok(record.return_pc)
    }
    fn result(&mut self, slot: u16) -> Result<u64, ProofError> {
        let leaf = self.open(Place::ResultsFrame, slot_leaf(slot.into()))?;
        Ok(leaf.slot(slot.into()))
    }
    fn drop_results(&mut self) {
        if let Some(rest) = &mut self.rest {
            rest.results = B256::ZERO;
            rest.results_size = 0;
        }
    }
    fn global(&mut self, global: u32) -> Result<u64, ProofError> {
        let leaf = self.open(Place::Globals, slot_leaf(global.into()))?;
        Ok(leaf.slot(global.into()))
    }
    fn set_global(&mut self, global: u32, value: u64) -> Result<(), ProofError> {
        let leaf = self.open(Place::Globals, slot_leaf(global.into()))?;
        leaf.set_slot(global.into(), value);
        Ok(())
    }
    fn counters(&mut self) -> Result<Counters, ProofError> {
        let rest = self.rest()?;
        Ok(Counters {
            output_length: rest.output_length,
            pages: rest.pages,
        })
    }
    fn set_output_length(&mut self, bytes: u64) {
        if let Some(rest) = &mut self.rest {
            rest.output_length = bytes;
        }
    }
    fn context(&mut self) -> Result<ContextFacts, ProofError> {
        let header = &self.context_words()?.header;
        Ok(ContextFacts {
            archive_length: header.archive_bytes,
            output_limit: header.output_limit_bytes,
            page_limit: header.page_limit,
        })
    }
    fn memory_bytes(&mut self, memory: u8) -> Result<u64, ProofError> {
        Ok(u64::from(self.memory(memory)?.size) << 16)
    }
    fn memory(&mut self, memory: u8) -> Result<Extent, ProofError> {
        let Descriptor { size, maximum, .. } = self.descriptor(Place::MemoryDescriptors, memory)?;
        Ok(Extent { size, maximum })
    }
    fn grow_memory(&mut self, memory: u8, pages: u32) {
        // Its descriptor and the rest are open: the transition looked at both.
        let _ = self.set_descriptor(Place::MemoryDescriptors, memory, |descriptor| {
            descriptor.size = descriptor.size.wrapping_add(pages);
        });
        if let Some(rest) = &mut self.rest {
            rest.pages = rest.pages.wrapping_add(pages);
        }
    }
    fn load(&mut self, memory: u8, address: u64, bytes: u32) -> Result<u64, ProofError> {
        let leaf = self.open(Place::Memory(memory), byte_leaf(address))?;
        let range = within(address, bytes.into(), tree::BYTES as u64, 1);
        Ok(leaf.bytes[range]
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }
    fn store(
        &mut self,
        memory: u8,
        address: u64,
        bytes: u32,
        value: u64,
    ) -> Result<(), ProofError> {
        let leaf = self.open(Place::Memory(memory), byte_leaf(address))?;
        let range = within(address, bytes.into(), tree::BYTES as u64, 1);
        leaf.bytes[range].copy_from_slice(&value.to_le_bytes()[..bytes as usize]);
        leaf.changed = true;
        Ok(())
    }
    fn table(&mut self, table: u8) -> Result<Extent, ProofError> {
        let Descriptor { size, maximum, .. } = self.descriptor(Place::TableDescriptors, table)?;
        Ok(Extent { size, maximum })
    }
    fn grow_table(&mut self, table: u8, entries: u32) {
        // Its descriptor is open: the transition looked at it.
        let _ = self.set_descriptor(Place::TableDescriptors, table, |descriptor| {
            descriptor.size = descriptor.size.wrapping_add(entries);
        });
    }
    fn entry(&mut self, table: u8, index: u32) -> Result<u64, ProofError> {
        let leaf = self.open(Place::Table(table), slot_leaf(index.into()))?;
        Ok(leaf.slot(index.into()))
    }
    fn set_entry(&mut self, table: u8, index: u32, value: u64) -> Result<(), ProofError> {
        let leaf = self.open(Place::Table(table), slot_leaf(index.into()))?;
        leaf.set_slot(index.into(), value);
        Ok(())
    }
    fn move_part(&mut self, from: Source, to: Target, count: u64) -> Result<(), ProofError> {
        let entries = matches!(to, Target::Table(..));
        let length = count as usize * if entries { 8 } else { 1 };
        let mut part = [0; tree::BYTES];
        let part = &mut part[..length];
        let (place, at, unit, size) = match from {
            Source::Memory(memory, at) => (Place::Memory(memory), at, tree::BYTES, 1),
            Source::Table(table, at) => (Place::Table(table), at, tree::SLOTS, 8),
            // Entries of segments are counted in bytes here.
            Source::Segments(at) => (Place::Segments, at, tree::BYTES, 1),
            Source::Archive(at) => (Place::Archive, at, tree::BYTES, 1),
            Source::Header(at) => {
                let header = self.header_bytes()?;
                part.copy_from_slice(&header[at as usize..at as usize + length]);
                return self.put_part(to, part);
            }
            Source::Fill(value) if entries => {
                for chunk in part.chunks_exact_mut(8) {
                    chunk.copy_from_slice(&value.to_be_bytes());
                }
                return self.put_part(to, part);
            }
            Source::Fill(value) => {
                part.fill(value as u8);
                return self.put_part(to, part);
            }
        };
        let leaf = self.open(place, at / unit as u64)?;
        let start = (at % unit as u64) as usize * size;
        part.copy_from_slice(&leaf.bytes[start..start + length]);
        self.put_part(to, part)
    }
}

impl Replay<'_> {
    fn put_part(&mut self, to: Target, part: &[u8]) -> Result<(), ProofError> {
        let (place, leaf, start) = match to {
            Target::Memory(memory, at) => (
                Place::Memory(memory),
                byte_leaf(at),
                at as usize % tree::BYTES,
            ),
            Target::Table(table, at) => (
                Place::Table(table),
                slot_leaf(at),
                at as usize % tree::SLOTS * 8,
            ),
            Target::Output(at) => (Place::Output, byte_leaf(at), at as usize % tree::BYTES),
        };
        let leaf = self.open(place, leaf)?;
        leaf.bytes[start..start + part.len()].copy_from_slice(part);
        leaf.changed = true;
        Ok(())
    }
}
