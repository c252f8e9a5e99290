//! The flows: deploy, rollback, resume, status. Each is split into making a plan, which changes nothing, and
//! [`run`], which executes any plan step by step with the journal before every act.
//!
//! Flows name no backend and print nothing.

pub mod check;
pub mod deploy;
pub mod drill;
mod error;
mod heartbeat;
mod observe;
pub mod quarantine;
mod report;
mod resume;
pub mod rollback;
pub mod run;
pub mod schema;
pub mod status;
mod step;

pub use error::FlowError;
pub use report::{RunReport, StepReport};
pub use resume::{abort, resume, unfinished};
