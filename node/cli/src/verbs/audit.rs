//! What an auditor asks of the machine: traces, proofs, and the agreement of all executions.

use std::path::Path;

use alloy::primitives::{B256, Bytes as Calldata};
use bytes::Bytes;
use outcry_audit::check::check_task;
use outcry_audit::{
    AuditError, CheckOptions, CheckReport, Progress, Stage, WastOptions, WastReport,
};
use outcry_protocol::codes;
use outcry_protocol::status::Status;
use outcry_sdk::{Engine, Job};
use outcry_verifier::machine::Machine;
use outcry_verifier::machine::trace::NextStep;
use outcry_verifier::names::FunctionNames;
use serde::Serialize;

use crate::args::{LocalTask, MachineCheck, MachineProve, MachineSteps, MachineWast};
use crate::console::{Console, Show, columns, pairs, short};
use crate::failure::Failure;
use crate::jobfile::read;
use crate::progress::Bar;
use crate::settings::Settings;
use crate::verbs::machine::{advance, fault, job};

/// Does on a thread of its own what takes long and blocks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Failure::internal)?
}

/// A task's machine at a step, and what its functions are called.
fn machine_at(
    job: &Job,
    task: u32,
    step: u64,
    bar: &Bar,
) -> Result<(Machine<Bytes>, FunctionNames), Failure> {
    bar.say("linking");
    let names = FunctionNames::of(job.program()).map_err(Failure::internal)?;
    let mut machine = Engine::machine(job, task)?;
    bar.say("running");
    advance(&mut machine, step, |machine| bar.at(machine.steps(), step))?;
    if machine.steps() < step {
        let text = format!(
            "the run has {} steps, and {step} is beyond them",
            machine.steps()
        );
        return Err(Failure::usage(text).with_help("Name a step of the run."));
    }
    bar.say("hashing");
    Ok((machine, names))
}

pub(crate) async fn steps(
    args: &MachineSteps,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let bar = Bar::new(console, settings);
    let LocalTask { task, .. } = args.task;
    let (job, from, count) = (job(&args.task, settings).await?, args.from, args.count);
    let trace = blocking(move || {
        let (mut machine, names) = machine_at(&job, task, from, &bar)?;
        let mut steps = Vec::new();
        while let Some(next) = machine.next_step().filter(|_| (steps.len() as u64) < count) {
            bar.at(steps.len() as u64, count);
            let state = machine.commit().map_err(fault)?;
            machine.step().map_err(fault)?;
            steps.push(TraceLine::new(&next, &names, state, &machine));
        }
        Ok(Trace {
            steps,
            next: machine.steps(),
            state: machine.commit().map_err(fault)?,
            halted: machine.halted().map(|halted| halted.outcome.status),
        })
    })
    .await?;
    console.result(settings.format(), &trace)?;
    Ok(0)
}

/// A part of a run.
#[derive(Serialize)]
struct Trace {
    steps: Vec<TraceLine>,
    /// The step behind the last one shown.
    next: u64,
    /// The state before that step.
    state: B256,
    /// How the run ended, if it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    halted: Option<Status>,
}

/// One step.
#[derive(Serialize)]
struct TraceLine {
    step: u64,
    cycles: u64,
    pc: u32,
    function: String,
    /// Calls that are suspended.
    depth: usize,
    /// The instruction with the values that it reads.
    instruction: String,
    operands: Vec<SlotShown>,
    /// What the step wrote to a slot of its frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<SlotShown>,
    /// Hash of the state before the step.
    state: B256,
}

#[derive(Serialize)]
struct SlotShown {
    slot: u16,
    /// In hexadecimal: it may be more than a number of JSON holds.
    value: String,
}

impl SlotShown {
    fn new(slot: u16, value: u64) -> Self {
        Self {
            slot,
            value: format!("{value:#x}"),
        }
    }
}

impl TraceLine {
    /// `after` is the machine behind the step.
    fn new(next: &NextStep, names: &FunctionNames, state: B256, after: &Machine<Bytes>) -> Self {
        let result = next
            .writes()
            .and_then(|slot| Some(SlotShown::new(slot, after.peek(slot)?)));
        Self {
            step: next.step,
            cycles: next.cycles,
            pc: next.pc,
            function: function_name(next, names),
            depth: next.depth,
            instruction: next.describe(|function| names.get(function)),
            operands: next
                .operands
                .iter()
                .map(|o| SlotShown::new(o.slot, o.value))
                .collect(),
            result: result.filter(|_| after.halted().is_none()),
            state,
        }
    }
}

fn function_name(step: &NextStep, names: &FunctionNames) -> String {
    step.function
        .map_or("?", |function| names.get(function))
        .to_owned()
}

impl Show for Trace {
    fn table(&self) -> String {
        let rows: Vec<[String; 6]> = self
            .steps
            .iter()
            .map(|line| {
                let result = line.result.as_ref().map(|r| format!("={}", r.value));
                [
                    line.step.to_string(),
                    line.cycles.to_string(),
                    line.pc.to_string(),
                    short(&line.state),
                    line.function.clone(),
                    line.instruction.clone() + result.as_deref().unwrap_or_default(),
                ]
            })
            .collect();
        let mut text = columns(
            ["STEP", "CYCLES", "PC", "STATE", "FUNCTION", "INSTRUCTION"],
            &rows,
        );
        let end = match &self.halted {
            Some(status) => format!(
                "halted after {} steps ({status}): {}\n",
                self.next, self.state
            ),
            None => format!("before step {}: {}\n", self.next, self.state),
        };
        text.push_str(&end);
        text
    }
}

pub(crate) async fn prove(
    args: &MachineProve,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let bar = Bar::new(console, settings);
    let (task, step) = (args.task.task, args.step);
    let job = job(&args.task, settings).await?;
    let proven = blocking(move || {
        let (mut machine, names) = machine_at(&job, task, step, &bar)?;
        let next = machine.next_step();
        let (before, proof) = machine.prove().map_err(fault)?;
        let after = machine.commit().map_err(fault)?;
        Ok(Proven {
            step,
            pc: next.as_ref().map(|next| next.pc),
            function: next.as_ref().map(|next| function_name(next, &names)),
            instruction: next
                .as_ref()
                .map(|next| next.describe(|function| names.get(function))),
            before,
            after,
            calldata: outcry_contracts::machine::transition(before, proof.words()),
            proof: proof.words().to_vec(),
        })
    })
    .await?;
    console.result(settings.format(), &proven)?;
    Ok(0)
}

/// A proof of one step. A halted state, which repeats, has no instruction.
#[derive(Serialize)]
struct Proven {
    step: u64,
    pc: Option<u32>,
    function: Option<String>,
    instruction: Option<String>,
    /// Hash of the state before the step.
    before: B256,
    /// Hash of the state after it.
    after: B256,
    /// Words of the proof, as in `verifier/MACHINE.md`.
    proof: Vec<B256>,
    /// A call of `StepVerifier.transition(before, proof)`, which answers `after`.
    calldata: Calldata,
}

impl Show for Proven {
    fn table(&self) -> String {
        let missing = || "(halted)".to_owned();
        pairs(&[
            ("step", self.step.to_string()),
            ("pc", self.pc.map_or_else(missing, |pc| pc.to_string())),
            ("function", self.function.clone().unwrap_or_else(missing)),
            (
                "instruction",
                self.instruction.clone().unwrap_or_else(missing),
            ),
            ("before", self.before.to_string()),
            ("after", self.after.to_string()),
            ("proof_bytes", (32 * self.proof.len()).to_string()),
            ("calldata", self.calldata.to_string()),
        ])
    }
}

pub(crate) async fn check(
    args: &MachineCheck,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let bar = Bar::new(console, settings);
    let task = args.task.task;
    let options = CheckOptions {
        samples: args.samples,
        seed: args.seed,
    };
    let job = job(&args.task, settings).await?;
    let report = blocking(move || {
        let input = job
            .input(task)
            .ok_or_else(|| Failure::internal("the task has no input"))?;
        let mut tell = |progress| tell(&bar, progress);
        Ok(check_task(
            job.image(),
            job.spec(),
            task,
            input,
            options,
            &mut tell,
        )?)
    })
    .await?;
    let agrees = report.mismatches == 0;
    console.result(settings.format(), &Checked(report))?;
    Ok(if agrees { 0 } else { codes::Exit::Failed as u8 })
}

#[derive(Serialize)]
#[serde(transparent)]
struct Checked(CheckReport);

impl Show for Checked {
    fn table(&self) -> String {
        let report = &self.0;
        let mut text = pairs(&[
            ("steps", report.steps.to_string()),
            ("cycles", report.cycles.to_string()),
            ("sampled", report.sampled.to_string()),
            ("mismatches", report.mismatches.to_string()),
            (
                "gas",
                format!("median {}, max {}", report.gas.median, report.gas.max),
            ),
            (
                "proof_bytes",
                format!(
                    "median {}, max {}",
                    report.proof_bytes.median, report.proof_bytes.max
                ),
            ),
            ("native_ms", report.native_ms.to_string()),
            ("machine_ms", report.machine_ms.to_string()),
        ]);
        differences(&mut text, &report.differences);
        text
    }
}

pub(crate) async fn wast(
    args: &MachineWast,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let options = WastOptions {
        chain: args.chain,
        repeats: true,
    };
    let mut agrees = true;
    for file in &args.files {
        let script = script(file)?;
        let name = file.display().to_string();
        let bar = Bar::new(console, settings);
        let report = blocking(move || {
            let mut tell = |progress| tell(&bar, progress);
            Ok(outcry_audit::wast(&name, &script, options, &mut tell)?)
        })
        .await?;
        agrees &= report.mismatches == 0;
        console.item(settings.format(), &Tested(report))?;
    }
    Ok(if agrees { 0 } else { codes::Exit::Failed as u8 })
}

fn script(file: &Path) -> Result<String, Failure> {
    let bytes = read(file, &codes::PROGRAM_FILE)?;
    String::from_utf8(bytes.into())
        .map_err(|e| Failure::new(&codes::PROGRAM_FILE, format!("{}: {e}", file.display())))
}

#[derive(Serialize)]
#[serde(transparent)]
struct Tested(WastReport);

impl Show for Tested {
    fn table(&self) -> String {
        let report = &self.0;
        let mut text = format!(
            "{}: {} modules, {} assertions, {} steps of which {} on chain, {} mismatches, {} skipped",
            report.file,
            report.modules,
            report.assertions,
            report.steps,
            report.steps_on_chain,
            report.mismatches,
            report.skipped.len(),
        );
        for skipped in &report.skipped {
            text.push_str(&format!(
                "\n  line {} needs {}",
                skipped.line, skipped.needs
            ));
        }
        text.push('\n');
        differences(&mut text, &report.differences);
        text
    }
}

fn differences(text: &mut String, differences: &[String]) {
    for difference in differences {
        text.push_str(&format!("  {difference}\n"));
    }
}

/// Shows how far an audit is.
fn tell(bar: &Bar, Progress { stage, done, total }: Progress) {
    bar.say(match stage {
        Stage::Native => "running natively",
        Stage::Machine => "running in the machine",
        Stage::Chain => "executing steps on the contract",
        Stage::Script => "running the script",
    });
    bar.at(done, total);
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        let code = match &error {
            AuditError::Load(_) | AuditError::Script { .. } => &codes::PROGRAM_MALFORMED,
            AuditError::Limits(_) => &codes::ORDER_JOB_LIMIT,
            _ => &codes::PROGRAM_ENGINE,
        };
        Self::new(code, error.to_string())
    }
}
