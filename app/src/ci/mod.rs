//! Who knows whether a commit passed CI: a forge's API, files of test results, a command. Each turns what it hears
//! into checks; what they mean is core's.

mod command;
#[cfg(test)]
mod fake;
mod forgejo;
mod github;
mod gitlab;
mod http;
mod junit;

pub use command::CiCommandSource;
pub use forgejo::ForgejoCi;
pub use github::GitHubCi;
pub use gitlab::GitLabCi;
pub use http::Api;
pub use junit::JUnitFiles;

use crate::ports::CheckFailure;

/// The most checks of one commit that are read, and so the most pages.
const CHECKS_MAX: usize = 2_000;

fn failure(message: impl Into<String>) -> CheckFailure {
    CheckFailure { message: message.into(), hint: None }
}

/// Whether a text can be a commit's id: what else stands in an address is not its caller's to choose.
fn commit_id(commit: &str) -> Result<&str, CheckFailure> {
    let plain = (7..=64).contains(&commit.len()) && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    if plain { Ok(commit) } else { Err(failure(format!("`{}` is no commit", commit.escape_debug()))) }
}
