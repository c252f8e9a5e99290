//! Annotations as GitHub's runner reads them from standard output.

use unship_core::verdict::{Effect, StepReport};

use crate::cli::output::Output;
use crate::flow::check::{CheckReport, is_wrong_down};

pub(super) fn print(report: &CheckReport, folder: &str, output: &mut Output) {
    for step in &report.steps {
        print_step(step, folder, output);
    }
}

fn print_step(step: &StepReport, folder: &str, output: &mut Output) {
    let up = format!("{}/{}", folder.trim_end_matches('/'), step.path);
    for reason in &step.reasons {
        let level = match reason.effect {
            Effect::Breaks => "error",
            Effect::Unknown => "warning",
            Effect::Assumes => "notice",
        };
        let line = step.up.error.as_ref().and_then(|error| error.line);
        annotate(level, &up, line, &reason.rule, &reason.text, output);
    }
    if !is_wrong_down(step.down.class) {
        return;
    }
    let class = step.down.class.word();
    match &step.down.error {
        Some(error) => {
            let path = format!("{}/{}", folder.trim_end_matches('/'), error.path);
            annotate("warning", &path, error.line, class, &error.message, output);
        }
        None => {
            let lost = step.down.lost.iter().map(|what| format!("not back: {what}"));
            let remains = step.down.remains.iter().map(|what| format!("left over: {what}"));
            let text = lost.chain(remains).collect::<Vec<_>>().join("; ");
            annotate(
                "warning",
                &up,
                None,
                class,
                if text.is_empty() { "there is no down" } else { &text },
                output,
            );
        }
    }
}

fn annotate(level: &str, path: &str, line: Option<u32>, title: &str, text: &str, output: &mut Output) {
    let line = line.map_or_else(String::new, |line| format!(",line={line}"));
    output.line(format!("::{level} file={}{line},title={}::{}", property(path), property(title), data(text)));
}

/// Escapes as the runner's documentation asks: data first, then what ends a property.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
