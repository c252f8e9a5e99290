//! `[ci]`: who knows whether a commit passed.

use serde::Deserialize;

use super::{CommandLine, Millis};

/// `[ci]`
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Ci {
    /// Who is asked.
    pub place: CiPlace,
    /// Checks without which nothing is green.
    pub required: Vec<String>,
    /// How long asking about one commit may take in all.
    pub time_max: Millis,
}

/// Who is asked.
#[derive(Debug, Clone)]
pub enum CiPlace {
    /// `[ci.github]`
    GitHub(Forge),
    /// `[ci.gitlab]`
    GitLab(Forge),
    /// `[ci.forgejo]`
    Forgejo(Forge),
    /// `[ci.junit]`
    JUnit(JUnit),
    /// `[ci.command]`
    Command(CiCommand),
}

/// A repository on a forge.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forge {
    /// Where its API is; that of the public server unless given.
    pub url: Option<String>,
    /// `owner/name`; on GitLab the whole path or the number of the project.
    pub repository: String,
    /// A file that holds a token and nothing else. A public repository needs none.
    pub token_file: Option<String>,
}

/// `[ci.junit]`: files of test results.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JUnit {
    /// The folder whose files end in `.xml`; `{commit}` and `{tag}` in it stand for the release's.
    pub folder: String,
}

/// `[ci.command]`: a command of the service's own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CiCommand {
    /// Prints JSON with `commit` and `checks`, a list of objects with `name` and `state`: `passed`, `failed`,
    /// `running` or `skipped`. `{commit}` and `{tag}` stand for the release's.
    pub ask: CommandLine,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    github: Option<Forge>,
    gitlab: Option<Forge>,
    forgejo: Option<Forge>,
    junit: Option<JUnit>,
    command: Option<CiCommand>,
    #[serde(default)]
    required: Vec<String>,
    #[serde(default = "time_max")]
    time_max: Millis,
}

impl TryFrom<Keys> for Ci {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Ci, String> {
        let Keys { github, gitlab, forgejo, junit, command, required, time_max } = keys;
        let mut places = [
            github.map(CiPlace::GitHub),
            gitlab.map(CiPlace::GitLab),
            forgejo.map(CiPlace::Forgejo),
            junit.map(CiPlace::JUnit),
            command.map(CiPlace::Command),
        ]
        .into_iter()
        .flatten();
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(Ci { place, required, time_max }),
            _ => Err("write exactly one of `github`, `gitlab`, `forgejo`, `junit` and `command`".into()),
        }
    }
}

fn time_max() -> Millis {
    Millis(10_000)
}
