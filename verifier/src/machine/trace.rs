//! A step in words: what the machine is about to do, for people who audit.

use super::isa::{self, BRANCH, IMM, Instruction, op};
use super::state::{Archive, Machine};

/// A slot of a frame and what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotValue {
    /// The slot.
    pub slot: u16,
    /// Its value.
    pub value: u64,
}

/// The step that a machine makes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextStep {
    /// Steps made before.
    pub step: u64,
    /// Cycles used before.
    pub cycles: u64,
    /// Where the instruction is.
    pub pc: u32,
    /// The function, by its index in the image.
    pub function: Option<u32>,
    /// Calls that are suspended.
    pub depth: usize,
    /// The instruction.
    pub instruction: Instruction,
    /// What it reads of the frame, in the order of `MACHINE.md`.
    pub operands: Vec<SlotValue>,
    /// Where the call goes: a function by its index in the image.
    pub callee: Option<u32>,
}

impl<A: Archive> Machine<A> {
    /// The step that comes next; `None` if the machine has ended.
    #[must_use]
    pub fn next_step(&self) -> Option<NextStep> {
        let pc = Machine::pc(self)?;
        let program = self.program().program();
        let instruction = program.instruction(pc);
        let operands: Vec<SlotValue> = reads(&instruction)
            .into_iter()
            .filter_map(|slot| self.peek(slot).map(|value| SlotValue { slot, value }))
            .collect();
        let callee = match instruction.op {
            op::CALL => program.function_at(instruction.low()),
            // A reference's entry is in its high half.
            op::CALL_REF => self
                .peek(instruction.b)
                .and_then(|reference| program.function_at((reference >> 32) as u32)),
            _ => None,
        };
        Some(NextStep {
            step: Machine::steps(self),
            cycles: self.cycles(),
            pc,
            function: program.function_at(pc),
            depth: self.depth(),
            instruction,
            operands,
            callee,
        })
    }
}

impl NextStep {
    /// The slot of the same frame that the step writes, if it does. An unfinished bulk operation has
    /// not written it yet.
    #[must_use]
    pub fn writes(&self) -> Option<u16> {
        writes(&self.instruction)
    }

    /// The instruction with its operands' values: `I32Add [4]=7 [5]=9 -> [6]`. `name` says what a
    /// function is called.
    #[must_use]
    pub fn describe<'n>(&self, name: impl Fn(u32) -> &'n str) -> String {
        let i = &self.instruction;
        let mut text = isa::name(i.op).unwrap_or("Unknown").to_owned();
        if let Some(callee) = self.callee {
            text.push_str(&format!(" {}", name(callee)));
        }
        for SlotValue { slot, value } in &self.operands {
            text.push_str(&format!(" [{slot}]={value:#x}"));
        }
        if let Some(constants) = constants(i) {
            text.push_str(&format!(" {constants}"));
        }
        if let Some(slot) = self.writes() {
            text.push_str(&format!(" -> [{slot}]"));
        }
        text
    }
}

/// Whether an arithmetic operation has one operand.
fn is_unary(operation: u16) -> bool {
    matches!(operation, op::EQZ | 0x5e..=0x63 | 0x76..=0x7b | 0x8d..=0x93 | 0xa1..=0xc3)
}

/// Slots that an instruction reads.
fn reads(i: &Instruction) -> Vec<u16> {
    let range = |count: u16| (i.a..i.a.saturating_add(count)).collect();
    match i.op & 0xff {
        op::UNREACHABLE
        | op::CHARGE
        | op::JUMP
        | op::ENTER
        | op::RESULT
        | op::CONST
        | op::GLOBAL_GET
        | op::MEMORY_SIZE
        | op::TABLE_SIZE => Vec::new(),
        op::CALL | op::RETURN => range(i.c),
        op::CALL_REF => std::iter::once(i.b).chain(range(i.c)).collect(),
        op::SELECT => vec![i.a, i.b, i.imm as u16],
        op::STORE8..=op::STORE64 | op::SEGMENT_CHECK | op::TABLE_SET => vec![i.a, i.b],
        op::MEMORY_COPY..=op::MEMORY_INIT | op::TABLE_COPY..=op::TABLE_INIT => vec![i.a, i.b, i.c],
        op::READ_INPUT => range(4),
        op::APPEND_OUTPUT => range(2),
        op::CHARGE_SIZE
        | op::BRANCH_IF
        | op::BRANCH_IF_ZERO
        | op::BRANCH_TABLE
        | op::RESOLVE
        | op::COPY
        | op::GLOBAL_SET
        | op::LOAD8_U..=op::LOAD64
        | op::MEMORY_GROW
        | op::TABLE_GET
        | op::TABLE_GROW
        | op::EXIT => vec![i.a],
        operation if is_unary(operation) => vec![i.a],
        operation if i.op & IMM != 0 && !isa::compares_floats(operation) => vec![i.a],
        _ => vec![i.a, i.b],
    }
}

/// The slot that an instruction writes in its own frame.
fn writes(i: &Instruction) -> Option<u16> {
    let operation = i.op & 0xff;
    let result = match operation {
        op::RESULT | op::RESOLVE | op::COPY | op::CONST | op::SELECT | op::GLOBAL_GET => true,
        op::LOAD8_U..=op::LOAD64 | op::MEMORY_SIZE | op::MEMORY_GROW => true,
        op::TABLE_GET | op::TABLE_SIZE | op::TABLE_GROW | op::READ_INPUT => true,
        _ => operation >= op::EQZ && i.op & BRANCH == 0,
    };
    result.then_some(i.c)
}

/// What an instruction is told beside slots.
fn constants(i: &Instruction) -> Option<String> {
    let (low, high, imm) = (i.low(), i.high(), i.imm);
    let charging = |cycles: u32| match cycles {
        0 => String::new(),
        cycles => format!(", charging {cycles}"),
    };
    let operation = i.op & 0xff;
    Some(match operation {
        op::CHARGE => imm.to_string(),
        op::CHARGE_SIZE => {
            let (shift, factor) = (high >> 16, high & 0xffff);
            format!("(at most {low}) >> {shift} times {factor}")
        }
        op::JUMP => format!("to {low}{}", charging(high)),
        op::BRANCH_IF | op::BRANCH_IF_ZERO => {
            let (taken, not) = (charging(high), charging(i.c.into()));
            format!("to {low}{taken}, else on{not}")
        }
        op::BRANCH_TABLE => format!("of {}", imm.saturating_add(1)),
        op::ENTER => format!("with {low} slots{}", charging(high)),
        op::CALL | op::CALL_REF => format!("result to [{high}]"),
        op::RETURN => format!("giving back {low} slots"),
        op::RESULT => format!("{} of the call before", i.a),
        op::RESOLVE => format!("in table {} as type {imm}", i.b),
        op::CONST => format!("{imm:#x}"),
        op::GLOBAL_GET | op::GLOBAL_SET => format!("global {imm}"),
        op::LOAD8_U..=op::STORE64 => {
            let memory = match (i.op & IMM != 0, operation >= op::STORE8) {
                (false, _) => 0,
                (true, false) => i.b,
                (true, true) => i.c,
            };
            format!("memory {memory} +{low:#x}")
        }
        op::MEMORY_SIZE | op::MEMORY_GROW | op::MEMORY_FILL => format!("memory {imm}"),
        op::MEMORY_COPY => format!("memory {} from memory {}", imm & 0xff, imm >> 8 & 0xff),
        op::MEMORY_INIT => format!("memory {} from segment leaf {low}", imm >> 56),
        op::SEGMENT_CHECK => format!("against global {imm}"),
        op::TABLE_COPY => format!("table {} from table {}", imm & 0xff, imm >> 8 & 0xff),
        op::TABLE_INIT => format!("table {} from segment leaf {low}", imm >> 56),
        op::TABLE_FILL..=op::TABLE_GROW => format!("table {imm}"),
        _ if i.op & BRANCH != 0 => {
            let integers = !isa::compares_floats(operation) && operation != op::EQZ;
            let (constant, taken) = match (i.op & IMM != 0, integers) {
                (true, true) => (format!("{:#x} ", high as i32), u32::from(i.b)),
                (true, false) => ("false ".to_owned(), high),
                (false, _) => (String::new(), high),
            };
            let not = charging(i.c.into());
            format!("{constant}to {low}{}, else on{not}", charging(taken))
        }
        _ if i.op & IMM != 0 => format!("{imm:#x}"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(instruction: Instruction) -> NextStep {
        let operands = reads(&instruction);
        NextStep {
            step: 0,
            cycles: 0,
            pc: 1,
            function: None,
            depth: 0,
            instruction,
            operands: operands
                .into_iter()
                .map(|slot| SlotValue {
                    slot,
                    value: u64::from(slot) * 16,
                })
                .collect(),
            callee: (instruction.op == op::CALL).then_some(7),
        }
    }

    #[test]
    fn an_instruction_reads_as_what_it_does() {
        let i = |op, a, b, c, high, low| Instruction {
            op,
            a,
            b,
            c,
            imm: Instruction::halves(high, low),
        };
        for (instruction, text) in [
            (
                i(op::I32_ADD, 1, 2, 3, 0, 0),
                "I32Add [1]=0x10 [2]=0x20 -> [3]",
            ),
            (
                i(op::I32_ADD | IMM, 1, 2, 3, 0, 9),
                "I32Add [1]=0x10 0x9 -> [3]",
            ),
            (i(op::F64_SQRT, 1, 2, 3, 0, 0), "F64Sqrt [1]=0x10 -> [3]"),
            (
                i(op::LT_U | IMM | BRANCH, 1, 5, 3, 8, 40),
                "LtU [1]=0x10 0x8 to 40, charging 5, else on, charging 3",
            ),
            (
                i(op::F32_LT | IMM | BRANCH, 1, 2, 0, 8, 40),
                "F32Lt [1]=0x10 [2]=0x20 false to 40, charging 8, else on",
            ),
            (
                i(op::LOAD32_U | IMM, 1, 1, 3, 0, 16),
                "Load32U [1]=0x10 memory 1 +0x10 -> [3]",
            ),
            (
                i(op::STORE8 | IMM, 1, 2, 1, 0, 0),
                "Store8 [1]=0x10 [2]=0x20 memory 1 +0x0",
            ),
            (
                i(op::CALL, 4, 9, 2, 4, 100),
                "Call f7 [4]=0x40 [5]=0x50 result to [4]",
            ),
            (i(op::JUMP, 0, 0, 0, 0, 12), "Jump to 12"),
            (
                i(op::READ_INPUT, 0, 0, 5, 0, 0),
                "ReadInput [0]=0x0 [1]=0x10 [2]=0x20 [3]=0x30 -> [5]",
            ),
        ] {
            assert_eq!(step(instruction).describe(|_| "f7"), text);
        }
    }
}
