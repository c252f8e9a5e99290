//! The strategy `command`: the user's own deploy command, run in a fresh worktree of the tag.
//!
//! It owns the worktree, the files that are copied into it, the command's output, and the lock that the command
//! inherits, so that one which outlives unship is seen. What the command does on the hosts cannot be fenced; whether
//! it did it is looked at by others.

mod checkout;
mod lock;
mod output;
mod start;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use unship_core::release::{Release, RunId, Tag};

use crate::config::{CommandTable, RelativePath};
use crate::placeholders::Placeholders;
use crate::plain::plain;
use crate::ports::{Artifact, CheckFailure, Clock, DeployCommand, Progress, Source, SourceError};
use crate::process::Program;
use crate::secrets::Secrets;
use crate::source::GitSource;
use checkout::Checkout;
use lock::{Lock, Running};

/// How long the preflight command may take.
const PREFLIGHT_MS_MAX: u64 = 5 * 60_000;
/// How often an earlier command is looked at.
const EARLIER_LOOK: Duration = Duration::from_millis(250);
/// Variables that would lead a build in the worktree to what another build left elsewhere, or git to another
/// repository. The configuration may set them.
const MISLEADING: &[&str] =
    &["CARGO_TARGET_DIR", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX"];

/// The configured command of one environment.
pub struct ConfiguredCommand {
    /// What to run.
    pub table: CommandTable,
    /// Builds and keeps releases.
    pub source: Arc<GitSource>,
    /// Worktrees, outputs and the lock are kept here.
    pub folder: PathBuf,
    /// What stands for what, but for the release's own words.
    pub placeholders: Placeholders,
    /// Variables of the environment.
    pub environment: BTreeMap<String, String>,
    /// The URL of the database, which no output may show; read when it is needed.
    pub database_url_file: Option<String>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What is checked out and ready to run.
    pub ready: Mutex<Option<Ready>>,
}

/// A checkout in which the command can be run.
pub struct Ready {
    lock: Lock,
    checkout: Checkout,
    artifact: Artifact,
}

impl ConfiguredCommand {
    /// Whether the command is given the artifact; otherwise it builds it itself, in its worktree.
    fn takes_artifact(&self) -> bool {
        let values = self.table.environment.values().chain(self.environment.values());
        self.table.run.words().iter().chain(values).any(|word| word.contains("{artifact}"))
    }

    fn folder_of(&self, tag: &Tag) -> PathBuf {
        self.folder.join("worktrees").join(tag.as_str())
    }

    fn starts_in(&self, tag: &Tag) -> PathBuf {
        let mut folder = self.folder_of(tag);
        folder.extend(self.table.folder.as_ref().map(RelativePath::as_str));
        folder
    }

    fn words_of(&self, release: &Release) -> Placeholders {
        let artifact = self.source.artifact_of(release).display().to_string();
        self.placeholders.clone().with("artifact", artifact).with("tag", release.tag.as_str())
    }

    fn variables(&self, release: &Release) -> BTreeMap<String, String> {
        let words = self.words_of(release);
        let mut variables = words.fill_values(&self.environment);
        variables.extend(words.fill_values(&self.table.environment));
        variables
    }

    /// What no output may show: the database's password, and what stands alone in a file that git does not have.
    fn secrets(&self) -> Secrets {
        let url = self.database_url_file.as_ref().map(|file| self.placeholders.fill(file));
        let url = url.and_then(|file| fs_err::read_to_string(file).ok()).unwrap_or_default();
        Secrets::of_url(url.trim()).and(checkout::passwords(&self.source, &self.table.untracked))
    }

    async fn make_ready(&self, tag: &Tag, lock: Lock, progress: &dyn Progress) -> Result<Ready, SourceError> {
        let place = self.folder_of(tag);
        let checkout = Checkout::make(&self.source, tag, &place, &self.table.untracked).await?;
        self.preflight(tag, &checkout).await?;
        let artifact = if self.takes_artifact() {
            self.source.build(tag, progress).await?
        } else {
            self.source.build_at(&place, tag, &checkout.commit, progress).await?
        };
        Ok(Ready { lock, checkout, artifact })
    }

    /// Whether the program is there, and what the user's own preflight says.
    async fn preflight(&self, tag: &Tag, checkout: &Checkout) -> Result<(), SourceError> {
        let folder = self.starts_in(tag);
        let commands = [Some(&self.table.run), self.table.preflight.as_ref()];
        for command in commands.into_iter().flatten() {
            start::find(command.words().first().map_or("", String::as_str), &folder)?;
        }
        let Some(command) = &self.table.preflight else { return Ok(()) };
        let words = self.placeholders.clone().with("tag", tag.as_str()).fill_words(command.words());
        let mut program = Program::new(words.clone(), PREFLIGHT_MS_MAX)
            .in_folder(&folder)
            .with(&self.environment)
            .with(&self.table.environment);
        program.without = MISLEADING;
        let secrets = self.secrets();
        let failed = |why: String| SourceError {
            message: secrets.redact(&format!("the preflight of {tag}'s deploy command failed: {why}")),
            hint: Some(format!(
                "in a checkout of {} with the untracked files, run: {}",
                checkout.commit,
                words.join(" ")
            )),
        };
        let ended = program.run().await.map_err(|error| failed(error.to_string()))?;
        if ended.success { Ok(()) } else { Err(failed(format!("{}: {}", ended.status, ended.complaint()))) }
    }

    fn still_runs(running: &Running) -> SourceError {
        SourceError { message: running.to_string(), hint: Some(running.hint()) }
    }
}

#[async_trait]
impl DeployCommand for ConfiguredCommand {
    async fn prepare(&self, tag: &Tag, progress: &dyn Progress) -> Result<Artifact, SourceError> {
        let mut ready = self.ready.lock().await;
        // The lock outlives the checkout of another tag: nothing gets in between.
        let lock = match ready.take() {
            Some(Ready { lock, .. }) => lock,
            None => Lock::take(&self.folder)?.map_err(|running| Self::still_runs(&running))?,
        };
        let title = format!("check out {tag}, and see whether its deploy command can run");
        progress.started(&title);
        let began = std::time::Instant::now();
        match self.make_ready(tag, lock, progress).await {
            Ok(made) => {
                progress.done(&title, u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
                let artifact = made.artifact.clone();
                *ready = Some(made);
                Ok(artifact)
            }
            Err(error) => {
                progress.failed(&title, &error.message);
                Err(error)
            }
        }
    }

    fn shown(&self, release: &Release) -> Vec<String> {
        let place = self.folder_of(&release.tag);
        let worktree = ["git", "worktree", "add", "--detach"].map(str::to_owned);
        let worktree = worktree.into_iter().chain([place.display().to_string(), release.tag.to_string()]);
        let mut lines = vec![start::shown(worktree)];
        for path in &self.table.untracked {
            let to = place.join(path.as_str()).display().to_string();
            lines.push(start::shown(["cp".to_owned(), path.as_str().to_owned(), to]));
        }
        lines.push(start::shown(["cd".to_owned(), self.starts_in(&release.tag).display().to_string()]));
        let words = self.words_of(release).fill_words(self.table.run.words());
        let variables = self.words_of(release).fill_values(&self.table.environment);
        let secrets = self.secrets();
        lines.push(secrets.redact(&start::shown_with(&variables, words)));
        lines
    }

    async fn wait_for_earlier(&self, progress: &dyn Progress) -> Result<(), CheckFailure> {
        if self.ready.lock().await.is_some() {
            return Ok(());
        }
        let began = std::time::Instant::now();
        let mut told = false;
        loop {
            let taken = Lock::take(&self.folder)
                .map_err(|error| CheckFailure { message: error.message, hint: error.hint })?;
            let Err(running) = taken else {
                output::mask_left(&self.folder, &self.secrets());
                return Ok(());
            };
            if !told {
                told = true;
                progress.note(&plain(&format!("{running}; waiting for it to end")));
            }
            if began.elapsed() > Duration::from_millis(self.table.time_max.0) {
                return Err(CheckFailure { message: running.to_string(), hint: Some(running.hint()) });
            }
            tokio::time::sleep(EARLIER_LOOK).await;
        }
    }

    async fn run(
        &self,
        run: &RunId,
        release: &Release,
        progress: &dyn Progress,
    ) -> Result<String, CheckFailure> {
        let is_ready = |ready: &Ready| ready.checkout.tag == release.tag;
        if !self.ready.lock().await.as_ref().is_some_and(is_ready) {
            self.wait_for_earlier(progress).await?;
            self.prepare(&release.tag, progress)
                .await
                .map_err(|error| CheckFailure { message: error.message, hint: error.hint })?;
        }
        // Taken out: a checkout is used once.
        let Some(ready) = self.ready.lock().await.take() else {
            return Err(CheckFailure { message: "the checkout is gone".into(), hint: None });
        };
        let planned = ready.artifact.manifest.digest();
        if planned != release.digest {
            return Err(other_build(release, "was built before"));
        }
        let said = self.start(run, release, &ready, progress).await?;
        if !self.takes_artifact() {
            let made = self.source.manifest_at(&ready.checkout.place, &release.tag).await;
            let made = made.map_err(|error| CheckFailure { message: error.message, hint: error.hint })?;
            if made.digest() != release.digest {
                return Err(other_build(release, "`build.command` makes"));
            }
        }
        ready.checkout.remove(&self.source).await;
        Ok(said)
    }
}

fn other_build(release: &Release, than: &str) -> CheckFailure {
    CheckFailure {
        message: format!("the build of {release} now gives another artifact than {than}"),
        hint: Some(
            "let the command bring out the artifact that unship built: name it as `{artifact}` in `command.run` \
             or `command.environment`"
                .into(),
        ),
    }
}

#[cfg(test)]
mod tests;
