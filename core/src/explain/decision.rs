//! Decisions.

use crate::decision::{Act, Because, Ceremony, Decision, Down, Facts, Flag, HostHealth, Hotfix, Row, Span};
use crate::journal::Pulse;
use crate::time::DurationText;

/// The releases that a decision is about, where they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tags<'a> {
    /// What serves and fails.
    pub from: Option<&'a str>,
    /// What would serve again.
    pub to: Option<&'a str>,
}

/// What to do, in a few words.
pub fn act(act: Act) -> &'static str {
    match act {
        Act::FlagOff => "roll forward: turn the flag off now, the fix follows",
        Act::Hotfix => "roll forward: ship the hotfix",
        Act::CodeBack => "option 1: roll the code back, leave the schema alone",
        Act::OneHostFirst => "option 1 on one host first: look at it there, then the rest",
        Act::Ask => "roll back, but somebody must say that the old code runs on this schema",
        Act::HotfixOnTop => "option 2: roll forward to a hotfix on top of the bad release",
        Act::DownAndBack => "option 3: migrate down step by step, then roll the code back",
    }
}

/// The decision on one line.
pub fn headline(facts: &Facts, decision: &Decision) -> String {
    match (&facts.flag, decision.act) {
        (Flag::Known { name }, Act::FlagOff) => {
            format!("roll forward: turn off the flag {name} now, the fix follows")
        }
        (_, other) => act(other).to_owned(),
    }
}

/// Whether the old code runs on the schema, on one line.
pub fn span(span: &Span) -> String {
    match span {
        Span::Compatible { why } => format!("compatible: {why}"),
        Span::Unknown { what } => format!("unknown: {}", what.join("; ")),
        Span::Breaks { what } => format!("breaks: {}", what.join("; ")),
    }
}

/// How the failing release does on a host, on one line.
pub fn health(health: &HostHealth) -> String {
    let HostHealth { host, running, restarts } = health;
    match (running, restarts) {
        (0, _) => format!("{host}: no instance of it runs"),
        (count, 0) => format!("{host}: {count} running, none restarted"),
        (count, restarts) => format!("{host}: {count} running, restarted {restarts} times"),
    }
}

/// How the service answered on a host while the run acted.
pub fn pulse(pulse: &Pulse) -> String {
    let (host, all, missed) = (&pulse.host, pulse.beats.len(), pulse.missed());
    let missed =
        if missed == 0 { "every one answered".to_owned() } else { format!("{missed} not answered well") };
    let ms = |us: u64| format!("{}.{} ms", us / 1_000, us % 1_000 / 100);
    let times = pulse
        .middle_and_longest_us()
        .map(|(middle, longest)| format!(", middle {}, slowest {}", ms(middle), ms(longest)));
    format!("{host} was asked {all} times meanwhile: {missed}{}", times.unwrap_or_default())
}

/// Everything that speaks for the decision, the row of the table first.
pub fn reasons(facts: &Facts, decision: &Decision) -> Vec<String> {
    let mut all = vec![row(facts, decision.row)];
    all.extend(decision.because.iter().map(|reason| because(facts, *reason)));
    all
}

fn eta(facts: &Facts) -> String {
    match facts.hotfix {
        Hotfix::After { eta_ms } => DurationText(eta_ms).to_string(),
        Hotfix::NotKnown | Hotfix::OutOfTheQuestion => "not known".into(),
    }
}

fn ceremony(facts: &Facts) -> String {
    match facts.ceremony {
        Ceremony::Measured { ms, runs: 1 } => format!("{} (the one earlier rollback here)", DurationText(ms)),
        Ceremony::Measured { ms, runs } => format!("{} (median of {runs} rollbacks here)", DurationText(ms)),
        Ceremony::Rehearsed { ms } => format!("{} (in a drill, not here)", DurationText(ms)),
        Ceremony::NotKnown => "a time that is not known".into(),
    }
}

fn row(facts: &Facts, row: Row) -> String {
    let hosts = facts.hosts;
    match row {
        Row::SmallBugBehindFlag => "a small bug behind a flag that can be turned off".into(),
        Row::HotfixIsFaster => {
            format!("the hotfix takes {}, going back takes {}", eta(facts), ceremony(facts))
        }
        Row::SpanCompatible => "the old code runs on the schema as it is".into(),
        Row::SpanUnknownFleet => {
            format!("whether the old code runs on this schema is not known, and one of {hosts} hosts can try")
        }
        Row::SpanUnknownAlone => {
            "whether the old code runs on this schema is not known, and there is no second host to try it on"
                .into()
        }
        Row::SpanBreaksHotfix => {
            "the old code cannot run on this schema, and a hotfix can be waited for".into()
        }
        Row::SpanBreaksDown => {
            "the old code cannot run on this schema, a hotfix cannot be waited for, and the downs run".into()
        }
        Row::SpanBreaksNoDown => "the old code cannot run on this schema, and no down helps".into(),
    }
}

/// One of the other reasons.
pub fn because(facts: &Facts, because: Because) -> String {
    match because {
        Because::HarmGoesOn => format!("{}: every minute of it does more harm", facts.mode.words()),
        Because::FailsBadly => format!("{} is no failure to wait with", facts.mode.words()),
        Because::Unsure => "nobody is sure how it fails: if unsure, roll back; bad releases compound".into(),
        Because::HotfixTooSlow => format!("a hotfix in {} is 30 minutes or more away", eta(facts)),
        Because::HotfixNotFaster => {
            format!("a hotfix in {} is not sooner than going back, {}", eta(facts), ceremony(facts))
        }
        Because::HotfixNotKnown => "nobody said when a hotfix could be there".into(),
        Because::CeremonyNotKnown => {
            format!("a hotfix in {} may be slower: going back was never measured here", eta(facts))
        }
        Because::CeremonyRehearsed => "going back was measured in a drill alone".into(),
        Because::FlagNotKnown => match &facts.flag {
            Flag::NotKnown { name, why } => format!("the flag {name} cannot be turned off: {why}"),
            Flag::None | Flag::Known { .. } => "the flag cannot be turned off".into(),
        },
        Because::HeldMeanwhile => "the service is held until the hotfix is there".into(),
        Because::BorneMeanwhile => "the release can be borne until the hotfix is there".into(),
        Because::DownRefused => format!("option 3 is refused: {}", down(&facts.down)),
        Because::LossKnown => format!("what option 3 loses: {}", down(&facts.down)),
    }
}

fn down(down: &Down) -> String {
    match down {
        Down::NotKnown => "nobody has looked at what the downs do".into(),
        Down::Missing { migration } => format!("{migration} has no down"),
        Down::Fails { migration, why } => format!("the down of {migration} fails: {why}"),
        Down::LeavesUnfit { why } => format!("after it the old code still cannot run: {why}"),
        Down::Runs { loss } if loss.is_empty() => "nothing".into(),
        Down::Runs { loss } => loss.join("; "),
    }
}

/// A text as one word of a shell (POSIX, XCU 2.2.2): whoever copies a line runs nothing that a name says.
fn shell_word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/' | b':');
    if !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain) {
        return text.to_owned();
    }
    let quoted = format!("'{}'", text.replace('\'', r"'\''"));
    if text.starts_with('-') { format!("-- {quoted}") } else { quoted }
}

/// What to run, one command a line, in order. What only a person can do is a comment, as in a shell.
pub fn command_lines(facts: &Facts, decision: &Decision, tags: Tags<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let mode = facts.mode.name();
    if decision.hold_first && facts.can_be_held {
        lines.push(format!("unship hold --mode {mode}"));
    }
    let to = tags.to.map(|to| format!(" --to {to}")).unwrap_or_default();
    let on_top = |lines: &mut Vec<String>| {
        let on = tags.from.map(|from| format!(" --on {from}")).unwrap_or_default();
        lines.push(format!("unship hotfix start{on}    # then mend it, and tag it as it says"));
        lines.push(format!("unship hotfix ship HOTFIX_TAG{on} --mode {mode}"));
    };
    match (decision.act, &facts.flag) {
        (Act::FlagOff, Flag::Known { name }) => lines.push(format!("unship flags off {}", shell_word(name))),
        (Act::FlagOff | Act::Hotfix | Act::HotfixOnTop, _) => on_top(&mut lines),
        (Act::CodeBack, _) => lines.push(format!("unship rollback --mode {mode}{to}")),
        (Act::OneHostFirst | Act::Ask, _) => {
            lines.push(format!("unship rollback --mode {mode}{to} --accept-unknown-schema"));
        }
        (Act::DownAndBack, _) => {
            // Each loss is shown and asked about, and every step checked by itself.
            lines.push(format!("unship rollback --mode {mode}{to} --hotfix-eta none"));
        }
    }
    lines
}

#[cfg(test)]
mod tests;
