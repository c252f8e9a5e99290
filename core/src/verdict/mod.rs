//! What a migration did, whether its down takes it back, and whether the release before it can live with it.
//!
//! Owns the classes of ups and downs, the table of rules, and the verdict. Reads catalogs that others have read
//! and statements that others have cut; runs nothing.

mod down;
mod execution;
mod judge;
mod report;
mod rules;
mod up;

#[cfg(test)]
mod tests;

pub use down::{Destroyed, DownClass, Leftover};
pub use execution::{DownRun, RunFailure, StepRun};
pub use judge::{Effect, Reason, Told, Verdict, judge};
pub use report::{Destroys, DownReport, Reup, StepReport, UpReport};
pub use rules::{Rule, Subject, all as all_rules};
pub use up::{UpClass, class_of, up_class};
