//! `migrate`: a service's migrations and its database by themselves, without any host: what is applied, one checked
//! step down, what is not applied yet, and whether the schema is what the migrations make of it.
//!
//! The files are those of a release as its capsule carries them, or a folder that somebody names.

mod by;
mod status;
mod step;
mod up;
mod verify;

use unship_core::release::Release;
use unship_core::time::Timestamp;
use unship_core::tools::MigrationSet;

pub use super::down::Parts;
pub use by::{Site, found};
pub use status::{Found, Standing, Status, status};
pub use step::{Taken, propose_newest, take};
pub use up::{Raised, up};
pub use verify::{Verified, verify};

/// The migrations that something is done with.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The migrations.
    pub set: MigrationSet,
    /// The release that carries them; none for a folder.
    pub release: Option<Release>,
    /// When it was deployed.
    pub deployed_at: Option<Timestamp>,
}
