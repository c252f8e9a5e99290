//! The answer for one step, as it goes into the JSON.

use serde::{Serialize, Serializer};

use super::{Destroyed, DownClass, Reason, RunFailure, UpClass, Verdict};
use crate::schema::Change;

/// Everything known about one step.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// The migration's id, as the file names give it.
    pub id: String,
    /// File of the up, below the migrations folder.
    pub path: String,
    pub up: UpReport,
    pub down: DownReport,
    /// Does the release before this migration run on the schema after it?
    pub verdict: Verdict,
    pub reasons: Vec<Reason>,
    /// What had to be given or left out for it to run here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    pub ms: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct UpReport {
    /// `could_not_run` in the JSON if there is none.
    #[serde(serialize_with = "class_or_not_run")]
    pub class: Option<UpClass>,
    pub changes: Vec<Change>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<RunFailure>,
    /// Why it does not stop halfway without a trace, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_atomic: Option<String>,
    /// Kinds of row changes with their tables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct DownReport {
    pub class: DownClass,
    /// Not there before the up, there after the down.
    pub remains: Vec<String>,
    /// There before the up, not there after the down.
    pub lost: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<RunFailure>,
    /// What the up took away and the down gave back empty.
    #[serde(skip_serializing_if = "Destroyed::is_empty")]
    pub schema_restored_data_gone: Destroyed,
    /// What the down takes away with the rows in it.
    pub destroys: Destroys,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_atomic: Option<String>,
    /// The steps that only together, undone newest first, give the earlier schema back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exact_only_as_group: Vec<String>,
    /// How the up went a second time, after the down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reup: Option<Reup>,
}

/// What a down would destroy.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Destroys {
    #[serde(flatten)]
    pub objects: Destroyed,
    /// Kinds of row changes with their tables: `delete users`.
    pub rows: Vec<String>,
}

impl Destroys {
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.rows.is_empty()
    }
}

/// The up after the down.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Reup {
    Same,
    /// It ran and left another schema than the first time.
    Differs {
        changes: Vec<Change>,
    },
    Fails {
        error: RunFailure,
    },
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn class_or_not_run<S: Serializer>(class: &Option<UpClass>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(class.map_or("could_not_run", UpClass::word))
}
