//! `[drill]`: what `unship drill` rehearses.

use std::collections::BTreeMap;

use serde::Deserialize;
use unship_core::release::Tag;

use super::{CommandLine, Millis};
use crate::flow::drill::{Scenario, Seen};
use crate::flow::rollback::Mode;
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
    /// How long `history` and `set_up` may take.
    #[serde(default = "command_time_max")]
    pub time_max: Millis,
    /// The load.
    pub load: LoadPlan,
    /// The scenarios; the first is the default.
    #[serde(rename = "scenario")]
    pub scenarios: Scenarios,
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
    pub mode: Mode,
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

/// `seen`: one of restarts, a status with its share, or a failing smoke test.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "SeenKeys")]
pub struct SeenTable {
    seen: Seen,
    within: Millis,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeenKeys {
    restarts: Option<usize>,
    status: Option<u16>,
    share: Option<f64>,
    #[serde(default)]
    smoke_fails: bool,
    #[serde(default = "within")]
    within: Millis,
}

impl TryFrom<SeenKeys> for SeenTable {
    type Error = String;

    fn try_from(keys: SeenKeys) -> Result<SeenTable, String> {
        let seen = match keys {
            SeenKeys { restarts: Some(count), status: None, share: None, smoke_fails: false, .. }
                if count > 0 =>
            {
                Seen::Restarts { count }
            }
            SeenKeys { restarts: None, status: Some(status), share, smoke_fails: false, .. }
                if share.is_none_or(|share| share > 0.0 && share <= 1.0) =>
            {
                Seen::Status { status, share: share.unwrap_or(0.5) }
            }
            SeenKeys { restarts: None, status: None, share: None, smoke_fails: true, .. } => Seen::SmokeFails,
            _ => {
                return Err("`seen` needs exactly one of `restarts = 3`, `status = 500` (with `share` more \
                            than 0 and at most 1) and `smoke_fails = true`"
                    .into());
            }
        };
        Ok(SeenTable { seen, within: keys.within })
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
        }
        if scenarios.is_empty() {
            return Err("a drill needs at least one scenario".into());
        }
        Ok(Scenarios(scenarios))
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

impl ScenarioTable {
    /// What the flow is given.
    pub fn scenario(&self) -> Scenario {
        Scenario {
            name: self.name.clone(),
            good: self.good.clone(),
            bad: self.bad.clone(),
            mode: self.mode,
            accept_unknown_schema: self.accept_unknown_schema,
            steady_ms: self.steady.0,
            seen: self.seen.seen,
            seen_within_ms: self.seen.within.0,
            settle_ms: self.settle.0,
            failed_requests_max: self.failed_requests,
        }
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
