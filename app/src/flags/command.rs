//! Flags that commands of the service's own read and set.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Deserialize;
use unship_core::flags::{FlagName, FlagState, FlagValue};

use super::{FLAGS_MAX, failure, name, time};
use crate::ports::{Acting, CheckFailure, FlagSource};
use crate::process::Program;

/// The most that the list may print, in bytes.
const LIST_BYTES_MAX: usize = 4 << 20;

/// Two commands.
pub struct CommandFlags {
    /// Prints the flags as JSON.
    pub list: Vec<String>,
    /// Sets one, with the words in braces still in it.
    pub set: Vec<String>,
    /// Their variables.
    pub environment: BTreeMap<String, String>,
    /// Where they start.
    pub folder: std::path::PathBuf,
    /// How long each may take, milliseconds.
    pub time_ms_max: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    Flags(Vec<One>),
    Names(BTreeMap<String, bool>),
}

#[derive(Deserialize)]
struct One {
    name: String,
    on: bool,
    changed_at: Option<String>,
    changed_by: Option<String>,
}

impl CommandFlags {
    async fn run(&self, words: &[String]) -> Result<Vec<u8>, CheckFailure> {
        let mut program =
            Program::new(words, self.time_ms_max).with(&self.environment).in_folder(&self.folder);
        program.output_bytes_max = LIST_BYTES_MAX;
        let shown = words.join(" ");
        let failed = |why: String| CheckFailure {
            message: format!("the command for flags failed: {why}"),
            hint: Some(format!("run it yourself: {shown}")),
        };
        let ended = program.run().await.map_err(|error| failed(error.to_string()))?;
        if ended.success {
            Ok(ended.stdout)
        } else {
            Err(failed(format!("{}: {}", ended.status, ended.complaint())))
        }
    }
}

#[async_trait]
impl FlagSource for CommandFlags {
    fn name(&self) -> String {
        format!("`{}`", self.list.join(" "))
    }

    async fn read(&self) -> Result<Vec<FlagState>, CheckFailure> {
        let printed = self.run(&self.list).await?;
        let listed: Listed = serde_json::from_slice(&printed).map_err(|_| CheckFailure {
            message: format!("{} does not print flags", self.name()),
            hint: Some(r#"it must print `{"name": true}` or `[{"name": "...", "on": true}]`"#.into()),
        })?;
        let flags = match listed {
            Listed::Flags(flags) => flags,
            Listed::Names(names) => names
                .into_iter()
                .map(|(name, on)| One { name, on, changed_at: None, changed_by: None })
                .collect(),
        };
        if flags.len() > FLAGS_MAX {
            return Err(failure(format!("{} prints more than {FLAGS_MAX} flags", self.name())));
        }
        let states = flags.into_iter().map(|flag| {
            Ok(FlagState {
                name: name(&flag.name)?,
                value: FlagValue { on: flag.on, raw: None },
                changed_at: flag.changed_at.as_deref().and_then(time),
                changed_by: flag.changed_by,
            })
        });
        states.collect()
    }

    async fn set(&self, flag: &FlagName, to: &FlagValue, _: &Acting) -> Result<(), CheckFailure> {
        let state = if to.on { "on" } else { "off" };
        // Replaced word by word: a name cannot become a second word.
        let fill = |word: &String| match word.as_str() {
            "{flag}" => flag.as_str().to_owned(),
            "{state}" => state.to_owned(),
            other => other.replace("{state}", state).replace("{flag}", flag.as_str()),
        };
        let words: Vec<String> = self.set.iter().map(fill).collect();
        self.run(&words).await.map(|_| ())
    }

    async fn install(&self, _: &str, _: Option<&str>, _: &Acting) -> Result<(), CheckFailure> {
        Err(failure("these flags are in no file"))
    }
}

#[cfg(test)]
mod tests;
