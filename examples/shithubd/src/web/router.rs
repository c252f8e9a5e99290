//! Which path goes where. README.md describes each for clients.

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Router, middleware};

use super::{App, error, events, issues, metrics, repos, stars, system, users};

/// Nothing that the API takes is longer.
const BODY_LIMIT: usize = 64 * 1024;

pub fn build(app: App) -> Router {
    Router::new()
        .route("/healthz", get(system::healthz))
        .route("/version", get(system::version))
        .route("/metrics", get(metrics::show))
        .route("/slow", get(events::wait))
        .route("/api/flags", get(system::flags))
        .route("/api/users", post(users::create))
        .route("/api/users/{user}", get(users::show))
        .route("/api/user", get(users::me))
        .route("/api/tokens", post(users::create_token))
        .route("/api/repos", get(repos::list).post(repos::create))
        .route("/api/repos/{owner}", get(repos::list_of_owner))
        .route("/api/repos/{owner}/{repo}", get(repos::show))
        .route(
            "/api/repos/{owner}/{repo}/star",
            get(stars::show).put(stars::give).post(stars::give).delete(stars::take),
        )
        .route("/api/repos/{owner}/{repo}/issues", get(issues::list).post(issues::create))
        .route("/api/repos/{owner}/{repo}/issues/{number}", get(issues::show).patch(issues::change))
        .route("/api/search/issues", get(issues::search))
        .route("/api/events/wait", get(events::wait))
        .route("/api/events/stream", get(events::stream))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(app.clone(), metrics::count))
        .with_state(app)
}
