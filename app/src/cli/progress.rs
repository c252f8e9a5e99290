//! What a person sees while a run goes on: one line a finished step, and a spinner for the one under way.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use unship_core::time::DurationText;

use super::output::{BAD, DIM, GOOD};
use crate::ports::Progress;

/// Writes to standard error.
#[derive(Debug, Default)]
pub struct TerminalProgress {
    /// One at a time: steps of a run come after one another. Hidden where standard error is no terminal.
    spinner: Mutex<Option<ProgressBar>>,
}

impl TerminalProgress {
    fn end(&self) {
        let spinner = self.spinner.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(spinner) = spinner {
            spinner.finish_and_clear();
        }
    }
}

impl Progress for TerminalProgress {
    fn started(&self, title: &str) {
        self.end();
        let spinner = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("  {spinner}   {msg}  {elapsed}") {
            spinner.set_style(style);
        }
        spinner.set_message(title.to_owned());
        spinner.enable_steady_tick(Duration::from_millis(120));
        *self.spinner.lock().unwrap_or_else(PoisonError::into_inner) = Some(spinner);
    }

    fn done(&self, title: &str, took_ms: u64) {
        self.end();
        let took = DurationText(took_ms).to_string();
        let _ = writeln!(anstream::stderr(), "  {GOOD}ok{GOOD:#}  {title:<44} {DIM}{took:>9}{DIM:#}");
    }

    fn failed(&self, title: &str, error: &str) {
        self.end();
        let _ = writeln!(anstream::stderr(), "  {BAD}!!{BAD:#}  {title}: {error}");
    }

    fn note(&self, text: &str) {
        self.end();
        let _ = writeln!(anstream::stderr(), "      {text}");
    }
}
