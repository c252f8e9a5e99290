//! What unship asks git. Every call pins the environment, so that a user's aliases, hooks' variables or
//! configuration cannot change what a tag means.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use unship_core::flags::FlagName;
use unship_core::release::Tag;

use crate::ports::{self, SourceError};
use crate::process::{Ended, Program};

/// How long git may take: a checkout of a large repository.
const GIT_MS_MAX: u64 = 5 * 60_000;

/// How many flags are looked for in a tag's files, and how long.
const GREP_NAMES_MAX: usize = 1_000;
const GREP_MAX: Duration = Duration::from_secs(60);

/// Variables with which a surrounding git, for example a hook, would redirect ours.
const REDIRECTING: &[&str] = &[
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
];

/// A repository.
#[derive(Debug, Clone)]
pub struct Repository {
    folder: PathBuf,
}

impl Repository {
    /// The repository that `folder` is in.
    pub fn at(folder: &Path) -> Repository {
        Repository { folder: folder.to_owned() }
    }

    /// The folder that has the repository's files.
    pub fn top(&self) -> Result<PathBuf, SourceError> {
        let folder = std::path::absolute(&self.folder).unwrap_or_else(|_| self.folder.clone());
        let top = folder.ancestors().find(|folder| folder.join(".git").exists());
        top.map(Path::to_owned).ok_or_else(|| self.not_here())
    }

    fn not_here(&self) -> SourceError {
        SourceError {
            message: format!("`{}` is not in a git repository", self.folder.display()),
            hint: Some("run unship where the service's repository is".into()),
        }
    }

    async fn git(&self, words: &[&str]) -> Result<Ended, SourceError> {
        let mut program = Program::new(["git", "-C"], GIT_MS_MAX);
        program.words.push(self.folder.display().to_string());
        program.words.extend(words.iter().map(ToString::to_string));
        program.without = REDIRECTING;
        program
            .run()
            .await
            .map_err(|error| SourceError { message: error.to_string(), hint: Some("install git".into()) })
    }

    /// The commit that a tag names.
    pub async fn commit_of(&self, tag: &Tag) -> Result<String, SourceError> {
        let name = format!("refs/tags/{tag}^{{commit}}");
        let ended = self.git(&["rev-parse", "--verify", "--quiet", "--end-of-options", &name]).await?;
        if ended.success {
            return Ok(ended.text());
        }
        let inside = self.git(&["rev-parse", "--git-dir"]).await?;
        if !inside.success {
            return Err(self.not_here());
        }
        let tags = self.git(&["tag", "--list", "--sort=-creatordate"]).await?.text();
        let known: Vec<&str> = tags.lines().take(10).collect();
        let hint = if known.is_empty() {
            "the repository has no tag: `git fetch --tags`".into()
        } else {
            format!("the newest tags are: {}; `git fetch --tags` brings others", known.join(", "))
        };
        Err(SourceError { message: format!("there is no tag `{tag}`"), hint: Some(hint) })
    }

    /// What git says to a question that has no other answer than yes or no.
    async fn succeeds(&self, words: &[&str], what: &str) -> Result<bool, SourceError> {
        let ended = self.git(words).await?;
        if ended.success || ended.stderr.trim_ascii().is_empty() {
            return Ok(ended.success);
        }
        Err(SourceError { message: format!("{what}: {}", ended.complaint()), hint: None })
    }

    /// Of `names`, those that stand as words of their own in the tracked files of a tag. They are looked for one by
    /// one, and not longer than `GREP_MS_MAX` together.
    pub async fn naming(&self, tag: &Tag, names: &[FlagName]) -> Result<Vec<FlagName>, SourceError> {
        let too_much = |why: String| SourceError {
            message: format!("cannot tell which flags the files of {tag} name: {why}"),
            hint: None,
        };
        if names.len() > GREP_NAMES_MAX {
            return Err(too_much(format!(
                "there are {} flags; {GREP_NAMES_MAX} are looked for",
                names.len()
            )));
        }
        let commit = self.commit_of(tag).await?;
        let began = Instant::now();
        let mut found = Vec::new();
        for name in names {
            if began.elapsed() > GREP_MAX {
                return Err(too_much(format!("it takes longer than {} s", GREP_MAX.as_secs())));
            }
            let words =
                ["grep", "--quiet", "--fixed-strings", "--word-regexp", "-e", name.as_str(), &commit, "--"];
            let ended = self.git(&words).await?;
            // Status 1 is an answer, others are not, and go with words.
            match (ended.success, ended.stderr.trim_ascii().is_empty()) {
                (true, _) => found.push(name.clone()),
                (false, true) => {}
                (false, false) => return Err(too_much(ended.complaint())),
            }
        }
        Ok(found)
    }

    /// A worktree of the commit at `place`, which must not exist.
    pub async fn add_worktree(&self, place: &Path, commit: &str) -> Result<(), SourceError> {
        let place = place.display().to_string();
        let ended =
            self.git(&["worktree", "add", "--quiet", "--detach", "--force", "--", &place, commit]).await?;
        if ended.success {
            return Ok(());
        }
        Err(SourceError {
            message: format!("cannot check out {commit}: {}", ended.complaint()),
            hint: Some("`git worktree list` shows what is checked out where".into()),
        })
    }

    /// Removes a worktree and what git remembers of it.
    pub async fn remove_worktree(&self, place: &Path) {
        let text = place.display().to_string();
        // Best effort: a folder that stays is in the way of nothing, and `worktree add --force` overrides it.
        let _ = self.git(&["worktree", "remove", "--force", "--", &text]).await;
        let _ = fs_err::remove_dir_all(place);
        let _ = self.git(&["worktree", "prune"]).await;
    }
}

#[async_trait]
impl ports::Repository for Repository {
    async fn tags(&self) -> Result<BTreeSet<Tag>, SourceError> {
        let ended = self.git(&["tag", "--list"]).await?;
        if !ended.success {
            return Err(self.not_here());
        }
        // What cannot name a release is in nobody's way.
        Ok(ended.text().lines().filter_map(|line| line.parse().ok()).collect())
    }

    async fn branch(&self, name: &str, at: &Tag) -> Result<(), SourceError> {
        let commit = self.commit_of(at).await?;
        let reference = format!("refs/heads/{name}^{{commit}}");
        let there = self.git(&["rev-parse", "--verify", "--quiet", "--end-of-options", &reference]).await?;
        if there.success && there.text() == commit {
            return Ok(());
        }
        let made = self.git(&["branch", "--no-track", "--", name, &commit]).await?;
        if made.success {
            return Ok(());
        }
        Err(SourceError {
            message: format!("cannot make the branch `{name}`: {}", made.complaint()),
            hint: Some(format!("somebody may be at work there: `git log {at}..{name}`")),
        })
    }

    async fn is_on_top(&self, new: &Tag, old: &Tag) -> Result<bool, SourceError> {
        let (new_commit, old_commit) = (self.commit_of(new).await?, self.commit_of(old).await?);
        let words = ["merge-base", "--is-ancestor", &old_commit, &new_commit];
        self.succeeds(&words, &format!("cannot compare {new} with {old}")).await
    }
}
