//! A program that is as slow per cycle as honest code can be: what a signed speed is measured on.
//!
//! Every function is straight-line code that runs once and then leaves for another one chosen by
//! what it computed, so that neither instructions nor branch targets are in the nearest caches; each
//! reads and writes memory at addresses that depend on the reads before. Deadlines follow from the
//! signed speed, so measuring the best case would promise what such a program breaks.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ElementSection, Elements, ExportKind, ExportSection,
    Function, FunctionSection, Instruction as I, MemArg, MemorySection, MemoryType, Module,
    RefType, TableSection, TableType, TypeSection, ValType,
};

/// Functions, a power of two. Their machine code, about 400 bytes each, exceeds the second level
/// cache of usual cores by far less than it exceeds the first, which is what each call misses.
const FUNCTIONS: u32 = 4096;
/// Rounds of arithmetic in a function, each with constants of its own. Few, so that most of the time
/// goes into what misses.
const ROUNDS: u32 = 6;
/// A round in so many reads and writes memory.
const MEMORY_EVERY: u32 = 3;
/// Pages of memory that reads and writes wander through: 128 MiB, beyond any cache.
const PAGES: u64 = 2048;

/// The program; it never ends, so a cycle limit says how much of it runs.
pub(crate) fn program() -> Vec<u8> {
    let mut module = Module::new();
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function([ValType::I32], [ValType::I32]);
    let mut functions = FunctionSection::new();
    functions.function(0);
    for _ in 0..FUNCTIONS {
        functions.function(1);
    }
    let mut tables = TableSection::new();
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: FUNCTIONS.into(),
        maximum: Some(FUNCTIONS.into()),
        shared: false,
    });
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: PAGES,
        maximum: Some(PAGES),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports
        .export("memory", ExportKind::Memory, 0)
        .export("_start", ExportKind::Func, 0);
    let mut elements = ElementSection::new();
    let all: Vec<u32> = (1..=FUNCTIONS).collect();
    elements.active(
        Some(0),
        &ConstExpr::i32_const(0),
        Elements::Functions(all.into()),
    );
    let mut code = CodeSection::new();
    code.function(&entry());
    for index in 0..FUNCTIONS {
        code.function(&body(index));
    }
    module
        .section(&types)
        .section(&functions)
        .section(&tables)
        .section(&memories)
        .section(&exports)
        .section(&elements)
        .section(&code);
    module.finish()
}

/// `x = table[x mod FUNCTIONS](x)` for ever.
fn entry() -> Function {
    let mut function = Function::new([(1, ValType::I32)]);
    for instruction in [
        I::I32Const(1),
        I::LocalSet(0),
        I::Loop(BlockType::Empty),
        I::LocalGet(0),
        I::LocalGet(0),
        I::I32Const(FUNCTIONS as i32 - 1),
        I::I32And,
        I::CallIndirect {
            type_index: 1,
            table_index: 0,
        },
        I::LocalSet(0),
        I::Br(0),
        I::End,
        I::End,
    ] {
        function.instruction(&instruction);
    }
    function
}

/// A chain of multiplications, shifts, dependent reads and writes with constants of its own.
fn body(index: u32) -> Function {
    let mut function = Function::new([]);
    let mut seed = index.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed as i32
    };
    let word = MemArg {
        offset: 0,
        align: 2,
        memory_index: 0,
    };
    for round in 0..ROUNDS {
        for instruction in [
            I::LocalGet(0),
            I::I32Const(next() | 1),
            I::I32Mul,
            I::I32Const(next()),
            I::I32Add,
            I::LocalTee(0),
            I::LocalGet(0),
            I::I32Const(15),
            I::I32ShrU,
            I::I32Xor,
            I::LocalSet(0),
        ] {
            function.instruction(&instruction);
        }
        if round % MEMORY_EVERY == 0 {
            for instruction in [
                I::LocalGet(0),
                I::I32Const((PAGES as i32) * 65_536 - 4),
                I::I32And,
                I::I32Load(word),
                I::LocalGet(0),
                I::I32Add,
                I::LocalTee(0),
                I::I32Const((PAGES as i32) * 65_536 - 4),
                I::I32And,
                I::LocalGet(0),
                I::I32Store(word),
            ] {
                function.instruction(&instruction);
            }
        }
    }
    function.instruction(&I::LocalGet(0)).instruction(&I::End);
    function
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use alloy::primitives::B256;
    use outcry_protocol::status::Status;
    use outcry_sdk::{Engine, JobBuilder, Limits};

    #[test]
    fn the_benchmark_runs_until_its_cycles_are_spent() {
        let limits = Limits {
            cycles: 3_000_000,
            memory_mib: 256,
            ..Limits::default()
        };
        let job = JobBuilder::wasm("adversary", super::program())
            .limits(limits)
            .build(B256::ZERO)
            .unwrap();
        let output = Engine::new(None).unwrap().run(&job, 0).unwrap();
        assert_eq!(
            (output.outcome.status, output.cycles),
            (Status::OutOfCycles, 3_000_000)
        );
    }
}
