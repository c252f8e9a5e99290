//! What deploy, rollback, resume and abort say: the plan before, the outcome after.

use std::process::ExitCode;

use unship_core::history::TargetError;
use unship_core::journal::{Halt, Outcome};
use unship_core::plan::{Plan, PlanError, RunKind, Step, Wave};
use unship_core::protocol::Refusal;
use unship_core::release::RunId;
use unship_core::time::DurationText;

use super::output::{BAD, GOOD, WARN};
use super::{CliError, Output, exit};
use crate::flow::run::Prepared;
use crate::flow::{FlowError, RunReport};
use crate::plain::plain;

/// How many hosts are named where many do the same.
const HOSTS_NAMED_MAX: usize = 6;

/// The steps of a plan, numbered: what several hosts do alike stands on one line.
pub(super) fn plan_lines(plan: &Plan) -> Vec<String> {
    let waves: Vec<Vec<Alike>> = plan.waves.iter().map(alike).collect();
    let mut texts = Vec::new();
    let mut rest = waves.as_slice();
    while let Some(first) = rest.first() {
        let same = |other: &&Vec<Alike>| {
            other.len() == first.len() && other.iter().zip(first).all(|(a, b)| a.text == b.text)
        };
        let count = rest.iter().take_while(same).count();
        let (group, later) = rest.split_at(count);
        rest = later;
        let hosts = |of: usize| group.iter().filter_map(move |wave| wave.get(of)).flat_map(|one| &one.hosts);
        if count > 1 && hosts(0).count() > 3 {
            let most = group.iter().filter_map(|wave| wave.first()).map(|one| one.hosts.len()).max();
            for (index, one) in first.iter().enumerate() {
                let all: Vec<&str> = hosts(index).map(String::as_str).collect();
                let size = most.unwrap_or(1);
                texts.push(format!("{}, {count} waves of at most {size}", one.on(&all)));
            }
        } else {
            for one in group.iter().flatten() {
                texts.push(one.on(&one.hosts.iter().map(String::as_str).collect::<Vec<_>>()));
            }
        }
    }
    let mut lines: Vec<String> =
        texts.iter().enumerate().map(|(index, text)| format!("  {:>2}  {text}", index + 1)).collect();
    for missing in &plan.without {
        let (host, why) = (&missing.host, plain(&missing.why));
        lines.push(format!("      {BAD}without {host}{BAD:#}, which stays as it is: {why}"));
    }
    for step in plan.steps() {
        let Step::Command { release, lines: commands, .. } = step else { continue };
        lines.push(format!("      the deploy command of {release} is"));
        lines.extend(commands.iter().map(|command| format!("        $ {}", plain(command))));
        lines.push(
            "      it cannot be fenced: one that outlives unship goes on, is seen, and is waited for".into(),
        );
        lines.push("      to go back with it needs this repository, and whatever it needs itself".into());
    }
    lines
}

/// What several hosts of a wave do alike.
struct Alike {
    /// What they do, with a NUL where the host's name stands.
    text: String,
    hosts: Vec<String>,
}

impl Alike {
    fn on(&self, hosts: &[&str]) -> String {
        let named = match hosts.len().saturating_sub(HOSTS_NAMED_MAX) {
            0 | 1 => hosts.join(", "),
            more => format!("{} and {more} more", hosts[..HOSTS_NAMED_MAX].join(", ")),
        };
        self.text.replace('\0', &named)
    }
}

fn alike(wave: &Wave) -> Vec<Alike> {
    let mut all: Vec<Alike> = Vec::new();
    for step in &wave.steps {
        let text = step.title_on("\0");
        let hosts = step.host().map(ToString::to_string);
        match all.iter_mut().find(|one| one.text == text) {
            Some(one) => one.hosts.extend(hosts),
            None => all.push(Alike { text, hosts: hosts.into_iter().collect() }),
        }
    }
    all
}

/// Shows a plan and does nothing.
pub(super) fn dry_run(prepared: &Prepared, output: &mut Output) -> Result<ExitCode, CliError> {
    let plan = &prepared.plan;
    if output.is_json() {
        output.document(&serde_json::json!({ "plan": plan, "digest": plan.digest() }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output.line(format!("{} {}: {}", plan.service, plan.environment, plan.title()));
    for line in plan_lines(plan) {
        output.line(line);
    }
    Ok(ExitCode::SUCCESS)
}

/// Says how a run ended, and gives the status that tells the truth about it.
pub(super) fn finish(report: &RunReport, output: &mut Output) -> Result<ExitCode, CliError> {
    let status = status(report);
    if output.is_json() {
        output.document(report)?;
    }
    output.note("");
    for line in summary(report) {
        output.note(line);
    }
    Ok(ExitCode::from(status))
}

fn status(report: &RunReport) -> u8 {
    match report.outcome {
        Some(Outcome::Completed) => exit::OK,
        Some(Outcome::WentBack) => exit::FAILED,
        Some(Outcome::Partial | Outcome::WentBackPartly) => exit::PARTIAL,
        None if report.halted.is_some() => exit::PARTIAL,
        None => exit::PAUSED,
    }
}

fn summary(report: &RunReport) -> Vec<String> {
    let verb = match report.kind {
        RunKind::Deploy => "deployed",
        RunKind::Adopt => "adopted",
        RunKind::Rollback => "rolled back",
        RunKind::Hold => "held",
        RunKind::ReleaseHold => "released",
        RunKind::Flags => "flags set",
    };
    let (took, to) = (DurationText(report.took_ms), &report.to);
    let mut lines = match report.outcome {
        Some(Outcome::Completed) if report.kind == RunKind::Hold => {
            vec![
                format!("{GOOD}held{GOOD:#} {to} in {took}: every request is turned away"),
                "  `unship rollback` goes back from here; `unship hold release --reason \"...\"` ends it"
                    .into(),
            ]
        }
        Some(Outcome::Completed) if report.kind == RunKind::Adopt => {
            vec![format!("{GOOD}{verb}{GOOD:#} {to} in {took}")]
        }
        Some(Outcome::Completed) => vec![format!("{GOOD}{verb}{GOOD:#} to {to} in {took}")],
        Some(Outcome::WentBack) => vec![format!(
            "{BAD}went back{BAD:#} in {took}: every host serves what it served before{}",
            report.from.as_ref().map(|from| format!(", {from}")).unwrap_or_default()
        )],
        Some(Outcome::WentBackPartly) => {
            vec![format!("{BAD}went back, but not everywhere{BAD:#}, in {took}")]
        }
        Some(Outcome::Partial) => vec![format!("{BAD}{verb} in part{BAD:#} in {took}")],
        None if report.halted == Some(Halt::FirstWave) => vec![format!(
            "{BAD}halted{BAD:#} after {took}: {to} came up on no host of the first wave; the others are left as they are"
        )],
        None if report.halted.is_some() => {
            vec![format!("{BAD}halted{BAD:#} after {took}: nothing more is begun before this is right")]
        }
        None => vec![format!("{WARN}stopped{WARN:#} after {took}, as asked; `unship resume` goes on")],
    };
    for step in &report.steps {
        if let Some(error) = &step.error {
            lines.push(format!("  {BAD}{}{BAD:#}  {}: {error}", step.state.replace('_', " "), step.title));
            lines.extend(step.hint.iter().map(|hint| format!("          {hint}")));
        } else if report.outcome == Some(Outcome::Partial) && step.state == "not_tried" {
            lines.push(format!("  not tried  {}", step.title));
        } else if report.outcome == Some(Outcome::Partial) && step.state == "unknown" {
            lines
                .push(format!("  not known  {}: it was begun; `unship status` shows what is so", step.title));
        }
    }
    lines.extend(report.halted.into_iter().flat_map(|halt| ways_on(halt, &report.run)));
    for gap in &report.gaps {
        let (host, unit, took_ms) = (&gap.host, plain(&gap.unit), gap.took_ms);
        lines.push(format!("  {WARN}restart{WARN:#} {host}: {unit} was not listening for {took_ms} ms"));
    }
    if !report.taken_down.is_empty() {
        lines.push(format!("  down    {}", report.taken_down.join(", ")));
        lines.push(format!(
            "          what that destroyed is salvaged; after the next up `unship migrate restore {}` puts it back",
            report.run
        ));
    }
    if let Some(held_ms) = report.held_ms {
        let held = DurationText(held_ms);
        lines.push(format!("  {WARN}held{WARN:#}    every request was turned away for {held}"));
    }
    for missing in &report.without {
        let (host, why) = (&missing.host, plain(&missing.why));
        lines.push(format!("  {BAD}not reached{BAD:#}  {host}: {why}; what it serves is not known"));
    }
    lines.extend(report.left.iter().map(|left| format!("  {WARN}left{WARN:#}    {left}")));
    if let Some(again) = again(report) {
        lines.push(format!("  mend what failed, then {again}; this was run {}", report.run));
    }
    lines
}

/// What there is to choose from when a run is halted.
fn ways_on(halt: Halt, run: &RunId) -> Vec<String> {
    let held = "  what is held stays held; every migration is wholly up or wholly down".to_owned();
    match halt {
        Halt::Step => vec![
            held,
            format!(
                "  mend it, then `unship resume` tries again; `unship resume --back` takes run {run} back as a whole"
            ),
        ],
        Halt::FirstWave => vec![
            "  `unship resume` tries again, and goes on with the other hosts whatever comes of it".into(),
            format!(
                "  `unship resume --back` takes run {run} back as a whole; `unship abort` ends it where it is"
            ),
        ],
        Halt::WayBack => vec![
            held,
            "  mend it, then `unship resume --back` tries again".into(),
            format!(
                "  if the migration cannot go up: `unship migrate status` shows what is applied, and `unship abort` \
                 ends run {run} where it is"
            ),
        ],
    }
}

/// What to run once that is mended which kept the run from getting through everywhere.
fn again(report: &RunReport) -> Option<String> {
    let to = &report.to;
    match (report.outcome?, report.kind) {
        (Outcome::Partial, RunKind::Deploy) => Some(format!("`unship deploy {to}` again")),
        (Outcome::Partial, RunKind::Adopt) => Some(format!("`unship adopt --tag {to}` again")),
        (Outcome::Partial, RunKind::Rollback) => Some(format!("`unship rollback --to {to}`")),
        (Outcome::Partial, RunKind::Hold) => Some("`unship hold` again".into()),
        (Outcome::Partial, RunKind::ReleaseHold) => {
            Some("`unship hold release` again, or `unship rollback`".into())
        }
        (Outcome::Partial, RunKind::Flags) => Some("the same `unship flags` command again".into()),
        // It wanted what was there before.
        (Outcome::WentBackPartly, _) => {
            report.from.as_ref().map(|from| format!("`unship rollback --to {from}`"))
        }
        (Outcome::Completed | Outcome::WentBack, _) => None,
    }
}

impl From<FlowError> for CliError {
    fn from(error: FlowError) -> CliError {
        let status = match &error {
            FlowError::Quarantined { .. }
            | FlowError::Plan(PlanError::TargetQuarantined { .. })
            | FlowError::Target(TargetError::Bad { .. })
            | FlowError::Refused { refusal: Refusal::Quarantined { .. }, .. } => exit::QUARANTINED,
            FlowError::Refused { refusal: Refusal::Protocol { .. }, .. } => exit::FAILED,
            FlowError::SchemaUnknown { .. }
            | FlowError::SchemaBreaks { .. }
            | FlowError::DownRefused { .. }
            | FlowError::Fenced { .. }
            | FlowError::NotOnTop { .. }
            | FlowError::HotfixUnproven { .. }
            | FlowError::LossNotAccepted { .. }
            | FlowError::GoForward { .. }
            | FlowError::Target(_) => exit::REFUSED,
            FlowError::Interrupted { why, .. } if why.holder().is_none() => exit::PARTIAL,
            FlowError::Unfinished { .. } | FlowError::Refused { .. } => exit::LOCKED,
            _ if error.holder().is_some() => exit::LOCKED,
            _ => exit::FAILED,
        };
        let message = match error.holder() {
            Some(holder) => format!("{error}, run {} since {}", holder.run, super::time_text(holder.since)),
            None => error.to_string(),
        };
        let cli = CliError::new(status, message);
        match error.hint() {
            Some(hint) => cli.hint(hint),
            None => cli,
        }
    }
}

#[cfg(test)]
mod tests;
