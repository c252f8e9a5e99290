//! The flows: deploy, rollback, resume, status. Each is split into making a plan, which changes nothing, and
//! [`run`], which executes any plan step by step with the journal before every act.
//!
//! Flows name no backend and print nothing.

pub mod adopt;
mod aside;
pub mod check;
pub mod ci;
mod claims;
mod command;
pub mod decide;
pub mod deploy;
pub mod down;
pub mod drill;
mod error;
pub mod flags;
mod foreign;
mod heartbeat;
pub mod hold;
pub mod hotfix;
pub mod migrate;
mod observe;
mod pulse;
pub mod quarantine;
mod report;
mod resume;
pub mod rollback;
pub mod run;
pub mod salvage;
pub mod schema;
pub mod span;
pub mod status;
mod step;
mod stepped;
mod work;

pub use error::FlowError;
pub use report::{RunReport, StepReport};
pub use resume::{Way, abort, resume, unfinished};
