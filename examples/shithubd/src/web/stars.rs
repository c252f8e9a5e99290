//! Stars of a repository.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::auth::Caller;
use super::error::ApiError;
use super::{App, repos};
use crate::store::{self, stars};

type RepoPath = Result<Path<(String, String)>, PathRejection>;

/// How many there are, for everyone.
pub async fn show(State(app): State<App>, path: RepoPath) -> Result<Json<Value>, ApiError> {
    let Path((owner, name)) = path?;
    let repo = repos::find(&app, &owner, &name).await?;
    Ok(Json(json!({"stars": stars::count(&app.db, repo.id).await?})))
}

pub async fn give(
    State(app): State<App>,
    Caller(user): Caller,
    path: RepoPath,
) -> Result<Json<Value>, ApiError> {
    let Path((owner, name)) = path?;
    let repo = repos::find(&app, &owner, &name).await?;
    stars::give(&app.db, user.id, repo.id, store::now()).await?;
    app.metrics.star_given();
    answer(&app, user.id, repo.id).await
}

pub async fn take(
    State(app): State<App>,
    Caller(user): Caller,
    path: RepoPath,
) -> Result<Json<Value>, ApiError> {
    let Path((owner, name)) = path?;
    let repo = repos::find(&app, &owner, &name).await?;
    stars::take(&app.db, user.id, repo.id, store::now()).await?;
    answer(&app, user.id, repo.id).await
}

async fn answer(app: &App, user: i64, repo: i64) -> Result<Json<Value>, ApiError> {
    let starred = stars::given(&app.db, user, repo).await?;
    Ok(Json(json!({"starred": starred, "stars": stars::count(&app.db, repo).await?})))
}
