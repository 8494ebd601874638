//! Speed of the machine's interpreter against wasmi, in one run.
//!
//! `cargo run --release -p outcry-native --example interpreter -- [--out FILE] [--rounds N] [--only NAME,...]`
//!
//! Both run the same linked image with the same guest library and the same input. The machine counts
//! cycles, slots and steps; wasmi counts nothing, and in a third column its fuel. Runs alternate, the
//! ratio is that of the fastest runs. CPython is included if its npm package is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

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
        "{name:12} {:6.3} of wasmi's speed ({:.3} with its fuel on, {:.3} marking changes)  {machine:7.3} s, {:.0} M steps/s, {:.2} steps a cycle",
        wasmi / machine,
        wasmi_fuel / machine,
        wasmi / tracked,
        steps as f64 / machine / 1e6,
        steps as f64 / cycles as f64,
    );
    serde_json::json!({
        "name": name, "cycles": cycles, "steps": steps, "machine_s": machine, "wasmi_s": wasmi,
        "wasmi_with_fuel_s": wasmi_fuel, "machine_marking_changes_s": tracked,
        "speed": wasmi / machine, "speed_against_fuel": wasmi_fuel / machine,
        "speed_marking_changes": wasmi / tracked,
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
