//! A worker as the node sees it: it runs tasks, keeps its limits, and never outlives anybody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy_primitives::B256;
use outcry_executor::{CacheLimits, Confinement, EngineFailure, Executor, Prepare, Task, Worker};
use outcry_protocol::status::Status;

const MINUTE: Duration = Duration::from_secs(60);

/// Writes its one-page memory's first bytes to stdout and exits with code 7.
const HELLO: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\05\00\00\00")
  (data (i32.const 16) "hello")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $exit (i32.const 7))))"#;
const ENDLESS: &str =
    r#"(module (memory (export "memory") 1) (func (export "_start") (loop (br 0))))"#;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn executor(&self) -> Executor {
        Executor {
            program: env!("CARGO_BIN_EXE_outcry-executor-worker").into(),
            confinement: Confinement {
                data_bytes: 4 << 30,
                cpu_s: 60,
                file_bytes: 1 << 30,
                open_files: 64,
            },
            cache: CacheLimits {
                folder: self.path("cache"),
                bytes_max: 1 << 30,
            },
        }
    }

    fn program(&self, text: &str) -> Prepare {
        let bytes = wat::parse_str(text).unwrap();
        let hash = blake3::hash(&bytes);
        let path = self.path(&hash.to_hex());
        std::fs::write(&path, bytes).unwrap();
        Prepare {
            program: path,
            program_hash: B256::from(*hash.as_bytes()),
        }
    }

    fn task(&self, program: Prepare) -> Task {
        let input = self.path("input.tar");
        std::fs::write(&input, [0; 1024]).unwrap();
        Task {
            program,
            job_hash: B256::repeat_byte(1),
            task: 0,
            tasks: 1,
            input,
            output: self.path("output.tar"),
            cycle_limit: 1 << 40,
            page_limit: 256,
            slot_limit: 1 << 16,
            output_limit: 1 << 20,
        }
    }
}

async fn start(executor: &Executor) -> Worker {
    executor.start().await.expect("the worker starts")
}

/// Whether a process is there and not a zombie.
fn is_alive(id: u32) -> bool {
    std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("stat")).is_ok_and(
        |stat| {
            !stat
                .rsplit(')')
                .next()
                .unwrap_or("")
                .trim_start()
                .starts_with('Z')
        },
    )
}

/// Waits until the kernel has carried a kill out.
async fn ends(id: u32) {
    let gone = async {
        while is_alive(id) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("the process ends");
}

#[tokio::test]
async fn a_task_gives_its_status_its_output_and_the_hash_of_it() {
    let bench = Bench::new();
    let mut worker = start(&bench.executor()).await;
    let program = bench.program(HELLO);
    let prepared = worker.prepare(program.clone(), MINUTE).await.unwrap();
    let module = std::fs::read(&program.program).unwrap();
    assert_eq!(
        prepared.image_root,
        outcry_verifier::link::link(&module).unwrap().root()
    );
    let task = bench.task(program);
    let halted = worker.run(task.clone(), MINUTE, |_| ()).await.unwrap();
    assert_eq!(
        (halted.outcome.status, halted.outcome.exit_code),
        (Status::Exited, 7)
    );
    let output = std::fs::read(&task.output).unwrap();
    assert_eq!(
        B256::from(*blake3::hash(&output).as_bytes()),
        halted.output_hash
    );
    assert_eq!(output.len() as u64, halted.outcome.output_length);
    assert!(output.windows(5).any(|window| window == b"hello"));
    let again = start(&bench.executor())
        .await
        .run(task, MINUTE, |_| ())
        .await
        .unwrap();
    assert_eq!(
        again, halted,
        "a second worker, with the code from the cache, says the same"
    );
}

#[tokio::test]
async fn a_program_that_never_ends_runs_out_of_cycles() {
    let bench = Bench::new();
    let mut worker = start(&bench.executor()).await;
    let task = Task {
        cycle_limit: 1_000_000,
        ..bench.task(bench.program(ENDLESS))
    };
    let halted = worker.run(task.clone(), MINUTE, |_| ()).await.unwrap();
    assert_eq!(halted.outcome.status, Status::OutOfCycles);
    assert_eq!(std::fs::metadata(&task.output).unwrap().len(), 0);
}

#[tokio::test]
async fn the_wall_time_limit_stops_the_worker_and_says_nothing_about_the_task() {
    let bench = Bench::new();
    let mut worker = start(&bench.executor()).await;
    let id = worker.id();
    let program = bench.program(ENDLESS);
    worker.prepare(program.clone(), MINUTE).await.unwrap();
    let task = bench.task(program);
    let failure = worker
        .run(task.clone(), Duration::from_millis(700), |_| ())
        .await
        .unwrap_err();
    assert!(matches!(failure, EngineFailure::WallTime(_)), "{failure}");
    ends(id).await;
    let failure = worker.run(task, MINUTE, |_| ()).await.unwrap_err();
    assert!(
        matches!(failure, EngineFailure::Gone | EngineFailure::Died { .. }),
        "{failure}"
    );
}

#[tokio::test]
async fn a_running_task_shows_signs_of_life() {
    let bench = Bench::new();
    let mut worker = start(&bench.executor()).await;
    let task = bench.task(bench.program(ENDLESS));
    let mut reports = Vec::new();
    worker
        .run(task, Duration::from_millis(1800), |report| {
            reports.push(report.elapsed_ms)
        })
        .await
        .unwrap_err();
    assert!(reports.len() >= 2 && reports.is_sorted(), "{reports:?}");
}

#[tokio::test]
async fn a_program_that_the_machine_does_not_accept_is_refused_by_name() {
    let bench = Bench::new();
    let mut worker = start(&bench.executor()).await;
    let program = bench
        .program(r#"(module (import "env" "mystery" (func)) (func (export "_start") (call 0)))"#);
    let failure = worker.prepare(program, MINUTE).await.unwrap_err();
    assert!(
        matches!(&failure, EngineFailure::Refused(why) if why.contains("mystery")),
        "{failure}"
    );
    worker
        .prepare(bench.program(HELLO), MINUTE)
        .await
        .expect("the worker lives on");
}

#[tokio::test]
async fn dropping_a_worker_kills_its_process() {
    let bench = Bench::new();
    let worker = start(&bench.executor()).await;
    let id = worker.id();
    assert!(is_alive(id));
    drop(worker);
    ends(id).await;
}

#[tokio::test]
async fn a_worker_that_may_not_have_enough_memory_fails_without_a_claim() {
    let bench = Bench::new();
    let mut executor = bench.executor();
    executor.confinement.data_bytes = 48 << 20;
    let outcome = match executor.start().await {
        Ok(mut worker) => worker
            .run(bench.task(bench.program(HELLO)), MINUTE, |_| ())
            .await
            .map(|_| ()),
        Err(failure) => Err(failure),
    };
    let failure = outcome.unwrap_err();
    assert!(!matches!(failure, EngineFailure::Refused(_)), "{failure}");
}

/// This very test, started again as a node of its own: it starts a worker, prints the worker's id
/// and is then killed as `kill -9` would.
#[test]
fn a_worker_dies_with_its_node_even_in_the_middle_of_a_task() {
    const NODE: &str = "OUTCRY_TEST_NODE";
    if let Ok(folder) = std::env::var(NODE) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let bench = Bench {
                folder: tempfile::tempdir_in(folder).unwrap(),
            };
            let mut worker = start(&bench.executor()).await;
            let program = bench.program(ENDLESS);
            worker.prepare(program.clone(), MINUTE).await.unwrap();
            let id = worker.id();
            worker
                .run(bench.task(program), MINUTE, |_| println!("worker {id}"))
                .await
                .unwrap();
        });
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut node = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_worker_dies_with_its_node_even_in_the_middle_of_a_task",
            "--nocapture",
        ])
        .env(NODE, folder.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(node.stdout.take().unwrap()));
    let id = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("worker ")?.parse::<u32>().ok());
    let id = id.expect("the node reports its worker once the task runs");
    assert!(is_alive(id));
    node.kill().unwrap();
    node.wait().unwrap();
    let since = std::time::Instant::now();
    while is_alive(id) {
        assert!(
            since.elapsed() < Duration::from_secs(10),
            "the worker outlives its node"
        );
        std::thread::yield_now();
    }
}
