//! The service's own commands: its migrations and its smoke test, run with the release's own program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use unship_core::release::Release;

use crate::config::{CommandLine, Database, Millis};
use crate::placeholders::Placeholders;
use crate::plain::plain;
use crate::ports::{Artifact, CheckFailure, ServiceCommands, Source};
use crate::process::Program;
use crate::secrets::Secrets;

/// Runs the configured commands on this machine.
pub struct ConfiguredCommands {
    /// Where the release's program is.
    pub source: Arc<dyn Source>,
    /// The path of the program inside a release.
    pub executable: String,
    /// What stands for what, but for the release's own words.
    pub placeholders: Placeholders,
    /// Variables of the environment.
    pub environment: BTreeMap<String, String>,
    /// The database, whose URL the commands find in a variable.
    pub database: Option<Database>,
    /// Locked while migrations are applied: those that a killed run left behind come to their end first.
    pub migrate_lock: PathBuf,
    /// Applies migrations.
    pub migrate_up: Option<(CommandLine, Millis)>,
    /// Tries the service.
    pub smoke: Option<(CommandLine, Millis)>,
}

#[async_trait]
impl ServiceCommands for ConfiguredCommands {
    async fn migrate_up(&self, release: &Release) -> Result<String, CheckFailure> {
        self.run("the migrations", self.migrate_up.as_ref(), Some(&self.migrate_lock), release).await
    }

    async fn smoke(&self, release: &Release) -> Result<String, CheckFailure> {
        self.run("the smoke test", self.smoke.as_ref(), None, release).await
    }
}

impl ConfiguredCommands {
    async fn run(
        &self,
        what: &str,
        command: Option<&(CommandLine, Millis)>,
        lock: Option<&Path>,
        release: &Release,
    ) -> Result<String, CheckFailure> {
        let Some((command, time_max)) = command else {
            return Ok(String::new());
        };
        let artifact = self
            .source
            .kept(release)
            .await
            .map_err(|error| CheckFailure { message: error.message, hint: error.hint })?;
        let Artifact { folder, .. } = &artifact;
        let placeholders = self
            .placeholders
            .clone()
            .with("executable", folder.join(&self.executable).display().to_string())
            .with("release", folder.display().to_string());
        let words = placeholders.fill_words(command.words());
        let shown = words.join(" ");
        let variable = self.database_variable()?;
        // What a command says goes to the screen and into the journal; some say where they connect to.
        let secrets = Secrets::of_url(variable.values().next().map_or("", String::as_str));
        let mut program = Program::new(words, time_max.0)
            .with(&placeholders.fill_values(&self.environment))
            .with(&variable);
        if let Some(lock) = lock {
            program = program.locking(lock);
        }
        let failed = |why: String| CheckFailure {
            message: secrets.redact(&format!("{what} of {release} failed: {why}")),
            hint: Some(secrets.redact(&format!("run it yourself: {shown}"))),
        };
        let ended = program.run().await.map_err(|error| failed(error.to_string()))?;
        if !ended.success {
            return Err(failed(format!("{}: {}", ended.status, ended.complaint())));
        }
        Ok(secrets.redact(&plain(ended.text().lines().last().unwrap_or_default())))
    }

    /// The URL is read when it is needed and kept nowhere.
    fn database_variable(&self) -> Result<BTreeMap<String, String>, CheckFailure> {
        let Some(database) = &self.database else { return Ok(BTreeMap::new()) };
        let file = self.placeholders.fill(&database.url_file);
        let url = fs_err::read_to_string(Path::new(&file)).map_err(|error| CheckFailure {
            message: format!("cannot read the database URL: {error}"),
            hint: Some("`database.url_file` names a file that holds the URL and nothing else".into()),
        })?;
        Ok(BTreeMap::from([(database.variable.clone(), url.trim().to_owned())]))
    }
}
