//! A comment for a pull request.

use unship_core::verdict::{Effect, StepReport, UpClass, Verdict};

use super::text::{boot_words, queries_words};
use crate::cli::output::Output;
use crate::flow::check::{CheckReport, is_wrong_down};

/// Most steps in the table: comments have a limit of 65,536 characters.
const STEPS_MAX: usize = 200;

pub(super) fn print(report: &CheckReport, output: &mut Output) {
    let words = match report.verdict {
        Verdict::Compatible => "can be taken back: the older code runs on the newer schema",
        Verdict::Unknown => "is not known to be safe to take back",
        Verdict::Breaks => "cannot be taken back by its code alone",
    };
    let what = report.span.as_ref().map_or_else(|| "This folder".to_owned(), |span| code(&span.new));
    output.line(format!("### {what} {words}"));
    output.line("");
    if report.steps.is_empty() {
        output.line("No migrations were added.");
        return;
    }
    output.line("| migration | up | verdict | down |");
    output.line("|---|---|---|---|");
    for step in report.steps.iter().take(STEPS_MAX) {
        output.line(format!(
            "| {} | {} | {} | {} |",
            code(&step.id),
            step.up.class.map_or("could not run", UpClass::word),
            step.verdict.word(),
            step.down.class.word().replace('_', " "),
        ));
    }
    if report.steps.len() > STEPS_MAX {
        output.line(format!("\nand {} more.", report.steps.len() - STEPS_MAX));
    }
    for step in report.steps.iter().take(STEPS_MAX) {
        details(step, output);
    }
    if let Some(span) = &report.span_verdict {
        output.line("");
        output.line(format!("Queries: {}", plain(&queries_words(&span.queries))));
        output.line("");
        output.line(format!("Boot: {}", plain(&boot_words(&span.boot))));
        for reason in span.reasons.iter().filter(|reason| reason.rule.contains("quer")) {
            let word = if reason.effect == Effect::Breaks { "**breaks**" } else { "unknown" };
            output.line(format!("- {word}: {} ({})", plain(&reason.text), code(&reason.rule)));
        }
    }
    output.line("");
    output.line(format!("Run on {}.", report.server));
}

fn details(step: &StepReport, output: &mut Output) {
    let mut lines: Vec<String> = step
        .reasons
        .iter()
        .map(|reason| {
            let word = match reason.effect {
                Effect::Breaks => "**breaks**",
                Effect::Unknown => "**unknown**",
                Effect::Assumes => "assumes",
            };
            format!("- {word}: {} ({})", plain(&reason.text), code(&reason.rule))
        })
        .collect();
    if is_wrong_down(step.down.class) {
        lines.extend(step.down.error.iter().map(|error| format!("- down fails: {}", plain(&error.placed()))));
        lines
            .extend(step.down.lost.iter().map(|what| format!("- down does not bring back: {}", plain(what))));
        lines.extend(step.down.remains.iter().map(|what| format!("- down leaves: {}", plain(what))));
    }
    if lines.is_empty() {
        return;
    }
    output.line("");
    output.line(format!("<details><summary>{}</summary>\n", html(&step.id)));
    for line in lines {
        output.line(line);
    }
    output.line("\n</details>");
}

/// A name as code, whatever backticks it holds.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'").replace('|', "\\|").replace('\n', " "))
}

/// Text without anything that Markdown or HTML would act on.
fn plain(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut plain = String::with_capacity(one_line.len());
    for c in html(&one_line).chars() {
        if matches!(c, '*' | '_' | '[' | ']' | '`' | '|' | '~' | '@' | '#') {
            plain.push('\\');
        }
        plain.push(c);
    }
    plain
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
