//! From a tag to a release: a fresh worktree of the tag, the configured build, a check that the artifact says
//! the tag itself, then manifest and capsule. Builds are kept by commit and command, so the second deploy of a
//! tag builds nothing.

mod depot;
mod git;

pub use depot::Depot;
pub use git::Repository;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use unship_core::capsule::{CAPSULE_FORMAT, Capsule, CapsuleFile, Manifest};
use unship_core::evidence::Evidence;
use unship_core::release::{Digest, Release, ServiceName, Tag};
use unship_core::time::Timestamp;
use unship_host::store;

use crate::config::{Build, CommandLine, Config, RelativePath};
use crate::ports::{Artifact, Clock, Progress, Source, SourceError};
use crate::process::{Program, ProgramError};

/// The largest text file that goes into a capsule, and how many of them.
const CAPSULE_FILE_BYTES_MAX: u64 = 8 << 20;
const CAPSULE_FILES_MAX: usize = 10_000;

/// How long `<service> version` may take.
const VERSION_MS_MAX: u64 = 10_000;

/// Builds from a git repository.
pub struct GitSource {
    /// The repository.
    pub repository: Repository,
    /// Where artifacts are kept.
    pub depot: Depot,
    /// The service.
    pub service: ServiceName,
    /// How to build.
    pub build: Build,
    /// The command that prints the tag.
    pub version: Option<CommandLine>,
    /// The program that `{executable}` stands for, as a path inside the release.
    pub executable: String,
    /// The folder of migrations.
    pub migrations: Option<RelativePath>,
    /// The service says that it has no database.
    pub stateless: bool,
    /// The file of flags.
    pub flags: Option<RelativePath>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl GitSource {
    /// A source as the configuration says.
    pub fn new(config: &Config, repository: &Path, depot: Depot, clock: Arc<dyn Clock>) -> GitSource {
        GitSource {
            repository: Repository::at(repository),
            depot,
            service: config.service.name.clone(),
            build: config.build.clone(),
            version: config.service.version.clone(),
            executable: config.units.executable().to_owned(),
            migrations: config.migrations.as_ref().map(|migrations| migrations.folder.clone()),
            stateless: config.service.stateless,
            flags: config.flags.as_ref().map(|flags| flags.file.clone()),
            clock,
        }
    }

    /// What a build depends on, as far as unship knows: another commit, command or artifact is another build.
    fn key(&self, commit: &str) -> Digest {
        let words = self.build.command.words().join("\0");
        let folder = self.build.folder.as_ref().map_or("", RelativePath::as_str);
        let environment = &self.build.environment;
        let artifact = self.build.artifact.as_str();
        Digest::of(format!("{commit}\n{words}\n{folder}\n{environment:?}\n{artifact}").as_bytes())
    }

    async fn build_in(
        &self,
        worktree: &Path,
        tag: &Tag,
        commit: &str,
        progress: &dyn Progress,
    ) -> Result<Artifact, SourceError> {
        self.repository.add_worktree(worktree, commit).await?;
        self.run_build(worktree, tag, progress).await?;
        let artifact = worktree.join(self.build.artifact.as_str());
        let manifest = hashed(self.service.clone(), tag.clone(), artifact.clone()).await?;
        self.check_version(&manifest, &artifact, tag).await?;
        let capsule = self.capsule(&manifest, worktree, commit);
        self.depot.keep(&manifest, &artifact, &capsule)?;
        self.depot.get(&manifest.release())
    }

    async fn run_build(
        &self,
        worktree: &Path,
        tag: &Tag,
        progress: &dyn Progress,
    ) -> Result<(), SourceError> {
        let title = format!("build {tag}");
        progress.started(&title);
        let began = std::time::Instant::now();
        let mut folder = worktree.to_owned();
        folder.extend(self.build.folder.as_ref().map(RelativePath::as_str));
        let program = Program::new(self.build.command.words(), self.build.time_max.0)
            .in_folder(&folder)
            .with(&self.build.environment);
        let failed = |what: String| {
            progress.failed(&title, &what);
            SourceError {
                message: format!("the build of {tag} failed: {what}"),
                hint: Some(format!("in a checkout of {tag}, run: {}", self.build.command.words().join(" "))),
            }
        };
        let ended = program.run().await.map_err(|error| failed(error.to_string()))?;
        if !ended.success {
            return Err(failed(format!("{}: {}", ended.status, ended.complaint())));
        }
        progress.done(&title, u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// The artifact itself must say that it is the tag: build trees that share a cache have given one
    /// release's binary under another's name.
    async fn check_version(
        &self,
        manifest: &Manifest,
        artifact: &Path,
        tag: &Tag,
    ) -> Result<(), SourceError> {
        if !manifest.files.iter().any(|file| file.path == self.executable && file.executable) {
            return Err(SourceError {
                message: format!("the artifact of {tag} has no executable `{}`", self.executable),
                hint: Some("the first word of a unit's `command` is a path inside the release".into()),
            });
        }
        let Some(version) = &self.version else { return Ok(()) };
        let executable =
            if artifact.is_file() { artifact.to_owned() } else { artifact.join(&self.executable) };
        let executable = executable.display().to_string();
        let words = version.words().iter().map(|word| word.replace("{executable}", &executable));
        let ended = Program::new(words, VERSION_MS_MAX).run().await;
        let said = match ended {
            Ok(ended) if ended.success => ended.text(),
            Ok(ended) => format!("{}: {}", ended.status, ended.complaint()),
            Err(error @ (ProgramError::NotStarted { .. } | ProgramError::TimedOut { .. })) => {
                error.to_string()
            }
        };
        if said == tag.as_str() {
            return Ok(());
        }
        Err(SourceError {
            message: format!("the artifact built from {tag} says its version is `{said}`"),
            hint: Some(
                "builds that share a target folder can give an older release's binary: give each its own"
                    .into(),
            ),
        })
    }

    fn capsule(&self, manifest: &Manifest, worktree: &Path, commit: &str) -> Capsule {
        let now = self.clock.now();
        let known = |folder: Option<&RelativePath>, what: &str| match folder {
            Some(path) => gather(worktree, path.as_str(), now),
            None => Evidence::Missing { why: format!("unship.toml has no [{what}]") },
        };
        let migrations = if self.stateless {
            let source = "`stateless` in unship.toml".to_owned();
            Evidence::Known { value: Vec::new(), source, observed_at: now }
        } else {
            known(self.migrations.as_ref(), "migrations")
        };
        Capsule {
            format: CAPSULE_FORMAT,
            release: manifest.release(),
            commit: Evidence::Known { value: commit.to_owned(), source: "git".into(), observed_at: now },
            created_at: now,
            units: Vec::new(),
            migrations,
            queries: Evidence::Missing { why: "queries are not gathered by this version".into() },
            flags: known(self.flags.as_ref(), "flags"),
            verdicts: Evidence::Missing { why: "verdicts are not gathered by this version".into() },
        }
    }
}

#[async_trait]
impl Source for GitSource {
    async fn build(&self, tag: &Tag, progress: &dyn Progress) -> Result<Artifact, SourceError> {
        let commit = self.repository.commit_of(tag).await?;
        let key = self.key(&commit);
        if let Some(digest) = self.depot.built(&key) {
            let kept = self.depot.get(&Release { tag: tag.clone(), digest });
            // The same commit under a second tag is built again: its artifact must say that tag.
            if let Ok(artifact) = kept
                && artifact.manifest.tag == *tag
            {
                return Ok(artifact);
            }
        }
        let scratch = self.depot.scratch();
        fs_err::create_dir_all(&scratch)
            .map_err(|error| SourceError { message: error.to_string(), hint: None })?;
        let worktree = scratch.join(format!("{tag}.{}", std::process::id()));
        let built = self.build_in(&worktree, tag, &commit, progress).await;
        self.repository.remove_worktree(&worktree).await;
        let artifact = built?;
        self.depot.remember(&key, &artifact.manifest.digest())?;
        Ok(artifact)
    }

    async fn kept(&self, release: &Release) -> Result<Artifact, SourceError> {
        self.depot.get(release)
    }
}

/// Hashing is work for a thread of its own.
async fn hashed(service: ServiceName, tag: Tag, artifact: PathBuf) -> Result<Manifest, SourceError> {
    if !artifact.exists() {
        return Err(SourceError {
            message: format!("the build of {tag} made no `{}`", artifact.display()),
            hint: Some("`build.artifact` is relative to the worktree, not to `build.folder`".into()),
        });
    }
    let manifest = tokio::task::spawn_blocking(move || store::manifest_of(&service, &tag, &artifact));
    match manifest.await {
        Ok(Ok(manifest)) => Ok(manifest),
        Ok(Err(error)) => Err(SourceError { message: error.to_string(), hint: None }),
        Err(error) => Err(SourceError { message: error.to_string(), hint: None }),
    }
}

/// The text files at a path of the worktree, sorted, or why they are not known.
fn gather(worktree: &Path, path: &str, now: Timestamp) -> Evidence<Vec<CapsuleFile>> {
    let mut files = Vec::new();
    match gather_into(worktree, path, &mut files) {
        Ok(()) => {
            files.sort_by(|a, b| a.path.cmp(&b.path));
            Evidence::Known { value: files, source: format!("`{path}` of the tag"), observed_at: now }
        }
        Err(why) => Evidence::Missing { why },
    }
}

fn gather_into(worktree: &Path, path: &str, files: &mut Vec<CapsuleFile>) -> Result<(), String> {
    let place = worktree.join(path);
    let metadata = fs_err::symlink_metadata(&place).map_err(|_| format!("the tag has no `{path}`"))?;
    if metadata.is_dir() {
        for item in fs_err::read_dir(&place).map_err(|error| error.to_string())? {
            let name = item.map_err(|error| error.to_string())?.file_name();
            let name = name.to_str().ok_or_else(|| format!("`{path}` holds a name that is not UTF-8"))?;
            gather_into(worktree, &format!("{path}/{name}"), files)?;
        }
        return Ok(());
    }
    if !metadata.is_file() || metadata.len() > CAPSULE_FILE_BYTES_MAX || files.len() >= CAPSULE_FILES_MAX {
        return Err(format!("`{path}` is not a plain file of at most {CAPSULE_FILE_BYTES_MAX} bytes"));
    }
    let text = fs_err::read_to_string(&place).map_err(|error| error.to_string())?;
    files.push(CapsuleFile { path: path.to_owned(), sha256: Digest::of(text.as_bytes()), text });
    Ok(())
}
