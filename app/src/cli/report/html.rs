//! The page: self-contained, without scripts, every word of others escaped.

use unship_core::aftercare::{Kind, Notice};
use unship_core::decision::Decided;
use unship_core::explain::{self, Tone};
use unship_core::journal::{Beat, Outcome, Pulse};
use unship_core::time::DurationText;

use super::page::{Lane, Page};
use crate::cli::aftercare::to_whom;
use crate::cli::time_text;
use crate::plain::plain;

/// Nothing is fetched, nothing is run, whatever stands in the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

const STYLE: &str = include_str!("report.css");

/// The most events that the page lists.
const EVENTS_MAX: usize = 2_000;

/// The whole page.
pub(super) fn page(page: &Page<'_>) -> String {
    let notice = page.notice;
    let title = escape(&format!("{} {}: {}", notice.service, notice.environment, page.state.plan.title()));
    let sections = [
        header(page),
        timeline(&page.lanes(), notice.took_ms),
        flip(notice.decided.as_ref()),
        meanwhile(&notice.pulses, notice.took_ms),
        decision(notice.decided.as_ref()),
        failures(&notice.failures),
        told(page),
        owed(page),
        events(page),
    ];
    let (run, began) = (escape(notice.run.as_str()), escape(&time_text(notice.at)));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"content-security-policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n\
         </head>\n<body>\n<main>\n{}</main>\n<footer>run {run}, began {began}; written by unship {}</footer>\n\
         </body>\n</html>\n",
        sections.concat(),
        env!("CARGO_PKG_VERSION"),
    )
}

/// Text as it stands between tags and in attributes (WHATWG HTML, 13.3), on one line.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in plain(text).chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Plain => "plain",
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Warn => "warn",
    }
}

fn header(page: &Page<'_>) -> String {
    let notice = page.notice;
    let tone = match notice.outcome {
        Outcome::Completed => Tone::Good,
        Outcome::WentBack => Tone::Warn,
        Outcome::Partial | Outcome::WentBackPartly => Tone::Bad,
    };
    let told = Notice::all(page.state, page.entries);
    let untested = if told.iter().any(|notice| notice.kind == Kind::Untested) {
        " <span class=\"badge bad\">untested code serves</span>"
    } else {
        ""
    };
    let from = notice.from.as_ref().map(|from| {
        format!(
            "<span class=\"from\">{}</span><span class=\"arrow\" aria-label=\"to\">→</span>",
            escape(&from.to_string())
        )
    });
    let facts = [
        ("Took", DurationText(notice.took_ms).to_string()),
        ("Failure", notice.mode_words().to_owned()),
        ("By", notice.who.clone()),
        ("Began", time_text(notice.at)),
    ];
    let facts: Vec<String> = facts
        .iter()
        .map(|(label, text)| format!("<div><dt>{label}</dt><dd>{}</dd></div>\n", escape(text)))
        .collect();
    let facts = facts.concat();
    format!(
        "<header>\n<p class=\"where\">{} · {} · {}</p>\n<h1>{}<span class=\"to\">{}</span></h1>\n\
         <p><span class=\"badge {}\">{}</span>{untested}</p>\n<p class=\"why\">{}</p>\n<dl class=\"facts\">\n{facts}</dl>\n</header>\n",
        escape(notice.service.as_str()),
        escape(notice.environment.as_str()),
        page.state.plan.kind.verb(),
        from.unwrap_or_default(),
        escape(&notice.to.to_string()),
        class(tone),
        explain::outcome(Some(notice.outcome)),
        escape(&notice.reason),
    )
}

/// One row a step: its name, how long it took, and a bar where it lay in the run.
fn timeline(lanes: &[Lane], took_ms: u64) -> String {
    if lanes.is_empty() {
        return String::new();
    }
    let whole = took_ms.max(1);
    let rows: String = lanes.iter().map(|lane| row(lane, whole)).collect();
    format!(
        "<section>\n<h2>Timeline</h2>\n<ol class=\"lanes\">\n{rows}</ol>\n\
         <p class=\"axis\"><span>0</span><span>{}</span></p>\n</section>\n",
        DurationText(took_ms)
    )
}

fn row(lane: &Lane, whole: u64) -> String {
    let (bar, took) = match lane.span {
        Some((from, to)) => {
            // In thousandths of the run; a step that took no time is seen all the same.
            let x = (from.min(whole) * 1_000 / whole).min(994);
            let width = (to.min(whole).saturating_sub(from) * 1_000 / whole).max(6).min(1_000 - x);
            let rect = format!(
                "<rect class=\"{}\" x=\"{x}\" y=\"0\" width=\"{width}\" height=\"10\" rx=\"3\"/>",
                class(lane.tone)
            );
            (rect, DurationText(to.saturating_sub(from)).to_string())
        }
        None => (String::new(), String::new()),
    };
    let state = if lane.state == "done" { took } else { format!("{} {took}", lane.state) };
    format!(
        "<li><span class=\"step\">{}</span><span class=\"took {}\">{}</span>\
         <svg viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">\
         <rect class=\"track\" x=\"0\" y=\"4\" width=\"1000\" height=\"2\"/>{bar}</svg></li>\n",
        escape(&lane.title),
        class(lane.tone),
        escape(state.trim()),
        escape(&format!("{}: {}", lane.title, state.trim())),
    )
}

/// How the release did right before it was taken back.
fn flip(decided: Option<&Decided>) -> String {
    let Some(decided) = decided.filter(|decided| !decided.health.is_empty()) else { return String::new() };
    let rows: Vec<String> = decided
        .health
        .iter()
        .map(|health| {
            let tone = if health.restarts > 0 { "bad" } else { "plain" };
            format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"{tone}\">{}</td></tr>\n",
                escape(health.host.as_str()),
                health.running,
                health.restarts
            )
        })
        .collect();
    let rows = rows.concat();
    format!(
        "<section>\n<h2>Before the flip</h2>\n<table>\n<thead><tr><th>Host</th><th>Running</th><th>Restarts</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table>\n</section>\n"
    )
}

/// How the service answered while the run acted: one strip a host, a bar a question.
fn meanwhile(pulses: &[Pulse], took_ms: u64) -> String {
    if pulses.is_empty() {
        return String::new();
    }
    let strips: Vec<String> = pulses.iter().map(|pulse| strip(pulse, took_ms.max(1))).collect();
    let (strips, end) = (strips.concat(), DurationText(took_ms));
    format!(
        "<section>\n<h2>What clients felt</h2>\n<ol class=\"lanes\">\n{strips}</ol>\n\
         <p class=\"axis\"><span>0</span><span>{end}</span></p>\n\
         <p class=\"note\">Each bar is one request of unship's own to the health check, taller the longer the answer took \
         (logarithmic, 0.1 ms to 10 s); a red bar of full height had no good answer.</p>\n</section>\n"
    )
}

fn strip(pulse: &Pulse, whole: u64) -> String {
    let bars: String = pulse.beats.iter().map(|beat| bar(*beat, whole)).collect();
    let (missed, all) = (pulse.missed(), pulse.beats.len());
    let class = if missed == 0 { "good" } else { "bad" };
    let words = explain::pulse(pulse);
    format!(
        "<li><span class=\"step\">{}</span><span class=\"took {class}\">{} of {all} answered</span>\
         <svg class=\"strip\" viewBox=\"0 0 1000 30\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">\
         <rect class=\"track\" x=\"0\" y=\"29\" width=\"1000\" height=\"1\"/>{bars}</svg></li>\n",
        escape(pulse.host.as_str()),
        all - missed,
        escape(&words),
    )
}

/// A bar of 1 to 30 for answers of 0.1 ms to 10 s: six for each tenfold.
fn bar(beat: Beat, whole: u64) -> String {
    let x = (beat.at_ms.min(whole) * 996 / whole).min(996);
    let (class, height) = match beat.took_us {
        None => ("bad", 30),
        Some(us) => ("plain", bar_height(us)),
    };
    format!("<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"3\" height=\"{height}\"/>", 30 - height)
}

fn bar_height(us: u64) -> u64 {
    // Halvings from 100 us on: a tenfold has 3.3 of them.
    let doublings = u64::from((us / 100).max(1).ilog2());
    (doublings * 6 * 10 / 33 + 1).min(30)
}

fn decision(decided: Option<&Decided>) -> String {
    let Some(decided) = decided else { return String::new() };
    let mut list: Vec<String> = explain::reasons(&decided.facts, &decided.decision)
        .iter()
        .map(|reason| item(reason, "plain"))
        .collect();
    list.extend(decided.risks.iter().map(|risk| item(&format!("risk: {risk}"), "warn")));
    if let Some(overruled) = &decided.overruled {
        list.push(item(&format!("overruled: {}", overruled.reason), "warn"));
    }
    format!(
        "<section>\n<h2>Decision</h2>\n<p class=\"headline\">{}</p>\n<ul>\n{}</ul>\n<h3>Schema</h3>\n<p>{}</p>\n</section>\n",
        escape(&explain::headline(&decided.facts, &decided.decision)),
        list.concat(),
        escape(&explain::span(&decided.facts.span)),
    )
}

fn item(text: &str, class: &str) -> String {
    format!("<li class=\"{class}\">{}</li>\n", escape(text))
}

fn failures(failures: &[String]) -> String {
    if failures.is_empty() {
        return String::new();
    }
    let list: String = failures.iter().map(|failure| item(failure, "bad")).collect();
    format!("<section>\n<h2>What failed</h2>\n<ul>\n{list}</ul>\n</section>\n")
}

fn told(page: &Page<'_>) -> String {
    if page.deliveries.is_empty() {
        return String::new();
    }
    let rows: Vec<String> = page
        .deliveries
        .iter()
        .map(|delivery| {
            let tone = if delivery.state.is_owed() { "warn" } else { "good" };
            let rest = delivery.place.as_ref().or(delivery.error.as_ref()).map(|text| escape(text)).unwrap_or_default();
            format!(
                "<tr><th scope=\"row\">{}</th><td class=\"{tone}\">{}</td><td class=\"rest\">{rest}</td></tr>\n",
                escape(&to_whom(delivery)),
                delivery.state.words()
            )
        })
        .collect();
    let rows = rows.concat();
    format!("<section>\n<h2>Told</h2>\n<table>\n<tbody>\n{rows}</tbody>\n</table>\n</section>\n")
}

fn owed(page: &Page<'_>) -> String {
    if page.notice.owed.is_empty() {
        return String::new();
    }
    let list: Vec<String> = page
        .notice
        .owed
        .iter()
        .map(|owed| {
            let (mark, class) = if owed.done { ("☑", "good") } else { ("☐", "plain") };
            format!(
                "<li class=\"{class}\"><span aria-hidden=\"true\">{mark}</span> {}</li>\n",
                escape(&owed.text)
            )
        })
        .collect();
    let list = list.concat();
    format!("<section>\n<h2>Still to do</h2>\n<ul class=\"todo\">\n{list}</ul>\n</section>\n")
}

fn events(page: &Page<'_>) -> String {
    let all = &page.notice.timeline;
    let rows: Vec<String> = all
        .iter()
        .take(EVENTS_MAX)
        .map(|moment| {
            let after = DurationText(moment.at.since_ms(page.notice.at));
            format!(
                "<tr><td class=\"when\">+{after}</td><td class=\"{}\">{}</td></tr>\n",
                class(moment.tone),
                escape(&moment.text)
            )
        })
        .collect();
    let rows = rows.concat();
    let more = match all.len().saturating_sub(EVENTS_MAX) {
        0 => String::new(),
        count => format!("<p>and {count} more</p>\n"),
    };
    format!(
        "<section>\n<details>\n<summary>Every event of the journal ({})</summary>\n<table class=\"events\">\n<tbody>\n{rows}</tbody>\n</table>\n{more}</details>\n</section>\n",
        all.len()
    )
}

#[cfg(test)]
mod tests;
