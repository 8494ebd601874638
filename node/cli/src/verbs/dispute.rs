//! Games about claims: which there are, how one stands, and on which step its parties part.

use std::ops::ControlFlow;
use std::sync::Arc;

use alloy::primitives::B256;
use outcry_protocol::codes;
use outcry_protocol::limits::TASKS_PER_JOB_MAX;
use outcry_protocol::types::JobSpec;
use outcry_sdk::api::{BlobHash, Dispute, GameParty, TokenInfo};
use outcry_sdk::{Manifest, Node, units};
use outcry_verifier::game::rules::PARTS;
use outcry_verifier::game::{Challenge, Game, MachineTrace, Trace as _, first_disputed};
use outcry_verifier::guest::LIBRARY;
use outcry_verifier::link_and_commit;
use outcry_verifier::machine::Point;
use outcry_verifier::names::FunctionNames;
use outcry_verifier::task::{RunLimits, TaskHeader};
use serde::Serialize;

use crate::console::{Console, Show, columns, pairs, short};
use crate::failure::Failure;
use crate::progress::Bar;
use crate::settings::Settings;

/// Bytes of snapshots of the run, so that going back costs little.
const SNAPSHOT_BYTES: u64 = 256 << 20;
/// Most bytes of a manifest: 256 for each task.
const MANIFEST_BYTES_MAX: u64 = 256 * (TASKS_PER_JOB_MAX as u64 + 4);

pub(crate) async fn ls(settings: &Settings, console: &mut Console<'_>) -> Result<u8, Failure> {
    let games = settings.reader()?.node().disputes().await?;
    console.result(settings.format(), &Games(games))?;
    Ok(0)
}

pub(crate) async fn show(
    id: &str,
    steps: bool,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let client = settings.reader()?;
    let node = client.node();
    let game = match id.parse::<B256>() {
        Ok(game) => game,
        Err(_) => beginning_with(id, node).await?,
    };
    let game = node.dispute(game).await?;
    let parting = if steps {
        Some(parting(&game, node, settings, console).await?)
    } else {
        None
    };
    console.result(settings.format(), &Shown { game, parting })?;
    Ok(0)
}

/// The only game whose id begins like that.
async fn beginning_with(id: &str, node: &Node) -> Result<B256, Failure> {
    let wanted = id.to_lowercase();
    let wanted = wanted.trim_end_matches('…');
    let games = node.disputes().await?.into_iter();
    let mut found = games.filter(|game| game.id.to_string().starts_with(wanted));
    match (found.next(), found.next()) {
        (Some(game), None) => Ok(game.id),
        (None, _) => Err(Failure::new(
            &codes::DEAL_UNKNOWN,
            format!("the node knows no game {id}"),
        )),
        (Some(_), Some(_)) => Err(Failure::usage(format!(
            "several games begin with {id}; give more digits"
        ))),
    }
}

/// Where the parties of a game part, as far as they have narrowed it down.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Parting {
    /// Whose halted state is that of the machine here; absent if neither's is.
    right: Option<GameParty>,
    /// The halted state here.
    halted: B256,
    /// Steps of the run.
    trace_steps: u64,
    /// Both agree on the state before this step.
    from_step: u64,
    /// They do not agree on the state before this one.
    to_step: u64,
    /// The step `from_step`; absent where the machine has halted before.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<Step>,
}

/// A step in words.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    cycles: u64,
    pc: u32,
    function: String,
    /// Calls that are suspended.
    depth: usize,
    /// The instruction with the values that it reads.
    instruction: String,
    /// Hash of the state before it.
    state: B256,
    /// Hash of the state after it.
    next_state: B256,
}

/// Runs the game's task here and compares.
async fn parting(
    game: &Dispute,
    node: &Node,
    settings: &Settings,
    console: &Console<'_>,
) -> Result<Parting, Failure> {
    let bar = Bar::new(console, settings);
    bar.say("fetching");
    let job = game.job.clone().ok_or_else(|| {
        Failure::new(
            &codes::DEAL_UNKNOWN,
            "the node does not know the job of this game any more".to_owned(),
        )
    })?;
    let from = Some(job.source);
    let manifest = node
        .blob(BlobHash::from(job.manifest), from, MANIFEST_BYTES_MAX)
        .await?;
    let manifest = Manifest::parse(&manifest)?;
    let input = manifest
        .tasks
        .get(game.task as usize)
        .ok_or_else(|| Failure::internal("the manifest lacks the task"))?;
    let program = node
        .blob(manifest.program.blake3, from, manifest.program.length)
        .await?;
    let archive = node.blob(input.blake3, from, input.length).await?;
    let replayed = replay(game)?;
    let (task, asserted, halted) = (game.task, game.asserted, game.halted);
    let until = Point::new(game.until);
    tokio::task::spawn_blocking(move || {
        let mut compared = compare(&job, task, &program, archive, &replayed, until, bar)?;
        compared.right = if compared.halted == asserted {
            Some(GameParty::Provider)
        } else if compared.halted == halted {
            Some(GameParty::Challenger)
        } else {
            None
        };
        Ok(compared)
    })
    .await
    .map_err(Failure::internal)?
}

/// The game, from its moves.
fn replay(game: &Dispute) -> Result<Game, Failure> {
    let challenge = Challenge {
        initial: game.initial,
        asserted: game.asserted,
        halted: game.halted,
        sections: game.sections,
    };
    let sections = game.moves.iter();
    let sections = sections.filter_map(|made| Some((made.part?, made.ends.as_slice())));
    Game::replayed(challenge, sections).map_err(Failure::internal)
}

fn compare(
    job: &JobSpec,
    task: u32,
    program: &[u8],
    archive: Vec<u8>,
    game: &Game,
    until: Option<Point>,
    bar: Bar,
) -> Result<Parting, Failure> {
    bar.say("linking");
    let names = FunctionNames::of(program).map_err(Failure::internal)?;
    let (_, committed) = link_and_commit(program, LIBRARY).map_err(Failure::internal)?;
    if committed.image_root() != job.imageRoot {
        return Err(Failure::new(
            &codes::PROGRAM_ROOT,
            "the program is not the job's".to_owned(),
        ));
    }
    let header = TaskHeader::of(job, task, archive.len() as u64);
    let limits = RunLimits::of(job);
    bar.say("running");
    let watch = Box::new(move |steps| {
        bar.at(steps, 0);
        ControlFlow::Continue(())
    });
    let mut trace = MachineTrace::start(
        Arc::new(committed),
        header,
        limits,
        archive,
        SNAPSHOT_BYTES,
        watch,
    )
    .map_err(Failure::internal)?
    .until(until);
    let fault = |error: outcry_verifier::game::Fault| {
        Failure::new(&codes::PROGRAM_ENGINE, error.to_string())
    };
    let end = trace.end().map_err(fault)?;
    // The last list narrows it down, unless it is all true: then its author is right, and the part that
    // it is about is what is known.
    let (from_step, to_step) = match first_disputed(game, &mut trace).map_err(fault)? {
        Some(part) => {
            let end = game.end_of(part.index);
            (end.saturating_sub(game.part_steps()), end)
        }
        None => (game.offset(), game.end_of(PARTS as u8 - 1)),
    };
    let machine = trace.machine_at(from_step).map_err(fault)?;
    let step = match machine.next_step() {
        Some(next) if machine.steps() == from_step => {
            let state = trace.state(from_step).map_err(fault)?;
            let next_state = trace.state(from_step.saturating_add(1)).map_err(fault)?;
            Some(Step {
                cycles: next.cycles,
                pc: next.pc,
                function: next
                    .function
                    .map_or("?", |function| names.get(function))
                    .to_owned(),
                depth: next.depth,
                instruction: next.describe(|function| names.get(function)),
                state,
                next_state,
            })
        }
        _ => None,
    };
    Ok(Parting {
        right: None,
        halted: end.hash,
        trace_steps: end.steps,
        from_step,
        to_step,
        step,
    })
}

#[derive(Serialize)]
struct Games(Vec<Dispute>);

impl Show for Games {
    fn table(&self) -> String {
        let rows: Vec<_> = self
            .0
            .iter()
            .map(|game| {
                [
                    short(&game.id),
                    game.state.to_string(),
                    format!("{} of {}", game.sections_made, game.sections),
                    game.mover.map_or("-", GameParty::name).to_owned(),
                    short(&game.deal_id),
                    game.task.to_string(),
                    short(&game.provider),
                    short(&game.challenger),
                ]
            })
            .collect();
        columns(
            [
                "GAME",
                "STATE",
                "SECTIONS",
                "TO MOVE",
                "DEAL",
                "TASK",
                "PROVIDER",
                "CHALLENGER",
            ],
            &rows,
        )
    }
}

/// A game, and where its parties part if that was asked for.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    game: Dispute,
    #[serde(skip_serializing_if = "Option::is_none")]
    parting: Option<Parting>,
}

impl Show for Shown {
    fn table(&self) -> String {
        let game = &self.game;
        let coins = |wei| units::show(wei, &TokenInfo::coin());
        let clocks = &game.clocks;
        let mut rows = vec![
            ("game", game.id.to_string()),
            ("state", game.state.to_string()),
            ("deal", game.deal_id.to_string()),
            ("task", game.task.to_string()),
            (
                "about",
                match game.until {
                    0 => "the state in which it halts".to_owned(),
                    point => format!("an auditor's state at {point} cycles"),
                },
            ),
            ("provider", game.provider.to_string()),
            ("claims", game.asserted.to_string()),
            ("challenger", game.challenger.to_string()),
            ("asserts", game.halted.to_string()),
            ("bond", coins(game.bond)),
            (
                "sections",
                format!("{} of {}", game.sections_made, game.sections),
            ),
            (
                "in dispute",
                format!(
                    "{} steps from step {} (level {})",
                    game.segment.steps, game.segment.offset, game.segment.level
                ),
            ),
            (
                "clocks",
                format!(
                    "challenger {} s, provider {} s of {} s each{}{}",
                    clocks.challenger_left_s,
                    clocks.provider_left_s,
                    clocks.total_s,
                    if clocks.seated {
                        ""
                    } else {
                        "; it has no seat"
                    },
                    if clocks.overdue { "; run out" } else { "" },
                ),
            ),
        ];
        if let Some(mover) = game.mover {
            rows.push(("to move", mover.name().to_owned()));
        }
        if let Some(by_timeout) = game.by_timeout {
            let how = if by_timeout {
                "by a clock that ran out"
            } else {
                "by the proof of a step"
            };
            rows.push(("ended", how.to_owned()));
        }
        if let Some(verdict) = &game.verdict {
            let claim = if verdict.stands {
                "the claim stands".to_owned()
            } else {
                let winner = verdict.winner.map(|winner| winner.to_string());
                format!(
                    "the claim fell; {} is rewarded with {} base units",
                    winner.as_deref().unwrap_or("nobody"),
                    verdict.reward
                )
            };
            rows.push(("verdict", claim));
        }
        if let Some(payout) = &game.payout {
            rows.push((
                "paid out",
                format!(
                    "{} to the challenger, {} to the provider, {} burned",
                    coins(payout.to_challenger),
                    coins(payout.to_provider),
                    coins(payout.burned)
                ),
            ));
        }
        let mut text = pairs(&rows);
        text.push('\n');
        let moves: Vec<_> = game
            .moves
            .iter()
            .map(|made| {
                let transaction = &made.transaction;
                let gas = transaction.gas_used.map(|gas| gas.to_string());
                [
                    transaction.kind.clone(),
                    made.by.map_or("-", GameParty::name).to_owned(),
                    made.part
                        .map_or_else(|| "-".to_owned(), |part| part.to_string()),
                    made.at.to_string(),
                    transaction.block.to_string(),
                    gas.unwrap_or_else(|| "?".to_owned()),
                    transaction.hash.to_string(),
                ]
            })
            .collect();
        text.push_str(&columns(
            ["MOVE", "BY", "PART", "AT", "BLOCK", "GAS", "TRANSACTION"],
            &moves,
        ));
        if let Some(parting) = &self.parting {
            text.push('\n');
            text.push_str(&parting.table());
        }
        text
    }
}

impl Parting {
    fn table(&self) -> String {
        let right = match self.right {
            Some(GameParty::Challenger) => "the challenger: the claim is false",
            Some(GameParty::Provider) => "the provider: the claim is true",
            None => "neither: both assert what the machine does not give",
        };
        let steps = self.to_step.saturating_sub(self.from_step);
        let place = if steps == 1 {
            format!("at step {}", self.from_step)
        } else {
            format!(
                "between step {} and step {}, {steps} steps",
                self.from_step, self.to_step
            )
        };
        let mut rows = vec![
            ("right", right.to_owned()),
            ("halted", self.halted.to_string()),
            ("steps", self.trace_steps.to_string()),
            ("they part", place),
        ];
        match &self.step {
            Some(step) => rows.extend([
                ("function", step.function.clone()),
                ("instruction", step.instruction.clone()),
                ("pc", step.pc.to_string()),
                ("cycles", step.cycles.to_string()),
                ("state", step.state.to_string()),
                ("next state", step.next_state.to_string()),
            ]),
            None => rows.push(("function", "none: the machine has halted before".to_owned())),
        }
        pairs(&rows)
    }
}
