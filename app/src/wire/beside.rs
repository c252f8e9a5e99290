//! What stands beside the code: flags, CI, and the sender that asks others over HTTP.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use unship_core::decision::Flag;
use unship_core::flags::FlagName;

use super::{Site, WireError};
use crate::ci::{Api, CiCommandSource, ForgejoCi, GitHubCi, GitLabCi, JUnitFiles};
use crate::config::{CiPlace, FlagPlace, Forge};
use crate::flags::{CommandFlags, FlagdFile, TableFlags, UnleashServer};
use crate::ports::{CiSource, FlagSource, Sender};
use crate::sender::HttpSender;

/// Where the APIs of public servers are.
const GITHUB: &str = "https://api.github.com";
const GITLAB: &str = "https://gitlab.com/api/v4";
const FORGEJO: &str = "https://codeberg.org/api/v1";

impl Site {
    /// Sends over HTTP, with the certificates that the configuration names.
    pub fn sender(&self) -> Result<Arc<dyn Sender>, WireError> {
        let file = self.config.aftercare.ca_file.as_ref().map(|file| self.beside(file));
        Ok(Arc::new(HttpSender::new(file.as_deref())?))
    }

    /// A path of the configuration: absolute, or relative to where the configuration is.
    fn beside(&self, path: &str) -> PathBuf {
        self.folder.join(self.placeholders().fill(path))
    }

    /// The environment's flags.
    pub(super) fn flags(&self) -> Result<Option<Arc<dyn FlagSource>>, WireError> {
        let Some(flags) = &self.config.flags else { return Ok(None) };
        let Some(place) = &flags.place else { return Ok(None) };
        let words = self.placeholders();
        let time_ms_max = flags.time_max.0;
        Ok(Some(match place {
            FlagPlace::Flagd(it) => Arc::new(FlagdFile { file: self.beside(&it.file) }),
            FlagPlace::Unleash(unleash) => Arc::new(UnleashServer {
                sender: self.sender()?,
                url: unleash.url.clone(),
                token_file: self.beside(&unleash.token_file),
                project: unleash.project.clone(),
                environment: unleash.environment.clone().unwrap_or_else(|| self.name.to_string()),
                time_ms_max,
            }),
            FlagPlace::Sql(table) => {
                let database = self.config.database.as_ref().map(|database| &database.url_file);
                let file = table.url_file.as_ref().or(database).ok_or(WireError::NoFlagDatabase)?;
                Arc::new(TableFlags { url_file: self.beside(file), table: table.clone(), time_ms_max })
            }
            FlagPlace::Command(command) => Arc::new(CommandFlags {
                list: words.fill_words(command.list.words()),
                set: words.fill_words(command.set.words()),
                environment: words.fill_values(&self.environment.environment),
                folder: self.folder.clone(),
                time_ms_max,
            }),
        }))
    }

    /// The flag of that name as the service's flag source knows it.
    pub async fn flag(&self, name: &str) -> Flag {
        let not_known = |why: String| Flag::NotKnown { name: name.to_owned(), why };
        let source = match self.flags() {
            Ok(Some(source)) => source,
            Ok(None) => return not_known("no [flags] are configured that could be set".into()),
            Err(error) => return not_known(error.to_string()),
        };
        let wanted: FlagName = match name.parse() {
            Ok(wanted) => wanted,
            Err(error) => return not_known(format!("{error}")),
        };
        match source.read().await {
            Ok(flags) if flags.iter().any(|flag| flag.name == wanted) => {
                Flag::Known { name: name.to_owned() }
            }
            Ok(_) => not_known(format!("{} does not know it", source.name())),
            Err(failure) => not_known(failure.message),
        }
    }

    /// Who knows whether a commit passed.
    pub(super) fn ci(&self) -> Result<Option<Arc<dyn CiSource>>, WireError> {
        let Some(ci) = &self.config.ci else { return Ok(None) };
        let (required, time_ms_max) = (ci.required.clone(), ci.time_max.0);
        let api = |forge: &Forge, public: &str| -> Result<Api, WireError> {
            Ok(Api {
                sender: self.sender()?,
                url: forge.url.clone().unwrap_or_else(|| public.to_owned()),
                token_file: forge.token_file.as_ref().map(|file| self.beside(file)),
                time_ms_max,
            })
        };
        Ok(Some(match &ci.place {
            CiPlace::GitHub(forge) => {
                let repository = forge.repository.clone();
                Arc::new(GitHubCi { api: api(forge, GITHUB)?, repository, required })
            }
            CiPlace::GitLab(forge) => {
                let repository = forge.repository.clone();
                Arc::new(GitLabCi { api: api(forge, GITLAB)?, repository, required })
            }
            CiPlace::Forgejo(forge) => {
                let repository = forge.repository.clone();
                Arc::new(ForgejoCi { api: api(forge, FORGEJO)?, repository, required })
            }
            CiPlace::JUnit(junit) => Arc::new(JUnitFiles {
                folder: self.placeholders().fill(&junit.folder),
                base: Path::new(&self.folder).to_owned(),
                required,
            }),
            CiPlace::Command(command) => Arc::new(CiCommandSource {
                ask: self.placeholders().fill_words(command.ask.words()),
                environment: self.placeholders().fill_values(&self.environment.environment),
                folder: self.folder.clone(),
                required,
                time_ms_max,
            }),
        }))
    }
}
