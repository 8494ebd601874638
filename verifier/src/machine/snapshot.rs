//! Copies of a machine that share what did not change.
//!
//! A dispute asks for states all over a run, again and again in ever smaller parts of it. A snapshot
//! keeps one state for later; it costs the pages written since the last one.

use std::sync::Arc;

use alloy_primitives::B256;

use super::commit::Registers;
use super::state::{Archive, Caller, Machine, Memory, PAGE_BYTES};
use super::transition::Counters;
use super::tree::{self, Dirty, Tree};
use crate::task::Halted;

/// Bytes that are copied together: the leaves of one word of [`Dirty`].
const CHUNK: usize = 64 * tree::BYTES;

/// Bytes cut into chunks that snapshots share.
#[derive(Debug, Clone, Default)]
pub(super) struct Chunks {
    chunks: Vec<Arc<[u8]>>,
    bytes: usize,
}

impl Chunks {
    /// Bytes of the chunks that are not another one's, and of the list of all.
    fn bytes_beyond(&self, other: &Self) -> usize {
        let own = self.chunks.iter().enumerate().filter(|(at, chunk)| {
            !other
                .chunks
                .get(*at)
                .is_some_and(|shared| Arc::ptr_eq(chunk, shared))
        });
        own.map(|(_, chunk)| chunk.len()).sum::<usize>()
            + self.chunks.len() * size_of::<Arc<[u8]>>()
    }
}

/// What the last snapshot or restoration had, and what was written since.
#[derive(Debug, Default)]
pub(super) struct Base {
    chunks: Chunks,
    /// Chunks written since, besides those whose leaves are marked dirty still.
    changed: Vec<bool>,
}

impl Base {
    /// Remembers which chunks have dirty leaves: they are about to be forgotten by a commitment.
    pub(super) fn note(&mut self, dirty: &Dirty) {
        self.changed.resize(dirty.words().len(), false);
        for (changed, word) in self.changed.iter_mut().zip(dirty.words()) {
            *changed |= *word != 0;
        }
    }

    /// A snapshot of bytes whose writes since are in `dirty` or were noted.
    fn take(&mut self, bytes: &[u8], dirty: &Dirty, all: bool) -> Chunks {
        self.note(dirty);
        let mut chunks = Vec::with_capacity(bytes.len().div_ceil(CHUNK));
        for (at, part) in bytes.chunks(CHUNK).enumerate() {
            let changed = all || self.changed.get(at).copied().unwrap_or(true);
            let known = self.chunks.chunks.get(at);
            chunks.push(match known {
                Some(known) if !changed && known.len() == part.len() => Arc::clone(known),
                _ => Arc::from(part),
            });
        }
        self.chunks = Chunks {
            chunks,
            bytes: bytes.len(),
        };
        self.changed.clear();
        self.changed.resize(dirty.words().len(), false);
        self.chunks.clone()
    }

    /// Makes bytes those of a snapshot, and marks the leaves that changed thereby.
    fn give(&mut self, snapshot: &Chunks, bytes: &mut Vec<u8>, dirty: &mut Dirty, all: bool) {
        self.note(dirty);
        // What was cut off, by a halt without output, is gone.
        let known_bytes = bytes.len();
        bytes.resize(snapshot.bytes, 0);
        dirty.resize(snapshot.bytes.div_ceil(tree::BYTES));
        for (at, part) in bytes.chunks_mut(CHUNK).enumerate() {
            let wanted = &snapshot.chunks[at];
            let same = !all
                && at * CHUNK + part.len() <= known_bytes
                && !self.changed.get(at).copied().unwrap_or(true)
                && self
                    .chunks
                    .chunks
                    .get(at)
                    .is_some_and(|known| Arc::ptr_eq(known, wanted));
            if !same {
                part.copy_from_slice(wanted);
                if let Some(word) = dirty.words_mut().get_mut(at) {
                    *word = u64::MAX;
                }
            }
        }
        self.chunks = snapshot.clone();
        self.changed.clear();
        self.changed.resize(dirty.words().len(), false);
    }
}

/// A state of a run, to which its machine can go back, or on.
#[derive(Debug, Clone)]
pub struct Snapshot {
    registers: Registers,
    steps: u64,
    stack: Vec<u64>,
    frame: usize,
    callers: Vec<Caller>,
    chain: Vec<B256>,
    results_size: u16,
    memories: Vec<Chunks>,
    tables: Vec<Vec<u64>>,
    globals: Vec<u64>,
    counters: Counters,
    output: Chunks,
    halted: Option<Halted>,
}

impl Snapshot {
    /// Steps made when it was taken.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Bytes that it takes besides those that it shares with another one, of a state before.
    #[must_use]
    pub fn bytes_beyond(&self, other: Option<&Self>) -> u64 {
        let none = Chunks::default();
        let shared = |at: usize| other.map_or(&none, |other| &other.memories[at]);
        let memories = self.memories.iter().enumerate();
        let chunks: usize = memories
            .map(|(at, memory)| memory.bytes_beyond(shared(at)))
            .sum();
        let output = other.map_or(&none, |other| &other.output);
        let slots: usize =
            self.tables.iter().map(Vec::len).sum::<usize>() + self.stack.len() + self.globals.len();
        let bytes = chunks
            + self.output.bytes_beyond(output)
            + slots * size_of::<u64>()
            + self.callers.len() * size_of::<Caller>()
            + self.chain.len() * size_of::<B256>()
            + size_of::<Self>();
        bytes as u64
    }
}

impl<A: Archive> Machine<A> {
    /// Keeps this state. Costs what was written since the last snapshot.
    pub fn snapshot(&mut self) -> Snapshot {
        let all = self.untracked;
        let memories = self
            .memories
            .iter_mut()
            .map(|memory| memory.base.take(&memory.bytes, &memory.dirty, all))
            .collect();
        let top =
            self.frame + usize::from(self.registers.frame_size) + usize::from(self.results_size);
        Snapshot {
            registers: self.registers,
            steps: self.steps,
            stack: self.stack[..top].to_vec(),
            frame: self.frame,
            callers: self.callers.clone(),
            chain: self.chain.clone(),
            results_size: self.results_size,
            memories,
            tables: self.tables.iter().map(|t| t.entries.clone()).collect(),
            globals: self.globals.clone(),
            counters: self.counters,
            output: self.output_base.take(&self.output, &self.output_dirty, all),
            halted: self.halted,
        }
    }

    /// Goes to a state of the same run. Costs what differs from here.
    ///
    /// The snapshot must be of this machine, or of one that runs the same task.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        let all = self.untracked;
        self.registers = snapshot.registers;
        self.steps = snapshot.steps;
        self.stack[..snapshot.stack.len()].copy_from_slice(&snapshot.stack);
        self.frame = snapshot.frame;
        self.callers.clear();
        self.callers.extend_from_slice(&snapshot.callers);
        self.chain.clone_from(&snapshot.chain);
        self.results_size = snapshot.results_size;
        self.counters = snapshot.counters;
        self.halted = snapshot.halted;
        let trees = &mut self.trees;
        for (at, (memory, wanted)) in self.memories.iter_mut().zip(&snapshot.memories).enumerate() {
            let Memory {
                bytes, dirty, base, ..
            } = memory;
            base.give(wanted, bytes, dirty, all);
            shorten(
                trees.as_mut().and_then(|trees| trees.memories.get_mut(at)),
                bytes.len(),
                dirty,
            );
        }
        self.output_base.give(
            &snapshot.output,
            &mut self.output,
            &mut self.output_dirty,
            all,
        );
        shorten(
            trees.as_mut().map(|trees| &mut trees.output),
            self.output.len(),
            &mut self.output_dirty,
        );
        for (at, (table, wanted)) in self.tables.iter_mut().zip(&snapshot.tables).enumerate() {
            if table.entries != *wanted {
                table.entries.clone_from(wanted);
                table.dirty.resize(wanted.len().div_ceil(tree::SLOTS));
                table.dirty.mark_all();
                if let Some(tree) = trees.as_mut().and_then(|trees| trees.tables.get_mut(at)) {
                    tree.shorten(wanted.len().div_ceil(tree::SLOTS));
                }
            }
        }
        self.globals.clone_from(&snapshot.globals);
        self.globals_dirty.mark_all();
    }
}

/// Forgets what a tree has behind so many bytes.
fn shorten(tree: Option<&mut Tree>, bytes: usize, dirty: &mut Dirty) {
    let leaves = bytes.div_ceil(tree::BYTES);
    if let Some(tree) = tree
        && tree.shorten(leaves)
        && let Some(last) = leaves.checked_sub(1)
    {
        // Its path has zeros on the right now.
        dirty.mark(last);
    }
}

const _: () = assert!(PAGE_BYTES.is_multiple_of(CHUNK));
