//! The definition of cycles and slots a second time, written to be read rather than to be fast:
//! every charge is a call of the host, which keeps the counts; blocks are found by looking ahead;
//! operand heights come from the WebAssembly validator; NaNs are made canonical by the compiler at
//! every float instruction. Only the tables of weights are shared with the product.

use outcry_protocol::status::Status;
use outcry_verifier::task::RunLimits;
use outcry_verifier::{Image, cost, limits, validate};
use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    BlockType, CodeSection, EntityType, Function, ImportSection, Instruction, TypeSection, ValType,
};
use wasmparser::{
    FuncValidatorAllocations, FunctionBody, Operator, Parser, ValidPayload, Validator,
};
use wasmtime::{Caller, Config, Engine, Func, Instance, Module, ResourceLimiter, Store, Trap};

use crate::support::header;

/// What a run gives: status, exit code, cycles, output.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(crate) struct Outcome {
    pub(crate) status: Status,
    pub(crate) exit_code: u32,
    pub(crate) cycles: u64,
    pub(crate) output: Vec<u8>,
}

pub(crate) fn engine() -> Engine {
    let mut config = Config::new();
    config
        .cranelift_nan_canonicalization(true)
        .max_wasm_stack(256 << 20)
        .async_stack_size(256 << 20);
    config.memory_init_cow(false);
    Engine::new(&config).unwrap()
}

// Host functions of the reference, after the image's three imports.
const CHARGE: u32 = 3;
const CHARGE_SIZE: u32 = 4;
const ENTER: u32 = 5;
const LEAVE: u32 = 6;
const ADDED: u32 = 4;

#[derive(Default)]
struct Transform {
    types: Vec<wasmparser::FuncType>,
    /// Type index and frame slots of every defined function.
    functions: Vec<(u32, u64)>,
    next: usize,
    added_types: u32,
    label_types: u32,
}

/// Fixed cycles of an operator; the image's functions 0 and 1 are host operations with a price.
fn fixed(operator: &Operator<'_>) -> u64 {
    let host = match operator {
        Operator::Call { function_index: 0 } => cost::HostCost::READ_INPUT.fixed,
        Operator::Call { function_index: 1 } => cost::HostCost::APPEND_OUTPUT.fixed,
        _ => 0,
    };
    cost::instruction(operator).unwrap() + host
}

/// What the size of an operator's last operand costs, by kind.
fn size_kind(operator: &Operator<'_>) -> Option<i32> {
    match operator {
        Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } | Operator::MemoryInit { .. } => {
            Some(0)
        }
        Operator::Call { function_index: 0 } => Some(0),
        Operator::Call { function_index: 1 } => Some(1),
        Operator::MemoryGrow { .. } => Some(2),
        Operator::TableCopy { .. }
        | Operator::TableFill { .. }
        | Operator::TableInit { .. }
        | Operator::TableGrow { .. } => Some(3),
        _ => None,
    }
}

fn size_cycles(n: u32, kind: i32) -> u64 {
    let n = u64::from(n);
    match kind {
        0 => n / 8,
        1 => n * 8,
        2 => n.min(65536) * 4096,
        _ => n,
    }
}

fn ends_block(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Else
            | Operator::End
            | Operator::BrIf { .. }
            | Operator::Br { .. }
            | Operator::BrTable { .. }
            | Operator::Return
            | Operator::Unreachable
    )
}

/// Whether each operator of a body is dead: some `br`, `br_table`, `return` or `unreachable` stands
/// before it in a block that is still open.
fn dead(operators: &[Operator<'_>]) -> Vec<bool> {
    let mut open = vec![false];
    let mut dead = Vec::new();
    for operator in operators {
        let closes = matches!(operator, Operator::End | Operator::Else);
        let enclosing = if closes {
            &open[..open.len() - 1]
        } else {
            &open[..]
        };
        dead.push(enclosing.contains(&true));
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                open.push(false)
            }
            Operator::Else => *open.last_mut().unwrap() = false,
            Operator::End => {
                open.pop();
            }
            Operator::Br { .. }
            | Operator::BrTable { .. }
            | Operator::Return
            | Operator::Unreachable => {
                *open.last_mut().unwrap() = true;
            }
            _ => {}
        }
    }
    dead
}

fn operators<'a>(body: &FunctionBody<'a>) -> Vec<Operator<'a>> {
    let mut reader = body.get_operators_reader().unwrap();
    let mut operators = Vec::new();
    while !reader.eof() {
        operators.push(reader.read().unwrap());
    }
    operators
}

impl Transform {
    fn read(image: &[u8]) -> Self {
        let mut this = Self::default();
        let mut validator = Validator::new_with_features(validate::FEATURES);
        let mut allocations = FuncValidatorAllocations::default();
        for payload in Parser::new(0).parse_all(image) {
            let payload = payload.unwrap();
            if let wasmparser::Payload::TypeSection(section) = &payload {
                this.types = section
                    .clone()
                    .into_iter_err_on_gc_types()
                    .map(Result::unwrap)
                    .collect();
            }
            if let ValidPayload::Func(function, body) = validator.payload(&payload).unwrap() {
                let ty = function.ty;
                let mut function = function.into_validator(allocations);
                let mut reader = body.get_binary_reader();
                function.read_locals(&mut reader).unwrap();
                let signature = &this.types[ty as usize];
                let parameters = signature.params().len() as u64;
                let declared = u64::from(function.len_locals()) - parameters;
                let operators = operators(&body);
                let dead = dead(&operators);
                let mut height = signature.results().len();
                for (at, operator) in operators.iter().enumerate() {
                    function.op(at + 1, operator).unwrap();
                    let transfers = matches!(
                        operator,
                        Operator::Br { .. }
                            | Operator::BrTable { .. }
                            | Operator::Return
                            | Operator::Unreachable
                    );
                    if !dead[at] && !transfers && at + 1 < operators.len() {
                        height = height.max(function.operand_stack_height() as usize);
                    }
                }
                let slots = 8 + parameters + declared + height as u64 + operators.len() as u64 / 64;
                this.functions.push((ty, slots));
                allocations = function.into_allocations();
            }
        }
        this
    }
}

impl Reencode for Transform {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error> {
        Ok(if function < 3 {
            function
        } else {
            function + ADDED
        })
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        utils::parse_type_section(self, types, section)?;
        self.added_types = types.len();
        types.ty().function([ValType::I64], []);
        types.ty().function([ValType::I32, ValType::I32], []);
        self.label_types = types.len();
        for ty in self.types.clone() {
            let results: Vec<_> = ty
                .results()
                .iter()
                .map(|ty| self.val_type(*ty).unwrap())
                .collect();
            types.ty().function([], results);
        }
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        utils::parse_import_section(self, imports, section)?;
        for (name, ty) in [
            ("charge", 0),
            ("charge_size", 1),
            ("enter", 0),
            ("leave", 0),
        ] {
            imports.import(
                "reference",
                name,
                EntityType::Function(self.added_types + ty),
            );
        }
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut wasm_encoder::ExportSection,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        exports.export("library", wasm_encoder::ExportKind::Memory, 1);
        utils::parse_export_section(self, exports, section)
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), reencode::Error> {
        let (ty, slots) = self.functions[self.next];
        self.next += 1;
        let parameters = self.types[ty as usize].params().len() as u32;
        let mut locals = Vec::new();
        for run in body.get_locals_reader()? {
            let (count, ty) = run?;
            locals.push((count, self.val_type(ty)?));
        }
        let declared: u32 = locals.iter().map(|(count, _)| *count).sum();
        locals.push((1, ValType::I32));
        let scratch = parameters + declared;
        let mut out = Function::new(locals);
        out.instruction(&Instruction::I64Const(slots as i64))
            .instruction(&Instruction::Call(ENTER));
        out.instruction(&Instruction::Block(BlockType::FunctionType(
            self.label_types + ty,
        )));
        let operators = operators(&body);
        let dead = dead(&operators);
        let mut depth = 0;
        for (at, operator) in operators.iter().enumerate() {
            if dead[at] {
                continue;
            }
            let starts = at == 0
                || matches!(
                    operators[at - 1],
                    Operator::Loop { .. }
                        | Operator::If { .. }
                        | Operator::Else
                        | Operator::End
                        | Operator::BrIf { .. }
                );
            if starts {
                let entry = if at == 0 {
                    3 + u64::from(declared) / 4
                } else {
                    0
                };
                let mut last = at;
                while !ends_block(&operators[last]) {
                    last += 1;
                }
                let cycles = operators[at..=last].iter().map(fixed).sum::<u64>() + entry;
                out.instruction(&Instruction::I64Const(cycles as i64))
                    .instruction(&Instruction::Call(CHARGE));
            }
            if let Some(kind) = size_kind(operator) {
                out.instruction(&Instruction::LocalTee(scratch))
                    .instruction(&Instruction::LocalGet(scratch));
                out.instruction(&Instruction::I32Const(kind))
                    .instruction(&Instruction::Call(CHARGE_SIZE));
            }
            match operator {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => depth += 1,
                Operator::End => depth -= 1,
                _ => {}
            }
            if matches!(operator, Operator::Return) {
                out.instruction(&Instruction::Br(depth as u32));
            } else {
                out.instruction(&self.instruction(operator.clone())?);
            }
        }
        out.instruction(&Instruction::I64Const(slots as i64))
            .instruction(&Instruction::Call(LEAVE));
        out.instruction(&Instruction::End);
        code.function(&out);
        Ok(())
    }
}

struct Host {
    header: Vec<u8>,
    input: Vec<u8>,
    cycles: u64,
    slots: u64,
    pages: u64,
    limits: RunLimits,
    output: Vec<u8>,
    end: Option<(Status, u32)>,
    refused_at_start: bool,
    is_started: bool,
}

impl ResourceLimiter for Host {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let pages = self.pages + ((desired - current) >> 16) as u64;
        if desired > maximum.unwrap_or(1 << 32) || pages > self.limits.pages.into() {
            self.refused_at_start |= !self.is_started;
            return Ok(false);
        }
        self.pages = pages;
        Ok(true)
    }
    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= maximum.unwrap_or(desired) && desired as u64 <= limits::TABLE_ENTRIES)
    }
}

fn stop<T>(host: &mut Host, status: Status, code: u32) -> wasmtime::Result<T> {
    host.end = Some((status, code));
    Err(wasmtime::Error::msg("stopped"))
}

fn charge(host: &mut Host, cycles: u64) -> wasmtime::Result<()> {
    if host.cycles + cycles > host.limits.cycles {
        host.cycles = host.limits.cycles;
        return stop(host, Status::OutOfCycles, 0);
    }
    host.cycles += cycles;
    Ok(())
}

/// The compiled reference of an image.
pub(crate) struct Reference(Module);

impl Reference {
    pub(crate) fn new(engine: &Engine, image: &Image) -> Self {
        let mut transform = Transform::read(image.module());
        let mut module = wasm_encoder::Module::new();
        transform
            .parse_core_module(&mut module, Parser::new(0), image.module())
            .unwrap();
        Self(Module::from_binary(engine, &module.finish()).unwrap())
    }

    pub(crate) fn run(&self, limits: RunLimits, input: &[u8]) -> Outcome {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(260 << 20);
            thread
                .spawn_scoped(scope, || self.run_here(limits, input))
                .unwrap()
                .join()
                .unwrap()
        })
    }

    fn run_here(&self, limits: RunLimits, input: &[u8]) -> Outcome {
        let host = Host {
            header: header(limits, input).to_bytes().to_vec(),
            input: input.to_vec(),
            cycles: 0,
            slots: 0,
            pages: 0,
            limits,
            output: Vec::new(),
            end: None,
            refused_at_start: false,
            is_started: false,
        };
        let mut store = Store::new(self.0.engine(), host);
        store.limiter(|host| host);
        let read = Func::wrap(
            &mut store,
            |mut caller: Caller<'_, Host>, stream: i32, at: i64, dst: i32, len: i32| {
                let memory = caller.get_export("library").unwrap().into_memory().unwrap();
                let (dst, len) = (dst as u32 as usize, len as u32 as usize);
                let (bytes, host) = memory.data_and_store_mut(&mut caller);
                let target = bytes.get_mut(dst..dst + len);
                match (target, stream) {
                    (Some(target), 0 | 1) => {
                        let source = if stream == 0 {
                            &host.header
                        } else {
                            &host.input
                        };
                        let rest = &source[(at as u64).min(source.len() as u64) as usize..];
                        let count = rest.len().min(len);
                        target[..count].copy_from_slice(&rest[..count]);
                        Ok(count as i32)
                    }
                    _ => stop(caller.data_mut(), Status::Trapped, 0),
                }
            },
        );
        let append = Func::wrap(
            &mut store,
            |mut caller: Caller<'_, Host>, src: i32, len: i32| {
                let memory = caller.get_export("library").unwrap().into_memory().unwrap();
                let (src, len) = (src as u32 as usize, len as u32 as usize);
                let (bytes, host) = memory.data_and_store_mut(&mut caller);
                match bytes.get(src..src + len) {
                    Some(_) if (host.output.len() + len) as u64 > host.limits.output_bytes => {
                        stop(host, Status::OutputLimitExceeded, 0)
                    }
                    Some(bytes) => {
                        host.output.extend_from_slice(bytes);
                        Ok(())
                    }
                    None => stop(host, Status::Trapped, 0),
                }
            },
        );
        let exit = Func::wrap(&mut store, |mut caller: Caller<'_, Host>, code: i32| {
            stop::<()>(caller.data_mut(), Status::Exited, code as u32)
        });
        let charge_fixed = Func::wrap(&mut store, |mut caller: Caller<'_, Host>, cycles: i64| {
            charge(caller.data_mut(), cycles as u64)
        });
        let charge_size = Func::wrap(
            &mut store,
            |mut caller: Caller<'_, Host>, n: i32, kind: i32| {
                charge(caller.data_mut(), size_cycles(n as u32, kind))
            },
        );
        let enter = Func::wrap(&mut store, |mut caller: Caller<'_, Host>, slots: i64| {
            let host = caller.data_mut();
            host.slots += slots as u64;
            if host.slots > host.limits.slots {
                stop(host, Status::OutOfFrameSlots, 0)
            } else {
                Ok(())
            }
        });
        let leave = Func::wrap(&mut store, |mut caller: Caller<'_, Host>, slots: i64| {
            caller.data_mut().slots -= slots as u64
        });
        let imports = [read, append, exit, charge_fixed, charge_size, enter, leave].map(Into::into);
        let result = Instance::new(&mut store, &self.0, &imports).and_then(|instance| {
            store.data_mut().is_started = true;
            instance
                .get_typed_func::<(), ()>(&mut store, "run")?
                .call(&mut store, ())
        });
        let error = result.unwrap_err();
        let host = store.into_data();
        let (status, exit_code) = match host.end {
            Some(end) => end,
            None if host.refused_at_start => (Status::Trapped, 0),
            None => {
                let trap = error
                    .downcast_ref::<Trap>()
                    .unwrap_or_else(|| panic!("{error:?}"));
                assert_ne!(*trap, Trap::StackOverflow, "the reference needs more stack");
                (Status::Trapped, 0)
            }
        };
        let output = if status == Status::Exited {
            host.output
        } else {
            Vec::new()
        };
        Outcome {
            status,
            exit_code,
            cycles: host.cycles,
            output,
        }
    }
}
