//! Configuration: command line, then environment, then file, then default.
//!
//! The file matters because `sudo -u shithub shithubd migrate down` runs with nothing of the
//! unit's environment and still has to find the same database as the service.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cli::Settings;
use crate::secret::Secret;

/// Read when no file was named and this one exists.
pub const DEFAULT_FILE: &str = "/etc/shithubd/shithubd.toml";

#[derive(Debug, Clone)]
pub struct Config {
    pub database_url: Option<Secret>,
    pub data_dir: PathBuf,
    pub flags_file: Option<PathBuf>,
    pub listen: SocketAddr,
    pub drain_idle_ms: u64,
    pub drain_max_ms: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read configuration {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    // Only toml's message, never its excerpt: the line at fault may be the one with the password.
    #[error("configuration {}, {place}: {message}", path.display())]
    Parse { path: PathBuf, place: String, message: String },
    #[error("DATABASE_URL is not valid UTF-8")]
    UrlEncoding,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    database_url: Option<Secret>,
    data_dir: Option<PathBuf>,
    flags_file: Option<PathBuf>,
    listen: Option<SocketAddr>,
    drain_idle_ms: Option<u64>,
    drain_max_ms: Option<u64>,
}

impl Config {
    pub fn load(settings: &Settings) -> Result<Self, ConfigError> {
        let environment_url = match std::env::var("DATABASE_URL") {
            Ok(url) if url.is_empty() => None,
            Ok(url) => Some(Secret::new(url)),
            Err(std::env::VarError::NotPresent) => None,
            Err(std::env::VarError::NotUnicode(_)) => return Err(ConfigError::UrlEncoding),
        };
        let file = match &settings.config {
            Some(path) => File::read(path)?,
            None if Path::new(DEFAULT_FILE).exists() => File::read(Path::new(DEFAULT_FILE))?,
            None => File::default(),
        };
        Ok(Self::merge(settings, environment_url, file))
    }

    fn merge(settings: &Settings, environment_url: Option<Secret>, file: File) -> Self {
        Self {
            database_url: environment_url.or(file.database_url),
            data_dir: settings.data_dir.clone().or(file.data_dir).unwrap_or_else(|| PathBuf::from("data")),
            flags_file: settings.flags_file.clone().or(file.flags_file),
            listen: file.listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
            drain_idle_ms: file.drain_idle_ms.unwrap_or(5_000),
            drain_max_ms: file.drain_max_ms.unwrap_or(30_000),
        }
    }
}

impl File {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            ConfigError::Parse {
                path: path.to_owned(),
                place: format!("line {}", before.matches('\n').count() + 1),
                message: error.message().to_owned(),
            }
        })
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
