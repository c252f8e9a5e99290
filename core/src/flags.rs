//! Feature flags: what one is, and which of them a rollback turns off. The judgement is one table,
//! [`differences`]; reading and setting flags is the app's.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::release::{NameError, Release};
use crate::time::Timestamp;

/// The name of a flag, as its source has it: any text without control characters, of at most 200 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FlagName(String);

/// The longest name of a flag, bytes: long enough for every source that is known.
const NAME_BYTES_MAX: usize = 200;

impl FlagName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FlagName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<FlagName, NameError> {
        if text.is_empty() {
            return Err(NameError::new("flag", text, "must not be empty"));
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::new("flag", text, "is too long"));
        }
        if text.trim() != text || text.chars().any(char::is_control) {
            return Err(NameError::new(
                "flag",
                text,
                "must not have control characters or blanks at its ends",
            ));
        }
        Ok(FlagName(text.to_owned()))
    }
}

impl TryFrom<String> for FlagName {
    type Error = NameError;

    fn try_from(text: String) -> Result<FlagName, NameError> {
        text.parse()
    }
}

impl From<FlagName> for String {
    fn from(name: FlagName) -> String {
        name.0
    }
}

impl fmt::Display for FlagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a flag is set to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagValue {
    /// Whether it is on.
    pub on: bool,
    /// All that its source has of the setting, in the source's own words, so that it can be put back exactly. None
    /// where on and off is all there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
}

/// A flag as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagState {
    /// Its name.
    pub name: FlagName,
    /// What it is set to.
    pub value: FlagValue,
    /// When it was last changed, where the source knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
    /// Who changed it last, where the source knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<String>,
}

/// A flag with what it was set to before a run set it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagWas {
    /// Its name.
    pub name: FlagName,
    /// What it was set to.
    pub was: FlagValue,
}

/// What the deploy of a release did to flags, as its capsule has it.
#[derive(Debug, Clone)]
pub struct DeployedFlags<'a> {
    /// The release.
    pub release: &'a Release,
    /// The flags right before it was brought out; none when they are not known.
    pub before: Option<&'a [FlagState]>,
    /// The flags right after.
    pub after: Option<&'a [FlagState]>,
    /// The flags that its files name and those of the release before it do not.
    pub introduced: &'a [FlagName],
}

/// What is known of flags when a rollback is planned.
#[derive(Debug, Clone)]
pub struct FlagFacts<'a> {
    /// The flags while the target served; none when they are not known.
    pub era: Option<&'a [FlagState]>,
    /// The flags now.
    pub now: &'a [FlagState],
    /// The releases that are taken back, oldest first.
    pub span: &'a [DeployedFlags<'a>],
    /// Flags that the operator wants off.
    pub off: &'a BTreeSet<FlagName>,
    /// Flags that the operator wants left as they are.
    pub keep: &'a BTreeSet<FlagName>,
}

/// Why a flag is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "because", rename_all = "snake_case")]
pub enum Because {
    /// The files of a release that is taken back are the first that name it.
    Introduced {
        /// The release.
        by: Release,
    },
    /// It was off right before a release that is taken back was brought out, and on right after.
    TurnedOnByDeploy {
        /// The release.
        of: Release,
    },
    /// It was on already when the first of these releases was brought out: somebody turned it on while the target
    /// served.
    TurnedOnBefore,
    /// Somebody turned it on afterwards.
    TurnedOnLater,
    /// It was on and is off.
    TurnedOff,
}

/// What is done about a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The rollback turns it off.
    TurnOff,
    /// It stays as it is, and that is right.
    Keep,
    /// It stays as it is unless a person says otherwise, and somebody owes a look.
    Ask,
}

/// A flag that is not as it was while the target served, or that a release that is taken back brought along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagDifference {
    /// Its name.
    pub name: FlagName,
    /// Whether it was on while the target served; none when it did not exist or is not known.
    pub then_on: Option<bool>,
    /// What it is set to now.
    pub now: FlagValue,
    /// Why it differs.
    #[serde(flatten)]
    pub because: Because,
    /// What is done about it.
    pub fate: Fate,
    /// When it was last changed, where that is known.
    pub changed_at: Option<Timestamp>,
    /// Who changed it last, where that is known.
    pub changed_by: Option<String>,
}

/// Compares the flags with those of the target's era, and says of each that differs why and what is done about it.
///
/// | why | by default |
/// |---|---|
/// | first named by a release that is taken back, and on | turn off |
/// | turned on by the deploy of one | turn off |
/// | turned on before the first of them came | keep |
/// | turned on later, or when is not known | ask |
/// | turned off since | keep |
///
/// What the operator named is done, whatever the table says.
pub fn differences(facts: &FlagFacts<'_>) -> Vec<FlagDifference> {
    facts.now.iter().filter_map(|flag| difference(facts, flag)).collect()
}

fn difference(facts: &FlagFacts<'_>, flag: &FlagState) -> Option<FlagDifference> {
    let then_on = facts.era.and_then(|era| find(era, &flag.name)).map(|then| then.value.on);
    let named = facts.off.contains(&flag.name);
    let because = because(facts, flag, then_on)
        // What an operator wants off is listed, also when nothing speaks against it.
        .or_else(|| (named && flag.value.on).then_some(Because::TurnedOnBefore))?;
    let fate = match &because {
        _ if facts.keep.contains(&flag.name) => Fate::Keep,
        _ if named && flag.value.on => Fate::TurnOff,
        Because::Introduced { .. } | Because::TurnedOnByDeploy { .. } => Fate::TurnOff,
        Because::TurnedOnBefore | Because::TurnedOff => Fate::Keep,
        Because::TurnedOnLater => Fate::Ask,
    };
    Some(FlagDifference {
        name: flag.name.clone(),
        then_on,
        now: flag.value.clone(),
        because,
        fate,
        changed_at: flag.changed_at,
        changed_by: flag.changed_by.clone(),
    })
}

fn because(facts: &FlagFacts<'_>, flag: &FlagState, then_on: Option<bool>) -> Option<Because> {
    if !flag.value.on {
        return (then_on == Some(true)).then_some(Because::TurnedOff);
    }
    // The target served with it on: nothing differs, whoever named it since.
    if then_on == Some(true) {
        return None;
    }
    let name = &flag.name;
    if let Some(deployed) = facts.span.iter().find(|deployed| deployed.introduced.contains(name)) {
        return Some(Because::Introduced { by: deployed.release.clone() });
    }
    if let Some(deployed) = facts.span.iter().find(|deployed| turned_on(deployed, name)) {
        return Some(Because::TurnedOnByDeploy { of: deployed.release.clone() });
    }
    let before = facts.span.first().and_then(|first| first.before);
    match before.map(|before| find(before, name).is_some_and(|flag| flag.value.on)) {
        // Without an era there is nothing that it differs from.
        Some(true) => facts.era.map(|_| Because::TurnedOnBefore),
        Some(false) => Some(Because::TurnedOnLater),
        None => facts.era.map(|_| Because::TurnedOnLater),
    }
}

/// Whether the flag was known to be off before the deploy and on after it.
fn turned_on(deployed: &DeployedFlags<'_>, name: &FlagName) -> bool {
    let (Some(before), Some(after)) = (deployed.before, deployed.after) else { return false };
    let on = |flags: &[FlagState]| find(flags, name).is_some_and(|flag| flag.value.on);
    !on(before) && on(after)
}

fn find<'a>(flags: &'a [FlagState], name: &FlagName) -> Option<&'a FlagState> {
    flags.iter().find(|flag| flag.name == *name)
}

#[cfg(test)]
mod tests;
