//! What taking migrations down does, in lines for a person.

use unship_core::down::LossReport;
use unship_core::explain;
use unship_core::plan::{Plan, Step};

use super::output::{BAD, WARN};
use crate::flow::down::{Downs, ProposedDown};
use crate::plain::plain;

const MARGIN: &str = "            ";

/// What option 3 does to the database, the first line with the word `down` in front.
pub(super) fn lines(downs: &Downs, plan: &Plan) -> Vec<String> {
    let count = downs.steps.len();
    let what = if count == 1 { "1 migration is".to_owned() } else { format!("{count} migrations are") };
    let mut lines =
        vec![format!("  down      {what} taken down in {}, each checked by itself", downs.live.name)];
    for step in &downs.steps {
        lines.extend(step_lines(step));
    }
    lines.extend(held_line(plan));
    lines
}

pub(super) fn step_lines(step: &ProposedDown) -> Vec<String> {
    let mut lines = vec![format!("{MARGIN}  {}", plain(&step.migration))];
    if step.report.is_nothing() {
        lines.push(format!("{MARGIN}    destroys nothing"));
    }
    lines.extend(loss_lines(&step.report, &format!("{MARGIN}    ")));
    lines.extend(
        step.refusals
            .iter()
            .map(|why| format!("{MARGIN}    {BAD}refused{BAD:#}: {}", plain(&why.to_string()))),
    );
    lines.extend(step.remarks.iter().map(|remark| format!("{MARGIN}    {}", plain(remark))));
    lines
}

/// One report, to be said yes to.
pub(super) fn report_lines(report: &LossReport) -> Vec<String> {
    let mut lines = vec![format!(
        "  {WARN}loss{WARN:#}      {} destroys data that somebody wrote",
        plain(&report.migration)
    )];
    lines.extend(loss_lines(report, MARGIN));
    lines.push(format!("{MARGIN}all of it is salvaged; the report's digest is {}", report.digest()));
    lines
}

fn loss_lines(report: &LossReport, margin: &str) -> Vec<String> {
    let touched = report.losses.iter().filter(|loss| loss.affected > 0);
    touched.map(|loss| format!("{margin}{}", plain(&explain::loss(loss)))).collect()
}

/// For which part of the plan nothing serves.
fn held_line(plan: &Plan) -> Option<String> {
    let holds = plan.steps().filter(|step| matches!(step, Step::Hold { .. })).count();
    let words = if holds == 0 { "is held already, and" } else { "is held first:" };
    Some(format!("{MARGIN}the service {words} every request is turned away until {} serves", plan.to))
}
