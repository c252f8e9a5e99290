//! Repositories.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::auth::Caller;
use super::error::ApiError;
use crate::forge;
use crate::store::repos::{self, Ref};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRepo {
    name: String,
    #[serde(default)]
    description: String,
}

/// Where a request's path points to, for the handlers of everything that belongs to a repository.
pub async fn find(app: &App, owner: &str, name: &str) -> Result<Ref, ApiError> {
    repos::find(&app.db, owner, name).await?.ok_or(ApiError::NotFound("repository"))
}

pub async fn list(State(app): State<App>) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({"repos": repos::list(&app.db, None).await?})))
}

pub async fn list_of_owner(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let Path(owner) = path?;
    Ok(Json(json!({"repos": repos::list(&app.db, Some(&owner)).await?})))
}

pub async fn create(
    State(app): State<App>,
    Caller(user): Caller,
    body: Result<Json<NewRepo>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let Json(new) = body?;
    forge::create_repo(&app.db, &app.data_dir, &user, &new.name, &new.description).await?;
    let created = json!({"owner": user.name, "name": new.name, "description": new.description});
    Ok((StatusCode::CREATED, Json(created)))
}

pub async fn show(
    State(app): State<App>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let Path((owner, name)) = path?;
    let repo = repos::by_name(&app.db, &owner, &name).await?.ok_or(ApiError::NotFound("repository"))?;
    Ok(Json(json!(repo)))
}
