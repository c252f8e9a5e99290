//! `admin`: what an operator does without the API. Creating what exists already succeeds.

use crate::cli::AdminTask;
use crate::config::Config;
use crate::database::{DatabaseError, Db, migrations};
use crate::store::{self, CreateError, tokens, users};
use crate::{forge, validate};

#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error(transparent)]
    Invalid(#[from] validate::Invalid),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("there is no user {0}")]
    NoSuchUser(String),
    #[error(transparent)]
    Token(#[from] tokens::TokenError),
    #[error(transparent)]
    Repo(#[from] forge::RepoError),
}

impl From<sqlx::Error> for AdminError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Does the task and returns what to print: of a new token, the token and nothing else.
pub async fn run(config: &Config, task: AdminTask) -> Result<String, AdminError> {
    let db = Db::open(config).await?;
    migrations::check(&db).await?;
    let said = perform(config, &db, task).await;
    db.close().await;
    said
}

async fn perform(config: &Config, db: &Db, task: AdminTask) -> Result<String, AdminError> {
    let now = store::now();
    match task {
        AdminTask::CreateUser { name, full_name } => {
            validate::user_name(&name)?;
            if let Some(full_name) = &full_name {
                validate::line("full_name", full_name, 200)?;
            }
            match users::create(db, &name, full_name.as_deref(), now).await {
                Ok(_) => Ok(format!("created user {name}")),
                Err(CreateError::Exists) => Ok(format!("user {name} exists")),
                Err(CreateError::Database(error)) => Err(error.into()),
            }
        }
        AdminTask::CreateToken { user, expires_in, label } => {
            validate::line("label", &label, 100)?;
            let owner = users::by_name(db, &user).await?.ok_or(AdminError::NoSuchUser(user))?;
            let issued = tokens::issue(db, owner.id, &label, expires_in, now).await?;
            Ok(issued.token.reveal().to_owned())
        }
        AdminTask::CreateRepo { owner, name } => {
            validate::repo_name(&name)?;
            let user = users::by_name(db, &owner).await?.ok_or(AdminError::NoSuchUser(owner))?;
            match forge::create_repo(db, &config.data_dir, &user, &name, "").await {
                Ok(_) => Ok(format!("created repository {}/{name}", user.name)),
                Err(forge::RepoError::Exists) => Ok(format!("repository {}/{name} exists", user.name)),
                Err(error) => Err(error.into()),
            }
        }
    }
}
