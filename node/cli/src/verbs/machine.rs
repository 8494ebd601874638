//! The execution engine without a market.

use std::path::Path;
use std::time::{Duration, Instant};

use alloy::primitives::B256;
use outcry_protocol::codes;
use outcry_protocol::status::Status;
use outcry_sdk::api::BlobHash;
use outcry_sdk::{JobBuilder, Limits};
use serde::Serialize;

use crate::args::{Engine, MachineRun};
use crate::console::{Console, Show, pairs};
use crate::failure::Failure;
use crate::jobfile::{file_name, parse_env, python, read};
use crate::settings::Settings;
use crate::verbs::job::require_empty;

pub(crate) async fn run(
    args: &MachineRun,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let Engine::Native = args.engine;
    if let Some(out) = &args.out {
        require_empty(out)?;
    }
    let name = file_name(&args.program)?;
    let program = read(&args.program, &codes::PROGRAM_FILE)?;
    let mut builder = match args.program.extension().and_then(|e| e.to_str()) {
        Some("py") => JobBuilder::python(
            python(args.python.as_deref(), settings, None).await?,
            name,
            program,
        ),
        _ => JobBuilder::wasm(name, program),
    };
    if let Some(folder) = &args.input {
        builder = builder.input_folder(folder);
    }
    let env = parse_env(&args.env)?;
    let limits = Limits {
        cycles: args.limit_cycles,
        memory_mib: args.memory,
        output_bytes: args.limit_output,
        ..Limits::default()
    };
    let builder = builder
        .args(args.args.clone())
        .env(env.iter().map(|(name, value)| format!("{name}={value}")))
        .limits(limits);
    let engine = settings.engine()?;
    let run = tokio::task::spawn_blocking(move || {
        let job = builder.build(B256::ZERO)?;
        let compiling = Instant::now();
        engine.prepare(&job)?;
        let compile = compiling.elapsed();
        let running = Instant::now();
        let output = engine.run(&job, 0)?;
        Ok::<_, outcry_sdk::Error>((output, compile, running.elapsed()))
    });
    let limit = Duration::from_secs(args.timeout);
    let (output, compile, wall) = tokio::time::timeout(limit, run)
        .await
        .map_err(|_| outcry_sdk::Error::TimedOut(args.timeout))?
        .map_err(Failure::internal)??;
    if let Some(out) = &args.out {
        output.write_files(out)?;
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let result = RunResult {
        status: output.outcome.status,
        exit_code: output.outcome.exit_code,
        cycles: output.cycles,
        output_root: output.outcome.output_root,
        output_length: output.outcome.output_length,
        result_hash: output.outcome.inner(),
        compile_ms: compile.as_millis(),
        wall_ms: wall.as_millis(),
        stdout: text(output.stdout()),
        stderr: text(output.stderr()),
    };
    console.result(settings.format(), &result)?;
    Ok(if output.is_success() {
        0
    } else {
        codes::Exit::Failed as u8
    })
}

pub(crate) fn link(
    program: &Path,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let name = file_name(program)?;
    let job = JobBuilder::wasm(name, read(program, &codes::PROGRAM_FILE)?).build(B256::ZERO)?;
    let program = job.manifest().program;
    let linked = Linked {
        machine_version: job.spec().machineVersion,
        image_root: job.spec().imageRoot,
        blake3: program.blake3,
        length: program.length,
    };
    console.result(settings.format(), &linked)?;
    Ok(0)
}

#[derive(Serialize)]
struct Linked {
    machine_version: u32,
    image_root: B256,
    blake3: BlobHash,
    length: u64,
}

impl Show for Linked {
    fn table(&self) -> String {
        pairs(&[
            ("machine_version", self.machine_version.to_string()),
            ("image_root", self.image_root.to_string()),
            ("blake3", self.blake3.to_string()),
            ("length", self.length.to_string()),
        ])
    }
}

#[derive(Serialize)]
struct RunResult {
    status: Status,
    exit_code: u32,
    cycles: u64,
    output_root: B256,
    output_length: u64,
    result_hash: B256,
    compile_ms: u128,
    wall_ms: u128,
    stdout: String,
    stderr: String,
}

impl Show for RunResult {
    fn table(&self) -> String {
        let mut text = pairs(&[
            ("status", self.status.to_string()),
            ("exit_code", self.exit_code.to_string()),
            ("cycles", self.cycles.to_string()),
            ("output_root", self.output_root.to_string()),
            ("output_length", self.output_length.to_string()),
            ("result_hash", self.result_hash.to_string()),
            ("compile_ms", self.compile_ms.to_string()),
            ("wall_ms", self.wall_ms.to_string()),
        ]);
        for (name, stream) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !stream.is_empty() {
                text.push_str(&format!("\n{name}:\n{stream}"));
            }
        }
        text
    }
}
