//! What is known of each release of an environment: known good, bad or unproven, and which one to go back to.
//!
//! The ledger keeps marks and never changes one; this module adds them up.
//! * **unproven**: deployed, and not yet seen serving well for long enough.
//! * **known good**: it was serving, ready and without a restart of its own, when the next release came, or
//!   an operator said so.
//! * **bad**: rolled back, or superseded for cause. It stays bad until somebody lifts it with a reason.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::release::{Digest, Release, RunId};
use crate::time::Timestamp;

/// What is said of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Every host proved it.
    Deployed,
    /// It was seen serving well.
    KnownGood,
    /// It was taken back.
    Bad,
    /// The quarantine was lifted: it is unproven again.
    Lifted,
}

/// A mark with its circumstances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkEntry {
    /// The release.
    pub release: Release,
    /// What is said of it.
    pub mark: Mark,
    /// Why.
    pub why: String,
    /// When.
    pub at: Timestamp,
    /// The run that said it; none when an operator did.
    pub run: Option<RunId>,
}

/// The state of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing speaks for or against it.
    Unproven,
    /// It can be gone back to.
    KnownGood,
    /// It must not be gone back to.
    Bad,
}

impl Standing {
    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Standing::Unproven => "unproven",
            Standing::KnownGood => "known good",
            Standing::Bad => "bad",
        }
    }
}

/// What the marks of one release add up to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRecord {
    /// The release.
    pub release: Release,
    /// Its state.
    pub standing: Standing,
    /// Why it has that state.
    pub why: String,
    /// Since when it has that state.
    pub since: Timestamp,
    /// When it was last deployed; none when it only ever ran before unship came.
    pub deployed_at: Option<Timestamp>,
}

/// The releases of an environment, in the order in which they were last deployed, newest last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct History {
    /// The releases.
    pub releases: Vec<ReleaseRecord>,
}

/// Adds up marks, which must be in the order in which they were made.
pub fn fold(marks: &[MarkEntry]) -> History {
    let mut records: BTreeMap<Digest, (usize, ReleaseRecord)> = BTreeMap::new();
    for (position, entry) in marks.iter().enumerate() {
        let (deployed, record) = records.entry(entry.release.digest).or_insert_with(|| {
            let record = ReleaseRecord {
                release: entry.release.clone(),
                standing: Standing::Unproven,
                why: entry.why.clone(),
                since: entry.at,
                deployed_at: None,
            };
            (position, record)
        });
        let standing = match entry.mark {
            Mark::Deployed => {
                *deployed = position;
                record.release = entry.release.clone();
                record.deployed_at = Some(entry.at);
                continue;
            }
            // A bad release does not become good by being seen well: somebody has to lift it first.
            Mark::KnownGood if record.standing == Standing::Bad => continue,
            Mark::KnownGood => Standing::KnownGood,
            Mark::Bad => Standing::Bad,
            Mark::Lifted => Standing::Unproven,
        };
        if record.standing != standing {
            record.since = entry.at;
        }
        record.standing = standing;
        record.why.clone_from(&entry.why);
    }
    // Clocks jump; the order of the ledger does not.
    let mut ordered: Vec<(usize, ReleaseRecord)> = records.into_values().collect();
    ordered.sort_by_key(|(position, _)| *position);
    History { releases: ordered.into_iter().map(|(_, record)| record).collect() }
}

/// Why there is no release to go back to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No known-good release besides the one to take back.
    #[error("no known-good release to go back to")]
    NoneKnownGood {
        /// Releases that are unproven and could be named with `--to`, newest first.
        unproven: Vec<Release>,
    },
    /// The named target is bad.
    #[error("{target} is bad since it was taken back: {why}")]
    Bad {
        /// The target.
        target: Release,
        /// Why it is bad.
        why: String,
        /// The newest known-good release, if there is one.
        instead: Option<Release>,
    },
}

impl History {
    /// What is known of a release.
    pub fn get(&self, digest: &Digest) -> Option<&ReleaseRecord> {
        self.releases.iter().find(|record| record.release.digest == *digest)
    }

    /// The release to go back to from `bad`: the newest known-good one that is not `bad` itself.
    pub fn target(&self, bad: &Release) -> Result<Release, TargetError> {
        let mut unproven = Vec::new();
        for record in self.releases.iter().rev().filter(|record| record.release.digest != bad.digest) {
            match record.standing {
                Standing::KnownGood => return Ok(record.release.clone()),
                Standing::Unproven => unproven.push(record.release.clone()),
                Standing::Bad => {}
            }
        }
        Err(TargetError::NoneKnownGood { unproven })
    }

    /// Checks a target that was named by the operator.
    pub fn check_target(&self, target: &Release, bad: &Release) -> Result<(), TargetError> {
        match self.get(&target.digest) {
            Some(record) if record.standing == Standing::Bad => Err(TargetError::Bad {
                target: target.clone(),
                why: record.why.clone(),
                instead: self.target(bad).ok().filter(|other| other.digest != target.digest),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
