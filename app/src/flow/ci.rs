//! What is known of a release's CI, and which release to go back to is better tested.

use serde::Serialize;
use unship_core::ci::{CiProof, CiStanding};
use unship_core::evidence::Evidence;
use unship_core::history::{History, Standing};
use unship_core::release::{Release, Tag};
use unship_core::time::Timestamp;

use crate::ports::World;

/// How many known-good releases are asked about, newest first: each may cost a request or two.
const CANDIDATES_MAX: usize = 10;

/// What is known of the CI of the release to go back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CiReport {
    /// The release.
    pub release: Release,
    /// The commit that it was built from.
    pub commit: Evidence<String>,
    /// What CI says of it.
    pub proof: Evidence<CiProof>,
    /// What that means.
    pub standing: CiStanding,
    /// Since when that is known, when CI could not be asked now; and why not.
    pub as_of: Option<(Timestamp, String)>,
    /// The newest known-good release that passed CI, when this one did not.
    pub better: Option<Release>,
}

/// Asks CI about a commit.
pub(super) async fn ask(world: &World, commit: &Evidence<String>, tag: &Tag) -> Evidence<CiProof> {
    let Some(ci) = &world.ci else {
        return Evidence::Missing { why: "unship.toml has no [ci]".into() };
    };
    let commit = match commit {
        Evidence::Known { value, .. } => value,
        Evidence::Missing { why } => {
            return Evidence::Missing { why: format!("its commit is not known: {why}") };
        }
    };
    match ci.ask(commit, tag).await {
        Ok(value) => Evidence::Known { value, source: ci.name(), observed_at: world.clock.now() },
        Err(failure) => Evidence::Missing { why: failure.message },
    }
}

/// What a proof means for the release of that commit.
pub(super) fn standing(world: &World, commit: &Evidence<String>, proof: &Evidence<CiProof>) -> CiStanding {
    let required = world.ci.as_ref().map_or(Vec::new(), |ci| ci.required().to_vec());
    match (commit, proof) {
        (Evidence::Known { value: commit, .. }, Evidence::Known { value: proof, .. }) => {
            proof.standing(commit, &required)
        }
        (Evidence::Missing { why }, _) => {
            CiStanding::Unknown { why: format!("its commit is not known: {why}") }
        }
        (_, Evidence::Missing { why }) => CiStanding::Unknown { why: why.clone() },
    }
}

/// What is known of a release's CI: asked now, else what its capsule has of it. None when no CI is configured.
pub(super) async fn report(world: &World, release: &Release) -> Option<CiReport> {
    world.ci.as_ref()?;
    let (commit, recorded) = match world.source.kept(release).await {
        Ok(artifact) => (artifact.capsule.commit, artifact.capsule.ci),
        Err(error) => {
            let why = format!("its capsule is not here: {error}");
            (Evidence::Missing { why: why.clone() }, Evidence::Missing { why })
        }
    };
    let asked = ask(world, &commit, &release.tag).await;
    let (proof, as_of) = match (asked, recorded) {
        (Evidence::Missing { why }, Evidence::Known { value, source, observed_at }) => {
            (Evidence::Known { value, source, observed_at }, Some((observed_at, why)))
        }
        (asked, _) => (asked, None),
    };
    let standing = standing(world, &commit, &proof);
    Some(CiReport { release: release.clone(), commit, proof, standing, as_of, better: None })
}

/// The newest known-good release besides `not` that passed CI.
pub(super) async fn newest_green(world: &World, history: &History, not: &[&Release]) -> Option<CiReport> {
    let good = history.releases.iter().rev().filter(|record| record.standing == Standing::KnownGood);
    let others = good.filter(|record| not.iter().all(|not| not.digest != record.release.digest));
    for record in others.take(CANDIDATES_MAX) {
        let found = report(world, &record.release).await?;
        if found.standing.is_green() {
            return Some(found);
        }
    }
    None
}
