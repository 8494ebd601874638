//! The `outcry` command line: every verb of a buyer, and the doors to a node.
//!
//! Stage of a job served here: what a person types, turned into calls of the SDK (buying), of a
//! node's HTTP API (looking), or of the [`Host`] that contains the daemon (running a node).
//! The result of a command goes to stdout and nothing else does; progress, questions and errors go to
//! stderr. [`run`] returns the exit code.
//!
//! | module | one idea |
//! | --- | --- |
//! | `args` | every verb and flag, defined once: parser, help, man pages, completions, reference |
//! | `settings` | flags over environment over file over network |
//! | `jobfile` | a job by flags or by file |
//! | `verbs` | what each verb does |
//! | `console`, `progress`, `failure` | stdout, stderr, exit codes |
//!
//! Never here: rules of the market, hashing, the daemon's insides. A rule that a verb needs is in
//! `outcry-protocol`, and what a dapp needs as well is in `outcry-sdk`.

mod adversary;
mod args;
mod console;
mod failure;
mod host;
mod jobfile;
mod progress;
mod settings;
mod verbs;

use std::ffi::OsString;

use clap::{CommandFactory as _, FromArgMatches as _};

use crate::args::{Cli, Config, Dispute, Format, Machine, Market, Node, Provider, Verb, Verifier};
pub use crate::console::Console;
use crate::failure::Failure;
pub use crate::host::{Host, HostError, Start};
use crate::settings::Settings;

/// Width of help texts that are written to files.
const FILE_COLUMNS: usize = 100;

/// Runs the command line on the process's own streams and returns the exit code: 0 done, 1 the job
/// failed, 2 usage, 3 no match in time, 4 payment, 5 network, 124 timed out. `args` begin with the
/// program's name.
pub fn run(args: impl IntoIterator<Item = OsString>, host: &dyn Host) -> u8 {
    console::with_process_streams(|console| run_on(args, host, console))
}

/// The same on streams of the caller's.
pub fn run_on(
    args: impl IntoIterator<Item = OsString>,
    host: &dyn Host,
    console: &mut Console<'_>,
) -> u8 {
    let cli = match Cli::command()
        .try_get_matches_from(args)
        .and_then(|matches| Cli::from_arg_matches(&matches))
    {
        Ok(cli) => cli,
        Err(error) => return explain_usage(&error, console),
    };
    let wished = cli.global.output.unwrap_or(Format::Table);
    let done = Settings::resolve(cli.global).and_then(|settings| {
        let format = settings.format();
        dispatch(&cli.verb, &settings, host, console)
            .map_err(|failure| (format, failure))
            .map_or_else(
                |(format, failure)| {
                    console.failure(format, &failure);
                    Ok(failure.exit)
                },
                Ok,
            )
    });
    done.unwrap_or_else(|failure| {
        console.failure(wished, &failure);
        failure.exit
    })
}

/// Help goes to stdout, because it is what was asked for; a wrong command line is an error.
fn explain_usage(error: &clap::Error, console: &mut Console<'_>) -> u8 {
    let text = if console.colour {
        error.render().ansi().to_string()
    } else {
        error.render().to_string()
    };
    match error.exit_code() {
        0 => console
            .raw(text.as_bytes())
            .map_or_else(|failure| failure.exit, |()| 0),
        _ => {
            console.note(text.trim_end());
            outcry_protocol::codes::Exit::Usage as u8
        }
    }
}

fn dispatch(
    verb: &Verb,
    settings: &Settings,
    host: &dyn Host,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    // The daemon has a runtime and a log of its own.
    match verb {
        Verb::Node(Node::Start(args)) => return verbs::node::start(args, None, settings, host),
        Verb::Provider(Provider::Start(args)) => {
            return verbs::node::start(args, Some("provider"), settings, host);
        }
        Verb::Verifier(Verifier::Start(args)) => {
            return verbs::node::start(args, Some("verifier"), settings, host);
        }
        Verb::Config(verb) => return verbs::config::config(verb, settings, host, console),
        Verb::Keys(verb) => return verbs::keys::keys(verb, settings, console),
        Verb::Completions(args) => return completions(args.shell, console),
        Verb::Man(args) => return manual(&args.dir),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(Failure::internal)?;
    let done = runtime.block_on(perform(verb, settings, host, console));
    // A program that still runs on a thread of its own is not waited for.
    runtime.shutdown_background();
    done
}

async fn perform(
    verb: &Verb,
    settings: &Settings,
    host: &dyn Host,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    use verbs::{account, audit, clear, dispute, job, machine, market, node, provider, reserve};
    match verb {
        Verb::Run(args) => job::run(args, settings, console).await,
        Verb::Submit(args) => job::submit(args, settings, console).await,
        Verb::Ls(args) => job::ls(args, settings, console).await,
        Verb::Status(args) => job::status(args, settings, console).await,
        Verb::Logs(args) => job::logs(args, settings, console).await,
        Verb::Get(args) => job::get(args, settings, console).await,
        Verb::Cancel(args) => job::cancel(args, settings, console).await,
        Verb::Explain(args) => job::explain(args, settings, console).await,
        Verb::Quote(args) => job::quote(args, settings, console).await,
        Verb::Estimate(args) => job::estimate(args, settings, console).await,
        Verb::Market(Market::Clear(args)) => clear::clear(args, settings, console),
        Verb::Market(verb) => market::show(verb, settings, console).await,
        Verb::Reserve(verb) => reserve::reserve(verb, settings, console).await,
        Verb::Deposit(args) => account::deposit(args, settings, console).await,
        Verb::Withdraw(args) => account::withdraw(args, settings, console).await,
        Verb::Balance(args) => account::balance(args, settings, console).await,
        Verb::Provider(Provider::Setup(args)) => {
            provider::setup(args, settings, host, console).await
        }
        Verb::Provider(Provider::Status) => node::provider_status(settings, console).await,
        Verb::Provider(Provider::Drain) => node::drain(settings, console).await,
        Verb::Provider(Provider::Earnings) => node::earnings(settings, console).await,
        Verb::Provider(Provider::Benchmark { seconds, slots }) => {
            provider::benchmark(*seconds, *slots, settings, console).await
        }
        Verb::Provider(Provider::Doctor { node_config }) => {
            provider::doctor(node_config.as_deref(), settings, host, console).await
        }
        Verb::Verifier(Verifier::Status) => node::verifier_status(settings, console).await,
        Verb::Dispute(Dispute::Ls) => dispute::ls(settings, console).await,
        Verb::Dispute(Dispute::Show { id, steps }) => {
            dispute::show(id, *steps, settings, console).await
        }
        Verb::Node(Node::Status) => node::status(settings, console).await,
        Verb::Machine(Machine::Run(args)) => machine::run(args, settings, console).await,
        Verb::Machine(Machine::Steps(args)) => audit::steps(args, settings, console).await,
        Verb::Machine(Machine::Prove(args)) => audit::prove(args, settings, console).await,
        Verb::Machine(Machine::Check(args)) => audit::check(args, settings, console).await,
        Verb::Machine(Machine::Wast(args)) => audit::wast(args, settings, console).await,
        Verb::Machine(Machine::Link { program }) => machine::link(program, settings, console),
        // Handled before there was a runtime.
        Verb::Node(Node::Start(_))
        | Verb::Provider(Provider::Start(_))
        | Verb::Verifier(Verifier::Start(_))
        | Verb::Config(Config::Print(_) | Config::Check(_))
        | Verb::Keys(_)
        | Verb::Completions(_)
        | Verb::Man(_) => Err(Failure::internal("a verb without a runtime")),
    }
}

fn completions(shell: clap_complete::Shell, console: &mut Console<'_>) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "outcry", &mut script);
    console.raw(&script)?;
    Ok(0)
}

fn manual(folder: &std::path::Path) -> Result<u8, Failure> {
    let failed = |e: std::io::Error| {
        Failure::new(
            &outcry_protocol::codes::CONFIG_FILE,
            format!("{}: {e}", folder.display()),
        )
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(failed)?;
    Ok(0)
}

/// The reference of the command line in Markdown: `node/cli/docs/outcry.md`, which a test compares.
#[doc(hidden)]
pub fn reference() -> String {
    let mut text = String::from(
        "# outcry\n\nGenerated by `cargo run --release -p outcry-cli --example reference`.\n",
    );
    describe(&Cli::command(), "outcry", &mut text);
    text
}

/// Global options stand once, at the top: a command that was not built has only its own.
fn describe(command: &clap::Command, name: &str, text: &mut String) {
    let mut shown = command
        .clone()
        .bin_name(name)
        .term_width(FILE_COLUMNS)
        .disable_help_subcommand(true);
    let help = shown.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    text.push_str(&format!(
        "\n## {name}\n\n```text\n{}\n```\n",
        help.join("\n").trim_end()
    ));
    for inner in command.get_subcommands() {
        describe(inner, &format!("{name} {}", inner.get_name()), text);
    }
}
