//! Log lines: text for people, JSON for machines, always on standard error.

use tracing_subscriber::EnvFilter;

use crate::config::{ConfigError, Log, LogFormat};

/// Installs the process's log. A second call changes nothing.
///
/// # Errors
/// [`ConfigError::BadValue`] for a filter that can't be read.
pub fn install(log: &Log) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&log.filter).map_err(|error| ConfigError::BadValue {
        origin: "configuration".into(),
        message: format!("`log.filter`: {error}"),
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // An error here means that a log is installed already, which tests do.
    let _ = match log.format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    Ok(())
}
