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
    under_way: Mutex<UnderWay>,
}

/// What is under way, and the one spinner that says so; it is hidden where standard error is no terminal.
#[derive(Debug, Default)]
struct UnderWay {
    titles: Vec<String>,
    spinner: Option<ProgressBar>,
}

impl TerminalProgress {
    /// Says something, with the spinner out of the way; then it goes on for what is under way still.
    fn between(&self, change: impl FnOnce(&mut Vec<String>)) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(spinner) = under_way.spinner.take() {
            spinner.finish_and_clear();
        }
        change(&mut under_way.titles);
        let message = match under_way.titles.as_slice() {
            [] => return,
            [one] => one.clone(),
            [first, others @ ..] => format!("{first} and {} more", others.len()),
        };
        let spinner = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("  {spinner}   {msg}  {elapsed}") {
            spinner.set_style(style);
        }
        spinner.set_message(message);
        spinner.enable_steady_tick(Duration::from_millis(120));
        under_way.spinner = Some(spinner);
    }
}

impl Progress for TerminalProgress {
    fn started(&self, title: &str) {
        self.between(|titles| titles.push(title.to_owned()));
    }

    fn done(&self, title: &str, took_ms: u64) {
        self.between(|titles| {
            titles.retain(|other| other != title);
            let took = DurationText(took_ms).to_string();
            let _ = writeln!(anstream::stderr(), "  {GOOD}ok{GOOD:#}  {title:<44} {DIM}{took:>9}{DIM:#}");
        });
    }

    fn failed(&self, title: &str, error: &str) {
        self.between(|titles| {
            titles.retain(|other| other != title);
            let _ = writeln!(anstream::stderr(), "  {BAD}!!{BAD:#}  {title}: {error}");
        });
    }

    fn note(&self, text: &str) {
        self.between(|_| {
            let _ = writeln!(anstream::stderr(), "      {text}");
        });
    }

    fn said(&self, line: &str) {
        self.between(|_| {
            let _ = writeln!(anstream::stderr(), "      {DIM}| {line}{DIM:#}");
        });
    }
}
