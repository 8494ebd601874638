//! What both transforms need to know of one function: charges, dead code, height, observed floats.

use wasmparser::{BlockType, FuncType, FunctionBody, Operator, ValType};

use crate::cost::{self, HostCost};
use crate::link::HostOperation;
use crate::module::Module;
use crate::validate::LoadError;

/// One function of an image, decoded and analysed.
pub(crate) struct Facts<'a> {
    pub(crate) operators: Vec<Operator<'a>>,
    /// Parameters and declared locals.
    pub(crate) locals: Vec<ValType>,
    pub(crate) parameters: usize,
    /// `charges[i]`: cycles charged immediately before operator `i`, where a block starts there.
    pub(crate) charges: Vec<u64>,
    /// Operators that can't be reached, syntactically (see [`crate::cost::frame_slots`]).
    pub(crate) dead: Vec<bool>,
    /// Float operators whose result must be made canonical: its bits may be observed.
    pub(crate) canonical: Vec<bool>,
    /// For a `block`, `loop` or `if`: what branches to it need to know.
    pub(crate) labels: Vec<LabelFacts>,
    /// Whether a `br_table` has the function's own label as a target.
    pub(crate) br_table_returns: bool,
    /// Slots of the frame.
    pub(crate) frame_slots: u64,
    /// Direct callees of live code, one entry per call.
    pub(crate) calls: Vec<u32>,
    /// Whether live code contains `call_indirect`.
    pub(crate) calls_indirectly: bool,
    /// Whether live code contains a loop.
    pub(crate) loops: bool,
    /// Whether live code contains a charge by size.
    pub(crate) charges_by_size: bool,
    /// Functions whose reference live or dead code takes.
    pub(crate) references: Vec<u32>,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct LabelFacts {
    pub(crate) has_else: bool,
    pub(crate) br_table_target: bool,
}

/// The size-dependent cost of an operator, host calls included.
pub(crate) fn size_cost(operator: &Operator<'_>) -> Option<cost::SizeCost> {
    match operator {
        Operator::Call { function_index } => {
            host_cost(*function_index).and_then(|cost| cost.by_size)
        }
        other => cost::size_cost(other),
    }
}

/// An image's functions 0, 1 and 2 are the host operations.
fn host_cost(function: u32) -> Option<HostCost> {
    let operation = HostOperation::ALL.get(function as usize)?;
    Some(match operation {
        HostOperation::ReadInput => HostCost::READ_INPUT,
        HostOperation::AppendOutput => HostCost::APPEND_OUTPUT,
        HostOperation::Exit => HostCost::EXIT,
    })
}

/// Fixed cycles of an operator, host calls included.
fn fixed_cost(operator: &Operator<'_>) -> u64 {
    // Validated code has no other operators.
    let mut cycles = cost::instruction(operator).unwrap_or(0);
    if let Operator::Call { function_index } = operator {
        cycles += host_cost(*function_index).map_or(0, |cost| cost.fixed);
    }
    cycles
}

/// Operands popped and pushed by operators for which the number does not depend on a type.
fn fixed_arity(operator: &Operator<'_>) -> Option<(usize, usize)> {
    macro_rules! arity {
        (arity custom) => {
            None
        };
        (arity $pops:tt -> $pushes:tt) => {
            Some(($pops, $pushes))
        };
    }
    macro_rules! table {
        ($(@$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
            match operator {
                $(Operator::$op { .. } => arity!($($ann)*),)*
                _ => None,
            }
        };
    }
    wasmparser::for_each_operator!(table)
}

/// Whether the operator is float arithmetic: if its result is a NaN, WebAssembly leaves its bits
/// open, and the machine says canonical.
fn is_float_arithmetic(operator: &Operator<'_>) -> bool {
    is_f32(operator) || is_f64(operator)
}

/// Whether the operator is float arithmetic whose result is 32 bits wide.
#[rustfmt::skip]
pub(crate) fn is_f32(operator: &Operator<'_>) -> bool {
    use Operator as O;
    matches!(
        operator,
        O::F32Add | O::F32Sub | O::F32Mul | O::F32Div | O::F32Sqrt | O::F32Min | O::F32Max
            | O::F32Ceil | O::F32Floor | O::F32Trunc | O::F32Nearest | O::F32DemoteF64
    )
}

/// Whether the operator is float arithmetic whose result is 64 bits wide.
#[rustfmt::skip]
fn is_f64(operator: &Operator<'_>) -> bool {
    use Operator as O;
    matches!(
        operator,
        O::F64Add | O::F64Sub | O::F64Mul | O::F64Div | O::F64Sqrt | O::F64Min | O::F64Max
            | O::F64Ceil | O::F64Floor | O::F64Trunc | O::F64Nearest | O::F64PromoteF32
    )
}

fn is_float(ty: ValType) -> bool {
    matches!(ty, ValType::F32 | ValType::F64)
}

/// A value's origin in the graph of float flows. Node 0 is every value that is never a NaN with
/// open bits; every other node is one arithmetic operator, one local, or one join of values.
type Node = u32;
const CLEAN: Node = 0;

/// Where the bits of float results can flow. A value is *observed* if it is stored, reinterpreted,
/// passed to a call, returned, written to a global or used as a sign; then every arithmetic
/// operator it may come from must deliver a canonical NaN. Other arithmetic, comparisons and
/// conversions to integers see of a NaN only that it is one.
#[derive(Default)]
struct Flows {
    /// `(to, from)`: the value of `from` may become the value of `to`.
    edges: Vec<(Node, Node)>,
    /// The operator of a node that is one.
    producers: Vec<(Node, usize)>,
    observed: Vec<Node>,
    nodes: Node,
}

impl Flows {
    fn node(&mut self) -> Node {
        self.nodes += 1;
        self.nodes
    }
    fn flow(&mut self, from: Node, to: Node) {
        if from != CLEAN && to != CLEAN && from != to {
            self.edges.push((to, from));
        }
    }
    fn observe(&mut self, node: Node) {
        if node != CLEAN {
            self.observed.push(node);
        }
    }
    fn join(&mut self, a: Node, b: Node) -> Node {
        match (a, b) {
            (CLEAN, other) | (other, CLEAN) => other,
            (a, b) if a == b => a,
            (a, b) => {
                let join = self.node();
                self.flow(a, join);
                self.flow(b, join);
                join
            }
        }
    }

    /// Marks every arithmetic operator from which an observed value may come.
    fn mark(mut self, canonical: &mut [bool]) {
        if self.producers.is_empty() {
            return;
        }
        let mut seen = vec![false; self.nodes as usize + 1];
        self.edges.sort_unstable();
        let mut work = std::mem::take(&mut self.observed);
        while let Some(node) = work.pop() {
            if std::mem::replace(&mut seen[node as usize], true) {
                continue;
            }
            let first = self.edges.partition_point(|(to, _)| *to < node);
            work.extend(
                self.edges[first..]
                    .iter()
                    .take_while(|(to, _)| *to == node)
                    .map(|(_, from)| *from),
            );
        }
        for (node, operator) in self.producers {
            canonical[operator] |= seen[node as usize];
        }
    }
}

struct Frame {
    /// Index of the opening operator; `None` for the function itself.
    opened_at: Option<usize>,
    /// Operand height below the parameters.
    height: usize,
    /// What a branch to this label delivers: parameters of a loop, else results.
    label: Vec<Node>,
    results: Vec<Node>,
    /// Parameters of an `if`, for the other arm.
    parameters: Vec<Node>,
    is_open_if: bool,
}

struct Analysis<'m, 'a> {
    module: &'m Module<'a>,
    flows: Flows,
    operands: Vec<Node>,
    height: usize,
    frames: Vec<Frame>,
    locals: Vec<Node>,
}

fn block_type<'m>(module: &'m Module<'_>, ty: BlockType) -> (&'m [ValType], Results<'m>) {
    match ty {
        BlockType::Empty => (&[], Results::Many(&[])),
        BlockType::Type(ty) => (&[], Results::One(ty)),
        BlockType::FuncType(index) => {
            let ty = &module.types[index as usize];
            (ty.params(), Results::Many(ty.results()))
        }
    }
}

enum Results<'m> {
    One(ValType),
    Many(&'m [ValType]),
}

impl Results<'_> {
    fn as_slice(&self) -> &[ValType] {
        match self {
            Self::One(ty) => std::slice::from_ref(ty),
            Self::Many(types) => types,
        }
    }
}

impl<'m, 'a> Analysis<'m, 'a> {
    fn pop(&mut self) -> Node {
        // Validated code never pops more than there is; dead code is not visited.
        self.operands.pop().unwrap_or(CLEAN)
    }
    fn push(&mut self, node: Node) {
        self.operands.push(node);
        self.height = self.height.max(self.operands.len());
    }
    fn push_clean(&mut self, count: usize) {
        self.operands.resize(self.operands.len() + count, CLEAN);
        self.height = self.height.max(self.operands.len());
    }
    fn drop_operands(&mut self, count: usize) {
        self.operands
            .truncate(self.operands.len().saturating_sub(count));
    }
    fn observe_top(&mut self, count: usize) {
        let from = self.operands.len().saturating_sub(count);
        for node in self.operands.drain(from..) {
            self.flows.observe(node);
        }
    }
    fn nodes_for(&mut self, types: &[ValType]) -> Vec<Node> {
        types
            .iter()
            .map(|ty| {
                if is_float(*ty) {
                    self.flows.node()
                } else {
                    CLEAN
                }
            })
            .collect()
    }
    fn flow_into(&mut self, targets: &[Node]) {
        let from = self.operands.len().saturating_sub(targets.len());
        for (value, target) in self.operands[from..].iter().zip(targets) {
            self.flows.flow(*value, *target);
        }
    }
    fn branch(&mut self, depth: u32) {
        let index = self.frames.len() - 1 - depth as usize;
        let label = std::mem::take(&mut self.frames[index].label);
        self.flow_into(&label);
        self.frames[index].label = label;
    }
    fn call(&mut self, ty: &FuncType) {
        self.observe_top(ty.params().len());
        self.push_clean(ty.results().len());
    }
    fn open(&mut self, at: usize, ty: BlockType, operator: &Operator<'_>) {
        let (parameters, results) = block_type(self.module, ty);
        let results = self.nodes_for(results.as_slice());
        let first = self.operands.len().saturating_sub(parameters.len());
        let is_loop = matches!(operator, Operator::Loop { .. });
        let mut label = results.clone();
        if is_loop {
            label = self.nodes_for(parameters);
            self.flow_into(&label);
            self.operands.truncate(first);
            self.operands.extend_from_slice(&label);
        }
        self.frames.push(Frame {
            opened_at: Some(at),
            height: first,
            label,
            results,
            parameters: self.operands[first..].to_vec(),
            is_open_if: matches!(operator, Operator::If { .. }),
        });
    }

    /// Effects of one live operator on operands and flows, control operators excepted.
    fn step(&mut self, at: usize, operator: &Operator<'a>) {
        use Operator as O;
        match operator {
            O::LocalGet { local_index } => {
                let node = self.locals[*local_index as usize];
                self.push(node);
            }
            O::LocalSet { local_index } | O::LocalTee { local_index } => {
                let value = self.pop();
                self.flows.flow(value, self.locals[*local_index as usize]);
                if matches!(operator, O::LocalTee { .. }) {
                    self.push(value);
                }
            }
            O::F32Neg | O::F32Abs | O::F64Neg | O::F64Abs => {}
            O::F32Copysign | O::F64Copysign => self.observe_top(1),
            O::F32Store { .. } | O::F64Store { .. } => {
                self.observe_top(1);
                self.pop();
            }
            O::I32ReinterpretF32 | O::I64ReinterpretF64 => {
                self.observe_top(1);
                self.push_clean(1);
            }
            O::GlobalSet { .. } => self.observe_top(1),
            O::Select | O::TypedSelect { .. } => {
                self.pop();
                let (b, a) = (self.pop(), self.pop());
                let join = self.flows.join(a, b);
                self.push(join);
            }
            O::Call { function_index } => self.call(self.module.function_type(*function_index)),
            O::CallIndirect { type_index, .. } => {
                self.pop();
                self.call(&self.module.types[*type_index as usize]);
            }
            operator => {
                let (pops, pushes) = fixed_arity(operator).unwrap_or((0, 0));
                self.drop_operands(pops);
                if is_float_arithmetic(operator) {
                    let node = self.flows.node();
                    self.flows.producers.push((node, at));
                    self.push(node);
                } else {
                    self.push_clean(pushes);
                }
            }
        }
    }
}

impl<'a> Facts<'a> {
    /// Decodes and analyses the `defined`-th function that the module defines.
    pub(crate) fn of(module: &Module<'a>, defined: usize) -> Result<Self, LoadError> {
        let ty = module.function_type(module.imported_functions + defined as u32);
        let mut locals = ty.params().to_vec();
        let body: &FunctionBody<'a> = &module.bodies[defined];
        for run in body.get_locals_reader()? {
            let (count, ty) = run?;
            locals.resize(locals.len() + count as usize, ty);
        }
        let mut reader = body.get_operators_reader()?;
        let mut operators = Vec::with_capacity(body.range().len() / 2);
        while !reader.eof() {
            operators.push(reader.read()?);
        }

        let parameters = ty.params().len();
        let declared = (locals.len() - parameters) as u64;
        let count = operators.len();
        let mut facts = Facts {
            charges: vec![0; count],
            dead: vec![false; count],
            canonical: vec![false; count],
            labels: vec![LabelFacts::default(); count],
            br_table_returns: false,
            frame_slots: 0,
            calls: Vec::new(),
            calls_indirectly: false,
            loops: false,
            charges_by_size: false,
            references: Vec::new(),
            operators: Vec::new(),
            parameters,
            locals: Vec::new(),
        };

        let mut flows = Flows::default();
        let local_nodes = locals
            .iter()
            .map(|ty| if is_float(*ty) { flows.node() } else { CLEAN })
            .collect();
        let mut analysis = Analysis {
            module,
            flows,
            operands: Vec::new(),
            height: 0,
            frames: Vec::new(),
            locals: local_nodes,
        };
        let results = analysis.nodes_for(ty.results());
        for node in &results {
            analysis.flows.observe(*node);
        }
        analysis.frames.push(Frame {
            opened_at: None,
            height: 0,
            label: results.clone(),
            results,
            parameters: Vec::new(),
            is_open_if: false,
        });

        // The block that is open: where its charge goes, and what it amounts to so far.
        let (mut block_at, mut block_cycles) = (0, cost::function_entry(declared));
        // Blocks opened inside dead code; `None` while the code is live.
        let mut dead_depth: Option<u32> = None;
        for (at, operator) in operators.iter().enumerate() {
            use Operator as O;
            if let O::RefFunc { function_index } = operator {
                facts.references.push(*function_index);
            }
            if let Some(depth) = dead_depth {
                match operator {
                    O::Block { .. } | O::Loop { .. } | O::If { .. } => dead_depth = Some(depth + 1),
                    O::End if depth > 0 => dead_depth = Some(depth - 1),
                    _ => {}
                }
                if depth > 0 || !matches!(operator, O::End | O::Else) {
                    facts.dead[at] = true;
                    continue;
                }
            }
            let was_live = dead_depth.is_none();
            if was_live {
                block_cycles += fixed_cost(operator);
                facts.charges_by_size |= size_cost(operator).is_some();
            }
            let mut ends_block = true;
            let mut falls_through = true;
            match operator {
                O::Block { blockty } => {
                    analysis.open(at, *blockty, operator);
                    ends_block = false;
                }
                O::Loop { blockty } => {
                    facts.loops = true;
                    analysis.open(at, *blockty, operator);
                }
                O::If { blockty } => {
                    analysis.pop();
                    analysis.open(at, *blockty, operator);
                }
                O::Else => {
                    let last = analysis.frames.len() - 1;
                    let results = analysis.frames[last].results.clone();
                    if was_live {
                        analysis.flow_into(&results);
                    }
                    let frame = &mut analysis.frames[last];
                    frame.is_open_if = false;
                    analysis.operands.truncate(frame.height);
                    analysis.operands.extend_from_slice(&frame.parameters);
                    if let Some(opened_at) = frame.opened_at {
                        facts.labels[opened_at].has_else = true;
                    }
                    dead_depth = None;
                }
                O::End => {
                    // The validator saw to it that every `end` has its frame.
                    let Some(frame) = analysis.frames.pop() else {
                        break;
                    };
                    if was_live {
                        analysis.flow_into(&frame.results);
                    }
                    if frame.is_open_if {
                        for (from, to) in frame.parameters.iter().zip(&frame.results) {
                            analysis.flows.flow(*from, *to);
                        }
                    }
                    analysis.operands.truncate(frame.height);
                    for node in frame.results {
                        analysis.push(node);
                    }
                    dead_depth = None;
                }
                O::Br { relative_depth } => {
                    analysis.branch(*relative_depth);
                    falls_through = false;
                }
                O::BrIf { relative_depth } => {
                    analysis.pop();
                    analysis.branch(*relative_depth);
                }
                O::BrTable { targets } => {
                    analysis.pop();
                    for target in targets
                        .targets()
                        .chain(std::iter::once(Ok(targets.default())))
                    {
                        let depth = target?;
                        analysis.branch(depth);
                        let frame = &analysis.frames[analysis.frames.len() - 1 - depth as usize];
                        match frame.opened_at {
                            Some(opened_at) => facts.labels[opened_at].br_table_target = true,
                            None => facts.br_table_returns = true,
                        }
                    }
                    falls_through = false;
                }
                O::Return => {
                    analysis.branch(analysis.frames.len() as u32 - 1);
                    falls_through = false;
                }
                O::Unreachable => falls_through = false,
                operator => {
                    match operator {
                        O::Call { function_index } => facts.calls.push(*function_index),
                        O::CallIndirect { .. } => facts.calls_indirectly = true,
                        _ => {}
                    }
                    analysis.step(at, operator);
                    ends_block = false;
                }
            }
            if ends_block {
                if was_live {
                    facts.charges[block_at] = block_cycles;
                }
                (block_at, block_cycles) = (at + 1, 0);
            }
            if !falls_through {
                dead_depth = Some(0);
            }
        }
        analysis.flows.mark(&mut facts.canonical);
        facts.frame_slots = cost::frame_slots(
            parameters as u64,
            declared,
            analysis.height as u64,
            count as u64,
        );
        facts.operators = operators;
        facts.locals = locals;
        Ok(facts)
    }
}
