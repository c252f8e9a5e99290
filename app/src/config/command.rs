//! `[environment.NAME.command]`: the user's own deploy command.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::values::{CommandLine, Millis, RelativePath};

/// What brings a release to the hosts where the strategy is `command`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandTable {
    /// The command, run in a fresh worktree of the tag.
    pub run: CommandLine,
    /// Where it starts, relative to the worktree.
    pub folder: Option<RelativePath>,
    /// Files that it needs and git does not have, relative to the repository: copied into the worktree.
    #[serde(default)]
    pub untracked: Vec<RelativePath>,
    /// A command that says whether `run` could work, run in the same place before anything is changed.
    pub preflight: Option<CommandLine>,
    /// Environment variables of both.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// How long `run` may take.
    #[serde(default = "time_max")]
    pub time_max: Millis,
}

fn time_max() -> Millis {
    Millis(30 * 60_000)
}
