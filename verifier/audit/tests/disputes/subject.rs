//! Tasks that are disputed: real jobs with the real WASI library, so that contract and machine start
//! them alike.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use alloy_primitives::{B256, keccak256};
use outcry_audit::agreement::job_of;
use outcry_clearing::binary;
use outcry_clearing::file::{Kind, parse};
use outcry_protocol::auction::CLEARING_PROGRAM;
use outcry_protocol::hash::{input_root, inputs_root, task_leaf};
use outcry_protocol::types::JobSpec;
use outcry_verifier::archive::input::Invocation;
use outcry_verifier::game::MachineTrace;
use outcry_verifier::guest;
use outcry_verifier::link_and_commit;
use outcry_verifier::machine::{CommittedProgram, Machine, Point};
use outcry_verifier::task::{RunLimits, TaskHeader};

use crate::cheats::Shared;

/// Tasks of each job.
pub(crate) const TASKS: u32 = 3;
/// The one that is disputed.
pub(crate) const TASK: u32 = 1;
/// By which an archive is fetched; the contracts can not check it.
pub(crate) const BLAKE3: B256 = B256::repeat_byte(0xb3);
/// Two cycle limits, with 11 and with 12 sections: by the number's parity it is the provider or the
/// challenger that proves.
pub(crate) const CYCLE_LIMITS: [u64; 2] = [1 << 30, 1 << 34];
/// Bytes of snapshots that a trace may keep.
const SNAPSHOT_BYTES: u64 = 1 << 28;
/// Longer runs are not looked through for their instructions.
const STEPS_LOOKED_THROUGH: u64 = 5_000_000;
/// Steps of each family of instructions that are remembered.
const STEPS_PER_FAMILY: usize = 64;

/// Instructions by what they work on, as `verifier/MACHINE.md` has them in section 3.
pub(crate) const FAMILIES: [&str; 15] = [
    "control",
    "calls",
    "slots and globals",
    "loads",
    "stores",
    "memory size",
    "bulk memory",
    "tables",
    "host",
    "integers of both widths",
    "i32",
    "i64",
    "f32",
    "f64",
    "conversions",
];

/// The family of an operation with or without flags.
pub(crate) fn family(op: u16) -> &'static str {
    FAMILIES[match op & 0xff {
        0x00..=0x06 => 0,
        0x07..=0x0f => 1,
        0x10..=0x1f => 2,
        0x20..=0x28 => 3,
        0x29..=0x2c => 4,
        0x2d..=0x2f => 5,
        0x30..=0x33 => 6,
        0x34..=0x3b => 7,
        0x3c..=0x3f => 8,
        0x40..=0x4f => 9,
        0x50..=0x67 => 10,
        0x68..=0x7f => 11,
        0x80..=0x93 => 12,
        0x94..=0xa7 => 13,
        _ => 14,
    }]
}

/// A task that both parties know, and its true trace, which all games about it share: a machine is
/// slow to start.
pub(crate) struct Subject {
    pub(crate) job: JobSpec,
    pub(crate) archive: Vec<u8>,
    pub(crate) program: Arc<CommittedProgram>,
    pub(crate) truth: Shared,
    /// Some steps of each family, spread over the run; empty for a long run.
    pub(crate) steps_of: BTreeMap<&'static str, Vec<u64>>,
}

/// One task for each of [`CYCLE_LIMITS`].
pub(crate) fn of_text(program: &str) -> [Subject; 2] {
    let archive = Invocation::default().archive(&BTreeMap::new()).unwrap();
    subjects(&wat::parse_str(program).unwrap(), &archive)
}

/// The same of CPython 3.12 on a script.
pub(crate) fn of_python(script: &str) -> [Subject; 2] {
    let (program, archive) = crate::programs::python("../../contracts", script);
    subjects(&program, &archive)
}

/// The same of the clearing of an auction, on a market of two traders.
pub(crate) fn of_clearing() -> [Subject; 2] {
    let text = include_str!("../../../../protocol/clearing/tests/data/cx1_two_traders.txt");
    let key = |kind, id: u64| {
        keccak256([&id.to_be_bytes()[..], &[u8::from(kind == Kind::Order)]].concat()).0
    };
    let market = parse(text, &key).unwrap().market;
    let mut bytes = Vec::new();
    binary::encode(&market, &mut |part| bytes.extend_from_slice(part)).unwrap();
    let files = BTreeMap::from([("in/market".to_owned(), bytes)]);
    let archive = Invocation::default().archive(&files).unwrap();
    subjects(CLEARING_PROGRAM, &archive)
}

fn subjects(program: &[u8], archive: &[u8]) -> [Subject; 2] {
    let (_, program) = link_and_commit(program, guest::LIBRARY).unwrap();
    let program = Arc::new(program);
    CYCLE_LIMITS.map(|cycles| Subject::new(&program, archive, cycles))
}

/// Leaves of the job's tree of inputs: all tasks have the same input.
pub(crate) fn input_leaves(archive: &[u8]) -> Vec<B256> {
    let (root, length) = (input_root(archive), archive.len() as u64);
    (0..TASKS)
        .map(|task| task_leaf(task, BLAKE3, root, length))
        .collect()
}

fn trace(program: &Arc<CommittedProgram>, job: &JobSpec, archive: &[u8]) -> MachineTrace<Vec<u8>> {
    MachineTrace::start(
        program.clone(),
        TaskHeader::of(job, TASK, archive.len() as u64),
        RunLimits::of(job),
        archive.to_vec(),
        SNAPSHOT_BYTES,
        Box::new(|_| ControlFlow::Continue(())),
    )
    .unwrap()
}

impl Subject {
    fn new(program: &Arc<CommittedProgram>, archive: &[u8], cycles: u64) -> Self {
        let limits = RunLimits {
            cycles,
            pages: 2048,
            slots: 1 << 20,
            output_bytes: 1 << 20,
        };
        let job = JobSpec {
            inputsRoot: inputs_root(&input_leaves(archive)).unwrap(),
            taskCount: TASKS,
            ..job_of(program.image_root(), limits)
        };
        let mut trace = trace(program, &job, archive);
        let steps = trace.end().unwrap().steps;
        let mut subject = Self {
            job,
            archive: archive.to_vec(),
            program: program.clone(),
            truth: Arc::new(Mutex::new(trace)),
            steps_of: BTreeMap::new(),
        };
        if steps < STEPS_LOOKED_THROUGH {
            subject.look_through(steps);
        }
        subject
    }

    fn look_through(&mut self, steps: u64) {
        let header = TaskHeader::of(&self.job, TASK, self.archive.len() as u64);
        let limits = RunLimits::of(&self.job);
        let mut machine =
            Machine::start(self.program.clone(), header, limits, &self.archive[..]).unwrap();
        let mut places: BTreeMap<&str, BTreeMap<u32, u64>> = BTreeMap::new();
        while let Some(pc) = machine.pc() {
            let step = machine.steps();
            let op = self.program.program().instruction(pc).op;
            // The last time that an instruction is executed, so that different ones are kept.
            places.entry(family(op)).or_default().insert(pc, step);
            machine.step().unwrap();
        }
        assert_eq!(machine.steps(), steps);
        self.steps_of = places
            .into_iter()
            .map(|(family, places)| {
                let stride = places.len().div_ceil(STEPS_PER_FAMILY);
                let some: BTreeSet<u64> = places.into_values().step_by(stride).collect();
                (family, some.into_iter().collect())
            })
            .collect();
    }

    /// The true trace up to a point.
    pub(crate) fn until(&self, point: Point) -> MachineTrace<Vec<u8>> {
        trace(&self.program, &self.job, &self.archive).until(Some(point))
    }

    /// The family of the instruction that this step of a trace executes; none from its end on.
    pub(crate) fn family_at(&self, truth: &Shared, step: u64) -> Option<&'static str> {
        let mut truth = truth.lock().unwrap();
        let pc = truth.machine_at(step).unwrap().pc()?;
        Some(family(self.program.program().instruction(pc).op))
    }
}
