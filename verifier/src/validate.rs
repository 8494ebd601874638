//! Which WebAssembly is accepted. Every refusal names the feature or the limit and the byte offset.
//!
//! Accepted: core WebAssembly with mutable globals, sign extension, saturating conversions,
//! multi-value, bulk memory, function references as LLVM emits them (`funcref` tables, `ref.func`,
//! `ref.null func`, `ref.is_null`, `table.*`), extended constants, multi-memory, and floats.
//! Everything else is refused: an instruction that loads is an instruction that the chain executes.

use wasmparser::{
    FuncValidatorAllocations, Operator, Parser, Payload, TypeRef, ValidPayload, Validator,
    WasmFeatures,
};

use crate::{cost, limits};

/// The accepted features. Decoding depends on this set as well as validation.
pub const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::FLOATS);

/// Why a module does not load. Offsets count bytes from the start of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The bytes are no valid module. Compile the program again; the file may be truncated.
    #[error("not a valid WebAssembly module: {message} (at offset {offset:#x})")]
    Malformed {
        /// What is wrong.
        message: String,
        /// Where.
        offset: usize,
    },
    /// The module uses a feature that is not accepted. Compile without it.
    #[error(
        "the module needs the WebAssembly feature `{feature}`, which is not accepted: {message} (at offset {offset:#x}); compile without it"
    )]
    Feature {
        /// The feature's name as in the WebAssembly proposals.
        feature: String,
        /// What needs it.
        message: String,
        /// Where.
        offset: usize,
    },
    /// The module exceeds a limit of [`crate::limits`].
    #[error("the module exceeds the limit of {max} {what}: it has {value} (at offset {offset:#x})")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// What the module has.
        value: u64,
        /// The limit.
        max: u64,
        /// Where.
        offset: usize,
    },
    /// The module imports something that no image offers. Only functions of
    /// `wasi_snapshot_preview1` can be imported by a program.
    #[error(
        "unknown import `{module}` `{name}` (at offset {offset:#x}): a program may import functions of `wasi_snapshot_preview1` only"
    )]
    UnknownImport {
        /// Module name of the import.
        module: String,
        /// Item name of the import.
        name: String,
        /// Where.
        offset: usize,
    },
    /// An import exists under that name, but with another type.
    #[error("import `{module}` `{name}` has type {found}, not {expected} (at offset {offset:#x})")]
    ImportType {
        /// Module name of the import.
        module: String,
        /// Item name of the import.
        name: String,
        /// Its right type.
        expected: String,
        /// The type that the module states.
        found: String,
        /// Where.
        offset: usize,
    },
    /// The program has no entry. Build a command (with `main`), not a reactor or a library.
    #[error(
        "the program exports no function `{name}` of type () -> (); build a command with an entry, not a library"
    )]
    NoEntry {
        /// The export that is missing.
        name: &'static str,
    },
    /// An active segment does not fit the initial size of its memory or table, so the program
    /// could never start.
    #[error("an active {kind} segment lies outside its {target} (at offset {offset:#x})")]
    SegmentOutOfBounds {
        /// `data` or `element`.
        kind: &'static str,
        /// `memory` or `table`.
        target: &'static str,
        /// Where.
        offset: usize,
    },
    /// The machine's code does not pass its own check: a defect of the translator. Report it with
    /// the program.
    #[error(
        "the machine's code is unsound at instruction {pc} ({instruction}); this is a defect of outcry, please report it with the program"
    )]
    Translation {
        /// The instruction.
        instruction: String,
        /// Where it is in the code.
        pc: u32,
    },
    /// The guest library is not what the linker expects: a defect of the build, not of the program.
    #[error("the guest library cannot be linked: {0}")]
    Library(String),
}

impl From<wasmparser::Error> for LoadError {
    fn from(error: wasmparser::Error) -> Self {
        let (message, offset) = (error.message().to_owned(), error.offset());
        match error.missing_wasm_feature() {
            Some(features) => Self::Feature {
                feature: feature_name(features),
                message,
                offset,
            },
            None => Self::Malformed { message, offset },
        }
    }
}

fn feature_name(features: WasmFeatures) -> String {
    let names: Vec<String> = features
        .difference(FEATURES)
        .iter_names()
        .map(|(name, _)| name.to_lowercase().replace('_', "-"))
        .collect();
    names.join(", ")
}

fn at_most(what: &'static str, value: u64, max: u64, offset: usize) -> Result<(), LoadError> {
    if value > max {
        Err(LoadError::Limit {
            what,
            value,
            max,
            offset,
        })
    } else {
        Ok(())
    }
}

/// Checks that `bytes` is a core module of the accepted features within the limits.
///
/// # Errors
/// [`LoadError`] with the offset of the first offence.
pub fn module(bytes: &[u8]) -> Result<(), LoadError> {
    at_most(
        "bytes of a module",
        bytes.len() as u64,
        limits::MODULE_BYTES,
        0,
    )?;
    // Version 13, layer 1: a component.
    if bytes.get(4..8) == Some(&[0x0d, 0, 1, 0]) {
        return Err(LoadError::Feature {
            feature: "component-model".to_owned(),
            message: "a component, not a core module".to_owned(),
            offset: 4,
        });
    }
    check(bytes).map_err(|error| match error {
        LoadError::Malformed { message, offset } => name_feature(bytes, message, offset),
        other => other,
    })
}

/// The parser does not always say which feature would have helped: find out by allowing one more.
fn name_feature(bytes: &[u8], message: String, offset: usize) -> LoadError {
    for (_, feature) in WasmFeatures::all().difference(FEATURES).iter_names() {
        let helped = match Validator::new_with_features(FEATURES.union(feature)).validate_all(bytes)
        {
            Ok(_) => true,
            Err(later) => later.offset() > offset,
        };
        if helped {
            return LoadError::Feature {
                feature: feature_name(feature),
                message,
                offset,
            };
        }
    }
    LoadError::Malformed { message, offset }
}

fn check(bytes: &[u8]) -> Result<(), LoadError> {
    let mut validator = Validator::new_with_features(FEATURES);
    let mut allocations = FuncValidatorAllocations::default();
    let mut parser = Parser::new(0);
    parser.set_features(FEATURES);
    for payload in parser.parse_all(bytes) {
        let payload = payload?;
        let valid = validator.payload(&payload)?;
        check_section(&payload)?;
        if let ValidPayload::Func(function, body) = valid {
            let range = body.range();
            at_most(
                "bytes of a function",
                range.len() as u64,
                limits::FUNCTION_BYTES,
                range.start,
            )?;
            let mut function = function.into_validator(allocations);
            let mut reader = body.get_binary_reader();
            function.read_locals(&mut reader)?;
            at_most(
                "locals of a function",
                function.len_locals().into(),
                limits::LOCALS,
                range.start,
            )?;
            let mut operators = body.get_operators_reader()?;
            while !operators.eof() {
                let (operator, offset) = operators.read_with_offset()?;
                function.op(offset, &operator)?;
                at_most(
                    "operands on the stack",
                    function.operand_stack_height().into(),
                    limits::OPERANDS,
                    offset,
                )?;
                at_most(
                    "nested blocks",
                    function.control_stack_height().into(),
                    limits::BLOCK_DEPTH,
                    offset,
                )?;
                if let Operator::BrTable { targets } = &operator {
                    at_most(
                        "targets of a br_table",
                        u64::from(targets.len()) + 1,
                        limits::BR_TABLE_ENTRIES,
                        offset,
                    )?;
                }
                if cost::instruction(&operator).is_none() {
                    // Unreachable while the feature set and the cost table agree; refused all the same.
                    return Err(LoadError::Feature {
                        feature: format!("{operator:?}"),
                        message: "an instruction without a cost".to_owned(),
                        offset,
                    });
                }
            }
            operators.finish()?;
            allocations = function.into_allocations();
        }
    }
    Ok(())
}

fn check_section(payload: &Payload<'_>) -> Result<(), LoadError> {
    match payload {
        Payload::TypeSection(section) => {
            at_most(
                "types",
                section.count().into(),
                limits::TYPES,
                section.range().start,
            )?;
            for ty in section.clone().into_iter_err_on_gc_types() {
                let ty = ty?;
                at_most(
                    "parameters",
                    ty.params().len() as u64,
                    limits::PARAMETERS,
                    section.range().start,
                )?;
                at_most(
                    "results",
                    ty.results().len() as u64,
                    limits::RESULTS,
                    section.range().start,
                )?;
            }
        }
        Payload::ImportSection(section) => {
            let start = section.range().start;
            at_most(
                "imports",
                section.count().into(),
                limits::IMPORTS_AND_EXPORTS,
                start,
            )?;
            for import in section.clone().into_imports_with_offsets() {
                let (offset, import) = import?;
                if !matches!(import.ty, TypeRef::Func(_)) {
                    return Err(LoadError::UnknownImport {
                        module: import.module.to_owned(),
                        name: import.name.to_owned(),
                        offset,
                    });
                }
            }
        }
        Payload::FunctionSection(section) => {
            at_most(
                "functions",
                section.count().into(),
                limits::FUNCTIONS,
                section.range().start,
            )?;
        }
        Payload::TableSection(section) => {
            let start = section.range().start;
            at_most("tables", section.count().into(), limits::TABLES, start)?;
            for table in section.clone() {
                at_most(
                    "entries of a table",
                    table?.ty.initial,
                    limits::TABLE_ENTRIES,
                    start,
                )?;
            }
        }
        Payload::MemorySection(section) => {
            at_most(
                "memories",
                section.count().into(),
                limits::MEMORIES - 1,
                section.range().start,
            )?;
        }
        Payload::GlobalSection(section) => {
            at_most(
                "globals",
                section.count().into(),
                limits::GLOBALS,
                section.range().start,
            )?;
        }
        Payload::ExportSection(section) => {
            at_most(
                "exports",
                section.count().into(),
                limits::IMPORTS_AND_EXPORTS,
                section.range().start,
            )?;
        }
        Payload::ElementSection(section) => {
            at_most(
                "element segments",
                section.count().into(),
                limits::ELEMENT_SEGMENTS,
                section.range().start,
            )?;
            for element in section.clone().into_iter_with_offsets() {
                let (offset, element) = element?;
                let count = match &element.items {
                    wasmparser::ElementItems::Functions(items) => items.count(),
                    wasmparser::ElementItems::Expressions(_, items) => items.count(),
                };
                at_most(
                    "elements of a segment",
                    count.into(),
                    limits::ELEMENTS,
                    offset,
                )?;
            }
        }
        Payload::DataSection(section) => {
            at_most(
                "data segments",
                section.count().into(),
                limits::DATA_SEGMENTS,
                section.range().start,
            )?;
        }
        _ => {}
    }
    Ok(())
}
