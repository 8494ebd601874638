//! Modules that import from each other as one module: what one of them exports is what the other
//! imports, not a copy.

use std::collections::HashMap;
use std::convert::Infallible;

use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataCountSection, DataSection, ElementSection, Elements,
    Encode, EntityType, ExportKind, ExportSection, Function, FunctionSection, GlobalSection,
    ImportSection, Instruction, MemorySection, TableSection, TypeSection,
};
use wasmparser::{
    Data, DataKind, Element, ElementItems, ElementKind, ExternalKind, Payload, TypeRef,
};

/// Function index of `proc_exit (i32)` in a merged module.
pub(super) const EXIT: u32 = 0;
/// Function index of `case_number () -> i32`.
pub(super) const CASE: u32 = 1;
/// Module that the two are imported from.
const WASI: &str = "wasi_snapshot_preview1";

type Error = reencode::Error<Infallible>;

/// An export by its index in the merged module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Export {
    pub(super) kind: ExternalKind,
    pub(super) index: u32,
}

/// A segment that its module's instantiation copies.
#[derive(Debug)]
struct Segment {
    index: u32,
    /// A constant expression without its end.
    offset: Vec<u8>,
    count: u32,
    to: Destination,
}

#[derive(Debug, Clone, Copy)]
enum Destination {
    Table(u32),
    Memory(u32),
}

/// A module's place in the merged one.
#[derive(Debug, Default)]
pub(super) struct Instance {
    pub(super) exports: HashMap<String, Export>,
    segments: Vec<Segment>,
    start: Option<u32>,
}

impl Instance {
    /// What instantiation does, in a function of the merged module.
    pub(super) fn instantiate(&self, body: &mut Function) {
        for segment in &self.segments {
            segment.copy(body);
        }
        if let Some(start) = self.start {
            body.instruction(&Instruction::Call(start));
        }
    }

    /// What is left of an instantiation that traps: segments up to the first that does not fit. A
    /// start function that traps leaves nothing in one image.
    pub(super) fn instantiate_in_part(&self, body: &mut Function) {
        use Instruction as I;
        body.instruction(&I::Block(BlockType::Empty));
        for segment in &self.segments {
            body.raw(segment.offset.iter().copied());
            body.instruction(&I::I64ExtendI32U);
            body.instruction(&I::I64Const(segment.count.into()));
            body.instruction(&I::I64Add);
            match segment.to {
                Destination::Table(table) => {
                    body.instruction(&I::TableSize(table));
                    body.instruction(&I::I64ExtendI32U);
                }
                Destination::Memory(memory) => {
                    body.instruction(&I::MemorySize(memory));
                    body.instruction(&I::I64ExtendI32U);
                    body.instruction(&I::I64Const(16));
                    body.instruction(&I::I64Shl);
                }
            }
            body.instruction(&I::I64GtU);
            body.instruction(&I::BrIf(0));
            segment.copy(body);
        }
        body.instruction(&I::End);
    }
}

impl Segment {
    fn copy(&self, body: &mut Function) {
        use Instruction as I;
        body.raw(self.offset.iter().copied());
        body.instruction(&I::I32Const(0));
        body.instruction(&I::I32Const(self.count as i32));
        match self.to {
            Destination::Table(table) => {
                body.instruction(&I::TableInit {
                    elem_index: self.index,
                    table,
                });
                body.instruction(&I::ElemDrop(self.index));
            }
            Destination::Memory(mem) => {
                body.instruction(&I::MemoryInit {
                    mem,
                    data_index: self.index,
                });
                body.instruction(&I::DataDrop(self.index));
            }
        }
    }
}

/// Where a module's index spaces lie in the merged one.
#[derive(Default)]
struct Relocation {
    first_type: u32,
    first_element: u32,
    first_data: u32,
    functions: Vec<u32>,
    tables: Vec<u32>,
    memories: Vec<u32>,
    globals: Vec<u32>,
    /// What globals of the merged module start with.
    values: Vec<Vec<u8>>,
}

impl Relocation {
    fn constant(&mut self, expression: &wasmparser::ConstExpr<'_>) -> Result<Vec<u8>, Error> {
        let mut reader = expression.get_operators_reader();
        let mut bytes = Vec::new();
        while !reader.is_end_then_eof() {
            match reader.read()? {
                // An imported global is one of the merged module, which may not be named here.
                wasmparser::Operator::GlobalGet { global_index } => {
                    let global = self.globals[global_index as usize];
                    bytes.extend_from_slice(&self.values[global as usize]);
                }
                operator => self.instruction(operator)?.encode(&mut bytes),
            }
        }
        Ok(bytes)
    }
}

impl Reencode for Relocation {
    type Error = Infallible;

    fn type_index(&mut self, ty: u32) -> Result<u32, Error> {
        Ok(self.first_type + ty)
    }
    fn function_index(&mut self, function: u32) -> Result<u32, Error> {
        Ok(self.functions[function as usize])
    }
    fn table_index(&mut self, table: u32) -> Result<u32, Error> {
        Ok(self.tables[table as usize])
    }
    fn memory_index(&mut self, memory: u32) -> Result<u32, Error> {
        Ok(self.memories[memory as usize])
    }
    fn global_index(&mut self, global: u32) -> Result<u32, Error> {
        Ok(self.globals[global as usize])
    }
    fn element_index(&mut self, element: u32) -> Result<u32, Error> {
        Ok(self.first_element + element)
    }
    fn data_index(&mut self, data: u32) -> Result<u32, Error> {
        Ok(self.first_data + data)
    }
    fn const_expr(&mut self, expression: wasmparser::ConstExpr<'_>) -> Result<ConstExpr, Error> {
        Ok(ConstExpr::raw(self.constant(&expression)?))
    }
}

/// A merged module under construction.
pub(super) struct Merger {
    types: TypeSection,
    result_counts: Vec<usize>,
    functions: FunctionSection,
    /// Type of every function, the two imports first.
    function_types: Vec<u32>,
    tables: TableSection,
    memories: MemorySection,
    globals: GlobalSection,
    elements: ElementSection,
    data: DataSection,
    code: CodeSection,
    values: Vec<Vec<u8>>,
    /// Functions that some module exports: code may refer to them.
    exported: Vec<u32>,
}

impl Merger {
    pub(super) fn new() -> Self {
        let mut types = TypeSection::new();
        types.ty().function([wasm_encoder::ValType::I32], []);
        types.ty().function([], [wasm_encoder::ValType::I32]);
        types.ty().function([], []);
        Self {
            types,
            result_counts: vec![0, 1, 0],
            functions: FunctionSection::new(),
            function_types: vec![EXIT, CASE],
            tables: TableSection::new(),
            memories: MemorySection::new(),
            globals: GlobalSection::new(),
            elements: ElementSection::new(),
            data: DataSection::new(),
            code: CodeSection::new(),
            values: Vec::new(),
            exported: Vec::new(),
        }
    }

    /// Results of a function.
    pub(super) fn results(&self, function: u32) -> usize {
        self.result_counts[self.function_types[function as usize] as usize]
    }

    /// Adds a module whose imports `resolve` finds. `traps`: its instantiation does, so that none of
    /// its segments may be copied ahead of time.
    pub(super) fn add(
        &mut self,
        module: &[u8],
        traps: bool,
        resolve: impl Fn(&str, &str) -> Option<Export>,
    ) -> Result<Instance, String> {
        let mut relocation = Relocation {
            first_type: self.result_counts.len() as u32,
            first_element: self.elements.len(),
            first_data: self.data.len(),
            values: std::mem::take(&mut self.values),
            ..Relocation::default()
        };
        let added = self.add_sections(module, traps, resolve, &mut relocation);
        self.values = relocation.values;
        added
    }

    fn add_sections(
        &mut self,
        module: &[u8],
        traps: bool,
        resolve: impl Fn(&str, &str) -> Option<Export>,
        at: &mut Relocation,
    ) -> Result<Instance, String> {
        let mut instance = Instance::default();
        let (mut imported_tables, mut imported_memories) = (0, 0);
        let text = |error: Error| error.to_string();
        for payload in wasmparser::Parser::new(0).parse_all(module) {
            match payload.map_err(|error| error.to_string())? {
                Payload::TypeSection(section) => {
                    for ty in section.into_iter_err_on_gc_types() {
                        let ty = ty.map_err(|error| error.to_string())?;
                        self.result_counts.push(ty.results().len());
                        let ty = reencode::RoundtripReencoder.func_type(ty).map_err(text)?;
                        self.types.ty().func_type(&ty);
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import.map_err(|error| error.to_string())?;
                        let export = resolve(import.module, import.name).ok_or_else(|| {
                            format!("nobody exports `{}` `{}`", import.module, import.name)
                        })?;
                        let (kind, indices) = match import.ty {
                            TypeRef::Func(_) => (ExternalKind::Func, &mut at.functions),
                            TypeRef::Table(_) => (ExternalKind::Table, &mut at.tables),
                            TypeRef::Memory(_) => (ExternalKind::Memory, &mut at.memories),
                            TypeRef::Global(_) => (ExternalKind::Global, &mut at.globals),
                            other => return Err(format!("imports of {other:?}")),
                        };
                        if kind != export.kind {
                            return Err(format!("`{}` is no {kind:?}", import.name));
                        }
                        indices.push(export.index);
                    }
                    (imported_tables, imported_memories) =
                        (at.tables.len() as u32, at.memories.len() as u32);
                }
                Payload::FunctionSection(section) => {
                    for ty in section {
                        let ty = at.first_type + ty.map_err(|error| error.to_string())?;
                        at.functions.push(self.function_types.len() as u32);
                        self.function_types.push(ty);
                        self.functions.function(ty);
                    }
                }
                Payload::TableSection(section) => {
                    for table in section {
                        let table = table.map_err(|error| error.to_string())?;
                        at.tables.push(self.tables.len());
                        at.parse_table(&mut self.tables, table).map_err(text)?;
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        let memory = memory.map_err(|error| error.to_string())?;
                        at.memories.push(self.memories.len());
                        self.memories.memory(memory.into());
                    }
                }
                Payload::GlobalSection(section) => {
                    for global in section {
                        let global = global.map_err(|error| error.to_string())?;
                        let value = at.constant(&global.init_expr).map_err(text)?;
                        let ty = at.global_type(global.ty).map_err(text)?;
                        self.globals
                            .global(ty, &ConstExpr::raw(value.iter().copied()));
                        at.globals.push(at.values.len() as u32);
                        at.values.push(value);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export.map_err(|error| error.to_string())?;
                        let indices = match export.kind {
                            ExternalKind::Func => &at.functions,
                            ExternalKind::Table => &at.tables,
                            ExternalKind::Memory => &at.memories,
                            ExternalKind::Global => &at.globals,
                            other => return Err(format!("exports of {other:?}")),
                        };
                        let (kind, index) = (export.kind, indices[export.index as usize]);
                        if kind == ExternalKind::Func {
                            self.exported.push(index);
                        }
                        instance
                            .exports
                            .insert(export.name.to_owned(), Export { kind, index });
                    }
                }
                Payload::StartSection { func, .. } => {
                    instance.start = Some(at.functions[func as usize])
                }
                Payload::ElementSection(section) => {
                    for element in section {
                        let element = element.map_err(|error| error.to_string())?;
                        let copied = self
                            .element(element, traps, imported_tables, at)
                            .map_err(text)?;
                        instance.segments.extend(copied);
                    }
                }
                Payload::DataSection(section) => {
                    for datum in section {
                        let datum = datum.map_err(|error| error.to_string())?;
                        let copied = self
                            .datum(datum, traps, imported_memories, at)
                            .map_err(text)?;
                        instance.segments.extend(copied);
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    at.parse_function_body(&mut self.code, body).map_err(text)?;
                }
                _ => {}
            }
        }
        Ok(instance)
    }

    /// Nobody sees a module's own tables before its instantiation, so that what is copied to them can
    /// be there from the start. A table of somebody else's gets its elements when it is time.
    fn element(
        &mut self,
        mut element: Element<'_>,
        traps: bool,
        imported_tables: u32,
        at: &mut Relocation,
    ) -> Result<Option<Segment>, Error> {
        let count = match &element.items {
            ElementItems::Functions(items) => items.count(),
            ElementItems::Expressions(_, items) => items.count(),
        };
        let mut copied = None;
        if let ElementKind::Active {
            table_index,
            offset_expr,
        } = &element.kind
        {
            let table = table_index.unwrap_or(0);
            if traps || table < imported_tables {
                copied = Some(Segment {
                    index: self.elements.len(),
                    offset: at.constant(offset_expr)?,
                    count,
                    to: Destination::Table(at.tables[table as usize]),
                });
                element.kind = ElementKind::Passive;
            }
        }
        at.parse_element(&mut self.elements, element)?;
        Ok(copied)
    }

    /// The same for memories.
    fn datum(
        &mut self,
        mut datum: Data<'_>,
        traps: bool,
        imported_memories: u32,
        at: &mut Relocation,
    ) -> Result<Option<Segment>, Error> {
        let mut copied = None;
        if let DataKind::Active {
            memory_index,
            offset_expr,
        } = &datum.kind
            && (traps || *memory_index < imported_memories)
        {
            copied = Some(Segment {
                index: self.data.len(),
                offset: at.constant(offset_expr)?,
                count: datum.data.len() as u32,
                to: Destination::Memory(at.memories[*memory_index as usize]),
            });
            datum.kind = DataKind::Passive;
        }
        at.parse_data(&mut self.data, datum)?;
        Ok(copied)
    }

    /// The merged module with `body` as its `_start`.
    pub(super) fn finish(mut self, body: &Function) -> Vec<u8> {
        let start = self.function_types.len() as u32;
        self.functions.function(2);
        self.code.function(body);
        self.elements
            .declared(Elements::Functions(self.exported.into()));
        let mut imports = ImportSection::new();
        imports.import(WASI, "proc_exit", EntityType::Function(EXIT));
        imports.import(WASI, "case_number", EntityType::Function(CASE));
        let mut exports = ExportSection::new();
        exports.export("_start", ExportKind::Func, start);
        let mut module = wasm_encoder::Module::new();
        module
            .section(&self.types)
            .section(&imports)
            .section(&self.functions)
            .section(&self.tables)
            .section(&self.memories)
            .section(&self.globals)
            .section(&exports)
            .section(&self.elements)
            .section(&DataCountSection {
                count: self.data.len(),
            })
            .section(&self.code)
            .section(&self.data);
        module.finish()
    }
}
