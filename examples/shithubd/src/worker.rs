//! `worker`: takes jobs off the queue, one at a time. More speed is more workers.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::WorkerOptions;
use crate::config::Config;
use crate::database::{DatabaseError, Db, migrations};
use crate::store::jobs::{self, Job, Kind};
use crate::store::{self, issues, repos};

/// How long an idle worker sleeps before it looks again.
const POLL: Duration = Duration::from_millis(250);
/// A job that failed, or is of a newer release's kind, comes back after attempts × this, at most an hour.
const RETRY_SECONDS: i64 = 5;
const RETRY_LIMIT_SECONDS: i64 = 3600;

#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] std::io::Error),
}

pub async fn run(config: &Config, options: &WorkerOptions) -> Result<(), WorkerError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(WorkerError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(WorkerError::Signals)?;
    let db = Db::open(config).await?;
    migrations::check(&db).await?;
    notify(NotifyState::Ready);
    loop {
        // A job is never dropped half way: signals are looked at between jobs.
        let pause = match work_off_one(&db).await {
            Ok(true) => Duration::ZERO,
            Ok(false) if options.once => break,
            Ok(false) => POLL,
            Err(error) if options.once => return Err(DatabaseError::from(error).into()),
            Err(error) => {
                tracing::error!("the queue cannot be read: {error}");
                POLL * 4
            }
        };
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    notify(NotifyState::Stopping);
    db.close().await;
    Ok(())
}

fn notify(state: NotifyState) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("cannot notify the service manager: {error}");
    }
}

async fn work_off_one(db: &Db) -> Result<bool, sqlx::Error> {
    let Some(job) = jobs::claim(db, store::now()).await? else { return Ok(false) };
    match job.kind.map(|kind| perform(db, kind, &job)) {
        None => postpone(db, &job).await?,
        Some(work) => match work.await {
            Ok(()) => jobs::finish(db, &job, store::now()).await?,
            Err(error) => {
                tracing::warn!("job {} failed, attempt {}: {error}", job.id, job.attempts);
                postpone(db, &job).await?;
            }
        },
    }
    Ok(true)
}

async fn perform(db: &Db, kind: Kind, job: &Job) -> Result<(), sqlx::Error> {
    match kind {
        Kind::CountStars => repos::count_stars(db, job.subject).await,
        Kind::IndexIssue => issues::index(db, job.subject).await,
    }
}

async fn postpone(db: &Db, job: &Job) -> Result<(), sqlx::Error> {
    let wait = job.attempts.saturating_mul(RETRY_SECONDS).min(RETRY_LIMIT_SECONDS);
    jobs::release(db, job, store::now() + wait).await
}
