//! What people are told after a rollback. The notice is a value, made from the run's journal alone, so that it can
//! be made again at any time; couriers bring it.
//!
//! Owns the notice, its key, and the texts that every courier shares. Never sends anything.

mod issue;
mod mask;
mod notice;
mod text;

pub use issue::{Commit, Issue, Suspects, markdown};
pub use mask::mask;
pub use notice::{Kind, Moment, Notice};
pub use text::{inert, message, one_line, subject};
