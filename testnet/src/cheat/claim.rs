//! What is claimed instead of a task's result. The output that belongs to a false claim is delivered,
//! so that nothing but running the task again shows that it is false.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::future::BoxFuture;
use outcry_daemon::inputs::{Input, Inputs};
use outcry_daemon::run::RunProblem;
use outcry_daemon::{Execute, Execution};
use outcry_executor::{EngineFailure, Halted};
use outcry_protocol::hash::{halted_hash, job_hash};
use outcry_protocol::status::{Outcome, Status};
use outcry_protocol::types::JobSpec;
use outcry_verifier::archive::{Kind as Member, Reader, Writer};

use super::{Cheat, Claimed, Claims, Kind, TaskId};

/// Runs tasks and falsifies what comes out.
#[derive(Debug)]
pub(super) struct Falsifier {
    cheat: Cheat,
    truth: Arc<dyn Execute>,
    claims: Claims,
}

impl Falsifier {
    pub(super) fn new(cheat: Cheat, truth: Arc<dyn Execute>, claims: Claims) -> Self {
        Self {
            cheat,
            truth,
            claims,
        }
    }
}

impl Execute for Falsifier {
    fn start<'a>(
        &'a self,
        job: &'a JobSpec,
        inputs: &'a Inputs,
        time_max: Duration,
    ) -> BoxFuture<'a, Result<Box<dyn Execution>, RunProblem>> {
        Box::pin(async move {
            let run = Falsified {
                cheat: self.cheat,
                truth: self.truth.start(job, inputs, time_max).await?,
                claims: self.claims.clone(),
                job: job.clone(),
            };
            Ok(Box::new(run) as Box<dyn Execution>)
        })
    }
}

struct Falsified {
    cheat: Cheat,
    truth: Box<dyn Execution>,
    claims: Claims,
    job: JobSpec,
}

impl Execution for Falsified {
    fn task<'a>(
        &'a mut self,
        task: u32,
        input: &'a Input,
        time_max: Duration,
    ) -> BoxFuture<'a, Result<(Halted, PathBuf), EngineFailure>> {
        Box::pin(async move {
            let (truth, output) = self.truth.task(task, input, time_max).await?;
            let id = (job_hash(&self.job), task);
            let told = falsify(self.cheat, id, &self.job, truth, &output)
                .map_err(|error| EngineFailure::Engine(format!("{error:#}")))?;
            tracing::warn!(
                job = %id.0, task, kind = %self.cheat.kind, true_cycles = truth.cycles,
                told_cycles = told.cycles, "a result is falsified"
            );
            let halted = halted_hash(id.0, task, told.cycles, told.outcome.inner());
            let cycles = truth.cycles;
            self.claims.note(id, Claimed { halted, cycles });
            Ok((told, output))
        })
    }
}

/// The false result of a task; its output takes the place of the true one in the file.
fn falsify(
    cheat: Cheat,
    id: TaskId,
    job: &JobSpec,
    truth: Halted,
    output: &Path,
) -> anyhow::Result<Halted> {
    if cheat.kind == Kind::WrongCycles {
        let cycles = more_cycles(cheat, id, truth.cycles, job.cycleLimit);
        return Ok(Halted { cycles, ..truth });
    }
    let archive = fs::read(output)?;
    let forged = match truth.outcome.status {
        Status::Exited => forge(cheat, id, &archive).context("the output is no archive")?,
        _ => None,
    };
    let told = match forged {
        Some(forged) => {
            fs::write(output, &forged)?;
            Halted {
                outcome: Outcome::exited(truth.outcome.exit_code, &forged, job.outputLimit)?,
                output_hash: blake3::hash(&forged).as_bytes().into(),
                ..truth
            }
        }
        // Without any content there is the exit code to lie about.
        None => Halted {
            outcome: Outcome::exited(truth.outcome.exit_code ^ 1, &archive, job.outputLimit)?,
            ..truth
        },
    };
    Ok(told)
}

/// A bill of up to one and a half times the true one; below it, where the limit leaves no room above.
fn more_cycles(cheat: Cheat, id: TaskId, cycles: u64, limit: u64) -> u64 {
    let room = (cycles / 2).min(limit.saturating_sub(cycles));
    match room {
        0 => cycles - 1,
        _ => cycles + 1 + cheat.choose("cycles", id, room),
    }
}

/// The archive with one bit of one file's content turned; `None` if no file has content.
fn forge(cheat: Cheat, id: TaskId, archive: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
    let mut reader = Reader::new(archive);
    let mut writer = Writer::new(Vec::with_capacity(archive.len()));
    let mut is_forged = false;
    while let Some(entry) = reader.next_entry()? {
        if entry.kind == Member::EmptyDirectory {
            writer.empty_directory(&entry.path)?;
            continue;
        }
        let mut content = reader.read_content()?;
        let at = cheat.choose("byte", id, content.len() as u64);
        if !is_forged && let Some(byte) = content.get_mut(usize::try_from(at)?) {
            *byte ^= 1;
            is_forged = true;
        }
        writer.file(&entry.path, &content)?;
    }
    let forged = writer.finish()?;
    Ok(is_forged.then_some(forged))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloy::primitives::B256;

    const CHEAT: Cheat = Cheat {
        kind: Kind::WrongOutput,
        seed: 7,
    };
    const TASK: TaskId = (B256::repeat_byte(3), 0);

    #[test]
    fn a_forged_archive_is_another_one_that_everybody_can_read() {
        let mut writer = Writer::new(Vec::new());
        writer.empty_directory("out/nothing").unwrap();
        writer.file("out/report.txt", b"14 of 15").unwrap();
        let archive = writer.finish().unwrap();
        let forged = forge(CHEAT, TASK, &archive).unwrap().unwrap();
        assert_eq!(Reader::new(forged.as_slice()).check().unwrap(), 2);
        let differing = archive.iter().zip(&forged).filter(|(a, b)| a != b);
        assert_eq!(differing.count(), 1);
        assert_eq!(forge(CHEAT, TASK, &archive).unwrap().unwrap(), forged);

        let empty = Writer::new(Vec::new()).finish().unwrap();
        assert!(forge(CHEAT, TASK, &empty).unwrap().is_none());
    }

    #[test]
    fn a_false_bill_is_another_one_within_the_limit() {
        for (cycles, limit) in [
            (1, 1),
            (1, 2),
            (1_000, 1_000),
            (1_000, 10_000),
            (1_000, 1_001),
        ] {
            let told = more_cycles(CHEAT, TASK, cycles, limit);
            assert_ne!(told, cycles);
            assert!(told <= limit, "{told} of {limit}");
        }
    }
}
