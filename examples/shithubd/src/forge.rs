//! What takes the database and the disk together.

use std::path::Path;

use crate::database::Db;
use crate::git::{self, GitError};
use crate::store::users::User;
use crate::store::{self, CreateError, repos};
use crate::validate::{self, Invalid};

#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("the repository exists already")]
    Exists,
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Creates a repository on disk and in the database: both, or neither.
///
/// The row decides who gets the name; the folder is made before and named after, so that what is
/// left for a crash to tear apart is one rename.
pub async fn create_repo(
    db: &Db,
    data_dir: &Path,
    owner: &User,
    name: &str,
    description: &str,
) -> Result<i64, RepoError> {
    validate::repo_name(name)?;
    validate::text("description", description, 1000)?;
    let prepared = git::prepare(data_dir, &owner.name).await?;
    let id = match repos::create(db, owner.id, name, description, store::now()).await {
        Ok(id) => id,
        Err(CreateError::Exists) => return Err(RepoError::Exists),
        Err(CreateError::Database(error)) => return Err(error.into()),
    };
    if let Err(error) = prepared.publish(name) {
        repos::delete(db, id).await?;
        return Err(error.into());
    }
    Ok(id)
}
