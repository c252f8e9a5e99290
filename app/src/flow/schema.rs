//! What is known about going back over a span's migrations.

use serde::Serialize;
use unship_core::capsule::{Capsule, CapsuleFile};
use unship_core::release::Release;
use unship_core::verdict::{SpanVerdict, Verdict};

use super::span::{self, Judged};
use crate::ports::World;

/// Whether the old code runs on the schema as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Schema {
    /// Both releases have the same migrations, or the service has no schema: there is nothing to ask.
    Same,
    /// They differ, and what only the newer one has is taken down already: the database is as the target knows it.
    TakenDown,
    /// They differ, and that was judged.
    Judged {
        /// The verdict.
        span: Box<SpanVerdict>,
    },
    /// They differ, and nothing proves that the old code runs there.
    Unknown {
        /// Why it is not known.
        why: String,
        /// The migration files that one has and the other has not, or has otherwise.
        differing: Vec<String>,
    },
}

/// Compares what the capsules of both releases carry. A service without a schema needs none.
pub(super) async fn compare(world: &World, bad: &Release, target: &Release) -> Schema {
    if world.target.stateless {
        return Schema::Same;
    }
    let unknown = |why: String| Schema::Unknown { why, differing: Vec::new() };
    let mut capsules = Vec::new();
    for release in [bad, target] {
        match world.source.kept(release).await {
            Ok(artifact) => capsules.push(artifact.capsule),
            Err(error) => return unknown(format!("the capsule of {release} is not here: {error}")),
        }
    }
    let [bad_capsule, target_capsule] = capsules.as_slice() else {
        return unknown("a capsule is missing".into());
    };
    match (migrations(bad_capsule), migrations(target_capsule)) {
        (Ok(of_bad), Ok(of_target)) => match judge(bad, of_bad, of_target) {
            Schema::Unknown { .. } if is_taken_down(world, target_capsule).await => Schema::TakenDown,
            Schema::Unknown { why, differing } => {
                judged(world, target_capsule, bad_capsule, why, differing).await
            }
            other => other,
        },
        (Err(why), _) | (_, Err(why)) => unknown(why),
    }
}

/// Whether the database has nothing applied that the target does not know. One that cannot be asked may have.
async fn is_taken_down(world: &World, target: &Capsule) -> bool {
    let (Some(database), Some(shadows)) = (&world.database, &world.shadows) else { return false };
    let Ok(set) = span::set_of(shadows.settings(), target) else { return false };
    let Ok(live) = database.look(set.tool).await else { return false };
    let applied = &live.applied;
    !applied.dirty
        && !applied.versions.is_empty()
        && applied.versions.iter().all(|version| set.find(version).is_some())
}

/// What was found out at deploy; else it is found out now, if there is a throwaway database to be had.
async fn judged(
    world: &World,
    target: &Capsule,
    bad: &Capsule,
    why: String,
    differing: Vec<String>,
) -> Schema {
    let kept = bad.verdicts.value().into_iter().flatten();
    if let Some(kept) = kept.into_iter().find(|kept| kept.target.digest == target.release.digest) {
        let mut span = kept.span.clone();
        span::look_at_live(world, bad, bad.schema.value(), &mut span).await;
        return Schema::Judged { span: Box::new(span) };
    }
    if world.shadows.is_none() {
        return Schema::Unknown { why, differing };
    }
    match span::judge(world, target, bad).await {
        Ok(Judged { mut span, schemas }) => {
            span::look_at_live(world, bad, Some(&schemas.after), &mut span).await;
            Schema::Judged { span: Box::new(span) }
        }
        Err(not) => Schema::Unknown { why: format!("{why}; {not}"), differing },
    }
}

impl Schema {
    /// Why it is not known whether the old code runs there; none if it is known.
    pub fn unknown(&self) -> Option<String> {
        match self {
            Schema::Unknown { why, .. } => Some(why.clone()),
            Schema::Judged { span } if span.overall() == Verdict::Unknown => Some(
                span.why().into_iter().chain(span.settles.iter().cloned()).collect::<Vec<_>>().join("; "),
            ),
            Schema::Same | Schema::TakenDown | Schema::Judged { .. } => None,
        }
    }

    /// What of it the old code cannot run on, if that is known.
    pub fn broken(&self) -> Option<String> {
        match self {
            Schema::Judged { span } if span.overall() == Verdict::Breaks => Some(span.why().join("; ")),
            Schema::Same | Schema::TakenDown | Schema::Unknown { .. } | Schema::Judged { .. } => None,
        }
    }
}

fn migrations(capsule: &Capsule) -> Result<&[CapsuleFile], String> {
    capsule.migrations.value().map(Vec::as_slice).ok_or_else(|| {
        format!(
            "the migrations of {} were not known when it was deployed; name their folder in [migrations], or \
             write `stateless = true` in [service]",
            capsule.release
        )
    })
}

fn judge(bad: &Release, of_bad: &[CapsuleFile], of_target: &[CapsuleFile]) -> Schema {
    let lacks = |files: &[CapsuleFile], file: &CapsuleFile| {
        !files.iter().any(|other| other.path == file.path && other.sha256 == file.sha256)
    };
    let mut differing: Vec<String> = of_bad
        .iter()
        .filter(|file| lacks(of_target, file))
        .chain(of_target.iter().filter(|file| lacks(of_bad, file)))
        .map(|file| file.path.clone())
        .collect();
    differing.sort();
    differing.dedup();
    match differing.len() {
        0 => Schema::Same,
        1 => Schema::Unknown { why: format!("{bad} changed the migration file {}", differing[0]), differing },
        count => Schema::Unknown {
            why: format!("{bad} changed {count} migration files: {}", differing.join(", ")),
            differing,
        },
    }
}
