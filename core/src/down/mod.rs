//! One checked step down: what is applied, what taking the newest migration down would destroy, and the step
//! compiled to a value that a database backend executes.
//!
//! Owns [`Applied`], [`LossReport`] with its digest and ceilings, [`Program`], and why there is none
//! ([`Refusal`]). Runs no SQL: live counts and catalogs are arguments.
//!
//! Invariants:
//! * A program takes down exactly one migration, which is the newest applied one, from the text that was checked.
//! * What it may destroy is named beforehand, each with a ceiling; a recount above a ceiling stops it.
//! * What it does to the catalog is known beforehand; anything else stops it.

mod applied;
mod atomic;
mod by_hand;
mod changes;
mod compile;
mod drift;
mod fit;
mod loss;
mod losses;
mod pragma;
mod program;
mod refusal;
mod rows;
mod sequences;
mod trial;
mod versions;

pub use applied::{Applied, SpanError, newest_not_in};
pub use by_hand::by_hand;
pub use compile::{Around, Compiled, Known, Said, compile};
pub use drift::{Drift, drift};
pub use fit::unfit;
pub use loss::{Allowed, Loss, LossKind, LossReport, ceiling};
pub use program::{Dialect, Program, RowChange, Session, Value};
pub use refusal::Refusal;
pub use rows::row_changes;
pub use trial::Trial;
pub use versions::{difference, newest};

#[cfg(test)]
mod tests;
