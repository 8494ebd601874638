//! Stopping. The first SIGTERM or SIGINT asks for an orderly end: no new offers, work in hand is
//! finished or left to be resumed, everything is flushed. The second one ends the process at once,
//! which is safe because `kill -9` is.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit status of a process that a second signal ended.
const EXIT_IMMEDIATE: i32 = 130;

/// Cancels `stop` at the first signal and exits the process at the second.
///
/// # Errors
/// The system refuses to install the handlers.
pub fn on_signals(stop: CancellationToken) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        tracing::info!("stopping; a second signal stops at once");
        stop.cancel();
        either(&mut terminate, &mut interrupt).await;
        std::process::exit(EXIT_IMMEDIATE);
    });
    Ok(())
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
