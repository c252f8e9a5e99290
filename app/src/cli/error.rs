//! Errors as the command line says them: one sentence, then hints that say what to run.

use std::process::ExitCode;

use super::exit;

/// An error for a person, with its exit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    status: u8,
    message: String,
    hints: Vec<String>,
}

impl CliError {
    /// An error with one of the statuses of [`exit`].
    pub fn new(status: u8, message: impl Into<String>) -> CliError {
        CliError { status, message: message.into(), hints: Vec::new() }
    }

    /// Something failed: status [`exit::FAILED`].
    pub fn failed(message: impl Into<String>) -> CliError {
        CliError::new(exit::FAILED, message)
    }

    /// Wrong arguments or configuration: status [`exit::USAGE`].
    pub fn usage(message: impl Into<String>) -> CliError {
        CliError::new(exit::USAGE, message)
    }

    /// Adds what to run.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> CliError {
        self.hints.push(hint.into());
        self
    }

    /// The sentence, lower case, without a full stop.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to run, one line each.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The status of [`exit`].
    pub fn status(&self) -> u8 {
        self.status
    }

    /// The status as the process returns it.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.status)
    }
}
