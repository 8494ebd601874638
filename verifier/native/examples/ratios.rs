//! Native speed of metered programs against plain wasmtime, in one run.
//!
//! `cargo run --release -p outcry-native --example ratios -- --out FILE [--rounds N] [--only NAME,...]`
//!
//! Both variants run the same linked image with the same guest library and the same input; the
//! plain one without cycles, slots and canonical NaNs, under the engine's default configuration.
//! Runs alternate, the ratio is that of the medians. Times are the process's processor time where
//! the system tells it (in hundredths of a second), so that other processes disturb less.
//! CPython is included if its npm package is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use outcry_native::{Engine, Task};
use outcry_verifier::task::{RunLimits, TaskHeader};
use outcry_verifier::{link, meter};
use programs::Options;
use wasmtime::{Caller, Func, Instance, Module, Store};

mod programs;

const LIMITS: RunLimits = RunLimits {
    cycles: 1 << 44,
    pages: 1 << 14,
    slots: 1 << 20,
    output_bytes: 1 << 20,
};

/// What CPython runs: objects, dictionaries, strings, closures, and some arithmetic.
const SCRIPT: &str = r"
import json, re
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
words = [w for i in range(20000) for w in ('a%d' % (i % 701), 'b', str(i))]
counts = {}
for w in words: counts[w] = counts.get(w, 0) + 1
text = json.dumps(counts)
print(fib(22), len(text), len(re.findall(r'a\d+', text)), sum(x * x % 7 for x in range(200000)))
print(sum(1.0 / (i * i) for i in range(1, 100000)))
";

fn plain_run(module: &Module, header: [u8; TaskHeader::BYTES], archive: &[u8]) -> Vec<u8> {
    struct Host {
        header: [u8; TaskHeader::BYTES],
        archive: Vec<u8>,
        output: Vec<u8>,
    }
    let host = Host {
        header,
        archive: archive.to_vec(),
        output: Vec::new(),
    };
    let mut store = Store::new(module.engine(), host);
    let read = Func::wrap(
        &mut store,
        |mut caller: Caller<'_, Host>, stream: i32, at: i64, dst: i32, len: i32| {
            let memory = caller.get_export("library").unwrap().into_memory().unwrap();
            let (bytes, host) = memory.data_and_store_mut(&mut caller);
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
    );
    let append = Func::wrap(
        &mut store,
        |mut caller: Caller<'_, Host>, src: i32, len: i32| {
            let memory = caller.get_export("library").unwrap().into_memory().unwrap();
            let (bytes, host) = memory.data_and_store_mut(&mut caller);
            host.output
                .extend_from_slice(&bytes[src as usize..(src + len) as usize]);
        },
    );
    let exit = Func::wrap(&mut store, |_: Caller<'_, Host>, code: i32| {
        Err::<(), _>(wasmtime::Error::msg(format!("exit {code}")))
    });
    let instance = Instance::new(
        &mut store,
        module,
        &[read.into(), append.into(), exit.into()],
    )
    .unwrap();
    let run = instance
        .get_typed_func::<(), ()>(&mut store, "run")
        .unwrap();
    let error = run.call(&mut store, ()).unwrap_err();
    assert!(format!("{error:#}").contains("exit 0"), "{error:?}");
    store.into_data().output
}

/// Processor seconds of this process so far, all threads; wall clock where `/proc` is not there.
fn seconds(started: Instant) -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // User and system time are the 14th and 15th field; the name before may contain anything.
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11)
        .take(2);
    let ticks: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
    if ticks.len() == 2 {
        ticks.iter().sum::<f64>() / 100.0
    } else {
        started.elapsed().as_secs_f64()
    }
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

struct Row {
    name: String,
    kind: &'static str,
    cycles: u64,
    native_s: f64,
    plain_s: f64,
}

fn measure(name: &str, kind: &'static str, program: &[u8], archive: &[u8], rounds: usize) -> Row {
    let image = link(program).unwrap();
    let engine = Engine::new().unwrap();
    let started = Instant::now();
    let compiled = engine.compile(&image).unwrap();
    let compile_s = started.elapsed().as_secs_f64();
    if let Ok(folder) = std::env::var("DUMP") {
        std::fs::write(
            format!("{folder}/{name}.fast.wasm"),
            meter::fast(&image).unwrap(),
        )
        .unwrap();
        std::fs::write(
            format!("{folder}/{name}.plain.wasm"),
            programs::plain(&image),
        )
        .unwrap();
        std::fs::write(
            format!("{folder}/{name}.cwasm"),
            compiled.artifact().unwrap(),
        )
        .unwrap();
    }
    let mut config = wasmtime::Config::new();
    config.max_wasm_stack(64 << 20).async_stack_size(64 << 20);
    let plain_engine = wasmtime::Engine::new(&config).unwrap();
    let plain = Module::from_binary(&plain_engine, &programs::plain(&image)).unwrap();
    let header = programs::header(LIMITS, archive);
    let clock = Instant::now();
    let (mut native_s, mut plain_s) = (Vec::new(), Vec::new());
    let mut cycles = 0;
    for round in 0..=rounds {
        let before = seconds(clock);
        let (halted, output) = compiled
            .run(&Task::new(header, LIMITS), archive.to_vec(), Vec::new())
            .unwrap();
        let between = seconds(clock);
        let expected = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(80 << 20);
            thread
                .spawn_scoped(scope, || plain_run(&plain, header.to_bytes(), archive))
                .unwrap()
                .join()
                .unwrap()
        });
        let (native, reference) = (between - before, seconds(clock) - between);
        assert_eq!(halted.outcome.exit_code, 0, "{name}");
        assert_eq!(output, expected, "{name}");
        cycles = halted.cycles;
        // The first round warms caches.
        if round > 0 {
            native_s.push(native);
            plain_s.push(reference);
        }
    }
    let least = |seconds: &[f64]| seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let of_minima = least(&native_s) / least(&plain_s);
    let row = Row {
        name: name.to_owned(),
        kind,
        cycles,
        native_s: median(native_s),
        plain_s: median(plain_s),
    };
    eprintln!(
        "{name:12} {kind:8} {:6.3} ({of_minima:.3} of minima)  native {:7.3} s, plain {:7.3} s, {:6.2} Gcycles/s, compiled in {compile_s:.2} s",
        row.native_s / row.plain_s,
        row.native_s,
        row.plain_s,
        row.cycles as f64 / row.native_s / 1e9
    );
    row
}

fn mean(rows: &[Row], kind: &str) -> f64 {
    let logs: Vec<f64> = rows
        .iter()
        .filter(|row| row.kind == kind)
        .map(|row| (row.native_s / row.plain_s).ln())
        .collect();
    (logs.iter().sum::<f64>() / logs.len() as f64).exp()
}

fn main() {
    let options = Options::from_arguments(7);
    let rounds = options.rounds;
    let rows = options.each_program(SCRIPT, |name, kind, program, archive| {
        measure(name, kind, program, archive, rounds)
    });
    let figures = serde_json::json!({
        "programs": rows.iter().map(|row| serde_json::json!({
            "name": row.name, "kind": row.kind, "cycles": row.cycles,
            "native_s": row.native_s, "plain_s": row.plain_s, "ratio": row.native_s / row.plain_s,
        })).collect::<Vec<_>>(),
        "geometric_mean": { "integer": mean(&rows, "integer"), "float": mean(&rows, "float") },
        "bars": { "integer": 1.15, "float": 1.35 },
        "rounds": rounds,
    });
    options.deliver(&figures);
    eprintln!(
        "geometric means: integer {:.3}, float {:.3}",
        mean(&rows, "integer"),
        mean(&rows, "float")
    );
}
