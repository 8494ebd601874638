//! The node's side of a worker: start it, hand it one request at a time, kill it.
//!
//! A thread per worker starts the process and waits for its answers. It lives as long as the
//! worker does, which matters: the kernel's parent-death signal is tied to the thread that
//! started the child, and threads of an asynchronous runtime come and go.

use std::io::{self, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::sync::{mpsc, oneshot};

use crate::confine::Confinement;
use crate::frame;
use crate::message::CacheLimits;
use crate::message::{Answer, Hello, Request};
use crate::{EngineFailure, Halted, Prepare, Prepared, Progress, Task};

/// Most bytes of a dead worker's standard error that are quoted.
const LAST_WORDS_BYTES_MAX: u64 = 4096;
/// Answers that may wait for a slow reader before the worker is made to wait.
const ANSWERS_WAITING_MAX: usize = 16;

/// How workers are started.
#[derive(Debug, Clone)]
pub struct Executor {
    /// The program to start: this very binary in a node, with the hidden subcommand
    /// `executor-worker` as its only argument.
    pub program: PathBuf,
    /// What a worker may take from the host.
    pub confinement: Confinement,
    /// Where derived files are kept, and how many bytes of them.
    pub cache: CacheLimits,
}

impl Executor {
    /// Starts a worker and waits until it has confined itself.
    ///
    /// # Errors
    /// The process can't be started or can't be confined.
    pub async fn start(&self) -> Result<Worker, EngineFailure> {
        let (started, child) = oneshot::channel();
        let (requests, waiting) = std::sync::mpsc::channel();
        let executor = self.clone();
        std::thread::Builder::new()
            .name("worker".into())
            .spawn(move || serve(&executor, started, &waiting))
            .map_err(EngineFailure::Start)?;
        let child = child
            .await
            .map_err(|_| EngineFailure::Start(io::Error::other("the starting thread ended")))??;
        let mut worker = Worker { requests, child };
        match worker
            .ask(Request::Ping, Duration::from_secs(30), |_| ())
            .await?
        {
            Answer::Pong => Ok(worker),
            other => Err(other.unexpected()),
        }
    }
}

type Exchange = (Request, mpsc::Sender<Result<Answer, EngineFailure>>);

/// A running worker process. Dropping it kills the process.
#[derive(Debug)]
pub struct Worker {
    requests: std::sync::mpsc::Sender<Exchange>,
    child: Arc<Mutex<Child>>,
}

impl Worker {
    /// Links a program, checks it, and compiles it into the cache.
    ///
    /// # Errors
    /// [`EngineFailure::Refused`] when the program is not one that the machine accepts: the answer
    /// is the same on every node. Any other failure says nothing about the program.
    pub async fn prepare(
        &mut self,
        prepare: Prepare,
        wall_time_max: Duration,
    ) -> Result<Prepared, EngineFailure> {
        match self
            .ask(Request::Prepare(prepare), wall_time_max, |_| ())
            .await?
        {
            Answer::Prepared(prepared) => Ok(prepared),
            other => Err(other.unexpected()),
        }
    }

    /// Runs one task to its end. The output archive is written to `task.output`.
    ///
    /// # Errors
    /// An engine failure says that this host could not run the task, never what the task's result
    /// is; it must not be claimed. After [`EngineFailure::WallTime`] or [`EngineFailure::Died`]
    /// the worker is gone.
    pub async fn run(
        &mut self,
        task: Task,
        wall_time_max: Duration,
        progress: impl FnMut(Progress),
    ) -> Result<Halted, EngineFailure> {
        match self
            .ask(Request::Run(Box::new(task)), wall_time_max, progress)
            .await?
        {
            Answer::Halted(halted) => Ok(halted),
            other => Err(other.unexpected()),
        }
    }

    /// The worker's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        lock(&self.child).id()
    }

    async fn ask(
        &mut self,
        request: Request,
        wall_time_max: Duration,
        mut progress: impl FnMut(Progress),
    ) -> Result<Answer, EngineFailure> {
        let (answer, mut answers) = mpsc::channel(ANSWERS_WAITING_MAX);
        self.requests
            .send((request, answer))
            .map_err(|_| EngineFailure::Gone)?;
        let last = async {
            loop {
                match answers.recv().await.ok_or(EngineFailure::Gone)?? {
                    Answer::Progress(report) => progress(report),
                    Answer::Failed(message) => return Err(EngineFailure::Engine(message)),
                    Answer::Refused(message) => return Err(EngineFailure::Refused(message)),
                    last => return Ok(last),
                }
            }
        };
        if let Ok(last) = tokio::time::timeout(wall_time_max, last).await {
            return last;
        }
        kill(&self.child);
        Err(EngineFailure::WallTime(wall_time_max))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        kill(&self.child);
    }
}

/// The worker's thread.
fn serve(
    executor: &Executor,
    started: oneshot::Sender<Result<Arc<Mutex<Child>>, EngineFailure>>,
    waiting: &std::sync::mpsc::Receiver<Exchange>,
) {
    let (child, mut stdin, mut stdout) = match start(executor) {
        Ok(parts) => parts,
        Err(error) => {
            let _ = started.send(Err(EngineFailure::Start(error)));
            return;
        }
    };
    let child = Arc::new(Mutex::new(child));
    if started.send(Ok(Arc::clone(&child))).is_err() {
        end(&child, Duration::ZERO);
        return;
    }
    while let Ok((request, answers)) = waiting.recv() {
        if let Err(error) = exchange(&request, &mut stdin, &mut stdout, &answers) {
            drop(stdin);
            let failure =
                end(&child, Duration::from_secs(1)).unwrap_or(EngineFailure::Start(error));
            let _ = answers.blocking_send(Err(failure));
            return;
        }
    }
    end(&child, Duration::ZERO);
}

fn start(executor: &Executor) -> io::Result<(Child, ChildStdin, impl Read + use<>)> {
    let mut child = Command::new(&executor.program)
        .arg(crate::WORKER_SUBCOMMAND)
        .env_clear()
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("the worker has no pipes"));
    };
    let hello = Hello {
        parent: std::process::id(),
        confinement: executor.confinement.clone(),
        cache: executor.cache.clone(),
    };
    // A worker that died at once is reported by the first exchange, with its exit status.
    let _ = frame::write(&mut stdin, &hello);
    Ok((child, stdin, BufReader::new(stdout)))
}

/// Sends one request and passes answers on until the last one.
fn exchange(
    request: &Request,
    stdin: &mut ChildStdin,
    stdout: &mut impl Read,
    answers: &mpsc::Sender<Result<Answer, EngineFailure>>,
) -> io::Result<()> {
    frame::write(stdin, request)?;
    loop {
        let answer: Answer = frame::read(&mut *stdout)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let is_last = !matches!(answer, Answer::Progress(_));
        // Nobody listens any more when the caller gave up; the worker is killed by its owner then.
        let _ = answers.blocking_send(Ok(answer));
        if is_last {
            return Ok(());
        }
    }
}

/// Makes sure that the process is dead, and says how it died. A process whose pipes have closed is
/// given a moment to end by itself, so that the real reason is reported.
fn end(child: &Mutex<Child>, patience: Duration) -> Option<EngineFailure> {
    let deadline = Instant::now() + patience;
    let mut child = lock(child);
    let status: ExitStatus = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                kill_locked(&child);
                break child.wait().ok()?;
            }
        }
    };
    let mut last_words = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr
            .take(LAST_WORDS_BYTES_MAX)
            .read_to_end(&mut last_words);
    }
    let last_words = String::from_utf8_lossy(&last_words).trim().to_owned();
    Some(EngineFailure::Died {
        status: status.to_string(),
        last_words,
    })
}

fn kill(child: &Mutex<Child>) {
    let mut child = lock(child);
    // A process that was waited for has given its id back to the kernel; it must not be signalled.
    if matches!(child.try_wait(), Ok(None)) {
        kill_locked(&child);
    }
}

fn kill_locked(child: &Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}
