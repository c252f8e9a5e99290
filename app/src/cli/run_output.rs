//! What deploy, rollback, resume and abort say: the plan before, the outcome after.

use std::process::ExitCode;

use unship_core::history::TargetError;
use unship_core::journal::Outcome;
use unship_core::plan::{Plan, PlanError, RunKind};
use unship_core::protocol::Refusal;
use unship_core::time::DurationText;

use super::output::{BAD, GOOD, WARN};
use super::{CliError, Output, exit};
use crate::flow::run::Prepared;
use crate::flow::{FlowError, RunReport};

/// The steps of a plan, numbered.
pub(super) fn plan_lines(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .enumerate()
        .map(|(index, step)| format!("  {:>2}  {}", index + 1, step.title()))
        .collect()
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
        None => exit::PAUSED,
    }
}

fn summary(report: &RunReport) -> Vec<String> {
    let verb = match report.kind {
        RunKind::Deploy => "deployed",
        RunKind::Rollback => "rolled back",
    };
    let (took, to) = (DurationText(report.took_ms), &report.to);
    let mut lines = match report.outcome {
        Some(Outcome::Completed) => vec![format!("{GOOD}{verb}{GOOD:#} to {to} in {took}")],
        Some(Outcome::WentBack) => vec![format!(
            "{BAD}went back{BAD:#} in {took}: every host serves what it served before{}",
            report.from.as_ref().map(|from| format!(", {from}")).unwrap_or_default()
        )],
        Some(Outcome::WentBackPartly) => {
            vec![format!("{BAD}went back, but not everywhere{BAD:#}, in {took}")]
        }
        Some(Outcome::Partial) => vec![format!("{BAD}{verb} in part{BAD:#} in {took}")],
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
    lines.extend(report.left.iter().map(|left| format!("  {WARN}left{WARN:#}    {left}")));
    // What the run wanted everywhere in the end: a deploy that turned round wanted what was there before.
    let wanted = match report.outcome {
        Some(Outcome::Partial) => Some(&report.to),
        Some(Outcome::WentBackPartly) => report.from.as_ref(),
        _ => None,
    };
    if let Some(wanted) = wanted {
        lines.push(format!(
            "  mend what failed, then `unship rollback --to {wanted}`; this was run {}",
            report.run
        ));
    }
    lines
}

impl From<FlowError> for CliError {
    fn from(error: FlowError) -> CliError {
        let status = match &error {
            FlowError::Quarantined { .. }
            | FlowError::Plan(PlanError::TargetQuarantined { .. })
            | FlowError::Target(TargetError::Bad { .. })
            | FlowError::Refused { refusal: Refusal::Quarantined { .. }, .. } => exit::QUARANTINED,
            FlowError::Refused { refusal: Refusal::Protocol { .. }, .. } => exit::FAILED,
            FlowError::SchemaUnknown { .. } | FlowError::Target(_) => exit::REFUSED,
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
