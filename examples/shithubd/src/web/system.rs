//! What operators and their tools ask.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::App;
use crate::version;

const PING_LIMIT: Duration = Duration::from_secs(2);

/// 200 if requests can be served, which takes the database; 503 otherwise.
pub async fn healthz(State(app): State<App>) -> (StatusCode, Json<Value>) {
    match tokio::time::timeout(PING_LIMIT, app.db.ping()).await {
        Ok(Ok(())) => (StatusCode::OK, Json(json!({"status": "ok"}))),
        Ok(Err(error)) => {
            tracing::error!("health check: {error}");
            unhealthy("the database answers with an error")
        }
        Err(_) => unhealthy("the database does not answer"),
    }
}

fn unhealthy(reason: &str) -> (StatusCode, Json<Value>) {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "unhealthy", "reason": reason})))
}

/// Which release answers, and which process of it.
pub async fn version() -> Json<Value> {
    let pid = std::process::id();
    Json(json!({"service": "shithubd", "version": version::TAG, "pid": pid, "instance": pid.to_string()}))
}

/// The flags that the flags file decides; every other is up to the release's own default.
pub async fn flags(State(app): State<App>) -> Json<Value> {
    Json(json!({"flags": app.flags.all()}))
}
