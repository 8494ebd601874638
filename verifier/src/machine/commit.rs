//! The words that a state, an image and a task are hashed from. `MACHINE.md` §2 and §5.

use std::convert::Infallible;
use std::sync::{Arc, LazyLock, OnceLock};

use alloy_primitives::{B256, Keccak256, U256, keccak256};

use super::isa::Instruction;
use super::program::Program;
use super::tree::{self, Tree, leaf_of_bytes, leaf_of_slots, levels};
use crate::task::{RunLimits, TaskHeader};

/// Leaves of a 64 KiB page.
pub(super) const PAGE_LEAVES: u64 = (1 << 16) / tree::BYTES as u64;
/// Instructions of a code leaf.
pub(super) const LEAF_INSTRUCTIONS: usize = tree::BYTES / Instruction::BYTES;

/// What a hash of words is of: the first word of its preimage, so that none passes for another.
#[derive(Debug, Clone, Copy)]
enum Domain {
    State,
    Rest,
    Context,
    Caller,
    Image,
}

impl Domain {
    fn word(self) -> B256 {
        static WORDS: LazyLock<[B256; 5]> = LazyLock::new(|| {
            ["state", "rest", "context", "caller", "image"]
                .map(|name| keccak256(format!("outcry.{name}.v1")))
        });
        WORDS[self as usize]
    }
}

fn hash<const WORDS: usize>(domain: Domain, words: &[B256; WORDS]) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(domain.word());
    for word in words {
        hasher.update(word);
    }
    hasher.finalize()
}

/// A word from fields, each with its width in bits, highest first; the rest is zero.
fn pack(fields: &[(u64, usize)]) -> B256 {
    let mut word = U256::ZERO;
    let mut used = 0;
    for (value, bits) in fields {
        used += bits;
        word |= U256::from(*value) << (256 - used);
    }
    word.into()
}

/// A field of a word: `bits` bits above the lowest `low`.
fn field(word: &B256, low: usize, bits: usize) -> u64 {
    let value: U256 = (*word).into();
    // At most 64 bits.
    ((value >> low) & ((U256::from(1) << bits) - U256::from(1))).to::<u64>()
}

/// S1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Registers {
    /// Cycles used.
    pub cycles: u64,
    /// The next instruction.
    pub pc: u32,
    /// Frame slots in use.
    pub slots: u32,
    /// Slots of the current frame.
    pub frame_size: u16,
    /// Whether the second step of a straddling access comes next.
    pub second: bool,
    /// What an unfinished instruction has done.
    pub progress: u64,
}

impl Registers {
    /// As a word.
    #[must_use]
    pub fn to_word(&self) -> B256 {
        pack(&[
            (self.cycles, 64),
            (self.pc.into(), 32),
            (self.slots.into(), 32),
            (self.frame_size.into(), 16),
            (self.second.into(), 16),
            (0, 32),
            (self.progress, 64),
        ])
    }

    /// From a word.
    #[must_use]
    pub fn of(word: &B256) -> Self {
        Self {
            cycles: field(word, 192, 64),
            pc: field(word, 160, 32) as u32,
            slots: field(word, 128, 32) as u32,
            frame_size: field(word, 112, 16) as u16,
            second: field(word, 96, 16) != 0,
            progress: field(word, 0, 64),
        }
    }
}

/// Depth of a frame's tree.
#[must_use]
pub fn frame_depth(frame_size: u16) -> u8 {
    levels(u64::from(frame_size).div_ceil(tree::SLOTS as u64))
}

/// S2: what stays the same in a whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape {
    /// Most cycles.
    pub cycle_limit: u64,
    /// Most frame slots.
    pub slot_limit: u32,
    /// Depth of the code's tree.
    pub code_depth: u8,
    /// Depth of the globals' tree.
    pub globals_depth: u8,
    /// Depth of the tree over the memories' descriptors.
    pub memories_depth: u8,
    /// Depth of the tree over the tables' descriptors.
    pub tables_depth: u8,
    /// Depth of the segments' tree.
    pub segments_depth: u8,
}

impl Shape {
    /// As a word.
    #[must_use]
    pub fn to_word(&self) -> B256 {
        pack(&[
            (self.cycle_limit, 64),
            (self.slot_limit.into(), 32),
            (self.code_depth.into(), 8),
            (self.globals_depth.into(), 8),
            (self.memories_depth.into(), 8),
            (self.tables_depth.into(), 8),
            (self.segments_depth.into(), 8),
        ])
    }

    /// From a word.
    #[must_use]
    pub fn of(word: &B256) -> Self {
        let depth = |low| field(word, low, 8) as u8;
        Self {
            cycle_limit: field(word, 192, 64),
            slot_limit: field(word, 160, 32) as u32,
            code_depth: depth(152),
            globals_depth: depth(144),
            memories_depth: depth(136),
            tables_depth: depth(128),
            segments_depth: depth(120),
        }
    }
}

/// A running state: S1 to S8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateWords {
    /// S1.
    pub registers: Registers,
    /// S2.
    pub shape: Shape,
    /// S3.
    pub code: B256,
    /// S4.
    pub frame: B256,
    /// S5.
    pub callers: B256,
    /// S6.
    pub memories: B256,
    /// S7.
    pub globals: B256,
    /// S8.
    pub rest: B256,
}

impl StateWords {
    /// Words of a state.
    pub const COUNT: usize = 8;

    /// In order.
    #[must_use]
    pub fn to_words(&self) -> [B256; Self::COUNT] {
        [
            self.registers.to_word(),
            self.shape.to_word(),
            self.code,
            self.frame,
            self.callers,
            self.memories,
            self.globals,
            self.rest,
        ]
    }

    /// From words in order. Unused bits of the first two must be zero for the hash to be the same.
    #[must_use]
    pub fn of(words: &[B256; Self::COUNT]) -> Self {
        let [
            registers,
            shape,
            code,
            frame,
            callers,
            memories,
            globals,
            rest,
        ] = *words;
        Self {
            registers: Registers::of(&registers),
            shape: Shape::of(&shape),
            code,
            frame,
            callers,
            memories,
            globals,
            rest,
        }
    }

    /// The state's hash.
    #[must_use]
    pub fn hash(&self) -> B256 {
        Self::hash_of(&self.to_words())
    }

    /// The hash of words in order, whether or not they are a state's.
    pub(super) fn hash_of(words: &[B256; Self::COUNT]) -> B256 {
        hash(Domain::State, words)
    }
}

/// R1 to R5.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rest {
    /// R1: hash of the [`Context`].
    pub context: B256,
    /// R2.
    pub tables: B256,
    /// R3.
    pub results: B256,
    /// R4.
    pub output: B256,
    /// Bytes of output so far.
    pub output_length: u64,
    /// Pages of all memories together.
    pub pages: u32,
    /// Slots of the results frame.
    pub results_size: u16,
}

impl Rest {
    /// Words of the rest.
    pub const COUNT: usize = 5;

    /// In order.
    #[must_use]
    pub fn to_words(&self) -> [B256; Self::COUNT] {
        let counters = pack(&[
            (self.output_length, 64),
            (self.pages.into(), 32),
            (self.results_size.into(), 16),
        ]);
        [
            self.context,
            self.tables,
            self.results,
            self.output,
            counters,
        ]
    }

    /// From words in order.
    #[must_use]
    pub fn of(words: &[B256; Self::COUNT]) -> Self {
        let [context, tables, results, output, counters] = *words;
        Self {
            context,
            tables,
            results,
            output,
            output_length: field(&counters, 192, 64),
            pages: field(&counters, 160, 32) as u32,
            results_size: field(&counters, 144, 16) as u16,
        }
    }

    /// S8.
    #[must_use]
    pub fn hash(&self) -> B256 {
        hash(Domain::Rest, &self.to_words())
    }
}

/// C1 to C4: what a task is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// What the program reads as stream 0; C1 and C2 are the same fields.
    pub header: TaskHeader,
    /// C3.
    pub archive: B256,
    /// C4.
    pub segments: B256,
}

impl Context {
    /// Words of a context.
    pub const COUNT: usize = 4;

    /// In order.
    #[must_use]
    pub fn to_words(&self) -> [B256; Self::COUNT] {
        let header = &self.header;
        let fields = pack(&[
            (header.machine_version.into(), 32),
            (header.task.into(), 32),
            (header.task_count.into(), 32),
            (header.archive_bytes, 64),
            (header.output_limit_bytes, 64),
            (header.page_limit.into(), 32),
        ]);
        [header.job_hash, fields, self.archive, self.segments]
    }

    /// From words in order.
    #[must_use]
    pub fn of(words: &[B256; Self::COUNT]) -> Self {
        let [job_hash, fields, archive, segments] = *words;
        Self {
            header: TaskHeader {
                machine_version: field(&fields, 224, 32) as u32,
                job_hash,
                task: field(&fields, 192, 32) as u32,
                task_count: field(&fields, 160, 32) as u32,
                archive_bytes: field(&fields, 96, 64),
                output_limit_bytes: field(&fields, 32, 64),
                page_limit: field(&fields, 0, 32) as u32,
            },
            archive,
            segments,
        }
    }

    /// R1.
    #[must_use]
    pub fn hash(&self) -> B256 {
        hash(Domain::Context, &self.to_words())
    }
}

/// What a memory or table is to the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Descriptor {
    /// Root over its bytes or entries.
    pub root: B256,
    /// Pages or entries.
    pub size: u32,
    /// Most pages or entries.
    pub maximum: u32,
    /// Depth of its tree.
    pub depth: u8,
}

impl Descriptor {
    /// Descriptors of a leaf.
    pub const PER_LEAF: usize = 2;

    /// The two words.
    #[must_use]
    pub fn to_words(&self) -> [B256; 2] {
        let numbers = pack(&[
            (self.size.into(), 32),
            (self.maximum.into(), 32),
            (self.depth.into(), 8),
        ]);
        [self.root, numbers]
    }

    /// From the two words.
    #[must_use]
    pub fn of([root, numbers]: [B256; 2]) -> Self {
        Self {
            root,
            size: field(&numbers, 224, 32) as u32,
            maximum: field(&numbers, 192, 32) as u32,
            depth: field(&numbers, 184, 8) as u8,
        }
    }

    /// 64 bytes of a leaf.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        for (chunk, word) in bytes.chunks_exact_mut(32).zip(self.to_words()) {
            chunk.copy_from_slice(word.as_slice());
        }
        bytes
    }
}

/// Depth of the tree over so many descriptors.
#[must_use]
pub fn descriptors_depth(count: usize) -> u8 {
    levels(count.div_ceil(Descriptor::PER_LEAF) as u64)
}

/// The tree over descriptors.
#[must_use]
pub fn descriptor_tree(descriptors: &[Descriptor]) -> Tree {
    let bytes: Vec<u8> = descriptors.iter().flat_map(Descriptor::to_bytes).collect();
    Tree::over_bytes(descriptors_depth(descriptors.len()), &bytes)
}

/// A caller's record: what `Call` leaves and `Return` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerWords {
    /// The caller's own callers.
    pub callers: B256,
    /// The caller's frame.
    pub frame: B256,
    /// Where the caller goes on.
    pub return_pc: u32,
    /// Slots of the caller's frame.
    pub frame_size: u16,
    /// Where a single result goes.
    pub result_slot: u16,
}

impl CallerWords {
    /// Words of a record.
    pub const COUNT: usize = 3;

    /// In order.
    #[must_use]
    pub fn to_words(&self) -> [B256; Self::COUNT] {
        let numbers = pack(&[
            (self.return_pc.into(), 32),
            (self.frame_size.into(), 16),
            (self.result_slot.into(), 16),
        ]);
        [self.callers, self.frame, numbers]
    }

    /// From words in order.
    #[must_use]
    pub fn of([callers, frame, numbers]: [B256; Self::COUNT]) -> Self {
        Self {
            callers,
            frame,
            return_pc: field(&numbers, 224, 32) as u32,
            frame_size: field(&numbers, 208, 16) as u16,
            result_slot: field(&numbers, 192, 16) as u16,
        }
    }

    /// What S5 is inside the call.
    #[must_use]
    pub fn hash(&self) -> B256 {
        hash(Domain::Caller, &self.to_words())
    }
}

/// A program with its commitments: what a machine is started from.
#[derive(Debug)]
pub struct CommittedProgram {
    program: Arc<Program>,
    pub(super) code: Tree,
    pub(super) memories: Vec<Tree>,
    pub(super) tables: Vec<Tree>,
    pub(super) globals: Tree,
    pub(super) segments: Tree,
    /// The code as the interpreter wants it, once it runs.
    interpreted: OnceLock<Vec<Instruction>>,
}

/// What a tree of a program is over.
enum Leaves<'p> {
    Code(&'p [Instruction]),
    Bytes(&'p [u8]),
    Slots(&'p [u64]),
}

impl Leaves<'_> {
    fn count(&self) -> usize {
        match self {
            Self::Code(instructions) => instructions.len().div_ceil(LEAF_INSTRUCTIONS),
            Self::Bytes(bytes) => bytes.len().div_ceil(tree::BYTES),
            Self::Slots(slots) => slots.len().div_ceil(tree::SLOTS),
        }
    }

    fn hashes(&self) -> Vec<B256> {
        match self {
            Self::Code(instructions) => instructions
                .chunks(LEAF_INSTRUCTIONS)
                .map(|chunk| keccak256(code_leaf(chunk)))
                .collect(),
            Self::Bytes(bytes) => bytes.chunks(tree::BYTES).map(leaf_of_bytes).collect(),
            Self::Slots(slots) => slots.chunks(tree::SLOTS).map(leaf_of_slots).collect(),
        }
    }
}

impl CommittedProgram {
    /// Hashes a program.
    #[must_use]
    pub fn new(program: Arc<Program>) -> Self {
        let hashed = |depth, leaves: Leaves<'_>| Ok(Tree::over(depth, leaves.hashes()));
        match Self::over::<Infallible>(program, hashed) {
            Ok(committed) => committed,
            Err(never) => match never {},
        }
    }

    /// A program with the trees that [`CommittedProgram::trees`] gave of it, without hashing anything:
    /// for a cache, to be checked by comparing [`CommittedProgram::image_root`]. `None` if they are not
    /// as many as this program's. Trees that are damaged inside make proofs that nobody accepts, and no
    /// other harm.
    #[must_use]
    pub fn with_trees(program: Arc<Program>, trees: &[u8]) -> Option<Self> {
        let mut rest = trees;
        let taken = Self::over(program, |depth, leaves| {
            Tree::take(depth, leaves.count(), &mut rest).ok_or(())
        });
        taken.ok().filter(|_| rest.is_empty())
    }

    /// Leaves that were hashed: of code, memories, tables, globals and segments.
    #[must_use]
    pub fn leaves(&self) -> usize {
        self.all_trees().map(Tree::leaves).sum()
    }

    fn all_trees(&self) -> impl Iterator<Item = &Tree> {
        [&self.code, &self.globals, &self.segments]
            .into_iter()
            .chain(&self.memories)
            .chain(&self.tables)
    }

    /// All nodes of the trees over the program: what [`CommittedProgram::with_trees`] takes.
    #[must_use]
    pub fn trees(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for node in self.all_trees().flat_map(Tree::nodes) {
            bytes.extend_from_slice(node);
        }
        bytes
    }

    /// Builds each tree from its depth and what it is over.
    fn over<E>(
        program: Arc<Program>,
        mut tree: impl FnMut(u8, Leaves<'_>) -> Result<Tree, E>,
    ) -> Result<Self, E> {
        let mut fitting = |leaves: Leaves<'_>| tree(levels(leaves.count() as u64), leaves);
        let code = fitting(Leaves::Code(program.code()))?;
        let globals = fitting(Leaves::Slots(&program.globals))?;
        let segments = fitting(Leaves::Bytes(&program.segments))?;
        let memories = program
            .memories
            .iter()
            .map(|memory| {
                let depth = levels(u64::from(memory.pages) * PAGE_LEAVES);
                tree(depth, Leaves::Bytes(&memory.bytes))
            })
            .collect::<Result<_, E>>()?;
        let tables = program
            .tables
            .iter()
            .map(|table| {
                let entries = u64::from(table.maximum).max(table.entries.len() as u64);
                let depth = levels(entries.div_ceil(tree::SLOTS as u64));
                tree(depth, Leaves::Slots(&table.entries))
            })
            .collect::<Result<_, E>>()?;
        Ok(Self {
            program,
            code,
            memories,
            tables,
            globals,
            segments,
            interpreted: OnceLock::new(),
        })
    }

    /// The code as the interpreter wants it.
    pub(super) fn interpreted(
        &self,
        make: impl FnOnce(&Program) -> Vec<Instruction>,
    ) -> &[Instruction] {
        self.interpreted.get_or_init(|| make(&self.program))
    }

    /// What was hashed.
    #[must_use]
    #[inline]
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    fn table_descriptors(&self) -> Vec<Descriptor> {
        self.tables
            .iter()
            .zip(&self.program.tables)
            .map(|(tree, table)| Descriptor {
                root: tree.root(),
                size: table.entries.len() as u32,
                maximum: table.maximum,
                depth: tree.depth(),
            })
            .collect()
    }

    /// The memories' descriptors before a job's page limit deepens their trees.
    #[must_use]
    pub fn memory_descriptors(&self) -> Vec<Descriptor> {
        self.memories
            .iter()
            .zip(&self.program.memories)
            .map(|(tree, memory)| Descriptor {
                root: tree.root(),
                size: memory.pages,
                maximum: memory.maximum,
                depth: tree.depth(),
            })
            .collect()
    }

    /// I1 to I6.
    #[must_use]
    pub fn image_words(&self) -> [B256; 6] {
        let tables = descriptor_tree(&self.table_descriptors());
        let memories: Vec<u8> = self
            .memory_descriptors()
            .iter()
            .flat_map(Descriptor::to_bytes)
            .collect();
        let entry = self.program.entry();
        let numbers = pack(&[
            (entry.entry.into(), 32),
            (entry.frame_size.into(), 16),
            (self.code.depth().into(), 8),
            (self.globals.depth().into(), 8),
            (self.memories.len() as u64, 8),
            (tables.depth().into(), 8),
            (self.segments.depth().into(), 8),
        ]);
        [
            numbers,
            self.code.root(),
            self.globals.root(),
            tables.root(),
            self.segments.root(),
            keccak256(memories),
        ]
    }

    /// The image's root: what a job signs.
    #[must_use]
    pub fn image_root(&self) -> B256 {
        hash(Domain::Image, &self.image_words())
    }

    /// The constants of a run.
    #[must_use]
    pub fn shape(&self, limits: &RunLimits) -> Shape {
        Shape {
            cycle_limit: limits.cycles,
            // At most 2^20.
            slot_limit: limits.slots as u32,
            code_depth: self.code.depth(),
            globals_depth: self.globals.depth(),
            memories_depth: descriptors_depth(self.memories.len()),
            tables_depth: descriptors_depth(self.tables.len()),
            segments_depth: self.segments.depth(),
        }
    }
}

/// A commitment taken apart: what a proof opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    /// S1 to S8.
    pub state: StateWords,
    /// R1 to R5.
    pub rest: Rest,
    /// C1 to C4.
    pub context: Context,
}

/// Depth of a memory's tree in a task.
#[must_use]
pub fn memory_depth(pages: u32, maximum: u32, page_limit: u32) -> u8 {
    levels(u64::from(maximum.min(pages.max(page_limit))) * PAGE_LEAVES)
}

/// Depth of the output's tree.
#[must_use]
pub fn output_depth(output_limit: u64) -> u8 {
    levels(output_limit.div_ceil(tree::BYTES as u64))
}

/// Instructions as the bytes of a leaf.
#[must_use]
pub(super) fn code_leaf(instructions: &[Instruction]) -> [u8; tree::BYTES] {
    let mut bytes = [0; tree::BYTES];
    for (chunk, instruction) in bytes.chunks_exact_mut(Instruction::BYTES).zip(instructions) {
        chunk.copy_from_slice(&instruction.to_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_packing() {
        let registers = Registers {
            cycles: 0x0102_0304_0506_0708,
            pc: 0x1112_1314,
            slots: 0x2122_2324,
            frame_size: 0x3132,
            second: true,
            progress: 0x4142_4344_4546_4748,
        };
        let word = registers.to_word();
        assert_eq!(
            word.to_string(),
            "0x01020304050607081112131421222324313200010000000041424344454647 48".replace(' ', "")
        );
        assert_eq!(Registers::of(&word), registers);
        let shape = Shape {
            cycle_limit: 1 << 44,
            slot_limit: 1 << 20,
            code_depth: 1,
            globals_depth: 2,
            memories_depth: 3,
            tables_depth: 4,
            segments_depth: 5,
        };
        assert_eq!(Shape::of(&shape.to_word()), shape);
        let rest = Rest {
            context: B256::repeat_byte(1),
            tables: B256::repeat_byte(2),
            results: B256::repeat_byte(3),
            output: B256::repeat_byte(4),
            output_length: u64::MAX,
            pages: 7,
            results_size: 8,
        };
        assert_eq!(Rest::of(&rest.to_words()), rest);
        let descriptor = Descriptor {
            root: B256::repeat_byte(9),
            size: 1,
            maximum: u32::MAX,
            depth: 25,
        };
        assert_eq!(Descriptor::of(descriptor.to_words()), descriptor);
        let caller = CallerWords {
            callers: B256::repeat_byte(1),
            frame: B256::repeat_byte(2),
            return_pc: 3,
            frame_size: 4,
            result_slot: 5,
        };
        assert_eq!(CallerWords::of(caller.to_words()), caller);
        let context = Context {
            header: TaskHeader {
                machine_version: 1,
                job_hash: B256::repeat_byte(5),
                task: 2,
                task_count: 3,
                archive_bytes: u64::MAX,
                output_limit_bytes: 1 << 36,
                page_limit: 65_536,
            },
            archive: B256::repeat_byte(6),
            segments: B256::repeat_byte(7),
        };
        assert_eq!(Context::of(&context.to_words()), context);
    }
}
