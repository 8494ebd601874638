//! A core module cut into its sections, each section read once.

use std::ops::Range;

use wasmparser::{
    ConstExpr, Data, Element, Export, FuncType, FunctionBody, Global, Import, MemoryType, Operator,
    Parser, Payload, Table, TypeRef,
};

use crate::validate::LoadError;

/// A validated module's sections. Index spaces start with the imports, as in WebAssembly.
#[derive(Default)]
pub(crate) struct Module<'a> {
    pub(crate) types: Vec<FuncType>,
    /// Imports with the byte offset of each.
    pub(crate) imports: Vec<(usize, Import<'a>)>,
    /// Type index of every function, imported ones first.
    pub(crate) functions: Vec<u32>,
    pub(crate) imported_functions: u32,
    pub(crate) tables: Vec<Table<'a>>,
    pub(crate) memories: Vec<MemoryType>,
    pub(crate) globals: Vec<Global<'a>>,
    pub(crate) exports: Vec<Export<'a>>,
    pub(crate) start: Option<u32>,
    pub(crate) elements: Vec<(usize, Element<'a>)>,
    pub(crate) data: Vec<(usize, Data<'a>)>,
    pub(crate) bodies: Vec<FunctionBody<'a>>,
    /// Where the code section lies, without its header.
    pub(crate) code: Range<usize>,
}

impl<'a> Module<'a> {
    /// Reads the sections of a module that passed [`crate::validate::module`].
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, LoadError> {
        let mut module = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::TypeSection(section) => {
                    for ty in section.into_iter_err_on_gc_types() {
                        module.types.push(ty?);
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports_with_offsets() {
                        let (offset, import) = import?;
                        if let TypeRef::Func(ty) = import.ty {
                            module.functions.push(ty);
                            module.imported_functions += 1;
                        }
                        module.imports.push((offset, import));
                    }
                }
                Payload::FunctionSection(section) => {
                    for ty in section {
                        module.functions.push(ty?);
                    }
                }
                Payload::TableSection(section) => {
                    for table in section {
                        module.tables.push(table?);
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        module.memories.push(memory?);
                    }
                }
                Payload::GlobalSection(section) => {
                    for global in section {
                        module.globals.push(global?);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        module.exports.push(export?);
                    }
                }
                Payload::StartSection { func, .. } => module.start = Some(func),
                Payload::ElementSection(section) => {
                    for element in section.into_iter_with_offsets() {
                        module.elements.push(element?);
                    }
                }
                Payload::DataSection(section) => {
                    for data in section.into_iter_with_offsets() {
                        module.data.push(data?);
                    }
                }
                Payload::CodeSectionStart { range, .. } => module.code = range,
                Payload::CodeSectionEntry(body) => module.bodies.push(body),
                _ => {}
            }
        }
        Ok(module)
    }

    /// Type of a function by its index; the module is validated, so the index is in range.
    pub(crate) fn function_type(&self, function: u32) -> &FuncType {
        &self.types[self.functions[function as usize] as usize]
    }
}

/// Value of a validated constant expression, zero-extended. `globals` are those before it, and
/// `reference` gives the value of a function's reference.
pub(crate) fn constant(
    expression: &ConstExpr<'_>,
    globals: &[u64],
    reference: impl Fn(u32) -> u64,
) -> Result<u64, LoadError> {
    use Operator as O;
    let mut reader = expression.get_operators_reader();
    let mut stack: Vec<u64> = Vec::new();
    loop {
        let (operator, offset) = reader.read_with_offset()?;
        let unsupported = |what: &str| LoadError::Malformed {
            message: format!("{what} in a constant expression"),
            offset,
        };
        let value = match operator {
            O::End => return stack.pop().ok_or_else(|| unsupported("nothing")),
            O::I32Const { value } => value as u32 as u64,
            O::I64Const { value } => value as u64,
            O::F32Const { value } => value.bits().into(),
            O::F64Const { value } => value.bits(),
            O::RefNull { .. } => 0,
            O::RefFunc { function_index } => reference(function_index),
            O::GlobalGet { global_index } => globals
                .get(global_index as usize)
                .copied()
                .ok_or_else(|| unsupported("a later global"))?,
            operator => {
                let (Some(b), Some(a)) = (stack.pop(), stack.pop()) else {
                    return Err(unsupported("an operator without operands"));
                };
                match operator {
                    O::I32Add => (a as u32).wrapping_add(b as u32).into(),
                    O::I32Sub => (a as u32).wrapping_sub(b as u32).into(),
                    O::I32Mul => (a as u32).wrapping_mul(b as u32).into(),
                    O::I64Add => a.wrapping_add(b),
                    O::I64Sub => a.wrapping_sub(b),
                    O::I64Mul => a.wrapping_mul(b),
                    other => return Err(unsupported(&format!("{other:?}"))),
                }
            }
        };
        stack.push(value);
    }
}
