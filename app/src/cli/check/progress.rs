//! How far a check is, on standard error.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use unship_core::verdict::StepReport;

use crate::flow::check::StepsSeen;

/// A bar; hidden where standard error is no terminal.
#[derive(Debug)]
pub(super) struct StepsProgress {
    bar: ProgressBar,
}

impl StepsProgress {
    pub fn new(steps: usize, is_hidden: bool) -> Self {
        let bar = if is_hidden { ProgressBar::hidden() } else { ProgressBar::new(steps as u64) };
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {pos}/{len} {wide_msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message("starting a throwaway PostgreSQL");
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl StepsSeen for StepsProgress {
    fn begins(&mut self, id: &str) {
        self.bar.set_message(id.to_owned());
    }

    fn judged(&mut self, _report: &StepReport) {
        self.bar.inc(1);
    }
}
