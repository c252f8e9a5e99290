//! What a migration did, whether its down takes it back, and whether the release before it can live with it.
//!
//! Owns the classes of ups and downs, the table of rules, and the verdict. Reads catalogs that others have read
//! and statements that others have cut; runs nothing.

mod down;
mod drift;
mod execution;
mod expression;
mod judge;
mod judge_span;
mod limits;
mod report;
mod rules;
mod span;
mod up;
mod uses;

#[cfg(test)]
mod tests;

pub use down::{Destroyed, DownClass, Leftover, destroyed};
pub use drift::Drift;
pub use execution::{DownRun, RunFailure, StepRun};
pub use judge::{Effect, Reason, Told, Verdict, judge};
pub use judge_span::{HOW_TO_GIVE_QUERIES, SpanEvidence, SpanStep, judge_span};
pub use report::{Destroys, DownReport, Reup, StepReport, UpReport};
pub use rules::{LIVE_DRIFT, Rule, all as all_rules};
pub use span::{Boot, BootAnswer, QueryEvidence, SpanMigration, SpanVerdict, TableLock};
pub use up::{UpClass, class_of, up_class};
pub use uses::{SetOff, Uses};
