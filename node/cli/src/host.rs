//! What the command line needs from the binary that contains the daemon.

use std::path::PathBuf;

/// What `outcry node start`, `provider start` and `verifier start` ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// The node's configuration file.
    pub config: Option<PathBuf>,
    /// Settings that win over the file and the environment: dotted key and value, as
    /// `("api.listen", "127.0.0.1:0")`. `--network`, `--data-dir`, `--rpc` and the role of
    /// `provider start` arrive here too, the explicit `--set` ones last.
    pub settings: Vec<(String, String)>,
}

/// Why the daemon refused or ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HostError {
    /// Stable code, for example `C-001`.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
    /// Exit code of the process: 2 if the configuration is at fault, 5 if the world is, 1 for the
    /// rest; see `outcry_protocol::codes::Exit`.
    pub exit: u8,
}

/// The daemon, as far as the command line knows it. The `outcry` binary supplies it.
pub trait Host {
    /// Runs a node until it is told to stop. Logs go to stderr; whoever wants to know the address
    /// that the system chose for the API reads the line that the node prints to stdout.
    ///
    /// # Errors
    /// [`HostError`] if the node can't start or has to give up.
    fn start(&self, start: Start) -> Result<(), HostError>;

    /// The effective configuration of such a node as TOML, secrets left out; refuses what `start`
    /// would refuse before it touches anything.
    ///
    /// # Errors
    /// [`HostError`] naming file and key.
    fn effective_config(&self, start: Start) -> Result<String, HostError>;

    /// A configuration that shows every key with its meaning and default.
    fn example_config(&self) -> &'static str;
}

impl HostError {
    /// An error with a code of the registry.
    pub fn of(error: &dyn outcry_protocol::codes::Coded) -> Self {
        let code = error.code();
        Self {
            code: code.id.to_owned(),
            message: error.to_string(),
            help: code.help.to_owned(),
            exit: code.exit as u8,
        }
    }
}
