//! The verdict on a whole span: can the release at its older end run on the schema of the one at its newer end?
//!
//! A value that is made once, when there is time, and kept in the capsule: at rollback time it is only read.

use serde::{Deserialize, Serialize};

use super::{Effect, Reason, Verdict};
use crate::schema::Name;
use crate::tools::Boots;

/// How to have it known whether an older release starts.
const HOW_TO_SETTLE_BOOT: &str = "have the older release started on the newer schema: write its migrator's command as \
    `up` in [migrations] of unship.toml and deploy it with unship, which keeps its artifact; or say what it does there \
    with `boot` in [migrations] or `--boot`";

/// What was found out about going back from one release to an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanVerdict {
    /// Schema and queries alone; [`SpanVerdict::overall`] has the boot in it too.
    pub verdict: Verdict,
    /// Why, the worst first.
    pub reasons: Vec<Reason>,
    /// What would settle an unknown, in sentences; empty if nothing is unknown.
    pub settles: Vec<String>,
    /// The migrations of the span, oldest first.
    pub migrations: Vec<SpanMigration>,
    pub queries: QueryEvidence,
    pub boot: Boot,
    /// Objects that the span changes or that the older release's queries come to: on these, a difference of the live
    /// database matters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub touches: Vec<Name>,
    /// What is worth knowing and decides nothing: drift elsewhere, edited downs, what was given to the shadow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// What the ups did to existing tables while they ran on the shadow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<TableLock>,
}

/// One migration of a span, in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanMigration {
    /// As the file names give it: `0012_repo_topics`.
    pub id: String,
    /// What it did: `adds table repo_topics`.
    pub did: String,
}

/// The strongest lock that a migration took on a table that was there before it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableLock {
    pub migration: String,
    pub table: String,
    /// As PostgreSQL calls it: `ACCESS EXCLUSIVE`.
    pub mode: String,
    /// The table's file was written anew: the time is that of writing the whole live table.
    pub rewrites: bool,
}

impl TableLock {
    /// Does it keep everybody out, or take as long as the table is big?
    pub fn stops_others(&self) -> bool {
        self.mode == "ACCESS EXCLUSIVE" || self.rewrites
    }
}

/// What is known of the older release's queries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "known", rename_all = "snake_case")]
pub enum QueryEvidence {
    /// None at all, and how to supply them.
    No { how: String },
    Yes {
        /// Where they come from.
        source: String,
        /// Queries that plan on the older schema.
        usable: usize,
        /// Those of them that plan on the newer one too, with the same types.
        passed: usize,
        /// Queries that do not even plan on the older schema. They prove nothing.
        unusable: usize,
    },
}

/// Does the older release's migrator, or the service itself, start on the newer schema?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    pub answer: BootAnswer,
    /// Why, in one sentence.
    pub why: String,
    /// It was started there, rather than told from the tool's rule.
    pub proven: bool,
}

/// The answer to the boot question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BootAnswer {
    Starts,
    Refuses,
    Unknown,
}

impl Boot {
    /// What the tool's rule says.
    pub fn by_rule(boots: &Boots) -> Boot {
        let (answer, why) = match boots {
            Boots::Starts { then_runs } if then_runs.is_empty() => {
                (BootAnswer::Starts, "the tool takes a newer database as it is".to_owned())
            }
            Boots::Starts { then_runs } => {
                let why = format!(
                    "it starts, and then runs what only the older release has: {}",
                    then_runs.join(", ")
                );
                (BootAnswer::Unknown, why)
            }
            Boots::Refuses { why } => (BootAnswer::Refuses, why.clone()),
            Boots::NoMigrator => (BootAnswer::Starts, "nothing migrates when it starts".to_owned()),
        };
        Boot { answer, why, proven: false }
    }

    /// What it means for going back. A refusal that only a rule says is not known to be one: nobody has seen
    /// whether the service runs its migrator when it starts.
    pub fn verdict(&self) -> Verdict {
        match (self.answer, self.proven) {
            (BootAnswer::Starts, _) => Verdict::Compatible,
            (BootAnswer::Refuses, true) => Verdict::Breaks,
            (BootAnswer::Refuses, false) | (BootAnswer::Unknown, _) => Verdict::Unknown,
        }
    }
}

impl SpanVerdict {
    /// Schema, queries and boot together: what decides.
    pub fn overall(&self) -> Verdict {
        self.verdict.max(self.boot.verdict())
    }

    /// Takes in what is known of the boot now, and what would settle it.
    pub fn set_boot(&mut self, boot: Boot) {
        self.settles.retain(|settle| settle != HOW_TO_SETTLE_BOOT);
        if boot.verdict() == Verdict::Unknown && self.verdict != Verdict::Breaks {
            self.settles.push(HOW_TO_SETTLE_BOOT.to_owned());
        }
        self.boot = boot;
    }

    /// Why it is what it is all together, the boot included, in a few sentences.
    pub fn why(&self) -> Vec<String> {
        const SAID_MAX: usize = 3;
        let overall = self.overall();
        let mut why: Vec<String> = Vec::new();
        if self.verdict == overall && overall != Verdict::Compatible {
            why.extend(self.deciding().take(SAID_MAX).map(|reason| reason.text.clone()));
        }
        if self.boot.verdict() == overall && overall != Verdict::Compatible {
            why.push(self.boot.why.clone());
        }
        if overall == Verdict::Compatible {
            if let QueryEvidence::Yes { usable, passed, .. } = &self.queries {
                why.push(format!("{passed} of {usable} of its queries plan on the newer schema"));
            }
            why.push(self.boot.why.clone());
        }
        why
    }

    /// The reasons that make the verdict what it is; the assumptions if it is compatible.
    pub fn deciding(&self) -> impl Iterator<Item = &Reason> {
        let effect = match self.verdict {
            Verdict::Breaks => Effect::Breaks,
            Verdict::Unknown => Effect::Unknown,
            Verdict::Compatible => Effect::Assumes,
        };
        self.reasons.iter().filter(move |reason| reason.effect == effect)
    }
}
