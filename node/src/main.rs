//! `outcry`: the daemon, the command line and the worker in one binary. Only dispatch is here.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use outcry_cli::{Host, HostError, Start};
use outcry_daemon::secret::PASSWORD_VARIABLE;
use outcry_daemon::{Config, StartError};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    // First of all: a worker must confine itself before it opens or reads anything.
    let mut arguments = std::env::args_os();
    if arguments
        .nth(1)
        .is_some_and(|argument| argument == outcry_executor::WORKER_SUBCOMMAND)
        && arguments.next().is_none()
    {
        return outcry_executor::worker_main();
    }
    ExitCode::from(outcry_cli::run(std::env::args_os(), &Daemon))
}

/// The daemon, as the command line starts it.
struct Daemon;

impl Host for Daemon {
    fn start(&self, start: Start) -> Result<(), HostError> {
        let config = load(&start)?;
        outcry_daemon::install_log(&config.log)
            .map_err(StartError::from)
            .map_err(refused)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        runtime
            .map_err(StartError::from)
            .map_err(refused)?
            .block_on(run(config))
    }

    fn effective_config(&self, start: Start) -> Result<String, HostError> {
        let config = load(&start)?;
        outcry_daemon::check(&config).map_err(refused)?;
        toml::to_string_pretty(&config).map_err(|error| failed(error.to_string()))
    }

    fn example_config(&self) -> &'static str {
        outcry_daemon::config::EXAMPLE
    }
}

fn load(start: &Start) -> Result<Config, HostError> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let file = start.config.as_deref().map(Path::new);
    Config::load(file, environment, &start.settings)
        .map_err(StartError::from)
        .map_err(refused)
}

/// A secret of the environment; the password of an encrypted key, which is looked for only when there
/// is one, also from whoever sits at the terminal.
fn secret(name: &str) -> Option<String> {
    let given = std::env::var(name).ok();
    if given.is_some() || name != PASSWORD_VARIABLE || !std::io::stdin().is_terminal() {
        return given;
    }
    rpassword::prompt_password("Password of the node's key: ").ok()
}

async fn run(config: Config) -> Result<(), HostError> {
    let stop = CancellationToken::new();
    outcry_daemon::stop::on_signals(stop.clone())
        .map_err(StartError::from)
        .map_err(refused)?;
    let worker = std::env::current_exe()
        .map_err(StartError::from)
        .map_err(refused)?;
    let running = outcry_daemon::start(config, worker, secret, stop)
        .await
        .map_err(refused)?;
    // The one line on standard output: whoever started the node with port 0 reads it.
    println!("http://{}", running.api);
    running.announce_ready();
    running.finish().await.map_err(failed)
}

fn refused(error: StartError) -> HostError {
    HostError::of(&error)
}

fn failed(message: String) -> HostError {
    let code = &outcry_daemon::codes::INTERNAL;
    HostError {
        code: code.id.to_owned(),
        message,
        help: code.help.to_owned(),
        exit: code.exit as u8,
    }
}
