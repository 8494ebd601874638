//! Every bound on what a stranger's module may contain.
//!
//! Two kinds: what one step of the machine may touch (so that a step has a bounded proof), and what
//! loading may cost (so that no module makes a node do unbounded work). Values are generous: the
//! largest program measured, CPython 3.12 for WASI, uses less than a quarter of each.

/// Bytes of a program and of the linked image: 64 MiB (CPython is 26 MB).
pub const MODULE_BYTES: u64 = 64 << 20;
/// Bytes of one function's body: 768 KiB. The native transforms grow a body at most ninefold, which
/// keeps it below the 7,654,321 bytes that the native engine accepts.
pub const FUNCTION_BYTES: u64 = 768 << 10;
/// Function types of one module.
pub const TYPES: u64 = 1 << 16;
/// Functions of one module, imports included.
pub const FUNCTIONS: u64 = 1 << 19;
/// Parameters of a function or block.
pub const PARAMETERS: u64 = 128;
/// Results of a function or block.
pub const RESULTS: u64 = 128;
/// Operands on the stack of one function at once. With locals it bounds a frame to 2^15 slots, so
/// that a slot's proof has at most 11 hashes.
pub const OPERANDS: u64 = 1 << 13;
/// Declared locals and parameters of one function.
pub const LOCALS: u64 = 1 << 14;
/// Entries of one `br_table`, default included: the official test suite's largest has 24,616.
pub const BR_TABLE_ENTRIES: u64 = 1 << 15;
/// Nesting of blocks in one function.
pub const BLOCK_DEPTH: u64 = 1 << 12;
/// Memories of the image: the user's and the library's.
pub const MEMORIES: u64 = 16;
/// Tables of one module.
pub const TABLES: u64 = 16;
/// Entries of one table, now or after any `table.grow`: an entry's proof has at most 14 hashes.
pub const TABLE_ENTRIES: u64 = 1 << 18;
/// Globals of one module.
pub const GLOBALS: u64 = 1 << 15;
/// Data segments of one module.
pub const DATA_SEGMENTS: u64 = 1 << 15;
/// Element segments of one module.
pub const ELEMENT_SEGMENTS: u64 = 1 << 13;
/// Elements of one segment.
pub const ELEMENTS: u64 = 1 << 20;
/// Imports and exports of a program, each.
pub const IMPORTS_AND_EXPORTS: u64 = 1 << 16;

/// Instructions of the machine for one image: 2^26, one for each byte that an image may have.
pub const INSTRUCTIONS: u64 = 1 << 26;
/// Bytes of all passive segments in the machine, elements with 8 bytes: 256 MiB.
pub const SEGMENT_BYTES: u64 = 1 << 28;

/// Largest slot limit of a job: 2^20 slots of 8 bytes. The native engine reserves its stack for it.
pub const SLOT_LIMIT: u64 = 1 << 20;
/// Largest cycle limit of a task: 2^44.
pub const CYCLE_LIMIT: u64 = 1 << 44;
/// Largest page limit: 65536 pages of 64 KiB, all memories of the image together.
pub const PAGE_LIMIT: u64 = 1 << 16;
