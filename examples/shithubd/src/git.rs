//! The bare git repositories on disk: `<data>/repos/<owner>/<name>.git`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::process::Command;

use crate::validate;

const INIT_LIMIT: Duration = Duration::from_secs(10);
/// Tells apart what this process prepares at the same time.
static COUNTER: AtomicU64 = AtomicU64::new(0);

#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error(transparent)]
    Name(#[from] validate::Invalid),
    #[error("{what} {}: {source}", path.display())]
    Disk { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("cannot run git: {0}")]
    Run(#[source] std::io::Error),
    #[error("git init took longer than {} s", INIT_LIMIT.as_secs())]
    TimedOut,
    #[error("git init failed: {0}")]
    Failed(String),
}

/// A repository that is whole but has no name yet. Dropped, it is removed again.
#[derive(Debug)]
pub struct Prepared {
    path: Option<PathBuf>,
    owner_folder: PathBuf,
}

/// Makes an empty bare repository beside the place that [`Prepared::publish`] gives it.
pub async fn prepare(data_dir: &Path, owner: &str) -> Result<Prepared, GitError> {
    // The callers have checked the names; paths are built here, so here they are checked again.
    validate::user_name(owner)?;
    let owner_folder = data_dir.join("repos").join(owner);
    std::fs::create_dir_all(&owner_folder).map_err(|source| disk("cannot create", &owner_folder, source))?;
    let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
    // No repository name begins with a dot, so this cannot meet one.
    let path = owner_folder.join(format!(".new-{}-{unique}", std::process::id()));
    let prepared = Prepared { path: Some(path.clone()), owner_folder };
    run_init(&path).await?;
    Ok(prepared)
}

impl Prepared {
    /// Gives the repository its name. What is there already is never replaced.
    pub fn publish(mut self, name: &str) -> Result<(), GitError> {
        validate::repo_name(name)?;
        let finished = self.owner_folder.join(format!("{name}.git"));
        if let Some(path) = &self.path {
            // A rename onto a folder that is not empty fails, which is wanted: it may hold commits
            // of which the database knows nothing, for example after a restore.
            std::fs::rename(path, &finished).map_err(|source| disk("cannot create", &finished, source))?;
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

async fn run_init(path: &Path) -> Result<(), GitError> {
    let mut command = Command::new("git");
    command
        .args(["init", "--quiet", "--bare", "--initial-branch=main", "--template=", "--"])
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        // Whoever started the service may have git settings of their own; repositories must not.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()))
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    let output = tokio::time::timeout(INIT_LIMIT, command.output())
        .await
        .map_err(|_| GitError::TimedOut)?
        .map_err(GitError::Run)?;
    if output.status.success() {
        Ok(())
    } else {
        Err(GitError::Failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

fn disk(what: &'static str, path: &Path, source: std::io::Error) -> GitError {
    GitError::Disk { what, path: path.to_owned(), source }
}
