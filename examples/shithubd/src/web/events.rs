//! What happens on this instance, for clients that wait for it.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, Sse};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};

use super::App;
use super::error::ApiError;

/// Longest wait and longest stream. Both are below the default drain limit of 30 s, so that no
/// stop has to cut one.
const MAX_WAIT_MS: u64 = 10_000;
const MAX_STREAM_SECONDS: u64 = 25;
const TICK: Duration = Duration::from_millis(100);

#[derive(Deserialize)]
pub struct Wait {
    /// How long to gather events before answering.
    ms: u64,
}

#[derive(Deserialize)]
pub struct StreamFor {
    seconds: u64,
}

/// A batching long poll: gathers what happens for `ms` milliseconds, then answers with the sums.
/// It always takes its whole time, so `/slow` is another name for it.
pub async fn wait(
    State(app): State<App>,
    query: Result<Query<Wait>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(Wait { ms }) = query?;
    if ms > MAX_WAIT_MS {
        return Err(ApiError::Invalid(format!("ms is at most {MAX_WAIT_MS}")));
    }
    let before = app.metrics.happened();
    tokio::time::sleep(Duration::from_millis(ms)).await;
    let after = app.metrics.happened();
    Ok(Json(json!({
        "waited_ms": ms,
        "issues": after.issues - before.issues,
        "stars": after.stars - before.stars,
    })))
}

/// Server-sent events: one `tick` every 100 ms with the sums so far, then one `end` that says how
/// many ticks there were. A stream without its `end` was cut.
pub async fn stream(
    State(app): State<App>,
    query: Result<Query<StreamFor>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let Query(StreamFor { seconds }) = query?;
    if seconds > MAX_STREAM_SECONDS {
        return Err(ApiError::Invalid(format!("seconds is at most {MAX_STREAM_SECONDS}")));
    }
    let ticks = seconds * 10;
    let mut clock = tokio::time::interval_at(Instant::now() + TICK, TICK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let events = stream::unfold((app, clock, 1), move |(app, mut clock, number)| async move {
        let event = if number <= ticks {
            clock.tick().await;
            let happened = app.metrics.happened();
            let data =
                json!({"tick": number, "of": ticks, "issues": happened.issues, "stars": happened.stars});
            Event::default().event("tick").id(number.to_string()).data(data.to_string())
        } else if number == ticks + 1 {
            Event::default().event("end").data(json!({"ticks": ticks}).to_string())
        } else {
            return None;
        };
        Some((Ok(event), (app, clock, number + 1)))
    });
    Ok(Sse::new(events))
}
