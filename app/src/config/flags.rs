//! `[flags]`: where the environment's feature flags are.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{CommandLine, Millis, RelativePath};

/// `[flags]`
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Flags {
    /// The release's own file of flags, in flagd's format, relative to the repository.
    pub file: Option<RelativePath>,
    /// Whether a deploy puts what that file has otherwise than that of the release before into `place`.
    pub install: bool,
    /// Where the flags are that the service reads.
    pub place: Option<FlagPlace>,
    /// How long one question or one change may take.
    pub time_max: Millis,
}

/// Where flags are.
#[derive(Debug, Clone)]
pub enum FlagPlace {
    /// `[flags.flagd]`
    Flagd(Flagd),
    /// `[flags.unleash]`
    Unleash(Unleash),
    /// `[flags.sql]`
    Sql(FlagTable),
    /// `[flags.command]`
    Command(FlagCommand),
}

/// `[flags.flagd]`: a file in flagd's format.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flagd {
    /// The file that the service or its flagd reads.
    pub file: String,
}

/// `[flags.unleash]`: a server's admin API.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unleash {
    /// Where the server is, without `/api`.
    pub url: String,
    /// A file that holds an admin token and nothing else.
    pub token_file: String,
    /// The project.
    #[serde(default = "project")]
    pub project: String,
    /// The server's name of the environment; that of unship's environment unless given.
    pub environment: Option<String>,
}

/// `[flags.sql]`: a table with one row a flag.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagTable {
    /// A file that holds the database's URL and nothing else; that of `[database]` unless given.
    pub url_file: Option<String>,
    /// The table: `features`, or with its schema `["app", "features"]`.
    pub table: TableName,
    /// The column with the flag's name.
    #[serde(default = "name_column")]
    pub name: String,
    /// The column that says whether it is on.
    #[serde(default = "enabled_column")]
    pub enabled: String,
    /// What that column holds.
    #[serde(default)]
    pub holds: ColumnHolds,
    /// What stands for on and off where that column is a text.
    #[serde(default = "on_text")]
    pub on: String,
    /// The other one.
    #[serde(default = "off_text")]
    pub off: String,
    /// The column with the time of the last change, which the database can turn into a text.
    pub changed_at: Option<String>,
    /// The column with who changed it last.
    pub changed_by: Option<String>,
    /// Only rows whose columns have these values.
    #[serde(default)]
    pub only: BTreeMap<String, String>,
}

/// The name of a table, with its schema where it has one.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum TableName {
    /// Without a schema.
    Plain(String),
    /// Schema and table.
    InSchema([String; 2]),
}

/// What a column holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnHolds {
    /// True and false.
    #[default]
    Boolean,
    /// 0 for off, anything else for on.
    Integer,
    /// `on` and `off`.
    Text,
}

/// `[flags.command]`: two commands of the service's own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagCommand {
    /// Prints the flags as JSON: an object of names with true or false, or a list of objects with `name`, `on` and,
    /// where they are known, `changed_at` (RFC 3339) and `changed_by`.
    pub list: CommandLine,
    /// Sets one: `{flag}` is its name, `{state}` is `on` or `off`.
    pub set: CommandLine,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    file: Option<RelativePath>,
    #[serde(default)]
    install: bool,
    flagd: Option<Flagd>,
    unleash: Option<Unleash>,
    sql: Option<FlagTable>,
    command: Option<FlagCommand>,
    #[serde(default = "time_max")]
    time_max: Millis,
}

impl TryFrom<Keys> for Flags {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Flags, String> {
        let Keys { file, install, flagd, unleash, sql, command, time_max } = keys;
        let mut places = [
            flagd.map(FlagPlace::Flagd),
            unleash.map(FlagPlace::Unleash),
            sql.map(FlagPlace::Sql),
            command.map(FlagPlace::Command),
        ]
        .into_iter()
        .flatten();
        let place = places.next();
        if places.next().is_some() {
            return Err("flags are in one place: write one of `flagd`, `unleash`, `sql` and `command`".into());
        }
        if install && !(file.is_some() && matches!(place, Some(FlagPlace::Flagd(_)))) {
            return Err("`install` needs `file` and the table `[flags.flagd]`".into());
        }
        Ok(Flags { file, install, place, time_max })
    }
}

fn project() -> String {
    "default".into()
}

fn name_column() -> String {
    "name".into()
}

fn enabled_column() -> String {
    "enabled".into()
}

fn on_text() -> String {
    "on".into()
}

fn off_text() -> String {
    "off".into()
}

fn time_max() -> Millis {
    Millis(10_000)
}
