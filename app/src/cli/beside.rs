//! What a rollback's plan says of flags and CI, and the questions about flags.

use std::collections::BTreeSet;

use unship_core::flags::{Because, Fate, FlagDifference, FlagName};

use super::output::{BAD, GOOD, WARN};
use super::{CliError, time_text};
use crate::flow::ci::CiReport;
use crate::flow::flags::FlagReport;
use crate::plain::plain;

/// Names of flags as they were given.
pub(super) fn names(given: &[String]) -> Result<BTreeSet<FlagName>, CliError> {
    let parsed = given.iter().map(|name| name.parse::<FlagName>());
    parsed
        .collect::<Result<_, _>>()
        .map_err(|error| CliError::usage(error.to_string()).hint("`unship flags list` lists the flags"))
}

/// What CI says of the target.
pub(super) fn ci_lines(ci: &CiReport) -> Vec<String> {
    let colour = if ci.standing.is_green() { GOOD } else { BAD };
    let words = plain(&ci.standing.words());
    let mut lines = vec![format!("  target    {} {colour}{words}{colour:#}", ci.release)];
    if let Some((at, why)) = &ci.as_of {
        lines.push(format!(
            "            as of {}; CI could not be asked now: {}",
            time_text(*at),
            plain(why)
        ));
    }
    if !ci.standing.is_green() {
        lines.push("            code that did not pass would run: that is an incident of its own".into());
    }
    if let Some(better) = &ci.better {
        lines.push(format!("            {better} is known good and passed: `--to auto` or `--to {better}`"));
    }
    lines
}

/// The flags that differ from the target's era, with what is done about each.
pub(super) fn flag_lines(flags: &FlagReport) -> Vec<String> {
    let mut lines = Vec::new();
    for difference in &flags.differences {
        let (fate, colour) = match difference.fate {
            Fate::TurnOff => ("turn off", GOOD),
            Fate::Ask => ("left on", WARN),
            Fate::Keep if difference.now.on => ("kept on", anstyle::Style::new()),
            Fate::Keep => ("kept off", anstyle::Style::new()),
        };
        let (name, why) = (plain(difference.name.as_str()), because(difference));
        lines.push(format!("{colour}{fate}{colour:#}  {name}: {why}"));
    }
    let asked: Vec<String> = flags.of(Fate::Ask).map(|flag| plain(flag.name.as_str())).collect();
    if let Some(first) = asked.first() {
        lines.push(format!("to turn one off too: `--flag-off '{first}'`"));
    }
    // What is not known of them stands among the risks.
    if lines.is_empty() && flags.unknown.is_empty() {
        lines.push(format!("as they were, in {}", plain(&flags.source)));
    }
    let head = |index: usize| if index == 0 { "  flags     " } else { "            " };
    lines.iter().enumerate().map(|(index, line)| format!("{}{line}", head(index))).collect()
}

/// Why a flag differs, who changed it last and when.
fn because(flag: &FlagDifference) -> String {
    let why = match &flag.because {
        Because::Introduced { by } => format!("{by} is the first release that names it"),
        Because::TurnedOnByDeploy { of } => format!("the deploy of {of} turned it on"),
        Because::TurnedOnBefore => "on before these releases came".into(),
        Because::TurnedOnLater => "turned on since, by no deploy".into(),
        Because::TurnedOff => "turned off since".into(),
    };
    match (&flag.changed_by, flag.changed_at) {
        (Some(who), Some(at)) => format!("{why}; last changed by {} at {}", plain(who), time_text(at)),
        (None, Some(at)) => format!("{why}; last changed at {}", time_text(at)),
        (Some(who), None) => format!("{why}; last changed by {}", plain(who)),
        (None, None) => why,
    }
}
