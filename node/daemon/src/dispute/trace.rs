//! The traces of the tasks in dispute: one for all games about a task, and a bounded number of
//! interpreters for all of them.
//!
//! A game is lost when its clock runs out, and a task may run for hours. So an interpreter belongs to a
//! run for a slice at a time, and goes to the run that some game needs first (earliest deadline first,
//! which meets all deadlines if any order does). What a trace remembers is answered without one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy::primitives::B256;
use outcry_executor::{Cache, CacheLimits, EngineFailure, Prepare};
use outcry_protocol::types::JobSpec;
use outcry_verifier::audit::PointStates;
use outcry_verifier::game::{Fault, MachineTrace, TaskStart, Trace, Watch};
use outcry_verifier::machine::{Archive, CommittedProgram, Point};
use outcry_verifier::task::{RunLimits, TaskHeader};
use tokio::sync::{OwnedMutexGuard, oneshot};

use crate::inputs::Inputs;
use crate::turns::{Turn, Turns};

const MIB: u64 = 1 << 20;

/// Why a task has no trace on this host. Says nothing about the task.
#[derive(Debug, thiserror::Error)]
pub enum TraceProblem {
    /// The program could not be linked.
    #[error(transparent)]
    Engine(#[from] EngineFailure),
    /// The input could not be read, or there is no thread.
    #[error("{0}")]
    Disk(#[from] io::Error),
    /// The job has limits that the machine does not take; it should have been refused.
    #[error("{0}")]
    Limits(String),
    /// The interpreter could not go on, or was told to stop.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The interpreter's thread ended without an answer.
    #[error("the interpreter ended without an answer")]
    Gone,
}

/// A task in dispute, with its bytes on disk.
#[derive(Debug)]
pub struct Subject {
    /// The job.
    pub job: JobSpec,
    /// Index of the task in it.
    pub task: u32,
    /// Its program and its input archive, the only one in `inputs`.
    pub inputs: Inputs,
}

/// A trace that an interpreter's thread can take along.
pub type TaskTrace = Box<dyn Trace + Send>;

/// What traces tasks. [`Interpreter`] is the only one that the product has; a test network may put
/// another around it, to see what becomes of a party that asserts false states.
pub trait Tracer: std::fmt::Debug + Send + Sync {
    /// The trace of a task up to a point, or to the halt, before anything is run. Blocks while the
    /// program is linked. `watch` is asked before each slice of the run whether to go on, and may block.
    ///
    /// # Errors
    /// [`TraceProblem`].
    fn open(
        &self,
        subject: &Subject,
        until: Option<Point>,
        watch: Watch,
    ) -> Result<TaskTrace, TraceProblem>;

    /// The states of a task at these points, in one run. Blocks until it is made.
    ///
    /// # Errors
    /// [`TraceProblem`].
    fn states_at(
        &self,
        subject: &Subject,
        points: Vec<Point>,
        watch: Watch,
    ) -> Result<Vec<B256>, TraceProblem>;

    /// What the state in which a task starts follows from: a challenge names it. Blocks.
    ///
    /// # Errors
    /// [`TraceProblem`].
    fn start(&self, subject: &Subject) -> Result<TaskStart, TraceProblem>;
}

/// The machine's interpreter, on programs of the executor's cache.
#[derive(Debug, Clone)]
pub struct Interpreter {
    /// Where linked programs are kept.
    pub cache: CacheLimits,
    /// Most bytes that the snapshots of one trace take.
    pub snapshot_bytes: u64,
}

impl Interpreter {
    fn program(&self, subject: &Subject) -> Result<CommittedProgram, TraceProblem> {
        let cache = Cache::open(&self.cache.folder, self.cache.bytes_max)?;
        let program = &subject.inputs.program;
        let (_, committed) = cache.machine(&Prepare {
            program: program.path.clone(),
            program_hash: program.hash,
        })?;
        Ok(committed)
    }
}

impl Tracer for Interpreter {
    fn open(
        &self,
        subject: &Subject,
        until: Option<Point>,
        watch: Watch,
    ) -> Result<TaskTrace, TraceProblem> {
        let program = self.program(subject)?;
        let (archive, archive_bytes) = subject.archive()?;
        let job = &subject.job;
        let header = TaskHeader::of(job, subject.task, archive_bytes);
        let limits = RunLimits::of(job);
        let snapshots = self.snapshot_bytes;
        let trace =
            MachineTrace::start(Arc::new(program), header, limits, archive, snapshots, watch)
                .map_err(|error| TraceProblem::Limits(error.to_string()))?;
        Ok(Box::new(trace.until(until)))
    }

    fn states_at(
        &self,
        subject: &Subject,
        points: Vec<Point>,
        watch: Watch,
    ) -> Result<Vec<B256>, TraceProblem> {
        let program = self.program(subject)?;
        let (archive, archive_bytes) = subject.archive()?;
        let job = &subject.job;
        let header = TaskHeader::of(job, subject.task, archive_bytes);
        let limits = RunLimits::of(job);
        let mut run = PointStates::start(Arc::new(program), header, limits, archive, points, watch)
            .map_err(|error| TraceProblem::Limits(error.to_string()))?;
        Ok(run.states()?)
    }

    fn start(&self, subject: &Subject) -> Result<TaskStart, TraceProblem> {
        let program = self.program(subject)?;
        let (mut archive, archive_bytes) = subject.archive()?;
        Ok(TaskStart::of(&program, &mut archive, archive_bytes)?)
    }
}

impl Subject {
    /// The input archive and its bytes.
    ///
    /// # Errors
    /// It can't be opened.
    pub fn archive(&self) -> io::Result<(InputArchive, u64)> {
        let archive = self.inputs.archives.first();
        let archive = archive.ok_or_else(|| io::Error::other("the task has no input"))?;
        let file = File::open(&archive.path)?;
        let length = file.metadata()?.len();
        Ok((InputArchive(file), length))
    }
}

/// An input archive on disk.
#[derive(Debug)]
pub struct InputArchive(File);

impl Archive for InputArchive {
    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(into, offset)
    }
}

/// A task in dispute, by the hash of its job and its index there, and the point up to which its trace
/// goes: 0 for the halt, as in the key of a game.
pub(crate) type TaskId = (B256, u32, u64);

/// A trace that was opened, and what its task was opened with.
struct Opened {
    trace: TaskTrace,
    /// Keeps the blobs on disk.
    _subject: Subject,
}

/// Where a task's trace is, or is going to be. Who asks it holds the lock.
type Place = Arc<tokio::sync::Mutex<Option<Opened>>>;

/// One task's place among the traces.
struct Slot {
    opened: Place,
    /// When it was asked last, in questions.
    asked: u64,
    pace: Arc<Pace>,
}

/// When one task's run goes on: while it has one of the interpreters.
struct Pace {
    interpreters: Turns,
    run: Mutex<Run>,
}

#[derive(Default)]
struct Run {
    /// By when who asks needs an answer, by question.
    due: BTreeMap<u64, u64>,
    turn: Option<Turn>,
    /// Place among the runs that wait for an interpreter.
    waits: Option<(u64, u64)>,
    /// Nobody asks any more.
    is_over: bool,
}

impl Run {
    fn due(&self) -> u64 {
        self.due.values().min().copied().unwrap_or(u64::MAX)
    }
}

/// Somebody who asks; the run hurries for his sake as long as this lives.
struct Asker {
    pace: Arc<Pace>,
    question: u64,
}

impl Pace {
    fn new(interpreters: Turns) -> Self {
        Self {
            interpreters,
            run: Mutex::default(),
        }
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody needs an answer by then.
    fn asked(self: &Arc<Self>, question: u64, due: u64) -> Asker {
        let mut run = self.run();
        run.due.insert(question, due);
        if let Some(place) = run.waits {
            run.waits = self.interpreters.hurry(place, due);
        }
        drop(run);
        Asker {
            pace: Arc::clone(self),
            question,
        }
    }

    /// Blocks until the run may make its next slice; `Break` if it is over.
    fn go_on(&self) -> ControlFlow<()> {
        let mut run = self.run();
        if run.is_over {
            return ControlFlow::Break(());
        }
        let due = run.due();
        if run.turn.is_some() && !self.interpreters.is_wanted_before(due) {
            return ControlFlow::Continue(());
        }
        run.turn = None;
        let waiting = self.interpreters.wait(due);
        run.waits = Some(waiting.place());
        drop(run);
        let turn = waiting.block();
        let mut run = self.run();
        (run.turn, run.waits) = (turn, None);
        if run.turn.is_none() || run.is_over {
            run.turn = None;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// The question is answered.
    fn rest(&self) {
        self.run().turn = None;
    }

    fn stop(&self) {
        let mut run = self.run();
        run.is_over = true;
        if let Some(place) = run.waits {
            self.interpreters.dismiss(place);
        }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.pace.run().due.remove(&self.question);
    }
}

/// The traces of all tasks in dispute.
pub(crate) struct Traces {
    tracer: Arc<dyn Tracer>,
    slots: Mutex<BTreeMap<TaskId, Slot>>,
    interpreters: Turns,
    questions: AtomicU64,
    /// Tasks that keep their traces; those of others are made anew when they are asked for. One that is
    /// being asked is kept beside them while others go first: as many as own games have tasks.
    kept_max: usize,
}

impl std::fmt::Debug for Traces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Traces").finish_non_exhaustive()
    }
}

/// Tasks whose traces are kept at once: as many as games have a seat.
const TASKS_MAX: u64 = 32;
/// Least bytes of snapshots with which a trace is worth keeping.
const SNAPSHOT_BYTES_MIN: u64 = 64 * MIB;

/// How the memory for traces is shared out: tasks that keep one, and bytes of snapshots for each.
#[must_use]
pub(crate) fn shares(memory_mib_max: u64) -> (usize, u64) {
    let bytes = memory_mib_max.saturating_mul(MIB);
    let tasks = (bytes / SNAPSHOT_BYTES_MIN).clamp(1, TASKS_MAX);
    (tasks as usize, bytes / tasks)
}

impl Traces {
    pub(crate) fn new(tracer: Arc<dyn Tracer>, interpreters: usize, kept_max: usize) -> Self {
        Self {
            tracer,
            slots: Mutex::default(),
            interpreters: Turns::new(interpreters),
            questions: AtomicU64::new(0),
            kept_max,
        }
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<TaskId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the tasks that no running game is about, and stops their interpreters.
    pub(crate) fn keep_only(&self, tasks: &BTreeSet<TaskId>) {
        self.slots().retain(|task, slot| {
            let stays = tasks.contains(task);
            if !stays {
                slot.pace.stop();
            }
            stays
        });
    }

    /// Asks a task's trace, on a thread of its own, when nobody else asks the same trace. The answer is
    /// needed by `due` (Unix seconds). `subject` is called when the trace is not there.
    pub(crate) async fn ask<T: Send + 'static, E: From<TraceProblem>>(
        &self,
        task: TaskId,
        due: u64,
        subject: impl Future<Output = Result<Subject, E>>,
        question: impl FnOnce(&mut Questioned<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, E> {
        let question_number = self.questions.fetch_add(1, Ordering::Relaxed);
        let (place, pace) = self.place(task, question_number);
        let _asker = pace.asked(question_number, due);
        let mut place = place.lock_owned().await;
        let subject = match *place {
            Some(_) => None,
            None => Some(subject.await?),
        };
        let tracer = Arc::clone(&self.tracer);
        let (told, answer) = oneshot::channel();
        // Not a thread of the runtime: that one would wait for it when the node stops.
        std::thread::Builder::new()
            .name("interpreter".into())
            .spawn(move || {
                let opening = subject.map(|subject| (subject, Point::new(task.2)));
                let answer = answer_with(&mut place, opening, tracer.as_ref(), &pace, question);
                pace.rest();
                drop(place);
                // The game may be over, and nobody waits.
                let _ = told.send(answer);
            })
            .map_err(|error| E::from(TraceProblem::Disk(error)))?;
        answer
            .await
            .map_err(|_| E::from(TraceProblem::Gone))?
            .map_err(E::from)
    }

    /// The states of a task at some points, in one run on a thread of its own, by `due` (Unix seconds).
    /// It goes on while `is_wanted`.
    pub(crate) async fn states_at(
        &self,
        due: u64,
        subject: Subject,
        points: Vec<Point>,
        is_wanted: impl Fn() -> bool + Send + 'static,
    ) -> Result<Vec<B256>, TraceProblem> {
        let pace = Arc::new(Pace::new(self.interpreters.clone()));
        let asker = pace.asked(0, due);
        let tracer = Arc::clone(&self.tracer);
        let (told, answer) = oneshot::channel();
        // As for `ask`.
        std::thread::Builder::new()
            .name("interpreter".into())
            .spawn(move || {
                let own = Arc::clone(&pace);
                let go_on = move || {
                    if is_wanted() {
                        own.go_on()
                    } else {
                        ControlFlow::Break(())
                    }
                };
                let states = if go_on().is_break() {
                    Err(Fault::Interrupted.into())
                } else {
                    tracer.states_at(&subject, points, Box::new(move |_| go_on()))
                };
                drop(asker);
                pace.rest();
                let _ = told.send(states);
            })?;
        answer.await.map_err(|_| TraceProblem::Gone)?
    }

    /// A task's place; makes room by dropping the traces that were asked longest ago.
    fn place(&self, task: TaskId, asked: u64) -> (Place, Arc<Pace>) {
        let mut slots = self.slots();
        let slot = slots.entry(task).or_insert_with(|| Slot {
            opened: Arc::default(),
            asked,
            pace: Arc::new(Pace::new(self.interpreters.clone())),
        });
        slot.asked = asked;
        let found = (Arc::clone(&slot.opened), Arc::clone(&slot.pace));
        let is_there = |slot: &Slot| slot.opened.try_lock().map_or(true, |trace| trace.is_some());
        if slots.get(&task).is_some_and(is_there) {
            return found;
        }
        let mut by_age: Vec<_> = slots.iter().map(|(id, slot)| (slot.asked, *id)).collect();
        by_age.sort_unstable();
        // One that is being asked is there, or will be.
        let mut kept = slots.values().filter(|slot| is_there(slot)).count();
        for (_, id) in by_age {
            if kept < self.kept_max {
                break;
            }
            if let Some(slot) = slots.get(&id)
                && let Ok(mut idle) = slot.opened.try_lock()
                && idle.take().is_some()
            {
                kept -= 1;
            }
        }
        found
    }
}

/// A trace that is being asked.
pub(crate) struct Questioned<'t>(&'t mut TaskTrace);

impl Trace for Questioned<'_> {
    fn state(&mut self, step: u64) -> Result<B256, Fault> {
        self.0.state(step)
    }

    fn prove(&mut self, step: u64) -> Result<Vec<B256>, Fault> {
        self.0.prove(step)
    }
}

fn answer_with<T>(
    place: &mut OwnedMutexGuard<Option<Opened>>,
    opening: Option<(Subject, Option<Point>)>,
    tracer: &dyn Tracer,
    pace: &Arc<Pace>,
    question: impl FnOnce(&mut Questioned<'_>) -> Result<T, Fault>,
) -> Result<T, TraceProblem> {
    if let Some((subject, until)) = opening {
        // Linking a program takes a core, too.
        if pace.go_on().is_break() {
            return Err(Fault::Interrupted.into());
        }
        let own = Arc::clone(pace);
        let watch: Watch = Box::new(move |_| own.go_on());
        let trace = tracer.open(&subject, until, watch)?;
        **place = Some(Opened {
            trace,
            _subject: subject,
        });
    }
    let opened = place.as_mut().ok_or(TraceProblem::Gone)?;
    Ok(question(&mut Questioned(&mut opened.trace))?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::example;
    use crate::node::Node;
    use outcry_sdk::{Engine, Job, JobBuilder, Limits};

    /// `(module (memory 1) (func (export "_start")) )`, with this body of the function.
    fn module(body: &[u8]) -> Vec<u8> {
        let mut bytes = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x03\x01\0\x01\x07\x13\x02\x06memory\x02\0\x06_start\0\0\x0a".to_vec();
        let length = body.len() as u8;
        bytes.extend([length + 2, 1, length]);
        bytes.extend(body);
        bytes
    }

    const RETURNS: &[u8] = b"\0\x0b";
    const NEVER_ENDS: &[u8] = b"\0\x03\x40\x0c\0\x0b\x0b";

    fn job(body: &[u8], cycles: u64) -> Job {
        let limits = Limits {
            cycles,
            memory_mib: 16,
            output_bytes: 1 << 16,
            ..Limits::default()
        };
        let job = JobBuilder::wasm("p", module(body)).tasks(2).limits(limits);
        job.build(B256::ZERO).unwrap()
    }

    /// A node that has the job's blobs.
    async fn node(job: &Job) -> (Arc<Node>, tempfile::TempDir) {
        let (mut node, folder) = example::gateway().await;
        Arc::get_mut(&mut node).unwrap().fetcher.blob_bytes_max = 1 << 20;
        put(&node, job).await;
        (node, folder)
    }

    async fn put(node: &Node, job: &Job) {
        let inputs = (0..2).map(|task| job.input(task).unwrap().to_vec());
        let blobs = [job.program().to_vec(), job.manifest().to_bytes()];
        for blob in blobs.into_iter().chain(inputs) {
            node.blobs().put(blob.as_slice(), 1 << 20).await.unwrap();
        }
    }

    async fn subject(node: &Node, job: &Job, task: u32) -> Result<Subject, TraceProblem> {
        let holder = B256::repeat_byte(7);
        let range = task..task + 1;
        let inputs = node.fetcher.inputs(job.spec(), range, holder).await;
        Ok(Subject {
            job: job.spec().clone(),
            task,
            inputs: inputs.unwrap(),
        })
    }

    /// The product's own, with a count of what it opens.
    #[derive(Debug)]
    struct Counting(Interpreter, AtomicUsize);

    impl Tracer for Counting {
        fn open(
            &self,
            subject: &Subject,
            until: Option<Point>,
            watch: Watch,
        ) -> Result<TaskTrace, TraceProblem> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.open(subject, until, watch)
        }

        fn states_at(
            &self,
            subject: &Subject,
            points: Vec<Point>,
            watch: Watch,
        ) -> Result<Vec<B256>, TraceProblem> {
            self.0.states_at(subject, points, watch)
        }

        fn start(&self, subject: &Subject) -> Result<TaskStart, TraceProblem> {
            self.0.start(subject)
        }
    }

    fn counting(folder: &tempfile::TempDir) -> Arc<Counting> {
        let cache = CacheLimits {
            folder: folder.path().join("images"),
            bytes_max: 1 << 30,
        };
        let interpreter = Interpreter {
            cache,
            snapshot_bytes: 1 << 20,
        };
        Arc::new(Counting(interpreter, AtomicUsize::new(0)))
    }

    fn ends(trace: &mut Questioned<'_>) -> Result<(B256, B256), Fault> {
        Ok((trace.state(0)?, trace.state(u64::MAX)?))
    }

    #[tokio::test]
    async fn one_trace_serves_all_games_about_a_task_and_is_the_machines() {
        let job = job(RETURNS, 1 << 20);
        let (node, folder) = node(&job).await;
        let tracer = counting(&folder);
        let traces = Traces::new(Arc::clone(&tracer) as _, 2, 2);
        let asked =
            (0..8).map(|_| traces.ask((job.hash(), 1, 0), 0, subject(&node, &job, 1), ends));
        let answers = futures::future::try_join_all(asked).await.unwrap();
        let mut machine = Engine::machine(&job, 1).unwrap();
        let first = machine.commit().unwrap();
        machine.run().unwrap();
        let last = machine.commit().unwrap();
        assert_eq!(answers, [(first, last); 8]);
        assert_eq!(tracer.1.load(Ordering::Relaxed), 1);
        let start = tracer.start(&subject(&node, &job, 1).await.unwrap());
        let archive = job.input(1).unwrap();
        assert_eq!(start.unwrap().archive_bytes, archive.len() as u64);
    }

    #[tokio::test]
    async fn the_states_at_points_are_those_that_games_about_them_are_about() {
        let job = job(RETURNS, 1 << 20);
        let (node, folder) = node(&job).await;
        let traces = Traces::new(counting(&folder), 1, 1);
        let points: Vec<Point> = [1 << 30, 1, 3].into_iter().filter_map(Point::new).collect();
        let found = traces.states_at(
            0,
            subject(&node, &job, 1).await.unwrap(),
            points.clone(),
            || true,
        );
        let found = found.await.unwrap();
        for (point, state) in points.iter().zip(&found) {
            let task = (job.hash(), 1, point.get());
            let asked = traces.ask(task, 0, subject(&node, &job, 1), ends);
            assert_eq!(asked.await.unwrap().1, *state);
        }
        assert_ne!(found[0], found[1]);
        let unwanted =
            traces.states_at(0, subject(&node, &job, 1).await.unwrap(), points, || false);
        unwanted.await.unwrap_err();
        assert_eq!(traces.interpreters.free(), 1);
    }

    #[tokio::test]
    async fn a_trace_that_found_no_room_is_made_again_when_it_is_asked() {
        let job = job(RETURNS, 1 << 20);
        let (node, folder) = node(&job).await;
        let tracer = counting(&folder);
        let traces = Traces::new(Arc::clone(&tracer) as _, 2, 1);
        let mut answers = Vec::new();
        for (task, opened) in [(0, 1), (0, 1), (1, 2), (1, 2), (0, 3)] {
            let asked = traces.ask((job.hash(), task, 0), 0, subject(&node, &job, task), ends);
            answers.push(asked.await.unwrap());
            assert_eq!(tracer.1.load(Ordering::Relaxed), opened);
        }
        assert_eq!(answers[0], answers[4]);
    }

    #[tokio::test]
    async fn an_interpreter_stops_when_no_game_is_about_its_task_any_more() {
        let job = job(NEVER_ENDS, 1 << 44);
        let (node, folder) = node(&job).await;
        let traces = Traces::new(counting(&folder), 1, 1);
        let task = (job.hash(), 0, 0);
        let asked = traces.ask(task, 0, subject(&node, &job, 0), ends);
        let over = async {
            // Once it has begun.
            while traces.interpreters.free() > 0 {
                tokio::task::yield_now().await;
            }
            traces.keep_only(&BTreeSet::from([task]));
            traces.keep_only(&BTreeSet::new());
        };
        let (answer, ()) = tokio::join!(asked, over);
        let stopped = answer.unwrap_err();
        assert!(
            matches!(stopped, TraceProblem::Fault(Fault::Interrupted)),
            "{stopped}"
        );
        assert!(traces.slots().is_empty());
    }

    #[tokio::test]
    async fn a_game_whose_clock_ends_first_does_not_wait_for_a_long_run_of_another() {
        let (long, short) = (job(NEVER_ENDS, 1 << 44), job(RETURNS, 1 << 20));
        let (node, folder) = node(&long).await;
        put(&node, &short).await;
        let traces = Traces::new(counting(&folder), 1, 2);
        let running = traces.ask((long.hash(), 0, 0), 1000, subject(&node, &long, 0), ends);
        let others = async {
            while traces.interpreters.free() > 0 {
                tokio::task::yield_now().await;
            }
            let task = (short.hash(), 0, 0);
            let hurried = traces.ask(task, 500, subject(&node, &short, 0), ends);
            let first = hurried.await.unwrap();
            // What is known needs no interpreter, so that it need not be due first.
            let known = traces.ask(task, 2000, subject(&node, &short, 0), ends);
            assert_eq!(known.await.unwrap(), first);
            // Due after the long run, another one waits until somebody needs it earlier.
            let other = (short.hash(), 1, 0);
            let late = traces.ask(other, 2000, subject(&node, &short, 1), ends);
            let joined = async {
                while traces.interpreters.waiting() == 0 {
                    tokio::task::yield_now().await;
                }
                traces
                    .ask(other, 500, subject(&node, &short, 1), ends)
                    .await
            };
            let (late, joined) = tokio::join!(late, joined);
            assert_eq!(late.unwrap(), joined.unwrap());
            traces.keep_only(&BTreeSet::new());
        };
        let all = async { tokio::join!(running, others).0 };
        let limit = std::time::Duration::from_secs(60);
        let stopped = tokio::time::timeout(limit, all).await.unwrap();
        assert!(stopped.is_err(), "it never ends");
    }

    #[tokio::test]
    async fn a_run_that_waits_for_an_interpreter_stops_with_its_game() {
        let job = job(NEVER_ENDS, 1 << 44);
        let (node, folder) = node(&job).await;
        let traces = Traces::new(counting(&folder), 1, 2);
        let asked = |task| traces.ask((job.hash(), task, 0), 9, subject(&node, &job, task), ends);
        let over = async {
            while traces.interpreters.waiting() == 0 {
                tokio::task::yield_now().await;
            }
            traces.keep_only(&BTreeSet::new());
        };
        let (first, second, ()) = tokio::join!(asked(0), asked(1), over);
        assert!(first.is_err() && second.is_err());
        assert_eq!(traces.interpreters.free(), 1);
    }

    #[test]
    fn the_memory_for_traces_is_shared_out_among_as_many_tasks_as_it_suffices_for() {
        assert_eq!(shares(0), (1, 0));
        assert_eq!(shares(64), (1, 64 * MIB));
        assert_eq!(shares(1024), (16, 64 * MIB));
        assert_eq!(shares(4096), (32, 128 * MIB));
    }
}
