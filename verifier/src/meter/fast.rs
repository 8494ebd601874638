//! The fast transform: the register travels in parameters and results, charges are merged.
//!
//! Not every function needs all of it. From the graph of direct calls:
//! - a function is **bounded** if no call it makes, directly or through others, is indirect or part
//!   of a recursion. Its stack need is a constant, for which its unbounded callers check once, so it
//!   takes no slots;
//! - a bounded function is **constant** if it always costs the same (all its charges are in its
//!   first block, its callees are constant). The caller charges for it, so it takes no register;
//! - pending charges must be written to the register before a call only if the callee **may exit**.
//!
//! Functions whose reference is taken keep the full signature, so that indirect calls have one
//! calling convention.
//!
//! Limit checks stand at every loop header, and on entry to functions from which much work could
//! follow without passing another check. They compare the register alone, see [`super`].

use std::collections::{HashMap, HashSet};

use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    BlockType, ConstExpr, EntityType, ExportKind, GlobalType, Instruction, ValType,
};
use wasmparser::{ElementItems, ExternalKind, Operator, TableInit, TypeRef};

use super::abi;
use super::emit::{Emitter, Sections};
use super::facts::{Facts, size_cost};
use crate::limits;
use crate::link::{HostOperation, Image, LIBRARY_MEMORY};
use crate::module::Module;
use crate::validate::LoadError;

/// Work in cycles that may follow between two limit checks: far below a millisecond's worth.
const UNCHECKED_CYCLES: u64 = 1 << 17;

/// What the transform decides about one function.
#[derive(Debug, Clone, Copy, Default)]
struct Convention {
    takes_slots: bool,
    takes_cycles: bool,
    /// Cycles of every execution, if the function takes no register.
    constant_cycles: u64,
    may_exit: bool,
    checks_on_entry: bool,
    /// Slots of its own frame and of the deepest chain of bounded callees.
    bounded_slots: u64,
    is_bounded: bool,
}

/// The image with the register in parameters.
///
/// # Errors
/// [`LoadError`] if the image did not come from the linker.
pub fn fast(image: &Image) -> Result<Vec<u8>, LoadError> {
    let module = Module::parse(image.module())?;
    let plan = Plan::of(&module)?;
    let mut sections = Sections::default();
    let mut types = Types::new(&module, &mut sections)?;

    for (_, import) in &module.imports {
        if let TypeRef::Func(ty) = import.ty {
            let ty = if import.name == HostOperation::Exit.name() {
                types.function(&mut sections, [ValType::I32, ValType::I64], [])
            } else {
                ty
            };
            sections
                .imports
                .import(import.module, import.name, EntityType::Function(ty));
        }
    }
    let mut encoder = RoundtripReencoder;
    for global in &module.globals {
        encoder.parse_global(&mut sections.globals, global.clone())?;
    }
    let status = module.globals.len() as u32;
    sections.globals.global(
        GlobalType {
            val_type: ValType::I32,
            mutable: true,
            shared: false,
        },
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
        .export(abi::STATUS, ExportKind::Global, status);

    for defined in 0..module.bodies.len() {
        let index = module.imported_functions + defined as u32;
        let convention = plan.conventions[index as usize];
        let ty = types.with_convention(&mut sections, module.functions[index as usize], convention);
        sections.functions.function(ty);
        let label = types.label(&mut sections, module.functions[index as usize]);
        let facts = Facts::of(&module, defined)?;
        let parameters = facts.parameters as u32;
        let inserted = u32::from(convention.takes_slots) + u32::from(convention.takes_cycles);
        let writer = Writer {
            out: Emitter::new(&facts, inserted)?,
            facts: &facts,
            plan: &plan,
            types: &types,
            convention,
            slots: parameters,
            cycles: parameters + u32::from(convention.takes_slots),
            status,
            pending: 0,
            labels: Vec::new(),
        };
        writer
            .function(label)?
            .finish(index, &mut sections.code, &mut sections.hints);
    }
    sections.finish(image.module())
}

/// Function types of the transformed module: the image's own first (for blocks), then, one for
/// each of these, the full convention (for indirect calls), then others as needed.
struct Types {
    own: Vec<wasm_encoder::FuncType>,
    others: HashMap<(Vec<ValType>, Vec<ValType>), u32>,
    count: u32,
}

impl Types {
    fn new(module: &Module<'_>, sections: &mut Sections) -> Result<Self, LoadError> {
        let mut encoder = RoundtripReencoder;
        let own = module
            .types
            .iter()
            .map(|ty| encoder.func_type(ty.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        for ty in &own {
            sections.types.ty().func_type(ty);
        }
        let mut types = Self {
            count: own.len() as u32,
            own,
            others: HashMap::new(),
        };
        for index in 0..types.own.len() {
            let (parameters, results) = types.signature(index as u32, true, true);
            sections.types.ty().function(parameters, results);
            types.count += 1;
        }
        Ok(types)
    }

    fn signature(&self, own: u32, slots: bool, cycles: bool) -> (Vec<ValType>, Vec<ValType>) {
        let ty = &self.own[own as usize];
        let (mut parameters, mut results) = (ty.params().to_vec(), ty.results().to_vec());
        if slots {
            parameters.push(ValType::I32);
        }
        if cycles {
            parameters.push(ValType::I64);
            results.push(ValType::I64);
        }
        (parameters, results)
    }

    /// The full convention of an own type.
    fn full(&self, own: u32) -> u32 {
        self.own.len() as u32 + own
    }

    fn with_convention(
        &mut self,
        sections: &mut Sections,
        own: u32,
        convention: Convention,
    ) -> u32 {
        if convention.takes_slots && convention.takes_cycles {
            return self.full(own);
        }
        let (parameters, results) =
            self.signature(own, convention.takes_slots, convention.takes_cycles);
        self.function(sections, parameters, results)
    }

    /// The block type of a function's own label.
    fn label(&mut self, sections: &mut Sections, own: u32) -> BlockType {
        match self.own[own as usize].results().to_vec().as_slice() {
            [] => BlockType::Empty,
            [one] => BlockType::Result(*one),
            many => BlockType::FunctionType(self.function(sections, [], many.iter().copied())),
        }
    }

    fn function(
        &mut self,
        sections: &mut Sections,
        parameters: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> u32 {
        let key = (
            parameters.into_iter().collect::<Vec<_>>(),
            results.into_iter().collect::<Vec<_>>(),
        );
        if let Some(index) = self.others.get(&key) {
            return *index;
        }
        sections
            .types
            .ty()
            .function(key.0.iter().copied(), key.1.iter().copied());
        self.others.insert(key, self.count);
        self.count += 1;
        self.count - 1
    }
}

/// Conventions of all functions, from the graph of calls.
struct Plan {
    conventions: Vec<Convention>,
    /// Whether a function whose reference is taken may exit.
    indirect_may_exit: bool,
}

/// What the plan keeps of a function's [`Facts`].
struct Summary {
    calls: Vec<u32>,
    calls_indirectly: bool,
    loops: bool,
    charges_by_size: bool,
    /// Sum of all charges.
    cycles: u64,
    /// The charge of the first block.
    first_cycles: u64,
    frame_slots: u64,
}

impl Plan {
    fn of(module: &Module<'_>) -> Result<Self, LoadError> {
        let imported = module.imported_functions as usize;
        let count = module.functions.len();
        let mut referenced = references(module)?;
        let mut summaries = Vec::with_capacity(module.bodies.len());
        for defined in 0..module.bodies.len() {
            let facts = Facts::of(module, defined)?;
            referenced.extend(&facts.references);
            summaries.push(Summary {
                cycles: facts.charges.iter().sum(),
                first_cycles: facts.charges.first().copied().unwrap_or(0),
                calls: facts.calls,
                calls_indirectly: facts.calls_indirectly,
                loops: facts.loops,
                charges_by_size: facts.charges_by_size,
                frame_slots: facts.frame_slots,
            });
        }
        let mut callers: Vec<Vec<u32>> = vec![Vec::new(); count];
        for (defined, summary) in summaries.iter().enumerate() {
            for callee in &summary.calls {
                callers[*callee as usize].push((imported + defined) as u32);
            }
        }

        let mut conventions = vec![Convention::default(); count];
        // Which functions may exit: the host's `exit`, and whoever may reach it. An indirect call
        // may reach whatever is referenced, so once that may exit, indirect callers may as well.
        let exit = HostOperation::Exit as u32;
        let mut indirect_may_exit = false;
        let mut work = vec![exit];
        while let Some(function) = work.pop() {
            if std::mem::replace(&mut conventions[function as usize].may_exit, true) {
                continue;
            }
            work.extend(&callers[function as usize]);
            if referenced.contains(&function) && !indirect_may_exit {
                indirect_may_exit = true;
                let indirect = summaries
                    .iter()
                    .enumerate()
                    .filter(|(_, summary)| summary.calls_indirectly);
                work.extend(indirect.map(|(defined, _)| (imported + defined) as u32));
            }
        }

        // Bounded functions in an order in which callees come first.
        let mut open_calls: Vec<usize> = vec![0; count];
        for (defined, summary) in summaries.iter().enumerate() {
            open_calls[imported + defined] =
                summary.calls.len() + usize::from(summary.calls_indirectly);
        }
        let mut ready: Vec<u32> = (0..count as u32)
            .filter(|function| open_calls[*function as usize] == 0)
            .collect();
        let mut unchecked: Vec<u64> = vec![UNCHECKED_CYCLES; count];
        while let Some(function) = ready.pop() {
            let function = function as usize;
            conventions[function].is_bounded = true;
            if function < imported {
                unchecked[function] = 0;
            } else {
                let summary = &summaries[function - imported];
                let of = |callee: &u32| conventions[*callee as usize];
                let deepest = summary
                    .calls
                    .iter()
                    .map(|callee| of(callee).bounded_slots)
                    .max()
                    .unwrap_or(0);
                let work_of = |callee: &u32| unchecked[*callee as usize];
                let work = summary
                    .calls
                    .iter()
                    .map(work_of)
                    .fold(summary.cycles, u64::saturating_add);
                unchecked[function] = work.min(UNCHECKED_CYCLES);
                let constant = work < UNCHECKED_CYCLES
                    && !summary.loops
                    && !summary.charges_by_size
                    && summary.cycles == summary.first_cycles
                    && !of(&(function as u32)).may_exit
                    && !referenced.contains(&(function as u32))
                    && summary
                        .calls
                        .iter()
                        .all(|callee| *callee >= imported as u32 && !of(callee).takes_cycles);
                let callees: u64 = summary
                    .calls
                    .iter()
                    .map(|callee| of(callee).constant_cycles)
                    .sum();
                let convention = &mut conventions[function];
                convention.bounded_slots = summary.frame_slots + deepest;
                convention.takes_cycles = !constant;
                if constant {
                    convention.constant_cycles = summary.cycles + callees;
                }
            }
            for caller in &callers[function] {
                open_calls[*caller as usize] -= 1;
                if open_calls[*caller as usize] == 0 {
                    ready.push(*caller);
                }
            }
        }

        for function in imported..count {
            let convention = &mut conventions[function];
            convention.checks_on_entry = unchecked[function] >= UNCHECKED_CYCLES;
            if !convention.is_bounded {
                let summary = &summaries[function - imported];
                convention.bounded_slots = summary.frame_slots;
            }
            if !convention.is_bounded || referenced.contains(&(function as u32)) {
                convention.takes_slots = true;
                convention.takes_cycles = true;
                convention.constant_cycles = 0;
            }
        }
        Ok(Self {
            conventions,
            indirect_may_exit,
        })
    }
}

/// Functions to which a table, global or export refers.
fn references(module: &Module<'_>) -> Result<HashSet<u32>, LoadError> {
    let mut found = HashSet::new();
    let in_expression = |expression: &wasmparser::ConstExpr<'_>, found: &mut HashSet<u32>| {
        for operator in expression.get_operators_reader() {
            if let Operator::RefFunc { function_index } = operator? {
                found.insert(function_index);
            }
        }
        Ok::<(), LoadError>(())
    };
    for (_, element) in &module.elements {
        match element.items.clone() {
            ElementItems::Functions(items) => {
                for item in items {
                    found.insert(item?);
                }
            }
            ElementItems::Expressions(_, items) => {
                for item in items {
                    in_expression(&item?, &mut found)?;
                }
            }
        }
    }
    for global in &module.globals {
        in_expression(&global.init_expr, &mut found)?;
    }
    for table in &module.tables {
        if let TableInit::Expr(expression) = &table.init {
            in_expression(expression, &mut found)?;
        }
    }
    found.extend(
        module
            .exports
            .iter()
            .filter(|e| e.kind == ExternalKind::Func)
            .map(|e| e.index),
    );
    Ok(found)
}

/// A label while its block is open.
struct Label {
    /// Charges that are pending wherever control arrives at the label; agreed by the first arrival.
    pending: Option<i64>,
    is_loop: bool,
    /// For an `if` with an `else`: what was pending before it.
    before_else: i64,
}

struct Writer<'w, 'a> {
    out: Emitter,
    facts: &'w Facts<'a>,
    plan: &'w Plan,
    types: &'w Types,
    convention: Convention,
    /// Local of the slots that are left, after this frame.
    slots: u32,
    /// Local of the cycles that are left, pending charges not subtracted.
    cycles: u32,
    status: u32,
    /// Charges that are not yet subtracted; never negative.
    pending: i64,
    labels: Vec<Label>,
}

impl Writer<'_, '_> {
    fn function(mut self, label: BlockType) -> Result<Emitter, LoadError> {
        self.entry();
        self.out.open_function_block(label);
        let pending = self.facts.br_table_returns.then_some(0);
        self.labels.push(Label {
            pending,
            is_loop: false,
            before_else: 0,
        });
        let facts = self.facts;
        for (at, operator) in facts.operators.iter().enumerate() {
            if facts.dead[at] {
                continue;
            }
            self.pending += facts.charges[at] as i64;
            self.operator(at, operator)?;
            if facts.canonical[at] {
                self.out.canonicalise(operator);
            }
        }
        if self.convention.takes_cycles {
            self.push_register();
        }
        self.out.put(&Instruction::End);
        Ok(self.out)
    }

    fn entry(&mut self) {
        let convention = self.convention;
        if convention.takes_slots {
            // What must be left in the end: nothing for a bounded function (its constant need is
            // known), the need of the deepest bounded callee for others.
            let (own, reserve) = if convention.is_bounded {
                (convention.bounded_slots, 0)
            } else {
                let callees = self
                    .facts
                    .calls
                    .iter()
                    .map(|callee| self.plan.conventions[*callee as usize]);
                let reserve = callees
                    .filter(|c| c.is_bounded)
                    .map(|c| c.bounded_slots)
                    .max()
                    .unwrap_or(0);
                (convention.bounded_slots, reserve)
            };
            // Saturated: more than the largest slot limit always fails the check.
            let clamp =
                |slots: u64| Instruction::I32Const(slots.min(limits::SLOT_LIMIT + 1) as i32);
            self.out
                .put(&Instruction::LocalGet(self.slots))
                .put(&clamp(own))
                .put(&Instruction::I32Sub);
            self.out
                .put(&Instruction::LocalTee(self.slots))
                .put(&clamp(reserve))
                .put(&Instruction::I32LtS);
            self.out.unlikely();
            self.out
                .put(&Instruction::I32Const(abi::STATUS_OUT_OF_SLOTS));
            self.out.put(&Instruction::GlobalSet(self.status));
            self.out
                .put(&Instruction::Unreachable)
                .put(&Instruction::End);
        }
        if convention.checks_on_entry {
            self.check_limit();
        }
    }

    /// A conditional trap and nothing else, which costs a compare and a branch never taken.
    fn check_limit(&mut self) {
        self.out
            .put(&Instruction::LocalGet(self.cycles))
            .put(&Instruction::I64Const(0))
            .put(&Instruction::I64LtS);
        self.out
            .put(&Instruction::If(BlockType::Empty))
            .put(&Instruction::Unreachable)
            .put(&Instruction::End);
    }

    /// Writes pending charges to the register but for `keep`.
    fn flush_to(&mut self, keep: i64) {
        let amount = self.pending - keep;
        self.pending = keep;
        if amount == 0 || !self.convention.takes_cycles {
            return;
        }
        self.out
            .put(&Instruction::LocalGet(self.cycles))
            .put(&Instruction::I64Const(amount));
        self.out
            .put(&Instruction::I64Sub)
            .put(&Instruction::LocalSet(self.cycles));
    }

    /// Pushes the register with all charges; nothing is pending on the path that takes it.
    fn push_register(&mut self) {
        self.out.put(&Instruction::LocalGet(self.cycles));
        if self.pending != 0 {
            self.out
                .put(&Instruction::I64Const(self.pending))
                .put(&Instruction::I64Sub);
        }
        self.pending = 0;
    }

    /// Makes pending what the label expects, on this path and on the one that goes on.
    fn arrive(&mut self, depth: u32) {
        let index = self.labels.len() - 1 - depth as usize;
        match self.labels[index].pending {
            Some(agreed) => self.flush_to(agreed),
            None => self.labels[index].pending = Some(self.pending),
        }
    }

    fn open(&mut self, at: usize, operator: &Operator<'_>) {
        let facts = self.facts.labels[at];
        let is_loop = matches!(operator, Operator::Loop { .. });
        // All targets of a `br_table` must agree: on nothing.
        let pending = if facts.br_table_target {
            Some(0)
        } else if is_loop || (matches!(operator, Operator::If { .. }) && !facts.has_else) {
            // Control falls into a loop, and past an `if` without `else`, with what is pending now.
            Some(self.pending)
        } else {
            None
        };
        if is_loop
            || (matches!(operator, Operator::If { .. }) && !facts.has_else && facts.br_table_target)
        {
            self.flush_to(pending.unwrap_or(0));
        }
        self.labels.push(Label {
            pending,
            is_loop,
            before_else: self.pending,
        });
    }

    fn operator(&mut self, at: usize, operator: &Operator<'_>) -> Result<(), LoadError> {
        use Operator as O;
        if let Some(cost) = size_cost(operator) {
            self.out.remember_size();
            self.out.put(&Instruction::LocalGet(self.cycles));
            self.out.push_size_cost(cost);
            self.out
                .put(&Instruction::I64Sub)
                .put(&Instruction::LocalSet(self.cycles));
            self.check_limit();
        }
        match operator {
            O::Block { .. } | O::If { .. } => {
                self.open(at, operator);
                self.out.operator(operator)?;
            }
            O::Loop { .. } => {
                self.open(at, operator);
                self.out.operator(operator)?;
                if self.convention.takes_cycles {
                    self.check_limit();
                }
            }
            O::Else => {
                self.end_arm(at);
                self.out.operator(operator)?;
                if let Some(label) = self.labels.last() {
                    self.pending = label.before_else;
                }
            }
            O::End => {
                self.end_arm(at);
                // The validator saw to it that every `end` has its label.
                if let Some(label) = self.labels.pop()
                    && !label.is_loop
                {
                    // Nothing arrived at a label that never agreed: what follows is never reached.
                    self.pending = label.pending.unwrap_or(0);
                }
                self.out.operator(operator)?;
            }
            O::Br { relative_depth } => {
                self.arrive(*relative_depth);
                self.out.operator(operator)?;
            }
            O::BrIf { relative_depth } => {
                self.arrive(*relative_depth);
                self.out.operator(operator)?;
            }
            O::BrTable { .. } => {
                // All targets have agreed on nothing from the start.
                self.flush_to(0);
                self.out.operator(operator)?;
            }
            O::Return => {
                self.arrive(self.labels.len() as u32 - 1);
                self.out.branch_to_function_end();
            }
            O::Unreachable => {
                self.out
                    .put(&Instruction::I32Const(abi::STATUS_UNREACHABLE));
                self.out
                    .put(&Instruction::GlobalSet(self.status))
                    .put(&Instruction::Unreachable);
            }
            O::Call { function_index } => self.call(*function_index),
            O::CallIndirect {
                type_index,
                table_index,
            } => {
                self.out.save();
                self.out.put(&Instruction::LocalGet(self.slots));
                if self.plan.indirect_may_exit {
                    self.push_register();
                } else {
                    self.out.put(&Instruction::LocalGet(self.cycles));
                }
                self.out.restore();
                let type_index = self.types.full(*type_index);
                self.out.put(&Instruction::CallIndirect {
                    type_index,
                    table_index: *table_index,
                });
                self.out.put(&Instruction::LocalSet(self.cycles));
            }
            other => self.out.operator(other)?,
        }
        Ok(())
    }

    /// The end of a block's code, or of an `if`'s first arm, that control may fall out of.
    fn end_arm(&mut self, at: usize) {
        let falls_in = self.labels.last().is_some_and(|label| !label.is_loop);
        if falls_in && self.is_reached(at) {
            self.arrive(0);
        }
    }

    /// Whether control can fall onto this `else` or `end`: whether the operator before is live and
    /// goes on.
    fn is_reached(&self, at: usize) -> bool {
        use Operator as O;
        let Some(before) = at.checked_sub(1) else {
            return true;
        };
        !self.facts.dead[before]
            && !matches!(
                self.facts.operators[before],
                O::Br { .. } | O::BrTable { .. } | O::Return | O::Unreachable
            )
    }

    fn call(&mut self, function: u32) {
        if function == HostOperation::Exit as u32 {
            self.push_register();
            self.out.put(&Instruction::Call(function));
            return;
        }
        let callee = self.plan.conventions[function as usize];
        if callee.takes_slots {
            if self.convention.takes_slots && !self.convention.is_bounded {
                self.out.put(&Instruction::LocalGet(self.slots));
            } else {
                // The check for this bounded function counted its callees.
                self.out.put(&Instruction::I32Const(i32::MAX));
            }
        }
        if callee.takes_cycles {
            if callee.may_exit {
                self.push_register();
            } else {
                self.out.put(&Instruction::LocalGet(self.cycles));
            }
        }
        self.out.put(&Instruction::Call(function));
        if callee.takes_cycles {
            self.out.put(&Instruction::LocalSet(self.cycles));
        } else {
            self.pending += callee.constant_cycles as i64;
        }
    }
}
