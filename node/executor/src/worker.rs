//! The worker's side: confine yourself, then answer requests until the node closes the pipe.

use std::io::{self, BufReader, Stdout, Write};
use std::process::ExitCode;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Progress;
use crate::cache::Cache;
use crate::engine::{Engine, Failure};
use crate::frame;
use crate::message::{Answer, Hello, Request};

/// Time between two signs of life of a running task.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Runs the worker on standard input and output. Call it before the process has started a thread,
/// opened a file or read its environment.
#[must_use]
pub fn worker_main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let mut stdin = BufReader::new(io::stdin());
    let Some(hello) = frame::read::<Hello>(&mut stdin)? else {
        return Ok(());
    };
    hello.confinement.apply(hello.parent)?;
    let cache = Cache::open(hello.cache.folder, hello.cache.bytes_max)?;
    let mut engine = Engine::new(cache).map_err(io::Error::other)?;

    // Reading has a thread of its own, so that the end of the pipe ends a running task as well.
    let (requests, waiting) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        while let Ok(Some(request)) = frame::read::<Request>(&mut stdin) {
            if requests.send(request).is_err() {
                break;
            }
        }
        std::process::exit(0);
    });

    let stdout = Arc::new(Mutex::new(io::stdout()));
    while let Ok(request) = waiting.recv() {
        let answer = match request {
            Request::Ping => Answer::Pong,
            Request::Prepare(prepare) => match engine.prepare(&prepare) {
                Ok(prepared) => Answer::Prepared(prepared),
                Err(failure) => failure.into(),
            },
            Request::Run(task) => {
                let _alive = Heartbeat::start(Arc::clone(&stdout));
                match engine.run(&task) {
                    Ok(halted) => Answer::Halted(halted),
                    Err(failure) => failure.into(),
                }
            }
        };
        send(&stdout, &answer)?;
    }
    Ok(())
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(message) => Self::Refused(message),
            Failure::Host(message) => Self::Failed(message),
        }
    }
}

fn send(stdout: &Mutex<Stdout>, answer: &Answer) -> io::Result<()> {
    let mut stdout = stdout.lock().unwrap_or_else(PoisonError::into_inner);
    frame::write(&mut *stdout, answer)?;
    stdout.flush()
}

/// Sends [`Progress`] until it is dropped.
struct Heartbeat {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Heartbeat {
    fn start(stdout: Arc<Mutex<Stdout>>) -> Self {
        let (stop, stopped) = mpsc::channel::<()>();
        let since = Instant::now();
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(PROGRESS_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                let elapsed_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                if send(&stdout, &Answer::Progress(Progress { elapsed_ms })).is_err() {
                    break;
                }
            }
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        // The last answer must be the last frame of its request.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
