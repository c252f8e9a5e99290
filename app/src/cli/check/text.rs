//! The check for people.

use anstyle::Style;
use unship_core::explain;
use unship_core::verdict::{
    Boot, BootAnswer, DownClass, DownReport, Effect, QueryEvidence, Reup, SpanVerdict, StepReport, UpClass,
    Verdict,
};

use crate::cli::output::{BAD, DIM, GOOD, Output, STRONG, WARN};
use crate::flow::check::{CheckReport, is_wrong_down};
use crate::ports::LiveSchema;

/// Most lines about one list of a step.
const LINES_MAX: usize = 8;

/// `live` is the live database, if it was looked at.
pub(super) fn print(report: &CheckReport, live: Option<&LiveSchema>, output: &mut Output) {
    for remark in &report.remarks {
        output.note(format!("{WARN}note:{WARN:#} {remark}"));
    }
    let width = report.steps.iter().map(|step| step.id.chars().count()).max().unwrap_or(0).min(60);
    for step in &report.steps {
        print_step(step, width, report.span.is_some(), output);
    }
    output.line("");
    print_summary(report, live, output);
}

fn print_step(step: &StepReport, width: usize, in_detail: bool, output: &mut Output) {
    let class = step.up.class.map_or("could not run", UpClass::word);
    let style = verdict_style(step.verdict);
    let down = down_words(&step.down);
    let down_style = down_style(&step.down);
    output.line(format!(
        "{STRONG}{:width$}{STRONG:#}  {class:<13}  {style}{:<10}{style:#}  {down_style}down {down}{down_style:#}",
        step.id,
        step.verdict.word(),
    ));
    if let Some(error) = &step.up.error {
        output.line(format!("    {BAD}up{BAD:#}      {}", error.placed()));
    }
    if in_detail {
        some(step.up.changes.iter().map(ToString::to_string), "        ", output);
    }
    for reason in &step.reasons {
        if !in_detail && reason.effect == Effect::Assumes || step.up.error.is_some() {
            continue;
        }
        let (word, style) = effect_words(reason.effect);
        output.line(format!("    {style}{word:<7}{style:#} {} {DIM}[{}]{DIM:#}", reason.text, reason.rule));
    }
    print_down(&step.down, output);
    for remark in &step.remarks {
        output.line(format!("    {DIM}note    {remark}{DIM:#}"));
    }
}

fn print_down(down: &DownReport, output: &mut Output) {
    if let Some(error) = &down.error {
        output.line(format!("    {BAD}down{BAD:#}    {}", error.placed()));
    }
    if down.class != DownClass::ColumnOrder {
        some(
            down.lost.iter().map(|what| format!("not back: {what}")),
            &format!("    {BAD}down{BAD:#}    "),
            output,
        );
        some(
            down.remains.iter().map(|what| format!("left over: {what}")),
            &format!("    {BAD}down{BAD:#}    "),
            output,
        );
    }
    let gone = &down.schema_restored_data_gone;
    if !gone.is_empty() {
        let what = gone.tables.iter().chain(&gone.columns).cloned().collect::<Vec<_>>().join(", ");
        output.line(format!("    {WARN}down{WARN:#}    brings {what} back without the rows"));
    }
    match &down.reup {
        Some(Reup::Fails { error }) => {
            output.line(format!("    {WARN}up again{WARN:#} {}", error.placed()));
        }
        Some(Reup::Differs { changes }) => {
            some(changes.iter().map(ToString::to_string), &format!("    {WARN}up again{WARN:#} "), output);
        }
        Some(Reup::Same) | None => {}
    }
}

/// The first few lines of a list.
fn some(lines: impl ExactSizeIterator<Item = String>, margin: &str, output: &mut Output) {
    let count = lines.len();
    for line in lines.take(LINES_MAX) {
        output.line(format!("{margin}{line}"));
    }
    if count > LINES_MAX {
        output.line(format!("{margin}and {} more", count - LINES_MAX));
    }
}

fn down_words(down: &DownReport) -> String {
    let mut words = match down.class {
        DownClass::EmptyButUpChanged => "empty although the up changed something".to_owned(),
        DownClass::ColumnOrder => "exact but for the order of columns".to_owned(),
        DownClass::NotRun => "not run".to_owned(),
        class => class.word().to_owned(),
    };
    if let [first, .., last] = down.exact_only_as_group.as_slice() {
        words.push_str(&format!(", exact together with {first} to {last}"));
    }
    let destroyed = down.destroys.objects.tables.len() + down.destroys.objects.columns.len();
    if destroyed > 0 {
        words.push_str(&format!(", destroys {}", count(destroyed, "table or column", "tables and columns")));
    }
    if let Some(why) = &down.not_atomic {
        words.push_str(&format!(", not atomic: {why}"));
    }
    words
}

fn down_style(down: &DownReport) -> Style {
    if is_wrong_down(down.class) && down.exact_only_as_group.is_empty() {
        BAD
    } else if down.class == DownClass::Exact {
        DIM
    } else {
        Style::new()
    }
}

fn verdict_style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Compatible => GOOD,
        Verdict::Unknown => WARN,
        Verdict::Breaks => BAD,
    }
}

fn print_summary(report: &CheckReport, live: Option<&LiveSchema>, output: &mut Output) {
    let summary = &report.summary;
    let listed = |counts: &std::collections::BTreeMap<&'static str, usize>| {
        let mut counts: Vec<_> = counts.iter().collect();
        counts.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        counts
            .iter()
            .map(|(word, count)| format!("{count} {}", word.replace('_', " ")))
            .collect::<Vec<_>>()
            .join(", ")
    };
    output.line(format!(
        "{} of {} on {}, {} ms ({} steps a second)",
        count(summary.steps, "step", "steps"),
        report.tool,
        report.server,
        summary.ms,
        summary.steps_per_second
    ));
    if summary.steps > 0 {
        output.line(format!("  up       {}", listed(&summary.up)));
        output.line(format!("  down     {}", listed(&summary.down)));
        output.line(format!("  verdict  {}", listed(&summary.verdict)));
    }
    if let Some(verdict) = &report.span_verdict {
        print_span(verdict, live, output);
        // Those of single steps stand there.
        let of_steps = |remark: &&String| report.steps.iter().any(|step| step.remarks.contains(*remark));
        for remark in verdict.remarks.iter().filter(|remark| !of_steps(remark)) {
            output.line(format!("    {DIM}note    {remark}{DIM:#}"));
        }
    }
    if let Some(span) = &report.span {
        let style = verdict_style(report.verdict);
        let words = match report.verdict {
            Verdict::Compatible => "can be taken back: the older code runs on the newer schema",
            Verdict::Unknown => {
                "not known to be safe to take back: a person has to answer the questions above"
            }
            Verdict::Breaks => "cannot be taken back by its code alone",
        };
        output.line(format!(
            "{style}{}{style:#}: {} to {}: {words}",
            report.verdict.word(),
            span.new,
            span.old
        ));
    }
}

/// What the span as a whole says: its queries, its boot, its locks.
fn print_span(span: &SpanVerdict, live: Option<&LiveSchema>, output: &mut Output) {
    output.line(format!("  queries  {}", queries_words(&span.queries)));
    output.line(format!("  boot     {}", boot_words(&span.boot)));
    let locks = span
        .locks
        .iter()
        .filter(|lock| lock.stops_others())
        .map(|lock| explain::lock(lock, live.and_then(|live| live.bytes_of(&lock.table))));
    some(locks.collect::<Vec<_>>().into_iter(), "  locks    ", output);
    let reasons = span
        .reasons
        .iter()
        .filter(|reason| reason.effect >= Effect::Unknown || span.verdict == Verdict::Compatible);
    for reason in reasons.take(3 * LINES_MAX) {
        let (word, style) = effect_words(reason.effect);
        output.line(format!("    {style}{word:<7}{style:#} {} {DIM}[{}]{DIM:#}", reason.text, reason.rule));
    }
    for settle in &span.settles {
        output.line(format!("    {WARN}settles{WARN:#} {settle}"));
    }
}

pub(in crate::cli) fn queries_words(queries: &QueryEvidence) -> String {
    match queries {
        QueryEvidence::No { how } => format!("none known; {how}"),
        QueryEvidence::Yes { source, usable, passed, unusable } => {
            let mut words = format!("{passed} of {usable} from {source} plan on the newer schema");
            if *unusable > 0 {
                words.push_str(&format!("; {unusable} do not plan even on the older one and prove nothing"));
            }
            words
        }
    }
}

pub(in crate::cli) fn boot_words(boot: &Boot) -> String {
    let proven = if boot.proven { "proved" } else { "by rule" };
    match boot.answer {
        BootAnswer::Starts => format!("starts ({proven}): {}", boot.why),
        BootAnswer::Refuses => format!("refuses ({proven}): {}", boot.why),
        BootAnswer::Unknown => format!("not known: {}", boot.why),
    }
}

fn effect_words(effect: Effect) -> (&'static str, Style) {
    match effect {
        Effect::Breaks => ("breaks", BAD),
        Effect::Unknown => ("unknown", WARN),
        Effect::Assumes => ("assumes", DIM),
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
