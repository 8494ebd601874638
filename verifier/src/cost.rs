//! The cost table, and the size of a frame. Both depend on the linked module alone.
//!
//! **Cycles** are what is billed and limited. A cycle is about one simple instruction of native
//! code; the weights below are rounded ratios of measured native times, so that no instruction mix
//! is a bargain. Every instruction that the machine must execute costs at least 1; structure
//! (`block`, `loop`, `else`, `end`, `nop`) costs nothing.
//!
//! Instructions that touch a stated number of bytes, pages or entries cost a fixed part, charged
//! with their block, and a part by size, charged immediately before they execute
//! ([`size_cost`]). The charge is made whether or not the instruction then traps or fails.
//!
//! **Frame slots** bound the depth of calls: one slot is 8 bytes of a frame ([`frame_slots`]).

use wasmparser::Operator;

/// Charged on entry to every function, beside its first block: return, frame, stack check.
pub const FUNCTION_ENTRY: u64 = 3;
/// One more cycle for every so many declared locals, which are zeroed on entry.
pub const LOCALS_PER_CYCLE: u64 = 4;

/// Slots that every frame has beside locals and operands: return address, links, padding.
pub const FRAME_SLOTS_FIXED: u64 = 8;
/// One more slot for every so many instructions of the body. An optimising compiler may keep a
/// value of any instruction alive on the native stack, so a long body may need a large frame; this
/// term makes the slot limit trip before a native stack of bounded size can overflow.
pub const INSTRUCTIONS_PER_SLOT: u64 = 64;

/// The size-dependent part of an instruction's cost, from its topmost operand `n` (unsigned).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeCost {
    /// Larger `n` count as this many.
    pub max: u32,
    /// `n` is divided by `2^shift`, rounded down.
    pub shift: u32,
    /// Cycles per unit after the shift.
    pub factor: u32,
}

impl SizeCost {
    /// Bulk memory and input: 8 bytes a cycle, the rate of a copy that misses the cache.
    pub const BYTES: Self = Self {
        max: u32::MAX,
        shift: 3,
        factor: 1,
    };
    /// Output: every byte is hashed into the output root (two permutations of keccak for 128 bytes).
    pub const OUTPUT_BYTES: Self = Self {
        max: u32::MAX,
        shift: 0,
        factor: 8,
    };
    /// `memory.grow`: the host maps and zeroes 64 KiB per page. A larger request cannot succeed.
    pub const PAGES: Self = Self {
        max: 65_536,
        shift: 0,
        factor: 4096,
    };
    /// Bulk operations on tables: one entry a cycle.
    pub const ENTRIES: Self = Self {
        max: u32::MAX,
        shift: 0,
        factor: 1,
    };

    /// Cycles for operand `n`. At most 2^35.
    #[must_use]
    pub const fn cycles(self, n: u32) -> u64 {
        let n = if n < self.max { n } else { self.max };
        (n >> self.shift) as u64 * self.factor as u64
    }
}

/// Fixed cycles of an instruction; `None` for instructions that do not load.
///
/// This match is the list of accepted instructions as well: the validator refuses the rest.
#[must_use]
#[rustfmt::skip]
pub fn instruction(op: &Operator<'_>) -> Option<u64> {
    use Operator as O;
    Some(match op {
        O::Nop | O::Block { .. } | O::Loop { .. } | O::Else | O::End => 0,

        O::Unreachable | O::Drop
        | O::LocalGet { .. } | O::LocalSet { .. } | O::LocalTee { .. }
        | O::GlobalGet { .. } | O::GlobalSet { .. }
        | O::I32Const { .. } | O::I64Const { .. } | O::F32Const { .. } | O::F64Const { .. }
        | O::RefNull { .. } | O::RefIsNull => 1,

        O::Br { .. } | O::BrIf { .. } | O::If { .. } | O::Return
        | O::Select | O::TypedSelect { .. } | O::RefFunc { .. } => 2,
        O::BrTable { .. } => 4,
        O::Call { .. } => 6,
        O::CallIndirect { .. } => 12,

        O::I32Eqz | O::I32Eq | O::I32Ne | O::I32LtS | O::I32LtU | O::I32GtS | O::I32GtU
        | O::I32LeS | O::I32LeU | O::I32GeS | O::I32GeU
        | O::I64Eqz | O::I64Eq | O::I64Ne | O::I64LtS | O::I64LtU | O::I64GtS | O::I64GtU
        | O::I64LeS | O::I64LeU | O::I64GeS | O::I64GeU
        | O::I32Clz | O::I32Ctz | O::I32Popcnt | O::I64Clz | O::I64Ctz | O::I64Popcnt
        | O::I32Add | O::I32Sub | O::I32And | O::I32Or | O::I32Xor
        | O::I32Shl | O::I32ShrS | O::I32ShrU | O::I32Rotl | O::I32Rotr
        | O::I64Add | O::I64Sub | O::I64And | O::I64Or | O::I64Xor
        | O::I64Shl | O::I64ShrS | O::I64ShrU | O::I64Rotl | O::I64Rotr
        | O::I32WrapI64 | O::I64ExtendI32S | O::I64ExtendI32U
        | O::I32Extend8S | O::I32Extend16S | O::I64Extend8S | O::I64Extend16S | O::I64Extend32S
        | O::I32ReinterpretF32 | O::I64ReinterpretF64 | O::F32ReinterpretI32 | O::F64ReinterpretI64 => 1,
        O::I32Mul | O::I64Mul => 2,
        O::I32DivS | O::I32DivU | O::I32RemS | O::I32RemU => 10,
        O::I64DivS | O::I64DivU | O::I64RemS | O::I64RemU => 16,

        O::I32Load { .. } | O::I64Load { .. } | O::F32Load { .. } | O::F64Load { .. }
        | O::I32Load8S { .. } | O::I32Load8U { .. } | O::I32Load16S { .. } | O::I32Load16U { .. }
        | O::I64Load8S { .. } | O::I64Load8U { .. } | O::I64Load16S { .. } | O::I64Load16U { .. }
        | O::I64Load32S { .. } | O::I64Load32U { .. }
        | O::I32Store { .. } | O::I64Store { .. } | O::F32Store { .. } | O::F64Store { .. }
        | O::I32Store8 { .. } | O::I32Store16 { .. }
        | O::I64Store8 { .. } | O::I64Store16 { .. } | O::I64Store32 { .. }
        | O::MemorySize { .. } => 2,

        O::F32Eq | O::F32Ne | O::F32Lt | O::F32Gt | O::F32Le | O::F32Ge
        | O::F64Eq | O::F64Ne | O::F64Lt | O::F64Gt | O::F64Le | O::F64Ge
        | O::F32Abs | O::F32Neg | O::F32Copysign | O::F64Abs | O::F64Neg | O::F64Copysign => 1,
        O::F32Add | O::F32Sub | O::F32Mul | O::F64Add | O::F64Sub | O::F64Mul
        | O::F32ConvertI32S | O::F32ConvertI32U | O::F32ConvertI64S | O::F32ConvertI64U
        | O::F64ConvertI32S | O::F64ConvertI32U | O::F64ConvertI64S | O::F64ConvertI64U
        | O::F32DemoteF64 | O::F64PromoteF32
        | O::F32Ceil | O::F32Floor | O::F32Trunc | O::F32Nearest
        | O::F64Ceil | O::F64Floor | O::F64Trunc | O::F64Nearest => 2,
        O::F32Min | O::F32Max | O::F64Min | O::F64Max
        | O::I32TruncF32S | O::I32TruncF32U | O::I32TruncF64S | O::I32TruncF64U
        | O::I64TruncF32S | O::I64TruncF32U | O::I64TruncF64S | O::I64TruncF64U
        | O::I32TruncSatF32S | O::I32TruncSatF32U | O::I32TruncSatF64S | O::I32TruncSatF64U
        | O::I64TruncSatF32S | O::I64TruncSatF32U | O::I64TruncSatF64S | O::I64TruncSatF64U => 4,
        O::F32Div | O::F32Sqrt => 6,
        O::F64Div | O::F64Sqrt => 8,

        O::TableGet { .. } | O::TableSet { .. } | O::TableSize { .. } => 4,
        O::DataDrop { .. } | O::ElemDrop { .. } => 4,
        O::MemoryInit { .. } | O::MemoryCopy { .. } | O::MemoryFill { .. }
        | O::TableInit { .. } | O::TableCopy { .. } | O::TableFill { .. } => 20,
        O::MemoryGrow { .. } | O::TableGrow { .. } => 200,

        _ => return None,
    })
}

/// The size-dependent part of a bulk instruction; `None` for all others.
#[must_use]
pub fn size_cost(op: &Operator<'_>) -> Option<SizeCost> {
    use Operator as O;
    match op {
        O::MemoryInit { .. } | O::MemoryCopy { .. } | O::MemoryFill { .. } => Some(SizeCost::BYTES),
        O::MemoryGrow { .. } => Some(SizeCost::PAGES),
        O::TableInit { .. } | O::TableCopy { .. } | O::TableFill { .. } | O::TableGrow { .. } => {
            Some(SizeCost::ENTRIES)
        }
        _ => None,
    }
}

/// A host operation's cost in addition to the `call` that reaches it: a fixed part, charged with
/// the call's block, and a part by the last argument, charged immediately before the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostCost {
    /// Charged with the block.
    pub fixed: u64,
    /// By the last argument, a number of bytes.
    pub by_size: Option<SizeCost>,
}

impl HostCost {
    /// `read_input`.
    pub const READ_INPUT: Self = Self {
        fixed: 200,
        by_size: Some(SizeCost::BYTES),
    };
    /// `append_output`.
    pub const APPEND_OUTPUT: Self = Self {
        fixed: 200,
        by_size: Some(SizeCost::OUTPUT_BYTES),
    };
    /// `exit`.
    pub const EXIT: Self = Self {
        fixed: 0,
        by_size: None,
    };
}

/// Cycles of entering a function with so many declared locals (parameters not counted).
#[must_use]
pub const fn function_entry(declared_locals: u64) -> u64 {
    FUNCTION_ENTRY + declared_locals / LOCALS_PER_CYCLE
}

/// Slots of a function's frame.
///
/// `operand_height` is the greatest number of operands on the stack before or after any
/// instruction that is not dead, where instructions after `br`, `br_table`, `return` or
/// `unreachable` are dead up to the `else` or `end` of the same block. `instructions` counts all
/// instructions of the body, dead ones and the final `end` included.
#[must_use]
pub const fn frame_slots(
    parameters: u64,
    declared_locals: u64,
    operand_height: u64,
    instructions: u64,
) -> u64 {
    FRAME_SLOTS_FIXED
        + parameters
        + declared_locals
        + operand_height
        + instructions / INSTRUCTIONS_PER_SLOT
}
