//! What users wrote meanwhile, and whether all of it is there at the end: by the service's own commands, which know
//! what a user's value is.

use serde::{Deserialize, Serialize};

/// What one of the drill's own commands is run for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// To make what the load needs.
    SetUp,
    /// To write as users do.
    Write(UsersMoment),
    /// To compare all that users wrote with what is there.
    Compare,
}

/// When users write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsersMoment {
    /// On the good release.
    Before,
    /// On the bad one.
    Between,
    /// On what serves in the end.
    After,
}

impl UsersMoment {
    /// What `{moment}` stands for.
    pub fn word(self) -> &'static str {
        match self {
            UsersMoment::Before => "before",
            UsersMoment::Between => "between",
            UsersMoment::After => "after",
        }
    }
}

impl Task {
    /// The command, for a person.
    pub fn name(&self) -> &'static str {
        match self {
            Task::SetUp => "the set-up command",
            Task::Write(_) => "the command that writes as users do",
            Task::Compare => "the command that compares what users wrote",
        }
    }
}

/// What the comparing command printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    /// How many values were compared.
    pub compared: u64,
    /// Those that are not as users wrote them, a sentence each.
    pub differences: Vec<String>,
}

impl Compared {
    /// Reads it. That nothing was compared proves nothing, and is no answer.
    pub fn read(printed: &[u8]) -> Result<Compared, String> {
        let compared: Compared = serde_json::from_slice(printed).map_err(|error| {
            format!(
                "it must print one JSON object, {{\"compared\": 0, \"differences\": []}}, on standard output: {error}"
            )
        })?;
        if compared.compared == 0 {
            return Err("it compared no value at all".into());
        }
        Ok(compared)
    }

    /// Whether everything is as it was written; the first differences if not.
    pub(super) fn held(&self) -> Result<(), String> {
        let count = self.differences.len();
        match self.differences.as_slice() {
            [] => Ok(()),
            [one] => Err(one.clone()),
            [first, ..] => Err(format!("{count} values differ, the first: {first}")),
        }
    }
}

#[cfg(test)]
mod tests;
