//! The texts that couriers share: a line for a file, some lines for a channel or a mail.

use super::notice::{Kind, Notice};
use crate::decision::{Act, Down};
use crate::explain;
use crate::time::DurationText;

/// The most characters that one line of a message has.
const LINE_CHARS_MAX: usize = 500;

/// The most failures that a message names.
const FAILURES_MAX: usize = 8;

/// The text on one line, without characters that control a terminal or turn the direction of writing round.
fn plain(text: &str) -> String {
    let turned = |char: &char| !matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut line: String = text
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .filter(turned)
        .take(LINE_CHARS_MAX + 1)
        .collect();
    if line.chars().count() > LINE_CHARS_MAX {
        line = line.chars().take(LINE_CHARS_MAX - 1).collect();
        line.push('…');
    }
    line
}

/// The text without anything that calls people in a channel: an `@` at the start of a word is kept from being one.
pub fn inert(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for char in text.chars() {
        out.push(char);
        if char == '@' && !before.is_alphanumeric() {
            out.push('\u{2060}');
        }
        before = char;
    }
    out
}

/// The notice on one line, without its time.
pub fn one_line(notice: &Notice) -> String {
    let from = notice.from.as_ref().map_or("nothing", |from| from.tag.as_str());
    let outcome = explain::outcome(Some(notice.outcome));
    let Notice { run, service, environment, who, to, reason, .. } = notice;
    let what = match notice.kind {
        Kind::Rollback => "",
        Kind::Untested => "untested code serves: ",
    };
    let line =
        format!("{what}{service} {environment}: {from} -> {to}, {reason}; {outcome}; by {who}, run {run}");
    line.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// What it is about, for the subject of a mail or the title of an issue.
pub fn subject(notice: &Notice) -> String {
    let Notice { service, environment, to, .. } = notice;
    let from = notice.from.as_ref().map_or("nothing", |from| from.tag.as_str());
    match notice.kind {
        Kind::Rollback => {
            let how = match explain::outcome(Some(notice.outcome)) {
                "completed" => String::new(),
                other => format!(" ({other})"),
            };
            plain(&format!(
                "{service} {environment}: {from} taken back to {to}{how}: {}",
                notice.mode_words()
            ))
        }
        Kind::Untested => {
            plain(&format!("{service} {environment}: {to} serves and is not known to have passed CI"))
        }
    }
}

/// The notice as lines of plain text. `may_repeat` says that it may have been told before.
pub fn message(notice: &Notice, may_repeat: bool) -> Vec<String> {
    let mut lines = vec![subject(notice)];
    if may_repeat {
        lines.push("(may repeat an earlier note: whether that one arrived is not known)".into());
    }
    let mut say = |label: &str, text: String| lines.push(format!("{label}: {}", plain(&text)));
    say("why", notice.reason.clone());
    if let Some(decided) = &notice.decided {
        say("decision", explain::headline(&decided.facts, &decided.decision));
        if let Some(overruled) = &decided.overruled {
            say("override", overruled.reason.clone());
        }
        say("schema", explain::span(&decided.facts.span));
        if decided.act() == Act::DownAndBack
            && let Down::Runs { loss } = &decided.facts.down
        {
            say("loss", if loss.is_empty() { "nothing".into() } else { loss.join("; ") });
        }
    }
    let outcome = explain::outcome(Some(notice.outcome));
    say("outcome", format!("{outcome} in {}", DurationText(notice.took_ms)));
    for failure in notice.failures.iter().take(FAILURES_MAX) {
        say("failed", failure.clone());
    }
    if notice.failures.len() > FAILURES_MAX {
        say("failed", format!("and {} more", notice.failures.len() - FAILURES_MAX));
    }
    let owed: Vec<&str> =
        notice.owed.iter().filter(|owed| !owed.done).map(|owed| owed.text.as_str()).collect();
    if !owed.is_empty() {
        say("owed", owed.join("; "));
    }
    say("by", format!("{}, run {}", notice.who, notice.run));
    lines
}

#[cfg(test)]
mod tests;
