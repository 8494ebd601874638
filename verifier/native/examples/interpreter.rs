//! Speed of the machine's interpreter against wasmi, in one run.
//!
//! `cargo run --release -p outcry-native --example interpreter -- [--out FILE] [--rounds N] [--only NAME,...]`
//!
//! Both run the same linked image with the same guest library and the same input. The machine counts
//! cycles, slots and steps; wasmi counts nothing, and in a third column its fuel. Runs alternate, the
//! ratio is that of the fastest runs. CPython is included if its npm package is there.
//!
//! Cycles per second are those of the machine alone. A program that is nothing but loads that miss all
//! caches and wait for each other, which is the slowest that there is, stands beside the means: clocks of
//! disputes are derived from it, `verifier/ECONOMICS.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use outcry_verifier::link;
use outcry_verifier::machine::{CommittedProgram, Machine, Program};
use outcry_verifier::task::{RunLimits, TaskHeader};
use programs::Options;
use wasmi::{Caller, Config, Engine, Linker, Module, Store};

mod programs;

const LIMITS: RunLimits = RunLimits {
    cycles: 1 << 44,
    pages: 1 << 12,
    slots: 1 << 18,
    output_bytes: 1 << 20,
};
/// What CPython runs: objects, dictionaries, strings, closures, and some arithmetic.
const SCRIPT: &str = r"
import json
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
counts = {}
for w in [w for i in range(2000) for w in ('a%d' % (i % 701), 'b', str(i))]: counts[w] = counts.get(w, 0) + 1
print(fib(16), len(json.dumps(counts)), sum(x * x % 7 for x in range(20000)))
";

struct Host {
    header: [u8; TaskHeader::BYTES],
    archive: Vec<u8>,
    output: Vec<u8>,
    exit: Option<i32>,
}

/// A run under wasmi: seconds and output.
fn on_wasmi(module: &Module, header: &TaskHeader, archive: &[u8], fuel: bool) -> (f64, Vec<u8>) {
    let host = Host {
        header: header.to_bytes(),
        archive: archive.to_vec(),
        output: Vec::new(),
        exit: None,
    };
    let mut store = Store::new(module.engine(), host);
    if fuel {
        store.set_fuel(u64::MAX).unwrap();
    }
    let mut linker = Linker::new(module.engine());
    let library = |caller: &Caller<'_, Host>| {
        caller
            .get_export("library")
            .and_then(wasmi::Extern::into_memory)
            .unwrap()
    };
    linker
        .func_wrap(
            "outcry",
            "read_input",
            move |mut caller: Caller<'_, Host>, stream: i32, at: i64, dst: i32, len: i32| {
                let (bytes, host) = library(&caller).data_and_store_mut(&mut caller);
                let from = if stream == 0 {
                    &host.header[..]
                } else {
                    &host.archive[..]
                };
                let from = &from[(at as usize).min(from.len())..];
                let count = from.len().min(len as usize);
                bytes[dst as usize..dst as usize + count].copy_from_slice(&from[..count]);
                count as i32
            },
        )
        .unwrap()
        .func_wrap(
            "outcry",
            "append_output",
            move |mut caller: Caller<'_, Host>, src: i32, len: i32| {
                let (bytes, host) = library(&caller).data_and_store_mut(&mut caller);
                host.output
                    .extend_from_slice(&bytes[src as usize..(src + len) as usize]);
            },
        )
        .unwrap()
        .func_wrap(
            "outcry",
            "exit",
            |mut caller: Caller<'_, Host>, code: i32| {
                caller.data_mut().exit = Some(code);
                Err::<(), _>(wasmi::Error::i32_exit(code))
            },
        )
        .unwrap();
    let instance = linker.instantiate_and_start(&mut store, module).unwrap();
    let run = instance.get_typed_func::<(), ()>(&store, "run").unwrap();
    let started = Instant::now();
    let error = run.call(&mut store, ()).unwrap_err();
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(store.data().exit, Some(0), "{error:?}");
    (seconds, std::mem::take(&mut store.data_mut().output))
}

fn on_machine(
    program: &Arc<CommittedProgram>,
    header: &TaskHeader,
    archive: &[u8],
    tracked: bool,
) -> (f64, Machine<Vec<u8>>) {
    let program = Arc::clone(program);
    let mut machine = Machine::start(program, *header, LIMITS, archive.to_vec()).unwrap();
    let started = Instant::now();
    if tracked {
        machine.run_to_cycles(u64::MAX).unwrap();
    } else {
        machine.run().unwrap();
    }
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(machine.halted().unwrap().outcome.exit_code, 0);
    (seconds, machine)
}

fn measure(name: &str, bytes: &[u8], archive: &[u8], rounds: usize) -> serde_json::Value {
    let image = link(bytes).unwrap();
    let program = Program::flatten(&image).unwrap();
    let program = Arc::new(CommittedProgram::new(Arc::new(program)));
    let header = programs::header(LIMITS, archive);
    let wasm = programs::plain(&image);
    let module = |fuel| {
        let mut config = Config::default();
        config.consume_fuel(fuel).set_max_recursion_depth(100_000);
        Module::new(&Engine::new(&config), &wasm).unwrap()
    };
    let (without_fuel, with_fuel) = (module(false), module(true));
    let mut best = [f64::INFINITY; 4];
    let (mut cycles, mut steps) = (0, 0);
    for _ in 0..rounds {
        let (seconds, machine) = on_machine(&program, &header, archive, false);
        best[0] = best[0].min(seconds);
        let (seconds, expected) = on_wasmi(&without_fuel, &header, archive, false);
        best[1] = best[1].min(seconds);
        best[2] = best[2].min(on_wasmi(&with_fuel, &header, archive, true).0);
        best[3] = best[3].min(on_machine(&program, &header, archive, true).0);
        assert_eq!(machine.output(), expected, "{name}");
        (cycles, steps) = (machine.cycles(), machine.steps());
    }
    let [machine, wasmi, wasmi_fuel, tracked] = best;
    eprintln!(
        "{name:12} {:6.3} of wasmi's speed ({:.3} with its fuel on, {:.3} marking changes)  {machine:7.3} s, {:.0} M steps/s, {:.0} M cycles/s",
        wasmi / machine,
        wasmi_fuel / machine,
        wasmi / tracked,
        steps as f64 / machine / 1e6,
        cycles as f64 / machine / 1e6,
    );
    serde_json::json!({
        "name": name, "cycles": cycles, "steps": steps, "machine_s": machine, "wasmi_s": wasmi,
        "cycles_per_s": cycles as f64 / machine,
        "wasmi_with_fuel_s": wasmi_fuel, "machine_marking_changes_s": tracked,
        "speed": wasmi / machine, "speed_against_fuel": wasmi_fuel / machine,
        "speed_marking_changes": wasmi / tracked,
    })
}

/// Lines of cache that the chase goes through: 64 MiB.
const CHASE_LINES: u32 = 1 << 20;
/// Loads of the chase.
const CHASE_LOADS: u32 = 1 << 23;
/// Loads in a turn of its loop, so that the loop itself costs next to nothing.
const CHASE_UNROLLED: u32 = 64;

/// Chases `loads` pointers through 64 MiB. Each line of cache holds the address of another one, by a
/// linear congruence modulo a power of two whose period is full (Hull, Dobell 1962): all lines in one
/// cycle, in an order that no prefetcher follows.
fn chase(loads: u32) -> Vec<u8> {
    let chain = "i32.load ".repeat(CHASE_UNROLLED as usize);
    let text = format!(
        r#"(module (memory 1025)
          (func (export "_start") (local $i i32) (local $at i32) (local $turns i32)
            (loop $next
              (i32.store (i32.shl (local.get $i) (i32.const 6))
                (i32.shl (i32.and (i32.add (i32.mul (local.get $i) (i32.const 1664525))
                  (i32.const 1013904223)) (i32.const {mask})) (i32.const 6)))
              (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
                (i32.const {CHASE_LINES}))))
            (local.set $turns (i32.const {turns}))
            (block $done
              (loop $turn
                (br_if $done (i32.eqz (local.get $turns)))
                (local.set $turns (i32.sub (local.get $turns) (i32.const 1)))
                local.get $at {chain} local.set $at
                (br $turn)))))"#,
        mask = CHASE_LINES - 1,
        turns = loads / CHASE_UNROLLED,
    );
    wat::parse_str(text).unwrap()
}

/// The slowest program: what its loads alone take, without filling the memory.
fn measure_chase(archive: &[u8], rounds: usize) -> serde_json::Value {
    let [without, with] = [0, CHASE_LOADS].map(|loads| {
        let program = Program::flatten(&link(&chase(loads)).unwrap()).unwrap();
        let program = Arc::new(CommittedProgram::new(Arc::new(program)));
        let header = programs::header(LIMITS, archive);
        let mut best = f64::INFINITY;
        let mut cycles = 0;
        for _ in 0..rounds {
            let (seconds, machine) = on_machine(&program, &header, archive, false);
            best = best.min(seconds);
            cycles = machine.cycles();
        }
        (cycles, best)
    });
    let (cycles, seconds) = (with.0 - without.0, with.1 - without.1);
    let (per_load, ns) = (
        cycles as f64 / f64::from(CHASE_LOADS),
        1e9 * seconds / f64::from(CHASE_LOADS),
    );
    eprintln!(
        "slowest      {:.1} M cycles/s: dependent loads of {per_load:.2} cycles and {ns:.0} ns",
        cycles as f64 / seconds / 1e6,
    );
    serde_json::json!({
        "name": "chase", "loads": CHASE_LOADS, "cycles": cycles, "machine_s": seconds,
        "cycles_per_load": per_load, "ns_per_load": ns, "cycles_per_s": cycles as f64 / seconds,
    })
}

fn mean(rows: &[serde_json::Value], column: &str) -> f64 {
    let logs: Vec<f64> = rows
        .iter()
        .map(|row| row[column].as_f64().unwrap().ln())
        .collect();
    (logs.iter().sum::<f64>() / logs.len() as f64).exp()
}

fn main() {
    let options = Options::from_arguments(3);
    let rounds = options.rounds;
    let rows = options.each_program(SCRIPT, |name, _, program, archive| {
        measure(name, program, archive, rounds)
    });
    let figures = serde_json::json!({
        "programs": rows,
        "slowest": measure_chase(&programs::archive(&["program"], BTreeMap::new()), rounds),
        "geometric_mean": mean(&rows, "speed"),
        "geometric_mean_against_fuel": mean(&rows, "speed_against_fuel"),
        "geometric_mean_marking_changes": mean(&rows, "speed_marking_changes"),
        "bar": 0.8,
        "rounds": rounds,
    });
    options.deliver(&figures);
    eprintln!(
        "geometric mean: {:.3} of wasmi's speed",
        mean(&rows, "speed")
    );
}
