//! The demo: five jobs on a network of real processes, driven by the command line as a buyer would
//! drive it. It is also a check: whatever does not come out right ends it with an exit code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use alloy::primitives::B256;
use alloy::providers::{Provider as _, ProviderBuilder};
use anyhow::{Context as _, bail, ensure};
use outcry_protocol::shard::Sharding;
use outcry_sdk::Node;
use outcry_sdk::api::{DealState, Explanation, Job, JobState, JobsQuery, TokenInfo};

use crate::conservation::Books;
use crate::deployment::LOCAL;
use crate::gas;
use crate::network::{EVERY_CLAIM, Plan, TOKEN_DECIMALS, TOKEN_SYMBOL, Testnet, binary};
use crate::oracle;
use crate::picture::{Picture, Tile};
use crate::process::Lifetime;
use crate::summary::{DisputeSummary, JobSummary, Summary};

mod dispute;

/// Arguments of a command: strings and paths alike.
macro_rules! os {
    ($($arg:expr),* $(,)?) => {
        &[$(AsRef::<std::ffi::OsStr>::as_ref(&$arg)),*]
    };
}
use os;

/// Tasks of the picture job: tiles, ten by ten.
const TILES: u32 = 100;

struct Demo {
    testnet: Testnet,
    dir: PathBuf,
    node: Node,
    started: Instant,
    seen: BTreeSet<B256>,
    jobs: Vec<(B256, JobSummary)>,
    dispute: Option<DisputeSummary>,
    failures: Vec<String>,
}

/// What the command line said.
struct Said {
    status: ExitStatus,
    stdout: String,
}

/// Runs the demo in `dir` and returns whether everything came out right.
///
/// # Errors
/// The network can't be brought up or stops answering.
pub async fn run(dir: &Path) -> anyhow::Result<bool> {
    let started = Instant::now();
    if dir.exists() {
        if let Ok(old) = Testnet::load(dir) {
            old.down();
        }
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir)?;
    let plan = Plan {
        dir: dir.join("network"),
        providers: 3,
        verifiers: 1,
        slots: 1,
        reserved: 0,
        interpreters: 0,
        shards: Sharding::ONE,
        block_time_s: 1,
        windows: LOCAL,
        cheats: BTreeMap::new(),
        sample_bps: EVERY_CLAIM,
        lifetime: Lifetime::Tied,
    };
    let testnet = Testnet::up(&plan, &|line| say(started, line)).await?;
    say(
        started,
        "three providers, a gateway and a verifier are up; the market is open",
    );
    let node = Node::new(testnet.api("gateway")?)?;
    let mut demo = Demo {
        testnet,
        dir: dir.canonicalize()?,
        node,
        started,
        seen: BTreeSet::new(),
        jobs: Vec::new(),
        dispute: None,
        failures: Vec::new(),
    };
    let outcome = demo.play().await;
    demo.testnet.down();
    outcome
}

fn say(started: Instant, line: &str) {
    println!("[{:5.1} s] {line}", started.elapsed().as_secs_f64());
}

impl Demo {
    fn say(&self, line: &str) {
        say(self.started, line);
    }

    async fn play(&mut self) -> anyhow::Result<bool> {
        let chain = ProviderBuilder::new().connect_http(self.testnet.rpc.parse()?);
        let first_block = chain.get_block_number().await?;
        let before = Books::read(&chain, &self.testnet).await?;

        let steps: [(&str, &str); 5] = [
            (
                "python",
                "1. a Python script over a folder of files, on the published CPython program",
            ),
            (
                "picture",
                "2. a picture in 100 tasks over all three providers, one signature, one escrow",
            ),
            ("crash", "3. a provider dies in the middle of a job"),
            ("nobody", "4. a bid that nobody can serve, and why"),
            (
                "dispute",
                "5. a provider that lies about a result on CPython, and who finds out",
            ),
        ];
        for (name, title) in steps {
            println!();
            self.say(title);
            let result = match name {
                "python" => self.python().await,
                "picture" => self.picture().await,
                "crash" => self.crash().await,
                "nobody" => self.nobody().await,
                _ => self.dispute().await,
            };
            if let Err(error) = result {
                self.say(&format!("NOT RIGHT: {error:#}"));
                self.failures.push(format!("{name}: {error:#}"));
            }
        }

        println!();
        self.say("waiting until the challenge windows have passed and every deal is final");
        let after = self.settled_books(&chain).await?;
        if !after.is_settled() {
            self.failures
                .push("money is still held by deals at the end".to_owned());
        }
        let conserved = after.conserves(&before) && after.is_settled();
        if !conserved {
            self.failures
                .push("the sum of a token over all accounts has changed".to_owned());
        }
        let gas = gas::by_kind(&chain, self.testnet.market, self.testnet.game, first_block).await?;
        self.count_gas(&chain).await?;
        let summary = Summary {
            ok: self.failures.is_empty(),
            failures: self.failures.clone(),
            jobs: self.jobs.iter().map(|(_, job)| job.clone()).collect(),
            dispute: self.dispute.clone(),
            gas,
            conserved,
            books_before: before,
            books_after: after,
            wall_ms: millis(self.started),
        };
        let path = self.dir.join("summary.json");
        summary.write(&path)?;
        println!();
        println!("{}", summary.table(&token_info(&self.testnet)));
        println!(
            "  money conserved: {}",
            if conserved { "yes" } else { "NO" }
        );
        println!("  summary          {}", path.display());
        println!(
            "  picture          {}",
            self.dir.join("picture.png").display()
        );
        println!(
            "  report           {}",
            self.dir.join("python/report.md").display()
        );
        for failure in &self.failures {
            println!("  NOT RIGHT        {failure}");
        }
        Ok(summary.ok)
    }

    /// A user's script on CPython, and the same under wasmtime alone.
    async fn python(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        let script = program("logstats.py");
        let input = program("logs");
        let out = self.dir.join("python");
        let said = self.outcry(
            "python",
            os!["run", script, "--input", input, "--out", out,],
        )?;
        ensure!(
            said.status.success(),
            "`outcry run` ended with {}",
            said.status
        );
        let job = self.newest_job().await?;
        self.record("python", &job, started).await?;
        let alone = oracle::run_python(&script, &input)?;
        let files = files_below(&out)?;
        ensure!(!alone.is_empty(), "the script wrote no file");
        for (name, bytes) in &alone {
            let market = files
                .get(name)
                .with_context(|| format!("{name} did not come back"))?;
            ensure!(
                market == bytes,
                "{name} differs from the run by wasmtime alone"
            );
        }
        self.say(&format!(
            "{} result files came back, equal to those of the same script run by wasmtime alone",
            alone.len()
        ));
        Ok(())
    }

    /// A hundred tiles.
    async fn picture(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        let wasm = program("sphereflake.wasm");
        let out = self.dir.join("tiles");
        let tasks = TILES.to_string();
        let said = self.outcry(
            "picture",
            os![
                "run",
                wasm,
                "--tasks",
                tasks,
                "--out",
                out,
                // Worth it to use the dearer providers as well.
                "--value-of-time",
                "0.01",
                "--expected-cycles",
                "100000000",
                "--limit-cycles",
                "2000000000",
                "--execution-timeout",
                "600",
                "--",
                "1200",
                "900",
            ],
        )?;
        ensure!(
            said.status.success(),
            "`outcry run` ended with {}",
            said.status
        );
        let job = self.newest_job().await?;
        let summary = self.record("picture", &job, started).await?;
        let mut tiles = Vec::new();
        for (name, bytes) in files_below(&out)? {
            if name.ends_with("tile.ppm") {
                tiles.push(Tile::from_ppm(&bytes).with_context(|| name)?);
            }
        }
        ensure!(
            tiles.len() == TILES as usize,
            "{} of {TILES} tiles came back",
            tiles.len()
        );
        Picture::assemble(&tiles)?.write_png(&self.dir.join("picture.png"))?;
        ensure!(
            summary.provider.len() == 3,
            "only {} of three providers took part",
            summary.provider.len()
        );
        self.say(&format!("{TILES} tiles by {}", summary.provider.join(", ")));
        Ok(())
    }

    /// Kills the provider that has taken a job.
    async fn crash(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        let wasm = program("sphereflake.wasm");
        let out = self.dir.join("crash");
        let child = self.spawn_outcry(
            "crash",
            os![
                "run",
                wasm,
                "--out",
                out,
                "--expected-cycles",
                "3000000000",
                "--limit-cycles",
                "6000000000",
                "--queue-timeout",
                "5",
                "--execution-timeout",
                "20",
                "--",
                "480",
                "360",
                "2",
            ],
        )?;
        let (job, victim) = self.first_deal(Duration::from_secs(30)).await?;
        self.testnet.kill(&victim)?;
        self.say(&format!(
            "{victim} has taken the job and is killed (kill -9)"
        ));
        let said = child.wait()?;
        self.testnet.restart(&victim)?;
        self.testnet.wait_until_serving(&victim).await?;
        self.say(&format!("{victim} is back"));
        ensure!(
            said.status.success(),
            "`outcry run` ended with {}",
            said.status
        );
        let job = self.node.job(job).await?;
        self.seen.insert(job.id);
        self.record("crash", &job, started).await?;
        let failed = job.deals.first().context("the job has no deal")?;
        ensure!(
            failed.state == DealState::TimedOut,
            "the first deal is {}",
            failed.state
        );
        ensure!(
            failed.refunded.0 >= alloy::primitives::U256::from(failed.terms.escrow),
            "the buyer got back {} of {}",
            failed.refunded,
            failed.terms.escrow
        );
        let second = job.deals.last().context("the job has no second deal")?;
        ensure!(
            second.terms.provider != failed.terms.provider,
            "the same provider ran it again"
        );
        self.say(&format!(
            "the deadline passed: {} tUSD refunded, collateral of {} tUSD taken, done by {}",
            units(&self.testnet, failed.terms.escrow),
            units(&self.testnet, failed.terms.collateral),
            self.name_of(&job, job.deals.len() - 1),
        ));
        Ok(())
    }

    /// More memory than anybody has.
    async fn nobody(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        let file = self.dir.join("nobody.yaml");
        fs::write(
            &file,
            format!(
                "program: {}\nargs: [print, hello]\nterms:\n  memory: 98304\n  max_price: \"10\"\n",
                program("ends.wasm").display()
            ),
        )?;
        let said = self.outcry("nobody", os!["submit", "--file", file])?;
        ensure!(
            said.status.success(),
            "`outcry submit` ended with {}",
            said.status
        );
        let job = self.newest_job().await?;
        let id = job.id.to_string();
        let said = self.outcry("nobody", os!["explain", id])?;
        ensure!(
            said.status.success(),
            "`outcry explain` ended with {}",
            said.status
        );
        let explanation: Explanation = serde_json::from_str(&said.stdout)
            .with_context(|| format!("not an explanation: {}", said.stdout))?;
        ensure!(
            explanation.acceptable == 0,
            "{} offers are acceptable",
            explanation.acceptable
        );
        ensure!(
            explanation.cheapest_change.is_some(),
            "no change is proposed"
        );
        let shown = self
            .spawn_with(os!["explain", id, "--output", "table"], "nobody")?
            .wait()?;
        print!("{}", shown.stdout);
        let said = self.outcry("nobody", os!["cancel", id, "--yes"])?;
        ensure!(
            said.status.success(),
            "`outcry cancel` ended with {}",
            said.status
        );
        let job = self
            .wait_for_state(job.id, JobState::Cancelled, Duration::from_secs(20))
            .await?;
        self.record("nobody", &job, started).await?;
        ensure!(job.deals.is_empty(), "somebody took it");
        Ok(())
    }

    fn outcry(&self, name: &str, args: &[&std::ffi::OsStr]) -> anyhow::Result<Said> {
        self.spawn_outcry(name, args)?.wait()
    }

    fn spawn_outcry(&self, name: &str, args: &[&std::ffi::OsStr]) -> anyhow::Result<Running> {
        // Flags come before a program's own arguments.
        let split = args
            .iter()
            .position(|arg| *arg == "--")
            .unwrap_or(args.len());
        let (flags, rest) = args.split_at(split);
        let mut all = flags.to_vec();
        all.extend_from_slice(os!["--output", "json"]);
        all.extend(rest);
        self.spawn_with(&all, name)
    }

    /// Starts the command line; what it says on stderr is shown as it comes.
    fn spawn_with(&self, args: &[&std::ffi::OsStr], name: &str) -> anyhow::Result<Running> {
        let mut child = Command::new(binary("outcry")?)
            .arg("--network")
            .arg(self.testnet.network_toml())
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = BufReader::new(child.stderr.take().context("no stderr")?);
        let mut stdout = child.stdout.take().context("no stdout")?;
        let (name, started) = (name.to_owned(), self.started);
        let progress = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // A line for each of a hundred tasks would hide the rest.
                if !line.starts_with("checking task") {
                    say(started, &format!("   {name}: {line}"));
                }
            }
        });
        let result = std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).map(|_| text)
        });
        Ok(Running {
            child,
            progress,
            result,
        })
    }

    /// The job that was submitted since the last call.
    async fn newest_job(&mut self) -> anyhow::Result<Job> {
        let jobs = self.node.jobs(&JobsQuery::default()).await?;
        let job = jobs
            .into_iter()
            .find(|job| !self.seen.contains(&job.id))
            .context("no job was submitted")?;
        self.seen.insert(job.id);
        Ok(job)
    }

    /// Waits until a job that was not there before has a running deal; returns it and the name of
    /// the node that runs it.
    async fn first_deal(&self, patience: Duration) -> anyhow::Result<(B256, String)> {
        let deadline = Instant::now() + patience;
        loop {
            let jobs = self.node.jobs(&JobsQuery::default()).await?;
            let job = jobs.into_iter().find(|job| !self.seen.contains(&job.id));
            if let Some(job) = job
                && !job.deals.is_empty()
            {
                return Ok((job.id, self.name_of(&job, 0)));
            }
            if Instant::now() >= deadline {
                bail!("nobody took the job within {} s", patience.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn wait_for_state(
        &self,
        id: B256,
        state: JobState,
        patience: Duration,
    ) -> anyhow::Result<Job> {
        let deadline = Instant::now() + patience;
        loop {
            let job = self.node.job(id).await?;
            if job.state == state {
                return Ok(job);
            }
            if Instant::now() >= deadline {
                bail!(
                    "the job is {}, not {state}, after {} s",
                    job.state,
                    patience.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The books once no deal holds anything, or after a patience of the windows and then some.
    async fn settled_books(
        &self,
        chain: &impl alloy::providers::Provider,
    ) -> anyhow::Result<Books> {
        let patience = Duration::from_secs(u64::from(LOCAL.challenge_s) + 20);
        let deadline = Instant::now() + patience;
        loop {
            let books = Books::read(chain, &self.testnet).await?;
            if books.is_settled() || Instant::now() >= deadline {
                return Ok(books);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn name_of(&self, job: &Job, deal: usize) -> String {
        let Some(deal) = job.deals.get(deal) else {
            return "nobody".to_owned();
        };
        self.testnet
            .accounts
            .iter()
            .find(|(_, address)| **address == deal.terms.provider)
            .map_or_else(|| deal.terms.provider.to_string(), |(name, _)| name.clone())
    }

    async fn record(
        &mut self,
        name: &str,
        job: &Job,
        started: Instant,
    ) -> anyhow::Result<JobSummary> {
        let mut blobs = BTreeMap::new();
        for deal in job.deals.iter().filter(|deal| deal.claim.is_some()) {
            for result in self.node.results(deal.deal_id).await? {
                blobs.insert(result.task, result.blake3);
            }
        }
        let mut hasher = blake3::Hasher::new();
        for blob in blobs.values() {
            hasher.update(&blob.0);
        }
        let output_hash = if blobs.is_empty() {
            String::new()
        } else {
            hasher.finalize().to_hex().to_string()
        };
        let summary = JobSummary::of(
            name,
            job,
            |job, deal| self.name_of(job, deal),
            millis(started),
            output_hash,
        );
        self.jobs.push((job.id, summary.clone()));
        Ok(summary)
    }

    /// Gas and final state of each job, once everything has ended. A transaction about several
    /// deals counts in equal parts.
    async fn count_gas(&mut self, chain: &impl alloy::providers::Provider) -> anyhow::Result<()> {
        let mut jobs = Vec::new();
        let mut shares = BTreeMap::<B256, u64>::new();
        for (id, _) in &self.jobs {
            let job = self.node.job(*id).await?;
            for transaction in job.deals.iter().flat_map(|deal| &deal.transactions) {
                *shares.entry(transaction.hash).or_default() += 1;
            }
            jobs.push(job);
        }
        let mut gas = BTreeMap::new();
        for (hash, deals) in &shares {
            let receipt = chain.get_transaction_receipt(*hash).await?;
            let receipt = receipt.with_context(|| format!("no receipt of {hash}"))?;
            gas.insert(*hash, receipt.gas_used / deals);
        }
        for ((_, summary), job) in self.jobs.iter_mut().zip(&jobs) {
            summary.status = job.state.to_string();
            summary.price = job.price;
            let transactions = job.deals.iter().flat_map(|deal| &deal.transactions);
            summary.gas = transactions
                .filter_map(|transaction| gas.get(&transaction.hash))
                .sum();
        }
        Ok(())
    }
}

struct Running {
    child: std::process::Child,
    progress: std::thread::JoinHandle<()>,
    result: std::thread::JoinHandle<std::io::Result<String>>,
}

impl Running {
    fn wait(mut self) -> anyhow::Result<Said> {
        let status = self.child.wait()?;
        let ended = |_| anyhow::anyhow!("a reader of the command's output panicked");
        self.progress.join().map_err(ended)?;
        let stdout = self.result.join().map_err(ended)??;
        Ok(Said { status, stdout })
    }
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("programs")
        .join(name)
}

/// Files below a folder by their path in it.
fn files_below(folder: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder)?.to_string_lossy().into_owned();
                files.insert(name, fs::read(&path)?);
            }
        }
    }
    Ok(files)
}

fn token_info(testnet: &Testnet) -> TokenInfo {
    TokenInfo {
        symbol: TOKEN_SYMBOL.to_owned(),
        address: testnet.payment_token,
        decimals: TOKEN_DECIMALS,
    }
}

fn units(testnet: &Testnet, amount: u128) -> String {
    outcry_sdk::units::plain(amount.into(), &token_info(testnet))
}

fn millis(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}
