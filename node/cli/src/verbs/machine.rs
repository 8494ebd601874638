//! The execution engine without a market.

use std::path::Path;
use std::time::{Duration, Instant};

use alloy::primitives::B256;
use bytes::Bytes;
use outcry_protocol::codes;
use outcry_protocol::status::Status;
use outcry_sdk::api::BlobHash;
use outcry_sdk::{Job, JobBuilder, Limits, TaskOutput};
use outcry_verifier::machine::{Machine, MachineFault};
use serde::Serialize;

use crate::args::{Engine, LocalTask, MachineRun};
use crate::console::{Console, Show, pairs};
use crate::failure::Failure;
use crate::jobfile::{file_name, parse_env, python, read};
use crate::progress::Bar;
use crate::settings::Settings;
use crate::verbs::job::require_empty;

pub(crate) async fn run(
    args: &MachineRun,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    if let Some(out) = &args.out {
        require_empty(out)?;
    }
    let job = job(&args.task, settings).await?;
    let task = args.task.task;
    let bar = Bar::new(console, settings);
    let run = match args.engine {
        Engine::Native => {
            let engine = settings.engine()?;
            tokio::task::spawn_blocking(move || natively(&engine, &job, task, &bar))
        }
        Engine::Machine => tokio::task::spawn_blocking(move || in_machine(&job, task, &bar)),
    };
    let limit = Duration::from_secs(args.timeout);
    let Ran {
        output,
        steps,
        compile,
        wall,
    } = tokio::time::timeout(limit, run)
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
        steps,
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

/// The job whose last task is the one that was described.
pub(crate) async fn job(args: &LocalTask, settings: &Settings) -> Result<Job, Failure> {
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
    let builder = builder
        .args(args.args.clone())
        .env(env.iter().map(|(name, value)| format!("{name}={value}")))
        .tasks(args.task + 1)
        .limits(Limits {
            cycles: args.limit_cycles,
            memory_mib: args.memory,
            slots: args.slots,
            output_bytes: args.limit_output,
        });
    let build = tokio::task::spawn_blocking(move || builder.build(B256::ZERO));
    Ok(build.await.map_err(Failure::internal)??)
}

/// A run that was finished.
struct Ran {
    output: TaskOutput,
    /// Steps of the machine, if that ran it.
    steps: Option<u64>,
    compile: Duration,
    wall: Duration,
}

fn natively(engine: &outcry_sdk::Engine, job: &Job, task: u32, bar: &Bar) -> Result<Ran, Failure> {
    bar.say("compiling");
    let started = Instant::now();
    engine.prepare(job)?;
    let compile = started.elapsed();
    bar.say("running");
    let started = Instant::now();
    let output = engine.run(job, task)?;
    Ok(Ran {
        output,
        steps: None,
        compile,
        wall: started.elapsed(),
    })
}

/// Steps between two looks at how far a machine is: a fraction of a second.
const STRIDE: u64 = 1 << 26;

/// Runs a machine to a step, or to its end, and tells again and again how far it is.
pub(crate) fn advance(
    machine: &mut Machine<Bytes>,
    to: u64,
    tell: impl Fn(&Machine<Bytes>),
) -> Result<(), Failure> {
    while machine.steps() < to && machine.halted().is_none() {
        tell(machine);
        let next = to.min(machine.steps().saturating_add(STRIDE));
        machine.run_to(next).map_err(fault)?;
    }
    Ok(())
}

pub(crate) fn fault(fault: MachineFault) -> Failure {
    Failure::new(&codes::PROGRAM_ENGINE, fault.to_string())
}

fn in_machine(job: &Job, task: u32, bar: &Bar) -> Result<Ran, Failure> {
    bar.say("flattening");
    let started = Instant::now();
    let mut machine = outcry_sdk::Engine::machine(job, task)?;
    let compile = started.elapsed();
    bar.say("running: cycles of the limit");
    let limit = job.spec().cycleLimit;
    let started = Instant::now();
    advance(&mut machine, u64::MAX, |machine| {
        bar.at(machine.cycles(), limit)
    })?;
    let wall = started.elapsed();
    // No machine makes so many steps.
    let halted = machine
        .halted()
        .ok_or_else(|| Failure::internal("the machine goes on"))?;
    let archive = Bytes::copy_from_slice(machine.output());
    Ok(Ran {
        output: TaskOutput::new(task, B256::ZERO, halted.outcome, halted.cycles, archive)?,
        steps: Some(machine.steps()),
        compile,
        wall,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u64>,
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
        let steps = self.steps.map(|steps| ("steps", steps.to_string()));
        let mut rows = vec![
            ("status", self.status.to_string()),
            ("exit_code", self.exit_code.to_string()),
            ("cycles", self.cycles.to_string()),
        ];
        rows.extend(steps);
        rows.extend([
            ("output_root", self.output_root.to_string()),
            ("output_length", self.output_length.to_string()),
            ("result_hash", self.result_hash.to_string()),
            ("compile_ms", self.compile_ms.to_string()),
            ("wall_ms", self.wall_ms.to_string()),
        ]);
        let mut text = pairs(&rows);
        for (name, stream) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !stream.is_empty() {
                text.push_str(&format!("\n{name}:\n{stream}"));
            }
        }
        text
    }
}
