//! The follow-up issue, in Markdown. What others wrote stands in code fences, where it is text and nothing else: no
//! mention, no link, no reference.

use serde::{Deserialize, Serialize};

use super::mask::mask;
use super::notice::Notice;
use super::text::subject;
use crate::explain;
use crate::time::{DurationText, Timestamp};

/// The most characters of an issue. GitHub takes 65,536 (its API answers 422 to more); a marker has to fit as well.
const BODY_CHARS_MAX: usize = 60_000;

/// The most moments of the timeline that an issue carries.
const MOMENTS_MAX: usize = 200;

/// A commit between the two tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its abbreviated id.
    pub id: String,
    /// Its first line.
    pub subject: String,
    /// Who wrote it.
    pub author: String,
}

/// What can be said of the commits that the bad release added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "known", rename_all = "snake_case")]
pub enum Suspects {
    /// They could not be listed.
    No {
        /// Why.
        why: String,
    },
    /// They are these.
    Yes {
        /// The newest first.
        commits: Vec<Commit>,
        /// How many more there are.
        more: usize,
    },
}

/// A follow-up issue, and the comment that stands for it where one is open already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
    /// What the text holds so that a later command knows it was filed: hidden where Markdown is shown.
    pub marker: String,
    /// What an open issue about the same failure holds.
    pub failure_marker: String,
}

impl Issue {
    /// The issue of a notice. `time` writes a point in time for people.
    pub fn of(notice: &Notice, suspects: &Suspects, key: &str, time: impl Fn(Timestamp) -> String) -> Issue {
        let marker = format!("<!-- unship:notice:{key} -->");
        let failure_marker = format!("<!-- unship:failure:{} -->", notice.failure_key());
        let mut body = sections(notice, suspects, &time).join("\n\n");
        if body.chars().count() > BODY_CHARS_MAX {
            body = body.chars().take(BODY_CHARS_MAX).collect();
            // Whatever fence was cut open is closed, and the rest is said to be missing.
            body.push_str("\n````````\n\nThe rest is in `unship report`.");
        }
        body.push_str(&format!("\n\n{marker}\n{failure_marker}\n"));
        Issue { title: subject(notice), body, marker, failure_marker }
    }
}

/// The same for a post-mortem: the sections without markers, however long.
pub fn markdown(notice: &Notice, suspects: &Suspects, time: impl Fn(Timestamp) -> String) -> String {
    sections(notice, suspects, &time).join("\n\n")
}

fn sections(notice: &Notice, suspects: &Suspects, time: &impl Fn(Timestamp) -> String) -> Vec<String> {
    let mut all = Vec::new();
    let mut facts = vec![
        ("failure mode", notice.mode_words().to_owned()),
        ("taken back", notice.from.as_ref().map_or("nothing".into(), ToString::to_string)),
        ("serves now", notice.to.to_string()),
        ("why", notice.reason.clone()),
        ("outcome", explain::outcome(Some(notice.outcome)).to_owned()),
        ("took", DurationText(notice.took_ms).to_string()),
        ("began", time(notice.at)),
        ("by", notice.who.clone()),
        ("run", notice.run.to_string()),
    ];
    if let Some(decided) = &notice.decided {
        facts.insert(1, ("decision", explain::headline(&decided.facts, &decided.decision)));
        if let Some(overruled) = &decided.overruled {
            facts.insert(2, ("override", overruled.reason.clone()));
        }
        facts.push(("schema", explain::span(&decided.facts.span)));
    }
    all.push(fenced(facts.iter().map(|(label, text)| format!("{label:<13} {}", line(text)))));
    let mut evidence: Vec<String> = Vec::new();
    if let Some(decided) = &notice.decided {
        evidence.extend(decided.health.iter().map(explain::health));
        evidence.extend(explain::reasons(&decided.facts, &decided.decision));
        evidence.extend(decided.risks.iter().cloned());
    }
    evidence.extend(notice.pulses.iter().map(explain::pulse));
    evidence.extend(notice.failures.iter().map(|failure| format!("failed: {failure}")));
    if !evidence.is_empty() {
        all.push("### Evidence".into());
        all.push(fenced(evidence.iter().map(|text| line(&mask(text)))));
    }
    all.push("### Timeline".into());
    let moments = notice.timeline.iter().take(MOMENTS_MAX);
    let mut lines: Vec<String> =
        moments.map(|moment| format!("{}  {}", time(moment.at), line(&moment.text))).collect();
    if notice.timeline.len() > MOMENTS_MAX {
        lines.push(format!("... and {} more", notice.timeline.len() - MOMENTS_MAX));
    }
    all.push(fenced(lines.into_iter()));
    all.push("### Suspect commits".into());
    all.push(match suspects {
        Suspects::No { why } => fenced(std::iter::once(format!("not known: {}", line(&mask(why))))),
        Suspects::Yes { commits, more } => {
            let mut lines: Vec<String> = commits
                .iter()
                .map(|commit| {
                    format!("{}  {}  ({})", commit.id, line(&mask(&commit.subject)), line(&commit.author))
                })
                .collect();
            if *more > 0 {
                lines.push(format!("... and {more} more"));
            }
            if lines.is_empty() {
                lines.push("none between the two tags".into());
            }
            fenced(lines.into_iter())
        }
    });
    if notice.owed.is_empty() {
        return all;
    }
    all.push("### To do".into());
    let owed = notice
        .owed
        .iter()
        .map(|owed| format!("- [{}] {}", if owed.done { 'x' } else { ' ' }, code(&owed.text)));
    all.push(owed.collect::<Vec<_>>().join("\n"));
    all
}

/// The text of others on one line.
fn line(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// Lines in a fence that is longer than any run of backticks in them.
fn fenced(lines: impl Iterator<Item = String>) -> String {
    let text = lines.collect::<Vec<_>>().join("\n");
    let fence = "`".repeat(longest_run(&text).max(2) + 1);
    format!("{fence}text\n{text}\n{fence}")
}

/// The text as a code span, as CommonMark 6.1 has it.
fn code(text: &str) -> String {
    let fence = "`".repeat(longest_run(text) + 1);
    format!("{fence} {} {fence}", line(text))
}

fn longest_run(text: &str) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for char in text.chars() {
        run = if char == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests;
