//! What to do about a release that fails: go back, or go forward.
//!
//! Owns the failure mode, the facts that matter and the table that decides. Never gathers a fact and never words
//! anything for people.

mod facts;
mod mode;
mod record;
mod table;

pub use facts::{Ceremony, Down, Facts, Flag, HOTFIX_MS_MAX, Hotfix, Span};
pub use mode::FailureMode;
pub use record::{Decided, HostHealth, Overruled};
pub use table::{Act, Because, Decision, Row, decide, going_back};
