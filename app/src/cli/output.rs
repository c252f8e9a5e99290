//! Where words go: data to stdout, everything else to stderr; colour only where it helps and never as the
//! only carrier of a meaning.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::CliError;
use crate::plain::plain;

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// When standard output is a terminal and `NO_COLOR` is not set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Good news.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Bad news.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// What to look at.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// What to run.
pub const HINT: Style = AnsiColor::Cyan.on_default();
/// What matters less.
pub const DIM: Style = Style::new().dimmed();
/// What matters most.
pub const STRONG: Style = Style::new().bold();

/// One line for the person who watches, from where no [`Output`] is at hand.
pub fn say(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// The two streams.
#[derive(Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Sets up colours once for the process.
    pub fn new(color: ColorChoice, json: bool) -> Output {
        match color {
            ColorChoice::Auto => {}
            ColorChoice::Always => anstream::ColorChoice::Always.write_global(),
            ColorChoice::Never => anstream::ColorChoice::Never.write_global(),
        }
        Output { json }
    }

    /// Whether standard output is for a program.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// One line of data on standard output.
    pub fn line(&mut self, text: impl AsRef<str>) {
        // A reader that went away, as in `unship log | head`, is not an error of ours.
        let _ = writeln!(anstream::stdout(), "{}", text.as_ref());
    }

    /// One JSON document on standard output.
    pub fn document(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| CliError::failed(format!("cannot write the answer as JSON: {error}")))?;
        let _ = writeln!(anstream::stdout(), "{text}");
        Ok(())
    }

    /// One line for the person who watches, on standard error.
    pub fn note(&mut self, text: impl AsRef<str>) {
        say(text.as_ref());
    }

    /// An error and its hints, on standard error; with `--json` as a document on standard output as well.
    pub fn error(&mut self, error: &CliError) {
        let mut stderr = anstream::stderr();
        let _ = writeln!(stderr, "{BAD}error:{BAD:#} {}", plain(error.message()));
        for hint in error.hints() {
            let _ = writeln!(stderr, "{HINT}hint:{HINT:#} {}", plain(hint));
        }
        if self.json {
            self.error_document(error);
        }
    }

    /// An error and its hints as a document on standard output.
    pub fn error_document(&mut self, error: &CliError) {
        let document = serde_json::json!({
            "error": error.message(), "hints": error.hints(), "exit": error.status(),
        });
        let _ = writeln!(anstream::stdout(), "{document:#}");
    }
}
