//! What the node and its worker say to each other.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::confine::Confinement;
use crate::{Halted, Prepare, Prepared, Progress, Task};

/// The first frame that a worker reads.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// Process id of the node.
    pub(crate) parent: u32,
    pub(crate) confinement: Confinement,
    pub(crate) cache: CacheLimits,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Are you there, confined?
    Ping,
    Prepare(Prepare),
    Run(Box<Task>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Pong,
    Progress(Progress),
    Prepared(Prepared),
    Halted(Halted),
    /// The program is not acceptable; every node would say so.
    Refused(String),
    /// This host could not do it; says nothing about the program.
    Failed(String),
}

impl Answer {
    pub(crate) fn unexpected(self) -> crate::EngineFailure {
        crate::EngineFailure::Engine(format!("the worker answered out of turn: {self:?}"))
    }
}

/// A folder of derived files and its bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheLimits {
    /// The folder; nodes of one user may share it.
    pub folder: PathBuf,
    /// Most bytes that it holds.
    pub bytes_max: u64,
}
