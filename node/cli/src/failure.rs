//! How a command fails: code, message, help, exit code.

use outcry_protocol::codes::{self, Code, Coded};
use outcry_sdk::api::ErrorBody;

use crate::host::HostError;

/// A command's failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) help: String,
    pub(crate) exit: u8,
}

impl Failure {
    /// A failure with a code of the registry.
    pub(crate) fn new(code: &Code, message: impl Into<String>) -> Self {
        Self {
            code: code.id.to_owned(),
            message: message.into(),
            help: code.help.to_owned(),
            exit: code.exit as u8,
        }
    }

    /// A wrong argument or file of the user's.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(&codes::CONFIG_ARGUMENT, message)
    }

    /// The same with advice that fits better than the code's own.
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// What nobody can do anything about.
    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        Self::new(&codes::INTERNAL, error.to_string())
    }

    pub(crate) fn body(&self) -> ErrorBody {
        ErrorBody {
            code: self.code.clone(),
            message: self.message.clone(),
            help: self.help.clone(),
        }
    }
}

impl From<outcry_sdk::Error> for Failure {
    fn from(error: outcry_sdk::Error) -> Self {
        let ErrorBody {
            code,
            message,
            help,
        } = error.body();
        Self {
            code,
            message,
            help,
            exit: error.code().exit as u8,
        }
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        let HostError {
            code,
            message,
            help,
            exit,
        } = error;
        Self {
            code,
            message,
            help,
            exit,
        }
    }
}
