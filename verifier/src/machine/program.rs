//! A flattened image: the code of all functions, and what memories, tables and globals start with.

use std::num::NonZero;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmparser::{ConstExpr, DataKind, ElementItems, ElementKind};

use super::flatten::{Function, Hidden, HiddenGlobals, Pending, SegmentPlaces};
use super::isa::{self, Instruction, op};
use super::transition::{LEAF_BYTES, LEAF_SLOTS, Reference};
use crate::limits;
use crate::link::{Image, RUN_EXPORT};
use crate::module::Module;
use crate::validate::LoadError;

/// A memory as an image declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryDeclaration {
    /// Initial size in 64 KiB pages.
    pub pages: u32,
    /// Most pages.
    pub maximum: u32,
    /// The first bytes; zero behind.
    pub bytes: Vec<u8>,
}

/// A table as an image declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDeclaration {
    /// All initial entries, as slots.
    pub entries: Vec<u64>,
    /// Most entries.
    pub maximum: u32,
}

/// Where a function lies in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionPlace {
    /// Its first instruction.
    pub entry: u32,
    /// Slots of its frame.
    pub frame_size: u16,
}

/// A program that the machine runs. Only flattening makes one, and checks what it made, because the
/// interpreter relies on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    code: Vec<Instruction>,
    functions: Vec<FunctionPlace>,
    entry: FunctionPlace,
    pub(super) memories: Vec<MemoryDeclaration>,
    pub(super) tables: Vec<TableDeclaration>,
    pub(super) globals: Vec<u64>,
    pub(super) segments: Vec<u8>,
    longest_function: u32,
}

impl Program {
    /// Flattens an image.
    ///
    /// # Errors
    /// [`LoadError`] if the image exceeds a limit; other errors if it did not come from the linker.
    pub fn flatten(image: &Image) -> Result<Self, LoadError> {
        Self::from_module(image.module())
    }

    /// Flattens the module of an image.
    pub(crate) fn from_module(bytes: &[u8]) -> Result<Self, LoadError> {
        let module = Module::parse(bytes)?;
        let threads = std::thread::available_parallelism()
            .map_or(1, NonZero::get)
            .min(module.code.len() / THREAD_BYTES)
            .clamp(1, THREADS_MAX);
        Self::of(&module, threads)
    }

    fn of(module: &Module<'_>, threads: usize) -> Result<Self, LoadError> {
        let (places, mut segments) = places(module)?;
        let mut code = vec![Instruction::default()];
        let mut functions = Vec::with_capacity(module.bodies.len());
        let mut pending: Vec<(u32, Pending)> = Vec::new();
        let mut longest_function = 0;
        for mut function in translate(module, &places, threads)? {
            let entry = code.len() as u32;
            for target in function.targets {
                let instruction = &mut function.code[target as usize];
                instruction.imm =
                    Instruction::halves(instruction.high(), instruction.low() + entry);
            }
            pending.extend(
                function
                    .pending
                    .into_iter()
                    .map(|(at, what)| (at + entry, what)),
            );
            longest_function = longest_function.max(function.code.len() as u32);
            code.append(&mut function.code);
            functions.push(FunctionPlace {
                entry,
                frame_size: function.frame_size,
            });
        }
        let mut hidden = HiddenGlobals::behind(module.globals.len() as u32);
        let layout = Layout {
            module,
            functions: &functions,
        };
        for (at, what) in pending {
            let instruction = &mut code[at as usize];
            match what {
                Pending::Call(function) => {
                    let place = layout.place(function);
                    instruction.b = place.frame_size;
                    instruction.imm = Instruction::halves(instruction.high(), place.entry);
                }
                Pending::Reference(function) => instruction.imm = layout.reference(function),
                Pending::Global(what) => instruction.imm = hidden.of(what).into(),
            }
        }

        let mut globals = Vec::with_capacity(module.globals.len());
        for global in &module.globals {
            let value = layout.constant(&global.init_expr, &globals)?;
            globals.push(value);
        }
        let mut tables = Vec::with_capacity(module.tables.len());
        for table in &module.tables {
            let initial = match &table.init {
                wasmparser::TableInit::RefNull => 0,
                wasmparser::TableInit::Expr(expression) => layout.constant(expression, &globals)?,
            };
            tables.push(TableDeclaration {
                entries: vec![initial; table.ty.initial as usize],
                maximum: table
                    .ty
                    .maximum
                    .unwrap_or(limits::TABLE_ENTRIES)
                    .min(limits::TABLE_ENTRIES) as u32,
            });
        }
        for (index, (_, element)) in module.elements.iter().enumerate() {
            match &element.kind {
                ElementKind::Active {
                    table_index,
                    offset_expr,
                } => {
                    let start = layout.constant(offset_expr, &globals)? as usize;
                    let table = &mut tables[table_index.unwrap_or(0) as usize].entries;
                    let items = layout.items(&element.items, &globals)?;
                    // The linker saw to it that active segments fit.
                    table[start..start + items.len()].copy_from_slice(&items);
                }
                ElementKind::Passive => {
                    let start = places.elements[index] as usize * LEAF_BYTES as usize;
                    let items = layout.items(&element.items, &globals)?;
                    for (chunk, item) in segments[start..].chunks_exact_mut(8).zip(items) {
                        chunk.copy_from_slice(&item.to_be_bytes());
                    }
                }
                ElementKind::Declared => {}
            }
        }
        let mut memories: Vec<MemoryDeclaration> = module
            .memories
            .iter()
            .map(|memory| MemoryDeclaration {
                pages: memory.initial as u32,
                maximum: memory
                    .maximum
                    .unwrap_or(limits::PAGE_LIMIT)
                    .min(limits::PAGE_LIMIT) as u32,
                bytes: Vec::new(),
            })
            .collect();
        for (index, (_, datum)) in module.data.iter().enumerate() {
            match &datum.kind {
                DataKind::Active {
                    memory_index,
                    offset_expr,
                } => {
                    let start = layout.constant(offset_expr, &globals)? as usize;
                    let bytes = &mut memories[*memory_index as usize].bytes;
                    let end = start + datum.data.len();
                    if bytes.len() < end {
                        bytes.resize(end, 0);
                    }
                    bytes[start..end].copy_from_slice(datum.data);
                }
                DataKind::Passive => {
                    let start = places.data[index] as usize * LEAF_BYTES as usize;
                    segments[start..start + datum.data.len()].copy_from_slice(datum.data);
                }
            }
        }
        for hidden in hidden.into_order() {
            globals.push(hidden_value(module, hidden));
        }
        let entry = module
            .exports
            .iter()
            .find(|export| export.name == RUN_EXPORT)
            .map(|export| layout.place(export.index))
            .ok_or(LoadError::NoEntry { name: RUN_EXPORT })?;
        let program = Self {
            code,
            functions,
            entry,
            memories,
            tables,
            globals,
            segments,
            longest_function,
        };
        match program.first_offence() {
            None => Ok(program),
            Some(pc) => Err(LoadError::Translation {
                instruction: program.instruction(pc).to_string(),
                pc,
            }),
        }
    }

    /// All instructions. The first is a trap, so that no function starts at 0.
    #[must_use]
    #[inline(always)]
    pub fn code(&self) -> &[Instruction] {
        &self.code
    }

    /// The image's functions in order, without the host operations.
    #[must_use]
    pub fn functions(&self) -> &[FunctionPlace] {
        &self.functions
    }

    /// The function `run`.
    #[must_use]
    pub fn entry(&self) -> FunctionPlace {
        self.entry
    }

    /// Memories as declared: the user's is the first, the library's the second.
    #[must_use]
    pub fn memories(&self) -> &[MemoryDeclaration] {
        &self.memories
    }

    /// Most instructions of one function: so many steps can pass without a charge.
    #[must_use]
    pub fn longest_function(&self) -> u32 {
        self.longest_function
    }

    /// The first instruction that names what does not exist: a slot outside its frame, a target
    /// outside its function, a memory, table or global that the image lacks.
    fn first_offence(&self) -> Option<u32> {
        self.functions
            .iter()
            .enumerate()
            .find_map(|(index, place)| {
                let end = self
                    .functions
                    .get(index + 1)
                    .map_or(self.code.len(), |next| next.entry as usize);
                let check = Check {
                    program: self,
                    range: place.entry..end as u32,
                    frame_size: place.frame_size,
                };
                let last = self.code[..end].last().map_or(0, |last| last.op);
                let ends = matches!(last, op::UNREACHABLE | op::JUMP | op::RETURN);
                if !ends {
                    return Some(end as u32 - 1);
                }
                check.range.clone().find(|pc| !check.is_sound(*pc))
            })
    }

    /// The function in which an instruction lies, by its index in the image (host operations have
    /// the first three); `None` for the trap at 0 and behind the code.
    #[must_use]
    pub fn function_at(&self, pc: u32) -> Option<u32> {
        if pc as usize >= self.code.len() {
            return None;
        }
        let behind = self.functions.partition_point(|place| place.entry <= pc);
        let index = behind.checked_sub(1)? as u32;
        Some(index + crate::link::HostOperation::ALL.len() as u32)
    }

    /// The instruction at `pc`; a trap behind the code, as in the committed tree.
    #[must_use]
    #[inline]
    pub fn instruction(&self, pc: u32) -> Instruction {
        const { assert!(op::UNREACHABLE == 0) };
        self.code.get(pc as usize).copied().unwrap_or_default()
    }
}

/// Bytes of code that are worth a thread.
const THREAD_BYTES: usize = 1 << 18;
/// Most threads.
const THREADS_MAX: usize = 16;

/// Translates all functions. Each stands for itself, so that they are shared among threads.
fn translate(
    module: &Module<'_>,
    places: &SegmentPlaces,
    threads: usize,
) -> Result<Vec<Function>, LoadError> {
    // The trap at 0 counts as well.
    let instructions = AtomicU64::new(1);
    let part = |range: Range<usize>| {
        let one = |defined| {
            let function = Function::translate(module, defined, places)?;
            let count = function.code.len() as u64;
            let all = instructions.fetch_add(count, Ordering::Relaxed) + count;
            if all > limits::INSTRUCTIONS {
                // Nobody has counted the rest, and the error is the same whoever came first.
                return Err(LoadError::Limit {
                    what: "instructions of the machine",
                    value: limits::INSTRUCTIONS + 1,
                    max: limits::INSTRUCTIONS,
                    offset: module.code.start,
                });
            }
            Ok(function)
        };
        range.map(one).collect::<Result<Vec<Function>, LoadError>>()
    };
    let mut parts = parts(module, threads).into_iter();
    let first = parts.next().unwrap_or_default();
    let part = &part;
    std::thread::scope(|scope| {
        let others: Vec<_> = parts
            .map(|range| {
                let theirs = range.clone();
                // Where there are no more threads, the work is done here.
                std::thread::Builder::new()
                    .spawn_scoped(scope, move || part(theirs))
                    .map_err(|_| range)
            })
            .collect();
        let mut functions = part(first)?;
        for other in others {
            functions.extend(match other {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic))?,
                Err(range) => part(range)?,
            });
        }
        Ok(functions)
    })
}

/// The functions with bodies, cut into so many runs of about equally many bytes.
fn parts(module: &Module<'_>, count: usize) -> Vec<Range<usize>> {
    let each = module.code.len() / count + 1;
    let mut parts = Vec::with_capacity(count);
    let mut start = 0;
    for (defined, body) in module.bodies.iter().enumerate() {
        let done = body.range().end.saturating_sub(module.code.start);
        if done >= each * (parts.len() + 1) {
            parts.push(start..defined + 1);
            start = defined + 1;
        }
    }
    parts.push(start..module.bodies.len());
    parts
}

/// A function whose instructions are checked.
struct Check<'p> {
    program: &'p Program,
    range: Range<u32>,
    frame_size: u16,
}

impl Check<'_> {
    fn slots(&self, first: u16, count: u16) -> bool {
        u32::from(first) + u32::from(count) <= self.frame_size.into()
    }

    /// Slots in one leaf of the frame.
    fn together(&self, first: u16, count: u16) -> bool {
        let leaf = LEAF_SLOTS as u16;
        self.slots(first, count) && first / leaf == (first + count - 1) / leaf
    }

    fn neighbours(&self, i: &Instruction) -> bool {
        i.b == i.a + 1 && i.c == i.a + 2 && self.together(i.a, 3)
    }

    fn memory(&self, index: u64) -> bool {
        index < self.program.memories.len() as u64
    }

    fn table(&self, index: u64) -> bool {
        index < self.program.tables.len() as u64
    }

    fn global(&self, index: u64) -> bool {
        index < self.program.globals.len() as u64
    }

    fn is_sound(&self, pc: u32) -> bool {
        let i = self.program.instruction(pc);
        let slot = |slot: u16| self.slots(slot, 1);
        let target = |target: u32| self.range.contains(&target);
        if !isa::is_known(i.op) {
            return false;
        }
        match i.op & 0xff {
            op::UNREACHABLE | op::CHARGE | op::ENTER => true,
            op::CHARGE_SIZE | op::EXIT => slot(i.a),
            op::JUMP => target(i.low()),
            op::BRANCH_IF | op::BRANCH_IF_ZERO => slot(i.a) && target(i.low()),
            op::BRANCH_TABLE => slot(i.a) && u64::from(pc) + 1 + i.imm < u64::from(self.range.end),
            op::CALL => {
                self.slots(i.a, i.c)
                    && i.c <= i.b
                    && u32::from(self.frame_size) > i.high()
                    && self
                        .program
                        .functions
                        .binary_search_by_key(&i.low(), |place| place.entry)
                        .is_ok_and(|at| self.program.functions[at].frame_size == i.b)
            }
            op::CALL_REF => {
                self.slots(i.a, i.c) && slot(i.b) && u32::from(self.frame_size) > i.high()
            }
            op::RETURN => self.slots(i.a, i.c),
            op::RESULT | op::CONST | op::GLOBAL_GET if !slot(i.c) => false,
            op::RESULT | op::CONST => true,
            op::GLOBAL_GET => self.global(i.imm),
            op::RESOLVE => slot(i.a) && slot(i.c) && self.table(i.b.into()),
            op::COPY => slot(i.a) && slot(i.c),
            op::SELECT => slot(i.a) && slot(i.b) && slot(i.c) && slot(i.imm as u16),
            op::GLOBAL_SET => slot(i.a) && self.global(i.imm),
            op::LOAD8_U..=op::LOAD64 => {
                let memory = if i.op & isa::IMM == 0 { 0 } else { i.b };
                slot(i.a) && slot(i.c) && self.memory(memory.into()) && i.high() == 0
            }
            op::STORE8..=op::STORE64 => {
                let memory = if i.op & isa::IMM == 0 { 0 } else { i.c };
                slot(i.a) && slot(i.b) && self.memory(memory.into()) && i.high() == 0
            }
            op::MEMORY_SIZE => slot(i.c) && self.memory(i.imm),
            op::MEMORY_GROW => slot(i.a) && slot(i.c) && self.memory(i.imm),
            op::MEMORY_COPY => {
                self.neighbours(&i) && self.memory(i.imm & 0xff) && self.memory(i.imm >> 8)
            }
            op::MEMORY_FILL => self.neighbours(&i) && self.memory(i.imm),
            op::MEMORY_INIT => self.neighbours(&i) && self.memory(i.imm >> 56),
            op::TABLE_COPY => {
                self.neighbours(&i) && self.table(i.imm & 0xff) && self.table(i.imm >> 8)
            }
            op::TABLE_FILL => self.neighbours(&i) && self.table(i.imm),
            op::TABLE_INIT => self.neighbours(&i) && self.table(i.imm >> 56),
            op::SEGMENT_CHECK => slot(i.a) && slot(i.b) && self.global(i.imm),
            op::TABLE_GET | op::TABLE_GROW => slot(i.a) && slot(i.c) && self.table(i.imm),
            op::TABLE_SET => slot(i.a) && slot(i.b) && self.table(i.imm),
            op::TABLE_SIZE => slot(i.c) && self.table(i.imm),
            op::READ_INPUT => self.together(i.a, 4) && slot(i.c) && self.memory(1),
            op::APPEND_OUTPUT => self.together(i.a, 2) && self.memory(1),
            operation => {
                let constant = i.op & isa::IMM != 0 && !isa::compares_floats(operation);
                let branches = i.op & isa::BRANCH != 0;
                slot(i.a)
                    && (constant || slot(i.b))
                    && if branches { target(i.low()) } else { slot(i.c) }
            }
        }
    }
}

/// Places of functions, once all are translated.
struct Layout<'m, 'a> {
    module: &'m Module<'a>,
    functions: &'m [FunctionPlace],
}

impl Layout<'_, '_> {
    /// A function with a body; nothing refers to the host operations.
    fn place(&self, function: u32) -> FunctionPlace {
        self.functions[(function - self.module.imported_functions) as usize]
    }

    fn reference(&self, function: u32) -> u64 {
        let FunctionPlace { entry, frame_size } = self.place(function);
        Reference {
            entry,
            ty: self.module.functions[function as usize] as u16,
            frame_size,
        }
        .to_slot()
    }

    fn items(&self, items: &ElementItems<'_>, globals: &[u64]) -> Result<Vec<u64>, LoadError> {
        let mut slots = Vec::new();
        match items {
            ElementItems::Functions(functions) => {
                for function in functions.clone() {
                    slots.push(self.reference(function?));
                }
            }
            ElementItems::Expressions(_, expressions) => {
                for expression in expressions.clone() {
                    slots.push(self.constant(&expression?, globals)?);
                }
            }
        }
        Ok(slots)
    }

    /// Value of a validated constant expression.
    fn constant(&self, expression: &ConstExpr<'_>, globals: &[u64]) -> Result<u64, LoadError> {
        crate::module::constant(expression, globals, |function| self.reference(function))
    }
}

/// Leaves of a segment.
fn leaves(bytes: u64) -> u64 {
    bytes.div_ceil(LEAF_BYTES)
}

fn item_count(items: &ElementItems<'_>) -> u64 {
    match items {
        ElementItems::Functions(items) => items.count().into(),
        ElementItems::Expressions(_, items) => items.count().into(),
    }
}

/// Where passive segments start, in leaves, and zero bytes for all of them.
fn places(module: &Module<'_>) -> Result<(SegmentPlaces, Vec<u8>), LoadError> {
    let mut next = 0_u64;
    let mut take = |count: u64, offset: usize| {
        let place = next;
        next += count;
        if next * LEAF_BYTES > limits::SEGMENT_BYTES {
            return Err(LoadError::Limit {
                what: "bytes of passive segments",
                value: next * LEAF_BYTES,
                max: limits::SEGMENT_BYTES,
                offset,
            });
        }
        // Below 2^32 leaves, by the limit.
        Ok(place as u32)
    };
    let mut places = SegmentPlaces {
        data: Vec::with_capacity(module.data.len()),
        elements: Vec::with_capacity(module.elements.len()),
    };
    for (offset, datum) in &module.data {
        let bytes = match datum.kind {
            DataKind::Passive => datum.data.len() as u64,
            DataKind::Active { .. } => 0,
        };
        places.data.push(take(leaves(bytes), *offset)?);
    }
    for (offset, element) in &module.elements {
        let entries = match element.kind {
            ElementKind::Passive => item_count(&element.items),
            ElementKind::Active { .. } | ElementKind::Declared => 0,
        };
        places
            .elements
            .push(take(entries.div_ceil(LEAF_SLOTS), *offset)?);
    }
    Ok((places, vec![0; (next * LEAF_BYTES) as usize]))
}

/// What a hidden global starts with. Active segments are dropped before execution starts.
fn hidden_value(module: &Module<'_>, hidden: Hidden) -> u64 {
    match hidden {
        Hidden::Argument(_) => 0,
        Hidden::DataLength(index) => {
            let (_, datum) = &module.data[index as usize];
            match datum.kind {
                DataKind::Passive => datum.data.len() as u64,
                DataKind::Active { .. } => 0,
            }
        }
        Hidden::ElementsLength(index) => {
            let (_, element) = &module.elements[index as usize];
            match element.kind {
                ElementKind::Passive => item_count(&element.items),
                ElementKind::Active { .. } | ElementKind::Declared => 0,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_program_is_the_same_whatever_the_number_of_threads() {
        let parameters = "i32 ".repeat(40);
        let arguments = "(i32.const 7)".repeat(40);
        let functions: String = (0..9)
            .map(|n| {
                format!(
                    r#"(func $f{n} (param {parameters}) (result i32)
                        (memory.init $d{} (i32.const 0) (i32.const 0) (i32.const 1))
                        (call $f{} {arguments}))"#,
                    n % 3,
                    (n + 1) % 9
                )
            })
            .collect();
        let program = format!(
            r#"(module (memory 1) (data $d0 "a") (data $d1 "b") (data $d2 "c") {functions}
                (func (export "_start") (drop (call $f0 {arguments})) (data.drop $d2)))"#
        );
        let image = crate::link(&wat::parse_str(program).unwrap()).unwrap();
        let module = Module::parse(image.module()).unwrap();
        let alone = Program::of(&module, 1).unwrap();
        for threads in [2, 3, 16] {
            assert_eq!(Program::of(&module, threads).unwrap(), alone, "{threads}");
        }
    }

    #[test]
    fn parts_cover_every_function_once() {
        let functions = "(func (nop) (nop))".repeat(10);
        let bytes = wat::parse_str(format!("(module {functions})")).unwrap();
        let module = Module::parse(&bytes).unwrap();
        for count in 1..20 {
            let parts = parts(&module, count);
            assert!(parts.len() <= count);
            assert_eq!(
                parts.into_iter().flatten().collect::<Vec<_>>(),
                (0..10).collect::<Vec<_>>()
            );
        }
    }
}
