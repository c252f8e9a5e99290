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
use unship_core::capsule::{CAPSULE_FORMAT, Capsule, CapsuleFile, FlagEra, Manifest};
use unship_core::evidence::Evidence;
use unship_core::flags::FlagName;
use unship_core::release::{Digest, Release, ServiceName, Tag};
use unship_core::running::UnitFile;
use unship_core::time::Timestamp;
use unship_host::store;

use crate::config::{Build, CommandLine, Config, RelativePath};
use crate::ports::{Artifact, Clock, Progress, Source, SourceError};
use crate::process::{Program, ProgramError};

/// The largest text file that goes into a capsule, and how many of them.
const CAPSULE_FILE_BYTES_MAX: u64 = 8 << 20;
const CAPSULE_FILES_MAX: usize = 10_000;

/// What says that a release without migrations has none.
const STATELESS: &str = "`stateless` in unship.toml";

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
    /// Where the queries are; looked for if empty.
    pub queries: Vec<String>,
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
            queries: config
                .queries
                .iter()
                .flat_map(|queries| &queries.paths)
                .map(|path| path.as_str().to_owned())
                .collect(),
            stateless: config.service.stateless,
            flags: config.flags.as_ref().and_then(|flags| flags.file.clone()),
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
        self.build_at(worktree, tag, commit, progress).await
    }

    /// Builds the release in a worktree of its tag that is there already, and keeps it.
    pub async fn build_at(
        &self,
        worktree: &Path,
        tag: &Tag,
        commit: &str,
        progress: &dyn Progress,
    ) -> Result<Artifact, SourceError> {
        self.run_build(worktree, tag, progress).await?;
        let artifact = worktree.join(self.build.artifact.as_str());
        let manifest = self.manifest_at(worktree, tag).await?;
        self.check_version(&manifest, &artifact, tag).await?;
        let capsule = self.capsule(&manifest, worktree, commit);
        self.depot.keep(&manifest, &artifact, &capsule)?;
        self.depot.get(&manifest.release())
    }

    /// The release of a tag, if it was built here before.
    pub async fn built(&self, tag: &Tag) -> Option<Release> {
        let commit = self.repository.commit_of(tag).await.ok()?;
        let release = Release { tag: tag.clone(), digest: self.depot.built(&self.key(&commit))? };
        let kept = self.depot.get(&release).ok()?;
        (kept.manifest.tag == *tag).then_some(release)
    }

    /// Whether unship.toml names something that it did not name when the release was built, so that its capsule has
    /// nothing of it.
    fn lacks(&self, capsule: &Capsule) -> bool {
        let Capsule { migrations, queries, flags, .. } = capsule;
        let was_stateless = matches!(migrations, Evidence::Known { source, .. } if source == STATELESS);
        was_stateless && !self.stateless
            || migrations.value().is_none() && (self.stateless || self.migrations.is_some())
            || queries.value().is_none() && !self.queries.is_empty()
            || flags.value().is_none() && self.flags.is_some()
    }

    /// A kept release with what a worktree of its commit gives now.
    async fn complete(&self, artifact: Artifact, commit: &str) -> Result<Artifact, SourceError> {
        let Capsule { migrations, queries, flags, .. } = self.gathered(&artifact.manifest, commit).await?;
        self.depot.keep_capsule(&Capsule { migrations, queries, flags, ..artifact.capsule })?;
        self.depot.get(&artifact.manifest.release())
    }

    /// The capsule of a release as a worktree of its commit gives it.
    async fn gathered(&self, manifest: &Manifest, commit: &str) -> Result<Capsule, SourceError> {
        let worktree = self.scratch_for(&manifest.tag)?;
        let added = self.repository.add_worktree(&worktree, commit).await;
        let capsule = added.map(|()| self.capsule(manifest, &worktree, commit));
        self.repository.remove_worktree(&worktree).await;
        capsule
    }

    /// Where a worktree of a tag can be made.
    fn scratch_for(&self, tag: &Tag) -> Result<PathBuf, SourceError> {
        let scratch = self.depot.scratch();
        fs_err::create_dir_all(&scratch)
            .map_err(|error| SourceError { message: error.to_string(), hint: None })?;
        Ok(scratch.join(format!("{tag}.{}", std::process::id())))
    }

    /// What was built in a worktree.
    pub async fn manifest_at(&self, worktree: &Path, tag: &Tag) -> Result<Manifest, SourceError> {
        let artifact = worktree.join(self.build.artifact.as_str());
        hashed(self.service.clone(), tag.clone(), artifact).await
    }

    /// Where a kept release's artifact is: its file, or the folder of its files.
    pub fn artifact_of(&self, release: &Release) -> PathBuf {
        let folder = self.depot.files_of(&release.digest);
        match self.depot.get(release).ok().as_ref().map(|artifact| artifact.manifest.files.as_slice()) {
            Some([only]) => folder.join(&only.path),
            _ => folder,
        }
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
            Evidence::Known { value: Vec::new(), source: STATELESS.to_owned(), observed_at: now }
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
            queries: self.queries(worktree, now),
            flags: known(self.flags.as_ref(), "flags"),
            flag_era: FlagEra::default(),
            ci: Evidence::default(),
            schema: Evidence::default(),
            verdicts: Evidence::Missing { why: "it was not deployed yet".into() },
        }
    }

    /// The files with the release's queries.
    fn queries(&self, worktree: &Path, now: Timestamp) -> Evidence<Vec<CapsuleFile>> {
        match crate::gather::queries::on_disk(worktree, &self.queries) {
            Err(error) => Evidence::Missing { why: error.to_string() },
            Ok(found) if found.files.is_empty() => {
                Evidence::Missing { why: unship_core::verdict::HOW_TO_GIVE_QUERIES.into() }
            }
            Ok(found) => {
                let source = found.source();
                let file = |(path, text): (String, String)| CapsuleFile {
                    path,
                    sha256: Digest::of(text.as_bytes()),
                    text,
                };
                let value = found.files.into_iter().map(file).collect();
                Evidence::Known { value, source, observed_at: now }
            }
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
                let lacks = self.lacks(&artifact.capsule);
                return if lacks { self.complete(artifact, &commit).await } else { Ok(artifact) };
            }
        }
        let worktree = self.scratch_for(tag)?;
        let built = self.build_in(&worktree, tag, &commit, progress).await;
        self.repository.remove_worktree(&worktree).await;
        let artifact = built?;
        self.depot.remember(&key, &artifact.manifest.digest())?;
        Ok(artifact)
    }

    async fn capsule_of(
        &self,
        tag: &Tag,
        manifest: &Manifest,
        units: &[UnitFile],
    ) -> Result<Capsule, SourceError> {
        let commit = self.repository.commit_of(tag).await?;
        let mut capsule = self.gathered(manifest, &commit).await?;
        let file = |unit: &UnitFile| CapsuleFile {
            path: unit.path.clone(),
            sha256: Digest::of(unit.text.as_bytes()),
            text: unit.text.clone(),
        };
        capsule.units = units.iter().map(file).collect();
        Ok(capsule)
    }

    async fn keep_papers(&self, manifest: &Manifest, capsule: &Capsule) -> Result<(), SourceError> {
        self.depot.keep_papers(manifest, capsule)
    }

    async fn kept(&self, release: &Release) -> Result<Artifact, SourceError> {
        self.depot.get(release)
    }

    async fn refresh(&self, release: &Release) -> Result<(), SourceError> {
        let artifact = self.depot.get(release)?;
        if self.lacks(&artifact.capsule) {
            let commit = self.repository.commit_of(&release.tag).await?;
            self.complete(artifact, &commit).await?;
        }
        Ok(())
    }

    async fn keep_capsule(&self, capsule: &Capsule) -> Result<(), SourceError> {
        self.depot.keep_capsule(capsule)
    }

    async fn introduced(
        &self,
        new: &Release,
        old: Option<&Release>,
        names: &[FlagName],
    ) -> Result<Vec<FlagName>, SourceError> {
        let in_new = self.repository.naming(&new.tag, names).await?;
        let in_old = match old.filter(|_| !in_new.is_empty()) {
            Some(old) => self.repository.naming(&old.tag, &in_new).await?,
            None => Vec::new(),
        };
        Ok(in_new.into_iter().filter(|name| !in_old.contains(name)).collect())
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
