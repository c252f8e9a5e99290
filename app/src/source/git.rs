//! What unship asks git. Every call pins the environment, so that a user's aliases, hooks' variables or
//! configuration cannot change what a tag means.

use std::path::{Path, PathBuf};

use unship_core::release::Tag;

use crate::ports::SourceError;
use crate::process::{Ended, Program};

/// How long git may take: a checkout of a large repository.
const GIT_MS_MAX: u64 = 5 * 60_000;

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
            return Err(SourceError {
                message: format!("`{}` is not in a git repository", self.folder.display()),
                hint: Some("run unship where the service's repository is".into()),
            });
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
