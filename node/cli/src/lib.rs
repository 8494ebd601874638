//! The `outcry` command line.

mod host;

pub use host::{Host, HostError, Start};

/// Runs the command line and returns the exit code: 0 done, 1 the job failed, 2 usage, 3 no match
/// in time, 4 payment, 5 network, 124 timed out.
pub fn run(_args: impl IntoIterator<Item = std::ffi::OsString>, _host: &dyn Host) -> u8 {
    2
}
