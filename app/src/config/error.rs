//! What is wrong with a configuration: file, line, key and fix.

use std::path::{Path, PathBuf};

use unship_core::release::EnvironmentName;

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{}`: {why}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The reason.
        why: String,
    },
    /// There is no file.
    #[error("there is no `unship.toml` in `{}` or above it", .start.display())]
    NotFound {
        /// Where the search began.
        start: PathBuf,
    },
    /// A value is wrong, missing or unknown.
    #[error("{}:{line}:{column}: {}{message}", .file.display(), key_text(.key))]
    Invalid {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The key as a dotted path; empty at the top of the file.
        key: String,
        /// What is wrong.
        message: String,
        /// What to write instead, where that can be said.
        fix: Option<String>,
    },
    /// The strategy is `command` and no command is given.
    #[error("`environment.{environment}` has the strategy `command` and no command")]
    NoCommand {
        /// The environment.
        environment: EnvironmentName,
    },
    /// The named environment is not in the file.
    #[error("there is no environment `{name}` in unship.toml")]
    NoSuchEnvironment {
        /// The name.
        name: EnvironmentName,
        /// The environments that there are.
        known: Vec<String>,
    },
    /// No environment was named and there is not exactly one.
    #[error("which environment? unship.toml has {}", count(.known))]
    WhichEnvironment {
        /// The environments that there are.
        known: Vec<String>,
    },
}

fn key_text(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("`{key}`: ") }
}

fn count(known: &[String]) -> String {
    if known.is_empty() { "none".into() } else { known.join(", ") }
}

impl ConfigError {
    /// What to do about it, where that can be said.
    pub fn hint(&self) -> Option<String> {
        match self {
            ConfigError::Unreadable { .. } => None,
            ConfigError::NotFound { .. } => {
                Some("name the file with `--config FILE`; `example.toml` is the commented reference".into())
            }
            ConfigError::Invalid { fix, .. } => fix.clone(),
            ConfigError::NoCommand { environment } => Some(format!(
                "add a table `[environment.{environment}.command]` with `run = [\"make\", \"deploy\"]`"
            )),
            ConfigError::NoSuchEnvironment { known, .. } => Some(format!("known: {}", count(known))),
            ConfigError::WhichEnvironment { known } if known.is_empty() => {
                Some("add a table `[environment.production]`".into())
            }
            ConfigError::WhichEnvironment { .. } => Some("name it with `--env NAME`".into()),
        }
    }

    /// Finds line, column, key and fix for an error of the TOML reader.
    pub(super) fn from_toml(file: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
        let offset = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        ConfigError::Invalid {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            key: key_at(text, offset),
            message: error.message().replace('\n', ", "),
            fix: fix_for(error.message()),
        }
    }
}

/// The dotted path of the innermost key whose name or value covers the offset.
fn key_at(text: &str, offset: usize) -> String {
    let Ok(document) = toml::de::DeTable::parse(text) else {
        return String::new();
    };
    let mut path = Vec::new();
    descend(document.get_ref(), offset, &mut path);
    path.join(".")
}

fn descend(table: &toml::de::DeTable<'_>, offset: usize, path: &mut Vec<String>) {
    for (key, value) in table {
        let covers = |span: std::ops::Range<usize>| span.contains(&offset);
        if covers(key.span()) {
            path.push(key.get_ref().to_string());
            return;
        }
        // Dotted tables and arrays of tables have no one span that covers them: look inside first.
        let depth = path.len();
        path.push(key.get_ref().to_string());
        match value.get_ref() {
            toml::de::DeValue::Table(inner) => descend(inner, offset, path),
            toml::de::DeValue::Array(items) => {
                for item in items {
                    if let toml::de::DeValue::Table(inner) = item.get_ref() {
                        descend(inner, offset, path);
                    }
                }
            }
            _ => {}
        }
        if path.len() > depth + 1 || covers(value.span()) {
            return;
        }
        path.truncate(depth);
    }
}

/// For an unknown name: the known name that is nearest to it.
fn fix_for(message: &str) -> Option<String> {
    let mut names = message.split('`').skip(1).step_by(2);
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return message
            .strip_prefix("missing field `")
            .and_then(|rest| rest.strip_suffix('`'))
            .map(|name| format!("add `{name}`; `example.toml` shows how"));
    }
    let wrong = names.next()?;
    let near = names
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .min()
        .filter(|(distance, _)| *distance <= 3)?;
    Some(format!("did you mean `{}`?", near.1))
}
