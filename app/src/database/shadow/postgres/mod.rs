//! A throwaway PostgreSQL: the binaries it is made from, the cluster, and sessions that run migrations in it.
//!
//! What a migration may do is limited three times over. The server process is unprivileged, and without a
//! network where the system allows that. The role that runs migrations owns its database and may create roles,
//! but is no superuser, and the roles that reach programs and files of the server do not exist. And every script
//! has limits of time, disk and memory, kept by a second connection.

mod account;
mod binaries;
mod cluster;
mod error;
mod failure;
mod gateway;
mod guard;
mod privileged;
mod queries;
mod script;
mod session;
mod stale;
mod steps;

pub use binaries::Binaries;
pub use cluster::{Cluster, Server};
pub use error::ShadowError;
pub use failure::{Failure, Lack, Privileged};
pub use session::{Piece, Session};
pub use steps::{OwnTable, PostgresShadow};
