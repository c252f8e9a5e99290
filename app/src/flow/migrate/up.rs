//! Applies what is not applied yet, one migration after the other, as the tool itself would.

use unship_core::tools::{BootRule, Migration, about};

use super::status::{Found, Standing, standings};
use super::{Parts, Subject};
use crate::flow::FlowError;
use crate::flow::down::timed;
use crate::ports::{Fence, Live};

/// What was applied, and what kept the rest from it.
#[derive(Debug)]
pub struct Raised {
    /// Those that were, in order.
    pub applied: Vec<String>,
    /// Those that were not.
    pub left: Vec<String>,
    /// Why.
    pub stopped: Option<FlowError>,
}

/// Applies them. An error is what kept it from the first.
pub async fn up(parts: &Parts<'_>, subject: &Subject, dry_run: bool) -> Result<Raised, FlowError> {
    let tool = subject.set.tool;
    let live = parts.database.look(tool).await?;
    let found = standings(&subject.set, &live);
    refuse(subject, &live, &found)?;
    // The tools that record only the newest version never come back to an older one.
    let comes = |standing: Standing| match about(tool).boot {
        BootRule::RefusesUnknownNewest => standing == Standing::Pending,
        _ => matches!(standing, Standing::Pending | Standing::PassedOver),
    };
    let pending: Vec<&Migration> = found
        .iter()
        .filter(|found| comes(found.standing))
        .filter_map(|found| subject.set.find(&found.version))
        .collect();
    let names = |of: &[&Migration]| of.iter().map(|migration| migration.id.clone()).collect();
    if dry_run {
        return Ok(Raised { applied: Vec::new(), left: names(&pending), stopped: None });
    }
    for (place, migration) in pending.iter().enumerate() {
        if let Err(error) = one(parts, migration).await {
            let (done, left) = pending.split_at(place);
            if done.is_empty() {
                return Err(error);
            }
            return Ok(Raised { applied: names(done), left: names(left), stopped: Some(error) });
        }
    }
    Ok(Raised { applied: names(&pending), left: Vec::new(), stopped: None })
}

async fn one(parts: &Parts<'_>, migration: &Migration) -> Result<(), FlowError> {
    let version = migration.version.recorded();
    let fences: Vec<Fence> = parts.database.fences().await?;
    if let Some(fence) = fences.into_iter().find(|fence| fence.version == version) {
        return Err(FlowError::fenced(fence));
    }
    // Looked at again each time: somebody else may have been here.
    let live = parts.database.look(migration.tool).await?;
    let title = format!("apply {}", migration.id);
    timed(parts, &title, async { Ok(parts.database.step_up(migration, &live).await?) }).await
}

/// What the tool itself refuses before it applies anything.
fn refuse(subject: &Subject, live: &Live, found: &[Found]) -> Result<(), FlowError> {
    let tool = subject.set.tool;
    let of = |standing: Standing| {
        let found = found.iter().filter(move |found| found.standing == standing);
        found.map(|found| found.migration.clone()).collect::<Vec<_>>()
    };
    if live.applied.dirty {
        return Err(FlowError::Span(unship_core::down::SpanError::Dirty));
    }
    let (unknown, edited, older) = (of(Standing::Unknown), of(Standing::Edited), of(Standing::PassedOver));
    let refused = match about(tool).boot {
        BootRule::RefusesUnknownOrChanged { .. }
        | BootRule::RefusesUnknown
        | BootRule::RefusesUnknownNewest
            if !unknown.is_empty() =>
        {
            return Err(FlowError::Span(unship_core::down::SpanError::Unknown { versions: unknown }));
        }
        BootRule::RefusesUnknownOrChanged { .. } | BootRule::StartsUnlessGapOrChanged
            if !edited.is_empty() =>
        {
            format!("{} was applied from a file that reads otherwise", edited.join(", "))
        }
        BootRule::StartsUnlessOlderUnapplied | BootRule::StartsUnlessGapOrChanged if !older.is_empty() => {
            format!("{} is not applied and older than one that is", older.join(", "))
        }
        BootRule::NoTool => "nothing records which of these files have run".to_owned(),
        BootRule::RefusesUnknownOrChanged { .. }
        | BootRule::RefusesUnknown
        | BootRule::RefusesUnknownNewest
        | BootRule::StartsUnlessOlderUnapplied
        | BootRule::StartsUnlessGapOrChanged
        | BootRule::Starts => return Ok(()),
    };
    Err(FlowError::ToolRefuses { tool, why: refused })
}
