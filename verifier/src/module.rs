//! A core module cut into its sections, each section read once.

use std::ops::Range;

use wasmparser::{
    Data, Element, Export, FuncType, FunctionBody, Global, Import, MemoryType, Parser, Payload,
    Table, TypeRef,
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
