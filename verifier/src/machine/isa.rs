//! The machine's instructions: 16 bytes each, operands in the slots of a frame. See `MACHINE.md` §3.

use std::fmt;

/// Flag of [`Instruction::op`]: the second operand is `imm` (arithmetic), or a memory other than 0
/// is accessed (loads and stores), or the branch is taken if the comparison is false (floats).
pub const IMM: u16 = 0x100;
/// Flag of [`Instruction::op`]: the comparison's result decides a branch and is not written.
pub const BRANCH: u16 = 0x200;
/// Numbers of operations with their flags: all `op` are below.
pub const OPS: usize = 0x400;

/// One instruction. The chain reads it as five big-endian numbers in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Instruction {
    /// Operation ([`op`]) with [`IMM`] and [`BRANCH`].
    pub op: u16,
    /// First operand, mostly a slot.
    pub a: u16,
    /// Second operand, mostly a slot.
    pub b: u16,
    /// Destination, mostly a slot.
    pub c: u16,
    /// Constant, target, offset: see the operation.
    pub imm: u64,
}

impl Instruction {
    /// Bytes of an instruction in the committed code.
    pub const BYTES: usize = 16;

    /// As committed.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (chunk, field) in bytes
            .chunks_exact_mut(2)
            .zip([self.op, self.a, self.b, self.c])
        {
            chunk.copy_from_slice(&field.to_be_bytes());
        }
        bytes[8..].copy_from_slice(&self.imm.to_be_bytes());
        bytes
    }

    /// The inverse of [`Instruction::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let field = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let imm = bytes[8..]
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte));
        Self {
            op: field(0),
            a: field(2),
            b: field(4),
            c: field(6),
            imm,
        }
    }

    /// The low half of `imm`.
    #[must_use]
    #[inline(always)]
    pub const fn low(&self) -> u32 {
        self.imm as u32
    }

    /// The high half of `imm`.
    #[must_use]
    #[inline(always)]
    pub const fn high(&self) -> u32 {
        (self.imm >> 32) as u32
    }

    /// Two halves as an `imm`.
    #[must_use]
    pub const fn halves(high: u32, low: u32) -> u64 {
        (high as u64) << 32 | low as u64
    }
}

macro_rules! operations {
    ($($code:literal $name:ident $constant:ident),* $(,)?) => {
        /// Operations: the low byte of [`Instruction::op`].
        pub mod op {
            $(
                #[doc = concat!("`", stringify!($name), "`, see `MACHINE.md`.")]
                pub const $constant: u16 = $code;
            )*
        }

        /// Name of an operation as in `MACHINE.md`; `None` if it is not one.
        #[must_use]
        pub const fn name(operation: u16) -> Option<&'static str> {
            Some(match operation & 0xff {
                $($code => stringify!($name),)*
                _ => return None,
            })
        }
    };
}

operations! {
    0x00 Unreachable UNREACHABLE, 0x01 Charge CHARGE, 0x02 ChargeSize CHARGE_SIZE, 0x03 Jump JUMP,
    0x04 BranchIf BRANCH_IF, 0x05 BranchIfZero BRANCH_IF_ZERO, 0x06 BranchTable BRANCH_TABLE,
    0x07 Enter ENTER, 0x08 Call CALL, 0x09 CallRef CALL_REF, 0x0a Return RETURN, 0x0b Result RESULT,
    0x0c Resolve RESOLVE,
    0x10 Copy COPY, 0x11 Const CONST, 0x12 Select SELECT, 0x13 GlobalGet GLOBAL_GET, 0x14 GlobalSet GLOBAL_SET,
    0x20 Load8U LOAD8_U, 0x21 Load8S32 LOAD8_S32, 0x22 Load8S64 LOAD8_S64,
    0x23 Load16U LOAD16_U, 0x24 Load16S32 LOAD16_S32, 0x25 Load16S64 LOAD16_S64,
    0x26 Load32U LOAD32_U, 0x27 Load32S64 LOAD32_S64, 0x28 Load64 LOAD64,
    0x29 Store8 STORE8, 0x2a Store16 STORE16, 0x2b Store32 STORE32, 0x2c Store64 STORE64,
    0x2d MemorySize MEMORY_SIZE, 0x2e MemoryGrow MEMORY_GROW,
    0x30 MemoryCopy MEMORY_COPY, 0x31 MemoryFill MEMORY_FILL, 0x32 MemoryInit MEMORY_INIT,
    0x33 SegmentCheck SEGMENT_CHECK,
    0x34 TableCopy TABLE_COPY, 0x35 TableFill TABLE_FILL, 0x36 TableInit TABLE_INIT,
    0x37 TableGet TABLE_GET, 0x38 TableSet TABLE_SET, 0x39 TableSize TABLE_SIZE, 0x3a TableGrow TABLE_GROW,
    0x3c ReadInput READ_INPUT, 0x3d AppendOutput APPEND_OUTPUT, 0x3e Exit EXIT,
    0x40 Eqz EQZ, 0x41 Eq EQ, 0x42 Ne NE, 0x43 LtU LT_U, 0x44 GtU GT_U, 0x45 LeU LE_U, 0x46 GeU GE_U,
    0x47 And AND, 0x48 Or OR, 0x49 Xor XOR, 0x4a DivU DIV_U, 0x4b RemU REM_U,
    0x50 I32Add I32_ADD, 0x51 I32Sub I32_SUB,
    0x52 I32LtS I32_LT_S, 0x53 I32GtS I32_GT_S, 0x54 I32LeS I32_LE_S, 0x55 I32GeS I32_GE_S,
    0x56 I32Mul I32_MUL, 0x57 I32DivS I32_DIV_S, 0x58 I32RemS I32_REM_S,
    0x59 I32Shl I32_SHL, 0x5a I32ShrS I32_SHR_S, 0x5b I32ShrU I32_SHR_U, 0x5c I32Rotl I32_ROTL, 0x5d I32Rotr I32_ROTR,
    0x5e I32Clz I32_CLZ, 0x5f I32Ctz I32_CTZ, 0x60 I32Popcnt I32_POPCNT,
    0x61 I32Extend8S I32_EXTEND8_S, 0x62 I32Extend16S I32_EXTEND16_S, 0x63 I32Wrap I32_WRAP,
    0x68 I64Add I64_ADD, 0x69 I64Sub I64_SUB,
    0x6a I64LtS I64_LT_S, 0x6b I64GtS I64_GT_S, 0x6c I64LeS I64_LE_S, 0x6d I64GeS I64_GE_S,
    0x6e I64Mul I64_MUL, 0x6f I64DivS I64_DIV_S, 0x70 I64RemS I64_REM_S,
    0x71 I64Shl I64_SHL, 0x72 I64ShrS I64_SHR_S, 0x73 I64ShrU I64_SHR_U, 0x74 I64Rotl I64_ROTL, 0x75 I64Rotr I64_ROTR,
    0x76 I64Clz I64_CLZ, 0x77 I64Ctz I64_CTZ, 0x78 I64Popcnt I64_POPCNT,
    0x79 I64Extend8S I64_EXTEND8_S, 0x7a I64Extend16S I64_EXTEND16_S, 0x7b I64Extend32S I64_EXTEND32_S,
    0x80 F32Eq F32_EQ, 0x81 F32Ne F32_NE, 0x82 F32Lt F32_LT, 0x83 F32Gt F32_GT, 0x84 F32Le F32_LE, 0x85 F32Ge F32_GE,
    0x86 F32Add F32_ADD, 0x87 F32Sub F32_SUB, 0x88 F32Mul F32_MUL, 0x89 F32Div F32_DIV,
    0x8a F32Min F32_MIN, 0x8b F32Max F32_MAX, 0x8c F32Copysign F32_COPYSIGN,
    0x8d F32Abs F32_ABS, 0x8e F32Neg F32_NEG, 0x8f F32Ceil F32_CEIL, 0x90 F32Floor F32_FLOOR,
    0x91 F32Trunc F32_TRUNC, 0x92 F32Nearest F32_NEAREST, 0x93 F32Sqrt F32_SQRT,
    0x94 F64Eq F64_EQ, 0x95 F64Ne F64_NE, 0x96 F64Lt F64_LT, 0x97 F64Gt F64_GT, 0x98 F64Le F64_LE, 0x99 F64Ge F64_GE,
    0x9a F64Add F64_ADD, 0x9b F64Sub F64_SUB, 0x9c F64Mul F64_MUL, 0x9d F64Div F64_DIV,
    0x9e F64Min F64_MIN, 0x9f F64Max F64_MAX, 0xa0 F64Copysign F64_COPYSIGN,
    0xa1 F64Abs F64_ABS, 0xa2 F64Neg F64_NEG, 0xa3 F64Ceil F64_CEIL, 0xa4 F64Floor F64_FLOOR,
    0xa5 F64Trunc F64_TRUNC, 0xa6 F64Nearest F64_NEAREST, 0xa7 F64Sqrt F64_SQRT,
    0xa8 I32TruncF32S I32_TRUNC_F32_S, 0xa9 I32TruncF32U I32_TRUNC_F32_U,
    0xaa I32TruncF64S I32_TRUNC_F64_S, 0xab I32TruncF64U I32_TRUNC_F64_U,
    0xac I64TruncF32S I64_TRUNC_F32_S, 0xad I64TruncF32U I64_TRUNC_F32_U,
    0xae I64TruncF64S I64_TRUNC_F64_S, 0xaf I64TruncF64U I64_TRUNC_F64_U,
    0xb0 F32Demote F32_DEMOTE, 0xb1 F64Promote F64_PROMOTE,
    0xb4 I32TruncSatF32S I32_TRUNC_SAT_F32_S, 0xb5 I32TruncSatF32U I32_TRUNC_SAT_F32_U,
    0xb6 I32TruncSatF64S I32_TRUNC_SAT_F64_S, 0xb7 I32TruncSatF64U I32_TRUNC_SAT_F64_U,
    0xb8 I64TruncSatF32S I64_TRUNC_SAT_F32_S, 0xb9 I64TruncSatF32U I64_TRUNC_SAT_F32_U,
    0xba I64TruncSatF64S I64_TRUNC_SAT_F64_S, 0xbb I64TruncSatF64U I64_TRUNC_SAT_F64_U,
    0xbc F32ConvertI32S F32_CONVERT_I32_S, 0xbd F32ConvertI32U F32_CONVERT_I32_U,
    0xbe F32ConvertI64S F32_CONVERT_I64_S, 0xbf F32ConvertI64U F32_CONVERT_I64_U,
    0xc0 F64ConvertI32S F64_CONVERT_I32_S, 0xc1 F64ConvertI32U F64_CONVERT_I32_U,
    0xc2 F64ConvertI64S F64_CONVERT_I64_S, 0xc3 F64ConvertI64U F64_CONVERT_I64_U,
}

/// Whether an operation compares, so that [`BRANCH`] is allowed.
#[must_use]
pub const fn compares(operation: u16) -> bool {
    matches!(operation & 0xff, 0x40..=0x46 | 0x52..=0x55 | 0x6a..=0x6d | 0x80..=0x85 | 0x94..=0x99)
}

/// Whether an operation compares floats.
#[must_use]
pub const fn compares_floats(operation: u16) -> bool {
    matches!(operation & 0xff, 0x80..=0x85 | 0x94..=0x99)
}

/// Whether an integer operation has two operands, so that [`IMM`] is allowed.
#[must_use]
pub const fn takes_constant(operation: u16) -> bool {
    matches!(operation & 0xff, 0x41..=0x4b | 0x50..=0x5d | 0x68..=0x75)
}

/// Whether an operation loads from or stores to memory.
#[must_use]
pub const fn accesses(operation: u16) -> bool {
    matches!(operation & 0xff, 0x20..=0x2c)
}

/// Whether the machine knows an `op`: an operation with flags that it allows.
#[must_use]
pub const fn is_known(op: u16) -> bool {
    let operation = op & 0xff;
    if op as usize >= OPS || name(operation).is_none() {
        return false;
    }
    match op & (IMM | BRANCH) {
        0 => true,
        IMM => takes_constant(operation) || accesses(operation),
        BRANCH => compares(operation),
        _ => compares_floats(operation) || compares(operation) && takes_constant(operation),
    }
}

impl fmt::Display for Instruction {
    /// Name with flags and fields, for people who read a trace.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { op, a, b, c, imm } = *self;
        let flag = |set: u16, text: &'static str| if op & set == 0 { "" } else { text };
        write!(
            f,
            "{}{}{} a={a} b={b} c={c} imm={imm:#x}",
            name(op).unwrap_or("unknown"),
            flag(IMM, ".imm"),
            flag(BRANCH, ".branch"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_survives_its_encoding() {
        let instruction = Instruction {
            op: op::I64_ADD | IMM,
            a: 0x0102,
            b: 0x0304,
            c: 0x0506,
            imm: 0x0708_090a_0b0c_0d0e,
        };
        let bytes = instruction.to_bytes();
        assert_eq!(bytes[..4], [0x01, 0x68, 0x01, 0x02]);
        assert_eq!(Instruction::from_bytes(bytes), instruction);
    }

    #[test]
    fn flags_are_known_only_where_they_mean_something() {
        for (op, known) in [
            (op::I32_ADD | IMM, true),
            (op::I32_ADD | BRANCH, false),
            (op::EQZ | BRANCH, true),
            (op::EQZ | IMM, false),
            (op::EQZ | IMM | BRANCH, false),
            (op::F32_LT | IMM, false),
            (op::F32_LT | IMM | BRANCH, true),
            (op::LOAD8_U | IMM, true),
            (op::CALL | IMM, false),
            (0x3f, false),
            (0x800, false),
        ] {
            assert_eq!(is_known(op), known, "{op:#x}");
        }
    }
}
