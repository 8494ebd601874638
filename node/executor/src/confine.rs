//! What a worker may take from its host. It confines itself before it reads the first task, and a
//! process can only ever lower these limits.

use std::io;

use rustix::process::{
    Pid, Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit,
};
use serde::{Deserialize, Serialize};

/// Limits of one worker process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Most bytes of private writable memory (RLIMIT_DATA). Never RLIMIT_AS: the engine reserves
    /// address space that it does not use.
    pub data_bytes: u64,
    /// Most processor seconds over all threads of the worker's life (RLIMIT_CPU).
    pub cpu_s: u64,
    /// Most bytes of one file that it writes (RLIMIT_FSIZE): the largest cached artifact or output.
    pub file_bytes: u64,
    /// Most open files (RLIMIT_NOFILE).
    pub open_files: u64,
}

impl Confinement {
    /// Applies the limits to the calling process and ties its life to the process `parent`.
    ///
    /// # Errors
    /// The kernel refuses a limit, or the parent is gone already.
    pub(crate) fn apply(&self, parent: u32) -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above.
        if getppid()
            .map(Pid::as_raw_nonzero)
            .map(|pid| pid.get().cast_unsigned())
            != Some(parent)
        {
            return Err(io::Error::other(
                "the node that started this worker is gone",
            ));
        }
        for (resource, most) in [
            (Resource::Data, self.data_bytes),
            (Resource::Cpu, self.cpu_s),
            (Resource::Fsize, self.file_bytes),
            (Resource::Nofile, self.open_files),
            (Resource::Core, 0),
        ] {
            setrlimit(
                resource,
                Rlimit {
                    current: Some(most),
                    maximum: Some(most),
                },
            )?;
        }
        Ok(())
    }
}
