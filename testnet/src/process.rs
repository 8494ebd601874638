//! Processes of a local network: started with a log file each, remembered by pid and start
//! time (so that a recycled pid is never signalled), stopped or killed.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, setsid};
use serde::{Deserialize, Serialize};

/// A process that a local network started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Process {
    /// What it is: `anvil`, `gateway`, `provider-0`, …
    pub name: String,
    /// Process id.
    pub pid: i32,
    /// Start time in clock ticks since boot: together with the pid it names one process.
    pub started_ticks: u64,
    /// Command line, for starting it again.
    pub command: Vec<String>,
    /// Where its output goes; appended to by every start.
    pub log: PathBuf,
}

/// How a process is tied to the one that starts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Killed by the kernel when the starter dies: demo, tests.
    Tied,
    /// Goes on in a session of its own: `up --detach`.
    Detached,
}

impl Process {
    /// Starts `command` with its output appended to `log`.
    ///
    /// # Errors
    /// The log can't be opened, or the program can't be started.
    pub fn start(
        name: &str,
        command: &[String],
        log: &Path,
        lifetime: Lifetime,
    ) -> io::Result<Self> {
        let (program, args) = command
            .split_first()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an empty command"))?;
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        let mut child = Command::new(program);
        child
            .args(args)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        // SAFETY: both calls are async-signal-safe system calls and touch no memory of the
        // parent, which is all that may happen between fork and exec.
        unsafe {
            child.pre_exec(move || {
                match lifetime {
                    Lifetime::Tied => {
                        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
                    }
                    Lifetime::Detached => {
                        setsid()?;
                    }
                }
                Ok(())
            });
        }
        let mut child = child.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("{program} can't be started: {error}"))
        })?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let started_ticks = started_ticks(pid).unwrap_or_default();
        // Reaps the process when it ends, so that `is_running` does not see a zombie.
        std::thread::spawn(move || child.wait());
        Ok(Self {
            name: name.to_owned(),
            pid,
            started_ticks,
            command: command.to_vec(),
            log: log.to_path_buf(),
        })
    }

    /// Starts the same command again.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub fn restart(&mut self, lifetime: Lifetime) -> io::Result<()> {
        *self = Self::start(&self.name, &self.command, &self.log, lifetime)?;
        Ok(())
    }

    /// Whether this very process still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        started_ticks(self.pid) == Some(self.started_ticks)
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        self.wait_until_gone(Duration::from_secs(10));
    }

    /// SIGTERM; SIGKILL if it has not ended after `patience`.
    pub fn stop(&self, patience: Duration) {
        self.signal(Signal::TERM);
        if !self.wait_until_gone(patience) {
            self.kill();
        }
    }

    fn signal(&self, signal: Signal) {
        if let (true, Some(pid)) = (self.is_running(), Pid::from_raw(self.pid)) {
            // Gone in between is what was wanted.
            let _ = kill_process(pid, signal);
        }
    }

    fn wait_until_gone(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.is_running() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }
}

/// Field 22 of `/proc/PID/stat` of a process that is not a zombie; `None` if there is none. A process
/// whose first thread has ended holds its files until the others have.
fn started_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses and may hold blanks.
    let rest = stat.get(stat.rfind(')')? + 1..)?;
    let mut fields = rest.split_ascii_whitespace();
    if fields.next()? == "Z" && fs::read_dir(format!("/proc/{pid}/task")).ok()?.count() <= 1 {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_killed_process_is_gone_and_a_recycled_pid_is_not_mistaken_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let command: Vec<String> = ["sleep", "600"].map(str::to_owned).to_vec();
        let process =
            Process::start("sleeper", &command, &dir.path().join("log"), Lifetime::Tied).unwrap();
        assert!(process.is_running());
        let other = Process {
            started_ticks: process.started_ticks + 1,
            ..process.clone()
        };
        assert!(!other.is_running());
        process.kill();
        assert!(!process.is_running());
    }
}
