//! A drill's report for people.

use unship_core::time::DurationText;

use super::chart;
use crate::cli::output::{BAD, DIM, GOOD, STRONG};
use crate::flow::drill::{DrillReport, Phase, PhaseFigures};
use crate::load::attribution::Blame;

/// The width when standard output is no terminal.
const WIDTH_DEFAULT: usize = 100;

/// How many of users' values that differ are shown one by one.
const DIFFERENCES_MAX: usize = 20;

/// Columns of the terminal.
pub(super) fn width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0)
        .unwrap_or(WIDTH_DEFAULT)
}

/// The whole report, line by line; what matters most comes last, where a terminal stands.
pub(super) fn report(report: &DrillReport, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    lines.extend(timeline(report));
    lines.push(String::new());
    lines.extend(chart::draw(&report.course, report.bucket_ms, &report.phases, width));
    lines.push(legend(report));
    lines.push(String::new());
    lines.extend(phases(report));
    lines.extend(failures(report));
    lines.push(String::new());
    lines.extend(figures(report));
    lines.push(String::new());
    lines.extend(held(report));
    lines.push(String::new());
    lines.push(headline(report));
    lines
}

fn headline(report: &DrillReport) -> String {
    let DrillReport { scenario, from, to, .. } = report;
    let done = match (&report.flag, report.option) {
        (Some(_), _) => "flag off",
        (None, Some(2)) => "hotfix serves",
        (None, _) => "rolled back",
    };
    let words = match report.outcome {
        "rolled_back" | "rolled_forward" | "flag_off" => {
            format!("{GOOD}{done}{GOOD:#} in {}", ms_text(report.ceremony_ms))
        }
        "not_held" => format!("{BAD}{done}, but not as it must be{BAD:#}"),
        _ => format!("{BAD}not done{BAD:#}"),
    };
    let releases = match &report.flag {
        None => format!("{from} -> {to}"),
        Some(flag) => format!("{from}, flag {flag}"),
    };
    let (requests, failed) = (thousands(report.requests), thousands(report.failed_requests));
    format!(
        "{STRONG}{scenario}{STRONG:#} {releases}: {words}: {failed} of {requests} requests failed by unship"
    )
}

fn held(report: &DrillReport) -> Vec<String> {
    let line = |held: &crate::flow::drill::Held| match (&held.instead, held.held) {
        (_, true) => format!("  {GOOD}held{GOOD:#}      {}", held.what),
        (None, false) => format!("  {BAD}NOT HELD{BAD:#}  {}", held.what),
        (Some(instead), false) => format!("  {BAD}NOT HELD{BAD:#}  {}: {instead}", held.what),
    };
    report.held.iter().map(line).collect()
}

fn figures(report: &DrillReport) -> Vec<String> {
    let DrillReport { from, to, seen, seen_after_ms, ceremony_ms, floor_ms, .. } = report;
    let verified = match &report.flag {
        None => format!("{to} was verified"),
        Some(flag) => format!("{flag} was read back as off"),
    };
    let mut lines = vec![
        format!("  seen      {seen}, {} after the deploy of {from}", DurationText(*seen_after_ms)),
        format!("  ceremony  {} from the first action until {verified}", ms_text(*ceremony_ms)),
    ];
    lines.extend(floor_ms.map(|ms| {
        let what = if report.option == Some(3) { "start" } else { "flip" };
        format!("  floor     {} for the same {what} without unship, on the idle machine", ms_text(ms))
    }));
    lines.push(format!(
        "  requests  {}: {} failed by unship, {} failed by {from}",
        thousands(report.requests),
        thousands(report.failed_requests),
        thousands(report.failed_by_bad_release)
    ));
    if let Some(held_ms) = report.held_ms {
        lines.push(format!(
            "  hold      {}: {} requests were answered with 503 and Retry-After, as said beforehand",
            DurationText(held_ms),
            thousands(report.held_requests)
        ));
    }
    lines.extend(report.losses.iter().map(|loss| format!("  loss      {loss}; accepted, and salvaged")));
    if let Some(users) = &report.users {
        lines.push(format!("  users     {} values compared", thousands(users.compared)));
        lines.extend(users.differences.iter().take(DIFFERENCES_MAX).map(|one| format!("            {one}")));
        let more = users.differences.len().saturating_sub(DIFFERENCES_MAX);
        lines.extend((more > 0).then(|| format!("            and {more} more; --json has all")));
    }
    if report.sent_late > 0 {
        lines.push(format!(
            "  late      {} requests were sent late by this program: the machine was busy",
            thousands(report.sent_late)
        ));
    }
    lines
}

fn phase_name(report: &DrillReport, phase: Phase) -> String {
    let DrillReport { from, to, good, .. } = report;
    match (phase, &report.flag, report.option) {
        (Phase::Before, ..) => format!("{good} serves"),
        (Phase::Deploy, ..) => format!("deploy of {from}"),
        (Phase::Bad, ..) => format!("{from} fails"),
        (Phase::Rollback, Some(_), _) => "flag off".to_owned(),
        (Phase::Rollback, None, Some(2)) => format!("hotfix {to}"),
        (Phase::Rollback, None, _) => "rollback".to_owned(),
        (Phase::After, Some(_), _) => format!("{from} mended"),
        (Phase::After, None, Some(2)) => format!("{to} serves"),
        (Phase::After, None, _) => format!("{to} is back"),
    }
}

fn phases(report: &DrillReport) -> Vec<String> {
    let by_bad = format!("by {}", report.from);
    let by_bad_width = by_bad.chars().count().max(9);
    let is_held = report.held_ms.is_some();
    let held = |text: &str| if is_held { format!("{text:>8}") } else { String::new() };
    let mut lines = vec![format!(
        "  {DIM}{:<22}{:>9}{:>10}{:>8}{}  {by_bad:>by_bad_width$}{:>10}{:>10}{DIM:#}",
        "phase",
        "length",
        "requests",
        "failed",
        held("held"),
        "p50",
        "p99"
    )];
    for figures in &report.phases {
        let PhaseFigures { phase, from_ms, until_ms, requests, failed, failed_by_bad_release, .. } = figures;
        let latency = |of: fn(crate::load::summary::Latency) -> u64| {
            figures.latency.map_or_else(|| "-".to_owned(), |latency| latency_text(of(latency)))
        };
        lines.push(format!(
            "  {:<22}{:>9}{:>10}{:>8}{}  {:>by_bad_width$}{:>10}{:>10}",
            phase_name(report, *phase),
            DurationText(until_ms - from_ms).to_string(),
            thousands(*requests),
            thousands(*failed),
            held(&thousands(figures.held)),
            thousands(*failed_by_bad_release),
            latency(|latency| latency.p50_us),
            latency(|latency| latency.p99_us),
        ));
    }
    lines
}

fn failures(report: &DrillReport) -> Vec<String> {
    let mut lines = Vec::new();
    for figures in &report.phases {
        for group in &figures.failures {
            let whose = match (group.whose, figures.phase) {
                (Blame::BadRelease, _) => report.from.to_string(),
                (Blame::Held, _) => "held".to_owned(),
                (Blame::Unship, Phase::Rollback | Phase::Deploy) => "unship".to_owned(),
                (Blame::Unship, _) => "unexplained".to_owned(),
            };
            let reused = match group.on_reused_connection {
                0 => String::new(),
                count => format!(", {} on a connection used before", thousands(count)),
            };
            lines.push(format!(
                "    {}: {} of `{}`: {}{reused} ({whose})",
                phase_name(report, figures.phase),
                thousands(group.count),
                group.request,
                group.outcome,
            ));
        }
    }
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}

fn legend(report: &DrillReport) -> String {
    let way = match (&report.flag, report.option) {
        (Some(_), _) => "flag off",
        (None, Some(2)) => "hotfix",
        (None, _) => "rollback",
    };
    let letter = chart::phase_letter;
    format!(
        "  {:>8}  {} deploy of the bad release, {} it fails, {} {way}",
        "",
        letter(Phase::Deploy),
        letter(Phase::Bad),
        letter(Phase::Rollback)
    )
}

fn timeline(report: &DrillReport) -> Vec<String> {
    let moment = |moment: &crate::flow::drill::Moment| {
        format!("  {:>6}.{:03} s  {}", moment.at_ms / 1_000, moment.at_ms % 1_000, moment.what)
    };
    report.timeline.iter().map(moment).collect()
}

/// Microseconds as a person reads a latency.
pub(super) fn latency_text(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..10_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        10_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

fn ms_text(ms: f64) -> String {
    if ms < 100.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// 41022 as 41,022.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
