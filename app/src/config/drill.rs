//! `[drill]`: what `unship drill` rehearses.

use std::collections::BTreeMap;

use serde::Deserialize;
use unship_core::decision::FailureMode;
use unship_core::flags::FlagName;
use unship_core::release::Tag;

use super::{CommandLine, Millis};
use crate::load::LoadPlan;

/// `[drill]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    /// A command that makes the repository with the scenarios' tags at `{history}`; without it, a clone of
    /// the repository that the configuration is in.
    pub history: Option<CommandLine>,
    /// Keys that replace those of `[build]` in a drill, for example for a faster profile. In its
    /// environment `{cache}` is a folder that stays between drills.
    #[serde(default)]
    pub build: toml::Table,
    /// The folder that stays between drills, relative to the configuration; built releases are kept there.
    #[serde(default = "cache")]
    pub cache: String,
    /// Environment variables for all units and commands of a drill.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// What stands in the drill's file of `database.url_file`.
    pub database_url: Option<String>,
    /// Run against the good release before the load; prints a JSON object whose values the load uses.
    pub set_up: Option<CommandLine>,
    /// What users do meanwhile, and whether all of it is still there at the end.
    pub users: Option<UsersTable>,
    /// How long `history`, `set_up` and the other commands of a drill may take.
    #[serde(default = "command_time_max")]
    pub time_max: Millis,
    /// The load.
    pub load: LoadPlan,
    /// The scenarios; the first is the default.
    #[serde(rename = "scenario")]
    pub scenarios: Scenarios,
}

/// `[drill.users]`: the service's own commands for its users' data.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsersTable {
    /// Writes as users do, and prints what it wrote as JSON. Run on the good release, on the bad one and on what
    /// serves in the end; `{moment}` is `before`, `between` or `after`.
    pub write: CommandLine,
    /// Compares all that users wrote with what is there at the end, value by value.
    pub compare: CommandLine,
}

/// The scenarios: at least one, with names of their own.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Vec<ScenarioTable>")]
pub struct Scenarios(Vec<ScenarioTable>);

/// `[[drill.scenario]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioTable {
    /// Its name.
    pub name: String,
    /// What is wrong with the bad release, in words, for `--list`.
    #[serde(default)]
    pub about: String,
    /// The tag of the good release.
    pub good: Tag,
    /// The tag of the bad one.
    pub bad: Tag,
    /// The failure mode that an operator would name.
    pub mode: FailureMode,
    /// The flag that the fault sits behind: it is turned off, and nothing is taken back.
    pub flag: Option<FlagName>,
    /// The hotfix of the bad release, where the way is forward: it is shipped instead of going back.
    pub hotfix: Option<Tag>,
    /// Whether the migrations of the bad release are taken down with it, as the last resort. The losses that the plan
    /// names are accepted by the drill.
    #[serde(default)]
    pub down: bool,
    /// Whether an operator would say that the good release runs on the bad one's schema.
    #[serde(default)]
    pub accept_unknown_schema: bool,
    /// How long the good release serves under load first.
    #[serde(default = "steady")]
    pub steady: Millis,
    /// How the failure shows.
    pub seen: SeenTable,
    /// How long the load goes on after the rollback: longer than the slowest request.
    #[serde(default = "settle")]
    pub settle: Millis,
    /// The most failed requests of unship's that are borne.
    #[serde(default)]
    pub failed_requests: u64,
}

/// `seen`: how the failure shows. Exactly one of the first four is given.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "SeenKeys")]
pub struct SeenTable {
    /// So many ends of the bad release's processes by themselves.
    pub restarts: Option<usize>,
    /// Such a status, for at least such a part of the requests.
    pub status: Option<(u16, f64)>,
    /// The smoke command fails on the bad release.
    pub smoke_fails: bool,
    /// A command of the scenario's own fails on the bad release.
    pub check_fails: Option<CommandLine>,
    /// How long to wait for it.
    pub within: Millis,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeenKeys {
    restarts: Option<usize>,
    status: Option<u16>,
    share: Option<f64>,
    #[serde(default)]
    smoke_fails: bool,
    check_fails: Option<CommandLine>,
    #[serde(default = "within")]
    within: Millis,
}

impl TryFrom<SeenKeys> for SeenTable {
    type Error = String;

    fn try_from(keys: SeenKeys) -> Result<SeenTable, String> {
        let SeenKeys { restarts, status, share, smoke_fails, check_fails, within } = keys;
        let given = [restarts.is_some(), status.is_some(), smoke_fails, check_fails.is_some()];
        if given.into_iter().filter(|given| *given).count() != 1 {
            return Err(
                "`seen` needs exactly one of `restarts = 3`, `status = 500`, `smoke_fails = true` and \
                 `check_fails = [\"a\", \"command\"]`"
                    .into(),
            );
        }
        if restarts == Some(0) {
            return Err("`restarts` must be more than 0".into());
        }
        if share.is_some() && status.is_none() {
            return Err("`share` belongs to `status`".into());
        }
        let share = share.unwrap_or(0.5);
        if !(share > 0.0 && share <= 1.0) {
            return Err("`share` must be more than 0 and at most 1".into());
        }
        Ok(SeenTable {
            restarts,
            status: status.map(|status| (status, share)),
            smoke_fails,
            check_fails,
            within,
        })
    }
}

impl TryFrom<Vec<ScenarioTable>> for Scenarios {
    type Error = String;

    fn try_from(scenarios: Vec<ScenarioTable>) -> Result<Scenarios, String> {
        for (index, scenario) in scenarios.iter().enumerate() {
            if scenarios[..index].iter().any(|other| other.name == scenario.name) {
                return Err(format!("two scenarios are named `{}`", scenario.name));
            }
            if scenario.good == scenario.bad {
                return Err(format!(
                    "the scenario `{}` takes {} back to itself",
                    scenario.name, scenario.good
                ));
            }
            scenario.check_way()?;
        }
        if scenarios.is_empty() {
            return Err("a drill needs at least one scenario".into());
        }
        Ok(Scenarios(scenarios))
    }
}

impl ScenarioTable {
    /// A scenario goes one way, and has what that way needs.
    fn check_way(&self) -> Result<(), String> {
        let name = &self.name;
        let given = [self.flag.is_some(), self.hotfix.is_some(), self.down];
        if given.into_iter().filter(|given| *given).count() > 1 {
            return Err(format!("the scenario `{name}` goes one way: by `flag`, by `hotfix` or with `down`"));
        }
        if self.flag.is_some() && self.mode != FailureMode::SmallBug {
            return Err(format!(
                "the scenario `{name}` names a `flag`: only a small bug is mended by one, so it needs \
                 `mode = \"small-bug\"`"
            ));
        }
        if self.flag.is_some() && self.seen.restarts.is_some() {
            return Err(format!(
                "the scenario `{name}` names a `flag`, and restarts cannot be seen to be gone: \
                 write `status`, `smoke_fails` or `check_fails` in `seen`"
            ));
        }
        match &self.hotfix {
            Some(hotfix) if [&self.good, &self.bad].contains(&hotfix) => Err(format!(
                "the scenario `{name}` names {hotfix} as the hotfix, which must be a release of its own"
            )),
            _ => Ok(()),
        }
    }
}

impl Scenarios {
    /// In the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, ScenarioTable> {
        self.0.iter()
    }

    /// The one of that name; without a name the first.
    pub fn find(&self, name: Option<&str>) -> Option<&ScenarioTable> {
        self.iter().find(|scenario| name.is_none_or(|name| scenario.name == name))
    }
}

fn cache() -> String {
    "target/unship-drill".into()
}

fn command_time_max() -> Millis {
    Millis(60_000)
}

fn steady() -> Millis {
    Millis(2_000)
}

fn settle() -> Millis {
    Millis(3_000)
}

fn within() -> Millis {
    Millis(30_000)
}

#[cfg(test)]
mod tests;
