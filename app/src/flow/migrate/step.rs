//! One checked step down: the newest applied migration, and no other.

use std::collections::BTreeSet;

use serde::Serialize;
use unship_core::down::Program;

use super::{Parts, Subject};
use crate::flow::FlowError;
use crate::flow::down::{Downs, Wanted, propose_with, timed};
use crate::ports::{DatabaseFailure, Landed, Live, StepBy, SteppedDown};

/// What a step came to.
#[derive(Debug, Clone, Serialize)]
pub struct Taken {
    /// What was taken down.
    pub migration: String,
    /// What was done beside it.
    pub did: SteppedDown,
    /// The newest applied version now.
    pub newest: Option<String>,
}

/// Proposes to take down the newest applied migration. Without one there is no step in it.
pub async fn propose_newest(
    parts: &Parts<'_>,
    subject: &Subject,
    fence: bool,
    not_atomic: bool,
) -> Result<Downs, FlowError> {
    let live = parts.database.look(subject.set.tool).await?;
    let applied = live.applied.of(&subject.set);
    let newest = applied.last().copied();
    let keep: BTreeSet<String> = applied
        .iter()
        .filter(|migration| newest.is_none_or(|newest| newest.id != migration.id))
        .map(|migration| migration.version.recorded().to_owned())
        .collect();
    let accepted: BTreeSet<String> =
        newest.iter().filter(|_| not_atomic).map(|newest| newest.id.clone()).collect();
    let wanted = Wanted {
        set: &subject.set,
        keep: &keep,
        deployed_at: subject.deployed_at,
        fence,
        not_atomic: &accepted,
    };
    propose_with(parts, &wanted).await
}

/// Executes a step that was proposed and accepted. Where its commit is in doubt, looks once more; not at one that went
/// piece by piece: it says itself what was done, and the version table does not tell what went wrong.
pub async fn take(parts: &Parts<'_>, program: &Program, by: &StepBy) -> Result<Taken, FlowError> {
    let title = format!("take {} down", program.migration);
    let did = timed(parts, &title, async {
        match parts.database.step_down(program, by, parts.progress).await {
            Ok(did) => Ok(did),
            Err(failure) if failure.in_doubt && program.atomic => settle(parts, program, failure).await,
            Err(failure) => Err(failure.into()),
        }
    })
    .await?;
    let live: Live = parts.database.look(program.tool).await?;
    let taken = !live.applied.versions.contains(&program.version);
    if !taken {
        let message = format!(
            "{} was taken down, and version {} is applied: somebody applied it again at once",
            program.migration, program.version
        );
        let hint = Some("find out what applies migrations by itself, and stop it first".into());
        return Err(DatabaseFailure { message, hint, in_doubt: false }.into());
    }
    Ok(Taken { migration: program.migration.clone(), did, newest: program.version_before.clone() })
}

async fn settle(
    parts: &Parts<'_>,
    program: &Program,
    failure: DatabaseFailure,
) -> Result<SteppedDown, FlowError> {
    match parts.database.landed(program).await {
        Ok(Landed::After) => {
            Ok(SteppedDown { said: vec!["the answer to its commit was lost".into()], locked_us: 0 })
        }
        Ok(Landed::Before) => Err(DatabaseFailure { in_doubt: false, ..failure }.into()),
        Ok(Landed::Neither { why }) => {
            let message = format!("{failure}; {why}");
            Err(DatabaseFailure { message, ..failure }.into())
        }
        Err(_) => Err(failure.into()),
    }
}
