//! Accounts and tokens.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::auth::Caller;
use super::error::ApiError;
use crate::store::tokens::{self, Issued};
use crate::store::{self, users};
use crate::validate;

/// Lifetime of the token that comes with a new account.
const FIRST_TOKEN_SECONDS: i64 = 24 * 3600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    name: String,
    full_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    #[serde(default)]
    label: Option<String>,
    expires_in: i64,
}

/// Signs up. Answers with the account and its first token.
pub async fn create(
    State(app): State<App>,
    body: Result<Json<NewUser>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let Json(new) = body?;
    if !app.flags.is_on("signup_open", true) {
        return Err(ApiError::Forbidden("sign-up is closed"));
    }
    validate::user_name(&new.name)?;
    if let Some(full_name) = &new.full_name {
        validate::line("full_name", full_name, 200)?;
    }
    let now = store::now();
    let user = users::create(&app.db, &new.name, new.full_name.as_deref(), now).await?;
    let issued = tokens::issue(&app.db, user.id, "first", FIRST_TOKEN_SECONDS, now).await?;
    Ok((StatusCode::CREATED, Json(json!({"user": user, "token": show_token(&issued)}))))
}

pub async fn show(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, ApiError> {
    let Path(name) = path?;
    let user = users::by_name(&app.db, &name).await?.ok_or(ApiError::NotFound("user"))?;
    Ok(Json(json!(user)))
}

pub async fn me(Caller(user): Caller) -> Json<Value> {
    Json(json!(user))
}

/// Answers with a further token of the caller. This is the only time that it is shown.
pub async fn create_token(
    State(app): State<App>,
    Caller(user): Caller,
    body: Result<Json<NewToken>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let Json(new) = body?;
    let label = new.label.as_deref().unwrap_or("api");
    validate::line("label", label, 100)?;
    let issued = tokens::issue(&app.db, user.id, label, new.expires_in, store::now()).await?;
    Ok((StatusCode::CREATED, Json(show_token(&issued))))
}

fn show_token(issued: &Issued) -> Value {
    json!({"token": issued.token.reveal(), "expires_at": issued.expires_at})
}
