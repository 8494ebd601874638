//! Writing transformed functions and the module around them.

use std::ops::Range;

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    BlockType, BranchHint, BranchHints, CodeSection, ExportSection, Function, FunctionSection,
    GlobalSection, ImportSection, Instruction, RawSection, TypeSection, ValType,
};
use wasmparser::{Operator, Parser, Payload};

use super::facts::{Facts, is_f32};
use crate::cost::SizeCost;
use crate::validate::LoadError;

/// One function being written. Locals are those of the source, with `inserted` parameters between
/// parameters and declared locals, and scratch locals at the end.
pub(super) struct Emitter {
    function: Function,
    hints: Vec<BranchHint>,
    parameters: u32,
    inserted: u32,
    scratch_i32: u32,
    scratch_f32: u32,
    scratch_f64: u32,
    /// Open blocks, the function's own label included.
    pub(super) depth: u32,
}

impl Emitter {
    pub(super) fn new(facts: &Facts<'_>, inserted: u32) -> Result<Self, LoadError> {
        let mut declared: Vec<ValType> = Vec::with_capacity(facts.locals.len() + 3);
        for ty in &facts.locals[facts.parameters..] {
            declared.push(RoundtripReencoder.val_type(*ty)?);
        }
        let first_scratch = facts.locals.len() as u32 + inserted;
        declared.extend([ValType::I32, ValType::F32, ValType::F64]);
        Ok(Self {
            function: Function::new_with_locals_types(declared),
            hints: Vec::new(),
            parameters: facts.parameters as u32,
            inserted,
            scratch_i32: first_scratch,
            scratch_f32: first_scratch + 1,
            scratch_f64: first_scratch + 2,
            depth: 0,
        })
    }

    pub(super) fn put(&mut self, instruction: &Instruction<'_>) -> &mut Self {
        self.function.instruction(instruction);
        self
    }

    fn local(&self, source: u32) -> u32 {
        if source < self.parameters {
            source
        } else {
            source + self.inserted
        }
    }

    /// The operator as it is, but for the numbers of locals. Keeps count of open blocks.
    pub(super) fn operator(&mut self, operator: &Operator<'_>) -> Result<(), LoadError> {
        let instruction = match operator {
            Operator::LocalGet { local_index } => Instruction::LocalGet(self.local(*local_index)),
            Operator::LocalSet { local_index } => Instruction::LocalSet(self.local(*local_index)),
            Operator::LocalTee { local_index } => Instruction::LocalTee(self.local(*local_index)),
            other => RoundtripReencoder.instruction(other.clone())?,
        };
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => self.depth += 1,
            Operator::End => self.depth -= 1,
            _ => {}
        }
        self.put(&instruction);
        Ok(())
    }

    /// Opens the block that stands for the function's own label.
    pub(super) fn open_function_block(&mut self, results: BlockType) {
        self.put(&Instruction::Block(results));
        self.depth = 1;
    }

    /// `return`, as a branch to the function's own label.
    pub(super) fn branch_to_function_end(&mut self) {
        let depth = self.depth - 1;
        self.put(&Instruction::Br(depth));
    }

    /// An `if` without parameters and results whose arm hardly ever runs. Must be closed by `End`.
    pub(super) fn unlikely(&mut self) {
        self.hinted_if(0);
    }

    /// An `if` without parameters and results whose `else` hardly ever runs.
    fn likely(&mut self) {
        self.hinted_if(1);
    }

    fn hinted_if(&mut self, branch_hint_value: u32) {
        self.hints.push(BranchHint {
            branch_func_offset: self.function.byte_len() as u32,
            branch_hint_value,
        });
        self.put(&Instruction::If(BlockType::Empty));
    }

    /// Makes the float on top of the stack, the result of `operator`, a canonical NaN if it is one.
    pub(super) fn canonicalise(&mut self, operator: &Operator<'_>) {
        let (local, ge, nan) = if is_f32(operator) {
            (
                self.scratch_f32,
                Instruction::F32Ge,
                Instruction::F32Const(f32::from_bits(0x7fc0_0000).into()),
            )
        } else {
            (
                self.scratch_f64,
                Instruction::F64Ge,
                Instruction::F64Const(f64::from_bits(0x7ff8 << 48).into()),
            )
        };
        // `x >= x` fails for a NaN only, and unlike `x != x` it is one flag of the processor.
        self.put(&Instruction::LocalTee(local))
            .put(&Instruction::LocalGet(local))
            .put(&ge);
        self.likely();
        self.put(&Instruction::Else)
            .put(&nan)
            .put(&Instruction::LocalSet(local))
            .put(&Instruction::End);
        self.put(&Instruction::LocalGet(local));
    }

    /// Remembers the i32 on top of the stack for [`Emitter::push_size_cost`].
    pub(super) fn remember_size(&mut self) {
        let n = self.scratch_i32;
        self.put(&Instruction::LocalTee(n));
    }

    /// Pushes the cost in cycles of the remembered size as an i64.
    pub(super) fn push_size_cost(&mut self, cost: SizeCost) {
        let n = self.scratch_i32;
        self.put(&Instruction::LocalGet(n));
        if cost.max != u32::MAX {
            let max = Instruction::I32Const(cost.max as i32);
            self.put(&max).put(&Instruction::LocalGet(n)).put(&max);
            self.put(&Instruction::I32LtU).put(&Instruction::Select);
        }
        self.put(&Instruction::I64ExtendI32U);
        if cost.shift != 0 {
            self.put(&Instruction::I64Const(cost.shift.into()))
                .put(&Instruction::I64ShrU);
        }
        if cost.factor != 1 {
            self.put(&Instruction::I64Const(cost.factor.into()))
                .put(&Instruction::I64Mul);
        }
    }

    /// Takes the i32 on top of the stack off it, for [`Emitter::restore`].
    pub(super) fn save(&mut self) {
        let local = self.scratch_i32;
        self.put(&Instruction::LocalSet(local));
    }

    /// Pushes what [`Emitter::save`] took.
    pub(super) fn restore(&mut self) {
        let local = self.scratch_i32;
        self.put(&Instruction::LocalGet(local));
    }

    pub(super) fn finish(self, index: u32, code: &mut CodeSection, hints: &mut BranchHints) {
        code.function(&self.function);
        if !self.hints.is_empty() {
            hints.function_hints(index, self.hints);
        }
    }
}

/// The sections that a transform rewrites; tables, memories, segments are the image's own.
#[derive(Default)]
pub(super) struct Sections {
    pub(super) types: TypeSection,
    pub(super) imports: ImportSection,
    pub(super) functions: FunctionSection,
    pub(super) globals: GlobalSection,
    pub(super) exports: ExportSection,
    pub(super) hints: BranchHints,
    pub(super) code: CodeSection,
}

impl Sections {
    /// The module: these sections and the rest of the image.
    pub(super) fn finish(&self, image: &[u8]) -> Result<Vec<u8>, LoadError> {
        let mut kept: [Option<Range<usize>>; 13] = Default::default();
        for payload in Parser::new(0).parse_all(image) {
            let payload = payload?;
            if !matches!(payload, Payload::CodeSectionEntry(_))
                && let Some((id, range)) = payload.as_section()
                && let Some(slot) = kept.get_mut(id as usize)
            {
                *slot = Some(range);
            }
        }
        let mut module = wasm_encoder::Module::new();
        let raw = |module: &mut wasm_encoder::Module, id: u8| {
            if let Some(range) = &kept[id as usize] {
                module.section(&RawSection {
                    id,
                    data: &image[range.clone()],
                });
            }
        };
        const TABLE: u8 = 4;
        const MEMORY: u8 = 5;
        const ELEMENT: u8 = 9;
        const DATA: u8 = 11;
        const DATA_COUNT: u8 = 12;
        module
            .section(&self.types)
            .section(&self.imports)
            .section(&self.functions);
        raw(&mut module, TABLE);
        raw(&mut module, MEMORY);
        module.section(&self.globals).section(&self.exports);
        raw(&mut module, ELEMENT);
        raw(&mut module, DATA_COUNT);
        if !self.hints.is_empty() {
            module.section(&self.hints);
        }
        module.section(&self.code);
        raw(&mut module, DATA);
        Ok(module.finish())
    }
}
