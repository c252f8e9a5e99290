//! Where feature flags are: a file in flagd's format, an Unleash server, a table, a command. Each reads all flags
//! and sets one; which are set, and whether they are read back, is the flow's.

mod command;
mod flagd;
mod sql;
mod unleash;

pub use command::CommandFlags;
pub use flagd::FlagdFile;
pub use sql::TableFlags;
pub use unleash::UnleashServer;

use unship_core::flags::FlagName;
use unship_core::time::Timestamp;

use crate::ports::CheckFailure;

/// The most flags that are read. Each is looked for in a release's files.
const FLAGS_MAX: usize = 10_000;

fn failure(message: impl Into<String>) -> CheckFailure {
    CheckFailure { message: message.into(), hint: None }
}

fn name(text: &str) -> Result<FlagName, CheckFailure> {
    text.parse().map_err(|error: unship_core::release::NameError| failure(error.to_string()))
}

/// A point in time as RFC 3339 has it; none where it is no such thing.
fn time(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp(at.as_millisecond()))
}
