//! What is known about going back over a span's migrations.

use serde::Serialize;
use unship_core::capsule::{Capsule, CapsuleFile};
use unship_core::release::Release;

use crate::ports::World;

/// Whether the old code runs on the schema as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Schema {
    /// Both releases have the same migrations, or the service has no schema: there is nothing to ask.
    Same,
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
        (Ok(of_bad), Ok(of_target)) => judge(bad, of_bad, of_target),
        (Err(why), _) | (_, Err(why)) => unknown(why),
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
