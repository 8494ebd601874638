//! The interpreter: the same transition function over registers of the processor.
//!
//! Each `op` has a handler, which executes [`transition`] on a [`Fast`] state and calls the next
//! instruction's handler as its last act. Optimised builds turn that call into a jump, so that the
//! registers below stay where they are; builds without optimisation come back to a loop instead.
//!
//! What is rare (host operations, bulk operations, tables, growing) runs on the [`Machine`] itself.
//!
//! What an instruction writes, the next one often reads at once. The interpreter runs a copy of the
//! code in which such an instruction says so ([`FORWARD_A`], [`FORWARD_B`]), and hands the value over
//! in a register of the processor; it is in its slot all the same.
//!
//! Steps are not counted one by one: `steps = base + pc` holds along straight code, and only a
//! transfer of control corrects the base.
#![allow(unsafe_code)]

use std::ptr;

use super::isa::{self, Instruction, op};
use super::state::{Archive, Caller, Machine, MachineFault};
use super::transition::{
    ContextFacts, Counters, End, Extent, Next, Source, State, Stop, Target, per_op, step,
    transition,
};
use super::tree;

/// Most steps that a cycle can stand for: an instruction moves at most 128 operands, and each takes
/// a step; the factor allows for much more.
pub const STEPS_PER_CYCLE: u64 = 1024;
/// Below this many steps the machine goes one by one.
const SINGLE_STEPS: u64 = 4096;

/// Bytes from an instruction to the next.
const STRIDE: u64 = size_of::<Instruction>() as u64;

/// How a stretch of interpretation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// Halted; out of cycles if the next charge would exceed the budget.
    Halted(End),
    /// The archive could not be read.
    Fault,
    /// None: the loop goes on where the machine says.
    Continue,
}

impl<A: Archive> Machine<A> {
    /// Runs until the machine ends or `steps` steps are made, whichever comes first. Marks what
    /// changes, so that commitments and snapshots stay cheap.
    ///
    /// # Errors
    /// [`MachineFault`]; the machine is at some step before.
    pub fn run_to(&mut self, steps: u64) -> Result<(), MachineFault> {
        let straight = u64::from(self.program.program().longest_function());
        while !self.has_ended() && self.steps < steps {
            let left = steps - self.steps;
            let budget = left.saturating_sub(straight) / STEPS_PER_CYCLE;
            if left <= SINGLE_STEPS + straight || budget == 0 {
                self.step()?;
                continue;
            }
            let before = self.steps;
            let cycles = self.registers.cycles.saturating_add(budget);
            self.interpret::<true>(cycles)?;
            if self.steps == before {
                // A single charge is larger than the budget, or leads to the point.
                self.step()?;
            }
        }
        Ok(())
    }

    /// Runs until the machine ends or its next charge would raise the cycles above `cycles`.
    ///
    /// # Errors
    /// As [`Machine::run_to`].
    pub fn run_to_cycles(&mut self, cycles: u64) -> Result<(), MachineFault> {
        if !self.has_ended() {
            self.interpret::<true>(cycles)?;
        }
        // The next charge leads to the point.
        if cycles >= self.until {
            self.step()?;
        }
        Ok(())
    }

    /// Runs until the machine ends, without marking what changes: the next commitment hashes
    /// everything.
    ///
    /// # Errors
    /// As [`Machine::run_to`].
    pub fn run(&mut self) -> Result<(), MachineFault> {
        while !self.has_ended() {
            self.untracked = true;
            self.interpret::<false>(u64::MAX)?;
            // The next charge leads to the point.
            self.step()?;
        }
        Ok(())
    }

    /// Runs at most to the charge that leads to the point.
    fn interpret<const TRACK: bool>(&mut self, cycles: u64) -> Result<(), MachineFault> {
        let stop = cycles.min(self.until - 1).min(self.limits.cycles);
        let Some(left) = stop.checked_sub(self.registers.cycles) else {
            return Ok(());
        };
        let program = self.program.clone();
        let code = program.interpreted(|program| forwarding(program.code()));
        let mut run = Run {
            code: code.as_ptr(),
            memory_bytes: 0,
            base: self
                .steps
                .wrapping_sub(self.registers.pc.into())
                .wrapping_mul(STRIDE),
            stop,
            machine: self,
        };
        let exit = run.go::<TRACK>(left);
        // The multiple of a stride, and so exact; negative if code was entered far behind.
        let base = run.base as i64 / STRIDE as i64;
        self.steps = base.wrapping_add(self.registers.pc.into()) as u64;
        match exit {
            Exit::Halted(End::OutOfCycles) if stop < self.limits.cycles => {}
            Exit::Halted(end) => {
                if end == End::OutOfCycles {
                    self.registers.cycles = self.limits.cycles;
                }
                self.halt(end);
                self.steps += 1;
            }
            Exit::Fault => {
                // Whoever reads next gets the error itself.
                self.step()?;
            }
            Exit::Continue => {}
        }
        Ok(())
    }
}

/// The interpreter leaves this step to the machine itself; it has changed nothing.
struct Elsewhere;

/// What handlers need now and then.
struct Run<A> {
    /// Borrowed exclusively by `interpret`.
    machine: *mut Machine<A>,
    /// The code that is interpreted.
    code: *const Instruction,
    /// Size of memory 0.
    memory_bytes: u64,
    /// Steps made, less the pc, in bytes of instructions: so a transfer corrects it by the distance
    /// of two pointers.
    base: u64,
    /// Cycles at which the machine has to stop.
    stop: u64,
}

/// What handlers pass on, in registers of the processor.
struct Fast<A, const TRACK: bool> {
    /// The instruction; inside the program's code.
    ip: *const Instruction,
    /// Slot 0 of the frame, which lies within the machine's stack whole.
    frame: *mut u64,
    /// Memory 0.
    memory: *mut u8,
    /// Cycles until the machine has to stop.
    left: u64,
    run: *mut Run<A>,
    /// What the last instruction wrote, if it makes integers.
    integer: u64,
    /// What the last instruction wrote, if it makes floats of 64 bits.
    float: f64,
    /// Which of the instruction's operands that is.
    forward: Forward,
    /// Operands read so far.
    reads: u8,
    /// What this instruction wrote.
    written: u64,
}

/// Where an instruction of the interpreted code finds an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forward {
    /// In slots only.
    None,
    /// The operand read first or second (0 or 1) is the last integer.
    Integer(u8),
    /// The operand read first or second is the last float.
    Float(u8),
}

/// Added to `op` in the interpreted code: the first operand is what the last instruction wrote.
const FORWARD_A: u16 = isa::OPS as u16;
/// Added to `op` in the interpreted code: the second operand is what the last instruction wrote.
const FORWARD_B: u16 = 2 * isa::OPS as u16;

/// How an operation may take its operands; `which` is 1 for the first, 2 for the second.
const fn forward_of(op: u16, which: u8) -> Forward {
    let operation = op & 0xff;
    let constant = op & isa::IMM != 0 && !isa::compares_floats(op);
    let index = match which {
        1 => 0,
        2 => 1,
        _ => return Forward::None,
    };
    match operation {
        op::COPY | op::BRANCH_IF | op::BRANCH_IF_ZERO | op::LOAD8_U..=op::LOAD64 if index == 0 => {
            Forward::Integer(0)
        }
        op::STORE8..=op::STORE64 => Forward::Integer(index),
        op::EQ..=op::REM_U | op::I32_ADD..=op::I32_ROTR | op::I64_ADD..=op::I64_ROTR
            if index == 0 || !constant =>
        {
            Forward::Integer(index)
        }
        op::EQZ | op::I32_CLZ..=op::I32_WRAP | op::I64_CLZ..=op::I64_EXTEND32_S if index == 0 => {
            Forward::Integer(0)
        }
        op::F64_EQ..=op::F64_COPYSIGN => Forward::Float(index),
        op::F64_ABS..=op::F64_SQRT if index == 0 => Forward::Float(0),
        _ => Forward::None,
    }
}

/// Whether an operation leaves what it writes as an integer.
const fn makes_integer(op: u16) -> bool {
    let operation = op & 0xff;
    op & isa::BRANCH == 0
        && matches!(
            operation,
            op::COPY | op::CONST | op::SELECT | op::GLOBAL_GET | op::LOAD8_U..=op::LOAD64
                | op::EQZ..=op::I64_EXTEND32_S
        )
}

/// Whether an operation leaves what it writes as a float of 64 bits.
const fn makes_float(op: u16) -> bool {
    // Not the conversions: on x86-64 they would wait for what the register held before.
    matches!(op & 0xff, op::LOAD64 | op::F64_ADD..=op::F64_SQRT)
}

/// The code as it is interpreted.
fn forwarding(code: &[Instruction]) -> Vec<Instruction> {
    let mut led_to = vec![false; code.len() + 1];
    for i in code {
        let branches = i.op & isa::BRANCH != 0;
        if branches || matches!(i.op, op::JUMP | op::BRANCH_IF | op::BRANCH_IF_ZERO) {
            led_to[i.low() as usize] = true;
        }
    }
    let mut interpreted = code.to_vec();
    for at in 1..code.len() {
        let (last, this) = (code[at - 1], code[at]);
        if led_to[at] {
            continue;
        }
        let handed = |which: u8| match forward_of(this.op, which) {
            Forward::None => false,
            Forward::Integer(_) => makes_integer(last.op),
            Forward::Float(_) => makes_float(last.op),
        };
        if this.a == last.c && handed(1) {
            interpreted[at].op += FORWARD_A;
        } else if this.b == last.c && handed(2) {
            interpreted[at].op += FORWARD_B;
        }
    }
    interpreted
}

type Handler<A> =
    unsafe fn(*const Instruction, *mut u64, *mut u8, u64, u64, *mut Run<A>, f64) -> Exit;

/// The handlers of one policy.
struct Table<A, const TRACK: bool, const WHICH: u8>(std::marker::PhantomData<A>);

impl<A: Archive, const TRACK: bool, const WHICH: u8> Table<A, TRACK, WHICH> {
    const HANDLERS: [Handler<A>; isa::OPS] = per_op!(handle, A, TRACK, WHICH);
}

impl<A: Archive, const TRACK: bool> Table<A, TRACK, 0> {
    /// By `op` of the interpreted code.
    const ALL: [[Handler<A>; isa::OPS]; 3] = [
        Table::<A, TRACK, 0>::HANDLERS,
        Table::<A, TRACK, 1>::HANDLERS,
        Table::<A, TRACK, 2>::HANDLERS,
    ];
}

/// Whether an operation runs on [`Fast`]; others run on the machine.
const fn is_fast(op: u16) -> bool {
    let operation = op & 0xff;
    operation <= op::RETURN
        || operation >= op::COPY && operation <= op::STORE64
        || operation >= op::EQZ
}

/// Executes one instruction and goes on with the next.
///
/// # Safety
/// The arguments are those of a [`Fast`] whose instruction has this `OP`, with `WHICH` of its
/// operands forwarded.
unsafe fn handle<A: Archive, const TRACK: bool, const WHICH: u8, const OP: u16>(
    ip: *const Instruction,
    frame: *mut u64,
    memory: *mut u8,
    integer: u64,
    left: u64,
    run: *mut Run<A>,
    float: f64,
) -> Exit {
    let forward = const { forward_of(OP, WHICH) };
    let mut fast = Fast::<A, TRACK> {
        ip,
        frame,
        memory,
        left,
        run,
        integer,
        float,
        forward,
        reads: 0,
        written: 0,
    };
    let impossible = const { WHICH != 0 && matches!(forward_of(OP, WHICH), Forward::None) };
    if const { !isa::is_known(OP) || !is_fast(OP) } || impossible {
        // SAFETY: these are the fast state's fields.
        return unsafe { elsewhere(ip, frame, left, run) };
    }
    // SAFETY: `ip` is inside the code (type's invariant), which nobody changes.
    let instruction = unsafe { &*ip };
    match transition::<Fast<A, TRACK>, OP>(&mut fast, instruction) {
        Ok(Next::Follow) => {
            if const { makes_integer(OP) } {
                fast.integer = fast.written;
            }
            if const { makes_float(OP) } {
                fast.float = f64::from_bits(fast.written);
            }
            // SAFETY: code never falls through its end: a function's last instruction transfers.
            fast.ip = unsafe { fast.ip.add(1) };
            fast.next()
        }
        Ok(Next::Stay) => {
            let run = fast.run();
            run.base = run.base.wrapping_add(STRIDE);
            fast.next()
        }
        Ok(Next::Jump(target) | Next::Entered(target) | Next::Left(target)) => {
            fast.jump(target);
            fast.next()
        }
        // SAFETY: these are the fast state's fields.
        Err(Stop::Halt(end)) => unsafe { halt(end, fast.ip, fast.frame, fast.left, fast.run) },
        // SAFETY: as above.
        Err(Stop::Fault(Elsewhere)) => unsafe {
            elsewhere(fast.ip, fast.frame, fast.left, fast.run)
        },
    }
}

/// Executes an instruction on the machine itself, and comes back to the loop.
///
/// # Safety
/// The arguments are fields of a [`Fast`].
#[cold]
#[inline(never)]
unsafe fn elsewhere<A: Archive>(
    ip: *const Instruction,
    frame: *mut u64,
    left: u64,
    run: *mut Run<A>,
) -> Exit {
    // SAFETY: see `Fast::run`.
    let run = unsafe { &mut *run };
    run.save(ip, frame, left);
    run.rare()
}

/// The end of a run: writes the registers back.
///
/// # Safety
/// The arguments are fields of a [`Fast`].
#[cold]
#[inline(never)]
unsafe fn halt<A: Archive>(
    end: End,
    ip: *const Instruction,
    frame: *mut u64,
    left: u64,
    run: *mut Run<A>,
) -> Exit {
    // SAFETY: see `Fast::run`.
    let run = unsafe { &mut *run };
    run.save(ip, frame, left);
    Exit::Halted(end)
}

impl<A: Archive> Run<A> {
    #[inline(always)]
    fn machine<'r>(&self) -> &'r mut Machine<A> {
        // SAFETY: `interpret` borrows the machine exclusively while it runs, and no reference made
        // here is used after the next one is made.
        unsafe { &mut *self.machine }
    }

    /// Runs handlers until one exits.
    fn go<const TRACK: bool>(&mut self, mut left: u64) -> Exit {
        loop {
            let machine = self.machine();
            // SAFETY: a running machine's pc lies inside the code.
            let ip = unsafe { self.code.add(machine.registers.pc as usize) };
            let frame = &raw mut machine.stack[machine.frame];
            let (memory, memory_bytes) = match machine.memories.first_mut() {
                Some(memory) => (memory.bytes.as_mut_ptr(), memory.bytes.len() as u64),
                None => (ptr::null_mut(), 0),
            };
            self.memory_bytes = memory_bytes;
            // SAFETY: `ip` is inside the code. Nothing was forwarded, so that the handler has to be
            // the one that reads slots.
            let op = unsafe { (*ip).op } % FORWARD_A;
            let handler = Table::<A, TRACK, 0>::HANDLERS[usize::from(op)];
            // SAFETY: these are fields of a `Fast`, and the handler is that of `op`.
            match unsafe { handler(ip, frame, memory, 0, left, self, 0.0) } {
                Exit::Continue => left = self.stop - self.machine().registers.cycles,
                exit => return exit,
            }
        }
    }

    /// Writes registers of the processor back to the machine.
    #[inline(always)]
    fn save(&mut self, ip: *const Instruction, frame: *mut u64, left: u64) {
        let machine = self.machine();
        machine.registers.pc =
            ((ip as usize - self.code as usize) / size_of::<Instruction>()) as u32;
        machine.registers.cycles = self.stop - left;
        machine.frame = (frame as usize - machine.stack.as_ptr() as usize) / size_of::<u64>();
    }

    /// One step of the machine, counted as the interpreter does.
    fn rare(&mut self) -> Exit {
        let machine = self.machine();
        let pc = machine.registers.pc;
        let instruction = machine.program.program().instruction(pc);
        match step(machine, &instruction) {
            Ok(next) => {
                machine.follow(next);
                let behind = u64::from(pc) + 1;
                self.base = self
                    .base
                    .wrapping_add(behind * STRIDE)
                    .wrapping_sub(u64::from(machine.registers.pc) * STRIDE);
                Exit::Continue
            }
            Err(Stop::Halt(end)) => Exit::Halted(end),
            Err(Stop::Fault(_)) => Exit::Fault,
        }
    }
}

impl<A: Archive, const TRACK: bool> Fast<A, TRACK> {
    #[inline(always)]
    fn run<'r>(&self) -> &'r mut Run<A> {
        // SAFETY: the pointer came from the exclusive borrow that `Run::go` holds, and no reference
        // made here is used after the next one is made.
        unsafe { &mut *self.run }
    }

    #[inline(always)]
    fn machine<'r>(&self) -> &'r mut Machine<A> {
        self.run().machine()
    }

    /// The last act of a handler.
    #[inline(always)]
    fn next(self) -> Exit {
        if cfg!(debug_assertions) {
            // Calls would pile up.
            self.run().save(self.ip, self.frame, self.left);
            Exit::Continue
        } else {
            self.dispatch()
        }
    }

    /// Calls the next instruction's handler.
    #[inline(always)]
    fn dispatch(self) -> Exit {
        // SAFETY: `ip` is inside the code (type's invariant).
        let op = unsafe { (*self.ip).op };
        // SAFETY: `Program` checks that all `op` are known, and those are below `OPS`; `forwarding`
        // adds at most twice that. The arguments are a `Fast`'s fields, and the handler is that of
        // `op`.
        unsafe {
            let handlers = Table::<A, TRACK, 0>::ALL.as_flattened();
            let handler = handlers.get_unchecked(usize::from(op));
            handler(
                self.ip,
                self.frame,
                self.memory,
                self.integer,
                self.left,
                self.run,
                self.float,
            )
        }
    }

    #[inline(always)]
    fn jump(&mut self, target: u32) {
        let run = self.run();
        // SAFETY: targets lie inside the code: `Program` checks all of them, and references.
        let next = unsafe { run.code.add(target as usize) };
        // SAFETY: code never ends with this instruction, or it ends right behind it.
        let behind = unsafe { self.ip.add(1) };
        run.base = run
            .base
            .wrapping_add(behind as u64)
            .wrapping_sub(next as u64);
        self.ip = next;
    }
}

impl<A: Archive, const TRACK: bool> State for Fast<A, TRACK> {
    type Fault = Elsewhere;

    #[inline(always)]
    fn slot(&mut self, slot: u16) -> Result<u64, Elsewhere> {
        let read = self.reads;
        self.reads += 1;
        match self.forward {
            Forward::Integer(which) if which == read => return Ok(self.integer),
            Forward::Float(which) if which == read => return Ok(self.float.to_bits()),
            _ => {}
        }
        // SAFETY: slots that instructions name lie in the frame: `Program` checks all of them.
        Ok(unsafe { *self.frame.add(usize::from(slot)) })
    }

    #[inline(always)]
    fn set_slot(&mut self, slot: u16, value: u64) -> Result<(), Elsewhere> {
        self.written = value;
        // SAFETY: as in `slot`.
        unsafe { *self.frame.add(usize::from(slot)) = value };
        Ok(())
    }

    #[inline(always)]
    fn charge(&mut self, cycles: u64) -> bool {
        match self.left.checked_sub(cycles) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    #[inline(always)]
    fn slots(&self) -> (u32, u32) {
        State::slots(self.machine())
    }

    #[inline(always)]
    fn set_slots(&mut self, slots: u32) {
        self.machine().registers.slots = slots;
    }

    #[inline(always)]
    fn pc(&self) -> u32 {
        let distance = self.ip as usize - self.run().code as usize;
        (distance / size_of::<Instruction>()) as u32
    }

    #[inline(always)]
    fn progress(&self) -> (bool, u64) {
        State::progress(self.machine())
    }

    #[inline(always)]
    fn set_progress(&mut self, second: bool, progress: u64) {
        State::set_progress(self.machine(), second, progress);
    }

    #[inline(always)]
    fn enter(
        &mut self,
        frame_size: u16,
        first: u16,
        count: u16,
        result: u16,
    ) -> Result<(), Elsewhere> {
        let return_pc = self.pc() + 1;
        let machine = self.machine();
        let caller_size = machine.registers.frame_size;
        let depth = machine.callers.len();
        // SAFETY: `Machine::start` made room for as many callers as the slot limit allows, and one
        // more; every call before this one passed the limit's check.
        unsafe {
            machine.callers.as_mut_ptr().add(depth).write(Caller {
                return_pc,
                frame_size: caller_size,
                result_slot: result,
            });
            machine.callers.set_len(depth + 1);
        }
        machine.registers.frame_size = frame_size;
        // Four slots at a time: what is copied or cleared too much lies above the arguments or the
        // frame, where nothing is yet.
        const AT_ONCE: usize = 4;
        let (count, frame_size) = (usize::from(count), usize::from(frame_size));
        // SAFETY: the stack has room for one frame more than the slot limit allows, whatever its
        // size, and some slots behind it (`stack_slots`), and every frame before this one passed the
        // limit's check. Arguments lie in the caller's frame, and a frame is not smaller than its
        // arguments (`Program`).
        unsafe {
            let caller = self.frame.add(usize::from(first));
            self.frame = self.frame.add(usize::from(caller_size));
            let mut slot = 0;
            while slot < count {
                let part = caller.add(slot).cast::<[u64; AT_ONCE]>().read();
                self.frame.add(slot).cast::<[u64; AT_ONCE]>().write(part);
                slot += AT_ONCE;
            }
            let mut slot = count;
            while slot < frame_size {
                self.frame
                    .add(slot)
                    .cast::<[u64; AT_ONCE]>()
                    .write([0; AT_ONCE]);
                slot += AT_ONCE;
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn has_caller(&self) -> bool {
        !self.machine().callers.is_empty()
    }

    #[inline(always)]
    fn leave(&mut self, result: Option<u64>, keep: bool) -> Result<u32, Elsewhere> {
        let machine = self.machine();
        // The transition asked `has_caller` first.
        let Some(caller) = machine.callers.pop() else {
            return Ok(0);
        };
        machine.chain.truncate(machine.callers.len());
        if keep {
            machine.results_size = machine.registers.frame_size;
        }
        machine.registers.frame_size = caller.frame_size;
        // SAFETY: the caller's frame lies below this one; its call named a slot of it.
        unsafe {
            self.frame = self.frame.sub(usize::from(caller.frame_size));
            if let Some(result) = result {
                *self.frame.add(usize::from(caller.result_slot)) = result;
            }
        }
        Ok(caller.return_pc)
    }

    #[inline(always)]
    fn global(&mut self, global: u32) -> Result<u64, Elsewhere> {
        Ok(self.machine().globals[global as usize])
    }

    #[inline(always)]
    fn set_global(&mut self, global: u32, value: u64) -> Result<(), Elsewhere> {
        let machine = self.machine();
        machine.globals[global as usize] = value;
        if TRACK {
            machine.globals_dirty.mark(global as usize / tree::SLOTS);
        }
        Ok(())
    }

    #[inline(always)]
    fn memory_bytes(&mut self, memory: u8) -> Result<u64, Elsewhere> {
        Ok(if memory == 0 {
            self.run().memory_bytes
        } else {
            self.machine().memories[usize::from(memory)].bytes.len() as u64
        })
    }

    #[inline(always)]
    fn load(&mut self, memory: u8, address: u64, bytes: u32) -> Result<u64, Elsewhere> {
        let start = if memory == 0 {
            self.memory
        } else {
            self.machine().memories[usize::from(memory)]
                .bytes
                .as_mut_ptr()
        };
        // SAFETY: the transition compared the address with `memory_bytes`.
        Ok(unsafe {
            let at = start.add(address as usize);
            match bytes {
                1 => (*at).into(),
                2 => u16::from_le(at.cast::<u16>().read_unaligned()).into(),
                4 => u32::from_le(at.cast::<u32>().read_unaligned()).into(),
                8 => u64::from_le(at.cast::<u64>().read_unaligned()),
                _ => (0..bytes as usize).fold(0, |value, byte| {
                    value | u64::from(*at.add(byte)) << (8 * byte)
                }),
            }
        })
    }

    #[inline(always)]
    fn store(&mut self, memory: u8, address: u64, bytes: u32, value: u64) -> Result<(), Elsewhere> {
        let start = if memory == 0 {
            self.memory
        } else {
            self.machine().memories[usize::from(memory)]
                .bytes
                .as_mut_ptr()
        };
        // SAFETY: the transition compared the address with `memory_bytes`.
        unsafe {
            let at = start.add(address as usize);
            match bytes {
                1 => *at = value as u8,
                2 => at.cast::<u16>().write_unaligned((value as u16).to_le()),
                4 => at.cast::<u32>().write_unaligned((value as u32).to_le()),
                8 => at.cast::<u64>().write_unaligned(value.to_le()),
                _ => {
                    for byte in 0..bytes as usize {
                        *at.add(byte) = (value >> (8 * byte)) as u8;
                    }
                }
            }
        }
        if TRACK {
            self.machine().memories[usize::from(memory)]
                .dirty
                .mark(address as usize / tree::BYTES);
        }
        Ok(())
    }

    #[inline(always)]
    fn unusual(&mut self) -> Result<(), Elsewhere> {
        Err(Elsewhere)
    }

    // Operations that need the following run on the machine.

    fn result(&mut self, _: u16) -> Result<u64, Elsewhere> {
        Err(Elsewhere)
    }
    fn drop_results(&mut self) {}
    fn counters(&mut self) -> Result<Counters, Elsewhere> {
        Err(Elsewhere)
    }
    fn set_output_length(&mut self, _: u64) {}
    fn context(&mut self) -> Result<ContextFacts, Elsewhere> {
        Err(Elsewhere)
    }
    fn memory(&mut self, _: u8) -> Result<Extent, Elsewhere> {
        Err(Elsewhere)
    }
    fn grow_memory(&mut self, _: u8, _: u32) {}
    fn table(&mut self, _: u8) -> Result<Extent, Elsewhere> {
        Err(Elsewhere)
    }
    fn grow_table(&mut self, _: u8, _: u32) {}
    fn entry(&mut self, _: u8, _: u32) -> Result<u64, Elsewhere> {
        Err(Elsewhere)
    }
    fn set_entry(&mut self, _: u8, _: u32, _: u64) -> Result<(), Elsewhere> {
        Err(Elsewhere)
    }
    fn move_part(&mut self, _: Source, _: Target, _: u64) -> Result<(), Elsewhere> {
        Err(Elsewhere)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use super::*;
    use crate::machine::{CommittedProgram, Program};
    use crate::task::{RunLimits, TaskHeader};

    const LIBRARY: &str = r#"(module (import "outcry" "exit" (func $exit (param i32))) (memory 1)
      (func (export "outcry_start")) (func (export "outcry_exit") (param i32) (call $exit (local.get 0))))"#;

    fn start(program: &str) -> Machine<Vec<u8>> {
        let image = crate::link_with_library(
            &wat::parse_str(program).unwrap(),
            &wat::parse_str(LIBRARY).unwrap(),
        )
        .unwrap();
        let program = Arc::new(Program::flatten(&image).unwrap());
        let limits = RunLimits {
            cycles: 1 << 40,
            pages: 16,
            slots: 1 << 16,
            output_bytes: 0,
        };
        let header = TaskHeader {
            machine_version: 1,
            job_hash: Default::default(),
            task: 0,
            task_count: 1,
            archive_bytes: 0,
            output_limit_bytes: 0,
            page_limit: limits.pages,
        };
        let program = Arc::new(CommittedProgram::new(program));
        Machine::start(program, header, limits, Vec::new()).unwrap()
    }

    /// Integers, floats with a NaN among them, straddling accesses, calls and a bulk operation.
    const PROGRAM: &str = r#"(module (memory 1)
      (func $twice (param f64) (result f64) (f64.add (local.get 0) (local.get 0)))
      (func (export "_start") (local $i i32) (local $x f64)
        (local.set $x (f64.const 1))
        (loop $again
          (f64.store (local.get $i) (local.tee $x (call $twice (local.get $x))))
          (local.set $x (f64.div (local.get $x) (f64.sub (local.get $x) (f64.load (local.get $i)))))
          (if (i32.eqz (i32.rem_u (local.get $i) (i32.const 3)))
            (then (local.set $x (f64.sub (local.get $x) (local.get $x)))))
          (memory.copy (i32.const 1000) (local.get $i) (i32.const 300))
          (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 5))) (i32.const 20000))))))"#;

    #[test]
    fn the_interpreter_stops_at_the_step_that_it_is_asked_for() {
        let mut stepping = start(PROGRAM);
        let mut whole = start(PROGRAM);
        whole.run().unwrap();
        let steps = whole.steps();
        let mut running = start(PROGRAM);
        for at in (0..=steps).step_by(7919).chain([steps]) {
            while stepping.steps() < at {
                stepping.step().unwrap();
            }
            running.run_to(at).unwrap();
            assert_eq!((running.steps(), running.pc()), (at, stepping.pc()));
            assert_eq!(running.commit().unwrap(), stepping.commit().unwrap());
        }
        assert_eq!(running.halted(), whole.halted());
    }

    #[test]
    fn what_an_instruction_writes_is_forwarded_only_where_nothing_leads_in_between() {
        let add = |a, c| Instruction {
            op: op::I32_ADD,
            a,
            b: 7,
            c,
            imm: 0,
        };
        let back = Instruction {
            op: op::BRANCH_IF,
            a: 7,
            b: 0,
            c: 0,
            imm: 2,
        };
        let ops =
            |code: &[Instruction]| -> Vec<u16> { forwarding(code).iter().map(|i| i.op).collect() };
        assert_eq!(
            ops(&[add(1, 2), add(2, 3), add(2, 4)]),
            [op::I32_ADD, op::I32_ADD + FORWARD_A, op::I32_ADD]
        );
        assert_eq!(
            ops(&[add(1, 2), add(2, 3), add(3, 4), back])[2],
            op::I32_ADD
        );
        assert_eq!(ops(&[add(1, 7), add(2, 3)])[1], op::I32_ADD + FORWARD_B);
    }
}
