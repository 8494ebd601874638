//! Test scripts of WebAssembly in all executions. NaNs are compared exactly.
//!
//! Modules that import from each other become one module, and what a script does with them becomes
//! its `_start`: instantiations and calls in the script's order, each with a check of its results
//! that exits with the assertion's line. So one image expresses all assertions that return. An
//! assertion that traps is a *case* of the image: a run for which the input archive names the case
//! goes the same way, but traps there.
//!
//! What one image cannot express:
//! - effects that a trapping call had before its trap are missing in what follows;
//! - of an instantiation that traps, the effects of its start function are;
//! - the module `spectest` is not shared by modules that do not import from each other.

mod merge;

use std::collections::{BTreeMap, HashMap};

use ::wast::core::{NanPattern, WastArgCore, WastRetCore};
use ::wast::lexer::Lexer;
use ::wast::parser::{self, ParseBuffer};
use ::wast::{
    QuoteWat, QuoteWatTest, Wast, WastArg, WastDirective, WastExecute, WastInvoke, WastRet, Wat,
};
use outcry_native::Engine;
use outcry_protocol::status::Status;
use outcry_verifier::task::RunLimits;
use outcry_verifier::validate::{self, FEATURES};
use outcry_verifier::{LoadError, link_with_library};
use serde::Serialize;
use wasm_encoder::{BlockType, Function, HeapType, Instruction, ValType};
use wasmparser::{ExternalKind, Payload, TypeRef};

use self::merge::{CASE, EXIT, Instance, Merger};
use crate::AuditError;
use crate::agreement::{Costs, Mismatches, OnChain, Subject, Trial};
use crate::chain::Chain;
use crate::check::{Progress, Spread, Stage};

/// How a script is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WastOptions {
    /// Which steps the chain executes.
    pub chain: OnChain,
    /// Whether also those that a case repeats of the image's first run: until it comes to its own
    /// assertion, nothing but its number tells its states from that run's.
    pub repeats: bool,
}

/// A directive that was not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its line.
    pub line: usize,
    /// The feature that it needs, or why it cannot be expressed.
    pub needs: String,
}

/// What running a script found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WastReport {
    /// The script.
    pub file: String,
    /// Modules that ran.
    pub modules: u64,
    /// Assertions that held or did not: returns, traps, exhaustions and refused modules.
    pub assertions: u64,
    /// Those of them that say that a module is refused.
    pub refused: u64,
    /// Steps of the machine in all runs.
    pub steps: u64,
    /// Steps that the chain executed.
    pub steps_on_chain: u64,
    /// Steps that it did not because they were repeated, see [`WastOptions::repeats`].
    pub steps_repeated: u64,
    /// Disagreements between executions, and assertions that do not hold.
    pub mismatches: u64,
    /// The first of them in words.
    pub differences: Vec<String>,
    /// What was not run.
    pub skipped: Vec<Skipped>,
    /// Gas of a transaction that executes one step.
    pub gas: Spread,
    /// Bytes of a step's proof.
    pub proof_bytes: Spread,
}

/// The library of all scripts: `outcry_exit` writes the first 256 bytes of the first memory as the
/// output, and `case_number` reads the archive.
const LIBRARY: &str = r#"(module
  (import "outcry" "read_input" (func $read (param i32 i64 i32 i32) (result i32)))
  (import "outcry" "append_output" (func $append (param i32 i32)))
  (import "outcry" "exit" (func $exit (param i32)))
  (import "outcry_user" "user_size" (func $user_size (result i32)))
  (import "outcry_user" "copy_from_user" (func $copy_from_user (param i32 i32 i32)))
  (memory 1)
  (func (export "outcry_start"))
  (func $outcry_exit (export "outcry_exit") (param i32)
    (if (call $user_size) (then
      (call $copy_from_user (i32.const 0) (i32.const 0) (i32.const 256))
      (call $append (i32.const 0) (i32.const 256))))
    (call $exit (local.get 0)))
  (func (export "proc_exit") (param i32) (call $outcry_exit (local.get 0)))
  (func (export "case_number") (result i32)
    (drop (call $read (i32.const 1) (i64.const 0) (i32.const 1024) (i32.const 4)))
    (i32.load (i32.const 1024))))"#;

/// The module that scripts may import from without defining it.
const SPECTEST: &str = r#"(module
  (global (export "global_i32") i32 (i32.const 666))
  (global (export "global_i64") i64 (i64.const 666))
  (global (export "global_f32") f32 (f32.const 666.6))
  (global (export "global_f64") f64 (f64.const 666.6))
  (table (export "table") 10 20 funcref)
  (memory (export "memory") 1 2)
  (func (export "print"))
  (func (export "print_i32") (param i32))
  (func (export "print_i64") (param i64))
  (func (export "print_f32") (param f32))
  (func (export "print_f64") (param f64))
  (func (export "print_i32_f32") (param i32 f32))
  (func (export "print_f64_f64") (param f64 f64)))"#;

const LIMITS: RunLimits = RunLimits {
    cycles: 1 << 36,
    pages: 1 << 16,
    slots: 1 << 18,
    output_bytes: 4096,
};
/// Frame slots for calls that are to exhaust them: enough for all that comes before.
const FEW_SLOTS: u64 = 1 << 12;

/// One call, or one look at a global.
#[derive(Debug, Clone)]
struct Action {
    instance: usize,
    export: String,
    arguments: Vec<Instruction<'static>>,
    /// Checks of the results, last result first: each leaves 0 in place of the right result.
    /// `None`: results are dropped.
    checks: Option<Vec<Vec<Instruction<'static>>>>,
    line: usize,
}

/// What a script does, in its order.
#[derive(Debug)]
enum Event {
    Instantiate(usize),
    /// Traps.
    FailToInstantiate(usize),
    Return(Action),
    Trap(Action),
    Exhaust(Action),
}

impl Event {
    fn instance(&self) -> usize {
        match self {
            Self::Instantiate(instance) | Self::FailToInstantiate(instance) => *instance,
            Self::Return(action) | Self::Trap(action) | Self::Exhaust(action) => action.instance,
        }
    }
}

/// A module of the script.
#[derive(Debug)]
struct Definition {
    bytes: Vec<u8>,
    line: usize,
    /// Nothing in it can change, nor in what it imports: copies of it cannot be told apart.
    is_constant: bool,
    /// Instances by the names under which they were registered when this one was made.
    imports_from: HashMap<String, usize>,
}

/// A script that is read.
#[derive(Default)]
struct Script {
    /// Modules; those that do not run with the reason.
    instances: Vec<Result<Definition, String>>,
    names: HashMap<String, usize>,
    registered: HashMap<String, usize>,
    events: Vec<Event>,
    report: WastReport,
    mismatches: Mismatches,
    costs: Costs,
}

/// Runs a test script in all executions.
///
/// # Errors
/// [`AuditError::Script`] if the text is no script; others if an execution could not be made.
pub fn wast(
    name: &str,
    source: &str,
    options: WastOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<WastReport, AuditError> {
    let mut script = Script::default();
    script.report.file = name.to_owned();
    script.read(source).map_err(|message| AuditError::Script {
        name: name.to_owned(),
        message,
    })?;
    let clusters = script.clusters();
    let total = clusters.len() as u64;
    let (engine, mut chain) = (Engine::new()?, Chain::new());
    for (done, events) in clusters.into_iter().enumerate() {
        progress(Progress {
            stage: Stage::Script,
            done: done as u64,
            total,
        });
        script.run(&events, options, &engine, &mut chain)?;
    }
    progress(Progress {
        stage: Stage::Script,
        done: total,
        total,
    });
    let Script {
        mut report,
        mismatches,
        costs,
        ..
    } = script;
    report.mismatches = mismatches.count();
    report.differences = mismatches.first().to_vec();
    report.gas = (&costs.gas).into();
    report.proof_bytes = (&costs.proof_bytes).into();
    Ok(report)
}

/// Why a module of a script does not run; `None` if it does. Imports are for [`Merger`] to judge.
fn refusal(module: &[u8]) -> Option<String> {
    let needs = |error: LoadError| match error {
        LoadError::Feature { feature, .. } => feature,
        other => other.to_string(),
    };
    match validate::module(module) {
        Ok(()) => None,
        // The loader asks no further; a feature may be missing as well.
        Err(LoadError::UnknownImport { .. }) => wasmparser::Validator::new_with_features(FEATURES)
            .validate_all(module)
            .err()
            .map(|error| needs(error.into())),
        Err(error) => Some(needs(error)),
    }
}

/// Whether a module could be part of a program: what the loader says to it.
fn load(module: &[u8]) -> Result<(), LoadError> {
    // The text above is no stranger's.
    let library = wat::parse_str(LIBRARY).unwrap_or_default();
    match link_with_library(module, &library) {
        Ok(_) | Err(LoadError::NoEntry { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

impl Script {
    fn read(&mut self, source: &str) -> Result<(), String> {
        let mut lexer = Lexer::new(source);
        lexer.allow_confusing_unicode(true);
        let place = |mut error: ::wast::Error| {
            error.set_text(source);
            error.to_string()
        };
        let buffer = ParseBuffer::new_with_lexer(lexer).map_err(place)?;
        let wast = parser::parse::<Wast<'_>>(&buffer).map_err(place)?;
        let mut current = None;
        for directive in wast.directives {
            let line = directive.span().linecol_in(source).0 + 1;
            match directive {
                WastDirective::Module(mut module) => {
                    let bytes = module.encode().map_err(place)?;
                    let name = module.name().map(|id| id.name().to_owned());
                    let instance = self.define(bytes, line);
                    current = Some(instance);
                    self.names.extend(name.map(|name| (name, instance)));
                    match &self.instances[instance] {
                        Ok(_) => self.events.push(Event::Instantiate(instance)),
                        Err(needs) => {
                            let needs = needs.clone();
                            self.skip(line, needs);
                        }
                    }
                }
                WastDirective::Register { name, module, .. } => {
                    if let Some(instance) = self.find(module.map(|id| id.name()), current) {
                        self.registered.insert(name.to_owned(), instance);
                    }
                }
                WastDirective::AssertReturn { exec, results, .. } => {
                    self.assert_return(&exec, Some(&results), line, current);
                }
                WastDirective::Invoke(invoke) => {
                    self.assert_return(&WastExecute::Invoke(invoke), None, line, current);
                }
                WastDirective::AssertTrap {
                    exec: WastExecute::Wat(Wat::Module(mut module)),
                    ..
                } => {
                    let bytes = module.encode().map_err(place)?;
                    self.assert_no_instance(bytes, line);
                }
                WastDirective::AssertTrap { exec, .. } => {
                    if let Some(action) = self.act(&exec, None, line, current) {
                        self.report.assertions += 1;
                        self.events.push(Event::Trap(action));
                    }
                }
                WastDirective::AssertExhaustion { call, .. } => {
                    if let Some(action) = self.act(&WastExecute::Invoke(call), None, line, current)
                    {
                        self.report.assertions += 1;
                        self.events.push(Event::Exhaust(action));
                    }
                }
                WastDirective::AssertInvalid {
                    module, message, ..
                }
                | WastDirective::AssertMalformed {
                    module, message, ..
                } => {
                    self.assert_refused(module, message, line);
                }
                WastDirective::AssertUnlinkable {
                    module: Wat::Module(mut module),
                    message,
                    ..
                } => {
                    // Whatever it is that does not link: a program imports nothing but WASI.
                    let bytes = module.encode().map_err(place)?;
                    self.expect_refused(&bytes, message, line);
                }
                other => {
                    let text = format!("{other:?}");
                    let kind = text.split([' ', '(']).next().unwrap_or_default().to_owned();
                    self.skip(line, format!("the directive {kind}"));
                }
            }
        }
        Ok(())
    }

    fn skip(&mut self, line: usize, needs: impl Into<String>) {
        self.report.skipped.push(Skipped {
            line,
            needs: needs.into(),
        });
    }

    fn find(&self, name: Option<&str>, current: Option<usize>) -> Option<usize> {
        match name {
            Some(name) => self.names.get(name).copied(),
            None => current,
        }
    }

    /// Takes a module in, with the reason if it cannot run.
    fn define(&mut self, bytes: Vec<u8>, line: usize) -> usize {
        let definition = self.definition(bytes, line);
        self.instances.push(definition);
        self.instances.len() - 1
    }

    fn definition(&self, bytes: Vec<u8>, line: usize) -> Result<Definition, String> {
        if let Some(needs) = refusal(&bytes) {
            return Err(needs);
        }
        let mut imports_from = HashMap::new();
        let mut is_constant = true;
        for payload in wasmparser::Parser::new(0).parse_all(&bytes) {
            match payload {
                Ok(Payload::ImportSection(section)) => {
                    for import in section.into_imports().flatten() {
                        match self.registered.get(import.module) {
                            Some(instance) => {
                                let definition =
                                    self.instances[*instance].as_ref().map_err(String::clone)?;
                                is_constant &= definition.is_constant;
                                imports_from.insert(import.module.to_owned(), *instance);
                            }
                            None if import.module == "spectest" => {
                                is_constant &=
                                    matches!(import.ty, TypeRef::Func(_) | TypeRef::Global(_));
                            }
                            None => return Err(format!("a module `{}`", import.module)),
                        }
                    }
                }
                Ok(Payload::GlobalSection(section)) => {
                    is_constant &= !section
                        .into_iter()
                        .flatten()
                        .any(|global| global.ty.mutable);
                }
                Ok(
                    Payload::MemorySection(_)
                    | Payload::TableSection(_)
                    | Payload::StartSection { .. },
                ) => {
                    is_constant = false;
                }
                _ => {}
            }
        }
        Ok(Definition {
            bytes,
            line,
            is_constant,
            imports_from,
        })
    }

    fn assert_return(
        &mut self,
        execute: &WastExecute<'_>,
        results: Option<&[WastRet<'_>]>,
        line: usize,
        current: Option<usize>,
    ) {
        if let Some(action) = self.act(execute, results, line, current) {
            self.report.assertions += u64::from(results.is_some());
            self.events.push(Event::Return(action));
        }
    }

    /// A call or a look at a global; skipped if its module is, or its values are no numbers.
    fn act(
        &mut self,
        execute: &WastExecute<'_>,
        results: Option<&[WastRet<'_>]>,
        line: usize,
        current: Option<usize>,
    ) -> Option<Action> {
        match self.action(execute, results, line, current) {
            Ok(action) => Some(action),
            Err(needs) => {
                self.skip(line, needs);
                None
            }
        }
    }

    fn action(
        &self,
        execute: &WastExecute<'_>,
        results: Option<&[WastRet<'_>]>,
        line: usize,
        current: Option<usize>,
    ) -> Result<Action, String> {
        let (module, export, arguments) = match execute {
            WastExecute::Invoke(WastInvoke {
                module, name, args, ..
            }) => (module, *name, &args[..]),
            WastExecute::Get { module, global, .. } => (module, *global, &[][..]),
            WastExecute::Wat(_) => return Err("a module in place of a call".to_owned()),
        };
        let instance = self
            .find(module.map(|id| id.name()), current)
            .ok_or("a module that is defined")?;
        if let Err(needs) = &self.instances[instance] {
            return Err(needs.clone());
        }
        Ok(Action {
            instance,
            export: export.to_owned(),
            arguments: arguments.iter().map(argument).collect::<Result<_, _>>()?,
            checks: results
                .map(|results| {
                    results
                        .iter()
                        .rev()
                        .map(check_result)
                        .collect::<Result<_, _>>()
                })
                .transpose()?,
            line,
        })
    }

    /// Instantiation traps: the loader sees that a segment does not fit, or the image traps.
    fn assert_no_instance(&mut self, bytes: Vec<u8>, line: usize) {
        self.report.assertions += 1;
        if matches!(load(&bytes), Err(LoadError::SegmentOutOfBounds { .. })) {
            self.report.refused += 1;
        }
        let instance = self.define(bytes, line);
        match &self.instances[instance] {
            Ok(_) => self.events.push(Event::FailToInstantiate(instance)),
            Err(needs) => {
                let needs = needs.clone();
                self.report.assertions -= 1;
                self.skip(line, needs);
            }
        }
    }

    fn assert_refused(&mut self, mut module: QuoteWat<'_>, message: &str, line: usize) {
        // Version 2 knows one memory only and a zero byte where its index would stand; several are
        // an accepted feature.
        if ["multiple memories", "zero byte expected"].contains(&message) {
            return self.skip(line, "a single memory");
        }
        match module.to_test() {
            Ok(QuoteWatTest::Binary(bytes)) => self.expect_refused(&bytes, message, line),
            // Text that does not parse is no matter of the loader.
            Ok(QuoteWatTest::Text(_)) | Err(_) => {
                if let Ok(bytes) = module.encode() {
                    self.expect_refused(&bytes, message, line);
                }
            }
        }
    }

    fn expect_refused(&mut self, module: &[u8], message: &str, line: usize) {
        self.report.assertions += 1;
        self.report.refused += 1;
        if load(module).is_ok() {
            self.mismatches
                .add(|| format!("line {line}: `{message}` loads"));
        }
    }

    /// Events of modules that depend on each other, each in the script's order.
    fn clusters(&self) -> Vec<Vec<usize>> {
        let mut leaders: Vec<usize> = (0..self.instances.len()).collect();
        for (instance, definition) in self.instances.iter().enumerate() {
            let Ok(definition) = definition else { continue };
            let others = definition.imports_from.values();
            for other in others.filter(|other| !self.is_constant(**other)) {
                let (from, to) = (leaders[*other], leaders[instance]);
                for leader in &mut leaders {
                    if *leader == from {
                        *leader = to;
                    }
                }
            }
        }
        let mut clusters: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, event) in self.events.iter().enumerate() {
            clusters
                .entry(leaders[event.instance()])
                .or_default()
                .push(at);
        }
        clusters.into_values().collect()
    }

    fn line(&self, instance: usize) -> usize {
        self.instances[instance]
            .as_ref()
            .map_or(0, |definition| definition.line)
    }

    fn is_constant(&self, instance: usize) -> bool {
        self.instances[instance]
            .as_ref()
            .is_ok_and(|definition| definition.is_constant)
    }

    fn run(
        &mut self,
        events: &[usize],
        options: WastOptions,
        engine: &Engine,
        chain: &mut Chain,
    ) -> Result<(), AuditError> {
        let program = match self.program(events) {
            Ok(program) => program,
            Err((line, needs)) => {
                self.skip(line, needs);
                return Ok(());
            }
        };
        let library = wat::parse_str(LIBRARY).map_err(|error| AuditError::Script {
            name: self.report.file.clone(),
            message: error.to_string(),
        })?;
        let image = match link_with_library(&program.bytes, &library) {
            Ok(image) => image,
            Err(error) => {
                let (_, line, _) = program.cases[0];
                self.mismatches
                    .add(|| format!("line {line}: the image does not load: {error}"));
                return Ok(());
            }
        };
        let subject = Subject::new(engine, &image)?;
        let mut way = Vec::new();
        for (case, line, expected) in program.cases {
            let slots = match expected {
                Status::OutOfFrameSlots => FEW_SLOTS,
                _ => LIMITS.slots,
            };
            let (job, archive) = (
                subject.job(RunLimits { slots, ..LIMITS }),
                case.to_le_bytes(),
            );
            let trial = Trial {
                known: &way,
                repeats: options.repeats,
                keep_way: case == 0,
                ..Trial::new(&job, &archive, options.chain)
            };
            let agreement = subject.compare(Some(chain), &trial)?;
            self.report.steps += agreement.steps;
            self.report.steps_on_chain += agreement.steps_on_chain;
            self.report.steps_repeated += agreement.steps_repeated;
            self.costs.merge(&agreement.costs);
            self.mismatches
                .merge_of(&format!("line {line}"), &agreement.mismatches);
            let outcome = agreement.halted.outcome;
            if outcome.status != expected || outcome.exit_code != 0 {
                self.mismatches.add(|| match outcome.status {
                    Status::Exited => {
                        format!("line {}: the assertion does not hold", outcome.exit_code)
                    }
                    status => {
                        format!("line {line}: the run ends as `{status}`, not as `{expected}`")
                    }
                });
            }
            if case == 0 {
                way = agreement.way;
            } else if agreement.kept_known_way {
                self.mismatches
                    .add(|| format!("line {line}: the run ends before the assertion"));
            }
        }
        Ok(())
    }

    /// The image's user module, and its cases with the statuses in which they end.
    fn program(&mut self, events: &[usize]) -> Result<Program, (usize, String)> {
        let mut merger = Merger::new();
        let mut instances = Instances::default();
        let mut body = Function::new([(1, ValType::I32)]);
        body.instruction(&Instruction::Call(CASE));
        body.instruction(&Instruction::LocalSet(0));
        let mut cases = Vec::new();
        for event in events {
            let event = &self.events[*event];
            match event {
                Event::Instantiate(id) | Event::FailToInstantiate(id) => {
                    let fails = matches!(event, Event::FailToInstantiate(_));
                    let instance = self.add(*id, fails, &mut merger, &mut instances)?;
                    if fails {
                        let line = self.line(*id);
                        cases.push((line, Status::Trapped));
                        only_in_case(&mut body, cases.len(), line, |body| {
                            instance.instantiate(body);
                        });
                        instance.instantiate_in_part(&mut body);
                    } else {
                        instance.instantiate(&mut body);
                    }
                    instances.of_script.insert(*id, instance);
                }
                Event::Return(action) => {
                    action.perform(&merger, &instances.of_script, &mut body)?
                }
                Event::Trap(action) | Event::Exhaust(action) => {
                    let expected = match event {
                        Event::Exhaust(_) => Status::OutOfFrameSlots,
                        _ => Status::Trapped,
                    };
                    cases.push((action.line, expected));
                    let mut performed = Ok(());
                    only_in_case(&mut body, cases.len(), action.line, |body| {
                        performed = action.perform(&merger, &instances.of_script, body);
                    });
                    performed?;
                }
            }
        }
        body.instruction(&Instruction::End);
        self.report.modules += instances.of_script.len() as u64;
        let first = self.events[events[0]].instance();
        let line = self.line(first);
        let cases = cases
            .into_iter()
            .zip(1..)
            .map(|((line, status), case)| (case, line, status));
        Ok(Program {
            bytes: merger.finish(&body),
            cases: std::iter::once((0, line, Status::Exited))
                .chain(cases)
                .collect(),
        })
    }

    /// Adds a module to the merged one, and before it the constant ones that it imports from.
    fn add(
        &self,
        id: usize,
        fails: bool,
        merger: &mut Merger,
        instances: &mut Instances,
    ) -> Result<Instance, (usize, String)> {
        let definition = self.instances[id]
            .as_ref()
            .map_err(|needs| (0, needs.clone()))?;
        let line = definition.line;
        for other in definition.imports_from.values() {
            if !instances.of_script.contains_key(other) {
                let instance = self.add(*other, false, merger, instances)?;
                instances.of_script.insert(*other, instance);
            }
        }
        if instances.spectest.is_none() && definition.uses_spectest() {
            let spectest = wat::parse_str(SPECTEST).map_err(|error| (line, error.to_string()))?;
            let added = merger.add(&spectest, false, |_, _| None);
            instances.spectest = Some(added.map_err(|error| (line, error))?);
        }
        let resolve = |module: &str, name: &str| match definition.imports_from.get(module) {
            Some(id) => instances.of_script.get(id)?.exports.get(name).copied(),
            None => instances.spectest.as_ref()?.exports.get(name).copied(),
        };
        merger
            .add(&definition.bytes, fails, resolve)
            .map_err(|error| (line, error))
    }
}

/// Modules that are merged already.
#[derive(Default)]
struct Instances {
    spectest: Option<Instance>,
    of_script: HashMap<usize, Instance>,
}

/// One image's user module.
struct Program {
    bytes: Vec<u8>,
    /// Number, line and end of each run.
    cases: Vec<(u32, usize, Status)>,
}

/// What happens in one case only, and ends it; reaching its end exits with the line.
fn only_in_case(body: &mut Function, case: usize, line: usize, what: impl FnOnce(&mut Function)) {
    use Instruction as I;
    body.instruction(&I::LocalGet(0));
    body.instruction(&I::I32Const(case as i32));
    body.instruction(&I::I32Eq);
    body.instruction(&I::If(BlockType::Empty));
    what(body);
    body.instruction(&I::I32Const(line as i32));
    body.instruction(&I::Call(EXIT));
    body.instruction(&I::End);
}

impl Definition {
    fn uses_spectest(&self) -> bool {
        wasmparser::Parser::new(0)
            .parse_all(&self.bytes)
            .any(|payload| {
                matches!(payload, Ok(Payload::ImportSection(section))
                if section.clone().into_imports().flatten().any(|import| {
                    import.module == "spectest" && !self.imports_from.contains_key("spectest")
                }))
            })
    }
}

impl Action {
    fn perform(
        &self,
        merger: &Merger,
        instances: &HashMap<usize, Instance>,
        body: &mut Function,
    ) -> Result<(), (usize, String)> {
        use Instruction as I;
        let export = instances
            .get(&self.instance)
            .and_then(|instance| instance.exports.get(&self.export))
            .ok_or_else(|| (self.line, format!("an export `{}`", self.export)))?;
        for argument in &self.arguments {
            body.instruction(argument);
        }
        let results = match export.kind {
            ExternalKind::Global => {
                body.instruction(&I::GlobalGet(export.index));
                1
            }
            _ => {
                body.instruction(&I::Call(export.index));
                merger.results(export.index)
            }
        };
        let Some(checks) = &self.checks else {
            (0..results).for_each(|_| {
                body.instruction(&I::Drop);
            });
            return Ok(());
        };
        for check in checks {
            for instruction in check {
                body.instruction(instruction);
            }
            body.instruction(&I::If(BlockType::Empty));
            body.instruction(&I::I32Const(self.line as i32));
            body.instruction(&I::Call(EXIT));
            body.instruction(&I::End);
        }
        Ok(())
    }
}

fn argument(argument: &WastArg<'_>) -> Result<Instruction<'static>, String> {
    Ok(match argument {
        WastArg::Core(WastArgCore::I32(value)) => Instruction::I32Const(*value),
        WastArg::Core(WastArgCore::I64(value)) => Instruction::I64Const(*value),
        WastArg::Core(WastArgCore::F32(value)) => {
            Instruction::F32Const(f32::from_bits(value.bits).into())
        }
        WastArg::Core(WastArgCore::F64(value)) => {
            Instruction::F64Const(f64::from_bits(value.bits).into())
        }
        WastArg::Core(WastArgCore::RefNull(_)) => Instruction::RefNull(HeapType::FUNC),
        other => return Err(format!("an argument {other:?}")),
    })
}

/// Replaces the result on the stack by 0 if it has the expected bits, else by another number.
fn check_result(result: &WastRet<'_>) -> Result<Vec<Instruction<'static>>, String> {
    use Instruction as I;
    let WastRet::Core(result) = result else {
        return Err("a component".to_owned());
    };
    Ok(match result {
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
        other => return Err(format!("a result {other:?}")),
    })
}
