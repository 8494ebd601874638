//! One function of an image -> instructions of the machine.
//!
//! Operands become slots: the frame holds first the locals, then one slot for each position of the
//! operand stack. A `local.get` or a constant makes no instruction; it stays pending on the
//! translator's stack until an instruction takes it as an operand, or until it must lie in its own
//! slot (before a call, a branch with results, a join, or when the local changes).
//!
//! Charges of basic blocks ride on the branch that leads into the block where they fit; elsewhere
//! they are instructions of their own. Either way a block is charged once, on entry.

use std::collections::HashMap;

use wasmparser::{BlockType, Operator};

use super::isa::{self, BRANCH, IMM, Instruction, op};
use super::transition::LEAF_SLOTS;
use crate::link::HostOperation;
use crate::meter::facts::{Facts, size_cost};
use crate::module::Module;
use crate::validate::LoadError;

/// What the translator of one function does not know: it stands for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pending {
    /// The target and frame size of a `Call`.
    Call(u32),
    /// The reference in a `Const`.
    Reference(u32),
    /// The global in `imm`.
    Global(Hidden),
}

/// A translated function. Targets inside are relative to its first instruction.
pub(super) struct Function {
    pub(super) code: Vec<Instruction>,
    pub(super) frame_size: u16,
    /// Instructions that wait for what only all functions together say.
    pub(super) pending: Vec<(u32, Pending)>,
    /// Instructions whose low half of `imm` is a target in this function.
    pub(super) targets: Vec<u32>,
}

/// Arguments that a call takes along in its one step; a step proves at most three leaves for them.
/// Further ones travel in hidden globals.
const DIRECT_ARGUMENTS: usize = 32;

/// What globals behind the image's own hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Hidden {
    /// Bytes of a passive data segment that was not dropped.
    DataLength(u32),
    /// Entries of a passive element segment that was not dropped.
    ElementsLength(u32),
    /// The argument of this index, from a call to the first instructions of the function called.
    Argument(u32),
}

/// Hidden globals that the code uses, in the order of their first use.
pub(super) struct HiddenGlobals {
    first: u32,
    indices: HashMap<Hidden, u32>,
}

impl HiddenGlobals {
    /// None yet; the first gets index `first`.
    pub(super) fn behind(first: u32) -> Self {
        Self {
            first,
            indices: HashMap::new(),
        }
    }

    pub(super) fn of(&mut self, hidden: Hidden) -> u32 {
        let next = self.first + self.indices.len() as u32;
        *self.indices.entry(hidden).or_insert(next)
    }

    /// All in order.
    pub(super) fn into_order(self) -> Vec<Hidden> {
        let mut all: Vec<(u32, Hidden)> = self.indices.into_iter().map(|(h, i)| (i, h)).collect();
        all.sort_unstable_by_key(|(index, _)| *index);
        all.into_iter().map(|(_, hidden)| hidden).collect()
    }
}

/// Where each passive segment starts in the machine's segments, in leaves; by kind and index.
pub(super) struct SegmentPlaces {
    pub(super) data: Vec<u32>,
    pub(super) elements: Vec<u32>,
}

/// An operand that is still pending, or in its own slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operand {
    Slot,
    Local(u16),
    Constant(u64),
}

/// Where a branch goes.
struct Label {
    /// Cycles of the block that starts there.
    charge: u64,
    /// Known for loops: the instruction that charges, and the one behind it.
    start: Option<(u32, u32)>,
    /// Branches to be completed, and whether they charge already.
    branches: Vec<(u32, bool)>,
}

struct Block {
    label: Label,
    /// Operands below the block's own.
    height: usize,
    parameters: usize,
    /// Operands that a branch to the label takes along.
    arity: usize,
    results: usize,
    /// The branch of an `if` around its first arm.
    otherwise: Option<(u32, bool)>,
    is_loop: bool,
}

/// A condition taken from the stack.
enum Condition {
    /// Not zero.
    Slot(u16),
    /// The last instruction, a comparison, which was taken back.
    Comparison(Instruction),
    /// The opposite of a comparison.
    Negated(Instruction),
}

/// Constants that loops of a function need in slots: written once, on entry.
///
/// Most constants are part of the instruction that takes them. The others would be written to a slot
/// again each time around.
struct Constants {
    /// The value of each, in the order of their slots.
    values: Vec<u64>,
    /// Slot of the first: they follow the locals.
    first: usize,
}

impl Constants {
    /// So many at most, so that functions that leave early do not pay for all of them.
    const MOST: usize = 8;

    fn of(facts: &Facts<'_>) -> Self {
        let mut values = Vec::new();
        let mut loops = 0_usize;
        let mut blocks = Vec::new();
        for (at, operator) in facts.operators.iter().enumerate() {
            match operator {
                Operator::Loop { .. } => {
                    blocks.push(true);
                    loops += 1;
                }
                Operator::Block { .. } | Operator::If { .. } => blocks.push(false),
                Operator::End => loops -= usize::from(blocks.pop().unwrap_or(false)),
                _ => {}
            }
            if loops > 0
                && !facts.dead[at]
                && values.len() < Self::MOST
                && let Some(value) = constant(operator)
                && facts.operators.get(at + 1).is_some_and(needs_slot)
                && !values.contains(&value)
            {
                values.push(value);
            }
        }
        Self {
            values,
            first: facts.locals.len(),
        }
    }

    /// The slot of a constant.
    fn slot(&self, value: u64) -> Option<u16> {
        let at = self.values.iter().position(|v| *v == value)?;
        Some((self.first + at) as u16)
    }
}

/// The slot value of a constant.
fn constant(operator: &Operator<'_>) -> Option<u64> {
    use Operator as O;
    Some(match operator {
        O::I32Const { value } => *value as u32 as u64,
        O::I64Const { value } => *value as u64,
        O::F32Const { value } => value.bits().into(),
        O::F64Const { value } => value.bits(),
        O::RefNull { .. } => 0,
        _ => return None,
    })
}

/// Whether an operator right behind a constant takes it from a slot.
fn needs_slot(operator: &Operator<'_>) -> bool {
    store(operator).is_some()
        || load(operator).is_some()
        || binary(operator).is_some_and(|operation| !isa::takes_constant(operation))
}

struct Translator<'m, 'a> {
    module: &'m Module<'a>,
    facts: &'m Facts<'a>,
    places: &'m SegmentPlaces,
    code: Vec<Instruction>,
    pending: Vec<(u32, Pending)>,
    targets: Vec<u32>,
    constants: Constants,
    /// Slots before the operands': locals and constants.
    locals: usize,
    operands: Vec<Operand>,
    /// Positions of pending reads of each local, lowest first.
    reads: Vec<Vec<u32>>,
    /// No operand below this position is a pending local.
    flushed: usize,
    blocks: Vec<Block>,
    frame_size: usize,
    /// The slot that the last instruction writes, if it may still write another.
    written: Option<u16>,
    /// Instructions before this place must stay: branches lead behind them.
    barrier: u32,
}

impl Function {
    /// Translates the `defined`-th function with a body.
    pub(super) fn translate(
        module: &Module<'_>,
        defined: usize,
        places: &SegmentPlaces,
    ) -> Result<Self, LoadError> {
        let facts = Facts::of(module, defined)?;
        let ty = module.function_type(module.imported_functions + defined as u32);
        let constants = Constants::of(&facts);
        let locals = facts.locals.len() + constants.values.len();
        let mut translator = Translator {
            module,
            facts: &facts,
            places,
            code: Vec::with_capacity(facts.operators.len()),
            pending: Vec::new(),
            targets: Vec::new(),
            constants,
            locals,
            operands: Vec::new(),
            reads: vec![Vec::new(); locals],
            flushed: 0,
            blocks: Vec::new(),
            frame_size: locals.max(ty.results().len()),
            written: None,
            barrier: 0,
        };
        translator.function(ty.results().len())?;
        Ok(Self {
            code: translator.code,
            // Locals and operands are limited to 2^14 and 2^13.
            frame_size: translator.frame_size as u16,
            pending: translator.pending,
            targets: translator.targets,
        })
    }
}

impl<'a> Translator<'_, 'a> {
    fn function(&mut self, results: usize) -> Result<(), LoadError> {
        self.emit(Instruction {
            op: op::ENTER,
            imm: Instruction::halves(self.charge_at(0) as u32, self.facts.frame_slots as u32),
            ..Instruction::default()
        });
        for parameter in DIRECT_ARGUMENTS..self.facts.parameters {
            let get = Instruction {
                op: op::GLOBAL_GET,
                c: parameter as u16,
                ..Instruction::default()
            };
            self.emit_hidden(get, Hidden::Argument(parameter as u32));
        }
        for at in 0..self.constants.values.len() {
            let c = (self.constants.first + at) as u16;
            self.emit(Instruction {
                op: op::CONST,
                c,
                imm: self.constants.values[at],
                ..Instruction::default()
            });
        }
        self.blocks.push(Block {
            label: Label {
                charge: 0,
                start: None,
                branches: Vec::new(),
            },
            height: 0,
            parameters: 0,
            arity: results,
            results,
            otherwise: None,
            is_loop: false,
        });
        let facts = self.facts;
        let extents = extents(&facts.operators);
        let mut live = true;
        for (at, operator) in facts.operators.iter().enumerate() {
            if facts.dead[at] {
                continue;
            }
            if let Some(cost) = size_cost(operator) {
                self.charge_size(cost);
            }
            live = self.operator(at, operator, extents[at], live)?;
        }
        Ok(())
    }

    fn charge_at(&self, at: usize) -> u64 {
        self.facts.charges.get(at).copied().unwrap_or(0)
    }

    // Emission.

    fn pc(&self) -> u32 {
        self.code.len() as u32
    }

    fn emit(&mut self, instruction: Instruction) -> u32 {
        self.written = None;
        self.code.push(instruction);
        self.pc() - 1
    }

    /// Emits an instruction on a hidden global, whose index stands in `imm` later.
    fn emit_hidden(&mut self, instruction: Instruction, hidden: Hidden) {
        let at = self.emit(instruction);
        self.pending.push((at, Pending::Global(hidden)));
    }

    /// Emits an instruction that writes `c` and does nothing else that matters.
    fn emit_result(&mut self, instruction: Instruction) {
        self.emit(instruction);
        self.written = Some(instruction.c);
    }

    fn use_slot(&mut self, slot: usize) -> u16 {
        self.frame_size = self.frame_size.max(slot + 1);
        slot as u16
    }

    fn slot_of(&mut self, position: usize) -> u16 {
        self.use_slot(self.locals + position)
    }

    /// Writes a pending operand to a slot.
    fn emit_into(&mut self, operand: Operand, position: usize, slot: u16) {
        let instruction = match operand {
            Operand::Constant(imm) => Instruction {
                op: op::CONST,
                c: slot,
                imm,
                ..Instruction::default()
            },
            Operand::Local(local) => Instruction {
                op: op::COPY,
                a: local,
                c: slot,
                ..Instruction::default()
            },
            Operand::Slot => {
                let own = self.slot_of(position);
                if own == slot {
                    return;
                }
                Instruction {
                    op: op::COPY,
                    a: own,
                    c: slot,
                    ..Instruction::default()
                }
            }
        };
        self.emit(instruction);
    }

    fn emit_charge(&mut self, cycles: u64) {
        if cycles > 0 {
            self.emit(Instruction {
                op: op::CHARGE,
                imm: cycles,
                ..Instruction::default()
            });
        }
    }

    // The operand stack.

    fn push(&mut self, operand: Operand) {
        if let Operand::Local(local) = operand {
            self.reads[local as usize].push(self.operands.len() as u32);
        }
        self.operands.push(operand);
    }

    /// Pushes an operand that lies in its own slot, and gives the slot.
    fn push_slot(&mut self) -> u16 {
        let slot = self.slot_of(self.operands.len());
        self.operands.push(Operand::Slot);
        slot
    }

    /// Takes the top operand; validated code has one.
    fn pop(&mut self) -> Operand {
        let operand = self.operands.pop().unwrap_or(Operand::Constant(0));
        if let Operand::Local(local) = operand {
            self.reads[local as usize].pop();
        }
        self.flushed = self.flushed.min(self.operands.len());
        operand
    }

    fn truncate(&mut self, height: usize) {
        while self.operands.len() > height {
            self.pop();
        }
    }

    /// Puts the operand at `position` into its own slot.
    fn settle(&mut self, position: usize) -> u16 {
        let slot = self.slot_of(position);
        let operand = self.operands[position];
        if operand != Operand::Slot {
            if let Operand::Local(local) = operand {
                // From the end: what is settled lies near the top of the stack.
                let reads = &mut self.reads[local as usize];
                if let Some(at) = reads.iter().rposition(|at| *at == position as u32) {
                    reads.remove(at);
                }
            }
            self.emit_into(operand, position, slot);
            self.operands[position] = Operand::Slot;
        }
        slot
    }

    /// Puts the top `count` operands into their own slots.
    fn settle_top(&mut self, count: usize) {
        for position in self.operands.len() - count..self.operands.len() {
            self.settle(position);
        }
    }

    /// Puts all pending locals into their own slots: before code that may run or not.
    fn settle_locals(&mut self) {
        for position in self.flushed..self.operands.len() {
            if let Operand::Local(local) = self.operands[position] {
                let slot = self.slot_of(position);
                self.emit_into(Operand::Local(local), position, slot);
                self.operands[position] = Operand::Slot;
                // All reads of this local are being settled.
                self.reads[local as usize].clear();
            }
        }
        self.flushed = self.operands.len();
    }

    /// Puts pending reads of a local that is about to change into their slots.
    fn preserve(&mut self, local: u32) {
        for position in std::mem::take(&mut self.reads[local as usize]) {
            let slot = self.slot_of(position as usize);
            self.emit_into(Operand::Local(local as u16), position as usize, slot);
            self.operands[position as usize] = Operand::Slot;
        }
    }

    /// Takes the top operand as a slot; constants are written to their own.
    fn pop_slot(&mut self) -> u16 {
        let position = self.operands.len().saturating_sub(1);
        match self.pop() {
            Operand::Local(local) => local,
            Operand::Slot => self.slot_of(position),
            Operand::Constant(value) => {
                if let Some(slot) = self.constants.slot(value) {
                    return slot;
                }
                let slot = self.slot_of(position);
                self.emit_into(Operand::Constant(value), position, slot);
                slot
            }
        }
    }

    /// Takes the top `count` operands as slots, lowest first.
    fn pop_slots<const N: usize>(&mut self) -> [u16; N] {
        let mut slots = [0; N];
        for slot in slots.iter_mut().rev() {
            *slot = self.pop_slot();
        }
        slots
    }

    /// Takes the top three operands as three neighbouring slots of one leaf and gives the first.
    fn pop_neighbours(&mut self) -> u16 {
        let first = self.operands.len() - 3;
        let own = self.locals + first;
        let leaf = LEAF_SLOTS as usize;
        // Behind the operands' own slots if those lie in two leaves.
        let start = if own / leaf == (own + 2) / leaf {
            own
        } else {
            (own / leaf + 1) * leaf + 3
        };
        for offset in 0..3 {
            let slot = self.use_slot(start + offset);
            self.emit_into(self.operands[first + offset], first + offset, slot);
        }
        self.truncate(first);
        start as u16
    }

    /// Charges by size, from the top operand.
    fn charge_size(&mut self, cost: crate::cost::SizeCost) {
        let position = self.operands.len() - 1;
        let a = match self.operands[position] {
            Operand::Constant(n) => {
                self.emit_charge(cost.cycles(n as u32));
                return;
            }
            Operand::Local(local) => local,
            Operand::Slot => self.slot_of(position),
        };
        self.emit(Instruction {
            op: op::CHARGE_SIZE,
            a,
            imm: Instruction::halves(cost.shift << 16 | cost.factor, cost.max),
            ..Instruction::default()
        });
    }

    // Branches.

    /// The label `depth` blocks out; validated code has it.
    fn block(&mut self, depth: u32) -> usize {
        self.blocks.len() - 1 - depth as usize
    }

    fn is_function(&self, block: usize) -> bool {
        block == 0
    }

    /// Completes a branch instruction at `pc` to a label. `charged`: it charges the label's block.
    fn aim(&mut self, block: usize, pc: u32, charged: bool) {
        match self.blocks[block].label.start {
            Some((charge, behind)) => self.set_target(pc, if charged { behind } else { charge }),
            None => self.blocks[block].label.branches.push((pc, charged)),
        }
    }

    fn set_target(&mut self, pc: u32, target: u32) {
        let instruction = &mut self.code[pc as usize];
        instruction.imm = Instruction::halves(instruction.high(), target);
        self.targets.push(pc);
    }

    /// Emits a jump to a label. Charges fit: a block costs less than 2^32.
    fn jump(&mut self, block: usize) {
        let charge = self.blocks[block].label.charge;
        let pc = self.emit(Instruction {
            op: op::JUMP,
            imm: Instruction::halves(charge as u32, 0),
            ..Instruction::default()
        });
        self.aim(block, pc, true);
    }

    /// Emits a conditional branch that charges `taken` or `fallen`, and says whether it does so when
    /// taken. What does not fit when not taken is charged behind it.
    fn branch_on(
        &mut self,
        condition: Condition,
        when: bool,
        taken: u64,
        fallen: u64,
    ) -> (u32, bool) {
        let c = u16::try_from(fallen);
        let mut instruction = match condition {
            Condition::Slot(a) => Instruction {
                op: if when {
                    op::BRANCH_IF
                } else {
                    op::BRANCH_IF_ZERO
                },
                a,
                ..Instruction::default()
            },
            Condition::Comparison(comparison) => as_branch(comparison, when),
            Condition::Negated(comparison) => as_branch(comparison, !when),
        };
        instruction.c = c.unwrap_or(0);
        let has_constant = instruction.op & IMM != 0 && !isa::compares_floats(instruction.op);
        let charged = if has_constant {
            let fits = u16::try_from(taken);
            instruction.b = fits.unwrap_or(0);
            fits.is_ok()
        } else {
            instruction.imm = Instruction::halves(taken as u32, 0);
            true
        };
        let pc = self.emit(instruction);
        if c.is_err() {
            self.emit_charge(fallen);
        }
        (pc, charged)
    }

    /// Takes a condition; a comparison that was just made is taken back.
    fn pop_condition(&mut self) -> Condition {
        let position = self.operands.len().saturating_sub(1);
        let own = self.slot_of(position);
        if self.operands.last() == Some(&Operand::Slot)
            && self.written == Some(own)
            && let Some(last) = self.code.last().copied()
            && isa::compares(last.op)
            && constant_fits(last)
        {
            self.pop();
            self.code.pop();
            self.written = None;
            return self.unnegated(last, own);
        }
        Condition::Slot(self.pop_slot())
    }

    /// The condition of a comparison that was taken back. If it negates another one, which nothing
    /// else reads, that one is taken back as well.
    fn unnegated(&mut self, last: Instruction, own: u16) -> Condition {
        let mut negated = None;
        if last.op == op::EQZ
            && last.a == own
            && self.pc() > self.barrier
            && let Some(before) = self.code.last().copied()
            && isa::compares(before.op)
            && before.c == own
            && constant_fits(before)
        {
            self.code.pop();
            negated = Some(before);
        }
        match negated {
            Some(comparison) => Condition::Negated(comparison),
            None => Condition::Comparison(last),
        }
    }

    /// Whether the operands that a branch takes along lie where the label expects them.
    fn is_in_place(&self, block: usize) -> bool {
        let Block { height, arity, .. } = self.blocks[block];
        let first = self.operands.len() - arity;
        arity == 0 || first == height && self.operands[first..].iter().all(|o| *o == Operand::Slot)
    }

    /// Writes the operands that a branch takes along to where the label expects them.
    fn move_to_label(&mut self, block: usize) {
        let Block { height, arity, .. } = self.blocks[block];
        let first = self.operands.len() - arity;
        // Ascending: no operand lies below its place.
        for offset in 0..arity {
            let slot = self.slot_of(height + offset);
            self.emit_into(self.operands[first + offset], first + offset, slot);
        }
    }

    /// Leaves for a label, for good.
    fn branch(&mut self, block: usize) {
        if self.is_function(block) {
            self.leave();
        } else {
            self.move_to_label(block);
            self.jump(block);
        }
    }

    /// Returns from the function with the results on top of the stack.
    fn leave(&mut self) {
        let count = self.blocks[0].arity;
        let first = self.operands.len() - count;
        let a = match count {
            0 => 0,
            1 => match self.operands[first] {
                Operand::Local(local) => local,
                operand => {
                    let slot = self.slot_of(first);
                    self.emit_into(operand, first, slot);
                    slot
                }
            },
            _ => {
                // Pending locals first, because the slots of locals are overwritten.
                for position in first..self.operands.len() {
                    let slot = self.slot_of(position);
                    self.emit_into(self.operands[position], position, slot);
                }
                for offset in 0..count {
                    self.emit_into(Operand::Slot, first + offset, offset as u16);
                }
                0
            }
        };
        self.emit(Instruction {
            op: op::RETURN,
            a,
            c: count as u16,
            imm: self.facts.frame_slots,
            ..Instruction::default()
        });
    }

    /// A place that branches lead to. `live`: code falls through to it.
    fn bind(&mut self, charge: u64, branches: &[(u32, bool)], live: bool) {
        let start = self.pc();
        if live || branches.iter().any(|(_, charged)| !charged) {
            self.emit_charge(charge);
        }
        let behind = self.pc();
        for (pc, charged) in branches {
            self.set_target(*pc, if *charged { behind } else { start });
        }
        self.written = None;
        self.barrier = behind;
    }

    fn block_type(&self, ty: BlockType) -> (usize, usize) {
        match ty {
            BlockType::Empty => (0, 0),
            BlockType::Type(_) => (0, 1),
            BlockType::FuncType(index) => {
                let ty = &self.module.types[index as usize];
                (ty.params().len(), ty.results().len())
            }
        }
    }

    /// Translates an operator; says whether code falls through it.
    fn operator(
        &mut self,
        at: usize,
        operator: &Operator<'a>,
        extent: Extent,
        live: bool,
    ) -> Result<bool, LoadError> {
        use Operator as O;
        let following = self.charge_at(at + 1);
        match operator {
            O::Block { blockty } | O::Loop { blockty } | O::If { blockty } => {
                self.open(operator, *blockty, following, extent);
            }
            O::Else => {
                let last = self.blocks.len() - 1;
                if live {
                    self.move_to_label(last);
                    self.jump(last);
                }
                let block = &mut self.blocks[last];
                let (height, parameters) = (block.height, block.parameters);
                let otherwise = block.otherwise.take();
                self.truncate(height);
                self.operands.resize(height + parameters, Operand::Slot);
                self.bind(following, otherwise.as_slice(), false);
            }
            O::End => self.close(following, live),
            O::Br { relative_depth } => {
                let block = self.block(*relative_depth);
                self.branch(block);
                return Ok(false);
            }
            O::BrIf { relative_depth } => {
                let block = self.block(*relative_depth);
                let condition = self.pop_condition();
                if self.is_function(block) || !self.is_in_place(block) {
                    let (skip, charged) = self.branch_on(condition, false, following, 0);
                    // The operands are still there when the branch is not taken.
                    self.branch(block);
                    self.bind(following, &[(skip, charged)], false);
                } else {
                    let taken = self.blocks[block].label.charge;
                    let (pc, charged) = self.branch_on(condition, true, taken, following);
                    self.aim(block, pc, charged);
                }
            }
            O::BrTable { targets } => {
                let mut blocks = Vec::with_capacity(targets.len() as usize + 1);
                for depth in targets.targets() {
                    blocks.push(self.block(depth?));
                }
                blocks.push(self.block(targets.default()));
                let a = self.pop_slot();
                self.branch_table(a, &blocks);
                return Ok(false);
            }
            O::Return => {
                self.leave();
                return Ok(false);
            }
            O::Unreachable => {
                self.emit(Instruction::default());
                return Ok(false);
            }
            O::Call { function_index } => self.call(*function_index),
            O::CallIndirect {
                type_index,
                table_index,
            } => self.call_indirect(*type_index, *table_index),
            other => self.plain(other),
        }
        Ok(true)
    }

    fn open(&mut self, operator: &Operator<'_>, ty: BlockType, following: u64, extent: Extent) {
        let (parameters, results) = self.block_type(ty);
        let condition = matches!(operator, Operator::If { .. }).then(|| self.pop_condition());
        // A comparison that was taken back reads slots, which settling does not change.
        self.settle_locals();
        self.settle_top(parameters);
        let is_loop = matches!(operator, Operator::Loop { .. });
        let behind = self.charge_at(extent.end + 1);
        let mut block = Block {
            label: Label {
                charge: if is_loop { following } else { behind },
                start: None,
                branches: Vec::new(),
            },
            height: self.operands.len() - parameters,
            parameters,
            arity: if is_loop { parameters } else { results },
            results,
            otherwise: None,
            is_loop,
        };
        if is_loop {
            let start = self.pc();
            self.emit_charge(following);
            block.label.start = Some((start, self.pc()));
            self.written = None;
            self.barrier = self.pc();
        }
        if let Some(condition) = condition {
            let otherwise = self.charge_at(extent.otherwise + 1);
            block.otherwise = Some(self.branch_on(condition, false, otherwise, following));
        }
        self.blocks.push(block);
    }

    /// Closes a block at its `end`. What follows counts as live, as it does for charges, even where
    /// nothing leads there.
    fn close(&mut self, following: u64, live: bool) {
        let last = self.blocks.len() - 1;
        if last == 0 {
            if live {
                self.leave();
            }
            return;
        }
        let is_target =
            !self.blocks[last].label.branches.is_empty() || self.blocks[last].otherwise.is_some();
        if live && is_target && !self.blocks[last].is_loop {
            self.move_to_label(last);
        }
        let Some(block) = self.blocks.pop() else {
            return;
        };
        let mut branches = if block.is_loop {
            Vec::new()
        } else {
            block.label.branches
        };
        branches.extend(block.otherwise);
        if is_target || !live {
            let from = block.height;
            if !(live && block.is_loop) {
                self.truncate(from);
                self.operands.resize(from + block.results, Operand::Slot);
                if block.results > 0 {
                    self.slot_of(from + block.results - 1);
                }
            }
        }
        self.bind(following, &branches, live);
    }

    fn branch_table(&mut self, a: u16, blocks: &[usize]) {
        self.emit(Instruction {
            op: op::BRANCH_TABLE,
            a,
            imm: blocks.len() as u64 - 1,
            ..Instruction::default()
        });
        let mut stubs: Vec<(u32, usize)> = Vec::new();
        for block in blocks {
            if !self.is_function(*block) && self.is_in_place(*block) {
                self.jump(*block);
            } else {
                let pc = self.emit(Instruction {
                    op: op::JUMP,
                    ..Instruction::default()
                });
                stubs.push((pc, *block));
            }
        }
        // One stub for each label that needs its operands moved.
        let mut places: HashMap<usize, u32> = HashMap::new();
        for (pc, block) in stubs {
            let place = match places.get(&block) {
                Some(place) => *place,
                None => {
                    let place = self.pc();
                    self.branch(block);
                    places.insert(block, place);
                    place
                }
            };
            self.set_target(pc, place);
        }
    }

    // Calls.

    /// Settles the arguments and takes them; gives the first one's slot and how many the call takes.
    fn arguments(&mut self, count: usize) -> (u16, u16) {
        self.settle_top(count);
        let first = self.operands.len() - count;
        for argument in DIRECT_ARGUMENTS..count {
            let a = self.slot_of(first + argument);
            let set = Instruction {
                op: op::GLOBAL_SET,
                a,
                ..Instruction::default()
            };
            self.emit_hidden(set, Hidden::Argument(argument as u32));
        }
        let slot = self.slot_of(first);
        self.truncate(first);
        (slot, count.min(DIRECT_ARGUMENTS) as u16)
    }

    fn call(&mut self, function: u32) {
        let ty = self.module.function_type(function);
        let (parameters, results) = (ty.params().len(), ty.results().len());
        let (a, c) = self.arguments(parameters);
        if let Some(operation) = HostOperation::ALL.get(function as usize) {
            let operation = match operation {
                HostOperation::ReadInput => op::READ_INPUT,
                HostOperation::AppendOutput => op::APPEND_OUTPUT,
                HostOperation::Exit => op::EXIT,
            };
            // Host operations have at most four arguments, which they find themselves.
            let c = if results == 1 { self.push_slot() } else { 0 };
            self.emit(Instruction {
                op: operation,
                a,
                c,
                ..Instruction::default()
            });
            return;
        }
        let instruction = Instruction {
            op: op::CALL,
            a,
            c,
            ..Instruction::default()
        };
        self.pending.push((self.pc(), Pending::Call(function)));
        self.finish_call(instruction, results);
    }

    fn call_indirect(&mut self, ty: u32, table: u32) {
        let index = self.pop_slot();
        let types = &self.module.types[ty as usize];
        let (parameters, results) = (types.params().len(), types.results().len());
        let b = self.slot_of(self.operands.len());
        self.emit(Instruction {
            op: op::RESOLVE,
            a: index,
            b: table as u16,
            c: b,
            imm: ty.into(),
        });
        let (a, c) = self.arguments(parameters);
        let instruction = Instruction {
            op: op::CALL_REF,
            a,
            b,
            c,
            ..Instruction::default()
        };
        self.finish_call(instruction, results);
    }

    fn finish_call(&mut self, mut instruction: Instruction, results: usize) {
        if results == 1 {
            let slot = self.push_slot();
            instruction.imm = Instruction::halves(slot.into(), 0);
            self.emit(instruction);
            self.written = Some(slot);
            return;
        }
        self.emit(instruction);
        for result in 0..results {
            let c = self.push_slot();
            self.emit(Instruction {
                op: op::RESULT,
                a: result as u16,
                b: (result + 1 == results).into(),
                c,
                imm: 0,
            });
        }
    }

    // Everything else.

    fn plain(&mut self, operator: &Operator<'_>) {
        use Operator as O;
        match operator {
            O::Nop => {}
            O::Drop => {
                self.pop();
            }
            O::LocalGet { local_index } => self.push(Operand::Local(*local_index as u16)),
            O::LocalSet { local_index } => self.set_local(*local_index),
            O::LocalTee { local_index } => {
                self.set_local(*local_index);
                self.push(Operand::Local(*local_index as u16));
            }
            O::RefFunc { function_index } => {
                let c = self.push_slot();
                self.pending
                    .push((self.pc(), Pending::Reference(*function_index)));
                self.emit_result(Instruction {
                    op: op::CONST,
                    c,
                    ..Instruction::default()
                });
            }
            O::Select | O::TypedSelect { .. } => {
                let [a, b, condition] = self.pop_slots();
                let c = self.push_slot();
                self.emit_result(Instruction {
                    op: op::SELECT,
                    a,
                    b,
                    c,
                    imm: condition.into(),
                });
            }
            O::GlobalGet { global_index } => {
                let c = self.push_slot();
                self.emit_result(Instruction {
                    op: op::GLOBAL_GET,
                    c,
                    imm: (*global_index).into(),
                    ..Instruction::default()
                });
            }
            O::GlobalSet { global_index } => {
                let a = self.pop_slot();
                self.emit(Instruction {
                    op: op::GLOBAL_SET,
                    a,
                    imm: (*global_index).into(),
                    ..Instruction::default()
                });
            }
            // The bits stay where they are; i32 and f32 are zero-extended already.
            O::I64ExtendI32U
            | O::I32ReinterpretF32
            | O::I64ReinterpretF64
            | O::F32ReinterpretI32
            | O::F64ReinterpretI64 => {}
            O::MemorySize { mem } => {
                let c = self.push_slot();
                self.emit_result(Instruction {
                    op: op::MEMORY_SIZE,
                    c,
                    imm: (*mem).into(),
                    ..Instruction::default()
                });
            }
            O::MemoryGrow { mem } => {
                let a = self.pop_slot();
                let c = self.push_slot();
                self.emit_result(Instruction {
                    op: op::MEMORY_GROW,
                    a,
                    c,
                    imm: (*mem).into(),
                    ..Instruction::default()
                });
            }
            operator => {
                if let Some(value) = constant(operator) {
                    self.push(Operand::Constant(value));
                } else if let Some((operation, memarg)) = load(operator) {
                    self.load(operation, memarg);
                } else if let Some((operation, memarg)) = store(operator) {
                    self.store(operation, memarg);
                } else if let Some(operation) = binary(operator) {
                    self.binary(operation);
                } else if let Some(operation) = unary(operator) {
                    let a = self.pop_slot();
                    let c = self.push_slot();
                    self.emit_result(Instruction {
                        op: operation,
                        a,
                        c,
                        ..Instruction::default()
                    });
                } else {
                    self.bulk(operator);
                }
            }
        }
    }

    fn set_local(&mut self, local: u32) {
        let position = self.operands.len().saturating_sub(1);
        let own = self.slot_of(position);
        let operand = self.pop();
        if operand == Operand::Local(local as u16) {
            return;
        }
        if operand == Operand::Slot
            && self.reads[local as usize].is_empty()
            && self.written == Some(own)
            && let Some(last) = self.code.last_mut()
        {
            if matches!(last.op, op::CALL | op::CALL_REF) {
                last.imm = Instruction::halves(local, last.low());
            } else {
                last.c = local as u16;
            }
            self.written = None;
            return;
        }
        self.preserve(local);
        self.emit_into(operand, position, local as u16);
    }

    fn load(&mut self, operation: u16, memarg: &wasmparser::MemArg) {
        let a = self.pop_slot();
        let c = self.push_slot();
        self.emit_result(Instruction {
            op: operation | if memarg.memory == 0 { 0 } else { IMM },
            a,
            b: memarg.memory as u16,
            c,
            imm: memarg.offset,
        });
    }

    fn store(&mut self, operation: u16, memarg: &wasmparser::MemArg) {
        let [a, b] = self.pop_slots();
        self.emit(Instruction {
            op: operation | if memarg.memory == 0 { 0 } else { IMM },
            a,
            b,
            c: memarg.memory as u16,
            imm: memarg.offset,
        });
    }

    fn binary(&mut self, operation: u16) {
        let top = self.operands.len() - 1;
        if isa::takes_constant(operation) {
            if commutes(operation)
                && matches!(self.operands[top - 1], Operand::Constant(_))
                && !matches!(self.operands[top], Operand::Constant(_))
            {
                let position = top;
                let y = self.operands[top];
                let Operand::Constant(imm) = self.operands[top - 1] else {
                    return;
                };
                let a = match y {
                    Operand::Local(local) => local,
                    _ => self.slot_of(position),
                };
                self.pop();
                self.pop();
                self.emit_with_constant(operation, a, imm);
                return;
            }
            if let Operand::Constant(imm) = self.operands[top] {
                self.pop();
                let a = self.pop_slot();
                self.emit_with_constant(operation, a, imm);
                return;
            }
        }
        let [a, b] = self.pop_slots();
        let c = self.push_slot();
        self.emit_result(Instruction {
            op: operation,
            a,
            b,
            c,
            imm: 0,
        });
    }

    fn emit_with_constant(&mut self, operation: u16, a: u16, imm: u64) {
        let c = self.push_slot();
        self.emit_result(Instruction {
            op: operation | IMM,
            a,
            b: 0,
            c,
            imm,
        });
    }

    fn bulk(&mut self, operator: &Operator<'_>) {
        use Operator as O;
        let (operation, imm) = match *operator {
            O::MemoryCopy { dst_mem, src_mem } => (op::MEMORY_COPY, dst_mem | src_mem << 8),
            O::MemoryFill { mem } => (op::MEMORY_FILL, mem),
            O::TableCopy {
                dst_table,
                src_table,
            } => (op::TABLE_COPY, dst_table | src_table << 8),
            O::TableFill { table } => (op::TABLE_FILL, table),
            O::MemoryInit { data_index, mem } => {
                let place = self.places.data[data_index as usize];
                self.init(op::MEMORY_INIT, Hidden::DataLength(data_index), place, mem);
                return;
            }
            O::TableInit { elem_index, table } => {
                let place = self.places.elements[elem_index as usize];
                self.init(
                    op::TABLE_INIT,
                    Hidden::ElementsLength(elem_index),
                    place,
                    table,
                );
                return;
            }
            O::DataDrop { data_index } => {
                self.drop_segment(Hidden::DataLength(data_index));
                return;
            }
            O::ElemDrop { elem_index } => {
                self.drop_segment(Hidden::ElementsLength(elem_index));
                return;
            }
            O::TableGet { table } => {
                let a = self.pop_slot();
                let c = self.push_slot();
                self.emit_result(Instruction {
                    op: op::TABLE_GET,
                    a,
                    c,
                    imm: table.into(),
                    ..Instruction::default()
                });
                return;
            }
            O::TableSet { table } => {
                let [a, b] = self.pop_slots();
                self.emit(Instruction {
                    op: op::TABLE_SET,
                    a,
                    b,
                    imm: table.into(),
                    ..Instruction::default()
                });
                return;
            }
            O::TableSize { table } => {
                let c = self.push_slot();
                self.emit_result(Instruction {
                    op: op::TABLE_SIZE,
                    c,
                    imm: table.into(),
                    ..Instruction::default()
                });
                return;
            }
            O::TableGrow { table } => {
                self.grow_table(table);
                return;
            }
            // The validator lets nothing else through.
            _ => {
                self.emit(Instruction::default());
                return;
            }
        };
        let a = self.pop_neighbours();
        self.emit(Instruction {
            op: operation,
            a,
            b: a + 1,
            c: a + 2,
            imm: imm.into(),
        });
    }

    fn init(&mut self, operation: u16, hidden: Hidden, place: u32, target: u32) {
        let a = self.pop_neighbours();
        let check = Instruction {
            op: op::SEGMENT_CHECK,
            a: a + 1,
            b: a + 2,
            ..Instruction::default()
        };
        self.emit_hidden(check, hidden);
        self.emit(Instruction {
            op: operation,
            a,
            b: a + 1,
            c: a + 2,
            imm: Instruction::halves(target << 24, place),
        });
    }

    fn drop_segment(&mut self, hidden: Hidden) {
        let slot = self.slot_of(self.operands.len());
        self.emit_into(Operand::Constant(0), self.operands.len(), slot);
        let set = Instruction {
            op: op::GLOBAL_SET,
            a: slot,
            ..Instruction::default()
        };
        self.emit_hidden(set, hidden);
    }

    /// `table.grow`: new entries are null; any other value is filled in where growing succeeded.
    fn grow_table(&mut self, table: u32) {
        let first = self.operands.len() - 2;
        if self.operands[first] == Operand::Constant(0) {
            let a = self.pop_slot();
            self.pop();
            let c = self.push_slot();
            self.emit_result(Instruction {
                op: op::TABLE_GROW,
                a,
                c,
                imm: table.into(),
                ..Instruction::default()
            });
            return;
        }
        self.settle_top(2);
        let (value, count) = (self.slot_of(first), self.slot_of(first + 1));
        let old = self.slot_of(first + 2);
        self.emit(Instruction {
            op: op::TABLE_GROW,
            a: count,
            c: old,
            imm: table.into(),
            ..Instruction::default()
        });
        // -1 is the only negative answer: a table has fewer than 2^31 entries.
        let skip = self.emit(Instruction {
            op: op::I32_LT_S | IMM | BRANCH,
            a: old,
            ..Instruction::default()
        });
        // Three neighbours in the order of `TableFill`: start, value, count.
        self.truncate(first);
        let own = self.locals + first;
        let start = (own / LEAF_SLOTS as usize + 1) * LEAF_SLOTS as usize + 3;
        for (offset, a) in [old, value, count].into_iter().enumerate() {
            let c = self.use_slot(start + offset);
            self.emit(Instruction {
                op: op::COPY,
                a,
                c,
                ..Instruction::default()
            });
        }
        let start = start as u16;
        self.emit(Instruction {
            op: op::TABLE_FILL,
            a: start,
            b: start + 1,
            c: start + 2,
            imm: table.into(),
        });
        let target = self.pc();
        self.set_target(skip, target);
        let c = self.push_slot();
        self.emit(Instruction {
            op: op::COPY,
            a: old,
            c,
            ..Instruction::default()
        });
    }
}

/// Where a block ends.
#[derive(Debug, Clone, Copy, Default)]
struct Extent {
    /// Index of the `else`, or of the `end` if there is none.
    otherwise: usize,
    /// Index of the `end`.
    end: usize,
}

/// The extents of the blocks that operators open.
fn extents(operators: &[Operator<'_>]) -> Vec<Extent> {
    let mut extents = vec![Extent::default(); operators.len()];
    let mut open: Vec<usize> = Vec::new();
    for (at, operator) in operators.iter().enumerate() {
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => open.push(at),
            Operator::Else => {
                if let Some(opened) = open.last() {
                    extents[*opened].otherwise = at;
                }
            }
            Operator::End => {
                if let Some(opened) = open.pop() {
                    let extent = &mut extents[opened];
                    extent.end = at;
                    if extent.otherwise == 0 {
                        extent.otherwise = at;
                    }
                }
            }
            _ => {}
        }
    }
    extents
}

/// Whether a comparison's constant survives the 32 bits that a branch has for it.
fn constant_fits(comparison: Instruction) -> bool {
    let operation = comparison.op & 0xff;
    if comparison.op & IMM == 0 || matches!(operation, op::I32_LT_S..=op::I32_GE_S) {
        return true;
    }
    comparison.imm as i32 as u64 == comparison.imm
}

/// The branch that is taken if a comparison's result is `when`.
fn as_branch(comparison: Instruction, when: bool) -> Instruction {
    let Instruction { op, a, b, imm, .. } = comparison;
    if op & 0xff == op::EQZ {
        return Instruction {
            op: if when {
                op::BRANCH_IF_ZERO
            } else {
                op::BRANCH_IF
            },
            a,
            ..Instruction::default()
        };
    }
    if isa::compares_floats(op) {
        return Instruction {
            op: op | BRANCH | if when { 0 } else { IMM },
            a,
            b,
            ..Instruction::default()
        };
    }
    Instruction {
        op: if when { op } else { opposite(op) } | BRANCH,
        a,
        b,
        c: 0,
        imm: if op & IMM == 0 {
            0
        } else {
            Instruction::halves(imm as u32, 0)
        },
    }
}

/// The comparison of integers that is true where the other is false.
fn opposite(comparison: u16) -> u16 {
    let flags = comparison & !0xff;
    flags
        | match comparison & 0xff {
            op::EQ => op::NE,
            op::NE => op::EQ,
            op::LT_U => op::GE_U,
            op::GE_U => op::LT_U,
            op::GT_U => op::LE_U,
            op::LE_U => op::GT_U,
            op::I32_LT_S => op::I32_GE_S,
            op::I32_GE_S => op::I32_LT_S,
            op::I32_GT_S => op::I32_LE_S,
            op::I32_LE_S => op::I32_GT_S,
            op::I64_LT_S => op::I64_GE_S,
            op::I64_GE_S => op::I64_LT_S,
            op::I64_GT_S => op::I64_LE_S,
            _ => op::I64_GT_S,
        }
}

fn commutes(operation: u16) -> bool {
    matches!(
        operation,
        op::EQ
            | op::NE
            | op::AND
            | op::OR
            | op::XOR
            | op::I32_ADD
            | op::I32_MUL
            | op::I64_ADD
            | op::I64_MUL
    )
}

fn load<'o>(operator: &'o Operator<'_>) -> Option<(u16, &'o wasmparser::MemArg)> {
    use Operator as O;
    Some(match operator {
        O::I32Load8U { memarg } | O::I64Load8U { memarg } => (op::LOAD8_U, memarg),
        O::I32Load8S { memarg } => (op::LOAD8_S32, memarg),
        O::I64Load8S { memarg } => (op::LOAD8_S64, memarg),
        O::I32Load16U { memarg } | O::I64Load16U { memarg } => (op::LOAD16_U, memarg),
        O::I32Load16S { memarg } => (op::LOAD16_S32, memarg),
        O::I64Load16S { memarg } => (op::LOAD16_S64, memarg),
        O::I32Load { memarg } | O::F32Load { memarg } | O::I64Load32U { memarg } => {
            (op::LOAD32_U, memarg)
        }
        O::I64Load32S { memarg } => (op::LOAD32_S64, memarg),
        O::I64Load { memarg } | O::F64Load { memarg } => (op::LOAD64, memarg),
        _ => return None,
    })
}

fn store<'o>(operator: &'o Operator<'_>) -> Option<(u16, &'o wasmparser::MemArg)> {
    use Operator as O;
    Some(match operator {
        O::I32Store8 { memarg } | O::I64Store8 { memarg } => (op::STORE8, memarg),
        O::I32Store16 { memarg } | O::I64Store16 { memarg } => (op::STORE16, memarg),
        O::I32Store { memarg } | O::F32Store { memarg } | O::I64Store32 { memarg } => {
            (op::STORE32, memarg)
        }
        O::I64Store { memarg } | O::F64Store { memarg } => (op::STORE64, memarg),
        _ => return None,
    })
}

#[rustfmt::skip]
fn binary(operator: &Operator<'_>) -> Option<u16> {
    use Operator as O;
    Some(match operator {
        O::I32Eq | O::I64Eq => op::EQ, O::I32Ne | O::I64Ne => op::NE,
        O::I32LtU | O::I64LtU => op::LT_U, O::I32GtU | O::I64GtU => op::GT_U,
        O::I32LeU | O::I64LeU => op::LE_U, O::I32GeU | O::I64GeU => op::GE_U,
        O::I32And | O::I64And => op::AND, O::I32Or | O::I64Or => op::OR, O::I32Xor | O::I64Xor => op::XOR,
        O::I32DivU | O::I64DivU => op::DIV_U, O::I32RemU | O::I64RemU => op::REM_U,
        O::I32Add => op::I32_ADD, O::I32Sub => op::I32_SUB, O::I32Mul => op::I32_MUL,
        O::I32LtS => op::I32_LT_S, O::I32GtS => op::I32_GT_S, O::I32LeS => op::I32_LE_S, O::I32GeS => op::I32_GE_S,
        O::I32DivS => op::I32_DIV_S, O::I32RemS => op::I32_REM_S,
        O::I32Shl => op::I32_SHL, O::I32ShrS => op::I32_SHR_S, O::I32ShrU => op::I32_SHR_U,
        O::I32Rotl => op::I32_ROTL, O::I32Rotr => op::I32_ROTR,
        O::I64Add => op::I64_ADD, O::I64Sub => op::I64_SUB, O::I64Mul => op::I64_MUL,
        O::I64LtS => op::I64_LT_S, O::I64GtS => op::I64_GT_S, O::I64LeS => op::I64_LE_S, O::I64GeS => op::I64_GE_S,
        O::I64DivS => op::I64_DIV_S, O::I64RemS => op::I64_REM_S,
        O::I64Shl => op::I64_SHL, O::I64ShrS => op::I64_SHR_S, O::I64ShrU => op::I64_SHR_U,
        O::I64Rotl => op::I64_ROTL, O::I64Rotr => op::I64_ROTR,
        O::F32Eq => op::F32_EQ, O::F32Ne => op::F32_NE, O::F32Lt => op::F32_LT,
        O::F32Gt => op::F32_GT, O::F32Le => op::F32_LE, O::F32Ge => op::F32_GE,
        O::F32Add => op::F32_ADD, O::F32Sub => op::F32_SUB, O::F32Mul => op::F32_MUL, O::F32Div => op::F32_DIV,
        O::F32Min => op::F32_MIN, O::F32Max => op::F32_MAX, O::F32Copysign => op::F32_COPYSIGN,
        O::F64Eq => op::F64_EQ, O::F64Ne => op::F64_NE, O::F64Lt => op::F64_LT,
        O::F64Gt => op::F64_GT, O::F64Le => op::F64_LE, O::F64Ge => op::F64_GE,
        O::F64Add => op::F64_ADD, O::F64Sub => op::F64_SUB, O::F64Mul => op::F64_MUL, O::F64Div => op::F64_DIV,
        O::F64Min => op::F64_MIN, O::F64Max => op::F64_MAX, O::F64Copysign => op::F64_COPYSIGN,
        _ => return None,
    })
}

#[rustfmt::skip]
fn unary(operator: &Operator<'_>) -> Option<u16> {
    use Operator as O;
    Some(match operator {
        O::I32Eqz | O::I64Eqz | O::RefIsNull => op::EQZ,
        O::I32Clz => op::I32_CLZ, O::I32Ctz => op::I32_CTZ, O::I32Popcnt => op::I32_POPCNT,
        O::I64Clz => op::I64_CLZ, O::I64Ctz => op::I64_CTZ, O::I64Popcnt => op::I64_POPCNT,
        O::I32Extend8S => op::I32_EXTEND8_S, O::I32Extend16S => op::I32_EXTEND16_S, O::I32WrapI64 => op::I32_WRAP,
        O::I64Extend8S => op::I64_EXTEND8_S, O::I64Extend16S => op::I64_EXTEND16_S,
        O::I64Extend32S | O::I64ExtendI32S => op::I64_EXTEND32_S,
        O::F32Abs => op::F32_ABS, O::F32Neg => op::F32_NEG, O::F32Ceil => op::F32_CEIL, O::F32Floor => op::F32_FLOOR,
        O::F32Trunc => op::F32_TRUNC, O::F32Nearest => op::F32_NEAREST, O::F32Sqrt => op::F32_SQRT,
        O::F64Abs => op::F64_ABS, O::F64Neg => op::F64_NEG, O::F64Ceil => op::F64_CEIL, O::F64Floor => op::F64_FLOOR,
        O::F64Trunc => op::F64_TRUNC, O::F64Nearest => op::F64_NEAREST, O::F64Sqrt => op::F64_SQRT,
        O::I32TruncF32S => op::I32_TRUNC_F32_S, O::I32TruncF32U => op::I32_TRUNC_F32_U,
        O::I32TruncF64S => op::I32_TRUNC_F64_S, O::I32TruncF64U => op::I32_TRUNC_F64_U,
        O::I64TruncF32S => op::I64_TRUNC_F32_S, O::I64TruncF32U => op::I64_TRUNC_F32_U,
        O::I64TruncF64S => op::I64_TRUNC_F64_S, O::I64TruncF64U => op::I64_TRUNC_F64_U,
        O::F32DemoteF64 => op::F32_DEMOTE, O::F64PromoteF32 => op::F64_PROMOTE,
        O::I32TruncSatF32S => op::I32_TRUNC_SAT_F32_S, O::I32TruncSatF32U => op::I32_TRUNC_SAT_F32_U,
        O::I32TruncSatF64S => op::I32_TRUNC_SAT_F64_S, O::I32TruncSatF64U => op::I32_TRUNC_SAT_F64_U,
        O::I64TruncSatF32S => op::I64_TRUNC_SAT_F32_S, O::I64TruncSatF32U => op::I64_TRUNC_SAT_F32_U,
        O::I64TruncSatF64S => op::I64_TRUNC_SAT_F64_S, O::I64TruncSatF64U => op::I64_TRUNC_SAT_F64_U,
        O::F32ConvertI32S => op::F32_CONVERT_I32_S, O::F32ConvertI32U => op::F32_CONVERT_I32_U,
        O::F32ConvertI64S => op::F32_CONVERT_I64_S, O::F32ConvertI64U => op::F32_CONVERT_I64_U,
        O::F64ConvertI32S => op::F64_CONVERT_I32_S, O::F64ConvertI32U => op::F64_CONVERT_I32_U,
        O::F64ConvertI64S => op::F64_CONVERT_I64_S, O::F64ConvertI64U => op::F64_CONVERT_I64_U,
        _ => return None,
    })
}
