//! Issues: everyone with an account may open one; its author and the repository's owner change it.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Caller;
use super::error::ApiError;
use super::{App, repos};
use crate::store::issues::{self, Change};
use crate::{store, validate};

const TITLE_LIMIT: usize = 300;
const BODY_LIMIT: usize = 32 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewIssue {
    title: String,
    #[serde(default)]
    body: String,
}

#[derive(Deserialize)]
pub struct Search {
    q: String,
}

type RepoPath = Result<Path<(String, String)>, PathRejection>;
type IssuePath = Result<Path<(String, String, i64)>, PathRejection>;

pub async fn list(State(app): State<App>, path: RepoPath) -> Result<Json<Value>, ApiError> {
    let Path((owner, name)) = path?;
    let repo = repos::find(&app, &owner, &name).await?;
    Ok(Json(json!({"issues": issues::list(&app.db, repo.id).await?})))
}

pub async fn create(
    State(app): State<App>,
    Caller(user): Caller,
    path: RepoPath,
    body: Result<Json<NewIssue>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let (Path((owner, name)), Json(new)) = (path?, body?);
    validate::line("title", &new.title, TITLE_LIMIT)?;
    validate::text("body", &new.body, BODY_LIMIT)?;
    let repo = repos::find(&app, &owner, &name).await?;
    let number = issues::create(&app.db, repo.id, user.id, &new.title, &new.body, store::now()).await?;
    app.metrics.issue_created();
    let created = json!({"number": number, "author": user.name, "title": new.title, "body": new.body});
    Ok((StatusCode::CREATED, Json(created)))
}

pub async fn show(State(app): State<App>, path: IssuePath) -> Result<Json<Value>, ApiError> {
    let Path((owner, name, number)) = path?;
    let repo = repos::find(&app, &owner, &name).await?;
    let issue = issues::by_number(&app.db, repo.id, number).await?.ok_or(ApiError::NotFound("issue"))?;
    Ok(Json(json!(issue)))
}

pub async fn change(
    State(app): State<App>,
    Caller(user): Caller,
    path: IssuePath,
    body: Result<Json<Change>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let (Path((owner, name, number)), Json(change)) = (path?, body?);
    if let Some(title) = &change.title {
        validate::line("title", title, TITLE_LIMIT)?;
    }
    if let Some(body) = &change.body {
        validate::text("body", body, BODY_LIMIT)?;
    }
    let repo = repos::find(&app, &owner, &name).await?;
    let issue = issues::by_number(&app.db, repo.id, number).await?.ok_or(ApiError::NotFound("issue"))?;
    if user.id != repo.owner_id && user.name != issue.author {
        return Err(ApiError::Forbidden("only its author and the repository's owner may change an issue"));
    }
    issues::update(&app.db, repo.id, &issue, &change, store::now()).await?;
    let issue = issues::by_number(&app.db, repo.id, number).await?.ok_or(ApiError::NotFound("issue"))?;
    Ok(Json(json!(issue)))
}

/// Issues with the word `q`, as far as the worker has indexed them.
pub async fn search(
    State(app): State<App>,
    query: Result<Query<Search>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(search) = query?;
    validate::line("q", &search.q, 100)?;
    Ok(Json(json!({"issues": issues::search(&app.db, search.q.trim()).await?})))
}
