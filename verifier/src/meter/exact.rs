//! The exact transform: every charge where and when the definition says.

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    BlockType, ConstExpr, EntityType, ExportKind, GlobalType, Instruction, ValType,
};
use wasmparser::{Operator, TypeRef};

use super::abi;
use super::emit::{Emitter, Sections};
use super::facts::{Facts, size_cost};
use crate::link::{Image, LIBRARY_MEMORY};
use crate::module::Module;
use crate::validate::LoadError;

/// Indices of the transform's globals.
#[derive(Clone, Copy)]
struct Globals {
    cycles: u32,
    slots: u32,
    status: u32,
}

/// The image with exact counts at every trap and limit.
///
/// # Errors
/// [`LoadError`] if the image did not come from the linker.
pub fn exact(image: &Image) -> Result<Vec<u8>, LoadError> {
    let module = Module::parse(image.module())?;
    let mut sections = Sections::default();
    let mut encoder = RoundtripReencoder;
    for ty in &module.types {
        sections
            .types
            .ty()
            .func_type(&encoder.func_type(ty.clone())?);
    }
    // Label types of functions with several results: `() -> results`, as types of their own.
    let mut types = module.types.len() as u32;
    let mut label_types = Vec::with_capacity(module.types.len());
    for ty in &module.types {
        let ty = encoder.func_type(ty.clone())?;
        label_types.push(match ty.results() {
            [] => BlockType::Empty,
            [one] => BlockType::Result(*one),
            many => {
                sections.types.ty().function([], many.iter().copied());
                types += 1;
                BlockType::FunctionType(types - 1)
            }
        });
    }
    for (_, import) in &module.imports {
        if let TypeRef::Func(ty) = import.ty {
            sections
                .imports
                .import(import.module, import.name, EntityType::Function(ty));
        }
    }
    for ty in &module.functions[module.imported_functions as usize..] {
        sections.functions.function(*ty);
    }
    for global in &module.globals {
        encoder.parse_global(&mut sections.globals, global.clone())?;
    }
    let first = module.globals.len() as u32;
    let globals = Globals {
        cycles: first,
        slots: first + 1,
        status: first + 2,
    };
    let mutable = |val_type| GlobalType {
        val_type,
        mutable: true,
        shared: false,
    };
    sections
        .globals
        .global(mutable(ValType::I64), &ConstExpr::i64_const(0));
    sections
        .globals
        .global(mutable(ValType::I64), &ConstExpr::i64_const(0));
    sections.globals.global(
        mutable(ValType::I32),
        &ConstExpr::i32_const(abi::STATUS_NONE),
    );
    for export in &module.exports {
        encoder.parse_export(&mut sections.exports, *export)?;
    }
    sections
        .exports
        .export(abi::LIBRARY_MEMORY, ExportKind::Memory, LIBRARY_MEMORY);
    sections
        .exports
        .export(abi::CYCLES, ExportKind::Global, globals.cycles);
    sections
        .exports
        .export(abi::SLOTS, ExportKind::Global, globals.slots);
    sections
        .exports
        .export(abi::STATUS, ExportKind::Global, globals.status);

    for defined in 0..module.bodies.len() {
        let index = module.imported_functions + defined as u32;
        let facts = Facts::of(&module, defined)?;
        let label = label_types[module.functions[index as usize] as usize];
        let emitter = function(&facts, label, globals)?;
        emitter.finish(index, &mut sections.code, &mut sections.hints);
    }
    sections.finish(image.module())
}

fn function(facts: &Facts<'_>, label: BlockType, globals: Globals) -> Result<Emitter, LoadError> {
    let mut out = Emitter::new(facts, 0)?;
    let frame = Instruction::I64Const(facts.frame_slots as i64);
    out.put(&Instruction::GlobalGet(globals.slots))
        .put(&frame)
        .put(&Instruction::I64Sub);
    out.put(&Instruction::GlobalSet(globals.slots));
    halt_if_negative(&mut out, globals.slots, abi::STATUS_OUT_OF_SLOTS, globals);
    out.open_function_block(label);
    for (at, operator) in facts.operators.iter().enumerate() {
        if facts.dead[at] {
            continue;
        }
        if facts.charges[at] > 0 {
            out.put(&Instruction::GlobalGet(globals.cycles))
                .put(&Instruction::I64Const(facts.charges[at] as i64));
            charge(&mut out, globals);
        }
        if let Some(cost) = size_cost(operator) {
            out.remember_size();
            out.put(&Instruction::GlobalGet(globals.cycles));
            out.push_size_cost(cost);
            charge(&mut out, globals);
        }
        match operator {
            Operator::Return => out.branch_to_function_end(),
            operator => out.operator(operator)?,
        }
        if facts.canonical[at] {
            out.canonicalise(operator);
        }
    }
    out.put(&Instruction::GlobalGet(globals.slots))
        .put(&frame)
        .put(&Instruction::I64Add);
    out.put(&Instruction::GlobalSet(globals.slots))
        .put(&Instruction::End);
    Ok(out)
}

/// With register and cost on the stack: subtracts, stores, halts below zero.
fn charge(out: &mut Emitter, globals: Globals) {
    out.put(&Instruction::I64Sub)
        .put(&Instruction::GlobalSet(globals.cycles));
    halt_if_negative(out, globals.cycles, abi::STATUS_OUT_OF_CYCLES, globals);
}

fn halt_if_negative(out: &mut Emitter, global: u32, status: i32, globals: Globals) {
    out.put(&Instruction::GlobalGet(global))
        .put(&Instruction::I64Const(0))
        .put(&Instruction::I64LtS);
    out.unlikely();
    out.put(&Instruction::I32Const(status))
        .put(&Instruction::GlobalSet(globals.status));
    out.put(&Instruction::Unreachable).put(&Instruction::End);
}
