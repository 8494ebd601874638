//! User module + guest library -> one image.
//!
//! ```text
//! user's module --wasi_snapshot_preview1--> guest library --outcry--> read_input, append_output, exit
//!     memory 0 (and 2, 3, ...)   ^               memory 1
//!                                `--outcry_user-- accessors, supplied by the linker
//! ```
//!
//! An **image** is a core module with
//! - exactly three imports, all called directly and nowhere else referenced, in this order:
//!   `outcry.read_input (i32 i64 i32 i32) -> i32`, `outcry.append_output (i32 i32)`,
//!   `outcry.exit (i32)`;
//! - the user's memory 0 as memory 0 (an empty one if the user has none), the library's as
//!   memory 1, further memories of the user after that;
//! - one export, the function `run` of type () -> (), which calls `outcry_start` of the library,
//!   the user's start function if there is one, the user's `_start`, and `outcry_exit(0)`;
//! - no start function, no custom sections, function types without duplicates (so that equal types
//!   have equal indices).
//!
//! Its functions are, in this order: imports, the user's, the library's, the three wrappers of the
//! imports, the accessors, `run`. Linking is a pure function of the two modules' bytes.

use std::collections::HashMap;
use std::sync::Arc;

use alloy_primitives::B256;
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    CodeSection, DataCountSection, DataSection, ElementSection, EntityType, ExportKind,
    ExportSection, Function, FunctionSection, GlobalSection, ImportSection, Instruction, MemArg,
    MemorySection, MemoryType, TableSection, TypeSection,
};
use wasmparser::{DataKind, ElementItems, ElementKind, ExternalKind, FuncType, TypeRef, ValType};

use crate::limits;
use crate::machine::{CommittedProgram, Program};
use crate::module::Module;
use crate::validate::{self, LoadError};

/// Import module of the three host operations.
pub const HOST_MODULE: &str = "outcry";
/// Import module of the library's accessors to the user's memory.
pub const USER_MODULE: &str = "outcry_user";
/// Import module of a program.
pub const WASI_MODULE: &str = "wasi_snapshot_preview1";
/// The image's entry.
pub const RUN_EXPORT: &str = "run";

/// The three host operations in the order of an image's imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostOperation {
    /// `read_input(stream, offset, dst, len) -> bytes read`, `dst` in memory 1.
    ReadInput = 0,
    /// `append_output(src, len)`, `src` in memory 1.
    AppendOutput = 1,
    /// `exit(code)`, never returns.
    Exit = 2,
}

impl HostOperation {
    /// All, by function index in an image.
    pub const ALL: [Self; 3] = [Self::ReadInput, Self::AppendOutput, Self::Exit];

    /// Name in [`HOST_MODULE`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadInput => "read_input",
            Self::AppendOutput => "append_output",
            Self::Exit => "exit",
        }
    }

    fn ty(self) -> FuncType {
        use ValType::{I32, I64};
        match self {
            Self::ReadInput => FuncType::new([I32, I64, I32, I32], [I32]),
            Self::AppendOutput => FuncType::new([I32, I32], []),
            Self::Exit => FuncType::new([I32], []),
        }
    }
}

/// A linked program.
#[derive(Debug, Clone)]
pub struct Image {
    module: Arc<[u8]>,
    root: B256,
}

impl Image {
    /// An image from the bytes that [`Image::module`] gave and its root, without checking either.
    /// Only for a cache that nobody else can write; everything else links.
    #[must_use]
    pub fn from_trusted_cache(module: impl Into<Arc<[u8]>>, root: B256) -> Self {
        Self {
            module: module.into(),
            root,
        }
    }

    /// The image as a WebAssembly module.
    #[must_use]
    pub fn module(&self) -> &[u8] {
        &self.module
    }

    /// The job's `imageRoot`: [`CommittedProgram::image_root`] of the flattened image.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.root
    }
}

/// The accessors to the user's memory that a library may import from [`USER_MODULE`].
#[derive(Clone, Copy)]
pub(crate) enum Accessor {
    UserSize,
    Load32,
    Load64,
    Store32,
    Store64,
    CopyFromUser,
    CopyToUser,
}

impl Accessor {
    pub(crate) const ALL: [Self; 7] = [
        Self::UserSize,
        Self::Load32,
        Self::Load64,
        Self::Store32,
        Self::Store64,
        Self::CopyFromUser,
        Self::CopyToUser,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::UserSize => "user_size",
            Self::Load32 => "load32",
            Self::Load64 => "load64",
            Self::Store32 => "store32",
            Self::Store64 => "store64",
            Self::CopyFromUser => "copy_from_user",
            Self::CopyToUser => "copy_to_user",
        }
    }

    fn ty(self) -> FuncType {
        use ValType::{I32, I64};
        match self {
            Self::UserSize => FuncType::new([], [I32]),
            Self::Load32 => FuncType::new([I32], [I32]),
            Self::Load64 => FuncType::new([I32], [I64]),
            Self::Store32 => FuncType::new([I32, I32], []),
            Self::Store64 => FuncType::new([I32, I64], []),
            Self::CopyFromUser | Self::CopyToUser => FuncType::new([I32, I32, I32], []),
        }
    }

    fn body(self) -> Function {
        const USER: MemArg = MemArg {
            offset: 0,
            align: 0,
            memory_index: USER_MEMORY,
        };
        let operation = match self {
            Self::UserSize => Instruction::MemorySize(USER_MEMORY),
            Self::Load32 => Instruction::I32Load(USER),
            Self::Load64 => Instruction::I64Load(USER),
            Self::Store32 => Instruction::I32Store(USER),
            Self::Store64 => Instruction::I64Store(USER),
            Self::CopyFromUser => Instruction::MemoryCopy {
                src_mem: USER_MEMORY,
                dst_mem: LIBRARY_MEMORY,
            },
            Self::CopyToUser => Instruction::MemoryCopy {
                src_mem: LIBRARY_MEMORY,
                dst_mem: USER_MEMORY,
            },
        };
        forward(self.ty().params().len(), operation)
    }
}

const USER_MEMORY: u32 = 0;
/// Index of the library's memory in every image; host operations read and write there.
pub const LIBRARY_MEMORY: u32 = 1;

/// A function that hands its parameters to one instruction.
fn forward(parameters: usize, operation: Instruction<'_>) -> Function {
    let mut function = Function::new([]);
    for parameter in 0..parameters as u32 {
        function.instruction(&Instruction::LocalGet(parameter));
    }
    function
        .instruction(&operation)
        .instruction(&Instruction::End);
    function
}

/// Where one of the two modules' index spaces lie in the image.
struct Relocation {
    types: Vec<u32>,
    functions: Vec<u32>,
    memories: Vec<u32>,
    first_table: u32,
    first_global: u32,
    first_element: u32,
    first_data: u32,
}

impl Reencode for Relocation {
    type Error = std::convert::Infallible;

    fn type_index(&mut self, ty: u32) -> Result<u32, reencode::Error> {
        Ok(self.types[ty as usize])
    }
    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error> {
        Ok(self.functions[function as usize])
    }
    fn memory_index(&mut self, memory: u32) -> Result<u32, reencode::Error> {
        Ok(self.memories[memory as usize])
    }
    fn table_index(&mut self, table: u32) -> Result<u32, reencode::Error> {
        Ok(self.first_table + table)
    }
    fn global_index(&mut self, global: u32) -> Result<u32, reencode::Error> {
        Ok(self.first_global + global)
    }
    fn element_index(&mut self, element: u32) -> Result<u32, reencode::Error> {
        Ok(self.first_element + element)
    }
    fn data_index(&mut self, data: u32) -> Result<u32, reencode::Error> {
        Ok(self.first_data + data)
    }
}

impl From<reencode::Error> for LoadError {
    fn from(error: reencode::Error) -> Self {
        match error {
            reencode::Error::ParseError(error) => error.into(),
            // The modules are validated, so that re-encoding cannot fail otherwise.
            other => Self::Malformed {
                message: other.to_string(),
                offset: 0,
            },
        }
    }
}

/// Function types without duplicates.
#[derive(Default)]
struct Types {
    section: TypeSection,
    indices: HashMap<FuncType, u32>,
}

impl Types {
    fn index(&mut self, ty: &FuncType) -> Result<u32, LoadError> {
        if let Some(index) = self.indices.get(ty) {
            return Ok(*index);
        }
        let index = self.indices.len() as u32;
        self.section
            .ty()
            .func_type(&reencode::RoundtripReencoder.func_type(ty.clone())?);
        self.indices.insert(ty.clone(), index);
        Ok(index)
    }
}

/// Links a program with the in-machine WASI library of this machine version.
///
/// # Errors
/// [`LoadError`]: the program is malformed, uses what is not accepted, imports what nobody offers,
/// or has no entry.
pub fn link(program: &[u8]) -> Result<Image, LoadError> {
    link_with_library(program, crate::guest::LIBRARY)
}

/// Links a program with a guest library.
///
/// # Errors
/// [`LoadError`]: the program is malformed, uses what is not accepted, imports what nobody offers,
/// or has no entry. [`LoadError::Library`] if the library itself is at fault.
pub fn link_with_library(program: &[u8], library: &[u8]) -> Result<Image, LoadError> {
    link_and_commit(program, library).map(|(image, _)| image)
}

/// Links a program with a guest library, and gives what the machine runs as well: the root is made
/// from it.
///
/// # Errors
/// As [`link_with_library`].
pub fn link_and_commit(
    program: &[u8],
    library: &[u8],
) -> Result<(Image, CommittedProgram), LoadError> {
    let module = combine(program, library)?;
    let committed = CommittedProgram::new(Arc::new(Program::from_module(&module)?));
    let image = Image {
        module: module.into(),
        root: committed.image_root(),
    };
    Ok((image, committed))
}

/// The image's module.
fn combine(program: &[u8], library: &[u8]) -> Result<Vec<u8>, LoadError> {
    validate::module(program)?;
    validate::module(library).map_err(|error| LoadError::Library(error.to_string()))?;
    let user = Module::parse(program)?;
    let guest = Module::parse(library)?;
    check_library(&guest)?;
    check_segments(&user)?;
    check_segments(&guest)?;

    let user_defined = user.bodies.len() as u32;
    let guest_defined = guest.bodies.len() as u32;
    let first_user = HostOperation::ALL.len() as u32;
    let first_guest = first_user + user_defined;
    let first_wrapper = first_guest + guest_defined;
    let first_accessor = first_wrapper + HostOperation::ALL.len() as u32;
    let run = first_accessor + Accessor::ALL.len() as u32;

    // Library functions by name: what the user may import.
    let exported: HashMap<&str, u32> = guest
        .exports
        .iter()
        .filter(|e| e.kind == ExternalKind::Func)
        .map(|e| (e.name, e.index))
        .collect();

    let mut types = Types::default();
    let type_map = |types: &mut Types, module: &Module<'_>| {
        module
            .types
            .iter()
            .map(|ty| types.index(ty))
            .collect::<Result<Vec<u32>, LoadError>>()
    };

    let mut guest_relocation = Relocation {
        types: Vec::new(),
        functions: Vec::new(),
        memories: vec![LIBRARY_MEMORY],
        first_table: user.tables.len() as u32,
        first_global: user.globals.len() as u32,
        first_element: user.elements.len() as u32,
        first_data: user.data.len() as u32,
    };
    for (offset, import) in &guest.imports {
        guest_relocation.functions.push(library_import(
            &guest,
            *offset,
            import,
            first_wrapper,
            first_accessor,
        )?);
    }
    guest_relocation
        .functions
        .extend(first_guest..first_wrapper);

    let mut user_relocation = Relocation {
        types: Vec::new(),
        functions: Vec::new(),
        memories: (0..user.memories.len() as u32)
            .map(|m| if m < LIBRARY_MEMORY { m } else { m + 1 })
            .collect(),
        first_table: 0,
        first_global: 0,
        first_element: 0,
        first_data: 0,
    };
    for (offset, import) in &user.imports {
        let index = exported
            .get(import.name)
            .filter(|_| import.module == WASI_MODULE && is_wasi_name(import.name));
        let (Some(index), TypeRef::Func(ty)) = (index, import.ty) else {
            return Err(LoadError::UnknownImport {
                module: import.module.to_owned(),
                name: import.name.to_owned(),
                offset: *offset,
            });
        };
        check_type(
            import,
            *offset,
            guest.function_type(*index),
            &user.types[ty as usize],
        )?;
        user_relocation
            .functions
            .push(guest_relocation.functions[*index as usize]);
    }
    user_relocation.functions.extend(first_user..first_guest);
    let entry = entry_function(&user, "_start")?;
    user_relocation.types = type_map(&mut types, &user)?;
    guest_relocation.types = type_map(&mut types, &guest)?;

    let mut imports = ImportSection::new();
    for operation in HostOperation::ALL {
        imports.import(
            HOST_MODULE,
            operation.name(),
            EntityType::Function(types.index(&operation.ty())?),
        );
    }

    let mut functions = FunctionSection::new();
    let mut code = CodeSection::new();
    let mut tables = TableSection::new();
    let mut globals = GlobalSection::new();
    let mut elements = ElementSection::new();
    let mut data = DataSection::new();
    for (module, relocation) in [
        (&user, &mut user_relocation),
        (&guest, &mut guest_relocation),
    ] {
        for ty in &module.functions[module.imported_functions as usize..] {
            functions.function(relocation.types[*ty as usize]);
        }
        for body in &module.bodies {
            relocation.parse_function_body(&mut code, body.clone())?;
        }
        for table in &module.tables {
            relocation.parse_table(&mut tables, table.clone())?;
        }
        for global in &module.globals {
            relocation.parse_global(&mut globals, global.clone())?;
        }
        for (_, element) in &module.elements {
            relocation.parse_element(&mut elements, element.clone())?;
        }
        for (_, datum) in &module.data {
            relocation.parse_data(&mut data, datum.clone())?;
        }
    }
    for operation in HostOperation::ALL {
        functions.function(types.index(&operation.ty())?);
        code.function(&forward(
            operation.ty().params().len(),
            Instruction::Call(operation as u32),
        ));
    }
    for accessor in Accessor::ALL {
        functions.function(types.index(&accessor.ty())?);
        code.function(&accessor.body());
    }
    functions.function(types.index(&FuncType::new([], []))?);
    let mut body = Function::new([]);
    body.instruction(&Instruction::Call(
        guest_relocation.functions[start_function(&guest)? as usize],
    ));
    if let Some(start) = user.start {
        body.instruction(&Instruction::Call(
            user_relocation.functions[start as usize],
        ));
    }
    body.instruction(&Instruction::Call(
        user_relocation.functions[entry as usize],
    ));
    body.instruction(&Instruction::I32Const(0));
    body.instruction(&Instruction::Call(
        guest_relocation.functions[exit_function(&guest)? as usize],
    ));
    body.instruction(&Instruction::Unreachable)
        .instruction(&Instruction::End);
    code.function(&body);

    let mut memories = MemorySection::new();
    let empty = MemoryType {
        minimum: 0,
        maximum: Some(0),
        memory64: false,
        shared: false,
        page_size_log2: None,
    };
    let (first, rest) = user.memories.split_at(user.memories.len().min(1));
    memories.memory(first.first().map_or(empty, |m| memory_type(*m)));
    memories.memory(memory_type(guest.memories[0]));
    for memory in rest {
        memories.memory(memory_type(*memory));
    }

    let mut exports = ExportSection::new();
    exports.export(RUN_EXPORT, ExportKind::Func, run);

    let mut image = wasm_encoder::Module::new();
    image
        .section(&types.section)
        .section(&imports)
        .section(&functions);
    if !tables.is_empty() {
        image.section(&tables);
    }
    image.section(&memories);
    if !globals.is_empty() {
        image.section(&globals);
    }
    image.section(&exports);
    if !elements.is_empty() {
        image.section(&elements);
    }
    if !data.is_empty() {
        image.section(&DataCountSection { count: data.len() });
    }
    image.section(&code);
    if !data.is_empty() {
        image.section(&data);
    }
    let bytes = image.finish();
    if bytes.len() as u64 > limits::MODULE_BYTES {
        return Err(LoadError::Limit {
            what: "bytes of a linked image",
            value: bytes.len() as u64,
            max: limits::MODULE_BYTES,
            offset: 0,
        });
    }
    Ok(bytes)
}

fn memory_type(ty: wasmparser::MemoryType) -> MemoryType {
    MemoryType {
        minimum: ty.initial,
        maximum: ty.maximum,
        memory64: false,
        shared: false,
        page_size_log2: None,
    }
}

/// The library's own entries are not for programs to import.
fn is_wasi_name(name: &str) -> bool {
    !name.starts_with("outcry_")
}

fn check_library(guest: &Module<'_>) -> Result<(), LoadError> {
    if guest.memories.len() != 1 {
        return Err(LoadError::Library(format!(
            "it must have one memory, not {}",
            guest.memories.len()
        )));
    }
    if guest.start.is_some() {
        return Err(LoadError::Library(
            "it must not have a start function".to_owned(),
        ));
    }
    Ok(())
}

fn library_import(
    guest: &Module<'_>,
    offset: usize,
    import: &wasmparser::Import<'_>,
    first_wrapper: u32,
    first_accessor: u32,
) -> Result<u32, LoadError> {
    let TypeRef::Func(ty) = import.ty else {
        return Err(LoadError::Library(format!(
            "it imports `{}`, which is no function",
            import.name
        )));
    };
    let found = match import.module {
        HOST_MODULE => HostOperation::ALL
            .into_iter()
            .find(|operation| operation.name() == import.name)
            .map(|operation| (first_wrapper + operation as u32, operation.ty())),
        USER_MODULE => Accessor::ALL
            .into_iter()
            .find(|accessor| accessor.name() == import.name)
            .map(|accessor| (first_accessor + accessor as u32, accessor.ty())),
        _ => None,
    };
    let Some((index, expected)) = found else {
        return Err(LoadError::Library(format!(
            "it imports `{}` `{}`",
            import.module, import.name
        )));
    };
    check_type(import, offset, &expected, &guest.types[ty as usize])
        .map_err(|error| LoadError::Library(error.to_string()))?;
    Ok(index)
}

fn check_type(
    import: &wasmparser::Import<'_>,
    offset: usize,
    expected: &FuncType,
    found: &FuncType,
) -> Result<(), LoadError> {
    if expected == found {
        return Ok(());
    }
    Err(LoadError::ImportType {
        module: import.module.to_owned(),
        name: import.name.to_owned(),
        expected: describe(expected),
        found: describe(found),
        offset,
    })
}

fn describe(ty: &FuncType) -> String {
    let list = |types: &[ValType]| {
        types
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    format!("({}) -> ({})", list(ty.params()), list(ty.results()))
}

fn entry_function(module: &Module<'_>, name: &'static str) -> Result<u32, LoadError> {
    exported_function(module, name, &FuncType::new([], [])).ok_or(LoadError::NoEntry { name })
}

fn start_function(guest: &Module<'_>) -> Result<u32, LoadError> {
    exported_function(guest, "outcry_start", &FuncType::new([], [])).ok_or_else(|| {
        LoadError::Library("it exports no `outcry_start` of type () -> ()".to_owned())
    })
}

fn exit_function(guest: &Module<'_>) -> Result<u32, LoadError> {
    exported_function(guest, "outcry_exit", &FuncType::new([ValType::I32], [])).ok_or_else(|| {
        LoadError::Library("it exports no `outcry_exit` of type (i32) -> ()".to_owned())
    })
}

fn exported_function(module: &Module<'_>, name: &str, ty: &FuncType) -> Option<u32> {
    module
        .exports
        .iter()
        .find(|export| export.name == name && export.kind == ExternalKind::Func)
        .map(|export| export.index)
        .filter(|index| module.function_type(*index) == ty)
}

/// Refuses active segments that do not fit, so that instantiation never traps.
fn check_segments(module: &Module<'_>) -> Result<(), LoadError> {
    for (offset, datum) in &module.data {
        if let DataKind::Active {
            memory_index,
            offset_expr,
        } = &datum.kind
        {
            let start = constant_i32(offset_expr)?;
            let size = module.memories[*memory_index as usize].initial << 16;
            if u64::from(start) + datum.data.len() as u64 > size {
                return Err(LoadError::SegmentOutOfBounds {
                    kind: "data",
                    target: "memory",
                    offset: *offset,
                });
            }
        }
    }
    for (offset, element) in &module.elements {
        if let ElementKind::Active {
            table_index,
            offset_expr,
        } = &element.kind
        {
            let start = constant_i32(offset_expr)?;
            let count = match &element.items {
                ElementItems::Functions(items) => items.count(),
                ElementItems::Expressions(_, items) => items.count(),
            };
            let size = module.tables[table_index.unwrap_or(0) as usize].ty.initial;
            if u64::from(start) + u64::from(count) > size {
                return Err(LoadError::SegmentOutOfBounds {
                    kind: "element",
                    target: "table",
                    offset: *offset,
                });
            }
        }
    }
    Ok(())
}

/// Value of a validated constant expression of type i32: no function, and no global without imports.
fn constant_i32(expression: &wasmparser::ConstExpr<'_>) -> Result<u32, LoadError> {
    crate::module::constant(expression, &[], |_| 0).map(|value| value as u32)
}
